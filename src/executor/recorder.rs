//! Takes in what generator threads and sampler report, on a thread of its own, and writes it in batches.

use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::host::{HostUse, Meter};
use load::{Rows, queue};
use observe::{Inbox, Observation};
use record::Error;
use record::ahead::Ahead;
use record::spill::Spill;
use record::tables::{Tables, WorkloadNames};

/// The thread and the ends of its channels.
#[derive(Debug)]
pub struct Recorder {
    thread: JoinHandle<Result<Option<HostUse>, Error>>,
    marks: Sender<Mark>,
    /// Where the load's threads send their rows.
    pub rows: queue::Sender,
}

/// Start or end of the load; a sample of everything was taken just before.
#[derive(Clone, Copy, Debug)]
enum Mark {
    Begin(Instant),
    End,
}

impl Recorder {
    /// Creates the tables in `directory` and starts to listen; what finds no room there goes on where `spill` says. Transfers are
    /// kept `ahead`, too, where they must be durable before the repetition is.
    ///
    /// # Errors
    /// When the tables cannot be created.
    pub fn start(
        directory: &Path,
        spill: Spill,
        ahead: Option<Ahead>,
        workloads: Vec<WorkloadNames>,
        observations: Inbox,
    ) -> Result<Self, Error> {
        let tables = Tables::create_or_spill(directory, Some(spill), workloads)?;
        let (rows, from_load) = queue::queue();
        let (marks, from_executor) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("record".to_owned())
            .spawn(move || listen(tables, ahead, &from_load, &observations, &from_executor))
            .map_err(|source| Error::Write { path: directory.to_owned(), source })?;
        Ok(Self { thread, marks, rows })
    }

    /// Says when the load begins.
    pub fn set_epoch(&self, epoch: Instant) {
        // When the thread has given up, its error is found in `finish`.
        let _ = self.marks.send(Mark::Begin(epoch));
    }

    /// Says that the load has ended.
    pub fn load_ended(&self) {
        let _ = self.marks.send(Mark::End);
    }

    /// Waits until everything is written. All other senders must be gone by now. Returns what was used of the host from
    /// begin to end of the load, if it came to an end.
    ///
    /// # Errors
    /// The first thing that could not be written.
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
) -> Result<Option<HostUse>, Error> {
    let mut meter = Meter::default();
    // Tables that cannot be written end the repetition; transfers that are kept ahead are kept all the same.
    let mut broken: Option<Error> = None;
    loop {
        let received = rows.recv_timeout(Duration::from_millis(100));
        let over = matches!(received, Err(RecvTimeoutError::Disconnected));
        // A mark was sent behind the samples that belong to it.
        let mark = marks.try_recv().ok();
        if let Ok(rows) = received {
            if let (Some(ahead), Rows::Transfer(row)) = (&mut ahead, &rows) {
                ahead.add(row, Instant::now());
            }
            match rows {
                _ if broken.is_some() => {}
                Rows::Windows(rows) => broken = tables.windows(rows).err(),
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
        // The sampler has stopped before the executor lets go of `rows`, so nothing of it is missed at the end.
        while let Ok(observation) = observations.try_recv() {
            match observation {
                _ if broken.is_some() => {}
                Observation::Process(sample) => {
                    meter.process(&sample);
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
            // Both marks of a short load may still be there.
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
