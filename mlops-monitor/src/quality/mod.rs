//! What data have to look like, and what of them does not.
//!
//! A [`Suite`] is a list of [`Expectation`]s. It checks [`Table`](crate::Table)s, whole or batch by batch, and makes a
//! [`QualityReport`]; a [`QualityObserver`] holds live requests against it, and a [`Checked`] model refuses those that do
//! not fit. It is written by hand, read from TOML or
//! JSON, or inferred from a reference and then edited:
//!
//! ```
//! use mlops_monitor::quality::{Comparison, Expectation, Outcome, Suite};
//! use mlops_monitor::{Table, TableColumn};
//!
//! let suite = Suite::new([
//!     Expectation::columns(["age", "country", "since", "until"]),
//!     Expectation::not_null("age").with_mostly(0.5),
//!     Expectation::between("age", 0.0..=120.0),
//!     Expectation::in_set("country", ["NO", "SE"]),
//!     Expectation::pair("since", Comparison::LessOrEqual, "until"),
//! ])?;
//! let table = Table::new([
//!     ("age", TableColumn::integers([Some(31), None, Some(470)])),
//!     ("country", TableColumn::words([Some("NO"), Some("SE"), Some("SE")])),
//!     ("since", TableColumn::integers([Some(2019), Some(2020), Some(2021)])),
//!     ("until", TableColumn::integers([Some(2020), Some(2020), None])),
//! ])?;
//!
//! let report = suite.check(&table);
//! assert_eq!(report.outcome, Outcome::Failed);
//! let failed: Vec<_> = report.failed().map(|finding| finding.text.as_str()).collect();
//! assert_eq!(failed, ["age is at least 0 and at most 120"]);
//! # Ok::<(), mlops_core::Error>(())
//! ```
//!
//! # The expectations
//! | in documents | made by | holds when |
//! |---|---|---|
//! | `not_null` | [`Expectation::not_null`] | values are there |
//! | `type` | [`Expectation::of_type`] | values are of a kind: boolean, integer, float, text |
//! | `between` | [`Expectation::between`] | numbers lie in a range |
//! | `in_set` | [`Expectation::in_set`] | values are some of those listed |
//! | `match_regex` | [`Expectation::match_regex`] | text matches a pattern |
//! | `length` | [`Expectation::length`] | text has so many characters |
//! | `unique` | [`Expectation::unique`] | no value comes twice |
//! | `pair` | [`Expectation::pair`] | one column compares with another, row by row |
//! | `mean`, `std`, `quantile` | [`Expectation::mean`], [`std`](Expectation::std), [`quantile`](Expectation::quantile) | a statistic of a column lies in a range |
//! | `columns` | [`Expectation::columns`], [`columns_at_least`](Expectation::columns_at_least), [`columns_in_order`](Expectation::columns_in_order) | the columns are these |
//! | `row_count` | [`Expectation::row_count`] | there are so many rows |
//!
//! The first eight are about values or rows and take a `mostly`: the least share, above 0 and at most 1, of the values
//! that has to fit. Default 1.
//!
//! # What counts as what
//! * NaN is a missing value, and in live requests an empty element of a BYTES tensor. Only `not_null` and `columns` look at what is missing; the others look at values that are
//!   there, `pair` at rows where both are.
//! * An infinity is a number that lies in no range, is greater than every finite number for `pair`, and makes `mean`
//!   and `std` fail.
//! * A whole number is an integer, whatever type it came in: 3.0 is one. Integers are numbers, so they fit `float`.
//!   0 and 1 fit `boolean`; true and false fit nothing but `boolean`.
//! * Text in a numeric column (which makes a column of text of it): a word that reads as a number is that number to
//!   expectations about numbers; any other is a violation of those. To `unique`, the number 12 and the text 12 are the
//!   same, the text 012 is another.
//! * A number in a column of text is the text it is written as: 12, 0.5, true.
//! * A column that is absent fails each of its expectations, with [`Reason::ColumnMissing`]; the order of columns
//!   matters to `columns_in_order` only.
//! * Where there is nothing to look at, an expectation is [`Outcome::Undecided`], neither passed nor failed.

mod bounds;
mod checked;
mod checker;
mod distinct;
mod document;
mod expectation;
mod infer;
mod observer;
mod options;
mod places;
mod report;
mod sample;
mod source;
mod state;
mod suite;
mod test;
mod value;

pub use checked::Checked;
pub use checker::Checker;
pub use expectation::{Comparison, Expectation};
pub use infer::InferOptions;
pub use observer::QualityObserver;
pub use options::{CheckOptions, ObserverOptions};
pub use report::{Finding, Offender, Outcome, QualityReport, Reason};
pub use suite::Suite;
pub use value::Value;
