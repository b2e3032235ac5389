//! A run that goes on, in lines of a terminal: a snapshot and a width in, lines out.

use std::time::Duration;

use super::super::known::levels;
use crate::vocabulary::columns::{shorten, width};
use crate::vocabulary::live::{Live, LiveFigures, LiveRepetition, LiveWorkload};
use crate::vocabulary::units::{human_bytes, human_duration, significant};
use crate::vocabulary::words::harmless;

/// How wide the bar is, at least and at most.
const BAR: (usize, usize) = (10, 60);

/// Three lines, none wider than `columns`, or two where all of it fits: how far the run is; which repetition is under way; what its
/// load and its targets do.
pub(super) fn lines(live: &Live, columns: usize) -> Vec<String> {
    let mut lines = vec![run(live, columns)];
    let figures = live.repetition.as_ref().map_or_else(Vec::new, |repetition| figures(&repetition.figures));
    // Everything in one line, with the whole name, or else two lines.
    let widest = figures.first().map_or("", String::as_str);
    let beside = format!("{}  {widest}", doing(live, usize::MAX));
    if width(&beside) <= columns {
        lines.push(beside.trim_end().to_owned());
    } else {
        lines.push(doing(live, columns));
        lines.push(fitting(&figures, columns));
    }
    // A name may hold what a terminal obeys, which takes no room before it is replaced.
    lines.iter().map(|line| shorten(&harmless(line), columns)).collect()
}

/// The same as one line for a log, where nobody looks at a screen.
pub(super) fn line(live: &Live) -> String {
    let figures = live.repetition.as_ref().map_or_else(Vec::new, |repetition| figures(&repetition.figures));
    let of = live.of.map_or_else(String::new, |of| format!("/{of}"));
    let mut parts = vec![format!("[{}{of}] {}", live.done, doing(live, usize::MAX))];
    parts.extend(figures.into_iter().next().filter(|figures| !figures.is_empty()));
    parts.extend(counts(live));
    parts.push(end(live));
    harmless(&parts.join("  ")).into_owned()
}

/// `3 FAILED`, `1 INVALID`
fn counts(live: &Live) -> impl Iterator<Item = String> {
    let all = [(live.failed, "FAILED"), (live.invalid, "INVALID")];
    all.into_iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}"))
}

/// When it is over, or how long it has taken where nobody knows.
fn end(live: &Live) -> String {
    match live.left {
        Some(left) => format!("ETA {}", rough(left)),
        None => format!("running for {}", rough(live.elapsed)),
    }
}

/// How far the run is.
fn run(live: &Live, columns: usize) -> String {
    let share = live.of.map(|of| (live.done as f64 + under_way(live)) / of.max(1) as f64);
    let mut parts = vec![match live.of {
        Some(of) => format!("{}/{of}", live.done),
        None => format!("{} done", live.done),
    }];
    parts.extend(share.map(|share| format!("{:.0} %", (share * 100.0).min(100.0).floor())));
    parts.extend(counts(live));
    parts.push(end(live));
    if live.left.is_some() && columns >= 100 {
        parts.push(format!("running for {}", rough(live.elapsed)));
    }
    let words = parts.join("  ");
    let room = columns.saturating_sub(width(&words) + 2).min(BAR.1);
    match share {
        Some(share) if room >= BAR.0 => format!("{}  {words}", bar(share, room)),
        _ => shorten(&words, columns),
    }
}

/// The share of the repetition under way that is over, as far as that is known.
fn under_way(live: &Live) -> f64 {
    live.repetition.as_ref().and_then(|repetition| repetition.share).unwrap_or_default()
}

fn bar(share: f64, columns: usize) -> String {
    let halves = (share.clamp(0.0, 1.0) * (2 * columns) as f64) as usize;
    let (full, half) = (halves / 2, if halves % 2 == 1 { "╸" } else { "" });
    format!("{}{half}{}", "━".repeat(full), "─".repeat(columns - full - halves % 2))
}

