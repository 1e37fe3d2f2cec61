//! What is expected of values, rows, columns and tables.

use std::fmt;
use std::ops::RangeBounds;

use serde::{Deserialize, Serialize};

use super::bounds::{CountBounds, Ends};
use super::value::Value;
use crate::ValueKind;

/// How many of the listed values or columns the text of an expectation names.
const NAMED: usize = 8;

/// One thing that is expected of data.
///
/// What it means is said in the [module](super). Whether it can hold at all is checked when a
/// [`Suite`](super::Suite) is made of it.
///
/// ```
/// use mlops_monitor::quality::Expectation;
///
/// let expectation = Expectation::between("age", 0.0..130.0).with_mostly(0.99);
/// assert_eq!(expectation.to_string(), "age is at least 0 and below 130 (mostly 0.99)");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Expectation {
    pub(super) column: Option<String>,
    pub(super) mostly: f64,
    pub(super) rule: Rule,
}

/// How the values of two columns compare, row by row: as numbers where both are or read as numbers, as text in the
/// order of its bytes (so dates of ISO 8601 compare) where neither does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Comparison {
    /// The first is less than the second.
    Less,
    /// The first is at most the second.
    LessOrEqual,
    /// They are equal.
    Equal,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Rule {
    NotNull,
    Type(ValueKind),
    Between(Ends),
    InSet(Vec<Value>),
    MatchRegex(String),
    Length(CountBounds),
    Unique,
    Pair(Comparison, String),
    Mean(Ends),
    Std(Ends),
    Quantile(f64, Ends),
    Columns(Vec<String>, ColumnMatch),
    RowCount(CountBounds),
}

/// How the columns of a table have to be those that are expected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ColumnMatch {
    #[default]
    Exact,
    AtLeast,
    InOrder,
}

impl Expectation {
    /// No value of the column is missing.
    pub fn not_null(column: impl Into<String>) -> Self {
        Self::of(column, Rule::NotNull)
    }

    /// Values are of that kind.
    pub fn of_type(column: impl Into<String>, kind: ValueKind) -> Self {
        Self::of(column, Rule::Type(kind))
    }

    /// Numbers lie in the range: `0.0..=1.0`, `0.0..`, or with [`Bound`](std::ops::Bound)s for a lower end that is
    /// strict.
    pub fn between(column: impl Into<String>, range: impl RangeBounds<f64>) -> Self {
        Self::of(column, Rule::Between(Ends::of(range)))
    }

    /// Values are some of these.
    pub fn in_set(column: impl Into<String>, values: impl IntoIterator<Item = impl Into<Value>>) -> Self {
        Self::of(column, Rule::InSet(values.into_iter().map(Into::into).collect()))
    }

    /// Text has a match of the pattern in it; begin it with `^` and end it with `$` for the whole of the text. The
    /// syntax is that of [`regex`](https://docs.rs/regex), which takes linear time.
    pub fn match_regex(column: impl Into<String>, pattern: impl Into<String>) -> Self {
        Self::of(column, Rule::MatchRegex(pattern.into()))
    }

    /// Text has so many characters (Unicode scalar values).
    pub fn length(column: impl Into<String>, range: impl RangeBounds<u64>) -> Self {
        Self::of(column, Rule::Length(CountBounds::of(range)))
    }

    /// No value comes twice. Every row after the first that has a value counts as a violation.
    pub fn unique(column: impl Into<String>) -> Self {
        Self::of(column, Rule::Unique)
    }

    /// In every row that has both, the value of `column` compares so with that of `other`.
    pub fn pair(column: impl Into<String>, comparison: Comparison, other: impl Into<String>) -> Self {
        Self::of(column, Rule::Pair(comparison, other.into()))
    }

    /// The arithmetic mean lies in the range.
    pub fn mean(column: impl Into<String>, range: impl RangeBounds<f64>) -> Self {
        Self::of(column, Rule::Mean(Ends::of(range)))
    }

    /// The standard deviation (of the sample: n - 1) lies in the range. It takes two values.
    pub fn std(column: impl Into<String>, range: impl RangeBounds<f64>) -> Self {
        Self::of(column, Rule::Std(Ends::of(range)))
    }

    /// The quantile at `q`, 0 to 1, lies in the range. Definition 7 of Hyndman & Fan, as
    /// [`mlops_core::stats::quantile`].
    pub fn quantile(column: impl Into<String>, q: f64, range: impl RangeBounds<f64>) -> Self {
        Self::of(column, Rule::Quantile(q, Ends::of(range)))
    }

    /// The columns are these and no others, in any order.
    pub fn columns(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::of_columns(names, ColumnMatch::Exact)
    }

    /// These columns are there; others may be.
    pub fn columns_at_least(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::of_columns(names, ColumnMatch::AtLeast)
    }

