//! Reads `container:` of a target.

use super::diagnostics::Diagnostics;
use plan::Template;
use plan::containers::{ENGINES, LABEL, NAME, engine};
use schema::{Node, types};

/// Why a cell with containers is skipped, if it is.
pub(super) fn missing() -> Option<String> {
    engine().is_none().then(|| "no container engine is available (neither `docker info` nor `podman info` succeeds)".to_owned())
}

/// The command line of a container; `node` is that of the target.
pub(super) fn argv(
    notes: &mut Diagnostics<'_>,
    node: &Node,
    typed: &types::Container,
    resources: &types::Resources,
) -> Vec<Template> {
    let mut words: Vec<String> =
        [engine().unwrap_or(ENGINES[0]), "run", "--rm", "--pull=never", "--name"].map(str::to_owned).to_vec();
    words.push(format!("${{{NAME}}}"));
    words.push(format!("--label={LABEL}=${{{NAME}}}"));
    if let Some(network) = &typed.network {
        words.push(format!("--network={}", network.0));
    }
    if let Some(cpu) = &resources.cpu {
        words.push(format!("--cpus={}", cpu.0));
    }
    if let Some(memory) = &resources.memory {
        // Without the second, an engine lets a container use as much swap again.
        words.extend(["memory", "memory-swap"].map(|option| format!("--{option}={}b", memory.0.0)));
    }
    let part = node.get("container").unwrap_or(node);
    for port in &typed.ports {
        let numbers: Vec<Option<u16>> = port.0.split(':').map(|n| n.parse().ok().filter(|n| *n > 0)).collect();
        match numbers.as_slice() {
            [Some(here), Some(inside)] => words.push(format!("--publish=127.0.0.1:{here}:{inside}")),
            [Some(both)] => words.push(format!("--publish=127.0.0.1:{both}:{both}")),
            _ => notes.say(
                part,
                "ports",
                format!("`{}` publishes no port", port.0),
                "expected `8098:8098`: the port on this machine and the one inside",
            ),
        }
    }
    for volume in &typed.volumes {
        if !volume.0.starts_with('/') && !volume.0.starts_with("${") || !volume.0.contains(':') {
            let expected = "expected `/here:/inside`, with absolute paths";
            notes.say(part, "volumes", format!("`{}` is not a volume", volume.0), expected);
        }
        words.push(format!("--volume={}", volume.0));
    }
    words.extend(typed.env.iter().map(|(name, value)| format!("--env={name}={}", value.0)));
    words.push(typed.image.0.clone());
    words.extend(typed.args.iter().map(|a| a.0.clone()));
    words.iter().map(|word| Template::parse(word)).collect()
}
