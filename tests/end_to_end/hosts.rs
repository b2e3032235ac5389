//! Repetitions over several machines: network namespaces of this one (`--on netns`), and namespaces that are reached by a real SSH.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value as Json;

use crate::support::{CLEARED, Outcome, Place, Started, json, runner, within};

/// A server on one machine, and a load that two machines make together.
const TWO: &str = "
experiment: test
hosts: {server: {}, clients: {count: 2}}
record: {requests: true}
seed: 7
targets:
  web: {on: server, fixture: null-server, port: PORT1}
workloads:
  users:
    on: clients
    url: http://${hosts.server.address}:PORT1
    load: {open: {rate: 400/s, arrivals: poisson}, duration: 1s}
    steps: [{get: /}]
";

const ON_NETNS: [&str; 5] = ["run", "test.yaml", "--on", "netns", "--no-graphs"];

/// Whether this test can make namespaces.
fn may_make_namespaces() -> bool {
    if rustix::process::getuid().is_root() {
        return true;
    }
    eprintln!("SKIPPED: network namespaces are made by root only");
    false
}

fn namespaces() -> Vec<String> {
    let there = std::fs::read_dir("/run/netns").into_iter().flatten().flatten();
    there.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Namespaces that a runner of this place has made: other tests have their own at the same time.
fn own_namespaces(place: &Place) -> Vec<String> {
    let agents = place.processes().into_iter().filter(|process| process.command.contains("--inside"));
    agents.map(|agent| agent.command.rsplit('/').next().unwrap().to_owned()).collect()
}

/// When requests were meant to be sent, from the first on, as the raw rows say.
fn intended(place: &Place, run: &Path) -> Vec<u64> {
    place.run(&["export", "csv", run.to_str().unwrap(), "-o", "out"]).expect(0);
    let text = std::fs::read_to_string(place.path("out/requests.csv")).unwrap();
    std::fs::remove_dir_all(place.path("out")).unwrap();
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    let column = |name: &str| names.iter().position(|n| *n == name).unwrap_or_else(|| panic!("{names:?} has no {name}"));
    let (at, step) = (column("intended_ns"), column("step"));
    let rows = lines.map(|line| line.split(',').collect::<Vec<_>>());
    let mut all: Vec<u64> = rows.filter(|row| row[step] == "get").map(|row| row[at].parse().unwrap()).collect();
    all.sort_unstable();
    let first = all[0];
    all.into_iter().map(|at| at - first).collect()
}

#[test]
fn arrivals_are_dealt_out_over_machines_and_none_is_missing_or_sent_twice() {
    if !may_make_namespaces() {
        return;
    }
    let place = Place::with(TWO);
    place.run(&["run", "test.yaml", "--no-graphs", "--out", "alone"]).expect(0);
    place.run(&ON_NETNS).expect(0);
    let run = place.run_directory("test");
    let alone = std::fs::read_dir(place.path("alone/test")).unwrap().flatten().next().unwrap().path();
    let (all, whole) = (intended(&place, &run), intended(&place, &alone));
    assert!(whole.len() > 300, "{}", whole.len());
    assert_eq!(all.len(), whole.len());
    // Times count from another instant there, so the last digit may be rounded differently.
    let differs = all.iter().zip(&whole).find(|(a, b)| a.abs_diff(**b) > 1);
    assert_eq!(differs, None, "the union of both machines is the schedule of one");
    let status = place.status("all/run1");
    let seen = status["reconciled"][0].clone();
    assert_eq!((seen["sent"].as_u64(), seen["seen"].as_u64()), (Some(whole.len() as u64), Some(whole.len() as u64)));
    // Each machine has its own part, and rows say whose they are.
    let names: Vec<&str> = status["hosts"].as_array().unwrap().iter().map(|host| host["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["server", "clients-1", "clients-2"]);
    assert!(status["start"]["skew_ns"].as_u64().unwrap() < 20_000_000, "{status}");
    let manifest = json(&run.join("manifest.json"));
    assert_eq!(manifest["machines"].as_array().unwrap().len(), 3);
    let events = std::fs::read_to_string(run.join("cells/all/run1/events.jsonl")).unwrap();
    let began = events.lines().map(|line| serde_json::from_str::<Json>(line).unwrap()).filter(|e| e["event"] == "load-begins");
    let unix: Vec<u64> = began.map(|event| event["unix_ns"].as_u64().unwrap()).collect();
    assert_eq!(unix.len(), 3);
    assert!(unix.iter().max().unwrap() - unix.iter().min().unwrap() < 5_000_000, "{unix:?}");
    place.assert_cleared(CLEARED);
}

/// Two targets on the same port of two machines, one behind the other; and a set-up step on each.
const CHAIN: &str = "
experiment: test
hosts: {front: {}, back: {}, clients: {}}
targets:
  store: {on: back, fixture: null-server, port: 8000}
  proxy: {on: front, fixture: proxy, port: 8000, args: [--to, '${hosts.back.address}:8000'], after: store}
set-up:
  repetition: [{on: back, shell: 'echo back >> DIR/steps'}, {shell: 'echo controller >> DIR/steps'}]
  load: [{on: clients, get: 'http://${hosts.front.address}:8000/'}]
collect:
  files: {on: back, shell: 'echo 42', metrics: {answer: {regex: '(.*)'}}}
workloads:
  users:
    on: clients
    url: '${targets.proxy.urls}'
    load: {closed: {connections: 4}, amount: 200}
    steps: [{get: /}]
";

#[test]
fn each_machine_does_its_own_part_in_the_order_of_the_story() {
    if !may_make_namespaces() {
        return;
    }
    let place = Place::with(CHAIN);
    place.run(&ON_NETNS).expect(0);
    let mut steps = place.lines("steps");
    steps.sort();
    assert_eq!(steps, ["back", "controller"]);
    let summary = place.summary();
    let answer = &summary["cells"][0]["metrics"][0];
    assert_eq!((answer["metric"].as_str(), answer["value"]["median"].as_f64()), (Some("answer"), Some(42.0)), "{answer}");
    let status = place.status("all/run1");
    let hosts = status["hosts"].as_array().unwrap();
    assert_eq!(hosts.iter().filter(|host| host.get("role").is_none()).count(), 1, "the run's own machine has a step");
    let seen: Vec<_> = status["reconciled"].as_array().unwrap().iter().map(|one| one["seen"].as_u64()).collect();
    assert_eq!(seen, [Some(200)], "{status}");
    // The proxy waited for the store, though it is elsewhere.
    let events = std::fs::read_to_string(place.run_directory("test").join("cells/all/run1/events.jsonl")).unwrap();
    let at = |event: &str, target: &str| {
        let line = events.lines().find(|l| l.contains(&format!("\"event\":\"{event}\",\"target\":\"{target}\""))).unwrap();
        serde_json::from_str::<Json>(line).unwrap()["at_ns"].as_i64().unwrap()
    };
    assert!(at("ready", "store") < at("started", "proxy"));
}

/// A load that is long enough to be disturbed.
const LONG: &str = "
experiment: test
hosts: {server: {}, clients: {count: 2}}
targets:
  web: {on: server, fixture: null-server, port: 8000}
workloads:
  users:
    on: clients
    url: http://${hosts.server.address}:8000
    load: {closed: {connections: 4}, duration: 3s}
    steps: [{get: /}]
";

/// A run of [`LONG`] whose load is under way.
fn under_way(place: &Place) -> Started {
    let mut started = place.start(&ON_NETNS);
    until_served(&mut started, place);
    std::thread::sleep(Duration::from_millis(800));
    started
}

fn until_served(started: &mut Started, place: &Place) {
    started.until("its server runs", || place.processes().iter().any(|p| p.command.contains("null-server")).then_some(()));
}

#[test]
fn a_repetition_of_which_a_machine_was_lost_is_executed_again() {
    if !may_make_namespaces() {
        return;
    }
    let place = Place::with(LONG);
    let started = under_way(&place);
    let namespaces = own_namespaces(&place);
    assert_eq!(namespaces.len(), 3);
    place.process(&namespaces[2]).signal(Signal::KILL);
    let outcome = started.wait().expect(0);
    outcome.complains(&["is lost: the agent has ended (signal: 9 (SIGKILL))", "the repetition is executed again (2 of 3)"]);
    assert_eq!(place.status("all/run1")["verdict"]["is"], "valid");
    // Whoever reads the results later is told.
    let attempts = place.status("all/run1")["attempts"].clone();
    assert_eq!(attempts.as_array().unwrap().len(), 1, "{attempts}");
    let told = place.run(&["summarize", "results/test"]).expect(0).stdout;
    assert!(told.contains("LOST: 1 attempt of a repetition came to nothing, and it was executed again"), "{told}");
    place.assert_cleared(CLEARED);
}

#[test]
fn a_repetition_in_which_an_agent_stood_still_does_not_count() {
    if !may_make_namespaces() {
        return;
    }
    let place = Place::with(LONG);
    let started = under_way(&place);
    let server = place.process(&own_namespaces(&place)[0]);
    server.signal(Signal::STOP);
    std::thread::sleep(Duration::from_millis(1500));
    server.signal(Signal::CONT);
    started.wait().expect(4);
    let reasons = place.status("all/run1")["verdict"]["reasons"].to_string();
    assert!(reasons.contains("server: for 1.") && reasons.contains("targets and host were not sampled"), "{reasons}");
    place.assert_cleared(CLEARED);
}

#[test]
fn check_finds_what_is_wrong_over_several_machines_only() {
    let place = Place::with(&LONG.replace("${hosts.server.address}", "127.0.0.1"));
    place.run(&["check", "test.yaml"]).expect(2).complains(&["over several machines (`--on`)", "is not on the machine of"]);
    let place = Place::with(&LONG.replace("server: {}, ", "server: {}, controller: {}, "));
    place.run(&["check", "test.yaml"]).expect(2).complains(&["`controller` cannot be the name of a role"]);
}

#[test]
fn a_target_that_dies_fails_the_repetition_on_all_machines_and_names_its_own() {
    if !may_make_namespaces() {
        return;
    }
    let place = Place::with(&format!("{LONG}\nrepetitions: 2\n"));
    let started = under_way(&place);
    place.process("null-server").signal(Signal::KILL);
    started.wait().expect(4);
    let status = place.status("all/run1");
    let reason = status["verdict"]["reason"].as_str().unwrap();
    assert!(reason.starts_with("server: web was killed by SIGKILL"), "{reason}");
    assert_eq!(place.status("all/run2")["verdict"]["is"], "valid");
    place.assert_cleared(CLEARED);
}

#[test]
fn nothing_is_left_on_any_machine_by_a_controller_that_is_killed_or_interrupted() {
    if !may_make_namespaces() {
        return;
    }
    for (signal, code) in [(Signal::KILL, None), (Signal::INT, Some(130))] {
        let place = Place::with(LONG);
        let started = under_way(&place);
        let made = own_namespaces(&place);
        assert_eq!(made.len(), 3);
        started.signal(signal);
        let outcome = started.wait();
        assert_eq!(outcome.code, code, "{}", outcome.stderr);
        place.assert_cleared(Duration::from_secs(10));
        within(Duration::from_secs(5), "its namespaces are gone", || {
            let there = namespaces();
            (!made.iter().any(|name| there.contains(name))).then_some(())
        });
        if signal == Signal::INT {
            let run = place.run_directory("test");
            assert!(
                outcome.stderr.contains(&format!("runner resume results/test/{}", run.file_name().unwrap().to_str().unwrap()))
            );
            place.run(&["resume", run.to_str().unwrap(), "--no-graphs"]).expect(0);
            assert_eq!(place.status("all/run1")["verdict"]["is"], "valid");
        }
    }
}

#[test]
fn targets_that_outlive_repetitions_stay_on_their_machine() {
    if !may_make_namespaces() {
        return;
    }
    let text = TWO.replace("port: PORT1}", "port: PORT1, lifetime: run}").replace("record: {requests: true}", "repetitions: 3");
    let place = Place::with(&text);
    place.run(&ON_NETNS).expect(0);
    let pids: Vec<_> = (1..=3).map(|n| place.status(&format!("all/run{n}"))["targets"][0]["pid"].as_u64().unwrap()).collect();
    assert!(pids.iter().all(|pid| *pid == pids[0]), "{pids:?}");
    place.assert_cleared(CLEARED);
}

#[test]
fn a_link_is_the_line_of_a_machine_and_is_gone_in_the_next_cell() {
    if !may_make_namespaces() {
        return;
    }
    let text = TWO
        .replace("record: {requests: true}", "factors: {rtt: [0, 40]}")
        .replace("workloads:", "links:\n  wan: {when: '${rtt > 0}', to: web, delay: 20ms, back: {delay: 20ms}}\nworkloads:");
    let place =
        Place::with(&text.replace("${hosts.server.address}:PORT1", "${targets.web.addresses[0]}").replace("400/s", "100/s"));
    place.run(&[&ON_NETNS[..], &["-n", "2"]].concat()).expect(0);
    let summary = place.summary();
    let medians: Vec<f64> = summary["cells"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cell| cell["steps"][0]["response_ns"]["p50"].as_f64().unwrap())
        .collect();
    assert!(medians[0] < 20e6 && (40e6..60e6).contains(&medians[1]), "{medians:?}");
    for n in 1..=2 {
        let links = place.status(&format!("rtt=40/run{n}"))["links"].clone();
        let rtt = links[0]["measured"]["rtt_median_ns"].as_f64().unwrap();
        assert!((39e6..43e6).contains(&rtt), "{links}");
        assert!(place.status(&format!("rtt=0/run{n}")).get("links").is_none());
    }
    place.assert_cleared(CLEARED);
    // What is there already cannot be shaped, and two links cannot share a line.
    place
        .run(&["run", "test.yaml", "--on", "ssh:server=a/1.1.1.1,clients=b/1.1.1.2+c/1.1.1.3"])
        .expect(2)
        .complains(&["the link `wan` would lie between machines that are there already"]);
    let place = Place::with(&TWO.replace("workloads:", "links: {a: {to: web}, b: {to: web}}\nworkloads:"));
    place.run(&ON_NETNS).expect(2).complains(&["the links `a` and `b` both lead from the load to `web`"]);
    let place = Place::with(&CHAIN.replace("workloads:", "links: {a: {to: proxy}, b: {from: store, to: proxy}}\nworkloads:"));
    place.run(&ON_NETNS).expect(2).complains(&["the links `a` and `b` both lead to one machine"]);
    place.assert_cleared(CLEARED);
}

#[test]
fn a_role_without_a_machine_and_a_machine_without_a_role_are_told_before_anything_starts() {
    let place = Place::with(TWO);
    let refused = |on: &str| place.run(&["run", "test.yaml", "--on", on]).expect(2);
    refused("ssh:server=a").complains(&["the role `clients` needs 2 machines, and none is given: expected `clients=HOST+HOST`"]);
    refused("ssh:server=a,clients=b").complains(&["the role `clients` needs 2 machines, and 1 is given"]);
    refused("ssh:server=a,clients=b+c,sever=d").complains(&["the scenario has no role `sever`, expected `server` or `clients`"]);
    refused("ssh:server").complains(&["`server`: expected `ROLE=HOST`, such as `server=alice@a`"]);
    refused("ssh:server=-oProxyCommand=x,clients=b+c").complains(&["is not a machine"]);
    for (words, part) in
        [(&["--bring"][..], "`--bring` has no meaning with `--on netns`"), (&["--slurm", "time=1"], "`--slurm` has")]
    {
        place.run(&[&["run", "test.yaml", "--on", "netns"], words].concat()).expect(2).complains(&[part]);
    }
    refused("slrum").complains(&["expected `slurm`, `netns` or `ssh:ROLE=HOST,ROLE=HOST+HOST`", "did you mean `slurm`?"]);
    let place = Place::with("experiment: test\nworkloads: {w: {command: ['true'], load: {closed: {connections: 1}, amount: 1}}}");
    place.run(&ON_NETNS).expect(2).complains(&["the scenario has no `hosts`"]);
    // What would ask the wrong machine is found, too.
    let place = Place::with(&TWO.replace("${hosts.server.address}", "127.0.0.1"));
    if may_make_namespaces() {
        let outcome = place.run(&ON_NETNS).expect(2);
        outcome.complains(&["`web` is not on the machine of `users`, which asks 127.0.0.1:", "${hosts.server.address}:"]);
        place.assert_cleared(CLEARED);
    }
    // A machine without a connection would have passes that nobody makes.
    let few = "load: {closed: {connections: 1}, amount: 200}";
    let place = Place::with(&TWO.replace("load: {open: {rate: 400/s, arrivals: poisson}, duration: 1s}", few));
    if may_make_namespaces() {
        place.run(&ON_NETNS).expect(2).complains(&["1 connections for 2 threads on 2 machines"]);
    }
    // Without `--on` all roles are this machine.
    place.run(&["run", "test.yaml", "--no-graphs"]).expect(0);
}

// ---- over SSH

/// Three machines, each a namespace with an SSH server of its own; this one reaches them over a bridge.
struct Machines {
    folder: PathBuf,
    bridge: String,
    names: Vec<String>,
    subnet: String,
    servers: Vec<Started>,
    hidden: Vec<PathBuf>,
}

impl Machines {
    /// None where that is not possible.
    fn start(place: &mut Place) -> Option<Self> {
        Self::start_without(place, &[])
    }

    /// The same, where the second and the third do not have some folders of this machine.
    fn start_without(place: &mut Place, hidden: &[&str]) -> Option<Self> {
        if !may_make_namespaces() {
            return None;
        }
        if !Path::new("/usr/sbin/sshd").exists() || !Path::new("/usr/bin/ssh").exists() {
            eprintln!("SKIPPED: an SSH server is not installed (tests/needs.sh installs it)");
            return None;
        }
        let id = std::process::id();
        let (folder, bridge, subnet) = (place.path("ssh"), format!("ssh{id}"), format!("10.78.{}", id % 250));
        let names: Vec<String> = (1..=3).map(|n| format!("ssh{id}n{n}")).collect();
        std::fs::create_dir_all(folder.join("bin")).unwrap();
        std::fs::create_dir_all("/run/sshd").unwrap();
        for key in ["host", "user"] {
            let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(folder.join(key)).output();
            assert!(made.unwrap().status.success());
        }
        std::fs::copy(folder.join("user.pub"), folder.join("authorized")).unwrap();
        let mut script =
            format!("ip link add {bridge} type bridge; ip addr add {subnet}.254/24 dev {bridge}; ip link set {bridge} up\n");
        let host_key = std::fs::read_to_string(folder.join("host.pub")).unwrap();
        let (mut config, mut known) = (String::new(), String::new());
        for (n, name) in (1..).zip(&names) {
            script += &format!(
                "ip netns add {name}; ip link add {bridge}v{n} type veth peer name eth0 netns {name}
                ip link set {bridge}v{n} master {bridge} up; ip -n {name} addr add {subnet}.{n}/24 dev eth0
                ip -n {name} link set eth0 up; ip -n {name} link set lo up\n"
            );
            config += &format!("Host m{n}\n  HostName {subnet}.{n}\n");
            known += &format!("{subnet}.{n} {host_key}");
        }
        let made = Command::new("sh").args(["-ec", &script]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let show = |name: &str| folder.join(name).display().to_string();
        config += &format!(
            "Host *\n  User root\n  IdentityFile {}\n  IdentitiesOnly yes\n  UserKnownHostsFile {}\n  StrictHostKeyChecking yes\n",
            show("user"),
            show("known")
        );
        std::fs::write(folder.join("config"), config).unwrap();
        std::fs::write(folder.join("known"), known).unwrap();
        // The user's own configuration is not asked.
        let ssh = format!("#!/bin/sh\nexec /usr/bin/ssh -F {} \"$@\"\n", show("config"));
        executable(&folder.join("bin/ssh"), ssh.as_bytes());
        let hidden = hidden.iter().map(|name| place.path(name)).collect();
        let mut machines = Self { folder, bridge, names, subnet, servers: Vec::new(), hidden };
        for n in 1..=3 {
            machines.serve(place, n);
        }
        Some(machines)
    }

    /// Starts the SSH server of a machine, on which `runner` is what is in its folder `bin<n>`.
    fn serve(&mut self, place: &Place, n: usize) {
        let show = |name: &str| self.folder.join(name).display().to_string();
        let (bin, home) = (self.folder.join(format!("bin{n}")), self.folder.join(format!("home{n}")));
        for folder in [&bin, &home] {
            std::fs::create_dir_all(folder).unwrap();
        }
        std::os::unix::fs::symlink(runner().get_program(), bin.join("runner")).unwrap();
        let scratch = home.join("scratch");
        let environment = format!(
            "PATH={}:/usr/bin:/bin HOME={} RUNNER_SCRATCH={} RUNNER_TEST_PLACE={}",
            bin.display(),
            home.display(),
            scratch.display(),
            place.path("").display().to_string().trim_end_matches('/')
        );
        let conf = format!(
            "Port 22\nListenAddress {}.{n}\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPidFile none\n\
             PasswordAuthentication no\nSetEnv {environment}\n",
            self.subnet,
            show("host"),
            show("authorized")
        );
        let file = self.folder.join(format!("sshd{n}.conf"));
        std::fs::write(&file, conf).unwrap();
        let hide = self.hidden.iter().filter(|_| n > 1).map(|folder| format!("mount -t tmpfs none {} && ", folder.display()));
        let inside = format!("{}exec /usr/sbin/sshd -D -e -f {}", hide.collect::<String>(), file.display());
        let mut command = Command::new("ip");
        self.servers.push(Started::spawn(command.args(["netns", "exec", &self.names[n - 1], "sh", "-c", &inside])));
        let address = format!("{}.{n}:22", self.subnet).parse().unwrap();
        within(Duration::from_secs(10), "an SSH server listens", || {
            std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok().map(drop)
        });
    }

    fn run(&self, place: &Place, words: &[&str]) -> Started {
        self.run_file(place, "test.yaml", words)
    }

    fn run_file(&self, place: &Place, file: &str, words: &[&str]) -> Started {
        let mut command = place.runner();
        let path = format!("{}:/usr/bin:/bin", self.folder.join("bin").display());
        Started::spawn(command.args(["run", file, "--no-graphs"]).args(words).env("PATH", path))
    }

    /// What is in the scratch directories of all machines.
    fn scratch(&self) -> Vec<String> {
        let of = |n| crate::support::listing(&self.folder.join(format!("home{n}/scratch")));
        (1..=3).flat_map(of).collect()
    }

    /// Cuts a machine off, or connects it again.
    fn connect(&self, n: usize, state: &str) {
        let device = format!("{}v{n}", self.bridge);
        assert!(Command::new("ip").args(["link", "set", &device, state]).status().unwrap().success());
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        for server in &self.servers {
            server.signal(Signal::KILL);
        }
        for name in &self.names {
            let pids = Command::new("ip").args(["netns", "pids", name]).output().unwrap();
            for pid in String::from_utf8_lossy(&pids.stdout).lines().filter_map(|line| line.parse().ok()) {
                if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                    let _ = rustix::process::kill_process(pid, Signal::KILL);
                }
            }
            let _ = Command::new("ip").args(["netns", "del", name]).output();
        }
        let _ = Command::new("ip").args(["link", "del", &self.bridge]).output();
    }
}

fn executable(path: &Path, content: &[u8]) {
    use std::os::unix::fs::PermissionsExt as _;
    let _ = std::fs::remove_file(path);
    std::fs::write(path, content).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

const ON_SSH: [&str; 2] = ["--on", "ssh:server=m1,clients=m2+m3"];

#[test]
fn over_ssh_a_clock_that_is_wrong_is_known_within_its_bound() {
    let mut place = Place::with(TWO);
    let Some(machines) = Machines::start(&mut place) else { return };
    let wrong = format!("#!/bin/sh\nexec {} \"$@\" --clock 500ms,200ppm\n", runner().get_program().to_str().unwrap());
    executable(&machines.folder.join("bin3/runner"), wrong.as_bytes());
    machines.run(&place, &ON_SSH).wait_within(Duration::from_secs(60)).expect(0);
    let status = place.status("all/run1");
    let host = |name: &str| {
        let all = status["hosts"].as_array().unwrap();
        all.iter().find(|host| host["name"] == name).unwrap_or_else(|| panic!("{status}"))
    };
    let of = |name: &str, key: &str| host(name)[key].as_i64().unwrap();
    // All are one machine, so the truth is known: 0, and 500 ms that grow by 0.2 ms each second.
    for name in ["server m1", "clients m2"] {
        assert!(of(name, "offset_before_ns").unsigned_abs() <= of(name, "offset_bound_ns") as u64, "{status}");
    }
    let (before, after, bound) =
        (of("clients m3", "offset_before_ns"), of("clients m3", "offset_after_ns"), of("clients m3", "offset_bound_ns"));
    let seconds = 30;
    assert!(before >= 500_000_000 - bound && before <= 500_000_000 + seconds * 200_000 + bound, "{status}");
    assert!(after - before <= 2_000_000 + 2 * bound && after - before >= 200_000 - 2 * bound, "{status}");
    let skew = status["start"]["skew_ns"].as_u64().unwrap();
    assert!(skew < 1_000_000 + status["start"]["bound_ns"].as_u64().unwrap(), "{status}");
    // By the wall clock, which is right on all of them, the instants from which times count are one.
    let events = std::fs::read_to_string(place.run_directory("test").join("cells/all/run1/events.jsonl")).unwrap();
    let began = events.lines().map(|line| serde_json::from_str::<Json>(line).unwrap()).filter(|e| e["event"] == "load-begins");
    let unix: Vec<u64> = began.map(|event| event["unix_ns"].as_u64().unwrap()).collect();
    let apart = unix.iter().max().unwrap() - unix.iter().min().unwrap();
    assert!(apart < 1_000_000 + 2 * bound as u64, "{apart} ns apart, bound {bound}");
    place.assert_cleared(CLEARED);
    assert_eq!(machines.scratch(), [""; 0]);
}

#[test]
fn over_ssh_what_keeps_a_machine_from_taking_part_is_told() {
    let mut place = Place::with(TWO);
    let Some(machines) = Machines::start(&mut place) else { return };
    let refused = |words: &[&str]| -> Outcome { machines.run(&place, words).wait_within(Duration::from_secs(60)).expect(1) };
    // No runner there.
    std::fs::remove_file(machines.folder.join("bin2/runner")).unwrap();
    refused(&ON_SSH).complains(&["the machine clients m2 cannot take part", "runner: not found"]);
    // Another version: a byte more is another program.
    let mut other = std::fs::read(runner().get_program()).unwrap();
    other.push(0);
    executable(&machines.folder.join("bin2/runner"), &other);
    refused(&ON_SSH).complains(&["clients m2", "its runner is another one", "`--bring`"]);
    // What is copied there is the same.
    let words = [&ON_SSH[..], &["--bring"]].concat();
    machines.run(&place, &words).wait_within(Duration::from_secs(90)).expect(0);
    let brought = machines.folder.join("home2/.cache/runner/agents");
    assert_eq!(crate::support::files(&brought).len(), 2, "runner and its fixtures");
    // A host key that nobody knows.
    let known = std::fs::read_to_string(machines.folder.join("known")).unwrap();
    let fewer: String =
        known.lines().filter(|line| !line.starts_with(&format!("{}.2 ", machines.subnet))).map(|l| format!("{l}\n")).collect();
    std::fs::write(machines.folder.join("known"), fewer).unwrap();
    refused(&words).complains(&["the machine m2 cannot take part", "Host key verification failed"]);
    std::fs::write(machines.folder.join("known"), known).unwrap();
    // No permission.
    std::fs::write(machines.folder.join("authorized"), "").unwrap();
    refused(&ON_SSH).complains(&["cannot take part", "Permission denied"]);
    // Nobody there.
    refused(&["--on", &format!("ssh:server={}.77,clients=m2+m3", machines.subnet)]).complains(&["cannot take part"]);
    assert_eq!(crate::support::listing(&place.path("results/test")).len(), 1, "only what was executed has a directory");
    assert_eq!(machines.scratch(), [""; 0]);
}

#[test]
fn a_machine_that_is_cut_off_clears_up_and_the_repetition_is_executed_again() {
    let mut place = Place::with(LONG);
    let Some(machines) = Machines::start(&mut place) else { return };
    let mut started = machines.run(&place, &ON_SSH);
    until_served(&mut started, &place);
    machines.connect(1, "down");
    let cut = Instant::now();
    // The machine that nobody speaks to any more clears up by itself.
    let server = || place.processes().into_iter().filter(|p| p.command.contains("null-server --port")).count();
    within(Duration::from_secs(14), "the server of the machine has ended", || (server() == 0).then_some(()));
    assert!(cut.elapsed() > Duration::from_secs(7), "{:?}: it waits for its controller", cut.elapsed());
    machines.connect(1, "up");
    let outcome = started.wait_within(Duration::from_secs(90)).expect(0);
    outcome.complains(&["server m1 is lost", "the repetition is executed again"]);
    assert_eq!(place.status("all/run1")["verdict"]["is"], "valid");
    place.assert_cleared(Duration::from_secs(12));
    assert_eq!(machines.scratch(), [""; 0]);
}

#[test]
fn a_machine_whose_disk_is_full_is_named() {
    let mut place = Place::with(&TWO.replace("rate: 400/s, arrivals: poisson", "rate: 20000/s"));
    if !may_make_namespaces() {
        return;
    }
    // The server's own view of file systems is that of its start.
    let scratch = place.path("ssh/home2/scratch");
    std::fs::create_dir_all(&scratch).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=100k", "none"]).arg(&scratch).status().unwrap();
    assert!(mounted.success());
    let Some(machines) = Machines::start(&mut place) else { return };
    let outcome = machines.run(&place, &ON_SSH).wait_within(Duration::from_secs(60));
    let said = format!("{}{}", outcome.stdout, outcome.stderr);
    assert!(Command::new("umount").arg("-l").arg(&scratch).status().unwrap().success());
    assert!(matches!(outcome.code, Some(1 | 4)), "{said}");
    assert!(said.contains("clients m2") && said.contains("No space left on device"), "{said}");
}

#[test]
fn what_a_scenario_names_is_brought_to_machines_that_do_not_have_it() {
    let mut place = Place::new();
    for folder in ["experiments/conf/more", "bodies"] {
        std::fs::create_dir_all(place.path(folder)).unwrap();
    }
    place.write("bodies/data.txt", "twenty bytes of data");
    // What a folder holds is brought with it, and a script that is an argument.
    place.write("experiments/conf/more/words", "from a folder");
    place.write("experiments/say.sh", "cat conf/more/words");
    place.write(
        "experiments/test.yaml",
        "
experiment: test
hosts: {server: {}, clients: {count: 2}}
env: {WORD: {default: none}, TOKEN: {secret: true}}
set-up:
  repetition:
    - {on: server, command: [cat, more/words], dir: conf}
    - {on: server, command: [sh, say.sh]}
targets:
  web: {on: server, fixture: blobs-server, port: 8000, args: [--dir, '${scratch}/blobs'], ready: {http: /}}
workloads:
  users:
    on: clients
    url: http://${hosts.server.address}:8000
    load: {closed: {connections: 2}, amount: 20}
    steps:
      - {put: '/blobs/${env.WORD}/${id}', headers: {token: '${env.TOKEN}'}, body: {file: ../bodies/data.txt}}
      - {get: '/blobs/${env.WORD}/${id}', expect: {length: 20, text: twenty bytes of data}}
",
    );
    let Some(machines) = Machines::start_without(&mut place, &["experiments", "bodies"]) else { return };
    // The file is not there, and would be another one: what is here counts.
    let mut command = place.runner();
    let path = format!("{}:/usr/bin:/bin", machines.folder.join("bin").display());
    let words = ["run", "experiments/../experiments/test.yaml", "--no-graphs"];
    command.args(words).args(ON_SSH).env("PATH", path).env("WORD", "given").env("TOKEN", "hush-hush");
    Started::spawn(&mut command).wait_within(Duration::from_secs(60)).expect(0);
    let status = place.status("all/run1");
    let logs = place.run_directory("test").join("cells/all/run1/logs");
    for step in ["set-up-repetition-1.out", "set-up-repetition-2.out"] {
        assert_eq!(std::fs::read_to_string(logs.join(step)).unwrap(), "from a folder");
    }
    assert_eq!(status["phases"][0]["passes"].as_u64(), Some(20), "{status}");
    assert_eq!(status["reconciled"][0]["seen"].as_u64(), Some(40), "{status}");
    // The secret is nowhere in the results, and the variables were those of this machine.
    for file in crate::support::files(&place.path("results")) {
        let content = std::fs::read(place.path("results").join(&file)).unwrap();
        assert!(!String::from_utf8_lossy(&content).contains("hush-hush"), "{file}");
    }
    assert!(std::fs::read_to_string(place.run_directory("test").join("plan.json")).unwrap().contains("/blobs/given/"));
    assert_eq!(machines.scratch(), [""; 0]);
}

#[test]
fn a_machine_that_is_wanted_back_gives_its_repetition_up() {
    if !may_make_namespaces() {
        return;
    }
    let place = Place::with(LONG);
    let started = under_way(&place);
    // As a batch system does when the time is up.
    place.process(&own_namespaces(&place)[1]).signal(Signal::TERM);
    let outcome = started.wait().expect(0);
    outcome.complains(&["clients-1 is lost", "the repetition is executed again"]);
    assert_eq!(place.status("all/run1")["verdict"]["is"], "valid");
    place.assert_cleared(CLEARED);
}

#[test]
fn a_machine_that_does_not_come_back_ends_the_run_and_resume_goes_on() {
    if !may_make_namespaces() {
        return;
    }
    let place = Place::with(&LONG.replace("duration: 3s", "duration: 1s").replace("hosts:", "repetitions: 3\nhosts:"));
    let mut started = place.start(&ON_NETNS);
    let run = started.until("a repetition is complete", || {
        let run = std::fs::read_dir(place.path("results/test")).ok()?.flatten().next()?.path();
        run.join("cells/all/run1/status.json").exists().then_some(run)
    });
    // As an allocation whose time is up: the machine is gone, and so is the way to it.
    let namespace = own_namespaces(&place)[1].clone();
    assert!(Command::new("ip").args(["netns", "del", &namespace]).status().unwrap().success());
    place.process(&namespace).signal(Signal::KILL);
    let outcome = started.wait_within(Duration::from_secs(90)).expect(1);
    outcome.complains(&["is gone, and cannot be had again", "continue with: runner resume"]);
    place.assert_cleared(CLEARED);
    place.run(&["resume", run.to_str().unwrap(), "--no-graphs"]).expect(0);
    for n in 1..=3 {
        assert_eq!(place.status(&format!("all/run{n}"))["verdict"]["is"], "valid");
    }
}

/// What the controller finds in an answer, users who log in on both machines, and rows that go to arrivals wherever they are sent.
const USERS: &str = "
experiment: test
hosts: {server: {}, clients: {count: 2}}
limits: {generator-cpu: 100%}
record: {requests: true}
seed: 7
set-up:
  load: [{post: 'http://${hosts.server.address}:8000/login', body: {json: {name: all, password: x}}, carry: {token: {json: /token}}}]
targets:
  shop: {on: server, fixture: shop, port: 8000}
workloads:
  users:
    on: clients
    url: http://${hosts.server.address}:8000
    load: {open: {rate: 400/s, connections: 4}, amount: 100}
    draw: {u: {rows: users.csv, order: unique}}
    cookies: user
    user: [{name: log-in, post: /login, body: {json: {name: 'u${connection}', password: x}}}]
    steps:
      - {get: /cart, expect: {contains: items}}
      - {name: in, post: /login, body: {json: {name: '${u.name}', password: x}}, carry: {mine: {json: /token}}}
  found:
    on: clients
    url: http://${hosts.server.address}:8000
    load: {closed: {connections: 2}, amount: 20}
    steps: [{get: /cart, headers: {authorization: 'Bearer ${token}'}, expect: {contains: '\"user\":\"all\"'}}]
";

#[test]
fn users_rows_and_what_set_up_steps_find_are_the_same_over_several_machines() {
    if !may_make_namespaces() {
        return;
    }
    let mut place = Place::with(USERS);
    place.write("users.csv", &(0..101).fold("name\n".to_owned(), |text, n| format!("{text}n{n}\n")));
    place.run(&ON_NETNS).expect(0);
    let status = place.status("all/run1");
    assert_eq!(status["users"], serde_json::json!([{"workload": "users", "log_ins": 4}]), "{status}");
    let completed: Vec<u64> = status["phases"].as_array().unwrap().iter().map(|p| p["completed"].as_u64().unwrap()).collect();
    assert_eq!(completed, [100, 20], "{status}");
    place.assert_cleared(CLEARED);
}
