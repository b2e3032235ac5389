//! Values over time with the phases behind them.

use super::canvas::Canvas;
use super::frame::{Frame, GAP, TICK, x_axis_height};
use super::group::{self, Across, Group};
use super::legend::{Entry, Mark};
use super::palette::{self, AXIS, BAND, BESIDE_BAND, FAULT, FAULT_BAND, MARKED_BAND, SOFT_INK, SeriesStyle};
use super::scale::{Scale, drawable};
use super::shapes::{Align, Pattern, Rect, Turn};
use super::{Error, Figure, LineSeries, Phase};

/// Names of phases take at most this many rows above the data.
const MOST_ROWS: usize = 4;

pub(super) fn draw(canvas: &Canvas, figure: &Figure, series: &[LineSeries], phases: &[Phase], log: bool) -> Result<(), Error> {
    let names: Vec<&str> = series.iter().map(|one| one.name.as_str()).collect();
    let series_styles = palette::series_styles(&names);
    let points = || series.iter().flat_map(|one| one.lines.iter().flatten()).filter_map(point);
    let phases: Vec<&Phase> = phases
        .iter()
        .filter(|phase| drawable(phase.start).is_some() && drawable(phase.end).is_some())
        .filter(|phase| phase.start <= phase.end)
        .collect();
    let values = points().map(|(_, value)| value);
    let y_scale = if log { Scale::log(values) } else { Scale::from_zero(values) };
    let edges = phases.iter().flat_map(|phase| [phase.start, phase.end]);
    let x_scale = Scale::tight(points().map(|(time, _)| time).chain(edges));

    let looks = series.iter().zip(&series_styles).enumerate();
    let entries: Vec<Entry> = looks.map(|(i, (one, style))| Entry::of(i, &one.name, Mark::Line(*style))).collect();
    let frame = Frame::new(canvas, figure, &entries, &y_scale)?;
    let area = frame.area;
    let x = |time: f64| area.left + x_scale.place(time) * area.width();
    let labels = phase_names(&phases, x, area);
    let rows = labels.iter().map(|label| label.row + 1).max().unwrap_or(0);
    let plot = Rect { top: area.top + TICK.line_height() * rows as f64, bottom: area.bottom - x_axis_height(), ..area };
    let marked = phases.iter().position(|phase| phase.marked);
    let across = Across::Scale(&x_scale);
    frame.plot(plot, across, || {
        for (i, phase) in phases.iter().enumerate() {
            let band = Rect { left: x(phase.start), right: x(phase.end), ..plot };
            // If one phase is highlighted, all phases have a tab that contains their name.
            let tab = Rect { top: area.top, ..band };
            let mark = group::Mark::alone("phase").at(phase.name.trim());
            canvas.group(&Group::Mark(mark), || match marked {
                _ if phase.fault => canvas.rect(band, FAULT_BAND),
                None if i % 2 == 0 => canvas.rect(band, BAND),
                Some(marked) if i == marked => canvas.rect(tab, MARKED_BAND),
                Some(marked) if i.abs_diff(marked) % 2 == 1 => canvas.rect(tab, BESIDE_BAND),
                _ => Ok(()),
            })?;
        }
        Ok(())
    })?;
    frame.y_axis(plot)?;
    frame.x_axis(plot, &x_scale.ticks())?;
    canvas.group(&Group::Axis("phases"), || {
        for phase in &phases {
            let (width, colour) = if phase.fault { (1.6, FAULT) } else { (1.2, AXIS) };
            for edge in [x(phase.start), x(phase.end)] {
                canvas.patterned(&[(edge, plot.top), (edge, plot.bottom)], width, colour, Pattern::Stripes)?;
            }
        }
        for label in &labels {
            let lower_edge = plot.top - TICK.line_height() * label.row as f64;
            if let Some(pole) = label.pole {
                let top = lower_edge - TICK.line_height() + 3.0;
                canvas.line(&[(pole, top), (pole, plot.top)], 1.2, AXIS)?;
            }
            let at = (label.left, lower_edge - TICK.line_height() / 2.0);
            canvas.text(&label.text, at, TICK, SOFT_INK, Align::Left, Turn::None)?;
        }
        Ok(())
    })?;

    let place = |(time, value): (f64, f64)| (x(time), plot.bottom - y_scale.place(value) * plot.height());
    frame.plot(plot, across, || {
        for (i, (one, style)) in series.iter().zip(&series_styles).enumerate() {
            draw_series(canvas, i, one, *style, place)?;
        }
        Ok(())
    })?;
    frame.edges(plot)?;
    if points().next().is_none() { frame.no_data(plot) } else { Ok(()) }
}

