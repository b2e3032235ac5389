//! What comes from the environment: variables that are recorded, secrets that are not, and cells that need what is not set.

use serde_json::json;

use crate::server::Server;
use crate::support::{Outcome, Place, files, json as read};

/// In no file and on no terminal.
const SECRET: &str = "hush/\"hush\"";
/// `me:` and the secret, as basic authentication has it.
const BASIC: &str = "bWU6aHVzaC8iaHVzaCI=";

const SCENARIO: &str = "
experiment: test
env:
  PLAIN: {default: by-default}
  TOKEN: {secret: true}
layout: all
targets:
  web: {fixture: null-server, port: PORT1, env: {PASSED_ON: '${env.TOKEN}'}, args: []}
  chatty: {shell: 'echo \"it is $PASSED_ON\" >&2; exec sleep 100', env: {PASSED_ON: '${env.TOKEN}'}}
set-up:
  cell: [{shell: 'echo cell $TOKEN'}]
  repetition: [{shell: 'echo repetition $TOKEN; echo \"$TOKEN\" > ${scratch}/secret.csv'}]
  load:
    - get: http://127.0.0.1:SERVER/set-up
      auth: {user: me, password: '${env.TOKEN}'}
workloads:
  clients:
    url: http://127.0.0.1:SERVER
    auth: {user: me, password: '${env.TOKEN}'}
    load: {closed: {connections: 1}, amount: 3}
    limits: {}
    steps: [{get: '/${env.PLAIN}', headers: {x-token: '${env.TOKEN}'}, expect: EXPECT}]
limits: {errors: 100%}
collect:
  table: {file: '${scratch}/secret.csv', table: {csv: true}}
  stats: {get: 'http://127.0.0.1:SERVER/stats', auth: {user: me, password: '${env.TOKEN}'}, metrics: {n: {json: /n}}}
";

fn place(server: &Server, expect: &str) -> Place {
    let text = SCENARIO.replace("SERVER", &server.port.to_string()).replace("EXPECT", expect).replace("    limits: {}\n", "");
    Place::with(&text)
}

fn with_secret(place: &Place, args: &[&str]) -> Outcome {
    let mut command = place.runner();
    command.args(args).env("TOKEN", SECRET);
    crate::support::Started::spawn(&mut command).wait()
}

/// Nothing that was written or said gives it away.
#[track_caller]
fn assert_hidden(place: &Place, outcome: &Outcome) {
    let results = place.path("results");
    let all = files(&results);
    assert!(all.iter().any(|f| f.ends_with("status.json") || f.ends_with("manifest.json")), "{all:?}");
    let inside_json = serde_json::to_string(SECRET).unwrap().trim_matches('"').to_owned();
    for secret in [SECRET, BASIC, &inside_json] {
        for file in &all {
            let bytes = std::fs::read(results.join(file)).unwrap();
            assert!(!bytes.windows(secret.len()).any(|w| w == secret.as_bytes()), "`{secret}` stands in {file}");
        }
        for said in [&outcome.stdout, &outcome.stderr] {
            assert!(!said.contains(secret), "`{secret}` was said: {said}");
        }
    }
}

#[test]
fn secrets_reach_servers_and_programs_and_no_record() {
    let server = Server::start(|_| (200, String::new(), "{\"n\": 7}".to_owned()));
    let place = place(&server, "{status: 200}");
    let outcome = with_secret(&place, &["run", "test.yaml", "--no-graphs"]).expect(0);
    let requests = server.requests();
    // The set-up, the checked pass, three passes, and what is collected.
    assert_eq!(requests.len(), 6, "{requests:?}");
    for request in &requests {
        assert_eq!(request.header("authorization"), Some(&*format!("Basic {BASIC}")), "{request:?}");
    }
    let passes: Vec<_> = requests.iter().filter(|r| r.path == "/by-default").collect();
    assert!(passes.len() == 4 && passes.iter().all(|r| r.header("x-token") == Some(SECRET)));
    let run = place.run_directory("test");
    let plan = read(&run.join("plan.json"));
    assert_eq!(plan["environment"], json!({"PLAIN": "by-default", "TOKEN": "***"}));
    assert!(plan.to_string().contains("${env.TOKEN}"));
    let logs = run.join("cells/all/run1/logs");
    assert_eq!(std::fs::read_to_string(logs.join("chatty-1.err")).unwrap(), "it is ***\n");
    assert_eq!(std::fs::read_to_string(logs.join("set-up-repetition-1.out")).unwrap(), "repetition ***\n");
    assert_eq!(std::fs::read_to_string(run.join("logs/all/set-up-cell-1.out")).unwrap(), "cell ***\n");
    assert_hidden(&place, &outcome);
    // What is planned is told without it, too.
    let planned = with_secret(&place, &["plan", "test.yaml"]).expect(0);
    assert!(!planned.stdout.contains(SECRET) && !planned.stdout.contains(BASIC), "{}", planned.stdout);
}

