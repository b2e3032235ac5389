//! What must hold for a run to pass.

use schemars::JsonSchema;
use serde_json::Value as Json;

/// What must hold: a metric, or the ratio of a metric between two levels of a factor or between two phases, above or below a
/// bound. Further keys are factors with the level or levels of the cells that are meant.
// For the JSON Schema; read by hand in `plan::expectations`.
#[derive(JsonSchema)]
#[allow(dead_code)]
#[schemars(extend("x-page" = "expectations"))]
pub struct Expectation {
    /// The [metric](metrics.md) that must hold. Exactly one of `metric` and `ratio` is needed.
    #[schemars(extend("examples" = ["response_p99"]))]
    pub metric: Option<String>,
    /// The [metric](metrics.md) whose ratio must hold: between two cells that differ in one factor, which is then a key with
    /// two levels (`processes: 4 over 1`), or between two phases of the same repetition (`phase: during over before`).
    #[schemars(extend("examples" = ["throughput"]))]
    pub ratio: Option<String>,
    /// The workload, the entry of `collect`, or the tap to which the metric belongs.
    #[schemars(extend("x-default" = "the first that has the metric", "examples" = ["easy"]))]
    pub of: Option<String>,
    /// The phase in which the metric must hold. With `ratio` it may also be two phases, such as `during over before`.
    #[schemars(extend("x-default" = "during; the whole load for metrics of targets", "examples" = ["during"]))]
    pub phase: Option<String>,
    /// The step whose metric must hold.
    #[schemars(extend("x-default" = "the pass as a whole", "examples" = ["flag"]))]
    pub step: Option<String>,
    /// The target whose metric must hold, for a metric that belongs to targets, such as `pss`.
    #[schemars(extend("x-default" = "all targets together", "examples" = ["broker"]))]
    pub target: Option<String>,
    /// The bound above which the metric must be, with its unit: `1000/s`, `20ms`, `64MiB`, `1%` or a number. For a metric of
    /// a command it is a number in the metric's own unit, for a ratio a number. At least one of `above` and `below` is
    /// needed.
    #[schemars(extend("examples" = ["1000/s"]))]
    pub above: Option<Json>,
    /// The bound below which the metric must be, with its unit: `1000/s`, `20ms`, `64MiB`, `1%` or a number. For a metric of
    /// a command it is a number in the metric's own unit, for a ratio a number. At least one of `above` and `below` is
    /// needed.
    #[schemars(extend("examples" = ["20ms"]))]
    pub below: Option<Json>,
    /// What reports call the expectation.
    #[schemars(extend("x-default" = "the item as typed", "examples" = ["easy requests stay fast"]))]
    pub name: Option<String>,
}
