//! A picture of pixels: PNG.
//!
//! Everything is drawn `ZOOM` times as large and averaged at the end, which smooths lines, dots and text alike.

use ab_glyph::Font;
use plotters::prelude::*;

use super::Error;
use super::canvas::{Canvas, Paper};
use super::palette::Colour;
use super::shapes::{Align, Pattern, Rect, Turn};
use super::stroke::{self, Mask, Point};
use super::text::Style;

/// Width of a picture in pixels.
pub(super) const WIDTH: u32 = 1200;
/// Height of a picture in pixels.
pub(super) const HEIGHT: u32 = 800;
/// How many pixels are drawn for one pixel of the picture, in each direction.
const ZOOM: u32 = 3;

/// The picture while it is being drawn.
struct Pixels<'a> {
    area: DrawingArea<BitMapBackend<'a>, plotters::coord::Shift>,
}

/// Draws a white picture with `draw` and returns it as the bytes of a PNG file.
pub(super) fn picture(draw: impl FnOnce(&Canvas) -> Result<(), Error>) -> Result<Vec<u8>, Error> {
    let (width, height) = (WIDTH * ZOOM, HEIGHT * ZOOM);
    let mut large = vec![255; (width * height * 3) as usize];
    let area = BitMapBackend::with_buffer(&mut large, (width, height)).into_drawing_area();
    let pixels = Pixels { area };
    draw(&Canvas::new((WIDTH, HEIGHT), true, &pixels))?;
    pixels.area.present()?;
    drop(pixels);
    encode(&reduce(&large))
}

/// A colour on white paper.
fn rgba(colour: Colour) -> RGBAColor {
    let [red, green, blue] = colour.tone.look().light;
    RGBAColor(red, green, blue, colour.opacity)
}

impl Paper for Pixels<'_> {
    fn rect(&self, rect: Rect, colour: Colour) -> Result<(), Error> {
        let [left, top, right, bottom] = [rect.left, rect.top, rect.right, rect.bottom].map(|edge| edge as i32 * ZOOM as i32);
        self.area.draw(&Rectangle::new([(left, top), (right, bottom)], rgba(colour).filled()))?;
        Ok(())
    }

    fn hatch(&self, rect: Rect, pattern: Pattern, colour: Colour) -> Result<(), Error> {
        const PERIOD: i32 = 8 * ZOOM as i32;
        const STROKE: i32 = 2 * ZOOM as i32;
        let [left, top, right, bottom] =
            [rect.left, rect.top, rect.right, rect.bottom].map(|edge| edge.round() as i32 * ZOOM as i32);
        let colour = rgba(colour);
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

    /// The strokes of one line are combined before they are blended, so that a translucent line has one shade even where it
    /// crosses itself.
    fn line(&self, points: &[Point], width: f64, colour: Colour) -> Result<(), Error> {
        let (zoom, colour) = (f64::from(ZOOM), rgba(colour));
        let points: Vec<Point> = points.iter().map(|(x, y)| (x * zoom, y * zoom)).collect();
        let size = (WIDTH * ZOOM, HEIGHT * ZOOM);
        for pixel in Mask::line(&points, width * zoom, size).pixels() {
            self.area.draw_pixel(pixel, &colour)?;
        }
        Ok(())
    }

    fn dashes(&self, points: &[Point], width: f64, colour: Colour, (dash, gap): (f64, f64)) -> Result<(), Error> {
        for piece in stroke::dashes(points, dash, gap) {
            self.line(&piece, width, colour)?;
        }
        Ok(())
    }

    fn dot(&self, centre: Point, radius: f64, fill: Colour, rim: Colour) -> Result<(), Error> {
        self.line(&[centre], 2.0 * radius, rim)?;
        self.line(&[centre], 2.0 * (radius - 1.0), fill)
    }

    fn text(&self, text: &str, (x, y): Point, style: Style, colour: Colour, align: Align, turn: Turn) -> Result<(), Error> {
        let (zoom, colour) = (f64::from(ZOOM), rgba(colour));
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
