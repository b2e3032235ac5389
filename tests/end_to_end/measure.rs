//! `runner measure`: for months, through whatever happens meanwhile.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use runner::record::rows::{Table, Value};
use rustix::process::Signal;
use serde_json::Value as Json;

use crate::support::{CLEARED, Place, Started, eventually, json, listing};

/// Downloads through a proxy that the test itself runs, so that what the proxy saw is known whatever happens to the runner.
const DOWNLOADS: &str = "
experiment: test
layout: all
limits: {errors: 100%, open: 100%, silence: 100%, generator-cpu: 100%}
targets:
  server: {fixture: random-data, port: PORT1}
workloads:
  downloads:
    url: http://localhost:PORT1
    socks: {address: '127.0.0.1:PORT2', isolate: pass}
    stages: true
    load: {open: {rate: 40/s, connections: 10}, duration: 2s}
    steps: [{get: /5KiB, expect: {length: 5KiB}}]
";

/// A workload that is over at once.
const SHORT: &str = "
experiment: test
layout: all
limits: {errors: 100%, open: 100%, silence: 100%, generator-cpu: 100%}
targets: {web: {fixture: null-server, port: PORT1, lifetime: run}}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {open: {rate: 100/s, connections: 2}, duration: LENGTH}
    steps: [{get: /}]
";

const QUIET: [&str; 4] = ["measure", "test.yaml", "--no-graphs", "--quiet"];

fn measure(place: &Place, more: &[&str]) -> Started {
    place.start(&[&QUIET, more].concat())
}

/// The names of what lies in the folder of the only cell.
fn repetitions(place: &Place) -> Vec<String> {
    listing(&place.run_directory("test").join("cells/all"))
}

