//! The cookies of one user: which ones are kept, and which are sent with a request. The rules are those of RFC 6265, by
//! `cookie_store`; here is what makes them cheap: the header is made once, and again only when a cookie has changed, expires, or
//! belongs to some paths only.
//!
//! Left out: lists of public suffixes, and what belongs to pages (`SameSite`): a load has neither sites nor pages.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::time::{Duration, Instant};

use cookie_store::{CookieError, CookieExpiration, CookieStore, RawCookie};
use url::Url;

/// The most bytes of a cookie, name and value together, as browsers have it (RFC 6265bis, 5.6).
const MOST_BYTES: usize = 4096;
/// The most cookies of a user: browsers keep at least 50 of a domain.
const MOST: usize = 180;

/// To whom a request goes, as far as cookies are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipient<'a> {
    /// Whether it goes over TLS.
    pub tls: bool,
    /// The host, without its port.
    pub host: &'a str,
    /// The path, with or without a query.
    pub path: &'a str,
}

impl Recipient<'_> {
    fn url(&self) -> Option<Url> {
        let host = if self.host.contains(':') && !self.host.starts_with('[') {
            format!("[{}]", self.host)
        } else {
            self.host.to_owned()
        };
        Url::parse(&format!("http{}://{host}{}", if self.tls { "s" } else { "" }, self.path)).ok()
    }
}

/// The cookies of a user.
#[derive(Debug, Default)]
pub struct Jar {
    store: CookieStore,
    /// The value of the header `cookie`, as it was made last.
    line: String,
    /// For which requests it was made; empty if it must be made again.
    host: String,
    tls: bool,
    /// The path that it was made for; empty if it is the same for all paths.
    path: String,
    /// When the first cookie in it expires.
    until: Option<Instant>,
    /// Name and text of the cookies that were taken last and do not expire: a server that sends one with each answer changes
    /// nothing.
    taken: [(u64, u64); 2],
}

impl Jar {
    /// Forgets all cookies.
    pub fn clear(&mut self) {
        if self.store.iter_any().next().is_some() {
            self.store.clear();
        }
        (self.line, self.until, self.taken) = (String::new(), None, [(0, 0); 2]);
        self.host.clear();
    }

    /// The value of the header `cookie` for a request; empty if it has none.
    pub fn line(&mut self, to: Recipient<'_>) -> &str {
        let is_made = self.host == to.host
            && self.tls == to.tls
            && (self.path.is_empty() || self.path == to.path)
            && self.until.is_none_or(|until| Instant::now() < until);
        if !is_made {
            self.make(to);
        }
        &self.line
    }

    fn make(&mut self, to: Recipient<'_>) {
        self.line.clear();
        let Some(url) = to.url() else { return };
        let mut found = self.store.matches(&url);
        // Longer paths first, and earlier cookies first among these (RFC 6265, 5.4); the store keeps their order.
        found.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        for cookie in found {
            let (name, value) = cookie.name_value();
            self.line.extend([if self.line.is_empty() { "" } else { "; " }, name, "=", value]);
        }
        self.host.clear();
        self.host.push_str(to.host);
        self.tls = to.tls;
        self.path.clear();
        if self.store.iter_any().any(|cookie| *cookie.path != *"/") {
            self.path.push_str(to.path);
        }
        let now = Timestamp::now();
        self.until = self.store.iter_unexpired().filter_map(|cookie| now.until(&cookie.expires)).min();
    }

