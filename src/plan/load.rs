//! Workloads as they will run: what carries them, and how their passes arrive.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::framed::Framed;
use super::taken::TakenMetric;
use super::vtp::{ARRIVAL, Author, STAGES, Subscriber};
use super::{Draw, Step, Template, Url, as_text};
pub use crate::schema::types::Spacing;

/// Requests and how they arrive.
#[derive(Clone, Debug, Serialize)]
pub struct Workload {
    /// Its name.
    pub name: String,
    /// What carries it.
    pub driver: Driver,
    /// How passes arrive.
    pub load: Load,
    /// Generator threads.
    pub threads: u32,
    /// Processors on which they, or the command, may run; all when empty.
    pub cpus: Vec<u32>,
    /// Programs that it needs.
    pub needs: Vec<String>,
}

impl Workload {
    /// Names of the figures that it brings beside times and counts, in the order in which they are recorded.
    pub fn metrics(&self) -> Vec<String> {
        match &self.driver {
            Driver::Command(command) => {
                let own = command.metrics.iter().map(|m| m.name.clone());
                own.chain(super::workloads::COMMAND_METRICS.map(str::to_owned)).collect()
            }
            Driver::Subscriber(_) => super::vtp::ARRIVAL_METRICS.map(str::to_owned).to_vec(),
            Driver::Http(_) | Driver::Framed(_) | Driver::Author(_) => Vec::new(),
        }
    }

    /// The outcomes to which it gives names, in the order of their numbers.
    pub fn outcomes(&self) -> Vec<String> {
        named_outcomes(self.driver.requests())
    }

    /// Host and port of whatever it connects to; of a command that is not known.
    pub fn addresses(&self) -> Vec<(&str, u16)> {
        match &self.driver {
            Driver::Http(http) => http.urls.iter().map(|u| (u.host.as_str(), u.port)).collect(),
            Driver::Framed(framed) => vec![(&framed.to.host, framed.to.port)],
            Driver::Author(author) => vec![(&author.to.host, author.to.port)],
            Driver::Subscriber(subscriber) => vec![(&subscriber.from.host, subscriber.from.port)],
            Driver::Command(_) => Vec::new(),
        }
    }

    /// How often a pass goes to the other side and back, at least.
    pub fn round_trips(&self) -> u32 {
        let once = |keep_alive: bool| u32::from(!keep_alive);
        match &self.driver {
            Driver::Http(http) => http.steps.len() as u32 + once(http.keep_alive),
            Driver::Framed(framed) => framed.steps.len() as u32 + once(framed.keep_alive),
            // To connect, and to be answered.
            Driver::Author(_) => 2,
            Driver::Subscriber(_) | Driver::Command(_) => 0,
        }
    }

    /// Whether it follows another workload instead of a schedule.
    pub fn is_follower(&self) -> bool {
        matches!(self.driver, Driver::Subscriber(_))
    }

    /// Names of the steps of a pass.
    pub fn steps(&self) -> Vec<String> {
        match &self.driver {
            Driver::Http(http) => http.steps.iter().map(|s| s.name.clone()).collect(),
            Driver::Framed(framed) => framed.steps.iter().map(|s| s.name.clone()).collect(),
            Driver::Author(_) => STAGES.map(str::to_owned).to_vec(),
            Driver::Subscriber(_) => vec![ARRIVAL.to_owned()],
            Driver::Command(_) => vec!["command".to_owned()],
        }
    }
}

/// The protocol that carries a workload.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Driver {
    /// HTTP/1.1 or HTTP/2.
    Http(Http),
    /// Messages over TCP.
    Framed(Framed),
    /// Events that are sent to a broker.
    Author(Author),
    /// Events that are received from one.
    Subscriber(Subscriber),
    /// A program that makes the load by itself.
    Command(Command),
}

impl Driver {
    /// The requests of a pass, where it consists of requests over HTTP.
    pub fn requests(&self) -> &[Step] {
        match self {
            Self::Http(http) => &http.steps,
            _ => &[],
        }
    }
}

/// The outcomes to which steps give names, each once.
pub fn named_outcomes(steps: &[Step]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for outcome in steps.iter().flat_map(|s| &s.outcomes) {
        if !names.contains(&outcome.name) {
            names.push(outcome.name.clone());
        }
    }
    names
}

/// A workload over HTTP.
#[derive(Clone, Debug, Serialize)]
pub struct Http {
    /// Where; connections are dealt out in turn.
    pub urls: Vec<Url>,
    /// A Unix socket to connect to instead.
    pub socket: Option<Template>,
    /// 1 (HTTP/1.1) or 2.
    pub version: u8,
    /// Requests at a time on one connection, with version 2.
    pub streams: u32,
    /// Whether a connection is used for more than one request.
    pub keep_alive: bool,
    /// How many redirects are followed.
    pub redirects: u32,
    /// Other origins to which a redirect may take what is secret.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trusted: Vec<Url>,
    /// Who may vouch for the server, with `https://`.
    pub trust: Trust,
    /// Values that are drawn for each pass.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub draws: Vec<Draw>,
    /// The requests of one pass.
    pub steps: Vec<Step>,
}

/// Whose word is taken for who the server is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// Those that the system trusts.
    #[default]
    System,
    /// Those whose certificates are in this file (PEM).
    Ca(PathBuf),
    /// Anybody's.
    Anybody,
}

