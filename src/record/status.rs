//! `status.json`: how a repetition ended, and its totals.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::FORMAT;

/// The status of one repetition. Times count from the start of the load, in nanoseconds; times before it are negative.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the format.
    pub format: u32,
    /// Name of the cell.
    pub cell: String,
    /// Number of the repetition, from 1.
    pub repetition: u32,
    /// Seed of the repetition.
    pub seed: u64,
    /// When it started, UTC.
    pub started_at: String,
    /// Whether the repetition counts, and if not, why.
    pub verdict: Verdict,
    /// The phases of each workload.
    pub phases: Vec<PhaseStatus>,
    /// The trials of searches, in order.
    #[serde(default)]
    pub trials: Vec<TrialStatus>,
    /// How each replica of each target fared.
    pub targets: Vec<TargetStatus>,
    /// The load generator itself.
    pub generator: GeneratorStatus,
    /// The observation itself.
    pub observer: ObserverStatus,
    /// The host during the load; none in formats 1 and 2, and when there was no load.
    #[serde(default)]
    pub host: Option<HostStatus>,
    /// The links, and what was measured on them; none before format 4.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<LinkStatus>,
    /// How its time was spent.
    pub timings: Timings,
    /// The first failed request of each kind, in words.
    pub errors: Vec<String>,
    /// Processes that a target left running when it was stopped.
    pub left_behind: Vec<String>,
    /// What servers counted, compared with what was sent to them; empty in results from before this was compared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reconciled: Vec<ReconciledStatus>,
    /// How each tap fared; none if the scenario has no taps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taps: Vec<TapStatus>,
    /// What ended it early, if it was ended on purpose or the runner was killed; only `measure` keeps such repetitions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_short: Option<CutShort>,
    /// The target that was never ready, and why, if the repetition failed because of that: more repetitions of the cell would
    /// wait in vain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub never_ready: Option<NeverReady>,
    /// How its load started on several machines; none if it was executed on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<StartStatus>,
    /// How the users of each workload fared; empty where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<UsersStatus>,
    /// The workloads that ended early because the rows of which each is drawn at most once had run out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ran_out: Vec<RanOut>,
    /// The machines that executed it together, each with its own part; empty if there was one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostPart>,
    /// Why earlier attempts of it came to nothing: which machine was lost, in words; nothing of them is kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<String>,
    /// When its large tables and logs were removed because of its age, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compacted_at: Option<String>,
}

/// How the users of a workload fared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsersStatus {
    /// Name of the workload.
    pub workload: String,
    /// How often a user logged in, the first time and again.
    pub log_ins: u64,
    /// How often a user logged in again, because an answer asked for it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub again: u64,
    /// How often a user could not log in.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failed: u64,
    /// Users that no longer log in again, because it was in vain too often.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub given_up: u64,
    /// Cookies that were not kept.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cookies_refused: u64,
    /// Why they were not kept, in words: the first of each kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cookies: Vec<String>,
}

impl UsersStatus {
    /// Adds those of another machine.
    pub fn add(&mut self, other: &Self) {
        self.log_ins += other.log_ins;
        self.again += other.again;
        self.failed += other.failed;
        self.given_up += other.given_up;
        self.cookies_refused += other.cookies_refused;
        let new = other.cookies.iter().filter(|why| !self.cookies.contains(why)).cloned().collect::<Vec<_>>();
        self.cookies.extend(new);
    }
}

/// A workload that ended early because its rows had run out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RanOut {
    /// Name of the workload.
    pub workload: String,
    /// When a pass first found no row left, in nanoseconds since the start of the load.
    pub at_ns: u64,
    /// Which rows these were, in words.
    pub words: String,
}

/// How the load started on several machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartStatus {
    /// From the first machine's start to the last one's.
    pub skew_ns: u64,
    /// How far this may be from the truth: what is not known of the machines' clocks.
    pub bound_ns: u64,
}

/// The part of one of several machines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostPart {
    /// Its name in the run.
    pub name: String,
    /// Its role; none: that of the run's own machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// By how much its clock was ahead of the controller's before the load.
    pub offset_before_ns: i64,
    /// The same after the load.
    pub offset_after_ns: i64,
    /// How far both are from the truth at most.
    pub offset_bound_ns: u64,
    /// How much later than agreed its load started, by the controller's clock; negative: earlier.
    pub start_late_ns: i64,
    /// Its load generator.
    pub generator: GeneratorStatus,
    /// Its observation.
    pub observer: ObserverStatus,
    /// What was used of it during the load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostStatus>,
    /// How its time was spent.
    pub timings: Timings,
}

