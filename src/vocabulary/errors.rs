//! How errors are reported. Each module has its own type, and its message leaves the cause out; here the chain is joined and
//! printed on standard error, if it is still open. Both may quote text from other programs, which is made harmless here.

use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;

use crate::words::harmless;

/// An error with its causes, each after a colon; harmless to terminals, whatever text is quoted in it.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    harmless(&text).into_owned()
}

/// Prints a text on standard error, made harmless to terminals. If standard error is closed, nothing is printed, and the work
/// continues.
pub fn tell(text: impl std::fmt::Display) {
    show(harmless(&text.to_string()));
}

/// The same for a text that may have colours.
pub fn show(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
