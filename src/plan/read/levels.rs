//! Factors and levels as they were typed, and what can be wrong with their names.

use std::sync::Arc;

use serde_json::Value as Json;

use super::repository::Repository;
use schema::source::one_of;
use schema::{Data, Entry, Mistake, Node, SourceFile, Span};

/// A factor as it was typed: the noun, and the positions of its parts in the file.
#[derive(Clone, Debug)]
pub(super) struct Factor {
    /// Its key below `factors`.
    pub name: String,
    /// Its levels, in the order of the file.
    pub levels: Vec<Level>,
    /// The repository of its levels, if they are revisions.
    pub repository: Option<Repository>,
    /// Where its name is.
    pub span: Span,
}

/// A level as it was typed.
#[derive(Clone, Debug)]
pub(super) struct Level {
    /// The level as the plan has it.
    pub level: plan::Level,
    /// Its value as expressions read it, and its position.
    pub node: Node,
}

impl Factor {
    /// The level with this label.
    pub fn level(&self, label: &str) -> Option<&Level> {
        self.levels.iter().find(|l| l.label == label)
    }

    /// Its labels, in the order of the file.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.levels.iter().map(|l| l.label.as_str())
    }

    /// Whether it replaces a factor or a level in which a mistake was reported, so that its name is not reported as
    /// missing as well.
    pub fn is_faulty(&self) -> bool {
        self.levels.iter().any(|l| matches!(l.node.data, Data::Poison))
    }

    pub fn faulty(entry: &Entry) -> Self {
        let levels = vec![Level::faulty(String::new(), entry.key_span)];
        Self { name: entry.key.clone(), levels, repository: None, span: entry.key_span }
    }

    /// The noun, with the levels that are chosen.
    pub fn noun(&self, chosen: impl Fn(usize) -> bool) -> plan::Factor {
        let levels = self.levels.iter().enumerate().filter(|(at, _)| chosen(*at)).map(|(_, l)| l.level.clone()).collect();
        let revisions = self.repository.as_ref().map(|r| r.revisions.clone());
        plan::Factor { name: self.name.clone(), levels, revisions }
    }
}

impl std::ops::Deref for Level {
    type Target = plan::Level;

    fn deref(&self) -> &plan::Level {
        &self.level
    }
}

impl From<(plan::Level, Node)> for Level {
    fn from((level, node): (plan::Level, Node)) -> Self {
        Self { level, node }
    }
}

impl Level {
    /// A level whose value is in the file.
    pub fn new(label: String, value: Json, by_default: bool, node: Node) -> Self {
        Self { level: plan::Level { label, value, by_default, checkout: None }, node }
    }

    /// Replaces a level in which a mistake was reported.
    pub fn faulty(label: String, span: Span) -> Self {
        Self::new(label, Json::Null, true, Node::new(span, Data::Poison))
    }
}

/// The mistake of naming a level twice.
pub(super) fn twice(file: &Arc<SourceFile>, span: Span, factor: &str, label: &str) -> Mistake {
    Mistake::new(file, span, format!("the level `{label}` appears twice in the factor `{factor}`"))
        .expected("expected every level once")
}

/// Notes unknown keys.
pub(super) fn only_keys(file: &Arc<SourceFile>, node: &Node, known: &[&str], mistakes: &mut Vec<Mistake>) -> Option<()> {
    let mut sound = Some(());
    for entry in node.entries().iter().filter(|e| !known.contains(&e.key.as_str())) {
        mistakes.push(
            Mistake::new(file, entry.key_span, format!("unknown key `{}`", entry.key))
                .expected(format!("expected {}", one_of(known.iter().copied())))
                .did_you_mean(&entry.key, known.iter().copied()),
        );
        sound = None;
    }
    sound
}

/// The mistake of naming a level that does not exist.
pub(super) fn unknown_level(file: &Arc<SourceFile>, span: Span, factor: &str, label: &str, levels: &[Level]) -> Mistake {
    let known: Vec<&str> = levels.iter().map(|l| l.label.as_str()).collect();
    Mistake::new(file, span, format!("the factor `{factor}` has no level `{label}`"))
        .expected(format!("expected {}", one_of(known.iter().copied())))
        .did_you_mean(label, known)
}

/// The mistake of naming a factor that does not exist.
pub(super) fn unknown_factor(file: &Arc<SourceFile>, span: Span, name: &str, factors: &[Factor]) -> Mistake {
    let known: Vec<&str> = factors.iter().map(|f| f.name.as_str()).collect();
    let mistake = Mistake::new(file, span, format!("there is no factor `{name}`"));
    if known.is_empty() {
        return mistake.expected("this experiment has no factors");
    }
    mistake.expected(format!("expected {}", one_of(known.iter().copied()))).did_you_mean(name, known)
}
