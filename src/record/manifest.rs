//! `manifest.json`: the host, programs and options with which a run was made.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vocabulary::Shard;
use vocabulary::words::in_shell;

/// The circumstances of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the format.
    pub format: u32,
    /// Version of runner.
    pub runner: String,
    /// The command line.
    pub command_line: Vec<String>,
    /// When it started, UTC.
    pub started_at: String,
    /// The experiment's file as it was given.
    pub source: String,
    /// The host.
    pub host: Host,
    /// Kernel settings that change results.
    pub settings: BTreeMap<String, String>,
    /// State of the git checkout, if it is one: commit, and whether something was changed.
    pub git: Option<Git>,
    /// Versions of the programs that targets need.
    pub programs: BTreeMap<String, String>,
    /// The working directory, to which paths of the scenario are relative; none in formats 1 and 2.
    #[serde(default)]
    pub directory: Option<String>,
    /// The options that changed the scenario; none in formats 1 and 2.
    #[serde(default)]
    pub choice: Option<Choice>,
    /// Each time that the run was resumed.
    #[serde(default)]
    pub resumed: Vec<Resumed>,
    /// The machines that executed repetitions together; empty if there was one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub machines: Vec<MachineRecord>,
    /// The runs of which this one was merged; empty for a run that was executed as a whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merged: Vec<Part>,
}

/// One of several machines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MachineRecord {
    /// Its name in the run.
    pub name: String,
    /// Its role; none: that of the run's own machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The address at which others reach it.
    pub address: String,
    /// What it is.
    pub host: Host,
    /// Kernel settings that change results.
    pub settings: BTreeMap<String, String>,
}

/// A run that became part of another one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Its name: time and id.
    pub run: String,
    /// Which rounds it executed.
    pub rounds: Vec<u32>,
    /// When it started, UTC.
    pub started_at: String,
    /// The command line.
    pub command_line: Vec<String>,
    /// Which of the shards it was, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// The host.
    pub host: Host,
    /// Kernel settings that change results.
    pub settings: BTreeMap<String, String>,
    /// Versions of the programs that targets need.
    pub programs: BTreeMap<String, String>,
}

/// Options that changed a scenario. The seed is in the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// `--set`
    pub settings: Vec<String>,
    /// `--repetitions`
    pub repetitions: Option<u32>,
    /// `--shard`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// `--on`, where the roles of a scenario are machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
    /// `--bring`
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bring: bool,
    /// `--slurm`, where the roles of a scenario are nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slurm: Vec<String>,
}

/// The circumstances under which a run was resumed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resumed {
    /// When, UTC.
    pub at: String,
    /// The command line.
    pub command_line: Vec<String>,
    /// Version of runner.
    pub runner: String,
    /// The host.
    pub host: Host,
    /// Versions of the programs that targets need.
    pub programs: BTreeMap<String, String>,
}

/// The host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// The name of the node: what the batch system calls it, or else the host; empty in records of earlier versions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Operating system.
    pub system: String,
    /// Kernel version.
    pub kernel: String,
    /// Name of the processor.
    pub processor: String,
    /// Logical processors that may be used.
    pub cores: usize,
    /// Memory.
    pub memory_bytes: u64,
    /// File system of the scratch directory.
    pub scratch: String,
    /// Limit on open files.
    pub open_files: u64,
    /// Load over the last minute when the run started.
    pub load_1min: f64,
    /// How many requests per second the generator can send there, if that was measured: nodes are told apart by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceiling_per_s: Option<f64>,
}

/// A git checkout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Git {
    /// The commit.
    pub commit: String,
    /// Whether files differ from it.
    pub changed: bool,
    /// The branch; none if the head is detached, and in records of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
}

const SETTINGS: [&str; 8] = [
    "/proc/sys/net/ipv4/ip_local_port_range",
    "/proc/sys/net/ipv4/tcp_congestion_control",
    "/proc/sys/net/core/somaxconn",
    "/proc/sys/net/ipv4/tcp_tw_reuse",
    "/proc/sys/kernel/randomize_va_space",
    "/proc/sys/vm/swappiness",
    "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
    "/sys/devices/system/cpu/smt/active",
];

impl Manifest {
    /// Looks at this machine. `programs`: versions of those that targets need, by name.
    pub fn collect(source: &str, programs: BTreeMap<String, String>, scratch: &std::path::Path, choice: Choice) -> Self {
        Self {
            format: super::FORMAT,
            runner: env!("CARGO_PKG_VERSION").to_owned(),
            // What is not valid UTF-8 is written with replacement characters, since JSON cannot contain it.
            command_line: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
            started_at: now(),
            source: source.to_owned(),
            host: Host::collect(scratch),
            settings: SETTINGS
                .iter()
                .filter_map(|path| {
                    Some((
                        (*path).to_owned(),
                        std::fs::read_to_string(path).ok()?.split_whitespace().collect::<Vec<_>>().join(" "),
                    ))
                })
                .collect(),
            git: git(),
            programs,
            directory: std::env::current_dir().ok().map(|d| d.display().to_string()),
            choice: Some(choice),
            resumed: Vec::new(),
            machines: Vec::new(),
            merged: Vec::new(),
        }
    }

