//! A run's directory while it is made.

use std::path::{Path, PathBuf};

use super::files::{json_bytes, make_directory, sync_directory, write_whole};
use super::manifest::Manifest;
use super::status::Status;
use super::{Error, FORMAT};
use crate::plan::{Cell, Plan};

/// The directory of a run.
#[derive(Clone, Debug)]
pub struct RunDirectory {
    /// Where it is.
    pub path: PathBuf,
    /// Its name: time and id.
    pub name: String,
}

impl RunDirectory {
    /// Makes a new directory `<out>/<experiment>/<UTC time>-<id>` with the experiment as typed, the plan and the manifest.
    ///
    /// # Errors
    /// [`Error::Write`]; nothing is ever overwritten.
    pub fn create(out: &Path, plan: &Plan, manifest: &Manifest) -> Result<Self, Error> {
        let parent = out.join(&plan.experiment);
        make_directory(&parent)?;
        let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let mut id = plan.seed ^ u64::from(std::process::id()).wrapping_mul(0x9E37_79B9);
        let (name, path) = loop {
            let name = format!("{time}-{:04x}", (id ^ (id >> 16) ^ (id >> 32)) & 0xffff);
            let path = parent.join(&name);
            match std::fs::create_dir(&path) {
                Ok(()) => break (name, path),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => id = id.wrapping_add(1),
                Err(source) => return Err(Error::Write { path, source }),
            }
        };
        write_whole(&path.join("experiment.yaml"), plan.text.as_bytes())?;
        let mut json = serde_json::to_value(plan).expect("a plan is always JSON");
        if let serde_json::Value::Object(map) = &mut json {
            map.shift_insert(0, "format".to_owned(), FORMAT.into());
        }
        write_whole(&path.join("plan.json"), &json_bytes(&json))?;
        write_whole(&path.join("manifest.json"), &json_bytes(manifest))?;
        Ok(Self { path, name })
    }

    /// Begins to write a repetition.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn repetition(&self, cell: &Cell, repetition: u32) -> Result<RepetitionWriter, Error> {
        let parent = self.path.join("cells").join(&cell.path);
        let partial = parent.join(format!(".run{repetition}-partial"));
        make_directory(&partial.join("logs"))?;
        Ok(RepetitionWriter { partial, whole: parent.join(format!("run{repetition}")), done: false })
    }
}

/// A repetition that is being written, below a temporary name.
#[derive(Debug)]
pub struct RepetitionWriter {
    partial: PathBuf,
    whole: PathBuf,
    done: bool,
}

impl RepetitionWriter {
    /// Where its files are made.
    pub fn directory(&self) -> &Path {
        &self.partial
    }

    /// Where logs are made.
    pub fn logs(&self) -> PathBuf {
        self.partial.join("logs")
    }

    /// Writes events and status, syncs, and gives the repetition its name.
    ///
    /// # Errors
    /// [`Error::Write`]; the repetition is then not there, and every other one is as it was.
    pub fn finish(mut self, events: &[serde_json::Value], status: &Status) -> Result<PathBuf, Error> {
        let lines: String = events.iter().map(|e| format!("{e}\n")).collect();
        write_whole(&self.partial.join("events.jsonl"), lines.as_bytes())?;
        // A log that says nothing is no file.
        for log in std::fs::read_dir(self.logs()).into_iter().flatten().flatten() {
            if log.metadata().is_ok_and(|m| m.len() == 0) {
                let _ = std::fs::remove_file(log.path());
            }
        }
        write_whole(&self.partial.join("status.json"), &json_bytes(status))?;
        let failed = |source| Error::Write { path: self.whole.clone(), source };
        std::fs::rename(&self.partial, &self.whole).map_err(failed)?;
        self.done = true;
        sync_directory(self.whole.parent().unwrap_or(Path::new("."))).map_err(failed)?;
        Ok(self.whole.clone())
    }
}

impl Drop for RepetitionWriter {
    fn drop(&mut self) {
        if !self.done {
            let _ = std::fs::remove_dir_all(&self.partial);
        }
    }
}
