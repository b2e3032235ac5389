//! The scenario's own set-up and clean-up steps: commands, owned by the guard, and requests.

use std::path::{Path, PathBuf};

use super::Error;
use super::late::{Late, fill_all, fill_workload};
use crate::plan::workloads::single;
use crate::plan::{Action, Http, Signal, Url};
use crate::supervise::client::What;
use crate::supervise::{Exit, Guard, probe, protocol::MARKER};

/// Executes steps in order.
///
/// # Errors
/// [`Error::Action`] at the first that fails.
pub async fn execute(guard: &Guard, level: &'static str, steps: &[Action], late: &Late<'_>, logs: &Path) -> Result<(), Error> {
    for (number, step) in steps.iter().enumerate() {
        let failed = |reason: String| Error::Action { level, step: step.to_string(), reason };
        match step {
            Action::Command { argv, dir, env, timeout } => {
                let name = format!("{}-{}", level.replace(", ", "-"), number + 1);
                let [out, err] = [logs.join(format!("{name}.out")), logs.join(format!("{name}.err"))];
                let filled = env.iter().map(|(k, v)| (k.clone(), v.fill(late).to_text()));
                let what = What {
                    argv: fill_all(argv, late),
                    env: filled.chain([(MARKER.to_owned(), name.clone())]).collect(),
                    dir: dir.as_ref().map(|d| PathBuf::from(d.fill(late).to_text())),
                    stdout: &out,
                    stderr: &err,
                    cpus: &[],
                };
                let process = guard.spawn(what).await.map_err(|e| failed(e.to_string()))?;
                let exit = tokio::time::timeout(*timeout, process.wait()).await;
                // What the command left in the background ends with it.
                guard.stop(&process, Signal::Kill, std::time::Duration::ZERO).await?;
                let tail = || {
                    let lines = probe::tail([&out, &err]);
                    if lines.is_empty() { String::new() } else { format!("\n    | {}", lines.join("\n    | ")) }
                };
                match exit {
                    Ok(Ok(Exit::Code(0))) => {}
                    Ok(Ok(exit)) => return Err(failed(format!("it {exit}{}", tail()))),
                    Ok(Err(error)) => return Err(error.into()),
                    Err(_) => return Err(failed(format!("it took longer than {}", crate::units::exact_duration(*timeout)))),
                }
            }
            Action::Request { url, step } => {
                request(url, step, late).await.map_err(|e| failed(e.to_string()))?;
            }
        }
    }
    Ok(())
}

/// A request is a pass of one step that is checked like any other.
async fn request(url: &Url, step: &crate::plan::Step, late: &Late<'_>) -> Result<(), crate::load::Error> {
    let workload = single("step", Http::plain(url.clone(), vec![step.clone()]));
    crate::load::verify(&fill_workload(&workload, late), 0).await
}
