//! Groups of paths: a bounded number of names under which the requests of a log are measured.

use std::collections::HashMap;

use plan::replay::LogRequests;

/// The groups that are made without patterns, besides `other`.
const GROUPS: usize = 15;
/// The group of what is in no other.
const OTHER: &str = "other";

/// Puts each request into its group; returns the names of the groups.
pub(super) fn group(log: &mut LogRequests, patterns: &[String]) -> Vec<String> {
    let mut requests = std::mem::take(&mut log.requests);
    let names = match patterns.is_empty() {
        true => by_first_part(log, &mut requests),
        false => by_pattern(log, &mut requests, patterns),
    };
    log.requests = requests;
    names
}

fn by_pattern(log: &LogRequests, requests: &mut [plan::replay::LogRequest], patterns: &[String]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    patterns.iter().for_each(|pattern| {
        if !names.contains(pattern) {
            names.push(pattern.clone());
        }
    });
    let mut others = false;
    for request in requests {
        let path = without_query(log.path(request));
        let at = names.iter().position(|pattern| fits(pattern.as_bytes(), path));
        others |= at.is_none();
        request.step = at.unwrap_or(names.len()) as u16;
    }
    if others {
        names.push(OTHER.to_owned());
    }
    names
}

fn by_first_part(log: &LogRequests, requests: &mut [plan::replay::LogRequest]) -> Vec<String> {
    let mut known: HashMap<&[u8], u32> = HashMap::new();
    // By group, how many requests it has.
    let mut groups: Vec<(&[u8], u64)> = Vec::new();
    let mut of_request: Vec<u32> = Vec::with_capacity(requests.len());
    for request in requests.iter() {
        let part = first_part(without_query(log.path(request)));
        let group = *known.entry(part).or_insert_with(|| {
            groups.push((part, 0));
            (groups.len() - 1) as u32
        });
        groups[group as usize].1 += 1;
        of_request.push(group);
    }
    let mut order: Vec<usize> = (0..groups.len()).collect();
    // The most frequent first; among equals the first in the log.
    order.sort_by_key(|group| (std::cmp::Reverse(groups[*group].1), *group));
    let mut place = vec![GROUPS as u16; groups.len()];
    for (at, group) in order.iter().take(GROUPS).enumerate() {
        place[*group] = at as u16;
    }
    let mut names: Vec<String> =
        order.iter().take(GROUPS).map(|group| String::from_utf8_lossy(groups[*group].0).into_owned()).collect();
    if groups.len() > GROUPS {
        names.push(OTHER.to_owned());
    }
    for (request, group) in requests.iter_mut().zip(of_request) {
        request.step = place[group as usize];
    }
    names
}

fn without_query(path: &[u8]) -> &[u8] {
    &path[..memchr::memchr(b'?', path).unwrap_or(path.len())]
}

/// `/items` of `/items/17`.
fn first_part(path: &[u8]) -> &[u8] {
    let end = path.get(1..).and_then(|rest| memchr::memchr(b'/', rest));
    end.map_or(path, |end| &path[..=end])
}

/// Whether a path fits a pattern, in which `*` stands for any bytes. It takes no longer than the product of both lengths.
fn fits(pattern: &[u8], path: &[u8]) -> bool {
    let (mut p, mut at) = (0, 0);
    // Where the last `*` is, and what it takes so far.
    let mut star: Option<(usize, usize)> = None;
    while at < path.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, at));
                p += 1;
            }
            Some(byte) if *byte == path[at] => (p, at) = (p + 1, at + 1),
            _ => {
                let Some((star_at, taken)) = star else { return false };
                star = Some((star_at, taken + 1));
                (p, at) = (star_at + 1, taken + 1);
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, path, expected) in [
            ("/items/*", "/items/17", true),
            ("/items/*", "/items", false),
            ("/items/*/reviews", "/items/17/reviews", true),
            ("/items/*/reviews", "/items/17/reviews/3", false),
            ("*.css", "/static/site.css", true),
            ("*.css", "/static/site.css.map", false),
            ("/a*b*c", "/axxbyybzzc", true),
            ("*", "/", true),
            ("/cart", "/cart", true),
            ("/cart", "/cart2", false),
        ] {
            assert_eq!(fits(pattern.as_bytes(), path.as_bytes()), expected, "{pattern} {path}");
        }
        assert_eq!(first_part(b"/items/17"), b"/items");
        assert_eq!(first_part(b"/items"), b"/items");
        assert_eq!(first_part(b"/"), b"/");
    }
}
