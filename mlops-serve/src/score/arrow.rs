//! Rows of Arrow batches, as Parquet files hold them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::reader::Kind;
use super::value::Value;

/// One row of some columns, each of a type that [`readable`] gives.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    columns: Arc<Columns>,
    row: usize,
}

#[derive(Debug)]
struct Columns {
    names: Arc<[String]>,
    arrays: Vec<ArrayRef>,
}

impl Slot {
    /// The rows of a batch that has the named columns, in whatever order.
    pub(super) fn all(names: &Arc<[String]>, batch: &RecordBatch) -> Result<Vec<Self>, ArrowError> {
        let array = |name: &String| {
            let column = batch.column_by_name(name);
            let column =
                column.ok_or_else(|| ArrowError::SchemaError(format!("the column `{name}` is gone")))?;
            let readable = readable(column.data_type()).ok_or_else(|| {
                ArrowError::NotYetImplemented(format!("{} of `{name}`", column.data_type()))
            })?;
            if readable == *column.data_type() { Ok(Arc::clone(column)) } else { cast(column, &readable) }
        };
        let arrays = names.iter().map(array).collect::<Result<_, _>>()?;
        let columns = Arc::new(Columns { names: Arc::clone(names), arrays });
        Ok((0..batch.num_rows()).map(|row| Self { columns: Arc::clone(&columns), row }).collect())
    }

    pub(super) fn value(&self, column: usize) -> Value<'_> {
        self.columns.arrays.get(column).map_or(Value::Null, |array| value(array, self.row))
    }

    /// The wanted columns by name.
    pub(super) fn raw(&self) -> serde_json::Value {
        let Columns { names, arrays } = &*self.columns;
        let member = |(name, array): (&String, &ArrayRef)| {
            (name.clone(), serde_json::to_value(value(array, self.row)).unwrap_or_default())
        };
        names.iter().zip(arrays).map(member).collect()
    }
}

/// The type a column is read as: numbers as they are, decimals as floats, dictionaries as what they stand for,
/// times as text, lists of such as lists. `None` for what no input and no copied column can be.
pub(super) fn readable(column: &DataType) -> Option<DataType> {
    match column {
        DataType::Null
        | DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::UInt64
        | DataType::Float16
        | DataType::Float32
        | DataType::Float64
        | DataType::Utf8 => Some(column.clone()),
        DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => Some(DataType::Float64),
        DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::Date32
        | DataType::Date64
        | DataType::Time32(_)
        | DataType::Time64(_)
        | DataType::Timestamp(..) => Some(DataType::Utf8),
        DataType::Dictionary(_, value) => readable(value),
        DataType::List(element) | DataType::LargeList(element) | DataType::FixedSizeList(element, _) => {
            let of = readable(element.data_type()).filter(|of| !matches!(of, DataType::List(_)))?;
            Some(DataType::List(Arc::new(element.as_ref().clone().with_data_type(of).with_nullable(true))))
        }
        _ => None,
    }
}

/// What a column of that type holds when it is copied.
pub(super) fn kind(column: &DataType) -> Kind {
    match readable(column) {
        Some(DataType::Boolean) => Kind::Bool,
        Some(DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64) => Kind::Integer,
        Some(DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64) => Kind::Unsigned,
        Some(DataType::Float16 | DataType::Float32) => Kind::Single,
        Some(DataType::Float64) => Kind::Double,
        _ => Kind::Text,
    }
}

fn value(array: &ArrayRef, row: usize) -> Value<'_> {
    macro_rules! integer {
        ($type:ty) => {
            Value::Integer(array.as_primitive::<$type>().value(row).into())
        };
    }
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Boolean => Value::Bool(array.as_boolean().value(row)),
        DataType::Int8 => integer!(Int8Type),
        DataType::Int16 => integer!(Int16Type),
        DataType::Int32 => integer!(Int32Type),
        DataType::Int64 => integer!(Int64Type),
        DataType::UInt8 => integer!(UInt8Type),
        DataType::UInt16 => integer!(UInt16Type),
        DataType::UInt32 => integer!(UInt32Type),
        DataType::UInt64 => integer!(UInt64Type),
        DataType::Float16 => Value::Single(array.as_primitive::<Float16Type>().value(row).to_f32()),
        DataType::Float32 => Value::Single(array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => Value::Double(array.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => Value::Text(array.as_string::<i32>().value(row)),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let offsets = list.value_offsets();
            let (from, to) = (offsets[row] as usize, offsets[row + 1] as usize);
            Value::List((from..to).map(|element| value(list.values(), element)).collect())
        }
        _ => Value::Null,
    }
}
