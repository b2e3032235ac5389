//! `gaps.jsonl`: when nothing was measured although it should have been, and when the clock was set; and `measuring.json`,
//! from which the next start knows when measuring stopped.
//!
//! [`Watch`] interprets readings of the clocks; they are read elsewhere.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::files::{json_bytes, json_line, read_json, write_whole};
use super::manifest::utc;
use super::{Error, FORMAT};

/// The file with one gap per line.
pub const GAPS: &str = "gaps.jsonl";
/// The file that is touched every second.
const MEASURING: &str = "measuring.json";
/// A difference between clocks that is too large to result from reading them one after the other.
const APART: Duration = Duration::from_secs(1);

/// Why nothing was measured, or what happened to the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// The runner had been asked to end.
    Stopped,
    /// The runner was killed, or crashed.
    Killed,
    /// The machine was rebooted meanwhile.
    Reboot,
    /// The machine was suspended.
    Suspend,
    /// The clock was set: no time is missing, but the times of day before and after do not fit together.
    ClockStep,
    /// A repetition failed, and the next one was postponed.
    Failure,
    /// Targets were stopped, started and made ready between two repetitions.
    Between,
    /// The end of a load waited for what was under way.
    Drain,
    /// Nothing could be written.
    Disk,
}

impl Why {
    /// The same in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Stopped => "the runner had been asked to end",
            Self::Killed => "the runner had been killed",
            Self::Reboot => "the machine was rebooted",
            Self::Suspend => "the machine was suspended",
            Self::ClockStep => "the clock was set",
            Self::Failure => "a repetition had failed, and the next one was postponed",
            Self::Between => "it was between two repetitions",
            Self::Drain => "the end of a load waited for passes that were under way (`drain`)",
            Self::Disk => "nothing could be written",
        }
    }
}

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// When it started, UTC; for a clock step, what the clock would have shown.
    pub from: String,
    /// When it ended, UTC; for a clock step, what the clock showed.
    pub to: String,
    /// How long it was in seconds; for a clock step, by how much the clock was set, negative if backwards.
    pub seconds: f64,
    /// Why.
    pub why: Why,
    /// The same in words.
    pub words: String,
}

impl Gap {
    /// A gap between two times since 1970. A clock that was set back meanwhile makes its length negative.
    pub fn between(from: Duration, to: Duration, why: Why) -> Self {
        let seconds = to.as_secs_f64() - from.as_secs_f64();
        let seconds = (seconds * 1000.0).round() / 1000.0;
        let time = vocabulary::units::human_duration(seconds.abs() * 1e9);
        let words = match why {
            Why::ClockStep if seconds < 0.0 => format!("the clock was set back by {time}"),
            Why::ClockStep => format!("the clock was set forward by {time}"),
            why => format!("nothing was measured for {time}: {}", why.words()),
        };
        Self { from: utc(from), to: utc(to), seconds, why, words }
    }
}

/// The readings of a machine's clocks at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// Since 1970; this clock may be set.
    pub wall: Duration,
    /// A clock that stops while the machine is suspended.
    pub monotonic: Duration,
    /// A clock that does not.
    pub boot: Duration,
}

/// Finds out at each tick whether the machine slept and whether its clock was set.
#[derive(Debug)]
pub struct Watch {
    last: Clocks,
}

impl Watch {
    /// Starts watching.
    pub fn new(now: Clocks) -> Self {
        Self { last: now }
    }

    /// What happened since the last tick. Slewing is not reported: the clock only runs faster or slower.
    pub fn tick(&mut self, now: Clocks) -> Vec<Gap> {
        let last = std::mem::replace(&mut self.last, now);
        let (awake, passed) = (now.monotonic.saturating_sub(last.monotonic), now.boot.saturating_sub(last.boot));
        let mut gaps = Vec::new();
        let asleep = passed.saturating_sub(awake);
        let expected = last.wall + passed;
        if asleep > APART {
            // It fell asleep at some time since the last tick; times are by the clock as it was before it was set.
            gaps.push(Gap::between(expected - asleep, expected, Why::Suspend));
        }
        if now.wall.abs_diff(expected) > APART {
            gaps.push(Gap::between(expected, now.wall, Why::ClockStep));
        }
        gaps
    }
}

