//! Makes one run of several that executed parts of the same plan, on whatever machines.
//!
//! Nothing is computed here: repetitions are taken over as they are, file by file, and the manifest says which run, and so which
//! node, each round comes from. The new directory appears under its name only when it is whole; the parts stay as they are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::difference;
use super::files::{json_bytes, make_directory, read, sync_directory, write_whole};
use super::manifest::{Choice, Host, Part, Resumed, since_1970};
use super::write::name_of_run;
use super::{Error, Repetition, RunRecord};

/// Why runs do not belong together.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// A run of another experiment.
    #[error("{} is a run of `{one}` and {} one of `{other}`: only parts of one run can be merged", first.display(), second.display())]
    Experiments {
        /// The first run.
        first: PathBuf,
        /// Its experiment.
        one: String,
        /// The other run.
        second: PathBuf,
        /// The experiment of that.
        other: String,
    },
    /// A run with another plan.
    #[error("the plans of {} and {} differ, so their repetitions do not belong together:\n{}", first.display(), second.display(), lines.join("\n"))]
    Plans {
        /// The first run.
        first: PathBuf,
        /// The other run.
        second: PathBuf,
        /// What differs, a line each.
        lines: Vec<String>,
    },
    /// A repetition that two runs have.
    #[error("round {round} of {cell} is in {} and in {}: a repetition counts once, so name one of them only", first.display(), second.display())]
    Twice {
        /// The number of the round.
        round: u32,
        /// The name of the cell, with `the only cell` for one without a name.
        cell: String,
        /// The run in which it is.
        first: PathBuf,
        /// The other run in which it is.
        second: PathBuf,
    },
    /// Rounds that a later analysis cannot take apart.
    #[error("{} has no last repetition, or ended when something was known: only runs with a number of rounds can be merged", path.display())]
    OpenEnd {
        /// The run.
        path: PathBuf,
    },
    /// Something cannot be read or written.
    #[error(transparent)]
    Record(#[from] Error),
}

/// Merges runs into a new one below `out`, and returns its directory. At least one run is given.
///
/// # Errors
/// [`MergeError`]; nothing has changed then.
pub fn merge(runs: &[RunRecord], out: &Path) -> Result<PathBuf, MergeError> {
    let [first, others @ ..] = runs else { return Err(Error::NoRun { path: out.to_owned() }.into()) };
    for run in others {
        belongs(first, run)?;
    }
    if let Some(run) = runs.iter().find(|run| run.plan.repeat.as_ref().is_some_and(crate::Repeat::is_open_ended)) {
        return Err(MergeError::OpenEnd { path: run.path.clone() });
    }
    each_once(runs)?;
    let parent = out.join(&first.plan.experiment);
    make_directory(&parent)?;
    let name = name_of_run(&parent, first.plan.seed);
    let (partial, whole) = (parent.join(format!(".{name}-partial")), parent.join(&name));
    let made = fill(runs, first, &partial).and_then(|()| {
        std::fs::rename(&partial, &whole).and_then(|()| sync_directory(&parent)).map_err(|source| write(&whole, source))
    });
    if let Err(error) = made {
        let _ = std::fs::remove_dir_all(&partial);
        return Err(error.into());
    }
    Ok(whole)
}

fn write(path: &Path, source: std::io::Error) -> Error {
    Error::Write { path: path.to_owned(), source }
}

/// Whether a run has the plan of the first one.
fn belongs(first: &RunRecord, run: &RunRecord) -> Result<(), MergeError> {
    let (one, other) = (&first.plan.experiment, &run.plan.experiment);
    let paths = || (first.path.clone(), run.path.clone());
    if one != other {
        let (first, second) = paths();
        return Err(MergeError::Experiments { first, one: one.clone(), second, other: other.clone() });
    }
    // Where the scenario lies may differ between machines; what it says may not.
    let mut lines = difference::between(&first.raw_plan, &run.raw_plan, &["source"]);
    if first.manifest.runner != run.manifest.runner {
        lines.push(format!("version of runner: {} → {}", first.manifest.runner, run.manifest.runner));
    }
    if first.manifest.format != run.manifest.format {
        lines.push(format!("format: {} → {}", first.manifest.format, run.manifest.format));
    }
    // What is measured may come from the checkout in which it was started.
    let commit = |run: &RunRecord| {
        let git = run.manifest.git.as_ref();
        git.map_or_else(|| "none".to_owned(), |git| format!("{}{}", git.commit, if git.changed { ", with changes" } else { "" }))
    };
    if commit(first) != commit(run) {
        lines.push(format!("git commit: {} → {}", commit(first), commit(run)));
    }
    if lines.is_empty() {
        return Ok(());
    }
    let lines = difference::shortened(lines, 20).into_iter().map(|line| format!("  {line}")).collect();
    let (first, second) = paths();
    Err(MergeError::Plans { first, second, lines })
}

