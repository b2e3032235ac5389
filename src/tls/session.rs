//! TLS over a socket that somebody else reads and writes: no task, and nothing of the socket is kept here.
//!
//! rustls does the same within tokio-rustls, which owns its stream and waits for it in a task. The load engine watches
//! thousands of sockets in one loop; it takes a session over once the handshake is done.

use std::cell::RefCell;
use std::io::{self, IoSlice, Read as _, Write as _};
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::{self, ClientConnection};

/// What is sent and received in the end.
pub trait Raw {
    /// Reads once, or waits until there is something. Returns the number of bytes; 0 is the end.
    ///
    /// # Errors
    /// What the system said.
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes, or waits until something can be written. Returns the number of bytes.
    ///
    /// # Errors
    /// What the system said.
    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;
}

/// An agreed session of a client.
pub struct Session {
    tls: ClientConnection,
    /// What the server did wrong, told after all that it sent before.
    broken: Option<rustls::Error>,
}

/// More than a record holds: so much may be waiting for the rest of its record.
const RECORD: usize = 18 << 10;
/// The least that a caller needs room for.
const ROOM: usize = 2 * RECORD;

thread_local! {
    /// What was just read. All of it is decrypted before another session has its turn.
    static SEALED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// What was said without being asked for, to be forgotten.
    static UNASKED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Session {
    /// Takes a session over, after its handshake, with what it is spoken over.
    pub fn of<S: AsyncRead + AsyncWrite + Unpin>(stream: TlsStream<S>) -> (S, Self) {
        let (raw, tls) = stream.into_inner();
        (raw, Self { tls, broken: None })
    }

    /// Reads once, or waits until there is something. `into` has room for more than two records, 36 KiB. Returns the number of bytes; 0 is
    /// the end, as the server says.
    ///
    /// # Errors
    /// What the system or the server said; [`io::ErrorKind::UnexpectedEof`] when the connection ends and the server has not
    /// said so: somebody else may have ended it.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, raw: &mut impl Raw, into: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.tls.reader().read(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read),
            }
            if let Some(error) = self.broken.take() {
                // The server is told, if that is possible.
                let _ = self.poll_flush(cx, raw);
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
            }
            // The rest of a request, or an answer to what the server said about the session.
            let flushed = self.poll_flush(cx, raw);
            let opened = SEALED.with_borrow_mut(|sealed| {
                let room = into.len().saturating_sub(RECORD).max(1);
                if sealed.len() < room {
                    sealed.resize(room, 0);
                }
                let count = match raw.poll_read(cx, &mut sealed[..room]) {
                    Poll::Ready(count) => count?,
                    // Whoever cannot write any more may still have an answer to read.
                    Poll::Pending => match flushed {
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                        _ => return Poll::Pending,
                    },
                };
                Poll::Ready(self.open(&sealed[..count], into))
            });
            match ready!(opened)? {
                0 => {}
                count => return Poll::Ready(Ok(count)),
            }
        }
    }

    /// Whether the server has said nothing but what is about the session itself: tickets, new keys.
    pub fn is_silent(&mut self, raw: &mut impl Raw) -> bool {
        UNASKED.with_borrow_mut(|unasked| {
            unasked.resize(ROOM, 0);
            self.poll_read(&mut Context::from_waker(Waker::noop()), raw, unasked).is_pending()
        })
    }

    /// Decrypts what was read; nothing is the end of the stream.
    fn open(&mut self, mut sealed: &[u8], into: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        let is_end = sealed.is_empty();
        while is_end || !sealed.is_empty() {
            self.tls.read_tls(&mut sealed)?;
            if let Err(error) = self.tls.process_new_packets() {
                self.broken = Some(error);
            }
            loop {
                match self.tls.reader().read(&mut into[filled..]) {
                    Ok(0) => break,
                    Ok(count) => filled += count,
                    // The end is told when all before it was taken.
                    Err(_) => break,
                }
            }
            if is_end || self.broken.is_some() {
                break;
            }
        }
        Ok(filled)
    }

    /// Takes as much as fits, and sends it as far as that is possible at once: the rest goes with the next read or write.
    /// Returns how much was taken.
    ///
    /// # Errors
    /// What the system said.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, raw: &mut impl Raw, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(cx, raw))?;
        let mut taken = 0;
        for slice in slices {
            let count = self.tls.writer().write(slice)?;
            taken += count;
            if count < slice.len() {
                break;
            }
        }
        match self.poll_flush(cx, raw) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(taken)),
        }
    }

    /// Sends what was taken.
    fn poll_flush(&mut self, cx: &mut Context<'_>, raw: &mut impl Raw) -> Poll<io::Result<()>> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Writer { cx: &mut *cx, raw: &mut *raw }) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The socket as rustls writes to it.
struct Writer<'a, 'b, R> {
    cx: &'a mut Context<'b>,
    raw: &'a mut R,
}

impl<R: Raw> io::Write for Writer<'_, '_, R> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.raw.poll_write(self.cx, slices) {
            Poll::Ready(written) => written,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
