//! A log that is replayed: read once, as fast as it can be, and turned into requests with their instants. What cannot be
//! replayed is counted by reason.
//!
//! `combined`, `json` and `har` read what is logged; `times` reads time stamps; `paths` puts paths into groups. Here it all
//! comes together: the order, gaps, the speed, and what is wrong with the log as a whole.

mod combined;
mod har;
mod json;
mod paths;
mod times;

use std::borrow::Cow;
use std::cell::RefCell;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::commands::find_file;
use super::diagnostics::Diagnostics;
use plan::Replay;
use plan::replay::{LeftOut, LogBody, LogFormat, LogRequests, METHODS, Spread};
use schema::{Mistake, Node, types};
use vocabulary::units::{self, count, exact_duration};

/// The longest log: more do not fit into memory beside what is measured.
const LONGEST_LOG: u64 = 4 << 30;
/// The longest body of a replayed request.
const LONGEST_BODY: u64 = 1 << 30;
/// More patterns than anybody compares.
const MOST_PATTERNS: usize = 64;
/// The fastest replay.
const FASTEST: f64 = 1_000_000.0;
const SECOND_NS: u64 = 1_000_000_000;
/// A gap of which is told.
const LONG_GAP: Duration = Duration::from_secs(3600);

/// Why something in a log cannot be replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It is not what the format says.
    NotALine,
    /// A line without a request, as servers write for connections without one.
    NoRequest,
    /// A method such as CONNECT.
    Method,
    /// The body is not in the log.
    Body,
    /// Another host.
    OtherHost,
    /// A path that cannot be sent without a change.
    Path,
    /// A connection that becomes one of another protocol.
    Upgrade,
    /// A URL that no server answers, such as `data:`.
    NoServer,
}

impl Why {
    const ALL: [Self; 8] =
        [Self::NotALine, Self::NoRequest, Self::Method, Self::Body, Self::OtherHost, Self::Path, Self::Upgrade, Self::NoServer];

    /// In a few words.
    fn words(self) -> &'static str {
        match self {
            Self::NotALine => "not in the format of the log",
            Self::NoRequest => "no request",
            Self::Method => "a method that cannot be replayed",
            Self::Body => "a body that the log does not have",
            Self::OtherHost => "another host",
            Self::Path => "a path that cannot be sent as it stands",
            Self::Upgrade => "another protocol than HTTP",
            Self::NoServer => "a URL without a server, such as `data:`",
        }
    }
}

/// A request as the log has it.
pub(super) struct Logged<'a> {
    /// Nanoseconds since 1970.
    pub at_ns: u64,
    pub method: &'a [u8],
    /// Path and query, or a full URL.
    pub target: Cow<'a, [u8]>,
    /// 0 if it is not known.
    pub status: u16,
    pub body: Body<'a>,
}

/// What the log says about the body of a request.
pub(super) enum Body<'a> {
    /// Nothing.
    Unknown,
    /// How long it was.
    Length(u64),
    /// All of it, and its type.
    Content(Cow<'a, [u8]>, Option<String>),
}

/// Takes what is logged, entry by entry.
pub(super) struct Collector {
    requests: LogRequests,
    /// Nanoseconds since 1970.
    times: Vec<u64>,
    /// Whether all times so far are whole seconds.
    whole_seconds: bool,
    left_out: [(u64, u64); Why::ALL.len()],
    entries: u64,
    /// The first entry that is not in the format, and what it lacks, if that is known.
    strange: Option<(String, Option<String>)>,
    hosts: Vec<String>,
    body: Option<types::LogBody>,
    /// Paths of requests, reused.
    encoded: Vec<u8>,
}

impl Collector {
    fn new(hosts: Vec<String>, body: Option<types::LogBody>, room: usize) -> Self {
        let requests = LogRequests { requests: Vec::with_capacity(room), ..LogRequests::default() };
        Self {
            requests,
            times: Vec::with_capacity(room),
            whole_seconds: true,
            left_out: [(0, 0); Why::ALL.len()],
            entries: 0,
            strange: None,
            hosts,
            body,
            encoded: Vec::new(),
        }
    }

