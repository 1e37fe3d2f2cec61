//! Parquet, by the crate `parquet`.

use std::any::Any;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mlops_core::{Error, Result};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::{Column, Reader, Source};
use crate::score::arrow::{Slot, kind, readable};
use crate::score::failure::{OnFile, malformed};
use crate::score::record::{Content, Position, Record};

/// An open file whose footer was read.
pub(super) struct ParquetSource {
    path: PathBuf,
    builder: ParquetRecordBatchReaderBuilder<File>,
    columns: Vec<Column>,
    bytes: u64,
}

/// Reads the rows of a file.
struct ParquetReader {
    path: PathBuf,
    batches: ParquetRecordBatchReader,
    names: Arc<[String]>,
    /// Rows that were read and not asked for yet.
    waiting: std::vec::IntoIter<Slot>,
    row: u64,
    rows: u64,
    bytes: u64,
}

/// So many rows are decoded at once.
const BATCH: usize = 1_024;

impl ParquetSource {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).on_file("read", path)?;
        let bytes = file.metadata().on_file("read", path)?.len();
        let builder = guarded(path, "its footer", || {
            ParquetRecordBatchReaderBuilder::try_new(file)
                .map(|builder| builder.with_batch_size(BATCH))
                .map_err(|cause| malformed(path, "its footer", cause))
        })?;
        let fields = builder.schema().fields().iter();
        let columns = fields
            .map(|field| Column { name: field.name().clone(), kind: kind(field.data_type()) })
            .collect();
        Ok(Self { path: path.to_owned(), builder, columns, bytes })
    }
}

impl Source for ParquetSource {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn is_uniform(&self) -> bool {
        true
    }

    fn read_from(self: Box<Self>, wanted: &[String], position: Position) -> Result<Box<dyn Reader>> {
        let Self { path, builder, bytes, .. } = *self;
        let index = |name: &String| {
            let fields = builder.schema().fields();
            let Some((index, field)) = fields.find(name) else {
                return Err(malformed(&path, "its schema", format!("there is no column `{name}`")));
            };
            if readable(field.data_type()).is_none() {
                let path = path.display();
                let what = format!("the column `{name}` of {path} is {}", field.data_type());
                return Err(Error::Unsupported { what });
            }
            Ok(index)
        };
        let indices = wanted.iter().map(index).collect::<Result<Vec<_>>>()?;
        let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        let mask = ProjectionMask::roots(builder.parquet_schema(), indices);
        let offset = usize::try_from(position.row).unwrap_or(usize::MAX);
        let batches = guarded(&path, "its row groups", || {
            let batches = builder.with_projection(mask).with_offset(offset).build();
            batches.map_err(|cause| malformed(&path, "its row groups", cause))
        })?;
        let (names, waiting) = (wanted.into(), Vec::new().into_iter());
        Ok(Box::new(ParquetReader { path, batches, names, waiting, row: position.row, rows, bytes }))
    }
}

impl ParquetReader {
    /// The rows of the next batch; none at the end.
    fn batch(&mut self) -> Result<Option<Vec<Slot>>> {
        let Self { path, batches, names, row, .. } = self;
        let place = format!("row {} or one of the {BATCH} after it", *row + 1);
        guarded(path, &place, || {
            let batch = batches.next().transpose().map_err(|cause| malformed(path, &place, cause))?;
            let slots = batch.map(|batch| Slot::all(names, &batch)).transpose();
            slots.map_err(|cause| malformed(path, &place, cause))
        })
    }
}

impl Reader for ParquetReader {
    fn read(&mut self, rows: usize) -> Result<Vec<Record>> {
        let mut records = Vec::new();
        while records.len() < rows {
            let Some(slot) = self.waiting.next() else {
                match self.batch()? {
                    Some(slots) => self.waiting = slots.into_iter(),
                    None => break,
                }
                continue;
            };
            self.row += 1;
            records.push(Record { row: self.row, line: None, content: Content::Slot(slot) });
        }
        Ok(records)
    }

    fn position(&self) -> Position {
        let byte = u128::from(self.bytes) * u128::from(self.row) / u128::from(self.rows.max(1));
        Position { row: self.row, line: 0, byte: u64::try_from(byte).unwrap_or(self.bytes) }
    }
}

/// The decoder panics at some broken files; here that is what it is, a broken file.
fn guarded<R>(path: &Path, place: &str, read: impl FnOnce() -> Result<R>) -> Result<R> {
    let broken = |payload: Box<dyn Any + Send>| {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Err(malformed(path, place, text.unwrap_or("the decoder panicked")))
    };
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(broken)
}
