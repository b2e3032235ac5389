//! The thread that reads everything on a fixed grid of instants.
//!
//! Each tick reads the host, and the cheap values of every replica: state, times, threads, resident size. Two things are
//! expensive, and done as far as the allowance permits, the longest overdue first:
//! - a *survey* of a replica, every fifth tick: new members of its tree, peak, open files, context switches, storage; and a
//!   survey of the adopter: orphans that it adopted;
//! - its proportional set size (PSS), every tick if possible. The kernel walks all mapped pages for it: about 35 µs for
//!   `sleep`, 330 µs for a small Python program, 15 ms for 1 GiB, and several times that with cold caches. A value that was
//!   not read is `None` in the sample; nothing is interpolated.
//!
//! The allowance is a share of one core ([`Settings::share`]) and covers all readings. Surveys come first; the rest is for
//! PSS. The first tick of a replica is read in full whatever it costs, and paid for afterwards. When the cheap readings
//! alone exceed the share – from some sixty processes, or a thousand threads – they continue nevertheless, and the expensive
//! ones keep a tenth of the share: the limit is exceeded then, and [`SamplerReport`] shows it.
//!
//! One file per watched process stays open: the limit on open files must leave room for them. Where it does not, samples are
//! marked as incomplete.

use std::{
    panic,
    path::Path,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::{
    param,
    time::{ClockId, clock_gettime},
};

use super::{
    Error,
    allowance::Allowance,
    files,
    host::Host,
    outbox::Outbox,
    replica::{Reader, Replica, Watched},
    sample::Observation,
    tree::{self, ChildLookup},
};
use vocabulary::queue::Sent;

/// How to observe.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Time between two ticks; at least one millisecond.
    pub interval: Duration,
    /// The subreaper that adopts orphans of the targets, see [`tree::members`].
    pub adopter: Option<u32>,
    /// The share of one core that the sampler may use.
    pub share: f64,
    /// How many files it may hold open, one for each process. Samples of further processes are marked as incomplete.
    pub most_files: usize,
}

impl Default for Settings {
    /// Every 100 ms, no adopter, and 0.95 % of a core: a little below the documented 1 %.
    fn default() -> Self {
        Self { interval: Duration::from_millis(100), adopter: None, share: 0.0095, most_files: usize::MAX }
    }
}

/// The work and the cost of the sampler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SamplerReport {
    /// Samples that were made, including those for which there was no room.
    pub samples: u64,
    /// Samples of a replica without its proportional set size.
    pub samples_without_pss: u64,
    /// Samples of a replica that are incomplete for lack of descriptors or memory, and those for which the recorder had no
    /// room.
    pub incomplete_samples: u64,
    /// Ticks that were done.
    pub ticks: u64,
    /// Ticks that started later than planned by more than a tenth of the interval.
    pub late_ticks: u64,
    /// Ticks that were skipped because the previous one was not done in time.
    pub skipped_ticks: u64,
    /// The longest time that was skipped at once.
    pub longest_gap_ns: u64,
    /// Processor time of the sampler's thread.
    pub cpu_ns: u64,
    /// Time from start to stop; `cpu_ns / elapsed_ns` is the share of a core that was used.
    pub elapsed_ns: u64,
}

/// A running sampler. It ends with [`Sampler::stop`], or when it is dropped, or when its messages are no longer received.
#[derive(Debug)]
pub struct Sampler {
    commands: Sender<Command>,
    thread: JoinHandle<SamplerReport>,
}

#[derive(Debug)]
enum Command {
    Add(Watched),
    Remove(String, u32),
    /// Read everything at once, outside of the grid, and report when it is done.
    Sample(Sender<()>),
    Stop,
}

impl Sampler {
    /// Starts the thread `observe`, which takes the first sample at once and sends all samples to `out`.
    ///
    /// # Errors
    /// [`Error::Thread`] when the thread cannot be started.
    pub fn start(watched: Vec<Watched>, settings: Settings, out: Outbox) -> Result<Self, Error> {
        let (commands, inbox) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("observe".to_owned())
            .spawn(move || {
                files::keep_open_at_most(settings.most_files);
                Work::new(watched, &settings, out).run(&inbox)
            })
            .map_err(|source| Error::Thread { source })?;
        Ok(Self { commands, thread })
    }

