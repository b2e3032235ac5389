//! Rows as Parquet: written in batches while a repetition runs, read back as data frames.

use std::cell::Cell;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Instant;

use polars::prelude::*;
use polars_io::parquet::metadata::FileMetadataRef;
use polars_io::parquet::write::BatchedWriter;
use polars_io::prelude::*;
use rayon::prelude::*;

use super::Error;
use super::columns::frame;
pub use super::columns::{WorkloadNames, column};
use super::files::at_once;
use super::spill::{Spill, SpillFile};
use super::transfers::transfer_frame;
pub use vocabulary::rows::WHOLE;
use vocabulary::rows::{CoreClock, HostSample, ProcessSample};
use vocabulary::rows::{MetricRow, RequestRow, TransferRow, WindowRow};

/// How many rows are collected before they are written.
const BATCH: usize = 512;

/// How many requests are written at a time: few enough for memory, enough that ten million make few pieces to read.
const REQUESTS: usize = 32_768;

/// Waits until a file is written, and makes it durable.
fn settle(file: &SpillFile) -> Result<(), Error> {
    file.settle().map_err(|source| Error::Write { path: file.path(), source })
}

/// A Parquet file that is being written.
pub(super) struct Table {
    path: PathBuf,
    writer: BatchedWriter<BufWriter<SpillFile>>,
    file: SpillFile,
}

impl Table {
    pub(super) fn create(path: PathBuf, spill: Option<&Spill>, empty: &DataFrame) -> Result<Self, Error> {
        let file = SpillFile::create(&path, spill.cloned()).map_err(|source| Error::Write { path: path.clone(), source })?;
        // The counts in a histogram are noise; what repeats is whole histograms, and LZ4 finds those as well as Zstd does.
        // It is read six times as fast. No reader skips rows by their smallest and largest values.
        let writer = ParquetWriter::new(BufWriter::new(file.clone()))
            .with_compression(ParquetCompression::Lz4Raw)
            .with_statistics(StatisticsOptions::empty())
            .set_parallel(false)
            .batched(empty.schema());
        match writer {
            Ok(writer) => Ok(Self { path, writer, file }),
            Err(source) => Err(Error::WriteTable { path, source }),
        }
    }

    pub(super) fn write(&mut self, frame: &DataFrame) -> Result<(), Error> {
        self.writer.write_batch(frame).map_err(|source| Error::WriteTable { path: self.path.clone(), source })
    }

    pub(super) fn finish(self) -> Result<(), Error> {
        settle(&self.close()?)
    }

    /// Writes the rest, and leaves the file to be settled.
    fn close(self) -> Result<SpillFile, Error> {
        self.writer.finish().map_err(|source| Error::WriteTable { path: self.path.clone(), source })?;
        drop(self.writer); // flushes what is buffered; a failure shows when the file is synced and read back
        Ok(self.file)
    }
}

/// Nanoseconds from `epoch` to `at`; negative before it.
pub(super) fn since(epoch: Instant, at: Instant) -> i64 {
    match at.checked_duration_since(epoch) {
        Some(after) => after.as_nanos() as i64,
        None => -(epoch.duration_since(at).as_nanos() as i64),
    }
}

/// The tables of one repetition.
pub struct Tables {
    workloads: Vec<WorkloadNames>,
    metrics: (PathBuf, Vec<MetricRow>),
    /// Created when the first request arrives; with each request that is not yet written, the index of its workload.
    requests: (PathBuf, Option<Table>, Vec<(u16, RequestRow)>),
    /// Likewise, for transfers.
    transfers: (PathBuf, Option<Table>, Vec<TransferRow>),
    windows: (Table, Vec<WindowRow>),
    resources: (Table, Vec<ProcessSample>),
    host: (Table, Vec<HostSample>),
    epoch: Option<Instant>,
    spill: Option<Spill>,
}

impl Tables {
    /// Creates the files.
    ///
    /// # Errors
    /// [`Error::Write`], [`Error::WriteTable`].
    pub fn create(directory: &Path, workloads: Vec<WorkloadNames>) -> Result<Self, Error> {
        Self::create_or_spill(directory, None, workloads)
    }

