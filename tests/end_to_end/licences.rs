//! Every library that is linked has a licence that goes with MIT OR Apache-2.0.

use std::process::Command;

/// Permissive licences, and weak ones that bind only changes of the library itself.
const ALLOWED: [&str; 14] = [
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "0BSD",
    "Unlicense",
    "Unicode-3.0",
    "CC0-1.0",
    "BSL-1.0",
    "MPL-2.0",
];

/// Whether an SPDX expression can be satisfied with allowed licences. `/` is an old way to write OR.
fn satisfied(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ").replace(['(', ')'], " ");
    let one = |licence: &str| ALLOWED.contains(&licence.trim());
    expression.split(" OR ").any(|all| all.split(" AND ").all(one))
}

#[test]
fn expressions_are_understood() {
    assert!(satisfied("MIT OR GPL-3.0"));
    assert!(satisfied("Apache-2.0 WITH LLVM-exception"));
    assert!(!satisfied("GPL-3.0"));
    assert!(!satisfied("MIT AND GPL-3.0"));
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
    let wrong: Vec<String> = packages
        .iter()
        .filter(|p| !satisfied(p["license"].as_str().unwrap_or("none")))
        .map(|p| format!("{} {}: {}", p["name"], p["version"], p["license"]))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
