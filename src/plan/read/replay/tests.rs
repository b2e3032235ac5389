//! Logs of all formats, good ones and strange ones.

use plan::Replay;
use proptest::prelude::*;
use schema::types;
use vocabulary::choices::LogFormat;

use super::*;

const S: u64 = 1_000_000_000;

fn typed(format: &str, more: &str) -> types::Replay {
    serde_yaml::from_str(&format!("{{log: access.log, format: {format}, {more}}}")).unwrap()
}

/// The replay of a log, or what is wrong with it.
fn made_of(log: &[u8], format: &str, more: &str) -> Result<Replay, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    std::fs::write(&path, log).unwrap();
    let typed = typed(format, more);
    let fields = (typed.format == LogFormat::Json).then(|| fields(&typed));
    let speed = typed.speed.unwrap_or(1.0);
    make(&path, "access.log", &typed, fields, speed).map_err(|(_, found, expected)| format!("{found}|{expected}"))
}

fn fields(typed: &types::Replay) -> json::Fields {
    let file = schema::SourceFile::inline("scenario.yaml", "a: 1\n");
    let mut mistakes = Vec::new();
    let node = Node::text(schema::Span::default(), String::new());
    json::Fields::read(&mut Diagnostics::new(&file, &mut mistakes), &node, typed).unwrap()
}

/// Method, path, status and body of each request, with its instant.
fn requests(replay: &Replay) -> Vec<(String, String, u16, LogBody, u64)> {
    let log = &replay.log_requests;
    let one = |(request, at_ns): (&plan::replay::LogRequest, &u64)| {
        let path = String::from_utf8(log.path(request).to_vec()).unwrap();
        (request.method().to_owned(), path, request.status, request.body, *at_ns)
    };
    log.requests.iter().zip(&log.at_ns).map(one).collect()
}

fn left_out(replay: &Replay) -> Vec<(&'static str, u64, u64)> {
    replay.left_out.iter().map(|left| (left.reason, left.count, left.first)).collect()
}

