//! Lines that are durable within a second, in a file next to a repetition that is still running.
//!
//! If the disk is full or fails in another way, writing is retried: what was not written waits in memory, up to a limit, and
//! nothing is written twice.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::files::sync_directory;
use vocabulary::errors::tell;

/// How long a line may wait for others before all of them are made durable together.
const GATHERED: Duration = Duration::from_millis(250);
/// How soon writing is retried after a failure.
const AGAIN: Duration = Duration::from_secs(1);
/// How many bytes may wait while the disk fails: enough for more than a hundred thousand transfers.
const ROOM: usize = 64 << 20;

/// The file while it is being written.
#[derive(Debug)]
pub(super) struct Durable {
    path: PathBuf,
    /// What the lines are, for people.
    what: &'static str,
    file: Option<File>,
    /// Bytes that are durable; the next write starts after them.
    durable: u64,
    waiting: Vec<u8>,
    /// When the waiting lines are written.
    due: Option<Instant>,
    /// Since when writing has failed.
    failing: Option<Instant>,
    /// Lines that were lost because there was no room for them in memory.
    dropped: u64,
}

impl Durable {
    /// Starts a file with its first line. If that fails, it is retried like every later write.
    pub fn begin(path: &Path, what: &'static str, head: Vec<u8>) -> Self {
        let mut lines =
            Self { path: path.to_owned(), what, file: None, durable: 0, waiting: head, due: None, failing: None, dropped: 0 };
        // What an earlier repetition with this number left has been salvaged; its bytes must not follow ours.
        let _ = std::fs::remove_file(path);
        lines.write(Instant::now());
        lines
    }

    /// Adds a line, which [`Durable::tick`] makes durable.
    pub fn add(&mut self, line: &[u8], now: Instant) {
        if self.waiting.len() + line.len() > ROOM {
            self.dropped += 1;
            return;
        }
        self.waiting.extend(line);
        self.due.get_or_insert(now + GATHERED);
    }

    /// Makes durable what has waited long enough. Call this several times a second.
    pub fn tick(&mut self, now: Instant) {
        if self.due.is_some_and(|due| now >= due) {
            self.write(now);
        }
    }

    /// Makes durable now whatever is waiting.
    pub fn flush(&mut self) {
        if self.due.is_some() {
            self.write(Instant::now());
        }
    }

    /// Bytes of all lines so far.
    pub fn bytes(&self) -> u64 {
        self.durable + self.waiting.len() as u64
    }

    fn write(&mut self, now: Instant) {
        match self.try_write() {
            Ok(()) => {
                if let Some(since) = self.failing.take() {
                    let seconds = now.duration_since(since).as_secs();
                    let lost = match self.dropped {
                        0 => "none were lost".to_owned(),
                        n => format!("{n} were lost because there was no room for them in memory"),
                    };
                    tell(format_args!("{} are written to disk again after {seconds} s; {lost}", self.what));
                }
                self.durable += self.waiting.len() as u64;
                self.waiting.clear();
                // Frees the memory that was needed while the disk was full.
                self.waiting.shrink_to(1 << 16);
                self.due = None;
            }
            Err(error) => {
                self.due = Some(now + AGAIN);
                if self.failing.is_none() {
                    self.failing = Some(now);
                    tell(format_args!(
                        "warning: cannot write {}: {error}; {} wait in memory; writing is retried",
                        self.path.display(),
                        self.what
                    ));
                }
            }
        }
    }

    /// Writes everything that is waiting after what is durable: what an earlier attempt left there is overwritten.
    fn try_write(&mut self) -> std::io::Result<()> {
        let file = match &self.file {
            Some(file) => file,
            None => {
                let file = File::options().write(true).create(true).truncate(false).open(&self.path)?;
                sync_directory(self.path.parent().unwrap_or(Path::new(".")))?;
                self.file.insert(file)
            }
        };
        file.write_all_at(&self.waiting, self.durable)?;
        file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &[u8] = b"a line of what was measured, and not a short one either\n";

    #[test]
    fn a_disk_that_fails_for_a_while_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("there");
        let path = there.join("lines");
        let mut lines = Durable::begin(&path, "lines", b"head\n".to_vec());
        let now = Instant::now();
        (0..1000).for_each(|_| lines.add(LINE, now));
        (0..600).for_each(|second| lines.tick(now + Duration::from_secs(second)));
        assert!(lines.failing.is_some() && !path.exists());
        std::fs::create_dir(&there).unwrap();
        lines.tick(now + Duration::from_secs(601));
        let text = std::fs::read(&path).unwrap();
        assert_eq!((text.len(), lines.dropped, lines.bytes()), (5 + 1000 * LINE.len(), 0, text.len() as u64));
        assert!(text.starts_with(b"head\na line") && text.ends_with(LINE));
        assert!(lines.waiting.capacity() < ROOM / 10);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut lines = Durable::begin(Path::new("/nowhere/at/all"), "lines", Vec::new());
        let now = Instant::now();
        let most = ROOM / LINE.len();
        (0..most as u64 + 100).for_each(|_| lines.add(LINE, now));
        assert!(lines.waiting.len() <= ROOM && (100..110).contains(&lines.dropped), "{}", lines.dropped);
    }
}