/// What is being done: the stage, how much of it is over, and the repetition.
fn doing(live: &Live, columns: usize) -> String {
    let Some(LiveRepetition { cell, number, share, .. }) = &live.repetition else {
        return shorten(&format!("{}{}", live.stage, long_since(live.stage_elapsed)), columns);
    };
    let share = match share {
        Some(share) => format!(" {:>3.0} %", (share * 100.0).floor()),
        None => long_since(live.stage_elapsed),
    };
    let words = format!("{}{share}  #{number}  ", live.stage);
    let room = columns.saturating_sub(width(&words));
    // Levels without their factors, which are the same in every line, where all of it has no room.
    let name = if width(cell) <= room { cell.clone() } else { shorten(&levels(cell), room) };
    format!("{words}{name}").trim_end().to_owned()
}

/// For how long, where it is unusually long.
fn long_since(elapsed: Duration) -> String {
    if elapsed < Duration::from_secs(3) { String::new() } else { format!(" for {}", rough(elapsed)) }
}

/// What load and targets do: in full, and in forms that take less room, down to nothing.
fn figures(figures: &LiveFigures) -> Vec<String> {
    let workloads = |detail: Detail| {
        let seen = figures.workloads.iter().filter(|workload| workload.passes_per_s.is_some());
        let named = figures.workloads.len() > 1;
        seen.map(|one| workload(one, named, detail)).collect::<Vec<_>>().join("; ")
    };
    let full = workloads(Detail::Full);
    let memory = if full.is_empty() { String::new() } else { memory(figures) };
    let forms = [
        [full.clone(), cpu(figures, true), memory],
        [full.clone(), cpu(figures, true), String::new()],
        [full.clone(), cpu(figures, false), String::new()],
        [full, String::new(), String::new()],
        [workloads(Detail::Short), String::new(), String::new()],
    ];
    let joined = |parts: [String; 3]| parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("  ");
    forms.into_iter().map(joined).collect()
}

