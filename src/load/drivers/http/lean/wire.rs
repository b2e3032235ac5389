//! The socket of a lean connection, and who watches it: the task that owns the connection, or a loop that watches many.
//!
//! Both are asked in the same way. A socket that is watched by a loop is ready as far as the last events said; it is
//! watched for edges, so an event comes again only after more has arrived.

use std::io::{self, IoSlice, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::drivers::Readiness;

/// A connected socket.
pub(super) enum Wire {
    /// A task waits for it, and for its time-out.
    Task(Waited),
    /// A loop says what happened to it.
    Own(Told),
    /// Nobody has it any more.
    Gone,
}

/// A socket for which a task waits.
pub(super) struct Waited {
    pub stream: TcpStream,
    clock: Pin<Box<Sleep>>,
    armed_until: Instant,
    registered: bool,
}

/// A socket of which a loop is told.
pub(super) struct Told {
    stream: std::net::TcpStream,
    readiness: Readiness,
    /// How often it may be read before others have their turn.
    reads: u32,
}

/// How often a socket is read in a row.
const READS: u32 = 16;

impl Wire {
    /// A socket for which a task will wait, mostly no longer than `timeout`.
    pub fn new(stream: TcpStream, timeout: Duration) -> Self {
        let armed_until = Instant::now() + timeout;
        let clock = Box::pin(tokio::time::sleep_until(armed_until));
        Self::Task(Waited { stream, clock, armed_until, registered: false })
    }

    /// Hands it to a loop. Returns whether that is so now.
    pub fn detach(&mut self) -> bool {
        *self = match std::mem::replace(self, Self::Gone) {
            Self::Task(waited) => match waited.stream.into_std() {
                // Nothing is known of it: it may have become readable meanwhile.
                Ok(stream) => {
                    let readiness = Readiness { readable: true, writable: true, ..Readiness::default() };
                    Self::Own(Told { stream, readiness, reads: READS })
                }
                Err(_) => Self::Gone,
            },
            other => other,
        };
        matches!(self, Self::Own(_))
    }

    /// The socket, if a loop watches it.
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Own(told) => Some(told.stream.as_fd()),
            Self::Task(_) | Self::Gone => None,
        }
    }

    /// What the loop that watches it saw.
    #[inline(always)]
    pub fn happened(&mut self, what: Readiness) {
        if let Self::Own(told) = self {
            told.readiness.add(what);
            told.reads = READS;
        }
    }

    /// Whether there may be more to read, and others were to have their turn before that.
    pub fn has_more(&self) -> bool {
        matches!(self, Self::Own(told) if told.reads == 0 && (told.readiness.readable || told.readiness.ended))
    }

    /// Whether nothing has arrived that nobody asked for. Costs no system call while the server has sent nothing.
    #[inline(always)]
    pub fn is_silent(&mut self) -> bool {
        let mut probe = [0; 1];
        let read = match self {
            Self::Task(waited) => waited.stream.try_read(&mut probe),
            Self::Own(told) => {
                told.allow_read();
                return told.read(&mut probe).is_pending();
            }
            Self::Gone => return false,
        };
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Lets it be read once more before others have their turn.
    pub fn allow_read(&mut self) {
        if let Self::Own(told) = self {
            told.allow_read();
        }
    }

    /// Writes as much as is accepted at once.
    #[inline(always)]
    pub fn try_write(&mut self, head: &[u8], body: Option<&[u8]>) -> io::Result<usize> {
        match (self, body) {
            (Self::Task(waited), None) => waited.stream.try_write(head),
            (Self::Task(waited), Some(body)) => waited.stream.try_write_vectored(&[IoSlice::new(head), IoSlice::new(body)]),
            (Self::Own(told), None) => told.attempt(|stream| Ok(rustix::net::send(stream, head, SendFlags::NOSIGNAL)?)),
            (Self::Own(told), Some(body)) => {
                told.attempt(|mut stream| stream.write_vectored(&[IoSlice::new(head), IoSlice::new(body)]))
            }
            (Self::Gone, _) => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Writes, or waits until something can be written.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self {
            Self::Task(waited) => Pin::new(&mut waited.stream).poll_write_vectored(cx, slices),
            Self::Own(told) if !told.readiness.writable => Poll::Pending,
            Self::Own(told) => match told.attempt(|mut stream| stream.write_vectored(slices)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
                written => Poll::Ready(written),
            },
            Self::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Reads once, or waits until there is something. Returns the number of bytes; 0 is the end.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Task(waited) => {
                let mut buffer = ReadBuf::new(into);
                // A read that does not fill the buffer also tells tokio that the socket is empty: there is no second `read` in vain.
                ready!(Pin::new(&mut waited.stream).poll_read(cx, &mut buffer))?;
                Poll::Ready(Ok(buffer.filled().len()))
            }
            Self::Own(told) => told.read(into),
            Self::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Whether the time until `deadline` is over, or waits for that.
    pub fn timed_out(&mut self, cx: &mut Context<'_>, deadline: Instant) -> bool {
        match self {
            Self::Task(waited) => waited.timed_out(cx, deadline),
            // Whoever watches it looks for time-outs now and then, and says so.
            Self::Own(told) => told.readiness.late,
            Self::Gone => true,
        }
    }
}

impl Told {
    #[inline(always)]
    fn allow_read(&mut self) {
        self.reads = self.reads.max(1);
    }

    fn read(&mut self, into: &mut [u8]) -> Poll<io::Result<usize>> {
        if !self.readiness.readable && !self.readiness.ended {
            return Poll::Pending;
        }
        if self.reads == 0 {
            return Poll::Pending;
        }
        self.reads -= 1;
        loop {
            // Not by the C library, whose calls can be cancelled, at a price.
            match rustix::net::recv(&self.stream, &mut *into, RecvFlags::empty()) {
                Ok((count, _)) => {
                    // A read that does not fill the buffer has emptied the socket.
                    self.readiness.readable = count == into.len();
                    return Poll::Ready(Ok(count));
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    (self.readiness.readable, self.readiness.ended) = (false, false);
                    return Poll::Pending;
                }
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    fn attempt(&mut self, write: impl Fn(&std::net::TcpStream) -> io::Result<usize>) -> io::Result<usize> {
        loop {
            match write(&self.stream) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readiness.writable = false;
                    return Err(error);
                }
                written => return written,
            }
        }
    }
}

impl Waited {
    /// One timer per connection, set again only when it fires: a request costs no timer operation.
    fn timed_out(&mut self, cx: &mut Context<'_>, deadline: Instant) -> bool {
        // A task that has used up its turn is polled again at once; the timer would not even answer it now.
        if !tokio::task::coop::has_budget_remaining() {
            return Instant::now() >= deadline;
        }
        if deadline < self.armed_until {
            self.arm(deadline);
        }
        while !self.registered || self.clock.is_elapsed() {
            if self.clock.as_mut().poll(cx).is_pending() {
                // The waker is always that of the one task that owns this connection.
                self.registered = true;
                return false;
            }
            if Instant::now() >= deadline {
                return true;
            }
            self.arm(deadline);
        }
        false
    }

    fn arm(&mut self, deadline: Instant) {
        self.armed_until = deadline;
        self.clock.as_mut().reset(deadline);
        self.registered = false;
    }
}
