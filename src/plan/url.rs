//! URLs and addresses: the one place that reads them, for loads, probes, steps, what is collected, websockets and proxies.
//!
//! They are read by RFC 3986, strictly, and what is sent is what was typed: no dots are resolved, no doubled slashes joined, nothing
//! is decoded. The WHATWG's rules, by which the `url` crate reads, would do all of that, as a browser does; but who measures a server
//! wants to know what was asked. `http::Uri` drops a fragment without a word, and takes other characters in a path than in a query.

use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::Serialize;

/// What is expected where no URL was found.
const URL: &str = "expected `http://host:port` or `https://host:port`";
/// Longer paths with their queries are not sent: HTTP/2 could not carry them here.
const LONGEST: usize = 65_534;

/// An `http://` or `https://` address, taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Url {
    /// Whether it is `https://`.
    pub tls: bool,
    /// Host name or address, without brackets.
    pub host: String,
    /// TCP port of the server.
    pub port: u16,
    /// Path and query as typed; empty when there is none. In a base it precedes every path, without a slash at its end.
    pub path: String,
}

impl Url {
    /// Reads `http://host:port/path?query`.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (scheme, authority, path) = split(text).ok_or(URL)?;
        let tls = match scheme {
            _ if scheme.eq_ignore_ascii_case("http") => false,
            _ if scheme.eq_ignore_ascii_case("https") => true,
            _ => return Err(URL),
        };
        let (host, port) = host_and_port(authority)?;
        sent(path).map_err(Unsendable::expected)?;
        // A query may follow a host at once (RFC 3986, 3); in a request the path before it is `/`.
        let path = if path.starts_with('?') { format!("/{path}") } else { path.to_owned() };
        Ok(Self { tls, host, port: port.unwrap_or(if tls { 443 } else { 80 }), path })
    }

    /// Reads a URL behind which the paths of steps stand.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse_base(text: &str) -> Result<Self, &'static str> {
        let mut url = Self::parse(text)?;
        if url.path.contains('?') {
            return Err("expected no query here: it belongs into the path of each step, such as `get: /x?q=1`");
        }
        // One of the two slashes where base and path meet.
        if url.path.ends_with('/') {
            url.path.pop();
        }
        Ok(url)
    }

    /// Reads a URL without a path.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse_origin(text: &str) -> Result<Self, &'static str> {
        let url = Self::parse(text)?;
        if !matches!(url.path.as_str(), "" | "/") {
            return Err("expected only scheme, host and port, such as `https://other:8443`");
        }
        Ok(url.origin())
    }

    /// The same without its path.
    #[must_use]
    pub fn origin(self) -> Self {
        Self { path: String::new(), ..self }
    }

    /// Whether both have one origin: scheme, host and port (RFC 6454).
    pub fn same_origin(&self, other: &Self) -> bool {
        (self.tls, self.port) == (other.tls, other.port) && self.host.eq_ignore_ascii_case(&other.host)
    }

    /// The path and query of a request for it: `/` where none was typed.
    pub fn request_path(&self) -> &str {
        if self.path.is_empty() { "/" } else { &self.path }
    }

    /// `host:port`, with brackets where needed; also the `Host` header.
    pub fn authority(&self) -> String {
        if self.host.contains(':') { format!("[{}]:{}", self.host, self.port) } else { format!("{}:{}", self.host, self.port) }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http{}://{}{}", if self.tls { "s" } else { "" }, self.authority(), self.path)
    }
}

/// Where something listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Address {
    /// Host name or address, without brackets.
    pub host: String,
    /// TCP port of the server.
    pub port: u16,
}

