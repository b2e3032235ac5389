//! The recipes of docs/how-to/cluster.md, as they stand there: an array of a real Slurm with three nodes on this machine, and GNU
//! parallel.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value as Json;

use crate::support::{Place, Started, json, root, runner, within};

/// A block of code of the recipe that contains these words.
fn block(words: &str) -> String {
    let page = std::fs::read_to_string(root().join("docs/how-to/cluster.md")).unwrap();
    let mut blocks = page.split("```").skip(1).step_by(2).map(|block| block.split_once('\n').unwrap().1.to_owned());
    blocks.find(|block| block.contains(words)).unwrap_or_else(|| panic!("the recipe has no block with `{words}`"))
}

/// The scenario of the recipe, with less to do.
fn scenario() -> String {
    let text = block("experiment: gzip");
    assert!(text.contains("seq 2000000"), "{text}");
    text.replace("seq 2000000", "seq 20000")
}

/// A Slurm of three nodes, which ends with the test.
pub struct Lab {
    folder: PathBuf,
    controller: Started,
    nodes: Vec<Started>,
    /// Namespaces of the nodes, and the bridge between them; empty where all nodes are this machine.
    network: Vec<String>,
}

/// Folders that nodes do not see, so that they share nothing there with this machine.
type Hidden = Vec<PathBuf>;

impl Lab {
    /// All nodes are this machine. None where Slurm is not installed, or may not be started.
    pub fn start(place: &mut Place) -> Option<Self> {
        Self::start_on(place, &[], &Vec::new())
    }

    /// Each node has a network and a `/tmp` of its own, and sees neither this folder of the place nor runner's executables.
    pub fn start_far(place: &mut Place, hidden: &str) -> Option<Self> {
        let executables = PathBuf::from(runner().get_program()).parent().unwrap().to_owned();
        let hidden = vec![PathBuf::from("/tmp"), place.path(hidden), executables];
        Self::start_on(place, &Self::network(), &hidden)
    }

    fn network() -> Vec<String> {
        let id = std::process::id();
        (1..=3).map(|n| format!("lab{id}n{n}")).chain([format!("lab{id}")]).collect()
    }

    /// Each node has a network of its own, so that they can use the same ports.
    pub fn start_apart(place: &mut Place) -> Option<Self> {
        Self::start_on(place, &Self::network(), &Vec::new())
    }

    fn start_on(place: &mut Place, network: &[String], hidden: &Hidden) -> Option<Self> {
        let is_there = |program: &str| ["/usr/bin", "/usr/sbin"].iter().any(|folder| Path::new(folder).join(program).exists());
        if !["slurmctld", "slurmd", "sbatch"].into_iter().all(is_there) {
            eprintln!("SKIPPED: Slurm is not installed (tests/needs.sh installs it)");
            return None;
        }
        if !rustix::process::getuid().is_root() {
            eprintln!("SKIPPED: nodes of Slurm are started by root only");
            return None;
        }
        let folder = place.path("lab");
        for part in ["state", "spool/n1", "spool/n2", "spool/n3", "log"] {
            std::fs::create_dir_all(folder.join(part)).unwrap();
        }
        let subnet = format!("10.77.{}", std::process::id() % 250);
        let host = String::from_utf8(Command::new("hostname").output().unwrap().stdout).unwrap();
        let mut conf = CONF.replace("LAB", folder.to_str().unwrap());
        if network.is_empty() {
            conf += "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny\nSlurmctldHost=HOST(127.0.0.1)\n";
        } else {
            conf += &format!("SlurmctldHost=HOST({subnet}.254)\n");
        }
        for n in 1..=3 {
            let (host, address) = match network.is_empty() {
                true => ("HOST".to_owned(), "127.0.0.1".to_owned()),
                false => (format!("host{n}"), format!("{subnet}.{n}")),
            };
            let port = format!("PORT{}", n + 2);
            conf += &format!(
                "NodeName=n{n} NodeHostname={host} NodeAddr={address} Port={port} CPUs=2 RealMemory=2000 State=UNKNOWN\n"
            );
        }
        conf += "PartitionName=lab Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n";
        let conf = place.write("lab/slurm.conf", &conf.replace("HOST", host.trim()));
        if let [names @ .., bridge] = network {
            let mut script =
                format!("ip link add {bridge} type bridge; ip addr add {subnet}.254/24 dev {bridge}; ip link set {bridge} up\n");
            for (n, name) in (1..).zip(names) {
                script += &format!(
                    "ip netns add {name}; ip link add {bridge}v{n} type veth peer name eth0 netns {name}
                    ip link set {bridge}v{n} master {bridge} up; ip -n {name} addr add {subnet}.{n}/24 dev eth0
                    ip -n {name} link set eth0 up; ip -n {name} link set lo up\n"
                );
            }
            let made = shell(&folder, &script).output().unwrap();
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        }
        let daemon = |words: &[&str]| {
            let mut command = Command::new(words[0]);
            Started::spawn(command.args(&words[1..]).env("PATH", path()).env("SLURM_CONF", &conf))
        };
        let controller = daemon(&["slurmctld", "-D", "-i"]);
        let node = |n: usize| match network.get(n - 1) {
            None => daemon(&["slurmd", "-D", "-N", &format!("n{n}")]),
            Some(name) => {
                let hide: String = hidden.iter().map(|folder| format!("mount -t tmpfs none {}; ", folder.display())).collect();
                let inside = format!("{hide}hostname host{n}; exec slurmd -D -N n{n}");
                let own = ["unshare", "--uts", "--mount", "--propagation", "private"];
                daemon(&[&["nsenter", &format!("--net=/run/netns/{name}")], &own[..], &["sh", "-c", &inside]].concat())
            }
        };
        let nodes = (1..=3).map(node).collect();
        let lab = Self { folder, controller, nodes, network: network.to_vec() };
        within(Duration::from_secs(60), "three nodes are idle", || {
            let said = lab.run("sinfo", &["-h", "-o", "%t %D"]);
            (String::from_utf8_lossy(&said.stdout).trim() == "idle 3").then_some(())
        });
        Some(lab)
    }

