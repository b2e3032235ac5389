//! A picture in memory and the few shapes that a figure needs.
//!
//! Coordinates are pixels of the finished picture, as `f64`, from the top left corner. Everything is drawn `ZOOM` times as
//! large and averaged at the end, which smooths lines, dots and text alike. The meaning of the shapes is not known here.

use ab_glyph::Font;
use plotters::prelude::*;

use super::Error;
use super::stroke::{self, Mask, Point};
use super::text::Style;

/// Width of every figure in pixels.
pub(super) const WIDTH: u32 = 1200;
/// Height of every figure in pixels.
pub(super) const HEIGHT: u32 = 800;
/// How many pixels are drawn for one pixel of the picture, in each direction.
const ZOOM: u32 = 3;

/// A rectangle with `left <= right` and `top <= bottom`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rect {
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
}

impl Rect {
    pub fn width(self) -> f64 {
        self.right - self.left
    }

    pub fn height(self) -> f64 {
        self.bottom - self.top
    }
}

/// Which part of a text is at the given point. Vertically a line is always centred on its capital letters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Align {
    Left,
    Centre,
    Right,
}

/// Direction of reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Turn {
    /// From left to right.
    None,
    /// From bottom to top.
    Up,
}

/// Patterns that distinguish bars and lines when there are more series than colours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Pattern {
    Plain,
    /// Diagonal stripes in bars, dashes in lines.
    Stripes,
    /// Crossing stripes in bars, dots in lines.
    Checks,
}

/// The picture while it is being drawn.
pub(super) struct Canvas<'a> {
    area: DrawingArea<BitMapBackend<'a>, plotters::coord::Shift>,
}

/// Draws a white picture with `draw` and returns it as the bytes of a PNG file.
pub(super) fn picture(draw: impl FnOnce(&Canvas) -> Result<(), Error>) -> Result<Vec<u8>, Error> {
    let (width, height) = (WIDTH * ZOOM, HEIGHT * ZOOM);
    let mut large = vec![255; (width * height * 3) as usize];
    let area = BitMapBackend::with_buffer(&mut large, (width, height)).into_drawing_area();
    let canvas = Canvas { area };
    draw(&canvas)?;
    canvas.area.present()?;
    drop(canvas);
    encode(&reduce(&large))
}

