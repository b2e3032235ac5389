//! What is under test or around it: how it is started, known to be ready, and stopped.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::types::{Duration, Lifetime, Names, Port, ResourceLimit, Signal, Size, Statuses, Text, Timeout, Tls, text_as_typed};

/// A program under test, or one around it: how it is started, known to be ready, and stopped.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "targets"))]
pub struct Target {
    /// Whether the target exists in a cell: an expression that gives `true` or `false`.
    #[serde(default)]
    #[schemars(extend("x-default" = "true", "examples" = ["${proxy == \"nginx\"}"]))]
    pub when: Option<bool>,
    /// The [role](hosts.md) of the machine on which the target runs, which must be one machine.
    #[serde(default)]
    #[schemars(extend("x-default" = "this machine", "examples" = ["server"]))]
    pub on: Option<String>,
    /// A server that ships with `runner`; `--port` is added if the target has a `port`. General servers: `blobs-server`, `proxy`,
    /// `faulty`, `null-server`, `stall`, `queue`, `cpu-server`, `shop`. For [typing over a websocket](../terminal.md): `terminal`,
    /// `websocket-echo`, `faulty-websocket`. For [transfers through Tor](../fixtures-tor.md): `random-data`, `socks`. For
    /// [VTP](vtp.md): `vtp-broker`, `vtp-subscriber`.
    #[serde(default)]
    #[schemars(extend("examples" = ["blobs-server"]))]
    pub fixture: Option<String>,
    /// A program and its arguments, started without a shell. [Files and programs](files.md) says where the program is looked for.
    #[serde(default)]
    #[schemars(extend("examples" = [["nginx", "-c", "${scratch}/nginx.conf"]]))]
    pub command: Option<Vec<Text>>,
    /// A command line for `sh -c`.
    #[serde(default)]
    #[schemars(extend("examples" = ["cd app && ./start"]))]
    pub shell: Option<String>,
    /// A container, started through `docker` or `podman`: [Containers](containers.md). `args`, `env`, `dir`, `cpus` and
    /// `rlimits` cannot be used with `container`.
    #[serde(default)]
    #[schemars(extend("examples" = [{"image": "app:1"}]))]
    pub container: Option<Container>,
    /// The URL, without a path, of something that already runs. `runner` neither starts nor watches it, and the table
    /// of results says so. Only `when`, `after` and `ready` can be used with it.
    #[serde(default)]
    #[schemars(extend("examples" = ["http://10.0.0.5:8000"]))]
    pub address: Option<String>,
    /// How many processes the target has, from 1 to 1000. Each knows its own number as `${replica}`, counted from 1.
    #[serde(default)]
    #[schemars(extend("x-default" = "1", "examples" = ["${processes}"]))]
    pub replicas: Option<u32>,
    /// The port on which the target listens. Each replica needs its own, and no two targets of a cell may share one. The port
    /// must be free before the target is started and after it is stopped.
    #[serde(default)]
    #[schemars(extend("examples" = ["${8000 + replica}"]))]
    pub port: Option<Port>,
    /// Further ports by name, checked in the same way as `port`. The target knows them as `${ports.NAME}`.
    #[serde(default)]
    #[schemars(extend("examples" = [{"admin": 9000}]))]
    pub ports: BTreeMap<String, Port>,
    /// Arguments after those of `fixture` or `command`.
    #[serde(default)]
    #[schemars(extend("examples" = [["--dir", "${scratch}/blobs"]]))]
    pub args: Vec<Text>,
    /// Environment variables, added to those of `runner`.
    #[serde(default)]
    #[schemars(extend("examples" = [{"WORKERS": "${n}"}]))]
    pub env: BTreeMap<String, Text>,
    /// The working directory. [Files and programs](files.md) says where a folder is looked for.
    #[serde(default)]
    #[schemars(extend("x-default" = "the folder of the scenario", "examples" = ["${scratch}"]))]
    pub dir: Option<String>,
    /// Files that are made from [templates](templates.md) in the scratch directory before the target starts: name of the file to
    /// name of the template. For a target that outlives repetitions they are made in `${kept}`.
    #[serde(default)]
    #[schemars(extend("examples" = [{"nginx.conf": "haproxy/nginx.conf.j2"}]))]
    pub render: BTreeMap<String, String>,
    /// One or more programs. Where one of them is not installed, cells with this target are skipped with a warning.
    #[serde(default)]
    #[schemars(extend("examples" = ["haproxy"]))]
    pub needs: Names,
    /// One or more targets that must be ready before this one is started.
    #[serde(default)]
    #[schemars(extend("examples" = ["blobs"]))]
    pub after: Names,
    /// How long the target lives: for a `repetition`, as long as repetitions of one `cell` follow each other, or for the `run`.
    /// [Lifetimes](lifetimes.md) says when it is started and stopped.
    #[serde(default)]
    #[schemars(extend("examples" = ["run"]))]
    pub lifetime: Lifetime,
    /// Whether the target is started again if it ends under load: after 1 s, then 2 s, 4 s … 60 s. Otherwise its end fails the
    /// repetition. Requests that are not answered meanwhile count as errors: [Restart](lifetimes.md#restart).
    #[serde(default)]
    #[schemars(extend("examples" = [true]))]
    pub restart: bool,
    /// How `runner` knows that the target is ready: one probe, with or without a time-out. A time-out alone is that of the default
    /// probe.
    #[serde(default)]
    #[schemars(extend(
        "x-default" = "`port` (or `address`) accepts connections; without either: at once",
        "examples" = [{"http": "/"}]
    ))]
    pub ready: Option<Ready>,
    /// How the target is stopped: a signal, and how long the target may take to end.
    #[serde(default)]
    #[schemars(extend("x-default" = "`TERM`, and 5 s", "examples" = [{"signal": "QUIT"}]))]
    pub stop: Stop,
    /// The processors on which the target may run, counted from 0.
    #[serde(default)]
    #[schemars(extend("x-default" = "all", "examples" = [[0]]))]
    pub cpus: Vec<u32>,
    /// How much is kept in a repetition of the target's output, and of its error output: at least `64KiB`. The first and the last
    /// half are kept; a line between them says how many bytes were cut. See [Long logs](targets.md#long-logs).
    #[serde(default)]
    #[schemars(extend("x-default" = "everything is kept", "examples" = ["100MiB"]))]
    pub log_limit: Option<Size>,
    /// Soft limits of resources that differ from those of the shell that started `runner`.
    #[serde(default)]
    #[schemars(extend("x-default" = "those of the shell", "examples" = [{"open-files": 65536}]))]
    pub rlimits: ResourceLimits,
}

