//! Files that are rendered from templates before a target starts.

use std::collections::{BTreeMap, BTreeSet};

use super::commands::find_file;
use super::diagnostics::Diagnostics;
use super::environment::{self, Variable};
use super::expr::{Scope, urlencode, value_of};
use plan::template::Part;
use plan::{RenderedFile, Template};
use schema::source::SourceFile;
use schema::{Data, Entry, Mistake, Node, Span, types};

/// Names whose value is known late; they appear in rendered files as [`mark`]s.
const LATE: [&str; 3] = ["scratch", "kept", "repetition"];

/// Replaces a late name while a file is rendered, so that the file's own `${…}` stays as it is. Without letters, so
/// that filters such as `upper` leave it alone.
fn mark(number: usize) -> String {
    format!("\u{1}{number}\u{1}")
}

/// The same for a name whose value is percent-encoded; `urlencode` turns one into the other.
fn encoded_mark(number: usize) -> String {
    urlencode(&mark(number))
}

/// A value in which late names are [`mark`]s.
fn marked(node: &Node, late: &[String]) -> Node {
    match &node.data {
        Data::Text(text) => {
            let template = Template::parse(text);
            let place = |name: &str| late.iter().position(|l| l == name);
            if !template.names().any(|name| place(name).is_some()) {
                return node.clone();
            }
            let part = |part: &Part| match part {
                Part::Text(text) => text.clone(),
                Part::Name(name) => place(name).map_or_else(|| format!("${{{name}}}"), mark),
                Part::Encoded(name) => place(name).map_or_else(|| format!("${{{name}|urlencode}}"), encoded_mark),
            };
            node.with(Data::Text(template.0.iter().map(part).collect()))
        }
        Data::List(items) => node.with(Data::List(items.iter().map(|item| marked(item, late)).collect())),
        Data::Map(entries) => {
            let entry = |entry: &Entry| Entry { value: marked(&entry.value, late), ..entry.clone() };
            node.with(Data::Map(entries.iter().map(entry).collect()))
        }
        _ => node.clone(),
    }
}

/// The files of a replica, rendered.
pub(super) fn files(
    notes: &mut Diagnostics<'_>,
    scope: &mut Scope<'_>,
    entry: &Entry,
    node: &Node,
    typed: &types::Target,
    number: u32,
) -> Vec<RenderedFile> {
    let mut files = Vec::new();
    for (name, template) in &typed.render {
        let Some(place) = node.get("render").and_then(|n| n.entry(name)) else { continue };
        if name.contains('/') || name.starts_with('.') || name.is_empty() {
            notes.mistakes.push(
                Mistake::new(notes.file, place.key_span, format!("`{name}` cannot be the name of a rendered file"))
                    .expected("expected a plain file name; it is made in the scratch directory"),
            );
            continue;
        }
        let Some(path) = find_file(&notes.file.path, template).filter(|p| p.is_file()) else {
            notes.mistakes.push(
                Mistake::new(notes.file, place.value.span, format!("there is no template `{template}`"))
                    .expected("expected a file, relative to the scenario's folder or one above it"),
            );
            continue;
        };
        let shown = path.strip_prefix(std::env::current_dir().unwrap_or_default()).unwrap_or(&path).to_owned();
        let text = match SourceFile::read(&path) {
            Ok(Ok(file)) => file.text.clone(),
            Ok(Err(mistake)) => {
                notes.mistakes.push(*mistake);
                continue;
            }
            Err(error) => {
                notes
                    .mistakes
                    .push(Mistake::new(notes.file, place.value.span, error.to_string()).expected("expected a template"));
                continue;
            }
        };
        let file = SourceFile::inline(&shown.display().to_string(), &text);
        if let Some(content) = render_one(notes, scope, entry, &file, number, typed) {
            files.push(RenderedFile { name: name.clone(), content });
        }
    }
    files
}

