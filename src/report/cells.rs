//! Each cell in detail: its figures, its repetitions, and the data of its view.

use analysis::estimate::Estimate;
use analysis::overview::telling_name;
use analysis::summary::{CellSummary, StepSummary, Summary, Times};
use analysis::values::{self, Selection};
use record::status::Verdict;
use record::tables::WHOLE;
use record::{Repetition, RunRecord};
use vocabulary::units::{count, human_duration, significant};
use vocabulary::{Metric, Quantile, Time};

use crate::logs::Log;
use crate::over_time::{over_time, quantiles, short};
use crate::view::{CellData, CellView, RepetitionFigure, RepetitionView, Table};

/// The view of a cell. `logs`: the ends of the logs of each of its repetitions.
pub fn cell_view(
    run: &RunRecord,
    summary: &Summary,
    index: usize,
    (id, letter): (String, &str),
    logs: &[&Vec<Log>],
    varied: &[&str],
) -> CellView {
    let cell = &summary.cells[index];
    let repetitions: Vec<&Repetition> = run.repetitions.iter().filter(|r| r.cell == index).collect();
    let folder = run.plan.cells[index].path.display();
    CellView {
        id,
        run: letter.to_owned(),
        // Levels that only skipped cells have are not part of short names.
        name: if cell.skipped.is_some() && !cell.cell.is_empty() { cell.cell.clone() } else { telling_name(cell, varied) },
        levels: run.plan.cells[index].levels.clone(),
        size: size(cell),
        skipped: cell.skipped.clone(),
        folder: format!("{}/{}/cells/{folder}", summary.experiment, summary.run),
        data: data(run, cell, index, &repetitions, logs),
    }
}

fn size(cell: &CellSummary) -> String {
    let r = &cell.repetitions;
    let mut words = format!("{} of {} repetitions count", r.valid, r.planned);
    for (number, what) in [(r.invalid, "invalid"), (r.failed, "failed")] {
        if number > 0 {
            words += &format!(", {number} {what}");
        }
    }
    words
}

fn data(run: &RunRecord, cell: &CellSummary, index: usize, repetitions: &[&Repetition], logs: &[&Vec<Log>]) -> CellData {
    let (mut texts, mut phases): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    let views: Vec<RepetitionView> =
        repetitions.iter().zip(logs).map(|(repetition, logs)| view(repetition, logs, &mut texts, &mut phases)).collect();
    let left_out = views.iter().flat_map(|v| &v.logs).filter(|(_, _, text)| text.is_none()).count();
    CellData {
        tables: [steps(cell), brought(cell), targets(cell)].into_iter().filter(|t| !t.rows.is_empty()).collect(),
        figures: figures(cell, repetitions),
        repetitions: views,
        quantiles: quantiles(cell),
        times: over_time(run, index, cell, repetitions),
        phases,
        errors: cell.repetitions.errors.clone(),
        texts,
        logs_left_out: left_out,
    }
}

/// A repetition; `texts` and `phases` get what they do not contain yet.
fn view(repetition: &Repetition, logs: &[Log], texts: &mut Vec<String>, phases: &mut Vec<String>) -> RepetitionView {
    let place = |list: &mut Vec<String>, text: &String| {
        list.iter().position(|known| known == text).unwrap_or_else(|| {
            list.push(text.clone());
            list.len() - 1
        })
    };
    let status = &repetition.status;
    let why = match &status.verdict {
        Verdict::Valid => String::new(),
        Verdict::Invalid { reasons } => reasons.join("; "),
        Verdict::Failed { reason } => reason.clone(),
    };
    let several = status.phases.iter().any(|p| p.workload != status.phases[0].workload);
    let mut of_phases = Vec::new();
    for phase in &status.phases {
        let name = if several { format!("{} {}", phase.workload, phase.phase) } else { phase.phase.clone() };
        of_phases.push((place(phases, &name), phase.start_ns / 1_000_000, phase.end_ns / 1_000_000));
    }
    for fault in &status.faults {
        // The words say what happened; the page tells it apart by how its name starts.
        let Some(begun_ns) = fault.begun_ns else { continue };
        let name = format!("fault: {}", fault.words);
        of_phases.push((place(phases, &name), begun_ns / 1_000_000, fault.ended_ns.unwrap_or(begun_ns) / 1_000_000));
    }
    let logs = logs.iter().map(|(name, length, text)| (name.clone(), *length, text.as_ref().map(|text| place(texts, text))));
    RepetitionView {
        n: status.repetition,
        state: status.verdict.word(),
        why,
        at: status.started_at.clone(),
        phases: of_phases,
        errors: status.errors.clone(),
        logs: logs.collect(),
    }
}

