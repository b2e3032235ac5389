//! Pages of figures that are fetched again and again while a load runs. A scrape is a tap whose rows are the values of series, so
//! it is recorded, read and drawn as taps are.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::tls::Tls;
use super::{Template, Url};
use vocabulary::Quantile;

/// The columns of the rows, besides those of every tap: name, and whether it is a number.
pub const FIELDS: [(&str, bool); 6] =
    [("selector", false), ("series", false), ("kind", false), ("unit", false), ("le", true), ("value", true)];

/// The series that each scrape adds on its own: 1, or 0 if it failed.
pub const UP: &str = "up";
/// The series that each scrape adds on its own: how long it took.
pub const TOOK: &str = "scrape_duration_seconds";

/// What is fetched, how often, and what of it is kept.
#[derive(Clone, Debug, Serialize)]
pub struct Scrape {
    /// What the page is written in.
    pub form: PageForm,
    /// Where it is.
    pub from: PageSource,
    /// The time between the starts of two scrapes.
    pub every: Duration,
    /// How long one may take.
    pub timeout: Duration,
    /// The largest page, in bytes.
    pub limit_bytes: u64,
    /// Headers of the requests.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, Template)>,
    /// How TLS is spoken, with `https://`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Which series are kept, each selector once.
    pub selectors: Vec<SeriesSelector>,
}

/// What a page is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PageForm {
    /// Prometheus's text format, or OpenMetrics.
    Prometheus,
    /// JSON, of which pointers are read.
    Json,
    /// haproxy's statistics as CSV.
    Haproxy,
    /// nginx's `stub_status`.
    Nginx,
}

impl PageForm {
    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prometheus => "Prometheus or OpenMetrics",
            Self::Json => "JSON",
            Self::Haproxy => "haproxy's statistics",
            Self::Nginx => "nginx's stub_status",
        }
    }
}

/// Where a page is.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PageSource {
    /// A URL.
    Url {
        /// The server.
        url: Url,
        /// The path, with what is behind it.
        path: Template,
    },
    /// haproxy's stats socket: a path, or `host:port`.
    Socket(Template),
}

impl fmt::Display for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let every = vocabulary::units::exact_duration(self.every);
        match &self.from {
            PageSource::Url { url, path } => write!(f, "{} from {url}{}, every {every}", self.form.name(), path.to_text()),
            PageSource::Socket(socket) => write!(f, "{} from {}, every {every}", self.form.name(), socket.to_text()),
        }
    }
}

/// Which series are meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SeriesSelector {
    /// As it was typed; empty for all series.
    pub text: String,
    /// The name of the series, or the pointer into JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What their labels must be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<LabelRule>,
    /// Whether a histogram of this name is meant: its buckets, its sum and its count.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_histogram: bool,
}

/// What a label must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LabelRule {
    /// Its name; `__name__` is the name of the series.
    pub label: String,
    /// How it is compared.
    pub how: Comparing,
    /// With what: a text, or a regular expression that must match the whole value.
    pub value: String,
}

/// How a label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Comparing {
    /// It is this text.
    Is,
    /// It is not this text.
    IsNot,
    /// The expression matches.
    Matches,
    /// The expression does not match.
    MatchesNot,
}

/// How a figure is made of the values of series in a phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SeriesFigure {
    /// The increase of counters per second, or per increase of the counters with this selector.
    Rate {
        /// The selector of the divisor.
        per: Option<String>,
    },
    /// The increase of counters.
    Increase,
    /// The mean of gauges.
    Mean(Combining),
    /// Their largest value.
    Max(Combining),
    /// Their smallest value.
    Min(Combining),
    /// Their last value.
    Last(Combining),
    /// A point of a histogram.
    Histogram(Quantile),
}

/// How the series of one scrape become one value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Combining {
    /// They are added up.
    #[default]
    Sum,
    /// Their mean.
    Mean,
    /// The largest.
    Max,
    /// The smallest.
    Min,
}

impl Combining {
    /// All of them, with their names.
    pub const ALL: [(&'static str, Self); 4] = [("sum", Self::Sum), ("mean", Self::Mean), ("max", Self::Max), ("min", Self::Min)];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, one)| *one == self).map_or("", |(name, _)| name)
    }
}

impl SeriesFigure {
    /// Its words in a plan, for the series of a selector.
    pub fn words(&self, selector: &str) -> String {
        let gauge = |what: &str, over: &Combining| match over {
            Combining::Sum => format!("{what} of `{selector}`"),
            other => format!("{what} of the {} of `{selector}`", other.name()),
        };
        match self {
            Self::Rate { per: None } => format!("increase of `{selector}` per second"),
            Self::Rate { per: Some(per) } => format!("increase of `{selector}` per increase of `{per}`"),
            Self::Increase => format!("increase of `{selector}`"),
            Self::Mean(over) => gauge("mean", over),
            Self::Max(over) => gauge("largest value", over),
            Self::Min(over) => gauge("smallest value", over),
            Self::Last(over) => gauge("last value", over),
            Self::Histogram(at) => {
                let point = Quantile::ALL.iter().find(|(.., q)| q == at).map_or("", |(name, ..)| name);
                format!("{point} of the histogram `{selector}`")
            }
        }
    }
}
