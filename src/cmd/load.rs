//! `runner load URL`: one workload without a scenario, with the engine, the checks and the recording of `run`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use serde::Serialize;
use tokio::sync::watch;

use super::{Stop, print, print_data};
use crate::analysis::summary::Times;
use crate::analysis::times::times;
use crate::cli;
use crate::executor::Interrupt;
use crate::exit::Exit;
use crate::load::{self, Job, Report, Rows, Setting, passes};
use crate::plan::drivers::http::Http;
use crate::plan::drivers::http::MAX_STREAMS;
use crate::plan::tls::{Identity, Tls, Trust};
use crate::plan::{
    Arrivals, Body, Driver, Expect, Length, Load, Pattern, Segment, Spacing, Step, Template, Think, Url, Workload,
};
use crate::plan_read as rates;
use crate::record::tables::{Tables, WorkloadNames};
use crate::vocabulary::Phase;
use crate::vocabulary::rows::{MAX_TIME_NS, WindowRow};
use crate::vocabulary::units::{count, human_bytes, human_duration, significant};

/// A tail longer than this share of a load is reported.
pub(super) const TAIL: f64 = 0.1;

/// The result of a load.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Outcome {
    url: String,
    connections: u32,
    /// As requested; for an amount, from the first request to the last answer.
    seconds: f64,
    /// Requests that the schedule requested.
    offered: u64,
    /// Requests among them that were never sent.
    unsent: u64,
    /// Requests that were sent and not answered when the load was over; they are in `requests` too.
    open: u64,
    /// Passes under way at the end of the measurement, or waiting to be sent, by outcome.
    at_end: BTreeMap<String, u64>,
    /// The longest time that one of them had waited.
    at_end_longest_ns: u64,
    /// How long nothing was answered as expected although requests were due.
    silence_ns: u64,
    /// With an amount: how long, at the end, fewer connections were busy than requested.
    tail_ns: Option<u64>,
    requests: u64,
    ok: u64,
    errors: BTreeMap<String, u64>,
    pub(super) throughput_per_s: f64,
    upload_bytes_per_s: f64,
    download_bytes_per_s: f64,
    service_ns: Option<Times>,
    response_ns: Option<Times>,
    pub(super) lag_ns: Option<Times>,
    connect_ns: Option<Times>,
    first_byte_ns: Option<Times>,
    pub(super) generator: Generator,
    /// The first failed request of each kind, in words.
    examples: Vec<String>,
    interrupted: bool,
}

/// What the generator used.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Generator {
    threads: u32,
    connects: u64,
    sent_again: u64,
    cpu_s: f64,
    pub(super) cpu_share: f64,
    pub(super) requests_per_cpu_s: f64,
    pub(super) timer_late_p50_ns: Option<u64>,
    pub(super) timer_late_p99_ns: Option<u64>,
}

/// Executes `runner load`.
pub(super) fn load(args: &cli::Load) -> Result<Exit, Stop> {
    let workload = workload(args)?;
    super::open_files::require("this load", u64::from(args.connections), 0, super::open_files::raise())?;
    let seed = args.seed.unwrap_or_else(super::fresh_seed);
    let result = execute(&workload, seed, args.record.as_deref(), !args.json && !args.quiet)?;
    if args.json {
        let json = serde_json::to_string_pretty(&result).expect("a result is always JSON");
        print_data(&format!("{json}\n"));
    } else if !args.quiet {
        print(&text(&result, &workload));
    }
    Ok(match (result.interrupted, result.ok) {
        (true, _) => Exit::Interrupted,
        (false, 0) => Exit::Repetitions,
        _ => Exit::Success,
    })
}