    /// Takes the value of a header `set-cookie` that came with the answer to a request.
    ///
    /// # Errors
    /// In words, why the cookie is not kept.
    pub fn take(&mut self, text: &[u8], from: Recipient<'_>) -> Result<(), String> {
        let hashes = BuildHasherDefault::<DefaultHasher>::default();
        let whole = hashes.hash_one((from.tls, from.host, from.path, text));
        if self.taken.iter().any(|(_, taken)| *taken == whole) {
            return Ok(());
        }
        let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8".to_owned())?;
        let cookie = RawCookie::parse(text).map_err(|error| error.to_string())?;
        let name = shown(cookie.name());
        let length = cookie.name().len() + cookie.value().len();
        if length > MOST_BYTES {
            return Err(format!("`{name}` has {length} bytes, and at most {MOST_BYTES} are kept"));
        }
        let expires = cookie.max_age().is_some() || cookie.expires_datetime().is_some();
        let url = from.url().ok_or_else(|| format!("`{}` is not a host", from.host))?;
        if self.store.iter_any().nth(MOST - 1).is_some() {
            return Err(format!("`{name}` would be one more than the {MOST} that are kept"));
        }
        let taken = self.store.insert_raw(&cookie, &url);
        self.host.clear();
        // What was taken under this name is no longer what is kept.
        let named = hashes.hash_one(cookie.name());
        self.taken.iter_mut().filter(|(other, _)| *other == named).for_each(|same| *same = (0, 0));
        match taken {
            Ok(_) if expires => Ok(()),
            Ok(_) => {
                self.taken = [(named, whole), self.taken[0]];
                Ok(())
            }
            // That is how a server removes a cookie.
            Err(CookieError::Expired) => Ok(()),
            Err(CookieError::DomainMismatch) => {
                let domain = shown(cookie.domain().unwrap_or_default());
                Err(format!("`{name}` is for `{domain}`, but {} set it", from.host))
            }
            Err(error) => Err(format!("`{name}`: {error}")),
        }
    }
}

/// The start of a text from outside.
fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Now, by both clocks.
struct Timestamp {
    instant: Instant,
    unix: Duration,
}

impl Timestamp {
    fn now() -> Self {
        let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self { instant: Instant::now(), unix }
    }

