//! The parts of a cell in `summary.json`, made of its figures and of the statuses of its repetitions.

use std::collections::BTreeMap;

use super::cells::{Figures, Part, Series, value_of};
use super::estimate::Estimates;
use super::figures::{
    GENERATOR_CPU, GENERATOR_RATE, OF_OUTCOME, OFFERED_PASSES, RECEIVED_BYTES, REQUESTS, SENT_BYTES, UNSENT_PASSES,
};
use super::requests::StepTimes;
use super::stats;
use super::summary::{
    GeneratorSummary, LoadSummary, MetricSummary, SearchSummary, StepRepetition, StepSummary, TargetPhase, TargetSummary, Times,
};
use super::times::medians;
use record::Repetition;
use record::read::{CellRecord, Named};
use record::status::{PhaseStatus, ScrapeStatus, TapStatus};
use vocabulary::rows::FEWEST_WINDOWS;
use vocabulary::units::human_duration;
use vocabulary::{Interest, Metric, Outcome, Phase, Quantile, Time};

/// How the loads of a cell went, apart from their results.
pub(super) fn loads(cell: &CellRecord, valid: &[&Repetition], window_ns: u64) -> Vec<LoadSummary> {
    let mut summaries = Vec::new();
    for workload in &cell.workloads {
        for phase in Phase::ALL.iter().filter(|p| !matches!(p, Phase::WarmUp | Phase::Search)) {
            let mine = |p: &&PhaseStatus| p.workload == workload.name && p.phase == phase.name();
            let found: Vec<&PhaseStatus> = valid.iter().filter_map(|r| r.status.phases.iter().find(mine)).collect();
            if found.is_empty() {
                continue;
            }
            let seconds = stats::median(&found.iter().map(|p| p.seconds()).collect::<Vec<f64>>());
            let tails: Vec<f64> = found.iter().filter_map(|p| p.tail_ns).map(|ns| ns as f64).collect();
            let mut at_end: BTreeMap<String, u64> = BTreeMap::new();
            for (outcome, count) in found.iter().flat_map(|p| &p.at_end) {
                *at_end.entry(outcome.clone()).or_default() += count;
            }
            let shortest_s = (window_ns as f64 / 1e9 * f64::from(FEWEST_WINDOWS)).max(SHORTEST_S);
            summaries.push(LoadSummary {
                workload: workload.name.clone(),
                phase: phase.name().to_owned(),
                seconds,
                least_seconds: shortest_s,
                // The load of a command takes as long as the command does; the planned length is unknown.
                is_short: !workload.is_program && seconds < shortest_s,
                at_end,
                at_end_longest_ns: found.iter().map(|p| p.at_end_longest_ns).max().unwrap_or_default(),
                silence_ns: found.iter().map(|p| p.silence_ns).max().unwrap_or_default(),
                tail_ns: (!tails.is_empty()).then(|| stats::median(&tails) as u64),
            });
        }
    }
    summaries
}

/// A shorter load says little, whatever its windows.
const SHORTEST_S: f64 = 1.0;

/// A share of the processors' time above this is reported.
const MUCH: f64 = 0.1;

/// What else used the processors during the load of valid repetitions, where the median share was large.
pub(super) fn busy(valid: &[&Repetition]) -> Option<String> {
    let hosts: Vec<_> = valid.iter().filter_map(|r| r.status.host).collect();
    let share = |of: fn(&record::status::HostStatus) -> f64| stats::median(&hosts.iter().map(of).collect::<Vec<_>>());
    let (others, steal) = (share(|h| h.others_share), share(|h| h.steal_share));
    let words = [(others, "other programs used"), (steal, "the hypervisor took")]
        .map(|(share, who)| (share > MUCH).then(|| format!("{who} {:.0} % of the processors' time", share * 100.0)));
    let words: Vec<String> = words.into_iter().flatten().collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// How many attempts of repetitions came to nothing, and why the first one did.
pub(super) fn executed_again<'r>(repetitions: impl Iterator<Item = &'r Repetition>) -> Option<(usize, String)> {
    let attempts: Vec<&String> = repetitions.flat_map(|repetition| &repetition.status.attempts).collect();
    Some((attempts.len(), (*attempts.first()?).clone()))
}

