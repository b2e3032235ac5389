//! The catalogue of metrics: which ones there are, and what is known about each.
//!
//! A metric is one row of [`catalogue`]: its name, its words, its unit, to whom it belongs, which direction is better and
//! where it exists. Graphs, `expect`, `compare`, `repeat --metric`, `find`, labels and numbers read it here. Computing it is
//! the job of `analysis`: `analysis::values` for the figures of a repetition, `analysis::curves` for what is drawn over its time.

use std::sync::{Arc, LazyLock};

use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::quantile::{Quantile, Time};
use super::units::{self, Bytes};

/// Something that is measured, one value per repetition. Values are in base units: nanoseconds, bytes, events per second,
/// shares of 1, numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Correct passes (or requests of a step) per second.
    Throughput,
    /// How much throughput varies between the windows of a phase: its standard deviation.
    ThroughputStdev,
    /// Share of the requested passes that were not answered as expected: wrong, unsent and open.
    Errors,
    /// Share of the requested passes that were answered wrongly, or failed.
    Wrong,
    /// Share of the requested passes that had not ended when the load was over.
    Open,
    /// Passes that the schedule requested, per second.
    Offered,
    /// Share of the requested passes that were never sent.
    Unsent,
    /// Bytes of request bodies per second.
    Upload,
    /// Bytes of response bodies per second.
    Download,
    /// How long the phase was, from its first request to its last answer.
    Duration,
    /// The highest rate that held, found by a search.
    Limit,
    /// A custom metric: a protocol provides it, or the scenario takes it from a program, a file or a database.
    Named(Arc<str>),
    /// A time of a request.
    Time(Time, Quantile),
    /// Proportional set size.
    Pss,
    /// Resident set size.
    Rss,
    /// Processor time per second.
    Cpu,
    /// Processor time per correct answer.
    CpuPerRequest,
    /// Context switches per correct answer.
    SwitchesPerRequest,
    /// Bytes read from and written to storage per correct answer.
    IoPerRequest,
    /// Threads.
    Threads,
    /// Open files.
    OpenFiles,
    /// From start to readiness.
    StartUp,
    /// How long a target had work to do and no processor time left of its limit.
    ThrottledTime,
    /// How often a target needed memory beyond its limit.
    MemoryLimitHits,
    /// Processes of a target that were killed because of its memory limit.
    OomKills,
}

/// What the values of a metric are, and so how they are typed and printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Events per second.
    Rate,
    /// A share of 1, shown in percent.
    Share,
    /// Bytes per second.
    ByteRate,
    /// Nanoseconds.
    Time,
    /// Bytes.
    Bytes,
    /// A number of things.
    Number,
    /// Whatever its source says.
    Own,
}

impl Unit {
    /// The unit of values as they are recorded: `ns`, `B`, `1/s`; empty for plain numbers, and if the source gives the unit.
    pub fn base(self) -> &'static str {
        match self {
            Self::Rate => "1/s",
            Self::Share => "share",
            Self::ByteRate => "B/s",
            Self::Time => "ns",
            Self::Bytes => "B",
            Self::Number | Self::Own => "",
        }
    }
}

/// What a metric belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// The passes of a workload, or the requests of one of its steps.
    Pass,
    /// The processes of a target.
    Target,
    /// The machine.
    Host,
    /// A workload, or an entry of `collect`, that provides the metric and names it.
    Collected,
}

/// Which direction of a metric is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Better {
    /// Throughput and the like.
    More,
    /// Times, errors, and what is used up.
    Less,
    /// Only the author of the scenario knows.
    Unknown,
}

impl Better {
    /// The better direction in a word; empty where only the author of the scenario knows it.
    pub fn word(self) -> &'static str {
        match self {
            Self::More => "more",
            Self::Less => "less",
            Self::Unknown => "",
        }
    }

    /// Only the unit of a custom metric is known: seconds are a time, and per second is a rate.
    pub fn of_unit(unit: &str) -> Self {
        match unit {
            "s" | "ms" | "us" | "µs" | "ns" => Self::Less,
            rate if rate.ends_with("/s") => Self::More,
            _ => Self::Unknown,
        }
    }
}

/// Where a metric exists besides the table of a repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exists {
    /// Over the time of a repetition.
    OverTime,
    /// In each phase separately.
    InPhases,
    /// As a condition of a search.
    InSearch,
    /// As a ratio between levels or phases.
    InRatio,
}

