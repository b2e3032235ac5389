//! What servers counted, compared with what was sent to them.
//!
//! Their counts are read just before the load and just after it. Set-up, readiness probes and the checked pass come before, and
//! `collect` comes after. The difference must lie between the number of requests that were answered and the number that
//! were sent: a request without an answer – a time-out, a reset, one under way at the end – may or may not have arrived.
//!
//! A reading may itself be a request that the server counts, and a count may lag behind. So before the load a count
//! is read until it stays the same or grows by the same number with each reading, which is then the cost of a reading. After
//! the load it is read until it stays the same and nothing is missing, or for [`PATIENCE`]; once is enough where every request
//! was answered and exactly those were counted. A fixture counts a request before it answers it, so what it counted before the
//! load is read once, too: each pause costs a short repetition half as much again as all else beside its load.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;

use super::collect::collect;
use super::context::Context;
use super::error::Error;
use hosts::Sent;
use load::{Report, Traffic};
use plan::Protocol as _;
use plan::collect::BODY;
use plan::drivers::http::Http;
use plan::reconcile::{Allowed, Counter, Source};
use plan::{Cell, CollectSource, Reconcile};
use record::status::ReconciledStatus;
use vocabulary::units::plain;

/// The pause between two readings; it grows if reading takes long.
const PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// How long a count may lag behind.
const PATIENCE: Duration = Duration::from_secs(2);
/// A server that does not answer a question about itself within this time is not asked again.
const ONE_READING: Duration = Duration::from_secs(5);

/// The counts before the load; the reason in words for a count that could not be read, and nothing for one of another machine.
#[derive(Debug, Default)]
pub(super) struct Baselines(Vec<Option<Result<Baseline, String>>>);

/// A count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    requests: u64,
    /// The requests among them that asked about the server itself, if it distinguishes them: a program may watch the server.
    /// They count only if the load has sent them.
    about_itself: u64,
}

/// The value of a count, and by how much each reading makes it grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Baseline {
    count: Count,
    cost: u64,
}

/// The result for one target.
#[derive(Debug)]
pub(super) struct Reconciled {
    /// Both counts and the judgement, in the form of the record.
    pub status: ReconciledStatus,
    /// Why the repetition does not count, if it does not.
    pub reason: Option<String>,
}

impl Baselines {
    /// Reads all counts of a cell.
    ///
    /// # Errors
    /// When a count that the scenario asks for cannot be read.
    pub async fn read(cell: &Cell, context: &Context<'_>) -> Result<Self, Error> {
        let mut all = Vec::new();
        for one in &cell.reconcile {
            // A target that is on another machine is counted there.
            if !cell.targets.iter().any(|target| target.name == one.target) {
                all.push(None);
                continue;
            }
            let baseline = match baseline(one, context).await {
                Ok(baseline) => Ok(baseline),
                Err(error) => Err(unread(one, error)?),
            };
            all.push(Some(baseline));
        }
        Ok(Self(all))
    }

    /// Reads all counts again, and judges them. `limit`: the share that may differ by default; `sent`: what was sent to each of the
    /// servers.
    ///
    /// # Errors
    /// When a count that the scenario asks for cannot be read.
    pub async fn judge(&self, cell: &Cell, limit: f64, context: &Context<'_>, sent: &[Sent]) -> Result<Vec<Reconciled>, Error> {
        let mut found = Vec::new();
        for ((one, baseline), sent) in cell.reconcile.iter().zip(&self.0).zip(sent) {
            let seen = match baseline {
                None => continue,
                Some(Ok(baseline)) => match growth(one, *baseline, sent, context).await {
                    Ok(seen) => Ok(seen),
                    Err(error) => Err(unread(one, error)?),
                },
                Some(Err(words)) => Err(words.clone()),
            };
            found.push(reconciled(cell, one, limit, sent, seen));
        }
        Ok(found)
    }
}

