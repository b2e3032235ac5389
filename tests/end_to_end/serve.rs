//! `runner serve`: what a run has recorded, as those see it who ask over HTTP, and what they cannot do.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value as Json, json};

use crate::browser::{SERIOUS, axe, browse_served, values};
use crate::support::{PATIENCE, Place, Started, copy, eventually, listing, within};

/// Two downloads and their stages, of 50 KiB each.
const SCENARIO: &str = "experiment: test
question: Is <b>this</b> fast?
targets:
  server: {fixture: random-data, port: PORT1}
workloads:
  downloads:
    url: http://127.0.0.1:PORT1
    stages: true
    load: {closed: {connections: 1}, amount: 2}
    steps: [{get: /50KiB, expect: {length: 50KiB}}]
";

/// A run of that.
fn measured() -> Place {
    let place = Place::with(SCENARIO);
    place.run_test().expect(0);
    place
}

/// A server, and where it is.
struct Server {
    started: Started,
    address: SocketAddr,
}

/// Serves the experiment `test` of a place.
fn serve(place: &Place, more: &[&str]) -> Server {
    started(place.runner().args(["serve", "results/test", "--listen", "127.0.0.1:0", "--source", "here"]).args(more))
}

fn started(command: &mut Command) -> Server {
    let mut started = Started::spawn(command);
    let mut said = String::new();
    eventually("it serves", || {
        said = started.said()[1].clone();
        said.contains("/\n").then_some(())
    });
    let address = said.lines().find_map(|line| line.split_once("http://")?.1.strip_suffix('/')).expect("an address");
    started.until("it serves", || Some(()));
    Server { started, address: address.parse().expect("an address") }
}

/// An answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let of = |line: &'_ str| line.split_once(": ").filter(|(found, _)| found.eq_ignore_ascii_case(name)).is_some();
        self.head.lines().find(|line| of(line)).and_then(|line| line.split_once(": ")).map(|(_, value)| value)
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream
}

/// Sends bytes, and reads until the other side ends; none where that breaks off before there is a whole head.
fn exchange(address: SocketAddr, request: &[u8]) -> Option<Answer> {
    let mut stream = connect(address);
    stream.write_all(request).ok()?;
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, head, body: bytes[end + 4..].to_vec() })
}

fn ask(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n");
    headers.iter().for_each(|(name, value)| write!(request, "{name}: {value}\r\n").unwrap());
    exchange(address, (request + "\r\n").as_bytes()).unwrap_or_else(|| panic!("no answer to {method} {path:?}"))
}

fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, "GET", path, &[])
}

/// The only link of an index.
fn only_link(answer: &Answer) -> String {
    let links: Vec<&str> = answer.text().split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let links: Vec<&str> = links.into_iter().filter(|link| *link != "../").collect();
    assert_eq!(links.len(), 1, "{links:?}");
    links[0].to_owned()
}

/// The process that serves.
fn serving(place: &Place) -> i32 {
    place.process("__serve").pid
}

fn is_gone(pid: i32) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    state.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
}

#[test]
fn every_page_is_there_and_says_what_was_recorded() {
    let place = measured();
    let server = serve(&place, &[]);
    let at = server.address;

    let page = get(at, "/");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.text().contains("Is &lt;b&gt;this&lt;&#x2f;b&gt; fast?") && !page.text().contains("<script"), "{}", page.text());
    assert!(page.text().contains("<td>download</td><td class=\"number\">50KiB</td><td>ok</td><td class=\"number\">2</td>"));
    assert!(page.header("content-security-policy").is_some_and(|policy| policy.starts_with("default-src 'none'")));

    let runs = get(at, "/runs.json").json();
    assert_eq!(runs["experiment"], "test");
    assert_eq!(runs["runs"][0]["cells"][0]["repetitions"][0]["verdict"], "valid");
    assert_eq!(get(at, "/summary.json").json(), place.summary());

    let database = get(at, "/results.db");
    assert_eq!(database.header("content-type"), Some("application/vnd.sqlite3"));
    std::fs::write(place.path("served.db"), &database.body).unwrap();
    let opened = rusqlite::Connection::open(place.path("served.db")).unwrap();
    let rows: i64 = opened.query_row("SELECT COUNT(*) FROM transfers WHERE outcome = 'ok'", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 2);

    // The same bytes as those of the command line.
    place.run(&["export", "torperf", "results/test", "-o", "torperf", "--source", "here"]).expect(0);
    let name = only_link(&get(at, "/torperf/"));
    let served = get(at, &format!("/torperf/{name}"));
    assert_eq!(served.body, std::fs::read(place.path("torperf").join(&name)).unwrap());
    assert!(name.starts_with("here-51200-") && served.text().starts_with("@type torperf 1.1\n"));
    place.run(&["export", "onionperf", "results/test", "-o", "onionperf", "--source", "here"]).expect(0);
    let analysis = only_link(&get(at, "/onionperf/"));
    let served = get(at, &format!("/onionperf/{analysis}"));
    assert_eq!(served.body, std::fs::read(place.path("onionperf").join(&analysis)).unwrap());
    assert_eq!(
        (served.header("content-type"), analysis.ends_with(".onionperf.analysis.json.xz")),
        (Some("application/x-xz"), true)
    );

    let day = name.trim_end_matches(".tpf").strip_prefix("here-51200-").unwrap();
    let transfers = get(at, &format!("/transfers.json?day={day}")).json();
    assert_eq!(transfers["transfers"].as_array().unwrap().len(), 2);
    assert_eq!(transfers["transfers"][0]["file_bytes"], 51_200);
    assert_eq!(get(at, "/transfers.json?day=2001-01-01").json()["transfers"], Json::Array(Vec::new()));
    for query in ["", "?day=", "?day=2026-13-01", "?day=../x", "?other=2026-11-29"] {
        assert_eq!(get(at, &format!("/transfers.json{query}")).status, 400, "{query}");
    }
    assert_eq!(get(at, "/torperf").header("location"), Some("torperf/"));
    // Nothing was written where the results are.
    assert!(!listing(&place.run_directory("test")).iter().any(|name| name.contains("export") || name.contains("db")));
}

