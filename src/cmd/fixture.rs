//! `runner fixture NAME …`: turns into the small executable that contains the built-in servers.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;

use super::Stop;
use crate::cli;
use crate::exit::Exit;
use crate::plan::programs::FIXTURES_PROGRAM;

/// Where the fixtures' executable is: beside this one, or (for tests) one folder up.
///
/// # Errors
/// A message that says in which folder the executable was expected.
pub fn program() -> Result<PathBuf, String> {
    let ours = std::env::current_exe().map_err(|e| format!("cannot find the path of runner itself: {e}"))?;
    let folder = ours.parent().unwrap_or(std::path::Path::new("/"));
    let places = [folder.join(FIXTURES_PROGRAM), folder.join("..").join(FIXTURES_PROGRAM)];
    places.iter().find(|p| p.is_file()).cloned().ok_or_else(|| {
        format!("`{FIXTURES_PROGRAM}` is not beside runner in {}; `cargo build --release` builds both", folder.display())
    })
}

/// Replaces this process.
pub(super) fn fixture(args: &cli::Fixture) -> Result<Exit, Stop> {
    let program = program().map_err(|message| Stop::new(Exit::Failure, message))?;
    let error = std::process::Command::new(&program).args(&args.arguments).exec();
    Err(Stop::new(Exit::Failure, format!("cannot execute {}: {error}", program.display())))
}
