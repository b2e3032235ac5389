//! How a run was made, and how to repeat it.

use record::RunRecord;
use record::manifest::Manifest;
use vocabulary::units::human_bytes;

use crate::view::Circumstances;

/// How much of a scenario or a rendered file a page shows at most, in bytes.
const MOST: usize = 100_000;

/// The circumstances of a run. `letter`: of the run, if there are several.
pub fn circumstances(run: &RunRecord, letter: &str) -> Circumstances {
    let scenario = record::files::read(&run.path.join("experiment.yaml")).unwrap_or_default();
    Circumstances {
        run: letter.to_owned(),
        facts: facts(run),
        command: run.manifest.command(Some(run.plan.seed)),
        scenario: cut(&String::from_utf8_lossy(&scenario)),
        files: files(run),
    }
}

fn facts(run: &RunRecord) -> Vec<(String, String)> {
    let Manifest { host, git, .. } = &run.manifest;
    let mut facts: Vec<(&str, String)> = vec![
        ("run", run.name.clone()),
        ("started", run.manifest.started_at.clone()),
        ("seed", run.plan.seed.to_string()),
        ("runner", run.manifest.runner.clone()),
        ("processor", format!("{}, {} cores", host.processor, host.cores)),
        ("memory", human_bytes(host.memory_bytes as f64)),
        ("system", host.system.clone()),
        ("kernel", host.kernel.clone()),
        ("file system of scratch files", host.scratch.clone()),
        ("load when it started", format!("{:.2}", host.load_1min)),
    ];
    if let Some(git) = git {
        facts.push(("commit", format!("{}{}", git.commit, if git.changed { ", with changes" } else { "" })));
    }
    for machine in &run.manifest.machines {
        let host = &machine.host;
        let words = format!(
            "{}: {} at {}, {}, {} cores, kernel {}",
            machine.name, host.name, machine.address, host.processor, host.cores, host.kernel
        );
        facts.push(("machine", words));
    }
    for part in &run.manifest.merged {
        let rounds: Vec<String> = part.rounds.iter().map(u32::to_string).collect();
        facts.push(("merged from", format!("{}, rounds {} on {}", part.run, rounds.join(", "), part.host.name)));
    }
    let mut facts: Vec<(String, String)> = facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    facts.extend(run.manifest.programs.iter().map(|(name, version)| (format!("version of {name}"), version.clone())));
    facts.extend(run.manifest.resumed.iter().map(|resumed| ("resumed".to_owned(), resumed.at.clone())));
    facts.extend(run.manifest.settings.iter().map(|(name, value)| (name.clone(), value.clone())));
    facts
}

/// The files that were rendered for targets, from the plan; what is the same in several cells is included once.
fn files(run: &RunRecord) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = Vec::new();
    let list = |value: &serde_json::Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    for cell in list(&run.raw_plan, "cells") {
        for target in list(&cell, "targets") {
            for replica in list(&target, "replicas") {
                for file in list(&replica, "files") {
                    let text = |key: &str| file[key].as_str().unwrap_or_default().to_owned();
                    let name = format!("{} of {}", text("name"), target["name"].as_str().unwrap_or_default());
                    let content = cut(&text("content"));
                    if !files.iter().any(|(_, known)| *known == content) {
                        files.push((name, content));
                    }
                }
            }
        }
    }
    files
}

fn cut(text: &str) -> String {
    if text.len() <= MOST {
        return text.to_owned();
    }
    let end = (0..=MOST).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    format!("{}\n… {} bytes more", &text[..end], text.len() - end)
}
