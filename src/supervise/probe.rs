//! How it is found out that a replica is ready: by its port, an answer, a line of its log, or a command.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::client::{Guard, Process, ProcessSpec};
use super::{Error, Exit, Kind};
use plan::step::any_of;
use plan::{Probe, SentLine, Template, Url};
use tls::Tls;
use vocabulary::Task;
use vocabulary::words::harmless;

/// Time between two looks. Start-up times are known to within this.
const INTERVAL: Duration = Duration::from_millis(2);
/// The same for commands and logs, which cost more.
const SLOW_INTERVAL: Duration = Duration::from_millis(20);
/// A look that hangs is abandoned after this.
const ONE_LOOK: Duration = Duration::from_secs(2);
/// A look that has taken longer than this has found something that hangs.
const HANGS: Duration = Duration::from_millis(200);
/// How long a server that speaks in lines is listened to before it is asked again on another connection.
const ANSWER: Duration = Duration::from_secs(1);
/// No more than this of a file is sent.
const MOST_OF_A_FILE: u64 = 4096;
/// How much of an answer that does not match is kept for the message.
const MOST_OF_AN_ANSWER: usize = 4096;
/// An answer without a line end within this many bytes does not match.
const MOST_OF_A_LINE: usize = 1 << 20;
/// How many characters of an answer are shown.
const SHOWN: usize = 200;
/// How many lines from the end of a program's output are shown when it fails.
pub const LINES_SHOWN: usize = 10;

/// What a probe needs to know of its replica.
#[derive(Debug)]
pub struct Subject<'a> {
    /// Target and replica, for messages.
    pub name: &'a str,
    /// The process; none if it already runs elsewhere.
    pub process: Option<&'a Process>,
    /// How to know that it is ready, with all names filled in.
    pub probe: Probe,
    /// Its output files.
    pub logs: [&'a Path; 2],
    /// How long it may take.
    pub timeout: Duration,
    /// File of the network namespace in which it runs, if it has one.
    pub namespace: Option<&'a Path>,
}

/// Waits until the replica is ready; returns when that was.
///
/// # Errors
/// [`Error::EndedEarly`] as soon as its process ends, [`Error::NotReady`] when time is up, [`Error::GuardGone`].
pub fn wait<'f>(guard: &'f Guard, subject: &'f Subject<'_>) -> Task<'f, Result<Instant, Error>> {
    Box::pin(async move {
        let last = std::cell::RefCell::new(Seen::default());
        let looking = async {
            let mut logs = subject.logs.map(Unread::new);
            let mut tls = None;
            loop {
                last.borrow_mut().looks_since = Some(Instant::now());
                let looked = look(guard, subject, &mut logs, &mut tls).await;
                last.borrow_mut().looks_since = None;
                match looked {
                    Ok(()) => return Ok(Instant::now()),
                    Err(Look::NotYet(why)) => last.borrow_mut().why = Some(why),
                    Err(Look::Failed(error)) => return Err(error),
                }
                let pause = if matches!(subject.probe, Probe::Log { .. } | Probe::Command { .. } | Probe::Lines { .. }) {
                    SLOW_INTERVAL
                } else {
                    INTERVAL
                };
                tokio::time::sleep(pause).await;
            }
        };
        let ended = async {
            match subject.process {
                Some(process) => process.wait().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            ready = looking => {
                // Something else may have answered on its port.
                match (ready, subject.process.and_then(Process::exited)) {
                    (Ok(_), Some(exit)) => Err(ended_early(subject, exit)),
                    (ready, _) => ready,
                }
            },
            exit = ended => Err(ended_early(subject, exit?)),
            () = tokio::time::sleep(subject.timeout) => {
                let Why { kind, words } = last.take().why(&subject.probe, subject.timeout);
                let tail = subject.process.map(|_| tail(subject.logs, LINES_SHOWN));
                Err(Error::NotReady { name: subject.name.to_owned(), timeout: subject.timeout, kind, reason: words, tail })
            }
        }
    })
}

fn ended_early(subject: &Subject<'_>, exit: Exit) -> Error {
    Error::EndedEarly { name: subject.name.to_owned(), exit, tail: tail(subject.logs, LINES_SHOWN) }
}

/// What the looks at a replica have found so far.
#[derive(Debug, Default)]
struct Seen {
    /// Why it was not ready at the last look that completed.
    why: Option<Why>,
    /// When the look that is under way started.
    looks_since: Option<Instant>,
}

