//! `runner doctor --same FILE`: an experiment against itself, in sessions. Any difference then comes from the machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::analysis::Summary;
use crate::analysis::compare::{SIGNIFICANT, samples};
use crate::analysis::grid::{Grid, Kind};
use crate::analysis::stats::{self, Session};
use crate::analysis::values::{self, Selection};
use crate::cli;
use crate::cmd::{Stop, plan_of, prepare, print, print_data, report_all, run};
use crate::exit::Exit;
use crate::plan::Plan;
use crate::plan_read::Options;
use crate::record::floor;
use crate::vocabulary::Metric;
use crate::vocabulary::units;

/// Fewer sessions do not show how far sessions lie apart.
const FEWEST: usize = 3;
/// How often a difference of the reported size would be found.
const POWER: f64 = 0.9;

/// What a cell shows against itself.
#[derive(Debug, Serialize)]
struct Floor {
    cell: String,
    workload: String,
    metric: String,
    sessions: usize,
    /// Repetitions in each.
    repetitions: usize,
    /// The smallest difference that this many interleaved repetitions find, as a share.
    seen_within_a_run: Option<f64>,
    /// Standard deviation of sessions, as a share.
    spread_of_sessions: Option<f64>,
    /// By how much two more runs must differ from each other, as a share.
    seen_between_runs: Option<f64>,
    /// How many comparisons were called different: those of neighbouring repetitions, and those of the halves of a session.
    interleaved_called_different: usize,
    halves_called_different: usize,
}

/// Executes the experiment again and again, and reports how far its sessions differ.
pub(super) fn same(args: &cli::Doctor, file: &Path) -> Result<Exit, Stop> {
    let budget = units::parse_duration(&args.budget)
        .filter(|time| !time.is_zero())
        .ok_or_else(|| Stop::new(Exit::InvalidInput, format!("`--for {}`: expected a time, such as `10m`", args.budget)))?;
    let options =
        Options { settings: args.settings.clone(), repetitions: args.repetitions, keeps_snapshots: true, ..Options::default() };
    let plans = report_all([plan_of(file, &options)].into_iter())?;
    let output = cli::Output {
        graphs: PathBuf::from("graphs"),
        no_graphs: true,
        no_report: true,
        svg: false,
        reports: cli::Reports { junit: None, markdown: None },
        otlp: None,
        quiet: true,
        json: false,
        verbose: false,
    };
    let invocation = prepare::prepare(&plans, &output)?;
    let began = Instant::now();
    let (mut made, mut longest) = (0, Duration::ZERO);
    while made < FEWEST || began.elapsed() + longest <= budget {
        let session = Instant::now();
        match run::execute_each(&plans, &options, &args.out, &invocation)? {
            Exit::Interrupted => return Ok(Exit::Interrupted),
            // Invalid repetitions are left out below.
            _ => made += 1,
        }
        longest = longest.max(session.elapsed());
        if !args.json {
            crate::vocabulary::errors::tell(format_args!(
                "session {made} took {}, {} of {} are done",
                units::human_duration(session.elapsed().as_nanos() as f64),
                units::human_duration(began.elapsed().as_nanos() as f64),
                units::human_duration(budget.as_nanos() as f64)
            ));
        }
    }
    let plan = &plans[0];
    let runs = run::runs_of(&invocation, plan, &args.out);
    let kept = floor::add(&args.out.join(&plan.experiment), &runs).map_err(|e| Stop::from_error(Exit::Failure, &e))?;
    let summaries = invocation.summaries.borrow();
    let found = floors(plan, &summaries);
    if args.json {
        print_data(&format!("{}\n", serde_json::to_string_pretty(&found).expect("a floor is always JSON")));
    } else {
        print(&text(&found, &kept));
    }
    Ok(if found.is_empty() { Exit::Repetitions } else { Exit::Success })
}

/// A metric, and its values in each session.
type Sessions = (Metric, Vec<Vec<f64>>);

