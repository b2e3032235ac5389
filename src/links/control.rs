//! How a link's helper hears of changes: over a socket in the file system, which has the same name in all network namespaces.
//!
//! One connection is one change: a line with the shapes of both directions, answered with a line when it is in force.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use super::shape_text::{decode, encode};
use plan::links::Shape;

/// The start of a helper's first argument, where it listens for changes; the path follows.
pub(super) const OPTION: &str = "--control=";
/// How long either side waits for the other.
const PATIENCE: Duration = Duration::from_secs(2);
const DONE: &str = "changed\n";

/// The helper's side.
#[derive(Debug)]
pub(super) struct Control(UnixListener);

impl Control {
    /// Takes the option from a helper's arguments, if it is there, and listens; returns the other arguments, too.
    pub fn take(args: &[String]) -> io::Result<(Option<Self>, &[String])> {
        let Some((path, rest)) = args.split_first().and_then(|(first, rest)| Some((first.strip_prefix(OPTION)?, rest))) else {
            return Ok((None, args));
        };
        let named = |error: io::Error| io::Error::new(error.kind(), format!("cannot listen at {path}: {error}"));
        // A helper of an earlier repetition may have left it.
        let _ = std::fs::remove_file(path);
        Ok((Some(Self(UnixListener::bind(path).map_err(named)?)), rest))
    }

    /// Waits for a change, lets it come into force, and says so.
    pub fn wait(&self, apply: impl FnOnce([Shape; 2])) -> io::Result<()> {
        let (mut stream, _) = self.0.accept()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line)?;
        let shapes = line.trim().split_once(' ').and_then(|(forward, back)| Some([decode(forward)?.0, decode(back)?.0]));
        apply(shapes.ok_or(io::ErrorKind::InvalidData)?);
        stream.write_all(DONE.as_bytes())
    }

    /// Takes a change that is there already.
    pub fn receive(&self) -> Option<[Shape; 2]> {
        let mut shapes = None;
        self.wait(|received| shapes = Some(received)).ok()?;
        shapes
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Tells a helper of a change; returns when it is in force.
pub(super) fn tell(path: &Path, shapes: [&Shape; 2]) -> io::Result<()> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let [forward, back] = shapes.map(|shape| encode(shape, 0));
    stream.write_all(format!("{forward} {back}\n").as_bytes())?;
    let mut answer = String::new();
    BufReader::new(&stream).read_line(&mut answer)?;
    if answer == DONE { Ok(()) } else { Err(io::Error::other(format!("the helper answered `{}`", answer.trim()))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_arrives_and_is_confirmed() {
        let path = std::env::temp_dir().join(format!("runner-control-{}", std::process::id()));
        let args = [format!("{OPTION}{}", path.display()), "0:1:2:3:4".to_owned()];
        let (control, rest) = Control::take(&args).unwrap();
        assert_eq!(rest, &args[1..]);
        let control = control.unwrap();
        let helper = std::thread::spawn(move || control.receive());
        let slow = Shape { delay: Duration::from_millis(200), ..Shape::default() };
        tell(&path, [&slow, &Shape::default()]).unwrap();
        assert_eq!(helper.join().unwrap(), Some([slow, Shape::default()]));
        assert!(tell(&path, [&slow, &slow]).is_err(), "nobody is there any more");
        assert!(Control::take(&args[1..]).unwrap().0.is_none());
        std::fs::remove_file(&path).unwrap();
    }
}