#[test]
fn what_a_client_has_is_not_sent_again_until_the_results_change() {
    let place = measured();
    let server = serve(&place, &[]);
    let at = server.address;
    for path in ["/runs.json", "/summary.json", "/torperf/", "/results.db"] {
        let first = get(at, path);
        let (tag, date) = (first.header("etag").unwrap(), first.header("last-modified").unwrap());
        for header in [("if-none-match", tag), ("if-modified-since", date)] {
            let again = ask(at, "GET", path, &[header]);
            assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, Some(tag)), "{path} {header:?}");
        }
        let head = ask(at, "HEAD", path, &[]);
        let length = first.body.len().to_string();
        assert_eq!((head.status, head.body.len(), head.header("content-length")), (200, 0, Some(length.as_str())), "{path}");
    }
    // What is being written is not there, and then it is.
    let cell = place.run_directory("test").join("cells/all");
    let before = get(at, "/runs.json");
    copy(&cell.join("run1"), &cell.join(".run2-partial"));
    let status = std::fs::read_to_string(cell.join("run1/status.json")).unwrap();
    let status = status.replacen("\"repetition\": 1", "\"repetition\": 2", 1);
    std::fs::write(cell.join(".run2-partial/status.json"), status).unwrap();
    std::thread::sleep(Duration::from_millis(600));
    let tag = before.header("etag").unwrap();
    assert_eq!(ask(at, "GET", "/runs.json", &[("if-none-match", tag)]).status, 304);
    std::fs::rename(cell.join(".run2-partial"), cell.join("run2")).unwrap();
    let changed = within(Duration::from_secs(5), "the second repetition is there", || {
        let answer = ask(at, "GET", "/runs.json", &[("if-none-match", tag)]);
        (answer.status == 200).then_some(answer)
    });
    assert_eq!(changed.json()["runs"][0]["cells"][0]["repetitions"].as_array().unwrap().len(), 2);
    let date = before.header("last-modified").unwrap();
    assert_eq!(ask(at, "GET", "/runs.json", &[("if-modified-since", date)]).status, 200);
}

#[test]
fn no_name_leads_out_and_nothing_is_changed() {
    let place = measured();
    std::fs::write(place.path("results/secret.tpf"), "secret").unwrap();
    symlink("/etc/passwd", place.path("results/test/passwd.tpf")).unwrap();
    symlink("/etc", place.path("results/test/etc")).unwrap();
    let server = serve(&place, &[]);
    let at = server.address;
    let name = only_link(&get(at, "/torperf/"));
    let long = format!("/torperf/{}", "x".repeat(4000));
    let paths = [
        "/../secret.tpf",
        "/torperf/../../secret.tpf",
        "/torperf/..",
        "/torperf/%2e%2e/secret.tpf",
        "/torperf/%2e%2e%2fsecret.tpf",
        "/torperf/..%2f..%2fsecret.tpf",
        "/torperf/%2fetc%2fpasswd",
        "/torperf//etc/passwd",
        "/torperf/passwd.tpf",
        "/etc/passwd",
        "/torperf/%00",
        "/torperf/a%00b",
        "/torperf/%ff",
        "/torperf/%",
        "/torperf/.",
        "/torperf/export.json",
        "/test/plan.json",
        "/plan.json",
        "/results.db/",
        "/results.db%00",
        "/RUNS.JSON",
        "/torperf/*",
        "//",
        "/%2e%2e/",
        "/onionperf/%2e%2e%2fsecret.tpf",
        &long,
    ];
    for path in paths {
        let answer = get(at, path);
        assert!(answer.status == 404, "{path:?}: {answer:?}");
        assert!(!answer.text().contains("root:") && !answer.text().contains("secret"), "{path:?}");
    }
    assert_eq!(get(at, &format!("/torperf/{name}")).status, 200);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND"] {
        for path in ["/", "/runs.json", &format!("/torperf/{name}"), "/nothing"] {
            let answer = ask(at, method, path, &[("content-length", "0")]);
            assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{method} {path}");
        }
    }
    // Heads that are too large, and what is no request.
    let large = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(20_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(100));
    for request in
        [large.as_str(), &many, "hello\r\n\r\n", "GET  / HTTP/9.9\r\n\r\n", "\0\0\0\0\r\n\r\n", "GET /\0 HTTP/1.1\r\n\r\n"]
    {
        let status = exchange(at, request.as_bytes()).map(|answer| answer.status);
        assert!(status.is_none_or(|status| (400..=431).contains(&status)), "{status:?} {:?}", &request[..20.min(request.len())]);
    }
    assert_eq!(get(at, "/").status, 200);
}

