//! Tor's control port (control-spec.txt): authentication, commands and their answers.
//!
//! Answers are read byte by byte, so that what follows them on the connection is left for its next user.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// The longest line of an answer.
const MAX_LINE: usize = 64 << 10;
/// The most lines of an answer.
const MAX_LINES: usize = 100_000;

/// Does blocking work, such as talking to a control port, on a separate thread; a panic there becomes a panic here.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// An authenticated connection.
pub struct Control {
    /// May also be a Unix socket: only calls that every socket supports are used.
    stream: TcpStream,
    address: String,
    /// How long each command may take.
    timeout: Duration,
    until: Instant,
    /// Whether answers can no longer be matched to commands, or the connection has ended.
    broken: bool,
}

impl Control {
    /// Connects to `address` (`host:port`, or `unix:PATH`), and presents the cookie from a file, if there is one.
    ///
    /// # Errors
    /// In words.
    pub fn connect(address: &str, cookie: Option<&Path>, timeout: Duration) -> Result<Self, String> {
        let until = Instant::now() + timeout;
        let failed = |error: std::io::Error| format!("cannot connect to the control port {address}: {error}");
        let cookie = cookie.map(|path| {
            let read = std::fs::read(path).map_err(|error| format!("cannot read the cookie {}: {error}", path.display()))?;
            match read.len() {
                32 => Ok(read.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
                length => Err(format!("{} has {length} bytes, but a Tor cookie has 32", path.display())),
            }
        });
        let cookie = cookie.transpose()?.unwrap_or_default();
        let stream = match address.strip_prefix("unix:") {
            Some(path) => TcpStream::from(OwnedFd::from(UnixStream::connect(path).map_err(failed)?)),
            None => tcp(address, timeout, failed)?,
        };
        let mut control = Self { stream, address: address.to_owned(), timeout, until, broken: false };
        control.ask(format!("AUTHENTICATE {cookie}").trim_end()).map_err(|e| match cookie.is_empty() {
            true => format!("{e}; it requires authentication: expected `cookie: FILE`"),
            false => e,
        })?;
        Ok(control)
    }

    /// Sends a command, and waits for the answer. Returns its lines, without their codes.
    ///
    /// # Errors
    /// In words: when it was refused, or nothing was answered in time.
    pub fn ask(&mut self, command: &str) -> Result<Vec<String>, String> {
        self.request(command)?
    }

    /// The same, but a refusal is an answer as well: the inner error says why the command was refused.
    ///
    /// # Errors
    /// In words, when nothing was answered in time: then no more commands can be sent.
    pub fn request(&mut self, command: &str) -> Result<Result<Vec<String>, String>, String> {
        self.broken = true;
        let (is_taken, lines) = self.answer(command)?;
        self.broken = false;
        Ok(if is_taken { Ok(lines) } else { Err(lines.join(" ")) })
    }

    /// Whether the connection is unusable, as opposed to a single refused command.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether a command was accepted, and the lines of the answer; if not, one line that says so.
    fn answer(&mut self, command: &str) -> Result<(bool, Vec<String>), String> {
        self.until = self.until.max(Instant::now() + self.timeout);
        let name = command.split(' ').next().unwrap_or_default();
        let failed = |address: &str, error: &std::io::Error| match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => format!("{address} did not answer {name} in time"),
            ErrorKind::UnexpectedEof => format!("{address} closed the connection instead of answering {name}"),
            _ => format!("{address} did not answer {name}: {error}"),
        };
        let written = self.limit().and_then(|()| self.stream.write_all(format!("{command}\r\n").as_bytes()));
        written.map_err(|e| failed(&self.address, &e))?;
        let mut lines = Vec::new();
        loop {
            let line = self.line().map_err(|e| failed(&self.address, &e))?;
            // Asynchronous events may come in between.
            if line.starts_with("650") {
                continue;
            }
            let (code, rest) = (line.get(..3).unwrap_or_default(), line.get(3..).unwrap_or_default());
            let is_code = code.len() == 3 && code.bytes().all(|b| b.is_ascii_digit());
            if !is_code || !matches!(rest.chars().next(), Some(' ' | '-' | '+')) {
                return Err(format!("{} is not a control port of Tor: it answered {name} with {line:?}", self.address));
            }
            lines.push(rest[1..].to_owned());
            if rest.starts_with('+') {
                loop {
                    let data = self.line().map_err(|e| failed(&self.address, &e))?;
                    if data == "." {
                        break;
                    }
                    lines.push(data);
                    if lines.len() > MAX_LINES {
                        return Err(format!("{} answered {name} with more than {MAX_LINES} lines", self.address));
                    }
                }
            }
            if rest.starts_with(' ') {
                return Ok(match code.starts_with('2') {
                    true => (true, lines),
                    false => (false, vec![format!("{} refused {name}: {code}{rest}", self.address)]),
                });
            }
            if lines.len() > MAX_LINES {
                return Err(format!("{} answered {name} with more than {MAX_LINES} lines", self.address));
            }
        }
    }

