//! How two JSON documents differ, in words that name the place of each difference.

use serde_json::Value as Json;

use vocabulary::digest;

/// Every difference, one line each: `cells/processes=1/targets/blobs/replicas/1/argv/3: "--x" → "--y"`.
///
/// Items of lists are called by their `id`, `name` or `number`, if they have one, and are matched by it. `ignored`: keys
/// of the outermost map that may differ.
pub fn between(a: &Json, b: &Json, ignored: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    if let (Json::Object(a), Json::Object(b)) = (a, b) {
        let keep = |map: &serde_json::Map<String, Json>| {
            Json::Object(
                map.iter().filter(|(k, _)| !ignored.contains(&k.as_str())).map(|(k, v)| (k.clone(), v.clone())).collect(),
            )
        };
        walk("", &keep(a), &keep(b), &mut found);
    } else {
        walk("", a, b, &mut found);
    }
    found
}

/// The first lines, and how many more there are.
pub fn shortened(mut lines: Vec<String>, most: usize) -> Vec<String> {
    if lines.len() > most {
        let more = lines.len() - most;
        lines.truncate(most);
        lines.push(format!("and {more} more differences"));
    }
    lines
}

fn walk(place: &str, a: &Json, b: &Json, found: &mut Vec<String>) {
    let below = |name: &str| if place.is_empty() { name.to_owned() } else { format!("{place}/{name}") };
    match (a, b) {
        _ if a == b => {}
        (Json::Object(x), Json::Object(y)) => {
            for (key, value) in x {
                match y.get(key) {
                    Some(other) if key == "content" && value != other && [value, other].into_iter().all(is_digest) => {
                        let file = ["path", "log", "from"].into_iter().find_map(|key| x.get(key)?.as_str());
                        found.push(format!("{place}: the content of {} has changed", file.unwrap_or("the file")));
                    }
                    Some(other) => walk(&below(key), value, other, found),
                    None => found.push(format!("{}: {} is gone", below(key), short(value))),
                }
            }
            for (key, value) in y.iter().filter(|(key, _)| !x.contains_key(*key)) {
                found.push(format!("{}: {} is new", below(key), short(value)));
            }
        }
        (Json::Array(x), Json::Array(y)) => {
            let named = x.iter().chain(y).all(|item| name_of(item).is_some());
            if named {
                let of = |items: &[Json], name: &str| items.iter().find(|i| name_of(i).as_deref() == Some(name)).cloned();
                for item in x {
                    let name = name_of(item).unwrap_or_default();
                    match of(y, &name) {
                        Some(other) => walk(&below(&name), item, &other, found),
                        None => found.push(format!("{} is gone", below(&name))),
                    }
                }
                for name in y.iter().filter_map(name_of).filter(|name| of(x, name).is_none()) {
                    found.push(format!("{} is new", below(&name)));
                }
            } else if x.len() == y.len() {
                for (index, (a, b)) in x.iter().zip(y).enumerate() {
                    walk(&below(&(index + 1).to_string()), a, b, found);
                }
            } else {
                found.push(format!("{place}: {} → {}", short(a), short(b)));
            }
        }
        _ => found.push(format!("{place}: {} → {}", short(a), short(b))),
    }
}

/// Whether a value stands for what a file contained.
fn is_digest(value: &Json) -> bool {
    value.as_str().is_some_and(|text| text.starts_with(digest::PREFIX))
}

fn name_of(item: &Json) -> Option<String> {
    ["id", "name", "number", "label"].into_iter().find_map(|key| match item.get(key)? {
        Json::String(text) if !text.is_empty() => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

/// A value, cut to fit on a line.
fn short(value: &Json) -> String {
    let text = value.to_string();
    if text.chars().count() <= 60 { text } else { format!("{}…", text.chars().take(59).collect::<String>()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn places_are_named() {
        let a = json!({"seed": 1, "cells": [{"id": "p=1", "argv": ["a", "b"]}, {"id": "p=2", "argv": []}], "window": "500ms"});
        let b = json!({"seed": 2, "cells": [{"id": "p=1", "argv": ["a", "c"]}, {"id": "p=4", "argv": []}], "more": true});
        assert_eq!(
            between(&a, &b, &["seed"]),
            [
                "cells/p=1/argv/2: \"b\" → \"c\"",
                "cells/p=2 is gone",
                "cells/p=4 is new",
                "window: \"500ms\" is gone",
                "more: true is new"
            ]
        );
        assert!(between(&a, &a, &[]).is_empty());
    }

    #[test]
    fn files_are_named_and_not_their_digests() {
        let with = |digest: &str| json!({"draw": [{"rows": {"path": "users.csv", "count": 2, "content": digest}}]});
        assert_eq!(between(&with("sha1:aa"), &with("sha1:bb"), &[]), ["draw/1/rows: the content of users.csv has changed"]);
        let text = |content: &str| json!({"path": "x", "content": content});
        assert_eq!(between(&text("a"), &text("b"), &[]), ["content: \"a\" → \"b\""]);
    }

    #[test]
    fn many_are_shortened() {
        let lines = (0..5).map(|i| i.to_string()).collect();
        assert_eq!(shortened(lines, 3), ["0", "1", "2", "and 2 more differences"]);
    }
}
