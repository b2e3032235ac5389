//! `--otlp URL`: a run as OpenTelemetry metrics while it lasts.
//!
//! Every few seconds the state of load and targets is sent, and after each repetition what was measured in it, with its histograms, as
//! `runner export otlp` writes it. A thread of its own sends; a receiver that is slow or away costs requests, which are counted and
//! reported at the end, and never time.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, UNIX_EPOCH};

use serde_json::Value as Json;

use super::Stop;
use super::progress::Reporter;
use crate::exit::Exit;
use crate::export::otlp;
use crate::export::points::{self, Labels};
use crate::load::page;
use crate::plan::tls::Tls as TlsPlan;
use crate::plan::{Plan, Url};
use crate::record::files::read_json;
use crate::record::status::Status;
use crate::record::{Repetition, RunRecord};
use crate::vocabulary::live::{Live, LiveTarget, LiveWorkload};
use crate::vocabulary::units::nanos;

/// How often the state is sent.
const EVERY: Duration = Duration::from_secs(2);
/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How many requests may wait.
const WAITING: usize = 16;
/// How long the last requests may take, all together.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is sent.
enum News {
    /// The state of the run, at this time.
    Live(Box<Live>, u64),
    /// A repetition ended: its folder, and the index of its cell.
    Ended(PathBuf, usize),
}

/// What became of the requests.
#[derive(Debug, Default)]
struct Outcome {
    sent: u64,
    failed: u64,
    first: Option<String>,
}

/// Who sends.
pub(super) struct Telemetry {
    url: String,
    directory: PathBuf,
    news: Option<SyncSender<News>>,
    thread: Option<JoinHandle<Outcome>>,
    lost: std::cell::Cell<u64>,
}

/// The address of a receiver: a URL without a path gets that of metrics, as with `OTEL_EXPORTER_OTLP_ENDPOINT`.
pub(super) fn address(text: &str) -> Result<(Url, String), Stop> {
    let wrong = |why: &str| Stop::new(Exit::InvalidInput, format!("`{text}` is not a valid --otlp: {why}"));
    let url = Url::parse(text).map_err(wrong)?;
    let path = if url.request_path() == "/" { "/v1/metrics".to_owned() } else { url.request_path().to_owned() };
    Ok((url.origin(), path))
}

impl Telemetry {
    /// Starts to send to a receiver.
    pub(super) fn start(text: &str, plan: &Plan, directory: &Path) -> Result<Self, Stop> {
        let (url, path) = address(text)?;
        let tls = url.tls.then(|| crate::load::page::Tls::new(&TlsPlan::default(), false)).transpose();
        let tls = tls.map_err(|error| Stop::from_error(Exit::InvalidInput, &error))?;
        let failed = |error: std::io::Error| Stop::new(Exit::Failure, format!("cannot start the thread of --otlp: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (news, heard) = sync_channel(WAITING);
        let sender = Sender {
            url,
            path,
            tls,
            runtime,
            directory: directory.to_owned(),
            experiment: plan.experiment.clone(),
            since: unix_ns(),
            run: None,
            outcome: Outcome::default(),
        };
        let thread = std::thread::Builder::new().name("otlp".to_owned()).spawn(move || sender.listen(&heard)).map_err(failed)?;
        let (news, thread, lost) = (Some(news), Some(thread), std::cell::Cell::default());
        Ok(Self { url: text.to_owned(), directory: directory.to_owned(), news, thread, lost })
    }

    /// Sends how the run stands, for ever.
    pub(super) async fn watch(&self, plan: &Plan, reporter: &Reporter) -> std::convert::Infallible {
        let mut told = Instant::now();
        loop {
            tokio::time::sleep(Duration::from_millis(250)).await;
            self.ended(plan, reporter);
            if told.elapsed() >= EVERY {
                told = Instant::now();
                self.send(News::Live(Box::new(reporter.live()), unix_ns()));
            }
        }
    }

    /// Sends what ended meanwhile.
    fn ended(&self, plan: &Plan, reporter: &Reporter) {
        for (cell, repetition) in reporter.take_ended() {
            if let Some(index) = plan.cells.iter().position(|one| one.id.0 == cell) {
                let path = self.directory.join("cells").join(&plan.cells[index].path).join(format!("run{repetition}"));
                self.send(News::Ended(path, index));
            }
        }
    }

    fn send(&self, news: News) {
        if let Some(Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) = self.news.as_ref().map(|to| to.try_send(news)) {
            self.lost.set(self.lost.get() + 1);
        }
    }

    /// Sends what is left, and says what did not arrive.
    pub(super) fn finish(mut self, plan: &Plan, reporter: &Reporter) {
        self.ended(plan, reporter);
        self.news = None;
        let Some(thread) = self.thread.take() else { return };
        let begun = Instant::now();
        while !thread.is_finished() && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(5));
        }
        if !thread.is_finished() {
            reporter.say(&format!("note: {} took the last metrics too slowly; the rest was not sent", self.url));
            return;
        }
        let outcome = thread.join().unwrap_or_default();
        let (failed, all) = (outcome.failed + self.lost.get(), outcome.sent + outcome.failed + self.lost.get());
        if failed > 0 {
            let first = outcome.first.unwrap_or_else(|| "they came faster than they could be sent".to_owned());
            reporter.say(&format!("note: {failed} of {all} requests to {} failed: {first}", self.url));
        }
    }
}

