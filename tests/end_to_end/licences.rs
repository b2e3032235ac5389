//! Every library that is linked has a licence that goes with MIT OR Apache-2.0.

use std::collections::BTreeSet;
use std::process::Command;

/// The licences of `deny.toml`, where cargo-deny finds them, too: a list of texts, one on each line.
fn allowed() -> BTreeSet<String> {
    let text = std::fs::read_to_string(crate::support::root().join("deny.toml")).expect("deny.toml lies at the top");
    let list = text.split_once("\nallow = [\n").and_then(|(_, rest)| rest.split_once("\n]")).expect("it has a list `allow`").0;
    let licence = |line: &str| line.trim().strip_prefix('"')?.strip_suffix("\",").map(str::to_owned);
    list.lines().map(|line| licence(line).unwrap_or_else(|| panic!("expected a licence in `allow`: {line}"))).collect()
}

/// Whether an SPDX expression can be satisfied with allowed licences. `/` is an old way to write OR.
fn satisfied(allowed: &BTreeSet<String>, expression: &str) -> bool {
    let expression = expression.replace('/', " OR ").replace(['(', ')'], " ");
    expression.split(" OR ").any(|all| all.split(" AND ").all(|one| allowed.contains(one.trim())))
}

#[test]
fn expressions_are_understood() {
    let allowed = allowed();
    assert!(satisfied(&allowed, "MIT OR GPL-3.0"));
    assert!(satisfied(&allowed, "Apache-2.0 WITH LLVM-exception"));
    assert!(!satisfied(&allowed, "GPL-3.0"));
    assert!(!satisfied(&allowed, "MIT AND GPL-3.0"));
}

#[test]
fn every_dependency_may_be_linked() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(crate::support::root())
        .output()
        .expect("cargo is what runs this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("a list of packages");
    assert!(packages.len() > 50, "found only {} packages", packages.len());
    let allowed = allowed();
    let wrong: Vec<String> = packages
        .iter()
        .filter(|p| !satisfied(&allowed, p["license"].as_str().unwrap_or("none")))
        .map(|p| format!("{} {}: {}", p["name"], p["version"], p["license"]))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
