//! The transfers of a run for the formats of Tor's measurements: each transfer with its stream and circuit, and the name under
//! which it is exported.

use std::collections::BTreeMap;
use std::path::PathBuf;

use record::{Repetition, RunRecord, Verdict, write::is_at_work};
use vocabulary::Phase;
use vocabulary::errors::chain;

use super::circuits::{self, Circuit, Log, Stream};
use super::content::{TAPS, files_in};
use super::rows::Fault;
use super::transfers::{self, Transfer};
use super::{Done, Error, Exported, State};

/// Who measured: letters, digits and `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source(String);

impl Source {
    /// A name as given; none if it has other characters.
    pub fn new(name: &str) -> Option<Self> {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
        (!name.is_empty() && name.len() <= 64 && name.chars().all(fits)).then(|| Self(name.to_owned()))
    }

    /// A name made from any text, such as a host name.
    pub fn cleaned(text: &str) -> Self {
        let mut name = String::new();
        for c in text.chars().take(64) {
            match c {
                c if c.is_ascii_alphanumeric() => name.push(c),
                _ if name.ends_with('-') || name.is_empty() => {}
                _ => name.push('-'),
            }
        }
        let name = name.trim_end_matches('-');
        Self(if name.is_empty() { "runner" } else { name }.to_owned())
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// What was done with the transfers of runs.
#[derive(Clone, Debug, Default)]
pub struct Translated {
    /// What was done with each run.
    pub runs: Vec<Exported>,
    /// The names under which they are exported: one for each cell.
    pub sources: Vec<String>,
    /// Files that were written.
    pub files: usize,
    /// Transfers that are in them.
    pub transfers: u64,
    /// Transfers of the warm-up, which are left out.
    pub warm_up: u64,
    /// Transfers that were still open when the load ended.
    pub open: u64,
    /// Transfers that sent something, which are left out if the format has only downloads.
    pub uploads: u64,
    /// Transfers that are left out because one of their numbers is too large for the format.
    pub too_large: u64,
    /// Transfers whose intended length is unknown: they are exported with a length of 0.
    pub unknown_size: u64,
    /// Transfers of repetitions that do not count.
    pub invalid: u64,
    /// Days of a source on which there were circuits or streams, but no transfer: they are left out if the format needs one.
    pub days_without_transfers: u64,
    /// Transfers during which a control port was read.
    pub watched: u64,
    /// Those of them that have no stream there.
    pub without_stream: u64,
    /// Those of them that have a stream, but no circuit whose start was seen.
    pub without_circuit: u64,
}

impl Translated {
    /// Counts a transfer that is written.
    pub(super) fn count(&mut self, measured: &Measured, joined: &Joined) {
        let is_watched = !measured.logs.is_empty();
        self.transfers += 1;
        self.unknown_size += u64::from(joined.file_bytes == 0);
        self.invalid += u64::from(!measured.is_valid);
        self.watched += u64::from(is_watched);
        self.without_stream += u64::from(is_watched && joined.stream.is_none());
        self.without_circuit += u64::from(joined.stream.is_some() && joined.circuit.is_none());
    }
}

/// The transfers of a repetition, and what was read from control ports meanwhile.
pub(super) struct Measured {
    pub source: Source,
    /// Whether the repetition counts.
    is_valid: bool,
    pub transfers: Vec<Joined>,
    pub logs: Vec<Log>,
    offsets: Offsets,
    /// For each stream of a transfer, by the indices of log and stream: what has to be added to its instants.
    of_streams: BTreeMap<(usize, usize), i64>,
}

/// What has to be added to the instants of a repetition to get nanoseconds since 1970. The clock may have been set meanwhile,
/// so the value of the nearest transfer is used.
struct Offsets {
    /// When transfers started and ended, and what has to be added, in the order of their starts.
    known: Vec<(i64, i64, i64)>,
}

impl Offsets {
    /// None without transfers.
    fn of(transfers: &[Transfer]) -> Option<Self> {
        let known = transfers.iter().map(|transfer| (transfer.start_ns, transfer.end_ns, transfer.offset_ns()));
        let mut known: Vec<(i64, i64, i64)> = known.collect();
        known.sort_unstable();
        (!known.is_empty()).then_some(Self { known })
    }

    /// An instant in nanoseconds since 1970.
    fn unix_ns(&self, ns: i64) -> i64 {
        let (before, after) = self.known.split_at(self.known.partition_point(|(start, ..)| *start <= ns));
        // How far it is from the end of the one before, and from the start of the one after.
        let before = before.last().map(|(_, end, offset)| (ns.saturating_sub(*end), offset));
        let after = after.first().map(|(start, _, offset)| (start.saturating_sub(ns), offset));
        let nearest = before.into_iter().chain(after).min_by_key(|(distance, _)| *distance);
        ns.saturating_add(nearest.map_or(0, |(_, offset)| *offset))
    }
}

/// A transfer with the indices of its log, its stream and its circuit.
pub(super) struct Joined {
    pub transfer: Transfer,
    pub stream: Option<(usize, usize)>,
    pub circuit: Option<usize>,
    /// The length that was to be received or sent: its own, or that of the others of its step.
    pub file_bytes: i64,
    /// Whether it is an upload.
    pub is_upload: bool,
}

impl Measured {
    /// The stream of a transfer.
    pub fn stream(&self, joined: &Joined) -> Option<&Stream> {
        let (log, stream) = joined.stream?;
        Some(&self.logs[log].streams[stream])
    }

    /// An instant of the logs in nanoseconds since 1970.
    pub fn unix_ns(&self, ns: i64) -> i64 {
        self.offsets.unix_ns(ns)
    }

    /// An instant of a stream, by its indices, in nanoseconds since 1970: by the clock of its transfer, if it has one.
    pub fn unix_ns_of(&self, log: usize, stream: usize, ns: i64) -> i64 {
        self.of_streams.get(&(log, stream)).map_or_else(|| self.unix_ns(ns), |offset| ns.saturating_add(*offset))
    }

    /// The circuit of a transfer.
    pub fn circuit(&self, joined: &Joined) -> Option<&Circuit> {
        let (log, _) = joined.stream?;
        Some(&self.logs[log].circuits[joined.circuit?])
    }
}

/// Receives the lines of control ports: the source; the number of the port, different in each repetition; when it was read, in
/// nanoseconds since 1970; and the event.
pub(super) type Lines<'l> = dyn FnMut(&Source, usize, i64, &str) -> Result<(), Error> + 'l;

/// Reads all transfers of runs; `each` takes those of a repetition, and `lines` takes each line of a control port before that.
///
/// # Errors
/// [`Error::NoTransfers`] for a run that has none; those of reading runs, and of `each` and `lines`.
pub(super) fn read(
    runs: &[RunRecord],
    source: &Source,
    lines: &mut Lines<'_>,
    mut each: impl FnMut(Measured, &mut Translated) -> Result<(), Error>,
) -> Result<Translated, Error> {
    let mut told = Translated::default();
    let mut sessions = 0;
    let names = Names::of(runs, source);
    told.sources = names.0.iter().map(|(_, source)| source.0.clone()).collect();
    for run in runs {
        if !run.repetitions.iter().any(|repetition| repetition.path.join(transfers::FILE).exists()) {
            return Err(Error::NoTransfers { path: run.path.clone() });
        }
        let mut damaged = run.damaged.clone();
        for repetition in &run.repetitions {
            let source = names.source(run, repetition);
            let mut lines = |session, at, text: &str| lines(&source, sessions + session, at, text);
            let read = of_repetition(repetition, source.clone(), &mut lines, &mut told, &mut damaged)?;
            sessions += 1 + read.as_ref().map_or(0, |measured| measured.logs.len());
            if let Some(measured) = read {
                each(measured, &mut told)?;
            }
        }
        let name = format!("{}/{}", run.plan.experiment, run.name);
        let (repetitions, state) = (run.repetitions.len(), state(run));
        told.runs.push(Exported { name, done: Done::Added, repetitions, state, damaged });
    }
    Ok(told)
}

fn state(run: &RunRecord) -> State {
    if is_at_work(&run.path) {
        return State::Running;
    }
    let has = |cell: usize| run.repetitions.iter().filter(|repetition| repetition.cell == cell).count();
    let is_short = |cell: usize| has(cell) < run.plan.repetitions as usize;
    let cells = run.plan.cells.iter().enumerate().filter(|(_, cell)| cell.skipped.is_none());
    // The number of repetitions of a repeated experiment is known only when it has ended.
    match run.plan.repeat.is_none() && cells.into_iter().any(|(at, _)| is_short(at)) {
        true => State::Incomplete,
        false => State::Whole,
    }
}

/// The name of each cell, by its experiment and its folder. Each cell has its own name, because the formats have no factors.
struct Names(Vec<((String, PathBuf), Source)>);

impl Names {
    fn of(runs: &[RunRecord], source: &Source) -> Self {
        let mut keys: Vec<(String, PathBuf)> = Vec::new();
        for run in runs {
            for repetition in &run.repetitions {
                let key = (run.plan.experiment.clone(), run.plan.cells[repetition.cell].path.clone());
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
        }
        if let [only] = &keys[..] {
            return Self(vec![(only.clone(), source.clone())]);
        }
        let one_experiment = keys.iter().all(|(experiment, _)| *experiment == keys[0].0);
        let mut names: Vec<((String, PathBuf), Source)> = Vec::new();
        for (experiment, cell) in keys {
            let text = match one_experiment {
                true => cell.to_string_lossy().into_owned(),
                false => format!("{experiment}-{}", cell.to_string_lossy()),
            };
            let name = format!("{}-{}", source.0, Source::cleaned(&text).0);
            let numbered = |number: u32| if number == 1 { name.clone() } else { format!("{name}-{number}") };
            let is_free = |name: &String| names.iter().all(|(_, other)| other.0 != *name);
            let free = (1..).map(numbered).find(is_free).unwrap_or_default();
            names.push(((experiment, cell), Source(free)));
        }
        Self(names)
    }

    fn source(&self, run: &RunRecord, repetition: &Repetition) -> Source {
        let cell = &run.plan.cells[repetition.cell].path;
        let found = self.0.iter().find(|((experiment, path), _)| *experiment == run.plan.experiment && path == cell);
        found.map_or_else(|| Source::cleaned(""), |(_, source)| source.clone())
    }
}

fn of_repetition(
    repetition: &Repetition,
    source: Source,
    lines: &mut dyn FnMut(usize, i64, &str) -> Result<(), Error>,
    told: &mut Translated,
    damaged: &mut Vec<String>,
) -> Result<Option<Measured>, Error> {
    let path = repetition.path.join(transfers::FILE);
    if !path.exists() {
        return Ok(None);
    }
    let Some(all) = whole(transfers::read(&path), damaged)? else { return Ok(None) };
    let Some(offsets) = Offsets::of(&all) else { return Ok(None) };
    let mut logs = Vec::new();
    for path in files_in(&repetition.path.join(TAPS), "parquet") {
        let session = logs.len();
        let read = circuits::read(&path, &mut |at_ns, text| lines(session, offsets.unix_ns(at_ns), text));
        logs.extend(whole(read, damaged)?.flatten());
    }
    let steps = Steps::of(&all);
    let sizes: Vec<(i64, bool)> = all.iter().map(|transfer| steps.size(transfer)).collect();
    let (mut joined, mut of_streams) = (Vec::new(), BTreeMap::new());
    for (transfer, (file_bytes, is_upload)) in all.into_iter().zip(sizes) {
        if transfer.phase == Phase::WarmUp.name() {
            told.warm_up += 1;
            continue;
        }
        // It is unknown how it would have ended, and the formats have no word for that.
        if transfer.is_open() {
            told.open += 1;
            continue;
        }
        let found = logs.iter().enumerate().find_map(|(at, log)| Some((at, log.stream_of(&transfer)?)));
        let circuit = found.and_then(|(at, stream)| logs[at].circuit_of(&logs[at].streams[stream]));
        of_streams.extend(found.map(|found| (found, transfer.offset_ns())));
        joined.push(Joined { transfer, stream: found, circuit, file_bytes, is_upload });
    }
    let is_valid = matches!(repetition.status.verdict, Verdict::Valid);
    Ok(Some(Measured { source, is_valid, transfers: joined, logs, offsets, of_streams }))
}

/// What was read; none if it is damaged, which is then reported.
fn whole<T>(read: Result<T, Fault>, damaged: &mut Vec<String>) -> Result<Option<T>, Error> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(Fault::Stop(error)) => Err(error),
        Err(Fault::Damaged(error)) => {
            damaged.push(chain(&error));
            Ok(None)
        }
    }
}

/// The transfers of a step, together.
struct Step<'t> {
    workload: &'t str,
    step: &'t str,
    /// Their intended lengths, each once.
    sizes: Vec<i64>,
    is_upload: bool,
}

