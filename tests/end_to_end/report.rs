//! `runner report`, in a real browser where there is one: what a reader does with the page, and that it needs nothing else.

use std::path::PathBuf;

use serde_json::{Value as Json, json};

use crate::browser::{SERIOUS, axe, browse, values};
use crate::support::{Place, root};

const KEPT: &str = "results/blobs-parallel/20261129T013913Z-5025";

/// Makes the report of the run that is kept in the repository.
fn report(place: &Place) -> PathBuf {
    let run = root().join(KEPT);
    place.run(&["report", run.to_str().unwrap(), "-o", "page.html"]).expect(0);
    place.path("page.html")
}

#[test]
fn a_reader_sorts_filters_copies_and_goes_from_a_figure_to_its_windows_and_logs() {
    let place = Place::new();
    let page = report(&place);
    let column = "[...document.querySelectorAll('#table tbody tr')].filter(r => !r.hidden).map(r => Number(r.querySelector('td[data-v]').dataset.v))";
    let per_second = "[...document.querySelectorAll('.sort')].find(b => b.textContent === 'per second').click()";
    let steps = json!([
        {"size": [1280, 900]},
        {"run": per_second}, {"run": column}, {"run": per_second}, {"run": column},
        {"run": "(() => { const s = document.querySelector('#filters select'); s.value = s.options[1].value; s.dispatchEvent(new Event('change')); return document.getElementById('told').textContent; })()"},
        {"run": column},
        {"run": "document.querySelector('[data-copy=markdown]').click(); new Promise(d => setTimeout(() => d(document.getElementById('told').dataset.copied), 300))"},
        {"run": "document.querySelector('[data-copy=csv]').click(); new Promise(d => setTimeout(() => d(document.getElementById('told').dataset.copied), 300))"},
        {"run": "document.querySelector('#table tbody tr:not([hidden]) td.n a').click(); new Promise(d => setTimeout(() => d([location.hash, document.querySelectorAll('details.cell[open] circle').length, document.querySelectorAll('details.cell[open] .view svg').length]), 400))"},
        {"run": "document.querySelector('details.cell[open] .view td a').click(); new Promise(d => setTimeout(() => d([location.hash, [...document.querySelectorAll('.repetition summary')].map(s => s.textContent), document.querySelectorAll('.repetition table tbody tr').length, document.querySelector('.repetition pre').textContent]), 300))"},
    ]);
    let Some(told) = browse(&place, &page, &steps) else { return };
    let values = values(&told);
    let numbers = |at: usize| values[at].as_array().unwrap().iter().map(|n| n.as_f64().unwrap()).collect::<Vec<f64>>();
    let (rising, falling, chosen) = (numbers(2), numbers(4), numbers(6));
    assert!(rising.len() > 3 && rising.is_sorted() && falling.iter().rev().eq(rising.iter()), "{rising:?} {falling:?}");
    assert!(!chosen.is_empty() && chosen.len() < rising.len(), "{chosen:?}");
    assert_eq!(values[5], format!("{} of {} rows", chosen.len(), rising.len()));
    let (markdown, csv) = (values[7].as_str().unwrap(), values[8].as_str().unwrap());
    assert_eq!(markdown.lines().count(), chosen.len() + 2, "{markdown}");
    // A spreadsheet gets numbers, in the units that its first line names.
    let (head, first) = csv.split_once("\r\n").unwrap();
    assert!(head.contains("per second (1/s)") && head.contains("p50 (ns)") && head.contains("PSS (bytes)"), "{head}");
    assert!(first.lines().next().unwrap().split(',').skip(2).all(|number| number.parse::<f64>().is_ok()), "{csv}");
    assert!(markdown.lines().nth(1).unwrap().contains("---:") && csv.lines().count() == chosen.len() + 1, "{markdown}\n{csv}");
    let opened = values[9].as_array().unwrap();
    assert!(
        opened[0].as_str().unwrap().starts_with("#c") && opened[1].as_u64() > Some(3) && opened[2].as_u64() > Some(5),
        "{opened:?}"
    );
    let repetition = values[10].as_array().unwrap();
    assert!(repetition[0].as_str().unwrap().ends_with("-r1"), "{repetition:?}");
    let parts: Vec<&str> = repetition[1].as_array().unwrap().iter().map(|s| s.as_str().unwrap()).collect();
    assert!(parts.contains(&"Windows") && parts.iter().any(|part| part.starts_with("blobs-1.out")), "{parts:?}");
    assert!(repetition[2].as_u64() > Some(2) && repetition[3].as_str().unwrap().contains("listening on"), "{repetition:?}");
}

#[test]
fn the_page_is_dark_where_the_reader_is_prints_and_fits_a_telephone() {
    let place = Place::new();
    let page = report(&place);
    let paper = "getComputedStyle(document.body).backgroundColor";
    let pdf = place.path("page.pdf");
    let steps = json!([
        {"size": [360, 740]}, {"run": paper}, {"scheme": "dark"}, {"run": paper},
        {"run": "document.getElementById('theme').click(); getComputedStyle(document.body).backgroundColor"},
        {"run": "document.documentElement.scrollWidth"},
        {"run": "[...document.querySelectorAll('svg[role=img]')].every(svg => svg.getAttribute('aria-label'))"},
        {"print": pdf},
    ]);
    let Some(told) = browse(&place, &page, &steps) else { return };
    let values = values(&told);
    assert_eq!(values[1], "rgb(255, 255, 255)");
    assert!(values[3] != values[1] && values[4] == values[1], "{values:?}");
    assert_eq!(values[5], 360, "something is wider than the screen");
    assert_eq!(values[6], true, "every picture has words");
    assert!(std::fs::read(&pdf).unwrap().starts_with(b"%PDF"));
}

