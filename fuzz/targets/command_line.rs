//! Whatever is typed: it is understood, or there are words for what is wrong with it. Words are apart by zero bytes, and need
//! not be UTF-8.
#![no_main]
#![allow(dead_code)]

#[path = "../../src/cli.rs"]
mod cli;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use clap::Parser as _;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &[u8]| {
    let words = line.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec()));
    let said = match cli::Cli::try_parse_from(std::iter::once("runner".into()).chain(words)) {
        Ok(cli) => format!("{cli:?}"),
        Err(error) => error.render().to_string(),
    };
    assert!(!said.is_empty());
});
