//! Reopens streams that the other side ended, each in a separate thread: connecting may take long.

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::rouse;

/// The first attempt is made after this time, each further one after twice the previous time, up to [`MOST`].
const FIRST: Duration = Duration::from_millis(50);
/// The longest time between two attempts.
const MOST: Duration = Duration::from_secs(2);

/// Opens a stream that does not block; fails in words. It may take long.
pub struct Redial(pub Box<dyn Fn() -> Result<OwnedFd, String> + Send>);

impl fmt::Debug for Redial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redial")
    }
}

type Returned = (u32, OwnedFd, Redial);

/// Reopens streams. Attempts end when this is dropped.
pub(super) struct Redials {
    wake: Arc<OwnedFd>,
    is_over: Arc<AtomicBool>,
    sender: mpsc::Sender<Returned>,
    returned: mpsc::Receiver<Returned>,
}

impl Redials {
    /// `wake` is written to when a stream was opened again.
    pub fn new(wake: &Arc<OwnedFd>) -> Self {
        let (sender, returned) = mpsc::channel();
        Self { wake: Arc::clone(wake), is_over: Arc::default(), sender, returned }
    }

    /// Opens the stream of a source as soon as that is possible. If no thread can be started for it, the source has ended.
    pub fn dial(&self, source: u32, again: Redial) {
        let (wake, is_over, sender) = (Arc::clone(&self.wake), Arc::clone(&self.is_over), self.sender.clone());
        let dial = move || {
            let mut pause = FIRST;
            while !is_over.load(Ordering::Relaxed) {
                std::thread::sleep(pause);
                if let Ok(stream) = (again.0)() {
                    // When nobody follows sources any more, this one is not needed either.
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

    /// A stream that was opened again, if there is one: its source, the stream, and how it is opened the next time.
    pub fn returned(&self) -> Option<Returned> {
        self.returned.try_recv().ok()
    }
}

impl Drop for Redials {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}
