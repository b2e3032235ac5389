//! How messages and pieces of files are written: a length, a kind, and so many bytes.
//!
//! What a log-in shell prints before the agent starts is skipped: the agent's first line says where frames begin.

use std::io::{self, BufRead, Read, Write};

use serde::Serialize;

/// The line with which an agent begins. The number is that of [`crate::message::PROTOCOL`].
pub(crate) const PREFACE: &str = "runner agent, protocol";
/// A frame that is longer is none: something else speaks.
const LONGEST: usize = 64 << 20;
/// So much may be printed before an agent begins.
const NOISE: u64 = 256 << 10;
/// How much of a file is in one frame: little enough that a word from the other end does not wait long.
pub(crate) const PIECE: usize = 64 << 10;

/// What a frame holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A message, as JSON.
    Message(Vec<u8>),
    /// The next piece of a file.
    Piece(Vec<u8>),
}

impl Frame {
    /// A message.
    pub(crate) fn message(message: &impl Serialize) -> Self {
        // Messages hold no maps with keys that are not texts, and no numbers that JSON lacks.
        Self::Message(serde_json::to_vec(message).unwrap_or_default())
    }
}

/// What is written next.
pub(crate) enum Outgoing {
    /// A frame as it is.
    Frame(Frame),
    /// An answer about the time, which is stamped when it leaves.
    Time { asked_ns: i64, received_ns: i64 },
    /// A question about the time, which is stamped when it leaves.
    AskTime,
}

/// Writes a frame, without flushing.
pub(crate) fn write(to: &mut impl Write, frame: &Frame) -> io::Result<()> {
    let (kind, bytes) = match frame {
        Frame::Message(bytes) => (0, bytes),
        Frame::Piece(bytes) => (1, bytes),
    };
    to.write_all(&(bytes.len() as u32).to_le_bytes())?;
    to.write_all(&[kind])?;
    to.write_all(bytes)
}

/// Reads a frame; none at the end of the stream between two frames.
pub(crate) fn read(from: &mut impl Read) -> io::Result<Option<Frame>> {
    let mut head = [0; 5];
    let mut read = 0;
    while read < head.len() {
        match from.read(&mut head[read..]) {
            Ok(0) if read == 0 => return Ok(None),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
    if length > LONGEST || head[4] > 1 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "what arrives is not from an agent of runner"));
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes)?;
    Ok(Some(if head[4] == 0 { Frame::Message(bytes) } else { Frame::Piece(bytes) }))
}

/// Reads lines until an agent begins; returns the number of its protocol.
///
/// # Errors
/// When the stream ends before, with what was printed instead.
pub(crate) fn preface(from: &mut impl BufRead) -> io::Result<u32> {
    let mut said = Vec::new();
    let mut limited = from.take(NOISE);
    loop {
        let start = said.len();
        if limited.read_until(b'\n', &mut said)? == 0 {
            let words = String::from_utf8_lossy(&said).trim().to_owned();
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, words));
        }
        let line = String::from_utf8_lossy(&said[start..]);
        if let Some(number) = line.trim_end().strip_prefix(PREFACE) {
            return number.trim().parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, line.into_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let frames = [Frame::Message(b"{}".to_vec()), Frame::Piece(vec![7; 100_000]), Frame::Message(Vec::new())];
        let mut bytes = Vec::new();
        frames.iter().for_each(|frame| write(&mut bytes, frame).unwrap());
        let mut from = bytes.as_slice();
        for frame in &frames {
            assert_eq!(read(&mut from).unwrap().as_ref(), Some(frame));
        }
        assert_eq!(read(&mut from).unwrap(), None);
        assert!(read(&mut &bytes[..bytes.len() - 1][..]).is_ok(), "the first frame is whole");
        assert_eq!(read(&mut &bytes[..3]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(read(&mut &b"Last login: Monday\n"[..]).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn what_a_shell_prints_before_is_skipped() {
        let mut from = &b"Welcome to b!\n\nrunner agent, protocol 3\nrest"[..];
        assert_eq!(preface(&mut from).unwrap(), 3);
        assert_eq!(from, b"rest");
        let error = preface(&mut &b"bash: runner: command not found\n"[..]).unwrap_err();
        assert_eq!(error.to_string(), "bash: runner: command not found");
    }
}
