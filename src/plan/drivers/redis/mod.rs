//! Commands to a server that speaks the Redis protocol (RESP): Redis, Valkey, KeyDB and others.

use std::time::Duration;

use serde::Serialize;

use super::{Asks, Description, Protocol};
use crate::step::shortened;
use crate::text::as_text;
use crate::url::Address;
use crate::{Body, Carry, Draw, Expect, Late, Template};

/// The longest word of a command, and the longest reply, in bytes: what a server accepts by default
/// (`proto-max-bulk-len`).
pub const LONGEST: u64 = 512 << 20;

/// A workload of commands.
#[derive(Clone, Debug, Serialize)]
pub struct Redis {
    /// The server to connect to.
    pub to: Address,
    /// The database that each connection selects; 0 is the initial one.
    pub database: u32,
    /// The user that each connection logs in as.
    pub login: Option<Login>,
    /// Whether a connection is used for more than one pass.
    pub keep_alive: bool,
    /// Values that are drawn for each pass.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub draws: Vec<Draw>,
    /// The commands of one pass.
    pub steps: Vec<Command>,
}

/// The user that a connection logs in as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Login {
    /// The user; `None` for the server's default user.
    pub user: Option<Template>,
    /// The user's password.
    pub password: Template,
}

/// One command of a pass.
#[derive(Clone, Debug, Serialize)]
pub struct Command {
    /// Its name in results.
    pub name: String,
    /// Its words, the first one being the command's own.
    pub words: Vec<Body>,
    /// What the reply must be. A reply that is an error is never accepted.
    pub expect: Expect,
    /// Whether the reply must be nil, or must not be; `None`: both are accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nil: Option<bool>,
    /// Values kept for later steps.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub carry: Vec<Carry>,
    /// How long it may take.
    #[serde(serialize_with = "as_text")]
    pub timeout: Duration,
}

impl Command {
    /// The late names that it inserts, some of them several times.
    pub fn names(&self) -> Vec<&str> {
        let words = self.words.iter().filter_map(|word| match word {
            Body::Text(text) | Body::Json(text) => Some(text),
            Body::Empty | Body::File(_) | Body::Random(_) => None,
        });
        words.chain(&self.expect.text).chain(&self.expect.contains).flat_map(Template::names).collect()
    }

    /// As `runner plan` prints it.
    fn words(&self) -> String {
        let word = |word: &Body| match word {
            Body::Empty => "''".to_owned(),
            Body::Text(text) | Body::Json(text) => text.to_text(),
            Body::File(path) => format!("<{}>", path.display()),
            Body::Random(n) => format!("<{n} random bytes>"),
        };
        let words = shortened(&self.words.iter().map(word).collect::<Vec<_>>().join(" "));
        let nil = match self.nil {
            Some(true) => "  expects nil",
            Some(false) => "  expects a value",
            None => "",
        };
        let length = self.expect.length.map_or_else(String::new, |n| format!(" of {n} bytes"));
        format!("{}: {words}{nil}{length}", self.name)
    }
}

impl Protocol for Redis {
    fn steps(&self) -> Vec<String> {
        self.steps.iter().map(|s| s.name.clone()).collect()
    }

    fn addresses(&self) -> Vec<(&str, u16)> {
        vec![(&self.to.host, self.to.port)]
    }

    fn addresses_mut(&mut self) -> Vec<(&mut String, &mut u16)> {
        vec![(&mut self.to.host, &mut self.to.port)]
    }

    fn round_trips(&self) -> u32 {
        self.steps.len() as u32 + super::connecting(self.keep_alive)
    }

    fn fill(&mut self, late: &Late<'_>) {
        if let Some(login) = &mut self.login {
            let templates = login.user.iter_mut().chain([&mut login.password]);
            templates.for_each(|template| *template = template.fill(late));
        }
        for step in &mut self.steps {
            step.words.iter_mut().for_each(|word| word.fill(late));
            step.expect.fill(late);
        }
    }

    fn draws(&self) -> &[Draw] {
        &self.draws
    }

    fn asks(&self) -> Asks {
        Asks::Nobody
    }

    fn description(&self) -> Description {
        let database = if self.database == 0 { String::new() } else { format!(", database {}", self.database) };
        let once = if self.keep_alive { "" } else { ", one pass per connection" };
        let mut lines: Vec<String> = self.draws.iter().map(Draw::words).collect();
        if let Some(login) = &self.login {
            lines.push(match &login.user {
                Some(user) => format!("as {}, with a password", user.to_text()),
                None => "with a password".to_owned(),
            });
        }
        lines.extend(self.steps.iter().map(Command::words));
        Description { to: format!(" to {} over the Redis protocol{database}{once}", self.to), lines }
    }
}
