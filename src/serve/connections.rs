//! Connections: a limited number of them, each with one request and limited time. A silent connection has to make room for
//! others.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

/// Connections at a time.
const MOST: usize = 32;
/// How long a head may take to arrive.
const HEAD: Duration = Duration::from_secs(5);
/// How long a client may take to accept a piece of an answer.
const PIECE: Duration = Duration::from_secs(30);
/// How many bytes a head may have.
const HEAD_BYTES: usize = 8192;
/// How many headers a head may have.
const HEADERS: usize = 64;

/// What clients get when there is no room for them.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 10\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Its head has not arrived.
    Asking,
    /// Its answer is being made.
    Waiting,
    /// Its answer is being sent.
    Taking,
}

/// The state of a connection, and when it started; each piece that the client takes restarts the time.
#[derive(Clone)]
struct Progress(Arc<Mutex<(Stage, Instant)>>);

impl Progress {
    fn new() -> Self {
        Self(Arc::new(Mutex::new((Stage::Asking, Instant::now()))))
    }

    fn get(&self) -> (Stage, Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reach(&self, stage: Stage) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (stage, Instant::now());
    }

    /// The time by which it has to advance.
    fn deadline(&self) -> Instant {
        match self.get() {
            (Stage::Asking, since) => since + HEAD,
            // Making an answer has its own limit.
            (Stage::Waiting, _) => Instant::now() + PIECE,
            (Stage::Taking, since) => since + PIECE,
        }
    }
}

/// Accepts connections forever.
pub(super) async fn serve(listener: TcpListener, paths: Router) -> Infallible {
    let mut open: Vec<(Progress, AbortHandle)> = Vec::new();
    let mut tasks = JoinSet::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // The client has gone already; or there is no descriptor left now, but there will be.
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        while tasks.try_join_next().is_some() {}
        open.retain(|(_, task)| !task.is_finished());
        if open.len() >= MOST {
            match longest_asking(&open) {
                Some(at) => open.swap_remove(at).1.abort(),
                None => {
                    refuse(&stream);
                    continue;
                }
            }
        }
        let progress = Progress::new();
        let task = tasks.spawn(connection(stream, paths.clone(), progress.clone()));
        open.push((progress, task));
    }
}

/// The index of the connection that has been silent for the longest time; none if all have sent a request.
fn longest_asking(open: &[(Progress, AbortHandle)]) -> Option<usize> {
    let asking = open.iter().enumerate().map(|(at, (progress, _))| (at, progress.get()));
    asking.filter(|(_, (stage, _))| *stage == Stage::Asking).min_by_key(|(_, (_, since))| *since).map(|(at, _)| at)
}

/// Answers that there is no room, if that can be done at once.
fn refuse(stream: &TcpStream) {
    // Input that is not read when the connection is closed would cancel what was sent.
    let _ = stream.try_read(&mut [0; HEAD_BYTES]);
    let _ = stream.try_write(FULL);
}

/// One connection, until it is answered or takes too long.
async fn connection(stream: TcpStream, paths: Router, progress: Progress) {
    let paths = TowerToHyperService::new(paths);
    let service = service_fn(|request: Request<Incoming>| {
        progress.reach(Stage::Waiting);
        let (answering, progress) = (paths.call(request.map(Body::new)), progress.clone());
        async move {
            let response = answering.await?;
            progress.reach(Stage::Taking);
            Ok::<_, Infallible>(response.map(|body| Taken { body, progress }))
        }
    });
    let mut builder = http1::Builder::new();
    // One request per connection: no client holds one of the few connections for its next request.
    builder.keep_alive(false).half_close(true).header_read_timeout(None).max_headers(HEADERS).max_buf_size(HEAD_BYTES);
    let mut answered = pin!(builder.serve_connection(TokioIo::new(stream), service));
    loop {
        let deadline = progress.deadline();
        tokio::select! {
            // How a client ends a connection does not matter.
            _ = answered.as_mut() => return,
            () = tokio::time::sleep_until(deadline) => {}
        }
        if progress.deadline() <= Instant::now() {
            return;
        }
    }
}

/// An answer that records when its pieces were taken.
struct Taken {
    body: Body,
    progress: Progress,
}

impl http_body::Body for Taken {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.progress.reach(Stage::Taking);
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The listener that was passed to this process.
pub(super) fn listener(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}
