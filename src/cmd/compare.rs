//! `runner compare`.

use std::path::{Path, PathBuf};

use super::summarize::{read_samples, runs};
use super::{Stop, columns_of, print, print_data, run};
use crate::analysis::Summary;
use crate::analysis::compare::{self, Comparison, MOST_ROUNDS, Options, Row, Verdict};
use crate::analysis::steadiness::Steadiness;
use crate::cli::{self, Format};
use crate::exit::Exit;
use crate::record::files::{json_bytes, read_json};
use crate::record::floor;
use crate::record::read::RunRecord;
use crate::vocabulary::Metric;
use crate::vocabulary::columns::{WIDTH, wrap};
use crate::vocabulary::errors::tell;
use crate::vocabulary::units;
use crate::vocabulary::words::{in_shell, one_of};

/// Compares runs with the first of them, or the levels of a factor within one.
pub(super) fn compare(args: &cli::Compare) -> Result<Exit, Stop> {
    let wrong = |message: String| Stop::new(Exit::InvalidInput, message);
    let threshold = threshold(&args.threshold)?;
    let metrics: Vec<Metric> = args.metric.iter().map(|name| run::metric("--metric", name)).collect();
    let primary = args.primary.as_deref().map(|name| run::metric("--primary", name));
    let options = Options { threshold, metrics, primary, step: args.step.clone() };
    let sides = sides(&args.paths)?;
    let read = |path: &PathBuf| read_samples(path, |run| options.needs(run));
    let paths: Vec<PathBuf> = sides.iter().flatten().cloned().collect();
    // The run, if levels of one are compared.
    let mut within = None;
    let comparison = match (&args.by, sides.as_slice()) {
        (Some(by), [side]) if side.len() == 1 => {
            compare::levels(within.insert(read(&side[0])?), by, args.baseline.as_deref(), &options)
        }
        (Some(_), _) => {
            return Err(wrong(format!("`--by` compares levels within one run, but {} are given", paths.len())));
        }
        (None, [side]) if side.len() == 1 => {
            let run = &*within.insert(read(&side[0])?);
            let by = only_factor(&run.1).map_err(wrong)?;
            compare::levels(run, by, args.baseline.as_deref(), &options)
        }
        (None, [_]) => {
            return Err(wrong("sessions of one side alone cannot be compared: name a second side".to_owned()));
        }
        (None, _) if args.baseline.is_some() => {
            return Err(wrong(
                "`--baseline` names a level of a factor within one run; of several runs the first is the baseline".to_owned(),
            ));
        }
        (None, _) => {
            let all = |paths: &[PathBuf]| paths.iter().map(read).collect::<Result<Vec<_>, Stop>>();
            let floor = floor::sessions(&paths[0]).map_err(|e| Stop::from_error(Exit::InvalidInput, &e))?;
            let sides = sides.iter().map(|side| all(side)).collect::<Result<Vec<_>, Stop>>()?;
            compare::runs(&sides, &all(&floor)?, &options)
        }
    };
    let comparison = comparison.map_err(|error| match &error {
        compare::Error::Metric(name) => {
            let brought: Vec<String> = paths.iter().flat_map(|path| brought(path)).collect();
            wrong(format!("{error}: {}", run::suggest_metric(name, brought.iter().map(String::as_str))))
        }
        _ => Stop::from_error(Exit::InvalidInput, &error),
    })?;
    match args.format {
        Format::Text => {
            print(&compare::text::text(&comparison, columns_of(std::io::stdout())));
            if let Some((_, summary)) = &within {
                caveats(summary, &paths[0]).iter().for_each(|line| print(&wrap(line, WIDTH, 2)));
            }
            if let Some(next) = within.and_then(|(run, _)| next(&comparison, &paths[0], &run)) {
                tell(format_args!("next: {next}"));
            }
        }
        Format::Markdown => print(&compare::text::markdown(&comparison)),
        Format::Json => print_data(&String::from_utf8_lossy(&json_bytes(&comparison))),
    }
    Ok(if args.fail_on_slower { gate(&comparison) } else { Exit::Success })
}

/// How to go on where levels of a run are not decided: with more repetitions, as long as `repeat` would get there.
fn next(comparison: &Comparison, path: &Path, run: &RunRecord) -> Option<String> {
    let by = comparison.by.as_ref()?;
    // `repeat` decides what the experiment is mainly about, and no other metric.
    let decided = run.plan.primary.clone().unwrap_or(Metric::Throughput);
    let is_open = |row: &&Row| row.verdict == Verdict::TooFewRepetitions && row.asked && row.metric == decided.name();
    let open = || comparison.rows.iter().filter(is_open);
    open().next()?;
    let needed = open().filter_map(Row::needed).max();
    if let Some(needed) = needed.filter(|needed| *needed > MOST_ROUNDS as usize) {
        return Some(format!(
            "{needed} repetitions of each are hardly worth their time: a longer load varies less from one to the next, and a larger \
             `--threshold` asks less"
        ));
    }
    // Where it repeats until that is decided already, it was interrupted.
    let decides = run.plan.repeat.as_ref().filter(|repeat| repeat.budget_s.is_none()).and_then(|repeat| repeat.decide.as_ref());
    let fewest = open().map(|row| row.n.min(row.baseline_n)).min().unwrap_or_default();
    if decides.is_some_and(|decide| decide.by == *by) && fewest < run.plan.repetitions as usize {
        return Some(format!("runner resume {}", in_shell(&path.to_string_lossy())));
    }
    let chosen = run.manifest.choice.iter().flat_map(|choice| &choice.settings);
    let chosen: String = chosen.map(|setting| format!(" --set {}", in_shell(setting))).collect();
    Some(format!("runner repeat {}{chosen} --until decided --by {}", in_shell(&run.manifest.source), in_shell(by)))
}