/// The workload that the command line describes.
fn workload(args: &cli::Load) -> Result<Workload, Stop> {
    let url = Url::parse(&args.url).map_err(|expected| wrong(format!("`{}` is not a URL: {expected}", args.url)))?;
    if args.connections == 0 || args.threads == 0 || args.threads > args.connections {
        return Err(wrong(format!(
            "{} threads and {} connections: expected at least one thread, and at least one connection for each",
            args.threads, args.connections
        )));
    }
    let length = match (args.amount, duration("--duration", args.duration.as_deref())?) {
        (Some(amount), _) => Length::Amount(amount),
        (None, duration) => Length::Duration(duration.unwrap_or(Duration::from_secs(10))),
    };
    let arrivals = arrivals(args)?;
    let http = http(args, url)?;
    require_possible(args)?;
    let segment = |phase, length| Segment { phase, length, active: true };
    let warm_up = duration("--warm-up", args.warm_up.as_deref())?.map(|d| segment(Phase::WarmUp, Length::Duration(d)));
    Ok(Workload {
        flow: plan::Flow::plain(http.steps.len()),
        driver: Driver::Http(http),
        load: Load {
            arrivals,
            segments: warm_up.into_iter().chain([segment(Phase::During, length)]).collect(),
            drain: Duration::from_secs(1),
            find: None,
            auto_warm_up: false,
        },
        threads: args.threads,
        cpus: args.cpus.clone(),
        ..Http::plain(Url::parse("http://localhost").expect("a constant URL"), Vec::new()).once("load")
    })
}

fn wrong(message: String) -> Stop {
    Stop::new(Exit::InvalidInput, message)
}

/// The duration that an option gives, if it is there.
fn duration(option: &str, text: Option<&str>) -> Result<Option<Duration>, Stop> {
    match text.map(|t| (t, crate::vocabulary::units::parse_duration(t))) {
        None => Ok(None),
        Some((text, None)) if crate::vocabulary::units::is_too_long(text) => {
            Err(wrong(format!("`{option} {text}`: the longest time is 365 days: `8760h`")))
        }
        Some((_, Some(duration))) if !duration.is_zero() => Ok(Some(duration)),
        Some((text, _)) => {
            Err(wrong(format!("`{option} {text}`: expected a duration above 0 with its unit, such as `10s` or `500ms`")))
        }
    }
}

/// When passes begin.
fn arrivals(args: &cli::Load) -> Result<Arrivals, Stop> {
    let rate = match &args.rate {
        Some(text) => Some(
            crate::vocabulary::units::parse_rate(text)
                .ok_or_else(|| wrong(format!("`--rate {text}`: expected a rate, such as `5000` or `30/min`")))?,
        ),
        None => None,
    };
    if let (Some(text), Some(Err((_, expected)))) = (&args.rate, rate.map(rates::fits)) {
        return Err(wrong(format!("`--rate {text}`: {expected}")));
    }
    if let Some(amount) = args.amount
        && let Err((_, expected)) = rates::amount_fits(amount, rate.map(Pattern::Rate).as_ref())
    {
        return Err(wrong(format!("`--amount {amount}`: {expected}")));
    }
    Ok(match rate {
        Some(rate) => {
            let spacing = if args.poisson { Spacing::Poisson } else { Spacing::Constant };
            Arrivals::open(args.connections, Pattern::Rate(rate), spacing)
        }
        None => Arrivals::Closed { connections: args.connections, think: Think::None, ramp: Duration::ZERO, stages: Vec::new() },
    })
}

