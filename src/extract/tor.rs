//! Events of Tor's control port, line by line: `650 CIRC 68 BUILT $FP~nick,… PURPOSE=GENERAL`.
//!
//! Anything that is not an event of one line – answers to commands, the parts of replies of several lines – is ignored, and
//! nothing in a line is an error: every version of Tor adds words to its events. What the events mean together (circuits,
//! streams) is decided elsewhere.

use vocabulary::rows::TapValue;

/// A parsed event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// `CIRC`, `STREAM`, …
    pub kind: String,
    /// The words without a key, in order.
    pub positional: Vec<String>,
    /// The words with a key, in order; for quoted values, the text between the quotation marks.
    pub keyed: Vec<(String, String)>,
}

/// The minimum number of words without a key in an event, whatever they look like: a host name may look like a key.
fn least_positional(kind: &str) -> usize {
    match kind {
        "STREAM" | "STREAM_BW" => 4,
        "GUARD" => 3,
        "CIRC" | "CIRC_MINOR" | "BW" | "HS_DESC" => 2,
        "BUILDTIMEOUT_SET" => 1,
        _ => 0,
    }
}

/// The event in a line of the control port: without `650 ` and the line end; none if the line is not an event of one
/// line.
pub fn event_text(line: &str) -> Option<&str> {
    let text = line.trim_end_matches(['\r', '\n']).strip_prefix("650 ")?;
    (text != "OK").then_some(text)
}

impl Event {
    /// Parses a line; none if it is not an event of one line.
    pub fn of_line(line: &str) -> Option<Self> {
        Self::of_text(event_text(line)?)
    }

    /// Parses an event that is written without `650 ` before it.
    pub fn of_text(text: &str) -> Option<Self> {
        let text = text.trim_end_matches(['\r', '\n']);
        let (kind, text) = text.split_once(' ').unwrap_or((text, ""));
        if !is_key(kind) {
            return None;
        }
        let mut words = Words { text, keys: false };
        let mut event = Self { kind: kind.to_owned(), positional: Vec::new(), keyed: Vec::new() };
        let least = least_positional(&event.kind);
        loop {
            words.keys = event.positional.len() >= least;
            match words.next() {
                Some(Word::Plain(text)) => event.positional.push(text),
                Some(Word::Keyed(key, value)) => event.keyed.push((key, value)),
                None => return Some(event),
            }
        }
    }

    /// The word at a position, counted without keys.
    pub fn at(&self, place: usize) -> Option<&str> {
        self.positional.get(place).map(String::as_str)
    }

    /// The value of a key; the first if there are several.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.keyed.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// The number of the circuit or stream that it is about.
    pub fn id(&self) -> Option<u64> {
        let has = matches!(self.kind.as_str(), "CIRC" | "CIRC_MINOR" | "CIRC_BW" | "STREAM" | "STREAM_BW");
        self.at(0).filter(|_| has)?.parse().ok()
    }

    /// Its new state: `LAUNCHED`, `SENTCONNECT`, `UP`, `COMPUTED`, …
    pub fn status(&self) -> Option<&str> {
        match self.kind.as_str() {
            "CIRC" | "CIRC_MINOR" | "STREAM" => self.at(1),
            "GUARD" => self.at(2),
            "HS_DESC" | "BUILDTIMEOUT_SET" => self.at(0),
            _ => None,
        }
    }

    /// The relays of a circuit, as Tor writes them: `$FP~nick,$FP~nick`.
    pub fn path(&self) -> Option<&str> {
        self.at(2).filter(|path| matches!(self.kind.as_str(), "CIRC" | "CIRC_MINOR") && !path.is_empty())
    }

    /// The circuit of a stream; none if it has none, which Tor writes as 0.
    pub fn circuit(&self) -> Option<u64> {
        let text = self.at(2).filter(|_| self.kind == "STREAM")?;
        text.parse().ok().filter(|number| *number != 0)
    }

    /// The target of a stream, or the onion service of a descriptor.
    pub fn target(&self) -> Option<&str> {
        match self.kind.as_str() {
            "STREAM" => self.at(3),
            "HS_DESC" => self.at(1),
            _ => None,
        }
    }

    /// The guard that it is about, as `$FP~nick`.
    pub fn guard(&self) -> Option<&str> {
        self.at(1).filter(|_| self.kind == "GUARD")
    }

