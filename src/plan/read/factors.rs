//! Factors, levels and cells: which combinations an experiment consists of.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use super::levels::{Factor, Level, only_keys, twice, unknown_factor, unknown_level};
use super::names::RESERVED;
use super::options::Options;
use super::revisions;
use plan::factors::label_of;
use schema::source::one_of;
use schema::{Data, Mistake, Node, SourceFile, Span};

/// More cells than this are a mistake of the author's.
pub const MAX_CELLS: usize = 10_000;

/// Reads `factors:`. `options` say which revisions are needed, and which commits they meant before.
pub(super) fn read(file: &Arc<SourceFile>, node: Option<&Node>, options: &Options, mistakes: &mut Vec<Mistake>) -> Vec<Factor> {
    let mut factors = Vec::new();
    let Some(node) = node else { return factors };
    for entry in node.entries() {
        if let Some((_, meaning)) = RESERVED.iter().find(|(name, _)| *name == entry.key) {
            mistakes.push(
                Mistake::new(file, entry.key_span, format!("`{}` cannot be the name of a factor", entry.key))
                    .expected(format!("it already means {meaning}")),
            );
            factors.push(Factor::faulty(entry));
            continue;
        }
        let named_well = entry.key.starts_with(|c: char| c.is_ascii_alphabetic())
            && entry.key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !named_well {
            mistakes.push(
                Mistake::new(file, entry.key_span, format!("`{}` cannot be the name of a factor", entry.key))
                    .expected("expected letters, digits and `_`, so that expressions can use it"),
            );
            factors.push(Factor::faulty(entry));
            continue;
        }
        let read = match revisions::is_meant(&entry.value) {
            true => revisions::read(file, &entry.key, &entry.value, options, mistakes).map(|(levels, of)| (levels, Some(of))),
            false => levels(file, &entry.key, &entry.value, mistakes).map(|levels| (levels, None)),
        };
        factors.push(match read {
            Some((levels, repository)) => Factor { name: entry.key.clone(), levels, repository, span: entry.key_span },
            None => Factor::faulty(entry),
        });
    }
    factors
}

fn levels(file: &Arc<SourceFile>, name: &str, node: &Node, mistakes: &mut Vec<Mistake>) -> Option<Vec<Level>> {
    let before = mistakes.len();
    let (items, default) = match &node.data {
        Data::List(items) => (items.clone(), None),
        Data::Map(_) if node.get("levels").is_some() => {
            only_keys(file, node, &["levels", "default"], mistakes)?;
            let default = node.get("default").map(|n| match &n.data {
                Data::List(items) => items.clone(),
                _ => vec![n.clone()],
            });
            let Data::List(items) = &node.get("levels")?.data else {
                mistakes.push(no_list(file, node.get("levels")?).expected("expected `levels: [a, b]`"));
                return None;
            };
            (items.clone(), default)
        }
        Data::Map(_) if node.get("from").is_some() => (range(file, node, mistakes)?, None),
        _ => {
            mistakes.push(no_list(file, node).expected(
                "expected `[a, b]`, `{levels: [a, b], default: [a]}`, `{from: 1, to: 8}` or `{git: ., of: [main, HEAD]}`",
            ));
            return None;
        }
    };
    if items.is_empty() {
        mistakes.push(
            Mistake::new(file, node.span, format!("the factor `{name}` has no levels")).expected("expected at least one level"),
        );
        return None;
    }
    let mut levels: Vec<Level> = Vec::new();
    for item in items {
        if matches!(item.data, Data::Null | Data::Poison) || contains_expression(&item) {
            mistakes.push(
                Mistake::new(file, item.span, format!("{} cannot be a level", item.describe()))
                    .expected("expected a fixed value: levels are known before any expression"),
            );
            levels.push(Level::faulty(label_of(&item.to_json()), item.span));
            continue;
        }
        let value = item.to_json();
        let label = label_of(&value);
        if levels.iter().any(|l| l.label == label) {
            mistakes.push(twice(file, item.span, name, &label));
            continue;
        }
        levels.push(Level::new(label, value, default.is_none(), item));
    }
    for item in default.into_iter().flatten() {
        let label = label_of(&item.to_json());
        if let Some(level) = levels.iter_mut().find(|l| l.label == label) {
            level.level.by_default = true;
        } else {
            mistakes.push(unknown_level(file, item.span, name, &label, &levels));
        }
    }
    if !levels.iter().any(|l| l.by_default) {
        if mistakes.len() == before {
            let place = node.get("default").unwrap_or(node);
            mistakes.push(
                Mistake::new(file, place.span, format!("no level of `{name}` is executed by default"))
                    .expected("expected `default: [level, …]`"),
            );
        }
        return None;
    }
    Some(levels)
}

