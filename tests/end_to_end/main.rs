//! `runner` as its user sees it: the built executable, real processes, real files.
//!
//! `run` is what goes well, `faults` what goes wrong, `endings` how it ends before its time, `guards` who clears up when one of
//! our own is killed, `resume` how it goes on, `old_results` what is kept of earlier runs, `figures` the table of them, `export` and
//! `export_faults` what other programs get of them, `serve` what is seen of them from outside; `mistakes` (a test for each file in
//! `tests/mistakes`) and `schema` are about scenario files. `load` is every way in which requests may arrive, `requests` that
//! each can be looked at, `truth` whether what is measured is what happened. `time` is what is divided by what and open at the
//! end, `steady` since when it was steady. `http` is HTTP as real servers speak it, `framed`, `redis`, `vtp` and `websocket` are protocols beside
//! it, `websocket_frames` what goes over the latter besides messages, `urls` what servers are asked for, `tls` who is believed and who asks, `links` what lies between, `containers` what an engine runs for us, `collect` what is taken afterwards, `taps` what is followed meanwhile, `memory` where
//! it is recorded, `durable` when it is on disk. `foreign` is what comes from somebody else or is not what it seems.
//! `begin` is the way to a first run and back to the last one, `notation` how a scenario may be written.
//! `measure` is what goes on for months, `tor` what becomes of a real one that dies or is never ready. `ready` is how a target is known to be ready by what it says, `lifetime` are targets that outlive their repetition, `environment` is what comes from outside and may be secret, `answers` what may come back and what is asked besides, `bodies` what is looked for in it and taken from it; `cpu`
//! and `couchdb` are the studies of pools and of documents, against the real servers. `revisions` are commits that are built
//! and measured against each other. `repeat`, `compare`, `expect`, `verdicts` and `reconcile` (what servers counted) are about
//! what is concluded, `licences` is about the libraries, `release` about what is offered for download. `support` gives each test a place of its own, `server` a server that
//! it can look into, `engine` a container engine.

mod answers;
mod begin;
mod bodies;
mod book;
mod browser;
mod collect;
mod compare;
mod containers;
mod control;
mod couchdb;
mod cpu;
mod durable;
mod endings;
mod engine;
mod environment;
mod expect;
mod export;
mod export_faults;
mod faults;
mod figures;
mod foreign;
mod framed;
mod guards;
mod hosts;
mod http;
mod licences;
mod lifetime;
mod links;
mod load;
mod measure;
mod memory;
mod mistakes;
mod notation;
mod old_results;
mod ready;
mod reconcile;
mod redis;
mod release;
mod repeat;
mod report;
mod requests;
mod resume;
mod revisions;
mod run;
mod schema;
mod serve;
mod server;
mod shards;
mod slurm;
mod socks;
mod steady;
mod support;
mod taps;
mod time;
mod tls;
mod tor;
mod torperf_export;
mod truth;
mod urls;
mod users;
mod verdicts;
mod vtp;
mod websocket;
mod websocket_frames;
