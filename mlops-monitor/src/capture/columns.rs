//! Columns of a file, growing record by record.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Float32Array, ListArray, PrimitiveArray, RecordBatch, StringArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, MutableBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, Field as ArrowField, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, Schema, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;
use mlops_core::reexports::half::bf16;
use mlops_core::reexports::jiff::Timestamp;
use mlops_core::{DType, Tensor};

use super::record::Record;
use super::redact::{Field, Redaction, Redactions};
use crate::{Features, Source, TensorFeatures};

/// A file has no more columns than this because of names that requests bring; the next record begins another file.
const MOST_COLUMNS: usize = 2000;

/// The columns of one file.
#[derive(Debug, Default)]
pub(super) struct Columns {
    names: HashMap<String, usize>,
    columns: Vec<(String, Column)>,
    rows: usize,
    bytes: usize,
    predictions: u64,
    span: Option<(Timestamp, Timestamp)>,
}

/// What decides how records become rows.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) features: Option<Features>,
    pub(super) redactions: Redactions,
}

/// Values of one element type, one or a list of them per row.
#[derive(Debug)]
struct Column {
    element: Element,
    bytes: MutableBuffer,
    /// Where the strings of text end; empty for others.
    ends: Vec<i32>,
    /// How many elements there are up to each row, if rows are lists.
    lists: Option<Vec<i32>>,
    present: Vec<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Element {
    Tensor(DType),
    Time,
}

/// The part of a record that goes into one column.
struct Cells<'a> {
    name: String,
    element: Element,
    /// Per row.
    values: Vec<Cell<'a>>,
    is_list: bool,
}

/// The elements of one row.
enum Cell<'a> {
    Raw(Cow<'a, [u8]>),
    Strings(Vec<&'a [u8]>),
    Text(Option<String>),
}

/// The elements of a tensor, in row-major order.
enum Elements<'a> {
    Fixed { dtype: DType, size: usize, bytes: &'a [u8] },
    Strings(Vec<&'a [u8]>),
}

/// As an offset: names of time zones need a database.
pub(super) const UTC: &str = "+00:00";
const TEXT: Element = Element::Tensor(DType::Bytes);

impl Columns {
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// About how many bytes the values take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn predictions(&self) -> u64 {
        self.predictions
    }

    /// The time of the first and of the last record.
    pub(super) fn span(&self) -> Option<(Timestamp, Timestamp)> {
        self.span
    }

    /// Adds the rows of a record, or gives them back if they do not fit the columns that are there.
    pub(super) fn push(&mut self, record: &Record, layout: &Layout) -> bool {
        let cells = layout.cells(record);
        let fits = |cells: &Cells<'_>| match self.names.get(&cells.name) {
            Some(index) => {
                self.columns.get(*index).is_some_and(|(_, column)| column.element == cells.element)
            }
            None => self.rows == 0 || self.columns.len() < MOST_COLUMNS,
        };
        if !cells.iter().all(fits) {
            return false;
        }
        let rows = record.rows().unwrap_or(1);
        for cells in cells {
            let index = *self.names.entry(cells.name.clone()).or_insert_with(|| {
                let column = Column::new(cells.element, self.rows);
                self.bytes += column.size();
                self.columns.push((cells.name.clone(), column));
                self.columns.len() - 1
            });
            if let Some((_, column)) = self.columns.get_mut(index)
                && column.present.len() == self.rows
            {
                self.bytes += column.append(cells);
            }
        }
        self.rows += rows;
        self.predictions += 1;
        self.bytes += self.columns.iter_mut().map(|(_, column)| column.fill(self.rows)).sum::<usize>();
        let (first, last) = self.span.unwrap_or((record.time, record.time));
        self.span = Some((first.min(record.time), last.max(record.time)));
        true
    }

    /// The columns as Arrow has them.
    pub(super) fn into_batch(self) -> Result<RecordBatch, ArrowError> {
        let mut fields = Vec::new();
        let mut arrays = Vec::new();
        for (name, column) in self.columns {
            let array = column.into_array()?;
            fields.push(ArrowField::new(name, array.data_type().clone(), true));
            arrays.push(array);
        }
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
    }
}

