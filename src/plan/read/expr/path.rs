//! The most common kind of expression.

/// `name.key[expression]`, the most common kind of expression.
pub(super) struct Path {
    pub root: String,
    pub steps: Vec<PathStep>,
}

/// One step of a [`Path`].
pub(super) enum PathStep {
    Key(String),
    Index(String),
}

impl Path {
    /// Reads one; `None` if the expression is more than a path.
    pub fn parse(source: &str) -> Option<Self> {
        let word = |s: &str| {
            let end = s.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(s.len());
            (end > 0 && !s.starts_with(|c: char| c.is_ascii_digit())).then_some(end)
        };
        let end = word(source)?;
        let root = source[..end].to_owned();
        if matches!(root.as_str(), "true" | "false" | "none" | "not" | "True" | "False" | "None") {
            return None;
        }
        let mut steps = Vec::new();
        let mut rest = &source[end..];
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('.') {
                let end = word(after)?;
                steps.push(PathStep::Key(after[..end].to_owned()));
                rest = &after[end..];
            } else if let Some(after) = rest.strip_prefix('[') {
                let mut depth = 0;
                let end = after.char_indices().find(|(_, c)| match c {
                    '[' => {
                        depth += 1;
                        false
                    }
                    ']' if depth == 0 => true,
                    ']' => {
                        depth -= 1;
                        false
                    }
                    _ => false,
                })?;
                let inner = &after[..end.0];
                if inner.contains(':') || inner.trim().is_empty() {
                    return None; // a slice, or nonsense: the engine says which
                }
                steps.push(PathStep::Index(inner.trim().to_owned()));
                rest = &after[end.0 + 1..];
            } else {
                return None;
            }
        }
        Some(Self { root, steps })
    }
}
