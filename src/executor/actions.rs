//! The scenario's own set-up and clean-up steps: commands, owned by the guard, and requests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::late::fill_all;
use super::{Error, checkout, kept};
use crate::plan::Late;
use crate::plan::Protocol as _;
use crate::plan::drivers::http::Http;
use crate::plan::{Action, Invocation, Step, Url};
use crate::supervise::client::What;
use crate::supervise::{Exit, Guard, Kind, probe};

/// Executes steps in order.
///
/// # Errors
/// [`Error::Action`] at the first that fails.
pub async fn execute(guard: &Guard, level: &'static str, steps: &[Action], late: &Late<'_>, logs: &Path) -> Result<(), Error> {
    for (number, step) in steps.iter().enumerate() {
        let failed = |reason: String| Error::Action { level, step: step.to_string(), reason };
        match step {
            Action::Command { invocation, cache } => {
                let name = format!("{}-{}", level.replace(", ", "-"), number + 1);
                let mut command = Command::new(invocation, late, name);
                let kept = match cache {
                    Some(cache) => {
                        let Some(kept) = kept::begin(cache, || true).await.map_err(failed)? else { continue };
                        command.env.push(("CACHE".to_owned(), cache.directory.display().to_string()));
                        Some(kept)
                    }
                    None => None,
                };
                command.execute(guard, logs).await.map_err(|e| e.of(failed))?;
                if let Some(kept) = kept {
                    kept.whole().map_err(failed)?;
                }
            }
            Action::Request { url, step, times } => {
                request(url, step, *times, late).await.map_err(failed)?;
            }
            Action::Checkout(checkout) => {
                checkout::make(guard, checkout, logs, &format!("revision-{}", number + 1)).await.map_err(|e| e.of(failed))?;
            }
        }
    }
    Ok(())
}

/// A command that is executed to its end.
pub(super) struct Command {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Environment variables to add.
    pub env: Vec<(String, String)>,
    /// Working directory.
    pub dir: Option<PathBuf>,
    /// How long it may take.
    pub timeout: Duration,
    /// What its logs are called.
    pub name: String,
    /// How many of its last lines are told when it fails.
    pub told: usize,
}

/// Why a command did not end well.
pub(super) enum CommandError {
    /// In words, with the end of its output.
    Failed(String),
    /// Nothing can be executed any more.
    Guard(crate::supervise::Error),
}

impl CommandError {
    /// As an error of the repetition.
    pub fn of(self, failed: impl FnOnce(String) -> Error) -> Error {
        match self {
            Self::Failed(reason) => failed(reason),
            Self::Guard(error) => error.into(),
        }
    }
}

impl Command {
    /// One of the plan, with late names filled in.
    pub fn new(invocation: &Invocation, late: &Late<'_>, name: String) -> Self {
        Self {
            argv: fill_all(&invocation.argv, late),
            env: invocation.env.iter().map(|(k, v)| (k.clone(), v.fill(late).to_text())).collect(),
            dir: invocation.dir.as_ref().map(|d| PathBuf::from(d.fill(late).to_text())),
            timeout: invocation.timeout,
            name,
            told: probe::TOLD,
        }
    }

    /// Executes it; exit code 0 is expected. Returns where its output and its error output are.
    ///
    /// # Errors
    /// When it does not end well, or not in time.
    pub async fn execute(self, guard: &Guard, logs: &Path) -> Result<[PathBuf; 2], CommandError> {
        let [out, err] = ["out", "err"].map(|kind| logs.join(format!("{}.{kind}", self.name)));
        let what = What {
            argv: self.argv,
            env: self.env.into_iter().chain([guard.marker(Kind::Step, &self.name, 0)]).collect(),
            dir: self.dir,
            stdout: &out,
            stderr: &err,
            cpus: &[],
            namespace: None,
            limits: &[],
        };
        let exit = guard.to_end(what, self.timeout).await.map_err(|e| match e {
            crate::supervise::Error::GuardGone => CommandError::Guard(e),
            e => CommandError::Failed(crate::vocabulary::errors::chain(&e)),
        })?;
        match exit {
            Some(Exit::Code(0)) => Ok([out, err]),
            Some(exit) => {
                let lines = probe::tail([&out, &err], self.told);
                let tail = if lines.is_empty() { String::new() } else { format!("\n    | {}", lines.join("\n    | ")) };
                Err(CommandError::Failed(format!("it {exit}{tail}")))
            }
            None => {
                let timeout = crate::vocabulary::units::exact_duration(self.timeout);
                Err(CommandError::Failed(format!("it took longer than {timeout}")))
            }
        }
    }
}

/// Sends a request so many times, each checked like any other. Returns the values of the last one, and how many bytes
/// its answer had.
///
/// # Errors
/// In words, what was wrong.
pub(super) async fn request(
    url: &Url,
    step: &Step,
    times: u64,
    late: &Late<'_>,
) -> Result<(BTreeMap<String, String>, u64), String> {
    let mut http = Http::plain(url.clone(), vec![step.clone()]);
    http.fill(late);
    crate::load::send_requests(&http, 0, times).await.map_err(|e| match e {
        crate::load::Error::Verify(words) => words,
        other => other.to_string(),
    })
}
