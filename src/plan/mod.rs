//! The experiment as it will run: defaults filled, expressions evaluated, cells expanded, seeds fixed.
//!
//! Only this module reads `schema`; nothing behind it re-checks. `build` makes a [`Plan`] or the list of
//! all mistakes. What is still open in a plan are the late names of a [`Template`]: `${scratch}` and
//! `${repetition}` until a repetition starts, `${id}` and carried values until a request is made.
//! What revisions mean is asked of `git` here; nothing is checked out.

pub mod actions;
pub mod arrivals;
pub mod build;
pub mod cache;
pub mod collect;
pub mod containers;
pub mod environment;
pub mod expectations;
pub mod expr;
pub mod factors;
pub mod framed;
pub mod git;
pub mod graphs;
pub mod links;
pub mod load;
pub mod order;
pub mod outcome;
mod pen;
pub mod programs;
#[cfg(test)]
mod properties;
pub mod reconcile;
pub mod revisions;
pub mod secrets;
mod start;
pub mod taken;
pub mod targets;
pub mod vtp;
pub mod workloads;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use crate::schema::types::{Order, Record, Resource, Scratch, Signal};
pub use build::{Document, Options, build};
pub use cache::Cache;
pub use collect::{Collect, CollectSource};
pub use expectations::{Expectation, Subject};
pub use expr::{Part, Template};
pub use factors::{Factor, Level};
pub use graphs::{Graph, Metric, Model, Quantile, Shape};
pub use links::Link;
pub use load::{
    Arrivals, Command, Condition, Driver, Find, Http, Limit, Load, Pattern, Phase, Spacing, Stretch, Think, Trust, Workload,
};

pub use outcome::Outcome;
pub use reconcile::Reconcile;
pub use revisions::{Checkout, Revisions};
pub use secrets::{Auth, Secrets};
pub use start::Start;
pub use taken::{Decimal, MetricSource, Pick, TableSource, TakenMetric};

/// An experiment, ready to be executed.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// Name of the experiment.
    pub experiment: String,
    /// The question that it answers.
    pub question: String,
    /// The file from which it was read.
    pub source: PathBuf,
    /// The file's text, as typed.
    #[serde(skip)]
    pub text: String,
    /// Seed of everything random.
    pub seed: u64,
    /// Order of the repetitions.
    pub order: Order,
    /// Where scratch directories are made.
    pub scratch: Scratch,
    /// Repetitions of each cell.
    pub repetitions: u32,
    /// Length of the windows in which requests are counted.
    #[serde(serialize_with = "as_text")]
    pub window: Duration,
    /// Beyond which a repetition is invalid.
    pub limits: Limits,
    /// What is recorded beside the windows.
    pub record: Record,
    /// Environment variables that the scenario reads: `***` for a secret, none where it is not set.
    pub environment: BTreeMap<String, Option<String>>,
    /// Their secret values.
    #[serde(skip)]
    pub secrets: Secrets,
    /// All factors with the levels chosen.
    pub factors: Vec<Factor>,
    /// What is done once, before and after everything else.
    pub set_up: Vec<Action>,
    /// What is done once, at the end.
    pub clean_up: Vec<Action>,
    /// The cells, in the order of the file.
    pub cells: Vec<Cell>,
    /// The pictures.
    pub graphs: Vec<Graph>,
    /// What must hold.
    pub expect: Vec<Expectation>,
    /// The metric that is the question, where the scenario names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary: Option<Metric>,
    /// How long repeating goes on, where it was asked for.
    pub repeat: Option<Repeat>,
}

impl Plan {
    /// The experiment with its question, where it has one.
    pub fn title(&self) -> String {
        match self.question.as_str() {
            "" => self.experiment.clone(),
            question => format!("{}: {question}", self.experiment),
        }
    }

    /// The revisions that its cells need, each once.
    pub fn checkouts(&self) -> Vec<&Checkout> {
        let mut found: Vec<&Checkout> = Vec::new();
        let steps = self.cells.iter().filter(|c| c.skipped.is_none()).flat_map(|c| &c.set_up.cell);
        for checkout in steps.filter_map(Action::checkout) {
            if !found.contains(&checkout) {
                found.push(checkout);
            }
        }
        found
    }
}

/// How long `repeat` goes on. `repetitions` of the plan is the most.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Repeat {
    /// The metric whose stability is in question.
    pub metric: Metric,
    /// Until the mean of every cell is known to so much: half of its interval's width, as a share of it.
    pub until: Option<f64>,
    /// Not before so many repetitions of each cell.
    pub least: u32,
    /// No new round when this time is used up, in seconds.
    pub budget_s: Option<f64>,
    /// Until each level of a factor is told from its baseline, or both are the same within a threshold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decide: Option<Decide>,
}

