//! From a parsed file to a plan, or to all of its mistakes. `cells` builds the individual cells.

use std::cell::{Cell as StdCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::diagnostics::{Diagnostics, forget_repeated};
use super::drivers::READERS;
use super::environment::Environment;
use super::expr::{self, Scope};
use super::factors::{self, Levels};
use super::levels::Factor;
use super::names::{RESERVED, ScenarioNames};
use super::options::{Options, Rejection};
use super::{expectations, faults, files, graphs, hosts, lifetimes, rows, scrape, spelling};
use plan::experiment::Scratch;
use plan::taps::UNJOINED;
use plan::{Abort, Action, Cell, CellId, Graph, Limits, Plan, Reconcile, Record, Role, Secrets};
use schema::source::{self, one_of};
use schema::{Data, Entry, Mistake, Node, SourceFile, Span, decode, node, types};
use vocabulary::Phase;
use vocabulary::metric::{NOT_RECOVERED, RECOVERY};
use vocabulary::rows::WHOLE;

/// More repetitions than this in one run are a typing error.
const MAX_REPETITIONS: u64 = 1_000_000;
/// File names are made from it, with more added.
const MOST_OF_A_NAME: usize = 100;
/// A generator that uses more of its processors than this has no time to spare.
const GENERATOR_CPU: f64 = 0.95;
/// If a system answers more of its requests wrongly, the speed of the right answers says little.
const ERRORS: f64 = 0.01;
/// While nothing is answered there is no throughput, and no time that could become worse.
const SILENCE: f64 = 0.01;
/// Connections that hang do not take part in the load that was requested.
const OPEN: f64 = 0.01;
/// Phases are compared in windows, and the shortest window is 10 ms.
const START_SKEW: Duration = Duration::from_millis(20);
/// When the directory of a run is known.
pub(super) const KEPT: &str = "when a run starts";
/// When what set-up steps carry is known.
pub(super) const FOUND: &str = "when a set-up step has found it";
/// Default length of a window.
pub(super) const WINDOW: Duration = Duration::from_millis(500);

/// No more mistakes than this are collected in one file.
const MAX_MISTAKES: usize = 1000;
/// How much of a file with mistakes is read again for further cells that bring no new ones, counted in values.
const MAX_REREADING: usize = 1_000_000;

/// A scenario file that was read.
#[derive(Clone, Debug)]
pub struct Document {
    file: Arc<SourceFile>,
    root: Node,
    /// What is spelled differently from the language.
    notes: Vec<String>,
    /// Keys that are in a wrong column.
    misplaced: Vec<Mistake>,
}

impl Document {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read at all; if it is not YAML, the mistake.
    pub fn read(path: &Path) -> Result<Result<Self, Box<Mistake>>, source::Error> {
        Ok(match SourceFile::read(path)? {
            Ok(file) => Self::parse(file),
            Err(mistake) => Err(mistake),
        })
    }

    /// A document made in memory.
    ///
    /// # Errors
    /// The mistake when `text` is not YAML.
    pub fn inline(path: &str, text: &str) -> Result<Self, Box<Mistake>> {
        Self::parse(SourceFile::inline(path, text))
    }

    fn parse(file: Arc<SourceFile>) -> Result<Self, Box<Mistake>> {
        let mut root = node::parse(&file)?;
        decode::without_parts_aside(&mut root);
        let notes = spelling::unify(&file, &mut root);
        let mut misplaced = Vec::new();
        decode::misplaced(&file, &mut root, &mut misplaced);
        Ok(Self { file, root, notes, misplaced })
    }
}

/// Makes the plan of a document. `fresh_seed` is used when neither the file nor the options give one.
///
/// All cells of all levels are checked, including those that `options` leave out.
///
/// # Errors
/// Every mistake in the file, in the order of its lines; or the option that does not fit.
pub fn build(document: &Document, options: &Options, fresh_seed: u64) -> Result<Plan, Rejection> {
    if options.repetitions == Some(0) {
        return Err(Rejection::Option("`--repetitions 0`: expected at least 1".to_owned()));
    }
    let mut mistakes = Vec::new();
    files::forget();
    rows::forget();
    let built = Builder::new(document, options, &mut mistakes).and_then(|b| b.build(fresh_seed, &mut mistakes).transpose());
    match built.transpose() {
        Err(option) => Err(Rejection::Option(option)),
        Ok(Some(mut plan)) if mistakes.is_empty() => {
            plan.notes.splice(0..0, document.notes.iter().cloned());
            plan.files = files::found();
            Ok(plan)
        }
        Ok(_) => {
            // The scenario first, then the templates that it names.
            let path = |m: &Mistake| (m.file.path != document.file.path).then(|| m.file.path.clone());
            mistakes.sort_by_cached_key(|m| (path(m), m.span));
            let mut seen = BTreeSet::new();
            mistakes.retain(|m| seen.insert((path(m), m.span, m.found.clone())));
            mistakes.truncate(MAX_MISTAKES);
            Err(Rejection::Mistakes(mistakes))
        }
    }
}

pub(super) struct Builder<'a> {
    pub(super) file: &'a Arc<SourceFile>,
    pub(super) root: &'a Node,
    pub(super) typed: types::Experiment,
    pub(super) options: &'a Options,
    pub(super) factors: Vec<Factor>,
    pub(super) lets: &'a [Entry],
    pub(super) targets: &'a [Entry],
    pub(super) workloads: &'a [Entry],
    pub(super) collect: &'a [Entry],
    pub(super) taps: &'a [Entry],
    pub(super) scrapes: &'a [Entry],
    pub(super) links: &'a [Entry],
    pub(super) hosts: Vec<Role>,
    pub(super) environment: Environment,
    /// Names of carried values and of drawn values.
    pub(super) carried: BTreeSet<String>,
    /// Names of values that set-up steps find.
    pub(super) found: BTreeSet<String>,
    pub(super) elsewhere: BTreeMap<String, &'static str>,
    pub(super) used: RefCell<BTreeSet<String>>,
    pub(super) active: RefCell<BTreeSet<String>>,
    /// Names of the steps of all workloads in all cells.
    pub(super) step_names: RefCell<BTreeSet<(String, String)>>,
    /// Values made by expressions in all cells.
    pub(super) work: StdCell<usize>,
    /// Whether cells are skipped because variables are not set.
    pub(super) skips: StdCell<bool>,
}

