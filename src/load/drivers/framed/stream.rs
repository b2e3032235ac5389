//! A TCP connection on which frames are sent and received.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::frame::{self, FirstFrame};
use crate::drivers::Failure;
use crate::drivers::tcp::of_io;
use plan::drivers::framed::Framing;
use vocabulary::Outcome;

/// How much is read at a time.
const PIECE: usize = 16 << 10;

/// A connection; after a failure it cannot be used any more.
pub struct Stream {
    tcp: TcpStream,
    /// Bytes read and not yet consumed.
    buffer: Vec<u8>,
    /// How many bytes at the start of `buffer` were consumed.
    consumed: usize,
}

impl Stream {
    /// Over a new connection.
    pub fn new(tcp: TcpStream) -> Self {
        Self { tcp, buffer: Vec::new(), consumed: 0 }
    }

    /// Sends bytes, which are complete frames.
    ///
    /// # Errors
    /// The failure as it is recorded; `doing` says what was tried.
    pub async fn send(&mut self, bytes: &[u8], deadline: Instant, doing: &str) -> Result<(), Failure> {
        self.send_noting(bytes, deadline, doing, |_| {}).await
    }

    /// Like [`Stream::send`], and tells `wrote` how many bytes the system has accepted whenever it accepts some.
    ///
    /// # Errors
    /// As [`Stream::send`].
    pub async fn send_noting(
        &mut self,
        bytes: &[u8],
        deadline: Instant,
        doing: &str,
        mut wrote: impl FnMut(usize),
    ) -> Result<(), Failure> {
        // Usually everything is accepted at once, and no timer is needed.
        let written = match self.tcp.try_write(bytes) {
            Ok(written) => written,
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(of_io(&error, doing)),
        };
        wrote(written);
        if written == bytes.len() { Ok(()) } else { self.send_rest(&bytes[written..], deadline, doing, wrote).await }
    }

    async fn send_rest(
        &mut self,
        mut bytes: &[u8],
        deadline: Instant,
        doing: &str,
        mut wrote: impl FnMut(usize),
    ) -> Result<(), Failure> {
        while !bytes.is_empty() {
            match tokio::time::timeout_at(deadline, self.tcp.write(bytes)).await {
                Ok(Ok(0)) => return Err(of_io(&std::io::ErrorKind::WriteZero.into(), doing)),
                Ok(Ok(written)) => {
                    wrote(written);
                    bytes = &bytes[written..];
                }
                Ok(Err(error)) => return Err(of_io(&error, doing)),
                Err(_) => {
                    return Err(Failure::new(Outcome::Timeout, format!("{doing}: it could not be sent within the time-out")));
                }
            }
        }
        Ok(())
    }

    /// Waits for a message, and passes it to `take` without its frame.
    ///
    /// # Errors
    /// The failure as it is recorded; `doing` says what was waited for.
    pub async fn receive<T>(
        &mut self,
        framing: &Framing,
        deadline: Option<Instant>,
        doing: &str,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, Failure> {
        self.receive_noting(framing, deadline, doing, |_, _| {}, take).await
    }

    /// Like [`Stream::receive`]; after each read `note` is told how many bytes it added, and how much of the frame has
    /// arrived so far.
    ///
    /// # Errors
    /// As there.
    pub async fn receive_noting<T>(
        &mut self,
        framing: &Framing,
        deadline: Option<Instant>,
        doing: &str,
        mut note: impl FnMut(usize, &[u8]),
        take: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, Failure> {
        let mut looked = 0;
        loop {
            match frame::first(framing, &self.buffer[self.consumed..], looked) {
                FirstFrame::Whole { message, end } => {
                    let message = self.consumed + message.start..self.consumed + message.end;
                    let consumed = take(&self.buffer[message]);
                    self.consumed += end;
                    if self.consumed == self.buffer.len() {
                        self.buffer.clear();
                        self.consumed = 0;
                    }
                    return Ok(consumed);
                }
                FirstFrame::TooLong(length) => {
                    let length = length.map_or_else(String::new, |n| format!(" of {n} bytes"));
                    let words = format!("{doing}: a message{length}, but at most {} bytes are accepted", framing.max);
                    return Err(Failure::new(Outcome::Garbage, words));
                }
                FirstFrame::More => {}
            }
            looked = self.buffer.len() - self.consumed;
            if self.consumed > 0 {
                self.buffer.drain(..self.consumed);
                self.consumed = 0;
            }
            self.buffer.reserve(PIECE);
            let reading = self.tcp.read_buf(&mut self.buffer);
            let read = match deadline {
                None => reading.await,
                Some(deadline) => match tokio::time::timeout_at(deadline, reading).await {
                    Ok(read) => read,
                    Err(_) => {
                        return Err(Failure::new(Outcome::Timeout, format!("{doing}: nothing arrived within the time-out")));
                    }
                },
            };
            match read {
                Ok(0) if looked == 0 => {
                    return Err(Failure::new(Outcome::Closed, format!("{doing}: the connection was closed instead")));
                }
                Ok(0) => {
                    let words = format!("{doing}: the connection was closed after {looked} bytes of a message");
                    return Err(Failure::new(Outcome::Incomplete, words));
                }
                Ok(read) => note(read, &self.buffer),
                Err(error) => return Err(of_io(&error, doing)),
            }
        }
    }

    /// Whether nothing unexpected has arrived, such as the end of the stream.
    pub fn is_open(&self) -> bool {
        let mut byte = [0];
        self.consumed == self.buffer.len()
            && matches!(self.tcp.try_read(&mut byte), Err(e) if e.kind() == std::io::ErrorKind::WouldBlock)
    }

    /// Whether the other side has closed the connection.
    fn has_ended(&self) -> bool {
        match self.tcp.try_read(&mut [0; 64]) {
            Ok(read) => read == 0,
            Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }

    /// Lets the other side close first, as it will do in a moment: the ports of connections that we close stay
    /// unavailable for a minute, and soon there would be none left.
    pub fn leave(mut self) {
        const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);
        if self.has_ended() {
            return;
        }
        tokio::task::spawn_local(async move {
            let _ = tokio::time::timeout(PATIENCE, self.tcp.read(&mut [0; 64])).await;
        });
    }
}
