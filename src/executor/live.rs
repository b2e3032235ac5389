//! What may be seen of a repetition while it runs. The recorder's thread hands in what it receives anyway; whoever looks pays for
//! what is made of it. No generator thread knows of it.
//!
//! Windows stay encoded until somebody looks, and only so many of them are kept that a look is cheap: a hundred windows take
//! about 0.3 ms.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::hopeless::Watch;
use hosts::{Seen, SeenProcess, SeenWindow};
use observe::own;
use vocabulary::Phase;
use vocabulary::live::{LiveFigures, LiveTarget, LiveWorkload};
use vocabulary::rows::histogram::{BUCKETS, decode, longest};
use vocabulary::rows::{ProcessSample, WindowRow};

/// Figures are those of the last seconds, so many where passes are many, and of this longer time where they are few.
const SPAN: Duration = Duration::from_secs(5);
const LONG_SPAN: Duration = Duration::from_secs(30);
/// So many passes are many.
const MANY: u64 = 50;
/// So many bytes of encoded windows are kept: older ones are forgotten before [`LONG_SPAN`] is over.
const KEPT: usize = 128 << 10;
/// Processor time is that of at least this time, as far as there was so much.
const CPU_SPAN: Duration = Duration::from_secs(1);
/// Over a shorter time the kernel's steps of 10 ms are too coarse.
const SHORTEST: Duration = Duration::from_millis(100);
/// So many windows wait for another machine; the oldest are left out first.
const UNTOLD: usize = 1000;
/// A generator thread hands a window over when its first pass of the next one ends, which takes a moment.
const HANDED_OVER: Duration = Duration::from_millis(20);
/// Another machine tells of its windows twice a second.
const TOLD: Duration = Duration::from_millis(700);

/// The latest of what load and observation have reported.
#[derive(Debug, Default)]
pub struct Feed(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// When the load began.
    epoch: Option<Instant>,
    /// How long a window is.
    window: Duration,
    workloads: Vec<Workload>,
    targets: Vec<(Arc<str>, BTreeMap<u32, Replica>)>,
    /// Processor time of the generator's threads at earlier looks.
    generator: VecDeque<(Instant, u64)>,
    /// What other machines' generators use, by their number.
    elsewhere: BTreeMap<usize, Option<f64>>,
    /// Windows that another machine was not told of yet; none where no other wants to know.
    untold: Option<VecDeque<SeenWindow>>,
    /// Counts by bucket: memory that is used again at each look.
    sum: Vec<u64>,
    /// Whether the load is hopeless, where somebody wants to know.
    watch: Option<Watch>,
}

#[derive(Debug, Default)]
struct Workload {
    name: String,
    passes: u64,
    errors: u64,
    recent: VecDeque<Window>,
    /// Bytes in `recent`.
    kept: usize,
    /// Since when all windows are in `recent`, in nanoseconds since the load began.
    known_from_ns: u64,
}

/// Passes of one thread that ended in one window with one outcome.
#[derive(Debug)]
struct Window {
    start_ns: u64,
    passes: u64,
    /// Their response times, encoded; empty where they do not count in times.
    response: Vec<u8>,
}

impl State {
    /// What the generator uses, here or on other machines.
    fn generator_cores(&mut self, now: Instant, generator_ns: Option<u64>) -> Option<f64> {
        match self.elsewhere.is_empty() {
            true => self.epoch.and(generator_ns).and_then(|ns| generator_cores(&mut self.generator, now, ns)),
            false => Some(self.elsewhere.values().flatten().sum()),
        }
    }

    /// Takes in a window that is over.
    fn add(&mut self, window: SeenWindow) {
        let window_ns = self.window.as_nanos() as u64;
        let Some(workload) = self.workloads.get_mut(usize::from(window.workload)) else { return };
        if let Some(untold) = &mut self.untold {
            untold.push_back(window.clone());
            while untold.len() > UNTOLD {
                untold.pop_front();
            }
        }
        let SeenWindow { start_ns, passes, counted, errors, response, .. } = window;
        workload.passes += counted;
        workload.errors += errors;
        workload.kept += size_of::<Window>() + response.len();
        workload.recent.push_back(Window { start_ns, passes, response });
        while let Some(oldest) = workload.recent.front()
            && (workload.kept > KEPT || oldest.start_ns + LONG_SPAN.as_nanos() as u64 <= start_ns)
        {
            workload.kept -= size_of::<Window>() + oldest.response.len();
            workload.known_from_ns = oldest.start_ns + window_ns;
            workload.recent.pop_front();
        }
    }