impl<'a> Builder<'a> {
    fn new(document: &'a Document, options: &'a Options, mistakes: &mut Vec<Mistake>) -> Option<Self> {
        let (file, root) = (&document.file, &document.root);
        if !matches!(root.data, Data::Map(_)) {
            mistakes.push(
                Mistake::new(file, root.span, format!("the file contains {}, not an experiment", root.describe()))
                    .expected("expected `experiment: <name>`, `workloads:` and more"),
            );
            return None;
        }
        mistakes.extend(document.misplaced.iter().cloned());
        // The sections are read later, part by part; here it is only checked that they are maps.
        let typed = decode::salvage::<types::Experiment>(file, root, 1, mistakes)?;
        let section = |name: &str| root.get(name).map(Node::entries).unwrap_or_default();
        let factors = factors::read(file, root.get("factors"), options, mistakes);
        let elsewhere = RESERVED
            .iter()
            .map(|(name, _)| {
                let place = match *name {
                    "replica" => "inside a target",
                    "links" | "targets" => "after the targets' ports: not in `let`, `when`, `replicas` or `port`",
                    "scratch" | "repetition" => "inside a repetition",
                    "kept" => "while a run is executed",
                    "load_begin" | "load_end" => "in `collect`",
                    "hosts" => "where the scenario has `hosts`",
                    "env" => "with the name of a variable, such as `env.HOME`",
                    "cache" => "in a cell, where a set-up step has `cache`",
                    _ => "in the steps of a workload",
                };
                ((*name).to_owned(), place)
            })
            .chain(
                ["port", "ports"]
                    .map(|name| (name.to_owned(), "inside a target that has it, and not in its `when` and `replicas`")),
            )
            .collect();
        let (mut carried, mut found) = (BTreeSet::new(), BTreeSet::new());
        if let Some(node) = root.get("set-up") {
            names_under(node, &["carry"], &mut |name, _| {
                found.insert(name.to_owned());
            });
        }
        for part in ["workloads", "let"] {
            if let Some(node) = root.get(part) {
                names_under(node, &["carry", "draw"], &mut |name, value| {
                    // The columns of a row are not known yet: any of them is a name.
                    let columns = if value.get("rows").is_some() { ".*" } else { "" };
                    carried.insert(format!("{name}{columns}"));
                });
                let inserted =
                    node.entries().iter().flat_map(|entry| READERS.iter().flat_map(|reader| (reader.inserts)(&entry.value)));
                carried.extend(inserted.map(str::to_owned));
            }
        }
        let builder = Self {
            file,
            root,
            typed,
            options,
            factors,
            lets: section("let"),
            targets: section("targets"),
            workloads: section("workloads"),
            collect: section("collect"),
            taps: section("taps"),
            scrapes: section("scrape"),
            links: section("links"),
            hosts: hosts::read(file, root.get("hosts"), options, mistakes),
            environment: Environment::read(file, root.get("env"), |name| options.variable(name), mistakes),
            carried,
            found,
            elsewhere,
            used: RefCell::default(),
            active: RefCell::default(),
            step_names: RefCell::default(),
            work: StdCell::new(0),
            skips: StdCell::new(false),
        };
        builder.check_names(mistakes);
        Some(builder)
    }

