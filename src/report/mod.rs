//! A report of runs: a single HTML file that needs no network, or Markdown for a merge request.
//!
//! In reading order: `view` is the content of a page, as plain data; `page` makes it from runs that were read and summarized,
//! with `answer` for the sentences at the top, `against` for the caveats, `cells` and
//! `over_time` for each cell in detail, `logs` for the ends of logs and `circumstances` for how it was made; `html` and
//! `markdown` write it. The style, the script and the templates are separate files in `templates/`; the script draws the view
//! of a cell when it is opened, from the data in the page.
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
#[cfg(test)]
mod tests;
pub mod view;

pub use html::html;
pub use markdown::{Pictures, markdown};
pub use page::{Asked, page};

use analysis::compare::{ReadRun, THRESHOLD};
use analysis::question::usual_comparison;
use plot::compose;

/// Why a page cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A table of the run that a picture needs cannot be read.
    #[error(transparent)]
    Analysis(#[from] analysis::Error),
    /// A picture cannot be drawn.
    #[error(transparent)]
    Plot(#[from] plot::Error),
    /// The template does not match the data: a bug in this program.
    #[error("the page cannot be written")]
    Template(#[from] minijinja::Error),
    /// The data of a cell cannot be written as JSON: a bug in this program.
    #[error("the data of a cell cannot be written")]
    Data(#[from] serde_json::Error),
}

/// A single run as HTML, with what it compares. `pictures`: its graphs, if they have been composed already.
///
/// # Errors
/// When a table that a graph of the scenario needs cannot be read.
pub fn alone(run: &ReadRun, pictures: Option<&compose::Pictures>) -> Result<String, Error> {
    let comparison = usual_comparison(run, THRESHOLD);
    html(&page(&Asked { runs: vec![run], comparison: comparison.as_ref(), pictures })?)
}
