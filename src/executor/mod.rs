//! One repetition from set-up to tear-down; the only place that knows the order of its parts.
//!
//! scratch directory → set-up → links, each measured → ports free → targets in order, each ready → taps connected → set-up of the load → verify →
//! what servers counted until now → load (warm-up, during) → what they counted now → collect → clean-up of the load →
//! targets stopped in reverse → links undone → proof that nothing is left → clean-up → result made durable.
//!
//! | module | what it does |
//! |---|---|
//! | `repetition` | tells that story |
//! | `actions`, `command` | the scenario's own steps; `cache` is what they keep for later runs, `checkout` a revision that is built |
//! | `targets`, `containers` | start and stop what is measured |
//! | `kept` | those that outlive repetitions |
//! | `revive` | those that end under load and are started again |
//! | `network` | makes, measures and undoes links |
//! | `launches` | starts programs that make the load |
//! | `collect`, `reconcile` | take metrics when the load is over; hold what servers counted against what was sent |
//! | `taps` | follows logs, files, connections and commands line by line, from the first target's start to the last one's end |
//! | `recorder` | takes in what load and observation report |
//! | `host`, `watched` | who used the processors meanwhile, and what held them up or slowed them down |
//! | `limits` | says whether a repetition counts |
//! | `memory` | file systems in memory |
//! | `versions` | asks programs what they are |
//! | `interrupt` | Ctrl-C |
//!
//! Below all of them are `error`, `late` (names whose values are known only now) and `context` (what starting something needs
//! to know). Which repetition comes when says `plan::order`, and `cmd::execute` goes by it.

pub mod actions;
pub mod cache;
pub mod checkout;
mod collect;
mod command;
mod containers;
mod context;
mod error;
pub mod hints;
pub mod host;
pub mod interrupt;
pub mod kept;
pub mod late;
pub mod launches;
pub mod limits;
mod logs;
pub mod memory;
mod network;
mod reconcile;
pub mod recorder;
pub mod repetition;
pub mod revive;
mod taps;
pub mod targets;
pub mod versions;
mod watched;

pub use context::Context;
pub use error::Error;
pub use interrupt::Interrupt;
pub use kept::{Kept, Over};
pub use repetition::{Executor, Progress};
