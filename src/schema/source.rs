//! A scenario file as text, and the mistakes found in it: position, kind and wording are kept apart.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vocabulary::words::harmless;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet, renderer::DecorStyle};

pub use vocabulary::words::{all_of, nearest, one_of};

/// Files larger than this are refused: a scenario is written by a person.
pub const MAX_FILE_BYTES: u64 = 1 << 20;
/// More mistakes than this are counted but not shown: nobody reads them before fixing the first ones.
pub const MAX_SHOWN: usize = 50;

/// Why a file could not be read at all; there is no line to show.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is missing or may not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file as it was named.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is larger than [`MAX_FILE_BYTES`].
    #[error("{} is {size} bytes long; a scenario file may have at most {MAX_FILE_BYTES} (large bodies belong in separate files: `body: {{file: …}}`)", path.display())]
    TooLarge {
        /// The file as it was named.
        path: PathBuf,
        /// Its length in bytes.
        size: u64,
    },
}

/// A text and the name under which mistakes in it are shown.
#[derive(Debug)]
pub struct SourceFile {
    /// The path as the user typed it.
    pub path: PathBuf,
    /// The text as it was read; positions count its bytes.
    pub text: String,
}

impl SourceFile {
    /// Reads a file that must be UTF-8 and of a sensible size.
    ///
    /// # Errors
    /// [`Error`] when it cannot be read; a [`Mistake`] (as the inner `Err`) when it is not UTF-8.
    pub fn read(path: &Path) -> Result<Result<Arc<Self>, Box<Mistake>>, Error> {
        let read = |source| Error::Read { path: path.to_owned(), source };
        let meta = std::fs::metadata(path).map_err(read)?;
        if meta.is_dir() {
            return Err(read(std::io::Error::other("it is a directory; give a scenario file in it")));
        }
        if meta.len() > MAX_FILE_BYTES {
            return Err(Error::TooLarge { path: path.to_owned(), size: meta.len() });
        }
        let bytes = std::fs::read(path).map_err(read)?;
        Ok(match String::from_utf8(bytes) {
            Ok(text) => Ok(Arc::new(Self { path: path.to_owned(), text: without_mark(text) })),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let byte = error.as_bytes()[at];
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                let file = Arc::new(Self { path: path.to_owned(), text });
                Err(Box::new(
                    Mistake::new(
                        &file,
                        Span { start: at, end: at + '\u{fffd}'.len_utf8() },
                        format!("the byte 0x{byte:02x} is not UTF-8"),
                    )
                    .expected("expected text in UTF-8"),
                ))
            }
        })
    }

    /// A file made in memory, for tests and templates.
    pub fn inline(path: &str, text: &str) -> Arc<Self> {
        Arc::new(Self { path: path.into(), text: without_mark(text.to_owned()) })
    }

    /// Line and column (both from 1, columns in characters) of a byte offset.
    pub fn line_column(&self, offset: usize) -> (usize, usize) {
        let before = &self.text[..self.floor(offset)];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |s| s.chars().count()) + 1;
        (line, column)
    }

    fn floor(&self, offset: usize) -> usize {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }
}

/// Without the byte order mark that some editors put first: it is not part of the text, and would shift columns.
fn without_mark(text: String) -> String {
    match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    }
}

/// A stretch of a [`SourceFile`], in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// One mistake of the user's: where, what was found, what was expected, what to do.
#[derive(Clone, Debug)]
pub struct Mistake {
    /// The file that it is in.
    pub file: Arc<SourceFile>,
    /// Where in the file.
    pub span: Span,
    /// What is in the file, in words for the first line of the message.
    pub found: String,
    /// What was expected there; shown under the line.
    pub expected: Option<String>,
    /// What to do, such as `did you mean …`.
    pub help: Option<String>,
}

impl Mistake {
    /// A mistake with its position and what was found.
    pub fn new(file: &Arc<SourceFile>, span: Span, found: impl Into<String>) -> Self {
        Self { file: Arc::clone(file), span, found: found.into(), expected: None, help: None }
    }

