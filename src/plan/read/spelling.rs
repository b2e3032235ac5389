//! Spellings that differ from the language's own but are unambiguous: metrics with `-` or `p99.9`, including those of
//! protocols, and limits with `_`. They are accepted with a note.

use std::collections::BTreeSet;

use super::drivers::READERS;
use schema::{Data, Node, SourceFile};
use vocabulary::Metric;

/// Keys whose value is the name of a metric, or starts with one.
const OF_METRICS: [&str; 8] = ["metric", "ratio", "bars", "stack", "lines", "rounds", "primary", "while"];

/// Changes `root` to the usual spelling. Returns a note for each change.
pub(super) fn unify(file: &SourceFile, root: &mut Node) -> Vec<String> {
    let mut unified = Unified { file, brought: brought(root), notes: Vec::new() };
    let Data::Map(entries) = &mut root.data else { return unified.notes };
    for entry in entries {
        match entry.key.as_str() {
            "limits" => unified.limits(&mut entry.value),
            "primary" => unified.metric(&mut entry.value),
            "expect" | "graphs" => unified.metrics(&mut entry.value),
            "workloads" => unified.searches(&mut entry.value),
            _ => {}
        }
    }
    unified.notes
}

/// Names of the metrics that protocols bring to a scenario. The scenario's own names have no `-`.
fn brought(root: &Node) -> BTreeSet<&'static str> {
    let workloads = root.get("workloads").map(Node::entries).unwrap_or_default();
    READERS.iter().flat_map(|reader| (reader.brings)(workloads)).collect()
}

fn below<'a>(node: &'a mut Node, key: &str) -> Option<&'a mut Node> {
    let Data::Map(entries) = &mut node.data else { return None };
    entries.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.value)
}

/// What is replaced, and by what.
struct Unified<'a> {
    file: &'a SourceFile,
    /// Names of metrics that protocols bring.
    brought: BTreeSet<&'static str>,
    notes: Vec<String>,
}

impl Unified<'_> {
    fn note(&mut self, at: usize, typed: &str, meant: &str) {
        let ((line, column), path) = (self.file.line_column(at), self.file.path.display());
        self.notes.push(format!("note: {path}:{line}:{column}: `{typed}` is read as `{meant}`, which is how it is spelled here"));
    }

    /// Only the conditions of searches are changed; everything else in a workload may be content for servers.
    fn searches(&mut self, workloads: &mut Node) {
        let Data::Map(workloads) = &mut workloads.data else { return };
        for workload in workloads {
            if let Some(find) = below(&mut workload.value, "load").and_then(|load| below(load, "find")) {
                self.metrics(find);
            }
        }
    }

    /// Keys of `limits` have dashes.
    fn limits(&mut self, node: &mut Node) {
        self.keys(node, |key| Some(key.replace('_', "-")).filter(|meant| meant != key));
    }

    /// Replaces misspelt keys of a map, unless the map already has the right key.
    fn keys(&mut self, node: &mut Node, meant: impl Fn(&str) -> Option<String>) {
        let Data::Map(entries) = &mut node.data else { return };
        for index in 0..entries.len() {
            let Some(meant) = meant(&entries[index].key) else { continue };
            if entries.iter().all(|entry| entry.key != meant) {
                self.note(entries[index].key_span.start, &entries[index].key, &meant);
                entries[index].key = meant;
            }
        }
    }

    /// Changes names of metrics, wherever one is below a node.
    fn metrics(&mut self, node: &mut Node) {
        match &mut node.data {
            Data::List(items) => items.iter_mut().for_each(|item| self.metrics(item)),
            Data::Map(entries) => {
                for entry in entries {
                    match OF_METRICS.contains(&entry.key.as_str()) {
                        true => self.metric(&mut entry.value),
                        false => self.metrics(&mut entry.value),
                    }
                }
            }
            _ => {}
        }
    }

    /// A metric, a list of them, a condition that starts with one, or conditions keyed by them.
    fn metric(&mut self, node: &mut Node) {
        if let Data::List(items) = &mut node.data {
            items.iter_mut().for_each(|item| self.metric(item));
        }
        let brought = self.brought.clone();
        self.keys(node, |name| meant(&brought, name));
        let Data::Text(text) = &node.data else { return };
        let name = text.split(char::is_whitespace).next().unwrap_or_default();
        if let Some(meant) = meant(&self.brought, name) {
            let read = format!("{meant}{}", &text[name.len()..]);
            self.note(node.span.start, name, &meant);
            node.data = Data::Text(read);
        }
    }
}

