//! Repetitions that were never ended, because the runner was killed or the machine lost power: what was already durable of them
//! becomes a repetition of its own, so that readers of the run see it.

use std::path::{Path, PathBuf};

use super::ahead::{self, Left};
use super::files::{self, read_json};
use super::status::{CutShort, Status, Verdict};
use super::tables::Tables;
use super::taps_ahead;
use super::{Error, RunDirectory};
use plan::{Cell, Plan};

/// A repetition that was made from what was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Salvaged {
    /// Its directory.
    pub path: PathBuf,
    /// Transfers that are in it.
    pub transfers: u64,
    /// Lines that were incomplete.
    pub torn: u64,
}

impl Salvaged {
    /// The same in words.
    pub fn words(&self) -> String {
        let torn = if self.torn == 0 { String::new() } else { format!("; incomplete lines: {}", self.torn) };
        format!("{}: {} transfers were kept from a repetition whose runner was killed{torn}", self.path.display(), self.transfers)
    }
}

impl RunDirectory {
    /// Makes repetitions from what was kept of those that do not exist. Files that belong to an existing one are removed.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Write`], [`Error::WriteTable`]; nothing is lost then, and salvaging can be retried.
    pub fn salvage(&self, plan: &Plan) -> Result<Vec<Salvaged>, Error> {
        let mut salvaged = Vec::new();
        for cell in &plan.cells {
            let folder = self.path.join("cells").join(&cell.path);
            for (number, file) in files_ahead(&folder)? {
                if read_json::<Status>(&folder.join(format!("run{number}/status.json"))).is_err() {
                    salvaged.extend(self.salvage_one(cell, number, &file)?);
                }
                // The rows of taps are removed first: without the file of the transfers nobody would look for them.
                taps_ahead::remove(&folder, number, cell.taps.len());
                // Even if it was empty.
                match std::fs::remove_file(&file) {
                    Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                        return Err(Error::Write { path: file, source });
                    }
                    _ => {}
                }
            }
        }
        Ok(salvaged)
    }

    fn salvage_one(&self, cell: &Cell, number: u32, file: &Path) -> Result<Option<Salvaged>, Error> {
        let text = String::from_utf8_lossy(&files::read(file)?).into_owned();
        let Left { head, rows, torn } = ahead::parse(&text);
        // Without a first line nothing was started: the number is free.
        let Some(head) = head.filter(|head| head.repetition == number) else { return Ok(None) };
        let mut writer = self.repetition(cell, number, None)?;
        // Tables without their ends cannot be read; logs can.
        remove_tables(writer.directory())?;
        let transfers = rows.len() as u64;
        let workloads = head.workloads.iter().cloned().map(Into::into).collect();
        let mut tables = Tables::create(writer.directory(), workloads)?;
        rows.into_iter().try_for_each(|row| tables.transfer(row))?;
        tables.finish()?;
        let folder = file.parent().unwrap_or(Path::new("."));
        let mut taps = Vec::new();
        for file in taps_ahead::files(folder, number, cell.taps.len()).filter(|file| file.exists()) {
            taps.extend(taps_ahead::salvage(&file, &cell.taps, writer.directory())?);
        }
        let dropped = match torn {
            0 => String::new(),
            1 => ", one more was incomplete and was dropped".to_owned(),
            n => format!(", {n} more were incomplete and were dropped"),
        };
        let kept = if transfers == 1 { "1 transfer was".to_owned() } else { format!("{transfers} transfers were") };
        let verdict = Verdict::Failed { reason: format!("the runner was killed; {kept} kept{dropped}") };
        let status = Status {
            taps,
            cut_short: Some(CutShort::Killed),
            ..Status::of(head.cell, number, head.seed, head.started_at, verdict)
        };
        let path = writer.finish(&[], &status)?;
        Ok(Some(Salvaged { path, transfers, torn }))
    }
}

/// The files of unfinished repetitions in the folder of a cell, by number.
fn files_ahead(folder: &Path) -> Result<Vec<(u32, PathBuf)>, Error> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(Error::Read { path: folder.to_owned(), source }),
    };
    let numbered = |entry: std::fs::DirEntry| Some((ahead::number(entry.file_name().to_str()?)?, entry.path()));
    let mut found: Vec<(u32, PathBuf)> = entries.flatten().filter_map(numbered).collect();
    found.sort();
    Ok(found)
}

/// Removes tables that were being written, including those of taps.
fn remove_tables(directory: &Path) -> Result<(), Error> {
    for folder in [directory.to_owned(), directory.join("taps")] {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|e| e == "parquet") {
                std::fs::remove_file(&path).map_err(|source| Error::Write { path, source })?;
            }
        }
    }
    let _ = std::fs::remove_dir(directory.join("taps"));
    Ok(())
}
