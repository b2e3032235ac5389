//! Targets of a repetition: started in order, watched, stopped in reverse.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::{SocketAddr as UnixAddress, UnixDatagram};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::containers::Container;
use super::context::Context;
use super::error::Error;
use super::late::fill_all;
use super::logs::{self, LogKeeper};
use super::network::Network;
use observe::{Watched, ports};
use plan::cgroups::Resources;
use plan::containers;
use plan::programs::find_program;
use plan::reconcile::{COUNT_VARIABLE, count_socket};
use plan::{Replica, Start, Target, Template};
use record::status::{ResourcesStatus, TargetOutcome, TargetStatus};
use supervise::cgroup::Counts;
use supervise::probe::{self, Subject, log_paths};
use supervise::{Cgroup, Error as SuperviseError, Exit, Guard, Kind, Process, ProcessSpec};
use vocabulary::choices::{Lifetime, Signal};

/// A replica that was started, or that already ran.
#[derive(Debug)]
pub struct Running {
    /// Target and replica, for messages.
    pub name: String,
    /// Its process, if it is ours; for a container, the engine's client.
    pub process: Option<Process>,
    pub(super) container: Option<Container>,
    /// Its limits, where it has any.
    cgroup: Option<Cgroup>,
    /// What its groups had counted when the load began.
    counted: Counts,
    /// What earlier processes of it had counted during the load.
    earlier: Counts,
    /// Whether its counts of the load are known.
    is_counted: bool,
    /// Whether it may end: a fault has asked it to.
    pub(super) may_end: bool,
    logs: [PathBuf; 2],
    signal: Signal,
    grace: Duration,
    /// Its entry in the status.
    pub status: TargetStatus,
    /// When its whole process tree was gone.
    pub stopped_at: Option<Instant>,
    /// How long it lives.
    pub lifetime: Lifetime,
    /// The cell for which it was started.
    pub cell: usize,
    /// Targets that it depends on.
    pub after: Vec<String>,
    ports: Vec<u16>,
    /// Whether it has been ready.
    pub is_ready: bool,
    /// Whether it continues when the repetition ends.
    pub stays: bool,
    /// How much of its logs was copied into repetitions.
    pub taken: [u64; 2],
    /// Keeps its logs from growing, if they have a limit.
    pub(super) log_keeper: Option<LogKeeper>,
}

fn name_of(target: &Target, replica: &Replica) -> String {
    if target.replicas.len() > 1 { format!("{}/{}", target.name, replica.number) } else { target.name.clone() }
}

/// Checks that every port of `targets` is free before they are started.
///
/// # Errors
/// [`Error::PortTaken`] with its holder.
pub(super) fn check_ports(targets: &[&Target], network: &Network) -> Result<(), Error> {
    for target in targets.iter().filter(|t| network.is_here(&t.name)) {
        for port in target.replicas.iter().flat_map(|r| &r.ports) {
            check_port(*port, |holder| Error::PortTaken { port: *port, target: target.name.clone(), holder })?;
        }
    }
    Ok(())
}

/// A port that is claimed for a target.
#[derive(Debug)]
pub struct Claim {
    /// The target that needs it.
    pub target: String,
    /// Held until the claim is dropped.
    _socket: UnixDatagram,
}

/// Claims every port of `targets` among runners of this machine, until the claims are dropped.
///
/// A server may share its port (`SO_REUSEPORT`). Then two runs that start at once would serve each other's load, and no
/// check of the port would show it. The claims are abstract socket names, which end with their process.
///
/// # Errors
/// [`Error::PortTaken`] when another runner uses one.
pub(super) fn claim_ports(targets: &[&Target], network: &Network) -> Result<Vec<Claim>, Error> {
    let here = targets.iter().filter(|t| network.is_here(&t.name));
    let ports = here.flat_map(|t| t.replicas.iter().flat_map(|r| &r.ports).map(|p| (t.name.clone(), *p)));
    let mut claims = Vec::new();
    for (target, port) in ports {
        let socket = format!("runner-port-{port}");
        let name = UnixAddress::from_abstract_name(&socket);
        match name.and_then(|name| UnixDatagram::bind_addr(&name)) {
            Ok(socket) => claims.push(Claim { target, _socket: socket }),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                return Err(Error::PortTaken { port, target, holder: Some(other_run(&socket)) });
            }
            // Without abstract names the check of the port has to suffice.
            Err(_) => {}
        }
    }
    Ok(claims)
}