    /// Like [`Tables::create`]; if there is no room there, writing continues where `spill` says.
    ///
    /// # Errors
    /// [`Error::Write`], [`Error::WriteTable`].
    pub fn create_or_spill(directory: &Path, spill: Option<Spill>, workloads: Vec<WorkloadNames>) -> Result<Self, Error> {
        let now = Instant::now();
        let table = |name: &str, empty: &DataFrame| Table::create(directory.join(name), spill.as_ref(), empty);
        Ok(Self {
            windows: (table("windows.parquet", &window_frame(&workloads, &[]))?, Vec::new()),
            resources: (table("resources.parquet", &resource_frame(now, &[]))?, Vec::new()),
            host: (table("host.parquet", &host_frame(now, &[]))?, Vec::new()),
            metrics: (directory.join("metrics.parquet"), Vec::new()),
            requests: (directory.join("requests.parquet"), None, Vec::new()),
            transfers: (directory.join("transfers.parquet"), None, Vec::new()),
            workloads,
            epoch: None,
            spill,
        })
    }

    /// The start of the load, from which all times count. Samples wait in memory until the start is known.
    pub fn set_epoch(&mut self, epoch: Instant) {
        self.epoch = Some(epoch);
    }

    /// Adds rows of windows.
    ///
    /// # Errors
    /// [`Error::WriteTable`].
    pub fn windows(&mut self, rows: Vec<WindowRow>) -> Result<(), Error> {
        self.windows.1.extend(rows);
        if self.windows.1.len() < BATCH { Ok(()) } else { self.flush() }
    }

    /// Adds requests of a workload. A request of a single-step pass is also the pass as a whole, as in the windows.
    ///
    /// # Errors
    /// [`Error::Write`], [`Error::WriteTable`].
    pub fn requests(&mut self, workload: u16, rows: Vec<RequestRow>) -> Result<(), Error> {
        let single = self.workloads.get(usize::from(workload)).is_some_and(|w| w.single);
        for row in rows {
            if single && row.step.is_some() {
                self.requests.2.push((workload, RequestRow { step: None, ..row }));
            }
            self.requests.2.push((workload, row));
            if self.requests.2.len() >= REQUESTS {
                self.flush_requests()?;
            }
        }
        Ok(())
    }

    fn flush_requests(&mut self) -> Result<(), Error> {
        let (path, table, rows) = &mut self.requests;
        if rows.is_empty() {
            return Ok(());
        }
        let frame = request_frame(&self.workloads, rows);
        let table = match table {
            Some(table) => table,
            None => table.insert(Table::create(path.clone(), self.spill.as_ref(), &frame)?),
        };
        rows.clear();
        table.write(&frame)
    }

    /// Adds a transfer.
    ///
    /// # Errors
    /// [`Error::WriteTable`].
    pub fn transfer(&mut self, row: TransferRow) -> Result<(), Error> {
        self.transfers.2.push(row);
        if self.transfers.2.len() < BATCH { Ok(()) } else { self.flush_transfers() }
    }

    fn flush_transfers(&mut self) -> Result<(), Error> {
        let (path, table, rows) = &mut self.transfers;
        if rows.is_empty() {
            return Ok(());
        }
        let frame = transfer_frame(&self.workloads, rows);
        let table = match table {
            Some(table) => table,
            None => table.insert(Table::create(path.clone(), self.spill.as_ref(), &frame)?),
        };
        rows.clear();
        table.write(&frame)
    }

    /// Adds a metric of a command.
    pub fn metric(&mut self, row: MetricRow) {
        self.metrics.1.push(row);
    }

    /// Adds a sample of a replica.
    ///
    /// # Errors
    /// [`Error::WriteTable`].
    pub fn process(&mut self, sample: ProcessSample) -> Result<(), Error> {
        self.resources.1.push(sample);
        if self.epoch.is_none() || self.resources.1.len() < 4 * BATCH { Ok(()) } else { self.flush() }
    }

    /// Adds a sample of the host.
    pub fn host(&mut self, sample: HostSample) {
        self.host.1.push(sample);
    }

    fn flush(&mut self) -> Result<(), Error> {
        if !self.windows.1.is_empty() {
            self.windows.0.write(&window_frame(&self.workloads, &self.windows.1))?;
            self.windows.1.clear();
        }
        if let Some(epoch) = self.epoch {
            if !self.resources.1.is_empty() {
                self.resources.0.write(&resource_frame(epoch, &self.resources.1))?;
                self.resources.1.clear();
            }
            if !self.host.1.is_empty() {
                self.host.0.write(&host_frame(epoch, &self.host.1))?;
                self.host.1.clear();
            }
        }
        Ok(())
    }

