//! Requests over HTTP/1.1 or HTTP/2.

use serde::Serialize;

use super::{Asks, Description, Protocol};
use crate::step::any_of;
use crate::template::Part;
use crate::{Auth, Draw, Driver, Late, Length, Load, Segment, Socks, Step, Template, Tls, Url, Workload};
use vocabulary::choices::Cookies;
use vocabulary::rows::{PERCENTS, Stage};
use vocabulary::{Better, Interest, NamedMetric, Phase};

/// More requests at a time on one connection than any server accepts.
pub const MAX_STREAMS: u32 = 1000;

/// A workload over HTTP.
#[derive(Clone, Debug, Serialize)]
pub struct Http {
    /// The servers; connections are dealt out to them in turn.
    pub urls: Vec<Url>,
    /// A Unix socket to connect to instead.
    pub socket: Option<Template>,
    /// 1 (HTTP/1.1) or 2.
    pub version: u8,
    /// Requests at a time on one connection, with version 2.
    pub streams: u32,
    /// Whether a connection is used for more than one request.
    pub keep_alive: bool,
    /// How many redirects are followed.
    pub redirects: u32,
    /// Other origins that may receive secrets through a redirect.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trusted: Vec<Url>,
    /// How TLS is spoken, with `https://`.
    #[serde(flatten)]
    pub tls: Tls,
    /// The proxy through which connections go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socks: Option<Socks>,
    /// Whether each request is recorded stage by stage; then each has its own connection.
    #[serde(skip_serializing_if = "is_false")]
    pub stages: bool,
    /// Values that are drawn for each pass.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub draws: Vec<Draw>,
    /// The requests with which a user begins.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub user: Vec<Step>,
    /// The statuses at which a user logs in again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub relogin: Vec<u16>,
    /// Whose cookies are kept.
    #[serde(skip_serializing_if = "Cookies::is_none")]
    pub cookies: Cookies,
    /// The requests of one pass.
    pub steps: Vec<Step>,
}

impl Http {
    /// Plain HTTP/1.1 with keep-alive to one URL.
    pub fn plain(url: Url, steps: Vec<Step>) -> Self {
        Self {
            urls: vec![url],
            socket: None,
            version: 1,
            streams: 1,
            keep_alive: true,
            redirects: 0,
            trusted: Vec::new(),
            tls: Tls::default(),
            socks: None,
            stages: false,
            draws: Vec::new(),
            user: Vec::new(),
            relogin: Vec::new(),
            cookies: Cookies::None,
            steps,
        }
    }

    /// A workload of one pass on one connection, used for set-up and clean-up requests.
    pub fn once(self, name: &str) -> Workload {
        let during = Segment { phase: Phase::During, length: Length::Amount(1), active: true };
        let load = Load { segments: vec![during], ..Load::unset() };
        let driver = Driver::Http(self);
        Workload { name: name.to_owned(), on: None, driver, load, threads: 1, cpus: Vec::new(), needs: Vec::new() }
    }
}

impl Http {
    /// The steps of a pass, and then those of a user.
    pub fn all_steps(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().chain(&self.user)
    }
}

/// The outcomes named by steps, each once.
pub fn named_outcomes(steps: &[Step]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for outcome in steps.iter().flat_map(|s| &s.outcomes) {
        if !names.contains(&outcome.name) {
            names.push(outcome.name.clone());
        }
    }
    names
}

/// Metrics of requests that are recorded stage by stage, in this order: how long each of [`Stage::ALL`] took
/// (`stage_connect` is from the socket to the connection), the time from the start until each of [`PERCENTS`] of the
/// body had arrived, and how long the last fifth took, when the connection is up to speed, all in milliseconds; the
/// speed of that fifth in MB/s; and the shares of transfers that were given up as too slow, and that failed in another
/// way, in percent.
pub const TRANSFER_METRICS: [&str; Stage::ALL.len() + PERCENTS.len() + 4] = [
    "stage_socket",
    "stage_connect",
    "stage_negotiate",
    "stage_request",
    "stage_response",
    "stage_data_request",
    "stage_data_response",
    "perc0",
    "perc10",
    "perc20",
    "perc30",
    "perc40",
    "perc50",
    "perc60",
    "perc70",
    "perc80",
    "perc90",
    "perc100",
    "last_fifth",
    "last_fifth_rate",
    "transfers_timed_out",
    "transfers_failed",
];

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
pub(super) fn is_false(it: &bool) -> bool {
    !it
}

