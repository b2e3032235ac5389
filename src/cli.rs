//! The command line: types only.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue};
use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::vocabulary::words::nearest;

/// Declarative performance experiments: which variant is faster, by how much, and can it be believed?
#[derive(Debug, Parser)]
#[command(name = "runner", version, max_term_width = 100, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 success, 1 failure, 2 invalid input, 3 an expectation failed, 4 repetitions failed or invalid, 5 inconclusive, 130 interrupted."
)]
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
    /// Execute experiments many times and say how stable the results are
    Repeat(Repeat),
    /// Measure for months: round after round until it is ended, through restarts, full disks and deaths of targets
    Measure(Measure),
    /// Go on with a run where it ended, doing only what is missing
    Resume(Resume),
    /// Say which of several runs, or levels of a factor, is faster, by how much, and whether that can be told
    Compare(Compare),
    /// Find every mistake in scenario files; nothing is started
    Check(Check),
    /// Print what `run` would do: cells, commands, ports, files, and how long it takes
    Plan(Plan),
    /// List experiments with their questions, factors and cells
    List(List),
    /// Write a first experiment, for a URL or a command line
    Init(Init),
    /// Print the JSON Schema of scenario files, for editors
    Schema,
    /// Explain a key of the scenario language, or a metric
    Explain(Explain),
    /// Aggregate results into summary.json and a table
    Summarize(Summarize),
    /// Draw the graphs of results
    Graph(Graph),
    /// Write results in the form of another program: an SQLite database, files of CSV, or those of Tor's measurements
    #[command(subcommand)]
    Export(Export),
    /// Offer the results of an experiment over HTTP, while they are made or afterwards
    Serve(Serve),
    /// Make a load on one URL: a quick look, with the engine of `run`
    Load(Box<Load>),
    /// Say what this machine can measure: the generator's own ceiling, timers, limits, missing programs
    Doctor(Doctor),
    /// Become one of the servers that ship with runner
    #[command(disable_help_flag = true)]
    Fixture(Fixture),
    /// Print where the newest run is
    Latest(Latest),
    /// Print completions for a shell
    Completions(Completions),
    /// Print the page for `man`, or write those of all subcommands to a directory
    Man(Man),
}

/// What people type who know other programs, and what it is called here.
const OTHER_NAMES: [(&str, &str); 28] = [
    ("bench", "run"),
    ("benchmark", "run"),
    ("exec", "run"),
    ("execute", "run"),
    ("go", "run"),
    ("start", "run"),
    ("test", "run"),
    ("again", "repeat"),
    ("continue", "resume"),
    ("restart", "resume"),
    ("lint", "check"),
    ("validate", "check"),
    ("verify", "check"),
    ("dry-run", "plan"),
    ("doc", "explain"),
    ("show", "plan"),
    ("ls", "list"),
    ("new", "init"),
    ("create", "init"),
    ("diff", "compare"),
    ("report", "summarize"),
    ("stats", "summarize"),
    ("draw", "graph"),
    ("plot", "graph"),
    ("last", "latest"),
    ("web", "serve"),
    ("completion", "completions"),
    ("env", "doctor"),
];

/// Reads the command line; where it is wrong, says so and ends the program.
pub fn parse() -> Cli {
    Cli::try_parse().unwrap_or_else(|error| with_neighbour(error).exit())
}

/// An unknown subcommand with the one that was probably meant: clap knows what looks alike, but neither letters that changed
/// places nor what other programs call it.
fn with_neighbour(mut error: clap::Error) -> clap::Error {
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidSubcommand).cloned() else { return error };
    if typed.ends_with(".yaml") || typed.ends_with(".yml") {
        error.remove(ContextKind::SuggestedSubcommand);
        let tip = format!("a scenario file needs a subcommand in front of it: `runner run {typed}`, or `check`, or `plan`");
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
        return error;
    }
    let cli = Cli::command();
    let known = || cli.get_subcommands().map(clap::Command::get_name);
    let other = OTHER_NAMES.iter().find(|(name, _)| *name == typed).map(|(_, ours)| *ours);
    // The words behind `runner export` have clap's neighbours.
    let usage = error.get(ContextKind::Usage).map(ToString::to_string).unwrap_or_default();
    if usage.contains("runner <COMMAND>")
        && let Some(name) = other.or_else(|| nearest(&typed, known()))
    {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(vec![name.to_owned()]));
    }
    error
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

