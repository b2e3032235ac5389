//! How TLS settings are read, wherever a URL may be.

use std::path::PathBuf;

use super::commands::find_file;
use super::diagnostics::Diagnostics;
use plan::tls::{Identity, Tls, Trust};
use plan::{cache, url};
use schema::{Node, types};

/// Reads the key `tls` of a node; `uses_tls`: whether a URL beside it uses TLS, `expected`: how such a URL is written.
pub(super) fn tls(
    notes: &mut Diagnostics<'_>,
    node: &Node,
    typed: &types::Tls,
    uses_tls: bool,
    expected: impl Into<String>,
) -> Option<Tls> {
    let Some(part) = node.get("tls") else { return Some(Tls::default()) };
    if !uses_tls {
        notes.say(node, "tls", "no URL here uses TLS", expected.into());
    }
    let trust = match (&typed.ca, typed.verify) {
        (Some(_), Some(false)) => {
            let expected = "expected either `ca` or `verify: false`";
            notes.say(part, "verify", "certificates that are given but not verified", expected);
            Trust::Anybody
        }
        (_, Some(false)) => Trust::Anybody,
        (Some(name), _) => Trust::Ca(file(notes, part, "ca", name)?),
        (None, _) => Trust::System,
    };
    let server_name = match &typed.name {
        Some(name) => {
            let name = notes.fixed(part, "name", &name.0)?;
            if !url::is_host(&name) {
                let expected = "expected the name or address in the server's certificate, such as `db.internal`";
                notes.say(part, "name", format!("`{name}` cannot be the name of a server"), expected);
            }
            Some(name)
        }
        None => None,
    };
    let identity = match (&typed.cert, &typed.key) {
        (Some(cert), Some(key)) => {
            let (cert, key) = (file(notes, part, "cert", cert), file(notes, part, "key", key));
            Some(Identity { cert: cert?, key: key? })
        }
        (Some(_), None) => {
            notes.say(part, "cert", "a certificate without its key", "expected `key: FILE` beside it (PEM)");
            None
        }
        (None, Some(_)) => {
            notes.say(part, "key", "a key without its certificate", "expected `cert: FILE` beside it (PEM)");
            None
        }
        (None, None) => None,
    };
    Some(Tls { trust, server_name, identity })
}

/// A file that exists, or that a set-up step makes and keeps.
fn file(notes: &mut Diagnostics<'_>, part: &Node, key: &str, name: &str) -> Option<PathBuf> {
    let name = notes.fixed(part, key, name)?;
    let kept = cache::is_inside(&name).then(|| PathBuf::from(&name));
    let found = kept.or_else(|| find_file(&notes.file.path, &name).filter(|path| path.is_file()));
    if found.is_none() {
        let expected = "expected a file, relative to the scenario's folder or one above it";
        notes.say(part, key, format!("there is no file `{name}`"), expected);
    }
    found
}
