//! The study of documents, against a real server that speaks CouchDB's HTTP: pouchdb-server from npm, with real files and
//! real credentials.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::support::{Outcome, PATIENCE, Place, Started, eventually, files, json as read, root};

/// The password of the server's administrator.
const PASSWORD: &str = "throw-away-4711";

/// Executes something from `experiments/` for this place, with these variables.
fn run(place: &Place, args: &[&str], variables: &[(&str, &str)]) -> Outcome {
    let mut command = place.runner();
    command.current_dir(root()).args(args).args(["--no-graphs", "--repetitions", "1", "--out"]).arg(place.path("results"));
    command.envs(variables.iter().copied());
    // The first one installs the server.
    Started::spawn(&mut command).wait_within(Duration::from_secs(600))
}

/// A server that somebody has started already, in the same way as the experiment would.
struct Elsewhere {
    child: std::process::Child,
    url: String,
    port: u16,
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Elsewhere {
    fn start(place: &mut Place) -> Self {
        let small =
            ["run", "experiments/couchdb-docs.yaml", "--set", "backend=pouchdb", "--set", "proxy=direct", "--set", "work=update"];
        let outcome = run(place, &small, &[]);
        // One repetition is too few for an interval.
        let outcome = outcome.expect(5);
        assert!(outcome.stdout.contains("CONFLICT: "), "eight clients and twenty documents: {}", outcome.stdout);
        let directory = place.run_directory("couchdb-docs");
        let cell = &read(&directory.join("summary.json"))["cells"][0];
        assert_eq!((&cell["repetitions"]["valid"], &cell["targets"][0]["target"]), (&json!(1), &json!("pouchdb")));
        assert!(cell["targets"][0]["pss_bytes"]["mean"].as_f64() > Some(2e7), "node takes more than 20 MB: {cell}");
        let target = &read(&directory.join("plan.json"))["cells"][0]["targets"][0]["replicas"][0]["start"]["process"]["argv"];
        let program = target[1].as_str().unwrap().to_owned();
        std::fs::remove_dir_all(place.path("results")).unwrap();

        let port = place.port(1);
        let settings = json!({
            "httpd": {"port": port, "bind_address": "127.0.0.1"},
            "couchdb": {"database_dir": place.path("data"), "uuid": "0"},
            "admins": {"admin": PASSWORD},
            "log": {"file": place.path("log.txt"), "level": "none"},
            "pouchdb_server": {"no-stdout-logs": true},
        });
        std::fs::create_dir(place.path("data")).unwrap();
        let file = place.write("settings.json", &settings.to_string());
        let mut command = std::process::Command::new("node");
        let child = command.arg(program).arg("--config").arg(file).current_dir(place.path("data")).spawn().unwrap();
        let elsewhere = Self { child, url: format!("http://127.0.0.1:{port}"), port };
        eventually("it answers", || elsewhere.get("/_session"));
        elsewhere
    }

    /// Status and body of a request by the administrator.
    fn get(&self, path: &str) -> Option<(u16, Json)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let basic = "YWRtaW46dGhyb3ctYXdheS00NzEx";
        let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Basic {basic}\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, serde_json::from_str(body).unwrap_or_default()))
    }
}

/// No record holds the password.
#[track_caller]
fn assert_hidden(place: &Place, outcome: &Outcome, password: &str, basic: &str) {
    for file in files(&place.path("results")) {
        let bytes = std::fs::read(place.path("results").join(&file)).unwrap();
        for secret in [password, basic] {
            assert!(!bytes.windows(secret.len()).any(|w| w == secret.as_bytes()), "`{secret}` stands in {file}");
            assert!(!outcome.stdout.contains(secret) && !outcome.stderr.contains(secret));
        }
    }
}

