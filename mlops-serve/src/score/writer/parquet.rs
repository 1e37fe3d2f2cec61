//! Parquet, by the crates `arrow` and `parquet`, compressed with Snappy.

use std::fs::File;
use std::io;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, ListArray, PrimitiveArray, StringArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Field, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, Schema, SchemaRef, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::record_batch::RecordBatch;
use mlops_core::{DType, TensorSpec};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use super::Writer;
use crate::score::reader::Kind;
use crate::score::table::{Layout, Table};
use crate::score::value::Value;

pub(super) struct ParquetWriter {
    layout: Arc<Layout>,
    schema: SchemaRef,
    parquet: ArrowWriter<File>,
}

/// What is written is held in memory until there are so many rows.
const ROW_GROUP: usize = 65_536;

impl ParquetWriter {
    pub(super) fn start(file: File, layout: Arc<Layout>) -> io::Result<Self> {
        let kept =
            layout.kept.iter().map(|(_, column)| Field::new(&column.name, kept_type(column.kind), true));
        let outputs = layout.outputs.iter().map(|spec| Field::new(spec.name(), output_type(spec), true));
        let schema = Arc::new(Schema::new(kept.chain(outputs).collect::<Vec<_>>()));
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(ROW_GROUP))
            .build();
        let parquet = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties))?;
        Ok(Self { layout, schema, parquet })
    }
}

impl Writer for ParquetWriter {
    fn write(&mut self, table: &Table<'_>) -> io::Result<()> {
        let rows = 0..table.len();
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for (index, (_, column)) in self.layout.kept.iter().enumerate() {
            let values = rows.clone().map(|row| table.kept(row, index)).collect();
            columns.push(array(&kept_type(column.kind), values));
        }
        for (index, spec) in self.layout.outputs.iter().enumerate() {
            let values = rows.clone().map(|row| table.output(row, index)).collect();
            columns.push(array(&output_type(spec), values));
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(io::Error::other)?;
        Ok(self.parquet.write(&batch)?)
    }

    fn finish(self: Box<Self>) -> io::Result<File> {
        Ok(self.parquet.into_inner()?)
    }
}

fn kept_type(kind: Kind) -> DataType {
    match kind {
        Kind::Text => DataType::Utf8,
        Kind::Bool => DataType::Boolean,
        Kind::Integer => DataType::Int64,
        Kind::Unsigned => DataType::UInt64,
        Kind::Single => DataType::Float32,
        Kind::Double => DataType::Float64,
    }
}

fn output_type(spec: &TensorSpec) -> DataType {
    let element = match spec.dtype() {
        DType::Bool => DataType::Boolean,
        DType::Uint8 => DataType::UInt8,
        DType::Uint16 => DataType::UInt16,
        DType::Uint32 => DataType::UInt32,
        DType::Uint64 => DataType::UInt64,
        DType::Int8 => DataType::Int8,
        DType::Int16 => DataType::Int16,
        DType::Int32 => DataType::Int32,
        DType::Int64 => DataType::Int64,
        DType::Fp16 => DataType::Float16,
        DType::Bf16 | DType::Fp32 => DataType::Float32,
        DType::Fp64 => DataType::Float64,
        DType::Bytes => DataType::Utf8,
    };
    if spec.shape().len() == 1 { element } else { DataType::new_list(element, true) }
}

/// The values as a column of the type; null where they are none of it.
fn array(of: &DataType, values: Vec<Value<'_>>) -> ArrayRef {
    match of {
        DataType::List(element) => {
            let present: NullBuffer = values.iter().map(|value| matches!(value, Value::List(_))).collect();
            let lists: Vec<_> = values
                .into_iter()
                .map(|value| if let Value::List(elements) = value { elements } else { Vec::new() })
                .collect();
            let offsets = OffsetBuffer::from_lengths(lists.iter().map(Vec::len));
            let elements = array(element.data_type(), lists.into_iter().flatten().collect());
            Arc::new(ListArray::new(Arc::clone(element), offsets, elements, Some(present)))
        }
        DataType::Boolean => Arc::new(values.iter().map(Value::boolean).collect::<BooleanArray>()),
        DataType::UInt8 => integers::<UInt8Type>(&values),
        DataType::UInt16 => integers::<UInt16Type>(&values),
        DataType::UInt32 => integers::<UInt32Type>(&values),
        DataType::UInt64 => integers::<UInt64Type>(&values),
        DataType::Int8 => integers::<Int8Type>(&values),
        DataType::Int16 => integers::<Int16Type>(&values),
        DataType::Int32 => integers::<Int32Type>(&values),
        DataType::Int64 => integers::<Int64Type>(&values),
        DataType::Float16 => {
            primitive::<Float16Type>(&values, |value| value.single().map(half::f16::from_f32))
        }
        DataType::Float32 => primitive::<Float32Type>(&values, Value::single),
        DataType::Float64 => primitive::<Float64Type>(&values, Value::double),
        _ => {
            let text = |value| (!matches!(value, &Value::Null)).then(|| value.text());
            Arc::new(values.iter().map(text).collect::<StringArray>())
        }
    }
}

fn integers<T: ArrowPrimitiveType>(values: &[Value<'_>]) -> ArrayRef
where
    T::Native: TryFrom<i128>,
{
    primitive::<T>(values, |value| value.integer().and_then(|integer| T::Native::try_from(integer).ok()))
}

fn primitive<'a, T: ArrowPrimitiveType>(
    values: &[Value<'a>],
    read: impl Fn(&Value<'a>) -> Option<T::Native>,
) -> ArrayRef {
    Arc::new(values.iter().map(read).collect::<PrimitiveArray<T>>())
}
