//! HTTP requests, and the parts that requests and messages share: bodies, expectations, carried and drawn values.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::template::Late;
use super::text::as_text;
use super::{Auth, Rows, Template};
use vocabulary::choices::{DrawnPer, RowOrder};
use vocabulary::units::{human_bytes, in_json};

/// How long a request may take by default.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

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
    /// User and password, for HTTP's basic authentication.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// The body that is sent.
    pub body: Body,
    /// The expected answer.
    pub expect: Expect,
    /// Answers that are neither expected nor errors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outcomes: Vec<NamedOutcome>,
    /// Values that are kept for later steps.
    pub carry: Vec<Carry>,
    /// How long it may take.
    #[serde(serialize_with = "as_text")]
    pub timeout: Duration,
    /// The parts that contain a secret; found from the names, before they are filled in.
    #[serde(skip)]
    pub secret: SecretParts,
}

/// The parts of a request that contain a secret: a redirect does not send them to another origin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretParts {
    /// Names of headers.
    pub headers: Vec<String>,
    /// Whether the body contains a secret.
    pub body: bool,
}

/// An outcome that the scenario names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamedOutcome {
    /// Its name in results.
    pub name: String,
    /// The statuses that have this outcome.
    pub statuses: Vec<u16>,
}

/// A value that is drawn for each pass, uniformly and from the seed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Draw {
    /// Its name in requests.
    pub name: String,
    /// The values from which it is drawn.
    pub of: DrawnFrom,
}

/// The values from which one is drawn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DrawnFrom {
    /// Whole numbers, both ends included.
    Range(u64, u64),
    /// Texts, at least one.
    List(Vec<String>),
    /// Rows of a file, whose columns are values: `${name.column}`.
    Rows(DrawnRow),
}

/// How a row of a file is drawn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DrawnRow {
    /// The rows: at least one, and with [`RowOrder::Unique`] at least two.
    #[serde(serialize_with = "shared")]
    pub rows: Arc<Rows>,
    /// In which order.
    pub order: RowOrder,
    /// For each pass, or for each user.
    pub per: DrawnPer,
    /// The seed of the order, if the scenario fixes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// What several hold is written as it is.
fn shared<S: Serializer>(rows: &Arc<Rows>, serializer: S) -> Result<S::Ok, S::Error> {
    (**rows).serialize(serializer)
}

impl DrawnRow {
    /// How many passes, or users, it is enough for.
    pub fn enough_for(&self) -> u64 {
        match self.order {
            // The last row is for the checked pass.
            RowOrder::Unique => self.rows.count() - 1,
            RowOrder::InTurn | RowOrder::Shuffled => u64::MAX,
        }
    }
}

impl Step {
    /// A plain request, named after its method: no headers, no body, any 2xx expected.
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

    /// Records the parts that contain a secret of `env`, while its name is still visible.
    pub fn mark_secrets(&mut self) {
        // Variables that are not secret have their values already.
        let is_secret = |text: &Template| text.names().any(|name| name.starts_with("env."));
        let headers = self.headers.iter().filter(|(_, value)| is_secret(value));
        let body = match &self.body {
            Body::Text(text) | Body::Json(text) => is_secret(text),
            Body::Empty | Body::File(_) | Body::Random(_) => false,
        };
        self.secret = SecretParts { headers: headers.map(|(name, _)| name.clone()).collect(), body };
    }

    /// The late names that the request inserts; a name may occur several times.
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
    /// No body.
    Empty,
    /// Text.
    Text(Template),
    /// JSON; values are inserted into its strings, and are escaped there.
    Json(Template),
    /// A file's content.
    File(PathBuf),
    /// This many random bytes.
    Random(u64),
}

/// The conditions that an answer must meet.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Expect {
    /// One of these statuses; any 2xx if empty.
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
    /// Its name in later steps.
    pub name: String,
    /// Its place in the answer.
    #[serde(rename = "place")]
    pub selector: Selector,
}

/// The place of a carried value in an answer.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Selector {
    /// A JSON pointer into the body.
    Json(String),
    /// A header, in lower case.
    Header(String),
    /// A regular expression on the body.
    Regex(String),
    /// A regular expression on each header of a name, in lower case.
    RegexOfHeader {
        /// The header.
        header: String,
        /// The regular expression.
        pattern: String,
    },
}