const COMBINED: &str = r#"10.0.0.1 - - [30/Nov/2026:10:00:00 +0000] "GET /items/1?page=2 HTTP/1.1" 200 512 "-" "curl/8"
10.0.0.2 - user [30/Nov/2026:10:00:00 +0000] "GET /items/\x22a\x22 HTTP/1.1" 404 0 "http://x/[30/Nov/2020:10:00:00 +0000]" "a \" b"
10.0.0.3 - - [30/Nov/2026:11:00:01 +0100] "DELETE /cart/7 HTTP/2.0" 204 0
10.0.0.3 - we[ird [30/Nov/2026:10:00:01 +0000] "POST /cart HTTP/1.1" 201 17 "-" "-"
10.0.0.3 - - [30/Nov/2026:10:00:01 +0000] "CONNECT example.org:443 HTTP/1.1" 405 0 "-" "-"
10.0.0.3 - - [30/Nov/2026:10:00:01 +0000] "-" 408 0 "-" "-"
10.0.0.3 - - [30/Nov/2026:10:00:01 +0000] "GET //a/%c3//b HTTP/1.1" 400 0 "-" "-"
10.0.0.3 - - [30/Nov/2026:10:00:01 +0000] "GET /a%zz HTTP/1.1" 400 0 "-" "-"
10.0.0.3 - - [30/Nov/2026:10:00:01 +0000] "GET /a#b HTTP/1.1" 400 0 "-" "-"

# a comment
10.0.0.3 - - [30/Nov/2026:10:00:04 +0000] "HEAD / HTTP/1.0" 304 0 "-" "-"
"#;

#[test]
fn a_combined_log_is_read_line_by_line() {
    let replay = made_of(COMBINED.as_bytes(), "combined", "").unwrap();
    let empty = LogBody::Empty;
    let expected = [
        ("GET", "/items/1?page=2", 200, empty, 0),
        ("GET", "/items/%22a%22", 404, empty, S / 2),
        ("DELETE", "/cart/7", 204, empty, S),
        ("GET", "//a/%c3//b", 400, empty, S + S / 2),
        ("HEAD", "/", 304, empty, 4 * S),
    ];
    let expected = expected.map(|(method, path, status, body, at)| (method.to_owned(), path.to_owned(), status, body, at));
    assert_eq!(requests(&replay), expected);
    let reasons = [(Why::NotALine, 1, 10), (Why::NoRequest, 1, 6), (Why::Method, 1, 5), (Why::Body, 1, 4), (Why::Path, 2, 8)];
    let reasons = reasons.map(|(why, count, first)| (why.words(), count, first));
    assert_eq!(left_out(&replay), reasons);
    assert_eq!(replay.steps, ["/items", "/", "/cart"]);
    assert_eq!((replay.requests, replay.length), (5, Duration::from_secs(4)));
}

#[test]
fn speed_bodies_and_windows_line_ends() {
    let log = COMBINED.replace('\n', "\r\n");
    let replay = made_of(log.as_bytes(), "combined", "speed: 2, body: {random: 1KiB}").unwrap();
    let all = requests(&replay);
    assert_eq!(all[3], ("POST".to_owned(), "/cart".to_owned(), 201, LogBody::Random(1024), S / 2 + S / 6));
    assert_eq!(all.last().map(|last| last.4), Some(2 * S));
    assert_eq!(replay.log_requests.longest_body, 1024);
    // The size is not in such a log.
    let replay = made_of(log.as_bytes(), "combined", "body: random").unwrap();
    assert!(left_out(&replay).contains(&(Why::Body.words(), 1, 4)));
    let random = made_of(log.as_bytes(), "combined", "spread: random, speed: 0.5").unwrap();
    assert_eq!(random.log_requests.within_ns, 2 * S);
    assert_eq!(random.log_requests.at_ns[..3], [0, 0, 2 * S]);
}

#[test]
fn time_that_goes_back_and_gaps_are_told() {
    let line = |time: &str| format!("h - - [{time} +0000] \"GET / HTTP/1.1\" 200 1\n");
    let log: String =
        ["30/Nov/2026:10:00:05", "30/Nov/2026:10:00:02", "01/Dec/2026:10:00:05", "01/Dec/2026:10:00:06"].map(line).concat();
    let replay = made_of(log.as_bytes(), "combined", "").unwrap();
    assert_eq!(replay.log_requests.at_ns, [0, 3 * S, 86_403 * S, 86_404 * S]);
    assert_eq!(
        replay.remarks,
        [
            "1 entry is earlier than the one before, by up to 3s: all are replayed in the order of their times",
            "nothing arrives for 24h, 3s after the first request; `longest-gap` would shorten it"
        ]
    );
    let replay = made_of(log.as_bytes(), "combined", "longest-gap: 2s").unwrap();
    assert_eq!(replay.log_requests.at_ns, [0, 2 * S, 4 * S, 5 * S]);
    assert_eq!(replay.remarks[1], "2 gaps are shortened to 2s, by 23h59m59s in all");
    let slow = made_of(log.as_bytes(), "combined", "speed: 0.002").unwrap_err();
    assert_eq!(slow, "the replay of `access.log` would take 500 days|expected at most 365 days: set `speed` or `longest-gap`");
}

#[test]
fn logs_without_a_request_are_mistakes() {
    assert_eq!(made_of(b"", "combined", "").unwrap_err(), "`access.log` is empty|expected requests in the format `combined`");
    let strange = made_of(b"hello\nworld\n", "combined", "").unwrap_err();
    assert!(strange.contains("it starts with `hello`"), "{strange}");
    let json = made_of(COMBINED.as_bytes(), "json", "").unwrap_err();
    assert!(json.contains("expected requests in the format `json`"), "{json}");
    let fields = r#"{"when": 1, "request": {"method": "GET", "uri": "/"}}"#;
    let fields = made_of(fields.as_bytes(), "json", "fields: {time: /when, method: /request/method, path: /uri}").unwrap_err();
    assert!(fields.contains("can be replayed: its first line has nothing at `/uri` for `path`|"), "{fields}");
    let post = b"h - - [30/Nov/2026:10:00:00 +0000] \"POST /a HTTP/1.1\" 200 1\n";
    let post = made_of(post, "combined", "").unwrap_err();
    assert!(post.contains("entry 1 is not replayed: a body that the log does not have"), "{post}");
    assert!(made_of(b"{}", "har", "").unwrap_err().contains("is not a HAR: missing field `log`"));
}

#[test]
fn a_log_packed_with_gzip_is_unpacked() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, COMBINED.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let replay = made_of(&packed, "combined", "").unwrap();
    assert_eq!(replay.requests, 5);
    let broken = made_of(&packed[..packed.len() - 20], "combined", "").unwrap_err();
    assert!(broken.starts_with("cannot read "), "{broken}");
}

