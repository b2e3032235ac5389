//! The requests of a log: each connection has one request of its own, which becomes that of the pass.

use std::sync::Arc;

use bytes::Bytes;

use super::request::Step;
use crate::drivers::Failure;
use crate::drivers::values::RANDOM_BLOCK;
use plan::Replay;
use plan::replay::{LogBody, LogRequests, METHODS};

/// Statuses of answers that a server gives only to conditions and ranges, which a replay does not send.
const ONLY_IF_ASKED: [u16; 2] = [304, 206];

/// A log, ready to be sent.
pub(super) struct Replayed {
    log: Arc<LogRequests>,
    /// What comes before each path.
    prefix: String,
    expects_logged: bool,
    methods: [hyper::Method; METHODS.len()],
    /// The bodies of the log.
    bodies: Vec<(Bytes, Option<String>)>,
}

impl Replayed {
    pub fn new(replay: &Replay, prefix: &str) -> Self {
        let log = Arc::clone(&replay.log_requests);
        Self {
            bodies: log.bodies.iter().map(|(body, kind)| (Bytes::copy_from_slice(body), kind.clone())).collect(),
            log,
            prefix: prefix.to_owned(),
            expects_logged: replay.expects_logged,
            methods: METHODS.map(|method| hyper::Method::from_bytes(method.as_bytes()).unwrap_or_default()),
        }
    }

    /// Whether all bodies are short enough for the lean path.
    pub fn is_lean(&self) -> bool {
        self.log.longest_body < RANDOM_BLOCK as u64
    }

    /// Makes the request of a pass. `common`: what the requests of its group have in common; `step`: the request of the
    /// connection.
    ///
    /// # Errors
    /// When it would not be valid.
    pub fn make(&self, pass: u64, common: &Step, step: &mut Option<Box<Step>>) -> Result<(), Failure> {
        let step = step.get_or_insert_with(|| Box::new(common.for_replay()));
        // The plan has as many arrivals as the log has requests.
        let Some(request) = self.log.requests.get(pass as usize) else { return Ok(()) };
        let method = METHODS.iter().position(|method| *method == request.method()).unwrap_or_default();
        step.method.clone_from(&self.methods[method]);
        step.set_path(&self.prefix, self.log.path(request))?;
        match request.body {
            LogBody::Empty => step.set_body(None, 0, None),
            LogBody::Random(length) => step.set_body(None, u64::from(length), None),
            LogBody::Logged(number) => {
                let (body, kind) = &self.bodies[number as usize];
                step.set_body(Some(body), 0, kind.as_deref());
            }
        }
        step.statuses.clear();
        let logged = request.status;
        match logged {
            // An answer that was never given says nothing: nginx has 499 where the client had gone.
            _ if !self.expects_logged || logged < 100 || logged == 499 => {}
            _ if ONLY_IF_ASKED.contains(&logged) => step.statuses.extend([logged, 200]),
            _ => step.statuses.push(logged),
        }
        Ok(())
    }
}
