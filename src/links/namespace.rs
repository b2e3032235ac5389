//! Network namespaces with a name: made, entered, and removed by plain system calls, so that a guard can remove them.
//!
//! They are mounted where `ip netns` mounts its own, so `ip` and `tc` find them by name. Not covered: processes. A namespace
//! without a name exists as long as a process is in it, and its interfaces with it.

use std::io;
use std::path::Path;

use rustix::mount::{UnmountFlags, mount_bind, unmount};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use super::Error;
use super::names::{DIRECTORY, path};

/// Makes a namespace with its loopback up; an existing one is left as it is, since several links may lead into one.
pub(super) fn create(name: &str) -> Result<(), Error> {
    let path = path(name);
    let failed = |what| {
        let path = path.clone();
        move |source| Error::Namespace { what, path, source }
    };
    std::fs::create_dir_all(DIRECTORY).map_err(failed("make the directory of"))?;
    match std::fs::File::options().write(true).create_new(true).open(&path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        result => result.map_err(failed("make the file of"))?,
    };
    let made = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // SAFETY: only this thread leaves its network namespace, and it ends with this closure; no file is affected.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }?;
            loopback_up()?;
            mount_bind("/proc/thread-self/ns/net", &path)
        });
        thread.join().expect("the thread does not panic")
    });
    made.map_err(|error| {
        let _ = std::fs::remove_file(&path);
        failed("make")(error.into())
    })
}

fn loopback_up() -> rustix::io::Result<()> {
    let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None)?;
    // SAFETY: zeros are a valid `ifreq`, and the call reads only its name and its flags.
    let result = unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
        libc::ioctl(std::os::fd::AsRawFd::as_raw_fd(&socket), libc::SIOCSIFFLAGS as _, &raw const request)
    };
    if result == 0 {
        Ok(())
    } else {
        Err(rustix::io::Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(rustix::io::Errno::IO))
    }
}

/// Moves the calling thread into the namespace whose file is `path`.
///
/// # Errors
/// What the system says: no such file, no permission.
pub fn enter(path: &Path) -> io::Result<()> {
    let file = rustix::fs::open(path, rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC, rustix::fs::Mode::empty())?;
    Ok(move_into_link_name_space(std::os::fd::AsFd::as_fd(&file), Some(LinkNameSpaceType::Network))?)
}

/// Runs a function inside a namespace, in a separate thread: what the function opens there stays there, wherever it is used.
/// With `None` the function runs in this thread.
///
/// # Errors
/// [`Error::Namespace`] when the namespace cannot be entered.
pub fn inside<T: Send>(namespace: Option<&str>, action: impl FnOnce() -> T + Send) -> Result<T, Error> {
    let Some(name) = namespace else { return Ok(action()) };
    let path = path(name);
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| match enter(&path) {
            Ok(()) => Ok(action()),
            Err(source) => Err(source),
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
    .map_err(|source| Error::Namespace { what: "enter", path: path.clone(), source })
}

/// Removes a namespace by its name; nothing happens when it does not exist. Once its last process has ended, its interfaces
/// are removed, too, a moment later (by the kernel itself). Uses only system calls.
///
/// # Errors
/// [`Error::Namespace`] when its file still exists afterwards.
pub fn undo(namespace: &str) -> Result<(), Error> {
    let path = path(namespace);
    // What was mounted twice is removed twice; a mere file (its creator died half-way) is not a mount point.
    while unmount(&path, UnmountFlags::DETACH).is_ok() {}
    match std::fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::Namespace { what: "remove", path, source }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_undone_already() {
        undo("runner-0-0").unwrap();
    }
}
