//! Logs as loads: requests and instants are those of the log, and what cannot be replayed is counted and said.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::{Value as Json, json};

use crate::http::installed;
use crate::load::part;
use crate::server::Server;
use crate::support::Place;

const LOG: &str = r#"192.0.2.1 - - [30/Nov/2026:10:00:00 +0000] "GET /items/1?a=b HTTP/1.1" 200 512 "-" "-"
192.0.2.1 - - [30/Nov/2026:10:00:00 +0000] "GET /items/2 HTTP/1.1" 404 512 "-" "-"
# rotated
192.0.2.1 - - [30/Nov/2026:10:00:01 +0000] "POST /cart HTTP/1.1" 201 17 "-" "-"
192.0.2.1 - - [30/Nov/2026:10:00:01 +0000] "CONNECT example.org:443 HTTP/1.1" 405 0 "-" "-"
192.0.2.1 - - [30/Nov/2026:10:00:03 +0000] "DELETE /cart/7 HTTP/1.1" 204 0 "-" "-"
192.0.2.1 - - [30/Nov/2026:10:00:02 +0000] "HEAD /items/3 HTTP/1.1" 304 0 "-" "-"
"#;

/// When each request came, its line, and the length of its body.
type Seen = Arc<Mutex<Vec<(Instant, String, usize)>>>;

/// A server that notes when each request came, and answers as the log does but for one path.
fn server() -> (Server, Seen) {
    let seen = Seen::default();
    let noted = Arc::clone(&seen);
    let server = Server::start(move |request| {
        noted.lock().unwrap().push((Instant::now(), request.line(), request.body.len()));
        let status = match request.path.as_str() {
            "/items/2" => 404,
            "/cart" => 201,
            "/cart/7" => 500,
            _ => 200,
        };
        (status, String::new(), String::new())
    });
    (server, seen)
}

