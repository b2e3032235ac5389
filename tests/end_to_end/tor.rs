//! The real tor: what is seen when it dies, and when it never gets ready.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use runner::record::rows::{Table, Value};
use rustix::process::Signal;

use crate::support::{CLEARED, Place, json, listing, within};

/// A network takes up to 45 s until it is there, and a load of 20 s its time.
const LONG: Duration = Duration::from_secs(100);

/// Whether there is a tor; says so where there is none.
fn has_tor() -> bool {
    let path = format!("{}:/usr/sbin:/usr/local/sbin", std::env::var("PATH").unwrap_or_default());
    let found = Command::new("sh").args(["-c", "command -v tor >/dev/null"]).env("PATH", path).status();
    let is_there = found.is_ok_and(|status| status.success());
    if !is_there {
        println!("SKIPPED: tor is not installed");
    }
    is_there
}

/// A client of a network whose only authority does not exist, and what is done with it.
const ALONE: &str = r#"
experiment: test
targets:
  client:
    needs: tor
    port: PORT1
    ports: {control: PORT2}
    command: [tor, --defaults-torrc, "${scratch}/none", -f, "${scratch}/none", --ignore-missing-torrc, --quiet, --DataDirectory, "${scratch}/tor", --SocksPort, "PORT1",
      --ControlPort, "PORT2", --CookieAuthentication, "1", --DirAuthority,
      "none orport=9 no-v2 v3ident=D586D18309DED4CD6D57C18FDB97EFA96D330566 127.0.0.1:9 9695DFC35FFEB861329B9F1AB04C46397020CE31",
      --GeoIPFile, /dev/null, --GeoIPv6File, /dev/null]
"#;

fn texts(table: &Table, name: &str) -> Vec<String> {
    let pieces = (0..table.pieces()).map(|piece| table.piece(piece, &[name]).expect("a readable table"));
    let of = |value: Value<'_>| if let Value::Text(text) = value { text.to_owned() } else { String::new() };
    pieces.flat_map(|piece| (0..piece.height()).map(|row| of(piece.value(0, row))).collect::<Vec<_>>()).collect()
}

#[test]
fn a_consensus_that_never_comes_is_told_with_how_far_it_got() {
    if !has_tor() {
        return;
    }
    let ready = "    ready: {tor: PORT2, cookie: \"${scratch}/tor/control_auth_cookie\", timeout: 4s}\nworkloads: {clients: {command: [\"true\"], load: {closed: {connections: 1}, amount: 1}}}\n";
    let place = Place::with(&format!("{ALONE}{ready}"));
    let outcome = place.run_test().expect(4);
    outcome.complains(&["client", "not ready within 4s", "BOOTSTRAP PROGRESS="]);
    place.assert_cleared(CLEARED);
}

/// A real Tor gives its own code for an onion address that cannot be, and lets nobody in who has another cookie.
#[test]
fn onion_addresses_that_cannot_be_and_wrong_cookies_are_told_in_tors_words() {
    if !has_tor() {
        return;
    }
    let alone = ALONE.replace("--SocksPort, \"PORT1\"", "--SocksPort, \"PORT1 ExtendedErrors\"");
    assert!(alone.contains("ExtendedErrors"));
    let scenario = |control: &str, host: &str| {
        format!(
            "{alone}    ready: {{tcp: PORT2}}
workloads:
  downloads:
    url: http://{host}
    socks: {{address: '127.0.0.1:PORT1'{control}}}
    stages: true
    timeout: 20s
    load: {{closed: {{connections: 1}}, amount: 1}}
    steps: [{{get: /}}]
"
        )
    };
    let none = format!("{}.onion", "a".repeat(56));
    Place::with(&scenario("", &none)).run_test().expect(4).complains(&["it refused: the onion address is not valid (0xf6)"]);
    let step = "set-up: {load: [{control: '127.0.0.1:PORT2', cookie: DIR/cookie, send: [SIGNAL NEWNYM]}]}\n";
    let place = Place::with(&format!("{}{step}", scenario("", &none)));
    std::fs::write(place.path("cookie"), [b'B'; 32]).expect("a file");
    place.run_test().expect(4).complains(&["refused AUTHENTICATE: 515 Authentication failed"]);
}

/// An onion address that could be, and is nobody's: no directory has its descriptor.
#[test]
fn an_onion_service_that_is_not_there_is_told_in_tors_words() {
    if !has_tor() {
        return;
    }
    let place = study(18);
    let scenario = std::fs::read_to_string(place.path("torperf.yaml")).expect("it was written");
    let nobody = "pgmxclpajridfbxly27xplyljqoifpkyol4cibm6bqtc2hgqauwciyqd.onion";
    let elsewhere =
        scenario.replace("onion: service.test}", &format!("onion: {nobody}}}")).replace("timeout: 5s", "timeout: 60s");
    assert!(elsewhere.contains(nobody), "the study has changed");
    let mut place = place;
    place.write("torperf.yaml", &elsewhere);
    let started = place.start(&[
        "run",
        "torperf.yaml",
        "--set",
        "network=private",
        "--set",
        "to=onion",
        "--repetitions",
        "1",
        "--no-graphs",
    ]);
    let outcome = started.wait_within(LONG + LONG);
    outcome.expect(4).complains(&["the descriptor of the onion service cannot be found (0xf0)"]);
    place.assert_cleared(CLEARED);
}

