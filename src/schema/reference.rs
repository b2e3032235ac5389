//! The reference of the language: the description of each block and each key.
//!
//! It is taken from the JSON Schema, and so from the doc comments of the types that read scenarios: `runner explain`,
//! the pages in `docs/reference/`, and editors show the same words. An attribute `x-default` says what the absence of a
//! key means where serde's own default does not, `examples` holds possible values, and `x-page` of a type names its
//! page.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::json_schema;
use super::syntax::quoted;

/// The whole language.
pub struct Reference {
    blocks: BTreeMap<String, Block>,
}

/// A part of a scenario that has keys of its own, or a fixed choice of words.
pub struct Block {
    /// The type that reads it, such as `Target`.
    pub name: String,
    /// What it is, in Markdown.
    pub text: String,
    /// Its keys, in the order in which they are explained.
    pub keys: Vec<Key>,
    /// Of a choice: its words, each with its meaning.
    pub words: Vec<(String, String)>,
    /// The page in `docs/reference/` that explains it; `None` if it is explained where it is used.
    pub page: Option<String>,
}

/// A key of a block.
pub struct Key {
    /// As it is typed.
    pub name: String,
    /// What it takes, in words: `duration`, `list of texts`.
    pub takes: String,
    /// The blocks that it may hold.
    pub blocks: Vec<String>,
    /// How it holds one.
    pub holds: Holds,
    /// Whether it is required.
    pub is_required: bool,
    /// What its absence means, if it means something.
    pub default: Option<String>,
    /// Example values.
    pub values: Vec<Json>,
    /// What it means, in Markdown.
    pub text: String,
}

impl Key {
    /// The key with each of its values, in YAML: `port: 8000`.
    pub fn examples(&self) -> impl Iterator<Item = String> {
        self.values.iter().map(|value| format!("{}: {}", self.name, flow(value)))
    }
}

/// How a key holds a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// As its value.
    One,
    /// As each item of a list.
    List,
    /// Under names that the scenario gives.
    Named,
}

/// A place in a scenario: the keys that lead to it, `<name>` for names that the scenario gives.
pub struct Place<'a> {
    /// The keys, the last one included.
    pub path: Vec<String>,
    /// The block that has the last key.
    pub block: &'a Block,
    /// The last key.
    pub key: &'a Key,
}

/// Stands in a path for a name that the scenario gives.
pub const NAME: &str = "<name>";

/// The root of the language.
pub const ROOT: &str = "Experiment";

impl Reference {
    /// The reference of the language that this program reads.
    pub fn generate() -> Self {
        let schema = json_schema::without_expressions();
        let mut blocks = BTreeMap::new();
        let empty = Map::new();
        let definitions = schema["$defs"].as_object().unwrap_or(&empty);
        for (name, definition) in definitions.iter().map(|(n, d)| (n.as_str(), d)).chain([(ROOT, &schema)]) {
            let block = Block {
                name: name.to_owned(),
                text: description(definition),
                keys: keys(definition, definitions),
                words: words(definition),
                page: definition["x-page"].as_str().map(str::to_owned),
            };
            if !block.keys.is_empty() || !block.words.is_empty() {
                blocks.insert(name.to_owned(), block);
            }
        }
        Self { blocks }
    }

    /// The block that this type reads.
    pub fn block(&self, name: &str) -> Option<&Block> {
        self.blocks.get(name)
    }

    /// The page on which a block is explained.
    pub fn page(&self, block: &str) -> Option<&str> {
        self.block(block)?.page.as_deref()
    }

