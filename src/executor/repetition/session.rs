//! What a repetition has so far. It outlives whatever interrupts the repetition, so that everything can be undone and
//! reported.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::watch;

use crate::actions::Found;
use crate::epoch::Epoch;
use crate::kept::Kept;
use crate::network::Network;
use crate::reconcile::{Baselines, Reconciled};
use crate::taps::{TapReport, Taps};
use crate::targets::{Claim, Running};
use hosts::Sent;
use load::{self, Report};
use plan::Workload;
use record::status::Timings;

/// What was made, started and found.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// The replicas, in the order in which they were started.
    pub running: Vec<Running>,
    /// Ports that no other runner may use meanwhile.
    pub claims: Vec<Claim>,
    /// Targets that outlive repetitions and are not in `running`.
    pub kept: Kept,
    pub network: Network,
    /// What set-up steps have found since the other machines were last told.
    pub found: Found,
    pub events: Events,
    /// When the last target was ready.
    pub ready_at: Option<Instant>,
    /// Whether the set-up of the load was started.
    pub clean_up_load: bool,
    /// The workloads of the cell, with late names filled in.
    pub workloads: Vec<Arc<Workload>>,
    /// What servers had counted before the load.
    pub baselines: Baselines,
    pub epoch: Option<Epoch>,
    /// Whether it was reported that the load is over.
    pub is_load_over: bool,
    /// Set to `true` to abandon the load.
    pub abort: watch::Sender<bool>,
    /// Loads that were started and not yet waited for.
    pub loads: Vec<(usize, load::Running)>,
    /// By index of the workload.
    pub reports: Vec<(usize, Report)>,
    /// What all machines have sent to the servers that count.
    pub sent: Vec<Sent>,
    /// From the first to the last request of all machines, in nanoseconds since the epoch.
    pub span: Option<(u64, u64)>,
    /// By how much the load started later than agreed with other machines.
    pub late: Duration,
    pub reconciled: Vec<Reconciled>,
    pub taps: Taps,
    /// What the status says of the taps, once they have ended.
    pub tap_report: TapReport,
    pub timings: Timings,
}

impl Session {
    /// What continues after the repetition.
    pub fn hand_over(&mut self) -> Kept {
        let mut kept = std::mem::take(&mut self.kept);
        kept.put(&mut self.running, std::mem::take(&mut self.claims));
        kept
    }
}

/// What happened, and when.
#[derive(Debug, Default)]
pub(crate) struct Events(RefCell<Vec<(Instant, Value)>>);

impl Events {
    /// Records what happens now.
    pub fn now(&self, event: Value) {
        self.at(Instant::now(), event);
    }

    /// Records what happened at an instant.
    pub fn at(&self, at: Instant, event: Value) {
        self.0.borrow_mut().push((at, event));
    }

    /// One object for each event, in which `at_ns` counts from the start of the load; from the first event if there was
    /// no load.
    pub(super) fn since(&self, epoch: Option<Epoch>) -> Vec<Value> {
        let events = self.0.borrow();
        let epoch = epoch.map(|epoch| epoch.instant).or_else(|| events.first().map(|(at, _)| *at));
        let object = |(at, event): &(Instant, Value)| {
            let at_ns = epoch.map_or(0, |epoch| match at.checked_duration_since(epoch) {
                Some(after) => after.as_nanos() as i64,
                None => -(epoch.duration_since(*at).as_nanos() as i64),
            });
            let mut object = serde_json::Map::from_iter([("at_ns".to_owned(), at_ns.into())]);
            if let Value::Object(rest) = event {
                object.extend(rest.clone());
            }
            object.into()
        };
        events.iter().map(object).collect()
    }
}