/// A program that makes the load by itself; each pass is one execution.
#[derive(Clone, Debug, Serialize)]
pub struct Command {
    /// Program and arguments.
    pub argv: Vec<Template>,
    /// Environment variables to add.
    pub env: Vec<(String, Template)>,
    /// Working directory, if not the runner's.
    pub dir: Option<Template>,
    /// Exit codes that are right.
    pub exit: Vec<u8>,
    /// How long it may take.
    #[serde(serialize_with = "as_text")]
    pub timeout: Duration,
    /// What is taken from its output, in this order.
    pub metrics: Vec<TakenMetric>,
}

/// How passes arrive.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Load {
    /// What they follow.
    pub arrivals: Arrivals,
    /// What happens when, in order.
    pub stretches: Vec<Stretch>,
    /// How long passes that are under way at the end of the last phase, or waited to be sent, may still take. What is then
    /// not answered stays open.
    #[serde(serialize_with = "as_text")]
    pub drain: Duration,
    /// The search for a limit, of which this load is one trial.
    pub find: Option<Find>,
    /// Whether the windows before the steady state are taken for the warm-up, afterwards.
    pub auto_warm_up: bool,
}

/// Fewer windows than this show no steady state: a changepoint needs some on both sides.
pub const FEWEST_WINDOWS: u32 = 10;

/// A named stretch of a repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Phase {
    /// Recorded, marked, and left out of the statistics.
    WarmUp,
    /// Before what is of interest.
    Before,
    /// The measurement.
    During,
    /// After it.
    After,
    /// Behind the last one, while what is under way or has waited comes to its end; no pass begins in it.
    Drain,
    /// Trials of a search for a limit.
    Search,
}

impl Phase {
    /// All phases in the order of their numbers.
    pub const ALL: [Self; 6] = [Self::WarmUp, Self::Before, Self::During, Self::After, Self::Drain, Self::Search];
    /// Those in which passes begin, in the same order.
    pub const WITH_PASSES: [Self; 5] = [Self::WarmUp, Self::Before, Self::During, Self::After, Self::Search];

    /// The word in YAML, columns and graphs.
    pub fn name(self) -> &'static str {
        match self {
            Self::WarmUp => "warm-up",
            Self::Before => "before",
            Self::During => "during",
            Self::After => "after",
            Self::Drain => "drain",
            Self::Search => "search",
        }
    }
}

/// A phase of one workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Stretch {
    /// Which.
    pub phase: Phase,
    /// How long.
    pub limit: Limit,
    /// Whether passes begin in it.
    pub active: bool,
}

/// What arrivals follow.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arrivals {
    /// Completions: each connection begins a pass when its last one has ended.
    Closed {
        /// Connections.
        connections: u32,
        /// What is waited between passes.
        think: Think,
        /// From the first connection's begin to the last one's.
        #[serde(serialize_with = "as_text")]
        ramp: Duration,
    },
    /// A schedule.
    Open {
        /// The most passes at a time.
        connections: u32,
        /// How many passes when.
        pattern: Pattern,
        /// How they are spaced.
        spacing: Spacing,
    },
}

impl Arrivals {
    /// A closed loop without think time.
    pub fn closed(connections: u32) -> Self {
        Self::Closed { connections, think: Think::None, ramp: Duration::ZERO }
    }

    /// The most passes at a time.
    pub fn connections(&self) -> u32 {
        match self {
            Self::Closed { connections, .. } | Self::Open { connections, .. } => *connections,
        }
    }
}

/// What a connection waits from the end of a pass to the begin of the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Think {
    /// Nothing.
    None,
    /// Always this long.
    #[serde(serialize_with = "as_text")]
    Constant(Duration),
    /// Exponentially distributed with this mean.
    #[serde(serialize_with = "as_text")]
    Exponential(Duration),
}

/// How many passes when, in passes per second.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pattern {
    /// Always as many.
    Rate(f64),
    /// Steadily more or less, over all that is not warm-up.
    Ramp {
        /// At the begin; also during warm-up.
        from: f64,
        /// At the end.
        to: f64,
    },
    /// One rate after the other; the first one also during warm-up.
    Steps {
        /// The rates.
        rates: Vec<f64>,
        /// How long each holds.
        #[serde(serialize_with = "as_text")]
        each: Duration,
        /// In an order that the seed draws.
        shuffled: bool,
    },
    /// One pass in each such time.
    Periodic {
        /// The time.
        #[serde(serialize_with = "as_text")]
        every: Duration,
        /// Each pass is late by a random part of this.
        #[serde(serialize_with = "as_text")]
        jitter: Duration,
    },
}

/// How many or how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// So many passes.
    Amount(u64),
    /// So long.
    #[serde(serialize_with = "as_text")]
    Duration(Duration),
}

/// The search for the highest rate that holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Find {
    /// The lowest rate, per second.
    pub low: f64,
    /// The highest rate.
    pub high: f64,
    /// How long each rate is tried.
    #[serde(serialize_with = "as_text")]
    pub trial: Duration,
    /// The search ends when what fails is within this share of what holds.
    pub precision: f64,
    /// What must be true at a rate that holds.
    pub conditions: Vec<Condition>,
}

/// A figure that must stay below a bound.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Condition {
    /// Which.
    pub figure: super::Metric,
    /// Nanoseconds for times, a fraction of 1 for errors.
    pub below: f64,
    /// As it was typed, with its figure.
    pub words: String,
}
