//! What is carried to nodes that share no files with this machine: the scenario, the files that it names, and the command of a shard.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::cmd::Stop;
use crate::cmd::brought::BROUGHT_FIXTURES;
use crate::executor::together::files_of;
use crate::exit::Exit;
use crate::hosts::ShardWork;
use crate::plan::Plan;
use crate::plan_read;

/// What is carried to the nodes; kept with the submission, without values of variables, which may be secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Parcel {
    /// The scenario, and what is executed.
    pub work: ShardWork,
    /// Variables that the scenario reads.
    pub variables: Vec<String>,
    /// Files that it names.
    pub files: Vec<PathBuf>,
}

impl Parcel {
    /// Of a plan; `words`: the command line of a shard, without shard and output.
    pub fn of(plan: &Plan, words: &[String]) -> Result<Self, Stop> {
        let wrong = |words: String| Stop::new(Exit::InvalidInput, words);
        let path = plan_read::normal(&std::path::absolute(&plan.source).unwrap_or_else(|_| plan.source.clone()));
        let home = path.parent().unwrap_or(&path);
        let (files, folders) = files_of(plan, home).map_err(wrong)?;
        if plan.factors.iter().any(|factor| factor.revisions.is_some()) {
            let message = "revisions are built where the repository is, and are not brought to nodes: without `--bring` the nodes share \
                           the files of this machine, and build them there";
            return Err(wrong(message.to_owned()));
        }
        let [command, _, words @ ..] = words else { return Err(wrong("a shard has no command".to_owned())) };
        let stop = words.iter().filter(|word| ["--fail-fast", "--keep-going"].contains(&word.as_str())).cloned().collect();
        let work = ShardWork {
            path: path.clone(),
            folders,
            environment: BTreeMap::new(),
            command: command.clone(),
            words: words.to_vec(),
            stop,
            fixtures: Some(PathBuf::from(BROUGHT_FIXTURES)),
        };
        let files = files.into_iter().map(|file| file.from).chain([path]).collect();
        Ok(Self { work, variables: plan.environment.keys().cloned().collect(), files })
    }
}
