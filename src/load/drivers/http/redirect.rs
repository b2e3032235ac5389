//! Where a redirect leads, and which request follows: pure.

use std::borrow::Cow;

use hyper::Method;
use hyper::http::uri::PathAndQuery;

use super::request::in_request;
use plan::{Url, url};

/// Whether an answer with this status and a `location` can be followed.
pub(super) fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

/// The method of the next request; if it differs from the previous one, there is no body.
///
/// As browsers do (Fetch standard, HTTP-redirect fetch, step 12): 301 and 302 turn POST into GET, 303 turns everything
/// except HEAD.
pub(super) fn next_method(status: u16, method: &Method) -> Method {
    match status {
        301 | 302 if *method == Method::POST => Method::GET,
        303 if *method != Method::HEAD => Method::GET,
        _ => method.clone(),
    }
}

/// The URL and path to which `location` leads from a path of `base` (RFC 3986, 5.2).
///
/// # Errors
/// What is wrong with it.
pub(super) fn resolve(base: &Url, path: &str, location: &str) -> Result<(Url, PathAndQuery), String> {
    let location = location.trim().split('#').next().unwrap_or_default();
    let scheme = location.split_once(':').map(|(scheme, _)| scheme).filter(|scheme| is_scheme(scheme));
    if scheme.is_some_and(|scheme| !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known))) {
        return Err("it is neither http nor https".to_owned());
    }
    // A location that starts with a host keeps the scheme of the request.
    let whole = match (scheme, location.strip_prefix("//")) {
        (None, Some(rest)) => Cow::Owned(format!("http{}://{rest}", if base.tls { "s" } else { "" })),
        _ => Cow::Borrowed(location),
    };
    let rest = location;
    let (url, path) = match url::split(&whole).filter(|_| scheme.is_some() || whole != location) {
        Some((scheme, authority, path)) => {
            let origin = Url::parse_origin(&format!("{scheme}://{authority}"));
            (origin.map_err(|expected| format!("`{authority}` is not a host; {expected}"))?, path.to_owned())
        }
        None if scheme.is_some() => return Err("it names no host".to_owned()),
        None => {
            let whole = path.split('?').next().unwrap_or_default();
            let path = match rest.as_bytes().first() {
                None => path.to_owned(),
                Some(b'/') => rest.to_owned(),
                Some(b'?') => format!("{whole}{rest}"),
                Some(_) => format!("{}{rest}", &whole[..=whole.rfind('/').unwrap_or(0)]),
            };
            (base.clone().origin(), path)
        }
    };
    let (path, query) = path.find('?').map_or((path.as_str(), ""), |at| path.split_at(at));
    let whole = format!("{}{query}", without_dots(path));
    Ok((url, in_request(&whole)?))
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

/// Removes `.` and `..` from a path that starts with `/` or is empty.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let segments = path.strip_prefix('/').unwrap_or(path).split('/');
    let mut ends_open = false;
    for segment in segments {
        ends_open = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            _ => kept.push(segment),
        }
    }
    if ends_open {
        kept.push("");
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_resolved() {
        let base = Url::parse("http://a:81").unwrap();
        for (location, expected) in [
            ("http://b/x?y#z", "http://b:80 /x?y"),
            ("HTTPS://b", "https://b:443 /"),
            ("https://[::1]:8443/c", "https://[::1]:8443 /c"),
            ("http://a:81?q", "http://a:81 /?q"),
            ("//b:82/x", "http://b:82 /x"),
            ("/x/../y", "http://a:81 /y"),
            ("x", "http://a:81 /d/x"),
            ("../x", "http://a:81 /x"),
            ("../../x/.", "http://a:81 /x/"),
            ("./x:y", "http://a:81 /d/x:y"),
            ("?r", "http://a:81 /d/e?r"),
            ("", "http://a:81 /d/e?q"),
            ("#there", "http://a:81 /d/e?q"),
            ("  /x ", "http://a:81 /x"),
            ("/x//y", "http://a:81 /x//y"),
            ("/x?a=../b", "http://a:81 /x?a=../b"),
        ] {
            let (url, path) = resolve(&base, "/d/e?q", location).unwrap_or_else(|e| panic!("{location}: {e}"));
            assert_eq!(format!("{url} {path}"), expected, "{location}");
        }
        for wrong in ["ftp://b/x", "mailto:x", "http:/x", "http://", "/a b", "http://b:port/"] {
            assert!(resolve(&base, "/", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn methods_change_as_in_browsers() {
        let next = |status, method: &Method| next_method(status, method).to_string();
        for status in [301, 302] {
            assert_eq!(next(status, &Method::POST), "GET");
            assert_eq!(next(status, &Method::PUT), "PUT");
        }
        assert_eq!(next(303, &Method::PUT), "GET");
        assert_eq!(next(303, &Method::HEAD), "HEAD");
        for status in [307, 308] {
            assert_eq!(next(status, &Method::POST), "POST");
        }
    }
}