#[test]
fn json_lines_are_found_by_pointers() {
    let log = concat!(
        r#"{"ts": 1700000000.25, "request": {"method": "GET", "uri": "/a?b=1", "headers": {"x": ["y", 1]}}, "status": 200}"#,
        "\n",
        r#"{"ts": "2023-11-14T22:13:20.75Z", "request": {"method": "POST", "uri": "/b"}, "status": "201", "bytes": 12}"#,
        "\n{\"ts\": true}\nnot json\n[1, 2]\n",
    );
    let pointers = "fields: {time: /ts, method: /request/method, path: /request/uri, body: /bytes}, body: random";
    let replay = made_of(log.as_bytes(), "json", pointers).unwrap();
    let all = requests(&replay);
    assert_eq!(all[0], ("GET".to_owned(), "/a?b=1".to_owned(), 200, LogBody::Empty, 0));
    assert_eq!(all[1], ("POST".to_owned(), "/b".to_owned(), 201, LogBody::Random(12), S / 2));
    assert_eq!(left_out(&replay), [(Why::NotALine.words(), 3, 3)]);
    let nginx = br#"{"time": "1700000000.123", "request": "GET /x HTTP/1.1", "status": 200}"#;
    let replay = made_of(nginx, "json", "fields: {request: /request}").unwrap();
    assert_eq!(requests(&replay)[0].1, "/x");
}

