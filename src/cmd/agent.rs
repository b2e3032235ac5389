//! `runner agent`: one of several machines that execute repetitions together. It is spoken to over standard input and output.

mod shard;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::brought::{BROUGHT_FIXTURES, own_hash};
use super::{Stop, fixture, open_files, prepare};
use crate::cli;
use crate::executor::memory::make_passable;
use crate::executor::{Executor, Interrupt, Lifetimes, Part, Progress};
use crate::exit::Exit;
use crate::hosts::{self, Clock, Ended, Here, Order, Post, Scenario, ToController};
use crate::plan::order::Turn;
use crate::plan::{CollectSource, Plan, Start};
use crate::plan_read::{self, Document, Options, Rejection};
use crate::record::RunDirectory;
use crate::record::manifest::{Choice, Manifest};
use crate::supervise::{Guard, journal};
use crate::vocabulary::errors::{chain, tell};
use crate::vocabulary::units;

/// How long a folder that an earlier agent had may take to be gone.
const PLACE: Duration = Duration::from_secs(20);

/// Serves a controller until it says that nothing else will be asked, or is gone.
pub(super) fn agent(args: &cli::Agent) -> Result<Exit, Stop> {
    let failed = |words: String| Stop::new(Exit::Failure, words);
    if let Some(namespace) = &args.inside {
        // Before there is a second thread, which would stay outside.
        crate::links::enter(namespace)
            .map_err(|e| failed(format!("cannot enter the network namespace {}: {e}", namespace.display())))?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| failed(format!("cannot start the runtime: {e}")))?;
    runtime.block_on(serve(args))
}

/// A clock that is wrong on purpose, as in `500ms,200ppm`.
fn clock(words: Option<&str>) -> Result<Clock, Stop> {
    let Some(words) = words else { return Ok(Clock::default()) };
    let parts = words
        .split_once(',')
        .and_then(|(ahead, fast)| Some((units::parse_duration(ahead)?, fast.strip_suffix("ppm")?.parse::<f64>().ok()?)));
    let wrong =
        || Stop::new(Exit::InvalidInput, format!("`--clock {words}`: expected a time and a drift, such as `500ms,200ppm`"));
    parts.map(|(ahead, fast)| Clock::wrong(ahead, fast / 1e6)).ok_or_else(wrong)
}

async fn serve(args: &cli::Agent) -> Result<Exit, Stop> {
    let failed = |words: String| Stop::new(Exit::Failure, words);
    let interrupt = Interrupt::listen().map_err(|e| Stop::from_error(Exit::Failure, &e))?;
    journal::sweep().iter().for_each(tell);
    // From here on the guard removes what is made, however this process ends.
    let guard = Guard::start(open_files::of_the_shell()).await.map_err(|e| Stop::from_error(Exit::Failure, &e))?;
    let scratch = match &args.place {
        Some(place) => own_place(place, &guard)?,
        None => super::execute::make_directory(super::execute::disk(), "agent", &guard)?,
    };
    if args.brought {
        let own = std::env::current_exe().map_err(|e| failed(format!("cannot find runner itself: {e}")))?;
        guard.adopt(&own).map_err(|e| Stop::from_error(Exit::Failure, &e))?;
    }
    let inbox = scratch.join("scenario");
    let post = Post::open(std::io::stdin(), std::io::stdout(), clock(args.clock.as_deref())?, &inbox, |why| {
        // Whoever is still there reads it.
        tell(why);
        // The guard notices, ends what runs here and removes what was made here, as after `kill -9`.
        std::process::exit(Exit::Failure.code().into());
    });
    post.say(&ToController::Here(Box::new(here(&scratch)?)));
    let scenario = match post.order().await {
        Some(Order::Scenario(scenario)) => scenario,
        Some(Order::Shard(work)) => {
            let means = Means { guard: &guard, scratch: &scratch, fixtures: Path::new(""), interrupt: &interrupt };
            return shard::execute(&work, &post, &means).await;
        }
        _ => return Err(failed("the controller asks for something else than a scenario".to_owned())),
    };
    let (plan, fixtures) = match ready(&scenario, &inbox) {
        Ok(ready) => ready,
        Err(why) => {
            post.say(&ToController::Refused { why });
            // The controller reads it, and ends.
            let _ = tokio::time::timeout(Duration::from_secs(10), post.order()).await;
            return Ok(Exit::Failure);
        }
    };
    let skipped = plan.cells.iter().enumerate().filter_map(|(index, cell)| Some((index, cell.skipped.clone()?)));
    post.say(&ToController::Planned { skipped: skipped.collect() });
    let (part, plan) = Part::of(&plan, &post, scenario.role.clone(), (scenario.index, scenario.of));
    execute(&plan, &part, Means { guard: &guard, scratch: &scratch, fixtures: &fixtures, interrupt: &interrupt }).await
}