    /// Takes in what a replica has used.
    fn used(&mut self, target: &Arc<str>, replica: u32, now: (Instant, u64), pss_bytes: Option<u64>) {
        let at = self.targets.iter().position(|(name, _)| name == target).unwrap_or_else(|| {
            self.targets.push((Arc::clone(target), BTreeMap::new()));
            self.targets.len() - 1
        });
        let fresh = Replica { earlier: now, later: now, latest: now, pss_bytes: None };
        let replica = self.targets[at].1.entry(replica).or_insert(fresh);
        if now.1 < replica.latest.1 {
            // Another process has this number now.
            *replica = fresh;
        }
        replica.latest = now;
        replica.pss_bytes = pss_bytes.or(replica.pss_bytes);
        if now.0.saturating_duration_since(replica.later.0) >= CPU_SPAN {
            (replica.earlier, replica.later) = (replica.later, now);
        }
    }
}

/// Two earlier counts of a replica's processor time, at least [`CPU_SPAN`] apart, and the latest.
#[derive(Clone, Copy, Debug)]
struct Replica {
    earlier: (Instant, u64),
    later: (Instant, u64),
    latest: (Instant, u64),
    pss_bytes: Option<u64>,
}

impl Feed {
    fn state(&self) -> MutexGuard<'_, State> {
        // Numbers that are only shown are none the worse for somebody else's panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A repetition with these workloads begins, with windows of this length.
    pub fn begin(&self, workloads: impl Iterator<Item = String>, window: Duration) {
        let workloads = workloads.map(|name| Workload { name, ..Workload::default() }).collect();
        let mut state = self.state();
        let untold = state.untold.take().map(|_| VecDeque::new());
        *state = State { workloads, window, untold, ..State::default() };
    }

    /// Its load begins.
    pub fn load_begins(&self, epoch: Instant) {
        self.state().epoch = Some(epoch);
    }

    /// Looks for a hopeless load from now on.
    pub fn watch(&self, watch: Watch) {
        self.state().watch = Some(watch);
    }

    /// Why the load is hopeless, if it is. `now_ns`: since it began.
    pub fn hopeless(&self, now_ns: u64) -> Option<String> {
        self.state().watch.as_ref()?.hopeless(now_ns)
    }

    /// Takes in windows that are over.
    pub fn windows(&self, rows: &[WindowRow]) {
        let mut state = self.state();
        if let Some(watch) = &mut state.watch {
            rows.iter().for_each(|row| watch.take(row));
        }
        for row in rows.iter().filter(|row| row.step.is_none()) {
            let counted = if row.phase == Phase::WarmUp { 0 } else { row.count };
            state.add(SeenWindow {
                workload: row.workload,
                start_ns: row.start_ns,
                passes: row.count,
                counted,
                errors: if row.outcome.is_error() { counted } else { 0 },
                response: if row.outcome.counts_in_times() { row.response.clone() } else { Vec::new() },
            });
        }
    }

    /// Takes in a sample of a replica.
    pub fn process(&self, sample: &ProcessSample) {
        let now = (sample.at, sample.cpu_user_ns + sample.cpu_system_ns);
        self.state().used(&sample.target, sample.replica, now, sample.pss_bytes);
    }

    /// Keeps what comes in for [`Self::seen`], which another machine shows.
    pub fn relay(&self) {
        self.state().untold = Some(VecDeque::new());
    }

    /// What has come in since the last call.
    pub fn seen(&self) -> Seen {
        let (now, generator_ns) = (Instant::now(), own::threads_cpu_ns(load::THREADS));
        let mut state = self.state();
        // Nothing is made of the windows here, while the load runs.
        let generator_cores = state.generator_cores(now, generator_ns);
        let windows = state.untold.as_mut().map(std::mem::take).unwrap_or_default().into();
        let replicas = state.targets.iter().flat_map(|(name, replicas)| replicas.iter().map(move |one| (name, one)));
        let process = |(name, (number, replica)): (&Arc<str>, (&u32, &Replica))| SeenProcess {
            target: name.to_string(),
            replica: *number,
            ago_ns: now.saturating_duration_since(replica.latest.0).as_nanos() as u64,
            cpu_ns: replica.latest.1,
            pss_bytes: replica.pss_bytes,
        };
        Seen { windows, processes: replicas.map(process).collect(), generator_cores }
    }

