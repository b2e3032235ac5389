//! Follows sources of lines while a load runs: files, and streams of bytes.
//!
//! One thread for all sources of a repetition. It sleeps in `poll` until the kernel reports something new (inotify for
//! files), notes when it was read, and passes whole lines on, many of them at a time. What lines mean, and where they are
//! kept, is decided elsewhere.
//!
//! Memory is bounded: a line that does not end is cut ([`MAX_LINE`]), and lines for which there is no room in the channel are
//! lost and counted; neither side waits for the other. A program that writes one line at a time as fast as it can wakes this
//! thread no more than two thousand times a second.
//!
//! A stream that knows how it was opened ([`Redial`]) is opened again when the other side has ended it; what was sent
//! meanwhile is missing, so the gap is counted and timed.

mod file;
mod lines;
mod redial;

use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use self::file::{Followed, Look};
use self::lines::Splitter;
use self::redial::Redials;
use super::Error;
use vocabulary::queue::{self, Sent};

pub use self::lines::MAX_LINE;
pub use self::redial::Redial;

/// How much is read at a time.
const BUFFER: usize = MAX_LINE;
/// How much of a source is read before the others get their turn.
const TURN: usize = 16;
/// How many bytes of lines may wait for the receiver: some 200 000 lines of 100 bytes.
const ROOM: usize = 16 << 20;
/// No two looks are closer together than this.
const PAUSE: Duration = Duration::from_micros(500);
/// How often a file is looked at where the kernel does not report changes.
const UNTOLD: Duration = Duration::from_millis(5);
/// How often missing or replaced files are looked for where the kernel does not report them.
const SEARCH: Duration = Duration::from_millis(50);

/// Some lines of a source.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    /// The number of the source.
    pub source: u32,
    /// When the last of it was read.
    pub at: Instant,
    /// Whole lines, each with a final line feed, of at most [`MAX_LINE`] bytes.
    pub lines: Vec<u8>,
}

/// The receiver's end of the lines.
pub type Pieces = queue::Receiver<Piece>;

/// A source to follow.
#[derive(Debug)]
pub enum Origin {
    /// A file.
    File {
        /// Its name.
        path: PathBuf,
        /// Whether to skip what it contains already.
        skip_first: bool,
    },
    /// A stream that does not block.
    Stream {
        /// The stream.
        stream: OwnedFd,
        /// How it is opened again when it has ended, if that is wanted.
        again: Option<Redial>,
    },
}

/// The report on a source that was followed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceReport {
    /// Lines that were lost because there was no room for them.
    pub lost_lines: u64,
    /// Lines that were longer than [`MAX_LINE`].
    pub cut_lines: u64,
    /// When and why the source ended for good, in words.
    pub ended: Option<(Instant, String)>,
    /// How often it ended and came back.
    pub interruptions: u64,
    /// How long it was away in total.
    pub away: Duration,
    /// Whether it ever existed.
    pub appeared: bool,
}

/// The thread that follows sources. It ends when this is dropped.
#[derive(Debug)]
pub struct Follower {
    orders: Option<mpsc::Sender<(u32, Origin)>>,
    wake: Arc<OwnedFd>,
    thread: Option<JoinHandle<BTreeMap<u32, SourceReport>>>,
}

impl Follower {
    /// Starts the thread.
    ///
    /// # Errors
    /// [`Error::Thread`].
    pub fn start() -> Result<(Self, Pieces), Error> {
        let failed = |source: std::io::Error| Error::Thread { source };
        let wake = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).map_err(|e| failed(e.into()))?;
        let wake = Arc::new(wake);
        let (orders, ordered) = mpsc::channel();
        let (outbox, pieces) = queue::queue(ROOM, |piece: &Piece| piece.lines.len() + size_of::<Piece>());
        let woken = Arc::clone(&wake);
        let thread = std::thread::Builder::new()
            .name("follow".to_owned())
            .spawn(move || Sources::new(outbox, &woken).follow(&ordered, &woken))
            .map_err(failed)?;
        Ok((Self { orders: Some(orders), wake, thread: Some(thread) }, pieces))
    }

    /// Follows a source from now on; its lines get this number, which no other source may have.
    pub fn follow(&self, source: u32, origin: Origin) {
        // The thread lives as long as this value.
        let _ = self.orders.as_ref().map(|orders| orders.send((source, origin)));
        self.rouse();
    }

    /// Reads what exists of every source by now, and ends. Returns the report on each source, by its number.
    pub fn stop(mut self) -> BTreeMap<u32, SourceReport> {
        self.orders = None;
        self.rouse();
        let ended = self.thread.take().map(JoinHandle::join).unwrap_or_else(|| Ok(BTreeMap::new()));
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    fn rouse(&self) {
        rouse(&self.wake);
    }
}

