//! `runner run` and `runner repeat`: execute experiments, then summarize and draw them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::execute::{self, Invocation, RunStart};
use super::hosts::{self, OverHosts};
use super::prepare::prepare;
use super::progress::Style;
use super::serve;
use super::{Stop, again, ceiling, cluster, plan_of, plan_of_shard, report_all, require_utf8_path};
use crate::analysis::compare::MOST_ROUNDS;
use crate::cli;
use crate::exit::Exit;
use crate::plan::{Decide, Factor, Plan, Repeat};
use crate::plan_read::Options;
use crate::record::manifest::Choice;
use crate::vocabulary::errors::tell;
use crate::vocabulary::metric::catalogue;
use crate::vocabulary::units;
use crate::vocabulary::{Metric, Shard};

/// Executes every file in turn. All of them are checked before the first is started.
pub(super) fn run(args: &cli::Run) -> Result<Exit, Stop> {
    let options = Options {
        settings: args.choice.settings.clone(),
        repetitions: args.choice.repetitions,
        seed: args.choice.seed,
        keeps_snapshots: true,
        ..Options::default()
    };
    if let Some(over) = over_hosts(&args.cluster, &args.files, &options)? {
        let _serving = serve::during(&args.serving, args.out.clone())?;
        return hosts::execute(
            over,
            &args.output,
            &args.stop,
            |_| Ok(()),
            |_, choice| Ok(RunStart::New { out: &args.out, choice }),
        );
    }
    if args.cluster.on.is_some() {
        let words = cluster_words("run", &args.files, &options, None)?;
        let plan = plan_of_shard(&args.files[0], &options)?;
        return cluster::execute(&plan, &args.cluster, &complete(words, &plan, &args.stop), &args.out, &args.output);
    }
    let plans = report_all(args.files.iter().map(|file| plan(file, &options, args.shard)))?;
    let (fail_fast, keep_going, shard) = (args.stop.fail_fast, args.stop.keep_going, args.shard);
    // Whoever merges shards wants to know whether their nodes are equally fast.
    let ceiling_per_s = shard.and_then(|_| ceiling::ceiling());
    let invocation = Invocation { fail_fast, keep_going, shard, ceiling_per_s, ..prepare(&plans, &args.output)? };
    let _serving = serve::during(&args.serving, args.out.clone())?;
    execute_each(&plans, &options, &args.out, &invocation)
}

/// The scenario, if `--on` says where its roles are, and not where its rounds are executed.
fn over_hosts<'a>(cluster: &'a cli::Cluster, files: &'a [PathBuf], options: &Options) -> Result<Option<OverHosts<'a>>, Stop> {
    let Some(on) = &cluster.on else { return Ok(None) };
    let [file] = files else {
        return Err(Stop::new(Exit::InvalidInput, "`--on` executes one scenario at a time: name one file"));
    };
    let without = |option: &str, place: &str| {
        let message = format!("`{option}` has no meaning with `--on {on}`: it is for `--on {place}`");
        Err(Stop::new(Exit::InvalidInput, message))
    };
    if cluster.bring && *on == cli::On::Netns {
        return without("--bring", "ssh:…` and `--on slurm");
    }
    if !cluster.slurm.is_empty() && *on != cli::On::Slurm {
        return without("--slurm", "slurm");
    }
    let over = OverHosts::read(file, options.clone(), cluster)?;
    let has_roles = !over.roles.is_empty();
    if has_roles && (cluster.detach || cluster.nodes.is_some()) {
        let message =
            "`--detach` and `--nodes` share out rounds; the scenario has `hosts`, which say how many machines a round needs";
        return Err(Stop::new(Exit::InvalidInput, message));
    }
    Ok((has_roles || *on != cli::On::Slurm).then_some(over))
}