/// The runner that has claimed a port by a socket of this name.
fn other_run(socket: &str) -> String {
    let pid = ports::holder_of_name(socket).map_or_else(String::new, |pid| format!(" (pid {pid})"));
    format!("another run of runner{pid}")
}

/// Checks that every port of the stopped targets is free again.
///
/// # Errors
/// [`Error::PortKept`] with its holder.
pub(super) fn check_ports_again<'r>(
    stopped: impl IntoIterator<Item = &'r Running>,
    is_here: impl Fn(&str) -> bool,
) -> Result<(), Error> {
    for one in stopped.into_iter().filter(|one| one.process.is_some() && is_here(&one.status.target)) {
        for port in &one.ports {
            check_port(*port, |holder| Error::PortKept { port: *port, target: one.status.target.clone(), holder })?;
        }
    }
    Ok(())
}

fn check_port(port: u16, error: impl FnOnce(Option<String>) -> Error) -> Result<(), Error> {
    if ports::is_free(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))? {
        return Ok(());
    }
    Err(error(ports::holder(port).map(|h| h.to_string())))
}

/// Makes the configuration files of a target's replica.
///
/// # Errors
/// [`Error::Scratch`]; also when two replicas would write different files under one name.
fn render(target: &Target, replica: &Replica, context: &Context<'_>) -> Result<(), Error> {
    for file in &replica.files {
        let path = context.directory_of(target).join(&file.name);
        let content = file.content.fill(&context.late).to_text();
        let failed = |source| Error::Scratch { path: path.clone(), source };
        // A file with a secret is readable by us alone; other files by any user that a target becomes.
        let mode = if file.content.names().any(plan::secrets::is_secret) { 0o600 } else { 0o644 };
        match std::fs::read_to_string(&path) {
            // Writing it again would leave it empty for a moment, in which the previous replica may read it.
            Ok(before) if before == content => {
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).map_err(failed)?;
                continue;
            }
            Ok(_) => {
                return Err(failed(std::io::Error::other("another replica or target has made a different file of this name")));
            }
            Err(_) => {}
        }
        let opened = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&path);
        let written = opened.and_then(|mut opened| {
            // Whatever the umask is, and whatever a step may have made with this name.
            opened.set_permissions(std::fs::Permissions::from_mode(mode))?;
            opened.write_all(content.as_bytes())
        });
        written.map_err(failed)?;
    }
    Ok(())
}

/// Starts the replicas of a target, all at once (inside a network namespace, if there is one), and waits until each is
/// ready. Started replicas are in `running` even if this fails or is dropped.
///
/// # Errors
/// The error of the first replica that does not start or become ready.
pub async fn start(
    target: &Target,
    context: &Context<'_>,
    namespace: Option<&Path>,
    cell: usize,
    running: &mut Vec<Running>,
    started: impl Fn(&Running),
) -> Result<(), Error> {
    let first = running.len();
    for replica in &target.replicas {
        render(target, replica, context)?;
        running.push(start_replica(target, replica, context, namespace, cell).await?);
        let one = running.last_mut().expect("it was just pushed");
        one.find_inside(target.ready_timeout).await;
        if let (Some(container), false) = (&one.container, target.resources.is_unlimited())
            && one.exited().is_none()
        {
            container.check(&target.resources).await?;
        }
        started(one);
    }
    let ready = wait_until_ready(target, &target.replicas, context, namespace, &mut running[first..]).await;
    ready.map_err(|error| caused(&running[first..], error))?;
    running[first..].iter_mut().for_each(|one| one.is_ready = true);
    Ok(())
}

