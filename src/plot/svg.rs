//! A picture for a page: SVG that can be read, searched, scaled and acted upon.
//!
//! The same code draws it that draws pixels; only the shapes arrive here instead. plotters' own SVG backend is not used: it
//! writes plain elements with fixed colours, while a page needs colours by class, groups that carry their series and values,
//! and marks within a stretch that can be enlarged. Only six kinds of element are used.
//!
//! There are no ids, so that a page can hold many pictures, and no `style` attributes, so that its content security policy may
//! be strict. Fonts are those of the page; widths are computed with the embedded one, which is wider than most.

use std::cell::RefCell;
use std::fmt::Write as _;

use quick_xml::escape::escape;

use super::canvas::{Canvas, Paper};
use super::group::{Across, Group, Mark};
use super::number;
use super::palette::{Colour, Tone};
use super::scale::Scale;
use super::shapes::{Align, Pattern, Rect, Turn};
use super::simplify::simplified;
use super::stroke::Point;
use super::text::Style;
use super::{Error, Figure, draw};

/// Where a picture will be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SvgPlace {
    /// In a separate file, which contains its style sheet, and the values as tooltips.
    File,
    /// Within a page of HTML, which contains [`svg_style`] once.
    Page,
}

/// What an SVG picture is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SvgOptions {
    /// Where it will be shown.
    pub place: SvgPlace,
    /// Width and height of the view box: letters of the axes are 16 units high, so a smaller box has larger letters.
    pub size: (u32, u32),
    /// Whether title, subtitle and small print are part of the picture; a page may show them itself.
    pub has_words: bool,
}

impl SvgOptions {
    /// A file that looks like the PNG.
    pub const FILE: Self = SvgOptions { place: SvgPlace::File, size: (1200, 800), has_words: true };
    /// A picture as wide as the text of a page.
    pub const PAGE: Self = SvgOptions { place: SvgPlace::Page, size: (960, 520), has_words: false };
}

/// Draws a figure as one `<svg>` element.
///
/// It has a view box and no size. Its text alternative is the figure's title and subtitle; [`crate::table`] gives the numbers.
///
/// # Errors
/// None so far; drawing in general can fail.
pub fn svg(figure: &Figure, options: SvgOptions) -> Result<String, Error> {
    let (x_unit, y_unit) = (unit(&figure.x_label), unit(&figure.y_label));
    let names = figure.series_names();
    let writer = Writer { names: names.clone(), y_unit, place: options.place, body: RefCell::default() };
    draw(&Canvas::new(options.size, options.has_words, &writer), figure)?;

    let (width, height) = options.size;
    let words = [figure.title.as_str(), figure.subtitle.as_str()].map(str::trim);
    let label = words.into_iter().filter(|words| !words.is_empty()).collect::<Vec<_>>().join(": ");
    let mut out = String::from("<svg");
    let namespace = (options.place == SvgPlace::File).then_some("http://www.w3.org/2000/svg");
    attribute(&mut out, "xmlns", namespace);
    attribute(&mut out, "class", Some("runner-plot"));
    attribute(&mut out, "viewBox", Some(&format!("0 0 {width} {height}")));
    attribute(&mut out, "role", Some("img"));
    attribute(&mut out, "aria-label", Some(&label));
    attribute(&mut out, "data-kind", Some(figure.data.kind()));
    attribute(&mut out, "data-names", Some(&names.join("\n")));
    attribute(&mut out, "data-x-unit", Some(x_unit));
    attribute(&mut out, "data-y-unit", Some(y_unit));
    out.push('>');
    if options.place == SvgPlace::File {
        let _ = write!(out, "<title>{}</title>", text_of(&label));
    }
    if let Some(note) = &figure.note {
        let _ = write!(out, "<desc>{}</desc>", text_of(note));
    }
    if options.place == SvgPlace::File {
        let _ = write!(out, "<style>{}</style>", svg_style(SvgPlace::File));
        let _ = write!(out, "<rect class=\"f paper\" width=\"{width}\" height=\"{height}\"/>");
    }
    out.push_str(&writer.body.into_inner());
    out.push_str("</svg>");
    Ok(out)
}

