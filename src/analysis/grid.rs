//! A table that fits into the width of a terminal, whatever its names are.
//!
//! Columns of names are on the left, then numbers, and words may follow. Nothing is cut off: headers and names are wrapped at
//! words, columns of numbers without content are left out, and if the numbers alone are too wide, the table continues below,
//! with the same names. A number is never wrapped.

use vocabulary::columns::{WIDTH, cell_lines, pad, widest_piece, width};

/// The table continues below before a column of names becomes narrower than this.
const NARROWEST: usize = 6;
/// Pieces of names that are no wider than this stay whole, even if the table then continues below.
const WIDEST_PIECE: usize = 12;
/// Pieces of headers that are no wider than this stay whole.
const WIDEST_HEADER: usize = 16;

/// A table before it is laid out.
#[derive(Clone, Debug)]
pub struct Grid {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
    /// How wide it may be.
    room: usize,
}

#[derive(Clone, Debug)]
struct Column {
    header: String,
    kind: Kind,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Names or sentences: aligned to the left, wrapped at words.
    Words,
    /// Numbers with their units: aligned to the right, never wrapped.
    Number,
    /// Numbers that are left out before the table continues below: another column says much the same.
    Spare,
}

/// What is shown in a cell without a value.
const NOTHING: [&str; 2] = ["", "–"];

impl Grid {
    /// A table without rows.
    pub fn new(columns: impl IntoIterator<Item = (String, Kind)>) -> Self {
        let columns = columns.into_iter().map(|(header, kind)| Column { header, kind }).collect();
        Self { columns, rows: Vec::new(), room: WIDTH }
    }

    /// The same for a wider terminal.
    pub fn within(self, room: usize) -> Self {
        Self { room: room.max(WIDTH), ..self }
    }

    /// Adds a row, which has a cell for each column.
    pub fn add(&mut self, row: Vec<String>) {
        debug_assert_eq!(row.len(), self.columns.len(), "{row:?}");
        self.rows.push(row);
    }

    /// Whether it has no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether a column of numbers with this header is shown.
    pub fn shows(&self, header: &str) -> bool {
        self.columns.iter().enumerate().any(|(at, column)| column.header == header && self.says_something(at))
    }

    /// Whether columns that may be left out are, for want of room.
    pub fn lacks_room(&self) -> bool {
        let shown: Vec<usize> = (0..self.columns.len()).filter(|at| self.says_something(*at)).collect();
        least(&self.least_widths(&shown), 1) > self.room && shown.iter().any(|at| self.columns[*at].kind == Kind::Spare)
    }

    /// The table with a rule below its header, no wider than there is room.
    pub fn text(&self) -> String {
        let mut shown: Vec<usize> = (0..self.columns.len()).filter(|at| self.says_something(*at)).collect();
        if least(&self.least_widths(&shown), 1) > self.room {
            shown.retain(|at| self.columns[*at].kind != Kind::Spare);
        }
        let first_number = shown.iter().position(|at| self.columns[*at].kind != Kind::Words).unwrap_or(shown.len());
        let (names, others) = shown.split_at(first_number);
        let mut parts: Vec<Vec<usize>> = vec![names.to_vec()];
        for at in others {
            let part = parts.last_mut().expect("there is one from the start");
            part.push(*at);
            if part.len() > names.len() + 1 && least(&self.least_widths(part), 1) > self.room {
                part.pop();
                parts.push(names.iter().chain([at]).copied().collect());
            }
        }
        let texts: Vec<String> = parts.iter().map(|part| self.part(part)).collect();
        texts.join("\n")
    }

    fn says_something(&self, at: usize) -> bool {
        self.columns[at].kind == Kind::Words || self.rows.iter().any(|row| !NOTHING.contains(&row[at].as_str()))
    }

    /// How wide a column is if nothing is wrapped.
    fn natural(&self, at: usize) -> usize {
        self.widest_cell(at).max(self.columns[at].header.lines().map(width).max().unwrap_or_default())
    }

    fn widest_cell(&self, at: usize) -> usize {
        self.rows.iter().flat_map(|row| row[at].lines()).map(width).max().unwrap_or_default()
    }

    /// How narrow a column may become without breaking pieces of words.
    fn whole_pieces(&self, at: usize) -> usize {
        let header = widest_piece(&self.columns[at].header);
        header.max(match self.columns[at].kind {
            Kind::Number | Kind::Spare => self.widest_cell(at),
            Kind::Words => self.rows.iter().map(|row| widest_piece(&row[at])).max().unwrap_or_default(),
        })
    }

    /// The narrowest columns with which a table can still be read.
    fn least_widths(&self, part: &[usize]) -> Vec<usize> {
        let of = |at: &usize| match self.columns[*at].kind {
            Kind::Number | Kind::Spare => self.widest_cell(*at).max(widest_piece(&self.columns[*at].header).min(WIDEST_HEADER)),
            Kind::Words => self.whole_pieces(*at).clamp(NARROWEST, WIDEST_PIECE).min(self.natural(*at)),
        };
        part.iter().map(of).collect()
    }

    /// The width of each column, and of the gap between two.
    fn widths(&self, part: &[usize]) -> (Vec<usize>, usize) {
        let mut widths: Vec<usize> = part.iter().map(|at| self.natural(*at)).collect();
        if least(&widths, 2) <= self.room {
            return (widths, 2);
        }
        let whole = part.iter().map(|at| self.whole_pieces(*at)).collect();
        // Headers are wrapped first, then names at words, and finally names anywhere.
        let numbers = part.iter().zip(&widths).map(|(at, natural)| match self.columns[*at].kind {
            Kind::Number | Kind::Spare => self.whole_pieces(*at),
            Kind::Words => *natural,
        });
        for least_widths in [numbers.collect(), whole, self.least_widths(part)] {
            shrink(&mut widths, &least_widths, self.room);
        }
        (widths, 1)
    }

