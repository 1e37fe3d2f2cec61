//! Suites as TOML and JSON, to be written and edited by hand.

use std::fmt;

use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::bounds::{CountBounds, Ends, LARGEST};
use super::expectation::{ColumnMatch, Comparison, Expectation, Rule};
use super::suite::Suite;
use super::value::Value;
use crate::ValueKind;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    expectations: Vec<Entry>,
}

/// The name of an expectation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    NotNull,
    Type,
    Between,
    InSet,
    MatchRegex,
    Length,
    Unique,
    Pair,
    Mean,
    Std,
    Quantile,
    Columns,
    RowCount,
}

/// One expectation: its name, and those of all the fields that belong to it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    expect: Word,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<ValueKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    q: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict_min: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict_max: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<Vec<Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    regex: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is: Option<Comparison>,
    #[serde(skip_serializing_if = "Option::is_none")]
    other: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    names: Option<Vec<String>>,
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    how: Option<ColumnMatch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mostly: Option<f64>,
}

impl Suite {
    /// Reads a TOML document.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] that names the place, and which words are accepted there.
    pub fn from_toml(text: &str) -> Result<Self> {
        let document: Document =
            toml::from_str(text).map_err(|error| invalid(error.to_string().trim_end()))?;
        Self::try_from(document)
    }

    /// Reads a JSON document.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] that names the place, and which words are accepted there.
    pub fn from_json(text: &str) -> Result<Self> {
        let document: Document = serde_json::from_str(text).map_err(invalid)?;
        Self::try_from(document)
    }

    /// Writes a TOML document.
    ///
    /// # Errors
    /// [`Error::Internal`] when TOML cannot hold it, which no suite is known to bring about.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(&Document::from(self))
            .map_err(|error| Error::internal("writing a suite as TOML").with_source(error))
    }

    /// Writes a JSON document, indented.
    ///
    /// # Errors
    /// [`Error::Internal`] when JSON cannot hold it, which no suite is known to bring about.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(&Document::from(self))
            .map_err(|error| Error::internal("writing a suite as JSON").with_source(error))
    }
}

