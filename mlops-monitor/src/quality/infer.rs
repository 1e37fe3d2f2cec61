//! Expectations that a reference meets.

use std::collections::{BTreeSet, HashSet};

use mlops_core::{Error, Result};

use super::expectation::Expectation;
use super::suite::Suite;
use super::value::Value;
use crate::{Table, TableColumn, ValueKind, Values};

/// How [`Suite::infer`] makes expectations of a reference.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct InferOptions {
    /// How far beyond the least and the greatest number a range reaches at either end, as a share of their distance.
    /// A column without negative numbers is not expected to get any. Default 0.1.
    pub range_slack: f64,
    /// How much greater than in the reference the share of missing values may be, where there are any. Default 0.05.
    pub missing_slack: f64,
    /// At most so many distinct values make a set, if each came five times on average. Default 20.
    pub max_set: usize,
    /// From so many rows on, a column of integers or text in which no value came twice is expected to stay unique.
    /// Default 100.
    pub unique_rows: usize,
    /// The share of values that has to fit, of expectations about types, ranges and sets; less where less of the
    /// reference fits. Default 1.
    pub mostly: f64,
}

impl Default for InferOptions {
    fn default() -> Self {
        Self { range_slack: 0.1, missing_slack: 0.05, max_set: 20, unique_rows: 100, mostly: 1.0 }
    }
}

impl InferOptions {
    /// Sets how far ranges reach beyond the reference, as a share of its own range.
    #[must_use]
    pub fn with_range_slack(mut self, share: f64) -> Self {
        self.range_slack = share;
        self
    }

    /// Sets how much greater the share of missing values may be.
    #[must_use]
    pub fn with_missing_slack(mut self, share: f64) -> Self {
        self.missing_slack = share;
        self
    }

    /// Sets how many distinct values make a set at most.
    #[must_use]
    pub fn with_max_set(mut self, values: usize) -> Self {
        self.max_set = values;
        self
    }

    /// Sets from how many rows on a column is expected to stay unique.
    #[must_use]
    pub fn with_unique_rows(mut self, rows: usize) -> Self {
        self.unique_rows = rows;
        self
    }

    /// Sets the share of values that has to fit.
    #[must_use]
    pub fn with_mostly(mut self, share: f64) -> Self {
        self.mostly = share;
        self
    }

    fn check(&self) -> Result<()> {
        for (name, share) in [("range_slack", self.range_slack), ("missing_slack", self.missing_slack)] {
            if !(share.is_finite() && share >= 0.0) {
                return Err(Error::invalid_input(format!("`{name}` is {share}; it has to be 0 or more")));
            }
        }
        if !(self.mostly > 0.0 && self.mostly <= 1.0) {
            let mostly = self.mostly;
            return Err(Error::invalid_input(format!(
                "`mostly` is {mostly}; it has to be above 0, at most 1"
            )));
        }
        Ok(())
    }
}

impl Suite {
    /// Expectations that `reference` meets, as a draft to be edited: the columns and, per column with values, its type,
    /// how many values are missing, its set of values or its range, and whether it is unique.
    ///
    /// ```
    /// use mlops_monitor::quality::{InferOptions, Suite};
    /// use mlops_monitor::{Table, TableColumn};
    ///
    /// let ages = (0..100).map(|row| Some(20 + row % 50));
    /// let cities = (0..100).map(|row| Some(["Oslo", "Bergen"][row % 2]));
    /// let reference = Table::new([("age", TableColumn::integers(ages)), ("city", TableColumn::words(cities))])?;
    ///
    /// let suite = Suite::infer(&reference, &InferOptions::default())?;
    /// let texts: Vec<_> = suite.expectations().map(ToString::to_string).collect();
    /// assert_eq!(
    ///     texts,
    ///     [
    ///         "the columns are age, city",
    ///         "age is not null",
    ///         "age is of type integer",
    ///         "age is at least 15 and at most 74",
    ///         "city is not null",
    ///         "city is of type text",
    ///         "city is one of `Bergen`, `Oslo`",
    ///     ]
    /// );
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the table has no columns, one without a name, or an option is impossible.
    pub fn infer(reference: &Table, options: &InferOptions) -> Result<Self> {
        options.check()?;
        let mut expectations = vec![Expectation::columns(reference.names())];
        for (name, column) in reference.columns() {
            expectations.extend(of_column(name, column, options));
        }
        Self::new(expectations)
    }
}

fn of_column(name: &str, column: &TableColumn, options: &InferOptions) -> Vec<Expectation> {
    let rows = column.len();
    let present = rows - column.missing();
    if present == 0 {
        return Vec::new();
    }
    let mut expectations = Vec::new();
    let share = present as f64 / rows as f64;
    let expected = if present == rows { 1.0 } else { share - options.missing_slack };
    if expected > 0.0 {
        expectations.push(Expectation::not_null(name).with_mostly(expected));
    }
    expectations.push(Expectation::of_type(name, column.kind()).with_mostly(options.mostly));

    let distinct = distinct(column);
    let is_discrete = column.kind() != ValueKind::Float;
    if is_discrete && distinct.len() <= options.max_set && present >= 5 * distinct.len() {
        expectations.push(Expectation::in_set(name, distinct).with_mostly(options.mostly));
        return expectations;
    }
    if let Some(numbers) = column.as_numbers() {
        expectations.extend(range(name, column.kind(), numbers, options));
    }
    if is_discrete && distinct.len() == present && present >= options.unique_rows {
        expectations.push(Expectation::unique(name));
    }
    expectations
}

