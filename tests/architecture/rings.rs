//! Rings of files: a file that imports another, which imports the first again, over whatever way.
//!
//! A name that a file re-exports is looked up where it comes from. A module and those below it are one room: it composes them,
//! and they may use its nouns; so what a module imports from below itself makes no ring.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::rust::{Path, Source};

/// The path of a module in its floor; empty for the root.
pub type Module = Vec<String>;

/// Files that import each other in a ring.
#[derive(Debug, PartialEq, Eq)]
pub struct Ring {
    /// All files that are reached from each other, sorted.
    pub files: Vec<String>,
    /// One shortest way around, an arrow with its place on each line.
    pub way: Vec<String>,
}

/// The files of a floor by their modules.
pub struct Modules<'a>(BTreeMap<Module, &'a Source>);

impl<'a> Modules<'a> {
    /// `name`: which module a file is.
    pub fn new(sources: &'a [Source], name: impl Fn(&str) -> Module) -> Self {
        Self(sources.iter().map(|source| (name(&source.file), source)).collect())
    }

    /// The rings among them.
    pub fn rings(&self) -> Vec<Ring> {
        let arrows = self.arrows();
        let mut rings: Vec<Ring> = Vec::new();
        for start in self.0.keys() {
            let file = &self.0[start].file;
            if rings.iter().any(|ring| ring.files.contains(file)) {
                continue;
            }
            let reached = reach(&arrows, start);
            if !reached.contains_key(start) {
                continue;
            }
            let mut files: Vec<String> =
                reached.keys().filter(|m| reach(&arrows, m).contains_key(start)).map(|m| self.0[*m].file.clone()).collect();
            files.sort();
            rings.push(Ring { files, way: self.way(&arrows, &reached, start) });
        }
        rings
    }

    /// What each module imports, with the line where it does first.
    fn arrows(&self) -> BTreeMap<&Module, BTreeMap<&Module, usize>> {
        let mut arrows: BTreeMap<&Module, BTreeMap<&Module, usize>> = BTreeMap::new();
        for (module, source) in &self.0 {
            for Path { names, line } in source.main.uses.iter().map(|u| &u.path).chain(&source.main.paths) {
                let Some(to) = self.resolve(module, names, 0) else { continue };
                if !to.starts_with(module) {
                    arrows.entry(module).or_default().entry(to).or_insert(*line);
                }
            }
        }
        arrows
    }

    /// The module in which the thing stands that a path in `module` means; nothing where it is not of this floor.
    fn resolve(&self, module: &Module, names: &[String], depth: usize) -> Option<&Module> {
        // Two files that re-export each other's names would never end.
        if depth > 20 {
            return None;
        }
        let (first, mut rest) = names.split_first()?;
        let mut at = module.clone();
        match first.as_str() {
            "crate" => at.clear(),
            "self" => {}
            "super" => {
                at.pop()?;
                while let Some((_, further)) = rest.split_first().filter(|(name, _)| *name == "super") {
                    at.pop()?;
                    rest = further;
                }
            }
            name => {
                at.push(name.to_owned());
                if !self.0.contains_key(&at) {
                    let from = *self.0.get(module)?.main.imported().get(name)?;
                    let itself = from.len() == 1;
                    let full: Vec<String> = from.iter().chain(rest).cloned().collect();
                    return if itself { None } else { self.resolve(module, &full, depth + 1) };
                }
            }
        }
        while let Some((name, further)) = rest.split_first() {
            at.push(name.clone());
            if !self.0.contains_key(&at) {
                at.pop();
                let here = self.0.get_key_value(&at)?;
                let imported = here.1.main.imported();
                let Some(from) = imported.get(name.as_str()) else { return Some(here.0) };
                let full: Vec<String> = from.iter().chain(further).cloned().collect();
                return self.resolve(&at, &full, depth + 1);
            }
            rest = further;
        }
        self.0.get_key_value(&at).map(|(module, _)| module)
    }

