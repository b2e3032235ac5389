//! The documentation says what the program does: its generated parts are those that the program makes, each key, option, metric
//! and exit code has a page, scenarios pass `check`, and console sessions come out as they stand there.
//!
//! `RUNNER_WRITE_BOOK=1 cargo test --test end_to_end book` (`make reference`) writes the generated parts.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;
use std::process::Stdio;

use clap::CommandFactory as _;
use runner::cli::Cli;
use runner::schema::reference::Reference;
use runner::vocabulary::metric;
use serde_json::Value as Json;

use crate::support::{Place, files, git, json, root, runner};

/// All pages, README among them, by their paths below the repository.
fn pages() -> BTreeMap<String, String> {
    let docs = files(&root().join("docs")).into_iter().filter(|name| name.ends_with(".md")).map(|name| format!("docs/{name}"));
    let text = |name: &String| std::fs::read_to_string(root().join(name)).expect("a page");
    docs.chain(["README.md".to_owned()]).map(|name| (name.clone(), text(&name))).collect()
}

/// The pages with their generated parts made anew.
fn generated(text: &str, make: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        out += &format!("{line}\n");
        let Some(what) =
            line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->")).filter(|w| !w.starts_with("end of "))
        else {
            continue;
        };
        let Some(part) = make(what) else { continue };
        let end = format!("<!-- end of {} -->", what.split(':').next().unwrap_or(what));
        assert!(lines.any(|line| line == end), "`{line}` has no `{end}`");
        out += &format!("\n{}\n\n{end}\n", part.trim());
    }
    out
}

/// The file that the tutorial shows, the mistake in it and what `plan` says are those of the program.
#[test]
fn the_tutorial_shows_what_its_reader_gets() {
    let tutorial = std::fs::read_to_string(root().join("docs/tutorial.md")).expect("a page");
    let place = Place::new();
    let server = ["python3", "-m", "http.server", "--bind", "127.0.0.1", "8000"];
    place.run(&[&["init", "site", "--"], &server[..]].concat()).expect(0);
    let written = std::fs::read_to_string(place.path("experiments/site.yaml")).unwrap();
    assert!(
        tutorial.contains(&format!("```yaml\n{}\n```", written.trim_end())),
        "the file that `init` writes is another one:\n{written}"
    );
    std::fs::write(place.path("experiments/site.yaml"), written.replace(", duration: 2s", ", duratoin: 2s")).unwrap();
    let said = place.run(&["check", "experiments/site.yaml"]).expect(2).stderr;
    let mistake = said.split("\nerror: experiments").next().unwrap().trim_end();
    assert!(tutorial.contains(mistake), "the mistake is told otherwise:\n{mistake}");
    let protocol = tutorial.split("```yaml\n").find(|block| block.starts_with("experiment: protocol")).unwrap();
    std::fs::write(place.path("experiments/protocol.yaml"), protocol.split("```").next().unwrap()).unwrap();
    let plan = place.run(&["plan", "experiments/protocol.yaml"]).expect(0).stdout;
    for line in plan.lines().take(14).filter(|line| !line.contains("seed") && !line.contains("limits")) {
        assert!(tutorial.contains(line.trim_end()), "`plan` prints another line: {line}");
    }
}

#[test]
fn generated_parts_are_those_of_the_program() {
    let reference = Reference::generate();
    let make = |what: &str| match what.split_once(": ") {
        Some(("keys", block)) => Some(reference.markdown(block).unwrap_or_else(|| panic!("there is no block `{block}`"))),
        None if what == "metrics" => Some(metrics()),
        None if what == "command line" => Some(command_line()),
        None if what == "validation" => Some(validation()),
        _ => None,
    };
    let write = std::env::var_os("RUNNER_WRITE_BOOK").is_some();
    for (path, text) in pages() {
        let new = generated(&text, &make);
        if write && new != text {
            std::fs::write(root().join(&path), &new).expect("a page can be written");
        }
        assert!(write || new == text, "{path} is not what the program says; `make reference` writes it");
    }
}

fn metrics() -> String {
    let mut out = String::from("| metric | is | unit | better | exists |\n|---|---|---|---|---|\n");
    for row in metric::catalogue() {
        let (better, places) = (row.better.word(), row.places());
        out += &format!("| `{}` | {} | {} | {better} | {places} |\n", row.name, row.words, row.axis.0);
    }
    out
}

