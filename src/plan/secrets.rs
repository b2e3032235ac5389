//! Values that must not be written down: inserted where the scenario says so, and masked in everything that comes back.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;

use super::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use vocabulary::units::{in_json, in_url};

/// The text that is written instead of a secret.
pub const MASK: &str = "***";
/// Lines of a secret of several lines that are shorter than this reveal nothing alone.
const SHORTEST_LINE: usize = 8;
/// The same limit for a part of a secret in a message that was cut.
const SHORTEST_PART: usize = 8;

/// Secrets by their late names, and all texts that reveal one of them.
#[derive(Clone, Default)]
pub struct Secrets {
    late: BTreeMap<String, String>,
    /// The longest first: one may contain another.
    hidden: Vec<String>,
}

/// The names only.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.late.keys()).finish()
    }
}

/// Whether a late name is that of a secret: variables that are not secret have their values in the plan.
pub fn is_secret(name: &str) -> bool {
    name.starts_with("env.")
}

impl Secrets {
    /// Values by late name, such as `env.PASSWORD`.
    pub fn new(late: BTreeMap<String, String>) -> Self {
        let mut hidden = BTreeSet::new();
        for value in late.values() {
            hidden.insert(value.clone());
            // As a shell or a server may quote it.
            hidden.insert(value.trim().to_owned());
            // As it appears inside JSON.
            hidden.insert(in_json(value));
            // And inside a URL.
            hidden.insert(in_url(value));
            hidden.extend(value.lines().filter(|line| line.len() >= SHORTEST_LINE).map(str::to_owned));
        }
        let mut secrets = Self { late, hidden: Vec::new() };
        hidden.into_iter().for_each(|text| secrets.hide(text));
        secrets
    }

    /// Whether there are no secrets.
    pub fn is_empty(&self) -> bool {
        self.late.is_empty()
    }

    /// Values by late name.
    pub fn late(&self) -> impl Iterator<Item = (&str, String)> {
        self.late.iter().map(|(name, value)| (name.as_str(), value.clone()))
    }

    /// Masks one more text.
    fn hide(&mut self, text: String) {
        if !text.is_empty() && !self.hidden.contains(&text) {
            self.hidden.push(text);
            self.hidden.sort_by_key(|text| std::cmp::Reverse(text.len()));
        }
    }

    /// Masks the user and password of a request if one of the two is secret.
    pub fn hide_credentials(&mut self, auth: &Auth) {
        let late: BTreeMap<&str, String> = self.late().collect();
        let secret = [&auth.user, &auth.password].into_iter().flat_map(Template::names).any(|name| late.contains_key(name));
        let basic = secret.then(|| auth.basic(&late));
        if let Some(basic) = basic {
            self.hide(basic);
        }
    }

    /// A text without secrets, and without parts of secrets where a message was cut.
    pub fn mask<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut masked = Cow::Borrowed(text);
        for hidden in &self.hidden {
            if masked.contains(hidden.as_str()) {
                masked = Cow::Owned(masked.replace(hidden.as_str(), MASK));
            }
        }
        if self.hidden.iter().any(|h| begins_of(h).next().is_some()) {
            let cut = |line: &str| self.hidden.iter().find_map(|hidden| without_part(line, hidden));
            if masked.split('\n').any(|line| cut(line).is_some()) {
                let lines: Vec<String> = masked.split('\n').map(|line| cut(line).unwrap_or_else(|| line.to_owned())).collect();
                masked = Cow::Owned(lines.join("\n"));
            }
        }
        masked
    }

    /// Masks all files below a directory; does nothing if the directory does not exist.
    ///
    /// # Errors
    /// The error of the operating system, with the file.
    pub fn mask_directory(&self, path: &Path) -> Result<(), (std::path::PathBuf, io::Error)> {
        if self.is_empty() {
            return Ok(());
        }
        let entries = match std::fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err((path.to_owned(), error)),
        };
        for entry in entries {
            let entry = entry.map_err(|error| (path.to_owned(), error))?;
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => self.mask_directory(&entry.path())?,
                Ok(kind) if kind.is_file() => self.mask_file(&entry.path()).map_err(|error| (entry.path(), error))?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Masks a file line by line; a file without a secret is not changed.
    fn mask_file(&self, path: &Path) -> io::Result<()> {
        let is_secret = |line: &[u8]| self.hidden.iter().any(|h| line.windows(h.len()).any(|w| w == h.as_bytes()));
        let mut lines = BufReader::new(std::fs::File::open(path)?);
        let mut line = Vec::new();
        let mut found = false;
        while !found && lines.read_until(b'\n', &mut line)? > 0 {
            found = is_secret(&line);
            line.clear();
        }
        if !found {
            return Ok(());
        }
        let partial = path.with_extension("masked");
        let mut lines = BufReader::new(std::fs::File::open(path)?);
        let mut masked = BufWriter::new(std::fs::File::create(&partial)?);
        while lines.read_until(b'\n', &mut line)? > 0 {
            if is_secret(&line) {
                masked.write_all(self.mask(&String::from_utf8_lossy(&line)).as_bytes())?;
            } else {
                masked.write_all(&line)?;
            }
            line.clear();
        }
        masked.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        std::fs::rename(&partial, path)
    }
}

