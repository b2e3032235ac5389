//! The command line: types only.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Declarative performance experiments: which variant is faster, by how much, and can it be believed?
#[derive(Debug, Parser)]
#[command(name = "runner", version, max_term_width = 100, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 success, 1 failure, 2 invalid input, 4 repetitions failed or invalid, 130 interrupted.")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Execute experiments, then summarize and draw them
    Run(Run),
    /// Find every mistake in scenario files; nothing is started
    Check(Check),
    /// Print what `run` would do: cells, commands, ports, files, and how long it takes
    Plan(Plan),
    /// List experiments with their questions, factors and cells
    List(List),
    /// Print the JSON Schema of scenario files, for editors
    Schema,
    /// Aggregate results into summary.json and a table
    Summarize(Summarize),
    /// Draw the graphs of results
    Graph(Graph),
    /// Become one of the servers that ship with runner
    #[command(disable_help_flag = true)]
    Fixture(Fixture),
}

/// What `run` and `plan` change in a scenario.
#[derive(Debug, Args)]
pub struct Choice {
    /// Select levels of a factor, by label: `--set processes=1,4 --set blob=100x100KiB`
    #[arg(long = "set", value_name = "FACTOR=LEVEL,…")]
    pub settings: Vec<String>,
    /// Repetitions of each cell, instead of the scenario's
    #[arg(long, short = 'n', value_name = "N")]
    pub repetitions: Option<u32>,
    /// Seed of order, ids and random bodies; without one each run draws its own and records it
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

/// `runner run`
#[derive(Debug, Args)]
pub struct Run {
    /// Scenario files
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub choice: Choice,
    /// Where results go: DIR/EXPERIMENT/TIME-ID
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub out: PathBuf,
    /// Where graphs go
    #[arg(long, value_name = "DIR", default_value = "graphs")]
    pub graphs: PathBuf,
    /// Do not draw graphs at the end
    #[arg(long)]
    pub no_graphs: bool,
    /// Say nothing but errors
    #[arg(long, short, conflicts_with = "json")]
    pub quiet: bool,
    /// One JSON object per event on standard output, for scripts
    #[arg(long)]
    pub json: bool,
}

/// `runner check`
#[derive(Debug, Args)]
pub struct Check {
    /// Scenario files; all in experiments/ when there is none
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// `runner plan`
#[derive(Debug, Args)]
pub struct Plan {
    /// The scenario file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub choice: Choice,
    /// Earlier results, from which the time is estimated
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub out: PathBuf,
    /// The whole plan as JSON
    #[arg(long)]
    pub json: bool,
}

/// `runner list`
#[derive(Debug, Args)]
pub struct List {
    /// Scenario files or folders of them
    #[arg(value_name = "PATH", default_value = "experiments")]
    pub paths: Vec<PathBuf>,
}

/// `runner summarize`
#[derive(Debug, Args)]
pub struct Summarize {
    /// Directories of runs, or folders in which the newest run of each experiment is taken
    #[arg(value_name = "DIR", default_value = "results")]
    pub paths: Vec<PathBuf>,
    /// Print the summary as JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// `runner graph`
#[derive(Debug, Args)]
pub struct Graph {
    /// Directories of runs, or folders in which the newest run of each experiment is taken
    #[arg(value_name = "DIR", default_value = "results")]
    pub paths: Vec<PathBuf>,
    /// Where graphs go: DIR/EXPERIMENT/RUN/*.png
    #[arg(long, value_name = "DIR", default_value = "graphs")]
    pub out: PathBuf,
}

/// `runner fixture`
#[derive(Debug, Args)]
pub struct Fixture {
    /// Name of the fixture and its arguments; `--help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "NAME ARGUMENTS")]
    pub arguments: Vec<std::ffi::OsString>,
}
