//! A summary for continuous integration: JUnit XML, and Markdown as GitHub shows it.

use quick_xml::Writer;
use quick_xml::events::BytesText;
use quick_xml::writer::ElementWriter;

use super::expectations::{Finding, Outcome};
use super::kinds::{Kinds, kinds};
use super::summary::{CellSummary, StepSummary, Summary};
use record::tables::WHOLE;
use vocabulary::columns::WIDTH;
use vocabulary::units::{human_duration, significant};
use vocabulary::words::{acts, harmless};

/// One test case of a suite.
struct TestCase {
    name: String,
    class: &'static str,
    /// Kind of element and message; none when the case passes.
    trouble: Option<(&'static str, String)>,
    /// The finding in words, as the text report has it.
    output: String,
}

/// Expectations and repetitions as JUnit XML: one suite per run; each expectation in each cell is a case, and each cell's
/// repetitions are one.
///
/// An expectation that fails is a `failure`; an inconclusive one, and repetitions that are invalid or failed, are an
/// `error`; what was not executed on this machine is `skipped`.
pub fn junit(summaries: &[Summary]) -> Vec<u8> {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    let suites: Vec<(&Summary, Vec<TestCase>)> = summaries.iter().map(|s| (s, cases(s))).collect();
    let all = || suites.iter().flat_map(|(_, cases)| cases);
    let root = counted(writer.create_element("testsuites").with_attribute(("name", "runner")), &all().collect::<Vec<_>>());
    root.write_inner_content(|writer| {
        for (summary, cases) in &suites {
            let name = format!("{} {}", summary.experiment, summary.run);
            let suite = writer.create_element("testsuite").with_attribute(("name", clean(&name).as_str()));
            counted(suite, &cases.iter().collect::<Vec<_>>())
                .write_inner_content(|writer| cases.iter().try_for_each(|case| write_case(writer, &summary.experiment, case)))?;
        }
        Ok(())
    })
    .expect("writing to memory does not fail");
    let mut bytes = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_vec();
    bytes.extend(writer.into_inner());
    bytes.push(b'\n');
    bytes
}

fn counted<'a, W: std::io::Write>(element: ElementWriter<'a, W>, cases: &[&TestCase]) -> ElementWriter<'a, W> {
    let count = |kind: &str| cases.iter().filter(|c| c.trouble.as_ref().is_some_and(|(k, _)| *k == kind)).count().to_string();
    element
        .with_attribute(("tests", cases.len().to_string().as_str()))
        .with_attribute(("failures", count("failure").as_str()))
        .with_attribute(("errors", count("error").as_str()))
        .with_attribute(("skipped", count("skipped").as_str()))
}

fn write_case(writer: &mut Writer<Vec<u8>>, experiment: &str, case: &TestCase) -> std::io::Result<()> {
    let class = clean(&format!("{experiment}.{}", case.class));
    let element = writer
        .create_element("testcase")
        .with_attribute(("name", clean(&case.name).as_str()))
        .with_attribute(("classname", class.as_str()));
    element.write_inner_content(|writer| {
        if let Some((kind, message)) = &case.trouble {
            writer.create_element(*kind).with_attribute(("message", clean(message).as_str())).write_empty()?;
        }
        if !case.output.is_empty() {
            writer.create_element("system-out").write_text_content(BytesText::new(&clean(&case.output)))?;
        }
        Ok(())
    })?;
    Ok(())
}

/// Removes the characters that XML 1.0 does not allow at all, and those that act on what shows them.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !acts(*c)).filter(|c| !matches!(c, '\u{fffe}' | '\u{ffff}')).collect()
}

fn cases(summary: &Summary) -> Vec<TestCase> {
    let mut cases: Vec<TestCase> = summary.expectations.iter().map(of_finding).collect();
    cases.extend(summary.cells.iter().map(of_cell));
    cases
}

fn of_finding(finding: &Finding) -> TestCase {
    let words = finding.words.clone();
    let trouble = match finding.outcome {
        Outcome::Pass => None,
        Outcome::Fail => Some(("failure", words.clone())),
        Outcome::Inconclusive => Some(("error", format!("inconclusive: {words}"))),
        Outcome::Skipped => Some(("skipped", words.clone())),
    };
    let name =
        if finding.cell.is_empty() { finding.expectation.clone() } else { format!("{} [{}]", finding.expectation, finding.cell) };
    TestCase { name, class: "expect", output: if trouble.is_none() { words } else { String::new() }, trouble }
}

fn of_cell(cell: &CellSummary) -> TestCase {
    let r = &cell.repetitions;
    let words = format!("{} of {} repetitions valid, {} invalid, {} failed", r.valid, r.planned, r.invalid, r.failed);
    let reasons: Vec<String> = r.reasons.iter().map(|(n, reason)| format!("repetition {n}: {reason}")).collect();
    let trouble = match &cell.skipped {
        Some(reason) => Some(("skipped", reason.clone())),
        None if r.invalid + r.failed > 0 || r.valid < r.planned => Some(("error", words.clone())),
        None => None,
    };
    let name = if cell.cell.is_empty() { "repetitions".to_owned() } else { format!("repetitions of {}", cell.cell) };
    let output = [words].into_iter().chain(reasons).collect::<Vec<_>>().join("\n");
    TestCase { name, class: "repetitions", trouble, output }
}

