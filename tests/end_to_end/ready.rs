//! How a target is known to be ready by what it says: lines over a connection, and the control port of a Tor.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::Place;

/// A server that speaks in lines, in threads of the test. `speak` carries one connection, whose number it gets.
fn line_server(speak: impl Fn(usize, Conversation) + Send + Sync + 'static) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let (to, speak) = (Arc::clone(&heard), Arc::new(speak));
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let (heard, speak) = (Arc::clone(&to), Arc::clone(&speak));
            std::thread::spawn(move || speak(number, Conversation { stream: BufReader::new(stream), heard }));
        }
    });
    (port, heard)
}

struct Conversation {
    stream: BufReader<TcpStream>,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Conversation {
    /// The next line, with its end; none when nobody speaks any more.
    fn hear(&mut self) -> Option<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        self.heard.lock().unwrap().push(line.clone());
        Some(line)
    }

    fn say(&mut self, words: &str) {
        // Who asked may have heard enough.
        let _ = self.stream.get_mut().write_all(words.as_bytes());
    }
}

/// A scenario with this probe of something that runs elsewhere, in front of a server.
fn place(probe: &str) -> Place {
    Place::with(&format!(
        "
experiment: test
layout: all
set-up: {{repetition: [{{shell: \"printf '\\\\000\\\\377k' > ${{scratch}}/cookie\"}}]}}
targets:
  network: {{shell: 'echo up; exec sleep 600', ready: {probe}}}
  web: {{fixture: null-server, port: PORT1, after: network}}
workloads:
  clients: {{url: \"http://127.0.0.1:PORT1\", load: {{closed: {{connections: 1}}, amount: 1}}, steps: [{{get: /}}]}}
"
    ))
}

#[test]
fn a_target_is_ready_when_a_line_of_its_answer_matches() {
    let (port, heard) = line_server(|number, mut talk| {
        talk.say("hello\r\n");
        while let Some(line) = talk.hear() {
            match (number, line.trim_end()) {
                // It loads its data, then ends the connection, then answers without the end of a line.
                (0, "PING") => return talk.say("-LOADING\r\n"),
                (1, "PING") => talk.say("+PO"),
                (2, "PING") => talk.say("\r\n+PONG\r\nmore\r\n"),
                _ => {}
            }
        }
    });
    let place =
        place(&format!("{{tcp: {port}, send: [PING, {{text: 'AS ', hex-of: '${{scratch}}/cookie'}}], expect: '^.PONG$'}}"));
    place.run_test().expect(0);
    assert_eq!(heard.lock().unwrap().iter().filter(|line| *line == "PING\r\n").count(), 3);
    assert!(heard.lock().unwrap().contains(&"AS 00ff6b\r\n".to_owned()), "{heard:?}");
    place.assert_cleared(Duration::ZERO);
}

/// What a Tor says to those who are authenticated.
fn control_port(mut talk: Conversation, authenticate: &str, phases: [&str; 2]) {
    let phase = |percent: &str| format!("NOTICE BOOTSTRAP PROGRESS={percent} TAG=some_tag SUMMARY=\"What it does\"");
    while let Some(line) = talk.hear() {
        match line.trim_end() {
            line if line == authenticate => talk.say("250 OK\r\n"),
            "SETEVENTS STATUS_CLIENT" => talk.say("250 OK\r\n"),
            "GETINFO status/bootstrap-phase" => {
                talk.say(&format!("250-status/bootstrap-phase={}\r\n250 OK\r\n", phase(phases[0])));
                std::thread::sleep(Duration::from_millis(100));
                talk.say(&format!("650 STATUS_CLIENT {}\r\n", phase(phases[1])));
            }
            _ => return talk.say("515 Authentication failed: Wrong length on authentication cookie.\r\n"),
        }
    }
}

#[test]
fn a_tor_is_ready_when_it_has_bootstrapped() {
    let (port, heard) = line_server(|_, talk| control_port(talk, "AUTHENTICATE 00ff6b", ["85", "100"]));
    place(&format!("{{tor: {port}, cookie: '${{scratch}}/cookie'}}")).run_test().expect(0);
    assert_eq!(heard.lock().unwrap().len(), 3, "one conversation: {heard:?}");
    let (port, _) = line_server(|_, talk| control_port(talk, "AUTHENTICATE", ["100", "100"]));
    place(&format!("{{tor: {port}}}")).run_test().expect(0);
}

#[test]
fn what_was_last_answered_is_told() {
    let (port, _) = line_server(|_, talk| control_port(talk, "AUTHENTICATE", ["80", "85\u{7}"]));
    let place_of = |probe: String| place(&probe);
    place_of(format!("{{tor: {port}, timeout: 1500ms}}")).run_test().expect(4).complains(&[
        "network was not ready within 1s500ms",
        "the last answer was `",
        "PROGRESS=85\u{fffd} TAG=some_tag SUMMARY=\"What it does\"`",
    ]);
    place_of(format!("{{tor: {port}, cookie: '${{scratch}}/cookie', timeout: 300ms}}"))
        .run_test()
        .expect(4)
        .complains(&["the last answer was `515 Authentication failed: Wrong length"]);
    place_of(format!("{{tor: {port}, cookie: '${{scratch}}/none', timeout: 300ms}}"))
        .run_test()
        .expect(4)
        .complains(&["/none: No such file"]);
    let (port, _) = line_server(|_, _| {});
    place_of(format!("{{tcp: {port}, expect: OK, timeout: 300ms}}"))
        .run_test()
        .expect(4)
        .complains(&[&format!("127.0.0.1:{port} sent nothing")]);
}
