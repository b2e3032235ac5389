//! Circuits and streams from the events of Tor's control port, and the ones to which a transfer belongs.
//!
//! The rules are OnionPerf's: the same events give the same circuits and streams, with one exception. A repetition ends while
//! circuits are still open, and OnionPerf includes only those that have ended. Here, open ones end with the log.

use std::collections::BTreeMap;
use std::path::Path;

use extract::tor::{Event, event_text, relay};
use record::rows::{Table as Rows, Value};

use super::Error;
use super::rows::Fault;
use super::transfers::{Transfer, port};

/// A transfer and its stream end within this time of each other.
const APART_NS: u64 = 150_000_000_000;

/// The content of the events of one control port. Instants are nanoseconds since the start of the load.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    /// In the order of their ends.
    pub circuits: Vec<Circuit>,
    /// Likewise.
    pub streams: Vec<Stream>,
    /// In the order in which they were first mentioned.
    pub guards: Vec<Guard>,
    /// In the order of the events.
    pub timeouts: Vec<Timeout>,
    /// Likewise.
    pub onion: Vec<OnionStep>,
    /// Indices of circuits, by their numbers.
    by_circuit: BTreeMap<u64, Vec<usize>>,
    /// Indices of streams, by the ports from which they came.
    by_port: BTreeMap<u16, Vec<usize>>,
}

/// A circuit whose start was seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Circuit {
    pub id: u64,
    pub launched_ns: i64,
    pub built_ns: Option<i64>,
    pub ended_ns: i64,
    /// Whether Tor said that it ended.
    pub is_closed: bool,
    /// The latest purpose.
    pub purpose: Option<String>,
    /// What it was meant for when it was launched, such as `IS_INTERNAL,NEED_CAPACITY`.
    pub flags: Option<String>,
    /// What happened, such as `GENERAL:BUILT`.
    pub events: Vec<(String, i64)>,
    /// Relays as `$FP~nick`, and when they were reached.
    pub path: Vec<(String, i64)>,
    /// The time-out in force when it was launched.
    pub timeout_ms: Option<u64>,
    pub quantile: Option<f64>,
    /// Whether Tor had computed it, rather than using its initial value.
    pub is_timeout_set: bool,
    /// The guards in use when it was launched.
    pub guards: Vec<Guard>,
    pub reason: Option<String>,
    pub remote_reason: Option<String>,
}

/// A stream whose start was seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Stream {
    pub id: u64,
    /// The latest circuit that carried it; with Conflux it may change.
    pub circuit: Option<u64>,
    pub source: Option<String>,
    pub target: String,
    pub purpose: Option<String>,
    pub new_ns: i64,
    pub ended_ns: i64,
    pub is_closed: bool,
    /// What happened, such as `USER:SUCCEEDED`.
    pub events: Vec<(String, i64)>,
    pub reason: Option<String>,
    pub remote_reason: Option<String>,
}

/// A guard, and when each state was first reported.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Guard {
    pub fingerprint: String,
    pub nickname: String,
    pub new_ns: Option<i64>,
    pub up_ns: Option<i64>,
    pub down_ns: Option<i64>,
    pub dropped_ns: Option<i64>,
}

/// A time-out for building circuits that took effect.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Timeout {
    pub at_ns: i64,
    /// `COMPUTED`, `RESET`, …
    pub status: Option<String>,
    pub total_times: Option<u64>,
    pub timeout_ms: Option<u64>,
    pub quantile: Option<f64>,
    pub timeout_rate: Option<f64>,
    pub close_ms: Option<u64>,
}

/// A step on the way to an onion service: something about its descriptor, or a new state of a circuit to it or from it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct OnionStep {
    pub at_ns: i64,
    /// `HS_DESC:REQUESTED` and so on, or the new state, such as `HSCR_JOINED`.
    pub step: String,
    /// Its address, without `.onion`; none if Tor does not report it.
    pub service: Option<String>,
    /// Tor's number of the circuit; none for descriptors.
    pub circuit: Option<u64>,
    /// The relay that has the descriptor.
    pub relay: Option<String>,
    pub reason: Option<String>,
}

