//! `runner report`.

use std::path::{Path, PathBuf};

use super::{Stop, compare, print_data, summarize};
use crate::analysis::compare::{self as comparing, Comparison, Options, ReadRun};
use crate::analysis::question::usual_comparison;
use crate::cli;
use crate::exit::Exit;
use crate::record::files::write_whole;
use crate::record::floor;
use crate::report::{self, Asked, Pictures};

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
    let asked = Asked { runs: sides.iter().flatten().collect(), comparison: comparison.as_ref(), pictures: None };
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
            let found = comparing::levels(run, by, args.baseline.as_deref(), &Options::usual(threshold));
            found.map(Some).map_err(|error| Stop::from_error(Exit::InvalidInput, &error))
        }
        None => Ok(usual_comparison(run, threshold)),
    }
}

/// The other sides against the first. `first`: a run of the first side.
fn between(sides: &[Vec<ReadRun>], first: &Path, args: &cli::Report, threshold: f64) -> Result<Comparison, Stop> {
    let wrong = |message: &str| Stop::new(Exit::InvalidInput, message);
    if args.by.is_some() {
        return Err(wrong("`--by` compares levels within one run; name one run only"));
    }
    let options = Options::usual(threshold);
    let floor = floor::sessions(first).map_err(|e| Stop::from_error(Exit::InvalidInput, &e))?;
    let floor =
        floor.iter().map(|path| summarize::read_samples(path, |run| options.needs(run))).collect::<Result<Vec<_>, Stop>>()?;
    comparing::runs(sides, &floor, &options).map_err(|error| Stop::from_error(Exit::InvalidInput, &error))
}