#[test]
fn a_server_of_the_users_is_measured_with_credentials_that_are_written_nowhere() {
    let mut place = Place::new();
    let server = Elsewhere::start(&mut place);
    let external = [
        "run",
        "experiments/couchdb-docs.yaml",
        "--set",
        "backend=external",
        "--set",
        "proxy=direct,haproxy",
        "--set",
        "work=update,bulk",
    ];
    let right = [("COUCHDB_URL", &*server.url), ("COUCHDB_USER", "admin"), ("COUCHDB_PASSWORD", PASSWORD)];
    let outcome = run(&place, &external, &right).expect(5);
    assert!(outcome.stdout.contains("NOT WATCHED: external is only an address"), "{}", outcome.stdout);
    assert_hidden(&place, &outcome, PASSWORD, "YWRtaW46dGhyb3ctYXdheS00NzEx");
    let summary = read(&place.run_directory("couchdb-docs").join("summary.json"));
    let cells = summary["cells"].as_array().unwrap();
    assert!(cells.len() == 4 && cells.iter().all(|c| c["repetitions"]["valid"] == 1), "{summary}");
    // What was made there is gone again, and nothing else is.
    let (status, all) = server.get("/_all_dbs").unwrap();
    let ours = all.as_array().unwrap().iter().filter(|name| name.as_str().unwrap().starts_with("runner-")).count();
    assert_eq!((status, ours), (200, 0), "{all}");

    // Wrong credentials are told in the server's words, and not repeated.
    std::fs::remove_dir_all(place.path("results")).unwrap();
    let wrong = [("COUCHDB_URL", &*server.url), ("COUCHDB_USER", "admin"), ("COUCHDB_PASSWORD", "guessed-badly")];
    let outcome = run(&place, &external[..4], &wrong);
    let outcome = outcome.expect(4);
    let said = outcome.flat();
    assert!(said.contains("PUT http://127.0.0.1") && said.contains("answered 401 instead of"), "{}", outcome.stdout);
    assert_hidden(&place, &outcome, "guessed-badly", "YWRtaW46Z3Vlc3NlZC1iYWRseQ==");

    // A data base that is there already is 412, which a scenario may allow, or not.
    place.write(
        "test.yaml",
        &"
experiment: test
layout: all
env: {PASSWORD: {secret: true}}
set-up:
  load:
    - {put: 'URL/twice', auth: {user: admin, password: '${env.PASSWORD}'}, expect: {status: [201, 412]}}
    - {put: 'URL/twice', auth: {user: admin, password: '${env.PASSWORD}'}, expect: {status: [201, 412]}}
    - {put: 'URL/twice', auth: {user: admin, password: '${env.PASSWORD}'}, expect: {status: 201}}
workloads: {clients: {url: URL, load: {closed: {connections: 1}, amount: 1}, steps: [{get: /}]}}
"
        .replace("URL", &server.url),
    );
    let mut command = place.runner();
    command.args(["run", "test.yaml", "--no-graphs"]).env("PASSWORD", PASSWORD);
    Started::spawn(&mut command).wait().expect(4);
    let reason = place.status("all/run1")["verdict"]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("PUT /twice answered 412 instead of 201"), "{reason}");

    // Soledad keeps its users and shared documents there; its blobs are those of the fixture that has the same API.
    let blobs = place.port(2);
    let folder = place.path("blobs");
    std::fs::create_dir(&folder).unwrap();
    let mut command = place.runner();
    command.args(["fixture", "blobs-server", "--port", &blobs.to_string(), "--dir"]).arg(folder);
    let fixture = Started::spawn(&mut command);
    eventually("the blobs server listens", || TcpStream::connect(("127.0.0.1", blobs)).ok());
    let soledad = [
        ("SOLEDAD_URL", &*format!("http://127.0.0.1:{blobs}")),
        ("SOLEDAD_UUID", "5011e0"),
        ("SOLEDAD_TOKEN", "NTAxMWUwOnRva2Vu"),
        ("SOLEDAD_COUCHDB_URL", &*server.url),
        ("SOLEDAD_COUCHDB_USER", "admin"),
        ("SOLEDAD_COUCHDB_PASSWORD", PASSWORD),
    ];
    let outcome = run(&place, &["run", "experiments/soledad-server.yaml"], &soledad).expect(5);
    assert!(outcome.stdout.contains("NOT WATCHED: soledad is only an address"), "{}", outcome.stdout);
    assert_hidden(&place, &outcome, "NTAxMWUwOnRva2Vu", "YWRtaW46dGhyb3ctYXdheS00NzEx");
    assert_eq!(server.get("/user-5011e0").unwrap().0, 200, "the user's data base was made");
    fixture.signal(rustix::process::Signal::TERM);
    let _ = fixture.wait();
}

#[test]
fn a_data_base_that_fails_or_never_answers_is_said_to() {
    for (mode, words) in [("status-500", "answered 500 instead of 201 or 202 or 412"), ("silent", "no answer within")] {
        let mut place = Place::new();
        let port = place.port(1).to_string();
        let mut command = place.runner();
        command.args(["fixture", "faulty", "--port", &port, "--mode", mode]);
        let fixture = Started::spawn(&mut command);
        eventually("it listens", || TcpStream::connect(("127.0.0.1", port.parse().unwrap())).ok());
        let text = std::fs::read_to_string(root().join("experiments/couchdb-docs.yaml")).unwrap();
        // Nobody waits a minute here.
        let text = text.replace("expect: {status: [201, 202, 412]}}", "expect: {status: [201, 202, 412]}, timeout: 300ms}");
        let text = text.replace("expect: {status: [200, 202, 404]}}", "expect: {status: [200, 202, 404]}, timeout: 300ms}");
        let text = text.replace("experiments/couchdb/", &format!("{}/experiments/couchdb/", root().display()));
        let mut command = place.runner();
        std::fs::write(place.path("couchdb-docs.yaml"), text).unwrap();
        command.args(["run", "couchdb-docs.yaml", "--set", "backend=external", "--set", "proxy=direct", "--set", "work=read"]);
        command.args(["--repetitions", "1", "--no-graphs"]);
        let url = format!("http://127.0.0.1:{port}");
        command.env("COUCHDB_URL", url).env("COUCHDB_USER", "admin").env("COUCHDB_PASSWORD", PASSWORD);
        let said = Started::spawn(&mut command).wait().expect(4).stdout;
        assert!(said.contains(words), "{said}");
        fixture.signal(rustix::process::Signal::TERM);
        let _ = fixture.wait();
    }
}
