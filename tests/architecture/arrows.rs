//! Who imports whom: what the code says, and what each `Cargo.toml` says.

use std::collections::BTreeSet;

use crate::rust::{Code, Source};
use crate::{FLOORS, Floor, LIBRARIES};

/// Arrows that a floor may not have, each with its place. `sources`: the files of one floor.
pub fn forbidden(floor: &Floor, sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources {
        for (name, line) in imports(&source.main) {
            if let Some(why) = refuse(floor, &name, false) {
                wrong.push(format!("{}:{line}: {why}", source.file));
            }
        }
        for (name, line) in imports(&source.tests) {
            if let Some(why) = refuse(floor, &name, true) {
                wrong.push(format!("{}:{line}: {why}", source.file));
            }
        }
    }
    wrong
}

/// Dependencies that a floor's `Cargo.toml` may not have, and floors among them that nothing in `sources` imports.
pub fn dependencies(floor: &Floor, file: &str, manifest: &str, sources: &[Source]) -> Vec<String> {
    let used: BTreeSet<String> = sources.iter().flat_map(|s| imports(&s.main)).map(|(name, _)| name).collect();
    let mut wrong = Vec::new();
    let mut section = "";
    for (number, line) in manifest.lines().enumerate() {
        if line.starts_with('[') {
            section = line.trim();
        }
        let test = section == "[dev-dependencies]";
        if !test && section != "[dependencies]" {
            continue;
        }
        let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
        if let Some(why) = refuse(floor, name, test) {
            wrong.push(format!("{file}:{}: {why}", number + 1));
        } else if !test && is_watched(name) && !used.contains(name) {
            wrong.push(format!("{file}:{}: `{name}` is listed, and nothing in `{}` imports it", number + 1, floor.name));
        }
    }
    wrong
}

/// The lines in which a file imports a library, its tests included. A module of the same name is no library.
pub fn to<'a>(library: &'a str, source: &'a Source) -> impl Iterator<Item = usize> + 'a {
    [&source.main, &source.tests].into_iter().filter(move |code| !code.modules.contains(library)).flat_map(move |code| {
        let paths = code.uses.iter().map(|u| &u.path).chain(&code.paths);
        paths.filter(move |path| path.names.first().is_some_and(|first| first == library)).map(|path| path.line)
    })
}

/// The floors and watched libraries that code imports.
fn imports(code: &Code) -> Vec<(String, usize)> {
    let imported = code.imported();
    let mut found = Vec::new();
    for path in code.uses.iter().map(|u| &u.path).chain(&code.paths) {
        let Some(first) = path.names.first() else { continue };
        // The command line's package has the floors under its own name, too.
        let (head, through) = match (first.as_str(), path.names.get(1)) {
            ("crate" | "runner", Some(second)) => (second, true),
            _ => (first, false),
        };
        let is_own = !through
            && (code.modules.contains(head)
                || imported.get(head.as_str()).is_some_and(|from| from.len() > 1 || from.first() != Some(head)));
        if is_watched(head) && !is_own {
            found.push((format!("{}{head}", if through { "crate::" } else { "" }), path.line));
        }
    }
    found
}

fn is_watched(name: &str) -> bool {
    FLOORS.iter().any(|floor| floor.name == name) || LIBRARIES.iter().any(|(library, _)| *library == name)
}

/// Why a floor may not import something; nothing where it may.
fn refuse(floor: &Floor, import: &str, test: bool) -> Option<String> {
    let name = match import.strip_prefix("crate::") {
        // Elsewhere `crate::links` is a module of the floor's own.
        Some(_) if floor.name != "cmd" => return None,
        Some(name) => name,
        None => import,
    };
    if name == floor.name {
        return None;
    }
    if let Some((_, floors)) = LIBRARIES.iter().find(|(library, _)| *library == name) {
        return (!test && !floors.contains(&floor.name))
            .then(|| format!("`{}` imports `{name}`, which is for {}", floor.name, listed(floors)));
    }
    FLOORS.iter().find(|other| other.name == name)?;
    let allowed = floor.imports.contains(&name) || test && floor.tests.contains(&name);
    (!allowed).then(|| format!("`{}` imports `{name}`; it may import {}", floor.name, listed(floor.imports)))
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "no other floor".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::floor;

    fn said(of: &str, text: &str) -> Vec<String> {
        forbidden(floor(of), &[Source::read("a.rs", text, false)])
    }

    #[test]
    fn a_forbidden_use_and_a_forbidden_path_are_named_with_their_lines() {
        assert_eq!(
            said("record", "use plan::Cell;\nuse load::Job;\nfn f() { executor::run() }\n"),
            [
                "a.rs:2: `record` imports `load`; it may import vocabulary, plan",
                "a.rs:3: `record` imports `executor`; it may import vocabulary, plan",
            ]
        );
    }

    #[test]
    fn a_module_of_the_same_name_is_no_other_floor() {
        assert!(
            said("plan", "mod links;\nuse load::Load;\nmod load;\nuse crate::record::R;\nfn f() { links::g() }\n").is_empty()
        );
        assert!(said("plan_read", "use plan::links;\nfn f() { links::g() }\n").is_empty());
        assert_eq!(said("plan_read", "use links::{self, Made};\nfn f() { links::g() }\n").len(), 3);
    }

    #[test]
    fn the_command_line_imports_through_its_own_package() {
        assert!(said("cmd", "use crate::executor::Executor;\nuse crate::exit::Exit;\n").is_empty());
        assert_eq!(said("cmd", "use crate::polars::Frame;\n").len(), 1);
    }

    #[test]
    fn libraries_have_their_floors_but_tests_are_free() {
        assert_eq!(said("observe", "use serde::Serialize;\n").len(), 1);
        assert_eq!(said("plot", "use polars::prelude::DataFrame;\n").len(), 1);
        assert!(said("observe", "#[cfg(test)]\nmod tests { use serde::Serialize; }\n").is_empty());
    }

    #[test]
    fn tests_see_a_little_more() {
        assert!(said("plot", "#[cfg(test)]\nmod tests { use plan_read::build; }\n").is_empty());
        assert_eq!(said("plot", "use plan_read::build;\n").len(), 1);
        assert_eq!(said("plot", "#[cfg(test)]\nmod tests { use executor::Executor; }\n").len(), 1);
    }

    #[test]
    fn a_library_is_found_where_it_is_imported() {
        let lines = |text: &str| to("fixtures", &Source::read("a.rs", text, false)).collect::<Vec<_>>();
        assert_eq!(lines("use fixtures::main;\nfn f() {\n    fixtures::main();\n}\n"), [1, 3]);
        assert_eq!(lines("#[cfg(test)]\nmod tests {\n    use fixtures::main;\n}\n"), [3]);
        assert!(lines("mod fixtures;\nuse other::fixtures;\nfn f() { fixtures::g() }\n").is_empty());
    }

    #[test]
    fn dependencies_are_held_too() {
        let manifest = "[package]\nname = \"x\"\n[dependencies]\nplan.workspace = true\nload = { path = \"..\" }\nvocabulary.workspace = true\n\
                        [dev-dependencies]\nserde.workspace = true\nschema.workspace = true\n";
        assert_eq!(
            dependencies(floor("record"), "c.toml", manifest, &[Source::read("a.rs", "use plan::Cell;\n", false)]),
            [
                "c.toml:5: `record` imports `load`; it may import vocabulary, plan",
                "c.toml:6: `vocabulary` is listed, and nothing in `record` imports it",
                "c.toml:9: `record` imports `schema`; it may import vocabulary, plan",
            ]
        );
    }
}