fn no_list(file: &Arc<SourceFile>, node: &Node) -> Mistake {
    Mistake::new(file, node.span, format!("{} is not a list of levels", node.describe()))
}

fn contains_expression(node: &Node) -> bool {
    node.as_text().is_some_and(|t| t.contains("${"))
        || node.items().iter().any(contains_expression)
        || node.entries().iter().any(|e| contains_expression(&e.value))
}

fn range(file: &Arc<SourceFile>, node: &Node, mistakes: &mut Vec<Mistake>) -> Option<Vec<Node>> {
    only_keys(file, node, &["from", "to", "step", "factor"], mistakes)?;
    let number = |key: &str| match node.get(key).map(|n| &n.data) {
        Some(Data::Int(i)) => Some(*i as f64),
        Some(Data::Float(f)) => Some(*f),
        _ => None,
    };
    for key in ["from", "to", "step", "factor"] {
        if let Some(value) = node.get(key)
            && number(key).is_none()
        {
            let mut mistake =
                Mistake::new(file, value.span, format!("{} does not fit here", value.describe())).expected("expected a number");
            mistake.help = schema::decode::number_help(value);
            mistakes.push(mistake);
            return None;
        }
    }
    let mut wrong = |key: &str, what: &str, expected: &str| {
        let span = node.get(key).map_or(node.head, |n| n.span);
        mistakes.push(Mistake::new(file, span, what).expected(expected));
        None
    };
    let (Some(from), Some(to)) = (number("from"), number("to")) else {
        return wrong("", "this range has no end", "expected `{from: 1, to: 8}`");
    };
    let (step, factor) = (number("step"), number("factor"));
    if step.is_some() && factor.is_some() {
        return wrong("factor", "this range has both `step` and `factor`", "expected one of them");
    }
    if from > to {
        return wrong("to", &format!("this range goes down, from {from} to {to}"), "expected `from` to be at most `to`");
    }
    if step.is_some_and(|s| s <= 0.0) {
        return wrong("step", "this range never ends", "expected a `step` above 0");
    }
    if factor.is_some_and(|f| f <= 1.0) {
        return wrong("factor", "this range never ends", "expected a `factor` above 1");
    }
    if factor.is_some() && from <= 0.0 {
        return wrong("from", "this range never ends", "expected `from` above 0, because each level is multiplied");
    }
    let mut values = Vec::new();
    let mut i = 0;
    loop {
        let value = match factor {
            Some(factor) => from * factor.powi(i),
            None => from + step.unwrap_or(1.0) * f64::from(i),
        };
        if value > to * (1.0 + 1e-9) {
            return Some(values);
        }
        if values.len() >= MAX_CELLS {
            return wrong("to", &format!("this range has more than {MAX_CELLS} levels"), "expected a lower end, or larger steps");
        }
        let rounded = (value * 1e9).round() / 1e9;
        let data = if rounded.fract() == 0.0 { Data::Int(rounded as i64) } else { Data::Float(rounded) };
        values.push(Node::new(node.span, data));
        i += 1;
    }
}

/// A level index per factor: one cell.
pub type Levels = Vec<usize>;

/// All cells: the product of the chosen levels, without `exclude`, with `include`.
pub(super) fn cells(
    file: &Arc<SourceFile>,
    factors: &[Factor],
    chosen: &[Vec<usize>],
    exclude: Option<&Node>,
    include: Option<&Node>,
    mistakes: &mut Vec<Mistake>,
) -> Vec<Levels> {
    let before = mistakes.len();
    let total = chosen.iter().map(Vec::len).try_fold(1_usize, usize::checked_mul).unwrap_or(usize::MAX);
    if total > MAX_CELLS {
        let span = factors.iter().max_by_key(|f| f.levels.len()).map_or_else(Span::default, |f| f.span);
        mistakes.push(
            Mistake::new(file, span, format!("the factors make {total} cells"))
                .expected(format!("expected at most {MAX_CELLS}; this factor has the most levels")),
        );
        return Vec::new();
    }
    let mut cells: Vec<Levels> = vec![Vec::new()];
    for levels in chosen {
        cells = cells.iter().flat_map(|cell| levels.iter().map(|l| cell.iter().copied().chain([*l]).collect())).collect();
    }
    for rule in exclude.map(Node::items).unwrap_or_default() {
        if let Some(rule) = matcher(file, factors, rule, mistakes) {
            cells.retain(|cell| !rule.iter().all(|(factor, levels)| levels.contains(&cell[*factor])));
        }
    }
    for rule in include.map(Node::items).unwrap_or_default() {
        let Some(matched) = matcher(file, factors, rule, mistakes) else { continue };
        let missing: Vec<&str> =
            factors.iter().enumerate().filter(|(i, _)| !matched.contains_key(i)).map(|(_, f)| f.name.as_str()).collect();
        if !missing.is_empty() {
            mistakes.push(
                Mistake::new(file, rule.head, format!("this cell has no level of {}", one_of(missing)))
                    .expected("expected one level of every factor"),
            );
            continue;
        }
        if matched.values().any(|levels| levels.len() != 1) {
            mistakes.push(
                Mistake::new(file, rule.span, "this cell has several levels of a factor")
                    .expected("expected one level of every factor; write one entry per cell"),
            );
            continue;
        }
        let cell: Levels = (0..factors.len()).map(|i| matched[&i][0]).collect();
        if !cells.contains(&cell) {
            cells.push(cell);
        }
    }
    if cells.is_empty() && mistakes.len() == before {
        let span = exclude.map_or_else(Span::default, |n| n.head);
        mistakes
            .push(Mistake::new(file, span, "`exclude` leaves no cell").expected("expected rules that leave at least one cell"));
    }
    cells
}

