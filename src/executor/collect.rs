//! What is collected after the load, while the targets still run.

use std::path::{Path, PathBuf};

use super::actions::request;
use super::command::Command;
use super::context::Context;
use super::error::Error;
use super::hints;
use extract::{Rules, Source, table};
use load::MAX_KEPT;
use plan::collect::BODY;
use plan::{Collect, CollectSource};

/// Longer files are not text to look for metrics in.
const MAX_TEXT: u64 = 256 << 20;

/// Collects one thing: its metrics, in the order of the plan; a table is written to `tables`.
///
/// The late names of `context` include `load_begin` and `load_end`.
///
/// # Errors
/// [`Error::Collect`] when something that should exist does not; errors of the guard.
pub(super) async fn collect(wanted: &Collect, context: &Context<'_>, tables: &Path) -> Result<Vec<f64>, Error> {
    let late = &context.late;
    let failed = |reason: String| Error::Collect { name: wanted.name.clone(), reason };
    let rules = Rules::new(&wanted.metrics).map_err(|e| failed(e.to_string()))?;
    let path: PathBuf;
    let (out, err);
    let source = match &wanted.source {
        CollectSource::Sqlite(file) => {
            path = PathBuf::from(file.fill(late).to_text());
            Source::Sqlite(&path)
        }
        CollectSource::File(file) => {
            out = read(Path::new(&file.fill(late).to_text())).map_err(failed)?;
            Source::Text { out: &out, err: "" }
        }
        CollectSource::Get { url, tls, step } => {
            let (mut values, length) =
                request(url, tls, step, 1, late, &hints::ports(context.targets.iter())).await.map_err(failed)?;
            if length > MAX_KEPT as u64 {
                return Err(failed(format!("the answer has {length} bytes, but at most {MAX_KEPT} are kept")));
            }
            out = values.remove(BODY).unwrap_or_default();
            Source::Text { out: &out, err: "" }
        }
        CollectSource::Command(invocation) | CollectSource::Fixture(invocation) => {
            let mut command = Command::new(invocation, late, format!("collect-{}", wanted.name));
            if matches!(wanted.source, CollectSource::Fixture(_)) {
                command.argv.insert(0, context.fixtures.display().to_string());
            }
            let paths = command.execute(context.guard, &context.logs).await.map_err(|e| e.into_error(failed))?;
            out = read(&paths[0]).map_err(failed)?;
            err = read(&paths[1]).map_err(failed)?;
            Source::Text { out: &out, err: &err }
        }
    };
    // The sources are small; a query may take its time, and nothing else has to be done meanwhile.
    if let Some(table_source) = &wanted.table {
        let text = table(table_source, source).map_err(|e| failed(format!("the table: {e}")))?;
        let write = |path: &Path| std::fs::create_dir_all(tables).and_then(|()| std::fs::write(path, text));
        let path = tables.join(format!("{}.csv", wanted.name));
        write(&path).map_err(|source| record::Error::Write { path, source })?;
    }
    rules.take(source, &[]).map_err(failed)
}

fn read(path: &Path) -> Result<String, String> {
    let failed = |e: std::io::Error| format!("cannot read {}: {e}", path.display());
    let length = std::fs::metadata(path).map_err(failed)?.len();
    if length > MAX_TEXT {
        return Err(format!("{} has {length} bytes, but at most {MAX_TEXT} are searched", path.display()));
    }
    std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).map_err(failed)
}