/// The metric that a differently spelled name means.
fn meant(brought: &BTreeSet<&'static str>, name: &str) -> Option<String> {
    let of_a_protocol = || Some(name.replace('-', "_")).filter(|meant| meant != name && brought.contains(meant.as_str()));
    Metric::respelled(name).or_else(of_a_protocol)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_one_thing_is_read_as_one_thing() {
        let text = "limits: {lag_p99: 1ms, errors: 1%}\nprimary: response-p99\nexpect: [{metric: response_p99_9, below: 1ms}]\n\
                    graphs: [{bars: lag_p99.9}, {stack: [host-steal, pss]}]\nworkloads: {w: {load: {find: {while: [response_p999 < 1ms, lag-p50 < 1ms]}}, steps: [{post: /, body: {json: {metric: response-p99}}}]}}\n";
        let file = SourceFile::inline("x.yaml", text);
        let mut root = schema::node::parse(&file).unwrap();
        let notes = unify(&file, &mut root);
        let read = root.to_json().to_string();
        for meant in ["lag-p99", "response_p99\"", "response_p999\"", "lag_p999", "response_p999 < 1ms", "lag_p50 < 1ms"] {
            assert!(read.contains(meant), "{meant} in {read}");
        }
        assert!(read.contains(r#"{"metric":"response-p99"}"#), "a body is sent as it stands: {read}");
        assert!(notes.len() >= 5, "{notes:#?}");
        assert_eq!(notes[0], "note: x.yaml:1:10: `lag_p99` is read as `lag-p99`, which is how it is spelled here");
        assert!(unify(&file, &mut root).is_empty(), "once is enough");
    }

    #[test]
    fn what_a_protocol_brings_is_read_in_both_spellings() {
        let brought = BTreeSet::from(["out_of_order", "lost"]);
        assert_eq!(meant(&brought, "out-of-order").as_deref(), Some("out_of_order"));
        assert_eq!(meant(&brought, "response-p99").as_deref(), Some("response_p99"));
        for name in ["out_of_order", "lost", "of-others", "response_p99"] {
            assert_eq!(meant(&brought, name), None);
        }
        let text = "while: {response-p99: < 1ms, out-of-order: '0', lost: '0'}\nlines: [out-of-order, lost]\n";
        let file = SourceFile::inline("x.yaml", text);
        let mut root = schema::node::parse(&file).unwrap();
        let mut unified = Unified { file: &file, brought, notes: Vec::new() };
        unified.metrics(&mut root);
        let read = root.to_json();
        assert_eq!(read["while"], serde_json::json!({"response_p99": "< 1ms", "out_of_order": "0", "lost": "0"}));
        assert_eq!(read["lines"], serde_json::json!(["out_of_order", "lost"]));
        assert_eq!(
            unified.notes[1],
            "note: x.yaml:1:30: `out-of-order` is read as `out_of_order`, which is how it is spelled here"
        );
        assert_eq!(unified.notes.len(), 3);
    }

    #[test]
    fn names_that_are_nobodys_stay() {
        let file = SourceFile::inline("x.yaml", "expect: [{metric: my-metric}, {metric: throughput}]\n");
        let mut root = schema::node::parse(&file).unwrap();
        let before = root.clone();
        assert!(unify(&file, &mut root).is_empty());
        assert_eq!(root, before);
    }
}
