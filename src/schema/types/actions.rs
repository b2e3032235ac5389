//! What is done before and after the load.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use crate::types::{Auth, Body, Expect, Text, Timeout, Tls};

/// Steps at each level.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Steps {
    /// Once, before the first or after the last repetition. Factors are not known here.
    #[serde(default)]
    pub run: Vec<Action>,
    /// Before the first and after the last repetition of a cell.
    #[serde(default)]
    pub cell: Vec<Action>,
    /// Before the targets of a repetition are started, or after they are stopped.
    #[serde(default)]
    pub repetition: Vec<Action>,
    /// Directly before or after the load, while the targets run.
    #[serde(default)]
    pub load: Vec<Action>,
}

/// One set-up or clean-up step: a command, a request, or commands to Tor.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Action {
    /// Only in cells in which this is true.
    #[serde(default)]
    pub when: Option<bool>,
    /// A name for what this command makes once and keeps for later runs: a directory, `$CACHE` to the command and
    /// `${cache.<name>}` elsewhere. It is made again when the command has changed.
    #[serde(default)]
    pub cache: Option<String>,
    /// A program and its arguments; it must end with exit code 0.
    #[serde(default)]
    pub command: Option<Vec<Text>>,
    /// A command line for `sh -c`.
    #[serde(default)]
    pub shell: Option<String>,
    /// Working directory of the command.
    #[serde(default)]
    pub dir: Option<String>,
    /// Environment of the command.
    #[serde(default)]
    pub env: BTreeMap<String, Text>,
    /// `GET` of a URL.
    #[serde(default)]
    pub get: Option<Text>,
    /// `PUT` to a URL.
    #[serde(default)]
    pub put: Option<Text>,
    /// `POST` to a URL.
    #[serde(default)]
    pub post: Option<Text>,
    /// `DELETE` of a URL.
    #[serde(default)]
    pub delete: Option<Text>,
    /// Tor's control port, as `host:port` or `unix:PATH`.
    #[serde(default)]
    pub control: Option<Text>,
    /// With `control`: the file with the cookie that one must know.
    #[serde(default)]
    pub cookie: Option<Text>,
    /// With `control`: commands such as `SIGNAL NEWNYM`, each of which must be answered well.
    #[serde(default)]
    pub send: Vec<Text>,
    /// With `control`: a regular expression that a line of the last answer must match.
    #[serde(default)]
    pub answer: Option<String>,
    /// User and password of the request.
    #[serde(default)]
    pub auth: Option<Auth>,
    /// How often the request is sent, one after the other; `${pass}` counts from 0. Once by default.
    #[serde(default)]
    pub times: Option<u64>,
    /// Headers of the request.
    #[serde(default)]
    pub headers: BTreeMap<String, Text>,
    /// Body of the request.
    #[serde(default)]
    pub body: Option<Body>,
    /// What the answer must be; status 2xx by default.
    #[serde(default)]
    pub expect: Option<Expect>,
    /// How TLS is spoken, with `https://`.
    #[serde(default)]
    pub tls: Tls,
    /// How long it may take; 60 s by default.
    #[serde(default)]
    pub timeout: Option<Timeout>,
}
