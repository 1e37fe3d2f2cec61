//! How a file of rows is read.

use std::collections::BTreeMap;

use super::ValueKind;

/// Most rows of a batch.
const ROWS: usize = 65_536;
/// Most values of a batch of a wide table.
const VALUES: usize = 1 << 23;

/// How a [`TableReader`](super::TableReader) reads a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableOptions {
    /// The columns to read, in this order; `None` reads all.
    pub columns: Option<Vec<String>>,
    /// What columns hold, where it shall not be told by their values: text for codes such as `007`.
    pub kinds: BTreeMap<String, ValueKind>,
    /// Words that stand for a missing value, besides the empty one: `NA`, `null`. Not for Parquet, which has its
    /// own.
    pub missing: Vec<String>,
}

impl TableOptions {
    /// Sets the columns to read, in this order.
    #[must_use]
    pub fn with_columns(mut self, columns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.columns = Some(columns.into_iter().map(Into::into).collect());
        self
    }

    /// Says what a column holds.
    #[must_use]
    pub fn with_kind(mut self, column: impl Into<String>, kind: ValueKind) -> Self {
        self.kinds.insert(column.into(), kind);
        self
    }

    /// Sets the words that stand for a missing value, besides the empty one.
    #[must_use]
    pub fn with_missing(mut self, words: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.missing = words.into_iter().map(Into::into).collect();
        self
    }

    /// Whether the word stands for a missing value.
    pub(super) fn is_missing(&self, word: &str) -> bool {
        word.is_empty() || self.missing.iter().any(|missing| missing == word)
    }
}

/// How many rows a batch of so many columns has.
pub(super) fn batch_rows(columns: usize) -> usize {
    (VALUES / columns.max(1)).clamp(64, ROWS)
}