/// Starts a replica again in the place of one that has ended, and waits until it is ready. The started replica is recorded even
/// if this fails or is dropped.
///
/// # Errors
/// When the replica does not start or become ready.
pub(super) async fn start_again(
    target: &Target,
    replica: &Replica,
    context: &Context<'_>,
    namespace: Option<&Path>,
    cell: usize,
    one: &mut Running,
    started: impl Fn(&Running),
) -> Result<(), Error> {
    start_anew(target, replica, context, namespace, cell, one, started).await?;
    let ready = wait_until_ready(target, std::slice::from_ref(replica), context, namespace, std::slice::from_mut(one)).await;
    ready.map_err(|error| caused(std::slice::from_ref(one), error))?;
    one.is_ready = true;
    Ok(())
}

/// The same without waiting until it is ready.
pub(super) async fn start_anew(
    target: &Target,
    replica: &Replica,
    context: &Context<'_>,
    namespace: Option<&Path>,
    cell: usize,
    one: &mut Running,
    started: impl Fn(&Running),
) -> Result<(), Error> {
    let new = start_replica(target, replica, context, namespace, cell).await?;
    let TargetStatus { deaths, outcome, ref ended, .. } = one.status;
    let ended = ended.clone().filter(|_| outcome == Some(TargetOutcome::KilledByFault));
    let mut status = TargetStatus { deaths, outcome, ended, ..new.status.clone() };
    let earlier = one.status.resources.as_ref().map_or_else(Counts::default, |known| Counts {
        throttled_ns: known.throttled_ns,
        limit_hits: known.memory_limit_hits,
        oom_kills: known.oom_kills,
    });
    if one.status.resources.is_some() {
        status.resources.clone_from(&one.status.resources);
    }
    // Its logs continue in the same files.
    *one = Running { status, earlier, taken: one.taken, log_keeper: one.log_keeper.take().or(new.log_keeper), ..new };
    one.find_inside(target.ready_timeout).await;
    started(one);
    Ok(())
}

/// Waits until a replica that was started anew is ready, whatever happens to it meanwhile; returns when that was.
pub(super) fn readiness<'a>(
    target: &'a Target,
    replica: &'a Replica,
    context: &'a Context<'_>,
    namespace: Option<PathBuf>,
    one: &Running,
) -> impl Future<Output = Result<Instant, SuperviseError>> + use<'a> {
    let (name, process, logs) = (one.name.clone(), one.process.clone(), one.logs.clone());
    async move {
        let subject = Subject {
            name: &name,
            process: process.as_ref(),
            probe: replica.ready.fill(&context.late),
            logs: [&logs[0], &logs[1]],
            timeout: target.ready_timeout,
            namespace: namespace.as_deref(),
        };
        probe::wait(context.guard, &subject).await
    }
}

/// An error of one of these replicas, with what the kernel says of its end.
fn caused(running: &[Running], error: Error) -> Error {
    match error {
        Error::Supervise(SuperviseError::EndedEarly { name, exit, tail }) => {
            let one = running.iter().find(|one| one.name == name);
            let error = SuperviseError::EndedEarly { name, exit, tail };
            match one {
                Some(one) => one.cause(error).into(),
                None => error.into(),
            }
        }
        error => error,
    }
}

