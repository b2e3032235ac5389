//! What is broken on purpose while the load runs: when it is due, what it does to whom, and what is undone at the end.
//!
//! [`Timeline`] is pure: it says what is due. `revive` performs it in the loop that also notices targets that end unasked, since both
//! change the same processes.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;

use super::epoch::Epoch;
use super::error::Error;
use super::events::Events;
use super::network::Network;
use super::targets::{self, Running};
use plan::faults::Faults;
use plan::{Fault, FaultAction};
use record::status::FaultStatus;
use supervise::Guard;
use vocabulary::choices::Signal;

/// Signals that stop a process and let it go on.
const STOP: i32 = 19;
const CONT: i32 = 18;
/// The file that fills the scratch file system.
const FILLER: &str = "runner-fills-this-disk";
/// What is written at once where space cannot be reserved.
const CHUNK: usize = 1 << 20;

/// The faults of a repetition.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    faults: Vec<Fault>,
    /// For each: how it went.
    pub statuses: Vec<FaultStatus>,
    /// What is still to come, the next one last.
    due: Vec<(Duration, usize, Moment)>,
    /// The start of the load.
    epoch: Option<Instant>,
}

/// What happens to a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Moment {
    /// It ends: before another begins at the same instant.
    End,
    /// It begins.
    Begin,
}

impl Timeline {
    /// The faults of a cell, for a load that starts at `epoch`.
    pub fn new(faults: &Faults, epoch: Epoch) -> Self {
        let mut due = Vec::new();
        for (at, fault) in faults.list.iter().enumerate() {
            due.push((fault.at, at, Moment::Begin));
            due.extend(fault.lasts.map(|lasts| (fault.at + lasts, at, Moment::End)));
        }
        due.sort_by_key(|(instant, at, moment)| std::cmp::Reverse((*instant, *moment, *at)));
        let status = |fault: &Fault| FaultStatus {
            fault: fault.name.clone(),
            words: fault.words.clone(),
            at_ns: fault.at.as_nanos() as u64,
            begun_ns: None,
            ended_ns: None,
            of: fault.of.clone(),
            band: fault.band,
            hold_ns: fault.hold.as_nanos() as u64,
        };
        let statuses = faults.list.iter().map(status).collect();
        Self { faults: faults.list.clone(), statuses, due, epoch: Some(epoch.instant) }
    }

    /// When the next thing happens.
    pub fn next(&self) -> Option<Instant> {
        let (at, ..) = self.due.last()?;
        Some(self.epoch? + *at)
    }

    /// Takes what is due.
    pub(super) fn take(&mut self, now: Instant) -> Option<(usize, Fault, Moment)> {
        self.next().filter(|next| *next <= now)?;
        let (_, at, moment) = self.due.pop()?;
        Some((at, self.faults[at].clone(), moment))
    }

    /// Faults that last, and have not been undone.
    fn lasting(&self) -> Vec<usize> {
        let lasts =
            |action: &FaultAction| matches!(action, FaultAction::Stop { .. } | FaultAction::Link { .. } | FaultAction::Fill);
        let all = self.faults.iter().zip(&self.statuses).enumerate();
        all.filter(|(_, (fault, status))| lasts(&fault.action) && status.begun_ns.is_some() && status.ended_ns.is_none())
            .map(|(at, _)| at)
            .collect()
    }

    fn since_epoch(&self) -> u64 {
        self.epoch.map_or(0, |epoch| epoch.elapsed().as_nanos() as u64)
    }

    /// Records that a fault begins now.
    pub(super) fn begun(&mut self, at: usize, events: &Events) {
        self.statuses[at].begun_ns = Some(self.since_epoch());
        events.now(json!({"event": "fault", "fault": self.statuses[at].fault, "what": self.statuses[at].words}));
    }

    /// Records that a fault is over now: it was undone, or what it had killed is ready again. Of several replicas, the last one counts.
    pub(super) fn ended(&mut self, at: usize, events: &Events) {
        self.statuses[at].ended_ns = Some(self.since_epoch());
        events.now(json!({"event": "fault-over", "fault": self.statuses[at].fault}));
    }

