//! Sources that are followed while the load runs, and the figures computed from their rows.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{ControlPort, Scrape, SeriesFigure, Template, template};
use vocabulary::{Interest, NamedMetric, Quantile};

/// Names of columns that every tap has; no field may have these names.
pub const COLUMNS: [&str; 3] = ["at_ns", "replica", "join_key"];

/// The metric of every joined tap: rows without a partner.
pub const UNJOINED: &str = "unjoined";

/// A source that is followed.
#[derive(Clone, Debug, Serialize)]
pub struct Tap {
    /// The name under which its rows and metrics are found in results.
    pub name: String,
    /// The role of the machine on which it is followed; none: the machine of the run itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
    /// What is followed.
    pub source: TapSource,
    /// A line that matches is a row; empty for a control port, where each event is a row.
    pub regex: String,
    /// The named groups of `regex`, in their order, or the fields of events.
    pub fields: Vec<TapField>,
    /// The workload with which its rows are joined, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join: Option<TapJoin>,
    /// The figures computed from the rows.
    pub metrics: Vec<TapMetric>,
    /// Whether a repetition is invalid if the source ends early or lines are lost.
    pub required: bool,
}

/// What is followed.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TapSource {
    /// The output of all replicas of a target, standard output and standard error.
    Log(String),
    /// A file.
    File(Template),
    /// A server that sends lines.
    Tcp {
        /// `host:port`.
        address: Template,
        /// Lines that are sent first, without their ends.
        send: Vec<Template>,
    },
    /// The events of Tor at its control port. Rows are events, whose fields are [`crate::control::FIELDS`].
    Control {
        /// Where.
        #[serde(flatten)]
        port: ControlPort,
        /// Which events.
        events: Vec<String>,
    },
    /// A page that is fetched again and again. Rows are values of series, whose fields are [`crate::scrape::FIELDS`].
    Scrape(Box<Scrape>),
    /// The output of a command.
    Command {
        /// Program and arguments.
        argv: Vec<Template>,
        /// Environment variables to add.
        env: Vec<(String, Template)>,
        /// Working directory.
        dir: Option<Template>,
    },
}

impl fmt::Display for TapSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(target) => write!(f, "log of {target}"),
            Self::File(path) => write!(f, "file {}", path.to_text()),
            Self::Tcp { address, .. } => write!(f, "lines from {}", address.to_text()),
            Self::Control { port, events } => {
                write!(f, "{} from Tor's control port {}", events.join(", "), port.address.to_text())
            }
            Self::Scrape(scrape) => scrape.fmt(f),
            Self::Command { argv, .. } => write!(f, "output of `{}`", template::words(argv)),
        }
    }
}

/// A field of the rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TapField {
    /// The name of the group, and of the column.
    pub name: String,
    /// Its type.
    pub kind: FieldKind,
}

/// The type of a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FieldKind {
    /// The text as it was written.
    Text,
    /// A number.
    Number,
    /// An instant in seconds since 1970.
    Unix,
    /// An instant in milliseconds since 1970.
    UnixMs,
    /// An instant in a format of `strftime`.
    Time(String),
}

impl FieldKind {
    /// Whether it is an instant by the clock of the program that wrote the line.
    pub fn is_time(&self) -> bool {
        matches!(self, Self::Unix | Self::UnixMs | Self::Time(_))
    }
}

/// How the rows of a tap are joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TapJoin {
    /// The workload whose requests have the same keys.
    pub workload: String,
    /// The field that is the key.
    pub key: String,
}

/// A figure computed from the rows of a tap in a phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TapMetric {
    /// Its name in results, graphs and expectations.
    pub name: String,
    /// How it is computed.
    pub figure: TapFigure,
    /// The divisor: for a time, the nanoseconds of its unit; 1 otherwise.
    pub per: f64,
    /// The factor by which it is multiplied.
    pub times: f64,
    /// Its unit; empty for plain numbers.
    pub unit: String,
}

impl TapMetric {
    /// Its description in a plan.
    pub fn named(&self) -> NamedMetric {
        NamedMetric::new(&self.name, &self.unit, Interest::Question)
    }
}