    /// An entry that is not what the format says.
    pub fn strange(&mut self, entry: &[u8]) {
        self.lacking(entry, || None);
    }

    /// The same for one of which it is known what it lacks.
    pub fn lacking(&mut self, entry: &[u8], what: impl FnOnce() -> Option<String>) {
        if self.strange.is_none() {
            let start: String = String::from_utf8_lossy(&entry[..entry.len().min(240)]).chars().take(60).collect();
            self.strange = Some((start, what()));
        }
        self.entries += 1;
        self.leave(Why::NotALine);
    }

    /// An entry that cannot be replayed.
    pub fn leave_out(&mut self, why: Why) {
        self.entries += 1;
        self.leave(why);
    }

    fn leave(&mut self, why: Why) {
        let (count, first) = &mut self.left_out[why as usize];
        *count += 1;
        if *count == 1 {
            *first = self.entries;
        }
    }

    /// An entry with a request.
    pub fn take(&mut self, logged: Logged<'_>) {
        self.entries += 1;
        if let Err(why) = self.add(logged) {
            self.leave(why);
        }
    }

    fn add(&mut self, logged: Logged<'_>) -> Result<(), Why> {
        let method = METHODS.iter().position(|method| method.as_bytes() == logged.method).ok_or(Why::Method)? as u8;
        let path = self.path(&logged.target)?;
        if plan::url::is_sent_as_it_stands(&path) {
            self.encoded.clear();
            self.encoded.extend_from_slice(&path);
        } else {
            self.encoded = plan::url::sent_again(&path).ok_or(Why::Path)?;
        }
        let has_body = matches!(METHODS[usize::from(method)], "POST" | "PUT" | "PATCH");
        let random = |length: u64| match u32::try_from(length) {
            _ if length > LONGEST_BODY => Err(Why::Body),
            Ok(0) => Ok(LogBody::Empty),
            Ok(length) => Ok(LogBody::Random(length)),
            Err(_) => Err(Why::Body),
        };
        let body = match (logged.body, self.body) {
            (Body::Content(content, kind), _) if !content.is_empty() => {
                self.requests.longest_body = self.requests.longest_body.max(content.len() as u64);
                self.requests.bodies.push((content.into_owned(), kind));
                LogBody::Logged((self.requests.bodies.len() - 1) as u32)
            }
            (Body::Content(..), _) => LogBody::Empty,
            (Body::Unknown, _) if !has_body => LogBody::Empty,
            (Body::Length(0), _) => LogBody::Empty,
            (Body::Length(_), _) if !has_body => LogBody::Empty,
            (_, None) => return Err(Why::Body),
            (Body::Length(length), Some(_)) => random(length)?,
            (Body::Unknown, Some(body)) => random(body.otherwise.ok_or(Why::Body)?.0.0)?,
        };
        if let LogBody::Random(length) = body {
            self.requests.longest_body = self.requests.longest_body.max(u64::from(length));
        }
        let path = std::mem::take(&mut self.encoded);
        self.requests.push(method, &path, logged.status, body);
        self.encoded = path;
        self.times.push(logged.at_ns);
        self.whole_seconds &= logged.at_ns.is_multiple_of(SECOND_NS);
        Ok(())
    }

