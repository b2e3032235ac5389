//! What must be so before a plan is executed: said before anything starts.

use std::path::PathBuf;

use super::execute::{self, Invocation};
use super::progress::Style;
use super::{Stop, fixture, open_files, require_utf8_path, telemetry};
use crate::cli;
use crate::executor::{Interrupt, cache};
use crate::exit::Exit;
use crate::plan::{CollectSource, Plan, Start};

/// What all plans need before the first of them is executed.
pub(super) fn prepare<'a>(plans: &[Plan], output: &'a cli::Output) -> Result<Invocation<'a>, Stop> {
    let style = match (output.quiet, output.json) {
        (true, _) => Style::Quiet,
        (_, true) => Style::Json,
        _ => Style::People,
    };
    require_utf8_paths(output)?;
    output.otlp.as_deref().map(telemetry::address).transpose()?;
    plans.iter().try_for_each(require_trusted_caches)?;
    let fixtures = fixtures(plans)?;
    plans.iter().try_for_each(|plan| require_open_files_of_cells(plan, |_| true, 1))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Stop::new(Exit::Failure, format!("cannot start the runtime: {e}")))?;
    let interrupt = runtime.block_on(async { Interrupt::listen() }).map_err(|e| Stop::from_error(Exit::Failure, &e))?;
    Ok(Invocation {
        output,
        style,
        fixtures,
        interrupt,
        runtime,
        summaries: std::cell::RefCell::default(),
        measuring: None,
        fail_fast: false,
        keep_going: false,
        failed_fast: std::cell::Cell::new(false),
        shard: None,
        ceiling_per_s: None,
        conductor: None,
        machines: Vec::new(),
    })
}

/// Refuses paths that are not UTF-8: they become part of command lines and records.
fn require_utf8_paths(output: &cli::Output) -> Result<(), Stop> {
    let here =
        std::env::current_dir().map_err(|e| Stop::new(Exit::Failure, format!("the working directory no longer exists: {e}")))?;
    require_utf8_path("the working directory", &here)?;
    require_utf8_path("the directory of scratch files (RUNNER_SCRATCH, or TMPDIR)", &execute::disk())?;
    require_utf8_path("the directory of graphs (--graphs)", &output.graphs)
}

/// Warns before the run if other users could add files to what set-up steps keep.
pub(super) fn require_trusted_caches(plan: &Plan) -> Result<(), Stop> {
    let cells = plan.cells.iter().filter(|c| c.skipped.is_none()).map(|c| &c.set_up);
    let steps = plan.set_up.iter().chain(cells.flat_map(|s| s.cell.iter().chain(&s.repetition).chain(&s.load)));
    for cache in steps.filter_map(crate::plan::Action::cache) {
        cache::check(cache).map_err(|words| Stop::new(Exit::Failure, words))?;
    }
    Ok(())
}

/// Where the fixtures are, if any plan needs them.
fn fixtures(plans: &[Plan]) -> Result<PathBuf, Stop> {
    let mut executed = plans.iter().flat_map(|p| &p.cells).filter(|c| c.skipped.is_none());
    let needed = executed.any(|cell| {
        let mut replicas = cell.targets.iter().flat_map(|t| &t.replicas);
        replicas.any(|r| matches!(r.start, Start::Fixture { .. }))
            || cell.collect.iter().any(|c| matches!(c.source, CollectSource::Fixture(_)))
    });
    if needed { fixture::program().map_err(|m| Stop::new(Exit::Failure, m)) } else { Ok(PathBuf::new()) }
}

/// Reports before the run if the connections of a cell exceed the limit. `is_here`: whether what has a role is done on this machine;
/// `machines`: how many share each workload.
pub(super) fn require_open_files_of_cells(
    plan: &Plan,
    is_here: impl Fn(&Option<String>) -> bool,
    machines: u64,
) -> Result<(), Stop> {
    let allowed = open_files::raise();
    for cell in &plan.cells {
        let workloads = cell.workloads.iter().filter(|workload| is_here(&workload.on));
        let connections: u64 = workloads.map(|workload| u64::from(workload.load.arrivals.connections())).sum();
        let targets = cell.targets.iter().filter(|target| is_here(&target.on));
        let replicas = targets.map(|target| target.replicas.len() as u64).sum();
        open_files::require(&format!("the cell {}", cell.id), connections.div_ceil(machines.max(1)), replicas, allowed)?;
    }
    Ok(())
}
