//! What servers counted, held against what was sent to them: fixtures, haproxy, nginx, and a server in Python that counts
//! wrongly on purpose.
//!
//! Where haproxy or nginx is not installed, the tests that need it say so and do nothing.

use std::process::Command;

use serde_json::{Value as Json, json};

use crate::support::Place;

/// A server that counts in its own way, tells its count at `/stats`, and writes a line for each request.
const SERVER: &str = r#"
import http.server, socketserver, socket, sys
port, mode = int(sys.argv[1]), sys.argv[2]
came = counted = 0
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    def do_GET(self):
        global came, counted
        status, headers = 200, []
        if self.path == "/stats":
            body = b'{"requests": %d}' % counted
            counted += mode == "itself"
        else:
            came += 1
            tenth = came % 10 == 0
            counted += {"loses": not tenth, "twice": 1 + tenth}.get(mode, 1)
            with open("access.log", "a") as log:
                log.write("GET %s\n" % self.path)
            if mode == "resets" and tenth:
                # An end with something unread is a reset; with nothing it is only an end.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                self.close_connection = True
                self.connection.close()
                return
            if self.path == "/old":
                status, headers = 302, [("Location", "/new")]
            body = b"hello world\n"
        self.send_response(status)
        for name, value in headers + [("Content-Length", str(len(body)))]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        pass
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads, allow_reuse_address, request_queue_size = True, True, 100
    def handle_error(self, *words):
        pass
Server(("127.0.0.1", port), Handler).serve_forever()
"#;

/// One server in Python behind its own port; REST stands at the end, and may name PORT1.
fn python(mode: &str, rest: &str) -> Place {
    let mut place = Place::new();
    place.write("server.py", SERVER);
    let scenario = "
experiment: test
layout: all
targets:
  web: {command: [python3, server.py, 'PORT1', MODE], port: PORT1}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 2}, amount: 100, warm-up: {amount: 20}}
    steps: [{get: /a}]
";
    place.write("test.yaml", &(scenario.replace("MODE", mode) + rest));
    place
}

const STATS: &str = "{target: web, collect: {get: 'http://127.0.0.1:PORT1/stats', json: /requests}}";

fn is_installed(program: &str) -> bool {
    let there = Command::new("sh")
        .args(["-c", &format!("PATH=$PATH:/usr/sbin:/usr/local/sbin command -v {program}")])
        .output()
        .is_ok_and(|output| output.status.success());
    if !there {
        eprintln!("SKIPPED: {program} is not installed");
    }
    there
}

/// What was compared, by target: sent, unanswered, seen.
#[track_caller]
fn counts(place: &Place, repetition: &str) -> Vec<(String, u64, u64, u64)> {
    let status = place.status(repetition);
    let found = status["reconciled"].as_array().unwrap_or_else(|| panic!("nothing was compared: {status:#}"));
    let number = |one: &Json, key: &str| one[key].as_u64().unwrap_or_else(|| panic!("no {key}: {one:#}"));
    let one = |one: &Json| {
        let target = one["target"].as_str().expect("a name").to_owned();
        (target, number(one, "sent"), number(one, "unanswered"), number(one, "seen"))
    };
    found.iter().map(one).collect()
}

#[track_caller]
fn reason(place: &Place) -> String {
    let verdict = place.status("all/run1")["verdict"].clone();
    assert_eq!(verdict["is"], "invalid", "{verdict:#}");
    verdict["reasons"].to_string()
}

fn exactly(target: &str, requests: u64) -> (String, u64, u64, u64) {
    (target.to_owned(), requests, 0, requests)
}

