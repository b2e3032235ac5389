//! `runner report`, and the page that `run` leaves beside its graphs.

use std::path::{Path, PathBuf};

use super::{Stop, compare, floor, print_data, summarize};
use crate::analysis::compare::{self as comparing, Comparison, Options, ReadRun};
use crate::cli;
use crate::exit::Exit;
use crate::record::files::{make_directory, write_whole};
use crate::report::{self, Asked, Pictures, Question};
use crate::vocabulary::errors::tell;

/// A difference within ± this share does not matter, where nobody says so.
const THRESHOLD: f64 = 0.05;

/// Writes runs as one page.
pub(super) fn report(args: &cli::Report) -> Result<Exit, Stop> {
    let threshold = compare::threshold(&args.threshold)?;
    let paths = compare::sides(&args.paths)?;
    let read = |side: &Vec<PathBuf>| side.iter().map(|path| summarize::read(path)).collect::<Result<Vec<ReadRun>, Stop>>();
    let sides = paths.iter().map(read).collect::<Result<Vec<_>, Stop>>()?;
    let comparison = match sides.as_slice() {
        [side] => match side.as_slice() {
            [run] => within(run, args, threshold)?,
            _ => return Err(Stop::new(Exit::InvalidInput, "sessions of one side alone cannot be compared: name a second side")),
        },
        _ => Some(between(&sides, &paths[0][0], args, threshold)?),
    };
    let asked = Asked { runs: sides.iter().flatten().collect(), comparison: comparison.as_ref() };
    let page = report::page(&asked).map_err(|e| Stop::from_error(Exit::Failure, &e))?;
    let text = if args.markdown {
        let words = comparison.as_ref().map(comparing::text::markdown);
        let pictures = args.pictures.as_deref().map_or(Pictures::None, Pictures::Links);
        report::markdown(&page, words.as_deref(), pictures)
    } else {
        report::html(&page).map_err(|e| Stop::from_error(Exit::Failure, &e))?
    };
    let usual = || (!args.markdown).then(|| PathBuf::from("report.html"));
    match args.out.clone().or_else(usual).filter(|out| out.as_os_str() != "-") {
        Some(out) => {
            write_whole(&out, text.as_bytes()).map_err(|e| Stop::from_error(Exit::Failure, &e))?;
            print_data(&format!("{}\n", out.display()));
        }
        None => print_data(&text),
    }
    Ok(match &comparison {
        Some(comparison) if args.fail_on_slower => compare::gate(comparison),
        _ => Exit::Success,
    })
}

/// The levels of a factor against one of them; none where no factor has two levels that can be compared.
fn within(run: &ReadRun, args: &cli::Report, threshold: f64) -> Result<Option<Comparison>, Stop> {
    match &args.by {
        Some(by) => {
            let found = comparing::levels(run, by, args.baseline.as_deref(), &options(threshold));
            found.map(Some).map_err(|error| Stop::from_error(Exit::InvalidInput, &error))
        }
        None => Ok(usual_comparison(run, threshold)),
    }
}

/// What a run compares by itself.
fn usual_comparison(run: &ReadRun, threshold: f64) -> Option<Comparison> {
    let Question { by, baseline } = report::question(&run.0.plan, &run.1)?;
    // What cannot be compared is told as what speaks against the result.
    comparing::levels(run, &by, baseline.as_deref(), &options(threshold)).ok()
}

fn options(threshold: f64) -> Options {
    Options { threshold, metrics: Vec::new(), primary: None }
}

/// The other sides against the first. `first`: a run of the first side.
fn between(sides: &[Vec<ReadRun>], first: &Path, args: &cli::Report, threshold: f64) -> Result<Comparison, Stop> {
    let wrong = |message: &str| Stop::new(Exit::InvalidInput, message);
    if args.by.is_some() {
        return Err(wrong("`--by` compares levels within one run; name one run only"));
    }
    let options = options(threshold);
    let floor = floor::sessions(first)?;
    let floor =
        floor.iter().map(|path| summarize::read_samples(path, |run| options.needs(run))).collect::<Result<Vec<_>, Stop>>()?;
    comparing::runs(sides, &floor, &options).map_err(|error| Stop::from_error(Exit::InvalidInput, &error))
}

/// Writes the page of a run beside its graphs, and returns its path. Where it cannot be written because that is not allowed,
/// this is said, and nothing is lost: the page can be made again at any time.
pub(super) fn beside_graphs(run: &ReadRun, graphs: &Path) -> Result<Option<PathBuf>, Stop> {
    if run.0.repetitions.is_empty() {
        return Ok(None);
    }
    let failed = |error: &dyn std::error::Error| Stop::from_error(Exit::Failure, error);
    let comparison = usual_comparison(run, THRESHOLD);
    let page = report::page(&Asked { runs: vec![run], comparison: comparison.as_ref() }).map_err(|e| failed(&e))?;
    let text = report::html(&page).map_err(|e| failed(&e))?;
    let folder = graphs.join(&run.1.experiment).join(&run.1.run);
    let path = folder.join("report.html");
    match make_directory(&folder).and_then(|()| write_whole(&path, text.as_bytes())) {
        Ok(()) => Ok(Some(path)),
        Err(error) if error.is_forbidden() => {
            tell(format_args!("warning: {}; there is no report", crate::vocabulary::errors::chain(&error)));
            Ok(None)
        }
        Err(error) => Err(failed(&error)),
    }
}