    /// Sets what a program needs to speak to this Slurm.
    pub fn equip(&self, command: &mut Command) {
        command.env("PATH", path()).env("SLURM_CONF", self.folder.join("slurm.conf"));
    }

    /// One of Slurm's programs, which waits for ever where nobody answers.
    pub fn run(&self, program: &str, words: &[&str]) -> Output {
        let mut command = Command::new("timeout");
        self.equip(command.args(["20", program]).args(words));
        command.output().unwrap()
    }

    /// The jobs that are there, one line each.
    pub fn jobs(&self) -> Vec<String> {
        let said = self.run("squeue", &["-h"]);
        // Who is not answered does not know that there is none.
        if !said.status.success() {
            return vec![String::from_utf8_lossy(&said.stderr).into_owned()];
        }
        String::from_utf8_lossy(&said.stdout).lines().map(str::to_owned).collect()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for daemon in self.nodes.iter().chain([&self.controller]) {
            daemon.signal(rustix::process::Signal::KILL);
        }
        // What a node started for its tasks outlives it.
        let mark = format!("SLURM_CONF={}", self.folder.join("slurm.conf").display());
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            let is_ours = environment.split(|b| *b == 0).any(|variable| variable == mark.as_bytes());
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(rustix::process::Pid::from_raw);
            if let Some(pid) = pid.filter(|_| is_ours) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        if let [names @ .., bridge] = &self.network[..] {
            for name in names {
                let _ = Command::new("ip").args(["netns", "del", name]).output();
            }
            let _ = Command::new("ip").args(["link", "del", bridge]).output();
        }
    }
}

/// Where daemons are, and this `runner`.
fn path() -> String {
    let here = PathBuf::from(runner().get_program());
    format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", here.parent().unwrap().display())
}

const CONF: &str = "ClusterName=lab
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
SlurmctldPort=PORT1
SlurmdPort=PORT2
StateSaveLocation=LAB/state
SlurmdSpoolDir=LAB/spool/%n
SlurmctldPidFile=LAB/slurmctld.pid
SlurmdPidFile=LAB/slurmd-%n.pid
SlurmctldLogFile=LAB/log/slurmctld.log
SlurmdLogFile=LAB/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,sched_min_interval=0,bf_interval=1
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
MailProg=/bin/true
KillWait=5
SlurmdTimeout=5
MinJobAge=3600
SlurmdParameters=config_overrides
";

/// What tasks have said.
fn said(place: &Place) -> String {
    let files = crate::support::listing(&place.path("")).into_iter().filter(|name| name.starts_with("slurm-"));
    files.map(|name| format!("{name}: {}", place.lines(&name).join("\n"))).collect()
}

