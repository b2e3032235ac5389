//! The process that serves: its standard input is the socket on which it listens; its standard output is a socket to its
//! parent, on which it reports that it is serving, or why not.

use std::io::{self, Write as _};
use std::net::TcpListener;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use export::Source;
use privileges::Identity;
use serde_json::{Value as Json, json};
use tokio::io::AsyncReadExt as _;
use tokio::signal::unix::{SignalKind, signal};

use super::site::Site;
use super::temporary::{self, Temporary};
use super::{answers, connections, politeness};

/// The main function of the process; returns when it is told to end, or when its parent has ended.
pub fn main() -> ExitCode {
    // The name under which it appears in `ps`.
    let _ = rustix::thread::set_name(c"runner-serve");
    politeness::close_the_rest();
    politeness::stand_back();
    let Ok(control) = io::stdout().as_fd().try_clone_to_owned() else { return ExitCode::FAILURE };
    let mut control = UnixStream::from(control);
    match prepare() {
        Err(words) => {
            say(&mut control, &json!({"refused": words}));
            ExitCode::FAILURE
        }
        Ok((listener, site)) => {
            let served = serve(listener, control, &site);
            // An answer may still be in progress; it is not waited for.
            temporary::clear();
            let code = u8::from(served.is_err());
            std::process::exit(code.into())
        }
    }
}

fn say(control: &mut UnixStream, words: &Json) {
    // A parent that does not listen has ended, which is noticed elsewhere.
    let _ = writeln!(control, "{words}");
}

/// Gives up rights that are not needed, and tries what will be needed.
fn prepare() -> Result<(TcpListener, Arc<Site>), String> {
    let mut arguments = std::env::args_os().skip(2);
    let folder: PathBuf = arguments.next().ok_or("no directory was given")?.into();
    let source = arguments.next().and_then(|name| Source::new(name.to_str()?)).ok_or("no source was given")?;
    let is_public = arguments.next().ok_or("it was not said whether other machines may be served")? == super::PUBLIC;
    let user = arguments.next().map(|name| name.to_string_lossy().into_owned());
    let listener = io::stdin().as_fd().try_clone_to_owned().map_err(|error| format!("no socket was passed: {error}"))?;
    if let Some(user) = &user {
        Identity::of(user)?.assume()?;
    }
    let whom = user.as_ref().map_or_else(|| "this user".to_owned(), |user| format!("the user {user}"));
    Site::try_to_read(&folder).map_err(|(path, error)| {
        format!("{whom} cannot read {}: {error}; let it read the results and enter every directory above them", path.display())
    })?;
    Temporary::new().map_err(|error| {
        let place = std::env::temp_dir();
        format!("{whom} cannot write to {}: {error}; set TMPDIR to a directory for temporary files", place.display())
    })?;
    Ok((listener.into(), Site::new(folder, source, is_public)))
}

fn serve(listener: TcpListener, mut control: UnixStream, site: &Arc<Site>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        let [mut terminated, mut interrupted] = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
        let mut hung_up = signal(SignalKind::hangup())?;
        let listener = connections::listener(listener)?;
        say(&mut control, &json!({"serves": true}));
        control.set_nonblocking(true)?;
        let mut parent = tokio::net::UnixStream::from_std(control)?;
        let mut said = [0];
        tokio::select! {
            never = connections::serve(listener, answers::paths(Arc::clone(site))) => match never {},
            // The parent never sends anything: this happens when it closes its end, or has ended.
            _ = parent.read(&mut said) => Ok(()),
            _ = terminated.recv() => Ok(()),
            _ = interrupted.recv() => Ok(()),
            _ = hung_up.recv() => Ok(()),
        }
    });
    runtime.shutdown_background();
    served
}