/// The one request of a pass, and the connections on which it is sent.
fn http(args: &cli::Load, url: Url) -> Result<Http, Stop> {
    let mut headers = Vec::new();
    for header in &args.headers {
        let Some((name, value)) = header.split_once(':') else {
            return Err(wrong(format!("`--header {header}`: expected `name: value`")));
        };
        if name.trim().eq_ignore_ascii_case("expect") {
            return Err(wrong(format!(
                "`--header {header}`: it asks the server to announce when it wants the body, and runner does not wait for that; \
                 leave the header out: a body is sent immediately after its head"
            )));
        }
        headers.push((name.trim().to_ascii_lowercase(), Template::parse(value.trim())));
    }
    let body = match (&args.data, &args.data_file) {
        (Some(text), _) => Body::Text(Template::parse(text)),
        (None, Some(path)) => Body::File(path.clone()),
        (None, None) => Body::Empty,
    };
    let method = args.method.clone().unwrap_or_else(|| if matches!(body, Body::Empty) { "GET" } else { "POST" }.to_owned());
    let path = url.request_path().to_owned();
    let timeout = duration("--timeout", args.timeout.as_deref())?.unwrap_or(crate::plan::step::REQUEST_TIMEOUT);
    let step = Step {
        headers,
        body,
        expect: Expect { statuses: args.expect_status.clone(), ..Expect::default() },
        ..Step::plain(&method, Template::parse(&path), timeout)
    };
    let trust = match (&args.ca, args.insecure) {
        (_, true) => Trust::Anybody,
        (Some(path), _) => Trust::Ca(path.clone()),
        _ => Trust::System,
    };
    let identity = match (&args.cert, &args.key) {
        (Some(cert), Some(key)) => Some(Identity { cert: cert.clone(), key: key.clone() }),
        _ => None,
    };
    if let Some(name) = args.server_name.as_ref().filter(|name| !crate::plan::url::is_host(name)) {
        return Err(wrong(format!("`--server-name {name}`: expected the name or address in the server's certificate")));
    }
    Ok(Http {
        socket: args.unix_socket.as_ref().map(|p| Template::parse(&p.display().to_string())),
        version: if args.http2 { 2 } else { 1 },
        streams: args.streams,
        keep_alive: !args.no_keep_alive,
        redirects: args.redirects,
        tls: Tls { trust, server_name: args.server_name.clone(), identity },
        ..Http::plain(url.origin(), vec![step])
    })
}

/// Refuses options that do not go together, and what this machine does not have.
fn require_possible(args: &cli::Load) -> Result<(), Stop> {
    if args.streams != 1 && !args.http2 {
        return Err(wrong("`--streams` needs `--http2`".to_owned()));
    }
    if args.streams == 0 || args.streams > MAX_STREAMS {
        return Err(wrong(format!("`--streams {}`: expected 1 to {}", args.streams, MAX_STREAMS)));
    }
    if args.http2 && args.no_keep_alive {
        return Err(wrong("`--http2` with `--no-keep-alive`: one request per connection needs HTTP/1.1".to_owned()));
    }
    for (option, file) in [("--ca", &args.ca), ("--cert", &args.cert), ("--key", &args.key), ("--data-file", &args.data_file)] {
        if let Some(file) = file.as_ref().filter(|f| !f.is_file()) {
            return Err(wrong(format!("`{option} {}`: there is no such file", file.display())));
        }
    }
    for cpu in &args.cpus {
        if !Path::new(&format!("/sys/devices/system/cpu/cpu{cpu}")).exists() {
            return Err(wrong(format!("`--cpus {cpu}`: this machine has no such processor")));
        }
    }
    Ok(())
}

