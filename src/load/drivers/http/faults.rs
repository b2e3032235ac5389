//! What servers do wrong, and the result: every outcome of the general path, over real sockets.
//!
//! This file has what all of these tests share, and HTTP/1.1; the others are `framing`, `http2` and `tls`.

mod framing;
mod http2;
mod paths;
pub(crate) mod tls;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::spawn_local;

use super::scripted::{CHUNKED, EARLY, OK, UNTIL_CLOSED, WRONG, run, script};
use super::shared::Group;
use super::{Http, HttpClient};
use crate::drivers::{Client as _, Driver as _, Exchange};
use plan::Tls;
use plan::tls::Trust;
use plan::{self, Body, Template, Url};
use vocabulary::Outcome;

fn step(method: &str, path: &str) -> plan::Step {
    plan::Step::plain(method, Template::parse(path), Duration::from_secs(5))
}

fn workload(url: &str, steps: Vec<plan::Step>) -> plan::drivers::http::Http {
    plan::drivers::http::Http::plain(Url::parse(url).unwrap(), steps)
}

/// HTTP/1.1 on the general path: the one that follows redirects.
fn general(url: &str, steps: Vec<plan::Step>) -> plan::drivers::http::Http {
    plan::drivers::http::Http { redirects: 3, ..workload(url, steps) }
}

fn http2_workload(url: &str, steps: Vec<plan::Step>) -> plan::drivers::http::Http {
    plan::drivers::http::Http { version: 2, ..workload(url, steps) }
}

/// Any certificate is accepted from anybody.
fn anybody() -> Tls {
    Tls { trust: Trust::Anybody, ..Tls::default() }
}

fn clients(http: plan::drivers::http::Http, count: u64) -> Vec<HttpClient> {
    let (http, group) = (Arc::new(Http::new(&http).unwrap()), Rc::new(Group::default()));
    (0..count).map(|n| http.client(n, 1, &group)).collect()
}

fn client(http: plan::drivers::http::Http) -> HttpClient {
    clients(http, 1).remove(0)
}

fn told(exchange: &Exchange) -> Result<u64, (Outcome, String)> {
    exchange.result.as_ref().map(|()| exchange.received_bytes).map_err(|f| (f.outcome, f.words.clone()))
}

#[track_caller]
fn expect(exchange: &Exchange, outcome: Outcome, words: &str) {
    let (found, said) = told(exchange).unwrap_err();
    assert!(found == outcome && said.contains(words), "{found:?}: {said}");
}

#[test]
fn answers_of_every_form_are_read_to_their_end() {
    run(async {
        let nothing = "HTTP/1.1 204 No Content\r\n\r\n";
        let (url, _) = script(vec![vec![OK, CHUNKED, EARLY, nothing, OK, UNTIL_CLOSED]]).await;
        let mut client = client(general(&url, vec![step("GET", "/")]));
        let mut found = Vec::new();
        for _ in 0..6 {
            found.push(told(&client.exchange(0).await));
        }
        assert_eq!(found, [Ok(5), Ok(15), Ok(2), Ok(0), Ok(5), Ok(12)]);
        assert_eq!(client.connects(), 1);
    });
}

#[test]
fn a_head_has_no_body() {
    run(async {
        let (url, _) = script(vec![vec!["HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n", OK]]).await;
        let mut client = client(general(&url, vec![step("HEAD", "/"), step("GET", "/")]));
        assert_eq!([told(&client.exchange(0).await), told(&client.exchange(1).await)], [Ok(0), Ok(5)]);
        assert_eq!(client.connects(), 1);
    });
}

#[test]
fn what_is_wrong_has_its_own_outcome() {
    for (answer, outcome) in WRONG {
        run(async move {
            let (url, _) = script(vec![vec![answer]]).await;
            expect(&client(general(&url, vec![step("GET", "/")])).exchange(0).await, outcome, "GET /");
        });
    }
}

