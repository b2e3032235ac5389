//! The floor of a machine, kept beside the results of an experiment: the runs that were made to find out how far sessions of
//! the same thing lie apart.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Stop;
use crate::exit::Exit;
use crate::record::files::{json_bytes, read_json, write_whole};
use crate::record::names::is_name;
use crate::record::{Error, FORMAT};

/// `results/<experiment>/floor.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Floor {
    format: u32,
    /// Names of runs beside this file.
    sessions: Vec<String>,
}

/// The sessions of the floor of a run's experiment that still exist; empty if there is no floor.
///
/// # Errors
/// When the file exists and cannot be read.
pub(super) fn sessions(run: &Path) -> Result<Vec<PathBuf>, Stop> {
    let absolute = run.canonicalize().unwrap_or_else(|_| run.to_owned());
    let Some(folder) = absolute.parent() else { return Ok(Vec::new()) };
    let path = folder.join("floor.json");
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let floor: Floor = read_json(&path).map_err(|e| Stop::from_error(Exit::InvalidInput, &e))?;
    for name in &floor.sessions {
        is_name(name).map_err(|why| {
            let error = Error::Name { path: path.clone(), what: "the session", name: name.clone(), why };
            Stop::from_error(Exit::InvalidInput, &error)
        })?;
    }
    let runs = floor.sessions.iter().map(|name| folder.join(name));
    Ok(runs.filter(|run| run.join("plan.json").is_file()).collect())
}

/// Adds sessions to the floor in `folder`.
///
/// # Errors
/// When the file cannot be read or written.
pub(super) fn add(folder: &Path, runs: &[PathBuf]) -> Result<PathBuf, Stop> {
    let path = folder.join("floor.json");
    let mut floor = match path.is_file() {
        true => read_json(&path).map_err(|e| Stop::from_error(Exit::Failure, &e))?,
        false => Floor { format: FORMAT, sessions: Vec::new() },
    };
    for name in runs.iter().filter_map(|run| run.file_name()).map(|name| name.to_string_lossy().into_owned()) {
        if !floor.sessions.contains(&name) {
            floor.sessions.push(name);
        }
    }
    write_whole(&path, &json_bytes(&floor)).map_err(|e| Stop::from_error(Exit::Failure, &e))?;
    Ok(path)
}
