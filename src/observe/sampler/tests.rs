//! The grid without a clock, and the thread with real processes.

use super::{
    super::{
        outbox::{Inbox, outbox},
        tree::tests::Script,
    },
    *,
};
use vocabulary::rows::{HostSample, ProcessSample};

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_tick_in_time_is_followed_by_the_next() {
    assert_eq!(next_tick(0, MS, 100 * MS), 1);
    assert_eq!(next_tick(7, 799 * MS, 100 * MS), 8);
    // Woken a little early by a clock that differs.
    assert_eq!(next_tick(7, 699 * MS, 100 * MS), 8);
}

#[test]
fn ticks_that_passed_are_left_out() {
    assert_eq!(next_tick(7, 800 * MS, 100 * MS), 9);
    assert_eq!(next_tick(7, 1_950 * MS, 100 * MS), 20);
    assert_eq!(instant_of(20, 100 * MS), 2_000 * MS);
}

fn quick() -> Settings {
    Settings {
        interval: 10 * MS,
        adopter: None,
        // Debug builds on a busy machine should not reach the limit.
        share: 0.9,
        most_files: usize::MAX,
    }
}

fn watched(script: &Script, target: &str) -> Watched {
    Watched { target: target.to_owned(), replica: 0, pid: script.pid(), marker: format!("{target}/0") }
}

fn script(target: &str) -> Script {
    Script::start("sleep 30 & echo ready; wait", &format!("{target}/0"))
}

fn next_process(inbox: &Inbox) -> ProcessSample {
    loop {
        match inbox.recv_timeout(5_000 * MS).expect("samples go on") {
            Observation::Process(sample) => return sample,
            Observation::Host(_) => {}
        }
    }
}

fn next_host(inbox: &Inbox) -> HostSample {
    loop {
        match inbox.recv_timeout(5_000 * MS).expect("samples go on") {
            Observation::Host(sample) => return sample,
            Observation::Process(_) => {}
        }
    }
}

#[test]
fn the_first_sample_is_whole_and_comes_at_once() {
    let script = script("first");
    let (out, inbox) = outbox();
    let settings = Settings { interval: 60_000 * MS, ..Settings::default() };
    let sampler = Sampler::start(vec![watched(&script, "first")], settings, out).expect("a thread");
    let sample = next_process(&inbox);
    assert_eq!((&*sample.target, sample.replica, sample.processes), ("first", 0, 2));
    assert!(sample.pss_bytes.is_some() && sample.open_files > 0 && sample.peak_rss_bytes > 0);
    // Stopping does not wait for the next tick, which is a minute away.
    let report = sampler.stop();
    assert_eq!((report.ticks, report.samples, report.skipped_ticks), (1, 2, 0));
    assert!(report.cpu_ns > 0 && report.elapsed_ns < 30_000_000_000);
}

#[test]
fn replicas_come_and_go_while_it_runs() {
    let (one, two) = (script("one"), script("two"));
    let (out, inbox) = outbox();
    let sampler = Sampler::start(vec![watched(&one, "one")], quick(), out).expect("a thread");
    assert_eq!(&*next_process(&inbox).target, "one");
    sampler.add(watched(&two, "two"));
    while &*next_process(&inbox).target != "two" {}
    sampler.remove("one", 0);
    // Messages that were on their way may arrive; after those, two in a row are of the other replica.
    while &*next_process(&inbox).target == "one" || &*next_process(&inbox).target == "one" {}
    let (a, b) = (next_process(&inbox), next_process(&inbox));
    assert_eq!((&*a.target, &*b.target), ("two", "two"));
    assert!(b.at - a.at > MS);
    assert!(sampler.stop().samples >= 4);
}

#[test]
fn a_replica_that_dies_is_sampled_as_empty() {
    let mut script = script("dying");
    let (out, inbox) = outbox();
    let sampler = Sampler::start(vec![watched(&script, "dying")], quick(), out).expect("a thread");
    assert_eq!(next_process(&inbox).processes, 2);
    script.kill();
    while next_process(&inbox).processes > 0 {}
    sampler.stop();
}

#[test]
fn an_orphan_that_came_to_the_adopter_joins_its_replica() {
    rustix::process::set_child_subreaper(rustix::process::Pid::from_raw(1)).expect("it is allowed");
    // The sleep is an orphan before the first look; only the root remains.
    let text = "sh -c 'sleep 30 & true'; echo ready; sleep 30; true";
    let script = Script::start(text, "adopted/0");
    let (out, inbox) = outbox();
    let settings = Settings { adopter: Some(std::process::id()), ..quick() };
    let sampler = Sampler::start(vec![watched(&script, "adopted")], settings, out).expect("a thread");
    // The script, its own sleep, and the orphan.
    while next_process(&inbox).processes != 3 {}
    assert_eq!(tree::descendants(script.pid()).len(), 1);
    sampler.stop();
}

#[test]
fn the_host_is_sampled_without_any_target() {
    let (out, inbox) = outbox();
    let sampler = Sampler::start(Vec::new(), quick(), out).expect("a thread");
    let (first, second) = (next_host(&inbox), next_host(&inbox));
    assert_eq!(first.cores.len(), second.cores.len());
    assert!(second.at > first.at);
    sampler.stop();
}

#[test]
fn without_allowance_only_the_first_sample_has_a_set_size() {
    let script = script("poor");
    let (out, inbox) = outbox();
    let settings = Settings { share: 0.0, ..quick() };
    let sampler = Sampler::start(vec![watched(&script, "poor")], settings, out).expect("a thread");
    assert!(next_process(&inbox).pss_bytes.is_some());
    let rest: Vec<ProcessSample> = (0..3).map(|_| next_process(&inbox)).collect();
    assert!(rest.iter().all(|sample| sample.pss_bytes.is_none() && sample.rss_bytes > 0));
    assert!(sampler.stop().samples_without_pss >= 3);
}

#[test]
fn it_ends_by_itself_when_nobody_listens() {
    let (out, inbox) = outbox();
    drop(inbox);
    let sampler = Sampler::start(Vec::new(), quick(), out).expect("a thread");
    while !sampler.thread.is_finished() {
        thread::sleep(MS);
    }
    assert_eq!(sampler.stop().ticks, 0);
}
