//! Runs `ip`, `tc`, `nft` and similar programs with their input; if they fail, the error contains what they printed.

use std::io::{ErrorKind, Write as _};
use std::process::{Command, Stdio};

use super::Error;

/// Runs a program to its end, with `input` on its standard input.
pub fn run(program: &str, args: &[&str], input: &str) -> Result<(), Error> {
    let command = || {
        let line = std::iter::once(program).chain(args.iter().copied()).collect::<Vec<_>>().join(" ");
        if input.is_empty() { line } else { format!("{line}` with `{}", input.trim_end().replace('\n', "; ")) }
    };
    let refused = |text: String| Error::Command { command: command(), text };
    let spawned = Command::new(program)
        .args(args)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match spawned {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(Error::Missing { program: program.to_owned() }),
        result => result.map_err(|error| refused(error.to_string()))?,
    };
    // A program that ended without reading has said why.
    let _ = child.stdin.take().expect("standard input is piped").write_all(input.as_bytes());
    let output = child.wait_with_output().map_err(|error| refused(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stderr, output.stdout].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let text = readable(&said.concat());
    Err(refused(if text.is_empty() { output.status.to_string() } else { text }))
}

/// The output of `ip` and `tc`, on one line and without what only repeats that they failed.
fn readable(said: &str) -> String {
    let lines = said.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with("Command failed") && !l.starts_with('^'));
    let lines = lines.map(|l| l.strip_prefix("Error: ").unwrap_or(l).trim_end_matches('.'));
    lines.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_tc_is_told_in_its_words() {
        assert_eq!(readable("Error: Specified qdisc kind is unknown.\nCommand failed -:1\n"), "Specified qdisc kind is unknown");
        assert_eq!(readable("RTNETLINK answers: Operation not permitted\n"), "RTNETLINK answers: Operation not permitted");
        let nft = "/dev/stdin:1:1-3: Error: Could not process rule\n  ^^^\n";
        assert_eq!(readable(nft), "/dev/stdin:1:1-3: Error: Could not process rule");
    }

    #[test]
    fn what_is_missing_and_what_refuses_are_told_apart() {
        assert_eq!(
            run("no-such-program-at-all", &[], "").unwrap_err().to_string(),
            "`no-such-program-at-all` is not installed, or not in PATH"
        );
        assert_eq!(
            run("sh", &[], "echo no >&2; exit 3\n").unwrap_err().to_string(),
            "`sh` with `echo no >&2; exit 3` failed: no"
        );
        assert!(run("sh", &[], "exit 3").unwrap_err().to_string().ends_with("exit status: 3"));
        run("cat", &[], "x").unwrap();
    }
}
