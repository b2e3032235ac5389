//! Roles of machines, and what is done on which of them.

use std::sync::Arc;

use serde_json::json;

use super::diagnostics::Diagnostics;
use super::options::Options;
use plan::hosts::{CONTROLLER, LOOPBACK};
use plan::links::is_local;
use plan::{Link, Load, Role, Target, Workload};
use schema::source::one_of;
use schema::{Data, Entry, Mistake, Node, SourceFile, Span, decode, types};

/// More machines with one role are a typing error.
const MOST: u32 = 1000;

/// Reads `hosts`. With addresses in `options` the roles are machines of their own; otherwise all of them are this one.
pub(super) fn read(file: &Arc<SourceFile>, node: Option<&Node>, options: &Options, mistakes: &mut Vec<Mistake>) -> Vec<Role> {
    let mut roles = Vec::new();
    for entry in node.map(Node::entries).unwrap_or_default() {
        let name = &entry.key;
        let fits =
            name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let expected = match name.as_str() {
            CONTROLLER => Some("it means the machine on which runner is started, which executes what names no role"),
            _ if !fits => Some("expected a letter, then letters, digits and `_`, so that expressions can use it"),
            _ => None,
        };
        if let Some(expected) = expected {
            let found = format!("`{name}` cannot be the name of a role");
            mistakes.push(Mistake::new(file, entry.key_span, found).expected(expected));
        }
        // `server:` alone is a role, too.
        let count = match entry.value.data {
            Data::Null => 1,
            _ => decode::decode::<types::HostRole>(file, &entry.value, mistakes).map_or(1, |typed| typed.count),
        };
        if !(1..=MOST).contains(&count) {
            let place = entry.value.get("count").map_or(entry.key_span, |count| count.span);
            mistakes.push(Mistake::new(file, place, format!("{count} machines")).expected(format!("expected 1 to {MOST}")));
        }
        let alone = || vec![LOOPBACK.to_owned(); count.clamp(1, MOST) as usize];
        let addresses = options.hosts.get(name).cloned().unwrap_or_else(alone);
        roles.push(Role { name: name.clone(), addresses });
    }
    roles
}

/// `hosts` as expressions see it: for each role `address` (of its first machine), `addresses` and `count`.
pub(super) fn as_value(roles: &[Role]) -> Node {
    let of = |role: &Role| {
        let value = json!({"address": role.addresses[0], "addresses": role.addresses, "count": role.addresses.len()});
        Entry { key: role.name.clone(), key_span: Span::default(), value: Node::from_json(&value, Span::default()) }
    };
    Node::new(Span::default(), Data::Map(roles.iter().map(of).collect()))
}

/// The machines of a scenario, and which of them is this one.
#[derive(Clone, Copy)]
pub(super) struct Places<'a> {
    pub roles: &'a [Role],
    pub options: &'a Options,
}

impl Places<'_> {
    /// Whether something with this role is done on this machine.
    pub fn is_here(&self, on: Option<&str>) -> bool {
        self.options.is_here(on)
    }

    /// Checks the role that `on` names in `node`; `why_one`: why it must be a single machine, if it must.
    pub fn check(
        &self,
        file: &Arc<SourceFile>,
        node: &Node,
        on: Option<&str>,
        why_one: Option<&str>,
        mistakes: &mut Vec<Mistake>,
    ) {
        let Some(on) = on else { return };
        let span = node.get("on").map_or(node.head, |n| n.span);
        let known: Vec<&str> = self.roles.iter().map(|role| role.name.as_str()).collect();
        match (self.roles.iter().find(|role| role.name == on), why_one) {
            (Some(role), Some(why)) if role.addresses.len() > 1 => {
                let found = format!("{} machines have the role `{on}`, and {why}", role.addresses.len());
                mistakes.push(Mistake::new(file, span, found).expected("expected a role with one machine"));
            }
            (Some(_), _) => {}
            (None, _) => {
                let mistake = Mistake::new(file, span, format!("there is no role `{on}`"));
                mistakes.push(match known.is_empty() {
                    true => mistake.expected("expected `hosts` in the scenario, which names the roles of machines"),
                    false => mistake.expected(format!("expected {}", one_of(known.iter().copied()))).did_you_mean(on, known),
                });
            }
        }
    }

    /// The address at which others reach what is done with this role, and at which it asks itself.
    pub fn address(&self, on: Option<&str>) -> &str {
        let role = on.and_then(|on| self.roles.iter().find(|role| role.name == on));
        role.map_or(LOOPBACK, |role| &role.addresses[0])
    }
}

