//! Programs that make the load: started when a generator thread asks for one, watched like targets, and waited for.

use std::path::Path;
use std::pin::Pin;
use std::task::Poll;
use std::time::Instant;

use tokio::sync::mpsc::UnboundedReceiver;

use load::{Launch, Launched};
use observe::{Sampler, Watched};
use supervise::{Error, Exit, Guard, Kind, ProcessSpec};
use vocabulary::choices::Signal;

/// How long a program that exceeded its time may take to end before it is killed.
const GRACE: std::time::Duration = std::time::Duration::from_secs(1);
/// Only this much of a program's output is examined: the end, which has the metrics.
const MAX_OUTPUT: u64 = 16 << 20;

/// An execution that is under way.
type Execution<'a> = Pin<Box<dyn Future<Output = Result<(), Error>> + 'a>>;

/// Executes requested programs, for ever.
///
/// # Errors
/// When the guard is gone.
pub async fn serve(
    guard: &Guard,
    sampler: &Sampler,
    logs: &Path,
    asked: &mut UnboundedReceiver<Launch>,
) -> Result<std::convert::Infallible, Error> {
    let mut running: Vec<Execution<'_>> = Vec::new();
    std::future::poll_fn(|cx| {
        while let Poll::Ready(Some(launch)) = asked.poll_recv(cx) {
            running.push(Box::pin(execute(guard, sampler, logs, launch)));
        }
        let mut broken = None;
        running.retain_mut(|execution| match execution.as_mut().poll(cx) {
            Poll::Ready(Ok(())) => false,
            Poll::Ready(Err(error)) => {
                broken = Some(error);
                false
            }
            Poll::Pending => true,
        });
        broken.map_or(Poll::Pending, |error| Poll::Ready(Err(error)))
    })
    .await
}

async fn execute(guard: &Guard, sampler: &Sampler, logs: &Path, launch: Launch) -> Result<(), Error> {
    let [out, err] = ["out", "err"].map(|kind| logs.join(format!("{}-{}.{kind}", launch.workload, launch.client + 1)));
    // The output of earlier executions comes before that of this one.
    let before = [&out, &err].map(|path| std::fs::metadata(path).map_or(0, |m| m.len()));
    let mut argv = launch.argv;
    if let Some(program) = argv.first_mut().filter(|p| !p.contains('/'))
        && let Some(path) = plan::programs::find_program(program)
    {
        *program = path.display().to_string();
    }
    let replica = launch.client as u32 + 1;
    let marker = guard.marker(Kind::Load, &launch.workload, replica);
    let known_by = marker.1.clone();
    let env = launch.env.into_iter().chain([marker]).collect();
    let program = ProcessSpec { dir: launch.dir, cpus: &launch.cpus, ..ProcessSpec::new(argv, env, [&out, &err]) };
    let process = match guard.spawn(program).await {
        Ok(process) => process,
        Err(Error::GuardGone) => return Err(Error::GuardGone),
        Err(error) => {
            let _ = launch.ended.send(Err(error.to_string()));
            return Ok(());
        }
    };
    sampler.add(Watched { target: launch.workload.clone(), replica, pid: process.pid, marker: known_by });
    let waited = tokio::time::timeout(launch.timeout, process.wait()).await;
    let ended = Instant::now();
    sampler.remove(&launch.workload, replica);
    // Processes that the program left in the background end with it.
    guard.stop(&process, Signal::Term, if waited.is_err() { GRACE } else { std::time::Duration::ZERO }).await?;
    let exit = process.exited();
    let [(stdout, out_cut), (stderr, err_cut)] = [(&out, before[0]), (&err, before[1])].map(|(path, from)| read_from(path, from));
    let launched = Launched {
        started: process.asked_at,
        ended,
        code: exit.and_then(|e| match e {
            Exit::Code(code) => Some(code),
            Exit::Signal(_) => None,
        }),
        words: exit.map_or_else(|| "did not end".to_owned(), |e| e.to_string()),
        timed_out: waited.is_err(),
        cpu: process.cpu().unwrap_or_default(),
        stdout,
        stderr,
        is_cut: out_cut || err_cut,
    };
    // Nothing waits for it any more if the load was given up.
    let _ = launch.ended.send(Ok(launched));
    Ok(())
}

/// What was written to a log after its first `since` bytes: the end of it, and whether more was written.
fn read_from(path: &Path, from: u64) -> (Vec<u8>, bool) {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut bytes = Vec::new();
    let mut is_cut = false;
    let read = std::fs::File::open(path).and_then(|mut file| {
        let end = file.metadata()?.len();
        is_cut = end.saturating_sub(from) > MAX_OUTPUT;
        file.seek(SeekFrom::Start(from.max(end.saturating_sub(MAX_OUTPUT))))?;
        file.take(MAX_OUTPUT).read_to_end(&mut bytes)
    });
    // A log that cannot be read is treated as empty; what is missing from it is reported.
    if read.is_err() { (Vec::new(), false) } else { (bytes, is_cut) }
}
