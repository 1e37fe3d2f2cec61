//! Files of rows, read a few rows at a time.

mod csv;
mod json_lines;
#[cfg(feature = "parquet")]
mod parquet;

use std::path::Path;

use mlops_core::Result;

use super::format::Format;
use super::record::{Position, Record};

/// Reads the rows of one file, in order.
pub(super) trait Reader: Send {
    /// At most that many of the next rows; none at the end of the file.
    ///
    /// A row that cannot be read by itself is a record all the same. An error is one of the whole file.
    fn read(&mut self, rows: usize) -> Result<Vec<Record>>;

    /// Where the next row begins.
    fn position(&self) -> Position;
}

/// A file whose columns are known, and no row is read yet.
pub(super) trait Source {
    /// The columns of the file; where rows name their columns themselves, those of the first row.
    fn columns(&self) -> &[Column];

    /// Whether every row has these columns.
    fn is_uniform(&self) -> bool;

    /// Reads these columns from there on.
    fn read_from(self: Box<Self>, wanted: &[String], position: Position) -> Result<Box<dyn Reader>>;
}

/// A column of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// What a column holds, for formats that must know before the first row is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "parquet"), expect(dead_code, reason = "the columns of text formats are text"))]
pub(super) enum Kind {
    Text,
    Bool,
    Integer,
    Unsigned,
    Single,
    Double,
}

/// No longer record is read into memory; nor are more records at once when they are so long together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit(pub(super) usize);

impl Limit {
    /// Whether the records between these bytes of a file are as many as may be read at once.
    fn is_reached(self, from: u64, to: u64) -> bool {
        to.saturating_sub(from) >= self.0 as u64
    }
}

pub(super) fn open(path: &Path, format: Format, limit: Limit) -> Result<Box<dyn Source>> {
    match format {
        Format::Csv | Format::CsvSemicolon | Format::Tsv => {
            Ok(Box::new(csv::CsvSource::open(path, format.delimiter().unwrap_or(b','), limit)?))
        }
        Format::JsonLines => Ok(Box::new(json_lines::JsonLinesSource::open(path, limit)?)),
        #[cfg(feature = "parquet")]
        Format::Parquet => Ok(Box::new(parquet::ParquetSource::open(path)?)),
        #[cfg(not(feature = "parquet"))]
        Format::Parquet => Err(super::format::without_parquet()),
    }
}
