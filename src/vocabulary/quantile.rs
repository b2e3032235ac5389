//! Times of a request, and the figures that describe their distribution.

use serde::{Deserialize, Serialize};

/// A time that is measured for every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Time {
    /// From the intended start to the end of the answer.
    Response,
    /// From sending to the end of the answer.
    Service,
    /// From the intended start to sending.
    Lag,
    /// Connecting, if that was needed.
    Connect,
    /// From sending to the first byte of the answer.
    FirstByte,
}

impl Time {
    /// All times with their words.
    pub const ALL: [(&'static str, Self); 5] = [
        ("response", Self::Response),
        ("service", Self::Service),
        ("lag", Self::Lag),
        ("connect", Self::Connect),
        ("first_byte", Self::FirstByte),
    ];

    /// The word for it in YAML and file names.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, t)| *t == self).map_or("", |(name, _)| name)
    }

    /// Its name for users.
    pub fn words(self) -> &'static str {
        match self {
            Self::Response => "response time",
            Self::Service => "service time",
            Self::Lag => "schedule lag",
            Self::Connect => "connect time",
            Self::FirstByte => "first-byte time",
        }
    }
}

/// A point of a distribution, its mean or its spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantile {
    /// The arithmetic mean.
    Mean,
    /// The standard deviation.
    Stdev,
    /// The first quartile: one of four is not above it.
    P25,
    /// The median.
    P50,
    /// The third quartile: three of four are not above it.
    P75,
    /// 90 of 100 values are not above it.
    P90,
    /// 95 of 100 values are not above it.
    P95,
    /// 99 of 100 values are not above it.
    P99,
    /// 999 of 1000 values are not above it.
    P999,
    /// The largest value.
    Max,
}

impl Quantile {
    /// All points, with their words in names of metrics, and with the words for users.
    pub const ALL: [(&'static str, &'static str, Self); 10] = [
        ("mean", "mean", Self::Mean),
        ("stdev", "standard deviation", Self::Stdev),
        ("p25", "p25", Self::P25),
        ("p50", "p50", Self::P50),
        ("p75", "p75", Self::P75),
        ("p90", "p90", Self::P90),
        ("p95", "p95", Self::P95),
        ("p99", "p99", Self::P99),
        ("p999", "p99.9", Self::P999),
        ("max", "max", Self::Max),
    ];

    /// The share of values that are not above the point; `None` for the mean and the spread.
    pub fn share(self) -> Option<f64> {
        match self {
            Self::Mean | Self::Stdev => None,
            Self::P25 => Some(0.25),
            Self::P50 => Some(0.5),
            Self::P75 => Some(0.75),
            Self::P90 => Some(0.9),
            Self::P95 => Some(0.95),
            Self::P99 => Some(0.99),
            Self::P999 => Some(0.999),
            Self::Max => Some(1.0),
        }
    }
}
