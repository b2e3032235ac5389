//! Rows: what load and observation report, and what is recorded. Indices refer to the order of the plan.

pub mod histogram;
mod requests;
mod samples;
mod taps;
mod transfers;

pub use requests::{MAX_TIME_NS, MetricRow, RequestRow, WindowRow, new_histogram};
pub use samples::{CoreClock, CoreTimes, HostPressure, HostSample, Pressure, ProcessSample};
pub use taps::{TapRow, TapValue};
pub use transfers::{PARTS, PERCENTS, Stage, TransferRow};

/// The name of the whole pass in the column `step`; no step has this name.
pub const WHOLE: &str = "(pass)";

/// Fewer windows than this cannot show a steady state: a changepoint needs some windows on both sides.
pub const FEWEST_WINDOWS: u32 = 10;

/// With fewer windows before a fault, nobody knows what was usual.
pub const FEWEST_BEFORE_FAULT: u32 = 4;
