//! A transfer, stage by stage: what Torperf and its successors know of a download or an upload.

use super::super::{Outcome, Phase};

/// The lengths of a body whose times are known: 0, 10, … 100 % of it.
pub const PERCENTS: [u8; 11] = [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100];
/// The parts of a body whose times are known, in bytes: those of OnionPerf's partial downloads.
pub const PARTS: [u64; 9] = [10_240, 20_480, 51_200, 102_400, 204_800, 512_000, 1_048_576, 2_097_152, 5_242_880];

/// The stages of a transfer, as they follow each other. The names are those of the columns, without `_ns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The socket was made.
    Socket,
    /// It was connected, to the proxy where there is one.
    Connect,
    /// The proxy had chosen how to authenticate, and was content.
    Negotiate,
    /// The proxy was told where to connect to.
    Request,
    /// It said that it had.
    Response,
    /// The request was written.
    DataRequest,
    /// The first byte of the answer was there.
    DataResponse,
}

impl Stage {
    /// All, in their order.
    pub const ALL: [Self; 7] =
        [Self::Socket, Self::Connect, Self::Negotiate, Self::Request, Self::Response, Self::DataRequest, Self::DataResponse];

    /// Its name in columns and metrics.
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

/// What is known of a transfer that ended. Instants are nanoseconds since the epoch of the repetition; none where it did not come
/// so far, or where there is no proxy to do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferRow {
    /// Index of the workload.
    pub workload: u16,
    /// Index of the step.
    pub step: u16,
    /// Number of the pass.
    pub pass: u64,
    /// The phase in which it was meant to begin.
    pub phase: Phase,
    /// What became of it.
    pub outcome: Outcome,
    /// Where it failed, in OnionPerf's words: `PROXY`, `TIMEOUT`, `READ`, `WRITE`, `AUTH` or `MISC`.
    pub error: Option<&'static str>,
    /// The same for people.
    pub words: Option<String>,
    /// The code with which the proxy refused.
    pub proxy_code: Option<u8>,
    /// When it began by the clock of this machine, nanoseconds since 1970.
    pub unix_ns: u64,
    /// When it was meant to begin.
    pub intended_ns: u64,
    /// When it began.
    pub start_ns: u64,
    /// When each stage was over, as [`Stage::ALL`] has them.
    pub stages: [Option<u64>; Stage::ALL.len()],
    /// When so much of the body was there, as [`PERCENTS`] has it: of what was received, or of what the server said it had received
    /// of an upload, by its clock.
    pub percents: [Option<u64>; PERCENTS.len()],
    /// When so much of the body was there, as [`PARTS`] has it.
    pub parts: [Option<u64>; PARTS.len()],
    /// When the last byte was there, or what kept it from coming was known.
    pub end_ns: u64,
    /// The length of the body that was to come, or to go where one was sent.
    pub file_bytes: Option<u64>,
    /// Bytes read from the connection, those of the proxy and of heads included.
    pub read_bytes: u64,
    /// Bytes written to it, likewise.
    pub written_bytes: u64,
    /// Bytes of the body that came.
    pub body_read_bytes: u64,
    /// Bytes of the body that was sent.
    pub body_written_bytes: u64,
    /// The address of this end of the connection.
    pub local: Option<String>,
    /// That of the proxy.
    pub proxy: Option<String>,
    /// Host and port that were asked for.
    pub remote: String,
    /// The name by which the proxy was asked to keep it apart from others.
    pub isolation: Option<String>,
}
