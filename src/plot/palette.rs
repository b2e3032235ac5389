//! Which colour and pattern belongs to which series, and the colours of everything else.
//!
//! A colour is named by what it is for: a picture of pixels has it on white paper, a picture for a page on light or dark paper.

use super::shapes::Pattern;

/// Three bytes: red, green, blue.
type Rgb = [u8; 3];

/// What a colour is for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Tone {
    Ink,
    SoftInk,
    Axis,
    Grid,
    FaintGrid,
    Paper,
    /// Background of every second phase.
    Band,
    /// Background of the highlighted phase; the grid is visible on it, as on the next.
    MarkedBand,
    /// Background of the phases beside the highlighted one.
    BesideBand,
    /// What was broken on purpose.
    Fault,
    /// One of several series that have no order.
    Distinct(usize),
    /// One of several series that have an order.
    Ordered(usize),
}

/// A tone, and how much of it covers what is behind: 1 is all.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Colour {
    pub tone: Tone,
    pub opacity: f64,
}

impl Colour {
    /// The same tone with this share of its opacity.
    pub fn mix(self, share: f64) -> Self {
        Colour { opacity: self.opacity * share, ..self }
    }
}

const fn full(tone: Tone) -> Colour {
    Colour { tone, opacity: 1.0 }
}

pub(super) const INK: Colour = full(Tone::Ink);
pub(super) const SOFT_INK: Colour = full(Tone::SoftInk);
pub(super) const AXIS: Colour = full(Tone::Axis);
pub(super) const GRID: Colour = full(Tone::Grid);
pub(super) const FAINT_GRID: Colour = full(Tone::FaintGrid);
pub(super) const PAPER: Colour = full(Tone::Paper);
pub(super) const BAND: Colour = full(Tone::Band);
pub(super) const MARKED_BAND: Colour = full(Tone::MarkedBand);
pub(super) const BESIDE_BAND: Colour = full(Tone::BesideBand);
pub(super) const FAULT: Colour = full(Tone::Fault);
pub(super) const FAULT_BAND: Colour = Colour { tone: Tone::Fault, opacity: 0.16 };

/// Everything but series: its tone, its name, and its colours on light and on dark paper.
const PLAIN: [(Tone, &str, Rgb, Rgb); 10] = [
    (Tone::Ink, "ink", [0x22; 3], [0xe8, 0xea, 0xed]),
    (Tone::SoftInk, "soft", [0x55; 3], [0xb8, 0xbd, 0xc4]),
    (Tone::Axis, "rule", [0x77; 3], [0x8a, 0x90, 0x99]),
    (Tone::Grid, "grid", [0xdd; 3], [0x38, 0x3d, 0x45]),
    (Tone::FaintGrid, "faint", [0xf0; 3], [0x27, 0x2b, 0x31]),
    (Tone::Paper, "paper", [0xff; 3], [0x16, 0x19, 0x1d]),
    (Tone::Band, "band", [0xf3, 0xf5, 0xf8], [0x1e, 0x23, 0x2a]),
    (Tone::MarkedBand, "marked", [0xfd, 0xf0, 0xcf], [0x3b, 0x33, 0x1b]),
    (Tone::BesideBand, "beside", [0xe9, 0xef, 0xf6], [0x1f, 0x2a, 0x38]),
    (Tone::Fault, "fault", [0xc0, 0x39, 0x2b], [0xe5, 0x73, 0x68]),
];

/// Colours that people with any kind of colour vision can distinguish (Okabe and Ito 2008), in an order that keeps
/// neighbours distinct. Yellow is darkened and black lightened, so that thin lines are visible on white and error bars on
/// bars. The second of each pair is lighter, for dark paper.
const DISTINCT: [(Rgb, Rgb); 8] = [
    ([0x00, 0x72, 0xb2], [0x3d, 0x8f, 0xd1]),
    ([0xd5, 0x5e, 0x00], [0xe8, 0x75, 0x2a]),
    ([0x00, 0x9e, 0x73], [0x1f, 0xb4, 0x88]),
    ([0xe6, 0x9f, 0x00], [0xf0, 0xb0, 0x30]),
    ([0xcc, 0x79, 0xa7], [0xd9, 0x8f, 0xb8]),
    ([0x56, 0xb4, 0xe9], [0x8f, 0xd0, 0xf5]),
    ([0x59, 0x59, 0x59], [0xa8, 0xa8, 0xa8]),
    ([0xd6, 0xc4, 0x1c], [0xe6, 0xda, 0x5a]),
];

