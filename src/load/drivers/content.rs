//! The content of a message, prepared once.

use super::values::{Text, Values};
use crate::Error;
use plan::Body;

/// The content of a message.
pub enum Content {
    /// Always the same.
    Fixed(Vec<u8>),
    /// Text with values of its pass.
    Text(Text),
    /// This many random bytes.
    Random(u64),
}

impl Content {
    /// Prepares it for a step of this name. `names`: those of its values.
    ///
    /// # Errors
    /// When a file cannot be read, or a text inserts a name without a value.
    pub fn new(body: &Body, names: &[String], step: &str) -> Result<Self, Error> {
        Ok(match body {
            Body::Empty => Self::Fixed(Vec::new()),
            Body::Random(length) => Self::Random(*length),
            Body::File(path) => Self::Fixed(std::fs::read(path).map_err(|source| Error::File { path: path.clone(), source })?),
            Body::Json(template) => Self::Text(Text::new(template, names, step)?.in_json()),
            Body::Text(template) => Self::Text(Text::new(template, names, step)?),
        })
    }

    /// Appends it, with the values of a pass.
    pub fn write(&self, values: &mut Values, out: &mut Vec<u8>) {
        match self {
            Self::Fixed(bytes) => out.extend_from_slice(bytes),
            Self::Text(text) => text.write(values, out),
            Self::Random(length) => values.write_random(*length, out),
        }
    }
}