/// The summary in the Markdown of GitHub: expectations first, then each cell, then anything odd.
pub fn markdown(summary: &Summary) -> String {
    let mut text = format!("## {}\n\n", escaped_name(&summary.experiment));
    if !summary.question.is_empty() {
        text += &format!("{}\n\n", escaped(&summary.question));
    }
    text += &format!("Run `{}` on {}.\n\n", summary.run, escaped_name(&summary.machine));
    if !summary.expectations.is_empty() {
        text += "| expectation | cell | outcome | found |\n|---|---|---|---|\n";
        for finding in &summary.expectations {
            let outcome = match finding.outcome {
                Outcome::Fail => "❌ **fail**",
                Outcome::Inconclusive => "❔ inconclusive",
                Outcome::Skipped => "➖ skipped",
                Outcome::Pass => "✅ pass",
            };
            let cells = [escaped(&finding.expectation), escaped_name(&finding.cell), outcome.to_owned(), escaped(&finding.words)];
            text += &format!("| {} |\n", cells.join(" | "));
        }
        text.push('\n');
    }
    text += "| cell | workload | phase | valid | per second | 95 % | p50 | p99 |\n|---|---|---|---:|---:|---:|---:|---:|\n";
    for cell in &summary.cells {
        let steps: Vec<&StepSummary> = cell.steps.iter().filter(|s| s.step == WHOLE && s.phase != "warm-up").collect();
        if steps.is_empty() {
            let why = cell.skipped.as_ref().map_or_else(String::new, |reason| format!("skipped: {reason}"));
            text +=
                &format!("| {} | {} | | {} | – | – | – | – |\n", escaped_name(&cell.cell), escaped(&why), cell.repetitions.valid);
        }
        for step in steps {
            let none = || "–".to_owned();
            let rate = step.throughput_per_s.as_ref();
            let time = |of: fn(&super::summary::Times) -> u64| {
                step.response_ns.as_ref().map_or_else(none, |t| human_duration(of(t) as f64))
            };
            let cells = [
                escaped_name(&cell.cell),
                escaped_name(&step.workload),
                step.phase.clone(),
                cell.repetitions.valid.to_string(),
                rate.map_or_else(none, |e| significant(e.median)),
                rate.and_then(|e| e.median_interval).map_or_else(none, |(l, h)| format!("{}–{}", significant(l), significant(h))),
                time(|t| t.p50),
                time(|t| t.p99),
            ];
            text += &format!("| {} |\n", cells.join(" | "));
        }
    }
    if let Some(Kinds { columns, rows }) = kinds(summary, &super::overview::varied(summary)) {
        let header: Vec<String> = columns.iter().map(|(name, _)| escaped_name(name)).collect();
        let rule: Vec<&str> = columns.iter().map(|(_, is_number)| if *is_number { "---:" } else { "---" }).collect();
        text += &format!("\n| {} |\n|{}|\n", header.join(" | "), rule.join("|"));
        for row in rows {
            text += &format!("| {} |\n", row.iter().map(|cell| escaped_name(cell)).collect::<Vec<_>>().join(" | "));
        }
    }
    let notes = super::notes::notes(summary, WIDTH);
    if !notes.trim().is_empty() {
        let notes = harmless(notes.trim());
        // A fence must be longer than any run of backticks inside.
        let fence = "`".repeat(notes.split(|c| c != '`').map(str::len).max().unwrap_or(0).max(2) + 1);
        text += &format!("\n{fence}\n{notes}\n{fence}\n");
    }
    text.push('\n');
    text
}

/// Words in a cell of a table; text between backticks in them is code.
pub(crate) fn escaped(text: &str) -> String {
    harmless(text).replace('|', "\\|").replace(['\n', '\t'], " ")
}

/// Text of unknown origin in a cell of a table; it is shown literally.
pub fn escaped_name(text: &str) -> String {
    escaped(&literal(text))
}

/// A name in which no character has a meaning in Markdown.
pub(crate) fn literal(text: &str) -> String {
    let mut name = String::new();
    for c in text.chars() {
        if matches!(c, '\\' | '`' | '*' | '<' | '[') {
            name.push('\\');
        }
        name.push(c);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_a_cell_stays_there() {
        assert_eq!(escaped_name("a|b`c*<d>[e]\\f_g\u{1b}[2J\nh"), "a\\|b\\`c\\*\\<d>\\[e]\\\\f_g\u{fffd}\\[2J h");
        assert_eq!(escaped("answered `a|b`\r\n"), "answered `a\\|b`\u{fffd} ");
    }
}
