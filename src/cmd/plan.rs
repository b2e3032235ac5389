//! `runner plan`: what would be executed, and how long it takes.

use std::collections::BTreeMap;
use std::path::Path;

use super::check::{notes, size, skips};
use super::estimate::Estimate;
use super::{Stop, print, print_data, read_plan};
use crate::analysis::{compare, stats};
use crate::cli;
use crate::executor::checkout;
use crate::exit::Exit;
use crate::plan::step::any_of;
use crate::plan::{
    Arrivals, Cell, Length, Load, Pattern, Plan, Probe, Spacing, Stage, Tap, TapSource, Target, Template, Think, Workload,
    factors, template,
};
use crate::vocabulary::choices::{Lifetime, Resource};
use crate::vocabulary::units::{exact_duration, human_bytes, human_duration};

/// Prints the plan.
pub(super) fn plan(args: &cli::Plan) -> Result<Exit, Stop> {
    let plan = read_plan(&args.file, Some(&args.choice))?;
    if args.json {
        let json = serde_json::to_string_pretty(&plan).map_err(|e| Stop::from_error(Exit::Failure, &e))?;
        print_data(&format!("{json}\n"));
        return Ok(Exit::Success);
    }
    let mut text = format!("{}\n", plan.title());
    for factor in &plan.factors {
        let labels: Vec<String> = factor.levels.iter().map(factors::describe).collect();
        text += &format!("  {}: {}\n", factor.name, labels.join(", "));
    }
    text += &format!("{}, order {:?}, seed {}\n", size(&plan), plan.order, plan.seed).to_lowercase();
    text += &skips(&plan);
    text += &notes(&plan);
    text += &format!("{}\n", Estimate::of(&plan, &args.out).words(&plan, plan.repetitions));
    match too_few(&plan) {
        Some(warning) => text += &format!("WARNING: {warning}\n"),
        None if plan.factors.iter().any(|f| f.levels.len() > 1) => {
            text += &format!(
                "{} repetitions of each can give a verdict, if the difference is clear beside their spread\n",
                plan.repetitions
            );
        }
        None => (),
    }
    let builds = plan.checkouts().into_iter().filter(|c| !checkout::is_there(c)).count();
    if builds > 0 {
        text += &format!("before that {builds} {} built\n", if builds == 1 { "revision is" } else { "revisions are" });
    }
    for expectation in &plan.expect {
        text += &format!("expected: {}\n", expectation.name);
    }
    for (label, steps) in [("set-up", &plan.set_up), ("clean-up", &plan.clean_up)] {
        for step in steps {
            text += &format!("{label}, once: {step}\n");
        }
    }
    // Cells that differ only in their levels' names are many; the first of each shape is shown in full.
    let mut shapes: BTreeMap<String, String> = BTreeMap::new();
    // The folder in which every program runs whose folder the scenario does not set.
    let folder = plan.source.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let home = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned()).display().to_string();
    for cell in &plan.cells {
        let body = describe(cell, &home);
        match shapes.get(&body) {
            Some(first) => text += &format!("\ncell {}\n  as {first}\n", cell.id),
            None => {
                text += &format!("\ncell {}\n{body}", cell.id);
                shapes.insert(body, cell.id.to_string());
            }
        }
    }
    print(&text);
    Ok(Exit::Success)
}

/// Whether the planned repetitions can give any verdict, and one that does not rest on the shape of a distribution.
pub(super) fn too_few(plan: &Plan) -> Option<String> {
    // The factor with the most levels makes the most comparisons of one level with the others.
    let levels = plan.factors.iter().map(|f| f.levels.len()).max().unwrap_or(1).max(2);
    let executed: Vec<&Cell> = plan.cells.iter().filter(|c| c.skipped.is_none()).collect();
    let workloads = executed.iter().map(|c| c.workloads.len()).max().unwrap_or(1).max(1);
    // Metrics of targets are a separate question.
    let questions = workloads + usize::from(executed.iter().any(|c| c.targets.iter().any(crate::plan::Target::is_started)));
    let comparisons = (executed.len() * (levels - 1) / levels).max(1) * questions;
    let n = plan.repetitions as usize;
    let alpha = compare::SIGNIFICANT / comparisons as f64;
    let over = if comparisons == 1 { "one comparison".to_owned() } else { format!("{comparisons} comparisons") };
    let enough = (compare::FEWEST..).find(|n| stats::smallest_p(*n, *n) < alpha)?;
    if n < compare::FEWEST {
        let is = if n == 1 { "repetition can" } else { "repetitions can" };
        return Some(format!("{n} {is} give no verdict of a comparison; at least {enough} are needed for {over}"));
    }
    (n < enough).then(|| {
        format!(
            "over {over} a verdict from {n} repetitions would rest on the shape of their distribution alone; {enough} are enough"
        )
    })
}

