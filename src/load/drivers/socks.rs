//! SOCKS: a connection through a proxy, stage by stage.
//!
//! Version 5 (RFC 1928, user name and password by RFC 1929) and version 4 with names (4a). Names are never resolved
//! here. Exactly the bytes of the proxy are read, so that what follows belongs to the server. With optimistic data the
//! caller writes its request before [`Unanswered::read`] has read the proxy's last answer.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::Failure;
use super::steering::{Circuit, Controller};
use super::tcp::{Addresses, of_io};
use super::transfer::Transfer;
use crate::Error;
use plan::socks::{Isolate, Socks, SocksVersion};
use vocabulary::Outcome;
use vocabulary::rows::Stage;

/// The password of every user name: RFC 1929 requires one, and nobody checks it.
const PASSWORD: &[u8] = b"runner";

/// A proxy, and how to speak to it.
pub struct Proxy {
    addresses: Addresses,
    version: SocksVersion,
    isolate: Isolate,
    /// Whether the last answer is left to the caller.
    optimistic: bool,
    /// The prefix of user names of this load: other loads were made at another time.
    salt: u64,
    users: AtomicU64,
    /// Sends commands to its control port before passes.
    pub controller: Option<Arc<Controller>>,
}

/// The last answer of a proxy, not yet read.
pub struct Unanswered(Arc<Proxy>);

impl Proxy {
    /// Resolves the proxy's own host.
    ///
    /// # Errors
    /// [`Error::Resolve`].
    pub fn new(socks: &Socks) -> Result<Self, Error> {
        Ok(Self {
            addresses: Addresses::resolve(&socks.address.host, socks.address.port)?,
            version: socks.version,
            isolate: socks.isolate,
            optimistic: socks.optimistic,
            salt: std::time::UNIX_EPOCH.elapsed().map_or(0, vocabulary::units::nanos),
            users: AtomicU64::new(0),
            controller: socks.control.as_ref().map(|control| Arc::new(Controller::new(control))),
        })
    }

    /// Whether each pass has its own connection.
    pub fn isolates_passes(&self) -> bool {
        // A separate circuit needs a separate connection.
        self.isolate == Isolate::Pass || self.controller.as_ref().is_some_and(|controller| controller.has_path())
    }

    /// Its name in messages.
    pub fn label(&self) -> String {
        format!("the proxy {}", self.addresses.current())
    }

    /// Connects to `host:port` through the proxy, over `circuit` if there is one; records the times of stages in
    /// `transfer`. The returned answer is still to be read.
    ///
    /// # Errors
    /// What kept it from being connected; [`Outcome::Proxy`] if the proxy is the cause.
    pub async fn connect(
        self: &Arc<Self>,
        host: &str,
        port: u16,
        circuit: Option<Circuit>,
        deadline: Instant,
        transfer: &mut Transfer,
    ) -> Result<(TcpStream, Option<Unanswered>), Failure> {
        let user = match self.isolate {
            Isolate::None => None,
            _ => Some(format!("runner-{:x}-{}", self.salt, self.users.fetch_add(1, Ordering::Relaxed))),
        };
        let connecting = self.addresses.connect_noting(deadline, |stage| transfer.over(stage)).await;
        let mut stream =
            connecting.map_err(|f| Failure { words: format!("{} to {host}:{port}: {}", self.label(), f.words), ..f })?;
        stream.set_nodelay(true).map_err(|e| of_io(&e, "connecting"))?;
        if let (Some(controller), Some(circuit), Ok(local)) = (&self.controller, circuit, stream.local_addr()) {
            controller.expect(local.port(), circuit);
        }
        transfer.local = stream.local_addr().ok().map(|a| a.to_string());
        transfer.proxy = stream.peer_addr().ok().map(|a| a.to_string());
        transfer.isolation.clone_from(&user);
        match self.version {
            SocksVersion::V5 => {
                self.negotiate(&mut stream, user.as_deref(), deadline, transfer).await?;
                self.write(&mut stream, &request_v5(host, port)?, deadline, transfer).await?;
            }
            SocksVersion::V4a => {
                self.write(&mut stream, &request_v4a(host, port, user.as_deref().unwrap_or(""))?, deadline, transfer).await?;
            }
        }
        transfer.over(Stage::Request);
        let unanswered = Unanswered(Arc::clone(self));
        if self.optimistic {
            return Ok((stream, Some(unanswered)));
        }
        unanswered.read(&mut stream, deadline, transfer).await?;
        Ok((stream, None))
    }

