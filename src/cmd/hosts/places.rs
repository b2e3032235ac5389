//! Where the machines of a run are: over SSH, as network namespaces of this machine, or as nodes of an allocation.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::allocation::Allocation;
use super::{Addresses, CONTROLLER, bring};
use crate::cli::{self, On, SshHost};
use crate::cmd::Stop;
use crate::exit::Exit;
use crate::links;
use crate::plan::Role;
use crate::supervise::Guard;

/// A machine of a run.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    /// Its name in the run.
    pub name: String,
    /// Its role; none: that of the run's own machine.
    pub role: Option<String>,
    /// Its number among the machines of its role.
    pub index: u64,
    /// How many they are.
    pub of: u64,
    /// The address at which others reach it.
    pub address: String,
    /// How its agent is started.
    pub argv: Vec<String>,
    /// The namespace that it is, if it is one.
    pub namespace: Option<links::Machine>,
}

impl Machine {
    /// For people.
    pub fn words(&self) -> String {
        format!("{} ({})", self.name, self.address)
    }
}

/// The machines of all roles.
pub(super) struct Places {
    /// Their addresses, for the plan.
    pub addresses: Addresses,
    machines: Vec<Machine>,
    controller: Machine,
    namespaces: Vec<String>,
    allocation: Option<Allocation>,
}

/// The arguments of an agent.
fn agent(program: &str) -> Vec<String> {
    vec![program.to_owned(), "agent".to_owned()]
}

fn own_program() -> Result<String, Stop> {
    let path = std::env::current_exe().map_err(|e| Stop::new(Exit::Failure, format!("cannot find runner itself: {e}")))?;
    Ok(path.display().to_string())
}

impl Places {
    /// Finds a machine for each role, and makes what has to be made; `guard` undoes it if this process dies. `wanted`: the nodes of
    /// a cluster that are used, in the order of the machines; any if empty.
    ///
    /// # Errors
    /// Roles without a machine, machines without a role; and whatever cannot be made.
    pub async fn find(on: &On, roles: &[Role], args: &cli::Cluster, wanted: &[String], guard: &Guard) -> Result<Self, Stop> {
        let wrong = |message: String| Stop::new(Exit::InvalidInput, message);
        if roles.is_empty() {
            return Err(wrong(format!("`--on {on}` says where roles are, and the scenario has no `hosts`")));
        }
        let controller = Machine {
            name: CONTROLLER.to_owned(),
            role: None,
            index: 0,
            of: 1,
            address: crate::plan::hosts::LOOPBACK.to_owned(),
            argv: agent(&own_program()?),
            namespace: None,
        };
        let mut places =
            Self { addresses: BTreeMap::new(), machines: Vec::new(), controller, namespaces: Vec::new(), allocation: None };
        match on {
            On::Ssh(given) => {
                for (role, _) in given {
                    if !roles.iter().any(|known| known.name == *role) {
                        let known: Vec<&str> = roles.iter().map(|role| role.name.as_str()).collect();
                        return Err(wrong(format!(
                            "`--on {on}`: the scenario has no role `{role}`, expected {}",
                            crate::schema::source::one_of(known)
                        )));
                    }
                }
                for role in roles {
                    let hosts = given.iter().find(|(name, _)| *name == role.name).map_or(&[][..], |(_, hosts)| hosts);
                    if hosts.len() != role.addresses.len() {
                        return Err(wrong(format!(
                            "`--on {on}`: the role `{}` needs {}, and {} given: expected `{}={}`",
                            role.name,
                            machines(role.addresses.len()),
                            match hosts.len() {
                                0 => "none is".to_owned(),
                                1 => "1 is".to_owned(),
                                n => format!("{n} are"),
                            },
                            role.name,
                            vec!["HOST"; role.addresses.len()].join("+")
                        )));
                    }
                    if let Some(twice) =
                        hosts.iter().enumerate().find(|(n, host)| hosts[..*n].contains(host)).map(|(_, host)| host)
                    {
                        return Err(wrong(format!("`--on {on}`: `{}` is named twice for one role", twice.destination)));
                    }
                    for host in hosts {
                        places.add_ssh(role, host, args.bring).await?;
                    }
                }
            }
            On::Netns => places.make_namespaces(roles, guard)?,
            On::Slurm => {
                let count = roles.iter().map(|role| role.addresses.len()).sum();
                let allocation = Allocation::make(guard, count, &args.slurm, wanted).await.map_err(wrong)?;
                let mut nodes = allocation.nodes.clone().into_iter();
                for role in roles {
                    for _ in &role.addresses {
                        let Some((node, address)) = nodes.next() else {
                            return Err(wrong("the allocation has fewer nodes than the scenario has machines".to_owned()));
                        };
                        let argv = allocation.launch(&node, &agent(&own_program()?), args.bring);
                        places.add(role, Some(&node), address, argv);
                    }
                }
                places.allocation = Some(allocation);
            }
        }
        Ok(places)
    }

