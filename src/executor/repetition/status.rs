//! The result of a repetition: its status, for the record.

use super::session::Session;
use crate::error::Error;
use crate::host::HostUse;
use crate::limits;
use load::{self, PhaseReport, Report};
use plan::order::{Turn, seed_of};
use plan::{Cell, DrawnFrom, Plan, Workload};
use record::FORMAT;
use record::status::{
    CutShort, GeneratorStatus, HostStatus, NeverReady, ObserverStatus, PhaseStatus, RanOut, Status, Timings, TrialStatus,
    UsersStatus, Verdict,
};
use vocabulary::choices::RowOrder;
use vocabulary::errors::chain;
use vocabulary::words::harmless;

/// All that is known of a repetition at its end.
pub(super) struct Conclusion<'a> {
    pub plan: &'a Plan,
    pub turn: Turn,
    pub started_at: String,
    /// Whether it was completed.
    pub outcome: Result<(), &'a Error>,
    pub session: &'a Session,
    pub observer: ObserverStatus,
    /// What was used of the host during the load; `None` if the load was too short to say.
    pub host: Option<HostUse>,
    /// How many machines share each workload.
    pub machines: u64,
    /// Processes that had to be killed at the end.
    pub left_behind: Vec<String>,
    /// Whether the memory for recording was used up, in words.
    pub memory_full: Option<String>,
    /// What ended it early, if that was requested.
    pub cut_short: Option<CutShort>,
}

