//! What a lean connection is spoken over: its socket, with TLS or without.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tls::Session;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::wire::Wire;
use crate::drivers::Readiness;

/// A connected socket, and the session on it.
pub struct Line {
    wire: Wire,
    session: Option<Box<Session>>,
}

impl tls::Raw for Wire {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        Self::poll_read(self, cx, into)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Self::poll_write(self, cx, slices)
    }
}

impl Line {
    /// A socket for which a task will wait, mostly no longer than `timeout`.
    pub fn new(stream: TcpStream, session: Option<Session>, timeout: Duration) -> Self {
        Self { wire: Wire::new(stream, timeout), session: session.map(Box::new) }
    }

    /// Hands the socket to a loop. Returns whether that is so now.
    pub fn detach(&mut self) -> bool {
        self.wire.detach()
    }

    /// Whether a loop watches it.
    pub fn is_detached(&self) -> bool {
        matches!(self.wire, Wire::Own(_))
    }

    /// The socket, if a loop watches it.
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.wire.socket()
    }

    /// The socket, if a task waits for it, and nothing is spoken on it but what is written.
    pub fn stream(&mut self) -> Option<&mut TcpStream> {
        match &mut self.wire {
            Wire::Task(waited) if self.session.is_none() => Some(&mut waited.stream),
            _ => None,
        }
    }

    /// Whether it uses TLS.
    pub fn is_secret(&self) -> bool {
        self.session.is_some()
    }

    /// What the loop that watches it saw.
    #[inline(always)]
    pub fn happened(&mut self, what: Readiness) {
        self.wire.happened(what);
    }

    /// Whether there may be more to read, and others were to have their turn before that.
    pub fn has_more(&self) -> bool {
        self.wire.has_more()
    }

    /// Whether nothing has arrived that nobody asked for. Costs no system call while the server has sent nothing.
    #[inline(always)]
    pub fn is_silent(&mut self) -> bool {
        match &mut self.session {
            None => self.wire.is_silent(),
            Some(session) => {
                self.wire.allow_read();
                session.is_silent(&mut self.wire)
            }
        }
    }

    /// Writes as much as is accepted at once.
    #[inline(always)]
    pub fn try_write(&mut self, head: &[u8], body: Option<&[u8]>) -> io::Result<usize> {
        let Some(session) = &mut self.session else { return self.wire.try_write(head, body) };
        let slices = [IoSlice::new(head), IoSlice::new(body.unwrap_or_default())];
        match session.poll_write(&mut Context::from_waker(Waker::noop()), &mut self.wire, &slices) {
            Poll::Ready(written) => written,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Writes, or waits until something can be written.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match &mut self.session {
            None => self.wire.poll_write(cx, slices),
            Some(session) => session.poll_write(cx, &mut self.wire, slices),
        }
    }

    /// Reads once, or waits until there is something. Returns the number of bytes; 0 is the end.
    #[inline(always)]
    pub fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        match &mut self.session {
            None => self.wire.poll_read(cx, into),
            Some(session) => session.poll_read(cx, &mut self.wire, into),
        }
    }

    /// Whether the time until `deadline` is over, or waits for that.
    pub fn timed_out(&mut self, cx: &mut Context<'_>, deadline: Instant) -> bool {
        self.wire.timed_out(cx, deadline)
    }
}