    fn add(&mut self, role: &Role, named: Option<&str>, address: String, argv: Vec<String>) {
        let addresses = self.addresses.entry(role.name.clone()).or_default();
        let (index, of) = (addresses.len() as u64, role.addresses.len() as u64);
        addresses.push(address.clone());
        let name = match named {
            Some(host) => format!("{} {host}", role.name),
            None if of == 1 => role.name.clone(),
            None => format!("{}-{}", role.name, index + 1),
        };
        self.machines.push(Machine { name, role: Some(role.name.clone()), index, of, address, argv, namespace: None });
    }

    async fn add_ssh(&mut self, role: &Role, host: &SshHost, brings: bool) -> Result<(), Stop> {
        let failed = |why: String| Stop::new(Exit::Failure, format!("the machine {} cannot take part: {why}", host.destination));
        let address = match &host.address {
            Some(address) => address.clone(),
            None => bring::address(&host.destination).map_err(failed)?,
        };
        let program = if brings { bring::program(&host.destination).map_err(failed)? } else { "runner".to_owned() };
        let mut argv = bring::ssh(&host.destination);
        argv.push(format!("exec {program} agent"));
        self.add(role, Some(&host.destination), address, argv);
        Ok(())
    }

    /// Makes a namespace for each machine, the run's own included.
    fn make_namespaces(&mut self, roles: &[Role], guard: &Guard) -> Result<(), Stop> {
        let failed = |e: &dyn std::error::Error| Stop::from_error(Exit::Failure, e);
        let count = roles.iter().map(|role| role.addresses.len()).sum::<usize>();
        let (switch, made) = links::machines(&guard.run()[..8], count + 1);
        self.namespaces.push(switch.clone());
        self.namespaces.extend(made.iter().flat_map(|machine| [machine.namespace.clone(), machine.line.clone()]));
        for namespace in &self.namespaces {
            guard.adopt(&links::names::path(namespace)).map_err(|e| failed(&e))?;
        }
        // The guard undoes what was made of them.
        links::make_machines(&switch, &made).map_err(|error| failed(&error))?;
        let inside = |path: PathBuf| -> Result<Vec<String>, Stop> {
            let mut argv = agent(&own_program()?);
            argv.extend(["--inside".to_owned(), path.display().to_string()]);
            Ok(argv)
        };
        let (own, others) = made.split_last().expect("there is one more than machines of roles");
        self.controller.argv = inside(own.path())?;
        self.controller.address = own.address.to_string();
        self.controller.namespace = Some(own.clone());
        let mut others = others.iter();
        for role in roles {
            for _ in &role.addresses {
                let Some(machine) = others.next() else { break };
                let argv = inside(machine.path())?;
                self.add(role, None, machine.address.to_string(), argv);
                if let Some(added) = self.machines.last_mut() {
                    added.namespace = Some(machine.clone());
                }
            }
        }
        Ok(())
    }

    /// All machines; that of the run itself only if it is needed.
    pub fn machines(&self, with_controller: bool) -> Vec<Machine> {
        let own = with_controller.then(|| self.controller.clone());
        self.machines.iter().cloned().chain(own).collect()
    }

    /// Undoes what was made. Agents have ended by now.
    pub async fn undo(&self, guard: &Guard) {
        for namespace in &self.namespaces {
            if let Err(error) = links::undo(namespace) {
                crate::vocabulary::errors::tell(format_args!("warning: {}", crate::vocabulary::errors::chain(&error)));
            }
        }
        if let Some(allocation) = &self.allocation {
            allocation.undo(guard).await;
        }
    }
}

fn machines(count: usize) -> String {
    if count == 1 { "1 machine".to_owned() } else { format!("{count} machines") }
}
