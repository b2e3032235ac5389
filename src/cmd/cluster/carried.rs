//! Shards on nodes that share no files with this machine: `srun` copies the program and starts an agent for each shard, and the
//! scenario, what it needs, and the results cross the agent's channel.
//!
//! All nodes use the same path, so that a shard can be continued on another node. It is taken out of what arrives, as if it had been
//! executed here; what was taken out of is kept for the node on which the shard is continued.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;

use super::slurm::{self, Task};
use super::submission::Submission;
use crate::cmd::brought::{BROUGHT_FIXTURES, EARLIER, own_hash};
use crate::cmd::{Stop, fixture};
use crate::hosts::{Agent, Event, File, Launch, ShardWork, ToAgent, ToController, files_below};
use crate::vocabulary::errors::{chain, tell};

/// How long a node is waited for.
const QUEUED: std::time::Duration = std::time::Duration::from_secs(7 * 24 * 3600);
/// How long an agent may take to end once its channel is closed.
const GOOD_BYE: std::time::Duration = std::time::Duration::from_secs(5);

/// The agents of the shards.
pub(super) struct Carried {
    hash: String,
    next: u64,
    events: mpsc::UnboundedSender<(u64, Event)>,
    heard: mpsc::UnboundedReceiver<(u64, Event)>,
    agents: BTreeMap<u32, AtWork>,
    tasks: BTreeMap<u32, Task>,
}

/// An agent with its shard.
struct AtWork {
    agent: Agent,
    /// How its runner ended.
    code: Option<i32>,
    has_ended: bool,
}

impl Carried {
    pub fn new() -> Result<Self, Stop> {
        let (events, heard) = mpsc::unbounded_channel();
        let hash = own_hash()?;
        Ok(Self { hash, next: 0, events, heard, agents: BTreeMap::new(), tasks: BTreeMap::new() })
    }

    /// Starts an agent for each of these shards.
    ///
    /// # Errors
    /// In words.
    pub fn submit(&mut self, submission: &Submission, shards: &[u32], exclude: &[String]) -> Result<(), String> {
        let own = std::env::current_exe().map_err(|e| format!("cannot find runner itself: {e}"))?;
        for shard in shards {
            let place = place(submission);
            let mut argv = slurm::unmarked();
            argv.extend(
                ["srun", "--quiet", "--unbuffered", "--exclusive", "--nodes=1", "--ntasks=1", "--cpu-bind=none"]
                    .map(str::to_owned),
            );
            argv.extend([format!("--job-name={}", submission.name), format!("--bcast={}-{shard}.bin", place.display())]);
            if !exclude.is_empty() {
                argv.push(format!("--exclude={}", exclude.join(",")));
            }
            argv.extend(slurm::arguments(&submission.options));
            argv.extend([own.display().to_string(), "agent".to_owned(), "--brought".to_owned(), "--place".to_owned()]);
            argv.push(place.display().to_string());
            let launch = Launch { argv, name: format!("shard {shard}"), patience: QUEUED };
            let agent = Agent::start(&launch, self.next, &self.events).map_err(|error| chain(&error))?;
            self.next += 1;
            self.agents.insert(*shard, AtWork { agent, code: None, has_ended: false });
            self.tasks.insert(*shard, Task { state: "PENDING".to_owned(), node: String::new() });
        }
        Ok(())
    }

    /// How the shards stand; takes in what their agents have said.
    pub fn look(&mut self, submission: &Submission) -> BTreeMap<u32, Task> {
        while let Ok((number, event)) = self.heard.try_recv() {
            let Some(shard) = self.agents.iter().find(|(_, one)| one.agent.number == number).map(|(shard, _)| *shard) else {
                continue;
            };
            if let Err(words) = self.heard(submission, shard, event) {
                tell(format_args!("shard {shard}: {words}"));
                self.end(submission, shard, "FAILED", &words);
            }
        }
        self.tasks.clone()
    }

