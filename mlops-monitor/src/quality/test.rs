//! Expectations made ready to be held against data.

use std::collections::HashSet;

use mlops_core::{Error, Result};
use regex::Regex;

use super::bounds::{Bounds, CountBounds};
use super::expectation::{ColumnMatch, Comparison, Expectation, Rule};
use super::value::{Cell, Value, read_number, written};
use crate::ValueKind;

/// What is done to find out whether an expectation holds.
#[derive(Debug)]
pub(super) enum Test {
    NotNull,
    Values(ValueTest),
    Unique,
    Pair(Comparison),
    Mean(Bounds),
    Std(Bounds),
    Quantile(f64, Bounds),
    Columns(Vec<String>, ColumnMatch),
    RowCount(CountBounds),
}

/// What single values that are there have to be.
#[derive(Debug)]
pub(super) enum ValueTest {
    Type(ValueKind),
    Between(Bounds),
    InSet { numbers: Vec<f64>, words: HashSet<String> },
    MatchRegex(Regex),
    Length(CountBounds),
}

impl Test {
    /// # Errors
    /// [`Error::InvalidInput`] when no data, or only data without a value, could meet the expectation.
    pub(super) fn of(expectation: &Expectation) -> Result<Self> {
        let Expectation { column, mostly, rule } = expectation;
        if column.as_deref() == Some("") {
            return Err(Error::invalid_input("the name of the column is empty"));
        }
        if !(*mostly > 0.0 && *mostly <= 1.0) {
            return Err(Error::invalid_input(format!(
                "`mostly` is {mostly}; it has to be above 0, at most 1"
            )));
        }
        if *mostly < 1.0 && !expectation.is_about_values() {
            return Err(Error::invalid_input("`mostly` is for expectations about values, one by one"));
        }
        Ok(match rule {
            Rule::NotNull => Self::NotNull,
            Rule::Type(kind) => Self::Values(ValueTest::Type(*kind)),
            Rule::Between(ends) => Self::Values(ValueTest::Between(ends.bounds()?)),
            Rule::InSet(values) => Self::Values(set(values)?),
            Rule::MatchRegex(pattern) => Self::Values(ValueTest::MatchRegex(
                Regex::new(pattern).map_err(|error| Error::invalid_input(format!("`regex`: {error}")))?,
            )),
            Rule::Length(bounds) => {
                bounds.check()?;
                Self::Values(ValueTest::Length(*bounds))
            }
            Rule::Unique => Self::Unique,
            Rule::Pair(_, other) if other.is_empty() || Some(other) == column.as_ref() => {
                return Err(Error::invalid_input("`other` has to name a second column"));
            }
            Rule::Pair(comparison, _) => Self::Pair(*comparison),
            Rule::Mean(ends) => Self::Mean(ends.bounds()?),
            Rule::Std(ends) => {
                let bounds = ends.bounds()?;
                if ends.max.is_some_and(|max| max < 0.0 || (max == 0.0 && ends.strict_max)) {
                    return Err(Error::invalid_input("no standard deviation is below 0"));
                }
                Self::Std(bounds)
            }
            Rule::Quantile(q, _) if !(0.0..=1.0).contains(q) => {
                return Err(Error::invalid_input(format!("`q` is {q}; it has to be between 0 and 1")));
            }
            Rule::Quantile(q, ends) => Self::Quantile(*q, ends.bounds()?),
            Rule::Columns(names, how) => {
                let mut known = HashSet::new();
                if names.is_empty() || names.iter().any(|name| name.is_empty() || !known.insert(name)) {
                    return Err(Error::invalid_input("`names` needs names, each of them once"));
                }
                Self::Columns(names.clone(), *how)
            }
            Rule::RowCount(bounds) => {
                bounds.check()?;
                Self::RowCount(*bounds)
            }
        })
    }
}

fn set(values: &[Value]) -> Result<ValueTest> {
    if values.is_empty() {
        return Err(Error::invalid_input("`values` is empty: no value could be in it"));
    }
    let mut numbers: Vec<f64> = values.iter().filter_map(Value::as_number).collect();
    if numbers.iter().any(|number| number.is_nan()) {
        return Err(Error::invalid_input(
            "`values` holds a NaN, which is a missing value; use `not_null` for those",
        ));
    }
    if numbers.iter().any(|number| number.is_infinite()) {
        return Err(Error::invalid_input("`values` holds an infinity; a set holds finite numbers and text"));
    }
    numbers.sort_by(f64::total_cmp);
    let word = |value: &Value| match value {
        Value::Text(text) => Some(text.clone()),
        Value::Boolean(value) => Some(value.to_string()),
        Value::Integer(_) | Value::Number(_) => None,
    };
    Ok(ValueTest::InSet { numbers, words: values.iter().filter_map(word).collect() })
}

impl ValueTest {
    /// Whether the value, which is not missing, is as expected.
    pub(super) fn accepts(&self, cell: Cell<'_>) -> bool {
        match self {
            Self::Type(kind) => is_of_type(cell, *kind),
            Self::Between(bounds) => cell.as_number().is_some_and(|number| bounds.contain(number)),
            Self::InSet { numbers, words } => {
                let listed = |number: f64| numbers.binary_search_by(|known| compare(*known, number)).is_ok();
                match cell {
                    Cell::Number(number, kind) => {
                        listed(number) || (!words.is_empty() && words.contains(&written(number, kind)))
                    }
                    Cell::Text(text) => words.contains(text) || read_number(text).is_some_and(listed),
                    Cell::Binary(_) => false,
                }
            }
            Self::MatchRegex(pattern) => as_text(cell, |text| pattern.is_match(text)),
            Self::Length(bounds) => as_text(cell, |text| bounds.contain(text.chars().count() as u64)),
        }
    }
}

