//! HTTP/2: streams and connections that fail, and who notices.

use bytes::Bytes;

use super::*;

/// What a server does with a stream.
#[derive(Clone, Copy)]
enum Deed {
    Answer,
    Stall,
    StallInBody,
    Reset,
    ResetInBody,
    GoAway,
    Drop,
    DropInBody,
    /// Refuses the stream, for lack of room.
    Refuse,
    /// Answers with headers of 27 KB.
    LongHead,
}

/// Does these things, one per stream, in this order; then the next connection starts with the rest of them.
async fn script2(deeds: Vec<Deed>) -> (String, Rc<Cell<usize>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let connections = Rc::new(Cell::new(0));
    let seen = Rc::clone(&connections);
    spawn_local(async move {
        let deeds = Rc::new(std::cell::RefCell::new(deeds.into_iter()));
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            seen.set(seen.get() + 1);
            serve2(stream, &deeds).await;
        }
    });
    (url, connections)
}

async fn serve2(stream: TcpStream, deeds: &std::cell::RefCell<std::vec::IntoIter<Deed>>) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    let mut held = Vec::new();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        assert_eq!(request.uri().scheme_str(), Some("http"));
        let answer = |length: &str| hyper::Response::builder().header("content-length", length).body(()).unwrap();
        let deed = deeds.borrow_mut().next().unwrap_or(Deed::Answer);
        match deed {
            Deed::Answer => {
                respond.send_response(answer("5"), false).unwrap().send_data(Bytes::from_static(b"hello"), true).unwrap();
            }
            Deed::Stall => held.push((Some(respond), None)),
            Deed::Reset => respond.send_reset(h2::Reason::INTERNAL_ERROR),
            Deed::Refuse => respond.send_reset(h2::Reason::REFUSED_STREAM),
            Deed::LongHead => {
                let mut long = answer("0");
                for number in 0..27 {
                    let name: hyper::header::HeaderName = format!("x-{number}").parse().unwrap();
                    long.headers_mut().insert(name, "x".repeat(1000).parse().unwrap());
                }
                respond.send_response(long, true).unwrap();
            }
            Deed::GoAway => connection.abrupt_shutdown(h2::Reason::ENHANCE_YOUR_CALM),
            Deed::Drop => return,
            Deed::StallInBody | Deed::ResetInBody | Deed::DropInBody => {
                let mut body = respond.send_response(answer("10"), false).unwrap();
                body.send_data(Bytes::from_static(b"hello"), false).unwrap();
                match deed {
                    Deed::StallInBody => held.push((None, Some(body))),
                    _ => {
                        let flush = tokio::time::sleep(Duration::from_millis(30));
                        tokio::select! { _ = connection.accept() => {}, () = flush => {} }
                        if let Deed::DropInBody = deed {
                            return;
                        }
                        body.send_reset(h2::Reason::CANCEL);
                    }
                }
            }
        }
    }
}

fn brief(http: plan::drivers::http::Http) -> plan::drivers::http::Http {
    let steps = http.steps.iter().map(|s| plan::Step { timeout: Duration::from_millis(150), ..s.clone() }).collect();
    plan::drivers::http::Http { steps, ..http }
}

#[test]
fn a_stream_that_fails_leaves_the_connection_to_the_others() {
    run(async {
        use Deed::{Answer, Reset, ResetInBody, Stall, StallInBody};
        let (url, connections) =
            script2(vec![Answer, Stall, Answer, StallInBody, Answer, Reset, Answer, ResetInBody, Answer]).await;
        let mut client = client(brief(http2_workload(&url, vec![step("GET", "/")])));
        for (outcome, words) in [
            (Outcome::Timeout, "no answer within 150ms"),
            (Outcome::Timeout, "no whole answer within 150ms"),
            (Outcome::Reset, "the server reset the stream (INTERNAL_ERROR)"),
            (Outcome::Reset, "the server reset the stream (CANCEL)"),
        ] {
            assert_eq!(told(&client.exchange(0).await), Ok(5));
            expect(&client.exchange(0).await, outcome, words);
        }
        assert_eq!(told(&client.exchange(0).await), Ok(5));
        assert_eq!((client.connects(), connections.get()), (1, 1));
    });
}

#[test]
fn a_lost_connection_is_made_again_once_for_all() {
    run(async {
        use Deed::{Answer, Drop, DropInBody, GoAway};
        for (deed, outcome, words) in [
            (GoAway, Outcome::Closed, "the connection was closed instead of an answer"),
            (Drop, Outcome::Closed, "the connection was closed instead of an answer"),
            (DropInBody, Outcome::Incomplete, "the answer broke off"),
        ] {
            let (url, connections) = script2(vec![Answer, Answer, Answer, Answer, deed]).await;
            let mut four = clients(plan::drivers::http::Http { streams: 4, ..http2_workload(&url, vec![step("GET", "/")]) }, 4);
            for round in 1..=3 {
                let tasks: Vec<_> = four
                    .drain(..)
                    .map(|mut client| {
                        spawn_local(async move {
                            client.ready().await.unwrap();
                            (client.exchange(0).await, client)
                        })
                    })
                    .collect();
                let mut failed = 0;
                for task in tasks {
                    let (exchange, client) = task.await.unwrap();
                    failed += usize::from(exchange.result.is_err());
                    four.push(client);
                }
                assert_eq!(connections.get(), 1 + usize::from(round > 2), "round {round}");
                assert!(if round == 2 { failed >= 1 } else { failed == 0 }, "round {round}: {failed} failed");
            }
            let mut one = client(http2_workload(&script2(vec![deed]).await.0, vec![step("GET", "/")]));
            expect(&one.exchange(0).await, outcome, words);
            assert_eq!(told(&one.exchange(0).await), Ok(5));
        }
    });
}

