//! A connection for messages: its handshake, and what is sent and received on it, with every fault in words.
//!
//! The library handles frames. What it leaves to its user is here: time-outs, the server's choices, and the meaning of
//! its errors.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_core::Stream as _;
use futures_sink::Sink as _;
use hyper::header;
use hyper::http::uri::{Authority, PathAndQuery, Scheme, Uri};
use tokio::time::Instant;
use tokio_websockets::client::Builder;
use tokio_websockets::upgrade;
use tokio_websockets::{Error as WsError, Limits, Message, WebSocketStream};

use crate::Error;
use crate::drivers::Failure;
use crate::drivers::http::connect::{Server, Stream};
use crate::drivers::http::request::in_request;
use crate::drivers::judged::MAX_KEPT;
use crate::drivers::tcp::of_io;
use plan::drivers::websocket::Websocket;
use tls::Tls;
use vocabulary::Outcome;

/// The server to connect to, and the request.
pub(super) struct Connector {
    server: Server,
    tls: Result<Tls, String>,
    handshake: Builder<'static>,
    subprotocols: Vec<String>,
}

/// A connection; after a failure it cannot be used any more. However it is dropped, the other side is told, if that can
/// be done at once.
pub(super) struct Socket {
    frames: WebSocketStream<Stream>,
    /// The name of the other side in messages.
    label: std::sync::Arc<str>,
    /// Whether the system has not yet accepted all of a message.
    writing: bool,
    /// Whether the other side closed it, or broke the rules.
    ended: bool,
}

/// What arrived.
pub(super) enum Received {
    /// A text or binary message.
    Message(Message),
    /// A ping or pong; it was answered if necessary.
    Control,
}

impl Connector {
    /// Resolves the host and prepares the handshake.
    ///
    /// # Errors
    /// When the host has no address, certificates cannot be read, or the handshake cannot be written.
    pub fn new(websocket: &Websocket) -> Result<Self, Error> {
        let invalid = |reason: String| Error::Request { step: websocket.address(), reason };
        let socket = websocket.socket.as_ref().map(|socket| std::path::PathBuf::from(socket.to_text()));
        let server = Server::new(&websocket.url, socket.as_deref(), None)?;
        let tls = match websocket.url.tls {
            true => Ok(Tls::new(&websocket.tls, false).map_err(Error::Tls)?),
            false => Err("it is not asked for".to_owned()),
        };
        let authority: Authority = websocket.url.authority().parse().map_err(|e| invalid(format!("{e}")))?;
        let path: PathAndQuery = in_request(&websocket.path).map_err(invalid)?;
        let uri = Uri::builder().scheme(Scheme::HTTP).authority(authority).path_and_query(path).build();
        let uri = uri.map_err(|e| invalid(e.to_string()))?;
        let offered = (!websocket.subprotocols.is_empty()).then(|| websocket.subprotocols.join(", "));
        let headers = websocket.headers.iter().map(|(name, value)| (name.as_str(), value.to_text()));
        let mut handshake = Builder::from_uri(uri).limits(Limits::default().max_payload_len(Some(MAX_KEPT)));
        for (name, value) in headers.chain(offered.map(|offered| (header::SEC_WEBSOCKET_PROTOCOL.as_str(), offered))) {
            let name = header::HeaderName::try_from(name).map_err(|e| invalid(e.to_string()))?;
            let value = header::HeaderValue::try_from(value).map_err(|e| invalid(e.to_string()))?;
            handshake = handshake.add_header(name, value).map_err(|e| invalid(e.to_string()))?;
        }
        Ok(Self { server, tls, handshake, subprotocols: websocket.subprotocols.clone() })
    }

