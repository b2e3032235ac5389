//! The page that a run leaves beside its graphs.

use std::path::{Path, PathBuf};

use super::Stop;
use crate::analysis::compare::ReadRun;
use crate::exit::Exit;
use crate::plot::compose::Pictures;
use crate::record::files::{make_directory, write_whole};
use crate::report;
use crate::vocabulary::errors::tell;

/// Writes the page of a run beside its graphs, and returns its path. Where it cannot be written because that is not allowed,
/// this is said, and nothing is lost: the page can be made again at any time.
pub(super) fn report(run: &ReadRun, pictures: &Pictures, graphs: &Path) -> Result<Option<PathBuf>, Stop> {
    if run.0.repetitions.is_empty() {
        return Ok(None);
    }
    let failed = |error: &dyn std::error::Error| Stop::from_error(Exit::Failure, error);
    let text = report::alone(run, Some(pictures)).map_err(|e| failed(&e))?;
    let folder = graphs.join(&run.1.experiment).join(&run.1.run);
    let path = folder.join("report.html");
    match make_directory(&folder).and_then(|()| write_whole(&path, text.as_bytes())) {
        Ok(()) => Ok(Some(path)),
        Err(error) if error.is_forbidden() => {
            tell(format_args!("warning: {}; there is no report", crate::vocabulary::errors::chain(&error)));
            Ok(None)
        }
        Err(error) => Err(failed(&error)),
    }
}