/// The values that are there, each once, in order.
fn distinct(column: &TableColumn) -> Vec<Value> {
    match column.values() {
        Values::Numbers(numbers) => {
            let present = numbers.iter().filter(|number| !number.is_nan());
            let bits: HashSet<u64> = present.map(|number| (number + 0.0).to_bits()).collect();
            let mut numbers: Vec<f64> = bits.into_iter().map(f64::from_bits).collect();
            numbers.sort_by(f64::total_cmp);
            let value = |number: f64| match column.kind() {
                ValueKind::Boolean => Value::Boolean(number != 0.0),
                ValueKind::Integer => Value::Integer(number as i64),
                _ => Value::Number(number),
            };
            numbers.into_iter().map(value).collect()
        }
        Values::Words(words) => {
            let words: BTreeSet<&str> = words.iter().flatten().collect();
            words.into_iter().map(Value::from).collect()
        }
    }
}

/// From the least to the greatest finite number and somewhat farther.
fn range(name: &str, kind: ValueKind, numbers: &[f64], options: &InferOptions) -> Option<Expectation> {
    let present = numbers.iter().filter(|number| !number.is_nan()).count();
    let finite = || numbers.iter().copied().filter(|number| number.is_finite());
    let (least, greatest) = (finite().reduce(f64::min)?, finite().reduce(f64::max)?);
    let slack = options.range_slack * (greatest - least);
    let (mut low, mut high) = (least - slack, greatest + slack);
    if kind == ValueKind::Integer {
        (low, high) = (low.floor(), high.ceil());
    }
    if least >= 0.0 {
        low = low.max(0.0);
    }
    let range = low.max(f64::MIN)..=high.min(f64::MAX);
    let share = finite().count() as f64 / present as f64;
    Some(Expectation::between(name, range).with_mostly(options.mostly.min(share)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::quality::Outcome;

    fn number() -> impl Strategy<Value = f64> {
        prop_oneof![
            4 => -100.0..100.0_f64,
            1 => proptest::num::f64::ANY,
            1 => Just(f64::NAN),
            1 => Just(f64::INFINITY),
            1 => Just(-0.0),
        ]
    }

    fn column(rows: usize) -> impl Strategy<Value = TableColumn> {
        let integers = proptest::collection::vec(proptest::option::weighted(0.8, -20..20_i64), rows);
        let large = proptest::collection::vec(proptest::option::of(any::<i64>()), rows);
        let booleans = proptest::collection::vec(proptest::option::of(any::<bool>()), rows);
        let words = proptest::collection::vec(proptest::option::of("[a-c0-9]{0,3}|NaN|true"), rows);
        prop_oneof![
            proptest::collection::vec(number(), rows).prop_map(TableColumn::floats),
            integers.prop_map(TableColumn::integers),
            large.prop_map(TableColumn::integers),
            booleans.prop_map(TableColumn::booleans),
            words.prop_map(|words| TableColumn::words(words.iter().map(Option::as_deref))),
        ]
    }

    fn table() -> impl Strategy<Value = Table> {
        let columns = (0..60_usize, 1..5_usize)
            .prop_flat_map(|(rows, columns)| proptest::collection::vec(column(rows), columns));
        columns.prop_map(|columns| {
            let named = columns.into_iter().enumerate().map(|(index, column)| (format!("c{index}"), column));
            Table::new(named).unwrap()
        })
    }

    proptest! {
        #[test]
        fn a_reference_meets_what_is_inferred_from_it(
            table in table(),
            slack in 0.0..0.5_f64,
            max_set in 0..30_usize,
            unique_rows in 1..40_usize,
        ) {
            let options = InferOptions::default()
                .with_range_slack(slack)
                .with_missing_slack(slack)
                .with_max_set(max_set)
                .with_unique_rows(unique_rows);
            let suite = Suite::infer(&table, &options).unwrap();
            let report = suite.check(&table);
            prop_assert_eq!(report.outcome, Outcome::Passed, "{}", report);

            prop_assert_eq!(&Suite::from_toml(&suite.to_toml().unwrap()).unwrap(), &suite);
            prop_assert_eq!(&Suite::from_json(&suite.to_json().unwrap()).unwrap(), &suite);
        }
    }

    #[test]
    fn what_cannot_be_inferred_is_refused() {
        assert!(Suite::infer(&Table::new::<&str>([]).unwrap(), &InferOptions::default()).is_err());
        let table = Table::new([("x", TableColumn::floats(vec![1.0]))]).unwrap();
        for options in [
            InferOptions::default().with_mostly(0.0),
            InferOptions::default().with_range_slack(f64::NAN),
            InferOptions::default().with_missing_slack(-1.0),
        ] {
            assert!(Suite::infer(&table, &options).is_err(), "{options:?}");
        }
    }

    #[test]
    fn columns_without_a_value_are_only_expected_to_be_there() {
        let table = Table::new([("x", TableColumn::floats(vec![f64::NAN; 3]))]).unwrap();
        let suite = Suite::infer(&table, &InferOptions::default()).unwrap();
        assert_eq!(suite.expectations().map(Expectation::name).collect::<Vec<_>>(), ["columns"]);
    }
}
