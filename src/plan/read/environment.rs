//! Environment variables that a scenario reads: which exist, what they contain, and which are secret.
//!
//! A value that is not secret is a text like any other, and is part of the plan. A secret is a late name: the plan
//! contains `${env.NAME}`, and [`Secrets`] hold its value until it is inserted.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::value::{Object, Value};

use plan::Secrets;
use plan::secrets::MASK;
use schema::{Mistake, Node, SourceFile, decode, types};

/// The variables of a scenario by name.
#[derive(Debug, Default)]
pub struct Environment {
    variables: BTreeMap<String, Variable>,
}

/// What is known of a variable.
#[derive(Clone, PartialEq, Eq)]
pub enum Variable {
    /// Its value: it is set or has a default, and is not secret.
    Known(String),
    /// It is not set and has no default.
    Unset,
    /// It is secret; `None` if it is not set.
    Secret(Option<String>),
}

impl std::fmt::Debug for Variable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Known(value) => value,
            Self::Unset => "(unset)",
            Self::Secret(_) => "(secret)",
        })
    }
}

impl Environment {
    /// Reads `env:` of a scenario. `value_of`: the value of a variable, if it is set.
    pub(super) fn read(
        file: &Arc<SourceFile>,
        node: Option<&Node>,
        value_of: impl Fn(&str) -> Option<OsString>,
        mistakes: &mut Vec<Mistake>,
    ) -> Self {
        let mut variables = BTreeMap::new();
        for entry in node.map(Node::entries).unwrap_or_default() {
            let name = &entry.key;
            let named_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !named_well {
                mistakes.push(
                    Mistake::new(file, entry.key_span, format!("`{name}` cannot be the name of an environment variable"))
                        .expected("expected letters, digits and `_`, so that expressions can use it"),
                );
                continue;
            }
            let Some(typed) = decode::decode::<types::Variable>(file, &entry.value, mistakes) else { continue };
            if typed.secret && typed.default.is_some() {
                let span = entry.value.get("default").map_or(entry.key_span, |n| n.span);
                mistakes.push(
                    Mistake::new(file, span, format!("the secret `{name}` would be written in this file"))
                        .expected("expected no `default` beside `secret: true`"),
                );
            }
            // A variable set to an empty value counts as not set.
            let value = value_of(name).filter(|value| !value.is_empty()).map(OsString::into_string).transpose();
            let value = value.unwrap_or_else(|_| {
                let found = format!("the value of the variable `{name}` is not text");
                mistakes.push(Mistake::new(file, entry.key_span, found).expected("expected UTF-8"));
                None
            });
            let variable = match (typed.secret, value.or(typed.default.map(|t| t.0))) {
                (true, value) => Variable::Secret(value),
                (false, Some(value)) => {
                    if has_credentials(&value) {
                        mistakes.push(
                            Mistake::new(
                                file,
                                entry.key_span,
                                format!("the variable `{name}` holds credentials, which would be written into every record"),
                            )
                            .expected("expected an address without `user:password@`")
                            .help("put them into separate variables with `secret: true`, and use these in `auth`"),
                        );
                        // Nothing derived from it is shown in other mistakes either.
                        Variable::Unset
                    } else {
                        Variable::Known(value)
                    }
                }
                (false, None) => Variable::Unset,
            };
            variables.insert(name.clone(), variable);
        }
        Self { variables }
    }

    /// A variable, if the scenario declares it.
    pub fn get(&self, name: &str) -> Option<&Variable> {
        self.variables.get(name)
    }

    /// The names of all variables.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(String::as_str)
    }

    /// The secrets that are set.
    pub fn secrets(&self) -> Secrets {
        let secret = |(name, variable): (&String, &Variable)| match variable {
            Variable::Secret(Some(value)) => Some((format!("env.{name}"), value.clone())),
            _ => None,
        };
        Secrets::new(self.variables.iter().filter_map(secret).collect())
    }

    /// Name and value of each for the record: `***` for a secret, `None` for a variable that is not set.
    pub fn record(&self) -> BTreeMap<String, Option<String>> {
        let shown = |variable: &Variable| match variable {
            Variable::Known(value) => Some(value.clone()),
            Variable::Secret(Some(_)) => Some(MASK.to_owned()),
            Variable::Unset | Variable::Secret(None) => None,
        };
        self.variables.iter().map(|(name, variable)| (name.clone(), shown(variable))).collect()
    }
}

