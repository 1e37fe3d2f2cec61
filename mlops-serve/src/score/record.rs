//! One row of a file.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::value::Value;

/// A row, and where it stands.
#[derive(Debug)]
pub(super) struct Record {
    /// Counted from 1, the header apart.
    pub(super) row: u64,
    /// Counted from 1, in formats that have lines.
    pub(super) line: Option<u64>,
    pub(super) content: Content,
}

/// What a row holds. Each format keeps its own form, so that nothing is copied that is not asked for.
#[derive(Debug)]
pub(super) enum Content {
    /// The fields of a CSV row, and which of them are wanted.
    Fields { fields: csv::StringRecord, wanted: Arc<[usize]> },
    /// A line of JSON, and the wanted members of its object.
    Line { line: String, members: Vec<serde_json::Value> },
    /// A row of an Arrow batch of the wanted columns.
    #[cfg(feature = "parquet")]
    Slot(super::arrow::Slot),
    /// A row that could not be read.
    Unreadable { raw: serde_json::Value, reason: String },
}

/// Where the next row of a file begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// How many rows are before it.
    pub(super) row: u64,
    /// How many lines are before it.
    pub(super) line: u64,
    /// How many bytes are before it; in Parquet, about how many.
    pub(super) byte: u64,
}

impl Record {
    /// The value of a wanted column, by its index among the wanted ones.
    pub(super) fn value(&self, column: usize) -> Value<'_> {
        match &self.content {
            Content::Fields { fields, wanted } => {
                let field = wanted.get(column).and_then(|index| fields.get(*index));
                field.map_or(Value::Null, Value::Field)
            }
            Content::Line { members, .. } => members.get(column).map_or(Value::Null, Value::from),
            #[cfg(feature = "parquet")]
            Content::Slot(slot) => slot.value(column),
            Content::Unreadable { .. } => Value::Null,
        }
    }

    /// The row as it stood in the file, as far as it was read, for whoever has to repair it.
    pub(super) fn raw(&self) -> serde_json::Value {
        match &self.content {
            Content::Fields { fields, .. } => fields.iter().collect(),
            Content::Line { line, .. } => line.as_str().into(),
            #[cfg(feature = "parquet")]
            Content::Slot(slot) => slot.raw(),
            Content::Unreadable { raw, .. } => raw.clone(),
        }
    }
}
