//! Bars that consist of parts, stacked on each other.

use super::bars::{GroupNames, TALLEST_NAME};
use super::canvas::Canvas;
use super::frame::{Frame, GAP};
use super::group::{self, Across, Group};
use super::legend::{Entry, Mark};
use super::palette::{self, AXIS, PAPER};
use super::scale::{Scale, drawable};
use super::shapes::Rect;
use super::{Error, Figure};

/// The share of the width of a group that its bar takes.
const FILLED: f64 = 0.6;
/// Wider bars look like areas.
const WIDEST_BAR: f64 = 140.0;

pub(super) fn draw(
    canvas: &Canvas,
    figure: &Figure,
    groups: &[String],
    parts: &[(String, Vec<Option<f64>>)],
) -> Result<(), Error> {
    let names: Vec<&str> = parts.iter().map(|(name, _)| name.as_str()).collect();
    let styles = palette::series_styles(&names);
    let height = |part: usize, group: usize| {
        let value = parts[part].1.get(group).copied().flatten();
        value.and_then(drawable).filter(|value| *value > 0.0).unwrap_or(0.0)
    };
    let whole = |group: usize| (0..parts.len()).map(|part| height(part, group)).sum::<f64>();
    let y_scale = Scale::from_zero((0..groups.len()).map(whole));
    // The part at the top of the bar comes first.
    let looks = parts.iter().zip(&styles).enumerate().rev();
    let entries: Vec<Entry> = looks.map(|(i, ((name, _), style))| Entry::of(i, name, Mark::Bar(*style))).collect();

    let frame = Frame::new(canvas, figure, &entries, &y_scale)?;
    let slot = frame.area.width() / groups.len().max(1) as f64;
    let labels = GroupNames::fit(groups, slot, TALLEST_NAME.min(frame.area.height() / 2.0));
    let plot = Rect { bottom: frame.area.bottom - labels.height - GAP, ..frame.area };
    frame.y_axis(plot)?;
    canvas.group(&Group::Axis("axis-x"), || labels.draw(canvas, plot, slot))?;
    let y = |value: f64| plot.bottom - y_scale.place(value) * plot.height();
    let width = (slot * FILLED).min(WIDEST_BAR);
    frame.plot(plot, Across::Names, || {
        for (group, name) in groups.iter().enumerate() {
            let left = plot.left + slot * (group as f64 + 0.5) - width / 2.0;
            let mut below = 0.0;
            for (part, style) in styles.iter().enumerate() {
                let value = height(part, group);
                if value > 0.0 {
                    let rect = Rect { left, right: left + width, top: y(below + value), bottom: y(below) };
                    canvas.group(&Group::Mark(group::Mark::of(part, "part").at(name).value(value)), || {
                        canvas.rect(rect, style.colour)?;
                        canvas.hatch(rect, style.pattern, PAPER)
                    })?;
                    below += value;
                }
            }
        }
        Ok(())
    })?;
    frame.edges(plot)?;
    let floor = y(0.0).round();
    canvas.rect(Rect { top: floor, bottom: floor + 1.0, ..plot }, AXIS)?;
    if (0..groups.len()).all(|group| whole(group) == 0.0) { frame.no_data(plot) } else { Ok(()) }
}
