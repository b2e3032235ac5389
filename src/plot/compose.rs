//! From a summary and its run to figures: chooses the numbers that each graph of the scenario shows. Pure except for reading
//! tables.

mod by_node;
mod left_out;
mod rounds;
mod scale;
mod trend;

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::{Bar, BarSeries, Data, Figure, LineSeries, Phase, QuantileSeries};
use analysis::compare::{Rounds, ratio};
use analysis::curves::LinePart;
use analysis::estimate::{estimate, median_interval};
use analysis::summary::{CellSummary, StepSummary, Summary};
use analysis::values::Selection;
use analysis::{Error, curves, stats, values};
use record::status::FaultStatus;
use record::tables::WHOLE;
use record::{Graph, Repetition, RunRecord, Shape};
use vocabulary::file_names::fitting;
use vocabulary::{Metric, Time};

pub use left_out::LeftOut;

/// A figure and the name of its file, without `.png`.
pub type NamedFigure = (String, Figure);

/// What a run has to show.
#[derive(Debug)]
pub struct Pictures {
    /// In the order of the scenario.
    pub figures: Vec<NamedFigure>,
    /// Graphs that the scenario asks for and that would show nothing, in the same order.
    pub left_out: Vec<LeftOut>,
}

/// A graph, or why there is none.
enum Picture {
    Figure(Box<Figure>),
    LeftOut(LeftOut),
}

/// All figures of a run. A figure without any value is left out, and so are lines over the time of a load that is too short for
/// them.
///
/// # Errors
/// When a table that a graph needs cannot be read.
pub fn figures(run: &RunRecord, summary: &Summary) -> Result<Pictures, Error> {
    // Repeating asks how stable a metric is: the answer gets a separate picture, if the scenario does not define one.
    let repeated = run.plan.repeat.as_ref().map(|r| Graph::rounds(r.metric.clone()));
    let repeated = repeated.filter(|graph| !run.plan.graphs.iter().any(|g| g.shape == graph.shape));
    let of = |graph| facets(graph, summary).into_iter().map(move |facet| (graph, facet));
    let wanted: Vec<(&Graph, Facet)> = run.plan.graphs.iter().chain(&repeated).flat_map(of).collect();
    // On all cores; the order is kept.
    let composed = wanted.par_iter().map(|(graph, facet)| {
        let composer = Composer { run, summary, graph, facet };
        Ok(composer.picture()?.map(|picture| (composer.file_name(), picture)))
    });
    let composed: Vec<Option<(String, Picture)>> = composed.collect::<Result<_, Error>>()?;
    let mut pictures: Vec<(String, Picture)> = composed.into_iter().flatten().collect();
    // Two graphs of the same kind would share a name; the second gets a number.
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (name, _) in &mut pictures {
        let count = seen.entry(name.clone()).or_default();
        *count += 1;
        if *count > 1 {
            *name = format!("{name}-{count}");
        }
    }
    let (mut figures, mut left_out) = (Vec::new(), Vec::new());
    figures.extend(by_node::by_node(run, summary));
    for (name, picture) in pictures {
        match picture {
            Picture::Figure(figure) => figures.push((name, *figure)),
            Picture::LeftOut(why) => left_out.push(LeftOut { name, ..why }),
        }
    }
    Ok(Pictures { figures, left_out })
}

/// One level for each factor that distinguishes pictures of a graph.
type Facet = Vec<(String, String)>;