    /// Why the repetition does not count: faults that never came, since the load was over before.
    pub fn reasons(&self) -> Vec<String> {
        let never = self.statuses.iter().filter(|status| status.begun_ns.is_none());
        let words = |status: &FaultStatus| {
            let at = vocabulary::units::human_duration(status.at_ns as f64);
            format!("the load was over before the fault `{}`, which was due {at} after its start", status.fault)
        };
        never.map(words).collect()
    }
}

/// What is needed to break something and to undo it.
pub(super) struct Breaker<'a> {
    pub guard: &'a Guard,
    pub network: &'a Network,
    pub events: &'a Events,
    pub scratch: &'a Path,
}

impl Breaker<'_> {
    /// Begins a fault. Replicas that were killed are returned by their index.
    ///
    /// # Errors
    /// When it cannot be done: the repetition then says nothing about it.
    pub async fn begin(
        &self,
        timeline: &mut Timeline,
        at: usize,
        fault: &Fault,
        running: &mut [Running],
    ) -> Result<Vec<usize>, Error> {
        timeline.begun(at, self.events);
        let hit = hit(&fault.action, running);
        match &fault.action {
            FaultAction::Kill { .. } => {
                let mut victims: Vec<&mut Running> =
                    running.iter_mut().enumerate().filter(|(index, _)| hit.contains(index)).map(|(_, one)| one).collect();
                targets::kill(self.guard, &mut victims, &fault.name).await?;
                for one in victims {
                    self.events.now(json!({"event": "killed", "target": one.name, "fault": fault.name}));
                }
                return Ok(hit);
            }
            FaultAction::Stop { .. } => {
                for index in hit {
                    self.pause(&running[index], true).await?;
                }
            }
            FaultAction::Signal { signal, .. } => {
                for index in hit {
                    running[index].may_end |= fault.action.is_deadly();
                    self.signal(&running[index], *signal).await?;
                }
            }
            FaultAction::Link { link, forward, back, cut } => self.network.change(link, Some((*forward, *back)), *cut).await?,
            FaultAction::Fill => {
                let path = self.scratch.join(FILLER);
                let failed = |source| Error::Fault {
                    name: fault.name.clone(),
                    reason: format!("cannot fill the scratch file system: {source}"),
                };
                let filled = tokio::task::spawn_blocking(move || fill(&path)).await;
                filled.map_err(|error| failed(std::io::Error::other(error)))?.map_err(failed)?;
            }
        }
        Ok(Vec::new())
    }

    /// Ends a fault that lasts.
    ///
    /// # Errors
    /// When it cannot be undone.
    pub async fn end(&self, timeline: &mut Timeline, at: usize, running: &[Running]) -> Result<(), Error> {
        let fault = timeline.faults[at].clone();
        match &fault.action {
            FaultAction::Stop { .. } => {
                for index in hit(&fault.action, running) {
                    self.pause(&running[index], false).await?;
                }
            }
            FaultAction::Link { link, .. } => self.network.change(link, None, false).await?,
            FaultAction::Fill => empty(&self.scratch.join(FILLER)).map_err(|source| Error::Fault {
                name: fault.name.clone(),
                reason: format!("cannot remove what fills the scratch file system: {source}"),
            })?,
            FaultAction::Kill { .. } | FaultAction::Signal { .. } => {}
        }
        timeline.ended(at, self.events);
        Ok(())
    }

    /// Ends all faults that last.
    ///
    /// # Errors
    /// The first error; all are tried.
    pub async fn end_all(&self, timeline: &mut Timeline, running: &[Running]) -> Result<(), Error> {
        let mut first = Ok(());
        for at in timeline.lasting() {
            first = first.and(self.end(timeline, at, running).await);
        }
        first
    }

    async fn pause(&self, one: &Running, stands: bool) -> Result<(), Error> {
        match (&one.container, &one.process) {
            (Some(container), _) => container.pause(stands).await,
            (None, Some(process)) => Ok(self.guard.signal(process, if stands { STOP } else { CONT }, true).await?),
            (None, None) => Ok(()),
        }
    }

    async fn signal(&self, one: &Running, signal: Signal) -> Result<(), Error> {
        match (&one.container, &one.process) {
            (Some(container), _) => container.signal(signal).await,
            (None, Some(process)) => Ok(self.guard.signal(process, signal.number(), false).await?),
            (None, None) => Ok(()),
        }
    }
}

