//! `runner run`: executes experiments, then summarizes and draws them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;

use super::check::{size, skips};
use super::progress::{Reporter, Style};
use super::{Stop, fixture, graph, print, read_plan, summarize};
use crate::analysis;
use crate::cli;
use crate::executor::{Error, Executor, Interrupt, Progress, actions};
use crate::exit::Exit;
use crate::load::passes;
use crate::plan::order::{Turn, sequence};
use crate::plan::programs::FIXTURES_PROGRAM;
use crate::plan::{Plan, Scratch};
use crate::record::manifest::Manifest;
use crate::record::{RunDirectory, Verdict};
use crate::supervise::Guard;

/// Executes every file in turn. All of them are checked before the first is started.
pub(super) fn run(args: &cli::Run) -> Result<Exit, Stop> {
    let style = match (args.quiet, args.json) {
        (true, _) => Style::Quiet,
        (_, true) => Style::Json,
        _ => Style::People,
    };
    let mut plans = Vec::new();
    let mut stopped = None;
    for file in &args.files {
        match read_plan(file, Some(&args.choice)) {
            Ok(plan) => plans.push(plan),
            Err(stop) => {
                if let Some(Stop { message, .. }) = stopped.replace(stop) {
                    eprintln!("error: {message}");
                }
            }
        }
    }
    if let Some(stop) = stopped {
        return Err(stop);
    }
    let fixtures = fixtures(&plans)?;
    plans.iter().try_for_each(enough_open_files)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Stop::new(Exit::Failure, format!("cannot start the runtime: {e}")))?;
    let mut exit = Exit::Success;
    let interrupt = runtime.block_on(async { Interrupt::listen() }).map_err(|e| Stop::from_error(Exit::Failure, &e))?;
    for plan in &plans {
        if interrupt.count() > 0 {
            return Ok(Exit::Interrupted);
        }
        let ended = runtime.block_on(execute(plan, args, style, &fixtures, &interrupt))?;
        match ended {
            Exit::Success => {}
            Exit::Interrupted => return Ok(Exit::Interrupted),
            other => exit = other,
        }
    }
    Ok(exit)
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

/// A directory below which scratch directories are made; removed at the end, by the guard if need be.
fn make_scratch(kind: Scratch) -> Result<PathBuf, Stop> {
    let base = match kind {
        Scratch::Disk => std::env::var_os("RUNNER_SCRATCH").map_or_else(std::env::temp_dir, PathBuf::from),
        Scratch::Memory => PathBuf::from("/dev/shm"),
    };
    let name = format!("runner-{}-{:x}", std::process::id(), super::fresh_seed() & 0xffff_ffff);
    let path =
        std::path::absolute(base.join(name)).map_err(|e| Stop::new(Exit::Failure, format!("no scratch directory: {e}")))?;
    let failed = |e| Stop::new(Exit::Failure, format!("cannot make the scratch directory {}: {e}", path.display()));
    std::fs::create_dir_all(&path).map_err(failed)?;
    Ok(path)
}

async fn execute(plan: &Plan, args: &cli::Run, style: Style, fixtures: &Path, interrupt: &Interrupt) -> Result<Exit, Stop> {
    let failure = |e: &dyn std::error::Error| Stop::from_error(Exit::Failure, e);
    let turns = sequence(plan);
    let mut reporter = Reporter::new(style, turns.len());
    reporter.say(&format!("{}: {}", plan.experiment, plan.question));
    reporter.say(&size(plan));
    let skipped = skips(plan);
    if !skipped.is_empty() {
        reporter.say(skipped.trim_end());
    }
    if turns.is_empty() {
        return Err(Stop::new(Exit::Failure, format!("{}: every cell is skipped, there is nothing to run", plan.experiment)));
    }

    // From here on the guard removes the scratch directory, however this ends.
    let guard = Guard::start().map_err(|e| failure(&e))?;
    let scratch = make_scratch(plan.scratch)?;
    guard.adopt(&scratch).await.map_err(|e| failure(&e))?;
    let programs: Vec<String> = {
        let needs = plan.cells.iter().filter(|c| c.skipped.is_none()).flat_map(|c| &c.targets).flat_map(|t| t.needs.clone());
        needs.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
    };
    let manifest = Manifest::collect(&plan.source.display().to_string(), &programs, &scratch);
    let directory = RunDirectory::create(&args.out, plan, &manifest).map_err(|e| failure(&e))?;
    reporter.event(
        &json!({"event": "run-begins", "experiment": plan.experiment, "directory": directory.path, "repetitions": turns.len(),
        "skipped": plan.cells.iter().filter_map(|c| Some((c.id.0.clone(), c.skipped.clone()?))).collect::<BTreeMap<_, _>>()}),
    );

    let executor = Executor { plan, guard: &guard, directory: &directory, scratch: &scratch, fixtures, interrupt };
    let ended = repetitions(&executor, &turns, &mut reporter).await;
    // Whatever happened: nothing of ours is left behind this line.
    let swept = guard.sweep().await;
    let _ = std::fs::remove_dir_all(&scratch);
    drop(guard);
    let took = reporter.finish();

    let bad = match ended {
        Ok(bad) => bad,
        Err(Error::Interrupted) => {
            // Twice means now: pictures can be drawn later.
            conclude(args, &directory, style, &reporter, interrupt.count() < 2)?;
            if style != Style::Quiet {
                eprintln!("interrupted; what was completed is in {}", directory.path.display());
            }
            return Ok(Exit::Interrupted);
        }
        Err(error) => {
            // What was completed is worth its summary, if there is still room for one.
            if let Err(stop) = conclude(args, &directory, style, &reporter, true) {
                eprintln!("error: {}", stop.message);
            }
            return Err(failure(&error));
        }
    };
    swept.map_err(|e| failure(&e))?;
    conclude(args, &directory, style, &reporter, true)?;
    reporter.say(&format!(
        "took {}; results in {}",
        crate::units::human_duration(took.as_nanos() as f64),
        directory.path.display()
    ));
    Ok(if bad { Exit::Repetitions } else { Exit::Success })
}