#[test]
fn errors_that_quote_a_secret_are_masked() {
    // The server says what it was told.
    let server = Server::start(|request| match request.path.as_str() {
        "/by-default" => (200, String::new(), request.header("x-token").unwrap_or_default().to_owned()),
        _ => (200, String::new(), "{\"n\": 7}".to_owned()),
    });
    let place = place(&server, "{text: something else}");
    let outcome = with_secret(&place, &["run", "test.yaml", "--no-graphs"]).expect(4);
    let reason = place.status("all/run1")["verdict"]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("answered with an unexpected body: `***`"), "{reason}");
    assert!(outcome.stdout.contains("`***`"), "{}", outcome.stdout);
    assert_hidden(&place, &outcome);
}

#[test]
fn what_is_not_set_skips_the_cells_that_need_it_and_says_so() {
    let mut place = Place::with(
        "
experiment: test
env: {ELSEWHERE: {}, PASSWORD: {secret: true}, NOTHING: {}}
factors: {where: [here, elsewhere], n: [1, 2]}
let:
  users:
    elsewhere: {user: '${env.PASSWORD}', password: '${env.PASSWORD}'}
    here: {user: a, password: b}
targets:
  here: {when: '${where == \"here\"}', fixture: null-server, port: PORT1}
  elsewhere: {when: '${where == \"elsewhere\"}', address: '${env.ELSEWHERE}'}
workloads:
  clients:
    url: ${targets[where].urls}
    auth: ${users[where]}
    load: {closed: {connections: '${n}'}, amount: 2}
    steps: [{get: '/${env.NOTHING if where == \"elsewhere\" else \"x\"}'}]
",
    );
    let said = place.run(&["run", "test.yaml", "--no-graphs"]).expect(0).flat();
    let words = "2 of 4 cells, because the environment variables ELSEWHERE, NOTHING and PASSWORD are not set";
    assert!(said.contains(&format!("SKIPPED: {words}")), "{said}");
    let address = format!("http://127.0.0.1:{}", place.port(2));
    let mut command = place.runner();
    command.args(["check", "test.yaml"]).env("ELSEWHERE", &address).env("PASSWORD", "x").env("NOTHING", "y");
    let said = crate::support::Started::spawn(&mut command).wait().expect(0).stdout;
    assert!(said.contains("4 cells") && !said.contains("SKIPPED"), "{said}");
}

#[test]
fn what_must_not_be_done_with_variables_is_a_mistake() {
    let place = Place::with(
        "
experiment: test
env: {URL: {}, PASSWORD: {secret: true}, UNUSED: {default: x}}
set-up: {run: [{command: [echo, '${env.MISSPELT}']}]}
workloads:
  clients:
    url: ${env.URL}
    load: {closed: {connections: 1}, amount: 2}
    steps:
      - {get: /, headers: {a: '${env.PASSWORD | upper}'}}
",
    );
    let mut command = place.runner();
    command.args(["check", "test.yaml"]).env("URL", "http://me:hush@127.0.0.1:1").env("PASSWORD", "hush");
    let outcome = crate::support::Started::spawn(&mut command).wait().expect(2).complains(&[
        "the variable `URL` holds credentials, which would be written into every record",
        "no variable `MISSPELT` is declared",
        "`env.PASSWORD` is secret",
        "it can be inserted, but not used in a computation",
    ]);
    assert!(!outcome.stderr.contains("hush"), "{}", outcome.stderr);
    // A run as a whole cannot be skipped.
    let place = Place::with(
        "
experiment: test
env: {NEEDED: {}}
set-up: {run: [{command: [echo, '${env.NEEDED}']}]}
workloads: {c: {url: 'http://127.0.0.1:1', load: {closed: {connections: 1}, amount: 1}, steps: [{get: /}]}}
",
    );
    place.run_test().expect(2).complains(&["the environment variable `NEEDED` is not set"]);
}

#[test]
fn what_fails_around_the_run_does_not_tell_a_secret_either() {
    let place = Place::with(
        "
experiment: test
env: {TOKEN: {secret: true}}
set-up: {run: [{shell: 'echo got $T; exit 1', env: {T: '${env.TOKEN}'}}]}
workloads: {c: {url: 'http://127.0.0.1:1', load: {closed: {connections: 1}, amount: 1}, steps: [{get: /}]}}
",
    );
    let outcome = with_secret(&place, &["run", "test.yaml", "--json"]).expect(1).complains(&["got ***"]);
    assert!(outcome.stdout.contains("got ***"), "{}", outcome.stdout);
    assert_hidden(&place, &outcome);
}

#[test]
fn a_rendered_file_takes_a_secret_as_it_is() {
    let mut place = Place::with(
        "
experiment: test
layout: all
env: {TOKEN: {secret: true}}
let: {again: '${env.TOKEN}'}
targets:
  reader:
    render: {settings: DIR/settings.j2}
    shell: 'test \"$(cat ${scratch}/settings)\" = \"one: $T, two: $T\" && echo the same; exec sleep 100'
    env: {T: '${env.TOKEN}'}
    ready: {log: the same, timeout: 5s}
  web: {fixture: null-server, port: PORT1}
workloads: {c: {url: 'http://127.0.0.1:PORT1', load: {closed: {connections: 1}, amount: 1}, steps: [{get: /}]}}
",
    );
    place.write("settings.j2", "one: {{ env.TOKEN }}, two: {{ again }}");
    let outcome = with_secret(&place, &["run", "test.yaml", "--no-graphs"]).expect(0);
    assert_hidden(&place, &outcome);
    place.write("settings.j2", "one: {{ env.TOKEN | tojson }}");
    with_secret(&place, &["check", "test.yaml"]).expect(2).complains(&["`env.TOKEN` is secret", "settings.j2:1:13"]);
}