    /// The columns are these and no others, in this order.
    pub fn columns_in_order(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::of_columns(names, ColumnMatch::InOrder)
    }

    /// There are so many rows.
    pub fn row_count(range: impl RangeBounds<u64>) -> Self {
        Self { column: None, mostly: 1.0, rule: Rule::RowCount(CountBounds::of(range)) }
    }

    /// Sets the least share of the values that has to fit, above 0 and at most 1. Default 1. Only for expectations about
    /// values and rows.
    #[must_use]
    pub fn with_mostly(mut self, share: f64) -> Self {
        self.mostly = share;
        self
    }

    /// What it is called in documents, labels and reports: `not_null`, `between`, ...
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self.rule {
            Rule::NotNull => "not_null",
            Rule::Type(_) => "type",
            Rule::Between(_) => "between",
            Rule::InSet(_) => "in_set",
            Rule::MatchRegex(_) => "match_regex",
            Rule::Length(_) => "length",
            Rule::Unique => "unique",
            Rule::Pair(..) => "pair",
            Rule::Mean(_) => "mean",
            Rule::Std(_) => "std",
            Rule::Quantile(..) => "quantile",
            Rule::Columns(..) => "columns",
            Rule::RowCount(_) => "row_count",
        }
    }

    /// The column it is about, the first of two; none where it is about the table.
    #[must_use]
    pub fn column(&self) -> Option<&str> {
        self.column.as_deref()
    }

    /// The least share of the values that has to fit.
    #[must_use]
    pub fn mostly(&self) -> f64 {
        self.mostly
    }

    /// Whether it is about values or rows, one by one, so that `mostly` means something.
    pub(super) fn is_about_values(&self) -> bool {
        !matches!(
            self.rule,
            Rule::Mean(_) | Rule::Std(_) | Rule::Quantile(..) | Rule::Columns(..) | Rule::RowCount(_)
        )
    }

    /// The columns it needs.
    pub(super) fn needs(&self) -> impl Iterator<Item = &str> {
        let other = match &self.rule {
            Rule::Pair(_, other) => Some(other.as_str()),
            _ => None,
        };
        self.column().into_iter().chain(other)
    }

    fn of(column: impl Into<String>, rule: Rule) -> Self {
        Self { column: Some(column.into()), mostly: 1.0, rule }
    }

    fn of_columns(names: impl IntoIterator<Item = impl Into<String>>, how: ColumnMatch) -> Self {
        let names = names.into_iter().map(Into::into).collect();
        Self { column: None, mostly: 1.0, rule: Rule::Columns(names, how) }
    }
}

/// In words: `age is at least 0 and at most 120`.
impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = self.column.as_deref().unwrap_or_default();
        match &self.rule {
            Rule::NotNull => write!(f, "{column} is not null"),
            Rule::Type(kind) => write!(f, "{column} is of type {}", type_name(*kind)),
            Rule::Between(ends) => write!(f, "{column} is {ends}"),
            Rule::InSet(values) => write!(f, "{column} is one of {}", list(values)),
            Rule::MatchRegex(pattern) => write!(f, "{column} matches `{pattern}`"),
            Rule::Length(bounds) => write!(f, "{column} has {bounds} characters"),
            Rule::Unique => write!(f, "{column} is unique"),
            Rule::Pair(comparison, other) => write!(f, "{column} is {comparison} {other}"),
            Rule::Mean(ends) => write!(f, "the mean of {column} is {ends}"),
            Rule::Std(ends) => write!(f, "the standard deviation of {column} is {ends}"),
            Rule::Quantile(q, ends) => write!(f, "the {q} quantile of {column} is {ends}"),
            Rule::Columns(names, how) => match how {
                ColumnMatch::Exact => write!(f, "the columns are {}", list(names)),
                ColumnMatch::AtLeast => write!(f, "the columns include {}", list(names)),
                ColumnMatch::InOrder => write!(f, "the columns are, in this order, {}", list(names)),
            },
            Rule::RowCount(bounds) => write!(f, "there are {bounds} rows"),
        }?;
        if self.mostly == 1.0 { Ok(()) } else { write!(f, " (mostly {})", self.mostly) }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Less => "less than",
            Self::LessOrEqual => "at most",
            Self::Equal => "equal to",
        })
    }
}

pub(super) fn type_name(kind: ValueKind) -> &'static str {
    match kind {
        ValueKind::Boolean => "boolean",
        ValueKind::Integer => "integer",
        ValueKind::Float => "float",
        ValueKind::Text => "text",
    }
}

/// The first few, and how many there are.
fn list(values: &[impl fmt::Display]) -> String {
    let mut text = values.iter().take(NAMED).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if values.len() > NAMED {
        text.push_str(&format!(", ... ({} in all)", values.len()));
    }
    text
}
