//! Rows of a file, of which passes and users draw: read once, in a compact form that all threads read without locks.
//!
//! All values are one text, and for each value it is known where it ends: a million rows of three short columns take some
//! 50 MB, however many users draw from them.

use std::fmt;
use std::path::PathBuf;

use serde::ser::{Serialize, SerializeStruct as _, Serializer};

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

    /// Gives back what was reserved for more.
    #[must_use]
    pub fn shrunk(mut self) -> Self {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
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
        let mut fields = serializer.serialize_struct("Rows", 3)?;
        fields.serialize_field("path", &self.path)?;
        fields.serialize_field("columns", &self.columns)?;
        fields.serialize_field("count", &self.count())?;
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
        let rows = rows.shrunk();
        assert_eq!(rows.count(), 2);
        let found: Vec<&str> =
            (0..2).flat_map(|row| (0..2).map(move |column| (row, column))).map(|(r, c)| rows.value(r, c)).collect();
        assert_eq!(found, ["ann", "", "böb", "Ulm"]);
        assert_eq!(
            serde_json::to_value(&rows).unwrap(),
            serde_json::json!({"path": "users.csv", "columns": ["name", "city"], "count": 2})
        );
    }
}
