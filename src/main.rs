//! Parses arguments, calls the library, turns the outcome into an exit code.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|a| a == runner::supervise::guard::ARGUMENT) {
        return runner::supervise::guard::main();
    }
    let cli = runner::cli::Cli::parse();
    runner::cmd::main(cli).into()
}
