//! `runner resume`: continues a run where it ended, doing only what is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::execute::{self, Invocation, RunStart};
use super::hosts::{self, OverHosts};
use super::known::Known;
use super::{Stop, cluster, plan_from, plan_of, prepare, print, reports, summarize};
use crate::cli;
use crate::exit::Exit;
use crate::plan::order::{Turn, of_shard, sequence};
use crate::plan::{Plan, revisions};
use crate::plan_read::{Document, Options};
use crate::record::difference;
use crate::record::files::read_json;
use crate::record::manifest::{Choice, Manifest};
use crate::record::read::PlanRecord;
use crate::record::write::plan_json;
use crate::record::{FORMAT, PLAN_FORMAT, RunDirectory, RunRecord, Status};
use crate::vocabulary::errors::tell;

/// Continues a run.
pub(super) fn resume(args: &cli::Resume) -> Result<Exit, Stop> {
    if let Some(continued) = cluster::resume(&args.path, &args.output) {
        return continued;
    }
    let wrong = |message: String| Stop::new(Exit::InvalidInput, message);
    let runs = summarize::runs(std::slice::from_ref(&args.path))?;
    let [path] = runs.as_slice() else {
        let names: Vec<String> = runs.iter().map(|r| format!("  {}", r.display())).collect();
        return Err(wrong(format!("{} holds runs of several experiments; name one:\n{}", args.path.display(), names.join("\n"))));
    };
    let path = path.canonicalize().unwrap_or_else(|_| path.clone());
    super::require_utf8_path("the directory of the run", &path)?;
    let record = RunRecord::open(&path).map_err(|e| Stop::from_error(Exit::InvalidInput, &e))?;
    let is_current = record.manifest.format == FORMAT && record.raw_plan["format"] == PLAN_FORMAT;
    let (Some(choice), true) = (&record.manifest.choice, is_current) else {
        return Err(wrong(format!(
            "{} was made by an older runner, which did not record everything that is needed to continue (format {}); start a new run",
            path.display(),
            record.manifest.format
        )));
    };
    // Paths of a scenario are relative to the directory in which the run was started, those of the command line to this one.
    let graphs = std::path::absolute(&args.output.graphs).unwrap_or_else(|_| args.output.graphs.clone());
    let here = |file: &Option<std::path::PathBuf>| file.as_ref().map(|f| std::path::absolute(f).unwrap_or_else(|_| f.clone()));
    let reports = cli::Reports { junit: here(&args.output.reports.junit), markdown: here(&args.output.reports.markdown) };
    let cli::Output { no_graphs, no_report, svg, quiet, json, verbose, .. } = args.output;
    let otlp = args.output.otlp.clone();
    let output = cli::Output { graphs, no_graphs, no_report, svg, reports, otlp, quiet, json, verbose };
    if let Some(directory) = &record.manifest.directory {
        std::env::set_current_dir(directory)
            .map_err(|e| wrong(format!("the run was started in {directory}, which no longer exists: {e}")))?;
    }
    let options = Options {
        settings: choice.settings.clone(),
        // `measure` plans one round, and all its rounds are the same.
        repetitions: if is_endless(&record.plan) { Some(1) } else { choice.repetitions },
        seed: Some(record.plan.seed),
        repeat: record.plan.repeat.clone(),
        // A branch may point to another commit by now.
        commits: revisions::recorded(&record.raw_plan),
        keeps_snapshots: true,
        ..Options::default()
    };
    if let Some(on) = &choice.on {
        return resume_over_hosts(args, &path, &record, (on, choice), options, &output);
    }
    let plan = plan(&path, Path::new(&record.manifest.source), args.as_recorded, &options)?;
    same_plan(&path, &record, &plan)?;

    if is_endless(&record.plan) {
        return salvage_measured(&path, &plan, &record.manifest);
    }
    let (directory, done) = reopened(&path, &plan)?;
    let everything = of_shard(sequence(&plan), choice.shard);
    let known = match &plan.repeat {
        Some(repeat) => Known::open(&path, repeat).map_err(|e| Stop::from_error(Exit::Failure, &e))?.is_enough(),
        None => false,
    };
    if known || everything.iter().all(|turn| done.contains(turn)) {
        return complete(&path, done.len(), known, &output);
    }
    let start = resumed(&path, &record, directory, done)?;
    let invocation = Invocation {
        fail_fast: args.stop.fail_fast,
        keep_going: args.stop.keep_going,
        ..prepare::prepare(std::slice::from_ref(&plan), &output)?
    };
    invocation.runtime.block_on(execute::execute(&plan, start, &invocation))
}

/// The directory of a run, and what of the plan is done.
fn reopened(path: &Path, plan: &Plan) -> Result<(RunDirectory, BTreeSet<Turn>), Stop> {
    let (directory, done, aside) = RunDirectory::reopen(path, plan).map_err(|e| Stop::from_error(Exit::Failure, &e))?;
    for moved in aside {
        tell(format_args!("{} could not be read and was moved aside; it is executed again", moved.display()));
    }
    Ok((directory, done))
}