/// A target that was never ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeverReady {
    /// The target's name and the number of the replica.
    pub target: String,
    /// The kind of reason, such as `no-answer`: the same whenever it happens again. Older runners wrote none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Why, in words, without the last lines of its log.
    pub reason: String,
}

impl NeverReady {
    /// Whether this is the same failure again: the words may contain an answer, which differs each time.
    pub fn is_as(&self, other: &Self) -> bool {
        let is_of_one_kind = self.kind == other.kind && (!self.kind.is_empty() || self.reason == other.reason);
        self.target == other.target && is_of_one_kind
    }
}

/// What ended a repetition before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CutShort {
    /// It was asked to end.
    Interrupted,
    /// The runner or the machine ended: of all tables, only that of transfers exists.
    Killed,
}

impl Status {
    /// Of a repetition of which nothing else is known.
    pub fn of(cell: String, repetition: u32, seed: u64, started_at: String, verdict: Verdict) -> Self {
        Self {
            format: FORMAT,
            cell,
            repetition,
            seed,
            started_at,
            verdict,
            phases: Vec::new(),
            trials: Vec::new(),
            targets: Vec::new(),
            generator: GeneratorStatus::default(),
            observer: ObserverStatus::default(),
            host: None,
            links: Vec::new(),
            timings: Timings::default(),
            errors: Vec::new(),
            left_behind: Vec::new(),
            reconciled: Vec::new(),
            taps: Vec::new(),
            cut_short: None,
            never_ready: None,
            start: None,
            users: Vec::new(),
            ran_out: Vec::new(),
            hosts: Vec::new(),
            attempts: Vec::new(),
            compacted_at: None,
        }
    }

    /// Changes all text from outside: not names and numbers.
    #[must_use]
    pub fn with_words(mut self, change: impl Fn(&str) -> String) -> Self {
        match &mut self.verdict {
            Verdict::Valid => {}
            Verdict::Invalid { reasons } => reasons.iter_mut().for_each(|r| *r = change(r)),
            Verdict::Failed { reason } => *reason = change(reason),
        }
        let trials = self.trials.iter_mut().flat_map(|t| &mut t.reasons);
        let unread = self.reconciled.iter_mut().filter_map(|r| r.unread.as_mut());
        let taps = self.taps.iter_mut().flat_map(|t| t.ended.iter_mut().chain(t.misfits.values_mut().map(|m| &mut m.first)));
        let ready = self.never_ready.iter_mut().map(|never| &mut never.reason);
        let cookies = self.users.iter_mut().flat_map(|users| &mut users.cookies);
        let ran_out = self.ran_out.iter_mut().map(|one| &mut one.words);
        let words = cookies
            .chain(ran_out)
            .chain(&mut self.errors)
            .chain(&mut self.left_behind)
            .chain(trials)
            .chain(unread)
            .chain(taps)
            .chain(ready);
        words.chain(self.targets.iter_mut().filter_map(|t| t.ended.as_mut())).for_each(|words| *words = change(words));
        self
    }
}

/// Whether a repetition counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Verdict {
    /// It was completed and counts.
    Valid,
    /// It was completed, and does not count.
    Invalid {
        /// Why it does not count.
        reasons: Vec<String>,
    },
    /// It was not completed.
    Failed {
        /// What went wrong.
        reason: String,
    },
}

impl Verdict {
    /// The verdict in one word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Invalid { .. } => "invalid",
            Self::Failed { .. } => "failed",
        }
    }
}