    /// Takes in what was seen on another machine, which has this number.
    pub fn told(&self, machine: usize, seen: Seen) {
        let (mut state, now) = (self.state(), Instant::now());
        seen.windows.into_iter().for_each(|window| state.add(window));
        for one in seen.processes {
            let at = now.checked_sub(Duration::from_nanos(one.ago_ns)).unwrap_or(now);
            // Replicas of a role with several machines have the same numbers on each.
            let replica = one.replica | (machine as u32) << 16;
            state.used(&Arc::from(one.target.as_str()), replica, (at, one.cpu_ns), one.pss_bytes);
        }
        state.elsewhere.insert(machine, seen.generator_cores);
    }

    /// What is known now.
    pub fn look(&self) -> LiveFigures {
        self.look_at(Instant::now(), own::threads_cpu_ns(load::THREADS))
    }

    fn look_at(&self, now: Instant, generator_ns: Option<u64>) -> LiveFigures {
        let mut state = self.state();
        let generator_cores = state.generator_cores(now, generator_ns);
        let State { epoch, window, workloads, targets, elsewhere, sum, .. } = &mut *state;
        let window_ns = window.as_nanos().max(1) as u64;
        let delay = if elsewhere.is_empty() { HANDED_OVER } else { TOLD };
        // The end of the last window that is over, in nanoseconds since the load began.
        let end_ns = epoch.map_or(0, |epoch| {
            let over = now.saturating_duration_since(epoch).saturating_sub(delay).as_nanos() as u64;
            over / window_ns * window_ns
        });
        let workloads = workloads.iter().map(|workload| workload.live(end_ns, sum)).collect();
        let targets = targets.iter().map(|(name, replicas)| LiveTarget {
            name: name.to_string(),
            cpu_cores: total(replicas.values().map(Replica::cores)),
            pss_bytes: total(replicas.values().map(|replica| replica.pss_bytes)),
        });
        let targets = targets.collect();
        LiveFigures { workloads, targets, generator_cores }
    }
}

/// The sum of values, if there is one and all are known.
fn total<T: std::iter::Sum>(values: impl Iterator<Item = Option<T>>) -> Option<T> {
    let mut values = values.peekable();
    values.peek()?;
    values.sum()
}

/// What the generator has used since the looks a moment ago; none once threads have ended, which takes their time away.
fn generator_cores(looks: &mut VecDeque<(Instant, u64)>, now: Instant, ns: u64) -> Option<f64> {
    if looks.back().is_some_and(|(_, before)| ns < *before) {
        looks.clear();
    }
    while looks.get(1).is_some_and(|(at, _)| now.saturating_duration_since(*at) >= CPU_SPAN) {
        looks.pop_front();
    }
    let cores = looks.front().and_then(|first| cores(*first, (now, ns)));
    looks.push_back((now, ns));
    cores
}

/// Processor time per time between two instants.
fn cores((from, before): (Instant, u64), (until, after): (Instant, u64)) -> Option<f64> {
    let passed = until.saturating_duration_since(from);
    (passed >= SHORTEST).then(|| after.saturating_sub(before) as f64 / passed.as_nanos() as f64)
}

impl Replica {
    fn cores(&self) -> Option<f64> {
        cores(self.earlier, self.latest)
    }
}

