//! The record of a transfer in progress: when each stage was over, and how much of its body had arrived when.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Instant, SystemTime};

use super::{Exchange, Failure};
use vocabulary::rows::{PARTS, PERCENTS, Stage};
use vocabulary::units::nanos;
use vocabulary::{Outcome, Phase, rows::TransferRow};

/// A transfer, as far as it has come.
#[derive(Clone, Debug, Default)]
pub struct Transfer {
    /// When it started.
    begun: Option<Instant>,
    /// The same by the clock of this machine, nanoseconds since 1970.
    unix_ns: u64,
    stages: [Option<Instant>; Stage::ALL.len()],
    percents: [Option<Instant>; PERCENTS.len()],
    /// The times of an upload, as the server reported them: nanoseconds since 1970.
    told: Option<[u64; PERCENTS.len()]>,
    parts: [Option<Instant>; PARTS.len()],
    /// The length of the coming body, once it is known.
    length: Option<u64>,
    /// The length that the scenario expects.
    pub expected: Option<u64>,
    /// Bytes of it that arrived.
    received: u64,
    /// Bytes of the body to send.
    pub upload: u64,
    /// Bytes of it that were written.
    pub uploaded: u64,
    /// Bytes read from the connection.
    pub read_bytes: u64,
    /// Bytes written to it.
    pub written_bytes: u64,
    /// This end of the connection.
    pub local: Option<String>,
    /// The proxy.
    pub proxy: Option<String>,
    /// The requested host and port.
    pub remote: String,
    /// The name that separates it from others at the proxy.
    pub isolation: Option<String>,
    /// The code with which the proxy refused.
    pub proxy_code: Option<u8>,
    /// Whether the proxy did not accept our authentication.
    pub is_not_let_in: bool,
}

/// Further columns of a row.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Index of the workload.
    pub workload: u16,
    /// Index of the step.
    pub step: u16,
    /// Number of the pass.
    pub pass: u64,
    /// The phase in which it was meant to start.
    pub phase: Phase,
    /// When it was meant to start, nanoseconds since the epoch.
    pub intended_ns: u64,
}

impl Transfer {
    /// One that starts now.
    pub fn begun(remote: String) -> Self {
        let unix_ns = SystemTime::UNIX_EPOCH.elapsed().map_or(0, nanos);
        Self { begun: Some(Instant::now()), unix_ns, remote, ..Self::default() }
    }

    /// This many bytes of a request were written now, and this many are left: the end of it is the body.
    pub fn wrote(&mut self, bytes: u64, to_go: u64) {
        self.written_bytes += bytes;
        self.uploaded = self.upload.saturating_sub(to_go);
        if to_go == 0 {
            self.over(Stage::DataRequest);
        }
    }

    /// A stage is over now.
    pub fn over(&mut self, stage: Stage) {
        self.over_at(stage, Instant::now());
    }

    /// A stage was over at this instant.
    pub fn over_at(&mut self, stage: Stage, at: Instant) {
        self.stages[stage as usize] = Some(at);
    }

    /// This much of the body had arrived at `at`, out of this length, if known.
    pub fn body(&mut self, received: u64, length: Option<u64>, at: Instant) {
        (self.received, self.length) = (received, length);
        for (part, seen) in PARTS.iter().zip(&mut self.parts) {
            if received >= *part && seen.is_none() {
                *seen = Some(at);
            }
        }
        let Some(length) = length.filter(|length| *length > 0 && received > 0) else { return };
        for (percent, seen) in PERCENTS.iter().zip(&mut self.percents) {
            let enough = u128::from(received) * 100 >= u128::from(length) * u128::from(*percent);
            if enough && seen.is_none() {
                *seen = Some(at);
            }
        }
    }

    /// What the server reported about an upload: when it had received 0, 10, … 100 % of it, in seconds since 1970,
    /// separated by commas. Anything else is ignored.
    pub fn told(&mut self, header: &[u8]) {
        let Some(text) = std::str::from_utf8(header).ok() else { return };
        let seconds = |text: &str| text.trim().parse::<f64>().ok().filter(|s| (0.0..1e10).contains(s));
        // Seconds as a float are exact to a quarter of a microsecond; so nanoseconds are parsed separately.
        let exact = |text: &str| {
            let (whole, part) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
            let part = format!("{part:0<9}");
            seconds(text)?;
            whole.parse::<u64>().ok()?.checked_mul(1_000_000_000)?.checked_add(part.get(..9)?.parse().ok()?)
        };
        let times: Option<Vec<u64>> = text.split(',').map(exact).collect();
        self.told = times.and_then(|times| times.try_into().ok());
    }