/// Whether a text is an address with a user in it.
fn has_credentials(text: &str) -> bool {
    let authority = |rest: &str| rest.split(['/', '?', '#', ',', ' ']).next().is_some_and(|a| a.contains('@'));
    text.split("://").skip(1).any(authority)
}

/// `env` as the expression engine sees it: records which variables were read.
#[derive(Debug, Default)]
pub(super) struct Read {
    values: BTreeMap<String, Value>,
    names: Mutex<Vec<String>>,
}

impl Read {
    /// The variables whose value is known now; `secret` gives a placeholder for a secret, if one is allowed.
    pub fn new(environment: &Environment, secret: impl Fn(&str) -> Option<Value>) -> Arc<Self> {
        let value = |(name, variable): (&String, &Variable)| {
            let value = match variable {
                Variable::Known(value) => Some(Value::from(value.replace("${", "$${"))),
                Variable::Secret(_) => secret(name),
                Variable::Unset => None,
            };
            Some((name.clone(), value?))
        };
        Arc::new(Self { values: environment.variables.iter().filter_map(value).collect(), names: Mutex::default() })
    }

    /// The names that were read so far, whether or not they exist.
    pub fn names(&self) -> Vec<String> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Object for Read {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        self.names.lock().unwrap_or_else(PoisonError::into_inner).push(name.to_owned());
        self.values.get(name).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::node;

    fn read(yaml: &str) -> (Environment, Vec<String>) {
        let file = SourceFile::inline("x.yaml", yaml);
        let tree = node::parse(&file).unwrap();
        let mut mistakes = Vec::new();
        let set = |name: &str| match name {
            "EMPTY" => Some(OsString::new()),
            "URL" => Some("http://me:hush@127.0.0.1:5984/".into()),
            "PASSWORD" => Some("hush".into()),
            "BYTES" => Some(std::os::unix::ffi::OsStringExt::from_vec(vec![b'a', 0xff])),
            _ => None,
        };
        let environment = Environment::read(&file, Some(&tree), set, &mut mistakes);
        (environment, mistakes.into_iter().map(|m| format!("{} {:?}", m.found, m.help)).collect())
    }

    #[test]
    fn what_is_not_text_is_not_taken_for_unset() {
        for rest in ["{}", "{default: x}", "{secret: true}"] {
            let (_, mistakes) = read(&format!("BYTES: {rest}\n"));
            assert_eq!(mistakes, ["the value of the variable `BYTES` is not text None"]);
        }
    }

    #[test]
    fn variables_are_known_unset_or_secret() {
        let (environment, mistakes) = read("EMPTY: {default: x}\nNOWHERE: {}\nPASSWORD: {secret: true}\nTOKEN: {secret: true}\n");
        assert!(mistakes.is_empty(), "{mistakes:?}");
        assert_eq!(environment.get("EMPTY"), Some(&Variable::Known("x".to_owned())));
        assert_eq!(environment.get("NOWHERE"), Some(&Variable::Unset));
        assert_eq!(environment.get("TOKEN"), Some(&Variable::Secret(None)));
        assert_eq!(environment.get("other"), None);
        assert!(!format!("{environment:?}").contains("hush"));
        let record = serde_json::to_string(&environment.record()).unwrap();
        assert_eq!(record, r#"{"EMPTY":"x","NOWHERE":null,"PASSWORD":"***","TOKEN":null}"#);
    }

    #[test]
    fn credentials_must_not_stand_where_they_would_be_recorded() {
        let (_, mistakes) = read("URL: {}\n");
        assert!(mistakes[0].contains("holds credentials"), "{mistakes:?}");
        assert!(!mistakes[0].contains("hush"), "{mistakes:?}");
        let (_, mistakes) = read("A-B: {}\nX: {secret: true, default: y}\n");
        assert_eq!(mistakes.len(), 2, "{mistakes:?}");
    }
}
