//! What is under test or stands around it: how it is started, known to be ready, and stopped.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::types::{Duration, Lifetime, Names, Port, ResourceLimit, Signal, Size, Statuses, Text, Timeout, Tls, text_as_typed};

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
    /// How long it lives: `repetition` by default.
    #[serde(default)]
    pub lifetime: Lifetime,
    /// Whether it is started again when it ends under load: after 1 s, then 2 s, 4 s … 60 s. What is not answered meanwhile is counted
    /// as errors.
    #[serde(default)]
    pub restart: bool,
    /// How to know that it is ready. By default: its port accepts connections.
    #[serde(default)]
    pub ready: Option<Ready>,
    /// How it is stopped.
    #[serde(default)]
    pub stop: Stop,
    /// Processors on which it may run.
    #[serde(default)]
    pub cpus: Vec<u32>,
    /// Of each of its logs no more than this is kept in a repetition: start and end, with a line about what is cut between them.
    #[serde(default)]
    pub log_limit: Option<Size>,
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
    /// This port accepts connections; with `expect`, it also answers.
    #[serde(default)]
    pub tcp: Option<Port>,
    /// Lines that are sent to the port of `tcp`, each ended with CR LF.
    #[serde(default)]
    pub send: Option<Vec<SentLine>>,
    /// A line of what the port of `tcp` answers matches this regular expression.
    #[serde(default)]
    pub expect: Option<String>,
    /// The Tor whose control port this is has bootstrapped.
    #[serde(default)]
    pub tor: Option<Port>,
    /// The cookie with which the control port of `tor` is authenticated to.
    #[serde(default)]
    pub cookie: Option<Text>,
    /// `GET` of this path (or URL) answers with a status below 400, or one of `status`.
    #[serde(default)]
    pub http: Option<String>,
    /// With `http`: one of these statuses, whatever it is, such as `404`.
    #[serde(default)]
    pub status: Option<Statuses>,
    /// How TLS is spoken, where the URL of `http` begins with `https://`.
    #[serde(default)]
    pub tls: Tls,
    /// A line of its output matches this regular expression.
    #[serde(default)]
    pub log: Option<String>,
    /// This command ends with exit code 0.
    #[serde(default)]
    pub command: Option<Vec<Text>>,
    /// How long to wait; 10 s by default, 60 s for `tor`.
    #[serde(default)]
    pub timeout: Option<Timeout>,
}

/// A line that is sent: as it was typed, or with what a file holds.
#[derive(Clone, Debug)]
pub enum SentLine {
    /// As it was typed.
    Text(Text),
    /// With the bytes of a file.
    OfFile(LineOfFile),
}

/// A line that ends with the bytes of a file in hexadecimal digits.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LineOfFile {
    /// What stands before them.
    #[serde(default)]
    pub text: Option<Text>,
    /// The file; it may appear late.
    pub hex_of: Text,
}

impl<'de> Deserialize<'de> for SentLine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = SentLine;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a line, or `{text: BEFORE, hex-of: FILE}`")
            }
            text_as_typed!(|text| SentLine::Text(Text(text)));
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SentLine, A::Error> {
                LineOfFile::deserialize(MapAccessDeserializer::new(map)).map(SentLine::OfFile)
            }
        }
        deserializer.deserialize_any(V)
    }
}

impl JsonSchema for SentLine {
    fn schema_name() -> Cow<'static, str> {
        "SentLine".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (text, of_file) = (generator.subschema_for::<Text>(), generator.subschema_for::<LineOfFile>());
        json_schema!({"anyOf": [text, of_file], "description": "a line that is sent"})
    }
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
