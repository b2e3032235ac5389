//! A proxy between load and server.

use super::diagnostics::Diagnostics;
use super::{control, requests};
use plan::socks::{Commands, Steering};
use plan::{Socks, SocksVersion, Template};
use schema::{Node, types};

/// Makes the proxy of a workload, whose node it is.
pub(super) fn socks(notes: &mut Diagnostics<'_>, node: &Node, typed: Option<&types::Socks>) -> Option<Socks> {
    let (part, typed) = (node.get("socks")?, typed?);
    let address = requests::address(notes, part, "address", &typed.address)?;
    let version = match typed.version {
        Some(types::SocksVersion(false)) => SocksVersion::V4a,
        _ => SocksVersion::V5,
    };
    Some(Socks {
        address,
        version,
        isolate: typed.isolate.unwrap_or_default(),
        optimistic: typed.optimistic.unwrap_or_default(),
        control: typed.control.as_ref().and_then(|control| steering(notes, part, control)),
    })
}

fn steering(notes: &mut Diagnostics<'_>, node: &Node, typed: &types::Steering) -> Option<Steering> {
    let part = node.get("control")?;
    let port = control::port(notes, part, "address", &typed.address, typed.cookie.as_ref())?;
    for (at, commands) in typed.before_pass.iter().enumerate() {
        let item = part.get("before-pass").and_then(|list| list.items().get(at)).unwrap_or(part);
        if commands.send.is_empty() {
            notes.say(item, "send", "no commands", "expected some, such as `send: [SIGNAL NEWNYM]`");
        }
        control::single_commands(notes, item, "send", &commands.send);
        if commands.each.is_some_and(|each| each.0.is_zero()) {
            notes.say(
                item,
                "each",
                "no time between commands",
                "expected a duration, or no `each` to send them before each pass",
            );
        }
    }
    if typed.before_pass.is_empty() && typed.path.is_empty() {
        notes.say(node, "control", "nothing to send", "expected `before-pass` or `path`");
    }
    control::single_commands(notes, part, "path", &typed.path);
    for relay in typed.path.iter().filter(|relay| relay.0.contains([' ', ','])) {
        let expected = "expected the nickname or fingerprint of one relay in each: `[first, second, third]`";
        notes.say(part, "path", format!("`{}` is not a relay", relay.0), expected);
    }
    let texts = |texts: &[types::Text]| texts.iter().map(|text| Template::parse(&text.0)).collect();
    Some(Steering {
        port,
        before_pass: typed
            .before_pass
            .iter()
            .map(|commands| Commands { send: texts(&commands.send), each: commands.each.map(|each| each.0) })
            .collect(),
        path: texts(&typed.path),
    })
}
