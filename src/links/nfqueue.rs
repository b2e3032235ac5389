//! One packet queue of the kernel, over netlink: it receives numbers of packets and sends verdicts.
//!
//! Written here rather than taken from the crate `nfq`, which offers no file descriptor to wait on (so no timeout and no
//! larger buffer) and no verdict for many packets at once, and which keeps 4 KiB for each packet that is held. Protocol:
//! linux/netfilter/nfnetlink_queue.h.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};

const SUBSYSTEM: u16 = 3 << 8;
const PACKET: u16 = SUBSYSTEM;
const CONFIG: u16 = SUBSYSTEM | 2;
const VERDICT_BATCH: u16 = SUBSYSTEM | 3;
const ERROR: u16 = 2;
const REQUEST: u16 = 1;
const ACK: u16 = 4;

/// `CONFIG`: bind, copy mode, queue length, flags and their mask.
const CFG_CMD: u16 = 1;
const CFG_PARAMS: u16 = 2;
const CFG_MAXLEN: u16 = 3;
const CFG_MASK: u16 = 4;
const CFG_FLAGS: u16 = 5;
const FLAG_GSO: u32 = 4;
/// Attribute 1 of a packet (its number) and 2 of a verdict.
const PACKET_HDR: u16 = 1;
const VERDICT_HDR: u16 = 2;

/// nlmsghdr and nfgenmsg.
const HEADER: usize = 16 + 4;

/// How many packets are held at most; the kernel drops any beyond that.
const MAX_LENGTH: u32 = 1 << 20;
/// For announcements of packets that were not read yet.
const RECEIVE_BUFFER: usize = 64 << 20;

/// An open queue, not blocking.
#[derive(Debug)]
pub struct Queue {
    socket: OwnedFd,
    number: u16,
    buffer: Vec<u8>,
}

impl Queue {
    /// Opens queue `number` of the calling thread's network namespace.
    ///
    /// `whole`: large segments stay one packet; otherwise the kernel splits them first.
    pub fn open(number: u16, whole: bool) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(netlink::NETFILTER))?;
        rustix::net::bind(&socket, &netlink::SocketAddrNetlink::new(0, 0))?;
        // Without the privilege the buffer is as large as allowed.
        if rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER).is_err() {
            let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER);
        }
        let on: libc::c_int = 1;
        // SAFETY: the pointer is to an int that lives, and the size is its size.
        unsafe {
            // A full buffer must not show up as an error of the next read: the packet is simply dropped.
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_NETLINK,
                libc::NETLINK_NO_ENOBUFS,
                (&raw const on).cast(),
                size_of::<libc::c_int>() as _,
            );
        }
        let mut queue = Self { socket, number, buffer: vec![0; 8192] };
        queue.configure(&[(CFG_CMD, &[1, 0, 0, 0])])?;
        // Only numbers, no bytes of the packet.
        queue.configure(&[(CFG_PARAMS, &[0, 0, 0, 0, 1])])?;
        queue.configure(&[(CFG_MAXLEN, &MAX_LENGTH.to_be_bytes())])?;
        let gso = if whole { FLAG_GSO } else { 0 };
        queue.configure(&[(CFG_FLAGS, &gso.to_be_bytes()), (CFG_MASK, &FLAG_GSO.to_be_bytes())])?;
        Ok(queue)
    }

    fn configure(&mut self, attributes: &[(u16, &[u8])]) -> io::Result<()> {
        let message = message(CONFIG, REQUEST | ACK, self.number, attributes);
        rustix::net::send(&self.socket, &message, SendFlags::empty())?;
        loop {
            let (read, _) = rustix::net::recv(&self.socket, self.buffer.as_mut_slice(), RecvFlags::empty())?;
            if let Some(error) = messages(&self.buffer[..read]).find_map(|(kind, body)| (kind == ERROR).then(|| i32_at(body, 0)))
            {
                return if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-error)) };
            }
        }
    }

    /// Takes the numbers of waiting packets, by one system call; `false` when there were none.
    pub fn receive(&mut self, mut packet: impl FnMut(u32)) -> io::Result<bool> {
        let read = match rustix::net::recv(&self.socket, self.buffer.as_mut_slice(), RecvFlags::DONTWAIT) {
            Ok((read, _)) => read,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR | rustix::io::Errno::NOBUFS) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        for (kind, body) in messages(&self.buffer[..read]) {
            if kind == PACKET
                && let Some(number) = packet_number(body)
            {
                packet(number);
            }
        }
        Ok(true)
    }

    /// Lets all packets up to `number` pass, or drops them.
    pub fn verdict(&self, number: u32, drop: bool) -> io::Result<()> {
        let mut header = [0; 8];
        header[..4].copy_from_slice(&u32::from(!drop).to_be_bytes());
        header[4..].copy_from_slice(&number.to_be_bytes());
        let message = message(VERDICT_BATCH, REQUEST, self.number, &[(VERDICT_HDR, &header)]);
        rustix::net::send(&self.socket, &message, SendFlags::empty())?;
        Ok(())
    }
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn message(kind: u16, flags: u16, queue: u16, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut message = vec![0; HEADER];
    message[4..6].copy_from_slice(&kind.to_ne_bytes());
    message[6..8].copy_from_slice(&flags.to_ne_bytes());
    message[18..20].copy_from_slice(&queue.to_be_bytes());
    for (kind, value) in attributes {
        message.extend((value.len() as u16 + 4).to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend_from_slice(value);
        message.resize(message.len().next_multiple_of(4), 0);
    }
    let length = message.len() as u32;
    message[..4].copy_from_slice(&length.to_ne_bytes());
    message
}

/// Kind and body (after nlmsghdr) of each message in a buffer.
fn messages(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = i32_at(rest.get(..16)?, 0) as usize;
        let body = rest.get(16..length)?;
        let kind = u16::from_ne_bytes([rest[4], rest[5]]);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, body))
    })
}

/// The number of a packet, from the body of its announcement.
fn packet_number(body: &[u8]) -> Option<u32> {
    let mut rest = body.get(4..)?;
    loop {
        let head = rest.get(..4)?;
        let length = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let kind = u16::from_ne_bytes([head[2], head[3]]);
        if kind == PACKET_HDR {
            return Some(u32::from_be_bytes(rest.get(4..8)?.try_into().ok()?));
        }
        rest = rest.get(length.max(4).next_multiple_of(4)..)?;
    }
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    bytes.get(at..at + 4).map_or(0, |b| i32::from_ne_bytes(b.try_into().expect("four bytes")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let packet = message(PACKET, 0, 7, &[(9, &[1, 2, 3, 4]), (PACKET_HDR, &[0, 0, 1, 2, 8, 0, 2])]);
        let both = [packet.clone(), packet].concat();
        let numbers: Vec<_> = messages(&both).map(|(kind, body)| (kind, packet_number(body))).collect();
        assert_eq!(numbers, [(PACKET, Some(258)), (PACKET, Some(258))]);
        assert_eq!(messages(&both[..50]).count(), 1, "a message that is cut off is left out");
        assert_eq!(packet_number(&[0, 0, 0, 0, 0, 0, 9, 0]), None);
    }
}