/// Every combination of the facets' levels. Factors that vary and that a graph does not use become facets themselves: a bar
/// or a curve never mixes cells.
fn facets(graph: &Graph, summary: &Summary) -> Vec<Facet> {
    let bound = |name: &str| graph.x.as_deref() == Some(name) || graph.series.as_deref() == Some(name);
    let mut facets: Vec<Facet> = vec![Vec::new()];
    for (name, levels) in &summary.factors {
        if bound(name) {
            continue;
        }
        let wanted = graph.only.iter().find(|(factor, _)| factor == name).map(|(_, labels)| labels);
        let levels: Vec<&String> = levels.iter().filter(|l| wanted.is_none_or(|w| w.contains(l))).collect();
        if levels.len() <= 1 && !graph.facet.contains(name) && wanted.is_none() {
            continue;
        }
        facets = facets
            .iter()
            .flat_map(|facet| levels.iter().map(|l| facet.iter().cloned().chain([(name.clone(), (*l).clone())]).collect()))
            .collect();
    }
    facets
}

struct Composer<'a> {
    run: &'a RunRecord,
    summary: &'a Summary,
    graph: &'a Graph,
    facet: &'a Facet,
}

/// Phases in order of time.
const PHASES: [&str; 5] = ["warm-up", "before", "during", "after", "search"];

/// What an axis may stand for besides a factor.
const PARTS: [&str; 4] = ["step", "target", "workload", "phase"];

/// Chooses a level of an axis that is not a factor; factors choose cells, not parts of them.
fn choose<'a>(selection: &mut Selection<'a>, axis: Option<&str>, level: &'a str) {
    match axis {
        Some("step") => selection.step = Some(level),
        Some("target") => selection.target = Some(level),
        Some("workload") => selection.workload = Some(level),
        Some("phase") => selection.phase = Some(level),
        _ => {}
    }
}

/// A level as a legend shows it: a bare number is preceded by the name of its factor.
fn level_label(factor: &str, level: &str) -> String {
    let number = level.chars().all(|c| c.is_ascii_digit() || c == '.');
    if number { format!("{factor} {level}") } else { level.to_owned() }
}

/// Name, start and end of the phases of a repetition. Where the end of the warm-up was found in the measurement, the warm-up
/// is one of them.
fn phases(cell: &CellSummary, repetition: &Repetition) -> Vec<(&'static str, u64, u64)> {
    let mut found = Vec::new();
    for phase in &repetition.status.phases {
        let Some(name) = PHASES.into_iter().find(|name| *name == phase.phase) else { continue };
        let auto = cell.steadiness.iter().filter(|s| s.auto_warm_up && s.workload == phase.workload && name == "during");
        let mine = auto.flat_map(|s| &s.by_repetition).find(|s| s.repetition == repetition.status.repetition);
        let cut = mine.and_then(|s| s.steady_from_ns).map_or(phase.start_ns, |cut| cut.max(phase.start_ns));
        found.push(("warm-up", phase.start_ns, cut));
        found.push((name, cut, phase.end_ns));
    }
    found
}

/// The faults of repetitions as stretches of time, at their medians; one that was not undone is a line.
fn faults(broken: &[&FaultStatus]) -> Vec<Phase> {
    let mut names: Vec<&str> = Vec::new();
    for fault in broken {
        if !names.contains(&fault.fault.as_str()) {
            names.push(&fault.fault);
        }
    }
    let seconds = |ns: u64| ns as f64 / 1e9;
    let stretch = |name: &&str| {
        let mine: Vec<&&FaultStatus> = broken.iter().filter(|fault| fault.fault == **name && fault.begun_ns.is_some()).collect();
        let starts: Vec<f64> = mine.iter().filter_map(|fault| fault.begun_ns).map(seconds).collect();
        let ends: Vec<f64> = mine.iter().filter_map(|fault| fault.ended_ns).map(seconds).collect();
        let start = (!starts.is_empty()).then(|| stats::median(&starts))?;
        let end = if ends.is_empty() { start } else { stats::median(&ends) };
        // A name that was not made of these words was typed to be seen.
        let words = &mine[0].words;
        let is_made = words.to_lowercase().replace([' ', '.'], "-").starts_with(*name);
        let label = if is_made { words.clone() } else { format!("{name}: {words}") };
        Some(Phase { name: label, start, end, marked: false, fault: true })
    };
    names.iter().filter_map(stretch).collect()
}

