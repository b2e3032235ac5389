//! Users: what lasts over passes, cookies as RFC 6265 has them, log-ins that fail, and rows of files. Against the fixture `shop`,
//! against nginx, and against a server that sees every request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::http::{installed, nginx};
use crate::load::part;
use crate::server::{Request, Server};
use crate::support::Place;

/// The ways to speak HTTP/1.1 on which everything must be the same: the lean path and the general one.
const PATHS: [&str; 2] = ["{}", "{redirects: 1}"];

fn scenario(server: &Server, workload: &str) -> String {
    format!(
        "experiment: test
limits: {{generator-cpu: 100%, silence: 100%}}
workloads:
  clients:
    url: http://127.0.0.1:{}
{workload}",
        server.port
    )
}

/// Sets two cookies, one with attributes, and knows who has logged in. A session ends after `most` requests.
fn sessions(most: u64) -> (Server, Arc<Mutex<BTreeMap<String, u64>>>) {
    let known: Arc<Mutex<BTreeMap<String, u64>>> = Arc::default();
    let (state, next) = (Arc::clone(&known), AtomicU64::new(0));
    let server = Server::start(move |request: &Request| {
        if request.path == "/login" {
            let session = format!("s{}", next.fetch_add(1, Ordering::Relaxed));
            state.lock().unwrap().insert(session.clone(), 0);
            let cookies =
                format!("set-cookie: lang=en; Path=/\r\nset-cookie: session={session}; Path=/; HttpOnly; Max-Age=3600\r\n");
            return (200, cookies, json!({"token": session}).to_string());
        }
        let cookie = request.header("cookie").unwrap_or_default().to_owned();
        let session = cookie.split("; ").find_map(|one| one.strip_prefix("session=")).unwrap_or_default();
        let mut known = state.lock().unwrap();
        let Some(used) = known.get_mut(session).filter(|used| **used < most) else { return (401, String::new(), cookie) };
        *used += 1;
        let is_whole = cookie == format!("lang=en; session={session}");
        let close = if request.path == "/close" { "connection: close\r\n" } else { "" };
        (
            if is_whole { 200 } else { 500 },
            close.to_owned(),
            format!("{cookie} {}", request.header("x-token").unwrap_or_default()),
        )
    });
    (server, known)
}

