//! `runner list`.

use super::check::{size, skips};
use super::{Stop, print, read_plan, scenario_files};
use crate::cli;
use crate::exit::Exit;
use crate::vocabulary::errors::tell;

/// Lists experiments with their questions, factors and cells.
pub(super) fn list(args: &cli::List) -> Result<Exit, Stop> {
    let mut exit = Exit::Success;
    for file in scenario_files(&args.paths)? {
        let plan = match read_plan(&file, None) {
            Ok(plan) => plan,
            Err(stop) => {
                tell(format_args!("error: {}\n", stop.message));
                exit = stop.exit;
                continue;
            }
        };
        let mut text = format!("{}  {}\n", plan.experiment, file.display());
        if !plan.question.is_empty() {
            text += &format!("  {}\n", plan.question);
        }
        for factor in &plan.factors {
            let labels: Vec<&str> = factor.levels.iter().map(|l| l.label.as_str()).collect();
            text += &format!("  {}: {}\n", factor.name, labels.join(", "));
        }
        text += &format!("  {}\n", size(&plan));
        text += &skips(&plan).lines().map(|l| format!("  {l}\n")).collect::<String>();
        print(&format!("{text}\n"));
    }
    Ok(exit)
}