impl Seen {
    /// Why it is not ready. If a look hangs, that is reported rather than an earlier result. The words are the same in every
    /// repetition: they contain the configured time-out of the whole wait, and no measured time.
    fn why(self, probe: &Probe, timeout: Duration) -> Why {
        // A server that speaks in lines is listened to for a while; that does not count as hanging.
        let listens = matches!(probe, Probe::Lines { .. });
        let is_long = |since: &Instant| since.elapsed() > HANGS && !listens || self.why.is_none();
        match (self.looks_since.filter(is_long), self.why) {
            // An earlier look that hung has used all the time that it gets.
            (Some(_), Some(before)) if before.kind == NO_ANSWER => before,
            (Some(_), before) => {
                let time = vocabulary::units::exact_duration(timeout.min(ONE_LOOK));
                let words = match before {
                    Some(before) => format!("{} no longer answered (before that: {})", subject_of(probe), before.words),
                    None => format!("{} gave no answer within {time}", subject_of(probe)),
                };
                Why::new(NO_ANSWER, words)
            }
            (None, Some(why)) => why,
            (None, None) => Why::new("no-look", "there was no time to check"),
        }
    }
}

/// Why a target is not ready.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Why {
    /// The kind of reason: the same whenever it happens again, even if the words differ.
    kind: String,
    /// In words.
    words: String,
}

/// The kind of a look that hung.
const NO_ANSWER: &str = "no-answer";

impl Why {
    fn new(kind: impl Into<String>, words: impl Into<String>) -> Self {
        Self { kind: kind.into(), words: words.into() }
    }
}

/// What a probe asks.
fn subject_of(probe: &Probe) -> String {
    match probe {
        Probe::Started => "it".to_owned(),
        Probe::Tcp { address } | Probe::Lines { address, .. } => address.clone(),
        Probe::Http { url, .. } => url.to_string(),
        Probe::Log { .. } => "its log".to_owned(),
        Probe::Command { argv, .. } => {
            let words: Vec<String> = argv.iter().map(Template::to_text).collect();
            format!("the command `{}`", words.join(" "))
        }
    }
}

enum Look {
    /// Why it is not ready, as far as is known.
    NotYet(Why),
    /// Looking has become impossible.
    Failed(Error),
}

impl Look {
    fn not_yet(kind: impl Into<String>, words: impl Into<String>) -> Self {
        Self::NotYet(Why::new(kind, words))
    }

    /// An error of the system about a connection.
    fn refused(address: &str, error: &std::io::Error) -> Self {
        Self::not_yet(format!("{:?}", error.kind()), format!("{address}: {error}"))
    }
}