impl Log {
    /// The index of the stream of a transfer: of those from its port, the one whose end is nearest to that of the transfer.
    pub fn stream_of(&self, transfer: &Transfer) -> Option<usize> {
        let distance = |at: &usize| self.streams[*at].ended_ns.abs_diff(transfer.end_ns);
        let candidates = self.by_port.get(&transfer.port()?)?.iter().copied();
        candidates.filter(|at| distance(at) <= APART_NS).min_by_key(distance)
    }

    /// The index of the circuit of a stream. A restarted Tor counts from the start again, so it is the latest with that number.
    pub fn circuit_of(&self, stream: &Stream) -> Option<usize> {
        let candidates = self.by_circuit.get(&stream.circuit?)?.iter().copied();
        let is_before = |at: &usize| self.circuits[*at].launched_ns <= stream.ended_ns;
        candidates.filter(is_before).max_by_key(|at| self.circuits[*at].launched_ns)
    }
}

/// The log of a tap that read a control port; none if it read something else. `each` takes every event, with the time at which
/// it was read.
///
/// # Errors
/// Those of reading the table, and of `each`.
pub(super) fn read(path: &Path, each: &mut dyn FnMut(i64, &str) -> Result<(), Error>) -> Result<Option<Log>, Fault> {
    let table = Rows::open(path)?;
    let columns = ["at_ns", "event", "line"];
    if !columns.iter().all(|name| table.columns().iter().any(|column| column == name)) {
        return Ok(None);
    }
    let mut builder = Builder::default();
    for number in 0..table.pieces() {
        let piece = table.piece(number, &columns)?;
        for row in 0..piece.height() {
            let (Value::Integer(at_ns), Value::Text(line)) = (piece.value(0, row), piece.value(2, row)) else { continue };
            // Without the prefix of every line if `extract` made the row, and with it if a pattern did.
            let text = event_text(line).unwrap_or(line).trim_end_matches(['\r', '\n']);
            if let Some(event) = Event::of_text(text) {
                builder.add(at_ns, &event);
                each(at_ns, text)?;
            }
        }
    }
    Ok(Some(builder.finish()))
}

/// Builds a log from events, one after the other.
#[derive(Debug, Default)]
pub(super) struct Builder {
    log: Log,
    /// Circuits that have not ended, and whether the start of each was seen.
    circuits: BTreeMap<u64, (Circuit, bool)>,
    /// Likewise.
    streams: BTreeMap<u64, (Stream, bool)>,
    /// The latest state of each circuit to or from an onion service.
    states: BTreeMap<u64, String>,
    last_ns: i64,
}

fn owned(text: Option<&str>) -> Option<String> {
    text.filter(|text| !text.is_empty()).map(str::to_owned)
}

/// Fingerprint and nickname of a relay; Tor calls a relay without a name `Unnamed`.
fn named(text: &str) -> Option<(String, &str)> {
    let (fingerprint, nickname) = relay(text)?;
    let is_name = |name: &&str| name.len() <= 19 && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    Some((fingerprint.to_ascii_uppercase(), nickname.filter(is_name).unwrap_or("Unnamed")))
}

/// A relay as `$FP~nick`.
fn hop(text: &str) -> Option<String> {
    let (fingerprint, nickname) = named(text)?;
    Some(format!("${fingerprint}~{nickname}"))
}

