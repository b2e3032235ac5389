//! Rows of a page of figures: the values of the series that its selectors want.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use plan::Scrape;
use plan::scrape::{Comparing, PageForm, SeriesSelector, TOOK, UP};
use vocabulary::rows::TapValue;

use super::exposition::{self, Sample, shown};

/// Counters of haproxy and nginx, whose pages do not say what is one.
const NGINX: [(&str, &str); 7] = [
    ("active", "gauge"),
    ("accepts", "counter"),
    ("handled", "counter"),
    ("requests", "counter"),
    ("reading", "gauge"),
    ("writing", "gauge"),
    ("waiting", "gauge"),
];
/// How many different things are told about a page.
const MOST_NOTES: usize = 20;

/// What makes rows of the pages of one scrape.
#[derive(Debug)]
pub struct PageRule {
    form: PageForm,
    selectors: Vec<Selecting>,
    /// The counters of the page before, by their series.
    before: HashMap<String, f64>,
    /// In how many scrapes a counter was lower than in the one before.
    pub resets: u64,
    notes: BTreeMap<String, u64>,
    /// The names of the newest page, for selectors that found nothing.
    names: Vec<String>,
}

#[derive(Debug)]
struct Selecting {
    selector: SeriesSelector,
    labels: Vec<(String, Comparing, Value)>,
    found: bool,
    /// Whether its series are used as counters.
    as_counter: bool,
}

#[derive(Debug)]
enum Value {
    Text(String),
    Regex(regex::Regex),
}

/// A page as it arrived.
#[derive(Clone, Copy, Debug)]
pub struct Arrived<'p> {
    /// Its bytes.
    pub body: &'p [u8],
    /// Its content type, if it has one.
    pub content_type: Option<&'p str>,
    /// Whether it is known to be whole.
    pub is_whole: bool,
}

impl PageRule {
    /// Prepares the selectors. `counters`: those whose series are used as counters.
    ///
    /// # Errors
    /// When a pattern is not a regular expression.
    pub fn new(scrape: &Scrape, counters: &[&str]) -> Result<Self, regex::Error> {
        let selecting = |selector: &SeriesSelector| {
            let label = |rule: &plan::scrape::LabelRule| {
                let value = match rule.how {
                    Comparing::Is | Comparing::IsNot => Value::Text(rule.value.clone()),
                    Comparing::Matches | Comparing::MatchesNot => {
                        Value::Regex(regex::Regex::new(&format!("^(?s:{})$", rule.value))?)
                    }
                };
                Ok((rule.label.clone(), rule.how, value))
            };
            let labels = selector.labels.iter().map(label).collect::<Result<_, regex::Error>>()?;
            let as_counter = counters.contains(&selector.text.as_str()) && !selector.is_histogram;
            Ok(Selecting { selector: selector.clone(), labels, found: false, as_counter })
        };
        Ok(Self {
            form: scrape.form,
            selectors: scrape.selectors.iter().map(selecting).collect::<Result<_, regex::Error>>()?,
            before: HashMap::new(),
            resets: 0,
            notes: BTreeMap::new(),
            names: Vec::new(),
        })
    }

    /// The values of a page, in the order of [`plan::scrape::FIELDS`].
    ///
    /// # Errors
    /// Why the page cannot be read, in words.
    pub fn rows(&mut self, page: Arrived<'_>) -> Result<Vec<Vec<TapValue>>, String> {
        let text =
            std::str::from_utf8(page.body).map_err(|error| format!("the page is not UTF-8 at byte {}", error.valid_up_to()))?;
        let kind = page.content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let samples = match self.form {
            PageForm::Prometheus => {
                let is_open_metrics = kind == "application/openmetrics-text";
                let fits = kind.is_empty() || is_open_metrics || kind == "text/plain" || kind == "application/octet-stream";
                if !fits {
                    let expected = "expected `text/plain` or `application/openmetrics-text`";
                    return Err(format!("the content type is `{}`, {expected}", shown(&kind)));
                }
                exposition::parse(text, is_open_metrics, page.is_whole)?
            }
            PageForm::Haproxy => haproxy(text)?,
            PageForm::Nginx => nginx(text)?,
            PageForm::Json => return self.of_json(text),
        };
        self.names = Vec::new();
        let mut seen: HashMap<String, f64> = HashMap::with_capacity(self.before.len());
        let (mut rows, mut has_fallen) = (Vec::new(), false);
        for sample in &samples {
            let mut series = None;
            for at in 0..self.selectors.len() {
                if !self.selectors[at].wants(sample) {
                    continue;
                }
                let first = series.is_none();
                let series: &String = series.get_or_insert_with(|| named(sample));
                if first {
                    if seen.insert(series.clone(), sample.value).is_some() {
                        self.note(format!("`{}` is twice on the page: only the first one counts", shown(series)));
                        break;
                    }
                    if !sample.value.is_finite() {
                        self.note(format!("`{}` was {}, which no figure includes", shown(series), sample.value));
                    }
                }
                let selecting = &mut self.selectors[at];
                selecting.found = true;
                if selecting.as_counter {
                    if sample.kind == "gauge" {
                        let words =
                            format!("`{}` is a gauge, used as a counter: each time it falls counts as a restart", shown(series));
                        self.note(words);
                    } else {
                        has_fallen |= self.before.get(series).is_some_and(|before| sample.value < *before);
                    }
                }
                let le = sample.labels.iter().find(|(label, _)| *label == "le").and_then(|(_, bound)| exposition::number(bound));
                let text = |text: &str| TapValue::Text(text.to_owned());
                rows.push(vec![
                    text(&self.selectors[at].selector.text),
                    TapValue::Text(series.clone()),
                    text(sample.kind),
                    text(if sample.unit.is_empty() { unit_of(&sample.name) } else { sample.unit }),
                    le.map_or(TapValue::Absent, TapValue::Number),
                    TapValue::Number(sample.value),
                ]);
            }
        }
        if self.selectors.iter().any(|selecting| !selecting.found) {
            self.names = samples.iter().map(|sample| sample.name.clone().into_owned()).collect();
            self.names.sort_unstable();
            self.names.dedup();
        }
        self.resets += u64::from(has_fallen);
        self.before.extend(seen);
        Ok(rows)
    }

