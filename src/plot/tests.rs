//! Whole figures: the same bytes every time, and no data that cannot be drawn.

mod phases;
mod svg;

use super::*;

/// One of several pictures side by side.
const SMALL: SvgOptions = SvgOptions { size: (520, 320), ..SvgOptions::PAGE };

fn figure(data: Data) -> Figure {
    Figure {
        title: "Title".to_owned(),
        subtitle: "Which one?".to_owned(),
        x_label: "time (s)".to_owned(),
        y_label: "memory (MiB)".to_owned(),
        note: Some("mean of 3 repetitions".to_owned()),
        data,
    }
}

fn bar(value: f64) -> Option<Bar> {
    let points = vec![value, value * 0.9, value * 1.1];
    Some(Bar { value, low: value * 0.9, high: value * 1.1, points })
}

fn bars(groups: &[&str], series: Vec<(&str, Vec<Option<Bar>>)>) -> Data {
    Data::Bars {
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        series: series.into_iter().map(|(name, bars)| BarSeries { name: name.to_owned(), bars }).collect(),
        reference: Some(1.0),
        log: false,
    }
}

fn lines(lines: Vec<Vec<(f64, f64)>>, phases: Vec<Phase>) -> Data {
    Data::Lines { series: vec![LineSeries { name: "a".to_owned(), lines, middle: vec![] }], phases, log: false }
}

fn quantiles(points: Vec<(f64, f64)>) -> Data {
    Data::Quantiles { series: vec![QuantileSeries { name: "a".to_owned(), points }] }
}

/// One series with points at levels, a model, and intervals of a tenth.
fn trend(levels: &[&str], places: LevelPositions, points: &[(usize, f64)], model: &[(usize, f64)], log: bool) -> Data {
    let point = |(level, value): &(usize, f64)| TrendPoint { level: *level, value: *value, low: value * 0.9, high: value * 1.1 };
    let one = TrendSeries { name: "a".to_owned(), points: points.iter().map(point).collect(), model: model.to_vec() };
    let levels = levels.iter().map(|level| (*level).to_owned()).collect();
    Data::Trend { levels, places, series: vec![one], model: Some("model: 2 * a".to_owned()), log }
}

fn phase(name: &str, start: f64, end: f64) -> Phase {
    Phase { name: name.to_owned(), start, end, marked: false, fault: false }
}

/// The same data on a logarithmic axis, if they can have one.
fn logarithmic(data: &Data) -> Data {
    let mut data = data.clone();
    if let Data::Bars { log, .. } | Data::Lines { log, .. } | Data::Trend { log, .. } | Data::Rounds { log, .. } = &mut data {
        *log = true;
    }
    data
}

/// The pixels of a rendered figure, three bytes each.
fn pixels(figure: &Figure) -> Vec<u8> {
    let bytes = render(figure).expect("figures of any data can be drawn");
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
    let info = reader.next_frame(&mut pixels).expect("a picture");
    assert_eq!((info.width, info.height), (1200, 800));
    assert_eq!(pixels.len(), 1200 * 800 * 3);
    pixels
}

#[test]
fn a_figure_is_a_png_of_the_promised_size() {
    let bytes = render(&figure(bars(&["x"], vec![("a", vec![bar(2.0)])]))).unwrap();
    assert_eq!(&bytes[..8], b"\x89PNG\r\n\x1a\n");
    assert_eq!(&bytes[16..24], &[0, 0, 1200u32.to_be_bytes()[2], 1200u32.to_be_bytes()[3], 0, 0, 3, 32]);
}

#[test]
fn the_same_figure_gives_the_same_bytes() {
    let all = [
        bars(&["x", "y"], vec![("a", vec![bar(2.0), None]), ("b", vec![bar(3.0), bar(4.0)])]),
        lines(vec![vec![(0.0, 1.0), (1.0, 3.0)]; 3], vec![phase("warm-up", 0.0, 0.5)]),
        quantiles(vec![(0.0, 1.0), (0.9, 5.0), (0.999, 70.0)]),
        trend(&["1", "8"], LevelPositions::Log(vec![1.0, 8.0]), &[(0, 1.0), (1, 3.0)], &[(0, 2.0), (1, 90.0)], false),
    ];
    for data in all {
        let figure = figure(data);
        assert_eq!(render(&figure).unwrap(), render(&figure.clone()).unwrap());
    }
}

