//! Messages over a websocket: one at a time on each connection, or as many as a schedule asks for.

use serde::Serialize;

use super::{Asks, Description, Protocol};
use crate::step::shortened;
use crate::template::Part;
use crate::{Auth, Draw, Late, Message, Template, Tls, Url};
use vocabulary::{Interest, NamedMetric};

/// The name of the next key of the text that is typed.
pub const KEY: &str = "key";
/// Shares of the messages of a phase, in percent, in the order in which they are recorded.
pub const SHARES: [(&str, Interest); 2] = [("lost", Interest::Fault), ("out_of_order", Interest::Recorded)];
/// Counts for each phase. Pushes are expected if the scenario describes them.
pub const COUNTS: [(&str, Interest); 3] =
    [("duplicates", Interest::Fault), ("unexpected", Interest::Fault), ("pushes", Interest::Recorded)];
/// How long handshakes took: percentiles over all connections.
pub const HANDSHAKES: [(&str, f64); 3] = [("handshake_p50", 0.5), ("handshake_p99", 0.99), ("handshake_max", 1.0)];

/// Name, unit and interest of the metrics of messages besides times, in the order in which they are recorded: shares,
/// counts and handshakes. `matched`: whether answers are matched; otherwise no answer can be lost, out of order or
/// duplicated.
pub fn told(matched: bool) -> impl Iterator<Item = (&'static str, &'static str, Interest)> {
    let shares = SHARES.into_iter().filter(move |_| matched).map(|(name, interest)| (name, "%", interest));
    let counts = COUNTS.into_iter().filter(move |(name, _)| matched || *name != "duplicates");
    let handshakes = HANDSHAKES.into_iter().map(|(name, _)| (name, "ns", Interest::Recorded));
    shares.chain(counts.map(|(name, interest)| (name, "", interest))).chain(handshakes)
}

/// A workload of messages over a websocket.
#[derive(Clone, Debug, Serialize)]
pub struct Websocket {
    /// The server to connect to; with `tls` for `wss://`. Without a path.
    pub url: Url,
    /// Path and query of the handshake.
    pub path: String,
    /// A Unix socket to connect to instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket: Option<Template>,
    /// How TLS is spoken, with `wss://`.
    #[serde(flatten)]
    pub tls: Tls,
    /// Subprotocols that are offered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subprotocols: Vec<String>,
    /// Headers of the handshake, names in lower case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, Template)>,
    /// User and password of the handshake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// The messages with which each connection starts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<Message>,
    /// How answers are matched; without it, a connection waits for each answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matching: Option<Matching>,
    /// Unasked messages contain a match of this regular expression.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pushes: Option<String>,
    /// The text that is typed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Whether all messages are binary, or none; by default, those whose content need not be text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binary: Option<bool>,
    /// Whether a connection is used for more than one pass.
    pub keep_alive: bool,
    /// Values that are drawn for each pass.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub draws: Vec<Draw>,
    /// The messages of one pass.
    pub steps: Vec<Message>,
}

/// How an answer is known to belong to a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Matching {
    /// Answers come in the order of the messages.
    Order,
    /// The value at this JSON pointer in both.
    Json(String),
    /// What this regular expression finds in both: its first group, or the whole match.
    Regex(String),
}

impl Websocket {
    /// Its address, for people.
    pub fn address(&self) -> String {
        format!("ws{}://{}{}", if self.url.tls { "s" } else { "" }, self.url.authority(), self.path)
    }
}

impl Protocol for Websocket {
    fn steps(&self) -> Vec<String> {
        self.steps.iter().map(|s| s.name.clone()).collect()
    }

    fn metrics(&self) -> Vec<NamedMetric> {
        told(self.matching.is_some()).map(|(name, unit, interest)| NamedMetric::new(name, unit, interest)).collect()
    }

    fn addresses(&self) -> Vec<(&str, u16)> {
        vec![(&self.url.host, self.url.port)]
    }

    fn addresses_mut(&mut self) -> Vec<(&mut String, &mut u16)> {
        vec![(&mut self.url.host, &mut self.url.port)]
    }

    fn round_trips(&self) -> u32 {
        // A handshake is one more after connecting.
        self.steps.len() as u32 + 2 * super::connecting(self.keep_alive)
    }

    fn fill(&mut self, late: &Late<'_>) {
        let fill_in = |template: &mut Template| *template = template.fill(late);
        self.socket.as_mut().map(fill_in);
        self.headers.iter_mut().for_each(|(_, value)| fill_in(value));
        if let Some(auth) = self.auth.take().filter(|_| self.headers.iter().all(|(name, _)| name != "authorization")) {
            self.headers.push(("authorization".to_owned(), Template(vec![Part::Text(auth.header(late))])));
        }
        for message in self.open.iter_mut().chain(&mut self.steps) {
            if let Some(body) = &mut message.send {
                body.fill(late);
            }
            message.expect.fill(late);
        }
    }

    fn has_many_under_way(&self) -> bool {
        self.matching.is_some()
    }

    fn draws(&self) -> &[Draw] {
        &self.draws
    }

    fn asks(&self) -> Asks {
        // Its handshakes are requests over HTTP, which a server may count.
        Asks::Anybody
    }

    fn credentials(&self) -> Vec<&Auth> {
        self.auth.iter().collect()
    }

    fn description(&self) -> Description {
        let socket = self.socket.as_ref().map_or_else(String::new, |s| format!(" over {}", s.to_text()));
        let once = if self.keep_alive { "" } else { ", one pass per connection" };
        let mut lines: Vec<String> = self.draws.iter().map(Draw::words).collect();
        if !self.subprotocols.is_empty() {
            lines.push(format!("subprotocol {}", self.subprotocols.join(" or ")));
        }
        if let Some(auth) = &self.auth {
            lines.push(format!("as {}, with a password", auth.user.to_text()));
        }
        lines.extend(self.open.iter().map(|message| format!("first {}", message.words())));
        if let Some(text) = &self.text {
            lines.push(format!("keys of {}", shortened(text)));
        }
        lines.extend(self.steps.iter().map(Message::words));
        lines.extend(self.matching.as_ref().map(|matching| match matching {
            Matching::Order => "answers come in the order of the messages, which do not wait for them".to_owned(),
            Matching::Json(pointer) => format!("answers are known by `{pointer}`; messages do not wait for them"),
            Matching::Regex(pattern) => format!("answers are known by /{pattern}/; messages do not wait for them"),
        }));
        Description { to: format!(" to {}{socket}{once}", self.address()), lines }
    }
}