impl Composer<'_> {
    fn cells(&self) -> impl Iterator<Item = (usize, &CellSummary)> {
        self.summary.cells.iter().enumerate().filter(|(_, cell)| {
            let level = |factor: &str| cell.levels.get(factor);
            self.facet.iter().all(|(f, l)| level(f) == Some(l))
                && self.graph.only.iter().all(|(f, labels)| level(f).is_some_and(|l| labels.contains(l)))
        })
    }

    /// How many repetitions of a cell are behind a figure, in words: `8 repetitions`, `7 to 8 repetitions`.
    fn repetitions(&self) -> String {
        let counts = || self.cells().map(|(_, cell)| cell.repetitions.valid).filter(|n| *n > 0);
        match (counts().min(), counts().max()) {
            (Some(least), Some(most)) if least < most => format!("{least} to {most} repetitions"),
            (_, most) => format!("{} repetitions", most.unwrap_or_default()),
        }
    }

    fn file_name(&self) -> String {
        let (kind, metric) = match &self.graph.shape {
            Shape::Bars(m) => ("bars", m.name()),
            Shape::Stack(metrics) => ("stack", metrics.first().map_or("", Metric::name)),
            Shape::Ratio(m, _) => ("ratio", m.name()),
            Shape::Lines(m) => ("lines", m.name()),
            Shape::Trend { metric, .. } => ("lines-by", metric.name()),
            Shape::Rounds(m) => ("rounds", m.name()),
            Shape::RoundsOf(metrics) => ("rounds", metrics.first().map_or("", Metric::name)),
            Shape::Quantiles(time) => ("quantiles", time.name()),
        };
        let mut parts = vec![metric.to_owned(), kind.to_owned()];
        parts.extend(self.graph.x.clone().filter(|_| matches!(self.graph.shape, Shape::Trend { .. })));
        parts.extend(self.named_workload().map(str::to_owned));
        parts.extend(self.graph.step.clone());
        let varies = |name: &str| self.summary.factors.iter().any(|(factor, levels)| factor == name && levels.len() > 1);
        parts.extend(self.facet.iter().filter(|(factor, _)| varies(factor)).map(|(factor, level)| format!("{factor}={level}")));
        let safe = |c: char| if c.is_alphanumeric() || "-_=.+".contains(c) { c } else { '_' };
        fitting(&parts.join("-").chars().map(safe).collect::<String>())
    }

    /// The workload that the graph shows, where the graph names one and there are others.
    fn named_workload(&self) -> Option<&str> {
        let others = |name: &str| self.cells().flat_map(|(_, c)| &c.steps).any(|s| s.workload != name);
        self.graph.workload.as_deref().filter(|name| others(name))
    }

    /// Levels of a factor that occur in this picture, in the order of the file.
    fn levels(&self, factor: &str) -> Vec<String> {
        let all = self.summary.factors.iter().find(|(name, _)| name == factor).map(|(_, levels)| levels.as_slice());
        let there = |l: &&String| self.cells().any(|(_, c)| c.levels.get(factor) == Some(l));
        all.unwrap_or_default().iter().filter(there).cloned().collect()
    }

    /// The unit of a metric; that of a command's metric is in the summary.
    fn unit(&self, metric: &Metric) -> String {
        if matches!(metric, Metric::Throughput | Metric::ThroughputStdev) && self.graph.step.is_some() {
            return "requests/s".to_owned();
        }
        let Metric::Named(_) = metric else { return metric.axis().0.to_owned() };
        let mut found = self.cells().flat_map(|(_, c)| &c.metrics).filter(|m| m.metric == metric.name());
        found.next().map_or_else(String::new, |m| m.unit.clone())
    }

    fn step_name(&self) -> &str {
        self.graph.step.as_deref().unwrap_or(WHOLE)
    }

    fn frame(&self, metric_words: &str, unit: &str, x_label: String, data: Data, note: String) -> Figure {
        let of_step = self.graph.step.as_ref().map_or_else(String::new, |s| format!(" of the step {s}"));
        let facet: Vec<String> = self.facet.iter().map(|(f, l)| format!("{f} {l}")).collect();
        let title = self.graph.title.clone().unwrap_or_else(|| {
            if self.summary.question.is_empty() { self.summary.experiment.clone() } else { self.summary.question.clone() }
        });
        let of_workload = self.named_workload().map_or_else(String::new, |w| format!(" of {w}"));
        // `throughput, ratio to before`: the workload is written after the metric.
        let (metric, rest) = metric_words.find(", ").map_or((metric_words, ""), |at| metric_words.split_at(at));
        let what = format!("{metric}{of_step}{of_workload}{rest}");
        let subtitle = if facet.is_empty() { what.clone() } else { format!("{what}; {}", facet.join(", ")) };
        let y_label = if unit.is_empty() { what } else { format!("{what} ({unit})") };
        Figure { title, subtitle, x_label, y_label, note: Some(note), data }
    }

    /// The figure with a note about what is missing in it; none if the scenario has no cell for it.
    fn picture(&self) -> Result<Option<Picture>, Error> {
        if self.cells().next().is_none() {
            return Ok(None);
        }
        if let Some(why) = self.too_short() {
            return Ok(Some(Picture::LeftOut(why)));
        }
        let Some(mut figure) = self.figure()?.filter(|figure| figure.data.has_values()) else {
            return Ok(Some(Picture::LeftOut(self.without_values())));
        };
        if let (Some(note), Some(missing)) = (&mut figure.note, self.skipped()) {
            note.push_str(&format!("; {missing}"));
        }
        Ok(Some(Picture::Figure(Box::new(figure))))
    }

    fn figure(&self) -> Result<Option<Figure>, Error> {
        match &self.graph.shape {
            Shape::Bars(metric) => Ok(Some(self.bars(metric, None))),
            Shape::Stack(metrics) => Ok(Some(self.stack(metrics))),
            Shape::Ratio(metric, baseline) => Ok(Some(self.bars(metric, Some(baseline)))),
            Shape::Lines(metric) => self.lines(metric),
            Shape::Trend { metric, model } => Ok(Some(self.trend(metric, model.as_ref()))),
            Shape::Rounds(metric) => Ok(self.rounds(metric)),
            Shape::RoundsOf(metrics) => Ok(self.rounds_of(metrics)),
            Shape::Quantiles(time) => Ok(Some(self.quantiles(*time))),
        }
    }

    // ---- bars

    /// The values of a metric in the unit of the picture, one per valid repetition.
    fn values(&self, cell: &CellSummary, metric: &Metric, part: Selection<'_>) -> Vec<f64> {
        let (_, scale) = metric.axis();
        values::of_cell(cell, metric, &self.part(part)).into_iter().map(|v| v * scale).collect()
    }

    /// Which part of a cell is meant, combined with what the graph says about all of its axes.
    fn part<'a>(&'a self, part: Selection<'a>) -> Selection<'a> {
        Selection {
            workload: part.workload.or(self.graph.workload.as_deref()),
            phase: part.phase,
            step: Some(part.step.unwrap_or(self.step_name())),
            target: part.target,
        }
    }

    /// Levels along an axis: those of a factor, the steps that occur, or the targets.
    fn axis(&self, name: Option<&str>) -> Vec<String> {
        let distinct = |names: Vec<String>| {
            let mut seen = Vec::new();
            for name in names {
                if !seen.contains(&name) {
                    seen.push(name);
                }
            }
            seen
        };
        match name {
            None => vec![String::new()],
            Some("step") => {
                distinct(self.cells().flat_map(|(_, c)| &c.steps).filter(|s| s.step != WHOLE).map(|s| s.step.clone()).collect())
            }
            Some("workload") => {
                let sending = distinct(self.cells().flat_map(|(_, c)| &c.steps).map(|s| s.workload.clone()).collect());
                // What was collected or followed belongs to no workload that sends requests.
                let owners = distinct(self.owners());
                if owners.is_empty() || sending.iter().any(|name| owners.contains(name)) { sending } else { owners }
            }
            Some("phase") => {
                let there = |phase: &&str| self.cells().any(|(_, c)| c.steps.iter().any(|s| s.phase == **phase));
                PHASES.iter().filter(|p| there(p)).map(|p| (*p).to_owned()).collect()
            }
            Some("target") => distinct(self.cells().flat_map(|(_, c)| &c.targets).map(|t| t.target.clone()).collect()),
            Some(factor) => self.levels(factor),
        }
    }

    /// The sources of the graph's custom metrics: workloads, taps, entries of `collect`.
    fn owners(&self) -> Vec<String> {
        let metrics: &[Metric] = match &self.graph.shape {
            Shape::Stack(metrics) => metrics,
            shape => shape.metric().map_or(&[], std::slice::from_ref),
        };
        let is_meant = |name: &str| metrics.iter().any(|metric| metric.is_named() && metric.name() == name);
        let brought = self.cells().flat_map(|(_, c)| &c.metrics).filter(|m| is_meant(&m.metric));
        brought.map(|m| m.workload.clone()).collect()
    }

    /// The cell, and the part of it, for a level of x and one of the series.
    fn cell_at<'a>(&'a self, group: &'a str, level: &'a str) -> Option<(&'a CellSummary, Selection<'a>)> {
        let (x, series) = (self.graph.x.as_deref(), self.graph.series.as_deref());
        let mut part = Selection::default();
        choose(&mut part, x, group);
        choose(&mut part, series, level);
        let fits = |cell: &CellSummary, axis: Option<&str>, level: &str| match axis {
            Some(factor) if !PARTS.contains(&factor) => cell.levels.get(factor).is_some_and(|l| l == level),
            _ => true,
        };
        self.cells().find(|(_, c)| fits(c, x, group) && fits(c, series, level)).map(|(_, c)| (c, part))
    }

    /// A level of the series as the legend shows it.
    fn series_label(&self, level: &str) -> String {
        match self.graph.series.as_deref() {
            None => String::new(),
            Some(part) if PARTS.contains(&part) => level.to_owned(),
            Some(factor) => level_label(factor, level),
        }
    }

    fn stack(&self, metrics: &[Metric]) -> Figure {
        let x = self.graph.x.as_deref();
        let groups = self.axis(x);
        let height = |metric: &Metric, group: &str| {
            let (cell, part) = self.cell_at(group, "")?;
            let values = self.values(cell, metric, part);
            (!values.is_empty()).then(|| stats::median(&values))
        };
        // A first word that all parts share says what the parts are: `stage connect`, `stage request`.
        let words: Vec<String> = metrics.iter().map(Metric::words).collect();
        let first = words.first().and_then(|words| words.split_once(' ')).map_or("", |(first, _)| first);
        let common = words.iter().all(|words| words.split_once(' ').is_some_and(|(word, _)| word == first));
        let name = |words: String| if common { words[first.len() + 1..].to_owned() } else { words };
        let part = |metric: &Metric| (name(metric.words()), groups.iter().map(|group| height(metric, group)).collect());
        let parts = metrics.iter().map(part).collect();
        let unit = metrics.first().map_or_else(String::new, |metric| self.unit(metric));
        let n = self.repetitions();
        let note = format!("each part: median of {n}; run {}", self.summary.run);
        let what = if common { format!("by {first}") } else { "in parts".to_owned() };
        self.frame(&what, &unit, x.unwrap_or_default().to_owned(), Data::Stack { groups, parts }, note)
    }

    fn bars(&self, metric: &Metric, baseline: Option<&str>) -> Figure {
        let unit = self.unit(metric);
        let (x, series) = (self.graph.x.as_deref(), self.graph.series.as_deref());
        let groups = self.axis(x);
        let values = |group: &str, level: &str| -> Vec<f64> {
            self.cell_at(group, level).map(|(c, part)| self.values(c, metric, part)).unwrap_or_default()
        };
        let label = |level: &str| self.series_label(level);
        let bar = |group: &str, level: &str| {
            let mine = values(group, level);
            match baseline {
                None if mine.is_empty() => None,
                None => {
                    let value = stats::median(&mine);
                    let (low, high) = median_interval(&mine).unwrap_or((value, value));
                    Some(Bar { value, low, high, points: mine })
                }
                Some(baseline) if series == Some("phase") => self.ratio_of_phases(group, level, baseline, metric),
                Some(baseline) => {
                    if level == baseline {
                        return (!mine.is_empty()).then(|| Bar { value: 1.0, low: 1.0, high: 1.0, points: Vec::new() });
                    }
                    let numbered = |level: &str| {
                        let found = self.cell_at(group, level);
                        found.map(|(c, part)| values::by_repetition(c, metric, &self.part(part))).unwrap_or_default()
                    };
                    let (value, interval) = ratio(&numbered(baseline), &numbered(level), &Rounds::of(self.run))?;
                    let (low, high) = interval.unwrap_or((value, value));
                    Some(Bar { value, low, high, points: Vec::new() })
                }
            }
        };
        let series_levels = self.axis(series);
        let bars: Vec<BarSeries> = series_levels
            .iter()
            .map(|level| BarSeries { name: label(level), bars: groups.iter().map(|g| bar(g, level)).collect() })
            .collect();
        let n = self.repetitions();
        let log = self.is_log(bars.iter().flat_map(|one| &one.bars).flatten().map(|bar| bar.value));
        let edge = if log { "; the y axis is logarithmic, and bars stand on its lower edge" } else { "" };
        let data = Data::Bars { groups, series: bars, reference: baseline.map(|_| 1.0), log };
        let x_label = x.unwrap_or_default().to_owned();
        match baseline {
            None => {
                let note = format!(
                    "median of {n} (dots: each one); error bars: bootstrap (BCa) 95 % interval of it{edge}; run {}",
                    self.summary.run
                );
                self.frame(&metric.words(), &unit, x_label, data, note)
            }
            Some(baseline) => {
                let base = label(baseline);
                let what = if series == Some("phase") {
                    format!("median of the ratios within {n} (dots: each one); error bars: bootstrap (BCa) 95 % interval of it")
                } else {
                    format!("Hodges-Lehmann ratio of {n}; error bars: its 95 % interval, as in `compare`")
                };
                let note = format!("{what}{edge}; run {}", self.summary.run);
                self.frame(&format!("{}, ratio to {base}", metric.words()), "", x_label, data, note)
            }
        }
    }

    /// A phase over another, repetition by repetition: both were measured on the same processes.
    fn ratio_of_phases(&self, group: &str, phase: &str, over: &str, metric: &Metric) -> Option<Bar> {
        let (cell, part) = self.cell_at(group, phase)?;
        let above = self.part(part);
        let below = Selection { phase: Some(over), ..above };
        let ratios: Vec<f64> = values::ratios(cell, metric, &above, &below).ok()?.into_iter().map(|(_, ratio)| ratio).collect();
        let found = estimate(&ratios)?;
        let (low, high) = found.median_interval.unwrap_or((found.median, found.median));
        // The ratio of a phase to itself is 1, in every repetition.
        let points = if phase == over { Vec::new() } else { ratios };
        Some(Bar { value: found.median, low, high, points })
    }

    // ---- lines

    fn lines(&self, metric: &Metric) -> Result<Option<Figure>, Error> {
        let (_, scale) = metric.axis();
        let mut series: Vec<LineSeries> = Vec::new();
        let mut stretches: Vec<(&str, f64, f64)> = Vec::new();
        let mut broken: Vec<&FaultStatus> = Vec::new();
        let by = self.graph.series.as_deref().unwrap_or_default();
        for (index, cell) in self.cells() {
            let only = self.graph.workload.as_deref();
            let steps = || cell.steps.iter().filter(|s| s.phase == "during" && only.is_none_or(|w| w == s.workload));
            let of_step = |s: &StepSummary| LinePart::Step(Some(s.workload.clone()), s.step.clone());
            let watched = || cell.targets.iter().filter(|t| t.watched).map(|t| t.target.clone());
            // A pass of one step is the same as that step.
            let single = |workload: &str| steps().filter(|s| s.workload == workload).count() == 2;
            let parts: Vec<LinePart> = match by {
                "target" => watched().map(|t| LinePart::Targets(vec![t])).collect(),
                _ if metric.is_resource() => vec![LinePart::Targets(watched().collect())],
                _ if metric.is_named() => {
                    let all = self.run.plan.cells[index].taps.iter().filter(|t| only.is_none_or(|name| name == t.name));
                    let brings = all.filter(|t| t.metrics.iter().any(|m| m.name == metric.name()));
                    // Several workloads are distinguished only where the graph asks for it.
                    let shown = if by == "workload" { usize::MAX } else { 1 };
                    brings.take(shown).map(|t| LinePart::Tap(t.name.clone())).collect()
                }
                "step" => steps().filter(|s| s.step != WHOLE || !single(&s.workload)).map(of_step).collect(),
                "workload" => steps().filter(|s| s.step == self.step_name()).map(of_step).collect(),
                _ => vec![LinePart::Step(only.map(str::to_owned), self.step_name().to_owned())],
            };
            let several = steps().any(|s| steps().any(|other| other.workload != s.workload));
            let name = |part: &LinePart| match (by, part) {
                ("workload", LinePart::Step(Some(workload), _) | LinePart::Tap(workload)) => workload.clone(),
                ("step", LinePart::Step(Some(workload), step)) if several => format!("{workload} {step}"),
                ("step", LinePart::Step(_, step)) if step == WHOLE => "pass as a whole".to_owned(),
                ("step", LinePart::Step(_, step)) => step.clone(),
                ("target", LinePart::Targets(targets)) => targets.concat(),
                (factor, _) => cell.levels.get(factor).map_or_else(String::new, |l| level_label(factor, l)),
            };
            let names: Vec<String> = parts.iter().map(name).collect();
            let window = self.run.plan.window.as_secs_f64();
            let repetitions = curves::counted(self.run, index, &cell.repetitions.counted);
            // A table that cannot be read has no line; the summary names it.
            let lines = curves::lines(&self.run.plan.cells[index], &repetitions, &parts, metric, window);
            for (repetition, lines) in repetitions.into_iter().zip(lines) {
                for (name, mut line) in names.iter().zip(lines) {
                    for point in &mut line {
                        point.1 *= scale;
                    }
                    match series.iter_mut().find(|s| s.name == *name) {
                        Some(series) => series.lines.push(line),
                        None => series.push(LineSeries { name: name.clone(), lines: vec![line], middle: Vec::new() }),
                    }
                }
                broken.extend(repetition.status.faults.iter());
                let phases = phases(cell, repetition);
                for name in PHASES {
                    let mine = || phases.iter().filter(|(phase, start, end)| *phase == name && end > start);
                    let start = mine().map(|(_, start, _)| *start).min();
                    let end = mine().map(|(_, _, end)| *end).max();
                    stretches.extend(start.zip(end).map(|(s, e)| (name, s as f64 / 1e9, e as f64 / 1e9)));
                }
            }
        }
        if series.is_empty() {
            return Ok(None);
        }
        let n = series.iter().map(|s| s.lines.len()).max().unwrap_or_default();
        let mut phases: Vec<Phase> = Vec::new();
        for name in PHASES {
            let of = |f: fn(&(&str, f64, f64)) -> f64| stretches.iter().filter(|s| s.0 == name).map(f).collect::<Vec<f64>>();
            let (starts, ends) = (of(|s| s.1), of(|s| s.2));
            if starts.is_empty() {
                continue;
            }
            let (start, end) = (stats::median(&starts), stats::median(&ends));
            // What was under way when the next phase started belongs to the phase in which it started; the picture shows the
            // start.
            if let Some(before) = phases.last_mut() {
                before.end = before.end.min(start);
            }
            phases.push(Phase { name: name.to_owned(), start, end, marked: false, fault: false });
        }
        // If the only other phase is a warm-up, the measurement is not highlighted; with a phase before or after, it is what
        // they are compared with.
        let compared = phases.iter().any(|p| matches!(p.name.as_str(), "before" | "after"));
        for phase in &mut phases {
            phase.marked = compared && phase.name == "during";
        }
        phases.extend(faults(&broken));
        series.iter_mut().for_each(|one| one.middle = curves::middle(&one.lines));
        let what = match series.iter().any(|one| !one.middle.is_empty()) {
            true => format!("thin: a line per repetition ({n}), thick: their median"),
            false => format!("one line per repetition ({n})"),
        };
        let shown = |one: &LineSeries| if one.middle.is_empty() { one.lines.concat() } else { one.middle.clone() };
        let log = self.is_log(series.iter().flat_map(shown).map(|(_, value)| value));
        let axis = if log { "; the y axis is logarithmic" } else { "" };
        let note = format!("{what}; 0 s is the start of the load, phases at their medians{axis}; run {}", self.summary.run);
        let data = Data::Lines { series, phases, log };
        Ok(Some(self.frame(&metric.words(), &self.unit(metric), "time since the start of the load (s)".to_owned(), data, note)))
    }

    // ---- quantiles

    fn quantiles(&self, time: Time) -> Figure {
        let mut series = Vec::new();
        let by = self.graph.series.as_deref();
        for level in self.axis(by) {
            let mut part = Selection { workload: self.graph.workload.as_deref(), ..Selection::default() };
            choose(&mut part, by, &level);
            let (step, phase) = (part.step.unwrap_or(self.step_name()), part.phase.unwrap_or("during"));
            let mut steps: Vec<&StepSummary> = Vec::new();
            for (_, cell) in self.cells() {
                if by.is_none_or(|b| PARTS.contains(&b) || cell.levels.get(b) == Some(&level)) {
                    let mut found = cell.steps.iter().filter(|s| s.step == step && s.phase == phase);
                    // One workload: the first that has this step.
                    let workload = steps.first().map(|s| s.workload.as_str()).or(part.workload);
                    steps.extend(found.find(|s| workload.is_none_or(|w| w == s.workload)));
                }
            }
            if steps.is_empty() {
                continue;
            }
            let points = curves::distribution(&steps, time);
            let points = points.into_iter().map(|(q, ns)| (q, ns * 1e-6)).collect();
            let label = match by {
                None => String::new(),
                Some(by) if PARTS.contains(&by) => level.clone(),
                Some(factor) => level_label(factor, &level),
            };
            series.push(QuantileSeries { name: label, points });
        }
        let n = self.repetitions();
        let what = match time {
            Time::Service => "service time",
            Time::Response => "response time",
            Time::Lag => "schedule lag",
            Time::Connect => "time to connect",
            Time::FirstByte => "time to the first byte",
        };
        let note = format!(
            "{n} merged, correct answers; unanswered requests count with the time that they had waited; run {}",
            self.summary.run
        );
        self.frame(what, "ms", "quantile".to_owned(), Data::Quantiles { series }, note)
    }
}
