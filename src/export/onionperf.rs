//! Transfers, circuits and streams as OnionPerf's analysis, version 3.1: one document for each day, plain and as xz, which Tor's
//! metrics need; and the logs of control ports as OnionPerf's own parser reads them.
//!
//! The document is that of `onionperf analyze`, with what an HTTP generator knows in place of TGen's data. Numbers of circuits
//! and streams are unique in a document: a round number is added to those of a restarted Tor.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use record::RunRecord;
use serde_json::{Map, Value as Json, json};
use vocabulary::rows::{PARTS, PERCENTS, Stage};

use super::Error;
use super::circuits::{Circuit, Guard, Stream};
use super::folder::{Folder, Kind, failed};
use super::measured::{self, Joined, Measured, Source, Translated, day, day_and_time, endpoint, host, own_address};

const KIND: Kind =
    Kind { made_by: "runner export onionperf", expected: "a new or empty directory, or one that `runner export onionperf` made" };

/// Writes the transfers of runs into a folder that is new, empty, or an earlier export of this kind.
///
/// # Errors
/// [`Error::NoTransfers`]; [`Error::NotOurs`]; [`Error::WriteFile`]; those of reading a run. The folder is then
/// unchanged.
pub fn export(runs: &[RunRecord], folder: &Path, source: &Source) -> Result<Translated, Error> {
    let folder = Folder::begin(folder, KIND)?;
    let mut logs = Logs::new(folder.path());
    let mut days = Days::default();
    let mut lines = |source: &Source, session: usize, unix_ns: i64, text: &str| logs.add(source, session, unix_ns, text);
    let mut told = measured::read(runs, source, &mut lines, |measured, told| {
        days.add(&measured, told);
        Ok(())
    })?;
    let mut names = logs.finish()?;
    for (day, mut nicks) in days.0 {
        // OnionPerf fails on a source without a transfer.
        let all = nicks.len();
        nicks.retain(|_, data| !data.transfers.is_empty());
        told.days_without_transfers += (all - nicks.len()) as u64;
        if nicks.is_empty() {
            continue;
        }
        let name = format!("{day}.onionperf.analysis.json");
        let data: Map<String, Json> = nicks.into_iter().map(|(nick, data)| (nick, data.json())).collect();
        let mut document = json!({"type": "onionperf", "version": "3.1", "data": data});
        document.sort_all_objects();
        let text = record::files::json_bytes(&document);
        let path = folder.path().join(&name);
        std::fs::write(&path, &text).map_err(|error| failed(&path, error))?;
        let path = folder.path().join(format!("{name}.xz"));
        compress(&path, &text).map_err(|error| failed(&path, error))?;
        names.extend([name.clone(), format!("{name}.xz")]);
    }
    names.sort();
    told.files = names.len();
    folder.finish(&names, json!({}))?;
    Ok(told)
}

fn compress(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let options = lzma_rust2::XzOptions::with_preset(6);
    let mut writer = lzma_rust2::XzWriter::new(BufWriter::new(File::create_new(path)?), options)?;
    writer.write_all(bytes)?;
    writer.finish()?.flush()
}

// ---- logs of control ports

/// `DAY.NICK.torctl.log`: the events of a control port on a day. Each log belongs to one port in one repetition: another
/// repetition may have another Tor, whose numbers mean other circuits. The second log of a day has a 2 after its name, and so on.
struct Logs<'f> {
    folder: &'f Path,
    /// The control port that is being read, by its number.
    session: usize,
    /// Its files, by day.
    open: BTreeMap<String, (PathBuf, BufWriter<File>)>,
    /// How many logs a source has on a day.
    counts: BTreeMap<(String, Source), usize>,
    names: Vec<String>,
}

impl<'f> Logs<'f> {
    fn new(folder: &'f Path) -> Self {
        Self { folder, session: 0, open: BTreeMap::new(), counts: BTreeMap::new(), names: Vec::new() }
    }