/// What is to be decided by repeating.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decide {
    /// The factor whose levels are compared.
    pub by: String,
    /// The level with which the others are.
    pub baseline: String,
    /// A difference that is smaller does not matter, as a share.
    pub threshold: f64,
}

impl Repeat {
    /// Whether it is not known beforehand how many rounds there will be.
    pub fn is_open_ended(&self) -> bool {
        self.until.is_some() || self.budget_s.is_some() || self.decide.is_some()
    }
}

/// Limits beyond which a repetition is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Limits {
    /// Processor time of a generator thread per time.
    pub generator_cpu: f64,
    /// Share of what was asked of a workload in a phase that may be answered wrongly or not at all.
    pub errors: f64,
    /// Share of a phase in which nobody was answered rightly while passes were due.
    pub silence: f64,
    /// Share of the time on connections that long passes held which were open at the end.
    pub open: f64,
    /// Share of the processors' time that the hypervisor may take.
    pub host_steal: Option<f64>,
    /// Share of the processors' time that programs outside of the experiment may use.
    pub host_load: Option<f64>,
    /// Whether every measurement must become steady.
    pub steady_state: bool,
    /// 99th percentile of the schedule lag of an open loop.
    #[serde(serialize_with = "as_text_too")]
    pub lag_p99: Option<Duration>,
    /// Share of the load's time in which some task may be ready and have no core.
    pub host_pressure_cpu: Option<f64>,
    /// Share of it in which all tasks may wait for memory.
    pub host_pressure_memory: f64,
    /// Share of it in which all tasks may wait for storage.
    pub host_pressure_io: Option<f64>,
    /// The least frequency of working cores, as a share of their highest.
    pub host_frequency: Option<f64>,
    /// How often cores and packages may be throttled; any number of times when there is none.
    pub host_throttled: Option<u64>,
    /// Share by which a server's count of requests may differ from what was sent.
    pub reconcile: f64,
}

#[allow(clippy::ref_option)]
fn as_text_too<S: serde::Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => as_text(duration, serializer),
        None => serializer.serialize_none(),
    }
}

fn as_text<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&crate::units::exact_duration(*duration))
}

/// The name of a cell: its levels, `processes=2,proxy=builtin`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct CellId(pub String);

impl fmt::Display for CellId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One level chosen per factor, and what that means.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// Its name.
    pub id: CellId,
    /// Factor and label of the level, in the order of the file.
    pub levels: Vec<(String, String)>,
    /// Its folder below `cells/`.
    pub path: PathBuf,
    /// Why it is not executed on this machine.
    pub skipped: Option<String>,
    /// Targets in the order in which they are started.
    pub targets: Vec<Target>,
    /// What is emulated between them, and between them and the load.
    pub links: Vec<Link>,
    /// The load.
    pub workloads: Vec<Workload>,
    /// What is collected after the load.
    pub collect: Vec<Collect>,
    /// Steps before.
    pub set_up: Steps,
    /// Steps afterwards.
    pub clean_up: Steps,
    /// What servers count, to be held against what was sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reconcile: Vec<Reconcile>,
}

impl Cell {
    /// Connections of all its workloads together.
    pub fn connections(&self) -> u64 {
        self.workloads.iter().map(|w| u64::from(w.load.arrivals.connections())).sum()
    }
}

/// Set-up or clean-up steps of a cell.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Steps {
    /// Once per cell.
    pub cell: Vec<Action>,
    /// Per repetition, without targets.
    pub repetition: Vec<Action>,
    /// Per repetition, while the targets run.
    pub load: Vec<Action>,
}

/// Something under test or around it.
#[derive(Clone, Debug, Serialize)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Its processes; one without a command line when it already runs elsewhere.
    pub replicas: Vec<Replica>,
    /// Names of the targets that must be ready before.
    pub after: Vec<String>,
    /// How long a replica may take to become ready.
    #[serde(serialize_with = "as_text")]
    pub ready_timeout: Duration,
    /// The first signal at the end.
    pub stop_signal: Signal,
    /// How long it may take to end before it is killed.
    #[serde(serialize_with = "as_text")]
    pub stop_grace: Duration,
    /// Programs that it needs.
    pub needs: Vec<String>,
    /// Soft limits of resources that differ from those of the shell; none: unlimited.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rlimits: Vec<(Resource, Option<u64>)>,
}

impl Target {
    /// Whether runner starts it.
    pub fn is_started(&self) -> bool {
        self.replicas.iter().any(|r| r.start.is_started())
    }
}

