//! Takes in what generator threads and sampler report, on a thread of its own, and writes it in batches.

use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::load::Rows;
use crate::observe::Observation;
use crate::record::Error;
use crate::record::tables::{Names, Tables};

/// The thread and the ends of its channels.
#[derive(Debug)]
pub struct Recorder {
    thread: JoinHandle<Result<(), Error>>,
    epoch: Sender<Instant>,
    /// For the load.
    pub rows: Sender<Rows>,
}

impl Recorder {
    /// Creates the tables in `directory` and starts to listen.
    ///
    /// # Errors
    /// When the tables cannot be created.
    pub fn start(directory: &Path, workloads: Vec<Names>, observations: Receiver<Observation>) -> Result<Self, Error> {
        let tables = Tables::create(directory, workloads)?;
        let (rows, from_load) = mpsc::channel();
        let (epoch, from_executor) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("record".to_owned())
            .spawn(move || listen(tables, &from_load, &observations, &from_executor))
            .map_err(|source| Error::Write { path: directory.to_owned(), source })?;
        Ok(Self { thread, epoch, rows })
    }

    /// Says when the load begins.
    pub fn set_epoch(&self, epoch: Instant) {
        // When the thread has given up, its error is found in `finish`.
        let _ = self.epoch.send(epoch);
    }

    /// Waits until everything is written. All other senders must be gone by now.
    ///
    /// # Errors
    /// The first thing that could not be written.
    pub async fn finish(self) -> Result<(), Error> {
        drop(self.rows);
        drop(self.epoch);
        while !self.thread.is_finished() {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

fn listen(
    mut tables: Tables,
    rows: &Receiver<Rows>,
    observations: &Receiver<Observation>,
    epoch: &Receiver<Instant>,
) -> Result<(), Error> {
    loop {
        let received = rows.recv_timeout(Duration::from_millis(100));
        if let Ok(epoch) = epoch.try_recv() {
            tables.set_epoch(epoch);
        }
        let over = matches!(received, Err(RecvTimeoutError::Disconnected));
        if let Ok(rows) = received {
            match rows {
                Rows::Windows(rows) => tables.windows(rows)?,
                Rows::Requests { workload, rows } => tables.requests(workload, rows)?,
                Rows::Metric(row) => tables.metric(row),
            }
        }
        // The sampler has stopped before the executor lets go of `rows`, so nothing of it is missed at the end.
        while let Ok(observation) = observations.try_recv() {
            match observation {
                Observation::Process(sample) => tables.process(sample)?,
                Observation::Host(sample) => tables.host(sample),
            }
        }
        if over {
            return tables.finish();
        }
    }
}
