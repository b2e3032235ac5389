//! The machines that a cell needs, by what they are for.

use serde::Serialize;

/// Machines with one role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// The addresses of its machines, one for each: at these the other machines reach them. All are the loopback where
    /// every role is this machine.
    pub addresses: Vec<String>,
}

/// Where every role is this machine.
pub const LOOPBACK: &str = "127.0.0.1";
/// The machine on which runner is started, in messages and results; no role has this name.
pub const CONTROLLER: &str = "controller";
