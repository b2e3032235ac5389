//! `runner export torperf` and `runner export onionperf`: what was recorded is in the files, and whoever reads such files takes
//! them. The readers here follow what the readers of Tor's metrics do, which are stricter than any description of the formats.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use runner::record::tables::{Tables, WorkloadNames};
use runner::record::taps::{LoadStart, TapTable};
use runner::record::{FieldKind, TapField};
use runner::vocabulary::rows::{TapRow, TapValue, TransferRow};
use runner::vocabulary::{Outcome, Phase};
use serde_json::Value as Json;

use crate::export::{open, rows};
use crate::support::{Place, copy, files, json, listing, root};

const KEPT: &str = "tests/data/results/format-2/20261122T053326Z-e9ba";

// ---- runs

const MS: u64 = 1_000_000;
/// 2026-11-29T23:59:50.125Z, at which the load began.
const BEGAN: u64 = 1_795_996_790_125 * MS;

/// A download of 50 KiB that began so many milliseconds after the load and took 800 ms.
fn download(start_ms: u64, port: u16) -> TransferRow {
    let at = |ms: u64| Some((start_ms + ms) * MS);
    TransferRow {
        workload: 0,
        step: 0,
        pass: 0,
        phase: Phase::During,
        outcome: Outcome::Ok,
        error: None,
        words: None,
        proxy_code: None,
        unix_ns: BEGAN + start_ms * MS,
        intended_ns: start_ms * MS,
        start_ns: start_ms * MS,
        stages: [at(1), at(2), at(3), at(4), at(300), at(301), at(450)],
        percents: std::array::from_fn(|n| at(450 + 35 * n as u64)),
        parts: std::array::from_fn(|n| if n < 3 { at(500 + 100 * n as u64) } else { None }),
        end_ns: (start_ms + 800) * MS,
        file_bytes: Some(51_200),
        read_bytes: 51_400,
        written_bytes: 120,
        body_read_bytes: 51_200,
        body_written_bytes: 0,
        local: Some(format!("127.0.0.1:{port}")),
        proxy: Some("127.0.0.1:9050".to_owned()),
        remote: "example.test:80".to_owned(),
        isolation: None,
    }
}

/// One that the proxy refused.
fn refused(start_ms: u64, port: u16) -> TransferRow {
    let mut row = download(start_ms, port);
    (row.outcome, row.error, row.proxy_code) = (Outcome::Refused, Some("PROXY"), Some(5));
    row.stages[5..].fill(None);
    (row.percents, row.parts, row.file_bytes) = ([None; 11], [None; 9], None);
    (row.read_bytes, row.body_read_bytes) = (12, 0);
    row
}

fn write_transfers(repetition: &Path, rows: Vec<TransferRow>) {
    let folder = tempfile::tempdir().unwrap();
    let steps = vec!["get".to_owned(), "put".to_owned()];
    let (outcomes, metrics) = (Vec::new(), Vec::new());
    let names = WorkloadNames { workload: "clients".to_owned(), single: steps.len() == 1, steps, outcomes, metrics };
    let mut tables = Tables::create(folder.path(), vec![names]).unwrap();
    rows.into_iter().for_each(|row| tables.transfer(row).unwrap());
    tables.finish().unwrap();
    std::fs::copy(folder.path().join("transfers.parquet"), repetition.join("transfers.parquet")).unwrap();
}

/// A line with the fingerprints of its relays in full, where it has `$A`.
fn spelled(line: &str) -> String {
    ["A", "B", "C"]
        .iter()
        .fold(line.to_owned(), |line, relay| line.replace(&format!("${relay}"), &format!("${}~relay{relay}", relay.repeat(40))))
}

/// Writes the table of a tap, each line with when it was read, in milliseconds since the load.
fn write_tap(repetition: &Path, lines: &[(i64, &str)]) {
    let field = |name: &str| TapField { name: name.to_owned(), kind: FieldKind::Text };
    let mut table = TapTable::new(repetition, None, "control", &[field("event"), field("line")]);
    let instant = Instant::now() + Duration::from_secs(10);
    table.set_start(LoadStart { instant, unix: Duration::from_nanos(BEGAN) });
    for (ms, line) in lines {
        let line = spelled(line);
        let text = |text: &str| TapValue::Text(text.to_owned());
        let at = if *ms < 0 {
            instant - Duration::from_millis(ms.unsigned_abs())
        } else {
            instant + Duration::from_millis(*ms as u64)
        };
        let values = vec![text(line.split(' ').next().unwrap()), text(&line)];
        table.add(TapRow { at, replica: None, join_key: None, values }).unwrap();
    }
    table.finish().unwrap();
}

/// Circuit 68, which carries a stream from port 40001 after 5 s, and refuses one from port 40002 after 8 s.
const LINES: [(i64, &str); 16] = [
    (-500, "GUARD ENTRY $A NEW"),
    (-499, "GUARD ENTRY $A UP"),
    (-400, "BUILDTIMEOUT_SET COMPUTED TOTAL_TIMES=100 TIMEOUT_MS=670 XM=41 ALPHA=2.5 CUTOFF_QUANTILE=0.800000 TIMEOUT_RATE=0.1"),
    (-100, "CIRC 68 LAUNCHED BUILD_FLAGS=NEED_CAPACITY PURPOSE=GENERAL TIME_CREATED=2026-11-29T23:59:50.025000"),
    (-50, "CIRC 68 EXTENDED $A BUILD_FLAGS=NEED_CAPACITY PURPOSE=GENERAL"),
    (20, "CIRC 68 EXTENDED $A,$B BUILD_FLAGS=NEED_CAPACITY PURPOSE=GENERAL"),
    (70, "CIRC 68 EXTENDED $A,$B,$C BUILD_FLAGS=NEED_CAPACITY PURPOSE=GENERAL"),
    (70, "CIRC 68 BUILT $A,$B,$C BUILD_FLAGS=NEED_CAPACITY PURPOSE=GENERAL SOCKS_USERNAME=\"a \\\"b\\\"\""),
    (5004, "STREAM 64 NEW 0 example.test:80 SOURCE_ADDR=127.0.0.1:40001 PURPOSE=USER"),
    (5005, "STREAM 64 SENTCONNECT 67 example.test:80"),
    (5300, "STREAM 64 SUCCEEDED 68 10.0.0.1:80"),
    (5801, "STREAM 64 CLOSED 68 10.0.0.1:80 REASON=DONE"),
    (8004, "STREAM 65 NEW 0 example.test:80 SOURCE_ADDR=127.0.0.1:40002 PURPOSE=USER"),
    (8300, "STREAM 65 FAILED 68 example.test:80 REASON=END REMOTE_REASON=CONNECTREFUSED"),
    (8301, "STREAM 65 CLOSED 68 example.test:80 REASON=END REMOTE_REASON=CONNECTREFUSED"),
    (9000, "STREAM_BW 64 120 51400 2026-11-29T23:59:59.000000"),
];

