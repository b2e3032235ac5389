//! Whole rounds on a machine that shares no files with the controller: a `runner` of its own executes them in the agent's folder, and
//! each repetition is sent as soon as it is whole.
//!
//! What the machine had completed before, and what was sent with the work, is there already: then the run is continued.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Means;
use crate::cmd::Stop;
use crate::cmd::brought::EARLIER;
use crate::exit::Exit;
use crate::hosts::{self, File, Order, Post, ShardWork, ToController};
use crate::supervise::probe::tail;
use crate::supervise::{self, Kind, ProcessSpec};
use crate::vocabulary::choices::Signal;
use crate::vocabulary::errors::chain;

/// How often it is looked for what is complete.
const LOOK: Duration = Duration::from_millis(500);
/// How long the run may take to make durable what it has measured.
const GRACE: Duration = Duration::from_secs(120);
/// So many lines of what it said are passed on.
const LINES: usize = 20;

/// Executes the work, and sends its results.
pub(super) async fn execute(work: &ShardWork, post: &Post, means: &Means<'_>) -> Result<Exit, Stop> {
    let failed = |what: &str, e: &dyn std::error::Error| Stop::new(Exit::Failure, format!("{what}: {}", chain(e)));
    let inbox = means.scratch.join("scenario");
    let below = |path: &Path| super::below(&inbox, path);
    for folder in &work.folders {
        std::fs::create_dir_all(below(folder)).map_err(|e| failed("cannot make a folder of the scenario", &e))?;
    }
    let runner =
        programs(work.fixtures.as_deref().map(below), means).map_err(|e| failed("cannot make the programs ready", &e))?;
    let out = means.scratch.join("out");
    // There is nothing to continue if nothing was sent.
    let _ = std::fs::rename(inbox.join(EARLIER), &out);
    let path = below(&work.path);
    let mut argv = vec![runner.display().to_string()];
    match runs(&out).pop() {
        Some(run) => argv.extend(["resume".to_owned(), run.display().to_string()].into_iter().chain(work.stop.iter().cloned())),
        None => {
            argv.extend([work.command.clone(), path.display().to_string()]);
            argv.extend(work.words.iter().cloned());
            argv.extend(["--out".to_owned(), out.display().to_string()]);
        }
    }
    argv.extend(["--no-graphs", "--quiet"].map(str::to_owned));
    let [said, errors] = ["said.out", "said.err"].map(|name| means.scratch.join(name));
    let mut env: Vec<(String, String)> = work.environment.clone().into_iter().collect();
    env.push(means.guard.marker(Kind::Step, "shard", 0));
    let spec = ProcessSpec { dir: path.parent().map(Path::to_owned), ..ProcessSpec::new(argv, env, [&said, &errors]) };
    let process = means.guard.spawn(spec).await.map_err(|e| Stop::from_error(Exit::Failure, &e))?;
    let mut home = Home { out, sent: BTreeSet::new(), number: 0 };
    // What was sent here is there already.
    home.sent.extend(home.complete().into_iter().map(|(_, repetition)| repetition));
    loop {
        let is_over = tokio::select! {
            biased;
            () = means.interrupt.asked(1) => true,
            order = post.order() => matches!(order, Some(Order::Stop) | None),
            _ = process.wait() => true,
            () = tokio::time::sleep(LOOK) => false,
        };
        if is_over {
            break;
        }
        home.send(post, false).map_err(|e| failed("cannot send results", &e))?;
    }
    let stopped = means.guard.stop(&process, Signal::Term, GRACE).await;
    stopped.map_err(|e| Stop::from_error(Exit::Failure, &e))?;
    home.send(post, true).map_err(|e| failed("cannot send results", &e))?;
    let code = process.exited().and_then(|exit| match exit {
        supervise::Exit::Code(code) => Some(code),
        supervise::Exit::Signal(_) => None,
    });
    post.say(&ToController::ShardEnded { code, said: tail([&said, &errors], LINES).join("\n") });
    // The controller has heard it when it says goodbye.
    let _ = tokio::time::timeout(Duration::from_secs(10), post.order()).await;
    Ok(Exit::Success)
}