    /// The path and query of a target.
    fn path<'t>(&mut self, target: &'t [u8]) -> Result<Cow<'t, [u8]>, Why> {
        if target.first() == Some(&b'/') {
            return Ok(Cow::Borrowed(target));
        }
        let scheme = target.iter().position(|b| *b == b':').map(|colon| target[..colon].to_ascii_lowercase());
        match scheme.as_deref() {
            Some(b"http" | b"https") => {}
            Some(b"ws" | b"wss") => return Err(Why::Upgrade),
            // `host:port` of CONNECT has its own reason; the rest has no server.
            Some(_) if !target.contains(&b'/') || target.starts_with(b"data:") || target.starts_with(b"blob:") => {
                return Err(Why::NoServer);
            }
            Some(_) => return Err(Why::NoServer),
            None => return Err(Why::Path),
        }
        let behind = target.windows(3).position(|w| w == b"://").map(|at| &target[at + 3..]).ok_or(Why::NoServer)?;
        let end = behind.iter().position(|b| matches!(b, b'/' | b'?' | b'#')).unwrap_or(behind.len());
        let (authority, path) = behind.split_at(end);
        let host = String::from_utf8_lossy(authority.rsplit(|b| *b == b'@').next().unwrap_or_default()).to_ascii_lowercase();
        if self.hosts.is_empty() {
            self.hosts.push(host.clone());
        }
        let bare = host.rsplit_once(':').map_or(host.as_str(), |(bare, _)| bare);
        if !self.hosts.iter().any(|wanted| *wanted == host || wanted == bare) {
            return Err(Why::OtherHost);
        }
        // A fragment is for the client; no server has seen it.
        let path = &path[..memchr::memchr(b'#', path).unwrap_or(path.len())];
        Ok(if path.first() == Some(&b'/') { Cow::Borrowed(path) } else { Cow::Owned([b"/", path].concat()) })
    }
}

/// What identifies a log that was read: another workload, another cell or the same workload again may need it.
#[derive(Clone, PartialEq)]
struct Key {
    path: std::path::PathBuf,
    changed: Option<SystemTime>,
    length: u64,
    typed: String,
}

thread_local! {
    /// The logs read last. A plan is made on one thread.
    static READ: RefCell<Vec<(Key, Arc<Replay>)>> = const { RefCell::new(Vec::new()) };
}

/// More logs than one scenario has.
const MOST_KEPT: usize = 8;

/// The log of a workload.
pub(super) fn read(notes: &mut Diagnostics<'_>, workload: &Node, typed: &types::Workload) -> Option<Arc<Replay>> {
    let node = workload.get("load")?.get("replay")?;
    let typed = typed.load.as_ref()?.replay.as_ref()?;
    let before = notes.mistakes.len();
    let speed = typed.speed.unwrap_or(1.0);
    if !(speed > 0.0 && speed <= FASTEST) {
        notes.say(
            node,
            "speed",
            format!("a speed of {speed}"),
            format!("expected more than 0 and at most {}", count(FASTEST as u64)),
        );
    }
    if typed.longest_gap.is_some_and(|gap| gap.0.is_zero()) {
        notes.say(node, "longest-gap", "gaps of 0", "expected a time, such as `10s`");
    }
    if typed.paths.0.len() > MOST_PATTERNS {
        let found = format!("{} patterns of paths", typed.paths.0.len());
        notes.say(node, "paths", found, format!("expected at most {MOST_PATTERNS}"));
    }
    for (at, pattern) in typed.paths.0.iter().enumerate().filter(|(_, pattern)| !pattern.starts_with(['/', '*'])) {
        let part = node.get("paths").map_or(node, |list| list.items().get(at).unwrap_or(list));
        let mistake = Mistake::new(notes.file, part.span, format!("`{pattern}` fits no path"));
        let expected = "expected a pattern that starts with `/` or `*`, such as `/items/*` or `*.css`";
        notes.mistakes.push(mistake.expected(expected));
    }
    let fields = json::Fields::read(notes, node, typed);
    let name = notes.fixed(node, "log", &typed.log)?;
    let Some(path) = find_file(&notes.file.path, &name).filter(|path| path.is_file()) else {
        let expected = "expected a file, relative to the scenario's folder or one above it";
        notes.say(node, "log", format!("there is no file `{name}`"), expected);
        return None;
    };
    (notes.mistakes.len() == before).then_some(())?;
    let about = std::fs::metadata(&path).ok();
    let key = Key {
        changed: about.as_ref().and_then(|about| about.modified().ok()),
        length: about.map_or(0, |about| about.len()),
        typed: format!("{typed:?}"),
        path: path.clone(),
    };
    let known = READ.with_borrow(|read| read.iter().find(|(other, _)| *other == key).map(|(_, replay)| Arc::clone(replay)));
    if let Some(replay) = known {
        return Some(replay);
    }
    let made = make(&path, &name, typed, fields, speed).map_err(|(key, found, expected)| notes.say(node, key, found, expected));
    let replay = Arc::new(made.ok()?);
    READ.with_borrow_mut(|read| {
        if read.len() == MOST_KEPT {
            read.remove(0);
        }
        read.push((key, Arc::clone(&replay)));
    });
    Some(replay)
}

