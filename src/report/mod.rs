//! A report of runs: a single HTML file that needs no network, or Markdown for a merge request.
//!
//! In reading order: `view` is what a page says, as plain data; `page` makes it of runs that were read and summarized, with
//! `answer` for the sentences at the top, `question` for what is compared, `against` for what speaks against the result,
//! `cells` and `over_time` for each cell by itself, `logs` for the ends of logs and `circumstances` for how it was made;
//! `html` and `markdown` write it down. The style, the script and the templates are files of their own in `templates/`; the
//! script draws what a cell shows when it is opened, out of the data in the page.
//!
//! Nothing is computed here: every figure comes from `analysis`, in its words.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::panic))]

mod against;
mod answer;
mod cells;
mod charts;
mod circumstances;
mod compared;
mod html;
mod logs;
mod markdown;
mod over_time;
mod page;
mod question;
#[cfg(test)]
mod tests;
pub mod view;

pub use html::html;
pub use markdown::{Pictures, markdown};
pub use page::{Asked, page};
pub use question::{Question, question, usual_comparison};

use analysis::compare::{ReadRun, THRESHOLD};

/// Why a page could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A table of the run that a picture needs.
    #[error(transparent)]
    Analysis(#[from] analysis::Error),
    /// A picture could not be drawn.
    #[error(transparent)]
    Plot(#[from] plot::Error),
    /// The template and the data do not fit: a bug in this program.
    #[error("the page cannot be written")]
    Template(#[from] minijinja::Error),
    /// The data of a cell cannot be written as JSON: a bug in this program.
    #[error("the data of a cell cannot be written")]
    Data(#[from] serde_json::Error),
}

/// A run by itself as HTML, with what it compares.
///
/// # Errors
/// When a table that a graph of the scenario needs cannot be read.
pub fn alone(run: &ReadRun) -> Result<String, Error> {
    let comparison = usual_comparison(run, THRESHOLD);
    html(&page(&Asked { runs: vec![run], comparison: comparison.as_ref() })?)
}
