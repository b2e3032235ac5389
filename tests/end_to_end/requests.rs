//! `record: {requests: true}`: a row for each request, which agrees with what the windows count.

use std::collections::BTreeMap;

use runner::record::{RunRecord, tables};
use runner::vocabulary::Time;
use serde_json::{Value as Json, json};

use crate::load::part;
use crate::server::Server;
use crate::support::Place;

const SCENARIO: &str = "
experiment: test
record: {requests: true}
window: 100ms
limits: {generator-cpu: 100%}
workloads:
  two:
    url: http://127.0.0.1:SERVER
    threads: 2
    load: {closed: {connections: 4}, amount: 6000}
    steps: [{get: /}, {get: /wrong, name: second, expect: {status: 200}}]
  one:
    url: http://127.0.0.1:SERVER
    load: {open: {rate: 500/s, connections: 4}, amount: 300}
    steps: [{get: /}]
";

/// The smallest value that at least a share `q` does not exceed.
fn quantile(sorted: &[u64], q: f64) -> u64 {
    sorted[((q * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len()) - 1]
}

#[test]
fn rows_agree_with_windows() {
    let asked = std::sync::atomic::AtomicU64::new(0);
    let server = Server::start(move |request| {
        // Each hundredth of the second steps fails.
        let bad = request.path == "/wrong" && asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 100 == 99;
        (if bad { 500 } else { 200 }, String::new(), "hello".to_owned())
    });
    let place = Place::with(&SCENARIO.replace("SERVER", &server.port.to_string()));
    place.run_test().expect(0);
    let summary = place.summary();
    assert_eq!(summary["damaged"], json!([]));
    let run = RunRecord::open(&place.run_directory("test")).unwrap();
    let repetition = &run.repetitions[0];
    let rows = tables::read(&repetition.path.join("requests.parquet")).unwrap();
    let text = |name: &str| rows.column(name).unwrap().str().unwrap().clone();
    let number = |name: &str| rows.column(name).unwrap().u64().unwrap().clone();
    let (workloads, steps, phases, outcomes) = (text("workload"), text("step"), text("phase"), text("outcome"));
    let (intended, sent, completed) = (number("intended_ns"), number("sent_ns"), number("completed_ns"));
    let mut counts: BTreeMap<[String; 4], u64> = BTreeMap::new();
    let mut responses: BTreeMap<[String; 3], Vec<u64>> = BTreeMap::new();
    for row in 0..rows.height() {
        let [workload, phase, step, outcome] = [&workloads, &phases, &steps, &outcomes].map(|c| c.get(row).unwrap().to_owned());
        let [intended, sent, completed] = [&intended, &sent, &completed].map(|c| c.get(row).unwrap());
        assert!(intended <= sent && sent <= completed);
        if outcome == "ok" {
            let key = [workload.clone(), phase.clone(), step.clone()];
            responses.entry(key).or_default().push(completed - intended);
        }
        *counts.entry([workload, phase, step, outcome]).or_default() += 1;
    }
    // There is one repetition: what is said of the cell is said of it.
    let cell = runner::analysis::summarize(&run).unwrap().cells.remove(0);
    let mut of_windows: BTreeMap<[String; 4], u64> = BTreeMap::new();
    for series in cell.figures.iter() {
        let Some(outcome) = series.metric.strip_prefix("requests:") else { continue };
        let part = series.part.clone();
        of_windows.insert([part.workload, part.phase, part.step, outcome.to_owned()], series.values[0].1 as u64);
    }
    assert_eq!(counts, of_windows);
    assert_eq!(counts[&["two", "during", "(pass)", "wrong-status"].map(str::to_owned)], 60);
    assert_eq!(counts[&["one", "during", "(pass)", "ok"].map(str::to_owned)], 300);
    assert_eq!(responses.len(), 5);
    for ([workload, phase, step], mut ns) in responses {
        ns.sort_unstable();
        let shown = &part(&summary, "all", &workload, &phase, &step)["response_ns"];
        let mine = cell.steps.iter().find(|s| (&s.workload, &s.phase, &s.step) == (&workload, &phase, &step)).unwrap();
        let histogram = mine.distributions.of(Time::Response);
        for (name, q) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)] {
            let exact = quantile(&ns, q);
            assert_eq!(shown[name], Json::from(exact), "{name}");
            let [bucket] = histogram.quantiles([q]);
            assert!(exact <= bucket && bucket - exact <= bucket / 1024, "{name}: {exact} in a bucket that ends at {bucket}");
        }
    }
}

#[test]
fn without_the_key_there_are_none() {
    let server = Server::start(|_| (200, String::new(), "hello".to_owned()));
    let scenario = SCENARIO.replace("record: {requests: true}\n", "").replace("SERVER", &server.port.to_string());
    let place = Place::with(&scenario);
    place.run_test().expect(0);
    let run = RunRecord::open(&place.run_directory("test")).unwrap();
    assert!(!run.repetitions[0].path.join("requests.parquet").exists());
}

#[test]
fn an_unknown_key_is_refused() {
    let place = Place::with(&SCENARIO.replace("{requests: true}", "{request: true}").replace("SERVER", "80"));
    place.run(&["check", "test.yaml"]).expect(2).complains(&["request", "did you mean `requests`?"]);
}
