//! Parses arguments, calls the library, turns the outcome into an exit code.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|a| a == runner::supervise::guard::ARGUMENT) {
        return runner::supervise::guard::main();
    }
    let words: Vec<String> = std::env::args_os().skip(1).filter_map(|a| a.into_string().ok()).collect();
    if let Some(code) = runner::links::helper(&words) {
        return code;
    }
    let cli = runner::cli::Cli::parse();
    runner::cmd::main(cli).into()
}
