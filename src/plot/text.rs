//! The embedded fonts: how wide a text is, and how it breaks into lines.
//!
//! Glyphs are placed here rather than by plotters, whose own text ignores the space to the left of each glyph and rounds
//! every advance to whole pixels. Fonts of the system are never used, so that a figure is the same on every machine.

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, Glyph, PxScale, ScaleFont, point};

static REGULAR: LazyLock<FontRef<'static>> = LazyLock::new(|| embedded(include_bytes!("fonts/DejaVuSans.ttf")));
static BOLD: LazyLock<FontRef<'static>> = LazyLock::new(|| embedded(include_bytes!("fonts/DejaVuSans-Bold.ttf")));

fn embedded(bytes: &'static [u8]) -> FontRef<'static> {
    FontRef::try_from_slice(bytes).expect("the embedded font is part of the program and whole")
}

/// A long word may be continued on the next line after one of these.
const BREAKS: [char; 8] = ['/', '-', '_', '=', ',', ':', '&', '+'];

/// Weight and size of a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Style {
    /// Em size in pixels of the picture.
    pub size: f64,
    pub bold: bool,
}

impl Style {
    pub const fn regular(size: f64) -> Self {
        Style { size, bold: false }
    }

    pub const fn bold(size: f64) -> Self {
        Style { size, bold: true }
    }

    /// Distance from one line to the next, in pixels.
    pub fn line_height(self) -> f64 {
        (self.size * 1.3).round()
    }

    /// Height of a capital letter or a digit above its baseline, in pixels.
    pub fn cap_height(self) -> f64 {
        self.size * 0.73
    }

    pub fn font(self) -> &'static FontRef<'static> {
        if self.bold { &BOLD } else { &REGULAR }
    }

    /// Width of one line in pixels.
    pub fn width(self, text: &str) -> f64 {
        self.layout(text, 1.0).1
    }

    /// The glyphs of one line on a baseline at the origin, and the width of the line, everything magnified by `zoom`.
    pub fn layout(self, text: &str, zoom: f64) -> (Vec<Glyph>, f64) {
        let font = self.font();
        // ab_glyph measures from ascent to descent; people mean one em when they give a size.
        let em = f64::from(font.units_per_em().unwrap_or(2048.0));
        let height = f64::from(font.height_unscaled());
        let scaled = font.as_scaled(PxScale::from((self.size * zoom * height / em) as f32));
        let mut x = 0.0;
        let mut glyphs = Vec::new();
        for c in text.chars().filter(|c| !c.is_control()) {
            let mut glyph = scaled.scaled_glyph(c);
            glyph.position = point(x, 0.0);
            x += scaled.h_advance(glyph.id);
            glyphs.push(glyph);
        }
        (glyphs, f64::from(x))
    }

    /// Breaks a text into at most `most` lines no wider than `width`.
    ///
    /// Lines end at spaces; words that are too wide are broken after punctuation, then anywhere. What does not fit is
    /// replaced by "…" at the end.
    pub fn wrap(self, text: &str, width: f64, most: usize) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for piece in text.split_whitespace().flat_map(|word| self.pieces(word, width)) {
            let gap = if piece.glued { "" } else { " " };
            let joined = lines.last().map(|line| format!("{line}{gap}{}", piece.text));
            let full = lines.len() == most;
            match (joined, lines.last_mut()) {
                (Some(joined), Some(line)) if self.width(&joined) <= width => *line = joined,
                (Some(joined), Some(line)) if full => {
                    *line = self.shorten(&joined, width);
                    break;
                }
                _ => lines.push(piece.text),
            }
        }
        lines
    }

    /// Whether a text breaks into at most `most` lines without cutting a word anywhere but
    /// after punctuation.
    pub fn fits(self, text: &str, width: f64, most: usize) -> bool {
        let whole = most == 1
            || text.split_whitespace().flat_map(|word| word.split_inclusive(BREAKS)).all(|part| self.width(part) <= width);
        let lines = self.wrap(text, width, most + 1);
        whole && lines.len() <= most && lines.iter().all(|line| self.width(line) <= width)
    }

    /// The text, or as much of it as fits into `width` with "…" at the end.
    pub fn shorten(self, text: &str, width: f64) -> String {
        if self.width(text) <= width {
            return text.to_owned();
        }
        let mut kept = text.to_owned();
        while kept.pop().is_some() && self.width(&format!("{}…", kept.trim_end())) > width {}
        format!("{}…", kept.trim_end())
    }

    /// The text, or its start and end around "…": names that differ often do so at the end.
    pub fn shorten_middle(self, text: &str, width: f64) -> String {
        if self.width(text) <= width {
            return text.to_owned();
        }
        let chars: Vec<char> = text.chars().collect();
        let joined = |kept: usize| {
            let head: String = chars[..kept.div_ceil(2)].iter().collect();
            let tail: String = chars[chars.len() - kept / 2..].iter().collect();
            format!("{}…{}", head.trim_end(), tail.trim_start())
        };
        let fitting = (0..chars.len()).rev().map(joined).find(|text| self.width(text) <= width);
        fitting.unwrap_or_else(|| "…".to_owned())
    }

    /// One word as pieces that each fit into `width`.
    fn pieces(self, word: &str, width: f64) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = Vec::new();
        if self.width(word) <= width {
            return vec![Piece { text: word.to_owned(), glued: false }];
        }
        for part in word.split_inclusive(BREAKS) {
            let mut text = String::new();
            for c in part.chars() {
                if !text.is_empty() && self.width(&format!("{text}{c}")) > width {
                    pieces.push(Piece { text: std::mem::take(&mut text), glued: true });
                }
                text.push(c);
            }
            pieces.push(Piece { text, glued: true });
        }
        if let Some(first) = pieces.first_mut() {
            first.glued = false;
        }
        pieces
    }
}

/// A part of a line that is not broken.
struct Piece {
    text: String,
    /// Follows the previous piece without a space.
    glued: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLE: Style = Style::regular(16.0);

    #[test]
    fn lines_are_no_wider_than_asked_and_keep_the_text() {
        let text = "requests per second by proxy-version/with-a-very-long-name and size";
        for width in [60.0, 90.0, 150.0, 400.0] {
            let lines = STYLE.wrap(text, width, 99);
            assert!(lines.iter().all(|line| STYLE.width(line) <= width), "{lines:?}");
            let bare = |text: &str| text.replace(' ', "");
            assert_eq!(bare(&lines.concat()), bare(text));
        }
    }

    #[test]
    fn what_does_not_fit_ends_in_an_ellipsis() {
        let lines = STYLE.wrap("one two three four five six seven", 70.0, 2);
        assert_eq!(lines.len(), 2);
        assert!(lines[1].ends_with('…') && STYLE.width(&lines[1]) <= 70.0, "{lines:?}");
    }

    #[test]
    fn both_ends_of_a_name_remain() {
        let name = STYLE.shorten_middle("keep-alive with a long name, small", 120.0);
        assert!(name.starts_with("keep") && name.ends_with("all"), "{name}");
        assert!(STYLE.width(&name) <= 120.0);
    }

    #[test]
    fn empty_text_has_no_lines() {
        assert!(STYLE.wrap("  ", 100.0, 3).is_empty());
        assert!(STYLE.wrap("", 0.0, 3).is_empty());
    }

    #[test]
    fn no_room_at_all_ends_as_well() {
        assert!(!STYLE.wrap("abc def", 0.0, 2).is_empty());
        assert_eq!(STYLE.shorten("abc", 0.0), "…");
        assert_eq!(STYLE.shorten_middle("abc", 0.0), "…");
    }
}