    fn add(&mut self, source: &Source, session: usize, unix_ns: i64, text: &str) -> Result<(), Error> {
        // An instant outside of the calendar is left out.
        let hundredths = (unix_ns / 1_000_000 + 5) / 10;
        let Some((day, time)) = day_and_time(hundredths * 10_000_000) else { return Ok(()) };
        if session != self.session {
            self.close()?;
            self.session = session;
        }
        let seconds = format!("{}.{:02}", hundredths / 100, hundredths % 100);
        let begun = !self.open.contains_key(&day);
        if begun {
            let count = self.counts.entry((day.clone(), source.clone())).or_default();
            *count += 1;
            let number = if *count == 1 { String::new() } else { format!("-{count}") };
            let name = format!("{day}.{}{number}.torctl.log", source.name());
            let path = self.folder.join(&name);
            let file = File::create_new(&path).map_err(|error| failed(&path, error))?;
            self.open.insert(day.clone(), (path, BufWriter::new(file)));
            self.names.push(name);
        }
        let Some((path, file)) = self.open.get_mut(&day) else { return Ok(()) };
        let mut write = || {
            if begun {
                // OnionPerf reads the name of the source from the eleventh word.
                let (name, version) = (source.name(), env!("CARGO_PKG_VERSION"));
                let words = format!("NOTICE [torctl] Starting torctl program on host {name} using runner {version}");
                write!(file, "{day} {time} {seconds} {words}\r\n")?;
            }
            write!(file, "{day} {time} {seconds} 650 {text}\r\n")
        };
        write().map_err(|error| failed(path, error))
    }

    fn close(&mut self) -> Result<(), Error> {
        let open = std::mem::take(&mut self.open).into_values();
        open.into_iter().try_for_each(|(path, mut file)| file.flush().map_err(|error| failed(&path, error)))
    }

    fn finish(mut self) -> Result<Vec<String>, Error> {
        self.close()?;
        Ok(self.names)
    }
}

// ---- documents

/// A document for each day, with a part for each source.
#[derive(Default)]
struct Days(BTreeMap<String, BTreeMap<String, Data>>);

/// What one source measured on a day.
#[derive(Default)]
struct Data {
    address: Option<String>,
    transfers: BTreeMap<String, Json>,
    circuits: BTreeMap<u64, Json>,
    streams: BTreeMap<u64, Json>,
    guards: Vec<Json>,
    /// Numbers of circuits that are already in use.
    taken: BTreeSet<u64>,
}

/// What is added to the number of a circuit or stream if it is already in use.
const STEP: u64 = 1_000_000;

/// The number itself, or the next free one that can be recognized as derived from it.
fn free(number: u64, is_taken: impl Fn(u64) -> bool) -> u64 {
    (0..).map(|times| number.saturating_add(times * STEP)).find(|number| !is_taken(*number)).unwrap_or(number)
}

impl Days {
    fn add(&mut self, measured: &Measured, told: &mut Translated) {
        // Indices of streams, by day and log.
        let mut streams: BTreeMap<(String, usize), BTreeSet<usize>> = BTreeMap::new();
        let mut circuits: BTreeMap<(String, usize), BTreeSet<usize>> = BTreeMap::new();
        for joined in &measured.transfers {
            let Some(day) = day(joined.transfer.unix_ns) else {
                told.too_large += 1;
                continue;
            };
            told.count(measured, joined);
            if let Some((log, stream)) = joined.stream {
                streams.entry((day.clone(), log)).or_default().insert(stream);
            }
            self.data(&day, &measured.source).add_transfer(measured, joined);
        }
        for (at, log) in measured.logs.iter().enumerate() {
            for (place, stream) in log.streams.iter().enumerate() {
                if let Some(day) = day(measured.unix_ns_of(at, place, stream.new_ns)) {
                    streams.entry((day, at)).or_default().insert(place);
                }
            }
            for (place, circuit) in log.circuits.iter().enumerate() {
                if let Some(day) = day(measured.unix_ns(circuit.launched_ns)) {
                    circuits.entry((day, at)).or_default().insert(place);
                }
            }
        }
        // Readers look for the circuit of a stream in the document of the same day.
        for ((day, at), places) in &streams {
            let log = &measured.logs[*at];
            let used = places.iter().filter_map(|place| log.circuit_of(&log.streams[*place]));
            circuits.entry((day.clone(), *at)).or_default().extend(used);
        }
        for ((day, at), circuits) in circuits {
            let streams = streams.remove(&(day.clone(), at)).unwrap_or_default();
            self.data(&day, &measured.source).add_log(measured, at, &circuits, &streams);
        }
    }

    fn data(&mut self, day: &str, source: &Source) -> &mut Data {
        self.0.entry(day.to_owned()).or_default().entry(source.name().to_owned()).or_default()
    }
}

