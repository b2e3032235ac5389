//! What a workload may say: what carries it, how requests arrive, and its steps.
//!
//! Each protocol has its own file beside this one; this file has what the steps of all of them share.

mod framed;
mod http;
mod load;
pub mod redis;
mod socks;
mod vtp;
mod websocket;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::de::{Deserialize, Deserializer};
use serde_json::Value as Json;

use crate::types::{Cookies, Decimal, DrawnPer, ExitCodes, MetricSource, Names, RowOrder, Size, Statuses, Text, Timeout};

pub use framed::*;
pub use http::*;
pub use load::*;
pub use socks::*;
pub use vtp::*;
pub use websocket::*;

/// Requests, messages or commands, and how they arrive. Exactly one of `url`, `websocket`, `framed`, `vtp`, `redis` and
/// `command` says what carries a workload.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "workloads"))]
pub struct Workload {
    /// The workload runs only in cells in which this is true.
    #[serde(default)]
    #[schemars(extend("x-default" = "true", "examples" = ["${n > 1}"]))]
    pub when: Option<bool>,
    /// The [role](hosts.md) of the machine that makes the load: if several have it, they share it.
    #[serde(default)]
    #[schemars(extend("x-default" = "this machine", "examples" = ["clients"]))]
    pub on: Option<String>,
    /// The server, for a workload over HTTP: `http://host:port`, `https://…`, or a list of URLs. Connections are dealt out
    /// over a list in turn. The path of a step follows that of the URL. Several URLs must have the same path, and a query is
    /// refused: it belongs in the steps.
    #[serde(default)]
    #[schemars(extend("examples" = ["${targets.blobs.urls}"]))]
    pub url: Names,
    /// A Unix socket to connect to, with `url`. `url` then only says what the `host` header is. A websocket has its own
    /// `socket`.
    #[serde(default)]
    #[schemars(extend("examples" = ["${scratch}/app.sock"]))]
    pub socket: Option<String>,
    /// How HTTP is spoken, with `url`: version, streams, connections and redirects.
    #[serde(default)]
    #[schemars(extend("examples" = [{"version": 2, "streams": 10}]))]
    pub http: Http,
    /// How TLS is spoken, with `https://` and `wss://`: which certificates vouch for the server, and which one the client
    /// shows.
    #[serde(default)]
    #[schemars(extend("x-default" = "what the system trusts", "examples" = [{"ca": "tests/ca.pem"}]))]
    pub tls: Tls,
    /// A SOCKS proxy through which connections go, with `url` or `framed`: see [SOCKS](socks.md).
    #[serde(default)]
    #[schemars(extend("examples" = [{"address": "127.0.0.1:9050"}]))]
    pub socks: Option<Socks>,
    /// Whether each request is recorded stage by stage, from the socket to the last byte: see [Stages](socks.md#stages). Each
    /// request over HTTP then has its own connection, and with `framed` each pass. It needs `framed`, or `url` with plain
    /// HTTP/1.1, without redirects and without a Unix socket.
    #[serde(default)]
    #[schemars(extend("x-default" = "false", "examples" = [true]))]
    pub stages: Option<bool>,
    /// Messages over a websocket: where the server is, and how answers are matched. The messages themselves are in
    /// `steps`, such as `{send: {text: hello}}`. See [websocket](websocket.md).
    #[serde(default)]
    #[schemars(extend("examples" = [{"url": "ws://127.0.0.1:8000/chat", "match": {"json": "/id"}}]))]
    pub websocket: Option<Websocket>,
    /// Messages over TCP: where the server is, and where a message ends. The messages themselves are in `steps`, such
    /// as `{send: {text: hello}}`. See [framed](framed.md).
    #[serde(default)]
    #[schemars(extend("examples" = [{"to": "127.0.0.1:7000", "frame": {"delimiter": "\r\n"}}]))]
    pub framed: Option<Framed>,
    /// Events of the VOEvent Transport Protocol: sent by an author (`to`), or received by a subscriber (`from`). See
    /// [VTP](vtp.md).
    #[serde(default)]
    #[schemars(extend("examples" = [{"to": "127.0.0.1:8098"}]))]
    pub vtp: Option<Vtp>,
    /// Commands to a server that speaks the protocol of Redis. The commands themselves are in `steps`, such as
    /// `{get: key}`. See [Redis](redis.md).
    #[serde(default)]
    #[schemars(extend("examples" = [{"to": "127.0.0.1:6379"}]))]
    pub redis: Option<redis::Redis>,
    /// A program that makes the load itself, and its arguments, without a shell. Each pass is one execution of it. The
    /// word `runner` in place of a program means this program itself. See [Commands](command.md).
    #[serde(default)]
    #[schemars(extend("examples" = [["wrk", "-t1", "-c64", "-d5s", "http://127.0.0.1:8000/"]]))]
    pub command: Option<Vec<Text>>,
    /// Environment variables of `command`, added to those of `runner`.
    #[serde(default)]
    #[schemars(extend("examples" = [{"LC_ALL": "C"}]))]
    pub env: BTreeMap<String, Text>,
    /// Working directory of `command`.
    #[serde(default)]
    #[schemars(extend("x-default" = "the folder of the scenario", "examples" = ["${scratch}"]))]
    pub dir: Option<String>,
    /// Programs that the workload needs: one name or a list. Where one of them is missing, cells with this workload are
    /// skipped with a warning.
    #[serde(default)]
    #[schemars(extend("examples" = ["wrk"]))]
    pub needs: Names,
    /// Figures that are taken from the output of `command`: the name of each, and where it is found. A name starts with
    /// a lower-case letter and consists of lower-case letters, digits and `_`.
    #[serde(default)]
    #[schemars(extend("examples" = [{"requests": {"regex": "([0-9]+) requests in"}}]))]
    pub metrics: BTreeMap<String, MetricSource>,
    /// The decimal mark of all `metrics` of `command` that are texts: `point` or `comma`. Each metric may name its own.
    /// [Numbers](../numbers.md) says how numbers are read.
    #[serde(default)]
    #[schemars(extend("x-default" = "point", "examples" = ["comma"]))]
    pub decimal: Option<Decimal>,
    /// The exit codes with which `command` may end: one or a list. Any other code is an error of the pass.
    #[serde(default)]
    #[schemars(extend("x-default" = "0", "examples" = [[0, 1]]))]
    pub exit: Option<ExitCodes>,
    /// How passes arrive, and how many or for how long: see [Loads](load.md). Only a subscriber (`vtp` with `from`) has no
    /// load.
    #[serde(default)]
    #[schemars(with = "Load", extend("examples" = [{"closed": {"connections": 10}, "duration": "10s"}]))]
    pub load: Option<Load>,
    /// The phases of the repetition in which the workload runs: one or a list. It needs `phases` at the top of the file.
    #[serde(default)]
    #[schemars(extend("x-default" = "all", "examples" = [["during"]]))]
    pub phases: Option<Names>,
    /// Values that are drawn for each pass: the name of each, and what it is drawn from. `{to: 99}` draws a number and
    /// `{of: [a, b]}` an item, uniformly and from the seed; a step inserts it as `${name}`. `{rows: users.csv}` draws a row of a
    /// file, whose columns are `${name.column}`: see [Data](users.md#data). A `vtp` or `command` workload has none.
    #[serde(default)]
    #[schemars(extend("examples" = [{"doc": {"from": 0, "to": 99}}]))]
    pub draw: BTreeMap<String, Draw>,
    /// The requests, messages or commands of one pass, in order, on one connection. Each step is measured on its own,
    /// and so is the pass as a whole. A `vtp` or `command` workload has no steps; every other one needs at least one.
    #[serde(default)]
    #[schemars(with = "Vec<AnyStep>", extend("examples" = [[{"get": "/"}]]))]
    pub steps: Vec<Json>,
    /// The requests with which a user begins, with `url`: each connection is a user, and executes them once before its first
    /// pass. What they carry lasts, and so do cookies: see [Users](users.md). They are measured by themselves.
    #[serde(default)]
    #[schemars(with = "Vec<Step>", extend("examples" = [[{"name": "log-in", "post": "/login", "carry": {"token": {"json": "/token"}}}]]))]
    pub user: Vec<Json>,
    /// The statuses at which a user logs in again: the steps of `user` are executed once more, and then the step that was answered
    /// so. Without it such an answer is like any other.
    #[serde(default)]
    #[schemars(extend("x-default" = "never", "examples" = [401]))]
    pub relogin: Option<Statuses>,
    /// Whose cookies are kept and sent, as RFC 6265 says, with `url`: those of a `user`, those of a `pass`, or `none`.
    #[serde(default)]
    #[schemars(extend("x-default" = "none", "examples" = ["user"]))]
    pub cookies: Cookies,
    /// User and password of every request, sent as HTTP's basic authentication. With `websocket` they belong to the
    /// handshake.
    #[serde(default)]
    #[schemars(extend("examples" = [{"user": "me", "password": "${env.PASSWORD}"}]))]
    pub auth: Option<Auth>,
    /// Headers of every request over HTTP. The same header of a step takes precedence. With `websocket` they are headers of
    /// the handshake, cookies among them. A header `expect` is refused.
    #[serde(default)]
    #[schemars(extend("examples" = [{"accept": "application/json"}]))]
    pub headers: BTreeMap<String, Text>,
    /// How long a request may take, connecting included. A `command` that takes longer is stopped and counts as timed out.
    #[serde(default)]
    #[schemars(extend("x-default" = "30s; of a `command` 10m", "examples" = ["5s"]))]
    pub timeout: Option<Timeout>,
    /// How many threads of the generator carry the workload: at least one, and at most as many as it has connections.
    #[serde(default)]
    #[schemars(extend("x-default" = "1", "examples" = [2]))]
    pub threads: Option<u32>,
    /// The processors, by number, on which the generator or `command` may run.
    #[serde(default)]
    #[schemars(extend("x-default" = "all", "examples" = [[1]]))]
    pub cpus: Vec<u32>,
}

