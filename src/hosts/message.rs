//! What controller and agents say to each other. Both are the same program: their executables are compared before anything else,
//! so messages need not be understood by another version.

use std::collections::BTreeMap;
use std::path::PathBuf;

use record::manifest::Host;
use serde::{Deserialize, Serialize};

/// The number of this protocol; it changes when [`Here`] or the frames change.
pub const PROTOCOL: u32 = 1;

/// From the controller to an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToAgent {
    /// A file that the scenario names follows in pieces, of so many bytes.
    File(FileHead),
    /// What will be executed.
    Scenario(Box<Scenario>),
    /// What time is it?
    Clock {
        /// When this was asked, by the controller's clock.
        asked_ns: i64,
    },
    /// Execute a repetition.
    Execute {
        /// Its cell, by index.
        cell: usize,
        /// Its number.
        repetition: u32,
        /// What set-up steps around repetitions have found.
        found: BTreeMap<String, String>,
    },
    /// All machines have reached a point.
    Passed(Passed),
    /// The repetition fails.
    Abandon {
        /// Which machine brought it down; none: the user.
        host: Option<String>,
        /// Why.
        why: String,
    },
    /// Targets whose lifetime is over are stopped.
    EndLifetimes(Lifetimes),
    /// Execute whole rounds, instead of parts of repetitions.
    Shard(Box<ShardWork>),
    /// The controller is there.
    Alive,
    /// Nothing else will be asked.
    Stop,
}

/// A file that follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileHead {
    /// Its path: of a scenario's file the full one, of results relative to the repetition.
    pub path: PathBuf,
    /// How long it is.
    pub bytes: u64,
    /// Who may read, write and execute it, as nine bits.
    pub mode: u32,
}

/// A scenario, and what the machine has to do with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scenario {
    /// The full path of its file on the controller.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    /// Folders that it names.
    pub folders: Vec<PathBuf>,
    /// The values of environment variables that it reads.
    pub environment: BTreeMap<String, String>,
    /// `--set`
    pub settings: Vec<String>,
    /// `--repetitions`
    pub repetitions: Option<u32>,
    /// The seed of the plan.
    pub seed: u64,
    /// The commits that revisions mean, by factor and label.
    pub commits: Vec<(String, String, String)>,
    /// The addresses of all machines, by role.
    pub hosts: BTreeMap<String, Vec<String>>,
    /// The machine's name.
    pub name: String,
    /// Its role; none: that of the run's own machine.
    pub role: Option<String>,
    /// Its number among the machines of that role, from 0.
    pub index: u64,
    /// How many they are.
    pub of: u64,
}

/// Some rounds of a run, which a machine executes as a run of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardWork {
    /// The full path of the scenario's file on the controller; it was sent like the files that it names.
    pub path: PathBuf,
    /// Folders that it names.
    pub folders: Vec<PathBuf>,
    /// The values of environment variables that it reads.
    pub environment: BTreeMap<String, String>,
    /// The command of runner, such as `run`.
    pub command: String,
    /// What follows the scenario on the command line.
    pub words: Vec<String>,
    /// Options that say when to stop, which also hold for what is continued.
    pub stop: Vec<String>,
    /// The bundled programs, if they were sent: a path like those of other files.
    pub fixtures: Option<PathBuf>,
}

/// All machines have reached a point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passed {
    /// The point.
    pub point: u32,
    /// The instant that belongs to it, by the agent's clock, if one does.
    pub at_ns: Option<i64>,
    /// What all of them have sent to servers that count.
    pub sent: Vec<Sent>,
    /// From the first to the last request of all of them, in nanoseconds since the epoch, once they are known.
    pub span: Option<(u64, u64)>,
    /// What set-up steps of all of them have found.
    pub found: BTreeMap<String, String>,
}

/// What was sent to a server that counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Requests that were written.
    pub sent: u64,
    /// Those that were answered.
    pub answered: u64,
    /// Those that followed redirects.
    pub elsewhere: u64,
}

/// The targets whose lifetime is over, and which are stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lifetimes {
    /// Those of cells other than this one.
    OtherCells(usize),
    /// Those of this cell.
    Cell(usize),
    /// All.
    Run,
}