/// Starts one replica; does nothing if the replica already runs.
async fn start_replica(
    target: &Target,
    replica: &Replica,
    context: &Context<'_>,
    namespace: Option<&Path>,
    cell: usize,
) -> Result<Running, Error> {
    let logs = log_paths(&context.logs, &target.name, replica.number);
    let fill = |template: &Template| template.fill(&context.late).to_text();
    let mut env: Vec<(String, String)> = replica.env.iter().map(|(name, value)| (name.clone(), fill(value))).collect();
    let mut container = None;
    let argv = match &replica.start {
        Start::Elsewhere => None,
        Start::Process { argv } => Some(with_path(fill_all(argv, &context.late))),
        Start::Fixture { name, args } => {
            let socket = context.directory_of(target).join(count_socket(&target.name, replica.number));
            // An earlier process of this replica may have left it.
            let _ = std::fs::remove_file(&socket);
            env.push((COUNT_VARIABLE.to_owned(), socket.display().to_string()));
            let program = context.fixtures.display().to_string();
            Some([program, name.clone()].into_iter().chain(fill_all(args, &context.late)).collect())
        }
        Start::Container { engine, argv } => {
            let announced = Container::announce(engine, &target.name, replica.number, context.guard)?;
            let mut late = context.late.clone();
            late.insert(containers::NAME, announced.name.clone());
            container = Some(announced);
            Some(with_path(fill_all(argv, &late)))
        }
    };
    let cgroup = match (&replica.start, target.resources.is_unlimited()) {
        (Start::Process { .. } | Start::Fixture { .. }, false) => {
            Some(Cgroup::make(context.guard, &name_of(target, replica), target.resources)?)
        }
        _ => None,
    };
    let resources = (!target.resources.is_unlimited() && argv.is_some()).then(|| ResourcesStatus {
        by: match cgroup.as_ref().and_then(Cgroup::version) {
            Some(version) => version.to_string(),
            None => "the engine".to_owned(),
        },
        cpu: target.resources.cpu,
        memory_bytes: target.resources.memory,
        ..ResourcesStatus::default()
    });
    let process = match argv {
        None => None,
        Some(argv) => {
            let kind = if container.is_some() { Kind::Client } else { Kind::Target };
            env.push(context.guard.marker(kind, &target.name, replica.number));
            let process = ProcessSpec {
                dir: replica.dir.as_ref().map(|dir| PathBuf::from(fill(dir))),
                cpus: &replica.cpus,
                namespace,
                cgroups: cgroup.as_ref().map(Cgroup::paths).unwrap_or_default(),
                memory_node: target.numa,
                limits: &target.rlimits,
                stop: Some((target.stop_signal, target.stop_grace)),
                ..ProcessSpec::new(argv, env, [&logs[0], &logs[1]])
            };
            match (context.guard.spawn(process).await, target.resources.memory) {
                (Err(SuperviseError::Spawn { program, reason }), Some(memory)) => {
                    if let Some(cgroup) = &cgroup {
                        cgroup.remove(context.guard)?;
                    }
                    let limit = vocabulary::units::human_bytes(memory as f64);
                    let reason = format!("{reason}; its memory limit is {limit}, which may be too little to start");
                    return Err(SuperviseError::Spawn { program, reason }.into());
                }
                (spawned, _) => Some(spawned?),
            }
        }
    };
    let status = TargetStatus {
        target: target.name.clone(),
        replica: replica.number,
        pid: process.as_ref().map(|process| process.pid),
        start_up_ns: None,
        ended: None,
        killed: false,
        deaths: 0,
        log_cut_bytes: 0,
        outcome: None,
        resources,
    };
    let log_keeper = match target.log_limit.filter(|_| process.is_some()) {
        Some(limit) => {
            let failed = |source| Error::Scratch { path: logs[0].clone(), source };
            Some(LogKeeper::start(logs.clone(), [0; 2], limit).map_err(failed)?)
        }
        None => None,
    };
    Ok(Running {
        name: name_of(target, replica),
        process,
        container,
        cgroup,
        counted: Counts::default(),
        earlier: Counts::default(),
        is_counted: false,
        may_end: false,
        logs,
        signal: target.stop_signal,
        grace: target.stop_grace,
        status,
        stopped_at: None,
        lifetime: target.lifetime,
        cell,
        after: target.after.clone(),
        ports: replica.ports.clone(),
        is_ready: false,
        stays: false,
        taken: [0; 2],
        log_keeper,
    })
}

