//! URLs: what is typed is what servers are asked for, wherever a URL may stand.

use crate::server::Server;
use crate::support::Place;

/// A server that minds each slash, and these are all the places that it has.
fn strict(places: &'static [&'static str]) -> Server {
    Server::start(|request| match places.contains(&request.path.as_str()) {
        true => (200, String::new(), r#"{"n": 7}"#.to_owned()),
        false => (404, String::new(), String::new()),
    })
}

#[test]
fn a_path_is_asked_for_as_it_was_typed() {
    let server = strict(&["/up/", "/db/", "/stats/?of=all/", "/api/users/", "/api//a/../b%7Ec"]);
    let place = Place::with(
        &"
experiment: test
targets:
  web: {address: \"http://127.0.0.1:SERVER/\", ready: {http: /up/}}
set-up:
  load: [{put: \"http://127.0.0.1:SERVER/db/\"}]
collect:
  stats: {get: \"HTTP://127.0.0.1:SERVER/stats/?of=all/\", metrics: {n: {json: /n}}}
workloads:
  clients:
    url: http://127.0.0.1:SERVER/api/
    load: {closed: {connections: 1}, amount: 2}
    steps: [{get: /users/}, {get: //a/../b%7Ec}]
"
        .replace("SERVER", &server.port.to_string()),
    );
    place.run_test().expect(0);
    let lines: Vec<String> = server.requests().iter().map(crate::server::Request::line).collect();
    let pass = ["GET /api/users/", "GET /api//a/../b%7Ec"];
    let all = [&["GET /up/", "PUT /db/"][..], &pass, &pass, &pass, &["GET /stats/?of=all/"]].concat();
    assert_eq!(lines, all, "one checked pass, then two");
}

#[test]
fn what_cannot_stand_in_a_url_is_encoded_and_a_late_blank_fails() {
    let server = strict(&["/%C3%BC?page%5Bn%5D=%221%22", "/x%7Cy", "/up%7C"]);
    let place = Place::with(
        &"
experiment: test
seed: 1
limits: {errors: 100%}
targets:
  web: {address: \"http://127.0.0.1:SERVER\", ready: {http: \"/up|\"}}
set-up:
  load: [{get: 'http://127.0.0.1:SERVER/ü?page[n]=\"1\"'}]
workloads:
  clients:
    url: http://127.0.0.1:SERVER
    draw: {word: {of: WORDS}}
    load: {closed: {connections: 1}, amount: 5}
    steps: [{get: \"/x${word}y\"}]
"
        .replace("SERVER", &server.port.to_string())
        .replace("WORDS", "['|']"),
    );
    place.run_test().expect(0);
    assert_eq!(server.requests().len(), 1 + 1 + 1 + 5);
    let text = std::fs::read_to_string(place.path("test.yaml")).unwrap();
    std::fs::write(place.path("test.yaml"), text.replace("['|']", "['a b']")).unwrap();
    place
        .run_test()
        .expect(4)
        .complains(&["the path `/x${word}y` cannot be sent: the inserted value contains a space", "urlencode"]);
    std::fs::write(place.path("test.yaml"), text.replace("['|']", "['#']")).unwrap();
    place.run_test().expect(4).complains(&["the inserted value contains `#`, after which nothing is ever sent"]);
}
