//! Containers as targets: the command line with which an engine starts one.

use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::programs::find_program;

/// Engines that take the same command line, in the order of preference.
pub const ENGINES: [&str; 2] = ["docker", "podman"];
/// An engine that does not answer within this time is considered missing.
const PATIENCE: Duration = Duration::from_secs(10);
/// The label that marks our containers; its value is the container's name.
pub const LABEL: &str = "runner.container";
/// The late name of a container.
pub const NAME: &str = "container";

/// The engine that answers, if any. An installed client is not enough: the engine is asked, once.
pub fn engine() -> Option<&'static str> {
    static FOUND: OnceLock<Option<&'static str>> = OnceLock::new();
    *FOUND.get_or_init(|| ENGINES.into_iter().find(|engine| answers(engine)))
}

fn answers(engine: &str) -> bool {
    let Some(program) = find_program(engine) else { return false };
    let mut command = Command::new(program);
    command.arg("info").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else { return false };
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if begun.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(5)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return false;
            }
        }
    }
}
