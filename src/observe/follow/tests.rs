//! Sources that are followed by the thread.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use super::*;

/// Nothing here takes this long unless it is broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// The lines that arrive until there are this many, with their sources.
fn take(pieces: &Pieces, count: usize) -> Vec<(u32, String)> {
    let (mut found, deadline) = (Vec::new(), Instant::now() + PATIENCE);
    while found.len() < count {
        let left = deadline.saturating_duration_since(Instant::now());
        let piece = pieces.recv_timeout(left).unwrap_or_else(|e| panic!("{e} after {found:?}"));
        let text = String::from_utf8_lossy(&piece.lines).into_owned();
        found.extend(text.lines().map(|line| (piece.source, line.to_owned())));
    }
    found
}

fn append(path: &Path, text: &str) {
    std::fs::File::options().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

#[test]
fn files_and_streams_are_read_as_they_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let [old, new, none] = ["old", "new", "none"].map(|name| folder.path().join(name));
    append(&old, "before\n");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let mut server = listener.accept().unwrap().0;
    client.set_nonblocking(true).unwrap();
    let (follower, pieces) = Follower::start().unwrap();
    for (number, path) in [(1, &old), (2, &new), (3, &none)] {
        follower.follow(number, Origin::File { path: path.clone(), skip_first: true });
    }
    follower.follow(4, Origin::Stream { stream: client.into(), again: None });
    // By now the existing file has been looked at: commands are handled in order, and each source is looked at first.
    server.write_all(b"one\r\ntw").unwrap();
    assert_eq!(take(&pieces, 1), [(4, "one".to_owned())]);
    append(&old, "a line\n");
    assert_eq!(take(&pieces, 1), [(1, "a line".to_owned())]);
    append(&new, "appeared\n");
    assert_eq!(take(&pieces, 1), [(2, "appeared".to_owned())]);
    std::fs::rename(&new, folder.path().join("new.1")).unwrap();
    append(&new, "after the rotation\n");
    assert_eq!(take(&pieces, 1), [(2, "after the rotation".to_owned())]);
    let before = Instant::now();
    server.write_all(b"o\nno end").unwrap();
    assert_eq!(take(&pieces, 1), [(4, "two".to_owned())]);
    drop(server);
    assert_eq!(take(&pieces, 1), [(4, "no end".to_owned())]);
    append(&old, "and the last one has no line feed");
    let reports = follower.stop();
    assert_eq!(take(&pieces, 1), [(1, "and the last one has no line feed".to_owned())]);
    assert!(pieces.try_recv().is_err());
    let appeared: Vec<bool> = reports.values().map(|r| r.appeared).collect();
    assert_eq!(appeared, [true, true, false, true]);
    let (at, words) = reports[&4].ended.clone().unwrap();
    assert!(at > before && words == "the other side has closed the connection", "{words}");
    assert_eq!(reports.values().filter(|r| r.ended.is_some()).count(), 1);
}

#[test]
fn when_a_line_was_read_is_soon_after_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    append(&path, "");
    let (follower, pieces) = Follower::start().unwrap();
    follower.follow(0, Origin::File { path: path.clone(), skip_first: false });
    append(&path, "first\n");
    take(&pieces, 1);
    // The kernel reports a write; looking from time to time would take half of `SEARCH` on average.
    let mut delays: Vec<Duration> = (0..21)
        .map(|_| {
            let written = Instant::now();
            append(&path, "line\n");
            pieces.recv_timeout(PATIENCE).unwrap().at - written
        })
        .collect();
    delays.sort_unstable();
    assert!(delays[10] < SEARCH / 5, "{delays:?}");
}

#[test]
fn a_file_that_appears_is_read_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let (follower, pieces) = Follower::start().unwrap();
    follower.follow(0, Origin::File { path: path.clone(), skip_first: false });
    let mut delays: Vec<Duration> = (0..21)
        .map(|number| {
            let written = Instant::now();
            append(&path, "line\n");
            let delay = pieces.recv_timeout(PATIENCE).unwrap().at - written;
            std::fs::rename(&path, folder.path().join(format!("log.{number}"))).unwrap();
            delay
        })
        .collect();
    delays.sort_unstable();
    assert!(delays[10] < SEARCH / 5, "{delays:?}");
}

#[test]
fn what_finds_no_room_is_counted_and_memory_stays_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flood");
    // A million lines that nothing receives, more than there is room for, and a line without an end.
    let line = "a line of a log that is long enough\n";
    let mut file = std::fs::File::create(&path).unwrap();
    for _ in 0..1000 {
        file.write_all(line.repeat(1000).as_bytes()).unwrap();
    }
    file.write_all(&vec![b'x'; 8 << 20]).unwrap();
    let (follower, pieces) = Follower::start().unwrap();
    follower.follow(7, Origin::File { path, skip_first: false });
    let report = follower.stop().remove(&7).unwrap();
    let (mut lines, mut bytes) = (0, 0);
    while let Ok(piece) = pieces.try_recv() {
        lines += piece.lines.iter().filter(|b| **b == b'\n').count() as u64;
        bytes += piece.lines.len();
    }
    assert!(bytes <= ROOM && bytes > ROOM / 2, "{bytes}");
    // The last line is cut, and passed on once.
    assert_eq!((lines + report.lost_lines, report.cut_lines), (1_000_001, 1), "{report:?}");
}

#[test]
fn a_stream_that_ends_is_opened_once_more_as_often_as_it_takes() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let dial = move || {
        let stream = TcpStream::connect(address).map_err(|e| e.to_string())?;
        stream.set_nonblocking(true).map_err(|e| e.to_string())?;
        Ok(stream.into())
    };
    let (follower, pieces) = Follower::start().unwrap();
    follower.follow(7, Origin::Stream { stream: dial().unwrap(), again: Some(Redial(Box::new(dial))) });
    for round in 0..3 {
        let mut server = listener.accept().unwrap().0;
        server.write_all(format!("{round}\nbegun").as_bytes()).unwrap();
        drop(server);
        // A line that was started on one connection is not continued on the next one.
        assert_eq!(take(&pieces, 2), [(7, round.to_string()), (7, "begun".to_owned())]);
    }
    // What is read shows that the stream was opened again, and that the thread has noticed.
    let mut server = listener.accept().unwrap().0;
    server.write_all(b"last\n").unwrap();
    assert_eq!(take(&pieces, 1), [(7, "last".to_owned())]);
    let report = follower.stop()[&7].clone();
    assert_eq!((report.interruptions, report.ended), (3, None));
    assert!(report.away >= 3 * Duration::from_millis(50) && report.away < PATIENCE, "{:?}", report.away);

    // A source that does not come back has ended.
    let (follower, pieces) = Follower::start().unwrap();
    follower.follow(8, Origin::Stream { stream: dial().unwrap(), again: Some(Redial(Box::new(|| Err("no".to_owned())))) });
    let mut once = listener.accept().unwrap().0;
    once.write_all(b"only\n").unwrap();
    drop(once);
    assert_eq!(take(&pieces, 1), [(8, "only".to_owned())]);
    std::thread::sleep(Duration::from_millis(200));
    let report = follower.stop()[&8].clone();
    assert_eq!((report.interruptions, report.ended.is_some()), (0, true));
}