fn matcher(
    file: &Arc<SourceFile>,
    factors: &[Factor],
    rule: &Node,
    mistakes: &mut Vec<Mistake>,
) -> Option<BTreeMap<usize, Vec<usize>>> {
    let mut matched = BTreeMap::new();
    let mut sound = true;
    for entry in rule.entries() {
        let Some(i) = factors.iter().position(|f| f.name == entry.key) else {
            mistakes.push(unknown_factor(file, entry.key_span, &entry.key, factors));
            sound = false;
            continue;
        };
        let one = [entry.value.clone()];
        let wanted = match &entry.value.data {
            Data::List(items) => items.as_slice(),
            _ => &one,
        };
        if wanted.is_empty() {
            mistakes.push(
                Mistake::new(file, entry.value.span, format!("no level of `{}`", entry.key))
                    .expected("expected a level, or a list of them"),
            );
            sound = false;
        }
        let mut levels = Vec::new();
        for level in wanted {
            let label = label_of(&level.to_json());
            match factors[i].levels.iter().position(|l| l.label == label) {
                Some(l) => levels.push(l),
                None if factors[i].is_faulty() => sound = false,
                None => {
                    mistakes.push(unknown_level(file, level.span, &entry.key, &label, &factors[i].levels));
                    sound = false;
                }
            }
        }
        matched.insert(i, levels);
    }
    sound.then_some(matched)
}

/// Applies `--set factor=level,…`: selects levels by label, or gives a factor of numbers or maps new ones.
///
/// Returns the indexes of the chosen levels per factor; new levels are appended to the factor.
///
/// # Errors
/// A sentence that says what is wrong with the option.
pub(super) fn choose(factors: &mut [Factor], settings: &[String]) -> Result<Vec<Vec<usize>>, String> {
    let mut chosen: Vec<Vec<usize>> =
        factors.iter().map(|f| (0..f.levels.len()).filter(|l| f.levels[*l].by_default).collect()).collect();
    for setting in settings {
        let (name, values) = setting
            .split_once('=')
            .ok_or_else(|| format!("`--set {setting}` has no `=`; expected `--set factor=level,level`"))?;
        let Some(i) = factors.iter().position(|f| f.name == name.trim()) else {
            let known: Vec<&str> = factors.iter().map(|f| f.name.as_str()).collect();
            let hint = schema::source::nearest(name.trim(), known.iter().copied())
                .map_or_else(String::new, |n| format!("; did you mean `{n}`?"));
            return Err(format!("`--set {setting}`: there is no factor `{}`, expected {}{hint}", name.trim(), one_of(known)));
        };
        if settings.iter().filter(|s| s.split_once('=').is_some_and(|(n, _)| n.trim() == name.trim())).count() > 1 {
            return Err(format!("`{0}` is chosen twice; write `--set {0}=a,b`", name.trim()));
        }
        // A level of that name would be chosen.
        if values.trim() == "all" && factors[i].level("all").is_none() {
            chosen[i] = (0..factors[i].levels.len()).collect();
            continue;
        }
        let parsed: Vec<Json> = match factors[i].repository {
            Some(_) => revisions::names(values).into_iter().map(Json::from).collect(),
            None => serde_yaml::from_str(&format!("[{values}]")).map_err(|_| {
                format!("`--set {setting}`: cannot read the levels; expected `{name}=a,b` or `{name}={{key: value}}`")
            })?,
        };
        if parsed.is_empty() {
            return Err(format!("`--set {setting}` chooses no level"));
        }
        chosen[i].clear();
        for value in parsed {
            let factor = &mut factors[i];
            let label = label_of(&value);
            let index = match factor.levels.iter().position(|l| l.label == label) {
                Some(index) => index,
                None if let Some(repository) = &factor.repository => {
                    let node = Node::from_json(&value, factor.span);
                    let level = repository.further(&label, &node).map_err(|e| format!("`--set {setting}`: {e}"))?;
                    factor.levels.push(level.into());
                    factor.levels.len() - 1
                }
                None if same_kind(&factor.levels[0].value, &value) => {
                    let node = Node::from_json(&value, factor.span);
                    factor.levels.push(Level::new(label, value, false, node));
                    factor.levels.len() - 1
                }
                None => {
                    let hint = schema::source::nearest(&label, factor.labels())
                        .map_or_else(String::new, |n| format!("; did you mean `{n}`?"));
                    return Err(format!(
                        "`--set {setting}`: the factor `{}` has no level `{label}`, expected {}{hint}",
                        factor.name,
                        one_of(factor.labels())
                    ));
                }
            };
            if !chosen[i].contains(&index) {
                chosen[i].push(index);
            }
        }
    }
    Ok(chosen)
}

