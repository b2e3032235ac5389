//! Targets that end while the load runs: this ends the repetition, or, if the scenario asks for it, the target is started again.
//!
//! A target that is started again keeps its port, its files and its logs. Requests that fail meanwhile are data.

use std::path::PathBuf;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use observe::Sampler;
use serde_json::json;

use super::context::Context;
use super::error::Error;
use super::events::Events;
use super::faults::{Breaker, Moment, Timeline};
use super::network::Network;
use super::targets::{self, Running};
use plan::order::Turn;
use plan::{Cell, FaultAction, Replica, Target};

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
    /// The fault that killed it, by its number.
    fault: Option<usize>,
}

/// A target that a fault had killed, and that was started again.
struct Coming<'a> {
    /// Its index among the running targets.
    at: usize,
    /// The fault, by its number.
    fault: usize,
    /// Its end says when it was ready.
    ready: Pin<Box<dyn Future<Output = Result<Instant, supervise::Error>> + 'a>>,
}

/// Waits for the first that is ready, or will never be; for ever if there is none.
async fn first_ready(coming: &mut [Coming<'_>]) -> (usize, Result<Instant, supervise::Error>) {
    std::future::poll_fn(|cx| {
        for (place, one) in coming.iter_mut().enumerate() {
            if let Poll::Ready(ready) = one.ready.as_mut().poll(cx) {
                return Poll::Ready((place, ready));
            }
        }
        Poll::Pending
    })
    .await
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
    pub async fn watch(&self, running: &mut [Running], faults: &mut Timeline) -> Result<std::convert::Infallible, Error> {
        let mut down: Vec<Down> = Vec::new();
        let mut coming: Vec<Coming<'_>> = Vec::new();
        let [ours, _] = self.contexts;
        let breaker = Breaker { guard: ours.guard, network: self.network, events: self.events, scratch: &ours.scratch };
        let mut health = vec![Health { failures: 0, since: Instant::now() }; running.len()];
        loop {
            let next = down.iter().map(|down| down.due).chain(faults.next()).min();
            let due = async {
                match next {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            let ended = tokio::select! {
                biased;
                ended = targets::first_exit(running) => ended,
                (place, ready) = first_ready(&mut coming) => {
                    let Coming { at, fault, .. } = coming.swap_remove(place);
                    let one = &mut running[at];
                    let ready = ready?;
                    one.ready_again(ready);
                    self.events.now(json!({"event": "ready", "target": one.name}));
                    faults.ended(fault, self.events);
                    continue;
                }
                () = due => {
                    let now = Instant::now();
                    if let Some((number, fault, moment)) = faults.take(now) {
                        match moment {
                            Moment::End => breaker.end(faults, number, running).await?,
                            Moment::Begin => {
                                let killed = breaker.begin(faults, number, &fault, running).await?;
                                // Nobody waits any more for what is dead, or starts it again but the fault.
                                coming.retain(|coming| !killed.contains(&coming.at));
                                down.retain(|down| !killed.contains(&down.at));
                                if let FaultAction::Kill { restart: Some(restart), .. } = fault.action {
                                    down.extend(killed.into_iter().map(|at| Down { at, due: now + restart, fault: Some(number) }));
                                }
                            }
                        }
                        continue;
                    }
                    if let Some(place) = down.iter().position(|down| down.due <= now && down.fault.is_some()) {
                        let Down { at, fault, .. } = down.remove(place);
                        let (target, replica, context, namespace) = self.parts(&running[at]);
                        self.begin_again(&mut running[at]).await?;
                        let ready = Box::pin(targets::readiness(target, replica, context, namespace, &running[at]));
                        coming.push(Coming { at, fault: fault.unwrap_or_default(), ready });
                        continue;
                    }
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
            if one.may_end && !error.ends_the_run() {
                // A fault has asked it to end.
                let name = one.name.clone();
                targets::stop(ours.guard, &mut [&mut *one]).await?;
                (one.process, one.is_ready) = (None, false);
                self.events.now(json!({"event": "ended", "target": name, "what": one.status.ended}));
                continue;
            }
            if error.ends_the_run() || !self.restarts(one) {
                return Err(error);
            }
            let health = &mut health[at];
            health.failures = if one.is_ready && health.since.elapsed() >= WELL { 1 } else { health.failures + 1 };
            let wait = back_off(health.failures);
            self.bury(one, &error, wait).await?;
            down.push(Down { at, due: Instant::now() + wait, fault: None });
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

    /// What is needed to start a replica.
    fn parts(&self, one: &Running) -> (&Target, &Replica, &Context<'_>, Option<PathBuf>) {
        let found = self.cell.targets.iter().find(|target| target.name == one.status.target);
        let found = found.and_then(|t| Some((t, t.replicas.iter().find(|replica| replica.number == one.status.replica)?)));
        let (target, replica) = found.expect("what runs is a target of the cell");
        let [ours, lasting] = self.contexts;
        let context = if target.lifetime.is_repetition() { ours } else { lasting };
        (target, replica, context, self.network.namespace(&target.name))
    }

    fn started(&self, one: &Running) {
        if let Some(watched) = targets::watched(one, self.contexts[0].guard) {
            self.sampler.add(watched);
        }
        self.events.now(json!({"event": "started-again", "target": one.name, "pid": one.status.pid}));
    }

    /// Starts a replica that a fault has killed, without waiting until it is ready: the next fault may be due before.
    async fn begin_again(&self, one: &mut Running) -> Result<(), Error> {
        let (target, replica, context, namespace) = self.parts(one);
        let started = |one: &Running| self.started(one);
        targets::start_anew(target, replica, context, namespace.as_deref(), self.turn.cell, one, started).await
    }

    async fn start(&self, one: &mut Running) -> Result<(), Error> {
        let (target, replica, context, namespace) = self.parts(one);
        let started = |one: &Running| self.started(one);
        targets::start_again(target, replica, context, namespace.as_deref(), self.turn.cell, one, started).await?;
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