impl Address {
    /// Reads `host:port`.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const ADDRESS: &str = "expected `host:port`, such as `127.0.0.1:8098`";
        match host_and_port(text) {
            Ok((host, Some(port))) => Ok(Self { host, port }),
            Err(expected) if expected != URL && text.contains(':') && !text.contains(['@', '/', '#']) => Err(expected),
            _ => Err(ADDRESS),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Scheme, authority, and what follows it (RFC 3986, 3): nothing, or what begins with `/`, `?` or `#`.
pub fn split(text: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    Some((scheme, authority, path))
}

/// Takes `host` or `host:port` apart; the host is one that can be looked up.
fn host_and_port(authority: &str) -> Result<(String, Option<u16>), &'static str> {
    const BRACKETS: &str = "expected an IPv6 address in brackets, such as `[::1]`";
    if authority.contains('@') {
        return Err("expected no user before the host: user and password belong into `auth`");
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or(BRACKETS)?;
            host.parse::<Ipv6Addr>().map_err(|_| BRACKETS)?;
            if !port.is_empty() && !port.starts_with(':') {
                return Err(BRACKETS);
            }
            (host, port.strip_prefix(':'))
        }
        None => {
            let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
            if port.is_some_and(|port| port.contains(':')) {
                return Err(BRACKETS);
            }
            check_name(host)?;
            (host, port)
        }
    };
    // Digits only: `+80` is a number, and not a port.
    let number = |port: &str| port.parse().ok().filter(|number| *number > 0 && port.bytes().all(|b| b.is_ascii_digit()));
    let port = port.map(|port| number(port).ok_or("expected a port from 1 to 65535")).transpose()?;
    Ok((host.to_owned(), port))
}

/// Whether a text is a host: a name, or an address (of IPv6 with or without brackets).
pub fn is_host(text: &str) -> bool {
    text.trim_matches(['[', ']']).parse::<Ipv6Addr>().is_ok() || check_name(text).is_ok()
}

/// Whether a host is a name, or four numbers. RFC 3986 allows more; none of that has an address.
fn check_name(host: &str) -> Result<(), &'static str> {
    if host.is_empty() {
        return Err(URL);
    }
    if !host.is_ascii() && !host.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("expected the host's name in ASCII, such as `xn--bcher-kva.example`");
    }
    if !host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) {
        return Err("expected a host's name of letters, digits, `-`, `_` and `.`");
    }
    // What ends with a number is meant as one, and `127.1` or `010.0.0.1` is read in more than one way.
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|b| b.is_ascii_digit()) && host.parse::<Ipv4Addr>().is_err() {
        return Err("expected an IPv4 address of four numbers, such as `127.0.0.1`");
    }
    Ok(())
}

/// Why a path and query cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsendable {
    /// Blanks, line breaks and control characters: more likely a mistake than meant.
    WhiteSpace,
    /// A `#`: what follows it is for the client (RFC 3986, 3.5), and no server ever sees it.
    Fragment,
    /// More than HTTP/2 could carry here.
    TooLong,
}

impl Unsendable {
    /// What it is, behind "the path … ".
    pub fn found(self) -> &'static str {
        match self {
            Self::WhiteSpace => "contains white space",
            Self::Fragment => "contains `#`",
            Self::TooLong => "has more than 65534 bytes",
        }
    }

    /// What was expected.
    pub fn expected(self) -> &'static str {
        match self {
            Self::WhiteSpace => "expected white space written as `%20`",
            Self::Fragment => "expected no fragment, which is never sent; a `#` that is meant is written as `%23`",
            Self::TooLong => "expected at most 65534 bytes of path and query",
        }
    }
}

/// A path and query as they are sent, by every version of HTTP: what RFC 3986 allows there as it stands, encodings, dots and doubled
/// slashes too, and anything else percent-encoded as UTF-8. Where nothing has to be encoded, nothing is copied.
///
/// # Errors
/// Why it cannot be sent.
pub fn sent(path: &str) -> Result<Cow<'_, str>, Unsendable> {
    if path.len() > LONGEST {
        return Err(Unsendable::TooLong);
    }
    if is_sent_as_it_stands(path.as_bytes()) {
        return Ok(Cow::Borrowed(path));
    }
    let mut encoded = String::with_capacity(path.len() + 8);
    for (at, c) in path.char_indices() {
        match c {
            '#' => return Err(Unsendable::Fragment),
            c if c.is_whitespace() || c.is_control() => return Err(Unsendable::WhiteSpace),
            c if c.is_ascii() && PLAIN[c as usize] => encoded.push(c),
            '%' if is_encoding(&path.as_bytes()[at..]) => encoded.push(c),
            c => c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| encoded += &format!("%{byte:02X}")),
        }
    }
    if encoded.len() > LONGEST { Err(Unsendable::TooLong) } else { Ok(Cow::Owned(encoded)) }
}