/// The style sheet of all pictures of a page, or that of a file.
///
/// Colours follow what the reader prefers. On a page, `data-theme="light"` or `"dark"` at its root decides instead.
pub fn svg_style(place: SvgPlace) -> String {
    const SHAPES: &str = ".runner-plot text{font-family:system-ui,\"DejaVu Sans\",sans-serif}\
        .runner-plot .f{fill:currentColor}.runner-plot .s{fill:none;stroke:currentColor;stroke-linecap:round;stroke-linejoin:round}\
        .runner-plot .plot{overflow:visible}.runner-plot .off{display:none}";
    let rules = |before: &str, is_dark: bool| -> String {
        let rule = |tone: Tone| {
            let look = tone.look();
            let [red, green, blue] = if is_dark { look.dark } else { look.light };
            let class = look.class;
            // The outline of a dot has a separate colour.
            let rim = match tone {
                Tone::Ink | Tone::Paper => format!("{before}.runner-plot .r{class}{{stroke:#{red:02x}{green:02x}{blue:02x}}}"),
                _ => String::new(),
            };
            format!("{before}.runner-plot .{class}{{color:#{red:02x}{green:02x}{blue:02x}}}{rim}")
        };
        Tone::all().map(rule).collect()
    };
    let (light, dark) = (rules("", false), rules("", true));
    match place {
        SvgPlace::File => format!("{SHAPES}{light}@media(prefers-color-scheme:dark){{{dark}}}"),
        SvgPlace::Page => {
            let (preferred, chosen) = (rules(":root:not([data-theme=light]) ", true), rules("[data-theme=dark] ", true));
            format!("{SHAPES}{light}@media screen and (prefers-color-scheme:dark){{{preferred}}}@media screen{{{chosen}}}")
        }
    }
}

/// The unit of an axis: the text in brackets at the end of its label.
pub(super) fn unit(label: &str) -> &str {
    let inside = label.trim_end().strip_suffix(')').and_then(|label| label.rsplit_once('('));
    inside.map_or("", |(_, unit)| unit)
}

/// Text as XML can hold it, in elements and in attributes.
fn text_of(text: &str) -> String {
    let allowed = |c: &char| !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}') || *c == '\n';
    escape(text.chars().filter(allowed).collect::<String>()).replace('\n', "&#10;")
}

/// Appends an attribute that has a value.
fn attribute(out: &mut String, name: &str, value: Option<&str>) {
    if let Some(value) = value.filter(|value| !value.is_empty()) {
        let _ = write!(out, " {name}=\"{}\"", text_of(value));
    }
}

/// A coordinate with at most one decimal.
fn short(value: f64) -> String {
    let tenths = (value * 10.0).round() as i64;
    let sign = if tenths < 0 { "-" } else { "" };
    match (tenths.unsigned_abs() / 10, tenths.unsigned_abs() % 10) {
        (whole, 0) => format!("{sign}{whole}"),
        (0, tenth) => format!("{sign}.{tenth}"),
        (whole, tenth) => format!("{sign}{whole}.{tenth}"),
    }
}

/// The elements so far.
struct Writer<'a> {
    names: Vec<&'a str>,
    y_unit: &'a str,
    place: SvgPlace,
    body: RefCell<String>,
}