fn scenario(port: u16, http: &str, replay: &str) -> String {
    format!(
        "
experiment: test
limits: {{errors: 100%, generator-cpu: 100%}}
workloads:
  clients:
    url: http://127.0.0.1:{port}
    http: {{{http}}}
    headers: {{x-replayed: \"yes\"}}
    load: {{replay: {{log: access.log, {replay}}}}}
"
    )
}

/// How many requests of a step had each outcome.
fn outcomes_in(summary: &Json, phase: &str, step: &str) -> Json {
    let step = part(summary, "all", "clients", phase, step);
    let mut outcomes = step["errors"].as_object().unwrap().clone();
    if step["ok"] != json!(0) {
        outcomes.insert("ok".to_owned(), step["ok"].clone());
    }
    outcomes.into()
}

fn outcomes(summary: &Json, step: &str) -> Json {
    outcomes_in(summary, "during", step)
}

#[test]
fn a_log_is_sent_at_its_instants_with_what_it_has() {
    // The lean path, and the general one.
    for http in ["", "redirects: 1"] {
        let (server, seen) = server();
        let more = "format: combined, speed: 2, body: {random: 100B}, expect: logged, paths: [/items/*, /cart]";
        let place = Place::with(&scenario(server.port, http, more));
        place.write_as_is("access.log", LOG);
        let outcome = place.run_test();
        let notes = [
            "access.log: entry 3 is not replayed: not in the format of the log\n",
            "access.log: entry 5 is not replayed: a method that cannot be replayed\n",
            "1 entry is earlier than the one before, by up to 1s: all are replayed in the order of their times",
        ];
        notes.iter().for_each(|note| assert!(outcome.stderr.contains(note), "{note}: {}", outcome.stderr));
        let seen = seen.lock().unwrap();
        let lines: Vec<(&str, usize)> = seen.iter().map(|(_, line, body)| (line.as_str(), *body)).collect();
        let expected =
            [("GET /items/1?a=b", 0), ("GET /items/2", 0), ("POST /cart", 100), ("HEAD /items/3", 0), ("DELETE /cart/7", 0)];
        assert_eq!(lines, expected);
        for ((at, line, _), expected) in seen.iter().zip([0.0, 0.25, 0.5, 1.0, 1.5]) {
            let after = at.duration_since(seen[0].0).as_secs_f64();
            assert!((after - expected).abs() < 0.1, "{line}: {after} instead of {expected}");
        }
        assert!(server.requests().iter().all(|request| request.header("x-replayed") == Some("yes")));
        let summary = place.summary();
        // A logged 304 may be a 200; a logged 204 is not a 500.
        assert_eq!(outcomes(&summary, "/items/*"), json!({"ok": 3}));
        assert_eq!(outcomes(&summary, "/cart"), json!({"ok": 1}));
        assert_eq!(outcomes(&summary, "other"), json!({"wrong-status": 1}));
        assert_eq!(outcomes(&summary, "(pass)"), json!({"ok": 4, "wrong-status": 1}));
        let plan: Json = serde_json::from_slice(&std::fs::read(place.run_directory("test").join("plan.json")).unwrap()).unwrap();
        let replay = &plan["cells"][0]["workloads"][0]["load"]["arrivals"]["open"]["pattern"]["replay"];
        assert_eq!((&replay["requests"], &replay["left_out"][0]["count"]), (&json!(5), &json!(1)), "{replay:#}");
    }
}

#[test]
fn a_replay_ends_early_and_has_a_warm_up() {
    let (server, seen) = server();
    let text = scenario(server.port, "", "format: combined").replace("}}\n", "}, warm-up: {duration: 500ms}, duration: 700ms}\n");
    let place = Place::with(&text);
    place.write_as_is("access.log", LOG);
    place.run_test();
    // At 0 s; at 0.5 s; nothing of what comes at 1.2 s and later.
    let lines: Vec<String> = seen.lock().unwrap().iter().map(|(_, line, _)| line.clone()).collect();
    assert_eq!(lines, ["GET /items/1?a=b", "GET /items/2"]);
    let summary = place.summary();
    let of = |phase: &str| outcomes_in(&summary, phase, "(pass)");
    assert_eq!((of("warm-up"), of("during")), (json!({"ok": 1}), json!({"wrong-status": 1})));
}

/// Nothing is left to send after the last request, and that one is sent even without a drain.
#[test]
fn a_replay_ends_with_its_log_and_changes_no_path() {
    for http in ["", "redirects: 1"] {
        let (server, seen) = server();
        let text = scenario(server.port, http, "format: combined").replace("}}\n", "}, duration: 1h, drain: 0s}\n");
        let place = Place::with(&text);
        let line = |second: u32, path: &str| format!("h - - [30/Nov/2026:10:00:0{second} +0000] \"GET {path} HTTP/1.1\" 200 1\n");
        place.write_as_is("access.log", &[line(0, "//double//slash"), line(0, "/a%zz"), line(1, "/b/../%2e%2F?x=//")].concat());
        let plan = place.run(&["plan", "test.yaml"]).expect(0);
        assert!(plan.stdout.contains("during: 2 passes, to the end of the log"), "{}", plan.stdout);
        let outcome = place.run_test().expect(0);
        let note = "access.log: entry 2 is not replayed: a path that cannot be sent as it stands\n";
        assert!(outcome.stderr.contains(note), "{}", outcome.stderr);
        let lines: Vec<String> = seen.lock().unwrap().iter().map(|(_, line, _)| line.clone()).collect();
        assert_eq!(lines, ["GET //double//slash", "GET /b/../%2e%2F?x=//"]);
        assert_eq!(outcomes(&place.summary(), "(pass)"), json!({"ok": 2}));
        assert_eq!(place.status("all/run1")["phases"][0]["unsent"], json!(0));
    }
}

#[test]
fn bodies_of_a_har_are_sent_with_their_types() {
    let entry = |ms: u32, method: &str, url: &str, more: &str| {
        format!(
            r#"{{"startedDateTime": "2026-11-30T10:00:00.{ms:03}Z", "request": {{"method": "{method}", "url": "{url}"{more}}}, "response": {{"status": 200}}}}"#
        )
    };
    let json_body = r#", "postData": {"mimeType": "application/json", "text": "{\"a\": 1}"}"#;
    let entries = [
        entry(0, "POST", "https://shop.example/cart", json_body),
        entry(100, "GET", "https://shop.example/", ""),
        entry(150, "GET", "https://cdn.example/x.js", ""),
        entry(200, "PUT", "https://shop.example/cart/1", r#", "bodySize": 20"#),
    ];
    let (server, _) = server();
    let text = scenario(server.port, "", "format: har, body: random")
        .replace("access.log", "page.har")
        .replace("  clients:", "  clients:\n    threads: 1");
    let place = Place::with(&text);
    place.write_as_is("page.har", &format!(r#"{{"log": {{"entries": [{}]}}}}"#, entries.join(",")));
    place.run_test().expect(0).complains(&["page.har: entry 3 is not replayed: another host"]);
    let requests = server.requests();
    let kinds: Vec<Option<&str>> = requests.iter().map(|request| request.header("content-type")).collect();
    assert_eq!(kinds, [Some("application/json"), None, None]);
    assert_eq!((requests[0].body.as_slice(), requests[2].body.len()), (br#"{"a": 1}"#.as_slice(), 20));
}

/// The request lines of a log of nginx, sorted.
fn request_lines(path: &std::path::Path) -> Vec<String> {
    let log = std::fs::read_to_string(path).unwrap();
    let mut lines: Vec<String> = log.lines().map(|line| line.split('"').nth(1).unwrap().to_owned()).collect();
    lines.sort_unstable();
    lines
}

/// The way of a log through a real server: a mix over HTTP/2 is logged by nginx, and what nginx logged is replayed, over HTTP/2 too.
#[test]
fn what_nginx_logs_is_what_it_gets_again() {
    if !installed(&["nginx"]) {
        return;
    }
    let mut place = Place::new();
    place.write(
        "nginx.conf",
        "
daemon off;
master_process off;
pid DIR/nginx.pid;
error_log DIR/error.log;
events { worker_connections 1024; }
http {
    access_log DIR/access.log combined;
    keepalive_requests 1000000;
    client_body_temp_path DIR/body;
    proxy_temp_path DIR/proxy;
    fastcgi_temp_path DIR/fastcgi;
    uwsgi_temp_path DIR/uwsgi;
    scgi_temp_path DIR/scgi;
    server {
        listen 127.0.0.1:PORT1 http2;
        location /items/ { return 200 'item'; }
        location /old { return 301 /items/1; }
        location /gone { return 404; }
        location / { return 200 'hello'; }
    }
}
",
    );
    let target = "nginx: {command: [nginx, -p, DIR, -e, DIR/error.log, -c, DIR/nginx.conf], port: PORT1}";
    let scenario = |load: &str| {
        format!(
            "
experiment: test
limits: {{generator-cpu: 100%, errors: 100%}}
targets: {{{target}}}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    http: {{version: 2, streams: 4}}
{load}
"
        )
    };
    let mix = "    load: {open: {stages: [{to: 200/s, for: 1s}, {to: 0, for: 1s}], connections: 8}}
    draw: {n: {to: 99}}
    mix: {look: 4, leave: 1}
    steps:
      look: [{get: '/items/${n}?q=a%20b'}, {pause: 20ms}, {name: more, when: {n: '>= 50'}, get: /more}]
      leave: [{get: /old, expect: {status: 301}}, {name: gone, head: /gone, expect: {status: 404}}]";
    place.write("test.yaml", &scenario(mix));
    place.run_test().expect(0);
    let first = request_lines(&place.path("access.log"));
    assert!(first.len() > 300, "{}", first.len());
    let summary = place.summary();
    let ok = |step: &str| part(&summary, "all", "clients", "during", step)["ok"].as_u64().unwrap();
    assert_eq!(ok("(look)") + ok("(leave)"), 200);
    // Two checked passes came before.
    let sent = ok("look/get") + ok("more") + ok("leave/get") + ok("gone");
    assert!((sent + 3..=sent + 4).contains(&(first.len() as u64)), "{sent} {}", first.len());
    std::fs::rename(place.path("access.log"), place.path("first.log")).unwrap();
    std::fs::rename(place.path("results"), place.path("first")).unwrap();
    place.write("test.yaml", &scenario("    load: {replay: {log: first.log, format: combined, speed: 2, expect: logged}}"));
    place.run_test().expect(0);
    assert_eq!(request_lines(&place.path("access.log")), first);
    let summary = place.summary();
    assert_eq!(outcomes(&summary, "(pass)"), json!({"ok": first.len()}));
}
