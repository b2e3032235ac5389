//! Links as they will be emulated: between which sides, with what delay, loss and rate, and how exactly.

use std::time::Duration;

use serde::Serialize;

use super::text::as_text;
pub use vocabulary::choices::LinkMechanism as Mechanism;

/// A path between two sides whose properties are emulated.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Link {
    /// Its name in the scenario, in results and in messages.
    pub name: String,
    /// The target at the near side; `None`: the load, and everything that runs outside of namespaces.
    pub from: Option<String>,
    /// The targets at the far side, all in one namespace.
    pub to: Vec<String>,
    /// From the near to the far side.
    pub forward: Shape,
    /// From the far to the near side.
    pub back: Shape,
    /// How it is made.
    pub mechanism: Mechanism,
    /// How exact it must be.
    pub tolerance: Tolerance,
    /// TCP ports of the targets at the far side: a relay must know them.
    pub ports: Vec<u16>,
    /// Whether faults change it while the load runs.
    #[serde(skip_serializing_if = "Changes::is_never")]
    pub changes: Changes,
}

/// Whether a link changes while the load runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Changes {
    /// It stays as it is.
    #[default]
    Never,
    /// Delay, rate, or nothing passes for a while.
    Shape,
    /// Also its losses.
    Loss,
}

impl Changes {
    /// Whether it stays as it is.
    #[allow(clippy::trivially_copy_pass_by_ref)]
    pub fn is_never(&self) -> bool {
        *self == Self::Never
    }
}

impl Link {
    /// The requested round trip: each delay is added once, in its direction.
    pub fn round_trip(&self) -> Duration {
        self.forward.delay + self.back.delay
    }

    /// Late names whose values are set when the link is made: the far side's host, and the port of its first target.
    pub fn late_names(&self) -> [String; 2] {
        ["host", "port"].map(|part| late_name(&self.name, part))
    }
}

/// The late name of a part of a link's address.
pub fn late_name(link: &str, part: &str) -> String {
    format!("link_{}_{part}", link.replace('-', "_"))
}

/// What happens to packets in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Shape {
    /// Added to each packet's time on the way.
    #[serde(serialize_with = "as_text")]
    pub delay: Duration,
    /// The delay is uniformly distributed from `delay` − `jitter` to `delay` + `jitter`; packets keep their order.
    #[serde(serialize_with = "as_text")]
    pub jitter: Duration,
    /// The share of packets that are lost, independently of each other.
    pub loss: f64,
    /// Bits per second, Ethernet headers included; unlimited when absent.
    pub rate_bits_per_s: Option<f64>,
}

/// How far the measured link may differ from the requested one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Tolerance {
    /// Tolerance of the median round trip.
    #[serde(serialize_with = "as_text")]
    pub delay: Duration,
    /// Tolerance of the share of lost packets, absolute.
    pub loss: f64,
    /// Tolerance of the rate, as a share of the rate.
    pub rate: f64,
}

impl Tolerance {
    /// The defaults: 1 ms or 2 % of the round trip; a tenth of the losses, or one packet in
    /// a thousand; a tenth of the rate.
    pub fn for_shapes(forward: &Shape, back: &Shape) -> Self {
        Self {
            delay: Duration::from_millis(1).max((forward.delay + back.delay) / 50),
            loss: (forward.loss.max(back.loss) * 0.1).max(0.001),
            rate: 0.1,
        }
    }
}

/// Whether a host name means this machine.
pub fn is_local(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_tolerance_follows_what_is_asked() {
        let shape = |delay, loss| Shape { delay: Duration::from_millis(delay), loss, ..Shape::default() };
        let near = Tolerance::for_shapes(&shape(1, 0.0), &shape(1, 0.0));
        assert_eq!((near.delay, near.loss), (Duration::from_millis(1), 0.001));
        let far = Tolerance::for_shapes(&shape(200, 0.0), &shape(100, 0.2));
        assert_eq!(far.delay, Duration::from_millis(6));
        assert!((far.loss - 0.02).abs() < 1e-12);
    }
}