/// A command line whose program has its full path, if it is found.
fn with_path(mut argv: Vec<String>) -> Vec<String> {
    if let Some(program) = argv.first_mut().filter(|program| !program.contains('/'))
        && let Some(path) = find_program(program)
    {
        *program = path.display().to_string();
    }
    argv
}

/// Waits until all replicas of a target are ready, and records how long each took, without the wait for others.
async fn wait_until_ready(
    target: &Target,
    replicas: &[Replica],
    context: &Context<'_>,
    namespace: Option<&Path>,
    running: &mut [Running],
) -> Result<(), Error> {
    let mut probes = Vec::new();
    for (replica, one) in replicas.iter().zip(running) {
        let Running { name, process, logs, status, .. } = one;
        let process = process.as_ref();
        let subject = Subject {
            name,
            process,
            probe: replica.ready.fill(&context.late),
            logs: [&logs[0], &logs[1]],
            timeout: target.ready_timeout,
            namespace,
        };
        probes.push(((status, process), Box::pin(async move { probe::wait(context.guard, &subject).await })));
    }
    for (((status, process), ready), replica) in join(probes, Result::is_err).await.into_iter().zip(replicas) {
        let ready = ready.map_err(|error| with_its_ports(error, process, replica))?;
        status.start_up_ns = process.map(|p| ready.saturating_duration_since(p.asked_at).as_nanos() as u64);
    }
    Ok(())
}

/// What was not ready may listen on a port that nobody expects.
fn with_its_ports(error: SuperviseError, process: Option<&Process>, replica: &Replica) -> SuperviseError {
    let mut error = error;
    if let (SuperviseError::NotReady { reason, .. }, Some(process)) = (&mut error, process) {
        let others: Vec<String> = observe::ports::listened_by(process.pid)
            .into_iter()
            .filter(|port| !replica.ports.contains(port))
            .map(|port| port.to_string())
            .collect();
        if !others.is_empty() && !replica.ports.is_empty() {
            *reason += &format!("; it listens on port {} instead", others.join(", "));
        }
    }
    error
}

/// Waits until a process of ours ends that should not.
pub async fn death(running: &[Running]) -> Error {
    first_exit(running).await.1
}

/// The same; also returns its index.
pub(super) async fn first_exit(running: &[Running]) -> (usize, Error) {
    let waits: Vec<_> = running.iter().enumerate().filter_map(|(at, r)| r.process.as_ref().map(|p| (at, r, p))).collect();
    let mut pending: Vec<_> = waits.iter().map(|(at, r, p)| Box::pin(async move { (*at, *r, p.wait().await) })).collect();
    std::future::poll_fn(|cx| {
        for future in &mut pending {
            if let std::task::Poll::Ready((at, one, exit)) = future.as_mut().poll(cx) {
                let error = match exit {
                    Ok(exit) => one.cause(SuperviseError::Died { name: one.name.clone(), exit, tail: one.tail() }).into(),
                    Err(error) => error.into(),
                };
                return std::task::Poll::Ready((at, error));
            }
        }
        std::task::Poll::Pending
    })
    .await
}

/// The error for a replica that has ended.
pub(super) fn died(one: &Running) -> Error {
    let exit = one.exited().expect("this is called only for a replica that has ended");
    one.cause(SuperviseError::Died { name: one.name.clone(), exit, tail: one.tail() }).into()
}

