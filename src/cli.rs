//! The command line: types only.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::vocabulary::Shard;
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
    /// Measure for months: round after round until you stop it, through restarts, full disks and crashed targets
    Measure(Measure),
    /// Execute what a controller asks for over standard input and output: `--on ssh:…` starts this on other machines
    Agent(Agent),
    /// Continue an interrupted run: execute only what is missing
    Resume(Resume),
    /// Make one run of its shards, wherever they were executed, then summarize and draw it
    Merge(Merge),
    /// Say which run, or which level of a factor, is faster, by how much, and whether the difference is significant
    Compare(Compare),
    /// Find every mistake in scenario files, without starting anything
    Check(Check),
    /// Print what `run` would do: cells, commands, ports, files, and how long it would take
    Plan(Plan),
    /// List experiments with their questions, factors and cells
    List(List),
    /// Write a first experiment, for a URL or a command line
    Init(Init),
    /// Print the JSON Schema of scenario files, for editors
    Schema,
    /// Explain a key of the scenario language, a metric, or a word of the output
    Explain(Explain),
    /// Aggregate results into summary.json and a table
    Summarize(Summarize),
    /// Draw the graphs of results
    Graph(Graph),
    /// Write a report of runs: a self-contained HTML file, or Markdown for a merge request
    Report(Report),
    /// Write results for other programs: an SQLite database, CSV files, Torperf's and OnionPerf's files, or JSON for benchmark
    /// trackers
    #[command(subcommand)]
    Export(Export),
    /// Serve results over HTTP: reports, comparisons, history, and a run in progress
    Serve(Serve),
    /// Load-test one URL: a quick look, with the engine of `run`
    Load(Box<Load>),
    /// Show what this machine can measure: the generator's ceiling, timers, limits, missing programs
    Doctor(Doctor),
    /// Run a bundled server
    #[command(disable_help_flag = true)]
    Fixture(Fixture),
    /// Print the directory of the newest run
    Latest(Latest),
    /// Print completions for a shell
    Completions(Completions),
    /// Print the man page, or write the man pages of all subcommands to a directory
    Man(Man),
}

/// Names that users of other programs may type, and the subcommand that they mean.
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
    ("html", "report"),
    ("stats", "summarize"),
    ("draw", "graph"),
    ("plot", "graph"),
    ("last", "latest"),
    ("web", "serve"),
    ("completion", "completions"),
    ("env", "doctor"),
];

/// Parses the command line; if it is wrong, prints the error and exits.
pub fn parse() -> Cli {
    Cli::try_parse().unwrap_or_else(|error| with_neighbour(error).exit())
}

/// Adds the subcommand that was probably meant: clap suggests names that look alike, but does not recognize swapped letters or
/// the names that other programs use.
fn with_neighbour(mut error: clap::Error) -> clap::Error {
    let usage = error.get(ContextKind::Usage).map(ToString::to_string).unwrap_or_default();
    if error.kind() == ErrorKind::UnknownArgument && usage.contains("runner init") {
        // `runner init site python3 server.py`; an option such as `--tol` has its own suggestion.
        if let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidArg)
            && !typed.starts_with("--")
        {
            let tip = "put `--` before the command: `runner init NAME -- COMMAND …`".to_owned();
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
        }
        return error;
    }
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
    // For the subcommands of `runner export`, clap's own suggestions are enough.
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

/// Where the rounds of a run are executed.
#[derive(Debug, Args)]
pub struct Cluster {
    /// Execute elsewhere: `slurm` (the rounds as shards on nodes of a cluster; with `hosts` in the scenario, its roles on nodes of
    /// one allocation), `ssh:ROLE=HOST,ROLE=HOST+HOST` (its roles on machines), or `netns` (its roles as network namespaces here)
    #[arg(long, value_name = "WHERE")]
    pub on: Option<On>,
    /// With --on ssh or slurm: copy runner to the machines; nothing needs to be shared with them, and results come back over the
    /// same channel
    #[arg(long, requires = "on")]
    pub bring: bool,
    /// With --on: how many nodes; by default as many as are idle
    #[arg(long, value_name = "N", requires = "on")]
    pub nodes: Option<u32>,
    /// With --on slurm: options for sbatch, such as `partition=lab,time=1:00:00`
    #[arg(long, value_name = "NAME=VALUE,…", requires = "on")]
    pub slurm: Vec<String>,
    /// With --on: do not wait; `runner resume` follows the job and merges its results
    #[arg(long, requires = "on")]
    pub detach: bool,
}