#[test]
fn nothing_reaches_the_edge_of_the_picture() {
    let long = "a very long text about quantiles of responses and connections ".repeat(9);
    let name = |i: usize| format!("{i} {}", &long[..38]);
    let groups: Vec<String> = (0..12).map(name).collect();
    let series = (0..30).map(|i| BarSeries { name: name(i), bars: vec![bar(1e5); 12] }).collect();
    let series_over_time =
        (0..30).map(|i| LineSeries { name: name(i), lines: vec![vec![(0.0, 1.0), (90.0, 2.0)]], middle: vec![] }).collect();
    let phases = (0..20).map(|i| phase(&long, f64::from(i), f64::from(i) + 1.0)).collect();
    let curve = vec![(0.0, 1e-9), (0.9999999, 1e12)];
    let points = || (0..12).map(|level| TrendPoint { level, value: 1e5, low: 1.0, high: 2e5 }).collect();
    let trend = |places| Data::Trend {
        levels: groups.clone(),
        places,
        series: (0..30).map(|i| TrendSeries { name: name(i), points: points(), model: vec![(0, 0.0), (11, 1e9)] }).collect(),
        model: Some(long.clone()),
        log: false,
    };
    for data in [
        trend(LevelPositions::Even),
        trend(LevelPositions::Linear((0..12).map(f64::from).collect())),
        Data::Bars { groups: groups.clone(), series, reference: Some(2e5), log: false },
        Data::Lines { series: series_over_time, phases, log: false },
        Data::Quantiles { series: vec![QuantileSeries { name: long.clone(), points: curve }] },
    ] {
        let figure = Figure {
            title: long.clone(),
            subtitle: long.clone(),
            x_label: long.clone(),
            y_label: long.clone(),
            note: Some(long.clone()),
            data,
        };
        let pixels = pixels(&figure);
        let white = |x: usize, y: usize| pixels[(y * 1200 + x) * 3..][..3] == [255; 3];
        assert!((0..1200).all(|x| (0..8).chain(792..800).all(|y| white(x, y))));
        assert!((0..800).all(|y| (0..8).chain(1192..1200).all(|x| white(x, y))));
    }
}

#[test]
fn an_absent_bar_does_not_look_like_zero() {
    let with = |second| pixels(&figure(bars(&["x", "y"], vec![("a", vec![bar(2.0), second])])));
    assert_ne!(with(None), with(bar(0.0)));
}

#[test]
fn what_was_not_measured_differs_from_zero_and_from_what_was_not_asked_for() {
    let with = |second: &[(usize, f64)]| {
        let points: Vec<_> = [(0, 2.0)].iter().chain(second).chain(&[(2, 2.0)]).copied().collect();
        pixels(&figure(trend(&["x", "y", "z"], LevelPositions::Even, &points, &[], false)))
    };
    let (absent, zero, excluded) = (with(&[(1, f64::NAN)]), with(&[(1, 0.0)]), with(&[]));
    assert!(absent != zero && zero != excluded && excluded != absent);
}

#[test]
fn a_marked_phase_and_its_neighbours_are_told_apart_and_one_alone_is_calm() {
    let count = |pixels: &[u8], colour: [u8; 3]| pixels.chunks_exact(3).filter(|pixel| *pixel == colour).count();
    let (marked, beside, faint) = ([0xfd, 0xf0, 0xcf], [0xe9, 0xef, 0xf6], [0xf3, 0xf5, 0xf8]);
    let line = || vec![vec![(0.0, 1.0), (8.0, 3.0)]];
    let during = |marked| Phase { marked, ..phase("during", 3.0, 6.0) };
    let with = |is_marked| {
        let phases = vec![phase("warm-up", 0.0, 1.0), phase("before", 1.0, 3.0), during(is_marked), phase("after", 6.0, 8.0)];
        pixels(&figure(lines(line(), phases)))
    };
    let found = with(true);
    // `during` is 3 of 8 s long, and so are most of its pixels; its neighbours are 4 of 8 s.
    let (inside, outside) = (count(&found, marked) as f64, count(&found, beside) as f64);
    assert!((0.7..0.8).contains(&(inside / outside)), "{inside} {outside}");
    assert!(count(&found, faint) == 0 && inside > 100_000.0);
    for calm in [with(false), pixels(&figure(lines(line(), vec![during(false)])))] {
        assert_eq!((count(&calm, marked), count(&calm, beside)), (0, 0));
        assert!(count(&calm, faint) > 0);
    }
}