/// What a value is drawn from: whole numbers (`to`, with or without `from`), the items of a list (`of`), or the rows of a file
/// (`rows`).
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "workloads"))]
pub struct Draw {
    /// The smallest number that can be drawn, with `to`.
    #[serde(default)]
    #[schemars(extend("x-default" = "0", "examples" = [1]))]
    pub from: Option<u64>,
    /// The largest number that can be drawn.
    #[serde(default)]
    #[schemars(extend("examples" = [99]))]
    pub to: Option<u64>,
    /// The texts of which one is drawn: at least one.
    #[serde(default)]
    #[schemars(extend("examples" = [["small", "large"]]))]
    pub of: Option<Vec<Text>>,
    /// The file of which a row is drawn: CSV with a line of names (`.csv`), JSON lines (`.jsonl`, `.ndjson`) or Parquet
    /// (`.parquet`). It is looked for from the folder of the scenario upwards. Each column is a value, such as `${users.name}`.
    #[serde(default)]
    #[schemars(extend("examples" = ["users.csv"]))]
    pub rows: Option<String>,
    /// With `rows`: the order in which rows are drawn. `unique` draws each row at most once, and the load ends early when they have
    /// run out.
    #[serde(default)]
    #[schemars(extend("x-default" = "in turn", "examples" = ["shuffled"]))]
    pub order: Option<RowOrder>,
    /// With `rows`: whether a row is drawn for each `pass`, or for each `user`, who keeps it.
    #[serde(default)]
    #[schemars(extend("x-default" = "pass", "examples" = ["user"]))]
    pub per: Option<DrawnPer>,
    /// With `order: shuffled`: the seed of the order. Otherwise it follows from the seed of the repetition, and so differs from
    /// repetition to repetition.
    #[serde(default)]
    #[schemars(extend("x-default" = "that of the repetition", "examples" = [7]))]
    pub seed: Option<u64>,
}