/// The command line of a shard that is executed elsewhere, without its seed.
fn cluster_words(command: &str, files: &[PathBuf], options: &Options, metric: Option<&str>) -> Result<Vec<String>, Stop> {
    let [file] = files else {
        return Err(Stop::new(Exit::InvalidInput, "`--on` executes one scenario at a time: name one file"));
    };
    require_utf8_path("the scenario", file)?;
    let mut words = vec![command.to_owned(), file.display().to_string()];
    words.extend(options.settings.iter().flat_map(|setting| ["--set".to_owned(), setting.clone()]));
    words.extend(options.repetitions.iter().flat_map(|rounds| ["-n".to_owned(), rounds.to_string()]));
    words.extend(metric.iter().flat_map(|metric| ["--metric".to_owned(), (*metric).to_owned()]));
    Ok(words)
}

/// All shards have the seed of the plan, and stop for the same reasons.
fn complete(mut words: Vec<String>, plan: &Plan, stop: &cli::StopEarly) -> Vec<String> {
    words.extend(["--seed".to_owned(), plan.seed.to_string()]);
    words.extend(stop.fail_fast.then(|| "--fail-fast".to_owned()));
    words.extend(stop.keep_going.then(|| "--keep-going".to_owned()));
    words
}

/// The plan of a file, or of a shard of it.
fn plan(file: &Path, options: &Options, shard: Option<Shard>) -> Result<Plan, Stop> {
    let Some(shard) = shard else { return plan_of(file, options) };
    let plan = plan_of_shard(file, options)?;
    if shard.count(plan.repetitions) == 0 {
        let message = format!(
            "`--shard {shard}`: {} has {} rounds, so nothing is left for this shard; expected at most as many shards as rounds",
            plan.experiment, plan.repetitions
        );
        return Err(Stop::new(Exit::InvalidInput, message));
    }
    Ok(plan)
}

/// Until when rounds are repeated, and in how many sessions.
struct RepeatUntil {
    /// Until comparisons are decided, instead of until means are known.
    decides: bool,
    /// Until the interval of every mean reaches no further than this share of the mean.
    until: Option<f64>,
    /// The smallest difference that matters to a decision, as a share.
    threshold: f64,
    /// The pause between two sessions.
    pause: Duration,
    budget: Option<Duration>,
    /// Rounds after which repeating ends in any case; `None`: those of the scenario.
    most: Option<u32>,
}