impl Writer<'_> {
    /// Appends an element without content.
    fn element(&self, name: &str, class: &str, attributes: &[(&str, f64)], colour: Colour) {
        let mut body = self.body.borrow_mut();
        let _ = write!(body, "<{name} class=\"{class}\"");
        for (name, value) in attributes {
            let _ = write!(body, " {name}=\"{}\"", short(*value));
        }
        if colour.opacity < 1.0 {
            let _ = write!(body, " opacity=\"{:.2}\"", colour.opacity);
        }
        body.push_str("/>");
    }

    /// Appends a line; `dashes` are the lengths of pieces and gaps.
    fn polyline(&self, points: &[Point], width: f64, colour: Colour, dashes: Option<(f64, f64)>) {
        let points = simplified(points);
        let mut list = String::new();
        let mut last = String::new();
        for (x, y) in points {
            let point = format!("{},{}", short(x), short(y));
            if point != last {
                let gap = if list.is_empty() { "" } else { " " };
                let _ = write!(list, "{gap}{point}");
                last = point;
            }
        }
        let mut body = self.body.borrow_mut();
        let _ = write!(body, "<polyline class=\"s {}\" stroke-width=\"{}\"", colour.tone.look().class, short(width));
        if let Some((dash, gap)) = dashes {
            let _ = write!(body, " stroke-dasharray=\"{} {}\"", short(dash), short(gap));
        }
        if colour.opacity < 1.0 {
            let _ = write!(body, " opacity=\"{:.2}\"", colour.opacity);
        }
        let _ = write!(body, " points=\"{list}\"/>");
    }

    fn open_mark(&self, out: &mut String, mark: &Mark<'_>) {
        let series = mark.series.map(|i| i.to_string());
        let class = series.as_ref().map_or(String::new(), |i| format!(" series-{i}"));
        let y = mark.y.map(number::single);
        let interval = mark.interval.filter(|(low, high)| low.is_finite() && high.is_finite() && low != high);
        let [low, high] = [interval.map(|i| i.0), interval.map(|i| i.1)].map(|end| end.map(number::single));
        let _ = write!(out, "<g class=\"mark {}{class}\"", mark.kind);
        attribute(out, "data-series", series.as_deref());
        attribute(out, "data-x", mark.x);
        attribute(out, "data-y", y.as_deref());
        attribute(out, "data-low", low.as_deref());
        attribute(out, "data-high", high.as_deref());
        attribute(out, "data-line", mark.line);
        out.push('>');
        if let (SvgPlace::File, Some(y)) = (self.place, &y) {
            let name = mark.series.and_then(|i| self.names.get(i)).copied().unwrap_or_default();
            let place =
                [name, mark.x.unwrap_or_default()].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
            let colon = if place.is_empty() { "" } else { ": " };
            let unit = if self.y_unit.is_empty() { String::new() } else { format!(" {}", self.y_unit) };
            let between = low.zip(high).map_or(String::new(), |(low, high)| format!(" ({low} to {high})"));
            let _ = write!(out, "<title>{}</title>", text_of(&format!("{place}{colon}{y}{unit}{between}")));
        }
    }
}

/// Opens the stretch between the axes: a nested `<svg>`, whose view box a script may narrow.
fn open_plot(out: &mut String, rect: Rect, across: Across<'_>, up: &Scale) {
    let [x, y, width, height] = [rect.left, rect.top, rect.width(), rect.height()].map(short);
    let _ = write!(
        out,
        "<svg class=\"plot\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" viewBox=\"{x} {y} {width} {height}\" \
         preserveAspectRatio=\"none\" overflow=\"visible\""
    );
    match across {
        Across::Names => attribute(out, "data-x-scale", Some("names")),
        Across::Scale(scale) => axis(out, "x", scale),
        Across::Nines(last) => {
            let _ = write!(out, " data-x-scale=\"nines\" data-x-min=\"0\" data-x-max=\"{last}\"");
        }
    }
    axis(out, "y", up);
    out.push('>');
}

/// Appends the kind and the ends of an axis.
fn axis(out: &mut String, letter: &str, scale: &Scale) {
    let (kind, min, max) = match *scale {
        Scale::Linear { min, max, .. } => ("linear", min, max),
        Scale::Log { min, max } => ("log", min, max),
    };
    let _ = write!(out, " data-{letter}-scale=\"{kind}\" data-{letter}-min=\"{min}\" data-{letter}-max=\"{max}\"");
}