/// The steps of a repetition.
pub(super) struct Steps<'t>(Vec<Step<'t>>);

impl<'t> Steps<'t> {
    pub fn of(transfers: &'t [Transfer]) -> Self {
        let mut steps = Self(Vec::new());
        for transfer in transfers {
            let at = steps.at(transfer).unwrap_or_else(|| {
                let (workload, step) = (&transfer.workload, &transfer.step);
                steps.0.push(Step { workload, step, sizes: Vec::new(), is_upload: false });
                steps.0.len() - 1
            });
            let step = &mut steps.0[at];
            step.sizes.extend(transfer.file_bytes.filter(|bytes| !step.sizes.contains(bytes)));
            step.is_upload |= transfer.body_written_bytes > 0;
        }
        steps
    }

    fn at(&self, transfer: &Transfer) -> Option<usize> {
        self.0.iter().position(|step| step.workload == transfer.workload && step.step == transfer.step)
    }

    /// The intended length of a transfer, 0 if unknown; and whether it is an upload.
    ///
    /// For a transfer that failed early, both are taken from the others of its step: the length if these are all alike, and an
    /// upload if these are uploads.
    pub fn size(&self, transfer: &Transfer) -> (i64, bool) {
        let step = self.at(transfer).map(|at| &self.0[at]);
        let only = step.and_then(|step| if let [only] = step.sizes[..] { Some(only) } else { None });
        (transfer.file_bytes.or(only).unwrap_or_default(), step.is_some_and(|step| step.is_upload))
    }
}

