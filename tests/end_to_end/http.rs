//! HTTP as real servers speak it: nginx with HTTP/2, TLS, redirects, a Unix socket and long bodies, and its own count.
//!
//! Where nginx or openssl is not installed these tests say so and do nothing.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use serde_json::{Value as Json, json};

use crate::support::{Outcome, Place};

/// Lines of nginx' access log, word by word: connection, protocol, method, path, status, length of the body, way.
type Log = Vec<Vec<String>>;

/// Whether these programs are there; else says loudly that a test is skipped.
pub fn installed(programs: &[&str]) -> bool {
    let runs = |program: &&&str| {
        let version = if **program == "nginx" { "-v" } else { "version" };
        Command::new(program).arg(version).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    let missing = programs.iter().find(|p| !runs(p));
    if let Some(program) = missing {
        eprintln!("SKIPPED: {program} is not installed (tests/needs.sh installs it)");
    }
    missing.is_none()
}

/// A place with `nginx.conf`: one process, its log in `access.log`, these servers.
pub fn nginx(servers: &str) -> Place {
    let mut place = Place::new();
    let configuration = "
daemon off;
master_process off;
pid DIR/nginx.pid;
error_log DIR/error.log;
events { worker_connections 1024; }
http {
    log_format words '$connection $server_protocol $request_method $request_uri $status $body_bytes_sent $server_addr $host';
    access_log DIR/access.log words;
    keepalive_requests 1000000;
    client_max_body_size 0;
    client_body_temp_path DIR/body;
    proxy_temp_path DIR/proxy;
    fastcgi_temp_path DIR/fastcgi;
    uwsgi_temp_path DIR/uwsgi;
    scgi_temp_path DIR/scgi;
    SERVERS
}
";
    place.write("nginx.conf", &configuration.replace("SERVERS", servers));
    place
}

/// Runs a workload against nginx, which listens on PORT1.
fn run(place: &mut Place, workload: &str) -> Outcome {
    let scenario = "
experiment: test
limits: {generator-cpu: 100%, errors: 100%}
targets:
  nginx: {command: [nginx, -p, DIR, -e, DIR/error.log, -c, DIR/nginx.conf], port: PORT1}
workloads:
  clients:
";
    let workload: String = workload.lines().map(|line| format!("    {line}\n")).collect();
    place.write("test.yaml", &format!("{scenario}{workload}"));
    for name in ["access.log", "error.log"] {
        let _ = std::fs::remove_file(place.path(name));
    }
    let _ = std::fs::remove_dir_all(place.path("results"));
    place.run(&["run", "test.yaml", "--no-graphs"])
}

fn log(place: &Place) -> Log {
    place.lines("access.log").iter().map(|line| line.split(' ').map(str::to_owned).collect()).collect()
}

/// How many connections the log shows.
fn connections(log: &Log) -> usize {
    log.iter().map(|words| &words[0]).collect::<std::collections::BTreeSet<_>>().len()
}

fn count(log: &Log, column: usize) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    log.iter().for_each(|words| *counts.entry(words[column].as_str()).or_default() += 1);
    counts
}

/// The summary of a step.
#[track_caller]
fn step(place: &Place, name: &str) -> Json {
    let summary = place.summary();
    let steps = summary["cells"][0]["steps"].as_array().unwrap();
    steps.iter().find(|s| s["step"] == name).unwrap_or_else(|| panic!("{name} is not in {steps:?}")).clone()
}

#[track_caller]
fn all_right(place: &Place, name: &str, requests: u64) -> Json {
    let step = step(place, name);
    let words = &place.status("all/run1")["errors"];
    let found = (&step["requests"], &step["ok"], &step["errors"]);
    assert_eq!(found, (&json!(requests), &json!(requests), &json!({})), "{words:#}");
    step
}

fn connects(place: &Place) -> u64 {
    place.status("all/run1")["generator"]["connects"].as_u64().unwrap()
}

/// A CA in `ca.pem`, and `server.pem` with `server.key` for `localhost` and 127.0.0.1, made by it.
pub fn certificates(place: &mut Place) {
    openssl(place, "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test-ca -keyout ca.key -out ca.pem");
    certificate(place, "server", "DNS:localhost,IP:127.0.0.1");
}

/// `NAME.pem` with `NAME.key` for these names, made by the CA of [`certificates`].
pub fn certificate(place: &mut Place, name: &str, names: &str) {
    place.write("names", &format!("subjectAltName={names}\n"));
    openssl(place, &format!("req -newkey rsa:2048 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"));
    let sign = "-CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names";
    openssl(place, &format!("x509 -req -in {name}.csr {sign} -out {name}.pem"));
}

