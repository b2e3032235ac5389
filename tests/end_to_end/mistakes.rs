//! What `runner check` says about every kind of mistake: one file each in `tests/mistakes`.
//!
//! A new kind of mistake is a new file there; its snapshot is read aloud before it is accepted. No file may depend on
//! what is installed: programs that are missing are called `no-such-program`.

use crate::support::runner;

#[test]
fn every_mistake() {
    insta::glob!("../mistakes", "*.yaml", |path| {
        let name = path.file_name().expect("a glob finds files, and they have names").to_string_lossy();
        let output = runner()
            .args(["check", &format!("tests/mistakes/{name}")])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("NO_COLOR", "1")
            .output()
            .expect("the binary was built for this test");
        assert_eq!(output.status.code(), Some(2), "{name}: {output:?}");
        assert!(output.stdout.is_empty(), "{name}: {output:?}");
        insta::assert_snapshot!(String::from_utf8_lossy(&output.stderr));
    });
}
