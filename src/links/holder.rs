//! The helper of `nfqueue`: holds each packet back for its delay, and drops those that are meant to be lost.
//!
//! It runs in the middle namespace, with one thread for each direction. The packets stay in the kernel; what is held here is
//! a number of 4 bytes and an instant. Packets that are to be lost keep their place until it is their turn, so that verdicts
//! are given in order, many at once, and the kernel never has to search. When the helper ends, the kernel drops what the helper
//! held and everything that follows, so the helper must be the last process to end.

use std::collections::VecDeque;
use std::io;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

use super::control::Control;
use super::nfqueue::Queue;
use super::shape_text::decode;
use plan::links::Shape;

/// The hidden argument with which the runner starts itself as this helper.
pub const ARGUMENT: &str = "__link-holder";
/// What a helper prints first once it works; a relay adds its ports.
pub const READY: &str = "link ready";

/// How many announcements are read before checking whether a held packet is due.
const AT_ONCE: usize = 64;

/// Serves the queues until it is killed. Arguments: one `QUEUE:SHAPE` each, as `make` writes them.
pub fn main(args: &[String]) -> ExitCode {
    let failed = |error: &dyn std::fmt::Display| {
        eprintln!("link helper: {error}");
        ExitCode::FAILURE
    };
    prepare();
    let (control, args) = match Control::take(args) {
        Ok(taken) => taken,
        Err(error) => return failed(&error),
    };
    let mut queues = Vec::new();
    let changes: [Change; 2] = Default::default();
    for arg in args {
        let parsed = arg.split_once(':').and_then(|(queue, rest)| Some((queue.parse::<u16>().ok()?, decode(rest)?)));
        let Some((number, (shape, seed))) = parsed else { return failed(&format!("cannot read `{arg}`")) };
        match Queue::open(number, shape.loss == 0.0 && control.is_none()) {
            Ok(queue) => queues.push((queue, Line::new(shape, seed), Arc::clone(&changes[usize::from(number.min(1))]))),
            Err(error) => return failed(&format!("cannot open packet queue {number}: {error}")),
        }
    }
    announce(READY);
    let serving = queues.into_iter().map(|(queue, line, change)| std::thread::spawn(move || serve(queue, line, &change)));
    let mut threads = serving.collect::<Vec<_>>();
    if let Some(control) = control {
        std::thread::spawn(move || {
            loop {
                let told = control.wait(|shapes| {
                    for (change, shape) in changes.iter().zip(shapes) {
                        *change.lock().unwrap_or_else(PoisonError::into_inner) = Some(shape);
                    }
                });
                if told.is_err() {
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        });
    }
    // One direction without the other is not a link.
    loop {
        if let Some(at) = threads.iter().position(std::thread::JoinHandle::is_finished) {
            return match threads.swap_remove(at).join() {
                Ok(Err(error)) => failed(&error),
                _ => ExitCode::FAILURE,
            };
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// What both helpers do first: set a name for `ps`, exact timers, and a higher priority than the processes that they delay.
pub(super) fn prepare() {
    let _ = rustix::thread::set_name(c"runner-link");
    // Threads inherit both. The second fails without the privilege; delays are then less exact when processors are busy.
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
    let _ = rustix::process::setpriority_process(None, -20);
}

/// Writes a line for which the process that started this is waiting.
pub(super) fn announce(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

/// A new shape, until the thread of the direction takes it: before the next packet.
type Change = Arc<Mutex<Option<Shape>>>;

fn serve(mut queue: Queue, mut line: Line, change: &Change) -> io::Result<()> {
    loop {
        if let Some(shape) = change.lock().unwrap_or_else(PoisonError::into_inner).take() {
            line.change(&shape);
        }
        for _ in 0..AT_ONCE {
            if !queue.receive(|number| line.arrived(number, Instant::now()))? {
                break;
            }
        }
        let now = Instant::now();
        while let Some((number, lost)) = line.next_due(now) {
            queue.verdict(number, lost)?;
        }
        let timeout = line.due().map(|due| due.saturating_duration_since(Instant::now()));
        let timeout = timeout.and_then(|t| t.try_into().ok());
        match poll(&mut [PollFd::new(&queue, PollFlags::IN)], timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The packets of one direction, in the order in which they came. Pure.
#[derive(Debug)]
struct Line {
    held: VecDeque<HeldPacket>,
    clock: Clock,
    loss: f64,
}

#[derive(Debug)]
struct HeldPacket {
    number: u32,
    due: Instant,
    lost: bool,
}

impl Line {
    fn new(shape: Shape, seed: u64) -> Self {
        Self { held: VecDeque::new(), clock: Clock::new(&shape, seed), loss: shape.loss }
    }

    /// Packets that come from now on find another shape.
    fn change(&mut self, shape: &Shape) {
        self.clock.change(shape);
        self.loss = shape.loss;
    }

    fn arrived(&mut self, number: u32, now: Instant) {
        let due = self.clock.due(now);
        let lost = self.loss > 0.0 && self.clock.random.share() < self.loss;
        self.held.push_back(HeldPacket { number, due, lost });
    }

    /// When the first of them is due.
    fn due(&self) -> Option<Instant> {
        self.held.front().map(|h| h.due)
    }

    /// Takes as many from the front as are due and have the same fate: the number of the last one, and whether they are
    /// lost.
    fn next_due(&mut self, now: Instant) -> Option<(u32, bool)> {
        let first = self.held.pop_front_if(|h| h.due <= now)?;
        let mut last = first.number;
        while let Some(next) = self.held.pop_front_if(|h| h.due <= now && h.lost == first.lost) {
            last = next.number;
        }
        Some((last, first.lost))
    }
}

/// When the next packet is to leave: after its delay, and never before an earlier packet. Pure.
#[derive(Debug)]
pub(super) struct Clock {
    delay: Duration,
    jitter: Duration,
    last: Option<Instant>,
    pub random: Random,
}

impl Clock {
    pub fn new(shape: &Shape, seed: u64) -> Self {
        Self { delay: shape.delay, jitter: shape.jitter, last: None, random: Random(seed) }
    }

    /// What leaves later has another delay.
    pub fn change(&mut self, shape: &Shape) {
        (self.delay, self.jitter) = (shape.delay, shape.jitter);
    }

    pub fn due(&mut self, now: Instant) -> Instant {
        let due = self.due_after(now, self.last);
        self.last = Some(due);
        due
    }

    /// The same, where only earlier packets of the same connection count.
    pub fn due_after(&mut self, now: Instant, last: Option<Instant>) -> Instant {
        let mut delay = self.delay;
        if !self.jitter.is_zero() {
            delay = (delay + self.jitter.mul_f64(2.0 * self.random.share())).saturating_sub(self.jitter);
        }
        (now + delay).max(last.unwrap_or(now))
    }
}

/// Random numbers from a seed: SplitMix64 (Steele, Lea & Flood 2014).
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    /// A number in [0, 1).
    pub fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape_text::encode;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_shape_survives_its_way_to_the_helper() {
        for shape in [
            Shape::default(),
            Shape { delay: MS, jitter: Duration::from_nanos(7), loss: 0.1 + 0.2, rate_bits_per_s: Some(1.5e9) },
        ] {
            assert_eq!(decode(&encode(&shape, u64::MAX)), Some((shape, u64::MAX)));
        }
        assert_eq!(decode("1:2"), None);
        assert_eq!(decode("1:2:3:4:x"), None);
    }

    #[test]
    fn packets_leave_after_their_delay_together_and_in_order() {
        let mut line = Line::new(Shape { delay: 10 * MS, ..Shape::default() }, 1);
        let start = Instant::now();
        for (number, at) in [(5, 0), (6, 1), (7, 5)] {
            line.arrived(number, start + at * MS);
        }
        assert_eq!(line.due(), Some(start + 10 * MS));
        assert_eq!(line.next_due(start + 9 * MS), None);
        assert_eq!(line.next_due(start + 12 * MS), Some((6, false)));
        assert_eq!(line.next_due(start + 12 * MS), None);
        assert_eq!(line.next_due(start + 15 * MS), Some((7, false)));
        assert_eq!(line.due(), None);
    }

    #[test]
    fn a_change_counts_from_the_next_packet_on_and_keeps_the_order() {
        let mut line = Line::new(Shape { delay: 100 * MS, ..Shape::default() }, 1);
        let start = Instant::now();
        line.arrived(1, start);
        line.change(&Shape { delay: 10 * MS, ..Shape::default() });
        line.arrived(2, start + 10 * MS);
        line.arrived(3, start + 200 * MS);
        assert_eq!(line.next_due(start + 99 * MS), None, "the second does not overtake the first");
        assert_eq!(line.next_due(start + 100 * MS), Some((2, false)));
        assert_eq!(line.next_due(start + 210 * MS), Some((3, false)));
        line.change(&Shape { loss: 1.0, ..Shape::default() });
        (4..100).for_each(|number| line.arrived(number, start + 300 * MS));
        assert_eq!(line.next_due(start + 300 * MS), Some((99, true)), "nothing passes a link that is cut");
    }

    #[test]
    fn losses_are_as_frequent_as_asked_and_split_the_verdicts() {
        let mut line = Line::new(Shape { loss: 0.2, ..Shape::default() }, 42);
        let now = Instant::now();
        (0..100_000).for_each(|number| line.arrived(number, now));
        let lost = line.held.iter().filter(|h| h.lost).count();
        assert!((19_500..20_500).contains(&lost), "{lost}");
        let mut before = None;
        while let Some((number, lost)) = line.next_due(now) {
            assert!(before.is_none_or(|(n, l)| n < number && l != lost));
            before = Some((number, lost));
        }
        assert_eq!(before.map(|(n, _)| n), Some(99_999));
    }

    #[test]
    fn jitter_is_within_its_bounds_and_changes_no_order() {
        let mut clock = Clock::new(&Shape { delay: 5 * MS, jitter: 10 * MS, ..Shape::default() }, 3);
        let start = Instant::now();
        let mut last = start;
        for i in 0..1000 {
            let now = start + i * 100 * MS;
            let due = clock.due(now);
            assert!(due >= now && due <= now + 15 * MS && due >= last);
            last = due;
        }
        let dues: Vec<_> = (0..1000).map(|_| clock.due(start)).collect();
        assert!(dues.is_sorted());
    }
}
