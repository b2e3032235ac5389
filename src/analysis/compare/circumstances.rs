//! How the circumstances of two runs differ.

use record::RunRecord;
use record::difference;

/// Differences between the circumstances of two runs, in words; the first run is the baseline.
///
/// Machine, kernel and its settings, versions of programs and of runner, the git commit, and the plan without what differs
/// in every run: its seed and the number of repetitions.
pub fn differences(base: &RunRecord, other: &RunRecord) -> Vec<String> {
    let (a, b) = (&base.manifest, &other.manifest);
    let mut found = Vec::new();
    let mut differ = |what: &str, a: &str, b: &str| {
        if a != b {
            found.push(format!("{what}: {a} → {b}"));
        }
    };
    let text = |v: &dyn std::fmt::Display| v.to_string();
    differ("processor", &a.host.processor, &b.host.processor);
    differ("cores", &text(&a.host.cores), &text(&b.host.cores));
    differ(
        "memory",
        &vocabulary::units::human_bytes(a.host.memory_bytes as f64),
        &vocabulary::units::human_bytes(b.host.memory_bytes as f64),
    );
    differ("system", &a.host.system, &b.host.system);
    differ("kernel", &a.host.kernel, &b.host.kernel);
    differ("scratch", &a.host.scratch, &b.host.scratch);
    differ("runner", &a.runner, &b.runner);
    let none = || "none".to_owned();
    let commit = |git: &Option<record::manifest::Git>| {
        git.as_ref().map_or_else(none, |g| {
            format!("{}{}", g.commit.chars().take(12).collect::<String>(), if g.changed { " with changes" } else { "" })
        })
    };
    differ("git commit", &commit(&a.git), &commit(&b.git));
    for (what, a, b) in [("setting", &a.settings, &b.settings), ("program", &a.programs, &b.programs)] {
        let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        for name in names {
            let value = |of: &std::collections::BTreeMap<String, String>| of.get(name).cloned().unwrap_or_else(none);
            differ(&format!("{what} {name}"), &value(a), &value(b));
        }
    }
    let plans = difference::between(&base.raw_plan, &other.raw_plan, &["format", "seed", "repetitions", "source", "repeat"]);
    found.extend(difference::shortened(plans, 8).into_iter().map(|line| format!("plan, {line}")));
    found
}
