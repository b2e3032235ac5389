//! Directs repetitions that several machines execute together.
//!
//! Each machine executes its part of the story (`part`) and records it; here is decided when all of them go on, and at which instant
//! the load starts. `parts` makes one result of theirs. What one machine cannot do fails the repetition on all of them; a machine
//! that is gone is started again, and the repetition executed again, at most [`TRIES`] times in all.

mod parts;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, mpsc};

use super::actions::Found;
use super::error::Error;
use super::interrupt::Interrupt;
use super::network::Network;
use super::part::Point;
use super::progress::Progress;
use hosts::{Agent, Clock, Ended, Event, File, Here, Launch, Lifetimes, Offset, Passed, Scenario, Sent, ToAgent, ToController};
use links::Machine;
use plan::order::{Turn, seed_of};
use plan::{Cell, Plan};
use record::RunDirectory;
use record::status::Status;
use supervise::Guard;
use vocabulary::errors::tell;
use vocabulary::units::human_bytes;

use parts::Recorded;

/// How often a repetition is tried of which a machine was lost.
pub const TRIES: usize = 3;
/// How long a log-in and the first words of an agent may take.
const LOG_IN: Duration = Duration::from_secs(40);
/// How long a machine may take to make a plan, once it has the scenario.
const PLANNING: Duration = Duration::from_secs(60);
/// How long machines may take to end a repetition that has failed.
const ENDING: Duration = Duration::from_secs(60);
/// How much longer than the others a machine may take to reach a point, besides what its targets and steps may take: connections are
/// made, passes are checked and figures collected in this time.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long steps may take.
const STEPS: Duration = Duration::from_secs(3600);
/// From the decision to the start of the load, besides the longest way to a machine: enough to be heard in time.
const MARGIN: Duration = Duration::from_millis(2);
/// How long a machine that is gone is waited for, and the first pause between two attempts to start its agent.
const COMES_BACK: Duration = Duration::from_secs(30);
const BREATH: Duration = Duration::from_secs(1);
/// How long the program of an agent that is gone may take to end.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// The exit code of a shell that does not find a program.
const NO_PROGRAM: i32 = 127;
/// So much of a folder that a scenario names is brought to other machines.
const MOST_FILES: usize = 10_000;
const MOST_BYTES: u64 = 256 << 20;
/// How long an agent may take to end when nothing is asked of it any more.
const GOOD_BYE: Duration = Duration::from_secs(5);

/// A machine of the run, and how its agent is started.
#[derive(Clone, Debug)]
pub struct Member {
    /// How its agent is started.
    pub launch: Launch,
    /// What it is told of the run.
    pub scenario: Scenario,
    /// Files that it needs.
    pub files: Vec<File>,
    /// The namespace that it is, if it is one: links can be laid on its line.
    pub machine: Option<Machine>,
}

/// Directs the machines of a run.
#[derive(Debug)]
pub struct Conductor {
    /// All machines.
    pub members: Vec<Member>,
    /// The SHA-1 of this executable: agents must be the same.
    hash: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    agents: Vec<Option<Agent>>,
    here: Vec<Option<Here>>,
    /// For each machine that has made its plan, the cells that it skips.
    planned: Vec<Option<Vec<(usize, String)>>>,
    /// The number of the next agent: events of earlier ones do not concern anybody.
    next: u64,
    /// Kept, so that the channel of events never ends.
    events: mpsc::UnboundedSender<(u64, Event)>,
    heard: mpsc::UnboundedReceiver<(u64, Event)>,
}

impl State {
    /// The next event of an agent that is still there, with the number of its machine.
    async fn event(&mut self) -> (usize, Event) {
        loop {
            let Some((of, event)) = self.heard.recv().await else { return std::future::pending().await };
            let machine = self.agents.iter().position(|agent| agent.as_ref().is_some_and(|agent| agent.number == of));
            if let Some(machine) = machine {
                return (machine, event);
            }
        }
    }
}

