//! The content of a page, as plain data: texts that are not escaped yet, and figures in the words of `analysis`.

use serde::{Serialize, Serializer};

/// A number in a picture: whole numbers are written without a fraction, which keeps a page small.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number(pub f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Every whole number of this size is exact in both types.
        if self.0.fract() == 0.0 && self.0.abs() < 1e15 {
            serializer.serialize_i64(self.0 as i64)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

/// A page about one run, or about several side by side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Page {
    /// Name of the experiment.
    pub experiment: String,
    /// The question that it is meant to answer; may be empty.
    pub question: String,
    /// The runs, the baseline first.
    pub runs: Vec<Run>,
    /// The answer, in one or two sentences.
    pub answer: Vec<Sentence>,
    /// What the scenario expects.
    pub expectations: Vec<Expectation>,
    /// The caveats of the result.
    pub against: Vec<Objection>,
    /// The graphs of the scenario.
    pub charts: Vec<Chart>,
    /// Which graphs are not drawn, and why.
    pub not_drawn: Vec<String>,
    /// Levels or runs against a baseline, with verdicts.
    pub compared: Option<Compared>,
    /// One row for each workload of a cell in a phase.
    pub table: CellTable,
    /// Each cell in detail.
    pub cells: Vec<CellView>,
    /// How the runs were made.
    pub circumstances: Vec<Circumstances>,
}

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Run {
    /// Its letter, if there are several.
    pub letter: String,
    /// Its name: time and id.
    pub name: String,
    /// When it started, UTC.
    pub started_at: String,
    /// The machine, in one line.
    pub machine: String,
    /// Its cells, and how many repetitions count, in words.
    pub size: String,
}

/// A sentence: text, code and links.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Sentence(pub Vec<Span>);

/// A piece of a sentence.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Span {
    /// The text.
    pub text: String,
    /// Whether it is a name, which is shown as code.
    pub code: bool,
    /// The id of the part of the page that it is taken from.
    pub to: Option<String>,
}

impl Sentence {
    /// Adds text.
    #[must_use]
    pub fn say(mut self, text: impl Into<String>) -> Self {
        self.0.push(Span { text: text.into(), code: false, to: None });
        self
    }

    /// Adds a name.
    #[must_use]
    pub fn name(mut self, text: impl Into<String>) -> Self {
        self.0.push(Span { text: text.into(), code: true, to: None });
        self
    }

    /// Adds text that links to a part of the page.
    #[must_use]
    pub fn link(mut self, text: impl Into<String>, to: impl Into<String>) -> Self {
        self.0.push(Span { text: text.into(), code: false, to: Some(to.into()) });
        self
    }
}

/// Whether something that the scenario expects holds in a cell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Expectation {
    /// What is expected.
    pub expected: String,
    /// The letter of the run, if there are several.
    pub run: String,
    /// Name of the cell.
    pub cell: String,
    /// The id of the cell's view; empty if no cell is meant.
    pub to: String,
    /// `pass`, `fail`, `inconclusive`, `skipped`.
    pub outcome: String,
    /// What was found.
    pub words: String,
}

/// A kind of caveat.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Objection {
    /// Its kind, such as `SKIPPED`.
    pub kind: String,
    /// The letter of the run, if there are several.
    pub run: String,
    /// How many caveats of this kind there are.
    pub count: usize,
    /// Each of them: the words, and details below them.
    pub lines: Vec<ObjectionLine>,
}

/// One caveat.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ObjectionLine {
    /// What it is.
    pub words: String,
    /// Reasons and first messages.
    pub details: Vec<String>,
    /// The id of the cell's view, where one cell is meant.
    pub to: Option<String>,
}

/// A picture with the table behind it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Chart {
    /// Id in the page.
    pub id: String,
    /// Name of the file that `runner graph` writes, without its ending.
    pub file: String,
    /// The letter of the run, if there are several.
    pub run: String,
    /// What is shown.
    pub title: String,
    /// The question, or the facet.
    pub subtitle: String,
    /// What bars, dots and lines stand for.
    pub note: String,
    /// The picture, as an element of HTML.
    #[serde(skip)]
    pub picture: String,
    /// The data behind it.
    pub table: Table,
}

/// Words in rows and columns.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Table {
    /// What it is about; may be empty.
    pub title: String,
    /// Names of the columns.
    pub header: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
}

/// A comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// What is compared with what.
    pub title: String,
    /// Names of the columns, of which the first are names.
    pub header: Vec<String>,
    /// How many columns are names.
    pub names: usize,
    /// The rows.
    pub rows: Vec<ComparedRow>,
    /// Letters and what they stand for, if several runs are compared with the first.
    pub letters: Vec<(String, String)>,
    /// How the circumstances of the runs differ.
    pub differences: Vec<String>,
    /// What the columns mean.
    pub method: String,
    /// How often each verdict was given.
    pub counts: String,
    /// What could not be compared, or is doubtful.
    pub notes: Vec<String>,
}