    /// Authenticates with a proxy of version 5.
    async fn negotiate(
        &self,
        stream: &mut TcpStream,
        user: Option<&str>,
        deadline: Instant,
        transfer: &mut Transfer,
    ) -> Result<(), Failure> {
        let method = if user.is_some() { 2 } else { 0 };
        self.write(stream, &[5, 1, method], deadline, transfer).await?;
        let mut chosen = [0; 2];
        self.read(stream, &mut chosen, "how to authenticate", deadline, transfer).await?;
        match chosen {
            [5, chosen] if chosen == method => {}
            [5, 0xff] => {
                transfer.is_not_let_in = true;
                return Err(self.fault("it accepts none of the authentication methods that were offered"));
            }
            [5, other] => return Err(self.fault(&format!("it chose the authentication method {other}, which was not offered"))),
            [version, _] => return Err(self.fault(&format!("it answered with version {version} instead of 5"))),
        }
        if let Some(user) = user {
            let mut login = vec![1, user.len() as u8];
            login.extend_from_slice(user.as_bytes());
            login.push(PASSWORD.len() as u8);
            login.extend_from_slice(PASSWORD);
            self.write(stream, &login, deadline, transfer).await?;
            let mut said = [0; 2];
            self.read(stream, &mut said, "whether it accepts the user name", deadline, transfer).await?;
            if said[1] != 0 {
                transfer.is_not_let_in = true;
                return Err(self.fault(&format!("it does not accept the user name (status {})", said[1])));
            }
        }
        transfer.over(Stage::Negotiate);
        Ok(())
    }

    async fn write(
        &self,
        stream: &mut TcpStream,
        bytes: &[u8],
        deadline: Instant,
        transfer: &mut Transfer,
    ) -> Result<(), Failure> {
        match tokio::time::timeout_at(deadline, stream.write_all(bytes)).await {
            Ok(Ok(())) => {
                transfer.written_bytes += bytes.len() as u64;
                Ok(())
            }
            Ok(Err(error)) => Err(self.fault(&format!("it cannot be written to: {error}"))),
            Err(_) => Err(Failure::new(Outcome::Timeout, format!("{} reads nothing within the time-out", self.label()))),
        }
    }

    /// Fills `into`, and reads no byte more.
    async fn read(
        &self,
        stream: &mut TcpStream,
        into: &mut [u8],
        what: &str,
        deadline: Instant,
        transfer: &mut Transfer,
    ) -> Result<(), Failure> {
        let mut at = 0;
        while at < into.len() {
            match tokio::time::timeout_at(deadline, stream.read(&mut into[at..])).await {
                Ok(Ok(0)) if at == 0 => return Err(self.fault(&format!("it closed the connection instead of saying {what}"))),
                Ok(Ok(0)) => {
                    return Err(self.fault(&format!("it closed the connection after {at} bytes of saying {what}")));
                }
                Ok(Ok(read)) => {
                    at += read;
                    transfer.read_bytes += read as u64;
                }
                Ok(Err(error)) => return Err(self.fault(&format!("it did not say {what}: {error}"))),
                Err(_) => {
                    let words = format!("{} did not say {what} within the time-out", self.label());
                    return Err(Failure::new(Outcome::Timeout, words));
                }
            }
        }
        Ok(())
    }

    fn fault(&self, words: &str) -> Failure {
        Failure::new(Outcome::Proxy, format!("{}: {words}", self.label()))
    }
}

impl Unanswered {
    /// Reads it: whether the proxy is connected.
    ///
    /// # Errors
    /// As [`Proxy::connect`].
    pub async fn read(self, stream: &mut TcpStream, deadline: Instant, transfer: &mut Transfer) -> Result<(), Failure> {
        const WHAT: &str = "whether it is connected";
        let proxy = &self.0;
        match proxy.version {
            SocksVersion::V4a => {
                let mut said = [0; 8];
                proxy.read(stream, &mut said, WHAT, deadline, transfer).await?;
                if said[0] != 0 {
                    return Err(proxy.fault(&format!("its answer starts with {} instead of 0", said[0])));
                }
                if said[1] != 90 {
                    transfer.proxy_code = Some(said[1]);
                    return Err(proxy.fault(&format!("it refused: {} ({})", reason_v4(said[1]), said[1])));
                }
            }
            SocksVersion::V5 => {
                let mut said = [0; 4];
                proxy.read(stream, &mut said, WHAT, deadline, transfer).await?;
                let [version, code, _, kind] = said;
                if version != 5 {
                    return Err(proxy.fault(&format!("its answer starts with version {version} instead of 5")));
                }
                if code != 0 {
                    transfer.proxy_code = Some(code);
                    return Err(proxy.fault(&format!("it refused: {} ({code:#04x})", reason_v5(code))));
                }
                // The address from which it is connected, and its port.
                let mut length = [0];
                let length = match kind {
                    1 => 4,
                    4 => 16,
                    3 => {
                        proxy.read(stream, &mut length, WHAT, deadline, transfer).await?;
                        usize::from(length[0])
                    }
                    other => return Err(proxy.fault(&format!("its answer contains an address of the unknown kind {other}"))),
                };
                let mut address = [0; 257];
                proxy.read(stream, &mut address[..length + 2], WHAT, deadline, transfer).await?;
            }
        }
        transfer.over(Stage::Response);
        Ok(())
    }
}