impl Data {
    fn add_transfer(&mut self, measured: &Measured, joined: &Joined) {
        let number = self.transfers.len() + 1;
        let transfer = &joined.transfer;
        self.address = self.address.take().or_else(|| own_address(transfer));
        let (id, json) = of_transfer(number, measured.source.name(), joined);
        self.transfers.insert(id, json);
    }

    /// Adds circuits and streams of a log, by its index and theirs.
    fn add_log(&mut self, measured: &Measured, at: usize, circuits: &BTreeSet<usize>, streams: &BTreeSet<usize>) {
        let log = &measured.logs[at];
        let unix = |ns: i64| measured.unix_ns(ns);
        let mut numbers: BTreeMap<usize, u64> = BTreeMap::new();
        let used: BTreeSet<usize> = streams.iter().filter_map(|place| log.circuit_of(&log.streams[*place])).collect();
        for place in circuits {
            let circuit = &log.circuits[*place];
            // Readers that follow a stream to its circuit expect a path there.
            if circuit.path.is_empty() && used.contains(place) {
                continue;
            }
            let number = free(circuit.id, |number| self.taken.contains(&number));
            self.taken.insert(number);
            numbers.insert(*place, number);
            self.circuits.insert(number, of_circuit(number, circuit, &unix));
        }
        // Those that are not written get a number, too, so that none of another Tor is mistaken for them.
        let mut unseen: BTreeMap<u64, u64> = BTreeMap::new();
        for place in streams {
            let stream = &log.streams[*place];
            let known = log.circuit_of(stream).and_then(|circuit| numbers.get(&circuit)).copied();
            let circuit = known.or_else(|| {
                let id = stream.circuit?;
                let taken = &mut self.taken;
                Some(*unseen.entry(id).or_insert_with(|| {
                    let number = free(id, |number| taken.contains(&number));
                    taken.insert(number);
                    number
                }))
            });
            let number = free(stream.id, |number| self.streams.contains_key(&number));
            let unix = |ns: i64| measured.unix_ns_of(at, *place, ns);
            self.streams.insert(number, of_stream(number, circuit, stream, unix));
        }
        self.guards.extend(log.guards.iter().map(|guard| of_guard(guard, &unix)));
    }

    fn json(self) -> Json {
        let by_number = |all: BTreeMap<u64, Json>| -> Map<String, Json> {
            all.into_iter().map(|(number, json)| (number.to_string(), json)).collect()
        };
        json!({
            "measurement_ip": self.address.as_deref().unwrap_or("unknown"),
            "tgen": {"streams": self.transfers.into_iter().collect::<Map<_, _>>()},
            "tor": {
                "circuits": by_number(self.circuits),
                "streams": by_number(self.streams),
                "guards": self.guards,
            },
        })
    }
}

/// Seconds, to the microsecond.
fn seconds(ns: i64) -> f64 {
    (ns / 1000) as f64 / 1e6
}