    /// The instant at which a cookie expires, if it does within the time that the clock can count.
    fn until(&self, expires: &CookieExpiration) -> Option<Instant> {
        let CookieExpiration::AtUtc(at) = expires else { return None };
        let at = Duration::from_nanos(u64::try_from(at.unix_timestamp_nanos()).ok()?);
        self.instant.checked_add(at.saturating_sub(self.unix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOME: Recipient<'_> = Recipient { tls: false, host: "shop.example", path: "/a/b?q" };

    fn at<'a>(host: &'a str, path: &'a str) -> Recipient<'a> {
        Recipient { tls: false, host, path }
    }

    #[test]
    fn cookies_go_where_rfc_6265_sends_them() {
        let mut jar = Jar::default();
        for (text, from) in [
            ("lang=en; Path=/", HOME),
            ("session=1; Path=/; HttpOnly; Max-Age=3600", HOME),
            ("deep=2; Path=/a/b", HOME),
            ("default=3", HOME),
            ("wide=4; Domain=.example; Path=/", at("example", "/")),
            ("wide2=5; Domain=shop.example; Path=/", HOME),
            ("hidden=6; Secure; Path=/", Recipient { tls: true, ..HOME }),
        ] {
            jar.take(text.as_bytes(), from).unwrap_or_else(|e| panic!("{text}: {e}"));
        }
        for (to, line) in [
            (HOME, "deep=2; default=3; lang=en; session=1; wide=4; wide2=5"),
            (at("shop.example", "/a"), "default=3; lang=en; session=1; wide=4; wide2=5"),
            (at("shop.example", "/ab"), "lang=en; session=1; wide=4; wide2=5"),
            (at("sub.shop.example", "/"), "wide=4; wide2=5"),
            (at("other.example", "/"), "wide=4"),
            (at("example.org", "/"), ""),
            (at("xshop.example", "/"), "wide=4"),
            (Recipient { tls: true, ..at("shop.example", "/") }, "lang=en; session=1; wide=4; wide2=5; hidden=6"),
        ] {
            let sorted = |line: &str| {
                let mut names: Vec<String> = line.split("; ").map(str::to_owned).collect();
                names.sort();
                names
            };
            let found = jar.line(to).to_owned();
            assert_eq!(sorted(&found), sorted(line), "{to:?}");
            assert!(!line.starts_with("deep") || found.starts_with("deep=2; default=3; lang=en; session=1"), "{found}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_cookie_is_said_and_nothing_is_kept() {
        let mut jar = Jar::default();
        for (text, why) in [
            ("a=1; Domain=other.example", "`a` is for `other.example`, but shop.example set it"),
            ("a=1; Domain=sub.shop.example", "`a` is for `sub.shop.example`, but shop.example set it"),
            ("=1", "the cookie's name is empty"),
            ("", "the cookie is missing a name/value pair"),
        ] {
            assert_eq!(jar.take(text.as_bytes(), HOME).unwrap_err(), why, "{text}");
        }
        assert_eq!(jar.take(b"a=\xff", HOME).unwrap_err(), "it is not UTF-8");
        let long = format!("a={}", "x".repeat(100 << 10));
        assert_eq!(jar.take(long.as_bytes(), HOME).unwrap_err(), "`a` has 102401 bytes, and at most 4096 are kept");
        assert_eq!(jar.line(HOME), "");
        for number in 0..1000 {
            let taken = jar.take(format!("n{number}=1; Path=/").as_bytes(), HOME);
            assert_eq!(taken.is_ok(), number < MOST, "{taken:?}");
        }
        // On an address, a domain is that address or foreign.
        assert!(jar.take(b"a=1; Domain=0.0.1", at("127.0.0.1", "/")).is_err());
    }

    #[test]
    fn a_cookie_is_replaced_and_removed_and_expires() {
        let mut jar = Jar::default();
        let all = at("shop.example", "/");
        jar.take(b"a=1; Path=/", HOME).unwrap();
        assert_eq!(jar.line(all), "a=1");
        jar.take(b"a=2; Path=/", HOME).unwrap();
        assert_eq!(jar.line(all), "a=2");
        jar.take(b"a=1; Path=/", HOME).unwrap();
        assert_eq!(jar.line(all), "a=1");
        jar.take(b"a=; Path=/; Max-Age=0", HOME).unwrap();
        assert_eq!(jar.line(all), "");
        jar.take(b"b=1; Path=/; Expires=Wed, 21 Oct 2015 07:28:00 GMT", HOME).unwrap();
        assert_eq!(jar.line(all), "");
        jar.take(b"c=1; Path=/; Max-Age=1", HOME).unwrap();
        assert_eq!(jar.line(all), "c=1");
        std::thread::sleep(Duration::from_millis(1100));
        assert_eq!(jar.line(all), "");
        jar.take(b"d=1; Path=/; Max-Age=99999999999999999999", HOME).unwrap();
        assert_eq!(jar.line(all), "d=1");
        jar.clear();
        assert_eq!(jar.line(all), "");
        jar.take(b"a=1; Path=/", HOME).unwrap();
        assert_eq!(jar.line(all), "a=1", "what was forgotten is taken again");
    }

    proptest! {
        /// Whatever servers send, nothing breaks, and the header is one that can be sent.
        #[test]
        fn any_text_is_taken_or_refused(texts in proptest::collection::vec("[ -~\\t\u{80}-\u{ff}]{0,60}", 1..6), path in "/[a-z/]{0,10}") {
            let mut jar = Jar::default();
            for text in &texts {
                let _ = jar.take(text.as_bytes(), at("127.0.0.1", &path));
                let line = jar.line(at("127.0.0.1", &path));
                prop_assert!(!line.contains(['\r', '\n', '\0']));
            }
        }

        /// What is kept from before makes no difference to the header.
        #[test]
        fn a_header_is_the_same_whatever_was_asked_before(
            texts in proptest::collection::vec("[abc]=[0-9](; Path=/[ab]?)?", 1..8), asked in proptest::collection::vec("/[ab]?", 1..5),
        ) {
            let (mut one, mut other) = (Jar::default(), Jar::default());
            for text in &texts {
                let _ = one.take(text.as_bytes(), at("h", "/"));
                let _ = other.take(text.as_bytes(), at("h", "/"));
                one.line(at("h", "/a"));
            }
            for path in &asked {
                let mut fresh = Jar::default();
                texts.iter().for_each(|text| drop(fresh.take(text.as_bytes(), at("h", "/"))));
                prop_assert_eq!(one.line(at("h", path)), fresh.line(at("h", path)));
                prop_assert_eq!(other.line(at("h", path)), fresh.line(at("h", path)));
            }
        }
    }
}
