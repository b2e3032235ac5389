//! The varied dimensions.

use schemars::JsonSchema;
use serde_json::Value as Json;

use crate::types::Timeout;

/// Levels of a factor, for the JSON Schema; read by hand in `plan::factors`.
#[derive(JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
#[allow(dead_code)]
pub enum Factor {
    /// All levels, all of them executed by default.
    Levels(Vec<Json>),
    /// All levels, and those that are executed by default.
    Chosen {
        /// All levels.
        levels: Vec<Json>,
        /// The levels executed without `--set`.
        default: Vec<Json>,
    },
    /// Whole numbers from one to another.
    Range {
        /// The first level.
        from: f64,
        /// The last level, inclusive.
        to: f64,
        /// What is added from level to level; 1 when neither this nor `factor` is given.
        step: Option<f64>,
        /// By what each level is multiplied to give the next.
        factor: Option<f64>,
    },
    /// Revisions of a git repository: each is checked out and built once, and reached as `${<factor>.dir}`;
    /// `${<factor>.commit}` and `${<factor>.name}` are its commit and its name.
    Revisions {
        /// A folder in the repository, seen from the scenario's; `.` is the repository in which the scenario is.
        git: String,
        /// Branches, tags, commits, and `+dirty` for the working tree with what is not committed.
        of: Vec<String>,
        /// A program and its arguments, executed once in each checkout.
        build: Option<Vec<Json>>,
        /// How long that may take; an hour by default.
        timeout: Option<Timeout>,
        /// The revisions measured without `--set`; all by default.
        default: Option<Vec<String>>,
    },
}