impl Workload {
    /// Its figures, of windows that were over by `end_ns`. `sum`: counts by bucket, overwritten.
    fn live(&self, end_ns: u64, sum: &mut Vec<u64>) -> LiveWorkload {
        let within = |span: Duration| {
            let from_ns = end_ns.saturating_sub(span.as_nanos() as u64).max(self.known_from_ns.min(end_ns));
            let recent = self.recent.iter().filter(move |window| (from_ns..end_ns).contains(&window.start_ns));
            (from_ns, recent)
        };
        let passes_within = |span| within(span).1.map(|window| window.passes).sum::<u64>();
        let span = if passes_within(SPAN) >= MANY { SPAN } else { LONG_SPAN };
        let (from_ns, recent) = within(span);
        let seconds = (end_ns - from_ns) as f64 / 1e9;
        sum.clear();
        sum.resize(BUCKETS, 0);
        let mut times = 0;
        for window in recent.filter(|window| !window.response.is_empty()) {
            // The recorder tells of what is damaged.
            times += decode(&window.response, |bucket, count| sum[bucket] += count).map_or(0, |extent| extent.total);
        }
        let quantile = |share: f64| (times > 0).then(|| quantile(sum, (share * times as f64).ceil() as u64));
        LiveWorkload {
            name: self.name.clone(),
            passes_per_s: (seconds > 0.0).then(|| passes_within(span) as f64 / seconds),
            response_p50_ns: quantile(0.5),
            response_p99_ns: quantile(0.99),
            passes: self.passes,
            errors: self.errors,
        }
    }
}

/// The longest time of the bucket in which the value with this rank, from 1, lies.
fn quantile(sum: &[u64], rank: u64) -> u64 {
    let mut below = 0;
    let found = sum.iter().position(|count| {
        below += count;
        below >= rank
    });
    longest(found.unwrap_or_default() as u32)
}

#[cfg(test)]
mod tests {
    use load::windows::Windows;
    use vocabulary::Outcome;
    use vocabulary::rows::RequestRow;

    use super::*;

    const MS: u64 = 1_000_000;

    /// The windows of a load of 100 ms windows that had a pass at each of these times, of so many milliseconds.
    fn rows(phase: Phase, passes: impl Iterator<Item = (u64, u64, Outcome)>) -> Vec<WindowRow> {
        let mut windows = Windows::new(0, 1, true, 100 * MS);
        let mut rows = Vec::new();
        for (at_ms, took_ms, outcome) in passes {
            let ended = RequestRow {
                step: Some(0),
                phase,
                completed_in: phase,
                outcome,
                intended_ns: (at_ms - took_ms) * MS,
                sent_ns: (at_ms - took_ms) * MS,
                completed_ns: at_ms * MS,
                connect_ns: None,
                first_byte_ns: None,
                sent_bytes: 0,
                received_bytes: 0,
                key: None,
            };
            rows.extend(windows.record(&ended).unwrap_or_default());
        }
        rows.extend(windows.flush());
        rows
    }

    fn feed(epoch: Instant) -> Feed {
        let feed = Feed::default();
        feed.begin(["clients".to_owned()].into_iter(), Duration::from_millis(100));
        feed.load_begins(epoch);
        feed
    }

    fn look(feed: &Feed, epoch: Instant, ms: u64) -> LiveWorkload {
        feed.look_at(epoch + Duration::from_millis(ms), None).workloads.remove(0)
    }

    #[test]
    fn rate_and_times_are_those_of_the_last_seconds_and_errors_of_the_whole_load() {
        let epoch = Instant::now();
        let feed = feed(epoch);
        assert_eq!(look(&feed, epoch, 90), LiveWorkload { name: "clients".to_owned(), ..LiveWorkload::default() });
        feed.windows(&rows(Phase::WarmUp, (10..500).step_by(10).map(|at| (at, 1, Outcome::Status))));
        // 100 per second of 1 ms, then 50 per second of 7 ms, for ten seconds each.
        feed.windows(&rows(Phase::During, (500..10_500).step_by(10).map(|at| (at, 1, Outcome::Ok))));
        let early = look(&feed, epoch, 10_540);
        assert_eq!((early.passes_per_s, early.passes, early.errors), (Some(100.0), 1000, 0));
        assert!(early.response_p50_ns.is_some_and(|ns| (MS..MS + 2000).contains(&ns)), "{early:?}");
        let slow = (10_500..20_500).step_by(20).map(|at| (at, 7, if at % 200 == 100 { Outcome::Status } else { Outcome::Ok }));
        feed.windows(&rows(Phase::During, slow));
        let late = look(&feed, epoch, 20_550);
        assert_eq!((late.passes_per_s, late.passes, late.errors), (Some(50.0), 1500, 50));
        for ns in [late.response_p50_ns, late.response_p99_ns] {
            assert!(ns.is_some_and(|ns| (7 * MS..7 * MS + 10_000).contains(&ns)), "{late:?}");
        }
        // Nobody answers any more.
        let silent = look(&feed, epoch, 60_000);
        assert_eq!((silent.passes_per_s, silent.response_p50_ns), (Some(0.0), None));
    }

