//! How TLS is spoken: who may vouch for the server, what it is called, and who asks.

use std::path::PathBuf;

use serde::Serialize;

/// How TLS is spoken with a server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tls {
    /// Who may vouch for the server.
    pub trust: Trust,
    /// What the server is called, in the handshake (SNI) and in its certificate, where that is not the host of the URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// Who asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
}

impl Tls {
    /// Whether nothing is said of it.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// Whose word is taken for who the server is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// Those that the system trusts.
    #[default]
    System,
    /// Those whose certificates are in this file (PEM).
    Ca(PathBuf),
    /// Anybody's.
    Anybody,
}

/// A certificate of one's own, for servers that ask for one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// The file with the certificate and those between it and the one who vouches for it (PEM).
    pub cert: PathBuf,
    /// The file with its key (PEM).
    pub key: PathBuf,
}
