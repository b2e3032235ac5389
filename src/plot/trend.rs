//! Means over the levels of a factor, joined by lines, with their intervals and the prediction of a model.

use super::bars::{GroupNames, TALLEST_NAME};
use super::canvas::Canvas;
use super::frame::{Frame, GAP, x_axis_height};
use super::group::{self, Across, Group};
use super::legend::{self, Entry, Mark};
use super::palette::{self, Colour, INK, PAPER, SeriesStyle};
use super::scale::{Scale, Tick, drawable};
use super::shapes::Rect;
use super::stroke::Point;
use super::{Error, Figure, LevelPositions, TrendPoint, TrendSeries};

/// Space between the edges of the data and the first and the last level, as a share of the width.
const SIDE: f64 = 0.03;
/// A model may need this many times the height of the measured values, on a linear and on a logarithmic axis; beyond that
/// its line leaves the picture, because the measured values must remain readable.
const MODEL_ROOM: (f64, f64) = (1.25, 5.0);
/// Points of several series are placed beside each other, so that their intervals can be distinguished: at most this far
/// apart,
const APART: f64 = 9.0;
/// and together not further than this share of the distance to the next level. A number has one position on its axis; any
/// other level has a stretch of it.
const ASIDE: (f64, f64) = (0.06, 0.5);
/// Points of levels that are closer than this are smaller.
const NEAR: f64 = 16.0;

/// The data to draw, see [`super::Data::Trend`].
pub(super) struct Trend<'a> {
    pub levels: &'a [String],
    pub places: &'a LevelPositions,
    pub series: &'a [TrendSeries],
    pub model: Option<&'a str>,
    pub log: bool,
}

pub(super) fn draw(canvas: &Canvas, figure: &Figure, trend: &Trend<'_>) -> Result<(), Error> {
    let series = trend.series;
    let names: Vec<&str> = series.iter().map(|one| one.name.as_str()).collect();
    let series_styles = palette::series_styles(&names);
    let points = || series.iter().flat_map(|one| &one.points).filter(|p| p.level < trend.levels.len());
    let measured = || points().filter(|p| drawable(p.value).is_some());
    let absent = points().any(|p| drawable(p.value).is_none());
    let y_scale = y_scale(trend);
    let common = common_model(series);
    let model_look = match series_styles.as_slice() {
        [alone] => alone.colour,
        _ => INK,
    };

    let looks = series.iter().zip(&series_styles).enumerate();
    let mut entries: Vec<Entry> = looks.map(|(i, (one, style))| Entry::of(i, &one.name, Mark::Trend(*style))).collect();
    if let [Entry { name, .. }] = entries.as_mut_slice()
        && name.is_empty()
    {
        *name = "measured".to_owned();
        entries.truncate(usize::from(trend.model.is_some() || absent));
    }
    if absent {
        entries.push(Entry::other("nothing measured", Mark::Absent));
    }
    if let Some(name) = trend.model {
        entries.push(Entry::other(name, Mark::Model(model_look)));
    }

    let frame = Frame::new(canvas, figure, &entries, &y_scale)?;
    let plot = x_axis(canvas, &frame, trend)?;
    let levels = places(trend, plot);
    let nearest = levels.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
    let share = if matches!(trend.places, LevelPositions::Even) { ASIDE.1 } else { ASIDE.0 };
    let apart = APART.min(nearest * share / series.len().max(1) as f64);
    let painter = |i: usize| {
        let aside = (i as f64 - (series.len() - 1) as f64 / 2.0) * apart;
        let levels = levels.iter().map(|x| x + aside).collect();
        let size = (nearest / NEAR).clamp(0.4, 1.0);
        SeriesPainter { canvas, plot, y_scale: &y_scale, number: i, names: trend.levels, levels, size }
    };

    frame.plot(plot, Across::Names, || {
        if let Some(model) = common {
            let painter = SeriesPainter { levels: levels.clone(), ..painter(0) };
            canvas.group(&Group::Mark(group::Mark::alone("model")), || painter.model(model, INK))?;
        } else {
            for (i, (one, style)) in series.iter().zip(&series_styles).enumerate() {
                let mark = group::Mark::of(i, "model");
                canvas.group(&Group::Mark(mark), || painter(i).model(&one.model, style.colour))?;
            }
        }
        for (i, (one, style)) in series.iter().zip(&series_styles).enumerate() {
            canvas.group(&Group::Mark(group::Mark::of(i, "interval")), || painter(i).intervals(one, *style))?;
        }
        // How many crosses there are at each level.
        let mut crosses = vec![0; levels.len()];
        for (i, (one, style)) in series.iter().zip(&series_styles).enumerate() {
            painter(i).line(one, *style)?;
            painter(i).crosses(one, *style, &mut crosses)?;
        }
        Ok(())
    })?;
    frame.edges(plot)?;
    if measured().next().is_none() { frame.no_data(plot) } else { Ok(()) }
}

