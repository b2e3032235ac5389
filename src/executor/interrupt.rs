//! Ctrl-C and SIGTERM: the first one means finish cleanly, the second one means now.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How often the user asked for an end.
#[derive(Clone, Debug)]
pub struct Interrupt(watch::Receiver<u32>);

impl Interrupt {
    /// Starts to listen. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When signals cannot be listened to.
    pub fn listen() -> std::io::Result<Self> {
        let (to, from) = watch::channel(0);
        let mut sources = [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?];
        tokio::spawn(async move {
            loop {
                let [a, b, c] = &mut sources;
                tokio::select! { _ = a.recv() => {}, _ = b.recv() => {}, _ = c.recv() => {} }
                to.send_modify(|count| *count += 1);
            }
        });
        Ok(Self(from))
    }

    /// How often the user has asked so far.
    pub fn count(&self) -> u32 {
        *self.0.borrow()
    }

    /// Waits until the user has asked for an end this many times.
    pub async fn asked(&self, times: u32) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|count| *count >= times).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