    /// Watches another replica from the next tick on; one of the same target and number is replaced, and its totals are
    /// forgotten.
    pub fn add(&self, watched: Watched) {
        // A failed send means that samples are no longer received: then there is no point in adding.
        let _ = self.commands.send(Command::Add(watched));
    }

    /// Sends no more samples of a replica. One that is being sent may still arrive.
    pub fn remove(&self, target: &str, replica: u32) {
        let _ = self.commands.send(Command::Remove(target.to_owned(), replica));
    }

    /// Takes a whole sample now, outside of the grid and whatever it costs, and waits for it (at most 200 ms).
    ///
    /// The start and end of a load are sampled this way: a load may be shorter than the interval.
    pub fn sample_now(&self) {
        let (done, wait) = mpsc::channel();
        if self.commands.send(Command::Sample(done)).is_ok() {
            let _ = wait.recv_timeout(Duration::from_millis(200));
        }
    }

    /// Ends the thread, and waits for the current tick, if any.
    pub fn stop(self) -> SamplerReport {
        let _ = self.commands.send(Command::Stop);
        self.thread.join().unwrap_or_else(|panic| panic::resume_unwind(panic))
    }
}

/// A survey once in this many ticks.
const SURVEY_TICKS: u64 = 5;

/// One expensive reading; replicas by their index in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    Orphans,
    Survey(usize),
    Pss(usize),
}

/// A replica and the ticks at which its expensive readings are due; `None`: now, whatever they cost.
#[derive(Debug)]
struct Entry {
    replica: Replica,
    survey_due: Option<u64>,
    pss_due: Option<u64>,
}

#[derive(Debug)]
struct Work {
    entries: Vec<Entry>,
    host: Host,
    /// The tick at which the host is due; `None`: now, and all of it.
    host_due: Option<u64>,
    adopter: Option<u32>,
    orphans_due: Option<u64>,
    /// Whether the last look at orphans saw them all.
    adopted_whole: bool,
    reader: Reader,
    out: Outbox,
    interval: Duration,
    /// Processor time that a tick may cost.
    tick_budget_ns: u64,
    surveys: Allowance,
    pss: Allowance,
    wanted: Vec<(Option<u64>, Reading)>,
    report: SamplerReport,
}

impl Work {
    fn new(watched: Vec<Watched>, settings: &Settings, out: Outbox) -> Self {
        let interval = settings.interval.max(Duration::from_millis(1));
        let tick_budget_ns = interval.mul_f64(settings.share.clamp(0.0, 1.0)).as_nanos() as u64;
        let ns_per_tick = 1_000_000_000 / param::clock_ticks_per_second().max(1);
        let mut work = Self {
            entries: Vec::new(),
            host: Host::open(Path::new("/"), ns_per_tick),
            host_due: None,
            adopter: settings.adopter,
            orphans_due: None,
            adopted_whole: true,
            reader: Reader { buffer: vec![0; 64 * 1024], ns_per_tick, bytes_per_page: param::page_size() as u64 },
            out,
            interval,
            tick_budget_ns,
            surveys: Allowance::new(tick_budget_ns),
            pss: Allowance::new(tick_budget_ns * SURVEY_TICKS),
            wanted: Vec::new(),
            report: SamplerReport::default(),
        };
        for watched in watched {
            work.add(&watched);
        }
        work
    }

