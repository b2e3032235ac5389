//! Pages of figures in Prometheus's text format (0.0.4, 1.0.0) and in OpenMetrics (1.0): one sample after the other, without copies.
//!
//! A page is read as a whole or not at all, as Prometheus does: half of it would be taken for all of it. Help texts, time stamps and
//! exemplars are skipped: rows have the time at which they were read. Histograms are those with buckets; native ones exist only in
//! the binary format.

use std::borrow::Cow;
use std::collections::HashMap;

/// A value of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample<'t> {
    /// The name of the series.
    pub name: Cow<'t, str>,
    /// Its labels in the order of their names.
    pub labels: Vec<(&'t str, Cow<'t, str>)>,
    /// What the page says that it is: `counter`, `gauge`, `histogram`, `summary`, or another word; empty if it does not say.
    pub kind: &'t str,
    /// Its unit, if the page names it.
    pub unit: &'t str,
    /// Its value.
    pub value: f64,
}

/// The samples of a page. `is_whole`: whether the page is known to have arrived to its end.
///
/// # Errors
/// Why the page cannot be read, in words that name the line.
pub fn parse(text: &str, is_open_metrics: bool, is_whole: bool) -> Result<Vec<Sample<'_>>, String> {
    let (mut kinds, mut units): (HashMap<&str, &str>, HashMap<&str, &str>) = Default::default();
    let (mut samples, mut has_ended) = (Vec::new(), false);
    for (at, line) in text.lines().enumerate() {
        let wrong = |words: String| format!("line {}: {words}", at + 1);
        let line = line.trim();
        if has_ended {
            return Err(wrong("there is more after `# EOF`".to_owned()));
        }
        if let Some(comment) = line.strip_prefix('#') {
            let mut words = comment.split_ascii_whitespace();
            match (words.next(), words.next(), words.next()) {
                (Some("TYPE"), Some(name), Some(kind)) => drop(kinds.insert(name, kind)),
                (Some("UNIT"), Some(name), Some(unit)) => drop(units.insert(name, unit)),
                (Some("EOF"), None, None) => has_ended = is_open_metrics,
                _ => {}
            }
        } else if !line.is_empty() {
            let (name, labels, value) = sample(line).map_err(wrong)?;
            let kind = family(&name).find_map(|name| kinds.get(name).copied()).unwrap_or_default();
            let unit = family(&name).find_map(|name| units.get(name).copied()).unwrap_or_default();
            samples.push(Sample { name, labels, kind, unit, value });
        }
    }
    if is_open_metrics && !has_ended {
        return Err("the page is cut off: its last line is not `# EOF`".to_owned());
    }
    if !is_open_metrics && !is_whole && !text.is_empty() && !text.ends_with('\n') {
        return Err("the page is cut off: its last line does not end".to_owned());
    }
    Ok(samples)
}

/// The names of the family that a series may belong to.
fn family(name: &str) -> impl Iterator<Item = &str> {
    let ends = ["_bucket", "_sum", "_count", "_total", "_created", "_info"];
    std::iter::once(name).chain(ends.into_iter().filter_map(move |end| name.strip_suffix(end)))
}

type Parts<'t> = (Cow<'t, str>, Vec<(&'t str, Cow<'t, str>)>, f64);

/// A line: `name{label="value",…} value [time stamp] [# exemplar]`.
fn sample(line: &str) -> Result<Parts<'_>, String> {
    let end = line.find(['{', ' ', '\t']).ok_or_else(|| format!("`{}` has no value", shown(line)))?;
    let (name, mut rest) = line.split_at(end);
    let mut name = Cow::Borrowed(name);
    let mut labels = Vec::new();
    if let Some(inner) = rest.trim_start().strip_prefix('{') {
        rest = inner.trim_start();
        loop {
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            // A name that is not made of letters stands in quotes among the labels.
            if rest.starts_with('"') {
                let (text, after) = quoted(rest).ok_or_else(|| format!("`{}` has a quote that does not end", shown(line)))?;
                let after = after.trim_start();
                if !after.starts_with('=') {
                    name = text;
                    rest = after.strip_prefix(',').unwrap_or(after).trim_start();
                    continue;
                }
                return Err(format!("`{}` has a label in quotes", shown(line)));
            }
            let equals = rest.find('=').ok_or_else(|| format!("`{}` has labels that do not end", shown(line)))?;
            let label = rest[..equals].trim();
            if label.is_empty() || !label.bytes().all(|b| b.is_ascii_alphanumeric() || b"_:.".contains(&b)) {
                return Err(format!("`{}` is not the name of a label", shown(label)));
            }
            let (value, after) =
                quoted(rest[equals + 1..].trim_start()).ok_or_else(|| format!("the label `{label}` has no value in quotes"))?;
            labels.push((label, value));
            let after = after.trim_start();
            rest = match after.strip_prefix(',') {
                Some(after) => after.trim_start(),
                None if after.starts_with('}') => after,
                None => return Err(format!("`{}` follows the label `{label}`", shown(after))),
            };
        }
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    if name.is_empty() || matches!(name, Cow::Borrowed(name) if line.starts_with(name) && !name.chars().all(is_name)) {
        return Err(format!("`{}` is not the name of a series", shown(&name)));
    }
    let word = rest.split_ascii_whitespace().next().ok_or_else(|| format!("`{name}` has no value"))?;
    let value = number(word).ok_or_else(|| format!("`{}` of `{name}` is not a number", shown(word)))?;
    labels.sort_unstable_by_key(|(label, _)| *label);
    Ok((name, labels, value))
}