#[test]
fn a_user_logs_in_once_and_its_cookies_and_token_last() {
    for http in PATHS {
        let (server, known) = sessions(u64::MAX);
        let workload = format!(
            "    http: {http}
    load: {{closed: {{connections: 5}}, amount: 200}}
    cookies: user
    user: [{{name: log-in, post: /login, carry: {{token: {{json: /token}}}}}}]
    steps: [{{get: /me, headers: {{x-token: \"${{token}}\"}}, expect: {{contains: \"session=${{token}} ${{token}}\"}}}}]
"
        );
        let place = Place::with(&scenario(&server, &workload));
        place.run_test().expect(0);
        // One of them is the checked pass's.
        assert_eq!(known.lock().unwrap().len(), 6, "{http}");
        let summary = place.summary();
        assert_eq!(part(&summary, "all", "clients", "during", "log-in")["ok"], 5);
        for step in ["get", "(pass)"] {
            let step = part(&summary, "all", "clients", "during", step);
            assert_eq!((&step["ok"], &step["requests"]), (&json!(200), &json!(200)));
        }
        assert_eq!(place.status("all/run1")["users"], json!([{"workload": "clients", "log_ins": 5}]));
    }
}

#[test]
fn a_user_logs_in_again_when_its_session_has_ended() {
    for http in PATHS {
        let (server, known) = sessions(10);
        let workload = format!(
            "    http: {http}
    load: {{closed: {{connections: 2}}, amount: 200}}
    cookies: user
    user: [{{name: log-in, post: /login}}]
    relogin: 401
    steps: [{{get: /me}}, {{name: more, get: /more}}]
"
        );
        let place = Place::with(&scenario(&server, &workload));
        place.run_test().expect(0);
        let summary = place.summary();
        for step in ["get", "more", "(pass)"] {
            let step = part(&summary, "all", "clients", "during", step);
            assert_eq!((&step["ok"], &step["requests"]), (&json!(200), &json!(200)), "{step}");
        }
        // 400 requests in sessions of 10, on two connections that share them unevenly.
        let users = &place.status("all/run1")["users"][0];
        let again = users["again"].as_u64().unwrap();
        assert!((38..=40).contains(&again) && users["log_ins"] == again + 2, "{users}");
        assert_eq!(part(&summary, "all", "clients", "during", "log-in")["ok"], again + 2);
        assert_eq!(known.lock().unwrap().len() as u64, again + 3);
    }
}

#[test]
fn logging_in_again_in_vain_comes_to_an_end() {
    let log_ins = Arc::new(AtomicU64::new(0));
    let (counted, first) = (Arc::clone(&log_ins), AtomicU64::new(0));
    let server = Server::start(move |request| match request.path.as_str() {
        "/login" => {
            counted.fetch_add(1, Ordering::Relaxed);
            (200, String::new(), String::new())
        }
        // The checked pass is welcome. So many passes follow that each of both has some, however busy the machine is.
        _ if first.fetch_add(1, Ordering::Relaxed) == 0 => (200, String::new(), String::new()),
        _ => (401, String::new(), String::new()),
    });
    let workload = "    load: {closed: {connections: 2}, amount: 2000}
    user: [{name: log-in, post: /login}]
    relogin: [401, 403]
    steps: [{get: /me}]
";
    let place = Place::with(&(scenario(&server, workload) + "limits: {errors: 100%, silence: 100%}").replacen(
        "limits: {generator-cpu: 100%, silence: 100%}\n",
        "",
        1,
    ));
    place.run_test().expect(0);
    assert_eq!(log_ins.load(Ordering::Relaxed), 1 + 2 + 2 * 3);
    let users = &place.status("all/run1")["users"][0];
    assert_eq!((&users["again"], &users["given_up"]), (&json!(6), &json!(2)));
    assert_eq!(part(&place.summary(), "all", "clients", "during", "(pass)")["errors"], json!({"wrong-status": 2000}));
}

#[test]
fn who_cannot_log_in_does_nothing_else() {
    for (answer, why) in [("{\"token\": 1}", "wrong-status"), ("{}", "nothing-to-carry")] {
        let paths: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&paths);
        let server = Server::start(move |request| {
            seen.lock().unwrap().push(request.path.clone());
            let is_locked = request.path == "/login/1";
            let status = if is_locked && why == "wrong-status" { 403 } else { 200 };
            (status, String::new(), if is_locked { answer } else { "{\"token\": 1}" }.to_owned())
        });
        let workload = "    load: {open: {rate: 200/s, connections: 2}, amount: 100}
    user: [{name: log-in, post: \"/login/${connection}\", carry: {token: {json: /token}}}]
    steps: [{get: \"/by/${connection}\"}]
";
        let place = Place::with(&(scenario(&server, workload) + "limits: {errors: 100%, silence: 100%}").replacen(
            "limits: {generator-cpu: 100%, silence: 100%}\n",
            "",
            1,
        ));
        place.run_test().expect(0);
        let paths = paths.lock().unwrap();
        assert!(!paths.contains(&"/by/1".to_owned()) && paths.contains(&"/by/0".to_owned()));
        let summary = place.summary();
        let pass = part(&summary, "all", "clients", "during", "(pass)");
        let failed = pass["errors"]["no-log-in"].as_u64().unwrap();
        assert!(failed > 0 && pass["ok"].as_u64().unwrap() + failed == 100, "{pass}");
        let log_in = part(&summary, "all", "clients", "during", "log-in");
        assert_eq!(log_in["ok"], 1);
        assert_eq!(log_in["errors"][why].as_u64(), place.status("all/run1")["users"][0]["failed"].as_u64());
    }
    // If nobody gets in, that is found before the load.
    let server = Server::start(|_| (403, String::new(), String::new()));
    let workload = "    load: {closed: {connections: 2}, amount: 100}
    user: [{name: log-in, post: /login}]
    steps: [{get: /}]
";
    let place = Place::with(&scenario(&server, workload));
    place.run_test().expect(4).complains(&["the user could not log in: POST /login answered 403 instead of 2xx"]);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_log_in_is_in_the_response_time_of_an_arrival_and_in_no_service_time() {
    let server = Server::start(|request| {
        if request.path == "/login" {
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        (200, String::new(), String::new())
    });
    // Nobody logs in before a ramp has reached its connection.
    let workload = "    load: {closed: {connections: 4, ramp: 100ms}, duration: 1s}
    user: [{name: log-in, post: /login}]
    steps: [{get: /}]
";
    let place = Place::with(&scenario(&server, workload));
    place.run_test().expect(0);
    let summary = place.summary();
    let [log_in, pass] = ["log-in", "(pass)"].map(|step| part(&summary, "all", "clients", "during", step));
    assert_eq!(log_in["ok"], 4);
    assert!(log_in["service_ns"]["p50"].as_u64().unwrap() >= 100_000_000, "{log_in}");
    for time in ["service_ns", "response_ns"] {
        assert!(pass[time]["max"].as_u64().unwrap() < 100_000_000, "{time} {pass}");
    }
}

#[test]
fn a_user_stays_when_its_connection_does_not() {
    for (http, path) in [("{keep-alive: false}", "/me"), ("{}", "/close"), ("{redirects: 1}", "/close")] {
        let (server, known) = sessions(u64::MAX);
        let workload = format!(
            "    http: {http}
    load: {{closed: {{connections: 2}}, amount: 20}}
    cookies: user
    user: [{{name: log-in, post: /login}}]
    steps: [{{get: {path}}}]
"
        );
        let place = Place::with(&scenario(&server, &workload));
        place.run_test().expect(0);
        assert_eq!(known.lock().unwrap().len(), 3, "{http}");
        assert!(place.status("all/run1")["generator"]["connects"].as_u64().unwrap() >= 20);
    }
}

#[test]
fn cookies_of_a_pass_end_with_it_and_odd_ones_are_refused_and_counted() {
    let lines: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let seen = Arc::clone(&lines);
    let server = Server::start(move |request| {
        let cookie = request.header("cookie").unwrap_or_default();
        seen.lock().unwrap().insert(format!("{} {cookie}", request.path.split('?').next().unwrap()));
        let cookies = ["a=1; Path=/", "b=2; Domain=example.org", "=3", "gone=4; Max-Age=0", "here=5; Path=/second"];
        let long = format!("set-cookie: long={}\r\n", "x".repeat(5000));
        let all = cookies.iter().map(|cookie| format!("set-cookie: {cookie}\r\n")).collect::<String>() + &long;
        (200, if request.path.starts_with("/first?") { all } else { String::new() }, String::new())
    });
    for http in PATHS {
        lines.lock().unwrap().clear();
        let workload = format!(
            "    http: {http}
    load: {{closed: {{connections: 1}}, amount: 10}}
    cookies: pass
    steps: [{{get: '/first?of=${{pass}}'}}, {{name: second, get: /second/x}}, {{name: third, get: /third}}]
"
        );
        let place = Place::with(&scenario(&server, &workload));
        place.run_test().expect(0);
        let expected = ["/first ", "/second/x here=5; a=1", "/third a=1"].map(str::to_owned);
        assert_eq!(*lines.lock().unwrap(), expected.into(), "{http}");
        let users = &place.status("all/run1")["users"][0];
        assert_eq!(users["cookies_refused"], 30);
        let reasons = users["cookies"].to_string();
        for why in [
            "`b` is for `example.org`, but 127.0.0.1 set it",
            "name is empty",
            "`long` has 5004 bytes",
            "GET /first set a cookie",
        ] {
            assert!(reasons.contains(why), "{reasons}");
        }
    }
    // Too long for any answer.
    let server = Server::start(|_| (200, format!("set-cookie: a={}\r\n", "x".repeat(100 << 10)), String::new()));
    let workload = "    load: {closed: {connections: 1}, amount: 1}\n    cookies: user\n    steps: [{get: /}]\n";
    Place::with(&scenario(&server, workload)).run_test().expect(4).complains(&["the head of the answer is longer than"]);
}

#[test]
fn a_pattern_is_looked_for_in_all_headers_of_a_name() {
    let (server, _) = sessions(u64::MAX);
    let workload = "    load: {closed: {connections: 2}, amount: 100}
    steps:
      - {post: /login, carry: {session: {header: set-cookie, regex: \"(session=[0-9a-z]+)\"}, first: {header: set-cookie}}}
      - {get: /me, headers: {cookie: \"lang=en; ${session}\"}, expect: {status: 200}}
";
    Place::with(&scenario(&server, workload)).run_test().expect(0);
    let missing = workload.replace("session=", "sessions=");
    let said = "no header `set-cookie` of it matches `(sessions=[0-9a-z]+)`";
    Place::with(&scenario(&server, &missing)).run_test().expect(4).complains(&[said]);
}

#[test]
fn rows_are_drawn_by_the_number_of_the_pass_whatever_the_threads() {
    let drawn = |order: &str, threads: u32, seed: &str| {
        let paths: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&paths);
        let server = Server::start(move |request| {
            seen.lock().unwrap().push(request.path.clone());
            (200, String::new(), String::new())
        });
        let workload = format!(
            "    threads: {threads}
    load: {{open: {{rate: 2000/s, connections: 8}}, amount: 60}}
    draw: {{u: {{rows: users.csv, order: {order}{seed}}}}}
    steps: [{{get: \"/${{pass}}/${{u.name | urlencode}}/${{u.n}}\"}}]
"
        );
        let mut place = Place::with(&scenario(&server, &workload));
        let rows: String = (0..25).map(|n| format!("\"a, {n}\",{n},unused\n")).collect();
        place.write("users.csv", &format!("name,n,more\n{rows}"));
        place.run(&["run", "test.yaml", "--seed", "5"]).expect(0);
        // The first one is the checked pass's.
        let mut paths: Vec<String> = paths.lock().unwrap().drain(1..).collect();
        paths.sort_by_key(|path| path[1..].split('/').next().unwrap().parse::<u64>().unwrap());
        paths
    };
    let one = drawn("in turn", 1, "");
    assert_eq!(one[26], "/26/a%2C%201/1");
    let shuffled = drawn("shuffled", 1, "");
    for threads in [2, 4] {
        assert_eq!(drawn("in turn", threads, ""), one);
        assert_eq!(drawn("shuffled", threads, ""), shuffled);
    }
    assert_ne!(drawn("shuffled", 2, ", seed: 7"), shuffled);
    let names = |from: usize| shuffled[from..from + 25].iter().map(|p| p.rsplit('/').next().unwrap()).collect::<Vec<_>>();
    assert!(names(0) != names(25) && BTreeSet::from_iter(names(0)) == BTreeSet::from_iter(names(25)));
    assert_eq!(BTreeSet::from_iter(names(0)).len(), 25);
}

#[test]
fn unique_rows_run_out_and_the_load_ends_there() {
    for load in [
        "{open: {rate: 200/s, connections: 4}, duration: 20s}",
        "{closed: {connections: 4, think: {constant: 10ms}}, duration: 20s}",
    ] {
        for threads in [1, 2] {
            let names: Arc<Mutex<Vec<String>>> = Arc::default();
            let seen = Arc::clone(&names);
            let server = Server::start(move |request| {
                seen.lock().unwrap().push(request.path.clone());
                (200, String::new(), String::new())
            });
            let workload = format!(
                "    threads: {threads}
    load: {load}
    draw: {{u: {{rows: users.jsonl, order: unique}}}}
    steps: [{{get: \"/${{u.n}}\"}}]
"
            );
            let mut place = Place::with(&scenario(&server, &workload));
            place.write("users.jsonl", &(0..101).map(|n| format!("{{\"n\": {n}}}\n")).collect::<String>());
            let begun = std::time::Instant::now();
            let outcome = place.run_test().expect(0);
            assert!(begun.elapsed().as_secs() < 15, "{:?}", begun.elapsed());
            assert!(outcome.flat().contains("ENDED EARLY: clients: the 101 rows of"), "{}", outcome.flat());
            let mut names = names.lock().unwrap().clone();
            names.sort();
            assert_eq!(names.len(), 101, "each once, and one for the checked pass");
            names.dedup();
            assert_eq!(names.len(), 101);
            let pass = part(&place.summary(), "all", "clients", "during", "(pass)").clone();
            assert_eq!((&pass["ok"], &pass["requests"]), (&json!(100), &json!(100)));
            let status = place.status("all/run1");
            let phase = &status["phases"][0];
            assert_eq!((&phase["unsent"], &phase["offered"]), (&json!(0), &json!(100)));
            let seconds = (phase["end_ns"].as_u64().unwrap() - phase["start_ns"].as_u64().unwrap()) as f64 / 1e9;
            let rate = pass["throughput_per_s"]["median"].as_f64().unwrap();
            assert!(seconds < 5.0 && (rate * seconds / 100.0 - 1.0).abs() < 0.05, "{rate} in {seconds} s");
            assert_eq!(status["ran_out"][0]["workload"], "clients");
        }
    }
}

/// Passes that are under way when the last row is taken complete after the end of the load.
#[test]
fn throughput_counts_until_the_rows_run_out() {
    let server = Server::friendly();
    let workload = "    load: {open: {rate: 100/s}, duration: 20s}
    draw: {u: {rows: users.jsonl, order: unique}}
    steps: [{get: \"/${u.n}\"}, {pause: 500ms}, {get: /}]
";
    let mut place = Place::with(&scenario(&server, workload));
    place.write("users.jsonl", &(0..101).map(|n| format!("{{\"n\": {n}}}\n")).collect::<String>());
    place.run_test().expect(0);
    let summary = place.summary();
    let pass = part(&summary, "all", "clients", "during", "(pass)");
    assert_eq!((&pass["ok"], &pass["requests"]), (&json!(100), &json!(100)));
    let rate = pass["throughput_per_s"]["median"].as_f64().unwrap();
    assert!(rate > 35.0 && rate < 65.0, "half of them end in the second in which they start: {rate}");
}

/// Who cannot log in tries again after the think time, as after any other pass.
#[test]
fn a_log_in_that_fails_is_followed_by_the_think_time() {
    let before = AtomicU64::new(0);
    let server = Server::start(move |_| {
        (if before.fetch_add(1, Ordering::Relaxed) < 2 { 200 } else { 403 }, String::new(), String::new())
    });
    let workload = "    load: {closed: {connections: 2, think: {constant: 300ms}}, duration: 1s}
    user: [{name: log-in, post: /login}]
    steps: [{get: /}]
";
    let place = Place::with(&(scenario(&server, workload).replacen("limits: {", "limits: {errors: 100%, ", 1)));
    place.run_test();
    let asked = server.requests().len();
    assert!((6..=14).contains(&asked), "{asked} requests of two users within a second");
}

#[test]
fn what_a_set_up_step_finds_is_known_to_the_load() {
    let server = Server::start(|request| match request.path.as_str() {
        "/login" => (200, "x-n: 7\r\n".to_owned(), json!({"token": "t 1"}).to_string()),
        "/check/7" | "/bye/7" => (200, String::new(), String::new()),
        _ => (if request.header("x-token") == Some("t 1") { 200 } else { 401 }, String::new(), String::new()),
    });
    let base = format!("http://127.0.0.1:{}", server.port);
    let place = Place::with(&format!(
        "experiment: test
limits: {{generator-cpu: 100%, silence: 100%}}
set-up:
  run:
    - {{post: \"{base}/login\", carry: {{token: {{json: /token}}}}}}
  load:
    - {{post: \"{base}/login\", carry: {{n: {{header: x-n}}}}}}
    - {{get: \"{base}/check/${{n}}\"}}
    - {{command: [test, \"${{token}}-${{n}}\", =, \"t 1-7\"]}}
clean-up:
  load: [{{post: \"{base}/bye/${{n}}\"}}]
workloads:
  clients:
    url: {base}
    load: {{closed: {{connections: 2}}, amount: 20}}
    headers: {{x-token: \"${{token}}\"}}
    steps:
      - get: \"/${{n}}\"
      - {{name: held, when: {{n: \"> 6\", token: \"== ${{token}}\"}}, get: /held}}
      - {{name: not, when: {{n: \"> 7\"}}, get: /not}}
"
    ));
    place.run_test().expect(0);
    let lines: Vec<String> = server.requests().iter().map(Request::line).collect();
    let count = |wanted: &str| lines.iter().filter(|line| *line == wanted).count();
    assert_eq!([count("GET /7"), count("GET /held"), count("GET /not")], [21, 21, 0]);
    assert_eq!(lines.last().map(String::as_str), Some("POST /bye/7"));
}

/// The shop as it ships: log-in from a file, sessions that end, a stock that runs out.
#[test]
fn the_shop_serves_users_of_a_file() {
    let mut place = Place::with(
        "experiment: test
limits: {generator-cpu: 100%, silence: 100%}
targets:
  shop: {fixture: shop, port: PORT1, args: [--users, DIR/users.csv, --session-requests, \"10\", --products, \"2\", --stock, \"40\"], ready: {http: /}}
workloads:
  customers:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 4}, amount: 100}
    draw: {me: {rows: users.csv, order: unique, per: user}}
    cookies: user
    user: [{name: log-in, post: /login, body: {json: {name: \"${me.name}\", password: \"${me.password}\"}}}]
    relogin: 401
    steps:
      - {name: cart, post: /cart, body: {json: {product: 1}}, expect: {contains: \"\\\"user\\\":\\\"${me.name}\\\"\"}}
      - {name: buy, post: /buy, outcomes: {sold-out: 409}}
",
    );
    place.write("users.csv", "name,password\nann,1\nbob,2\ncarl,3\ndora,4\nemil,5\n");
    place.run_test().expect(0);
    let summary = place.summary();
    let buy = part(&summary, "all", "customers", "during", "buy");
    // One was bought by the checked pass.
    assert_eq!((&buy["ok"], &buy["requests"]), (&json!(39), &json!(100)), "{buy}");
    let users = &place.status("all/run1")["users"][0];
    assert!(users["again"].as_u64().unwrap() > 0 && users.get("failed").is_none(), "{users}");
}

/// nginx marks users by a cookie of its own, and lets in whom another cookie shows.
#[test]
fn nginx_recognises_users_by_their_cookies() {
    if !installed(&["nginx"]) {
        return;
    }
    let servers = "map $http_cookie $known { default 0; ~session=open 1; }
  server {
    listen 127.0.0.1:PORT1;
    userid on; userid_name uid; userid_path /;
    location /login { add_header Set-Cookie 'lang=en; Path=/'; add_header Set-Cookie 'session=open; Path=/; HttpOnly'; return 200 in; }
    location / { if ($known = 0) { return 401; } return 200 $uid_got; }
  }";
    for http in ["{}", "{redirects: 1}"] {
        let mut place = nginx(servers);
        place.write(
            "test.yaml",
            &format!(
                "experiment: test
limits: {{generator-cpu: 100%, silence: 100%}}
targets:
  nginx: {{command: [nginx, -p, DIR, -e, DIR/error.log, -c, DIR/nginx.conf], port: PORT1}}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    http: {http}
    load: {{closed: {{connections: 3}}, amount: 60}}
    cookies: user
    user: [{{name: log-in, get: /login}}]
    steps: [{{get: /, expect: {{status: 200, contains: uid=}}}}]
"
            ),
        );
        place.run_test().expect(0);
        let summary = place.summary();
        assert_eq!(part(&summary, "all", "clients", "during", "(pass)")["ok"], 60);
        assert_eq!(part(&summary, "all", "clients", "during", "log-in")["ok"], 3);
    }
}

/// HTTP/2: each stream is a user.
#[test]
fn each_stream_of_http2_is_a_user() {
    if !installed(&["nginx"]) {
        return;
    }
    let servers = "map $http_cookie $known { default 0; ~session=open 1; }
  server {
    listen 127.0.0.1:PORT1 http2;
    location /login { add_header Set-Cookie 'session=open; Path=/'; return 200 in; }
    location / { if ($known = 0) { return 401; } return 200 hello; }
  }";
    let mut place = nginx(servers);
    place.write(
        "test.yaml",
        "experiment: test
limits: {generator-cpu: 100%, silence: 100%}
targets:
  nginx: {command: [nginx, -p, DIR, -e, DIR/error.log, -c, DIR/nginx.conf], port: PORT1}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    http: {version: 2, streams: 4}
    load: {closed: {connections: 2}, amount: 80}
    cookies: user
    user: [{name: log-in, get: /login}]
    steps: [{get: /}]
",
    );
    place.run_test().expect(0);
    let summary = place.summary();
    assert_eq!(part(&summary, "all", "clients", "during", "(pass)")["ok"], 80);
    assert_eq!(part(&summary, "all", "clients", "during", "log-in")["ok"], 8);
}
