//! From a URL to a stream of bytes: over TCP or a Unix socket, with TLS if the URL says so.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::header::HeaderValue;
use hyper::http::uri::{Authority, Scheme};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;

use super::of_io;
use crate::Error;
use crate::drivers::Failure;
use crate::drivers::socks::{Proxy, Unanswered};
use crate::drivers::steering::Circuit;
use crate::drivers::tcp::Addresses;
use crate::drivers::transfer::Transfer;
use plan::Url;
use tls::{ServerName, Session, Tls, TlsStream};
use vocabulary::Outcome;

/// The server to connect to, and its name in requests.
pub(in crate::drivers) struct Server {
    /// Scheme, host and port; the path belongs to each request.
    pub url: Url,
    /// The `host` header.
    pub host: HeaderValue,
    /// The same for HTTP/2.
    pub authority: Authority,
    /// The name that its certificate must contain, with TLS, unless the scenario gives another name.
    name: Option<ServerName<'static>>,
    way: Way,
}

enum Way {
    Tcp(Addresses),
    Proxy(Arc<Proxy>),
    Unix(PathBuf),
}

impl Server {
    /// Resolves the host of a URL, or uses a socket instead, or a proxy, which resolves the host itself.
    ///
    /// # Errors
    /// When the host has no address, or cannot be named in a request.
    pub fn new(url: &Url, socket: Option<&Path>, proxy: Option<&Arc<Proxy>>) -> Result<Self, Error> {
        let way = match (socket, proxy) {
            (Some(path), _) => Way::Unix(path.to_owned()),
            (None, Some(proxy)) => Way::Proxy(Arc::clone(proxy)),
            (None, None) => Way::Tcp(Addresses::resolve(&url.host, url.port)?),
        };
        Self::with(url, way).map_err(|reason| Error::Request { step: url.to_string(), reason })
    }

    /// The server of a URL that was not known before.
    ///
    /// # Errors
    /// When the host has no address.
    pub async fn find(url: &Url, proxy: Option<&Arc<Proxy>>, deadline: Instant) -> Result<Self, Failure> {
        let wrong = |e| Failure::new(Outcome::Garbage, format!("{url}: {e}"));
        if let Some(proxy) = proxy {
            return Self::with(url, Way::Proxy(Arc::clone(proxy))).map_err(wrong);
        }
        let failed =
            |outcome, why: &dyn std::fmt::Display| Failure::new(outcome, format!("cannot resolve `{}`: {why}", url.host));
        let looking = tokio::net::lookup_host((url.host.as_str(), url.port));
        let found: Vec<SocketAddr> = match tokio::time::timeout_at(deadline, looking).await {
            Ok(found) => found.map_err(|e| failed(Outcome::Io, &e))?.collect(),
            Err(_) => return Err(failed(Outcome::Timeout, &"it took longer than the time-out")),
        };
        let addresses = Addresses::new(found).map_err(|e| failed(Outcome::Io, &e))?;
        Self::with(url, Way::Tcp(addresses)).map_err(wrong)
    }

