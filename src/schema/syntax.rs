//! What a person did wrong when a file is not valid YAML: plain words for the errors of the parser, which only knows
//! productions of a grammar.
//!
//! The parser says where it could not continue, and the text around that place says why: a missing colon is noticed on
//! the next line, a bracket that is never closed at whatever follows it. If no rule fits, the parser's own words are
//! kept.

use std::sync::Arc;

use super::source::{Mistake, SourceFile, Span};

/// A mistake from where the parser stopped (a byte offset) and what it `said`.
pub(super) fn explain(file: &Arc<SourceFile>, at: usize, said: &str) -> Mistake {
    let place = Place::new(file, at, said);
    let rules = [
        Place::tab,
        Place::first_line,
        Place::quotes,
        Place::unknown_escape,
        Place::expression,
        Place::brackets,
        Place::first_letter,
        Place::alias,
        Place::behind_block,
        Place::list_and_map,
        Place::colon,
        Place::indent,
    ];
    rules.iter().find_map(|rule| rule(&place)).unwrap_or_else(|| {
        let end = file.text.trim_end().len();
        let at = if place.at >= end { end.saturating_sub(1) } else { place.at };
        Mistake::new(file, place.word(at), said.to_owned()).expected("expected valid YAML")
    })
}

/// Keys with which items of lists begin: steps, set-up, graphs and expectations.
pub(super) const BEGINS_AN_ITEM: [&str; 17] = [
    "get",
    "head",
    "put",
    "post",
    "patch",
    "delete",
    "options",
    "send",
    "receive",
    "set",
    "command",
    "shell",
    "fixture",
    "bars",
    "lines",
    "quantiles",
    "metric",
];

/// A line of the file.
#[derive(Clone, Copy, Debug)]
struct Line<'a> {
    /// From 1.
    number: usize,
    /// Where it starts, in bytes.
    start: usize,
    text: &'a str,
}

impl<'a> Line<'a> {
    /// White space at its start, in bytes.
    fn indent(&self) -> usize {
        self.text.len() - self.text.trim_start().len()
    }

    /// Its content, without surrounding white space and without a comment.
    fn content(&self) -> &'a str {
        let text = self.text.trim();
        if text.starts_with('#') {
            return "";
        }
        text.find(" #").map_or(text, |at| text[..at].trim_end())
    }

    /// The content after the dashes of lists, and where it starts in the file.
    fn entry(&self) -> (usize, &'a str) {
        let (mut at, mut text) = (self.start + self.indent(), self.content());
        while let Some(rest) = text.strip_prefix("- ") {
            let inner = rest.trim_start();
            at += text.len() - inner.len();
            text = inner;
        }
        (at, text)
    }

    /// The key that comes first in it, and what follows its colon.
    fn key(&self) -> Option<(&'a str, &'a str)> {
        let (_, text) = self.entry();
        if text.starts_with(['"', '\'', '[', '{', '#']) {
            return None;
        }
        let at = colon(text)?;
        Some((text[..at].trim_end(), text[at + 1..].trim()))
    }
}

/// A colon that makes the text before it a key.
fn colon(text: &str) -> Option<usize> {
    text.find(": ").or_else(|| text.ends_with(':').then(|| text.len() - 1))
}

/// Where the parser stopped.
struct Place<'a> {
    file: &'a Arc<SourceFile>,
    text: &'a str,
    at: usize,
    said: &'a str,
    /// The lines that are neither empty nor comments.
    lines: Vec<Line<'a>>,
    /// The line of `at`, as an index into `lines`.
    here: usize,
    /// Brackets that are open there.
    open: Vec<usize>,
}

impl<'a> Place<'a> {
    fn new(file: &'a Arc<SourceFile>, at: usize, said: &'a str) -> Self {
        let text = file.text.as_str();
        let mut at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        let mut start = 0;
        let mut lines = Vec::new();
        for (index, whole) in text.split_inclusive('\n').enumerate() {
            let line = Line { number: index + 1, start, text: whole.trim_end_matches(['\n', '\r']) };
            if !line.content().is_empty() {
                lines.push(line);
            }
            start += whole.len();
        }
        let here = lines.iter().rposition(|line| line.start <= at).unwrap_or(0);
        Self { file, text, at, said, lines, here, open: open_brackets(text, at) }
    }