/// Values of each session, by cell and workload.
fn floors(plan: &Plan, sessions: &[Summary]) -> Vec<Floor> {
    let mut by_part: BTreeMap<(String, String), Sessions> = BTreeMap::new();
    for cell in sessions.iter().flat_map(|s| &s.cells) {
        for workload in values::workloads(cell) {
            let own = cell.metrics.iter().find(|m| m.workload == workload && values::is_own(cell, m));
            let of_command = own.map(|m| Metric::by_name(&m.metric));
            let metric = plan.primary.clone().or(of_command).unwrap_or(Metric::Throughput);
            let values = values::of_cell(cell, &metric, &Selection { workload: Some(workload), ..Selection::default() });
            if !values.is_empty() {
                let key = (cell.cell.clone(), workload.to_owned());
                by_part.entry(key).or_insert_with(|| (metric, Vec::new())).1.push(values);
            }
        }
    }
    by_part.into_iter().map(|((cell, workload), (metric, sessions))| of(cell, workload, &metric, &sessions)).collect()
}

fn of(cell: String, workload: String, metric: &Metric, sessions: &[Vec<f64>]) -> Floor {
    let called =
        |a: &[f64], b: &[f64], in_rounds: bool| usize::from(samples(metric, "", a, b, in_rounds, 0.0).verdict.is_difference());
    let (mut interleaved, mut halves) = (0, 0);
    for values in sessions {
        let of = |first: usize| values.iter().copied().skip(first).step_by(2).take(values.len() / 2).collect::<Vec<f64>>();
        interleaved += called(&of(0), &of(1), true);
        let (first, second) = values.split_at(values.len() / 2);
        halves += called(first, second, false);
    }
    let told: Vec<Session> = sessions.iter().filter_map(|values| Session::of(values).ok()).collect();
    let means: Vec<f64> = told.iter().map(|s| s.log_mean).collect();
    let repetitions = sessions.iter().map(Vec::len).max().unwrap_or_default();
    let n = repetitions as f64;
    // The spread of repetitions within a session: s² from s²/n.
    let within = (told.iter().map(|s| s.mean_variance).sum::<f64>() / told.len().max(1) as f64 * n).sqrt();
    let student = stats::Student::new((2.0 * n - 2.0).max(1.0));
    let reach = student.quantile(1.0 - SIGNIFICANT / 2.0) + student.quantile(POWER);
    let spread = (means.len() >= FEWEST).then(|| stats::standard_deviation(&means).max(within / n.sqrt()));
    Floor {
        cell,
        workload,
        metric: metric.name().to_owned(),
        sessions: sessions.len(),
        repetitions,
        seen_within_a_run: (repetitions > 2 && !told.is_empty()).then(|| (reach * within * (2.0 / n).sqrt()).exp_m1()),
        spread_of_sessions: spread,
        // `compare` will judge two more sessions by these in the same way.
        seen_between_runs: spread.map(|spread| {
            let student = stats::Student::new((means.len() - 1) as f64);
            (student.quantile(1.0 - SIGNIFICANT / 2.0) * spread * std::f64::consts::SQRT_2).exp_m1()
        }),
        interleaved_called_different: interleaved,
        halves_called_different: halves,
    }
}

fn text(found: &[Floor], kept: &Path) -> String {
    if found.is_empty() {
        return "no repetition counts: this experiment says nothing about this machine\n".to_owned();
    }
    let percent = |share: Option<f64>| share.map_or_else(|| "–".to_owned(), |s| format!("{} %", units::significant(s * 100.0)));
    let mut text = String::from("an experiment against itself: what differs is the machine\n\n");
    let numbers = ["sessions", "n", "within a run", "apart", "between runs", "false alarms"];
    let numbers = numbers.map(|name| (name.to_owned(), Kind::Number));
    let mut table = Grid::new(numbers.into_iter().chain([("what".to_owned(), Kind::Words)]));
    for f in found {
        let alarms = format!("{} + {} of {}", f.interleaved_called_different, f.halves_called_different, f.sessions);
        table.add(vec![
            f.sessions.to_string(),
            f.repetitions.to_string(),
            percent(f.seen_within_a_run),
            percent(f.spread_of_sessions),
            percent(f.seen_between_runs),
            alarms,
            format!("{} {} {}", f.metric, f.workload, f.cell).trim_end().to_owned(),
        ]);
    }
    text += &table.text();
    text += "\nwithin a run: the smallest difference that n interleaved repetitions of each would find\n";
    text += "(9 times in 10); apart: standard deviation of sessions; between runs: by how much two\n";
    text += "more runs must differ; false alarms: sessions whose neighbouring repetitions,\n";
    text += "and whose halves, were called different\n";
    text + &format!("kept in {}, and used by `runner compare`\n", kept.display())
}
