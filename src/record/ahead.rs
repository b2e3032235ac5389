//! Transfers of a repetition that is still running, made durable within a second: one line of JSON each, in a file next to
//! the repetition.
//!
//! The file is removed once the repetition is complete. A file without a repetition is what remains of a repetition that could
//! not be ended properly (`salvage`). The file is on disk even if the repetition is recorded in memory. This module defines
//! the lines; `durable` writes them.

use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::columns::WorkloadNames;
use super::durable::Durable;
use super::files::json_line;
use vocabulary::rows::{PARTS, PERCENTS, Stage, TransferRow};
use vocabulary::{Outcome, Phase};

/// What is known about a repetition when it starts: the first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Version of the format.
    pub format: u32,
    /// Name of the cell.
    pub cell: String,
    /// Number of the repetition.
    pub repetition: u32,
    /// Its seed.
    pub seed: u64,
    /// When it started, UTC.
    pub started_at: String,
    /// The names behind the numbers in the lines, by index of the workload.
    pub workloads: Vec<Named>,
}

/// A workload whose transfers are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Its name.
    pub workload: String,
    /// The names of its steps.
    pub steps: Vec<String>,
    /// The outcomes that it names.
    pub outcomes: Vec<String>,
}

impl From<&WorkloadNames> for Named {
    fn from(names: &WorkloadNames) -> Self {
        let WorkloadNames { workload, steps, outcomes, .. } = names.clone();
        Self { workload, steps, outcomes }
    }
}

impl From<Named> for WorkloadNames {
    fn from(named: Named) -> Self {
        Self {
            workload: named.workload,
            single: named.steps.len() == 1,
            steps: named.steps,
            outcomes: named.outcomes,
            metrics: Vec::new(),
        }
    }
}

/// A transfer as a line.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    workload: u16,
    step: u16,
    pass: u64,
    phase: String,
    outcome: usize,
    error: Option<String>,
    words: Option<String>,
    proxy_code: Option<u8>,
    unix_ns: u64,
    intended_ns: u64,
    start_ns: u64,
    stages: [Option<u64>; Stage::ALL.len()],
    percents: [Option<u64>; PERCENTS.len()],
    parts: [Option<u64>; PARTS.len()],
    end_ns: u64,
    file_bytes: Option<u64>,
    read_bytes: u64,
    written_bytes: u64,
    body_read_bytes: u64,
    body_written_bytes: u64,
    local: Option<String>,
    proxy: Option<String>,
    remote: String,
    isolation: Option<String>,
}

impl From<&TransferRow> for Line {
    fn from(row: &TransferRow) -> Self {
        let row = row.clone();
        Self {
            workload: row.workload,
            step: row.step,
            pass: row.pass,
            phase: row.phase.name().to_owned(),
            outcome: row.outcome.index(),
            error: row.error.map(str::to_owned),
            words: row.words,
            proxy_code: row.proxy_code,
            unix_ns: row.unix_ns,
            intended_ns: row.intended_ns,
            start_ns: row.start_ns,
            stages: row.stages,
            percents: row.percents,
            parts: row.parts,
            end_ns: row.end_ns,
            file_bytes: row.file_bytes,
            read_bytes: row.read_bytes,
            written_bytes: row.written_bytes,
            body_read_bytes: row.body_read_bytes,
            body_written_bytes: row.body_written_bytes,
            local: row.local,
            proxy: row.proxy,
            remote: row.remote,
            isolation: row.isolation,
        }
    }
}

impl Line {
    /// The row; none if it contains a word that this version does not know.
    fn row(self) -> Option<TransferRow> {
        let error = match self.error {
            Some(word) => Some(*ERRORS.iter().find(|known| **known == word)?),
            None => None,
        };
        Some(TransferRow {
            workload: self.workload,
            step: self.step,
            pass: self.pass,
            phase: Phase::ALL.into_iter().find(|phase| phase.name() == self.phase)?,
            outcome: (self.outcome < Outcome::COUNT).then(|| Outcome::with_index(self.outcome))?,
            error,
            words: self.words,
            proxy_code: self.proxy_code,
            unix_ns: self.unix_ns,
            intended_ns: self.intended_ns,
            start_ns: self.start_ns,
            stages: self.stages,
            percents: self.percents,
            parts: self.parts,
            end_ns: self.end_ns,
            file_bytes: self.file_bytes,
            read_bytes: self.read_bytes,
            written_bytes: self.written_bytes,
            body_read_bytes: self.body_read_bytes,
            body_written_bytes: self.body_written_bytes,
            local: self.local,
            proxy: self.proxy,
            remote: self.remote,
            isolation: self.isolation,
        })
    }
}

