//! A program as the load: each pass is one execution, its figures come from its output.
//!
//! Processes belong to whoever supervises them: this driver asks for one by message and is told how it ended.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::{Client, Driver, Exchange, Failure};
use crate::load::Error;
use crate::load::windows::Outcome;
use crate::plan::{self, MetricSource};

/// Where executions are asked for.
pub type Launcher = mpsc::UnboundedSender<Launch>;

/// A program that is to be executed.
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
    /// Working directory.
    pub dir: Option<PathBuf>,
    /// Processors on which it may run.
    pub cpus: Vec<u32>,
    /// How long it may take before it is killed.
    pub timeout: Duration,
    /// Where its end is told; in words what kept it from beginning.
    pub ended: oneshot::Sender<Result<Launched, String>>,
}

/// How an execution ended.
#[derive(Debug)]
pub struct Launched {
    /// When it was started.
    pub started: Instant,
    /// When it ended.
    pub ended: Instant,
    /// Its exit code; none when it was killed by a signal.
    pub code: Option<i32>,
    /// How it ended, in words.
    pub words: String,
    /// Whether it took too long and was killed for that.
    pub timed_out: bool,
    /// Processor time of itself and all its children that it waited for, user and system.
    pub cpu: Duration,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
}

/// What all executions have in common.
pub struct CommandDriver {
    workload: String,
    argv: Vec<String>,
    env: Vec<(String, String)>,
    dir: Option<PathBuf>,
    cpus: Vec<u32>,
    command: plan::Command,
    patterns: Vec<Option<regex::Regex>>,
    launcher: Launcher,
}

impl CommandDriver {
    /// Makes ready what does not change from pass to pass.
    ///
    /// # Errors
    /// When a pattern is no regular expression.
    pub fn new(command: &plan::Command, workload: &plan::Workload, launcher: Launcher) -> Result<Self, Error> {
        let invalid = |e: regex::Error| Error::Request { step: workload.name.clone(), reason: e.to_string() };
        let pattern = |metric: &plan::CommandMetric| match &metric.source {
            MetricSource::Regex(pattern) => regex::Regex::new(pattern).map(Some).map_err(invalid),
            _ => Ok(None),
        };
        Ok(Self {
            workload: workload.name.clone(),
            argv: command.argv.iter().map(plan::Template::to_text).collect(),
            env: command.env.iter().map(|(k, v)| (k.clone(), v.to_text())).collect(),
            dir: command.dir.as_ref().map(|d| PathBuf::from(d.to_text())),
            cpus: workload.cpus.clone(),
            command: command.clone(),
            patterns: command.metrics.iter().map(pattern).collect::<Result<_, _>>()?,
            launcher,
        })
    }

    /// The figures of an execution, in the order of [`plan::Workload::metrics`].
    fn metrics(&self, done: &Launched) -> Result<Vec<f64>, String> {
        let text = String::from_utf8_lossy(&done.stdout);
        let errors = String::from_utf8_lossy(&done.stderr);
        let json: std::cell::OnceCell<serde_json::Value> = std::cell::OnceCell::new();
        let mut values: Vec<(&str, f64)> = vec![
            (plan::workloads::COMMAND_METRICS[0], done.cpu.as_secs_f64()),
            (plan::workloads::COMMAND_METRICS[1], (done.ended - done.started).as_secs_f64()),
        ];
        for (metric, pattern) in self.command.metrics.iter().zip(&self.patterns) {
            let missing = |what: &str| format!("the metric `{}`: {what}", metric.name);
            let value = match (&metric.source, pattern) {
                (MetricSource::Regex(source), Some(pattern)) => {
                    let found = pattern.captures(&text).or_else(|| pattern.captures(&errors));
                    let found = found.and_then(|c| c.get(1).or_else(|| c.get(0)));
                    let found = found.ok_or_else(|| missing(&format!("nothing matches `{source}`")))?.as_str();
                    number(found).ok_or_else(|| missing(&format!("`{found}` is no number")))?
                }
                (MetricSource::Json(pointer), _) => {
                    let json = json.get_or_init(|| parse_json(&text));
                    let found = json.pointer(pointer).ok_or_else(|| missing(&format!("there is nothing at `{pointer}`")))?;
                    let text = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
                    number(&text).ok_or_else(|| missing(&format!("`{text}` is no number")))?
                }
                (MetricSource::Ratio(above, below), _) => {
                    let get = |name: &str| values.iter().find(|(n, _)| *n == name).map_or(f64::NAN, |(_, v)| *v);
                    let ratio = get(above) / get(below);
                    if !ratio.is_finite() {
                        return Err(missing(&format!("`{above}` / `{below}` is {ratio}")));
                    }
                    ratio
                }
                (MetricSource::Regex(_), None) => f64::NAN,
            };
            values.push((&metric.name, value * metric.times));
        }
        let values: Vec<f64> = values.into_iter().map(|(_, v)| v).collect();
        Ok([&values[2..], &values[..2]].concat())
    }
}

