//! Text with `${…}` in it: parsed, and filled in when the values of its names are known.

use std::collections::BTreeMap;

use vocabulary::units::in_url;

/// A piece of a text with expressions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Characters as they are, `$${` already turned into `${`.
    Text(String),
    /// The source of an expression and its offset in the text, in bytes.
    Expression(String, usize),
}

/// Splits text at its `${…}`.
///
/// # Errors
/// The offset of a `${` that is never closed.
pub fn pieces(text: &str) -> Result<Vec<Piece>, usize> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut at = 0;
    while let Some(dollar) = text[at..].find("${").map(|i| at + i) {
        if text[..dollar].ends_with('$') && dollar > at {
            plain.push_str(&text[at..dollar - 1]);
            plain.push_str("${");
            at = dollar + 2;
            continue;
        }
        plain.push_str(&text[at..dollar]);
        if !plain.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
        }
        let inner = &text[dollar + 2..];
        let length = closing_brace(inner).ok_or(dollar)?;
        pieces.push(Piece::Expression(inner[..length].trim().to_owned(), dollar));
        at = dollar + 2 + length + 1;
    }
    plain.push_str(&text[at..]);
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Ok(pieces)
}

/// The offset of the `}` that ends an expression; braces and quotes inside it are skipped.
pub fn closing_brace(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut quote = None;
    for (i, c) in text.char_indices() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '{') => depth += 1,
            (None, '}') if depth == 0 => return Some(i),
            (None, '}') => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Values of late names.
pub type Late<'a> = BTreeMap<&'a str, String>;

/// Text whose remaining names are filled in later: when a repetition starts, or with every request.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Template(pub Vec<Part>);

/// The expression for a dollar sign, used where a plain one would escape the following text.
const DOLLAR: &str = "'$'";

/// A part of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Characters.
    Text(String),
    /// A name whose value is known later.
    Name(String),
    /// The same for a percent-encoded value: `${name | urlencode}`.
    Encoded(String),
}

/// The name in `name | urlencode`, the only operation on a value that is known later.
pub fn encoded_name(source: &str) -> Option<&str> {
    let name = source.strip_suffix("urlencode")?.trim_end().strip_suffix('|')?.trim();
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.'));
    is_name.then_some(name)
}

impl Part {
    /// The source of the expression; `None` for plain characters.
    fn expression(&self) -> Option<String> {
        match self {
            Self::Text(_) => None,
            Self::Name(name) => Some(format!("${{{name}}}")),
            Self::Encoded(name) => Some(format!("${{{name}|urlencode}}")),
        }
    }
}

impl Template {
    /// Parses text in which only late names are left.
    pub fn parse(text: &str) -> Self {
        let mut parts: Vec<Part> = Vec::new();
        for piece in pieces(text).unwrap_or_else(|_| vec![Piece::Text(text.to_owned())]) {
            let part = match piece {
                Piece::Expression(name, _) if name == DOLLAR => Part::Text("$".to_owned()),
                Piece::Expression(source, _) => match encoded_name(&source) {
                    Some(name) => Part::Encoded(name.to_owned()),
                    None => Part::Name(source),
                },
                Piece::Text(text) => Part::Text(text),
            };
            match (parts.last_mut(), part) {
                (Some(Part::Text(before)), Part::Text(text)) => before.push_str(&text),
                (_, part) => parts.push(part),
            }
        }
        Self(parts)
    }

    /// The text that [`Self::parse`] parses to this template: the characters `${` are escaped again.
    pub fn source(&self) -> String {
        let mut text = String::new();
        for (i, part) in self.0.iter().enumerate() {
            match part {
                Part::Name(_) | Part::Encoded(_) => text += &part.expression().unwrap_or_default(),
                Part::Text(plain) => {
                    let plain = plain.replace("${", "$${");
                    // A dollar before `${name}` would make it an escape.
                    let kept = if self.0.get(i + 1).is_some() { plain.trim_end_matches('$') } else { &plain };
                    text += kept;
                    text += &format!("${{{DOLLAR}}}").repeat(plain.len() - kept.len());
                }
            }
        }
        text
    }

    /// The names that are left.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Name(name) | Part::Encoded(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// Fills in the values that are known now and keeps the other names.
    #[must_use]
    pub fn fill(&self, values: &Late<'_>) -> Self {
        self.fill_as(values, str::to_owned)
    }

    /// The same in another notation; percent-encoded values need no further escaping in any of them.
    #[must_use]
    pub(crate) fn fill_as(&self, values: &Late<'_>, noted: impl Fn(&str) -> String) -> Self {
        let mut parts: Vec<Part> = Vec::new();
        for part in &self.0 {
            let part = match part {
                Part::Name(name) => values.get(name.as_str()).map_or_else(|| part.clone(), |v| Part::Text(noted(v))),
                Part::Encoded(name) => values.get(name.as_str()).map_or_else(|| part.clone(), |v| Part::Text(in_url(v))),
                Part::Text(_) => part.clone(),
            };
            match (parts.last_mut(), part) {
                (Some(Part::Text(before)), Part::Text(text)) => before.push_str(&text),
                (_, part) => parts.push(part),
            }
        }
        Self(parts)
    }

    /// The text with everything filled in; names that are still open appear as `${name}`.
    pub fn to_text(&self) -> String {
        self.0
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.clone(),
                late => late.expression().unwrap_or_default(),
            })
            .collect()
    }
}

/// A command line as shown to users.
pub fn words(argv: &[Template]) -> String {
    let word = |template: &Template| {
        let word = template.to_text();
        if word.contains(char::is_whitespace) { format!("'{word}'") } else { word }
    };
    argv.iter().map(word).collect::<Vec<_>>().join(" ")
}

impl serde::Serialize for Template {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.source())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_late_can_be_encoded() {
        let text = "/a/${id}?q=${ id|urlencode }&r=${v | urlencode}";
        let template = Template::parse(text);
        assert_eq!(template.names().collect::<Vec<_>>(), ["id", "id", "v"]);
        // Without blanks, as it may stand in a path.
        assert_eq!(template.source(), "/a/${id}?q=${id|urlencode}&r=${v|urlencode}");
        assert_eq!(Template::parse(&template.source()), template);
        let filled = template.fill(&BTreeMap::from([("id", "a b/".to_owned())]));
        assert_eq!(filled.to_text(), "/a/a b/?q=a%20b%2F&r=${v|urlencode}");
        // Also in JSON, of which nothing is left to be escaped.
        let mut body = crate::Body::Json(Template::parse(r#"{"a":"${id}","b":"${id | urlencode}"}"#));
        body.fill(&BTreeMap::from([("id", "\"".to_owned())]));
        assert!(matches!(body, crate::Body::Json(text) if text.to_text() == r#"{"a":"\"","b":"%22"}"#));
    }
}
