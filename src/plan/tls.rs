//! How TLS is used: the trusted authorities, the server's name, and the client's certificate.

use std::path::PathBuf;

use serde::Serialize;

/// How TLS is used with a server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tls {
    /// The authorities that may sign the server's certificate.
    pub trust: Trust,
    /// The server's name in the handshake (SNI) and in its certificate, if it is not the host of the URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// The client's certificate, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
}

impl Tls {
    /// Whether all settings are defaults.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// The certificates that are trusted to identify the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// The authorities that the system trusts.
    #[default]
    System,
    /// The authorities whose certificates are in this file (PEM).
    Ca(PathBuf),
    /// Any certificate.
    Anybody,
}

/// The client's certificate, for servers that ask for one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// The file with the certificate and the intermediate ones up to its authority (PEM).
    pub cert: PathBuf,
    /// The file with its key (PEM).
    pub key: PathBuf,
}
