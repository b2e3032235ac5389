//! What a release offers: archives with the names and paths that `cargo binstall` looks for, with checksums, made of programs
//! that are not started here.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::{Place, root};

const TARGET: &str = "aarch64-unknown-linux-gnu";
const PROGRAMS: [&str; 2] = ["runner", "runner-fixtures"];

/// Executes a command that has to succeed.
fn done(command: &mut Command) -> Output {
    let output = command.output().expect("it can be started");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn lines(command: &mut Command) -> Vec<String> {
    String::from_utf8(done(command).stdout).expect("it prints text").lines().map(str::to_owned).collect()
}

/// The text of a key in a section of `Cargo.toml`, which is read without cargo.
fn manifest(section: &str, key: &str) -> String {
    let text = fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml lies at the top");
    let lines = text.lines().skip_while(|line| *line != section).skip(1).take_while(|line| !line.starts_with('['));
    let value = |line: &str| line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"').map(str::to_owned);
    lines.into_iter().find_map(value).unwrap_or_else(|| panic!("Cargo.toml has no {key} in {section}"))
}

/// The archive of a folder with both programs, made in another one.
fn archive(programs: &Path, out: &Path) {
    let mut command = Command::new("sh");
    command.arg(root().join(".github/archive.sh")).arg(TARGET).args([programs, out]).env("SOURCE_DATE_EPOCH", "1");
    done(&mut command);
}

#[test]
fn an_archive_is_what_binstall_looks_for() {
    let place = Place::new();
    let (programs, out, again) = (place.path("programs"), place.path("out"), place.path("again"));
    fs::create_dir(&programs).unwrap();
    for name in PROGRAMS {
        fs::write(programs.join(name), name).unwrap();
    }
    archive(&programs, &out);

    let version = manifest("[workspace.package]", "version");
    let filled = |key: &str, program: &str| {
        let words = [
            ("repo", "REPO"),
            ("name", "runner"),
            ("version", &version),
            ("target", TARGET),
            ("bin", program),
            ("binary-ext", ""),
        ];
        let template = manifest("[package.metadata.binstall]", key);
        words.iter().fold(template, |text, (word, value)| text.replace(&format!("{{ {word} }}"), value))
    };
    let url = filled("pkg-url", "");
    let name = url.strip_prefix(&format!("REPO/releases/download/v{version}/")).expect("the address of a release");
    assert!(out.join(name).is_file(), "{name} is not among {:?}", fs::read_dir(&out).unwrap().collect::<Vec<_>>());
    let inside = lines(Command::new("tar").arg("-tzf").arg(out.join(name)));
    for program in PROGRAMS {
        let path = filled("bin-dir", program);
        assert!(inside.contains(&path), "{path} is not among {inside:?}");
    }
    for text in ["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE", "LICENSE-FONTS"] {
        assert!(inside.iter().any(|path| path.ends_with(&format!("/{text}"))), "{text} is not among {inside:?}");
    }

    done(Command::new("sha256sum").args(["--check", "--strict", &format!("{name}.sha256")]).current_dir(&out));
    archive(&programs, &again);
    assert_eq!(fs::read(out.join(name)).unwrap(), fs::read(again.join(name)).unwrap(), "the same programs give the same bytes");
}

#[test]
fn the_notes_of_a_release_are_its_section_of_the_changes() {
    let notes = |version: &str| Command::new("sh").arg(root().join(".github/notes.sh")).arg(version).output().unwrap();
    let found = String::from_utf8(notes("Unreleased").stdout).unwrap();
    assert!(found.contains("\n### ") && !found.contains("\n## "), "{found}");
    let missing = notes("99.0.0");
    assert!(!missing.status.success());
    assert_eq!(String::from_utf8(missing.stderr).unwrap(), "CHANGELOG.md has no heading `## 99.0.0`\n");
}
