//! Reads `scrape:`.

use std::time::Duration;

use super::diagnostics::{Diagnostics, refuse};
use super::selectors::{self, place};
use super::{commands, requests, tls};
use plan::scrape::{Combining, FIELDS, PageForm, PageSource, SeriesSelector};
use plan::taps::{FieldKind, Tap, TapField, TapFigure, TapMetric, TapSource};
use plan::{Scrape, SeriesFigure, Template};
use schema::source::one_of;
use schema::{Entry, Mistake, Node, types};
use vocabulary::{Metric, Quantile, units};

/// The keys that say what is fetched.
const SOURCES: [&str; 4] = ["url", "json", "haproxy", "nginx"];
/// The time between two scrapes where nothing is typed.
const EVERY: Duration = Duration::from_secs(1);
/// No two scrapes may be closer together than this.
const SHORTEST: Duration = Duration::from_millis(10);
/// The longest time-out where nothing is typed.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest page where nothing is typed, and the largest that can be typed.
const LIMIT: [u64; 2] = [8 << 20, 64 << 20];
/// The points of a histogram that its buckets can tell.
const POINTS: [&str; 8] = ["mean", "p25", "p50", "p75", "p90", "p95", "p99", "p999"];
/// The kinds of figures.
const KINDS: [&str; 7] = ["rate", "increase", "mean", "max", "min", "last", "histogram"];

/// A metric of a preset: name, kind, selector, unit.
type Preset = (&'static str, &'static str, &'static str, &'static str);

