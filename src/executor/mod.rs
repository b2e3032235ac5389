//! One repetition from set-up to tear-down; the only place that knows the order of its parts.
//!
//! scratch directory → set-up → links, each measured → ports free → targets in order, each ready → taps connected → set-up of
//! the load → verify → counts of servers before the load → load (warm-up, during) → counts after the load → collect →
//! clean-up of the load → targets stopped in reverse → links undone → proof that nothing is left → clean-up → result made
//! durable.
//!
//! | module | what it does |
//! |---|---|
//! | `repetition` | executes this sequence |
//! | `actions`, `command` | the steps of the scenario; `cache` is what they keep for later runs, `checkout` builds a revision |
//! | `targets`, `containers` | start and stop what is measured |
//! | `kept` | targets that outlive repetitions |
//! | `revive` | targets that end under load and are started again; performs what `faults` says is due |
//! | `faults` | what is broken on purpose, when, and how it is undone |
//! | `hopeless` | when a repetition is given up |
//! | `network` | makes, measures and undoes links |
//! | `launches` | starts programs that make the load |
//! | `collect`, `reconcile` | take metrics after the load; compare what servers counted with what was sent |
//! | `taps` | follows logs, files, connections and commands line by line, from the first target's start to the last one's end |
//! | `live` | what may be seen of a repetition while it runs |
//! | `recorder` | receives what load and observation report |
//! | `host`, `watched` | which programs used the processors, and what held the processors up or slowed them down |
//! | `epoch`, `progress` | the start of a load; what can be seen of a repetition from outside |
//! | `limits` | decides whether a repetition counts |
//! | `part` | what one of several machines does of a repetition, and where they wait for each other |
//! | `together` | directs the machines, and makes one result of theirs |
//! | `memory` | file systems in memory |
//! | `versions` | asks programs for their versions |
//! | `interrupt` | Ctrl-C |
//!
//! Below all of them are `error`, `late` (names whose values are known only now) and `context` (what is needed to start a
//! process). `plan::order` decides the order of repetitions, and `cmd::execute` follows it.

pub mod actions;
pub mod cache;
pub mod checkout;
mod collect;
mod command;
mod containers;
mod context;
pub mod epoch;
mod error;
mod events;
mod faults;
pub mod hints;
pub mod hopeless;
pub mod host;
pub mod interrupt;
pub mod kept;
pub mod late;
pub mod launches;
pub mod limits;
pub mod live;
mod logs;
pub mod memory;
mod network;
pub mod part;
mod progress;
mod reconcile;
pub mod recorder;
pub mod repetition;
pub mod revive;
mod scrape;
mod taps;
pub mod targets;
pub mod together;
pub mod versions;
mod watched;

pub use context::Context;
pub use epoch::Epoch;
pub use error::Error;
pub use hosts::Lifetimes;
pub use interrupt::Interrupt;
pub use kept::Kept;
pub use part::Part;
pub use progress::Progress;
pub use repetition::{Executor, LoadMark};
pub use together::{Conductor, Member};
