//! The documentation says what the program does: its generated parts are those that the program makes, each key, option, metric,
//! exit code and column has a page, scenarios pass `check`, and console sessions come out as they stand there.
//!
//! `RUNNER_WRITE_BOOK=1 cargo test --test end_to_end book` (`make reference`) writes the generated parts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use runner::cli::Cli;
use runner::schema::reference::{Reference, page_of};
use runner::vocabulary::metric::{self, Better, Exists};

use crate::support::{Place, root};

/// All pages, README among them, with the paths below the repository.
fn pages() -> BTreeMap<PathBuf, String> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "md") {
                found.push(path);
            }
        }
    }
    let mut found = vec![root().join("README.md")];
    walk(&root().join("docs"), &mut found);
    let text = |path: &PathBuf| std::fs::read_to_string(path).expect("a page");
    found.iter().map(|path| (path.strip_prefix(root()).expect("below").to_owned(), text(path))).collect()
}

/// The pages with their generated parts made anew.
fn generated(text: &str, make: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        out += &format!("{line}\n");
        let Some(what) =
            line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->")).filter(|w| !w.starts_with("end of "))
        else {
            continue;
        };
        let Some(part) = make(what) else { continue };
        let end = format!("<!-- end of {} -->", what.split(':').next().unwrap_or(what));
        assert!(lines.any(|line| line == end), "`{line}` has no `{end}`");
        out += &format!("\n{}\n\n{end}\n", part.trim());
    }
    out
}

#[test]
fn generated_parts_are_those_of_the_program() {
    let reference = Reference::generate();
    let make = |what: &str| match what.split_once(": ") {
        Some(("keys", block)) => Some(reference.markdown(block).unwrap_or_else(|| panic!("there is no block `{block}`"))),
        None if what == "metrics" => Some(metrics()),
        None if what == "command line" => Some(command_line()),
        _ => None,
    };
    let write = std::env::var_os("RUNNER_WRITE_BOOK").is_some();
    for (path, text) in pages() {
        let new = generated(&text, &make);
        if write && new != text {
            std::fs::write(root().join(&path), &new).expect("a page can be written");
        }
        assert!(write || new == text, "{} is not what the program says; `make reference` writes it", path.display());
    }
}

fn metrics() -> String {
    let mut out = String::from("| metric | is | unit | better | exists |\n|---|---|---|---|---|\n");
    for row in metric::catalogue() {
        let better = match row.better {
            Better::More => "more",
            Better::Less => "less",
            Better::Unknown => "",
        };
        let places = [
            (Exists::OverTime, "over time"),
            (Exists::InPhases, "by phase"),
            (Exists::InSearch, "in `find`"),
            (Exists::InRatio, "as a ratio"),
        ];
        let exists: Vec<&str> = places.iter().filter(|(here, _)| row.exists.contains(here)).map(|(_, words)| *words).collect();
        out += &format!("| `{}` | {} | {} | {better} | {} |\n", row.name, row.words, row.axis.0, exists.join(", "));
    }
    out
}

fn command_line() -> String {
    fn of(command: &mut clap::Command, out: &mut String) {
        let name = command.get_bin_name().or_else(|| command.get_display_name()).unwrap_or(command.get_name()).to_owned();
        let help = command.clone().color(clap::ColorChoice::Never).term_width(100).render_long_help().to_string();
        let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
        *out += &format!("## `{name}`\n\n```text\n{}\n```\n\n", lines.join("\n").trim());
        for inner in command.get_subcommands_mut() {
            if inner.get_name() != "help" {
                of(inner, out);
            }
        }
    }
    let mut command = Cli::command();
    command.build();
    let mut out = String::new();
    of(&mut command, &mut out);
    out
}

#[test]
fn every_key_metric_and_exit_code_has_a_page() {
    let pages = pages();
    let page = |name: &str| pages.get(Path::new(name)).unwrap_or_else(|| panic!("{name} is missing"));
    for block in Reference::generate().blocks() {
        let (file, _) = page_of(&block.name).unwrap_or_else(|| panic!("the block {} has no page", block.name));
        let marker = format!("<!-- keys: {} -->", block.name);
        assert!(page(&format!("docs/reference/{file}.md")).contains(&marker), "docs/reference/{file}.md has no `{marker}`");
        for key in &block.keys {
            assert!(!key.text.is_empty(), "{}.{} says nothing", block.name, key.name);
        }
    }
    assert!(page("docs/reference/metrics.md").contains("<!-- metrics -->"));
    assert!(page("docs/reference/command-line.md").contains("<!-- command line -->"));
    for code in [0, 1, 2, 3, 4, 5, 130] {
        assert!(page("docs/exit-codes.md").contains(&format!("`{code}`")), "exit code {code}");
    }
}

/// The blocks of code of a page: what stands behind ```` ``` ````, and the text.
fn blocks(text: &str) -> Vec<(String, String, usize)> {
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(info) = line.trim_start().strip_prefix("```") else { continue };
        let indent = line.len() - line.trim_start().len();
        let mut body = String::new();
        for (_, line) in lines.by_ref() {
            if line.trim_start() == "```" {
                break;
            }
            body += line.get(indent..).unwrap_or_default();
            body.push('\n');
        }
        found.push((info.trim().to_owned(), body, number + 1));
    }
    found
}

#[test]
fn scenarios_in_the_documentation_are_valid() {
    let reference = Reference::generate();
    let keys: BTreeSet<String> = reference.places().into_iter().map(|place| place.key.name.clone()).collect();
    let mut checked = 0;
    let place = Place::new();
    // Files that the pages speak of are looked for from the folder of a scenario upwards.
    for folder in ["experiments", "haproxy", "fixtures", "docs"] {
        std::os::unix::fs::symlink(root().join(folder), place.path(folder)).expect("a link");
    }
    for (path, text) in pages() {
        for (info, body, line) in blocks(&text) {
            let shown = format!("{}:{line}", path.display());
            match info.as_str() {
                "yaml" => {
                    place.write_as_is("page.yaml", &body);
                    let outcome = place.run(&["check", "page.yaml"]);
                    assert_eq!(outcome.code, Some(0), "{shown}\n{}", outcome.stderr);
                    checked += 1;
                }
                "yaml fragment" => {
                    let value: serde_yaml::Value = serde_yaml::from_str(&body).unwrap_or_else(|e| panic!("{shown}: {e}"));
                    if let Some(map) = value.as_mapping() {
                        for key in map.keys().filter_map(|key| key.as_str()) {
                            assert!(keys.contains(key) || key.starts_with("x-"), "{shown}: `{key}` is no key of the language");
                        }
                    }
                }
                _ => {}
            }
        }
    }
    assert!(checked > 20, "{checked}");
}

#[test]
fn tables_are_readable() {
    for (path, text) in pages() {
        if path.starts_with("docs/studies") || path.ends_with("architecture.md") {
            continue;
        }
        for (number, line) in text.lines().enumerate().filter(|(_, line)| line.starts_with('|')) {
            for cell in line.replace("\\|", "/").split('|') {
                assert!(
                    cell.trim().chars().count() <= 200,
                    "{}:{}: a cell of more than 200 characters",
                    path.display(),
                    number + 1
                );
            }
        }
    }
}