    #[test]
    fn what_two_machines_saw_is_shown_as_if_it_were_one() {
        let epoch = Instant::now();
        let [one, other, all] = [(); 3].map(|()| feed(epoch));
        let half = |from: u64| rows(Phase::During, (from..5000).step_by(20).map(|at| (at, 3, Outcome::Ok)));
        for (machine, (feed, from)) in [(&one, 10), (&other, 20)].into_iter().enumerate() {
            feed.relay();
            feed.windows(&half(from));
            feed.process(&sample(Instant::now(), 0, 70));
            all.told(machine, feed.seen());
            all.told(machine, feed.seen());
        }
        all.windows(&[]);
        let alone = self::feed(epoch);
        alone.windows(&half(10));
        alone.windows(&half(20));
        assert_eq!(look(&all, epoch, 5740), look(&alone, epoch, 5040));
        assert_eq!(all.look().targets[0].pss_bytes, Some(2000), "one replica on each");
    }

    #[test]
    fn few_passes_are_counted_over_a_longer_time() {
        let epoch = Instant::now();
        let feed = feed(epoch);
        feed.windows(&rows(Phase::During, (2000..40_000).step_by(2000).map(|at| (at, 1500, Outcome::Ok))));
        assert_eq!(look(&feed, epoch, 40_030).passes_per_s, Some(0.5));
    }

    #[test]
    fn memory_is_bounded_and_what_was_forgotten_is_not_taken_for_silence() {
        let epoch = Instant::now();
        let feed = feed(epoch);
        // Times of all lengths make long histograms.
        let passes = (1..20_000).map(|at| (at + 2000, 1 + at * 7919 % 1999, Outcome::Ok));
        feed.windows(&rows(Phase::During, passes));
        assert!(feed.state().workloads[0].kept <= KEPT);
        let rate = look(&feed, epoch, 22_020).passes_per_s.unwrap();
        assert!((990.0..=1010.0).contains(&rate), "{rate}");
    }

    fn sample(at: Instant, replica: u32, cpu_ms: u64) -> ProcessSample {
        ProcessSample {
            at,
            target: "web".into(),
            replica,
            processes: 1,
            threads: 1,
            pss_bytes: Some(1000),
            rss_bytes: 0,
            peak_rss_bytes: 0,
            cpu_user_ns: cpu_ms * MS,
            cpu_system_ns: 0,
            open_files: 0,
            voluntary_switches: 0,
            involuntary_switches: 0,
            read_bytes: 0,
            written_bytes: 0,
            complete: true,
        }
    }

    #[test]
    fn cores_are_those_of_the_last_second_and_replicas_are_added() {
        let epoch = Instant::now();
        let feed = feed(epoch);
        let web = |ms: u64| feed.look_at(epoch + Duration::from_millis(ms), None).targets.remove(0);
        let at = |ms: u64| epoch + Duration::from_millis(ms);
        feed.process(&sample(at(0), 0, 0));
        assert_eq!(web(1), LiveTarget { name: "web".to_owned(), cpu_cores: None, pss_bytes: Some(1000) });
        // Idle for three seconds, then busy, on one core and on half of one.
        for ms in (100..=6000).step_by(100) {
            feed.process(&sample(at(ms), 0, ms.saturating_sub(3000)));
            feed.process(&sample(at(ms), 1, ms.saturating_sub(3000) / 2));
        }
        let found = web(6000);
        assert_eq!((found.cpu_cores, found.pss_bytes), (Some(1.5), Some(2000)));
        // Started anew.
        feed.process(&sample(at(6100), 0, 0));
        assert_eq!(web(6100).cpu_cores, None);
    }

    #[test]
    fn the_generator_is_seen_from_the_second_look_on() {
        let epoch = Instant::now();
        let feed = feed(epoch);
        let look = |ms: u64, cpu_ms: u64| feed.look_at(epoch + Duration::from_millis(ms), Some(cpu_ms * MS)).generator_cores;
        assert_eq!(look(100, 0), None);
        assert_eq!(look(600, 250), Some(0.5));
        assert_eq!(look(1600, 1250), Some(1.0));
        assert_eq!(look(2700, 1250), Some(0.0));
        assert_eq!(look(3200, 0), None, "the threads have ended");
    }
}
