//! Whether a TCP port is free, and which process holds it if not.
//!
//! Not covered: UDP, and sockets of other network namespaces.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fmt, fs, io,
    net::{SocketAddr, TcpListener},
    os::unix::ffi::OsStrExt,
    path::PathBuf,
};

use super::{
    Error,
    procfs::net::{self, State},
    tree,
};

/// The process that holds a port. What could not be found out is `None`: only root can see the files of another user's
/// process, and a socket may belong to the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The lowest pid that has the socket open.
    pub pid: Option<u32>,
    /// The process's name, at most 15 bytes.
    pub name: Option<String>,
    /// The command line, its arguments joined by spaces.
    pub command_line: Option<String>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = self.command_line.as_ref().or(self.name.as_ref());
        match (self.pid, what) {
            (Some(pid), Some(what)) => write!(f, "pid {pid} ({what})"),
            (Some(pid), None) => write!(f, "pid {pid}"),
            (None, _) => f.write_str("a process that cannot be seen from here"),
        }
    }
}

/// The process that holds local TCP port `port` of any address; `None` when no socket has it.
///
/// A listener is preferred, but an outgoing connection holds its port, too: the kernel picks such ports from 32768 up,
/// unless configured otherwise. Looks at every open file of every process: suitable for messages, not for loops.
pub fn holder(port: u16) -> Option<Holder> {
    let sockets: Vec<net::Socket> = ["/proc/self/net/tcp", "/proc/self/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read(path).ok())
        .flat_map(|text| net::sockets(&text).collect::<Vec<_>>())
        .filter(|socket| socket.local_port == port && socket.state != State::TimeWait)
        .collect();
    let socket = sockets.iter().find(|socket| socket.state == State::Listening).or(sockets.first())?;
    let pid = process_with_socket(socket.inode);
    Some(Holder { pid, name: pid.and_then(name), command_line: pid.and_then(command_line) })
}

/// The TCP ports on which a process or one of its descendants listens, ascending. Suitable for messages, not for loops.
pub fn listened_by(root: u32) -> Vec<u16> {
    let pids: Vec<u32> = [root].into_iter().chain(tree::descendants(root)).collect();
    let links = |pid: &u32| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        files.filter_map(|file| fs::read_link(file.path()).ok()).map(PathBuf::into_os_string).collect::<Vec<_>>()
    };
    let open: BTreeSet<OsString> = pids.iter().flat_map(links).collect();
    // Its network may be another one than ours.
    let listening = ["tcp", "tcp6"].iter().filter_map(|family| fs::read(format!("/proc/{root}/net/{family}")).ok());
    let listening = listening.flat_map(|text| net::sockets(&text).collect::<Vec<_>>());
    let own = |socket: &net::Socket| open.contains(&OsString::from(format!("socket:[{}]", socket.inode)));
    let mut ports: Vec<u16> =
        listening.filter(|socket| socket.state == State::Listening && own(socket)).map(|socket| socket.local_port).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// The process that holds the abstract Unix socket `name`, if it can be seen. Suitable for messages, not for loops.
pub fn holder_of_name(name: &str) -> Option<u32> {
    let text = fs::read_to_string("/proc/self/net/unix").ok()?;
    // `Num RefCount Protocol Flags Type St Inode Path`, where an abstract name starts with `@`.
    let is_it = |line: &&str| line.rsplit_once(" @").is_some_and(|(_, path)| path == name);
    let inode = text.lines().find(is_it)?.split_whitespace().nth(6)?;
    process_with_socket(inode.parse().ok()?)
}

/// Whether a server could listen on `address` now. The only reliable way is to try: the port is really bound, and released
/// at once.
///
/// The listener sets `SO_REUSEADDR`, as servers do, so connections in `TIME_WAIT` do not count as holding the port. Port 0
/// is free.
///
/// # Errors
/// [`Error::Bind`] when binding fails for another reason: an address that is not this host's, or a port below 1024 without
/// the privilege.
pub fn is_free(address: SocketAddr) -> Result<bool, Error> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(false),
        Err(source) => Err(Error::Bind { address, source }),
    }
}

fn process_with_socket(inode: u64) -> Option<u32> {
    if inode == 0 {
        return None;
    }
    let wanted = OsString::from(format!("socket:[{inode}]"));
    let mut pids = tree::all_processes();
    pids.sort_unstable();
    pids.into_iter().find(|pid| {
        // Not readable: the process belongs to another user, or has ended meanwhile.
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else {
            return false;
        };
        files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|link| link.as_os_str() == wanted))
    })
}

fn name(pid: u32) -> Option<String> {
    let text = fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(text.trim_ascii_end()).into_owned())
}

fn command_line(pid: u32) -> Option<String> {
    let text = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    joined(&text)
}

/// Each argument ends with a zero byte; no arguments at all (kernel thread, zombie) is `None`.
fn joined(arguments: &[u8]) -> Option<String> {
    let arguments = arguments.strip_suffix(b"\0").unwrap_or(arguments);
    if arguments.is_empty() {
        return None;
    }
    let words: Vec<_> =
        arguments.split(|byte| *byte == 0).map(|word| std::ffi::OsStr::from_bytes(word).to_string_lossy()).collect();
    Some(words.join(" "))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, TcpStream};

    use super::*;

    #[test]
    fn a_holder_reads_like_a_sentence_part() {
        let mut holder =
            Holder { pid: Some(1234), name: Some("python3".into()), command_line: Some("python3 -m http.server 8001".into()) };
        assert_eq!(holder.to_string(), "pid 1234 (python3 -m http.server 8001)");
        holder.command_line = None;
        assert_eq!(holder.to_string(), "pid 1234 (python3)");
        holder.pid = None;
        assert_eq!(holder.to_string(), "a process that cannot be seen from here");
    }

    #[test]
    fn arguments_are_joined() {
        assert_eq!(joined(b"a\0b c\0"), Some("a b c".into()));
        assert_eq!(joined(b"a\0\0"), Some("a ".into()), "an empty argument");
        assert_eq!(joined(b""), None);
    }

    #[test]
    fn a_listener_holds_its_port_until_it_is_dropped() {
        for localhost in [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), SocketAddr::from((Ipv6Addr::LOCALHOST, 0))] {
            // Some containers have no IPv6.
            let Ok(listener) = TcpListener::bind(localhost) else {
                continue;
            };
            let address = listener.local_addr().expect("a bound socket has an address");
            assert!(!is_free(address).expect("binding is possible"));
            let holder = holder(address.port()).expect("this process listens");
            assert_eq!(holder.pid, Some(std::process::id()));
            assert!(listened_by(std::process::id()).contains(&address.port()));
            assert!(holder.name.is_some() && holder.command_line.is_some());
            drop(listener);
            assert!(is_free(address).expect("binding is possible"));
        }
    }

    #[test]
    fn an_outgoing_connection_holds_a_port_too() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let stream = TcpStream::connect(listener.local_addr().expect("bound")).expect("listening");
        let port = stream.local_addr().expect("connected").port();
        assert_eq!(holder(port).and_then(|holder| holder.pid), Some(std::process::id()));
    }

    #[test]
    fn an_address_of_another_host_is_an_error() {
        let foreign: SocketAddr = "192.0.2.1:80".parse().expect("an address");
        assert!(matches!(is_free(foreign), Err(Error::Bind { .. })));
    }
}
