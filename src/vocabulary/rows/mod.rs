//! Rows: what load and observation report, and what is recorded. Indices mean the order of the plan.

mod requests;
mod samples;
mod taps;
mod transfers;

pub use requests::{MAX_TIME_NS, MetricRow, RequestRow, WindowRow, new_histogram};
pub use samples::{CoreClock, CoreTimes, HostPressure, HostSample, Pressure, ProcessSample};
pub use taps::{TapRow, TapValue};
pub use transfers::{PARTS, PERCENTS, Stage, TransferRow};

/// Name of the pass as a whole in the column `step`; no step has it.
pub const WHOLE: &str = "(pass)";

/// Fewer windows than this show no steady state: a changepoint needs some on both sides.
pub const FEWEST_WINDOWS: u32 = 10;
