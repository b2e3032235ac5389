//! Receives what generator threads and sampler report, on its own thread, and writes it in batches.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::host::{HostUse, Meter};
use super::live::Feed;
use load::{Rows, queue};
use observe::{Inbox, Observation};
use record::Error;
use record::ahead::Ahead;
use record::spill::Spill;
use record::tables::{Tables, WorkloadNames};

/// The recorder's thread and the ends of its channels.
#[derive(Debug)]
pub struct Recorder {
    thread: JoinHandle<Result<Option<HostUse>, Error>>,
    marks: Sender<Mark>,
    /// The channel for the rows of the load's threads.
    pub rows: queue::Sender,
}

/// Start or end of the load; a sample of everything was taken just before.
#[derive(Clone, Copy, Debug)]
enum Mark {
    Begin(Instant),
    End,
}

impl Recorder {
    /// Creates the tables in `directory` and starts to listen. If there is no room, recording continues at `spill`. Transfers are
    /// also kept `ahead`, if they must be durable before the repetition is. `live`: where what is received may be seen meanwhile.
    ///
    /// # Errors
    /// When the tables cannot be created.
    pub fn start(
        directory: &Path,
        spill: Spill,
        ahead: Option<Ahead>,
        workloads: Vec<WorkloadNames>,
        observations: Inbox,
        live: Arc<Feed>,
    ) -> Result<Self, Error> {
        let tables = Tables::create_or_spill(directory, Some(spill), workloads)?;
        let (rows, from_load) = queue::queue();
        let (marks, from_executor) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("record".to_owned())
            .spawn(move || listen(tables, ahead, &from_load, &observations, &from_executor, &live))
            .map_err(|source| Error::Write { path: directory.to_owned(), source })?;
        Ok(Self { thread, marks, rows })
    }

    /// Marks the start of the load.
    pub fn set_epoch(&self, epoch: Instant) {
        // If the thread has given up, `finish` returns its error.
        let _ = self.marks.send(Mark::Begin(epoch));
    }

    /// Marks the end of the load.
    pub fn load_ended(&self) {
        let _ = self.marks.send(Mark::End);
    }

    /// Waits until everything is written. All other senders must be gone by now. Returns the use of the host from
    /// start to end of the load, if it came to an end.
    ///
    /// # Errors
    /// The first error of writing.
    pub async fn finish(self) -> Result<Option<HostUse>, Error> {
        drop(self.rows);
        drop(self.marks);
        while !self.thread.is_finished() {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

fn listen(
    mut tables: Tables,
    mut ahead: Option<Ahead>,
    rows: &queue::Receiver,
    observations: &Inbox,
    marks: &Receiver<Mark>,
    live: &Feed,
) -> Result<Option<HostUse>, Error> {
    let mut meter = Meter::default();
    // If tables cannot be written, the repetition ends; transfers that are kept ahead are still kept.
    let mut broken: Option<Error> = None;
    loop {
        let received = rows.recv_timeout(Duration::from_millis(100));
        let over = matches!(received, Err(RecvTimeoutError::Disconnected));
        // A mark is sent after the samples that belong to it.
        let mark = marks.try_recv().ok();
        if let Ok(rows) = received {
            if let (Some(ahead), Rows::Transfer(row)) = (&mut ahead, &rows) {
                ahead.add(row, Instant::now());
            }
            match rows {
                _ if broken.is_some() => {}
                Rows::Windows(rows) => {
                    live.windows(&rows);
                    broken = tables.windows(rows).err();
                }
                Rows::Requests { workload, rows } => broken = tables.requests(workload, rows).err(),
                Rows::Metric(row) => tables.metric(row),
                Rows::Transfer(row) => broken = tables.transfer(*row).err(),
            }
        }
        if ahead.is_none()
            && let Some(error) = broken
        {
            return Err(error);
        }
        if let Some(ahead) = &mut ahead {
            ahead.tick(Instant::now());
        }
        // The sampler has stopped before the executor drops `rows`, so no sample is missed at the end.
        while let Ok(observation) = observations.try_recv() {
            match observation {
                _ if broken.is_some() => {}
                Observation::Process(sample) => {
                    meter.process(&sample);
                    live.process(&sample);
                    broken = tables.process(sample).err();
                }
                Observation::Host(sample) => {
                    meter.host(&sample);
                    tables.host(sample);
                }
            }
        }
        match mark {
            Some(Mark::Begin(epoch)) => {
                tables.set_epoch(epoch);
                meter.begin();
            }
            Some(Mark::End) => meter.end(),
            None => {}
        }
        if over {
            // Both marks of a short load may still be in the channel.
            for mark in marks.try_iter() {
                match mark {
                    Mark::Begin(epoch) => tables.set_epoch(epoch),
                    Mark::End => meter.end(),
                }
            }
            ahead.iter_mut().for_each(Ahead::flush);
            return match broken {
                Some(error) => Err(error),
                None => tables.finish().map(|()| meter.used()),
            };
        }
    }
}
