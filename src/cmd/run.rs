//! `runner run` and `runner repeat`: execute experiments, then summarize and draw them.

use std::path::{Path, PathBuf};

use super::execute::{self, Begin, Ground};
use super::progress::Style;
use super::{Stop, fixture, plan_of, report_all};
use crate::analysis::figures::metric_of;
use crate::cli;
use crate::executor::Interrupt;
use crate::exit::Exit;
use crate::plan::programs::FIXTURES_PROGRAM;
use crate::plan::{Options, Plan, Repeat};
use crate::record::Metric;
use crate::record::manifest::Choice;
use crate::units;

/// Executes every file in turn. All of them are checked before the first is started.
pub(super) fn run(args: &cli::Run) -> Result<Exit, Stop> {
    let options = Options {
        settings: args.choice.settings.clone(),
        repetitions: args.choice.repetitions,
        seed: args.choice.seed,
        keeps_snapshots: true,
        ..Options::default()
    };
    let plans = report_all(args.files.iter().map(|file| plan_of(file, &options)))?;
    all(&plans, &options, &args.out, &args.output)
}

/// Executes every file in turn, round after round.
pub(super) fn repeat(args: &cli::Repeat) -> Result<Exit, Stop> {
    let wrong = |message: String| Stop::new(Exit::InvalidInput, message);
    let until = match &args.until {
        None => None,
        Some(text) => Some(
            units::parse_percent(text)
                .filter(|share| *share > 0.0)
                .ok_or_else(|| wrong(format!("`--until {text}`: expected a percentage above 0, as `2%`")))?,
        ),
    };
    let budget = match &args.budget {
        None => None,
        Some(text) => Some(
            units::parse_duration(text)
                .filter(|time| !time.is_zero())
                .ok_or_else(|| wrong(format!("`--for {text}`: expected a time, as `30m`")))?,
        ),
    };
    if args.least < 2 {
        return Err(wrong(format!("`--least {}`: expected at least 2, one repetition has no interval", args.least)));
    }
    let most = match (args.rounds, until, budget) {
        (Some(rounds), ..) => rounds,
        // An hour of repetitions of a third of a second.
        (None, _, Some(_)) => 10_000,
        (None, Some(_), None) => 100,
        (None, None, None) => return Err(wrong("how often? expected `-n 100`, `--until 2%` or `--for 30m`".to_owned())),
    };
    if until.is_some() && most < args.least {
        return Err(wrong(match args.rounds {
            Some(_) => {
                format!("`-n {most}` is less than the {} rounds of `--least`: expected `--least {most}` or less", args.least)
            }
            None => format!(
                "`--least {}` is more than the {most} rounds after which `--until` gives up: expected a larger `-n`",
                args.least
            ),
        }));
    }
    let options = |metric| Options {
        settings: args.settings.clone(),
        repetitions: Some(most),
        seed: args.seed,
        repeat: Some(Repeat { metric, until, least: args.least, budget_s: budget.map(|b| b.as_secs_f64()) }),
        keeps_snapshots: true,
        ..Options::default()
    };
    let metric = metric_of(&args.metric);
    let options = options(metric);
    let plans = report_all(args.files.iter().map(|file| plan_of(file, &options)))?;
    for plan in &plans {
        known(plan, metric)?;
    }
    all(&plans, &options, &args.out, &args.output)
}

/// Says when no workload has a metric.
fn known(plan: &Plan, metric: Metric) -> Result<(), Stop> {
    let searched = || plan.cells.iter().flat_map(|c| &c.workloads).any(|w| w.load.find.is_some());
    match metric {
        Metric::Limit if !searched() => {
            let message = format!("{} has no metric `limit`: no workload searches for one with `find`", plan.experiment);
            return Err(Stop::new(Exit::InvalidInput, message));
        }
        Metric::Command(_) => {}
        _ => return Ok(()),
    }
    let brought: std::collections::BTreeSet<String> =
        plan.cells.iter().flat_map(|c| &c.workloads).flat_map(crate::plan::Workload::metrics).collect();
    if brought.contains(metric.name()) {
        return Ok(());
    }
    let help = like(metric.name(), brought.iter().map(String::as_str));
    Err(Stop::new(Exit::InvalidInput, format!("{} has no metric `{}`: {help}", plan.experiment, metric.name())))
}

