//! A run that lasts for months: which round comes next, how time without measuring is recorded, and what happens to old
//! repetitions. Decisions are pure; `execute` follows them.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

use super::print_data;
use super::progress::{Reporter, Style};
use crate::executor::revive::back_off;
use crate::executor::{Epoch, LoadMark};
use crate::plan::Plan;
use crate::plan::order::{Turn, endless_round};
use crate::record::compact;
use crate::record::files::read_json;
use crate::record::gaps::{Alive, Clocks, Gap, Gaps, Watch, Why};
use crate::record::manifest::since_1970;
use crate::record::status::{Status, Verdict};
use crate::record::{Error, RunDirectory};
use crate::vocabulary::errors::{chain, tell};

/// What was requested.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Measuring {
    /// How long the run lasts, counted from its start; `None`: it has no end.
    pub time: Option<Duration>,
    /// The age at which the bulky parts of a repetition are removed.
    pub compact_after: Option<Duration>,
}

/// The rounds that are still to come: there is always a next one.
#[derive(Debug)]
struct Rounds {
    /// The repetitions missing from the round in which the run was stopped.
    missing: Vec<Turn>,
    next: u32,
}

impl Rounds {
    /// The rounds after those that exist.
    fn after(plan: &Plan, done: &BTreeSet<Turn>) -> Self {
        let last = done.iter().map(|turn| turn.repetition).max().unwrap_or_default();
        let mut missing = if last == 0 { Vec::new() } else { endless_round(plan, last) };
        missing.retain(|turn| !done.contains(turn));
        Self { missing, next: last + 1 }
    }

    fn next(&mut self, plan: &Plan) -> Vec<Turn> {
        if !self.missing.is_empty() {
            return std::mem::take(&mut self.missing);
        }
        let number = self.next;
        self.next = number.saturating_add(1);
        endless_round(plan, number)
    }
}

/// How far the repetitions of each cell were checked, from the oldest.
#[derive(Debug, Default)]
struct Compaction {
    next: BTreeMap<usize, u32>,
}

impl Compaction {
    /// The next repetition of a cell that is older than `age`; never the newest one. `ended`: when a repetition ended, since
    /// 1970; `None` if it does not exist.
    fn next_due(
        &mut self,
        newest: Turn,
        now: Duration,
        age: Duration,
        mut ended: impl FnMut(u32) -> Option<Duration>,
    ) -> Option<u32> {
        let next = self.next.entry(newest.cell).or_insert(1);
        while *next < newest.repetition {
            match ended(*next) {
                Some(at) if !compact::is_due(at, now, age) => return None,
                Some(_) => {
                    *next += 1;
                    return Some(*next - 1);
                }
                None => *next += 1,
            }
        }
        None
    }
}

/// A longer time between two loads is a gap.
const BETWEEN: Duration = Duration::from_secs(5);

/// A time in which nothing is sent.
#[derive(Clone, Copy, Debug)]
struct Idle {
    since: Epoch,
    why: Why,
    /// Nothing was measured before: the start of a run is not a gap, unless it fails.
    is_start: bool,
}

impl Idle {
    /// The gap that ends at an instant, if it is long enough to be one.
    fn until(self, at: Epoch) -> Option<Gap> {
        let length = at.instant.saturating_duration_since(self.since.instant);
        // By the clock at its end: the clock may have been set meanwhile, or the machine suspended; the two are
        // distinguished.
        let gap = || Gap::between(at.unix.saturating_sub(length), at.unix, self.why);
        (length > BETWEEN && !self.is_start).then(gap)
    }
}

/// A run that is being measured.
pub(super) struct Session<'a> {
    plan: &'a Plan,
    directory: PathBuf,
    compact_after: Option<Duration>,
    style: Style,
    /// When the run is over, by the clock that keeps running while the machine is suspended.
    over: Option<Duration>,
    rounds: RefCell<Rounds>,
    gaps: RefCell<Gaps>,
    alive: RefCell<Option<Alive>>,
    compaction: RefCell<Compaction>,
    /// Repetitions in a row that failed.
    failures: Cell<u32>,
    /// Since when nothing has been sent; `None` during a load.
    idle: Cell<Option<Idle>>,
    /// Whether it was already reported that something could not be compacted.
    stuck: Cell<bool>,
}

