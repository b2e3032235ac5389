//! `runner init`: a first experiment for a URL or a command line, checked before it is written.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::check::size;
use super::{EXPERIMENTS, Stop, plan_from, print};
use crate::cli;
use crate::exit::Exit;
use crate::plan::{Url, url};
use crate::plan_read::{Document, Options};

/// Writes experiments/NAME.yaml, unless something is there.
pub(super) fn init(args: &cli::Init) -> Result<Exit, Stop> {
    let wrong = |message: String| Stop::new(Exit::InvalidInput, message);
    let subject = Subject::of(args).map_err(wrong)?;
    let name = match &args.name {
        Some(name) => name.clone(),
        None => subject.name(),
    };
    let path = Path::new(EXPERIMENTS).join(format!("{name}.yaml"));
    // The name of a folder, and not the way to another one.
    if name.contains('/') || name.starts_with('.') {
        return Err(wrong(format!("`{name}` cannot be the name of an experiment; expected letters, digits, `-` and `_`")));
    }
    if path.symlink_metadata().is_ok() {
        return Err(wrong(format!(
            "{} is there already, and is not overwritten: expected another name (`runner init NAME …`), or remove it first",
            path.display()
        )));
    }
    let text = subject.scenario(&name);
    // What does not pass is not written: the mistakes point into what was typed all the same.
    let document = Document::inline(&path.display().to_string(), &text);
    let plan = plan_from(&path, document, &Options::default())
        .map_err(|stop| Stop { message: stop.message.replace("nothing was started", "nothing was written"), ..stop })?;
    write_new(&path, &text)
        .map_err(|e| Stop::new(Exit::Failure, format!("cannot write {}: {e}; nothing else was done", path.display())))?;
    let shown = path.display();
    print(&format!(
        "wrote {shown}: {}\nsound, {}\nlook at it, adapt it to your question, then: runner run {shown}\n",
        subject.words(),
        size(&plan)
    ));
    Ok(Exit::Success)
}

/// Writes a file that is not there yet, with the folder in which it lies.
fn write_new(path: &PathBuf, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())
}

/// What is measured.
#[derive(Clone, Debug, PartialEq)]
enum Subject {
    /// A server that runs already.
    Running { url: String },
    /// A server that is started.
    Server { command: Vec<String>, port: u16, url: String },
    /// A program that ends by itself.
    Tool { command: Vec<String> },
}

impl Subject {
    /// What somebody means, or what to say instead.
    fn of(args: &cli::Init) -> Result<Self, String> {
        let command = args.command.clone();
        match &args.url {
            Some(url) => {
                let read =
                    Url::parse(url).map_err(|expected| format!("`--url {url}` is not a URL: {expected}; nothing was written"))?;
                let names_port = url::split(url).is_some_and(|(_, authority, _)| authority == read.authority());
                match command.is_empty() {
                    true => Ok(Self::Running { url: url.clone() }),
                    false if names_port => Ok(Self::Server { command, port: read.port, url: url.clone() }),
                    false => {
                        Err(format!("`--url {url}`: expected a URL with the port of the server, such as http://127.0.0.1:8000/"))
                    }
                }
            }
            None if command.is_empty() => {
                Err("what is to be measured? expected `runner init --url http://127.0.0.1:8000/` for a \
                 server that runs already, or `runner init -- ./server --port 8000` for a program"
                    .to_owned())
            }
            None if args.tool => Ok(Self::Tool { command }),
            None => Ok(match args.port.or_else(|| port_among(&command)) {
                Some(port) => Self::Server { command, port, url: format!("http://127.0.0.1:{port}/") },
                None => Self::Tool { command },
            }),
        }
    }

    /// A name for the experiment: that of the program.
    fn name(&self) -> String {
        let program = match self {
            Self::Running { .. } => "",
            Self::Server { command, .. } | Self::Tool { command } => {
                Path::new(&command[0]).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()
            }
        };
        let name: String = program.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect();
        if name.starts_with(|c: char| c.is_ascii_alphanumeric()) { name } else { "first".to_owned() }
    }

