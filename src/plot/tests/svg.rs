//! Pictures for pages: what a parser of XML finds in them.

use std::collections::BTreeMap;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::{SMALL, bar, bars, figure, lines, phase, quantiles, trend};
use crate::{Data, Figure, LevelPositions, LineSeries, RoundPoint, RoundSeries, SvgOptions, svg, svg_style, table};

/// An element: its name, its attributes, the text directly in it, and the classes of what contains it.
#[derive(Debug, Clone, Default)]
pub(super) struct Element {
    name: String,
    attributes: BTreeMap<String, String>,
    text: String,
    within: Vec<String>,
}

impl Element {
    fn get(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    fn is(&self, class: &str) -> bool {
        self.get("class").split(' ').any(|one| one == class)
    }

    fn number(&self, name: &str) -> f64 {
        self.get(name).parse().unwrap_or_else(|_| panic!("{name} of {self:?}"))
    }
}

/// All elements of a document, which is well-formed and has one root.
pub(super) fn elements(text: &str) -> Vec<Element> {
    let mut reader = Reader::from_str(text);
    let (mut all, mut open): (Vec<Element>, Vec<usize>) = (Vec::new(), Vec::new());
    let element = |start: &BytesStart<'_>, all: &[Element], open: &[usize]| {
        let attributes = start.attributes().map(|one| {
            let one = one.expect("an attribute");
            let value = one.unescape_value().expect("a value").into_owned();
            (String::from_utf8(one.key.0.to_vec()).unwrap(), value)
        });
        Element {
            name: String::from_utf8(start.name().0.to_vec()).unwrap(),
            attributes: attributes.collect(),
            text: String::new(),
            within: open.iter().map(|i: &usize| all[*i].get("class").to_owned()).collect(),
        }
    };
    loop {
        match reader.read_event().expect("well-formed XML") {
            Event::Start(start) => {
                assert!(!open.is_empty() || all.is_empty(), "one root");
                all.push(element(&start, &all, &open));
                open.push(all.len() - 1);
            }
            Event::Empty(start) => all.push(element(&start, &all, &open)),
            Event::Text(text) => all[*open.last().expect("text within the root")].text += &text.decode().unwrap(),
            Event::GeneralRef(name) => {
                let entity = format!("&{};", String::from_utf8_lossy(&name));
                all[*open.last().expect("text within the root")].text += &quick_xml::escape::unescape(&entity).unwrap();
            }
            Event::End(_) => assert!(open.pop().is_some()),
            Event::Eof => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(open.is_empty());
    all
}

fn page(data: Data) -> Vec<Element> {
    elements(&svg(&figure(data), SvgOptions::PAGE).unwrap())
}

fn marks<'a>(all: &'a [Element], kind: &str) -> Vec<&'a Element> {
    all.iter().filter(|one| one.is("mark") && one.is(kind)).collect()
}

/// One of each kind.
fn each_kind() -> Vec<Data> {
    let point = |round, value| RoundPoint { round, value, outlier: round == 2 };
    let rounds = RoundSeries {
        name: "a".to_owned(),
        points: vec![point(1, 5.0), point(2, 9.0), point(4, 5.5)],
        median: Some(5.5),
        interval: Some((5.0, 9.0)),
    };
    vec![
        bars(&["x", "y"], vec![("a", vec![bar(2.0), None]), ("b", vec![bar(3.0), bar(4000.0)])]),
        Data::Stack {
            groups: vec!["x".to_owned(), "y".to_owned()],
            parts: vec![("a".to_owned(), vec![Some(1.0), None]), ("b".to_owned(), vec![Some(2.0), Some(3.0)])],
        },
        lines(vec![vec![(0.0, 1.0), (1.0, 3.0), (2.0, 2.0)], vec![(0.0, 2.0), (1.0, 2.0)]], vec![phase("warm-up", 0.0, 1.0)]),
        trend(&["1", "8"], LevelPositions::Log(vec![1.0, 8.0]), &[(0, 1.0), (1, 3.0)], &[(0, 2.0), (1, 3.0)], false),
        Data::Rounds { series: vec![rounds], log: false },
        quantiles(vec![(0.0, 1.0), (0.5, 2.0), (0.9, 5.0), (0.999, 70.0)]),
    ]
}

#[test]
fn many_pictures_on_one_page_do_not_disturb_each_other() {
    for data in each_kind() {
        let text = svg(&figure(data), SvgOptions::PAGE).unwrap();
        for element in elements(&text) {
            for name in ["id", "style", "xmlns", "onclick", "href"] {
                assert!(!element.attributes.contains_key(name), "{name} in {element:?}");
            }
            assert!(!["style", "script", "title", "defs"].contains(&element.name.as_str()), "{element:?}");
        }
        let root = &elements(&text)[0];
        assert_eq!((root.get("role"), root.get("viewBox")), ("img", "0 0 960 520"));
        assert_eq!(root.get("aria-label"), "Title: Which one?");
        assert!(!root.attributes.contains_key("width") && !root.attributes.contains_key("height"));
    }
}