/// Where what comes of a run goes, and how much is said meanwhile.
#[derive(Debug, Args)]
pub struct Output {
    /// Where graphs go
    #[arg(long, value_name = "DIR", default_value = "graphs")]
    pub graphs: PathBuf,
    /// Do not draw graphs at the end
    #[arg(long)]
    pub no_graphs: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub reports: Reports,
    /// Say nothing but errors
    #[arg(long, short, conflicts_with = "json")]
    pub quiet: bool,
    /// One JSON object per event on standard output, for scripts
    #[arg(long)]
    pub json: bool,
}

/// Reports for continuous integration.
#[derive(Debug, Args)]
pub struct Reports {
    /// Write expectations and repetitions as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Append the summary in GitHub's Markdown, as to "$GITHUB_STEP_SUMMARY"
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
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
    /// End at the first repetition that failed or is invalid, with exit code 4
    #[arg(long)]
    pub fail_fast: bool,
    /// Where results go: DIR/EXPERIMENT/TIME-ID
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub out: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: Output,
}

/// `runner repeat`
#[derive(Debug, Args)]
pub struct Repeat {
    /// Scenario files; without one, what was run last here, or the one experiment in experiments/
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Rounds over all cells; with --until or --for the most of them
    #[arg(long = "repetitions", short = 'n', value_name = "N")]
    pub rounds: Option<u32>,
    /// Go on until the mean of every cell is known to ± this share with 95 %, such as `2%`; or, with `decided`, until every level
    /// of a factor is faster or slower than its baseline or the same within --threshold
    #[arg(long, value_name = "PERCENT|decided")]
    pub until: Option<String>,
    /// With `--until decided`: the factor whose levels are compared; the only one by default
    #[arg(long, value_name = "FACTOR")]
    pub by: Option<String>,
    /// With `--until decided`: the level with which the others are compared; the first one by default
    #[arg(long, value_name = "LEVEL")]
    pub baseline: Option<String>,
    /// With `--until decided`: a difference within ± this share does not matter
    #[arg(long, value_name = "PERCENT", default_value = "5%")]
    pub threshold: String,
    /// So many sessions, each a run of its own: runs made at different times are judged by how far sessions lie apart
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub sessions: u32,
    /// With --sessions: what passes between them, such as `10m`
    #[arg(long, value_name = "TIME", requires = "sessions")]
    pub pause: Option<String>,
    /// With --until: not before so many rounds
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub least: u32,
    /// Begin no round that would not end within this time, such as `30m`
    #[arg(long = "for", value_name = "TIME")]
    pub budget: Option<String>,
    /// The metric whose stability is in question; by default the scenario's `primary`, or throughput
    #[arg(long, value_name = "METRIC")]
    pub metric: Option<String>,
    /// Select levels of a factor, by label: `--set processes=1,4`
    #[arg(long = "set", value_name = "FACTOR=LEVEL,…")]
    pub settings: Vec<String>,
    /// Seed of order, ids and random bodies; without one each run draws its own and records it
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// End at the first repetition that failed or is invalid, with exit code 4
    #[arg(long)]
    pub fail_fast: bool,
    /// Where results go: DIR/EXPERIMENT/TIME-ID
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub out: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: Output,
}

