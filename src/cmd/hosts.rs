//! `run` and `repeat` over several machines: `--on` says where the roles of a scenario are, an agent is started on each machine, and
//! the conductor of `executor` directs them. `places` finds the machines, `bring` copies the program to them.
//!
//! If this process dies, each agent's input ends, and with it everything on its machine; the guard here undoes namespaces and
//! allocations.

mod allocation;
mod bring;
mod places;

use std::collections::BTreeMap;
use std::path::Path;

use self::places::{Machine, Places};
use super::brought::{BROUGHT_FIXTURES, own_hash};
use super::execute::{self, Invocation, RunStart};
use super::{Stop, open_files, plan_of, prepare};
use crate::cli;
use crate::executor::together::files_of;
use crate::executor::{Conductor, Error, Member};
use crate::exit::Exit;
use crate::hosts::{File, Here, LOG_IN, Launch, Scenario};
use crate::plan::hosts::CONTROLLER;
use crate::plan::{Plan, Role, revisions};
use crate::plan_read::{self, Here as Place, Options};
use crate::record::manifest::{Choice, MachineRecord};
use crate::record::write::plan_json;
use crate::supervise::Guard;
use crate::vocabulary::errors::tell;

/// A scenario that is executed over several machines.
pub(super) struct OverHosts<'a> {
    /// Its file.
    pub file: &'a Path,
    /// What the command line changes in it.
    pub options: Options,
    /// Where its roles are.
    pub cluster: &'a cli::Cluster,
    /// The nodes of a cluster that an earlier part of the run had.
    pub nodes: Vec<String>,
    /// Its roles.
    pub roles: Vec<Role>,
}

impl<'a> OverHosts<'a> {
    /// Reads the roles of a scenario; there are none where everything is done on one machine.
    pub fn read(file: &'a Path, mut options: Options, cluster: &'a cli::Cluster) -> Result<Self, Stop> {
        // What other machines need is not looked for on this one.
        options.here = Some(Place { role: None });
        let roles = plan_of(file, &options)?.hosts;
        Ok(Self { file, options, cluster, nodes: Vec::new(), roles })
    }
}

/// Executes a scenario over several machines. `adjust`: what the subcommand changes in the plan; `start`: where the run starts.
pub(super) fn execute<'s>(
    over: OverHosts<'_>,
    output: &cli::Output,
    stop: &cli::StopEarly,
    adjust: impl FnOnce(&mut Plan) -> Result<(), Stop>,
    start: impl FnOnce(&Plan, Choice) -> Result<RunStart<'s>, Stop>,
) -> Result<Exit, Stop> {
    let OverHosts { cluster, nodes, roles, .. } = &over;
    let Some(on) = &cluster.on else { return Err(Stop::new(Exit::InvalidInput, "it is not said where the machines are")) };
    // Nothing of a repetition is executed by this process.
    let mut invocation = Invocation { fail_fast: stop.fail_fast, keep_going: stop.keep_going, ..prepare::prepare(&[], output)? };
    // It undoes what is made for the machines; the run has a guard of its own.
    let guard = invocation.runtime.block_on(Guard::start(open_files::of_the_shell()));
    let guard = guard.map_err(|e| Stop::from_error(Exit::Failure, &e))?;
    let places = invocation.runtime.block_on(async {
        tokio::select! {
            biased;
            () = invocation.interrupt.asked(1) => Err(interrupted()),
            places = Places::find(on, roles, cluster, nodes, &guard) => places,
        }
    })?;
    let done = execute_there(over, on, &places, &mut invocation, adjust, start);
    invocation.runtime.block_on(async {
        if let Some(conductor) = &invocation.conductor {
            conductor.end().await;
        }
        places.undo(&guard).await;
    });
    done
}

fn interrupted() -> Stop {
    Stop::new(Exit::Interrupted, "interrupted; nothing was started")
}

