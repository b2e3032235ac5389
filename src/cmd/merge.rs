//! `runner merge`: one run of shards, then its summary, graphs and page.

use std::path::Path;

use super::{Stop, beside, next, print, print_data, reports, require_utf8_path, summarize};
use crate::analysis;
use crate::cli;
use crate::exit::Exit;
use crate::record::{self, MergeError, RunRecord};
use crate::vocabulary::errors::tell;

/// Merges runs, and concludes the new one like a run that was executed here.
pub(super) fn merge(args: &cli::Merge) -> Result<Exit, Stop> {
    let wrong = |error: &dyn std::error::Error| Stop::from_error(Exit::InvalidInput, error);
    require_utf8_path("the directory of results (--out)", &args.out)?;
    let mut paths = summarize::runs(&args.paths)?;
    let mut seen = std::collections::BTreeSet::new();
    paths.retain(|path| {
        let is_new = seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone()));
        if !is_new {
            tell(format_args!("note: {} is named twice", path.display()));
        }
        is_new
    });
    let runs = paths.iter().map(|path| RunRecord::open(path)).collect::<Result<Vec<_>, _>>().map_err(|e| wrong(&e))?;
    let damaged = runs.iter().flat_map(|run| &run.damaged);
    damaged.for_each(|what| tell(format_args!("warning: {what}; it is not part of the merged run")));
    make(&runs, &args.out, &args.output)
}

/// The same from runs that were read.
pub(super) fn make(runs: &[RunRecord], out: &Path, output: &cli::Output) -> Result<Exit, Stop> {
    let wrong = |error: &dyn std::error::Error| Stop::from_error(Exit::InvalidInput, error);
    let path = record::merge(runs, out).map_err(|error| match &error {
        MergeError::Record(inner) if !matches!(inner, record::Error::NoRun { .. }) => Stop::from_error(Exit::Failure, &error),
        _ => wrong(&error),
    })?;

    let read = summarize::aggregate(&path)?;
    let (record, summary) = &read;
    let is_quiet = output.quiet || output.json;
    let beside = beside::draw(&read, output, true)?;
    if output.json {
        print_data(&format!(
            "{}\n",
            serde_json::json!({"event": "run-ends", "directory": path, "summary": path.join("summary.json")})
        ));
    }
    if !is_quiet {
        print(&format!("{}\n", analysis::text::table(summary)));
        let count = record.repetitions.len();
        let nodes = record.nodes();
        let by = if nodes.is_empty() { String::new() } else { format!(" by {}", nodes.join(", ")) };
        let rounds = record.plan.repetitions;
        let merged = if runs.len() == 1 { "1 run".to_owned() } else { format!("{} runs", runs.len()) };
        tell(format_args!("merged {merged}: {count} repetitions of {rounds} rounds{by}; results in {}", path.display()));
        beside.graphs_in().iter().chain(&beside.drawn.left_out).chain(&beside.report_in()).for_each(tell);
        tell(format_args!("next: {}", next::step(summary, &path, Path::new(&record.manifest.source))));
    }
    reports::append(&output.reports, summary)?;
    let exit = match reports::verdict(summary) {
        // What was never executed is missing like what failed.
        Exit::Success | Exit::Inconclusive if summary.cells.iter().any(|cell| cell.repetitions.missing() > 0) => {
            Exit::Repetitions
        }
        exit => exit,
    };
    reports::write(&output.reports, std::slice::from_ref(summary))?;
    Ok(exit)
}
