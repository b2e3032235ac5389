//! The documents of the VOEvent Transport Protocol: made, and examined as far as a client must. Pure.
//!
//! A document is scanned, not parsed: only one attribute and one element are needed, and an answer that is not such a
//! document is recognized by their absence.

/// Frames of the protocol: a length of four bytes, the most significant first.
pub fn framing() -> plan::drivers::framed::Framing {
    use plan::drivers::framed::{Bounds, ByteOrder, Framing};
    Framing { bounds: Bounds::Length { bytes: 4, order: ByteOrder::Big }, max: MAX_ANSWER }
}

/// No document of the protocol is longer.
const MAX_ANSWER: u64 = 1 << 20;

/// The kind of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// An event was accepted.
    Ack,
    /// An event was refused, for this reason.
    Nak(&'a str),
    /// The broker asks who is connected.
    Authenticate,
    /// The broker asks whether anybody is connected.
    IAmAlive,
    /// Something else that is XML: an event.
    Other,
    /// Not XML at all.
    Garbage,
}

/// The kind of a document.
pub fn kind(document: &[u8]) -> Kind<'_> {
    let Ok(text) = std::str::from_utf8(document) else { return Kind::Garbage };
    let Some(root) = root(text) else { return Kind::Garbage };
    if !is_closed(text, root) {
        return Kind::Garbage;
    }
    if !name(root).is_some_and(|name| name == "Transport" || name.ends_with(":Transport")) {
        return Kind::Other;
    }
    match attribute(root, "role") {
        Some("ack") => Kind::Ack,
        Some("nak") => Kind::Nak(element(text, "Result").unwrap_or("no reason was given")),
        Some("authenticate") => Kind::Authenticate,
        Some("iamalive") => Kind::IAmAlive,
        _ => Kind::Garbage,
    }
}

/// The identifier of an event, from its attribute `ivorn`.
pub fn ivorn(document: &[u8]) -> Option<&str> {
    attribute(root(std::str::from_utf8(document).ok()?)?, "ivorn")
}

/// Who sent a document of the transport.
pub fn origin(document: &[u8]) -> Option<&str> {
    element(std::str::from_utf8(document).ok()?, "Origin")
}

/// The start of the outermost element, from its `<` to before its `>`.
fn root(text: &str) -> Option<&str> {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
        let end = if rest.starts_with("<?") {
            rest.find("?>")? + 2
        } else if rest.starts_with("<!--") {
            rest.find("-->")? + 3
        } else if rest.starts_with("<!") {
            rest.find('>')? + 1
        } else {
            break;
        };
        rest = &rest[end..];
    }
    let inner = rest.strip_prefix('<')?;
    let first = inner.chars().next()?;
    (first.is_alphabetic() || first == '_').then_some(())?;
    // A `>` may be part of the value of an attribute.
    let mut quote = None;
    for (at, c) in inner.char_indices() {
        match quote {
            Some(q) if q == c => quote = None,
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c == '>' => return Some(&inner[..at]),
            _ => {}
        }
    }
    None
}

/// Whether the outermost element ends where the document does.
fn is_closed(text: &str, root: &str) -> bool {
    let text = text.trim_end();
    let name = name(root).unwrap_or_default();
    root.ends_with('/') && text.ends_with("/>")
        || text.strip_suffix('>').is_some_and(|t| t.trim_end().strip_suffix(name).is_some_and(|t| t.ends_with("</")))
        // Comments may follow.
        || text.ends_with("-->")
}

fn name(root: &str) -> Option<&str> {
    root.split(|c: char| c.is_whitespace() || c == '/').next()
}

fn attribute<'a>(root: &'a str, wanted: &str) -> Option<&'a str> {
    let mut rest = &root[name(root)?.len()..];
    loop {
        rest = rest.trim_start();
        let equals = rest.find('=')?;
        let name = rest[..equals].trim_end();
        let value = rest[equals + 1..].trim_start();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let end = value[1..].find(quote)? + 1;
        if name == wanted {
            return Some(&value[1..end]);
        }
        rest = &value[end + 1..];
    }
}

/// The text of the first element of this name, whatever its prefix.
fn element<'a>(text: &'a str, wanted: &str) -> Option<&'a str> {
    let mut rest = text;
    while let Some(at) = rest.find(wanted) {
        let (before, after) = (&rest[..at], &rest[at + wanted.len()..]);
        let opens = before.rfind('<').is_some_and(|open| {
            let prefix = &before[open + 1..];
            prefix.is_empty() || prefix.ends_with(':') && prefix[..prefix.len() - 1].chars().all(char::is_alphanumeric)
        });
        if opens && let Some(inside) = after.trim_start().strip_prefix('>') {
            return inside.find("</").map(|end| inside[..end].trim());
        }
        rest = after;
    }
    None
}

