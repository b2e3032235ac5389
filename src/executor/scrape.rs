//! Pages that are fetched again and again while the load runs, from when the targets are ready until just after the load.
//!
//! One thread for all pages of a repetition, with a runtime of its own: it shares nothing with the load but the processor. Each scrape
//! has a deadline and a limit of its size, and at most one of each page is under way. One that could only start late is skipped, so
//! a server that hangs is not asked more often afterwards. Just after the load each page is fetched once more, so that counters are
//! known at its end.

use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use extract::scraped::{Arrived, PageRule};
use load::page::{self, Ask, Tls};
use plan::scrape::{PageForm, PageSource};
use plan::{Scrape, Secrets, SeriesFigure, Tap, TapFigure, Url};
use record::status::ScrapeStatus;
use record::taps::{LoadStart, TapTable};
use record::taps_ahead::TapAhead;
use vocabulary::rows::{TapRow, TapValue};
use vocabulary::units::nanos;

/// What is asked of haproxy's stats socket.
const SHOW_STAT: &str = "show stat\n";

/// A page to be fetched, with everything that is known when the targets are ready.
pub(super) struct Job {
    /// The index of its tap in the cell.
    pub tap: usize,
    /// What is fetched.
    pub scrape: Scrape,
    /// Where from.
    pub from: Place,
    /// Headers with their values.
    pub headers: Vec<(String, String)>,
    /// Makes rows of pages.
    pub rule: PageRule,
    /// Where the rows go.
    pub table: TapTable,
    /// What is made durable before the repetition is.
    pub ahead: Option<TapAhead>,
}

/// Where a page is fetched from.
pub(super) enum Place {
    /// A server, the `host:port` at which it is reached, and the path.
    Url(Url, String, String),
    /// A path, or `host:port`.
    Socket(String),
}

/// The result of one page.
#[derive(Debug)]
pub(super) struct Scraped {
    /// The index of its tap in the cell.
    pub tap: usize,
    /// How it went.
    pub status: ScrapeStatus,
    /// Rows that were kept.
    pub rows: u64,
    /// Rows for which there was no room.
    pub dropped: u64,
}

/// What the repetition says to the thread.
#[derive(Clone, Copy, Debug, Default)]
struct News {
    start: Option<LoadStart>,
    has_ended: bool,
}

/// All pages of a repetition.
#[derive(Debug)]
pub(super) struct Scraper {
    news: watch::Sender<News>,
    done: oneshot::Receiver<()>,
    thread: JoinHandle<Result<Vec<Scraped>, record::Error>>,
}

/// The selectors whose series a tap uses as counters.
pub(super) fn counters(tap: &Tap) -> Vec<&str> {
    let mut found = Vec::new();
    for metric in &tap.metrics {
        if let TapFigure::Series { selector, of: of @ (SeriesFigure::Rate { .. } | SeriesFigure::Increase) } = &metric.figure {
            found.push(selector.as_str());
            if let SeriesFigure::Rate { per: Some(per) } = of {
                found.push(per);
            }
        }
    }
    found
}

