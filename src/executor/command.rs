//! A command of the scenario: it runs to its end, is owned by the guard, and its output is in the logs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::Error;
use super::late::fill_all;
use plan::Invocation;
use plan::Late;
use supervise::{Exit, Guard, Kind, ProcessSpec, probe};

/// A command that runs to its end.
pub(super) struct Command {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Environment variables to add.
    pub env: Vec<(String, String)>,
    /// Working directory.
    pub dir: Option<PathBuf>,
    /// How long it may take.
    pub timeout: Duration,
    /// The name of its logs, without extension.
    pub name: String,
    /// How many of the last lines of its output an error shows.
    pub lines_shown: usize,
}

/// Why a command failed.
pub(super) enum CommandError {
    /// The reason in words, with the end of its output.
    Failed(String),
    /// No command can be executed any more.
    Guard(supervise::Error),
}

impl CommandError {
    /// The same as an error of the repetition.
    pub fn into_error(self, failed: impl FnOnce(String) -> Error) -> Error {
        match self {
            Self::Failed(reason) => failed(reason),
            Self::Guard(error) => error.into(),
        }
    }
}

impl Command {
    /// A command of the plan, with late names filled in.
    pub fn new(invocation: &Invocation, late: &Late<'_>, name: String) -> Self {
        Self {
            argv: fill_all(&invocation.argv, late),
            env: invocation.env.iter().map(|(k, v)| (k.clone(), v.fill(late).to_text())).collect(),
            dir: invocation.dir.as_ref().map(|d| PathBuf::from(d.fill(late).to_text())),
            timeout: invocation.timeout,
            name,
            lines_shown: probe::LINES_SHOWN,
        }
    }

    /// Executes the command; exit code 0 is expected. Returns the files with its output and its error output.
    ///
    /// # Errors
    /// When the command fails, or does not end in time.
    pub async fn execute(self, guard: &Guard, logs: &Path) -> Result<[PathBuf; 2], CommandError> {
        let [out, err] = ["out", "err"].map(|kind| logs.join(format!("{}.{kind}", self.name)));
        let env = self.env.into_iter().chain([guard.marker(Kind::Step, &self.name, 0)]).collect();
        let process = ProcessSpec { dir: self.dir, ..ProcessSpec::new(self.argv, env, [&out, &err]) };
        let exit = guard.run_to_end(process, self.timeout).await.map_err(|e| match e {
            supervise::Error::GuardGone => CommandError::Guard(e),
            e => CommandError::Failed(vocabulary::errors::chain(&e)),
        })?;
        match exit {
            Some(Exit::Code(0)) => Ok([out, err]),
            Some(exit) => {
                let lines = probe::tail([&out, &err], self.lines_shown);
                let tail = if lines.is_empty() { String::new() } else { format!("\n    | {}", lines.join("\n    | ")) };
                Err(CommandError::Failed(format!("it {exit}{tail}")))
            }
            None => {
                let timeout = vocabulary::units::exact_duration(self.timeout);
                Err(CommandError::Failed(format!("it took longer than {timeout}")))
            }
        }
    }
}
