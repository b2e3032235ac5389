//! What was submitted to a cluster, written down in a directory of its own beside the runs: `<time>-<id>.shards/`. It holds the
//! script of the tasks, what each of them said, the shards themselves, and what is needed to find the job again.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::parcel::Parcel;
use crate::plan::Plan;
use crate::plan::order::{of_shard, sequence};
use crate::record::files::{json_bytes, make_directory, read_json, write_whole};
use crate::record::{self, RunRecord, read as results};
use crate::vocabulary::Shard;
use crate::vocabulary::words::in_shell;

/// The file that describes it.
const FILE: &str = "submission.json";

/// What was submitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Submission {
    /// Version of the format.
    pub format: u32,
    /// Name of the experiment.
    pub experiment: String,
    /// The name of its jobs.
    pub name: String,
    /// The jobs that were submitted, the last one last.
    pub jobs: Vec<String>,
    /// How many repetitions each shard has, by the number of the shard, from 1.
    pub repetitions: Vec<usize>,
    /// Options for sbatch.
    pub options: Vec<(String, String)>,
    /// Nodes on which tasks failed, once for each failure.
    pub failed_on: Vec<String>,
    /// Where merged runs go.
    pub out: PathBuf,
    /// What is carried to nodes that share no files with this machine; none if they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parcel: Option<Parcel>,
    /// Where it is.
    #[serde(skip)]
    pub folder: PathBuf,
}

impl Submission {
    /// Prepares the directory of a submission: its description and the script of its tasks. `words`: the command line of a shard,
    /// without shard and output; `shards`: how many there are.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(
        plan: &Plan,
        out: &Path,
        name: String,
        (words, shards): (&[String], u32),
        options: Vec<(String, String)>,
        parcel: Option<Parcel>,
    ) -> Result<Self, record::Error> {
        let out = std::path::absolute(out).unwrap_or_else(|_| out.to_owned());
        let parent = out.join(&plan.experiment);
        make_directory(&parent)?;
        let folder = parent.join(format!("{}.shards", record::name_of_run(&parent, plan.seed)));
        make_directory(&folder)?;
        let all = sequence(plan);
        let repetitions = Shard::all(shards).map(|shard| of_shard(all.clone(), Some(shard)).len()).collect();
        let experiment = plan.experiment.clone();
        let submission = Self {
            format: record::FORMAT,
            experiment,
            name,
            jobs: Vec::new(),
            repetitions,
            options,
            failed_on: Vec::new(),
            out,
            parcel,
            folder,
        };
        write_whole(&submission.script(), submission.script_text(words).as_bytes())?;
        submission.keep()?;
        Ok(submission)
    }

    /// Reads the description of a directory; none where it is not one of a submission.
    pub fn open(folder: &Path) -> Option<Result<Self, record::Error>> {
        let file = folder.join(FILE);
        file.is_file().then(|| Ok(Self { folder: folder.to_owned(), ..read_json(&file)? }))
    }

    /// Writes the description.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self) -> Result<(), record::Error> {
        write_whole(&self.folder.join(FILE), &json_bytes(self))
    }

    /// The script of the tasks.
    pub fn script(&self) -> PathBuf {
        self.folder.join("task.sh")
    }

    /// Where a task says what it does; `%a` is its number.
    pub fn output(&self) -> PathBuf {
        // In what Slurm reads, `%` is the start of a number.
        PathBuf::from(self.folder.display().to_string().replace('%', "%%")).join("said-%a.txt")
    }

    /// What a task said last, for a report of what went wrong.
    pub fn said(&self, shard: u32) -> String {
        let text = std::fs::read(self.folder.join(format!("said-{shard}.txt"))).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(3)..].join("\n")
    }

    /// Keeps what a task said, where the batch system does not.
    pub fn note_said(&self, shard: u32, words: &str) {
        // It is for messages only.
        let _ = std::fs::write(self.folder.join(format!("said-{shard}.txt")), words);
    }

    /// A task continues what an earlier try of it left: no completed repetition is executed twice.
    fn script_text(&self, options: &[String]) -> String {
        let here = std::env::current_dir().unwrap_or_default();
        let program = std::env::current_exe().unwrap_or_else(|_| "runner".into());
        let [here, program, folder] =
            [&here, &program, &self.folder].map(|path| in_shell(&path.display().to_string()).into_owned());
        let words = options.iter().map(|word| in_shell(word)).collect::<Vec<_>>().join(" ");
        let shards = self.repetitions.len();
        let stop: String = ["--fail-fast", "--keep-going"]
            .iter()
            .filter(|o| options.iter().any(|word| word == *o))
            .map(|o| format!(" {o}"))
            .collect();
        format!(
            "#!/bin/sh
# A task of `runner --on slurm`: one shard, continued where an earlier try of it ended.
cd {here} || exit 1
out={folder}/$SLURM_ARRAY_TASK_ID
run=$(ls -d \"$out\"/*/2*/plan.json 2>/dev/null | tail -n 1)
# A run without a complete repetition is started anew: there is nothing to continue.
if [ -n \"$run\" ] && [ -n \"$(find \"${{run%/plan.json}}/cells\" -name status.json 2>/dev/null | head -n 1)\" ]; then
    exec {program} resume \"${{run%/plan.json}}\" --no-graphs --quiet{stop}
fi
rm -rf \"$out\"
exec {program} {words} --shard \"$SLURM_ARRAY_TASK_ID/{shards}\" --out \"$out\" --no-graphs --quiet
"
        )
    }

    /// The run of a shard, once there is one.
    pub fn run_of(&self, shard: u32) -> Option<PathBuf> {
        results::find(&self.folder.join(shard.to_string())).ok()?.into_iter().next()
    }

    /// How many repetitions of each shard are complete.
    pub fn done(&self) -> Vec<usize> {
        let done = |shard| self.run_of(shard).map_or(0, |run| results::count_repetitions(&run));
        (1..).take(self.repetitions.len()).map(done).collect()
    }

    /// Shards of which something is missing, where so much is complete.
    pub fn incomplete(&self, done: &[usize]) -> Vec<u32> {
        (1..)
            .zip(done)
            .zip(&self.repetitions)
            .filter(|((_, done), planned)| done < planned)
            .map(|((shard, _), _)| shard)
            .collect()
    }

    /// The runs of all shards, as far as they can be read.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn runs(&self) -> Result<Vec<RunRecord>, record::Error> {
        (1..).take(self.repetitions.len()).filter_map(|shard| self.run_of(shard)).map(|run| RunRecord::open(&run)).collect()
    }
}
