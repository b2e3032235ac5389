//! Targets that outlive repetitions: handed to each repetition that needs them, handed back at its end, and stopped when their
//! lifetime is over.

use std::path::{Path, PathBuf};

use super::error::Error;
use super::logs::{LogKeeper, copy};
use super::targets::{self, Claim, Running};
use hosts::Lifetimes;
use supervise::{Guard, Process, probe};
use vocabulary::choices::Lifetime;

/// The targets that run between repetitions.
#[derive(Debug, Default)]
pub struct Kept {
    /// In the order of their starts.
    running: Vec<Running>,
    /// Their ports, even while a repetition has them.
    claims: Vec<Claim>,
}

impl Kept {
    /// Whether a target runs.
    pub(super) fn has(&self, target: &str) -> bool {
        self.running.iter().any(|one| one.status.target == target)
    }

    /// Replicas of a target that runs.
    pub(super) fn replicas(&self, target: &str) -> impl Iterator<Item = &Running> {
        self.running.iter().filter(move |one| one.status.target == target)
    }

    /// All running replicas.
    pub(super) fn running(&self) -> impl Iterator<Item = &Running> {
        self.running.iter()
    }

    /// Takes a target out, for a repetition that needs it.
    pub(super) fn take(&mut self, target: &str) -> Vec<Running> {
        let (taken, left) = std::mem::take(&mut self.running).into_iter().partition(|one| one.status.target == target);
        self.running = left;
        taken
    }

    /// Takes over the targets that continue from a repetition that ends, with their ports.
    pub(super) fn put(&mut self, running: &mut [Running], claims: Vec<Claim>) {
        self.running.extend(running.iter_mut().filter(|one| one.stays).map(Running::hand_over));
        self.running.sort_by_key(|one| one.process.as_ref().map(|p| p.asked_at));
        self.claims.extend(claims);
        self.claims.retain(|claim| self.running.iter().any(|one| one.status.target == claim.target));
    }

    /// The processes, which are not remains of a repetition.
    pub(super) fn processes(&self) -> Vec<&Process> {
        self.running.iter().filter_map(|one| one.process.as_ref()).collect()
    }

    /// Stops the targets whose process has ended, and those that depend on them. Returns in words what has ended.
    ///
    /// # Errors
    /// As [`Kept::stop`].
    pub(super) async fn stop_ended(&mut self, guard: &Guard) -> Result<Vec<String>, Error> {
        let ended = |one: &Running| Some(format!("{} {} between two repetitions", one.name, one.exited()?));
        let words: Vec<String> = self.running.iter().filter_map(ended).collect();
        if !words.is_empty() {
            let all: Vec<&Running> = self.running.iter().collect();
            let falling = falling(&all, |one| one.exited().is_some());
            self.stop(guard, |one| falling.contains(&one.status.target)).await?;
        }
        Ok(words)
    }

    /// Stops some targets in reverse order, and makes sure that their ports are free again.
    ///
    /// # Errors
    /// When the guard is gone, or a target does not stop.
    pub(super) async fn stop(&mut self, guard: &Guard, which: impl Fn(&Running) -> bool) -> Result<(), Error> {
        let mut ending: Vec<&mut Running> = self.running.iter_mut().filter(|one| which(one)).collect();
        let stopped = targets::stop(guard, &mut ending).await;
        let stopped = stopped.and_then(|()| targets::check_ports_again(ending.iter().map(|one| &**one), |_| true));
        let names: Vec<String> = ending.iter().map(|one| one.status.target.clone()).collect();
        self.running.retain(|one| !names.contains(&one.status.target));
        self.claims.retain(|claim| !names.contains(&claim.target));
        stopped
    }
}

/// Names of the targets that cannot continue: those with a replica that `has_failed`, and all that depend on them.
pub(super) fn falling(running: &[&Running], has_failed: impl Fn(&Running) -> bool) -> Vec<String> {
    let mut falling: Vec<String> = Vec::new();
    loop {
        let known = falling.len();
        for one in running {
            let falls = has_failed(one) || one.after.iter().any(|name| falling.contains(name));
            if falls && !falling.contains(&one.status.target) {
                falling.push(one.status.target.clone());
            }
        }
        if falling.len() == known {
            return falling;
        }
    }
}

/// A directory for the logs of the next target: they continue from repetition to repetition. `logs`: the directory of the run.
pub(super) fn fresh_logs(logs: &Path) -> PathBuf {
    let path = |number: u32| logs.join(format!("kept-{number}"));
    (1..).map(path).find(|path| !path.exists()).expect("there are fewer directories than numbers")
}

/// Copies what was written to the logs of a target since the last time into those of a repetition: whole lines, or all of it
/// if nothing more will come. `frees`: frees the space of what earlier repetitions have copied; otherwise logs grow for months.
///
/// # Errors
/// When a log cannot be read or written.
pub(super) fn take_over_logs(one: &mut Running, logs: &Path, frees: bool) -> Result<(), Error> {
    let to = probe::log_paths(logs, &one.status.target, one.status.replica);
    let all = !one.stays;
    let limit = one.log_keeper.as_ref().map(LogKeeper::limit);
    let mut cut = 0;
    for ((from, to), taken) in one.logs().clone().iter().zip(&to).zip(&mut one.taken) {
        if frees {
            free(from, *taken);
        }
        let copied = copy(from, to, taken, all, limit);
        cut += copied.map_err(|source| record::Error::Write { path: to.clone(), source })?;
    }
    one.status.log_cut_bytes = cut;
    if let Some(keeper) = &one.log_keeper {
        keeper.begin_at(one.taken);
    }
    Ok(())
}

/// Frees the space of the start of a file without changing its length; has no effect if the file system does not support this.
fn free(path: &Path, length: u64) {
    use rustix::fs::{FallocateFlags, fallocate};
    if let Some(file) = std::fs::File::options().write(true).open(path).ok().filter(|_| length > 0) {
        let _ = fallocate(&file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, length);
    }
}

/// Whether a target is among those whose lifetime is over.
pub(super) fn is_over(over: Lifetimes, one: &Running) -> bool {
    match over {
        Lifetimes::OtherCells(cell) => one.lifetime == Lifetime::Cell && one.cell != cell,
        Lifetimes::Cell(cell) => one.lifetime == Lifetime::Cell && one.cell == cell,
        Lifetimes::Run => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_over_needs_no_room() {
        use std::os::unix::fs::MetadataExt as _;
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        std::fs::write(&log, "line\n".repeat(100_000)).unwrap();
        let before = log.metadata().unwrap().blocks();
        free(&log, 400_000);
        let after = log.metadata().unwrap();
        assert_eq!(after.len(), 500_000);
        assert!(after.blocks() < before / 2 || after.blocks() == before, "{} of {before} blocks", after.blocks());
        assert!(std::fs::read_to_string(&log).unwrap().ends_with("line\nline\n"));
        free(&log, 0);
        free(&folder.path().join("missing"), 5);
    }
}