#[test]
fn any_data_can_be_drawn() {
    let nan = f64::NAN;
    let inf = f64::INFINITY;
    let odd = |value, low, high| Some(Bar { value, low, high, points: vec![value, nan, inf] });
    let cases = [
        bars(&[], vec![]),
        bars(&["x"], vec![]),
        bars(&[], vec![("a", vec![bar(1.0)])]),
        bars(&["x", "y"], vec![("a", vec![]), ("b", vec![None, None, bar(7.0)])]),
        bars(&["x"], vec![("a", vec![bar(0.0)])]),
        bars(&["x"], vec![("a", vec![odd(nan, nan, nan)])]),
        bars(&["x"], vec![("a", vec![odd(inf, -inf, inf)])]),
        bars(&["x"], vec![("a", vec![odd(-5.0, -6.0, -4.0)])]),
        bars(&["x"], vec![("a", vec![odd(5.0, 5.0, 5.0)])]),
        bars(&["x"], vec![("a", vec![odd(5.0, 9.0, 1.0)])]),
        bars(&["x"], vec![("a", vec![odd(f64::MAX, f64::MIN, f64::MAX)])]),
        bars(&["x"], vec![("a", vec![odd(1e299, -1e299, 1e299)])]),
        bars(&["x"], vec![("a", vec![odd(f64::MIN_POSITIVE, 0.0, 5e-324)])]),
        bars(&[""; 200], vec![("", vec![bar(1.0); 200]); 9]),
        lines(vec![], vec![]),
        lines(vec![vec![]], vec![phase("", 0.0, 0.0)]),
        lines(vec![vec![]], vec![Phase { marked: true, ..phase("p", 1.0, 1.0) }, Phase { marked: true, ..phase("q", 5.0, 2.0) }]),
        lines(vec![vec![(1.0, 1.0)]], vec![phase("p", 2.0, 1.0), phase("q", nan, inf)]),
        lines(vec![vec![(0.0, 0.0), (1.0, 0.0)]], vec![]),
        lines(vec![vec![(nan, 1.0), (1.0, nan), (inf, inf), (2.0, 1e299)]], vec![]),
        lines(vec![vec![(1e17, 1e-300), (1e17 + 16.0, -1e200)]], vec![]),
        lines(vec![vec![(3.0, 1.0), (1.0, 2.0)]], vec![phase("late", 1e12, 2e12)]),
        trend(&[], LevelPositions::Even, &[], &[], false),
        trend(&[], LevelPositions::Log(vec![]), &[(0, 1.0)], &[(3, 1.0)], true),
        trend(&["x"], LevelPositions::Linear(vec![5.0]), &[(0, 1.0), (7, 1.0)], &[(0, 1.0)], false),
        trend(&["x", "y"], LevelPositions::Even, &[(0, nan), (1, inf)], &[(0, nan), (1, -inf)], true),
        trend(&["x", "y"], LevelPositions::Even, &[(0, 0.0), (1, -1.0)], &[(0, 0.0), (1, -1.0)], true),
        trend(&["x", "y"], LevelPositions::Even, &[(0, 1e299), (1, -1e299)], &[(0, -1e299), (1, 5e-324)], false),
        trend(&["x", "y"], LevelPositions::Log(vec![1e-300, 1e300]), &[(0, 1e-200), (1, 1e200)], &[(0, 1e300)], true),
        trend(&["x"; 300], LevelPositions::Linear((0..300).map(f64::from).collect()), &[(0, 1.0), (299, 1.0)], &[], false),
        quantiles(vec![]),
        quantiles(vec![(0.5, 0.0)]),
        quantiles(vec![(0.5, 3.0)]),
        quantiles(vec![(0.0, 0.0), (0.9, 1e-200), (0.99, 1e200), (1.0, 5.0), (nan, 5.0)]),
        quantiles(vec![(0.5, nan), (0.6, inf), (0.7, -3.0)]),
        quantiles(vec![(1.0 - f64::EPSILON / 2.0, 1.0)]),
    ];
    for data in cases.into_iter().flat_map(|data| [logarithmic(&data), data]) {
        let figure = figure(data);
        render(&figure).unwrap();
        let table = table(&figure);
        assert!(table.rows.iter().all(|row| row.len() == table.header.len()), "{table:?}");
        for options in [SvgOptions::FILE, SvgOptions::PAGE, SMALL] {
            svg::elements(&crate::svg(&figure, options).unwrap());
        }
    }
}

#[test]
fn empty_words_and_foreign_letters_are_drawn() {
    let figure = Figure {
        title: "µs → 東京 \u{1f680} \n\t a\u{301}".to_owned(),
        subtitle: String::new(),
        x_label: String::new(),
        y_label: String::new(),
        note: None,
        data: bars(&["\u{0}"], vec![("\n", vec![bar(1.0)])]),
    };
    pixels(&figure);
}