    /// Writes what is left, and syncs.
    ///
    /// # Errors
    /// [`Error::Write`], [`Error::WriteTable`].
    pub fn finish(mut self) -> Result<(), Error> {
        // In a repetition that failed before its load, times count from the first sample.
        let first = self.resources.1.iter().map(|s| s.at).chain(self.host.1.iter().map(|s| s.at)).min();
        self.epoch = self.epoch.or(first);
        self.flush()?;
        self.flush_requests()?;
        self.flush_transfers()?;
        let mut tables = Vec::new();
        if !self.metrics.1.is_empty() {
            let frame = metric_frame(&self.workloads, &self.metrics.1);
            let mut table = Table::create(self.metrics.0, self.spill.as_ref(), &frame)?;
            table.write(&frame)?;
            tables.push(table);
        }
        tables.extend(self.requests.1.into_iter().chain(self.transfers.1));
        tables.extend([self.windows.0, self.resources.0, self.host.0]);
        let files: Vec<SpillFile> = tables.into_iter().map(Table::close).collect::<Result<_, _>>()?;
        at_once(&files, settle)
    }
}

/// Columns of `windows.parquet`: one row per window, workload, step, phase of the start, phase of the end, and outcome.
fn window_frame(workloads: &[WorkloadNames], rows: &[WindowRow]) -> DataFrame {
    let of = |f: fn(&WindowRow) -> u64| rows.iter().map(f).collect::<Vec<u64>>();
    let workload = |r: &WindowRow| workloads.get(usize::from(r.workload));
    let names: Vec<&str> = rows.iter().map(|r| workload(r).map_or("", |w| w.workload.as_str())).collect();
    let steps: Vec<&str> = rows
        .iter()
        .map(|r| r.step.map_or(WHOLE, |s| workload(r).and_then(|w| w.steps.get(usize::from(s))).map_or("", String::as_str)))
        .collect();
    let phases: Vec<&str> = rows.iter().map(|r| r.phase.name()).collect();
    let completed_in: Vec<&str> = rows.iter().map(|r| r.completed_in.name()).collect();
    let outcomes: Vec<&str> = rows.iter().map(|r| r.outcome.name(workload(r).map_or(&[], |w| &w.outcomes))).collect();
    let times = |f: fn(&WindowRow) -> &Vec<u8>| rows.iter().map(|r| f(r).as_slice()).collect::<Vec<&[u8]>>();
    frame(
        rows.len(),
        vec![
            column("window_start_ns", of(|r| r.start_ns)),
            column("workload", names),
            column("step", steps),
            column("phase", phases),
            column("completed_in", completed_in),
            column("outcome", outcomes),
            column("requests", of(|r| r.count)),
            column("sent_bytes", of(|r| r.sent_bytes)),
            column("received_bytes", of(|r| r.received_bytes)),
            column("service_ns_hdr", times(|r| &r.service)),
            column("response_ns_hdr", times(|r| &r.response)),
            column("lag_ns_hdr", times(|r| &r.lag)),
            column("connect_ns_hdr", times(|r| &r.connect)),
            column("first_byte_ns_hdr", times(|r| &r.first_byte)),
        ],
    )
}

/// Columns of `requests.parquet`: one row per request and per pass. Times are nanoseconds since the start of the load.
fn request_frame(workloads: &[WorkloadNames], rows: &[(u16, RequestRow)]) -> DataFrame {
    let of = |f: fn(&RequestRow) -> u64| rows.iter().map(|(_, r)| f(r)).collect::<Vec<u64>>();
    let workload = |index: u16| workloads.get(usize::from(index));
    let step = |(index, r): &(u16, RequestRow)| {
        r.step.map_or(WHOLE, |s| workload(*index).and_then(|w| w.steps.get(usize::from(s))).map_or("", String::as_str))
    };
    let names: Vec<&str> = rows.iter().map(|(index, _)| workload(*index).map_or("", |w| w.workload.as_str())).collect();
    let steps: Vec<&str> = rows.iter().map(step).collect();
    frame(
        rows.len(),
        vec![
            column("workload", names),
            column("step", steps),
            column("phase", rows.iter().map(|(_, r)| r.phase.name()).collect::<Vec<&str>>()),
            column(
                "outcome",
                rows.iter().map(|(i, r)| r.outcome.name(workload(*i).map_or(&[], |w| &w.outcomes))).collect::<Vec<&str>>(),
            ),
            column("intended_ns", of(|r| r.intended_ns)),
            column("sent_ns", of(|r| r.sent_ns)),
            column("first_byte_ns", rows.iter().map(|(_, r)| r.first_byte_ns).collect::<Vec<Option<u64>>>()),
            column("completed_ns", of(|r| r.completed_ns)),
            column("sent_bytes", of(|r| r.sent_bytes)),
            column("received_bytes", of(|r| r.received_bytes)),
            column("key", rows.iter().map(|(_, r)| r.key).collect::<Vec<Option<u64>>>()),
        ],
    )
}