/// The executables in one folder, where `runner` looks for its fixtures; returns the path of `runner`.
fn programs(fixtures: Option<PathBuf>, means: &Means<'_>) -> std::io::Result<PathBuf> {
    let folder = means.scratch.join("bin");
    std::fs::create_dir_all(&folder)?;
    let fixtures = fixtures.or_else(|| crate::cmd::fixture::program().ok());
    let own = std::env::current_exe()?;
    for (from, name) in [(Some(own), "runner"), (fixtures, crate::plan::programs::FIXTURES_PROGRAM)] {
        let (Some(from), to) = (from, folder.join(name)) else { continue };
        if std::fs::hard_link(&from, &to).is_err() {
            std::fs::copy(&from, &to)?;
        }
    }
    Ok(folder.join("runner"))
}

/// The runs below a folder of results.
fn runs(out: &Path) -> Vec<PathBuf> {
    let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut runs: Vec<PathBuf> = entries(out).flat_map(|experiment| entries(&experiment).collect::<Vec<_>>()).collect();
    runs.retain(|run| run.join("plan.json").is_file());
    runs.sort();
    runs
}

/// Sends results home.
struct Home {
    /// The folder of results.
    out: PathBuf,
    /// Repetitions that are there, by their paths below `out`.
    sent: BTreeSet<PathBuf>,
    /// The number of what was sent last.
    number: u64,
}

impl Home {
    /// Complete repetitions: each with the path of its run, both below the folder of results.
    fn complete(&self) -> Vec<(PathBuf, PathBuf)> {
        fn below(folder: &Path, found: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
                match path.join("status.json").is_file() {
                    _ if is_hidden || !path.is_dir() => {}
                    true => found.push(path),
                    false => below(&path, found),
                }
            }
        }
        let mut complete = Vec::new();
        for run in runs(&self.out) {
            let mut found = Vec::new();
            below(&run.join("cells"), &mut found);
            let short = |path: &Path| path.strip_prefix(&self.out).unwrap_or(path).to_owned();
            complete.extend(found.iter().map(|repetition| (short(&run), short(repetition))));
        }
        complete
    }

    /// Sends what is new: repetitions, and with them the files of their run; at the end these in any case.
    fn send(&mut self, post: &Post, at_the_end: bool) -> std::io::Result<()> {
        let new: Vec<(PathBuf, PathBuf)> =
            self.complete().into_iter().filter(|(_, repetition)| !self.sent.contains(repetition)).collect();
        let mut of_runs: BTreeSet<PathBuf> = new.iter().map(|(run, _)| run.clone()).collect();
        if at_the_end {
            of_runs.extend(runs(&self.out).iter().map(|run| run.strip_prefix(&self.out).unwrap_or(run).to_owned()));
        }
        for run in of_runs {
            let mut files = Vec::new();
            for entry in std::fs::read_dir(self.out.join(&run))?.flatten() {
                let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
                if entry.file_type()?.is_file() && !is_hidden {
                    files.push(File { from: entry.path(), name: run.join(entry.file_name()) });
                }
            }
            for file in files {
                match self.hand_over(post, vec![file.clone()], &file.name) {
                    // What says how far the run is goes with its end.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    sent => sent?,
                }
            }
        }
        for (_, repetition) in new {
            let files = hosts::files_below(&self.out.join(&repetition))?;
            let files: Vec<File> =
                files.into_iter().map(|file| File { name: repetition.join(file.name), from: file.from }).collect();
            self.hand_over(post, files, &repetition)?;
            self.sent.insert(repetition);
        }
        Ok(())
    }

    /// Sends a file or a folder with its files. What is sent again later arrives in another folder: the controller may not have
    /// taken the earlier one in yet.
    fn hand_over(&mut self, post: &Post, files: Vec<File>, path: &Path) -> std::io::Result<()> {
        self.number += 1;
        let folder = PathBuf::from(self.number.to_string());
        let files: Vec<File> = files.into_iter().map(|file| File { name: folder.join(file.name), from: file.from }).collect();
        post.arrived(&files, folder, path.to_owned())
    }
}