    /// The rows of pointers into JSON. One that finds nothing, or no number, is noted.
    fn of_json(&mut self, text: &str) -> Result<Vec<Vec<TapValue>>, String> {
        let page: serde_json::Value = serde_json::from_str(text).map_err(|error| format!("the page is not JSON: {error}"))?;
        let (mut rows, mut notes, mut has_fallen) = (Vec::new(), Vec::new(), false);
        for selecting in &mut self.selectors {
            let pointer = &selecting.selector.text;
            let Some(found) = page.pointer(pointer) else {
                notes.push(format!("the page has nothing at `{pointer}`"));
                continue;
            };
            selecting.found = true;
            let number = match found {
                serde_json::Value::Bool(is) => Some(f64::from(u8::from(*is))),
                serde_json::Value::String(text) => text.trim().parse::<f64>().ok().filter(|n| n.is_finite()),
                other => other.as_f64(),
            };
            let Some(value) = number else {
                notes.push(format!("`{}` at `{pointer}` is not a number", shown(&found.to_string())));
                continue;
            };
            let before = self.before.insert(pointer.clone(), value);
            has_fallen |= selecting.as_counter && before.is_some_and(|before| value < before);
            let text = |text: &str| TapValue::Text(text.to_owned());
            rows.push(vec![text(pointer), text(pointer), text(""), text(""), TapValue::Absent, TapValue::Number(value)]);
        }
        notes.into_iter().for_each(|words| self.note(words));
        self.resets += u64::from(has_fallen);
        Ok(rows)
    }

    /// The rows that say how a scrape went.
    pub fn about(up: bool, took_s: f64) -> [Vec<TapValue>; 2] {
        let text = |text: &str| TapValue::Text(text.to_owned());
        let row = |series, unit, value| {
            vec![text(""), text(series), text("gauge"), text(unit), TapValue::Absent, TapValue::Number(value)]
        };
        [row(UP, "", f64::from(u8::from(up))), row(TOOK, "seconds", took_s)]
    }

    fn note(&mut self, words: String) {
        if self.notes.len() < MOST_NOTES || self.notes.contains_key(&words) {
            *self.notes.entry(words).or_default() += 1;
        }
    }

    /// What was strange about the pages, in words, each with the number of scrapes; and the selectors that found nothing in any of
    /// `answered` pages.
    pub fn notes(self, answered: u64) -> Vec<String> {
        let times = |count: u64| if count == 1 { "1 scrape".to_owned() } else { format!("{count} scrapes") };
        let mut notes: Vec<String> = self.notes.into_iter().map(|(words, count)| format!("{words} ({})", times(count))).collect();
        let missing = self.selectors.iter().filter(|s| !s.found && answered > 0 && self.form != PageForm::Json);
        for Selecting { selector, .. } in missing {
            let like = selector.name.as_deref().and_then(|name| nearest(name, &self.names));
            let has = selector.name.as_ref().is_some_and(|name| {
                self.names.contains(name) || selector.is_histogram && self.names.contains(&format!("{name}_bucket"))
            });
            let words = match (has, like) {
                (true, _) => "; it has series of this name with other labels".to_owned(),
                (false, Some(like)) => format!("; it has `{like}`"),
                (false, None) => String::new(),
            };
            match selector.text.as_str() {
                "" => notes.push("no page had any series".to_owned()),
                text => notes.push(format!("no page had `{text}`{words}")),
            }
        }
        notes
    }
}

