//! What is spelled in another way than here, and plainly means the same: metrics with `-` or `p99.9`, limits with `_`. It is read as
//! what it means, with a note.

use schema::{Data, Node, SourceFile};
use vocabulary::Metric;

/// Keys whose value is the name of a metric, or begins with one.
const OF_METRICS: [&str; 8] = ["metric", "ratio", "bars", "stack", "lines", "rounds", "primary", "while"];

/// Changes `root` to what it means. Returns a note for each change.
pub(super) fn unify(file: &SourceFile, root: &mut Node) -> Vec<String> {
    let mut notes = Vec::new();
    let Data::Map(entries) = &mut root.data else { return notes };
    for entry in entries {
        match entry.key.as_str() {
            "limits" => limits(file, &mut entry.value, &mut notes),
            "primary" => metric(file, &mut entry.value, &mut notes),
            "expect" | "graphs" => metrics(file, &mut entry.value, &mut notes),
            "workloads" => searches(file, &mut entry.value, &mut notes),
            _ => {}
        }
    }
    notes
}

/// What searches look at; everything else in a workload may be what servers are told.
fn searches(file: &SourceFile, workloads: &mut Node, notes: &mut Vec<String>) {
    let Data::Map(workloads) = &mut workloads.data else { return };
    for workload in workloads {
        if let Some(find) = below(&mut workload.value, "load").and_then(|load| below(load, "find")) {
            metrics(file, find, notes);
        }
    }
}

fn below<'a>(node: &'a mut Node, key: &str) -> Option<&'a mut Node> {
    let Data::Map(entries) = &mut node.data else { return None };
    entries.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.value)
}

fn note(file: &SourceFile, at: usize, typed: &str, meant: &str) -> String {
    let (line, column) = file.line_column(at);
    format!("note: {}:{line}:{column}: `{typed}` is read as `{meant}`, which is how it is spelled here", file.path.display())
}

/// Keys of `limits` have dashes.
fn limits(file: &SourceFile, node: &mut Node, notes: &mut Vec<String>) {
    let Data::Map(entries) = &mut node.data else { return };
    let known = |entries: &[schema::Entry], key: &str| entries.iter().any(|entry| entry.key == key);
    for index in 0..entries.len() {
        let meant = entries[index].key.replace('_', "-");
        if meant != entries[index].key && !known(entries, &meant) {
            notes.push(note(file, entries[index].key_span.start, &entries[index].key, &meant));
            entries[index].key = meant;
        }
    }
}

/// Names of metrics, wherever one stands below a node.
fn metrics(file: &SourceFile, node: &mut Node, notes: &mut Vec<String>) {
    match &mut node.data {
        Data::List(items) => items.iter_mut().for_each(|item| metrics(file, item, notes)),
        Data::Map(entries) => {
            for entry in entries {
                match OF_METRICS.contains(&entry.key.as_str()) {
                    true => metric(file, &mut entry.value, notes),
                    false => metrics(file, &mut entry.value, notes),
                }
            }
        }
        _ => {}
    }
}

/// A metric, a list of them, or a condition that begins with one.
fn metric(file: &SourceFile, node: &mut Node, notes: &mut Vec<String>) {
    if let Data::List(items) = &mut node.data {
        items.iter_mut().for_each(|item| metric(file, item, notes));
    }
    let Data::Text(text) = &node.data else { return };
    let name = text.split(char::is_whitespace).next().unwrap_or_default();
    if let Some(meant) = Metric::respelled(name) {
        notes.push(note(file, node.span.start, name, &meant));
        node.data = Data::Text(format!("{meant}{}", &text[name.len()..]));
    }
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
    fn names_that_are_nobodys_stay() {
        let file = SourceFile::inline("x.yaml", "expect: [{metric: my-metric}, {metric: throughput}]\n");
        let mut root = schema::node::parse(&file).unwrap();
        let before = root.clone();
        assert!(unify(&file, &mut root).is_empty());
        assert_eq!(root, before);
    }
}
