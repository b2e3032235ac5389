//! `runner` as its user sees it: the built executable, real processes, real files.
//!
//! `run` is what goes well, `faults` what goes wrong, `endings` how it ends before its time; `mistakes` and `schema`
//! are about scenario files. `support` gives each test a place of its own, `server` a server that it can look into.

mod endings;
mod faults;
mod licences;
mod mistakes;
mod run;
mod schema;
mod server;
mod support;