/// Merges all shards; returns the summary.
fn merged(place: &Place) -> Json {
    let mut shards: Vec<String> = std::fs::read_dir(place.path("shards"))
        .unwrap_or_else(|_| panic!("no shard: {}", said(place)))
        .flatten()
        .map(|entry| entry.path().display().to_string())
        .collect();
    shards.sort();
    let shards: Vec<&str> = shards.iter().map(String::as_str).collect();
    place.run(&[&["merge"], &shards[..], &["--no-graphs"]].concat()).expect(0);
    json(&place.run_directory("gzip").join("summary.json"))
}

fn has_all_rounds(summary: &Json) {
    let counts: Vec<u64> =
        summary["cells"].as_array().unwrap().iter().map(|cell| cell["repetitions"]["valid"].as_u64().unwrap()).collect();
    assert_eq!(counts, [8, 8, 8]);
}

fn shell(folder: &Path, script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-ec", script]).current_dir(folder).env("PATH", path());
    command
}

#[test]
fn an_array_of_slurm_executes_shards_which_merge() {
    let mut place = Place::new();
    place.write_as_is("gzip.yaml", &scenario());
    place.write_as_is("job.sh", &block("#SBATCH --array"));
    let Some(lab) = Lab::start(&mut place) else { return };
    let mut submit = Command::new("sbatch");
    lab.equip(submit.arg("job.sh").current_dir(place.path("")));
    let submitted = submit.output().unwrap();
    assert!(submitted.status.success(), "{}", String::from_utf8_lossy(&submitted.stderr));
    within(Duration::from_secs(120), "all tasks have ended", || lab.jobs().is_empty().then_some(()));
    let summary = merged(&place);
    has_all_rounds(&summary);
    let nodes: Vec<&str> = summary["nodes"].as_array().unwrap().iter().map(|node| node["name"].as_str().unwrap()).collect();
    assert_eq!(nodes, ["n1", "n2", "n3"], "each task had a node for itself");
}

#[test]
fn gnu_parallel_executes_shards_which_merge() {
    if !Command::new("parallel").arg("--version").output().is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: GNU parallel is not installed (tests/needs.sh installs it)");
        return;
    }
    let place = Place::new();
    place.write_as_is("gzip.yaml", &scenario());
    // The recipe, without the nodes that are not here.
    let script = block("parallel -S").replace("-S node1,node2,node3 ", "");
    let output = shell(&place.path(""), &script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    has_all_rounds(&merged(&place));
}

// ---- `--on slurm`

/// Two cells, six times; a repetition waits while the file `hold` is there, and writes down on which node it was.
const HELD: &str = "
experiment: held
factors: {kind: [a, b]}
repetitions: 6
workloads:
  tool:
    command: [/bin/sh, -c, 'echo ${kind}${repetition} $SLURMD_NODENAME >> DIR/began; while [ -e DIR/hold ]; do sleep 0.05; done; sleep 0.1']
    load: {closed: {connections: 1}, amount: 1}
";

const ON_TWO: [&str; 7] = ["run", "test.yaml", "--on", "slurm", "--nodes", "2", "--no-graphs"];

fn on_slurm(place: &Place, lab: &Lab, words: &[&str]) -> Command {
    let mut command = place.runner();
    lab.equip(command.args(words));
    command
}

