//! The links of a repetition: made before the targets, measured, and undone after everything else.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::context::Context;
use super::error::Error;
use links::{self, Choice, Machine, Made, Measured};
use plan::Cell;
use plan::links::{Link, Shape, is_local};
use record::status::LinkStatus;
use supervise::{Guard, Kind, Process, ProcessSpec};
use vocabulary::choices::Signal;

/// How long measuring one link may take, in addition to round trips.
const BUDGET: Duration = Duration::from_secs(3);
/// How long a helper may take to write its first line.
const PATIENCE: Duration = Duration::from_secs(5);

/// The links of one repetition; this value outlives a repetition that breaks off.
#[derive(Debug, Default)]
pub(super) struct Network {
    links: Vec<Laid>,
    /// All namespaces that were made or will be made.
    namespaces: Vec<String>,
    /// Held while a link is made, so that nothing is undone meanwhile.
    busy: Arc<Mutex<()>>,
    /// Failures before the end.
    broken: Vec<String>,
    /// Machines on whose lines links were laid.
    lines: Vec<Machine>,
}

/// A link that was made.
#[derive(Debug)]
struct Laid {
    link: Link,
    /// As it is now: faults change it.
    now: RefCell<Link>,
    choice: Choice,
    made: Arc<Made>,
    helpers: Vec<Process>,
    measured: Option<Measured>,
}

