//! `transfers.parquet`: each transfer with the instants of its stages.

use std::path::Path;

use record::rows::{Kind, Value};
use vocabulary::Outcome;
use vocabulary::rows::{PARTS, PERCENTS, Stage};

use super::rows::{Column, Fault, copy, each_row, may, must};
use super::tables::Table;
use super::{Error, Sink};

use Kind::{Integer, Text};

/// Its name in a repetition.
pub(super) const FILE: &str = "transfers.parquet";

/// Its columns, in the order of the table `transfers`. The instants of stages, percents and parts start at [`STAGES`], and the
/// other columns at [`REST`].
const COLUMNS: [Column; REST + 10] = [
    must("workload", Text),
    must("step", Text),
    must("pass", Integer),
    must("phase", Text),
    must("outcome", Text),
    may("error", Text),
    may("words", Text),
    may("proxy_code", Integer),
    must("unix_ns", Integer),
    must("intended_ns", Integer),
    must("start_ns", Integer),
    may("socket_ns", Integer),
    may("connect_ns", Integer),
    may("negotiate_ns", Integer),
    may("request_ns", Integer),
    may("response_ns", Integer),
    may("data_request_ns", Integer),
    may("data_response_ns", Integer),
    may("perc0_ns", Integer),
    may("perc10_ns", Integer),
    may("perc20_ns", Integer),
    may("perc30_ns", Integer),
    may("perc40_ns", Integer),
    may("perc50_ns", Integer),
    may("perc60_ns", Integer),
    may("perc70_ns", Integer),
    may("perc80_ns", Integer),
    may("perc90_ns", Integer),
    may("perc100_ns", Integer),
    may("bytes10240_ns", Integer),
    may("bytes20480_ns", Integer),
    may("bytes51200_ns", Integer),
    may("bytes102400_ns", Integer),
    may("bytes204800_ns", Integer),
    may("bytes512000_ns", Integer),
    may("bytes1048576_ns", Integer),
    may("bytes2097152_ns", Integer),
    may("bytes5242880_ns", Integer),
    must("end_ns", Integer),
    may("file_bytes", Integer),
    must("read_bytes", Integer),
    must("written_bytes", Integer),
    must("body_read_bytes", Integer),
    must("body_written_bytes", Integer),
    may("local", Text),
    may("proxy", Text),
    must("remote", Text),
    may("isolation", Text),
];
const UNIX: usize = 8;
const STAGES: usize = 11;
const REST: usize = STAGES + Stage::ALL.len() + PERCENTS.len() + PARTS.len();

/// The rows as recorded.
pub(super) fn write(path: &Path, repetition: i64, sink: &mut dyn Sink) -> Result<(), Fault> {
    copy(path, &COLUMNS, Table::Transfers, repetition, sink)
}

/// A transfer. Instants are nanoseconds since the start of the load, except `unix_ns`.
#[derive(Clone, Debug)]
pub(super) struct Transfer {
    pub workload: String,
    pub step: String,
    pub phase: String,
    pub outcome: String,
    pub error: Option<String>,
    pub unix_ns: i64,
    pub start_ns: i64,
    /// In the order of [`Stage::ALL`].
    pub stages: Vec<Option<i64>>,
    /// In the order of [`PERCENTS`].
    pub percents: Vec<Option<i64>>,
    /// In the order of [`PARTS`].
    pub parts: Vec<Option<i64>>,
    pub end_ns: i64,
    pub file_bytes: Option<i64>,
    pub read_bytes: i64,
    pub written_bytes: i64,
    pub body_read_bytes: i64,
    pub body_written_bytes: i64,
    pub local: Option<String>,
    pub proxy: Option<String>,
    pub remote: String,
}

impl Transfer {
    fn of(values: &[Value<'_>]) -> Self {
        // Presence and kind of the values have already been checked.
        let text = |at: usize| if let Value::Text(text) = values[at] { Some(text.to_owned()) } else { None };
        let number = |at: usize| if let Value::Integer(number) = values[at] { Some(number) } else { None };
        let instants = |from: usize, count: usize| (from..from + count).map(number).collect::<Vec<_>>();
        Self {
            workload: text(0).unwrap_or_default(),
            step: text(1).unwrap_or_default(),
            phase: text(3).unwrap_or_default(),
            outcome: text(4).unwrap_or_default(),
            error: text(5),
            unix_ns: number(UNIX).unwrap_or_default(),
            start_ns: number(10).unwrap_or_default(),
            stages: instants(STAGES, Stage::ALL.len()),
            percents: instants(STAGES + Stage::ALL.len(), PERCENTS.len()),
            parts: instants(REST - PARTS.len(), PARTS.len()),
            end_ns: number(REST).unwrap_or_default(),
            file_bytes: number(REST + 1),
            read_bytes: number(REST + 2).unwrap_or_default(),
            written_bytes: number(REST + 3).unwrap_or_default(),
            body_read_bytes: number(REST + 4).unwrap_or_default(),
            body_written_bytes: number(REST + 5).unwrap_or_default(),
            local: text(REST + 6),
            proxy: text(REST + 7),
            remote: text(REST + 8).unwrap_or_default(),
        }
    }

    /// When a stage was over.
    pub fn stage(&self, stage: Stage) -> Option<i64> {
        self.stages[stage as usize]
    }

    /// What has to be added to an instant of its repetition to get nanoseconds since 1970.
    pub fn offset_ns(&self) -> i64 {
        self.unix_ns.saturating_sub(self.start_ns)
    }

    /// Whether it was received completely and as expected.
    pub fn is_success(&self) -> bool {
        self.error.is_none() && self.outcome == "ok"
    }

    /// Whether it was still open when the load ended.
    pub fn is_open(&self) -> bool {
        self.outcome == Outcome::Open.name(&[])
    }

    /// Where it failed, in one word; none if it did not.
    pub fn failure(&self) -> Option<&str> {
        (!self.is_success()).then(|| self.error.as_deref().unwrap_or("MISC"))
    }

    /// When the last expected byte had been received.
    pub fn completed_ns(&self) -> Option<i64> {
        self.is_success().then_some(self.end_ns)
    }

    /// The port of this end of the connection.
    pub fn port(&self) -> Option<u16> {
        port(self.local.as_deref()?)
    }
}

/// The port of an address; none if it is 0, as for streams that no program requested.
pub(super) fn port(address: &str) -> Option<u16> {
    address.rsplit(':').next()?.parse().ok().filter(|port| *port != 0)
}

/// Reads all transfers of a repetition.
pub(super) fn read(path: &Path) -> Result<Vec<Transfer>, Fault> {
    let mut found = Vec::new();
    each_row(path, &COLUMNS, |_, values| {
        found.push(Transfer::of(&values));
        Ok(())
    })?;
    Ok(found)
}

/// Receives the rows of transfers: when each started, in nanoseconds since 1970, and its values with the names of their
/// columns.
pub(super) type Named<'n> = dyn FnMut(i64, &[(&'static str, Value<'_>)]) -> Result<(), Error> + 'n;

/// Reads the rows as recorded.
pub(super) fn each_named(path: &Path, each: &mut Named<'_>) -> Result<(), Fault> {
    each_row(path, &COLUMNS, |_, values| {
        let Value::Integer(unix_ns) = values[UNIX] else { return Ok(()) };
        let named: Vec<(&'static str, Value<'_>)> = COLUMNS.iter().map(|column| column.name).zip(values).collect();
        Ok(each(unix_ns, &named)?)
    })
}

#[cfg(test)]
pub(super) mod tests {
    use record::tables::{Tables, WorkloadNames};
    use vocabulary::Phase;
    use vocabulary::rows::TransferRow;

