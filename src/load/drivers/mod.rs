//! One file per protocol: how a step becomes an exchange on a connection.

pub mod http;