/// Wakes the thread that follows.
fn rouse(wake: &OwnedFd) {
    // It fails only after 2^64 wake-ups that were not read.
    let _ = rustix::io::write(wake, &1_u64.to_ne_bytes());
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.orders = None;
        self.rouse();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One source.
struct Source {
    reader: Reader,
    splitter: Splitter,
    report: SourceReport,
    /// How it is opened again; none while that is being attempted.
    again: Option<Redial>,
    /// Whether it should be looked at.
    is_due: bool,
    /// The number of the kernel's watch for the file.
    watch: Option<i32>,
    /// The number of the watch for its folder, in which a file of its name may appear.
    folder: Option<i32>,
}

enum Reader {
    File(Followed),
    Stream(OwnedFd),
    Ended,
}

struct Sources {
    all: BTreeMap<u32, Source>,
    redials: Redials,
    outbox: queue::Sender<Piece>,
    /// None if the kernel has no more of them.
    inotify: Option<OwnedFd>,
    buffer: Vec<u8>,
}

impl Sources {
    fn new(outbox: queue::Sender<Piece>, wake: &Arc<OwnedFd>) -> Self {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).ok();
        Self { all: BTreeMap::new(), redials: Redials::new(wake), outbox, inotify, buffer: vec![0; BUFFER] }
    }

    fn follow(mut self, ordered: &mpsc::Receiver<(u32, Origin)>, wake: &OwnedFd) -> BTreeMap<u32, SourceReport> {
        let mut searched = Instant::now();
        loop {
            let over = loop {
                match ordered.try_recv() {
                    Ok((number, origin)) => self.add(number, origin),
                    Err(mpsc::TryRecvError::Empty) => break false,
                    Err(mpsc::TryRecvError::Disconnected) => break true,
                }
            };
            if over {
                return self.finish();
            }
            self.come_back();
            if searched.elapsed() >= SEARCH {
                self.watch_folders();
                self.all.values_mut().for_each(|source| source.is_due = true);
                searched = Instant::now();
            }
            let numbers: Vec<u32> = self.all.iter().filter(|(_, s)| s.is_due).map(|(number, _)| *number).collect();
            let mut is_more = false;
            for number in numbers {
                is_more |= self.turn(number);
            }
            if !is_more {
                self.pause(wake);
                self.sleep(wake);
            }
        }
    }

    fn add(&mut self, number: u32, origin: Origin) {
        let (reader, again, appeared) = match origin {
            Origin::File { path, skip_first } => (Reader::File(Followed::new(path, skip_first)), None, false),
            Origin::Stream { stream, again } => (Reader::Stream(stream), again, true),
        };
        let report = SourceReport { appeared, ..SourceReport::default() };
        let splitter = Splitter::default();
        self.all.insert(number, Source { reader, splitter, report, again, is_due: true, watch: None, folder: None });
        self.watch_folders();
    }

    /// Streams that were opened again are read from now on.
    fn come_back(&mut self) {
        while let Some((number, stream, again)) = self.redials.returned() {
            let Some(source) = self.all.get_mut(&number) else { continue };
            if let Some((since, _)) = source.report.ended.take() {
                source.report.interruptions += 1;
                source.report.away += since.elapsed();
            }
            (source.reader, source.again, source.is_due) = (Reader::Stream(stream), Some(again), true);
        }
    }

    /// Asks the kernel to report files that appear in the folders of sources, as far as these folders exist.
    fn watch_folders(&mut self) {
        let Some(inotify) = &self.inotify else { return };
        for source in self.all.values_mut().filter(|s| s.folder.is_none()) {
            if let Reader::File(file) = &source.reader {
                let folder = file.path().parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
                source.folder = inotify::add_watch(inotify, folder, WatchFlags::CREATE | WatchFlags::MOVED_TO).ok();
                // The file may have appeared meanwhile.
                source.is_due = true;
            }
        }
    }

    /// Continues reading a source. Returns whether there may be more.
    fn turn(&mut self, number: u32) -> bool {
        let Self { all, redials, outbox, inotify, buffer } = self;
        let Some(source) = all.get_mut(&number) else { return false };
        let mut lines = Vec::new();
        for _ in 0..TURN {
            let look = match &mut source.reader {
                Reader::Ended => Ok(Look::Nothing),
                Reader::File(file) => file.look(buffer),
                Reader::Stream(stream) => match rustix::io::read(&*stream, &mut buffer[..]) {
                    Ok(0) => Err(std::io::Error::other("the other side has closed the connection")),
                    Ok(length) => Ok(Look::Read(length)),
                    Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(Look::Nothing),
                    Err(error) => Err(error.into()),
                },
            };
            let at = Instant::now();
            match look {
                Ok(Look::Read(length)) => {
                    source.splitter.push(&buffer[..length], &mut lines);
                    source.send(number, at, &mut lines, outbox);
                }
                // The last line was never finished.
                Ok(Look::Anew) => {
                    source.splitter.finish(&mut lines);
                    source.send(number, at, &mut lines, outbox);
                    if let (Reader::File(file), Some(inotify)) = (&source.reader, inotify.as_ref()) {
                        source.watch = inotify::add_watch(inotify, file.path(), WatchFlags::MODIFY | WatchFlags::ATTRIB).ok();
                    }
                }
                Ok(Look::Nothing) => {
                    // Where the kernel does not report changes, the source has to be read to find out.
                    source.is_due = false;
                    return false;
                }
                Err(error) => {
                    source.splitter.finish(&mut lines);
                    source.send(number, at, &mut lines, outbox);
                    source.report.ended.get_or_insert_with(|| (at, error.to_string()));
                    source.reader = Reader::Ended;
                    if let Some(again) = source.again.take() {
                        redials.dial(number, again);
                    }
                    source.is_due = false;
                    return false;
                }
            }
        }
        true
    }

    /// Waits for a short time after the last look, so that many small writes are read together. New commands do not wait.
    fn pause(&self, wake: &OwnedFd) {
        let _ = poll(&mut [PollFd::new(wake, PollFlags::IN)], Some(&timespec(PAUSE)));
    }

    /// Sleeps until there is something to do.
    fn sleep(&mut self, wake: &OwnedFd) {
        let untold = |s: &Source| matches!(&s.reader, Reader::File(file) if file.appeared) && s.watch.is_none();
        let time = if self.all.values().any(untold) { UNTOLD } else { SEARCH };
        let streams = self.all.iter().filter_map(|(number, source)| match &source.reader {
            Reader::Stream(stream) => Some((*number, stream.as_fd())),
            _ => None,
        });
        let (numbers, streams): (Vec<u32>, Vec<_>) = streams.unzip();
        let own = [Some(wake.as_fd()), self.inotify.as_ref().map(|i| i.as_fd())];
        let first = own.iter().flatten().count();
        let mut waited: Vec<PollFd<'_>> =
            own.into_iter().flatten().chain(streams).map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        let _ = poll(&mut waited, Some(&timespec(time)));
        let ready: Vec<bool> = waited.iter().map(|fd| !fd.revents().is_empty()).collect();
        if ready[0] {
            let _ = rustix::io::read(wake, &mut [0_u8; 8]);
        }
        for (number, _) in numbers.iter().zip(&ready[first..]).filter(|(_, ready)| **ready) {
            self.all.entry(*number).and_modify(|source| source.is_due = true);
        }
        if first == 2 && ready[1] {
            self.note_changes();
        }
        for source in self.all.values_mut().filter(|s| untold(s)) {
            source.is_due = true;
        }
    }

    /// Reads from the kernel which files have changed.
    fn note_changes(&mut self) {
        let Some(inotify) = &self.inotify else { return };
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(inotify, &mut space);
        while let Ok(event) = reader.next() {
            // Where some events were dropped, any file may have changed.
            let watch = event.wd();
            self.all
                .values_mut()
                .filter(|s| watch < 0 || [s.watch, s.folder].contains(&Some(watch)))
                .for_each(|s| s.is_due = true);
        }
    }

    /// Reads what exists, and ends.
    fn finish(mut self) -> BTreeMap<u32, SourceReport> {
        let numbers: Vec<u32> = self.all.keys().copied().collect();
        for number in numbers {
            // A writer that continues is not waited for: a file is read to its present end, a stream as far as its data may
            // have been waiting.
            let turns = match self.all.get(&number).map(|source| &source.reader) {
                Some(Reader::File(file)) => file.unread() / BUFFER as u64 + 1,
                _ => (ROOM / BUFFER) as u64,
            };
            // Opening a file, or moving on to its successor, takes a turn or two.
            for _ in 0..turns / TURN as u64 + 3 {
                if !self.turn(number) {
                    break;
                }
            }
            let Self { all, outbox, .. } = &mut self;
            if let Some(source) = all.get_mut(&number) {
                let mut lines = Vec::new();
                source.splitter.finish(&mut lines);
                source.send(number, Instant::now(), &mut lines, outbox);
            }
        }
        let report = |(number, source): (u32, Source)| {
            let appeared = match &source.reader {
                Reader::File(file) => file.appeared,
                _ => source.report.appeared,
            };
            (number, SourceReport { cut_lines: source.splitter.cut, appeared, ..source.report })
        };
        self.all.into_iter().map(report).collect()
    }
}

impl Source {
    /// Passes lines on, if there are any.
    fn send(&mut self, source: u32, at: Instant, lines: &mut Vec<u8>, outbox: &queue::Sender<Piece>) {
        if lines.is_empty() {
            return;
        }
        let lines = std::mem::take(lines);
        let count = || lines.iter().filter(|b| **b == b'\n').count() as u64;
        let many = count();
        if outbox.send(Piece { source, at, lines }) == Sent::Lost {
            self.report.lost_lines += many;
        }
    }
}

fn timespec(time: Duration) -> Timespec {
    Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) }
}

#[cfg(test)]
mod tests;