    /// What it was taken for, so that somebody who meant something else sees it.
    fn words(&self) -> String {
        match self {
            Self::Running { url } => format!("requests to {url}, which has to be running"),
            Self::Server { command, port, .. } => {
                format!("`{}` is started as a server on port {port} (with --tool its own time is measured)", command.join(" "))
            }
            Self::Tool { command } => {
                format!("how long `{}` takes (with --port PORT it is started as a server)", command.join(" "))
            }
        }
    }

    /// The file.
    fn scenario(&self, name: &str) -> String {
        match self {
            Self::Running { url } => over_http(name, url, "", url),
            Self::Server { command, port, url } => {
                let target = format!(
                    "
targets:
  server:
    # Started anew for each repetition, and stopped after it.
    command: {}
{}    port: {port}
    # It is ready when it answers on its port; with `ready: {{http: /}}` when it answers a request.
",
                    flow(command),
                    dir(command, "    "),
                );
                over_http(name, url, &target, &command.join(" "))
            }
            Self::Tool { command } => format!(
                "experiment: {}
question: {}

# Each cell is executed so often, each time with fresh processes. `runner plan` says whether that is enough for a verdict.
repetitions: 8

workloads:
  tool:
    command: {}
{}    # One at a time, 10 times; a first one is not counted.
    load: {{closed: {{connections: 1}}, warm-up: {{amount: 1}}, amount: 10}}

# To compare variants, name a factor, and use it as ${{threads}} in `command`:
#   factors: {{threads: [1, 2, 4]}}
#   graphs: [{{bars: response_p50, x: threads}}]
",
                scalar(name),
                scalar(&format!("How long does {} take?", command.join(" "))),
                flow(command),
                dir(command, "    "),
            ),
        }
    }
}

/// Where a command is started, if its arguments name files of this folder, which is that above the scenario's; else nothing.
fn dir(command: &[String], indent: &str) -> String {
    let is_file = |word: &String| {
        let value = word.split_once('=').filter(|(option, _)| option.starts_with('-')).map_or(word.as_str(), |(_, value)| value);
        !value.is_empty() && Path::new(value).is_relative() && Path::new(value).exists()
    };
    match command.iter().skip(1).any(is_file) {
        true => format!("{indent}# Where it is started: the folder above this file.\n{indent}dir: ..\n"),
        false => String::new(),
    }
}

