//! Metrics from what programs write: text, JSON, CSV, SQLite; and rows from lines (`taps`, and `tor` for those of a control
//! port).
//!
//! The plan says what is wanted; the caller supplies the text: the output of a command that makes the load, or what is
//! collected after the load. Nothing is started here, and only databases are opened.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::panic))]

mod csv;
pub mod exposition;
mod numbers;
pub mod scraped;
mod sqlite;
pub mod taps;
pub mod tor;

use std::cell::OnceCell;
use std::path::Path;

use serde_json::Value as Json;

use numbers::number;
use plan::{ExtractedMetric, MetricSource, TableSource};
use vocabulary::choices::Decimal;

/// Where metrics are looked for.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// The standard output of a program or the content of a file, and the standard error of a program.
    Text {
        /// Standard output, or the content of a file.
        out: &'a str,
        /// Standard error.
        err: &'a str,
    },
    /// A database.
    Sqlite(&'a Path),
}

/// Metrics that are wanted, prepared once.
#[derive(Debug)]
pub struct Rules {
    rules: Vec<(ExtractedMetric, Option<regex::Regex>)>,
}

impl Rules {
    /// Prepares the metrics that are wanted.
    ///
    /// # Errors
    /// When a pattern is not a regular expression.
    pub fn new(metrics: &[ExtractedMetric]) -> Result<Self, regex::Error> {
        let rule = |metric: &ExtractedMetric| match &metric.source {
            MetricSource::Regex(pattern) | MetricSource::Lines(pattern) => {
                regex::Regex::new(pattern).map(|p| (metric.clone(), Some(p)))
            }
            _ => Ok((metric.clone(), None)),
        };
        Ok(Self { rules: metrics.iter().map(rule).collect::<Result<_, _>>()? })
    }

    /// Extracts the metrics, in the order in which they are wanted. `known`: other metrics, which ratios may use.
    ///
    /// # Errors
    /// The first metric that is missing or not a number, in words.
    pub fn take(&self, source: Source<'_>, known: &[(&str, f64)]) -> Result<Vec<f64>, String> {
        let json = OnceCell::new();
        let mut values: Vec<(&str, f64)> = Vec::with_capacity(self.rules.len());
        for (metric, pattern) in &self.rules {
            let missing = |what: String| format!("the metric `{}`: {what}", metric.name);
            let value = match (&metric.source, source) {
                (MetricSource::Ratio(above, below), _) => {
                    let all = || values.iter().chain(known);
                    let get = |name: &str| all().find(|(n, _)| *n == name).map_or(f64::NAN, |(_, v)| *v);
                    Ok(get(above) / get(below)).and_then(|ratio: f64| match ratio.is_finite() {
                        true => Ok(ratio),
                        false => Err(format!("`{above}` / `{below}` is {ratio}")),
                    })
                }
                (MetricSource::Sql(query), Source::Sqlite(path)) => sqlite::number(path, query, metric.decimal),
                (MetricSource::Sql(_), Source::Text { .. }) => Err("a query, but this is not a database".to_owned()),
                (_, Source::Sqlite(_)) => Err("this is a database: expected a query".to_owned()),
                (MetricSource::Regex(source), Source::Text { out, err }) => match pattern {
                    Some(pattern) => first_match(pattern, source, out, err).and_then(|t| number(t, metric.decimal)),
                    None => Err("no pattern".to_owned()),
                },
                (MetricSource::Lines(_), Source::Text { out, .. }) => match pattern {
                    Some(pattern) => Ok(out.lines().filter(|line| pattern.is_match(line)).count() as f64),
                    None => Err("no pattern".to_owned()),
                },
                (MetricSource::Json(pointer), Source::Text { out, .. }) => {
                    let json: &Result<Json, String> = json.get_or_init(|| parse_json(out));
                    match json.as_ref().map(|json| json.pointer(pointer)) {
                        Err(reason) => Err(reason.clone()),
                        Ok(None) => Err(format!("there is nothing at `{pointer}`")),
                        Ok(Some(Json::String(text))) => number(text, metric.decimal),
                        // A JSON number has a point, whatever the decimal mark of texts is.
                        Ok(Some(found)) => number(&found.to_string(), Decimal::Point),
                    }
                }
                (MetricSource::Csv(column, pick), Source::Text { out, .. }) => csv::number(out, column, *pick, metric.decimal),
            };
            values.push((&metric.name, value.map_err(missing)? * metric.times));
        }
        Ok(values.into_iter().map(|(_, v)| v).collect())
    }
}