/// One process of a target.
#[derive(Clone, Debug, Serialize)]
pub struct Replica {
    /// Its number, from 1.
    pub number: u32,
    /// What starts it.
    pub start: Start,
    /// Environment variables to add.
    pub env: Vec<(String, Template)>,
    /// Working directory, if not the runner's.
    pub dir: Option<Template>,
    /// Ports on which it will listen, the main one first.
    pub ports: Vec<u16>,
    /// Files to make in the scratch directory.
    pub files: Vec<RenderedFile>,
    /// How to know that it is ready.
    pub ready: Probe,
    /// Processors on which it may run; all when empty.
    pub cpus: Vec<u32>,
}

/// A configuration file made from a template.
#[derive(Clone, Debug, Serialize)]
pub struct RenderedFile {
    /// Its name in the scratch directory.
    pub name: String,
    /// Its content.
    pub content: Template,
}

/// How to know that a replica is ready.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Probe {
    /// As soon as it is started.
    Started,
    /// This address accepts connections.
    Tcp {
        /// `host:port`
        address: String,
    },
    /// `GET` answers with a status below 400.
    Http {
        /// Where.
        url: Url,
    },
    /// A line of its output matches.
    Log {
        /// A regular expression.
        pattern: String,
    },
    /// A command ends with exit code 0.
    Command {
        /// Program and arguments.
        argv: Vec<Template>,
    },
}

/// An `http://` or `https://` address, taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Url {
    /// Whether it is `https://`.
    pub tls: bool,
    /// Host name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// What precedes every path, without a slash at its end; a path and query when it is a whole URL.
    pub path: String,
}

impl Url {
    /// Reads `http://host:port/path`.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (tls, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Err("expected `http://host:port` or `https://host:port`"),
        };
        let (authority, path) = rest.find('/').map_or((rest, ""), |i| rest.split_at(i));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().ok().filter(|p| *p > 0).ok_or("expected a port from 1 to 65535")?)
            }
            _ => (authority, if tls { 443 } else { 80 }),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '@') {
            return Err("expected `http://host:port`");
        }
        Ok(Self { tls, host: host.to_owned(), port, path: path.trim_end_matches('/').to_owned() })
    }

    /// Whether both have one origin: scheme, host and port (RFC 6454).
    pub fn same_origin(&self, other: &Self) -> bool {
        (self.tls, self.port) == (other.tls, other.port) && self.host.eq_ignore_ascii_case(&other.host)
    }

    /// `host:port`, with brackets where needed; also the `Host` header.
    pub fn authority(&self) -> String {
        if self.host.contains(':') { format!("[{}]:{}", self.host, self.port) } else { format!("{}:{}", self.host, self.port) }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http{}://{}{}", if self.tls { "s" } else { "" }, self.authority(), self.path)
    }
}

/// One request of a pass.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// Its name in results.
    pub name: String,
    /// `GET`, `PUT`, …
    pub method: String,
    /// Path and query.
    pub path: Template,
    /// Headers, names in lower case.
    pub headers: Vec<(String, Template)>,
    /// Who asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// What is sent.
    pub body: Body,
    /// What must come back.
    pub expect: Expect,
    /// Answers that are neither expected nor errors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outcomes: Vec<NamedOutcome>,
    /// What is kept for the steps behind.
    pub carry: Vec<Carry>,
    /// How long it may take.
    #[serde(serialize_with = "as_text")]
    pub timeout: Duration,
    /// What of it a secret went into; known from the names, before they are filled in.
    #[serde(skip)]
    pub secret: SecretParts,
}

/// The parts of a request that a secret went into: a redirect does not take them to another origin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretParts {
    /// Names of headers.
    pub headers: Vec<String>,
    /// Whether the body is one of them.
    pub body: bool,
}

/// An outcome to which the scenario gives a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamedOutcome {
    /// The name.
    pub name: String,
    /// The statuses that mean it.
    pub statuses: Vec<u16>,
}

/// A value that is drawn anew for each pass, evenly and from the seed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Draw {
    /// Its name in requests.
    pub name: String,
    /// Of what.
    pub of: Urn,
}

/// What values are drawn of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Urn {
    /// Whole numbers, both ends included.
    Range(u64, u64),
    /// Texts, at least one.
    List(Vec<String>),
}

impl Step {
    /// A request that says no more than what is asked, named after its method: no headers, no body, any 2xx.
    pub fn plain(method: &str, path: Template, timeout: Duration) -> Self {
        Self {
            name: method.to_ascii_lowercase(),
            method: method.to_ascii_uppercase(),
            path,
            headers: Vec::new(),
            auth: None,
            body: Body::Empty,
            expect: Expect::default(),
            outcomes: Vec::new(),
            carry: Vec::new(),
            timeout,
            secret: SecretParts::default(),
        }
    }

