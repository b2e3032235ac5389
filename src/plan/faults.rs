//! What is broken on purpose while the load runs, and when a hopeless repetition is given up.

use std::time::Duration;

use serde::Serialize;

use super::links::Shape;
use super::load::{Length, Load};
use super::text::{as_optional_text, as_text};
use vocabulary::choices::Signal;
use vocabulary::metric::{NOT_RECOVERED, RECOVERY};
use vocabulary::rows::FEWEST_BEFORE_FAULT;
use vocabulary::units::exact_duration;
use vocabulary::{Better, Interest, NamedMetric, Phase};

/// What a cell's faults are, and which limits do not apply because of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Faults {
    /// In the order of their instants.
    pub list: Vec<Fault>,
    /// Limits that the scenario does not set: what a fault breaks is a result, and does not make a repetition invalid.
    pub unlimited: Unlimited,
}

impl Faults {
    /// Whether nothing is broken on purpose, neither here nor on another machine.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Limits without effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Unlimited {
    /// That of wrong and missing answers.
    pub errors: bool,
    /// That of time without a right answer.
    pub silence: bool,
    /// That of passes open at the end.
    pub open: bool,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fault {
    /// Its name in results.
    pub name: String,
    /// When it happens, from the start of the load.
    #[serde(serialize_with = "as_text")]
    pub at: Duration,
    /// What is done.
    pub action: FaultAction,
    /// How long it lasts; `None`: until the load is over, or an instant.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_optional_text")]
    pub lasts: Option<Duration>,
    /// The workload whose recovery is judged; `None`: all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// How far rate and times may be from those before, as a share.
    pub band: f64,
    /// How long they must stay there.
    #[serde(serialize_with = "as_text")]
    pub hold: Duration,
    /// The fault in words, for graphs and messages.
    pub words: String,
    /// The metrics of its recovery.
    pub metrics: Vec<NamedMetric>,
}

impl Fault {
    /// A warning if too few windows lie between the start of what is measured and the fault to tell what was usual. `loads`: of the
    /// workloads of its cell.
    pub fn remark<'l>(&self, loads: impl Iterator<Item = (&'l str, &'l Load)>, window: Duration) -> Option<String> {
        let is_judged = |name: &str| self.of.as_deref().is_none_or(|of| of == name);
        let mut loads = loads.filter(|(name, _)| is_judged(name));
        let too_few = loads.any(|(_, load)| {
            let warm_up = load.segments.iter().take_while(|segment| segment.phase == Phase::WarmUp);
            let lengths = warm_up.map(|segment| match segment.length {
                Length::Duration(length) => Some(length),
                Length::Amount(_) => None,
            });
            let from = lengths.sum::<Option<Duration>>().filter(|until| *until < self.at).unwrap_or_default();
            self.at.saturating_sub(from) < window.saturating_mul(FEWEST_BEFORE_FAULT)
        });
        too_few.then(|| {
            format!(
                "note: the fault `{}` at {} has fewer than {FEWEST_BEFORE_FAULT} windows of {} before it that are measured, so it has no recovery \
                 time: a later fault or a shorter `window` would have one",
                self.name,
                exact_duration(self.at),
                exact_duration(window)
            )
        })
    }
}

/// A target, or one of its replicas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Victim {
    /// The target.
    pub target: String,
    /// The number of the replica, from 1; `None`: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replica: Option<u32>,
}

impl Victim {
    /// Whether a replica is hit.
    pub fn is(&self, target: &str, replica: u32) -> bool {
        self.target == target && self.replica.is_none_or(|number| number == replica)
    }

    /// As typed: `blobs.2`.
    pub fn words(&self) -> String {
        match self.replica {
            Some(number) => format!("{}.{number}", self.target),
            None => self.target.clone(),
        }
    }
}

/// What a fault does.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultAction {
    /// The process trees of replicas get `KILL`.
    Kill {
        /// Who is killed.
        victim: Victim,
        /// How long afterwards they are started again.
        #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_optional_text")]
        restart: Option<Duration>,
    },
    /// The process trees of replicas stand still.
    Stop {
        /// Who stands still.
        victim: Victim,
    },
    /// The first process of replicas gets a signal.
    Signal {
        /// Which signal.
        signal: Signal,
        /// Who gets it.
        victim: Victim,
    },
    /// A link has other properties.
    Link {
        /// Which link.
        link: String,
        /// From the near to the far side.
        forward: Shape,
        /// From the far to the near side.
        back: Shape,
        /// Whether nothing passes at all.
        cut: bool,
    },
    /// The file system of scratch directories is full.
    Fill,
}

impl FaultAction {
    /// The replicas that it hits.
    pub fn victim(&self) -> Option<&Victim> {
        match self {
            Self::Kill { victim, .. } | Self::Stop { victim } | Self::Signal { victim, .. } => Some(victim),
            Self::Link { .. } | Self::Fill => None,
        }
    }

    /// Whether the replicas that it hits may end because of it.
    pub fn is_deadly(&self) -> bool {
        match self {
            Self::Kill { .. } => true,
            Self::Signal { signal, .. } => matches!(signal, Signal::Term | Signal::Int | Signal::Quit | Signal::Kill),
            Self::Stop { .. } | Self::Link { .. } | Self::Fill => false,
        }
    }

    /// In words, with how long it lasts.
    pub fn words(&self, lasts: Option<Duration>) -> String {
        let lasting = lasts.map_or_else(String::new, |lasts| format!(" for {}", exact_duration(lasts)));
        match self {
            Self::Kill { victim, restart: None } => format!("kill {}", victim.words()),
            Self::Kill { victim, restart: Some(restart) } => {
                format!("kill {}, restart after {}", victim.words(), exact_duration(*restart))
            }
            Self::Stop { victim } => format!("stop {}{lasting}", victim.words()),
            Self::Signal { signal, victim } => format!("{} to {}", signal.name(), victim.words()),
            Self::Link { link, cut: true, .. } => format!("link {link} cut{lasting}"),
            Self::Link { link, .. } => format!("link {link} changed{lasting}"),
            Self::Fill => format!("scratch full{lasting}"),
        }
    }
}

/// The metrics that each fault has.
pub fn metrics() -> Vec<NamedMetric> {
    let not_recovered = NamedMetric { better: Better::Less, ..NamedMetric::new(NOT_RECOVERED, "%", Interest::Fault) };
    vec![NamedMetric::new(RECOVERY, "s", Interest::Question), not_recovered]
}

/// When a hopeless repetition is given up.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Abort {
    /// The largest share of a window's passes that may fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<f64>,
    /// The longest 99th percentile of a window's response times.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_optional_text")]
    pub response_p99: Option<Duration>,
    /// The longest time without a right answer.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_optional_text")]
    pub silence: Option<Duration>,
    /// How long a condition must hold.
    #[serde(serialize_with = "as_text")]
    pub lasts: Duration,
}