impl Conclusion<'_> {
    /// The status, without secrets.
    pub fn into_status(self) -> Status {
        let session = self.session;
        let phases = self.phases();
        let (users, ran_out) = (self.users(), self.ran_out());
        let status = Status {
            format: FORMAT,
            cell: self.cell().id.0.clone(),
            repetition: self.turn.repetition,
            seed: seed_of(self.plan.seed, self.turn),
            verdict: self.verdict(),
            never_ready: self.never_ready(),
            timings: self.timings(&phases),
            phases,
            trials: self.trials(),
            targets: session.running.iter().map(|r| r.status.clone()).collect(),
            generator: self.generator(),
            observer: self.observer,
            links: session.network.status(),
            host: self.host.map(|h| HostStatus { steal_share: h.steal_share, others_share: h.others_share, watched: h.watched }),
            errors: session.reports.iter().flat_map(|(_, r)| r.examples.clone()).collect(),
            reconciled: session.reconciled.iter().map(|r| r.status.clone()).collect(),
            taps: session.tap_report.status.clone(),
            started_at: self.started_at,
            left_behind: self.left_behind,
            cut_short: self.cut_short,
            start: None,
            users,
            ran_out,
            hosts: Vec::new(),
            attempts: Vec::new(),
            compacted_at: None,
        };
        // Masked first: what is replaced later could be part of a secret.
        status.with_words(|words| harmless(&self.plan.secrets.mask(words)).into_owned())
    }

    fn cell(&self) -> &Cell {
        &self.plan.cells[self.turn.cell]
    }

    fn workload(&self, index: usize) -> &Workload {
        &self.cell().workloads[index]
    }

    /// Whether it counts; if not, why.
    fn verdict(&self) -> Verdict {
        if self.cut_short.is_some() {
            let load = self.session.timings.load_ns as f64;
            let after = vocabulary::units::human_duration(load);
            return Verdict::Failed { reason: format!("stopped on request after {after} of its load") };
        }
        if let Err(error) = self.outcome {
            return Verdict::Failed { reason: chain(error) };
        }
        let session = self.session;
        let reports: Vec<_> = session.reports.iter().map(|(i, r)| (self.workload(*i), r)).collect();
        let mut reasons = limits::reasons(&self.plan.limits, &reports, self.machines, self.host.as_ref());
        reasons.extend(limits::unseen(&self.observer));
        reasons.extend(session.network.reasons());
        reasons.extend(session.reconciled.iter().filter_map(|r| r.reason.clone()));
        reasons.extend(session.tap_report.reasons.iter().cloned());
        reasons.extend(self.memory_full.clone());
        if reasons.is_empty() { Verdict::Valid } else { Verdict::Invalid { reasons } }
    }

    /// What kept it from starting, if that is why it failed.
    fn never_ready(&self) -> Option<NeverReady> {
        let (target, kind, reason) = match self.outcome.err()? {
            Error::Supervise(supervise::Error::NotReady { name, kind, reason, .. }) => (name, kind.clone(), reason.clone()),
            Error::Supervise(supervise::Error::EndedEarly { name, exit, .. }) => (name, exit.to_string(), format!("it {exit}")),
            _ => return None,
        };
        Some(NeverReady { target: target.clone(), kind, reason })
    }

    fn phases(&self) -> Vec<PhaseStatus> {
        let of = |(index, report): &(usize, Report)| {
            let there = report.phases.iter().filter(|p| p.passes > 0 || p.offered > 0 || p.planned_ns.is_some());
            there.map(|p| phase_status(self.workload(*index), report, p)).collect::<Vec<_>>()
        };
        self.session.reports.iter().flat_map(of).collect()
    }

    fn timings(&self, phases: &[PhaseStatus]) -> Timings {
        let session = self.session;
        let mut timings = session.timings;
        if let (Some(ready), Some(epoch), Some(first)) =
            (session.ready_at, session.epoch, phases.iter().map(|p| p.start_ns).min())
        {
            timings.ready_to_first_request_ns = epoch.instant.duration_since(ready).as_nanos() as u64 + first;
        }
        timings
    }

    fn trials(&self) -> Vec<TrialStatus> {
        let of = |(index, report): &(usize, Report)| {
            let trial = |t: &load::Trial| TrialStatus {
                workload: self.workload(*index).name.clone(),
                rate_per_s: t.rate,
                start_ns: t.start_ns,
                end_ns: t.end_ns,
                reasons: t.reasons.clone(),
            };
            report.trials.iter().map(trial).collect::<Vec<_>>()
        };
        self.session.reports.iter().flat_map(of).collect()
    }

    /// How the users of each workload that has some fared.
    fn users(&self) -> Vec<UsersStatus> {
        let of = |(index, report): &(usize, Report)| {
            let load::Users { log_ins, again, failed, given_up, cookies_refused, reasons } = report.users.clone();
            (report.users != load::Users::default()).then(|| UsersStatus {
                workload: self.workload(*index).name.clone(),
                log_ins,
                again,
                failed,
                given_up,
                cookies_refused,
                cookies: reasons,
            })
        };
        self.session.reports.iter().filter_map(of).collect()
    }

    /// The workloads that ended early because their rows had run out.
    fn ran_out(&self) -> Vec<RanOut> {
        let of = |(index, report): &(usize, Report)| {
            let (at_ns, workload) = (report.ran_out_ns?, self.workload(*index));
            let rows = workload.protocol().draws().iter().filter_map(|draw| match &draw.of {
                DrawnFrom::Rows(drawn) if drawn.order == RowOrder::Unique => Some(&drawn.rows),
                _ => None,
            });
            let rows = rows.min_by_key(|rows| rows.count())?;
            let after = vocabulary::units::human_duration(at_ns as f64);
            let words = format!(
                "{}: the {} rows of {} ran out after {after}; its load ended early",
                workload.name,
                rows.count(),
                rows.name(),
            );
            Some(RanOut { workload: workload.name.clone(), at_ns, words })
        };
        self.session.reports.iter().filter_map(of).collect()
    }

    fn generator(&self) -> GeneratorStatus {
        let reports = &self.session.reports;
        let mut timer_late = vocabulary::rows::new_histogram();
        for (_, report) in reports {
            timer_late.add(&report.timer_late).expect("both have the same bounds");
        }
        let late = |q| (!timer_late.is_empty()).then(|| timer_late.value_at_quantile(q));
        let sum = |f: fn(&Report) -> u64| reports.iter().map(|(_, r)| f(r)).sum();
        GeneratorStatus {
            cpu_ns: sum(|r| r.generator_cpu_ns),
            wall_ns: sum(|r| r.generator_wall_ns),
            connects: sum(|r| r.connects),
            sent_again: sum(|r| r.traffic.sent_again),
            timer_late_p50_ns: late(0.5),
            timer_late_p99_ns: late(0.99),
            timer_late_max_ns: late(1.0),
            dropped_windows: sum(|r| r.dropped_windows),
        }
    }
}

/// What is recorded of a phase.
fn phase_status(workload: &Workload, report: &Report, phase: &PhaseReport) -> PhaseStatus {
    let late = report.late_of(phase.phase);
    let names = workload.protocol().outcomes();
    let outcomes = late.into_iter().flat_map(|l| &l.outcomes);
    PhaseStatus {
        workload: workload.name.clone(),
        phase: phase.phase.name().to_owned(),
        start_ns: phase.start_ns.min(phase.end_ns),
        end_ns: phase.end_ns,
        planned_ns: phase.planned_ns,
        offered: phase.offered,
        unsent: phase.unsent,
        passes: phase.passes,
        errors: phase.errors,
        named: phase.named,
        completed: phase.completed,
        open: phase.open,
        at_end: outcomes.map(|(outcome, count)| (outcome.name(&names).to_owned(), *count)).collect(),
        at_end_longest_ns: late.map_or(0, |l| l.longest_ns),
        silence_ns: report.silence_of(phase).total_ns,
        tail_ns: phase.tail_ns(),
    }
}
