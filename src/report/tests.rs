//! Pages of a run that is kept in the repository, as it is and with odd texts in it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use analysis::compare::{Comparison, Options, ReadRun, Row, Verdict, levels};
use analysis::question::question;
use quick_xml::events::Event;
use record::RunRecord;

use crate::view::{Page, Sentence};
use crate::{Asked, Pictures, answer, html, markdown, page};

fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../results/blobs-parallel/20261129T013913Z-5025")
}

fn read(path: &Path) -> ReadRun {
    let record = RunRecord::open(path).unwrap();
    let summary = analysis::summarize(&record).unwrap();
    (record, summary)
}

fn comparison(run: &ReadRun) -> Comparison {
    let asked = question(&run.0.plan, &run.1).unwrap();
    levels(run, &asked.by, Some(&asked.baseline), &Options::usual(0.05)).unwrap()
}

fn page_of(run: &ReadRun) -> Page {
    page(&Asked { runs: vec![run], comparison: Some(&comparison(run)), pictures: None }).unwrap()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn words(sentence: &Sentence) -> String {
    sentence.0.iter().map(|span| if span.code { format!("`{}`", span.text) } else { span.text.clone() }).collect()
}

// ---- what a page says

#[test]
fn a_page_says_what_the_summary_and_the_comparison_say() {
    let run = read(&kept());
    let page = page_of(&run);
    let mut text = format!("{}\n{}\n", page.experiment, page.question);
    text += &page.answer.iter().map(|s| format!("answer: {}\n", words(s))).collect::<String>();
    for objection in &page.against {
        let lines = objection.lines.iter().map(|l| format!("  {} -> {}\n", l.words, l.to.as_deref().unwrap_or("nothing")));
        text += &format!("{} x{}\n{}", objection.kind, objection.count, lines.collect::<String>());
    }
    text += &page.charts.iter().map(|c| format!("chart {}: {}\n", c.file, c.subtitle)).collect::<String>();
    let columns: Vec<&str> = page.table.columns.iter().map(|c| c.name.as_str()).collect();
    text += &format!("{}\n", columns.join(" | "));
    for row in &page.table.rows {
        let entries: Vec<&str> = row.entries.iter().map(|e| e.text.as_str()).collect();
        text += &format!("{} -> {}\n", entries.join(" | "), row.to);
    }
    let data = &page.cells[0].data;
    text += &data.figures.iter().map(|f| format!("{}: {}\n", f.name, f.texts.join(", "))).collect::<String>();
    text += &data.times.iter().map(|t| format!("over time: {} of {} parts\n", t.name, t.parts.len())).collect::<String>();
    text += &format!("{:?}\n", data.repetitions[0]);
    insta::assert_snapshot!(text);
}

#[test]
fn every_figure_of_the_table_is_one_of_the_summary() {
    let run = read(&kept());
    let page = page_of(&run);
    let rate = page.table.columns.iter().position(|c| c.name == "per second").unwrap();
    let mut seen = 0;
    for row in &page.table.rows {
        let cell: usize = row.to.trim_start_matches('c').parse().unwrap();
        let step = run.1.cells[cell].steps.iter().find(|s| s.step == "(pass)" && s.phase == "during").unwrap();
        assert_eq!(row.entries[rate].value, step.throughput_per_s.as_ref().map(|e| e.median));
        seen += 1;
    }
    assert_eq!(seen, run.1.cells.iter().filter(|c| c.repetitions.valid > 0).count());
}

// ---- sentences

fn row(level: &str, ratio: f64, verdict: Verdict, more: Option<usize>) -> Row {
    let levels = std::collections::BTreeMap::from([("action".to_owned(), "get".to_owned())]);
    Row {
        side: level.to_owned(),
        levels,
        workload: "clients".to_owned(),
        metric: "throughput".to_owned(),
        unit: String::new(),
        primary: true,
        asked: true,
        baseline_n: 5,
        baseline_median: 100.0,
        n: 5,
        median: 100.0 * ratio,
        pairs: 5,
        sessions: None,
        ratio: Some(ratio),
        ratio_interval: Some((ratio * 0.9, ratio * 1.1)),
        p: Some(0.001),
        by_node: Vec::new(),
        p_corrected: Some(0.002),
        rests_on_shape: false,
        verdict,
        more_for_seen: more,
        more_for_threshold: more.map(|n| n * 2),
    }
}

fn said(rows: Vec<Row>) -> Vec<String> {
    let run = read(&kept());
    let comparison = Comparison { rows, factors: vec!["action".to_owned()], ..comparison(&run) };
    answer::answer(Some(&comparison), &[], &run.0.plan, &[&run.1]).iter().map(words).collect()
}

#[test]
fn the_answer_names_differences_and_how_many_repetitions_the_rest_needs() {
    let few = |level| row(level, 1.02, Verdict::TooFewRepetitions, Some(10));
    assert_eq!(
        said(vec![row("2", 1.18, Verdict::Faster, None), few("4"), few("8")]),
        [
            "`get` with `processes=2`: throughput 1.180 times that of `processes=1` (95 %: 1.062 to 1.298): faster.",
            "No other difference in throughput is significant at 5 repetitions; it takes about 15 of each \
             to show the difference that is seen, and about 25 to show one of 5 %. `runner repeat experiments/blobs-parallel.yaml --until decided --by processes` repeats it until that is decided."
        ]
    );
    assert_eq!(
        said(vec![few("2")]),
        [
            "No difference in throughput is significant at 5 repetitions; it takes about 15 of each to show the difference that is seen, \
             and about 25 to show one of 5 %. \
             `runner repeat experiments/blobs-parallel.yaml --until decided --by processes` repeats it until that is decided."
        ]
    );
    assert_eq!(said(vec![row("2", 1.0, Verdict::NoDifferenceShown, None)]), ["No difference in throughput beyond 5 %."]);
    // The memory of targets is a question of its own.
    let memory = || Row { workload: String::new(), metric: "pss".to_owned(), ..row("2", 3.0, Verdict::More, None) };
    assert_eq!(said(vec![few("2"), memory()]), said(vec![few("2")]));
    assert!(said(vec![memory()])[0].contains("memory (PSS) 3.000 times"));
    let many: Vec<Row> = (0..4).map(|i| row("2", 2.0 + f64::from(i), Verdict::Slower, None)).chain([few("4")]).collect();
    assert_eq!(
        said(many),
        [
            "Slower in 4 of 5 comparisons; the largest difference:",
            "`get` with `processes=2`: throughput 5.000 times that of `processes=1` (95 %: 4.500 to 5.500): slower.",
            "No other difference in throughput is significant at 5 repetitions; it takes about 15 of each \
             to show the difference that is seen, and about 25 to show one of 5 %. `runner repeat experiments/blobs-parallel.yaml --until decided --by processes` repeats it until that is decided."
        ]
    );
}

// ---- the file

/// The text without what stands in scripts and in the style.
fn without_scripts(html: &str) -> String {
    let mut text = String::new();
    let mut rest = html;
    while let Some(at) = ["<script", "<style"].iter().filter_map(|tag| rest.find(tag)).min() {
        let end = if rest[at..].starts_with("<script") { "</script>" } else { "</style>" };
        let open = at + rest[at..].find('>').unwrap() + 1;
        text += &rest[..open];
        rest = &rest[open + rest[open..].find(end).unwrap()..];
        text += end;
        rest = &rest[end.len()..];
    }
    text + rest
}

/// Names of elements, ids and targets of links; panics where elements do not fit into each other.
fn parts(html: &str) -> (Vec<String>, Vec<String>, Vec<String>) {
    let text = without_scripts(html);
    let mut reader = quick_xml::Reader::from_str(&text);
    let (mut names, mut ids, mut targets) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        let event = reader.read_event().unwrap_or_else(|e| panic!("{e} at byte {}", reader.error_position()));
        match event {
            Event::Start(element) | Event::Empty(element) => {
                let name = String::from_utf8(element.name().as_ref().to_vec()).unwrap();
                for attribute in element.attributes() {
                    let attribute = attribute.unwrap();
                    let value = String::from_utf8(attribute.value.to_vec()).unwrap();
                    match attribute.key.as_ref() {
                        b"id" => ids.push(value),
                        b"href" if name == "a" => targets.push(value),
                        key => assert!(!key.starts_with(b"on") && key != b"style", "{name} has {}", String::from_utf8_lossy(key)),
                    }
                }
                names.push(name);
            }
            Event::Eof => return (names, ids, targets),
            _ => {}
        }
    }
}

