//! Heads that state the length of the answer in an odd way: both paths understand them alike.

use super::*;

/// An answer, and its meaning to a client that requested it with this method: the length of its body, or what is wrong.
const CASES: [(&str, &str, Result<u64, Outcome>); 24] = [
    ("GET", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello", Ok(5)),
    ("GET", "HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\n\r\nhello", Ok(5)),
    ("GET", "HTTP/1.1 200 OK\r\ncontent-length: 05\r\n\r\nhello", Ok(5)),
    ("GET", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!", Err(Outcome::Garbage)),
    ("GET", "HTTP/1.1 200 OK\r\ncontent-length: 5, 6\r\n\r\nhello!", Err(Outcome::Garbage)),
    ("GET", "HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\nhello", Err(Outcome::Garbage)),
    ("GET", "HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nhello", Err(Outcome::Garbage)),
    ("GET", "HTTP/1.1 200 OK\r\ncontent-length: 5 5\r\n\r\nhello", Err(Outcome::Garbage)),
    ("GET", "HTTP/1.1 200 OK\r\ncontent-length:\r\n\r\nhello", Err(Outcome::Garbage)),
    ("GET", "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\nhello", Err(Outcome::Garbage)),
    ("GET", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", Err(Outcome::Garbage)),
    ("GET", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n", Err(Outcome::Garbage)),
    ("GET", "HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\ncontent-length: 5\r\n\r\nhello", Err(Outcome::Garbage)),
    ("GET", "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Ok(5)),
    ("GET", "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Ok(5)),
    ("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Ok(5)),
    ("GET", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Err(Outcome::Garbage)),
    ("GET", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, gzip\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Err(Outcome::Garbage)),
    ("GET", "HTTP/1.1 200 OK\r\ntransfer-encoding:\r\n\r\nhello", Err(Outcome::Garbage)),
    ("GET", "HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\nhello", Ok(5)),
    ("GET", "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Err(Outcome::Garbage)),
    ("GET", "HTTP/1.1 204 No Content\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n", Ok(0)),
    ("GET", "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", Ok(0)),
    ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n", Ok(0)),
];

#[test]
fn both_paths_frame_answers_alike() {
    for (method, answer, expected) in CASES {
        for redirects in [0, 3] {
            let (found, lean) = run(async move {
                let (url, _) = script(vec![vec![answer]]).await;
                let expect = plan::Expect { statuses: vec![200, 204, 304], ..plan::Expect::default() };
                let step = plan::Step { expect, ..step(method, "/") };
                let mut client = client(plan::drivers::http::Http { redirects, ..workload(&url, vec![step]) });
                (told(&client.exchange(0).await).map_err(|(outcome, _)| outcome), client.http.lean)
            });
            assert_eq!((found, lean), (expected, redirects == 0), "{method} {answer:?}");
        }
    }
}

/// A header that continues on the next line is one with a space (RFC 9112, 5.2), and the carried value is the same.
#[test]
fn a_header_of_several_lines_is_one_on_both_paths() {
    let answer = "HTTP/1.1 200 OK\r\nx-long: one\r\n two\r\n\tthree\r\ncontent-length: 5\r\n\r\nhello";
    let carried = [0, 3].map(|redirects| {
        run(async move {
            let (url, _) = script(vec![vec![answer]]).await;
            let carry = vec![plan::Carry { name: "long".to_owned(), selector: plan::Selector::Header("x-long".to_owned()) }];
            let carrying = plan::Step { carry, ..step("GET", "/") };
            let mut client = client(plan::drivers::http::Http { redirects, ..workload(&url, vec![carrying]) });
            assert_eq!(told(&client.exchange(0).await), Ok(5));
            assert_eq!(client.http.lean, redirects == 0);
            let values = client.values.by_name(&["id", "pass", "connection", "long"].map(str::to_owned));
            values["long"].clone()
        })
    });
    assert_eq!(carried, ["one two three"; 2]);
}

#[test]
fn limits_of_chunks_and_trailers_are_named_on_both_paths() {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let line: &str = format!("{head}5;x={}\r\nhello\r\n0\r\n\r\n", "y".repeat(20 << 10)).leak();
    let trailers: &str = format!("{head}5\r\nhello\r\n0\r\nx-long: {}\r\n\r\n", "y".repeat(30 << 10)).leak();
    for (answer, redirects, words) in [
        (line, 0, "a line that starts a chunk of the answer is longer than 1024 bytes"),
        (line, 3, "over limit of 16384 bytes"),
        (trailers, 0, "the trailers of the answer are longer than 16384 bytes"),
        (trailers, 3, "over limit of 16384 bytes"),
    ] {
        run(async move {
            let (url, _) = script(vec![vec![answer]]).await;
            let mut client = client(plan::drivers::http::Http { redirects, ..workload(&url, vec![step("GET", "/")]) });
            expect(&client.exchange(0).await, Outcome::Garbage, words);
        });
    }
}

#[test]
fn what_was_carried_is_not_told_where_a_request_fails() {
    for redirects in [0, 3] {
        run(async move {
            let token = "HTTP/1.1 200 OK\r\nx-token: hush\r\ncontent-length: 0\r\n\r\n";
            let (url, _) = script(vec![vec![token, "HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"]]).await;
            let carry = vec![plan::Carry { name: "v".to_owned(), selector: plan::Selector::Header("x-token".to_owned()) }];
            let steps = vec![plan::Step { carry, ..step("GET", "/") }, step("GET", "/use/${pass}?token=${v | urlencode}")];
            let mut client = client(plan::drivers::http::Http { redirects, ..workload(&url, steps) });
            client.values.begin_pass(7);
            assert_eq!(told(&client.exchange(0).await), Ok(0));
            expect(&client.exchange(1).await, Outcome::Status, "GET /use/7?token=${v} answered 500 instead of 2xx");
        });
    }
}

/// A body longer than what is kept.
async fn long_body(behind: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    spawn_local(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await;
            // Pieces of odd lengths, so that one lies across the end of what is kept.
            let length = super::super::MAX_KEPT + 100_000 + behind.len();
            let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{{").as_bytes()).await;
            let mut left = length - 1 - behind.len();
            while left > 0 {
                let piece = left.min(77_777);
                let _ = stream.write_all(&vec![b'x'; piece]).await;
                left -= piece;
            }
            let _ = stream.write_all(behind.as_bytes()).await;
        }
    });
    url
}

#[test]
fn a_body_that_is_too_long_to_be_kept_has_no_hole() {
    let expects = |text: Option<&str>, contains: Option<&str>| {
        let template = |text: Option<&str>| text.map(Template::parse);
        plan::Expect { text: template(text), contains: template(contains), ..plan::Expect::default() }
    };
    let carries = |selector| vec![plan::Carry { name: "it".to_owned(), selector }];
    let regex = |pattern: &str| carries(plan::Selector::Regex(pattern.to_owned()));
    let none = || plan::Expect::default();
    let kept = "of which at most 16777216 are kept: ";
    let json = carries(plan::Selector::Json("/a".to_owned()));
    for (expect, carry, words) in [
        // Found in the kept part.
        (expects(None, Some("{xx")), Vec::new(), None),
        (none(), regex("^.x"), None),
        // These would be found if there were a gap.
        (expects(None, Some("xend}")), Vec::new(), Some("`xend}` is not in these")),
        (expects(Some("{}"), None), Vec::new(), Some("it cannot be compared with what was expected")),
        (none(), json, Some("JSON that is cut cannot be read")),
        (none(), regex("x+"), Some("the value to carry is not complete in these")),
        (none(), regex("end"), Some("the value to carry is not complete in these")),
    ] {
        for redirects in [0, 3] {
            let step = plan::Step { expect: expect.clone(), carry: carry.clone(), ..step("GET", "/") };
            let result = run(async move {
                let url = long_body("end}").await;
                let mut client = client(plan::drivers::http::Http { redirects, ..workload(&url, vec![step]) });
                client.exchange(0).await.result.map_err(|failure| failure.words)
            });
            match words {
                None => assert_eq!(result, Ok(())),
                Some(words) => assert!(result.as_ref().is_err_and(|w| w.contains(&format!("{kept}{words}"))), "{result:?}"),
            }
        }
    }
}