/// Where a run is executed, if not on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum On {
    /// Under Slurm: the rounds as an array of exclusive nodes, or the roles of the scenario as nodes of one allocation.
    Slurm,
    /// Each role is a network namespace of this machine, with an address of its own.
    Netns,
    /// Roles, each with its machines, over SSH.
    Ssh(Vec<(String, Vec<SshHost>)>),
}

/// A machine that SSH reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshHost {
    /// `user@host`, or a name from `~/.ssh/config`.
    pub destination: String,
    /// The address at which other machines reach it, if not that of SSH.
    pub address: Option<String>,
}

impl std::str::FromStr for On {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected `slurm`, `netns` or `ssh:ROLE=HOST,ROLE=HOST+HOST`";
        match text {
            "slurm" => return Ok(Self::Slurm),
            "netns" => return Ok(Self::Netns),
            _ => {}
        }
        let Some(roles) = text.strip_prefix("ssh:") else {
            return Err(match nearest(text.split(':').next().unwrap_or_default(), ["slurm", "netns", "ssh"]) {
                Some(near) => format!("{expected}; did you mean `{near}`?"),
                None => expected.to_owned(),
            });
        };
        let mut found: Vec<(String, Vec<SshHost>)> = Vec::new();
        for part in roles.split(',') {
            let Some((role, hosts)) = part.split_once('=').filter(|(role, hosts)| !role.is_empty() && !hosts.is_empty()) else {
                return Err(format!("`{part}`: expected `ROLE=HOST`, such as `server=alice@a`"));
            };
            if found.iter().any(|(known, _)| known == role) {
                return Err(format!("the role `{role}` is named twice: expected its machines together, as in `{role}=a+b`"));
            }
            let host = |word: &str| {
                let (destination, address) = word.split_once('/').map_or((word, None), |(d, a)| (d, Some(a.to_owned())));
                match destination.is_empty() || destination.starts_with('-') || address.as_deref() == Some("") {
                    true => Err(format!("`{word}` is not a machine: expected `user@host`, or `user@host/address`")),
                    false => Ok(SshHost { destination: destination.to_owned(), address }),
                }
            };
            found.push((role.to_owned(), hosts.split('+').map(host).collect::<Result<_, _>>()?));
        }
        Ok(Self::Ssh(found))
    }
}

impl std::fmt::Display for On {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self::Ssh(roles) = self else {
            return f.write_str(if *self == Self::Slurm { "slurm" } else { "netns" });
        };
        let host = |host: &SshHost| match &host.address {
            Some(address) => format!("{}/{address}", host.destination),
            None => host.destination.clone(),
        };
        let role =
            |(role, hosts): &(String, Vec<SshHost>)| format!("{role}={}", hosts.iter().map(host).collect::<Vec<_>>().join("+"));
        write!(f, "ssh:{}", roles.iter().map(role).collect::<Vec<_>>().join(","))
    }
}