    /// Whether it overlaps with another one.
    pub fn touches(&self, span: Span) -> bool {
        self.span == span || self.span.start < span.end && span.start < self.span.end
    }

    /// Adds what was expected.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds `did you mean …` if one of the known names is close.
    #[must_use]
    pub fn did_you_mean<'a>(self, typed: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        match nearest(typed, known) {
            Some(name) => self.help(format!("did you mean `{name}`?")),
            None => self,
        }
    }

    /// The mistake as `check` prints it, in the style of rustc.
    pub fn render(&self, colour: bool) -> String {
        let file = &self.file;
        let start = file.floor(self.span.start);
        let line_end = file.text[start..].find('\n').map_or(file.text.len(), |i| start + i);
        let line_end = if file.text[start..line_end].ends_with('\r') { line_end - 1 } else { line_end };
        // A span over several lines is shown by its first one: what starts there is what was meant.
        let end = file.floor(self.span.end.max(start)).clamp(start, line_end.max(start));
        let line_start = file.text[..start].rfind('\n').map_or(0, |i| i + 1);
        let line_number = file.line_column(start).0;
        let line = &file.text[line_start..line_end];
        let mut annotation = AnnotationKind::Primary.span(start - line_start..end - line_start);
        let expected = self.expected.as_deref().map(harmless);
        if let Some(expected) = &expected {
            annotation = annotation.label(&**expected);
        }
        // The name of a file, and its content, may contain control sequences that a terminal obeys.
        let path = harmless(&file.path.display().to_string()).into_owned();
        let found = harmless(&self.found);
        let mut group = Level::ERROR
            .primary_title(&*found)
            .element(Snippet::source(line).path(&path).line_start(line_number).annotation(annotation));
        let help = self.help.as_deref().map(harmless);
        if let Some(help) = &help {
            group = group.element(Level::HELP.message(&**help));
        }
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        renderer.decor_style(DecorStyle::Ascii).render(&[group])
    }
}

/// All mistakes of a file as `check` prints them, with an empty line after each; beyond [`MAX_SHOWN`] they are only
/// counted.
pub fn render_all(mistakes: &[Mistake], colour: bool) -> String {
    let mut text: String = mistakes.iter().take(MAX_SHOWN).map(|m| m.render(colour) + "\n\n").collect();
    match mistakes.len().saturating_sub(MAX_SHOWN) {
        0 => {}
        1 => text += "… and 1 more mistake\n\n",
        more => text += &format!("… and {more} more mistakes\n\n"),
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &str, word: &str) -> String {
        let file = SourceFile::inline("x.yaml", text);
        let start = file.text.find(word).unwrap();
        Mistake::new(&file, Span { start, end: start + word.len() }, "found").expected("expected").render(false)
    }

    #[test]
    fn line_ends_and_a_byte_order_mark_do_not_move_a_mistake() {
        let plain = rendered("a: 1\nb: wrong\nc: 2\n", "wrong");
        assert!(plain.contains("x.yaml:2:4"), "{plain}");
        assert_eq!(rendered("a: 1\r\nb: wrong\r\nc: 2\r\n", "wrong"), plain);
        assert_eq!(rendered("\u{feff}a: 1\nb: wrong\nc: 2\n", "wrong"), plain);
        assert!(rendered("\u{feff}b: wrong\n", "wrong").contains("x.yaml:1:4"));
    }

    #[test]
    fn columns_count_characters() {
        assert!(rendered("ä: {ö: ü, b: wrong}\n", "wrong").contains("x.yaml:1:14"));
        assert!(rendered("\tb: wrong\n", "wrong").contains("x.yaml:1:5"));
    }

    #[test]
    fn thousands_of_mistakes_are_counted_not_shown() {
        let file = SourceFile::inline("x.yaml", "a");
        let mistakes = vec![Mistake::new(&file, Span { start: 0, end: 1 }, "found"); MAX_SHOWN + 7];
        let text = render_all(&mistakes, false);
        assert_eq!(text.matches("error: found").count(), MAX_SHOWN);
        assert!(text.ends_with("… and 7 more mistakes\n\n"));
    }
}
