//! Targets: command lines, ports, limits, and their order. `probes` handles readiness, `rendered` the files that are
//! made for a target.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;

use super::diagnostics::{Diagnostics, forget_repeated};
use super::expr::Scope;
use super::hosts::Places;
use super::programs::{missing_need, missing_program};
use super::{commands, containers, lifetimes, probes, processors, rendered};
use plan::containers::engine;
use plan::hosts::LOOPBACK;
use plan::{Replica, Start, Target, Template, Url};
use schema::source::one_of;
use schema::{Data, Entry, Mistake, Node, Span, decode, types};
use vocabulary::choices::Resource;

/// The servers that ship with runner.
pub const FIXTURES: [&str; 15] = [
    "blobs-server",
    "proxy",
    "faulty",
    "null-server",
    "stall",
    "queue",
    "cpu-server",
    "terminal",
    "websocket-echo",
    "faulty-websocket",
    "random-data",
    "shop",
    "socks",
    "vtp-broker",
    "vtp-subscriber",
];
const STOP_GRACE: Duration = Duration::from_secs(5);
const MAX_REPLICAS: u32 = 1000;
/// A log kept shorter than this is useless.
const LEAST_LOG: u64 = 64 << 10;

/// What the first pass over a target finds: whether it exists, and its ports.
pub(super) struct Outline<'a> {
    pub entry: &'a Entry,
    pub ports: Vec<Option<u16>>,
    /// Where it already runs.
    pub address: Option<Url>,
    /// The address of the machine on which it runs.
    pub machine: String,
}

/// The result of the first pass over a target.
pub(super) enum Outlined<'a> {
    /// It belongs to the cell.
    Here(Outline<'a>),
    /// Its `when` is false.
    NotHere,
    /// A mistake was reported; the rest of it can still be checked.
    Mistaken(Outline<'a>),
}

/// The first pass: `when`, `replicas` and `port`, which everything else may refer to.
pub(super) fn outline<'a>(
    scope: &mut Scope<'_>,
    entry: &'a Entry,
    places: Places<'_>,
    mistakes: &mut Vec<Mistake>,
) -> Outlined<'a> {
    #[derive(serde::Deserialize)]
    struct Ports {
        #[serde(default)]
        port: Option<types::Port>,
        #[serde(default)]
        replicas: Option<u32>,
        #[serde(default)]
        when: Option<bool>,
        #[serde(default)]
        on: Option<String>,
    }
    let pick = |keys: &[&str]| {
        entry.value.with(Data::Map(entry.value.entries().iter().filter(|e| keys.contains(&e.key.as_str())).cloned().collect()))
    };
    let first_node = scope.resolve(&pick(&["when", "replicas", "on"]), mistakes);
    let mistaken = |ports| Outlined::Mistaken(Outline { entry, ports, address: None, machine: LOOPBACK.to_owned() });
    let Some(first) = decode::decode::<Ports>(scope.file, &first_node, mistakes) else {
        return mistaken(vec![None]);
    };
    if first.when == Some(false) {
        return Outlined::NotHere;
    }
    let replicas = first.replicas.unwrap_or(1);
    if replicas == 0 || replicas > MAX_REPLICAS {
        let span = first_node.get("replicas").map_or(entry.key_span, |n| n.span);
        mistakes.push(
            Mistake::new(scope.file, span, format!("{replicas} replicas")).expected(format!("expected 1 to {MAX_REPLICAS}")),
        );
        return mistaken(vec![None]);
    }
    let mut ports = Vec::new();
    let (start, mut before, mut sound) = (mistakes.len(), mistakes.len(), true);
    for number in 1..=replicas {
        forget_repeated(mistakes, start, before);
        before = mistakes.len();
        let node = scope.with_replica(entry.key_span, number, |scope| scope.resolve(&pick(&["port"]), mistakes));
        let typed = decode::decode::<Ports>(scope.file, &node, mistakes);
        sound &= typed.is_some();
        ports.push(typed.and_then(|p| p.port).map(|p| p.0));
    }
    forget_repeated(mistakes, start, before);
    // A wrong address is reported in the second pass.
    let address = entry.value.get("address").map(|node| scope.resolve(node, &mut Vec::new()));
    let url = address.as_ref().and_then(|node| Url::parse_origin(node.as_text()?).ok());
    if address.is_some() && url.is_none() {
        return mistaken(ports);
    }
    let machine = places.address(first.on.as_deref()).to_owned();
    let outline = Outline { entry, ports, address: url, machine };
    if sound { Outlined::Here(outline) } else { Outlined::Mistaken(outline) }
}