/// Looks once. `tls`: what was read for TLS, as soon as that was possible; it is read once for all looks.
async fn look(guard: &Guard, subject: &Subject<'_>, logs: &mut [Unread; 2], tls: &mut Option<Tls>) -> Result<(), Look> {
    let timed_out = |what: &str| {
        let time = vocabulary::units::exact_duration(subject.timeout.min(ONE_LOOK));
        Look::not_yet(NO_ANSWER, format!("{what} gave no answer within {time}"))
    };
    match &subject.probe {
        Probe::Started => Ok(()),
        Probe::Tcp { address } => match tokio::time::timeout(ONE_LOOK, connect(address, subject.namespace)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Look::refused(address, &error)),
            Err(_) => Err(timed_out(address)),
        },
        Probe::Lines { address, send, expect } => {
            let pattern = regex::Regex::new(expect).map_err(|e| Look::not_yet("pattern", e.to_string()))?;
            let said = said(send).map_err(|words| Look::not_yet("nothing-to-say", words))?;
            let stream = match tokio::time::timeout(ONE_LOOK, connect(address, subject.namespace)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return Err(Look::refused(address, &error)),
                Err(_) => return Err(timed_out(address)),
            };
            let mut answer = Answer::default();
            match tokio::time::timeout(ANSWER, ask(stream, &said, &pattern, &mut answer)).await {
                Ok(Ok(true)) => Ok(()),
                // If nothing more comes, a line without a line end counts as complete.
                Ok(Ok(false)) | Err(_) if answer.ends_with(&pattern) => Ok(()),
                Ok(Err(error)) if answer.is_empty() => Err(Look::refused(address, &error)),
                _ if answer.is_empty() => Err(Look::not_yet("silence", format!("{address} sent nothing"))),
                _ => {
                    let said = answer.readable();
                    let words = format!("no line sent by {address} matches `{expect}`; the last answer was `{said}`");
                    Err(Look::not_yet("other-lines", words))
                }
            }
        }
        Probe::Http { url, statuses, tls: said } => {
            if url.tls && tls.is_none() {
                *tls = Some(Tls::new(said, false).map_err(|error| Look::not_yet("tls", vocabulary::errors::chain(&error)))?);
            }
            match tokio::time::timeout(ONE_LOOK, get(url, tls.as_ref(), subject.namespace)).await {
                Ok(Ok(status)) if statuses.contains(&status) || statuses.is_empty() && status < 400 => Ok(()),
                Ok(Ok(status)) if statuses.is_empty() => {
                    Err(Look::not_yet(format!("status-{status}"), format!("{url} answered {status}")))
                }
                Ok(Ok(status)) => {
                    let expected = any_of(statuses);
                    Err(Look::not_yet(format!("status-{status}"), format!("{url} answered {status}, expected {expected}")))
                }
                Ok(Err(failure)) => Err(Look::not_yet(failure.kind, format!("{url}: {}", failure.words))),
                Err(_) => Err(timed_out(&url.to_string())),
            }
        }
        Probe::Log { pattern } => {
            let pattern = regex::Regex::new(pattern).map_err(|e| Look::not_yet("pattern", e.to_string()))?;
            let found = logs.iter_mut().any(|log| log.any_line(|line| pattern.is_match(line)));
            if found { Ok(()) } else { Err(Look::not_yet("no-line", format!("no line of its log matches `{pattern}`"))) }
        }
        Probe::Command { argv, dir } => {
            let argv = argv.iter().map(Template::to_text).collect();
            let env = vec![guard.marker(Kind::Step, subject.name, 0)];
            let nowhere = [Path::new("/dev/null"); 2];
            let dir = dir.as_ref().map(|dir| PathBuf::from(dir.to_text()));
            let command = ProcessSpec { dir, namespace: subject.namespace, ..ProcessSpec::new(argv, env, nowhere) };
            match guard.run_to_end(command, ONE_LOOK).await {
                Ok(Some(Exit::Code(0))) => Ok(()),
                Ok(Some(exit)) => Err(Look::not_yet(exit.to_string(), format!("the command {exit}"))),
                Ok(None) => Err(timed_out(&subject_of(&subject.probe))),
                Err(error @ Error::Spawn { .. }) => Err(Look::not_yet("not-started", error.to_string())),
                Err(error) => Err(Look::Failed(error)),
            }
        }
    }
}

/// The part of a log that was not read yet.
struct Unread {
    path: PathBuf,
    /// How far it was read.
    at: u64,
    /// The start of a line whose end has not been written yet.
    begun: Vec<u8>,
}

impl Unread {
    /// The most that is read in one look: a program that writes gigabytes before it is ready takes several looks.
    const PART: u64 = 1 << 20;

    fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), at: 0, begun: Vec::new() }
    }

    /// Whether a new line satisfies a condition; an incomplete line at the end is checked, too.
    fn any_line(&mut self, is: impl Fn(&str) -> bool) -> bool {
        use std::io::{Read as _, Seek as _, SeekFrom};
        let mut part = Vec::new();
        let read = std::fs::File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.at))?;
            file.take(Self::PART).read_to_end(&mut part)
        });
        // A log that does not exist yet has no lines.
        let Ok(read) = read else { return false };
        self.at += read as u64;
        let mut text = std::mem::take(&mut self.begun);
        text.extend_from_slice(&part);
        let last = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        // A very long line is checked in parts.
        self.begun = if text.len() - last < Self::PART as usize { text[last..].to_vec() } else { Vec::new() };
        String::from_utf8_lossy(&text).lines().any(is)
    }
}

/// Connects, inside the network namespace if there is one: a connection belongs to the namespace in which its socket was made.
async fn connect(address: &str, namespace: Option<&Path>) -> std::io::Result<TcpStream> {
    let Some(path) = namespace else { return TcpStream::connect(address).await };
    let (path, address) = (path.to_owned(), address.to_owned());
    let connecting = move || {
        super::spawn::enter_namespace(&std::fs::File::open(path)?)?;
        let stream = std::net::TcpStream::connect(address)?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    };
    // In a separate thread, as it never leaves the namespace again.
    let (to, from) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("probe".to_owned()).spawn(move || drop(to.send(connecting())))?;
    let connected: std::io::Result<std::net::TcpStream> = from.await.map_err(std::io::Error::other)?;
    TcpStream::from_std(connected?)
}

