//! Machines over SSH: their addresses, and the program that is copied to them. `~/.ssh/config` holds: nothing is asked, and no key or
//! host is accepted that it does not accept.

use std::fs::File;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::cmd::brought::own_hash;
use crate::cmd::fixture;

/// Where the program is kept on a machine, below the home of the user.
const KEPT: &str = ".cache/runner/agents";
/// So many seconds until a machine that does not answer is given up.
const PATIENCE: u32 = 10;

/// The command line that logs in to a machine; the command for there follows.
pub(super) fn ssh(destination: &str) -> Vec<String> {
    let options = ["-T", "-o", "BatchMode=yes", "-o"].map(str::to_owned);
    let patience = format!("ConnectTimeout={PATIENCE}");
    // A destination that starts with `-` would be an option.
    ["ssh".to_owned()].into_iter().chain(options).chain([patience, "--".to_owned(), destination.to_owned()]).collect()
}

/// The address of a machine as `~/.ssh/config` has it.
///
/// # Errors
/// In words.
pub(super) fn address(destination: &str) -> Result<String, String> {
    let output = Command::new("ssh")
        .args(["-G", "--", destination])
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("`ssh` cannot be started: {e}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().replace('\r', ""));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let name = text.lines().find_map(|line| line.strip_prefix("hostname ")).unwrap_or(destination);
    // A machine may know its own name under another address: here it is what the others use.
    let mut found: Vec<IpAddr> = (name, 22).to_socket_addrs().map(|all| all.map(|one| one.ip()).collect()).unwrap_or_default();
    found.sort_by_key(IpAddr::is_ipv6);
    Ok(found.first().map_or_else(|| name.to_owned(), IpAddr::to_string))
}

/// Copies runner and its fixtures to a machine, unless they are there; returns the path of runner for its shell.
///
/// # Errors
/// In words.
pub(super) fn program(destination: &str) -> Result<String, String> {
    let hash = own_hash().map_err(|stop| stop.message)?;
    let folder = format!("{KEPT}/{}", &hash[..16]);
    let runner = std::env::current_exe().map_err(|e| format!("runner itself cannot be found: {e}"))?;
    let fixtures = fixture::program()?;
    for (file, name) in [(fixtures.as_path(), "runner-fixtures"), (runner.as_path(), "runner")] {
        copy(destination, file, &format!("{folder}/{name}"))?;
    }
    Ok(format!("~/{folder}/runner"))
}

/// Copies a file, unless one of its size is there. It gets its name when all of it has arrived: what is cut off is not used.
fn copy(destination: &str, file: &Path, to: &str) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("cannot read {}: {e}", file.display());
    let content = File::open(file).map_err(failed)?;
    let size = content.metadata().map_err(failed)?.len();
    let there = run(destination, &format!("test -x ~/{to} && wc -c < ~/{to} || true"), None)?;
    if there.trim() == size.to_string() {
        return Ok(());
    }
    let folder = to.rsplit_once('/').map_or(".", |(folder, _)| folder);
    let new = format!("~/{to}.$$");
    let command = format!(
        "umask 077 && mkdir -p ~/{folder} && cat > {new} && test \"$(wc -c < {new})\" -eq {size} && chmod 755 {new} && mv {new} ~/{to} \
         || {{ rm -f {new}; echo 'not all of it has arrived' >&2; exit 1; }}"
    );
    run(destination, &command, Some(content)).map(drop)
}

fn run(destination: &str, command: &str, input: Option<File>) -> Result<String, String> {
    let argv = ssh(destination);
    let output = Command::new(&argv[0])
        .args(&argv[1..])
        .arg(command)
        .stdin(input.map_or_else(Stdio::null, Stdio::from))
        .output()
        .map_err(|e| format!("`ssh` cannot be started: {e}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    // `ssh` ends its lines as terminals want it.
    let said = String::from_utf8_lossy(&output.stderr).trim().replace('\r', "");
    Err(if said.is_empty() { format!("`{command}` ended with {}", output.status) } else { said })
}