    /// Sends a command whose answer is left for the connection's next user.
    ///
    /// # Errors
    /// In words.
    pub fn tell(&mut self, command: &str) -> Result<(), String> {
        let written = self.limit().and_then(|()| self.stream.write_all(format!("{command}\r\n").as_bytes()));
        written.map_err(|error| format!("{} cannot be written to: {error}", self.address))
    }

    /// Waits for the next asynchronous line, at most this long; `None` if none arrives.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn told(&mut self, patience: Duration) -> std::io::Result<Option<String>> {
        self.until = Instant::now() + patience;
        // A part of a line is not lost: the rest is waited for, which takes no longer than the rest of a packet.
        self.stream.set_read_timeout(Some(patience.max(Duration::from_millis(1))))?;
        match self.stream.peek(&mut [0]) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) => {
                self.until = Instant::now() + self.timeout;
                self.line().map(Some)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The connection, for the events that arrive from now on.
    ///
    /// # Errors
    /// In words.
    pub fn into_stream(self) -> Result<TcpStream, String> {
        let address = self.address;
        self.stream.set_nonblocking(true).map_err(|error| format!("cannot listen to {address}: {error}"))?;
        Ok(self.stream)
    }

    fn limit(&self) -> std::io::Result<()> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left)).and_then(|()| self.stream.set_write_timeout(Some(left)))
    }

    fn line(&mut self) -> std::io::Result<String> {
        let mut line = Vec::new();
        let mut byte = [0];
        loop {
            self.limit()?;
            if self.stream.read(&mut byte)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            match byte[0] {
                b'\n' => {
                    line.truncate(line.len() - usize::from(line.ends_with(b"\r")));
                    return Ok(String::from_utf8_lossy(&line).into_owned());
                }
                other if line.len() < MAX_LINE => line.push(other),
                _ => return Err(std::io::Error::other(format!("a line of more than {MAX_LINE} bytes"))),
            }
        }
    }
}

/// A connection to the first address of a name that accepts one.
fn tcp(address: &str, timeout: Duration, failed: impl Fn(std::io::Error) -> String) -> Result<TcpStream, String> {
    let mut last = format!("cannot connect to the control port {address}: it has no address");
    for one in address.to_socket_addrs().map_err(&failed)? {
        // A command must not wait for the acknowledgement of the one before.
        match TcpStream::connect_timeout(&one, timeout).and_then(|stream| stream.set_nodelay(true).map(|()| stream)) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = failed(error),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::*;

    /// What becomes of a command where this is said.
    fn asked(said: &'static [u8]) -> Result<Vec<String>, String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"250 OK\r\n").unwrap();
            stream.write_all(said).unwrap();
            // Until the client has gone.
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let asked = Control::connect(&address, None, Duration::from_millis(300)).unwrap().ask("GETINFO x");
        server.join().unwrap();
        asked
    }

    #[test]
    fn answers_are_read_to_their_end_and_no_further() {
        assert_eq!(asked(b"650 BW 1 2\r\n250-a=1\r\n250 OK\r\n"), Ok(vec!["a=1".to_owned(), "OK".to_owned()]));
        assert_eq!(asked(b"250+a=\r\nb\r\n.\r\n250 OK\r\n").unwrap(), ["a=", "b", "OK"]);
        assert!(asked(b"552 Unrecognized key\r\n").unwrap_err().ends_with("refused GETINFO: 552 Unrecognized key"));
        assert!(asked(b"HTTP/1.1 400 Bad\r\n").unwrap_err().contains("is not a control port of Tor"));
        assert!(asked(b"25").unwrap_err().contains("did not answer GETINFO in time"));
    }

    #[test]
    fn a_unix_socket_is_a_control_port_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control");
        let listener = UnixListener::bind(&path).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"250 OK\r\n250-version=0.4.9\r\n250 OK\r\n650 BW 1 2\r\n").unwrap();
            stream.read_to_end(&mut Vec::new()).unwrap();
        });
        let timeout = Duration::from_secs(5);
        let mut control = Control::connect(&format!("unix:{}", path.display()), None, timeout).unwrap();
        assert_eq!(control.ask("GETINFO version").unwrap(), ["version=0.4.9", "OK"]);
        assert_eq!(control.told(timeout).unwrap().as_deref(), Some("650 BW 1 2"));
        assert_eq!(control.told(Duration::from_millis(10)).unwrap(), None);
        drop(control);
        server.join().unwrap();
        let found = Control::connect(&format!("unix:{}/nowhere", folder.path().display()), None, timeout).err().unwrap();
        assert!(found.contains("cannot connect to the control port unix:/"), "{found}");
    }

    #[test]
    fn a_cookie_has_32_bytes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"short").unwrap();
        let found = Control::connect("127.0.0.1:1", Some(file.path()), Duration::from_millis(50)).err().unwrap();
        assert!(found.contains("has 5 bytes, but a Tor cookie has 32"), "{found}");
        let found = Control::connect("127.0.0.1:1", Some(Path::new("/no/such")), Duration::from_millis(50)).err().unwrap();
        assert!(found.contains("cannot read the cookie /no/such"), "{found}");
    }
}