    /// All blocks, by name.
    pub fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.blocks.values()
    }

    /// Every place of the language, shorter paths first; a block inside itself is not entered again.
    pub fn places(&self) -> Vec<Place<'_>> {
        let mut places = Vec::new();
        self.walk(ROOT, &mut Vec::new(), &mut vec![ROOT], &mut places);
        places.sort_by_key(|place| place.path.len());
        places
    }

    fn walk<'a>(&'a self, name: &str, path: &mut Vec<String>, above: &mut Vec<&'a str>, places: &mut Vec<Place<'a>>) {
        let Some(block) = self.blocks.get(name) else { return };
        let depth = path.len();
        for key in &block.keys {
            path.push(key.name.clone());
            places.push(Place { path: path.clone(), block, key });
            if key.holds == Holds::Named {
                path.push(NAME.to_owned());
            }
            for inner in &key.blocks {
                if !above.contains(&inner.as_str()) {
                    above.push(inner);
                    self.walk(inner, path, above, places);
                    above.pop();
                }
            }
            path.truncate(depth);
        }
    }

    /// The places meant by keys with dots between them, such as `load.open.rate`: the last key is that of the place,
    /// and the others come before it in this order. Names given by a scenario may be among them.
    pub fn find(&self, typed: &str) -> Vec<Place<'_>> {
        let wanted: Vec<&str> = typed.split('.').filter(|word| !word.is_empty()).collect();
        self.places().into_iter().filter(|place| is_meant(&wanted, &place.path)).collect()
    }

    /// The text about a block in `docs/reference/`: a list of its keys, or of its words. `None` if there is no such
    /// block.
    pub fn markdown(&self, name: &str) -> Option<String> {
        let block = self.blocks.get(name)?;
        let mut out = String::new();
        for key in &block.keys {
            let mut facts = vec![match key.blocks.first().and_then(|block| self.page(block)) {
                Some(page) => format!("[{}]({page}.md)", key.takes),
                None => key.takes.clone(),
            }];
            if key.is_required {
                facts.push("required".to_owned());
            }
            facts.extend(key.default.as_ref().map(|default| format!("default: {default}")));
            facts.extend(key.examples().map(|example| format!("such as `{example}`")));
            let anchor = anchor(name, &key.name);
            out += &format!("- <a id=\"{anchor}\"></a>**`{}`** ({}): {}\n", key.name, facts.join("; "), one_item(&key.text));
            let choices = key.blocks.iter().filter_map(|inner| self.blocks.get(inner)).filter(|inner| inner.keys.is_empty());
            for (word, text) in choices.flat_map(|inner| &inner.words).filter(|(_, text)| !text.is_empty()) {
                out += &format!("    - `{word}`: {}\n", text.replace('\n', " "));
            }
        }
        for (word, text) in &block.words {
            out += &format!("- **`{word}`**: {}\n", one_item(text));
        }
        Some(out)
    }
}

/// The anchor of a key on its page.
fn anchor(block: &str, key: &str) -> String {
    format!("{}-{key}", block.to_lowercase())
}

/// Paragraphs of one item of a list.
fn one_item(text: &str) -> String {
    text.lines()
        .map(|line| if line.is_empty() { String::new() } else { format!("    {line}") })
        .collect::<Vec<_>>()
        .join("\n")
        .trim_start()
        .to_owned()
}

/// Whether the words mean this path: the last word is the last key, the others lie before it, in order.
fn is_meant(wanted: &[&str], path: &[String]) -> bool {
    let (Some((last, before)), Some((key, above))) = (wanted.split_last(), path.split_last()) else { return false };
    let same = |word: &str, key: &str| word == key || word.replace('_', "-") == key;
    let mut above = above.iter();
    same(last, key) && before.iter().all(|word| above.any(|key| key == NAME || same(word, key)))
}

/// The keys of an object.
fn keys(definition: &Json, definitions: &Map<String, Json>) -> Vec<Key> {
    let Some(properties) = definition["properties"].as_object() else {
        // One of several maps: each key once.
        let mut keys: Vec<Key> = Vec::new();
        for key in definition["anyOf"].as_array().into_iter().flatten().flat_map(|form| self::keys(form, definitions)) {
            if keys.iter().all(|known| known.name != key.name) {
                keys.push(Key { is_required: false, ..key });
            }
        }
        return keys;
    };
    let required: Vec<&str> = definition["required"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    let key = |(name, schema): (&String, &Json)| {
        let (takes, blocks, holds) = takes(schema, definitions);
        let said = schema["x-default"].as_str().map(str::to_owned);
        Key {
            name: name.clone(),
            takes,
            blocks,
            holds,
            is_required: required.contains(&name.as_str()),
            default: said.or_else(|| default_of(&schema["default"])),
            values: schema["examples"].as_array().cloned().unwrap_or_default(),
            text: description(schema),
        }
    };
    properties.iter().map(key).collect()
}

/// The words of a choice.
fn words(definition: &Json) -> Vec<(String, String)> {
    let mut words = Vec::new();
    for variant in definition["oneOf"].as_array().into_iter().flatten() {
        if let Some(word) = variant["const"].as_str() {
            words.push((word.to_owned(), description(variant)));
        }
        for word in variant["enum"].as_array().into_iter().flatten().filter_map(Json::as_str) {
            words.push((word.to_owned(), description(variant)));
        }
        for (word, inner) in variant["properties"].as_object().into_iter().flatten() {
            let text = [variant, inner].map(description).into_iter().find(|text| !text.is_empty());
            words.push((format!("{word}: …"), text.unwrap_or_default()));
        }
    }
    words
}

/// The description of something, or an empty text.
fn description(schema: &Json) -> String {
    schema["description"].as_str().unwrap_or_default().trim().to_owned()
}

/// What a value may be, in words; the blocks that it may hold, and how.
fn takes(schema: &Json, definitions: &Map<String, Json>) -> (String, Vec<String>, Holds) {
    let plain = |words: &str| (words.to_owned(), Vec::new(), Holds::One);
    if let Some(path) = schema["$ref"].as_str() {
        let name = path.rsplit('/').next().unwrap_or(path);
        return named(name, &definitions[name], definitions);
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        if let Some(several) = schema[key].as_array() {
            let real = several.iter().filter(|one| one["type"] != "null");
            let all: Vec<_> = real.map(|one| takes(one, definitions)).collect();
            let holds = all.iter().find(|(_, blocks, _)| !blocks.is_empty()).map_or(Holds::One, |(.., holds)| *holds);
            let mut words: Vec<String> = Vec::new();
            let mut blocks = Vec::new();
            for (word, inner, _) in all {
                if !words.contains(&word) {
                    words.push(word);
                }
                blocks.extend(inner);
            }
            return (words.join(" or "), blocks, holds);
        }
    }
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<String> = words.iter().filter(|w| !w.is_null()).map(|word| format!("`{}`", flow(word))).collect();
        return plain(&words.join(", "));
    }
    if let Some(word) = schema.get("const") {
        return plain(&format!("`{}`", flow(word)));
    }
    let kind = match &schema["type"] {
        Json::Array(several) => several.iter().find(|one| **one != "null").and_then(Json::as_str).unwrap_or_default(),
        one => one.as_str().unwrap_or_default(),
    };
    match kind {
        "array" => {
            let (words, blocks, _) = takes(&schema["items"], definitions);
            (format!("list of {}", several(&words)), blocks, Holds::List)
        }
        "object" if schema["additionalProperties"].is_object() => {
            let (words, blocks, _) = takes(&schema["additionalProperties"], definitions);
            (format!("map from names to {}", several(&words)), blocks, Holds::Named)
        }
        "object" => plain("map"),
        "boolean" => plain("`true` or `false`"),
        "integer" => plain("whole number"),
        "number" => plain("number"),
        "string" => plain("text"),
        _ => plain("any value"),
    }
}