    fn heard(&mut self, submission: &Submission, shard: u32, event: Event) -> Result<(), String> {
        let Some(one) = self.agents.get_mut(&shard) else { return Ok(()) };
        let arriving = submission.folder.join(format!(".arriving-{shard}"));
        match event {
            Event::Said(ToController::Here(here)) => {
                if here.hash != self.hash {
                    return Err("its runner is another one".to_owned());
                }
                let node = here.node.unwrap_or(here.host.name);
                self.tasks.insert(shard, Task { state: "RUNNING".to_owned(), node });
                let _ = std::fs::remove_dir_all(&arriving);
                one.agent.receive_into(Some(&arriving));
                let (files, work) = carried(submission, shard)?;
                one.agent.send(files, &ToAgent::Shard(Box::new(work)));
            }
            Event::Said(ToController::Arrived { folder, path }) => {
                let (from, into) = (arriving.join(&folder).join(&path), submission.folder.join(shard.to_string()));
                let kept = match path.file_name().is_some_and(|name| WITH_PATHS.iter().any(|file| *file == name)) {
                    true => restore(submission, &from, &there(submission, shard).join(&path))
                        .and_then(|()| take_in(&from, &into.join(&path))),
                    false => take_in(&from, &into.join(&path)),
                };
                kept.map_err(|e| format!("cannot keep {}: {e}", path.display()))?;
                let _ = std::fs::remove_dir_all(arriving.join(folder));
            }
            Event::Said(ToController::ShardEnded { code, said }) => {
                (one.code, one.has_ended) = (code, true);
                submission.note_said(shard, &said);
                one.agent.say(&ToAgent::Stop);
            }
            Event::Said(ToController::Tell { words }) => submission.note_said(shard, &words),
            Event::Said(_) | Event::Compared => {}
            Event::Gone(why) => {
                let errors = one.agent.errors();
                let words = if errors.is_empty() { why } else { errors };
                let state = match (one.has_ended, one.code) {
                    _ if words.contains("TIME LIMIT") => "TIMEOUT",
                    _ if words.contains("NODE FAILURE") => "NODE_FAIL",
                    _ if words.contains("CANCELLED") || words.contains("Force Terminated") => "CANCELLED",
                    (true, Some(0)) => "COMPLETED",
                    (true, _) => "FAILED",
                    (false, _) => "LOST",
                };
                self.end(submission, shard, state, &words);
            }
        }
        Ok(())
    }

    /// Forgets the agent of a shard; what it was sending and is not whole is removed.
    fn end(&mut self, submission: &Submission, shard: u32, state: &str, words: &str) {
        let Some(one) = self.agents.remove(&shard) else { return };
        if !one.has_ended {
            submission.note_said(shard, words);
        }
        let _ = one.agent.end(GOOD_BYE);
        let _ = std::fs::remove_dir_all(submission.folder.join(format!(".arriving-{shard}")));
        if let Some(task) = self.tasks.get_mut(&shard) {
            state.clone_into(&mut task.state);
        }
    }

    /// Asks all agents to end; they still send what is whole.
    pub fn stop(&self) {
        self.agents.values().filter(|one| !one.has_ended).for_each(|one| one.agent.say(&ToAgent::Stop));
    }
}

/// The folder of the agents on their nodes.
fn place(submission: &Submission) -> PathBuf {
    Path::new("/tmp").join(&submission.name)
}

/// What an agent gets: files, and its work.
fn carried(submission: &Submission, shard: u32) -> Result<(Vec<File>, ShardWork), String> {
    let Some(parcel) = &submission.parcel else { return Err("nothing is carried to nodes".to_owned()) };
    let mut files: Vec<File> = parcel.files.iter().map(|path| File { from: path.clone(), name: path.clone() }).collect();
    files.push(File { from: fixture::program()?, name: PathBuf::from(BROUGHT_FIXTURES) });
    let shards = submission.repetitions.len();
    if submission.done()[shard as usize - 1] > 0 {
        let there =
            files_below(&submission.folder.join(shard.to_string())).map_err(|e| format!("its results cannot be read: {e}"))?;
        let originals = self::there(submission, shard);
        files.extend(there.into_iter().map(|file| {
            let original = originals.join(&file.name);
            File { name: Path::new(EARLIER).join(file.name), from: if original.is_file() { original } else { file.from } }
        }));
    }
    let mut work = parcel.work.clone();
    work.words.extend(["--shard".to_owned(), format!("{shard}/{shards}")]);
    work.environment = parcel.variables.iter().filter_map(|name| Some((name.clone(), std::env::var(name).ok()?))).collect();
    Ok((files, work))
}

/// Moves what has arrived whole to where it belongs. A repetition that is there stays; files are replaced.
fn take_in(from: &Path, to: &Path) -> std::io::Result<()> {
    if to.is_dir() {
        return std::fs::remove_dir_all(from);
    }
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::rename(from, to)
}

/// Files of a run in which paths stand that a resumed run reads.
const WITH_PATHS: [&str; 2] = ["plan.json", "manifest.json"];

/// Where such files of a shard are kept as they came.
fn there(submission: &Submission, shard: u32) -> PathBuf {
    submission.folder.join(format!(".there-{shard}"))
}

/// Puts paths of this machine into a file that has arrived, and keeps it as it came.
fn restore(submission: &Submission, file: &Path, original: &Path) -> std::io::Result<()> {
    let text = std::fs::read_to_string(file)?;
    if let Some(folder) = original.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(original, &text)?;
    // Below this folder each file has the path that it has here.
    std::fs::write(file, text.replace(&place(submission).join("scenario").display().to_string(), ""))
}