fn describe(cell: &Cell, home: &str) -> String {
    let mut text = String::new();
    if let Some(reason) = &cell.skipped {
        text += &format!("  SKIPPED: {reason}\n");
    }
    for (label, steps) in [("set-up, cell", &cell.set_up.cell), ("set-up, repetition", &cell.set_up.repetition)] {
        text += &steps.iter().map(|s| format!("  {label}: {s}\n")).collect::<String>();
    }
    text += &cell.targets.iter().map(|one| target(one, home)).collect::<String>();
    text += &cell.set_up.load.iter().map(|s| format!("  set-up, load: {s}\n")).collect::<String>();
    text += &cell.workloads.iter().map(workload).collect::<String>();
    text += &cell.taps.iter().map(tap).collect::<String>();
    for (label, steps) in [
        ("clean-up, load", &cell.clean_up.load),
        ("clean-up, repetition", &cell.clean_up.repetition),
        ("clean-up, cell", &cell.clean_up.cell),
    ] {
        text += &steps.iter().map(|s| format!("  {label}: {s}\n")).collect::<String>();
    }
    text
}

fn target(target: &Target, home: &str) -> String {
    let mut text = String::new();
    for replica in &target.replicas {
        let name = if target.replicas.len() > 1 { format!("{}/{}", target.name, replica.number) } else { target.name.clone() };
        let ports: Vec<String> = replica.ports.iter().map(u16::to_string).collect();
        let ports = if ports.is_empty() { String::new() } else { format!("  port {}", ports.join(", ")) };
        let ready = match &replica.ready {
            Probe::Started => "at once".to_owned(),
            Probe::Tcp { address } => format!("when {address} accepts"),
            Probe::Lines { address, expect, .. } => format!("when {address} answers `{expect}`"),
            Probe::Http { url, statuses, .. } if statuses.is_empty() => format!("when {url} answers"),
            Probe::Http { url, statuses, .. } => format!("when {url} answers {}", any_of(statuses)),
            Probe::Log { pattern } => format!("when its log says `{pattern}`"),
            Probe::Command { argv, .. } => format!("when `{}` succeeds", template::words(argv)),
        };
        let command = if replica.start.is_started() { template::words(&replica.start.argv()) } else { "already runs".to_owned() };
        text += &format!("  target {name}{}: {command}\n    ready {ready}{ports}\n", place(target.on.as_deref()));
        for (key, value) in &replica.env {
            text += &format!("    env {key}={}\n", value.to_text());
        }
        if let Some(dir) = replica.dir.as_ref().map(Template::to_text).filter(|dir| dir != home) {
            text += &format!("    in {dir}\n");
        }
        if target.is_started() {
            text += &format!("    limits {}\n", limits(&target.rlimits));
            text += &target.log_limit.map_or_else(String::new, |limit| format!("    logs of {}\n", human_bytes(limit as f64)));
        }
        match target.lifetime {
            Lifetime::Repetition => {}
            Lifetime::Cell => text += "    kept while repetitions of this cell follow each other\n",
            Lifetime::Run => text += "    kept until the end of the run\n",
        }
        if target.restart {
            text += "    started again when it ends under load\n";
        }
        for file in &replica.files {
            text += &format!("    file ${{{}}}/{}\n", target.directory(), file.name);
            text += &file.content.to_text().lines().map(|l| format!("      | {l}\n")).collect::<String>();
        }
    }
    text
}

fn tap(tap: &Tap) -> String {
    let word = if matches!(tap.source, TapSource::Scrape(_)) { "scrape" } else { "tap" };
    let mut text = format!("  {word} {}: {}", tap.name, tap.source);
    if !tap.regex.is_empty() {
        text += &format!("\n    rows are lines with `{}`", tap.regex);
    }
    if let Some(join) = &tap.join {
        text += &format!(", joined with {} by `{}`", join.workload, join.key);
    }
    text.push('\n');
    for metric in &tap.metrics {
        let unit = if metric.unit.is_empty() { String::new() } else { format!(" ({})", metric.unit) };
        text += &format!("    {}: {}{unit}\n", metric.name, metric.figure);
    }
    text
}

/// Limits of resources, including the limit on open files, which is the shell's unless the scenario sets it.
fn limits(rlimits: &[(Resource, Option<u64>)]) -> String {
    let number = |limit: Option<u64>| limit.map_or_else(|| "unlimited".to_owned(), |n| n.to_string());
    let shell = (!rlimits.iter().any(|(resource, _)| *resource == Resource::OpenFiles))
        .then(|| format!("open-files {} (the shell's)", number(super::open_files::of_the_shell())));
    shell
        .into_iter()
        .chain(rlimits.iter().map(|(resource, limit)| format!("{} {}", resource.name(), number(*limit))))
        .collect::<Vec<_>>()
        .join(", ")
}