impl Builder {
    /// Adds an event.
    pub fn add(&mut self, at_ns: i64, event: &Event) {
        self.last_ns = self.last_ns.max(at_ns);
        match (event.kind.as_str(), event.id()) {
            ("CIRC" | "CIRC_MINOR", Some(id)) => self.circuit(at_ns, id, event),
            ("STREAM", Some(id)) => self.stream(at_ns, id, event),
            ("BUILDTIMEOUT_SET", _) => {
                let whole = |key| event.get(key).and_then(|text| text.parse::<u64>().ok());
                let share = |key| event.get(key).and_then(|text| text.parse::<f64>().ok()).filter(|share| share.is_finite());
                self.log.timeouts.push(Timeout {
                    at_ns,
                    status: owned(event.status()),
                    total_times: whole("TOTAL_TIMES"),
                    timeout_ms: whole("TIMEOUT_MS"),
                    quantile: share("CUTOFF_QUANTILE"),
                    timeout_rate: share("TIMEOUT_RATE"),
                    close_ms: whole("CLOSE_MS"),
                });
            }
            ("GUARD", _) => self.guard(at_ns, event),
            ("HS_DESC", _) => self.log.onion.push(OnionStep {
                at_ns,
                step: format!("HS_DESC:{}", event.status().unwrap_or_default()),
                service: owned(event.target()),
                circuit: None,
                relay: event.at(3).and_then(hop),
                reason: owned(event.get("REASON")),
            }),
            _ => {}
        }
    }

    /// A circuit to or from an onion service that has a new state.
    fn state(&mut self, at_ns: i64, id: u64, event: &Event) {
        if event.kind == "CIRC" && event.status() == Some("LAUNCHED") {
            self.states.remove(&id);
        }
        let Some(state) = event.get("HS_STATE").filter(|state| self.states.get(&id).is_none_or(|before| before != state)) else {
            return;
        };
        self.states.insert(id, state.to_owned());
        let (step, service) = (state.to_owned(), owned(event.get("REND_QUERY")));
        self.log.onion.push(OnionStep { at_ns, step, service, circuit: Some(id), relay: None, reason: None });
    }

    fn circuit(&mut self, at_ns: i64, id: u64, event: &Event) {
        self.state(at_ns, id, event);
        let status = event.status().unwrap_or_default();
        let is_major = event.kind == "CIRC";
        if is_major && status == "LAUNCHED" {
            // An open circuit with the same number belongs to a Tor that was killed.
            self.end_circuit(at_ns, id, false);
            // The time-out in force is that of the latest event that set it.
            let timeout = self.log.timeouts.last();
            let launched = Circuit {
                id,
                launched_ns: at_ns,
                timeout_ms: timeout.and_then(|timeout| timeout.timeout_ms),
                quantile: timeout.and_then(|timeout| timeout.quantile),
                is_timeout_set: timeout.is_some_and(|timeout| timeout.status.as_deref() != Some("RESET")),
                flags: owned(event.get("BUILD_FLAGS")),
                ..Circuit::default()
            };
            self.circuits.insert(id, (launched, true));
        }
        let (circuit, _) = self.circuits.entry(id).or_insert_with(|| (Circuit { id, ..Circuit::default() }, false));
        let purpose = event.get("PURPOSE");
        if purpose.is_some() {
            circuit.purpose = owned(purpose);
        }
        let purpose = purpose.unwrap_or("None");
        let is_onion = ["HS_CLIENT_INTRO", "HS_CLIENT_REND", "HS_SERVICE_INTRO", "HS_SERVICE_REND"].contains(&purpose);
        let state = event.get("HS_STATE").filter(|_| is_onion).map(|state| match event.get("REND_QUERY") {
            Some(query) if !query.is_empty() => format!("{state}:{query}"),
            _ => state.to_owned(),
        });
        if !is_major {
            if status != "PURPOSE_CHANGED" || event.get("OLD_PURPOSE") != Some(purpose) {
                circuit.events.push((format!("{status}:{purpose}"), at_ns));
            }
            circuit.events.extend(state.map(|state| (state, at_ns)));
            return;
        }
        circuit.events.push((format!("{purpose}:{status}"), at_ns));
        match status {
            "EXTENDED" => {
                let last = event.path().and_then(|path| path.rsplit(',').next()).and_then(hop);
                circuit.path.extend(last.map(|hop| (hop, at_ns)));
            }
            "BUILT" => {
                circuit.built_ns = circuit.built_ns.or(Some(at_ns));
                circuit.events.extend(state.map(|state| (state, at_ns)));
            }
            "FAILED" => {
                circuit.reason = owned(event.get("REASON"));
                circuit.remote_reason = owned(event.get("REMOTE_REASON"));
            }
            _ => {}
        }
        if matches!(status, "FAILED" | "CLOSED") {
            self.end_circuit(at_ns, id, true);
        }
    }

