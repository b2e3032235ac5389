//! How a replica is started.

use serde::Serialize;

use super::Template;
use super::programs::FIXTURES_PROGRAM;

/// What starts a replica.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// Nothing: it already runs, and only its address is known.
    Elsewhere,
    /// A program of this machine.
    Process {
        /// Program and arguments.
        argv: Vec<Template>,
    },
    /// A fixture.
    Fixture {
        /// The name of the fixture.
        name: String,
        /// Its arguments.
        args: Vec<Template>,
    },
    /// The client of a container engine.
    Container {
        /// The engine.
        engine: String,
        /// The client's command line, in which the late name `container` is the container's name.
        argv: Vec<Template>,
    },
}

impl Start {
    /// What a typed command line starts: a fixture may also be called by the name of its program.
    pub fn of_command(argv: Vec<Template>) -> Self {
        match fixture_in(&argv).and_then(<[Template]>::split_first) {
            Some((name, args)) => Self::Fixture { name: name.to_text(), args: args.to_vec() },
            None => Self::Process { argv },
        }
    }

    /// Whether runner starts the replica.
    pub fn is_started(&self) -> bool {
        !matches!(self, Self::Elsewhere)
    }

    /// The command line as shown to users; empty if nothing is started.
    pub fn argv(&self) -> Vec<Template> {
        match self {
            Self::Elsewhere => Vec::new(),
            Self::Process { argv } | Self::Container { argv, .. } => argv.clone(),
            Self::Fixture { name, args } => {
                [FIXTURES_PROGRAM, name].into_iter().map(Template::parse).chain(args.iter().cloned()).collect()
            }
        }
    }

    /// The program that must be installed.
    pub fn program(&self) -> Option<String> {
        match self {
            Self::Elsewhere | Self::Fixture { .. } => None,
            Self::Process { argv } | Self::Container { argv, .. } => argv.first().map(Template::to_text),
        }
    }
}

/// The name and the arguments of a fixture in a command line that calls the fixtures' program; `None` for any other.
pub fn fixture_in(argv: &[Template]) -> Option<&[Template]> {
    let (program, rest) = argv.split_first()?;
    (program.to_text() == FIXTURES_PROGRAM).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<Template> {
        words.iter().map(|word| Template::parse(word)).collect()
    }

    #[test]
    fn a_fixture_may_be_typed_in_full() {
        let start = Start::of_command(words(&["runner-fixtures", "proxy", "--port", "80"]));
        let Start::Fixture { name, args } = &start else { panic!("{start:?}") };
        assert_eq!((name.as_str(), args), ("proxy", &words(&["--port", "80"])));
        assert_eq!(start.argv(), words(&["runner-fixtures", "proxy", "--port", "80"]));
        assert_eq!(start.program(), None);
        let other = Start::of_command(words(&["nginx", "runner-fixtures"]));
        assert!(matches!(other, Start::Process { .. }) && other.is_started());
        assert_eq!(other.program().as_deref(), Some("nginx"));
        assert!(!Start::Elsewhere.is_started() && Start::Elsewhere.argv().is_empty());
    }
}
