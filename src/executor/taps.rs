//! Taps of a repetition: sources that are followed from before the first target is started until the last one is
//! stopped.
//!
//! Two threads, or none if the scenario has no taps: `observe::follow` reads the sources and sends their lines; the
//! thread here makes rows of them and writes these. Neither waits for the load, nor the load for them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::context::Context;
use super::error::Error;
use super::late::fill_all;
use super::network::Network;
use super::scrape::{self, Job, Scraper};
use extract::scraped::PageRule;
use extract::taps::{LineRule, Misfits};
use load::control::{Control, blocking};
use observe::follow::{Follower, Origin, Pieces, Redial, SourceReport};
use observe::{Sampler, Watched};
use plan::url::Address;
use plan::{Cell, Secrets, Tap, TapField, TapSource, Target, Template};
use record::spill::Spill;
use record::status::{ClockStatus, MisfitStatus, TapStatus};
use record::taps::{LoadStart, TapTable};
use record::taps_ahead::TapAhead;
use supervise::probe::log_paths;
use supervise::{Guard, Kind, Process, ProcessSpec};
use vocabulary::choices::Signal;
use vocabulary::rows::{TapRow, TapValue};
use vocabulary::units::{human_duration, nanos};

/// How long a server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a command of a tap may take to end when told to.
const GRACE: Duration = Duration::from_secs(1);

/// The taps of one repetition; may be empty. It outlives whatever interrupts the repetition.
#[derive(Debug, Default)]
pub(super) struct Taps {
    follower: Option<Follower>,
    matcher: Option<JoinHandle<Result<Vec<Option<Matched>>, record::Error>>>,
    starts: Option<mpsc::Sender<LoadStart>>,
    /// The number of the tap of each source.
    sources: BTreeMap<u32, usize>,
    /// Commands that were started, with the number of their tap.
    commands: Vec<(usize, Process)>,
    /// What could not be followed at all, by number of the tap.
    broken: BTreeMap<usize, String>,
    /// When the load was over: a source that ends later has not ended early.
    load_ended: Option<Instant>,
    /// Where the rows of pages go, until they are fetched.
    pages: Vec<(usize, TapTable, Option<TapAhead>)>,
    scraper: Option<Scraper>,
}

/// How many files and connections the taps of a cell have open at a time.
pub(super) fn open_files(cell: &Cell) -> u64 {
    let replicas = |target: &str| cell.targets.iter().filter(|t| t.name == target).map(|t| t.replicas.len() as u64).sum::<u64>();
    cell.taps.iter().map(|tap| if let TapSource::Log(target) = &tap.source { 2 * replicas(target) } else { 1 }).sum()
}

/// Where the results of taps go.
pub(super) struct TapFiles<'a> {
    /// The directory of the repetition.
    pub directory: &'a Path,
    /// Where recording continues when there is no room there.
    pub spill: Option<&'a Spill>,
    /// Where a tap, by index, is kept until the repetition is complete, if it is kept ahead.
    pub ahead: Option<&'a dyn Fn(usize) -> PathBuf>,
}

/// The results of the taps of a repetition.
#[derive(Debug, Default)]
pub(super) struct TapReport {
    /// For the status.
    pub status: Vec<TapStatus>,
    /// Why the repetition does not count.
    pub reasons: Vec<String>,
}

/// The result of one tap's lines.
#[derive(Debug)]
struct Matched {
    rows: u64,
    unmatched: u64,
    dropped: u64,
    misfits: BTreeMap<String, Misfits>,
    clocks: BTreeMap<String, ClockStatus>,
}