/// The name that is most like one, if there is one that is nearly the same.
fn nearest<'n>(name: &str, names: &'n [String]) -> Option<&'n str> {
    let near = |other: &&String| other.contains(name) || name.contains(other.as_str());
    names.iter().filter(near).min_by_key(|other| other.len().abs_diff(name.len())).map(String::as_str)
}

/// The unit that a name has, as Prometheus names series.
fn unit_of(name: &str) -> &'static str {
    let ends = ["_total", "_sum", "_bucket", "_created"];
    let name = ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    ["seconds", "milliseconds", "bytes", "ratio", "celsius", "volts", "joules"]
        .into_iter()
        .find(|unit| name.strip_suffix(unit).is_some_and(|start| start.ends_with('_')))
        .unwrap_or_default()
}

/// The name of a series with its labels in the order of their names.
fn named(sample: &Sample<'_>) -> String {
    let mut text = sample.name.clone().into_owned();
    for (at, (label, value)) in sample.labels.iter().enumerate() {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        text += &format!("{}{label}=\"{value}\"", if at == 0 { '{' } else { ',' });
    }
    if !sample.labels.is_empty() {
        text.push('}');
    }
    text
}

impl Selecting {
    fn wants(&self, sample: &Sample<'_>) -> bool {
        let fits = |name: &str| {
            let part = || sample.name.strip_prefix(name).is_some_and(|end| matches!(end, "_bucket" | "_sum" | "_count"));
            if self.selector.is_histogram { part() } else { sample.name == name }
        };
        self.selector.name.as_deref().is_none_or(fits)
            && self.labels.iter().all(|(label, how, value)| {
                let found = match label.as_str() {
                    "__name__" => &*sample.name,
                    label => sample.labels.iter().find(|(name, _)| *name == label).map_or("", |(_, value)| value),
                };
                let is = match value {
                    Value::Text(text) => text == found,
                    Value::Regex(regex) => regex.is_match(found),
                };
                is == matches!(how, Comparing::Is | Comparing::Matches)
            })
    }
}

/// haproxy's statistics: each number of each row is a series with the names of the proxy and the server.
fn haproxy(text: &str) -> Result<Vec<Sample<'_>>, String> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let header = lines.next().unwrap_or_default();
    let Some(names) = header.strip_prefix("# ").filter(|header| header.starts_with("pxname,svname,")) else {
        return Err(format!(
            "`{}` is not the head of haproxy's statistics: expected CSV, such as from `/stats;csv`",
            shown(header)
        ));
    };
    let names: Vec<&str> = names.split(',').map(str::trim).collect();
    let mut samples = Vec::new();
    for line in lines {
        let mut reader = csv_fields(line);
        let (Some(proxy), Some(server)) = (reader.next(), reader.next()) else { continue };
        for (name, field) in names.iter().skip(2).zip(reader) {
            if name.is_empty() || field.is_empty() {
                continue;
            }
            let (name, value) = match (*name, field.parse::<f64>()) {
                (name, Ok(value)) if value.is_finite() => (name, value),
                // A server that is not checked gets requests, too.
                ("status", Err(_)) => {
                    ("up", f64::from(u8::from(["UP", "OPEN", "no check"].iter().any(|up| field.starts_with(up)))))
                }
                _ => continue,
            };
            let labels = vec![("proxy", Cow::Borrowed(proxy)), ("server", Cow::Borrowed(server))];
            samples.push(Sample { name: Cow::Borrowed(name), labels, kind: "", unit: "", value });
        }
    }
    Ok(samples)
}

/// The fields of a line of CSV; haproxy quotes a text that contains a comma, and no text contains a quote.
fn csv_fields(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let text = rest?;
        if let Some(inner) = text.strip_prefix('"')
            && let Some((field, after)) = inner.split_once('"')
        {
            rest = after.strip_prefix(',');
            return Some(field);
        }
        let (field, after) = text.split_once(',').map_or((text, None), |(field, after)| (field, Some(after)));
        rest = after;
        Some(field)
    })
}

/// nginx's page of four lines.
fn nginx(text: &str) -> Result<Vec<Sample<'_>>, String> {
    let wrong = || format!("`{}` is not nginx's stub_status", shown(text.lines().next().unwrap_or_default()));
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let [
        "Active",
        "connections:",
        active,
        "server",
        "accepts",
        "handled",
        "requests",
        accepts,
        handled,
        requests,
        "Reading:",
        reading,
        "Writing:",
        writing,
        "Waiting:",
        waiting,
    ] = words[..]
    else {
        return Err(wrong());
    };
    let values = [active, accepts, handled, requests, reading, writing, waiting];
    NGINX
        .into_iter()
        .zip(values)
        .map(|((name, kind), value)| {
            let value = value.parse::<u64>().map_err(|_| wrong())? as f64;
            Ok(Sample { name: Cow::Borrowed(name), labels: Vec::new(), kind, unit: "", value })
        })
        .collect()
}

#[cfg(test)]
mod tests;