#[test]
fn elements_fit_into_each_other_and_every_link_has_its_place() {
    let run = read(&kept());
    let text = html(&page_of(&run)).unwrap();
    let (names, ids, targets) = parts(&text);
    assert!(names.iter().any(|name| name == "svg") && names.iter().any(|name| name == "table"));
    let known: BTreeSet<&str> = ids.iter().map(String::as_str).collect();
    assert_eq!(known.len(), ids.len(), "an id is there twice");
    assert!(targets.len() > 20);
    for target in targets {
        assert!(target.strip_prefix('#').is_some_and(|id| known.contains(id)), "{target} leads nowhere");
    }
    for elsewhere in ["http://", "https://", "//cdn", "@import", "url("] {
        let outside: Vec<&str> = text.lines().filter(|line| line.contains(elsewhere)).collect();
        // The scenario names its own addresses, and an element of SVG made by the script its namespace.
        let is_text = |line: &&str| line.contains("127.0.0.1") || line.contains("www.w3.org/2000/svg");
        assert!(outside.iter().all(is_text), "{elsewhere}: {outside:?}");
    }
}

#[test]
fn texts_of_others_stay_texts() {
    const EVIL: &str = "</script><img src=x onerror=alert(1)><!--\u{1b}[2J & \"'`";
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    copy(&kept(), &run);
    std::fs::write(run.join("experiment.yaml"), format!("question: {EVIL}\n")).unwrap();
    let plan = std::fs::read_to_string(run.join("plan.json")).unwrap();
    let mut plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    plan["question"] = EVIL.into();
    let cell = plan["cells"][0]["path"].as_str().unwrap().to_owned();
    std::fs::write(run.join("plan.json"), plan.to_string()).unwrap();
    let repetition = run.join("cells").join(cell).join("run1");
    std::fs::write(repetition.join("logs/blobs-1.err"), format!("{EVIL}\n")).unwrap();
    let status = std::fs::read_to_string(repetition.join("status.json")).unwrap();
    let mut status: serde_json::Value = serde_json::from_str(&status).unwrap();
    status["errors"] = serde_json::json!([EVIL]);
    status["verdict"] = serde_json::json!({"is": "failed", "reason": EVIL});
    std::fs::write(repetition.join("status.json"), status.to_string()).unwrap();
    let run = read(&run);
    let page = page_of(&run);
    let text = html(&page).unwrap();
    assert!(!text.contains("<img") && !text.contains("\u{1b}"), "{:?}", text.find("<img").map(|at| &text[at - 200..at + 50]));
    let (names, ..) = parts(&text);
    assert!(!names.iter().any(|name| name == "img"));
    // It is all there, as text: in the question, the reason, the log and the scenario.
    assert!(text.matches("onerror=alert(1)").count() >= 4);
    let data = &page.cells[0].data;
    assert!(data.texts.iter().any(|log| log.contains("onerror")) && data.repetitions[0].why.contains("onerror"));
    let text = markdown(&page, None, Pictures::Links("graphs"));
    let unescaped = text.lines().filter(|line| line.replace("\\<", "").contains("<img"));
    assert_eq!(unescaped.count(), 0, "{text}");
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn a_page_is_small_and_the_same_each_time() {
    let run = read(&kept());
    let [one, other] = [html(&page_of(&run)).unwrap(), html(&page_of(&run)).unwrap()];
    assert!(one == other, "two pages of one run differ");
    // 12 repetitions: mostly style, script and charts.
    assert!(one.len() < 600_000, "{} bytes", one.len());
}

#[test]
fn markdown_has_the_sentences_the_table_and_the_pictures() {
    let run = read(&kept());
    insta::assert_snapshot!(markdown(&page_of(&run), None, Pictures::Links("https://example.org/graphs/")));
}