/// What is recorded about a run while it is being measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Measuring {
    format: u32,
    /// The id of this boot of the machine.
    boot: String,
    /// Why measuring was ended, once it was.
    ended: Option<String>,
}

/// The mark that measuring is in progress: touched every second, so that the time of the end is known whatever the cause.
#[derive(Debug)]
pub struct Alive {
    path: PathBuf,
    file: Option<File>,
}

impl Alive {
    /// Sets the mark in the directory of a run. `boot`: the id of this boot of the machine; `now`: since 1970. Returns the
    /// gap since measuring last took place there.
    pub fn begin(run: &Path, boot: &str, now: Duration) -> (Self, Option<Gap>) {
        let path = run.join(MEASURING);
        let gap = read_json::<Measuring>(&path).ok().and_then(|before| {
            let last = path.metadata().and_then(|m| m.modified()).ok()?.duration_since(UNIX_EPOCH).ok()?;
            let why = match &before.ended {
                Some(_) => Why::Stopped,
                None if before.boot != boot => Why::Reboot,
                None => Why::Killed,
            };
            Some(Gap::between(last, now, why))
        });
        let mut alive = Self { path, file: None };
        alive.write(boot, None);
        (alive, gap)
    }

    /// Measuring is still in progress.
    pub fn touch(&mut self) {
        // If the file cannot be made, only the next start will miss it.
        if let Some(file) = &self.file {
            let _ = file.set_modified(SystemTime::now());
        }
    }

    /// Measuring has ended, and why.
    pub fn end(mut self, boot: &str, why: &str) {
        self.write(boot, Some(why.to_owned()));
    }

    fn write(&mut self, boot: &str, ended: Option<String>) {
        let measuring = Measuring { format: FORMAT, boot: boot.to_owned(), ended };
        let written = write_whole(&self.path, &json_bytes(&measuring));
        self.file = written.ok().and_then(|()| File::options().append(true).open(&self.path).ok());
    }
}

/// Gaps on their way into the file: if there is no room on disk, writing is retried.
#[derive(Debug)]
pub struct Gaps {
    path: PathBuf,
    waiting: Vec<Gap>,
}

/// How many gaps may wait.
const MOST_WAITING: usize = 10_000;

impl Gaps {
    /// The gaps of the run in this directory.
    pub fn of(run: &Path) -> Self {
        Self { path: run.join(GAPS), waiting: Vec::new() }
    }

    /// Adds a gap, and makes it durable now if possible.
    pub fn add(&mut self, gap: Gap) {
        if self.waiting.len() < MOST_WAITING {
            self.waiting.push(gap);
        }
        self.write();
    }

    /// Retries writing what is waiting.
    pub fn write(&mut self) {
        while let Some(gap) = self.waiting.first() {
            if append(&self.path, gap).is_err() {
                return;
            }
            self.waiting.remove(0);
        }
    }
}

fn append(path: &Path, gap: &Gap) -> std::io::Result<()> {
    let mut file = File::options().append(true).create(true).open(path)?;
    let before = file.metadata()?.len();
    let written = file.write_all(&json_line(gap)).and_then(|()| file.sync_data());
    if written.is_err() {
        // Half a line would spoil the next one.
        let _ = file.set_len(before);
    }
    written
}