    /// The way around from `start`; `reached` says from where each module was reached.
    fn way(
        &self,
        arrows: &BTreeMap<&Module, BTreeMap<&Module, usize>>,
        reached: &BTreeMap<&Module, &Module>,
        start: &Module,
    ) -> Vec<String> {
        let (mut way, mut to) = (Vec::new(), start);
        loop {
            let from = reached[to];
            way.push(format!("{}:{} → {}", self.0[from].file, arrows[from][to], self.0[to].file));
            to = from;
            if to == start {
                break;
            }
        }
        way.reverse();
        way
    }
}

/// The modules that `start` imports, over whatever way, each with the one before it on the shortest.
fn reach<'m>(arrows: &BTreeMap<&'m Module, BTreeMap<&'m Module, usize>>, start: &Module) -> BTreeMap<&'m Module, &'m Module> {
    let mut reached = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut queue: VecDeque<&'m Module> = arrows.keys().copied().filter(|m| *m == start).collect();
    while let Some(from) = queue.pop_front() {
        for to in arrows.get(from).into_iter().flat_map(BTreeMap::keys) {
            if seen.insert(*to) {
                reached.insert(*to, from);
                queue.push_back(to);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module_of;

    fn rings(files: &[(&str, &str)]) -> Vec<Ring> {
        let sources: Vec<Source> = files.iter().map(|(file, text)| Source::read(file, text, false)).collect();
        Modules::new(&sources, |file| module_of("load", file)).rings()
    }

    #[test]
    fn a_ring_is_named_with_its_arrows() {
        let found = rings(&[
            ("src/load/mod.rs", "mod a;\nmod b;\nmod c;\nmod d;\n"),
            ("src/load/a.rs", "\nuse super::b::B;\n"),
            ("src/load/b.rs", "fn f() { crate::c::g() }\n"),
            ("src/load/c.rs", "use super::{a, d};\n"),
            ("src/load/d.rs", "use std::fmt;\n"),
        ]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].files, ["src/load/a.rs", "src/load/b.rs", "src/load/c.rs"]);
        assert_eq!(
            found[0].way,
            ["src/load/a.rs:2 → src/load/b.rs", "src/load/b.rs:1 → src/load/c.rs", "src/load/c.rs:1 → src/load/a.rs"]
        );
    }

    #[test]
    fn a_face_is_in_no_ring_but_a_name_is_followed_through_it() {
        let face = ("src/load/mod.rs", "mod a;\nmod b;\npub use a::A;\npub use self::b::B;\n");
        assert!(rings(&[face, ("src/load/a.rs", "use crate::B;\n"), ("src/load/b.rs", "struct B;\n")]).is_empty());
        let through = rings(&[face, ("src/load/a.rs", "use crate::B;\n"), ("src/load/b.rs", "use super::A;\n")]);
        assert_eq!(through.len(), 1);
        assert_eq!(through[0].files, ["src/load/a.rs", "src/load/b.rs"]);
    }

    #[test]
    fn a_module_and_those_below_it_are_no_ring_but_a_way_around_it_is() {
        let parent = ("src/load/a/mod.rs", "mod b;\nuse b::f;\nuse crate::c::C;\nstruct Error;\n");
        let child = ("src/load/a/b.rs", "use super::Error;\n");
        assert!(rings(&[parent, child, ("src/load/c.rs", "")]).is_empty());
        let found = rings(&[parent, child, ("src/load/c.rs", "use super::a::b;\n"), ("src/load/mod.rs", "mod a;\nmod c;\n")]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].files, ["src/load/a/b.rs", "src/load/a/mod.rs", "src/load/c.rs"]);
    }

    #[test]
    fn tests_may_close_a_ring() {
        let test = "use super::b::B;\n#[cfg(test)]\nmod tests { use crate::a; }\n";
        assert!(rings(&[("src/load/a.rs", test), ("src/load/b.rs", "#[cfg(test)]\nuse super::a::A;\n")]).is_empty());
    }
}
