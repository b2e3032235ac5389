//! How a process of ours is recognized, whatever its parent: by a variable in the environment with which it was started.
//!
//! `supervise` ends the processes that have the variable, `observe` watches them, and no scenario may set it.

/// The variable.
pub const MARKER: &str = "RUNNER_REPLICA";

/// The kind of process that is started: a target and a program that makes load may have the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A replica of a target.
    Target,
    /// The client of a container engine. It is not watched, whatever its parent is.
    Client,
    /// A program that makes load.
    Load,
    /// A helper of a link.
    Link,
    /// A step of the scenario, a probe, or a program that is asked for its version.
    Step,
}

/// The value of [`MARKER`]: `<kind>:<name>/<number>:<run>`, different for everything that is started.
pub fn marker(kind: Kind, name: &str, number: u32, run: &str) -> String {
    let kind = match kind {
        Kind::Target => "target",
        Kind::Client => "client",
        Kind::Load => "load",
        Kind::Link => "link",
        Kind::Step => "step",
    };
    format!("{kind}:{name}/{number}:{run}")
}

/// The run in a marker.
pub fn run_of(marker: &str) -> Option<&str> {
    marker.rsplit_once(':').map(|(_, run)| run)
}

/// The marker in an environment as `/proc/PID/environ` has it: entries that end with a zero byte.
pub fn marker_in(environment: &[u8]) -> Option<String> {
    let mut entries = environment.split(|byte| *byte == 0);
    let value = entries.find_map(|entry| entry.strip_prefix(MARKER.as_bytes())?.strip_prefix(b"="))?;
    String::from_utf8(value.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_says_what_it_is_and_whose() {
        let of = |kind| marker(kind, "a:b", 1, "12ab");
        assert_eq!(of(Kind::Target), "target:a:b/1:12ab");
        assert_ne!(of(Kind::Target), of(Kind::Load));
        assert_eq!(run_of(&of(Kind::Step)), Some("12ab"));
    }

    #[test]
    fn it_is_found_among_other_variables() {
        assert_eq!(marker_in(b"A=1\0RUNNER_REPLICA=x/1:7\0B=\0"), Some("x/1:7".to_owned()));
        assert_eq!(marker_in(b"A=1\0RUNNER_REPLICA_TOO=x\0XRUNNER_REPLICA=y\0"), None);
    }
}