#[test]
fn who_says_nothing_does_not_keep_others_waiting() {
    let place = measured();
    let server = serve(&place, &[]);
    let at = server.address;
    get(at, "/results.db");
    // Some say nothing, some a little, more than there is room for. Others are answered before these have to end; as serving gets what
    // other tests leave of the processors, not always the first time.
    let is_answered = || {
        let silent: Vec<TcpStream> = (0..100)
            .map(|number| {
                let mut stream = connect(at);
                let _ = stream.write_all(&b"GET / HTTP/1.1\r\nhost: "[..number % 23]);
                stream
            })
            .collect();
        let begun = Instant::now();
        (0..20).for_each(|_| assert_eq!(get(at, "/runs.json").status, 200));
        let took = begun.elapsed();
        let descriptors = listing(Path::new(&format!("/proc/{}/fd", serving(&place)))).len();
        assert!(descriptors < 60, "{descriptors} descriptors for 100 connections");
        // In the end all of them are closed, or the patience of this test is.
        for mut stream in silent {
            let ended = stream.read_to_end(&mut Vec::new());
            assert!(!matches!(ended, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock));
        }
        took < Duration::from_secs(4)
    };
    assert!((0..3).any(|_| is_answered()));
    // Many at a time are all answered: with what they ask for, or with a word that there is no room.
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let asking: Vec<_> =
            (0..64).map(|_| scope.spawn(|| exchange(at, b"GET /results.db HTTP/1.1\r\nhost: localhost\r\n\r\n"))).collect();
        asking.into_iter().filter_map(|thread| thread.join().unwrap()).map(|answer| answer.status).collect()
    });
    assert!(statuses.iter().all(|status| [200, 503].contains(status)) && statuses.iter().filter(|s| **s == 200).count() >= 16);
}

#[test]
fn it_stands_behind_everything_else_and_ends_when_it_is_told() {
    let place = measured();
    let server = serve(&place, &[]);
    get(server.address, "/results.db");
    let pid = serving(&place);
    // Its threads, with all that libraries have started: `SCHED_IDLE` is 5, the 41st field.
    for thread in listing(Path::new(&format!("/proc/{pid}/task"))) {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/task/{thread}/stat")).unwrap();
        let policy = stat.rsplit_once(") ").unwrap().1.split(' ').nth(38).unwrap().to_owned();
        assert_eq!(policy, "5", "{stat}");
    }
    assert_eq!(std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap().trim(), "1000");
    server.started.signal(Signal::TERM);
    server.started.wait().expect(0);
    assert!(is_gone(pid), "it has ended with its parent");
    assert!(TcpStream::connect(server.address).is_err());
    let left = listing(&std::env::temp_dir());
    assert!(!left.iter().any(|name| name.starts_with(&format!("runner-serve-{pid}-"))), "{left:?}");
}

#[test]
fn it_ends_when_its_parent_is_killed_and_says_so_when_it_is_killed_itself() {
    let place = measured();
    let server = serve(&place, &[]);
    let pid = serving(&place);
    let address = server.address;
    server.started.signal(Signal::KILL);
    // Whoever starts it at once finds its address still taken, and waits.
    let again = started(place.runner().args(["serve", "results/test", "--listen", &address.to_string()]));
    assert_eq!(again.address, address);
    eventually("it has ended", || is_gone(pid).then_some(()));
    drop(server);
    again.started.signal(Signal::TERM);
    again.started.wait().expect(0);
    let server = serve(&place, &[]);
    kill_process(Pid::from_raw(serving(&place)).unwrap(), Signal::KILL).unwrap();
    server.started.wait().expect(1).complains(&["the process that serves ended unexpectedly"]);
}

#[test]
fn others_are_let_in_only_where_that_is_said() {
    let place = measured();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let outcome = place.run(&["serve", "results/test", "--listen", address]);
        outcome.expect(2).complains(&["can be reached from other machines: use --public"]);
    }
    let server = started(place.runner().args(["serve", "results/test", "--listen", "0.0.0.0:0", "--public"]));
    let at = SocketAddr::from(([127, 0, 0, 1], server.address.port()));
    assert_eq!(get(at, "/").status, 200);
    let taken = place.run(&["serve", "results/test", "--listen", &at.to_string()]);
    taken.expect(1).complains(&["cannot listen on 127.0.0.1:"]);
}