/// Columns of `metrics.parquet`: one row per pass of a command and metric.
fn metric_frame(workloads: &[WorkloadNames], rows: &[MetricRow]) -> DataFrame {
    let of = |r: &MetricRow| workloads.get(usize::from(r.workload));
    let metric = |r: &MetricRow| of(r).and_then(|w| w.metrics.get(usize::from(r.metric))).map_or("", String::as_str).to_owned();
    frame(
        rows.len(),
        vec![
            column("at_ns", rows.iter().map(|r| r.at_ns).collect::<Vec<u64>>()),
            column(
                "workload",
                rows.iter().map(|r| of(r).map_or("", |w| w.workload.as_str()).to_owned()).collect::<Vec<String>>(),
            ),
            column("phase", rows.iter().map(|r| r.phase.name()).collect::<Vec<&str>>()),
            column("pass", rows.iter().map(|r| r.pass).collect::<Vec<u64>>()),
            column("metric", rows.iter().map(metric).collect::<Vec<String>>()),
            column("value", rows.iter().map(|r| r.value).collect::<Vec<f64>>()),
        ],
    )
}

/// Columns of `resources.parquet`: one row per sample and replica, over its whole process tree.
fn resource_frame(epoch: Instant, rows: &[ProcessSample]) -> DataFrame {
    let of = |f: fn(&ProcessSample) -> u64| rows.iter().map(f).collect::<Vec<u64>>();
    let targets: Vec<&str> = rows.iter().map(|r| &*r.target).collect();
    let replicas: Vec<u32> = rows.iter().map(|r| r.replica).collect();
    let pss: Vec<Option<u64>> = rows.iter().map(|r| r.pss_bytes).collect();
    frame(
        rows.len(),
        vec![
            column("at_ns", rows.iter().map(|r| since(epoch, r.at)).collect::<Vec<i64>>()),
            column("target", targets),
            column("replica", replicas),
            column("processes", of(|r| u64::from(r.processes))),
            column("threads", of(|r| r.threads)),
            column("pss_bytes", pss),
            column("rss_bytes", of(|r| r.rss_bytes)),
            column("peak_rss_bytes", of(|r| r.peak_rss_bytes)),
            column("cpu_user_ns", of(|r| r.cpu_user_ns)),
            column("cpu_system_ns", of(|r| r.cpu_system_ns)),
            column("open_files", of(|r| r.open_files)),
            column("voluntary_switches", of(|r| r.voluntary_switches)),
            column("involuntary_switches", of(|r| r.involuntary_switches)),
            column("read_bytes", of(|r| r.read_bytes)),
            column("written_bytes", of(|r| r.written_bytes)),
            column("complete", rows.iter().map(|r| r.complete).collect::<Vec<bool>>()),
        ],
    )
}