/// Where servers counted something else than was sent to them in valid repetitions, each target once.
pub(super) fn counts(valid: &[&Repetition]) -> Vec<String> {
    let mut told: BTreeMap<&str, String> = BTreeMap::new();
    for one in valid.iter().flat_map(|r| &r.status.reconciled).filter(|one| !one.fits()) {
        told.entry(&one.target).or_insert_with(|| match (&one.seen, &one.unread) {
            (Some(seen), _) => format!("`{}` counted {seen} requests, but {} were sent to it", one.target, one.sent),
            (None, why) => format!("the count of `{}` could not be read: {}", one.target, why.as_deref().unwrap_or_default()),
        });
    }
    told.into_values().collect()
}

/// How well times between machines are known, where clocks of several were compared: twice the largest bound of an offset. None
/// where all is one machine.
pub(super) fn known_between_machines(valid: &[&Repetition]) -> Option<String> {
    let bounds = valid.iter().filter(|r| r.status.hosts.len() > 1).flat_map(|r| &r.status.hosts);
    let bound_ns = 2 * bounds.map(|host| host.offset_bound_ns).max()?;
    let known = human_duration(bound_ns as f64);
    Some(format!("times between machines are known within {known}: their clocks were compared before and after each load"))
}

/// What went wrong with taps in valid repetitions, each kind once.
pub(super) fn taps(valid: &[&Repetition]) -> Vec<String> {
    let all = || valid.iter().flat_map(|r| &r.status.taps);
    let mut names: Vec<&str> = all().map(|t| t.tap.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let mut words = Vec::new();
    for name in names {
        let mine = || all().filter(|t| t.tap == name);
        if mine().any(|t| t.scrapes.is_some()) {
            words.extend(scrapes(name, mine()));
            continue;
        }
        let sum = |of: fn(&TapStatus) -> u64| mine().map(of).sum::<u64>();
        let lines = sum(|t| t.rows + t.unmatched + t.dropped);
        let (dropped, cut) = (sum(|t| t.dropped), sum(|t| t.cut));
        if dropped > 0 {
            words.push(format!("`{name}` lost {dropped} of {lines} lines: they came faster than they could be kept"));
        }
        if cut > 0 {
            words.push(format!("`{name}` had {cut} lines that were too long; only their start was examined"));
        }
        let ended: Vec<&String> = mine().filter_map(|t| t.ended.as_ref()).collect();
        if let Some(first) = ended.first() {
            words.push(format!("`{name}` ended early in {} of {} repetitions: {first}", ended.len(), valid.len()));
        }
        let (interruptions, away) = (sum(|t| t.interruptions), sum(|t| t.away_ns));
        if interruptions > 0 {
            words.push(format!("`{name}` was away {interruptions} times, {} in all, and came back", human_duration(away as f64)));
        }
        let misfits = || mine().flat_map(|t| &t.misfits);
        let mut fields: Vec<(&String, &String)> = misfits().map(|(field, misfit)| (field, &misfit.first)).collect();
        fields.dedup_by_key(|(field, _)| field.as_str());
        fields.sort_by_key(|(field, _)| field.as_str());
        fields.dedup_by_key(|(field, _)| field.as_str());
        for (field, first) in fields {
            let count: u64 = misfits().filter(|(name, _)| *name == field).map(|(_, misfit)| misfit.count).sum();
            words.push(format!("`{field}` of `{name}` is not of the expected kind in {count} rows: {first}"));
        }
        if sum(|t| t.rows) == 0 && dropped == 0 && ended.is_empty() {
            words.push(format!("`{name}` has no rows: none of {} lines matches", sum(|t| t.unmatched)));
        }
    }
    words
}

/// What went wrong with the scrapes of a page.
fn scrapes<'t>(name: &str, all: impl Iterator<Item = &'t TapStatus> + Clone) -> Vec<String> {
    let found = all.clone().filter_map(|status| status.scrapes.as_ref());
    let sum = found.fold(ScrapeStatus::default(), ScrapeStatus::with);
    let mut words = Vec::new();
    if sum.missing() > 0 {
        words.push(format!("`{name}`: {}", sum.missing_in_words()));
    }
    let dropped: u64 = all.map(|status| status.dropped).sum();
    if dropped > 0 {
        words.push(format!(
            "`{name}` lost {dropped} values: it has more than can be kept; expected fewer `series`, or a longer `every`"
        ));
    }
    if sum.resets > 0 {
        words.push(format!("`{name}`: counters started again {} times; they are continued from there", sum.resets));
    }
    words.extend(sum.notes.iter().map(|note| format!("`{name}`: {note}")));
    words
}