/// `runner measure`
#[derive(Debug, Args)]
pub struct Measure {
    /// The scenario file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Begin no repetition when so much has passed since the run began, such as `90d`; without it, go on until a signal
    #[arg(long = "for", value_name = "TIME")]
    pub time: Option<String>,
    /// Remove windows, resources, requests and logs of repetitions that are older, such as `30d`; transfers and taps stay
    #[arg(long, value_name = "TIME")]
    pub compact_after: Option<String>,
    /// Select levels of a factor, by label: `--set processes=1,4`
    #[arg(long = "set", value_name = "FACTOR=LEVEL,…")]
    pub settings: Vec<String>,
    /// Seed of order, ids and random bodies; without one a new run draws its own and records it
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Offer what is measured at this address meanwhile, such as `127.0.0.1:8000`, by a process of its own
    #[arg(long, value_name = "ADDRESS")]
    pub serve: Option<SocketAddr>,
    /// With --serve: allow addresses that others can reach
    #[arg(long, requires = "serve")]
    pub public: bool,
    /// With --serve: the user that the process becomes once it has its port
    #[arg(long, value_name = "NAME", requires = "serve")]
    pub user: Option<String>,
    /// Where results go: DIR/EXPERIMENT/TIME-ID; the newest run there goes on if it is of the same plan
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub out: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: Output,
}

/// `runner explain`
#[derive(Debug, Args)]
pub struct Explain {
    /// Keys, with dots between those that lead to them (`load.open.rate`), or metrics; without one, the keys at the top
    #[arg(value_name = "KEY")]
    pub keys: Vec<String>,
}

/// `runner resume`
#[derive(Debug, Args)]
pub struct Resume {
    /// The directory of a run, or a folder whose newest run is meant
    #[arg(value_name = "DIR")]
    pub path: PathBuf,
    /// Take the scenario from the run's own experiment.yaml, not from where it was read
    #[arg(long)]
    pub as_recorded: bool,
    /// End at the first repetition that failed or is invalid, with exit code 4
    #[arg(long)]
    pub fail_fast: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: Output,
}

/// `runner compare`
#[derive(Debug, Args)]
pub struct Compare {
    /// Directories of runs, the baseline first; sessions of one side are joined with commas. With --by only one
    #[arg(required = true, value_name = "DIR")]
    pub paths: Vec<PathBuf>,
    /// Compare the levels of this factor within one run
    #[arg(long, value_name = "FACTOR")]
    pub by: Option<String>,
    /// With --by: the level that the others are compared with; the first one by default
    #[arg(long, value_name = "LEVEL", requires = "by")]
    pub baseline: Option<String>,
    /// A difference within ± this share does not matter
    #[arg(long, value_name = "PERCENT", default_value = "5%")]
    pub threshold: String,
    /// Compare these metrics: by default throughput, response_p50, response_p99 and pss, or what a program brings
    #[arg(long, value_name = "METRIC,…", value_delimiter = ',')]
    pub metric: Vec<String>,
    /// The metric that is the question: the others are asked only where it has an answer. By default the scenario's, or
    /// throughput, or the first figure that a program brings
    #[arg(long, value_name = "METRIC")]
    pub primary: Option<String>,
    /// Exit with 3 when anything is slower or uses more, with 4 when something of it is missing, with 5 when something cannot
    /// be told
    #[arg(long)]
    pub fail_on_slower: bool,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// How something is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A table for a terminal
    Text,
    /// JSON
    Json,
    /// GitHub's Markdown
    Markdown,
}