/// Makes a load and waits for its end. Rows are written to `record` if it is given.
pub(super) fn execute(workload: &Workload, seed: u64, record: Option<&Path>, progress: bool) -> Result<Outcome, Stop> {
    let failure = |e: &dyn std::error::Error| Stop::from_error(Exit::Failure, e);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Stop::new(Exit::Failure, format!("cannot start the runtime: {e}")))?;
    let mut tables = None;
    if let Some(directory) = record {
        crate::record::files::make_directory(directory).map_err(|e| failure(&e))?;
        let names = WorkloadNames {
            workload: workload.name.clone(),
            steps: workload.rows(),
            single: workload.is_single(),
            outcomes: Vec::new(),
            metrics: Vec::new(),
        };
        tables = Some(Tables::create(directory, vec![names]).map_err(|e| failure(&e))?);
    }
    let (rows, received) = load::queue::queue();
    let (abort, asked) = watch::channel(false);
    let done = Arc::new(AtomicU64::new(0));
    let setting = Setting {
        seed,
        window: Duration::from_millis(500),
        progress: Arc::clone(&done),
        ..Setting::alone(load::threads(workload), rows, asked)
    };
    let running = load::start(&Job::new(Arc::new(workload.clone()), 0, &setting)).map_err(|error| {
        let exit = if matches!(error, load::Error::Thread(_)) { Exit::Failure } else { Exit::InvalidInput };
        Stop::from_error(exit, &error)
    })?;
    drop(setting);
    let mut merged = PassSums::empty();
    let mut take = |rows: Rows, merged: &mut PassSums| {
        let Rows::Windows(rows) = rows else { return Ok(()) };
        rows.iter().filter(|r| r.step.is_none()).for_each(|r| merge(merged, r));
        tables.as_mut().map_or(Ok(()), |t| t.windows(rows))
    };
    let report = runtime.block_on(async {
        let interrupt = Interrupt::listen().map_err(|e| failure(&e))?;
        let bar = progress.then(bar);
        let (mut before, mut at) = (0, Instant::now());
        while !running.is_finished() {
            tokio::time::sleep(Duration::from_millis(5)).await;
            if interrupt.count() > 0 {
                abort.send_replace(true);
            }
            while let Ok(rows) = received.try_recv() {
                take(rows, &mut merged).map_err(|e| failure(&e))?;
            }
            if at.elapsed() > Duration::from_millis(250) {
                let now = passes(&done);
                if let Some(bar) = &bar {
                    let rate = (now - before) as f64 / at.elapsed().as_secs_f64();
                    bar.set_message(format!("{} requests, {} per second", count(now), significant(rate)));
                    bar.tick();
                }
                (before, at) = (now, Instant::now());
            }
        }
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        running.join().map_err(|e| failure(&e))
    })?;
    while let Ok(rows) = received.try_recv() {
        take(rows, &mut merged).map_err(|e| failure(&e))?;
    }
    if let Some(tables) = tables {
        tables.finish().map_err(|e| failure(&e))?;
    }
    if report.dropped_windows > 0 {
        let lost = format!("recording could not keep up with the load: {} batches of rows were lost", report.dropped_windows);
        return Err(Stop::new(Exit::Failure, format!("{lost}; a faster disk, or fewer requests per second, may help")));
    }
    Ok(conclude(workload, &report, merged))
}

fn bar() -> indicatif::ProgressBar {
    let bar = indicatif::ProgressBar::new_spinner();
    bar.set_style(indicatif::ProgressStyle::with_template("{spinner} {elapsed}  {msg}").expect("the template is a constant"));
    bar
}

/// What the passes did, added up while they run.
struct PassSums {
    /// Passes by outcome.
    outcomes: BTreeMap<String, u64>,
    /// Right answers, and bytes, of the passes that ended in the measurement.
    completed: u64,
    sent_bytes: u64,
    received_bytes: u64,
    /// Service times of right answers, and of passes that were never answered.
    service: Histogram<u64>,
    /// Response times of the same.
    response: Histogram<u64>,
    /// Their schedule lag.
    lag: Histogram<u64>,
    /// Connect times, of passes that had to connect.
    connect: Histogram<u64>,
    /// Times from sending to the first byte, of passes that had one.
    first_byte: Histogram<u64>,
}

impl PassSums {
    fn empty() -> Self {
        let histogram = || Histogram::new_with_bounds(1, MAX_TIME_NS, 3).expect("the bounds are constants and in order");
        Self {
            outcomes: BTreeMap::new(),
            completed: 0,
            sent_bytes: 0,
            received_bytes: 0,
            service: histogram(),
            response: histogram(),
            lag: histogram(),
            connect: histogram(),
            first_byte: histogram(),
        }
    }
}

