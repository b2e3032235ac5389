//! Whose counts are compared with what was sent: servers that are recognized automatically, and in `typed` those that
//! the scenario names.

mod haproxy;
mod nginx;
mod typed;

use std::collections::BTreeMap;

pub(super) use typed::{CellContext, TypedEntry, read};

use plan::collect::BODY;
use plan::drivers::Asks;
use plan::links::is_local;
use plan::reconcile::{Counter, Reconcile, Source, count_socket};
use plan::url::Address;
use plan::{Carry, Probe, Replica, Selector, Start, Step, Target, Template, Url, Workload};

/// Fixtures that report how many requests they received, on a socket whose path is given in [`COUNT_VARIABLE`].
const COUNTING: [&str; 8] = ["blobs-server", "cpu-server", "faulty", "null-server", "queue", "random-data", "shop", "stall"];

/// How nginx's own page is read.
fn nginx_page(page: nginx::Page) -> Counter {
    let carry = vec![Carry { name: BODY.to_owned(), selector: Selector::Regex("(?s)^.*$".to_owned()) }];
    let step = Step { carry, ..Step::plain("get", Template::parse(&page.path), std::time::Duration::from_secs(5)) };
    let url = Url { tls: false, host: page.host, port: page.port, path: String::new() };
    Counter::Nginx { url, socket: page.socket.as_deref().map(Template::parse), step: Box::new(step) }
}

/// What is known about a target without being told.
#[derive(Default)]
struct TargetFacts {
    /// Where it counts; by the port on which requests arrive, if that matters.
    counters: Vec<Counter>,
    /// haproxy's frontends: name, ports and whether they speak HTTP.
    frontends: Vec<haproxy::Frontend>,
    socket: Option<String>,
    /// The target to which it forwards requests, by index.
    onward: Option<usize>,
    /// Whether it also sends requests of its own to that target.
    checks: bool,
}

/// Everything that is known about who sends requests to whom in a cell.
pub(super) struct RequestPaths<'a> {
    targets: &'a [Target],
    workloads: &'a [Workload],
    facts: Vec<TargetFacts>,
    /// By the target's index: whose requests arrive, through what, on which ports, and who else may send some.
    reached: BTreeMap<usize, Reached>,
}

#[derive(Clone, Default)]
struct Reached {
    from: Vec<Source>,
    through: Vec<String>,
    /// Ports on which requests of the load arrive directly.
    ports: Vec<u16>,
    others: Option<String>,
}

impl<'a> RequestPaths<'a> {
    /// Reads what a cell's targets reveal about themselves, and follows the requests.
    pub fn new(targets: &'a [Target], workloads: &'a [Workload]) -> Self {
        let facts = targets.iter().map(|target| facts_of(target, targets)).collect();
        let mut paths = Self { targets, workloads, facts, reached: BTreeMap::new() };
        for (index, workload) in workloads.iter().enumerate() {
            if workload.protocol().asks() == Asks::Addresses {
                for (address, (host, port)) in workload.protocol().addresses().into_iter().enumerate() {
                    if let Some(target) = owner(targets, host, port) {
                        paths.follow(target, index, address, port);
                    }
                }
            }
        }
        let stranger = workloads.iter().find(|w| matches!(w.protocol().asks(), Asks::Anybody | Asks::Socket));
        if let Some(stranger) = stranger {
            let words = format!("what `{}` sends is not known", stranger.name);
            paths.reached.values_mut().for_each(|r| r.others = r.others.take().or_else(|| Some(words.clone())));
        }
        paths
    }

    /// Notes that requests to an address of a workload reach a target, and those behind it.
    fn follow(&mut self, target: usize, workload: usize, address: usize, port: u16) {
        let (mut at, mut through, mut others) = (target, Vec::<usize>::new(), None);
        loop {
            let reached = self.reached.entry(at).or_default();
            match reached.from.iter_mut().find(|s| s.workload == workload) {
                Some(source) if source.addresses.contains(&address) => {}
                Some(source) => source.addresses.push(address),
                None => reached.from.push(Source { workload, addresses: vec![address], steps: Vec::new() }),
            }
            if through.is_empty() && !reached.ports.contains(&port) {
                reached.ports.push(port);
            }
            for proxy in &through {
                let name = &self.targets[*proxy].name;
                if !reached.through.contains(name) {
                    reached.through.push(name.clone());
                }
            }
            reached.others = reached.others.take().or_else(|| others.clone());
            let Some(next) = self.facts[at].onward.filter(|next| *next != at && !through.contains(next)) else { return };
            if self.facts[at].checks {
                others = Some(format!("`{}` also sends it health checks", self.targets[at].name));
            }
            through.push(at);
            at = next;
        }
    }

    /// Where the count of a target is read without being told; empty if that is not known.
    fn counters(&self, target: usize) -> Vec<Counter> {
        let facts = &self.facts[target];
        let Some(socket) = &facts.socket else { return facts.counters.clone() };
        let ports = self.reached.get(&target).map_or(&[][..], |r| &r.ports);
        let frontends: Vec<_> = facts.frontends.iter().filter(|f| f.ports.iter().any(|p| ports.contains(p))).collect();
        // A target that only forwards bytes does not see requests.
        if frontends.is_empty() || frontends.iter().any(|f| !f.http) {
            return Vec::new();
        }
        let frontends = frontends.into_iter().map(|f| f.name.clone()).collect();
        vec![Counter::Haproxy { socket: Template::parse(socket), frontends }]
    }

