//! Bodies of answers: coded on the wire and looked into, carried with their types, and quoted without harm.

use runner::record::rows::{Table, Value};
use serde_json::{Value as Json, json};

use crate::load::part;
use crate::server::{Request, Server};
use crate::support::{Place, files, json as read, listing};

/// What every body here holds.
const TEXT: &str = r#"{"id":"abc"}"#;
const GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xab\x56\xca\x4c\x51\xb2\x52\x4a\x4c\x4a\x56\xaa\x05\x00\x36\x4e\x4e\xd7\x0c\x00\x00\x00";

/// [`TEXT`] in a coding; as its own bytes where those are a part of it.
fn coded(coding: &str) -> Vec<u8> {
    let text = TEXT.as_bytes();
    let length = text.len() as u32;
    // Not compressed, as there is nothing to gain, but in the frames of its format.
    let (head, tail): (Vec<u8>, &[u8]) = match coding {
        "gzip" => return GZIP.to_vec(),
        // RFC 7932, 9: a window of 22 bits, a piece that is not the last and not compressed, and an empty last one.
        "br" => ((0x80_000b | ((length - 1) << 7)).to_le_bytes()[..3].to_vec(), &[3]),
        // RFC 8878, 3.1: one segment with its length in a byte, and one raw block.
        "zstd" => {
            let block = ((length << 3) | 1).to_le_bytes();
            ([&[0x28, 0xb5, 0x2f, 0xfd, 0x20, length as u8], &block[..3]].concat(), &[])
        }
        // RFC 1951, 3.2.4, without the frame of RFC 1950.
        "deflate" => (vec![1, length as u8, 0, !length as u8, 0xff], &[]),
        _ => (Vec::new(), &[]),
    };
    [&head, text, tail].concat()
}

