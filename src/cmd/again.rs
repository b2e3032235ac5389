//! What `runner repeat` means without a file: the last run made here, or the only experiment.

use std::path::{Path, PathBuf};

use super::{EXPERIMENTS, Stop, latest};
use crate::exit::Exit;
use crate::record::files::read_json;
use crate::record::manifest::Manifest;

/// What is repeated.
#[derive(Debug)]
pub(super) struct Again {
    /// The scenario.
    pub(super) file: PathBuf,
    /// The levels that were chosen for it.
    pub(super) settings: Vec<String>,
    /// Why this one.
    pub(super) why: String,
}

/// Finds the scenario: that of the newest run below `out`, or the only one in `experiments/`.
///
/// # Errors
/// If neither is clear; the message lists the choices.
pub(super) fn what_to_repeat(out: &Path) -> Result<Again, Stop> {
    let last = latest::newest(out).map_err(|_| format!("there is no run below {}", out.display())).and_then(|run| of_run(&run));
    let why_not = match last {
        Ok(again) => return Ok(again),
        Err(why_not) => why_not,
    };
    let folder = [PathBuf::from(EXPERIMENTS)];
    let experiments = if folder[0].is_dir() { super::scenario_files(&folder).unwrap_or_default() } else { Vec::new() };
    match experiments.as_slice() {
        [file] => {
            let why = format!("the only experiment in {EXPERIMENTS}/ ({why_not})");
            Ok(Again { file: file.clone(), settings: Vec::new(), why })
        }
        [] => Err(wrong(&why_not, &format!("there is none in {EXPERIMENTS}/"), &[])),
        several => Err(wrong(&why_not, &format!("{EXPERIMENTS}/ has several"), several)),
    }
}

/// The scenario with which a run was made; otherwise why it is not available.
fn of_run(run: &Path) -> Result<Again, String> {
    let manifest: Manifest = read_json(&run.join("manifest.json")).map_err(|_| format!("{} cannot be read", run.display()))?;
    let here = std::env::current_dir().unwrap_or_default();
    if manifest.directory.as_ref().is_none_or(|directory| Path::new(directory) != here) {
        return Err(format!("the newest run, {}, was not made here", run.display()));
    }
    let file = PathBuf::from(&manifest.source);
    if !file.is_file() {
        return Err(format!("{}, the scenario of the newest run, no longer exists", file.display()));
    }
    if let Some(on) = manifest.choice.as_ref().and_then(|choice| choice.on.as_ref()) {
        return Err(format!("the newest run, {}, was executed with `--on {on}`, which must be given again", run.display()));
    }
    let settings = manifest.choice.map(|choice| choice.settings).unwrap_or_default();
    Ok(Again { file, settings, why: format!("which was run last ({})", run.display()) })
}

fn wrong(why_not: &str, experiments: &str, several: &[PathBuf]) -> Stop {
    let mut message = format!("which experiment? {why_not}, and {experiments}; expected `runner repeat FILE …`");
    for file in several {
        message += &format!("\n  {}", file.display());
    }
    Stop::new(Exit::InvalidInput, message)
}
