//! A storm of deaths: runs are ended at a random moment in a random way, again and again; nothing may be left, nothing lost.
//!
//! `STORM_N` strikes (30 when nothing is said), from `STORM_SEED`; `make storm N=1000` by hand. Each strike starts a run of one of the
//! scenarios, waits for a while, ends it in one of the ways, and looks: no process, port, scratch directory, mount, namespace
//! or interface is left (what all three processes of a run leave that are killed at once is removed by the next start); every
//! repetition that was completed is whole; and `resume` does what is missing, touching nothing else. What is not installed
//! here is left out, and said.

#[path = "../end_to_end/engine.rs"]
#[allow(dead_code)]
mod engine;
#[path = "../end_to_end/support.rs"]
#[allow(dead_code, unused_imports)]
mod support;

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value as Json;

use engine::Engine;
use support::{Place, Process, Started, files, json, listing};

const REPETITIONS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);

/// What every scenario ends with.
const LOAD: &str = "
limits: {errors: 100%, silence: 100%, open: 100%}
clean-up: {run: [{shell: echo >> DIR/cleaned}]}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 2}, duration: 500ms}
    steps: [{get: /}]
";

fn scenarios(engine: Option<&Engine>) -> Vec<(&'static str, String)> {
    let there = |program: &str| {
        let found =
            Command::new("sh").args(["-c", &format!("PATH=$PATH:/usr/sbin command -v {program}")]).stdout(Stdio::null()).status();
        found.is_ok_and(|status| status.success())
    };
    let root = rustix::process::getuid().is_root();
    let all = [
        (
            "a daemon",
            true,
            "targets: {web: {fixture: faulty, args: [--mode, ok, --children, 2, --escape], port: PORT1}}\n".to_owned(),
        ),
        (
            "memory",
            root,
            "scratch: {tmpfs: 8MiB}\nrecord: {tmpfs: 16MiB}\ntargets: {web: {fixture: faulty, args: [--mode, ok, --children, 1], port: PORT1}}\n"
                .to_owned(),
        ),
        (
            "haproxy",
            there("haproxy"),
            "targets:
  web: {fixture: faulty, args: [--mode, ok], port: PORT2}
  proxy:
    after: web
    command: [haproxy, -db, -f, DIR/haproxy.cfg]
    ready: {tcp: PORT1}
    needs: haproxy
"
            .to_owned(),
        ),
        (
            "a link",
            root && there("ip") && there("nft"),
            "links: {wan: {to: web, delay: 2ms}}\ntargets: {web: {fixture: faulty, args: [--mode, ok, --host, 0.0.0.0], port: PORT1}}\n".to_owned(),
        ),
        (
            "a container",
            engine.is_some(),
            "targets:
  web:
    container: {image: 'runner-test-web:1', network: host, args: [/bin/busybox, httpd, -f, -p, '127.0.0.1:PORT1', -h, /www]}
    port: PORT1
    ready: {http: /index.html}
    stop: {grace: 300ms}
"
            .to_owned(),
        ),
    ];
    let (here, out): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, is_here, _)| *is_here);
    for (name, ..) in out {
        println!("left out, as it cannot be had here: {name}");
    }
    here.into_iter().map(|(name, _, text)| (name, text)).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    KillRunner,
    KillGuard,
    KillWatcher,
    KillRunnerAndGuard,
    KillRunnerAndWatcher,
    KillWatcherAndGuard,
    KillAll,
    TermAll,
    InterruptOnce,
    InterruptTwice,
    Hangup,
    StopAndContinue,
}

use Way::*;

const WAYS: [Way; 12] = [
    KillRunner,
    KillGuard,
    KillWatcher,
    KillRunnerAndGuard,
    KillRunnerAndWatcher,
    KillWatcherAndGuard,
    KillAll,
    TermAll,
    InterruptOnce,
    InterruptTwice,
    Hangup,
    StopAndContinue,
];

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

#[test]
fn storm() {
    let (strikes, seed) = (number("STORM_N", 30), number("STORM_SEED", 1));
    let engine = rustix::process::getuid().is_root().then(Engine::start).flatten();
    let scenarios = scenarios(engine.as_ref());
    let mut told: BTreeMap<String, u32> = BTreeMap::new();
    for strike in 0..strikes {
        let mut random = Random(seed ^ strike << 20);
        // Each way and each scenario occurs, whatever chance says.
        let way = WAYS[(strike % WAYS.len() as u64) as usize];
        let (name, scenario) = &scenarios[random.below(scenarios.len() as u64) as usize];
        let delay = Duration::from_millis(random.below(2500));
        let words = format!("strike {strike} of seed {seed}: {way:?} after {delay:?}, {name}");
        println!("{words}");
        let struck = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| one(scenario, way, delay, engine.as_ref())));
        assert!(struck.is_ok(), "{words}");
        *told.entry(format!("{way:?}")).or_default() += 1;
    }
    println!("{strikes} strikes: {told:?}");
}