/// Targets, and programs that make the load: these are watched like targets.
pub(super) fn watched(cell: &CellRecord) -> Vec<Named> {
    let commands = cell.workloads.iter().filter(|w| w.is_program);
    cell.targets.iter().cloned().chain(commands.map(|w| Named { name: w.name.clone() })).collect()
}

/// One step of a workload in one phase.
pub(super) fn step_summary(cell: &CellRecord, figures: &Figures, times: StepTimes, estimates: &mut Estimates) -> StepSummary {
    let part = times.part();
    let named = cell.workloads.iter().filter(|w| w.name == part.workload).flat_map(|w| &w.outcomes);
    let named: Vec<String> = named.cloned().collect();
    let all = |values: &[(u32, f64)]| values.iter().map(|(_, value)| *value as u64).sum::<u64>();
    let sum = |metric: &str| all(figures.values(&part, metric));
    let count = |outcome: &str| sum(&format!("{OF_OUTCOME}{outcome}"));
    let mut estimated = |metric: Metric| estimates.of(&figures.plain(&part, metric.name()));
    let throughput_per_s = estimated(Metric::Throughput);
    let (sent_bytes, received_bytes) = (sum(SENT_BYTES), sum(RECEIVED_BYTES));
    let upload_bytes_per_s = (sent_bytes > 0).then(|| estimated(Metric::Upload)).flatten();
    let download_bytes_per_s = (received_bytes > 0).then(|| estimated(Metric::Download)).flatten();
    let open = Outcome::Open.name(&[]);
    let outcomes = figures.of_part(&part).iter().filter(|s| !s.values.is_empty());
    let outcomes = outcomes.filter_map(|s| Some((s.metric.strip_prefix(OF_OUTCOME)?.to_owned(), all(&s.values))));
    let is_error = |outcome: &String| outcome != "ok" && outcome != open && !named.contains(outcome);
    let by_repetition = by_repetition(figures, &part, &named);
    let median = |of: fn(&StepRepetition) -> Option<Times>| medians(&by_repetition.iter().filter_map(of).collect::<Vec<Times>>());
    StepSummary {
        requests: sum(REQUESTS),
        ok: count("ok"),
        named: named.iter().map(|name| (name.clone(), count(name))).collect(),
        errors: outcomes.filter(|(outcome, _)| is_error(outcome)).collect(),
        sent_bytes,
        received_bytes,
        offered: sum(OFFERED_PASSES),
        unsent: sum(UNSENT_PASSES),
        open: count(open),
        throughput_per_s,
        upload_bytes_per_s,
        download_bytes_per_s,
        service_ns: median(|r| r.service_ns),
        response_ns: median(|r| r.response_ns),
        lag_ns: median(|r| r.lag_ns),
        connect_ns: median(|r| r.connect_ns),
        first_byte_ns: median(|r| r.first_byte_ns),
        all_requests: times.all,
        by_repetition,
        distributions: times.distributions,
        workload: part.workload,
        phase: part.phase,
        step: part.step,
    }
}

