//! Pages in a real browser: Chromium, driven by `tests/browser/drive.mjs`.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value as Json, json};

use crate::support::{Place, json as read_json, root};

/// Those of axe-core's findings that nobody should have to put up with.
pub const SERIOUS: &str = "axe.run().then(r => r.violations.filter(v => ['serious', 'critical'].includes(v.impact)).map(v => `${v.id}: ${v.nodes.slice(0, 3).map(n => n.html).join(' ')}`))";

/// Carries out steps in Chromium, in a namespace without a network; none where this machine has no Chromium, or may not make
/// such a namespace.
#[track_caller]
pub fn browse(place: &Place, page: &Path, steps: &Json) -> Option<Json> {
    is_possible().then(|| {
        std::fs::write(place.path("steps.json"), steps.to_string()).unwrap();
        let mut command = Command::new("node");
        command.args([&driver(), page, &place.path("steps.json"), &place.path("told.json")]);
        told(place, &mut command)
    })
}

/// The same with the pages that `runner` serves at this port when it is called with these words: both are in a namespace that has
/// loopback alone. `page`: the path of the first page.
#[track_caller]
pub fn browse_served(place: &Place, words: &[&str], (port, page): (u16, &str), steps: &Json) -> Option<Json> {
    is_possible().then(|| {
        std::fs::write(place.path("steps.json"), steps.to_string()).unwrap();
        let script = format!(
            r#"
            ip link set lo up
            "$@" >served.log 2>&1 &
            serving=$!
            for attempt in $(seq 200); do
                if (: <"/dev/tcp/127.0.0.1/{port}") 2>/dev/null; then break; fi
                sleep 0.05
            done
            node '{}' 'http://127.0.0.1:{port}{page}' steps.json told.json
            code=$?
            kill $serving 2>/dev/null
            wait $serving
            exit $code
            "#,
            driver().display()
        );
        let runner = place.runner();
        let mut command = Command::new("unshare");
        command
            .args(["-r", "-n", "bash", "-c", &script, "bash"])
            .arg(runner.get_program())
            .args(words)
            .current_dir(place.path(""));
        told(place, &mut command)
    })
}

fn driver() -> PathBuf {
    root().join("tests/browser/drive.mjs")
}

/// Whether there are a browser and a namespace for it.
fn is_possible() -> bool {
    let runs = |program: &str, words: &[&str]| Command::new(program).args(words).output().is_ok_and(|o| o.status.success());
    for (program, words) in [("node", &["--version"][..]), ("chromium", &["--version"]), ("unshare", &["-r", "-n", "true"])] {
        if !runs(program, words) {
            eprintln!("SKIPPED: {program} {} does not work here (tests/needs.sh installs it)", words.join(" "));
            return false;
        }
    }
    true
}

/// What the driver told.
#[track_caller]
fn told(place: &Place, command: &mut Command) -> Json {
    let output = command.output().expect("it was there a moment ago");
    let told = read_json(&place.path("told.json"));
    assert!(output.status.success() && told["trouble"].is_null(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    told
}

/// The value of the step with this number; nothing may have been said, thrown or asked for.
#[track_caller]
pub fn values(told: &Json) -> &[Json] {
    for what in ["console", "thrown", "requests"] {
        assert_eq!(told[what], json!([]), "{what}");
    }
    told["steps"].as_array().unwrap()
}

/// The checks of axe-core, installed once from where npm takes packages; none where that cannot be.
pub fn axe() -> Option<PathBuf> {
    let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("axe");
    let script = place.join("node_modules/axe-core/axe.min.js");
    if !script.exists() {
        let install = ["install", "--no-audit", "--no-fund", "--silent", "--prefix", place.to_str()?, "axe-core@4"];
        let installed = Command::new("npm").args(install).output();
        if !installed.is_ok_and(|output| output.status.success()) {
            eprintln!("SKIPPED: npm cannot install axe-core here");
            return None;
        }
    }
    Some(script)
}
