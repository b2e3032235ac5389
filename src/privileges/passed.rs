//! A listening socket that the parent has passed to this process: socket activation, as `systemd` does it (`sd_listen_fds(3)`).

use std::net::TcpListener;
use std::os::fd::{BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::sockopt::{socket_acceptconn, socket_domain, socket_type};
use rustix::net::{AddressFamily, SocketType};

/// The first file descriptor that is passed.
const PASSED: RawFd = 3;
/// Whether it was taken.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The listening socket that was passed to this process, if any; it can be taken once.
///
/// # Errors
/// When the passed file descriptor is something else.
pub fn listener() -> Result<Option<TcpListener>, String> {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<u32>().ok());
    if number("LISTEN_PID") != Some(std::process::id()) || number("LISTEN_FDS").is_none_or(|count| count < 1) {
        return Ok(None);
    }
    // Once it was taken, its number may mean something else.
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(None);
    }
    // SAFETY: it is used only while this function runs, and nothing in here closes it; if it is not open, the kernel says so.
    let socket = unsafe { BorrowedFd::borrow_raw(PASSED) };
    let is_listening = socket_acceptconn(socket).and_then(|listens| {
        let is_tcp = socket_type(socket)? == SocketType::STREAM
            && [AddressFamily::INET, AddressFamily::INET6].contains(&socket_domain(socket)?);
        Ok(listens && is_tcp)
    });
    match is_listening {
        Ok(true) => {}
        Ok(false) => return Err("LISTEN_FDS: expected a listening TCP socket as file descriptor 3".to_owned()),
        Err(error) => return Err(format!("LISTEN_FDS: file descriptor 3 is not a socket: {error}")),
    }
    let failed = |error: std::io::Error| format!("LISTEN_FDS: cannot use file descriptor 3: {error}");
    fcntl_setfd(socket, FdFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
    // SAFETY: the program that set LISTEN_PID to this process passed this file descriptor, and only this place takes it.
    let listener = TcpListener::from(unsafe { OwnedFd::from_raw_fd(PASSED) });
    Ok(Some(listener))
}
