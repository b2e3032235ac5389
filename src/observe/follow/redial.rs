//! Streams that the other side ended are opened once more, each by a thread of its own: who connects may wait for long.

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::rouse;

/// The first attempt comes after this, each of the next ones after twice as long as the one before, up to [`MOST`].
const FIRST: Duration = Duration::from_millis(50);
/// Nobody waits for longer than this between two attempts.
const MOST: Duration = Duration::from_secs(2);

/// Opens a stream that does not block; fails in words. It may take its time.
pub struct Redial(pub Box<dyn Fn() -> Result<OwnedFd, String> + Send>);

impl fmt::Debug for Redial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redial")
    }
}

type Returned = (u32, OwnedFd, Redial);

/// Who opens streams once more. Attempts end when this is dropped.
pub(super) struct Redials {
    wake: Arc<OwnedFd>,
    is_over: Arc<AtomicBool>,
    sender: mpsc::Sender<Returned>,
    returned: mpsc::Receiver<Returned>,
}

impl Redials {
    /// `wake` is written to when a stream is there again.
    pub fn new(wake: &Arc<OwnedFd>) -> Self {
        let (sender, returned) = mpsc::channel();
        Self { wake: Arc::clone(wake), is_over: Arc::default(), sender, returned }
    }

    /// Opens the stream of a source as soon as that is possible. Where there is no thread for it, it has ended.
    pub fn dial(&self, source: u32, again: Redial) {
        let (wake, is_over, sender) = (Arc::clone(&self.wake), Arc::clone(&self.is_over), self.sender.clone());
        let dial = move || {
            let mut pause = FIRST;
            while !is_over.load(Ordering::Relaxed) {
                std::thread::sleep(pause);
                if let Ok(stream) = (again.0)() {
                    // When nobody is there any more, neither is the source.
                    if sender.send((source, stream, again)).is_ok() {
                        rouse(&wake);
                    }
                    return;
                }
                pause = (pause * 2).min(MOST);
            }
        };
        let _ = std::thread::Builder::new().name("redial".to_owned()).spawn(dial);
    }

    /// A stream that is there again, if there is one: its source, the stream, and how it is opened the next time.
    pub fn returned(&self) -> Option<Returned> {
        self.returned.try_recv().ok()
    }
}

impl Drop for Redials {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}
