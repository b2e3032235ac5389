//! How errors are said: each module has its own type, and its message leaves the cause out; here the chain is joined, and
//! told to whoever still listens.

use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;

/// An error with its causes, each behind a colon.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

/// Says something on standard error. Whoever has closed it does not want to know, and what is being done goes on.
pub fn tell(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