#[test]
fn what_is_not_set_may_stand_in_a_condition_or_in_a_folders_name() {
    let text = "
experiment: test
env: {MODE: {}, OTHER: {default: x}}
factors: {n: [1, 2]}
layout: ${n}LAYOUT
targets: {web: {fixture: null-server, port: PORT1}}
workloads:
  clients: {url: 'http://127.0.0.1:PORT1', load: {closed: {connections: 1}, amount: 1}, steps: [{get: '/${env.OTHER}'}]}
  more: {when: '${WHEN}', url: 'http://127.0.0.1:PORT1', load: {closed: {connections: 1}, amount: 1}, steps: [{get: /}]}
";
    for (layout, when) in [("-${env.MODE}", "n == 1"), ("", "env.MODE == \"full\" and n == 1")] {
        let place = Place::with(&text.replace("LAYOUT", layout).replace("WHEN", when));
        let said = place.run(&["check", "test.yaml"]).expect(0).stdout;
        assert!(
            said.contains("SKIPPED: 2 of 2 cells, because the environment variable MODE is not set"),
            "{layout} {when}: {said}"
        );
    }
}

#[test]
fn what_only_has_an_address_is_said_not_to_be_watched() {
    let server = Server::friendly();
    let text = "
experiment: test
env: {SERVER: {}}
targets: {elsewhere: {address: '${env.SERVER}'}}
workloads:
  clients:
    url: ${targets.elsewhere.urls[0]}
    load: {closed: {connections: 1}, amount: 5}
    steps: [{get: /}]
";
    let place = Place::with(text);
    let mut command = place.runner();
    command.args(["run", "test.yaml", "--no-graphs"]).env("SERVER", format!("http://127.0.0.1:{}", server.port));
    let said = crate::support::Started::spawn(&mut command).wait().expect(0).flat();
    assert!(said.contains("NOT WATCHED: elsewhere is only an address; its memory and processors are not known"), "{said}");
    let target = &place.summary()["cells"][0]["targets"][0];
    assert_eq!((&target["watched"], &target["pss_bytes"]), (&json!(false), &json!(null)));
}

#[test]
fn secrets_do_not_follow_a_redirect_to_another_origin() {
    for trusts in [false, true] {
        let other = Server::friendly();
        let there = format!("http://127.0.0.1:{}", other.port);
        let location = format!("location: {there}/landed\r\n");
        let server = Server::start(move |request| match request.path.as_str() {
            "/again" => (307, location.clone(), String::new()),
            _ => (302, location.clone(), String::new()),
        });
        let scenario = "
experiment: test
env: {TOKEN: {secret: true}}
let: {token: 'Bearer ${env.TOKEN}'}
workloads:
  clients:
    url: http://127.0.0.1:SERVER
    auth: {user: me, password: '${env.TOKEN}'}
    http: {redirects: REDIRECTS}
    load: {closed: {connections: 1}, amount: 2}
    steps:
      - get: /go
        headers: {x-token: '${token}', x-api-key: key, proxy-authorization: proxy, cookie: a=b, x-plain: plain}
      - {name: plain, post: /again, body: {text: plain}}
      - {name: secret, post: /again, body: {json: {token: '${env.TOKEN}'}}}
";
        let redirects = if trusts { format!("{{trust: ['{there}']}}") } else { "3".to_owned() };
        let place = Place::with(&scenario.replace("SERVER", &server.port.to_string()).replace("REDIRECTS", &redirects));
        let outcome = with_secret(&place, &["run", "test.yaml", "--no-graphs"]).expect(if trusts { 0 } else { 4 });
        let landed = other.requests();
        let first = &landed[0];
        assert_eq!((first.line().as_str(), first.header("x-plain")), ("GET /landed", Some("plain")));
        let taken = ["authorization", "x-token", "x-api-key", "proxy-authorization", "cookie"].map(|name| first.header(name));
        let (basic, bearer) = (format!("Basic {BASIC}"), format!("Bearer {SECRET}"));
        if trusts {
            assert_eq!(taken, [Some(&*basic), Some(&*bearer), Some("key"), Some("proxy"), Some("a=b")]);
            assert!(landed.iter().any(|request| String::from_utf8_lossy(&request.body).contains("hush")), "{landed:?}");
        } else {
            assert_eq!(taken, [None; 5]);
            assert_eq!(landed.iter().map(|r| r.line()).collect::<Vec<_>>(), ["GET /landed", "POST /landed"]);
            assert_eq!(landed[1].body, b"plain");
            let words = format!("again to another origin, {there}; its body contains a secret and was not sent there");
            outcome.complains(&[&words]);
        }
    }
}