impl Layout {
    fn cells<'a>(&self, record: &'a Record) -> Vec<Cells<'a>> {
        let rows = record.rows();
        let count = rows.unwrap_or(1);
        let constant = |name: &str, text: Option<String>| Cells {
            name: name.to_owned(),
            element: TEXT,
            values: (0..count).map(|_| Cell::Text(text.clone())).collect(),
            is_list: false,
        };
        let id = match self.redactions.of(&Field::Id) {
            None => record.id.as_deref().map(str::to_owned),
            Some(redaction) => record.id.as_deref().and_then(|id| redaction.of(id.as_bytes())),
        };
        let fixed = |name: &str, element, of_row: &dyn Fn(usize) -> Vec<u8>| Cells {
            name: name.to_owned(),
            element,
            values: (0..count).map(|row| Cell::Raw(Cow::Owned(of_row(row)))).collect(),
            is_list: false,
        };
        let mut cells = vec![
            fixed("time", Element::Time, &|_| record.time.as_microsecond().to_le_bytes().to_vec()),
            constant("id", id),
            fixed("row", Element::Tensor(DType::Int32), &|row| (row as i32).to_le_bytes().to_vec()),
            constant("model", record.model.as_ref().map(|model| model.name.to_string())),
            constant("version", record.model.as_ref().map(|model| model.version.to_string())),
            constant("variant", record.variant.as_ref().map(ToString::to_string)),
            constant("role", Some(record.role.to_owned())),
            constant("outcome", Some(record.outcome.to_owned())),
            fixed("latency_seconds", Element::Tensor(DType::Fp64), &|_| {
                record.latency_seconds.to_le_bytes().to_vec()
            }),
            constant("attributes", self.attributes(record)),
        ];
        if matches!(self.redactions.of(&Field::Id), Some(Redaction::Remove)) {
            cells.retain(|cells| cells.name != "id");
        }
        for (name, tensor) in record.inputs.iter() {
            self.tensor(Field::input(name), format!("input.{name}"), tensor, rows, &mut cells);
        }
        for (name, tensor) in record.outputs.iter() {
            self.tensor(Field::output(name), format!("output.{name}"), tensor, rows, &mut cells);
        }
        cells
    }

    /// The routing attributes as a JSON object.
    fn attributes(&self, record: &Record) -> Option<String> {
        let written = record.context.attributes().filter_map(|(name, value)| {
            let value = match self.redactions.of(&Field::attribute(name)) {
                None => value.to_owned(),
                Some(redaction) => redaction.of(value.as_bytes())?,
            };
            Some((name.to_owned(), serde_json::Value::String(value)))
        });
        let object: serde_json::Map<_, _> = written.collect();
        (!object.is_empty()).then(|| serde_json::Value::Object(object).to_string())
    }

    fn tensor<'a>(
        &self,
        field: Field,
        name: String,
        tensor: &'a Tensor,
        rows: Option<usize>,
        cells: &mut Vec<Cells<'a>>,
    ) {
        let elements = Elements::of(tensor);
        let features = self.features_of(&field);
        let redaction = self.redactions.of(&field);
        let of_feature =
            |name: &str| Redaction::strictest([redaction, self.redactions.of(&Field::feature(name))]);
        let named = features.filter(|features| rows.is_some() && features.rows_in(tensor).is_ok());
        let Some(features) = named else {
            // Features that cannot be told apart are written as the strictest of their redactions says.
            let names = features.into_iter().flat_map(TensorFeatures::names);
            let redaction = Redaction::strictest(names.map(of_feature).chain([redaction]));
            let width = tensor.len() / rows.unwrap_or(1);
            let values = (0..rows.unwrap_or(1)).map(|row| elements.range(row * width, width)).collect();
            let is_list = rows.is_none() || tensor.shape().len() > 1;
            cells.extend(Cells { name, element: elements.element(), values, is_list }.redacted(redaction));
            return;
        };
        let width = features.names().len();
        for (offset, name) in features.names().enumerate() {
            let values = (0..rows.unwrap_or(1)).map(|row| elements.range(row * width + offset, 1)).collect();
            let redaction = of_feature(name);
            let column = Cells { name: name.to_owned(), element: elements.element(), values, is_list: false };
            cells.extend(column.redacted(redaction));
        }
    }

    fn features_of(&self, field: &Field) -> Option<&TensorFeatures> {
        let (source, tensor) = match field {
            Field::Input(tensor) => (Source::Input, tensor),
            Field::Output(tensor) => (Source::Output, tensor),
            _ => return None,
        };
        let mut tensors = self.features.as_ref()?.tensors().iter();
        tensors.find(|features| features.source() == source && features.tensor() == tensor)
    }
}