/// What a metric may be that is not there; `brought`: those of commands.
pub(super) fn like<'n>(name: &str, brought: impl Iterator<Item = &'n str>) -> String {
    let near = Metric::all()
        .map(|(known, _)| known)
        .chain(brought)
        .map(|known| (strsim::jaro_winkler(known, name), known))
        .filter(|(similarity, _)| *similarity > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    near.map_or_else(
        || "expected one as `throughput` or `response_p99`".to_owned(),
        |(_, known)| format!("did you mean `{known}`?"),
    )
}

fn all(plans: &[Plan], options: &Options, out: &Path, output: &cli::Output) -> Result<Exit, Stop> {
    let ground = prepare(plans, output)?;
    let mut exit = Exit::Success;
    for plan in plans {
        if ground.interrupt.count() > 0 {
            return Ok(Exit::Interrupted);
        }
        let choice = Choice { settings: options.settings.clone(), repetitions: options.repetitions };
        match ground.runtime.block_on(execute::execute(plan, Begin::New { out, choice }, &ground))? {
            Exit::Interrupted => return Ok(Exit::Interrupted),
            other => exit = worse(exit, other),
        }
    }
    Ok(exit)
}

/// What is told of two endings.
fn worse(one: Exit, other: Exit) -> Exit {
    let rank = |exit: Exit| match exit {
        Exit::Success => 0,
        Exit::Inconclusive => 1,
        Exit::Repetitions => 2,
        Exit::Expectation => 3,
        _ => 4,
    };
    if rank(other) > rank(one) { other } else { one }
}

/// What all plans need before the first of them is executed.
pub(super) fn prepare<'a>(plans: &[Plan], output: &'a cli::Output) -> Result<Ground<'a>, Stop> {
    let style = match (output.quiet, output.json) {
        (true, _) => Style::Quiet,
        (_, true) => Style::Json,
        _ => Style::People,
    };
    let fixtures = fixtures(plans)?;
    plans.iter().try_for_each(enough_open_files)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Stop::new(Exit::Failure, format!("cannot start the runtime: {e}")))?;
    let interrupt = runtime.block_on(async { Interrupt::listen() }).map_err(|e| Stop::from_error(Exit::Failure, &e))?;
    Ok(Ground { output, style, fixtures, interrupt, runtime, summaries: std::cell::RefCell::new(Vec::new()) })
}

/// Where the fixtures are, if any plan needs them.
fn fixtures(plans: &[Plan]) -> Result<PathBuf, Stop> {
    let is_fixture = |argv: &[crate::plan::Template]| argv.first().is_some_and(|p| p.to_text() == FIXTURES_PROGRAM);
    let needed = plans
        .iter()
        .flat_map(|p| &p.cells)
        .filter(|c| c.skipped.is_none())
        .flat_map(|c| &c.targets)
        .any(|t| t.replicas.iter().any(|r| is_fixture(&r.argv)));
    if needed { fixture::program().map_err(|m| Stop::new(Exit::Failure, m)) } else { Ok(PathBuf::new()) }
}

/// Files that runner itself needs besides connections.
pub(super) const OWN_FILES: u64 = 200;

/// Raises the limit on open files as far as allowed; returns it.
pub(super) fn raise_open_files() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    limit.maximum.unwrap_or(u64::MAX)
}

/// Says before the run when connections will not fit.
fn enough_open_files(plan: &Plan) -> Result<(), Stop> {
    let allowed = raise_open_files();
    for cell in &plan.cells {
        let connections: u64 = cell.workloads.iter().map(|w| u64::from(w.load.arrivals.connections())).sum();
        let replicas: u64 = cell.targets.iter().map(|t| t.replicas.len() as u64 * 4).sum();
        fitting(&format!("the cell {}", cell.id), connections, replicas, allowed)?;
    }
    Ok(())
}

/// Says when connections do not fit into the limit on open files.
pub(super) fn fitting(what: &str, connections: u64, others: u64, allowed: u64) -> Result<(), Stop> {
    if connections + others + OWN_FILES <= allowed {
        return Ok(());
    }
    Err(Stop::new(
        Exit::InvalidInput,
        format!(
            "{what} needs {connections} connections, but this machine allows {allowed} open files, \
             of which {} are left for connections (`ulimit -Hn`)",
            allowed.saturating_sub(others + OWN_FILES)
        ),
    ))
}