/// A step in each repetition that counts. `named`: outcomes that the scenario names.
fn by_repetition(figures: &Figures, part: &Part, named: &[String]) -> Vec<StepRepetition> {
    // Each metric is looked up once, and then holds its values by number of the repetition.
    let of_name = |metric: &str| ByNumber(figures.values(part, metric));
    let of = |metric: Metric| of_name(metric.name());
    let outcome = |name: &str| of_name(&format!("{OF_OUTCOME}{name}"));
    let (requests, ok, open) = (of_name(REQUESTS), outcome("ok"), outcome(Outcome::Open.name(&[])));
    let named: Vec<ByNumber<'_>> = named.iter().map(|name| outcome(name)).collect();
    let (offered, unsent) = (of_name(OFFERED_PASSES), of_name(UNSENT_PASSES));
    let (duration, throughput, spread) = (of(Metric::Duration), of(Metric::Throughput), of(Metric::ThroughputStdev));
    let (upload, download) = (of(Metric::Upload), of(Metric::Download));
    let times = |time: Time| Quantile::ALL.map(|(_, _, quantile)| of(Metric::Time(time, quantile)));
    let [service, response, lag, connect, first_byte] =
        [Time::Service, Time::Response, Time::Lag, Time::Connect, Time::FirstByte].map(times);
    let one = |number: u32| {
        let times = |of: &[ByNumber<'_>; Quantile::ALL.len()]| {
            let [mean, standard_deviation, p25, p50, p75, p90, p95, p99, p99_9, max] =
                of.each_ref().map(|values| values.at(number));
            let ns = |value: Option<f64>| value.map(|ns| ns as u64);
            Some(Times {
                mean: mean?,
                standard_deviation: standard_deviation?,
                p25: ns(p25)?,
                p50: ns(p50)?,
                p75: ns(p75)?,
                p90: ns(p90)?,
                p95: ns(p95)?,
                p99: ns(p99)?,
                p99_9: ns(p99_9)?,
                max: ns(max)?,
            })
        };
        StepRepetition {
            repetition: number,
            requests: requests.count(number),
            ok: ok.count(number),
            named: named.iter().map(|of| of.count(number)).sum(),
            offered: offered.count(number),
            unsent: unsent.count(number),
            open: open.count(number),
            seconds: duration.at(number).unwrap_or_default() / 1e9,
            throughput_per_s: throughput.at(number).unwrap_or_default(),
            throughput_stdev_per_s: spread.at(number),
            upload_bytes_per_s: upload.at(number).unwrap_or_default(),
            download_bytes_per_s: download.at(number).unwrap_or_default(),
            service_ns: times(&service),
            response_ns: times(&response),
            lag_ns: times(&lag),
            connect_ns: times(&connect),
            first_byte_ns: times(&first_byte),
        }
    };
    requests.0.iter().map(|(number, _)| one(*number)).collect()
}

/// Values of one metric, ascending by the number of the repetition.
struct ByNumber<'f>(&'f [(u32, f64)]);

impl ByNumber<'_> {
    fn at(&self, number: u32) -> Option<f64> {
        value_of(self.0, number)
    }

    fn count(&self, number: u32) -> u64 {
        self.at(number).unwrap_or_default() as u64
    }
}

/// The unit of a metric that was reported, and how interesting it is.
pub(super) fn brought_as(cell: &CellRecord, workload: &str, metric: &str) -> (String, Interest) {
    let collected = cell.collect.iter().filter(|c| c.name == workload).flat_map(|c| &c.metrics);
    if let Some(found) = collected.into_iter().find(|m| m.name == metric) {
        return (found.unit.clone(), Interest::Question);
    }
    if let Some(tap) = cell.taps.iter().find(|t| t.name == workload) {
        let found = tap.metrics.iter().find(|m| m.name == metric);
        // Rows are expected to have a partner.
        let unjoined = || ("rows".to_owned(), Interest::Fault);
        return found.map_or_else(unjoined, |m| (m.unit.clone(), Interest::Question));
    }
    let faults = cell.faults.list.iter().filter(|fault| fault.name == workload);
    if let Some(found) = faults.flat_map(|fault| &fault.metrics).find(|m| m.name == metric) {
        return (found.unit.clone(), found.interest);
    }
    let workloads = || cell.workloads.iter().filter(|w| w.name == workload);
    if workloads().any(|w| w.outcomes.iter().any(|name| name == metric)) {
        return ("%".to_owned(), Interest::Question);
    }
    let brought = workloads().flat_map(|w| &w.metrics).find(|m| m.name == metric);
    brought.map_or_else(|| (String::new(), Interest::Question), |m| (m.unit.clone(), m.interest))
}

/// What commands reported and what was collected, one value per repetition.
pub(super) fn metrics(cell: &CellRecord, figures: &Figures, estimates: &mut Estimates) -> Vec<MetricSummary> {
    let summary = |series: &Series| {
        let values: Vec<f64> = series.values.iter().map(|(_, value)| *value).collect();
        let (workload, phase, metric) = (series.part.workload.clone(), series.part.phase.clone(), series.metric.clone());
        let ((unit, interest), value) = (brought_as(cell, &workload, &metric), estimates.of(&values)?);
        Some(MetricSummary { unit, value, workload, phase, metric, interest })
    };
    figures.brought().filter_map(summary).collect()
}