/// What to send to a server that speaks in lines; the error names a file that cannot be read.
fn said(send: &[SentLine]) -> Result<Vec<u8>, String> {
    use std::io::Read as _;
    let mut said = String::new();
    for line in send {
        said += &line.text.to_text();
        if let Some(path) = line.hex_of.as_ref().map(Template::to_text) {
            let mut bytes = Vec::new();
            let read = std::fs::File::open(&path).and_then(|file| file.take(MOST_OF_A_FILE).read_to_end(&mut bytes));
            read.map_err(|error| format!("{path}: {error}"))?;
            said.extend(bytes.iter().map(|byte| format!("{byte:02x}")));
        }
        // A text that ends with a line feed is complete already; an empty text is a line, too.
        let is_ended = line.hex_of.is_none() && line.text.to_text().ends_with('\n');
        if !is_ended {
            said += "\r\n";
        }
    }
    Ok(said.into_bytes())
}

/// Sends something to a server, and reads until a complete line of its answer matches (true) or the connection ends (false).
async fn ask(mut stream: TcpStream, said: &[u8], pattern: &regex::Regex, answer: &mut Answer) -> std::io::Result<bool> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    stream.write_all(said).await?;
    let mut part = [0; 4096];
    loop {
        match stream.read(&mut part).await? {
            0 => return Ok(false),
            read if answer.add(&part[..read], pattern) => return Ok(true),
            _ => {}
        }
    }
}

/// What a server has sent so far.
#[derive(Debug, Default)]
struct Answer {
    /// The end of the lines that did not match.
    told: Vec<u8>,
    /// The start of a line whose end has not arrived yet.
    begun: Vec<u8>,
}

impl Answer {
    /// Adds what arrived; returns whether a line that is now complete matches.
    fn add(&mut self, part: &[u8], pattern: &regex::Regex) -> bool {
        self.begun.extend_from_slice(part);
        let Some(end) = self.begun.iter().rposition(|byte| *byte == b'\n') else {
            if self.begun.len() > MOST_OF_A_LINE {
                self.begun.clear();
            }
            return false;
        };
        let rest = self.begun.split_off(end + 1);
        let lines = std::mem::replace(&mut self.begun, rest);
        self.told.extend_from_slice(&lines);
        self.told.drain(..self.told.len().saturating_sub(MOST_OF_AN_ANSWER));
        String::from_utf8_lossy(&lines).lines().any(|line| pattern.is_match(line))
    }

    /// Whether the incomplete line at the end matches as it is.
    fn ends_with(&self, pattern: &regex::Regex) -> bool {
        !self.begun.is_empty() && pattern.is_match(&String::from_utf8_lossy(&self.begun))
    }

    fn is_empty(&self) -> bool {
        self.told.is_empty() && self.begun.is_empty()
    }

    /// The end of the answer on one line, without characters that control a terminal.
    fn readable(&self) -> String {
        let bytes = [self.told.as_slice(), self.begun.as_slice()].concat();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let clean: Vec<char> = harmless(&lines.join(" | ").replace('\t', " ")).chars().collect();
        let from = clean.len().saturating_sub(SHOWN);
        let cut = if from > 0 { "…" } else { "" };
        format!("{cut}{}", clean[from..].iter().collect::<String>())
    }
}

/// The status of a `GET`, over TLS if requested.
async fn get(url: &Url, tls: Option<&Tls>, namespace: Option<&Path>) -> Result<u16, Why> {
    let address = url.authority();
    let stream = connect(&address, namespace).await.map_err(|e| Why::new(format!("{:?}", e.kind()), text(&e)))?;
    let Some(tls) = tls else { return status(stream, url).await };
    let deadline = tokio::time::Instant::now() + ONE_LOOK;
    let name = tls::server_name(&url.host).map_err(|words| Why::new("tls", words))?;
    let shaken = tls.handshake(stream, name, &address, deadline).await;
    status(shaken.map_err(|failure| Why::new("tls", failure.words))?, url).await
}

