//! A transfer, stage by stage: what Torperf and its successors record about a download or an upload.

use super::super::{Outcome, Phase};

/// The parts of a body whose times are recorded: 0, 10, … 100 % of it.
pub const PERCENTS: [u8; 11] = [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100];
/// The parts of a body whose times are recorded, in bytes: those of OnionPerf's partial downloads.
pub const PARTS: [u64; 9] = [10_240, 20_480, 51_200, 102_400, 204_800, 512_000, 1_048_576, 2_097_152, 5_242_880];

/// The stages of a transfer, in order. The names are those of the columns, without `_ns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The socket was created.
    Socket,
    /// The socket was connected, to the proxy if there is one.
    Connect,
    /// The proxy had chosen an authentication method and accepted it.
    Negotiate,
    /// The address to connect to was sent to the proxy.
    Request,
    /// The proxy answered that it had connected.
    Response,
    /// The request was written.
    DataRequest,
    /// The first byte of the answer had arrived.
    DataResponse,
}

impl Stage {
    /// All stages, in their order.
    pub const ALL: [Self; 7] =
        [Self::Socket, Self::Connect, Self::Negotiate, Self::Request, Self::Response, Self::DataRequest, Self::DataResponse];

    /// The name of the stage in columns and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::Connect => "connect",
            Self::Negotiate => "negotiate",
            Self::Request => "request",
            Self::Response => "response",
            Self::DataRequest => "data_request",
            Self::DataResponse => "data_response",
        }
    }
}

/// What is known about a transfer that ended. Instants are nanoseconds since the epoch of the repetition. They are `None` if the
/// transfer did not get that far, or if there is no proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferRow {
    /// Index of the workload.
    pub workload: u16,
    /// Index of the step.
    pub step: u16,
    /// Number of the pass.
    pub pass: u64,
    /// The phase of its intended start.
    pub phase: Phase,
    /// The outcome of the transfer.
    pub outcome: Outcome,
    /// Where it failed, in OnionPerf's words: `PROXY`, `TIMEOUT`, `READ`, `WRITE`, `AUTH` or `MISC`.
    pub error: Option<&'static str>,
    /// The same for users.
    pub words: Option<String>,
    /// The code with which the proxy refused.
    pub proxy_code: Option<u8>,
    /// When it started by the clock of this machine, nanoseconds since 1970.
    pub unix_ns: u64,
    /// Its intended start.
    pub intended_ns: u64,
    /// Its actual start.
    pub start_ns: u64,
    /// When each stage was over, as [`Stage::ALL`] has them.
    pub stages: [Option<u64>; Stage::ALL.len()],
    /// When each share of the body in [`PERCENTS`] had arrived. For an upload: when the server said that it had received the share,
    /// by the server's clock.
    pub percents: [Option<u64>; PERCENTS.len()],
    /// When each part of the body in [`PARTS`] had arrived.
    pub parts: [Option<u64>; PARTS.len()],
    /// When the last byte had arrived, or the reason why it did not was known.
    pub end_ns: u64,
    /// The expected length of the body; for an upload, the length of the body to send.
    pub file_bytes: Option<u64>,
    /// Bytes read from the connection, those of the proxy and of heads included.
    pub read_bytes: u64,
    /// Bytes written to the connection, with the same inclusions.
    pub written_bytes: u64,
    /// Bytes of the body that arrived.
    pub body_read_bytes: u64,
    /// Bytes of the body that was sent.
    pub body_written_bytes: u64,
    /// The address of this end of the connection.
    pub local: Option<String>,
    /// The address of the proxy.
    pub proxy: Option<String>,
    /// Host and port that were requested.
    pub remote: String,
    /// The user name given to the proxy to isolate the transfer from others.
    pub isolation: Option<String>,
}
