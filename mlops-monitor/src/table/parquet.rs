//! Rows of Parquet files.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mlops_core::Result;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::batch::table_from_batch;
use super::files::{Counted, Opened, Origin, select};
use super::options::batch_rows;
use super::{Table, TableColumn, TableOptions, ValueKind, Values};

/// Batches of a Parquet file. What was read of it is told by rows.
struct Batches {
    origin: Origin,
    reader: ParquetRecordBatchReader,
    names: Vec<String>,
    options: TableOptions,
    rows: u64,
    total_rows: u64,
    bytes: u64,
    read: Arc<AtomicU64>,
}

pub(super) fn open(origin: Origin, file: Counted, options: TableOptions) -> Result<Opened> {
    let Counted { file, read } = file;
    let bytes = file.metadata().map_err(|error| origin.unreadable(error))?.len();
    let builder =
        ParquetRecordBatchReaderBuilder::<File>::try_new(file).map_err(|error| origin.broken(error))?;
    let names: Vec<String> = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
    let selected = select(&origin, &names, &options)?;
    let mask = ProjectionMask::roots(builder.parquet_schema(), selected.iter().copied());
    let total_rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or_default();
    let reader = builder
        .with_projection(mask)
        .with_batch_size(batch_rows(selected.len()))
        .build()
        .map_err(|error| origin.broken(error))?;
    let names: Vec<String> = selected.into_iter().map(|index| names[index].clone()).collect();
    let batches = Batches { origin, reader, names: names.clone(), options, rows: 0, total_rows, bytes, read };
    Ok(Opened { names, batches: Box::new(batches) })
}

impl Batches {
    /// The columns in the order that was asked for, as text where that was.
    fn arranged(&self, table: &Table) -> Result<Table> {
        let columns = self.names.iter().filter_map(|name| {
            let column = table.column(name)?;
            let as_text = self.options.kinds.get(name) == Some(&ValueKind::Text);
            Some((name.clone(), if as_text { text(column) } else { column.clone() }))
        });
        Table::new(columns)
    }
}

fn text(column: &TableColumn) -> TableColumn {
    match column.values() {
        Values::Words(_) => column.clone(),
        Values::Numbers(numbers) => {
            let word = |number: &f64| (!number.is_nan()).then(|| number.to_string());
            let words: Vec<Option<String>> = numbers.iter().map(word).collect();
            TableColumn::words(words.iter().map(Option::as_deref))
        }
    }
}

impl Iterator for Batches {
    type Item = Result<Table>;

    fn next(&mut self) -> Option<Result<Table>> {
        let Some(batch) = self.reader.next() else {
            self.read.store(self.bytes, Ordering::Relaxed);
            return None;
        };
        let table = batch.map_err(|error| self.origin.broken(error));
        Some(table.and_then(|batch| table_from_batch(&batch)).and_then(|table| {
            self.rows += table.rows() as u64;
            let share = self.rows as f64 / self.total_rows.max(1) as f64;
            self.read.store((self.bytes as f64 * share) as u64, Ordering::Relaxed);
            self.arranged(&table)
        }))
    }
}
