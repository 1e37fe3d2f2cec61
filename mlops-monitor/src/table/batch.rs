//! Tables made of Arrow's record batches.

use arrow::array::{Array, ArrayRef, AsArray, StringArrayType};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit};
use arrow::record_batch::RecordBatch;
use mlops_core::{Error, Result};

use super::{Table, TableColumn, ValueKind, Values};

/// The rows of a batch. Nulls are missing values; dates and times are microseconds, since the Unix epoch or
/// midnight; decimals are numbers.
///
/// # Errors
/// [`Error::InvalidInput`] that names the column when it is nested or binary, or comes twice.
pub(crate) fn table_from_batch(batch: &RecordBatch) -> Result<Table> {
    let named = batch.schema_ref().fields().iter().zip(batch.columns());
    let columns = named.map(|(field, array)| {
        let kind = array.data_type();
        let column = column_from_array(array)?.ok_or_else(|| {
            let name = field.name();
            Error::invalid_input(format!("column `{name}` holds {kind}; only single values are columns"))
        })?;
        Ok((field.name().clone(), column))
    });
    Table::new(columns.collect::<Result<Vec<_>>>()?)
}

/// The values of an array; `None` if they are no single values.
fn column_from_array(array: &ArrayRef) -> Result<Option<TableColumn>> {
    let micros = |via: DataType| numbers(&cast_to(array, &via)?, ValueKind::Integer);
    Ok(Some(match array.data_type() {
        DataType::Boolean => numbers(array, ValueKind::Boolean)?,
        kind if kind.is_integer() => numbers(array, ValueKind::Integer)?,
        kind if kind.is_floating() || kind.is_decimal() || kind.is_null() => {
            numbers(array, ValueKind::Float)?
        }
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => {
            micros(DataType::Timestamp(TimeUnit::Microsecond, None))?
        }
        DataType::Time32(_) | DataType::Time64(_) => micros(DataType::Time64(TimeUnit::Microsecond))?,
        DataType::Duration(_) => micros(DataType::Duration(TimeUnit::Microsecond))?,
        DataType::Utf8 => words(array.as_string::<i32>()),
        DataType::LargeUtf8 => words(array.as_string::<i64>()),
        DataType::Utf8View => words(array.as_string_view()),
        DataType::Dictionary(_, value) => return column_from_array(&cast_to(array, value)?),
        DataType::RunEndEncoded(_, value) => return column_from_array(&cast_to(array, value.data_type())?),
        _ => return Ok(None),
    }))
}

fn words<'a, S: StringArrayType<'a>>(array: S) -> TableColumn {
    TableColumn::words(array.iter())
}

/// Times go by way of integers, which is what they are.
fn numbers(array: &ArrayRef, kind: ValueKind) -> Result<TableColumn> {
    let numbers: Vec<f64> = if array.data_type().is_temporal() {
        let integers = cast_to(array, &DataType::Int64)?;
        let integers = integers.as_primitive::<Int64Type>();
        integers.iter().map(|value| value.map_or(f64::NAN, |value| value as f64)).collect()
    } else {
        let floats = cast_to(array, &DataType::Float64)?;
        let floats = floats.as_primitive::<Float64Type>();
        match floats.null_count() {
            0 => floats.values().to_vec(),
            _ => floats.iter().map(|value| value.unwrap_or(f64::NAN)).collect(),
        }
    };
    Ok(TableColumn { kind, values: Values::Numbers(numbers) })
}

fn cast_to(array: &ArrayRef, kind: &DataType) -> Result<ArrayRef> {
    cast(array, kind).map_err(|error| {
        Error::unsupported(format!("a column of {} is read as {kind}", array.data_type())).with_source(error)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float16Array, Int8Array,
        LargeStringArray, ListArray, NullArray, StringArray, StringViewArray, TimestampSecondArray,
        UInt64Array,
    };
    use arrow::datatypes::Int32Type;
    use mlops_core::reexports::half::f16;

    use super::*;

    fn table(array: ArrayRef) -> Result<Table> {
        table_from_batch(&RecordBatch::try_from_iter([("x", array)]).unwrap())
    }

    #[test]
    fn every_usual_type_becomes_numbers_or_words() {
        let decimals = Decimal128Array::from(vec![Some(150), None]).with_precision_and_scale(5, 2).unwrap();
        let numeric: [(ArrayRef, ValueKind, f64); 8] = [
            (Arc::new(BooleanArray::from(vec![Some(true), None])), ValueKind::Boolean, 1.0),
            (Arc::new(Int8Array::from(vec![Some(-5), None])), ValueKind::Integer, -5.0),
            (
                Arc::new(UInt64Array::from(vec![Some(1 << 40), None])),
                ValueKind::Integer,
                (1_u64 << 40) as f64,
            ),
            (Arc::new(Float16Array::from(vec![Some(f16::from_f32(0.5)), None])), ValueKind::Float, 0.5),
            (Arc::new(decimals), ValueKind::Float, 1.5),
            (Arc::new(Date32Array::from(vec![Some(1), None])), ValueKind::Integer, 86_400e6),
            (Arc::new(TimestampSecondArray::from(vec![Some(2), None])), ValueKind::Integer, 2e6),
            (Arc::new(NullArray::new(2)), ValueKind::Float, f64::NAN),
        ];
        for (array, kind, number) in numeric {
            let table = table(Arc::clone(&array)).unwrap();
            let column = table.column("x").unwrap();
            let numbers = column.as_numbers().unwrap();
            assert_eq!(column.kind(), kind, "{array:?}");
            assert!(numbers[0] == number || number.is_nan() && numbers[0].is_nan(), "{array:?}");
            assert!(numbers[1].is_nan(), "{array:?}");
        }
        let dictionary: DictionaryArray<Int32Type> = [Some("a"), None, Some("a")].into_iter().collect();
        let textual: [ArrayRef; 4] = [
            Arc::new(StringArray::from(vec![Some("a"), None, Some("a")])),
            Arc::new(LargeStringArray::from(vec![Some("a"), None, Some("a")])),
            Arc::new(StringViewArray::from(vec![Some("a"), None, Some("a")])),
            Arc::new(dictionary),
        ];
        for array in textual {
            let table = table(array).unwrap();
            let words = table.column("x").unwrap().as_words().unwrap();
            assert_eq!(words.iter().collect::<Vec<_>>(), [Some("a"), None, Some("a")]);
        }
    }

    #[test]
    fn nested_and_binary_columns_are_refused_by_name() {
        let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1)])]);
        let nested: [ArrayRef; 2] = [Arc::new(list), Arc::new(BinaryArray::from(vec![&b"x"[..]]))];
        for array in nested {
            let error = table(array).unwrap_err().to_string();
            assert!(error.starts_with("invalid input: column `x` holds"), "{error}");
        }
    }
}
