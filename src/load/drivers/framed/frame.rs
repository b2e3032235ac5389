//! Frames: how messages are separated in a stream of bytes. Pure.

use std::ops::Range;

use plan::drivers::framed::{Bounds, ByteOrder, Framing};

/// What is at the start of a stream of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstFrame {
    /// No whole frame yet.
    More,
    /// The message is here, and the next frame starts at `end`.
    Whole {
        /// Where the message is.
        message: Range<usize>,
        /// How many bytes the frame has.
        end: usize,
    },
    /// It is longer than allowed; its length, if known.
    TooLong(Option<u64>),
}

/// Looks for the first frame. `from`: how many bytes were searched before, in vain.
pub fn first(framing: &Framing, bytes: &[u8], from: usize) -> FirstFrame {
    match &framing.bounds {
        Bounds::Length { bytes: width, order } => {
            let width = usize::from(*width);
            let Some(head) = bytes.get(..width) else { return FirstFrame::More };
            let length = number(head, *order);
            if length > framing.max {
                return FirstFrame::TooLong(Some(length));
            }
            let end = width + length as usize;
            if bytes.len() < end { FirstFrame::More } else { FirstFrame::Whole { message: width..end, end } }
        }
        Bounds::Delimiter(delimiter) => {
            let delimiter = delimiter.as_bytes();
            // The first part of a delimiter may have been at the end of the earlier bytes.
            let start = from.saturating_sub(delimiter.len() - 1);
            match find(&bytes[start..], delimiter) {
                Some(at) if (start + at) as u64 > framing.max => FirstFrame::TooLong(Some((start + at) as u64)),
                Some(at) => FirstFrame::Whole { message: 0..start + at, end: start + at + delimiter.len() },
                None if bytes.len() as u64 > framing.max.saturating_add(delimiter.len() as u64) => FirstFrame::TooLong(None),
                None => FirstFrame::More,
            }
        }
    }
}

/// How much of the first message has arrived, and its length, if its frame tells that before it is complete.
pub fn progress(framing: &Framing, bytes: &[u8]) -> (u64, Option<u64>) {
    match &framing.bounds {
        Bounds::Length { bytes: width, order } => match bytes.split_at_checked(usize::from(*width)) {
            Some((head, message)) => {
                let length = number(head, *order);
                (length.min(message.len() as u64), Some(length))
            }
            None => (0, None),
        },
        Bounds::Delimiter(_) => (bytes.len() as u64, None),
    }
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    match part {
        [one] => bytes.iter().position(|b| b == one),
        _ => bytes.windows(part.len()).position(|w| w == part),
    }
}

fn number(head: &[u8], order: ByteOrder) -> u64 {
    let push = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
    match order {
        ByteOrder::Big => head.iter().fold(0, push),
        ByteOrder::Little => head.iter().rev().fold(0, push),
    }
}

/// Starts a frame; then the message is to be appended, and [`end`] called with the returned value.
pub fn begin(framing: &Framing, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.resize(start + before(framing), 0);
    start
}

/// How many bytes come before a message: its length, if there is one.
pub fn before(framing: &Framing) -> usize {
    match framing.bounds {
        Bounds::Length { bytes, .. } => usize::from(bytes),
        Bounds::Delimiter(_) => 0,
    }
}