fn openssl(place: &Place, words: &str) {
    let made = Command::new("openssl").args(words.split(' ')).current_dir(place.path("")).output().expect("openssl is installed");
    assert!(made.status.success(), "{words}: {}", String::from_utf8_lossy(&made.stderr));
}

#[test]
fn streams_share_connections() {
    if !installed(&["nginx"]) {
        return;
    }
    let mut place = nginx("server { listen 127.0.0.1:PORT1 http2; location / { return 200 hello; } }");
    let workload = "
url: http://127.0.0.1:PORT1
http: {version: 2, streams: 10}
load: {closed: {connections: 2}, amount: 2000}
steps: [{get: /, expect: {text: hello}}]
";
    run(&mut place, workload).expect(0);
    all_right(&place, "get", 2000);
    let log = log(&place);
    assert_eq!(count(&log, 1), [("HTTP/2.0", 2001)].into(), "one checked pass, then the load");
    assert_eq!((connections(&log), connects(&place)), (3, 2));
    assert!(step(&place, "get")["first_byte_ns"]["p50"].as_u64().unwrap() > 0);

    run(
        &mut place,
        &workload.replace("closed: {connections: 2}, amount: 2000", "open: {rate: 500/s, connections: 2}, duration: 1s"),
    )
    .expect(0);
    all_right(&place, "get", 500);
    assert!(connects(&place) <= 2);
}

#[test]
fn a_server_that_ends_connections_loses_no_request() {
    if !installed(&["nginx"]) {
        return;
    }
    for (http2, version) in [("", 1), ("http2", 2)] {
        let servers = "server { listen 127.0.0.1:PORT1 HTTP2; keepalive_requests 10; location / { return 200 hello; } }";
        let mut place = nginx(&servers.replace("HTTP2", http2));
        for redirects in [0, 1] {
            let workload = "
url: http://127.0.0.1:PORT1
http: {version: VERSION, redirects: REDIRECTS}
load: {closed: {connections: 1}, amount: 100}
steps: [{get: /}]
";
            let workload = workload.replace("VERSION", &version.to_string()).replace("REDIRECTS", &redirects.to_string());
            run(&mut place, &workload).expect(0);
            all_right(&place, "get", 100);
            let log = log(&place);
            assert_eq!((log.len(), connections(&log)), (101, 11), "version {version}");
            // The last one may be made again before it is known that nothing follows.
            assert!((10..=11).contains(&connects(&place)), "version {version}");
        }
    }
}

#[test]
fn a_request_that_was_not_taken_is_sent_again_and_counted() {
    if !installed(&["nginx"]) {
        return;
    }
    // nginx ends a connection with its tenth request, and drops those that come behind that one.
    let servers = "server { listen 127.0.0.1:PORT1 http2; keepalive_requests 10; location / { return 200 hello; } }";
    let mut place = nginx(servers);
    let workload = "
url: http://127.0.0.1:PORT1
http: {version: 2, streams: 8}
load: {closed: {connections: 1}, amount: 2000}
steps: [{get: /}]
";
    let outcome = run(&mut place, workload).expect(0);
    all_right(&place, "get", 2000);
    // One behind the other, with what was refused: the server counts each once.
    assert_eq!(log(&place).len(), 2001);
    assert!(connects(&place) >= 200, "{}", connects(&place));
    let again = place.status("all/run1")["generator"]["sent_again"].as_u64().unwrap();
    assert!(again >= 200, "{again}");
    assert_eq!(place.summary()["cells"][0]["sent_again"], again);
    assert!(outcome.stdout.contains(" requests that the server said (GOAWAY) it had not processed"), "{}", outcome.stdout);
    // Whoever waits for another connection waits for its answer as well.
    let step = step(&place, "get");
    assert!(step["connect_ns"]["max"].as_u64().unwrap() <= step["response_ns"]["max"].as_u64().unwrap(), "{step:#}");

    // A body is sent from its start again, also one that is made while it is sent.
    let workload = workload.replace("amount: 2000", "amount: 100").replace("get: /", "put: /, body: {random: 2MiB}");
    run(&mut place, &workload).expect(0);
    all_right(&place, "put", 100);
}

#[test]
fn one_request_per_connection() {
    if !installed(&["nginx"]) {
        return;
    }
    let mut place = nginx("server { listen 127.0.0.1:PORT1; location / { return 200 hello; } }");
    for redirects in [0, 1] {
        let workload = "
url: http://127.0.0.1:PORT1
http: {keep-alive: false, redirects: REDIRECTS}
load: {closed: {connections: 5}, amount: 200}
steps: [{get: /}]
";
        run(&mut place, &workload.replace("REDIRECTS", &redirects.to_string())).expect(0);
        let step = all_right(&place, "get", 200);
        let log = log(&place);
        assert_eq!((log.len(), connections(&log), connects(&place)), (201, 201, 200));
        let [connect, service] = ["connect_ns", "service_ns"].map(|times| step[times]["p50"].as_u64().unwrap());
        assert!(0 < connect && connect < service, "connecting is a part of the request: {connect} of {service}");
    }
}