/// What a transfer may have failed with, in OnionPerf's terms.
const ERRORS: [&str; 6] = ["PROXY", "TIMEOUT", "READ", "WRITE", "AUTH", "MISC"];

/// The name of the file of a repetition.
pub(super) fn name(repetition: u32) -> String {
    format!(".run{repetition}-ahead.jsonl")
}

/// The number of the repetition whose file has this name.
pub(super) fn number(name: &str) -> Option<u32> {
    name.strip_prefix(".run")?.strip_suffix("-ahead.jsonl")?.parse().ok()
}

/// The file while it is being written.
#[derive(Debug)]
pub struct Ahead(Durable);

impl Ahead {
    /// Starts the file of a repetition. If that fails, it is retried like every later write.
    pub fn new(path: &Path, head: &Head) -> Self {
        Self(Durable::begin(path, "transfers", json_line(head)))
    }

    /// Adds a transfer, which [`Ahead::tick`] makes durable.
    pub fn add(&mut self, row: &TransferRow, now: Instant) {
        self.0.add(&json_line(&Line::from(row)), now);
    }

    /// Makes durable what has waited long enough. Call this several times a second.
    pub fn tick(&mut self, now: Instant) {
        self.0.tick(now);
    }

    /// Makes durable now whatever is waiting.
    pub fn flush(&mut self) {
        self.0.flush();
    }
}

/// What is left of a repetition.
#[derive(Debug, PartialEq)]
pub(super) struct Left {
    /// None if not even the first line is complete.
    pub head: Option<Head>,
    pub rows: Vec<TransferRow>,
    /// Lines that are incomplete or not in our format.
    pub torn: u64,
}

/// Reads the text of a file.
pub(super) fn parse(text: &str) -> Left {
    let mut lines = text.split_inclusive('\n');
    let whole = |line: &str| line.ends_with('\n');
    let head = lines.next().filter(|line| whole(line)).and_then(|line| serde_json::from_str::<Head>(line).ok());
    let mut left = Left { head, rows: Vec::new(), torn: 0 };
    for line in lines {
        match whole(line).then(|| serde_json::from_str::<Line>(line).ok()?.row()).flatten() {
            Some(row) => left.rows.push(row),
            None => left.torn += 1,
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn head() -> Head {
        let names = Named { workload: "downloads".to_owned(), steps: vec!["get".to_owned()], outcomes: Vec::new() };
        Head { format: 5, cell: "all".to_owned(), repetition: 7, seed: 1, started_at: "now".to_owned(), workloads: vec![names] }
    }

    fn row(pass: u64) -> TransferRow {
        TransferRow {
            workload: 0,
            step: 0,
            pass,
            phase: Phase::During,
            outcome: Outcome::Proxy,
            error: Some("PROXY"),
            words: Some("no\n\"way\"".to_owned()),
            proxy_code: Some(5),
            unix_ns: 1_795_996_790_125_000_000,
            intended_ns: 1,
            start_ns: 2,
            stages: [Some(3), None, None, None, None, None, Some(u64::MAX)],
            percents: [None; PERCENTS.len()],
            parts: [Some(1); PARTS.len()],
            end_ns: 9,
            file_bytes: None,
            read_bytes: 1,
            written_bytes: 2,
            body_read_bytes: 3,
            body_written_bytes: 4,
            local: None,
            proxy: Some("127.0.0.1:9050".to_owned()),
            remote: "example.test:80".to_owned(),
            isolation: None,
        }
    }

    #[test]
    fn what_is_written_is_read_and_a_torn_line_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name(7));
        let mut ahead = Ahead::new(&path, &head());
        let now = Instant::now();
        (0..3).for_each(|pass| ahead.add(&row(pass), now));
        ahead.tick(now);
        assert_eq!(parse(&std::fs::read_to_string(&path).unwrap()).rows, [], "they are collected for a moment");
        ahead.tick(now + Duration::from_millis(250));
        let text = std::fs::read_to_string(&path).unwrap();
        let all = Left { head: Some(head()), rows: (0..3).map(row).collect(), torn: 0 };
        assert_eq!(parse(&text), all);
        // Wherever the text is cut, everything before the cut is read.
        for length in 0..text.len() {
            let Left { head, rows, torn } = parse(&text[..length]);
            let lines = text[..length].matches('\n').count();
            assert_eq!((head.is_some(), rows.len()), (lines > 0, lines.saturating_sub(1)), "{length}");
            assert_eq!(torn, u64::from(lines > 0 && !text[..length].ends_with('\n')), "{length}");
        }
        assert_eq!(number(&name(7)), Some(7));
        assert_eq!(number(".run7-partial"), None);
    }
}