/// An error if the scenario asks for the count; otherwise words.
fn unread(one: &Reconcile, error: Unread) -> Result<String, Error> {
    match error {
        Unread::Words(reason) if one.asked => Err(Error::Collect { name: format!("the count of {}", one.target), reason }),
        Unread::Words(reason) => Ok(reason),
        Unread::Error(error) => Err(error),
    }
}

/// Why a count could not be read.
enum Unread {
    /// Why, in words for the record.
    Words(String),
    /// An error that ends the repetition.
    Error(Error),
}

/// Requests that may have arrived, as one machine has sent them: those that followed redirects may have led anywhere.
pub(super) fn sent(one: &Reconcile, reports: &[(usize, Report)]) -> Sent {
    let mut sum = Sent::default();
    for Source { workload, addresses, steps } in &one.from {
        let of = reports.iter().filter(|(index, _)| index == workload).map(|(_, report)| &report.traffic);
        for Traffic { addresses: counted, elsewhere, .. } in of {
            sum.elsewhere += elsewhere;
            let those =
                addresses.iter().filter_map(|address| counted.get(*address)).flat_map(|by_step| by_step.iter().enumerate());
            for (_, requests) in those.filter(|(step, _)| steps.is_empty() || steps.contains(step)) {
                sum.sent += requests.sent;
                sum.answered += requests.answered;
            }
        }
    }
    sum
}

/// Whether reading a count may be a request that is counted.
fn may_count_itself(counter: &Counter) -> bool {
    match counter {
        Counter::Fixture(_) | Counter::Haproxy { .. } => false,
        Counter::Nginx { .. } => true,
        Counter::Collected { collect, .. } => !matches!(collect.source, CollectSource::File(_) | CollectSource::Sqlite(_)),
    }
}

