//! How each protocol is read. A protocol's reader is beside its noun, in `plan/drivers/<protocol>/read.rs`.

#[path = "../drivers/command/read.rs"]
mod command;
#[path = "../drivers/framed/read.rs"]
mod framed;
#[path = "../drivers/http/read.rs"]
mod http;
#[path = "../drivers/redis/read.rs"]
mod redis;
#[path = "../drivers/vtp/read.rs"]
mod vtp;
#[path = "../drivers/websocket/read.rs"]
mod websocket;

use std::collections::BTreeSet;

use super::diagnostics::Diagnostics;
use super::steps;
use plan::{Driver, Workload};
use schema::{Entry, Node, types};

/// The readers of all protocols, in the order in which their keys are listed.
pub(super) const READERS: &[Reader] =
    &[http::READER, websocket::READER, framed::READER, vtp::READER, redis::READER, command::READER];

/// A workload as it was typed.
pub(super) struct TypedWorkload<'a> {
    /// Its evaluated YAML.
    pub node: &'a Node,
    /// The same, with types.
    pub typed: &'a types::Workload,
    /// Names already taken by factors and `let`.
    pub in_use: &'a BTreeSet<String>,
}

/// How a protocol is read.
pub(super) struct Reader {
    /// The key of a workload that chooses it.
    pub key: &'static str,
    /// Keys of a workload that only this protocol has: the others refuse them.
    pub own: &'static [&'static str],
    /// Makes the noun, or notes what is wrong.
    pub read: fn(&mut Diagnostics<'_>, &TypedWorkload<'_>) -> Option<Driver>,
    /// Notes what none of its steps may contain, where the rest of the workload could not be read.
    pub check_steps: fn(&mut Diagnostics<'_>, &Node),
    /// Names of metrics that a workload, as it was typed, extracts from somewhere.
    pub takes: fn(&Node) -> Vec<&str>,
    /// Names of metrics that the protocol itself adds to a scenario with these workloads.
    pub brings: fn(&[Entry]) -> Vec<&'static str>,
    /// What a workload must have so that its connections do not wait for answers; empty if that is impossible.
    pub many_under_way: &'static str,
    /// Names of values that a workload, as it was typed, has besides drawn and carried ones.
    pub inserts: fn(&Node) -> Vec<&'static str>,
    /// Whether a workload follows another, and so has no load of its own.
    pub follows: fn(&types::Workload) -> bool,
    /// Lets the workloads of a cell find each other when all of them are known. `nodes`: their YAML.
    pub join: fn(&mut Diagnostics<'_>, &mut [Workload], &[&Node]),
}

impl Reader {
    /// A protocol that adds nothing and follows no workload.
    const fn of(key: &'static str) -> Self {
        Self {
            key,
            own: &[],
            read: |_, _| None,
            check_steps: steps::check::<types::Step>,
            takes: |_| Vec::new(),
            brings: |_| Vec::new(),
            many_under_way: "",
            inserts: |_| Vec::new(),
            follows: |_| false,
            join: |_, _, _| {},
        }
    }
}
