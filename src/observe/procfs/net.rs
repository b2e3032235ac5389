//! `/proc/net/tcp` and `/proc/net/tcp6`, which differ only in the length of an address.

use super::{number, whole_lines, words};

/// The state of a TCP socket, as far as it matters for finding out which process holds a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It accepts connections.
    Listening,
    /// Closed, its port reserved for a minute; it no longer belongs to any process.
    TimeWait,
    /// A connection in any other state.
    Other,
}

/// One TCP socket of this network namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Socket {
    /// The port on this side.
    pub local_port: u16,
    /// Its state.
    pub state: State,
    /// The number in `socket:[…]` in `/proc/PID/fd`; 0 when no process has the socket.
    pub inode: u64,
}

/// Reads the sockets of `/proc/net/tcp` or `tcp6`; the heading and lines that cannot be parsed are skipped.
pub fn sockets(text: &[u8]) -> impl Iterator<Item = Socket> {
    whole_lines(text).filter_map(socket)
}

fn socket(line: &[u8]) -> Option<Socket> {
    let mut words = words(line);
    let local = words.nth(1)?;
    let colon = local.iter().rposition(|byte| *byte == b':')?;
    let local_port = u16::from_str_radix(str::from_utf8(&local[colon + 1..]).ok()?, 16).ok()?;
    let state = match words.nth(1)? {
        b"0A" => State::Listening,
        b"06" => State::TimeWait,
        code if code.len() == 2 => State::Other,
        _ => return None,
    };
    // After the state: queues, timer, retransmissions, user, timeout.
    let inode = number(words.nth(5)?)?;
    Some(Socket { local_port, state, inode })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &[u8] = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
        0: 00000000:07E8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1596 1 000000009ba7752e 100 0 0 10 0\n   \
        1: 0100007F:1F41 0100007F:C350 06 00000000:00000000 03:00000AD5 00000000     0        0 0 3 0000000000000000\n";
    const TCP6: &[u8] = b"  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
        0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 77 1 0000000000000000 100 0 0 10 0\n";

    #[test]
    fn listeners_and_others_of_both_families() {
        assert_eq!(
            sockets(TCP).collect::<Vec<_>>(),
            [
                Socket { local_port: 2024, state: State::Listening, inode: 1596 },
                Socket { local_port: 8001, state: State::TimeWait, inode: 0 },
            ]
        );
        assert_eq!(sockets(TCP6).collect::<Vec<_>>(), [Socket { local_port: 8080, state: State::Listening, inode: 77 }]);
    }

    #[test]
    fn cut_text_loses_whole_sockets_only() {
        let whole: Vec<Socket> = sockets(TCP).collect();
        for end in 0..TCP.len() {
            let cut: Vec<Socket> = sockets(&TCP[..end]).collect();
            assert!(whole.starts_with(&cut), "cut after {end} bytes");
            let _ = sockets(&TCP[end..]).count();
        }
    }
}
