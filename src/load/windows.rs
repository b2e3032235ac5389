//! The results of requests: counts, bytes and loss-free histograms per window, phase, step and outcome.
//!
//! Memory does not grow with the number of requests: a finished window is serialised and sent away, and its histograms
//! are used again.

use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer as _, V2Serializer};

use vocabulary::rows::{RequestRow, WindowRow, new_histogram};
use vocabulary::{Outcome, Phase};

struct Cell {
    count: u64,
    sent_bytes: u64,
    received_bytes: u64,
    service: Histogram<u32>,
    /// Whether a request of this window had to wait before it was sent.
    lagged: bool,
    /// Response times and lag; created when a request first has to wait before it is sent.
    waited: Option<Box<(Histogram<u32>, Histogram<u32>)>>,
    connect: Option<Box<Histogram<u32>>>,
    /// Requests with a first byte.
    answered: u64,
    /// Whether the first byte of each answer arrived together with its last one.
    at_once: bool,
    first_byte: Option<Box<Histogram<u32>>>,
}

impl Cell {
    fn new() -> Box<Self> {
        Box::new(Self {
            count: 0,
            sent_bytes: 0,
            received_bytes: 0,
            service: new_histogram(),
            lagged: false,
            waited: None,
            connect: None,
            answered: 0,
            at_once: true,
            first_byte: None,
        })
    }

    fn record(&mut self, ended: &RequestRow) {
        let service = ended.completed_ns.saturating_sub(ended.sent_ns);
        // The earlier requests are in `service`; this one must not be counted twice.
        if self.lagged || ended.sent_ns > ended.intended_ns {
            self.record_wait(ended);
        }
        match ended.first_byte_ns {
            Some(first) if self.at_once && first == ended.completed_ns && self.answered == self.count => {}
            Some(first) => self.own_first_byte().saturating_record(first.saturating_sub(ended.sent_ns)),
            None if self.answered > 0 => {
                self.own_first_byte();
            }
            None => {}
        }
        self.answered += u64::from(ended.first_byte_ns.is_some());
        if let Some(connect) = ended.connect_ns {
            self.connect.get_or_insert_with(|| Box::new(new_histogram())).saturating_record(connect);
        }
        self.count += 1;
        self.sent_bytes += ended.sent_bytes;
        self.received_bytes += ended.received_bytes;
        self.service.saturating_record(service);
    }

    fn record_wait(&mut self, ended: &RequestRow) {
        let (response, lag) = &mut **self.waited.get_or_insert_with(|| Box::new((new_histogram(), new_histogram())));
        if !self.lagged {
            // All earlier ones were sent when they were meant to be.
            self.lagged = true;
            response.add(&self.service).expect("both have the same bounds");
            lag.saturating_record_n(0, u32::try_from(self.count).unwrap_or(u32::MAX));
        }
        response.saturating_record(ended.completed_ns.saturating_sub(ended.intended_ns));
        lag.saturating_record(ended.sent_ns.saturating_sub(ended.intended_ns));
    }

    /// The histogram of first bytes, from now on kept separately from that of service times.
    fn own_first_byte(&mut self) -> &mut Histogram<u32> {
        let own = self.first_byte.get_or_insert_with(|| Box::new(new_histogram()));
        if self.at_once {
            self.at_once = false;
            // Either each earlier request had its first byte together with its last one, or none had one.
            if self.answered > 0 {
                own.add(&self.service).expect("both have the same bounds");
            }
        }
        own
    }
}

/// Whole phases of one generator thread, for passes that were answered as expected and those never answered, with the
/// time that the latter had waited ([`Outcome::counts_in_times`]).
#[derive(Clone, Debug)]
pub struct Totals {
    /// The correct answers among these.
    pub ok: u64,
    /// Completed − sent.
    pub service: Histogram<u32>,
    /// Completed − intended.
    pub response: Histogram<u32>,
    /// Sent − intended, of all passes.
    pub lag: Histogram<u32>,
}

impl Totals {
    fn new() -> Self {
        Self { ok: 0, service: new_histogram(), response: new_histogram(), lag: new_histogram() }
    }

