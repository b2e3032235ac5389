//! A program as the load: each pass is one execution, and its metrics come from its output.
//!
//! Processes belong to their supervisor: this driver requests one by message and is told how it ended.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::{Carrier, Checked, Client, Driver, Exchange, Failure};
use crate::{Error, Job, Running, start_with};
use extract::{Rules, Source};
use vocabulary::Outcome;

/// Where executions are requested.
pub type Launcher = mpsc::UnboundedSender<Launch>;

/// A program to execute.
#[derive(Debug)]
pub struct Launch {
    /// Name of the workload.
    pub workload: String,
    /// Number of the client, for the names of its logs.
    pub client: u64,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Environment variables to add.
    pub env: Vec<(String, String)>,
    /// Working directory of the program; `None`: that of runner.
    pub dir: Option<PathBuf>,
    /// Processors on which it may run.
    pub cpus: Vec<u32>,
    /// How long it may take before it is killed.
    pub timeout: Duration,
    /// Receives its end, or in words what kept it from starting.
    pub ended: oneshot::Sender<Result<Launched, String>>,
}

/// How an execution ended.
#[derive(Debug)]
pub struct Launched {
    /// When it was started.
    pub started: Instant,
    /// When its end was noticed.
    pub ended: Instant,
    /// Its exit code; `None` if it was killed by a signal.
    pub code: Option<i32>,
    /// How it ended, in words.
    pub words: String,
    /// Whether it took too long and was killed for that.
    pub timed_out: bool,
    /// Processor time, user and system, of itself and all children that it waited for.
    pub cpu: Duration,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
    /// Whether one of the two outputs was longer than this.
    pub is_cut: bool,
}

/// What all executions have in common.
pub struct CommandDriver {
    workload: String,
    argv: Vec<String>,
    env: Vec<(String, String)>,
    dir: Option<PathBuf>,
    cpus: Vec<u32>,
    command: plan::drivers::command::Command,
    rules: Rules,
    launcher: Launcher,
}

impl CommandDriver {
    /// Prepares what does not change from pass to pass.
    ///
    /// # Errors
    /// When a pattern is not a regular expression.
    pub fn new(command: &plan::drivers::command::Command, workload: &plan::Workload, launcher: Launcher) -> Result<Self, Error> {
        let invalid = |e: regex::Error| Error::Request { step: workload.name.clone(), reason: e.to_string() };
        Ok(Self {
            workload: workload.name.clone(),
            argv: command.argv.iter().map(plan::Template::to_text).collect(),
            env: command.env.iter().map(|(k, v)| (k.clone(), v.to_text())).collect(),
            dir: command.dir.as_ref().map(|d| PathBuf::from(d.to_text())),
            cpus: workload.cpus.clone(),
            command: command.clone(),
            rules: Rules::new(&command.metrics).map_err(invalid)?,
            launcher,
        })
    }

    /// The metrics of an execution, in the order of [`plan::Workload::metrics`].
    fn metrics(&self, done: &Launched) -> Result<Vec<f64>, String> {
        let [out, err] = [&done.stdout, &done.stderr].map(|bytes| String::from_utf8_lossy(bytes));
        let measured = [done.cpu.as_secs_f64(), (done.ended - done.started).as_secs_f64()];
        let known: Vec<(&str, f64)> = plan::drivers::command::METRICS.into_iter().zip(measured).collect();
        let own = self.rules.take(Source::Text { out: &out, err: &err }, &known)?;
        Ok(own.into_iter().chain(measured).collect())
    }
}

impl Carrier for plan::drivers::command::Command {
    fn start(&self, job: &Job) -> Result<Running, Error> {
        start_with(&Arc::new(CommandDriver::new(self, &job.workload, job.setting.launcher.clone())?), job)
    }

