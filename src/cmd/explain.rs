//! `runner explain`: what a key of the language or a metric means, in the words of the reference.

use super::{Stop, print};
use crate::cli;
use crate::exit::Exit;
use crate::schema::reference::{Block, Key, Place, ROOT, Reference};
use crate::vocabulary::metric::{self, Row, Scope};
use crate::vocabulary::words::nearest;

/// Lines are not longer than this.
const WIDTH: usize = 80;

/// Explains keys and metrics; without one, lists the keys at the top.
pub(super) fn explain(args: &cli::Explain) -> Result<Exit, Stop> {
    let reference = Reference::generate();
    if args.keys.is_empty() {
        print(&overview(&reference));
        return Ok(Exit::Success);
    }
    // `too few` without quotes is one word, too.
    let all = args.keys.join(" ");
    if let Some(text) = of_word(&all).filter(|_| args.keys.len() > 1) {
        print(&text);
        return Ok(Exit::Success);
    }
    let mut parts = Vec::new();
    for typed in &args.keys {
        parts.push(explained(&reference, typed).ok_or_else(|| Stop::new(Exit::InvalidInput, unknown(&reference, typed)))?);
    }
    print(&parts.join("\n"));
    Ok(Exit::Success)
}

/// The explanation of one key, metric or word of the glossary; `None` if nothing has this name.
fn explained(reference: &Reference, typed: &str) -> Option<String> {
    let typed = typed.trim_end_matches(':');
    let metric = metric::catalogue().iter().find(|row| row.name == typed.replace('-', "_"));
    let places = reference.find(typed);
    let mut out = metric.map(of_metric).or_else(|| of_word(typed)).unwrap_or_default();
    // A key of a block is explained once, wherever that block may stand.
    let mut distinct: Vec<(&Place<'_>, usize)> = Vec::new();
    for place in &places {
        match distinct.iter_mut().find(|(one, _)| one.block.name == place.block.name && one.key.name == place.key.name) {
            Some((_, more)) => *more += 1,
            None => distinct.push((place, 0)),
        }
    }
    for (place, more) in distinct {
        if !out.is_empty() {
            out.push('\n');
        }
        out += &of_place(reference, place, more);
    }
    (!out.is_empty()).then_some(out)
}

/// The glossary, a section for each word.
const GLOSSARY: &str = include_str!("../../docs/glossary.md");
/// The messages and the words of the output, a section for each.
const TROUBLESHOOTING: &str = include_str!("../../docs/troubleshooting.md");
/// Words of the output that stand under another name in the glossary.
const ALIASES: [(&str, &str); 5] =
    [("per second", "throughput"), ("95 %", "interval"), ("95%", "interval"), ("±", "interval"), ("HL", "HL ratio")];

/// The sections of a page, each with its head.
fn sections(page: &str) -> impl Iterator<Item = (&str, &str)> {
    let entries = page.split("\n### ").skip(1).filter_map(|entry| entry.split_once('\n'));
    entries.map(|(head, text)| (head, text.split("\n## ").next().unwrap_or_default().trim()))
}

/// A word of the glossary, of a table or of the lines above it.
fn of_word(typed: &str) -> Option<String> {
    let said = |text: &str, page: &str| format!("{typed}\n\n{}\n  More: {page}\n", wrapped(&plain(text, "docs"), 2));
    let of_glossary = || glossary(typed).map(|text| said(text, "docs/glossary.md"));
    // Words in capitals above a table, and answers of `compare`: `too few, +n/+m`, `behind *`.
    let bare = |word: &str| word.trim_end_matches([' ', '*', '°', ':']).to_owned();
    let is_it = |head: &str| head == typed || head.split(", ").any(|part| !bare(part).is_empty() && bare(part) == bare(typed));
    let of_output =
        || sections(TROUBLESHOOTING).find(|(head, _)| is_it(head)).map(|(_, text)| said(text, "docs/troubleshooting.md"));
    of_glossary().or_else(of_output).or_else(|| {
        let text = glossary_of_any_case(typed)?;
        Some(said(text, "docs/glossary.md"))
    })
}

/// The text of a word in the glossary, or of the word that it stands for.
fn glossary(typed: &str) -> Option<&'static str> {
    // `p50`, `p99.9`
    let is_percentile = typed.strip_prefix('p').is_some_and(|share| share.parse::<f64>().is_ok());
    let alias = ALIASES.iter().find(|(word, _)| *word == typed).map(|(_, ours)| *ours);
    let word = if is_percentile { "percentile" } else { alias.unwrap_or(typed) };
    sections(GLOSSARY).find(|(head, _)| *head == word).map(|(_, text)| text)
}