impl Paper for Writer<'_> {
    fn rect(&self, rect: Rect, colour: Colour) -> Result<(), Error> {
        let shape = [("x", rect.left), ("y", rect.top), ("width", rect.width()), ("height", rect.height())];
        self.element("rect", &format!("f {}", colour.tone.look().class), &shape, colour);
        Ok(())
    }

    fn hatch(&self, rect: Rect, pattern: Pattern, colour: Colour) -> Result<(), Error> {
        let stripes = match pattern {
            Pattern::Plain => return Ok(()),
            Pattern::Stripes => stripes(rect, false),
            Pattern::Checks => stripes(rect, false) + &stripes(rect, true),
        };
        let mut body = self.body.borrow_mut();
        let class = colour.tone.look().class;
        let _ = write!(body, "<path class=\"s {class}\" stroke-linecap=\"butt\" stroke-width=\"1.4\" d=\"{stripes}\"/>");
        Ok(())
    }

    fn line(&self, points: &[Point], width: f64, colour: Colour) -> Result<(), Error> {
        if let [(x, y)] = *points {
            let shape = [("cx", x), ("cy", y), ("r", width / 2.0)];
            self.element("circle", &format!("f {}", colour.tone.look().class), &shape, colour);
        } else if !points.is_empty() {
            self.polyline(points, width, colour, None);
        }
        Ok(())
    }

    fn dashes(&self, points: &[Point], width: f64, colour: Colour, lengths: (f64, f64)) -> Result<(), Error> {
        if !points.is_empty() {
            self.polyline(points, width, colour, Some(lengths));
        }
        Ok(())
    }

    fn dot(&self, (x, y): Point, radius: f64, fill: Colour, rim: Colour) -> Result<(), Error> {
        let class = format!("f {} r{}", fill.tone.look().class, rim.tone.look().class);
        self.element("circle", &class, &[("cx", x), ("cy", y), ("r", radius - 0.5)], fill);
        Ok(())
    }

    fn text(&self, text: &str, (x, y): Point, style: Style, colour: Colour, align: Align, turn: Turn) -> Result<(), Error> {
        let mut body = self.body.borrow_mut();
        let size = short(style.size);
        let _ = write!(body, "<text class=\"f {}\" font-size=\"{size}\"", colour.tone.look().class);
        if style.bold {
            body.push_str(" font-weight=\"bold\"");
        }
        match align {
            Align::Left => {}
            Align::Centre => body.push_str(" text-anchor=\"middle\""),
            Align::Right => body.push_str(" text-anchor=\"end\""),
        }
        let below = style.cap_height() / 2.0;
        match turn {
            Turn::None => {
                let _ = write!(body, " x=\"{}\" y=\"{}\"", short(x), short(y + below));
            }
            Turn::Up => {
                let _ = write!(body, " transform=\"translate({} {}) rotate(-90)\"", short(x + below), short(y));
            }
        }
        let _ = write!(body, ">{}</text>", text_of(text));
        Ok(())
    }

    fn open(&self, group: &Group<'_>) {
        let mut body = self.body.borrow_mut();
        match group {
            Group::Words(class) | Group::Axis(class) => {
                let _ = write!(body, "<g class=\"{class}\">");
            }
            Group::Legend(Some(series)) => {
                let _ = write!(body, "<g class=\"legend series-{series}\" data-series=\"{series}\">");
            }
            Group::Legend(None) => body.push_str("<g class=\"legend\">"),
            Group::Plot(rect, across, up) => open_plot(&mut body, *rect, *across, up),
            Group::Mark(mark) => self.open_mark(&mut body, mark),
        }
    }

    fn close(&self, group: &Group<'_>) {
        self.body.borrow_mut().push_str(if matches!(group, Group::Plot(..)) { "</svg>" } else { "</g>" });
    }
}

/// Stripes over a rectangle every eight units, rising or falling, as the data of a path.
fn stripes(rect: Rect, falling: bool) -> String {
    const PERIOD: f64 = 8.0;
    let mut path = String::new();
    // Along a rising stripe x + y is constant; a falling one is its mirror image.
    let (left, right) = if falling { (-rect.right, -rect.left) } else { (rect.left, rect.right) };
    let first = ((left + rect.top) / PERIOD).ceil() as i64;
    let last = ((right + rect.bottom) / PERIOD).floor() as i64;
    for sum in (first..=last).map(|i| i as f64 * PERIOD + 1.0) {
        let (low, high) = ((sum - rect.bottom).max(left), (sum - rect.top).min(right));
        if low < high {
            let sign = if falling { -1.0 } else { 1.0 };
            let _ = write!(path, "M{} {}L{} {}", short(sign * low), short(sum - low), short(sign * high), short(sum - high));
        }
    }
    path
}
