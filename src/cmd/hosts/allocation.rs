//! Nodes of a cluster as machines: one allocation for the whole run, with a step for each agent.

use std::time::Duration;

use crate::cmd::cluster::slurm;
use crate::supervise::Guard;
use crate::vocabulary::errors::tell;

/// How long nodes are waited for.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// An allocation under Slurm.
pub(super) struct Allocation {
    job: String,
    name: String,
    /// Its nodes, each with its address.
    pub nodes: Vec<(String, String)>,
}

impl Allocation {
    /// Waits for so many exclusive nodes; `wanted`: these, in this order. The guard gives them back if this process dies.
    ///
    /// # Errors
    /// In words.
    pub async fn make(guard: &Guard, count: usize, options: &[String], wanted: &[String]) -> Result<Self, String> {
        let options = slurm::options(options)?;
        let name = format!("runner-{}", guard.run());
        let there = slurm::all_nodes(guard, &options).await?;
        if (there as usize) < count {
            return Err(format!("the scenario needs {count} machines, and Slurm has {there} nodes to offer"));
        }
        guard.undo_by(&slurm::cancelling(&name)).map_err(|error| error.to_string())?;
        let job = slurm::allocate(guard, &name, (count, wanted), &options, PATIENCE).await?;
        let mut nodes = slurm::nodes(guard, &job).await?;
        nodes.sort_by_key(|(node, _)| wanted.iter().position(|wanted| wanted == node));
        Ok(Self { job, name, nodes })
    }

    /// The command line that executes that of an agent on a node; `brings`: after its program was copied there.
    pub fn launch(&self, node: &str, argv: &[String], brings: bool) -> Vec<String> {
        let step = ["srun", "--quiet", "--unbuffered", "--overlap", "--nodes=1", "--ntasks=1", "--cpu-bind=none"];
        let place = [format!("--jobid={}", self.job), format!("--nodelist={node}")];
        let copy = brings.then(|| format!("--bcast=/tmp/{}-{node}.bin", self.name));
        let temporary = brings.then(|| "--brought".to_owned());
        step.map(str::to_owned).into_iter().chain(place).chain(copy).chain(argv.iter().cloned()).chain(temporary).collect()
    }

    /// Gives the nodes back.
    pub async fn undo(&self, guard: &Guard) {
        match slurm::cancel(guard, &self.name).await {
            Ok(()) => drop(guard.done(&slurm::cancelling(&self.name))),
            Err(words) => {
                let command = slurm::cancelling(&self.name).join(" ");
                tell(format_args!("warning: the nodes could not be given back: {words}; {command} does it later"));
            }
        }
    }
}