fn render_one(
    notes: &mut Diagnostics<'_>,
    scope: &mut Scope<'_>,
    entry: &Entry,
    file: &std::sync::Arc<SourceFile>,
    number: u32,
    typed: &types::Target,
) -> Option<Template> {
    let line_span = |line: Option<usize>| line_span(&file.text, line.unwrap_or(1));
    let detail = |error: &minijinja::Error| error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    let mut env = scope.env.clone();
    // A line that contains only `{% … %}` leaves nothing behind.
    let lines = env.syntax().to_builder().keep_trailing_newline(true).trim_blocks(true).lstrip_blocks(true).build();
    env.set_syntax(lines.expect("white space cannot contradict the delimiters"));
    let template = match env.template_from_named_str("template", &file.text) {
        Ok(template) => template,
        Err(error) => {
            notes.mistakes.push(
                Mistake::new(file, line_span(error.line()), format!("not a valid template: {}", detail(&error)))
                    .expected("expected a Jinja template"),
            );
            return None;
        }
    };
    let names: BTreeSet<String> = template.undeclared_variables(false).into_iter().collect();
    let mut context: BTreeMap<String, minijinja::Value> = BTreeMap::new();
    let mut sound = true;
    let mut late: Vec<String> = LATE.map(str::to_owned).to_vec();
    let secrets = scope.environment.names().filter(|n| matches!(scope.environment.get(n), Some(Variable::Secret(_))));
    late.extend(secrets.map(|name| format!("env.{name}")));
    let mark_of = |name: &str| late.iter().position(|l| l == name).map(|number| minijinja::Value::from(mark(number)));
    let environment = environment::Read::new(scope.environment, |name| mark_of(&format!("env.{name}")));
    for name in names {
        if let Some(mark) = mark_of(&name) {
            context.insert(name, mark);
        } else if name == "env" {
            context.insert(name, minijinja::Value::from_dyn_object(std::sync::Arc::clone(&environment)));
        } else if name == "port"
            && let Some(port) = typed.port
        {
            context.insert(name, port.0.into());
        } else if name == "port" && entry.value.get("port").is_some() {
            sound = false; // The port itself is wrong.
        } else if scope.env.globals().any(|(global, _)| global == name) {
            // `range` and the like.
        } else {
            let asked = Node::text(Span::default(), format!("${{{name}}}"));
            let mut inner = Vec::new();
            let value = scope.with_replica(entry.key_span, number, |scope| scope.resolve(&asked, &mut inner));
            match inner.pop() {
                // It was reported where it is, or its variable is not set.
                None if value.is_poisoned() => sound = false,
                None => {
                    context.insert(name, value_of(&marked(&value, &late)));
                }
                Some(mistake) => {
                    notes.mistakes.push(Mistake { file: file.clone(), span: name_in_template(&file.text, &name), ..mistake });
                    sound = false;
                }
            }
        }
    }
    if !sound {
        return None;
    }
    let rendered = template.render(&context);
    for name in environment.names() {
        let mut inner = Vec::new();
        sound &= scope.resolve(&Node::text(Span::default(), format!("${{env.{name}}}")), &mut inner).as_text().is_some();
        let moved = |mistake| Mistake { file: file.clone(), span: name_in_template(&file.text, &name), ..mistake };
        notes.mistakes.extend(inner.into_iter().map(moved));
    }
    if !sound {
        return None;
    }
    // A secret changed in any way other than being inserted would be wrong in the file, and could not be masked.
    if let (Ok(text), names) = (&rendered, environment.names()) {
        let secret =
            |name: &String| mark_of(&format!("env.{name}")).is_some_and(|mark| !text.contains(mark.as_str().unwrap_or("")));
        if let Some(name) = names.into_iter().find(secret) {
            notes.mistakes.push(
                Mistake::new(file, name_in_template(&file.text, &name), format!("`env.{name}` is secret")).expected(format!(
                    "expected `{{{{ env.{name} }}}}` by itself: it can be inserted, but not used in a computation"
                )),
            );
            return None;
        }
    }
    match rendered {
        Ok(text) => Some(template_of(&text, &late)),
        Err(error) => {
            notes.mistakes.push(
                Mistake::new(file, line_span(error.line()), format!("cannot be rendered: {}", detail(&error)))
                    .expected("expected names that are known here"),
            );
            None
        }
    }
}

/// The content of line `number`, from 1, without its indentation.
fn line_span(text: &str, number: usize) -> Span {
    let start: usize = text.split_inclusive('\n').take(number.max(1) - 1).map(str::len).sum();
    let line = text[start..].lines().next().unwrap_or_default();
    let indent = line.len() - line.trim_start().len();
    Span { start: start + indent, end: start + line.len() }
}

/// A rendered text in which the marks of the names in `late` become places to fill in.
fn template_of(rendered: &str, late: &[String]) -> Template {
    let mut parts = Vec::new();
    let mut rest = rendered;
    let plain = late.iter().enumerate().map(|(number, name)| (mark(number), Part::Name(name.clone())));
    let encoded = late.iter().enumerate().map(|(number, name)| (encoded_mark(number), Part::Encoded(name.clone())));
    let marks: Vec<(String, Part)> = plain.chain(encoded).collect();
    let found =
        |rest: &str| marks.iter().filter_map(|(mark, part)| Some((rest.find(mark)?, part, mark.len()))).min_by_key(|f| f.0);
    while let Some((at, part, length)) = found(rest) {
        parts.push(Part::Text(rest[..at].to_owned()));
        parts.push(part.clone());
        rest = &rest[at + length..];
    }
    parts.push(Part::Text(rest.to_owned()));
    Template(parts)
}

/// Where a template first uses a name: inside `{{ … }}` or `{% … %}`.
fn name_in_template(text: &str, name: &str) -> Span {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let alone = |i: &usize| !text[..*i].ends_with(part) && !text[i + name.len()..].starts_with(part);
    let inside = |i: &usize| {
        let last = |words: [&str; 2]| words.iter().filter_map(|w| text[..*i].rfind(w)).max();
        last(["{{", "{%"]) > last(["}}", "%}"])
    };
    let start = text.match_indices(name).map(|(i, _)| i).filter(alone).find(inside).unwrap_or(0);
    Span { start, end: (start + name.len()).min(text.len()) }
}
