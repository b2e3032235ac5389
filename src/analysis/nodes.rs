//! The nodes that executed the rounds of a merged run, and how they differ. Ratios are formed within nodes, so a difference does
//! not bias them; it says that figures of cells, which are medians over all nodes, are not those of one machine.

use std::collections::BTreeMap;

use serde::Serialize;

use record::RunRecord;
use record::manifest::Part;

/// Memory that differs by no more than this share is the same: what the firmware keeps for itself differs.
const SAME_MEMORY: f64 = 0.05;

/// Nodes whose ceilings differ by no more than this share are equally fast: it is measured in half a second.
const SAME_SPEED: f64 = 0.15;

/// A node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodeSummary {
    /// What it is called.
    pub name: String,
    /// How many rounds it executed.
    pub rounds: usize,
    /// Its processor.
    pub processor: String,
    /// Logical processors that could be used.
    pub cores: usize,
    /// Its kernel.
    pub kernel: String,
}

/// The nodes of a run; none for a run that was executed as a whole.
pub fn of(run: &RunRecord) -> Vec<NodeSummary> {
    let parts = &run.manifest.merged;
    let of_node = |name: &str| {
        let mine: Vec<&Part> = parts.iter().filter(|part| part.host.name == name).collect();
        let host = &mine.first()?.host;
        Some(NodeSummary {
            name: name.to_owned(),
            rounds: mine.iter().map(|part| part.rounds.len()).sum(),
            processor: host.processor.clone(),
            cores: host.cores,
            kernel: host.kernel.clone(),
        })
    };
    run.nodes().into_iter().filter_map(of_node).collect()
}

/// How the nodes differ, a line each: `processor: A on n1, n2; B on n3`.
pub fn differences(run: &RunRecord) -> Vec<String> {
    let parts = &run.manifest.merged;
    let mut all: Vec<String> = Vec::new();
    let mut compare = |what: &str, of: &dyn Fn(&Part) -> String| {
        let mut by_value: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for part in parts {
            let nodes = by_value.entry(of(part)).or_default();
            if !nodes.contains(&part.host.name.as_str()) {
                nodes.push(&part.host.name);
            }
        }
        if by_value.len() > 1 {
            let on = |(value, nodes): (&String, &Vec<&str>)| {
                format!("{} on {}", if value.is_empty() { "none" } else { value }, nodes.join(", "))
            };
            all.push(format!("{what}: {}", by_value.iter().map(on).collect::<Vec<_>>().join("; ")));
        }
    };
    compare("processor", &|part| part.host.processor.clone());
    compare("processors that may be used", &|part| part.host.cores.to_string());
    compare("kernel", &|part| part.host.kernel.clone());
    compare("system", &|part| part.host.system.clone());
    let memory = |part: &Part| part.host.memory_bytes as f64;
    let (least, most) = parts.iter().map(memory).fold((f64::INFINITY, 0.0_f64), |(low, high), m| (low.min(m), high.max(m)));
    if most > least * (1.0 + SAME_MEMORY) {
        compare("memory", &|part| vocabulary::units::human_bytes(memory(part)));
    }
    let speed = |part: &Part| part.host.ceiling_per_s;
    let known = || parts.iter().filter_map(speed);
    let (slowest, fastest) = known().fold((f64::INFINITY, 0.0_f64), |(low, high), s| (low.min(s), high.max(s)));
    if fastest > slowest * (1.0 + SAME_SPEED) {
        let words = |part: &Part| {
            speed(part).map_or_else(String::new, |speed| format!("{} requests per second", vocabulary::units::significant(speed)))
        };
        compare("what the generator can send", &words);
    }
    let keys = |of: fn(&Part) -> &BTreeMap<String, String>| {
        parts.iter().flat_map(move |part| of(part).keys().cloned()).collect::<std::collections::BTreeSet<String>>()
    };
    for name in keys(|part| &part.settings) {
        compare(&name, &|part| part.settings.get(&name).cloned().unwrap_or_default());
    }
    for name in keys(|part| &part.programs) {
        compare(&format!("version of {name}"), &|part| part.programs.get(&name).cloned().unwrap_or_default());
    }
    all
}