/// The replicas that a fault hits, by their index: those that are there.
fn hit(action: &FaultAction, running: &[Running]) -> Vec<usize> {
    let Some(victim) = action.victim() else { return Vec::new() };
    let is_hit = |one: &Running| one.process.is_some() && victim.is(&one.status.target, one.status.replica);
    running.iter().enumerate().filter(|(_, one)| is_hit(one)).map(|(at, _)| at).collect()
}

/// Fills the file system of a file to its last byte.
fn fill(path: &PathBuf) -> std::io::Result<()> {
    let mut file = std::fs::File::create(path)?;
    let is_full = |error: &std::io::Error| error.kind() == std::io::ErrorKind::StorageFull;
    let free = rustix::fs::fstatvfs(&file)?;
    let free = free.f_bavail * free.f_frsize;
    // Reserved at once where that is possible; others may write meanwhile, so the rest is written.
    let reserved = rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, free).is_ok();
    if reserved {
        std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0))?;
    }
    let mut size = CHUNK;
    let zeros = vec![0; CHUNK];
    while size > 0 {
        match file.write(&zeros[..size]) {
            Ok(0) => size /= 2,
            Ok(_) => {}
            Err(error) if is_full(&error) => size /= 2,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn empty(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plan::Victim;

    fn fault(name: &str, at: u64, lasts: Option<u64>) -> Fault {
        let victim = Victim { target: "db".to_owned(), replica: None };
        let action = match lasts {
            Some(_) => FaultAction::Stop { victim },
            None => FaultAction::Kill { victim, restart: None },
        };
        Fault {
            name: name.to_owned(),
            at: Duration::from_secs(at),
            words: action.words(None),
            action,
            lasts: lasts.map(Duration::from_secs),
            of: None,
            band: 0.2,
            hold: Duration::from_secs(1),
            metrics: plan::faults::metrics(),
        }
    }

    #[test]
    fn what_is_due_comes_in_order_and_an_end_before_a_beginning() {
        let list = vec![fault("first", 2, Some(3)), fault("second", 5, Some(1)), fault("third", 6, None)];
        let epoch = Epoch::now();
        let mut timeline = Timeline::new(&Faults { list, ..Faults::default() }, epoch);
        let at = |seconds| epoch.instant + Duration::from_secs(seconds);
        assert_eq!(timeline.next(), Some(at(2)));
        assert!(timeline.take(at(1)).is_none());
        let mut found = Vec::new();
        while let Some((_, fault, moment)) = timeline.take(at(10)) {
            found.push((fault.name, moment));
        }
        let expected = [
            ("first", Moment::Begin),
            ("first", Moment::End),
            ("second", Moment::Begin),
            ("second", Moment::End),
            ("third", Moment::Begin),
        ];
        assert_eq!(found, expected.map(|(name, moment)| (name.to_owned(), moment)));
        assert_eq!(timeline.next(), None);
    }

    #[test]
    fn a_fault_that_never_came_is_a_reason_and_one_that_lasts_is_undone() {
        let list = vec![fault("pause", 1, Some(3)), fault("kill", 9, None)];
        let mut timeline = Timeline::new(&Faults { list, ..Faults::default() }, Epoch::now());
        assert_eq!(timeline.lasting().len(), 0);
        let events = Events::default();
        timeline.begun(0, &events);
        assert_eq!(timeline.lasting(), [0]);
        assert_eq!(timeline.reasons(), ["the load was over before the fault `kill`, which was due 9.00 s after its start"]);
        timeline.ended(0, &events);
        timeline.begun(1, &events);
        assert_eq!(timeline.lasting().len(), 0, "what is dead stays dead");
        assert!(timeline.reasons().is_empty());
    }
}