/// Kills replicas because a fault says so, and keeps what they were.
///
/// # Errors
/// As [`stop`].
pub(super) async fn kill(guard: &Guard, victims: &mut [&mut Running], fault: &str) -> Result<(), Error> {
    let usual: Vec<(Signal, Duration)> = victims.iter().map(|one| (one.signal, one.grace)).collect();
    victims.iter_mut().for_each(|one| (one.signal, one.grace) = (Signal::Kill, Duration::ZERO));
    let stopped = stop(guard, victims).await;
    for (one, (signal, grace)) in victims.iter_mut().zip(usual) {
        (one.signal, one.grace) = (signal, grace);
        one.process = None;
        one.is_ready = false;
        // Whoever asks sees that it did not fail.
        one.status.killed = false;
        one.status.ended = Some(format!("was killed by the fault `{fault}`"));
        one.status.outcome = Some(TargetOutcome::KilledByFault);
    }
    stopped
}

/// What the sampler watches of a replica, if there is a process.
pub(super) fn watched(one: &Running, guard: &Guard) -> Option<Watched> {
    let (target, replica) = (one.status.target.clone(), one.status.replica);
    let (_, marker) = guard.marker(Kind::Target, &target, replica);
    Some(Watched { target, replica, pid: one.status.pid?, marker })
}

impl Running {
    /// Of a container, the processes inside are watched instead of the engine's client.
    async fn find_inside(&mut self, patience: Duration) {
        if let (Some(container), Some(client)) = (&self.container, &self.process) {
            self.status.pid = container.pid(client, patience).await;
        }
    }

    /// Why it ended: the kernel may have killed it, or one of its processes, because of its memory limit.
    fn cause(&self, error: SuperviseError) -> SuperviseError {
        let limit = self.cgroup.as_ref().and_then(Cgroup::out_of_memory);
        match (error, limit) {
            (SuperviseError::Died { name, tail, .. }, Some(limit)) => {
                SuperviseError::OutOfMemory { name, limit, early: false, tail }
            }
            (SuperviseError::EndedEarly { name, tail, .. }, Some(limit)) => {
                SuperviseError::OutOfMemory { name, limit, early: true, tail }
            }
            (error, _) => error,
        }
    }

    /// Records that it is ready after it was started again.
    pub(super) fn ready_again(&mut self, ready: Instant) {
        self.is_ready = true;
        self.may_end = false;
        self.status.start_up_ns = self.process.as_ref().map(|p| ready.saturating_duration_since(p.asked_at).as_nanos() as u64);
    }

    /// Remembers what its groups have counted, when the load begins.
    pub fn load_begins(&mut self) {
        if let (Some(_), None, Some(pid), Some(resources)) =
            (&self.container, &self.cgroup, self.status.pid, &self.status.resources)
        {
            // The engine has made them.
            let limits = Resources { cpu: resources.cpu, memory: resources.memory_bytes };
            self.cgroup = Some(Cgroup::of_process(pid, limits));
        }
        self.counted = self.cgroup.as_ref().map(Cgroup::counts).unwrap_or_default();
        (self.earlier, self.is_counted) = (Counts::default(), false);
    }

    /// Records what its groups have counted since the load began.
    pub fn load_ends(&mut self) {
        self.count();
        self.is_counted = true;
    }

    fn count(&mut self) {
        if self.is_counted {
            return;
        }
        if let (Some(cgroup), Some(status)) = (&self.cgroup, &mut self.status.resources) {
            let counts = cgroup.counts().since(&self.counted).and(&self.earlier);
            status.throttled_ns = counts.throttled_ns.or(status.throttled_ns);
            status.memory_limit_hits = counts.limit_hits.or(status.memory_limit_hits);
            status.oom_kills = counts.oom_kills.or(status.oom_kills);
        }
    }

    /// Takes the replica out of a repetition that ends, in which only its status is left.
    pub fn hand_over(&mut self) -> Self {
        Self {
            name: self.name.clone(),
            process: self.process.take(),
            container: self.container.take(),
            cgroup: self.cgroup.take(),
            logs: self.logs.clone(),
            status: TargetStatus { start_up_ns: None, deaths: 0, log_cut_bytes: 0, ..self.status.clone() },
            log_keeper: self.log_keeper.take(),
            after: self.after.clone(),
            ports: self.ports.clone(),
            stays: false,
            ..*self
        }
    }

