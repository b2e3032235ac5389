//! Commands: their words, environment and folders, and files that a scenario names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::diagnostics::Diagnostics;
use plan::Template;
use plan::cache;
use plan::template::Part;
use schema::{Mistake, Node, types};
use vocabulary::marker::MARKER;

/// The folder in which a scenario lies, from the root on.
fn folder_of(scenario: &Path) -> PathBuf {
    let folder = scenario.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned())
}

/// Finds a file that a scenario names: from the scenario's folder upwards, so that it does not matter from where runner is called.
pub(super) fn find_file(scenario: &Path, name: &str) -> Option<PathBuf> {
    let name = Path::new(name);
    if name.is_absolute() {
        return name.exists().then(|| name.to_owned());
    }
    folder_of(scenario).ancestors().map(|a| a.join(name)).find(|p| p.exists())
}

/// Environment variables of a command.
pub(super) fn environment(
    notes: &mut Diagnostics<'_>,
    node: &Node,
    typed: &BTreeMap<String, types::Text>,
) -> Vec<(String, Template)> {
    if let Some(entry) = node.get("env").and_then(|env| env.entry(MARKER)) {
        // With another value it could not be found, or would be taken for somebody else.
        let mistake = Mistake::new(notes.file, entry.key_span, format!("`{MARKER}` is how runner knows what it has started"));
        notes.mistakes.push(mistake.expected("expected another name"));
    }
    typed.iter().map(|(name, value)| (name.clone(), Template::parse(&value.0))).collect()
}

/// A working directory: a folder that is there, or one in the scratch directory.
pub(super) fn folder(notes: &mut Diagnostics<'_>, node: &Node, dir: Option<&str>) -> Option<Template> {
    let dir = dir?;
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
            "expected a folder, seen from the scenario's folder or one above it",
        );
    }
    found.map(|p| Template(vec![Part::Text(p.display().to_string())]))
}

/// The command line of `command:` or `shell:` with further arguments, beside which `dir` may stand.
pub(super) fn argv(
    notes: &mut Diagnostics<'_>,
    node: &Node,
    command: Option<&[types::Text]>,
    shell: Option<&str>,
    args: &[types::Text],
) -> Option<Vec<Template>> {
    let argv = words(notes, node, command, shell, args)?;
    if shell.is_none() && node.get("dir").is_none() {
        say_files_elsewhere(notes, node, &argv);
    }
    Some(argv)
}

/// The same where no `dir` may stand.
pub(super) fn words(
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
    Some(argv)
}

/// The program of a command line. One with `/` is found as other files are, from the scenario's folder upwards, so that it does not
/// matter from where runner is called; where that is where it would be looked for anyway, it stays as typed.
fn program_of(notes: &Diagnostics<'_>, node: &Node, program: &str) -> Template {
    let typed = Template::parse(program);
    let is_relative = program.contains('/') && !program.starts_with('/');
    if !is_relative || typed.names().next().is_some() || node.get("dir").is_some() || cache::is_inside(program) {
        return typed;
    }
    let found = find_file(&notes.file.path, program).filter(|found| found.is_file());
    match found.filter(|found| !is_here(found, program)) {
        Some(found) => Template(vec![Part::Text(found.display().to_string())]),
        None => typed,
    }
}

/// Whether a name means this file in the working directory, too.
fn is_here(file: &Path, name: &str) -> bool {
    let same = |a: &Path, b: &Path| matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b);
    same(file, Path::new(name))
}

/// Says which arguments name files that lie with the scenario, while the program would look for them where runner was called.
fn say_files_elsewhere(notes: &mut Diagnostics<'_>, node: &Node, argv: &[Template]) {
    for (index, argument) in argv.iter().enumerate().skip(1) {
        let name = argument.to_text();
        // What is written may lie there from another time.
        let is_output = argv[index - 1].to_text().starts_with("-o") || argv[index - 1].to_text().contains("out");
        let may_be_file = name.contains(['.', '/']) && !name.starts_with(['-', '/']) && argument.names().next().is_none();
        if !may_be_file || is_output || Path::new(&name).exists() {
            continue;
        }
        let Some(found) = find_file(&notes.file.path, &name).filter(|found| found.is_file()) else { continue };
        let up = folder_of(&notes.file.path).ancestors().take_while(|folder| folder.join(&name) != found).count();
        let dir = if up == 0 { ".".to_owned() } else { vec![".."; up].join("/") };
        let items = |key| node.get(key).map(Node::items).unwrap_or_default();
        let typed = items("command").iter().chain(items("args")).find(|item| item.as_text() == Some(&name));
        let span = typed.map_or(node.head, |item| item.span);
        let mistake = Mistake::new(
            notes.file,
            span,
            format!("`{name}` lies with the scenario, and the program would look for it where runner is called"),
        );
        notes.mistakes.push(mistake.expected(format!("expected `dir: {dir}` beside the command, or the whole path")));
    }
}