#[test]
fn what_cannot_be_served_is_said() {
    let place = Place::new();
    let serve = |path: &str| place.run(&["serve", path, "--listen", "127.0.0.1:0"]);
    serve("nowhere").expect(2).complains(&["cannot serve nowhere: expected a directory of results"]);
    place.write_as_is("file", "");
    serve("file").expect(2).complains(&["cannot serve file"]);
    place.run(&["serve", ".", "--listen", "here"]).expect(2);
    place.run(&["serve", ".", "--source", "a b"]).expect(2).complains(&["is not a valid --source"]);
    // Where nothing has been measured yet, that is what is said.
    std::fs::create_dir(place.path("empty")).unwrap();
    let server = started(place.runner().args(["serve", "empty", "--listen", "127.0.0.1:0"]));
    assert!(get(server.address, "/").text().contains("No run yet"));
    assert_eq!(get(server.address, "/runs.json").json()["runs"], Json::Array(Vec::new()));
    for path in ["/summary.json", "/results.db", "/torperf/", "/onionperf/", "/transfers.json?day=2026-11-29"] {
        assert_eq!(get(server.address, path).status, 404, "{path}");
    }
}

#[test]
fn another_user_serves_without_rights() {
    let place = measured();
    if !rustix::process::geteuid().is_root() {
        let outcome = place.run(&["serve", "results/test", "--listen", "127.0.0.1:0", "--user", "nobody"]);
        outcome.expect(2).complains(&["only root can become another user"]);
        eprintln!("skipped: only root can become another user");
        return;
    }
    let serve_as = |user: &str| place.run(&["serve", "results/test", "--listen", "127.0.0.1:0", "--user", user]);
    let allow = |mode| std::fs::set_permissions(place.path(""), std::fs::Permissions::from_mode(mode)).unwrap();
    allow(0o700);
    serve_as("nobody").expect(2).complains(&["the user nobody cannot read", "let it read the results"]);
    serve_as("root").expect(2).complains(&["expected a user other than root"]);
    serve_as("nobody-is-called-so").expect(2).complains(&["there is no such user"]);
    allow(0o755);
    let run = place.run_directory("test");
    for (path, mode) in [("", 0o755), ("plan.json", 0o644), ("cells", 0o755), ("cells/all/run1/transfers.parquet", 0o644)] {
        let allow = |mode| std::fs::set_permissions(run.join(path), std::fs::Permissions::from_mode(mode)).unwrap();
        allow(0o600);
        serve_as("nobody").expect(2).complains(&["the user nobody cannot read", path]);
        allow(mode);
    }
    let mut command = place.runner();
    command.args(["serve", "results/test", "--listen", "127.0.0.1:0", "--user", "nobody"]).env("SECRET", "not for others");
    let server = started(&mut command);
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", server.started.pid())).unwrap();
    let pid: i32 = children.trim().parse().expect("one child");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().split_whitespace().collect::<Vec<_>>();
    let (users, groups) = (field("Uid:"), field("Gid:"));
    assert!(users.iter().chain(&groups).all(|id| *id != "0") && field("Groups:").is_empty(), "{status}");
    assert!(["CapEff:", "CapPrm:"].iter().all(|set| field(set) == ["0000000000000000"]) && field("NoNewPrivs:") == ["1"]);
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
    assert!(!String::from_utf8_lossy(&environment).contains("not for others"));
    for path in ["/", "/summary.json", "/results.db", "/torperf/", "/onionperf/"] {
        assert_eq!(get(server.address, path).status, 200, "{path}");
    }
    server.started.signal(Signal::INT);
    server.started.wait().expect(0);
    assert!(is_gone(pid));
}

/// The process that serves, of this parent: as another user it has nothing by which a place knows its processes.
fn serving_of(parent: u32) -> i32 {
    eventually("a process serves", || {
        // Whichever thread has started it.
        let threads = listing(Path::new(&format!("/proc/{parent}/task"))).into_iter();
        let children =
            |thread: String| std::fs::read_to_string(format!("/proc/{parent}/task/{thread}/children")).unwrap_or_default();
        let children: Vec<i32> =
            threads.map(children).flat_map(|all| all.split(' ').filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect();
        let line = |pid: &i32| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        children.into_iter().find(|pid| line(pid).contains("__serve"))
    })
}

/// The process that serves beside somebody who measures is killed: it is started again, and measuring does not notice.
#[test]
fn what_serves_beside_measuring_is_started_again() {
    let scenario = SCENARIO.replace("amount: 2}", "duration: 500ms}");
    for user in [None, Some("nobody")] {
        let place = Place::with(&scenario);
        if user.is_some() && !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root can become another user");
            continue;
        }
        std::fs::set_permissions(place.path(""), std::fs::Permissions::from_mode(0o755)).unwrap();
        let user = user.map(|user| ["--user", user]);
        let server = started(
            place
                .runner()
                .args(["measure", "test.yaml", "--no-graphs", "--serve", "127.0.0.1:0"])
                .args(user.into_iter().flatten()),
        );
        let (at, parent) = (server.address, server.started.pid());
        let answers = || std::panic::catch_unwind(|| get(at, "/runs.json").status).is_ok_and(|status| status == 200);
        assert!(answers());
        for times in 1..=2 {
            let before = serving_of(parent);
            kill_process(Pid::from_raw(before).unwrap(), Signal::KILL).unwrap();
            let again = format!("restarted {times} times so far");
            eventually(&again, || server.started.said()[1].contains(&again).then_some(()));
            assert!(serving_of(parent) != before && answers(), "it answers again");
        }
        let status = std::fs::read_to_string(format!("/proc/{}/status", serving_of(parent))).unwrap();
        let uid =
            status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap().split_whitespace().next().unwrap().to_owned();
        assert_eq!(uid != rustix::process::geteuid().as_raw().to_string(), user.is_some(), "{status}");
        let pid = serving_of(parent);
        server.started.signal(Signal::INT);
        let outcome = server.started.wait().expect(0);
        assert_eq!(outcome.stderr.matches("the process that serves ended unexpectedly").count(), 2, "{}", outcome.stderr);
        assert!(is_gone(pid));
        assert_eq!(place.status("all/run1")["verdict"]["is"], "valid");
    }
}

