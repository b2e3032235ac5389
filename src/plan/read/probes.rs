//! How to know that a target is ready, and how long that may take.

use std::path::Path;
use std::time::Duration;

use super::diagnostics::{Diagnostics, refuse};
use super::programs::missing_program;
use super::{commands, requests, tls};
use plan::hosts::LOOPBACK;
use plan::{Probe, SentLine, Template, Url};
use schema::{Node, types};

/// How long it may take by default.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
/// A Tor bootstraps over a network.
const TOR_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a target may take to become ready.
pub(super) fn timeout(typed: &types::Ready) -> Duration {
    let by_default = if typed.tor.is_some() { TOR_TIMEOUT } else { TIMEOUT };
    typed.timeout.map_or(by_default, |timeout| timeout.0)
}

/// How to know that a target is ready; `address`: where it listens, if that is known.
pub(super) fn probe(notes: &mut Diagnostics<'_>, node: &Node, typed: &types::Target, address: Option<&Url>) -> Option<Probe> {
    let has_port = node.get("port").is_some();
    let by_default = || Some(address.map_or(Probe::Started, |a| Probe::Tcp { address: a.authority() }));
    let node_of_target = node;
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
        refuse(notes, node, &["tls"], "expected it only beside `http: https://…`");
        refuse(notes, node, &["status"], "expected it beside `http`");
    }
    if kind != "tor" {
        refuse(notes, node, &["cookie"], "expected it beside `tor`");
    }
    match kind {
        "tcp" => {
            // Others reach the target where its own port is, and so does the probe.
            let host = address.filter(|_| node_of_target.get("address").is_none()).map_or(LOOPBACK, |url| &url.host);
            let address = format!("{host}:{}", typed.tcp?.0);
            let Some(expect) = &typed.expect else {
                if node.get("send").is_some() {
                    notes.say(node, "send", "nothing says what the answer must be", "expected `expect` beside `send`");
                }
                return Some(Probe::Tcp { address });
            };
            let expect = notes.fixed(node, "expect", expect)?;
            requests::regex(notes, node, "expect", &expect);
            let send = typed.send.iter().flatten().map(|line| sent_line(&notes.file.path, line)).collect();
            Some(Probe::Lines { address, send, expect })
        }
        "tor" => Some(tor(typed.tor?.0, typed.cookie.as_ref().map(|cookie| commands::path(&notes.file.path, &cookie.0)))),
        "log" => {
            let pattern = notes.fixed(node, "log", typed.log.as_ref()?)?;
            requests::regex(notes, node, "log", &pattern);
            Some(Probe::Log { pattern })
        }
        "command" => {
            let argv = commands::argv(notes, node, typed.command.as_deref(), None, &[])?;
            if let Some(program) = missing_program(&argv[0].to_text(), None) {
                notes.say_missing(node, "command", &program);
            }
            Some(Probe::Command { argv, dir: commands::folder(notes, node, None) })
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
                    let statuses = requests::statuses(notes, node, typed.status.as_ref());
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
fn sent_line(scenario: &Path, typed: &types::SentLine) -> SentLine {
    match typed {
        types::SentLine::Text(text) => SentLine { text: Template::parse(&text.0), hex_of: None },
        types::SentLine::OfFile(line) => SentLine {
            text: Template::parse(line.text.as_ref().map_or("", |text| &text.0)),
            hex_of: Some(commands::path(scenario, &line.hex_of.0)),
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