/// `runner check`
#[derive(Debug, Args)]
pub struct Check {
    /// Scenario files; all in experiments/ when there is none
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// `runner init`
#[derive(Debug, Args)]
pub struct Init {
    /// Name of the experiment: experiments/NAME.yaml is written. By default that of the program, or `first`
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Where requests go: to a server that runs already, or to COMMAND
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// COMMAND is a server, and listens on this port
    #[arg(long, value_name = "PORT", conflicts_with = "url")]
    pub port: Option<u16>,
    /// COMMAND is no server: how long it takes is measured
    #[arg(long, conflicts_with_all = ["url", "port"], requires = "command")]
    pub tool: bool,
    /// A server, or a program that ends by itself, with its arguments
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// `runner latest`
#[derive(Debug, Args)]
pub struct Latest {
    /// Of this experiment; without one, of all
    #[arg(value_name = "EXPERIMENT")]
    pub experiment: Option<String>,
    /// Where results are
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub out: PathBuf,
}

/// `runner completions`
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// `runner man`
#[derive(Debug, Args)]
pub struct Man {
    /// Write a page for each subcommand there, as runner-run.1
    #[arg(value_name = "DIR")]
    pub directory: Option<PathBuf>,
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
    #[arg(long, conflicts_with = "table")]
    pub json: bool,
    /// Print all figures instead: a row for each repetition and metric, or for each cell and metric
    #[arg(long, value_name = "TABLE")]
    pub table: Option<FigureTable>,
    /// Print that table as CSV; without `--table` write figures.csv beside figures.parquet
    #[arg(long)]
    pub csv: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub reports: Reports,
}

/// A table of figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum FigureTable {
    /// A row for each cell, repetition, workload or target, phase, step and metric
    Figures,
    /// A row for each of these over all repetitions that count, with intervals
    Cells,
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

/// `runner export`
#[derive(Debug, Subcommand)]
pub enum Export {
    /// Add runs to an SQLite database, or bring them up to date there; it has views for the questions that are asked most
    Sqlite(ExportSqlite),
    /// Write the same tables as files of CSV (RFC 4180) into a directory
    Csv(ExportCsv),
    /// Write downloads as Torperf's files (`.tpf`, format 1.1), with their circuits where a control port was read
    Torperf(ExportTransfers),
    /// Write transfers, circuits and streams as OnionPerf's analysis (JSON, version 3.1), and what control ports said as its logs
    Onionperf(ExportTransfers),
}

/// `runner export sqlite`
#[derive(Debug, Args)]
pub struct ExportSqlite {
    /// Directories of runs, or folders in which the newest run of each experiment is taken
    #[arg(value_name = "RUN", required = true)]
    pub paths: Vec<PathBuf>,
    /// The database: a new file, or one that an earlier export made
    #[arg(long, short = 'o', value_name = "FILE")]
    pub out: PathBuf,
}

/// `runner export csv`
#[derive(Debug, Args)]
pub struct ExportCsv {
    /// Directories of runs, or folders in which the newest run of each experiment is taken
    #[arg(value_name = "RUN", required = true)]
    pub paths: Vec<PathBuf>,
    /// The directory of the files: a new one, an empty one, or an earlier export, which is replaced
    #[arg(long, short = 'o', value_name = "DIR")]
    pub out: PathBuf,
}

/// `runner export torperf` and `runner export onionperf`
#[derive(Debug, Args)]
pub struct ExportTransfers {
    /// Directories of runs, or folders in which the newest run of each experiment is taken
    #[arg(value_name = "RUN", required = true)]
    pub paths: Vec<PathBuf>,
    /// The directory of the files: a new one, an empty one, or an earlier export of this kind, which is replaced
    #[arg(long, short = 'o', value_name = "DIR")]
    pub out: PathBuf,
    /// Who measured: letters, digits and `-`; by default the name of this host. Of several cells each has its own behind it
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
}

/// `runner serve`
#[derive(Debug, Args)]
pub struct Serve {
    /// The directory of an experiment, such as results/NAME, or of one run
    #[arg(value_name = "DIR")]
    pub path: PathBuf,
    /// Where to listen; with port 0 the system chooses one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Let other machines in: without this only addresses of this machine itself are listened on
    #[arg(long)]
    pub public: bool,
    /// Become this user once the address is taken; needs root. The user has to be able to read the results
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Who measured, in the files of Tor's measurements: letters, digits and `-`; by default the name of this host
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
}

/// `runner load`
#[derive(Debug, Args)]
pub struct Load {
    /// Where: http://host:port/path or https://…
    #[arg(value_name = "URL")]
    pub url: String,
    /// Connections, each with one request at a time
    #[arg(long, short = 'c', value_name = "N", default_value_t = 64)]
    pub connections: u32,
    /// How long, such as `10s`; 10 s without --amount
    #[arg(long, short = 'd', value_name = "TIME", conflicts_with = "amount")]
    pub duration: Option<String>,
    /// How many requests
    #[arg(long, short = 'n', value_name = "N")]
    pub amount: Option<u64>,
    /// Open loop: requests per second, such as `5000` or `30/min`; without it each connection sends as fast as it is answered
    #[arg(long, short = 'r', value_name = "RATE")]
    pub rate: Option<String>,
    /// With --rate: arrivals at random, as those of many users
    #[arg(long, requires = "rate")]
    pub poisson: bool,
    /// Before the measurement, left out of the numbers, such as `2s`
    #[arg(long, value_name = "TIME")]
    pub warm_up: Option<String>,
    /// Generator threads
    #[arg(long, short = 't', value_name = "N", default_value_t = 1)]
    pub threads: u32,
    /// Processors on which the generator may run, such as `0,2`
    #[arg(long, value_name = "CPU,…", value_delimiter = ',')]
    pub cpus: Vec<u32>,
    /// Method; GET, or POST with a body
    #[arg(long, short = 'X', value_name = "METHOD")]
    pub method: Option<String>,
    /// A header, such as `name: value`; may be given several times
    #[arg(long = "header", short = 'H', value_name = "HEADER")]
    pub headers: Vec<String>,
    /// A body
    #[arg(long, value_name = "TEXT")]
    pub data: Option<String>,
    /// A body from a file
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    pub data_file: Option<PathBuf>,
    /// Statuses that are right; any 2xx by default
    #[arg(long, value_name = "STATUS,…", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(100..600))]
    pub expect_status: Vec<u16>,
    /// How long a request may take, such as `5s`; 30 s by default
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<String>,
    /// Speak HTTP/2
    #[arg(long)]
    pub http2: bool,
    /// With --http2: requests at a time on one connection
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub streams: u32,
    /// One request per connection
    #[arg(long)]
    pub no_keep_alive: bool,
    /// Follow so many redirects
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub redirects: u32,
    /// Take any certificate from anybody
    #[arg(long)]
    pub insecure: bool,
    /// Certificates (PEM) of those who may vouch for the server, instead of the system's
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// What the server is called in the handshake and in its certificate, instead of the URL's host
    #[arg(long, value_name = "NAME")]
    pub server_name: Option<String>,
    /// A certificate of one's own (PEM), for a server that asks who is there
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,
    /// The key of --cert (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// Connect to this Unix socket; the URL then only says what the `host` header is
    #[arg(long, value_name = "PATH")]
    pub unix_socket: Option<PathBuf>,
    /// Write to DIR what `run` records of a load: windows.parquet and its empty neighbours
    #[arg(long, value_name = "DIR")]
    pub record: Option<PathBuf>,
    /// Seed of arrivals and random ids
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
    /// Say nothing but errors
    #[arg(long, short)]
    pub quiet: bool,
}

/// `runner doctor`
#[derive(Debug, Args)]
pub struct Doctor {
    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,
    /// How long each measurement takes, such as `2s`
    #[arg(long, value_name = "TIME", default_value = "2s")]
    pub time: String,
    /// Where scenario files are, whose programs are looked for
    #[arg(long, value_name = "DIR", default_value = "experiments")]
    pub experiments: PathBuf,
    /// Run this experiment against itself, in sessions: which difference this machine can see, and how far sessions lie
    /// apart. Kept beside the results, and used by `compare`
    #[arg(long, value_name = "FILE")]
    pub same: Option<PathBuf>,
    /// With --same: how long, such as `10m`; at least three sessions are made
    #[arg(long = "for", value_name = "TIME", default_value = "10m", requires = "same")]
    pub budget: String,
    /// With --same: repetitions of each cell in each session, instead of the scenario's
    #[arg(long, short = 'n', value_name = "N", requires = "same")]
    pub repetitions: Option<u32>,
    /// With --same: select levels of a factor, by label
    #[arg(long = "set", value_name = "FACTOR=LEVEL,…", requires = "same")]
    pub settings: Vec<String>,
    /// With --same: where results go: DIR/EXPERIMENT/TIME-ID
    #[arg(long, value_name = "DIR", default_value = "results", requires = "same")]
    pub out: PathBuf,
}

/// `runner fixture`
#[derive(Debug, Args)]
pub struct Fixture {
    /// Name of the fixture and its arguments; `--help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "NAME ARGUMENTS")]
    pub arguments: Vec<std::ffi::OsString>,
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt as _;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_types_fit_together() {
        Cli::command().debug_assert();
    }

