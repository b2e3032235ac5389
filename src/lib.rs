//! `runner`: declarative performance experiments.
//!
//! The map, in reading order:
//!
//! - `cli`, `exit`, `cmd`: the command line; one short story per subcommand. `cmd` composes what follows.
//! - `schema`: a scenario as typed, with positions. Knows nothing of what the parts mean together.
//! - `plan`: the experiment as it will run; nothing in it can be invalid. The only reader of `schema`.
//! - `extract`: metrics out of what programs write. Pure, but for the databases that it opens.
//! - `links`: delay, loss and rate between targets and load: made, measured, undone.
//! - `supervise`, `load`, `observe`: processes, requests, measurements of processes and host. They do not know each other.
//! - `executor`: one repetition from set-up to tear-down; drives the three and lets them report by message.
//! - `record`: what a run leaves on disk, written whole or not at all, and read again.
//! - `analysis`: from a run on disk to its summary; `stats` works on plain slices.
//! - `plot`: figures to PNG; its `compose` chooses what a graph shows, the rest knows no experiment.
//! - `marker`, `queue`: by what processes of ours are known, and the bounded way to whoever records; used by several that do not
//!   know each other.
//! - `units`, `errors`: sizes and durations as people write them; how errors are said.

pub mod cli;
pub mod cmd;
pub mod exit;

pub use analysis;
pub use executor;
pub use extract;
pub use links;
pub use load;
pub use observe;
pub use plan;
pub use plan_read;
pub use plot;
pub use record;
pub use schema;
pub use supervise;
pub use vocabulary;
