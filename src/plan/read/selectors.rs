//! Reads selectors of series: those of Prometheus's query language, without durations and functions, and JSON pointers.

use super::diagnostics::Diagnostics;
use plan::scrape::{Comparing, LabelRule, PageForm, SeriesSelector};
use schema::{Mistake, Node, Span};

/// Operators between a label and its value, the longer ones first.
const OPERATORS: [(&str, Comparing); 4] =
    [("=~", Comparing::Matches), ("!~", Comparing::MatchesNot), ("!=", Comparing::IsNot), ("=", Comparing::Is)];
/// What a selector looks like.
const EXPECTED: &str = "expected a selector such as `http_requests_total{code=~\"5..\", method!=\"GET\"}`";

/// Reads a selector; `span`: where it stands.
pub(super) fn selector(notes: &mut Diagnostics<'_>, span: Span, form: PageForm, text: &str) -> Option<SeriesSelector> {
    let text = text.trim();
    let mut said = |found: String, expected: &str| {
        notes.mistakes.push(Mistake::new(notes.file, span, found).expected(expected));
        None
    };
    if form == PageForm::Json {
        if !text.starts_with('/') {
            return said(format!("`{text}` is not a JSON pointer"), "expected one that starts with `/`, such as `/queue/length`");
        }
        return Some(SeriesSelector {
            text: text.to_owned(),
            name: Some(text.to_owned()),
            labels: Vec::new(),
            is_histogram: false,
        });
    }
    let (name, rest) = text.split_at(text.find(['{', '[', '(', ' ']).unwrap_or(text.len()));
    if rest.trim_start().starts_with(['(', '[']) {
        return said(format!("`{text}` is an expression, not a selector"), EXPECTED);
    }
    if !name.is_empty() && !is_name(name) {
        return said(format!("`{name}` cannot be the name of a series"), EXPECTED);
    }
    let labels = match rules(rest.trim()) {
        Ok(labels) => labels,
        Err(found) => return said(format!("`{text}` is not a selector: {found}"), EXPECTED),
    };
    if name.is_empty() && labels.is_empty() {
        return said("this selects no series".to_owned(), EXPECTED);
    }
    for rule in labels.iter().filter(|rule| matches!(rule.how, Comparing::Matches | Comparing::MatchesNot)) {
        if let Err(error) = regex::Regex::new(&rule.value) {
            let reason = error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            return said(format!("`{}` is not a regular expression: {reason}", rule.value), "expected a regular expression");
        }
    }
    let name = (!name.is_empty()).then(|| name.to_owned());
    Some(SeriesSelector { text: text.to_owned(), name, labels, is_histogram: false })
}

/// Whether a series can have this name without quotes.
fn is_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_:".contains(&b))
}

/// The rules in `{…}`, or none; the error says what is wrong.
fn rules(text: &str) -> Result<Vec<LabelRule>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let inner = text.strip_prefix('{').ok_or_else(|| format!("`{text}` does not belong there"))?;
    let mut rest = inner.trim_start();
    let mut rules = Vec::new();
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return if after.trim().is_empty() { Ok(rules) } else { Err(format!("`{}` follows `}}`", after.trim())) };
        }
        if rest.is_empty() {
            return Err("its `}` is missing".to_owned());
        }
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let (label, after) = rest.split_at(end);
        if label.is_empty() {
            return Err(format!("a label was expected at `{rest}`"));
        }
        let after = after.trim_start();
        let Some((operator, how)) = OPERATORS.into_iter().find(|(operator, _)| after.starts_with(operator)) else {
            return Err(format!("`=`, `!=`, `=~` or `!~` was expected after `{label}`"));
        };
        let (value, after) =
            quoted(after[operator.len()..].trim_start()).ok_or_else(|| format!("the value of `{label}` is not in quotes"))?;
        rules.push(LabelRule { label: label.to_owned(), how, value });
        rest = after.trim_start();
        match rest.strip_prefix(',') {
            Some(after) => rest = after.trim_start(),
            None if rest.starts_with('}') => {}
            None => return Err(format!("`,` or `}}` was expected after the value of `{label}`")),
        }
    }
}

/// A text in quotes at the start, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let mut value = String::new();
    let mut chars = text[1..].char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                c @ ('\\' | '"' | '\'') => value.push(c),
                // As in a regular expression: `\d`.
                other => value.extend(['\\', other]),
            },
            c if c == quote => return Some((value, &text[1 + at + c.len_utf8()..])),
            c => value.push(c),
        }
    }
    None
}

/// The place of a key's value.
pub(super) fn place(node: &Node, key: &str) -> Span {
    node.get(key).map_or(node.head, |value| value.span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_as_prometheus_reads_them() {
        let found = rules(r#"{ code=~"5..|4\\d\\d", method != "GET",path="a\"b,}" , }"#).unwrap();
        let told: Vec<(&str, Comparing, &str)> = found.iter().map(|r| (r.label.as_str(), r.how, r.value.as_str())).collect();
        let expected =
            [("code", Comparing::Matches, r"5..|4\d\d"), ("method", Comparing::IsNot, "GET"), ("path", Comparing::Is, "a\"b,}")];
        assert_eq!(told, expected);
        assert!(rules("{}").unwrap().is_empty());
        for (wrong, words) in [
            ("{", "its `}` is missing"),
            ("{a}", "`=`, `!=`, `=~` or `!~` was expected after `a`"),
            ("{a=b}", "the value of `a` is not in quotes"),
            (r#"{a="b"} 5"#, "`5` follows `}`"),
            (r#"{a="b" c="d"}"#, "`,` or `}` was expected after the value of `a`"),
            (r#"{="b"}"#, "a label was expected at `=\"b\"}`"),
            ("[5m]", "`[5m]` does not belong there"),
        ] {
            assert_eq!(rules(wrong).unwrap_err(), words);
        }
    }
}
