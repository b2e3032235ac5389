//! Holds the architecture: who imports whom, rings of files, and where a protocol's name may stand.
//!
//! `docs/architecture.md` has the same tables in words; that they are the same is tested too. It reads the source as text and
//! links nothing of runner.

mod arrows;
mod rings;
mod rust;
mod words;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rings::Ring;
use rust::Source;

/// A floor, and what it may import of the others.
pub struct Floor {
    /// The name of its crate; `cmd` is the package of the command line.
    pub name: &'static str,
    /// What its code may import.
    pub imports: &'static [&'static str],
    /// What its tests may import besides.
    pub tests: &'static [&'static str],
}

const fn floor_of(name: &'static str, imports: &'static [&'static str]) -> Floor {
    Floor { name, imports, tests: &[] }
}

/// The floors from the ground up.
pub const FLOORS: [Floor; 20] = [
    floor_of("vocabulary", &[]),
    // Fixtures import it, too: it knows nothing of the runner.
    floor_of("privileges", &[]),
    floor_of("schema", &["vocabulary"]),
    floor_of("plan", &["vocabulary"]),
    floor_of("plan_read", &["vocabulary", "schema", "plan"]),
    floor_of("extract", &["vocabulary", "plan"]),
    floor_of("links", &["vocabulary", "plan"]),
    floor_of("tls", &["vocabulary", "plan"]),
    floor_of("supervise", &["vocabulary", "plan", "tls"]),
    floor_of("observe", &["vocabulary"]),
    floor_of("load", &["vocabulary", "plan", "extract", "tls"]),
    floor_of("record", &["vocabulary", "plan"]),
    floor_of("hosts", &["record"]),
    floor_of("executor", &["vocabulary", "plan", "extract", "links", "supervise", "observe", "load", "record", "hosts"]),
    // Tests of `analysis` and `plot` make a small run by hand: windows as the load fills them, a plan from a few lines.
    Floor { tests: &["load"], ..floor_of("analysis", &["vocabulary", "record"]) },
    floor_of("export", &["vocabulary", "extract", "record", "analysis"]),
    Floor { tests: &["plan_read", "load"], ..floor_of("plot", &["vocabulary", "record", "analysis"]) },
    floor_of("report", &["vocabulary", "record", "analysis", "plot"]),
    floor_of("serve", &["vocabulary", "privileges", "record", "analysis", "export", "report"]),
    floor_of(
        "cmd",
        &[
            "vocabulary",
            "schema",
            "plan",
            "plan_read",
            "extract",
            "links",
            "supervise",
            "observe",
            "load",
            "record",
            "hosts",
            "executor",
            "analysis",
            "export",
            "serve",
            "plot",
            "report",
        ],
    ),
];

/// Libraries that shape whatever imports them, and the floors that may. Tests are free.
pub const LIBRARIES: [(&str, &[&str]); 4] = [
    // What is read or written in files and messages.
    (
        "serde",
        &[
            "vocabulary",
            "schema",
            "plan",
            "plan_read",
            "links",
            "supervise",
            "load",
            "record",
            "hosts",
            "analysis",
            "report",
            "serve",
            "cmd",
        ],
    ),
    // The rest waits for nobody, or has threads.
    ("tokio", &["tls", "supervise", "load", "hosts", "executor", "serve", "cmd"]),
    // By far the most expensive to compile.
    ("polars", &["record", "analysis"]),
    // A C library: what opens databases stands where databases are read and written.
    ("rusqlite", &["extract", "export"]),
];

/// Rings of files that are there, by floor; a ring is known when all of its files are in one of these lists. They are to be
/// broken, and no ring is to be added.
const RINGS: &[(&str, &[&str])] = &[
    // The summary holds what is decided, expected and stable, as nouns that lie with what computes them from the summary.
    (
        "analysis",
        &[
            "src/analysis/compare/case.rs",
            "src/analysis/compare/judge.rs",
            "src/analysis/compare/mod.rs",
            "src/analysis/compare/sessions.rs",
            "src/analysis/decisions.rs",
            "src/analysis/expectations.rs",
            "src/analysis/stability.rs",
            "src/analysis/summary.rs",
            "src/analysis/values.rs",
        ],
    ),
];

/// Protocols whose name is a word of their own; `http` and `command` mean other things too.
const PROTOCOLS: [&str; 4] = ["framed", "redis", "vtp", "websocket"];

/// Where the list of protocols stands on each floor.
const LISTS: [&str; 4] =
    ["src/schema/types/workload/mod.rs", "src/plan/drivers/mod.rs", "src/plan/read/drivers.rs", "src/load/drivers/mod.rs"];

/// Files that have a protocol's name for another reason.
const NAMESAKES: [(&str, &str); 8] = [
    // Requests over HTTP whose body the scenario frames by hand.
    ("framed", "src/load/drivers/http/request.rs"),
    // Events are sent in frames: this protocol is built upon the other.
    ("framed", "src/load/drivers/vtp/document.rs"),
    ("framed", "src/load/drivers/vtp/mod.rs"),
    ("framed", "src/load/drivers/vtp/subscriber.rs"),
    // What its workloads looked like in plans of older formats.
    ("framed", "src/record/older.rs"),
    // The fixtures that ship with the project, by name.
    ("vtp", "src/plan/read/targets.rs"),
    ("websocket", "src/plan/read/targets.rs"),
    // What of them can read what others wrote.
    ("vtp", "src/plan/read/collect.rs"),
];

fn floor(name: &str) -> &'static Floor {
    FLOORS.iter().find(|floor| floor.name == name).expect("the tests name floors")
}