/// Soft limits of resources, as `ulimit -S` sets them; see setrlimit(2). Each is a number, a size or `unlimited`. Where it
/// exceeds the hard limit, the hard limit is raised too, if that is allowed.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "targets"))]
pub struct ResourceLimits {
    /// How many files each process may have open.
    #[serde(default)]
    #[schemars(extend("x-default" = "that of the shell", "examples" = [65536]))]
    pub open_files: Option<ResourceLimit>,
    /// How many processes and threads the user may have.
    #[serde(default)]
    #[schemars(extend("x-default" = "that of the shell", "examples" = [4096]))]
    pub processes: Option<ResourceLimit>,
    /// How much memory each process may lock.
    #[serde(default)]
    #[schemars(extend("x-default" = "that of the shell", "examples" = ["unlimited"]))]
    pub memory_locked: Option<ResourceLimit>,
    /// How large the address space of each process may be.
    #[serde(default)]
    #[schemars(extend("x-default" = "that of the shell", "examples" = ["4GiB"]))]
    pub address_space: Option<ResourceLimit>,
    /// How large the data segment of each process may be.
    #[serde(default)]
    #[schemars(extend("x-default" = "that of the shell", "examples" = ["1GiB"]))]
    pub data: Option<ResourceLimit>,
    /// How large the stack of a process's first thread may be.
    #[serde(default)]
    #[schemars(extend("x-default" = "that of the shell", "examples" = ["64MiB"]))]
    pub stack: Option<ResourceLimit>,
    /// How large a core file may be.
    #[serde(default)]
    #[schemars(extend("x-default" = "that of the shell", "examples" = [0]))]
    pub core: Option<ResourceLimit>,
    /// How large a file that a process writes may become.
    #[serde(default)]
    #[schemars(extend("x-default" = "that of the shell", "examples" = ["10GiB"]))]
    pub file_size: Option<ResourceLimit>,
}

/// A container. Its image must exist; `runner` never fetches one.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "containers"))]
pub struct Container {
    /// The name of the image.
    #[schemars(extend("examples" = ["debian:12"]))]
    pub image: Text,
    /// Arguments after the image.
    #[serde(default)]
    #[schemars(extend("examples" = [["nginx", "-g", "daemon off;"]]))]
    pub args: Vec<Text>,
    /// Environment variables inside the container.
    #[serde(default)]
    #[schemars(extend("examples" = [{"WORKERS": "4"}]))]
    pub env: BTreeMap<String, Text>,
    /// Ports that are published at 127.0.0.1: the port here, a colon, and the port inside. A single number is used for
    /// both.
    #[serde(default)]
    #[schemars(extend("examples" = [["8098:80"]]))]
    pub ports: Vec<Text>,
    /// Directories of this machine that are visible inside: the path here, a colon, and the path inside, both absolute.
    #[serde(default)]
    #[schemars(extend("examples" = [["${scratch}:/data"]]))]
    pub volumes: Vec<Text>,
    /// The engine's network in which the container runs.
    #[serde(default)]
    #[schemars(extend("x-default" = "the engine's own", "examples" = ["host"]))]
    pub network: Option<Text>,
}