    /// Connects and performs the handshake; adds to `opened` as soon as there is a connection. Also returns how long
    /// the handshake of the websocket took: from its request to its answer, without earlier stages such as TLS.
    ///
    /// # Errors
    /// What kept it from becoming a websocket.
    pub async fn open(&self, deadline: Instant, opened: &mut u64) -> Result<(Socket, Duration), Failure> {
        let stream = self.server.open(&self.tls, None, deadline, opened).await?;
        let label = self.server.label();
        let begun = Instant::now();
        let (frames, response) = match tokio::time::timeout_at(deadline, self.handshake.connect_on(stream)).await {
            Ok(shaken) => shaken.map_err(|e| of_handshake(&e, &label))?,
            Err(_) => {
                let words = format!("{label} did not answer the handshake within the time-out");
                return Err(Failure::new(Outcome::Timeout, words));
            }
        };
        let took = begun.elapsed();
        self.check(&response, &label)?;
        Ok((Socket { frames, label: label.into(), writing: false, ended: false }, took))
    }

    /// The answer must fit a request for a websocket, and the server's choices must have been offered (RFC 6455, 4.1).
    /// The library checks only status and key.
    fn check(&self, response: &upgrade::Response, label: &str) -> Result<(), Failure> {
        let chosen = |name| response.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let wrong = |words: String| Err(Failure::new(Outcome::Garbage, words));
        for (name, written, expected) in
            [(header::UPGRADE, "Upgrade", "websocket"), (header::CONNECTION, "Connection", "Upgrade")]
        {
            let found = chosen(name);
            if !found.iter().flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case(expected)) {
                return wrong(format!("{label} answered the handshake with 101 without `{written}: {expected}`"));
            }
        }
        if let Some(extensions) = chosen(header::SEC_WEBSOCKET_EXTENSIONS) {
            return wrong(format!("{label} chose the extension `{extensions}`, but none was offered"));
        }
        match chosen(header::SEC_WEBSOCKET_PROTOCOL) {
            None if self.subprotocols.is_empty() => Ok(()),
            None => wrong(format!("{label} chose no subprotocol, but {} was requested", self.subprotocols.join(" or "))),
            Some(one) if self.subprotocols.contains(&one) => Ok(()),
            Some(other) => wrong(format!("{label} chose the subprotocol `{other}`, which was not offered")),
        }
    }
}

/// A handshake that failed, in words.
fn of_handshake(error: &WsError, label: &str) -> Failure {
    match error {
        WsError::Upgrade(upgrade::Error::DidNotSwitchProtocols(status)) => {
            Failure::new(Outcome::Status, format!("{label} answered the handshake with {status} instead of 101"))
        }
        WsError::Upgrade(upgrade::Error::WrongWebSocketAccept) => {
            Failure::new(Outcome::Garbage, format!("{label} answered the handshake with a wrong `Sec-WebSocket-Accept`"))
        }
        WsError::Upgrade(other) => Failure::new(
            Outcome::Garbage,
            format!("{label} answered the handshake with something that is not a websocket handshake: {other}"),
        ),
        WsError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Failure::new(Outcome::Closed, format!("{label} closed the connection instead of answering the handshake"))
        }
        WsError::Io(error) if is_cut(error) => Failure::new(
            Outcome::Incomplete,
            format!("{label} closed the connection in the middle of its answer to the handshake"),
        ),
        WsError::Io(error) => of_io(error, &format!("the handshake with {label}")),
        other => Failure::new(Outcome::Garbage, format!("the handshake with {label}: {other}")),
    }
}

/// Whether the end came in the middle of something: the codec reports that without a kind of its own.
fn is_cut(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Other && error.to_string().contains("bytes remaining")
}

impl Socket {
    fn failure(&self, error: &WsError) -> Failure {
        let label = &self.label;
        match error {
            WsError::Protocol(error) => {
                Failure::new(Outcome::Garbage, format!("{label} broke the rules of websockets (RFC 6455): {error}"))
            }
            WsError::PayloadTooLong { len, max_len } => Failure::new(
                Outcome::Garbage,
                format!("{label} sends a message of {len} bytes, but at most {max_len} are accepted"),
            ),
            WsError::AlreadyClosed => Failure::new(Outcome::Closed, format!("{label} has closed the connection")),
            WsError::Io(error) if is_cut(error) => {
                Failure::new(Outcome::Incomplete, format!("{label} closed the connection in the middle of a message"))
            }
            WsError::Io(error) => of_io(error, &format!("the connection to {label}")),
            other => Failure::new(Outcome::Io, format!("the connection to {label}: {other}")),
        }
    }

