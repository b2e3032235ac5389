//! Each repetition by its round, with the median and its interval in the background.
//!
//! The axis does not start at zero: the picture is about drift and spread, which are a few percent of the value.

use super::canvas::Canvas;
use super::frame::{Frame, x_axis_height};
use super::group::{self, Across, Group};
use super::legend::{Entry, Mark};
use super::palette::{self, INK, PAPER};
use super::scale::{Scale, Tick, drawable};
use super::shapes::{Pattern, Rect};
use super::{Error, Figure, RoundSeries};

/// The axis covers at least this share of the largest value, so that nothing is magnified beyond what matters.
const LEAST_SPAN: f64 = 0.05;
/// Space above and below the points, as a share of the range that they cover.
const MARGIN: f64 = 0.08;

pub(super) fn draw(canvas: &Canvas, figure: &Figure, series: &[RoundSeries], log: bool) -> Result<(), Error> {
    let names: Vec<&str> = series.iter().map(|one| one.name.as_str()).collect();
    let series_styles = palette::series_styles(&names);
    let visible = |one: &RoundSeries| one.points.iter().copied().filter(|p| drawable(p.value).is_some()).collect::<Vec<_>>();
    let values: Vec<f64> = series
        .iter()
        .flat_map(|one| {
            let interval = one.interval.into_iter().flat_map(|(low, high)| [low, high]);
            visible(one).into_iter().map(|p| p.value).chain(interval)
        })
        .filter_map(drawable)
        .collect();
    let y_scale = if log { Scale::log(values.iter().copied()) } else { near(&values) };
    let rounds = || series.iter().flat_map(|one| one.points.iter().map(|p| f64::from(p.round)));
    let last = rounds().fold(1.0, f64::max);
    let mut x_scale = Scale::tight([0.0, last + 1.0]);
    // Between two rounds there is nothing.
    if let Scale::Linear { step, .. } = &mut x_scale {
        *step = step.max(1.0);
    }

    let looks = series.iter().zip(&series_styles).enumerate();
    let mut entries: Vec<Entry> = looks.map(|(i, (one, style))| Entry::of(i, &one.name, Mark::Line(*style))).collect();
    if series.iter().any(|one| one.points.iter().any(|p| p.outlier)) {
        entries.push(Entry::other("far from the others (counted)", Mark::Ring));
    }
    let frame = Frame::new(canvas, figure, &entries, &y_scale)?;
    let plot = Rect { bottom: frame.area.bottom - x_axis_height(), ..frame.area };
    let place = |round: f64, value: f64| {
        (plot.left + x_scale.place(round) * plot.width(), plot.bottom - y_scale.place(value) * plot.height())
    };
    let across = Across::Scale(&x_scale);
    frame.plot(plot, across, || {
        for (i, (one, style)) in series.iter().zip(&series_styles).enumerate() {
            if let Some((low, high)) = one.interval.filter(|(l, h)| drawable(*l).is_some() && drawable(*h).is_some()) {
                let (top, bottom) = (place(0.0, high).1, place(0.0, low).1.max(place(0.0, high).1 + 1.0));
                canvas.group(&Group::Mark(group::Mark::of(i, "interval").between(low, high)), || {
                    canvas.rect(Rect { top, bottom, ..plot }, style.colour.mix(0.15))
                })?;
            }
        }
        Ok(())
    })?;
    frame.y_axis(plot)?;
    // Rounds are whole numbers from 1 on.
    let is_round = |tick: &Tick| tick.at > 0.0 && tick.label.chars().all(|c| c.is_ascii_digit() || c.is_whitespace());
    let whole: Vec<Tick> = x_scale.ticks().into_iter().filter(is_round).collect();
    frame.x_axis(plot, &whole)?;
    frame.plot(plot, across, || {
        for (i, (one, style)) in series.iter().zip(&series_styles).enumerate() {
            if let Some(median) = one.median.and_then(drawable) {
                let y = place(0.0, median).1;
                canvas.group(&Group::Mark(group::Mark::of(i, "median").value(median)), || {
                    canvas.patterned(&[(plot.left, y), (plot.right, y)], 1.4, style.colour, Pattern::Stripes)
                })?;
            }
            let points = visible(one);
            let line: Vec<_> = points.iter().map(|p| place(f64::from(p.round), p.value)).collect();
            let joined = group::Mark::of(i, "joined");
            canvas.group(&Group::Mark(joined), || canvas.line(&line, 1.2, style.colour.mix(0.45)))?;
            for point in points {
                let at = place(f64::from(point.round), point.value);
                let round = point.round.to_string();
                let kind = if point.outlier { "point outlier" } else { "point" };
                canvas.group(&Group::Mark(group::Mark::of(i, kind).at(&round).value(point.value)), || {
                    if point.outlier {
                        canvas.dot(at, 8.5, PAPER, INK)?;
                    }
                    canvas.dot(at, 4.5, style.colour, PAPER)
                })?;
            }
        }
        Ok(())
    })?;
    frame.edges(plot)?;
    if values.is_empty() { frame.no_data(plot) } else { Ok(()) }
}

/// A linear axis that covers the values and little more.
fn near(values: &[f64]) -> Scale {
    let (low, high) = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
    let span = (high - low).max(LEAST_SPAN * low.abs().max(high.abs()));
    let middle = f64::midpoint(low, high);
    let reach = span * (0.5 + MARGIN);
    Scale::tight(if values.is_empty() { vec![0.0, 1.0] } else { vec![middle - reach, middle + reach] })
}