#[test]
fn axe_finds_no_serious_problem_light_or_dark() {
    let place = Place::new();
    let page = report(&place);
    let Some(axe) = axe() else { return };
    let steps = json!([
        {"size": [1280, 900]}, {"script": axe},
        {"run": "document.querySelector('details.cell').open = true; new Promise(d => setTimeout(d, 300))"},
        {"run": SERIOUS}, {"scheme": "dark"}, {"run": SERIOUS},
    ]);
    let Some(told) = browse(&place, &page, &steps) else { return };
    let values = values(&told);
    assert_eq!(values[3], json!([]));
    assert_eq!(values[5], json!([]));
}

#[test]
fn a_graph_tells_its_values_and_hides_a_series() {
    let place = Place::new();
    let page = report(&place);
    let steps = json!([
        {"size": [1280, 900]},
        {"run": "(() => { const p = document.querySelector('.picture'); p.focus(); p.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight', bubbles: true})); return document.querySelector('.tip').textContent; })()"},
        {"run": "(() => { const b = document.querySelector('.series button'); b.click(); return [b.textContent, b.getAttribute('aria-pressed'), b.closest('figure').querySelectorAll('.off').length]; })()"},
    ]);
    let Some(told) = browse(&place, &page, &steps) else { return };
    let values = values(&told);
    assert!(values[1].as_str().unwrap().contains("passes/s"), "{values:?}");
    assert_eq!(values[2][1], "false");
    assert!(values[2][2].as_u64() > Some(0), "{values:?}");
}

#[test]
fn several_runs_stand_side_by_side_and_the_exit_code_is_that_of_compare() {
    let place = Place::new();
    let one = root().join(KEPT);
    let other = place.path("20261129T013913Z-0000");
    crate::support::copy(&one, &other);
    let (one, other) = (one.to_str().unwrap(), other.to_str().unwrap());
    let said = place.run(&["report", one, other, "--markdown", "--fail-on-slower"]).expect(5).stdout;
    assert!(said.contains("One session each is not enough for a verdict"), "{said}");
    assert!(said.contains("| run |") && said.contains("| A |") && said.contains("| B |"), "{said}");
    place.run(&["report", one, other, "-o", "page.html"]).expect(0);
    let page = std::fs::read_to_string(place.path("page.html")).unwrap();
    assert!(page.contains("id=\"r1c0\"") && page.contains("<h3>Run B</h3>"));
    place.run(&["report", one, other, "--by", "processes"]).expect(2).complains(&["--by", "within one run"]);
}

#[test]
fn figures_for_trackers_are_those_of_the_summary() {
    let place = Place::new();
    let run = root().join(KEPT);
    let run = run.to_str().unwrap();
    let parse = |text: &str| serde_json::from_str::<Json>(text).unwrap();
    let summary = parse(&place.run(&["summarize", run, "--json"]).stdout);
    let rates: Vec<f64> = summary["cells"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|cell| cell["steps"].as_array().unwrap())
        .filter(|step| step["step"] == "(pass)" && step["phase"] == "during")
        .map(|step| step["throughput_per_s"]["median"].as_f64().unwrap())
        .collect();
    let bencher = parse(&place.run(&["export", "bencher", run]).expect(0).stdout);
    let found: Vec<f64> =
        bencher.as_object().unwrap().values().map(|measures| measures["throughput"]["value"].as_f64().unwrap()).collect();
    assert_eq!(found, rates);
    let entries = |words: &[&str]| {
        let list = parse(&place.run(&[&["export", "benchmark-action", run], words].concat()).expect(0).stdout);
        let list = list.as_array().unwrap().clone();
        assert!(list.iter().all(|entry| entry["name"].is_string() && entry["value"].is_number() && entry["unit"].is_string()));
        list
    };
    let bigger = entries(&[]);
    assert_eq!(bigger.iter().map(|entry| entry["value"].as_f64().unwrap()).collect::<Vec<_>>(), rates);
    // Two times and the memory of each.
    assert_eq!(entries(&["--smaller-is-better"]).len(), 3 * rates.len());
}

#[test]
fn where_the_scenario_does_not_say_what_is_compared_every_factor_is_answered() {
    let place = Place::with(
        "experiment: two
question: Does extra work slow it?
factors: {size: [1, 2], work: [0, 5]}
repetitions: 8
workloads:
  tool:
    command: [sh, -c, 'echo took=$((100 + ${work} * 10 + ${repetition} % 3))']
    load: {closed: {connections: 1}, amount: 1}
    metrics: {took: {regex: 'took=([0-9]+)', unit: ms}}
# Read, so that it is no mistake.
layout: ${size}-${work}
primary: took
",
    );
    let outcome = place.run(&["run", "test.yaml", "--no-graphs", "--set", "work=0,7"]).expect(0);
    outcome.complains(&["note: `--set work=7` adds a level: the file has 0, 5", "--by size (or --by work)"]);
    let page = place.run(&["report", "results/two", "--markdown"]).expect(0).stdout;
    assert!(page.contains("By `size`: ") && page.contains("By `work`: slower in 2 of 2 comparisons"), "{page}");
}