#[test]
fn an_idle_connection_that_is_closed_is_noticed_and_nothing_is_sent_twice() {
    run(async {
        let (url, requests) = script(vec![vec![OK], vec![OK], vec![OK, ""]]).await;
        let mut client = client(general(&url, vec![step("GET", "/")]));
        for _ in 0..3 {
            assert_eq!(told(&client.exchange(0).await), Ok(5));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!((client.connects(), requests.get()), (3, 3));
        // The server closes this one instead of answering: that is a failure.
        expect(&client.exchange(0).await, Outcome::Closed, "the connection was closed instead of an answer");
        assert_eq!((client.connects(), requests.get()), (3, 4));
    });
}

#[test]
fn redirects_are_followed_as_far_as_is_allowed() {
    run(async {
        let moved = "HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 3\r\n\r\nabc";
        let (url, requests) = script(vec![vec![moved, moved, moved, OK, moved, moved, moved, moved, OK]]).await;
        let mut client = client(general(&url, vec![step("GET", "/")]));
        let exchange = client.exchange(0).await;
        assert_eq!(told(&exchange), Ok(3 * 3 + 5), "the bytes of all answers");
        let exchange = client.exchange(0).await;
        expect(&exchange, Outcome::Status, "GET / answered 302 instead of 2xx (after 3 redirects)");
        assert_eq!((exchange.received_bytes, requests.get()), (12, 8));
        assert_eq!(told(&client.exchange(0).await), Ok(5), "and the connection is as good as before");
        assert_eq!(client.connects(), 1);
    });
}

#[test]
fn a_redirect_elsewhere_has_a_connection_of_its_own() {
    run(async {
        let (there, _) = script(vec![vec![OK], vec![OK]]).await;
        let moved = format!("HTTP/1.1 307 Temporary\r\nlocation: {there}/x\r\ncontent-length: 0\r\n\r\n");
        let (url, _) = script(vec![vec![moved.leak(); 2]]).await;
        let post = plan::Step { body: Body::Random(1000), ..step("POST", "/") };
        let mut client = client(general(&url, vec![post]));
        for connects in [2, 3] {
            let exchange = client.exchange(0).await;
            assert_eq!(told(&exchange), Ok(5));
            assert_eq!((exchange.sent_bytes, client.connects()), (2000, connects), "307 keeps the body");
            assert!(exchange.connect.unwrap() <= exchange.completed - exchange.sent);
        }
    });
}

#[test]
fn what_is_secret_stays_with_its_origin() {
    run(async {
        /// Answers one request; returns the request.
        async fn once(listener: TcpListener, answer: String) -> String {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&buffer[..read]).into_owned()
        }
        for (status, body_is_secret, trusts) in [
            (303, true, false),
            (307, false, false),
            (307, true, false),
            (308, true, false),
            (308, true, true),
            (307, false, true),
        ] {
            let [here, there] =
                [TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap()];
            let url = |listener: &TcpListener| format!("http://{}", listener.local_addr().unwrap());
            let (home, other) = (url(&here), url(&there));
            spawn_local(once(here, format!("HTTP/1.1 {status} Moved\r\nlocation: {other}/x\r\ncontent-length: 0\r\n\r\n")));
            let landed = spawn_local(once(there, OK.to_owned()));
            let headers = ["authorization", "cookie", "proxy-authorization", "x-api-key", "x-secret", "x-plain"];
            let post = plan::Step {
                headers: headers.map(|name| (name.to_owned(), Template::parse("value"))).into(),
                body: Body::Text(Template::parse("the body")),
                secret: plan::SecretParts { headers: vec!["x-secret".to_owned()], body: body_is_secret },
                ..step("POST", "/")
            };
            let trusted = if trusts { vec![Url::parse(&other).unwrap()] } else { Vec::new() };
            let exchange = client(plan::drivers::http::Http { trusted, ..general(&home, vec![post]) }).exchange(0).await;
            if body_is_secret && status != 303 && !trusts {
                expect(&exchange, Outcome::Status, &format!("expected an answer, or `redirects: {{trust: [{other}]}}`"));
                assert!(!landed.is_finished(), "nothing was sent there");
                continue;
            }
            assert_eq!(told(&exchange), Ok(5));
            let request = landed.await.unwrap();
            let taken: Vec<&str> =
                headers.into_iter().filter(|name| request.contains(&format!("\r\n{name}: value\r\n"))).collect();
            assert_eq!(taken, if trusts { &headers[..] } else { &["x-plain"] }, "{status} {request}");
            assert_eq!(request.contains("the body"), status != 303, "{request}");
            assert!(request.contains(&format!("host: {}\r\n", &other["http://".len()..])), "{request}");
        }
    });
}

#[test]
fn a_status_that_is_expected_is_no_redirect() {
    run(async {
        let moved = "HTTP/1.1 303 See\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n";
        let (url, requests) = script(vec![vec![moved, OK]]).await;
        let expect = plan::Expect { statuses: vec![303], ..plan::Expect::default() };
        let mut client = client(general(&url, vec![plan::Step { expect, ..step("GET", "/") }]));
        assert_eq!((told(&client.exchange(0).await), requests.get()), (Ok(0), 1));
    });
}