/// A scenario whose runs are short, and have figures.
const FAST: &str = "experiment: fast
question: How fast is it?
targets:
  server: {fixture: null-server, port: PORT1}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 1}, amount: 50}
    steps: [{get: /}]
repetitions: 2
";

/// Several runs of that, in a directory of results.
fn measured_often(times: usize) -> Place {
    let place = Place::with(FAST);
    for _ in 0..times {
        place.run_test().expect(0);
    }
    place
}

/// Serves everything in `results`.
fn serve_all(place: &Place) -> Server {
    started(place.runner().args(["serve", "--listen", "127.0.0.1:0"]))
}

fn runs_of(place: &Place, experiment: &str) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(place.path("results").join(experiment))
        .unwrap()
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn every_experiment_is_listed_and_two_runs_are_compared() {
    let place = measured_often(2);
    let server = serve_all(&place);
    let at = server.address;
    let runs = runs_of(&place, "fast");
    assert!(get(at, "/").text().contains("<a href=\"experiments/fast/\">fast</a>"));
    let listed = get(at, "/experiments.json").json();
    assert_eq!((&listed["experiments"][0]["name"], &listed["experiments"][0]["runs"]), (&"fast".into(), &2.into()));
    assert_eq!(listed["experiments"][0]["newest"], runs[1].as_str());
    assert_eq!(get(at, "/experiments/fast").header("location"), Some("fast/"));
    let page = get(at, "/experiments/fast/");
    assert!(page.text().contains("How fast is it?") && runs.iter().all(|run| page.text().contains(run.as_str())));
    assert_eq!(get(at, "/experiments/fast/latest/").header("location"), Some(format!("../runs/{}/", runs[1]).as_str()));
    let latest = get(at, "/experiments/fast/latest/files/plan.json");
    assert_eq!(latest.header("location"), Some(format!("../../runs/{}/files/plan.json", runs[1]).as_str()));

    let query = format!("run={}&run={}", runs[1], runs[0]);
    let compared = get(at, &format!("/experiments/fast/compare.json?{query}")).json();
    assert_eq!((&compared["baseline"], compared["rows"].as_array().unwrap().is_empty()), (&runs[0].as_str().into(), false));
    let page = get(at, &format!("/experiments/fast/compare?{query}"));
    assert!(page.status == 200 && page.text().contains("throughput"), "{page:?}");
    for (query, status) in [("", 400), ("run=a", 400), ("run=a&run=b", 404), (&*format!("{query}&metric=nonsense"), 400)] {
        assert_eq!(get(at, &format!("/experiments/fast/compare?{query}")).status, status, "{query}");
    }
    // A directory of several experiments is not that of one.
    assert_eq!(get(at, "/runs.json").status, 404);
    assert_eq!(get(at, "/experiments/none/").status, 404);
}

#[test]
fn files_of_a_run_are_there_as_they_are_and_nothing_else() {
    let place = measured_often(1);
    let run = runs_of(&place, "fast").remove(0);
    let folder = place.path("results/fast").join(&run);
    symlink("/etc/passwd", folder.join("link")).unwrap();
    std::fs::write(place.path("results/fast/secret"), "x").unwrap();
    let server = serve_all(&place);
    let base = format!("/experiments/fast/runs/{run}");
    let plan = get(server.address, &format!("{base}/files/plan.json"));
    assert_eq!(plan.body, std::fs::read(folder.join("plan.json")).unwrap());
    assert_eq!(plan.header("content-type"), Some("application/json"));
    let index = get(server.address, &format!("{base}/files/"));
    assert!(
        index.text().contains("href=\"cells/all/run1/windows.parquet\"") && !index.text().contains("href=\"link"),
        "{}",
        index.text()
    );
    let windows = get(server.address, &format!("{base}/files/cells/all/run1/windows.parquet"));
    assert_eq!(windows.body, std::fs::read(folder.join("cells/all/run1/windows.parquet")).unwrap());
    let tag = plan.header("etag").unwrap();
    assert_eq!(ask(server.address, "GET", &format!("{base}/files/plan.json"), &[("if-none-match", tag)]).status, 304);
    for odd in ["link", "../secret", "..%2fsecret", "%2e%2e/secret", "cells", "cells/", ".", "%00", "plan.json/", "//plan.json"] {
        assert_eq!(get(server.address, &format!("{base}/files/{odd}")).status, 404, "{odd}");
    }
    let summary = get(server.address, &format!("{base}/summary.json")).json();
    assert_eq!((&summary["run"], &summary["experiment"]), (&run.as_str().into(), &"fast".into()));
}

