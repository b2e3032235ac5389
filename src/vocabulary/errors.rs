//! How errors are said: each module has its own type, and its message leaves the cause out; here the chain is joined, and
//! told to whoever still listens. What others have said is a part of both, and is made harmless here.

use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;

use crate::words::harmless;

/// An error with its causes, each behind a colon; harmless, whoever is quoted in it.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    harmless(&text).into_owned()
}

/// Says something on standard error, harmlessly. Whoever has closed it does not want to know, and what is being done goes on.
pub fn tell(text: impl std::fmt::Display) {
    show(harmless(&text.to_string()));
}

/// The same of what may have colours.
pub fn show(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