impl Scraper {
    /// Starts to fetch pages.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(jobs: Vec<Job>, secrets: Secrets) -> std::io::Result<Self> {
        let (news, heard) = watch::channel(News::default());
        let (finished, done) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let work = move || {
            let secrets = Rc::new(secrets);
            let all = tokio::task::LocalSet::new();
            let fetched = all.block_on(&runtime, async {
                let tasks: Vec<_> = jobs
                    .into_iter()
                    .map(|job| tokio::task::spawn_local(Fetching::new(job, secrets.clone()).follow(heard.clone())))
                    .collect();
                let mut fetched = Vec::new();
                for task in tasks {
                    fetched.push(task.await.unwrap_or_else(|gone| std::panic::resume_unwind(gone.into_panic()))?);
                }
                Ok(fetched)
            });
            drop(finished);
            fetched
        };
        let thread = std::thread::Builder::new().name("scrape".to_owned()).spawn(work)?;
        Ok(Self { news, done, thread })
    }

    /// Records when the load starts: from then on the times of scrapes count.
    pub fn set_start(&self, start: LoadStart) {
        self.news.send_modify(|news| news.start = Some(start));
    }

    /// Says that the load is over: each page is fetched once more.
    pub fn load_ended(&self) {
        self.news.send_modify(|news| news.has_ended = true);
    }

    /// Waits until that was done, but no longer than `patience`.
    pub async fn last_ones(&mut self, patience: Duration) {
        let _ = tokio::time::timeout(patience, &mut self.done).await;
    }

    /// Ends whatever is under way, and returns how the pages fared.
    ///
    /// # Errors
    /// The first thing that could not be written.
    pub fn finish(self) -> Result<Vec<Scraped>, record::Error> {
        drop(self.news);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// One page.
struct Fetching {
    job: Job,
    tls: Option<Result<Tls, String>>,
    secrets: Rc<Secrets>,
    status: ScrapeStatus,
}

impl Fetching {
    fn new(job: Job, secrets: Rc<Secrets>) -> Self {
        let tls = job.scrape.tls.as_ref().map(|tls| Tls::new(tls, false).map_err(|error| vocabulary::errors::chain(&error)));
        Self { job, tls, secrets, status: ScrapeStatus::default() }
    }

    async fn follow(mut self, mut news: watch::Receiver<News>) -> Result<Scraped, record::Error> {
        let every = self.job.scrape.every;
        let (mut due, mut is_load) = (Instant::now(), false);
        loop {
            tokio::select! {
                biased;
                changed = news.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    let News { start, has_ended } = *news.borrow_and_update();
                    if let (Some(start), false) = (start, is_load) {
                        self.job.table.set_start(start);
                        self.job.ahead.iter_mut().for_each(|ahead| ahead.set_start(start));
                        // The load starts now, or very soon.
                        (due, is_load) = (start.instant, true);
                    }
                    if has_ended {
                        if is_load {
                            self.fetch(&mut news).await?;
                        }
                        break;
                    }
                    continue;
                }
                () = tokio::time::sleep_until(due.into()) => {}
            }
            let late = due.elapsed();
            if late > every / 2 {
                // Those whose time has passed are skipped; the next one is due at its own time.
                let skipped = (late.as_nanos() / every.as_nanos().max(1)).max(1) as u32;
                self.status.late += if is_load { u64::from(skipped) } else { 0 };
                due += every * skipped;
                continue;
            }
            self.fetch(&mut news).await?;
            due += every;
        }
        self.job.ahead.iter_mut().for_each(TapAhead::flush);
        self.job.table.finish()?;
        let Job { tap, rule, table, .. } = self.job;
        self.status.resets = rule.resets;
        self.status.notes = rule.notes(self.status.answered).iter().map(|words| self.secrets.mask(words).into_owned()).collect();
        Ok(Scraped { tap, status: self.status, rows: table.rows, dropped: table.dropped })
    }

    /// Fetches the page once, and adds its rows; gives up when the repetition is abandoned.
    async fn fetch(&mut self, news: &mut watch::Receiver<News>) -> Result<(), record::Error> {
        let begun = Instant::now();
        let mut gone = news.clone();
        let page = tokio::select! {
            biased;
            () = async { while gone.changed().await.is_ok() {} } => return Ok(()),
            page = self.page() => page,
        };
        let (at, took) = (Instant::now(), begun.elapsed());
        self.status.asked += 1;
        self.status.longest_ns = self.status.longest_ns.max(nanos(took));
        let rows = page.and_then(|page| {
            let arrived = Arrived { body: &page.body, content_type: page.content_type.as_deref(), is_whole: page.is_whole };
            self.job.rule.rows(arrived)
        });
        let is_up = rows.is_ok();
        let rows = match rows {
            Ok(rows) => {
                self.status.answered += 1;
                rows
            }
            Err(words) => {
                self.status.failed += 1;
                let words = self.secrets.mask(&words).into_owned();
                self.status.first_failure.get_or_insert(words);
                Vec::new()
            }
        };
        for mut values in PageRule::about(is_up, took.as_secs_f64()).into_iter().chain(rows) {
            for value in &mut values {
                if let TapValue::Text(text) = value
                    && let std::borrow::Cow::Owned(masked) = self.secrets.mask(text)
                {
                    *text = masked;
                }
            }
            let row = TapRow { at, replica: None, join_key: None, values };
            self.job.ahead.iter_mut().for_each(|ahead| ahead.add(&row, at));
            self.job.table.add(row)?;
        }
        self.job.ahead.iter_mut().for_each(|ahead| ahead.tick(at));
        Ok(())
    }

    async fn page(&self) -> Result<page::Page, String> {
        let Job { scrape, from, headers, .. } = &self.job;
        match from {
            Place::Socket(socket) => {
                let body = page::answer(socket, SHOW_STAT, scrape.timeout, scrape.limit_bytes).await?;
                Ok(page::Page { content_type: None, body, is_whole: true })
            }
            Place::Url(url, connect, path) => {
                let tls = self.tls.as_ref().map(|tls| tls.as_ref().map_err(Clone::clone)).transpose()?;
                let (timeout, limit) = (scrape.timeout, scrape.limit_bytes);
                page::fetch(&Ask { url, connect, path, headers, tls, timeout, limit }).await
            }
        }
    }
}

/// The headers of a request: those of the scenario, and which formats are understood.
pub(super) fn headers(scrape: &Scrape, fill: impl Fn(&plan::Template) -> String) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = scrape.headers.iter().map(|(name, value)| (name.clone(), fill(value))).collect();
    let accept = match scrape.form {
        PageForm::Prometheus => "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.6",
        PageForm::Json => "application/json",
        PageForm::Haproxy | PageForm::Nginx => "text/plain",
    };
    if !headers.iter().any(|(name, _)| name == "accept") {
        headers.push(("accept".to_owned(), accept.to_owned()));
    }
    headers
}

/// Where a page is fetched from. `reached`: the address at which `host:port` is reached.
pub(super) fn place(scrape: &Scrape, fill: impl Fn(&plan::Template) -> String, reached: impl Fn(&str) -> String) -> Place {
    match &scrape.from {
        PageSource::Url { url, path } => Place::Url(url.clone(), reached(&url.authority()), fill(path)),
        PageSource::Socket(socket) => {
            let socket = fill(socket);
            Place::Socket(if socket.contains('/') { socket } else { reached(&socket) })
        }
    }
}
