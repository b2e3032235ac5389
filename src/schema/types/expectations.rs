//! What must hold for a run to pass.

use schemars::JsonSchema;
use serde_json::Value as Json;

/// What must hold: a metric, or the ratio of a metric between two levels of a factor or between two phases, above or below a
/// bound. Further keys are factors with the level or levels of the cells that are meant; with `ratio` one of them is
/// `4 over 1`, or `phase` is `during over before`.
/// For the JSON Schema; read by hand in `plan::expectations`.
#[derive(JsonSchema)]
#[allow(dead_code)]
pub struct Expectation {
    /// A metric, as in graphs.
    pub metric: Option<String>,
    /// A metric of which two cells are compared.
    pub ratio: Option<String>,
    /// Of which workload, where there are several.
    pub of: Option<String>,
    /// In which phase; `during` by default, and of what belongs to targets the whole load. With `ratio` also two of them:
    /// `during over before`.
    pub phase: Option<String>,
    /// Of which step; of the passes by default.
    pub step: Option<String>,
    /// Of which target, where it is a resource; of all together by default.
    pub target: Option<String>,
    /// It must be more than this, in the metric's unit: `1000/s`, `20ms`, `64MiB`, `1%`, a number.
    pub above: Option<Json>,
    /// It must be less than this.
    pub below: Option<Json>,
    /// What to call it in reports.
    pub name: Option<String>,
}
