//! What is done before and after the load.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use crate::types::{Auth, Body, Carry, Expect, Text, Timeout, Tls};

/// Set-up or clean-up steps at each level of a run: lists of commands, requests, or commands to Tor.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "set-up"))]
pub struct Steps {
    /// Steps that are done once: before the first repetition of the run, or after the last one. Factors and targets are not
    /// known here. If a step fails, the run ends.
    #[serde(default)]
    #[schemars(extend("examples" = [[{"command": ["cargo", "build", "--release"]}]]))]
    pub run: Vec<Action>,
    /// Steps that are done once for each cell: before its first repetition, or after its last one. If a step fails, all
    /// repetitions of the cell fail; the other cells continue.
    #[serde(default)]
    #[schemars(extend("examples" = [[{"shell": "python3 -m venv \"$CACHE\"", "cache": "venv"}]]))]
    pub cell: Vec<Action>,
    /// Steps that are done in each repetition: when the scratch directory is made, before links are made and targets start,
    /// or after the targets have stopped. If a step fails, the repetition fails.
    #[serde(default)]
    #[schemars(extend("examples" = [[{"shell": "cp -r fixtures/data ${scratch}/data"}]]))]
    pub repetition: Vec<Action>,
    /// Steps that are done in each repetition while the targets run: before the checked pass and the load, or after the load,
    /// when everything is collected. If a step fails, the repetition fails.
    #[serde(default)]
    #[schemars(extend("examples" = [[{"post": "http://127.0.0.1:8000/cache/clear", "expect": {"status": 204}}]]))]
    pub load: Vec<Action>,
}

/// One set-up or clean-up step: exactly one of `command`, `shell`, `control` and the methods `get`, `put`, `post` and
/// `delete`.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "set-up"))]
pub struct Action {
    /// The step is done only in cells in which this is true.
    #[serde(default)]
    #[schemars(extend("x-default" = "true", "examples" = ["${n > 1}"]))]
    pub when: Option<bool>,
    /// The [role](hosts.md) of the machine on which the step is done, in `repetition` and `load`. Steps of `run` and `cell` are done once, on this
    /// machine.
    #[serde(default)]
    #[schemars(extend("x-default" = "this machine", "examples" = ["server"]))]
    pub on: Option<String>,
    /// The name of a directory that `command` or `shell` fills once and that is kept for later runs: `$CACHE` to the command,
    /// `${cache.<name>}` elsewhere. The command is executed again only when the step, or a file that it names, has changed.
    #[serde(default)]
    #[schemars(extend("examples" = ["venv"]))]
    pub cache: Option<String>,
    /// A program and its arguments, without a shell. It must end with exit code 0. Processes that it leaves in the background
    /// are ended with it.
    #[serde(default)]
    #[schemars(extend("examples" = [["cargo", "build", "--release"]]))]
    pub command: Option<Vec<Text>>,
    /// A command line for `sh -c`. It must end with exit code 0. Processes that it leaves in the background are ended with
    /// it.
    #[serde(default)]
    #[schemars(extend("examples" = ["cp -r fixtures/data ${scratch}/data"]))]
    pub shell: Option<String>,
    /// Working directory of `command` or `shell`.
    #[serde(default)]
    #[schemars(extend("x-default" = "the folder of the scenario", "examples" = ["${scratch}"]))]
    pub dir: Option<String>,
    /// Environment variables of `command` or `shell`, added to those of `runner`.
    #[serde(default)]
    #[schemars(extend("examples" = [{"LC_ALL": "C"}]))]
    pub env: BTreeMap<String, Text>,
    /// A `GET` request for this URL.
    #[serde(default)]
    #[schemars(extend("examples" = ["http://127.0.0.1:8000/ping"]))]
    pub get: Option<Text>,
    /// A `PUT` request for this URL.
    #[serde(default)]
    #[schemars(extend("examples" = ["http://127.0.0.1:8000/items/${pass}"]))]
    pub put: Option<Text>,
    /// A `POST` request for this URL.
    #[serde(default)]
    #[schemars(extend("examples" = ["http://127.0.0.1:8000/cache/clear"]))]
    pub post: Option<Text>,
    /// A `DELETE` request for this URL.
    #[serde(default)]
    #[schemars(extend("examples" = ["http://127.0.0.1:8000/items"]))]
    pub delete: Option<Text>,
    /// Tor's control port, as `host:port` or `unix:PATH`, which gets the commands of `send`: see
    /// [Tor's control port](tor-control.md).
    #[serde(default)]
    #[schemars(extend("examples" = ["127.0.0.1:9051"]))]
    pub control: Option<Text>,
    /// With `control`: the file with the cookie that Tor asks for (`control_auth_cookie` in its DataDirectory).
    #[serde(default)]
    #[schemars(extend("examples" = ["${kept}/tor/control_auth_cookie"]))]
    pub cookie: Option<Text>,
    /// With `control`: the commands, at least one, sent one after the other. Each must be answered with 250.
    #[serde(default)]
    #[schemars(extend("examples" = [["DROPGUARDS", "SIGNAL NEWNYM"]]))]
    pub send: Vec<Text>,
    /// With `control`: a regular expression that a line of the last answer must match.
    #[serde(default)]
    #[schemars(extend("x-default" = "any answer", "examples" = ["^250-circuit-status="]))]
    pub answer: Option<String>,
    /// User and password of the request (HTTP's basic authentication).
    #[serde(default)]
    #[schemars(extend("examples" = [{"user": "me", "password": "${env.PASSWORD}"}]))]
    pub auth: Option<Auth>,
    /// How often the request is sent, one after the other on one connection: 1 to 1 000 000. `${pass}` counts from 0.
    #[serde(default)]
    #[schemars(extend("x-default" = "1", "examples" = [1000]))]
    pub times: Option<u64>,
    /// Headers of the request.
    #[serde(default)]
    #[schemars(extend("examples" = [{"content-type": "application/json"}]))]
    pub headers: BTreeMap<String, Text>,
    /// The body of the request.
    #[serde(default)]
    #[schemars(extend("x-default" = "no body", "examples" = [{"json": {"n": 1}}]))]
    pub body: Option<Body>,
    /// What the answer to the request must be. Any other answer fails the step.
    #[serde(default)]
    #[schemars(extend("x-default" = "a status of 2xx", "examples" = [{"status": 204}]))]
    pub expect: Option<Expect>,
    /// Values taken from the answer to the request: the name of each, and where it is found. Later set-up steps and all workloads
    /// insert it as `${name}`.
    #[serde(default)]
    #[schemars(extend("examples" = [{"token": {"json": "/token"}}]))]
    pub carry: BTreeMap<String, Carry>,
    /// How TLS is spoken, with `https://`.
    #[serde(default)]
    #[schemars(extend("x-default" = "what the system trusts", "examples" = [{"ca": "certs/ca.pem"}]))]
    pub tls: Tls,
    /// How long the step may take; of a request with `times`, how long each of them may take.
    #[serde(default)]
    #[schemars(extend("x-default" = "60s", "examples" = ["10m"]))]
    pub timeout: Option<Timeout>,
}
