//! Redis' protocol, against a real server, and against ones that do it wrong.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value as Json, json};

use crate::load::part;
use crate::support::{Place, Started, connections};

/// A real server on a port of its own, which asks for a password.
const SERVER: &str = "
experiment: test
targets:
  redis:
    command: [redis-server, --port, 'PORT1', --bind, 127.0.0.1, --save, '', --requirepass, hush, --dir, \"${scratch}\"]
    port: PORT1
    needs: redis-server
    ready: {log: 'Ready to accept connections'}
workloads:
  clients:
    redis: {to: '127.0.0.1:PORT1', password: hush, database: 3}
";

fn during(summary: &Json, step: &str) -> Json {
    part(summary, "all", "clients", "during", step).clone()
}

#[test]
fn commands_of_all_kinds_are_answered_by_a_real_server() {
    let place = Place::with(&format!(
        "{SERVER}    load: {{closed: {{connections: 4}}, amount: 200}}
    draw: {{digit: {{to: 9}}}}
    steps:
      - {{set: 'key:${{id}}', value: {{random: 1KiB}}, expect: {{text: OK}}}}
      - {{get: 'key:${{id}}', expect: {{length: 1KiB}}}}
      - {{name: absent, get: 'nothing:${{id}}', expect: {{nil: true}}}}
      - {{command: [INCR, 'counter:${{connection}}'], carry: {{count: {{regex: '[0-9]+'}}}}}}
      - {{name: echo, command: [ECHO, 'pass ${{pass}}: ${{count}} ${{digit}}'], expect: {{text: 'pass ${{pass}}: ${{count}} ${{digit}}'}}}}
      - {{name: list, command: [MGET, 'key:${{id}}', 'nothing'], expect: {{length: 1026}}}}
      - {{set: 'doc:${{id}}', value: {{json: {{a: ['${{pass}}']}}}}}}
      - {{name: part, get: 'doc:${{id}}', expect: {{contains: '\"${{pass}}\"'}}, carry: {{a: {{json: /a/0}}}}}}
"
    ));
    place.run_test().expect(0);
    let summary = place.summary();
    for step in ["set", "get", "absent", "incr", "echo", "list", "set-2", "part", "(pass)"] {
        let found = during(&summary, step);
        assert_eq!((&found["ok"], &found["errors"]), (&json!(200), &json!({})), "{step}");
    }
    assert_eq!(place.status("all/run1")["generator"]["connects"], 4);
}

#[test]
fn what_the_server_refuses_is_an_error_in_its_words() {
    let place = Place::with(&format!(
        "{SERVER}    load: {{closed: {{connections: 1}}, amount: 10}}
    steps: [{{set: 'key', value: {{text: abc}}}}, {{command: [INCR, key]}}]
"
    ));
    // The checked pass before the load says it.
    place.run_test().expect(4).complains(&["incr: the server says `ERR value is not an integer"]);
    let place = Place::with(&SERVER.replace("password: hush, ", "password: wrong, ").replace(
        "database: 3}\n",
        "database: 3}\n    load: {closed: {connections: 1}, amount: 1}\n    steps: [{command: [PING]}]\n",
    ));
    place.run_test().expect(4).complains(&["connecting: the server says `WRONGPASS"]);
}

/// Two servers, of which one needs Redis, on a machine that has none.
#[test]
fn what_needs_a_redis_that_is_not_installed_is_skipped() {
    let place = Place::with(
        "
experiment: test
factors: {layer: [memory, redis]}
layout: ${layer}
targets:
  redis: {when: \"${layer == 'redis'}\", command: [redis-server, --port, 'PORT1'], port: PORT1, needs: redis-server}
  web: {fixture: null-server, port: PORT2}
workloads:
  clients:
    url: http://127.0.0.1:PORT2
    load: {closed: {connections: 1}, amount: 3}
    steps: [{get: /}]
",
    );
    std::fs::create_dir(place.path("no-programs")).unwrap();
    let mut command = place.runner();
    command.env("PATH", place.path("no-programs")).args(["run", "test.yaml", "--no-graphs"]);
    let outcome = Started::spawn(&mut command).wait().expect(0);
    let reason = "redis-server is not installed";
    assert!(outcome.stderr.contains(&format!("SKIPPED: 1 of 2 cells, because {reason}")), "{}", outcome.stderr);
    assert!(outcome.stdout.contains(reason), "{}", outcome.stdout);
    let summary = place.summary();
    assert_eq!((&summary["cells"][0]["skipped"], &summary["cells"][1]["skipped"]), (&Json::Null, &json!(reason)));
    let mut command = place.runner();
    command.env("PATH", place.path("no-programs")).args(["run", "test.yaml", "--set", "layer=redis"]);
    Started::spawn(&mut command).wait().expect(1).complains(&["SKIPPED", reason]);
}

#[test]
fn a_redis_that_is_killed_in_the_middle_fails_its_repetition() {
    let mut place = Place::with(&format!(
        "{SERVER}    load: {{open: {{rate: 100/s, connections: 2}}, duration: 20s}}
    steps: [{{set: 'key:${{id}}', value: {{text: a}}, expect: {{text: OK}}}}]
"
    ));
    let port = place.port(1);
    let mut started = place.start(&["run", "test.yaml", "--no-graphs"]);
    started.until("the load goes on", || (connections(port) == 2).then_some(()));
    // It writes over its environment, by which processes of tests are known, and its name ends with where it listens.
    let is_redis = |pid: &i32| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        name.contains(&format!("redis-server 127.0.0.1:{port}"))
    };
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let redis = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()).find(is_redis).expect("it listens");
    kill_process(Pid::from_raw(redis).unwrap(), Signal::KILL).unwrap();
    let outcome = started.wait_within(Duration::from_secs(10)).expect(4);
    let status = place.status("all/run1");
    let reason = status["verdict"]["reason"].as_str().unwrap();
    assert_eq!(status["verdict"]["is"], "failed", "{status}");
    let words = "redis was killed by SIGKILL while it was needed";
    assert!(reason.contains(words), "{reason}");
    assert!(outcome.stdout.contains("FAILED 1 of ") && outcome.flat().contains(words), "{}", outcome.stdout);
    place.assert_cleared(Duration::ZERO);
}

