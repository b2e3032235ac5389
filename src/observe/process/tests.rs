//! Real processes, read the way the sampler reads them.

use std::time::Duration;

use super::{super::tree::tests::Script, *};

const NS_PER_TICK: u64 = 10_000_000;
const MARK: &str = "RUNNER_REPLICA=process/0";

fn buffer() -> Vec<u8> {
    vec![0; 16 * 1024]
}

#[test]
fn a_living_process_has_memory_files_and_switches() {
    let script = Script::start("echo ready; sleep 30", MARK);
    let mut buffer = buffer();
    let mut process = Process::open(script.pid(), NS_PER_TICK, &mut buffer).expect("it lives");
    process.survey(&process.threads(), &mut buffer);
    assert!(process.stat.rss_pages > 0 && process.stat.threads == 1);
    assert!(process.peak_rss_bytes >= 4096);
    assert!(process.open_files >= 3);
    // The shell may still be on its way from `echo` to `sleep`.
    while process.switches()[0] == 0 {
        std::thread::sleep(Duration::from_millis(2));
        process.survey(&process.threads(), &mut buffer);
    }
    assert!(process.pss_bytes(&mut buffer).is_some_and(|pss| pss > 0));
    assert!(process.account.own().sum_ns() > 0);
}

#[test]
fn a_reaped_process_is_gone_and_keeps_its_last_reading() {
    let mut script = Script::start("echo ready; sleep 30", MARK);
    let mut buffer = buffer();
    let mut process = Process::open(script.pid(), NS_PER_TICK, &mut buffer).expect("it lives");
    let before = process.account.total();
    script.kill();
    assert_eq!(process.refresh(NS_PER_TICK, &mut buffer), Presence::Gone);
    assert_eq!(process.account.total(), before);
    assert_eq!(process.pss_bytes(&mut buffer), Some(0));
    assert!(Process::open(script.pid(), NS_PER_TICK, &mut buffer).is_none());
}

#[test]
fn memory_is_found_again_after_exec() {
    let mut script = Script::start("echo ready; read line </dev/null; exec sleep 30", MARK);
    let mut buffer = buffer();
    let mut process = Process::open(script.pid(), NS_PER_TICK, &mut buffer).expect("it lives");
    assert!(process.pss_bytes(&mut buffer).is_some());
    let name = format!("/proc/{}/comm", script.pid());
    while fs::read(&name).is_ok_and(|name| name != b"sleep\n") {
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(process.pss_bytes(&mut buffer).is_some_and(|pss| pss > 0));
    assert_eq!(process.refresh(NS_PER_TICK, &mut buffer), Presence::Here);
    script.kill();
}

#[test]
fn the_clock_of_this_process_moves_and_nobody_has_the_largest_pid() {
    let own = cpu_clock_ns(std::process::id()).expect("this process exists");
    let mut sum = 0_u64;
    while cpu_clock_ns(std::process::id()).is_some_and(|now| now < own + 1_000_000) {
        sum = std::hint::black_box(sum + 1);
    }
    // Pids end at 2^22, and the largest numbers do not fit into the number of a clock: they would mean this process.
    assert_eq!(cpu_clock_ns(1 << 22 | 1), None);
    assert_eq!(cpu_clock_ns(i32::MAX.unsigned_abs()), None);
    assert_eq!(cpu_clock_ns(u32::MAX), None);
}

#[test]
fn ended_threads_keep_their_switches() {
    let status = |voluntary_switches| process::Status { peak_rss_bytes: None, voluntary_switches, involuntary_switches: 1 };
    let mut switches = Switches::default();
    switches.see_all([(1, status(10)), (2, status(20))]);
    switches.see_all([(1, status(11)), (3, status(1))]);
    let sum = switches.living.values().fold(switches.ended, add);
    assert_eq!(sum, [32, 3]);
}