/// A run of two cells: in the first each kind of transfer, and a control port; in the second one download the day after.
fn recorded() -> (Place, PathBuf) {
    let place = Place::new();
    let run = place.path("run/20261122T053326Z-e9ba");
    copy(&root().join(KEPT), &run);
    let first = run.join("cells/open/run1");
    let warm_up = TransferRow { phase: Phase::WarmUp, ..download(1000, 40_000) };
    let upload =
        TransferRow { step: 1, body_read_bytes: 0, body_written_bytes: 4096, file_bytes: Some(4096), ..download(7000, 40_004) };
    let failed_upload = TransferRow { step: 1, ..refused(7500, 40_005) };
    let unjoined = TransferRow { isolation: Some("x".to_owned()), ..download(6000, 40_003) };
    let rows = vec![warm_up, download(5000, 40_001), unjoined, upload, failed_upload, refused(8000, 40_002)];
    write_transfers(&first, rows);
    write_tap(&first, &LINES);
    // A tap that reads something else.
    let field = [TapField { name: "event".to_owned(), kind: FieldKind::Text }];
    TapTable::new(&first, None, "log", &field).finish().unwrap();
    // The same Tor started anew: the same numbers mean something else.
    let second = run.join("cells/open/run2");
    write_transfers(&second, vec![download(5000, 40_001)]);
    write_tap(&second, &LINES);
    write_transfers(&run.join("cells/closed/run1"), vec![download(20_000, 40_001)]);
    (place, run)
}

// ---- Torperf

type Line = BTreeMap<String, String>;

/// Reads a file as strictly as the readers of Tor's metrics: one line that is not understood refuses all of it.
fn read_torperf(text: &str) -> Result<Vec<Line>, String> {
    let body = text.strip_prefix("@type torperf 1.").ok_or("it does not begin with its type")?;
    let (minor, body) = body.split_once('\n').ok_or("there is nothing but a type")?;
    minor.trim_end_matches('\r').parse::<u32>().map_err(|e| e.to_string())?;
    let body = body.strip_suffix('\n').ok_or("the last line does not end")?;
    body.split('\n').map(|line| read_line(line.strip_suffix('\r').unwrap_or(line))).collect()
}

fn read_line(line: &str) -> Result<Line, String> {
    let mut found = Line::new();
    for field in line.split(' ') {
        let (key, value) = field.split_once('=').ok_or_else(|| format!("`{field}` is no field"))?;
        if value.is_empty() || value.contains('=') {
            return Err(format!("`{field}` has no value, or two"));
        }
        check(key, value).map_err(|words| format!("{key}: `{value}` {words}"))?;
        if found.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(format!("{key} stands there twice"));
        }
    }
    let required = "SOURCE FILESIZE START SOCKET CONNECT NEGOTIATE REQUEST RESPONSE DATAREQUEST DATARESPONSE DATACOMPLETE WRITEBYTES READBYTES";
    match required.split(' ').find(|key| !found.contains_key(*key)) {
        Some(key) => Err(format!("{key} is missing")),
        None => Ok(found),
    }
}

fn check(key: &str, value: &str) -> Result<(), &'static str> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let decimal = |text: &str| text.split_once('.').is_some_and(|(whole, part)| digits(whole) && digits(part));
    let is_time = ["DATAPERC", "PARTIAL"].iter().any(|prefix| key.strip_prefix(prefix).is_some_and(digits))
        || "START SOCKET CONNECT NEGOTIATE REQUEST RESPONSE DATAREQUEST DATARESPONSE DATACOMPLETE LAUNCH USED_AT"
            .split(' ')
            .any(|k| k == key);
    let is_hop = |hop: &str| {
        hop.strip_prefix('$')
            .is_some_and(|f| f.len() == 40 && f.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b)))
    };
    let fits = match key {
        _ if is_time => decimal(value),
        "FILESIZE" | "WRITEBYTES" | "READBYTES" | "TIMEOUT" | "CIRC_ID" | "USED_BY" => {
            value.parse::<i32>().is_ok_and(|number| number >= 0)
        }
        "DIDTIMEOUT" => ["0", "1"].contains(&value),
        "PATH" => value.split(',').all(is_hop),
        "BUILDTIMES" => value.split(',').all(decimal),
        "QUANTILE" => decimal(value),
        "SOURCE" | "ENDPOINTLOCAL" | "ENDPOINTPROXY" | "ENDPOINTREMOTE" | "HOSTNAMELOCAL" | "HOSTNAMEREMOTE"
        | "SOURCEADDRESS" | "ERRORCODE" => true,
        _ => return Err("is of an unknown key"),
    };
    if fits { Ok(()) } else { Err("is not what it should be") }
}