fn glossary_of_any_case(typed: &str) -> Option<&'static str> {
    sections(GLOSSARY).find(|(head, _)| head.eq_ignore_ascii_case(typed)).map(|(_, text)| text)
}

fn of_place(reference: &Reference, place: &Place<'_>, more: usize) -> String {
    let mut out = place.path.join(".");
    if more > 0 {
        out += &format!("  (and in {more} other {})", if more == 1 { "place" } else { "places" });
    }
    out.push_str("\n\n");
    out += &wrapped(&plain(&place.key.text, REFERENCE), 2);
    out.push('\n');
    out += &facts(place.key);
    let inner: Vec<&Block> = place.key.blocks.iter().filter_map(|name| reference.block(name)).collect();
    for block in &inner {
        out += &contents(block);
    }
    if let Some(page) = inner.iter().find_map(|block| block.page.as_deref()).or(place.block.page.as_deref()) {
        out += &format!("\n  More: docs/reference/{page}.md\n");
    }
    out
}

fn facts(key: &Key) -> String {
    let mut lines = vec![("takes", key.takes.replace('`', ""))];
    if key.is_required {
        lines.push(("required", "yes".to_owned()));
    }
    lines.extend(key.default.iter().map(|default| ("default", plain(default, REFERENCE))));
    lines.extend(key.examples().map(|example| ("example", example)));
    let hang = 12;
    lines.iter().map(|(what, text)| format!("  {what:<hang$}{}", wrapped(text, hang + 2).trim_start())).collect()
}

/// The keys of a block, or the words of a choice, with the first sentence of each.
fn contents(block: &Block) -> String {
    let keys = block.keys.iter().map(|key| (key.name.as_str(), key.text.as_str()));
    let all: Vec<(&str, &str)> = keys.chain(block.words.iter().map(|(word, text)| (word.as_str(), text.as_str()))).collect();
    let hang = all.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).min(24) + 2;
    let line = |(name, text): &(&str, &str)| {
        format!("  {name:<hang$}{}", wrapped(&first_sentence(&plain(text, REFERENCE)), hang + 2).trim_start())
    };
    format!("\n{}", all.iter().map(line).collect::<String>())
}

fn overview(reference: &Reference) -> String {
    let keys = reference.block(ROOT).map(contents).unwrap_or_default();
    format!(
        "The keys of a scenario file. `runner explain KEY` explains one of them, a key inside it\n(`runner explain load.open.rate`), a metric (`runner explain response_p99`), or a word of the\noutput (`runner explain BUSY`).\n{keys}"
    )
}

fn of_metric(row: &Row) -> String {
    let belongs = match row.scope {
        Scope::Pass => "the passes of a workload, or the requests of a step",
        Scope::Target => "the processes of targets",
        Scope::Host => "the machine",
        Scope::Collected => "whatever reports it",
    };
    let lines = [
        ("metric of", belongs.to_owned()),
        ("unit", row.axis.0.to_owned()),
        ("better", row.better.word().to_owned()),
        ("exists", row.places()),
    ];
    let lines = lines.iter().filter(|(_, text)| !text.is_empty());
    let lines: String = lines.map(|(what, text)| format!("  {what:<12}{text}\n")).collect();
    let glossary = glossary(&row.name).map_or_else(String::new, |text| format!("{}\n", wrapped(&plain(text, "docs"), 2)));
    // The glossary says more than the name.
    let words = if row.words == row.name && !glossary.is_empty() { String::new() } else { format!("  {}\n\n", row.words) };
    format!("{}\n\n{words}{glossary}{lines}\n  More: docs/reference/metrics.md\n", row.name)
}

/// The message that nothing has this name, and what was probably meant.
fn unknown(reference: &Reference, typed: &str) -> String {
    let places = reference.places();
    let last = typed.rsplit('.').next().unwrap_or(typed);
    let keys = places.iter().map(|place| place.key.name.as_str());
    let metrics = metric::catalogue().iter().map(|row| row.name.as_str());
    let words = sections(GLOSSARY).map(|(head, _)| head);
    let help = match nearest(last, keys.chain(metrics).chain(words)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`runner explain` lists the keys at the top of a scenario".to_owned(),
    };
    format!("there is no key, metric or word `{typed}`: {help}")
}

/// The folder of the reference, in which links of keys start.
const REFERENCE: &str = "docs/reference";

