//! Addresses of HTTP servers.

use std::fmt;

use serde::Serialize;

/// An `http://` or `https://` address, taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Url {
    /// Whether it is `https://`.
    pub tls: bool,
    /// Host name or address, without brackets.
    pub host: String,
    /// TCP port of the server.
    pub port: u16,
    /// What precedes every path, without a slash at its end; a path and query when it is a whole URL.
    pub path: String,
}

impl Url {
    /// Reads `http://host:port/path`.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (tls, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Err("expected `http://host:port` or `https://host:port`"),
        };
        let (authority, path) = rest.find('/').map_or((rest, ""), |i| rest.split_at(i));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().ok().filter(|p| *p > 0).ok_or("expected a port from 1 to 65535")?)
            }
            _ => (authority, if tls { 443 } else { 80 }),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '@') {
            return Err("expected `http://host:port`");
        }
        Ok(Self { tls, host: host.to_owned(), port, path: path.trim_end_matches('/').to_owned() })
    }

    /// Whether both have one origin: scheme, host and port (RFC 6454).
    pub fn same_origin(&self, other: &Self) -> bool {
        (self.tls, self.port) == (other.tls, other.port) && self.host.eq_ignore_ascii_case(&other.host)
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

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

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
        assert_eq!(Url::parse("https://localhost").unwrap().to_string(), "https://localhost:443");
        for wrong in ["", "localhost:80", "http://", "http://x:99999", "ftp://x", "http://a b"] {
            assert!(Url::parse(wrong).is_err(), "{wrong}");
        }
    }
}