#[test]
fn a_request_that_the_server_did_not_take_is_sent_again_unless_something_is_wrong() {
    // NO_ERROR and ENHANCE_YOUR_CALM.
    for (reason, outcome, words) in [
        (0, Outcome::Refused, "connecting to 127.0.0.1"),
        (11, Outcome::Closed, "the server said GOAWAY (ENHANCE_YOUR_CALM) before it took this request"),
    ] {
        run(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            spawn_local(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                // Reconnecting is refused.
                drop(listener);
                let mut buffer = [0; 4096];
                // SETTINGS; then, to the request, GOAWAY: no stream was processed.
                stream.write_all(b"\0\0\0\x04\0\0\0\0\0").await.unwrap();
                while tokio::time::timeout(Duration::from_millis(50), stream.read(&mut buffer)).await.is_ok() {}
                assert!(stream.read(&mut buffer).await.unwrap() > 0);
                let goaway = [b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0".as_slice(), &[reason]].concat();
                stream.write_all(&goaway).await.unwrap();
                std::future::pending::<()>().await;
            });
            let group = Rc::default();
            let http = Arc::new(Http::new(&http2_workload(&url, vec![step("GET", "/")])).unwrap());
            let mut client = http.client(0, 1, &group);
            client.ready().await.unwrap();
            tokio::time::sleep(Duration::from_millis(200)).await;
            expect(&client.exchange(0).await, outcome, words);
            assert_eq!(client.connects(), 1);
            let traffic = HttpClient::traffic(&group);
            let sent = u64::from(outcome == Outcome::Closed);
            assert_eq!((traffic.sent_again, traffic.addresses[0][0].sent), (1 - sent, sent));
        });
    }
}

#[test]
fn a_stream_that_is_refused_is_asked_for_again_on_the_same_connection() {
    run(async {
        let (url, connections) = script2(vec![Deed::Answer, Deed::Refuse, Deed::Refuse, Deed::Answer]).await;
        let group = Rc::default();
        let http = Arc::new(Http::new(&http2_workload(&url, vec![step("GET", "/")])).unwrap());
        let mut client = http.client(0, 1, &group);
        for _ in 0..2 {
            assert_eq!(told(&client.exchange(0).await), Ok(5));
        }
        let traffic = HttpClient::traffic(&group);
        assert_eq!((traffic.sent_again, traffic.addresses[0][0].sent), (2, 2));
        assert_eq!((client.connects(), connections.get()), (1, 1));
    });
}

#[test]
fn a_server_that_refuses_every_stream_is_asked_until_the_time_out() {
    run(async {
        let (url, _) = script2(vec![Deed::Refuse; 100_000]).await;
        let mut client = client(brief(http2_workload(&url, vec![step("GET", "/")])));
        let exchange = client.exchange(0).await;
        // The result of the last request depends on timing.
        let (outcome, words) = told(&exchange).unwrap_err();
        assert!(matches!(outcome, Outcome::Reset | Outcome::Timeout), "{outcome:?}: {words}");
        let took = exchange.completed - exchange.sent;
        assert!((100..1000).contains(&took.as_millis()), "{took:?}");
    });
}

#[test]
fn headers_that_are_too_long_are_told_with_their_limit() {
    run(async {
        let (url, _) = script2(vec![Deed::LongHead, Deed::Answer]).await;
        let mut client = client(http2_workload(&url, vec![step("GET", "/")]));
        expect(&client.exchange(0).await, Outcome::Garbage, "its headers are longer than 16384 bytes");
        assert_eq!(told(&client.exchange(0).await), Ok(5));
    });
}

#[test]
fn a_server_without_http2_is_garbage() {
    run(async {
        // It continues to read: otherwise the end of the connection may overtake its answer.
        let (url, _) = script(vec![vec!["HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", ""]]).await;
        expect(
            &client(http2_workload(&url, vec![step("GET", "/")])).exchange(0).await,
            Outcome::Garbage,
            "the answer is not HTTP/2",
        );
    });
}

#[test]
fn nobody_there_is_told_to_all_who_share() {
    run(async {
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let three = clients(
            plan::drivers::http::Http { streams: 3, ..http2_workload(&format!("http://{gone}"), vec![step("GET", "/")]) },
            3,
        );
        for task in three.into_iter().map(|mut c| spawn_local(async move { c.exchange(0).await })) {
            expect(&task.await.unwrap(), Outcome::Refused, "connecting to 127.0.0.1");
        }
    });
}
