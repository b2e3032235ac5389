//! Where programs are.

use std::path::{Path, PathBuf};

/// First word of the command line of a fixture; the supervisor replaces it with the executable beside runner.
pub const FIXTURES_PROGRAM: &str = "runner-fixtures";

/// The path of a program: on PATH, or in the folders where Debian keeps servers and that an ordinary user's PATH lacks. `runner`
/// is this program.
pub fn find_program(name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    if name == "runner" {
        return std::env::current_exe().ok();
    }
    let runs = |p: &Path| p.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|p| runs(p));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|p| runs(p))
}
