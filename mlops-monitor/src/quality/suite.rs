//! Lists of expectations.

use std::collections::HashSet;
use std::sync::Arc;

use mlops_core::{Error, Result};

use super::checker::Checker;
use super::expectation::Expectation;
use super::options::CheckOptions;
use super::report::QualityReport;
use super::state::Check;
use super::test::Test;
use crate::Table;

/// Expectations, each of which can hold. Cheap to clone.
///
/// In TOML it is one table per expectation, and in JSON one object; what is left out has its default:
///
/// ```
/// use mlops_monitor::quality::{Expectation, Suite};
///
/// let suite = Suite::from_toml(
///     r#"
///     [[expectations]]
///     expect = "between"
///     column = "age"
///     min = 0
///     max = 120
///     mostly = 0.99
///
///     [[expectations]]
///     expect = "in_set"
///     column = "country"
///     values = ["NO", "SE"]
///     "#,
/// )?;
/// assert_eq!(suite.expectations().count(), 2);
/// assert_eq!(Suite::from_json(&suite.to_json()?)?, suite);
///
/// let error = Suite::new([Expectation::between("age", 120.0..=0.0)]).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "invalid input: expectation 1, `between` of `age`: no number lies between `min` 120 and `max` 0"
/// );
/// # Ok::<(), mlops_core::Error>(())
/// ```
///
/// The words of the documents:
///
/// | `expect` | needs | may have |
/// |---|---|---|
/// | `not_null`, `unique` | `column` | `mostly` |
/// | `type` | `column`, `type`: `boolean`, `integer`, `float` or `text` | `mostly` |
/// | `between` | `column`, and `min` or `max` or both | `strict_min`, `strict_max`, `mostly` |
/// | `in_set` | `column`, `values` | `mostly` |
/// | `match_regex` | `column`, `regex` | `mostly` |
/// | `length` | `column`, and `min` or `max` or both | `mostly` |
/// | `pair` | `column`, `is`: `less`, `less_or_equal` or `equal`, `other` | `mostly` |
/// | `mean`, `std` | `column`, and `min` or `max` or both | `strict_min`, `strict_max` |
/// | `quantile` | `column`, `q`, and `min` or `max` or both | `strict_min`, `strict_max` |
/// | `columns` | `names` | `match`: `exact` (default), `at_least` or `in_order` |
/// | `row_count` | `min` or `max` or both | |
#[derive(Debug, Clone)]
pub struct Suite {
    checks: Arc<[Check]>,
}

impl Suite {
    /// These expectations, in this order.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when there is none, one comes twice, or one cannot hold: a range without numbers, a share
    /// outside (0, 1], a pattern that is none, an empty set. It says which.
    pub fn new(expectations: impl IntoIterator<Item = Expectation>) -> Result<Self> {
        let mut known = HashSet::new();
        let mut checks = Vec::new();
        for expectation in expectations {
            let place = place(checks.len(), &expectation);
            let test = Test::of(&expectation).map_err(|error| error_at(&place, &error))?;
            let same = format!("{:?} {:?}", expectation.column, expectation.rule);
            if !known.insert(same) {
                return Err(Error::invalid_input(format!("{place}: it comes twice; leave one of them out")));
            }
            checks.push(Check { expectation, test });
        }
        if checks.is_empty() {
            return Err(Error::invalid_input(
                "a suite needs at least one expectation: without, all data would pass",
            ));
        }
        Ok(Self { checks: checks.into() })
    }

    /// The expectations, in order.
    pub fn expectations(&self) -> impl ExactSizeIterator<Item = &Expectation> {
        self.checks.iter().map(|check| &check.expectation)
    }

    /// Checks a table.
    #[must_use]
    pub fn check(&self, table: &Table) -> QualityReport {
        let mut checker = self.checker();
        checker.push(table);
        checker.finish()
    }

    /// Begins to check tables that come one after the other.
    #[must_use]
    pub fn checker(&self) -> Checker {
        self.checker_with(&CheckOptions::default())
    }

    /// The same with options.
    #[must_use]
    pub fn checker_with(&self, options: &CheckOptions) -> Checker {
        Checker::new(self.clone(), options)
    }

    pub(super) fn checks(&self) -> &[Check] {
        &self.checks
    }
}

impl PartialEq for Suite {
    fn eq(&self, other: &Self) -> bool {
        self.expectations().eq(other.expectations())
    }
}

/// `expectation 3, `between` of `age``
fn place(index: usize, expectation: &Expectation) -> String {
    let of = expectation.column().map_or(String::new(), |column| format!(" of `{column}`"));
    format!("expectation {}, `{}`{of}", index + 1, expectation.name())
}

fn error_at(place: &str, error: &Error) -> Error {
    let text = error.to_string();
    let what = text.strip_prefix("invalid input: ").unwrap_or(&text);
    Error::invalid_input(format!("{place}: {what}"))
}
