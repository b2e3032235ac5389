//! What `runner check` says about every kind of mistake: one file each in `tests/mistakes`.
//!
//! A new kind of mistake is a new file there; its snapshot is read aloud before it is accepted. No file may depend on
//! what is installed: programs that are missing are called `no-such-program`.

use crate::support::{root, runner};

#[test]
fn every_mistake() {
    let folder = root().join("tests/mistakes");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("the folder stands beside this file")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".yaml"))
        .collect();
    names.sort();
    assert!(names.len() >= 40, "only {} kinds of mistake were found", names.len());
    let mut wrong = Vec::new();
    for name in names {
        let output = runner()
            .args(["check", &format!("tests/mistakes/{name}")])
            .current_dir(root())
            .env("NO_COLOR", "1")
            .output()
            .expect("the binary was built for this test");
        assert_eq!(output.status.code(), Some(2), "{name}: {output:?}");
        assert!(output.stdout.is_empty(), "{name}: {output:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let snapshot = name.trim_end_matches(".yaml").to_owned();
        // Every snapshot that differs is told, not only the first.
        if std::panic::catch_unwind(|| insta::assert_snapshot!(snapshot, said)).is_err() {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "these are reported differently: {wrong:#?}");
}