/// One phase of one workload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseStatus {
    /// Name of the workload.
    pub workload: String,
    /// Name of the phase.
    pub phase: String,
    /// Its start: as planned where the phase has a duration, else when its first request was sent.
    pub start_ns: u64,
    /// Its end: as planned where the phase has a duration, else when its last answer was complete. Before format 5 always
    /// the latter.
    pub end_ns: u64,
    /// Its duration, if it has one; none before format 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_ns: Option<u64>,
    /// Passes that the schedule requested.
    #[serde(default)]
    pub offered: u64,
    /// Those of the offered passes that were never sent.
    #[serde(default)]
    pub unsent: u64,
    /// Passes that ended.
    pub passes: u64,
    /// Those of the ended passes that were not answered as expected.
    pub errors: u64,
    /// Those of the ended passes that had an outcome named by the scenario.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub named: u64,
    /// Correct answers that arrived in the phase, whenever their passes had started; none before format 5.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub completed: u64,
    /// Passes that had not ended when the load was over.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub open: u64,
    /// What was under way at its end, or waited to be sent, by outcome; only where no phase followed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub at_end: BTreeMap<String, u64>,
    /// The longest time that one of these had waited, from its intended start until it ended or the load was over.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub at_end_longest_ns: u64,
    /// How long no pass was answered as expected although passes were due.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub silence_ns: u64,
    /// How long, at the end of an amount, fewer passes were under way than there were connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail_ns: Option<u64>,
}

impl PhaseStatus {
    /// How long it was, in nanoseconds; never 0.
    pub fn duration_ns(&self) -> u64 {
        self.planned_ns.unwrap_or_else(|| self.end_ns.saturating_sub(self.start_ns)).max(1)
    }

    /// How long it was, in seconds; never 0.
    pub fn seconds(&self) -> f64 {
        self.duration_ns() as f64 / 1e9
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// How one replica of a target fared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetStatus {
    /// Name of the target.
    pub target: String,
    /// Number of the replica.
    pub replica: u32,
    /// Its process id; none when runner did not start it.
    pub pid: Option<u32>,
    /// The time from start to ready.
    pub start_up_ns: Option<u64>,
    /// How it ended, if it did so by itself.
    pub ended: Option<String>,
    /// Whether it had to be killed.
    pub killed: bool,
    /// How often it ended under load and was started again.
    #[serde(default, skip_serializing_if = "is_none_of_them")]
    pub deaths: u32,
    /// How much of its logs was cut, as the scenario limits them.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub log_cut_bytes: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_nothing(number: &u64) -> bool {
    *number == 0
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_none_of_them(number: &u32) -> bool {
    *number == 0
}

/// What the generator used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GeneratorStatus {
    /// Processor time of its threads.
    pub cpu_ns: u64,
    /// How long these threads existed, summed.
    pub wall_ns: u64,
    /// Connections that it opened.
    pub connects: u64,
    /// How often a request was sent again because the server had said that it had not processed it.
    #[serde(default)]
    pub sent_again: u64,
    /// How late its timers fired, median; none without timers.
    #[serde(default)]
    pub timer_late_p50_ns: Option<u64>,
    /// 99th percentile, in nanoseconds.
    #[serde(default)]
    pub timer_late_p99_ns: Option<u64>,
    /// The latest, in nanoseconds.
    #[serde(default)]
    pub timer_late_max_ns: Option<u64>,
    /// Windows that could not be recorded.
    #[serde(default)]
    pub dropped_windows: u64,
}

/// One trial of a search for the highest rate that holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialStatus {
    /// Name of the workload.
    pub workload: String,
    /// Passes per second that were offered.
    pub rate_per_s: f64,
    /// When its first request was sent.
    pub start_ns: u64,
    /// When its last answer was complete.
    pub end_ns: u64,
    /// What did not hold; empty when the rate held.
    pub reasons: Vec<String>,
}

/// What the observer used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObserverStatus {
    /// Samples taken.
    pub samples: u64,
    /// Processor time of its thread.
    pub cpu_ns: u64,
    /// How long this thread existed.
    pub wall_ns: u64,
    /// Instants that were skipped because it was too late to sample.
    pub skipped_ticks: u64,
    /// Samples of replicas of which something could not be read for lack of descriptors or memory.
    #[serde(default)]
    pub incomplete_samples: u64,
    /// The longest time without a sample, beyond the interval; 0 in older results.
    #[serde(default)]
    pub longest_gap_ns: u64,
}

/// Who else used the processors during the load, as shares of their time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostStatus {
    /// What the hypervisor took away.
    pub steal_share: f64,
    /// What programs used that are neither targets nor runner; interrupts are not attributed to any program.
    pub others_share: f64,
    /// Pressure, frequency and throttling; empty if the kernel does not report them, and in older results.
    #[serde(default)]
    pub watched: WatchedStatus,
}

