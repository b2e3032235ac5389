//! The end of a run: summary, table, graphs and page, whether it was completed or not.

use serde_json::json;

use super::{Invocation, failure};
use crate::analysis;
use crate::cmd::beside::{self, Beside};
use crate::cmd::progress::{Reporter, Style};
use crate::cmd::{Stop, print, reports, summarize};
use crate::executor::Error;
use crate::exit::Exit;
use crate::plan::Plan;
use crate::record::RunDirectory;
use crate::vocabulary::errors::tell;

/// Summary, table and graphs of what is there. Returns what the summary means for the exit code.
pub(super) fn conclude(
    invocation: &Invocation<'_>,
    directory: &RunDirectory,
    reporter: &Reporter,
    pictures: bool,
    ended_by: Option<&str>,
) -> Result<Exit, Stop> {
    let output = invocation.output;
    let read = summarize::read(&directory.path)?;
    let (_, summary) = &read;
    // What is printed does not depend on whether it can be saved.
    let kept = summarize::keep(&directory.path, summary);
    // A run without end has a page when somebody asks for one.
    let has_page = invocation.measuring.is_none();
    let beside = if pictures { beside::draw(&read, output, has_page)? } else { Beside::default() };
    reporter.event(&json!({"event": "run-ends", "directory": directory.path, "summary": kept.is_ok().then(|| directory.path.join("summary.json")), "graphs": beside.drawn.files, "report": beside.page, "ended_by": ended_by}));
    if invocation.style == Style::People {
        print(&format!("\n{}\n", analysis::text::table(summary)));
        beside.graphs_in().iter().for_each(|words| reporter.say_whole(words));
        beside.drawn.left_out.iter().for_each(|line| reporter.say(line));
        beside.report_in().iter().for_each(|words| reporter.say_whole(words));
    }
    let exit = reports::verdict(summary);
    reports::append(&output.reports, summary)?;
    let (_, summary) = read;
    invocation.summaries.borrow_mut().push(summary);
    reports::write(&output.reports, &invocation.summaries.borrow())?;
    kept.map(|()| exit).map_err(|e| Stop::from_error(Exit::Failure, &e))
}

/// Summary and graphs of a run that was interrupted or failed, and how to continue it.
pub(super) fn conclude_unfinished(
    error: &Error,
    plan: &Plan,
    invocation: &Invocation<'_>,
    directory: &RunDirectory,
    reporter: &Reporter,
) -> Result<Exit, Stop> {
    if matches!(error, Error::Interrupted) {
        // A second interrupt means "now": graphs can be drawn later.
        conclude(invocation, directory, reporter, invocation.interrupt.count() < 2, Some("interrupted"))?;
        if invocation.measuring.is_some() && invocation.interrupt.count() < 2 {
            reporter
                .say(&format!("ended; what was measured is in {}, and the same command continues it", directory.path.display()));
            return Ok(Exit::Success);
        }
        if invocation.style != Style::Quiet {
            tell(format_args!("interrupted; what was completed is in {}", directory.path.display()));
            tell(format_args!("continue with: runner resume {}", directory.path.display()));
        }
        return Ok(Exit::Interrupted);
    }
    // Completed repetitions are worth a summary, if there is still room for one. What happened first is reported first.
    let Stop { mut message, exit } = failure(plan, error);
    if matches!(error, Error::Supervise(crate::supervise::Error::GuardGone) | Error::NoMachine { .. }) {
        message += &format!("\nwhat was completed is kept; continue with: runner resume {}", directory.path.display());
    }
    if let Err(stop) = conclude(invocation, directory, reporter, true, Some(&message)) {
        message += &format!(
            "\nthe summary or graphs of {} could not be written: {}; `runner graph {}` writes them later",
            directory.path.display(),
            stop.message,
            directory.path.display()
        );
    }
    Err(Stop { message, exit })
}
