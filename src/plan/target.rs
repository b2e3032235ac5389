//! Targets: what is started, when it is ready, and how it ends.

use std::time::Duration;

use serde::Serialize;

use super::cgroups::Resources;
use super::template::{Late, Part};
use super::text::as_text;
use super::{Start, Template, Tls, Url};
use vocabulary::choices::{Lifetime, Resource, Signal};

/// Something under test or around it.
#[derive(Clone, Debug, Serialize)]
pub struct Target {
    /// Its name in the scenario, in results and in messages.
    pub name: String,
    /// The role of the machine on which it runs; none: the machine of the run itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
    /// The address at which others reach this machine, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// Its processes; a single one without a command line if it already runs elsewhere.
    pub replicas: Vec<Replica>,
    /// Names of the targets that must be ready before it starts.
    pub after: Vec<String>,
    /// How long it lives.
    #[serde(skip_serializing_if = "Lifetime::is_repetition")]
    pub lifetime: Lifetime,
    /// Whether a replica that ends under load is started again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub restart: bool,
    /// How long a replica may take to become ready.
    #[serde(serialize_with = "as_text")]
    pub ready_timeout: Duration,
    /// The first signal at the end.
    pub stop_signal: Signal,
    /// How long it may take to end before it is killed.
    #[serde(serialize_with = "as_text")]
    pub stop_grace: Duration,
    /// Programs that the target needs.
    pub needs: Vec<String>,
    /// How many bytes of each of its logs are kept in a repetition; `None`: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_limit: Option<u64>,
    /// What each replica may use of the machine.
    #[serde(skip_serializing_if = "Resources::is_unlimited")]
    pub resources: Resources,
    /// The node of the machine's memory on which it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numa: Option<u32>,
    /// Soft limits of resources that differ from those of the shell; `None`: unlimited.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rlimits: Vec<(Resource, Option<u64>)>,
}

impl Target {
    /// Whether runner starts the target.
    pub fn is_started(&self) -> bool {
        self.replicas.iter().any(|r| r.start.is_started())
    }

    /// The late name of the directory of its files.
    pub fn directory(&self) -> &'static str {
        if self.lifetime.is_repetition() { "scratch" } else { "kept" }
    }
}

/// One process of a target.
#[derive(Clone, Debug, Serialize)]
pub struct Replica {
    /// Its number, from 1.
    pub number: u32,
    /// How it is started.
    pub start: Start,
    /// Environment variables to add.
    pub env: Vec<(String, Template)>,
    /// Working directory, if not the runner's.
    pub dir: Option<Template>,
    /// Ports on which it will listen, the main one first.
    pub ports: Vec<u16>,
    /// Files to make in the scratch directory, or in the directory of the run.
    pub files: Vec<RenderedFile>,
    /// How readiness is detected.
    pub ready: Probe,
    /// Processors on which it may run; all if empty.
    pub cpus: Vec<u32>,
}

impl Replica {
    /// Late names in it; those in its files come with the name of the file.
    pub fn late_names(&self) -> impl Iterator<Item = (String, Option<&str>)> {
        let mut templates = self.start.argv();
        templates.extend(self.env.iter().map(|(_, value)| value.clone()));
        templates.extend(self.dir.clone());
        match &self.ready {
            Probe::Command { argv, .. } => templates.extend(argv.iter().cloned()),
            Probe::Lines { send, .. } => {
                templates.extend(send.iter().flat_map(|line| [Some(line.text.clone()), line.hex_of.clone()]).flatten());
            }
            Probe::Started | Probe::Tcp { .. } | Probe::Http { .. } | Probe::Log { .. } => {}
        }
        let own = templates.into_iter().flat_map(|t| t.names().map(|name| (name.to_owned(), None)).collect::<Vec<_>>());
        let of_files = self.files.iter().flat_map(|f| f.content.names().map(|name| (name.to_owned(), Some(f.name.as_str()))));
        own.chain(of_files)
    }
}

/// A configuration file made from a template.
#[derive(Clone, Debug, Serialize)]
pub struct RenderedFile {
    /// Its name in the scratch directory.
    pub name: String,
    /// Its content, in which late names are filled in later.
    pub content: Template,
}

/// How the readiness of a replica is detected.
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
    /// This address answers the sent lines with a line that matches.
    Lines {
        /// `host:port`
        address: String,
        /// The lines that are sent.
        send: Vec<SentLine>,
        /// A regular expression.
        expect: String,
    },
    /// `GET` is answered with a status that means readiness.
    Http {
        /// The URL that must answer.
        url: Url,
        /// The statuses that mean that it is ready; if empty, any below 400.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        statuses: Vec<u16>,
        /// How TLS is used, with `https://`.
        #[serde(skip_serializing_if = "Tls::is_usual")]
        tls: Tls,
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
        /// Working directory, if not the runner's.
        #[serde(skip_serializing_if = "Option::is_none")]
        dir: Option<Template>,
    },
}

/// A line that is sent, without its end.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SentLine {
    /// The text of the line.
    pub text: Template,
    /// A file whose bytes follow in hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hex_of: Option<Template>,
}

impl SentLine {
    /// A line without late names.
    pub fn fixed(text: &str) -> Self {
        Self { text: Template(vec![Part::Text(text.to_owned())]), hex_of: None }
    }
}

impl Probe {
    /// The probe with the values of late names.
    #[must_use]
    pub fn fill(&self, late: &Late<'_>) -> Self {
        match self {
            Self::Command { argv, dir } => Self::Command {
                argv: argv.iter().map(|word| word.fill(late)).collect(),
                dir: dir.as_ref().map(|dir| dir.fill(late)),
            },
            Self::Lines { address, send, expect } => {
                let line =
                    |line: &SentLine| SentLine { text: line.text.fill(late), hex_of: line.hex_of.as_ref().map(|f| f.fill(late)) };
                Self::Lines { address: address.clone(), send: send.iter().map(line).collect(), expect: expect.clone() }
            }
            known => known.clone(),
        }
    }
}
