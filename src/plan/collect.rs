//! What is collected after the load: metrics and tables out of files, databases, requests and the output of commands.

use serde::Serialize;

use super::{ExtractedMetric, Invocation, Step, TableSource, Template, Tls, Url};

/// The name of the body of an answer as a carried value.
pub const BODY: &str = "body";

/// Something that is collected.
#[derive(Clone, Debug, Serialize)]
pub struct Collect {
    /// The name under which its metrics and its table are found in results.
    pub name: String,
    /// The role of the machine on which it is read; none: the machine of the run itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
    /// Where it comes from.
    pub source: CollectSource,
    /// Metrics, one value each per repetition.
    pub metrics: Vec<ExtractedMetric>,
    /// A table.
    pub table: Option<TableSource>,
}

/// Where it comes from.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CollectSource {
    /// The output of a command.
    Command(Invocation),
    /// The output of a fixture; its name takes the place of the program.
    Fixture(Invocation),
    /// A file.
    File(Template),
    /// An SQLite database.
    Sqlite(Template),
    /// The answer to a request.
    Get {
        /// The URL, without the path.
        url: Url,
        /// How TLS is used, with `https://`.
        #[serde(skip_serializing_if = "Tls::is_usual")]
        tls: Tls,
        /// The request; it carries [`BODY`].
        step: Box<Step>,
    },
}

impl CollectSource {
    /// The request of the source, if it is one.
    pub fn request(&self) -> Option<&Step> {
        match self {
            Self::Get { step, .. } => Some(step),
            _ => None,
        }
    }
}