/// Reads the count of a target until it stays the same, or grows by the same number with each reading.
async fn baseline(one: &Reconcile, context: &Context<'_>) -> Result<Baseline, Unread> {
    let counts_itself = one.counters.iter().any(may_count_itself);
    let until = Instant::now() + PATIENCE;
    let mut last = sum(one, context).await?;
    if one.counters.iter().all(|counter| matches!(counter, Counter::Fixture(_))) {
        return Ok(Baseline { count: last, cost: 0 });
    }
    let mut grew = None;
    let mut pause = PAUSE;
    loop {
        tokio::time::sleep(pause).await;
        let count = sum(one, context).await?;
        let growth = count.requests.saturating_sub(last.requests);
        last = count;
        let rests = growth == 0 && (!counts_itself || grew == Some(0));
        if rests || (counts_itself && growth == 1 && grew == Some(1)) {
            return Ok(Baseline { count, cost: growth });
        }
        if Instant::now() > until {
            return Ok(Baseline { count, cost: 0 });
        }
        grew = Some(growth);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Reads the count of a target until it stays the same and nothing is missing; returns by how much it grew.
async fn growth(one: &Reconcile, baseline: Baseline, sent: &Sent, context: &Context<'_>) -> Result<u64, Unread> {
    let until = Instant::now() + PATIENCE;
    let mut pause = PAUSE;
    let mut before = None;
    for readings in 1.. {
        // A count that has gone back is known only to lack the requests that arrived.
        let count = sum(one, context).await?;
        let seen = count.requests.saturating_sub(baseline.count.requests + baseline.cost * readings);
        let about_itself = count.about_itself.saturating_sub(baseline.count.about_itself);
        let seen = seen - about_itself.min(seen.saturating_sub(sent.sent));
        let is_all = seen == sent.sent && seen == sent.answered;
        if is_all || (before == Some(seen) && seen >= sent.answered) || Instant::now() > until {
            return Ok(seen);
        }
        before = Some(seen);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    unreachable!("patience ends before numbers do")
}

/// The count of a target: that of all its replicas.
async fn sum(one: &Reconcile, context: &Context<'_>) -> Result<Count, Unread> {
    let mut sum = Count::default();
    for counter in &one.counters {
        let count = read(counter, context).await?;
        sum.requests += count.requests;
        sum.about_itself += count.about_itself;
    }
    Ok(sum)
}

async fn read(counter: &Counter, context: &Context<'_>) -> Result<Count, Unread> {
    let words = |words: String| Unread::Words(words);
    let plainly = |requests| Count { requests, about_itself: 0 };
    match counter {
        Counter::Fixture(path) => {
            let text = ask(&path.fill(&context.late).to_text(), "").await.map_err(words)?;
            fixture_requests(&text).map_err(words)
        }
        Counter::Haproxy { socket, frontends } => {
            let text = ask(&socket.fill(&context.late).to_text(), "show stat\n").await.map_err(words)?;
            haproxy_requests(&text, frontends).map(plainly).map_err(words)
        }
        Counter::Nginx { url, socket, step } => {
            let mut http = Http { socket: socket.clone(), ..Http::plain(url.clone(), vec![(**step).clone()]) };
            http.fill(&context.late);
            let asking = tokio::time::timeout(ONE_READING, load::send_requests(&http, 0, 1)).await;
            let (mut values, _) = match asking {
                Ok(Ok(answered)) => answered,
                Ok(Err(error)) => return Err(words(vocabulary::errors::chain(&error))),
                Err(_) => return Err(words(format!("{url} gave no answer within {} s", ONE_READING.as_secs()))),
            };
            nginx_requests(&values.remove(BODY).unwrap_or_default()).map(plainly).map_err(words)
        }
        Counter::Collected { collect: wanted, metric } => {
            if let CollectSource::File(file) = &wanted.source
                && !std::path::Path::new(&file.fill(&context.late).to_text()).exists()
            {
                // A log that is created with its first line.
                return Ok(Count::default());
            }
            // The output of a command is appended to its log by the code that started it.
            for kind in ["out", "err"] {
                let _ = std::fs::remove_file(context.logs.join(format!("collect-{}.{kind}", wanted.name)));
            }
            let values = collect(wanted, context, &context.logs).await.map_err(|error| match error {
                Error::Collect { reason, .. } => Unread::Words(reason),
                error => Unread::Error(error),
            })?;
            let value = values.get(*metric).copied().unwrap_or(f64::NAN);
            let is_count = value >= 0.0 && value.fract() == 0.0;
            if is_count { Ok(plainly(value as u64)) } else { Err(words(format!("{value} is not a number of requests"))) }
        }
    }
}

/// Connects to a Unix socket or `host:port`, asks, and reads to the end.
async fn ask(address: &str, question: &str) -> Result<String, String> {
    async fn on(
        mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
        question: &str,
    ) -> std::io::Result<String> {
        stream.write_all(question.as_bytes()).await?;
        let mut text = Vec::new();
        stream.read_to_end(&mut text).await?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
    let asking = async {
        if address.contains('/') {
            on(UnixStream::connect(address).await?, question).await
        } else {
            on(TcpStream::connect(address).await?, question).await
        }
    };
    match tokio::time::timeout(ONE_READING, asking).await {
        Ok(answer) => answer.map_err(|e| format!("{address}: {e}")),
        Err(_) => Err(format!("{address} gave no answer within {} s", ONE_READING.as_secs())),
    }
}

/// The answer of a fixture: two numbers.
fn fixture_requests(text: &str) -> Result<Count, String> {
    let numbers: Option<Vec<u64>> = text.split_ascii_whitespace().map(|word| word.parse().ok()).collect();
    match numbers.as_deref() {
        Some(&[requests, about_itself]) => Ok(Count { requests, about_itself }),
        _ => Err(format!("`{}` is not a count", text.trim())),
    }
}

/// The requests of some frontends in haproxy's table of statistics.
fn haproxy_requests(text: &str, frontends: &[String]) -> Result<u64, String> {
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default().trim_start_matches("# ");
    let column = |name: &str| header.split(',').position(|c| c == name);
    let (Some(proxy), Some(server), Some(requests)) = (column("pxname"), column("svname"), column("req_tot")) else {
        return Err(format!("haproxy answered `{}` instead of its statistics", header.chars().take(80).collect::<String>()));
    };
    let mut sum = 0;
    for name in frontends {
        let row = lines.clone().map(|line| line.split(',').collect::<Vec<_>>());
        let mut row = row.filter(|row| row.get(proxy) == Some(&name.as_str()) && row.get(server) == Some(&"FRONTEND"));
        let count = row.next().and_then(|row| row.get(requests)?.parse::<u64>().ok());
        sum += count.ok_or_else(|| format!("haproxy reports no number of requests for its frontend `{name}`"))?;
    }
    Ok(sum)
}

/// The requests on nginx's status page, the third number below `server accepts handled requests`.
fn nginx_requests(text: &str) -> Result<u64, String> {
    let line = text.lines().skip_while(|line| !line.starts_with("server accepts handled requests")).nth(1);
    let number = line.and_then(|line| line.split_ascii_whitespace().nth(2)?.parse().ok());
    number.ok_or_else(|| format!("nginx's page has no number of requests: {}", text.chars().take(80).collect::<String>()))
}

/// Judges one target.
fn reconciled(cell: &Cell, one: &Reconcile, limit: f64, sent: &Sent, seen: Result<u64, String>) -> Reconciled {
    let workloads: Vec<String> = one.from.iter().map(|s| cell.workloads[s.workload].name.clone()).collect();
    let reason = seen.as_ref().ok().and_then(|seen| mismatch(one, &workloads, limit, sent, *seen));
    let (seen, unread) = match seen {
        Ok(seen) => (Some(seen), None),
        Err(words) => (None, Some(words)),
    };
    let status = ReconciledStatus {
        target: one.target.clone(),
        workloads,
        sent: sent.sent,
        unanswered: sent.sent - sent.answered,
        elsewhere: sent.elsewhere,
        seen,
        unread,
        others: one.others.clone(),
    };
    Reconciled { status, reason }
}

/// The mismatch, in words.
fn mismatch(one: &Reconcile, workloads: &[String], limit: f64, sent: &Sent, seen: u64) -> Option<String> {
    let share = |share: f64| (share * sent.sent as f64) as u64;
    let allowed = match one.tolerance {
        Some(Allowed::Count(count)) => count,
        Some(Allowed::Share(of)) => share(of),
        None => share(limit),
    };
    let who = workloads.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(" and ");
    let through = one.through.iter().map(|p| format!("`{p}`")).collect::<Vec<_>>().join(" and ");
    let through = if through.is_empty() { through } else { format!(" through {through}") };
    let without = match sent.sent - sent.answered {
        0 => String::new(),
        n => format!(" ({n} of them without an answer)"),
    };
    let target = &one.target;
    let story = format!("{who} sent {} requests{without}{through} to `{target}`, which counted {seen}", sent.sent);
    let accept = |difference: u64| {
        // Rounded up, so that the suggested limit accepts the mismatch.
        let percent = (difference as f64 / sent.sent.max(1) as f64 * 1e5).ceil() / 1e3;
        format!("`limits: {{reconcile: {}%}}` accepts that", plain(percent))
    };
    let missing = sent.answered.saturating_sub(seen);
    if missing > allowed {
        let all = if sent.sent == sent.answered { "" } else { " that were answered" };
        return Some(format!(
            "{story}: {missing}{all} never reached it; either something in between answers in its place, or it does not count all requests; {}",
            accept(missing)
        ));
    }
    let more = seen.saturating_sub(sent.sent + sent.elsewhere);
    if more > allowed && one.others.is_none() {
        return Some(format!(
            "{story}: {more} more than were sent; either something in between repeats requests, or another program sends some; {}",
            accept(more)
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(tolerance: Option<Allowed>, others: Option<&str>) -> Reconcile {
        Reconcile {
            target: "web".to_owned(),
            from: Vec::new(),
            through: Vec::new(),
            counters: Vec::new(),
            tolerance,
            others: others.map(str::to_owned),
            asked: false,
        }
    }

    fn judged(one: &Reconcile, limit: f64, sent: (u64, u64, u64), seen: u64) -> Option<String> {
        let sent = Sent { sent: sent.0, answered: sent.1, elsewhere: sent.2 };
        mismatch(one, &["clients".to_owned()], limit, &sent, seen)
    }

    #[test]
    fn what_has_no_answer_may_have_arrived_or_not() {
        for seen in [990, 995, 1000] {
            assert_eq!(judged(&one(None, None), 0.0, (1000, 990, 0), seen), None, "{seen}");
        }
        for (seen, words) in [(989, "1 that were answered never reached it"), (1001, "1 more than were sent")] {
            let reason = judged(&one(None, None), 0.0, (1000, 990, 0), seen).unwrap();
            assert!(reason.contains(words), "{reason}");
        }
        assert_eq!(judged(&one(None, None), 0.0, (1000, 1000, 5), 1005), None, "redirects may lead back");
    }

    #[test]
    fn a_mismatch_is_told_in_words_with_what_accepts_it() {
        let reason = judged(&one(None, None), 0.0, (1000, 1000, 0), 987).unwrap();
        assert_eq!(
            reason,
            "`clients` sent 1000 requests to `web`, which counted 987: 13 never reached it; either something in between answers \
             in its place, or it does not count all requests; `limits: {reconcile: 1.3%}` accepts that"
        );
        assert_eq!(judged(&one(None, None), 0.013, (1000, 1000, 0), 987), None);
        assert!(judged(&one(None, None), 0.0, (3, 3, 0), 2).unwrap().contains("33.334%"));
    }

    #[test]
    fn tolerance_is_a_number_or_a_share_and_others_may_add() {
        assert_eq!(judged(&one(Some(Allowed::Count(13)), None), 0.0, (1000, 1000, 0), 987), None);
        assert!(judged(&one(Some(Allowed::Count(12)), None), 1.0, (1000, 1000, 0), 987).is_some());
        assert_eq!(judged(&one(Some(Allowed::Share(0.02)), None), 0.0, (1000, 1000, 0), 1020), None);
        assert_eq!(judged(&one(None, Some("checks")), 0.0, (1000, 1000, 0), 1500), None);
        assert!(judged(&one(None, Some("checks")), 0.0, (1000, 1000, 0), 999).is_some());
    }

    #[test]
    fn counts_of_haproxy_and_nginx_are_read() {
        assert_eq!(fixture_requests("12 3\n"), Ok(Count { requests: 12, about_itself: 3 }));
        assert!(fixture_requests("").is_err() && fixture_requests("12").is_err());
        let table =
            "# pxname,svname,stot,req_tot,\nclients,FRONTEND,3,41,\nother,FRONTEND,1,7,\nblobs,b1,3,,\nclients,BACKEND,3,,\n";
        assert_eq!(haproxy_requests(table, &["clients".to_owned()]), Ok(41));
        assert_eq!(haproxy_requests(table, &["clients".to_owned(), "other".to_owned()]), Ok(48));
        assert!(haproxy_requests(table, &["blobs".to_owned()]).is_err());
        assert!(haproxy_requests("Permission denied\n", &[]).is_err());
        let page = "Active connections: 1 \nserver accepts handled requests\n 2 2 31070465 \nReading: 0 Writing: 1 Waiting: 0 \n";
        assert_eq!(nginx_requests(page), Ok(31_070_465));
        assert!(nginx_requests("hello").is_err());
    }
}