/// What haproxy's statistics say if nothing is typed.
const HAPROXY: [Preset; 8] = [
    ("requests", "rate", r#"req_tot{server="FRONTEND"}"#, "1/s"),
    ("sessions", "mean", r#"scur{server="FRONTEND"}"#, ""),
    ("queue", "mean", r#"qcur{server="BACKEND"}"#, ""),
    ("queue_max", "max", r#"qcur{server="BACKEND"}"#, ""),
    ("servers_up", "min", r#"up{server!~"FRONTEND|BACKEND"}"#, ""),
    ("connection_errors", "increase", r#"econ{server="BACKEND"}"#, ""),
    ("retries", "increase", r#"wretr{server="BACKEND"}"#, ""),
    ("responses_5xx", "increase", r#"hrsp_5xx{server="FRONTEND"}"#, ""),
];
/// What nginx's page says if nothing is typed.
const NGINX: [Preset; 5] = [
    ("requests", "rate", "requests", "1/s"),
    ("accepts", "rate", "accepts", "1/s"),
    ("active", "mean", "active", ""),
    ("active_max", "max", "active", ""),
    ("waiting", "mean", "waiting", ""),
];

/// The names of the metrics of an entry: those that are typed, or those of its preset.
pub(super) fn metrics_of(entry: &Entry) -> Vec<&str> {
    let typed = entry.value.get("metrics").map(Node::entries).unwrap_or_default();
    if !typed.is_empty() || entry.value.get("series").is_some() {
        return typed.iter().map(|entry| entry.key.as_str()).collect();
    }
    let preset: &[Preset] = if entry.value.get("haproxy").is_some() {
        &HAPROXY
    } else if entry.value.get("nginx").is_some() {
        &NGINX
    } else {
        &[]
    };
    preset.iter().map(|(name, ..)| *name).collect()
}

/// Makes a tap from what was typed; `node` is its evaluated YAML. `None` if there is a mistake.
pub(super) fn scrape(notes: &mut Diagnostics<'_>, entry: &Entry, node: &Node, typed: &types::Scrape) -> Option<Tap> {
    let before = notes.mistakes.len();
    let kind = notes.exactly_one(node, "what is scraped", &SOURCES)?;
    let (form, text) = match kind {
        "url" => (PageForm::Prometheus, typed.url.as_ref()?),
        "json" => (PageForm::Json, typed.json.as_ref()?),
        "haproxy" => (PageForm::Haproxy, typed.haproxy.as_ref()?),
        _ => (PageForm::Nginx, typed.nginx.as_ref()?),
    };
    let is_url = form != PageForm::Haproxy || text.0.contains("://");
    let (from, tls) = if is_url {
        let (url, path) = requests::url(notes, node, kind, &text.0)?;
        requests::check_path(notes, node, kind, &path.to_text());
        let tls = tls::tls(notes, node, &typed.tls, url.tls, format!("expected `{kind}: https://…`"))?;
        let tls = url.tls.then_some(tls);
        (PageSource::Url { url, path }, tls)
    } else {
        refuse(notes, node, &["headers", "tls"], "it belongs to a URL, but this is a socket");
        (socket(notes, node, &text.0)?, None)
    };
    let every = typed.every.map_or(EVERY, |every| every.0);
    if every < SHORTEST {
        let expected = format!("expected at least `{}`", units::exact_duration(SHORTEST));
        notes.say(
            node,
            "every",
            format!("a scrape every {} would disturb what it measures", units::exact_duration(every)),
            expected,
        );
    }
    let timeout = typed.timeout.map_or(every.min(TIMEOUT), |timeout| timeout.0);
    if timeout > every {
        let expected = format!("expected at most `{}`, the time between two scrapes", units::exact_duration(every));
        notes.say(node, "timeout", format!("`timeout` is longer than `every`: {}", units::exact_duration(timeout)), expected);
    }
    let limit_bytes = typed.limit.map_or(LIMIT[0], |limit| limit.0.0);
    if !(1..=LIMIT[1]).contains(&limit_bytes) {
        notes.say(
            node,
            "limit",
            format!("{limit_bytes} bytes cannot be the limit of a page"),
            "expected a size from `1B` to `64MiB`",
        );
    }
    let headers = requests::headers(notes, node, &typed.headers);
    let mut reader = Reader { notes, form, selectors: Vec::new() };
    for (at, text) in typed.series.iter().enumerate() {
        let list = node.get("series");
        let span = list.map_or(node.head, |list| list.items().get(at).unwrap_or(list).span);
        if let Some(selector) = selectors::selector(reader.notes, span, form, &text.0) {
            reader.keep(selector);
        }
    }
    let mut metrics: Vec<TapMetric> = typed.metrics.iter().filter_map(|(name, typed)| reader.metric(node, name, typed)).collect();
    if typed.metrics.is_empty() && typed.series.is_empty() {
        match form {
            PageForm::Haproxy => metrics = reader.presets(&HAPROXY),
            PageForm::Nginx => metrics = reader.presets(&NGINX),
            PageForm::Prometheus => {
                reader.selectors.push(SeriesSelector { text: String::new(), name: None, labels: Vec::new(), is_histogram: false })
            }
            PageForm::Json => {
                let expected = "expected pointers in `series`, or `metrics`";
                notes.say(node, "", "nothing is taken from this page", expected);
                return None;
            }
        }
    }
    let Reader { notes, selectors, .. } = reader;
    let scrape = Scrape { form, from, every, timeout, limit_bytes, headers, tls, selectors };
    (notes.mistakes.len() == before).then(|| Tap {
        name: entry.key.clone(),
        on: typed.on.clone(),
        source: TapSource::Scrape(Box::new(scrape)),
        regex: String::new(),
        fields: fields(),
        join: None,
        metrics,
        required: typed.required,
    })
}

/// The columns of the rows.
fn fields() -> Vec<TapField> {
    let kind = |is_number: bool| if is_number { FieldKind::Number } else { FieldKind::Text };
    FIELDS.map(|(name, is_number)| TapField { name: name.to_owned(), kind: kind(is_number) }).to_vec()
}

/// haproxy's stats socket.
fn socket(notes: &mut Diagnostics<'_>, node: &Node, text: &str) -> Option<PageSource> {
    if text.contains('/') {
        return Some(PageSource::Socket(commands::path(&notes.file.path, text)));
    }
    if !text.contains(':') {
        let expected = "expected a URL, the path of a socket, or `host:port`";
        notes.say(node, "haproxy", format!("`{text}` is neither a URL nor a socket"), expected);
        return None;
    }
    requests::address(notes, node, "haproxy", text)?;
    Some(PageSource::Socket(Template::parse(text)))
}

/// What an entry is read with.
struct Reader<'r, 'n> {
    notes: &'r mut Diagnostics<'n>,
    form: PageForm,
    selectors: Vec<SeriesSelector>,
}

impl Reader<'_, '_> {
    /// Keeps the series of a selector, and returns its text.
    fn keep(&mut self, selector: SeriesSelector) -> String {
        let text = selector.text.clone();
        if !self.selectors.contains(&selector) {
            self.selectors.push(selector);
        }
        text
    }

    fn selector(&mut self, node: &Node, key: &str, text: &types::Text) -> Option<String> {
        let mut selector = selectors::selector(self.notes, place(node, key), self.form, &text.0)?;
        if key == "histogram" {
            let Some(name) = &selector.name else {
                let expected = "expected its name, such as `http_request_duration_seconds`";
                self.notes.say(node, key, "a histogram without a name", expected);
                return None;
            };
            if let Some(base) = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)) {
                self.notes.say(node, key, format!("`{name}` is a part of the histogram `{base}`"), format!("expected `{base}`"));
                return None;
            }
            selector.is_histogram = true;
        }
        Some(self.keep(selector))
    }

    fn presets(&mut self, presets: &[Preset]) -> Vec<TapMetric> {
        let metric = |(name, kind, selector, unit): &Preset| {
            let selector = selectors::selector(self.notes, schema::Span::default(), self.form, selector)?;
            let selector = self.keep(selector);
            let over = Combining::Sum;
            let of = match *kind {
                "rate" => SeriesFigure::Rate { per: None },
                "increase" => SeriesFigure::Increase,
                "max" => SeriesFigure::Max(over),
                "min" => SeriesFigure::Min(over),
                _ => SeriesFigure::Mean(over),
            };
            let (name, unit) = ((*name).to_owned(), (*unit).to_owned());
            Some(TapMetric { name, figure: TapFigure::Series { selector, of }, per: 1.0, times: 1.0, unit })
        };
        presets.iter().filter_map(metric).collect()
    }

    fn metric(&mut self, node: &Node, name: &str, typed: &types::ScrapeMetric) -> Option<TapMetric> {
        let entry = node.get("metrics").and_then(|metrics| metrics.entry(name))?;
        let nameable = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !nameable || Metric::find(name).is_some() || name == plan::taps::UNJOINED {
            let why = if nameable { "it already is a metric" } else { "expected lower-case letters, digits and `_`" };
            let mistake = Mistake::new(self.notes.file, entry.key_span, format!("`{name}` cannot be the name of a metric"));
            self.notes.mistakes.push(mistake.expected(why));
        }
        let node = &entry.value;
        let kind = self.notes.exactly_one(node, "what the metric is made of", &KINDS)?;
        if kind != "histogram" {
            refuse(self.notes, node, &["at"], "it belongs to `histogram`");
        } else if matches!(self.form, PageForm::Json | PageForm::Haproxy | PageForm::Nginx) {
            self.notes.say(
                node,
                kind,
                format!("{} has no histograms", self.form.name()),
                "expected another figure, such as `mean`",
            );
            return None;
        }
        if kind != "rate" {
            refuse(self.notes, node, &["per"], "it belongs to `rate`");
        }
        if !matches!(kind, "mean" | "max" | "min" | "last") {
            refuse(self.notes, node, &["over"], "it belongs to gauges: `mean`, `max`, `min` and `last`");
        }
        let text = match kind {
            "rate" => typed.rate.as_ref(),
            "increase" => typed.increase.as_ref(),
            "mean" => typed.mean.as_ref(),
            "max" => typed.max.as_ref(),
            "min" => typed.min.as_ref(),
            "last" => typed.last.as_ref(),
            _ => typed.histogram.as_ref(),
        };
        let selector = self.selector(node, kind, text?)?;
        let over = match &typed.over {
            None => Combining::Sum,
            Some(word) => self.named(node, "over", word, Combining::ALL)?,
        };
        let of = match kind {
            "rate" => {
                let per = match &typed.per {
                    Some(per) => Some(self.selector(node, "per", per)?),
                    None => None,
                };
                SeriesFigure::Rate { per }
            }
            "increase" => SeriesFigure::Increase,
            "mean" => SeriesFigure::Mean(over),
            "max" => SeriesFigure::Max(over),
            "min" => SeriesFigure::Min(over),
            "last" => SeriesFigure::Last(over),
            _ => {
                let points = Quantile::ALL.map(|(name, _, quantile)| (name, quantile));
                let points = points.into_iter().filter(|(name, _)| POINTS.contains(name));
                SeriesFigure::Histogram(self.named(node, "at", typed.at.as_deref().unwrap_or("p50"), points)?)
            }
        };
        let unit = typed.unit.clone().unwrap_or_else(|| unit(&selector, &of));
        let times = typed.times.unwrap_or(1.0);
        Some(TapMetric { name: name.to_owned(), figure: TapFigure::Series { selector, of }, per: 1.0, times, unit })
    }

    /// One of some words, or a mistake.
    fn named<T>(&mut self, node: &Node, key: &str, word: &str, all: impl IntoIterator<Item = (&'static str, T)>) -> Option<T> {
        let mut names = Vec::new();
        for (name, value) in all {
            if name == word {
                return Some(value);
            }
            names.push(name);
        }
        let mistake = Mistake::new(self.notes.file, place(node, key), format!("`{word}` does not fit `{key}`"));
        self.notes
            .mistakes
            .push(mistake.expected(format!("expected {}", one_of(names.iter().copied()))).did_you_mean(word, names));
        None
    }
}

/// The unit that the name of a series gives, as Prometheus names them.
fn unit(selector: &str, of: &SeriesFigure) -> String {
    let name = selector.split('{').next().unwrap_or_default();
    let name = ["_total", "_sum", "_created"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    let base =
        [("_seconds", "s"), ("_milliseconds", "ms"), ("_bytes", "B"), ("_celsius", "°C"), ("_volts", "V"), ("_joules", "J")];
    let base = base.into_iter().find(|(end, _)| name.ends_with(end)).map_or("", |(_, unit)| unit);
    match of {
        SeriesFigure::Rate { per: Some(_) } => base.to_owned(),
        // Seconds per second are a number: processors, if it is processor time.
        SeriesFigure::Rate { per: None } if base == "s" => String::new(),
        SeriesFigure::Rate { per: None } if base.is_empty() => "1/s".to_owned(),
        SeriesFigure::Rate { per: None } => format!("{base}/s"),
        _ => base.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_follow_from_names() {
        let rate = SeriesFigure::Rate { per: None };
        assert_eq!(unit("http_requests_total{code=\"200\"}", &rate), "1/s");
        assert_eq!(unit("sent_bytes_total", &rate), "B/s");
        assert_eq!(unit("process_cpu_seconds_total", &rate), "");
        let per = SeriesFigure::Rate { per: Some("request_duration_seconds_count".to_owned()) };
        assert_eq!(unit("request_duration_seconds_sum", &per), "s");
        assert_eq!(unit("process_resident_memory_bytes", &SeriesFigure::Mean(Combining::Sum)), "B");
        assert_eq!(unit("queue", &SeriesFigure::Last(Combining::Sum)), "");
    }
}