use Exists::{InPhases, InRatio, InSearch, OverTime};

impl Exists {
    /// All of them, with their words.
    const ALL: [(Self, &'static str); 4] =
        [(OverTime, "over time"), (InPhases, "by phase"), (InSearch, "in `find`"), (InRatio, "as a ratio")];
}

/// A row of the catalogue.
#[derive(Clone, Debug)]
pub struct Row {
    /// The metric.
    pub metric: Metric,
    /// Its name in YAML, columns and file names.
    pub name: String,
    /// Its name for people.
    pub words: String,
    /// What its values are.
    pub unit: Unit,
    /// The unit on axes, and the factor by which values are multiplied for it.
    pub axis: (&'static str, f64),
    /// What it belongs to.
    pub scope: Scope,
    /// Which direction is better.
    pub better: Better,
    /// Where it exists.
    pub exists: &'static [Exists],
}

impl Row {
    /// Where it exists, in words: `over time, by phase`.
    pub fn places(&self) -> String {
        let here = Exists::ALL.iter().filter(|(place, _)| self.exists.contains(place));
        here.map(|(_, words)| *words).collect::<Vec<_>>().join(", ")
    }
}

/// The time from a fault until the load is as before.
pub const RECOVERY: &str = "recovery_time";
/// The share of repetitions, in percent, in which the load was not as before when it ended; of one repetition 0 or 100.
pub const NOT_RECOVERED: &str = "not_recovered";

const PASSES: (&str, f64) = ("passes/s", 1.0);
const PERCENT: (&str, f64) = ("%", 100.0);
const MEGABYTES: (&str, f64) = ("MB/s", 1e-6);
const MEBIBYTES: (&str, f64) = ("MiB", 1.0 / 1_048_576.0);
const MILLISECONDS: (&str, f64) = ("ms", 1e-6);
const NUMBER: (&str, f64) = ("number", 1.0);

/// All metrics that need no scenario, in the order in which they are listed.
pub fn catalogue() -> &'static [Row] {
    static ROWS: LazyLock<Vec<Row>> = LazyLock::new(rows);
    &ROWS
}

fn rows() -> Vec<Row> {
    use Better::{Less, More};
    use Scope::{Pass, Target};
    type Fixed = (Metric, &'static str, &'static str, Unit, (&'static str, f64), Scope, Better, &'static [Exists]);
    const DRAWN: &[Exists] = &[OverTime, InPhases, InRatio];
    const TOLD: &[Exists] = &[InPhases, InRatio];
    const ALONE: &[Exists] = &[InRatio];
    // name, words, unit, axis, scope, direction, where it exists
    let passes: [Fixed; 11] = [
        (Metric::Throughput, "throughput", "throughput", Unit::Rate, PASSES, Pass, More, DRAWN),
        (
            Metric::ThroughputStdev,
            "throughput_stdev",
            "standard deviation of throughput over windows",
            Unit::Rate,
            PASSES,
            Pass,
            Less,
            TOLD,
        ),
        (Metric::Errors, "errors", "errors", Unit::Share, PERCENT, Pass, Less, &[OverTime, InPhases, InSearch, InRatio]),
        (Metric::Wrong, "wrong", "answered wrongly", Unit::Share, PERCENT, Pass, Less, TOLD),
        (Metric::Open, "open", "open at the end", Unit::Share, PERCENT, Pass, Less, TOLD),
        (Metric::Offered, "offered", "offered rate", Unit::Rate, PASSES, Pass, More, TOLD),
        (Metric::Unsent, "unsent", "never sent", Unit::Share, PERCENT, Pass, Less, TOLD),
        (Metric::Upload, "upload", "upload", Unit::ByteRate, MEGABYTES, Pass, More, DRAWN),
        (Metric::Download, "download", "download", Unit::ByteRate, MEGABYTES, Pass, More, DRAWN),
        (Metric::Limit, "limit", "highest rate that holds", Unit::Rate, PASSES, Pass, More, ALONE),
        (Metric::Duration, "duration", "duration", Unit::Time, ("s", 1e-9), Pass, Less, TOLD),
    ];
    let targets: [Fixed; 12] = [
        (Metric::Pss, "pss", "memory (PSS)", Unit::Bytes, MEBIBYTES, Target, Less, DRAWN),
        (Metric::Rss, "rss", "memory (RSS)", Unit::Bytes, MEBIBYTES, Target, Less, DRAWN),
        (Metric::Cpu, "cpu", "CPU", Unit::Number, ("processors", 1.0), Target, Less, DRAWN),
        (Metric::CpuPerRequest, "cpu_per_request", "CPU time per request", Unit::Time, ("µs", 1e-3), Target, Less, TOLD),
        (
            Metric::SwitchesPerRequest,
            "switches_per_request",
            "context switches per request",
            Unit::Number,
            NUMBER,
            Target,
            Less,
            TOLD,
        ),
        (Metric::IoPerRequest, "io_per_request", "storage I/O per request", Unit::Bytes, ("B", 1.0), Target, Less, TOLD),
        (Metric::Threads, "threads", "threads", Unit::Number, NUMBER, Target, Less, DRAWN),
        (Metric::OpenFiles, "open_files", "open files", Unit::Number, NUMBER, Target, Less, DRAWN),
        (Metric::StartUp, "start_up", "start-up time", Unit::Time, MILLISECONDS, Target, Less, ALONE),
        (Metric::ThrottledTime, "throttled_time", "throttled time", Unit::Time, MILLISECONDS, Target, Less, ALONE),
        (Metric::MemoryLimitHits, "memory_limit_hits", "times at the memory limit", Unit::Number, NUMBER, Target, Less, ALONE),
        (Metric::OomKills, "oom_kills", "processes killed for want of memory", Unit::Number, NUMBER, Target, Less, ALONE),
    ];
    let row = |(metric, name, words, unit, axis, scope, better, exists): Fixed| {
        let (name, words) = (name.to_owned(), words.to_owned());
        Row { metric, name, words, unit, axis, scope, better, exists }
    };
    passes.into_iter().map(row).chain(times()).chain(targets.into_iter().map(row)).collect()
}

/// Every point of every time.
fn times() -> impl Iterator<Item = Row> {
    let point = |time: Time, (name, words, quantile): (&str, &str, Quantile)| {
        // A search judges what each trial has recorded anyway.
        let recorded = matches!(time, Time::Response | Time::Service | Time::Lag) && quantile.share().is_some();
        Row {
            metric: Metric::Time(time, quantile),
            name: format!("{}_{name}", time.name()),
            words: format!("{} {words}", time.words()),
            unit: Unit::Time,
            axis: MILLISECONDS,
            scope: Scope::Pass,
            better: Better::Less,
            exists: if recorded { &[OverTime, InPhases, InSearch, InRatio] } else { &[OverTime, InPhases, InRatio] },
        }
    };
    Time::ALL.into_iter().flat_map(move |(_, time)| Quantile::ALL.into_iter().map(move |quantile| point(time, quantile)))
}

impl Metric {
    /// Its row; none for a custom metric.
    fn row(&self) -> Option<&'static Row> {
        catalogue().iter().find(|row| row.metric == *self)
    }

    /// A metric of the catalogue, by its name.
    pub fn find(name: &str) -> Option<Self> {
        catalogue().iter().find(|row| row.name == name).map(|row| row.metric.clone())
    }

    /// The name of a metric of the catalogue that was spelled in another way: `response-p99`, `response_p99.9`. None where it is its
    /// name, or means none.
    pub fn respelled(typed: &str) -> Option<String> {
        if Self::find(typed).is_some() {
            return None;
        }
        let meant = typed.replace('-', "_").replace("p99_9", "p999").replace("p99.9", "p999");
        Self::find(&meant).map(|_| meant)
    }

    /// The metric with this name; a name that is not in the catalogue is that of a custom metric.
    pub fn by_name(name: &str) -> Self {
        let respelled = || Self::respelled(name).and_then(|meant| Self::find(&meant));
        Self::find(name).or_else(respelled).unwrap_or_else(|| Self::named(name))
    }

    /// A custom metric.
    pub fn named(name: &str) -> Self {
        Self::Named(name.into())
    }

    /// Whether it is a custom metric, not one of the catalogue.
    pub fn is_named(&self) -> bool {
        matches!(self, Self::Named(_))
    }

    /// The word for it in YAML, columns and file names.
    pub fn name(&self) -> &str {
        match self {
            Self::Named(name) => name,
            _ => self.row().map_or("", |row| &row.name),
        }
    }

    /// Its name for people.
    pub fn words(&self) -> String {
        self.row().map_or_else(|| self.name().replace('_', " "), |row| row.words.clone())
    }

    /// What its values are.
    pub fn unit(&self) -> Unit {
        self.row().map_or(Unit::Own, |row| row.unit)
    }

    /// The unit on axes, and the factor by which values are multiplied for it. That of a custom metric is in the summary.
    pub fn axis(&self) -> (&'static str, f64) {
        self.row().map_or(("", 1.0), |row| row.axis)
    }

    /// What it belongs to.
    pub fn scope(&self) -> Scope {
        self.row().map_or(Scope::Collected, |row| row.scope)
    }

    /// Which direction is better; `unit`: the unit of a custom metric.
    pub fn better(&self, unit: &str) -> Better {
        self.row().map_or_else(|| Better::of_unit(unit), |row| row.better)
    }

    /// Where it exists. A custom metric has a value in each phase, and none over time.
    pub fn exists(&self, here: Exists) -> bool {
        self.row().map_or(&[InPhases, InRatio][..], |row| row.exists).contains(&here)
    }

    /// Whether it belongs to targets rather than to requests.
    pub fn is_resource(&self) -> bool {
        self.scope() == Scope::Target
    }

    /// Whether it is what targets used for each correct answer.
    pub fn is_cost(&self) -> bool {
        matches!(self, Self::CpuPerRequest | Self::SwitchesPerRequest | Self::IoPerRequest)
    }

    /// Whether it is called "more" or "less" rather than "faster" or "slower": shares of the passes, and what targets use.
    pub fn is_amount(&self) -> bool {
        self.unit() == Unit::Share || (self.is_resource() && *self != Self::StartUp)
    }

    /// A bound as it is typed, in base units.
    pub fn parse(&self, text: &str) -> Option<f64> {
        let number = || text.trim().parse::<f64>().ok().filter(|n| n.is_finite());
        match self.unit() {
            Unit::Time => units::parse_duration(text).map(|d| d.as_nanos() as f64),
            Unit::Bytes => Bytes::parse(text).map(|b| b.0 as f64),
            Unit::Share => units::parse_percent(text),
            Unit::Rate => units::parse_rate(text).or_else(number),
            Unit::ByteRate => {
                let rate = text.trim().strip_suffix("/s").unwrap_or(text);
                Bytes::parse(rate.trim()).map(|b| b.0 as f64)
            }
            // It is in seconds, and a bound may be typed as a time.
            Unit::Own if self.name() == "recovery_time" => {
                number().or_else(|| units::parse_duration(text).map(|d| d.as_secs_f64()))
            }
            // Shares of outcomes are in percent, and a custom metric may be, too.
            Unit::Own => number().or_else(|| units::parse_percent(text).map(|share| share * 100.0)),
            Unit::Number => number(),
        }
    }

    /// What a bound looks like, for people.
    pub fn example(&self) -> &'static str {
        match self.unit() {
            Unit::Time => "a time with its unit, such as `20ms`",
            Unit::Bytes => "a size, such as `64MiB`",
            Unit::Share => "a percentage, such as `1%`",
            Unit::Rate => "a rate, such as `1000/s`",
            Unit::ByteRate => "a size per second, such as `10MiB/s`",
            Unit::Own => "a number in the metric's own unit, such as `1.5`",
            Unit::Number => "a number, such as `1.5`",
        }
    }

    /// A value for people, with its unit: `12.3 ms`, `4.1 MiB`, `1234 /s`, `0.1 %`. `unit`: the unit of a custom metric.
    pub fn human(&self, unit: &str, value: f64) -> String {
        use units::{human_bytes, human_duration, significant};
        let signed = |of: fn(f64) -> String| if value < 0.0 { format!("-{}", of(-value)) } else { of(value) };
        match self.unit() {
            Unit::Rate => format!("{}/s", significant(value)),
            Unit::Share => format!("{} %", significant(value * 100.0)),
            Unit::ByteRate => format!("{}/s", signed(human_bytes)),
            Unit::Time => signed(human_duration),
            Unit::Bytes => signed(human_bytes),
            Unit::Own if !unit.is_empty() => format!("{} {unit}", significant(value)),
            Unit::Own | Unit::Number => significant(value),
        }
    }
}

/// What a plan says about a custom metric: one that a protocol provides, or that the scenario takes from somewhere.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NamedMetric {
    /// What results, graphs and expectations call it.
    pub name: String,
    /// Its unit; empty where it has none.
    pub unit: String,
    /// What it belongs to.
    pub scope: Scope,
    /// Which direction is better.
    pub better: Better,
    /// How interesting it is.
    pub interest: Interest,
}