/// Where the results of a run go, and how much is printed during the run.
#[derive(Debug, Args)]
pub struct Output {
    /// Where graphs go
    #[arg(long, value_name = "DIR", default_value = "graphs")]
    pub graphs: PathBuf,
    /// Do not draw graphs at the end, and do not write the report beside them
    #[arg(long)]
    pub no_graphs: bool,
    /// Do not write report.html beside the graphs
    #[arg(long)]
    pub no_report: bool,
    /// Also draw each graph as SVG, beside the PNG
    #[arg(long, conflicts_with = "no_graphs")]
    pub svg: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub reports: Reports,
    /// Send OpenTelemetry metrics to this receiver (OTLP/HTTP in JSON) during the run, such as `http://127.0.0.1:4318`
    #[arg(long, value_name = "URL")]
    pub otlp: Option<String>,
    /// Print errors only
    #[arg(long, short, conflicts_with = "json")]
    pub quiet: bool,
    /// Print one JSON object per event on standard output, for scripts
    #[arg(long)]
    pub json: bool,
    /// Print a line when a repetition ends, with how long each part took
    #[arg(long, short, conflicts_with_all = ["quiet", "json"])]
    pub verbose: bool,
}

/// When a run ends before all repetitions are done.
#[derive(Debug, Args)]
pub struct StopEarly {
    /// Stop at the first repetition that failed or is invalid, with exit code 4
    #[arg(long)]
    pub fail_fast: bool,
    /// Continue even when ten repetitions in a row have failed for the same reason
    #[arg(long, conflicts_with = "fail_fast")]
    pub keep_going: bool,
}

/// Serving results during the run.
#[derive(Debug, Args)]
pub struct Serving {
    /// Serve the results at this address during the run, such as `127.0.0.1:8700`, from a separate process
    #[arg(long, value_name = "ADDRESS")]
    pub serve: Option<SocketAddr>,
    /// With --serve: allow addresses that others can reach
    #[arg(long, requires = "serve")]
    pub public: bool,
    /// With --serve: the user that the process switches to once it listens
    #[arg(long, value_name = "NAME", requires = "serve")]
    pub user: Option<String>,
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
    /// Execute only every M-th round, from the N-th on, such as `2/5`; `runner merge` makes one run of all shards
    #[arg(long, value_name = "N/M", conflicts_with = "on")]
    pub shard: Option<Shard>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub cluster: Cluster,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub stop: StopEarly,
    /// Where results go: DIR/EXPERIMENT/TIME-ID
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub out: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub serving: Serving,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: Output,
}

/// `runner repeat`
#[derive(Debug, Args)]
pub struct Repeat {
    /// Scenario files; without one, the experiment that was run last here, or the only one in experiments/
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Rounds over all cells; with --until or --for as an upper limit
    #[arg(long = "repetitions", short = 'n', value_name = "N")]
    pub rounds: Option<u32>,
    /// Continue until the mean of every cell is known to ± this share with 95 % confidence, such as `2%`; or, with `decided`, until
    /// every level of a factor is faster or slower than its baseline, or the same within --threshold
    #[arg(long, value_name = "PERCENT|decided")]
    pub until: Option<String>,
    /// With `--until decided`: the factor whose levels are compared; by default the only factor
    #[arg(long, value_name = "FACTOR")]
    pub by: Option<String>,
    /// With `--until decided`: the level with which the others are compared; by default the first
    #[arg(long, value_name = "LEVEL")]
    pub baseline: Option<String>,
    /// With `--until decided`: a difference within ± this share does not matter
    #[arg(long, value_name = "PERCENT", default_value = "5%")]
    pub threshold: String,
    /// Number of sessions, each a separate run; runs made at different times are judged by how much sessions differ
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub sessions: u32,
    /// With --sessions: the pause between them, such as `10m`
    #[arg(long, value_name = "TIME", requires = "sessions")]
    pub pause: Option<String>,
    /// With --until PERCENT: the smallest number of rounds
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub least: u32,
    /// Do not start a round that would not end within this time, such as `30m`
    #[arg(long = "for", value_name = "TIME")]
    pub budget: Option<String>,
    /// The metric whose stability is judged; by default the scenario's `primary`, or throughput
    #[arg(long, value_name = "METRIC")]
    pub metric: Option<String>,
    /// Select levels of a factor, by label: `--set processes=1,4`
    #[arg(long = "set", value_name = "FACTOR=LEVEL,…")]
    pub settings: Vec<String>,
    /// Seed of order, ids and random bodies; without one each run draws its own and records it
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Execute only every M-th round, from the N-th on, such as `2/5`; `runner merge` makes one run of all shards
    #[arg(long, value_name = "N/M", conflicts_with_all = ["until", "budget", "sessions", "on"])]
    pub shard: Option<Shard>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub cluster: Cluster,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub stop: StopEarly,
    /// Where results go: DIR/EXPERIMENT/TIME-ID
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub out: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub serving: Serving,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: Output,
}

