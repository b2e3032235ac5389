//! Servers whose own count of requests is held against what was sent to them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::Value as Json;

use crate::types::{CountTolerance, Names};

/// Servers whose own count of requests is compared with what was sent: one entry, a list of them, or `off`.
// For the JSON Schema; read by hand in `plan::build::cells`.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
pub enum Reconciles {
    /// One server.
    One(Reconcile),
    /// Several servers.
    Several(Vec<Reconcile>),
    /// Nothing is compared.
    Off(Off),
}

/// The word that switches the comparison off.
#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(dead_code)]
pub enum Off {
    /// `off`: nothing is compared.
    Off,
}

/// A server whose own count of requests is compared with what was sent to it.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "reconcile"))]
pub struct Reconcile {
    /// The server is compared only in cells in which this is true.
    #[serde(default)]
    #[schemars(extend("x-default" = "true", "examples" = ["${n > 1}"]))]
    pub when: Option<bool>,
    /// The target that counts its requests. The entry replaces the automatic comparison of this target.
    #[schemars(extend("examples" = ["web"]))]
    pub target: String,
    /// Where the count is read, before and after the load. It is a figure of the scenario's `collect` by its name
    /// (`name`, or `name.metric`), or its own source: what an entry of `collect` has, with `json`, `regex`, `csv`,
    /// `sql` or `lines` beside it. The bundled HTTP servers, haproxy with a `stats socket` and nginx with `stub_status`
    /// are read automatically and do not need it.
    #[serde(default)]
    #[schemars(
        with = "Option<CountSource>",
        extend("examples" = [{"get": "http://127.0.0.1:8000/stats", "json": "/requests"}])
    )]
    pub collect: Option<Json>,
    /// The workloads whose requests the server counts: one or a list. With this key you promise that nothing else sends
    /// requests there: more than was sent is then a mismatch.
    #[serde(default)]
    #[schemars(extend("x-default" = "those whose URL leads to the target", "examples" = ["clients"]))]
    pub workload: Option<Names>,
    /// The steps whose requests the server counts: one or a list.
    #[serde(default)]
    #[schemars(extend("x-default" = "all", "examples" = ["get"]))]
    pub steps: Names,
    /// By how much the two counts may differ: a number of requests, or a share of them.
    #[serde(default)]
    #[schemars(extend("x-default" = "`reconcile` of `limits`", "examples" = ["0.1%"]))]
    pub tolerance: Option<CountTolerance>,
}

/// Where a count is read: a figure of `collect` by its name, or a source of its own.
// For the JSON Schema; read by hand in `plan::reconcile`.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
pub enum CountSource {
    /// A figure of `collect`: `name`, or `name.metric`.
    Name(String),
    /// What an entry of `collect` has, and the place of the figure beside it: `regex`, `json`, `csv`, `sql` or `lines`.
    Own(BTreeMap<String, Json>),
}