/// The figures of each repetition that a reader looks for first.
fn figures(cell: &CellSummary, repetitions: &[&Repetition]) -> Vec<RepetitionFigure> {
    let mut figures = Vec::new();
    let names = values::workloads(cell);
    let label = |metric: &Metric, workload: &str| {
        if names.len() > 1 && !workload.is_empty() { format!("{workload}: {}", metric.words()) } else { metric.words() }
    };
    let mut add = |metric: &Metric, workload: &str| {
        let part = Selection { workload: Some(workload).filter(|w| !w.is_empty()), ..Selection::default() };
        let found = values::by_repetition(cell, metric, &part);
        if found.is_empty() {
            return;
        }
        let unit = values::unit_of(cell, metric);
        let (axis, scale) = metric.axis();
        let of = |r: &&Repetition| found.iter().find(|(n, _)| *n == r.status.repetition).map(|(_, value)| *value);
        let known = values::estimate_of(cell, metric, &part);
        figures.push(RepetitionFigure {
            name: label(metric, workload),
            unit: if metric.is_named() { unit.clone() } else { axis.to_owned() },
            texts: repetitions.iter().map(|r| of(r).map_or_else(String::new, |v| metric.human(&unit, v))).collect(),
            values: repetitions.iter().map(|r| of(r).map(|v| short(v * scale))).collect(),
            median: known.as_ref().map(|e| (metric.human(&unit, e.median), short(e.median * scale))),
            interval: known.and_then(|e| e.median_interval).map(|(low, high)| (short(low * scale), short(high * scale))),
        });
    };
    for name in &names {
        let brought: Vec<Metric> = cell
            .metrics
            .iter()
            .filter(|m| m.workload == *name && m.phase == "during" && m.interest != vocabulary::Interest::Recorded)
            .map(|m| Metric::named(&m.metric))
            .collect();
        brought.iter().for_each(|metric| add(metric, name));
        for metric in [Metric::Limit, Metric::Throughput] {
            add(&metric, name);
        }
        for quantile in [Quantile::P50, Quantile::P99] {
            add(&Metric::Time(Time::Response, quantile), name);
        }
        add(&Metric::Errors, name);
    }
    [Metric::Pss, Metric::Cpu, Metric::StartUp].iter().for_each(|metric| add(metric, ""));
    figures
}

/// Every step in every phase.
fn steps(cell: &CellSummary) -> Table {
    let header = [
        "workload",
        "phase",
        "step",
        "requests",
        "ok",
        "errors",
        "per second",
        "95 %",
        "response p50",
        "p90",
        "p99",
        "p99.9",
        "max",
        "service p50",
        "p99",
        "lag p99",
    ];
    let row = |s: &StepSummary| {
        let time = |times: Option<Times>, of: fn(&Times) -> u64| times.map_or_else(none, |t| human_duration(of(&t) as f64));
        let rate = s.throughput_per_s.as_ref();
        vec![
            s.workload.clone(),
            s.phase.clone(),
            if s.step == WHOLE { "pass as a whole".to_owned() } else { s.step.clone() },
            count(s.requests),
            count(s.ok),
            kinds(s),
            rate.map_or_else(none, |e| significant(e.median)),
            rate.map_or_else(none, |e| range(e, significant)),
            time(s.response_ns, |t| t.p50),
            time(s.response_ns, |t| t.p90),
            time(s.response_ns, |t| t.p99),
            time(s.response_ns, |t| t.p99_9),
            time(s.response_ns, |t| t.max),
            time(s.service_ns, |t| t.p50),
            time(s.service_ns, |t| t.p99),
            time(s.lag_ns, |t| t.p99),
        ]
    };
    let title = "Requests: counts are totals over the repetitions that count, other figures are medians over them".to_owned();
    Table { title, header: header.map(str::to_owned).to_vec(), rows: cell.steps.iter().map(row).collect() }
}

/// The number of errors, by kind.
fn kinds(step: &StepSummary) -> String {
    let errors = step.unanswered();
    let kinds = step.errors.iter().map(|(kind, n)| (kind.as_str(), *n)).chain([("unsent", step.unsent), ("open", step.open)]);
    let kinds: Vec<String> = kinds.filter(|(_, n)| *n > 0).map(|(kind, n)| format!("{} {kind}", count(n))).collect();
    if kinds.is_empty() { count(errors) } else { format!("{}: {}", count(errors), kinds.join(", ")) }
}

/// The metrics of commands, taps and collected files.
fn brought(cell: &CellSummary) -> Table {
    let row = |m: &analysis::summary::MetricSummary| {
        let metric = Metric::named(&m.metric);
        let say = |value: f64| metric.human(&m.unit, value);
        vec![
            m.workload.clone(),
            m.phase.clone(),
            m.metric.clone(),
            say(m.value.median),
            range(&m.value, say),
            m.value.n.to_string(),
        ]
    };
    let header = ["brought by", "phase", "metric", "median", "95 %", "repetitions"].map(str::to_owned).to_vec();
    Table { title: "Metrics of programs, taps and files".to_owned(), header, rows: cell.metrics.iter().map(row).collect() }
}

/// What targets used.
fn targets(cell: &CellSummary) -> Table {
    let header =
        ["target", "replicas", "start-up", "PSS", "RSS", "CPU", "threads", "open files", "CPU per request", "ended under load"];
    let row = |t: &analysis::summary::TargetSummary| {
        let say =
            |metric: Metric, estimate: &Option<Estimate>| estimate.as_ref().map_or_else(none, |e| metric.human("", e.median));
        vec![
            t.target.clone(),
            t.replicas.to_string(),
            say(Metric::StartUp, &t.start_up_ns),
            say(Metric::Pss, &t.pss_bytes),
            say(Metric::Rss, &t.rss_bytes),
            say(Metric::Cpu, &t.cpu_cores),
            say(Metric::Threads, &t.threads),
            say(Metric::OpenFiles, &t.open_files),
            say(Metric::CpuPerRequest, &t.cpu_per_request_ns),
            t.deaths.to_string(),
        ]
    };
    let title = "Targets: medians over repetitions, all replicas together".to_owned();
    Table { title, header: header.map(str::to_owned).to_vec(), rows: cell.targets.iter().map(row).collect() }
}

fn none() -> String {
    "–".to_owned()
}

/// The 95 % interval of a median, in words.
fn range(estimate: &Estimate, say: impl Fn(f64) -> String) -> String {
    estimate.median_interval.map_or_else(none, |(low, high)| format!("{} to {}", say(low), say(high)))
}