/// The plan of a scenario and the program with the fixtures that it needs here, if this machine can execute it.
fn ready(scenario: &Scenario, inbox: &Path) -> Result<(Plan, PathBuf), String> {
    let plan = plan_of(scenario, inbox)?;
    let brought = below(inbox, Path::new(BROUGHT_FIXTURES));
    let fixtures = match needs_fixtures(&plan, scenario.role.as_deref()) {
        true if brought.exists() => brought,
        true => fixture::program()?,
        false => PathBuf::new(),
    };
    let is_here = |on: &Option<String>| *on == scenario.role;
    prepare::require_open_files_of_cells(&plan, is_here, scenario.of).map_err(|stop| stop.message)?;
    Ok((plan, fixtures))
}

/// What an agent has to execute something.
struct Means<'a> {
    guard: &'a Guard,
    scratch: &'a Path,
    fixtures: &'a Path,
    interrupt: &'a Interrupt,
}

async fn execute(plan: &Plan, part: &Part<'_>, means: Means<'_>) -> Result<Exit, Stop> {
    let failure = |e: &dyn std::error::Error| Stop::from_error(Exit::Failure, e);
    let Means { guard, scratch, fixtures, interrupt } = means;
    let manifest = Manifest::collect(&plan.source.display().to_string(), Default::default(), scratch, Choice::default());
    let directory = RunDirectory::create(&scratch.join("results"), plan, &manifest).map_err(|e| failure(&e))?;
    let memory = match plan.record.tmpfs {
        Some(size) => Some(super::execute::make_memory(size, "record", guard)?),
        None => None,
    };
    let work = super::execute::make_scratch(plan.scratch, guard)?;
    crate::load::begin_run();
    let executor = Executor {
        plan,
        guard,
        directory: &directory,
        scratch: &work,
        memory: memory.as_ref(),
        fixtures,
        interrupt,
        kept: RefCell::default(),
        measuring: false,
        marks: RefCell::default(),
        found: RefCell::default(),
        part: Some(part),
        conductor: None,
    };
    let kept = executor.kept_directory();
    make_passable(&kept).map_err(|e| Stop::new(Exit::Failure, format!("cannot make the directory {}: {e}", kept.display())))?;
    loop {
        let order = tokio::select! {
            biased;
            // A batch system, or whoever else wants this machine back.
            () = interrupt.asked(1) => None,
            order = part.post.order() => order,
        };
        match order {
            Some(Order::Execute(cell, repetition, found)) => {
                executor.found.replace([(None, found)].into());
                let executed = repetition_of(&executor, part, Turn { cell, repetition }).await;
                if !executed || guard.is_gone() {
                    // The controller finds that the agent is gone, and executes the repetition again.
                    break;
                }
            }
            Some(Order::EndLifetimes(over)) => {
                let why = executor.end_lifetimes(over).await.err().map(|error| chain(&error));
                part.post.say(&ToController::LifetimesEnded { why });
            }
            Some(Order::Scenario(_) | Order::Shard(_)) => {
                return Err(Stop::new(Exit::Failure, "the controller sends a second scenario"));
            }
            Some(Order::Stop) | None => break,
        }
    }
    let _ = executor.end_lifetimes(Lifetimes::Run).await;
    let _ = guard.sweep(&[]).await;
    journal::remove(&work);
    if let Some(memory) = &memory {
        memory.remove();
    }
    journal::remove(scratch);
    Ok(Exit::Success)
}

/// Executes a repetition, and sends its files; not if this process was asked to end meanwhile. Returns whether it was sent.
async fn repetition_of(executor: &Executor<'_>, part: &Part<'_>, turn: Turn) -> bool {
    let progress = Progress::default();
    let live = std::sync::Arc::clone(&progress.live);
    live.relay();
    part.post.begin(&progress.passes, move || live.seen());
    part.ended.take();
    let done = executor.repetition(turn, &progress).await;
    executor.marks.take();
    let folder = executor.directory.path.join("cells").join(&executor.plan.cells[turn.cell].path);
    let folder = folder.join(format!("run{}", turn.repetition));
    let ended = part.ended.take();
    if executor.interrupt.count() > 0 {
        return false;
    }
    let sent = match done {
        Ok(_) => hosts::files_below(&folder).and_then(|files| part.post.end(&files, ended)),
        Err(error) => {
            let why = executor.plan.secrets.mask(&chain(&error)).into_owned();
            part.post.end(&[], Ended { broken: Some(why), ..ended })
        }
    };
    if let Err(error) = sent {
        let why = format!("its results cannot be read: {error}");
        let _ = part.post.end(&[], Ended { broken: Some(why), ..Ended::default() });
    }
    // It may be tried again, under the same name.
    let _ = std::fs::remove_dir_all(&folder);
    true
}