    fn with(url: &Url, way: Way) -> Result<Self, String> {
        let name = url.tls.then(|| tls::server_name(&url.host)).transpose()?;
        let text = url.authority();
        Ok(Self {
            url: url.clone().origin(),
            host: HeaderValue::from_str(&text).map_err(|e| e.to_string())?,
            authority: text.parse().map_err(|e| format!("{e}"))?,
            name,
            way,
        })
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> Scheme {
        if self.url.tls { Scheme::HTTPS } else { Scheme::HTTP }
    }

    /// Whether a URL leads to it.
    pub fn is(&self, url: &Url) -> bool {
        self.url.same_origin(url)
    }

    /// Its name in messages.
    pub fn label(&self) -> String {
        match &self.way {
            Way::Tcp(addresses) => match addresses.current() {
                address if address.ip().to_string() == self.url.host => address.to_string(),
                address => format!("{} ({address})", self.url.authority()),
            },
            Way::Proxy(proxy) => format!("{} through {}", self.url.authority(), proxy.label()),
            Way::Unix(path) => path.display().to_string(),
        }
    }

    /// Connects over TCP, to whichever address answers; adds to `opened` on success.
    ///
    /// # Errors
    /// The error of the last address.
    pub async fn tcp(&self, circuit: Option<Circuit>, deadline: Instant, opened: &mut u64) -> Result<TcpStream, Failure> {
        let mut transfer = Transfer::default();
        let (mut stream, unanswered) = self.tcp_noting(circuit, deadline, opened, &mut transfer).await?;
        if let Some(unanswered) = unanswered {
            unanswered.read(&mut stream, deadline, &mut transfer).await?;
        }
        Ok(stream)
    }

    /// Like [`Server::tcp`], and records when each stage ended. The second returned value must be read before anything
    /// else.
    ///
    /// # Errors
    /// The error of the last address, or of the proxy.
    pub async fn tcp_noting(
        &self,
        circuit: Option<Circuit>,
        deadline: Instant,
        opened: &mut u64,
        transfer: &mut Transfer,
    ) -> Result<(TcpStream, Option<Unanswered>), Failure> {
        let (stream, unanswered) = match &self.way {
            Way::Tcp(addresses) => {
                let stream = addresses.connect_noting(deadline, |stage| transfer.over(stage)).await?;
                transfer.local = stream.local_addr().ok().map(|a| a.to_string());
                stream.set_nodelay(true).map_err(|e| of_io(&e, "connecting"))?;
                (stream, None)
            }
            Way::Proxy(proxy) => proxy.connect(&self.url.host, self.url.port, circuit, deadline, transfer).await?,
            Way::Unix(_) => return Err(Failure::new(Outcome::Io, format!("{} is not a TCP address", self.label()))),
        };
        *opened += 1;
        Ok((stream, unanswered))
    }

    async fn unix(path: &Path, deadline: Instant, opened: &mut u64) -> Result<UnixStream, Failure> {
        let doing = || format!("connecting to {}", path.display());
        let connecting = UnixStream::connect(path);
        let stream = match tokio::time::timeout_at(deadline, connecting).await {
            Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Failure::new(Outcome::Refused, format!("{}: there is no such socket", doing())));
            }
            Ok(connected) => connected.map_err(|e| of_io(&e, &doing()))?,
            Err(_) => return Err(Failure::new(Outcome::Timeout, format!("{} took longer than the time-out", doing()))),
        };
        *opened += 1;
        Ok(stream)
    }

    /// Connects, with a TLS handshake if the URL says so; adds to `opened` as soon as there is a connection.
    ///
    /// # Errors
    /// What kept it from being connected.
    pub async fn open(
        &self,
        tls: &Result<Tls, String>,
        circuit: Option<Circuit>,
        deadline: Instant,
        opened: &mut u64,
    ) -> Result<Stream, Failure> {
        let plain = match &self.way {
            Way::Tcp(_) | Way::Proxy(_) => Plain::Tcp(self.tcp(circuit, deadline, opened).await?),
            Way::Unix(path) => Plain::Unix(Self::unix(path, deadline, opened).await?),
        };
        let inner = match &self.name {
            None => Inner::Plain(plain),
            Some(name) => Inner::Tls(Box::new(self.handshake(tls, plain, name, deadline).await?)),
        };
        Ok(Stream { inner, heard: Rc::default() })
    }

    /// Performs the TLS handshake on a connection if the URL says so; its session then goes with the connection.
    ///
    /// # Errors
    /// Why there is no session.
    pub async fn agree(
        &self,
        tls: &Result<Tls, String>,
        stream: TcpStream,
        deadline: Instant,
    ) -> Result<(TcpStream, Option<Session>), Failure> {
        let Some(name) = &self.name else { return Ok((stream, None)) };
        let (stream, session) = Session::of(self.handshake(tls, stream, name, deadline).await?);
        Ok((stream, Some(session)))
    }

    async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        tls: &Result<Tls, String>,
        stream: S,
        name: &ServerName<'static>,
        deadline: Instant,
    ) -> Result<TlsStream<S>, Failure> {
        let tls = tls.as_ref().map_err(|words| Failure::new(Outcome::Io, words.clone()))?;
        let shaken = tls.handshake(stream, name.clone(), &self.label(), deadline).await;
        shaken.map_err(|failure| Failure::new(failure.outcome, failure.words))
    }
}

/// A connection, over any transport.
pub(in crate::drivers) struct Stream {
    inner: Inner,
    heard: Rc<Cell<bool>>,
}

enum Inner {
    Plain(Plain),
    Tls(Box<TlsStream<Plain>>),
}

/// A connection without TLS.
enum Plain {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// Becomes true whenever something was read.
    pub fn heard(&self) -> Rc<Cell<bool>> {
        Rc::clone(&self.heard)
    }
}

/// Does the same for every transport.
macro_rules! whichever {
    ($stream:expr; $($variant:path),+; $inner:ident => $call:expr) => {
        match $stream {
            $($variant($inner) => $call,)+
        }
    };
}

impl AsyncRead for Plain {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        whichever!(self.get_mut(); Self::Tcp, Self::Unix; stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Plain {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        whichever!(self.get_mut(); Self::Tcp, Self::Unix; stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        whichever!(self.get_mut(); Self::Tcp, Self::Unix; stream => Pin::new(stream).poll_write_vectored(cx, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        whichever!(self.get_mut(); Self::Tcp, Self::Unix; stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        whichever!(self.get_mut(); Self::Tcp, Self::Unix; stream => Pin::new(stream).poll_shutdown(cx))
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = whichever!(&mut this.inner; Inner::Plain, Inner::Tls; stream => Pin::new(stream).poll_read(cx, buffer));
        if buffer.filled().len() > before {
            this.heard.set(true);
        }
        polled
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        whichever!(&mut self.get_mut().inner; Inner::Plain, Inner::Tls; stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        whichever!(&mut self.get_mut().inner; Inner::Plain, Inner::Tls; stream => Pin::new(stream).poll_write_vectored(cx, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        whichever!(&self.inner; Inner::Plain, Inner::Tls; stream => stream.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        whichever!(&mut self.get_mut().inner; Inner::Plain, Inner::Tls; stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        whichever!(&mut self.get_mut().inner; Inner::Plain, Inner::Tls; stream => Pin::new(stream).poll_shutdown(cx))
    }
}
