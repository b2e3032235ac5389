//! A pass under way: what it does next, and what is recorded of it. It waits for nothing, so that whatever carries passes – a task for
//! each client, or one loop for many – makes the same of them.
//!
//! Here, and in what is called from here for each request, `inline(always)` saves a fifth of the instructions of a request
//! (`benches/instructions.py`): there are two callers, so the compiler would not do it.

use std::time::Instant;

use super::account::{Account, UnderWay, ended, without_pauses};
use super::drivers::Exchange;
use super::drivers::script::{Script, Then, Turn, Walk};
use super::drivers::values::Values;
use super::observer::Begun;
use super::schedule::Arrival;
use vocabulary::Outcome;
use vocabulary::rows::RequestRow;

/// A pass that a client carries.
pub(super) struct Pass {
    slot: usize,
    pub arrival: Arrival,
    walk: Walk,
    /// The row of its kind, if there is a mix.
    kind: Option<u16>,
    intended_ns: u64,
    begun_ns: u64,
    /// The same, as the clock says it, if that is known.
    begun: Option<Instant>,
    /// The pass as a whole, once a step has ended.
    whole: Option<RequestRow>,
    /// When the next step is meant to start; none: as soon as it does.
    due_ns: Option<u64>,
    paused_ns: u64,
    failed: bool,
    /// What was to be next, and could not be done yet.
    postponed: Option<Box<Turn>>,
}

/// A pass that has ended.
pub(super) struct Ended {
    /// The end of its last step.
    pub end_ns: u64,
    /// The pause after it, for which the client is not free.
    pub pause_ns: u64,
}

impl Pass {
    /// A client starts a pass. Without `intended_ns` the intended start is the actual start.
    #[inline(always)]
    pub fn begin(account: &Account, script: &Script, slot: usize, arrival: &Arrival, intended_ns: Option<u64>) -> Self {
        let walk = script.begin(arrival.pass);
        let kind = script.row(&walk);
        // In a closed loop without think time the pass starts when it is meant to.
        let (meant_ns, begun_ns) =
            intended_ns.map_or((arrival.intended_ns, arrival.intended_ns), |at| (at, account.pacer.now_ns()));
        account.begins(slot, UnderWay { kind, ..UnderWay::begun(arrival.phase, meant_ns, begun_ns) });
        if !account.observers.is_empty() {
            let sent_ns = account.pacer.now_ns();
            let begun = Begun { intended_ns: intended_ns.unwrap_or(sent_ns), sent_ns, phase: arrival.phase };
            account.observers.iter().for_each(|observer| observer.begins(arrival.pass, begun));
        }
        Self {
            slot,
            arrival: *arrival,
            walk,
            kind,
            intended_ns: meant_ns,
            begun_ns,
            begun: None,
            whole: None,
            due_ns: intended_ns,
            paused_ns: 0,
            failed: false,
            postponed: None,
        }
    }

    /// The same for a pass that has begun when this was the time.
    pub fn begun_at(self, begun: Option<Instant>) -> Self {
        Self { begun, ..self }
    }

    /// What it does next. A step that fails ends the pass: later steps would ask for things that do not exist.
    #[inline(always)]
    pub fn turn(&mut self, script: &Script, values: Option<&Values>) -> Turn {
        if let Some(turn) = self.postponed.take() {
            return *turn;
        }
        if self.failed {
            // Its user is as patient at the end as after a pass that was answered.
            return Turn { pause_ns: script.last_pauses(&mut self.walk), then: Then::End };
        }
        script.next(&mut self.walk, values)
    }

    /// Whoever has it cannot do what it does next.
    pub fn postpone(&mut self, turn: Turn) {
        self.postponed = Some(Box::new(turn));
    }

    /// A pause starts. Returns when it is over.
    pub fn pauses(&self, account: &Account, pause_ns: u64) -> u64 {
        let since_ns = self.whole.as_ref().map_or(self.intended_ns, |whole| whole.completed_ns);
        account.pauses(self.slot, since_ns, self.whole.is_some());
        since_ns.saturating_add(pause_ns)
    }