/// The folder with which a message says that a run can be continued.
fn resumable(said: &str) -> String {
    said.split("runner resume ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned()
}

/// A run of [`HELD`] on two nodes that has completed something, and now waits.
fn under_way(place: &mut Place, lab: &Lab) -> Started {
    let mut started = Started::spawn(&mut on_slurm(place, lab, &ON_TWO));
    started.until("something is done", || (place.lines("began").len() >= 4).then_some(()));
    place.write("hold", "");
    started
}

/// A run of [`HELD`] on two nodes, both in a repetition that waits.
fn held(place: &mut Place, lab: &Lab) -> Started {
    place.write("hold", "");
    let mut started = Started::spawn(&mut on_slurm(place, lab, &ON_TWO));
    started.until("two shards are at work", || (place.lines("began").len() == 2).then_some(()));
    started
}

fn began(place: &Place) -> Vec<String> {
    let mut lines: Vec<String> = place.lines("began").iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    lines.sort();
    lines
}

/// All repetitions of the merged run, and that nothing of the job is left.
#[track_caller]
fn is_whole(place: &Place, lab: &Lab) -> Json {
    let run = place.run_directory("held");
    let summary = json(&run.join("summary.json"));
    let counts: Vec<u64> =
        summary["cells"].as_array().unwrap().iter().map(|cell| cell["repetitions"]["valid"].as_u64().unwrap()).collect();
    assert_eq!(counts, [6, 6]);
    within(Duration::from_secs(20), "no job is left", || lab.jobs().is_empty().then_some(()));
    let left: Vec<String> = crate::support::listing(&place.path("results/held"));
    assert_eq!(left, [run.file_name().unwrap().to_str().unwrap()], "only the merged run is left");
    summary
}

const ALL: [&str; 12] = ["a1", "a2", "a3", "a4", "a5", "a6", "b1", "b2", "b3", "b4", "b5", "b6"];

#[test]
fn a_run_on_slurm_is_the_run_that_it_would_be_alone() {
    let mut place = Place::with(HELD);
    let Some(lab) = Lab::start(&mut place) else { return };
    let started = Started::spawn(&mut on_slurm(&place, &lab, &["run", "test.yaml", "--on", "slurm", "--no-graphs"]));
    let outcome = started.wait_within(Duration::from_secs(120)).expect(0);
    let summary = is_whole(&place, &lab);
    assert_eq!(began(&place), ALL, "each once");
    let nodes: Vec<&str> = summary["nodes"].as_array().unwrap().iter().map(|node| node["name"].as_str().unwrap()).collect();
    assert_eq!(nodes, ["n1", "n2", "n3"]);
    assert!(outcome.stderr.contains("3 shards as job") && outcome.stderr.contains("[12/12]"), "{}", outcome.stderr);
}

#[test]
fn an_interrupt_cancels_the_job_and_resume_continues_it() {
    let mut place = Place::with(HELD);
    let Some(lab) = Lab::start(&mut place) else { return };
    let started = held(&mut place, &lab);
    started.signal(rustix::process::Signal::INT);
    let outcome = started.wait_within(Duration::from_secs(60)).expect(130);
    within(Duration::from_secs(20), "no job is left", || lab.jobs().is_empty().then_some(()));
    let folder = resumable(&outcome.stderr);
    std::fs::remove_file(place.path("hold")).unwrap();
    let resumed = Started::spawn(&mut on_slurm(&place, &lab, &["resume", &folder, "--no-graphs"]));
    resumed.wait_within(Duration::from_secs(120)).expect(0);
    is_whole(&place, &lab);
}

#[test]
fn a_submitter_that_is_killed_leaves_no_job_and_one_that_detaches_leaves_it() {
    let mut place = Place::with(HELD);
    let Some(lab) = Lab::start(&mut place) else { return };
    let started = held(&mut place, &lab);
    started.signal(rustix::process::Signal::KILL);
    started.wait();
    within(Duration::from_secs(30), "no job is left", || lab.jobs().is_empty().then_some(()));
    let output = on_slurm(&place, &lab, &[&ON_TWO[..], &["--detach"]].concat()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("submitted as job"), "{said}");
    within(Duration::from_secs(30), "it is at work", || (place.lines("began").len() == 4).then_some(()));
    assert_eq!(lab.jobs().len(), 2);
    std::fs::remove_file(place.path("hold")).unwrap();
    let folder = resumable(&said);
    let resumed = Started::spawn(&mut on_slurm(&place, &lab, &["resume", &folder, "--no-graphs"]));
    resumed.wait_within(Duration::from_secs(120)).expect(0);
    // What was submitted by the one that was killed can be continued, too.
    let left = crate::support::listing(&place.path("results/held"));
    let [continued, run] = &left[..] else { panic!("{left:?}") };
    assert!(continued.ends_with(".shards"), "{left:?}");
    let run = place.path("results/held").join(run);
    assert_eq!(json(&run.join("summary.json"))["nodes"].as_array().unwrap().len(), 2);
}

#[test]
fn a_task_that_is_lost_is_executed_again_and_continues() {
    let mut place = Place::with(HELD);
    let Some(lab) = Lab::start(&mut place) else { return };
    let mut started = under_way(&mut place, &lab);
    let before = place.lines("began").len();
    started.until("both are in a repetition", || (place.lines("began").len() <= before + 2).then_some(()));
    // Somebody else's mistake on a node: the runner of a task is killed, with its guard. It is one that is not done.
    let held = place.process("/bin/sh -c echo").ancestor(" --shard ");
    let shard =
        held.command.split(" --shard ").nth(1).and_then(|behind| behind.split('/').next()).expect("its number").to_owned();
    let mut all = place.processes().into_iter();
    let task =
        all.find(|process| process.command.contains(&format!("--shard {shard}/2")) && process.command.contains("runner run"));
    task.expect("the runner of that shard").signal(rustix::process::Signal::KILL);
    let ended = format!("shard {shard} ended on");
    within(Duration::from_secs(30), "it is told", || started.said()[1].contains(&ended).then_some(()));
    std::fs::remove_file(place.path("hold")).unwrap();
    let outcome = started.wait_within(Duration::from_secs(120)).expect(0);
    assert!(outcome.stderr.contains("submitting again"), "{}", outcome.stderr);
    is_whole(&place, &lab);
    // What was complete was not executed again: at most the one that was killed.
    assert!(place.lines("began").len() <= 13, "{:?}", place.lines("began"));
}

#[test]
fn a_task_that_somebody_cancels_is_not_submitted_again_and_resume_continues_it() {
    let mut place = Place::with(HELD);
    let Some(lab) = Lab::start(&mut place) else { return };
    let started = under_way(&mut place, &lab);
    let job = lab.jobs()[0].trim().split(['_', ' ']).next().unwrap().to_owned();
    assert!(lab.run("scancel", &[&format!("{job}_2")]).status.success());
    within(Duration::from_secs(60), "it is told", || started.said()[1].contains("shard 2 was cancelled").then_some(()));
    std::fs::remove_file(place.path("hold")).unwrap();
    // What there is, is merged; what is missing is told.
    let outcome = started.wait_within(Duration::from_secs(120)).expect(4);
    let folder = resumable(&outcome.stderr);
    let resumed = Started::spawn(&mut on_slurm(&place, &lab, &["resume", &folder, "--no-graphs"]));
    resumed.wait_within(Duration::from_secs(120)).expect(0);
    assert!(place.lines("began").len() <= 14, "what was complete was not executed again: {:?}", place.lines("began"));
    let whole = crate::support::listing(&place.path("results/held")).pop().unwrap();
    let summary = json(&place.path("results/held").join(whole).join("summary.json"));
    assert!(summary["cells"].as_array().unwrap().iter().all(|cell| cell["repetitions"]["valid"] == 6), "{}", summary["cells"]);
    within(Duration::from_secs(20), "no job is left", || lab.jobs().is_empty().then_some(()));
}

#[test]
fn a_node_that_goes_down_loses_no_completed_repetition() {
    let mut place = Place::with(HELD);
    let Some(lab) = Lab::start(&mut place) else { return };
    let started = under_way(&mut place, &lab);
    // Its daemon is gone, with all that it has started: Slurm gives the task to another node.
    let of_node = |n: usize| {
        let node = format!("SLURMD_NODENAME=n{n}");
        place.processes().into_iter().filter(move |process| {
            let environment = std::fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
            environment.split(|b| *b == 0).any(|variable| variable == node.as_bytes())
        })
    };
    let used = (1..=3).find(|n| of_node(*n).next().is_some()).expect("a node is at work");
    lab.nodes[used - 1].signal(rustix::process::Signal::KILL);
    of_node(used).for_each(|process| process.signal(rustix::process::Signal::KILL));
    within(Duration::from_secs(90), "the node is down", || {
        let said = lab.run("sinfo", &["-h", "-N", "-n", &format!("n{used}"), "-o", "%t"]);
        String::from_utf8_lossy(&said.stdout).trim().starts_with("down").then_some(())
    });
    std::fs::remove_file(place.path("hold")).unwrap();
    started.wait_within(Duration::from_secs(180)).expect(0);
    is_whole(&place, &lab);
    assert!(place.lines("began").len() <= 14, "what was complete was not executed again: {:?}", place.lines("began"));
}

#[test]
fn a_controller_that_stops_answering_does_not_stop_the_run() {
    let mut place = Place::with(HELD);
    let Some(lab) = Lab::start(&mut place) else { return };
    let started = held(&mut place, &lab);
    lab.controller.signal(rustix::process::Signal::STOP);
    within(Duration::from_secs(30), "Slurm does not answer", || {
        started.said()[1].contains("Slurm does not answer").then_some(())
    });
    std::fs::remove_file(place.path("hold")).unwrap();
    started.wait_within(Duration::from_secs(120)).expect(0);
    lab.controller.signal(rustix::process::Signal::CONT);
    is_whole(&place, &lab);
}

#[test]
fn what_slurm_refuses_is_said_and_nothing_is_left() {
    let mut place = Place::with(HELD);
    // Without Slurm's configuration its programs find nobody.
    let without = |place: &Place, words: &[&str]| {
        let mut command = place.runner();
        command.args(words).env("PATH", "/nowhere").output().unwrap()
    };
    let words = ["run", "test.yaml", "--on", "slurm", "--no-graphs"];
    let output = without(&place, &words);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("Slurm is not installed here"), "{said}");
    let output = place.runner().args(words).env_remove("SLURM_CONF").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let is_there = Path::new("/usr/bin/sinfo").exists();
    assert!(!is_there || said.contains("Slurm is installed here but not configured"), "{said}");
    for (more, part) in [
        (&["--slurm", "array=1-9"][..], "runner sets `array` itself"),
        (&["--slurm", "a b"], "expected options of sbatch"),
        (&["--nodes", "0"], "expected at least 1"),
    ] {
        let outcome = place.run(&[&words[..], more].concat()).expect(2);
        assert!(outcome.stderr.contains(part), "{}", outcome.stderr);
    }
    let Some(lab) = Lab::start(&mut place) else { return };
    let output =
        on_slurm(&place, &lab, &[&words[..], &["--slurm", "partition=nowhere", "--nodes", "2"]].concat()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("invalid partition") && said.contains("nothing was submitted"), "{said}");
    lab.controller.signal(rustix::process::Signal::STOP);
    let output = on_slurm(&place, &lab, &words).output().unwrap();
    lab.controller.signal(rustix::process::Signal::CONT);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("Slurm does not answer: `sinfo` took more than 5 s"), "{said}");
    assert!(crate::support::listing(&place.path("results/held")).is_empty());
}