/// Ends a frame.
///
/// # Errors
/// In words, when the message cannot be framed.
pub fn end(framing: &Framing, out: &mut Vec<u8>, start: usize) -> Result<(), String> {
    match &framing.bounds {
        Bounds::Length { bytes, order } => {
            let width = usize::from(*bytes);
            let length = (out.len() - start - width) as u64;
            if length > framing.longest() {
                return Err(format!(
                    "a message of {length} bytes, but a length of {width} bytes allows at most {}",
                    framing.longest()
                ));
            }
            match order {
                ByteOrder::Big => out[start..start + width].copy_from_slice(&length.to_be_bytes()[8 - width..]),
                ByteOrder::Little => out[start..start + width].copy_from_slice(&length.to_le_bytes()[..width]),
            }
        }
        Bounds::Delimiter(delimiter) => {
            if find(&out[start..], delimiter.as_bytes()).is_some() {
                return Err(format!("a message with the delimiter {delimiter:?} inside"));
            }
            out.extend_from_slice(delimiter.as_bytes());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn length(bytes: u8, order: ByteOrder) -> Framing {
        Framing { bounds: Bounds::Length { bytes, order }, max: 1000 }
    }

    fn delimiter(text: &str) -> Framing {
        Framing { bounds: Bounds::Delimiter(text.to_owned()), max: 1000 }
    }

    fn frame(framing: &Framing, message: &[u8]) -> Result<Vec<u8>, String> {
        let mut out = b"before".to_vec();
        let start = begin(framing, &mut out);
        out.extend_from_slice(message);
        end(framing, &mut out, start).map(|()| out.split_off(6))
    }

    #[test]
    fn lengths_stand_in_their_order() {
        assert_eq!(frame(&length(4, ByteOrder::Big), b"abc").unwrap(), b"\0\0\0\x03abc");
        assert_eq!(frame(&length(2, ByteOrder::Little), b"abc").unwrap(), b"\x03\0abc");
        assert_eq!(frame(&length(8, ByteOrder::Big), b"").unwrap(), [0; 8]);
        assert!(frame(&length(1, ByteOrder::Big), &[0; 256]).unwrap_err().contains("256 bytes"));
        assert!(frame(&delimiter("\r\n"), b"a\r\nb").unwrap_err().contains("inside"));
    }

    #[test]
    fn what_is_too_long_is_known_from_its_head() {
        assert_eq!(first(&length(4, ByteOrder::Big), &[0xff; 4], 0), FirstFrame::TooLong(Some(0xffff_ffff)));
        assert_eq!(first(&length(8, ByteOrder::Little), &[0xff; 8], 0), FirstFrame::TooLong(Some(u64::MAX)));
        assert_eq!(first(&delimiter("\n"), &[b'a'; 1002], 0), FirstFrame::TooLong(None));
        assert_eq!(first(&delimiter("\n"), &[b'a'; 1001], 0), FirstFrame::More);
    }

    proptest! {
        /// Whatever the pieces in which bytes arrive, the messages are those that were sent.
        #[test]
        fn messages_come_back_whole(
            messages in proptest::collection::vec(proptest::collection::vec(b'a'..b'f', 0..40), 1..8),
            kind in 0_usize..12,
            pieces in proptest::collection::vec(1_usize..9, 1..20),
        ) {
            let framing = match kind {
                0..8 => length(kind as u8 + 1, if kind % 2 == 0 { ByteOrder::Big } else { ByteOrder::Little }),
                8 => delimiter("\n"),
                9 => delimiter("\r\n"),
                10 => delimiter("||"),
                _ => delimiter("\0"),
            };
            let sent: Vec<u8> = messages.iter().flat_map(|m| frame(&framing, m).unwrap()).collect();
            let (mut buffer, mut found, mut from, mut pieces) = (Vec::new(), Vec::new(), 0, pieces.iter().cycle());
            let mut rest = sent.as_slice();
            while !rest.is_empty() {
                let (piece, next) = rest.split_at((*pieces.next().unwrap()).min(rest.len()));
                rest = next;
                buffer.extend_from_slice(piece);
                loop {
                    match first(&framing, &buffer, from) {
                        FirstFrame::Whole { message, end } => {
                            found.push(buffer[message].to_vec());
                            buffer.drain(..end);
                            from = 0;
                        }
                        seen => {
                            prop_assert_eq!(seen, FirstFrame::More);
                            from = buffer.len();
                            break;
                        }
                    }
                }
            }
            prop_assert_eq!(found, messages);
            prop_assert!(buffer.is_empty());
        }
    }
}