/// A folder with the study as it is shipped, with less to do, and on ports of its own, below those that connections get from the
/// kernel: `block` tells apart those who run at once.
fn study(block: u16) -> Place {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments");
    let scenario = std::fs::read_to_string(shipped.join("torperf.yaml")).expect("it is shipped");
    let ports = ["7100", "7200", "7190", "7160", "7161"];
    let scenario =
        ports.iter().fold(scenario, |text, port| text.replace(&format!(" {port}"), &format!(" {block}{}", &port[1..])));
    let less = scenario
        .replace(
            "small: 60/min, medium: 20/min, large: 10/min, length: 18s, drain: 20s",
            "small: 4/s, medium: 6/min, large: 3/min, length: 20s, drain: 10s",
        )
        .replace("timeout: 295s", "timeout: 5s")
        .replace("open: 10%, errors: 10%", "open: 100%, errors: 100%");
    let is_less = ["length: 20s", "timeout: 5s", "errors: 100%"].iter().all(|words| less.contains(words));
    assert!(is_less, "the study has changed");
    let mut place = Place::with("experiment: none\n");
    place.write("torperf.yaml", &less);
    std::fs::create_dir(place.path("tor")).expect("a folder");
    for entry in std::fs::read_dir(shipped.join("tor")).expect("it is shipped").flatten() {
        std::fs::copy(entry.path(), place.path("tor").join(entry.file_name())).expect("a copy");
    }
    place
}

/// A whole private network. Its client dies while it bootstraps; in the middle of a load, the client dies, and an exit.
#[test]
fn whichever_tor_dies_is_started_again_and_measuring_goes_on() {
    if !has_tor() {
        return;
    }
    let place = study(17);
    let started = place.start(&["measure", "torperf.yaml", "--set", "network=private", "--no-graphs"]);
    let client = || place.processes().into_iter().find(|process| process.command.contains("client.torrc"));
    // It is started when relays and authorities know each other.
    within(LONG, "the client is started", client).signal(Signal::KILL);
    let cells = || place.run_directory("torperf").join("cells/private/exit/quick");
    let seen = |file: &str| cells().join(file).exists();
    within(LONG, "the repetition has failed", || seen("run1/status.json").then_some(()));
    let first = json(&cells().join("run1/status.json"));
    let reason = first["verdict"]["reason"].as_str().expect("a reason");
    assert!(reason.contains("client") && reason.contains("SIGKILL"), "{reason}");

    // A network that is just there may fail its first transfers, on a machine that is busy all the more: what is waited for is that it
    // works, by whatever number of transfers.
    let succeeded = within(LONG, "there are transfers that succeeded", || {
        let ahead = listing(&cells()).into_iter().find(|name| name.ends_with("-ahead.jsonl"))?;
        let text = std::fs::read_to_string(cells().join(ahead)).ok()?;
        let is_ok = |line: &str| serde_json::from_str::<serde_json::Value>(line).is_ok_and(|line| line["outcome"] == 0);
        Some(text.lines().skip(1).filter(|line| is_ok(line)).count()).filter(|count| *count >= 10)
    });
    place.process("client.torrc").signal(Signal::KILL);
    std::thread::sleep(Duration::from_secs(1));
    place.process("exit.torrc").signal(Signal::KILL);
    within(LONG, "the repetition is whole", || seen("run2/status.json").then_some(()));
    within(LONG, "the next one has begun", || listing(&cells()).iter().any(|name| name.ends_with("-ahead.jsonl")).then_some(()));
    started.signal(Signal::INT);
    started.wait().expect(0);
    let status = json(&cells().join("run2/status.json"));
    assert_ne!(status["verdict"]["is"], "failed", "{status:#}");
    let deaths = |target: &str| {
        let targets = status["targets"].as_array().expect("a list").iter();
        targets.filter(|t| t["target"] == target).map(|t| t["deaths"].as_u64().unwrap_or_default()).sum::<u64>()
    };
    assert_eq!((deaths("client"), deaths("exit"), deaths("authority")), (1, 1, 0), "{:#}", status["targets"]);
    // It comes back with the client, however long that takes; a machine on which that is longer than the rest of the load says so.
    let tap = &status["taps"][0];
    assert!(tap["interruptions"] == 1 || tap["ended"].is_string(), "{tap} {:#}", status["targets"]);
    let table = Table::open(&cells().join("run2/transfers.parquet")).expect("transfers");
    let outcomes = texts(&table, "outcome");
    let errors = texts(&table, "error");
    let words: std::collections::BTreeSet<String> = texts(&table, "words").into_iter().collect();
    println!("{succeeded} had succeeded; {outcomes:?} {words:?}");
    // 83 in all; how soon a network that was robbed of its exit works again is its own affair, and what waits for that may never be
    // sent. Of what was, none is lost, and each failure has a word.
    let phases = status["phases"].as_array().expect("a list").iter();
    let sum = |key: &str| phases.clone().map(|phase| phase[key].as_u64().unwrap_or_default()).sum::<u64>();
    assert_eq!((outcomes.len() as u64 + sum("unsent"), sum("offered")), (83, 83), "{:#} {outcomes:?}", status["phases"]);
    let ok = outcomes.iter().filter(|outcome| *outcome == "ok").count();
    assert!(ok >= succeeded && ok < 83, "{succeeded} had succeeded before; {outcomes:?} {words:?}");
    for (outcome, error) in outcomes.iter().zip(&errors) {
        assert_eq!(error.is_empty(), outcome == "ok" || outcome == "open", "{outcome} {error}");
    }
    place.assert_cleared(CLEARED);
}
