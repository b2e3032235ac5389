//! Parses arguments, calls the library, turns the outcome into an exit code.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|a| a == runner::supervise::watcher::ARGUMENT) {
        return runner::supervise::watcher::main();
    }
    if std::env::args_os().nth(1).is_some_and(|a| a == runner::supervise::guard::ARGUMENT) {
        return runner::supervise::guard::main();
    }
    if std::env::args_os().nth(1).is_some_and(|a| a == runner::serve::ARGUMENT) {
        return runner::serve::main();
    }
    // No hidden argument contains invalid UTF-8, but leaving such an argument out would shift the others into its place.
    let words: Vec<String> = std::env::args_os().skip(1).map(|a| a.to_string_lossy().into_owned()).collect();
    if let Some(code) = runner::links::helper(&words) {
        return code;
    }
    runner::cmd::main(runner::cli::parse()).into()
}
