//! What a repetition has so far. It outlives whatever interrupts the repetition, so that everything can be undone and
//! reported.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::actions::Found;
use crate::epoch::Epoch;
use crate::events::Events;
use crate::faults::Timeline;
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
    /// What is broken on purpose.
    pub faults: Timeline,
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