/// Twenty runs, the last six of them with the figures of a slower one: throughput is what `figures.parquet` says.
fn with_a_change() -> Place {
    let mut place = measured_often(1);
    let first = runs_of(&place, "fast").remove(0);
    let results = place.path("results/fast");
    place.write(
        "slow.yaml",
        &FAST
            .replace("experiment: fast", "experiment: slow")
            .replace("connections: 1", "connections: 1, think: {constant: 20ms}"),
    );
    place.run(&["run", "slow.yaml"]).expect(0);
    let slow = place.path("results/slow").join(runs_of(&place, "slow").remove(0));
    let slower = std::fs::read(slow.join("figures.parquet")).unwrap();
    for number in 1..20 {
        let copied = results.join(format!("21260101T0000{number:02}Z-{number:04}"));
        copy(&results.join(&first), &copied);
        if number >= 14 {
            std::fs::write(copied.join("figures.parquet"), &slower).unwrap();
            let manifest = std::fs::read_to_string(copied.join("manifest.json")).unwrap();
            let manifest: Json = serde_json::from_str(&manifest).unwrap();
            let mut changed = manifest.clone();
            changed["git"] = json!({"commit": "0123456789abcdef", "changed": false, "branch": "main"});
            std::fs::write(copied.join("manifest.json"), changed.to_string()).unwrap();
        }
    }
    place
}

#[test]
fn a_change_between_runs_is_found_with_what_differs_and_figures_are_offered() {
    let place = with_a_change();
    let server = serve_all(&place);
    let history = get(server.address, "/experiments/fast/history.json").json();
    assert_eq!((history["metric"].as_str(), history["runs"].as_array().unwrap().len()), (Some("throughput"), 20));
    let [series] = &history["series"].as_array().unwrap()[..] else { panic!("{history}") };
    let [change] = &series["changes"].as_array().unwrap()[..] else { panic!("{series}") };
    assert_eq!((&change["before"], &change["since"], &change["verdict"]), (&13.into(), &14.into(), &"slower".into()));
    let differences = history["worse"][0]["differences"].to_string();
    assert!(differences.contains("git commit") && differences.contains("0123456789ab"), "{differences}");
    let page = get(server.address, "/experiments/fast/history");
    assert!(page.text().contains("slower since") && page.text().contains("0123456789ab"), "{}", page.text());
    let of_branch = get(server.address, "/experiments/fast/history.json?branch=main").json();
    assert_eq!(of_branch["runs"].as_array().unwrap().len(), 6);
    assert_eq!(get(server.address, "/experiments/fast/history?metric=nonsense").status, 400);

    let metrics = get(server.address, "/metrics");
    assert!(metrics.header("content-type").is_some_and(|kind| kind.starts_with("application/openmetrics-text")));
    let is_ours = |line: &str| {
        line.starts_with("runner_median{") && line.contains("experiment=\"fast\"") && line.contains("metric=\"throughput\"")
    };
    assert!(metrics.text().lines().any(is_ours) && metrics.text().ends_with("# EOF\n"), "{}", metrics.text());
}

#[test]
fn who_asks_for_another_host_gets_nothing() {
    let place = measured_often(1);
    let server = serve_all(&place);
    let status = |host: &str| {
        let request = format!("GET /experiments.json HTTP/1.1\r\nhost: {host}\r\n\r\n");
        exchange(server.address, request.as_bytes()).unwrap().status
    };
    assert_eq!(["localhost", "127.0.0.1:8700", "[::1]:80"].map(status), [200; 3]);
    assert_eq!(["example.org", "localhost.example.org:80", "192.0.2.1", ""].map(status), [421; 4]);
}