/// Output may have lines around its JSON: the first object or array that can be read is taken.
fn parse_json(text: &str) -> serde_json::Value {
    if let Ok(value) = serde_json::from_str(text) {
        return value;
    }
    let starts = text.char_indices().filter(|(_, c)| matches!(c, '{' | '[')).map(|(at, _)| at).take(100);
    let mut found = starts.filter_map(|at| serde_json::Deserializer::from_str(&text[at..]).into_iter().next()?.ok());
    found.next().unwrap_or_default()
}

/// A number as programs print it: with thousands separated, or a unit of thousands behind it.
fn number(text: &str) -> Option<f64> {
    let text = text.trim().replace(',', "");
    let (digits, factor) = match text.chars().last()? {
        'k' | 'K' => (&text[..text.len() - 1], 1e3),
        'M' => (&text[..text.len() - 1], 1e6),
        'G' => (&text[..text.len() - 1], 1e9),
        _ => (text.as_str(), 1.0),
    };
    digits.trim().parse::<f64>().ok().filter(|v| v.is_finite()).map(|v| v * factor)
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
        // Numbers that only a pass knows may stand in the command line.
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
            Ok(()) => from.await.unwrap_or_else(|_| Err("nobody starts programs any more".to_owned())),
            Err(_) => Err("nobody starts programs any more".to_owned()),
        };
        let program = driver.argv.first().map_or("", String::as_str);
        let mut exchange = Exchange {
            sent: asked,
            connect: None,
            first_byte: None,
            completed: Instant::now(),
            sent_bytes: 0,
            received_bytes: 0,
            metrics: Vec::new(),
            result: Ok(()),
        };
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

impl CommandClient {
    fn judge(&self, done: &Launched) -> Result<Vec<f64>, Failure> {
        let program = self.driver.argv.first().map_or("", String::as_str);
        if done.timed_out {
            let after = crate::units::exact_duration(self.driver.command.timeout);
            return Err(Failure::new(Outcome::Timeout, format!("`{program}` took longer than {after} and was killed")));
        }
        let right = done.code.and_then(|c| u8::try_from(c).ok()).is_some_and(|c| self.driver.command.exit.contains(&c));
        if !right {
            let tail = String::from_utf8_lossy(if done.stderr.is_empty() { &done.stdout } else { &done.stderr }).into_owned();
            let last: Vec<&str> = tail.lines().rev().take(3).collect();
            let last: String = last.iter().rev().map(|l| format!("\n    | {l}")).collect();
            return Err(Failure::new(Outcome::Exit, format!("`{program}` {}{last}", done.words)));
        }
        self.driver.metrics(done).map_err(|reason| Failure::new(Outcome::Carry, format!("`{program}`: {reason}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::CommandMetric;

    fn driver(metrics: Vec<(&str, MetricSource)>) -> CommandDriver {
        let metrics = metrics
            .into_iter()
            .map(|(name, source)| CommandMetric { name: name.to_owned(), source, times: 1.0, unit: String::new() })
            .collect();
        let command = plan::Command {
            argv: Vec::new(),
            env: Vec::new(),
            dir: None,
            exit: vec![0],
            timeout: Duration::from_secs(1),
            metrics,
        };
        let workload = plan::workloads::single("w", plan::Http::plain(plan::Url::parse("http://x").unwrap(), Vec::new()));
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
        assert_eq!(of.metrics(&done("", text)).unwrap_err(), "the metric `requests`: there is nothing at `/n`");
        assert_eq!(
            of.metrics(&done("no such line", "")).unwrap_err(),
            "the metric `rate`: nothing matches `Request rate: ([0-9.]+) req/s`"
        );
    }

    #[test]
    fn numbers_are_read_as_programs_print_them() {
        assert_eq!(number("1,234,567"), Some(1_234_567.0));
        assert_eq!(number(" 12.5k "), Some(12_500.0));
        assert_eq!(number("nan"), None);
        assert_eq!(number("x"), None);
    }
}
