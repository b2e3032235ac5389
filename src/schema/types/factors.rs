//! The varied dimensions.

use schemars::JsonSchema;
use serde_json::Value as Json;

use crate::types::Timeout;

/// The levels of a factor: a list, a list with a default, a range of numbers, or revisions of a git repository.
// For the JSON Schema; read by hand in `plan::factors`.
#[derive(JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
#[allow(dead_code)]
#[schemars(extend("x-page" = "factors"))]
pub enum Factor {
    /// A list of levels, all of which are executed by default.
    #[schemars(extend("examples" = [[1, 2, 4, 8]]))]
    Levels(Vec<Json>),
    /// A list of levels, of which some are executed by default.
    #[schemars(extend("examples" = [{"levels": ["10KiB", "1MiB"], "default": ["10KiB"]}]))]
    Chosen {
        /// All levels.
        #[schemars(extend("examples" = [["10KiB", "1MiB"]]))]
        levels: Vec<Json>,
        /// The levels that are executed without `--set`.
        #[schemars(extend("examples" = [["10KiB"]]))]
        default: Vec<Json>,
    },
    /// Numbers from one to another.
    #[schemars(extend("examples" = [{"from": 1, "to": 64, "factor": 4}]))]
    Range {
        /// The first level.
        #[schemars(extend("examples" = [1]))]
        from: f64,
        /// The end of the range: no level is greater.
        #[schemars(extend("examples" = [64]))]
        to: f64,
        /// The distance from each level to the next, above 0. Cannot be used with `factor`.
        #[schemars(extend("x-default" = "1, without `factor`", "examples" = [2]))]
        step: Option<f64>,
        /// The ratio of each level to the one before, above 1. Cannot be used with `step`.
        #[schemars(extend("x-default" = "`step` is added", "examples" = [4]))]
        factor: Option<f64>,
    },
    /// [Revisions](../revisions.md) of a git repository. Each is checked out and built once. `${FACTOR.dir}` is the folder of the
    /// checkout, `${FACTOR.commit}` the commit, and `${FACTOR.name}` the revision as typed.
    #[schemars(extend("examples" = [{"git": ".", "of": ["main", "HEAD", "+dirty"], "build": ["make"]}]))]
    Revisions {
        /// A folder in the repository, looked for from the scenario's folder upwards. `.` is the repository that holds the
        /// scenario.
        #[schemars(extend("examples" = ["."]))]
        git: String,
        /// The revisions, at most 100: branches, tags, commits (in quotes if they are only digits), and `+dirty` for the working
        /// tree with what is not committed.
        #[schemars(extend("examples" = [["main", "HEAD", "+dirty"]]))]
        of: Vec<String>,
        /// A program and its arguments, executed once in each checkout.
        #[schemars(extend("x-default" = "a revision is only checked out", "examples" = [["cargo", "build", "--release"]]))]
        build: Option<Vec<Json>>,
        /// How long checking out and building may take.
        #[schemars(extend("x-default" = "1h", "examples" = ["10m"]))]
        timeout: Option<Timeout>,
        /// The revisions that are measured without `--set`.
        #[schemars(extend("x-default" = "all", "examples" = [["main"]]))]
        default: Option<Vec<String>>,
    },
}