    use super::*;

    /// A download of 50 KiB through a proxy that started 1 s after the load and took 800 ms.
    pub fn row() -> TransferRow {
        let ms = |ms: u64| Some(1_000_000_000 + ms * 1_000_000);
        TransferRow {
            workload: 0,
            step: 0,
            pass: 3,
            phase: Phase::During,
            outcome: Outcome::Ok,
            error: None,
            words: None,
            proxy_code: None,
            unix_ns: 1_795_947_630_125_000_000,
            intended_ns: 999_000_000,
            start_ns: 1_000_000_000,
            stages: [ms(1), ms(2), ms(3), ms(4), ms(300), ms(301), ms(450)],
            percents: std::array::from_fn(|at| ms(450 + 35 * at as u64)),
            parts: std::array::from_fn(|at| if at < 3 { ms(500 + 100 * at as u64) } else { None }),
            end_ns: 1_800_000_000,
            file_bytes: Some(51_200),
            read_bytes: 51_400,
            written_bytes: 120,
            body_read_bytes: 51_200,
            body_written_bytes: 0,
            local: Some("127.0.0.1:49880".to_owned()),
            proxy: Some("127.0.0.1:9050".to_owned()),
            remote: "example.test:80".to_owned(),
            isolation: Some("3".to_owned()),
        }
    }

    /// Writes the tables of a repetition with these transfers.
    pub fn tables(folder: &Path, rows: Vec<TransferRow>) {
        let names = WorkloadNames {
            workload: "clients".to_owned(),
            steps: vec!["get".to_owned(), "put".to_owned()],
            single: false,
            outcomes: Vec::new(),
            metrics: Vec::new(),
        };
        let mut tables = Tables::create(folder, vec![names]).unwrap();
        rows.into_iter().for_each(|row| tables.transfer(row).unwrap());
        tables.finish().unwrap();
    }

    #[test]
    fn what_was_recorded_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let failed = TransferRow {
            outcome: Outcome::Timeout,
            error: Some("TIMEOUT"),
            stages: [None; 7],
            percents: [None; 11],
            parts: [None; 9],
            file_bytes: None,
            local: None,
            ..row()
        };
        tables(folder.path(), vec![row(), failed]);
        let found = read(&folder.path().join(FILE)).unwrap();
        assert_eq!(found.len(), 2);
        let first = &found[0];
        assert_eq!((first.workload.as_str(), first.step.as_str(), first.phase.as_str()), ("clients", "get", "during"));
        let of_row = row();
        for (at, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(first.stage(stage), of_row.stages[at].map(|ns| ns as i64), "{stage:?}");
        }
        assert_eq!(first.percents, of_row.percents.map(|ns| ns.map(|ns| ns as i64)));
        assert_eq!(first.parts, of_row.parts.map(|ns| ns.map(|ns| ns as i64)));
        assert_eq!((first.end_ns, first.file_bytes, first.read_bytes), (1_800_000_000, Some(51_200), 51_400));
        assert_eq!((first.written_bytes, first.body_read_bytes, first.body_written_bytes), (120, 51_200, 0));
        assert_eq!((first.port(), first.remote.as_str()), (Some(49_880), "example.test:80"));
        assert_eq!((first.failure(), first.completed_ns()), (None, Some(1_800_000_000)));
        assert_eq!((found[1].failure(), found[1].completed_ns(), found[1].port()), (Some("TIMEOUT"), None, None));
    }

    #[test]
    fn ports_stand_at_the_end() {
        assert_eq!(port("127.0.0.1:49880"), Some(49_880));
        assert_eq!(port("localhost:[::1]:80"), Some(80));
        for none in ["", "(Tor_internal):0", "a", "a:", "a:70000"] {
            assert_eq!(port(none), None, "{none}");
        }
    }
}
