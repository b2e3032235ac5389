//! The part of a repetition that one of several machines has, and the points at which all of them wait for each other.
//!
//! Each machine executes the story of `repetition` with what of the cell is its own. `together` is the other end: it directs them.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use super::actions::Found;
use super::error::Error;
use super::progress::LOAD;
use super::reconcile;
use hosts::{Abandoned, Ended, Passed, Post, Sent};
use load::Part as Share;
use plan::{Cell, Limits, Plan};

/// Where all machines wait for each other, in the order of the story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    /// Set-up steps are done.
    SetUp,
    /// The targets of one group are ready: those that follow each other on one machine.
    Targets(u32),
    /// All targets are ready.
    Ready,
    /// The set-up of the load is done.
    LoadSetUp,
    /// Every checked pass was answered.
    Verified,
    /// The start of time: an instant belongs to it.
    Epoch,
    /// All connections are made, and the load starts: an instant belongs to it.
    Start,
    /// All passes have ended.
    LoadOver,
    /// Everything is collected.
    Collected,
    /// The clean-up of the load is done.
    LoadCleanedUp,
}

impl Point {
    /// Its number in messages.
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::SetUp => 1,
            Self::Ready => 2,
            Self::LoadSetUp => 3,
            Self::Verified => 4,
            Self::Epoch => 5,
            Self::Start => 6,
            Self::LoadOver => 7,
            Self::Collected => 8,
            Self::LoadCleanedUp => 9,
            Self::Targets(group) => 100 + group,
        }
    }

    /// The point with a number.
    pub(crate) fn of(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::SetUp,
            2 => Self::Ready,
            3 => Self::LoadSetUp,
            4 => Self::Verified,
            5 => Self::Epoch,
            6 => Self::Start,
            7 => Self::LoadOver,
            8 => Self::Collected,
            9 => Self::LoadCleanedUp,
            _ => Self::Targets(number.checked_sub(100)?),
        })
    }

    /// What a machine has not done yet that is missing at this point.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::SetUp => "its set-up steps",
            Self::Targets(_) => "starting its targets",
            Self::Ready => "connecting its taps",
            Self::LoadSetUp => "the set-up of the load",
            Self::Verified => "its checked pass",
            Self::Epoch => "reading the counts of its servers",
            Self::Start => "making its connections",
            Self::LoadOver => "its load",
            Self::Collected => "collecting",
            Self::LoadCleanedUp => "the clean-up of the load",
        }
    }

    /// What the machines do after it, for whoever watches.
    pub(crate) fn stage(self) -> &'static str {
        match self {
            Self::SetUp | Self::Targets(_) => "start",
            Self::Ready | Self::LoadSetUp => "verify",
            Self::Verified | Self::Epoch | Self::Start => LOAD,
            Self::LoadOver | Self::Collected | Self::LoadCleanedUp => "stop",
        }
    }
}

/// The part of one machine.
#[derive(Debug)]
pub struct Part<'a> {
    /// The end of the channel to whoever directs all of them.
    pub post: &'a Post,
    /// The machine's role; none: that of the run's own machine.
    pub role: Option<String>,
    /// Its number among the machines of its role, from 0.
    pub index: u64,
    /// How many they are.
    pub of: u64,
    /// What the others want to know of the repetition that has just ended.
    pub ended: RefCell<Ended>,
    /// For each cell, the groups of targets that are started one after the other: the role of each, and how many targets it has.
    groups: Vec<Vec<(Option<String>, usize)>>,
}

impl<'a> Part<'a> {
    /// The part of a machine, and the plan with what of each cell is its own.
    pub fn of(plan: &Plan, post: &'a Post, role: Option<String>, (index, of): (u64, u64)) -> (Self, Plan) {
        let groups = plan.cells.iter().map(groups).collect();
        let cells = plan.cells.iter().map(|cell| cell.of_host(role.as_deref())).collect();
        // Who else uses the machine is known only where all of its agents are known.
        let limits = Limits { host_load: None, ..plan.limits };
        let own = Plan { cells, limits, set_up: Vec::new(), clean_up: Vec::new(), ..plan.clone() };
        (Self { post, role, index, of, ended: RefCell::default(), groups }, own)
    }

    /// The groups of targets of a cell: for each, how many of them are started here.
    pub(crate) fn groups_here(&self, cell: usize) -> Vec<usize> {
        let here = |(role, targets): &(Option<String>, usize)| if *role == self.role { *targets } else { 0 };
        self.groups[cell].iter().map(here).collect()
    }

    /// Whether something with this role is done here.
    pub(crate) fn is_here(&self, on: Option<&str>) -> bool {
        self.role.as_deref() == on
    }

    /// Its share of the loads.
    pub(crate) fn share(&self) -> Share {
        Share { index: self.index, of: self.of }
    }

    /// Waits at a point; `found`: what set-up steps have found here.
    pub(crate) async fn reach(&self, point: Point, found: Found) -> Result<Passed, Error> {
        self.post.reach(point.number(), Vec::new(), None, found).await.map_err(elsewhere)
    }

    /// Waits until all loads are over; returns what all machines have sent, and from when until when.
    pub(crate) async fn load_over(&self, sent: Vec<Sent>, span: Option<(u64, u64)>) -> Result<Passed, Error> {
        self.post.reach(Point::LoadOver.number(), sent, span, Found::new()).await.map_err(elsewhere)
    }

    /// Waits at a point to which an instant belongs.
    pub(crate) async fn instant_of(&self, point: Point) -> Result<Instant, Error> {
        let passed = self.reach(point, Found::new()).await?;
        Ok(passed.at_ns.map_or_else(Instant::now, |at_ns| self.post.clock.instant(at_ns)))
    }

    /// Waits until the repetition fails elsewhere.
    pub(crate) async fn abandoned(&self) -> Error {
        elsewhere(self.post.abandoned().await)
    }
}

/// By how much it is too late for an instant.
pub(crate) fn late(instant: Instant) -> Duration {
    Instant::now().saturating_duration_since(instant)
}

fn elsewhere(abandoned: Abandoned) -> Error {
    match abandoned.host {
        Some(host) => Error::Elsewhere { host, why: abandoned.why },
        None => Error::Asked(abandoned.why),
    }
}

/// Targets in the order of their starts, those that follow each other on one machine together.
fn groups(cell: &Cell) -> Vec<(Option<String>, usize)> {
    let mut groups: Vec<(Option<String>, usize)> = Vec::new();
    for target in &cell.targets {
        match groups.last_mut() {
            Some((role, targets)) if *role == target.on => *targets += 1,
            _ => groups.push((target.on.clone(), 1)),
        }
    }
    groups
}

/// What was sent from here to the servers of a cell that count.
pub(crate) fn sent(cell: &Cell, reports: &[(usize, load::Report)]) -> Vec<Sent> {
    cell.reconcile.iter().map(|one| reconcile::sent(one, reports)).collect()
}