impl<'a> Session<'a> {
    /// Starts, or continues after what is `done`. `started`: when the run started, UTC.
    pub(super) fn begin(
        asked: Measuring,
        plan: &'a Plan,
        directory: &RunDirectory,
        done: &BTreeSet<Turn>,
        started: &str,
        reporter: &Reporter,
        style: Style,
    ) -> Self {
        let now = clocks();
        let (alive, gap) = Alive::begin(&directory.path, &boot(), now.wall);
        let used = since_1970(started).map_or(Duration::ZERO, |began| now.wall.saturating_sub(began));
        let over = asked.time.map(|time| now.boot + time.saturating_sub(used));
        let session = Self {
            plan,
            directory: directory.path.clone(),
            compact_after: asked.compact_after,
            style,
            over,
            rounds: RefCell::new(Rounds::after(plan, done)),
            gaps: RefCell::new(Gaps::of(&directory.path)),
            alive: RefCell::new(Some(alive)),
            compaction: RefCell::default(),
            failures: Cell::new(0),
            idle: Cell::new(Some(Idle { since: Epoch::now(), why: Why::Between, is_start: done.is_empty() })),
            stuck: Cell::new(false),
        };
        if let Some(gap) = gap {
            reporter.say(&gap.words);
            session.keep(gap);
        }
        session
    }

    /// The repetitions of the next round; `None` when the time is up.
    pub(super) fn next_round(&self) -> Option<Vec<Turn>> {
        (!self.is_over()).then(|| self.rounds.borrow_mut().next(self.plan))
    }

    /// Whether no more repetitions start.
    pub(super) fn is_over(&self) -> bool {
        self.over.is_some_and(|over| clocks().boot >= over)
    }

    /// Looks at the clocks every second, for ever, and records that a measurement is running, while one is.
    pub(super) async fn watch(&self, marks: &RefCell<Vec<LoadMark>>) -> Infallible {
        let mut watch = Watch::new(clocks());
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            for gap in watch.tick(clocks()) {
                self.tell(gap);
            }
            self.note(marks);
            self.gaps.borrow_mut().write();
            // Nothing is measured between two loads: a runner killed there stopped measuring at the end of the last
            // load.
            if self.idle.get().is_none() {
                self.touch();
            }
        }
    }

    fn touch(&self) {
        if let Some(alive) = self.alive.borrow_mut().as_mut() {
            alive.touch();
        }
    }

    /// Records when loads started and ended. The time between two of them is a gap, unless it is short.
    pub(super) fn note(&self, marks: &RefCell<Vec<LoadMark>>) {
        for mark in std::mem::take(&mut *marks.borrow_mut()) {
            match mark {
                LoadMark::Began(at) => {
                    let gap = self.idle.take().and_then(|idle| idle.until(at));
                    gap.into_iter().for_each(|gap| self.tell(gap));
                }
                LoadMark::Ended(since, waited) => {
                    let why = if waited > BETWEEN { Why::Drain } else { Why::Between };
                    self.idle.set(Some(Idle { since, why, is_start: false }));
                }
            }
            self.touch();
        }
    }

    /// What keeps the next load from starting.
    pub(super) fn is_idle_because(&self, why: Why) {
        let idle = self.idle.get().map(|idle| Idle { why, is_start: false, ..idle });
        self.idle.set(idle);
    }

    /// A repetition ended: old ones are compacted.
    pub(super) fn ended(&self, turn: Turn, status: &Status) {
        let failed = matches!(status.verdict, Verdict::Failed { .. }) && status.cut_short.is_none();
        self.failures.set(if failed { self.failures.get().saturating_add(1) } else { 0 });
        if failed {
            self.is_idle_because(Why::Failure);
        }
        let Some(age) = self.compact_after else { return };
        let folder = self.directory.join("cells").join(&self.plan.cells[turn.cell].path);
        let ended = |number: u32| {
            let status: Status = read_json(&folder.join(format!("run{number}/status.json"))).ok()?;
            // A repetition that was compacted already is left out.
            compact::ended(&status).filter(|_| status.compacted_at.is_none())
        };
        let mut compaction = self.compaction.borrow_mut();
        while let Some(number) = compaction.next_due(turn, clocks().wall, age, ended) {
            if let Err(error) = compact::compact(&folder.join(format!("run{number}")))
                && !self.stuck.replace(true)
            {
                tell(format_args!("warning: old repetitions cannot be compacted: {}", chain(&error)));
            }
        }
    }

    /// How long the next repetition is delayed because those before it have failed.
    pub(super) fn pause(&self) -> Option<Duration> {
        (self.failures.get() > 0).then(|| back_off(self.failures.get()))
    }

    /// Reports once that nothing can be written.
    pub(super) fn tell_full(&self, error: &Error, told: &mut bool) {
        if !std::mem::replace(told, true) {
            tell(format_args!("warning: {}; measuring continues when there is space", chain(error)));
        }
    }

    /// Records that measuring has ended, and why.
    pub(super) fn end(&self, why: &str) {
        let gap = self.idle.take().and_then(|idle| idle.until(Epoch::now()));
        gap.into_iter().for_each(|gap| self.tell(gap));
        self.gaps.borrow_mut().write();
        if let Some(alive) = self.alive.borrow_mut().take() {
            alive.end(&boot(), why);
        }
    }

    fn tell(&self, gap: Gap) {
        if self.style == Style::People {
            tell(&gap.words);
        }
        self.keep(gap);
    }

    fn keep(&self, gap: Gap) {
        if self.style == Style::Json {
            print_data(&format!("{}\n", json!({"event": "gap", "gap": gap})));
        }
        self.gaps.borrow_mut().add(gap);
    }
}

