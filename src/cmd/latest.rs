//! `runner latest`: where the newest run is.

use std::path::{Path, PathBuf};

use super::{Stop, print_data};
use crate::cli;
use crate::exit::Exit;
use crate::record::read as results;
use crate::vocabulary::words::{nearest, one_of};

/// Prints the directory of the newest run, of one experiment or of all.
pub(super) fn latest(args: &cli::Latest) -> Result<Exit, Stop> {
    let folder = match &args.experiment {
        Some(name) => args.out.join(name),
        None => args.out.clone(),
    };
    if let (Some(name), false) = (&args.experiment, folder.is_dir()) {
        return Err(Stop::new(Exit::InvalidInput, unknown(&args.out, name)));
    }
    let newest = newest(&folder).map_err(|e| Stop::from_error(Exit::InvalidInput, &e))?;
    print_data(&format!("{}\n", newest.display()));
    Ok(Exit::Success)
}

/// The newest run below a folder. Names of runs start with the time.
///
/// # Errors
/// [`Error::NoRun`](crate::record::Error::NoRun), or when a folder may not be read.
pub(super) fn newest(folder: &Path) -> Result<PathBuf, crate::record::Error> {
    let runs = results::find(folder)?;
    results::newest(runs.into_iter()).ok_or_else(|| crate::record::Error::NoRun { path: folder.to_owned() })
}

/// The message that there is no such experiment, with those that exist.
fn unknown(out: &Path, name: &str) -> String {
    let entries = std::fs::read_dir(out).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir());
    let mut known: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    known.sort();
    let help = match (nearest(name, known.iter().map(String::as_str)), known.as_slice()) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, []) => "there are no results at all".to_owned(),
        (None, known) => format!("expected {}", one_of(known.iter().map(String::as_str))),
    };
    format!("{} has no results of an experiment `{name}`: {help}", out.display())
}