/// One step, as the protocol has it.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, clippy::large_enum_variant, reason = "only its schema is asked for: each protocol reads its own")]
enum AnyStep {
    Request(Step),
    Redis(redis::RedisStep),
}

/// One step of a pass. With `url` it has exactly one method, a key whose value is the path; with `framed` and `websocket`
/// exactly one of `send` and `receive`.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "steps"))]
pub struct Step {
    /// The name of the step in results and graphs. Two steps of a workload cannot have the same one.
    #[serde(default)]
    #[schemars(extend("x-default" = "the method; `get-2` for the second one", "examples" = ["flag"]))]
    pub name: Option<String>,
    /// A `GET` request for this path. The path begins with `/` and follows that of `url`.
    #[serde(default)]
    #[schemars(extend("examples" = ["/blobs/u/${id}"]))]
    pub get: Option<Text>,
    /// A `HEAD` request for this path. The path begins with `/` and follows that of `url`.
    #[serde(default)]
    #[schemars(extend("examples" = ["/blobs/u/${id}"]))]
    pub head: Option<Text>,
    /// A `PUT` request for this path. The path begins with `/` and follows that of `url`.
    #[serde(default)]
    #[schemars(extend("examples" = ["/blobs/u/${id}"]))]
    pub put: Option<Text>,
    /// A `POST` request for this path. The path begins with `/` and follows that of `url`.
    #[serde(default)]
    #[schemars(extend("examples" = ["/orders"]))]
    pub post: Option<Text>,
    /// A `PATCH` request for this path. The path begins with `/` and follows that of `url`.
    #[serde(default)]
    #[schemars(extend("examples" = ["/orders/${order}"]))]
    pub patch: Option<Text>,
    /// A `DELETE` request for this path. The path begins with `/` and follows that of `url`.
    #[serde(default)]
    #[schemars(extend("examples" = ["/blobs/u/${id}"]))]
    pub delete: Option<Text>,
    /// An `OPTIONS` request for this path. The path begins with `/` and follows that of `url`.
    #[serde(default)]
    #[schemars(extend("examples" = ["/orders"]))]
    pub options: Option<Text>,
    /// The message that is sent, with `framed` or `websocket`.
    #[serde(default)]
    #[schemars(extend("examples" = [{"text": "TICKET"}]))]
    pub send: Option<Body>,
    /// `true`: the step waits for a message without sending one, with `framed` or `websocket`.
    #[serde(default)]
    #[schemars(extend("examples" = [true]))]
    pub receive: Option<bool>,
    /// Whether a message comes back for `send`. With `false` the step waits for none, and can have neither `expect` nor
    /// `carry`. A websocket with `match` always needs an answer.
    #[serde(default)]
    #[schemars(extend("x-default" = "true", "examples" = [false]))]
    pub answer: Option<bool>,
    /// Headers of this request over HTTP. They take precedence over those of the workload. A header `expect` is refused.
    #[serde(default)]
    #[schemars(extend("examples" = [{"x-n": "${n}"}]))]
    pub headers: BTreeMap<String, Text>,
    /// The body of this request over HTTP.
    #[serde(default)]
    #[schemars(extend("x-default" = "no body", "examples" = [{"random": "10KiB"}]))]
    pub body: Option<Body>,
    /// What the answer must be. Any other answer is an error.
    #[serde(default)]
    #[schemars(extend("x-default" = "a status of 2xx; any message", "examples" = [{"status": 200}]))]
    pub expect: Option<Expect>,
    /// Answers over HTTP that are neither expected nor errors: the name of each outcome, and its status or statuses. They are
    /// counted by themselves and end the pass: see [Outcomes](steps.md#outcomes). A workload may have 8 such names, of
    /// lower-case letters, digits, `-` and `_`.
    #[serde(default)]
    #[schemars(extend("examples" = [{"conflict": 409}]))]
    pub outcomes: BTreeMap<String, Statuses>,
    /// Values taken from the answer for later steps of the same pass: the name of each, and where it is found in the
    /// answer. A later step inserts it as `${name}`: see [Carried values](steps.md#carried-values).
    #[serde(default)]
    #[schemars(extend("examples" = [{"rev": {"json": "/rev"}}]))]
    pub carry: BTreeMap<String, Carry>,
    /// How long this step may take.
    #[serde(default)]
    #[schemars(extend("x-default" = "that of the workload", "examples" = ["1s"]))]
    pub timeout: Option<Timeout>,
}

