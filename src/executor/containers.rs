//! Containers: a process that an engine runs for us is not our child, so its container is found and removed by name and label.
//!
//! The name contains the run's id, which is random: another runner, in another pid namespace with the same engine, has other
//! names. A container that has the name without our label belongs to another user, and is left alone.

use std::time::{Duration, Instant};

use super::error::Error;
use plan::cgroups::Resources;
use plan::containers;
use plan::programs::find_program;
use supervise::{Guard, Process};
use vocabulary::choices::Signal;

/// How long the engine may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often the engine is asked for a container's process.
const LOOK: Duration = Duration::from_millis(20);

/// A container that was started, and must be gone at the end.
#[derive(Debug)]
pub(super) struct Container {
    engine: String,
    /// The name of the container, by which it is also removed.
    pub name: String,
}

impl Container {
    /// Names a container of this runner. From now on the guard removes it when the runner is gone.
    ///
    /// # Errors
    /// When this cannot be recorded.
    pub fn announce(engine: &str, target: &str, replica: u32, guard: &Guard) -> Result<Self, Error> {
        let name = format!("runner-{}-{target}-{replica}", guard.run());
        let engine = find_program(engine).map_or_else(|| engine.to_owned(), |p| p.display().to_string());
        let container = Self { engine, name };
        guard.undo_by(&container.removal())?;
        Ok(container)
    }

    /// The command that removes this container, and nothing else, when this process is gone.
    fn removal(&self) -> Vec<String> {
        let script = "ids=$(\"$0\" ps --all --quiet --filter \"name=^$1$\" --filter \"label=$2=$1\") && \
                      { [ -z \"$ids\" ] || \"$0\" rm --force $ids; }";
        ["sh", "-c", script, &self.engine, &self.name, containers::LABEL].map(str::to_owned).to_vec()
    }

    /// Ids of the containers with its name and its label, separated by white space.
    async fn ids(&self) -> Result<String, String> {
        let (name, label) = (format!("name=^{}$", self.name), format!("label={}={}", containers::LABEL, self.name));
        self.ask(&["ps", "--all", "--quiet", "--filter", &name, "--filter", &label]).await
    }

    /// The first process inside, as soon as the engine knows it; `None` if the client ends before.
    pub async fn pid(&self, client: &Process, patience: Duration) -> Option<u32> {
        let begun = Instant::now();
        while client.exited().is_none() && begun.elapsed() < patience {
            let words = ["inspect", "--format", "{{.State.Pid}}", self.name.as_str()];
            if let Ok(answer) = self.ask(&words).await
                && let Some(pid) = answer.trim().parse().ok().filter(|pid| *pid > 0)
            {
                return Some(pid);
            }
            tokio::time::sleep(LOOK).await;
        }
        None
    }

    /// Removes it, and makes sure that it is gone.
    ///
    /// # Errors
    /// [`Error::Container`] when the engine does not remove it.
    pub async fn remove(&self, guard: &Guard) -> Result<(), Error> {
        let failed = |reason: String| Error::Container { name: self.name.clone(), reason };
        // It is already gone if it has ended on its own.
        let ids = self.ids().await.map_err(failed)?;
        let mut removal = vec!["rm", "--force"];
        removal.extend(ids.split_ascii_whitespace());
        let removed = if removal.len() > 2 { self.ask(&removal).await } else { Ok(String::new()) };
        match self.ids().await {
            Ok(left) if left.trim().is_empty() => {
                guard.done(&self.removal())?;
                Ok(())
            }
            Ok(_) => Err(failed(removed.err().unwrap_or_else(|| "it still exists".to_owned()))),
            Err(reason) => Err(failed(reason)),
        }
    }

    /// Lets it stand still, or go on.
    ///
    /// # Errors
    /// [`Error::Container`] when the engine refuses.
    pub async fn pause(&self, stands: bool) -> Result<(), Error> {
        self.tell(&[if stands { "pause" } else { "unpause" }, &self.name]).await
    }

    /// Sends a signal to its first process.
    ///
    /// # Errors
    /// [`Error::Container`] when the engine refuses.
    pub async fn signal(&self, signal: Signal) -> Result<(), Error> {
        self.tell(&["kill", &format!("--signal={}", signal.name()), &self.name]).await
    }

    async fn tell(&self, words: &[&str]) -> Result<(), Error> {
        let told = self.ask(words).await.map(drop);
        told.map_err(|reason| Error::Engine { name: self.name.clone(), what: words[0].to_owned(), reason })
    }

    /// Makes sure that the engine limits it as was asked.
    ///
    /// # Errors
    /// [`supervise::Error::Resources`] when it does not.
    pub async fn check(&self, resources: &Resources) -> Result<(), Error> {
        let failed = |reason| supervise::Error::Resources { name: self.name.clone(), reason };
        let words = ["inspect", "--format", "{{.HostConfig.NanoCpus}} {{.HostConfig.Memory}}", self.name.as_str()];
        let answer = self.ask(&words).await.map_err(failed)?;
        let wanted = wanted(resources);
        match answer.trim() {
            found if found == wanted => Ok(()),
            found => {
                Err(failed(format!("the engine says `{found}`, expected `{wanted}` (billionths of a processor, bytes)")).into())
            }
        }
    }

    async fn ask(&self, words: &[&str]) -> Result<String, String> {
        let command = duct::cmd(&self.engine, words).stdin_null().stdout_capture().stderr_capture().unchecked();
        let ask = move || {
            let handle = command.start()?;
            let answered = handle.wait_timeout(PATIENCE).map(|output| output.cloned());
            if !matches!(answered, Ok(Some(_))) {
                let _ = handle.kill();
            }
            answered
        };
        let asked = tokio::task::spawn_blocking(ask).await.map_err(|e| e.to_string())?;
        let output = asked.map_err(|e| format!("{}: {e}", self.engine))?;
        let output =
            output.ok_or_else(|| format!("`{} {}` gave no answer within {} s", self.engine, words[0], PATIENCE.as_secs()))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

/// What an engine says of a container with these limits.
fn wanted(resources: &Resources) -> String {
    let nanos = resources.cpu.map_or(0, |cpu| (cpu * 1e9).round() as u64);
    format!("{nanos} {}", resources.memory.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_compared_in_the_engine_s_units() {
        assert_eq!(wanted(&Resources { cpu: Some(1.5), memory: Some(512 << 20) }), "1500000000 536870912");
        assert_eq!(wanted(&Resources { cpu: None, memory: Some(1) }), "0 1");
    }
}