/// How to know that a target is ready: exactly one of `tcp`, `tor`, `http`, `log` and `command`, with or without a time-out. A
/// time-out alone is that of the default probe.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "targets"))]
pub struct Ready {
    /// Ready when this port of 127.0.0.1 accepts connections. With `expect`, it must also answer.
    #[serde(default)]
    #[schemars(extend("x-default" = "the target's `port`", "examples" = [8000]))]
    pub tcp: Option<Port>,
    /// With `tcp` and `expect`: lines that are sent to the port, all at once, each ended with CR LF unless it ends with a line
    /// feed. A line can end with the bytes of a file in hexadecimal digits: `{text: "AUTHENTICATE ", hex-of: FILE}`.
    #[serde(default)]
    #[schemars(extend("examples" = [["PING"]]))]
    pub send: Option<Vec<SentLine>>,
    /// With `tcp`: a regular expression. The target is ready when a line of what the port answers matches it. See [Probes that
    /// ask](targets.md#probes-that-ask).
    #[serde(default)]
    #[schemars(extend("examples" = ["PONG"]))]
    pub expect: Option<String>,
    /// Ready when the Tor with this control port has bootstrapped (100 %).
    #[serde(default)]
    #[schemars(extend("examples" = [9051]))]
    pub tor: Option<Port>,
    /// With `tor`: the file with the cookie for the control port.
    #[serde(default)]
    #[schemars(extend("x-default" = "authenticates without a cookie", "examples" = ["${scratch}/tor/control_auth_cookie"]))]
    pub cookie: Option<Text>,
    /// Ready when a `GET` of this path or URL is answered with a status below 400, or one of `status`. `https://` is spoken over
    /// [TLS](urls.md#tls).
    #[serde(default)]
    #[schemars(extend("examples" = ["/health"]))]
    pub http: Option<String>,
    /// With `http`: one or more statuses. Only these mean that the target is ready, whatever they are.
    #[serde(default)]
    #[schemars(extend("x-default" = "all below 400", "examples" = [404]))]
    pub status: Option<Statuses>,
    /// With `http: https://…`: how [TLS](urls.md#tls) is spoken.
    #[serde(default)]
    #[schemars(extend("x-default" = "what the system trusts", "examples" = [{"ca": "certs/ca.pem"}]))]
    pub tls: Tls,
    /// Ready when a line of the target's output or error output matches this regular expression.
    #[serde(default)]
    #[schemars(extend("examples" = ["listening on"]))]
    pub log: Option<String>,
    /// Ready when this command ends with exit code 0.
    #[serde(default)]
    #[schemars(extend("examples" = [["pg_isready"]]))]
    pub command: Option<Vec<Text>>,
    /// How long the target may take to become ready. After that the repetition fails.
    #[serde(default)]
    #[schemars(extend("x-default" = "`10s`; with `tor` `60s`", "examples" = ["1m"]))]
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

/// A line that ends with the bytes of a file in hexadecimal digits, such as a cookie.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "targets"))]
pub struct LineOfFile {
    /// The text before the digits.
    #[serde(default)]
    #[schemars(extend("examples" = ["AUTHENTICATE "]))]
    pub text: Option<Text>,
    /// The file. It may appear after the target has started.
    #[schemars(extend("examples" = ["${scratch}/cookie"]))]
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
        json_schema!({
            "anyOf": [text, of_file],
            "description": "a line that is sent: a text, or a text and the bytes of a file",
            "examples": ["PING"]
        })
    }
}

/// How a target is stopped. The signal goes to the whole process tree; what still runs after the grace is killed.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "targets"))]
pub struct Stop {
    /// The signal that asks the target to end: `TERM`, `INT`, `QUIT`, `HUP`, `USR1`, `USR2` or `KILL`.
    #[serde(default)]
    #[schemars(extend("x-default" = "TERM", "examples" = ["QUIT"]))]
    pub signal: Option<Signal>,
    /// How long the target may take to end. After that it is killed.
    #[serde(default)]
    #[schemars(extend("x-default" = "5s", "examples" = ["30s"]))]
    pub grace: Option<Duration>,
}