    fn line(&self) -> Option<Line<'a>> {
        self.lines.get(self.here).copied()
    }

    /// The line before this one.
    fn before(&self) -> Option<Line<'a>> {
        self.here.checked_sub(1).map(|index| self.lines[index])
    }

    /// The run of characters at an offset that are not white space.
    fn word(&self, at: usize) -> Span {
        let end = self.text[at..].find(char::is_whitespace).map_or(self.text.len(), |length| at + length);
        Span { start: at, end }
    }

    fn mistake(&self, start: usize, end: usize, found: impl Into<String>) -> Mistake {
        Mistake::new(self.file, Span { start, end: end.max(start) }, found)
    }

    fn line_number(&self, at: usize) -> usize {
        self.file.line_column(at).0
    }

    fn column(&self, at: usize) -> usize {
        self.file.line_column(at).1
    }

    /// Where a plain text that starts at an offset ends: at the end of its line, at a comment, or inside brackets at a
    /// comma or a bracket.
    fn value_end(&self, start: usize) -> usize {
        let rest = &self.text[start..];
        let mut depth = 0_usize;
        for (at, c) in rest.char_indices() {
            match c {
                '\n' => return start + rest[..at].trim_end().len(),
                '#' if rest[..at].ends_with(' ') => return start + rest[..at].trim_end().len(),
                // The braces of an expression belong to it.
                '{' | '[' => depth += 1,
                '}' | ']' if depth > 0 => depth -= 1,
                ',' | '}' | ']' if !self.open.is_empty() && depth == 0 => return start + rest[..at].trim_end().len(),
                _ => {}
            }
        }
        self.text.trim_end().len().max(start)
    }

    /// Where the plain text that contains an offset starts.
    fn value_start(&self, at: usize) -> usize {
        let line = self.text[..at].rfind('\n').map_or(0, |end| end + 1);
        let before = &self.text[line..at];
        let delimiters: &[&str] = if self.open.is_empty() { &[": ", "- "] } else { &[": ", ", ", "{", "["] };
        let behind = |delimiter: &&str| before.rfind(*delimiter).map(|found| found + delimiter.len());
        let start = delimiters.iter().filter_map(behind).max().unwrap_or(0);
        line + start + (before[start..].len() - before[start..].trim_start().len())
    }

    /// A text that must be quoted, with the way to do it.
    fn quote(&self, start: usize, found: impl Into<String>) -> Mistake {
        let end = self.value_end(start);
        self.mistake(start, end, found).expected(format!("expected it in quotes: `{}`", quoted(&self.text[start..end])))
    }

    fn tab(&self) -> Option<Mistake> {
        // A value that is not in quotes continues until it meets the tab of a line below it.
        let is_below = self.said.contains("found a tab");
        let near = [Some(self.here), Some(self.here + 1).filter(|_| is_below)];
        let indents = |line: &&Line<'_>| line.text[..line.indent()].contains('\t');
        if self.open.is_empty()
            && let Some(line) = near.into_iter().flatten().filter_map(|index| self.lines.get(index)).find(indents)
        {
            let start = line.start + line.text.find('\t').unwrap_or_default();
            let found = format!("a tab at the start of line {}", line.number);
            return Some(self.mistake(start, start + 1, found).expected("expected spaces: YAML is indented with spaces only"));
        }
        let near = [self.at.checked_sub(1), Some(self.at)].into_iter().flatten();
        let near = near.into_iter().find(|at| self.text.as_bytes().get(*at) == Some(&b'\t'));
        let tab = near.or_else(|| Some(self.at + self.text[self.at..].find('\t').filter(|_| is_below)?))?;
        Some(self.mistake(tab, tab + 1, "a tab").expected("expected spaces"))
    }

    /// The whole file is judged by its first line: it may be indented, or start with a character that has a meaning.
    fn first_line(&self) -> Option<Mistake> {
        let (first, line) = (self.lines.first()?, self.line()?);
        if !self.said.contains("<document start>") {
            return None;
        }
        let start = first.start + first.indent();
        if first.content().starts_with('%') {
            return Some(self.quote(start, "a line cannot start with `%`"));
        }
        if first.indent() <= line.indent() {
            return None;
        }
        let found = format!(
            "`{}` starts in column {}, and line {} in column {}",
            first.entry().1.split(':').next().unwrap_or_default(),
            first.indent() + 1,
            line.number,
            line.indent() + 1
        );
        Some(self.mistake(start, self.word(start).end, found).expected("expected all keys of a map in the same column"))
    }

    /// A quoted text that has no end, or ends too early.
    fn quotes(&self) -> Option<Mistake> {
        let mark = self.text[self.at..].chars().next().filter(|c| matches!(c, '"' | '\''));
        if self.said.contains("trailing content") {
            let closing = self.text[..self.at].trim_end().len() - 1;
            let single = self.text[closing..].starts_with('\'');
            let end = self.value_end(self.at);
            let found = format!("`{}` after a quoted text", &self.text[self.at..end]);
            let help = if single && closing + 1 == self.at {
                "an apostrophe between '…' is written twice (`''`); or put the text between \"…\""
            } else {
                "put all of the text between the quotes, or none of it"
            };
            return Some(self.mistake(self.at, end, found).expected("expected the end of the value").help(help));
        }
        let is_open = self.said.contains("quoted scalar") && !self.said.contains("escape") || self.said.contains("end of stream");
        let mark = mark.filter(|_| is_open)?;
        let end = self.text[self.at..].find('\n').map_or(self.text.len(), |length| self.at + length);
        let found = format!("a text that starts with `{mark}` and does not end");
        Some(self.mistake(self.at, end, found).expected(format!("expected `{mark}` at its end")))
    }

    /// `"\d"`
    fn unknown_escape(&self) -> Option<Mistake> {
        if !self.said.contains("escape") {
            return None;
        }
        let begin = self.text[self.at..].find('"')? + self.at;
        let mut rest = self.text[begin..].char_indices();
        while let Some((at, c)) = rest.next() {
            if c == '\\' {
                let escaped = rest.next().map_or(' ', |(_, escaped)| escaped);
                if !"0abtnvfre \"/\\N_LPxuU\t\n".contains(escaped) {
                    let start = begin + at;
                    let found = format!("`\\{escaped}` is not a valid escape between \"…\"");
                    return Some(
                        self.mistake(start, start + 1 + escaped.len_utf8(), found)
                            .expected(format!("expected `\\\\{escaped}`, or the text between '…'")),
                    );
                }
            }
        }
        None
    }

    /// `{connections: ${n}}`: the braces of an expression are not those of a map.
    fn expression(&self) -> Option<Mistake> {
        if self.open.is_empty() || !self.text[..self.at].ends_with('$') || !self.text[self.at..].starts_with('{') {
            return None;
        }
        let bracket = &self.text[self.open[self.open.len() - 1]..][..1];
        let inside = if bracket == "{" { "`{…}`" } else { "`[…]`" };
        Some(self.quote(self.value_start(self.at), format!("an expression without quotes inside {inside}")))
    }

    fn brackets(&self) -> Option<Mistake> {
        let here = self.text[self.at..].chars().next();
        let Some(open) = self.open.last().copied() else {
            let closing = here.filter(|c| matches!(c, ']' | '}') && self.said.contains("bracket"))?;
            return Some(
                self.mistake(self.at, self.at + 1, format!("`{closing}` closes nothing")).expected("expected no bracket here"),
            );
        };
        let (opening, closing) = if self.text[open..].starts_with('[') { ('[', ']') } else { ('{', '}') };
        let (opened_in, line) = (self.line_number(open), self.line()?);
        if let Some(other) = here.filter(|c| matches!(c, ']' | '}') && *c != closing) {
            let found = format!("`{other}` where `{opening}` of line {opened_in}, column {} is open", self.column(open));
            return Some(self.mistake(self.at, self.at + 1, found).expected(format!("expected `{closing}`")));
        }
        let ended = self.text[self.at..].trim().is_empty();
        let outer = self.lines.iter().find(|l| l.number == opened_in).map_or(0, Line::indent);
        if ended || line.number > opened_in && line.indent() <= outer && line.key().is_some() {
            let found = format!("`{opening}` is never closed");
            let before = if ended { "before the end of the file".to_owned() } else { format!("before line {}", line.number) };
            return Some(self.mistake(open, open + 1, found).expected(format!("expected `{closing}` {before}")));
        }
        let start = self.value_start(self.at);
        let before = &self.text[start..self.at];
        if let Some(key) = self.key_without_colon(opening, start)
            && matches!(here?, '[' | '{' | '"' | '\'')
        {
            let found = format!("no colon after `{key}`");
            return Some(self.mistake(start, start + key.len(), found).expected(format!("expected `{key}: {}…`", here?)));
        }
        match here? {
            ':' if self.text[self.at + 1..].starts_with(['[', '{', '"', '\'']) => {
                let found = format!("no space after the colon of `{}`", &self.text[start..self.at]);
                Some(self.mistake(start, self.at + 1, found).expected(format!("expected `{}: …`", &self.text[start..self.at])))
            }
            // In a list the first colon is already one too many, if it is in a text.
            ':' if opening == '[' => Some(self.quote(self.item_start(self.at, open), "a second colon in a value")),
            ':' => Some(self.quote(start, "a second colon in a value")),
            '[' | '{' if !before.is_empty() && !before.ends_with([' ', ',', '\n']) => {
                Some(self.quote(start, "a bracket inside a text without quotes"))
            }
            _ if self.said.contains("','") => {
                let found = format!("no comma before `{}`", &self.text[self.at..self.value_end(self.at)]);
                Some(self.mistake(self.at, self.word(self.at).end, found).expected(format!("expected `,` or `{closing}`")))
            }
            _ => None,
        }
    }

    /// A word between braces, from `start` to where the parser stopped, in the place of a key and without a colon.
    fn key_without_colon(&self, opening: char, start: usize) -> Option<&'a str> {
        let key = self.text[start..self.at].trim_end();
        let is_word = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'));
        let is_first = self.text[..start].trim_end().ends_with(['{', ',']);
        (opening == '{' && is_word && is_first).then_some(key)
    }

    /// In the list that opens at an offset, where the item that contains another offset starts.
    fn item_start(&self, at: usize, open: usize) -> usize {
        let before = &self.text[open + 1..at];
        let start = open + 1 + before.rfind(", ").map_or(0, |comma| comma + 2);
        start + (self.text[start..at].len() - self.text[start..at].trim_start().len())
    }

    /// `@home`
    fn first_letter(&self) -> Option<Mistake> {
        let first = self.text[self.at..].chars().next().filter(|c| matches!(c, '@' | '`' | '%'))?;
        let found = if first == '`' {
            "a text cannot start with a backtick".to_owned()
        } else {
            format!("a text cannot start with `{first}`")
        };
        Some(self.quote(self.at, found))
    }

    /// `*.txt`
    fn alias(&self) -> Option<Mistake> {
        if !self.said.contains("unknown anchor") {
            return None;
        }
        let end = self.value_end(self.at);
        let name = self.text[self.at..end].trim_start_matches('*');
        let found = format!("`*{name}` refers to `&{name}`, which is not defined above it");
        let expected = format!("expected `&{name}` somewhere above, or a text in quotes: `{}`", quoted(&self.text[self.at..end]));
        Some(self.mistake(self.at, end, found).expected(expected))
    }

    /// `| text`
    fn behind_block(&self) -> Option<Mistake> {
        if !self.said.contains("block scalar") {
            return None;
        }
        let sign = self.text[self.at..].chars().next().filter(|c| matches!(c, '|' | '>'))?;
        let end = self.value_end(self.at);
        let found = format!("a text on the line of `{sign}`");
        Some(self.mistake(self.at, end, found).expected(format!("expected the text on the lines below, or no `{sign}`")))
    }

    /// A key among the items of a list, or an item among the keys of a map.
    fn list_and_map(&self) -> Option<Mistake> {
        let line = self.line()?;
        let start = line.start + line.indent();
        let content = line.content();
        if self.said.contains("'-' indicator") {
            let item = self.lines[..self.here].iter().rfind(|l| l.indent() == line.indent() && l.content().starts_with('-'))?;
            let found = format!("`{}` is beside the items of a list (line {})", line.key().map_or(content, |k| k.0), item.number);
            // As part of that item, or as another one.
            let beside = item.key().map(|(key, _)| {
                let column = self.column(item.entry().0);
                format!("column {column}, like `{key}` in line {}", item.number)
            });
            let expected = match (beside, line.key()) {
                (Some(beside), Some((key, _))) if !BEGINS_AN_ITEM.contains(&key) => format!("expected {beside}"),
                (Some(beside), _) => format!("expected `- {content}`: `- ` is missing before it; or {beside}"),
                (None, _) => format!("expected `- {content}`, or another column"),
            };
            return Some(self.mistake(start, self.word(start).end, found).expected(expected));
        }
        let is_item = content == "-" || content.starts_with("- ");
        if self.said.contains("expected key") && is_item {
            let beside = self.lines[..self.here].iter().rfind(|l| l.indent() <= line.indent())?;
            let (key, _) = beside.key().filter(|_| beside.indent() == line.indent() && !beside.content().starts_with('-'))?;
            let found = format!("an item of a list beside the key `{key}` of a map (line {})", beside.number);
            let expected = if BEGINS_AN_ITEM.contains(&key) {
                format!("expected `- {}` in line {}: `- ` is missing before `{key}`", beside.content(), beside.number)
            } else {
                "expected `key: value`".to_owned()
            };
            return Some(self.mistake(start, start + content.len(), found).expected(expected));
        }
        None
    }

    /// One colon too many, or one missing on the line before.
    fn colon(&self) -> Option<Mistake> {
        let simple = self.said.contains("simple key");
        if !(simple || self.said.contains("mapping values") || self.said.contains("':'")) || !self.open.is_empty() {
            return None;
        }
        let line = self.line()?;
        let (entry, text) = line.entry();
        let first = colon(text).map(|colon| entry + colon);
        if !simple && first.is_some_and(|first| first < self.at) {
            // `question: a: b`
            let key = line.key()?.0;
            let start = entry + text.find(": ")? + 2;
            let start = start + (self.text[start..].len() - self.text[start..].trim_start().len());
            return Some(self.quote(start, format!("a second colon in the value of `{key}`")));
        }
        // The last line of a file has no line below it at which a missing colon could be noticed.
        let is_last = simple && line.key().is_none() && !line.content().starts_with("- ");
        let (start, text) = if is_last { line } else { self.before()? }.entry();
        let shown = |text: &str| text.chars().take(60).collect::<String>();
        if colon(text).is_some() || text.starts_with(['"', '\'', '[', '{', '|', '>']) {
            return None;
        }
        let word = text.split(' ').next().unwrap_or(text);
        let (found, expected) = match word.split_once(':') {
            // The colon of a URL does not end a key: `url http://x`
            Some((word, _)) => (
                format!("no space after the colon of `{}`", shown(word)),
                format!("expected `{}: {}`", shown(word), shown(&text[word.len() + 1..])),
            ),
            None => (format!("no colon in `{}`", shown(text)), format!("expected `{}`", shown(&with_colon(text)))),
        };
        Some(self.mistake(start, start + text.len(), found).expected(expected))
    }

    /// A line that starts in a column where nothing can start.
    fn indent(&self) -> Option<Mistake> {
        let misplaced =
            ["expected key", "mapping values", "block collection", "block mapping"].iter().any(|part| self.said.contains(part));
        if !misplaced || !self.open.is_empty() {
            return None;
        }
        let line = self.line()?;
        let column = line.indent();
        // The columns in which something above this line started, and which part of it has not ended there.
        let mut above: Vec<Line<'_>> = Vec::new();
        for other in &self.lines[..self.here] {
            above.retain(|l| l.indent() < other.indent());
            above.push(*other);
        }
        let name =
            |line: &Line<'_>| line.key().map_or_else(|| line.content().chars().take(20).collect(), |(key, _)| key.to_owned());
        let deepest = above.last()?;
        let mut fits: Vec<&Line<'_>> = above.iter().filter(|l| l.indent() < column).rev().take(1).collect();
        let further = above.iter().find(|l| l.indent() > column);
        fits.extend(further);
        if deepest.indent() < column {
            // The key above already has a value.
            fits = vec![deepest];
        }
        if fits.is_empty() || above.iter().any(|l| l.indent() == column) {
            return None;
        }
        fits.sort_by_key(|l| std::cmp::Reverse(l.indent()));
        // Beside the keys of an item of a list: those stand behind its dash.
        let entry = |line: &Line<'_>| match line.key() {
            Some(_) if line.content().starts_with("- ") => self.column(line.entry().0),
            _ => line.indent() + 1,
        };
        let columns: Vec<String> =
            fits.iter().map(|l| format!("column {}, like `{}` in line {}", entry(l), name(l), l.number)).collect();
        let start = line.start + column;
        let found = format!("`{}` starts in column {}, but no line above does", name(&line), column + 1);
        let mistake =
            self.mistake(start, start + name(&line).len(), found).expected(format!("expected {}", columns.join(", or ")));
        Some(match deepest.key() {
            Some((key, value)) if deepest.indent() < column && !value.is_empty() => {
                mistake.help(format!("`{key}` already has a value, so nothing can be nested below it"))
            }
            _ => mistake,
        })
    }
}