fn command_line() -> String {
    fn of(command: &mut clap::Command, out: &mut String) {
        let name = command.get_bin_name().or_else(|| command.get_display_name()).unwrap_or(command.get_name()).to_owned();
        let help = command.clone().color(clap::ColorChoice::Never).term_width(100).render_long_help().to_string();
        let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
        *out += &format!("## `{name}`\n\n```text\n{}\n```\n\n", lines.join("\n").trim());
        for inner in command.get_subcommands_mut() {
            if inner.get_name() != "help" {
                of(inner, out);
            }
        }
    }
    let mut command = Cli::command();
    command.build();
    let mut out = String::new();
    of(&mut command, &mut out);
    out
}

/// What `make validate` has measured and written into docs/validation.json.
fn validation() -> String {
    let record = json(&root().join("docs/validation.json"));
    if record["rows"].as_array().is_none_or(Vec::is_empty) {
        return "Nothing has been measured for this page yet: `make validate` does it, on an idle machine.".to_owned();
    }
    let text = |value: &Json| value.as_str().expect("a text").to_owned();
    let number = |value: &Json, digits: usize| value.as_f64().map_or("–".to_owned(), |value| format!("{value:.digits$}"));
    let mut out = format!(
        "Measured on {} with `{}`, {}, on a machine with {}.\n\n| cell | figure | measured, ms | theory, ms | limit, ms | |\n|---|---|---|---|---|---|\n",
        text(&record["date"]),
        text(&record["command"]),
        text(&record["version"]),
        text(&record["machine"])
    );
    for row in record["rows"].as_array().expect("rows") {
        let [measured, theory, limit] = ["measured_ms", "theory_ms", "limit_ms"].map(|key| number(&row[key], 2));
        let ok = if row["ok"] == true { "within" } else { "**outside**" };
        out += &format!("| `{}` | {} | {measured} | {theory} | {limit} | {ok} |\n", text(&row["cell"]), text(&row["figure"]));
    }
    out += "\n| level of `variant` | throughput over that of `as-is` | 95 % | verdict |\n|---|---|---|---|\n";
    for row in record["verdicts"].as_array().expect("verdicts") {
        let [ratio, low, high] = ["ratio", "low", "high"].map(|key| number(&row[key], 3));
        out += &format!("| `{}` | {ratio} | {low} to {high} | {} |\n", text(&row["level"]), text(&row["verdict"]));
    }
    out
}

#[test]
fn every_key_metric_and_exit_code_has_a_page() {
    let pages = pages();
    let page = |name: &str| pages.get(name).unwrap_or_else(|| panic!("{name} is missing"));
    // The words of a choice are told with the keys that take them.
    let reference = Reference::generate();
    for block in reference.blocks().filter(|block| !block.keys.is_empty()) {
        let file = block.page.as_deref().unwrap_or_else(|| panic!("the block {} has no page", block.name));
        let marker = format!("<!-- keys: {} -->", block.name);
        assert!(page(&format!("docs/reference/{file}.md")).contains(&marker), "docs/reference/{file}.md has no `{marker}`");
        for key in &block.keys {
            assert!(!key.text.is_empty(), "{}.{} says nothing", block.name, key.name);
        }
    }
    assert!(page("docs/reference/metrics.md").contains("<!-- metrics -->"));
    assert!(page("docs/reference/command-line.md").contains("<!-- command line -->"));
    for code in [0, 1, 2, 3, 4, 5, 130] {
        assert!(page("docs/exit-codes.md").contains(&format!("`{code}`")), "exit code {code}");
    }
}

/// A block of code of a page.
struct Code {
    /// What it is: `yaml`, `console`.
    language: String,
    /// Whether the line before it says that it is a part of something.
    is_fragment: bool,
    /// Whether the line before it says that it is not executed here: it needs something that not everybody has, or too long.
    is_recorded: bool,
    /// The file that the lines before it name last.
    file: Option<String>,
    text: String,
    line: usize,
}

/// Whether a word is the name of a file that a page may ask its reader to write.
fn is_file(word: &str) -> bool {
    let extension = word.rsplit_once('.').map(|(_, extension)| extension);
    !word.contains([' ', '$', '*']) && matches!(extension, Some("yaml" | "py" | "sh" | "j2" | "csv"))
}