    /// A field by its name among [`FIELDS`], except the line itself.
    fn field(&self, name: &str) -> Option<String> {
        let is_about = |kind: &str| self.kind == kind;
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let number = |number: Option<u64>| number.map(|number| number.to_string());
        match name {
            "event" => Some(self.kind.clone()),
            "id" => number(self.id()),
            "status" => owned(self.status()),
            "path" => owned(self.path()),
            "target" => owned(self.target()),
            "source" => owned(self.get("SOURCE_ADDR")),
            "circuit" => number(self.circuit()),
            "guard" => owned(self.guard()),
            "hs_dir" => owned(self.at(3).filter(|_| is_about("HS_DESC"))),
            "descriptor" => owned(self.at(4).filter(|_| is_about("HS_DESC"))),
            "quantile" => owned(self.get("CUTOFF_QUANTILE")),
            "written_bytes" if is_about("STREAM_BW") => owned(self.at(1)),
            "read_bytes" if is_about("STREAM_BW") => owned(self.at(2)),
            "read_bytes" if is_about("BW") => owned(self.at(0)),
            "written_bytes" if is_about("BW") => owned(self.at(1)),
            "read_bytes" | "written_bytes" => None,
            key => owned(self.get(&key.to_ascii_uppercase())),
        }
    }
}

pub use plan::control::FIELDS;

/// The fields of a line of the control port, in the order of [`FIELDS`]; none if the line is neither an event of one line
/// nor a circuit in the answer to `GETINFO circuit-status`. A field that the event does not contain is absent, and so is a
/// number that is not valid.
pub fn fields(line: &str) -> Option<Vec<TapValue>> {
    let there = circuit_there(line);
    let text = there.as_deref().or_else(|| event_text(line))?;
    let event = Event::of_text(text)?;
    let of = |(name, is_number): &(&str, bool)| match event.field(name) {
        _ if *name == "line" => TapValue::Text(text.to_owned()),
        None => TapValue::Absent,
        Some(text) if *is_number => {
            text.parse().ok().filter(|number: &f64| number.is_finite()).map_or(TapValue::Absent, TapValue::Number)
        }
        Some(text) => TapValue::Text(text),
    };
    Some(FIELDS.iter().map(of).collect())
}

/// A circuit that existed before events were reported, from the answer to `GETINFO circuit-status`, in the form of the last
/// event about it.
fn circuit_there(line: &str) -> Option<String> {
    const STATUSES: [&str; 7] = ["LAUNCHED", "BUILT", "GUARD_WAIT", "EXTENDED", "FAILED", "CLOSED", "PURPOSE_CHANGED"];
    let line = line.trim_end_matches(['\r', '\n']);
    // With one circuit the answer is a single line, with several a list of them.
    let line = line.strip_prefix("250-circuit-status=").unwrap_or(line);
    let mut words = line.split(' ');
    let id = words.next()?;
    let is_circuit = !id.is_empty() && id.len() < 12 && id.bytes().all(|b| b.is_ascii_digit());
    (is_circuit && STATUSES.contains(&words.next()?)).then(|| format!("CIRC {line}"))
}

/// The fingerprint and the nickname in `$FP~nick`; older versions of Tor write `$FP=nick` or `$FP` alone.
pub fn relay(text: &str) -> Option<(&str, Option<&str>)> {
    let text = text.strip_prefix('$')?;
    let end = text.find(['~', '=']).unwrap_or(text.len());
    let (fingerprint, nickname) = text.split_at(end);
    let is_one = fingerprint.len() == 40 && fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_one.then(|| (fingerprint, nickname.get(1..).filter(|name| !name.is_empty())))
}

/// Keys and kinds are capitals, digits and underscores.
fn is_key(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

enum Word {
    Plain(String),
    Keyed(String, String),
}

/// The remaining words of an event, and whether they may have keys.
struct Words<'t> {
    text: &'t str,
    keys: bool,
}

impl Iterator for Words<'_> {
    type Item = Word;

    fn next(&mut self) -> Option<Word> {
        self.text = self.text.trim_start_matches(' ');
        if self.text.is_empty() {
            return None;
        }
        let end = self.text.find([' ', '"']).unwrap_or(self.text.len());
        let key = self.text.get(..end).and_then(|word| word.split_once('=')).map(|(key, _)| key).filter(|key| is_key(key));
        match key.filter(|_| self.keys).map(str::to_owned) {
            Some(key) => {
                self.text = self.text.get(key.len() + 1..).unwrap_or_default();
                Some(Word::Keyed(key, self.value()))
            }
            None => Some(Word::Plain(self.value())),
        }
    }
}

impl Words<'_> {
    /// Takes a value: up to the next space, or a quoted text.
    fn value(&mut self) -> String {
        if let Some(quoted) = self.text.strip_prefix('"') {
            let (value, rest) = unquoted(quoted);
            self.text = rest;
            return value;
        }
        let (value, rest) = self.text.split_once(' ').unwrap_or((self.text, ""));
        self.text = rest;
        value.to_owned()
    }
}

