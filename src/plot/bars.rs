//! Grouped bars with error bars and single repetitions.

use super::canvas::Canvas;
use super::frame::{Frame, GAP, TICK};
use super::group::{self, Across, Group};
use super::legend::{self, Entry, Mark};
use super::palette::{self, AXIS, GRID, INK, PAPER, SOFT_INK, SeriesStyle};
use super::scale::{Scale, drawable};
use super::shapes::{Align, Pattern, Rect, Turn};
use super::text::Style;
use super::{Bar, BarSeries, Error, Figure, number};

/// The share of the width of a group that its bars take.
const FILLED: f64 = 0.82;
/// Wider bars look like areas.
const WIDEST_BAR: f64 = 96.0;
/// Rotated names of groups take at most this height.
pub(super) const TALLEST_NAME: f64 = 220.0;

/// The data to draw, see [`super::Data::Bars`].
pub(super) struct Bars<'a> {
    pub groups: &'a [String],
    pub series: &'a [BarSeries],
    pub reference: Option<f64>,
    pub log: bool,
}

pub(super) fn draw(canvas: &Canvas, figure: &Figure, data: &Bars<'_>) -> Result<(), Error> {
    let Bars { groups, series, reference, log } = *data;
    let reference = reference.and_then(drawable);
    let names: Vec<&str> = series.iter().map(|one| one.name.as_str()).collect();
    let series_styles = palette::series_styles(&names);
    let bars = || series.iter().flat_map(|one| one.bars.iter().take(groups.len()).flatten());
    let visible = || bars().filter(|bar| drawable(bar.value).is_some());
    let extent = visible().flat_map(|bar| [bar.value, bar.low, bar.high].into_iter().chain(bar.points.iter().copied()));
    let y_scale = match log {
        // The lowest bar is as high as the distance to its half.
        true => Scale::log(visible().map(|bar| bar.value / 2.0).chain(extent).chain(reference)),
        false => Scale::from_zero(extent.chain(reference)),
    };
    let absent = visible().count() < series.len() * groups.len();

    let looks = series.iter().zip(&series_styles).enumerate();
    let mut entries: Vec<Entry> = looks.map(|(i, (one, style))| Entry::of(i, &one.name, Mark::Bar(*style))).collect();
    if let Some(value) = reference {
        entries.push(Entry::other(format!("reference {}", number::single(value)), Mark::Reference));
    }
    if absent {
        entries.push(Entry::other("nothing measured", Mark::Absent));
    }

    let frame = Frame::new(canvas, figure, &entries, &y_scale)?;
    let slot = frame.area.width() / groups.len().max(1) as f64;
    let labels = GroupNames::fit(groups, slot, TALLEST_NAME.min(frame.area.height() / 2.0));
    let plot = Rect { bottom: frame.area.bottom - labels.height - GAP, ..frame.area };
    frame.y_axis(plot)?;
    canvas.group(&Group::Axis("axis-x"), || {
        for i in 1..groups.len() / labels.every {
            let x = plot.left + slot * (i * labels.every) as f64;
            canvas.rect(Rect { left: x, right: x + 1.0, ..plot }, GRID)?;
        }
        labels.draw(canvas, plot, slot)
    })?;

    let row = Row { canvas, plot, y_scale: &y_scale };
    let width = (slot * FILLED / series.len().max(1) as f64).min(WIDEST_BAR);
    frame.plot(plot, Across::Names, || {
        for (group, name) in groups.iter().enumerate() {
            let middle = plot.left + slot * (group as f64 + 0.5);
            let start = middle - width * series.len() as f64 / 2.0;
            for (i, (one, style)) in series.iter().zip(&series_styles).enumerate() {
                let left = start + width * i as f64;
                match one.bars.get(group).and_then(Option::as_ref) {
                    Some(bar) if drawable(bar.value).is_some() => {
                        let mark = group::Mark::of(i, "bar").at(name).value(bar.value).between(bar.low, bar.high);
                        canvas.group(&Group::Mark(mark), || row.bar(bar, *style, left, width))?;
                    }
                    _ => canvas.group(&Group::Mark(group::Mark::of(i, "absent").at(name)), || row.absent(left, width))?,
                }
            }
        }
        let Some(value) = reference else { return Ok(()) };
        let y = row.y(value);
        canvas.group(&Group::Mark(group::Mark::alone("reference").value(value)), || {
            canvas.patterned(&[(plot.left, y), (plot.right, y)], 1.6, INK, Pattern::Stripes)
        })
    })?;
    frame.edges(plot)?;
    let floor = row.y(0.0).round();
    canvas.rect(Rect { top: floor, bottom: floor + 1.0, ..plot }, AXIS)?;
    if visible().next().is_none() { frame.no_data(plot) } else { Ok(()) }
}

/// The positions of the bars.
struct Row<'a, 'b> {
    canvas: &'a Canvas<'b>,
    plot: Rect,
    y_scale: &'a Scale,
}

impl Row<'_, '_> {
    fn y(&self, value: f64) -> f64 {
        self.plot.bottom - self.y_scale.place(value) * self.plot.height()
    }