/// A mistake at a key: what was found, and what was expected.
type Said = (&'static str, String, String);

fn make(path: &Path, name: &str, typed: &types::Replay, fields: Option<json::Fields>, speed: f64) -> Result<Replay, Said> {
    let content = content(path).map_err(|(found, expected)| ("log", found, expected))?;
    let hosts = typed.hosts.0.iter().map(|host| host.to_ascii_lowercase()).collect();
    // Shorter lines are rare.
    let mut all = Collector::new(hosts, typed.body, content.len() / 160 + 1);
    match typed.format {
        LogFormat::Combined => combined::read(&content, &mut all),
        LogFormat::Json => json::read(&content, &fields.unwrap_or_default(), &mut all),
        LogFormat::Har => har::read(&content, &mut all).map_err(|reason| {
            ("log", format!("`{name}` is not a HAR: {reason}"), "expected an HTTP archive, as browsers save it".to_owned())
        })?,
    }
    drop(content);
    let left_out: Vec<LeftOut> = Why::ALL
        .into_iter()
        .zip(all.left_out)
        .filter(|(_, (count, _))| *count > 0)
        .map(|(why, (count, first))| LeftOut { reason: why.words(), count, first })
        .collect();
    if all.times.is_empty() {
        let found = match (&all.strange, left_out.as_slice()) {
            (Some((_, Some(lack))), _) => format!("`{name}` has no request that can be replayed: {lack}"),
            (Some((line, None)), _) => format!("`{name}` has no request that can be replayed; it starts with `{line}`"),
            (None, []) => format!("`{name}` is empty"),
            (None, left) => {
                let reasons: Vec<String> = left.iter().map(LeftOut::words).collect();
                format!("`{name}` has no request that can be replayed: {}", reasons.join("; "))
            }
        };
        return Err(("log", found, format!("expected requests in the format `{}`", format_name(typed.format))));
    }
    let mut remarks = Vec::new();
    let steps = paths::group(&mut all.requests, &typed.paths.0);
    let within = in_order(&mut all, typed, &mut remarks);
    let times = gaps(std::mem::take(&mut all.times), typed.longest_gap.map(|gap| gap.0), &mut remarks);
    let scaled = |ns: u64| (ns as f64 / speed) as u64;
    let at_ns: Vec<u64> = if speed == 1.0 { times } else { times.into_iter().map(scaled).collect() };
    let length = Duration::from_nanos(at_ns.last().copied().unwrap_or_default());
    if length > units::LONGEST {
        let found = format!("the replay of `{name}` would take {} days", length.as_secs() / 86_400);
        return Err(("log", found, "expected at most 365 days: set `speed` or `longest-gap`".to_owned()));
    }
    let mut log = all.requests;
    log.within_ns = if within { scaled(SECOND_NS) } else { 0 };
    log.at_ns = at_ns;
    Ok(Replay {
        log: name.to_owned(),
        format: typed.format,
        speed,
        spread: typed.spread.unwrap_or_default(),
        requests: log.requests.len() as u64,
        content: log.digest(),
        length,
        left_out,
        remarks,
        steps,
        expects_logged: typed.expect.is_some(),
        log_requests: Arc::new(log),
    })
}

fn format_name(format: LogFormat) -> &'static str {
    match format {
        LogFormat::Combined => "combined",
        LogFormat::Json => "json",
        LogFormat::Har => "har",
    }
}