/// Where a link of a page in `folder` goes, as a path in the repository; none if it goes to another word of the same page.
fn page(folder: &str, link: &str) -> Option<String> {
    let path = link.split('#').next().filter(|path| path.ends_with(".md"))?;
    let (folder, path) = match (path.strip_prefix("../"), folder.rsplit_once('/')) {
        (Some(path), Some((above, _))) => (above, path),
        _ => (folder, path),
    };
    Some(format!("{folder}/{path}"))
}

/// Markdown as plain text: links are only their words, or the page where they say "see". `folder`: where the text's links start.
fn plain(text: &str, folder: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('[') {
        let link = rest[start..].find("](").and_then(|middle| {
            let end = rest[start + middle..].find(')')?;
            Some((start + middle, start + middle + end))
        });
        let Some((middle, end)) = link.filter(|(middle, _)| !rest[start + 1..*middle].contains(['[', ']'])) else {
            out.push_str(&rest[..=start]);
            rest = &rest[start + 1..];
            continue;
        };
        out.push_str(&rest[..start]);
        let words = &rest[start + 1..middle];
        let is_place = words == "how" || out.trim_end().to_lowercase().ends_with("see");
        match page(folder, &rest[middle + 2..end]).filter(|_| is_place) {
            Some(page) => out += &page,
            None => out.push_str(words),
        }
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    out.replace("**", "")
}

fn first_sentence(text: &str) -> String {
    let paragraph = text.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    let end =
        paragraph.match_indices(". ").find(|(at, _)| !paragraph[..*at].ends_with("e.g")).map_or(paragraph.len(), |(at, _)| at);
    paragraph[..end].trim_end_matches('.').to_owned()
}

/// Paragraphs with lines of at most 80 characters, each indented by `indent`; ends with a line break.
fn wrapped(text: &str, indent: usize) -> String {
    let mut out = String::new();
    for (number, paragraph) in text.split("\n\n").enumerate() {
        if number > 0 {
            out.push('\n');
        }
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && indent + line.chars().count() + 1 + word.chars().count() > WIDTH {
                out += &format!("{:indent$}{line}\n", "");
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        out += &format!("{:indent$}{line}\n", "");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::reference::NAME;

    #[test]
    fn links_are_their_words() {
        assert_eq!(plain("in [Graphs](graphs.md#x) and `[1, 2]` (a)", REFERENCE), "in Graphs and `[1, 2]` (a)");
        assert_eq!(plain("`a: [b]` then [c](d)", REFERENCE), "`a: [b]` then c");
        assert_eq!(plain("See [Graphs](graphs.md#x).", REFERENCE), "See docs/reference/graphs.md.");
        assert_eq!(plain("See [Numbers](../numbers.md).", REFERENCE), "See docs/numbers.md.");
        assert_eq!(plain("see [PSS](#pss).", "docs"), "see PSS.");
    }

    #[test]
    fn words_of_the_output_are_explained() {
        let reference = Reference::generate();
        for (word, part) in [
            ("p99", "99 % of the passes"),
            ("p50", "half of them"),
            ("per second", "divided by the length of the phase"),
            ("95 %", "95 % confidence"),
            ("HL", "Hodges and Lehmann"),
            ("±", "95 % confidence"),
            ("n eff", "independent repetitions"),
            ("lag-1 r", "the one before"),
            ("BUSY", "Other programs"),
            ("SHORT", "ten windows"),
            ("NOT STEADY", "warming up"),
            ("AT THE END", "under way"),
            ("SILENCE", "although passes were due"),
            ("too few", "more repetitions"),
            ("behind", "primary metric"),
            ("throughput", "divided by the length of the phase"),
            ("cell", "combination"),
            ("verdict", "docs/comparing.md"),
        ] {
            let said = explained(&reference, word).unwrap_or_else(|| panic!("{word}"));
            let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(said.contains(part), "{word}: {said}");
        }
    }

    #[test]
    fn every_key_at_the_top_and_every_metric_is_explained() {
        let reference = Reference::generate();
        let keys = reference.block(ROOT).expect("the root").keys.iter().map(|key| key.name.clone());
        let metrics = metric::catalogue().iter().map(|row| row.name.clone());
        for name in keys.chain(metrics) {
            let text = explained(&reference, &name).unwrap_or_else(|| panic!("{name}"));
            assert!(text.lines().all(|line| line.chars().count() <= WIDTH + 20), "{name}: {text}");
        }
        assert!(explained(&reference, "workloads.clients.load.open.rate").is_some_and(|text| text.contains(NAME)));
        assert!(explained(&reference, "nonsense").is_none() && unknown(&reference, "duratoin").contains("did you mean"));
    }
}
