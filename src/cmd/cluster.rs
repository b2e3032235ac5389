//! `run` and `repeat` with `--on slurm`: the rounds of a run as shards on nodes of a cluster, followed to their end and merged.
//!
//! What was executed is known from the results alone; what the batch system says is a hint, and it may not answer for a while. A
//! task that was lost is submitted again and continues where it ended. The guard cancels the job if this process dies.

mod carried;
mod parcel;
pub(super) mod slurm;
mod submission;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use self::carried::Carried;
use self::parcel::Parcel;
use self::slurm::{Array, Task};
use self::submission::Submission;
use super::execute::Invocation;
use super::progress::Style;
use super::{Stop, merge, open_files, prepare, print_data};
use crate::cli;
use crate::exit::Exit;
use crate::plan::Plan;
use crate::record;
use crate::supervise::Guard;
use crate::vocabulary::errors::tell;

/// How often it is looked how the tasks stand.
const LOOK: Duration = Duration::from_secs(1);
/// A shard that brought nothing new in so many tries is given up.
const TRIES: u32 = 3;
/// A node on which so many tasks failed is not used again.
const FAILURES_OF_A_NODE: usize = 2;
/// How long a job may take to end once it was cancelled.
const CANCELLED: Duration = Duration::from_secs(30);
/// Without a terminal a line is printed at least so often.
const SILENCE: Duration = Duration::from_secs(10);

/// Executes a plan on a cluster. `words`: the command line of a shard, without shard and output.
pub(super) fn execute(
    plan: &Plan,
    args: &cli::Cluster,
    words: &[String],
    out: &Path,
    output: &cli::Output,
) -> Result<Exit, Stop> {
    let options = slurm::options(&args.slurm).map_err(|words| Stop::new(Exit::InvalidInput, words))?;
    if args.nodes == Some(0) {
        return Err(Stop::new(Exit::InvalidInput, "`--nodes 0`: expected at least 1"));
    }
    if args.bring && args.detach {
        let message = "`--detach` cannot be used with `--bring`: results come home through this process";
        return Err(Stop::new(Exit::InvalidInput, message));
    }
    let parcel = if args.bring { Some(Parcel::of(plan, words)?) } else { None };
    let invocation = prepare::prepare(std::slice::from_ref(plan), output)?;
    invocation.runtime.block_on(async {
        let failed = |error: &dyn std::error::Error| Stop::from_error(Exit::Failure, error);
        let guard = Guard::start(open_files::of_the_shell()).await.map_err(|e| failed(&e))?;
        let wrong = |words: String| Stop::new(Exit::InvalidInput, format!("{words}; nothing was submitted"));
        let idle = slurm::idle_nodes(&guard, &options).await.map_err(wrong)?;
        let nodes = args.nodes.unwrap_or(idle);
        if nodes == 0 {
            return Err(wrong("no node is idle, so it is not known how many there are; expected `--nodes N`".to_owned()));
        }
        // A shard has at least one round.
        let shards = nodes.min(plan.repetitions);
        let name = format!("runner-{}", guard.run());
        let submission = Submission::create(plan, out, name, (words, shards), options, parcel).map_err(|e| failed(&e))?;
        let _lock = lock(&submission)?;
        let follower = Follower::new(&guard, &invocation, submission)?;
        follower.submit_and_follow(args.detach).await
    })
}

/// Continues what was submitted, if `folder` is the directory of a submission; else none.
pub(super) fn resume(folder: &Path, output: &cli::Output) -> Option<Result<Exit, Stop>> {
    Some(continued(Submission::open(folder)?, output))
}

fn continued(submission: Result<Submission, record::Error>, output: &cli::Output) -> Result<Exit, Stop> {
    let submission = submission.map_err(|e| Stop::from_error(Exit::InvalidInput, &e))?;
    // What was wrong with nodes may be mended by now.
    let submission = Submission { failed_on: Vec::new(), ..submission };
    let _lock = lock(&submission)?;
    let invocation = prepare::prepare(&[], output)?;
    invocation.runtime.block_on(async {
        let guard = Guard::start(open_files::of_the_shell()).await.map_err(|e| Stop::from_error(Exit::Failure, &e))?;
        let mut follower = Follower::new(&guard, &invocation, submission)?;
        follower.look().await;
        match follower.tasks.values().any(Task::is_alive) {
            true => follower.follow_to_the_end().await,
            false => follower.submit_and_follow(false).await,
        }
    })
}

