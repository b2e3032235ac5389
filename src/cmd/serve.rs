//! `runner serve`, and what `--serve` of `run`, `repeat` and `measure` serves meanwhile.

use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Stop, export};
use crate::cli;
use crate::executor::revive::back_off;
use crate::exit::Exit;
use crate::serve::{self, Handle, Options};
use crate::vocabulary::errors::{chain, tell};
use tokio::signal::unix::{SignalKind, signal};

/// How often the serving process is checked.
const LOOK: Duration = Duration::from_millis(200);

/// Starts to serve the results of an experiment, until the handle is dropped.
fn begin(options: &Options) -> Result<Handle, Stop> {
    let handle = serve::start(options).map_err(|error| {
        let exit = if error.is_input() { Exit::InvalidInput } else { Exit::Failure };
        Stop::from_error(exit, &error)
    })?;
    tell(format_args!("serving {} at http://{}/", options.results.display(), handle.address()));
    Ok(handle)
}

/// How often `measure` checks whether the serving process still runs.
const LOOK_BESIDE: Duration = Duration::from_secs(1);
/// A process that has served for this long is not considered broken from the start.
const SETTLED: Duration = Duration::from_secs(60);

/// The server process beside a measurement: started again whenever it ends, until this is dropped.
pub(super) struct Beside {
    /// Nothing is sent; closing the channel is the signal.
    end: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Starts to serve, on a thread of its own, and continues whatever happens to the serving process: nothing that is
/// measured waits for it.
fn beside(options: Options) -> Result<Beside, Stop> {
    let handle = begin(&options)?;
    // With port 0 the system has chosen a port, which others know by now.
    let options = Options { listen: handle.address(), ..options };
    let (end, ended) = mpsc::channel();
    let keep = move || keep(&options, handle, &ended);
    let thread = std::thread::Builder::new().name("serving".to_owned()).spawn(keep);
    let thread = thread.map_err(|error| Stop::from_error(Exit::Failure, &error))?;
    Ok(Beside { end: Some(end), thread: Some(thread) })
}

/// Starts to serve `results` while they are made, where that is asked for.
pub(super) fn during(args: &cli::Serving, results: PathBuf) -> Result<Option<Beside>, Stop> {
    let Some(listen) = args.serve else { return Ok(None) };
    let failed = |error| Stop::new(Exit::Failure, format!("cannot make {}: {error}", results.display()));
    std::fs::create_dir_all(&results).map_err(failed)?;
    let source = export::source(None)?;
    beside(Options { results, listen, is_public: args.public, user: args.user.clone(), source }).map(Some)
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.end = None;
        // Its panic has been reported already, and does not concern the measurement.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Looks after a serving process until the other end of `ended` is dropped.
fn keep(options: &Options, handle: Handle, ended: &mpsc::Receiver<()>) {
    let (mut serving, mut since) = (Some(handle), Instant::now());
    let (mut failures, mut times) = (0_u32, 0_u32);
    let mut again = since;
    while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(LOOK_BESIDE) {
        if let Some(status) = serving.as_mut().and_then(Handle::ended) {
            serving = None;
            failures = if since.elapsed() > SETTLED { 1 } else { failures.saturating_add(1) };
            let pause = back_off(failures);
            again = Instant::now() + pause;
            tell(format_args!(
                "warning: the process that serves ended unexpectedly ({status}); restarting it in {} s",
                pause.as_secs()
            ));
        }
        if serving.is_some() || Instant::now() < again {
            continue;
        }
        match serve::start(options) {
            Ok(handle) => {
                (serving, since) = (Some(handle), Instant::now());
                times += 1;
                tell(format_args!("serving again at http://{}/; restarted {times} times so far", options.listen));
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                let pause = back_off(failures);
                again = Instant::now() + pause;
                tell(format_args!("warning: {}; trying again in {} s", chain(&error), pause.as_secs()));
            }
        }
    }
}

/// Serves until it is told to end.
pub(super) fn serve(args: &cli::Serve) -> Result<Exit, Stop> {
    let options = Options {
        results: args.path.clone(),
        listen: args.listen,
        is_public: args.public,
        user: args.user.clone(),
        source: export::source(args.source.as_deref())?,
    };
    let failed = |error: std::io::Error| Stop::from_error(Exit::Failure, &error);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    runtime.block_on(async {
        // Signals are caught from here on, so that one that arrives during the start is not lost.
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [interrupt, terminate, hangup] = kinds.map(signal);
        let (mut interrupt, mut terminate) = (interrupt.map_err(failed)?, terminate.map_err(failed)?);
        let mut hangup = hangup.map_err(failed)?;
        let mut handle = begin(&options)?;
        tokio::select! {
            status = ended(&mut handle) => {
                Err(Stop::new(Exit::Failure, format!("the process that serves ended unexpectedly ({status})")))
            }
            _ = interrupt.recv() => Ok(Exit::Success),
            _ = terminate.recv() => Ok(Exit::Success),
            _ = hangup.recv() => Ok(Exit::Success),
        }
    })
}

async fn ended(handle: &mut Handle) -> std::process::ExitStatus {
    loop {
        if let Some(status) = handle.ended() {
            return status;
        }
        tokio::time::sleep(LOOK).await;
    }
}