/// Whether no byte of a path and query has to be looked at twice. Of those of which this is false, [`sent`] knows what becomes.
pub fn is_sent_as_it_stands(path: &[u8]) -> bool {
    let stands = |(at, byte): (usize, &u8)| PLAIN[usize::from(*byte)] || *byte == b'%' && is_encoding(&path[at..]);
    path.len() <= LONGEST && path.iter().enumerate().all(stands)
}

/// A path and query that a client has sent before, as far as they can be sent again: what [`sent`] would encode is encoded, byte by
/// byte, and nothing else is changed. `None` if that would mean another request: with a fragment, with white space, or with a `%` that
/// encodes nothing.
pub fn sent_again(path: &[u8]) -> Option<Vec<u8>> {
    let mut encoded = Vec::with_capacity(path.len() + 8);
    for (at, byte) in path.iter().enumerate() {
        match *byte {
            b'%' if !is_encoding(&path[at..]) => return None,
            b'#' | 0..=b' ' | 0x7f => return None,
            b'%' => encoded.push(b'%'),
            byte if PLAIN[usize::from(byte)] => encoded.push(byte),
            byte => encoded.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
    (encoded.len() <= LONGEST).then_some(encoded)
}

/// Whether bytes begin with `%` and two hexadecimal digits.
fn is_encoding(bytes: &[u8]) -> bool {
    matches!(bytes, [b'%', one, two, ..] if one.is_ascii_hexdigit() && two.is_ascii_hexdigit())
}

/// What a path and query hold without an encoding: `pchar`, `/` and `?` (RFC 3986, 3.3 and 3.4).
const PLAIN: [bool; 256] = {
    let (mut plain, mut at) = ([false; 256], 0);
    while at < 256 {
        plain[at] = matches!(at as u8, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\''
            | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@' | b'/' | b'?');
        at += 1;
    }
    plain
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let url = Url::parse("http://127.0.0.1:8000").unwrap();
        assert_eq!((url.host.as_str(), url.port, url.path.as_str()), ("127.0.0.1", 8000, ""));
        let url = Url::parse("http://[::1]:81/a/b?c").unwrap();
        assert_eq!((url.host.as_str(), url.port, url.path.as_str(), url.authority().as_str()), ("::1", 81, "/a/b?c", "[::1]:81"));
        assert_eq!(Url::parse("http://localhost").unwrap().port, 80);
        assert_eq!(Url::parse("HTTPS://localhost").unwrap().to_string(), "https://localhost:443");
        for (text, path) in [
            ("http://a/", "/"),
            ("http://a/b/", "/b/"),
            ("http://a//b/../c/.", "//b/../c/."),
            ("http://a?b/c", "/?b/c"),
            ("http://a/x@y:z", "/x@y:z"),
            ("http://a/%7euser?q=%20", "/%7euser?q=%20"),
        ] {
            assert_eq!(Url::parse(text).unwrap().path, path, "{text}");
        }
    }

    #[test]
    fn what_is_not_a_url_is_told() {
        for (wrong, expected) in [
            ("", URL),
            ("localhost:80", URL),
            ("http:/x", URL),
            ("http://", URL),
            ("http://:80", URL),
            ("ftp://x", URL),
            ("http://x:99999", "a port from"),
            ("http://x:0", "a port from"),
            ("http://x:", "a port from"),
            ("http://x:+80", "a port from"),
            ("http://x:8o", "a port from"),
            ("http://[::1", "in brackets"),
            ("http://::1", "in brackets"),
            ("http://[::1]8", "in brackets"),
            ("http://[fe80::1%25eth0]", "in brackets"),
            ("http://[127.0.0.1]", "in brackets"),
            ("http://a b", "a host's name"),
            ("http://a%20b", "a host's name"),
            ("http://a\\b", "a host's name"),
            ("http://bücher.example", "in ASCII"),
            ("http://127.0.0.300", "four numbers"),
            ("http://127.1:80", "four numbers"),
            ("http://user:secret@x", "`auth`"),
            ("http://x/a b", "`%20`"),
            ("http://x/a\nb", "`%20`"),
            ("http://x/#a", "never sent"),
            ("http://x#a", "never sent"),
        ] {
            let said = Url::parse(wrong).expect_err(wrong);
            assert!(said.starts_with("expected ") && said.contains(expected), "{wrong}: {said}");
        }
    }

    #[test]
    fn a_base_ends_where_paths_begin() {
        for (text, path) in
            [("http://a", ""), ("http://a/", ""), ("http://a/b", "/b"), ("http://a/b/", "/b"), ("http://a/b//", "/b/")]
        {
            assert_eq!(Url::parse_base(text).unwrap().path, path, "{text}");
        }
        for wrong in ["http://a?q", "http://a/?q", "http://a/b?"] {
            assert!(Url::parse_base(wrong).unwrap_err().contains("path of each step"), "{wrong}");
        }
        assert_eq!(Url::parse_origin("http://a/").unwrap().to_string(), "http://a:80");
        assert!(Url::parse_origin("http://a/b").is_err() && Url::parse_origin("http://a?b").is_err());
    }

    #[test]
    fn addresses_have_a_port() {
        let address = Address::parse("[::1]:9051").unwrap();
        assert_eq!((address.host.as_str(), address.port, address.to_string().as_str()), ("::1", 9051, "[::1]:9051"));
        for wrong in ["", "a", "9050", ":80", "http://a:80", "u@a:80", "a:80/", "a:80#b"] {
            assert_eq!(Address::parse(wrong), Err("expected `host:port`, such as `127.0.0.1:8098`"), "{wrong}");
        }
        assert!(Address::parse("a:99999").unwrap_err().contains("a port from"));
        assert!(Address::parse("::1:80").unwrap_err().contains("in brackets"));
    }

    #[test]
    fn what_was_sent_once_is_sent_again_or_not_at_all() {
        for (path, again) in [
            (&b"//a//b?c=%2f"[..], Some(&b"//a//b?c=%2f"[..])),
            (b"/\"x\"\xff", Some(b"/%22x%22%FF")),
            (b"/a%zz", None),
            (b"/a%2", None),
            (b"/a b", None),
            (b"/a#b", None),
        ] {
            assert_eq!(sent_again(path).as_deref(), again, "{}", String::from_utf8_lossy(path));
        }
    }

    #[test]
    fn what_stands_in_a_path_is_sent_as_typed_and_else_encoded() {
        for same in ["/", "/a//b/./../c", "/%2e%2E/%C3%BC", "/-._~!$&'()*+,;=:@/?/?-._~!$&'()*+,;=:@", "/?"] {
            assert_eq!(sent(same), Ok(Cow::Borrowed(same)));
        }
        for (typed, encoded) in [
            ("/ü", "/%C3%BC"),
            ("/a|b\\c^d`e", "/a%7Cb%5Cc%5Ed%60e"),
            ("/\"<>{}", "/%22%3C%3E%7B%7D"),
            ("/x?page[n]=\"1\"", "/x?page%5Bn%5D=%221%22"),
            ("/100%", "/100%25"),
            ("/%b", "/%25b"),
            ("/%zz%41", "/%25zz%41"),
            ("/%é", "/%25%C3%A9"),
        ] {
            assert_eq!(sent(typed).unwrap(), encoded, "{typed}");
            assert_eq!(sent(encoded), Ok(Cow::Borrowed(encoded)), "what is encoded is not encoded again");
        }
        for blank in ["/a b", "/a\tb", "/a\u{a0}b", "/a\0", "/a\r\nhost: x"] {
            assert_eq!(sent(blank), Err(Unsendable::WhiteSpace), "{blank:?}");
        }
        assert_eq!(sent("/a#b"), Err(Unsendable::Fragment));
        assert_eq!(sent(&format!("/{}", "x".repeat(LONGEST))), Err(Unsendable::TooLong));
        assert_eq!(sent(&format!("/{}", "ü".repeat(LONGEST / 4))), Err(Unsendable::TooLong));
        assert!(sent(&format!("/{}", "x".repeat(LONGEST - 1))).is_ok());
    }
}