/// The blocks of code of a page.
fn code(text: &str) -> Vec<Code> {
    let mut found = Vec::new();
    let mut before = "";
    let mut file = None;
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else {
            if !line.trim().is_empty() {
                before = line.trim();
            }
            file = line.split('`').skip(1).step_by(2).filter(|word| is_file(word)).last().map(str::to_owned).or(file);
            continue;
        };
        let indent = line.len() - line.trim_start().len();
        let inner = lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim_start() != "```");
        let text = inner.map(|line| format!("{}\n", line.get(indent..).unwrap_or_default())).collect();
        let (is_fragment, is_recorded) = (before == "<!-- fragment -->", before == "<!-- recorded -->");
        found.push(Code {
            language: language.trim().to_owned(),
            is_fragment,
            is_recorded,
            file: file.take(),
            text,
            line: number + 1,
        });
        before = "";
    }
    found
}

#[test]
fn scenarios_in_the_documentation_are_valid() {
    let reference = Reference::generate();
    let keys: BTreeSet<String> = reference.places().into_iter().map(|place| place.key.name.clone()).collect();
    let mut checked = 0;
    let place = Place::new();
    // Revisions are those of a repository.
    for words in
        [&["init", "-q"][..], &["commit", "-q", "--allow-empty", "-m", "one"], &["commit", "-q", "--allow-empty", "-m", "two"]]
    {
        git(&place.path(""), words);
    }
    // Files that the pages speak of are looked for from the folder of a scenario upwards.
    for folder in ["experiments", "haproxy", "fixtures", "docs"] {
        std::os::unix::fs::symlink(root().join(folder), place.path(folder)).expect("a link");
    }
    for (path, text) in pages() {
        for code in code(&text).into_iter().filter(|code| code.language == "yaml") {
            let shown = format!("{path}:{}", code.line);
            if code.is_fragment {
                let value: serde_yaml::Value = serde_yaml::from_str(&code.text).unwrap_or_else(|e| panic!("{shown}: {e}"));
                for key in value.as_mapping().into_iter().flat_map(|map| map.keys()).filter_map(|key| key.as_str()) {
                    assert!(keys.contains(key) || key.starts_with("x-"), "{shown}: `{key}` is no key of the language");
                }
                continue;
            }
            place.write_as_is("page.yaml", &code.text);
            let outcome = place.run(&["check", "page.yaml"]);
            // Where a page shows a mistake, the message stands behind it.
            let shows_it =
                text.contains("$ runner check") && outcome.stderr.lines().next().is_some_and(|line| text.contains(line));
            assert!(outcome.code == Some(0) || shows_it, "{shown}\n{}", outcome.stderr);
            checked += 1;
        }
    }
    assert!(checked > 20, "{checked}");
}

#[test]
fn tables_are_readable() {
    for (path, text) in pages() {
        if path.starts_with("docs/studies/") || path == "docs/architecture.md" {
            continue;
        }
        for (number, line) in text.lines().enumerate().filter(|(_, line)| line.starts_with('|')) {
            for cell in line.replace("\\|", "/").split('|') {
                assert!(cell.trim().chars().count() <= 200, "{}:{}: a cell of more than 200 characters", path, number + 1);
            }
        }
    }
}

/// What a line says without what differs from run to run: numbers with their units, intervals, verdicts, ids, the length of rules.
fn without_figures(line: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let units = ["ns", "µs", "us", "ms", "s", "min", "h", "B", "KiB", "MiB", "GiB", "%", "–", "n"];
    let verdicts = ["faster", "slower", "less", "more", "same", "difference", "no", "too", "few", "few,", "faster°", "slower°"];
    let plain = line.replace(['─', '├', '┤', '│', '╭', '╰'], " ");
    for word in plain.split_whitespace() {
        let bare = word.trim_matches(|c: char| "(),;:±<>≤=°+".contains(c));
        let is_figure = bare.starts_with(|c: char| c.is_ascii_digit()) || word.starts_with("n=") || bare.is_empty();
        if is_figure || units.contains(&bare) || verdicts.contains(&bare) {
            if words.last().is_none_or(|last| last != "#") {
                words.push("#".to_owned());
            }
        } else {
            words.push(word.to_owned());
        }
    }
    words.join(" ")
}

/// A shell that stays: folders, variables and exit codes are those of the command before.
struct Shell {
    process: std::process::Child,
    said: std::io::BufReader<std::process::ChildStdout>,
    folder: PathBuf,
}