fn whole(place: &Place) -> Vec<u32> {
    if listing(&place.path("results/test")).is_empty() {
        return Vec::new();
    }
    let mut numbers: Vec<u32> = repetitions(place).iter().filter_map(|name| name.strip_prefix("run")?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

fn gaps(place: &Place) -> Vec<Json> {
    let text = std::fs::read_to_string(place.run_directory("test").join("gaps.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn texts(table: &Table, name: &str) -> Vec<String> {
    let pieces = (0..table.pieces()).map(|piece| table.piece(piece, &[name]).expect("a readable table"));
    let of = |value: Value<'_>| if let Value::Text(text) = value { text.to_owned() } else { String::new() };
    pieces.flat_map(|piece| (0..piece.height()).map(|row| of(piece.value(0, row))).collect::<Vec<_>>()).collect()
}

/// What all transfers of a run were isolated by, and how often.
fn transfers(run: &Path) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for name in listing(&run.join("cells/all")) {
        let path = run.join("cells/all").join(name).join("transfers.parquet");
        if path.exists() {
            texts(&Table::open(&path).unwrap(), "isolation").into_iter().for_each(|name| *found.entry(name).or_default() += 1);
        }
    }
    found
}

/// When the proxy had passed on each download, by the name that isolates it.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<BTreeMap<String, Instant>>>);

/// A proxy that ends with the test, however that ends.
struct Proxy(std::process::Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A proxy beside the runner, and what it saw.
fn proxy(place: &mut Place) -> (Proxy, Seen) {
    let port = place.port(2).to_string();
    let runner = place.runner();
    let program = PathBuf::from(runner.get_program()).with_file_name("runner-fixtures");
    let mut command = Command::new(program);
    command.args(["socks", "--log", "--port", &port]).stdout(Stdio::piped()).stdin(Stdio::null());
    let mut child = command.spawn().expect("the fixtures were built");
    let (lines, seen) = (BufReader::new(child.stdout.take().expect("piped")).lines(), Seen::default());
    let to = seen.clone();
    std::thread::spawn(move || {
        let mut users: BTreeMap<String, String> = BTreeMap::new();
        for line in lines.map_while(Result::ok) {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["request", number, _, user, _] => {
                    users.insert(number.to_owned(), user.trim_start_matches("user=").to_owned());
                }
                ["end", number, ..] => {
                    if let Some(user) = users.remove(number) {
                        to.0.lock().unwrap().insert(user, Instant::now());
                    }
                }
                _ => {}
            }
        }
    });
    (Proxy(child), seen)
}

#[test]
fn what_ended_a_second_before_a_kill_is_there_exactly_once() {
    let mut place = Place::with(DOWNLOADS);
    let (proxy, seen) = proxy(&mut place);
    let mut kills = Vec::new();
    let mut before = Vec::new();
    for round in 0..5_u64 {
        let mut started = measure(&place, &[]);
        let count = before.len();
        started.until("a repetition is whole", || (whole(&place).len() > count).then_some(()));
        // Somewhere in the next repetition.
        std::thread::sleep(Duration::from_millis(300 + 437 * round % 1900));
        let killed = Instant::now();
        started.signal(Signal::KILL);
        let _ = started.wait();
        kills.push(killed);
        if round % 2 == 0 {
            eventually("nothing of it is left", || place.processes().is_empty().then_some(()));
        }
        let now = whole(&place);
        assert!(before.iter().all(|number| now.contains(number)), "{before:?} {now:?}");
        before = now;
    }
    // The last one is ended by somebody who asks.
    let mut started = measure(&place, &[]);
    let count = before.len();
    started.until("it goes on", || (whole(&place).len() > count + 1).then_some(()));
    started.signal(Signal::TERM);
    started.wait().expect(0);
    drop(proxy);

    let run = place.run_directory("test");
    let found = transfers(&run);
    let twice: Vec<&String> = found.iter().filter(|(_, count)| **count > 1).map(|(name, _)| name).collect();
    assert!(twice.is_empty(), "there twice: {twice:?}");
    let seen = seen.0.lock().unwrap();
    // What a kill broke off ends a moment later.
    let second = Duration::from_secs(1);
    let due = |at: &Instant| kills.iter().all(|kill| *at + second < *kill || *at > *kill + second);
    // Each pass is asked for by a name of its own: who asks, and a number. Whoever asks once, or once more because the server of
    // before was just ending, is a checked pass, which is no transfer of the load.
    let who = |name: &String| name.rsplit_once('-').map(|(who, _)| who.to_owned());
    let is_checked = |name: &String| seen.keys().filter(|other| who(other) == who(name)).count() <= 2;
    let lacks = |(name, at): &(&String, &Instant)| due(at) && !found.contains_key(*name) && !is_checked(name);
    let missing: Vec<&String> = seen.iter().filter(lacks).map(|(name, _)| name).collect();
    assert!(missing.is_empty(), "{} of {} are missing: {missing:?}", missing.len(), seen.len());
    println!("{} downloads were seen, {} transfers are there", seen.len(), found.len());
    assert!(found.len() > 5 * 60, "{} transfers", found.len());
    // What was cut short says so, and numbers have no holes.
    let numbers = whole(&place);
    assert_eq!(numbers, (1..=numbers.len() as u32).collect::<Vec<_>>());
    assert!(repetitions(&place).iter().all(|name| name.starts_with("run")), "{:?}", repetitions(&place));
    let cut = |number: &&u32| place.status(&format!("all/run{number}"))["cut_short"] == "killed";
    assert!((4..=5).contains(&numbers.iter().filter(cut).count()));
    let why: Vec<String> = gaps(&place).iter().map(|gap| gap["why"].as_str().unwrap().to_owned()).collect();
    assert_eq!(why.iter().filter(|why| *why == "killed").count(), 5, "{why:?}");
    let said = place.run(&["summarize", run.to_str().unwrap()]).flat();
    let (_, line) = said.split_once("NOT MEASURED: 5 times, ").expect("it is said");
    assert!(line.split("NOT MEASURED").next().is_some_and(|line| line.contains(": the runner had been killed")), "{said}");
    place.assert_cleared(CLEARED);
}

#[test]
fn a_second_one_is_refused_and_the_first_goes_on() {
    let place = Place::with(&SHORT.replace("LENGTH", "500ms"));
    let mut first = measure(&place, &[]);
    first.until("a repetition is whole", || (!whole(&place).is_empty()).then_some(()));
    let pid = first.pid().to_string();
    place.run(&QUIET).expect(1).complains(&["another runner", "runner with process id", &pid, "wait until it ends"]);
    let before = whole(&place).len();
    first.until("it goes on", || (whole(&place).len() > before + 1).then_some(()));
    first.signal(Signal::INT);
    first.wait().expect(0);
    let mut again = measure(&place, &[]);
    let before = whole(&place).len();
    again.until("it goes on where it ended", || (whole(&place).len() > before).then_some(()));
    again.signal(Signal::INT);
    again.wait().expect(0);
    assert_eq!(gaps(&place)[0]["why"], "stopped");
    place.assert_cleared(CLEARED);
}

#[test]
fn what_changes_begins_a_new_run_and_says_why() {
    let mut place = Place::with(&SHORT.replace("LENGTH", "200ms"));
    let time = ["measure", "test.yaml", "--no-graphs", "--for", "1s"];
    place.run(&time).expect(0).complains(&["a new run starts: there is none in"]);
    let numbers = whole(&place);
    assert!(numbers.len() >= 2, "{numbers:?}");
    place.run(&time).expect(0).complains(&["a new run starts: the time of the newest one", "is up"]);
    place.write("test.yaml", &SHORT.replace("LENGTH", "300ms"));
    place.run(&["measure", "test.yaml", "--no-graphs", "--for", "1s"]).expect(0).complains(&["the plan has changed since"]);
    place.run(&["run", "test.yaml", "--no-graphs", "-n", "1"]).expect(0);
    place.run(&time).expect(0).complains(&["was not made by `measure`"]);
    assert_eq!(listing(&place.path("results/test")).len(), 5);
    place.assert_cleared(CLEARED);
}

#[test]
fn whoever_asks_for_an_end_keeps_what_was_measured() {
    let mut place = Place::with(&DOWNLOADS.replace("duration: 2s", "duration: 1h"));
    let (proxy, seen) = proxy(&mut place);
    let mut started = measure(&place, &[]);
    started.until("there are transfers", || (seen.0.lock().unwrap().len() > 40).then_some(()));
    started.signal(Signal::INT);
    started.wait().expect(0);
    drop(proxy);
    let status = place.status("all/run1");
    assert_eq!((&status["cut_short"], &status["verdict"]["is"]), (&"interrupted".into(), &"failed".into()));
    assert!(status["verdict"]["reason"].as_str().unwrap().starts_with("stopped on request after"), "{status}");
    // All but the checked pass, and what was under way.
    let found = transfers(&place.run_directory("test"));
    assert!(found.len() >= 30, "{} transfers", found.len());
    assert_eq!(repetitions(&place), ["run1"]);
    place.assert_cleared(CLEARED);
}

#[test]
fn a_target_that_dies_comes_back_and_the_repetition_counts_its_death() {
    for (lifetime, command) in [("repetition", "measure"), ("run", "measure"), ("repetition", "run")] {
        let restart = if command == "run" { ", restart: true" } else { "" };
        let scenario = SHORT.replace("LENGTH", "3s").replace("lifetime: run", &format!("lifetime: {lifetime}{restart}"));
        let place = Place::with(&scenario);
        let mut started = place.start(&[command, "test.yaml", "--no-graphs"]);
        let server = place.process("null-server");
        std::thread::sleep(Duration::from_millis(600));
        server.signal(Signal::KILL);
        started.until("the repetition is whole", || {
            let there = place.path("results/test");
            let run = listing(&there).pop()?;
            there.join(run).join("cells/all/run1/status.json").exists().then_some(())
        });
        if command == "measure" {
            started.signal(Signal::INT);
        }
        started.wait().expect(0).complains(&["web was killed by SIGKILL while it was needed; it is started again in 1 s"]);
        let status = place.status("all/run1");
        assert_eq!((&status["verdict"]["is"], &status["targets"][0]["deaths"]), (&"valid".into(), &1.into()), "{status:#}");
        let phase = &status["phases"][0];
        assert!(phase["errors"].as_u64().unwrap() > 20 && phase["completed"].as_u64().unwrap() > 80, "{phase}");
        let said = place.run(&["summarize", place.run_directory("test").to_str().unwrap()]).flat();
        assert!(said.contains("DEATHS: web ended once under load and was started again"), "{said}");
        let events = std::fs::read_to_string(place.run_directory("test").join("cells/all/run1/events.jsonl")).unwrap();
        assert!(events.contains("\"died\"") && events.contains("\"started-again\""), "{events}");
        place.assert_cleared(CLEARED);
    }
}

#[test]
fn without_restart_a_death_ends_the_repetition() {
    let place = Place::with(&SHORT.replace("LENGTH", "3s"));
    let started = place.start(&["run", "test.yaml", "--no-graphs"]);
    let server = place.process("null-server");
    std::thread::sleep(Duration::from_millis(600));
    server.signal(Signal::KILL);
    started.wait().expect(4);
    assert_eq!(place.status("all/run1")["verdict"]["is"], "failed");
}

/// Bytes of memory that a process has.
fn rss(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default() * 1024
}

#[test]
fn memory_and_files_do_not_grow_with_repetitions() {
    let place = Place::with(&SHORT.replace("LENGTH", "50ms"));
    let started = measure(&place, &[]);
    let reach = |count: usize| {
        let deadline = Instant::now() + Duration::from_secs(100);
        while whole(&place).len() < count {
            assert!(Instant::now() < deadline, "{} repetitions", whole(&place).len());
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    // A moment within a load has files that one between two has not: what leaks is in the least of many moments.
    let at = |count: usize| {
        let files = || listing(Path::new(&format!("/proc/{}/fd", started.pid()))).len();
        reach(count);
        let least = (count..count + 20).flat_map(|next| {
            reach(next);
            [files(), files()]
        });
        let least = least.min().expect("there are moments");
        (rss(started.pid()), least)
    };
    let (early, late) = (at(40), at(200));
    println!("{early:?} {late:?}");
    assert!(late.0 < early.0 + (24 << 20), "{early:?} {late:?}");
    assert!(late.1 <= early.1 + 8, "{early:?} {late:?}");
    started.signal(Signal::INT);
    started.wait().expect(0);
    place.assert_cleared(CLEARED);
}

#[test]
fn what_is_old_is_made_small_and_the_rest_is_summarized() {
    let mut place = Place::with(&DOWNLOADS.replace("duration: 2s", "duration: 500ms"));
    let (proxy, _) = proxy(&mut place);
    measure(&place, &["--for", "8s", "--compact-after", "4s"]).wait().expect(0);
    drop(proxy);
    let run = place.run_directory("test");
    let numbers = whole(&place);
    let small = |number: &u32| !run.join(format!("cells/all/run{number}/windows.parquet")).exists();
    let (first, last) = (numbers[0], *numbers.last().unwrap());
    assert!(small(&first) && !small(&last), "{numbers:?}");
    let left = listing(&run.join(format!("cells/all/run{first}")));
    assert_eq!(left, ["events.jsonl", "metrics.parquet", "status.json", "transfers.parquet"]);
    assert!(place.status(&format!("all/run{first}"))["compacted_at"].is_string());
    let summary = place.summary();
    let counts = &summary["cells"][0]["repetitions"];
    let small = numbers.iter().filter(|number| small(number)).count() as u64;
    assert_eq!(counts["compacted"].as_u64(), Some(small));
    assert_eq!(counts["planned"].as_u64(), Some(numbers.len() as u64 - small));
    assert_eq!(counts["valid"].as_u64(), counts["planned"].as_u64(), "{counts}");
    assert_eq!(summary["damaged"].as_array().map_or(0, Vec::len), 0, "{}", summary["damaged"]);
    place.run(&["export", "sqlite", run.to_str().unwrap(), "-o", "all.db"]).expect(0);
    place.run(&["export", "csv", run.to_str().unwrap(), "-o", "csv"]).expect(0);
    let csv = std::fs::read_to_string(place.path("csv/transfers.csv")).unwrap();
    assert_eq!(csv.lines().count() - 1, transfers(&run).values().sum::<usize>());
}

#[test]
fn resume_takes_in_what_a_kill_left() {
    let mut place = Place::with(&DOWNLOADS.replace("duration: 2s", "duration: 1h"));
    let (proxy, seen) = proxy(&mut place);
    let mut started = measure(&place, &[]);
    started.until("there are transfers", || (seen.0.lock().unwrap().len() > 80).then_some(()));
    started.signal(Signal::KILL);
    let _ = started.wait();
    drop(proxy);
    place.assert_cleared(CLEARED);
    let run = place.run_directory("test");
    assert_eq!(listing(&run.join("cells/all")).iter().filter(|name| name.ends_with("-ahead.jsonl")).count(), 1);
    place.run(&["resume", run.to_str().unwrap()]).expect(0).complains(&["transfers were kept", "continue with: runner measure"]);
    assert_eq!(listing(&run.join("cells/all")), ["run1"]);
    assert!(transfers(&run).len() >= 30);
    // Its logs are there, too.
    assert!(place.status("all/run1")["verdict"]["reason"].as_str().unwrap().starts_with("the runner was killed; "));
    eventually("it says the same again", || Some(place.run(&["resume", run.to_str().unwrap()]).expect(0)));
    assert!(json(&run.join("plan.json"))["repeat"]["endless"] == true);
}

/// Whether a command of the shell succeeds in a place.
fn shell(place: &Place, words: &str) -> bool {
    let mut command = Command::new("sh");
    command.args(["-c", words]).current_dir(place.path("")).stderr(Stdio::null()).stdout(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A small file system in the folder `results` of a place, unmounted when dropped, however the test ends.
struct Disk<'a>(&'a Place);

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        shell(self.0, "umount --lazy results");
    }
}

#[test]
fn a_disk_that_is_full_for_a_while_loses_nothing() {
    full_for_a_while("", 40);
}

/// Logs of what outlives repetitions are taken over at their ends, which nobody waits for.
#[test]
fn a_disk_that_is_full_loses_nothing_beside_a_target_that_outlives_repetitions() {
    full_for_a_while(", lifetime: run", 40);
    full_for_a_while(", lifetime: run", 2);
}

fn full_for_a_while(lifetime: &str, rate: usize) {
    let scenario = DOWNLOADS.replace("duration: 2s", "duration: 3s").replace("rate: 40/s", &format!("rate: {rate}/s"));
    let mut place = Place::with(&scenario.replace("port: PORT1}", &format!("port: PORT1{lifetime}}}")));
    let (proxy, seen) = proxy(&mut place);
    std::fs::create_dir(place.path("results")).unwrap();
    let disk = Disk(&place);
    if !shell(&place, "mount -t tmpfs -o size=8m none results") {
        println!("SKIPPED: this test may not mount a file system (it needs root)");
        return;
    }
    let mut started = measure(&place, &[]);
    // Full in the middle of the first repetition, over its end, and over the time at which the next one would begin.
    started.until("there are transfers", || (seen.0.lock().unwrap().len() > rate / 2).then_some(()));
    shell(&place, "dd if=/dev/zero of=results/fill bs=4k");
    std::thread::sleep(Duration::from_secs(6));
    assert!(whole(&place).is_empty(), "there is no room for it");
    std::fs::remove_file(place.path("results/fill")).unwrap();
    started.until("it goes on", || (whole(&place).len() > 1).then_some(()));
    started.signal(Signal::INT);
    let outcome = started.wait().expect(0);
    // A few may find room in the last page that a file has.
    if rate > 10 {
        let outcome = outcome.complains(&["writing is retried", "no part of the tables was lost"]);
        assert_eq!(outcome.stderr.matches("transfers wait in memory").count(), 1, "it is said once: {}", outcome.stderr);
    }
    drop(proxy);
    assert_eq!(place.status("all/run1")["verdict"]["is"], "valid", "{}", place.status("all/run1")["verdict"]);
    let first = place.run_directory("test").join("cells/all/run1");
    let rows = texts(&Table::open(&first.join("transfers.parquet")).unwrap(), "isolation").len();
    assert_eq!(rows, 3 * rate, "for 3 s");
    assert!(first.join("windows.parquet").metadata().unwrap().len() > 1000);
    drop(disk);
}

/// What took the time between the first and the second load: a step of 7 s, and nothing that failed.
#[test]
fn a_long_time_between_two_loads_is_a_gap_and_a_short_one_is_not() {
    let counted = "set-up:\n  repetition: [{shell: \"n=$(cat DIR/n || echo 0); echo $((n+1)) > DIR/n; STEP\"}]\n";
    let between = |step: &str| {
        let place = Place::with(&format!("{}{}", SHORT.replace("LENGTH", "500ms"), counted.replace("STEP", step)));
        let mut started = measure(&place, &[]);
        started.until("three are there", || (whole(&place).len() >= 3).then_some(()));
        started.signal(Signal::INT);
        started.wait().expect(0);
        let found: Vec<(String, f64)> =
            gaps(&place).iter().map(|gap| (gap["why"].as_str().unwrap().to_owned(), gap["seconds"].as_f64().unwrap())).collect();
        (place, found)
    };
    let (_, found) = between("test $n != 1 || sleep 7");
    assert!(found.len() == 1 && found[0].0 == "between" && (7.0..30.0).contains(&found[0].1), "{found:?}");
    // One that fails after a while, and what it is put off by, are one gap.
    let (place, found) = between("test $n != 1 || { sleep 6; false; }");
    assert_eq!(place.status("all/run2")["verdict"]["is"], "failed");
    assert!(found.len() == 1 && found[0].0 == "failure" && (7.0..30.0).contains(&found[0].1), "{found:?}");
}

/// A server that answers the first connections, and then takes requests and says nothing.
fn silent_after(answered: usize) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for (number, mut stream) in listener.incoming().flatten().enumerate() {
            if number >= answered {
                kept.push(stream);
                continue;
            }
            std::thread::spawn(move || {
                use std::io::{Read as _, Write as _};
                let mut request = [0; 4096];
                while stream.read(&mut request).is_ok_and(|read| read > 0) {
                    if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Nobody is answered any more: what is waited for at the end of a load is a gap, and no checked pass waits for its time-out.
#[test]
fn a_drain_that_holds_the_next_load_back_is_a_gap_and_no_checked_pass_is() {
    let scenario = format!(
        "experiment: test
layout: all
limits: {{errors: 100%, open: 100%, silence: 100%, generator-cpu: 100%}}
workloads:
  clients:
    url: http://{}
    load: {{open: {{rate: 2/s, connections: 4}}, duration: 1s, drain: 7s}}
    steps: [{{get: /, timeout: 60s}}]
",
        silent_after(1)
    );
    let place = Place::with(&scenario);
    let mut started = measure(&place, &[]);
    started.until("two are there", || (whole(&place).len() >= 2).then_some(()));
    started.until("the third has begun", || gaps(&place).get(1).map(|_| ()));
    started.signal(Signal::INT);
    started.wait().expect(0);
    for gap in &gaps(&place)[..2] {
        assert_eq!(gap["why"], "drain", "{gap}");
        assert!((6.5..30.0).contains(&gap["seconds"].as_f64().unwrap()), "{gap}");
    }
}
