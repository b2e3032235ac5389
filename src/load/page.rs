//! One page over HTTP/1.1, or one answer of a socket, for those who watch a server beside the load: with a deadline and a limit of
//! its size, on a connection of its own that is closed afterwards.

use std::pin::Pin;
use std::time::Duration;

use hyper::body::Body as _;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;

use plan::Url;
pub use tls::Tls;
use vocabulary::errors::chain;
use vocabulary::units::{exact_duration, human_bytes};
use vocabulary::words::harmless;

/// A page that is asked for.
pub struct Ask<'a> {
    /// The server, by which it is called.
    pub url: &'a Url,
    /// `host:port` to connect to, which is another one if there is a link in between.
    pub connect: &'a str,
    /// The path.
    pub path: &'a str,
    /// Further headers.
    pub headers: &'a [(String, String)],
    /// For `https://`.
    pub tls: Option<&'a Tls>,
    /// How long it may take.
    pub timeout: Duration,
    /// How many bytes it may have.
    pub limit: u64,
}

/// A page.
#[derive(Debug)]
pub struct Page {
    /// Its content type, if the server names one.
    pub content_type: Option<String>,
    /// Its bytes.
    pub body: Vec<u8>,
    /// Whether the server said how long it is, so that it is known to be whole.
    pub is_whole: bool,
}

/// Fetches a page. Its status must be 200.
///
/// # Errors
/// Why there is none, in words.
pub async fn fetch(ask: &Ask<'_>) -> Result<Page, String> {
    within(ask.timeout, async {
        let stream =
            TcpStream::connect(ask.connect).await.map_err(|error| format!("cannot connect to {}: {error}", ask.connect))?;
        let Some(tls) = ask.tls else { return exchange(stream, ask).await };
        let name = tls::server_name(&ask.url.host)?;
        let server = ask.url.authority();
        let shaken = tls.handshake(stream, name, &server, Instant::now() + ask.timeout).await;
        exchange(shaken.map_err(|failure| failure.words)?, ask).await
    })
    .await
}

/// Sends a body to a server, whose status must be 2xx. Returns its answer, which is cut off at the limit.
///
/// # Errors
/// Why it did not arrive, in words.
pub async fn post(ask: &Ask<'_>, body: String) -> Result<Vec<u8>, String> {
    within(ask.timeout, async {
        let stream =
            TcpStream::connect(ask.connect).await.map_err(|error| format!("cannot connect to {}: {error}", ask.connect))?;
        let Some(tls) = ask.tls else { return sent(stream, ask, body).await };
        let name = tls::server_name(&ask.url.host)?;
        let shaken = tls.handshake(stream, name, &ask.url.authority(), Instant::now() + ask.timeout).await;
        sent(shaken.map_err(|failure| failure.words)?, ask, body).await
    })
    .await
}

async fn sent(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ask: &Ask<'_>,
    body: String,
) -> Result<Vec<u8>, String> {
    let (_connection, answer) = asked(stream, ask, "POST", body).await?;
    let status = answer.status();
    if !status.is_success() {
        return Err(format!("the status is {}, expected 200", status.as_u16()));
    }
    let (mut incoming, mut content) = (answer.into_body(), Vec::new());
    // The body has arrived there; what the server says besides is only looked at if it can be read.
    while let Some(Ok(frame)) = std::future::poll_fn(|cx| Pin::new(&mut incoming).poll_frame(cx)).await {
        content.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        if content.len() as u64 > ask.limit {
            break;
        }
    }
    Ok(content)
}

/// Connects to a socket (a path, or `host:port`), asks, and reads to the end.
///
/// # Errors
/// Why there is no answer, in words.
pub async fn answer(socket: &str, question: &str, timeout: Duration, limit: u64) -> Result<Vec<u8>, String> {
    async fn on(mut stream: impl AsyncRead + AsyncWrite + Unpin, question: &str, limit: u64) -> Result<Vec<u8>, String> {
        let failed = |error: std::io::Error| format!("the answer broke off: {error}");
        stream.write_all(question.as_bytes()).await.map_err(failed)?;
        let mut body = Vec::new();
        stream.take(limit + 1).read_to_end(&mut body).await.map_err(failed)?;
        if body.len() as u64 > limit { Err(too_large(limit)) } else { Ok(body) }
    }
    let failed = |error: std::io::Error| format!("cannot connect to {socket}: {error}");
    within(timeout, async {
        if socket.contains('/') {
            on(UnixStream::connect(socket).await.map_err(failed)?, question, limit).await
        } else {
            on(TcpStream::connect(socket).await.map_err(failed)?, question, limit).await
        }
    })
    .await
}

async fn within<T>(timeout: Duration, work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let late = |_| Err(format!("no whole answer within {}", exact_duration(timeout)));
    tokio::time::timeout(timeout, work).await.unwrap_or_else(late)
}

fn too_large(limit: u64) -> String {
    format!("the page is larger than {}, the `limit`", human_bytes(limit as f64))
}

/// Sends a request, and waits for the head of its answer.
async fn asked(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ask: &Ask<'_>,
    method: &str,
    body: String,
) -> Result<(Ending, hyper::Response<hyper::body::Incoming>), String> {
    let failed = |error: hyper::Error| chain(&error);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let connection = Ending(tokio::spawn(connection));
    let path = plan::url::sent(ask.path).map_err(|unsendable| format!("the path {}", unsendable.found()))?;
    let mut request = hyper::Request::builder().method(method).uri(&*path);
    request = request.header("host", ask.url.authority()).header("connection", "close");
    for (name, value) in ask.headers {
        request = request.header(name, value);
    }
    let request = request.body(body).map_err(|error| error.to_string())?;
    let answer = sender.send_request(request).await.map_err(failed)?;
    Ok((connection, answer))
}

async fn exchange(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, ask: &Ask<'_>) -> Result<Page, String> {
    let (_connection, answer) = asked(stream, ask, "GET", String::new()).await?;
    if answer.status() != hyper::StatusCode::OK {
        return Err(format!("the status is {}, expected 200", answer.status().as_u16()));
    }
    let header =
        |name: &str| answer.headers().get(name).map(|value| harmless(&String::from_utf8_lossy(value.as_bytes())).into_owned());
    if let Some(coding) = header("content-encoding").filter(|coding| coding != "identity") {
        return Err(format!("the page is encoded as `{coding}`, which was not asked for"));
    }
    let content_type = header("content-type");
    let is_whole = header("content-length").is_some() || header("transfer-encoding").is_some();
    if answer.body().size_hint().exact().is_some_and(|length| length > ask.limit) {
        return Err(too_large(ask.limit));
    }
    let mut incoming = answer.into_body();
    let mut body = Vec::new();
    while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut incoming).poll_frame(cx)).await {
        let frame = frame.map_err(|error| format!("the page broke off after {} bytes: {}", body.len(), chain(&error)))?;
        if let Ok(data) = frame.into_data() {
            if (body.len() + data.len()) as u64 > ask.limit {
                return Err(too_large(ask.limit));
            }
            body.extend_from_slice(&data);
        }
    }
    Ok(Page { content_type, body, is_whole })
}

/// A task that ends with whoever waits for it.
struct Ending(tokio::task::JoinHandle<Result<(), hyper::Error>>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.abort();
    }
}
