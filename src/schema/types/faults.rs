//! What is broken on purpose while the load runs, and when a hopeless repetition is given up.

use schemars::JsonSchema;

use crate::types::{BitRate, Duration, LinkShape, Percent, Share, Signal, Text, Timeout};

/// Something that is broken on purpose while the load runs: exactly one of `kill`, `stop`, `signal`, `link` and `fill`.
///
/// Each fault is marked in graphs over time and on the page, is recorded as events and in `status.json`, and has a
/// [recovery time](faults.md#recovery-time).
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "faults"))]
pub struct Fault {
    /// When it happens, counted from the start of the load, warm-up included; with `phase`, from the start of that phase.
    #[schemars(extend("examples" = ["10s"]))]
    pub at: Duration,
    /// The phase from whose start `at` is counted. Every phase before it must have a duration.
    #[serde(default)]
    #[schemars(extend("x-default" = "from the start of the load", "examples" = ["during"]))]
    pub phase: Option<String>,
    /// Its name in results, from which `of` of expectations and graphs refers to it. Up to 100 letters, digits, `-` and `_`.
    #[serde(default)]
    #[schemars(extend("x-default" = "made of what it does: `kill-blobs-2`", "examples" = ["outage"]))]
    pub name: Option<String>,
    /// Whether the fault exists in a cell: an expression that gives `true` or `false`.
    #[serde(default)]
    #[schemars(extend("x-default" = "true", "examples" = ["${replicas > 1}"]))]
    pub when: Option<bool>,
    /// A target, or one of its replicas (`blobs.2`), that is killed: its whole process tree gets `KILL`. Its death does not fail the
    /// repetition.
    #[serde(default)]
    #[schemars(extend("examples" = ["blobs.2"]))]
    pub kill: Option<Text>,
    /// With `kill`: how long after the kill the target is started again. Without `restart` it stays dead.
    #[serde(default)]
    #[schemars(extend("x-default" = "it is not started again", "examples" = ["2s"]))]
    pub restart: Option<Duration>,
    /// A target, or one of its replicas, that stands still: its whole process tree is stopped (`SIGSTOP`), and continued after `for`.
    /// A container is paused by its engine.
    #[serde(default)]
    #[schemars(extend("examples" = ["db"]))]
    pub stop: Option<Text>,
    /// A signal that is sent to the first process of `target`: `TERM`, `INT`, `QUIT`, `HUP`, `USR1`, `USR2` or `KILL`. A target may
    /// end because of `TERM`, `INT`, `QUIT` and `KILL`; the others must not end it.
    #[serde(default)]
    #[schemars(extend("examples" = ["HUP"]))]
    pub signal: Option<Signal>,
    /// With `signal`: the target, or one of its replicas, that gets it.
    #[serde(default)]
    #[schemars(extend("examples" = ["proxy"]))]
    pub target: Option<Text>,
    /// A link whose properties change: `delay`, `jitter`, `loss`, `rate`, `back` or `cut`. What is not given stays as it is. After
    /// `for` the link is as before.
    #[serde(default)]
    #[schemars(extend("examples" = ["wan"]))]
    pub link: Option<String>,
    /// With `link`: how long each packet towards the far side is held back.
    #[serde(default)]
    #[schemars(extend("x-default" = "as before", "examples" = ["200ms"]))]
    pub delay: Option<Duration>,
    /// With `link`: how much the delay towards the far side varies.
    #[serde(default)]
    #[schemars(extend("x-default" = "as before", "examples" = ["20ms"]))]
    pub jitter: Option<Duration>,
    /// With `link`: the share of packets towards the far side that are lost.
    #[serde(default)]
    #[schemars(extend("x-default" = "as before", "examples" = ["5%"]))]
    pub loss: Option<Share>,
    /// With `link`: how many bits per second pass towards the far side.
    #[serde(default)]
    #[schemars(extend("x-default" = "as before", "examples" = ["1Mbit/s"]))]
    pub rate: Option<BitRate>,
    /// With `link`: what changes in the other direction.
    #[serde(default)]
    #[schemars(extend("x-default" = "as before", "examples" = [{"delay": "200ms"}]))]
    pub back: LinkShape,
    /// With `link`: nothing passes in either direction. Packets are lost; a relay holds everything back instead.
    #[serde(default)]
    #[schemars(extend("examples" = [true]))]
    pub cut: bool,
    /// A file system that is filled to its last byte, until `for` is over: `scratch`. It needs `scratch: {tmpfs: SIZE}`, so that
    /// nothing else becomes full.
    #[serde(default)]
    #[schemars(extend("examples" = ["scratch"]))]
    pub fill: Option<Filled>,
    /// How long the fault lasts. Only for `stop`, `link` and `fill`; faults of the same thing must not overlap.
    #[serde(default, rename = "for")]
    #[schemars(extend("x-default" = "until the load is over", "examples" = ["5s"]))]
    pub lasts: Option<Timeout>,
    /// The workload whose recovery is judged.
    #[serde(default)]
    #[schemars(extend("x-default" = "all; the last one to recover counts", "examples" = ["clients"]))]
    pub of: Option<String>,
    /// How far rate and 99th percentile may be from those before the fault and still count as recovered: the
    /// [band](faults.md#recovery-time).
    #[serde(default)]
    #[schemars(extend("x-default" = "20%", "examples" = ["10%"]))]
    pub band: Option<Percent>,
    /// How long all windows must be within the band to count as recovered.
    #[serde(default)]
    #[schemars(extend("x-default" = "1s, at least two windows", "examples" = ["3s"]))]
    pub hold: Option<Timeout>,
}

/// What can be filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Filled {
    /// The file system of scratch directories.
    Scratch,
}

/// When a hopeless repetition is given up. As soon as one of the conditions has held for `for`, the load ends, the repetition has
/// the verdict `failed` with the reason, what was measured is kept, and the run goes on.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "abort"))]
pub struct Abort {
    /// The share of the passes that ended in a window, and that were answered wrongly or not at all: `> 20%`.
    #[serde(default)]
    #[schemars(extend("x-default" = "not looked at", "examples" = ["> 20%"]))]
    pub errors: Option<Text>,
    /// The 99th percentile of the response time of a window: `> 2s`.
    #[serde(default, rename = "response_p99")]
    #[schemars(extend("x-default" = "not looked at", "examples" = ["> 2s"]))]
    pub response_p99: Option<Text>,
    /// How long no pass was answered as expected: `> 5s`. `for` does not apply to it.
    #[serde(default)]
    #[schemars(extend("x-default" = "not looked at", "examples" = ["> 5s"]))]
    pub silence: Option<Text>,
    /// How long a condition must hold, window after window. At least two windows.
    #[serde(default, rename = "for")]
    #[schemars(extend("x-default" = "5s", "examples" = ["10s"]))]
    pub lasts: Option<Timeout>,
}
