//! Runs as programs of monitoring read them: Prometheus's own tool and parser, OpenTelemetry's own schema, a parser of InfluxDB's line
//! protocol, and a receiver of OTLP that is there, slow, or away.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value as Json;

use crate::support::{Place, python_with};

const SCENARIO: &str = r#"
experiment: test
layout: ${size}
factors: {size: [1KiB, 2KiB], kind: ["a, b = \"c\""]}
repetitions: 2
window: 100ms
targets:
  web: {fixture: null-server, port: PORT1}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 2, think: {constant: 5ms}}, duration: 600ms, warm-up: {duration: 200ms}}
    steps: [{get: "/${size}", headers: {x-kind: "${kind}"}}, {get: /other}]
scrape:
  page: {url: "http://127.0.0.1:SERVER/", every: 100ms, metrics: {jobs: {mean: jobs}, kind: {mean: 'odd{kind=~".*"}'}}}
graphs: []
"#;

/// A Python with the parsers and schemas of others.
fn python() -> Option<PathBuf> {
    let packages = ["prometheus-client", "line-protocol-parser", "opentelemetry-proto"];
    let imports = "import prometheus_client, line_protocol_parser, opentelemetry.proto.collector.metrics.v1.metrics_service_pb2";
    python_with("python-of-monitoring", &packages, imports)
}

/// A server with a page; its labels are as odd as they may be.
fn page() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            if stream.read(&mut [0; 4096]).unwrap_or_default() == 0 {
                continue;
            }
            let body = "jobs{cell=\"x\",q=\"a\"} 3\nodd{kind=\"\\\\ \\\" \\n , = }\"} 1.5\n";
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n", body.len());
            let _ = stream.write_all((head + body).as_bytes());
        }
    });
    port
}

fn measured() -> Place {
    let place = Place::with(&SCENARIO.replace("SERVER", &page().to_string()));
    place.run_test().expect(0);
    place
}

/// Runs a Python program in a place, and returns what it prints.
fn run(place: &Place, python: &Path, program: &str) -> String {
    let output = Command::new(python).current_dir(place.path("")).args(["-c", program]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Requests of the measured phase that were right, by the summary of the run.
fn requests(place: &Place) -> u64 {
    let summary = place.summary();
    let cells = summary["cells"].as_array().unwrap();
    let steps = cells.iter().flat_map(|cell| cell["steps"].as_array().unwrap());
    let whole = steps.filter(|step| step["step"] == "(pass)" && step["phase"] == "during");
    whole.map(|step| step["requests"].as_u64().unwrap()).sum()
}

/// Two counts of the requests of a run, which are equal and those of its summary, but for passes between two phases. Returns what follows
/// them.
fn same<'t>(place: &Place, told: &'t str) -> &'t str {
    let mut words = told.trim_end().splitn(3, ' ');
    let [one, other] = [(); 2].map(|()| words.next().unwrap_or_default().parse::<u64>().unwrap_or_else(|_| panic!("{told}")));
    let expected = requests(place);
    assert!(one == other && one > 100 && one.abs_diff(expected) <= 8, "{told}: {expected} in the summary");
    words.next().unwrap_or_default()
}

