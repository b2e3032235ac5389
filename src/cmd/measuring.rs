//! A run that goes on for months: which round comes next, what is noted of the time in which nobody measures, and what becomes of
//! what is old. Decisions are pure; `execute` goes by them.

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
use crate::plan::Plan;
use crate::plan::order::{Turn, endless_round};
use crate::record::compact;
use crate::record::files::read_json;
use crate::record::gaps::{Alive, Clocks, Gap, Gaps, Watch, Why};
use crate::record::manifest::since_1970;
use crate::record::status::{Status, Verdict};
use crate::record::{Error, RunDirectory};
use crate::vocabulary::errors::{chain, tell};

/// What was asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Measuring {
    /// How long since the run began; no end by itself where there is none.
    pub time: Option<Duration>,
    /// How old a repetition becomes before its bulky parts are removed.
    pub compact_after: Option<Duration>,
}

/// The rounds that are still to come: there is always a next one.
#[derive(Debug)]
struct Rounds {
    /// What is missing of the round in which somebody ended.
    missing: Vec<Turn>,
    next: u32,
}

impl Rounds {
    /// The rounds behind those that are there.
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

/// How far the repetitions of each cell were looked at, from the oldest.
#[derive(Debug, Default)]
struct Compaction {
    next: BTreeMap<usize, u32>,
}

impl Compaction {
    /// The next repetition of a cell that is older than `age`; never the newest one. `ended`: when one ended since 1970; none of
    /// what is not there.
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

/// A run that is being measured.
pub(super) struct Session<'a> {
    plan: &'a Plan,
    directory: PathBuf,
    compact_after: Option<Duration>,
    style: Style,
    /// When it is over by the clock that goes on in a suspended machine.
    over: Option<Duration>,
    rounds: RefCell<Rounds>,
    gaps: RefCell<Gaps>,
    alive: RefCell<Option<Alive>>,
    compaction: RefCell<Compaction>,
    /// Repetitions in a row that failed.
    failures: Cell<u32>,
    /// Something could not be compacted, and that was told.
    stuck: Cell<bool>,
}

impl<'a> Session<'a> {
    /// Begins, or goes on behind what is `done`. `started`: when the run began, UTC.
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
            stuck: Cell::new(false),
        };
        if let Some(gap) = gap {
            reporter.say(&gap.words);
            session.keep(gap);
        }
        session
    }

    /// The repetitions of the next round; none when the time is over.
    pub(super) fn next_round(&self) -> Option<Vec<Turn>> {
        (!self.is_over()).then(|| self.rounds.borrow_mut().next(self.plan))
    }

    /// Whether no repetition begins any more.
    pub(super) fn is_over(&self) -> bool {
        self.over.is_some_and(|over| clocks().boot >= over)
    }

    /// Looks at the clocks every second, for ever, and says that somebody measures.
    pub(super) async fn watch(&self) -> Infallible {
        let mut watch = Watch::new(clocks());
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            for gap in watch.tick(clocks()) {
                self.tell(gap);
            }
            self.gaps.borrow_mut().write();
            if let Some(alive) = self.alive.borrow_mut().as_mut() {
                alive.touch();
            }
        }
    }

    /// A repetition ended: what is old is made small.
    pub(super) fn ended(&self, turn: Turn, status: &Status) {
        let failed = matches!(status.verdict, Verdict::Failed { .. }) && status.cut_short.is_none();
        self.failures.set(if failed { self.failures.get().saturating_add(1) } else { 0 });
        let Some(age) = self.compact_after else { return };
        let folder = self.directory.join("cells").join(&self.plan.cells[turn.cell].path);
        let ended = |number: u32| {
            let status: Status = read_json(&folder.join(format!("run{number}/status.json"))).ok()?;
            // One that was made small already is not in question.
            compact::ended(&status).filter(|_| status.compacted_at.is_none())
        };
        let mut compaction = self.compaction.borrow_mut();
        while let Some(number) = compaction.next_due(turn, clocks().wall, age, ended) {
            if let Err(error) = compact::compact(&folder.join(format!("run{number}")))
                && !self.stuck.replace(true)
            {
                tell(format_args!("warning: what is old cannot be made small: {}", chain(&error)));
            }
        }
    }

    /// How long the next repetition is put off, as those before it have failed.
    pub(super) fn pause(&self) -> Option<Duration> {
        (self.failures.get() > 0).then(|| back_off(self.failures.get()))
    }

    /// Notes a time in which nobody measured, until now.
    pub(super) fn gap(&self, from: Clocks, why: Why) {
        self.keep(Gap::between(from.wall, clocks().wall, why));
    }

    /// Says once that nothing can be written.
    pub(super) fn tell_full(&self, error: &Error, told: &mut bool) {
        if !std::mem::replace(told, true) {
            tell(format_args!("warning: {}; measuring goes on when there is room", chain(error)));
        }
    }

    /// Says that nobody measures any more, and why.
    pub(super) fn end(&self, why: &str) {
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

/// What the clocks show.
pub(super) fn clocks() -> Clocks {
    let of = |clock| {
        let time = clock_gettime(clock);
        Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
    };
    Clocks { wall: of(ClockId::Realtime), monotonic: of(ClockId::Monotonic), boot: of(ClockId::Boottime) }
}

/// Which start of the machine this is.
fn boot() -> String {
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

    /// 90 days of rounds, with a new start after every third repetition: each cell once a round, no number twice, and the same
    /// order as without.
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

    /// 90 days, a repetition each: what is older than 30 days is made small, once, and never the newest.
    #[test]
    fn what_is_old_is_made_small_day_by_day() {
        let (mut compaction, mut small) = (Compaction::default(), Vec::new());
        // The tenth is not there, the eleventh is small already.
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
        // However old: the newest stays.
        assert_eq!(Compaction::default().next_due(Turn { cell: 0, repetition: 1 }, 900 * DAY, DAY, ended), None);
    }
}