/// The same for a type with a name.
fn named(name: &str, definition: &Json, definitions: &Map<String, Json>) -> (String, Vec<String>, Holds) {
    let words = match name {
        "Text" => "text",
        "Names" => "name or list of names",
        "Words" => "list of texts",
        "Statuses" => "status or list of statuses",
        "ExitCodes" => "exit code or list of exit codes",
        "Timeout" => "duration",
        "Percent" | "Share" => "percentage",
        "Times" => "whole number or `any`",
        "CountTolerance" => "whole number or percentage",
        "WarmUpLength" => "duration or `auto`",
        _ => "",
    };
    if !words.is_empty() {
        return (words.to_owned(), Vec::new(), Holds::One);
    }
    if definition["properties"].is_object() {
        return ("map".to_owned(), vec![name.to_owned()], Holds::One);
    }
    if !keys(definition, definitions).is_empty() {
        return (takes(definition, definitions).0, vec![name.to_owned()], Holds::One);
    }
    let words = self::words(definition);
    if !words.is_empty() {
        let words: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        return (words.join(", "), vec![name.to_owned()], Holds::One);
    }
    if definition["enum"].is_array() || definition["anyOf"].is_array() {
        return takes(definition, definitions);
    }
    // A scalar with a notation of its own: the type is its name.
    (apart(name), Vec::new(), Holds::One)
}

/// `ResourceLimit` as `resource limit`.
fn apart(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

/// The plural of the words.
fn several(words: &str) -> String {
    match words {
        "any value" => "any values".to_owned(),
        "status" => "statuses".to_owned(),
        _ if words.contains(" or ") || words.contains('`') || words.contains(',') => format!("({words})"),
        _ => format!("{words}s"),
    }
}

/// A default known to serde, if it is informative.
fn default_of(value: &Json) -> Option<String> {
    let says_nothing = match value {
        Json::Null => true,
        Json::String(text) => text.is_empty(),
        Json::Array(items) => items.is_empty(),
        Json::Object(_) => true,
        _ => false,
    };
    (!says_nothing).then(|| format!("`{}`", flow(value)))
}

/// A value as YAML, on one line.
pub fn flow(value: &Json) -> String {
    match value {
        Json::String(text) => {
            let begins = text.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '^' | '$'));
            let is_word = begins
                && !text.contains([',', '[', ']', '{', '}', '#', '"', '\''])
                && !text.contains(": ")
                && !text.ends_with(':');
            let means_more = matches!(text.as_str(), "true" | "false" | "null" | "~") || text.parse::<f64>().is_ok();
            if is_word && !means_more { text.clone() } else { quoted(text) }
        }
        Json::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Json::Object(map) => {
            format!("{{{}}}", map.iter().map(|(key, value)| format!("{key}: {}", flow(value))).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}