/// What is needed of a run to direct a repetition of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Directed<'a> {
    pub plan: &'a Plan,
    pub guard: &'a Guard,
    pub directory: &'a RunDirectory,
    pub interrupt: &'a Interrupt,
    pub progress: &'a Progress,
    /// What set-up steps around repetitions have found.
    pub found: &'a Found,
}

/// What became of a try.
enum Tried {
    Done(Box<Status>),
    /// A machine is gone: its number, and why.
    Lost(usize, String),
}

/// A machine in a repetition.
struct Taking {
    number: usize,
    before: Option<Offset>,
    after: Option<Offset>,
    passes: u64,
    ended: Option<Ended>,
    /// Since when it waits at a point.
    reached: Option<Reached>,
}

/// A point at which a machine waits.
struct Reached {
    point: Point,
    since: Instant,
    sent: Vec<Sent>,
    span: Option<(u64, u64)>,
    found: Found,
}

/// What brought a repetition down.
struct Broken {
    /// The machine.
    number: usize,
    why: String,
    /// Whether it is gone: then the repetition is executed again.
    is_lost: bool,
}

impl Conductor {
    /// For some machines; nothing is started yet.
    pub fn new(members: Vec<Member>, hash: String) -> Self {
        let (events, heard) = mpsc::unbounded_channel();
        let count = members.len();
        let state = State {
            agents: (0..count).map(|_| None).collect(),
            here: vec![None; count],
            planned: vec![None; count],
            next: 0,
            events,
            heard,
        };
        Self { members, hash, state: Mutex::new(state) }
    }

    /// Starts all agents, and gives them the scenario. Returns what they are, and for each cell that cannot be executed on one of
    /// them why.
    ///
    /// # Errors
    /// [`Error::Elsewhere`] with the first machine that is not ready.
    pub async fn start(&self, interrupt: &Interrupt) -> Result<(Vec<Here>, BTreeMap<usize, String>), Error> {
        let mut state = self.state.lock().await;
        let complete = tokio::select! {
            biased;
            () = interrupt.asked(1) => return Err(Error::Interrupted),
            complete = self.complete(&mut state) => complete,
        };
        complete.map_err(|(number, why)| self.elsewhere(number, why))?;
        let mut skipped = BTreeMap::new();
        for (member, cells) in self.members.iter().zip(&state.planned) {
            for (cell, why) in cells.iter().flatten() {
                skipped.entry(*cell).or_insert_with(|| format!("{}: {why}", member.launch.name));
            }
        }
        Ok((state.here.iter().flatten().cloned().collect(), skipped))
    }

    /// Ends all agents; each clears up on its machine.
    pub async fn end(&self) {
        let mut state = self.state.lock().await;
        let agents: Vec<Agent> = state.agents.iter_mut().filter_map(Option::take).collect();
        agents.iter().for_each(|agent| agent.say(&ToAgent::Stop));
        for agent in agents {
            let _ = tokio::task::spawn_blocking(move || agent.end(GOOD_BYE)).await;
        }
    }