/// The highest rates that searches found.
pub(super) fn limits(
    cell: &CellRecord,
    valid: &[&Repetition],
    figures: &Figures,
    estimates: &mut Estimates,
) -> Vec<SearchSummary> {
    let mut summaries = Vec::new();
    for workload in &cell.workloads {
        let (mut below_range, mut above_range, mut trials) = (0, 0, 0);
        let mut reasons = Vec::new();
        for repetition in valid {
            let mine: Vec<_> = repetition.status.trials.iter().filter(|t| t.workload == workload.name).collect();
            if mine.is_empty() {
                continue;
            }
            trials += mine.len();
            reasons.extend(mine.iter().flat_map(|t| t.reasons.iter().map(|r| format!("{:.0} per second: {r}", t.rate_per_s))));
            let held = mine.iter().filter(|t| t.reasons.is_empty()).map(|t| t.rate_per_s).fold(f64::NAN, f64::max);
            let highest = mine.iter().map(|t| t.rate_per_s).fold(0.0, f64::max);
            if held.is_nan() {
                below_range += 1;
            } else {
                // No rate above it was tried: the range ended there.
                above_range += u32::from(held >= highest);
            }
        }
        if trials > 0 {
            reasons.truncate(5);
            let part = Part { workload: workload.name.clone(), ..Part::default() };
            let rate_per_s = estimates.of(&figures.plain(&part, Metric::Limit.name()));
            summaries.push(SearchSummary {
                workload: workload.name.clone(),
                rate_per_s,
                below_range,
                above_range,
                trials,
                reasons,
            });
        }
    }
    summaries
}

/// Each target, and each program that makes the load; `phases`: those in which they were watched.
pub(super) fn targets(
    cell: &CellRecord,
    watched: &[Named],
    valid: &[&Repetition],
    phases: &[&'static str],
    figures: &Figures,
    estimates: &mut Estimates,
) -> Vec<TargetSummary> {
    // After the targets come the programs that make the load.
    let first_command = cell.targets.len();
    let summary = |target: &Named| {
        let statuses = || valid.iter().map(|r| r.status.targets.iter().filter(|t| t.target == target.name));
        let mut of = |phase: &str, metric: Metric| {
            let part = Part { target: target.name.clone(), phase: phase.to_owned(), ..Part::default() };
            estimates.of(&figures.plain(&part, metric.name()))
        };
        let in_phase = |phase: &&str| TargetPhase {
            phase: (*phase).to_owned(),
            pss_bytes: of(phase, Metric::Pss),
            rss_bytes: of(phase, Metric::Rss),
            cpu_cores: of(phase, Metric::Cpu),
            threads: of(phase, Metric::Threads),
            open_files: of(phase, Metric::OpenFiles),
            cpu_per_request_ns: of(phase, Metric::CpuPerRequest),
            switches_per_request: of(phase, Metric::SwitchesPerRequest),
            io_per_request_bytes: of(phase, Metric::IoPerRequest),
        };
        TargetSummary {
            target: target.name.clone(),
            replicas: statuses().map(|t| t.count() as u32).max().unwrap_or_default(),
            watched: statuses().flatten().any(|t| t.pid.is_some())
                || watched[first_command..].iter().any(|c| c.name == target.name),
            deaths: statuses().flatten().map(|t| t.deaths).sum(),
            phases: phases.iter().map(in_phase).collect(),
            pss_bytes: of("", Metric::Pss),
            rss_bytes: of("", Metric::Rss),
            cpu_cores: of("", Metric::Cpu),
            threads: of("", Metric::Threads),
            open_files: of("", Metric::OpenFiles),
            cpu_per_request_ns: of("", Metric::CpuPerRequest),
            switches_per_request: of("", Metric::SwitchesPerRequest),
            io_per_request_bytes: of("", Metric::IoPerRequest),
            start_up_ns: of("", Metric::StartUp),
        }
    };
    watched.iter().map(summary).collect()
}

/// How much of the logs of each target was cut.
pub(super) fn logs_cut(repetitions: &[&Repetition]) -> BTreeMap<String, u64> {
    let mut cut = BTreeMap::new();
    for target in repetitions.iter().flat_map(|r| &r.status.targets).filter(|target| target.log_cut_bytes > 0) {
        *cut.entry(target.target.clone()).or_default() += target.log_cut_bytes;
    }
    cut
}

/// The load generator; none if its use is unknown.
pub(super) fn generator(figures: &Figures, estimates: &mut Estimates) -> Option<GeneratorSummary> {
    let mut of = |metric: &str| estimates.of(&figures.plain(&Part::default(), metric));
    Some(GeneratorSummary { cpu_share: of(GENERATOR_CPU)?, requests_per_cpu_s: of(GENERATOR_RATE)? })
}
