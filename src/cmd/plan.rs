//! `runner plan`: what would be executed, and how long it takes.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::check::{notes, size, skips};
use super::{Stop, print, read_plan};
use crate::analysis::{compare, stats};
use crate::cli;
use crate::executor::checkout;
use crate::exit::Exit;
use crate::plan;
use crate::plan::framed::{Bounds, ByteOrder, Message};
use crate::plan::{
    Arrivals, Body, Cell, Draw, Driver, Limit, Load, Pattern, Plan, Probe, Resource, Spacing, Step, Target, Template, Think, Urn,
    Workload, revisions,
};
use crate::record::{RunRecord, Verdict, read};
use crate::units::{exact_duration, human_bytes, human_duration};

/// Prints the plan.
pub(super) fn plan(args: &cli::Plan) -> Result<Exit, Stop> {
    let plan = read_plan(&args.file, Some(&args.choice))?;
    if args.json {
        let json = serde_json::to_string_pretty(&plan).map_err(|e| Stop::from_error(Exit::Failure, &e))?;
        print(&format!("{json}\n"));
        return Ok(Exit::Success);
    }
    let mut text = format!("{}\n", plan.title());
    for factor in &plan.factors {
        let labels: Vec<String> = factor.levels.iter().map(revisions::describe).collect();
        text += &format!("  {}: {}\n", factor.name, labels.join(", "));
    }
    text += &format!("{}, order {:?}, seed {}\n", size(&plan), plan.order, plan.seed).to_lowercase();
    text += &skips(&plan);
    text += &notes(&plan);
    let (total, basis) = estimate(&plan, &args.out);
    text += &format!("estimated time: {} ({basis})\n", human_duration(total.as_nanos() as f64));
    if let Some(warning) = too_few(&plan) {
        text += &format!("WARNING: {warning}\n");
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
    for cell in &plan.cells {
        let body = describe(cell);
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

/// Whether the planned repetitions can give a verdict at all, and one that does not rest on the shape of a distribution.
pub(super) fn too_few(plan: &Plan) -> Option<String> {
    // The factor with the most levels makes the most comparisons of one level with the others.
    let levels = plan.factors.iter().map(|f| f.levels.len()).max().unwrap_or(1).max(2);
    let executed: Vec<&Cell> = plan.cells.iter().filter(|c| c.skipped.is_none()).collect();
    let workloads = executed.iter().map(|c| c.workloads.len()).max().unwrap_or(1).max(1);
    // What belongs to targets is a question of its own.
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

fn words(argv: &[Template]) -> String {
    argv.iter()
        .map(Template::to_text)
        .map(|w| if w.contains(char::is_whitespace) { format!("'{w}'") } else { w })
        .collect::<Vec<_>>()
        .join(" ")
}

fn describe(cell: &Cell) -> String {
    let mut text = String::new();
    if let Some(reason) = &cell.skipped {
        text += &format!("  SKIPPED: {reason}\n");
    }
    for (label, steps) in [("set-up, cell", &cell.set_up.cell), ("set-up, repetition", &cell.set_up.repetition)] {
        text += &steps.iter().map(|s| format!("  {label}: {s}\n")).collect::<String>();
    }
    text += &cell.targets.iter().map(target).collect::<String>();
    text += &cell.set_up.load.iter().map(|s| format!("  set-up, load: {s}\n")).collect::<String>();
    text += &cell.workloads.iter().map(workload).collect::<String>();
    for (label, steps) in [
        ("clean-up, load", &cell.clean_up.load),
        ("clean-up, repetition", &cell.clean_up.repetition),
        ("clean-up, cell", &cell.clean_up.cell),
    ] {
        text += &steps.iter().map(|s| format!("  {label}: {s}\n")).collect::<String>();
    }
    text
}

fn target(target: &Target) -> String {
    let mut text = String::new();
    for replica in &target.replicas {
        let name = if target.replicas.len() > 1 { format!("{}/{}", target.name, replica.number) } else { target.name.clone() };
        let ports: Vec<String> = replica.ports.iter().map(u16::to_string).collect();
        let ports = if ports.is_empty() { String::new() } else { format!("  port {}", ports.join(", ")) };
        let ready = match &replica.ready {
            Probe::Started => "at once".to_owned(),
            Probe::Tcp { address } => format!("when {address} accepts"),
            Probe::Http { url } => format!("when {url} answers"),
            Probe::Log { pattern } => format!("when its log says `{pattern}`"),
            Probe::Command { argv } => format!("when `{}` succeeds", words(argv)),
        };
        let command = if replica.start.is_started() { words(&replica.start.argv()) } else { "runs already".to_owned() };
        text += &format!("  target {name}: {command}\n    ready {ready}{ports}\n");
        for (key, value) in &replica.env {
            text += &format!("    env {key}={}\n", value.to_text());
        }
        if let Some(dir) = &replica.dir {
            text += &format!("    in {}\n", dir.to_text());
        }
        if target.is_started() {
            text += &format!("    limits {}\n", limits(&target.rlimits));
        }
        for file in &replica.files {
            text += &format!("    file ${{scratch}}/{}\n", file.name);
            text += &file.content.to_text().lines().map(|l| format!("      | {l}\n")).collect::<String>();
        }
    }
    text
}

/// Limits of resources, among them that on open files, which is the shell's if it is not another.
fn limits(rlimits: &[(Resource, Option<u64>)]) -> String {
    let number = |limit: Option<u64>| limit.map_or_else(|| "unlimited".to_owned(), |n| n.to_string());
    let shell = (!rlimits.iter().any(|(resource, _)| *resource == Resource::OpenFiles))
        .then(|| format!("open-files {} (the shell's)", number(super::run::open_files_of_the_shell())));
    shell
        .into_iter()
        .chain(rlimits.iter().map(|(resource, limit)| format!("{} {}", resource.name(), number(*limit))))
        .collect::<Vec<_>>()
        .join(", ")
}

fn limit(limit: Limit) -> String {
    match limit {
        Limit::Amount(1) => "1 pass".to_owned(),
        Limit::Amount(n) => format!("{n} passes"),
        Limit::Duration(d) => exact_duration(d),
    }
}

fn workload(workload: &Workload) -> String {
    let mut lengths: Vec<String> = Vec::new();
    for stretch in workload.load.stretches.iter().filter(|s| s.active) {
        lengths.push(format!("{}: {}", stretch.phase.name(), limit(stretch.limit)));
    }
    let mut text = format!("  workload {}: {}", workload.name, arrivals(&workload.load));
    match &workload.driver {
        Driver::Http(http) => {
            let urls: Vec<String> = http.urls.iter().map(ToString::to_string).collect();
            let socket = http.socket.as_ref().map_or_else(String::new, |s| format!(" over {}", s.to_text()));
            let version = if http.version == 2 { format!(", HTTP/2 with {} streams", http.streams) } else { String::new() };
            let once = if http.keep_alive { "" } else { ", one request per connection" };
            text += &format!(" to {}{socket}{version}{once}\n    {}\n", urls.join(", "), lengths.join(", "));
            text += &http.draws.iter().map(describe_draw).collect::<String>();
            if let Some(auth) = http.steps.iter().find_map(|s| s.auth.as_ref()) {
                text += &format!("    as {}, with a password\n", auth.user.to_text());
            }
            text += &http.steps.iter().map(|s| format!("    {}\n", describe_step(s))).collect::<String>();
        }
        Driver::Framed(framed) => {
            let once = if framed.keep_alive { "" } else { ", one pass per connection" };
            let bounds = match &framed.framing.bounds {
                Bounds::Length { bytes: 1, .. } => "frames begin with a byte of length".to_owned(),
                Bounds::Length { bytes, order: ByteOrder::Big } => format!("frames begin with {bytes} bytes of length"),
                Bounds::Length { bytes, order: ByteOrder::Little } => {
                    format!("frames begin with {bytes} bytes of length, the least significant first")
                }
                Bounds::Delimiter(delimiter) => format!("frames end with {delimiter:?}"),
            };
            text += &format!(" to {}{once}; {bounds}\n    {}\n", framed.to, lengths.join(", "));
            text += &framed.draws.iter().map(describe_draw).collect::<String>();
            text += &framed.steps.iter().map(|s| format!("    {}\n", describe_message(s))).collect::<String>();
        }
        Driver::Author(author) => {
            text += &format!(" to {}, an event per connection\n    {}\n", author.to, lengths.join(", "));
            let size = author.size.map_or_else(String::new, |n| format!(", {} bytes", n));
            text += &format!("    events {}#…{size}\n", author.ivo);
        }
        Driver::Subscriber(subscriber) => {
            let wait = exact_duration(subscriber.wait);
            text = format!("  workload {}: subscribed at {}\n", workload.name, subscriber.from);
            text += &format!("    waits for the events of {}, {wait} after the last one at most\n", subscriber.of);
        }
        Driver::Command(command) => {
            text += &format!("\n    {}\n    {}\n", lengths.join(", "), words(&command.argv));
            for metric in &command.metrics {
                let decimal = if metric.decimal.is_point() { "" } else { ", with a decimal comma" };
                text += &format!("    metric {}: {}{decimal}\n", metric.name, metric.source);
            }
        }
    }
    text
}

fn describe_message(message: &Message) -> String {
    let body = match &message.send {
        None => String::new(),
        Some(Body::Empty) => " nothing".to_owned(),
        Some(Body::Text(text) | Body::Json(text)) => format!(" `{}`", text.to_text()),
        Some(Body::File(path)) => format!(" {}", path.display()),
        Some(Body::Random(n)) => format!(" {n} random bytes"),
    };
    let answer = if message.answer { "" } else { ", no answer" };
    let named = if message.send.is_some() { "send" } else { "receive" };
    let name = if message.name == named { String::new() } else { format!("{}: ", message.name) };
    format!("{name}{named}{body}{answer}")
}

fn connected(connections: u32) -> String {
    format!("{connections} connection{}", if connections == 1 { "" } else { "s" })
}

fn arrivals(load: &Load) -> String {
    if let Some(find) = &load.find {
        let conditions: Vec<&str> = find.conditions.iter().map(|c| c.words.as_str()).collect();
        return format!("the highest rate from {} to {} per second with {}", find.low, find.high, conditions.join(", "));
    }
    match &load.arrivals {
        Arrivals::Closed { connections, think, ramp } => {
            let think = match think {
                Think::None => String::new(),
                Think::Constant(d) => format!(", thinking {}", exact_duration(*d)),
                Think::Exponential(d) => format!(", thinking {} on average", exact_duration(*d)),
            };
            let ramp = if ramp.is_zero() { String::new() } else { format!(", begun within {}", exact_duration(*ramp)) };
            format!("closed loop on {}{think}{ramp}", connected(*connections))
        }
        Arrivals::Open { connections, pattern, spacing } => {
            let spacing = if *spacing == Spacing::Poisson { "Poisson arrivals" } else { "even arrivals" };
            let rate = match pattern {
                Pattern::Rate(rate) => format!("{spacing}, {rate} per second"),
                Pattern::Ramp { from, to } => format!("{spacing}, {from} to {to} per second"),
                Pattern::Steps { rates, each, shuffled } => {
                    let rates: Vec<String> = rates.iter().map(f64::to_string).collect();
                    let order = if *shuffled { " in random order" } else { "" };
                    format!("{spacing}, {} per second{order}, {} each", rates.join(", "), exact_duration(*each))
                }
                Pattern::Periodic { every, jitter } => {
                    format!("an arrival every {}, jitter {}", exact_duration(*every), exact_duration(*jitter))
                }
            };
            format!("open loop, {rate}, on {}", connected(*connections))
        }
    }
}

fn describe_draw(draw: &Draw) -> String {
    match &draw.of {
        Urn::Range(from, to) => format!("    {} is drawn from {from} to {to}\n", draw.name),
        Urn::List(items) => format!("    {} is drawn of {}\n", draw.name, shortened(&items.join(", "))),
    }
}

fn describe_step(step: &Step) -> String {
    let body = match &step.body {
        Body::Empty => String::new(),
        Body::Text(text) | Body::Json(text) => format!("  body {}", shortened(&text.to_text())),
        Body::File(path) => format!("  body from {}", path.display()),
        Body::Random(n) => format!("  body of {} random", human_bytes(*n as f64)),
    };
    let statuses = match step.expect.statuses.as_slice() {
        [] => "2xx".to_owned(),
        statuses => any_of(statuses),
    };
    let length = step.expect.length.map_or_else(String::new, |l| format!(", {l} bytes"));
    let text = step.expect.text.as_ref().map_or_else(String::new, |t| format!(", {}", shortened(&t.to_text())));
    let part = step.expect.contains.as_ref().map_or_else(String::new, |t| format!(", with {}", shortened(&t.to_text())));
    let named = step.outcomes.iter().map(|o| format!("; {} is {}", any_of(&o.statuses), o.name)).collect::<String>();
    let expected = format!("expects {statuses}{length}{text}{part}{named}");
    format!("{}: {} {}{body}  {expected}", step.name, step.method, step.path.to_text())
}

fn any_of(statuses: &[u16]) -> String {
    statuses.iter().map(u16::to_string).collect::<Vec<_>>().join(" or ")
}

/// A text that may be long, on part of a line.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("`{}…` of {}", &text[..end], human_bytes(text.len() as f64)),
        None => format!("`{text}`"),
    }
}

/// So many characters of a body are shown.
const SHOWN: usize = 80;
/// What a repetition costs besides its load when nothing is known of it.
const OVERHEAD: Duration = Duration::from_millis(300);
/// How many trials a search takes, about.
const SEARCH_TRIALS: u32 = 12;
/// What an amount costs when nothing is known of it.
const PER_PASS: Duration = Duration::from_micros(300);

/// How long a repetition of each cell took in the newest run below `out`.
fn earlier(plan: &Plan, out: &Path) -> BTreeMap<String, Duration> {
    let Ok(runs) = read::find(&out.join(&plan.experiment)) else { return BTreeMap::new() };
    let mut times: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for run in runs.iter().filter_map(|path| RunRecord::open(path).ok()) {
        for repetition in run.repetitions.iter().filter(|r| r.status.verdict == Verdict::Valid) {
            times.entry(repetition.status.cell.clone()).or_default().push(repetition.status.timings.total_ns);
        }
    }
    times.into_iter().map(|(cell, t)| (cell, Duration::from_nanos(t.iter().sum::<u64>() / t.len() as u64))).collect()
}

/// The time of the whole plan, and what that is derived from.
fn estimate(plan: &Plan, out: &Path) -> (Duration, String) {
    let guess = |cell: &Cell| {
        let load = cell.workloads.iter().filter(|w| !w.is_follower()).map(|w| {
            // Over a link nothing is faster than its round trips.
            let far = cell.links.iter().filter(|l| l.from.is_none() && w.addresses().iter().any(|(_, p)| l.ports.contains(p)));
            let trips = far.map(plan::Link::round_trip).max().unwrap_or_default() * w.round_trips();
            let slowest = trips.as_secs_f64() / f64::from(w.load.arrivals.connections().max(1));
            let per_pass = (PER_PASS.as_secs_f64() * w.steps().len() as f64).max(slowest);
            let of = |l: Limit| match l {
                Limit::Duration(d) => d,
                Limit::Amount(n) => {
                    // A year of nanoseconds is far below what a duration holds; longer estimates say no more.
                    Duration::from_secs_f64((per_pass * n as f64).min(3e9))
                }
            };
            match &w.load.find {
                Some(find) => find.trial * SEARCH_TRIALS,
                None => w.load.stretches.iter().map(|s| of(s.limit)).sum(),
            }
        });
        OVERHEAD + load.max().unwrap_or_default()
    };
    let known = earlier(plan, out);
    let cells: Vec<&Cell> = plan.cells.iter().filter(|c| c.skipped.is_none()).collect();
    let measured = cells.iter().filter(|c| known.contains_key(&c.id.0)).count();
    let one: Duration = cells.iter().map(|c| known.get(&c.id.0).copied().unwrap_or_else(|| guess(c))).sum();
    let stretches = || cells.iter().flat_map(|c| &c.workloads).flat_map(|w| &w.load.stretches);
    let amounts = stretches().any(|s| matches!(s.limit, Limit::Amount(_)));
    let basis = match measured {
        0 if amounts => "a guess: amounts are taken at 300 µs per request, as no earlier run is known".to_owned(),
        0 => "a guess: no earlier run is known".to_owned(),
        n if n == cells.len() => format!("from the newest run in {}", out.display()),
        n => format!("{n} of {} cells from the newest run in {}, the others guessed", cells.len(), out.display()),
    };
    (one * plan.repetitions, basis)
}