/// Does something while a replica's own `port` and `ports` are known, unless the scenario uses these names itself.
fn with_ports<T>(scope: &mut Scope<'_>, outline: &Outline<'_>, number: u32, f: impl FnOnce(&mut Scope<'_>) -> T) -> T {
    let entry = outline.entry;
    let is_free = |scope: &Scope<'_>, name: &str| {
        !scope.values.contains_key(name) && !scope.late.contains_key(name) && !scope.lets.iter().any(|e| e.key == name)
    };
    let mut own = Vec::new();
    if let Some(port) = outline.ports.get(number as usize - 1).copied().flatten().filter(|_| is_free(scope, "port")) {
        scope.values.insert("port".to_owned(), Node::new(entry.key_span, Data::Int(i64::from(port))));
        own.push("port");
    }
    if let Some(ports) = entry.value.get("ports").filter(|_| is_free(scope, "ports")) {
        // Mistakes in them are reported where they are.
        let ports = scope.with_replica(entry.key_span, number, |scope| scope.resolve(ports, &mut Vec::new()));
        scope.values.insert("ports".to_owned(), ports);
        own.push("ports");
    }
    let result = f(scope);
    for name in own {
        scope.values.remove(name);
    }
    result
}

/// `targets` as expressions and templates see it; wrong values are poisoned, so that they are not reported again.
pub(super) fn as_value(outlines: &[(Outline<'_>, bool)]) -> Node {
    let mut targets = Vec::new();
    for (outline, known) in outlines {
        let ports: Vec<u16> = outline.ports.iter().copied().flatten().collect();
        // A target that runs elsewhere has an address instead of ports.
        let elsewhere = outline.address.as_ref();
        let address = |port: &u16| elsewhere.map_or_else(|| authority(&outline.machine, *port), Url::authority);
        let ports = elsewhere.map_or(ports, |url| vec![url.port]);
        let url = |port: &u16| elsewhere.map_or_else(|| format!("http://{}", address(port)), Url::to_string);
        let replicas: Vec<_> = ports
            .iter()
            .enumerate()
            .map(|(i, port)| json!({"replica": i + 1, "port": port, "address": address(port), "url": url(port)}))
            .collect();
        let value = json!({
            "ports": ports,
            "addresses": ports.iter().map(address).collect::<Vec<_>>(),
            "urls": ports.iter().map(url).collect::<Vec<_>>(),
            "replicas": replicas,
        });
        let span = outline.entry.key_span;
        let value = if *known { Node::from_json(&value, span) } else { Node::new(span, Data::Poison) };
        targets.push(Entry { key: outline.entry.key.clone(), key_span: span, value });
    }
    Node::new(Span::default(), Data::Map(targets))
}

/// `host:port`, with brackets where the host is an address of IPv6.
fn authority(host: &str, port: u16) -> String {
    Url { tls: false, host: host.to_owned(), port, path: String::new() }.authority()
}

/// The second pass: everything else. Returns the target and, if a program that it needs is missing, why its cell is
/// skipped.
pub(super) fn target(
    scope: &mut Scope<'_>,
    outline: &Outline<'_>,
    names: &[String],
    places: Places<'_>,
    mistakes: &mut Vec<Mistake>,
) -> Option<(Target, Option<String>)> {
    let entry = outline.entry;
    let mut replicas = Vec::new();
    let mut common = None;
    let mut seen: BTreeMap<u16, u32> = BTreeMap::new();
    let (start, mut before, mut sound) = (mistakes.len(), mistakes.len(), true);
    for number in 1..=outline.ports.len() as u32 {
        // The other replicas have the same mistakes; only mistakes in other places are new.
        forget_repeated(mistakes, start, before);
        before = mistakes.len();
        let (resolved, made) = with_ports(scope, outline, number, |scope| {
            let resolved = scope.with_replica(entry.key_span, number, |scope| scope.resolve(&entry.value, mistakes));
            let file = scope.file;
            let made = decode::decode_and(file, &resolved, mistakes, |typed: types::Target, mistakes| {
                let mut notes = Diagnostics::new(file, mistakes).here(places.is_here(typed.on.as_deref()));
                after_known(&mut notes, &resolved, &typed, entry, names);
                let replica = replica(&mut notes, scope, entry, (&resolved, &typed), number, places)?;
                lifetimes::names_known(&mut notes, &resolved, typed.lifetime, &replica);
                Some((replica, typed))
            });
            (resolved, made)
        });
        let file = scope.file;
        let of_links = ["delay", "jitter", "loss", "rate"].map(|key| format!("unknown key `{key}`"));
        for mistake in mistakes[before..].iter_mut().filter(|m| of_links.contains(&m.found)) {
            mistake.help = Some(format!("it belongs to a link: `links: {{name: {{to: {}, delay: 100ms}}}}`", entry.key));
        }
        let mut notes = Diagnostics::new(file, mistakes);
        let Some((replica, typed)) = made else {
            sound = false;
            if number > 50 {
                break;
            }
            continue;
        };
        for port in &replica.ports {
            if let Some(other) = seen.insert(*port, number) {
                let found = if other == number {
                    format!("the target `{}` has port {port} twice", entry.key)
                } else {
                    format!("replicas {other} and {number} of `{}` are both on port {port}", entry.key)
                };
                notes.say(&resolved, "port", found, "expected a port for each, such as `port: ${8000 + replica}`");
            }
        }
        sound &= mistakes.len() == before;
        replicas.push(replica);
        common.get_or_insert((typed, resolved));
    }
    forget_repeated(mistakes, start, before);
    let (typed, resolved) = common.filter(|_| sound)?;
    let skipped = missing_need(&typed.needs.0).or_else(|| typed.container.as_ref().and_then(|_| containers::missing()));
    let (on, here) = (typed.on.as_deref(), places.is_here(typed.on.as_deref()));
    places.check(scope.file, &resolved, on, Some("a target runs on one"), mistakes);
    let skipped = skipped.filter(|_| here);
    if skipped.is_none()
        && here
        && let Some(program) = replicas[0].start.program()
        && let Some(program) = missing_program(&program, typed.dir.as_deref())
    {
        Diagnostics::new(scope.file, mistakes).say_missing(&resolved, "command", &program);
        // One text for a whole command line is not a program that a target could need, and a path is a file of one's own.
        if let Some(mistake) = mistakes.last_mut().filter(|_| !program.contains([' ', '/'])) {
            mistake.help = Some(format!("with `needs: {program}`, cells with this target are skipped where it is missing"));
        }
    }
    if typed.log_limit.is_some_and(|limit| limit.0.0 < LEAST_LOG) {
        let expected = "expected at least `64KiB`, half of which is the start and half the end of a log";
        Diagnostics::new(scope.file, mistakes).say(&resolved, "log-limit", "a log this short is useless", expected);
    }
    let target = Target {
        name: entry.key.clone(),
        machine: on.filter(|_| !places.options.hosts.is_empty()).map(|on| places.address(Some(on)).to_owned()),
        on: typed.on.clone(),
        replicas,
        after: typed.after.0,
        lifetime: typed.lifetime,
        restart: typed.restart,
        ready_timeout: typed.ready.as_ref().map_or(probes::TIMEOUT, probes::timeout),
        stop_signal: typed.stop.signal.unwrap_or_default(),
        stop_grace: typed.stop.grace.map_or(STOP_GRACE, |d| d.0),
        needs: typed.needs.0,
        log_limit: typed.log_limit.map(|limit| limit.0.0),
        rlimits: rlimits(&typed.rlimits),
    };
    Some((target, skipped))
}

/// The limits that a scenario asks for.
fn rlimits(typed: &types::ResourceLimits) -> Vec<(Resource, Option<u64>)> {
    let all = [
        (Resource::OpenFiles, typed.open_files),
        (Resource::Processes, typed.processes),
        (Resource::MemoryLocked, typed.memory_locked),
        (Resource::AddressSpace, typed.address_space),
        (Resource::Data, typed.data),
        (Resource::Stack, typed.stack),
        (Resource::Core, typed.core),
        (Resource::FileSize, typed.file_size),
    ];
    all.into_iter().filter_map(|(resource, limit)| Some((resource, limit?.0))).collect()
}

/// Every name in `after` must be that of another target.
fn after_known(notes: &mut Diagnostics<'_>, node: &Node, typed: &types::Target, entry: &Entry, names: &[String]) {
    for name in &typed.after.0 {
        if !names.contains(name) {
            let span =
                node.get("after").map_or(node.head, |n| n.items().iter().find(|i| i.as_text() == Some(name)).unwrap_or(n).span);
            let known: Vec<&str> = names.iter().map(String::as_str).filter(|n| *n != entry.key).collect();
            notes.mistakes.push(
                Mistake::new(notes.file, span, format!("there is no target `{name}`"))
                    .expected(if known.is_empty() {
                        "there is no other target".to_owned()
                    } else {
                        format!("expected {}", one_of(known.iter().copied()))
                    })
                    .did_you_mean(name, known),
            );
        }
    }
}

fn replica(
    notes: &mut Diagnostics<'_>,
    scope: &mut Scope<'_>,
    entry: &Entry,
    (node, typed): (&Node, &types::Target),
    number: u32,
    places: Places<'_>,
) -> Option<Replica> {
    notes.exactly_one(node, "what to start", &["fixture", "command", "shell", "container", "address"])?;
    let ports: Vec<u16> = typed.port.iter().chain(typed.ports.values()).map(|p| p.0).collect();
    if let Some(address) = &typed.address {
        for key in [
            "on",
            "args",
            "env",
            "dir",
            "render",
            "replicas",
            "port",
            "ports",
            "stop",
            "cpus",
            "needs",
            "rlimits",
            "log-limit",
            "lifetime",
            "restart",
        ] {
            if let Some(entry) = node.entry(key) {
                notes.mistakes.push(
                    Mistake::new(notes.file, entry.key_span, format!("`{key}` has no meaning for a target that already runs"))
                        .expected("expected only `address`, `when`, `after`, `ready`"),
                );
            }
        }
        let address = notes.fixed(node, "address", address)?;
        let url = match Url::parse_origin(&address) {
            Ok(url) => url,
            Err(expected) => {
                notes.say(node, "address", format!("`{address}` is not an address"), expected);
                return None;
            }
        };
        let ready = probes::probe(notes, node, typed, Some(&url))?;
        return Some(Replica {
            number,
            start: Start::Elsewhere,
            env: vec![],
            dir: None,
            ports: vec![],
            files: vec![],
            ready,
            cpus: vec![],
        });
    }
    let start = if let Some(fixture) = &typed.fixture {
        if !FIXTURES.contains(&fixture.as_str()) {
            let span = node.get("fixture").map_or(node.span, |n| n.span);
            notes.mistakes.push(
                Mistake::new(notes.file, span, format!("there is no fixture `{fixture}`"))
                    .expected(format!("expected {}", one_of(FIXTURES)))
                    .did_you_mean(fixture, FIXTURES),
            );
            return None;
        }
        let port = typed.port.iter().flat_map(|p| ["--port".to_owned(), p.0.to_string()]);
        // A fixture listens on the loopback, unless others must reach it.
        let own = typed.args.iter().any(|word| word.0 == "--host" || word.0.starts_with("--host="));
        let listens = typed.port.is_some() && fixture != "vtp-subscriber";
        let host = typed.on.as_ref().filter(|_| listens && !own && !places.options.hosts.is_empty());
        let host = host.iter().flat_map(|on| ["--host".to_owned(), places.address(Some(on)).to_owned()]).collect::<Vec<_>>();
        let args = port.chain(host).chain(typed.args.iter().map(|t| t.0.clone())).map(|word| Template::parse(&word)).collect();
        Start::Fixture { name: fixture.clone(), args }
    } else if let Some(container) = &typed.container {
        for key in ["args", "env", "dir", "cpus", "rlimits"] {
            if let Some(entry) = node.entry(key) {
                notes.mistakes.push(
                    Mistake::new(notes.file, entry.key_span, format!("`{key}` has no meaning beside `container`"))
                        .expected("expected it inside `container`, if it exists there"),
                );
            }
        }
        let engine = engine().unwrap_or("docker").to_owned();
        Start::Container { engine, argv: containers::argv(notes, node, container) }
    } else {
        Start::of_command(commands::argv(notes, node, typed.command.as_deref(), typed.shell.as_deref(), &typed.args)?)
    };
    processors::check(notes, node, &typed.cpus);
    let here = |port: &types::Port| Url {
        tls: false,
        host: places.address(typed.on.as_deref()).to_owned(),
        port: port.0,
        path: String::new(),
    };
    let ready = probes::probe(notes, node, typed, typed.port.as_ref().map(here).as_ref())?;
    let files = rendered::files(notes, scope, entry, node, typed, number);
    // A container has its own folder.
    let dir = if typed.container.is_some() { None } else { commands::folder(notes, node, typed.dir.as_deref()) };
    let env = commands::environment(notes, node, &typed.env);
    Some(Replica { number, start, env, dir, ports, files, ready, cpus: typed.cpus.clone() })
}

/// Sorts targets so that each comes after those in its `after`; otherwise the order of the file is kept.
///
/// # Errors
/// The names of a cycle.
pub(super) fn sort(targets: Vec<Target>) -> Result<Vec<Target>, Vec<String>> {
    let names: BTreeSet<String> = targets.iter().map(|t| t.name.clone()).collect();
    let mut waiting = targets;
    let mut sorted: Vec<Target> = Vec::new();
    while !waiting.is_empty() {
        let ready = |t: &Target| t.after.iter().filter(|a| names.contains(*a)).all(|a| sorted.iter().any(|s| s.name == *a));
        match waiting.iter().position(ready) {
            Some(i) => sorted.push(waiting.remove(i)),
            None => {
                // Each remaining target waits for another remaining one, so following them long enough leads around the
                // cycle.
                let mut ring: Vec<&str> = Vec::new();
                let mut at = &waiting[0];
                while !ring.contains(&at.name.as_str()) {
                    ring.push(&at.name);
                    let next = at.after.iter().find_map(|a| waiting.iter().find(|t| t.name == *a));
                    at = next.expect("a target that is not ready waits for one that is left");
                }
                return Err(ring.into_iter().skip_while(|n| *n != at.name).map(str::to_owned).collect());
            }
        }
    }
    Ok(sorted)
}