/// The y axis: all measured values, and those of the models that are not too far away.
fn y_scale(trend: &Trend<'_>) -> Scale {
    let points = || trend.series.iter().flat_map(|one| &one.points).filter(|p| drawable(p.value).is_some());
    let measured: Vec<f64> = points().flat_map(|p| [p.value, p.low, p.high]).filter_map(drawable).collect();
    let fits = |v: &f64| !trend.log || *v > 0.0;
    let least = measured.iter().copied().filter(fits).fold(f64::INFINITY, f64::min);
    let most = measured.iter().copied().filter(fits).fold(f64::NEG_INFINITY, f64::max);
    let model = trend.series.iter().flat_map(|one| &one.model).filter_map(|(_, v)| drawable(*v));
    let model = model.map(|v| match trend.log {
        _ if least > most => v,
        true => v.clamp(least / MODEL_ROOM.1, most * MODEL_ROOM.1),
        false => v.clamp(least.min(0.0) * MODEL_ROOM.0, most.max(0.0) * MODEL_ROOM.0),
    });
    let all = measured.iter().copied().chain(model);
    if trend.log { Scale::log(all) } else { Scale::from_zero(all) }
}

/// The model, if it is the same for several series: it then has one line, in a neutral colour.
fn common_model(series: &[TrendSeries]) -> Option<&[(usize, f64)]> {
    let [first, others @ ..] = series else { return None };
    let same = |a: &(usize, f64), b: &(usize, f64)| a.0 == b.0 && a.1.to_bits() == b.1.to_bits();
    let equal = |other: &TrendSeries| {
        other.model.len() == first.model.len() && other.model.iter().zip(&first.model).all(|(a, b)| same(a, b))
    };
    (!others.is_empty() && others.iter().all(equal)).then_some(&first.model)
}

/// The position of each level, as a fraction of the width.
fn fractions(places: &LevelPositions, count: usize) -> Vec<f64> {
    let between = |numbers: Vec<f64>| -> Vec<f64> {
        let (first, last) = (numbers.first().copied().unwrap_or(0.0), numbers.last().copied().unwrap_or(0.0));
        let at = |n: f64| if last > first { (n - first) / (last - first) } else { 0.5 };
        numbers.into_iter().map(|n| SIDE + (1.0 - 2.0 * SIDE) * at(n)).collect()
    };
    match places {
        LevelPositions::Linear(numbers) if numbers.len() == count => between(numbers.clone()),
        LevelPositions::Log(numbers) if numbers.len() == count => between(numbers.iter().map(|n| n.log10()).collect()),
        _ => (0..count).map(|i| (i as f64 + 0.5) / count as f64).collect(),
    }
}

fn places(trend: &Trend<'_>, plot: Rect) -> Vec<f64> {
    let fractions = fractions(trend.places, trend.levels.len());
    fractions.into_iter().map(|at| plot.left + at * plot.width()).collect()
}

/// Draws both axes and returns the place of the data.
fn x_axis(canvas: &Canvas, frame: &Frame<'_, '_>, trend: &Trend<'_>) -> Result<Rect, Error> {
    let area = frame.area;
    if matches!(trend.places, LevelPositions::Even) {
        let slot = area.width() / trend.levels.len().max(1) as f64;
        let names = GroupNames::fit(trend.levels, slot, TALLEST_NAME.min(area.height() / 2.0));
        let plot = Rect { bottom: area.bottom - names.height - GAP, ..area };
        frame.y_axis(plot)?;
        canvas.group(&Group::Axis("axis-x"), || names.draw(canvas, plot, slot))?;
        return Ok(plot);
    }
    let plot = Rect { bottom: area.bottom - x_axis_height(), ..area };
    frame.y_axis(plot)?;
    let fractions = fractions(trend.places, trend.levels.len());
    let ticks: Vec<Tick> = fractions.into_iter().zip(trend.levels).map(|(at, level)| Tick { at, label: level.clone() }).collect();
    frame.x_axis(plot, &ticks)?;
    Ok(plot)
}

