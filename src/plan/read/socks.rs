//! A proxy on the way: how it is read.

use super::diagnostics::Diagnostics;
use super::requests;
use plan::{Socks, SocksVersion};
use schema::{Node, types};

/// Makes the proxy of a workload, whose node it is; `keep_alive`: whether a connection is used for more than one pass.
pub(super) fn socks(notes: &mut Diagnostics<'_>, node: &Node, typed: Option<&types::Socks>) -> Option<Socks> {
    let (part, typed) = (node.get("socks")?, typed?);
    let address = requests::address(notes, part, "address", &typed.address)?;
    let version = match typed.version {
        Some(types::SocksVersion(false)) => SocksVersion::V4a,
        _ => SocksVersion::V5,
    };
    Some(Socks { address, version, isolate: typed.isolate.unwrap_or_default(), optimistic: typed.optimistic.unwrap_or_default() })
}