/// From an agent to the controller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToController {
    /// The first message.
    Here(Box<Here>),
    /// The scenario can be executed, except for these cells.
    Planned {
        /// Cells by index, each with the reason why it is skipped here.
        skipped: Vec<(usize, String)>,
    },
    /// The scenario cannot be executed here.
    Refused {
        /// Why, as `check` says it.
        why: String,
    },
    /// An answer about the time.
    Clock {
        /// When it was asked, by the controller's clock.
        asked_ns: i64,
        /// When the question arrived, by the agent's clock.
        received_ns: i64,
        /// When this answer left.
        answered_ns: i64,
    },
    /// The repetition has reached a point and waits there for the others.
    Reached {
        /// The point.
        point: u32,
        /// What was sent to servers that count.
        sent: Vec<Sent>,
        /// From the first to the last request, in nanoseconds since the epoch, if any was made here.
        span: Option<(u64, u64)>,
        /// What set-up steps have found here since the last point.
        found: BTreeMap<String, String>,
    },
    /// The repetition cannot go on here.
    Broke {
        /// Why.
        why: String,
    },
    /// The agent is there, with so many passes so far.
    Alive {
        /// Passes of this repetition that ended.
        passes: u64,
        /// What was seen of the repetition since the last time.
        seen: Seen,
    },
    /// A file of the repetition follows in pieces.
    File(FileHead),
    /// The repetition has ended, and all of its files were sent.
    Ended(Ended),
    /// What was asked of lifetimes is done.
    LifetimesEnded {
        /// What went wrong.
        why: Option<String>,
    },
    /// A file or a folder of results has arrived whole.
    Arrived {
        /// Below which folder it was sent, which nothing else is.
        folder: PathBuf,
        /// Its path there, and below the folder of results.
        path: PathBuf,
    },
    /// All that could be executed of a shard was executed, and has been sent.
    ShardEnded {
        /// The exit code of its runner; none if a signal ended it.
        code: Option<i32>,
        /// What it said last.
        said: String,
    },
    /// A word for the user.
    Tell {
        /// What to say.
        words: String,
    },
}

/// What load and observation of a machine have reported since it last said so. It is for whoever watches, and what the channel has no
/// room for is left out: the record of all of it is sent at the end of the repetition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// Windows that are over.
    pub windows: Vec<SeenWindow>,
    /// Replicas, the latest of each.
    pub processes: Vec<SeenProcess>,
    /// Processor time of the generator's threads per time, in cores.
    pub generator_cores: Option<f64>,
}

/// Passes of one thread that ended in one window with one outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenWindow {
    /// Index of the workload.
    pub workload: u16,
    /// Start of the window, nanoseconds since the load began.
    pub start_ns: u64,
    /// How many there were.
    pub passes: u64,
    /// How many of them count: those of the warm-up do not.
    pub counted: u64,
    /// How many of those were errors.
    pub errors: u64,
    /// Their response times, encoded; empty where they do not count in times.
    pub response: Vec<u8>,
}

/// What a replica used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenProcess {
    /// Its target.
    pub target: String,
    /// Its number.
    pub replica: u32,
    /// How long ago that was, in nanoseconds, when it was said.
    pub ago_ns: u64,
    /// Processor time so far, in nanoseconds.
    pub cpu_ns: u64,
    /// Its memory.
    pub pss_bytes: Option<u64>,
}

/// How a repetition ended on a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// By how much its load started later than agreed, by its own clock.
    pub late_ns: u64,
    /// What the run's processes there used of all processors' time, in parts of a million; none where that is not known.
    pub ours_ppm: Option<u64>,
    /// Why there is no result; none: its status says how it ended.
    pub broken: Option<String>,
}

/// What an agent is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Here {
    /// Version of runner.
    pub version: String,
    /// The SHA-1 of its executable.
    pub hash: String,
    /// The machine.
    pub host: Host,
    /// Kernel settings that change results.
    pub settings: BTreeMap<String, String>,
    /// An identity that two agents on one machine share.
    pub machine: String,
    /// What Slurm calls it, if Slurm started the agent.
    pub node: Option<String>,
}
