//! Commands: their words, environment and folders, and files that a scenario names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::diagnostics::Diagnostics;
use super::files;
use plan::Template;
use plan::cache;
use plan::template::Part;
use schema::{Mistake, Node, Span, types};
use vocabulary::marker::MARKER;

/// The folder of a scenario, from the root on.
fn folder_of(scenario: &Path) -> PathBuf {
    let folder = scenario.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned())
}

/// Finds a file that a scenario names: from the scenario's folder upwards, whatever the working directory of runner.
pub(super) fn find_file(scenario: &Path, name: &str) -> Option<PathBuf> {
    let found = locate(scenario, name);
    // What has a full path must be there on every machine.
    if let Some(found) = found.as_ref().filter(|_| !Path::new(name).is_absolute()) {
        files::note(found);
    }
    found
}

/// The same for a file that is only looked at.
pub(super) fn locate(scenario: &Path, name: &str) -> Option<PathBuf> {
    let name = Path::new(name);
    if name.is_absolute() {
        return name.exists().then(|| name.to_owned());
    }
    folder_of(scenario).ancestors().map(|a| a.join(name)).find(|p| p.exists())
}

/// A path named by a scenario where a file may appear later: an existing one is found as [`find_file`] finds it; any
/// other relative path is in the scenario's folder, in which programs run by default.
pub(super) fn path(scenario: &Path, text: &str) -> Template {
    let typed = Template::parse(text);
    if text.starts_with('/') || text.starts_with("${") || text.is_empty() {
        return typed;
    }
    let found = typed.names().next().is_none().then(|| find_file(scenario, text)).flatten();
    if let Some(found) = found {
        return Template(vec![Part::Text(found.display().to_string())]);
    }
    let folder = Part::Text(format!("{}/", folder_of(scenario).display()));
    Template([vec![folder], typed.0].concat())
}

/// Environment variables of a command.
pub(super) fn environment(
    notes: &mut Diagnostics<'_>,
    node: &Node,
    typed: &BTreeMap<String, types::Text>,
) -> Vec<(String, Template)> {
    if let Some(entry) = node.get("env").and_then(|env| env.entry(MARKER)) {
        // With another value the process could not be found, or would be taken for another run's.
        let mistake = Mistake::new(
            notes.file,
            entry.key_span,
            format!("`{MARKER}` is how runner recognizes the processes that it started"),
        );
        notes.mistakes.push(mistake.expected("expected another name"));
    }
    if node.get("dir").is_none() {
        let of = |name: &str| node.get("env").and_then(|env| env.get(name)).map_or(node.head, |value| value.span);
        for (name, value) in typed {
            say_file_above(notes, of(name), &value.0);
        }
    }
    typed.iter().map(|(name, value)| (name.clone(), Template::parse(&value.0))).collect()
}

/// A working directory: an existing folder, or one in the scratch directory; by default the scenario's folder, whatever
/// the working directory of runner.
pub(super) fn folder(notes: &mut Diagnostics<'_>, node: &Node, dir: Option<&str>) -> Option<Template> {
    let of = |folder: PathBuf| Template(vec![Part::Text(folder.display().to_string())]);
    let Some(dir) = dir else { return Some(of(folder_of(&notes.file.path))) };
    let template = Template::parse(dir);
    if template.names().next().is_some() || cache::is_inside(dir) {
        return Some(template);
    }
    let found = find_file(&notes.file.path, dir).filter(|p| p.is_dir());
    if found.is_none() {
        notes.say(
            node,
            "dir",
            format!("there is no folder `{dir}`"),
            "expected a folder, relative to the scenario's folder or one above it",
        );
    }
    found.map(of)
}