#[test]
fn the_reader_is_strict() {
    let line = "CONNECT=1.0 DATACOMPLETE=0.0 DATAREQUEST=1.0 DATARESPONSE=1.0 FILESIZE=1 NEGOTIATE=1.0 READBYTES=1 REQUEST=1.0 \
                RESPONSE=1.0 SOCKET=1.0 SOURCE=a START=1.0 WRITEBYTES=1";
    let read = |line: &str| read_torperf(&format!("@type torperf 1.1\n{line}\n"));
    assert_eq!(read(line).unwrap().len(), 1);
    assert_eq!(read(&format!("{line}\r\n{line}")).unwrap().len(), 2);
    let long = "A".repeat(40);
    for wrong in [
        line.replace("START=1.0", "START=1"),
        line.replace("START=1.0", "START=-1.0"),
        line.replace("START=1.0", "START=1."),
        line.replace("FILESIZE=1", "FILESIZE=3000000000"),
        line.replace("START=1.0 ", ""),
        line.replace(' ', "  "),
        format!("{line} START=1.0"),
        format!("{line} PATH=${long}~nick"),
        format!("{line} BUILDTIMES=1"),
        format!("{line} ERRORCODE="),
        format!("{line}\n"),
        format!("\n{line}"),
        format!("{line} "),
    ] {
        assert!(read(&wrong).is_err(), "{wrong}");
    }
    assert!(read(&format!("{line} PATH=${long},${long} BUILDTIMES=1.0,2.0")).is_ok());
    assert!(read_torperf(line).is_err() && read_torperf(&format!("@type torperf 1.1\n{line}")).is_err());
}

#[test]
fn downloads_are_torperf_lines_with_their_circuits() {
    let (place, run) = recorded();
    let run = run.to_str().unwrap();
    let said = place.run(&["export", "torperf", run, "-o", "out", "--source", "op-1"]).expect(0).stderr;
    for part in [
        "format-2/20261122T053326Z-e9ba: exported, 4 repetitions",
        "5 transfers of op-1-open, op-1-closed in 2 files",
        "note: 1 transfer of the warm-up left out",
        "note: 2 transfers left out that sent something",
        "note: 1 transfer without a stream at the control port",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let names = ["export.json", "op-1-closed-51200-2026-11-30.tpf", "op-1-open-51200-2026-11-29.tpf"];
    assert_eq!(listing(&place.path("out")), names, "{said}");
    let text = std::fs::read_to_string(place.path("out").join(names[2])).unwrap();
    let lines = read_torperf(&text).unwrap_or_else(|words| panic!("{words}: {text}"));
    assert_eq!(lines.len(), 4);
    for line in text.lines().skip(1) {
        assert!(line.split(' ').is_sorted_by_key(|field| field.split('=').next().unwrap().to_owned()), "{line}");
    }
    let values = |line: &Line, keys: &str| -> String {
        keys.split(' ').map(|key| line.get(key).map_or("–", String::as_str).to_owned()).collect::<Vec<_>>().join(" ")
    };
    let joined = &lines[0];
    let keys = "SOURCE FILESIZE START SOCKET CONNECT NEGOTIATE REQUEST RESPONSE DATAREQUEST DATARESPONSE DATACOMPLETE";
    assert_eq!(
        values(joined, keys),
        "op-1-open 51200 1795996795.13 1795996795.13 1795996795.13 1795996795.13 1795996795.13 1795996795.43 1795996795.43 1795996795.58 1795996795.93"
    );
    assert_eq!(values(joined, "WRITEBYTES READBYTES DIDTIMEOUT ERRORCODE SOURCEADDRESS"), "120 51400 0 – –");
    assert_eq!(values(joined, "DATAPERC0 DATAPERC50 DATAPERC100"), "1795996795.58 1795996795.75 1795996795.93");
    assert_eq!(values(joined, "PARTIAL10240 PARTIAL51200 PARTIAL102400"), "1795996795.63 1795996795.83 –");
    let ends = "ENDPOINTLOCAL ENDPOINTPROXY ENDPOINTREMOTE HOSTNAMELOCAL HOSTNAMEREMOTE";
    let expected = "localhost:127.0.0.1:40001 localhost:127.0.0.1:9050 example.test:0.0.0.0:80 op-1-open example.test";
    assert_eq!(values(joined, ends), expected);
    assert_eq!(values(joined, "CIRC_ID USED_BY TIMEOUT QUANTILE"), "68 64 670 0.800000");
    assert_eq!(values(joined, "LAUNCH USED_AT BUILDTIMES"), "1795996790.03 1795996795.93 0.050,0.120,0.170");
    let path = ["A", "B", "C"].map(|relay| format!("${}", relay.repeat(40))).join(",");
    assert_eq!(joined["PATH"], path);
    // What another repetition did at the same time is a line, too; then the one without a stream, and the one that was refused.
    assert_eq!(lines[1]["START"], joined["START"]);
    assert_eq!(values(&lines[2], "START CIRC_ID PATH LAUNCH USED_AT USED_BY TIMEOUT"), "1795996796.13 – – – – – –");
    let failed = &lines[3];
    assert_eq!(values(failed, "FILESIZE DIDTIMEOUT ERRORCODE CIRC_ID USED_BY"), "51200 1 TOR/END/CONNECTREFUSED 68 65");
    assert_eq!(values(failed, "RESPONSE DATAREQUEST DATARESPONSE DATACOMPLETE DATAPERC0"), "1795996798.43 0.0 0.0 0.0 –");
    let other = std::fs::read_to_string(place.path("out").join(names[1])).unwrap();
    assert_eq!(read_torperf(&other).unwrap()[0]["SOURCE"], "op-1-closed");

    // Again: the same bytes in the place of the others.
    let before: Vec<Vec<u8>> = names.map(|name| std::fs::read(place.path("out").join(name)).unwrap()).to_vec();
    place.run(&["export", "torperf", run, "-o", "out", "--source", "op-1"]).expect(0);
    let after: Vec<Vec<u8>> = names.map(|name| std::fs::read(place.path("out").join(name)).unwrap()).to_vec();
    assert!(before == after && listing(&place.path("out")) == names);
}

#[test]
fn what_cannot_be_exported_is_refused_and_told() {
    let (mut place, run) = recorded();
    let kept = root().join(KEPT);
    for form in ["torperf", "onionperf"] {
        let export = |run: &Path, more: &[&str]| {
            let words: Vec<&str> = ["export", form, run.to_str().unwrap(), "-o", "out"].iter().chain(more).copied().collect();
            place.run(&words)
        };
        let words = "20261122T053326Z-e9ba: this run has no transfers: `stages: true` records them";
        export(&kept, &[]).expect(2).complains(&[words]);
        export(&run, &["--source", "a b"]).expect(2).complains(&["`a b` is not a valid --source: expected"]);
        assert!(!place.path("out").exists());
    }
    std::fs::create_dir(place.path("mine")).unwrap();
    place.write("mine/notes.txt", "mine");
    let run_text = run.to_str().unwrap();
    place.run(&["export", "torperf", run_text, "-o", "mine"]).expect(2).complains(&["mine contains `notes.txt`"]);
    place.run(&["export", "onionperf", run_text, "-o", "mine"]).expect(2).complains(&["`runner export onionperf` made"]);
    // A cell by itself needs no name of its own; a table that is damaged is named, and the rest is there.
    std::fs::remove_file(run.join("cells/closed/run1/transfers.parquet")).unwrap();
    std::fs::write(run.join("cells/open/run2/transfers.parquet"), "no table").unwrap();
    let said = place.run(&["export", "torperf", run_text, "-o", "out"]).expect(0).stderr;
    assert!(said.contains("run2/transfers.parquet") && said.contains("unreadable parts are not exported"), "{said}");
}

// ---- OnionPerf

fn text<'j>(json: &'j Json, place: &str) -> &'j str {
    json.as_str().unwrap_or_else(|| panic!("{place}: {json} is not a text"))
}