#[test]
fn certificates_are_verified() {
    if !installed(&["nginx", "openssl"]) {
        return;
    }
    let mut place = nginx(
        "
    ssl_certificate DIR/server.pem;
    ssl_certificate_key DIR/server.key;
    server { listen 127.0.0.1:PORT1 ssl http2; listen 127.0.0.2:PORT1 ssl http2; location / { return 200 hello; } }
    server { listen 127.0.0.1:PORT2 ssl; location / { return 200 hello; } }",
    );
    certificates(&mut place);
    let workload = "
url: https://HOST
http: {version: VERSION, keep-alive: KEEP}
tls: {TLS}
load: {closed: {connections: 4}, amount: 200}
steps: [{get: /, expect: {text: hello}}]
";
    for (host, version, keep, tls) in [
        ("127.0.0.1:PORT1", "1", true, "ca: DIR/ca.pem"),
        ("localhost:PORT1", "2", true, "ca: DIR/ca.pem"),
        ("localhost:PORT1", "1", false, "ca: DIR/ca.pem"),
        ("127.0.0.1:PORT1", "2", true, "verify: false"),
    ] {
        let workload = workload.replace("HOST", host).replace("VERSION", version);
        run(&mut place, &workload.replace("KEEP", &keep.to_string()).replace("TLS", tls)).expect(0);
        all_right(&place, "get", 200);
        let log = log(&place);
        let protocol = if version == "1" { "HTTP/1.1" } else { "HTTP/2.0" };
        assert_eq!(count(&log, 1), [(protocol, 201)].into());
        assert_eq!((connections(&log), connects(&place)), if keep { (5, 4) } else { (201, 200) });
    }
    let refused = |place: &mut Place, host: &str, version: &str, tls: &str, words: &[&str]| {
        let workload = workload.replace("HOST", host).replace("VERSION", version).replace("KEEP", "true");
        let outcome = run(place, &workload.replace("TLS", tls));
        outcome.expect(4).complains(words);
        assert_eq!(log(place), Log::new());
    };
    let ways_out = ["its certificate is not accepted", "tls: {ca: …}", "tls: {verify: false}"];
    refused(&mut place, "127.0.0.2:PORT1", "1", "ca: DIR/ca.pem", &["127.0.0.2"]);
    refused(&mut place, "127.0.0.1:PORT1", "1", "ca: DIR/server.pem", &ways_out);
    refused(&mut place, "127.0.0.1:PORT2", "2", "verify: false", &["does not agree to HTTP/2"]);
}