/// Two who follow the same submission would submit everything twice.
fn lock(submission: &Submission) -> Result<std::fs::File, Stop> {
    record::lock(&submission.folder).map_err(|error| {
        let is_locked = matches!(error, record::Error::Locked { .. });
        Stop::from_error(if is_locked { Exit::InvalidInput } else { Exit::Failure }, &error)
    })
}

/// Follows a submission.
struct Follower<'a> {
    guard: &'a Guard,
    invocation: &'a Invocation<'a>,
    submission: Submission,
    /// The agents of shards that are carried to nodes; none where nodes share the files of this machine.
    carried: Option<Carried>,
    /// How the tasks stand, as far as is known.
    tasks: BTreeMap<u32, Task>,
}

/// What is known of the tries of a shard.
#[derive(Debug, Default)]
struct Tries {
    /// How many repetitions it had when a task of it ended.
    done: usize,
    /// How many tries in a row brought nothing new.
    fruitless: u32,
    /// Whether it is not submitted again.
    is_given_up: bool,
}

/// How following ended.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// All shards are complete.
    Complete,
    /// No task is left that could do what is missing.
    Incomplete,
    /// Somebody asked for it.
    Interrupted,
}

impl<'a> Follower<'a> {
    fn new(guard: &'a Guard, invocation: &'a Invocation<'a>, submission: Submission) -> Result<Self, Stop> {
        let carried = if submission.parcel.is_some() { Some(Carried::new()?) } else { None };
        Ok(Self { guard, invocation, submission, carried, tasks: BTreeMap::new() })
    }

    /// Submits what is missing, and follows it, again and again while that brings something new.
    async fn submit_and_follow(mut self, detach: bool) -> Result<Exit, Stop> {
        let missing = self.submission.incomplete(&self.submission.done());
        if !missing.is_empty() {
            // Before it exists: it is found by its name.
            if !detach {
                let undo = slurm::cancelling(&self.submission.name);
                self.guard.undo_by(&undo).map_err(|e| Stop::from_error(Exit::Failure, &e))?;
            }
            // What was measured before is not thrown away because Slurm does not answer.
            let is_new = self.submission.jobs.is_empty();
            if let Err(words) = self.submit(&missing).await {
                // It may have been submitted all the same: the guard cancels what has this name when this process ends.
                if is_new {
                    let _ = std::fs::remove_dir_all(&self.submission.folder);
                }
                return Err(Stop::new(Exit::InvalidInput, format!("{words}; nothing was submitted")));
            }
            if detach {
                let folder = self.submission.folder.display();
                let job = self.submission.jobs.last().map_or("", String::as_str);
                tell(format_args!("submitted as job {job}; runner resume {folder} follows it, and merges what it measured"));
                return Ok(Exit::Success);
            }
        }
        self.follow_to_the_end().await
    }

    async fn follow_to_the_end(mut self) -> Result<Exit, Stop> {
        let undo = slurm::cancelling(&self.submission.name);
        let ended = self.follow().await;
        if let Some(carried) = &self.carried {
            carried.stop();
            self.wait_until_ended().await;
        }
        // Where it could not be cancelled, the guard tries it again, for as long as it takes.
        if ended != Ended::Interrupted || self.cancel().await {
            let _ = self.guard.done(&undo);
        }
        self.conclude(&ended)
    }

    /// Submits shards; nodes on which tasks failed again and again are left out.
    async fn submit(&mut self, shards: &[u32]) -> Result<(), String> {
        let failed = &self.submission.failed_on;
        let mut exclude: Vec<String> = failed
            .iter()
            .filter(|node| failed.iter().filter(|other| other == node).count() >= FAILURES_OF_A_NODE)
            .cloned()
            .collect();
        exclude.sort();
        exclude.dedup();
        if !exclude.is_empty() {
            tell(format_args!("not used any more, since tasks failed there {FAILURES_OF_A_NODE} times: {}", exclude.join(", ")));
        }
        let count = if shards.len() == 1 { "1 shard".to_owned() } else { format!("{} shards", shards.len()) };
        if let Some(carried) = &mut self.carried {
            carried.submit(&self.submission, shards, &exclude)?;
            self.say(&format!("{}: {count}, each brought to a node", self.submission.experiment));
            return Ok(());
        }
        let (script, output) = (self.submission.script().display().to_string(), self.submission.output().display().to_string());
        let array = Array {
            script: &script,
            name: &self.submission.name,
            tasks: shards,
            output: &output,
            options: &self.submission.options,
            exclude: &exclude,
        };
        let job = slurm::submit(self.guard, &array).await?;
        self.submission.jobs.push(job.clone());
        shards.iter().for_each(|shard| drop(self.tasks.remove(shard)));
        self.submission.keep().map_err(|error| crate::vocabulary::errors::chain(&error))?;
        self.say(&format!("{}: {count} as job {job}", self.submission.experiment));
        Ok(())
    }