/// Adds a window of whole passes: to the completed ones of the measurement if it ended there, to the requested ones if
/// it started there.
fn merge(merged: &mut PassSums, row: &WindowRow) {
    if row.completed_in == Phase::During {
        merged.completed += if row.outcome == crate::vocabulary::Outcome::Ok { row.count } else { 0 };
        merged.sent_bytes += row.sent_bytes;
        merged.received_bytes += row.received_bytes;
    }
    if row.phase != Phase::During {
        return;
    }
    *merged.outcomes.entry(row.outcome.name(&[]).to_owned()).or_default() += row.count;
    if !row.outcome.counts_in_times() {
        return;
    }
    let mut decoder = Deserializer::new();
    for (sum, bytes) in [
        (&mut merged.service, &row.service),
        (&mut merged.response, &row.response),
        (&mut merged.lag, &row.lag),
        (&mut merged.connect, &row.connect),
        (&mut merged.first_byte, &row.first_byte),
    ] {
        if !bytes.is_empty() {
            let histogram: Histogram<u64> = decoder.deserialize(&mut bytes.as_slice()).expect("the engine has just made it");
            sum.add(histogram).expect("all have the same bounds");
        }
    }
}

fn conclude(workload: &Workload, report: &Report, mut merged: PassSums) -> Outcome {
    let during = report.phases.iter().find(|p| p.phase == Phase::During);
    let length = |p: &crate::load::PhaseReport| p.planned_ns.unwrap_or_else(|| p.end_ns.saturating_sub(p.start_ns));
    let seconds = during.map_or(0.0, |p| length(p) as f64 / 1e9);
    let per_s = |n: u64| if seconds > 0.0 { n as f64 / seconds } else { 0.0 };
    let requests: u64 = merged.outcomes.values().sum();
    let all: u64 = report.phases.iter().map(|p| p.passes).sum();
    let under_way = report.late_of(Phase::During);
    let ok = merged.outcomes.remove("ok").unwrap_or_default();
    merged.outcomes.remove("open");
    let cpu_s = report.generator_cpu_ns as f64 / 1e9;
    let late = |q| (!report.timer_late.is_empty()).then(|| report.timer_late.value_at_quantile(q));
    let url = match &workload.driver {
        Driver::Http(http) => http.urls.iter().zip(&http.steps).map(|(u, s)| format!("{u}{}", s.path.to_text())).collect(),
        _ => unreachable!("`runner load` makes HTTP workloads only"),
    };
    Outcome {
        url,
        connections: workload.load.arrivals.connections(),
        seconds,
        offered: during.map_or(0, |p| p.offered),
        unsent: during.map_or(0, |p| p.unsent),
        open: during.map_or(0, |p| p.open),
        at_end: under_way.into_iter().flat_map(|l| &l.outcomes).map(|(o, n)| (o.name(&[]).to_owned(), *n)).collect(),
        at_end_longest_ns: under_way.map_or(0, |l| l.longest_ns),
        silence_ns: during.map_or(0, |p| report.silence_of(p).total_ns),
        tail_ns: during.and_then(crate::load::PhaseReport::tail_ns),
        requests,
        ok,
        errors: merged.outcomes,
        throughput_per_s: per_s(merged.completed),
        upload_bytes_per_s: per_s(merged.sent_bytes),
        download_bytes_per_s: per_s(merged.received_bytes),
        service_ns: times(&merged.service),
        response_ns: times(&merged.response),
        lag_ns: times(&merged.lag),
        connect_ns: times(&merged.connect),
        first_byte_ns: times(&merged.first_byte),
        generator: Generator {
            threads: workload.threads,
            connects: report.connects,
            sent_again: report.traffic.sent_again,
            cpu_s,
            cpu_share: report.generator_cpu_ns as f64 / report.generator_wall_ns.max(1) as f64,
            requests_per_cpu_s: if cpu_s > 0.0 { all as f64 / cpu_s } else { 0.0 },
            timer_late_p50_ns: late(0.5),
            timer_late_p99_ns: late(0.99),
        },
        examples: report.examples.clone(),
        interrupted: report.aborted,
    }
}