/// A note on levels that `--set` added to the first `typed` of a factor: a number that was mistyped would be measured in silence.
pub(super) fn note_new(factor: &Factor, typed: usize) -> Option<String> {
    let (known, new) = factor.levels.split_at(typed);
    if new.is_empty() || factor.repository.is_some() {
        return None;
    }
    let list = |levels: &[Level]| levels.iter().map(|level| level.label.as_str()).collect::<Vec<_>>().join(", ");
    let (name, known, new) = (&factor.name, list(known), list(new));
    Some(format!("note: `--set {name}={new}` adds a level: the file has {known}"))
}

/// Whether a new level fits a factor: numbers among numbers, maps with the same keys. New words are considered typing
/// errors.
fn same_kind(known: &Json, new: &Json) -> bool {
    match (known, new) {
        (Json::Number(_), Json::Number(_)) => true,
        (Json::Object(a), Json::Object(b)) => a.len() == b.len() && a.keys().all(|k| b.contains_key(k)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use schema::node;

    fn parse(text: &str) -> (Vec<Factor>, Vec<String>, Arc<SourceFile>) {
        let file = SourceFile::inline("x.yaml", text);
        let tree = node::parse(&file).unwrap();
        let mut mistakes = Vec::new();
        let factors = read(&file, Some(&tree), &Options::default(), &mut mistakes);
        (factors, mistakes.into_iter().map(|m| m.found).collect(), file)
    }

    fn labels(factor: &Factor) -> Vec<&str> {
        factor.labels().collect()
    }

    #[test]
    fn lists_maps_and_ranges_are_levels() {
        let (factors, mistakes, _) = parse(
            "a: [1, two]\nb: [{amount: 10, size: 1KiB}]\nc: {from: 1, to: 8, factor: 2}\nd: {from: 0, to: 1, step: 0.25}\ne: {levels: [x, y], default: [y]}",
        );
        assert!(mistakes.is_empty(), "{mistakes:?}");
        assert_eq!(labels(&factors[0]), ["1", "two"]);
        assert_eq!(labels(&factors[1]), ["10x1KiB"]);
        assert_eq!(labels(&factors[2]), ["1", "2", "4", "8"]);
        assert_eq!(labels(&factors[3]), ["0", "0.25", "0.5", "0.75", "1"]);
        assert_eq!(factors[4].levels.iter().map(|l| l.by_default).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn set_selects_by_label_and_adds_numbers_and_maps_but_no_words() {
        let (mut factors, _, _) = parse("n: [1, 2]\nblob: [{amount: 10, size: 1KiB}]\nproxy: [builtin, haproxy]");
        let chosen = choose(&mut factors, &["n=2,3".into(), "blob={amount: 5, size: 2KiB}".into()]).unwrap();
        assert_eq!(chosen, [vec![1, 2], vec![1], vec![0, 1]]);
        assert_eq!(factors[1].levels[1].label, "5x2KiB");
        let error = choose(&mut factors, &["proxy=hapoxy".into()]).unwrap_err();
        assert!(error.contains("did you mean `haproxy`"), "{error}");
        assert!(choose(&mut factors, &["prxy=1".into()]).unwrap_err().contains("did you mean `proxy`"));
    }

    proptest! {
        #[test]
        fn cells_are_the_product_of_the_levels(sizes in proptest::collection::vec(1_usize..5, 0..4)) {
            let text: String = sizes.iter().enumerate().map(|(i, n)| format!("f{i}: {:?}\n", (0..*n).collect::<Vec<_>>())).collect();
            let text = if text.is_empty() { "{}".to_owned() } else { text };
            let (mut factors, _, file) = parse(&text);
            let chosen = choose(&mut factors, &[]).unwrap();
            let mut mistakes = Vec::new();
            let cells = cells(&file, &factors, &chosen, None, None, &mut mistakes);
            prop_assert_eq!(cells.len(), sizes.iter().product::<usize>());
            let distinct: std::collections::BTreeSet<_> = cells.iter().collect();
            prop_assert_eq!(distinct.len(), cells.len());
        }
    }
}
