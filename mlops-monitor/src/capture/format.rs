//! Rows as the bytes of a file, and back.

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::error::ArrowError;
use arrow::json::reader::infer_json_schema;
use arrow::json::{LineDelimitedWriter, ReaderBuilder};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::columns::UTC;
use super::options::Format;

/// How many rows are read at once.
const BATCH: usize = 65_536;

/// Rows of a file, some at a time.
pub(super) type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

impl Format {
    /// The whole file.
    pub(super) fn encode(self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        match self {
            Self::Parquet => {
                let compression = Compression::ZSTD(ZstdLevel::default());
                let properties = WriterProperties::builder().set_compression(compression).build();
                let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?;
                writer.write(batch)?;
                Ok(writer.into_inner()?)
            }
            Self::JsonLines => {
                let mut writer = LineDelimitedWriter::new(Vec::new());
                writer.write(batch)?;
                writer.finish()?;
                Ok(writer.into_inner())
            }
        }
    }

    /// The rows of a file.
    pub(super) fn decode(self, file: Bytes) -> Result<Batches, ArrowError> {
        Ok(match self {
            Self::Parquet => {
                Box::new(ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(BATCH).build()?)
            }
            Self::JsonLines => {
                let (schema, _) = infer_json_schema(Cursor::new(file.clone()), None)?;
                let schema = Arc::new(with_time(&schema));
                Box::new(ReaderBuilder::new(schema).with_batch_size(BATCH).build(Cursor::new(file))?)
            }
        })
    }
}

/// Times are text in JSON.
fn with_time(schema: &Schema) -> Schema {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()));
    let fields = schema.fields().iter().map(|field| match field.name().as_str() {
        "time" => Arc::new(Field::new("time", time.clone(), true)),
        _ => Arc::clone(field),
    });
    Schema::new(fields.collect::<Vec<_>>())
}