    /// What is compared automatically.
    pub fn automatic(&self) -> Vec<Reconcile> {
        let one = |(target, reached): (&usize, &Reached)| {
            let counters = self.counters(*target);
            // What arrives through a proxy does not show in its own ports.
            (!counters.is_empty()).then(|| Reconcile {
                target: self.targets[*target].name.clone(),
                from: reached.from.clone(),
                through: reached.through.clone(),
                counters,
                tolerance: None,
                others: reached.others.clone(),
                asked: false,
            })
        };
        self.reached.iter().filter_map(one).collect()
    }
}

/// The target that listens at an address, by index.
fn owner(targets: &[Target], host: &str, port: u16) -> Option<usize> {
    let is_here = is_local(host);
    let authority = Url { tls: false, host: host.to_owned(), port, path: String::new() }.authority();
    targets.iter().position(|target| {
        target.replicas.iter().any(|replica| match &replica.ready {
            _ if replica.ports.contains(&port) && target.machine.as_deref().map_or(is_here, |machine| machine == host) => true,
            // It runs elsewhere, and only its address is known.
            Probe::Tcp { address } if !replica.start.is_started() => *address == authority,
            Probe::Http { url, .. } if !replica.start.is_started() => url.authority() == authority,
            _ => false,
        })
    })
}

/// The only target that listens at any of these addresses.
fn common_owner(targets: &[Target], addresses: &[String]) -> Option<usize> {
    let owner = |address: &String| {
        let Address { host, port } = Address::parse(address).ok()?;
        owner(targets, &host, port)
    };
    let owners: Vec<_> = addresses.iter().map(owner).collect();
    let first = (*owners.first()?)?;
    owners.iter().all(|o| *o == Some(first)).then_some(first)
}

/// What a target reveals about itself: in its command line, and in the configuration that is rendered for it.
fn facts_of(target: &Target, targets: &[Target]) -> TargetFacts {
    let mut facts = TargetFacts::default();
    let words = |argv: &[Template]| argv.iter().map(Template::to_text).collect::<Vec<_>>();
    let Some(start) = target.replicas.first().map(|replica| &replica.start) else { return facts };
    if let Start::Fixture { name, args } = start {
        if COUNTING.contains(&name.as_str()) {
            let path = |replica: &Replica| format!("${{{}}}/{}", target.directory(), count_socket(&target.name, replica.number));
            facts.counters = target.replicas.iter().map(|r| Counter::Fixture(Template::parse(&path(r)))).collect();
        }
        if name == "proxy" {
            let args = words(args);
            let to = args.iter().position(|word| word == "--to").and_then(|at| args.get(at + 1));
            let to: Vec<String> = to.into_iter().flat_map(|to| to.split(',')).map(str::to_owned).collect();
            facts.onward = common_owner(targets, &to);
        }
        return facts;
    }
    // A server of several processes with their own ports has a count for each, and a configuration that says so.
    let [replica] = target.replicas.as_slice() else { return facts };
    let argv = words(&start.argv());
    let rendered = |flag: &str| -> Vec<String> {
        let files = argv.windows(2).filter(|pair| pair[0] == flag).map(|pair| pair[1].clone());
        let file = |path: String| {
            let name = path.strip_prefix(&format!("${{{}}}/", target.directory()))?.to_owned();
            replica.files.iter().find(|f| f.name == name).map(|f| f.content.to_text())
        };
        files.filter_map(file).collect()
    };
    match argv.first().map_or("", String::as_str).rsplit('/').next().unwrap_or_default() {
        "haproxy" => {
            let read = haproxy::read(&rendered("-f").concat());
            facts.onward = common_owner(targets, &read.servers);
            (facts.socket, facts.frontends, facts.checks) = (read.socket, read.frontends, read.checks);
        }
        "nginx" => {
            let read = nginx::read(&rendered("-c").concat());
            facts.onward = common_owner(targets, &read.servers);
            facts.counters = read.page.map(nginx_page).into_iter().collect();
        }
        _ => {}
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Document, Options, build};

    fn plan(text: &str) -> Vec<Reconcile> {
        let document = Document::inline("test.yaml", text).unwrap();
        let plan = build(&document, &Options::default(), 1).map_err(|e| format!("{e:?}")).unwrap();
        plan.cells[0].reconcile.clone()
    }

    const CLIENTS: &str = "
workloads:
  clients:
    url: http://127.0.0.1:7000
    load: {closed: {connections: 1}, amount: 10}
    steps: [{get: /}]
";

    #[test]
    fn requests_are_followed_through_a_proxy_to_whoever_counts() {
        let found = plan(&format!(
            "experiment: x
targets:
  web: {{fixture: null-server, replicas: 2, port: '${{7000 + replica}}'}}
  front: {{fixture: proxy, port: 7000, after: web, args: [--to, \"${{targets.web.addresses | join(',')}}\"]}}
{CLIENTS}"
        ));
        let [one] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((one.target.as_str(), one.through.as_slice()), ("web", &["front".to_owned()][..]));
        assert_eq!(one.from, [Source { workload: 0, addresses: vec![0], steps: vec![] }]);
        assert_eq!((one.counters.len(), &one.others, one.asked), (2, &None, false));
    }

    #[test]
    fn who_else_may_ask_is_noted() {
        let found = plan(&format!(
            "experiment: x
targets: {{web: {{fixture: null-server, port: 7000}}, idle: {{fixture: null-server, port: 7001}}}}
{CLIENTS}
  tool: {{command: ['true'], load: {{closed: {{connections: 1}}, amount: 1}}}}
"
        ));
        let [one] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((one.target.as_str(), one.others.as_deref()), ("web", Some("what `tool` sends is not known")));
    }
}