    /// Moves a circuit to those that have ended; one whose start was not seen is dropped.
    fn end_circuit(&mut self, at_ns: i64, id: u64, is_closed: bool) {
        let Some((mut circuit, true)) = self.circuits.remove(&id) else { return };
        let is_current = |guard: &&Guard| {
            let since = guard.up_ns.is_some_and(|up| circuit.launched_ns >= up);
            since && guard.dropped_ns.is_none_or(|dropped| circuit.launched_ns < dropped)
        };
        circuit.guards = self.log.guards.iter().filter(is_current).cloned().collect();
        (circuit.ended_ns, circuit.is_closed) = (at_ns, is_closed);
        self.log.by_circuit.entry(id).or_default().push(self.log.circuits.len());
        self.log.circuits.push(circuit);
    }

    fn stream(&mut self, at_ns: i64, id: u64, event: &Event) {
        let status = event.status().unwrap_or_default();
        if matches!(status, "NEW" | "NEWRESOLVE") {
            self.end_stream(at_ns, id, false);
            let source = owned(event.get("SOURCE_ADDR"));
            self.streams.insert(id, (Stream { id, source, new_ns: at_ns, ..Stream::default() }, true));
        }
        let (stream, _) = self.streams.entry(id).or_insert_with(|| (Stream { id, ..Stream::default() }, false));
        stream.circuit = event.circuit().or(stream.circuit);
        stream.target = event.target().unwrap_or_default().to_owned();
        stream.purpose = owned(event.get("PURPOSE")).or_else(|| stream.purpose.take());
        stream.events.push((format!("{}:{status}", stream.purpose.as_deref().unwrap_or("None")), at_ns));
        if status == "FAILED" {
            stream.reason = owned(event.get("REASON"));
            stream.remote_reason = owned(event.get("REMOTE_REASON"));
        }
        if matches!(status, "FAILED" | "CLOSED") {
            self.end_stream(at_ns, id, true);
        }
    }

    /// Like [`Self::end_circuit`].
    fn end_stream(&mut self, at_ns: i64, id: u64, is_closed: bool) {
        let Some((mut stream, true)) = self.streams.remove(&id) else { return };
        (stream.ended_ns, stream.is_closed) = (at_ns, is_closed);
        if let Some(port) = stream.source.as_deref().and_then(port) {
            self.log.by_port.entry(port).or_default().push(self.log.streams.len());
        }
        self.log.streams.push(stream);
    }

    fn guard(&mut self, at_ns: i64, event: &Event) {
        let Some((fingerprint, nickname)) = event.guard().and_then(named).filter(|_| event.at(0) == Some("ENTRY")) else {
            return;
        };
        let guards = &mut self.log.guards;
        let known = guards.iter().rposition(|guard| guard.fingerprint == fingerprint);
        let place = match known.filter(|at| guards[*at].dropped_ns.is_none()) {
            Some(place) => place,
            None => {
                let nickname = nickname.to_owned();
                guards.push(Guard { fingerprint, nickname, ..Guard::default() });
                guards.len() - 1
            }
        };
        let guard = &mut guards[place];
        let first = match event.status() {
            Some("NEW") => &mut guard.new_ns,
            Some("UP") => &mut guard.up_ns,
            Some("DOWN") => &mut guard.down_ns,
            Some("DROPPED") => &mut guard.dropped_ns,
            _ => return,
        };
        *first = first.or(Some(at_ns));
    }

