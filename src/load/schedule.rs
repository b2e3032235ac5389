//! When passes start. Pure: a seed and a plan give instants; time comes in as an argument, nothing is read or awaited.
//!
//! All instants are nanoseconds since the epoch of the repetition. A schedule belongs to one generator thread; the
//! threads of a workload divide its passes among themselves without communicating.

mod closed;
mod open;
mod pattern;
mod presence;
mod timeline;
mod typed;

pub use closed::ClosedLoop;
pub use open::OpenLoop;
pub use pattern::Instants;
pub use presence::Presence;
pub use timeline::Timeline;

use plan::{Arrivals, Load};
use vocabulary::Phase;

/// A pass that is to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When it was meant to start.
    pub intended_ns: u64,
    /// The phase that it belongs to.
    pub phase: Phase,
    /// Its number, from 0; different on all threads.
    pub pass: u64,
}

/// What a free client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It starts this pass.
    Begin(Arrival),
    /// Nothing before this instant.
    At(u64),
    /// Nothing more.
    Over,
}

/// Which slice of a load: that of one generator thread.
#[derive(Clone, Copy, Debug)]
pub struct ThreadSlice {
    /// Number of the thread.
    pub thread: u64,
    /// How many threads share the schedule.
    pub threads: u64,
    /// Seed of the workload in this repetition.
    pub seed: u64,
    /// How much later than the load its arrivals start, in nanoseconds; its phases do not.
    pub stagger_ns: u64,
}

impl ThreadSlice {
    /// The slice of one thread of several.
    pub fn of(thread: u64, threads: u64, seed: u64) -> Self {
        Self { thread, threads, seed, stagger_ns: 0 }
    }

    /// The whole schedule of one of several connections that have schedules of their own, which start within
    /// `within_ns`.
    pub fn of_connection(number: u64, all: u64, seed: u64, within_ns: u64) -> Self {
        let stagger_ns = u128::from(within_ns) * u128::from(number) / u128::from(all.max(1));
        Self { thread: 0, threads: 1, seed: mix(seed ^ mix(number + 1)), stagger_ns: stagger_ns as u64 }
    }
}

/// The schedule of one generator thread.
#[derive(Clone, Debug)]
pub enum Schedule {
    /// Arrivals follow completions.
    Closed(ClosedLoop),
    /// Arrivals follow a schedule.
    Open(Box<OpenLoop>),
}

impl Schedule {
    /// The share of one thread of a load that starts at `origin_ns`.
    pub fn new(load: &Load, slice: ThreadSlice, origin_ns: u64) -> Self {
        match &load.arrivals {
            Arrivals::Closed { .. } => Self::Closed(ClosedLoop::new(&load.segments, slice, origin_ns)),
            Arrivals::Open { pattern, spacing, .. } => {
                Self::Open(Box::new(OpenLoop::new(load, pattern, *spacing, slice, origin_ns)))
            }
        }
    }

    /// What a client does that is free at `now_ns`.
    #[inline(always)]
    pub fn next(&mut self, now_ns: u64) -> Next {
        match self {
            Self::Closed(closed) => closed.next(now_ns),
            Self::Open(open) => open.next(now_ns),
        }
    }

    /// Looks for the end of the schedule as far as that matters at `now_ns`; a bounded piece of work. Returns whether
    /// it could continue immediately.
    pub fn look_ahead(&mut self, now_ns: u64) -> bool {
        match self {
            Self::Closed(_) => false,
            Self::Open(open) => open.look_ahead(now_ns),
        }
    }

    /// Ends the schedule; a bounded piece of the work of counting the arrivals that nobody took. Returns whether there
    /// is more.
    pub fn give_up(&mut self) -> bool {
        match self {
            Self::Closed(_) => false,
            Self::Open(open) => open.give_up(),
        }
    }

    /// By phase, how many arrivals there were and how many of them nobody took; empty for a closed loop. Ends the
    /// schedule.
    pub fn offered_and_unsent(&mut self) -> Vec<(Phase, u64, u64)> {
        match self {
            Self::Closed(_) => Vec::new(),
            Self::Open(open) => open.offered_and_unsent(),
        }
    }

    /// The times of the phases, as far as they are known.
    pub fn timeline(&self) -> &Timeline {
        match self {
            Self::Closed(closed) => closed.timeline(),
            Self::Open(open) => open.timeline(),
        }
    }

    /// Whether no more passes start, even if a client is free.
    pub fn is_used_up(&self) -> bool {
        match self {
            Self::Closed(closed) => closed.is_used_up(),
            Self::Open(open) => open.is_used_up(),
        }
    }
}

/// One round of SplitMix64 (Steele, Lea & Flood 2014): a bijection, so different inputs never collide.
pub fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Random numbers from a seed, the same on every machine: SplitMix64.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// From a seed and its purpose.
    pub fn new(seed: u64, purpose: u64) -> Self {
        Self(mix(seed ^ mix(purpose)))
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// Skips this many.
    pub fn skip(&mut self, n: u64) {
        self.0 = self.0.wrapping_add(n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    }

    /// A number greater than 0 and at most 1.
    pub fn share(&mut self) -> f64 {
        ((self.bits() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// A normally distributed number with mean 0 and standard deviation 1 (Box & Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let (radius, angle) = (libm::sqrt(-2.0 * libm::log(self.share())), std::f64::consts::TAU * self.share());
        radius * libm::cos(angle)
    }

    /// An exponentially distributed number with mean 1.
    pub fn exponential(&mut self) -> f64 {
        -libm::log(self.share())
    }
}
