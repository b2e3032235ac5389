//! Commands to a server that speaks Redis' protocol.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::{Body, Carry};
use crate::types::{Duration, Size, Text};

/// Commands to a server that speaks Redis' protocol (RESP).
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Redis {
    /// `host:port`.
    pub to: String,
    /// The data base that each connection selects; 0 by default.
    #[serde(default)]
    pub database: Option<u32>,
    /// The user that each connection says it is; with `password`.
    #[serde(default)]
    pub user: Option<Text>,
    /// The password with which each connection begins.
    #[serde(default)]
    pub password: Option<Text>,
    /// Whether a connection is used for more than one pass; true by default.
    #[serde(default)]
    pub keep_alive: Option<bool>,
}

/// With `redis`, one command: exactly one of `get`, `set`, `command`. A reply that is an error is always one.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RedisStep {
    /// Name in results and graphs; the command by default.
    #[serde(default)]
    pub name: Option<String>,
    /// `GET` of a key, which must be there.
    #[serde(default)]
    pub get: Option<Text>,
    /// `SET` of a key.
    #[serde(default)]
    pub set: Option<Text>,
    /// With `set`: what it is set to.
    #[serde(default)]
    pub value: Option<Body>,
    /// Any command, word by word, such as `[INCR, counter]`.
    #[serde(default)]
    pub command: Option<Vec<Text>>,
    /// What the reply must be; anything but an error by default.
    #[serde(default)]
    pub expect: Option<RedisExpect>,
    /// Values taken from the reply, for the steps behind: name to place.
    #[serde(default)]
    pub carry: BTreeMap<String, Carry>,
    /// How long this command may take.
    #[serde(default)]
    pub timeout: Option<Duration>,
}

/// What a reply must be. Of a list the items count, each on a line of its own.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RedisExpect {
    /// Whether it must be nil (`true`) or must not (`false`, the default of `get`).
    #[serde(default)]
    pub nil: Option<bool>,
    /// Of this length.
    #[serde(default)]
    pub length: Option<Size>,
    /// Exactly this.
    #[serde(default)]
    pub text: Option<Text>,
    /// With this text somewhere in it.
    #[serde(default)]
    pub contains: Option<Text>,
}
