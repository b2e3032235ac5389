//! The files of a run, as they are on disk, for download. Nothing is read through a link: the kernel refuses to follow one
//! (openat2 with `RESOLVE_BENEATH` and `RESOLVE_NO_SYMLINKS`), even if files are replaced meanwhile.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};

use super::results::sorted;

/// How deep folders may be nested.
const DEEPEST: usize = 64;

/// The files of a run: names relative to it, and lengths in bytes. What is being written has a name that starts with a dot, and
/// is left out.
///
/// # Errors
/// What the system says about a folder.
pub(super) fn list(run: &Path) -> io::Result<Vec<(String, u64)>> {
    let mut found = Vec::new();
    add(run, "", DEEPEST, &mut found)?;
    Ok(found)
}

fn add(folder: &Path, above: &str, depth: usize, found: &mut Vec<(String, u64)>) -> io::Result<()> {
    for (entry, kind) in sorted(folder)? {
        let Some(name) = entry.file_name().to_str().filter(|name| !name.starts_with('.')).map(str::to_owned) else { continue };
        if kind.is_dir() && depth > 0 {
            add(&entry.path(), &format!("{above}{name}/"), depth - 1, found)?;
        } else if kind.is_file() {
            found.push((format!("{above}{name}"), entry.metadata()?.len()));
        }
    }
    Ok(())
}

/// Opens a file of a run by its name relative to it; none if there is no such file.
pub(super) fn open(run: &Path, name: &str) -> Option<File> {
    if name.split('/').any(|part| part.is_empty() || part.starts_with('.')) {
        return None;
    }
    let folder = openat(CWD, run, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    // NONBLOCK: do not wait for the writer of a pipe.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat2(folder, name, flags, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS).ok()?;
    let file = File::from(file);
    file.metadata().is_ok_and(|found| found.is_file()).then_some(file)
}

/// The content type of a file for browsers. No file that somebody else wrote is shown as a page.
pub(super) fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("json") => "application/json",
        Some("jsonl" | "yaml" | "yml" | "csv" | "out" | "err" | "log" | "txt" | "cfg" | "html" | "svg") => {
            "text/plain; charset=utf-8"
        }
        Some("parquet") => "application/vnd.apache.parquet",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_files_of_the_run_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        std::fs::create_dir_all(run.join("cells/a")).unwrap();
        std::fs::create_dir_all(run.join("cells/.run2-partial")).unwrap();
        for name in ["run/plan.json", "run/cells/a/x.parquet", "run/cells/.run2-partial/y", "secret"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        symlink("../secret", run.join("link")).unwrap();
        symlink("..", run.join("up")).unwrap();
        let names: Vec<(String, u64)> = list(&run).unwrap();
        assert_eq!(names, [("cells/a/x.parquet".to_owned(), 21), ("plan.json".to_owned(), 13)]);
        assert!(open(&run, "plan.json").is_some() && open(&run, "cells/a/x.parquet").is_some());
        let long = "a/".repeat(5000);
        for name in [
            "",
            "/",
            ".",
            "..",
            "../secret",
            "link",
            "up/secret",
            "cells",
            "cells/",
            "cells//a/x.parquet",
            "cells/.run2-partial/y",
            "/etc/passwd",
            "a\0b",
            "cells/../plan.json",
            &long,
        ] {
            assert!(open(&run, name).is_none(), "{name:?}");
        }
    }
}
