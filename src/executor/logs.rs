//! Logs of targets that write more than is kept (`log-limit`): the middle is removed, start and end stay.
//!
//! A program writes directly to its log file. Whenever the file has grown, a thread here frees the space between the first half
//! and the last half of the limit. Until the target has stopped, the file keeps its full length, so that a follower can continue
//! to read at its position. Then the file is written once more, with a line that says how much is cut.

use std::io::{BufRead as _, BufReader, Read, Seek as _, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::fs::{FallocateFlags, fallocate};

/// How often logs are checked. What a program writes in between needs space beyond the limit.
const INTERVAL: Duration = Duration::from_millis(100);
/// Freeing less is not worth a system call.
const LEAST: u64 = 64 << 10;

/// Keeps the logs of a replica from growing, until it is dropped.
#[derive(Debug)]
pub(super) struct LogKeeper {
    limit: u64,
    /// The offset in each log at which the repetition's part starts.
    begins: Arc<[AtomicU64; 2]>,
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl LogKeeper {
    /// Starts to check these logs.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(logs: [PathBuf; 2], begins: [u64; 2], limit: u64) -> std::io::Result<Self> {
        let begins = Arc::new(begins.map(AtomicU64::new));
        let (end, ended) = channel();
        let seen = Arc::clone(&begins);
        let keep = move || {
            let mut freed = [0; 2];
            while matches!(ended.recv_timeout(INTERVAL), Err(RecvTimeoutError::Timeout)) {
                for ((log, begin), freed) in logs.iter().zip(&*seen).zip(&mut freed) {
                    free_middle(log, begin.load(Ordering::Relaxed), limit, freed);
                }
            }
        };
        let thread = std::thread::Builder::new().name("log-limit".to_owned()).spawn(keep)?;
        Ok(Self { limit, begins, end: Some(end), thread: Some(thread) })
    }

    /// The maximum length of the kept part of a log.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// The offsets before which the logs belong to earlier repetitions.
    pub fn begin_at(&self, places: [u64; 2]) {
        self.begins.iter().zip(places).for_each(|(begin, place)| begin.store(place, Ordering::Relaxed));
    }
}

impl Drop for LogKeeper {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Frees the excess space in the middle of a log. If the file system does not support this, the space is kept until the end.
fn free_middle(log: &Path, begin: u64, limit: u64, freed: &mut u64) {
    let Ok(length) = log.metadata().map(|metadata| metadata.len()) else { return };
    let (from, to) = ((*freed).max(begin + limit / 2), length.saturating_sub(limit / 2));
    if to.saturating_sub(from) < LEAST.max(limit / 8) {
        return;
    }
    if let Ok(file) = std::fs::File::options().write(true).open(log) {
        let _ = fallocate(&file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, from, to - from);
        *freed = to;
    }
}

/// Copies what was written to a log since `taken`, which is advanced: whole lines, or `all` of it if nothing more will come.
/// If this is more than `limit` bytes, the middle is cut, and a line says so. Returns how many bytes were cut.
///
/// # Errors
/// When a log cannot be read or written.
pub(super) fn copy(from: &Path, to: &Path, taken: &mut u64, all: bool, limit: Option<u64>) -> std::io::Result<u64> {
    let mut file = match std::fs::File::open(from) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    // Readable by us alone until secrets are masked, like every log.
    let mut to = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(to)?;
    let mut cut = 0;
    file.seek(SeekFrom::Start(*taken))?;
    if let Some(limit) = limit.filter(|limit| length.saturating_sub(*taken) > *limit) {
        let half = limit / 2;
        let start_end = *taken + copy_lines(Read::by_ref(&mut file).take(half), &mut to, false)?;
        let mut end_begin = length - half;
        file.seek(SeekFrom::Start(end_begin))?;
        // The end starts at the start of a line, if there is one.
        let mut rest_of_line = Vec::new();
        BufReader::new(Read::by_ref(&mut file).take(half)).read_until(b'\n', &mut rest_of_line)?;
        if rest_of_line.ends_with(b"\n") {
            end_begin += rest_of_line.len() as u64;
        }
        cut = end_begin - start_end;
        writeln!(to, "[runner: {cut} bytes are cut here, as log-limit is {limit}]")?;
        *taken = end_begin;
        file.seek(SeekFrom::Start(end_begin))?;
    }
    *taken += copy_lines(file, &mut to, all)?;
    Ok(cut)
}

/// Copies whole lines, and also an incomplete last line if `all` is set. Returns how many bytes were copied.
fn copy_lines(from: impl Read, to: &mut impl Write, all: bool) -> std::io::Result<u64> {
    let (mut lines, mut line, mut copied) = (BufReader::new(from), Vec::new(), 0);
    while lines.read_until(b'\n', &mut line)? > 0 {
        if !all && !line.ends_with(b"\n") {
            break;
        }
        to.write_all(&line)?;
        copied += line.len() as u64;
        line.clear();
    }
    Ok(copied)
}

/// Cuts the middle out of a log that is no longer written. Returns how many bytes were cut.
///
/// # Errors
/// When a log cannot be read or written.
pub(super) fn shorten(log: &Path, limit: u64) -> std::io::Result<u64> {
    match log.metadata() {
        Ok(metadata) if metadata.len() > limit => {}
        Ok(_) => return Ok(0),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    }
    let mut short = log.as_os_str().to_owned();
    short.push(".short");
    let short = PathBuf::from(short);
    let cut = copy(log, &short, &mut 0, true, Some(limit))?;
    std::fs::rename(&short, log)?;
    Ok(cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(lines: std::ops::Range<u64>) -> String {
        lines.map(|n| format!("line {n:07}\n")).collect()
    }

    #[test]
    fn lines_are_taken_over_once_and_whole() {
        let folder = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| folder.path().join(name));
        let mut taken = 0;
        copy(&from, &to, &mut taken, true, None).unwrap();
        assert!(!to.exists(), "nothing was written yet");
        std::fs::write(&from, "one\ntw").unwrap();
        copy(&from, &to, &mut taken, false, None).unwrap();
        assert_eq!((std::fs::read_to_string(&to).unwrap().as_str(), taken), ("one\n", 4));
        std::fs::remove_file(&to).unwrap();
        std::fs::write(&from, "one\ntwo\nthr").unwrap();
        copy(&from, &to, &mut taken, true, Some(1000)).unwrap();
        assert_eq!((std::fs::read_to_string(&to).unwrap().as_str(), taken), ("two\nthr", 11));
    }

    #[test]
    fn of_a_long_log_start_and_end_are_kept_with_what_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| folder.path().join(name));
        std::fs::write(&from, numbered(0..100_000)).unwrap();
        // From the second line on, of 13 bytes each: 76 whole ones in each half.
        let mut taken = 13;
        let cut = copy(&from, &to, &mut taken, false, Some(2000)).unwrap();
        let kept = std::fs::read_to_string(&to).unwrap();
        let marker = format!("[runner: {cut} bytes are cut here, as log-limit is 2000]\n");
        assert_eq!(kept, format!("{}{marker}{}", numbered(1..77), numbered(99_924..100_000)));
        assert_eq!((cut, taken), ((99_924 - 77) * 13, 1_300_000));
        // The same in its place.
        assert_eq!(shorten(&from, 2000).unwrap(), (99_924 - 76) * 13);
        assert!(std::fs::read_to_string(&from).unwrap().starts_with("line 0000000\n"));
        assert!(from.metadata().unwrap().len() < 2100);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
        assert_eq!(shorten(&from, 1 << 20).unwrap(), 0);
        assert_eq!(shorten(&folder.path().join("missing"), 1).unwrap(), 0);
        // A line without an end does not cause more to be kept.
        std::fs::write(&from, "x".repeat(5000)).unwrap();
        assert_eq!(shorten(&from, 1000).unwrap(), 4500);
    }

    #[test]
    fn a_log_that_grows_takes_no_more_room() {
        use std::os::unix::fs::MetadataExt as _;
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let text = numbered(0..400_000);
        std::fs::write(&log, &text).unwrap();
        let before = log.metadata().unwrap().blocks();
        let mut freed = 0;
        free_middle(&log, 0, 1 << 20, &mut freed);
        let after = log.metadata().unwrap();
        assert_eq!((after.len(), freed), (text.len() as u64, text.len() as u64 - (1 << 19)));
        assert!(after.blocks() < before / 2 || after.blocks() == before, "{} of {before} blocks", after.blocks());
        // Start and end are unchanged, and the kept part needs nothing of the middle.
        let cut = shorten(&log, 1 << 20).unwrap();
        let kept = std::fs::read_to_string(&log).unwrap();
        assert!(!kept.contains('\0') && kept.ends_with("line 0399999\n"), "{cut}");
        assert!(kept.lines().all(|line| line.starts_with("line ") || line.starts_with("[runner: ")));
        free_middle(&folder.path().join("missing"), 0, 1, &mut freed);
    }
}