    /// Lets all machines stop the targets whose lifetime is over.
    ///
    /// # Errors
    /// The first machine where that is not possible.
    pub(super) async fn end_lifetimes(&self, over: Lifetimes, interrupt: &Interrupt) -> Result<(), Error> {
        let mut state = self.state.lock().await;
        let mut waiting: Vec<usize> = Vec::new();
        for (number, agent) in state.agents.iter().enumerate() {
            if let Some(agent) = agent {
                agent.say(&ToAgent::EndLifetimes(over));
                waiting.push(number);
            }
        }
        let until = tokio::time::Instant::now() + ENDING;
        let mut failed = None;
        while !waiting.is_empty() {
            let (number, event) = tokio::select! {
                event = state.event() => event,
                () = interrupt.asked(2) => return Err(Error::Interrupted),
                () = tokio::time::sleep_until(until) => return Err(self.elsewhere(waiting[0], "its targets do not stop".to_owned())),
            };
            match event {
                Event::Said(ToController::LifetimesEnded { why }) => {
                    waiting.retain(|waiting| *waiting != number);
                    failed = failed.or(why.map(|why| self.elsewhere(number, why)));
                }
                Event::Gone(why) => {
                    // Its guard has ended what it had.
                    self.lost(&mut state, number, &why);
                    waiting.retain(|waiting| *waiting != number);
                }
                Event::Said(ToController::Tell { words }) => self.tell(number, &words),
                _ => {}
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Executes a repetition on all machines that have a part in it, and makes its result durable.
    ///
    /// # Errors
    /// [`Error::Elsewhere`] if a machine was lost again and again: there is no result then.
    pub(super) async fn repetition(&self, directed: &Directed<'_>, turn: Turn) -> Result<Status, Error> {
        let mut state = self.state.lock().await;
        let mut lost: Vec<String> = Vec::new();
        loop {
            let tries = lost.len() + 1;
            self.wait_for_all(&mut state, directed.interrupt).await?;
            let (number, why) = match self.attempt(&mut state, directed, turn, &lost).await? {
                Tried::Done(status) => return Ok(*status),
                Tried::Lost(number, why) => (number, why),
            };
            if directed.interrupt.count() > 0 {
                return Err(Error::Interrupted);
            }
            let name = &self.members[number].launch.name;
            if tries == TRIES {
                return Err(self.elsewhere(number, format!("it was lost {TRIES} times, the last time: {why}")));
            }
            tell(format_args!("warning: {name} is lost: {why}; the repetition is executed again ({} of {TRIES})", tries + 1));
            lost.push(format!("{name} was lost: {}", why.lines().next().unwrap_or_default()));
        }
    }

    /// Starts the agents that are missing, again and again for a while: a machine or a network may come back.
    ///
    /// # Errors
    /// [`Error::NoMachine`] if one does not.
    async fn wait_for_all(&self, state: &mut State, interrupt: &Interrupt) -> Result<(), Error> {
        let (until, mut pause) = (tokio::time::Instant::now() + COMES_BACK, BREATH);
        loop {
            let complete = tokio::select! {
                biased;
                () = interrupt.asked(1) => return Err(Error::Interrupted),
                complete = self.complete(state) => complete,
            };
            let Err((number, why)) = complete else { return Ok(()) };
            if tokio::time::Instant::now() + pause > until {
                return Err(Error::NoMachine { host: self.members[number].launch.name.clone(), why });
            }
            tokio::select! { () = interrupt.asked(1) => {}, () = tokio::time::sleep(pause) => {} }
            pause *= 2;
        }
    }

    /// Starts the agents that are missing.
    ///
    /// # Errors
    /// The number of the first machine that is not ready, and why.
    async fn complete(&self, state: &mut State) -> Result<(), (usize, String)> {
        // One that has not made its plan was interrupted by the loss of another: it starts anew, too.
        for number in 0..self.members.len() {
            if state.planned[number].is_none() {
                if state.agents[number].is_some() {
                    self.lost(state, number, "");
                }
                let agent = Agent::start(&self.members[number].launch, state.next, &state.events);
                state.next += 1;
                state.agents[number] = Some(agent.map_err(|error| (number, vocabulary::errors::chain(&error)))?);
            }
        }
        let mut until = tokio::time::Instant::now() + LOG_IN;
        // First all say what they are; then each gets the scenario.
        while let Some(missing) = state.planned.iter().position(Option::is_none) {
            let (number, event) = tokio::select! {
                event = state.event() => event,
                () = tokio::time::sleep_until(until) => {
                    self.lost(state, missing, "");
                    return Err((missing, "it takes too long to start".to_owned()));
                }
            };
            match event {
                Event::Said(ToController::Here(here)) => {
                    if here.hash != self.hash {
                        let short = |hash: &str| hash.chars().take(8).collect::<String>();
                        let why = format!(
                            "its runner is another one (version {}, SHA-1 {}…, here {}…): install the same, or let `--bring` copy it",
                            here.version,
                            short(&here.hash),
                            short(&self.hash)
                        );
                        self.lost(state, number, "");
                        return Err((number, why));
                    }
                    state.here[number] = Some(*here);
                    let member = &self.members[number];
                    if let Some(agent) = &state.agents[number] {
                        agent.send(member.files.clone(), &ToAgent::Scenario(Box::new(member.scenario.clone())));
                    }
                    until = tokio::time::Instant::now() + PLANNING;
                }
                Event::Said(ToController::Planned { skipped }) => state.planned[number] = Some(skipped),
                Event::Said(ToController::Refused { why }) => {
                    self.lost(state, number, "");
                    return Err((number, why));
                }
                Event::Said(ToController::Tell { words }) => self.tell(number, &words),
                Event::Gone(why) => {
                    let why = self.lost(state, number, &why);
                    return Err((number, why));
                }
                Event::Said(_) | Event::Compared => {}
            }
        }
        Ok(())
    }

    /// Forgets an agent that is gone; returns why, with its last words.
    fn lost(&self, state: &mut State, number: usize, why: &str) -> String {
        state.planned[number] = None;
        let Some(agent) = state.agents[number].take() else { return why.to_owned() };
        let errors = agent.errors();
        // Its program may wait for a network that is gone.
        let status = agent.end(LAST_WORDS).filter(|status| !status.success());
        let ended = status.map_or_else(String::new, |status| format!(" ({status})"));
        let said = if errors.is_empty() { String::new() } else { format!("; it said:\n{errors}") };
        let hint = match status.and_then(|status| status.code()) {
            Some(NO_PROGRAM) => "\ninstall runner there, or let `--bring` copy it there for this run",
            _ => "",
        };
        format!("{why}{ended}{said}{hint}")
    }

    fn elsewhere(&self, number: usize, why: String) -> Error {
        Error::Elsewhere { host: self.members[number].launch.name.clone(), why }
    }

    fn tell(&self, number: usize, words: &str) {
        tell(format_args!("{}: {words}", self.members[number].launch.name));
    }

    /// One try of a repetition.
    async fn attempt(&self, state: &mut State, directed: &Directed<'_>, turn: Turn, lost: &[String]) -> Result<Tried, Error> {
        let begun = Instant::now();
        let Directed { plan, guard, directory, interrupt, progress, found } = *directed;
        let cell = &plan.cells[turn.cell];
        let mut writer = directory.repetition(cell, turn.repetition, None)?;
        let folder = |number: usize| writer.directory().join(format!(".part{number}"));
        let folders: BTreeMap<usize, PathBuf> = (0..self.members.len()).map(|number| (number, folder(number))).collect();
        let taking = self.members.iter().enumerate().filter(|(_, member)| cell.needs_host(member.scenario.role.as_deref()));
        let mut taking: Vec<Taking> = taking
            .map(|(number, _)| Taking { number, before: None, after: None, passes: 0, ended: None, reached: None })
            .collect();
        progress.stage.set("links");
        progress.live.begin(cell.workloads.iter().map(|one| one.name.clone()), plan.window);
        let mut network = Network::default();
        let machine = |role: Option<&str>| {
            let member = self.members.iter().find(|member| member.scenario.role.as_deref() == role);
            member.and_then(|member| member.machine.clone())
        };
        if let Err(error) = network.lay(cell, guard, &writer.logs(), machine, seed_of(plan.seed, turn)).await {
            network.undo(guard).await?;
            return Err(error);
        }
        progress.stage.set("set-up");
        for one in &taking {
            if let Some(agent) = &state.agents[one.number] {
                agent.receive_into(Some(&folders[&one.number]));
                agent.say(&ToAgent::Execute { cell: turn.cell, repetition: turn.repetition, found: found.clone() });
            }
        }
        let mut direction =
            Direction { conductor: self, state, cell, progress, broken: None, start_ns: 0, ending: None, is_told: false };
        direction.follow(&mut taking, interrupt).await;
        let Direction { broken, start_ns, state, .. } = direction;
        network.undo(guard).await?;
        for one in &taking {
            if let Some(agent) = &state.agents[one.number] {
                agent.receive_into(None);
            }
        }
        if interrupt.count() > 0 {
            return Err(Error::Interrupted);
        }
        if let Some(Broken { number, why, is_lost: true }) = broken {
            return Ok(Tried::Lost(number, why));
        }
        let parts: Vec<Recorded> = taking
            .into_iter()
            .map(|one| {
                let member = &self.members[one.number];
                Recorded {
                    name: member.launch.name.clone(),
                    role: member.scenario.role.clone(),
                    machine: state.here[one.number].as_ref().map_or_else(String::new, |here| here.machine.clone()),
                    folder: folders[&one.number].clone(),
                    ended: one.ended.unwrap_or_default(),
                    before: one.before,
                    after: one.after,
                    start_ns,
                }
            })
            .collect();
        progress.stage.set("record");
        let broken = broken.map(|broken| (self.members[broken.number].launch.name.clone(), broken.why));
        let status = parts::join(plan, turn, &parts, &network, parts::Attempts { broken, lost, begun }, &mut writer)?;
        Ok(Tried::Done(Box::new(status)))
    }
}

/// A repetition while machines execute it.
struct Direction<'d> {
    conductor: &'d Conductor,
    state: &'d mut State,
    cell: &'d Cell,
    progress: &'d Progress,
    /// Which machine brought it down, and why.
    broken: Option<Broken>,
    /// When the load starts, by the controller's clock.
    start_ns: i64,
    /// When machines must have ended.
    ending: Option<tokio::time::Instant>,
    /// Whether the user's request to end was passed on.
    is_told: bool,
}

impl Direction<'_> {
    /// Until all machines have ended, or are gone.
    async fn follow(&mut self, taking: &mut [Taking], interrupt: &Interrupt) {
        while taking.iter().any(|one| one.ended.is_none() && self.state.agents[one.number].is_some()) {
            let deadline = self.deadline(taking);
            let (number, event) = tokio::select! {
                event = self.state.event() => event,
                () = interrupt.asked(1), if !self.is_told => {
                    self.is_told = true;
                    self.abandon(None, "interrupted", taking);
                    continue;
                }
                () = interrupt.asked(2) => return,
                () = at(deadline.as_ref().map(|(at, ..)| *at)) => {
                    let Some((_, number, why)) = deadline else { continue };
                    if self.ending.is_some() {
                        // It does not even end: its guard clears up when the channel ends.
                        self.conductor.lost(self.state, number, "");
                    } else {
                        self.break_down(number, why, false, taking);
                    }
                    continue;
                }
            };
            match event {
                Event::Gone(why) => {
                    let why = self.conductor.lost(self.state, number, &why);
                    if taking.iter().any(|one| one.number == number && one.ended.is_none()) {
                        self.break_down(number, why.clone(), true, taking);
                        // What others could not do meanwhile, such as reaching it, is explained by this.
                        self.broken = Some(Broken { number, why, is_lost: true });
                    }
                }
                Event::Compared => self.compared(number, taking),
                Event::Said(message) => self.heard(number, message, taking),
            }
            self.pass(taking);
        }
    }

    fn heard(&mut self, number: usize, message: ToController, taking: &mut [Taking]) {
        if let ToController::Tell { words } = &message {
            return self.conductor.tell(number, words);
        }
        let Some(one) = taking.iter_mut().find(|one| one.number == number) else { return };
        match message {
            ToController::Alive { passes, seen } => {
                one.passes = passes;
                self.progress.live.told(one.number, seen);
                let all = taking.iter().map(|one| one.passes).sum();
                self.progress.passes.store(all, std::sync::atomic::Ordering::Relaxed);
            }
            ToController::Reached { point, sent, span, found } => {
                // It is the same program, and knows no other points.
                let Some(point) = Point::of(point) else { return };
                one.reached = Some(Reached { point, since: Instant::now(), sent, span, found });
            }
            ToController::Broke { why } => self.break_down(number, why, false, taking),
            ToController::Ended(ended) => {
                let broken = ended.broken.clone();
                one.ended = Some(ended);
                // What ends by itself while others wait for it would be waited for in vain.
                let is_early = taking.iter().any(|one| one.reached.is_some());
                if let Some(why) = broken.or_else(|| is_early.then(|| "it ended the repetition early".to_owned())) {
                    self.break_down(number, why, false, taking);
                }
            }
            _ => {}
        }
    }

    /// A machine brings the repetition down.
    fn break_down(&mut self, number: usize, why: String, is_lost: bool, taking: &[Taking]) {
        self.abandon(Some(number), &why, taking);
        self.broken.get_or_insert(Broken { number, why, is_lost });
    }

    /// Tells all machines that the repetition fails, because of one of them or the user. Only what is told first counts.
    fn abandon(&mut self, number: Option<usize>, why: &str, taking: &[Taking]) {
        if self.ending.is_some() {
            return;
        }
        self.ending = Some(tokio::time::Instant::now() + ending(self.cell));
        let host = number.map(|number| self.conductor.members[number].launch.name.clone());
        for one in taking.iter().filter(|one| one.ended.is_none()) {
            if let Some(agent) = &self.state.agents[one.number] {
                agent.say(&ToAgent::Abandon { host: host.clone(), why: why.to_owned() });
            }
        }
    }

    /// When a machine has been waited for too long, which one that is, and what is missing.
    fn deadline(&self, taking: &[Taking]) -> Option<(tokio::time::Instant, usize, String)> {
        if let Some(at) = self.ending {
            let open = taking.iter().find(|one| one.ended.is_none() && self.state.agents[one.number].is_some())?;
            return Some((at, open.number, String::new()));
        }
        let missing = taking.iter().find(|one| one.reached.is_none())?;
        let waiting = taking.iter().filter_map(|one| one.reached.as_ref());
        let Reached { point, since, .. } = waiting.min_by_key(|reached| reached.since)?;
        // How long a load takes is its own matter.
        if *point == Point::LoadOver {
            return None;
        }
        let name = |one: &Taking| self.conductor.members[one.number].launch.name.as_str();
        let others: Vec<&str> = taking.iter().filter(|one| one.reached.is_some()).map(name).collect();
        let patience = patience(self.cell);
        let what = point.words();
        let why = format!("it has not completed {what} within {} s after {}", patience.as_secs(), others.join(", "));
        Some((tokio::time::Instant::from_std(*since) + patience, missing.number, why))
    }

    /// Another comparison of a machine's clock is complete.
    fn compared(&self, number: usize, taking: &mut [Taking]) {
        let Some(one) = taking.iter_mut().find(|one| one.number == number) else { return };
        let Some(offset) = self.state.agents[number].as_ref().and_then(Agent::offset) else { return };
        if self.start_ns == 0 { one.before = Some(offset) } else { one.after = Some(offset) }
    }

    /// Lets all machines go on if all wait at the same point.
    fn pass(&mut self, taking: &mut [Taking]) {
        let Some(point) = taking.first().and_then(|one| one.reached.as_ref()).map(|reached| reached.point) else { return };
        if self.ending.is_some() || !taking.iter().all(|one| one.reached.as_ref().is_some_and(|reached| reached.point == point)) {
            return;
        }
        if matches!(point, Point::Epoch | Point::Start) && taking.iter().any(|one| one.before.is_none()) {
            return;
        }
        if point == Point::Collected && taking.iter().any(|one| one.after.is_none()) {
            return;
        }
        let now_ns = Clock::default().now_ns();
        let longest_way = taking.iter().filter_map(|one| one.before).map(|offset| offset.way_ns).max().unwrap_or_default();
        let at_ns = match point {
            Point::Epoch => {
                self.progress.live.load_begins(Instant::now());
                Some(now_ns)
            }
            Point::Start => {
                self.start_ns = now_ns + MARGIN.as_nanos() as i64 + longest_way as i64;
                Some(self.start_ns)
            }
            _ => None,
        };
        let mut sent: Vec<Sent> = Vec::new();
        let spans = || taking.iter().filter_map(|one| one.reached.as_ref()?.span);
        let span = spans().map(|(from, _)| from).min().zip(spans().map(|(_, to)| to).max());
        for one in taking.iter().filter_map(|one| one.reached.as_ref()) {
            sent.resize(sent.len().max(one.sent.len()), Sent::default());
            for (sum, part) in sent.iter_mut().zip(&one.sent) {
                sum.sent += part.sent;
                sum.answered += part.answered;
                sum.elsewhere += part.elsewhere;
            }
        }
        let reached = || taking.iter().filter_map(|one| one.reached.as_ref());
        let found: Found = reached().flat_map(|reached| reached.found.clone()).collect();
        for one in taking.iter_mut() {
            one.reached = None;
            let Some(agent) = &self.state.agents[one.number] else { continue };
            let at_ns = at_ns.and_then(|at_ns| Some(at_ns + one.before?.offset_ns));
            agent.say(&ToAgent::Passed(Passed { point: point.number(), at_ns, sent: sent.clone(), span, found: found.clone() }));
            // Just before the clocks are needed, and just after the load.
            if matches!(point, Point::Verified | Point::LoadOver) {
                agent.compare_clocks();
            }
        }
        self.progress.stage.set(point.stage());
        if point == Point::Start {
            self.progress.load_began.set(Some(Instant::now() + MARGIN));
        }
    }
}

/// How much longer than others a machine may take to a point of a cell.
fn patience(cell: &Cell) -> Duration {
    let targets: Duration = cell.targets.iter().map(|target| target.ready_timeout * target.replicas.len() as u32).sum();
    PATIENCE + targets + steps(&cell.set_up) + steps(&cell.clean_up)
}

/// How long machines may take to end a repetition of a cell.
fn ending(cell: &Cell) -> Duration {
    let targets: Duration = cell.targets.iter().map(|target| target.stop_grace * target.replicas.len() as u32).sum();
    ENDING + targets + steps(&cell.clean_up)
}

fn steps(steps: &plan::Steps) -> Duration {
    if steps.repetition.is_empty() && steps.load.is_empty() { Duration::ZERO } else { STEPS }
}

/// Waits for an instant; for ever without one.
async fn at(instant: Option<tokio::time::Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// The files of a plan as its machines get them, and the folders that they need. Of folders below that of the scenario, `home`, the
/// content is brought.
///
/// # Errors
/// In words: a folder that cannot be read or holds too much.
pub fn files_of(plan: &Plan, home: &Path) -> Result<(Vec<File>, Vec<PathBuf>), String> {
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) = plan.files.iter().cloned().partition(|path| path.is_dir());
    let files = files.into_iter().filter(|path| path.is_file());
    let mut files: BTreeMap<PathBuf, PathBuf> = files.map(|path| (path.clone(), path)).collect();
    for folder in folders.iter().filter(|folder| *folder != home && folder.starts_with(home)) {
        let below =
            hosts::files_below(folder).map_err(|error| format!("cannot read the folder {}: {error}", folder.display()))?;
        let bytes: u64 = below.iter().filter_map(|file| file.from.metadata().ok()).map(|metadata| metadata.len()).sum();
        if bytes > MOST_BYTES || below.len() > MOST_FILES {
            return Err(format!(
                "the scenario names the folder {}, which has {} files of {} in all, and would be brought to other machines: expected at most \
                 {MOST_FILES} files of {}; a full path is not brought, and must be there on each machine",
                folder.display(),
                below.len(),
                human_bytes(bytes as f64),
                human_bytes(MOST_BYTES as f64)
            ));
        }
        files.extend(below.into_iter().map(|file| (folder.join(file.name), file.from)));
    }
    Ok((files.into_iter().map(|(name, from)| File { from, name }).collect(), folders))
}