    fn say(&self, words: &str) {
        if self.invocation.style == Style::People {
            tell(words);
        }
    }

    /// Asks how the tasks stand. Returns why that is not known, if so.
    async fn look(&mut self) -> Option<String> {
        if let Some(carried) = &mut self.carried {
            self.tasks = carried.look(&self.submission);
            return None;
        }
        match slurm::tasks(self.guard, &self.submission.jobs).await {
            Ok(tasks) => {
                self.tasks = tasks;
                None
            }
            Err(words) => Some(words),
        }
    }

    /// Waits until all shards are complete, none can be continued, or somebody asks for an end. What ended too early is submitted
    /// again at once.
    async fn follow(&mut self) -> Ended {
        let shown = Shown::new(self.invocation, self.submission.repetitions.len());
        let mut tries: BTreeMap<u32, Tries> = BTreeMap::new();
        let mut is_silent = false;
        loop {
            if self.invocation.interrupt.count() > 0 {
                return Ended::Interrupted;
            }
            // First Slurm, then the results: what a task has done is there before it has ended.
            let trouble = self.look().await;
            let done = self.submission.done();
            shown.show(&self.submission, &self.tasks, &done);
            if self.submission.incomplete(&done).is_empty() {
                return Ended::Complete;
            }
            match trouble {
                Some(words) if !is_silent => {
                    tell(format_args!("warning: {words}; what is measured is followed by its results"));
                    is_silent = true;
                }
                Some(_) => {}
                None => {
                    is_silent = false;
                    let is_continued = self.submit_again(&done, &mut tries).await;
                    if !is_continued && !self.tasks.values().any(Task::is_alive) {
                        return Ended::Incomplete;
                    }
                }
            }
            tokio::select! {
                biased;
                () = self.invocation.interrupt.asked(1) => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Submits again the shards whose tasks have ended before they were complete, unless that is in vain. Returns whether there
    /// was one.
    async fn submit_again(&mut self, done: &[usize], tries: &mut BTreeMap<u32, Tries>) -> bool {
        let mut again = Vec::new();
        for shard in self.submission.incomplete(done) {
            let task = self.tasks.get(&shard);
            let mine = tries.entry(shard).or_default();
            if mine.is_given_up || task.is_some_and(Task::is_alive) {
                continue;
            }
            let done = done[shard as usize - 1];
            mine.fruitless = if done > mine.done { 0 } else { mine.fruitless + 1 };
            mine.done = done;
            let (state, node) = task.map_or(("gone", ""), |task| (task.state.as_str(), task.node.as_str()));
            let on = if node.is_empty() { String::new() } else { format!(" on {node}") };
            let said = self.submission.said(shard);
            let said = if said.is_empty() { said } else { format!(":\n{said}") };
            let planned = self.submission.repetitions[shard as usize - 1];
            tell(format_args!("shard {shard} ended{on} as {state}, with {done} of {planned} repetitions{said}"));
            mine.is_given_up = state == "CANCELLED" || mine.fruitless >= TRIES;
            if !mine.is_given_up {
                // A task that brought something did not fail because of its node, nor did one whose time was up.
                if !node.is_empty() && mine.fruitless > 0 && !["TIMEOUT", "PREEMPTED"].contains(&state) {
                    self.submission.failed_on.push(node.to_owned());
                }
                again.push(shard);
                continue;
            }
            let why = match state {
                "CANCELLED" => "was cancelled".to_owned(),
                _ => format!("brought nothing new in {TRIES} tries"),
            };
            tell(format_args!("shard {shard} {why}, and is not submitted again"));
        }
        if again.is_empty() {
            return false;
        }
        let list = again.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
        tell(format_args!("submitting again, to continue where it ended: shard {list}"));
        if let Err(words) = self.submit(&again).await {
            tell(format_args!("warning: that is not possible: {words}"));
            again.iter().for_each(|shard| tries.entry(*shard).or_default().is_given_up = true);
            return false;
        }
        true
    }

    /// Cancels the job, and waits until its tasks have ended: they make durable what they have measured. Returns whether it was
    /// cancelled.
    async fn cancel(&mut self) -> bool {
        if let Err(words) = slurm::cancel(self.guard, &self.submission.name).await {
            let command = slurm::cancelling(&self.submission.name).join(" ");
            tell(format_args!("warning: the job could not be cancelled: {words}; {command} does it later"));
            return false;
        }
        self.wait_until_ended().await;
        true
    }

    async fn wait_until_ended(&mut self) {
        let begun = Instant::now();
        while begun.elapsed() < CANCELLED && self.invocation.interrupt.count() < 2 {
            if self.look().await.is_none() && !self.tasks.values().any(Task::is_alive) {
                break;
            }
            tokio::time::sleep(LOOK / 4).await;
        }
    }

    /// Merges what there is. Shards stay where something is missing, so that they can be continued.
    fn conclude(&self, ended: &Ended) -> Result<Exit, Stop> {
        let output = self.invocation.output;
        let folder = &self.submission.folder;
        let runs = self.submission.runs().map_err(|e| Stop::from_error(Exit::Failure, &e))?;
        let continued = format!("continue with: runner resume {}", folder.display());
        if runs.iter().all(|run| run.repetitions.is_empty()) {
            let said = match self.submission.said(1) {
                said if !said.is_empty() => format!("; the first shard said:\n{said}"),
                _ if self.carried.is_some() => String::new(),
                _ => "; do the nodes share the files of this machine? `--bring` copies what they need, and brings results home"
                    .to_owned(),
            };
            if *ended == Ended::Interrupted {
                tell(format_args!("interrupted; nothing was completed. {continued}"));
                return Ok(Exit::Interrupted);
            }
            return Err(Stop::new(Exit::Failure, format!("no shard completed a repetition{said}\n{continued}")));
        }
        if *ended == Ended::Interrupted {
            let done: usize = runs.iter().map(|run| run.repetitions.len()).sum();
            let planned: usize = self.submission.repetitions.iter().sum();
            tell(format_args!("interrupted; the job is cancelled, {done} of {planned} repetitions are complete. {continued}"));
            return Ok(Exit::Interrupted);
        }
        let exit = merge::make(&runs, &self.submission.out, output)?;
        match ended {
            // All of it is in the merged run.
            Ended::Complete => drop(std::fs::remove_dir_all(folder)),
            _ => tell(continued),
        }
        Ok(exit)
    }
}

/// What is seen meanwhile: a line for each shard on a terminal, one for all elsewhere.
struct Shown {
    style: Style,
    lines: Option<(MultiProgress, Vec<ProgressBar>)>,
    last: std::cell::RefCell<(String, Instant)>,
}

impl Shown {
    fn new(invocation: &Invocation<'_>, shards: usize) -> Self {
        use std::io::IsTerminal as _;
        let lines = (invocation.style == Style::People && std::io::stderr().is_terminal()).then(|| {
            let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
            let line = |_| {
                let line = all.add(ProgressBar::new_spinner());
                line.set_style(ProgressStyle::with_template("{wide_msg}").expect("the template is a constant"));
                line
            };
            let lines = (0..shards).map(line).collect();
            (all, lines)
        });
        Self { style: invocation.style, lines, last: std::cell::RefCell::new((String::new(), Instant::now())) }
    }

    fn show(&self, submission: &Submission, tasks: &BTreeMap<u32, Task>, done: &[usize]) {
        let line = |shard: usize| {
            let task = tasks.get(&(shard as u32 + 1));
            let node = task.map_or("", |task| task.node.as_str());
            let state = task.map_or_else(|| "unknown".to_owned(), |task| task.state.to_lowercase().replace('_', " "));
            let of = submission.repetitions[shard];
            format!("shard {}/{}  {}/{of} repetitions  {state}  {node}", shard + 1, submission.repetitions.len(), done[shard])
        };
        if let Some((_, lines)) = &self.lines {
            lines.iter().enumerate().for_each(|(shard, bar)| bar.set_message(line(shard)));
            return;
        }
        let (all, planned) = (done.iter().sum::<usize>(), submission.repetitions.iter().sum::<usize>());
        let working =
            tasks.values().filter(|task| task.state == "RUNNING").map(|task| task.node.as_str()).collect::<Vec<_>>().join(", ");
        let words = format!("[{all}/{planned}] at work: {}", if working.is_empty() { "nobody" } else { &working });
        let mut last = self.last.borrow_mut();
        if last.0 == words && last.1.elapsed() < SILENCE {
            return;
        }
        match self.style {
            Style::People => tell(&words),
            Style::Json => print_data(&format!(
                "{}\n",
                serde_json::json!({"event": "shards", "done": all, "of": planned, "nodes": tasks.values().map(|task| &task.node).collect::<Vec<_>>()})
            )),
            Style::Quiet => {}
        }
        *last = (words, Instant::now());
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let Some((all, lines)) = &self.lines {
            lines.iter().for_each(ProgressBar::finish);
            let _ = all.clear();
        }
    }
}