/// Where a run goes on, with the time that it has used.
fn resumed<'s>(path: &Path, record: &RunRecord, directory: RunDirectory, done: BTreeSet<Turn>) -> Result<RunStart<'s>, Stop> {
    let used = record.repetitions.iter().map(|r| used(&r.status)).sum();
    let mut rounds: BTreeMap<u32, Duration> = BTreeMap::new();
    for repetition in &record.repetitions {
        *rounds.entry(repetition.status.repetition).or_default() += self::used(&repetition.status);
    }
    let longest = rounds.values().max().copied().unwrap_or_default();
    let manifest: Manifest = read_json(&path.join("manifest.json")).map_err(|e| Stop::from_error(Exit::Failure, &e))?;
    Ok(RunStart::Resume { directory, manifest: Box::new(manifest), done, used, longest })
}

/// The same over several machines, at the addresses that they had.
fn resume_over_hosts(
    args: &cli::Resume,
    path: &Path,
    record: &RunRecord,
    (on, choice): (&str, &Choice),
    options: Options,
    output: &cli::Output,
) -> Result<Exit, Stop> {
    let wrong = |message: String| Stop::new(Exit::InvalidInput, message);
    if args.as_recorded {
        return Err(wrong(
            "`--as-recorded` does not work with `hosts`: the machines need the files beside the scenario".to_owned(),
        ));
    }
    let on = on.parse().map_err(|why| wrong(format!("{} was executed on `{on}`: {why}", path.display())))?;
    let cluster = cli::Cluster { on: Some(on), bring: choice.bring, nodes: None, slurm: choice.slurm.clone(), detach: false };
    let file = PathBuf::from(&record.manifest.source);
    // Machines without a role come last, and have no node.
    let nodes = record.manifest.machines.iter().filter(|machine| machine.role.is_some()).map(|machine| machine.host.name.clone());
    let nodes = if cluster.on == Some(cli::On::Slurm) { nodes.collect() } else { Vec::new() };
    let over = OverHosts { nodes, ..OverHosts::read(&file, options, &cluster)? };
    hosts::execute(
        over,
        output,
        &args.stop,
        |_| Ok(()),
        |plan, _| {
            same_plan(path, record, plan)?;
            let (directory, done) = reopened(path, plan)?;
            resumed(path, record, directory, done)
        },
    )
}

/// Graphs and expectations do not change what is measured; the run keeps those with which it started.
pub(super) const IGNORED: [&str; 4] = ["source", "question", "graphs", "expect"];

/// Whether a run has no last repetition.
fn is_endless(plan: &PlanRecord) -> bool {
    plan.repeat.as_ref().is_some_and(|repeat| repeat.endless)
}

/// Makes repetitions of what a killed runner left. A run without a last repetition lacks nothing: `measure` continues it.
fn salvage_measured(run: &Path, plan: &Plan, manifest: &Manifest) -> Result<Exit, Stop> {
    let failed = |e| Stop::from_error(Exit::Failure, &e);
    let (directory, ..) = RunDirectory::reopen(run, plan).map_err(failed)?;
    let salvaged = directory.salvage(plan).map_err(failed)?;
    salvaged.iter().for_each(|one| tell(one.words()));
    let source = &manifest.source;
    tell(format_args!("{} has no last repetition; continue with: runner measure {source}", run.display()));
    Ok(Exit::Success)
}

/// Reports that nothing is left to do.
fn complete(run: &Path, there: usize, known: bool, output: &cli::Output) -> Result<Exit, Stop> {
    let (_, summary) = summarize::aggregate(run)?;
    let why = if known { "every interval is as narrow as `--until` asks, after" } else { "it has all" };
    if output.json {
        let summary = run.join("summary.json");
        print(&format!(
            "{}\n",
            json!({"event": "run-ends", "directory": run, "summary": summary, "graphs": [], "ended_by": "nothing is missing"})
        ));
    } else if !output.quiet {
        print(&format!("nothing is missing in {}: {why} {there} repetitions\n", run.display()));
    }
    reports::append(&output.reports, &summary)?;
    let exit = reports::verdict(&summary);
    reports::write(&output.reports, &[summary])?;
    Ok(exit)
}

fn used(status: &Status) -> Duration {
    Duration::from_nanos(status.timings.total_ns)
}

/// Makes the plan again, from the original scenario or from the copy in the run.
fn plan(run: &Path, source: &Path, as_recorded: bool, options: &Options) -> Result<Plan, Stop> {
    if as_recorded {
        let file = run.join("experiment.yaml");
        let text = std::fs::read_to_string(&file)
            .map_err(|e| Stop::new(Exit::InvalidInput, format!("cannot read {}: {e}", file.display())))?;
        return plan_from(source, Document::inline(&source.display().to_string(), &text), options);
    }
    if !source.exists() {
        let message = format!(
            "the scenario {} no longer exists; `--as-recorded` takes the copy in the run instead",
            std::path::absolute(source).unwrap_or_else(|_| source.to_owned()).display()
        );
        return Err(Stop::new(Exit::InvalidInput, message));
    }
    plan_of(source, options)
}

/// Refuses a plan that is not the one with which the run was started.
fn same_plan(run: &Path, record: &RunRecord, plan: &Plan) -> Result<(), Stop> {
    let plan = plan_json(plan).map_err(|e| Stop::from_error(Exit::InvalidInput, &e))?;
    let differences = difference::between(&record.raw_plan, &plan, &IGNORED);
    if differences.is_empty() {
        return Ok(());
    }
    let lines = difference::shortened(differences, 20);
    Err(Stop::new(
        Exit::InvalidInput,
        format!(
            "the plan has changed since {} was started, so the missing repetitions would not match the existing ones:\n{}\n\
             undo the change, or start a new run",
            run.display(),
            lines.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
        ),
    ))
}