/// All repetitions in order, with set-up and clean-up of run and cells around them. Returns whether any was bad.
async fn repetitions(executor: &Executor<'_>, turns: &[Turn], reporter: &mut Reporter) -> Result<bool, Error> {
    let plan = executor.plan;
    let logs = executor.directory.path.join("logs");
    let has_steps = !plan.set_up.is_empty()
        || !plan.clean_up.is_empty()
        || plan.cells.iter().any(|c| !c.set_up.cell.is_empty() || !c.clean_up.cell.is_empty());
    if has_steps {
        crate::record::files::make_directory(&logs)?;
    }
    let nothing = BTreeMap::new();
    let step = async |level, steps: &[crate::plan::Action]| {
        tokio::select! {
            biased;
            () = executor.interrupt.asked(1) => Err(Error::Interrupted),
            done = actions::execute(executor.guard, level, steps, &nothing, &logs) => done,
        }
    };
    let clean = async |level, steps: &[crate::plan::Action]| {
        tokio::select! {
            biased;
            () = executor.interrupt.asked(2) => Err(Error::Interrupted),
            done = actions::execute(executor.guard, level, steps, &nothing, &logs) => done,
        }
    };
    let mut left: BTreeMap<usize, u32> = BTreeMap::new();
    for turn in turns {
        *left.entry(turn.cell).or_default() += 1;
    }
    let mut begun = std::collections::BTreeSet::new();
    let body: Result<bool, Error> = async {
        let mut bad = false;
        step("set-up, run", &plan.set_up).await?;
        for turn in turns {
            if executor.interrupt.count() > 0 {
                return Err(Error::Interrupted);
            }
            let cell = &plan.cells[turn.cell];
            if begun.insert(turn.cell) {
                step("set-up, cell", &cell.set_up.cell).await?;
            }
            reporter.begin(&cell.id.0, turn.repetition);
            let progress = Progress::default();
            let status = {
                let watch = watch(reporter, &cell.id.0, turn.repetition, &progress);
                let repetition = executor.repetition(*turn, &progress);
                tokio::select! { biased; status = repetition => status?, () = watch => unreachable!("it watches for ever") }
            };
            bad |= status.verdict != Verdict::Valid;
            reporter.end(&status);
            let count = left.entry(turn.cell).or_default();
            *count -= 1;
            if *count == 0 {
                begun.remove(&turn.cell);
                clean("clean-up, cell", &cell.clean_up.cell).await?;
            }
        }
        // Asked during the very last stop: its repetition is complete, and the user is told all the same.
        if executor.interrupt.count() > 0 { Err(Error::Interrupted) } else { Ok(bad) }
    }
    .await;
    // Clean-up also after a failure; the first error is the one that is told.
    let mut cleaned = Ok(());
    for cell in begun {
        cleaned = cleaned.and(clean("clean-up, cell", &plan.cells[cell].clean_up.cell).await);
    }
    cleaned = cleaned.and(clean("clean-up, run", &plan.clean_up).await);
    let bad = body?;
    cleaned.map(|()| bad)
}

async fn watch(reporter: &Reporter, cell: &str, repetition: u32, progress: &Progress) {
    let (mut before, mut at) = (0, Instant::now());
    let mut rate = 0.0;
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let (now, elapsed) = (passes(&progress.passes), at.elapsed());
        if now > before && elapsed >= Duration::from_millis(100) {
            rate = (now - before) as f64 / elapsed.as_secs_f64();
            (before, at) = (now, Instant::now());
        }
        reporter.tick(cell, repetition, progress, rate);
    }
}

/// Summary, table and graphs of what is there.
fn conclude(args: &cli::Run, directory: &RunDirectory, style: Style, reporter: &Reporter, pictures: bool) -> Result<(), Stop> {
    let (record, summary) = summarize::aggregate(&directory.path)?;
    let files = if args.no_graphs || !pictures || record.repetitions.is_empty() {
        Vec::new()
    } else {
        graph::draw(&record, &summary, &args.graphs)?
    };
    reporter.event(&json!({"event": "run-ends", "directory": directory.path, "summary": directory.path.join("summary.json"), "graphs": files}));
    if style == Style::People {
        print(&format!("\n{}\n", analysis::text::table(&summary)));
        if let Some(folder) = files.first().and_then(|f| f.parent()) {
            reporter.say(&format!("{} graphs in {}", files.len(), folder.display()));
        }
    }
    Ok(())
}
