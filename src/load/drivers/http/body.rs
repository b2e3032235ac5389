//! Request bodies as they are sent: from memory, or in blocks that are made or read when there is room for them.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use crate::drivers::Failure;
use vocabulary::Outcome;

/// How much of a file is read at a time. The generator thread itself reads: from the page cache, which holds the file
/// after the checked pass before the load, this takes less time than handing the work to another thread.
const FILE_BLOCK: u64 = 64 << 10;

/// A file that is too long to be kept in memory; opened for every request.
pub(super) struct LongFile {
    pub path: PathBuf,
    /// Its length when the workload was prepared.
    pub length: u64,
}

/// What a body is made from; the same body can be made from it again when a redirect requires that.
pub(super) enum Source<'a> {
    Empty,
    Once(Bytes),
    /// This many bytes of a block that is repeated.
    Blocks(u64, Bytes),
    File(&'a LongFile),
}

impl<'a> Source<'a> {
    /// Random bytes: a piece of the block, or the block again and again.
    pub fn random(length: u64, block: &Bytes, random: u64) -> Self {
        let len = block.len() as u64;
        if length < len {
            let start = (random % (len - length + 1)) as usize;
            Self::Once(block.slice(start..start + length as usize))
        } else {
            Self::Blocks(length, block.clone())
        }
    }

    /// Makes the body, and a view of its progress.
    ///
    /// # Errors
    /// When its file cannot be opened, or has changed.
    pub fn open(&self) -> Result<(Outgoing, Upload), Failure> {
        let upload = Upload::default();
        let body = match self {
            Self::Empty => Outgoing::Empty,
            Self::Once(bytes) => {
                upload.0.sent.set(bytes.len() as u64);
                Outgoing::Once(bytes.clone())
            }
            Self::Blocks(left, block) => Outgoing::Blocks { left: *left, block: block.clone(), upload: upload.clone() },
            Self::File(long) => {
                let name = long.path.display();
                let failed = |e: io::Error| Failure::new(Outcome::Io, format!("the body {name}: {e}"));
                let file = File::open(&long.path).map_err(failed)?;
                let length = file.metadata().map_err(failed)?.len();
                if length != long.length {
                    let words = format!("the body {name} has {length} bytes now, but had {} before the load", long.length);
                    return Err(Failure::new(Outcome::Io, words));
                }
                Outgoing::File { left: length, file, name: name.to_string(), upload: upload.clone() }
            }
        };
        Ok((body, upload))
    }
}

/// What can be observed of a body while it is sent.
#[derive(Clone, Default)]
pub(super) struct Upload(Rc<UploadState>);

#[derive(Default)]
struct UploadState {
    sent: Cell<u64>,
    abandoned: Cell<bool>,
    broken: RefCell<Option<String>>,
}

impl Upload {
    /// Bytes that were handed over for sending.
    pub fn sent(&self) -> u64 {
        self.0.sent.get()
    }

    /// Nobody needs the body any more: it stops early.
    pub fn abandon(&self) {
        self.0.abandoned.set(true);
    }

    /// Why the body itself could not be sent completely.
    pub fn broken(&self) -> Option<Failure> {
        self.0.broken.borrow_mut().take().map(|words| Failure::new(Outcome::Io, words))
    }

    fn count(&self, bytes: usize) {
        self.0.sent.set(self.0.sent.get() + bytes as u64);
    }
}

/// A request body on its way.
pub(super) enum Outgoing {
    Empty,
    Once(Bytes),
    Blocks { left: u64, block: Bytes, upload: Upload },
    File { left: u64, file: File, name: String, upload: Upload },
}

