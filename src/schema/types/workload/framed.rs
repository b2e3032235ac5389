//! Messages over TCP, and how they are told apart.

use schemars::JsonSchema;

use crate::types::{ByteOrder, Size};

/// Messages over TCP, each a frame.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Framed {
    /// `host:port`.
    pub to: String,
    /// How frames are told apart.
    pub frame: Framing,
    /// Whether a connection is used for more than one pass; true by default.
    #[serde(default)]
    pub keep_alive: Option<bool>,
}

/// How frames are told apart: exactly one of `length`, `delimiter`.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Framing {
    /// Each begins with its length, in so many bytes: 1 to 8.
    #[serde(default)]
    pub length: Option<u8>,
    /// The order of these bytes; `big` by default.
    #[serde(default)]
    pub order: Option<ByteOrder>,
    /// Each ends with this text, such as `"\n"`.
    #[serde(default)]
    pub delimiter: Option<String>,
    /// The longest answer that is taken; 16 MiB by default.
    #[serde(default)]
    pub max: Option<Size>,
}
