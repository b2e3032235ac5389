//! The requests of a log that is replayed: what each was, and when.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::text::as_text;
pub use vocabulary::choices::{LogFormat, Spread};
use vocabulary::digest::Digest;
use vocabulary::units::{count, exact_duration, human_duration, significant};

/// A log as a load: its requests arrive at its instants.
#[derive(Clone, Debug, Serialize)]
pub struct Replay {
    /// The file, as the scenario names it.
    pub log: String,
    /// What is in it.
    pub format: LogFormat,
    /// How many times as fast as in the log requests arrive.
    pub speed: f64,
    /// Where in its second a request is whose time has no fraction.
    pub spread: Spread,
    /// How many requests are replayed.
    pub requests: u64,
    /// The digest of what is replayed.
    pub content: String,
    /// From the first of them to the last, at this speed.
    #[serde(serialize_with = "as_text")]
    pub length: Duration,
    /// What is in the log and cannot be replayed.
    pub left_out: Vec<LeftOut>,
    /// What else is remarkable about the log, in words.
    pub remarks: Vec<String>,
    /// The groups of paths that are measured, as steps.
    pub steps: Vec<String>,
    /// Whether an answer must have the status that the log has.
    pub expects_logged: bool,
    /// The requests themselves.
    #[serde(skip)]
    pub log_requests: Arc<LogRequests>,
}

/// Two are equal if they say the same: a log is read once for all plans of a process.
impl PartialEq for Replay {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.log_requests, &other.log_requests) && self.speed.to_bits() == other.speed.to_bits()
    }
}

/// Entries of a log that cannot be replayed for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The reason, in a few words.
    pub reason: &'static str,
    /// How many they are.
    pub count: u64,
    /// The number of the first one in the log, from 1.
    pub first: u64,
}

/// Requests in the order of their instants.
#[derive(Debug, Default)]
pub struct LogRequests {
    /// When each is sent, in nanoseconds from the first one, at the speed of the replay.
    pub at_ns: Vec<u64>,
    /// Within how many nanoseconds from then on, drawn from the seed; 0: at that instant.
    pub within_ns: u64,
    /// What each is.
    pub requests: Vec<LogRequest>,
    /// Their paths, one behind the other.
    pub paths: Vec<u8>,
    /// Bodies that the log has, with their types.
    pub bodies: Vec<(Vec<u8>, Option<String>)>,
    /// The longest body.
    pub longest_body: u64,
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub struct LogRequest {
    /// Where its path starts.
    path_at: u64,
    path_length: u16,
    /// Its method, among [`METHODS`].
    method: u8,
    /// The group of its path.
    pub step: u16,
    /// The status in the log; 0 if it has none.
    pub status: u16,
    /// Its body.
    pub body: LogBody,
}

/// The body of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogBody {
    /// No body.
    Empty,
    /// This many random bytes.
    Random(u32),
    /// The one with this number in the log.
    Logged(u32),
}

/// Methods that can be replayed.
pub const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

impl LogRequests {
    /// Adds a request whose instant is set later.
    pub fn push(&mut self, method: u8, path: &[u8], status: u16, body: LogBody) {
        let path_at = self.paths.len() as u64;
        self.paths.extend_from_slice(path);
        self.requests.push(LogRequest { path_at, path_length: path.len() as u16, method, step: 0, status, body });
    }

    /// The digest of all of them.
    pub fn digest(&self) -> String {
        let mut digest = Digest::default();
        digest.add(&self.paths);
        let mut piece = Vec::with_capacity(1 << 16);
        for (request, at_ns) in self.requests.iter().zip(&self.at_ns) {
            let (kind, body) = match request.body {
                LogBody::Empty => (0, 0),
                LogBody::Random(length) => (1, length),
                LogBody::Logged(number) => (2, number),
            };
            piece.extend_from_slice(&at_ns.to_le_bytes());
            piece.extend_from_slice(&request.path_at.to_le_bytes());
            piece.extend_from_slice(&[request.method, kind]);
            piece.extend_from_slice(&request.status.to_le_bytes());
            piece.extend_from_slice(&body.to_le_bytes());
            // A piece is added as a whole: that costs less than many small ones.
            if piece.len() + 32 > 1 << 16 {
                digest.add(&piece);
                piece.clear();
            }
        }
        digest.add(&piece);
        for (body, kind) in &self.bodies {
            digest.add(&(body.len() as u64).to_le_bytes());
            digest.add(body);
            digest.add(kind.as_deref().unwrap_or_default().as_bytes());
        }
        digest.text()
    }

    /// The path and query of a request.
    pub fn path(&self, request: &LogRequest) -> &[u8] {
        let start = request.path_at as usize;
        &self.paths[start..start + usize::from(request.path_length)]
    }
}

impl LogRequest {
    /// Its method.
    pub fn method(&self) -> &'static str {
        METHODS.get(usize::from(self.method)).copied().unwrap_or("GET")
    }
}

impl Replay {
    /// The arrivals in a sentence.
    pub fn arrivals(&self) -> String {
        let speed = if self.speed == 1.0 { String::new() } else { format!(", {} times as fast", significant(self.speed)) };
        let took = human_duration(self.length.as_nanos() as f64);
        format!("{} requests of {} within {took}{speed}", count(self.requests), self.log)
    }

    /// What `runner plan` prints besides: what is left out, and what is remarkable.
    pub fn words(&self) -> Vec<String> {
        let spread = match self.spread {
            _ if self.log_requests.within_ns > 0 => vec!["within a second, requests are spread at random".to_owned()],
            _ => Vec::new(),
        };
        let steps = format!("by path: {}", self.steps.join(", "));
        let left = self.left_out.iter().map(LeftOut::words);
        [steps].into_iter().chain(left).chain(self.remarks.iter().cloned()).chain(spread).collect()
    }

    /// When the request with this number arrives, from 0; the end if there is none.
    pub fn at(&self, number: u64) -> Duration {
        let at_ns = usize::try_from(number).ok().and_then(|number| self.log_requests.at_ns.get(number));
        at_ns.map_or_else(|| self.end(), |at_ns| Duration::from_nanos(*at_ns))
    }

    /// When all requests have arrived, at the latest.
    pub fn end(&self) -> Duration {
        let last_ns = self.log_requests.at_ns.last().copied().unwrap_or_default();
        Duration::from_nanos(last_ns.saturating_add(self.log_requests.within_ns))
    }

    /// How many of its requests arrive within a time.
    pub fn before(&self, length: Option<Duration>) -> u64 {
        let length_ns = length.map_or(0, |length| u64::try_from(length.as_nanos()).unwrap_or(u64::MAX));
        self.log_requests.at_ns.partition_point(|at_ns| *at_ns < length_ns) as u64
    }

    /// What must be said about it wherever it is used, line by line; nothing if all of the log is replayed as it is.
    pub fn notes(&self) -> impl Iterator<Item = String> {
        self.left_out.iter().map(LeftOut::words).chain(self.remarks.iter().cloned()).map(|words| format!("{}: {words}", self.log))
    }
}

impl LeftOut {
    /// As it is said.
    pub fn words(&self) -> String {
        let Self { reason, count: n, first } = self;
        match n {
            1 => format!("entry {first} is not replayed: {reason}"),
            n => format!("{} entries are not replayed, the first is entry {first}: {reason}", count(*n)),
        }
    }
}

/// A gap in a log, in words.
pub fn gap(length: Duration, after: Duration) -> String {
    format!("nothing arrives for {}, {} after the first request", exact_duration(length), exact_duration(after))
}