#[test]
fn a_socket_can_be_passed_on() {
    let place = measured_often(1);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let runner = place.runner();
    let mut command = Command::new("sh");
    command.args(["-c", "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" serve results 3<&0 </dev/null"]).arg(runner.get_program());
    command.current_dir(place.path(".")).envs(runner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stdin(std::os::fd::OwnedFd::from(listener));
    let server = started(&mut command);
    assert_eq!(server.address, address);
    assert_eq!(get(address, "/experiments.json").status, 200);
}

#[test]
fn ten_thousand_runs_are_listed_in_a_second_and_a_thousand_need_little_memory() {
    let place = measured_often(1);
    let first = runs_of(&place, "fast").remove(0);
    let results = place.path("results/fast");
    let files = ["plan.json", "manifest.json", "figures.parquet", "summary.json"];
    for number in 0..10_000 {
        let copied = results.join(format!("21260101T{number:06}Z-{number:04x}"));
        std::fs::create_dir(&copied).unwrap();
        for name in files {
            std::fs::hard_link(results.join(&first).join(name), copied.join(name)).unwrap();
        }
    }
    let server = serve_all(&place);
    let begun = Instant::now();
    let page = get(server.address, "/experiments/fast/runs");
    let taken = begun.elapsed();
    assert!(page.text().contains("10001 runs"), "{}", page.text());
    assert!(taken < Duration::from_secs(1), "listed after {taken:?}");
    for path in ["", "runs?page=50", "history", "history?metric=response_p99", "list.json"] {
        assert_eq!(get(server.address, &format!("/experiments/fast/{path}")).status, 200, "{path}");
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", serving(&place))).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")).unwrap();
    assert!(peak.parse::<u64>().unwrap() < 64 << 10, "{peak} kB");
}

#[test]
fn a_run_in_progress_is_followed_while_it_is_served() {
    let place = Place::with(
        "experiment: long
question: How does it stand?
targets:
  server: {fixture: null-server, port: PORT1}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 2}, duration: 5s}
    steps: [{get: /}]
",
    );
    let server = started(place.runner().args(["run", "test.yaml", "--serve", "127.0.0.1:0", "--no-graphs"]));
    let at = server.address;
    within(Duration::from_secs(20), "a run is there", || (get(at, "/experiments/long/live.json").status == 200).then_some(()));
    let mut stream = connect(at);
    stream.write_all(b"GET /experiments/long/live/events HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut said = String::new();
    let events = |said: &str| -> Vec<Json> {
        let lines = said.lines().filter_map(|line| line.strip_prefix("data: "));
        lines.filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    let has_ended = |said: &str| events(said).iter().skip_while(|e| e["live"].is_null()).any(|event| event["live"].is_null());
    let begun = Instant::now();
    while !has_ended(&said) && begun.elapsed() < Duration::from_secs(30) {
        let mut piece = [0; 4096];
        match stream.read(&mut piece) {
            Ok(read) if read > 0 => said += &String::from_utf8_lossy(&piece[..read]),
            _ => break,
        }
    }
    let seen = events(&said);
    assert!(said.contains("content-type: text/event-stream"), "{said}");
    let busy: Vec<&Json> = seen.iter().filter(|event| event["live"]["repetition"]["share"].is_number()).collect();
    assert!(busy.len() >= 3, "an event each second: {said}");
    let last = &busy.last().unwrap()["live"];
    let workload = &last["repetition"]["figures"]["workloads"][0];
    assert_eq!((&workload["name"], &last["of"], &last["done"]), (&"clients".into(), &1.into(), &0.into()));
    assert!(
        workload["passes_per_s"].as_f64().unwrap() > 100.0 && workload["response_p99_ns"].as_u64().unwrap() > 0,
        "{workload}"
    );
    assert!(last["left_ns"].is_u64() && last["repetition"]["figures"]["targets"][0]["name"] == "server", "{last}");
    server.started.wait().expect(0);
    assert!(!place.run_directory("long").join("live.json").exists());
}

#[test]
fn five_hundred_clients_that_read_a_byte_a_second_neither_stop_it_nor_stay() {
    let place = measured_often(1);
    let server = serve_all(&place);
    let run = runs_of(&place, "fast").remove(0);
    let files = || std::fs::read_dir(format!("/proc/{}/fd", serving(&place))).unwrap().count();
    // What is made is kept, in a file without a name; and what makes it has files of its own.
    assert_eq!(get(server.address, &format!("/experiments/fast/runs/{run}/")).status, 200);
    assert_eq!(get(server.address, "/experiments.json").status, 200);
    let before = files();
    let request = format!("GET /experiments/fast/runs/{run}/ HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let mut clients: Vec<TcpStream> = (0..500)
        .filter_map(|_| {
            let mut stream = TcpStream::connect(server.address).ok()?;
            stream.write_all(request.as_bytes()).ok()?;
            Some(stream)
        })
        .collect();
    for _ in 0..3 {
        clients.iter_mut().for_each(|stream| drop(stream.set_nonblocking(true).and_then(|()| stream.read(&mut [0]))));
        std::thread::sleep(Duration::from_secs(1));
    }
    assert!(files() < before + 100, "{} open files, {before} before", files());
    drop(clients);
    within(Duration::from_secs(10), "others are served again", || {
        let answer = exchange(server.address, b"GET /experiments.json HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
        (answer.status == 200).then_some(())
    });
    within(Duration::from_secs(45), "nothing stays open", || (files() <= before).then_some(()));
}

#[test]
fn pages_are_read_in_a_browser_and_ask_for_nothing_elsewhere() {
    let place = with_a_change();
    let Some(axe) = axe() else { return };
    let tick = "[...document.querySelectorAll('input[name=run]')].slice(0, 2).forEach(box => box.click())";
    let chart = "[document.querySelectorAll('svg circle').length, document.querySelectorAll('svg .change.slower').length, document.querySelector('svg').getAttribute('aria-label')]";
    let pages = [
        ("/", "document.querySelector('a').textContent"),
        ("/experiments/fast/", "document.querySelectorAll('input[name=run]').length"),
        ("/experiments/fast/runs", &format!("{tick}; [...new FormData(document.querySelector('form'))].length")),
        ("/experiments/fast/history", chart),
        ("/experiments/fast/live", "new Promise(d => setTimeout(() => d(document.getElementById('run').textContent), 1500))"),
        ("/experiments/fast/latest/", "document.querySelectorAll('#table tbody tr').length"),
    ];
    let mut steps = vec![json!({"size": [1280, 800]})];
    for (page, own) in &pages {
        steps.extend([json!({"goto": page}), json!({"run": own}), json!({"script": axe}), json!({"run": SERIOUS})]);
        steps.extend([json!({"scheme": "dark"}), json!({"run": SERIOUS}), json!({"scheme": "light"})]);
        steps.extend([
            json!({"size": [360, 740]}),
            json!({"run": "document.documentElement.scrollWidth"}),
            json!({"size": [1280, 800]}),
        ]);
    }
    // From a tick at two runs to their comparison, as a reader gets there.
    let compare = format!("{tick}; setTimeout(() => document.querySelector('form button').click(), 50); 0");
    steps.extend([json!({"goto": "/experiments/fast/runs"}), json!({"run": compare}), json!({"wait": 1500})]);
    steps.push(json!({"run": "[location.pathname, document.querySelectorAll('table tr').length > 1]"}));
    let told = browse_served(&place, &["serve", "--listen", "127.0.0.1:8700"], (8700, "/"), &json!(steps));
    let Some(told) = told else { return };
    let values = values(&told);
    let (of_pages, compared) = values[1..].split_at(10 * pages.len());
    let mut own = Vec::new();
    for ((page, _), values) in pages.iter().zip(of_pages.chunks(10)) {
        assert_eq!((&values[3], &values[5]), (&json!([]), &json!([])), "{page}: light and dark");
        assert_eq!(values[8], 360, "{page}: something is wider than the screen");
        own.push(values[1].clone());
    }
    assert_eq!(own[..3], [json!("fast"), json!(20), json!(2)]);
    let [circles, changes, words] = &own[3].as_array().unwrap()[..] else { panic!("{own:?}") };
    assert_eq!((circles, changes), (&json!(20), &json!(1)));
    assert!(words.as_str().unwrap().contains("slower since"), "{words}");
    assert!(own[4].as_str().unwrap().starts_with("no run is in progress"), "{}", own[4]);
    assert_eq!(own[5], 1);
    assert_eq!(compared[3], json!(["/experiments/fast/compare", true]));
}

#[test]
fn a_live_page_follows_a_run_of_ten_seconds() {
    let mut place = Place::with(FAST);
    place.write("long.yaml", &FAST.replace("experiment: fast", "experiment: long").replace("amount: 50", "duration: 5s"));
    let look = "new Promise(d => setTimeout(() => d([document.getElementById('run').textContent, document.getElementById('share').value, [...document.querySelectorAll('#figures div')].map(box => box.textContent), [...document.querySelectorAll('#targets tr')].map(row => row.textContent)]), 1500))";
    let mut steps = vec![json!({"size": [1280, 800]})];
    // The experiment is there as soon as its run is.
    steps.push(json!({"run": "(async () => { while (!(await fetch('/experiments/long/live.json')).ok) await new Promise(d => setTimeout(d, 100)); })()"}));
    steps.push(json!({"goto": "/experiments/long/live"}));
    steps.extend((0..4).map(|_| json!({"run": look})));
    let words = ["run", "long.yaml", "--serve", "127.0.0.1:8701", "--no-graphs"];
    // While it waits, the first page asks for what is not there yet, which a console tells: those words are no complaint.
    let Some(told) = browse_served(&place, &words, (8701, "/"), &json!(steps)) else { return };
    assert_eq!((&told["thrown"], &told["requests"]), (&json!([]), &json!([])));
    let looks = &told["steps"].as_array().unwrap()[3..];
    let busy: Vec<&Json> = looks.iter().filter(|look| look[2].as_array().is_some_and(|boxes| !boxes.is_empty())).collect();
    assert!(busy.len() >= 2, "{looks:?}");
    let words = busy[0].to_string();
    assert!(words.contains("of 2, about") && words.contains("passes per second") && words.contains("response p99"), "{words}");
    assert!(words.contains("server") && words.contains("MiB"), "{words}");
    assert!(busy.iter().any(|look| look[1].as_f64().is_some_and(|share| share > 0.0 && share <= 1.0)), "{busy:?}");
}
