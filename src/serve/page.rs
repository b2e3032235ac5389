//! The pages for people. They contain names that anybody may have chosen: everything that a template inserts is escaped,
//! because the name of the template ends with `.html`.

use std::sync::LazyLock;

use minijinja::Environment;
use minijinja::value::{Serde, Value};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::json;
use vocabulary::errors::chain;
use vocabulary::units::{Bytes, count};
use vocabulary::words::harmless;

use super::absent::Absent;
use super::archive::Archive;
use super::results::{Experiment, Head};

/// The content of the page of an experiment.
#[derive(Debug, Default, Serialize)]
pub(super) struct Overview {
    /// None if no run exists yet.
    pub experiment: Option<String>,
    /// Whether there are other experiments.
    pub is_one_of_several: bool,
    pub question: String,
    /// When the first of the runs started.
    pub since: String,
    pub newest_transfer: Option<String>,
    /// The day of the newest transfer.
    pub newest_day: Option<String>,
    /// When the page was made.
    pub made: String,
    /// The transfers of the last day.
    pub counts: Vec<Count>,
    /// Some of the runs, the newest first.
    pub runs: Vec<RunRow>,
    /// How many runs there are.
    pub all: usize,
    /// How many things are left out.
    pub notes: usize,
}

/// The number of transfers of one size and outcome, for people.
#[derive(Debug, Serialize)]
pub(super) struct Count {
    pub is_upload: bool,
    pub size: String,
    pub outcome: String,
    pub count: String,
}

/// A run in a list.
#[derive(Debug, Serialize)]
pub(super) struct RunRow {
    run: String,
    started_at: String,
    /// The start of the commit.
    short: String,
    /// Whether files differ from it.
    changed: bool,
    branch: String,
}

/// How many runs a page of the list has.
const ON_A_PAGE: usize = 200;
/// Characters that need no escape in a part of a path.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut templates = Environment::new();
    let all = [
        ("base.html", include_str!("templates/base.html")),
        ("style.css", include_str!("templates/style.css")),
        ("experiments.html", include_str!("templates/experiments.html")),
        ("experiment.html", include_str!("templates/experiment.html")),
        ("list.html", include_str!("templates/list.html")),
        ("runs.html", include_str!("templates/runs.html")),
        ("comparison.html", include_str!("templates/comparison.html")),
        ("history.html", include_str!("templates/history.html")),
        ("live.html", include_str!("templates/live.html")),
        ("files.html", include_str!("templates/files.html")),
    ];
    for (name, text) in all {
        // A template with an error is missing when it is rendered, and a test renders each.
        let _ = templates.add_template(name, text);
    }
    templates.add_filter("url", |text: String| utf8_percent_encode(&text, PLAIN).to_string());
    templates
});

/// Renders a template. Characters that control a terminal are made visible.
///
/// # Errors
/// [`Absent::Failed`]: a bug in the template.
pub(super) fn render(template: &str, content: &impl Serialize) -> Result<String, Absent> {
    let failed = |error: minijinja::Error| Absent::Failed(chain(&error));
    let page = TEMPLATES.get_template(template).map_err(failed)?.render(Value::from(Serde(content))).map_err(failed)?;
    Ok(harmless(&page).into_owned())
}

/// The page of an experiment.
///
/// # Errors
/// See [`render`]; likewise for the other pages.
pub(super) fn overview(overview: &Overview) -> Result<String, Absent> {
    render("experiment.html", overview)
}

/// All experiments.
pub(super) fn experiments(experiments: &[Experiment]) -> Result<String, Absent> {
    render("experiments.html", &json!({"experiments": experiments}))
}

/// A page of the list of all runs, of which the first is page 1. `heads`: the newest last.
pub(super) fn list(heads: &[Head], number: usize) -> Result<String, Absent> {
    let pages = heads.len().div_ceil(ON_A_PAGE).max(1);
    let number = number.clamp(1, pages);
    let runs: Vec<RunRow> = heads.iter().rev().skip((number - 1) * ON_A_PAGE).take(ON_A_PAGE).map(RunRow::of).collect();
    render("list.html", &json!({"runs": runs, "number": number, "pages": pages, "count": heads.len()}))
}