#[test]
fn prometheus_takes_what_is_exported() {
    let Some(python) = python() else { return };
    let place = measured();
    place.run(&["export", "prometheus", "results", "-o", "run.om"]).expect(0);
    let program = r#"
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read
families = {f.name: f for f in read(open("run.om").read())}
count = sum(s.value for s in families["runner_response_time_seconds"].samples
    if s.name.endswith("_count") and s.labels["step"] == "(pass)" and s.labels["phase"] == "during")
last = {}
for s in families["runner_load_requests"].samples:
    if s.labels["step"] == "(pass)" and s.labels["phase"] == "during":
        last[tuple(sorted(s.labels.items()))] = s.value
cells = {s.labels["factor_size"] for s in families["runner_response_time_seconds"].samples}
kinds = {s.labels["kind"] for s in families["odd"].samples}
assert {s.labels["exported_cell"] for s in families["jobs"].samples} == {"x"}, families["jobs"].samples[0]
assert {s.labels["factor_kind"] for s in families["jobs"].samples} == {'a, b = "c"'}
assert {s.value for s in families["runner_jobs"].samples} == {3.0}
assert families["runner_response_time_seconds"].type == "histogram" and families["runner_load_requests"].type == "counter"
assert families["runner_target_pss_bytes"].type == "gauge" and families["runner_target_cpu_seconds"].type == "counter"
print(int(count), int(sum(last.values())), sorted(cells), kinds == {'\\ " \n , = }'})
"#;
    let told = run(&place, &python, program);
    let rest = same(&place, &told);
    assert_eq!(rest, "['1KiB', '2KiB'] True");

    let Ok(output) = Command::new("promtool")
        .current_dir(place.path(""))
        .args(["tsdb", "create-blocks-from", "openmetrics", "run.om", "tsdb"])
        .output()
    else {
        eprintln!("SKIPPED: promtool is not installed (tests/needs.sh installs it)");
        return;
    };
    assert!(output.status.success(), "{output:?}");
    let blocks = Command::new("promtool").current_dir(place.path("")).args(["tsdb", "list", "tsdb"]).output().unwrap();
    assert!(String::from_utf8_lossy(&blocks.stdout).lines().count() >= 2, "{blocks:?}");
    // This version reads a data base only with a log beside its blocks.
    std::fs::create_dir_all(place.path("tsdb/wal")).unwrap();
    let dumped = Command::new("promtool")
        .current_dir(place.path(""))
        .args([
            "tsdb",
            "dump",
            "--match",
            "{__name__=\"runner_response_time_seconds_count\",step=\"(pass)\",phase=\"during\"}",
            "tsdb",
        ])
        .output()
        .unwrap();
    let values = String::from_utf8_lossy(&dumped.stdout)
        .lines()
        .filter_map(|line| line.rsplit(' ').nth(1)?.parse::<u64>().ok())
        .sum::<u64>();
    same(&place, &format!("{values} {values}"));
}

#[test]
fn opentelemetry_takes_what_is_exported() {
    let Some(python) = python() else { return };
    let place = measured();
    place.run(&["export", "otlp", "results", "-o", "run.jsonl"]).expect(0);
    let program = r#"
from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest as Request
count = requests = 0
for line in open("run.jsonl"):
    found = json_format.Parse(line, Request()).resource_metrics[0]
    names = {a.key: a.value.string_value for a in found.resource.attributes}
    assert names["service.name"] == "runner" and names["runner.factor.kind"] == 'a, b = "c"', names
    metrics = {m.name: m for m in found.scope_metrics[0].metrics}
    assert len(metrics) == len(found.scope_metrics[0].metrics)
    for p in metrics["runner.response_time"].exponential_histogram.data_points:
        of = {a.key: a.value.string_value for a in p.attributes}
        assert sum(p.positive.bucket_counts) + p.zero_count == p.count and len(p.positive.bucket_counts) <= 160
        base = 2 ** (2 ** -p.scale)
        low, high = base ** p.positive.offset, base ** (p.positive.offset + len(p.positive.bucket_counts))
        assert low < p.min <= p.max <= high * 1.000001, (low, p.min, p.max, high)
        assert p.min * p.count <= p.sum * 1.01 and p.sum <= p.max * p.count * 1.01
        if of["step"] == "(pass)" and of["phase"] == "during":
            count += p.count
    last = {}
    for p in metrics["runner.load.requests"].sum.data_points:
        of = {a.key: a.value.string_value for a in p.attributes}
        if of["step"] == "(pass)" and of["phase"] == "during":
            last[tuple(sorted(of.items()))] = p.as_double
    requests += sum(last.values())
    assert metrics["runner.response_time"].unit == "s" and metrics["runner.throughput"].unit == "1/s"
    assert metrics["runner.load.requests"].sum.is_monotonic and metrics["runner.target.pss"].unit == "By"
print(count, int(requests))
"#;
    assert_eq!(same(&place, &run(&place, &python, program)), "");
}

