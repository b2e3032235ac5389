//! What happened in a repetition, and when.

use std::cell::RefCell;
use std::time::Instant;

use serde_json::Value;

use crate::epoch::Epoch;

/// The events of a repetition.
#[derive(Debug, Default)]
pub(crate) struct Events(RefCell<Vec<(Instant, Value)>>);

impl Events {
    /// Records what happens now.
    pub fn now(&self, event: Value) {
        self.at(Instant::now(), event);
    }

    /// Records what happened at an instant.
    pub fn at(&self, at: Instant, event: Value) {
        self.0.borrow_mut().push((at, event));
    }

    /// One object for each event, in which `at_ns` counts from the start of the load; from the first event if there was
    /// no load.
    pub fn since(&self, epoch: Option<Epoch>) -> Vec<Value> {
        let events = self.0.borrow();
        let epoch = epoch.map(|epoch| epoch.instant).or_else(|| events.first().map(|(at, _)| *at));
        let object = |(at, event): &(Instant, Value)| {
            let at_ns = epoch.map_or(0, |epoch| match at.checked_duration_since(epoch) {
                Some(after) => after.as_nanos() as i64,
                None => -(epoch.duration_since(*at).as_nanos() as i64),
            });
            let mut object = serde_json::Map::from_iter([("at_ns".to_owned(), at_ns.into())]);
            if let Value::Object(rest) = event {
                object.extend(rest.clone());
            }
            object.into()
        };
        events.iter().map(object).collect()
    }
}