/// The text up to the closing quotation mark, and what follows it. Tor escapes special characters as C does. A quotation
/// that is never closed ends with the line.
fn unquoted(text: &str) -> (String, &str) {
    let mut bytes = Vec::new();
    let mut chars = text.char_indices().peekable();
    let mut rest = "";
    let mut utf8 = [0; 4];
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => {
                rest = text.get(at + 1..).unwrap_or_default();
                break;
            }
            '\\' => match chars.next() {
                Some((_, 'n')) => bytes.push(b'\n'),
                Some((_, 't')) => bytes.push(b'\t'),
                Some((_, 'r')) => bytes.push(b'\r'),
                Some((_, first @ '0'..='7')) => {
                    let mut number = first as u32 - '0' as u32;
                    for _ in 0..2 {
                        let Some((_, digit)) = chars.next_if(|(_, c)| matches!(c, '0'..='7')) else { break };
                        number = number * 8 + (digit as u32 - '0' as u32);
                    }
                    bytes.push(u8::try_from(number).unwrap_or(b'?'));
                }
                Some((_, other)) => bytes.extend(other.encode_utf8(&mut utf8).bytes()),
                None => bytes.push(b'\\'),
            },
            other => bytes.extend(other.encode_utf8(&mut utf8).bytes()),
        }
    }
    (String::from_utf8_lossy(&bytes).into_owned(), rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FP: &str = "$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    fn row(line: &str) -> Vec<(&'static str, String)> {
        let values = fields(line).unwrap();
        assert_eq!(values.len(), FIELDS.len());
        let said = |value: TapValue| match value {
            TapValue::Absent => None,
            TapValue::Text(text) => Some(text),
            TapValue::Number(number) => Some(number.to_string()),
            TapValue::Time(_) => panic!("no field is a time"),
        };
        FIELDS.iter().zip(values).filter_map(|((name, _), value)| Some((*name, said(value)?))).filter(|f| f.0 != "line").collect()
    }

    fn says(line: &str, expected: &[(&'static str, &str)]) {
        let expected: Vec<(&str, String)> = expected.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        assert_eq!(row(line), expected, "{line}");
    }

    #[test]
    fn circuits_say_their_path_and_what_they_are_for() {
        let path = format!("{FP}~one,{FP}~two");
        says(
            &format!(
                "650 CIRC 68 BUILT {path} BUILD_FLAGS=IS_INTERNAL,NEED_CAPACITY PURPOSE=HS_CLIENT_REND HS_STATE=HSCR_JOINED \
                 REND_QUERY=abc TIME_CREATED=2026-11-29T10:20:30.123456 SOCKS_USERNAME=\"a \\\"b\\\" \\\\ \\303\\251\"\r\n"
            ),
            &[
                ("event", "CIRC"),
                ("id", "68"),
                ("status", "BUILT"),
                ("path", &path),
                ("purpose", "HS_CLIENT_REND"),
                ("build_flags", "IS_INTERNAL,NEED_CAPACITY"),
                ("hs_state", "HSCR_JOINED"),
                ("rend_query", "abc"),
                ("time_created", "2026-11-29T10:20:30.123456"),
                ("socks_username", "a \"b\" \\ é"),
            ],
        );
        says(
            "650 CIRC 7 FAILED PURPOSE=GENERAL REASON=DESTROYED REMOTE_REASON=CHANNEL_CLOSED",
            &[
                ("event", "CIRC"),
                ("id", "7"),
                ("status", "FAILED"),
                ("purpose", "GENERAL"),
                ("reason", "DESTROYED"),
                ("remote_reason", "CHANNEL_CLOSED"),
            ],
        );
        says(
            &format!("650 CIRC_MINOR 7 PURPOSE_CHANGED {FP}~one PURPOSE=CONFLUX_LINKED OLD_PURPOSE=CONFLUX_UNLINKED"),
            &[
                ("event", "CIRC_MINOR"),
                ("id", "7"),
                ("status", "PURPOSE_CHANGED"),
                ("path", &format!("{FP}~one")),
                ("purpose", "CONFLUX_LINKED"),
                ("old_purpose", "CONFLUX_UNLINKED"),
            ],
        );
    }

    #[test]
    fn streams_have_a_source_when_they_are_new_and_a_circuit_later() {
        says(
            "650 STREAM 64 NEW 0 example.test:80 SOURCE_ADDR=127.0.0.1:49880 PURPOSE=USER",
            &[
                ("event", "STREAM"),
                ("id", "64"),
                ("status", "NEW"),
                ("target", "example.test:80"),
                ("source", "127.0.0.1:49880"),
                ("purpose", "USER"),
            ],
        );
        // A name that looks like a key is still a name.
        says(
            "650 STREAM 64 SENTCONNECT 68 A=b:80",
            &[("event", "STREAM"), ("id", "64"), ("status", "SENTCONNECT"), ("target", "A=b:80"), ("circuit", "68")],
        );
    }

    #[test]
    fn bytes_guards_descriptors_and_timeouts_have_their_fields() {
        says(
            "650 STREAM_BW 64 100 2000 2026-11-29T10:20:30.123456",
            &[("event", "STREAM_BW"), ("id", "64"), ("read_bytes", "2000"), ("written_bytes", "100")],
        );
        says("650 BW 2000 100", &[("event", "BW"), ("read_bytes", "2000"), ("written_bytes", "100")]);
        let guard = format!("{FP}~one");
        says(&format!("650 GUARD ENTRY {guard} UP"), &[("event", "GUARD"), ("status", "UP"), ("guard", &guard)]);
        says(
            "650 HS_DESC REQUESTED abc NO_AUTH $FP~dir descid HSDIR_INDEX=1",
            &[("event", "HS_DESC"), ("status", "REQUESTED"), ("target", "abc"), ("hs_dir", "$FP~dir"), ("descriptor", "descid")],
        );
        says(
            "650 BUILDTIMEOUT_SET COMPUTED TOTAL_TIMES=100 TIMEOUT_MS=67 XM=41 ALPHA=2.5 CUTOFF_QUANTILE=0.800000 TIMEOUT_RATE=nan CLOSE_MS=900",
            &[
                ("event", "BUILDTIMEOUT_SET"),
                ("status", "COMPUTED"),
                ("total_times", "100"),
                ("timeout_ms", "67"),
                ("quantile", "0.8"),
                ("close_ms", "900"),
            ],
        );
        says("650 SIGNAL NEWNYM", &[("event", "SIGNAL")]);
    }

    #[test]
    fn what_is_no_event_of_one_line_is_none() {
        for line in
            ["", "250 OK", "650", "650 ", "650 OK", "650-CIRC 1 BUILT", "650+NS", ".", "650 circ 1", "650 \"CIRC\"", "r a b"]
        {
            assert_eq!(fields(line), None, "{line}");
        }
        assert_eq!(fields("650 CIRC 1 BUILT \r\n").unwrap().last(), Some(&TapValue::Text("CIRC 1 BUILT ".to_owned())));
        assert_eq!(Event::of_text("250 OK"), None);
    }

    #[test]
    fn relays_have_a_fingerprint_and_perhaps_a_name() {
        let digits = &FP[1..];
        assert_eq!(relay(&format!("{FP}~one")), Some((digits, Some("one"))));
        assert_eq!(relay(&format!("{FP}=one")), Some((digits, Some("one"))));
        assert_eq!(relay(FP), Some((digits, None)));
        for other in ["", "$", "one", "$A~one", "$é", digits] {
            assert_eq!(relay(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_stumble(line in "650 [A-Z_]{1,8}( ([A-Z_]{1,4}=)?(\"?[ -~é\\\\\"]{0,6}\"?)){0,6}", other in ".{0,40}") {
            let event = Event::of_line(&line);
            prop_assert_eq!(event.is_some(), fields(&line).is_some());
            let _ = (fields(&other), Event::of_text(&other), relay(&other), unquoted(&other));
        }

        #[test]
        fn what_was_quoted_is_read_back(value in "[ -~é\n\t]{0,20}") {
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('\t', "\\t");
            let event = Event::of_text(&format!("CIRC 1 BUILT NAME=\"{quoted}\" AFTER=1")).unwrap();
            prop_assert_eq!((event.get("NAME"), event.get("AFTER")), (Some(value.as_str()), Some("1")));
        }
    }

    #[test]
    fn circuits_that_are_there_already_are_events_too() {
        let found = fields("3 BUILT $0123456789ABCDEF0123456789ABCDEF01234567~a PURPOSE=GENERAL\r\n").unwrap();
        assert_eq!(found[0], TapValue::Text("CIRC".to_owned()));
        assert_eq!((found[1].clone(), found[2].clone()), (TapValue::Number(3.0), TapValue::Text("BUILT".to_owned())));
        assert!(fields("250-circuit-status=7 EXTENDED PURPOSE=GENERAL").is_some());
        for other in ["250+circuit-status=", ".", "250 OK", "3 SOMETHING", "BUILT 3", ""] {
            assert_eq!(fields(other), None, "{other}");
        }
    }
}
