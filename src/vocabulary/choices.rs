//! Fixed choices of the scenario language that mean the same on every floor.

use schemars::JsonSchema;

/// The order in which repetitions are executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Round after round over all cells, each round shuffled from the seed, so that slow changes of the machine affect all cells
    /// alike.
    #[default]
    Interleaved,
    /// Round after round over all cells, each round in the order of the file.
    Rounds,
    /// All repetitions of a cell, then those of the next cell.
    Sequential,
}

/// How values are placed on an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Axis {
    /// Linear, from zero.
    Linear,
    /// Logarithmic: equal ratios are equal distances.
    Log,
}

/// How long a target lives: when it is started and stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Lifetime {
    /// Started in every repetition, and stopped at its end.
    #[default]
    Repetition,
    /// Started before the first of several consecutive repetitions of one cell, and stopped when a repetition of another cell
    /// follows.
    Cell,
    /// Started in the first repetition that needs it, and stopped at the end of the run.
    Run,
}

impl Lifetime {
    /// Whether the target ends with the repetition.
    pub fn is_repetition(&self) -> bool {
        *self == Self::Repetition
    }
}

/// The order in which rows of a file are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize, JsonSchema)]
pub enum RowOrder {
    /// In the order of the file, and again from its start.
    #[default]
    #[serde(rename = "in turn")]
    InTurn,
    /// In an order that is shuffled from the seed, and shuffled anew each time that all rows were drawn.
    #[serde(rename = "shuffled")]
    Shuffled,
    /// In the order of the file, each row at most once. When they have run out, the load ends early. The last row is for the
    /// checked pass.
    #[serde(rename = "unique")]
    Unique,
}

/// How often rows of a file are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DrawnPer {
    /// A row for each pass.
    #[default]
    Pass,
    /// A row for each user, which is kept as long as the load runs.
    User,
}

/// Whose cookies a workload keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cookies {
    /// Nobody's: `set-cookie` is a header like any other.
    #[default]
    None,
    /// Each pass starts without cookies, and forgets its own at its end.
    Pass,
    /// Each user has cookies, which last as long as the load runs.
    User,
}

impl Cookies {
    /// Whether no cookies are kept.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// A resource whose use by processes is limited; see setrlimit(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Resource {
    OpenFiles,
    Processes,
    MemoryLocked,
    AddressSpace,
    Data,
    Stack,
    Core,
    FileSize,
}

impl Resource {
    /// The name of the resource in a scenario.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenFiles => "open-files",
            Self::Processes => "processes",
            Self::MemoryLocked => "memory-locked",
            Self::AddressSpace => "address-space",
            Self::Data => "data",
            Self::Stack => "stack",
            Self::Core => "core",
            Self::FileSize => "file-size",
        }
    }
}

/// How a link is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LinkMechanism {
    /// The first of `netem`, `nfqueue` and `relay` that works on this machine.
    #[default]
    Auto,
    /// Network namespaces and the kernel's own emulation (`tc netem`). Needs root and a kernel with `sch_netem`.
    Netem,
    /// Network namespaces and a process that holds packets back, for kernels without `sch_netem`. Needs root.
    Nfqueue,
    /// A process between TCP connections. It needs no privileges and loses nothing.
    Relay,
}

/// A signal that asks a process to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs)]
pub enum Signal {
    #[default]
    Term,
    Int,
    Quit,
    Hup,
    Usr1,
    Usr2,
    Kill,
}

/// How arrivals are spaced at a rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Spacing {
    /// Evenly.
    #[default]
    Constant,
    /// Independent of each other, such as those of many users: exponential gaps.
    Poisson,
    /// Like the keystrokes of a person typing: log-normal gaps, longer between words, and pauses.
    Typed,
}

/// Who has a schedule of arrivals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Per {
    /// Each connection has its own.
    Connection,
}

/// What gets its own user name at a proxy, so that it is isolated from the rest. Tor never lets two user names share a circuit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Isolate {
    /// Nothing.
    #[default]
    None,
    /// Each pass, which then has its own connection.
    Pass,
    /// Each connection.
    Connection,
}

/// The order of the bytes of a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ByteOrder {
    /// The most significant byte first, as in network protocols.
    #[default]
    Big,
    /// The least significant byte first.
    Little,
}

/// The mark before the decimals of a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Decimal {
    /// `1234.5` and `1,234.5`.
    #[default]
    Point,
    /// `1234,5` and `1.234,5`.
    Comma,
}

/// One figure computed from several values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Pick {
    /// The first.
    First,
    /// The last.
    #[default]
    Last,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// Their arithmetic mean.
    Mean,
    /// Their sum.
    Sum,
    /// The number of values.
    Count,
}

impl Decimal {
    /// Whether this is the default.
    #[allow(clippy::trivially_copy_pass_by_ref)]
    pub fn is_point(&self) -> bool {
        *self == Self::Point
    }

    /// The mark that separates thousands with this decimal mark.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Point => Self::Comma,
            Self::Comma => Self::Point,
        }
    }
}

impl Pick {
    /// The word in YAML.
    pub fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Last => "last",
            Self::Min => "min",
            Self::Max => "max",
            Self::Mean => "mean",
            Self::Sum => "sum",
            Self::Count => "count",
        }
    }
}

impl LinkMechanism {
    /// The word in YAML, columns and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Netem => "netem",
            Self::Nfqueue => "nfqueue",
            Self::Relay => "relay",
        }
    }
}

/// The accepted difference between two counts of requests.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Allowed {
    /// This many requests, whatever their share.
    Count(u64),
    /// This share of the sent requests.
    Share(f64),
}