impl Serialize for Suite {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Document::from(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Suite {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(Document::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl TryFrom<Document> for Suite {
    type Error = Error;

    fn try_from(document: Document) -> Result<Self> {
        let entries = document.expectations.into_iter().enumerate();
        Self::new(entries.map(|(index, entry)| entry.expectation(index)).collect::<Result<Vec<_>>>()?)
    }
}

impl From<&Suite> for Document {
    fn from(suite: &Suite) -> Self {
        Self { expectations: suite.expectations().map(Entry::from).collect() }
    }
}

impl Entry {
    fn expectation(mut self, index: usize) -> Result<Expectation> {
        let word = self.expect;
        let of = self.column.as_ref().map_or(String::new(), |column| format!(" of `{column}`"));
        let place = format!("expectation {}, `{word}`{of}", index + 1);
        let needs = |field: &str| Error::invalid_input(format!("{place}: it needs `{field}`"));
        let rule = match word {
            Word::NotNull => Rule::NotNull,
            Word::Type => Rule::Type(self.kind.take().ok_or_else(|| needs("type"))?),
            Word::Between => Rule::Between(self.ends()),
            Word::InSet => Rule::InSet(self.values.take().ok_or_else(|| needs("values"))?),
            Word::MatchRegex => Rule::MatchRegex(self.regex.take().ok_or_else(|| needs("regex"))?),
            Word::Length => Rule::Length(self.counts(&place)?),
            Word::Unique => Rule::Unique,
            Word::Pair => Rule::Pair(
                self.is.take().ok_or_else(|| needs("is"))?,
                self.other.take().ok_or_else(|| needs("other"))?,
            ),
            Word::Mean => Rule::Mean(self.ends()),
            Word::Std => Rule::Std(self.ends()),
            Word::Quantile => Rule::Quantile(self.q.take().ok_or_else(|| needs("q"))?, self.ends()),
            Word::Columns => Rule::Columns(
                self.names.take().ok_or_else(|| needs("names"))?,
                self.how.take().unwrap_or_default(),
            ),
            Word::RowCount => Rule::RowCount(self.counts(&place)?),
        };
        let column = match word {
            Word::Columns | Word::RowCount => None,
            _ => Some(self.column.take().ok_or_else(|| needs("column"))?),
        };
        let mostly = self.mostly.take().unwrap_or(1.0);
        match self.left_over() {
            Some(field) => {
                Err(Error::invalid_input(format!("{place}: `{field}` means nothing to it; leave it out")))
            }
            None => Ok(Expectation { column, mostly, rule }),
        }
    }

    fn ends(&mut self) -> Ends {
        Ends {
            min: self.min.take(),
            max: self.max.take(),
            strict_min: self.strict_min.take().unwrap_or_default(),
            strict_max: self.strict_max.take().unwrap_or_default(),
        }
    }

    fn counts(&mut self, place: &str) -> Result<CountBounds> {
        let count = |end: Option<f64>, name: &str| match end {
            None => Ok(None),
            Some(end) if end >= 0.0 && end.fract() == 0.0 && end <= LARGEST as f64 => Ok(Some(end as u64)),
            Some(end) => {
                Err(Error::invalid_input(format!("{place}: `{name}` is {end}; it has to be a count")))
            }
        };
        Ok(CountBounds { min: count(self.min.take(), "min")?, max: count(self.max.take(), "max")? })
    }

    /// A field that came but was not asked for.
    fn left_over(&self) -> Option<&'static str> {
        let fields = [
            ("column", self.column.is_some()),
            ("type", self.kind.is_some()),
            ("q", self.q.is_some()),
            ("min", self.min.is_some()),
            ("max", self.max.is_some()),
            ("strict_min", self.strict_min.is_some()),
            ("strict_max", self.strict_max.is_some()),
            ("values", self.values.is_some()),
            ("regex", self.regex.is_some()),
            ("is", self.is.is_some()),
            ("other", self.other.is_some()),
            ("names", self.names.is_some()),
            ("match", self.how.is_some()),
        ];
        fields.into_iter().find_map(|(field, came)| came.then_some(field))
    }

    fn of(expect: Word) -> Self {
        Self {
            expect,
            column: None,
            kind: None,
            q: None,
            min: None,
            max: None,
            strict_min: None,
            strict_max: None,
            values: None,
            regex: None,
            is: None,
            other: None,
            names: None,
            how: None,
            mostly: None,
        }
    }

    fn with_ends(self, ends: &Ends) -> Self {
        let strict = |strict: bool| strict.then_some(true);
        let Ends { min, max, strict_min, strict_max } = *ends;
        Self { min, max, strict_min: strict(strict_min), strict_max: strict(strict_max), ..self }
    }

    fn with_counts(self, counts: &CountBounds) -> Self {
        let end = |end: Option<u64>| end.map(|end| end as f64);
        Self { min: end(counts.min), max: end(counts.max), ..self }
    }
}

impl From<&Expectation> for Entry {
    fn from(expectation: &Expectation) -> Self {
        let entry = match &expectation.rule {
            Rule::NotNull => Self::of(Word::NotNull),
            Rule::Type(kind) => Self { kind: Some(*kind), ..Self::of(Word::Type) },
            Rule::Between(ends) => Self::of(Word::Between).with_ends(ends),
            Rule::InSet(values) => Self { values: Some(values.clone()), ..Self::of(Word::InSet) },
            Rule::MatchRegex(regex) => Self { regex: Some(regex.clone()), ..Self::of(Word::MatchRegex) },
            Rule::Length(counts) => Self::of(Word::Length).with_counts(counts),
            Rule::Unique => Self::of(Word::Unique),
            Rule::Pair(is, other) => {
                Self { is: Some(*is), other: Some(other.clone()), ..Self::of(Word::Pair) }
            }
            Rule::Mean(ends) => Self::of(Word::Mean).with_ends(ends),
            Rule::Std(ends) => Self::of(Word::Std).with_ends(ends),
            Rule::Quantile(q, ends) => Self { q: Some(*q), ..Self::of(Word::Quantile).with_ends(ends) },
            Rule::Columns(names, how) => {
                let how = (*how != ColumnMatch::Exact).then_some(*how);
                Self { names: Some(names.clone()), how, ..Self::of(Word::Columns) }
            }
            Rule::RowCount(counts) => Self::of(Word::RowCount).with_counts(counts),
        };
        let mostly = (expectation.mostly != 1.0).then_some(expectation.mostly);
        Self { column: expectation.column.clone(), mostly, ..entry }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

fn invalid(error: impl fmt::Display) -> Error {
    Error::invalid_input(format!("the expectations cannot be read: {error}"))
}