    /// Notes what a secret of `env` goes into, as long as its name can be seen.
    pub fn mark_secrets(&mut self) {
        // Variables that are no secrets have their values already.
        let is_secret = |text: &Template| text.names().any(|name| name.starts_with("env."));
        let headers = self.headers.iter().filter(|(_, value)| is_secret(value));
        let body = match &self.body {
            Body::Text(text) | Body::Json(text) => is_secret(text),
            Body::Empty | Body::File(_) | Body::Random(_) => false,
        };
        self.secret = SecretParts { headers: headers.map(|(name, _)| name.clone()).collect(), body };
    }

    /// The late names that it inserts, some of them several times.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let body = match &self.body {
            Body::Text(text) | Body::Json(text) => Some(text),
            _ => None,
        };
        let headers = self.headers.iter().map(|(_, value)| value);
        let expected = self.expect.text.iter().chain(&self.expect.contains);
        headers.chain([&self.path]).chain(body).chain(expected).flat_map(Template::names)
    }
}

/// A request body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Body {
    /// None.
    Empty,
    /// Text.
    Text(Template),
    /// JSON; what is inserted stands in its texts, and is escaped there.
    Json(Template),
    /// A file's content.
    File(PathBuf),
    /// So many random bytes.
    Random(u64),
}

/// What an answer must be.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Expect {
    /// One of these; any 2xx when empty.
    pub statuses: Vec<u16>,
    /// Length of the body.
    pub length: Option<u64>,
    /// The whole body.
    pub text: Option<Template>,
    /// Part of the body.
    pub contains: Option<Template>,
}

/// A value taken from an answer.
#[derive(Clone, Debug, Serialize)]
pub struct Carry {
    /// Its name in the steps behind.
    pub name: String,
    /// Where it stands.
    pub place: Place,
}

/// Where a carried value stands.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// A JSON pointer into the body.
    Json(String),
    /// A header, in lower case.
    Header(String),
    /// A regular expression on the body.
    Regex(String),
}

/// A command that is executed to its end.
#[derive(Clone, Debug, Serialize)]
pub struct Invocation {
    /// Program and arguments.
    pub argv: Vec<Template>,
    /// Working directory.
    pub dir: Option<Template>,
    /// Environment.
    pub env: Vec<(String, Template)>,
    /// How long it may take.
    #[serde(serialize_with = "as_text")]
    pub timeout: Duration,
}

/// A set-up or clean-up step.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// A command that must end with exit code 0.
    Command {
        /// What is executed.
        #[serde(flatten)]
        invocation: Invocation,
        /// What it makes is kept, and it is not executed again.
        #[serde(skip_serializing_if = "Option::is_none")]
        cache: Option<Cache>,
    },
    /// A request that must be answered as expected.
    Request {
        /// Where, without the path.
        url: Url,
        /// The request.
        step: Box<Step>,
        /// How often it is sent.
        times: u64,
    },
    /// A commit that must be there, built.
    Checkout(Box<Checkout>),
}

impl Action {
    /// What it makes and keeps, if it does.
    pub fn cache(&self) -> Option<&Cache> {
        match self {
            Self::Command { cache, .. } => cache.as_ref(),
            Self::Checkout(checkout) => Some(&checkout.cache),
            Self::Request { .. } => None,
        }
    }

    /// What it checks out, if it does.
    pub fn checkout(&self) -> Option<&Checkout> {
        match self {
            Self::Checkout(checkout) => Some(checkout),
            _ => None,
        }
    }

    /// Its request, if it is one.
    pub fn request(&self) -> Option<&Step> {
        match self {
            Self::Request { step, .. } => Some(step),
            Self::Command { .. } | Self::Checkout(_) => None,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command { invocation, .. } => {
                f.write_str(&invocation.argv.iter().map(Template::to_text).collect::<Vec<_>>().join(" "))
            }
            Self::Request { url, step, times } => {
                write!(f, "{} {url}{}", step.method, step.path.to_text())?;
                if *times > 1 { write!(f, " ({times} times)") } else { Ok(()) }
            }
            Self::Checkout(checkout) => f.write_str(&checkout.words()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let url = Url::parse("http://127.0.0.1:8000").unwrap();
        assert_eq!((url.host.as_str(), url.port, url.path.as_str()), ("127.0.0.1", 8000, ""));
        let url = Url::parse("http://[::1]:81/a/b?c").unwrap();
        assert_eq!((url.host.as_str(), url.port, url.path.as_str(), url.authority().as_str()), ("::1", 81, "/a/b?c", "[::1]:81"));
        assert_eq!(Url::parse("http://localhost").unwrap().port, 80);
        assert_eq!(Url::parse("https://localhost").unwrap().to_string(), "https://localhost:443");
        for wrong in ["", "localhost:80", "http://", "http://x:99999", "ftp://x", "http://a b"] {
            assert!(Url::parse(wrong).is_err(), "{wrong}");
        }
    }
}
