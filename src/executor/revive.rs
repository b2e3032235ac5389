//! Targets that end while the load runs: this ends the repetition, or, if the scenario asks for it, the target is started again.
//!
//! A target that is started again keeps its port, its files and its logs. Requests that fail meanwhile are data.

use std::time::{Duration, Instant};

use observe::Sampler;
use serde_json::json;

use super::context::Context;
use super::error::Error;
use super::network::Network;
use super::repetition::Events;
use super::targets::{self, Running};
use plan::Cell;
use plan::order::Turn;

/// The longest delay of a new start.
const LONGEST: Duration = Duration::from_secs(60);
/// A target that lived this long is considered healthy: its next new start has the shortest delay again.
const WELL: Duration = Duration::from_secs(60);

/// The delay of a new start after a number of failures in a row, from 1: 1 s, 2 s, 4 s … 60 s.
pub fn back_off(failures: u32) -> Duration {
    let seconds = 1_u64.checked_shl(failures.saturating_sub(1)).unwrap_or(u64::MAX);
    Duration::from_secs(seconds).min(LONGEST)
}

/// What is needed to start a target again.
pub(super) struct Reviver<'a> {
    pub cell: &'a Cell,
    pub turn: Turn,
    /// For targets of this repetition, and for those that outlive it.
    pub contexts: [&'a Context<'a>; 2],
    pub network: &'a Network,
    pub sampler: &'a Sampler,
    pub events: &'a Events,
    /// Whether all targets are started again.
    pub all: bool,
}

/// A target that does not run now.
#[derive(Clone, Copy, Debug)]
struct Down {
    /// Its index among the running targets.
    at: usize,
    /// When it is started again.
    due: Instant,
}

/// How a replica has fared in this repetition.
#[derive(Clone, Copy, Debug)]
struct Health {
    /// Failures in a row.
    failures: u32,
    since: Instant,
}

impl Reviver<'_> {
    fn restarts(&self, one: &Running) -> bool {
        self.all || self.cell.targets.iter().any(|target| target.name == one.status.target && target.restart)
    }

    /// Starts targets that end again, for ever.
    ///
    /// # Errors
    /// When a target ends that is not started again, or the guard ends.
    pub async fn watch(&self, running: &mut [Running]) -> Result<std::convert::Infallible, Error> {
        let mut down: Vec<Down> = Vec::new();
        let mut health = vec![Health { failures: 0, since: Instant::now() }; running.len()];
        loop {
            let next = down.iter().map(|down| down.due).min();
            let due = async {
                match next {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            let ended = tokio::select! {
                biased;
                ended = targets::first_exit(running) => ended,
                () = due => {
                    let now = Instant::now();
                    let Some(at) = down.iter().position(|down| down.due <= now).map(|place| down.remove(place).at) else { continue };
                    match self.start(&mut running[at]).await {
                        Ok(()) => {
                            health[at].since = Instant::now();
                            continue;
                        }
                        Err(error) if error.ends_the_run() => return Err(error),
                        Err(error) => (at, error),
                    }
                }
            };
            let (at, error) = ended;
            let one = &mut running[at];
            if error.ends_the_run() || !self.restarts(one) {
                return Err(error);
            }
            let health = &mut health[at];
            health.failures = if one.is_ready && health.since.elapsed() >= WELL { 1 } else { health.failures + 1 };
            let wait = back_off(health.failures);
            self.bury(one, &error, wait).await?;
            down.push(Down { at, due: Instant::now() + wait });
        }
    }

    /// Ends what is left of a target, and counts and reports its end.
    async fn bury(&self, one: &mut Running, error: &Error, wait: Duration) -> Result<(), Error> {
        let words = vocabulary::errors::chain(error);
        // Its log continues, and has the rest.
        let first = words.lines().next().unwrap_or_default();
        let first = first.split_once("; the end of its log").map_or(first, |(what, _)| what);
        vocabulary::errors::tell(format_args!("warning: {first}; it is started again in {} s", wait.as_secs()));
        let event = json!({"event": "died", "target": one.name, "what": first, "again_after_ns": wait.as_nanos() as u64});
        self.events.now(event);
        one.status.deaths += 1;
        one.is_ready = false;
        targets::stop(self.contexts[0].guard, &mut [&mut *one]).await?;
        one.process = None;
        Ok(())
    }

    async fn start(&self, one: &mut Running) -> Result<(), Error> {
        let found = self.cell.targets.iter().find(|target| target.name == one.status.target);
        let found = found.and_then(|t| Some((t, t.replicas.iter().find(|replica| replica.number == one.status.replica)?)));
        let (target, replica) = found.expect("what runs is a target of the cell");
        let [ours, lasting] = self.contexts;
        let context = if target.lifetime.is_repetition() { ours } else { lasting };
        let namespace = self.network.namespace(&target.name);
        targets::start_again(target, replica, context, namespace.as_deref(), self.turn.cell, one, |one| {
            if let Some(watched) = targets::watched(one, context.guard) {
                self.sampler.add(watched);
            }
            self.events.now(json!({"event": "started-again", "target": one.name, "pid": one.status.pid}));
        })
        .await?;
        self.events.now(json!({"event": "ready", "target": target.name}));
        Ok(())
    }
}

/// Counts the targets that ended in the last moment of the load. Returns the first that should not have ended.
pub(super) fn last_deaths<'r>(running: &'r mut [Running], cell: &Cell, all: bool) -> Option<&'r mut Running> {
    let restarts = |one: &Running| all || cell.targets.iter().any(|t| t.name == one.status.target && t.restart);
    let mut ended = running.iter_mut().filter(|one| one.exited().is_some());
    ended.find_map(|one| {
        if restarts(one) {
            one.status.deaths += 1;
            return None;
        }
        Some(one)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_starts_are_put_off_longer_and_longer_up_to_a_minute() {
        let seconds: Vec<u64> = (1..10).map(|failures| back_off(failures).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(back_off(u32::MAX), LONGEST);
        assert_eq!(back_off(0), Duration::from_secs(1));
    }
}
