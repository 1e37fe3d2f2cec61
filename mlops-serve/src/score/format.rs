//! The formats of files.

use std::fmt;
use std::path::Path;

use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// The format of a file of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Format {
    /// Fields separated by commas, as [RFC 4180](https://www.rfc-editor.org/rfc/rfc4180) has them, with a
    /// header of names. Extension `csv`.
    Csv,
    /// The same, separated by semicolons, as spreadsheets write it where the comma is the decimal mark.
    /// No extension: to be chosen.
    CsvSemicolon,
    /// The same, separated by tabs. Extension `tsv`.
    Tsv,
    /// One JSON object per line. Extensions `jsonl` and `ndjson`.
    JsonLines,
    /// [Apache Parquet](https://parquet.apache.org), which takes the feature `parquet`. Extension `parquet`.
    Parquet,
}

impl Format {
    /// The format that the extension of a file stands for.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for an extension that stands for none.
    ///
    /// ```
    /// use mlops_serve::score::Format;
    ///
    /// assert_eq!(Format::of("customers.ndjson")?, Format::JsonLines);
    /// assert!(Format::of("customers.xlsx").is_err());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn of(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        match &*extension {
            "csv" => Ok(Self::Csv),
            "tsv" => Ok(Self::Tsv),
            "jsonl" | "ndjson" => Ok(Self::JsonLines),
            "parquet" => Ok(Self::Parquet),
            _ => Err(Error::invalid_input(format!(
                "the extension of {} says no format; expected csv, tsv, jsonl, ndjson or parquet, or choose \
                 the format of the input",
                path.display()
            ))),
        }
    }

    /// The extension that files of the format are written with.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Csv | Self::CsvSemicolon => "csv",
            Self::Tsv => "tsv",
            Self::JsonLines => "jsonl",
            Self::Parquet => "parquet",
        }
    }

    /// What separates the fields, where the format has fields.
    pub(super) fn delimiter(self) -> Option<u8> {
        match self {
            Self::Csv => Some(b','),
            Self::CsvSemicolon => Some(b';'),
            Self::Tsv => Some(b'\t'),
            Self::JsonLines | Self::Parquet => None,
        }
    }

    /// Whether a column can hold a list.
    pub(super) fn has_lists(self) -> bool {
        self.delimiter().is_none()
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Csv => "CSV",
            Self::CsvSemicolon => "CSV with semicolons",
            Self::Tsv => "TSV",
            Self::JsonLines => "JSON Lines",
            Self::Parquet => "Parquet",
        })
    }
}

/// The error of a build that cannot read or write Parquet.
#[cfg(not(feature = "parquet"))]
pub(super) fn without_parquet() -> Error {
    Error::Unsupported { what: "Parquet; build mlops-serve with the feature `parquet`".to_owned() }
}