/// Where a file of the controller is here, if it was sent.
fn below(inbox: &Path, path: &Path) -> PathBuf {
    inbox.join(path.strip_prefix("/").unwrap_or(path))
}

/// The folder at a path that is the same on all machines. One of an agent that was lost is about to be removed by its guard.
fn own_place(place: &Path, guard: &Guard) -> Result<PathBuf, Stop> {
    let failed = |why: String| Stop::new(Exit::Failure, format!("cannot make the folder {}: {why}", place.display()));
    let begun = std::time::Instant::now();
    while place.symlink_metadata().is_ok() {
        if begun.elapsed() > PLACE {
            return Err(failed("it exists, so another agent of this run works on this machine".to_owned()));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    guard.adopt(place).map_err(|e| Stop::from_error(Exit::Failure, &e))?;
    make_passable(place).map_err(|e| failed(e.to_string()))?;
    Ok(place.to_owned())
}

/// What this machine is.
fn here(scratch: &Path) -> Result<Here, Stop> {
    let manifest = Manifest::collect("", Default::default(), scratch, Choice::default());
    Ok(Here {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        hash: own_hash()?,
        host: manifest.host,
        settings: manifest.settings,
        // Containers of one machine share its processors.
        machine: super::measuring::boot(),
        node: std::env::var("SLURMD_NODENAME").ok(),
    })
}

/// The plan of a scenario: of its file, if the same one is here, and otherwise of what was sent.
fn plan_of(scenario: &Scenario, inbox: &Path) -> Result<Plan, String> {
    let below = |path: &Path| below(inbox, path);
    // What was sent is there already if all of it is: then its folders have what they should, too.
    let is_same = std::fs::read_to_string(&scenario.path).is_ok_and(|text| text == scenario.text);
    let sent = hosts::files_below(inbox).unwrap_or_default();
    let is_here = is_same
        && sent.iter().filter(|file| file.name != Path::new(BROUGHT_FIXTURES)).all(|file| {
            let there = std::fs::read(Path::new("/").join(&file.name));
            there.is_ok_and(|there| std::fs::read(&file.from).is_ok_and(|sent| sent == there))
        });
    let path = if is_here { scenario.path.clone() } else { below(&scenario.path) };
    let folder = path.parent().unwrap_or(inbox);
    if !is_here {
        for folder in &scenario.folders {
            std::fs::create_dir_all(below(folder)).map_err(|e| format!("cannot make the folder {}: {e}", folder.display()))?;
        }
        std::fs::create_dir_all(folder).map_err(|e| format!("cannot make the folder {}: {e}", folder.display()))?;
    }
    std::env::set_current_dir(folder).map_err(|e| format!("cannot enter {}: {e}", folder.display()))?;
    let name = path.to_str().ok_or("the path of the scenario is not valid UTF-8")?;
    let document = Document::inline(name, &scenario.text).map_err(|mistake| mistake.render(false))?;
    let commits = scenario.commits.iter().map(|(factor, label, commit)| ((factor.clone(), label.clone()), commit.clone()));
    let options = Options {
        settings: scenario.settings.clone(),
        repetitions: scenario.repetitions,
        seed: Some(scenario.seed),
        commits: commits.collect(),
        hosts: scenario.hosts.clone(),
        environment: Some(scenario.environment.clone()),
        here: Some(plan_read::Here { role: scenario.role.clone() }),
        ..Options::default()
    };
    plan_read::build(&document, &options, scenario.seed).map_err(|rejection| match rejection {
        Rejection::Mistakes(mistakes) => crate::schema::source::render_all(&mistakes, false).trim_end().to_owned(),
        Rejection::Option(words) => words,
    })
}

/// Whether a bundled program is started here.
fn needs_fixtures(plan: &Plan, role: Option<&str>) -> bool {
    plan.cells.iter().filter(|cell| cell.skipped.is_none()).any(|cell| {
        let here = |on: &Option<String>| on.as_deref() == role;
        let mut replicas = cell.targets.iter().filter(|target| here(&target.on)).flat_map(|target| &target.replicas);
        replicas.any(|replica| matches!(replica.start, Start::Fixture { .. }))
            || cell.collect.iter().any(|one| here(&one.on) && matches!(one.source, CollectSource::Fixture(_)))
    })
}