    /// Appends a message to what is to be sent; [`Self::poll_sent`] sends it.
    ///
    /// # Errors
    /// When the connection is closed.
    pub fn put(&mut self, message: Message) -> Result<(), Failure> {
        Pin::new(&mut self.frames).start_send(message).map_err(|error| self.failure(&error))?;
        self.writing = true;
        Ok(())
    }

    /// Whether the system has accepted everything.
    pub fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let sent = Pin::new(&mut self.frames).poll_flush(cx).map_err(|error| self.failure(&error));
        self.writing &= sent.is_pending();
        sent
    }

    /// Sends a message.
    ///
    /// # Errors
    /// The failure as it is recorded.
    pub async fn send(&mut self, message: Message, deadline: Instant) -> Result<(), Failure> {
        self.put(message)?;
        match tokio::time::timeout_at(deadline, poll_fn(|cx| self.poll_sent(cx))).await {
            Ok(sent) => sent,
            Err(_) => {
                let words = format!("{} does not read: a message could not be sent within the time-out", self.label);
                Err(Failure::new(Outcome::Timeout, words))
            }
        }
    }

    /// What arrives next. Nothing is lost if this is dropped.
    pub fn poll_received(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, Failure>> {
        let polled = Pin::new(&mut self.frames).poll_next(cx);
        let received = polled.map(|next| match next {
            // The library does not check for an incomplete character if the last fragment is empty.
            Some(Ok(message)) if message.is_text() && std::str::from_utf8(message.as_payload()).is_err() => {
                let code = Some(tokio_websockets::CloseCode::INVALID_FRAME_PAYLOAD_DATA);
                let _ = Pin::new(&mut self.frames).start_send(Message::close(code, ""));
                Err(self.failure(&WsError::Protocol(tokio_websockets::proto::ProtocolError::InvalidUtf8)))
            }
            Some(Ok(message)) if message.is_text() || message.is_binary() => Ok(Received::Message(message)),
            Some(Ok(message)) => match message.as_close() {
                None => Ok(Received::Control),
                Some((code, reason)) => {
                    let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
                    let words = format!("{} closed the connection with code {}{reason}", self.label, u16::from(code));
                    Err(Failure::new(Outcome::Closed, words))
                }
            },
            Some(Err(error)) => Err(self.failure(&error)),
            None => Err(Failure::new(Outcome::Closed, format!("{} closed the connection without a close frame", self.label))),
        });
        self.ended |= matches!(received, Poll::Ready(Err(_)));
        received
    }

    /// The next message.
    ///
    /// # Errors
    /// The failure as it is recorded.
    pub async fn receive(&mut self, deadline: Instant) -> Result<Message, Failure> {
        let next = async {
            loop {
                if let Received::Message(message) = poll_fn(|cx| self.poll_received(cx)).await? {
                    return Ok(message);
                }
            }
        };
        match tokio::time::timeout_at(deadline, next).await {
            Ok(received) => received,
            Err(_) => Err(Failure::new(Outcome::Timeout, format!("{} sent nothing within the time-out", self.label))),
        }
    }
}

impl Drop for Socket {
    /// Says goodbye, or answers that of the other side (RFC 6455, 5.5.1), which the library has only prepared. What the
    /// other side does not accept at once is dropped: nobody waits for it.
    fn drop(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        if !self.ended {
            // The rest of a message that counts as unsent must not follow, and nothing can be sent before it.
            if self.writing {
                return;
            }
            let goodbye = Message::close(Some(tokio_websockets::CloseCode::NORMAL_CLOSURE), "");
            let _ = Pin::new(&mut self.frames).start_send(goodbye);
        }
        let _ = Pin::new(&mut self.frames).poll_flush(&mut cx);
    }
}