fn length(length: Length) -> String {
    match length {
        Length::Amount(1) => "1 pass".to_owned(),
        Length::Amount(n) => format!("{n} passes"),
        Length::Duration(d) => exact_duration(d),
    }
}

/// Where something is done, if not on the machine of the run itself.
fn place(on: Option<&str>) -> String {
    on.map_or_else(String::new, |on| format!(" on {on}"))
}

fn workload(workload: &Workload) -> String {
    let mut lengths: Vec<String> = Vec::new();
    for segment in workload.load.segments.iter().filter(|s| s.active) {
        lengths.push(format!("{}: {}", segment.phase.name(), length(segment.length)));
    }
    if ends_with_log(&workload.load) {
        lengths.push("to the end of the log".to_owned());
    }
    let description = workload.protocol().description();
    let (mut text, lengths) = match workload.protocol().follows() {
        Some(_) => (format!("  workload {}: ", workload.name), None),
        None => {
            let on = place(workload.on.as_deref());
            (format!("  workload {}{on}: {}", workload.name, arrivals(&workload.load)), Some(lengths.join(", ")))
        }
    };
    text += &format!("{}\n", description.to);
    let course = workload.flow.words(&workload.protocol().steps());
    text += &lengths.into_iter().chain(description.lines).chain(course).map(|line| format!("    {line}\n")).collect::<String>();
    text
}

/// Whether the last request of a log is the end of a load.
fn ends_with_log(load: &Load) -> bool {
    let Arrivals::Open { pattern: Pattern::Replay(replay), .. } = &load.arrivals else { return false };
    let Some(Length::Amount(rest)) = load.segments.last().map(|segment| segment.length) else { return false };
    let warm_up = match load.segments.as_slice() {
        [first, _] => match first.length {
            Length::Amount(amount) => amount,
            Length::Duration(length) => replay.before(Some(length)),
        },
        _ => 0,
    };
    warm_up + rest >= replay.requests
}

fn connected(connections: u32) -> String {
    format!("{connections} connection{}", if connections == 1 { "" } else { "s" })
}

/// Stages in the order of time.
fn stages(stages: &[Stage], unit: &str) -> String {
    let one = |Stage { from, to, length }: &Stage| match from == to {
        true => format!("{to}{unit} for {}", exact_duration(*length)),
        false => format!("{from} to {to}{unit} within {}", exact_duration(*length)),
    };
    stages.iter().map(one).collect::<Vec<_>>().join(", then ")
}

fn arrivals(load: &Load) -> String {
    if let Some(find) = &load.find {
        let conditions: Vec<&str> = find.conditions.iter().map(|c| c.words.as_str()).collect();
        return format!("the highest rate from {} to {} per second with {}", find.low, find.high, conditions.join(", "));
    }
    match &load.arrivals {
        Arrivals::Closed { connections, think, ramp, stages } => {
            let over_time = if stages.is_empty() { String::new() } else { format!(", {}", self::stages(stages, "")) };
            let think = match think {
                Think::None => String::new(),
                Think::Constant(d) => format!(", thinking {}", exact_duration(*d)),
                Think::Exponential(d) => format!(", thinking {} on average", exact_duration(*d)),
            };
            let ramp = if ramp.is_zero() { String::new() } else { format!(", started within {}", exact_duration(*ramp)) };
            format!("closed loop on {}{over_time}{think}{ramp}", connected(*connections))
        }
        Arrivals::Open { connections, pattern, spacing, per_connection } => {
            let spacing = match spacing {
                Spacing::Constant => "even arrivals",
                Spacing::Poisson => "Poisson arrivals",
                Spacing::Typed => "keys as a person types them",
            };
            let rate = match pattern {
                Pattern::Rate(rate) => format!("{spacing}, {rate} per second"),
                Pattern::Ramp { from, to } => format!("{spacing}, {from} to {to} per second"),
                Pattern::Steps { rates, each, shuffled } => {
                    let rates: Vec<String> = rates.iter().map(f64::to_string).collect();
                    let order = if *shuffled { " in random order" } else { "" };
                    format!("{spacing}, {} per second{order}, {} each", rates.join(", "), exact_duration(*each))
                }
                Pattern::Stages(stages) => format!("{spacing}, {}", self::stages(stages, " per second")),
                Pattern::Replay(replay) => replay.arrivals(),
                Pattern::Periodic { every, jitter } => {
                    format!("an arrival every {}, jitter {}", exact_duration(*every), exact_duration(*jitter))
                }
            };
            match per_connection {
                None => format!("open loop, {rate}, on {}", connected(*connections)),
                Some(stagger) => {
                    let begun = if stagger.is_zero() {
                        String::new()
                    } else {
                        format!(", started within {}", human_duration(stagger.as_nanos() as f64))
                    };
                    format!("open loop, {rate} on each of {}{begun}", connected(*connections))
                }
            }
        }
    }
}