/// The positions of the brackets that are open at an offset. Knows quotes, comments and texts over several lines, as
/// far as a file that is not valid YAML can be read.
fn open_brackets(text: &str, until: usize) -> Vec<usize> {
    let mut open: Vec<usize> = Vec::new();
    let mut quote: Option<char> = None;
    let mut text_below: Option<usize> = None;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start().len();
        let line_start = start;
        start += line.len();
        if line_start >= until {
            break;
        }
        if let Some(outer) = text_below {
            if line.trim().is_empty() || indent > outer {
                continue;
            }
            text_below = None;
        }
        // Whether a value may start here: only there do quotes and, outside of brackets, brackets have a meaning.
        let mut begins = true;
        let mut before = ' ';
        let mut characters = line.char_indices().peekable();
        while let Some((at, c)) = characters.next() {
            if line_start + at >= until {
                return open;
            }
            match quote {
                Some('"') if c == '\\' => {
                    characters.next();
                }
                Some(mark) => {
                    if c == mark {
                        quote = None;
                    }
                    begins = false;
                }
                None => match c {
                    '#' if before.is_whitespace() => break,
                    '"' | '\'' if begins => quote = Some(c),
                    '[' | '{' if begins || !open.is_empty() => open.push(line_start + at),
                    ']' | '}' if !open.is_empty() => {
                        open.pop();
                        begins = false;
                    }
                    '|' | '>' if begins && open.is_empty() && line[at + 1..].trim().len() <= 2 => text_below = Some(indent),
                    ',' if !open.is_empty() => begins = true,
                    ':' | '-' if characters.peek().is_none_or(|(_, next)| next.is_whitespace()) => begins = true,
                    c if c.is_whitespace() => {}
                    _ => begins = false,
                },
            }
            before = c;
        }
    }
    open
}

