//! Tor's control port: its address, and how to authenticate.

use serde::Serialize;

use super::Template;

/// A control port.
#[derive(Clone, Debug, Serialize)]
pub struct ControlPort {
    /// `host:port`, or `unix:PATH`.
    pub address: Template,
    /// The file with the authentication cookie; `None` if no authentication is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie: Option<Template>,
}

/// The events that Tor can report (control-spec.txt, 4.1), as far as they are reported in lines.
pub const EVENTS: [&str; 23] = [
    "CIRC",
    "CIRC_MINOR",
    "CIRC_BW",
    "STREAM",
    "STREAM_BW",
    "ORCONN",
    "BW",
    "CONN_BW",
    "CELL_STATS",
    "NEWDESC",
    "ADDRMAP",
    "DESCCHANGED",
    "STATUS_GENERAL",
    "STATUS_CLIENT",
    "STATUS_SERVER",
    "GUARD",
    "CLIENTS_SEEN",
    "BUILDTIMEOUT_SET",
    "SIGNAL",
    "CONF_CHANGED",
    "NETWORK_LIVENESS",
    "HS_DESC",
    "TRANSPORT_LAUNCHED",
];

/// The default events, which say which circuit carried what.
pub const USUAL_EVENTS: [&str; 6] = ["CIRC", "CIRC_MINOR", "STREAM", "GUARD", "BUILDTIMEOUT_SET", "HS_DESC"];

/// The fields of the row of an event, each with whether it is a number. The last field is the event as Tor wrote it.
pub const FIELDS: [(&str, bool); 29] = [
    ("event", false),
    ("id", true),
    ("status", false),
    ("path", false),
    ("target", false),
    ("source", false),
    ("circuit", true),
    ("purpose", false),
    ("old_purpose", false),
    ("reason", false),
    ("remote_reason", false),
    ("build_flags", false),
    ("hs_state", false),
    ("old_hs_state", false),
    ("rend_query", false),
    ("time_created", false),
    ("conflux_id", false),
    ("socks_username", false),
    ("guard", false),
    ("hs_dir", false),
    ("descriptor", false),
    ("total_times", true),
    ("timeout_ms", true),
    ("quantile", true),
    ("timeout_rate", true),
    ("close_ms", true),
    ("read_bytes", true),
    ("written_bytes", true),
    ("line", false),
];
