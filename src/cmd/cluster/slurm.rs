//! Slurm, through its programs: submitting an array, how its tasks stand, cancelling it. Each call has a deadline, because these
//! programs wait for ever when the controller does not answer. What they say is a hint: whether something was executed is known
//! from the results alone.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::supervise::{Exit, Guard};
use crate::vocabulary::marker;

/// How long one of Slurm's programs may take to say how things stand.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it may take to submit or to cancel: what was given up might happen all the same.
const PATIENCE_TO_ACT: Duration = Duration::from_secs(30);

/// Options of `sbatch` that are set here: others would contradict the shards.
const OURS: [&str; 12] =
    ["array", "chdir", "exclude", "exclusive", "job-name", "nodes", "ntasks", "output", "parsable", "requeue", "wait", "wrap"];

/// How a task of an array stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Task {
    /// In Slurm's word, such as `RUNNING` or `NODE_FAIL`.
    pub state: String,
    /// The node, where it has one.
    pub node: String,
}

impl Task {
    /// Whether Slurm still means to do something with it.
    pub fn is_alive(&self) -> bool {
        [
            "PENDING",
            "CONFIGURING",
            "RUNNING",
            "COMPLETING",
            "REQUEUED",
            "REQUEUE_HOLD",
            "RESIZING",
            "SUSPENDED",
            "STOPPED",
            "SIGNALING",
        ]
        .contains(&self.state.as_str())
    }
}

/// What is submitted.
pub(super) struct Array<'a> {
    /// The script.
    pub script: &'a str,
    /// The name of the job, by which it can be cancelled before its number is known.
    pub name: &'a str,
    /// Numbers of the tasks.
    pub tasks: &'a [u32],
    /// Where the output of a task goes; `%a` stands for its number.
    pub output: &'a str,
    /// Further options, as the user gave them.
    pub options: &'a [(String, String)],
    /// Nodes that are not to be used.
    pub exclude: &'a [String],
}

/// Reads `partition=lab,time=10:00` of the command line.
///
/// # Errors
/// In words.
pub(crate) fn options(words: &[String]) -> Result<Vec<(String, String)>, String> {
    let mut options = Vec::new();
    for word in words.iter().flat_map(|words| words.split(',')).filter(|word| !word.is_empty()) {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let name = name.trim_start_matches('-');
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return Err(format!("`--slurm {word}`: expected options of sbatch, such as `partition=lab,time=1:00:00`"));
        }
        if OURS.contains(&name) {
            return Err(format!("`--slurm {word}`: runner sets `{name}` itself; expected other options of sbatch"));
        }
        options.push((name.to_owned(), value.to_owned()));
    }
    Ok(options)
}

/// What one of Slurm's programs printed.
///
/// # Errors
/// In words: it is not installed, does not answer in time, or says what is wrong.
async fn ask(guard: &Guard, argv: Vec<String>) -> Result<String, String> {
    let acts = ["sbatch", "scancel"].contains(&argv[0].as_str());
    ask_within(guard, argv, if acts { PATIENCE_TO_ACT } else { PATIENCE }).await
}

async fn ask_within(guard: &Guard, argv: Vec<String>, patience: Duration) -> Result<String, String> {
    let program = argv[0].clone();
    // A task on this machine must not look like a process of this run.
    let argv = unmarked().into_iter().chain(argv).collect();
    let answer = guard.ask(argv, patience).await.map_err(|error| crate::vocabulary::errors::chain(&error))?;
    let said = answer.stderr.trim();
    match answer.exit {
        None => {
            let patience = patience.as_secs();
            Err(format!("Slurm does not answer: `{program}` took more than {patience} s (is slurmctld running?)"))
        }
        Some(Exit::Code(0)) => Ok(answer.stdout),
        Some(Exit::Code(127)) => Err(format!("Slurm is not installed here: there is no `{program}`")),
        Some(_) if said.contains("configuration source") => {
            let why = "its programs find no slurm.conf; is this a login node? SLURM_CONF=PATH names the file";
            Err(format!("Slurm is installed here but not configured: {why}"))
        }
        Some(_) => {
            Err(said.lines().map(|line| line.trim_start_matches(&format!("{program}: error: "))).collect::<Vec<_>>().join("; "))
        }
    }
}

/// What comes before a command so that it does not look like a process of this run.
pub(super) fn unmarked() -> Vec<String> {
    words(&["/usr/bin/env", "-u", marker::MARKER])
}

fn words(argv: &[&str]) -> Vec<String> {
    argv.iter().map(|word| (*word).to_owned()).collect()
}

/// Options as arguments of Slurm's programs.
pub(super) fn arguments(options: &[(String, String)]) -> impl Iterator<Item = String> {
    options.iter().map(|(name, value)| if value.is_empty() { format!("--{name}") } else { format!("--{name}={value}") })
}

/// How many nodes are idle.
///
/// # Errors
/// See [`ask`].
pub(super) async fn idle_nodes(guard: &Guard, options: &[(String, String)]) -> Result<u32, String> {
    count_nodes(guard, &["-t", "idle"], options).await
}

/// How many nodes of the partition there are, with more words for `sinfo`.
async fn count_nodes(guard: &Guard, which: &[&str], options: &[(String, String)]) -> Result<u32, String> {
    let mut argv = words(&[&["sinfo", "-h", "-o", "%D"], which].concat());
    argv.extend(options.iter().filter(|(name, _)| name == "partition").map(|(_, value)| format!("--partition={value}")));
    let said = ask(guard, argv).await?;
    Ok(said.lines().filter_map(|line| line.trim().parse::<u32>().ok()).sum())
}