#[test]
fn an_early_answer_to_a_long_upload_is_taken() {
    run(async {
        let (url, _) = script(vec![vec!["HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"]; 2]).await;
        let put = plan::Step { body: Body::Random(64 << 20), ..step("PUT", "/") };
        let mut client = client(workload(&url, vec![put]));
        expect(&client.exchange(0).await, Outcome::Status, "answered 413");
    });
}

#[test]
fn connecting_and_waiting_end_with_the_time_out() {
    run(async {
        // Accepts and never sends anything.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let brief = |method| plan::Step { timeout: Duration::from_millis(100), ..step(method, "/") };
        let upload = plan::Step { body: Body::Random(256 << 20), ..brief("PUT") };
        let over_tls = |url: String, steps| plan::drivers::http::Http { tls: anybody(), ..workload(&url, steps) };
        for (http, words) in [
            (general(&format!("http://{address}"), vec![brief("GET")]), "no answer within 100ms"),
            (workload(&format!("http://{address}"), vec![upload]), "no answer within 100ms"),
            (http2_workload(&format!("http://{address}"), vec![brief("GET")]), "no answer within 100ms"),
            (over_tls(format!("https://{address}"), vec![brief("GET")]), "the TLS handshake took longer than the time-out"),
        ] {
            let exchange = client(http).exchange(0).await;
            expect(&exchange, Outcome::Timeout, words);
            let took = exchange.completed - exchange.sent;
            assert!((100..400).contains(&took.as_millis()), "{took:?}");
        }
    });
}

#[test]
fn each_request_may_have_a_connection_of_its_own() {
    run(async {
        let close = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        for redirects in [0, 1] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            let server = spawn_local(async move {
                let mut closes = 0;
                for _ in 0..3 {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    let mut buffer = [0; 4096];
                    let read = stream.read(&mut buffer).await.unwrap();
                    closes += String::from_utf8_lossy(&buffer[..read]).matches("connection: close\r\n").count();
                    stream.write_all(close.as_bytes()).await.unwrap();
                }
                closes
            });
            let http = plan::drivers::http::Http { keep_alive: false, redirects, ..workload(&url, vec![step("GET", "/")]) };
            let mut client = client(http);
            assert_eq!(client.http.lean, redirects == 0);
            for _ in 0..3 {
                client.ready().await.unwrap();
                let exchange = client.exchange(0).await;
                assert_eq!(told(&exchange), Ok(0));
                assert!(exchange.connect.unwrap() <= exchange.completed - exchange.sent);
            }
            assert_eq!((client.connects(), server.await.unwrap()), (3, 3));
        }
    });
}

#[test]
fn a_unix_socket_is_spoken_to_with_the_host_of_the_url() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let server = spawn_local(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer).await.unwrap();
            stream.write_all(OK.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&buffer[..read]).into_owned()
        });
        let socket = Some(Template::parse(path.to_str().unwrap()));
        let http = plan::drivers::http::Http { socket, ..workload("http://no.such.host:81", vec![step("GET", "/x")]) };
        assert_eq!(told(&client(http.clone()).exchange(0).await), Ok(5));
        let request = server.await.unwrap();
        assert!(request.starts_with("GET /x HTTP/1.1\r\n") && request.contains("host: no.such.host:81\r\n"), "{request}");
        std::fs::remove_file(&path).unwrap();
        expect(&client(http).exchange(0).await, Outcome::Refused, "there is no such socket");
    });
}

#[test]
fn a_long_file_is_streamed_and_a_changed_one_is_a_failure() {
    run(async {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(3 << 20).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        spawn_local(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (mut buffer, mut received) = (vec![0; 1 << 16], 0);
                loop {
                    let read = stream.read(&mut buffer).await.unwrap_or(0);
                    received += read;
                    if read == 0 {
                        break;
                    }
                    if received > 3 << 20 {
                        stream.write_all(OK.as_bytes()).await.unwrap();
                        received = 0;
                    }
                }
            }
        });
        let put = plan::Step { body: Body::File(file.path().to_owned()), ..step("PUT", "/") };
        let mut client = client(workload(&url, vec![put]));
        for _ in 0..2 {
            let exchange = client.exchange(0).await;
            assert_eq!((told(&exchange), exchange.sent_bytes), (Ok(5), 3 << 20));
        }
        assert_eq!(client.connects(), 1);
        file.as_file().set_len(2 << 20).unwrap();
        expect(&client.exchange(0).await, Outcome::Io, "has 2097152 bytes now, but had 3145728 before the load");
    });
}
