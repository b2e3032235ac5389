//! The ends of logs, as far as a page has room for them.

use std::collections::HashSet;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use record::Repetition;
use record::files;
use record::status::Verdict;
use vocabulary::words::harmless;

/// How much of the end of one log is kept, in bytes.
const END: u64 = 1500;
/// How much of all logs of a page is kept, in bytes: those of repetitions that do not count come first.
const ALL: usize = 300_000;

/// The log of a repetition: name of the file, length in bytes, and its end; none if there was no room for it.
pub type Log = (String, u64, Option<String>);

/// The ends of the logs of repetitions, in their order.
pub fn ends(repetitions: &[Repetition]) -> Vec<Vec<Log>> {
    use rayon::prelude::*;
    let mut found: Vec<Vec<Log>> = repetitions.par_iter().map(|repetition| of_folder(&repetition.path.join("logs"))).collect();
    let mut order: Vec<usize> = (0..repetitions.len()).collect();
    let counts = |index: &usize| matches!(repetitions[*index].status.verdict, Verdict::Valid);
    order.sort_by_key(|index| (counts(index), repetitions[*index].status.repetition));
    let (mut used, mut known) = (0, HashSet::<String>::new());
    for index in order {
        for (_, _, end) in &mut found[index] {
            let Some(text) = end.as_ref() else { continue };
            // A text that is the same as in another repetition takes no room.
            if known.contains(text) {
                continue;
            }
            used += text.len();
            if used > ALL {
                *end = None;
            } else {
                known.insert(text.clone());
            }
        }
    }
    found
}

/// The logs in a folder that are not empty, by name.
fn of_folder(folder: &Path) -> Vec<Log> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names.into_iter().filter_map(|name| end(&folder.join(&name)).map(|(length, text)| (name, length, Some(text)))).collect()
}

/// Length and end of a log, from the start of a line; none if it is empty or cannot be read.
fn end(path: &Path) -> Option<(u64, String)> {
    let mut file = files::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(END))).ok()?;
    let mut bytes = Vec::new();
    file.take(END).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let text = if length > END { text.split_once('\n').map_or(&*text, |(_, rest)| rest) } else { &*text };
    let text = harmless(text.trim_end()).into_owned();
    (!text.is_empty()).then_some((length, text))
}