    /// The finished log. What is still open ends here.
    pub fn finish(mut self) -> Log {
        let last_ns = self.last_ns;
        for id in self.circuits.keys().copied().collect::<Vec<_>>() {
            self.end_circuit(last_ns, id, false);
        }
        for id in self.streams.keys().copied().collect::<Vec<_>>() {
            self.end_stream(last_ns, id, false);
        }
        self.log
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::transfers;
    use super::*;

    /// A log of events, each with the milliseconds since the start of the load. `$A`, `$B` and so on are relays.
    pub fn log(lines: &[(i64, &str)]) -> Log {
        let mut builder = Builder::default();
        for (ms, line) in lines {
            builder.add(ms * 1_000_000, &Event::of_text(&spelled(line)).unwrap());
        }
        builder.finish()
    }

    /// A line with the full fingerprints of its relays.
    pub fn spelled(line: &str) -> String {
        ['A', 'B', 'C', 'D'].iter().fold(line.to_owned(), |line, relay| {
            line.replace(&format!("${relay}"), &format!("${}~relay{relay}", relay.to_string().repeat(40)))
        })
    }

    /// The transfer of [`transfers::tests::row`] as seen at the control port.
    pub const LINES: [(i64, &str); 13] = [
        (10, "GUARD ENTRY $A NEW"),
        (11, "GUARD ENTRY $A UP"),
        (20, "BUILDTIMEOUT_SET COMPUTED TOTAL_TIMES=100 TIMEOUT_MS=670 XM=41 ALPHA=2.5 CUTOFF_QUANTILE=0.800000"),
        (100, "CIRC 68 LAUNCHED BUILD_FLAGS=NEED_CAPACITY PURPOSE=GENERAL"),
        (150, "CIRC 68 EXTENDED $A BUILD_FLAGS=NEED_CAPACITY PURPOSE=GENERAL"),
        (250, "CIRC 68 EXTENDED $A,$B BUILD_FLAGS=NEED_CAPACITY PURPOSE=GENERAL"),
        (400, "CIRC 68 EXTENDED $A,$B,$C BUILD_FLAGS=NEED_CAPACITY PURPOSE=GENERAL"),
        (400, "CIRC 68 BUILT $A,$B,$C BUILD_FLAGS=NEED_CAPACITY PURPOSE=GENERAL"),
        (1005, "STREAM 64 NEW 0 example.test:80 SOURCE_ADDR=127.0.0.1:49880 PURPOSE=USER"),
        (1006, "STREAM 64 SENTCONNECT 67 example.test:80"),
        (1300, "STREAM 64 SUCCEEDED 68 10.0.0.1:80"),
        (1801, "STREAM 64 CLOSED 68 10.0.0.1:80 REASON=DONE"),
        (2000, "CIRC 68 CLOSED $A,$B,$C PURPOSE=GENERAL REASON=FINISHED"),
    ];

    fn transfer() -> Transfer {
        let folder = tempfile::tempdir().unwrap();
        transfers::tests::tables(folder.path(), vec![transfers::tests::row()]);
        transfers::read(&folder.path().join(transfers::FILE)).unwrap_or_default().remove(0)
    }

    #[test]
    fn a_circuit_has_its_path_its_times_and_what_was_in_force() {
        let log = log(&LINES);
        let circuit = &log.circuits[0];
        assert_eq!((circuit.id, circuit.launched_ns, circuit.built_ns), (68, 100_000_000, Some(400_000_000)));
        assert_eq!((circuit.ended_ns, circuit.is_closed), (2_000_000_000, true));
        assert_eq!((circuit.timeout_ms, circuit.quantile, circuit.is_timeout_set), (Some(670), Some(0.8), true));
        assert_eq!(circuit.flags.as_deref(), Some("NEED_CAPACITY"));
        let timeout = &log.timeouts[0];
        assert_eq!(
            (timeout.status.as_deref(), timeout.total_times, timeout.timeout_ms),
            (Some("COMPUTED"), Some(100), Some(670))
        );
        let hops: Vec<(String, i64)> = circuit.path.iter().map(|(hop, ns)| (hop.clone(), ns / 1_000_000)).collect();
        let spelled = |hop| super::tests::spelled(hop);
        assert_eq!(hops, [(spelled("$A"), 150), (spelled("$B"), 250), (spelled("$C"), 400)]);
        let events: Vec<&str> = circuit.events.iter().map(|(event, _)| event.as_str()).collect();
        assert_eq!(events[..2], ["GENERAL:LAUNCHED", "GENERAL:EXTENDED"]);
        assert_eq!(events[4..], ["GENERAL:BUILT", "GENERAL:CLOSED"]);
        assert_eq!(circuit.guards.iter().map(|guard| guard.nickname.as_str()).collect::<Vec<_>>(), ["relayA"]);
        assert_eq!(circuit.reason, None, "a circuit that was closed did not fail: its REASON is not kept");
    }

    #[test]
    fn a_transfer_finds_its_stream_by_its_port_and_its_circuit_through_it() {
        let log = log(&LINES);
        let at = log.stream_of(&transfer()).unwrap();
        let stream = &log.streams[at];
        assert_eq!((stream.id, stream.circuit), (64, Some(68)), "the latest circuit");
        assert_eq!((stream.source.as_deref(), stream.target.as_str()), (Some("127.0.0.1:49880"), "10.0.0.1:80"));
        assert_eq!(stream.events.last().unwrap(), &("USER:CLOSED".to_owned(), 1_801_000_000));
        assert_eq!(log.circuit_of(stream), Some(0));
        let other = Transfer { local: Some("127.0.0.1:49881".to_owned()), ..transfer() };
        assert_eq!(log.stream_of(&other), None);
        let late = |s: i64| Transfer { end_ns: 1_801_000_000 + s * 1_000_000_000, ..transfer() };
        assert_eq!(
            (log.stream_of(&late(150)), log.stream_of(&late(151)), log.stream_of(&late(-150))),
            (Some(at), None, Some(at))
        );
    }

    #[test]
    fn of_two_streams_from_one_port_it_is_the_nearer_one() {
        let again = [
            (50_000, "STREAM 70 NEW 0 example.test:80 SOURCE_ADDR=127.0.0.1:49880 PURPOSE=USER"),
            (50_500, "STREAM 70 FAILED 68 example.test:80 REASON=END REMOTE_REASON=CONNECTREFUSED"),
            (50_501, "STREAM 70 CLOSED 68 example.test:80 REASON=END REMOTE_REASON=CONNECTREFUSED"),
        ];
        let log = log(&[&LINES[..], &again].concat());
        assert_eq!(log.streams.len(), 2);
        assert_eq!(log.streams[log.stream_of(&transfer()).unwrap()].id, 64);
        let later = Transfer { end_ns: 50_000_000_000, ..transfer() };
        let stream = &log.streams[log.stream_of(&later).unwrap()];
        assert_eq!((stream.reason.as_deref(), stream.remote_reason.as_deref()), (Some("END"), Some("CONNECTREFUSED")));
        assert_eq!(stream.ended_ns, 50_500_000_000, "a stream ends when it fails");
    }

    #[test]
    fn what_is_open_at_the_end_ends_there_and_what_began_before_is_left_out() {
        let begun = log(&LINES[..11]);
        assert_eq!((begun.circuits.len(), begun.streams.len()), (1, 1));
        assert_eq!((begun.circuits[0].ended_ns, begun.circuits[0].is_closed), (1_300_000_000, false));
        assert_eq!((begun.streams[0].ended_ns, begun.streams[0].is_closed), (1_300_000_000, false));
        let ended = log(&LINES[4..8]);
        assert!(ended.circuits.is_empty());
        let ended = log(&LINES[9..]);
        assert!(ended.circuits.is_empty() && ended.streams.is_empty());
    }

    #[test]
    fn a_tor_that_is_started_anew_counts_anew() {
        let again = [
            (3000, "CIRC 68 LAUNCHED PURPOSE=GENERAL"),
            (3001, "CIRC 68 FAILED PURPOSE=GENERAL REASON=TIMEOUT REMOTE_REASON=NONE"),
            (3002, "CIRC 69 LAUNCHED PURPOSE=GENERAL"),
            (3003, "CIRC 69 LAUNCHED PURPOSE=GENERAL"),
        ];
        let log = log(&[&LINES[..], &again].concat());
        assert_eq!(log.circuits.len(), 4);
        assert_eq!(log.circuit_of(&log.streams[0]), Some(0));
        assert_eq!(
            (log.circuits[1].reason.as_deref(), log.circuits[1].remote_reason.as_deref()),
            (Some("TIMEOUT"), Some("NONE"))
        );
    }

    #[test]
    fn timeouts_and_guards_are_those_of_the_launch() {
        let log = log(&[
            (1, "CIRC 1 LAUNCHED PURPOSE=GENERAL"),
            (2, "BUILDTIMEOUT_SET COMPUTED TIMEOUT_MS=67 CUTOFF_QUANTILE=0.8"),
            (3, "GUARD ENTRY $A UP"),
            (4, "CIRC 2 LAUNCHED PURPOSE=GENERAL"),
            (5, "GUARD ENTRY $A DROPPED"),
            (5, "GUARD ENTRY $A NEW"),
            (6, "BUILDTIMEOUT_SET RESET TIMEOUT_MS=60000 CUTOFF_QUANTILE=1.0"),
            (7, "CIRC 3 LAUNCHED PURPOSE=GENERAL"),
            (8, "GUARD ENTRY $A UP"),
            (9, "CIRC 4 LAUNCHED PURPOSE=GENERAL"),
        ]);
        let found: Vec<(Option<u64>, bool, usize)> =
            log.circuits.iter().map(|c| (c.timeout_ms, c.is_timeout_set, c.guards.len())).collect();
        assert_eq!(found, [(None, false, 0), (Some(67), true, 1), (Some(60_000), false, 0), (Some(60_000), false, 1)]);
        assert_eq!(log.guards.len(), 2, "a dropped guard that comes back is a new one");
    }

    #[test]
    fn circuits_of_onion_services_tell_how_far_they_are() {
        let log = log(&[
            (1, "CIRC 1 LAUNCHED PURPOSE=HS_CLIENT_REND HS_STATE=HSCR_CONNECTING"),
            (2, "CIRC 1 BUILT $A PURPOSE=HS_CLIENT_REND HS_STATE=HSCR_ESTABLISHED_IDLE REND_QUERY=abc"),
            (
                3,
                "CIRC_MINOR 1 PURPOSE_CHANGED $A PURPOSE=HS_CLIENT_REND HS_STATE=HSCR_JOINED REND_QUERY=abc OLD_PURPOSE=HS_CLIENT_REND",
            ),
            (4, "CIRC_MINOR 1 PURPOSE_CHANGED $A PURPOSE=CONFLUX_LINKED OLD_PURPOSE=CONFLUX_UNLINKED"),
        ]);
        let events: Vec<&str> = log.circuits[0].events.iter().map(|(event, _)| event.as_str()).collect();
        assert_eq!(
            events,
            [
                "HS_CLIENT_REND:LAUNCHED",
                "HS_CLIENT_REND:BUILT",
                "HSCR_ESTABLISHED_IDLE:abc",
                "HSCR_JOINED:abc",
                "PURPOSE_CHANGED:CONFLUX_LINKED"
            ]
        );
        assert_eq!(log.circuits[0].purpose.as_deref(), Some("CONFLUX_LINKED"));
        let steps: Vec<(i64, &str, Option<&str>)> =
            log.onion.iter().map(|s| (s.at_ns / 1_000_000, s.step.as_str(), s.service.as_deref())).collect();
        assert_eq!(
            steps,
            [(1, "HSCR_CONNECTING", None), (2, "HSCR_ESTABLISHED_IDLE", Some("abc")), (3, "HSCR_JOINED", Some("abc"))]
        );
    }
}
