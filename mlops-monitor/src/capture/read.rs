//! Captured predictions, read back as rows.

use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, ListArray, RecordBatch, TimestampMicrosecondArray, UInt64Array,
};
use arrow::compute::{filter_record_batch, take};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use arrow::error::ArrowError;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use mlops_core::reexports::jiff::Timestamp;
use mlops_core::{Error, Result};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::task::spawn_blocking;

use super::object;
use super::options::Format;
use crate::Table;
use crate::table::batch::table_from_batch;

/// Lists that are longer have no column per element.
const WIDEST: usize = 4096;

/// The rows of predictions that had finished in `range`, in the order of their objects, at most 65,536 at a time.
///
/// Columns are called as they are in the files. A list column whose lists are all of one length, at most 4,096,
/// becomes a column per element, `input.x_0`, `input.x_1`, ...; others, and binary ones, are left out. Tables differ in
/// their columns where files do. Objects under the prefix that are not named as captured ones are left alone.
///
/// # Errors
/// [`Error::InvalidInput`] when the prefix is no path, [`Error::Unavailable`] when the store cannot be listed. In the
/// stream: [`Error::Unavailable`] when an object cannot be read, [`Error::Integrity`] when it cannot be decoded.
pub async fn read(
    store: Arc<dyn ObjectStore>,
    prefix: &str,
    range: impl RangeBounds<Timestamp>,
) -> Result<impl Stream<Item = Result<Table>> + Send + Unpin> {
    let range = (range.start_bound().cloned(), range.end_bound().cloned());
    let folder = object::folder(prefix)?;
    let listed: Vec<_> = store
        .list(Some(&folder))
        .try_collect()
        .await
        .map_err(|error| Error::unavailable(format!("listing `{folder}`")).with_source(error))?;
    let parsed = listed.into_iter().filter_map(|object| {
        let (format, in_range) = object::parse(&object.location, &range)?;
        in_range.then_some((object.location, format))
    });
    let mut objects: Vec<_> = parsed.collect();
    objects.sort_by(|(a, _), (b, _)| a.cmp(b));
    let tables = stream::iter(objects).then(move |(path, format)| {
        let store = Arc::clone(&store);
        async move {
            let tables = match read_object(&*store, path, format, range).await {
                Ok(tables) => tables.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            };
            stream::iter(tables)
        }
    });
    Ok(tables.flatten().boxed())
}

type Range = (Bound<Timestamp>, Bound<Timestamp>);

async fn read_object(
    store: &dyn ObjectStore,
    path: Path,
    format: Format,
    range: Range,
) -> Result<Vec<Table>> {
    let unavailable = |error| Error::unavailable(format!("reading `{path}`")).with_source(error);
    let file = store.get(&path).await.map_err(unavailable)?.bytes().await.map_err(unavailable)?;
    let tables = spawn_blocking(move || {
        format.decode(file)?.map(|batch| table(&batch?, range)).collect::<Result<Vec<_>, ArrowError>>()
    });
    let tables =
        tables.await.map_err(|error| Error::integrity(format!("decoding `{path}`")).with_source(error))?;
    let tables = tables.map_err(|error| Error::integrity(format!("decoding `{path}`")).with_source(error))?;
    Ok(tables.into_iter().filter(|table| table.rows() > 0).collect())
}

fn table(batch: &RecordBatch, range: Range) -> Result<Table, ArrowError> {
    let batch = in_range(batch, range)?;
    let mut columns: Vec<(String, ArrayRef)> = Vec::new();
    for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let name = field.name();
        match array.data_type() {
            DataType::List(_) => {
                let elements = elements(array.as_list())?.into_iter().enumerate();
                columns.extend(elements.map(|(index, array)| (format!("{name}_{index}"), array)));
            }
            _ => columns.push((name.clone(), Arc::clone(array))),
        }
    }
    columns.retain(|(_, array)| *array.data_type() != DataType::Binary);
    let batch = RecordBatch::try_from_iter(columns)?;
    table_from_batch(&batch).map_err(|error| ArrowError::ExternalError(error.into()))
}

fn in_range(batch: &RecordBatch, range: Range) -> Result<RecordBatch, ArrowError> {
    let times =
        batch.column_by_name("time").and_then(|times| times.as_primitive_opt::<TimestampMicrosecondType>());
    let times: &TimestampMicrosecondArray = times
        .ok_or_else(|| ArrowError::SchemaError("there is no column `time` with times in it".to_owned()))?;
    let is_in = |time: i64| Timestamp::from_microsecond(time).is_ok_and(|time| range.contains(&time));
    let rows: BooleanArray = times.iter().map(|time| Some(time.is_some_and(is_in))).collect();
    filter_record_batch(batch, &rows)
}

/// The first, second, ... elements of lists that are all of one length.
fn elements(lists: &ListArray) -> Result<Vec<ArrayRef>, ArrowError> {
    let present = (0..lists.len()).filter(|row| lists.is_valid(*row));
    let mut lengths = present.map(|row| lists.value_length(row) as usize);
    let width = lengths.next().unwrap_or(0);
    if width > WIDEST || lengths.any(|length| length != width) {
        return Ok(Vec::new());
    }
    let starts = lists.value_offsets();
    let of_index = |index: usize| {
        let places = (0..lists.len()).map(|row| {
            let start = starts.get(row).copied().unwrap_or(0);
            lists.is_valid(row).then_some(start as u64 + index as u64)
        });
        take(lists.values(), &places.collect::<UInt64Array>(), None)
    };
    (0..width).map(of_index).collect()
}