/// Reads the options that say how long to repeat.
fn repeat_until(args: &cli::Repeat) -> Result<RepeatUntil, Stop> {
    let wrong = |message: String| Stop::new(Exit::InvalidInput, message);
    let decides = args.until.as_deref() == Some("decided");
    let until = match &args.until {
        None => None,
        Some(_) if decides => None,
        Some(text) => Some(
            units::parse_percent(text.trim_start_matches('±'))
                .filter(|share| *share > 0.0)
                .ok_or_else(|| wrong(format!("`--until {text}`: expected a percentage above 0, such as `2%`, or `decided`")))?,
        ),
    };
    let threshold = units::parse_percent(&args.threshold)
        .filter(|share| *share > 0.0 && *share < 1.0)
        .ok_or_else(|| wrong(format!("`--threshold {}`: expected a percentage above 0, such as `5%`", args.threshold)))?;
    if !decides && (args.by.is_some() || args.baseline.is_some()) {
        return Err(wrong("`--by` and `--baseline` say what is decided: they need `--until decided`".to_owned()));
    }
    let pause = match &args.pause {
        None => Duration::ZERO,
        Some(text) => {
            units::parse_duration(text).ok_or_else(|| wrong(format!("`--pause {text}`: expected a time, such as `10m`")))?
        }
    };
    if args.sessions == 0 {
        return Err(wrong("`--sessions 0`: expected at least 1".to_owned()));
    }
    let budget = match &args.budget {
        None => None,
        Some(text) => Some(
            units::parse_duration(text)
                .filter(|time| !time.is_zero())
                .ok_or_else(|| wrong(format!("`--for {text}`: expected a time, such as `30m`")))?,
        ),
    };
    if args.least < 2 {
        return Err(wrong(format!("`--least {}`: expected at least 2, one repetition has no interval", args.least)));
    }
    if until.is_some() && (args.least as usize) < super::known::FEWEST {
        let fewest = super::known::FEWEST;
        return Err(wrong(format!(
            "`--least {}` with `--until`: expected at least {fewest}, fewer rounds do not say how well a mean is known",
            args.least
        )));
    }
    let most = match (args.rounds, until, budget) {
        (Some(rounds), ..) => rounds,
        // An hour of repetitions of a third of a second.
        (None, _, Some(_)) => 10_000,
        (None, Some(_), None) => MOST_ROUNDS,
        (None, None, None) if decides => MOST_ROUNDS,
        // With `--sessions`, each session has as many rounds as the scenario.
        (None, None, None) if args.sessions > 1 => 0,
        (None, None, None) => {
            return Err(wrong("how often? expected `-n 100`, `--until 2%`, `--until decided` or `--for 30m`".to_owned()));
        }
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
    if decides && most < FIRST_LOOK {
        return Err(wrong(format!(
            "`-n {most}` with `--until decided`: expected at least {FIRST_LOOK}, the rounds of the first look"
        )));
    }
    let most = if most == 0 && args.rounds.is_none() { None } else { Some(most) };
    Ok(RepeatUntil { decides, until, threshold, pause, budget, most })
}

/// Executes every file in turn, round after round.
pub(super) fn repeat(args: &cli::Repeat) -> Result<Exit, Stop> {
    let RepeatUntil { decides, until, threshold, pause, budget, most } = repeat_until(args)?;
    let again = if args.files.is_empty() { Some(again::what_to_repeat(&args.out)?) } else { None };
    let (files, settings) = match again {
        // The last run is repeated as it was run, unless something else is chosen.
        Some(again) => {
            let settings = if args.settings.is_empty() { again.settings } else { args.settings.clone() };
            if !args.output.quiet {
                let chosen: String = settings.iter().map(|setting| format!(" --set {setting}")).collect();
                tell(format_args!("repeating {}{chosen}, {}", again.file.display(), again.why));
            }
            (vec![again.file], settings)
        }
        None => (args.files.clone(), args.settings.clone()),
    };
    let options = Options {
        settings,
        repetitions: most,
        seed: args.seed,
        repeat: Some(Repeat {
            metric: Metric::Throughput,
            until,
            least: args.least,
            budget_s: budget.map(|b| b.as_secs_f64()),
            decide: None,
            endless: false,
        }),
        keeps_snapshots: true,
        ..Options::default()
    };
    if let Some(over) = over_hosts(&args.cluster, &files, &options)? {
        if args.sessions > 1 {
            let message = "`--sessions` with `--on` and `hosts`: expected one session at a time";
            return Err(Stop::new(Exit::InvalidInput, message));
        }
        let adjust = |plan: &mut Plan| aim(plan, args, decides, threshold);
        return hosts::execute(over, &args.output, &args.stop, adjust, |_, choice| Ok(RunStart::New { out: &args.out, choice }));
    }
    if args.cluster.on.is_some() {
        if until.is_some() || decides || args.budget.is_some() || args.sessions > 1 {
            let message = "`--on` needs a number of rounds, which is shared out: expected `-n N` alone";
            return Err(Stop::new(Exit::InvalidInput, message));
        }
        let words = cluster_words("repeat", &files, &options, args.metric.as_deref())?;
        let plan = plan_of_shard(&files[0], &options)?;
        return cluster::execute(&plan, &args.cluster, &complete(words, &plan, &args.stop), &args.out, &args.output);
    }
    let mut plans = report_all(files.iter().map(|file| plan(file, &options, args.shard)))?;
    for plan in &mut plans {
        aim(plan, args, decides, threshold)?;
    }
    sessions(&plans, &options, args, pause)
}

/// What a plan is repeated for.
fn aim(plan: &mut Plan, args: &cli::Repeat, decides: bool, threshold: f64) -> Result<(), Stop> {
    let metric = args
        .metric
        .as_deref()
        .map(|name| metric("--metric", name))
        .or_else(|| plan.primary.clone())
        .unwrap_or(Metric::Throughput);
    require_metric(plan, &metric)?;
    let decide = if decides { Some(decide(plan, args, threshold)?) } else { None };
    if let Some(repeat) = &mut plan.repeat {
        (repeat.metric, repeat.decide) = (metric, decide);
    }
    Ok(())
}

/// The rounds after which the first look checks whether a comparison is decided.
const FIRST_LOOK: u32 = 5;

/// What `--until decided` decides for a plan.
fn decide(plan: &Plan, args: &cli::Repeat, threshold: f64) -> Result<Decide, Stop> {
    let wrong = |message: String| Stop::new(Exit::InvalidInput, format!("{}: {message}", plan.experiment));
    let several: Vec<&Factor> = plan.factors.iter().filter(|f| f.levels.len() > 1).collect();
    let names = |factors: &[&Factor]| factors.iter().map(|f| format!("`{}`", f.name)).collect::<Vec<_>>().join(", ");
    let factor = match (&args.by, several.as_slice()) {
        (Some(by), _) => several.iter().find(|f| f.name == *by).copied().ok_or_else(|| {
            wrong(format!(
                "`--by {by}`: there is no factor of this name with several levels, expected one of {}",
                names(&several)
            ))
        })?,
        (None, [only]) => *only,
        (None, []) => return Err(wrong("`--until decided` compares levels, and no factor has several".to_owned())),
        (None, _) => return Err(wrong(format!("which levels are compared? expected `--by` with one of {}", names(&several)))),
    };
    let labels = || factor.levels.iter().map(|l| format!("`{}`", l.label)).collect::<Vec<_>>().join(", ");
    let baseline = match &args.baseline {
        Some(label) if factor.levels.iter().any(|l| l.label == *label) => label.clone(),
        Some(label) => {
            return Err(wrong(format!(
                "`--baseline {label}`: `{}` has no such level, expected one of {}",
                factor.name,
                labels()
            )));
        }
        None => factor.levels[0].label.clone(),
    };
    Ok(Decide { by: factor.name.clone(), baseline, threshold })
}

/// Repeats session after session; each session is a separate run.
fn sessions(plans: &[Plan], options: &Options, args: &cli::Repeat, pause: Duration) -> Result<Exit, Stop> {
    let (fail_fast, keep_going, shard) = (args.stop.fail_fast, args.stop.keep_going, args.shard);
    let ceiling_per_s = shard.and_then(|_| ceiling::ceiling());
    let invocation = Invocation { fail_fast, keep_going, shard, ceiling_per_s, ..prepare(plans, &args.output)? };
    let mut exit = Exit::Success;
    for session in 1..=args.sessions {
        if session > 1 && !wait(&invocation, pause) {
            return Ok(Exit::Interrupted);
        }
        match execute_each(plans, options, &args.out, &invocation)? {
            Exit::Interrupted => return Ok(Exit::Interrupted),
            other => exit = more_severe(exit, other),
        }
        if invocation.failed_fast.get() {
            return Ok(Exit::Repetitions);
        }
    }
    if args.sessions > 1 && invocation.style == Style::People {
        for plan in plans {
            let runs: Vec<String> = runs_of(&invocation, plan, &args.out).iter().map(|run| run.display().to_string()).collect();
            tell(format_args!("{} sessions of {}: {}", args.sessions, plan.experiment, runs.join(",")));
        }
    }
    Ok(exit)
}

/// The runs of an experiment that this invocation has made.
pub(super) fn runs_of(invocation: &Invocation<'_>, plan: &Plan, out: &Path) -> Vec<PathBuf> {
    let summaries = invocation.summaries.borrow();
    let mine = summaries.iter().filter(|s| s.experiment == plan.experiment);
    mine.map(|s| out.join(&s.experiment).join(&s.run)).collect()
}

/// Waits; returns false if interrupted meanwhile.
pub(super) fn wait(invocation: &Invocation<'_>, pause: Duration) -> bool {
    invocation.runtime.block_on(async {
        tokio::select! {
            biased;
            () = invocation.interrupt.asked(1) => false,
            () = tokio::time::sleep(pause) => true,
        }
    })
}

/// Refuses a metric that no workload has.
fn require_metric(plan: &Plan, metric: &Metric) -> Result<(), Stop> {
    let searched = || plan.cells.iter().flat_map(|c| &c.workloads).any(|w| w.load.find.is_some());
    match metric {
        Metric::Limit if !searched() => {
            let message = format!("{} has no metric `limit`: no workload searches for one with `find`", plan.experiment);
            return Err(Stop::new(Exit::InvalidInput, message));
        }
        Metric::Named(_) => {}
        _ => return Ok(()),
    }
    let workloads = plan.cells.iter().flat_map(|c| &c.workloads).flat_map(|workload| workload.protocol().metrics());
    let of_taps = plan.cells.iter().flat_map(|c| &c.taps).flat_map(|tap| tap.metrics.iter().map(|metric| metric.named()));
    let brought: std::collections::BTreeSet<String> = workloads.chain(of_taps).map(|metric| metric.name).collect();
    if brought.contains(metric.name()) {
        return Ok(());
    }
    let help = suggest_metric(metric.name(), brought.iter().map(String::as_str));
    Err(Stop::new(Exit::InvalidInput, format!("{} has no metric `{}`: {help}", plan.experiment, metric.name())))
}

/// The metric that an option names. Another spelling is accepted with a note, as in a scenario.
pub(super) fn metric(option: &str, name: &str) -> Metric {
    if let Some(meant) = Metric::respelled(name) {
        tell(format_args!("note: {option}: `{name}` is read as `{meant}`, which is how it is spelled here"));
    }
    Metric::by_name(name)
}

/// The help for a metric that does not exist: the one that was probably meant. `brought`: metrics of commands.
pub(super) fn suggest_metric<'n>(name: &str, brought: impl Iterator<Item = &'n str>) -> String {
    // `p99` is what a table of results calls it.
    if let Some(row) = catalogue().iter().find(|row| row.name == format!("response_{name}")) {
        return format!("did you mean `{}`?", row.name);
    }
    let near = catalogue()
        .iter()
        .map(|row| row.name.as_str())
        .chain(brought)
        .map(|known| (strsim::jaro_winkler(known, name), known))
        .filter(|(similarity, _)| *similarity > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    near.map_or_else(
        || "expected one such as `throughput` or `response_p99`".to_owned(),
        |(_, known)| format!("did you mean `{known}`?"),
    )
}

/// Executes each plan once.
pub(super) fn execute_each(plans: &[Plan], options: &Options, out: &Path, invocation: &Invocation<'_>) -> Result<Exit, Stop> {
    require_utf8_path("the directory of results (--out)", out)?;
    let mut exit = Exit::Success;
    for plan in plans {
        if invocation.interrupt.count() > 0 {
            return Ok(Exit::Interrupted);
        }
        let choice = Choice {
            settings: options.settings.clone(),
            repetitions: options.repetitions,
            shard: invocation.shard,
            ..Choice::default()
        };
        match invocation.runtime.block_on(execute::execute(plan, RunStart::New { out, choice }, invocation))? {
            Exit::Interrupted => return Ok(Exit::Interrupted),
            other => exit = more_severe(exit, other),
        }
        if invocation.failed_fast.get() {
            return Ok(Exit::Repetitions);
        }
    }
    Ok(exit)
}

/// The exit code for two runs: the more severe one.
fn more_severe(one: Exit, other: Exit) -> Exit {
    let rank = |exit: Exit| match exit {
        Exit::Success => 0,
        Exit::Inconclusive => 1,
        Exit::Repetitions => 2,
        Exit::Expectation => 3,
        _ => 4,
    };
    if rank(other) > rank(one) { other } else { one }
}