fn keys(json: &Json, place: &str, must: &str, may: &str) {
    let found: BTreeSet<&str> =
        json.as_object().unwrap_or_else(|| panic!("{place}: {json}")).keys().map(String::as_str).collect();
    for key in must.split_whitespace() {
        assert!(found.contains(key), "{place}: {key} is missing");
    }
    for key in found {
        assert!(
            must.split_whitespace().chain(may.split_whitespace()).any(|known| known == key),
            "{place}: {key} is not expected"
        );
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether these are pairs of a text that fits and of seconds.
fn pairs(json: &Json, place: &str, fits: impl Fn(&str) -> bool) {
    for pair in json.as_array().unwrap_or_else(|| panic!("{place}: {json}")) {
        assert!(pair.as_array().is_some_and(|pair| pair.len() == 2), "{place}: {pair}");
        assert!(fits(text(&pair[0], place)) && pair[1].as_f64().is_some_and(|s| s >= 0.0), "{place}: {pair}");
    }
}

/// Holds a document against version 3.1 of the format.
fn validate(document: &Json) {
    keys(document, "document", "type version data", "filters");
    assert_eq!((document["type"].as_str(), document["version"].as_str()), (Some("onionperf"), Some("3.1")));
    for (nick, data) in document["data"].as_object().unwrap() {
        assert!(nick.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') && !nick.is_empty(), "{nick}");
        keys(data, nick, "measurement_ip tgen tor", "");
        text(&data["measurement_ip"], nick);
        keys(&data["tgen"], nick, "streams", "");
        for (id, transfer) in data["tgen"]["streams"].as_object().unwrap() {
            validate_transfer(id, transfer);
        }
        keys(&data["tor"], nick, "circuits streams", "guards");
        for (id, circuit) in data["tor"]["circuits"].as_object().unwrap() {
            validate_circuit(id, circuit);
        }
        for (id, stream) in data["tor"]["streams"].as_object().unwrap() {
            let may = "failure_reason_local failure_reason_remote source";
            keys(stream, id, "circuit_id elapsed_seconds stream_id target unix_ts_end unix_ts_start", may);
            assert_eq!(stream["stream_id"].as_u64().map(|number| number.to_string()).as_ref(), Some(id));
            assert!(stream["circuit_id"].is_null() || is_digits(text(&stream["circuit_id"], id)));
            pairs(&stream["elapsed_seconds"], id, |event| event.contains(':'));
            assert!(stream["unix_ts_start"].as_f64().unwrap() <= stream["unix_ts_end"].as_f64().unwrap());
            // Whoever follows a stream to a circuit that is there expects a path.
            let circuit = &data["tor"]["circuits"][stream["circuit_id"].as_str().unwrap_or_default()];
            assert!(circuit.is_null() || circuit["path"].is_array(), "{id}");
        }
        for guard in data["tor"]["guards"].as_array().unwrap() {
            keys(guard, "guard", "fingerprint nickname", "new_ts up_ts down_ts dropped_ts");
        }
    }
}

fn validate_transfer(id: &str, transfer: &Json) {
    let must =
        "byte_info is_complete is_error is_success stream_id stream_info time_info transport_info unix_ts_end unix_ts_start";
    keys(transfer, id, must, "elapsed_seconds");
    assert_eq!(transfer["stream_id"].as_str(), Some(id));
    let groups = [
        (
            "byte_info",
            "payload-bytes-recv payload-bytes-send payload-progress-recv payload-progress-send total-bytes-recv total-bytes-send",
        ),
        ("stream_info", "error id name peername recvsize recvstate sendsize sendstate vertexid"),
        (
            "time_info",
            "created-ts now-ts usecs-to-checksum-recv usecs-to-checksum-send usecs-to-command usecs-to-first-byte-recv \
             usecs-to-first-byte-send usecs-to-last-byte-recv usecs-to-last-byte-send usecs-to-proxy-choice usecs-to-proxy-init \
             usecs-to-proxy-request usecs-to-proxy-response usecs-to-response usecs-to-socket-connect usecs-to-socket-create",
        ),
        ("transport_info", "error fd local proxy remote state"),
    ];
    for (group, names) in groups {
        keys(&transfer[group], id, names, "");
        for (key, value) in transfer[group].as_object().unwrap() {
            let value = text(value, key);
            match key.as_str() {
                key if key.contains("progress") => {
                    let (whole, part) = value.strip_suffix('%').and_then(|value| value.split_once('.')).unwrap();
                    assert!(is_digits(whole) && is_digits(part), "{key}: {value}");
                }
                key if key.contains("bytes") || key.ends_with("size") || key.ends_with("-ts") => {
                    assert!(is_digits(value), "{key}: {value}")
                }
                key if key.starts_with("usecs") => assert!(value == "-1" || is_digits(value), "{key}: {value}"),
                "local" | "proxy" | "remote" => assert!(value.split(':').count() >= 3, "{key}: {value}"),
                _ => {}
            }
        }
    }
    let truth = |key: &str| transfer[key].as_bool().unwrap();
    assert!(truth("is_complete") && truth("is_success") != truth("is_error"));
    assert_eq!(truth("is_success"), transfer["stream_info"]["error"] == "NONE");
    assert!(transfer["unix_ts_start"].as_f64().unwrap() <= transfer["unix_ts_end"].as_f64().unwrap());
    assert_eq!(transfer["elapsed_seconds"].is_object(), truth("is_success"));
    if truth("is_success") {
        let names = "payload_bytes_recv payload_bytes_send payload_progress_recv payload_progress_send";
        keys(&transfer["elapsed_seconds"], id, names, "");
        for (group, values) in transfer["elapsed_seconds"].as_object().unwrap() {
            for (key, value) in values.as_object().unwrap() {
                let progress = key.len() == 3 && (key.starts_with("0.") || key == "1.0");
                assert!(
                    value.as_f64().is_some_and(|s| s >= 0.0)
                        && if group.contains("progress") { progress } else { is_digits(key) }
                );
            }
        }
    }
}

fn validate_circuit(id: &str, circuit: &Json) {
    let may = "build_quantile build_timeout buildtime_seconds cbt_set current_guards failure_reason_local failure_reason_remote filtered_out path";
    keys(circuit, id, "circuit_id elapsed_seconds unix_ts_end unix_ts_start", may);
    assert_eq!(circuit["circuit_id"].as_u64().map(|number| number.to_string()).as_deref(), Some(id));
    pairs(&circuit["elapsed_seconds"], id, |event| !event.is_empty());
    assert!(circuit["cbt_set"].is_boolean() && circuit["filtered_out"].is_boolean());
    assert!(circuit["build_timeout"].is_null() || circuit["build_timeout"].is_u64());
    assert!(circuit["build_quantile"].is_null() || circuit["build_quantile"].is_f64());
    if !circuit["path"].is_null() {
        pairs(&circuit["path"], id, |hop| {
            let (fingerprint, nick) = hop.strip_prefix('$').and_then(|hop| hop.split_once('~')).unwrap();
            fingerprint.len() == 40 && (1..=19).contains(&nick.len()) && nick.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
    }
    for guard in circuit["current_guards"].as_array().into_iter().flatten() {
        keys(guard, id, "fingerprint nickname up_ts", "new_ts down_ts dropped_ts");
    }
}

#[test]
fn transfers_circuits_and_streams_are_an_analysis_of_onionperf() {
    let (place, run) = recorded();
    let run = run.to_str().unwrap();
    place.run(&["export", "onionperf", run, "-o", "out", "--source", "op-1"]).expect(0);
    let days = ["2026-11-29", "2026-11-30"].map(|day| format!("{day}.onionperf.analysis.json"));
    let logs = ["2026-11-29.op-1-open-2.torctl.log", "2026-11-29.op-1-open.torctl.log"];
    let expected: BTreeSet<String> = ["export.json".to_owned()]
        .into_iter()
        .chain(days.clone())
        .chain(days.clone().map(|day| format!("{day}.xz")))
        .chain(logs.map(str::to_owned))
        .collect();
    assert_eq!(files(&place.path("out")).into_iter().collect::<BTreeSet<_>>(), expected);
    let documents = days.clone().map(|day| json(&place.path("out").join(day)));
    documents.iter().for_each(validate);
    let data = &documents[0]["data"]["op-1-open"];
    assert_eq!(data["measurement_ip"], "unknown");
    // Two downloads in the first repetition, two that sent or were to, one that was refused, and one in the second.
    let transfers: Vec<&Json> = data["tgen"]["streams"].as_object().unwrap().values().collect();
    assert_eq!(transfers.len(), 6);
    let of = |number: &str| *transfers.iter().find(|transfer| transfer["stream_info"]["id"] == number).unwrap();
    let first = of("1");
    assert_eq!(first["unix_ts_start"].as_f64(), Some(1_795_996_795.125));
    assert_eq!(first["unix_ts_end"].as_f64(), Some(1_795_996_795.925));
    let time = |key: &str| text(&first["time_info"][key], key);
    assert_eq!(
        ["socket-create", "proxy-choice", "command", "first-byte-recv", "last-byte-recv"]
            .map(|key| time(&format!("usecs-to-{key}"))),
        ["1000", "3000", "301000", "450000", "800000"]
    );
    assert_eq!(first["elapsed_seconds"]["payload_progress_recv"]["0.5"].as_f64(), Some(0.625));
    assert_eq!(first["elapsed_seconds"]["payload_bytes_recv"]["51200"].as_f64(), Some(0.7));
    assert_eq!(first["byte_info"]["payload-progress-recv"], "100.00%");
    assert_eq!(first["transport_info"]["remote"], "example.test:0.0.0.0:80");
    let failed = of("5");
    assert_eq!((failed["stream_info"]["error"].as_str(), failed["is_error"].as_bool()), (Some("PROXY"), Some(true)));
    assert_eq!(failed["time_info"]["usecs-to-last-byte-recv"], "-1");
    // The circuit of the second repetition has another number than that of the first, and its streams lead to it.
    let circuits = data["tor"]["circuits"].as_object().unwrap();
    assert_eq!(circuits.keys().collect::<Vec<_>>(), ["1000068", "68"]);
    let circuit = &circuits["68"];
    assert_eq!(circuit["buildtime_seconds"].as_f64(), Some(0.17));
    assert_eq!((circuit["build_timeout"].as_u64(), circuit["cbt_set"].as_bool()), (Some(670), Some(true)));
    assert_eq!(circuit["current_guards"][0]["nickname"], "relayA");
    assert_eq!(circuit["elapsed_seconds"][0][0], "GENERAL:LAUNCHED");
    assert_eq!(circuit["unix_ts_end"].as_f64(), Some(1_795_996_799.125), "it was open when the last event was read");
    let streams = data["tor"]["streams"].as_object().unwrap();
    let lead: Vec<(&str, &str)> = streams.iter().map(|(id, stream)| (id.as_str(), text(&stream["circuit_id"], id))).collect();
    assert_eq!(lead, [("1000064", "1000068"), ("1000065", "1000068"), ("64", "68"), ("65", "68")]);
    assert_eq!(streams["65"]["failure_reason_remote"], "CONNECTREFUSED");
    assert_eq!(streams["64"]["source"], "127.0.0.1:40001");

    // The compressed document is the same, for a reader that is none of ours.
    let script = "import lzma, sys\nfor name in sys.argv[1:]:\n    assert lzma.open('out/' + name + '.xz').read() == open('out/' + name, 'rb').read()\nprint('same')";
    let output = Command::new("/usr/bin/python3").args(["-c", script]).args(&days).current_dir(place.path("")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "same\n", "{output:?}");

    let log = std::fs::read_to_string(place.path("out").join(logs[1])).unwrap();
    let lines: Vec<&str> = log.split_inclusive("\r\n").collect();
    assert_eq!(lines.len(), LINES.len() + 1);
    assert!(lines[0].contains("Starting torctl program on host op-1-open "), "{}", lines[0]);
    assert_eq!(lines[1], format!("2026-11-29 23:59:49 1795996789.63 650 {}\r\n", spelled(LINES[0].1)));
}

// ---- as tables

#[test]
fn transfers_circuits_and_streams_are_tables() {
    let (place, run) = recorded();
    place.run(&["export", "sqlite", run.to_str().unwrap(), "-o", "r.db"]).expect(0);
    let database = open(&place);
    let query =
        "SELECT t.step, t.outcome, t.error, t.start_ns, t.perc50_ns, t.bytes51200_ns, t.local, s.stream, c.circuit, c.closed
                 FROM transfers AS t LEFT JOIN transfer_streams AS x USING (repetition_id, row)
                 LEFT JOIN streams AS s ON s.repetition_id = t.repetition_id AND s.tap = x.tap AND s.row = x.stream_row
                 LEFT JOIN circuits AS c ON c.repetition_id = t.repetition_id AND c.tap = s.tap AND c.row = s.circuit_row
                 WHERE t.phase = 'during' AND t.file_bytes IS NOT NULL AND t.step = 'get' ORDER BY t.repetition_id, t.row";
    let found = rows(&database, query, |row| {
        let words: (String, String, Option<String>) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let times: (i64, i64, i64) = (row.get(3)?, row.get(4)?, row.get(5)?);
        let joined: (String, Option<i64>, Option<i64>, Option<i64>) = (row.get(6)?, row.get(7)?, row.get(8)?, row.get(9)?);
        Ok((words, times, joined))
    });
    assert_eq!(found.len(), 4);
    let at = |(start, half, part): (i64, i64, i64)| [start, half, part].map(|ns| ns / MS as i64);
    let joined = found.iter().find(|row| row.2.1.is_some()).unwrap();
    assert_eq!(joined.0, ("get".to_owned(), "ok".to_owned(), None));
    assert_eq!(at(joined.1), [5000, 5625, 5700]);
    assert_eq!(joined.2, ("127.0.0.1:40001".to_owned(), Some(64), Some(68), Some(0)));
    assert_eq!(found.iter().filter(|row| row.2.1.is_some()).count(), 2);
    let query = "SELECT path, timeout_ms, quantile, timeout_set FROM circuits LIMIT 1";
    let circuit = rows(&database, query, |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, f64>(2)?, row.get::<_, i64>(3)?))
    });
    assert_eq!(circuit, [(spelled("$A,$B,$C"), 670, 0.8, 1)]);
    let text = |query: &str| rows(&database, query, |row| row.get::<_, String>(0));
    let query = "SELECT hop || ' ' || relay || ' ' || (since_launch_ns / 1000000) || ' ' || build_flags FROM circuit_hops
                 JOIN circuits USING (repetition_id, tap, row) ORDER BY repetition_id, hop LIMIT 3";
    let hop = |words: &str| spelled(words) + " NEED_CAPACITY";
    assert_eq!(text(query), [("1 $A", 50), ("2 $B", 120), ("3 $C", 170)].map(|(relay, ms)| hop(&format!("{relay} {ms}"))));
    let query =
        "SELECT nickname || ' ' || (new_ns / 1000000) || ' ' || (up_ns / 1000000) || ' ' || (down_ns IS NULL) FROM guards";
    assert_eq!(text(query), ["relayA -500 -499 1", "relayA -500 -499 1"]);
    let query =
        "SELECT status || ' ' || total_times || ' ' || timeout_ms || ' ' || quantile || ' ' || timeout_rate FROM build_timeouts";
    assert_eq!(text(query)[0], "COMPUTED 100 670 0.8 0.1");
    // The words of OnionPerf, as in `ERRORCODE` of Torperf's files.
    let query = "SELECT error_code || ' ' || stream FROM transfer_circuits WHERE error_code IS NOT NULL AND stream IS NOT NULL";
    assert_eq!(text(query), ["TOR/END/CONNECTREFUSED 65"]);
    let query = "SELECT became || ' ' || streams || ' ' || transfers FROM circuit_use";
    assert_eq!(text(query), ["used 2 2", "used 2 1"]);
}

/// A day with circuits and without a transfer: OnionPerf's `visualize` stumbles over such a document, so there is none.
#[test]
fn a_day_without_transfers_is_no_document_of_onionperf() {
    let (place, run) = recorded();
    let first = run.join("cells/open/run1");
    // The day after, ten seconds and a half after the load began, a circuit; nothing is fetched on that day by that cell.
    let more = [
        (10_500, "CIRC 70 LAUNCHED BUILD_FLAGS=NEED_CAPACITY PURPOSE=GENERAL"),
        (10_600, "CIRC 70 BUILT $A,$B,$C PURPOSE=GENERAL"),
    ];
    std::fs::remove_file(first.join("taps/control.parquet")).unwrap();
    write_tap(&first, &[&LINES[..], &more].concat());
    let closed = run.join("cells/closed/run1/transfers.parquet");
    let exported = |folder: &str| {
        let outcome = place.run(&["export", "onionperf", run.to_str().unwrap(), "-o", folder, "--source", "op-1"]);
        outcome.expect(0).complains(&["1 day of a source with circuits but without transfers left out"]);
        files(&place.path(folder)).into_iter().filter(|name| name.ends_with(".json") && name != "export.json").collect::<Vec<_>>()
    };
    assert_eq!(exported("both"), ["2026-11-29", "2026-11-30"].map(|day| format!("{day}.onionperf.analysis.json")));
    let second = json(&place.path("both/2026-11-30.onionperf.analysis.json"));
    validate(&second);
    assert_eq!(second["data"].as_object().unwrap().keys().collect::<Vec<_>>(), ["op-1-closed"]);
    std::fs::remove_file(closed).unwrap();
    let outcome = place.run(&["export", "onionperf", run.to_str().unwrap(), "-o", "one", "--source", "op-1"]);
    outcome.expect(0).complains(&["1 day of a source with circuits but without transfers left out"]);
    assert!(!place.path("one/2026-11-30.onionperf.analysis.json").exists());
}

// ---- a real Tor

/// What `tests/tor` has: what a real Tor said while curl made 24 transfers. Which stream and circuit each of them had was found out by
/// another program, and stands here.
#[test]
fn what_a_real_tor_said_leads_each_transfer_to_its_stream_and_circuit() {
    // Number, stream, circuit (of the first its beginning was not seen; of one that cannot be there is none), reasons.
    let known: [(usize, i64, Option<i64>, &str); 24] = [
        (1, 16, None, ""),
        (2, 17, Some(4), ""),
        (3, 18, Some(5), ""),
        (4, 19, Some(6), ""),
        (5, 20, Some(7), ""),
        (6, 21, Some(8), ""),
        (7, 22, Some(9), ""),
        (8, 23, Some(10), ""),
        (9, 24, Some(11), ""),
        (10, 25, Some(12), ""),
        (11, 26, Some(13), ""),
        (12, 27, Some(14), ""),
        (13, 28, Some(14), ""),
        // Detached from two circuits before.
        (14, 29, Some(17), "END/MISC"),
        (15, 30, Some(20), "END/RESOLVEFAILED"),
        (16, 31, Some(21), ""),
        (17, 32, Some(22), ""),
        (18, 53, Some(46), ""),
        (19, 57, Some(49), ""),
        (20, 59, Some(53), ""),
        (21, 64, Some(56), ""),
        (22, 65, None, "TORPROTOCOL"),
        (23, 66, Some(23), ""),
        (24, 67, Some(34), ""),
    ];
    let place = Place::new();
    let run = place.path("run/20261122T053326Z-e9ba");
    copy(&root().join(KEPT), &run);
    let repetition = run.join("cells/open/run1");
    let text = |name: &str| std::fs::read_to_string(root().join("tests/tor").join(name)).unwrap();
    // The load began 50 s before the first transfer, to the millisecond.
    let ms_since_began = |seconds: f64| (seconds * 1e3).round() as i64 - 1_795_962_908_700 + 50_000;
    let transfers = text("transfers.csv");
    let rows_of_csv: Vec<Vec<&str>> = transfers.lines().skip(1).map(|line| line.split(',').collect()).collect();
    let row = |fields: &Vec<&str>| {
        let number = |at: usize| fields[at].parse::<f64>().unwrap();
        let start_ms = ms_since_began(number(5)) as u64;
        let port = number(6) as u16;
        let mut row = if fields[7] == "0" { download(start_ms, port) } else { refused(start_ms, port) };
        row.end_ns = (start_ms + (number(11) * 1e3) as u64) * MS;
        (row.pass, row.isolation) = (number(0) as u64, Some(fields[2].to_owned()));
        row
    };
    write_transfers(&repetition, rows_of_csv.iter().map(row).collect());
    let log = text("control.log");
    let event = |line: &'_ str| {
        let mut words = line.trim_end_matches('\r').splitn(5, ' ');
        let at = words.nth(2)?.parse().ok()?;
        (words.next()? == "650").then_some(())?;
        Some((ms_since_began(at), words.next()?.to_owned()))
    };
    let events: Vec<(i64, String)> = log.split('\n').filter_map(event).collect();
    assert_eq!(events.len(), 648);
    write_tap(&repetition, &events.iter().map(|(ms, line)| (*ms, line.as_str())).collect::<Vec<_>>());
    place.run(&["export", "sqlite", run.to_str().unwrap(), "-o", "r.db"]).expect(0);
    let database = open(&place);
    let query = "SELECT t.pass, s.stream, c.circuit, COALESCE(s.reason, '') || COALESCE('/' || s.remote_reason, ''), v.error_code
                 FROM transfers AS t JOIN transfer_streams AS x USING (repetition_id, row)
                 JOIN streams AS s ON s.repetition_id = t.repetition_id AND s.tap = x.tap AND s.row = x.stream_row
                 LEFT JOIN circuits AS c ON c.repetition_id = t.repetition_id AND c.tap = s.tap AND c.row = s.circuit_row
                 JOIN transfer_circuits AS v ON v.start_ns = t.start_ns ORDER BY t.pass";
    let found = rows(&database, query, |row| {
        Ok((row.get::<_, i64>(0)? as usize, row.get(1)?, row.get(2)?, row.get::<_, String>(3)?, row.get::<_, Option<String>>(4)?))
    });
    for ((number, stream, circuit, reasons), found) in known.iter().zip(&found) {
        assert_eq!((found.0, found.1, found.2, found.3.as_str()), (*number, *stream, *circuit, *reasons));
        let code = (!reasons.is_empty()).then(|| format!("TOR/{reasons}"));
        assert_eq!(found.4, code, "transfer {number}");
    }
    assert_eq!(found.len(), known.len());
    let count = |query: &str| rows(&database, query, |row| row.get::<_, i64>(0))[0];
    for (query, expected) in [
        ("SELECT COUNT(*) FROM circuits", 56),
        ("SELECT COUNT(*) FROM circuits WHERE built_ns IS NOT NULL", 56),
        ("SELECT COUNT(*) FROM circuits WHERE closed = 1", 6),
        ("SELECT COUNT(*) FROM streams", 37),
        // Three that were dropped, of which two came back; two that are in the second layer only.
        ("SELECT COUNT(*) FROM guards", 7),
        ("SELECT COUNT(*) FROM guards WHERE dropped_ns IS NOT NULL", 3),
        ("SELECT timeout_ms FROM build_timeouts WHERE status = 'RESET'", 10_000),
        ("SELECT COUNT(*) FROM build_timeouts", 1),
        ("SELECT COUNT(*) FROM onion_steps WHERE step LIKE 'HS_DESC:%'", 26),
        // Two onion services, each met twice.
        ("SELECT COUNT(*) FROM onion_steps WHERE step = 'HSCR_JOINED'", 4),
        ("SELECT COUNT(*) FROM onion_steps WHERE step = 'HSCI_INTRO_SENT'", 4),
        // From the descriptor that came to the rendezvous, in milliseconds: 190 for the first service.
        (
            "SELECT (j.at_ns - d.at_ns) / 1000000 FROM onion_steps AS d JOIN onion_steps AS j ON j.step = 'HSCR_JOINED'
             WHERE d.step = 'HS_DESC:RECEIVED' AND d.service = j.service AND j.at_ns > d.at_ns ORDER BY d.at_ns, j.at_ns LIMIT 1",
            190,
        ),
        // Transfers 12 and 13 shared one.
        ("SELECT transfers FROM circuit_use WHERE circuit = 14", 2),
    ] {
        assert_eq!(count(query), expected, "{query}");
    }
}

// ---- a clock that is set

/// The clock was set an hour forward between two downloads: what is said of the circuit and the stream of each is of its own time.
#[test]
fn a_clock_that_is_set_between_two_transfers_moves_what_belongs_to_each() {
    const HOUR: u64 = 3_600_000 * MS;
    let place = Place::new();
    let run = place.path("run/20261122T053326Z-e9ba");
    copy(&root().join(KEPT), &run);
    let first = run.join("cells/open/run1");
    let later = TransferRow { unix_ns: BEGAN + 8000 * MS + HOUR, ..download(8000, 40_002) };
    write_transfers(&first, vec![download(5000, 40_001), later]);
    let second = [
        (7900, "CIRC 69 LAUNCHED BUILD_FLAGS=NEED_CAPACITY PURPOSE=GENERAL TIME_CREATED=2026-11-30T00:59:58.025000"),
        (7920, "CIRC 69 EXTENDED $A BUILD_FLAGS=NEED_CAPACITY PURPOSE=GENERAL"),
        (7940, "CIRC 69 EXTENDED $A,$B BUILD_FLAGS=NEED_CAPACITY PURPOSE=GENERAL"),
        (7960, "CIRC 69 EXTENDED $A,$B,$C BUILD_FLAGS=NEED_CAPACITY PURPOSE=GENERAL"),
        (7960, "CIRC 69 BUILT $A,$B,$C BUILD_FLAGS=NEED_CAPACITY PURPOSE=GENERAL"),
        (8004, "STREAM 65 NEW 0 example.test:80 SOURCE_ADDR=127.0.0.1:40002 PURPOSE=USER"),
        (8005, "STREAM 65 SENTCONNECT 69 example.test:80"),
        (8300, "STREAM 65 SUCCEEDED 69 10.0.0.1:80"),
        (8801, "STREAM 65 CLOSED 69 10.0.0.1:80 REASON=DONE"),
    ];
    write_tap(&first, &[&LINES[..12], &second[..]].concat());
    for other in ["cells/open/run2", "cells/closed/run1"] {
        let _ = std::fs::remove_file(run.join(other).join("transfers.parquet"));
    }
    let run = run.to_str().unwrap();
    place.run(&["export", "torperf", run, "-o", "torperf", "--source", "op-1"]).expect(0);
    place.run(&["export", "onionperf", run, "-o", "onionperf", "--source", "op-1"]).expect(0);
    let near = |found: f64, expected: f64| (found - expected).abs() < 0.02;
    for (day, began, launched_before) in [("2026-11-29", BEGAN + 5000 * MS, 5.1), ("2026-11-30", BEGAN + 8000 * MS + HOUR, 0.1)] {
        let began = (began / MS) as f64 / 1000.0;
        let text = std::fs::read_to_string(place.path(format!("torperf/op-1-open-51200-{day}.tpf"))).unwrap();
        let lines = read_torperf(&text).unwrap_or_else(|words| panic!("{words}: {text}"));
        let time = |key: &str| lines[0][key].parse::<f64>().unwrap();
        assert!(lines.len() == 1 && near(time("START"), began), "{text}");
        assert!(near(time("USED_AT"), began + 0.801) && near(time("LAUNCH"), began - launched_before), "{text}");
        // The second circuit is of this day by its transfer's clock, and is found there.
        let document = json(&place.path(format!("onionperf/{day}.onionperf.analysis.json")));
        let data = &document["data"]["op-1-open"];
        let transfers = data["tgen"]["streams"].as_object().unwrap();
        assert_eq!(transfers.len(), 1, "{document}");
        let transfer = transfers.values().next().unwrap();
        let port = transfer["transport_info"]["local"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
        // As OnionPerf joins them: by port, and by when they end.
        let streams = data["tor"]["streams"].as_object().unwrap();
        let stream = streams.values().find(|stream| stream["source"].as_str().is_some_and(|source| source.ends_with(&port)));
        let stream = stream.unwrap_or_else(|| panic!("no stream of {port}: {streams:?}"));
        let number = |json: &Json| json.as_f64().unwrap();
        assert!(near(number(&stream["unix_ts_end"]), number(&transfer["unix_ts_end"])), "{stream} {transfer}");
        let circuit = &data["tor"]["circuits"][stream["circuit_id"].as_str().unwrap()];
        assert!(near(number(&circuit["unix_ts_start"]), began - launched_before), "{circuit}");
    }
}
