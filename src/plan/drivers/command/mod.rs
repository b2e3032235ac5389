//! A program that makes the load itself.

use std::time::Duration;

use serde::Serialize;

use super::{Asks, Description, Protocol};
use crate::text::as_text;
use crate::{ExtractedMetric, Late, Template};
use vocabulary::{Interest, NamedMetric};

/// The metrics that every command has without extracting them, in seconds.
pub const METRICS: [&str; 2] = ["cpu_s", "wall_s"];

/// A program that makes the load itself; each pass is one execution.
#[derive(Clone, Debug, Serialize)]
pub struct Command {
    /// Program and arguments.
    pub argv: Vec<Template>,
    /// Environment variables to add.
    pub env: Vec<(String, Template)>,
    /// Working directory, if not the runner's.
    pub dir: Option<Template>,
    /// Exit codes that mean success.
    pub exit: Vec<u8>,
    /// How long it may take.
    #[serde(serialize_with = "as_text")]
    pub timeout: Duration,
    /// What is extracted from its output, in this order.
    pub metrics: Vec<ExtractedMetric>,
}

impl Protocol for Command {
    fn steps(&self) -> Vec<String> {
        vec!["command".to_owned()]
    }

    fn metrics(&self) -> Vec<NamedMetric> {
        let own = self.metrics.iter().map(ExtractedMetric::named);
        own.chain(METRICS.map(|name| NamedMetric::new(name, "s", Interest::Anyway))).collect()
    }

    fn addresses(&self) -> Vec<(&str, u16)> {
        Vec::new()
    }

    fn addresses_mut(&mut self) -> Vec<(&mut String, &mut u16)> {
        Vec::new()
    }

    fn round_trips(&self) -> u32 {
        0
    }

    fn fill(&mut self, late: &Late<'_>) {
        let env = self.env.iter_mut().map(|(_, value)| value);
        self.argv.iter_mut().chain(env).chain(&mut self.dir).for_each(|template| *template = template.fill(late));
    }

    fn is_program(&self) -> bool {
        true
    }

    fn drain(&self) -> Option<Duration> {
        // A program is not stopped because the load is over.
        Some(self.timeout)
    }

    fn asks(&self) -> Asks {
        Asks::Anybody
    }

    fn description(&self) -> Description {
        let mut lines = vec![crate::template::words(&self.argv)];
        lines.extend(self.metrics.iter().map(|metric| {
            let decimal = if metric.decimal.is_point() { "" } else { ", with a decimal comma" };
            format!("metric {}: {}{decimal}", metric.name, metric.source)
        }));
        Description { to: String::new(), lines }
    }
}
