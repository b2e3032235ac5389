//! One cell: everything in the file evaluated with one level of each factor.

use std::cell::{Cell as StdCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::diagnostics::{Diagnostics, refuse};
use super::drivers::READERS;
use super::experiment::{Builder, FOUND, KEPT, WINDOW};
use super::expr::Scope;
use super::{
    actions, arrivals, collect, faults, flow, hosts, lifetimes, links, reconcile, scrape, taps, targets, values, workloads,
};
use plan::{Action, Cell, CellId, Collect, Faults, Length, Link, Reconcile, Steps, Tap, Target, Workload};
use schema::source::all_of;
use schema::{Data, Entry, Mistake, Node, Span, decode, types};
use vocabulary::file_names::{fitting, marked};
use vocabulary::rows::FEWEST_WINDOWS;
use vocabulary::{Phase, units};

impl Builder<'_> {
    pub(super) fn scope<'s>(&'s self, env: &'s minijinja::Environment<'static>, levels: &[usize]) -> Scope<'s> {
        let levels = self.factors.iter().zip(levels).map(|(f, l)| (f.name.clone(), f.levels[*l].node.clone()));
        let hosts = (!self.hosts.is_empty()).then(|| ("hosts".to_owned(), hosts::as_value(&self.hosts)));
        let values = levels.chain(hosts).collect();
        Scope {
            file: self.file,
            env,
            lets: self.lets,
            values,
            late: BTreeMap::new(),
            environment: &self.environment,
            unset: RefCell::default(),
            elsewhere: &self.elsewhere,
            used: &self.used,
            spent: StdCell::new(0),
        }
    }

    /// A part of a section, evaluated; `None` if its `when` is false in this cell.
    fn resolved_here(&self, scope: &Scope<'_>, entry: &Entry, mistakes: &mut Vec<Mistake>) -> Option<Node> {
        if let Some(when) = entry.value.get("when") {
            let when = scope.resolve(when, mistakes);
            if when.is_poisoned() {
                // Either it was reported, or it needs a variable that is not set: the part may well exist one day.
                self.active.borrow_mut().insert(entry.key.clone());
                return None;
            }
            (decode::decode::<bool>(self.file, &when, mistakes) == Some(true)).then_some(())?;
        }
        self.active.borrow_mut().insert(entry.key.clone());
        Some(scope.resolve(&entry.value, mistakes))
    }

    /// Whether a step exists in this cell. A condition that is not one is reported when the whole step is read.
    fn is_in_cell(&self, scope: &Scope<'_>, step: &Node) -> bool {
        let when = step.get("when").map(|when| scope.resolve(when, &mut Vec::new()));
        !when.is_some_and(|when| matches!(when.data, Data::Bool(false)))
    }

    /// The steps of a list whose `when` is true, evaluated.
    fn steps_here(&self, scope: &Scope<'_>, list: &Node, mistakes: &mut Vec<Mistake>) -> Node {
        let Data::List(items) = &list.data else { return scope.resolve(list, mistakes) };
        let items: Vec<Node> = items.iter().filter(|item| self.is_in_cell(scope, item)).cloned().collect();
        scope.resolve(&list.with(Data::List(items)), mistakes)
    }

    /// Directories that set-up steps make and keep, by the names that the steps give them.
    pub(super) fn caches(&self, scope: &Scope<'_>, steps: &Node, levels: &[&str]) -> Node {
        let mut caches = Vec::new();
        let unset = scope.unset.borrow().clone();
        for level in levels {
            for item in steps.get(level).map(Node::items).unwrap_or_default() {
                let Some(entry) = item.entry("cache") else { continue };
                // Its mistakes are reported where steps are read.
                let resolved = scope.resolve(item, &mut Vec::new());
                if !self.is_in_cell(scope, item) {
                    // The name is known even where the step does not exist; what it would need is not.
                    scope.unset.replace(unset.clone());
                }
                let typed = decode::decode::<types::Action>(self.file, &resolved, &mut Vec::new());
                if let Some((typed, name)) = typed.as_ref().and_then(|t| Some((t, t.cache.as_ref()?))) {
                    let directory = actions::kept(&self.file.path, name, typed).directory.display().to_string();
                    let value = Node::text(entry.value.span, directory);
                    caches.push(Entry { key: name.clone(), key_span: entry.key_span, value });
                }
            }
        }
        Node::new(Span::default(), Data::Map(caches))
    }

    /// The links of a cell.
    fn cell_links(&self, scope: &Scope<'_>, targets: &[Target], known: &[String], mistakes: &mut Vec<Mistake>) -> Vec<Link> {
        let mut made = Vec::new();
        for entry in self.links {
            let Some(resolved) = self.resolved_here(scope, entry, mistakes) else { continue };
            made.extend(decode::decode_and(self.file, &resolved, mistakes, |typed: types::Link, mistakes| {
                links::link(&mut Diagnostics::new(self.file, mistakes), entry, &resolved, &typed, targets, known)
            }));
        }
        made
    }

    /// What is broken on purpose in a cell.
    fn cell_faults(
        &self,
        scope: &Scope<'_>,
        targets: &[Target],
        links: &[Link],
        workloads: &[Workload],
        mistakes: &mut Vec<Mistake>,
    ) -> Faults {
        let Some(section) = self.root.get("faults") else { return Faults::default() };
        let names = |entries: &'_ [Entry]| entries.iter().map(|entry| entry.key.clone()).collect::<Vec<String>>();
        let (target_names, link_names, workload_names) = (names(self.targets), names(self.links), names(self.workloads));
        let context = faults::FaultContext {
            targets,
            names: &target_names,
            links,
            link_names: &link_names.iter().map(String::as_str).collect::<Vec<_>>(),
            workloads,
            workload_names: &workload_names.iter().map(String::as_str).collect::<Vec<_>>(),
            has_tmpfs: matches!(self.typed.scratch, types::Scratch::Tmpfs(_)),
            several_machines: !self.options.hosts.is_empty(),
            window: self.typed.window.map_or(WINDOW, |window| window.0),
        };
        let mut made = Vec::new();
        for (item, name) in section.items().iter().zip(faults::names(Some(section))) {
            if !self.is_in_cell(scope, item) {
                continue;
            }
            // Where it cannot be told, that was said already; the rest is still checked.
            let name = name.unwrap_or_default();
            let resolved = scope.resolve(item, mistakes);
            let fault = decode::decode_and(self.file, &resolved, mistakes, |typed: types::Fault, mistakes| {
                faults::fault(&mut Diagnostics::new(self.file, mistakes), &resolved, &typed, &name, &context)
            });
            made.extend(fault.map(|fault| (fault, item.get("at").map_or(item.head, |at| at.span))));
        }
        faults::check_overlaps(&mut Diagnostics::new(self.file, mistakes), &made, targets);
        let mut list: Vec<plan::Fault> = made.into_iter().map(|(fault, _)| fault).collect();
        list.sort_by_key(|fault| fault.at);
        if list.is_empty() {
            return Faults::default();
        }
        let limits = &self.typed.limits;
        let unlimited = plan::faults::Unlimited {
            errors: limits.errors.is_none(),
            silence: limits.silence.is_none(),
            open: limits.open.is_none(),
        };
        Faults { list, unlimited }
    }

    /// What is collected in a cell; or why the cell is skipped, if that is the reason.
    fn collected(&self, scope: &mut Scope<'_>, mistakes: &mut Vec<Mistake>) -> (Vec<Collect>, Option<String>) {
        for name in ["load_begin", "load_end"] {
            scope.late.insert(name.to_owned(), "after the load");
        }
        let (mut made, mut skipped) = (Vec::new(), None);
        for entry in self.collect {
            let Some(resolved) = self.resolved_here(scope, entry, mistakes) else { continue };
            let collected = decode::decode_and(self.file, &resolved, mistakes, |typed: types::Collect, mistakes| {
                let (on, places) = (typed.on.as_deref(), self.places());
                places.check(self.file, &resolved, on, Some("a figure is read on one"), mistakes);
                let mut notes = Diagnostics::new(self.file, mistakes).here(places.is_here(on));
                collect::collect(&mut notes, entry, &resolved, &typed, &self.file.path)
            });
            let Some((collected, reason)) = collected else { continue };
            skipped = skipped.or(reason.filter(|_| self.places().is_here(collected.on.as_deref())));
            made.push(collected);
        }
        for name in ["load_begin", "load_end"] {
            scope.late.remove(name);
        }
        (made, skipped)
    }

    /// What is followed in a cell; or why the cell is skipped, if that is the reason.
    fn cell_taps(
        &self,
        scope: &Scope<'_>,
        targets: &[Target],
        names: &[String],
        mistakes: &mut Vec<Mistake>,
    ) -> (Vec<Tap>, Option<String>) {
        let workloads: Vec<&str> = self.workloads.iter().map(|e| e.key.as_str()).collect();
        let context = taps::TapContext { names, targets, workloads: &workloads, taps: self.taps };
        let (mut made, mut skipped) = (Vec::new(), None);
        for entry in self.taps {
            let Some(resolved) = self.resolved_here(scope, entry, mistakes) else { continue };
            let tap = decode::decode_and(self.file, &resolved, mistakes, |typed: types::Tap, mistakes| {
                let of_log = taps::place_of_log(&typed, targets);
                let (on, places) = (typed.on.as_deref().or(of_log), self.places());
                places.check(self.file, &resolved, typed.on.as_deref(), Some("a tap is followed on one"), mistakes);
                let mut notes = Diagnostics::new(self.file, mistakes).here(places.is_here(on));
                if typed.log.is_some() && typed.on.is_some() && of_log != typed.on.as_deref() {
                    notes.say(&resolved, "on", "the log is on the machine of its target", "expected no `on` beside `log`");
                }
                taps::tap(&mut notes, entry, &resolved, &typed, &context)
            });
            let Some((tap, reason)) = tap else { continue };
            skipped = skipped.or(reason.filter(|_| self.places().is_here(tap.on.as_deref())));
            made.push(tap);
        }
        made.extend(self.cell_scrapes(scope, mistakes));
        (made, skipped)
    }

    /// The pages that are fetched in a cell.
    fn cell_scrapes(&self, scope: &Scope<'_>, mistakes: &mut Vec<Mistake>) -> Vec<Tap> {
        let mut made = Vec::new();
        for entry in self.scrapes {
            let Some(resolved) = self.resolved_here(scope, entry, mistakes) else { continue };
            made.extend(decode::decode_and(self.file, &resolved, mistakes, |typed: types::Scrape, mistakes| {
                let (on, places) = (typed.on.as_deref(), self.places());
                places.check(self.file, &resolved, on, Some("a page is fetched by one"), mistakes);
                let mut notes = Diagnostics::new(self.file, mistakes).here(places.is_here(on));
                scrape::scrape(&mut notes, entry, &resolved, &typed)
            }));
        }
        made
    }

    /// Names of factors and of `let`.
    fn named(&self) -> impl Iterator<Item = String> {
        self.factors.iter().map(|f| f.name.clone()).chain(self.lets.iter().map(|e| e.key.clone()))
    }

    /// The steps of a level; `sets_up`: whether they come before the load.
    pub(super) fn actions(
        &self,
        scope: &Scope<'_>,
        steps: &Node,
        level: &str,
        sets_up: bool,
        mistakes: &mut Vec<Mistake>,
    ) -> Vec<Action> {
        let Some(list) = steps.get(level) else { return Vec::new() };
        let list = self.steps_here(scope, list, mistakes);
        let made = decode::decode_and(self.file, &list, mistakes, |typed: Vec<types::Action>, mistakes| {
            // If one of them could not be read at all, the others cannot be matched any more.
            let same = typed.len() == list.items().len();
            let mut notes = Diagnostics::new(self.file, mistakes);
            let pairs = list.items().iter().zip(&typed).filter(|_| same);
            // Steps around repetitions are done by whoever directs the run.
            let is_around = matches!(level, "run" | "cell");
            let in_use = self.named().collect();
            // What steps of an earlier level find is known to all of these.
            let mut known = self.found_before(level, !sets_up);
            let places = self.places();
            let placed = pairs.filter_map(|(node, typed)| {
                let on = typed.on.as_deref();
                notes.is_here = is_around || places.is_here(on);
                if !sets_up {
                    refuse(&mut notes, node, &["carry"], "nothing follows that could use it");
                }
                let action = actions::action(&mut notes, node, typed, &in_use);
                actions::check_found(&mut notes, node, action.as_ref(), &self.found, &mut known);
                if is_around && on.is_some() {
                    let found = format!("steps of `{level}` are done once, on the machine of the run itself");
                    notes.say(node, "on", found, "expected `on` only in `repetition` and `load`");
                }
                places.check(self.file, node, on, None, notes.mistakes);
                let Some(on) = &typed.on else { return action };
                action.map(|action| Action::On { on: on.clone(), action: Box::new(action) })
            });
            Some(placed.collect())
        });
        made.unwrap_or_default()
    }

    /// Names of the values that set-up steps have found before those of a level begin, or by their end.
    fn found_before(&self, level: &str, and_in_it: bool) -> BTreeSet<String> {
        let levels = ["run", "cell", "repetition", "load"];
        let at = levels.iter().position(|one| *one == level).unwrap_or_default() + usize::from(and_in_it);
        let before = levels.into_iter().take(at);
        let lists = before.filter_map(|one| self.root.get("set-up")?.get(one)).flat_map(Node::items);
        lists.filter_map(|item| item.get("carry")).flat_map(Node::entries).map(|entry| entry.key.clone()).collect()
    }

    /// The targets of a cell in the order of their starts; or why the cell is skipped, if one of them is the reason.
    fn cell_targets(
        &self,
        scope: &mut Scope<'_>,
        outlines: &[(targets::Outline<'_>, bool)],
        names: &[String],
        mistakes: &mut Vec<Mistake>,
    ) -> (Vec<Target>, Option<String>) {
        let (mut made, mut skipped) = (Vec::new(), None);
        for (outline, _) in outlines {
            self.active.borrow_mut().insert(outline.entry.key.clone());
            if let Some((target, reason)) = targets::target(scope, outline, names, self.places(), mistakes) {
                skipped = skipped.or(reason);
                made.push(target);
            }
        }
        self.check_ports(&made, mistakes);
        lifetimes::order_possible(self.file, self.targets, &made, mistakes);
        let sorted = targets::sort(made).unwrap_or_else(|ring| {
            let entry = self.targets.iter().find(|e| e.key == ring[0]);
            let span = entry.map_or(self.root.span, |e| e.value.get("after").map_or(e.key_span, |n| n.span));
            let names = all_of(ring.iter().map(String::as_str));
            mistakes.push(match ring.len() {
                1 => Mistake::new(self.file, span, format!("the target {names} waits for itself"))
                    .expected("expected another target"),
                _ => Mistake::new(self.file, span, format!("the targets {names} wait for each other"))
                    .expected("expected an order in which they can be started"),
            });
            Vec::new()
        });
        (sorted, skipped)
    }

    pub(super) fn cell(
        &self,
        env: &minijinja::Environment<'static>,
        levels: &[usize],
        steps: &(Node, Node),
        paths: &mut BTreeMap<PathBuf, CellId>,
        mistakes: &mut Vec<Mistake>,
    ) -> Option<Cell> {
        let before = mistakes.len();
        let labels: Vec<(String, String)> =
            self.factors.iter().zip(levels).map(|(f, l)| (f.name.clone(), f.levels[*l].label.clone())).collect();
        let id = self.cell_id(levels);
        let mut scope = self.scope(env, levels);
        let path = self.path(&scope, &id, paths, mistakes);

        let caches = self.caches(&scope, &steps.0, &["run", "cell", "repetition", "load"]);
        if !caches.entries().is_empty() {
            scope.values.insert("cache".to_owned(), caches);
        }
        let outlines: Vec<(targets::Outline<'_>, bool)> = self
            .targets
            .iter()
            .filter_map(|entry| match targets::outline(&mut scope, entry, self.places(), mistakes) {
                targets::Outlined::Here(outline) => Some((outline, true)),
                targets::Outlined::Mistaken(outline) => Some((outline, false)),
                targets::Outlined::NotHere => None,
            })
            .collect();
        scope.values.insert("targets".to_owned(), targets::as_value(&outlines));
        if !self.links.is_empty() {
            let value = match self.options.hosts.is_empty() {
                true => links::as_value(self.links),
                false => links::between_machines(self.links, |entry| {
                    let to = scope.resolve(entry.value.get("to")?, &mut Vec::new());
                    let name = to.items().first().unwrap_or(&to).as_text()?.to_owned();
                    let (outline, _) = outlines.iter().find(|(outline, _)| outline.entry.key == name)?;
                    Some((outline.machine.clone(), outline.ports.first().copied().flatten().unwrap_or_default()))
                }),
            };
            scope.values.insert("links".to_owned(), value);
        }
        for name in ["scratch", "repetition"] {
            scope.late.insert(name.to_owned(), "when a repetition starts");
        }
        scope.late.insert("kept".to_owned(), KEPT);
        let names: Vec<String> = self.targets.iter().map(|e| e.key.clone()).collect();
        let (started, mut skipped) = self.cell_targets(&mut scope, &outlines, &names, mistakes);

        let mut links = self.cell_links(&scope, &started, &names, mistakes);
        // Requests of steps may be sent several times.
        let of_requests = ["pass"].map(str::to_owned);
        scope.late.extend(of_requests.clone().map(|name| (name, "while requests are sent")));
        let found: BTreeMap<String, &'static str> = self.found.iter().map(|name| (name.clone(), FOUND)).collect();
        scope.late.extend(found.clone());
        let mut level = |steps: &Node, sets_up: bool, mistakes: &mut Vec<Mistake>| {
            let [repetition, load] = ["repetition", "load"].map(|level| self.actions(&scope, steps, level, sets_up, mistakes));
            // Around a cell there is no repetition, and so no scratch directory.
            let late = scope.late.clone();
            scope.late.retain(|name, when| of_requests.contains(name) || name == "kept" || *when == FOUND);
            let cell = self.actions(&scope, steps, "cell", sets_up, mistakes);
            scope.late = late;
            Steps { cell, repetition, load }
        };
        let mut set_up = level(&steps.0, true, mistakes);
        let checkouts = self.factors.iter().zip(levels).filter_map(|(f, l)| f.levels[*l].checkout.clone());
        set_up.cell.splice(0..0, checkouts.map(Action::Checkout));
        let clean_up = level(&steps.1, false, mistakes);
        scope.late.retain(|name, when| !of_requests.contains(name) && *when != FOUND);
        let (taps, reason) = self.cell_taps(&scope, &started, &names, mistakes);
        skipped = skipped.or(reason);
        scope.late.extend(found);
        let (collect, reason) = self.collected(&mut scope, mistakes);
        skipped = skipped.or(reason);
        let before_load = scope.late.clone();
        let (workloads, reason) = self.cell_workloads(&mut scope, &started, &links, mistakes);
        skipped = skipped.or(reason);
        scope.late = before_load;
        let faults = self.cell_faults(&scope, &started, &links, &workloads, mistakes);
        faults::mark_links(&mut links, &faults.list);
        let mut reconcile = self.reconciled(&scope, &started, &workloads, (&collect, &taps), mistakes);
        // What is broken loses requests, or its count: it is compared only where the scenario asks for it.
        reconcile.retain(|one| one.asked || faults.is_empty());
        self.work.set(self.work.get() + scope.spent.get());
        let unset: Vec<String> = scope.unset.take().into_iter().collect();
        self.skips.set(self.skips.get() || !unset.is_empty());
        skipped = skipped.or(words_of_unset(&unset));
        // If an unset variable would be part of its name, the cell is skipped and needs no folder.
        let path = path.or_else(|| (!unset.is_empty()).then(|| PathBuf::from(&id.0)))?;
        (mistakes.len() == before).then_some(Cell {
            id,
            levels: labels,
            path,
            skipped,
            targets: started,
            links,
            faults,
            workloads,
            collect,
            taps,
            set_up,
            clean_up,
            reconcile,
        })
    }

    /// The servers whose counts are compared with what is sent in a cell: those that are known automatically, unless
    /// the scenario says otherwise.
    fn reconciled(
        &self,
        scope: &Scope<'_>,
        targets: &[Target],
        workloads: &[Workload],
        (collected, taps): (&[Collect], &[Tap]),
        mistakes: &mut Vec<Mistake>,
    ) -> Vec<Reconcile> {
        let mut paths = reconcile::RequestPaths::new(targets, workloads);
        paths.scraped(taps);
        let Some(node) = self.root.get("reconcile") else { return paths.automatic() };
        let items = match &node.data {
            Data::Text(text) if text == "off" => return Vec::new(),
            Data::List(items) => items.as_slice(),
            Data::Map(_) => std::slice::from_ref(node),
            _ => {
                let found = format!("{} does not fit here", node.describe());
                let expected = "expected `{target: …, collect: …}`, a list of them, or `off`";
                mistakes.push(Mistake::new(self.file, node.span, found).expected(expected));
                return Vec::new();
            }
        };
        let sections = [self.targets, self.workloads, self.collect];
        let [all_targets, all_workloads, collects] = sections.map(|s| s.iter().map(|e| e.key.as_str()).collect::<Vec<&str>>());
        let context = reconcile::CellContext {
            targets: &all_targets,
            workloads: &all_workloads,
            collects: &collects,
            collected,
            scenario: &self.file.path,
        };
        let mut made = paths.automatic();
        for item in items.iter().filter(|item| self.is_in_cell(scope, item)) {
            let node = scope.resolve(item, mistakes);
            let one = decode::decode_and(self.file, &node, mistakes, |typed: types::Reconcile, mistakes| {
                let typed = reconcile::TypedEntry { node: &node, typed };
                reconcile::read(&mut Diagnostics::new(self.file, mistakes), &typed, &paths, &context)
            });
            let Some(one) = one else { continue };
            made.retain(|other| other.asked || other.target != one.target);
            made.push(one);
        }
        made
    }

    /// The workloads of a cell; or why it is skipped, if one of them is the reason.
    fn cell_workloads(
        &self,
        scope: &mut Scope<'_>,
        targets: &[Target],
        links: &[Link],
        mistakes: &mut Vec<Mistake>,
    ) -> (Vec<Workload>, Option<String>) {
        let timeline = self.root.get("phases").and_then(|node| {
            let node = scope.resolve(node, mistakes);
            decode::decode_and(self.file, &node, mistakes, |typed: types::Phases, mistakes| {
                Some(arrivals::timeline(&mut Diagnostics::new(self.file, mistakes), &node, &typed))
            })
        });
        let names = ["id", "pass", "connection", "ivorn"].map(str::to_owned);
        for name in names.into_iter().chain(self.carried.iter().cloned()) {
            scope.late.entry(name).or_insert("while the load runs");
        }
        let in_use: BTreeSet<String> = self.named().chain(self.found.iter().cloned()).collect();
        let (mut made, mut nodes, mut skipped) = (Vec::new(), Vec::new(), None);
        for entry in self.workloads {
            let noted = mistakes.len();
            let resolved = self.resolved_here(scope, entry, mistakes);
            flow::help_with_conditions(entry.value.get("steps"), &mut mistakes[noted..]);
            values::help_with_rows(self.file, &entry.value, &mut mistakes[noted..]);
            let Some(resolved) = resolved else { continue };
            let workload = decode::decode_and(self.file, &resolved, mistakes, |typed: types::Workload, mistakes| {
                let mut notes = Diagnostics::new(self.file, mistakes).here(self.places().is_here(typed.on.as_deref()));
                notes = notes.knowing(&self.found);
                workloads::workload(&mut notes, &entry.key, &resolved, &typed, &in_use, timeline.as_ref())
            });
            let on = resolved.get("on").and_then(Node::as_text).map(str::to_owned);
            let why_one = workload.as_ref().and_then(|(workload, _)| hosts::why_not_shared(workload));
            self.places().check(self.file, &resolved, on.as_deref(), why_one, mistakes);
            let Some((workload, reason)) = workload else { continue };
            let reason = reason.filter(|_| self.places().is_here(on.as_deref()));
            if workload.protocol().is_program() && self.targets.iter().any(|t| t.key == entry.key) {
                // Both are processes that are watched, logged and shown by name.
                let mistake = Mistake::new(self.file, entry.key_span, format!("there is also a target `{}`", entry.key));
                mistakes.push(mistake.expected("expected another name for the program that makes the load"));
            }
            let steps = workload.rows().into_iter().map(|step| (workload.name.clone(), step));
            self.step_names.borrow_mut().extend(steps);
            self.check_windows(&workload, &entry.value, mistakes);
            made.push(workload);
            nodes.push(&entry.value);
            skipped = skipped.or(reason);
        }
        let mut notes = Diagnostics::new(self.file, mistakes);
        READERS.iter().for_each(|reader| (reader.join)(&mut notes, &mut made, &nodes));
        let section = self.root.get("links").unwrap_or(self.root);
        match self.options.hosts.is_empty() {
            true => links::reachable(&mut notes, links, &made, &nodes, section),
            false => {
                hosts::reachable(&mut notes, targets, &made, &nodes);
                hosts::together(&mut notes, self.places(), targets, &made, &nodes);
                hosts::links_between(&mut notes, links, targets, section);
            }
        }
        (made, skipped)
    }

    /// A steady state is looked for in windows; a few of them show none.
    fn check_windows(&self, workload: &Workload, node: &Node, mistakes: &mut Vec<Mistake>) {
        if !workload.load.auto_warm_up {
            return;
        }
        let window = self.typed.window.map_or(WINDOW, |w| w.0);
        let during = workload.load.segments.iter().find(|s| s.phase == Phase::During);
        let Some(Length::Duration(length)) = during.map(|s| s.length) else { return };
        if length < window * FEWEST_WINDOWS {
            let place = node.get("load").filter(|load| load.get("warm-up").is_some());
            let place = place.or_else(|| self.root.get("phases")).unwrap_or(node);
            let windows = length.as_nanos() / window.as_nanos().max(1);
            Diagnostics::new(self.file, mistakes).say(
                place,
                "warm-up",
                format!("{windows} windows are too few to find the steady state in"),
                format!(
                    "expected at least {FEWEST_WINDOWS}: a longer load, or a `window` shorter than {}",
                    units::exact_duration(window)
                ),
            );
        }
    }

    fn check_ports(&self, targets: &[Target], mistakes: &mut Vec<Mistake>) {
        // Where all roles are this machine, they share its ports.
        let alone = self.options.here.is_none();
        let mut owner: BTreeMap<(Option<&str>, u16), &str> = BTreeMap::new();
        for target in targets {
            for (i, port) in target.replicas.iter().flat_map(|r| r.ports.iter().enumerate()) {
                // Two roles may share a machine; before their addresses are known, nobody can tell.
                let machine = target.machine.as_deref().or(target.on.as_deref()).filter(|_| !alone);
                match owner.insert((machine, *port), &target.name) {
                    Some(other) if other != target.name => {
                        let entry = self.targets.iter().find(|e| e.key == target.name);
                        let place = |e: &Entry| match e.value.get("port") {
                            Some(port) if i == 0 => port.span,
                            _ => e.value.get("ports").map_or(e.key_span, |n| n.span),
                        };
                        let span = entry.map_or(self.root.span, place);
                        let found = format!("the targets `{other}` and `{}` are both on port {port}", target.name);
                        let mistake = Mistake::new(self.file, span, found).expected("expected a separate port for each");
                        let apart = targets.iter().find(|t| t.name == other).is_some_and(|other| other.on != target.on);
                        mistakes.push(match apart {
                            true => mistake.help("with `--on` they are on different machines, and may both have it"),
                            false => mistake,
                        });
                    }
                    _ => {}
                }
            }
        }
    }

    /// The folder of a cell: `layout`, or nested folders `factor=level`.
    fn path(
        &self,
        scope: &Scope<'_>,
        id: &CellId,
        paths: &mut BTreeMap<PathBuf, CellId>,
        mistakes: &mut Vec<Mistake>,
    ) -> Option<PathBuf> {
        let Some(layout) = self.root.get("layout") else {
            let name: String = id.0.chars().map(|c| if c == '/' || c.is_control() { '_' } else { c }).collect();
            let mut path = PathBuf::from(fitting(&name));
            // The replaced characters may have been the only difference from another cell.
            if paths.contains_key(&path) {
                path = PathBuf::from(marked(&name, &id.0));
            }
            paths.insert(path.clone(), id.clone());
            return Some(path);
        };
        // The folder of a repetition is called `run<N>` anyway; the layout may show it.
        let whole = layout.as_text().map(|text| text.strip_suffix("/run${repetition}").unwrap_or(text));
        let layout = &whole.map_or_else(|| layout.clone(), |text| layout.with(Data::Text(text.to_owned())));
        let resolved = scope.resolve(layout, mistakes);
        let text = match &resolved.data {
            Data::Text(text) => text.clone(),
            Data::Int(i) => i.to_string(),
            Data::Poison => return None,
            _ => {
                mistakes.push(
                    Mistake::new(self.file, layout.span, format!("{} is not a folder", resolved.describe()))
                        .expected("expected a path such as `${processes}p/${action}`"),
                );
                return None;
            }
        };
        let text: String = text.chars().map(|c| if c.is_control() { '_' } else { c }).collect();
        let path = PathBuf::from(text.split('/').map(fitting).collect::<Vec<String>>().join("/"));
        if path.as_os_str().len() > LONGEST_LAYOUT {
            mistakes.push(
                Mistake::new(self.file, layout.span, format!("a folder whose path has {} bytes", path.as_os_str().len()))
                    .expected(format!("expected at most {LONGEST_LAYOUT}")),
            );
            return None;
        }
        let sound =
            !text.is_empty() && !text.contains("${") && path.components().all(|c| matches!(c, std::path::Component::Normal(_)));
        if text.is_empty() {
            mistakes.push(
                Mistake::new(self.file, layout.span, "an empty folder name")
                    .expected("expected a path such as `${processes}p/${action}`"),
            );
            return None;
        }
        if !sound {
            mistakes.push(
                Mistake::new(self.file, layout.span, format!("the folder `{text}` leaves the results directory"))
                    .expected("expected a relative path without `..`"),
            );
            return None;
        }
        if let Some(other) = paths.insert(path.clone(), id.clone()) {
            mistakes.push(
                Mistake::new(self.file, layout.span, format!("the cells `{other}` and `{id}` would share the folder `{text}`"))
                    .expected("expected every factor with several levels in `layout`"),
            );
            return None;
        }
        let inside = |inner: &Path, outer: &Path| inner != outer && inner.starts_with(outer);
        let below = paths.range(path.clone()..).nth(1).filter(|(p, _)| inside(p, &path));
        let above = path.ancestors().skip(1).find_map(|a| paths.get_key_value(a));
        if let Some((_, other)) = below.or(above) {
            mistakes.push(
                Mistake::new(
                    self.file,
                    layout.span,
                    format!("the folder of one of the cells `{other}` and `{id}` is inside the other's"),
                )
                .expected("expected as many folders for every cell"),
            );
            return None;
        }
        Some(path)
    }
}

/// The longest path of the folder of a cell, below that of the run, in bytes: the whole path of a file in it must fit
/// into 4096.
const LONGEST_LAYOUT: usize = 2000;

/// Why a cell is skipped that needs environment variables that are not set.
fn words_of_unset(names: &[String]) -> Option<String> {
    match names {
        [] => None,
        [one] => Some(format!("the environment variable {one} is not set")),
        [others @ .., last] => Some(format!("the environment variables {} and {last} are not set", others.join(", "))),
    }
}
