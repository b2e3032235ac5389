//! Laws of the language: nothing that can be typed makes it panic or take long.

use std::path::Path;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{Document, Options, Rejection, build};
use plan::{Part, Template};

const SHIPPED: [(&str, &str); 2] = [
    ("experiments/blobs-parallel.yaml", include_str!("../../../experiments/blobs-parallel.yaml")),
    ("experiments/blobs-proxies.yaml", include_str!("../../../experiments/blobs-proxies.yaml")),
];

/// Long on any machine and in any build; a failure takes minutes.
const LONG: Duration = Duration::from_secs(20);

/// Reads a text; every mistake in it must be printable. Returns how many there are.
fn mistakes(path: &str, text: &str) -> usize {
    let started = Instant::now();
    // Asked when the test runs, since two clones may share one build folder.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where the package is");
    let path = Path::new(&package).join("../../..").join(path).display().to_string();
    let found = match Document::inline(&path, text).map(|document| build(&document, &Options::default(), 1)) {
        Err(mistake) => vec![*mistake],
        Ok(Ok(_)) => Vec::new(),
        Ok(Err(Rejection::Mistakes(mistakes))) => {
            assert!(!mistakes.is_empty());
            mistakes
        }
        Ok(Err(Rejection::Option(message))) => panic!("without options: {message}"),
    };
    for mistake in &found {
        assert!(!mistake.render(false).is_empty());
        let first = mistake.found.chars().next();
        assert!(first.is_some_and(|c| !c.is_uppercase()), "{}", mistake.found);
        assert!(!mistake.found.ends_with('.'), "{}", mistake.found);
    }
    assert!(started.elapsed() < LONG, "took {:?}", started.elapsed());
    found.len()
}

#[test]
fn the_shipped_experiments_are_sound() {
    for (path, text) in SHIPPED {
        assert_eq!(mistakes(path, text), 0, "{path}");
    }
}

#[test]
fn thousands_of_mistakes_take_no_time() {
    let workloads =
        "workloads:\n  w: {url: http://127.0.0.1:1, load: {closed: {connections: 1}, amount: 1}, steps: [{get: /}]}\n";
    let lines = |line: &str, n: usize| (0..n).map(|i| line.replace('#', &i.to_string())).collect::<String>();
    for text in [
        format!("experiment: x\n{workloads}{}", lines("unknown_#: 1\n", 20_000)),
        format!("experiment: x\n{workloads}graphs:\n{}", lines("- {brs: throughput}\n", 15_000)),
        format!("experiment: x\nfactors:\n{}{workloads}", lines("  f#: [1, 1]\n", 15_000)),
        format!("experiment: x\ntargets:\n{}{workloads}", lines("  t#: {fixtre: proxy}\n", 12_000)),
        format!("experiment: x\n{}{}", workloads.replace("[{get: /}]}", ""), "}\n"),
        format!(
            "experiment: x\nfactors: {{f: {{from: 1, to: 1000}}}}\n{}    steps:\n{}",
            "workloads:\n  w:\n    url: http://127.0.0.1:1\n    load: {closed: {connections: 1}, amount: 1}\n",
            lines("    - {gte: \"/${f}\"}\n", 12_000)
        ),
        format!("experiment: x\nlet:\n{}{workloads}", lines("  l#: 1\n", 20_000)),
    ] {
        assert!(mistakes("x.yaml", &text) > 0);
    }
}

/// Random text of templates: meaningful pieces in every order.
fn template_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("$".to_owned()),
        Just("${id}".to_owned()),
        Just("$${".to_owned()),
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just("'".to_owned()),
        "[a-zä ]{0,3}",
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

/// Small YAML trees in flow style, made of the language's own keys and of values that fit in some places.
fn tree() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "experiment",
        "factors",
        "exclude",
        "include",
        "repetitions",
        "layout",
        "let",
        "targets",
        "workloads",
        "set-up",
        "clean-up",
        "graphs",
        "when",
        "fixture",
        "command",
        "shell",
        "address",
        "replicas",
        "port",
        "ports",
        "args",
        "render",
        "after",
        "ready",
        "http",
        "log",
        "url",
        "load",
        "closed",
        "connections",
        "amount",
        "duration",
        "warm-up",
        "steps",
        "get",
        "put",
        "body",
        "random",
        "json",
        "expect",
        "status",
        "carry",
        "bars",
        "ratio",
        "x",
        "series",
        "baseline",
        "where",
        "facet",
        "run",
        "cell",
        "levels",
        "from",
        "to",
        "git",
        "of",
        "build",
        "a",
        "b",
    ]);
    let leaf = prop::sample::select(vec![
        "1",
        "0",
        "-1",
        "2.5",
        "~",
        "true",
        "a",
        "b",
        "10KiB",
        "5s",
        "http://127.0.0.1:1",
        "/",
        "\"${a}\"",
        "\"${b.a[0]}\"",
        "\"${replica + 1}\"",
        "\"/${id}\"",
        "\"${\"",
        "proxy",
        "throughput",
        "[]",
        "{}",
        "70000",
        "get",
        "sh",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(6, 60, 6, move |inner| {
        let map = proptest::collection::btree_map(key.clone(), inner.clone(), 0..6);
        prop_oneof![
            proptest::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
            map.prop_map(|map| {
                let entries: Vec<String> = map.iter().map(|(key, value)| format!("{key}: {value}")).collect();
                format!("{{{}}}", entries.join(", "))
            }),
        ]
    })
}

/// A text with one line or one word deleted, doubled or replaced.
fn mutated(text: &str, line: usize, word: usize, how: usize, other: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let at = line % lines.len();
    match how {
        0 => drop(lines.remove(at)),
        1 => lines.insert(at, lines[at].clone()),
        2 => lines[at].insert_str(0, "  "),
        3 => lines[at] = other.to_owned(),
        _ => {
            let words: Vec<&str> = lines[at].split_inclusive([' ', ',', '{', '[', ':', '$']).collect();
            let chosen = word % words.len().max(1);
            let words: Vec<&str> = words.iter().enumerate().map(|(i, w)| if i == chosen { other } else { *w }).collect();
            lines[at] = words.concat();
        }
    }
    lines.join("\n")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_printed_template_is_read_back(text in template_text()) {
        let template = Template::parse(&text);
        prop_assert_eq!(Template::parse(&template.source()), template);
    }

    #[test]
    fn a_template_that_was_filled_in_is_read_back(text in template_text(), more in template_text()) {
        let template = Template(vec![Part::Text(format!("x{text}")), Part::Name("id".into()), Part::Text(format!("y{more}"))]);
        prop_assert_eq!(Template::parse(&template.source()), template);
    }

    #[test]
    fn nothing_made_of_known_keys_panics(tree in tree()) {
        mistakes("x.yaml", &tree);
        mistakes("x.yaml", &format!("experiment: x\nworkloads: {tree}"));
        mistakes("x.yaml", &format!("experiment: x\nlet: {{a: 1}}\ntargets: {{t: {tree}}}\nworkloads: {{w: {tree}}}"));
    }

    #[test]
    fn no_change_of_a_shipped_experiment_panics(
        which in 0..SHIPPED.len(), line: usize, word: usize, how in 0..8_usize,
        other in prop::sample::select(vec!["", "x", "1", "-1", "[", "}", "\"", "${", "~", "${id}", "é", "*a", "&a ", "? ", "\t", "70000", "get: "]),
    ) {
        let (path, text) = SHIPPED[which];
        mistakes(path, &mutated(text, line, word, how, other));
    }
}
