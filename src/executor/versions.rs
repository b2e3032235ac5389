//! The versions of the programs that take part, for the manifest. A program that is asked for its version may start other
//! processes, so it runs under the guard.

use std::collections::BTreeMap;
use std::time::Duration;

use plan::programs::find_program;
use supervise::{Error, Exit, Guard};

/// How long a program may take to print its version.
const PATIENCE: Duration = Duration::from_secs(2);

/// The first line of the version output of each program, by its name; programs that print nothing are left out.
///
/// # Errors
/// When the guard is gone.
pub async fn versions(guard: &Guard, programs: impl IntoIterator<Item = String>) -> Result<BTreeMap<String, String>, Error> {
    let mut found = BTreeMap::new();
    for program in programs {
        let Some(path) = find_program(&program) else { continue };
        let flag = if matches!(program.as_str(), "haproxy" | "nginx") { "-v" } else { "--version" };
        let answer = match guard.ask(vec![path.display().to_string(), flag.to_owned()], PATIENCE).await {
            Ok(answer) => answer,
            Err(error @ Error::GuardGone) => return Err(error),
            Err(_) => continue,
        };
        let lines = answer.stdout.lines().chain(answer.stderr.lines()).map(str::trim);
        let line = lines.into_iter().find(|line| !line.is_empty()).map(str::to_owned);
        if let (Some(Exit::Code(0)), Some(line)) = (answer.exit, line) {
            found.insert(program, line);
        }
    }
    Ok(found)
}