/// To which floor a file below `src` belongs.
fn floor_of_file(file: &str) -> &'static str {
    if file.starts_with("src/plan/read/") || file.starts_with("src/plan/drivers/") && file.ends_with("/read.rs") {
        return "plan_read";
    }
    let folder = file.split('/').nth(1).unwrap_or_default();
    FLOORS.iter().map(|floor| floor.name).find(|name| *name == folder).unwrap_or("cmd")
}

/// Which module of its floor a file is.
fn module_of(floor: &str, file: &str) -> rings::Module {
    let inside = match floor {
        // The readers of protocols lie beside their nouns.
        "plan_read" if file.ends_with("/read.rs") => {
            let protocol = file.trim_start_matches("src/plan/").trim_end_matches("/read.rs");
            return protocol.split('/').map(str::to_owned).collect();
        }
        "plan_read" => file.trim_start_matches("src/plan/read/"),
        "cmd" => file.trim_start_matches("src/"),
        _ => file.trim_start_matches("src/").trim_start_matches(floor).trim_start_matches('/'),
    };
    let names = inside.trim_end_matches(".rs").split('/').map(str::to_owned);
    let mut module: rings::Module = names.collect();
    if module.last().is_some_and(|last| last == "mod" || last == "lib" && floor == "cmd") {
        module.pop();
    }
    module
}

fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text_of(file: &str) -> String {
    std::fs::read_to_string(top().join(file)).unwrap_or_else(|e| panic!("cannot read {file}: {e}"))
}

/// The files of Rust below a folder, sorted.
fn files(folder: &Path, into: &mut Vec<String>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the source is there")
        .map(|entry| entry.expect("the source can be read").path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let inside = path.strip_prefix(top()).expect("it is below the top");
            into.push(inside.to_str().expect("the source has plain names").to_owned());
        }
    }
}