#[test]
fn fixtures_count_by_themselves_in_front_and_behind_a_proxy() {
    let place = Place::with(
        "
experiment: test
layout: ${server}/${way}
factors:
  server: [null-server, queue, stall, cpu-server, faulty, blobs-server]
  way: [direct, proxy]
let:
  args:
    null-server: []
    queue: [--mean, 50us]
    stall: [--period, 1s, --stall, 20ms]
    cpu-server: []
    faulty: [--mode, close]
    blobs-server: [--dir, \"${scratch}/blobs\"]
targets:
  web: {fixture: \"${server}\", replicas: 2, port: \"${[PORT1, PORT2][replica - 1]}\", args: \"${args[server]}\", ready: {tcp: \"${[PORT1, PORT2][replica - 1]}\"}}
  front: {when: \"${way == 'proxy'}\", fixture: proxy, port: PORT3, after: web, args: [--to, \"${targets.web.addresses | join(',')}\"]}
workloads:
  clients:
    url: \"${targets.web.urls if way == 'direct' else ['http://127.0.0.1:PORT3']}\"
    load: {closed: {connections: 4}, amount: 200, warm-up: {amount: 100}}
    steps: [{get: \"${'/hi' if server == 'cpu-server' else '/'}\"}, {get: \"${'/hi' if server == 'cpu-server' else '/'}\"}]
",
    );
    place.run_test().expect(0);
    for server in ["null-server", "queue", "stall", "cpu-server", "faulty", "blobs-server"] {
        for way in ["direct", "proxy"] {
            // Both steps of all passes, those of the warm-up too; not the checked pass.
            assert_eq!(counts(&place, &format!("{server}/{way}/run1")), [exactly("web", 600)], "{server} {way}");
        }
    }
}

#[test]
fn what_has_no_answer_may_have_arrived_or_not() {
    let place = Place::with(
        "
experiment: test
layout: ${mode}
factors: {mode: [reset, silent, short-body, garbage, early-close, status-500]}
limits: {errors: 100%}
targets:
  web: {fixture: faulty, args: [--mode, \"${mode}\", --healthy, '51'], port: PORT1}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 2}, amount: 60}
    timeout: 50ms
    steps: [{get: /}]
",
    );
    place.run_test().expect(0);
    for (mode, unanswered) in [("reset", 10), ("silent", 10), ("short-body", 0), ("garbage", 0), ("status-500", 0)] {
        assert_eq!(counts(&place, &format!("{mode}/run1")), [("web".to_owned(), 60, unanswered, 60)], "{mode}");
    }
    // What is written to a connection that is just being closed does not arrive.
    let (_, sent, unanswered, seen) = counts(&place, "early-close/run1").remove(0);
    assert!(sent <= 60 && (sent - unanswered..=sent).contains(&seen), "{sent} {unanswered} {seen}");
}

#[test]
fn a_server_that_loses_or_repeats_makes_a_repetition_invalid() {
    for (mode, seen, words) in [
        ("loses", 108, "`clients` sent 120 requests to `web`, which counted 108: 12 never reached it"),
        ("twice", 132, "which counted 132: 12 more than were sent"),
    ] {
        let place = python(mode, &format!("reconcile: {STATS}\n"));
        place.run_test().expect(4).complains(&["INVALID", words]);
        assert!(reason(&place).contains("`limits: {reconcile: 10%}` accepts that"), "{}", reason(&place));
        assert_eq!(counts(&place, "all/run1"), [("web".to_owned(), 120, 0, seen)]);
    }
}

#[test]
fn a_mismatch_can_be_accepted() {
    let stats = STATS.strip_suffix('}').expect("a map");
    for rest in [
        format!("limits: {{reconcile: 10%}}\nreconcile: {STATS}"),
        format!("reconcile: {stats}, tolerance: 12}}"),
        format!("reconcile: [{stats}, tolerance: 10%}}]"),
        // Nothing is known of it.
        String::new(),
        "reconcile: off".to_owned(),
    ] {
        let outcome = python("loses", &rest).run_test().expect(0);
        let told = outcome.stdout.contains("COUNTS: `web` counted 108 requests, but 120 were sent to it [all]");
        assert_eq!(told, rest.contains("target"), "{rest}: {}", outcome.stdout);
    }
    let rest = format!("reconcile: {stats}, tolerance: 11}}");
    python("loses", &rest).run_test().expect(4);
}

#[test]
fn a_count_is_read_from_where_the_scenario_says() {
    let collect = "collect: {stats: {get: 'http://127.0.0.1:PORT1/stats', metrics: {requests: {json: /requests}}}}\n";
    for (mode, rest) in [
        // Each reading is a request that the server counts, too.
        ("itself", format!("reconcile: {STATS}")),
        ("right", format!("{collect}reconcile: {{target: web, collect: stats}}")),
        ("right", format!("{collect}reconcile: {{target: web, collect: stats.requests, steps: get}}")),
        ("right", "reconcile: {target: web, collect: {file: DIR/access.log, lines: '^GET /a$'}}".to_owned()),
        ("right", "reconcile: {target: web, collect: {command: [grep, -c, GET, DIR/access.log], regex: '.*'}}".to_owned()),
    ] {
        let place = python(mode, &rest);
        place.run_test().expect(0);
        assert_eq!(counts(&place, "all/run1"), [exactly("web", 120)], "{mode} {rest}");
    }
    // What the scenario asks for must be there.
    let missing = "reconcile: {target: web, collect: {get: 'http://127.0.0.1:PORT1/stats', json: /nothing}}";
    python("right", missing).run_test().expect(4).complains(&["the count of web", "there is nothing at `/nothing`"]);
}

#[test]
fn each_request_of_a_redirect_counts() {
    let mut place = python("right", "");
    let text = std::fs::read_to_string(place.path("test.yaml")).unwrap();
    let text = text.replace("{get: /a}", "{get: /old}").replace("    steps", "    http: {redirects: 2}\n    steps");
    place.write("test.yaml", &format!("{text}reconcile: {STATS}\n"));
    place.run_test().expect(0);
    assert_eq!(counts(&place, "all/run1"), [exactly("web", 240)]);
}

/// haproxy in front of a server on PORT1; REST stands at its end.
fn haproxy(place: &mut Place, backend: &str) {
    let config = "
global
  stats socket {{ scratch }}/haproxy.sock level operator
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
frontend clients
  bind 127.0.0.1:PORT2
  default_backend web
backend web
";
    place.write("haproxy.cfg.j2", &(config.to_owned() + backend + "\n"));
}

const BEHIND_HAPROXY: &str = "
experiment: test
layout: all
targets:
  web: SERVER
  front:
    after: web
    render: {haproxy.cfg: haproxy.cfg.j2}
    command: [haproxy, -db, -f, \"${scratch}/haproxy.cfg\"]
    port: PORT2
workloads:
  clients:
    url: http://127.0.0.1:PORT2
    load: {closed: {connections: 1}, amount: 100}
    steps: [{get: /}]
";

#[test]
fn a_proxy_that_repeats_requests_is_found_out() {
    if !is_installed("haproxy") {
        return;
    }
    let mut place = Place::new();
    place.write("server.py", SERVER);
    haproxy(&mut place, "  retries 3\n  retry-on all-retryable-errors\n  server web 127.0.0.1:PORT1");
    let server = "{command: [python3, server.py, 'PORT1', resets], port: PORT1}";
    place.write("test.yaml", &(BEHIND_HAPROXY.replace("SERVER", server) + "reconcile: " + STATS + "\n"));
    // Nobody has noticed but the server: every answer was right.
    place.run_test().expect(4);
    let reason = reason(&place);
    assert!(reason.contains("sent 100 requests through `front` to `web`, which counted 111: 11 more than were sent"), "{reason}");
    let mut found = counts(&place, "all/run1");
    found.sort();
    assert_eq!(found, [exactly("front", 100), ("web".to_owned(), 100, 0, 111)]);
}

#[test]
fn checks_of_health_do_not_count() {
    if !is_installed("haproxy") {
        return;
    }
    let mut place = Place::new();
    haproxy(&mut place, "  option httpchk GET /\n  server web 127.0.0.1:PORT1 check inter 10ms");
    let server = "{fixture: null-server, port: PORT1}";
    let text = BEHIND_HAPROXY.replace("SERVER", server).replace("amount: 100", "duration: 500ms");
    place.write("test.yaml", &text);
    place.run_test().expect(0);
    let mut found = counts(&place, "all/run1");
    found.sort();
    let (_, sent, unanswered, seen) = found[0].clone();
    assert_eq!((unanswered, seen), (0, sent), "haproxy's own count does not hold them");
    assert!(found[1].3 > sent, "the server behind it counts them: {found:?}");
}

#[test]
fn nginx_counts_by_itself_over_both_versions_and_as_a_proxy() {
    if !is_installed("nginx") {
        return;
    }
    let mut place = Place::new();
    place.write(
        "nginx.conf.j2",
        "
daemon off;
pid {{ scratch }}/nginx.pid;
error_log stderr warn;
events {}
http {
  access_log off;
  upstream web { server 127.0.0.1:PORT1; }
  server {
    listen 127.0.0.1:PORT2{{ ' http2' if version == 2 else '' }};
    location / { {{ 'proxy_pass http://web' if way == 'proxy' else 'return 200 hello' }}; }
  }
  server {
    listen {{ pages[status] }};
    location = /count { stub_status; }
  }
}
",
    );
    let scenario = "
experiment: test
layout: ${version}/${way}/${status}
factors:
  version: [1, 2]
  way: [own, proxy]
  status: [port, socket]
exclude: [{version: 2, status: socket}]
let: {pages: {port: '127.0.0.1:PORT3', socket: 'unix:DIR/status.sock'}}
targets:
  web: {fixture: null-server, port: PORT1}
  front:
    after: web
    render: {nginx.conf: nginx.conf.j2}
    command: [nginx, -p, \"${scratch}\", -e, stderr, -c, \"${scratch}/nginx.conf\"]
    port: PORT2
    stop: {signal: QUIT}
workloads:
  clients:
    url: http://127.0.0.1:PORT2
    http: {version: \"${version}\"}
    load: {closed: {connections: 3}, amount: 200, warm-up: {amount: 100}}
    steps: [{get: /}]
";
    place.write("test.yaml", scenario);
    place.run_test().expect(0);
    for (version, status) in [(1, "port"), (1, "socket"), (2, "port")] {
        let [own, proxy] = ["own", "proxy"].map(|way| counts(&place, &format!("{version}/{way}/{status}/run1")));
        assert_eq!(own, [exactly("front", 300)], "{version} {status}");
        assert_eq!(proxy, [exactly("web", 300), exactly("front", 300)], "{version} {status}");
    }
}

#[test]
fn what_others_send_is_only_asked_not_to_be_less() {
    let scenario = "
experiment: test
layout: all
OPTION
targets: {web: {fixture: null-server, port: PORT1}}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 1}, amount: 50}
    steps: [{get: /}]
  tool:
    command: [RUNNER, load, \"http://127.0.0.1:PORT1/\", -n, '30', -c, '1']
    load: {closed: {connections: 1}, amount: 1}
";
    let place = Place::with(&scenario.replace("OPTION", ""));
    place.run_test().expect(0);
    let (_, sent, _, seen) = counts(&place, "all/run1").remove(0);
    assert!(sent == 50 && seen >= 80, "{sent} {seen}");
    // Whoever says whose requests are counted is taken at their word.
    let place = Place::with(&scenario.replace("OPTION", "reconcile: {target: web, workload: clients}"));
    place.run_test().expect(4);
    assert!(reason(&place).contains("more than were sent"), "{}", reason(&place));
    let place = Place::with(&scenario.replace("OPTION", "reconcile: off"));
    place.run_test().expect(0);
    assert_eq!(place.status("all/run1")["reconciled"], json!(null));
}