    /// The machines of the scenario.
    pub(super) fn places(&self) -> hosts::Places<'_> {
        hosts::Places { roles: &self.hosts, options: self.options }
    }

    fn check_names(&self, mistakes: &mut Vec<Mistake>) {
        let name = &self.typed.experiment;
        let typed = self.root.get("experiment").is_some_and(|n| n.as_text().is_some());
        let fits = !name.is_empty()
            && name.len() <= MOST_OF_A_NAME
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
            && !name.starts_with('.');
        if typed && !fits {
            let span = self.root.get("experiment").map_or(self.root.span, |n| n.span);
            mistakes.push(
                Mistake::new(self.file, span, format!("`{name}` cannot be the name of an experiment"))
                    .expected("expected letters, digits, `-` and `_`: it names folders"),
            );
        }
        for entry in self.lets {
            let reserved =
                RESERVED.iter().find(|(name, _)| *name == entry.key).map(|(_, meaning)| format!("it already means {meaning}"));
            let factor = self.factors.iter().any(|f| f.name == entry.key).then(|| "a factor has this name".to_owned());
            let nameable = entry.key.starts_with(|c: char| c.is_ascii_alphabetic())
                && entry.key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            let odd = (!nameable).then(|| "expected letters, digits and `_`, so that expressions can use it".to_owned());
            if let Some(reason) = reserved.or(factor).or(odd) {
                mistakes.push(
                    Mistake::new(self.file, entry.key_span, format!("`{}` cannot be a name in `let`", entry.key))
                        .expected(reason),
                );
            }
        }
        if self.typed.repetitions == 0 {
            let span = self.root.get("repetitions").map_or(self.root.span, |n| n.span);
            mistakes.push(Mistake::new(self.file, span, "0 repetitions").expected("expected at least 1"));
        }
        if let Some(window) = self.typed.window
            && !(Duration::from_millis(10)..=Duration::from_secs(600)).contains(&window.0)
        {
            let span = self.root.get("window").map_or(self.root.span, |n| n.span);
            mistakes.push(
                Mistake::new(self.file, span, format!("a window of {}", vocabulary::units::exact_duration(window.0)))
                    .expected("expected 10ms to 10m"),
            );
        }
        if let Some(node) = self.root.get("workloads")
            && matches!(node.data, Data::Map(_))
            && self.workloads.is_empty()
        {
            mistakes.push(
                Mistake::new(self.file, node.span, "no workload")
                    .expected("expected at least one: `name: {url: …, load: …, steps: …}`"),
            );
        }
        for entry in self.collect.iter().filter(|c| self.workloads.iter().any(|w| w.key == c.key)) {
            mistakes.push(
                Mistake::new(self.file, entry.key_span, format!("there is also a workload `{}`", entry.key))
                    .expected("expected another name: metrics are distinguished by it"),
            );
        }
        let collected = |name: &str| self.collect.iter().any(|c| c.key == name);
        for entry in self.taps.iter().filter(|t| self.workloads.iter().any(|w| w.key == t.key) || collected(&t.key)) {
            let found = match collected(&entry.key) {
                true => format!("`collect` also has an entry `{}`", entry.key),
                false => format!("there is also a workload `{}`", entry.key),
            };
            let mistake = Mistake::new(self.file, entry.key_span, found);
            mistakes.push(mistake.expected("expected another name: metrics are distinguished by it"));
        }
        let used = |name: &str| {
            let sections = [("workload", self.workloads), ("collect", self.collect), ("tap", self.taps)];
            sections.into_iter().find(|(_, entries)| entries.iter().any(|entry| entry.key == name)).map(|(section, _)| section)
        };
        for (entry, section) in self.scrapes.iter().filter_map(|entry| Some((entry, used(&entry.key)?))) {
            let found = match section {
                "collect" => format!("`collect` also has an entry `{}`", entry.key),
                section => format!("there is also a {section} `{}`", entry.key),
            };
            let mistake = Mistake::new(self.file, entry.key_span, found);
            mistakes.push(mistake.expected("expected another name: metrics are distinguished by it"));
        }
        for entries in [self.workloads, self.targets, self.collect, self.taps, self.scrapes, self.links] {
            for entry in entries {
                let fits = (1..=MOST_OF_A_NAME).contains(&entry.key.len());
                if !fits || !entry.key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)) {
                    let expected = format!("expected up to {MOST_OF_A_NAME} letters, digits, `-` and `_`: it names files");
                    let mistake = Mistake::new(self.file, entry.key_span, format!("`{}` cannot be a name here", entry.key));
                    mistakes.push(mistake.expected(expected));
                }
            }
        }
    }

    /// The cells that will be executed, as levels of each factor; `None` if there is a mistake in the file.
    ///
    /// # Errors
    /// The option because of which no cell is left, or too many are.
    fn chosen_cells(
        &self,
        chosen: &[Levels],
        repetitions: u32,
        mistakes: &mut Vec<Mistake>,
    ) -> Result<Option<Vec<Levels>>, String> {
        let (exclude, include) = (self.root.get("exclude"), self.root.get("include"));
        let mut cells = factors::cells(self.file, &self.factors, chosen, exclude, include, mistakes);
        cells.retain(|cell| cell.iter().zip(chosen).all(|(level, chosen)| chosen.contains(level)));
        if cells.is_empty() {
            let Some(exclude) = exclude.filter(|_| self.options.settings.is_empty()) else {
                return Err("`--set` and `exclude` leave no cell".to_owned());
            };
            if mistakes.is_empty() {
                mistakes.push(Mistake::new(self.file, exclude.span, "every cell that would be executed is excluded"));
            }
            return Ok(None);
        }
        if cells.len() as u64 * u64::from(repetitions) > MAX_REPETITIONS {
            let found = format!("{} cells x {repetitions} repetitions are more than {MAX_REPETITIONS}", cells.len());
            if self.options.repetitions.is_some() || !self.options.settings.is_empty() {
                return Err(found);
            }
            let place = self.root.get("repetitions").or(self.root.get("factors")).unwrap_or(self.root);
            mistakes.push(Mistake::new(self.file, place.span, found));
            return Ok(None);
        }
        Ok(Some(cells))
    }

    fn build(mut self, fresh_seed: u64, mistakes: &mut Vec<Mistake>) -> Result<Option<Plan>, String> {
        let of_faults = faults::names(self.root.get("faults"));
        let names: Vec<&str> =
            self.workloads.iter().chain(self.collect).chain(self.taps).chain(self.scrapes).map(|e| e.key.as_str()).collect();
        faults::check_names(self.file, self.root.get("faults"), &names, mistakes);
        let names: Vec<&str> = names.into_iter().chain(of_faults.iter().flatten().map(String::as_str)).collect();
        let (targets, metrics): (Vec<&str>, _) = (self.targets.iter().map(|e| e.key.as_str()).collect(), self.brought());
        let over_time = self.of_taps();
        let names = ScenarioNames {
            factors: &self.factors,
            workloads: &names,
            targets: &targets,
            metrics: &metrics,
            over_time: &over_time,
        };
        let mut graphs = graphs::read(self.file, self.root.get("graphs"), &names, mistakes);
        let expect = expectations::read(self.file, self.root.get("expect"), &names, mistakes);
        let primary = expectations::primary(self.file, self.root, &names, mistakes);
        let every: Vec<Vec<usize>> = self.factors.iter().map(|f| (0..f.levels.len()).collect()).collect();
        let rules = |key| self.root.get(key);
        let every = factors::cells(self.file, &self.factors, &every, rules("exclude"), rules("include"), mistakes);
        // The places that define names must be readable; otherwise every use of such a name would be reported.
        let readable = ["factors", "let", "targets"]
            .into_iter()
            .all(|key| self.root.get(key).is_none_or(|n| matches!(n.data, Data::Map(_))));
        if !readable || every.is_empty() {
            return Ok(None);
        }
        let env = expr::environment();
        let steps = self.typed_steps(mistakes);
        self.check_cells(&env, &every, &steps, mistakes);
        self.compute_models(&env, &mut graphs, &every, mistakes);
        let mut scope = self.scope(&env, &[]);
        let mut elsewhere = self.elsewhere.clone();
        elsewhere.extend(self.factors.iter().map(|f| (f.name.clone(), "in a cell: under `cell`, `repetition` or `load`")));
        scope.elsewhere = &elsewhere;
        scope.late = [("pass".to_owned(), "while requests are sent"), ("kept".to_owned(), KEPT)].into();
        let caches = self.caches(&scope, &steps.0, &["run"]);
        if !caches.entries().is_empty() {
            scope.values.insert("cache".to_owned(), caches);
        }
        let abort = self.abort(&scope, mistakes);
        scope.late.extend(self.found.iter().map(|name| (name.clone(), FOUND)));
        let set_up = self.actions(&scope, &steps.0, "run", true, mistakes);
        let clean_up = self.actions(&scope, &steps.1, "run", false, mistakes);
        // A cell can be skipped for this; around the run there is nothing to skip.
        for name in scope.unset.borrow().iter() {
            let span = self.root.get("env").and_then(|n| n.entry(name)).map_or(self.root.span, |e| e.key_span);
            mistakes.push(
                Mistake::new(self.file, span, format!("the environment variable `{name}` is not set"))
                    .expected("expected a value: `run` in `set-up` or `clean-up` needs it"),
            );
        }
        drop(scope);
        if mistakes.is_empty() {
            self.check_steps_named(mistakes);
            self.check_phases_named(mistakes);
        }
        if mistakes.is_empty() {
            self.check_used(mistakes);
        }
        if !mistakes.is_empty() {
            return Ok(None);
        }

        let typed: Vec<usize> = self.factors.iter().map(|factor| factor.levels.len()).collect();
        let chosen = factors::choose(&mut self.factors, &self.options.settings)?;
        let notes = self.factors.iter().zip(typed).filter_map(|(factor, typed)| factors::note_new(factor, typed)).collect();
        let repetitions = self.options.repetitions.unwrap_or(self.typed.repetitions);
        let Some(cells) = self.chosen_cells(&chosen, repetitions, mistakes)? else { return Ok(None) };
        self.compute_models(&env, &mut graphs, &cells, mistakes);
        let mut paths = BTreeMap::new();
        let cells: Vec<Cell> = cells.iter().filter_map(|l| self.cell(&env, l, &steps, &mut paths, mistakes)).collect();
        let factors = self
            .factors
            .iter()
            .enumerate()
            // In the order of the file; levels that only `--set` named come last.
            .map(|(i, factor)| factor.noun(|level| chosen[i].contains(&level)))
            .collect();
        // Rows are joined with rows.
        let joined = cells.iter().flat_map(|cell| &cell.taps).any(|tap| tap.join.is_some());
        Ok(Some(Plan {
            experiment: self.typed.experiment.clone(),
            question: self.typed.question.clone(),
            source: self.file.path.clone(),
            text: self.file.text.clone(),
            notes,
            seed: self.options.seed.or(self.typed.seed).unwrap_or(fresh_seed),
            // Repeating looks for stability over time, which only rounds show.
            order: if self.options.repeat.is_some() { types::Order::Interleaved } else { self.typed.order },
            scratch: match self.typed.scratch {
                types::Scratch::Disk => Scratch::Disk,
                types::Scratch::Memory => Scratch::Memory,
                types::Scratch::Tmpfs(size) => Scratch::Tmpfs(size.0.0),
            },
            repetitions: self.options.repetitions.unwrap_or(self.typed.repetitions),
            window: self.typed.window.map_or(WINDOW, |w| w.0),
            limits: self.limits(),
            abort,
            record: Record {
                requests: self.typed.record.requests || joined,
                tmpfs: self.typed.record.tmpfs.map(|size| size.0.0),
            },
            environment: self.environment.record(),
            secrets: self.secrets(&cells, [&set_up, &clean_up]),
            hosts: self.hosts.clone(),
            files: Vec::new(),
            found: self.found.iter().cloned().collect(),
            factors,
            set_up,
            clean_up,
            cells,
            graphs: graphs.into_iter().map(|(graph, _)| graph).collect(),
            expect,
            primary,
            repeat: self.options.repeat.clone(),
        }))
    }

    /// When a hopeless repetition is given up.
    fn abort(&self, scope: &Scope<'_>, mistakes: &mut Vec<Mistake>) -> Option<Abort> {
        let node = scope.resolve(self.root.get("abort")?, mistakes);
        let window = self.typed.window.map_or(WINDOW, |window| window.0);
        decode::decode_and(self.file, &node, mistakes, |typed: types::Abort, mistakes| {
            faults::abort(&mut Diagnostics::new(self.file, mistakes), &node, &typed, window)
        })
    }

    /// The limits beyond which a repetition is invalid: those that were typed, and otherwise the defaults.
    fn limits(&self) -> Limits {
        // A scenario that accepts wrong answers accepts an equal share of time without right ones.
        let errors = self.typed.limits.errors.map_or(ERRORS, |s| s.0);
        Limits {
            generator_cpu: self.typed.limits.generator_cpu.map_or(GENERATOR_CPU, |p| p.0),
            start_skew: (!self.hosts.is_empty()).then(|| self.typed.limits.start_skew.map_or(START_SKEW, |d| d.0)),
            lag_p99: self.typed.limits.lag_p99.map(|d| d.0),
            errors,
            silence: self.typed.limits.silence.map_or(SILENCE.max(errors), |s| s.0),
            open: self.typed.limits.open.map_or(OPEN.max(errors), |s| s.0),
            host_steal: self.typed.limits.host_steal.map(|s| s.0),
            host_load: self.typed.limits.host_load.map(|s| s.0),
            steady_state: self.typed.limits.steady_state,
            host_pressure_cpu: self.typed.limits.host_pressure_cpu.map(|s| s.0),
            host_pressure_memory: self.typed.limits.host_pressure_memory.map(|s| s.0),
            host_pressure_io: self.typed.limits.host_pressure_io.map(|s| s.0),
            host_frequency: self.typed.limits.host_frequency.map(|p| p.0),
            host_throttled: self.typed.limits.host_throttled.map_or(Some(0), |t| t.0),
            reconcile: self.typed.limits.reconcile.map_or(0.0, |s| s.0),
        }
    }

    /// Secret values, and what requests make of them.
    fn secrets(&self, cells: &[Cell], around: [&Vec<Action>; 2]) -> Secrets {
        let mut secrets = self.environment.secrets();
        let actions = cells.iter().flat_map(|c| [&c.set_up, &c.clean_up]).flat_map(|s| [&s.cell, &s.repetition, &s.load]);
        let requests = actions.chain(around).flatten().filter_map(Action::request);
        let requests = requests.chain(cells.iter().flat_map(|c| &c.collect).filter_map(|c| c.source.request()));
        let requests = requests.chain(cells.iter().flat_map(|c| &c.reconcile).flat_map(Reconcile::requests));
        let steps = cells.iter().flat_map(|c| &c.workloads).flat_map(|w| w.protocol().credentials());
        steps.chain(requests.filter_map(|step| step.auth.as_ref())).for_each(|auth| secrets.hide_credentials(auth));
        secrets
    }

    /// Names of the metrics that this scenario adds to those of the catalogue.
    fn brought(&self) -> Vec<&'a str> {
        let mut names = Vec::new();
        for workload in self.workloads {
            let readers = READERS.iter().filter(|reader| workload.value.get(reader.key).is_some());
            names.extend(readers.flat_map(|reader| (reader.takes)(&workload.value)));
        }
        let collected = self.collect.iter().flat_map(|e| e.value.get("metrics").map(Node::entries).unwrap_or_default());
        names.extend(collected.map(|e| e.key.as_str()));
        names.extend(self.of_taps());
        if self.root.get("faults").is_some_and(|faults| !faults.items().is_empty()) {
            names.extend([RECOVERY, NOT_RECOVERED]);
        }
        names.extend(self.taps.iter().any(|tap| tap.value.get("join").is_some()).then_some(UNJOINED));
        for part in ["workloads", "let"] {
            let under = self.root.get(part).into_iter();
            under.for_each(|node| names_under(node, &["outcomes"], &mut |name, _| names.push(name)));
        }
        names.extend(READERS.iter().flat_map(|reader| (reader.brings)(self.workloads)));
        names
    }

    /// Names of the metrics of taps and scrapes, each once.
    fn of_taps(&self) -> Vec<&'a str> {
        let metrics = |tap: &'a Entry| tap.value.get("metrics").map(Node::entries).unwrap_or_default();
        let mut names = Vec::new();
        for entry in self.taps.iter().flat_map(metrics) {
            if !names.contains(&entry.key.as_str()) {
                names.push(entry.key.as_str());
            }
        }
        for name in self.scrapes.iter().flat_map(scrape::metrics_of) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Makes every cell once to find its mistakes. A mistake in one place is reported once, from the first cell that
    /// has it.
    fn check_cells(
        &self,
        env: &minijinja::Environment<'static>,
        every: &[Levels],
        steps: &(Node, Node),
        mistakes: &mut Vec<Mistake>,
    ) {
        let mut paths = BTreeMap::new();
        let start = mistakes.len();
        let (mut rereading, mut seen) = (0, 0);
        // In how many cells there is a mistake at a place, and the first of them.
        let mut places: BTreeMap<Span, (usize, String)> = BTreeMap::new();
        // Only the targets that outlive a cell are checked across all cells.
        let (lasting, mut targets) = (self.file.text.contains("lifetime"), Vec::new());
        for levels in every {
            let (before, work) = (mistakes.len(), self.work.get());
            let cell = self.cell(env, levels, steps, &mut paths, mistakes);
            if lasting && let Some(cell) = cell {
                targets.push(lifetimes::CellTargets::new(levels, &cell));
            }
            let found = mistakes.len() - before;
            seen += 1;
            let spans: BTreeSet<Span> = mistakes[before..].iter().map(|m| m.span).collect();
            for span in spans {
                places.entry(span).or_insert_with(|| (0, self.cell_id(levels).0)).0 += 1;
            }
            forget_repeated(mistakes, start, before);
            if mistakes.len() == before {
                rereading += found * self.root.count() + self.work.get() - work;
            }
            if mistakes.len() > MAX_MISTAKES || rereading > MAX_REREADING {
                break;
            }
        }
        lifetimes::across_cells(self.file, &self.factors, self.targets, &targets, mistakes);
        // A computed value may be wrong in some cells only.
        for mistake in mistakes[start..].iter_mut().filter(|m| m.help.is_none()) {
            let source = mistake.file.text.get(mistake.span.start..mistake.span.end).unwrap_or_default();
            if let Some((count, first)) = places.get(&mistake.span)
                && source.contains("${")
                && *count < seen
            {
                mistake.help = Some(format!("this happens in {count} of {seen} cells, first in `{first}`"));
            }
        }
    }

    /// Values of the graphs' models in the cells that they show; up to the first cell in which one is wrong.
    fn compute_models(
        &self,
        env: &minijinja::Environment<'static>,
        graphs: &mut [(Graph, Span)],
        cells: &[Levels],
        mistakes: &mut Vec<Mistake>,
    ) {
        // Reading a factor in a model does not make cells different: the factor still counts as unread.
        let read = RefCell::default();
        for (graph, span) in graphs {
            let only = std::mem::take(&mut graph.only);
            let shown = |levels: &Levels| {
                let level = |name: &str| self.factors.iter().zip(levels).find(|(f, _)| f.name == name);
                only.iter().all(|(name, labels)| level(name).is_some_and(|(f, l)| labels.contains(&f.levels[*l].label)))
            };
            if let Some(model) = graph.model_mut() {
                model.values.clear();
                let before = mistakes.len();
                for levels in cells.iter().filter(|levels| shown(levels)) {
                    let scope = Scope { used: &read, ..self.scope(env, levels) };
                    let value = scope.number(&model.expression, *span, mistakes);
                    model.values.extend(value.map(|v| (self.cell_id(levels).0, v)));
                    if mistakes.len() > before {
                        break;
                    }
                }
            }
            graph.only = only;
        }
        let lets = self.lets.iter().map(|e| e.key.clone());
        self.used.borrow_mut().extend(lets.filter(|name| read.borrow().contains(name)));
    }

    pub(super) fn cell_id(&self, levels: &[usize]) -> CellId {
        let labels = self.factors.iter().zip(levels).map(|(f, l)| format!("{}={}", f.name, f.levels[*l].label));
        let id = labels.collect::<Vec<_>>().join(",");
        CellId(if id.is_empty() { "all".to_owned() } else { id })
    }

    /// Expectations and baselines of graphs must name phases that this experiment has.
    fn check_phases_named(&self, mistakes: &mut Vec<Mistake>) {
        let timeline: Vec<&str> =
            self.root.get("phases").map(Node::entries).unwrap_or_default().iter().map(|e| e.key.as_str()).collect();
        let known = if timeline.is_empty() { vec!["warm-up", "during", "search"] } else { timeline };
        let items = |key| self.root.get(key).map(Node::items).unwrap_or_default();
        let baseline =
            |item: &'a Node| item.get("series").and_then(Node::as_text).filter(|s| *s == "phase").and(item.get("baseline"));
        let nodes =
            items("expect").iter().filter_map(|item| item.get("phase")).chain(items("graphs").iter().filter_map(baseline));
        for node in nodes {
            let words = node.as_text().unwrap_or_default().split(" over ").map(str::trim);
            for word in words.filter(|word| Phase::WITH_PASSES.iter().any(|p| p.name() == *word) && !known.contains(word)) {
                mistakes.push(
                    Mistake::new(
                        self.file,
                        expr::word_in(self.file, node.span, word),
                        format!("this experiment has no phase `{word}`"),
                    )
                    .expected(format!("expected {}", one_of(known.iter().copied()))),
                );
            }
        }
    }

    /// Graphs of one step must name one that some workload has.
    fn check_steps_named(&self, mistakes: &mut Vec<Mistake>) {
        let all = self.step_names.borrow();
        let items = |key| self.root.get(key).map(Node::items).unwrap_or_default();
        let whose = items("graphs").iter().map(|item| (item, "workload")).chain(items("expect").iter().map(|item| (item, "of")));
        for (item, of) in whose {
            let Some((node, name)) = item.get("step").and_then(|node| Some((node, node.as_text()?))) else { continue };
            // One that does not exist was noted.
            let of = item.get(of).and_then(Node::as_text).filter(|of| all.iter().any(|(workload, _)| workload == of));
            let known: BTreeSet<&str> =
                all.iter().filter(|(workload, _)| of.is_none_or(|of| of == workload)).map(|(_, step)| step.as_str()).collect();
            if name == WHOLE || known.contains(name) {
                continue;
            }
            let found = match of {
                Some(of) => format!("the workload `{of}` has no step `{name}`"),
                None => format!("no workload has a step `{name}`"),
            };
            let mistake = Mistake::new(self.file, node.span, found);
            let mistake = mistake.expected(format!("expected {}", one_of(known.iter().copied())));
            mistakes.push(mistake.did_you_mean(name, known));
        }
    }

    /// The names of the levels in `set-up` and `clean-up`, checked; their steps are kept as they are until a cell
    /// evaluates them.
    fn typed_steps(&self, mistakes: &mut Vec<Mistake>) -> (Node, Node) {
        let known = ["run", "cell", "repetition", "load"];
        let section = |key: &str, mistakes: &mut Vec<Mistake>| {
            let Some(node) = self.root.get(key) else { return Node::new(Span::default(), Data::Null) };
            if !matches!(node.data, Data::Map(_) | Data::Null) {
                mistakes.push(
                    Mistake::new(self.file, node.span, format!("{} does not fit here", node.describe()))
                        .expected(format!("expected a map with {}", one_of(known))),
                );
            }
            for entry in node.entries() {
                if !known.contains(&entry.key.as_str()) {
                    mistakes.push(
                        Mistake::new(self.file, entry.key_span, format!("unknown key `{}`", entry.key))
                            .expected(format!("expected {}", one_of(known)))
                            .did_you_mean(&entry.key, known),
                    );
                }
            }
            node.clone()
        };
        (section("set-up", mistakes), section("clean-up", mistakes))
    }

    /// Factors, names and parts that nothing uses: usually a typing error elsewhere.
    fn check_used(&self, mistakes: &mut Vec<Mistake>) {
        let mut used = self.used.borrow().clone();
        // A name mentioned only in an unused definition is not reported: it is used as soon as the definition is.
        for entry in self.lets.iter().filter(|e| !self.used.borrow().contains(&e.key)) {
            mentioned(&entry.value, &mut used, &entry.key);
        }
        // Names that only skipped cells would read were not seen being read.
        if self.skips.get() {
            return;
        }
        for factor in self.factors.iter().filter(|f| !used.contains(&f.name)) {
            mistakes.push(
                Mistake::new(self.file, factor.span, format!("nothing reads the factor `{}`", factor.name))
                    .expected("all its levels would measure the same")
                    .help(format!("use it, as in `${{{}}}`, or remove it", factor.name)),
            );
        }
        for entry in self.lets.iter().filter(|e| !used.contains(&e.key)) {
            mistakes.push(
                Mistake::new(self.file, entry.key_span, format!("nothing uses `{}`", entry.key))
                    .expected(format!("expected `${{{}}}` somewhere", entry.key)),
            );
        }
        let variables = self.root.get("env").map(Node::entries).unwrap_or_default();
        for entry in variables.iter().filter(|e| !used.contains(&format!("env.{}", e.key))) {
            mistakes.push(
                Mistake::new(self.file, entry.key_span, format!("nothing uses the variable `{}`", entry.key))
                    .expected(format!("expected `${{env.{}}}` somewhere", entry.key)),
            );
        }
        let active = self.active.borrow();
        for entry in self
            .targets
            .iter()
            .chain(self.workloads)
            .chain(self.collect)
            .chain(self.taps)
            .chain(self.scrapes)
            .chain(self.links)
            .filter(|e| !active.contains(&e.key))
        {
            let span = entry.value.get("when").map_or(entry.key_span, |n| n.span);
            mistakes.push(
                Mistake::new(self.file, span, format!("`{}` never exists: `when` is false in every cell", entry.key))
                    .expected("expected a condition that holds in some cell"),
            );
        }
    }
}

/// Calls `each` with the names in all maps under certain keys, wherever these are.
fn names_under<'n>(node: &'n Node, keys: &[&str], each: &mut impl FnMut(&'n str, &'n Node)) {
    for entry in node.entries() {
        if keys.contains(&entry.key.as_str()) {
            entry.value.entries().iter().for_each(|e| each(&e.key, &e.value));
        }
        names_under(&entry.value, keys, each);
    }
    for item in node.items() {
        names_under(item, keys, each);
    }
}

/// All words in the expressions of a part of the file, except one.
fn mentioned(node: &Node, words: &mut BTreeSet<String>, except: &str) {
    if let Some(text) = node.as_text().filter(|t| t.contains("${")) {
        let split = text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| *w != except);
        words.extend(split.map(str::to_owned));
    }
    node.items().iter().chain(node.entries().iter().map(|e| &e.value)).for_each(|n| mentioned(n, words, except));
}