/// `runner merge`
#[derive(Debug, Args)]
pub struct Merge {
    /// Directories of the shards' runs, or folders: then the newest run in each
    #[arg(required = true, value_name = "RUN")]
    pub paths: Vec<PathBuf>,
    /// Where the merged run goes: DIR/EXPERIMENT/TIME-ID
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
    /// Stop starting repetitions when this much time has passed since the run started, such as `90d`; by default, continue until
    /// a signal
    #[arg(long = "for", value_name = "TIME")]
    pub time: Option<String>,
    /// Remove windows, resources, requests and logs of repetitions older than this, such as `30d`; transfers and taps stay
    #[arg(long, value_name = "TIME")]
    pub compact_after: Option<String>,
    /// Select levels of a factor, by label: `--set processes=1,4`
    #[arg(long = "set", value_name = "FACTOR=LEVEL,…")]
    pub settings: Vec<String>,
    /// Seed of order, ids and random bodies; without one a new run draws its own and records it
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub serving: Serving,
    /// Where results go: DIR/EXPERIMENT/TIME-ID; the newest run there is continued if it has the same plan
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub out: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: Output,
}

/// `runner explain`
#[derive(Debug, Args)]
pub struct Explain {
    /// Keys (`load.open.rate`), metrics, or words of the output; by default the top-level keys
    #[arg(value_name = "KEY")]
    pub keys: Vec<String>,
}

/// `runner agent`
#[derive(Debug, Args)]
pub struct Agent {
    /// Enter this network namespace first
    #[arg(long, value_name = "FILE", hide = true)]
    pub inside: Option<PathBuf>,
    /// A clock that is wrong on purpose, such as `500ms,200ppm`
    #[arg(long, value_name = "AHEAD,DRIFT", hide = true)]
    pub clock: Option<String>,
    /// Work in this folder, which must not exist yet
    #[arg(long, value_name = "DIR", hide = true)]
    pub place: Option<PathBuf>,
    /// Remove this executable at the end
    #[arg(long, hide = true)]
    pub brought: bool,
}

/// `runner resume`
#[derive(Debug, Args)]
pub struct Resume {
    /// The directory of a run, or a folder: then its newest run
    #[arg(value_name = "DIR")]
    pub path: PathBuf,
    /// Read the scenario from the run's own experiment.yaml, not from its original location
    #[arg(long)]
    pub as_recorded: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub stop: StopEarly,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: Output,
}