/// Appends a document of the transport. `time` as in [`Clock::now`].
pub fn transport(out: &mut Vec<u8>, role: &str, origin: &str, response: &str, time: &str) {
    for part in [
        r#"<?xml version="1.0" encoding="UTF-8"?><trn:Transport role=""#,
        role,
        r#"" version="1.0" xmlns:trn="http://www.telescope-networks.org/xml/Transport/v1.1""#,
        r#" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation=""#,
        "http://telescope-networks.org/schema/Transport/v1.1 http://www.telescope-networks.org/schema/Transport-v1.1.xsd",
        r#""><Origin>"#,
        origin,
        "</Origin><Response>",
        response,
        "</Response><TimeStamp>",
        time,
        "</TimeStamp></trn:Transport>",
    ] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// The time in the format of the transport, made again once a second.
#[derive(Default)]
pub struct Clock {
    second: i64,
    text: String,
}

impl Clock {
    /// UTC, such as `2026-11-21T20:28:09Z`.
    pub fn now(&mut self) -> &str {
        let now = jiff::Timestamp::now();
        if now.as_second() != self.second || self.text.is_empty() {
            self.second = now.as_second();
            self.text = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        }
        &self.text
    }
}

/// The names of the events of one load: `<ivo>#<load>-<pass>`.
#[derive(Clone, Debug)]
pub struct Identity {
    prefix: String,
}

impl Identity {
    /// For the load with this seed.
    pub fn new(ivo: &str, seed: u64) -> Self {
        Self { prefix: format!("{ivo}#{seed:016x}-") }
    }

    /// The event of a pass.
    pub fn of(&self, pass: u64) -> String {
        format!("{}{pass}", self.prefix)
    }

    /// The pass whose event this is; `None` if it belongs to another load.
    pub fn pass(&self, ivorn: &str) -> Option<u64> {
        ivorn.strip_prefix(self.prefix.as_str())?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAK: &[u8] = br#"<?xml version='1.0' encoding='UTF-8'?>
<trn:Transport xmlns:trn="http://www.telescope-networks.org/xml/Transport/v1.1" version="1.0" role="nak">
<Origin>ivo://lab.test/x#o1</Origin><Response>ivo://lab.test/broker</Response><TimeStamp>2026-11-21T20:28:09Z</TimeStamp>
<Meta><Result>Event rejected: Previously seen by this broker</Result></Meta></trn:Transport>"#;

    #[test]
    fn answers_are_told_apart() {
        assert_eq!(kind(NAK), Kind::Nak("Event rejected: Previously seen by this broker"));
        assert_eq!(origin(NAK), Some("ivo://lab.test/x#o1"));
        for (role, expected) in
            [("ack", Kind::Ack), ("authenticate", Kind::Authenticate), ("iamalive", Kind::IAmAlive), ("?", Kind::Garbage)]
        {
            let mut document = Vec::new();
            transport(&mut document, role, "ivo://a/b", "ivo://c/d", "2026-11-21T20:28:09Z");
            assert_eq!(kind(&document), expected);
            assert_eq!(origin(&document), Some("ivo://a/b"));
        }
        for garbage in [
            "",
            "hello",
            "<",
            "<a",
            "\u{0}<a/>",
            "<?xml",
            "<!-- <a/>",
            "</a>",
            "<a role='x'>",
            "<a></b>",
            "<t:Transport role='ack'><Origin>",
        ] {
            assert_eq!(kind(garbage.as_bytes()), Kind::Garbage, "{garbage:?}");
        }
        assert_eq!(kind(b"\xff\xfe<a/>"), Kind::Garbage);
        assert_eq!(kind(b"<v:VOEvent role='ack'/>"), Kind::Other);
    }

    #[test]
    fn identifiers_are_found_whatever_stands_around() {
        let event =
            b"<?xml version='1.0'?><!-- ivorn=\"no\" > --><v:VOEvent xmlns:v='u>' role = \"test\" ivorn = 'ivo://a.b/c#1' />";
        assert_eq!(ivorn(event), Some("ivo://a.b/c#1"));
        assert_eq!(ivorn(b"<v:VOEvent role=\"test\"/>"), None);
        assert_eq!(ivorn(b"<v:VOEvent xivorn=\"a\" ivorn=\"b\">"), Some("b"));
        assert_eq!(ivorn(b"<v ivorn=\"a"), None);
    }

    #[test]
    fn events_are_known_by_their_load() {
        let (mine, other) = (Identity::new("ivo://a.b/c", 7), Identity::new("ivo://a.b/c", 8));
        assert_eq!(mine.pass(&mine.of(12)), Some(12));
        assert_eq!(mine.pass(&other.of(12)), None);
        assert_eq!(mine.pass("ivo://a.b/c#0000000000000007-x"), None);
    }
}