/// The files of each floor. Code of tests are files named `tests.rs` or in a folder of that name, and modules for tests only.
fn sources() -> Vec<(&'static Floor, Vec<Source>)> {
    let mut all = Vec::new();
    files(&top().join("src"), &mut all);
    let read = |file: &String, only_tests: bool| Source::read(file, &text_of(file), only_tests);
    let named = |file: &str| file.ends_with("/tests.rs") || file.contains("/tests/");
    FLOORS
        .iter()
        .map(|floor| {
            let own = || all.iter().filter(|file| floor_of_file(file) == floor.name);
            let first: Vec<Source> = own().map(|file| read(file, named(file))).collect();
            let declared: BTreeSet<rings::Module> = first
                .iter()
                .flat_map(|source| {
                    source.test_modules.iter().map(|name| {
                        let mut module = module_of(floor.name, &source.file);
                        module.push(name.clone());
                        module
                    })
                })
                .collect();
            let is_test = |file: &str| named(file) || declared.contains(&module_of(floor.name, file));
            (floor, own().map(|file| read(file, is_test(file))).collect())
        })
        .collect()
}

fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\nsee docs/architecture.md\n", wrong.join("\n"));
}

#[test]
fn no_floor_imports_what_it_may_not() {
    let wrong: Vec<String> = sources().iter().flat_map(|(floor, sources)| arrows::forbidden(floor, sources)).collect();
    none(&wrong);
}

#[test]
fn no_manifest_lists_what_its_floor_may_not_import() {
    let mut wrong = Vec::new();
    for (floor, sources) in sources() {
        let file = match floor.name {
            "cmd" => "Cargo.toml".to_owned(),
            "plan_read" => "src/plan/read/Cargo.toml".to_owned(),
            name => format!("src/{name}/Cargo.toml"),
        };
        wrong.extend(arrows::dependencies(floor, &file, &text_of(&file), &sources));
    }
    none(&wrong);
}

/// The package of the command line builds the fixtures' executable, so that both programs are installed together; neither is to
/// know the other. The fixtures import what they list, and of the floors that is one.
#[test]
fn fixtures_and_the_runner_know_nothing_of_each_other() {
    const EXECUTABLE: &str = "src/bin/runner-fixtures.rs";
    let mut wrong = Vec::new();
    for source in sources().iter().flat_map(|(_, sources)| sources).filter(|source| source.file != EXECUTABLE) {
        wrong.extend(
            arrows::to("fixtures", source)
                .map(|line| format!("{}:{line}: only {EXECUTABLE} is made of the fixtures", source.file)),
        );
    }
    let manifest = text_of("fixtures/Cargo.toml");
    let listed = |floor: &&Floor| manifest.lines().any(|line| line.split(['.', '=', ' ']).next() == Some(floor.name));
    let listed: Vec<&str> = FLOORS.iter().filter(listed).map(|floor| floor.name).collect();
    if listed != ["privileges"] {
        wrong.push(format!("fixtures/Cargo.toml lists {}; of the floors it may list `privileges`", listed.join(", ")));
    }
    none(&wrong);
}

#[test]
fn no_files_import_each_other_in_a_ring() {
    let mut wrong = Vec::new();
    for (floor, sources) in sources() {
        let known: Vec<&[&str]> = RINGS.iter().filter(|(name, _)| *name == floor.name).map(|(_, files)| *files).collect();
        let found = rings::Modules::new(&sources, |file| module_of(floor.name, file)).rings();
        let is_known = |ring: &Ring, files: &[&str]| ring.files.iter().all(|file| files.contains(&file.as_str()));
        for ring in found.iter().filter(|ring| !known.iter().any(|files| is_known(ring, files))) {
            let Ring { files, way } = ring;
            wrong.push(format!("`{}`: a ring:\n  {}\nof {}", floor.name, way.join("\n  "), files.join(", ")));
        }
        for files in known.iter().filter(|files| !found.iter().any(|ring| is_known(ring, files))) {
            wrong.push(format!("`{}`: the ring of {} is broken: take it from the list", floor.name, files.join(", ")));
        }
    }
    none(&wrong);
}