/// An experiment with requests; `targets`: that block, or nothing.
fn over_http(name: &str, url: &str, targets: &str, subject: &str) -> String {
    let (origin, path) = origin_and_path(url);
    format!(
        "experiment: {}
question: {}

# What is varied: each combination of levels is a cell, with figures of its own. For a question of your own put another factor in
# place of this one, such as `workers: [1, 4]`, and use it as `${{workers}}` below.
factors:
  connections: [1, 8]
# Each cell is executed so often. `runner plan` says whether that is enough for a verdict.
repetitions: 8
# What is counted together over time: a load of at least ten windows shows whether it was steady.
window: 100ms
{targets}
workloads:
  clients:
    url: {}
    # As many clients, each of which sends its next request when it has its answer. With
    # `open: {{rate: 500/s, connections: 50}}` requests come when they are due, whatever the server does.
    load: {{closed: {{connections: \"${{connections}}\"}}, warm-up: {{duration: 500ms}}, duration: 2s}}
    steps:
      # Every answer is checked: a wrong one never counts as a fast one.
      - get: {}
        expect: {{status: 200}}

graphs:
  - {{bars: throughput, x: connections}}
  - {{quantiles: response, series: connections}}
",
        scalar(name),
        scalar(&format!("How fast does {subject} answer, with one client and with eight?")),
        scalar(&escaped(&origin)),
        scalar(&escaped(&path)),
    )
}

/// Scheme, host and port of a URL as they were typed, and the path and query of a request for it.
fn origin_and_path(url: &str) -> (String, String) {
    match (url::split(url), Url::parse(url)) {
        (Some((scheme, authority, _)), Ok(read)) => (format!("{scheme}://{authority}"), read.request_path().to_owned()),
        _ => (url.to_owned(), "/".to_owned()),
    }
}

/// The port on which a command line seems to let a server listen: behind a word for it, behind an address, or at the end.
fn port_among(command: &[String]) -> Option<u16> {
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let behind_address = |text: &str| {
        let (host, number) = text.rsplit_once(':')?;
        let host = host.rsplit(['=', '/']).next().unwrap_or_default();
        let is_host = host.is_empty() || host == "localhost" || host.starts_with(|c: char| c.is_ascii_digit() || c == '[');
        port(number).filter(|_| is_host)
    };
    let is_word = |word: &str| ["port", "listen", "bind", "addr"].iter().any(|part| word.contains(part)) || word == "-p";
    let arguments = &command[1..];
    for (index, argument) in arguments.iter().enumerate() {
        let (word, value) = match argument.split_once('=') {
            Some((word, value)) => (word, Some(value)),
            None => (argument.as_str(), arguments.get(index + 1).map(String::as_str)),
        };
        let named = (word.starts_with('-') && is_word(word)).then_some(value).flatten().and_then(port);
        if let Some(found) = named.or_else(|| behind_address(argument)) {
            return Some(found);
        }
    }
    // `python3 -m http.server 8000`
    arguments.last().and_then(|last| port(last)).filter(|port| *port >= 1024)
}

/// `${` as these two characters.
fn escaped(text: &str) -> String {
    text.replace("${", "$${")
}

/// A list in one line.
fn flow(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| scalar(&escaped(word))).collect();
    format!("[{}]", words.join(", "))
}

/// A text as YAML reads it again: as it stands where that is plain, else in quotes.
fn scalar(text: &str) -> String {
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '.'))
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '+'))
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "true" | "false" | "null" | ".inf" | ".nan" | "yes" | "no" | "on" | "off"
        )
        && text.parse::<f64>().is_err();
    // The notation of JSON is one of YAML, too.
    if is_plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::super::plan::too_few;
    use super::*;
    use crate::plan::Length;
    use crate::vocabulary::Phase;
    use crate::vocabulary::rows::FEWEST_WINDOWS;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_port_is_found_where_servers_are_told_it() {
        for (line, port) in [
            ("./server --port 8000", Some(8000)),
            ("./server --port=8000 --threads 4", Some(8000)),
            ("./server -p 81", Some(81)),
            ("./server --listen :8080", Some(8080)),
            ("./server --bind=127.0.0.1:8080", Some(8080)),
            ("node app.js [::1]:3000", Some(3000)),
            ("python3 -m http.server 8000", Some(8000)),
            ("sleep 1", None),
            ("gzip -9 file:3", None),
            ("./server --support 70000", None),
        ] {
            assert_eq!(port_among(&words(line)), port, "{line}");
        }
    }

    #[test]
    fn what_is_written_passes_and_says_what_was_typed() {
        for odd in ["a b", "it's", "\"", "a: b", "${x}", "1e1", "010", "true", "- x", "#", "\t\\", "ü", "@x", "{{y}}", "*", "!x"]
        {
            let subject = Subject::Tool { command: vec!["sh".to_owned(), odd.to_owned()] };
            let text = subject.scenario("first");
            let plan = plan_from(Path::new("x.yaml"), Document::inline("x.yaml", &text), &Options::default());
            let plan = plan.unwrap_or_else(|stop| panic!("{odd}: {}\n{text}", stop.message));
            let json = serde_json::to_string(&plan).expect("a plan is written as JSON");
            // A template stands in a plan as it would be typed.
            let typed = serde_json::to_string(&escaped(odd)).expect("a text is JSON");
            assert!(json.contains(&typed) && plan.question == format!("How long does sh {odd} take?"), "{odd}: {json}");
        }
        let subject =
            Subject::Server { command: words("sh -c x 8000"), port: 8000, url: "http://127.0.0.1:8000/a?b=c".to_owned() };
        let text = subject.scenario("first");
        let plan = plan_from(Path::new("x.yaml"), Document::inline("x.yaml", &text), &Options::default());
        let Ok(plan) = plan else { panic!("{text}") };
        // A first run has no warning: neither that it is too short, nor that there are too few repetitions.
        let shortest =
            plan.cells.iter().flat_map(|c| &c.workloads).flat_map(|w| &w.load.segments).filter_map(|s| match s.length {
                Length::Duration(time) if s.phase == Phase::During => Some(time),
                _ => None,
            });
        assert!(shortest.min().is_some_and(|time| time >= plan.window * FEWEST_WINDOWS), "{text}");
        assert_eq!(too_few(&plan), None, "{text}");
    }
}