/// The destination for version 5.
fn request_v5(host: &str, port: u16) -> Result<Vec<u8>, Failure> {
    let mut request = vec![5, 1, 0];
    match host.parse() {
        Ok(IpAddr::V4(address)) => {
            request.push(1);
            request.extend_from_slice(&address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            request.push(4);
            request.extend_from_slice(&address.octets());
        }
        Err(_) => {
            let length = u8::try_from(host.len()).map_err(|_| too_long(host))?;
            request.extend_from_slice(&[3, length]);
            request.extend_from_slice(host.as_bytes());
        }
    }
    request.extend_from_slice(&port.to_be_bytes());
    Ok(request)
}

/// The destination for version 4.
fn request_v4a(host: &str, port: u16, user: &str) -> Result<Vec<u8>, Failure> {
    let mut request = vec![4, 1];
    request.extend_from_slice(&port.to_be_bytes());
    let address = host.parse::<std::net::Ipv4Addr>();
    // An impossible address means that a name follows.
    request.extend_from_slice(&address.as_ref().map_or([0, 0, 0, 1], std::net::Ipv4Addr::octets));
    request.extend_from_slice(user.as_bytes());
    request.push(0);
    if address.is_err() {
        if host.len() > 255 {
            return Err(too_long(host));
        }
        request.extend_from_slice(host.as_bytes());
        request.push(0);
    }
    Ok(request)
}

fn too_long(host: &str) -> Failure {
    Failure::new(Outcome::Carry, format!("a host name of {} bytes; SOCKS allows at most 255", host.len()))
}

/// The meaning of the codes of version 5: RFC 1928, and those of Tor's proposal 304, which it sends with
/// `ExtendedErrors`.
fn reason_v5(code: u8) -> &'static str {
    match code {
        1 => "general failure",
        2 => "its rules do not allow it",
        3 => "the network cannot be reached",
        4 => "the host cannot be reached",
        5 => "the server refused the connection",
        6 => "it took too long",
        7 => "it does not know this command",
        8 => "it does not know this kind of address",
        0xf0 => "the descriptor of the onion service cannot be found",
        0xf1 => "the descriptor of the onion service is not valid",
        0xf2 => "the introduction to the onion service failed",
        0xf3 => "the rendezvous with the onion service failed",
        0xf4 => "the onion service requires client authentication",
        0xf5 => "the onion service does not accept the client's authentication",
        0xf6 => "the onion address is not valid",
        0xf7 => "the introduction to the onion service took too long",
        _ => "an unknown reason",
    }
}

/// The meaning of the codes of version 4.
fn reason_v4(code: u8) -> &'static str {
    match code {
        91 => "rejected or failed",
        92 => "it cannot ask who we are",
        93 => "it was told about another user",
        _ => "an unknown reason",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_as_the_protocols_have_them() {
        assert_eq!(request_v5("127.0.0.1", 80).unwrap(), [5, 1, 0, 1, 127, 0, 0, 1, 0, 80]);
        assert_eq!(request_v5("::1", 258).unwrap()[..4], [5, 1, 0, 4]);
        assert_eq!(request_v5("a.b", 80).unwrap(), *b"\x05\x01\x00\x03\x03a.b\x00\x50");
        assert_eq!(request_v4a("127.0.0.1", 80, "me").unwrap(), *b"\x04\x01\x00\x50\x7f\x00\x00\x01me\x00");
        assert_eq!(request_v4a("a.b", 80, "").unwrap(), *b"\x04\x01\x00\x50\x00\x00\x00\x01\x00a.b\x00");
        let long = "x".repeat(256);
        assert!(request_v5(&long, 80).is_err() && request_v4a(&long, 80, "").is_err());
    }
}