/// The day of an instant in UTC, such as `2026-11-29`, and its time of day; none for an instant outside of the calendar.
pub(super) fn day_and_time(unix_ns: i64) -> Option<(String, String)> {
    let at = jiff::Timestamp::from_nanosecond(unix_ns.into()).ok().filter(|_| unix_ns >= 0)?;
    Some((at.strftime("%Y-%m-%d").to_string(), at.strftime("%H:%M:%S").to_string()))
}

/// The day of an instant.
pub(super) fn day(unix_ns: i64) -> Option<String> {
    day_and_time(unix_ns).map(|(day, _)| day)
}

/// The host in `host:port`, without brackets.
pub(super) fn host(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// An end of a connection as `host:ip:port`, with zeros for what is unknown.
pub(super) fn endpoint(address: Option<&str>) -> String {
    let Some((host_of, port)) = address.and_then(|address| Some((host(address), address.rsplit_once(':')?.1))) else {
        return "NULL:0.0.0.0:0".to_owned();
    };
    match host_of.parse::<std::net::IpAddr>() {
        Ok(ip) if ip.is_loopback() => format!("localhost:{ip}:{port}"),
        Ok(ip) => format!("{ip}:{ip}:{port}"),
        // Only the far end of a proxy knows the address of the name.
        Err(_) => format!("{host_of}:0.0.0.0:{port}"),
    }
}

/// The address of this machine as others see it; none if the connection is to a proxy on the same machine.
pub(super) fn own_address(transfer: &Transfer) -> Option<String> {
    let ip: std::net::IpAddr = host(transfer.local.as_deref()?).parse().ok()?;
    (!ip.is_loopback() && !ip.is_unspecified()).then(|| ip.to_string())
}

/// Where a transfer failed, in OnionPerf's words: where, and Tor's reasons for the stream.
pub(super) fn error_code(transfer: &Transfer, stream: Option<&Stream>) -> Option<String> {
    let failure = transfer.failure()?;
    let mut parts = if failure == "PROXY" { vec!["TOR"] } else { vec!["TGEN", failure] };
    parts.extend(stream.into_iter().flat_map(|stream| [stream.reason.as_deref(), stream.remote_reason.as_deref()]).flatten());
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_letters_digits_and_hyphens() {
        for name in ["op-hk6a", "A", "-"] {
            assert_eq!(Source::new(name).unwrap().name(), name);
        }
        for name in ["", "a b", "a.b", "ü", "a/b", &"x".repeat(65)] {
            assert_eq!(Source::new(name), None, "{name}");
        }
        for (text, name) in [("host.example.test", "host-example-test"), ("..a__b..", "a-b"), ("", "runner"), ("語", "runner")] {
            assert_eq!(Source::cleaned(text).name(), name);
            assert!(Source::new(name).is_some());
        }
    }

    #[test]
    fn ends_of_connections_have_a_name_an_address_and_a_port() {
        for (address, expected) in [
            (Some("127.0.0.1:9050"), "localhost:127.0.0.1:9050"),
            (Some("192.0.2.7:80"), "192.0.2.7:192.0.2.7:80"),
            (Some("[::1]:80"), "localhost:::1:80"),
            (Some("abc.onion:80"), "abc.onion:0.0.0.0:80"),
            (Some("nothing"), "NULL:0.0.0.0:0"),
            (None, "NULL:0.0.0.0:0"),
        ] {
            assert_eq!(endpoint(address), expected);
        }
    }

    #[test]
    fn days_are_those_of_utc() {
        assert_eq!(day_and_time(1_795_947_630_125_000_000).unwrap(), ("2026-11-29".to_owned(), "10:20:30".to_owned()));
        assert_eq!(day(1_795_996_799_999_999_999).unwrap(), "2026-11-29");
        assert_eq!(day(1_795_996_800_000_000_000).unwrap(), "2026-11-30");
        assert_eq!(day(-1), None);
    }
}