/// The list of the files of a folder, with their names and lengths in bytes.
pub(super) fn files<'a>(title: &str, files: impl Iterator<Item = (&'a str, u64)>) -> Result<String, Absent> {
    let link =
        |name: &str| name.split('/').map(|part| utf8_percent_encode(part, PLAIN).to_string()).collect::<Vec<_>>().join("/");
    // A link contains no character that has a meaning in HTML.
    let files = files.map(|(name, bytes)| json!({"name": name, "link": link(name), "bytes": count(bytes)}));
    render("files.html", &json!({"title": title, "files": files.collect::<Vec<_>>()}))
}

/// The list of the files of an archive.
pub(super) fn index(title: &str, archive: &Archive) -> Result<String, Absent> {
    files(title, archive.entries.iter().map(|(name, entry)| (name.as_str(), entry.bytes)))
}

/// The page that follows a run in progress.
pub(super) fn live() -> Result<String, Absent> {
    render("live.html", &())
}

/// The size of a transfer for people.
pub(super) fn size(bytes: Option<i64>) -> String {
    bytes.and_then(|bytes| u64::try_from(bytes).ok()).map_or_else(|| "unknown".to_owned(), |bytes| Bytes(bytes).to_string())
}

impl RunRow {
    pub fn of(head: &Head) -> Self {
        let (commit, changed) = head.commit.clone().unwrap_or_default();
        Self {
            run: head.run.clone(),
            started_at: head.started_at.clone(),
            short: commit.chars().take(12).collect(),
            changed,
            branch: head.branch.clone().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evil() -> String {
        "</style><script>alert(1)</script>\" onload='x'\u{1b}".to_owned()
    }

    fn head() -> Head {
        Head { run: evil(), path: evil().into(), started_at: evil(), commit: Some((evil(), true)), branch: Some(evil()) }
    }

    fn is_harmless(page: &str) {
        assert!(!page.contains("<script>") && !page.contains("onload='") && !page.contains("\" onload"), "{page}");
        assert!(page.matches("</style>").count() == 1 && !page.contains('\u{1b}'));
    }

    #[test]
    fn nothing_that_was_written_by_others_acts() {
        let said = overview(&Overview {
            experiment: Some(evil()),
            is_one_of_several: true,
            question: evil(),
            since: evil(),
            newest_transfer: Some(evil()),
            newest_day: Some(evil()),
            made: evil(),
            counts: vec![Count { is_upload: false, size: size(Some(51_200)), outcome: evil(), count: count(1234) }],
            runs: vec![RunRow::of(&head())],
            all: 2,
            notes: 1,
        });
        let said = said.unwrap();
        is_harmless(&said);
        assert!(said.contains("50KiB"), "{said}");
        let one = Experiment { name: evil(), runs: 1, newest: evil() };
        is_harmless(&experiments(&[one]).unwrap());
        is_harmless(&list(&[head()], 1).unwrap());
        is_harmless(&files(&evil(), [(evil().as_str(), 1)].into_iter()).unwrap());
    }

    #[test]
    fn without_a_run_the_page_says_so() {
        assert!(overview(&Overview::default()).unwrap().contains("No run yet"));
        assert!(experiments(&[]).unwrap().contains("No run yet"));
    }

    #[test]
    fn a_long_list_has_pages() {
        let heads: Vec<Head> = (0..450).map(|n| Head { run: format!("run-{n:03}"), ..head() }).collect();
        let page = |number: usize| list(&heads, number).unwrap();
        assert!(page(1).contains("run-449") && !page(1).contains("run-249") && page(1).contains("page=2"));
        assert!(page(3).contains("run-000") && page(3).contains("page 3 of 3") && !page(3).contains("page=4"));
        assert!(page(99).contains("page 3 of 3") && list(&[], 1).unwrap().contains("page 1 of 1"));
    }
}