fn text(result: &Outcome, workload: &Workload) -> String {
    let loop_of = match &workload.load.arrivals {
        Arrivals::Open { pattern: Pattern::Rate(rate), .. } => format!("open loop, {} per second", significant(*rate)),
        _ => "closed loop".to_owned(),
    };
    let mut text = format!(
        "{}\n{loop_of} on {} connection{} for {}\n\n",
        result.url,
        result.connections,
        if result.connections == 1 { "" } else { "s" },
        human_duration(result.seconds * 1e9)
    );
    text += &format!("requests    {:>10}  {} per second\n", count(result.ok), significant(result.throughput_per_s));
    for (outcome, number) in &result.errors {
        text += &format!("ERRORS      {:>10}  {outcome}\n", count(*number));
    }
    if result.unsent > 0 {
        let share = result.unsent as f64 / result.offered.max(1) as f64 * 100.0;
        text += &format!(
            "UNSENT      {:>10}  {share:.2} % of {} arrivals; the times below do not include them\n",
            count(result.unsent),
            count(result.offered)
        );
    }
    let at_end: u64 = result.at_end.values().sum();
    if at_end > 0 {
        let outcomes: Vec<String> = result.at_end.iter().map(|(outcome, n)| format!("{} {outcome}", count(*n))).collect();
        let longest = human_duration(result.at_end_longest_ns as f64);
        text += &format!("AT THE END  {:>10}  under way: {}, after {longest} at most\n", count(at_end), outcomes.join(", "));
    }
    if result.silence_ns > 0 {
        let silence = human_duration(result.silence_ns as f64);
        text += &format!("SILENCE     {silence:>10}  without a correct answer although requests were due\n");
    }
    if let Some(tail_ns) = result.tail_ns.filter(|tail| *tail as f64 > TAIL * result.seconds * 1e9) {
        let tail = human_duration(tail_ns as f64);
        text += &format!("TAIL        {tail:>10}  at the end with fewer than {} connections busy\n", result.connections);
    }
    for (word, rate) in [("upload", result.upload_bytes_per_s), ("download", result.download_bytes_per_s)] {
        if rate > 0.0 {
            text += &format!("{word:<11} {:>10}  per second\n", human_bytes(rate));
        }
    }
    if result.service_ns.is_some() {
        text += &format!("\n{:<11} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}\n", "", "mean", "p50", "p90", "p99", "p99.9", "max");
    }
    let rows = [
        ("service", &result.service_ns),
        ("response", &result.response_ns),
        ("lag", &result.lag_ns),
        ("connect", &result.connect_ns),
        ("first byte", &result.first_byte_ns),
    ];
    for (word, times) in rows {
        let Some(t) = times else { continue };
        let values = [t.mean, t.p50 as f64, t.p90 as f64, t.p99 as f64, t.p99_9 as f64, t.max as f64];
        text += &format!("{word:<11}");
        text += &values.iter().map(|v| format!(" {:>9}", human_duration(*v))).collect::<String>();
        text += "\n";
    }
    text += "\nservice: completed − sent; response: completed − intended; lag: sent − intended\n";
    let g = &result.generator;
    text += &format!(
        "generator: {:.0} % of {} thread{}, {} requests per CPU-second,\n  {} connections opened\n",
        g.cpu_share * 100.0,
        g.threads,
        if g.threads == 1 { "" } else { "s" },
        significant(g.requests_per_cpu_s),
        count(g.connects)
    );
    if g.sent_again > 0 {
        text += &format!("  {} requests were sent again because the server had refused them with GOAWAY\n", count(g.sent_again));
    }
    if g.cpu_share > 0.95 {
        text += "SATURATED: the generator had no time to spare;\n  these numbers show its own limit, not the server's\n";
    }
    text += &result.examples.iter().map(|e| format!("  {e}\n")).collect::<String>();
    if result.interrupted {
        text += "INTERRUPTED: these are the results so far\n";
    }
    text
}