impl Taps {
    /// Starts to follow files: logs and other files may appear later. `logs`: where those of a target are, and whether
    /// their existing content is skipped.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn follow(
        &mut self,
        cell: &Cell,
        context: &Context<'_>,
        logs: impl Fn(&Target) -> (PathBuf, bool),
        to: TapFiles<'_>,
        secrets: &Secrets,
    ) -> Result<(), Error> {
        if cell.taps.is_empty() {
            return Ok(());
        }
        let (follower, pieces) = Follower::start()?;
        let mut lines = Vec::new();
        for (index, tap) in cell.taps.iter().enumerate() {
            let table = TapTable::new(to.directory, to.spill, &tap.name, &tap.fields);
            // What programs print and write is in their logs and files; what arrives over a connection is stored
            // nowhere else.
            let is_told = matches!(tap.source, TapSource::Tcp { .. } | TapSource::Control { .. } | TapSource::Scrape(_));
            let ahead = to.ahead.filter(|_| is_told).map(|path| TapAhead::new(&path(index), &tap.name));
            if let TapSource::Scrape(_) = tap.source {
                self.pages.push((index, table, ahead));
                // It has no lines; its place in the list keeps the numbers of the others.
                lines.push(None);
                continue;
            }
            // The pattern in `plan` is a valid regular expression.
            match LineRule::new(tap) {
                Ok(rule) => lines.push(Some(TapLines::new(tap, rule, table, ahead))),
                Err(error) => return Err(Error::Tap { name: tap.name.clone(), reason: error.to_string() }),
            }
            match &tap.source {
                TapSource::Log(target) => {
                    let targets = cell.targets.iter().filter(|t| t.name == *target);
                    for (target, replica) in targets.flat_map(|t| t.replicas.iter().map(move |r| (t, r))) {
                        let (logs, skip_first) = logs(target);
                        for path in log_paths(&logs, &target.name, replica.number) {
                            let source = self.source(index, cell);
                            if let Some(lines) = &mut lines[index] {
                                lines.replicas.insert(source, replica.number);
                            }
                            follower.follow(source, Origin::File { path, skip_first });
                        }
                    }
                }
                TapSource::File(path) => {
                    let path = PathBuf::from(path.fill(&context.late).to_text());
                    // Everything in the scratch directory belongs to this repetition and is new.
                    let skip_first = !path.starts_with(&context.scratch);
                    follower.follow(self.source(index, cell), Origin::File { path, skip_first });
                }
                TapSource::Tcp { .. } | TapSource::Control { .. } | TapSource::Command { .. } | TapSource::Scrape(_) => {}
            }
        }
        let (starts, started) = mpsc::channel();
        let secrets = secrets.clone();
        let matching = std::thread::Builder::new()
            .name("taps".to_owned())
            .spawn(move || Matching { taps: lines, secrets, start: None }.listen(&pieces, &started))
            .map_err(|source| observe::Error::Thread { source })?;
        (self.follower, self.matcher, self.starts) = (Some(follower), Some(matching), Some(starts));
        Ok(())
    }

    /// A number for a new source of a tap. Its remainder when divided by the number of taps is the number of the tap,
    /// so that the receiver of its lines knows the tap.
    fn source(&mut self, tap: usize, cell: &Cell) -> u32 {
        let source = (self.sources.len() * cell.taps.len() + tap) as u32;
        self.sources.insert(source, tap);
        source
    }

    /// Connects to servers and starts commands; the targets are ready by now. A source that cannot be followed is
    /// reported in the status.
    ///
    /// # Errors
    /// When the guard is gone.
    pub async fn connect(
        &mut self,
        cell: &Cell,
        context: &Context<'_>,
        network: &Network,
        (sampler, secrets): (&Sampler, &Secrets),
    ) -> Result<(), Error> {
        let fill = |template: &Template| template.fill(&context.late).to_text();
        self.scrape(cell, fill, network, secrets)?;
        for (index, tap) in cell.taps.iter().enumerate() {
            let origin = match &tap.source {
                TapSource::Log(_) | TapSource::File(_) | TapSource::Scrape(_) => continue,
                TapSource::Tcp { address, send } => {
                    let send: Vec<String> = send.iter().map(fill).collect();
                    let address = reached(&fill(address), network);
                    let connecting = blocking(move || connect(&address, &send));
                    // A server may repeat everything on a new connection.
                    connecting.await.map(|stream| Origin::Stream { stream: stream.into(), again: None })
                }
                TapSource::Control { port, events } => {
                    let address = reached(&fill(&port.address), network);
                    let cookie = port.cookie.as_ref().map(|cookie| PathBuf::from(fill(cookie)));
                    let command = format!("SETEVENTS {}", events.join(" "));
                    // The cookie changes with each start.
                    let listen = move || {
                        let mut control = Control::connect(&address, cookie.as_deref(), CONNECT)?;
                        control.ask(&command)?;
                        // What already exists is reported as if it happened now.
                        control.tell("GETINFO circuit-status")?;
                        control.into_stream()
                    };
                    let again = listen.clone();
                    let again = Redial(Box::new(move || again().map(Into::into)));
                    blocking(listen).await.map(|stream| Origin::Stream { stream: stream.into(), again: Some(again) })
                }
                TapSource::Command { argv, env, dir } => match self.start(index, tap, (argv, env, dir.as_ref()), context).await {
                    Ok((path, watched)) => {
                        // Its resource use is not that of programs outside the experiment.
                        sampler.add(watched);
                        Ok(Origin::File { path, skip_first: false })
                    }
                    Err(supervise::Error::GuardGone) => return Err(supervise::Error::GuardGone.into()),
                    Err(error) => Err(vocabulary::errors::chain(&error)),
                },
            };
            match origin {
                Ok(origin) => {
                    let source = self.source(index, cell);
                    if let Some(follower) = &self.follower {
                        follower.follow(source, origin);
                    }
                }
                Err(words) => drop(self.broken.insert(index, words)),
            }
        }
        Ok(())
    }

    /// Starts to fetch pages.
    fn scrape(
        &mut self,
        cell: &Cell,
        fill: impl Fn(&Template) -> String,
        network: &Network,
        secrets: &Secrets,
    ) -> Result<(), Error> {
        let mut jobs = Vec::new();
        for (index, table, ahead) in std::mem::take(&mut self.pages) {
            let tap = &cell.taps[index];
            let TapSource::Scrape(page) = &tap.source else { continue };
            let failed = |error: regex::Error| Error::Tap { name: tap.name.clone(), reason: error.to_string() };
            jobs.push(Job {
                tap: index,
                from: scrape::place(page, &fill, |address| reached(address, network)),
                headers: scrape::headers(page, &fill),
                rule: PageRule::new(page, &scrape::counters(tap)).map_err(failed)?,
                scrape: (**page).clone(),
                table,
                ahead,
            });
        }
        if !jobs.is_empty() {
            let scraper = Scraper::start(jobs, secrets.clone()).map_err(|source| observe::Error::Thread { source })?;
            self.scraper = Some(scraper);
        }
        Ok(())
    }

    /// Starts the command of a tap. Returns where its output is, and what is to be watched.
    async fn start(
        &mut self,
        index: usize,
        tap: &Tap,
        (argv, env, dir): (&[Template], &[(String, Template)], Option<&Template>),
        context: &Context<'_>,
    ) -> Result<(PathBuf, Watched), supervise::Error> {
        let name = format!("tap-{}", tap.name);
        let [out, err] = ["out", "err"].map(|kind| context.logs.join(format!("{name}.{kind}")));
        let env = env.iter().map(|(name, value)| (name.clone(), value.fill(&context.late).to_text()));
        let marker = context.guard.marker(Kind::Step, &name, 0);
        let env = env.chain([marker.clone()]).collect();
        let dir = dir.map(|dir| PathBuf::from(dir.fill(&context.late).to_text()));
        let spec = ProcessSpec { dir, ..ProcessSpec::new(fill_all(argv, &context.late), env, [&out, &err]) };
        let process = context.guard.spawn(spec).await?;
        let watched = Watched { target: name, replica: 0, pid: process.pid, marker: marker.1 };
        self.commands.push((index, process));
        Ok((out, watched))
    }

    /// Records when the load starts; all times count from then.
    pub fn set_start(&self, instant: Instant, unix: Duration) {
        // If the thread has given up, its error is found in `finish`.
        let _ = self.starts.as_ref().map(|starts| starts.send(LoadStart { instant, unix }));
        self.scraper.iter().for_each(|scraper| scraper.set_start(LoadStart { instant, unix }));
    }

    /// Records that the load is over: a source that ends from now on has not ended early.
    pub fn load_ended(&mut self) {
        if self.load_ended.is_some() {
            return;
        }
        self.load_ended = Some(Instant::now());
        self.scraper.iter().for_each(Scraper::load_ended);
        for (index, process) in &self.commands {
            if let Some(exit) = process.exited() {
                self.broken.entry(*index).or_insert_with(|| format!("the command {exit}"));
            }
        }
    }

    /// Waits for the last pages, and ends the commands.
    ///
    /// # Errors
    /// When the guard is gone.
    pub async fn end_commands(&mut self, guard: &Guard) -> Result<(), Error> {
        if let Some(scraper) = &mut self.scraper {
            scraper.last_ones(GRACE).await;
        }
        let mut result = Ok(());
        for (_, process) in std::mem::take(&mut self.commands) {
            result = result.and(guard.stop(&process, Signal::Term, GRACE).await.map(drop));
        }
        result.map_err(Error::from)
    }

    /// Reads and writes what has arrived by now, and reports the result of each tap.
    ///
    /// # Errors
    /// The first thing that could not be written.
    pub fn finish(&mut self, cell: &Cell) -> Result<TapReport, record::Error> {
        let (Some(follower), Some(matcher)) = (self.follower.take(), self.matcher.take()) else {
            return Ok(TapReport::default());
        };
        let sources = follower.stop();
        self.starts = None;
        let matched = matcher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let scraped = self.scraper.take().map_or_else(|| Ok(Vec::new()), Scraper::finish)?;
        // A repetition that failed before its targets were ready has fetched none.
        std::mem::take(&mut self.pages).into_iter().try_for_each(|(_, mut table, _)| table.finish())?;
        let mut report = TapReport::default();
        for (index, (tap, matched)) in cell.taps.iter().zip(matched).enumerate() {
            let Some(matched) = matched else {
                let found = scraped.iter().find(|scraped| scraped.tap == index);
                let status = found.map(|found| (found.status.clone(), found.rows, found.dropped));
                let (scrapes, rows, dropped) = status.unwrap_or_default();
                if tap.required && scrapes.missing() > 0 {
                    report.reasons.push(format!("`{}`: {}", tap.name, scrapes.missing_in_words()));
                }
                report.status.push(TapStatus {
                    tap: tap.name.clone(),
                    rows,
                    dropped,
                    scrapes: Some(scrapes),
                    ..TapStatus::default()
                });
                continue;
            };
            let mine = || sources.iter().filter(|(source, _)| self.sources.get(source) == Some(&index)).map(|(_, report)| report);
            let ended = self.broken.get(&index).cloned().or_else(|| self.ended_early(mine()));
            let lost: u64 = mine().map(|s| s.lost_lines).sum();
            let status = TapStatus {
                tap: tap.name.clone(),
                scrapes: None,
                rows: matched.rows,
                unmatched: matched.unmatched,
                dropped: lost + matched.dropped,
                cut: mine().map(|s| s.cut_lines).sum(),
                ended,
                interruptions: mine().map(|s| s.interruptions).sum(),
                away_ns: nanos(mine().map(|s| s.away).sum()),
                misfits: matched
                    .misfits
                    .into_iter()
                    .map(|(name, m)| (name, MisfitStatus { count: m.count, first: m.first }))
                    .collect(),
                clocks: matched.clocks,
            };
            if tap.required {
                report.reasons.extend(status.ended.as_ref().map(|words| format!("the tap `{}` ended early: {words}", tap.name)));
                let away = human_duration(status.away_ns as f64);
                report.reasons.extend((status.interruptions > 0).then(|| {
                    format!(
                        "the tap `{}` was unavailable for {away} in total, and came back {} times",
                        tap.name, status.interruptions
                    )
                }));
                report
                    .reasons
                    .extend((status.dropped > 0).then(|| format!("the tap `{}` lost {} lines", tap.name, status.dropped)));
            }
            report.status.push(status);
        }
        Ok(report)
    }

    /// Why a tap ended before the load was over, if it did.
    fn ended_early<'r>(&self, sources: impl Iterator<Item = &'r SourceReport> + Clone) -> Option<String> {
        let early = |at: &Instant| self.load_ended.is_none_or(|end| *at < end);
        let ended = sources.clone().filter_map(|s| s.ended.as_ref()).find(|(at, _)| early(at)).map(|(_, words)| words.clone());
        ended.or_else(|| sources.clone().all(|s| !s.appeared).then(|| "it never appeared".to_owned()))
    }
}