impl Network {
    /// Makes the links of a cell and measures them.
    ///
    /// # Errors
    /// When a link cannot be made or measured. [`Network::undo`] undoes everything that was made until then.
    pub async fn make(&mut self, cell: &Cell, context: &Context<'_>, seed: u64) -> Result<(), Error> {
        if cell.links.is_empty() {
            return Ok(());
        }
        let names = links::topology(&cell.links, &context.guard.run()[..8])?;
        let chosen = self.choose(cell, context.guard).await?;
        for namespace in names.iter().flat_map(links::LinkNames::namespaces) {
            if !self.namespaces.iter().any(|n| n == namespace) {
                self.namespaces.push(namespace.to_owned());
                context.guard.adopt(&links::names::path(namespace))?;
            }
        }
        for ((link, choice), names) in cell.links.iter().zip(chosen).zip(names) {
            // The kernel takes a moment to remove what the previous repetition has undone.
            let device = Path::new("/sys/class/net").join(&names.near_device);
            let begun = Instant::now();
            while device.exists() && begun.elapsed() < PATIENCE {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let (wanted, mechanism) = (link.clone(), choice.mechanism);
            let made = blocking(&self.busy, move || links::make(&wanted, &names, mechanism, seed)).await?;
            self.add(link, choice, made, context.guard, &context.logs, &context.scratch).await?;
        }
        self.measure().await
    }

    /// Lays the links of a cell on the lines of machines, and measures them. `machine`: that of a role; none: that of the run itself.
    ///
    /// # Errors
    /// As [`Network::make`].
    pub async fn lay(
        &mut self,
        cell: &Cell,
        guard: &Guard,
        logs: &Path,
        machine: impl Fn(Option<&str>) -> Option<Machine>,
        seed: u64,
    ) -> Result<(), Error> {
        if cell.links.is_empty() {
            return Ok(());
        }
        let chosen = self.choose(cell, guard).await?;
        let on = |name: &str| cell.targets.iter().find(|target| target.name == name).and_then(|target| target.on.as_deref());
        for (link, choice) in cell.links.iter().zip(chosen) {
            let far_role = link.to.first().and_then(|name| on(name));
            let from_load = || cell.workloads.iter().map(|workload| workload.on.as_deref()).find(|on| *on != far_role);
            let near_role = match &link.from {
                Some(from) => Some(on(from)),
                None => from_load(),
            };
            let (Some(far), Some(near)) = (machine(far_role), near_role.and_then(&machine)) else {
                let reason = "no load is on another machine than its far side".to_owned();
                return Err(Error::LinkHelper { link: link.name.clone(), reason });
            };
            self.lines.push(far.clone());
            let (wanted, mechanism) = (link.clone(), choice.mechanism);
            let made = blocking(&self.busy, move || links::lay(&far, &near, &wanted, mechanism, seed)).await?;
            self.add(link, choice, made, guard, logs, logs).await?;
        }
        self.measure().await
    }

    /// Which mechanism works here for each link.
    async fn choose(&self, cell: &Cell, guard: &Guard) -> Result<Vec<Choice>, Error> {
        let (all, run) = (cell.links.clone(), guard.run()[..8].to_owned());
        // Trial namespaces are gone before anything is made; if we are killed meanwhile, their names are known.
        let probe = links::names::path(&links::names::probe(&run));
        guard.adopt(&probe)?;
        let chosen = blocking(&self.busy, move || links::choose_all(&all, &run)).await?;
        guard.release(&probe)?;
        Ok(chosen)
    }

    /// Starts the helpers of a link that was made, and takes it over.
    async fn add(
        &mut self,
        link: &Link,
        choice: Choice,
        mut made: Made,
        guard: &Guard,
        logs: &Path,
        control: &Path,
    ) -> Result<(), Error> {
        let mut helpers = Vec::new();
        if !link.changes.is_never() {
            made.listen_at(&control.join(format!("link-{}.control", self.links.len())));
        }
        for helper in made.helpers.clone() {
            let (process, line) = start(&helper, link, guard, logs).await?;
            helpers.push(process);
            made.ready(&line)?;
        }
        let now = RefCell::new(link.clone());
        self.links.push(Laid { link: link.clone(), now, choice, made: Arc::new(made), helpers, measured: None });
        Ok(())
    }

    /// Measures links one after the other, so that measuring one does not disturb another.
    async fn measure(&mut self) -> Result<(), Error> {
        for laid in &mut self.links {
            let (made, link) = (Arc::clone(&laid.made), laid.link.clone());
            let budget = BUDGET + 10 * link.round_trip();
            laid.measured = Some(blocking(&self.busy, move || links::measure(&made, &link, budget)).await?);
        }
        Ok(())
    }

    /// Gives a link other shapes, or its own again, from the next packet on. `cut`: nothing passes.
    ///
    /// # Errors
    /// When it cannot be changed.
    pub async fn change(&self, name: &str, shapes: Option<(Shape, Shape)>, cut: bool) -> Result<(), Error> {
        let Some(laid) = self.links.iter().find(|laid| laid.link.name == name) else { return Ok(()) };
        let (forward, back) = shapes.unwrap_or((laid.link.forward, laid.link.back));
        let (made, from) = (Arc::clone(&laid.made), laid.now.borrow().clone());
        blocking(&self.busy, move || links::change(&made, &from, forward, back, cut)).await?;
        let mut now = laid.now.borrow_mut();
        (now.forward, now.back) = (forward, back);
        Ok(())
    }

    /// The network namespace in which a target runs, if it has one.
    pub fn namespace(&self, target: &str) -> Option<PathBuf> {
        let far = self.links.iter().find(|l| l.link.to.iter().any(|t| t == target));
        far.and_then(|l| l.made.namespace.clone())
    }

    /// Values of the late names that links define, in the order of [`Link::late_names`].
    pub fn late_values(&self) -> impl Iterator<Item = String> {
        self.links.iter().flat_map(|laid| {
            let port = laid.link.ports.first().and_then(|p| laid.made.ports.get(p)).copied().unwrap_or_default();
            [laid.made.host.to_string(), port.to_string()]
        })
    }

    /// The address at which the load reaches a listener of this machine; `None` if there is no link in between.
    pub fn reach(&self, host: &str, port: u16) -> Option<(String, u16)> {
        let from_load = self.links.iter().filter(|l| l.link.from.is_none() && is_local(host));
        let mut found = from_load.filter_map(|l| Some((l.made.host.to_string(), *l.made.ports.get(&port)?)));
        found.next()
    }

    /// The links as recorded in the status.
    pub fn status(&self) -> Vec<LinkStatus> {
        let status = |laid: &Laid| LinkStatus {
            link: laid.link.name.clone(),
            mechanism: laid.made.mechanism.name().to_owned(),
            rejected: laid.choice.rejected.iter().map(|r| format!("{}: {}", r.mechanism.name(), r.reason)).collect(),
            host: laid.made.host.to_string(),
            measured: laid.measured.as_ref().and_then(|m| serde_json::to_value(m).ok()).unwrap_or_default(),
        };
        self.links.iter().map(status).collect()
    }

    /// How the links differ from what was requested.
    pub fn reasons(&self) -> Vec<String> {
        let measured = self.links.iter().filter_map(|l| Some(l.measured.as_ref()?.against(&l.link)));
        measured.flatten().chain(self.broken.iter().cloned()).collect()
    }

    /// Ends helpers and removes namespaces; targets must be gone by now.
    ///
    /// # Errors
    /// When the guard is gone, or a part cannot be removed.
    pub async fn undo(&mut self, guard: &Guard) -> Result<(), Error> {
        let mut first: Result<(), Error> = Ok(());
        for laid in self.links.iter().filter(|l| l.helpers.iter().any(|h| h.exited().is_some())) {
            self.broken.push(format!("the helper of link `{}` ended unexpectedly: packets were lost since then", laid.link.name));
        }
        for helper in self.links.iter_mut().flat_map(|l| std::mem::take(&mut l.helpers)) {
            let stopped = guard.stop(&helper, Signal::Kill, Duration::ZERO).await;
            first = first.and(stopped.map(drop).map_err(Error::from));
        }
        let lines = std::mem::take(&mut self.lines);
        if !lines.is_empty() {
            let lift = move || {
                lines.iter().for_each(links::lift);
                Ok(())
            };
            blocking(&self.busy, lift).await?;
        }
        // Each part is undone even if others fail; only removed parts are taken off the list.
        let namespaces = std::mem::take(&mut self.namespaces);
        let undone =
            blocking(&self.busy, move || Ok(namespaces.into_iter().map(|name| (links::undo(&name), name)).collect::<Vec<_>>()));
        for (undone, name) in undone.await? {
            let taken_off = match undone {
                Ok(()) => guard.release(&links::names::path(&name)).map_err(Error::from),
                Err(error) => Err(error.into()),
            };
            first = first.and(taken_off);
        }
        first
    }

    /// Whether a target's ports are those of this machine, and not of its own network namespace.
    pub fn is_here(&self, target: &str) -> bool {
        self.namespace(target).is_none()
    }
}

/// Does slow work on a separate thread, one piece after the other.
async fn blocking<T: Send + 'static>(
    busy: &Arc<Mutex<()>>,
    work: impl FnOnce() -> Result<T, links::Error> + Send + 'static,
) -> Result<T, links::Error> {
    let busy = Arc::clone(busy);
    let guarded = move || {
        let _busy = busy.lock().unwrap_or_else(PoisonError::into_inner);
        work()
    };
    match tokio::task::spawn_blocking(guarded).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Starts a helper and waits for its first line.
async fn start(helper: &links::make::Helper, link: &Link, guard: &Guard, logs: &Path) -> Result<(Process, String), Error> {
    let failed = |reason: String| Error::LinkHelper { link: link.name.clone(), reason };
    let runner = std::env::current_exe().map_err(|e| failed(e.to_string()))?;
    let [out, err] = ["out", "err"].map(|kind| logs.join(format!("link-{}.{kind}", link.name)));
    let argv = [runner.display().to_string()].into_iter().chain(helper.argv.clone()).collect();
    let env = vec![guard.marker(Kind::Link, &link.name, 0)];
    let spec = ProcessSpec { namespace: helper.namespace.as_deref(), ..ProcessSpec::new(argv, env, [&out, &err]) };
    let process = guard.spawn(spec).await?;
    let begun = Instant::now();
    loop {
        if let Some(line) = first_line(&out, helper.ready) {
            return Ok((process, line));
        }
        if let Some(exit) = process.exited() {
            let said = std::fs::read_to_string(&err).unwrap_or_default();
            return Err(failed(format!("it {exit}: {}", said.trim())));
        }
        if begun.elapsed() > PATIENCE {
            return Err(failed("it did not become ready".to_owned()));
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn first_line(path: &Path, ready: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.split_once('\n')?.0;
    line.starts_with(ready).then(|| line.to_owned())
}
