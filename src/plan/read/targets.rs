//! Targets: command lines, ports, rendered files, readiness, and their order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;

use super::commands::{self, find_file};
use super::diagnostics::{Diagnostics, forget_repeated, refuse};
use super::environment::{self, Variable};
use super::expr::{Scope, urlencode, value_of};
use super::programs::{missing_need, missing_program};
use super::{containers, lifetimes, processors, requests, tls};
use plan::containers::engine;
use plan::template::Part;
use plan::{Probe, RenderedFile, Replica, SentLine, Start, Target, Template, Url};
use schema::source::{SourceFile, one_of};
use schema::{Data, Entry, Mistake, Node, Span, decode, types};
use vocabulary::choices::Resource;

/// The servers that ship with runner.
pub const FIXTURES: [&str; 14] = [
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
    "socks",
    "vtp-broker",
    "vtp-subscriber",
];
const READY_TIMEOUT: Duration = Duration::from_secs(10);
/// A Tor bootstraps over a network.
const TOR_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_GRACE: Duration = Duration::from_secs(5);
const MAX_REPLICAS: u32 = 1000;
/// A log of which less is kept says nothing.
const LEAST_LOG: u64 = 64 << 10;

/// What the first pass over a target finds: whether it is there, and its ports.
pub(super) struct Outline<'a> {
    pub entry: &'a Entry,
    pub ports: Vec<Option<u16>>,
    /// Where it already runs.
    pub address: Option<Url>,
}

/// What comes of the first pass over a target.
pub(super) enum Outlined<'a> {
    /// It belongs to the cell.
    Here(Outline<'a>),
    /// Its `when` is false.
    NotHere,
    /// A mistake was reported; the rest of it can be checked nevertheless.
    Mistaken(Outline<'a>),
}

/// The first pass: `when`, `replicas` and `port`, which everything else may refer to.
pub(super) fn outline<'a>(scope: &mut Scope<'_>, entry: &'a Entry, mistakes: &mut Vec<Mistake>) -> Outlined<'a> {
    #[derive(serde::Deserialize)]
    struct Ports {
        #[serde(default)]
        port: Option<types::Port>,
        #[serde(default)]
        replicas: Option<u32>,
        #[serde(default)]
        when: Option<bool>,
    }
    let pick = |keys: &[&str]| {
        entry.value.with(Data::Map(entry.value.entries().iter().filter(|e| keys.contains(&e.key.as_str())).cloned().collect()))
    };
    let first_node = scope.resolve(&pick(&["when", "replicas"]), mistakes);
    let mistaken = |ports| Outlined::Mistaken(Outline { entry, ports, address: None });
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
        let node = with_replica(scope, entry, number, |scope| scope.resolve(&pick(&["port"]), mistakes));
        let typed = decode::decode::<Ports>(scope.file, &node, mistakes);
        sound &= typed.is_some();
        ports.push(typed.and_then(|p| p.port).map(|p| p.0));
    }
    forget_repeated(mistakes, start, before);
    // What is wrong with an address is told in the second pass.
    let address = entry.value.get("address").map(|node| scope.resolve(node, &mut Vec::new()));
    let url = address.as_ref().and_then(|node| Url::parse_origin(node.as_text()?).ok());
    if address.is_some() && url.is_none() {
        return mistaken(ports);
    }
    let outline = Outline { entry, ports, address: url };
    if sound { Outlined::Here(outline) } else { Outlined::Mistaken(outline) }
}

fn with_replica<T>(scope: &mut Scope<'_>, entry: &Entry, number: u32, f: impl FnOnce(&Scope<'_>) -> T) -> T {
    let data = Data::Int(i64::from(number));
    scope.values.insert("replica".to_owned(), Node::new(entry.key_span, data));
    let result = f(scope);
    scope.values.remove("replica");
    result
}

/// Does something while a replica's own `port` and `ports` are known, where the scenario has no names of its own that are spelled so.
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
        // What is wrong with them is told where they stand.
        let ports = with_replica(scope, entry, number, |scope| scope.resolve(ports, &mut Vec::new()));
        scope.values.insert("ports".to_owned(), ports);
        own.push("ports");
    }
    let result = f(scope);
    for name in own {
        scope.values.remove(name);
    }
    result
}

