//! A run in progress, as sent to browsers: server-sent events (WHATWG HTML, "Server-sent events").
//!
//! The measuring process writes the state of the run into `live.json` once a second, which is its only cost. Here the file is
//! checked, and sent when it has changed.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body::Frame;
use record::files::read;
use record::live::NAME;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Interval, interval};

use super::results::name_of;
use super::store::Store;

/// How often the file is checked.
const LOOK: Duration = Duration::from_millis(500);
/// A run whose file is older than this has ended, whatever the cause.
const STALE: Duration = Duration::from_secs(10);
/// After how many looks an answer ends: a browser connects again by itself.
const LONGEST: u32 = 7200;
/// A comment is sent after this many looks without news, so that it is noticed if the client has gone.
const QUIET: u32 = 20;

/// The body of an answer: events for as long as the client listens.
pub(super) struct Events {
    store: Arc<Store>,
    clock: Interval,
    looks: u32,
    silent: u32,
    last: Option<String>,
    /// One of the places for clients that follow at the same time.
    _place: OwnedSemaphorePermit,
}

impl Events {
    pub fn new(store: Arc<Store>, place: OwnedSemaphorePermit) -> Self {
        Self { store, clock: interval(LOOK), looks: 0, silent: 0, last: None, _place: place }
    }

    /// What is new; empty if nothing is.
    fn look(&mut self) -> String {
        let now = now(&self.store);
        if self.last.as_ref() == Some(&now) {
            self.silent += 1;
            return if self.silent.is_multiple_of(QUIET) { ":\n\n".to_owned() } else { String::new() };
        }
        self.silent = 0;
        let event = format!("data: {now}\n\n");
        self.last = Some(now);
        event
    }
}

/// The run in progress, as one line of JSON: `{"run": NAME, "live": …}`; `live` is null when none is in progress.
pub(super) fn now(store: &Store) -> String {
    let newest = store.results().newest();
    let live = newest.as_ref().and_then(|run| current(run.join(NAME)));
    serde_json::json!({"run": newest.as_deref().map(name_of), "live": live}).to_string()
}

/// The content of the file, unless it is old or a link.
fn current(path: PathBuf) -> Option<serde_json::Value> {
    let found = path.symlink_metadata().ok().filter(std::fs::Metadata::is_file)?;
    let age = SystemTime::now().duration_since(found.modified().ok()?).unwrap_or_default();
    if age > STALE {
        return None;
    }
    serde_json::from_slice(&read(&path).ok()?).ok()
}

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        while self.looks < LONGEST {
            ready!(self.clock.poll_tick(context));
            self.looks += 1;
            let event = self.look();
            if !event.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(event.into()))));
            }
        }
        Poll::Ready(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Results;

    #[test]
    fn what_has_changed_is_sent_and_what_is_old_is_no_run() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("20261130T000000Z-0001");
        std::fs::create_dir(&run).unwrap();
        std::fs::write(run.join("plan.json"), "{}").unwrap();
        let store = Store::new(Results::new(folder.path().to_owned()), export::Source::cleaned("here"), false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _entered = runtime.enter();
        let place = Arc::new(tokio::sync::Semaphore::new(1)).try_acquire_owned().unwrap();
        let mut events = Events::new(store, place);
        assert_eq!(events.look(), "data: {\"run\":\"20261130T000000Z-0001\",\"live\":null}\n\n");
        assert_eq!(events.look(), "");
        std::fs::write(run.join(NAME), "{\n\"done\": 1\n}").unwrap();
        assert_eq!(events.look(), "data: {\"run\":\"20261130T000000Z-0001\",\"live\":{\"done\":1}}\n\n");
        assert_eq!((1..=QUIET).map(|_| events.look()).collect::<Vec<_>>().concat(), ":\n\n");
        let file = std::fs::File::options().write(true).open(run.join(NAME)).unwrap();
        file.set_modified(SystemTime::now() - 2 * STALE).unwrap();
        assert!(events.look().contains("\"live\":null"));
    }
}