    /// Adds those of another thread.
    pub fn add(&mut self, other: &Self) {
        let same = "both have the same bounds";
        self.ok += other.ok;
        self.service.add(&other.service).expect(same);
        self.response.add(&other.response).expect(same);
        self.lag.add(&other.lag).expect(same);
    }

    /// Median response time of the correct answers, in nanoseconds; `None` without one.
    pub fn usual_ns(&self) -> Option<u64> {
        // Those never answered are mostly the longest.
        let share = self.ok as f64 / self.response.len().max(1) as f64;
        (self.ok > 0).then(|| self.response.value_at_quantile(share / 2.0))
    }
}

/// The windows of one generator thread.
pub struct Windows {
    workload: u16,
    length_ns: u64,
    current: u64,
    steps: usize,
    /// Whether a pass is its only step.
    single: bool,
    cells: Vec<Option<Box<Cell>>>,
    totals: [Option<Box<Totals>>; Phase::ALL.len()],
    serializer: V2Serializer,
}

impl Windows {
    /// Windows of `length_ns`, for a workload with this many steps and kinds of passes; `single`: whether a pass is its only
    /// step.
    pub fn new(workload: u16, steps: usize, single: bool, length_ns: u64) -> Self {
        let phases = Phase::ALL.len();
        let cells = (0..phases * phases * (steps + 1) * Outcome::COUNT).map(|_| None).collect();
        let totals = [const { None }; Phase::ALL.len()];
        Self { workload, length_ns, current: 0, steps, single, cells, totals, serializer: V2Serializer::new() }
    }

    /// Counts a request. Returns the rows of the last window when this request starts another one.
    ///
    /// Where a pass is its only step, only the step is counted: the pass as a whole is the same, and is added to the rows.
    pub fn record(&mut self, ended: &RequestRow) -> Option<Vec<WindowRow>> {
        let rows = self.over(ended.completed_ns);
        let step = ended.step.map_or(self.steps, usize::from);
        let phases = ended.phase as usize * Phase::ALL.len() + ended.completed_in as usize;
        let index = (phases * (self.steps + 1) + step) * Outcome::COUNT + ended.outcome.index();
        self.cells[index].get_or_insert_with(Cell::new).record(ended);
        rows
    }

    /// The rows of the last window if that is over at `now_ns`: nothing may end for a long time, and whoever watches would not know.
    #[inline(always)]
    pub fn over(&mut self, now_ns: u64) -> Option<Vec<WindowRow>> {
        if now_ns < self.current.saturating_add(1).saturating_mul(self.length_ns) {
            return None;
        }
        let rows = Some(self.flush()).filter(|rows| !rows.is_empty());
        self.current = now_ns / self.length_ns;
        rows
    }

    /// The rows of the current window; the window is empty afterwards.
    pub fn flush(&mut self) -> Vec<WindowRow> {
        let mut rows = Vec::new();
        for (index, cell) in self.cells.iter_mut().enumerate() {
            let Some(cell) = cell.as_mut().filter(|c| c.count > 0) else { continue };
            let outcome = Outcome::with_index(index % Outcome::COUNT);
            let rest = index / Outcome::COUNT;
            let step = rest % (self.steps + 1);
            let phases = rest / (self.steps + 1);
            let (phase, completed_in) = (Phase::ALL[phases / Phase::ALL.len()], Phase::ALL[phases % Phase::ALL.len()]);
            let is_pass = step == self.steps || self.single;
            if is_pass {
                let totals = self.totals[phase as usize].get_or_insert_with(|| Box::new(Totals::new()));
                add_to(totals, cell, outcome);
            }
            let row = make_row(cell, &mut self.serializer);
            let row = WindowRow {
                start_ns: self.current * self.length_ns,
                workload: self.workload,
                step: (step < self.steps).then_some(step as u16),
                phase,
                completed_in,
                outcome,
                ..row
            };
            if is_pass && row.step.is_some() {
                rows.push(WindowRow { step: None, ..row.clone() });
            }
            rows.push(row);
        }
        rows
    }

    /// Whole phases so far, without the current window.
    pub fn totals(&self) -> impl Iterator<Item = (Phase, &Totals)> {
        Phase::ALL.into_iter().filter_map(|p| Some((p, self.totals[p as usize].as_deref()?)))
    }
}