/// The command line of `command:` or `shell:` with further arguments.
pub(super) fn argv(
    notes: &mut Diagnostics<'_>,
    node: &Node,
    command: Option<&[types::Text]>,
    shell: Option<&str>,
    args: &[types::Text],
) -> Option<Vec<Template>> {
    let mut argv: Vec<Template> = match (command, shell) {
        (Some([]), _) => {
            notes.say(node, "command", "this command is empty", "expected `[program, argument, …]`");
            return None;
        }
        (Some([program, rest @ ..]), _) => {
            let program = program_of(notes, node, &program.0);
            [program].into_iter().chain(rest.iter().map(|t| Template::parse(&t.0))).collect()
        }
        (None, Some(shell)) => ["sh", "-c"].into_iter().map(Template::parse).chain([Template::parse(shell)]).collect(),
        (None, None) => return None,
    };
    argv.extend(args.iter().map(|t| Template::parse(&t.0)));
    if node.get("dir").is_none() {
        say_files_above(notes, node, shell, &argv);
    }
    Some(argv)
}

/// The program of a command line. One with `/` is found like other files, from the scenario's folder upwards and
/// finally from the working directory of runner; its full path is used, because it is started in another folder.
fn program_of(notes: &Diagnostics<'_>, node: &Node, program: &str) -> Template {
    let typed = Template::parse(program);
    let is_relative = program.contains('/') && !program.starts_with('/');
    if !is_relative || typed.names().next().is_some() || node.get("dir").is_some() || cache::is_inside(program) {
        return typed;
    }
    let here = || Some(Path::new(program)).filter(|path| path.is_file()).and_then(|path| std::path::absolute(path).ok());
    let found = find_file(&notes.file.path, program).filter(|found| found.is_file()).or_else(here);
    found.map_or(typed, |found| Template(vec![Part::Text(found.display().to_string())]))
}

/// Notes which words of a command line name files above the scenario's folder, while the program looks for them inside
/// it.
fn say_files_above(notes: &mut Diagnostics<'_>, node: &Node, shell: Option<&str>, argv: &[Template]) {
    if let Some(line) = shell {
        let span = node.get("shell").map_or(node.head, |shell| shell.span);
        let words: Vec<&str> = line.split(|c: char| c.is_whitespace() || ";&|()<>=".contains(c)).collect();
        // The folder in which a line continues after `cd` is not known; what it writes may be left from an earlier run.
        if words.contains(&"cd") || line.contains('>') {
            return;
        }
        for word in words.into_iter().map(|word| word.trim_matches(['"', '\''])).filter(|word| word.contains('/')) {
            say_file_above(notes, span, word);
        }
        return;
    }
    let items = |key| node.get(key).map(Node::items).unwrap_or_default();
    for (index, argument) in argv.iter().enumerate().skip(1) {
        let text = argument.to_text();
        // A file that is written may be left from an earlier run.
        let (option, name) = match text.split_once('=') {
            Some((option, name)) if option.starts_with('-') => (option.to_owned(), name),
            _ => (argv[index - 1].to_text(), text.as_str()),
        };
        if option.starts_with("-o") || option.starts_with("--") && option.contains("out") {
            continue;
        }
        let typed = items("command").iter().chain(items("args")).find(|item| item.as_text() == Some(&text));
        say_file_above(notes, typed.map_or(node.head, |item| item.span), name);
    }
}

/// Notes a text that names a file above the scenario's folder and not in it; one in it is needed by other machines, too.
fn say_file_above(notes: &mut Diagnostics<'_>, span: Span, name: &str) {
    let typed = name;
    let name = name.strip_prefix("./").unwrap_or(name);
    let may_be_file = typed.contains(['.', '/']) && !name.starts_with(['-', '/', '.']) && !name.contains("${");
    if !may_be_file {
        return;
    }
    let folder = folder_of(&notes.file.path);
    let found = folder.ancestors().map(|above| above.join(name)).enumerate().find(|(_, path)| path.exists());
    let Some((up, path)) = found.filter(|(up, path)| *up == 0 || path.is_file()) else { return };
    if up == 0 {
        return files::note(&path);
    }
    let dir = vec![".."; up].join("/");
    let found = format!("`{typed}` is above the scenario's folder, but the program would look for it inside");
    let mistake = Mistake::new(notes.file, span, found);
    notes.mistakes.push(mistake.expected(format!("expected `dir: {dir}` beside the command, or the full path")));
}