/// The gaps of a run, in order; none if the run was not made by `measure`. A line that is incomplete is left out.
///
/// # Errors
/// [`Error::Read`].
pub fn read(run: &Path) -> Result<Vec<Gap>, Error> {
    let path = run.join(GAPS);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = String::from_utf8_lossy(&super::files::read(&path)?).into_owned();
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(1_795_996_790);

    /// Clocks after this many seconds, of which the machine slept some, and with the clock set by the last number.
    fn clocks(passed: f64, slept: f64, set: f64) -> Clocks {
        Clocks {
            wall: Duration::from_secs_f64(START.as_secs_f64() + passed + set),
            monotonic: Duration::from_secs_f64(100.0 + passed - slept),
            boot: Duration::from_secs_f64(500.0 + passed),
        }
    }

    #[test]
    fn a_suspend_is_a_gap_and_a_step_is_told_with_its_size() {
        let mut watch = Watch::new(clocks(0.0, 0.0, 0.0));
        // A tick that is late and a clock that is slewed are not reported.
        assert_eq!(watch.tick(clocks(1.0, 0.0, 0.0)), []);
        assert_eq!(watch.tick(clocks(9.0, 0.2, 0.4)), []);
        let [gap] = &watch.tick(clocks(3610.0, 3600.2, 0.4))[..] else { panic!("one gap") };
        assert_eq!((gap.seconds, gap.why), (3600.0, Why::Suspend));
        assert_eq!((gap.from.as_str(), gap.to.as_str()), ("2026-11-30T00:00:00.4Z", "2026-11-30T01:00:00.4Z"));
        let [gap] = &watch.tick(clocks(3611.0, 3600.2, 61.4))[..] else { panic!("one step") };
        assert_eq!((gap.seconds, gap.why), (61.0, Why::ClockStep));
        assert_eq!(gap.words, "the clock was set forward by 61.0 s");
        let [gap] = &watch.tick(clocks(3612.0, 3600.2, -3538.6))[..] else { panic!("one step") };
        assert_eq!((gap.seconds, gap.why), (-3600.0, Why::ClockStep));
        // Both at once, as when a machine wakes up and asks for the time.
        let both: Vec<(f64, Why)> =
            watch.tick(clocks(7212.0, 7199.2, -3530.6)).iter().map(|gap| (gap.seconds, gap.why)).collect();
        assert_eq!(both, [(3599.0, Why::Suspend), (8.0, Why::ClockStep)]);
    }

    /// 90 days of ticks: only what happened is reported, and nothing twice.
    #[test]
    fn ninety_days_have_the_gaps_that_they_have() {
        let mut watch = Watch::new(clocks(0.0, 0.0, 0.0));
        let (mut slept, mut set, mut expected, mut found) = (0.0, 0.0, 0, Vec::new());
        let mut now = 0.0;
        while now < 90.0 * 86_400.0 {
            now += 1.0 + f64::from(now as u32 % 7) / 100.0;
            // A clock that is off by 50 parts in a million and is slewed all the time.
            set += 50e-6;
            let day = (now / 86_400.0) as u32;
            if expected < day {
                expected = day;
                match day % 3 {
                    0 => set -= 30.0,
                    1 => (now, slept) = (now + 28_800.0, slept + 28_800.0),
                    _ => {}
                }
            }
            found.extend(watch.tick(clocks(now, slept, set)));
        }
        let of = |why| found.iter().filter(|gap| gap.why == why).count();
        assert_eq!((of(Why::Suspend), of(Why::ClockStep), found.len()), (30, 30, 60));
    }

    #[test]
    fn the_next_start_knows_since_when() {
        let folder = tempfile::tempdir().unwrap();
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let later = || now() + Duration::from_secs(50);
        let (mut alive, gap) = Alive::begin(folder.path(), "one", now());
        assert_eq!(gap, None);
        alive.touch();
        let (alive, gap) = Alive::begin(folder.path(), "one", later());
        let gap = gap.expect("a gap");
        assert!(gap.why == Why::Killed && (49.0..52.0).contains(&gap.seconds), "{gap:?}");
        drop(alive);
        let (alive, gap) = Alive::begin(folder.path(), "two", later());
        assert_eq!(gap.map(|gap| gap.why), Some(Why::Reboot));
        alive.end("two", "interrupted");
        let (_, gap) = Alive::begin(folder.path(), "three", later());
        assert_eq!(gap.map(|gap| gap.why), Some(Why::Stopped));
    }

    #[test]
    fn gaps_are_read_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let gap = Gap::between(START, START + Duration::from_millis(2500), Why::Disk);
        let missing = folder.path().join("missing");
        let mut gaps = Gaps::of(&missing);
        gaps.add(gap.clone());
        std::fs::create_dir(&missing).unwrap();
        gaps.add(gap.clone());
        assert_eq!(read(&missing).unwrap(), [gap.clone(), gap]);
        assert_eq!(read(folder.path()).unwrap(), []);
    }
}
