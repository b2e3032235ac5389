//! Set-up and clean-up: commands, requests and checkouts.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::text::as_text;
use super::{Cache, Checkout, ControlPort, Step, Template, Tls, Url};

/// A command that runs to its end.
#[derive(Clone, Debug, Serialize)]
pub struct Invocation {
    /// Program and arguments.
    pub argv: Vec<Template>,
    /// Working directory.
    pub dir: Option<Template>,
    /// Environment variables in addition to those of `runner` itself.
    pub env: Vec<(String, Template)>,
    /// How long it may take.
    #[serde(serialize_with = "as_text")]
    pub timeout: Duration,
}

/// A set-up or clean-up step.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// A command that must end with exit code 0.
    Command {
        /// The program, its arguments and where it runs.
        #[serde(flatten)]
        invocation: Invocation,
        /// The kept result of the command, if it is not to be executed again.
        #[serde(skip_serializing_if = "Option::is_none")]
        cache: Option<Cache>,
    },
    /// A request that must be answered as expected.
    Request {
        /// The URL, without the path.
        url: Url,
        /// How TLS is used, with `https://`.
        #[serde(skip_serializing_if = "Tls::is_usual")]
        tls: Tls,
        /// The request.
        step: Box<Step>,
        /// How often it is sent.
        times: u64,
    },
    /// Commands to Tor, each of which must succeed.
    Control {
        /// Its control port.
        #[serde(flatten)]
        port: ControlPort,
        /// The commands, one after the other.
        send: Vec<Template>,
        /// A pattern that a line of the last answer must match.
        #[serde(skip_serializing_if = "Option::is_none")]
        expect: Option<String>,
        /// How long the whole step may take.
        #[serde(serialize_with = "as_text")]
        timeout: Duration,
    },
    /// A commit that must be checked out and built.
    Checkout(Box<Checkout>),
    /// A step that is done on each machine with a role.
    On {
        /// The role.
        on: String,
        /// What is done there.
        action: Box<Action>,
    },
}

impl Action {
    /// What the step makes and keeps, if anything.
    pub fn cache(&self) -> Option<&Cache> {
        match self {
            Self::Command { cache, .. } => cache.as_ref(),
            Self::Checkout(checkout) => Some(&checkout.cache),
            Self::On { action, .. } => action.cache(),
            Self::Request { .. } | Self::Control { .. } => None,
        }
    }

    /// What the step checks out, if anything.
    pub fn checkout(&self) -> Option<&Checkout> {
        match self {
            Self::Checkout(checkout) => Some(checkout),
            Self::On { action, .. } => action.checkout(),
            _ => None,
        }
    }

    /// The request of the step, if it is one.
    pub fn request(&self) -> Option<&Step> {
        match self {
            Self::Request { step, .. } => Some(step),
            Self::On { action, .. } => action.request(),
            Self::Command { .. } | Self::Control { .. } | Self::Checkout(_) => None,
        }
    }

    /// The step for one of the machines, if it is done there; `role`: what the machine is for, none: the one of the run itself.
    fn of_host(&self, role: Option<&str>) -> Option<Self> {
        match self {
            Self::On { on, action } => (role == Some(on)).then(|| (**action).clone()),
            other => role.is_none().then(|| other.clone()),
        }
    }

    /// The steps of a list that are done on one of the machines.
    pub(super) fn all_of_host(actions: &[Self], role: Option<&str>) -> Vec<Self> {
        actions.iter().filter_map(|action| action.of_host(role)).collect()
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command { invocation, .. } => {
                f.write_str(&invocation.argv.iter().map(Template::to_text).collect::<Vec<_>>().join(" "))
            }
            Self::Request { url, step, times, .. } => {
                write!(f, "{} {url}{}", step.method, step.path.to_text())?;
                if *times > 1 { write!(f, " ({times} times)") } else { Ok(()) }
            }
            Self::Control { port, send, .. } => {
                let send: Vec<String> = send.iter().map(Template::to_text).collect();
                write!(f, "{} to Tor at {}", send.join(", "), port.address.to_text())
            }
            Self::Checkout(checkout) => f.write_str(&checkout.words()),
            Self::On { on, action } => write!(f, "{action} on {on}"),
        }
    }
}