impl Drop for Taps {
    /// After this is dropped, an abandoned tap writes nothing more.
    fn drop(&mut self) {
        (self.follower, self.starts) = (None, None);
        if let Some(scraper) = self.scraper.take() {
            let _ = scraper.finish();
        }
        if let Some(matcher) = self.matcher.take() {
            let _ = matcher.join();
        }
    }
}

/// Where an address is actually reached: there may be a link in between.
fn reached(address: &str, network: &Network) -> String {
    let found = Address::parse(address).ok().and_then(|Address { host, port }| network.reach(&host, port));
    found.map_or_else(|| address.to_owned(), |(host, port)| Address { host, port }.to_string())
}

/// Connects and sends the first lines.
fn connect(address: &str, send: &[String]) -> Result<TcpStream, String> {
    let failed = |error: std::io::Error| format!("cannot connect to {address}: {error}");
    let mut last = format!("cannot connect to {address}: it has no address");
    for one in address.to_socket_addrs().map_err(failed)? {
        match TcpStream::connect_timeout(&one, CONNECT) {
            Ok(mut stream) => {
                let ended = |line: &String| if line.ends_with('\n') { line.clone() } else { format!("{line}\r\n") };
                let said: String = send.iter().map(ended).collect();
                let mut speak = || {
                    stream.set_write_timeout(Some(CONNECT))?;
                    stream.write_all(said.as_bytes())?;
                    stream.set_nonblocking(true)
                };
                return speak().map(|()| stream).map_err(|error| format!("cannot communicate with {address}: {error}"));
            }
            Err(error) => last = failed(error),
        }
    }
    Err(last)
}