#[test]
fn a_file_stands_by_itself() {
    let all = elements(&svg(&figure(each_kind().remove(0)), SvgOptions::FILE).unwrap());
    assert_eq!((all[0].name.as_str(), all[0].get("xmlns")), ("svg", "http://www.w3.org/2000/svg"));
    let style = all.iter().find(|one| one.name == "style").unwrap();
    assert!(style.text.contains("prefers-color-scheme:dark"), "{}", style.text);
    let told: Vec<&str> = all.iter().filter(|one| one.name == "title").map(|one| one.text.as_str()).collect();
    assert_eq!(
        told,
        ["Title: Which one?", "a, x: 2 MiB (1.8 to 2.2)", "b, x: 3 MiB (2.7 to 3.3)", "b, y: 4000 MiB (3600 to 4400)", "1 MiB"]
    );
}

#[test]
fn every_colour_is_a_class_of_the_style_sheet() {
    let style = svg_style(crate::SvgPlace::Page);
    for element in each_kind().into_iter().flat_map(page) {
        assert!(!element.attributes.contains_key("fill") && !element.attributes.contains_key("stroke"), "{element:?}");
        let classes: Vec<&str> = element.get("class").split(' ').collect();
        if let ["f" | "s", tone, ..] = classes[..] {
            assert!(style.contains(&format!(".runner-plot .{tone}{{color:#")), "{tone}");
        }
    }
}

#[test]
fn a_bar_tells_its_series_its_place_and_its_value() {
    let all = page(each_kind().remove(0));
    let root = &all[0];
    assert_eq!((root.get("data-kind"), root.get("data-names"), root.get("data-y-unit")), ("bars", "a\nb", "MiB"));
    let told = |one: &&Element| ["data-series", "data-x", "data-y", "data-low", "data-high"].map(|name| one.get(name).to_owned());
    let found: Vec<_> = marks(&all, "bar").iter().map(told).collect();
    assert_eq!(
        found,
        [["0", "x", "2", "1.8", "2.2"], ["1", "x", "3", "2.7", "3.3"], ["1", "y", "4000", "3600", "4400"]]
            .map(|one| one.map(str::to_owned))
    );
    assert_eq!(marks(&all, "absent").iter().map(told).map(|one| one[..2].join(" ")).collect::<Vec<_>>(), ["0 y"]);
    let legend: Vec<(&str, bool)> =
        all.iter().filter(|one| one.is("legend")).map(|one| (one.get("data-series"), one.is("series-1"))).collect();
    assert_eq!(legend, [("0", false), ("1", true), ("", false), ("", false)]);
}

#[test]
fn the_vertices_of_a_line_are_its_values() {
    let all = page(each_kind().remove(2));
    let plot = all.iter().rfind(|one| one.is("plot")).unwrap();
    let [x, y] = ["x", "y"].map(|axis| {
        let (start, length) = (plot.number(axis), plot.number(if axis == "x" { "width" } else { "height" }));
        let (min, max) = (plot.number(&format!("data-{axis}-min")), plot.number(&format!("data-{axis}-max")));
        move |at: f64| min + (at - start) / length * (max - min)
    });
    let top = plot.number("data-y-min") + plot.number("data-y-max");
    let values = |line: &Element| -> Vec<(f64, f64)> {
        let points = line.get("points").split(' ').map(|point| point.split_once(',').unwrap());
        points.map(|(px, py)| (x(px.parse().unwrap()), top - y(py.parse().unwrap()))).collect()
    };
    let lines: Vec<&Element> =
        all.iter().filter(|one| one.name == "polyline" && one.within.last().is_some_and(|w| w.contains(" line "))).collect();
    let expected = [vec![(0.0, 1.0), (1.0, 3.0), (2.0, 2.0)], vec![(0.0, 2.0), (1.0, 2.0)]];
    assert_eq!(lines.len(), 2);
    for (line, expected) in lines.iter().zip(&expected) {
        let found = values(line);
        let near = |(a, b): (&(f64, f64), &(f64, f64))| (a.0 - b.0).abs() < 0.005 && (a.1 - b.1).abs() < 0.01;
        assert!(found.len() == expected.len() && found.iter().zip(expected).all(near), "{found:?}");
    }
    assert_eq!(marks(&all, "line").iter().map(|one| one.get("data-line")).collect::<Vec<_>>(), ["1", "2"]);
}

#[test]
fn every_mark_lies_between_the_axes_and_can_be_told_from_the_words() {
    for data in each_kind() {
        let all = page(data);
        let plots: Vec<&Element> = all.iter().filter(|one| one.is("plot")).collect();
        assert!(!plots.is_empty());
        for plot in &plots {
            assert_eq!(plot.get("viewBox"), ["x", "y", "width", "height"].map(|name| plot.get(name)).join(" "));
            assert_eq!(plot.get("viewBox"), plots[0].get("viewBox"));
        }
        let is_inside = |one: &Element| one.within.iter().any(|class| class == "plot");
        assert!(all.iter().filter(|one| one.is("mark")).all(is_inside));
        assert!(all.iter().filter(|one| one.name == "text").all(|one| !is_inside(one)));
    }
}