/// `targets` as expressions and templates see it; what is wrong is poisoned, so that it is not missed again.
pub(super) fn as_value(outlines: &[(Outline<'_>, bool)]) -> Node {
    let mut targets = Vec::new();
    for (outline, known) in outlines {
        let ports: Vec<u16> = outline.ports.iter().copied().flatten().collect();
        // What runs elsewhere has an address instead of ports.
        let elsewhere = outline.address.as_ref();
        let address = |port: &u16| elsewhere.map_or_else(|| format!("127.0.0.1:{port}"), Url::authority);
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

/// The second pass: everything. Returns the target and, if a program that it needs is missing, why its cell is skipped.
pub(super) fn target(
    scope: &mut Scope<'_>,
    outline: &Outline<'_>,
    names: &[String],
    mistakes: &mut Vec<Mistake>,
) -> Option<(Target, Option<String>)> {
    let entry = outline.entry;
    let mut replicas = Vec::new();
    let mut common = None;
    let mut seen: BTreeMap<u16, u32> = BTreeMap::new();
    let (start, mut before, mut sound) = (mistakes.len(), mistakes.len(), true);
    for number in 1..=outline.ports.len() as u32 {
        // The other replicas have the same mistakes; only those in other places are new.
        forget_repeated(mistakes, start, before);
        before = mistakes.len();
        let (resolved, made) = with_ports(scope, outline, number, |scope| {
            let resolved = with_replica(scope, entry, number, |scope| scope.resolve(&entry.value, mistakes));
            let file = scope.file;
            let made = decode::decode_and(file, &resolved, mistakes, |typed: types::Target, mistakes| {
                let mut notes = Diagnostics { file, mistakes };
                after_known(&mut notes, &resolved, &typed, entry, names);
                let replica = replica(&mut notes, scope, entry, &resolved, &typed, number)?;
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
        let mut notes = Diagnostics { file, mistakes };
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
    if skipped.is_none()
        && let Some(program) = replicas[0].start.program()
        && let Some(program) = missing_program(&program, typed.dir.as_deref())
    {
        Diagnostics { file: scope.file, mistakes }.say_missing(&resolved, "command", &program);
        // One text for a whole command line is no program that anything could need.
        if let Some(mistake) = mistakes.last_mut().filter(|_| !program.contains(' ')) {
            mistake.help = Some(format!("with `needs: {program}` cells with this target are skipped where it is missing"));
        }
    }
    if typed.log_limit.is_some_and(|limit| limit.0.0 < LEAST_LOG) {
        let expected = "expected at least `64KiB`, half of which is the start and half the end of a log";
        Diagnostics { file: scope.file, mistakes }.say(&resolved, "log-limit", "so short a log says nothing", expected);
    }
    let target = Target {
        name: entry.key.clone(),
        replicas,
        after: typed.after.0,
        lifetime: typed.lifetime,
        restart: typed.restart,
        ready_timeout: typed.ready.as_ref().map_or(READY_TIMEOUT, ready_timeout),
        stop_signal: typed.stop.signal.unwrap_or_default(),
        stop_grace: typed.stop.grace.map_or(STOP_GRACE, |d| d.0),
        needs: typed.needs.0,
        log_limit: typed.log_limit.map(|limit| limit.0.0),
        rlimits: rlimits(&typed.rlimits),
    };
    Some((target, skipped))
}

/// How long a target may take to become ready.
fn ready_timeout(typed: &types::Ready) -> Duration {
    let by_default = if typed.tor.is_some() { TOR_TIMEOUT } else { READY_TIMEOUT };
    typed.timeout.map_or(by_default, |timeout| timeout.0)
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
    node: &Node,
    typed: &types::Target,
    number: u32,
) -> Option<Replica> {
    let kind = notes.exactly_one(node, "what to start", &["fixture", "command", "shell", "container", "address"])?;
    let ports: Vec<u16> = typed.port.iter().chain(typed.ports.values()).map(|p| p.0).collect();
    if let Some(address) = &typed.address {
        for key in [
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
        let ready = probe(notes, node, typed, Some(&url))?;
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
        let args = port.chain(typed.args.iter().map(|t| t.0.clone())).map(|word| Template::parse(&word)).collect();
        Start::Fixture { name: fixture.clone(), args }
    } else if let Some(container) = &typed.container {
        for key in ["args", "env", "dir", "cpus", "rlimits"] {
            if let Some(entry) = node.entry(key) {
                notes.mistakes.push(
                    Mistake::new(notes.file, entry.key_span, format!("`{key}` has no meaning beside `container`"))
                        .expected("expected it inside of `container`, where it has one"),
                );
            }
        }
        let engine = engine().unwrap_or("docker").to_owned();
        Start::Container { engine, argv: containers::argv(notes, node, container) }
    } else {
        let _ = kind;
        Start::of_command(commands::argv(notes, node, typed.command.as_deref(), typed.shell.as_deref(), &typed.args)?)
    };
    processors::check(notes, node, &typed.cpus);
    let here = |port: &types::Port| Url { tls: false, host: "127.0.0.1".to_owned(), port: port.0, path: String::new() };
    let ready = probe(notes, node, typed, typed.port.as_ref().map(here).as_ref())?;
    let files = render(notes, scope, entry, node, typed, number);
    let dir = commands::folder(notes, node, typed.dir.as_deref());
    let env = commands::environment(notes, node, &typed.env);
    Some(Replica { number, start, env, dir, ports, files, ready, cpus: typed.cpus.clone() })
}

/// How to know that a target is ready; `address`: where it listens, if that is known.
fn probe(notes: &mut Diagnostics<'_>, node: &Node, typed: &types::Target, address: Option<&Url>) -> Option<Probe> {
    let has_port = node.get("port").is_some();
    let by_default = || Some(address.map_or(Probe::Started, |a| Probe::Tcp { address: a.authority() }));
    let (Some(typed), Some(node)) = (&typed.ready, node.get("ready")) else { return by_default() };
    // Only how long it may take.
    if node.get("timeout").is_some() && node.entries().len() == 1 {
        return by_default();
    }
    let kind = notes.exactly_one(node, "the probe", &["tcp", "tor", "http", "log", "command"])?;
    if kind != "tcp" {
        refuse(notes, node, &["send", "expect"], "expected it beside `tcp`");
    }
    if kind != "http" {
        refuse(notes, node, &["tls"], "expected it beside `http: https://…`");
        refuse(notes, node, &["status"], "expected it beside `http`");
    }
    if kind != "tor" {
        refuse(notes, node, &["cookie"], "expected it beside `tor`");
    }
    match kind {
        "tcp" => {
            let address = format!("127.0.0.1:{}", typed.tcp?.0);
            let Some(expect) = &typed.expect else {
                if node.get("send").is_some() {
                    notes.say(node, "send", "nobody says what the answer must be", "expected `expect` beside `send`");
                }
                return Some(Probe::Tcp { address });
            };
            let expect = notes.fixed(node, "expect", expect)?;
            requests::regex(notes, node, "expect", &expect);
            Some(Probe::Lines { address, send: typed.send.iter().flatten().map(sent_line).collect(), expect })
        }
        "tor" => Some(tor(typed.tor?.0, typed.cookie.as_ref().map(|cookie| Template::parse(&cookie.0)))),
        "log" => {
            let pattern = notes.fixed(node, "log", typed.log.as_ref()?)?;
            requests::regex(notes, node, "log", &pattern);
            Some(Probe::Log { pattern })
        }
        "command" => {
            let argv = commands::words(notes, node, typed.command.as_deref(), None, &[])?;
            if let Some(program) = missing_program(&argv[0].to_text(), None) {
                notes.say_missing(node, "command", &program);
            }
            Some(Probe::Command { argv })
        }
        _ => {
            let http = &*notes.fixed(node, "http", typed.http.as_ref()?)?;
            let url = if http.starts_with('/') {
                if address.is_none() && has_port {
                    return None; // The port itself is wrong.
                }
                let Some(address) = address else {
                    notes.say(
                        node,
                        "http",
                        "this target has no port to ask",
                        "expected `port:` in the target, or a whole URL here",
                    );
                    return None;
                };
                Url::parse(&format!("{address}{http}"))
            } else {
                Url::parse(http)
            };
            match url {
                Ok(url) => {
                    let tls =
                        tls::tls(notes, node, &typed.tls, url.tls, format!("expected `http: https://{}…`", url.authority()))?;
                    let statuses = typed.status.clone().unwrap_or_default().0;
                    if typed.status.is_some() && statuses.is_empty() {
                        notes.say(node, "status", "a list without a status", "expected at least one status");
                    }
                    Some(Probe::Http { url, statuses, tls })
                }
                Err(expected) => {
                    notes.say(node, "http", format!("`{http}` is neither a path nor a URL"), expected);
                    None
                }
            }
        }
    }
}

/// A line as it was typed.
fn sent_line(typed: &types::SentLine) -> SentLine {
    match typed {
        types::SentLine::Text(text) => SentLine { text: Template::parse(&text.0), hex_of: None },
        types::SentLine::OfFile(line) => SentLine {
            text: Template::parse(line.text.as_ref().map_or("", |text| &text.0)),
            hex_of: Some(Template::parse(&line.hex_of.0)),
        },
    }
}

/// Whether a Tor has bootstrapped: its control port says so in its answer, or later on the same connection.
fn tor(port: u16, cookie: Option<Template>) -> Probe {
    let authenticate = match cookie {
        Some(cookie) => SentLine { hex_of: Some(cookie), ..SentLine::fixed("AUTHENTICATE ") },
        None => SentLine::fixed("AUTHENTICATE"),
    };
    let send = vec![authenticate, SentLine::fixed("SETEVENTS STATUS_CLIENT"), SentLine::fixed("GETINFO status/bootstrap-phase")];
    Probe::Lines { address: format!("127.0.0.1:{port}"), send, expect: "BOOTSTRAP PROGRESS=100".to_owned() }
}

/// Names that have their value late, and stand in rendered files as [`mark`]s.
const LATE: [&str; 3] = ["scratch", "kept", "repetition"];

/// Stands for a late name while a file is rendered: what the file says itself about `${…}` stays as it is.
/// Without letters, so that filters such as `upper` leave it alone.
fn mark(number: usize) -> String {
    format!("\u{1}{number}\u{1}")
}

/// The same of a name whose value is percent-encoded; `urlencode` makes the one of the other.
fn encoded_mark(number: usize) -> String {
    urlencode(&mark(number))
}

/// A value in which late names are [`mark`]s.
fn marked(node: &Node, late: &[String]) -> Node {
    match &node.data {
        Data::Text(text) => {
            let template = Template::parse(text);
            let place = |name: &str| late.iter().position(|l| l == name);
            if !template.names().any(|name| place(name).is_some()) {
                return node.clone();
            }
            let part = |part: &Part| match part {
                Part::Text(text) => text.clone(),
                Part::Name(name) => place(name).map_or_else(|| format!("${{{name}}}"), mark),
                Part::Encoded(name) => place(name).map_or_else(|| format!("${{{name}|urlencode}}"), encoded_mark),
            };
            node.with(Data::Text(template.0.iter().map(part).collect()))
        }
        Data::List(items) => node.with(Data::List(items.iter().map(|item| marked(item, late)).collect())),
        Data::Map(entries) => {
            let entry = |entry: &Entry| Entry { value: marked(&entry.value, late), ..entry.clone() };
            node.with(Data::Map(entries.iter().map(entry).collect()))
        }
        _ => node.clone(),
    }
}

fn render(
    notes: &mut Diagnostics<'_>,
    scope: &mut Scope<'_>,
    entry: &Entry,
    node: &Node,
    typed: &types::Target,
    number: u32,
) -> Vec<RenderedFile> {
    let mut files = Vec::new();
    for (name, template) in &typed.render {
        let Some(place) = node.get("render").and_then(|n| n.entry(name)) else { continue };
        if name.contains('/') || name.starts_with('.') || name.is_empty() {
            notes.mistakes.push(
                Mistake::new(notes.file, place.key_span, format!("`{name}` cannot be the name of a rendered file"))
                    .expected("expected a plain file name; it is made in the scratch directory"),
            );
            continue;
        }
        let Some(path) = find_file(&notes.file.path, template).filter(|p| p.is_file()) else {
            notes.mistakes.push(
                Mistake::new(notes.file, place.value.span, format!("there is no template `{template}`"))
                    .expected("expected a file, seen from the scenario's folder or one above it"),
            );
            continue;
        };
        let shown = path.strip_prefix(std::env::current_dir().unwrap_or_default()).unwrap_or(&path).to_owned();
        let text = match SourceFile::read(&path) {
            Ok(Ok(file)) => file.text.clone(),
            Ok(Err(mistake)) => {
                notes.mistakes.push(*mistake);
                continue;
            }
            Err(error) => {
                notes
                    .mistakes
                    .push(Mistake::new(notes.file, place.value.span, error.to_string()).expected("expected a template"));
                continue;
            }
        };
        let file = SourceFile::inline(&shown.display().to_string(), &text);
        if let Some(content) = render_one(notes, scope, entry, &file, number, typed) {
            files.push(RenderedFile { name: name.clone(), content });
        }
    }
    files
}

fn render_one(
    notes: &mut Diagnostics<'_>,
    scope: &mut Scope<'_>,
    entry: &Entry,
    file: &std::sync::Arc<SourceFile>,
    number: u32,
    typed: &types::Target,
) -> Option<Template> {
    let line_span = |line: Option<usize>| line_span(&file.text, line.unwrap_or(1));
    let detail = |error: &minijinja::Error| error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    let mut env = scope.env.clone();
    // A line that holds only `{% … %}` leaves nothing behind.
    let lines = env.syntax().to_builder().keep_trailing_newline(true).trim_blocks(true).lstrip_blocks(true).build();
    env.set_syntax(lines.expect("white space cannot contradict the delimiters"));
    let template = match env.template_from_named_str("template", &file.text) {
        Ok(template) => template,
        Err(error) => {
            notes.mistakes.push(
                Mistake::new(file, line_span(error.line()), format!("no valid template: {}", detail(&error)))
                    .expected("expected a template in the manner of Jinja"),
            );
            return None;
        }
    };
    let names: BTreeSet<String> = template.undeclared_variables(false).into_iter().collect();
    let mut context: BTreeMap<String, minijinja::Value> = BTreeMap::new();
    let mut sound = true;
    let mut late: Vec<String> = LATE.map(str::to_owned).to_vec();
    let secrets = scope.environment.names().filter(|n| matches!(scope.environment.get(n), Some(Variable::Secret(_))));
    late.extend(secrets.map(|name| format!("env.{name}")));
    let mark_of = |name: &str| late.iter().position(|l| l == name).map(|number| minijinja::Value::from(mark(number)));
    let environment = environment::Read::new(scope.environment, |name| mark_of(&format!("env.{name}")));
    for name in names {
        if let Some(mark) = mark_of(&name) {
            context.insert(name, mark);
        } else if name == "env" {
            context.insert(name, minijinja::Value::from_dyn_object(std::sync::Arc::clone(&environment)));
        } else if name == "port"
            && let Some(port) = typed.port
        {
            context.insert(name, port.0.into());
        } else if name == "port" && entry.value.get("port").is_some() {
            sound = false; // The port itself is wrong.
        } else if scope.env.globals().any(|(global, _)| global == name) {
            // `range` and its like.
        } else {
            let asked = Node::text(Span::default(), format!("${{{name}}}"));
            let mut inner = Vec::new();
            let value = with_replica(scope, entry, number, |scope| scope.resolve(&asked, &mut inner));
            match inner.pop() {
                // It was reported where it stands, or its variable is not set.
                None if value.is_poisoned() => sound = false,
                None => {
                    context.insert(name, value_of(&marked(&value, &late)));
                }
                Some(mistake) => {
                    notes.mistakes.push(Mistake { file: file.clone(), span: name_in_template(&file.text, &name), ..mistake });
                    sound = false;
                }
            }
        }
    }
    if !sound {
        return None;
    }
    let rendered = template.render(&context);
    for name in environment.names() {
        let mut inner = Vec::new();
        sound &= scope.resolve(&Node::text(Span::default(), format!("${{env.{name}}}")), &mut inner).as_text().is_some();
        let moved = |mistake| Mistake { file: file.clone(), span: name_in_template(&file.text, &name), ..mistake };
        notes.mistakes.extend(inner.into_iter().map(moved));
    }
    if !sound {
        return None;
    }
    // What became of a secret otherwise than being inserted would be wrong in the file, and could not be masked.
    if let (Ok(text), names) = (&rendered, environment.names()) {
        let secret =
            |name: &String| mark_of(&format!("env.{name}")).is_some_and(|mark| !text.contains(mark.as_str().unwrap_or("")));
        if let Some(name) = names.into_iter().find(secret) {
            notes
                .mistakes
                .push(Mistake::new(file, name_in_template(&file.text, &name), format!("`env.{name}` is secret")).expected(
                    format!("expected `{{{{ env.{name} }}}}` by itself: it can be inserted, but not be computed with"),
                ));
            return None;
        }
    }
    match rendered {
        Ok(text) => Some(template_of(&text, &late)),
        Err(error) => {
            notes.mistakes.push(
                Mistake::new(file, line_span(error.line()), format!("cannot be rendered: {}", detail(&error)))
                    .expected("expected names that are known here"),
            );
            None
        }
    }
}

/// What stands in the line `number`, from 1, without its indentation.
fn line_span(text: &str, number: usize) -> Span {
    let start: usize = text.split_inclusive('\n').take(number.max(1) - 1).map(str::len).sum();
    let line = text[start..].lines().next().unwrap_or_default();
    let indent = line.len() - line.trim_start().len();
    Span { start: start + indent, end: start + line.len() }
}

/// A rendered text in which the marks of the names in `late` are places to be filled in.
fn template_of(rendered: &str, late: &[String]) -> Template {
    let mut parts = Vec::new();
    let mut rest = rendered;
    let plain = late.iter().enumerate().map(|(number, name)| (mark(number), Part::Name(name.clone())));
    let encoded = late.iter().enumerate().map(|(number, name)| (encoded_mark(number), Part::Encoded(name.clone())));
    let marks: Vec<(String, Part)> = plain.chain(encoded).collect();
    let found =
        |rest: &str| marks.iter().filter_map(|(mark, part)| Some((rest.find(mark)?, part, mark.len()))).min_by_key(|f| f.0);
    while let Some((at, part, length)) = found(rest) {
        parts.push(Part::Text(rest[..at].to_owned()));
        parts.push(part.clone());
        rest = &rest[at + length..];
    }
    parts.push(Part::Text(rest.to_owned()));
    Template(parts)
}

/// Where a template first uses a name: inside of `{{ … }}` or `{% … %}`.
fn name_in_template(text: &str, name: &str) -> Span {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let alone = |i: &usize| !text[..*i].ends_with(part) && !text[i + name.len()..].starts_with(part);
    let inside = |i: &usize| {
        let last = |words: [&str; 2]| words.iter().filter_map(|w| text[..*i].rfind(w)).max();
        last(["{{", "{%"]) > last(["}}", "%}"])
    };
    let start = text.match_indices(name).map(|(i, _)| i).filter(alone).find(inside).unwrap_or(0);
    Span { start, end: (start + name.len()).min(text.len()) }
}

/// Sorts targets so that each stands behind those in its `after`; otherwise the order of the file is kept.
///
/// # Errors
/// The names of a ring.
pub(super) fn sort(targets: Vec<Target>) -> Result<Vec<Target>, Vec<String>> {
    let names: BTreeSet<String> = targets.iter().map(|t| t.name.clone()).collect();
    let mut waiting = targets;
    let mut sorted: Vec<Target> = Vec::new();
    while !waiting.is_empty() {
        let ready = |t: &Target| t.after.iter().filter(|a| names.contains(*a)).all(|a| sorted.iter().any(|s| s.name == *a));
        match waiting.iter().position(ready) {
            Some(i) => sorted.push(waiting.remove(i)),
            None => {
                // Each one left waits for another one left; who follows that long enough goes round the ring.
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
