//! `runner` as its user sees it: the built executable, real processes, real files.
//!
//! `run` is what goes well, `faults` what goes wrong, `endings` how it ends before its time; `mistakes` and `schema`
//! are about scenario files. `load` is every way in which requests may arrive, `requests` that
//! each can be looked at, `truth` whether what is measured is what
//! happened. `support` gives each test a place of its own, `server` a server that it can look into.

mod endings;
mod faults;
mod http;
mod licences;
mod load;
mod mistakes;
mod requests;
mod run;
mod schema;
mod server;
mod support;
mod truth;