/// Refuses a repetition that is in two runs.
fn each_once(runs: &[RunRecord]) -> Result<(), MergeError> {
    let mut known: BTreeMap<(usize, u32), &RunRecord> = BTreeMap::new();
    for run in runs {
        for Repetition { cell, status, .. } in &run.repetitions {
            let Some(earlier) = known.insert((*cell, status.repetition), run) else { continue };
            let name = &run.plan.cells[*cell].id;
            let cell = if name.is_empty() { "the only cell".to_owned() } else { name.clone() };
            let (first, second) = (earlier.path.clone(), run.path.clone());
            return Err(MergeError::Twice { round: status.repetition, cell, first, second });
        }
    }
    Ok(())
}

/// Writes all of a merged run into a directory that does not exist yet.
fn fill(runs: &[RunRecord], first: &RunRecord, folder: &Path) -> Result<(), Error> {
    std::fs::create_dir(folder).map_err(|source| write(folder, source))?;
    for name in ["experiment.yaml", "plan.json"] {
        write_whole(&folder.join(name), &read(&first.path.join(name))?)?;
    }
    let mut manifest = first.manifest.clone();
    manifest.choice = manifest.choice.map(|choice| Choice { shard: None, ..choice });
    manifest.command_line = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    manifest.started_at = runs.iter().map(|run| run.manifest.started_at.clone()).min().unwrap_or_default();
    manifest.resumed = Vec::new();
    manifest.merged = runs.iter().flat_map(parts).collect();
    write_whole(&folder.join("manifest.json"), &json_bytes(&manifest))?;
    for run in runs {
        for repetition in &run.repetitions {
            let cell = &run.plan.cells[repetition.cell];
            let parent = folder.join("cells").join(&cell.path);
            std::fs::create_dir_all(&parent).map_err(|source| write(&parent, source))?;
            take_over(&repetition.path, &parent.join(format!("run{}", repetition.status.repetition)))?;
        }
        // What steps around repetitions have printed.
        let logs = run.path.join("logs");
        if logs.is_dir() {
            let mine = folder.join("logs").join(&run.name);
            std::fs::create_dir_all(folder.join("logs")).map_err(|source| write(&mine, source))?;
            take_over(&logs, &mine)?;
        }
    }
    sync_names_below(folder)
}

/// Makes the names in a folder and in all folders below it durable. The files are durable already: those that are shared since they
/// were recorded, copies since they were made.
fn sync_names_below(folder: &Path) -> Result<(), Error> {
    for entry in std::fs::read_dir(folder).map_err(|source| Error::Read { path: folder.to_owned(), source })? {
        let entry = entry.map_err(|source| Error::Read { path: folder.to_owned(), source })?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            sync_names_below(&entry.path())?;
        }
    }
    sync_directory(folder).map_err(|source| write(folder, source))
}

/// What is known of the parts of a run: of a run that was merged itself, its own parts.
fn parts(run: &RunRecord) -> Vec<Part> {
    if !run.manifest.merged.is_empty() {
        return run.manifest.merged.clone();
    }
    let manifest = &run.manifest;
    // A run that was resumed may have been continued on another node.
    let host_at = |started_at: &str| {
        let at = since_1970(started_at);
        let before = |resumed: &&Resumed| since_1970(&resumed.at) <= at;
        manifest.resumed.iter().rev().find(before).map_or(&manifest.host, |resumed| &resumed.host)
    };
    let mut nodes: BTreeMap<u32, BTreeMap<&str, &Host>> = BTreeMap::new();
    for Repetition { status, .. } in &run.repetitions {
        let host = host_at(&status.started_at);
        nodes.entry(status.repetition).or_default().insert(&host.name, host);
    }
    let mut parts: Vec<Part> = Vec::new();
    for (round, hosts) in nodes {
        // A round that two nodes share says nothing about either of them: it has a block of its own.
        let name = hosts.keys().copied().collect::<Vec<_>>().join("+");
        match parts.iter_mut().find(|part| part.host.name == name) {
            Some(part) => part.rounds.push(round),
            None => parts.push(Part {
                run: run.name.clone(),
                rounds: vec![round],
                started_at: manifest.started_at.clone(),
                command_line: manifest.command_line.clone(),
                shard: manifest.choice.as_ref().and_then(|choice| choice.shard),
                host: Host { name, ..hosts.values().next().map_or_else(|| manifest.host.clone(), |host| (*host).clone()) },
                settings: manifest.settings.clone(),
                programs: manifest.programs.clone(),
            }),
        }
    }
    parts
}

/// Links the regular files of a folder into another one, or copies them where that cannot be: to another file system. Results
/// never change, so two runs may share a file. What is neither a file nor a folder is left out: nothing reads it.
fn take_over(from: &Path, to: &Path) -> Result<(), Error> {
    std::fs::create_dir(to).map_err(|source| write(to, source))?;
    for entry in std::fs::read_dir(from).map_err(|source| Error::Read { path: from.to_owned(), source })? {
        let entry = entry.map_err(|source| Error::Read { path: from.to_owned(), source })?;
        let kind = entry.file_type().map_err(|source| Error::Read { path: entry.path(), source })?;
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if kind.is_dir() {
            take_over(&path, &to)?;
        } else if kind.is_file() && std::fs::hard_link(&path, &to).is_err() {
            let copied = std::fs::copy(&path, &to).and_then(|_| std::fs::File::open(&to)).and_then(|copy| copy.sync_all());
            copied.map_err(|source| write(&to, source))?;
        }
    }
    Ok(())
}