/// A transfer, and the text that identifies it.
fn of_transfer(number: usize, source: &str, joined: &Joined) -> (String, Json) {
    let transfer = &joined.transfer;
    let since = |ns: i64| ns.saturating_sub(transfer.start_ns);
    let micros = |ns: Option<i64>| ns.map_or_else(|| "-1".to_owned(), |ns| (since(ns) / 1000).to_string());
    let stage = |stage: Stage| micros(transfer.stage(stage));
    let [local, proxy, remote] =
        [transfer.local.as_deref(), transfer.proxy.as_deref(), Some(transfer.remote.as_str())].map(endpoint);
    let (success, error) = (transfer.is_success(), transfer.failure().unwrap_or("NONE"));
    let (received, sent) = (transfer.body_read_bytes, transfer.body_written_bytes);
    let (to_receive, to_send) = if joined.is_upload { (received, joined.file_bytes) } else { (joined.file_bytes, sent) };
    let progress = |done: i64, all: i64| match all {
        0 if success => "100.00%".to_owned(),
        0 => "0.00%".to_owned(),
        all => format!("{:.2}%", 100.0 * done as f64 / all as f64),
    };
    let state = |way: &str, is_there: bool| format!("{way}_{}", if is_there { "SUCCESS" } else { "ERROR" });
    let percent = |percent: u8| PERCENTS.iter().position(|p| *p == percent).and_then(|at| transfer.percents[at]);
    let answered = transfer.stage(Stage::DataResponse);
    // If something was sent, the figures of the body are about what was sent.
    let (first_received, first_sent, last_sent) = match joined.is_upload {
        true => (answered, percent(0), percent(100)),
        false => (percent(0).or(answered.filter(|_| received > 0)), None, None),
    };
    let id = format!("{number}:{local}:{proxy}:{remote}");
    let mut told = json!({
        "byte_info": {
            "payload-bytes-recv": received.to_string(),
            "payload-bytes-send": sent.to_string(),
            "payload-progress-recv": progress(received, to_receive),
            "payload-progress-send": progress(sent, to_send),
            "total-bytes-recv": transfer.read_bytes.to_string(),
            "total-bytes-send": transfer.written_bytes.to_string(),
        },
        "is_complete": true,
        "is_error": !success,
        "is_success": success,
        "stream_id": id,
        "stream_info": {
            "error": error,
            "id": number.to_string(),
            "name": source,
            "peername": host(&transfer.remote),
            "recvsize": to_receive.to_string(),
            "recvstate": state("RECV", success),
            "sendsize": to_send.to_string(),
            "sendstate": state("SEND", transfer.stage(Stage::DataRequest).is_some()),
            "vertexid": transfer.step,
        },
        "time_info": {
            "created-ts": (transfer.start_ns / 1000).to_string(),
            "now-ts": (transfer.end_ns / 1000).to_string(),
            "usecs-to-socket-create": stage(Stage::Socket),
            "usecs-to-socket-connect": stage(Stage::Connect),
            "usecs-to-proxy-init": "-1",
            "usecs-to-proxy-choice": stage(Stage::Negotiate),
            "usecs-to-proxy-request": stage(Stage::Request),
            "usecs-to-proxy-response": stage(Stage::Response),
            "usecs-to-command": stage(Stage::DataRequest),
            "usecs-to-response": stage(Stage::DataResponse),
            "usecs-to-first-byte-recv": micros(first_received),
            "usecs-to-last-byte-recv": micros(transfer.completed_ns()),
            "usecs-to-checksum-recv": "-1",
            "usecs-to-first-byte-send": micros(first_sent),
            "usecs-to-last-byte-send": micros(last_sent),
            "usecs-to-checksum-send": "-1",
        },
        "transport_info": {
            "error": error,
            "fd": "-1",
            "local": local,
            "proxy": proxy,
            "remote": remote,
            "state": if success { "SUCCESS_EOF" } else { "ERROR" },
        },
        "unix_ts_start": seconds(transfer.unix_ns),
        "unix_ts_end": seconds(transfer.unix_ns.saturating_add(since(transfer.end_ns))),
    });
    if success {
        told["elapsed_seconds"] = elapsed(joined);
    }
    (id, told)
}

/// When each part of the body was complete, since the start of the transfer.
fn elapsed(joined: &Joined) -> Json {
    let transfer = &joined.transfer;
    let since = |ns: &Option<i64>| ns.map(|ns| Json::from(seconds(ns.saturating_sub(transfer.start_ns))));
    let percents = PERCENTS.iter().zip(&transfer.percents);
    let progress: Map<String, Json> =
        percents.filter_map(|(percent, ns)| Some((format!("{:.1}", f64::from(*percent) / 100.0), since(ns)?))).collect();
    let parts = PARTS.iter().zip(&transfer.parts);
    let bytes: Map<String, Json> = parts.filter_map(|(bytes, ns)| Some((bytes.to_string(), since(ns)?))).collect();
    let (there, other) = if joined.is_upload { ("send", "recv") } else { ("recv", "send") };
    let mut told = Map::new();
    told.insert(format!("payload_progress_{there}"), progress.into());
    told.insert(format!("payload_bytes_{there}"), bytes.into());
    told.insert(format!("payload_progress_{other}"), json!({}));
    told.insert(format!("payload_bytes_{other}"), json!({}));
    told.into()
}

/// What happened, and when, since the start of the transfer.
fn events(events: &[(String, i64)], start_ns: i64) -> Json {
    events.iter().map(|(event, ns)| json!([event, seconds(ns.saturating_sub(start_ns))])).collect()
}