#[test]
fn no_protocol_is_known_outside_its_places() {
    let mut wrong = Vec::new();
    for protocol in PROTOCOLS {
        let at_home = |file: &str| {
            let own = |part: &str| part == protocol || part.strip_suffix(".rs") == Some(protocol);
            file.split('/').any(own) || LISTS.contains(&file) || NAMESAKES.contains(&(protocol, file))
        };
        for (_, sources) in sources() {
            wrong.extend(words::leaks(protocol, &sources, at_home));
        }
    }
    none(&wrong);
}

/// Rows of the tables in the documentation: the name in the first column, the names in the last.
fn rows(text: &str) -> Vec<(String, BTreeSet<String>)> {
    let names = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let row = |line: &str| {
        let cells: Vec<&str> = line.strip_prefix("| ")?.strip_suffix('|')?.split('|').collect();
        let name = names(cells.first()?).into_iter().next()?;
        Some((name, names(cells.last()?).into_iter().collect()))
    };
    text.lines().filter_map(row).collect()
}

#[test]
fn the_documentation_has_the_same_tables() {
    let rows = rows(&text_of("docs/architecture.md"));
    let floors = FLOORS.iter().map(|floor| (floor.name, floor.imports));
    for (name, expected) in floors.chain(LIBRARIES) {
        let (_, found) = rows.iter().find(|(row, _)| row == name).unwrap_or_else(|| panic!("`{name}` has no row"));
        let expected: BTreeSet<String> = expected.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(found, &expected, "the row of `{name}`");
    }
}

/// Files that a text names and that are not there; `<p>` stands for any name.
fn missing(text: &str, is_there: impl Fn(&str) -> bool) -> Vec<String> {
    let named = text.split('`').skip(1).step_by(2).filter(|name| {
        ["src/", "tests/", "fixtures/"].iter().any(|top| name.starts_with(top)) && !name.contains(['<', '*', ' '])
    });
    // A module may be a file or a folder.
    let either = |name: &str| is_there(name) || name.strip_suffix("/mod.rs").is_some_and(|name| is_there(&format!("{name}.rs")));
    named.filter(|name| !either(name)).map(str::to_owned).collect()
}

#[test]
fn the_documentation_names_files_that_are_there() {
    none(&missing(&text_of("docs/architecture.md"), |name| top().join(name).exists()));
}

#[test]
fn files_that_are_not_there_are_named() {
    let text = "`src/a.rs` and `src/b/mod.rs`, not `src/c.rs` or `other`; `src/<p>.rs`";
    assert_eq!(missing(text, |name| ["src/a.rs", "src/b.rs"].contains(&name)), ["src/c.rs"]);
}

#[test]
fn rows_of_tables_are_read() {
    let read = rows("text\n| floor | imports |\n|---|---|\n| `a` | no `z` | `b`, `c` |\n| `d` | – |\n");
    let expected = [("a", vec!["b", "c"]), ("d", vec![])];
    let expected: Vec<_> =
        expected.into_iter().map(|(name, of)| (name.to_owned(), of.into_iter().map(str::to_owned).collect())).collect();
    assert_eq!(read, expected);
}

#[test]
fn files_belong_to_floors_and_modules() {
    let module = |floor: &str, file: &str| module_of(floor, file).join("::");
    assert_eq!(floor_of_file("src/plan/drivers/vtp/read.rs"), "plan_read");
    assert_eq!(floor_of_file("src/plan/drivers/vtp/mod.rs"), "plan");
    assert_eq!(floor_of_file("src/cli.rs"), "cmd");
    assert_eq!(module("plan_read", "src/plan/drivers/vtp/read.rs"), "drivers::vtp");
    assert_eq!(module("plan_read", "src/plan/read/mod.rs"), "");
    assert_eq!(module("load", "src/load/drivers/http/lean/answer.rs"), "drivers::http::lean::answer");
    assert_eq!(module("cmd", "src/lib.rs"), "");
    assert_eq!(module("cmd", "src/cmd/mod.rs"), "cmd");
}