impl Outgoing {
    pub fn size(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Once(bytes) => bytes.len() as u64,
            Self::Blocks { left, .. } | Self::File { left, .. } => *left,
        }
    }

    fn next(&mut self) -> Option<io::Result<Bytes>> {
        match self {
            Self::Empty => None,
            Self::Once(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                (!bytes.is_empty()).then_some(Ok(bytes))
            }
            Self::Blocks { left: 0, .. } | Self::File { left: 0, .. } => None,
            Self::Blocks { upload, .. } | Self::File { upload, .. } if upload.0.abandoned.get() => {
                Some(Err(io::Error::other("the request was given up")))
            }
            Self::Blocks { left, block, upload } => {
                let take = (*left).min(block.len() as u64);
                *left -= take;
                upload.count(take as usize);
                Some(Ok(block.slice(..take as usize)))
            }
            Self::File { left, file, name, upload } => {
                let mut block = vec![0; (*left).min(FILE_BLOCK) as usize];
                let read = file.read_exact(&mut block);
                // The request has already announced its length.
                let longer = |file: &mut File| matches!(file.read(&mut [0]), Ok(1));
                let words = match read {
                    Ok(()) if *left == block.len() as u64 && longer(file) => {
                        format!("the body {name} became longer while it was sent")
                    }
                    Ok(()) => {
                        *left -= block.len() as u64;
                        upload.count(block.len());
                        return Some(Ok(block.into()));
                    }
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                        format!("the body {name} became shorter while it was sent")
                    }
                    Err(error) => format!("the body {name}: {error}"),
                };
                *upload.0.broken.borrow_mut() = Some(words.clone());
                Some(Err(io::Error::other(words)))
            }
        }
    }
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(self.next().map(|block| block.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.size() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.size())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::values::random_block;
    use std::io::Write as _;

    #[test]
    fn a_random_body_has_its_length_and_differs() {
        let block = random_block();
        let body = |length, random| match Source::random(length, &block, random) {
            Source::Once(bytes) => bytes,
            _ => panic!("a short body is one piece"),
        };
        assert_eq!(body(10_240, 1).len(), 10_240);
        assert_ne!(body(10_240, 1), body(10_240, 2));
        let (mut long, upload) = Source::random(5 << 20, &block, 3).open().unwrap();
        let mut total = 0;
        while let Some(block) = long.next() {
            total += block.unwrap().len();
        }
        assert_eq!((total, upload.sent()), (5 << 20, 5 << 20));
    }

    #[test]
    fn a_long_file_is_read_in_blocks() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let content: Vec<u8> = (0..300_000_u32).map(|i| i as u8).collect();
        file.write_all(&content).unwrap();
        let long = LongFile { path: file.path().to_owned(), length: 300_000 };
        let source = Source::File(&long);
        for _ in 0..2 {
            let (mut body, upload) = source.open().unwrap();
            let mut sent = Vec::new();
            while let Some(block) = body.next() {
                let block = block.unwrap();
                assert!(block.len() as u64 <= FILE_BLOCK);
                sent.extend_from_slice(&block);
            }
            assert!(sent == content && body.is_end_stream());
            assert_eq!(upload.sent(), 300_000);
        }
    }

    #[test]
    fn a_file_that_changes_is_noticed() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&[7; 300_000]).unwrap();
        let long = LongFile { path: file.path().to_owned(), length: 300_000 };
        let rest = |body: &mut Outgoing| loop {
            match body.next() {
                Some(Ok(_)) => {}
                Some(Err(_)) => return "broken",
                None => return "whole",
            }
        };
        let (mut body, upload) = Source::File(&long).open().unwrap();
        body.next().unwrap().unwrap();
        file.as_file().set_len(100_000).unwrap();
        assert_eq!(rest(&mut body), "broken");
        assert!(upload.broken().unwrap().words.ends_with("became shorter while it was sent"));
        let failure = Source::File(&long).open().err().unwrap();
        assert!(failure.words.ends_with("has 100000 bytes now, but had 300000 before the load"), "{}", failure.words);
        file.as_file().set_len(300_000).unwrap();
        let (mut body, upload) = Source::File(&long).open().unwrap();
        body.next().unwrap().unwrap();
        file.as_file().set_len(300_001).unwrap();
        assert_eq!(rest(&mut body), "broken");
        assert!(upload.broken().unwrap().words.ends_with("became longer while it was sent"));
    }
}