impl<'a> Elements<'a> {
    fn of(tensor: &'a Tensor) -> Self {
        match (tensor.byte_strings(), tensor.dtype().size()) {
            (Err(_), Some(size)) => Self::Fixed { dtype: tensor.dtype(), size, bytes: tensor.as_bytes() },
            (strings, _) => Self::Strings(strings.into_iter().flatten().collect()),
        }
    }

    fn element(&self) -> Element {
        match self {
            Self::Fixed { dtype, .. } => Element::Tensor(*dtype),
            Self::Strings(_) => TEXT,
        }
    }

    fn range(&self, start: usize, count: usize) -> Cell<'a> {
        match self {
            Self::Fixed { size, bytes, .. } => {
                Cell::Raw(Cow::Borrowed(bytes.get(start * size..(start + count) * size).unwrap_or_default()))
            }
            Self::Strings(strings) => {
                Cell::Strings(strings.get(start..start + count).unwrap_or_default().to_vec())
            }
        }
    }
}

impl Cells<'_> {
    fn redacted(self, redaction: Option<&Redaction>) -> Option<Self> {
        let Some(redaction) = redaction else { return Some(self) };
        if *redaction == Redaction::Remove {
            return None;
        }
        let values = self.values.into_iter().map(|cell| Cell::Text(redaction.of(&cell.into_bytes())));
        Some(Self { name: self.name, element: TEXT, values: values.collect(), is_list: false })
    }
}

impl Cell<'_> {
    /// What a hash is made of. Strings in lists come with their lengths.
    fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Raw(bytes) => bytes.into_owned(),
            Self::Text(text) => text.unwrap_or_default().into_bytes(),
            Self::Strings(strings) => match strings.as_slice() {
                [string] => string.to_vec(),
                strings => strings
                    .iter()
                    .flat_map(|string| {
                        (string.len() as u64).to_le_bytes().into_iter().chain(string.iter().copied())
                    })
                    .collect(),
            },
        }
    }
}

impl Column {
    /// Nothing in the rows before.
    fn new(element: Element, rows: usize) -> Self {
        let mut column = Self {
            element,
            bytes: MutableBuffer::new(0),
            ends: Vec::new(),
            lists: None,
            present: Vec::new(),
        };
        column.fill(rows);
        column
    }

    /// Adds rows; returns about how many bytes they take.
    fn append(&mut self, cells: Cells<'_>) -> usize {
        let before = self.size();
        if cells.is_list && self.lists.is_none() {
            self.lists = Some((1..=self.present.len() as i32).collect());
        }
        for cell in cells.values {
            match cell {
                Cell::Text(None) => {
                    self.push_null();
                    continue;
                }
                Cell::Raw(bytes) => self.bytes.extend_from_slice(&bytes),
                Cell::Text(Some(text)) => self.push_string(text.as_bytes()),
                Cell::Strings(strings) => strings.into_iter().for_each(|string| self.push_string(string)),
            }
            self.end_row(true);
        }
        self.size() - before
    }

    /// Adds nulls up to so many rows; returns about how many bytes they take.
    fn fill(&mut self, rows: usize) -> usize {
        let before = self.size();
        while self.present.len() < rows {
            self.push_null();
        }
        self.size() - before
    }