fn answer(headers: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\n{headers}content-length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

/// Answers in the coding that is asked for; `/broken` with what is none.
fn in_codings() -> Server {
    Server::raw(|request: &Request| {
        let coding = request.header("accept-encoding").unwrap_or("identity");
        let body = if request.path == "/broken" { b"not at all".to_vec() } else { coded(coding) };
        answer(&format!("Content-Encoding: {coding}\r\n"), &body)
    })
}

#[test]
fn coded_answers_are_looked_into_on_both_ways() {
    let server = in_codings();
    let place = Place::with(
        &r#"
experiment: test
layout: ${coding}-${redirects}
factors: {coding: [identity, gzip, deflate, br, zstd], redirects: [0, 1]}
set-up:
  load: [{get: "http://127.0.0.1:SERVER/set-up", headers: {accept-encoding: "${coding}"}, expect: {text: '{"id":"abc"}'}}]
workloads:
  clients:
    url: http://127.0.0.1:SERVER
    headers: {accept-encoding: "${coding}"}
    http: {redirects: "${redirects}"}
    load: {closed: {connections: 1}, amount: 3}
    steps:
      - {name: first, get: /, expect: {contains: '"id"'}, carry: {doc: {json: /id}, part: {regex: '"(a.)c"'}}}
      - {name: second, get: "/${doc}/${part}"}
collect: {told: {get: "http://127.0.0.1:SERVER/told", headers: {accept-encoding: "${coding}"}, metrics: {ids: {lines: '"id":"abc"'}}}}
"#
        .replace("SERVER", &server.port.to_string()),
    );
    place.run_test().expect(0);
    for coding in ["identity", "gzip", "deflate", "br", "zstd"] {
        for redirects in [0, 1] {
            let step = &place.status(&format!("{coding}-{redirects}/run1"))["errors"];
            assert!(step.is_null() || step == &json!({}) || step == &json!([]), "{coding}: {step}");
        }
        let asked = server.requests();
        let carried = asked.iter().filter(|r| r.path == "/abc/ab" && r.header("accept-encoding") == Some(coding));
        // Three passes and a checked one, on each way.
        assert_eq!(carried.count(), 8, "{coding}");
    }
    for cell in place.summary()["cells"].as_array().unwrap() {
        let collected = cell["metrics"].as_array().unwrap().iter().find(|metric| metric["metric"] == "ids").unwrap();
        assert_eq!(collected["value"]["mean"], 1.0, "{collected}");
    }
    let received: Vec<u64> = place.summary()["cells"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cell| {
            let step = cell["steps"].as_array().unwrap().iter().find(|s| s["step"] == "first").unwrap();
            step["received_bytes"].as_u64().unwrap()
        })
        .collect();
    let expected: Vec<u64> =
        ["identity", "gzip", "deflate", "br", "zstd"].iter().flat_map(|c| [3 * coded(c).len() as u64; 2]).collect();
    assert_eq!(received, expected, "bytes are those of the wire");
}

#[test]
fn what_cannot_be_decoded_is_told_with_its_coding() {
    let server = in_codings();
    let scenario = r#"
experiment: test
layout: all
workloads:
  clients:
    url: http://127.0.0.1:SERVER
    headers: {accept-encoding: CODING}
    load: {closed: {connections: 1}, amount: 1}
    steps: [{get: PATH, expect: {contains: nowhere}}]
"#;
    for (coding, path, words) in [
        ("gzip", "/broken", "GET /broken answered with a body that is not valid `content-encoding: gzip`: "),
        ("zstd", "/broken", "GET /broken answered with a body that is not valid `content-encoding: zstd`: "),
        ("gzip", "/", r#"GET / answered without `nowhere`: `{"id":"abc"}` (decoded: `content-encoding: gzip`)"#),
        ("x-new", "/", r#"GET / answered without `nowhere`: `{"id":"abc"}` (`content-encoding: x-new`, which is not decoded)"#),
    ] {
        let scenario = scenario.replace("CODING", coding).replace("PATH", path).replace("SERVER", &server.port.to_string());
        Place::with(&scenario).run_test().expect(4).complains(&[words]);
    }
}

#[test]
fn carried_values_keep_their_type_in_json_and_can_be_encoded_for_urls() {
    // The values behind a step of an earlier pass are gone: each is asked for by its number.
    let values = [
        json!("plain"),
        json!("a b/c?d=e&f#g%20"),
        json!("x\r\nX-Evil: 1 \\ \"ü☃"),
        json!(""),
        json!(12345678901234567890_u64),
        json!(-1.5),
        json!(1e21),
        json!(true),
        json!(null),
        json!({"a": [1, "b"]}),
    ];
    let given = values.clone();
    let server = Server::start(move |request| {
        let number = request.path.strip_prefix("/give/").and_then(|n| n.parse::<usize>().ok());
        (200, String::new(), number.map_or_else(String::new, |n| json!({"v": given[n]}).to_string()))
    });
    let place = Place::with(
        &r#"
experiment: test
layout: ${n}-${redirects}
factors: {n: {from: 0, to: 9}, redirects: [0, 1]}
order: rounds
workloads:
  clients:
    url: http://127.0.0.1:SERVER
    http: {redirects: "${redirects}"}
    load: {closed: {connections: 1}, amount: 1}
    steps:
      - {name: give, get: "/give/${n}", carry: {v: {json: /v}}}
      - {name: use, post: "/in/${v | urlencode}?q=${v|urlencode}", body: {json: {whole: "${v}", part: "<${v}>", "${v}": 1, list: ["${v}"]}}}
"#
        .replace("SERVER", &server.port.to_string()),
    );
    place.run_test().expect(0);
    let posts: Vec<Request> = server.requests().into_iter().filter(|r| r.method == "POST").collect();
    // A checked pass and one that counts, of each cell.
    assert_eq!(posts.len(), 4 * values.len());
    for (four, value) in posts.chunks(4).zip(&values) {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let encoded: String =
            text.bytes()
                .map(|b| {
                    if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
                        char::from(b).to_string()
                    } else {
                        format!("%{b:02X}")
                    }
                })
                .collect();
        let expected = json!({"whole": value, "part": format!("<{text}>"), text.clone(): 1, "list": [value]});
        for request in four {
            assert_eq!(request.path, format!("/in/{encoded}?q={encoded}"));
            assert_eq!(serde_json::from_slice::<Json>(&request.body).unwrap(), expected);
        }
    }
}

#[test]
fn nothing_to_carry_says_where_and_not_what_was_there() {
    let server = Server::start(|request| match request.path.as_str() {
        "/json" => (200, String::new(), r#"{"token": "hidden"}"#.to_owned()),
        "/text" => (200, String::new(), "hidden".to_owned()),
        "/line" => (200, String::new(), r#"{"v": "hidden\r\nX-Evil: 1"}"#.to_owned()),
        _ => (200, String::new(), String::new()),
    });
    let scenario = r#"
experiment: test
layout: all
workloads:
  clients:
    url: http://127.0.0.1:SERVER
    http: {redirects: REDIRECTS}
    load: {closed: {connections: 1}, amount: 1}
    steps: [{name: login, get: PATH, carry: {v: PLACE}}, {name: use, get: "/x/USE", headers: {x-v: "HEADER"}}]
"#;
    for (path, place, used, header, words) in [
        (
            "/json",
            "{json: /v}",
            "${v}",
            "",
            "GET /json: nothing to carry as `v` from the step `login`: its JSON has nothing at `/v`",
        ),
        (
            "/text",
            "{json: /v}",
            "${v}",
            "",
            "GET /text: nothing to carry as `v` from the step `login`: it is not valid JSON: expected value at line 1 column 1",
        ),
        ("/none", "{json: /v}", "${v}", "", "nothing to carry as `v` from the step `login`: it is empty, but JSON was expected"),
        ("/json", "{header: X-V}", "${v}", "", "nothing to carry as `v` from the step `login`: it has no header `x-v`"),
        ("/json", "{regex: 'v=(.)'}", "${v}", "", "nothing to carry as `v` from the step `login`: nothing in it matches `v=(.)`"),
        (
            "/line",
            "{json: /v}",
            "${v}",
            "",
            "the path `/x/${v}` cannot be sent: the inserted value contains a line break; expected `${… | urlencode}`",
        ),
        ("/line", "{json: /v}", "y", "${v}", "the header `x-v: ${v}` cannot be sent: the inserted value contains a line break"),
    ] {
        for redirects in ["0", "1"] {
            let words_of = [("PATH", path), ("PLACE", place), ("USE", used), ("HEADER", header), ("REDIRECTS", redirects)];
            let scenario = words_of.iter().fold(scenario.to_owned(), |text, (word, with)| text.replace(word, with));
            let place = Place::with(&scenario.replace("SERVER", &server.port.to_string()));
            let outcome = place.run_test().expect(4).complains(&[words]);
            assert!(!outcome.stderr.contains("hidden") && !outcome.stdout.contains("hidden"), "{}", outcome.stderr);
        }
    }
}

/// Whether a terminal would obey it.
fn acts(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t')
}

/// All texts in JSON.
fn texts(json: &Json) -> Vec<&str> {
    match json {
        Json::String(text) => vec![text],
        Json::Array(items) => items.iter().flat_map(texts).collect(),
        Json::Object(fields) => fields.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn what_others_say_is_quoted_without_harm() {
    const RED: &str = "\u{1b}[31mred\u{1b}[0m\u{7}\u{9b}2J\u{202e}";
    let server = Server::raw(|request: &Request| match request.path.as_str() {
        "/json" => answer("", &serde_json::to_vec(&json!({"v": format!("{RED}```")})).unwrap()),
        "/away" => "HTTP/1.1 302 Found\r\nlocation: http://\u{9b}31m[31mred\t:99999/\r\ncontent-length: 0\r\n\r\n".into(),
        "/head" => format!("HTTP/1.1 200 {RED}\r\n\r\n").into_bytes(),
        _ => answer("", format!("{RED}```|").as_bytes()),
    });
    let place = Place::with(
        &r#"
experiment: test
layout: ${n}
question: "what does a|b say?"
factors: {n: {from: 0, to: 6}, name: ["a|b`c"]}
limits: {errors: 100%}
order: rounds
let:
  steps:
    - [{name: a, get: /body, expect: {text: x}}]
    - [{name: a, get: /json, carry: {v: {json: /v}}}, {name: b, get: "/p/${v}"}]
    - [{name: a, get: /away}]
    - [{name: a, get: /head}]
    - [{name: a, get: /body, carry: {v: {json: /v}}}]
    - [{name: a, get: /x}]
    - [{name: a, get: /x}]
set-up:
  repetition:
    - {when: "${n == 5}", shell: 'printf "\033[31mred\007|\n"; printf "\033]0;title\007" >&2; exit 1'}
targets:
  sick:
    when: ${n == 6}
    shell: 'printf "\033[31mred\007\n"; exit 1'
    ready: {log: never}
workloads:
  clients:
    url: http://127.0.0.1:SERVER
    headers: {x-name: "${name}"}
    http: {redirects: "${1 if n == 2 else 0}"}
    load: {closed: {connections: 1}, amount: 1}
    steps: ${steps[n]}
"#
        .replace("SERVER", &server.port.to_string()),
    );
    let outcome = place.run(&["run", "test.yaml", "--markdown", "report.md", "--no-graphs"]).expect(4);
    let shown = place.run(&["summarize", "results/test"]);
    let report = std::fs::read_to_string(place.path("report.md")).unwrap();
    for text in [&outcome.stdout, &outcome.stderr, &shown.stdout, &shown.stderr, &report] {
        assert!(!text.contains(acts) && !text.contains('\u{202e}'), "{text:?}");
    }
    assert!(outcome.stderr.contains("[31mred"), "it is quoted: {}", outcome.stderr);
    for name in files(&place.path("results")).iter().filter(|name| name.ends_with("status.json")) {
        let status = read(&place.path("results").join(name));
        let failed = texts(&status["verdict"]);
        assert!(failed.iter().any(|text| text.contains("the checked pass") || text.contains("red")), "{name}: {status:#}");
        assert!(texts(&status).iter().all(|text| !text.contains(acts)), "{name}: {status:#}");
    }
    // The level is in one cell of its table, as it is.
    assert!(report.contains(r"name=a\|b\`c"), "{report}");
    let rows = report.lines().filter(|line| line.starts_with("| n="));
    for row in rows {
        assert_eq!(row.replace(r"\|", "").matches('|').count(), 9, "{row}");
    }
    // What was answered with three backticks ends no fence.
    let fence = report.lines().find(|line| line.starts_with("```")).unwrap();
    assert_eq!(report.lines().filter(|line| line.starts_with(fence)).count(), 2, "{report}");
}

/// A server that reads a part of an upload and no more: what was sent is what was written, and not what should have been.
#[test]
fn of_an_upload_that_is_not_read_only_what_was_written_counts() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for (number, mut stream) in listener.incoming().flatten().enumerate() {
            use std::io::{Read as _, Write as _};
            // The checked pass is answered at once; of the others a part is read.
            if number == 0 {
                let mut rest = 32 << 20;
                let mut bytes = vec![0; 1 << 20];
                while rest > 0 {
                    rest -= stream.read(&mut bytes).unwrap_or(rest).min(rest);
                }
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            } else {
                let _ = stream.read(&mut [0; 4096]);
            }
            kept.push(stream);
        }
    });
    let place = Place::with(&format!(
        "experiment: test
limits: {{errors: 100%, silence: 100%, open: 100%}}
workloads:
  uploads:
    url: http://{address}
    stages: true
    load: {{closed: {{connections: 1}}, amount: 2}}
    steps: [{{post: /, body: {{random: 32MiB}}, timeout: 2s}}]
"
    ));
    place.run_test().expect(0);
    let table = Table::open(&place.run_directory("test").join("cells/all/run1/transfers.parquet")).expect("rows");
    let piece = table.piece(0, &["error", "file_bytes", "body_written_bytes", "written_bytes"]).expect("a readable table");
    let number = |column, row| if let Value::Integer(number) = piece.value(column, row) { number } else { panic!("no number") };
    for row in 0..2 {
        assert_eq!((piece.value(0, row), number(1, row)), (Value::Text("TIMEOUT"), 32_i64 << 20));
        let (body, all) = (number(2, row), number(3, row));
        // Buffers of the system take some of it; the head is no part of the body.
        assert!(body > 4096 && body < 31 << 20 && (20..500).contains(&(all - body)), "{body} of {all} bytes");
    }
    let step = part(&place.summary(), "all", "uploads", "during", "(pass)").clone();
    assert!(step["sent_bytes"].as_u64().expect("a number") < 62 << 20, "{step}");
    let run = place.run_directory("test");
    place.run(&["export", "onionperf", run.to_str().expect("a path"), "-o", "out"]).expect(0);
    let name =
        listing(&place.path("out")).into_iter().find(|name| name.ends_with(".json") && name != "export.json").expect("a file");
    let text = std::fs::read_to_string(place.path("out").join(name)).expect("a file");
    assert!(text.contains("TIMEOUT") && !text.contains("\"payload-progress-send\": \"100.00%\""), "{text}");
}
