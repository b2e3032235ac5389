//! `runner measure`: rounds without end, for months. It continues the run that it finds, or starts one.
//!
//! Serving the results meanwhile (`--serve`) is started in [`measure`], beside the run, and reads only what is on disk.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::execute::{self, RunStart};
use super::measuring::Measuring;
use super::{Stop, plan_of, prepare, require_utf8_path, resume, serve};
use crate::cli;
use crate::exit::Exit;
use crate::plan::{Plan, Repeat, revisions};
use crate::plan_read::Options;
use crate::record::files::read_json;
use crate::record::manifest::{Choice, Manifest};
use crate::record::write::{is_at_work, plan_json};
use crate::record::{FORMAT, PLAN_FORMAT, RunDirectory, difference};
use crate::vocabulary::errors::{chain, tell};
use crate::vocabulary::{Metric, units};

/// Measures until it is stopped.
pub(super) fn measure(args: &cli::Measure) -> Result<Exit, Stop> {
    let asked = Measuring { time: time_of("--for", args.time.as_deref())?, compact_after: compact_after(args)? };
    require_utf8_path("the directory of results (--out)", &args.out)?;
    let plan = plan_of(&args.file, &options(args))?;
    let (plan, earlier) = match earlier(args, &plan)? {
        Earlier::GoOn { path, plan, manifest } => (*plan, Some((path, manifest))),
        Earlier::Begin { why } => {
            say(args, &format!("a new run starts: {why}"));
            (plan, None)
        }
    };
    let mut invocation = prepare::prepare(std::slice::from_ref(&plan), &args.output)?;
    invocation.measuring = Some(asked);
    let start = match earlier {
        None => RunStart::New { out: &args.out, choice: Choice { settings: args.settings.clone(), ..Choice::default() } },
        Some((path, manifest)) => {
            let failed = |e| Stop::from_error(Exit::Failure, &e);
            let (directory, done, aside) = RunDirectory::reopen(&path, &plan).map_err(failed)?;
            say(args, &format!("{} continues after {} repetitions", path.display(), done.len()));
            for moved in aside {
                tell(format_args!("{} could not be read and was moved aside", moved.display()));
            }
            RunStart::Resume { directory, manifest, done, used: Duration::ZERO, longest: Duration::ZERO }
        }
    };
    // Measuring neither waits for serving nor fails with it.
    let serving = serve::during(&args.serving, args.out.join(&plan.experiment))?;
    let exit = invocation.runtime.block_on(execute::execute(&plan, start, &invocation));
    drop(serving);
    exit
}

fn say(args: &cli::Measure, words: &str) {
    if !args.output.quiet && !args.output.json {
        tell(words);
    }
}

fn time_of(option: &str, text: Option<&str>) -> Result<Option<Duration>, Stop> {
    let Some(text) = text else { return Ok(None) };
    let time = units::parse_duration(text).filter(|time| !time.is_zero());
    let wrong = || Stop::new(Exit::InvalidInput, format!("`{option} {text}`: expected a time, such as `90d` or `12h`"));
    time.map(Some).ok_or_else(wrong)
}

fn compact_after(args: &cli::Measure) -> Result<Option<Duration>, Stop> {
    time_of("--compact-after", args.compact_after.as_deref())
}

fn options(args: &cli::Measure) -> Options {
    let repeat = Repeat { metric: Metric::Throughput, until: None, least: 1, budget_s: None, decide: None, endless: true };
    Options {
        settings: args.settings.clone(),
        // The plan holds one round, and every round is like it.
        repetitions: Some(1),
        seed: args.seed,
        repeat: Some(repeat),
        keeps_snapshots: true,
        ..Options::default()
    }
}

/// What to do with what an earlier invocation left.
enum Earlier {
    /// A run continues.
    GoOn { path: PathBuf, plan: Box<Plan>, manifest: Box<Manifest> },
    /// A new run starts.
    Begin { why: String },
}

/// Looks at the newest run of the experiment.
fn earlier(args: &cli::Measure, plan: &Plan) -> Result<Earlier, Stop> {
    let begin = |why: String| Ok(Earlier::Begin { why });
    let parent = args.out.join(&plan.experiment);
    let Some(path) = newest(&parent) else { return begin(format!("there is none in {} yet", parent.display())) };
    let name = path.display();
    let read = read_json::<serde_json::Value>(&path.join("plan.json"))
        .and_then(|raw| Ok((raw, read_json::<Manifest>(&path.join("manifest.json"))?)));
    let (raw, manifest) = match read {
        Ok(read) => read,
        Err(error) => return begin(format!("the newest one, {name}, cannot be read: {}", chain(&error))),
    };
    if raw.pointer("/repeat/endless") != Some(&true.into()) {
        return begin(format!("the newest one, {name}, was not made by `measure`"));
    }
    if manifest.format != FORMAT || raw["format"] != PLAN_FORMAT {
        return begin(format!("the newest one, {name}, was made by another version of runner"));
    }
    // Relative paths in a scenario mean something else in another directory.
    let here = std::env::current_dir().map(|d| d.display().to_string()).ok();
    if manifest.directory != here {
        return begin(format!("the newest one, {name}, was started in another directory"));
    }
    let seed = raw["seed"].as_u64();
    let again = Options { seed: args.seed.or(seed), commits: revisions::recorded(&raw), ..options(args) };
    let plan = plan_of(&args.file, &again)?;
    let json = plan_json(&plan).map_err(|e| Stop::from_error(Exit::InvalidInput, &e))?;
    if let Some(first) = difference::between(&raw, &json, &resume::IGNORED).first() {
        return begin(format!("the plan has changed since {name} was started: {first}"));
    }
    let began = crate::record::manifest::since_1970(&manifest.started_at);
    let used = began.map(|began| super::measuring::clocks().wall.saturating_sub(began));
    if let (Some(used), Some(time)) = (used, time_of("--for", args.time.as_deref())?)
        && used >= time
        && !is_at_work(&path)
    {
        return begin(format!("the time of the newest one, {name}, is up"));
    }
    Ok(Earlier::GoOn { path, plan: Box::new(plan), manifest: Box::new(manifest) })
}

/// The newest run in the folder of an experiment.
fn newest(parent: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(parent).ok()?;
    let runs = entries.flatten().map(|entry| entry.path()).filter(|path| path.join("plan.json").is_file());
    crate::record::read::newest(runs)
}
