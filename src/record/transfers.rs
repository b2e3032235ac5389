//! The table of transfers: one row per transfer, stage by stage.

use polars::prelude::*;

use super::columns::{WorkloadNames, column, frame};
use vocabulary::rows::{PARTS, PERCENTS, Stage, TransferRow};

/// Columns of `transfers.parquet`: one row per transfer. Times are nanoseconds since the start of the load.
pub(super) fn transfer_frame(workloads: &[WorkloadNames], rows: &[TransferRow]) -> DataFrame {
    let of = |r: &TransferRow| workloads.get(usize::from(r.workload));
    let numbers = |f: fn(&TransferRow) -> u64| rows.iter().map(f).collect::<Vec<u64>>();
    let texts = |f: fn(&TransferRow) -> Option<&str>| rows.iter().map(f).collect::<Vec<Option<&str>>>();
    let names: Vec<&str> = rows.iter().map(|r| of(r).map_or("", |w| w.workload.as_str())).collect();
    let step = |r: &TransferRow| of(r).and_then(|w| w.steps.get(usize::from(r.step))).map_or("", String::as_str).to_owned();
    let outcome = |r: &TransferRow| r.outcome.name(of(r).map_or(&[], |w| &w.outcomes)).to_owned();
    let mut columns = vec![
        column("workload", names),
        column("step", rows.iter().map(step).collect::<Vec<String>>()),
        column("pass", numbers(|r| r.pass)),
        column("phase", rows.iter().map(|r| r.phase.name()).collect::<Vec<&str>>()),
        column("outcome", rows.iter().map(outcome).collect::<Vec<String>>()),
        column("error", texts(|r| r.error)),
        column("words", texts(|r| r.words.as_deref())),
        column("proxy_code", rows.iter().map(|r| r.proxy_code.map(u32::from)).collect::<Vec<Option<u32>>>()),
        column("unix_ns", numbers(|r| r.unix_ns)),
        column("intended_ns", numbers(|r| r.intended_ns)),
        column("start_ns", numbers(|r| r.start_ns)),
    ];
    let times = |name: &str, of: &dyn Fn(&TransferRow) -> Option<u64>| {
        column(&format!("{name}_ns"), rows.iter().map(of).collect::<Vec<Option<u64>>>())
    };
    columns.extend(Stage::ALL.iter().enumerate().map(|(at, stage)| times(stage.name(), &|r| r.stages[at])));
    columns.extend(PERCENTS.iter().enumerate().map(|(at, percent)| times(&format!("perc{percent}"), &|r| r.percents[at])));
    columns.extend(PARTS.iter().enumerate().map(|(at, bytes)| times(&format!("bytes{bytes}"), &|r| r.parts[at])));
    columns.extend([
        column("end_ns", numbers(|r| r.end_ns)),
        column("file_bytes", rows.iter().map(|r| r.file_bytes).collect::<Vec<Option<u64>>>()),
        column("read_bytes", numbers(|r| r.read_bytes)),
        column("written_bytes", numbers(|r| r.written_bytes)),
        column("body_read_bytes", numbers(|r| r.body_read_bytes)),
        column("body_written_bytes", numbers(|r| r.body_written_bytes)),
        column("local", texts(|r| r.local.as_deref())),
        column("proxy", texts(|r| r.proxy.as_deref())),
        column("remote", texts(|r| Some(r.remote.as_str()))),
        column("isolation", texts(|r| r.isolation.as_deref())),
    ]);
    frame(rows.len(), columns)
}