/// A key and its value whose colon is missing, with the colon: `b 2`, `b= 2` and `b = 2` are `b: 2`.
pub(super) fn with_colon(text: &str) -> String {
    let end = text.find([' ', '=']).unwrap_or(text.len());
    let value = text[end..].trim_start();
    let value = value.strip_prefix('=').unwrap_or(value).trim();
    if value.is_empty() { format!("{}:", &text[..end]) } else { format!("{}: {value}", &text[..end]) }
}

/// A text in the quotes that need the fewest characters.
pub(super) fn quoted(text: &str) -> String {
    if !text.contains(['"', '\\']) {
        return format!("\"{text}\"");
    }
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::super::node;
    use super::*;

    /// What is said of a text: found and expected.
    #[track_caller]
    fn said(text: &str) -> (String, String) {
        let mistake = node::parse(&SourceFile::inline("x.yaml", text)).expect_err(text);
        (mistake.found, mistake.expected.unwrap_or_default())
    }

    #[track_caller]
    fn assert_said(text: &str, found: &str, expected: &str) {
        assert_eq!(said(text), (found.to_owned(), expected.to_owned()), "{text}");
    }

    #[test]
    fn expressions_inside_brackets_are_to_be_quoted() {
        let found = "an expression without quotes inside `{…}`";
        assert_said("load: {closed: {connections: ${n}}, amount: 1}\n", found, "expected it in quotes: `\"${n}\"`");
        assert_said("steps: [{get: /a/${n}/b}]\n", found, "expected it in quotes: `\"/a/${n}/b\"`");
        assert_said("a: {b: ${x == \"y\"}, c: d}\n", found, "expected it in quotes: `'${x == \"y\"}'`");
        let found = "an expression without quotes inside `[…]`";
        assert_said("a: [x, ${port}, --y]\n", found, "expected it in quotes: `\"${port}\"`");
    }

    #[test]
    fn a_colon_is_missing() {
        assert_said("a: 1\nb 2\nc: 3\n", "no colon in `b 2`", "expected `b: 2`");
        assert_said("b 2\nc: 3\n", "no colon in `b 2`", "expected `b: 2`");
        assert_said("a: 1\nfactors\n  n: [1, 2]\n", "no colon in `factors`", "expected `factors:`");
        assert_said("a: 1\nurl:http://x\nb: 2\n", "no space after the colon of `url`", "expected `url: http://x`");
        assert_said("a: {b:{c: 1}}\n", "no space after the colon of `b`", "expected `b: …`");
        for end in ["", "\n", "\n\n", "\n# that is all\n"] {
            assert_said(&format!("a: 1\nb 2{end}"), "no colon in `b 2`", "expected `b: 2`");
            assert_said(&format!("a:\n  - x\nb 2{end}"), "no colon in `b 2`", "expected `b: 2`");
        }
        assert_said("a:\n  url http://x:1\n  b: 2\n", "no colon in `url http://x:1`", "expected `url: http://x:1`");
        assert_said("a:\n  b: 2\n  url http://x:1\n", "no colon in `url http://x:1`", "expected `url: http://x:1`");
        assert_said("a: 1\nb= 2\nc: 3\n", "no colon in `b= 2`", "expected `b: 2`");
        assert_said("a: 1\nb = 2\n", "no colon in `b = 2`", "expected `b: 2`");
        assert_said("a: {closed {c: 1}, d: 2}\n", "no colon after `closed`", "expected `closed: {…`");
        assert_said("a: {d: 2, closed [1]}\n", "no colon after `closed`", "expected `closed: […`");
    }

    #[test]
    fn a_colon_is_one_too_many() {
        assert_said("q: a: b: c\n", "a second colon in the value of `q`", "expected it in quotes: `\"a: b: c\"`");
        assert_said("c: [echo, a: b: c]\n", "a second colon in a value", "expected it in quotes: `\"a: b: c\"`");
        assert_said("c: [a: b: c, d]\n", "a second colon in a value", "expected it in quotes: `\"a: b: c\"`");
        assert_said("x: {shell: echo a: b, c: 1}\n", "a second colon in a value", "expected it in quotes: `\"echo a: b\"`");
        assert_said(
            "s:\n  - w: curl -H a: b # c\n",
            "a second colon in the value of `w`",
            "expected it in quotes: `\"curl -H a: b\"`",
        );
    }

    #[test]
    fn both_columns_of_a_wrong_indent_are_named() {
        assert_said(
            "w:\n  c:\n    url: x\n   load: y\n",
            "`load` starts in column 4, but no line above does",
            "expected column 5, like `url` in line 3, or column 3, like `c` in line 2",
        );
        assert_said(
            "w:\n  url: x\n     load: y\n",
            "`load` starts in column 6, but no line above does",
            "expected column 3, like `url` in line 2",
        );
        assert_said(
            "c:\n    - a\n   - b\n",
            "`- b` starts in column 4, but no line above does",
            "expected column 5, like `- a` in line 2, or column 1, like `c` in line 1",
        );
        assert_said(
            " a: 1\nb: 2\n",
            "`a` starts in column 2, and line 2 in column 1",
            "expected all keys of a map in the same column",
        );
        assert_said("a:\n  \tb: 1\n", "a tab at the start of line 2", "expected spaces: YAML is indented with spaces only");
        assert_said("a:\n\tb: 1\n", "a tab at the start of line 2", "expected spaces: YAML is indented with spaces only");
        assert_said("a: 1\n\tb: 2\n", "a tab at the start of line 2", "expected spaces: YAML is indented with spaces only");
        let below = "c:\n  url: http://x:1\n\tload: {a: 1}\n  steps: []\n";
        assert_said(below, "a tab at the start of line 3", "expected spaces: YAML is indented with spaces only");
        let far = "c:\n  url: http://x:1\n\n# more\n  \tload: {a: 1}\n";
        assert_said(far, "a tab at the start of line 5", "expected spaces: YAML is indented with spaces only");
    }

    #[test]
    fn lists_and_maps_are_not_mixed() {
        assert_said("f:\n  n: 1\n  - m\n", "an item of a list beside the key `n` of a map (line 2)", "expected `key: value`");
        assert_said(
            "f:\n  - n: 1\n  m: 2\n",
            "`m` is beside the items of a list (line 2)",
            "expected column 5, like `n` in line 2",
        );
        assert_said(
            "s:\n  - get: /\n  get: /x\n",
            "`get` is beside the items of a list (line 2)",
            "expected `- get: /x`: `- ` is missing before it; or column 5, like `get` in line 2",
        );
        assert_said(
            "s:\n  get: /\n  - get: /x\n",
            "an item of a list beside the key `get` of a map (line 2)",
            "expected `- get: /` in line 2: `- ` is missing before `get`",
        );
    }

    #[test]
    fn a_key_beside_those_of_an_item_stands_behind_the_dash() {
        assert_said(
            "s:\n  - get: /\n      expect: 3\n",
            "`expect` starts in column 7, but no line above does",
            "expected column 5, like `get` in line 2",
        );
    }

    #[test]
    fn brackets_and_quotes_have_an_end() {
        assert_said("f: {n: [1, 2}\n", "`}` where `[` of line 1, column 8 is open", "expected `]`");
        assert_said("f:\n  n: [1, 2\ng: 1\n", "`[` is never closed", "expected `]` before line 3");
        assert_said("f: {n: 1\n", "`{` is never closed", "expected `}` before the end of the file");
        assert_said("f: {n: 1}}\n", "`}` closes nothing", "expected no bracket here");
        assert_said("f: {n: [1] m: 2}\n", "no comma before `m: 2`", "expected `,` or `}`");
        assert_said("q: \"why\nb: 1\n", "a text that starts with `\"` and does not end", "expected `\"` at its end");
        assert_said("q: 'it's slow'\n", "`s slow'` after a quoted text", "expected the end of the value");
        assert_said("q: \"a\\d\"\n", "`\\d` is not a valid escape between \"…\"", "expected `\\\\d`, or the text between '…'");
    }

    #[test]
    fn signs_with_a_meaning_are_to_be_quoted() {
        assert_said("q: @home\n", "a text cannot start with `@`", "expected it in quotes: `\"@home\"`");
        let (found, expected) = said("q: *.txt\n");
        assert_eq!(found, "`*.txt` refers to `&.txt`, which is not defined above it");
        assert!(expected.ends_with("or a text in quotes: `\"*.txt\"`"), "{expected}");
        assert_said("q: | text\n  more\n", "a text on the line of `|`", "expected the text on the lines below, or no `|`");
    }

    #[test]
    fn brackets_in_texts_and_comments_are_none() {
        let text = "a: \"[\" # {\nb: |\n  {[\nc: it's [\nd: [x, '}', {\n";
        assert_eq!(open_brackets(text, text.len()), [text.rfind('[').unwrap(), text.rfind('{').unwrap()]);
    }
}