    /// One bar in a slot `width` wide; its value is drawable.
    fn bar(&self, bar: &Bar, style: SeriesStyle, left: f64, width: f64) -> Result<(), Error> {
        let gap = if width >= 6.0 { 1.0 } else { 0.0 };
        let (zero, end) = (self.y(0.0), self.y(bar.value));
        let mut rect = Rect { left: left + gap, top: zero.min(end), right: left + width - gap, bottom: zero.max(end) };
        // A bar of zero still shows that something was measured.
        rect.top = rect.top.min(rect.bottom - 2.0);
        self.canvas.rect(rect, style.colour)?;
        self.canvas.hatch(rect, style.pattern, PAPER)?;
        self.points(&bar.points, left, width)?;
        self.error_bar(bar, left + width / 2.0, width)
    }

    /// Repetitions from left to right, with the middle left free for the error bar.
    fn points(&self, points: &[f64], left: f64, width: f64) -> Result<(), Error> {
        let radius = if width >= 20.0 {
            3.5
        } else if width >= 12.0 {
            2.5
        } else {
            2.0
        };
        let spread = if width >= 14.0 && points.len() > 1 { 1.0 } else { 0.0 };
        for (i, value) in points.iter().enumerate() {
            let Some(value) = drawable(*value) else {
                continue;
            };
            let t = (i as f64 + 0.5) / points.len() as f64 * 2.0 - 1.0;
            let side = if t < 0.0 { -1.0 } else { 1.0 };
            let x = left + width * (0.5 + spread * side * (0.16 + 0.24 * t.abs()));
            self.canvas.dot((x, self.y(value)), radius, PAPER, INK)?;
        }
        Ok(())
    }

    /// A line with caps, on a lighter background so that it is visible on every colour.
    fn error_bar(&self, bar: &Bar, x: f64, width: f64) -> Result<(), Error> {
        let (Some(low), Some(high)) = (drawable(bar.low), drawable(bar.high)) else {
            return Ok(());
        };
        // A single repetition has no known spread; a cap would claim that the spread is zero.
        if low == high && bar.points.len() < 2 {
            return Ok(());
        }
        let (top, bottom) = (self.y(high.max(low)), self.y(low.min(high)));
        let cap = (width * 0.14).clamp(1.5, 9.0);
        for (stroke, colour) in [(4.0, PAPER), (2.0, INK)] {
            if stroke > 2.0 && (width < 12.0 || bottom - top < 2.0) {
                continue;
            }
            self.canvas.line(&[(x, top), (x, bottom)], stroke, colour)?;
            for y in [top, bottom] {
                self.canvas.line(&[(x - cap, y), (x + cap, y)], stroke, colour)?;
            }
        }
        Ok(())
    }

    /// A cross on the floor where a bar is missing.
    fn absent(&self, left: f64, width: f64) -> Result<(), Error> {
        let reach = (width * 0.3).clamp(1.5, 5.0);
        legend::cross(self.canvas, (left + width / 2.0, self.y(0.0) - reach - 5.0), reach, SOFT_INK)
    }
}

/// The names under the groups, fitted to the space.
pub(super) struct GroupNames {
    style: Style,
    turned: bool,
    /// Only one in this many groups has a name.
    every: usize,
    /// The lines of each name.
    names: Vec<Vec<String>>,
    /// The height that they take below the data, without the gap.
    pub height: f64,
}

impl GroupNames {
    /// On one line, on up to three lines, or rotated; where room is short, some names are left out. `slot` is the width of a
    /// group, `tallest` the room for rotated names.
    pub fn fit(groups: &[String], slot: f64, tallest: f64) -> Self {
        let small = Style::regular(15.0);
        let room = slot - 12.0;
        for (style, most) in [(TICK, 1), (TICK, 3), (small, 3)] {
            let names: Vec<_> = groups.iter().map(|name| style.wrap(name, room, most)).collect();
            if groups.iter().all(|name| style.fits(name, room, most)) {
                let lines = names.iter().map(Vec::len).max().unwrap_or(0).max(1);
                let height = style.line_height() * lines as f64;
                return GroupNames { style, turned: false, every: 1, names, height };
            }
        }
        let line = small.line_height();
        let every = ((line / slot).ceil() as usize).max(1);
        let most = ((slot / line) as usize).clamp(1, 3);
        let names: Vec<Vec<String>> = groups
            .iter()
            .map(|name| match most {
                1 => vec![small.shorten_middle(name, tallest)],
                _ => small.wrap(name, tallest, most),
            })
            .collect();
        let height = names.iter().flatten().map(|line| small.width(line)).fold(0.0, f64::max);
        GroupNames { style: small, turned: true, every, names, height }
    }

    pub fn draw(&self, canvas: &Canvas, plot: Rect, slot: f64) -> Result<(), Error> {
        let line_height = self.style.line_height();
        for (group, lines) in self.names.iter().enumerate().step_by(self.every) {
            let middle = plot.left + slot * (group as f64 + 0.5);
            for (i, line) in lines.iter().enumerate() {
                let (at, align, turn) = if self.turned {
                    let across = i as f64 - (lines.len() - 1) as f64 / 2.0;
                    let at = (middle + across * line_height, plot.bottom + GAP);
                    (at, Align::Right, Turn::Up)
                } else {
                    let at = (middle, plot.bottom + GAP + line_height * (i as f64 + 0.5));
                    (at, Align::Centre, Turn::None)
                };
                canvas.text(line, at, self.style, SOFT_INK, align, turn)?;
            }
        }
        Ok(())
    }
}