    /// The values of its metrics, in the order of `plan::drivers::http::TRANSFER_METRICS`: how long each stage took,
    /// the time from the start to each tenth of the body, how long the last fifth took, and its speed, all not-a-number
    /// if it did not come that far; and whether it was given up or failed otherwise, in percent.
    pub fn metrics(&self, start: Instant, result: &Result<(), Failure>) -> Vec<f64> {
        let since = |from: Instant, at: Option<Instant>| {
            at.map_or(f64::NAN, |at| at.saturating_duration_since(from).as_nanos() as f64 / 1e6)
        };
        let mut before = start;
        let mut values = Vec::with_capacity(Stage::ALL.len() + PERCENTS.len());
        for at in self.stages {
            values.push(since(before, at));
            before = at.unwrap_or(before);
        }
        let unix = |at: u64| at.checked_sub(self.unix_ns).map_or(f64::NAN, |ns| ns as f64 / 1e6);
        match self.told {
            Some(told) => values.extend(told.map(unix)),
            None => values.extend(self.percents.map(|at| since(start, at))),
        }
        let (from, to) = (values[Stage::ALL.len() + 8], values[Stage::ALL.len() + 10]);
        values.push(to - from);
        let bytes = if self.upload > 0 { Some(self.upload) } else { self.length.or(self.expected) };
        // Bytes per microsecond are megabytes per second. A body that arrived in one piece has no rate.
        let rate = |bytes: u64| bytes as f64 / 5.0 / ((to - from) * 1e3);
        values.push(bytes.map(rate).filter(|rate| rate.is_finite()).unwrap_or(f64::NAN));
        let is = |what: bool| if what { 100.0 } else { 0.0 };
        let outcome = result.as_ref().err().map(|failure| failure.outcome);
        values.push(is(outcome == Some(Outcome::Timeout)));
        values.push(is(outcome.is_some_and(|outcome| outcome != Outcome::Timeout)));
        values
    }

    /// The row, once it has ended.
    pub fn row(self, place: &Place, ended: &Exchange, ns: impl Fn(Instant) -> u64) -> TransferRow {
        let start_ns = ns(ended.sent);
        let failure = ended.result.as_ref().err();
        let of = |at: Option<Instant>| at.map(&ns);
        let told = |at: u64| (i128::from(at) - i128::from(self.unix_ns) + i128::from(start_ns)).try_into().ok();
        TransferRow {
            workload: place.workload,
            step: place.step,
            pass: place.pass,
            phase: place.phase,
            outcome: failure.map_or(Outcome::Ok, |f| f.outcome),
            error: failure.filter(|failure| failure.outcome != Outcome::Open).map(|failure| self.error(failure)),
            words: failure.map(|failure| failure.words.clone()),
            proxy_code: self.proxy_code,
            unix_ns: self.unix_ns,
            intended_ns: place.intended_ns,
            start_ns,
            stages: self.stages.map(of),
            percents: self.told.map_or_else(|| self.percents.map(of), |times| times.map(told)),
            parts: self.parts.map(of),
            end_ns: ns(ended.completed),
            file_bytes: if self.upload > 0 { Some(self.upload) } else { self.length.or(self.expected) },
            read_bytes: self.read_bytes,
            written_bytes: self.written_bytes,
            body_read_bytes: self.received,
            body_written_bytes: self.uploaded,
            local: self.local,
            proxy: self.proxy,
            remote: self.remote,
            isolation: self.isolation,
        }
    }

    /// The row of one that has not ended when the load ends, at `at`.
    pub fn open(self, place: &Place, at: Instant, ns: impl Fn(Instant) -> u64) -> TransferRow {
        let result = Err(Failure::new(Outcome::Open, "the load ended before it"));
        let ended = Exchange { completed: at, result, ..Exchange::begun(self.begun.unwrap_or(at)) };
        self.row(place, &ended, ns)
    }

    /// OnionPerf's name for a failure.
    fn error(&self, failure: &Failure) -> &'static str {
        let has = |stage: Stage| self.stages[stage as usize].is_some();
        match failure.outcome {
            Outcome::Timeout => "TIMEOUT",
            Outcome::Proxy if self.is_not_let_in => "AUTH",
            Outcome::Proxy => "PROXY",
            Outcome::Reset | Outcome::Closed | Outcome::Incomplete | Outcome::Io if has(Stage::DataRequest) => "READ",
            Outcome::Reset | Outcome::Closed | Outcome::Incomplete | Outcome::Io if has(Stage::Connect) => "WRITE",
            _ => "MISC",
        }
    }
}