    /// Some of the columns as a table.
    fn part(&self, part: &[usize]) -> String {
        let (widths, gap) = self.widths(part);
        let kinds: Vec<Kind> = part.iter().map(|at| self.columns[*at].kind).collect();
        let lines = |cells: Vec<&str>| lines(&cells, &kinds, &widths, gap);
        let header = lines(part.iter().map(|at| self.columns[*at].header.as_str()).collect());
        let rows: Vec<String> =
            self.rows.iter().flat_map(|row| lines(part.iter().map(|at| row[*at].as_str()).collect())).collect();
        let rule = "─".repeat(header.iter().chain(&rows).map(|line| width(line)).max().unwrap_or_default());
        header.iter().chain([&rule]).chain(&rows).map(|line| format!("{line}\n")).collect()
    }
}

/// The lines of a row: as many as its tallest cell has.
fn lines(cells: &[&str], kinds: &[Kind], widths: &[usize], gap: usize) -> Vec<String> {
    let broken: Vec<Vec<String>> = cells.iter().zip(widths).map(|(cell, columns)| cell_lines(cell, *columns)).collect();
    let height = broken.iter().map(Vec::len).max().unwrap_or_default().max(1);
    let line = |number: usize| {
        let padded = broken.iter().zip(kinds).zip(widths).map(|((lines, kind), columns)| {
            let text = lines.get(number).map_or("", String::as_str);
            match kind {
                Kind::Words => pad(text, *columns),
                Kind::Number | Kind::Spare => format!("{}{text}", " ".repeat(columns.saturating_sub(width(text)))),
            }
        });
        padded.collect::<Vec<_>>().join(&" ".repeat(gap)).trim_end().to_owned()
    };
    (0..height).map(line).collect()
}

/// The width of a table with these columns and gaps.
fn least(widths: &[usize], gap: usize) -> usize {
    widths.iter().sum::<usize>() + gap * widths.len().saturating_sub(1)
}

/// Makes columns narrower, the widest first, until they fit or all are as narrow as they may be.
fn shrink(widths: &mut [usize], least_widths: &[usize], room: usize) {
    while least(widths, 1) > room {
        let wide = (0..widths.len()).filter(|at| widths[*at] > least_widths[*at]).max_by_key(|at| widths[*at]);
        let Some(at) = wide else { return };
        widths[at] -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(names: &[&str], numbers: &[&str], rows: &[&[&str]]) -> Grid {
        let of = |kind| move |name: &&str| ((*name).to_owned(), kind);
        let mut grid = Grid::new(names.iter().map(of(Kind::Words)).chain(numbers.iter().map(of(Kind::Number))));
        rows.iter().for_each(|row| grid.add(row.iter().map(|cell| (*cell).to_owned()).collect()));
        grid
    }

    fn assert_fits(text: &str) {
        text.lines().for_each(|line| assert!(width(line) <= WIDTH, "{}: {line}", width(line)));
    }

    #[test]
    fn what_fits_is_one_line_a_row_and_what_says_nothing_is_left_out() {
        let grid = grid(&["processes"], &["per second", "PSS"], &[&["1", "12 345", "–"], &["2", "5", ""]]);
        assert_eq!(grid.text(), "processes  per second\n─────────────────────\n1              12 345\n2                   5\n");
        assert!(grid.shows("per second") && !grid.shows("PSS"));
    }

    #[test]
    fn long_names_are_broken_at_words_and_numbers_never() {
        let name = "a very long level of a factor that says in a sentence what is different/in/this/cell";
        let row = ["4", name, "12 345 678", "±5 %", "100 ms", "1.20 s", "0.00 %", "1.2 GiB", "0.95"];
        let numbers = ["per second", "95 %", "p50", "p99", "unsent", "PSS", "CPU"];
        let text = grid(&["processes", "variant"], &numbers, &[&row]).text();
        assert_fits(&text);
        for number in &row[2..] {
            assert!(text.lines().any(|line| line.contains(number)), "{number} is broken:\n{text}");
        }
        let words: Vec<&str> = text.split_whitespace().collect();
        assert!(["very", "sentence", "different/in/this/"].iter().all(|word| words.contains(word)), "{text}");
    }

    #[test]
    fn too_many_numbers_continue_below_with_the_same_names() {
        let headers: Vec<String> = (0..9).map(|at| format!("metric number {at}")).collect();
        let cells: Vec<String> = (0..9).map(|at| format!("{at}2 345 678 ±{at}5 %")).collect();
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        let row: Vec<&str> = std::iter::once("the-name").chain(cells.iter().map(String::as_str)).collect();
        let text = grid(&["variant"], &headers, &[&row]).text();
        assert_fits(&text);
        assert_eq!(text.matches("the-name").count(), 3, "{text}");
        assert!(cells.iter().all(|cell| text.contains(cell)), "{text}");
    }

    #[test]
    fn a_name_without_an_end_is_broken_anywhere() {
        let name = "x".repeat(300);
        let text = grid(&["id"], &["per second"], &[&[&name, "12 345"]]).text();
        assert_fits(&text);
        assert_eq!(text.matches('x').count(), 300);
    }
}
