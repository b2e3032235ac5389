//! What somebody may want to do when a run is over: one line.

use std::path::Path;

use crate::analysis::Summary;
use crate::record::files::read_json;
use crate::record::manifest::Manifest;
use crate::vocabulary::words::in_shell;

/// The next step after a run in `directory` of the scenario `source`.
pub(super) fn step(summary: &Summary, directory: &Path, source: &Path) -> String {
    let (run, source) = (directory.display().to_string(), source.display().to_string());
    let (run, source) = (in_shell(&run), in_shell(&source));
    if summary.cells.iter().all(|cell| cell.repetitions.valid == 0) {
        let manifest = read_json::<Manifest>(&directory.join("manifest.json"));
        let again = manifest.map_or_else(|_| format!("runner run {source}"), |manifest| manifest.command(None));
        return format!("remove the cause, then {again}; what programs printed is in {run}/cells");
    }
    match summary.varied().as_slice() {
        // Two runs made at different times say nothing about a change, unless it is known how much runs differ anyway.
        [] => format!(
            "to compare two variants, make what differs a factor with two levels (runner explain factors); for runs before and \
             after a change, runner doctor --same {source} first measures how much runs differ by themselves"
        ),
        // It finds the only factor by itself.
        [_] => format!("runner compare {run}"),
        [first, others @ ..] => {
            let others = others.iter().map(|other| in_shell(other)).collect::<Vec<_>>().join(" or ");
            format!("runner compare {run} --by {} (or --by {others})", in_shell(first))
        }
    }
}