/// Columns of `host.parquet`: one row per sample and core; values of the whole host are repeated.
fn host_frame(epoch: Instant, rows: &[HostSample]) -> DataFrame {
    let cores: Vec<_> = rows.iter().flat_map(|r| r.cores.iter().map(move |c| (r, c))).collect();
    let of = |f: fn(&vocabulary::rows::CoreTimes) -> u64| cores.iter().map(|(_, c)| f(c)).collect::<Vec<u64>>();
    // Values that the kernel does not report everywhere may be null.
    let told = |f: fn(&HostSample) -> Option<u64>| cores.iter().map(|(r, _)| f(r)).collect::<Vec<Option<u64>>>();
    let clock = |f: fn(&CoreClock) -> Option<u64>| cores.iter().map(|(_, c)| f(&c.clock)).collect::<Vec<Option<u64>>>();
    frame(
        cores.len(),
        vec![
            column("at_ns", cores.iter().map(|(r, _)| since(epoch, r.at)).collect::<Vec<i64>>()),
            column("core", cores.iter().map(|(_, c)| c.core).collect::<Vec<u32>>()),
            column("user_ns", of(|c| c.user_ns)),
            column("system_ns", of(|c| c.system_ns)),
            column("idle_ns", of(|c| c.idle_ns)),
            column("iowait_ns", of(|c| c.iowait_ns)),
            column("steal_ns", of(|c| c.steal_ns)),
            column("memory_total_bytes", cores.iter().map(|(r, _)| r.mem_total_bytes).collect::<Vec<u64>>()),
            column("memory_available_bytes", cores.iter().map(|(r, _)| r.mem_available_bytes).collect::<Vec<u64>>()),
            column("load_1min", cores.iter().map(|(r, _)| r.load_1min).collect::<Vec<f64>>()),
            column("cpu_pressure_some_us", told(|r| r.pressure.cpu.map(|p| p.some_us))),
            column("cpu_pressure_full_us", told(|r| r.pressure.cpu.and_then(|p| p.full_us))),
            column("memory_pressure_some_us", told(|r| r.pressure.memory.map(|p| p.some_us))),
            column("memory_pressure_full_us", told(|r| r.pressure.memory.and_then(|p| p.full_us))),
            column("io_pressure_some_us", told(|r| r.pressure.io.map(|p| p.some_us))),
            column("io_pressure_full_us", told(|r| r.pressure.io.and_then(|p| p.full_us))),
            column("frequency_hz", clock(|c| c.frequency_hz)),
            column("frequency_max_hz", clock(|c| c.frequency_max_hz)),
            column("core_throttles", clock(|c| c.throttles)),
            column("package_throttles", told(|r| r.package_throttles)),
        ],
    )
}

/// A file of frames with the same columns, one after the other, as bytes for [`super::files::write_whole`]; none without a
/// frame, since the columns would be unknown.
///
/// `path`: where the file will be, for errors.
///
/// # Errors
/// [`Error::WriteTable`]; also if one of the frames could not be made.
pub fn parquet(path: &Path, frames: impl IntoIterator<Item = PolarsResult<DataFrame>>) -> Result<Option<Vec<u8>>, Error> {
    let mut frames = frames.into_iter();
    let write = || -> PolarsResult<Option<Vec<u8>>> {
        let Some(first) = frames.next().transpose()? else { return Ok(None) };
        let mut bytes = Vec::new();
        let writer = ParquetWriter::new(&mut bytes).with_compression(ParquetCompression::Lz4Raw).set_parallel(false);
        let mut writer = writer.batched(first.schema())?;
        for frame in std::iter::once(Ok(first)).chain(frames) {
            writer.write_batch(&frame?)?;
        }
        writer.finish()?;
        drop(writer);
        Ok(Some(bytes))
    };
    write().map_err(|source| Error::WriteTable { path: path.to_owned(), source })
}

/// Reads a whole table.
///
/// # Errors
/// [`Error::Read`], [`Error::ReadTable`].
pub fn read(path: &Path) -> Result<DataFrame, Error> {
    read_some(path, None)
}

/// Reads columns of a table, in the order of the table; columns that it does not have are left out.
///
/// # Errors
/// [`Error::Read`], [`Error::ReadTable`].
pub fn read_columns(path: &Path, columns: &[&str]) -> Result<DataFrame, Error> {
    read_some(path, Some(columns))
}

fn read_some(path: &Path, columns: Option<&[&str]>) -> Result<DataFrame, Error> {
    // Read, not mapped: tables are small, and a file that shrinks while it is mapped ends the process.
    let bytes = super::files::read(path)?;
    parse(path, || {
        let mut reader = ParquetReader::new(std::io::Cursor::new(bytes)).read_parallel(ParallelStrategy::None);
        if let Some(columns) = columns {
            let wanted = projection(reader.schema()?.as_ref(), columns);
            reader = reader.with_projection(Some(wanted));
        }
        whole(reader.finish()?)
    })
}

