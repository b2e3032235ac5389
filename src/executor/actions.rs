//! The set-up and clean-up steps of the scenario: commands, owned by the guard, and requests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::command::Command;
use super::error::Error;
use super::{cache, checkout, hints};
use load::control::{Control, blocking};
use plan::drivers::http::Http;
use plan::{Action, Step, Tls, Url};
use plan::{Late, Protocol as _};
use supervise::Guard;
use vocabulary::{Outcome, Task};

/// What set-up steps have found in answers, by the names that they carry it as.
pub type Found = BTreeMap<String, String>;

/// Executes steps in order, each with what the earlier ones have found. `known`: the ports at which targets listen, or will.
/// Returns what they have found.
///
/// # Errors
/// [`Error::Action`] at the first that fails.
pub fn execute<'f>(
    guard: &'f Guard,
    level: &'static str,
    steps: &'f [Action],
    late: &'f Late<'_>,
    logs: &'f Path,
    known: &'f [u16],
) -> Task<'f, Result<Found, Error>> {
    Box::pin(async move {
        let (mut late, mut found) = (late.clone(), Found::new());
        for (number, step) in steps.iter().enumerate() {
            let failed = |reason: String| Error::Action { level, step: step.to_string(), reason };
            // It was decided before on which machine it is done.
            let step = if let Action::On { action, .. } = step { &**action } else { step };
            match step {
                Action::Command { invocation, cache } => {
                    let name = format!("{}-{}", level.replace(", ", "-"), number + 1);
                    let mut command = Command::new(invocation, &late, name);
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
                Action::Request { url, tls, step, times } => {
                    let (mut values, _) = request(url, tls, step, *times, &late, known).await.map_err(failed)?;
                    for name in step.carry.iter().map(|carry| &carry.name) {
                        let value = values.remove(name).unwrap_or_default();
                        late.insert(name, value.clone());
                        found.insert(name.clone(), value);
                    }
                }
                Action::On { .. } => {}
                Action::Control { port, send, expect, timeout } => {
                    let fill = |template: &plan::Template| template.fill(&late).to_text();
                    let (address, cookie) = (fill(&port.address), port.cookie.as_ref().map(|c| PathBuf::from(fill(c))));
                    let send: Vec<String> = send.iter().map(fill).collect();
                    let (expect, timeout) = (expect.clone(), *timeout);
                    let asking = move || ask(&address, cookie.as_deref(), &send, expect.as_deref(), timeout);
                    blocking(asking).await.map_err(failed)?;
                }
                Action::Checkout(checkout) => {
                    checkout::make(guard, checkout, logs, &format!("revision-{}", number + 1))
                        .await
                        .map_err(|e| e.into_error(failed))?;
                }
            }
        }
        Ok(found)
    })
}

/// Sends commands to a control port.
fn ask(address: &str, cookie: Option<&Path>, send: &[String], expect: Option<&str>, timeout: Duration) -> Result<(), String> {
    let mut control = Control::connect(address, cookie, timeout)?;
    let mut answer = Vec::new();
    for command in send {
        answer = control.ask(command)?;
    }
    // The pattern in `plan` is a valid regular expression.
    let expected = expect.map(regex::Regex::new).transpose().map_err(|error| error.to_string())?;
    match expected.filter(|expected| !answer.iter().any(|line| expected.is_match(line))) {
        None => Ok(()),
        Some(expected) => Err(format!("no line of the last answer matches `{expected}`: {}", answer.join(" / "))),
    }
}

/// Sends a request a number of times, each checked like any other. Returns the values of the last request, and how many bytes
/// its answer had.
/// `known`: the ports of targets; one of them may have been meant if nothing listens.
///
/// # Errors
/// In words, what was wrong.
pub(super) async fn request(
    url: &Url,
    tls: &Tls,
    step: &Step,
    times: u64,
    late: &Late<'_>,
    known: &[u16],
) -> Result<(BTreeMap<String, String>, u64), String> {
    let mut http = Http { tls: tls.clone(), ..Http::plain(url.clone(), vec![step.clone()]) };
    http.fill(late);
    load::send_requests(&http, 0, times).await.map_err(|e| match e {
        load::Error::Verify { outcome: Outcome::Refused, words, .. } => match hints::nobody_at_any(&http.addresses(), known) {
            Some(hint) => format!("{words}; {hint}"),
            None => words,
        },
        load::Error::Verify { words, .. } => words,
        other => vocabulary::errors::chain(&other),
    })
}
