//! Containers as targets: the command line with which an engine starts one.

use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::Template;
use super::pen::Pen;
use super::programs::find_program;
use crate::schema::{Node, types};

/// Engines that take the same command line, in the order of preference.
const ENGINES: [&str; 2] = ["docker", "podman"];
/// An engine that does not answer within this is taken for none.
const PATIENCE: Duration = Duration::from_secs(10);
/// The label by which a container of ours is known; its value is the container's name.
pub const LABEL: &str = "runner.container";
/// The late name of a container.
pub const NAME: &str = "container";

/// The engine that answers, if one does. A client alone is none: it is asked, once.
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

/// Why a cell with containers is skipped, if it is.
pub(super) fn missing() -> Option<String> {
    engine().is_none().then(|| "no container engine answers (neither `docker info` nor `podman info`)".to_owned())
}

/// The command line of a container; `node` is that of the target.
pub(super) fn argv(pen: &mut Pen<'_>, node: &Node, typed: &types::Container) -> Vec<Template> {
    let mut words: Vec<String> =
        [engine().unwrap_or(ENGINES[0]), "run", "--rm", "--pull=never", "--name"].map(str::to_owned).to_vec();
    words.push(format!("${{{NAME}}}"));
    words.push(format!("--label={LABEL}=${{{NAME}}}"));
    if let Some(network) = &typed.network {
        words.push(format!("--network={}", network.0));
    }
    let part = node.get("container").unwrap_or(node);
    for port in &typed.ports {
        let numbers: Vec<Option<u16>> = port.0.split(':').map(|n| n.parse().ok().filter(|n| *n > 0)).collect();
        match numbers.as_slice() {
            [Some(here), Some(inside)] => words.push(format!("--publish=127.0.0.1:{here}:{inside}")),
            [Some(both)] => words.push(format!("--publish=127.0.0.1:{both}:{both}")),
            _ => pen.say(
                part,
                "ports",
                format!("`{}` publishes no port", port.0),
                "expected `8098:8098`: the port here and the one inside",
            ),
        }
    }
    for volume in &typed.volumes {
        if !volume.0.starts_with('/') && !volume.0.starts_with("${") || !volume.0.contains(':') {
            let expected = "expected `/here:/inside`, with absolute paths";
            pen.say(part, "volumes", format!("`{}` is not a volume", volume.0), expected);
        }
        words.push(format!("--volume={}", volume.0));
    }
    words.extend(typed.env.iter().map(|(name, value)| format!("--env={name}={}", value.0)));
    words.push(typed.image.0.clone());
    words.extend(typed.args.iter().map(|a| a.0.clone()));
    words.iter().map(|word| Template::parse(word)).collect()
}
