//! Rows of a file, of which passes and users draw: read once, in a compact form that all threads read without locks.
//!
//! All values are one text, and for each value it is known where it ends: a million rows of three short columns take some
//! 50 MB, however many users draw from them.

use std::fmt;
use std::path::PathBuf;

use serde::ser::{Serialize, SerializeStruct as _, Serializer};
use vocabulary::digest::Digest;

/// The rows of a file.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Rows {
    /// The file.
    pub path: PathBuf,
    /// The names of its columns, each a name that expressions can use.
    pub columns: Vec<String>,
    text: String,
    /// Where each value ends in `text`, row by row.
    ends: Vec<u32>,
    /// The digest of all of that.
    content: String,
}

impl Rows {
    /// The most bytes that the values of a file may have.
    pub const MOST_BYTES: u64 = u32::MAX as u64;

    /// A file without rows.
    pub fn new(path: PathBuf, columns: Vec<String>) -> Self {
        Self { path, columns, ..Self::default() }
    }

    /// Adds the next value of a row. Returns whether there was room.
    pub fn push(&mut self, value: &str) -> bool {
        let Ok(end) = u32::try_from(self.text.len() + value.len()) else { return false };
        self.text.push_str(value);
        self.ends.push(end);
        true
    }

    /// There are no more: gives back what was reserved for them, and notes what they are.
    #[must_use]
    pub fn complete(mut self) -> Self {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
        let mut digest = Digest::default();
        digest.add(self.text.as_bytes());
        self.ends.chunks(1024).for_each(|ends| digest.add(&ends.iter().flat_map(|end| end.to_le_bytes()).collect::<Vec<u8>>()));
        self.content = digest.text();
        self
    }

    /// The name of the file, without its folders.
    pub fn name(&self) -> std::borrow::Cow<'_, str> {
        self.path.file_name().unwrap_or_default().to_string_lossy()
    }

    /// How many rows there are.
    pub fn count(&self) -> u64 {
        (self.ends.len() / self.columns.len().max(1)) as u64
    }

    /// A value. `row`: below [`Self::count`]; `column`: an index of [`Self::columns`].
    pub fn value(&self, row: u64, column: usize) -> &str {
        let at = row as usize * self.columns.len() + column;
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start as usize..self.ends[at] as usize]
    }
}

/// Without the values.
impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows of {}", self.count(), self.path.display())
    }
}

/// As `plan.json` has it: which file, and what it contained.
impl Serialize for Rows {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Rows", 4)?;
        fields.serialize_field("path", &self.path)?;
        fields.serialize_field("columns", &self.columns)?;
        fields.serialize_field("count", &self.count())?;
        fields.serialize_field("content", &self.content)?;
        fields.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_row_and_column() {
        let mut rows = Rows::new("users.csv".into(), vec!["name".to_owned(), "city".to_owned()]);
        for value in ["ann", "", "böb", "Ulm"] {
            assert!(rows.push(value));
        }
        let rows = rows.complete();
        assert_eq!(rows.count(), 2);
        let found: Vec<&str> =
            (0..2).flat_map(|row| (0..2).map(move |column| (row, column))).map(|(r, c)| rows.value(r, c)).collect();
        assert_eq!(found, ["ann", "", "böb", "Ulm"]);
        let written = serde_json::to_value(&rows).unwrap();
        let content = written["content"].as_str().unwrap();
        assert!(content.starts_with("sha1:") && content.len() == 45, "{content}");
        assert_eq!(
            written,
            serde_json::json!({"path": "users.csv", "columns": ["name", "city"], "count": 2, "content": content})
        );
    }

    #[test]
    fn rows_with_other_values_have_another_digest() {
        let content = |values: &[&str]| {
            let mut rows = Rows::new("users.csv".into(), vec!["a".to_owned(), "b".to_owned()]);
            values.iter().for_each(|value| assert!(rows.push(value)));
            rows.complete().content
        };
        assert_eq!(content(&["x", "y"]), content(&["x", "y"]));
        assert_ne!(content(&["x", "y"]), content(&["x", "z"]));
        assert_ne!(content(&["x", "yz"]), content(&["xy", "z"]));
    }
}