/// [`TRANSFER_METRICS`], with their units.
pub(super) fn transfer_metrics() -> Vec<NamedMetric> {
    let metric = |(at, name): (usize, &&str)| match at {
        at if at >= Stage::ALL.len() && at < Stage::ALL.len() + PERCENTS.len() => {
            NamedMetric::new(name, "ms", Interest::Recorded)
        }
        _ if *name == "last_fifth_rate" => NamedMetric::new(name, "MB/s", Interest::Anyway),
        _ if name.starts_with("transfers_") => {
            NamedMetric { better: Better::Less, ..NamedMetric::new(name, "%", Interest::Fault) }
        }
        _ => NamedMetric::new(name, "ms", Interest::Anyway),
    };
    TRANSFER_METRICS.iter().enumerate().map(metric).collect()
}

impl Protocol for Http {
    /// Those of a pass first.
    fn steps(&self) -> Vec<String> {
        self.all_steps().map(|s| s.name.clone()).collect()
    }

    fn metrics(&self) -> Vec<NamedMetric> {
        if self.stages { transfer_metrics() } else { Vec::new() }
    }

    fn outcomes(&self) -> Vec<String> {
        named_outcomes(&self.steps)
    }

    fn addresses(&self) -> Vec<(&str, u16)> {
        if let Some(socks) = &self.socks {
            return vec![(&socks.address.host, socks.address.port)];
        }
        self.urls.iter().map(|u| (u.host.as_str(), u.port)).collect()
    }

    fn addresses_mut(&mut self) -> Vec<(&mut String, &mut u16)> {
        if let Some(socks) = &mut self.socks {
            return vec![(&mut socks.address.host, &mut socks.address.port)];
        }
        self.urls.iter_mut().map(|u| (&mut u.host, &mut u.port)).collect()
    }

    fn round_trips(&self) -> u32 {
        self.steps.len() as u32 + super::connecting(self.keep_alive)
    }

    fn fill(&mut self, late: &Late<'_>) {
        self.socks.iter_mut().for_each(|socks| socks.fill(late));
        let fill_in = |template: &mut Template| *template = template.fill(late);
        self.socket.as_mut().map(fill_in);
        for step in self.steps.iter_mut().chain(&mut self.user) {
            fill_in(&mut step.path);
            step.headers.iter_mut().for_each(|(_, value)| fill_in(value));
            if let Some(auth) = step.auth.take().filter(|_| step.headers.iter().all(|(name, _)| name != "authorization")) {
                let value = Template(vec![Part::Text(auth.header(late))]);
                step.headers.push(("authorization".to_owned(), value));
            }
            step.body.fill(late);
            step.expect.fill(late);
        }
    }

    fn user_steps(&self) -> usize {
        self.user.len()
    }

    fn users_per_connection(&self) -> u64 {
        self.streams.into()
    }

    fn draws(&self) -> &[Draw] {
        &self.draws
    }

    fn asks(&self) -> Asks {
        match (&self.socket, &self.socks) {
            (Some(_), _) => Asks::Socket,
            // The proxy knows the server's address.
            (None, Some(_)) => Asks::Anybody,
            (None, None) => Asks::Addresses,
        }
    }

    fn credentials(&self) -> Vec<&Auth> {
        self.all_steps().filter_map(|step| step.auth.as_ref()).collect()
    }

    fn description(&self) -> Description {
        let urls: Vec<String> = self.urls.iter().map(ToString::to_string).collect();
        let socket = self.socket.as_ref().map_or_else(String::new, |s| format!(" over {}", s.to_text()));
        let version = if self.version == 2 { format!(", HTTP/2 with {} streams", self.streams) } else { String::new() };
        let socks = self.socks.as_ref().map_or_else(String::new, |s| format!(" {s}"));
        let once = if self.keep_alive { "" } else { ", one request per connection" };
        let mut lines: Vec<String> = self.draws.iter().map(Draw::words).collect();
        if let Some(auth) = self.steps.iter().find_map(|s| s.auth.as_ref()) {
            lines.push(format!("as {}, with a password", auth.user.to_text()));
        }
        if !self.cookies.is_none() {
            lines.push(format!("cookies of each {}", if self.cookies == Cookies::User { "user" } else { "pass" }));
        }
        lines.extend(self.user.iter().map(|step| format!("once per user, {}", step.words())));
        if !self.relogin.is_empty() {
            lines.push(format!("users log in again at {}", any_of(&self.relogin)));
        }
        lines.extend(self.steps.iter().map(Step::words));
        Description { to: format!(" to {}{socket}{socks}{version}{once}", urls.join(", ")), lines }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_metrics_are_those_of_stages_and_tenths() {
        let stages = Stage::ALL.iter().map(|stage| format!("stage_{}", stage.name()));
        let names: Vec<String> = stages.chain(PERCENTS.iter().map(|percent| format!("perc{percent}"))).collect();
        assert_eq!(TRANSFER_METRICS[..names.len()], names);
    }
}
