//! `runner`: declarative performance experiments.
//!
//! This package is the command line; each floor below it is a crate. This is the map, in reading order, with what each floor
//! must not know. `docs/architecture.md` says who imports whom, and has recipes; `tests/architecture` enforces the imports.
//!
//! - `cli`, `exit`, `cmd`: the command line; one short story per subcommand. `cmd` composes what follows, and knows no details.
//! - `vocabulary`: the words that all floors share – phases, outcomes, metrics, units, rows. Knows no experiment.
//! - `privileges`: how a process gives up root for good. Knows nothing else; fixtures use it, too.
//! - `schema`: a scenario as written, with positions. Does not know what its parts mean together.
//! - `plan`: the experiment as it will run; nothing in it can be invalid. Does not know how it was written or who runs it.
//! - `plan_read`: from a scenario to a plan, or to the list of all its mistakes. The only reader of `schema`; runs nothing.
//! - `extract`: metrics from what programs write. Pure, except for the databases that it opens; does not know who wrote them.
//! - `links`: delay, loss and rate between two sides: made, measured, undone. Knows nothing of the lifecycle of targets.
//! - `tls`: how a stream becomes a TLS stream. Does not know what is sent over it.
//! - `supervise`, `load`, `observe`: processes, requests, measurements of processes and host. They do not know each other.
//! - `record`: what a run leaves on disk: written completely or not at all, and read back. Knows neither protocols nor what
//!   the numbers mean together.
//! - `executor`: one repetition from set-up to tear-down; drives the floors before `record`, which report to it by message. The
//!   only one that knows the order; does not know the outcome of a run as a whole.
//! - `analysis`: from a run on disk to its summary; `stats` works on plain slices. Knows only what `record` reads.
//! - `export`: runs in the formats of other programs: an SQLite database, CSV, files of Tor's measurements. Computes nothing
//!   but percentiles of windows.
//! - `serve`: the results of one experiment over HTTP, in a process of its own. Knows nothing about measuring.
//! - `plot`: figures to PNG and SVG; `plot::compose` chooses what a graph shows, the rest knows no experiment.
//! - `report`: a report of runs, HTML or Markdown. Computes nothing: every figure and verdict comes from `analysis`.

pub mod cli;
pub mod cmd;
pub mod exit;

pub use analysis;
pub use executor;
pub use export;
pub use hosts;
pub use links;
pub use load;
pub use observe;
pub use plan;
pub use plan_read;
pub use plot;
pub use record;
pub use report;
pub use schema;
pub use serve;
pub use supervise;
pub use vocabulary;