/// The content of a body or of a message: exactly one of `text`, `json`, `file` and `random`.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "steps"))]
pub struct Body {
    /// This text.
    #[serde(default)]
    #[schemars(extend("examples" = ["[\"PROCESSING\"]"]))]
    pub text: Option<Text>,
    /// The content of this file. It is looked for from the folder of the scenario upwards; it may also be a file that a
    /// set-up step makes and keeps (`${cache.NAME}/…`).
    #[serde(default)]
    #[schemars(extend("examples" = ["data/order.json"]))]
    pub file: Option<String>,
    /// This many random bytes, different ones in each request.
    #[serde(default)]
    #[schemars(extend("examples" = ["10KiB"]))]
    pub random: Option<Size>,
    /// This value as JSON, `null` included.
    #[serde(default, deserialize_with = "also_null")]
    #[schemars(extend("examples" = [{"name": "${id}"}]))]
    pub json: Option<Json>,
}

/// `json: null` is a body, not the lack of one.
fn also_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}

/// What an answer must be. Where several keys are given, all of them must hold.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "steps"))]
pub struct Expect {
    /// The answer has this status, or one of these. Only answers over HTTP have one.
    #[serde(default)]
    #[schemars(extend("x-default" = "2xx", "examples" = [[200, 201]]))]
    pub status: Option<Statuses>,
    /// The body has exactly this length. Of a coded body, the length on the wire counts.
    #[serde(default)]
    #[schemars(extend("examples" = ["10KiB"]))]
    pub length: Option<Size>,
    /// The body is exactly this text.
    #[serde(default)]
    #[schemars(extend("examples" = ["ok"]))]
    pub text: Option<Text>,
    /// The body contains this text. Only its first 16 MiB are searched.
    #[serde(default)]
    #[schemars(extend("examples" = ["\"done\":true"]))]
    pub contains: Option<Text>,
}

/// Where a carried value is found in an answer: one of `json`, `header` and `regex`, or `regex` together with `header`.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "steps"))]
pub struct Carry {
    /// The value at this JSON pointer (RFC 6901) in the body.
    #[serde(default)]
    #[schemars(extend("examples" = ["/rows/0/id"]))]
    pub json: Option<String>,
    /// The value of this header: of several with this name, the first. Only answers over HTTP have headers.
    #[serde(default)]
    #[schemars(extend("examples" = ["location"]))]
    pub header: Option<String>,
    /// What this regular expression finds in the body: its first group, or the whole match. With `header` it is looked for in
    /// each header of that name, in their order.
    #[serde(default)]
    #[schemars(extend("examples" = ["id=(\\d+)"]))]
    pub regex: Option<String>,
}
