//! What might stand where something of another kind was typed: an example says more than "expected a map".

use super::syntax::quoted;

/// What was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Map,
    List,
}

use Kind::{List, Map};

/// A value of each key, as it might be typed.
const EXAMPLES: &[(&str, Kind, &str)] = &[
    ("args", List, r#"[--port, "8000"]"#),
    ("body", Map, r#"{text: "…"}"#),
    ("closed", Map, "{connections: 10}"),
    ("command", List, "[python3, -m, http.server]"),
    ("cpus", List, "[0, 1]"),
    ("env", Map, "{LANG: C}"),
    ("exclude", List, "[{connections: 8}]"),
    ("expect", List, "[{metric: errors, below: 1%}]"),
    ("expect", Map, "{status: 200}"),
    ("factors", Map, "{connections: [1, 8]}"),
    ("graphs", List, "[{bars: throughput, x: connections}]"),
    ("headers", Map, "{accept: text/html}"),
    ("http", Map, "{version: 2}"),
    ("let", Map, "{path: /index.html}"),
    ("limits", Map, "{errors: 1%}"),
    ("load", Map, "{closed: {connections: 10}, duration: 10s}"),
    ("open", Map, "{rate: 500/s, connections: 50}"),
    ("ports", Map, "{admin: 8001}"),
    ("ready", Map, "{http: /}"),
    ("record", Map, "{requests: true}"),
    ("steps", List, "[{get: /}]"),
    ("stop", Map, "{signal: INT, grace: 10s}"),
    ("targets", Map, "{server: {command: [./server], port: 8000}}"),
    ("workloads", Map, "{clients: {url: …, load: …, steps: …}}"),
];

/// The same for an item of a list.
const ITEMS: &[(&str, &str)] = &[
    ("exclude", "{connections: 8}"),
    ("expect", "{metric: errors, below: 1%}"),
    ("graphs", "{bars: throughput, x: connections}"),
    ("steps", "{get: /}"),
];

/// An example for a key: `` `load: {…}` ``. `typed`: the text that does not fit; the words of a command line make a list.
/// `has_shell`: whether `shell` may stand in place of `command`.
pub(super) fn of(key: &str, kind: Kind, typed: Option<&str>, has_shell: bool) -> Option<String> {
    if let ("command", List, Some(line)) = (key, kind, typed.filter(|line| !line.contains(['"', '\'', '\\', '\n', '$']))) {
        let words: Vec<String> = line.split_whitespace().map(in_a_list).collect();
        let shell = if has_shell { "shell: …" } else { "command: [sh, -c, …]" };
        return Some(format!("`command: [{}]`; a line for a shell is `{shell}`", words.join(", ")));
    }
    let (.., example) = EXAMPLES.iter().find(|(name, of, _)| (*name, *of) == (key, kind))?;
    Some(format!("`{key}: {example}`"))
}

/// An example for an item of the list of a key.
pub(super) fn of_item(key: &str) -> Option<String> {
    ITEMS.iter().find(|(name, _)| *name == key).map(|(_, example)| format!("`{example}`"))
}

/// A word as it is typed between brackets.
fn in_a_list(word: &str) -> String {
    let begins = word.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '-'));
    let is_plain = begins && !word.contains([',', '[', ']', '{', '}', '#']) && !word.ends_with(':') && word != "-";
    if is_plain { word.to_owned() } else { quoted(word) }
}

#[cfg(test)]
mod tests {
    use super::super::{Data, SourceFile, node};
    use super::*;

    #[test]
    fn every_example_is_yaml_of_its_kind() {
        for (key, kind, example) in EXAMPLES {
            let file = SourceFile::inline("x.yaml", &format!("{key}: {example}\n"));
            let tree = node::parse(&file).unwrap_or_else(|m| panic!("{key}: {}", m.found));
            let is = match tree.get(key).map(|value| &value.data) {
                Some(Data::Map(_)) => Map,
                Some(Data::List(_)) => List,
                other => panic!("{key}: {other:?}"),
            };
            assert_eq!(is, *kind, "{key}");
        }
        for (key, example) in ITEMS {
            assert!(node::parse(&SourceFile::inline("x.yaml", &format!("{key}: [{example}]\n"))).is_ok(), "{key}");
        }
    }

    #[test]
    fn a_command_line_is_split() {
        assert_eq!(
            of("command", List, Some("python3 -m x {a}"), true).as_deref(),
            Some("`command: [python3, -m, x, \"{a}\"]`; a line for a shell is `shell: …`")
        );
    }
}