    /// Its output and its error output.
    pub fn logs(&self) -> &[PathBuf; 2] {
        &self.logs
    }

    /// Cuts its logs to the part that is kept, when they are no longer written or followed.
    ///
    /// # Errors
    /// When a log cannot be read or written.
    pub fn shorten_logs(&mut self) -> Result<(), Error> {
        let Some(keeper) = self.log_keeper.take() else { return Ok(()) };
        let limit = keeper.limit();
        // The thread has then ended.
        drop(keeper);
        for log in &self.logs {
            let shortened = logs::shorten(log, limit);
            self.status.log_cut_bytes += shortened.map_err(|source| record::Error::Write { path: log.clone(), source })?;
        }
        Ok(())
    }

    /// How it ended, if it has.
    pub fn exited(&self) -> Option<Exit> {
        self.process.as_ref().and_then(Process::exited)
    }

    /// The last lines of its log.
    pub fn tail(&self) -> Vec<String> {
        probe::tail([&self.logs[0], &self.logs[1]], probe::LINES_SHOWN)
    }
}

/// Stops everything in reverse order, replicas of one target together. Returns the final status of each.
///
/// # Errors
/// When the guard is gone.
pub async fn stop(guard: &Guard, running: &mut [&mut Running]) -> Result<(), Error> {
    // A replica that does not stop is reported when all others are stopped.
    let mut containers_gone = Ok(());
    let mut end = running.len();
    while end > 0 {
        let target = running[end - 1].status.target.clone();
        let start = running[..end].iter().rposition(|r| r.status.target != target).map_or(0, |i| i + 1);
        let group = &mut running[start..end];
        let mut stops = Vec::new();
        for one in group.iter_mut() {
            one.count();
            if let Some(limit) = one.cgroup.as_ref().and_then(Cgroup::out_of_memory).filter(|_| one.exited().is_some()) {
                one.status.ended = Some(format!("was killed by the kernel: it exceeded its memory limit of {limit}"));
                one.status.outcome = Some(TargetOutcome::OutOfMemory);
            } else if let Some(exit) = one.exited() {
                one.status.ended = Some(exit.to_string());
            }
            let Running { process, container, status, stopped_at, signal, grace, cgroup, .. } = &mut **one;
            let Some(process) = process else { continue };
            let stop = async {
                // The client passes the signal on to the process inside.
                let killed = guard.stop(process, *signal, *grace).await;
                let removed = match container {
                    Some(container) => container.remove(guard).await,
                    None => Ok(()),
                };
                // Its processes are gone.
                let removed = match cgroup.take() {
                    Some(cgroup) => removed.and(cgroup.remove(guard).map_err(Error::from)),
                    None => removed,
                };
                (killed, removed, Instant::now())
            };
            stops.push(((status, stopped_at), Box::pin(stop)));
        }
        for ((status, stopped_at), (killed, removed, at)) in join(stops, |_| false).await {
            status.killed = killed?;
            *stopped_at = Some(at);
            containers_gone = containers_gone.and(removed);
        }
        end = start;
    }
    containers_gone
}

/// Drives several futures at once; returns the available results, in order, when all are complete or one is the `last`.
async fn join<K, F: Future + Unpin>(futures: Vec<(K, F)>, last: impl Fn(&F::Output) -> bool) -> Vec<(K, F::Output)> {
    let mut waiting: Vec<Option<(K, F)>> = futures.into_iter().map(Some).collect();
    let mut done: Vec<Option<(K, F::Output)>> = waiting.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        let mut enough = false;
        for (waiting, done) in waiting.iter_mut().zip(&mut done) {
            if let Some((_, future)) = waiting
                && let std::task::Poll::Ready(output) = std::pin::Pin::new(future).poll(cx)
            {
                enough |= last(&output);
                *done = waiting.take().map(|(key, _)| (key, output));
            }
        }
        if enough || waiting.iter().all(Option::is_none) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}