    #[track_caller]
    fn said(line: &str) -> String {
        let error = Cli::try_parse_from(line.split_whitespace()).expect_err("nothing is called so");
        with_neighbour(error).render().to_string()
    }

    #[test]
    fn an_unknown_subcommand_gets_its_neighbour() {
        for (typed, meant) in
            [("rnu", "run"), ("chekc", "check"), ("summarise", "summarize"), ("bench", "run"), ("plot", "graph")]
        {
            let said = said(&format!("runner {typed}"));
            assert!(said.contains(&format!("a similar subcommand exists: '{meant}'")), "{typed}: {said}");
        }
        assert!(!said("runner qqqqqq").contains("similar"));
        assert!(said("runner export sqlit").contains("a similar subcommand exists: 'sqlite'"));
        assert!(said("runner a/b.yaml").contains("`runner run a/b.yaml`"));
    }

    #[test]
    fn every_other_name_leads_to_a_subcommand_and_is_none() {
        let known: Vec<String> = Cli::command().get_subcommands().map(|c| c.get_name().to_owned()).collect();
        for (other, ours) in OTHER_NAMES {
            assert!(known.iter().any(|name| name == ours), "{ours}");
            assert!(!known.iter().any(|name| name == other), "{other}");
        }
    }

    /// Every subcommand and every option, as a person types them.
    fn known() -> Vec<String> {
        let mut words = Vec::new();
        for command in Cli::command().get_subcommands() {
            words.push(command.get_name().to_owned());
            for argument in command.get_arguments() {
                words.extend(argument.get_long().map(|long| format!("--{long}")));
                words.extend(argument.get_short().map(|short| format!("-{short}")));
            }
        }
        words
    }

