//! `floor.json`, the floor of a machine, stored next to the runs of an experiment: the names of those runs that were made to
//! find out how much sessions of the same thing differ.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::files::{json_bytes, read_json, write_whole};
use super::names::is_name;
use super::{Error, FORMAT};

/// `results/<experiment>/floor.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Floor {
    format: u32,
    /// Names of runs in the folder of this file.
    sessions: Vec<String>,
}

/// The sessions of the floor of a run's experiment that still exist; empty if there is no floor.
///
/// # Errors
/// When the file exists and cannot be read, or names something that is not a run in its folder.
pub fn sessions(run: &Path) -> Result<Vec<PathBuf>, Error> {
    let absolute = run.canonicalize().unwrap_or_else(|_| run.to_owned());
    let Some(folder) = absolute.parent() else { return Ok(Vec::new()) };
    let path = folder.join("floor.json");
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let floor: Floor = read_json(&path)?;
    for name in &floor.sessions {
        is_name(name).map_err(|why| Error::Name { path: path.clone(), what: "the session", name: name.clone(), why })?;
    }
    let runs = floor.sessions.iter().map(|name| folder.join(name));
    Ok(runs.filter(|run| run.join("plan.json").is_file()).collect())
}

/// Adds sessions to the floor in `folder`, and returns the path of the file.
///
/// # Errors
/// When the file cannot be read or written.
pub fn add(folder: &Path, runs: &[PathBuf]) -> Result<PathBuf, Error> {
    let path = folder.join("floor.json");
    let mut floor = match path.is_file() {
        true => read_json(&path)?,
        false => Floor { format: FORMAT, sessions: Vec::new() },
    };
    for name in runs.iter().filter_map(|run| run.file_name()).map(|name| name.to_string_lossy().into_owned()) {
        if !floor.sessions.contains(&name) {
            floor.sessions.push(name);
        }
    }
    write_whole(&path, &json_bytes(&floor))?;
    Ok(path)
}