#[test]
fn a_connection_for_each_pass_is_one() {
    let place = Place::with(
        &SERVER
            .replace("database: 3}", "keep-alive: false}")
            .replace("keep-alive: false}\n", "keep-alive: false}\n    load: {closed: {connections: 2}, amount: 30}\n    steps: [{command: [PING], expect: {text: PONG}}]\n"),
    );
    place.run_test().expect(0);
    assert_eq!(during(&place.summary(), "ping")["ok"], 30);
    assert_eq!(place.status("all/run1")["generator"]["connects"], 30);
}

/// A server that answers the checked pass rightly, and everything after it with this.
fn answers(wrong: &'static [u8]) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            std::thread::spawn(move || {
                let (mut stream, mut buffer) = (stream, [0; 1024]);
                while let Ok(read) = stream.read(&mut buffer) {
                    let answer = if number == 0 { b"$2\r\nab\r\n" } else { wrong };
                    if read == 0 || stream.write_all(answer).is_err() || number > 0 && !wrong.ends_with(b"\r\n") {
                        return;
                    }
                }
            });
        }
    });
    port
}

#[test]
fn wrong_replies_are_told_apart() {
    let cases: [(&[u8], &str); 10] = [
        (b"$-1\r\n", "wrong-body"),
        (b"$3\r\nabc\r\n", "wrong-length"),
        (b"$2\r\nxy\r\n", "wrong-body"),
        (b"-OOM no room\r\n", "nak"),
        (b"*2\r\n$2\r\nab\r\n-ERR no\r\n", "nak"),
        (b"$2\r\nab\r\n$2\r\nab\r\n", "garbage"),
        (b"HTTP/1.1 400 Bad Request\r\n", "garbage"),
        (b"$1\r\nabc\r\n", "garbage"),
        (b"$2\r\na", "short-body"),
        (b"", "closed"),
    ];
    for (answer, outcome) in cases {
        let port = answers(answer);
        let place = Place::with(&format!(
            "experiment: test\nlimits: {{errors: 100%}}\nworkloads:\n  clients:\n    redis: {{to: '127.0.0.1:{port}'}}\n    \
             load: {{closed: {{connections: 1}}, amount: 5}}\n    steps: [{{get: key, expect: {{length: 2, text: ab}}}}]\n"
        ));
        place.run_test().expect(0);
        assert_eq!(during(&place.summary(), "(pass)")["errors"], json!({outcome: 5}), "{}", answer.escape_ascii());
    }
}