/// `runner compare`
#[derive(Debug, Args)]
pub struct Compare {
    /// Directories of runs, the baseline first; join the sessions of one side with commas. With a single run, its levels are
    /// compared
    #[arg(required = true, value_name = "DIR")]
    pub paths: Vec<PathBuf>,
    /// Compare the levels of this factor within one run; by default the only factor with several levels
    #[arg(long, value_name = "FACTOR")]
    pub by: Option<String>,
    /// Within one run: the level that the others are compared with; by default the first
    #[arg(long, value_name = "LEVEL")]
    pub baseline: Option<String>,
    /// A difference within ± this share does not matter
    #[arg(long, value_name = "PERCENT", default_value = "5%")]
    pub threshold: String,
    /// Compare these metrics; by default throughput, response_p50, response_p99 and pss, or a program's own metrics
    #[arg(long, value_name = "METRIC,…", value_delimiter = ',')]
    pub metric: Vec<String>,
    /// The metric that matters most: the others are judged only where this one differs. By default the scenario's, or
    /// throughput, or the first metric of a program
    #[arg(long, value_name = "METRIC")]
    pub primary: Option<String>,
    /// Compare throughput and times of this step, or of this kind of passes of a mix, instead of passes as a whole
    #[arg(long, value_name = "STEP")]
    pub step: Option<String>,
    /// Exit with 3 if anything is slower or uses more, with 4 if something is missing, with 5 if anything is undecided
    #[arg(long)]
    pub fail_on_slower: bool,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// An output format.
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
    /// Scenario files; by default all in experiments/
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// `runner init`
#[derive(Debug, Args)]
pub struct Init {
    /// Name of the experiment: writes experiments/NAME.yaml. By default the program's name, or `first`
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Where requests go: to a server that is already running, or to COMMAND
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// COMMAND is a server that listens on this port
    #[arg(long, value_name = "PORT", conflicts_with = "url")]
    pub port: Option<u16>,
    /// COMMAND is not a server: measure how long it takes
    #[arg(long, conflicts_with_all = ["url", "port"], requires = "command")]
    pub tool: bool,
    /// A server, or a program that ends on its own, with its arguments
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// `runner latest`
#[derive(Debug, Args)]
pub struct Latest {
    /// Only runs of this experiment; by default, of all experiments
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
    /// Write a page for each subcommand to this directory, such as runner-run.1
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
    /// Earlier results, from which the duration is estimated
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub out: PathBuf,
    /// Print the whole plan as JSON
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
    /// Directories of runs, or folders: then the newest run of each experiment in them
    #[arg(value_name = "DIR", default_value = "results")]
    pub paths: Vec<PathBuf>,
    /// Print the summary as JSON instead of a table
    #[arg(long, conflicts_with = "table")]
    pub json: bool,
    /// Print all figures instead: one row per repetition and metric, or one per cell and metric
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
    /// One row per cell, repetition, workload or target, phase, step and metric
    Figures,
    /// The same over all repetitions that count, with intervals
    Cells,
}

/// `runner graph`
#[derive(Debug, Args)]
pub struct Graph {
    /// Directories of runs, or folders: then the newest run of each experiment in them
    #[arg(value_name = "DIR", default_value = "results")]
    pub paths: Vec<PathBuf>,
    /// Where graphs go: DIR/EXPERIMENT/RUN/*.png
    #[arg(long, value_name = "DIR", default_value = "graphs")]
    pub out: PathBuf,
    /// Also draw each graph as SVG, beside the PNG
    #[arg(long)]
    pub svg: bool,
}

/// `runner report`
#[derive(Debug, Args)]
pub struct Report {
    /// Directories of runs of one experiment, the baseline first, or a folder: then its newest run; join the sessions of one side
    /// with commas
    #[arg(value_name = "RUN", default_value = "results")]
    pub paths: Vec<PathBuf>,
    /// The output file, or `-` for standard output; by default report.html, or standard output with --markdown
    #[arg(long, short = 'o', value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Write GitHub's and GitLab's Markdown instead of HTML
    #[arg(long)]
    pub markdown: bool,
    /// With --markdown: show the pictures of `runner graph`, which are below this folder or address
    #[arg(long, value_name = "DIR|URL", requires = "markdown")]
    pub pictures: Option<String>,
    /// With one run: the factor whose levels are compared; by default chosen from the scenario
    #[arg(long, value_name = "FACTOR")]
    pub by: Option<String>,
    /// With --by: the level that the others are compared with; by default the first
    #[arg(long, value_name = "LEVEL", requires = "by")]
    pub baseline: Option<String>,
    /// A difference within ± this share does not matter
    #[arg(long, value_name = "PERCENT", default_value = "5%")]
    pub threshold: String,
    /// Exit with 3 if anything is slower or uses more, with 4 if something is missing, with 5 if anything is undecided
    #[arg(long)]
    pub fail_on_slower: bool,
}

/// `runner export`
#[derive(Debug, Subcommand)]
pub enum Export {
    /// Add runs to an SQLite database, or update them there; its views answer the most common questions
    Sqlite(ExportSqlite),
    /// Write the same tables as CSV files (RFC 4180) into a directory
    Csv(ExportCsv),
    /// Print series and histograms in Prometheus's format (OpenMetrics with time stamps), for `promtool tsdb create-blocks-from`
    Prometheus(ExportFigures),
    /// Print OpenTelemetry metrics (OTLP/JSON, one request per line), with exponential histograms
    Otlp(ExportFigures),
    /// Print InfluxDB's line protocol
    Influx(ExportFigures),
    /// Write downloads as Torperf's files (`.tpf`, format 1.1), with their circuits if a control port was read
    Torperf(ExportTransfers),
    /// Write transfers, circuits and streams as OnionPerf's analysis (JSON, version 3.1), and control-port events as its logs
    Onionperf(ExportTransfers),
    /// Print figures as JSON for Bencher (Bencher Metric Format): medians with their 95 % intervals
    Bencher(ExportFigures),
    /// Print figures as JSON for github-action-benchmark: those where bigger is better (`customBiggerIsBetter`)
    BenchmarkAction(ExportBenchmarkAction),
}

/// `runner export bencher`
#[derive(Debug, Args)]
pub struct ExportFigures {
    /// Directories of runs, or folders: then the newest run of each experiment in them
    #[arg(value_name = "RUN", required = true)]
    pub paths: Vec<PathBuf>,
    /// Write to this file instead of standard output
    #[arg(long, short = 'o', value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// `runner export benchmark-action`
#[derive(Debug, Args)]
pub struct ExportBenchmarkAction {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub figures: ExportFigures,
    /// Print those where smaller is better instead (`customSmallerIsBetter`): times and memory
    #[arg(long)]
    pub smaller_is_better: bool,
}

/// `runner export sqlite`
#[derive(Debug, Args)]
pub struct ExportSqlite {
    /// Directories of runs, or folders: then the newest run of each experiment in them
    #[arg(value_name = "RUN", required = true)]
    pub paths: Vec<PathBuf>,
    /// The database: a new file, or one from an earlier export
    #[arg(long, short = 'o', value_name = "FILE")]
    pub out: PathBuf,
}

/// `runner export csv`
#[derive(Debug, Args)]
pub struct ExportCsv {
    /// Directories of runs, or folders: then the newest run of each experiment in them
    #[arg(value_name = "RUN", required = true)]
    pub paths: Vec<PathBuf>,
    /// The directory for the files: new, empty, or an earlier export, which is replaced
    #[arg(long, short = 'o', value_name = "DIR")]
    pub out: PathBuf,
}

/// `runner export torperf` and `runner export onionperf`
#[derive(Debug, Args)]
pub struct ExportTransfers {
    /// Directories of runs, or folders: then the newest run of each experiment in them
    #[arg(value_name = "RUN", required = true)]
    pub paths: Vec<PathBuf>,
    /// The directory for the files: new, empty, or an earlier export of this kind, which is replaced
    #[arg(long, short = 'o', value_name = "DIR")]
    pub out: PathBuf,
    /// Name of the measuring host: letters, digits and `-`; by default this host's. With several cells, the cell's name is appended
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
}

/// `runner serve`
#[derive(Debug, Args)]
pub struct Serve {
    /// A directory with experiments in it, the directory of one experiment, such as results/NAME, or of one run
    #[arg(value_name = "DIR", default_value = "results")]
    pub path: PathBuf,
    /// Where to listen; port 0 lets the system choose one. A socket passed by a service manager (LISTEN_FDS) takes precedence
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8700")]
    pub listen: SocketAddr,
    /// Allow addresses that other machines can reach; without it, only loopback addresses
    #[arg(long)]
    pub public: bool,
    /// Switch to this user once the address is bound; needs root. The user must be able to read the results
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Name of the measuring host in Torperf's and OnionPerf's files: letters, digits and `-`; by default this host's
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
}

/// `runner load`
#[derive(Debug, Args)]
pub struct Load {
    /// The URL: http://host:port/path or https://…
    #[arg(value_name = "URL")]
    pub url: String,
    /// Connections, each with one request at a time
    #[arg(long, short = 'c', value_name = "N", default_value_t = 64)]
    pub connections: u32,
    /// Duration, such as `10s`; by default 10 s, unless --amount is given
    #[arg(long, short = 'd', value_name = "TIME", conflicts_with = "amount")]
    pub duration: Option<String>,
    /// Number of requests
    #[arg(long, short = 'n', value_name = "N")]
    pub amount: Option<u64>,
    /// Open loop: requests per second, such as `5000` or `30/min`; without it, each connection sends as fast as it gets answers
    #[arg(long, short = 'r', value_name = "RATE")]
    pub rate: Option<String>,
    /// With --rate: random (Poisson) arrivals, such as those of many independent users
    #[arg(long, requires = "rate")]
    pub poisson: bool,
    /// Warm-up before the measurement, not counted, such as `2s`
    #[arg(long, value_name = "TIME")]
    pub warm_up: Option<String>,
    /// Generator threads
    #[arg(long, short = 't', value_name = "N", default_value_t = 1)]
    pub threads: u32,
    /// Processors on which the generator may run, such as `0,2`
    #[arg(long, value_name = "CPU,…", value_delimiter = ',')]
    pub cpus: Vec<u32>,
    /// Method; by default GET, or POST with a body
    #[arg(long, short = 'X', value_name = "METHOD")]
    pub method: Option<String>,
    /// A header, such as `name: value`; may be repeated
    #[arg(long = "header", short = 'H', value_name = "HEADER")]
    pub headers: Vec<String>,
    /// Request body
    #[arg(long, value_name = "TEXT")]
    pub data: Option<String>,
    /// Request body from a file
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    pub data_file: Option<PathBuf>,
    /// Statuses that count as correct; by default any 2xx
    #[arg(long, value_name = "STATUS,…", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(100..600))]
    pub expect_status: Vec<u16>,
    /// Timeout of a request, such as `5s`; by default 30 s
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<String>,
    /// Use HTTP/2
    #[arg(long)]
    pub http2: bool,
    /// With --http2: concurrent requests on one connection
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub streams: u32,
    /// One request per connection
    #[arg(long)]
    pub no_keep_alive: bool,
    /// Follow up to this many redirects
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub redirects: u32,
    /// Accept any certificate
    #[arg(long)]
    pub insecure: bool,
    /// Certificate authorities (PEM) to trust, instead of the system's
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Server name for the TLS handshake (SNI) and its certificate, instead of the URL's host
    #[arg(long, value_name = "NAME")]
    pub server_name: Option<String>,
    /// Client certificate (PEM), for a server that asks for one
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,
    /// Key of --cert (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// Connect to this Unix socket; the URL then only sets the `host` header
    #[arg(long, value_name = "PATH")]
    pub unix_socket: Option<PathBuf>,
    /// Write the tables that `run` records for a load to DIR: windows.parquet, and the others, which are empty
    #[arg(long, value_name = "DIR")]
    pub record: Option<PathBuf>,
    /// Seed of arrivals and random ids
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
    /// Print errors only
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
    /// Folder of scenario files; the programs that they need and that are missing are listed
    #[arg(long, value_name = "DIR", default_value = "experiments")]
    pub experiments: PathBuf,
    /// Run this experiment against itself, in sessions, to measure the smallest difference that this machine can show, and how
    /// much sessions differ. Stored beside the results, and used by `compare`
    #[arg(long, value_name = "FILE")]
    pub same: Option<PathBuf>,
    /// With --same: how long to measure, such as `10m`; at least three sessions are run
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
        for command in ["python3 srv.py", "python3 srv.py --port 80"] {
            let said = said(&format!("runner init site {command}"));
            assert!(said.contains("put `--` before the command"), "{said}");
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
        /// Any command line is either parsed or rejected with a message.
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