// ---- nodes that share nothing with this machine

/// What nodes do not see is in this folder.
const FAR: &str = "here-only";

/// [`HELD`], with a script and a server, which no node has.
fn start_far(place: &mut Place) -> Option<Lab> {
    std::fs::create_dir(place.path(FAR)).unwrap();
    let server = "targets: {web: {fixture: null-server, port: 8000}}\nenv: {WORD: {default: none}}\n";
    let client = "  web: {url: 'http://127.0.0.1:8000', load: {closed: {connections: 1}, amount: 10}, steps: [{get: /}]}\n";
    let held =
        HELD.replace("/bin/sh, -c, 'echo ${kind}${repetition} ", "/bin/sh, tool.sh, '${kind}${repetition}', '${env.WORD}'] #'");
    place.write(&format!("{FAR}/test.yaml"), &held.replace("workloads:\n", &format!("{server}workloads:\n{client}")));
    let script = "echo $1 $SLURMD_NODENAME $2 >> DIR/began; while [ -e DIR/hold ]; do sleep 0.05; done; sleep 0.1\n";
    place.write(&format!("{FAR}/tool.sh"), script);
    Lab::start_far(place, FAR)
}

fn bring(place: &Place, lab: &Lab, words: &[&str]) -> Started {
    let mut command = place.runner();
    lab.equip(command.args(words).arg("--no-graphs").current_dir(place.path(FAR)).env("WORD", "given"));
    Started::spawn(&mut command)
}