/// The current times of the clocks.
pub(super) fn clocks() -> Clocks {
    let of = |clock| {
        let time = clock_gettime(clock);
        Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
    };
    Clocks { wall: of(ClockId::Realtime), monotonic: of(ClockId::Monotonic), boot: of(ClockId::Boottime) }
}

/// Identifies the current boot of the machine.
pub(super) fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan_read::{Document, Options, build};

    const DAY: Duration = Duration::from_secs(86_400);

    fn plan() -> Plan {
        let text = "
experiment: test
factors: {n: [1, 2, 3]}
workloads:
  clients: {url: 'http://127.0.0.1:1', load: {closed: {connections: '${n}'}, duration: 1d}, steps: [{get: /}]}
";
        let document = Document::inline("test.yaml", text).expect("it is YAML");
        build(&document, &Options { repetitions: Some(1), ..Options::default() }, 7).expect("it has no mistakes")
    }

    /// 90 days of rounds, with a new start after every third repetition: each cell occurs once per round, no number occurs twice,
    /// and the order is the same as without new starts.
    #[test]
    fn rounds_go_on_behind_what_is_there_whenever_somebody_starts() {
        let plan = plan();
        let mut at_once = Rounds::after(&plan, &BTreeSet::new());
        let all: Vec<Turn> = (0..90).flat_map(|_| at_once.next(&plan)).collect();
        let mut done = BTreeSet::new();
        let mut executed: Vec<Turn> = Vec::new();
        while executed.len() < all.len() {
            let mut rounds = Rounds::after(&plan, &done);
            let first = rounds.next(&plan).into_iter();
            for turn in first.chain(rounds.next(&plan)).take(2) {
                assert!(done.insert(turn), "{turn:?} twice");
                executed.push(turn);
            }
        }
        assert_eq!(executed[..all.len()], all);
        for (number, round) in all.chunks(3).enumerate() {
            let cells: BTreeSet<usize> = round.iter().map(|turn| turn.cell).collect();
            assert!(cells.len() == 3 && round.iter().all(|turn| turn.repetition as usize == number + 1), "{round:?}");
        }
        let orders: BTreeSet<Vec<usize>> = all.chunks(3).map(|round| round.iter().map(|turn| turn.cell).collect()).collect();
        assert_eq!(orders.len(), 6, "the order is another one from round to round");
    }

    /// 90 days with a repetition each: repetitions older than 30 days are compacted, once, and never the newest one.
    #[test]
    fn what_is_old_is_made_small_day_by_day() {
        let (mut compaction, mut small) = (Compaction::default(), Vec::new());
        // The tenth does not exist.
        let ended = |number: u32| (number != 10).then(|| DAY * number);
        for day in 1..=90_u32 {
            let newest = Turn { cell: 0, repetition: day };
            // A new start on day 50 looks at all of them again.
            if day == 50 {
                compaction = Compaction::default();
                small.clear();
            }
            while let Some(number) = compaction.next_due(newest, DAY * day, 30 * DAY, ended) {
                small.push(number);
            }
            let behind = small.last().map_or(1, |last| last + 1);
            let oldest_kept = if behind == 10 { 11 } else { behind };
            assert!(day < 31 || day - oldest_kept <= 30, "day {day}: {small:?}");
        }
        let expected: Vec<u32> = (1..60).filter(|number| *number != 10).collect();
        assert_eq!(small, expected);
        // The newest one stays, however old it is.
        assert_eq!(Compaction::default().next_due(Turn { cell: 0, repetition: 1 }, 900 * DAY, DAY, ended), None);
    }
}