/// A number as these formats write them.
pub(super) fn number(word: &str) -> Option<f64> {
    match word {
        "+Inf" | "Inf" | "+inf" => Some(f64::INFINITY),
        "-Inf" | "-inf" => Some(f64::NEG_INFINITY),
        "NaN" | "nan" => Some(f64::NAN),
        // Rust also takes `infinity`, which no format here writes.
        word if word.contains(['n', 'N', 'y']) => None,
        word => word.parse().ok(),
    }
}

/// A text in double quotes at the start, and what follows.
pub fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let inner = text.strip_prefix('"')?;
    let mut owned: Option<String> = None;
    let mut from = 0;
    loop {
        let at = from + inner[from..].find(['"', '\\'])?;
        if inner.as_bytes()[at] == b'"' {
            let rest = &inner[at + 1..];
            return Some(match owned {
                Some(text) => (Cow::Owned(text + &inner[from..at]), rest),
                None => (Cow::Borrowed(&inner[..at]), rest),
            });
        }
        let escaped = inner[at + 1..].chars().next()?;
        let text = owned.get_or_insert_default();
        text.push_str(&inner[from..at]);
        match escaped {
            'n' => text.push('\n'),
            '"' | '\\' => text.push(escaped),
            other => text.extend(['\\', other]),
        }
        from = at + 1 + escaped.len_utf8();
    }
}

/// The start of a text, for people.
pub(super) fn shown(text: &str) -> String {
    let start: String = text.chars().take(60).collect();
    let start = vocabulary::words::harmless(&start);
    if text.chars().nth(60).is_some() { format!("{start}…") } else { start.into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        let samples = parse(text, false, true).unwrap();
        samples.iter().map(|s| format!("{} {:?} {} {}", s.name, s.labels, s.kind, s.value)).collect()
    }

    #[test]
    fn a_page_is_read_as_it_is_written() {
        let text = concat!(
            "# HELP http_requests_total The total.\n# TYPE http_requests_total counter\n",
            "http_requests_total{method=\"post\",code=\"200\"} 1027 1395066363000\n",
            "  http_requests_total { code = \"400\" , } 3\n\n",
            "msdos_path{p=\"C:\\\\D\\\"I\\nR\\q\",e=\"} 5\"} 1.458255915e9\n",
            "none NaN\nhigh +Inf\nlow -Inf\n",
            "# TYPE d histogram\nd_bucket{le=\"0.05\"} 24054 # {trace=\"a b\"} 0.04\nd_sum 5e-1\n",
            "{\"my.metric\", a=\"b\"} 7",
        );
        let expected = [
            r#"http_requests_total [("code", "200"), ("method", "post")] counter 1027"#,
            r#"http_requests_total [("code", "400")] counter 3"#,
            r#"msdos_path [("e", "} 5"), ("p", "C:\\D\"I\nR\\q")]  1458255915"#,
            "none []  NaN",
            "high []  inf",
            "low []  -inf",
            r#"d_bucket [("le", "0.05")] histogram 24054"#,
            "d_sum [] histogram 0.5",
            r#"my.metric [("a", "b")]  7"#,
        ];
        assert_eq!(told(text), expected);
        let found = parse("# TYPE a counter\n# UNIT a seconds\na_total 1\n# EOF\n", true, true).unwrap();
        assert_eq!((found[0].kind, found[0].unit), ("counter", "seconds"));
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_line() {
        let wrong = |text: &str| parse(text, false, true).unwrap_err();
        assert_eq!(wrong("a 1\nb"), "line 2: `b` has no value");
        assert_eq!(wrong("<html><body>It works!</body></html>\n"), "line 1: `<html><body>It` is not the name of a series");
        assert_eq!(wrong("<p> no\n"), "line 1: `<p>` is not the name of a series");
        assert_eq!(wrong("a{b=\"c 1\n"), "line 1: the label `b` has no value in quotes");
        assert_eq!(wrong("a{b=\"c\" d=\"e\"} 1\n"), "line 1: `d=\"e\"} 1` follows the label `b`");
        assert_eq!(wrong("a one\n"), "line 1: `one` of `a` is not a number");
        assert_eq!(wrong("a{b=\"c\"}\n"), "line 1: `a` has no value");
        assert_eq!(wrong("a infinity\n"), "line 1: `infinity` of `a` is not a number");
    }

    #[test]
    fn a_page_that_is_cut_off_is_not_taken_for_a_whole_one() {
        assert_eq!(parse("a 1\nb 12", false, false).unwrap_err(), "the page is cut off: its last line does not end");
        assert_eq!(parse("a 1\nb 12", false, true).unwrap().len(), 2, "many servers leave out the last line feed");
        assert_eq!(parse("a 1\n", true, true).unwrap_err(), "the page is cut off: its last line is not `# EOF`");
        assert_eq!(parse("# EOF\na 1\n", true, true).unwrap_err(), "line 2: there is more after `# EOF`");
    }
}
