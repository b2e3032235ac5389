//! How each protocol is read. A protocol's reader lies beside its noun, in `plan/drivers/<protocol>/read.rs`.

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
    /// Names that factors and `let` have already.
    pub in_use: &'a BTreeSet<String>,
}

/// How a protocol is read.
pub(super) struct Reader {
    /// The key of a workload that chooses it.
    pub key: &'static str,
    /// Keys of a workload that only it has: the others refuse them.
    pub own: &'static [&'static str],
    /// Makes the noun, or notes what is wrong.
    pub read: fn(&mut Diagnostics<'_>, &TypedWorkload<'_>) -> Option<Driver>,
    /// Notes what its steps hold that no step of it can, where the rest of the workload could not be read.
    pub check_steps: fn(&mut Diagnostics<'_>, &Node),
    /// Names of metrics that a workload, as it was typed, takes from somewhere.
    pub takes: fn(&Node) -> Vec<&str>,
    /// Names of metrics that it brings by itself to a scenario with these workloads.
    pub brings: fn(&[Entry]) -> Vec<&'static str>,
    /// What a workload must have so that its connections do not wait for answers; empty where none of it is so.
    pub many_under_way: &'static str,
    /// Names of values that a workload, as it was typed, has beside those that are drawn and carried.
    pub inserts: fn(&Node) -> Vec<&'static str>,
    /// Whether a workload follows another, and so has no load of its own.
    pub follows: fn(&types::Workload) -> bool,
    /// Lets workloads of a cell find each other when all of them are known. The nodes are theirs.
    pub join: fn(&mut Diagnostics<'_>, &mut [Workload], &[&Node]),
}

impl Reader {
    /// One that brings nothing and follows nobody.
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