impl Selector {
    /// The header in which it looks, if it looks in one.
    pub fn header(&self) -> Option<&str> {
        match self {
            Self::Header(header) | Self::RegexOfHeader { header, .. } => Some(header),
            Self::Json(_) | Self::Regex(_) => None,
        }
    }
}

impl Body {
    /// Fills in late names; in JSON, inserted values are escaped.
    pub fn fill(&mut self, late: &Late<'_>) {
        match self {
            Self::Text(text) => *text = text.fill(late),
            Self::Json(text) => *text = text.fill_as(late, in_json),
            Self::Empty | Self::File(_) | Self::Random(_) => {}
        }
    }
}

impl Expect {
    /// Fills in late names.
    pub fn fill(&mut self, late: &Late<'_>) {
        let texts = [&mut self.text, &mut self.contains].into_iter().flatten();
        texts.for_each(|template| *template = template.fill(late));
    }
}

impl Draw {
    /// The names by which steps insert it.
    pub fn names(&self) -> Vec<String> {
        match &self.of {
            DrawnFrom::Rows(drawn) => drawn.rows.columns.iter().map(|column| format!("{}.{column}", self.name)).collect(),
            DrawnFrom::Range(..) | DrawnFrom::List(_) => vec![self.name.clone()],
        }
    }

    /// Whether users draw it, and not passes.
    pub fn is_of_user(&self) -> bool {
        matches!(&self.of, DrawnFrom::Rows(drawn) if drawn.per == DrawnPer::User)
    }

    /// As `runner plan` prints it.
    pub fn words(&self) -> String {
        match &self.of {
            DrawnFrom::Range(from, to) => format!("{} is drawn from {from} to {to}", self.name),
            DrawnFrom::List(items) => format!("{} is drawn from {}", self.name, shortened(&items.join(", "))),
            DrawnFrom::Rows(DrawnRow { rows, order, per, seed }) => {
                let order = match order {
                    RowOrder::InTurn => "in turn".to_owned(),
                    RowOrder::Shuffled => {
                        format!("shuffled{}", seed.map_or_else(String::new, |seed| format!(" from the seed {seed}")))
                    }
                    RowOrder::Unique => "each at most once".to_owned(),
                };
                let per = if *per == DrawnPer::User { "user" } else { "pass" };
                let (count, path) = (rows.count(), rows.path.display());
                format!("{} is a row of {path} ({count} rows), {order}, one per {per}: {}", self.name, rows.columns.join(", "))
            }
        }
    }
}

impl Step {
    /// As `runner plan` prints it.
    pub fn words(&self) -> String {
        let body = match &self.body {
            Body::Empty => String::new(),
            Body::Text(text) | Body::Json(text) => format!("  body {}", shortened(&text.to_text())),
            Body::File(path) => format!("  body from {}", path.display()),
            Body::Random(n) => format!("  body of {} random", human_bytes(*n as f64)),
        };
        let statuses = match self.expect.statuses.as_slice() {
            [] => "2xx".to_owned(),
            statuses => any_of(statuses),
        };
        let length = self.expect.length.map_or_else(String::new, |l| format!(", {l} bytes"));
        let text = self.expect.text.as_ref().map_or_else(String::new, |t| format!(", {}", shortened(&t.to_text())));
        let part = self.expect.contains.as_ref().map_or_else(String::new, |t| format!(", with {}", shortened(&t.to_text())));
        let named = self.outcomes.iter().map(|o| format!("; {} is {}", any_of(&o.statuses), o.name)).collect::<String>();
        let expected = format!("expects {statuses}{length}{text}{part}{named}");
        format!("{}: {} {}{body}  {expected}", self.name, self.method, self.path.to_text())
    }
}

/// Statuses in a sentence.
pub fn any_of(statuses: &[u16]) -> String {
    statuses.iter().map(u16::to_string).collect::<Vec<_>>().join(" or ")
}

/// How many characters of a body are shown.
const SHOWN: usize = 80;

/// A text that may be long, shortened to part of a line.
pub fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("`{}…` of {}", &text[..end], human_bytes(text.len() as f64)),
        None => format!("`{text}`"),
    }
}