const BRING: [&str; 6] = ["run", "test.yaml", "--on", "slurm", "--bring", "--nodes"];

/// All of it is merged, as if it had been executed here, and nothing is left.
#[track_caller]
fn is_home(place: &Place, lab: &Lab) -> Json {
    let folder = place.path(FAR).join("results/held");
    let left = crate::support::listing(&folder);
    let [run] = &left[..] else { panic!("only the merged run is left: {left:?}") };
    let run = folder.join(run);
    let summary = json(&run.join("summary.json"));
    for cell in summary["cells"].as_array().unwrap() {
        assert_eq!(executed(cell), 6, "{cell}");
    }
    // Paths are those of this machine, except for the command that was executed there.
    assert!(!std::fs::read_to_string(run.join("plan.json")).unwrap().contains("/tmp/runner-"));
    let manifest = json(&run.join("manifest.json"));
    assert_eq!(manifest["source"], place.path(FAR).join("test.yaml").to_str().unwrap());
    assert_eq!(manifest["directory"], place.path(FAR).to_str().unwrap());
    within(Duration::from_secs(20), "no job is left", || lab.jobs().is_empty().then_some(()));
    summary
}

#[test]
fn nodes_that_share_nothing_get_what_they_need_and_results_come_home() {
    let mut place = Place::new();
    let Some(lab) = start_far(&mut place) else { return };
    // Without being told so, nothing is there.
    let outcome =
        bring(&place, &lab, &["run", "test.yaml", "--on", "slurm", "--nodes", "2"]).wait_within(Duration::from_secs(90));
    outcome.expect(1).complains(&["do the nodes share the files of this machine? `--bring`"]);
    std::fs::remove_dir_all(place.path(FAR).join("results")).unwrap();
    let mut started = bring(&place, &lab, &[&BRING[..], &["2"]].concat());
    // Each node has a whole round behind it, and none has done all of its own.
    let begun_on = |node: &str| place.lines("began").iter().filter(|line| line.contains(node)).count();
    started.until("each has done a round", || ["n1", "n2"].iter().all(|node| begun_on(node) >= 3).then_some(()));
    place.write("hold", "");
    // What is whole is here before the run ends.
    let home = place.path(FAR).join("results/held");
    let is_whole = |file: &String| file.ends_with("/status.json") && !file.contains(".arriving");
    let arrived = || crate::support::files(&home).iter().filter(|file| is_whole(file)).count();
    let before = within(Duration::from_secs(20), "repetitions are here", || Some(arrived()).filter(|n| *n >= 2));
    // An agent at work is killed, with all that it has: its shard continues with what is here. One that has done all of its
    // shard waits for its end, and nobody would miss it.
    place.process("sh tool.sh").ancestor(" agent --brought").signal(rustix::process::Signal::KILL);
    within(Duration::from_secs(40), "it is told", || started.said()[1].contains("submitting again").then_some(()));
    std::fs::remove_file(place.path("hold")).unwrap();
    let outcome = started.wait_within(Duration::from_secs(120)).expect(0);
    let summary = is_home(&place, &lab);
    // A round that was continued on another node is a block of its own.
    assert!((2..=3).contains(&summary["nodes"].as_array().unwrap().len()), "{}", summary["nodes"]);
    let began = place.lines("began");
    let said = &outcome.stderr;
    assert!(before >= 2 && began.len() <= 14, "what was complete was not executed again: {began:?}\n{said}");
    assert!(began.iter().all(|line| line.ends_with(" given")), "{began:?}");
}