/// By value: -0 is 0.
fn compare(a: f64, b: f64) -> std::cmp::Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.total_cmp(&b))
}

fn as_text(cell: Cell<'_>, test: impl Fn(&str) -> bool) -> bool {
    match cell {
        Cell::Number(number, kind) => test(&written(number, kind)),
        Cell::Text(text) => test(text),
        Cell::Binary(_) => false,
    }
}

fn is_of_type(cell: Cell<'_>, kind: ValueKind) -> bool {
    let number_is = |number: f64| match kind {
        ValueKind::Boolean => number == 0.0 || number == 1.0,
        ValueKind::Integer => number.fract() == 0.0,
        ValueKind::Float => true,
        ValueKind::Text => false,
    };
    match cell {
        Cell::Number(_, ValueKind::Boolean) => kind == ValueKind::Boolean,
        Cell::Number(number, _) => number_is(number),
        Cell::Text(_) if kind == ValueKind::Text => true,
        Cell::Text("true" | "false" | "True" | "False" | "TRUE" | "FALSE") => kind == ValueKind::Boolean,
        Cell::Text(text) => read_number(text).is_some_and(number_is),
        Cell::Binary(_) => false,
    }
}

impl Comparison {
    /// Whether the values compare so. A number and text that reads as none do not compare.
    pub(super) fn holds(self, a: Cell<'_>, b: Cell<'_>) -> bool {
        match (a.as_number(), b.as_number(), a, b) {
            (Some(a), Some(b), ..) => self.holds_for(&a, &b),
            (None, None, Cell::Text(a), Cell::Text(b)) => self.holds_for(&a, &b),
            (None, None, Cell::Binary(a), Cell::Binary(b)) => self.holds_for(&a, &b),
            _ => false,
        }
    }

    fn holds_for<T: PartialOrd>(self, a: &T, b: &T) -> bool {
        match self {
            Self::Less => a < b,
            Self::LessOrEqual => a <= b,
            Self::Equal => a == b,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTEGER: ValueKind = ValueKind::Integer;
    const FLOAT: ValueKind = ValueKind::Float;

    fn accepts(expectation: &Expectation, cell: Cell<'_>) -> bool {
        match Test::of(expectation).unwrap() {
            Test::Values(test) => test.accepts(cell),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn types_are_those_of_the_values() {
        let fits = |cell| {
            [ValueKind::Boolean, INTEGER, FLOAT, ValueKind::Text]
                .map(|kind| accepts(&Expectation::of_type("x", kind), cell))
        };
        assert_eq!(fits(Cell::Number(3.0, FLOAT)), [false, true, true, false]);
        assert_eq!(fits(Cell::Number(1.0, INTEGER)), [true, true, true, false]);
        assert_eq!(fits(Cell::Number(0.5, FLOAT)), [false, false, true, false]);
        assert_eq!(fits(Cell::Number(f64::INFINITY, FLOAT)), [false, false, true, false]);
        assert_eq!(fits(Cell::Number(1.0, ValueKind::Boolean)), [true, false, false, false]);
        assert_eq!(fits(Cell::Text("12")), [false, true, true, true]);
        assert_eq!(fits(Cell::Text("true")), [true, false, false, true]);
        assert_eq!(fits(Cell::Text("n/a")), [false, false, false, true]);
        assert_eq!(fits(Cell::Binary(b"\xff")), [false; 4]);
    }

    #[test]
    fn sets_hold_numbers_text_and_both() {
        let set = Expectation::in_set("x", [Value::from(1), Value::from("a"), Value::from(false)]);
        for (cell, held) in [
            (Cell::Number(1.0, FLOAT), true),
            (Cell::Number(-0.0, FLOAT), true),
            (Cell::Number(0.0, ValueKind::Boolean), true),
            (Cell::Number(2.0, FLOAT), false),
            (Cell::Number(f64::INFINITY, FLOAT), false),
            (Cell::Text("a"), true),
            (Cell::Text("1"), true),
            (Cell::Text("false"), true),
            (Cell::Text("b"), false),
        ] {
            assert_eq!(accepts(&set, cell), held, "{cell:?}");
        }
        assert!(accepts(&Expectation::in_set("x", ["12"]), Cell::Number(12.0, INTEGER)));
    }

    #[test]
    fn patterns_and_lengths_see_numbers_as_they_are_written() {
        let digits = Expectation::match_regex("x", "^[0-9]{2}$");
        assert!(accepts(&digits, Cell::Number(12.0, FLOAT)) && accepts(&digits, Cell::Text("12")));
        assert!(!accepts(&digits, Cell::Number(12.5, FLOAT)) && !accepts(&digits, Cell::Binary(b"12")));
        let short = Expectation::length("x", 1..=3);
        assert_eq!(["", "æøå", "abcd"].map(|text| accepts(&short, Cell::Text(text))), [false, true, false]);
    }

    #[test]
    fn pairs_compare_numbers_with_numbers_and_text_with_text() {
        let number = |number| Cell::Number(number, FLOAT);
        assert!(Comparison::Less.holds(number(2.0), Cell::Text("10")));
        assert!(Comparison::LessOrEqual.holds(Cell::Text("2024-01-31"), Cell::Text("2024-02-01")));
        assert!(Comparison::Equal.holds(Cell::Text("a"), Cell::Text("a")));
        assert!(Comparison::Less.holds(number(1.0), number(f64::INFINITY)));
        assert!(!Comparison::Less.holds(number(1.0), Cell::Text("n/a")));
        assert!(!Comparison::Less.holds(number(1.0), number(1.0)));
    }
}
