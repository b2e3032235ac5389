//! Which colour and pattern belongs to which series.

use plotters::style::{Color, RGBAColor, RGBColor};

use super::canvas::Pattern;

/// Colours that people with any kind of colour vision can distinguish (Okabe and Ito 2008), in an order that keeps
/// neighbours distinct. Yellow is darkened and black lightened, so that thin lines are visible on white and error bars on
/// bars.
const DISTINCT: [RGBColor; 8] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0x59, 0x59, 0x59),
    RGBColor(0xd6, 0xc4, 0x1c),
];

/// Dark to light for ordered series: viridis without its yellow end.
const ORDERED: [RGBColor; 8] = [
    RGBColor(0x44, 0x01, 0x54),
    RGBColor(0x48, 0x28, 0x78),
    RGBColor(0x3e, 0x49, 0x89),
    RGBColor(0x31, 0x68, 0x8e),
    RGBColor(0x26, 0x82, 0x8e),
    RGBColor(0x1f, 0x9e, 0x89),
    RGBColor(0x35, 0xb7, 0x79),
    RGBColor(0x8f, 0xd7, 0x44),
];

pub(super) const INK: RGBAColor = grey(0x22);
pub(super) const SOFT_INK: RGBAColor = grey(0x55);
pub(super) const AXIS: RGBAColor = grey(0x77);
pub(super) const GRID: RGBAColor = grey(0xdd);
pub(super) const FAINT_GRID: RGBAColor = grey(0xf0);
pub(super) const PAPER: RGBAColor = grey(0xff);

const fn grey(level: u8) -> RGBAColor {
    RGBAColor(level, level, level, 1.0)
}

/// The look of one series everywhere in a figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct SeriesStyle {
    pub colour: RGBAColor,
    pub pattern: Pattern,
}

/// One look for each series, chosen by the order and the kind of their names.
///
/// Names that differ in one ascending number (1, 2, 4, 8 threads) get shades of one scale; all others get distinct colours,
/// with patterns from the ninth on. After 24 series the looks repeat.
pub(super) fn series_styles(names: &[&str]) -> Vec<SeriesStyle> {
    let count = names.len();
    let plain = |colour: &RGBColor| SeriesStyle { colour: colour.to_rgba(), pattern: Pattern::Plain };
    if (3..=ORDERED.len()).contains(&count) && ascending(names) {
        return (0..count).map(|i| plain(&ORDERED[i * (ORDERED.len() - 1) / (count - 1)])).collect();
    }
    let patterns = [Pattern::Plain, Pattern::Stripes, Pattern::Checks];
    (0..count)
        .map(|i| SeriesStyle { pattern: patterns[i / DISTINCT.len() % patterns.len()], ..plain(&DISTINCT[i % DISTINCT.len()]) })
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
            assert_eq!(series_styles[0].colour, ORDERED[0].to_rgba());
            assert_eq!(series_styles[count - 1].colour, ORDERED[7].to_rgba());
        }
    }
}