impl Canvas<'_> {
    /// A filled rectangle whose edges are on whole pixels, at least one pixel wide and high.
    pub fn rect(&self, rect: Rect, colour: RGBAColor) -> Result<(), Error> {
        let [left, top, right, bottom] = [rect.left, rect.top, rect.right, rect.bottom].map(|edge| edge.round() as i32);
        let (right, bottom) = (right.max(left + 1), bottom.max(top + 1));
        let [left, top, right, bottom] = [left, top, right, bottom].map(|edge| edge * ZOOM as i32);
        self.area.draw(&Rectangle::new([(left, top), (right, bottom)], colour.filled()))?;
        Ok(())
    }

    /// Stripes over a rectangle; nothing for the plain pattern.
    pub fn hatch(&self, rect: Rect, pattern: Pattern, colour: RGBAColor) -> Result<(), Error> {
        const PERIOD: i32 = 8 * ZOOM as i32;
        const STROKE: i32 = 2 * ZOOM as i32;
        let [left, top, right, bottom] =
            [rect.left, rect.top, rect.right, rect.bottom].map(|edge| edge.round() as i32 * ZOOM as i32);
        for y in top..bottom {
            for x in left..right {
                let one = (x + y).rem_euclid(PERIOD) < STROKE;
                let other = (x - y).rem_euclid(PERIOD) < STROKE;
                if match pattern {
                    Pattern::Plain => false,
                    Pattern::Stripes => one,
                    Pattern::Checks => one || other,
                } {
                    self.area.draw_pixel((x, y), &colour)?;
                }
            }
        }
        Ok(())
    }

    /// A line through `points` with round ends and corners.
    ///
    /// The strokes of one line are combined before they are blended, so that a translucent line has one shade even where it
    /// crosses itself.
    pub fn line(&self, points: &[Point], width: f64, colour: RGBAColor) -> Result<(), Error> {
        let zoom = f64::from(ZOOM);
        let points: Vec<Point> = points.iter().map(|(x, y)| (x * zoom, y * zoom)).collect();
        let size = (WIDTH * ZOOM, HEIGHT * ZOOM);
        for pixel in Mask::line(&points, width * zoom, size).pixels() {
            self.area.draw_pixel(pixel, &colour)?;
        }
        Ok(())
    }

    /// A line with gaps: dashes for stripes, dots for checks.
    pub fn patterned(&self, points: &[Point], width: f64, colour: RGBAColor, pattern: Pattern) -> Result<(), Error> {
        let (dash, gap) = match pattern {
            Pattern::Plain => return self.line(points, width, colour),
            Pattern::Stripes => (8.0, 6.0),
            Pattern::Checks => (0.5, 5.5),
        };
        for piece in stroke::dashes(points, dash, gap + width) {
            self.line(&piece, width, colour)?;
        }
        Ok(())
    }

    /// A filled circle with an outline of one pixel.
    pub fn dot(&self, centre: Point, radius: f64, fill: RGBAColor, rim: RGBAColor) -> Result<(), Error> {
        self.line(&[centre], 2.0 * radius, rim)?;
        self.line(&[centre], 2.0 * (radius - 1.0), fill)
    }

    /// One line of text at `point`.
    pub fn text(
        &self,
        text: &str,
        (x, y): Point,
        style: Style,
        colour: RGBAColor,
        align: Align,
        turn: Turn,
    ) -> Result<(), Error> {
        let zoom = f64::from(ZOOM);
        let (glyphs, width) = style.layout(text, zoom);
        let start = match align {
            Align::Left => 0.0,
            Align::Centre => -width / 2.0,
            Align::Right => -width,
        };
        let (x, y) = ((x * zoom).round() as i32, (y * zoom).round() as i32);
        let (start, base) = (start.round() as i32, (style.cap_height() * zoom / 2.0).round() as i32);
        let mut pixels = Vec::new();
        for outline in glyphs.into_iter().filter_map(|glyph| style.font().outline_glyph(glyph)) {
            let corner = outline.px_bounds().min;
            outline.draw(|dx, dy, cover| {
                let along = start + corner.x as i32 + dx as i32;
                let down = base + corner.y as i32 + dy as i32;
                pixels.push((along, down, cover));
            });
        }
        for (along, down, cover) in pixels {
            let at = match turn {
                Turn::None => (x + along, y + down),
                Turn::Up => (x + down, y - along),
            };
            self.area.draw_pixel(at, &colour.mix(f64::from(cover.clamp(0.0, 1.0))))?;
        }
        Ok(())
    }
}

/// Averages blocks of `ZOOM` × `ZOOM` pixels.
fn reduce(large: &[u8]) -> Vec<u8> {
    let (zoom, across) = (ZOOM as usize, (WIDTH * ZOOM * 3) as usize);
    let mut small = Vec::with_capacity((WIDTH * HEIGHT * 3) as usize);
    let mut sums = vec![0_u16; across];
    for rows in large.chunks_exact(zoom * across) {
        sums.fill(0);
        for row in rows.chunks_exact(across) {
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += u16::from(*value));
        }
        for block in sums.chunks_exact(zoom * 3) {
            for channel in 0..3 {
                let sum: u16 = block[channel..].iter().step_by(3).sum();
                small.push(((u32::from(sum) + ZOOM * ZOOM / 2) / (ZOOM * ZOOM)) as u8);
            }
        }
    }
    small
}

fn encode(pixels: &[u8]) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, WIDTH, HEIGHT);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(bytes)
}