/// Adds the passes of a window to their phase.
fn add_to(totals: &mut Totals, cell: &Cell, outcome: Outcome) {
    let same = "both have the same bounds";
    let waited = cell.waited.as_deref().filter(|_| cell.lagged);
    if outcome == Outcome::Ok {
        totals.ok += cell.count;
    }
    if outcome.counts_in_times() {
        totals.service.add(&cell.service).expect(same);
        totals.response.add(waited.map_or(&cell.service, |(response, _)| response)).expect(same);
    }
    match waited {
        Some((_, lag)) => totals.lag.add(lag).expect(same),
        None => totals.lag.saturating_record_n(0, u32::try_from(cell.count).unwrap_or(u32::MAX)),
    }
}

/// Takes the content of a cell; place, phase and outcome are filled in by the caller.
fn make_row(cell: &mut Cell, serializer: &mut V2Serializer) -> WindowRow {
    let mut encode = |histogram: &mut Histogram<u32>| {
        let mut bytes = Vec::new();
        serializer.serialize(histogram, &mut bytes).expect("a vector takes all that is written to it");
        histogram.reset();
        bytes
    };
    let first_byte = match &mut cell.first_byte {
        Some(own) if !cell.at_once => Some(encode(own)),
        _ => None,
    };
    let connect = cell.connect.as_mut().filter(|c| !c.is_empty()).map_or_else(Vec::new, |c| encode(c));
    let (response, lag) = match &mut cell.waited {
        Some(waited) if cell.lagged => (Some(encode(&mut waited.0)), encode(&mut waited.1)),
        _ => {
            let mut none = new_histogram();
            none.saturating_record_n(0, u32::try_from(cell.count).unwrap_or(u32::MAX));
            (None, encode(&mut none))
        }
    };
    let service = encode(&mut cell.service);
    let row = WindowRow {
        start_ns: 0,
        workload: 0,
        step: None,
        phase: Phase::During,
        completed_in: Phase::During,
        outcome: Outcome::Ok,
        count: cell.count,
        sent_bytes: cell.sent_bytes,
        received_bytes: cell.received_bytes,
        response: response.unwrap_or_else(|| service.clone()),
        first_byte: first_byte.unwrap_or_else(|| if cell.answered > 0 { service.clone() } else { Vec::new() }),
        service,
        lag,
        connect,
    };
    (cell.count, cell.sent_bytes, cell.received_bytes, cell.answered) = (0, 0, 0, 0);
    (cell.lagged, cell.at_once) = (false, true);
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::Deserializer;
    use proptest::prelude::*;

    fn decode(bytes: &[u8]) -> Histogram<u32> {
        Deserializer::new().deserialize(&mut &bytes[..]).unwrap()
    }

    fn ended(step: Option<u16>, outcome: usize, at: u64, lag: u64, took: u64) -> RequestRow {
        RequestRow {
            step,
            phase: Phase::During,
            completed_in: Phase::During,
            outcome: Outcome::with_index(outcome),
            intended_ns: at,
            sent_ns: at + lag,
            completed_ns: at + lag + took,
            connect_ns: None,
            first_byte_ns: None,
            sent_bytes: 1,
            received_bytes: 2,
            key: None,
        }
    }

    proptest! {
        /// Nothing is lost or counted twice, whatever window a request falls into; and whatever shortcuts the recording
        /// takes, each histogram is what recording every value would give.
        #[test]
        fn every_request_is_in_exactly_one_row(
            times in proptest::collection::vec((0_u64..5_000_000_000, 1_u64..2_000_000, 0_usize..2, 0_u64..3, 0_u8..4), 1..200),
            steps in 1_usize..3,
        ) {
            let mut times = times;
            times.sort_unstable();
            let mut windows = Windows::new(0, steps, steps == 1, 500_000_000);
            let mut rows = Vec::new();
            let mut expected = [new_histogram(), new_histogram(), new_histogram(), new_histogram(), new_histogram()];
            for (at, took, outcome, lag, extra) in &times {
                let mut one = ended(Some((*took % steps as u64) as u16), *outcome, *at, lag * 1000, *took);
                one.first_byte_ns = match extra { 0 => None, 1 => Some(one.completed_ns - took / 2), _ => Some(one.completed_ns) };
                one.connect_ns = (*extra == 3).then_some(took / 3);
                rows.extend(windows.record(&one).unwrap_or_default());
                expected[0].record(*took).unwrap();
                expected[1].record(lag * 1000 + took).unwrap();
                expected[2].record(lag * 1000).unwrap();
                if let Some(first) = one.first_byte_ns { expected[3].record(first - one.sent_ns).unwrap(); }
                if let Some(connect) = one.connect_ns { expected[4].record(connect).unwrap(); }
            }
            rows.extend(windows.flush());
            rows.retain(|r| r.step.is_some());
            prop_assert_eq!(rows.iter().map(|r| r.count).sum::<u64>(), times.len() as u64);
            prop_assert_eq!(rows.iter().map(|r| r.received_bytes).sum::<u64>(), 2 * times.len() as u64);
            let columns: [fn(&WindowRow) -> &Vec<u8>; 5] =
                [|r| &r.service, |r| &r.response, |r| &r.lag, |r| &r.first_byte, |r| &r.connect];
            for (column, expected) in columns.into_iter().zip(expected) {
                let mut sum = new_histogram();
                for row in rows.iter().filter(|r| !column(r).is_empty()) {
                    let histogram = decode(column(row));
                    if !std::ptr::eq(column(row), &row.connect) && !std::ptr::eq(column(row), &row.first_byte) {
                        prop_assert_eq!(histogram.len(), row.count);
                    }
                    sum.add(histogram).unwrap();
                }
                // The first values of a window are copied from `service`; equal values fall into the same bucket.
                prop_assert_eq!(sum, expected);
            }
        }
    }

    #[test]
    fn where_it_ends_is_told_apart_and_times_know_what_was_never_answered() {
        let mut windows = Windows::new(0, 1, true, 500_000_000);
        windows.record(&ended(Some(0), 0, 10, 0, 100));
        windows.record(&RequestRow { completed_in: Phase::Drain, ..ended(Some(0), 0, 20, 0, 300) });
        let open = RequestRow { outcome: Outcome::Open, completed_in: Phase::Drain, ..ended(Some(0), 0, 30, 0, 900) };
        windows.record(&open);
        let rows = windows.flush();
        let passes: Vec<_> = rows.iter().filter(|r| r.step.is_none()).map(|r| (r.completed_in, r.outcome, r.count)).collect();
        assert_eq!(passes, [(Phase::During, Outcome::Ok, 1), (Phase::Drain, Outcome::Ok, 1), (Phase::Drain, Outcome::Open, 1)]);
        let (_, totals) = windows.totals().next().unwrap();
        assert_eq!((totals.ok, totals.response.len(), totals.response.max(), totals.usual_ns()), (2, 3, 900, Some(100)));
    }

    #[test]
    fn a_window_is_over_even_if_nothing_ends_after_it() {
        let mut windows = Windows::new(0, 1, true, 500_000_000);
        windows.record(&ended(Some(0), 0, 10, 0, 100));
        assert!(windows.over(499_999_999).is_none());
        let rows = windows.over(500_000_000).unwrap();
        assert_eq!(rows.iter().map(|row| (row.start_ns, row.count)).collect::<Vec<_>>(), [(0, 1), (0, 1)]);
        assert!(windows.over(2_000_000_000).is_none());
        windows.record(&ended(Some(0), 0, 2_100_000_000, 0, 100));
        assert_eq!(windows.flush()[0].start_ns, 2_000_000_000);
    }

    #[test]
    fn a_pass_of_one_step_is_that_step() {
        let mut windows = Windows::new(3, 1, true, 500_000_000);
        windows.record(&ended(Some(0), 0, 10, 5, 100));
        windows.record(&ended(Some(0), 1, 20, 0, 100));
        let rows = windows.flush();
        assert_eq!(
            rows.iter().map(|r| (r.step, r.outcome, r.count)).collect::<Vec<_>>(),
            [(None, Outcome::Ok, 1), (Some(0), Outcome::Ok, 1), (None, Outcome::Status, 1), (Some(0), Outcome::Status, 1),]
        );
        let (_, totals) = windows.totals().next().unwrap();
        assert_eq!((totals.response.len(), totals.response.max(), totals.lag.len()), (1, 105, 2));
    }
}