impl Shell {
    fn start(place: &Place) -> Self {
        let bin = PathBuf::from(runner().get_program());
        let search = format!("{}:{}", bin.parent().expect("a folder").display(), std::env::var("PATH").unwrap_or_default());
        let command = place.runner();
        let mut shell = std::process::Command::new("sh");
        shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(place.path(""));
        shell.env("PATH", search).env("COLUMNS", "100");
        let mut process = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a shell");
        let said = std::io::BufReader::new(process.stdout.take().expect("it is a pipe"));
        Self { process, said, folder: place.path("") }
    }

    /// What a command says, on both streams.
    fn tell(&mut self, command: &str) -> Vec<String> {
        let stdin = self.process.stdin.as_mut().expect("it is a pipe");
        let line = format!("{{ {command}\n}} </dev/null 2>&1; code=$?; printf '\\001%s\\n' \"$PWD\"; (exit $code)\n");
        stdin.write_all(line.as_bytes()).and_then(|()| stdin.flush()).expect("the shell reads");
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            assert!(self.said.read_line(&mut line).expect("text") > 0, "the shell has ended in {command}");
            if let Some(folder) = line.strip_prefix('\u{1}') {
                self.folder = PathBuf::from(folder.trim_end());
                return lines;
            }
            lines.push(line.trim_end().to_owned());
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// Executes the sessions of a page in a folder of its own, in order, and holds what comes out against what stands there: each line of
/// the page comes, in its order, but for figures and for the order of repetitions; `…` stands for lines that are left out.
#[test]
fn console_sessions_come_out_as_they_stand_there() {
    let mut executed = 0;
    // All of them take five minutes: `RUNNER_BOOK=all` executes them, else those of the README are.
    let all = std::env::var_os("RUNNER_BOOK").is_some();
    for (path, text) in pages() {
        let code = code(&text);
        let is_executed = all || path == "README.md";
        if !code.iter().any(|code| code.language == "console") {
            continue;
        }
        let place = Place::new();
        let mut shell = Shell::start(&place);
        for block in code {
            if let ("yaml" | "python" | "sh" | "jinja" | "csv" | "dockerfile", Some(file)) =
                (block.language.as_str(), &block.file)
            {
                let file = shell.folder.join(file);
                std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
                std::fs::write(file, &block.text).expect("a file");
            }
            if block.language != "console" {
                continue;
            }
            let mut commands: Vec<(String, Vec<String>)> = Vec::new();
            for line in block.text.lines() {
                match (line.strip_prefix("$ "), commands.last_mut()) {
                    (Some(command), _) => commands.push((command.to_owned(), Vec::new())),
                    (None, Some((_, said))) => said.push(line.to_owned()),
                    (None, None) => panic!("{path}:{}: a session begins with `$ `", block.line),
                }
            }
            for (command, said) in commands {
                let shown = format!("{path}:{}: {command}", block.line);
                if let Some(at) = command.find("runner ") {
                    let ours = command[at..].split(['|', '>', '&', ';']).next().unwrap_or_default();
                    let parsed =
                        Cli::command().try_get_matches_from(ours.split_whitespace().map(|word| word.trim_matches(['\'', '"'])));
                    assert!(parsed.is_ok(), "{shown}: {}", parsed.expect_err("it was not ok"));
                }
                if block.is_recorded || !is_executed {
                    continue;
                }
                let came: Vec<String> = shell.tell(&shorter(&command)).iter().map(|line| without_figures(line)).collect();
                let mut at = 0;
                let is_asked = |line: &String| !line.is_empty() && line != "…" && line != "#" && !line.starts_with('[');
                for line in said.iter().map(|line| without_figures(line)).filter(is_asked) {
                    let found = came[at..].iter().position(|came| *came == line);
                    assert!(
                        found.is_some(),
                        "{shown}\nthis line does not come out: {line}\n\nwhat came, from there on:\n{}",
                        came[at..].join("\n")
                    );
                    at += found.unwrap_or_default();
                }
                executed += 1;
            }
        }
    }
    assert!(executed >= if all { 10 } else { 2 }, "{executed}");
}

/// A command with as few repetitions as its form needs: pages show runs that take minutes.
fn shorter(command: &str) -> String {
    let is_run = ["runner run ", "runner repeat "].iter().any(|start| command.contains(start));
    if is_run && !command.contains(" -n ") && !command.contains("--until") {
        format!("{command} -n 5")
    } else {
        command.to_owned()
    }
}
