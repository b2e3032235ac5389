//! Late names: fills in the values of a plan that are known only when a repetition starts.

use std::sync::Arc;

use plan::{Late, Template, Workload};

/// Fills in a command line.
pub fn fill_all(argv: &[Template], late: &Late<'_>) -> Vec<String> {
    argv.iter().map(|t| t.fill(late).to_text()).collect()
}

/// A workload in which only the names of passes are open. `reach`: the real address of a listener, if it differs from the
/// written one.
pub fn fill_workload(workload: &Workload, late: &Late<'_>, reach: impl Fn(&str, u16) -> Option<(String, u16)>) -> Arc<Workload> {
    let mut workload = workload.clone();
    let protocol = workload.driver.protocol_mut();
    protocol.fill(late);
    workload.flow.fill(late);
    let protocol = workload.driver.protocol_mut();
    for (host, port) in protocol.addresses_mut() {
        if let Some(there) = reach(host, *port) {
            (*host, *port) = there;
        }
    }
    Arc::new(workload)
}
