//! `runner serve`.

use std::time::Duration;

use super::{Stop, export};
use crate::cli;
use crate::exit::Exit;
use crate::serve::{self, Handle, Options};
use crate::vocabulary::errors::tell;
use tokio::signal::unix::{SignalKind, signal};

/// How often the serving process is checked.
const LOOK: Duration = Duration::from_millis(200);

/// Serves the results of an experiment until the handle is dropped.
pub(super) fn begin(options: &Options) -> Result<Handle, Stop> {
    let handle = serve::start(options).map_err(|error| {
        let exit = if error.is_input() { Exit::InvalidInput } else { Exit::Failure };
        Stop::from_error(exit, &error)
    })?;
    tell(format_args!("serving {} at http://{}/", options.results.display(), handle.address()));
    Ok(handle)
}

/// Serves until a signal ends it.
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