    fn run(mut self, inbox: &Receiver<Command>) -> SamplerReport {
        let start = Instant::now();
        let mut tick = 0;
        let mut cpu_before = thread_cpu_ns();
        loop {
            if self.tick(tick, &mut cpu_before).is_err() {
                break;
            }
            // The grid is absolute: a late tick does not shift the others, and missed ticks are not made up for.
            let next = next_tick(tick, start.elapsed(), self.interval);
            let skipped = next - tick - 1;
            self.report.skipped_ticks += skipped;
            self.report.longest_gap_ns = self.report.longest_gap_ns.max(instant_of(skipped, self.interval).as_nanos() as u64);
            tick = next;
            let due = start + instant_of(tick, self.interval);
            if self.obey_until(tick, due, &mut cpu_before, inbox).is_err() {
                break;
            }
            let late = Instant::now().saturating_duration_since(due);
            self.report.late_ticks += u64::from(late > self.interval / 10);
        }
        self.report.cpu_ns = thread_cpu_ns();
        self.report.elapsed_ns = start.elapsed().as_nanos() as u64;
        self.report
    }

    /// Handles commands until `due`; an error means: stop.
    fn obey_until(
        &mut self,
        tick: u64,
        due: Instant,
        cpu_before: &mut u64,
        inbox: &Receiver<Command>,
    ) -> Result<(), RecorderGone> {
        loop {
            let left = due.saturating_duration_since(Instant::now());
            match inbox.recv_timeout(left) {
                Ok(Command::Add(watched)) => self.add(&watched),
                Ok(Command::Remove(target, number)) => self.remove(&target, number),
                Ok(Command::Sample(done)) => {
                    for entry in &mut self.entries {
                        (entry.survey_due, entry.pss_due) = (None, None);
                    }
                    self.host_due = None;
                    self.tick(tick, cpu_before)?;
                    // The caller may have stopped waiting.
                    let _ = done.send(());
                }
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => return Err(RecorderGone),
                Err(RecvTimeoutError::Timeout) => return Ok(()),
            }
        }
    }

    fn add(&mut self, watched: &Watched) {
        self.remove(&watched.target, watched.replica);
        let replica = Replica::new(watched, &mut self.reader);
        self.entries.push(Entry { replica, survey_due: None, pss_due: None });
        self.orphans_due = None;
    }

    fn remove(&mut self, target: &str, number: u32) {
        self.entries.retain(|entry| *entry.replica.target != *target || entry.replica.number != number);
    }

    /// One tick: cheap readings, expensive readings as far as the allowance permits, messages.
    fn tick(&mut self, tick: u64, cpu_before: &mut u64) -> Result<(), RecorderGone> {
        for entry in &mut self.entries {
            entry.replica.refresh(&mut self.reader);
        }
        self.read_host(tick)?;
        let expensive_ns = self.expensive_readings(tick);
        for index in 0..self.entries.len() {
            let sample = self.entries[index].replica.sample(&self.reader, self.adopted_whole);
            self.report.samples_without_pss += u64::from(sample.pss_bytes.is_none());
            self.report.incomplete_samples += u64::from(!sample.complete);
            self.report.samples += 1;
            self.send(Observation::Process(sample))?;
        }
        self.report.ticks += 1;
        // Everything since the end of the previous tick that was not an expensive reading, including waking up, is deducted
        // from the next allowance.
        let cpu_now = thread_cpu_ns();
        let cheap_ns = (cpu_now - *cpu_before).saturating_sub(expensive_ns);
        *cpu_before = cpu_now;
        let budget = self.tick_budget_ns;
        let earned_ns = budget.saturating_sub(cheap_ns).max(budget / 10);
        let for_surveys_ns = earned_ns * 3 / 4;
        let surplus_ns = self.surveys.earn(for_surveys_ns);
        self.pss.earn(earned_ns - for_surveys_ns + surplus_ns);
        Ok(())
    }

    /// A sample for which the recorder has no room is lost, and without it the series is not complete.
    fn send(&mut self, sample: Observation) -> Result<(), RecorderGone> {
        match self.out.send(sample) {
            Sent::OnItsWay => Ok(()),
            Sent::Lost => {
                self.report.incomplete_samples += 1;
                Ok(())
            }
            Sent::Over => Err(RecorderGone),
        }
    }