/// The content of a file, unpacked.
fn content(path: &Path) -> Result<Vec<u8>, (String, String)> {
    let failed = |e: std::io::Error| (format!("cannot read {}: {e}", path.display()), "expected a log".to_owned());
    let long = || {
        let found = format!("{} is longer than {}", path.display(), units::human_bytes(LONGEST_LOG as f64));
        (found, "expected a part of it".to_owned())
    };
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    if length > LONGEST_LOG {
        return Err(long());
    }
    let mut content = Vec::with_capacity(length as usize + 1);
    file.read_to_end(&mut content).map_err(failed)?;
    if !content.starts_with(&[0x1f, 0x8b]) {
        return Ok(content);
    }
    let mut unpacked = Vec::with_capacity(content.len() * 8);
    let mut unpacking = flate2::read::MultiGzDecoder::new(content.as_slice()).take(LONGEST_LOG + 1);
    unpacking.read_to_end(&mut unpacked).map_err(failed)?;
    if unpacked.len() as u64 > LONGEST_LOG { Err(long()) } else { Ok(unpacked) }
}

/// Puts requests in the order of their times, which become nanoseconds from the first one on; those of one second are spread over
/// it. Returns whether that is left to the load, which draws them.
fn in_order(all: &mut Collector, typed: &types::Replay, remarks: &mut Vec<String>) -> bool {
    let times = &all.times;
    let (mut latest, mut back, mut furthest) = (0, 0_u64, 0);
    for at in times {
        if *at < latest {
            back += 1;
            furthest = furthest.max(latest - at);
        }
        latest = latest.max(*at);
    }
    if back > 0 {
        let far = exact_duration(Duration::from_nanos(furthest));
        let lines = if back == 1 { "1 entry is".to_owned() } else { format!("{} entries are", count(back)) };
        remarks
            .push(format!("{lines} earlier than the one before, by up to {far}: all are replayed in the order of their times"));
        let mut order: Vec<u32> = (0..times.len() as u32).collect();
        order.sort_by_key(|at| times[*at as usize]);
        all.requests.requests = order.iter().map(|at| all.requests.requests[*at as usize]).collect();
        all.times = order.iter().map(|at| all.times[*at as usize]).collect();
    }
    let first = all.times.first().copied().unwrap_or_default();
    all.times.iter_mut().for_each(|at| *at -= first);
    if !all.whole_seconds {
        return false;
    }
    if typed.spread == Some(Spread::Random) {
        return true;
    }
    let mut start = 0;
    while start < all.times.len() {
        let second = all.times[start];
        let n = all.times[start..].iter().take_while(|at| **at == second).count();
        for (k, at) in all.times[start..start + n].iter_mut().enumerate() {
            *at = second + (k as u64 * SECOND_NS) / n as u64;
        }
        start += n;
    }
    false
}

/// Shortens what is longer than `longest`, and tells of long gaps.
fn gaps(mut times: Vec<u64>, longest: Option<Duration>, remarks: &mut Vec<String>) -> Vec<u64> {
    if let Some(longest) = longest {
        let longest_ns = units::nanos(longest);
        let (mut saved, mut shortened, mut before) = (0, 0_u64, 0);
        for at in &mut times {
            let gap = *at - before;
            before = *at;
            if gap > longest_ns {
                saved += gap - longest_ns;
                shortened += 1;
            }
            *at -= saved;
        }
        if shortened > 0 {
            let saved = exact_duration(Duration::from_nanos(saved));
            let gaps = if shortened == 1 { "1 gap is".to_owned() } else { format!("{} gaps are", count(shortened)) };
            remarks.push(format!("{gaps} shortened to {}, by {saved} in all", exact_duration(longest)));
        }
        return times;
    }
    let widest = times.windows(2).max_by_key(|pair| pair[1] - pair[0]);
    if let Some([before, after]) = widest
        && Duration::from_nanos(after - before) >= LONG_GAP
    {
        let (gap, at) = (Duration::from_nanos(after - before), Duration::from_nanos(*before));
        remarks.push(format!("{}; `longest-gap` would shorten it", plan::replay::gap(gap, at)));
    }
    times
}

#[cfg(test)]
mod tests;
