//! Files of scored rows.

mod csv;
mod json_lines;
#[cfg(feature = "parquet")]
mod parquet;

use std::fs::File;
use std::io;
use std::sync::Arc;

use mlops_core::{Error, Result, Signature};

use super::format::Format;
use super::table::{Layout, Table, flat_names};

/// Writes one file.
pub(super) trait Writer: Send {
    fn write(&mut self, table: &Table<'_>) -> io::Result<()>;

    /// Writes what is left. The file is complete, but perhaps not on the disk.
    fn finish(self: Box<Self>) -> io::Result<File>;
}

pub(super) fn start(format: Format, layout: &Arc<Layout>, file: File) -> io::Result<Box<dyn Writer>> {
    let layout = Arc::clone(layout);
    match format {
        Format::Csv | Format::CsvSemicolon | Format::Tsv => {
            Ok(Box::new(csv::CsvWriter::start(file, format.delimiter().unwrap_or(b','), layout)?))
        }
        Format::JsonLines => Ok(Box::new(json_lines::JsonLinesWriter::start(file, layout))),
        #[cfg(feature = "parquet")]
        Format::Parquet => Ok(Box::new(parquet::ParquetWriter::start(file, layout)?)),
        #[cfg(not(feature = "parquet"))]
        Format::Parquet => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Refuses outputs that the format cannot hold, and columns of the same name.
pub(super) fn check(format: Format, signature: &Signature, kept: &[String]) -> Result<()> {
    #[cfg(not(feature = "parquet"))]
    if format == Format::Parquet {
        return Err(super::format::without_parquet());
    }
    let mut names = kept.to_vec();
    for spec in signature.outputs() {
        if format.has_lists() {
            names.push(spec.name().to_owned());
            continue;
        }
        names.extend(flat_names(spec).ok_or_else(|| {
            Error::invalid_input(format!(
                "output `{}` is {spec}, a list of any length per row, which {format} has no columns for; \
                 write JSON Lines or Parquet",
                spec.name()
            ))
        })?);
    }
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        None => Ok(()),
        Some(pair) => {
            Err(Error::invalid_input(format!("the output would have two columns of the name `{}`", pair[0])))
        }
    }
}