    /// A program has no pass that could be tried.
    fn verify<'a>(&'a self, _flow: &'a plan::Flow, _seed: u64) -> Checked<'a> {
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Driver for CommandDriver {
    type Client = CommandClient;

    fn steps(&self) -> usize {
        1
    }

    fn client(self: &Arc<Self>, number: u64, _seed: u64, _group: &Rc<()>) -> CommandClient {
        CommandClient { driver: Arc::clone(self), number, pass: 0 }
    }
}

/// One execution at a time.
pub struct CommandClient {
    driver: Arc<CommandDriver>,
    number: u64,
    pass: u64,
}

impl Client for CommandClient {
    type Group = ();

    async fn ready(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn begin_pass(&mut self, pass: u64) {
        self.pass = pass;
    }

    async fn exchange(&mut self, _step: usize) -> Exchange {
        let asked = Instant::now();
        let driver = &self.driver;
        // The command line may contain numbers that only a pass knows.
        let fill =
            |text: &String| text.replace("${pass}", &self.pass.to_string()).replace("${connection}", &self.number.to_string());
        let (to, from) = oneshot::channel();
        let launch = Launch {
            workload: driver.workload.clone(),
            client: self.number,
            argv: driver.argv.iter().map(fill).collect(),
            env: driver.env.iter().map(|(k, v)| (k.clone(), fill(v))).collect(),
            dir: driver.dir.clone(),
            cpus: driver.cpus.clone(),
            timeout: driver.command.timeout,
            ended: to,
        };
        let answer = match driver.launcher.send(launch) {
            Ok(()) => from.await.unwrap_or_else(|_| Err("programs can no longer be started".to_owned())),
            Err(_) => Err("programs can no longer be started".to_owned()),
        };
        let program = driver.argv.first().map_or("", String::as_str);
        let mut exchange = Exchange { completed: Instant::now(), ..Exchange::begun(asked) };
        match answer {
            Err(reason) => exchange.result = Err(Failure::new(Outcome::Io, format!("`{program}`: {reason}"))),
            Ok(done) => {
                (exchange.sent, exchange.completed) = (done.started, done.ended);
                exchange.received_bytes = done.stdout.len() as u64;
                exchange.result = self.judge(&done).map(|metrics| exchange.metrics = metrics);
            }
        }
        exchange
    }

    fn connects(&self) -> u64 {
        0
    }
}

/// Appended to a message if only a part of an output was searched.
const OUTPUT_CUT: &str = " (only the last 16 MiB of its output are searched)";

impl CommandClient {
    fn judge(&self, done: &Launched) -> Result<Vec<f64>, Failure> {
        let program = self.driver.argv.first().map_or("", String::as_str);
        if done.timed_out {
            let after = vocabulary::units::exact_duration(self.driver.command.timeout);
            return Err(Failure::new(Outcome::Timeout, format!("`{program}` took longer than {after} and was killed")));
        }
        let right = done.code.and_then(|c| u8::try_from(c).ok()).is_some_and(|c| self.driver.command.exit.contains(&c));
        if !right {
            let tail = String::from_utf8_lossy(if done.stderr.is_empty() { &done.stdout } else { &done.stderr }).into_owned();
            let last: Vec<&str> = tail.lines().rev().take(3).collect();
            let last: String = last.iter().rev().map(|l| format!("\n    | {l}")).collect();
            return Err(Failure::new(Outcome::Exit, format!("`{program}` {}{last}", done.words)));
        }
        self.driver.metrics(done).map_err(|reason| {
            let cut = if done.is_cut { OUTPUT_CUT } else { "" };
            Failure::new(Outcome::Carry, format!("`{program}`: {reason}{cut}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plan::{ExtractedMetric, MetricSource};

    fn driver(metrics: Vec<(&str, MetricSource)>) -> CommandDriver {
        let metrics = metrics
            .into_iter()
            .map(|(name, source)| ExtractedMetric {
                name: name.to_owned(),
                source,
                decimal: vocabulary::choices::Decimal::Point,
                times: 1.0,
                unit: String::new(),
            })
            .collect();
        let command = plan::drivers::command::Command {
            argv: Vec::new(),
            env: Vec::new(),
            dir: None,
            exit: vec![0],
            timeout: Duration::from_secs(1),
            metrics,
        };
        let workload = plan::drivers::http::Http::plain(plan::Url::parse("http://x").unwrap(), Vec::new()).once("w");
        CommandDriver::new(&command, &workload, mpsc::unbounded_channel().0).unwrap()
    }

    fn done(stdout: &str, stderr: &str) -> Launched {
        let now = Instant::now();
        Launched {
            started: now,
            ended: now + Duration::from_secs(2),
            code: Some(0),
            words: String::new(),
            timed_out: false,
            cpu: Duration::from_millis(500),
            stdout: stdout.into(),
            stderr: stderr.into(),
            is_cut: false,
        }
    }

    #[test]
    fn figures_come_from_output_by_regex_json_and_ratio() {
        let regex = |p: &str| MetricSource::Regex(p.to_owned());
        let of = driver(vec![
            ("rate", regex("Request rate: ([0-9.]+) req/s")),
            ("requests", MetricSource::Json("/n".to_owned())),
            ("big", regex(r"big ([\d.]+[kM]?)")),
            ("per_cpu_s", MetricSource::Ratio("requests".to_owned(), "cpu_s".to_owned())),
        ]);
        let text = "Request rate: 123.5 req/s (8.1 ms/req)\nbig 1.5k\n{\"n\": 1000}\n";
        assert_eq!(of.metrics(&done(text, "")).unwrap(), [123.5, 1000.0, 1500.0, 2000.0, 0.5, 2.0]);
        assert_eq!(of.metrics(&done("", text)).unwrap_err(), "the metric `requests`: it is empty, but JSON was expected");
        assert_eq!(of.metrics(&done("{\"m\": 1}", text)).unwrap_err(), "the metric `requests`: there is nothing at `/n`");
        assert_eq!(
            of.metrics(&done("no such line", "")).unwrap_err(),
            "the metric `rate`: nothing matches `Request rate: ([0-9.]+) req/s`"
        );
    }
}
