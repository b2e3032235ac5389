//! Servers whose own count of requests is held against what was sent to them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::Value as Json;

use crate::types::{CountTolerance, Names};

/// What `reconcile` may be, for the JSON Schema; read by hand in `plan::build::cells`.
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

/// The one word that is allowed in place of a map.
#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(dead_code)]
pub enum Off {
    /// `off`: nothing is compared.
    Off,
}

/// A server whose own count of requests is held against what was sent to it.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Reconcile {
    /// Only in cells in which this is true.
    #[serde(default)]
    pub when: Option<bool>,
    /// The target that counts.
    pub target: String,
    /// Where the count is read, before and after the load: a figure of `collect` by its name (`name`, or `name.metric`), or a
    /// source of its own with the place of the figure, such as `{get: http://127.0.0.1:8000/stats, json: /requests}`. Not
    /// needed for what counts by itself: fixtures, haproxy with a `stats socket`, nginx with `stub_status`.
    #[serde(default)]
    #[schemars(with = "Option<CountSource>")]
    pub collect: Option<Json>,
    /// The workloads whose requests are counted; by default those whose URL leads to the target.
    #[serde(default)]
    pub workload: Option<Names>,
    /// The steps whose requests are counted; all by default.
    #[serde(default)]
    pub steps: Names,
    /// By how much the two may differ: a number of requests, or a share of them; by default as `limits` have it.
    #[serde(default)]
    pub tolerance: Option<CountTolerance>,
}

/// Where a count is read, for the JSON Schema; read by hand in `plan::reconcile`.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
pub enum CountSource {
    /// A figure of `collect`: `name`, or `name.metric`.
    Name(String),
    /// What an entry of `collect` has, and the place of the figure beside it: `regex`, `json`, `csv`, `sql` or `lines`.
    Own(BTreeMap<String, Json>),
}