/// Extracts a table, as CSV with a header.
///
/// # Errors
/// Why it is not a table, in words.
pub fn table(wanted: &TableSource, source: Source<'_>) -> Result<String, String> {
    match (wanted, source) {
        (TableSource::Sql(query), Source::Sqlite(path)) => sqlite::table(path, query),
        (TableSource::Sql(_), _) => Err("a query, but this is not a database".to_owned()),
        (_, Source::Sqlite(_)) => Err("this is a database: expected a query".to_owned()),
        (TableSource::Csv, Source::Text { out, .. }) => csv::checked(out),
        (TableSource::Json(pointer), Source::Text { out, .. }) => {
            let json = parse_json(out)?;
            csv::of_json(json.pointer(pointer).ok_or_else(|| format!("there is nothing at `{pointer}`"))?)
        }
    }
}

fn first_match<'t>(pattern: &regex::Regex, source: &str, out: &'t str, err: &'t str) -> Result<&'t str, String> {
    let found = pattern.captures(out).or_else(|| pattern.captures(err));
    let found = found.and_then(|c| c.get(1).or_else(|| c.get(0)));
    found.map(|m| m.as_str()).ok_or_else(|| format!("nothing matches `{source}`"))
}

/// Output may have other lines around its JSON: the first valid object or array is used.
///
/// # Errors
/// Why there is none, in words.
fn parse_json(text: &str) -> Result<Json, String> {
    let error = match serde_json::from_str(text) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    let starts = text.char_indices().filter(|(_, c)| matches!(c, '{' | '[')).map(|(at, _)| at).take(100);
    let mut found = starts.filter_map(|at| serde_json::Deserializer::from_str(&text[at..]).into_iter().next()?.ok());
    found.next().ok_or_else(|| match text.trim().is_empty() {
        true => "it is empty, but JSON was expected".to_owned(),
        false => format!("it is not valid JSON: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use vocabulary::choices::Pick;

    fn metric(name: &str, source: MetricSource) -> ExtractedMetric {
        ExtractedMetric { name: name.to_owned(), source, decimal: Decimal::Point, times: 1.0, unit: String::new() }
    }

    fn one(source: MetricSource, text: &str) -> Result<f64, String> {
        let rules = Rules::new(&[metric("x", source)]).unwrap();
        rules.take(Source::Text { out: text, err: "" }, &[]).map(|v| v[0])
    }

    #[test]
    fn json_may_have_lines_around_it() {
        assert_eq!(parse_json("begin\n{\"a\": 1}\nend").unwrap().pointer("/a"), Some(&1.into()));
        assert_eq!(parse_json("nothing {at all").unwrap_err(), "it is not valid JSON: expected ident at line 1 column 2");
        assert_eq!(parse_json("\n").unwrap_err(), "it is empty, but JSON was expected");
    }

    #[test]
    fn each_place_has_its_figure_or_says_what_is_missing() {
        let csv = |column: &str, pick| MetricSource::Csv(column.to_owned(), pick);
        let table = "t,v\n1,10\n2,30\n3,20\n";
        for (pick, value) in
            [(Pick::First, 10.0), (Pick::Last, 20.0), (Pick::Min, 10.0), (Pick::Max, 30.0), (Pick::Mean, 20.0), (Pick::Sum, 60.0)]
        {
            assert_eq!(one(csv("v", pick), table), Ok(value), "{pick:?}");
        }
        assert_eq!(one(csv("v", Pick::Count), table), Ok(3.0));
        assert_eq!(
            one(csv("w", Pick::Last), table).unwrap_err(),
            "the metric `x`: there is no column `w`; the columns are `t`, `v`"
        );
        assert_eq!(one(csv("v", Pick::Last), "t,v\n").unwrap_err(), "the metric `x`: the column `v` has no rows");
        assert_eq!(one(csv("v", Pick::Max), "v\nten\n").unwrap_err(), "the metric `x`: line 2 of the CSV: `ten` is not a number");
        assert_eq!(one(MetricSource::Json("/a/0".to_owned()), "{\"a\": [\"1,000\"]}"), Ok(1000.0));
        assert_eq!(one(MetricSource::Regex("took (.*) s".to_owned()), "took 1.5 s"), Ok(1.5));
        assert!(one(MetricSource::Regex("took (.*) s".to_owned()), "").unwrap_err().contains("nothing matches"));
        assert!(one(MetricSource::Sql("select 1".to_owned()), "").unwrap_err().contains("not a database"));
    }

    #[test]
    fn a_decimal_comma_is_meant_everywhere_or_nowhere() {
        let comma = |source, text: &str| {
            let rules = Rules::new(&[ExtractedMetric { decimal: Decimal::Comma, ..metric("x", source) }]).unwrap();
            rules.take(Source::Text { out: text, err: "" }, &[]).map(|v| v[0])
        };
        let regex = || MetricSource::Regex("took ([0-9,.]+)".to_owned());
        let json = |pointer: &str| MetricSource::Json(pointer.to_owned());
        let mean = || MetricSource::Csv("ms".to_owned(), Pick::Mean);
        let hint = "write `decimal: comma` if the comma is a decimal mark";
        assert_eq!(comma(regex(), "took 0,01 s"), Ok(0.01));
        assert!(one(regex(), "took 0,01 s").unwrap_err().contains(hint));
        assert_eq!(comma(json("/a"), "{\"a\": \"1,5\"}"), Ok(1.5));
        assert!(one(json("/a"), "{\"a\": \"1,5\"}").unwrap_err().ends_with(hint));
        assert_eq!(comma(json("/a"), "{\"a\": 1.5}"), Ok(1.5), "a JSON number is not text");
        let quoted = "name,ms\na,\"0,5\"\nb,\"0,25\"\n";
        assert_eq!(comma(mean(), quoted), Ok(0.375));
        assert_eq!(
            one(mean(), quoted).unwrap_err(),
            format!(
                "the metric `x`: line 2 of the CSV: `0,5` is not a number: a comma counts only between groups of three digits; {hint}"
            )
        );
        // Programs that write decimal commas separate columns by semicolons.
        assert_eq!(comma(mean(), "name;ms\na;0,5\nb;0,25\n"), Ok(0.375));
        assert_eq!(one(mean(), "name;ms\na;0.5\nb;0.25\n"), Ok(0.375));
    }

    #[test]
    fn ratios_are_of_what_was_taken_and_what_is_known() {
        let ratio = |a: &str, b: &str| MetricSource::Ratio(a.to_owned(), b.to_owned());
        let rules =
            Rules::new(&[metric("n", MetricSource::Json("/n".to_owned())), metric("per_s", ratio("n", "wall_s"))]).unwrap();
        let source = Source::Text { out: "{\"n\": 10}", err: "" };
        assert_eq!(rules.take(source, &[("wall_s", 4.0)]), Ok(vec![10.0, 2.5]));
        assert!(rules.take(source, &[("wall_s", 0.0)]).unwrap_err().contains("is inf"));
    }

    #[test]
    fn tables_become_csv() {
        let text = |out| Source::Text { out, err: "" };
        let json = TableSource::Json("/rows".to_owned());
        let rows = r#"{"rows": [{"a": 1, "b": "x,y"}, {"b": null, "c": 2.5}]}"#;
        assert_eq!(table(&json, text(rows)).unwrap(), "a,b,c\n1,\"x,y\",\n,,2.5\n");
        assert!(table(&json, text("{\"rows\": 3}")).unwrap_err().contains("not a list"));
        assert_eq!(table(&TableSource::Csv, text("a,b\n1,2\n")).unwrap(), "a,b\n1,2\n");
        assert!(table(&TableSource::Csv, text("a,b\n1\n")).is_err());
        assert_eq!(table(&TableSource::Csv, text("a;b\n1,5;2\n")).unwrap(), "a;b\n1,5;2\n");
    }

    #[test]
    fn databases_are_asked_and_never_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.db");
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.execute_batch("create table e (t real, name text); insert into e values (1.5, 'a'), (2.5, 'b,c')").unwrap();
        drop(connection);
        let rules = Rules::new(&[metric("last", MetricSource::Sql("select max(t) from e".to_owned()))]).unwrap();
        assert_eq!(rules.take(Source::Sqlite(&path), &[]), Ok(vec![2.5]));
        let text = metric("text", MetricSource::Sql("select '1,5'".to_owned()));
        assert!(
            Rules::new(std::slice::from_ref(&text))
                .unwrap()
                .take(Source::Sqlite(&path), &[])
                .unwrap_err()
                .contains("decimal mark")
        );
        let comma = Rules::new(&[ExtractedMetric { decimal: Decimal::Comma, ..text }]).unwrap();
        assert_eq!(comma.take(Source::Sqlite(&path), &[]), Ok(vec![1.5]));
        let query = |q: &str| table(&TableSource::Sql(q.to_owned()), Source::Sqlite(&path));
        assert_eq!(query("select name, t from e order by t").unwrap(), "name,t\na,1.5\n\"b,c\",2.5\n");
        assert!(query("delete from e").is_err());
        assert!(query("select * from f").unwrap_err().contains("no such table"));
        let none = table(&TableSource::Sql("select 1".to_owned()), Source::Sqlite(&folder.path().join("none.db")));
        assert!(none.unwrap_err().contains("unable to open"));
        assert!(!folder.path().join("none.db").exists());
    }
}
