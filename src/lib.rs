//! `runner`: declarative performance experiments.
//!
//! The map, in reading order:
//!
//! - `cli`, `exit`, `cmd`: the command line; one short story per subcommand. `cmd` composes what follows.
//! - `schema`: a scenario as typed, with positions. Knows nothing of what the parts mean together.
//! - `plan`: the experiment as it will run; nothing in it can be invalid. The only reader of `schema`.
//! - `supervise`, `load`, `observe`: processes, requests, measurements of processes and host. They do not know each other.
//! - `plot`: figures to PNG. Knows numbers and words, no experiment.
//! - `units`: sizes and durations as people write them.

pub mod analysis;
pub mod cli;
pub mod cmd;
pub mod errors;
pub mod executor;
pub mod exit;
pub mod load;
pub mod observe;
pub mod plan;
pub mod plot;
pub mod record;
pub mod schema;
pub mod supervise;
pub mod units;