/// Executes a scenario on the machines that were found. The caller ends the conductor and gives the machines back.
fn execute_there<'s>(
    over: OverHosts<'_>,
    on: &cli::On,
    places: &Places,
    invocation: &mut Invocation<'_>,
    adjust: impl FnOnce(&mut Plan) -> Result<(), Stop>,
    start: impl FnOnce(&Plan, Choice) -> Result<RunStart<'s>, Stop>,
) -> Result<Exit, Stop> {
    let OverHosts { file, mut options, cluster, .. } = over;
    options.hosts = places.addresses.clone();
    let mut plan = plan_of(file, &options)?;
    if let Some(link) = plan.cells.iter().flat_map(|cell| &cell.links).next().filter(|_| *on != cli::On::Netns) {
        let message = format!(
            "the link `{}` would lie between machines that are there already: links between machines are emulated with `--on netns` only",
            link.name
        );
        return Err(Stop::new(Exit::InvalidInput, message));
    }
    if plan.factors.iter().any(|factor| factor.revisions.is_some()) {
        let message = "revisions are built on this machine, and are not brought to others: expected a scenario without `git`";
        return Err(Stop::new(Exit::InvalidInput, message));
    }
    adjust(&mut plan)?;
    prepare::require_trusted_caches(&plan)?;
    let machines = places.machines(needs_controller(&plan));
    let mut members = members(&plan, &options, &machines)?;
    if cluster.bring && *on == cli::On::Slurm {
        // Over SSH both programs are copied, to where they may stay.
        let from = super::fixture::program().map_err(|words| Stop::new(Exit::Failure, words))?;
        let fixtures = File { from, name: BROUGHT_FIXTURES.into() };
        members.iter_mut().filter(|member| member.scenario.role.is_some()).for_each(|member| member.files.push(fixtures.clone()));
    }
    let conductor = &*invocation.conductor.insert(Conductor::new(members, own_hash()?));
    if invocation.style == super::progress::Style::People {
        let names: Vec<String> = machines.iter().map(Machine::words).collect();
        tell(format_args!("machines: {}", names.join(", ")));
    }
    let started = invocation.runtime.block_on(conductor.start(&invocation.interrupt));
    let (here, skipped) = started.map_err(|error| match error {
        Error::Interrupted => interrupted(),
        Error::Elsewhere { host, why } => Stop::new(Exit::Failure, format!("the machine {host} cannot take part: {why}")),
        other => Stop::from_error(Exit::Failure, &other),
    })?;
    for (cell, why) in skipped {
        plan.cells[cell].skipped.get_or_insert(why);
    }
    invocation.machines = records(&machines, &here);
    let choice = Choice {
        settings: options.settings.clone(),
        repetitions: options.repetitions,
        shard: None,
        on: Some(on.to_string()),
        bring: cluster.bring,
        slurm: cluster.slurm.clone(),
    };
    let start = start(&plan, choice)?;
    invocation.runtime.block_on(execute::execute(&plan, start, invocation))
}

/// Whether anything is done on the machine of the run itself.
fn needs_controller(plan: &Plan) -> bool {
    plan.cells.iter().any(|cell| cell.needs_host(None))
}

/// What each machine is told.
fn members(plan: &Plan, options: &Options, machines: &[Machine]) -> Result<Vec<Member>, Stop> {
    let path = plan_read::normal(&std::path::absolute(&plan.source).unwrap_or_else(|_| plan.source.clone()));
    let home = path.parent().unwrap_or(&path);
    let (files, folders) = files_of(plan, home).map_err(|words| Stop::new(Exit::InvalidInput, words))?;
    let raw = plan_json(plan).map_err(|e| Stop::from_error(Exit::InvalidInput, &e))?;
    let commits = revisions::recorded(&raw).into_iter().map(|((factor, label), commit)| (factor, label, commit)).collect();
    let variable = |name: &String| Some((name.clone(), std::env::var(name).ok()?));
    let scenario = Scenario {
        path,
        text: plan.text.clone(),
        folders,
        environment: plan.environment.keys().filter_map(variable).collect(),
        settings: options.settings.clone(),
        repetitions: options.repetitions,
        seed: plan.seed,
        commits,
        hosts: options.hosts.clone(),
        name: String::new(),
        role: None,
        index: 0,
        of: 1,
    };
    let member = |machine: &Machine| Member {
        launch: Launch { argv: machine.argv.clone(), name: machine.name.clone(), patience: LOG_IN },
        scenario: Scenario {
            name: machine.name.clone(),
            role: machine.role.clone(),
            index: machine.index,
            of: machine.of,
            ..scenario.clone()
        },
        files: files.clone(),
        machine: machine.namespace.clone(),
    };
    Ok(machines.iter().map(member).collect())
}

fn records(machines: &[Machine], here: &[Here]) -> Vec<MachineRecord> {
    let record = |(machine, here): (&Machine, &Here)| MachineRecord {
        name: machine.name.clone(),
        role: machine.role.clone(),
        address: machine.address.clone(),
        host: here.host.clone(),
        settings: here.settings.clone(),
    };
    machines.iter().zip(here).map(record).collect()
}

/// Addresses by role, for a plan.
type Addresses = BTreeMap<String, Vec<String>>;