/// What the run itself says against its figures, in short: the table of the run has it for each cell.
fn caveats(summary: &Summary, run: &Path) -> Vec<String> {
    let measured: Vec<_> = summary.cells.iter().filter(|cell| cell.repetitions.valid > 0).collect();
    let of = |count: usize| format!("{count} of {} {}", measured.len(), if measured.len() == 1 { "cell" } else { "cells" });
    let busy: Vec<&String> = measured.iter().filter_map(|cell| cell.busy.as_ref()).collect();
    let unsteady = unsteady_cells(run);
    let mut lines = Vec::new();
    if let Some(first) = busy.first() {
        lines.push(format!("BUSY: in {}; in the first of them {first}: differences are harder to see", of(busy.len())));
    }
    if unsteady > 0 {
        let cause = if busy.is_empty() { "" } else { ", which other programs may cause" };
        lines.push(format!("NOT STEADY: loads changed while they were measured in {}{cause}", of(unsteady)));
    }
    lines
}

/// In how many cells loads were not steady, as the summary of the run has it: a comparison does not look into windows.
fn unsteady_cells(run: &Path) -> usize {
    #[derive(Default, serde::Deserialize)]
    struct Cell {
        #[serde(default)]
        steadiness: Vec<Steadiness>,
    }
    #[derive(Default, serde::Deserialize)]
    struct Cells {
        cells: Vec<Cell>,
    }
    let Cells { cells } = read_json(&run.join("summary.json")).unwrap_or_default();
    cells.iter().filter(|cell| cell.steadiness.iter().any(|s| !s.auto_warm_up && s.warning().is_some())).count()
}

/// The factor whose levels are compared where none is named: the only one that has several.
fn only_factor(summary: &Summary) -> Result<&str, String> {
    match summary.varied().as_slice() {
        [only] => Ok(only),
        [] => Err("one run alone cannot be compared, as none of its factors has several levels: name a second run".to_owned()),
        several => {
            let names = one_of(several.iter().copied());
            Err(format!("one run alone cannot be compared: name a second one, or a factor with `--by`: {names}"))
        }
    }
}

/// The difference that does not matter, as a share.
pub(super) fn threshold(typed: &str) -> Result<f64, Stop> {
    let share = units::parse_percent(typed).filter(|share| (0.0..1.0).contains(share));
    let wrong = || Stop::new(Exit::InvalidInput, format!("`--threshold {typed}`: expected a percentage such as `5%`"));
    share.ok_or_else(wrong)
}

/// The runs of each side: paths joined with commas are sessions of one side. If one path means several runs, each run is a side
/// of its own.
pub(super) fn sides(paths: &[PathBuf]) -> Result<Vec<Vec<PathBuf>>, Stop> {
    let mut sides = Vec::new();
    for path in paths {
        let text = path.to_string_lossy();
        match text.split_once(',').filter(|_| !path.exists()) {
            Some(_) => sides.push(runs(&text.split(',').map(PathBuf::from).collect::<Vec<_>>())?),
            None => sides.extend(runs(std::slice::from_ref(path))?.into_iter().map(|run| vec![run])),
        }
    }
    Ok(sides)
}

/// Names of the metrics that commands reported in a run.
fn brought(path: &std::path::Path) -> Vec<String> {
    let metrics = |s: Summary| s.cells.into_iter().flat_map(|c| c.metrics).map(|m| m.metric).collect();
    read_samples(path, |_| Vec::new()).map(|(_, summary)| metrics(summary)).unwrap_or_default()
}

/// What a comparison means for the exit code, where it is to fail.
pub(super) fn gate(comparison: &Comparison) -> Exit {
    let any = |of: &[Verdict]| comparison.rows.iter().any(|r| of.contains(&r.verdict));
    if any(&[Verdict::Slower, Verdict::More]) {
        Exit::Expectation
    } else if !comparison.missing.is_empty() {
        // A level that failed so badly that none of its repetitions counts is not called "slower".
        Exit::Repetitions
    } else if any(&[Verdict::TooFewRepetitions, Verdict::CannotTell]) {
        Exit::Inconclusive
    } else {
        Exit::Success
    }
}
