//! Sources that are followed while the load runs, and the figures that are made of their rows.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{ControlPort, Template, template};
use vocabulary::{Interest, NamedMetric, Quantile};

/// Names of columns that every tap has; no field is called so.
pub const COLUMNS: [&str; 3] = ["at_ns", "replica", "join_key"];

/// The metric that every tap has that is joined: rows without a partner.
pub const UNJOINED: &str = "unjoined";

/// A source that is followed.
#[derive(Clone, Debug, Serialize)]
pub struct Tap {
    /// The name under which its rows and metrics are found in results.
    pub name: String,
    /// What is followed.
    pub source: TapSource,
    /// A line that it matches is a row; empty for a control port, of which each event is one.
    pub regex: String,
    /// The named groups of `regex`, in their order, or what is known of events.
    pub fields: Vec<TapField>,
    /// With what its rows are joined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join: Option<TapJoin>,
    /// What is made of the rows.
    pub metrics: Vec<TapMetric>,
    /// Whether a repetition is invalid in which the source ends early or lines are lost.
    pub required: bool,
}

/// What is followed.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TapSource {
    /// What all replicas of a target write, to both of their outputs.
    Log(String),
    /// A file.
    File(Template),
    /// A server that speaks in lines.
    Tcp {
        /// `host:port`.
        address: Template,
        /// Lines that are sent first, without their ends.
        send: Vec<Template>,
    },
    /// What Tor tells at its control port. Rows are its events, whose fields are [`crate::control::FIELDS`].
    Control {
        /// Where.
        #[serde(flatten)]
        port: ControlPort,
        /// Which events.
        events: Vec<String>,
    },
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
            Self::Command { argv, .. } => write!(f, "output of `{}`", template::words(argv)),
        }
    }
}

/// A field of the rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TapField {
    /// The name of the group, and of the column.
    pub name: String,
    /// What it is.
    pub kind: FieldKind,
}

/// What a field is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FieldKind {
    /// As it was written.
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
    /// Whether it is an instant by the clock of whoever wrote the line.
    pub fn is_time(&self) -> bool {
        matches!(self, Self::Unix | Self::UnixMs | Self::Time(_))
    }
}

/// With what the rows of a tap are joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TapJoin {
    /// The workload whose requests have the same keys.
    pub workload: String,
    /// The field that is the key.
    pub key: String,
}

/// A figure that is made of the rows of a tap in a phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TapMetric {
    /// What it is called in results, graphs and expectations.
    pub name: String,
    /// What it is made of.
    pub figure: TapFigure,
    /// By what it is divided: of a time, the nanoseconds of its unit; 1 otherwise.
    pub per: f64,
    /// By what it is multiplied.
    pub times: f64,
    /// Its unit; empty for plain numbers.
    pub unit: String,
}

impl TapMetric {
    /// What is told of it in a plan.
    pub fn named(&self) -> NamedMetric {
        NamedMetric::new(&self.name, &self.unit, Interest::Question)
    }
}

/// What a figure of a tap is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TapFigure {
    /// How many rows there are.
    Count,
    /// How many there are per second.
    Rate,
    /// The time between neighbouring rows.
    Gap {
        /// Which point of its distribution.
        at: Quantile,
        /// The field by which neighbours are told apart.
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
        /// Which point of its distribution.
        at: Quantile,
    },
    /// The time from the row to an instant.
    Until {
        /// The instant.
        moment: Moment,
        /// Which point of its distribution.
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
}

impl TapFigure {
    /// The instant with which rows are joined, if they are.
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
            Self::Between { from, to, by, at } => {
                let words = |values: &BTreeMap<String, String>| values.values().cloned().collect::<Vec<_>>().join(" ");
                write!(f, "{} of the time from {} to {}", point(at), words(from), words(to))?;
                by.as_ref().map_or(Ok(()), |by| write!(f, " of one `{by}`"))
            }
        }
    }
}

/// An instant of what has the same key as a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moment {
    /// When the request was meant to be sent.
    Intended,
    /// When it was sent.
    Sent,
    /// When the first byte of its answer came.
    FirstByte,
    /// When its answer was complete.
    Completed,
    /// When the first row of another tap with this key was read.
    Tap(String),
}

impl Moment {
    /// Those of a request, with their names.
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