/// A row of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ComparedRow {
    /// The words in its columns.
    pub entries: Vec<String>,
    /// `better`, `worse`, `differs`, `same`, `open`.
    pub class: &'static str,
    /// The ids of the cells: the baseline's and the other's.
    pub to: [Option<String>; 2],
}

/// The table of cells.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CellTable {
    /// The columns.
    pub columns: Vec<CellColumn>,
    /// The rows.
    pub rows: Vec<CellRow>,
}

/// A column of the table of cells.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CellColumn {
    /// Its heading.
    pub name: String,
    /// What it means.
    pub words: String,
    /// Whether it holds names.
    pub is_name: bool,
    /// The unit of the numbers behind its words; empty for names and counts.
    pub unit: String,
    /// The levels by which rows can be filtered, in the order of the scenario; only for names.
    pub levels: Vec<String>,
}

/// A row of the table of cells.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CellRow {
    /// The id of the cell's view.
    pub to: String,
    /// Its entries.
    pub entries: Vec<CellEntry>,
}

/// The entry of a row in a column.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CellEntry {
    /// In words.
    pub text: String,
    /// The value by which it is sorted.
    pub value: Option<f64>,
}

/// A cell in detail. Its data are drawn by the script of the page when it is opened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CellView {
    /// Id in the page.
    pub id: String,
    /// The letter of the run, if there are several.
    pub run: String,
    /// Its levels, as far as they differ.
    pub name: String,
    /// All of its levels.
    pub levels: Vec<(String, String)>,
    /// Its repetitions in words.
    pub size: String,
    /// Why it was not executed, if so.
    pub skipped: Option<String>,
    /// Its folder, relative to the results directory.
    pub folder: String,
    /// The data of its view, which are written separately, as JSON.
    #[serde(skip)]
    pub data: CellData,
}

/// The data of a cell's view.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CellData {
    /// Figures over repetitions.
    pub tables: Vec<Table>,
    /// The repetitions.
    pub repetitions: Vec<RepetitionView>,
    /// Figures of each repetition.
    pub figures: Vec<RepetitionFigure>,
    /// Response times, one curve for each workload: log10(1 / (1 − q)) and milliseconds.
    pub quantiles: Vec<(String, Vec<(Number, Number)>)>,
    /// Metrics over time in each repetition.
    pub times: Vec<OverTime>,
    /// Names of the phases.
    pub phases: Vec<String>,
    /// First messages of errors.
    pub errors: Vec<String>,
    /// Ends of logs; what is the same is kept once.
    pub texts: Vec<String>,
    /// How many ends of logs were left out.
    pub logs_left_out: usize,
}

/// A repetition.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RepetitionView {
    /// Its number.
    pub n: u32,
    /// `valid`, `invalid`, `failed`.
    pub state: &'static str,
    /// Why it does not count.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// When it started, UTC.
    pub at: String,
    /// Phases: index of the name, start and end in milliseconds since the start of the load.
    pub phases: Vec<(usize, u64, u64)>,
    /// First messages of errors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
    /// Logs: name of the file, length in bytes, index of the text of its end.
    pub logs: Vec<(String, u64, Option<usize>)>,
}

/// A figure of each repetition.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RepetitionFigure {
    /// Its name.
    pub name: String,
    /// The unit of the values.
    pub unit: String,
    /// In words, in the order of the repetitions; empty if there is none.
    pub texts: Vec<String>,
    /// As numbers, for the picture; none for those that do not count.
    pub values: Vec<Option<Number>>,
    /// The median over those that count, in words and as a number.
    pub median: Option<(String, Number)>,
    /// The 95 % interval of the median.
    pub interval: Option<(Number, Number)>,
}

/// A metric over time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OverTime {
    /// What is shown.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// Whether it belongs to targets, and not to requests.
    pub of_targets: bool,
    /// Whether a value holds until the next one.
    pub steps: bool,
    /// For each part – a workload, a target – its name and a line for each repetition: milliseconds and values in turn.
    pub parts: Vec<(String, Vec<Vec<Number>>)>,
}

/// How a run was made.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Circumstances {
    /// The letter of the run, if there are several.
    pub run: String,
    /// Names and values.
    pub facts: Vec<(String, String)>,
    /// The command that repeats it.
    pub command: String,
    /// The scenario as typed.
    pub scenario: String,
    /// Files that were rendered for targets: a name and the content, each content once.
    pub files: Vec<(String, String)>,
}