/// Reads columns of a large table piece by piece, on all cores, and returns the results of `each`, in the order of the pieces.
/// Only the pieces in use are in memory.
///
/// # Errors
/// [`Error::Read`], [`Error::ReadTable`].
pub fn read_pieces<T: Send>(path: &Path, columns: &[&str], each: impl Fn(&DataFrame) -> T + Sync) -> Result<Vec<T>, Error> {
    let pieces = Pieces::open(path)?;
    (0..pieces.len()).into_par_iter().map(|number| Ok(each(&pieces.read(number, columns)?))).collect()
}

/// A table that is open for reading piece by piece: as it was written, some hundred or thousand rows at a time.
pub(super) struct Pieces {
    path: PathBuf,
    /// The names of its columns, in their order.
    pub columns: Vec<String>,
    /// The metadata of a file that contained only one of the pieces.
    pieces: Vec<FileMetadataRef>,
}

impl Pieces {
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = super::files::open(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        parse(path, || {
            let mut reader = ParquetReader::new(file);
            let columns = reader.schema()?.iter_names().map(|name| name.to_string()).collect();
            let mut metadata = (**reader.get_metadata()?).clone();
            let groups = std::mem::take(&mut metadata.row_groups);
            let alone = |group| {
                let mut one = metadata.clone();
                one.row_groups = vec![group];
                one.num_rows = one.row_groups[0].num_rows();
                FileMetadataRef::new(one)
            };
            Ok(Self { path: path.to_owned(), columns, pieces: groups.into_iter().map(alone).collect() })
        })
    }

    /// How many pieces there are.
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Columns of a piece, in the order of the table; columns that it does not have are left out.
    pub fn read(&self, number: usize, columns: &[&str]) -> Result<DataFrame, Error> {
        let file = super::files::open(&self.path).map_err(|source| Error::Read { path: self.path.clone(), source })?;
        parse(&self.path, || {
            let mut reader = ParquetReader::new(file).read_parallel(ParallelStrategy::None);
            reader.set_metadata(FileMetadataRef::clone(&self.pieces[number]));
            let wanted = projection(reader.schema()?.as_ref(), columns);
            whole(reader.with_projection(Some(wanted)).finish()?)
        })
    }
}

fn projection(schema: &ArrowSchema, columns: &[&str]) -> Vec<usize> {
    schema.iter_names().enumerate().filter(|(_, name)| columns.contains(&name.as_str())).map(|(index, _)| index).collect()
}

/// A damaged table may have columns of different lengths, which polars does not check here.
fn whole(frame: DataFrame) -> PolarsResult<DataFrame> {
    match frame.columns().iter().find(|c| c.len() != frame.height()) {
        Some(short) => Err(PolarsError::ComputeError(format!("its column {} is damaged", short.name()).into())),
        None => Ok(frame),
    }
}

/// Damaged data makes polars panic in some places; that is not a fault of this program, and the other tables are read.
fn parse<T>(path: &Path, parse: impl FnOnce() -> PolarsResult<T>) -> Result<T, Error> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !PARSING.get() {
                before(panic);
            }
        }));
    });
    PARSING.set(true);
    let parsed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(parse));
    PARSING.set(false);
    let parsed = parsed.unwrap_or_else(|_| Err(PolarsError::ComputeError("it is not valid Parquet".into())));
    parsed.map_err(|source| Error::ReadTable { path: path.to_owned(), source })
}

thread_local! {
    /// Whether this thread is parsing a table: a panic is then caught and becomes an error of the table; it is not printed.
    static PARSING: Cell<bool> = const { Cell::new(false) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_has_a_line_in_the_docs() {
        let docs = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/results.md")).unwrap();
        let now = Instant::now();
        let frames = [
            ("windows", window_frame(&[], &[])),
            ("requests", request_frame(&[], &[])),
            ("metrics", metric_frame(&[], &[])),
            ("resources", resource_frame(now, &[])),
            ("host", host_frame(now, &[])),
            ("transfers", transfer_frame(&[], &[])),
        ];
        for (name, frame) in frames {
            let start = docs.find(&format!("## {name}.parquet")).unwrap_or_else(|| panic!("no section for {name}.parquet"));
            let section = docs[start + 3..].split("\n## ").next().unwrap();
            for column in frame.get_column_names() {
                assert!(
                    section.contains(&format!("`{column}`")),
                    "docs/results.md does not mention `{column}` of {name}.parquet"
                );
            }
        }
    }
}