impl NamedMetric {
    /// A metric with this unit, which determines which direction is better.
    pub fn new(name: &str, unit: &str, interest: Interest) -> Self {
        let (name, unit, better) = (name.to_owned(), unit.to_owned(), Better::of_unit(unit));
        Self { name, unit, scope: Scope::Collected, better, interest }
    }
}

/// How interesting a custom metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interest {
    /// It is what the workload is about.
    Question,
    /// It exists anyway, and is interesting if there is nothing else.
    Anyway,
    /// It is interesting if it is not 0: something went wrong.
    Fault,
    /// It is recorded, and not shown.
    Recorded,
}

/// As its name; a custom metric is marked as such, since its name may be added to the catalogue some day.
impl Serialize for Metric {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Named(name) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("named", &**name)?;
                map.end()
            }
            _ => serializer.serialize_str(self.name()),
        }
    }
}

/// As it is written, and as formats 1 to 5 had it: `cpu-per-request`, `{"time": ["first-byte", "p50"]}`, `{"command": …}`.
impl<'de> Deserialize<'de> for Metric {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Metric;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the name of a metric, or `{named: …}`")
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<Metric, E> {
                Metric::find(&name.replace('-', "_")).ok_or_else(|| E::custom(format_args!("there is no metric `{name}`")))
            }
            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Metric, A::Error> {
                let metric = match map.next_key::<String>()?.as_deref() {
                    Some("named" | "command") => Metric::named(&map.next_value::<String>()?),
                    Some("time") => map.next_value().map(|(time, quantile)| Metric::Time(time, quantile))?,
                    other => return Err(de::Error::custom(format_args!("`{}` is not a kind of metric", other.unwrap_or("{}")))),
                };
                match map.next_key::<String>()? {
                    None => Ok(metric),
                    Some(_) => Err(de::Error::custom("expected a single metric")),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_one_row() {
        for (at, row) in catalogue().iter().enumerate() {
            assert_eq!(catalogue().iter().position(|other| other.metric == row.metric), Some(at), "{row:?}");
            assert_eq!(catalogue().iter().position(|other| other.name == row.name), Some(at), "{row:?}");
            assert_eq!(Metric::by_name(&row.name), row.metric);
            let example = row.metric.example().split('`').nth(1).unwrap();
            assert!(row.metric.parse(example).is_some(), "{row:?}");
        }
    }

    #[test]
    fn metrics_are_read_as_they_are_written_and_as_they_were() {
        let named = Metric::named("retries");
        for metric in catalogue().iter().map(|row| &row.metric).chain([&named]) {
            let text = serde_json::to_string(metric).unwrap();
            assert_eq!(serde_json::from_str::<Metric>(&text).unwrap(), *metric, "{text}");
        }
        for (old, metric) in [
            (r#""cpu-per-request""#, Metric::CpuPerRequest),
            (r#"{"time": ["first-byte", "p999"]}"#, Metric::Time(Time::FirstByte, Quantile::P999)),
            (r#"{"command": "throughput"}"#, Metric::named("throughput")),
        ] {
            assert_eq!(serde_json::from_str::<Metric>(old).unwrap(), metric, "{old}");
        }
        for wrong in [r#""thruput""#, r#"{"time": "p50"}"#, r#"{"other": "x"}"#, r#"{"named": "x", "time": ["lag", "max"]}"#, "1"]
        {
            assert!(serde_json::from_str::<Metric>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_are_called_as_people_call_them() {
        let words = |name| Metric::by_name(name).words();
        assert_eq!(words("response_p999"), "response time p99.9");
        assert_eq!(words("first_byte_stdev"), "first-byte time standard deviation");
        assert_eq!(words("lag_max"), "schedule lag max");
        assert_eq!(words("tasks_done"), "tasks done");
    }
}
