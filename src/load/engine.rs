//! One generator thread: its clients follow the schedule, every answer is checked and counted.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::account::Account;
use super::direct::Clients;
use super::drivers::script::Script;
use super::drivers::{Aside, Client, Driver};
use super::follower::{Follower, Pace};
use super::schedule::{Presence, Random, Schedule, ThreadSlice};
use super::{Error, Job, Report, thread};
use plan::{Arrivals, Think};
use vocabulary::Phase;

/// What one generator thread does.
pub struct Share<D> {
    /// Number of the thread, from 0.
    pub thread: u64,
    /// How many generator threads share the load.
    pub threads: u64,
    /// Carries the passes.
    pub driver: Arc<D>,
    /// What all threads have in common.
    pub job: Job,
}

/// The whole life of a generator thread.
///
/// # Errors
/// When its runtime or timer cannot be made, or it cannot run on its processors.
pub fn run<D: Driver>(share: &Share<D>) -> Result<Report, Error> {
    let streams = share.driver.streams();
    let clients: Vec<u64> = (0..u64::from(share.job.workload.load.arrivals.connections()) * streams)
        .filter(|n| n / streams % share.threads == share.thread)
        .collect();
    let group = Rc::new(<D::Client as Client>::Group::default());
    let (flow, steps, own) = (&share.job.workload.flow, share.driver.steps(), share.driver.own_steps());
    let script = Rc::new(Script::new(flow, share.driver.names(), steps + own, share.job.seed)?);
    let report = thread::run(&share.job, steps + own, clients.len(), async |account, begin| {
        follow(share, &script, &clients, &group, account, begin).await
    })?;
    share.driver.over(&group, &share.job, &report);
    Ok(Report { traffic: D::Client::traffic(&group), users: D::Client::users(&group), ..report })
}

/// Connects, waits for the other threads, and lets every client follow the schedule to its end: no longer than the
/// drain after the planned end, if there is one, and no shorter either.
async fn follow<D: Driver>(
    share: &Share<D>,
    script: &Rc<Script>,
    numbers: &[u64],
    group: &Rc<<D::Client as Client>::Group>,
    account: &Rc<Account>,
    begin: &thread::Begin,
) -> Result<(), Error> {
    let job = &share.job;
    let load = &job.workload.load;
    let mut clients: Vec<D::Client> = numbers.iter().map(|n| share.driver.client(*n, job.seed, group)).collect();
    let (ramp, stages) = match &load.arrivals {
        Arrivals::Closed { ramp, stages, .. } => (*ramp, stages.as_slice()),
        Arrivals::Open { .. } => (Duration::ZERO, [].as_slice()),
    };
    if ramp.is_zero() && stages.is_empty() {
        let patience = share.driver.patience();
        clients = thread::make_ready(clients, patience, async |client| drop(client.ready().await)).await;
    }
    let origin_ns = thread::together(job, account, begin).await;
    let slice = ThreadSlice::of(share.thread, share.threads, job.seed);
    account.begin(vec![Schedule::new(load, slice, origin_ns)], origin_ns, always_due(load) && !script.has_pauses());
    let (clock, notes) = (Rc::clone(account), Rc::clone(account));
    let phase = Box::new(move || clock.phase_at(clock.pacer.now_ns()));
    D::Client::begins(group, Aside { phase, note: Box::new(move |failure| notes.note(None, failure)) });

    let all = u64::from(load.arrivals.connections()) * share.driver.streams();
    // Pauses, and connections that come and go, are for tasks.
    let is_awaited = match &load.arrivals {
        Arrivals::Closed { think, stages, .. } => *think == Think::None && stages.is_empty() && !script.has_pauses(),
        Arrivals::Open { .. } => !script.has_pauses(),
    };
    let mut followers = Clients::new(account, clients.len(), matches!(load.arrivals, Arrivals::Open { .. }))?;
    for (slot, (number, client)) in numbers.iter().zip(clients).enumerate() {
        let account = Rc::clone(account);
        let (script, place) = (Rc::clone(script), None);
        let mut follower = Follower { slot, client, account, script, measured: first_measured(load), place, is_awaited };
        // What it did before the load belongs to the first phase that is measured.
        follower.record_own(follower.measured);
        let begin_ns = origin_ns.saturating_add(share_of(ramp, *number, all));
        if is_awaited && follower.client.detach() {
            followers.add(follower, begin_ns);
            continue;
        }
        match load.arrivals {
            Arrivals::Closed { think, ref stages, .. } => {
                let presence = Presence::new(stages, origin_ns).map(|presence| (presence, *number));
                let random = Random::new(job.seed, 0x7468_696e_6b00 ^ number.rotate_left(32));
                followers.spawn(follower.closed(Pace { begin_ns, think, random, presence }, None));
            }
            Arrivals::Open { .. } => followers.spawn(follower.open(None)),
        }
    }
    thread::to_the_end(account, job, followers, |now_ns| account.leave_open(now_ns)).await
}

/// When client `number` of `all` starts within the ramp: the first at its start, the last at its end.
fn share_of(ramp: Duration, number: u64, all: u64) -> u64 {
    let share = ramp.as_nanos().saturating_mul(u128::from(number)) / u128::from(all.saturating_sub(1).max(1));
    u64::try_from(share).unwrap_or(u64::MAX)
}

/// The first phase that is not the warm-up.
fn first_measured(load: &plan::Load) -> Phase {
    let phases = || load.segments.iter().map(|segment| segment.phase);
    phases().find(|phase| *phase != Phase::WarmUp).or_else(|| phases().next()).unwrap_or(Phase::During)
}

/// Whether a pass is due whenever a client is free.
fn always_due(load: &plan::Load) -> bool {
    matches!(&load.arrivals, Arrivals::Closed { think: Think::None, stages, .. } if stages.is_empty())
}