    /// A word that somebody may type, or that a script that went wrong passes on.
    fn word() -> impl Strategy<Value = OsString> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..6);
        let with_bytes = (prop::sample::select(known()), bytes())
            .prop_map(|(word, bytes)| OsString::from_vec([word.as_bytes(), b"=", &bytes].concat()));
        let odd = [
            "",
            "-",
            "--",
            "-n-1",
            "=",
            "--=",
            "99999999999999999999",
            "-1",
            "NaN",
            "1e999",
            "\u{fffd}",
            "a,b,",
            "--json=1",
            "@x",
        ];
        prop_oneof![
            4 => prop::sample::select(known()).prop_map(OsString::from),
            1 => with_bytes,
            1 => bytes().prop_map(OsString::from_vec),
            1 => prop::sample::select(odd.to_vec()).prop_map(OsString::from),
            1 => "\\PC{0,6}".prop_map(OsString::from),
        ]
    }

    proptest! {
        /// Whatever is typed: it is understood, or there are words for what is wrong with it.
        #[test]
        fn no_command_line_is_a_panic(command in prop::sample::select(known()), words in prop::collection::vec(word(), 0..8)) {
            let line = ["runner".into(), command.into()].into_iter().chain(words);
            let said = match Cli::try_parse_from(line) {
                Ok(cli) => format!("{cli:?}"),
                Err(error) => error.render().to_string(),
            };
            prop_assert_ne!(said, "");
        }
    }
}
