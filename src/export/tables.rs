//! The tables of an export and their columns, as `schema.sql` defines them.

use rusqlite::Connection;

use super::Error;

/// The tables. Comments in the file are documentation, which SQLite stores with the tables.
pub(super) const SCHEMA: &str = include_str!("schema.sql");
/// Views for the most frequent questions.
pub(super) const VIEWS: &str = include_str!("views.sql");

/// A table, in the order in which they refer to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "schema.sql documents them")]
pub enum Table {
    Runs,
    Levels,
    Cells,
    CellLevels,
    Estimates,
    Expectations,
    Damaged,
    Repetitions,
    Phases,
    Trials,
    Replicas,
    Reconciled,
    Links,
    FirstErrors,
    Events,
    Figures,
    Windows,
    Requests,
    Transfers,
    Circuits,
    CircuitHops,
    Guards,
    BuildTimeouts,
    OnionSteps,
    Streams,
    TransferStreams,
    Metrics,
    Resources,
    Host,
    Taps,
    Collected,
}

impl Table {
    /// All tables, each at the index of its number.
    pub const ALL: [Self; 31] = [
        Self::Runs,
        Self::Levels,
        Self::Cells,
        Self::CellLevels,
        Self::Estimates,
        Self::Expectations,
        Self::Damaged,
        Self::Repetitions,
        Self::Phases,
        Self::Trials,
        Self::Replicas,
        Self::Reconciled,
        Self::Links,
        Self::FirstErrors,
        Self::Events,
        Self::Figures,
        Self::Windows,
        Self::Requests,
        Self::Transfers,
        Self::Circuits,
        Self::CircuitHops,
        Self::Guards,
        Self::BuildTimeouts,
        Self::OnionSteps,
        Self::Streams,
        Self::TransferStreams,
        Self::Metrics,
        Self::Resources,
        Self::Host,
        Self::Taps,
        Self::Collected,
    ];

    /// Its name in databases, and with `.csv` as a file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Runs => "runs",
            Self::Levels => "levels",
            Self::Cells => "cells",
            Self::CellLevels => "cell_levels",
            Self::Estimates => "estimates",
            Self::Expectations => "expectations",
            Self::Damaged => "damaged",
            Self::Repetitions => "repetitions",
            Self::Phases => "phases",
            Self::Trials => "trials",
            Self::Replicas => "replicas",
            Self::Reconciled => "reconciled",
            Self::Links => "links",
            Self::FirstErrors => "first_errors",
            Self::Events => "events",
            Self::Figures => "figures",
            Self::Windows => "windows",
            Self::Requests => "requests",
            Self::Transfers => "transfers",
            Self::Circuits => "circuits",
            Self::CircuitHops => "circuit_hops",
            Self::Guards => "guards",
            Self::BuildTimeouts => "build_timeouts",
            Self::OnionSteps => "onion_steps",
            Self::Streams => "streams",
            Self::TransferStreams => "transfer_streams",
            Self::Metrics => "metrics",
            Self::Resources => "resources",
            Self::Host => "host",
            Self::Taps => "taps",
            Self::Collected => "collected",
        }
    }

    /// Its index in [`Self::ALL`].
    pub(super) fn index(self) -> usize {
        self as usize
    }
}

/// The names of the columns of each table, by its index.
///
/// # Errors
/// [`Error::Schema`], which is a bug in this program.
pub(super) fn columns() -> Result<Vec<Vec<String>>, Error> {
    let read = || -> rusqlite::Result<Vec<Vec<String>>> {
        let connection = Connection::open_in_memory()?;
        connection.execute_batch(SCHEMA)?;
        let of = |table: &Table| {
            let mut names = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
            names.query_map([table.name()], |row| row.get(0))?.collect()
        };
        Table::ALL.iter().map(of).collect()
    };
    read().map_err(Error::Schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_and_the_list_have_the_same_tables() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        connection.execute_batch(VIEWS).unwrap();
        let mut names = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY rowid").unwrap();
        let found: Vec<String> = names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        assert_eq!(found, Table::ALL.map(Table::name));
        assert!(Table::ALL.iter().enumerate().all(|(at, table)| table.index() == at));
        let columns = columns().unwrap();
        assert_eq!(columns[Table::CellLevels.index()], ["cell_id", "factor", "level"]);
        assert!(columns.iter().all(|names| names.len() > 2));
    }

    #[test]
    fn every_view_can_be_asked() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        connection.execute_batch(VIEWS).unwrap();
        let mut names = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'view'").unwrap();
        let views: Vec<String> = names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        assert!(views.len() >= 7, "{views:?}");
        for view in views {
            assert!(!connection.prepare(&format!("SELECT * FROM {view}")).unwrap().exists([]).unwrap(), "{view}");
        }
    }
}