/// The positions of the data of a series.
struct SeriesPainter<'a, 'b> {
    canvas: &'a Canvas<'b>,
    plot: Rect,
    y_scale: &'a Scale,
    /// The number of the series.
    number: usize,
    /// The names of the levels.
    names: &'a [String],
    /// The x of each level.
    levels: Vec<f64>,
    /// The size of points and caps; 1 where there is room.
    size: f64,
}

impl SeriesPainter<'_, '_> {
    fn y(&self, value: f64) -> f64 {
        self.plot.bottom - self.y_scale.place(value) * self.plot.height()
    }

    /// What is recorded of a point besides its value.
    fn mark(&self, kind: &'static str, point: &TrendPoint) -> group::Mark<'_> {
        let mark = group::Mark::of(self.number, kind);
        self.names.get(point.level).map_or(mark.clone(), |name| mark.at(name))
    }

    /// The position of a mean, if there is one.
    fn point(&self, point: &TrendPoint) -> Option<Point> {
        Some((*self.levels.get(point.level)?, self.y(drawable(point.value)?)))
    }

    /// The dashed line; anything outside of the axes is cut off.
    fn model(&self, model: &[(usize, f64)], colour: Colour) -> Result<(), Error> {
        let at = |&(level, value): &(usize, f64)| {
            let up = self.y_scale.position(drawable(value)?);
            let y = self.plot.bottom - up * self.plot.height();
            Some((*self.levels.get(level)?, y)).filter(|(_, y)| y.is_finite())
        };
        for piece in model.split(|one| at(one).is_none()) {
            let mut line: Vec<Point> = piece.iter().filter_map(at).collect();
            // A single value has no direction; a short level line shows where it is.
            if let [(x, y)] = line[..] {
                line = vec![(x - 14.0, y), (x + 14.0, y)];
            }
            for part in inside(&line, self.plot.top, self.plot.bottom) {
                legend::dashed(self.canvas, &part, colour)?;
            }
        }
        Ok(())
    }

    /// Each interval as a line with caps.
    fn intervals(&self, one: &TrendSeries, style: SeriesStyle) -> Result<(), Error> {
        for point in &one.points {
            let Some((x, _)) = self.point(point) else { continue };
            let (Some(low), Some(high)) = (drawable(point.low), drawable(point.high)) else { continue };
            let (top, bottom) = (self.y(high.max(low)), self.y(low.min(high)));
            if bottom - top < 1.0 {
                continue;
            }
            let (colour, cap) = (style.colour.mix(0.8), 5.0 * self.size);
            for line in [[(x, top), (x, bottom)], [(x - cap, top), (x + cap, top)], [(x - cap, bottom), (x + cap, bottom)]] {
                self.canvas.line(&line, 1.6, colour)?;
            }
        }
        Ok(())
    }

    /// The means and the lines that join them.
    fn line(&self, one: &TrendSeries, style: SeriesStyle) -> Result<(), Error> {
        for piece in one.points.split(|p| self.point(p).is_none()) {
            let line: Vec<Point> = piece.iter().filter_map(|p| self.point(p)).collect();
            if line.len() > 1 {
                let joined = group::Mark::of(self.number, "joined");
                self.canvas.group(&Group::Mark(joined), || self.canvas.line(&line, 2.4, style.colour))?;
            }
            for (point, at) in piece.iter().zip(line) {
                let mark = self.mark("point", point).value(point.value).between(point.low, point.high);
                self.canvas.group(&Group::Mark(mark), || legend::trend_dot(self.canvas, at, style, self.size))?;
            }
        }
        Ok(())
    }

    /// A cross near the floor where nothing was measured, above those of the earlier series.
    fn crosses(&self, one: &TrendSeries, style: SeriesStyle, below: &mut [usize]) -> Result<(), Error> {
        const REACH: f64 = 4.0;
        for point in one.points.iter().filter(|p| drawable(p.value).is_none()) {
            let Some((x, below)) = self.levels.get(point.level).zip(below.get_mut(point.level)) else { continue };
            let at = (*x, self.plot.bottom - REACH - 6.0 - *below as f64 * 3.5 * REACH);
            self.canvas.group(&Group::Mark(self.mark("absent", point)), || {
                self.canvas.line(&[at], 2.0 * REACH + 5.0, PAPER)?;
                legend::cross(self.canvas, at, REACH, style.colour)
            })?;
            *below += 1;
        }
        Ok(())
    }
}

/// The parts of a line between two heights.
fn inside(points: &[Point], top: f64, bottom: f64) -> Vec<Vec<Point>> {
    let mut parts: Vec<Vec<Point>> = Vec::new();
    for pair in points.windows(2) {
        let ((x, y), (to_x, to_y)) = (pair[0], pair[1]);
        // The shares of the segment at which it enters and leaves.
        let share = |edge: f64| (edge - y) / (to_y - y);
        let (enter, leave) = if (to_y - y).abs() < 1e-9 {
            if (top..=bottom).contains(&y) { (0.0, 1.0) } else { continue }
        } else {
            let (a, b) = (share(top), share(bottom));
            (a.min(b).max(0.0), a.max(b).min(1.0))
        };
        if enter >= leave {
            continue;
        }
        let at = |t: f64| (x + (to_x - x) * t, y + (to_y - y) * t);
        match parts.last_mut() {
            Some(part) if enter == 0.0 && part.last() == Some(&(x, y)) => part.push(at(leave)),
            _ => parts.push(vec![at(enter), at(leave)]),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(points: &[f64], model: &[f64]) -> TrendSeries {
        let point = |(level, value): (usize, &f64)| TrendPoint { level, value: *value, low: *value, high: *value };
        TrendSeries {
            name: String::new(),
            points: points.iter().enumerate().map(point).collect(),
            model: model.iter().copied().enumerate().collect(),
        }
    }

    fn scale(series: &[TrendSeries], log: bool) -> Scale {
        y_scale(&Trend { levels: &[], places: &LevelPositions::Even, series, model: None, log })
    }

    #[test]
    fn levels_stand_by_their_numbers() {
        let log = fractions(&LevelPositions::Log(vec![1.0, 4.0, 16.0]), 3);
        assert!((log[1] - 0.5).abs() < 1e-12 && log[0] == SIDE && (log[2] - (1.0 - SIDE)).abs() < 1e-12, "{log:?}");
        assert!(
            (fractions(&LevelPositions::Linear(vec![0.0, 1.0, 4.0]), 3)[1] - (SIDE + 0.25 * (1.0 - 2.0 * SIDE))).abs() < 1e-12
        );
        assert_eq!(fractions(&LevelPositions::Even, 2), [0.25, 0.75]);
        assert_eq!(fractions(&LevelPositions::Linear(vec![7.0]), 1), [0.5]);
    }

    #[test]
    fn a_model_far_away_does_not_flatten_what_was_measured() {
        let Scale::Linear { max, .. } = scale(&[one(&[10.0, 100.0], &[50.0, 1e6])], false) else { panic!("linear") };
        assert!((125.0..=150.0).contains(&max), "{max}");
        assert_eq!(scale(&[one(&[10.0, 100.0], &[1e-9, 1e9])], true), Scale::Log { min: 2.0, max: 500.0 });
        // A model alone has all the room.
        assert_eq!(scale(&[one(&[], &[2.0, 2000.0])], true), Scale::Log { min: 2.0, max: 2000.0 });
    }

    #[test]
    fn lines_end_at_the_edge_and_come_back() {
        let parts = inside(&[(0.0, 5.0), (10.0, -5.0), (20.0, 5.0), (30.0, 8.0)], 0.0, 10.0);
        assert_eq!(parts, [vec![(0.0, 5.0), (5.0, 0.0)], vec![(15.0, 0.0), (20.0, 5.0), (30.0, 8.0)]]);
        assert!(inside(&[(0.0, -1.0), (9.0, -1.0)], 0.0, 10.0).is_empty());
        assert!(inside(&[], 0.0, 10.0).is_empty());
    }

    #[test]
    fn the_same_model_for_all_is_one_line() {
        let (a, b) = (one(&[1.0], &[1.0, f64::NAN]), one(&[2.0], &[1.0, f64::NAN]));
        assert!(common_model(&[a.clone(), b]).is_some());
        assert!(common_model(&[a.clone(), one(&[2.0], &[1.5])]).is_none());
        assert!(common_model(&[a]).is_none());
    }
}