/// Adds an instant, if it is known.
fn known(told: &mut Json, more: impl IntoIterator<Item = (&'static str, Option<Json>)>) {
    for (key, value) in more {
        if let Some(value) = value {
            told[key] = value;
        }
    }
}

fn text(text: Option<&String>) -> Option<Json> {
    text.map(|text| Json::from(text.as_str()))
}

/// `unix`: converts an instant to nanoseconds since 1970.
fn of_circuit(number: u64, circuit: &Circuit, unix: &dyn Fn(i64) -> i64) -> Json {
    let start_ns = circuit.launched_ns;
    let guards: Vec<Json> = circuit.guards.iter().map(|guard| of_guard(guard, unix)).collect();
    let unix = |ns: i64| seconds(unix(ns));
    let mut told = json!({
        "circuit_id": number,
        "elapsed_seconds": events(&circuit.events, start_ns),
        "cbt_set": circuit.is_timeout_set,
        "filtered_out": false,
        "unix_ts_start": unix(start_ns),
        "unix_ts_end": unix(circuit.ended_ns),
    });
    known(
        &mut told,
        [
            ("path", (!circuit.path.is_empty()).then(|| events(&circuit.path, start_ns))),
            ("buildtime_seconds", circuit.built_ns.map(|ns| seconds(ns.saturating_sub(start_ns)).into())),
            ("build_timeout", circuit.timeout_ms.map(Json::from)),
            ("build_quantile", circuit.quantile.map(Json::from)),
            ("current_guards", (!guards.is_empty()).then(|| guards.into())),
            ("failure_reason_local", text(circuit.reason.as_ref())),
            ("failure_reason_remote", text(circuit.remote_reason.as_ref())),
        ],
    );
    told
}

/// `unix`: converts an instant to nanoseconds since 1970.
fn of_stream(number: u64, circuit: Option<u64>, stream: &Stream, unix: impl Fn(i64) -> i64) -> Json {
    let unix = |ns: i64| seconds(unix(ns));
    let mut told = json!({
        "stream_id": number,
        // A text, and null if there was none: readers use it as the key of the circuit.
        "circuit_id": circuit.map(|number| number.to_string()),
        "elapsed_seconds": events(&stream.events, stream.new_ns),
        "target": stream.target,
        "unix_ts_start": unix(stream.new_ns),
        "unix_ts_end": unix(stream.ended_ns),
    });
    known(
        &mut told,
        [
            ("source", text(stream.source.as_ref())),
            ("failure_reason_local", text(stream.reason.as_ref())),
            ("failure_reason_remote", text(stream.remote_reason.as_ref())),
        ],
    );
    told
}

fn of_guard(guard: &Guard, unix: &dyn Fn(i64) -> i64) -> Json {
    let unix = |ns: Option<i64>| ns.map(|ns| Json::from(seconds(unix(ns))));
    let mut told = json!({"fingerprint": guard.fingerprint, "nickname": guard.nickname});
    let times = [guard.new_ns, guard.up_ns, guard.down_ns, guard.dropped_ns].map(unix);
    known(&mut told, ["new_ts", "up_ts", "down_ts", "dropped_ts"].into_iter().zip(times));
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_taken_are_told_apart() {
        let taken = [5, 1_000_005];
        assert_eq!(free(6, |number| taken.contains(&number)), 6);
        assert_eq!(free(5, |number| taken.contains(&number)), 2_000_005);
    }

    #[test]
    fn lines_are_as_the_parser_of_control_logs_reads_them() {
        let folder = tempfile::tempdir().unwrap();
        let mut logs = Logs::new(folder.path());
        let source = Source::new("op-1").unwrap();
        let midnight = 1_795_996_800_000_000_000;
        logs.add(&source, 1, midnight - 10_000_000, "BW 1 2").unwrap();
        // An instant that is rounded to the next day belongs to that day.
        logs.add(&source, 1, midnight - 4_000_000, "BW 3 4").unwrap();
        logs.add(&source, 2, midnight + 5_120_000_000, "BW 5 6").unwrap();
        let names = logs.finish().unwrap();
        assert_eq!(names, ["2026-11-29.op-1.torctl.log", "2026-11-30.op-1.torctl.log", "2026-11-30.op-1-2.torctl.log"]);
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        let first = read(&names[0]);
        let lines: Vec<&str> = first.split_inclusive("\r\n").collect();
        assert_eq!(lines[0].split(' ').nth(10), Some("op-1"));
        assert_eq!(lines[1..], ["2026-11-29 23:59:59 1795996799.99 650 BW 1 2\r\n"]);
        assert!(read(&names[1]).ends_with("2026-11-30 00:00:00 1795996800.00 650 BW 3 4\r\n"));
        assert!(read(&names[2]).ends_with("2026-11-30 00:00:05 1795996805.12 650 BW 5 6\r\n"));
    }
}