/// Submits an array; returns the number of the job.
///
/// # Errors
/// See [`ask`].
pub(super) async fn submit(guard: &Guard, array: &Array<'_>) -> Result<String, String> {
    let tasks = array.tasks.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let mut argv = words(&["sbatch", "--parsable", "--requeue", "--exclusive", "--nodes=1", "--ntasks=1", "--export=ALL"]);
    argv.extend([format!("--array={tasks}"), format!("--job-name={}", array.name), format!("--output={}", array.output)]);
    if !array.exclude.is_empty() {
        argv.push(format!("--exclude={}", array.exclude.join(",")));
    }
    argv.extend(arguments(array.options));
    argv.push(array.script.to_owned());
    let said = ask(guard, argv).await?;
    // On a federation the name of the cluster follows.
    let job = said.trim().split(';').next().unwrap_or_default().to_owned();
    if job.is_empty() { Err("sbatch did not say which job it made".to_owned()) } else { Ok(job) }
}

/// How many nodes there are, idle or not.
///
/// # Errors
/// See [`ask`].
pub(crate) async fn all_nodes(guard: &Guard, options: &[(String, String)]) -> Result<u32, String> {
    count_nodes(guard, &[], options).await
}

/// Waits for exclusive nodes: so many, or these; returns the number of the job that has them.
///
/// # Errors
/// See [`ask`].
pub(crate) async fn allocate(
    guard: &Guard,
    name: &str,
    (count, wanted): (usize, &[String]),
    options: &[(String, String)],
    patience: Duration,
) -> Result<String, String> {
    let mut argv = words(&["salloc", "--no-shell", "--exclusive", "--quiet"]);
    argv.extend([format!("--nodes={count}"), format!("--job-name={name}")]);
    if !wanted.is_empty() {
        argv.push(format!("--nodelist={}", wanted.join(",")));
    }
    argv.extend(arguments(options));
    ask_within(guard, argv, patience).await?;
    let jobs = ask(guard, words(&["squeue", "-h", &format!("--name={name}"), "-o", "%A"])).await?;
    jobs.lines().next().map(str::to_owned).ok_or_else(|| "salloc ended, and there is no allocation".to_owned())
}

/// The nodes of a job, each with its address.
///
/// # Errors
/// See [`ask`].
pub(crate) async fn nodes(guard: &Guard, job: &str) -> Result<Vec<(String, String)>, String> {
    let list = ask(guard, words(&["squeue", "-h", "-j", job, "-o", "%N"])).await?;
    let names = ask(guard, words(&["scontrol", "show", "hostnames", list.trim()])).await?;
    let mut nodes = Vec::new();
    for name in names.lines() {
        let said = ask(guard, words(&["scontrol", "show", "node", name, "--oneliner"])).await?;
        let address = said.split_whitespace().find_map(|word| word.strip_prefix("NodeAddr=")).unwrap_or(name);
        nodes.push((name.to_owned(), address.to_owned()));
    }
    Ok(nodes)
}

/// How the tasks of jobs stand, by their numbers; those that Slurm has forgotten are missing. Of a task that was submitted several
/// times, the last.
///
/// # Errors
/// See [`ask`].
pub(super) async fn tasks(guard: &Guard, jobs: &[String]) -> Result<BTreeMap<u32, Task>, String> {
    let jobs = jobs.join(",");
    let said = ask(guard, words(&["squeue", "-h", "-r", "-t", "all", "-j", &jobs, "-o", "%F|%K|%T|%N"])).await;
    match said {
        Ok(said) => Ok(parsed(&said)),
        // It ended so long ago that nobody remembers.
        Err(words) if words.contains("Invalid job id") => Ok(BTreeMap::new()),
        Err(words) => Err(words),
    }
}

/// Lines such as `17|2|RUNNING|n1`: the job, the task, its state, its node.
fn parsed(text: &str) -> BTreeMap<u32, Task> {
    let line = |line: &str| {
        let mut parts = line.trim().split('|');
        let (job, number): (u64, u32) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let (state, node) = (parts.next()?.to_owned(), parts.next().unwrap_or_default().to_owned());
        Some((job, number, Task { state, node }))
    };
    let mut all: Vec<(u64, u32, Task)> = text.lines().filter_map(line).collect();
    all.sort_by_key(|(job, ..)| *job);
    all.into_iter().map(|(_, number, task)| (number, task)).collect()
}

/// The command that cancels the jobs of a name.
pub(crate) fn cancelling(name: &str) -> Vec<String> {
    words(&["scancel", &format!("--name={name}")])
}

/// Cancels the jobs of a name.
///
/// # Errors
/// See [`ask`].
pub(crate) async fn cancel(guard: &Guard, name: &str) -> Result<(), String> {
    ask(guard, cancelling(name)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_read_and_other_lines_are_not() {
        let found = parsed("18|1|COMPLETED|n1\n17|1|FAILED|n3\n17|2|RUNNING|n2\n17|3|PENDING|\nslurm_load_jobs error\n");
        let told: Vec<_> = found.iter().map(|(number, task)| (*number, task.is_alive(), task.node.as_str())).collect();
        assert_eq!(told, [(1, false, "n1"), (2, true, "n2"), (3, true, "")]);
    }

    #[test]
    fn options_are_passed_on_and_those_of_runner_are_refused() {
        let read = |text: &str| options(&[text.to_owned()]);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(read("partition=lab,time=1:00:00").unwrap(), [pair("partition", "lab"), pair("time", "1:00:00")]);
        assert_eq!(read("--account=a,contiguous").unwrap(), [pair("account", "a"), pair("contiguous", "")]);
        assert!(read("array=1-9").unwrap_err().contains("runner sets `array` itself"));
        for wrong in ["=x", "a b=c", "time;rm=1", "Time=1"] {
            assert!(read(wrong).unwrap_err().contains("expected options of sbatch"), "{wrong}");
        }
    }
}