/// Dark to light for ordered series: viridis without its yellow end, and on dark paper without its dark half.
const ORDERED: [(Rgb, Rgb); 8] = [
    ([0x44, 0x01, 0x54], [0x2a, 0x78, 0x8e]),
    ([0x48, 0x28, 0x78], [0x21, 0x91, 0x8c]),
    ([0x3e, 0x49, 0x89], [0x22, 0xa8, 0x84]),
    ([0x31, 0x68, 0x8e], [0x44, 0xbf, 0x70]),
    ([0x26, 0x82, 0x8e], [0x7a, 0xd1, 0x51]),
    ([0x1f, 0x9e, 0x89], [0xa0, 0xda, 0x39]),
    ([0x35, 0xb7, 0x79], [0xd0, 0xe1, 0x1c]),
    ([0x8f, 0xd7, 0x44], [0xfd, 0xe7, 0x25]),
];

/// A tone as a style sheet and a picture of pixels need it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Look {
    /// Its class in SVG.
    pub class: String,
    pub light: Rgb,
    pub dark: Rgb,
}

impl Tone {
    /// Every tone.
    pub fn all() -> impl Iterator<Item = Tone> {
        let series = (0..DISTINCT.len()).map(Tone::Distinct).chain((0..ORDERED.len()).map(Tone::Ordered));
        PLAIN.iter().map(|(tone, ..)| *tone).chain(series)
    }

    pub fn look(self) -> Look {
        let (class, light, dark) = match self {
            Tone::Distinct(i) => (format!("d{i}"), DISTINCT[i].0, DISTINCT[i].1),
            Tone::Ordered(i) => (format!("o{i}"), ORDERED[i].0, ORDERED[i].1),
            plain => {
                let found = PLAIN.iter().find(|(tone, ..)| *tone == plain).expect("each tone has its row");
                (found.1.to_owned(), found.2, found.3)
            }
        };
        Look { class, light, dark }
    }
}

/// The look of one series everywhere in a figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct SeriesStyle {
    pub colour: Colour,
    pub pattern: Pattern,
}

/// One look for each series, chosen by the order and the kind of their names.
///
/// Names that differ in one ascending number (1, 2, 4, 8 threads) get shades of one scale; all others get distinct colours,
/// with patterns from the ninth on. After 24 series the looks repeat.
pub(super) fn series_styles(names: &[&str]) -> Vec<SeriesStyle> {
    let count = names.len();
    let plain = |tone| SeriesStyle { colour: full(tone), pattern: Pattern::Plain };
    if (3..=ORDERED.len()).contains(&count) && ascending(names) {
        return (0..count).map(|i| plain(Tone::Ordered(i * (ORDERED.len() - 1) / (count - 1)))).collect();
    }
    let patterns = [Pattern::Plain, Pattern::Stripes, Pattern::Checks];
    (0..count)
        .map(|i| SeriesStyle {
            pattern: patterns[i / DISTINCT.len() % patterns.len()],
            ..plain(Tone::Distinct(i % DISTINCT.len()))
        })
        .collect()
}

/// Whether the names are the same except for one number that grows from each to the next.
fn ascending(names: &[&str]) -> bool {
    let split: Option<Vec<_>> = names.iter().map(|name| around_number(name)).collect();
    split.is_some_and(|split| split.is_sorted_by(|a, b| a.0 == b.0 && a.2 == b.2 && a.1 < b.1))
}

/// The text before, the value of and the text after the only number in a name.
fn around_number(name: &str) -> Option<(&str, f64, &str)> {
    let number = |c: char| c.is_ascii_digit() || c == '.';
    let start = name.find(|c: char| c.is_ascii_digit())?;
    let end = name[start..].find(|c| !number(c)).map_or(name.len(), |length| start + length);
    let after = &name[end..];
    let value = name[start..end].parse().ok()?;
    (!after.contains(|c: char| c.is_ascii_digit())).then_some((&name[..start], value, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_that_differ_in_a_growing_number_are_ordered() {
        assert!(ascending(&["1 thread", "2 thread", "16 thread"]));
        assert!(ascending(&["2.8", "3.0", "3.2"]));
        assert!(!ascending(&["1", "8", "4"]));
        assert!(!ascending(&["a 1", "b 2", "c 3"]));
        assert!(!ascending(&["1.2.3", "1.2.4", "1.2.5"]));
        assert!(!ascending(&["http/1 x2", "http/2 x2", "http/3 x2"]));
    }

    #[test]
    fn two_dozen_series_look_different() {
        for count in [1, 2, 8, 24] {
            let names: Vec<String> = (0..count).map(|i| format!("{}", count - i)).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let series_styles = series_styles(&names);
            assert_eq!(series_styles.len(), count);
            for (i, style) in series_styles.iter().enumerate() {
                assert!(!series_styles[..i].contains(style));
            }
        }
    }

    #[test]
    fn ordered_shades_run_from_end_to_end() {
        for count in 3..=8 {
            let names: Vec<String> = (0..count).map(|i| format!("{i}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let series_styles = series_styles(&names);
            assert_eq!(series_styles[0].colour, full(Tone::Ordered(0)));
            assert_eq!(series_styles[count - 1].colour, full(Tone::Ordered(7)));
        }
    }
}