/// The status of a `GET` on a connection.
async fn status(stream: impl AsyncRead + AsyncWrite + Unpin, url: &Url) -> Result<u16, Why> {
    let failed = |error: &(dyn std::error::Error + 'static)| Why::new("no-http", text(error));
    // A header that continues on the next line is a single header, as in loads.
    let mut http = hyper::client::conn::http1::Builder::new();
    http.allow_obsolete_multiline_headers_in_responses(true);
    let (mut sender, connection) = http.handshake(TokioIo::new(stream)).await.map_err(|e| failed(&e))?;
    let unsendable = |unsendable: plan::url::Unsendable| Why::new("path", format!("the path {}", unsendable.found()));
    let path = plan::url::sent(url.request_path()).map_err(unsendable)?;
    let request = hyper::Request::get(&*path)
        .header("host", url.authority())
        .header("connection", "close")
        .body(Empty::<bytes::Bytes>::new())
        .map_err(|e| failed(&e))?;
    let mut answer = std::pin::pin!(sender.send_request(request));
    let early = tokio::select! {
        biased;
        answer = &mut answer => Some(answer),
        ended = connection => {
            ended.map_err(|e| failed(&e))?;
            None
        }
    };
    // When a connection has ended, its answer, if any, has already been delivered.
    let answer = match early {
        Some(answer) => answer,
        None => answer.await,
    };
    answer.map(|a| a.status().as_u16()).map_err(|e| failed(&e))
}

/// An error with its causes, or the server's TLS alert if it is about the client's certificate.
fn text(error: &(dyn std::error::Error + 'static)) -> String {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    let alert = causes.find_map(|cause| tls::alert(cause.downcast_ref()?));
    alert.unwrap_or_else(|| vocabulary::errors::chain(error))
}

/// The last lines that a program printed; half from its output and half from its error output if it used both.
pub fn tail(logs: [&Path; 2], lines: usize) -> Vec<String> {
    let [out, err] = logs.map(|path| last_lines(path, lines));
    match (out.is_empty(), err.is_empty()) {
        (_, true) => out,
        (true, false) => err,
        (false, false) => {
            let half = |all: Vec<String>| all[all.len().saturating_sub(lines / 2)..].to_vec();
            [half(out), half(err)].concat()
        }
    }
}

fn last_lines(path: &Path, count: usize) -> Vec<String> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(16 * 1024)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].iter().map(|l| harmless(l).chars().take(300).collect()).collect()
}

/// The log files of a replica.
pub fn log_paths(folder: &Path, target: &str, replica: u32) -> [PathBuf; 2] {
    [folder.join(format!("{target}-{replica}.out")), folder.join(format!("{target}-{replica}.err"))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn an_answer_is_known_by_whole_lines_and_told_by_its_end() {
        let pattern = regex::Regex::new("^PROGRESS=100$").unwrap();
        let mut answer = Answer::default();
        assert!(answer.is_empty());
        assert!(!answer.add(b"250 OK\r\nPROGRESS=1", &pattern));
        assert!(!answer.add(b"00", &pattern), "its end is not there yet");
        assert!(answer.ends_with(&pattern), "and may never come");
        assert!(!answer.add(b"0\r\n\x1b[31mred\x07", &pattern), "it went on");
        assert_eq!(answer.readable(), "250 OK | PROGRESS=1000 | \u{fffd}[31mred\u{fffd}");
        assert!(answer.add(b"\nPROGRESS=100\r\nmore\n", &pattern), "wherever it stands");
        for _ in 0..1000 {
            answer.add(b"PROGRESS=85\r\n", &pattern);
        }
        assert!(answer.told.len() <= MOST_OF_AN_ANSWER && answer.readable().ends_with("PROGRESS=85"), "{answer:?}");
        assert!(answer.readable().starts_with('…') && answer.readable().chars().count() == SHOWN + 1);
    }

    #[test]
    fn a_line_may_end_with_what_a_file_holds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cookie");
        let template = |text: &str| Template::parse(text);
        let cookie = SentLine { text: template("AUTHENTICATE "), hex_of: Some(template(path.to_str().unwrap())) };
        let lines = [cookie, SentLine::fixed("QUIT ${now}")];
        assert_eq!(said(&lines).unwrap_err(), format!("{}: No such file or directory (os error 2)", path.display()));
        std::fs::write(&path, [0, 255, 16]).unwrap();
        assert_eq!(String::from_utf8(said(&lines).unwrap()).unwrap(), "AUTHENTICATE 00ff10\r\nQUIT ${now}\r\n");
    }

    #[test]
    fn a_log_is_read_on_and_never_from_its_begin_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = Unread::new(&path);
        assert!(!log.any_line(|_| true), "it is not there yet");
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(b"one\nlisten").unwrap();
        assert!(log.any_line(|line| line == "one"));
        assert!(!log.any_line(|line| line == "one"), "it was read before");
        file.write_all(b"ing\n").unwrap();
        assert!(log.any_line(|line| line == "listening"), "a line that comes in two parts is one");
        file.write_all(&vec![b'x'; 3 << 20]).unwrap();
        file.write_all(b"\nlast\n").unwrap();
        let looks = (1..10).find(|_| log.any_line(|line| line == "last"));
        assert_eq!(looks, Some(4), "a part of it at a time");
        assert!(log.begun.is_empty() && log.at == std::fs::metadata(&path).unwrap().len());
    }
}
