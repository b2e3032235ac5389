//! Quantile curves on an axis where every nine takes the same width.

use super::canvas::Canvas;
use super::frame::{Frame, x_axis_height};
use super::group::{self, Across, Group};
use super::legend::{Entry, Mark};
use super::palette;
use super::scale::{Scale, Tick, drawable};
use super::shapes::Rect;
use super::{Error, Figure, QuantileSeries};

pub(super) fn draw(canvas: &Canvas, figure: &Figure, series: &[QuantileSeries]) -> Result<(), Error> {
    let names: Vec<&str> = series.iter().map(|one| one.name.as_str()).collect();
    let series_styles = palette::series_styles(&names);
    let points = || series.iter().flat_map(|one| &one.points).filter_map(point);
    let y_scale = Scale::log(points().map(|(_, value)| value));
    // At least two nines, so that the axis can be recognised.
    let last = points().map(|(nines, _)| nines).fold(2.0, f64::max);

    let looks = series.iter().zip(&series_styles).enumerate();
    let entries: Vec<Entry> = looks.map(|(i, (one, style))| Entry::of(i, &one.name, Mark::Line(*style))).collect();
    let frame = Frame::new(canvas, figure, &entries, &y_scale)?;
    let plot = Rect { bottom: frame.area.bottom - x_axis_height(), ..frame.area };
    frame.y_axis(plot)?;
    frame.x_axis(plot, &ticks(last))?;
    let place = |(nines, value): (f64, f64)| {
        (plot.left + nines / last * plot.width(), plot.bottom - y_scale.place(value) * plot.height())
    };
    frame.plot(plot, Across::Nines(last), || {
        for (i, (one, style)) in series.iter().zip(&series_styles).enumerate() {
            let curve: Vec<_> = one.points.iter().filter_map(point).map(place).collect();
            canvas.group(&Group::Mark(group::Mark::of(i, "curve")), || match curve.as_slice() {
                [] => Ok(()),
                [alone] => canvas.line(&[*alone], 8.0, style.colour),
                _ => canvas.patterned(&curve, 2.4, style.colour, style.pattern),
            })?;
        }
        Ok(())
    })?;
    frame.edges(plot)?;
    if points().next().is_none() { frame.no_data(plot) } else { Ok(()) }
}

/// The point in axis coordinates: log10(1 / (1 − q)) and the value.
fn point(&(q, value): &(f64, f64)) -> Option<(f64, f64)> {
    let inside = (0.0..1.0).contains(&q);
    Some((-(1.0 - q).log10(), drawable(value)?)).filter(|_| inside).map(|(x, y)| (x.max(0.0), y))
}

/// 0 %, 50 %, 90 %, 99 %, 99.9 % … up to `last` nines.
fn ticks(last: f64) -> Vec<Tick> {
    let nines = (1..=last.floor() as usize).map(|nines| {
        let label = match nines {
            1 => "90 %".to_owned(),
            2 => "99 %".to_owned(),
            _ => format!("99.{} %", "9".repeat(nines - 2)),
        };
        (nines as f64, label)
    });
    [(0.0, "0 %".to_owned()), (2f64.log10(), "50 %".to_owned())]
        .into_iter()
        .chain(nines)
        .map(|(nines, label)| Tick { at: nines / last, label: label.replace(' ', "\u{202f}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_nine_takes_the_same_width() {
        let ticks = ticks(4.3);
        let labels: Vec<_> = ticks.iter().map(|tick| tick.label.replace('\u{202f}', " ")).collect();
        assert_eq!(labels, ["0 %", "50 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
        assert!((ticks[4].at - ticks[3].at - (ticks[3].at - ticks[2].at)).abs() < 1e-12);
        let at = point(&(0.999, 5.0)).map(|(nines, _)| nines / 4.3);
        assert!((at.unwrap_or(0.0) - ticks[4].at).abs() < 1e-9);
    }

    #[test]
    fn only_quantiles_below_one_are_drawn() {
        for q in [1.0, 1.5, -0.1, f64::NAN] {
            assert_eq!(point(&(q, 1.0)), None);
        }
        assert_eq!(point(&(0.5, f64::INFINITY)), None);
        assert_eq!(point(&(0.0, 1.0)), Some((0.0, 1.0)));
    }
}