    /// It is over.
    pub fn goes_on(&mut self, account: &Account, pause_ns: u64, until_ns: u64) {
        account.goes_on(self.slot, pause_ns, until_ns);
        if self.whole.is_some() {
            self.paused_ns = self.paused_ns.saturating_add(pause_ns);
        }
        self.due_ns = Some(until_ns);
    }

    /// A step starts; `has_paused`: after a pause. Returns when it was meant to.
    #[inline(always)]
    pub fn steps(&self, account: &Account, step: usize, has_paused: bool) -> u64 {
        let meant_ns = self.due_ns.unwrap_or(self.intended_ns);
        if self.whole.is_some() || has_paused {
            account.steps(self.slot, step, meant_ns);
        } else if step > 0 {
            account.steps(self.slot, step, self.begun_ns);
        }
        meant_ns
    }

    /// A step has ended: it is recorded. `has_waited`: whether its user had to log in first. Returns its row.
    #[inline(always)]
    pub fn step_ended(&mut self, account: &Account, step: usize, exchange: &Exchange, has_waited: bool) -> RequestRow {
        let phase = self.arrival.phase;
        let sent_ns = if self.begun == Some(exchange.sent) { self.begun_ns } else { account.ns(exchange.sent) };
        let completed_ns = account.ns(exchange.completed);
        // A later step is meant to start when the previous one, or the pause after it, has ended. If its user had to log in first, it
        // starts after that.
        let later = |due_ns: u64| if has_waited { sent_ns } else { due_ns.min(sent_ns) };
        let intended_ns = self.due_ns.map_or(sent_ns, |due_ns| if self.whole.is_some() { later(due_ns) } else { due_ns });
        let one = RequestRow {
            completed_in: account.completed_in(phase, completed_ns),
            ..account.row_of(step, exchange, ended(phase, intended_ns, sent_ns, completed_ns))
        };
        if let Err(failure) = &exchange.result
            && failure.outcome.is_error()
        {
            account.note(one.step, failure);
        }
        account.record(&one);
        match &mut self.whole {
            None => self.whole = Some(RequestRow { step: None, ..one }),
            Some(whole) => add_step(whole, &one),
        }
        self.due_ns = Some(completed_ns);
        self.failed = one.outcome != Outcome::Ok;
        one
    }

    /// It has ended, with a pause of `pause_ns` after it.
    #[inline(always)]
    pub fn end(self, account: &Account, pause_ns: u64) -> Ended {
        // Every pass has a step: the plan has no others.
        let Some(whole) = self.whole else {
            account.under_way.borrow_mut()[self.slot] = None;
            return Ended { end_ns: account.pacer.now_ns(), pause_ns };
        };
        if !account.single_step || self.kind.is_some() {
            let measured = without_pauses(&whole, self.paused_ns);
            if !account.single_step {
                account.record(&measured);
            }
            if self.kind.is_some() {
                account.record(&RequestRow { step: self.kind, ..measured });
            }
        }
        account.paused_pass_ended(self.slot, &whole, self.paused_ns);
        if whole.outcome != Outcome::Ok {
            account.observers.iter().for_each(|observer| observer.fails(self.arrival.pass));
        }
        Ended { end_ns: whole.completed_ns, pause_ns }
    }
}

/// Adds a further step to the pass as a whole.
fn add_step(whole: &mut RequestRow, one: &RequestRow) {
    whole.completed_ns = one.completed_ns;
    whole.completed_in = one.completed_in;
    whole.outcome = one.outcome;
    whole.connect_ns = match (whole.connect_ns, one.connect_ns) {
        (None, None) => None,
        (a, b) => Some(a.unwrap_or(0) + b.unwrap_or(0)),
    };
    whole.sent_bytes += one.sent_bytes;
    whole.received_bytes += one.received_bytes;
}
