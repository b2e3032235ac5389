//! The pages for people, as HTML without scripts. They contain names that anybody may have chosen, all of which are escaped.

use std::fmt::Write as _;

use vocabulary::units::{Bytes, count};

use super::archive::Archive;

/// The content of the first page.
#[derive(Debug, Default)]
pub(super) struct Overview {
    /// None where no run exists yet.
    pub experiment: Option<String>,
    pub question: String,
    /// When the first run started.
    pub since: String,
    pub newest_transfer: Option<String>,
    /// Its day.
    pub newest_day: Option<String>,
    /// When this was looked up.
    pub made: String,
    /// Transfers of the last day.
    pub counts: Vec<Count>,
    /// The newest first.
    pub runs: Vec<RunRow>,
    /// What is left out.
    pub notes: Vec<String>,
}

/// The number of transfers of one size and outcome.
#[derive(Debug)]
pub(super) struct Count {
    pub is_upload: bool,
    pub file_bytes: Option<i64>,
    pub outcome: String,
    pub count: u64,
}

/// A run.
#[derive(Debug)]
pub(super) struct RunRow {
    pub name: String,
    pub started: String,
    pub repetitions: usize,
    pub valid: usize,
}

/// How many runs the page lists; `runs.json` has all of them.
const MOST_RUNS: usize = 50;

const STYLE: &str = "\
:root{color-scheme:light dark;--soft:#8883}\
body{font:16px/1.5 system-ui,sans-serif;max-width:54rem;margin:2rem auto;padding:0 1rem}\
h1{margin-bottom:0;overflow-wrap:anywhere}h2{margin-top:2rem;font-size:1.15rem}\
p.question{margin-top:.25rem;font-size:1.1rem;opacity:.8}\
table{border-collapse:collapse}th,td{padding:.25rem 1.25rem .25rem 0;text-align:left;border-bottom:1px solid var(--soft)}\
td.number,th.number{text-align:right;font-variant-numeric:tabular-nums}\
dt{float:left;clear:left;width:11rem;opacity:.8}dd{margin:0 0 .25rem 11rem}\
code{font-size:.95em}footer{margin-top:2.5rem;font-size:.85rem;opacity:.7}";

/// Escapes text for use between tags and in attributes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Characters that are not part of HTML.
            c if c.is_control() && !matches!(c, '\n' | '\t') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A whole page. `body`: HTML.
fn page(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )
}

/// A size in words.
fn size(file_bytes: Option<i64>) -> String {
    match file_bytes.and_then(|bytes| u64::try_from(bytes).ok()) {
        Some(bytes) => Bytes(bytes).to_string(),
        None => "unknown".to_owned(),
    }
}

