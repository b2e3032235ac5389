//! Servers for the tests of both paths: they answer what a script says, right or wrong.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};

use vocabulary::Outcome;

/// Answers of every form, each with the length of its body except for the last.
pub const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
pub const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;x=y\r\nhello\r\nA\r\n0123456789\r\n0\r\ntrailer: 1\r\n\r\n";
pub const EARLY: &str = "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
pub const UNTIL_CLOSED: &str = "HTTP/1.1 200 OK\r\n\r\nall the rest";

/// What a server may send before it closes the connection, and how any client sees it.
pub const WRONG: [(&str, Outcome); 8] = [
    ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello", Outcome::Incomplete),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel", Outcome::Incomplete),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n", Outcome::Garbage),
    ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi and more", Outcome::Garbage),
    ("220 smtp.example ESMTP\r\n", Outcome::Garbage),
    ("HTTP/1.1 200 O", Outcome::Incomplete),
    ("", Outcome::Closed),
    ("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n", Outcome::Status),
];

/// Runs a test with its servers on this thread, for at most 20 seconds.
pub fn run<T>(what: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(LocalSet::new().run_until(async { tokio::time::timeout(Duration::from_secs(20), what).await.unwrap() }))
}

/// Answers each request on a connection with the next of `answers`, byte by byte when `slowly`; `requests` counts them.
pub async fn answer_each(stream: &mut TcpStream, answers: Vec<&'static str>, slowly: bool, requests: &Cell<usize>) {
    let mut buffer = [0; 4096];
    for answer in answers {
        if stream.read(&mut buffer).await.unwrap_or(0) == 0 {
            break;
        }
        requests.set(requests.get() + 1);
        // A client that has seen enough may be gone before the end.
        if slowly {
            for byte in answer.as_bytes() {
                let _ = stream.write_all(&[*byte]).await;
                tokio::task::yield_now().await;
            }
        } else {
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    }
}

/// Answers each connection's requests with the next of these texts, and then closes. Counts requests.
pub async fn script(connections: Vec<Vec<&'static str>>) -> (String, Rc<Cell<usize>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = Rc::new(Cell::new(0));
    let seen = Rc::clone(&requests);
    spawn_local(async move {
        for answers in connections {
            let (mut stream, _) = listener.accept().await.unwrap();
            answer_each(&mut stream, answers, false, &seen).await;
        }
        std::future::pending::<()>().await;
    });
    (url, requests)
}
