//! The steps before and after repetitions.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::cmd::progress::Reporter;
use crate::executor::{Error, Executor, actions, hints};
use crate::plan::Action;

/// The steps before and after the repetitions: those of the run and of its cells.
pub(super) struct Steps<'a> {
    pub(super) executor: &'a Executor<'a>,
    pub(super) reporter: &'a Reporter,
    /// Values that are not in the plan.
    pub(super) late: BTreeMap<&'a str, String>,
    /// The directory for their output.
    pub(super) logs: PathBuf,
}

impl Steps<'_> {
    /// `cell`: the cell that these steps belong to, if they are not the run's; `patience`: how many interrupts it takes
    /// to stop them.
    pub(super) async fn execute(
        &self,
        level: &'static str,
        cell: Option<usize>,
        steps: &[Action],
        patience: u32,
    ) -> Result<(), Error> {
        let Self { executor, logs, .. } = self;
        let mut late = self.late.clone();
        let mut found =
            cell.map_or_else(|| executor.found.borrow().get(&None).cloned().unwrap_or_default(), |c| executor.found_for(c));
        late.extend(executor.plan.found.iter().filter_map(|name| Some((name.as_str(), found.remove(name)?))));
        // What was removed meanwhile is not made again; what has to be cleaned up is, all the same.
        let logs = if executor.directory.is_there().is_ok() { logs.clone() } else { executor.scratch.join("logs") };
        let logs = cell.map_or_else(|| logs.clone(), |cell| logs.join(&executor.plan.cells[cell].path));
        if !steps.is_empty() {
            crate::record::files::make_directory(&logs)?;
            let of = cell.map_or_else(String::new, |cell| format!(" of {}", executor.plan.cells[cell].id.0));
            self.reporter.doing(&format!("{level}{of}"));
        }
        let cells = cell.map_or(&executor.plan.cells[..], |cell| std::slice::from_ref(&executor.plan.cells[cell]));
        let known = hints::ports(cells.iter().flat_map(|cell| &cell.targets));
        let done = tokio::select! {
            biased;
            () = executor.interrupt.asked(patience) => {
                // A step that continues would run beside its own clean-up. Nothing else runs at this time except
                // targets that outlive repetitions, which are stopped in their turn.
                executor.sweep_around_kept().await?;
                Err(Error::Interrupted)
            },
            done = actions::execute(executor.guard, level, steps, &late, &logs, &known) => done,
        };
        executor.directory.mask_logs(&logs)?;
        executor.found.borrow_mut().entry(cell).or_default().extend(done?);
        Ok(())
    }
}