/// The first of these that has room, else as much of the last as has.
fn fitting(forms: &[String], columns: usize) -> String {
    let fits = forms.iter().find(|form| width(form) <= columns).cloned();
    fits.or_else(|| forms.last().map(|last| shorten(last, columns))).unwrap_or_default()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Detail {
    Full,
    Short,
}

fn workload(one: &LiveWorkload, named: bool, detail: Detail) -> String {
    let mut words = if named { format!("{} ", one.name) } else { String::new() };
    words += &one.passes_per_s.map_or_else(String::new, |rate| format!("{}/s", significant(rate)));
    let times: &[_] = match detail {
        Detail::Full => &[("p50", one.response_p50_ns), ("p99", one.response_p99_ns)],
        Detail::Short => &[("p99", one.response_p99_ns)],
    };
    for (name, ns) in times.iter().filter_map(|(name, ns)| Some((name, (*ns)?))) {
        words += &format!("  {name} {}", human_duration(ns as f64));
    }
    match (one.errors, one.passes) {
        (0, _) if detail == Detail::Full => words += "  no errors",
        (0, _) => {}
        (errors, passes) => {
            words += &format!("  {errors} ERRORS ({} %)", significant(errors as f64 / passes.max(1) as f64 * 100.0));
        }
    }
    words
}

/// Processor time in cores: of each target, or of all.
fn cpu(figures: &LiveFigures, each: bool) -> String {
    let known = || figures.targets.iter().filter_map(|target| Some((target.name.as_str(), target.cpu_cores?)));
    let mut parts: Vec<String> = match each {
        true => known().map(|(name, cores)| format!("{name} {cores:.2}")).collect(),
        false if known().next().is_some() => vec![format!("targets {:.2}", known().map(|(_, cores)| cores).sum::<f64>())],
        false => Vec::new(),
    };
    parts.extend(figures.generator_cores.map(|cores| format!("generator {cores:.2}")));
    if parts.is_empty() { String::new() } else { format!("CPU {}", parts.join(", ")) }
}

/// Memory of each target.
fn memory(figures: &LiveFigures) -> String {
    let known = figures.targets.iter().filter_map(|target| Some((target.name.as_str(), target.pss_bytes?)));
    let parts: Vec<String> = known.map(|(name, bytes)| format!("{name} {}", human_bytes(bytes as f64))).collect();
    if parts.is_empty() { String::new() } else { format!("PSS {}", parts.join(", ")) }
}

/// A time that need not be exact.
pub(super) fn rough(time: Duration) -> String {
    match time.as_secs_f64().ceil() as u64 {
        s @ ..120 => format!("{s} s"),
        s @ ..7200 => format!("{} min", s / 60),
        s @ ..172_800 => format!("{} h {:02} min", s / 3600, s / 60 % 60),
        s => format!("{} days", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::live::LiveTarget;

    fn target(name: &str, cores: f64, mib: u64) -> LiveTarget {
        LiveTarget { name: name.to_owned(), cpu_cores: Some(cores), pss_bytes: Some(mib << 20) }
    }

    fn clients() -> LiveWorkload {
        LiveWorkload {
            name: "clients".to_owned(),
            passes_per_s: Some(12_345.0),
            response_p50_ns: Some(812_000),
            response_p99_ns: Some(3_210_000),
            passes: 4000,
            errors: 0,
        }
    }

    fn live() -> Live {
        let figures = LiveFigures {
            workloads: vec![clients()],
            targets: vec![target("blobs", 1.25, 48), target("haproxy", 0.5, 12)],
            generator_cores: Some(0.75),
        };
        Live {
            done: 37,
            of: Some(240),
            failed: 0,
            invalid: 0,
            elapsed: Duration::from_secs(75),
            left: Some(Duration::from_secs(734)),
            stage: "load".to_owned(),
            stage_elapsed: Duration::from_millis(400),
            repetition: Some(LiveRepetition {
                cell: "processes=4,proxy=haproxy,action=get,blob=1000x10KiB,length=1s".to_owned(),
                number: 2,
                share: Some(0.43),
                figures,
            }),
        }
    }

    fn shown(live: &Live, columns: usize) -> String {
        let lines = lines(live, columns);
        lines.iter().for_each(|line| assert!(width(line) <= columns, "{} of {columns}: {line}", width(line)));
        format!("\n{}\n", lines.join("\n"))
    }

    #[test]
    fn the_room_there_is_is_used() {
        insta::assert_snapshot!([60, 80, 120, 200].map(|columns| shown(&live(), columns)).concat(), @r"

        ━━━━━─────────────────────────────  37/240  15 %  ETA 12 min
        load  43 %  #2  4 haproxy get 1000x10KiB 1s
        12 345/s  p50 812 µs  p99 3.21 ms  no errors

        ━━━━━━━━──────────────────────────────────────────────  37/240  15 %  ETA 12 min
        load  43 %  #2  processes=4,proxy=haproxy,action=get,blob=1000x10KiB,length=1s
        12 345/s  p50 812 µs  p99 3.21 ms  no errors  CPU targets 1.75, generator 0.75

        ━━━━━━━━━───────────────────────────────────────────────────  37/240  15 %  ETA 12 min  running for 75 s
        load  43 %  #2  processes=4,proxy=haproxy,action=get,blob=1000x10KiB,length=1s
        12 345/s  p50 812 µs  p99 3.21 ms  no errors  CPU blobs 1.25, haproxy 0.50, generator 0.75

        ━━━━━━━━━───────────────────────────────────────────────────  37/240  15 %  ETA 12 min  running for 75 s
        load  43 %  #2  processes=4,proxy=haproxy,action=get,blob=1000x10KiB,length=1s
        12 345/s  p50 812 µs  p99 3.21 ms  no errors  CPU blobs 1.25, haproxy 0.50, generator 0.75  PSS blobs 48.0 MiB, haproxy 12.0 MiB
        ");
    }

    #[test]
    fn what_fails_is_seen_at_any_width() {
        let mut live = live();
        (live.failed, live.invalid) = (3, 1);
        let repetition = live.repetition.as_mut().unwrap();
        repetition.figures.workloads[0].errors = 40;
        let mut light = clients();
        light.name = "light".to_owned();
        repetition.figures.workloads.push(light);
        insta::assert_snapshot!([20, 60, 80, 120, 200].map(|columns| shown(&live, columns)).concat(), @r"

        37/240  15 %  3 FAI…
        load  43 %  #2  4 h…
        clients 12 345/s  p…

        ━━───────────  37/240  15 %  3 FAILED  1 INVALID  ETA 12 min
        load  43 %  #2  4 haproxy get 1000x10KiB 1s
        clients 12 345/s  p99 3.21 ms  40 ERRORS (1.00 %); light 12…

        ━━━━━────────────────────────────  37/240  15 %  3 FAILED  1 INVALID  ETA 12 min
        load  43 %  #2  processes=4,proxy=haproxy,action=get,blob=1000x10KiB,length=1s
        clients 12 345/s  p99 3.21 ms  40 ERRORS (1.00 %); light 12 345/s  p99 3.21 ms

        ━━━━━━━━╸──────────────────────────────────────────────  37/240  15 %  3 FAILED  1 INVALID  ETA 12 min  running for 75 s
        load  43 %  #2  processes=4,proxy=haproxy,action=get,blob=1000x10KiB,length=1s
        clients 12 345/s  p50 812 µs  p99 3.21 ms  40 ERRORS (1.00 %); light 12 345/s  p50 812 µs  p99 3.21 ms  no errors

        ━━━━━━━━━───────────────────────────────────────────────────  37/240  15 %  3 FAILED  1 INVALID  ETA 12 min  running for 75 s
        load  43 %  #2  processes=4,proxy=haproxy,action=get,blob=1000x10KiB,length=1s
        clients 12 345/s  p50 812 µs  p99 3.21 ms  40 ERRORS (1.00 %); light 12 345/s  p50 812 µs  p99 3.21 ms  no errors  CPU blobs 1.25, haproxy 0.50, generator 0.75  PSS blobs 48.0 MiB, haproxy 12.0 MiB
        ");
    }

    #[test]
    fn before_the_first_load_there_is_no_empty_figure() {
        let mut live = live();
        live.repetition.as_mut().unwrap().figures = LiveFigures::default();
        live.repetition.as_mut().unwrap().share = None;
        (live.done, live.stage, live.stage_elapsed) = (0, "start".to_owned(), Duration::from_secs(12));
        let preparing = Live { repetition: None, stage: "set-up, run".to_owned(), ..live.clone() };
        let endless = Live { of: None, left: None, ..live.clone() };
        insta::assert_snapshot!([live, preparing, endless].map(|live| shown(&live, 80)).concat(), @r"

        ────────────────────────────────────────────────────────  0/240  0 %  ETA 12 min
        start for 12 s  #2  4 haproxy get 1000x10KiB 1s


        ────────────────────────────────────────────────────────  0/240  0 %  ETA 12 min
        set-up, run for 12 s

        0 done  running for 75 s
        start for 12 s  #2  4 haproxy get 1000x10KiB 1s
        ");
    }

    #[test]
    fn a_log_has_all_of_it_in_one_line() {
        let mut live = live();
        insta::assert_snapshot!(line(&live), @"[37/240] load  43 %  #2  processes=4,proxy=haproxy,action=get,blob=1000x10KiB,length=1s  12 345/s  p50 812 µs  p99 3.21 ms  no errors  CPU blobs 1.25, haproxy 0.50, generator 0.75  PSS blobs 48.0 MiB, haproxy 12.0 MiB  ETA 12 min");
        (live.repetition, live.failed, live.stage) = (None, 2, "build".to_owned());
        insta::assert_snapshot!(line(&live), @"[37/240] build  2 FAILED  ETA 12 min");
    }

    #[test]
    fn no_width_breaks_it_and_no_name_moves_the_cursor() {
        let mut live = live();
        live.repetition.as_mut().unwrap().cell = format!("name=\x1b[2J{}", "日本語".repeat(40));
        for columns in 0..250 {
            for line in lines(&live, columns) {
                assert!(width(&line) <= columns && !line.contains('\x1b'), "{columns}: {line}");
            }
        }
    }
}
