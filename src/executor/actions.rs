//! The scenario's own set-up and clean-up steps: commands, owned by the guard, and requests.

use std::collections::BTreeMap;
use std::path::Path;

use super::command::Command;
use super::error::Error;
use super::{cache, checkout};
use plan::drivers::http::Http;
use plan::{Action, Step, Url};
use plan::{Late, Protocol as _};
use supervise::Guard;
use vocabulary::Task;

/// Executes steps in order.
///
/// # Errors
/// [`Error::Action`] at the first that fails.
pub fn execute<'f>(
    guard: &'f Guard,
    level: &'static str,
    steps: &'f [Action],
    late: &'f Late<'_>,
    logs: &'f Path,
) -> Task<'f, Result<(), Error>> {
    Box::pin(async move {
        for (number, step) in steps.iter().enumerate() {
            let failed = |reason: String| Error::Action { level, step: step.to_string(), reason };
            match step {
                Action::Command { invocation, cache } => {
                    let name = format!("{}-{}", level.replace(", ", "-"), number + 1);
                    let mut command = Command::new(invocation, late, name);
                    let claim = match cache {
                        Some(cache) => {
                            let Some(claim) = cache::claim(cache, || true).await.map_err(failed)? else { continue };
                            command.env.push(("CACHE".to_owned(), cache.directory.display().to_string()));
                            Some(claim)
                        }
                        None => None,
                    };
                    command.execute(guard, logs).await.map_err(|e| e.into_error(failed))?;
                    if let Some(claim) = claim {
                        claim.complete().map_err(failed)?;
                    }
                }
                Action::Request { url, step, times } => {
                    request(url, step, *times, late).await.map_err(failed)?;
                }
                Action::Checkout(checkout) => {
                    checkout::make(guard, checkout, logs, &format!("revision-{}", number + 1))
                        .await
                        .map_err(|e| e.into_error(failed))?;
                }
            }
        }
        Ok(())
    })
}

/// Sends a request so many times, each checked like any other. Returns the values of the last one, and how many bytes
/// its answer had.
///
/// # Errors
/// In words, what was wrong.
pub(super) async fn request(
    url: &Url,
    step: &Step,
    times: u64,
    late: &Late<'_>,
) -> Result<(BTreeMap<String, String>, u64), String> {
    let mut http = Http::plain(url.clone(), vec![step.clone()]);
    http.fill(late);
    load::send_requests(&http, 0, times).await.map_err(|e| match e {
        load::Error::Verify(words) => words,
        other => other.to_string(),
    })
}