#[test]
fn a_har_has_one_host_and_no_websockets() {
    let entry = |second: u32, method: &str, url: &str, more: &str| {
        format!(
            r#"{{"startedDateTime": "2026-11-30T10:00:0{second}.500Z", "request": {{"method": "{method}", "url": "{url}"{more}}}, "response": {{"status": 200}}}}"#
        )
    };
    let post = r#", "postData": {"mimeType": "application/json", "text": "{\"a\": 1}"}, "bodySize": 8"#;
    let entries = [
        entry(0, "GET", "https://shop.example/", ""),
        entry(1, "POST", "https://shop.example:443/cart?x=1#top", post),
        entry(1, "GET", "https://cdn.example/site.css", ""),
        entry(2, "GET", "wss://shop.example/live", ""),
        entry(2, "GET", "data:image/png;base64,AA", ""),
        entry(3, "GET", "blob:https://shop.example/1-2", ""),
        entry(4, "PUT", "https://shop.example/big", r#", "bodySize": 5000"#),
        entry(5, "GET", "https://shop.example?q=1", ""),
    ];
    let log = format!(r#"{{"log": {{"version": "1.2", "creator": {{}}, "entries": [{}]}}}}"#, entries.join(","));
    let replay = made_of(log.as_bytes(), "har", "").unwrap();
    let all = requests(&replay);
    let paths: Vec<&str> = all.iter().map(|(_, path, ..)| path.as_str()).collect();
    assert_eq!(paths, ["/", "/cart?x=1", "/?q=1"]);
    assert_eq!(all[1].3, LogBody::Logged(0));
    assert_eq!(replay.log_requests.bodies[0], (br#"{"a": 1}"#.to_vec(), Some("application/json".to_owned())));
    assert_eq!(
        left_out(&replay),
        [(Why::Body.words(), 1, 7), (Why::OtherHost.words(), 1, 3), (Why::Upgrade.words(), 1, 4), (Why::NoServer.words(), 2, 5)]
    );
    let both = made_of(log.as_bytes(), "har", "hosts: [shop.example, cdn.example], body: random").unwrap();
    assert_eq!(both.requests, 5);
}

#[test]
fn a_har_with_wrong_entries_and_with_forms_is_read() {
    let start = r#""startedDateTime": "2026-11-30T10:00:00.500Z""#;
    let form = |data: &str| {
        format!(r#"{{{start}, "request": {{"method": "POST", "url": "https://x/f", "postData": {data}, "bodySize": 0}}}}"#)
    };
    let entries = [
        "null".to_owned(),
        format!("{{{start}}}"),
        format!(r#"{{{start}, "request": "GET /"}}"#),
        form(
            r#"{"mimeType": "application/x-www-form-urlencoded; charset=utf-8", "params": [{"name": "a b", "value": "ü&="}, {"name": "c"}]}"#,
        ),
        form(r#"{"params": [{"name": "a", "value": "1"}], "text": ""}"#),
        form(r#"{"mimeType": "multipart/form-data; boundary=x", "params": [{"name": "a", "value": "1"}]}"#),
        form(r#"{"params": [{"name": "a", "fileName": "x.png"}]}"#),
        form(r#"{"mimeType": "text/plain", "text": "a=b", "params": [{"name": "a", "value": "c"}]}"#),
    ];
    let replay = made_of(format!(r#"{{"log": {{"entries": [{}]}}}}"#, entries.join(",")).as_bytes(), "har", "").unwrap();
    assert_eq!(left_out(&replay), [(Why::NotALine.words(), 2, 1), (Why::NoRequest.words(), 1, 2), (Why::Body.words(), 2, 6)]);
    let bodies: Vec<(&str, Option<&str>)> =
        replay.log_requests.bodies.iter().map(|(body, kind)| (std::str::from_utf8(body).unwrap(), kind.as_deref())).collect();
    let expected = [
        ("a+b=%C3%BC%26%3D&c=", Some("application/x-www-form-urlencoded; charset=utf-8")),
        ("a=1", Some("application/x-www-form-urlencoded")),
        ("a=b", Some("text/plain")),
    ];
    assert_eq!(bodies, expected);
}

#[test]
fn another_log_has_another_digest() {
    let content = |from: &str, to: &str| made_of(COMBINED.replace(from, to).as_bytes(), "combined", "").unwrap().content;
    let same = content("", "");
    assert_eq!(same, content("curl/8", "curl/9"), "what is not replayed does not matter");
    for (from, to) in [("/cart/7", "/cart/8"), ("HEAD", "GET"), ("\" 304", "\" 200"), ("10:00:04", "10:00:05")] {
        assert_ne!(same, content(from, to), "{from}");
    }
}

#[test]
fn paths_are_put_into_a_bounded_number_of_groups() {
    let line = |path: String| format!("h - - [30/Nov/2026:10:00:00 +0000] \"GET {path} HTTP/1.1\" 200 1\n");
    let log: String = (0..1000).map(|n| line(format!("/{}/{n}", n % 40))).collect();
    let replay = made_of(log.as_bytes(), "combined", "").unwrap();
    assert_eq!((replay.steps.len(), replay.steps.last().map(String::as_str)), (16, Some("other")));
    let by_pattern = made_of(log.as_bytes(), "combined", "paths: [/1/*, \"/*/999\"]").unwrap();
    assert_eq!(by_pattern.steps, ["/1/*", "/*/999", "other"]);
    let count = |step| by_pattern.log_requests.requests.iter().filter(|request| request.step == step).count();
    assert_eq!([count(0), count(1), count(2)], [25, 1, 974]);
}

proptest! {
    /// Whatever a file contains, every entry is replayed or counted, instants ascend, and nothing panics.
    #[test]
    fn any_lines_are_replayed_or_counted(
        lines in proptest::collection::vec(prop_oneof![
            "[ -~]{0,60}",
            Just(r#"h - - [30/Nov/2026:10:00:01 +0000] "GET /a HTTP/1.1" 200 1"#.to_owned()),
            r#"h - - \[30/Nov/2026:10:0[0-9]:0[0-9] \+0[0-9]00\] "(GET|PUT|TRACE) /[ -~]{0,9} HTTP/1.1" [0-9]{3} 1"#,
        ], 1..40),
        random in any::<bool>(),
    ) {
        let log = lines.join("\n");
        let entries = lines.iter().flat_map(|line| line.split('\n')).filter(|line| !line.is_empty()).count() as u64;
        let more = if random { "spread: random" } else { "" };
        if let Ok(replay) = made_of(log.as_bytes(), "combined", more) {
            let left: u64 = replay.left_out.iter().map(|left| left.count).sum();
            prop_assert_eq!(replay.requests + left, entries);
            prop_assert!(replay.log_requests.at_ns.is_sorted());
            prop_assert_eq!(replay.log_requests.at_ns.len() as u64, replay.requests);
            for request in &replay.log_requests.requests {
                prop_assert!(plan::url::is_sent_as_it_stands(replay.log_requests.path(request)));
                prop_assert!(usize::from(request.step) < replay.steps.len());
            }
        }
    }
}
