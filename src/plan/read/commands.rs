//! Commands: their words, environment and folders, and files that a scenario names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::diagnostics::Diagnostics;
use plan::Template;
use plan::cache;
use plan::template::Part;
use schema::{Mistake, Node, types};
use vocabulary::marker::MARKER;

/// Finds a file that a scenario names: from the scenario's folder upwards, so that it does not matter from where runner is called.
pub(super) fn find_file(scenario: &Path, name: &str) -> Option<PathBuf> {
    let name = Path::new(name);
    if name.is_absolute() {
        return name.exists().then(|| name.to_owned());
    }
    let folder = scenario.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    folder.ancestors().map(|a| a.join(name)).find(|p| p.exists())
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
        (Some(command), _) => command.iter().map(|t| Template::parse(&t.0)).collect(),
        (None, Some(shell)) => ["sh", "-c"].into_iter().map(Template::parse).chain([Template::parse(shell)]).collect(),
        (None, None) => return None,
    };
    argv.extend(args.iter().map(|t| Template::parse(&t.0)));
    Some(argv)
}