/// The lines of one tap.
struct TapLines {
    rule: LineRule,
    table: TapTable,
    /// What is made durable before the repetition is.
    ahead: Option<TapAhead>,
    fields: Vec<TapField>,
    /// By source, if it has replicas.
    replicas: BTreeMap<u32, u32>,
    unmatched: u64,
    clocks: BTreeMap<String, Offsets>,
}

impl TapLines {
    fn new(tap: &Tap, rule: LineRule, table: TapTable, ahead: Option<TapAhead>) -> Self {
        let clocks = tap.fields.iter().filter(|f| f.kind.is_time()).map(|f| (f.name.clone(), Offsets::default())).collect();
        let (fields, replicas) = (tap.fields.clone(), BTreeMap::new());
        Self { rule, table, ahead, fields, replicas, unmatched: 0, clocks }
    }
}

/// Makes rows of lines, on a thread of its own.
struct Matching {
    /// None for a page that is fetched, which has no lines.
    taps: Vec<Option<TapLines>>,
    secrets: Secrets,
    start: Option<LoadStart>,
}

impl Matching {
    /// Receives lines until all senders are gone.
    fn listen(mut self, pieces: &Pieces, starts: &mpsc::Receiver<LoadStart>) -> Result<Vec<Option<Matched>>, record::Error> {
        loop {
            let received = pieces.recv_timeout(Duration::from_millis(100));
            if let Ok(start) = starts.try_recv() {
                self.start = Some(start);
                for tap in self.taps.iter_mut().flatten() {
                    tap.table.set_start(start);
                    tap.ahead.iter_mut().for_each(|ahead| ahead.set_start(start));
                }
            }
            match received {
                Ok(piece) => self.take(piece.source, piece.at, &piece.lines)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let now = Instant::now();
            self.taps.iter_mut().flatten().flat_map(|tap| &mut tap.ahead).for_each(|ahead| ahead.tick(now));
        }
        self.taps.into_iter().map(|tap| tap.map(TapLines::finish).transpose()).collect()
    }

    fn take(&mut self, source: u32, at: Instant, lines: &[u8]) -> Result<(), record::Error> {
        let tap = source as usize % self.taps.len().max(1);
        let Some(tap) = self.taps.get_mut(tap).and_then(Option::as_mut) else { return Ok(()) };
        // By one clock throughout: the other may be set meanwhile.
        let unix = match self.start {
            Some(start) => match at.checked_duration_since(start.instant) {
                Some(after) => start.unix + after,
                None => start.unix.saturating_sub(start.instant.duration_since(at)),
            },
            None => extract::taps::unix_now().saturating_sub(at.elapsed()),
        };
        let replica = tap.replicas.get(&source).copied();
        for line in lines.split_inclusive(|b| *b == b'\n') {
            let Some((mut values, join_key)) = tap.rule.fields(line.strip_suffix(b"\n").unwrap_or(line), unix) else {
                tap.unmatched += 1;
                continue;
            };
            for (field, value) in tap.fields.iter().zip(&mut values) {
                match value {
                    TapValue::Text(text) => {
                        if let std::borrow::Cow::Owned(masked) = self.secrets.mask(text) {
                            *text = masked;
                        }
                    }
                    TapValue::Time(stamp_ns) => {
                        let offset = (unix.as_nanos() as i64).checked_sub(*stamp_ns);
                        if let (Some(offsets), Some(offset)) = (tap.clocks.get_mut(&field.name), offset) {
                            offsets.add(offset);
                        }
                    }
                    TapValue::Number(_) | TapValue::Absent => {}
                }
            }
            let row = TapRow { at, replica, join_key, values };
            tap.ahead.iter_mut().for_each(|ahead| ahead.add(&row, Instant::now()));
            tap.table.add(row)?;
        }
        Ok(())
    }
}

impl TapLines {
    fn finish(mut self) -> Result<Matched, record::Error> {
        self.ahead.iter_mut().for_each(TapAhead::flush);
        self.table.finish()?;
        let clocks = self.clocks.into_iter().filter_map(|(name, offsets)| Some((name, offsets.status()?))).collect();
        let (rows, dropped) = (self.table.rows, self.table.dropped);
        Ok(Matched { rows, unmatched: self.unmatched, dropped, misfits: self.rule.misfits(), clocks })
    }
}

/// The distances of time stamps from when they were read, in bounded memory.
#[derive(Debug)]
struct Offsets {
    least: i64,
    /// One value out of `every`, in the order in which they came.
    some: Vec<i64>,
    every: u64,
    count: u64,
}

impl Default for Offsets {
    fn default() -> Self {
        Self { least: i64::MAX, some: Vec::new(), every: 1, count: 0 }
    }
}

impl Offsets {
    /// No more than this are kept.
    const MOST: usize = 1 << 16;

    fn add(&mut self, offset: i64) {
        self.least = self.least.min(offset);
        if self.count.is_multiple_of(self.every) {
            if self.some.len() == Self::MOST {
                let mut at = 0;
                self.some.retain(|_| {
                    at += 1;
                    at % 2 == 1
                });
                self.every *= 2;
            }
            self.some.push(offset);
        }
        self.count += 1;
    }

    fn status(mut self) -> Option<ClockStatus> {
        let middle = self.some.len().checked_sub(1)? / 2;
        let (_, median, _) = self.some.select_nth_unstable(middle);
        Some(ClockStatus { least_ns: self.least, median_ns: *median })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_of_many_rows_need_little_room() {
        let mut offsets = Offsets::default();
        for n in 0..1_000_000 {
            // A sawtooth whose smallest value is rare.
            offsets.add(if n == 777_777 { -5 } else { n % 1000 });
        }
        assert!(offsets.some.len() <= Offsets::MOST && offsets.some.len() > Offsets::MOST / 4);
        let status = offsets.status().unwrap();
        assert_eq!(status.least_ns, -5);
        assert!((450..550).contains(&status.median_ns), "{status:?}");
        assert_eq!(Offsets::default().status(), None);
    }
}
