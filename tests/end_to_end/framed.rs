//! Messages over TCP, of protocols that runner does not know: only what the scenario says of their frames.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use serde_json::json;

use crate::load::part;
use crate::support::Place;

/// A server for each connection of which `serve` is called, on a port of its own.
fn server(serve: impl Fn(TcpStream) -> std::io::Result<()> + Clone + Send + 'static) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            std::thread::spawn(move || serve(stream));
        }
    });
    port
}

#[test]
fn a_protocol_of_lines_needs_no_more_than_its_description() {
    // Greets, then gives each client a ticket, which must be shown again.
    let port = server(|mut stream| {
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let mut ticket = 0;
        while let Some(line) = lines.next().transpose()? {
            let answer = match line.split_once(' ') {
                Some(("SHOW", shown)) if shown == format!("t{ticket}") => "fine".to_owned(),
                _ if line == "TICKET" => {
                    ticket += 1;
                    format!("ticket=t{ticket}")
                }
                _ => format!("what is `{line}`?"),
            };
            stream.write_all(format!("{answer}\r\n").as_bytes())?;
        }
        Ok(())
    });
    let place = Place::with(&format!(
        "
experiment: test
workloads:
  clients:
    framed: {{to: \"localhost:{port}\", frame: {{delimiter: \"\\r\\n\"}}}}
    load: {{closed: {{connections: 3}}, amount: 60}}
    steps:
      - {{name: take, send: {{text: TICKET}}, carry: {{ticket: {{regex: \"ticket=(.*)\"}}}}}}
      - {{name: show, send: {{text: \"SHOW ${{ticket}}\"}}, expect: {{text: fine}}}}
      - {{name: wrong, send: {{text: \"HELLO ${{pass}}\"}}, expect: {{contains: \"what is `HELLO ${{pass}}`\"}}}}
"
    ));
    place.run_test().expect(0);
    let summary = place.summary();
    for step in ["take", "show", "wrong", "(pass)"] {
        let found = part(&summary, "all", "clients", "during", step);
        assert_eq!((&found["ok"], &found["errors"]), (&json!(60), &json!({})), "{step}");
    }
    assert_eq!(place.status("all/run1")["generator"]["connects"], 3);
}

#[test]
fn lengths_of_any_width_and_order() {
    for (width, order) in [(1, "big"), (2, "little"), (4, "little"), (8, "big")] {
        let port = server(move |mut stream| {
            let mut head = vec![0; width];
            while stream.read_exact(&mut head).is_ok() {
                let length =
                    if order == "big" { head.iter().fold(0, |n, b| n << 8 | usize::from(*b)) } else { usize::from(head[0]) };
                let mut message = vec![0; length];
                stream.read_exact(&mut message)?;
                stream.write_all(&[head.as_slice(), &message].concat())?;
            }
            Ok(())
        });
        let place = Place::with(&format!(
            "
experiment: test
workloads:
  clients:
    framed: {{to: \"127.0.0.1:{port}\", frame: {{length: {width}, order: {order}}}, keep-alive: false}}
    load: {{closed: {{connections: 2}}, amount: 20}}
    steps: [{{send: {{random: 100}}, expect: {{length: 100}}}}]
"
        ));
        place.run_test().expect(0);
        let found = part(&place.summary(), "all", "clients", "during", "(pass)").clone();
        assert_eq!((&found["ok"], &found["errors"]), (&json!(20), &json!({})), "{width} {order}");
        assert_eq!(place.status("all/run1")["generator"]["connects"], 20, "one connection for each");
    }
}

#[test]
fn faults_of_servers_are_told_apart() {
    let good = b"\0\0\0\x02ok".as_slice();
    for (answer, then_close, outcome) in [
        (b"\xff\xff\xff\xff".as_slice(), false, "garbage"),
        (b"".as_slice(), true, "closed"),
        (b"\0\0\0\x05ab".as_slice(), true, "short-body"),
        (b"\0\0\0\x02no".as_slice(), false, "wrong-body"),
        (b"\0\0\0\x03okk".as_slice(), false, "wrong-length"),
        (b"".as_slice(), false, "timeout"),
    ] {
        // The checked pass is answered well.
        let asked = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
        let port = server(move |mut stream| {
            let mut request = [0; 6];
            while stream.read_exact(&mut request).is_ok() {
                let first = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
                stream.write_all(if first { good } else { answer })?;
                if !first && then_close {
                    break;
                }
            }
            Ok(())
        });
        let place = Place::with(&format!(
            "
experiment: test
limits: {{errors: 100%}}
workloads:
  clients:
    framed: {{to: \"127.0.0.1:{port}\", frame: {{length: 4, max: 1KiB}}}}
    timeout: 200ms
    load: {{closed: {{connections: 1}}, amount: 3}}
    steps: [{{send: {{text: hi}}, expect: {{length: 2, text: ok}}}}]
"
        ));
        place.run_test().expect(0);
        let found = part(&place.summary(), "all", "clients", "during", "(pass)").clone();
        assert_eq!(found["errors"], json!({outcome: 3}), "{answer:?}");
    }
}