/// Where an abandoned transfer is left.
pub type Left = Rc<Cell<Option<Box<Transfer>>>>;

/// A transfer in progress: if this is dropped before the transfer has ended, it is left for others to find.
pub struct Kept {
    transfer: Option<Box<Transfer>>,
    left: Left,
}

impl Kept {
    /// One that starts now. `expected`: how long its body should be, if the scenario says so.
    pub fn begun(remote: String, expected: Option<u64>, left: &Left) -> Self {
        let transfer = Transfer { expected, ..Transfer::begun(remote) };
        Self { transfer: Some(Box::new(transfer)), left: Rc::clone(left) }
    }

    /// Its record.
    pub fn noted(&mut self) -> Option<&mut Transfer> {
        self.transfer.as_deref_mut()
    }

    /// It has ended.
    pub fn ended(mut self) -> Option<Box<Transfer>> {
        self.transfer.take()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(transfer) = self.transfer.take() {
            self.left.set(Some(transfer));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn tenths_and_parts_are_there_when_as_much_of_the_body_is() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut transfer = Transfer::begun("x:80".to_owned());
        transfer.body(0, Some(51_200), at(1));
        assert_eq!(transfer.percents, [None; 11], "nothing of the body is there");
        transfer.body(1, Some(51_200), at(2));
        transfer.body(10_239, Some(51_200), at(3));
        transfer.body(10_240, Some(51_200), at(4));
        transfer.body(51_200, Some(51_200), at(5));
        let seen = [2, 3, 4, 5, 5, 5, 5, 5, 5, 5, 5].map(|ms| Some(at(ms)));
        assert_eq!(transfer.percents, seen);
        assert_eq!(transfer.parts[..4], [Some(at(4)), Some(at(5)), Some(at(5)), None]);
        let metrics = transfer.metrics(start, &Ok(()));
        assert_eq!((metrics[7], metrics[17], metrics.len()), (2.0, 5.0, 22));
        assert!(metrics[19].is_nan(), "all of it came at once: {}", metrics[19]);
        assert_eq!(metrics[20..], [0.0, 0.0]);
        assert!(metrics[0].is_nan());
    }

    #[test]
    fn the_last_fifth_has_a_rate_and_what_fails_is_given_up_or_has_failed() {
        let start = Instant::now();
        let mut transfer = Transfer::begun("x:80".to_owned());
        transfer.body(4_000_000, Some(5_000_000), start + Duration::from_millis(10));
        transfer.body(5_000_000, Some(5_000_000), start + Duration::from_millis(510));
        let of = |outcome: Outcome| Err(Failure::new(outcome, "words"));
        // A megabyte in half a second.
        assert_eq!(transfer.metrics(start, &Ok(()))[18..], [500.0, 2.0, 0.0, 0.0]);
        assert_eq!(transfer.metrics(start, &of(Outcome::Timeout))[20..], [100.0, 0.0]);
        assert_eq!(transfer.metrics(start, &of(Outcome::Proxy))[20..], [0.0, 100.0]);
    }

    #[test]
    fn one_that_is_given_up_is_left_and_one_that_has_ended_is_not() {
        let left = Left::default();
        drop(Kept::begun("x:80".to_owned(), None, &left).ended());
        assert!(left.take().is_none());
        let mut kept = Kept::begun("x:80".to_owned(), Some(30), &left);
        kept.noted().unwrap().body(10, Some(20), Instant::now());
        drop(kept);
        let place = Place { workload: 0, step: 0, pass: 7, phase: Phase::WarmUp, intended_ns: 1 };
        let row = left.take().unwrap().open(&place, Instant::now(), |_| 5);
        assert_eq!((row.outcome, row.error, row.body_read_bytes, row.file_bytes), (Outcome::Open, None, 10, Some(20)));
    }

    #[test]
    fn what_a_server_says_of_an_upload_is_read_to_the_nanosecond() {
        let mut transfer = Transfer::begun("x:80".to_owned());
        transfer.unix_ns = 1_700_000_000_000_000_000;
        let times: Vec<String> = (0..11).map(|n| format!("1700000000.{:09}", n * 1_000_001)).collect();
        transfer.told(times.join(",").as_bytes());
        assert_eq!(transfer.metrics(Instant::now(), &Ok(()))[7 + 3], 3.000_003);
        for wrong in ["", "1,2", "1700000000.1,-1,3,4,5,6,7,8,9,10,11", "a,b,c,d,e,f,g,h,i,j,k"] {
            let mut transfer = Transfer::begun("x:80".to_owned());
            transfer.told(wrong.as_bytes());
            assert_eq!(transfer.told, None, "{wrong}");
        }
    }
}