/// A line for each repetition, and their median.
fn draw_series(
    canvas: &Canvas,
    number: usize,
    one: &LineSeries,
    style: SeriesStyle,
    place: impl Fn((f64, f64)) -> (f64, f64),
) -> Result<(), Error> {
    let (width, opacity) = match (one.middle.is_empty(), one.lines.len()) {
        (true, 0..=1) => (2.4, 1.0),
        (true, 2..=6) => (1.8, 0.65),
        (true, _) => (1.4, 0.4),
        (false, 0..=6) => (1.1, 0.35),
        (false, _) => (1.0, 0.2),
    };
    let each = one.lines.iter().enumerate().map(|(i, line)| ((i + 1).to_string(), line, width, opacity));
    for (name, line, width, opacity) in each.chain([("median".to_owned(), &one.middle, 2.6, 1.0)]) {
        // A value that is not finite interrupts the line.
        for piece in line.split(|raw| point(raw).is_none()) {
            let piece: Vec<_> = piece.iter().filter_map(point).map(&place).collect();
            let colour = style.colour.mix(opacity);
            let mark = group::Mark::of(number, "line").line(&name);
            match piece.as_slice() {
                [] => {}
                [alone] => canvas.group(&Group::Mark(mark), || canvas.line(&[*alone], 8.0, colour))?,
                _ => canvas.group(&Group::Mark(mark), || canvas.patterned(&piece, width, colour, style.pattern))?,
            }
        }
    }
    Ok(())
}

fn point(raw: &(f64, f64)) -> Option<(f64, f64)> {
    Some((drawable(raw.0)?, drawable(raw.1)?))
}

/// A name above the data; row 0 is the lowest.
#[derive(Debug)]
struct PhaseName {
    left: f64,
    row: usize,
    text: String,
    /// The x position of a line down to the start of the phase, like the pole of a flag.
    pole: Option<f64>,
}

/// Places each name over its phase, in the lowest row where it does not touch another.
///
/// A name that is wider than its phase starts at the start of the phase and extends over the next ones. Names are placed
/// from right to left, so that no pole crosses a name below. Where all rows are taken, a name is shortened to the width of
/// its phase; phases that are too narrow for that get no name.
fn phase_names(phases: &[&Phase], x: impl Fn(f64) -> f64, area: Rect) -> Vec<PhaseName> {
    const NARROWEST: f64 = 40.0;
    // The edge of the picture is beyond that of the data.
    let most_right = area.right + 24.0;
    // Where the names of each row start.
    let mut rows = [most_right + GAP; MOST_ROWS];
    let mut order: Vec<&&Phase> = phases.iter().filter(|p| !p.name.trim().is_empty()).collect();
    order.sort_by(|a, b| b.start.total_cmp(&a.start));
    let mut names = Vec::new();
    for phase in order {
        let (start, end) = (x(phase.start), x(phase.end));
        let name = phase.name.trim();
        let room = end - start - 2.0 * GAP;
        for most in [room.max(area.width() / 3.0), room.max(NARROWEST)] {
            let text = TICK.shorten_middle(name, most);
            let width = TICK.width(&text);
            let inside = width <= room;
            let wished = if inside { (start + end - width) / 2.0 } else { start + 5.0 };
            // At the right end a name moves to the left of its start, away from any pole.
            let left = wished.min(most_right - width);
            let Some(row) = rows.iter().position(|next| left + width + GAP <= *next) else {
                continue;
            };
            let free = left == wished && rows[..row].iter().all(|next| start <= *next);
            let pole = (!inside && free).then_some(start);
            rows[row] = left;
            for next in &mut rows[..=row] {
                *next = next.min(pole.unwrap_or(*next));
            }
            names.push(PhaseName { left, row, text, pole });
            break;
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_narrow_phases_do_not_touch() {
        let area = Rect { left: 0.0, top: 0.0, right: 1000.0, bottom: 500.0 };
        let phases: Vec<Phase> = (0..12)
            .map(|i| Phase {
                name: format!("phase number {i}"),
                start: f64::from(i),
                end: f64::from(i + 1),
                marked: false,
                fault: false,
            })
            .collect();
        let phases: Vec<&Phase> = phases.iter().collect();
        let names = phase_names(&phases, |time| time * 1000.0 / 12.0, area);
        assert_eq!(names.len(), 12);
        for (i, one) in names.iter().enumerate() {
            for other in &names[..i] {
                let right = |name: &PhaseName| name.left + TICK.width(&name.text);
                let apart = right(one) < other.left || right(other) < one.left;
                assert!(one.row != other.row || apart, "{one:?} {other:?}");
                let crosses = |pole: f64, name: &PhaseName| name.left < pole && pole < right(name);
                let lower = one.row < other.row && other.pole.is_some_and(|pole| crosses(pole, one));
                let upper = other.row < one.row && one.pole.is_some_and(|pole| crosses(pole, other));
                assert!(!lower && !upper, "{one:?} {other:?}");
            }
        }
    }
}