#[test]
fn what_nodes_that_share_nothing_completed_before_an_interrupt_is_kept_and_continued() {
    let mut place = Place::new();
    let Some(lab) = start_far(&mut place) else { return };
    let mut started = bring(&place, &lab, &[&BRING[..], &["2"]].concat());
    started.until("something is done", || (place.lines("began").len() >= 6).then_some(()));
    started.signal(rustix::process::Signal::INT);
    let outcome = started.wait_within(Duration::from_secs(60)).expect(130);
    within(Duration::from_secs(20), "no job is left", || lab.jobs().is_empty().then_some(()));
    let before = place.lines("began").len();
    let folder = resumable(&outcome.stderr);
    let outcome = bring(&place, &lab, &["resume", &folder]).wait_within(Duration::from_secs(120)).expect(0);
    is_home(&place, &lab);
    assert!(before >= 6 && place.lines("began").len() <= 14, "{:?}\n{}", place.lines("began"), outcome.stderr);
    // A submitter that dies leaves no job.
    place.write("hold", "");
    let mut started = bring(&place, &lab, &[&BRING[..], &["2"]].concat());
    let began = place.lines("began").len();
    started.until("both are at work", || (place.lines("began").len() >= began + 2).then_some(()));
    started.signal(rustix::process::Signal::KILL);
    started.wait();
    within(Duration::from_secs(30), "no job is left", || lab.jobs().is_empty().then_some(()));
    within(Duration::from_secs(30), "nothing is at work", || {
        place.processes().iter().all(|process| !process.command.contains("tool.sh")).then_some(())
    });
}