#[test]
fn influxdb_takes_what_is_exported() {
    let Some(python) = python() else { return };
    let place = measured();
    place.run(&["export", "influx", "results", "-o", "run.lp"]).expect(0);
    let program = r#"
from line_protocol_parser import parse_line
count = 0
measurements, kinds = set(), set()
for line in open("run.lp"):
    found = parse_line(line.rstrip("\n"))
    measurements.add(found["measurement"])
    tags, fields = found["tags"], found["fields"]
    kinds.add(tags["factor_kind"])
    assert found["time"] > 1.6e18
    if found["measurement"] == "runner_response_time_seconds":
        bounds = [(float(k), v) for k, v in fields.items() if k not in ("sum", "count", "+Inf")]
        assert [v for _, v in sorted(bounds)] == sorted(v for _, v in bounds) and fields["+Inf"] == fields["count"]
        if tags["step"] == "(pass)" and tags["phase"] == "during":
            count += fields["count"]
print(count, count, sorted(measurements), kinds)
"#;
    let expected = "['jobs', 'odd', 'runner_figures', 'runner_load', 'runner_response_time_seconds', 'runner_service_time_seconds', \
                    'runner_targets', 'scrape_duration_seconds', 'up'] {'a, b = \"c\"'}";
    assert_eq!(same(&place, &run(&place, &python, program)), expected);
}

/// Heads and bodies of requests.
type Kept = Arc<Mutex<Vec<(String, Json)>>>;

/// A receiver of OTLP over HTTP, which keeps what it gets.
fn receiver(answer: &'static str, slow: Duration) -> (u16, Kept) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let kept = Kept::default();
    let keeps = Arc::clone(&kept);
    let take = move |mut stream: TcpStream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
            head += &line;
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        keeps.lock().unwrap().push((head, serde_json::from_slice(&body).unwrap()));
        std::thread::sleep(slow);
        let _ = write!(stream, "HTTP/1.1 {answer}\r\ncontent-length: 2\r\n\r\n{{}}");
    };
    std::thread::spawn(move || listener.incoming().for_each(|stream| take(stream.unwrap())));
    (port, kept)
}

#[test]
fn a_receiver_is_told_of_a_run_while_it_lasts() {
    let (port, kept) = receiver("200 OK", Duration::ZERO);
    let scenario = SCENARIO
        .replace("SERVER", &page().to_string())
        .replace("duration: 600ms", "duration: 3s")
        .replace("repetitions: 2", "repetitions: 1");
    let place = Place::with(&scenario);
    let outcome = place.run(&["run", "test.yaml", "--otlp", &format!("http://127.0.0.1:{port}")]).expect(0);
    assert!(!outcome.stderr.contains("requests to http"), "{}", outcome.stderr);
    let kept = kept.lock().unwrap();
    assert!(
        kept.iter().all(|(head, _)| head.starts_with("POST /v1/metrics ") && head.contains("application/json")),
        "{:?}",
        kept[0].0
    );
    let names = |request: &Json| -> Vec<String> {
        let metrics = request["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().unwrap();
        metrics.iter().map(|metric| metric["name"].as_str().unwrap().to_owned()).collect()
    };
    let having = |name: &str| kept.iter().filter(|(_, request)| names(request).iter().any(|found| found == name)).count();
    assert!(
        having("runner.live.throughput") >= 2,
        "while a load lasts: {:?}",
        kept.iter().map(|(_, r)| names(r)).collect::<Vec<_>>()
    );
    assert!(having("runner.live.target_pss") >= 2);
    assert_eq!(having("runner.response_time"), 2, "each repetition with its histograms");
}

#[test]
fn a_receiver_that_is_away_or_refuses_costs_no_run() {
    let place = Place::with(&SCENARIO.replace("SERVER", &page().to_string()));
    place
        .run(&["run", "test.yaml", "--otlp", "ftp://127.0.0.1"])
        .expect(2)
        .complains(&["`ftp://127.0.0.1` is not a valid --otlp"]);
    let mut place = Place::with(&SCENARIO.replace("SERVER", &page().to_string()));
    let away = place.port(2);
    place
        .run(&["run", "test.yaml", "--otlp", &format!("http://127.0.0.1:{away}")])
        .expect(0)
        .complains(&["failed: cannot connect to 127.0.0.1:"]);
    let (port, _) = receiver("503 Service Unavailable", Duration::ZERO);
    let place = Place::with(&SCENARIO.replace("SERVER", &page().to_string()));
    place
        .run(&["run", "test.yaml", "--otlp", &format!("http://127.0.0.1:{port}/v1/metrics")])
        .expect(0)
        .complains(&["failed: the status is 503, expected 200"]);
}