/// How a figure of a tap is computed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TapFigure {
    /// The number of rows.
    Count,
    /// The number of rows per second.
    Rate,
    /// The time between neighbouring rows.
    Gap {
        /// The point of its distribution.
        at: Quantile,
        /// The field whose equal values make rows neighbours.
        by: Option<String>,
    },
    /// The sum of a field.
    Sum(String),
    /// The mean of a field.
    Mean(String),
    /// The largest value of a field.
    Max(String),
    /// The time from an instant to the row.
    Since {
        /// The instant.
        moment: Moment,
        /// The point of its distribution.
        at: Quantile,
    },
    /// The time from the row to an instant.
    Until {
        /// The instant.
        moment: Moment,
        /// The point of its distribution.
        at: Quantile,
    },
    /// The time from a row to the next one of another kind.
    Between {
        /// Fields of the first row, and their values.
        from: BTreeMap<String, String>,
        /// Those of the second.
        to: BTreeMap<String, String>,
        /// The field that is the same in both.
        by: Option<String>,
        /// Which point of its distribution.
        at: Quantile,
    },
    /// A figure of scraped series.
    Series {
        /// The selector of the series, as it stands in their rows.
        selector: String,
        /// How it is made of their values.
        of: SeriesFigure,
    },
}

impl TapFigure {
    /// The instant that is joined with rows, if any.
    pub fn moment(&self) -> Option<&Moment> {
        match self {
            Self::Since { moment, .. } | Self::Until { moment, .. } => Some(moment),
            _ => None,
        }
    }

    /// The fields of which it is made.
    pub fn fields(&self) -> Vec<&str> {
        match self {
            Self::Sum(field) | Self::Mean(field) | Self::Max(field) => vec![field],
            Self::Gap { by, .. } => by.iter().map(String::as_str).collect(),
            Self::Between { from, to, by, .. } => from.keys().chain(to.keys()).chain(by).map(String::as_str).collect(),
            Self::Series { .. } => vec!["selector", "series", "le", "value"],
            Self::Count | Self::Rate | Self::Since { .. } | Self::Until { .. } => Vec::new(),
        }
    }
}

impl fmt::Display for TapFigure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let point = |at: &Quantile| Quantile::ALL.iter().find(|(.., q)| q == at).map_or("", |(name, ..)| name);
        match self {
            Self::Count => f.write_str("number of rows"),
            Self::Rate => f.write_str("rows per second"),
            Self::Gap { at, by: None } => write!(f, "{} of the time between rows", point(at)),
            Self::Gap { at, by: Some(by) } => write!(f, "{} of the time between rows of one `{by}`", point(at)),
            Self::Sum(field) => write!(f, "sum of `{field}`"),
            Self::Mean(field) => write!(f, "mean of `{field}`"),
            Self::Max(field) => write!(f, "largest `{field}`"),
            Self::Since { moment, at } => write!(f, "{} of the time since {moment}", point(at)),
            Self::Until { moment, at } => write!(f, "{} of the time until {moment}", point(at)),
            Self::Series { selector, of } => f.write_str(&of.words(selector)),
            Self::Between { from, to, by, at } => {
                let words = |values: &BTreeMap<String, String>| values.values().cloned().collect::<Vec<_>>().join(" ");
                write!(f, "{} of the time from {} to {}", point(at), words(from), words(to))?;
                by.as_ref().map_or(Ok(()), |by| write!(f, " of one `{by}`"))
            }
        }
    }
}

/// An instant of a request or another tap's row with the same key as a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moment {
    /// The intended start of the request.
    Intended,
    /// When it was sent.
    Sent,
    /// When the first byte of its answer arrived.
    FirstByte,
    /// When its answer was complete.
    Completed,
    /// When the first row of another tap with this key was read.
    Tap(String),
}

impl Moment {
    /// The instants of a request, with their names.
    pub const OF_REQUESTS: [(&'static str, Self); 4] =
        [("intended", Self::Intended), ("sent", Self::Sent), ("first-byte", Self::FirstByte), ("completed", Self::Completed)];
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tap(name) => write!(f, "the row of {name}"),
            own => f.write_str(Self::OF_REQUESTS.iter().find(|(_, moment)| moment == own).map_or("", |(name, _)| name)),
        }
    }
}