/// The main job, reduced, with its targets: the nodes have networks of their own, so that they can use the same ports.
#[test]
fn the_main_job_on_three_nodes_has_the_cells_and_counts_that_it_has_alone() {
    let mut place = Place::new();
    let Some(lab) = Lab::start_apart(&mut place) else { return };
    std::fs::create_dir(place.path("experiments")).unwrap();
    let scenario = std::fs::read_to_string(root().join("experiments/blobs-parallel.yaml")).unwrap();
    place.write_as_is("experiments/blobs-parallel.yaml", &scenario);
    crate::support::copy(&root().join("haproxy"), &place.path("haproxy"));
    let words =
        ["repeat", "experiments/blobs-parallel.yaml", "-n", "6", "--set", "processes=1,2", "--set", "action=baseline,get"];
    let words = [&words[..], &["--set", "proxy=builtin", "--no-graphs"]].concat();
    let on = [&words[..], &["--on", "slurm"]].concat();
    let outcome = Started::spawn(&mut on_slurm(&place, &lab, &on)).wait_within(Duration::from_secs(240));
    assert!(matches!(outcome.code, Some(0 | 4 | 5)), "{outcome:?}");
    place.start(&[&words[..], &["--out", "alone", "--quiet"]].concat()).wait_within(Duration::from_secs(240));
    let summary = |out: &str| {
        let folder = place.path(out).join("blobs-parallel");
        let runs = crate::support::listing(&folder);
        let [run] = &runs[..] else { panic!("{runs:?}") };
        json(&folder.join(run).join("summary.json"))
    };
    let (there, alone) = (summary("results"), summary("alone"));
    let cells = |summary: &Json| {
        let cells = summary["cells"].as_array().unwrap().iter().filter(|cell| cell["skipped"].is_null());
        cells.map(|cell| (cell["cell"].to_string(), executed(cell))).collect::<Vec<_>>()
    };
    assert_eq!(cells(&there), cells(&alone));
    assert_eq!(cells(&there).len(), 4, "{there}");
    assert_eq!(there["nodes"].as_array().unwrap().len(), 3);
    within(Duration::from_secs(20), "no job is left", || lab.jobs().is_empty().then_some(()));
}

/// How many repetitions of a cell were executed, whether they count or not: three nodes on two processors disturb each other.
fn executed(cell: &Json) -> u64 {
    ["valid", "invalid", "failed"].iter().map(|what| cell["repetitions"][what].as_u64().unwrap()).sum()
}

// ---- roles

#[test]
fn roles_are_nodes_of_one_allocation_that_is_given_back() {
    let mut place = Place::with(
        "
experiment: test
hosts: {server: {}, clients: {count: 2}}
repetitions: 2
targets:
  web: {on: server, fixture: null-server, port: 8000}
workloads:
  users:
    on: clients
    url: http://${hosts.server.address}:8000
    load: {open: {rate: 400/s}, duration: 1s}
    steps: [{get: /}]
",
    );
    let Some(lab) = Lab::start_apart(&mut place) else { return };
    let words = ["run", "test.yaml", "--on", "slurm", "--no-graphs"];
    let started = Started::spawn(&mut on_slurm(&place, &lab, &words));
    started.wait_within(Duration::from_secs(90)).expect(0);
    for n in 1..=2 {
        let status = place.status(&format!("all/run{n}"));
        let seen = &status["reconciled"][0];
        assert_eq!((seen["sent"].as_u64(), seen["seen"].as_u64()), (Some(400), Some(400)), "{status}");
        let hosts: Vec<&str> = status["hosts"].as_array().unwrap().iter().map(|host| host["name"].as_str().unwrap()).collect();
        assert_eq!(hosts, ["server n1", "clients n2", "clients n3"]);
    }
    within(Duration::from_secs(20), "no job is left", || lab.jobs().is_empty().then_some(()));
    // The program is copied to the nodes, and is removed from them.
    let brought = [&words[..], &["--bring", "--out", "brought"]].concat();
    Started::spawn(&mut on_slurm(&place, &lab, &brought)).wait_within(Duration::from_secs(90)).expect(0);
    let copies = |name: &String| name.starts_with("runner-") && name.ends_with(".bin");
    assert_eq!(crate::support::listing(Path::new("/tmp")).iter().filter(|name| copies(name)).count(), 0);
    // More machines than nodes: Slurm says so, and nothing is left in its queue.
    place.write("test.yaml", &std::fs::read_to_string(place.path("test.yaml")).unwrap().replace("count: 2", "count: 9"));
    let started = Started::spawn(&mut on_slurm(&place, &lab, &words));
    started
        .wait_within(Duration::from_secs(60))
        .expect(2)
        .complains(&["the scenario needs 10 machines, and Slurm has 3 nodes to offer"]);
    // A submitter that dies gives its nodes back, too.
    place.write(
        "test.yaml",
        &std::fs::read_to_string(place.path("test.yaml")).unwrap().replace("count: 9", "count: 2").replace("1s}", "60s}"),
    );
    let mut started = Started::spawn(&mut on_slurm(&place, &lab, &words));
    started.until("the allocation is at work", || (lab.jobs().len() == 1).then_some(()));
    std::thread::sleep(Duration::from_secs(2));
    started.signal(rustix::process::Signal::KILL);
    started.wait_within(Duration::from_secs(10));
    within(Duration::from_secs(30), "no job is left", || lab.jobs().is_empty().then_some(()));
}