    /// About how many bytes it takes.
    fn size(&self) -> usize {
        let lists = self.lists.as_ref().map_or(0, Vec::len);
        self.bytes.len() + 4 * (self.ends.len() + lists) + self.present.len()
    }

    fn push_null(&mut self) {
        if self.lists.is_none() {
            match self.element.size() {
                Some(size) => self.bytes.extend_zeros(size),
                None => self.push_string(&[]),
            }
        }
        self.end_row(false);
    }

    fn push_string(&mut self, string: &[u8]) {
        self.bytes.extend_from_slice(string);
        self.ends.push(self.bytes.len() as i32);
    }

    fn end_row(&mut self, present: bool) {
        let elements = match self.element.size() {
            Some(size) => self.bytes.len() / size,
            None => self.ends.len(),
        };
        if let Some(lists) = &mut self.lists {
            lists.push(elements as i32);
        }
        self.present.push(present);
    }

    fn into_array(self) -> Result<ArrayRef, ArrowError> {
        let nulls = Some(NullBuffer::from(self.present)).filter(|nulls| nulls.null_count() > 0);
        let Some(lists) = self.lists else {
            return elements(self.element, self.bytes.into(), self.ends, nulls);
        };
        let values = elements(self.element, self.bytes.into(), self.ends, None)?;
        let field = Arc::new(ArrowField::new_list_field(values.data_type().clone(), true));
        Ok(Arc::new(ListArray::try_new(field, offsets(lists), values, nulls)?))
    }
}

impl Element {
    fn size(self) -> Option<usize> {
        match self {
            Self::Tensor(dtype) => dtype.size(),
            Self::Time => Some(size_of::<i64>()),
        }
    }
}

fn offsets(ends: Vec<i32>) -> OffsetBuffer<i32> {
    OffsetBuffer::new(ScalarBuffer::from([vec![0], ends].concat()))
}

fn elements(
    element: Element,
    bytes: Buffer,
    ends: Vec<i32>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, ArrowError> {
    fn primitive<T: ArrowPrimitiveType>(
        bytes: Buffer,
        nulls: Option<NullBuffer>,
    ) -> Result<PrimitiveArray<T>, ArrowError> {
        PrimitiveArray::try_new(ScalarBuffer::from(bytes), nulls)
    }
    macro_rules! array {
        ($type:ty) => {
            Arc::new(primitive::<$type>(bytes, nulls)?)
        };
    }
    Ok(match element {
        Element::Time => Arc::new(primitive::<TimestampMicrosecondType>(bytes, nulls)?.with_timezone(UTC)),
        Element::Tensor(dtype) => match dtype {
            DType::Bool => {
                let values = bytes.iter().map(|byte| *byte != 0).collect::<BooleanBuffer>();
                Arc::new(BooleanArray::new(values, nulls))
            }
            DType::Uint8 => array!(UInt8Type),
            DType::Uint16 => array!(UInt16Type),
            DType::Uint32 => array!(UInt32Type),
            DType::Uint64 => array!(UInt64Type),
            DType::Int8 => array!(Int8Type),
            DType::Int16 => array!(Int16Type),
            DType::Int32 => array!(Int32Type),
            DType::Int64 => array!(Int64Type),
            DType::Fp16 => array!(Float16Type),
            DType::Fp32 => array!(Float32Type),
            DType::Fp64 => array!(Float64Type),
            DType::Bf16 => {
                let halves =
                    bytes.chunks_exact(2).map(|half| bf16::from_le_bytes([half[0], half[1]]).to_f32());
                Arc::new(Float32Array::try_new(halves.collect(), nulls)?)
            }
            DType::Bytes => match StringArray::try_new(offsets(ends.clone()), bytes.clone(), nulls.clone()) {
                Ok(text) => Arc::new(text),
                Err(_) => Arc::new(BinaryArray::try_new(offsets(ends), bytes, nulls)?),
            },
        },
    })
}
