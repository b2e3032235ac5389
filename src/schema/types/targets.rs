//! What is under test or stands around it: how it is started, known to be ready, and stopped.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use crate::types::{Duration, Names, Port, ResourceLimit, Signal, Text, Timeout};

/// Something under test or around it.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Target {
    /// Only in cells in which this is true.
    #[serde(default)]
    pub when: Option<bool>,
    /// A server that ships with runner. `--port` is added when the target has a port.
    #[serde(default)]
    pub fixture: Option<String>,
    /// A program and its arguments. No shell.
    #[serde(default)]
    pub command: Option<Vec<Text>>,
    /// A command line for `sh -c`.
    #[serde(default)]
    pub shell: Option<String>,
    /// A container, started through `docker` or `podman`, whichever engine answers.
    #[serde(default)]
    pub container: Option<Container>,
    /// `http://host:port` of something that already runs; it is neither started nor watched.
    #[serde(default)]
    pub address: Option<String>,
    /// How many processes. Each knows its `${replica}`, counted from 1.
    #[serde(default)]
    pub replicas: Option<u32>,
    /// The port on which it listens.
    #[serde(default)]
    pub port: Option<Port>,
    /// Further ports by name.
    #[serde(default)]
    pub ports: BTreeMap<String, Port>,
    /// Arguments after those of `fixture` or `command`.
    #[serde(default)]
    pub args: Vec<Text>,
    /// Environment variables, added to the runner's own.
    #[serde(default)]
    pub env: BTreeMap<String, Text>,
    /// Working directory.
    #[serde(default)]
    pub dir: Option<String>,
    /// Files made in the scratch directory from templates: name to template file.
    #[serde(default)]
    pub render: BTreeMap<String, String>,
    /// Programs without which cells with this target are skipped, loudly.
    #[serde(default)]
    pub needs: Names,
    /// Targets that must be ready before this one is started.
    #[serde(default)]
    pub after: Names,
    /// How to know that it is ready. By default: its port accepts connections.
    #[serde(default)]
    pub ready: Option<Ready>,
    /// How it is stopped.
    #[serde(default)]
    pub stop: Stop,
    /// Processors on which it may run.
    #[serde(default)]
    pub cpus: Vec<u32>,
    /// Limits of resources that differ from those that the shell gave.
    #[serde(default)]
    pub rlimits: ResourceLimits,
}

/// Limits of resources, as `ulimit -S` sets them; see setrlimit(2). A higher one than the hard limit needs the right to raise it.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ResourceLimits {
    /// Open files.
    #[serde(default)]
    pub open_files: Option<ResourceLimit>,
    /// Processes and threads of its user.
    #[serde(default)]
    pub processes: Option<ResourceLimit>,
    /// Bytes of memory that may be locked.
    #[serde(default)]
    pub memory_locked: Option<ResourceLimit>,
    /// Bytes of address space.
    #[serde(default)]
    pub address_space: Option<ResourceLimit>,
    /// Bytes of data.
    #[serde(default)]
    pub data: Option<ResourceLimit>,
    /// Bytes of the stack of the first thread.
    #[serde(default)]
    pub stack: Option<ResourceLimit>,
    /// Bytes of a core file.
    #[serde(default)]
    pub core: Option<ResourceLimit>,
    /// Bytes of a file that it writes.
    #[serde(default)]
    pub file_size: Option<ResourceLimit>,
}

/// A container. Its image must be there; none is fetched.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Container {
    /// Name of the image.
    pub image: Text,
    /// Arguments after the image.
    #[serde(default)]
    pub args: Vec<Text>,
    /// Environment variables inside.
    #[serde(default)]
    pub env: BTreeMap<String, Text>,
    /// Ports that are published on this machine's loopback, such as `8098:8098`: the one here, the one inside.
    #[serde(default)]
    pub ports: Vec<Text>,
    /// Directories of this machine that are seen inside, such as `/here:/inside`.
    #[serde(default)]
    pub volumes: Vec<Text>,
    /// The engine's network in which it runs, such as `host`.
    #[serde(default)]
    pub network: Option<Text>,
}

/// How to know that a target is ready: exactly one probe.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Ready {
    /// This port accepts connections.
    #[serde(default)]
    pub tcp: Option<Port>,
    /// `GET` of this path (or URL) answers with a status below 400.
    #[serde(default)]
    pub http: Option<String>,
    /// A line of its output matches this regular expression.
    #[serde(default)]
    pub log: Option<String>,
    /// This command ends with exit code 0.
    #[serde(default)]
    pub command: Option<Vec<Text>>,
    /// How long to wait; 10 s by default.
    #[serde(default)]
    pub timeout: Option<Timeout>,
}

/// How a target is stopped.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Stop {
    /// The first signal; `TERM` by default.
    #[serde(default)]
    pub signal: Option<Signal>,
    /// How long it may take before it is killed; 5 s by default.
    #[serde(default)]
    pub grace: Option<Duration>,
}