#[test]
fn words_from_anybody_stay_words() {
    let odd = "<script>alert(1)</script> & \"quotes\" \u{0}\u{1b}[31m ]]> \u{ffff}";
    let figure = Figure {
        title: odd.to_owned(),
        subtitle: odd.to_owned(),
        x_label: odd.to_owned(),
        y_label: format!("{odd} ({odd})"),
        note: Some(odd.to_owned()),
        data: bars(&[odd], vec![(odd, vec![bar(1.0)])]),
    };
    for options in [SvgOptions::FILE, SvgOptions::PAGE] {
        let all = elements(&svg(&figure, options).unwrap());
        assert!(all.iter().all(|one| one.name != "script"));
        let name = all[0].get("data-names");
        assert_eq!(name, "<script>alert(1)</script> & \"quotes\" [31m ]]> ");
    }
}

#[test]
fn a_legend_of_one_series_without_a_name_is_none() {
    let with = |name: &str| {
        let one = LineSeries { name: name.to_owned(), lines: vec![vec![(0.0, 1.0), (1.0, 2.0)]], middle: vec![] };
        page(Data::Lines { series: vec![one], phases: vec![], log: false }).iter().filter(|one| one.is("legend")).count()
    };
    assert_eq!((with("get"), with("")), (1, 0));
}

/// A line of 5000 values that go up and down.
fn busy(seed: u32) -> Vec<(f64, f64)> {
    let value = |i: u32| f64::from(i.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 20);
    (0..5000).map(|i| (f64::from(i) / 10.0, value(i))).collect()
}

#[test]
fn a_picture_is_as_large_as_what_can_be_seen_of_it() {
    let series = |i: u32| LineSeries { name: format!("{i}"), lines: vec![busy(i); 2], middle: busy(i + 9) };
    let data = Data::Lines { series: (0..4).map(series).collect(), phases: vec![], log: false };
    let size = svg(&figure(data), SvgOptions::PAGE).unwrap().len();
    // Four points for each of some 850 columns in each of twelve lines, some eleven bytes each.
    assert!((100_000..500_000).contains(&size), "{size}");
    // What a report of a job of 48 cells has: bars of twelve groups with four series, five repetitions each.
    let groups: Vec<String> = (0..12).map(|i| format!("action {i}")).collect();
    let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
    let five = || bar(5.0).map(|one| crate::Bar { points: vec![1.0, 2.0, 3.0, 4.0, 5.0], ..one });
    let all = |name| (name, (0..12).map(|_| five()).collect());
    let bars = svg(&figure(bars(&groups, ["1", "2", "4", "8"].map(all).to_vec())), SvgOptions::PAGE).unwrap().len();
    let short = |i: u32| LineSeries { lines: vec![busy(i)[..40].to_vec(); 5], middle: busy(i)[..40].to_vec(), ..series(i) };
    let small = Data::Lines { series: (0..2).map(short).collect(), phases: vec![], log: false };
    let small = svg(&figure(small), SMALL).unwrap().len();
    assert!(14 * bars + 50 * small < 1_500_000, "{bars} {small}");
}

#[test]
fn a_table_says_what_the_picture_shows() {
    let text = |data: Data| {
        let table = table(&figure(data));
        std::iter::once(table.header).chain(table.rows).map(|row| row.join(" | ")).collect::<Vec<_>>()
    };
    let tables: Vec<Vec<String>> = each_kind().into_iter().map(text).collect();
    let expected: [&[&str]; 6] = [
        &["time (s) | a (MiB) | b (MiB)", "x | 2 (1.8 to 2.2) | 3 (2.7 to 3.3)", "y | not measured | 4000 (3600 to 4400)"],
        &["time (s) | a (MiB) | b (MiB)", "x | 1 | 2", "y | not measured | 3"],
        &["time (s) | a (MiB)", "0 to 1 | 1.5", "1 to 2 | 2"],
        &["time (s) | a (MiB) | a, model: 2 * a", "1 | 1 (0.9 to 1.1) | 2", "8 | 3 (2.7 to 3.3) | 3"],
        &["time (s) | a (MiB)", "1 | 5", "2 | 9, far from the others", "4 | 5.5", "median | 5.5 (5 to 9)"],
        &[
            "time (s) | a (MiB)",
            "0 % | 1",
            "25 % | 2",
            "50 % | 2",
            "75 % | 5",
            "90 % | 5",
            "95 % | 70",
            "99 % | 70",
            "99.9 % | 70",
        ],
    ];
    for (found, expected) in tables.iter().zip(expected) {
        assert_eq!(found, expected);
    }
}