fn one(scenario: &str, way: Way, delay: Duration, engine: Option<&Engine>) {
    let run = |place: &Place, args: &[&str]| {
        let mut command = place.runner();
        command.args(args);
        if let Some(engine) = engine {
            command.env("DOCKER_HOST", engine.host());
        }
        Started::spawn(&mut command)
    };
    let no_container = || {
        let left = engine.map(Engine::containers).unwrap_or_default();
        assert_eq!(left, "", "a container is left");
    };
    let before = leftovers(None);
    let mut place = Place::with(&format!("experiment: test\nrepetitions: {REPETITIONS}\n{scenario}{LOAD}"));
    place.write(
        "haproxy.cfg",
        "defaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\nfrontend f\n  bind 127.0.0.1:PORT1\n  default_backend b\nbackend b\n  server s 127.0.0.1:PORT2\n",
    );
    let started = run(&place, &["run", "test.yaml", "--no-graphs"]);
    std::thread::sleep(delay);
    strike(&place, &started, way);
    started.wait_within(PATIENCE);
    if way != KillAll {
        place.assert_cleared(Duration::from_secs(20));
        gone(&place, &before);
        no_container();
    }
    // What was completed is not touched by what goes on.
    let completed = there(&place);
    let runs = listing(&place.path("results/test"));
    let whole = runs.first().filter(|run| place.path("results/test").join(run).join("plan.json").exists());
    let outcome = match whole {
        Some(directory) => run(&place, &["resume", &format!("results/test/{directory}"), "--no-graphs"]).wait(),
        None => run(&place, &["run", "test.yaml", "--no-graphs"]).wait(),
    };
    assert!(matches!(outcome.code, Some(0)), "{}{}", outcome.stdout, outcome.stderr);
    place.assert_cleared(Duration::from_secs(20));
    gone(&place, &before);
    no_container();
    let all = there(&place);
    assert_eq!(all.len(), REPETITIONS, "{all:?}");
    for (name, was) in completed {
        assert_eq!(all.get(&name), Some(&was), "{name} was touched");
    }
    assert!(files(&place.path("results")).iter().all(|path| !path.contains("partial")));
}

/// The processes of runner and its watchers, whichever are there by now.
fn processes(place: &Place, part: &str) -> Vec<Process> {
    place.processes().into_iter().filter(|p| p.command.contains(part)).collect()
}

fn strike(place: &Place, started: &Started, way: Way) {
    let send = |part: &str, signal: Signal| processes(place, part).iter().for_each(|p| p.signal(signal));
    let (watcher, guard) = ("__watcher", "__guard");
    match way {
        KillRunner => started.signal(Signal::KILL),
        KillGuard => send(guard, Signal::KILL),
        KillWatcher => send(watcher, Signal::KILL),
        KillRunnerAndGuard => {
            started.signal(Signal::KILL);
            send(guard, Signal::KILL);
        }
        KillRunnerAndWatcher => {
            send(watcher, Signal::KILL);
            started.signal(Signal::KILL);
        }
        KillWatcherAndGuard => {
            send(watcher, Signal::KILL);
            send(guard, Signal::KILL);
        }
        KillAll => {
            started.signal(Signal::STOP);
            for signal in [Signal::STOP, Signal::KILL] {
                send(watcher, signal);
                send(guard, signal);
            }
            started.signal(Signal::KILL);
        }
        TermAll => {
            place.processes().iter().for_each(|p| p.signal(Signal::TERM));
        }
        InterruptOnce => started.signal(Signal::INT),
        InterruptTwice => {
            started.signal(Signal::INT);
            std::thread::sleep(Duration::from_millis(50));
            started.signal(Signal::INT);
        }
        Hangup => started.signal(Signal::HUP),
        StopAndContinue => {
            let all = place.processes();
            all.iter().for_each(|p| p.signal(Signal::STOP));
            std::thread::sleep(Duration::from_millis(300));
            all.iter().for_each(|p| p.signal(Signal::CONT));
        }
    }
}

/// Repetitions that are there, by name: what tells whether they were written again, and that each is whole.
fn there(place: &Place) -> BTreeMap<String, (u64, i64, i64)> {
    let mut found = BTreeMap::new();
    for run in listing(&place.path("results/test")) {
        let cells = place.path("results/test").join(run).join("cells/all");
        for name in listing(&cells).into_iter().filter(|name| name.starts_with("run")) {
            let folder = cells.join(&name);
            let status = json(&folder.join("status.json"));
            assert_ne!(status["verdict"]["is"], Json::from("failed"), "{name}: {status}");
            for table in ["windows.parquet", "resources.parquet", "host.parquet"] {
                let bytes = std::fs::read(folder.join(table)).unwrap_or_else(|e| panic!("{name}/{table}: {e}"));
                assert!(bytes.ends_with(b"PAR1"), "{name}/{table} is cut short");
            }
            let metadata = folder.join("status.json").metadata().unwrap();
            found.insert(name, (metadata.ino(), metadata.mtime(), metadata.mtime_nsec()));
        }
    }
    found
}

/// Namespaces, interfaces and mounts of runners; mounts below a folder only, where one is given.
fn leftovers(folder: Option<&Path>) -> Vec<String> {
    let mut found: Vec<String> =
        listing(Path::new("/run/netns")).into_iter().filter(|name| name.starts_with("runner-")).collect();
    found.extend(listing(Path::new("/sys/class/net")).into_iter().filter(|name| name.starts_with("rl")));
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let ours = |mount: &&str| folder.is_some_and(|folder| mount.contains(&folder.display().to_string()));
    found.extend(mounts.lines().filter(ours).map(str::to_owned));
    found
}

#[track_caller]
fn gone(place: &Place, before: &[String]) {
    let left = || leftovers(Some(&place.path(""))).into_iter().filter(|l| !before.contains(l)).collect::<Vec<_>>();
    // The kernel removes interfaces a moment after their namespace.
    support::within(Duration::from_secs(20), "nothing is left", || left().is_empty().then_some(()));
}