/// Pressure, frequency and throttling during the load; what the kernel does not report is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WatchedStatus {
    /// Share of the load's time in which some task was ready but had no core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_pressure_some_share: Option<f64>,
    /// Share in which some task waited for memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_pressure_some_share: Option<f64>,
    /// Share in which all tasks that were not idle waited for memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_pressure_full_share: Option<f64>,
    /// Share in which some task waited for storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub io_pressure_some_share: Option<f64>,
    /// Share in which all tasks that were not idle waited for storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub io_pressure_full_share: Option<f64>,
    /// Mean frequency of the cores while they were busy, as a share of their highest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frequency_mean_share: Option<f64>,
    /// The lowest frequency of a core that was busy for at least half of the time between two samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frequency_lowest_share: Option<f64>,
    /// How often cores were throttled, all of them together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub core_throttles: Option<u64>,
    /// How often whole packages were throttled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_throttles: Option<u64>,
}

/// A link of a repetition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkStatus {
    /// Name of the link.
    pub link: String,
    /// The mechanism that made it: `netem`, `nfqueue`, `relay`.
    pub mechanism: String,
    /// Mechanisms that would have been preferred, and why they do not work here.
    pub rejected: Vec<String>,
    /// The far side's address, as seen from the near side.
    pub host: String,
    /// Round trips, losses and rates before the load; see `links::Measured`.
    pub measured: serde_json::Value,
}

/// What a server counted, and what was sent to it in all phases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReconciledStatus {
    /// Name of the target.
    pub target: String,
    /// The workloads whose requests reach it.
    pub workloads: Vec<String>,
    /// Requests that were written.
    pub sent: u64,
    /// Those of them that had no answer, not even the start of one: they may or may not have arrived.
    pub unanswered: u64,
    /// Requests that followed a redirect to another place, and may have arrived here, too.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub elsewhere: u64,
    /// What it counted; none when that could not be read.
    pub seen: Option<u64>,
    /// Why the count could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
    /// Why it may legitimately have counted more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub others: Option<String>,
}

impl ReconciledStatus {
    /// Whether it counted no more than can have arrived, and no less than must have arrived.
    pub fn fits(&self) -> bool {
        let most = self.sent + self.elsewhere;
        self.seen.is_some_and(|seen| seen + self.unanswered >= self.sent && (seen <= most || self.others.is_some()))
    }
}

/// How a tap fared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TapStatus {
    /// Its name.
    pub tap: String,
    /// Lines that are rows of `taps/<name>.parquet`.
    pub rows: u64,
    /// Lines that do not match.
    pub unmatched: u64,
    /// Lines that were lost because they came faster than they could be read or kept.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped: u64,
    /// Lines that were too long: only their start was examined.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cut: u64,
    /// Why the tap ended before the load was over, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// How often its source ended and came back.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub interruptions: u64,
    /// How long the source was away in total, in nanoseconds: what it would have sent meanwhile is missing.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub away_ns: u64,
    /// Values of fields that are not of the expected kind, by field.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub misfits: BTreeMap<String, MisfitStatus>,
    /// How much the clocks of time stamps differ from ours, by field.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub clocks: BTreeMap<String, ClockStatus>,
}

/// Values of a field that are not of the expected kind: they are absent from the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MisfitStatus {
    /// How many there were.
    pub count: u64,
    /// The first of them, in words.
    pub first: String,
}

/// When rows were read, minus the time stamp in them: how late they were read, plus the difference of the clocks. The least
/// value is close to the difference of the clocks alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockStatus {
    /// The least value of all rows, in nanoseconds.
    pub least_ns: i64,
    /// The median of all rows; where there are many, of an evenly spread part of them.
    pub median_ns: i64,
}

/// How the time of a repetition was spent. Writing this very file is not included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timings {
    /// From start to end.
    pub total_ns: u64,
    /// Set-up and clean-up steps of the scenario, making links, and collecting.
    pub steps_ns: u64,
    /// Starting targets until they were ready.
    pub target_start_ns: u64,
    /// From the last target's readiness to the first request of the load.
    pub ready_to_first_request_ns: u64,
    /// From the start of the load to its end.
    pub load_ns: u64,
    /// Stopping targets.
    pub target_stop_ns: u64,
    /// Writing and syncing tables.
    pub record_ns: u64,
    /// Everything other than steps, target start, load and target stop.
    pub overhead_ns: u64,
}