/// The positions at which a cut secret may end: the ends of all its prefixes that are long enough to reveal something.
fn begins_of(hidden: &str) -> impl DoubleEndedIterator<Item = usize> {
    hidden.char_indices().map(|(at, _)| at).filter(|at| *at >= SHORTEST_PART)
}

/// A line without the start of a secret before its end, or before `…`, and without the end of a secret at its start; `None`
/// if there is none of these.
fn without_part(line: &str, hidden: &str) -> Option<String> {
    let body = line.trim_end_matches(['`', '"', '…', ' ']);
    let (end, rest) = (body, &line[body.len()..]);
    if let Some(at) = begins_of(hidden).rev().find(|at| end.ends_with(&hidden[..*at])) {
        return Some(format!("{}{MASK}{rest}", &end[..end.len() - at]));
    }
    let start = line.trim_start_matches(['|', ' ', '`', '"']);
    let ends = hidden.char_indices().map(|(at, _)| at).filter(|at| *at > 0 && hidden.len() - at >= SHORTEST_PART);
    let part = ends.into_iter().map(|at| &hidden[at..]).find(|part| start.starts_with(part))?;
    Some(format!("{}{MASK}{}", &line[..line.len() - start.len()], &start[part.len()..]))
}

/// User and password of requests, for HTTP's basic authentication (RFC 7617).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Auth {
    /// The name of the user.
    pub user: Template,
    /// The password.
    pub password: Template,
}

impl Auth {
    /// The text after `Basic`, with late names filled in.
    fn basic(&self, late: &BTreeMap<&str, String>) -> String {
        let [user, password] = [&self.user, &self.password].map(|t| t.fill(late).to_text());
        STANDARD.encode(format!("{user}:{password}"))
    }

    /// The value of the header `authorization`.
    pub fn header(&self, late: &BTreeMap<&str, String>) -> String {
        format!("Basic {}", self.basic(late))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        let late = [("env.PASSWORD", "pass\"word"), ("env.SHORT", "pass"), ("env.KEY", "-----BEGIN KEY-----\nabcdefghij\nxy\n")];
        Secrets::new(late.map(|(name, value)| (name.to_owned(), value.to_owned())).into())
    }

    #[test]
    fn what_gives_a_secret_away_is_masked() {
        let mut secrets = secrets();
        assert_eq!(secrets.mask(r#"it said pass"word, pass and "pass\"word"!"#), r#"it said ***, *** and "***"!"#);
        assert_eq!(secrets.mask("line: abcdefghij, xy"), "line: ***, xy");
        assert!(matches!(secrets.mask("nothing of that kind"), Cow::Borrowed(_)));
        // RFC 7617, 2: `Aladdin` with `open sesame`.
        let auth = Auth { user: Template::parse("Aladdin"), password: Template::parse("open sesame") };
        assert_eq!(auth.header(&BTreeMap::new()), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        secrets.hide_credentials(&auth);
        assert_eq!(secrets.mask("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        let auth = Auth { user: Template::parse("me"), password: Template::parse("${env.SHORT}") };
        secrets.hide_credentials(&auth);
        assert_eq!(secrets.mask("Basic bWU6cGFzcw=="), "Basic ***");
        assert_eq!(format!("{secrets:?}"), r#"{"env.KEY", "env.PASSWORD", "env.SHORT"}"#);
    }

    #[test]
    fn a_part_that_a_cut_has_left_is_masked() {
        let late = BTreeMap::from([("env.TOKEN".to_owned(), "abcdefghijklmnop".to_owned())]);
        let secrets = Secrets::new(late);
        for (text, masked) in [
            ("answered `{\"you\":\"abcdefghij…`", "answered `{\"you\":\"***…`"),
            ("last words\n    | ijklmnop and more", "last words\n    | *** and more"),
            ("abcdefgh", "***"),
            ("abcdefg", "abcdefg"),
            ("abcdefgh is whole", "abcdefgh is whole"),
        ] {
            assert_eq!(secrets.mask(text), masked, "{text}");
        }
    }

    #[test]
    fn files_are_masked() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
        write("a.out", b"one\n\xff pass\nthree pass");
        write("b.out", b"nothing \xff\n");
        secrets().mask_directory(folder.path()).unwrap();
        let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
        assert_eq!(String::from_utf8_lossy(&read("a.out")), "one\n\u{fffd} ***\nthree ***");
        assert_eq!(read("b.out"), b"nothing \xff\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
        secrets().mask_directory(Path::new("/nowhere")).unwrap();
    }
}
