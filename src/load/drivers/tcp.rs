//! TCP connections, to whichever address of a host answers.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::io::Errno;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::Instant;

use super::Failure;
use crate::Error;
use vocabulary::Outcome;
use vocabulary::rows::Stage;

/// The addresses of a host, and which of them answered last: `localhost` has two, and often only one is served.
pub struct Addresses {
    all: Vec<SocketAddr>,
    works: AtomicUsize,
}

impl Addresses {
    /// Addresses that are known already.
    ///
    /// # Errors
    /// In words, when there are none.
    pub fn new(all: Vec<SocketAddr>) -> io::Result<Self> {
        if all.is_empty() { Err(io::Error::other("it has no address")) } else { Ok(Self { all, works: AtomicUsize::new(0) }) }
    }

    /// Looks a host up.
    ///
    /// # Errors
    /// [`Error::Resolve`].
    pub fn resolve(host: &str, port: u16) -> Result<Self, Error> {
        let failed = |source| Error::Resolve { host: host.to_owned(), source };
        let found = (host, port).to_socket_addrs().map_err(failed)?.collect();
        Self::new(found).map_err(failed)
    }

    /// The address that is tried first.
    pub fn current(&self) -> SocketAddr {
        self.all[self.works.load(Ordering::Relaxed)]
    }

    /// Connects to the first one that answers. By default small messages wait for the acknowledgement of earlier ones,
    /// unless the caller sets `TCP_NODELAY`; a caller that sends only one message need not.
    ///
    /// # Errors
    /// The error of the last address.
    pub async fn connect(&self, deadline: Instant) -> Result<TcpStream, Failure> {
        self.connect_noting(deadline, |_| {}).await
    }

    /// Like [`Addresses::connect`]; `over` is told when the socket was made, and when it was connected.
    ///
    /// # Errors
    /// The error of the last address.
    pub async fn connect_noting(&self, deadline: Instant, mut over: impl FnMut(Stage)) -> Result<TcpStream, Failure> {
        let first = self.works.load(Ordering::Relaxed);
        let mut failure = None;
        for turn in 0..self.all.len() {
            let at = (first + turn) % self.all.len();
            let doing = || format!("connecting to {}", self.all[at]);
            let made = if self.all[at].is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
            let socket = match made {
                Ok(socket) => socket,
                Err(error) => {
                    failure = Some(of_io(&error, &doing()));
                    continue;
                }
            };
            over(Stage::Socket);
            match tokio::time::timeout_at(deadline, socket.connect(self.all[at])).await {
                Ok(Ok(stream)) => {
                    over(Stage::Connect);
                    if turn > 0 {
                        self.works.store(at, Ordering::Relaxed);
                    }
                    return Ok(stream);
                }
                Ok(Err(error)) => failure = Some(of_io(&error, &doing())),
                Err(_) => return Err(Failure::new(Outcome::Timeout, format!("{} took longer than the time-out", doing()))),
            }
        }
        Err(failure.unwrap_or_else(|| Failure::new(Outcome::Io, "there is no address to connect to")))
    }
}

/// The error of the system, as an outcome.
pub fn of_io(error: &io::Error, doing: &str) -> Failure {
    if error.raw_os_error() == Some(Errno::ADDRNOTAVAIL.raw_os_error()) {
        let words = "no local port is left (`net.ipv4.ip_local_port_range`; each stays taken for a minute after its connection), \
                     which is this machine's limit and not the server's: keep connections open, or use more addresses";
        return Failure::new(Outcome::Io, format!("{doing}: {words}"));
    }
    // A server that wants a client certificate may say so only here.
    let words = tls::alert(error).unwrap_or_else(|| error.to_string());
    Failure::new(Outcome::of_io(error), format!("{doing}: {words}"))
}