    /// The command that made the run, to be typed again in its directory; with a seed, one that plans the same run.
    pub fn command(&self, seed: Option<u64>) -> String {
        let mut words: Vec<String> = match self.merged.first() {
            None => self.command_line.clone(),
            // That of a shard, without what made it one.
            Some(part) => without(&part.command_line, &["--shard", "--out"], &["--no-graphs", "--quiet", "-q"]),
        };
        if let Some(program) = words.first_mut() {
            // How it was called depends on the machine.
            *program = program.rsplit('/').next().unwrap_or("runner").to_owned();
        }
        if let Some(seed) = seed
            && !words.iter().any(|word| word == "--seed" || word.starts_with("--seed="))
        {
            words.extend(["--seed".to_owned(), seed.to_string()]);
        }
        words.iter().map(|word| in_shell(word)).collect::<Vec<_>>().join(" ")
    }

    /// Changes the words of command lines.
    #[must_use]
    pub fn with_words(mut self, change: impl Fn(&str) -> String) -> Self {
        let resumed = self.resumed.iter_mut().flat_map(|r| &mut r.command_line);
        self.command_line.iter_mut().chain(resumed).for_each(|word| *word = change(word));
        self
    }

    /// Records that the run is resumed, under the circumstances of `now`.
    pub fn add_resumed(&mut self, now: Self) {
        let Self { command_line, started_at, runner, host, programs, .. } = now;
        self.resumed.push(Resumed { at: started_at, command_line, runner, host, programs });
    }
}

impl Host {
    /// Looks at this machine.
    pub fn collect(scratch: &std::path::Path) -> Self {
        let mut system = sysinfo::System::new().ok();
        if let Some(system) = &mut system {
            system.refresh_memory();
            system.refresh_cpu_list(sysinfo::CpuRefreshKind::nothing());
        }
        let processor = system.as_ref().and_then(|s| s.cpus().first().map(|c| c.brand().trim().to_owned()));
        let unknown = || "unknown".to_owned();
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        Self {
            system: sysinfo::System::long_os_version().unwrap_or_else(|_| unknown()),
            kernel: sysinfo::System::kernel_version().unwrap_or_else(|_| unknown()),
            processor: processor.unwrap_or_else(unknown),
            name: node_name(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: system.as_ref().map_or(0, sysinfo::System::total_memory),
            scratch: file_system(scratch),
            open_files: limit.maximum.unwrap_or(u64::MAX),
            load_1min: sysinfo::System::load_average().map_or(0.0, |l| l.one),
            ceiling_per_s: None,
        }
    }
}

/// A command line without some options: those that have a value, and those that have none.
fn without(words: &[String], with_value: &[&str], flags: &[&str]) -> Vec<String> {
    let mut kept = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let name = word.split('=').next().unwrap_or_default();
        if with_value.contains(&name) {
            if !word.contains('=') {
                words.next();
            }
        } else if !flags.contains(&word.as_str()) {
            kept.push(word.clone());
        }
    }
    kept
}

/// What this machine is called among others: as the user says, or the batch system, since several nodes may share a host.
fn node_name() -> String {
    let named = |variable| std::env::var(variable).ok().filter(|name| !name.is_empty());
    let of_batch = named("RUNNER_NODE").or_else(|| named("SLURMD_NODENAME"));
    of_batch.or_else(|| sysinfo::System::host_name().ok()).unwrap_or_default()
}

/// The time, UTC, to the millisecond.
pub fn now() -> String {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now).to_string()
}

/// A time since 1970, UTC, to the millisecond.
pub fn utc(since_1970: Duration) -> String {
    let nearest = since_1970.saturating_add(Duration::from_micros(500));
    let millis = i64::try_from(nearest.as_millis()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX).to_string()
}

/// The time since 1970 of a time written as by [`now`] and [`utc`].
pub fn since_1970(text: &str) -> Option<Duration> {
    let time: jiff::Timestamp = text.parse().ok()?;
    Duration::try_from(time.duration_since(jiff::Timestamp::UNIX_EPOCH)).ok()
}

/// The first line that a command prints within two seconds.
fn first_line(program: &str, args: &[&str]) -> Option<String> {
    let handle = duct::cmd(program, args).stdin_null().stderr_to_stdout().stdout_capture().unchecked().start().ok()?;
    let output = match handle.wait_timeout(Duration::from_secs(2)) {
        Ok(Some(output)) => output,
        _ => {
            let _ = handle.kill();
            return None;
        }
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then(|| text.lines().next().unwrap_or_default().trim().to_owned()).filter(|l| !l.is_empty())
}

fn git() -> Option<Git> {
    let commit = first_line("git", &["rev-parse", "HEAD"])?;
    let changed = first_line("git", &["status", "--porcelain", "--untracked-files=no"]).is_some();
    let branch = first_line("git", &["symbolic-ref", "--quiet", "--short", "HEAD"]);
    Some(Git { commit, changed, branch })
}

/// The type of the file system on which a path lies, from the longest mount point above it.
fn file_system(path: &std::path::Path) -> String {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let path = path.ancestors().find_map(|p| p.canonicalize().ok()).unwrap_or_else(|| path.to_owned());
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            Some((fields.next()?, fields.next()?))
        })
        .filter(|(point, _)| path.starts_with(point))
        .max_by_key(|(point, _)| point.len())
        .map_or_else(|| "unknown".to_owned(), |(_, kind)| kind.to_owned())
}
