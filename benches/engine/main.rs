//! The load engine by itself, without the command line, tables or graphs: one generator thread in a closed loop.
//!
//! `cargo bench --workspace --bench engine -- URL CONNECTIONS REQUESTS [STEPS]` prints requests, the processor time of the generator
//! thread and requests per CPU-second, as JSON. `benches/instructions.py` counts its instructions per request.

use std::sync::Arc;
use std::time::Duration;

use load::{Job, Rows, Setting};
use plan::drivers::http::Http;
use plan::{Arrivals, Step, Template, Url};
use vocabulary::Outcome;

/// A window lasts for the whole load, so that the instructions do not depend on how fast the machine is.
const WINDOW: Duration = Duration::from_hours(1);
/// The time-out of a request.
const TIMEOUT: Duration = Duration::from_secs(600);

fn main() {
    // `cargo bench` adds this.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let number = |at: usize, otherwise: u64| arguments.get(at).map_or(Ok(otherwise), |text| text.parse());
    let Some(Ok(url)) = arguments.first().map(|url| Url::parse(url)) else {
        println!(
            "expected URL [CONNECTIONS [REQUESTS [STEPS]]], such as `http://127.0.0.1:8080/ 64 100000`: nothing is measured"
        );
        return;
    };
    let (Ok(connections), Ok(requests), Ok(steps)) = (number(1, 64), number(2, 100_000), number(3, 1)) else {
        println!("connections, requests and steps are numbers: nothing is measured");
        return;
    };
    let step = Step::plain("GET", Template::parse(""), TIMEOUT);
    let mut workload = Http::plain(url, vec![step; steps as usize]).once("requests");
    workload.load.arrivals = Arrivals::closed(connections as u32);
    workload.load.segments[0].length = plan::Length::Amount(requests / steps);
    let (rows, received) = load::queue::queue();
    let (_abort, asked) = tokio::sync::watch::channel(false);
    let setting = Setting { window: WINDOW, ..Setting::alone(1, rows, asked) };
    let running = load::start(&Job::new(Arc::new(workload), 0, &setting));
    drop(setting);
    let report = running.and_then(load::Running::join).expect("the load runs");
    let mut right = 0;
    while let Ok(rows) = received.try_recv() {
        if let Rows::Windows(rows) = rows {
            right += rows.iter().filter(|row| row.step.is_some() && row.outcome == Outcome::Ok).map(|row| row.count).sum::<u64>();
        }
    }
    let seconds = report.generator_cpu_ns as f64 / 1e9;
    let (per_cpu_s, wall) = (right as f64 / seconds, report.generator_wall_ns as f64 / 1e9);
    println!(r#"{{"requests":{right},"cpu_s":{seconds:.6},"wall_s":{wall:.6},"requests_per_cpu_s":{per_cpu_s:.0}}}"#);
}
