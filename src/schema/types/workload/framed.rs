//! Messages over TCP, and how they are separated.

use schemars::JsonSchema;

use crate::types::{ByteOrder, Size};

/// Messages over TCP. Each message is a frame, whose end is known by its length or by a delimiter.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "framed"))]
pub struct Framed {
    /// The server, as `host:port`.
    #[schemars(extend("examples" = ["127.0.0.1:7000"]))]
    pub to: String,
    /// Where a frame ends: after the length that comes before it, or at a delimiter.
    #[schemars(extend("examples" = [{"length": 4, "order": "big"}]))]
    pub frame: Framing,
    /// Whether a connection is used for more than one pass.
    #[serde(default)]
    #[schemars(extend("x-default" = "`true`; with `stages` `false`", "examples" = [false]))]
    pub keep_alive: Option<bool>,
}

/// Where a frame ends: exactly one of `length` and `delimiter`.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "framed"))]
pub struct Framing {
    /// Each message starts with its length, a number of 1 to 8 bytes.
    #[serde(default)]
    #[schemars(extend("examples" = [4]))]
    pub length: Option<u8>,
    /// The order of the bytes of `length`: the most (`big`) or the least (`little`) significant one first.
    #[serde(default)]
    #[schemars(extend("x-default" = "big", "examples" = ["little"]))]
    pub order: Option<ByteOrder>,
    /// Each message ends with this text.
    #[serde(default)]
    #[schemars(extend("examples" = ["\r\n"]))]
    pub delimiter: Option<String>,
    /// The longest answer that is accepted.
    #[serde(default)]
    #[schemars(extend("x-default" = "16MiB", "examples" = ["64KiB"]))]
    pub max: Option<Size>,
}