fn unix_ns() -> u64 {
    UNIX_EPOCH.elapsed().map_or(0, nanos)
}

/// The thread that sends.
struct Sender {
    url: Url,
    path: String,
    tls: Option<page::Tls>,
    runtime: tokio::runtime::Runtime,
    directory: PathBuf,
    experiment: String,
    since: u64,
    /// The record of the run, once it was needed.
    run: Option<RunRecord>,
    outcome: Outcome,
}

impl Sender {
    fn listen(mut self, heard: &Receiver<News>) -> Outcome {
        while let Ok(news) = heard.recv() {
            let request = match news {
                News::Live(live, at) => self.of_live(&live, at),
                News::Ended(path, cell) => self.of_repetition(path, cell),
            };
            match request.and_then(|request| self.post(&request)) {
                Ok(()) => self.outcome.sent += 1,
                Err(words) => {
                    self.outcome.failed += 1;
                    self.outcome.first.get_or_insert(words);
                }
            }
        }
        self.outcome
    }

    fn post(&self, request: &Json) -> Result<(), String> {
        let connect = self.url.authority();
        let headers = [("content-type".to_owned(), "application/json".to_owned())];
        let ask = page::Ask {
            url: &self.url,
            connect: &connect,
            path: &self.path,
            headers: &headers,
            tls: self.tls.as_ref(),
            timeout: TIMEOUT,
            limit: 1 << 20,
        };
        let answer = self.runtime.block_on(page::post(&ask, request.to_string()))?;
        let said = serde_json::from_slice::<Json>(&answer).unwrap_or_default();
        // A receiver may take only a part; a number in OTLP/JSON is a text.
        let rejected = &said["partialSuccess"]["rejectedDataPoints"];
        let rejected = rejected.as_u64().or_else(|| rejected.as_str()?.parse().ok()).unwrap_or_default();
        if rejected == 0 {
            return Ok(());
        }
        let why = said["partialSuccess"]["errorMessage"].as_str().unwrap_or_default();
        Err(format!("it rejected {rejected} points{}{why}", if why.is_empty() { "" } else { ": " }))
    }

    /// What was measured in a repetition that has just ended.
    fn of_repetition(&mut self, path: PathBuf, cell: usize) -> Result<Json, String> {
        let said = |error: crate::record::Error| crate::vocabulary::errors::chain(&error);
        if self.run.is_none() {
            self.run = Some(RunRecord::open(&self.directory).map_err(said)?);
        }
        let Some(run) = &self.run else { return Err("the run is not there".to_owned()) };
        let status: Status = read_json(&path.join("status.json")).map_err(said)?;
        let (points, _) = points::measured(run, &Repetition { cell, path, status });
        Ok(otlp::request(&points))
    }

    /// How the run stands.
    fn of_live(&self, live: &Live, at: u64) -> Result<Json, String> {
        let run = self.directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut of = vec![("experiment".to_owned(), self.experiment.clone()), ("run".to_owned(), run)];
        let none = Labels::new();
        let mut metrics = vec![otlp::counter("repetitions", &none, (self.since, at), live.done)];
        if let Some(repetition) = &live.repetition {
            of.push(("cell".to_owned(), repetition.cell.clone()));
            of.push(("repetition".to_owned(), repetition.number.to_string()));
            for workload in &repetition.figures.workloads {
                of_workload(workload, (self.since, at), &mut metrics);
            }
            for target in &repetition.figures.targets {
                of_target(target, at, &mut metrics);
            }
        }
        Ok(otlp::envelope(&of, metrics))
    }
}

fn of_workload(workload: &LiveWorkload, (since, at): (u64, u64), metrics: &mut Vec<Json>) {
    let labels = vec![("workload".to_owned(), workload.name.clone())];
    let mut gauge = |name: &str, unit: &str, value: Option<f64>| {
        metrics.extend(value.map(|value| otlp::gauge(&format!("live.{name}"), unit, &labels, at, value)));
    };
    gauge("throughput", "1/s", workload.passes_per_s);
    gauge("response_p50", "s", workload.response_p50_ns.map(|ns| ns as f64 / 1e9));
    gauge("response_p99", "s", workload.response_p99_ns.map(|ns| ns as f64 / 1e9));
    for (name, value) in [("live.passes", workload.passes), ("live.errors", workload.errors)] {
        metrics.push(otlp::counter(name, &labels, (since, at), value));
    }
}

fn of_target(target: &LiveTarget, at: u64, metrics: &mut Vec<Json>) {
    let labels = vec![("target".to_owned(), target.name.clone())];
    let cpu = target.cpu_cores.map(|cores| otlp::gauge("live.target_cpu", "1", &labels, at, cores));
    let pss = target.pss_bytes.map(|bytes| otlp::gauge("live.target_pss", "By", &labels, at, bytes as f64));
    metrics.extend(cpu.into_iter().chain(pss));
}
