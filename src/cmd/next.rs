//! What somebody may want to do when a run is over: one line.

use std::path::Path;

use crate::analysis::Summary;

/// The next step after a run in `directory` of the scenario `source`.
pub(super) fn step(summary: &Summary, directory: &Path, source: &Path) -> String {
    let run = quoted(directory);
    if summary.cells.iter().all(|cell| cell.repetitions.valid == 0) {
        return format!("remove the cause, then runner run {}; what programs printed is in {run}/cells", quoted(source));
    }
    match summary.varied().as_slice() {
        [] => format!("after a change, runner run {}, then runner compare {run} and the new run", quoted(source)),
        // It finds the only factor by itself.
        [_] => format!("runner compare {run}"),
        [first, ..] => format!("runner compare {run} --by {}", quoted(Path::new(first))),
    }
}

/// A path as a shell reads it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:=@%,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_quoted_where_a_shell_would_not_read_it_as_it_is() {
        for (path, shell) in
            [("results/a/20260101T000000Z-1", "results/a/20260101T000000Z-1"), ("my runs/it's", r"'my runs/it'\''s'")]
        {
            assert_eq!(quoted(Path::new(path)), shell);
        }
    }
}