/// Why a workload cannot be shared by several machines; none if it can.
pub(super) fn why_not_shared(workload: &Workload) -> Option<&'static str> {
    let protocol = workload.protocol();
    let Load { find, .. } = &workload.load;
    if find.is_some() {
        Some("`find` tries rates from one machine")
    } else if protocol.is_program() {
        Some("a command makes its load from one machine")
    } else if protocol.follows().is_some() {
        Some("a follower belongs to one machine")
    } else if !protocol.metrics().is_empty() {
        Some("a workload with figures of its own makes its load from one machine")
    } else {
        None
    }
}

/// Notes what cannot be on different machines: a workload and its follower; targets that wait for each other and outlive
/// repetitions. Notes connections that are too few for all machines.
pub(super) fn together(
    notes: &mut Diagnostics<'_>,
    places: Places<'_>,
    targets: &[Target],
    workloads: &[Workload],
    nodes: &[&Node],
) {
    for (workload, node) in workloads.iter().zip(nodes) {
        let leader = workload.protocol().follows().and_then(|name| workloads.iter().find(|other| other.name == name));
        if let Some(leader) = leader.filter(|leader| leader.on != workload.on) {
            let found = format!("`{}` is not on the machine of `{}`, which it follows", workload.name, leader.name);
            notes.say(node, "on", found, "expected both on one machine");
        }
        let count =
            places.roles.iter().find(|role| Some(&role.name) == workload.on.as_ref()).map_or(1, |role| role.addresses.len());
        let connections = workload.load.arrivals.connections() as usize;
        let threads = workload.threads as usize * count;
        if count > 1 && connections > 0 && threads > connections {
            let found = format!("{connections} connections for {threads} threads on {count} machines");
            notes.say(node, "load", found, "expected at least one connection for each thread of each machine");
        }
    }
    for target in targets.iter().filter(|target| !target.lifetime.is_repetition()) {
        let elsewhere = |name: &&String| targets.iter().any(|other| other.name == **name && other.on != target.on);
        if let Some(other) = target.after.iter().find(elsewhere) {
            let found = format!("`{}` outlives repetitions and waits for `{other}`, which is on another machine", target.name);
            let place = nodes.first().map_or(Span::default(), |node| node.head);
            let mistake = Mistake::new(notes.file, place, found);
            notes.mistakes.push(mistake.expected("expected both on one machine, or `lifetime: repetition`"));
        }
    }
}

/// Notes the workloads that would ask their own machine for a target that is on another one.
pub(super) fn reachable(notes: &mut Diagnostics<'_>, targets: &[Target], workloads: &[Workload], nodes: &[&Node]) {
    for (workload, node) in workloads.iter().zip(nodes) {
        for (host, port) in workload.protocol().addresses().into_iter().filter(|(host, _)| is_local(host)) {
            let there = |target: &&Target| target.replicas.iter().any(|replica| replica.ports.contains(&port));
            let here = targets.iter().filter(there).any(|target| target.on == workload.on);
            let Some(target) = targets.iter().find(there).filter(|_| !here) else { continue };
            let found = format!("`{}` is not on the machine of `{}`, which asks {host}:{port}", target.name, workload.name);
            let expected = match &target.on {
                Some(on) => format!("expected `${{hosts.{on}.address}}:{port}`, or `${{targets.{}.urls}}`", target.name),
                None => format!("expected both on one machine: `{}` has no `on`", target.name),
            };
            notes.mistakes.push(Mistake::new(notes.file, node.head, found).expected(expected));
        }
    }
}

/// Notes links that do not lead from one machine to another: a link is the line of the machine at its far side.
pub(super) fn links_between(notes: &mut Diagnostics<'_>, links: &[Link], targets: &[Target], section: &Node) {
    let on = |name: &str| targets.iter().find(|target| target.name == name).and_then(|target| target.on.as_deref());
    for (index, link) in links.iter().enumerate() {
        let span = section.entry(&link.name).map_or(section.span, |entry| entry.key_span);
        let far = link.to.first().and_then(|name| on(name));
        let mut say = |found: String, expected: &str| {
            notes.mistakes.push(Mistake::new(notes.file, span, found).expected(expected));
        };
        if let Some(other) = link.to.iter().find(|name| on(name) != far) {
            say(format!("`{}` and `{other}` are on different machines", link.to[0]), "expected a link to one machine");
        }
        if link.from.as_ref().is_some_and(|from| on(from) == far) {
            let found = format!("both sides of the link `{}` are on one machine", link.name);
            say(found, "expected a link to another machine, whose line it is");
        }
        let same = |other: &&Link| other.to.first().and_then(|name| on(name)) == far;
        if let Some(other) = links[..index].iter().find(same) {
            let found = format!("the links `{}` and `{}` both lead to one machine", other.name, link.name);
            say(found, "expected one link to each machine: it is the machine's line");
        }
    }
}
