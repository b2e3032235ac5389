//! `runner doctor`: what this machine can measure, reported before you rely on a number.
//!
//! The ceiling of the generator is measured against a server that does nothing, on a processor of its own where there are
//! two; lag and timers are measured at half of it. The rest is read: governor, load, limits, ports, programs.

mod same;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::ceiling::{CONNECTIONS, Ceiling, measure};
use super::{Stop, print, print_data, read_plan, scenario_files};
use crate::cli;
use crate::exit::Exit;
use crate::observe::{HostSources, host_sources};
use crate::plan::programs::find_program;
use crate::record::manifest::Host;
use crate::vocabulary::units::{count, human_bytes, human_duration, significant};

/// Above this load average, other programs use the machine.
const QUIET_LOAD: f64 = 0.5;
/// A generator whose arrivals are later than this at the 99th percentile is of little use.
const LATE_NS: u64 = 1_000_000;

/// Everything that `doctor` finds out about this machine.
#[derive(Debug, Serialize)]
struct Diagnosis {
    machine: Machine,
    ceiling: Option<Ceiling>,
    missing_programs: BTreeMap<String, Vec<String>>,
    /// Reasons not to trust numbers, in words.
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Machine {
    host: Host,
    governors: Vec<String>,
    /// First and last port that outgoing connections use.
    port_range: (u16, u16),
    /// How many connections to one address fit.
    connections: u64,
    clock_source: String,
    /// What can be watched while a repetition runs.
    watched: Option<Watched>,
}

/// What the kernel reports about the host: numbers of cores, and whether it reports a value at all.
#[derive(Debug, Serialize)]
struct Watched {
    cores: usize,
    frequency_cores: usize,
    throttle_cores: usize,
    package_throttles: bool,
    cpu_pressure: bool,
    memory_pressure: bool,
    io_pressure: bool,
}

impl From<HostSources> for Watched {
    fn from(sources: HostSources) -> Self {
        let [cpu_pressure, memory_pressure, io_pressure] = sources.pressure;
        Self {
            cores: sources.cores,
            frequency_cores: sources.frequency,
            throttle_cores: sources.throttles,
            package_throttles: sources.package_throttles,
            cpu_pressure,
            memory_pressure,
            io_pressure,
        }
    }
}

/// Examines this machine.
pub(super) fn doctor(args: &cli::Doctor) -> Result<Exit, Stop> {
    if let Some(file) = &args.same {
        return same::same(args, file);
    }
    let time =
        crate::vocabulary::units::parse_duration(&args.time).filter(|t| *t >= Duration::from_millis(100)).ok_or_else(|| {
            Stop::new(Exit::InvalidInput, format!("`--time {}`: expected a duration of at least 100ms, such as `2s`", args.time))
        })?;
    let open_files = super::open_files::raise();
    let machine = machine(open_files);
    // Removes what a run left behind that died together with its watchers.
    let mut warnings = crate::supervise::journal::sweep();
    warnings.extend(crate::plan::git::sweep());
    warnings.extend(self::warnings(&machine));
    let ceiling = match measure(machine.host.cores, time) {
        Ok(ceiling) => {
            if ceiling.lag_p99_ns > LATE_NS {
                warnings.push(format!(
                    "arrivals are {} late at p99 at half the ceiling: times of open loops are uncertain by that much",
                    human_duration(ceiling.lag_p99_ns as f64)
                ));
            }
            Some(ceiling)
        }
        Err(stop) => {
            warnings.push(format!("the ceiling could not be measured: {}", stop.message));
            None
        }
    };
    let diagnosis = Diagnosis { machine, ceiling, missing_programs: missing(&args.experiments), warnings };
    if args.json {
        print_data(&format!("{}\n", serde_json::to_string_pretty(&diagnosis).expect("a diagnosis is always JSON")));
    } else {
        print(&text(&diagnosis));
    }
    Ok(Exit::Success)
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn machine(open_files: u64) -> Machine {
    let host = Host::collect(&std::env::temp_dir());
    let governors: BTreeSet<String> = std::fs::read_dir("/sys/devices/system/cpu")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| read(e.path().join("cpufreq/scaling_governor")))
        .collect();
    let range = read("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut ports = range.split_whitespace().filter_map(|p| p.parse::<u16>().ok());
    let port_range = (ports.next().unwrap_or(32768), ports.next().unwrap_or(60999));
    let connections = open_files.saturating_sub(super::open_files::OWN).min(u64::from(port_range.1 - port_range.0) + 1);
    Machine {
        host,
        governors: governors.into_iter().collect(),
        port_range,
        connections,
        clock_source: read("/sys/devices/system/clocksource/clocksource0/current_clocksource").unwrap_or_default(),
        watched: host_sources(Path::new("/")).map(Watched::from),
    }
}

fn warnings(machine: &Machine) -> Vec<String> {
    let mut warnings = Vec::new();
    if machine.host.load_1min > QUIET_LOAD {
        warnings.push(format!("the load average is {:.2}: other programs use this machine", machine.host.load_1min));
    }
    for governor in machine.governors.iter().filter(|g| *g != "performance") {
        warnings.push(format!("the governor is `{governor}`: the processors' speed follows the load; `performance` is steadier"));
    }
    if machine.host.cores == 1 {
        warnings.push("one core: generator and server take time from each other".to_owned());
    }
    if machine.host.open_files < 4096 {
        warnings.push(format!("only {} open files are allowed (`ulimit -Hn`)", machine.host.open_files));
    }
    if !machine.clock_source.is_empty() && !["tsc", "kvm-clock", "arch_sys_counter"].contains(&machine.clock_source.as_str()) {
        warnings.push(format!("the clock source is `{}`: reading the clock is expensive", machine.clock_source));
    }
    warnings
}

/// Programs that experiments need and that are not installed, each with the experiments that need it.
fn missing(folder: &Path) -> BTreeMap<String, Vec<String>> {
    let mut missing: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let files = if folder.is_dir() { scenario_files(&[folder.to_owned()]).unwrap_or_default() } else { Vec::new() };
    for plan in files.iter().filter_map(|f| read_plan(f, None).ok()) {
        let needs = plan.cells.iter().flat_map(|c| {
            let targets = c.targets.iter().flat_map(|t| &t.needs);
            targets.chain(c.workloads.iter().flat_map(|w| &w.needs))
        });
        for need in needs.collect::<BTreeSet<_>>().into_iter().filter(|n| find_program(n).is_none()) {
            missing.entry(need.clone()).or_default().push(plan.experiment.clone());
        }
    }
    missing
}

fn text(diagnosis: &Diagnosis) -> String {
    let m = &diagnosis.machine;
    let governors = if m.governors.is_empty() { "not visible".to_owned() } else { m.governors.join(", ") };
    let mut text = format!(
        "machine     {} cores, {}, {}, kernel {}\n",
        m.host.cores,
        m.host.processor,
        human_bytes(m.host.memory_bytes as f64),
        m.host.kernel
    );
    text += &format!("load        {:.2} (1 min)   governor {governors}   clock {}\n", m.host.load_1min, m.clock_source);
    text += &format!(
        "limits      {} open files, ports {}–{}:\n            {} connections to one address fit\n",
        m.host.open_files,
        m.port_range.0,
        m.port_range.1,
        count(m.connections)
    );
    text += &m.watched.as_ref().map_or_else(String::new, watched);
    if let Some(c) = &diagnosis.ceiling {
        text += &format!(
            "ceiling     {} requests per second on {CONNECTIONS} connections\n            against a server that does nothing\n",
            significant(c.requests_per_s)
        );
        text += &format!(
            "            {} requests per CPU-second, generator thread at {:.0} %\n",
            significant(c.requests_per_cpu_s),
            c.generator_cpu_share * 100.0
        );
        text += &format!(
            "open loop   at {} per second: lag p50 {}, p99 {}\n",
            significant(c.offered_per_s),
            human_duration(c.lag_p50_ns as f64),
            human_duration(c.lag_p99_ns as f64)
        );
        if let (Some(p50), Some(p99)) = (c.timer_late_p50_ns, c.timer_late_p99_ns) {
            text += &format!("timers      late by {} (p50), {} (p99)\n", human_duration(p50 as f64), human_duration(p99 as f64));
        }
    }
    if diagnosis.missing_programs.is_empty() {
        text += "programs    everything that the experiments need is installed\n";
    }
    for (program, experiments) in &diagnosis.missing_programs {
        text += &format!("MISSING     {program}, needed by {}\n", experiments.join(", "));
    }
    for warning in &diagnosis.warnings {
        text += &format!("WARNING     {warning}\n");
    }
    text
}

/// What can be watched while a repetition runs, and what cannot, and why.
fn watched(sources: &Watched) -> String {
    let frequency = match sources.frequency_cores {
        some if some > 0 && some < sources.cores => format!("frequency ({some} of {} cores)", sources.cores),
        _ => "frequency".to_owned(),
    };
    let without_psi = "this kernel has no PSI, or was started without it (`psi=1`)";
    let parts = [
        (true, "steal".to_owned(), ""),
        (sources.cpu_pressure, "pressure of processors".to_owned(), without_psi),
        (sources.memory_pressure, "pressure of memory".to_owned(), without_psi),
        (sources.io_pressure, "pressure of storage".to_owned(), without_psi),
        (sources.frequency_cores > 0, frequency, "no cpufreq, as in most virtual machines"),
        (
            sources.throttle_cores > 0 || sources.package_throttles,
            "throttling".to_owned(),
            "no thermal_throttle, which Intel's processors have outside of virtual machines",
        ),
    ];
    let seen: Vec<&str> = parts.iter().filter(|(is, ..)| *is).map(|(_, what, _)| what.as_str()).collect();
    let mut text = format!("watched     {}\n", seen.join(", "));
    for (_, what, why) in parts.iter().filter(|(is, ..)| !is) {
        text += &format!("unwatched   {what}: {why}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_watched_is_said_with_its_reason() {
        let laptop = HostSources { cores: 8, frequency: 7, throttles: 8, package_throttles: true, pressure: [true; 3] };
        let seen = "steal, pressure of processors, pressure of memory, pressure of storage, frequency (7 of 8 cores), throttling";
        assert_eq!(watched(&laptop.into()), format!("watched     {seen}\n"));
        let guest = HostSources { cores: 2, frequency: 0, throttles: 0, package_throttles: false, pressure: [false; 3] };
        insta::assert_snapshot!(watched(&guest.into()), @r"
        watched     steal
        unwatched   pressure of processors: this kernel has no PSI, or was started without it (`psi=1`)
        unwatched   pressure of memory: this kernel has no PSI, or was started without it (`psi=1`)
        unwatched   pressure of storage: this kernel has no PSI, or was started without it (`psi=1`)
        unwatched   frequency: no cpufreq, as in most virtual machines
        unwatched   throttling: no thermal_throttle, which Intel's processors have outside of virtual machines
        ");
    }
}