/// The first page.
pub(super) fn overview(overview: &Overview) -> String {
    let Overview { experiment, question, since, newest_transfer, newest_day, made, counts, runs, notes } = overview;
    let Some(experiment) = experiment else {
        return page("no run yet", "<h1>No run yet</h1>\n<p>Nothing has been measured here so far.</p>\n");
    };
    let mut body = format!("<h1>{}</h1>\n<p class=\"question\">{}</p>\n", escape(experiment), escape(question));
    let newest = newest_transfer.as_deref().unwrap_or("none yet");
    let _ = write!(
        body,
        "<dl>\n<dt>Measured since</dt><dd>{}</dd>\n<dt>Newest transfer</dt><dd>{}</dd>\n</dl>\n<h2>Transfers of the last day</h2>\n",
        escape(since),
        escape(newest)
    );
    if counts.is_empty() {
        body.push_str("<p>None.</p>\n");
    } else {
        body.push_str("<table>\n<tr><th>direction</th><th class=\"number\">size</th><th>outcome</th><th class=\"number\">transfers</th></tr>\n");
        for one in counts {
            let _ = writeln!(
                body,
                "<tr><td>{}</td><td class=\"number\">{}</td><td>{}</td><td class=\"number\">{}</td></tr>",
                if one.is_upload { "upload" } else { "download" },
                size(one.file_bytes),
                escape(&one.outcome),
                count(one.count)
            );
        }
        body.push_str("</table>\n");
    }
    body.push_str("<h2>Results</h2>\n<ul>\n");
    let day = newest_day.as_ref().map(|day| (format!("transfers.json?day={day}"), format!("transfers of {day}, stage by stage")));
    let links = [
        ("runs.json", "runs, cells and repetitions"),
        ("summary.json", "summary of the newest run"),
        ("torperf/", "Torperf's files, by day and size"),
        ("onionperf/", "OnionPerf's analyses, by day"),
        ("results.db", "everything as an SQLite database"),
    ];
    let links = links.map(|(link, words)| (link.to_owned(), words.to_owned())).into_iter().chain(day);
    for (link, words) in links {
        let _ = writeln!(body, "<li><a href=\"{0}\"><code>{0}</code></a>: {1}</li>", escape(&link), escape(&words));
    }
    body.push_str("</ul>\n<h2>Runs</h2>\n<table>\n<tr><th>run</th><th>started</th><th class=\"number\">repetitions</th><th class=\"number\">that count</th></tr>\n");
    for run in runs.iter().take(MOST_RUNS) {
        let _ = writeln!(
            body,
            "<tr><td><code>{}</code></td><td>{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td></tr>",
            escape(&run.name),
            escape(&run.started),
            count(run.repetitions as u64),
            count(run.valid as u64)
        );
    }
    body.push_str("</table>\n");
    if runs.len() > MOST_RUNS {
        let _ = writeln!(body, "<p>and {} earlier ones</p>", runs.len() - MOST_RUNS);
    }
    if !notes.is_empty() {
        let _ = writeln!(
            body,
            "<p>Not shown, or not readable, in these runs: {}; see <code>runs.json</code>.</p>",
            match notes.len() {
                1 => "one thing".to_owned(),
                many => format!("{many} things"),
            }
        );
    }
    let _ = writeln!(body, "<footer>Looked up at {}; only repetitions that have ended are shown.</footer>", escape(made));
    page(experiment, &body)
}

/// The list of the files of a folder.
pub(super) fn index(title: &str, files: &Archive) -> String {
    let mut body = format!(
        "<p><a href=\"../\">all results</a></p>\n<h1>{}</h1>\n<table>\n<tr><th>file</th><th class=\"number\">bytes</th></tr>\n",
        escape(title)
    );
    for (name, entry) in &files.entries {
        let name = escape(name);
        let _ = writeln!(body, "<tr><td><a href=\"{name}\">{name}</a></td><td class=\"number\">{}</td></tr>", count(entry.bytes));
    }
    body.push_str("</table>\n");
    page(title, &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_was_written_by_others_acts() {
        assert_eq!(escape("a<b>&\"'\u{1b}\u{9b}\n"), "a&lt;b&gt;&amp;&quot;&#39;\u{fffd}\u{fffd}\n");
        let evil = || "</style><script>alert(1)</script>\" onload='x'".to_owned();
        let said = overview(&Overview {
            experiment: Some(evil()),
            question: evil(),
            since: evil(),
            newest_transfer: Some(evil()),
            newest_day: Some(evil()),
            made: evil(),
            counts: vec![Count { is_upload: false, file_bytes: Some(51_200), outcome: evil(), count: 1234 }],
            runs: vec![RunRow { name: evil(), started: evil(), repetitions: 2, valid: 1 }],
            notes: vec![evil()],
        });
        assert!(!said.contains("<script") && !said.contains("onload='") && !said.contains("\" onload"), "{said}");
        assert_eq!(said.matches("</style>").count(), 1);
        assert!(said.contains("50KiB"), "{said}");
    }

    #[test]
    fn without_a_run_the_page_says_so() {
        assert!(overview(&Overview::default()).contains("No run yet"));
    }
}
