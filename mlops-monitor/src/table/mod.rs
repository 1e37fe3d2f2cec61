//! Rows of data, column by column: what references, checks and captured traffic are made of.

#[cfg(feature = "tables")]
pub(crate) mod batch;
#[cfg(feature = "tables")]
mod csv;
#[cfg(feature = "tables")]
mod files;
#[cfg(feature = "tables")]
mod json;
#[cfg(feature = "tables")]
mod options;
#[cfg(feature = "tables")]
mod parquet;
#[cfg(feature = "tables")]
mod reading;

use std::collections::HashMap;

use mlops_core::{Error, Result};

#[cfg(feature = "tables")]
pub use files::TableReader;
#[cfg(feature = "tables")]
pub use options::TableOptions;

/// Rows of data, column by column, in memory.
///
/// ```
/// use mlops_monitor::{Table, TableColumn};
///
/// let table = Table::new([
///     ("age", TableColumn::integers([Some(31), None, Some(47)])),
///     ("city", TableColumn::words([Some("Oslo"), Some("Bergen"), None])),
/// ])?;
/// assert_eq!((table.rows(), table.names().collect::<Vec<_>>()), (3, vec!["age", "city"]));
/// assert_eq!(table.column("city").map(|city| city.missing()), Some(1));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    names: Vec<String>,
    columns: Vec<TableColumn>,
    rows: usize,
}

/// One column of a [`Table`].
#[derive(Debug, Clone, PartialEq)]
pub struct TableColumn {
    kind: ValueKind,
    values: Values,
}

/// What the values of a column were where they came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ValueKind {
    /// True or false, held as 1 and 0.
    Boolean,
    /// Whole numbers, and times as microseconds since the Unix epoch. Beyond 2⁵³ they lose their last digits.
    Integer,
    /// Numbers.
    Float,
    /// Text: categories.
    Text,
}

/// The values of a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Numbers; NaN is a missing value.
    Numbers(Vec<f64>),
    /// Text, each distinct one held once.
    Words(Words),
}

/// Text values, each distinct one held once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    codes: Vec<u32>,
    dictionary: Vec<String>,
}

/// The code of a missing value.
const MISSING: u32 = u32::MAX;

impl Table {
    /// Columns with their names.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when a name comes twice or columns differ in length.
    pub fn new<N: Into<String>>(columns: impl IntoIterator<Item = (N, TableColumn)>) -> Result<Self> {
        let (names, columns): (Vec<String>, Vec<TableColumn>) =
            columns.into_iter().map(|(name, column)| (name.into(), column)).unzip();
        let rows = columns.first().map_or(0, TableColumn::len);
        for (index, (name, column)) in names.iter().zip(&columns).enumerate() {
            if names[..index].contains(name) {
                return Err(Error::invalid_input(format!("column `{name}` comes twice")));
            }
            if column.len() != rows {
                let found = column.len();
                return Err(Error::invalid_input(format!(
                    "column `{name}` has {found} rows where `{}` has {rows}",
                    names[0]
                )));
            }
        }
        Ok(Self { names, columns, rows })
    }

    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The names of the columns, in order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// The columns with their names, in order.
    pub fn columns(&self) -> impl ExactSizeIterator<Item = (&str, &TableColumn)> {
        self.names().zip(&self.columns)
    }

    /// The column of that name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&TableColumn> {
        self.names.iter().position(|known| known == name).map(|index| &self.columns[index])
    }
}

impl TableColumn {
    /// Numbers; NaN is a missing value.
    #[must_use]
    pub fn floats(values: Vec<f64>) -> Self {
        Self { kind: ValueKind::Float, values: Values::Numbers(values) }
    }

    /// Whole numbers.
    pub fn integers(values: impl IntoIterator<Item = Option<i64>>) -> Self {
        let numbers = values.into_iter().map(|value| value.map_or(f64::NAN, |value| value as f64));
        Self { kind: ValueKind::Integer, values: Values::Numbers(numbers.collect()) }
    }

    /// True or false.
    pub fn booleans(values: impl IntoIterator<Item = Option<bool>>) -> Self {
        let numbers =
            values.into_iter().map(|value| value.map_or(f64::NAN, |value| f64::from(u8::from(value))));
        Self { kind: ValueKind::Boolean, values: Values::Numbers(numbers.collect()) }
    }

    /// Text.
    pub fn words<'a>(values: impl IntoIterator<Item = Option<&'a str>>) -> Self {
        Self { kind: ValueKind::Text, values: Values::Words(values.into_iter().collect()) }
    }

    /// What the values were where they came from.
    #[must_use]
    pub fn kind(&self) -> ValueKind {
        self.kind
    }

    /// The values.
    #[must_use]
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// The numbers, unless it is a column of text.
    #[must_use]
    pub fn as_numbers(&self) -> Option<&[f64]> {
        match &self.values {
            Values::Numbers(numbers) => Some(numbers),
            Values::Words(_) => None,
        }
    }

    /// The words, if it is a column of text.
    #[must_use]
    pub fn as_words(&self) -> Option<&Words> {
        match &self.values {
            Values::Numbers(_) => None,
            Values::Words(words) => Some(words),
        }
    }

    /// How many values there are, missing ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.values {
            Values::Numbers(numbers) => numbers.len(),
            Values::Words(words) => words.len(),
        }
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many values are missing.
    #[must_use]
    pub fn missing(&self) -> usize {
        match &self.values {
            Values::Numbers(numbers) => numbers.iter().filter(|number| number.is_nan()).count(),
            Values::Words(words) => words.codes.iter().filter(|code| **code == MISSING).count(),
        }
    }
}

impl Words {
    /// How many values there are, missing ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.codes.len()
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }

    /// The distinct words, in the order of their first appearance.
    #[must_use]
    pub fn dictionary(&self) -> &[String] {
        &self.dictionary
    }

    /// The value of each row as a position in the [`dictionary`](Self::dictionary); `None` is a missing one.
    pub fn codes(&self) -> impl ExactSizeIterator<Item = Option<usize>> {
        self.codes.iter().map(|code| (*code != MISSING).then_some(*code as usize))
    }

    /// The value of each row; `None` is a missing one.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<&str>> {
        self.codes().map(|code| code.map(|code| self.dictionary[code].as_str()))
    }
}

impl From<Words> for TableColumn {
    fn from(words: Words) -> Self {
        Self { kind: ValueKind::Text, values: Values::Words(words) }
    }
}

impl<'a> FromIterator<Option<&'a str>> for Words {
    fn from_iter<I: IntoIterator<Item = Option<&'a str>>>(values: I) -> Self {
        let mut known: HashMap<&str, u32> = HashMap::new();
        let mut words = Self::default();
        for value in values {
            words.codes.push(value.map_or(MISSING, |word| {
                *known.entry(word).or_insert_with(|| {
                    words.dictionary.push(word.to_owned());
                    (words.dictionary.len() - 1) as u32
                })
            }));
        }
        words
    }
}
