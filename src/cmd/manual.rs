//! `runner completions` and `runner man`: shell completions and manual pages, made from the types that read the command line.

use clap::CommandFactory as _;

use super::{Stop, print_data};
use crate::cli;
use crate::exit::Exit;

/// Prints the completions for a shell.
pub(super) fn completions(args: &cli::Completions) -> Result<Exit, Stop> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut cli::Cli::command(), "runner", &mut script);
    print_data(&String::from_utf8_lossy(&script));
    Ok(Exit::Success)
}

/// Prints the page of `runner` itself, or writes one for each subcommand.
pub(super) fn man(args: &cli::Man) -> Result<Exit, Stop> {
    let Some(directory) = &args.directory else {
        let mut page = Vec::new();
        let rendered = clap_mangen::Man::new(cli::Cli::command()).render(&mut page);
        rendered.map_err(|e| Stop::new(Exit::Failure, format!("cannot make the page: {e}")))?;
        print_data(&String::from_utf8_lossy(&page));
        return Ok(Exit::Success);
    };
    let failed = |e| Stop::new(Exit::Failure, format!("cannot write pages to {}: {e}", directory.display()));
    std::fs::create_dir_all(directory).map_err(failed)?;
    clap_mangen::generate_to(cli::Cli::command(), directory).map_err(failed)?;
    Ok(Exit::Success)
}