#[test]
fn an_open_loop_and_a_search_drive_it_too() {
    let place = Place::with(&format!(
        "{SERVER}    load: {{open: {{rate: 500/s}}, duration: 1s}}
    steps: [{{command: [PING]}}]
"
    ));
    place.run_test().expect(0);
    let found = during(&place.summary(), "ping");
    assert_eq!(found["errors"], json!({}));
    assert!((490..=510).contains(&found["ok"].as_u64().unwrap()), "{found}");
}

#[test]
fn a_plan_shows_commands_and_no_password() {
    let place = Place::with(&format!(
        "{}    load: {{closed: {{connections: 1}}, amount: 1}}
    steps: [{{set: a, value: {{random: 10B}}}}, {{get: a}}, {{command: [DEL, a]}}]
",
        SERVER
            .replace("experiment: test", "experiment: test\nenv: {SECRET: {secret: true}}")
            .replace("password: hush", "password: '${env.SECRET}'")
    ));
    let output = place.runner().args(["plan", "test.yaml"]).env("SECRET", "hush-hush").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = [
        "over the Redis protocol, database 3",
        "with a password",
        "set: `SET a <10 random bytes>`",
        "get: `GET a`  expects a value",
        "del: `DEL a`",
    ];
    assert!(lines.iter().all(|line| text.contains(line)), "{text}");
    assert!(!text.contains("hush-hush"), "{text}");
}

/// `EXEC` answers with a list in which each command has its own reply; an error in it is one.
#[test]
fn an_error_in_a_list_is_an_error() {
    let place = Place::with(&format!(
        "{SERVER}    load: {{closed: {{connections: 1}}, amount: 3}}
    steps:
      - {{set: 'word', value: {{text: abc}}}}
      - {{command: [MULTI]}}
      - {{name: queued, command: [INCR, word]}}
      - {{command: [EXEC]}}
"
    ));
    place.run_test().expect(4).complains(&["exec: the server says `ERR value is not an integer", "in a list"]);
}

/// A server that answers rightly, and sends the fourth reply of a connection once more, a moment later.
#[test]
fn a_late_reply_is_not_taken_for_the_next_one() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut buffer = [0; 1024];
                for number in 0.. {
                    let Ok(1..) = stream.read(&mut buffer) else { return };
                    stream.write_all(b"$2\r\nab\r\n").unwrap();
                    if number == 3 {
                        std::thread::sleep(std::time::Duration::from_millis(100));
                        stream.write_all(b"$2\r\nab\r\n").unwrap();
                    }
                }
            });
        }
    });
    let place = Place::with(&format!(
        "experiment: test\nlimits: {{errors: 100%}}\nworkloads:\n  clients:\n    redis: {{to: '127.0.0.1:{port}'}}\n    \
         load: {{closed: {{connections: 1, think: {{constant: 300ms}}}}, amount: 5}}\n    steps: [{{get: key, expect: {{text: ab}}}}]\n"
    ));
    place.run_test().expect(0);
    let found = during(&place.summary(), "(pass)");
    assert_eq!((&found["ok"], &found["errors"]), (&json!(4), &json!({"garbage": 1})), "{found}");
}

#[test]
fn a_word_may_be_a_body() {
    let place = Place::with(&format!(
        "{SERVER}    load: {{closed: {{connections: 1}}, amount: 20}}
    steps:
      - {{command: [HSET, 'h:${{id}}', a, {{random: 2KiB}}, b, {{json: {{c: '${{pass}}'}}}}], expect: {{text: 2}}}}
      - {{command: [HGET, 'h:${{id}}', a], expect: {{length: 2KiB}}}}
      - {{name: b, command: [HGET, 'h:${{id}}', b], expect: {{contains: '${{pass}}'}}}}
"
    ));
    place.run_test().expect(0);
    assert_eq!(during(&place.summary(), "(pass)")["ok"], 20);
}
