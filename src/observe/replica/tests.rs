//! Process trees that lose members, with totals that must not decrease.

use std::{fs, time::Duration};

use super::{
    super::tree::{self, tests::Script},
    *,
};

fn reader() -> Reader {
    Reader { buffer: vec![0; 16 * 1024], ns_per_tick: 10_000_000, bytes_per_page: 4096 }
}

fn look(replica: &mut Replica, reader: &mut Reader) -> ProcessSample {
    replica.refresh(reader);
    replica.survey(reader);
    replica.read_pss(reader);
    replica.sample(reader, true)
}

fn watched(target: &str, pid: u32) -> Watched {
    Watched { target: target.to_owned(), replica: 0, pid, marker: format!("{target}/0") }
}

fn watch(script: &Script, target: &str, reader: &mut Reader) -> Replica {
    Replica::new(&watched(target, script.pid()), reader)
}

/// Burns some 100 ms of processor time in a child.
const BURN: &str = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";

fn cpu(sample: &ProcessSample) -> u64 {
    sample.cpu_user_ns + sample.cpu_system_ns
}

/// Looks every 5 ms until `done`, and checks that no total falls meanwhile.
fn look_until(replica: &mut Replica, reader: &mut Reader, done: impl Fn(&ProcessSample) -> bool) -> ProcessSample {
    let mut last = look(replica, reader);
    for _ in 0..1000 {
        std::thread::sleep(Duration::from_millis(5));
        let next = look(replica, reader);
        assert!(next.cpu_user_ns >= last.cpu_user_ns);
        assert!(next.cpu_system_ns >= last.cpu_system_ns);
        assert!(next.voluntary_switches >= last.voluntary_switches);
        last = next;
        if done(&last) {
            return last;
        }
    }
    panic!("it never came to that: {last:?}");
}

#[test]
fn a_tree_is_summed() {
    let script = Script::start("sleep 30 & sleep 30 & echo ready; wait", "sum/0");
    let mut reader = reader();
    let mut replica = watch(&script, "sum", &mut reader);
    let sample = look_until(&mut replica, &mut reader, |sample| sample.processes == 3);
    assert_eq!(sample.threads, 3);
    let pss = sample.pss_bytes.expect("own processes may be read");
    assert!(pss > 0 && pss < sample.rss_bytes, "they share the C library");
    assert!(sample.peak_rss_bytes >= sample.rss_bytes / 2);
    assert!(sample.open_files >= 9);
}

#[test]
fn time_of_a_child_that_was_waited_for_stays_and_is_counted_once() {
    let text = format!("sh -c '{BURN}; echo burnt'; echo ready; sleep 30");
    let script = Script::start(&text, "waited/0");
    let mut reader = reader();
    let mut replica = watch(&script, "waited", &mut reader);
    // The child ended before the first look: only its parent knows of it, in clock ticks.
    let sample = look(&mut replica, &mut reader);
    let stat = fs::read(format!("/proc/{}/stat", script.pid())).expect("it lives");
    let stat = super::super::procfs::process::stat(&stat).expect("it is readable");
    let ticks = stat.waited_user_ticks + stat.waited_system_ticks;
    assert!(ticks > 0 && cpu(&sample) >= ticks * 10_000_000);
}

#[test]
fn totals_never_fall_while_children_come_and_go() {
    let text = format!("echo ready; for n in 1 2 3 4 5; do sh -c '{BURN}'; done; exec sleep 30");
    let script = Script::start(&text, "churn/0");
    let mut reader = reader();
    let mut replica = watch(&script, "churn", &mut reader);
    let name = format!("/proc/{}/comm", script.pid());
    let sample = look_until(&mut replica, &mut reader, |_| fs::read(&name).is_ok_and(|name| name == b"sleep\n"));
    // Everything has ended and the kernel's numbers are final: ours are not lower, and higher by no more than rounding.
    let stat = fs::read(format!("/proc/{}/stat", script.pid())).expect("it lives");
    let stat = super::super::procfs::process::stat(&stat).expect("it is readable");
    let ticks = stat.user_ticks + stat.system_ticks + stat.waited_user_ticks + stat.waited_system_ticks;
    let kernel_ns = ticks * 10_000_000;
    let found = cpu(&sample);
    assert!(found + 10_000_000 >= kernel_ns, "{found} of {kernel_ns}");
    assert!(found <= kernel_ns + 40_000_000, "{found} of {kernel_ns}");
}

#[test]
fn a_dead_replica_keeps_its_totals_and_has_no_processes() {
    let mut script = Script::start(&format!("{BURN}; echo ready; sleep 30"), "dead/0");
    let mut reader = reader();
    let mut replica = watch(&script, "dead", &mut reader);
    let before = look(&mut replica, &mut reader);
    script.kill();
    let after = look_until(&mut replica, &mut reader, |sample| sample.processes == 0);
    assert!(cpu(&before) > 1_000_000 && cpu(&after) >= cpu(&before));
    assert_eq!((after.threads, after.rss_bytes, after.open_files), (0, 0, 0));
    assert_eq!(after.pss_bytes, Some(0));
}

#[test]
fn an_orphan_stays_in_the_tree_though_its_parent_ended() {
    let text = "sh -c 'sleep 30 & echo ready; wait' & wait; echo over; sleep 30; true";
    let mut script = Script::start(text, "orphan/0");
    let mut reader = reader();
    let mut replica = watch(&script, "orphan", &mut reader);
    // Seen as a child first: no adopter needs to be asked to keep it.
    look_until(&mut replica, &mut reader, |sample| sample.processes == 3);
    let inner = tree::descendants(script.pid())[0].cast_signed();
    let inner = rustix::process::Pid::from_raw(inner).expect("not 0");
    rustix::process::kill_process(inner, rustix::process::Signal::KILL).expect("it lives");
    script.wait_for("over");
    // The inner shell is gone; its sleep remains, and the root has another one.
    look_until(&mut replica, &mut reader, |sample| sample.processes == 3);
    let below = tree::descendants(script.pid());
    assert_eq!(below.len(), 1, "the orphan is not below the root any more");
}

#[test]
fn a_replica_that_never_existed_is_empty() {
    let mut reader = reader();
    let mut replica = Replica::new(&watched("nothing", u32::MAX), &mut reader);
    let sample = look(&mut replica, &mut reader);
    assert_eq!((sample.processes, cpu(&sample)), (0, 0));
}