#[test]
fn redirects_are_followed() {
    if !installed(&["nginx"]) {
        return;
    }
    let mut place = nginx(
        "
    server {
        listen 127.0.0.1:PORT1;
        location = /old { return 301 new; }
        location = /new { return 302 http://127.0.0.1:PORT2/there; }
        location = /there { return 307 /here?x=y; }
        location = /here { return 200 hello; }
        location = /loop { return 302 /loop; }
        location = /form { return 303 /here; }
    }
    server { listen 127.0.0.1:PORT2; location / { return 308 http://127.0.0.1:PORT1$request_uri; } }",
    );
    let workload = "
url: http://127.0.0.1:PORT1
http: {redirects: 4}
load: {closed: {connections: 2}, amount: 50}
steps: [{get: /old, expect: {text: hello}}, {post: /form, body: {text: question}, expect: {text: hello}}]
";
    run(&mut place, workload).expect(0);
    all_right(&place, "get", 50);
    let post = all_right(&place, "post", 50);
    assert_eq!(post["sent_bytes"], 50 * 8, "303 asks for a GET without a body");
    let log_of = log(&place);
    let paths = [("/form", 51), ("/here", 51), ("/here?x=y", 51), ("/new", 51), ("/old", 51), ("/there", 102)];
    assert_eq!(count(&log_of, 3), paths.into());
    assert_eq!(count(&log_of, 2), [("GET", 306), ("POST", 51)].into());
    // Two for the load, one elsewhere for each pass.
    assert_eq!((connections(&log_of), connects(&place)), (1 + 2 + 51, 2 + 50));

    let workload = "
url: http://127.0.0.1:PORT1
http: {redirects: 3}
load: {closed: {connections: 1}, amount: 10}
steps: [{get: /loop}]
";
    run(&mut place, workload).expect(4).complains(&["GET /loop answered 302 instead of 2xx (after 3 redirects)"]);
    assert_eq!(log(&place).len(), 4, "the checked pass");

    run(&mut place, &workload.replace("redirects: 3", "redirects: 0").replace("/loop}", "/loop, expect: {status: 302}}"))
        .expect(0);
    assert_eq!((all_right(&place, "get", 10)["ok"].as_u64(), log(&place).len()), (Some(10), 11));
}

#[test]
fn a_unix_socket_may_carry_it() {
    if !installed(&["nginx"]) {
        return;
    }
    let mut place = nginx("server { listen 127.0.0.1:PORT1; listen unix:DIR/web.sock; location / { return 200 hello; } }");
    let workload = "
url: http://some.where:8080
socket: DIR/web.sock
load: {closed: {connections: 3}, amount: 100}
steps: [{get: /, expect: {text: hello}}]
";
    run(&mut place, workload).expect(0);
    all_right(&place, "get", 100);
    let log = log(&place);
    assert_eq!((connections(&log), connects(&place)), (4, 3));
    assert_eq!((count(&log, 7), log.len()), ([("some.where", 101)].into(), 101));
    assert!(log[0][6].starts_with("unix:"), "{:?}", log[0]);
}

/// `http` and `url` of workloads with HTTP/1.1, HTTP/1.1 over TLS, HTTP/2, HTTP/2 over TLS.
const WAYS: [&str; 4] = [
    "url: http://127.0.0.1:PORT1",
    "url: https://127.0.0.1:PORT2\ntls: {ca: DIR/ca.pem}",
    "url: http://127.0.0.1:PORT3\nhttp: {version: 2, streams: 2}",
    "url: https://127.0.0.1:PORT2\ntls: {ca: DIR/ca.pem}\nhttp: {version: 2, streams: 2}",
];

/// A place whose nginx speaks in all [`WAYS`], and gives and takes files.
fn files() -> Place {
    let mut place = nginx(
        "
    ssl_certificate DIR/server.pem;
    ssl_certificate_key DIR/server.key;
    server {
        listen 127.0.0.1:PORT1;
        listen 127.0.0.1:PORT2 ssl http2;
        listen 127.0.0.1:PORT3 http2;
        location / { root DIR/files; dav_methods PUT; }
        location /refused { client_max_body_size 1m; root DIR/files; dav_methods PUT; }
    }",
    );
    certificates(&mut place);
    std::fs::create_dir(place.path("files")).unwrap();
    let block: Vec<u8> = (0..50_u32 << 20).map(|i| (i % 251) as u8).collect();
    std::fs::write(place.path("long"), &block).unwrap();
    std::fs::copy(place.path("long"), place.path("files/long")).unwrap();
    place
}

#[test]
fn long_bodies_are_received() {
    if !installed(&["nginx", "openssl"]) {
        return;
    }
    let mut place = files();
    for way in WAYS {
        let workload = "
load: {closed: {connections: 1}, amount: 4}
steps: [{get: /long, expect: {length: 50MiB}}, {head: /long, expect: {length: 0}}, {options: /long, expect: {status: 405}}]
";
        run(&mut place, &format!("{way}{workload}")).expect(0);
        assert_eq!(all_right(&place, "get", 4)["received_bytes"], 4 * (50 << 20), "{way}");
        all_right(&place, "options", 4);
        // The checked pass has a connection of its own.
        assert_eq!(connections(&log(&place)), 2, "{way}");
    }
}

#[test]
fn long_bodies_are_sent() {
    if !installed(&["nginx", "openssl"]) {
        return;
    }
    let mut place = files();
    for way in WAYS {
        let workload = "
load: {closed: {connections: 1}, amount: 2}
steps:
  - {name: file, put: /file, body: {file: DIR/long}, expect: {status: [201, 204]}}
  - {name: random, put: /random, body: {random: 20MiB}, expect: {status: [201, 204]}}
  - {name: empty, put: /empty, expect: {status: [201, 204]}}
";
        run(&mut place, &format!("{way}{workload}")).expect(0);
        assert_eq!(all_right(&place, "file", 2)["sent_bytes"], 2 * (50 << 20), "{way}");
        assert_eq!(all_right(&place, "random", 2)["sent_bytes"], 2 * (20 << 20), "{way}");
        all_right(&place, "empty", 2);
        let [sent, arrived] = ["long", "files/file"].map(|name| std::fs::read(place.path(name)).unwrap());
        assert!(sent == arrived, "{way}: the file is the same");
        let length = |name: &str| std::fs::metadata(place.path("files").join(name)).unwrap().len();
        assert_eq!([length("random"), length("empty")], [20 << 20, 0], "{way}");

        // The answer comes before the body was read.
        let workload = "
load: {closed: {connections: 1}, amount: 3}
steps: [{put: /refused, body: {random: 20MiB}, expect: {status: 413}}]
";
        run(&mut place, &format!("{way}{workload}")).expect(0);
        all_right(&place, "put", 3);
    }
}