    /// The host, every tick unless it takes more than a quarter of the allowance: `/proc/stat` grows with the number of
    /// cores.
    fn read_host(&mut self, tick: u64) -> Result<(), RecorderGone> {
        if self.host_due.is_some_and(|due| tick < due) {
            return Ok(());
        }
        let before = thread_cpu_ns();
        let sample = self.host.read(&mut self.reader.buffer, self.host_due.is_none());
        let cost_ns = thread_cpu_ns() - before;
        self.host_due = Some(tick + (cost_ns * 4 / self.tick_budget_ns.max(1)).clamp(1, 50));
        if let Some(sample) = sample {
            self.report.samples += 1;
            self.send(Observation::Host(sample))?;
        }
        Ok(())
    }

    /// Returns the processor time used.
    fn expensive_readings(&mut self, tick: u64) -> u64 {
        // Taken out while the readings need `self`, and put back for reuse.
        let mut wanted = std::mem::take(&mut self.wanted);
        wanted.clear();
        wanted.push((self.orphans_due, Reading::Orphans));
        for (index, entry) in self.entries.iter().enumerate() {
            wanted.push((entry.survey_due, Reading::Survey(index)));
            wanted.push((entry.pss_due, Reading::Pss(index)));
        }
        // `None` comes first, then the longest overdue. The sort is stable: orphans come before surveys, and surveys before
        // the size of the tree.
        wanted.retain(|(due, _)| due.is_none_or(|due| due <= tick));
        wanted.sort_by_key(|(due, _)| *due);
        let begin = thread_cpu_ns();
        let mut before = begin;
        for &(due, reading) in &wanted {
            if due.is_some() && !self.account(reading).in_credit() {
                continue;
            }
            match reading {
                Reading::Orphans => self.adopt(tick),
                Reading::Survey(index) => {
                    let entry = &mut self.entries[index];
                    entry.replica.survey(&mut self.reader);
                    // The first distance differs between replicas, so that they are not all surveyed in the same tick.
                    let distance = match due {
                        None => 1 + index as u64 % SURVEY_TICKS,
                        Some(_) => SURVEY_TICKS,
                    };
                    entry.survey_due = Some(tick + distance);
                }
                Reading::Pss(index) => {
                    let entry = &mut self.entries[index];
                    entry.replica.read_pss(&mut self.reader);
                    entry.pss_due = Some(tick + 1);
                }
            }
            let now = thread_cpu_ns();
            self.account(reading).spend(now - before);
            before = now;
        }
        self.wanted = wanted;
        before - begin
    }

    fn account(&mut self, reading: Reading) -> &mut Allowance {
        match reading {
            Reading::Pss(_) => &mut self.pss,
            Reading::Orphans | Reading::Survey(_) => &mut self.surveys,
        }
    }

    /// Assigns children of the adopter that are still unknown to the replicas whose marker they carry.
    fn adopt(&mut self, tick: u64) {
        self.orphans_due = Some(tick + SURVEY_TICKS);
        let Some(adopter) = self.adopter else {
            return;
        };
        let before = files::refused_opens();
        for pid in ChildLookup::now().children(adopter) {
            if self.entries.iter().any(|entry| entry.replica.has(pid)) {
                continue;
            }
            let Some(marker) = tree::marker_of(pid) else {
                continue;
            };
            if let Some(entry) = self.entries.iter_mut().find(|entry| entry.replica.marker == marker) {
                entry.replica.join(pid, &mut self.reader);
            }
        }
        self.adopted_whole = files::refused_opens() == before;
    }
}

/// Samples are no longer received.
#[derive(Debug)]
struct RecorderGone;

/// The first tick after `tick` whose time has not passed.
fn next_tick(tick: u64, elapsed: Duration, interval: Duration) -> u64 {
    let passed = (elapsed.as_nanos() / interval.as_nanos()) as u64;
    passed.max(tick) + 1
}

fn instant_of(tick: u64, interval: Duration) -> Duration {
    Duration::from_nanos((interval.as_nanos() as u64).saturating_mul(tick))
}

fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    // This clock starts at 0 with the thread, so neither part is negative.
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

#[cfg(test)]
mod tests;
