//! Scored rows, in the order of the file, as the writers see them.

use mlops_core::{DType, Element, Result, Tensor, TensorSpec};

use super::call::Answer;
use super::encode::Fault;
use super::mapping::elements;
use super::reader::Column;
use super::record::Record;
use super::value::Value;

/// The columns of the output: first those that are copied, then the outputs of the model.
#[derive(Debug)]
pub(super) struct Layout {
    /// The copied columns, and their index in the records.
    pub(super) kept: Vec<(usize, Column)>,
    pub(super) outputs: Vec<TensorSpec>,
}

/// The scored rows of a batch.
pub(super) struct Table<'a> {
    layout: &'a Layout,
    rows: Vec<Row<'a>>,
    answers: Vec<Vec<Option<Output<'a>>>>,
}

struct Row<'a> {
    record: &'a Record,
    index: usize,
    answer: usize,
    row: usize,
}

/// An output of one call.
struct Output<'a> {
    cells: Cells<'a>,
    /// How many elements a row has, where a row is a list.
    width: Option<usize>,
}

impl<'a> Table<'a> {
    /// The rows that have an answer. Those whose output is no text where it should be become faults.
    pub(super) fn new(
        layout: &'a Layout,
        records: &'a [Record],
        answers: &'a [Answer],
        faults: &mut Vec<Fault>,
    ) -> Result<Self> {
        let mut rows: Vec<_> = answers
            .iter()
            .enumerate()
            .flat_map(|(answer, Answer { rows, .. })| {
                let row = move |(row, index): (usize, &usize)| {
                    Some(Row { record: records.get(*index)?, index: *index, answer, row })
                };
                rows.iter().enumerate().filter_map(row)
            })
            .collect();
        rows.sort_unstable_by_key(|row| row.index);
        let output = |answer: &'a Answer, spec: &TensorSpec| {
            answer.outputs.get(spec.name()).map(Output::new).transpose()
        };
        let outputs = |answer| layout.outputs.iter().map(|spec| output(answer, spec)).collect();
        let answers = answers.iter().map(outputs).collect::<Result<Vec<Vec<_>>>>()?;
        let mut table = Self { layout, rows, answers };
        table.refuse_what_is_no_text(faults);
        Ok(table)
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The value of a row in a column that is copied.
    pub(super) fn kept(&self, row: usize, column: usize) -> Value<'_> {
        match (self.rows.get(row), self.layout.kept.get(column)) {
            (Some(row), Some((index, _))) => row.record.value(*index),
            _ => Value::Null,
        }
    }

    /// The value of a row in an output of the model: a list, in row-major order, unless there is one per row.
    pub(super) fn output(&self, row: usize, output: usize) -> Value<'_> {
        let Some(row) = self.rows.get(row) else { return Value::Null };
        match self.answers[row.answer].get(output) {
            Some(Some(output)) => output.value(row.row),
            _ => Value::Null,
        }
    }

    fn refuse_what_is_no_text(&mut self, faults: &mut Vec<Fault>) {
        let Self { layout, rows, answers } = self;
        rows.retain(|row| {
            let outputs = layout.outputs.iter().zip(&answers[row.answer]);
            let broken = outputs.filter(|(_, output)| {
                output.as_ref().is_some_and(|output| !output.is_text_or_number(row.row))
            });
            let Some((spec, _)) = broken.into_iter().next() else { return true };
            let reason = format!("output `{}` of the row is not UTF-8", spec.name());
            faults.push(Fault { row: row.index, reason });
            false
        });
    }
}

impl<'a> Output<'a> {
    fn new(tensor: &'a Tensor) -> Result<Self> {
        let lengths = tensor.shape().get(1..).unwrap_or_default();
        let width = (!lengths.is_empty()).then(|| lengths.iter().product());
        Ok(Self { cells: Cells::of(tensor)?, width })
    }

    fn value(&self, row: usize) -> Value<'_> {
        match self.width {
            None => self.cells.value(row),
            Some(width) => {
                Value::List((row * width..(row + 1) * width).map(|index| self.cells.value(index)).collect())
            }
        }
    }

    fn is_text_or_number(&self, row: usize) -> bool {
        let Cells::Text(texts) = &self.cells else { return true };
        let width = self.width.unwrap_or(1);
        texts.iter().skip(row * width).take(width).all(Option::is_some)
    }
}

/// The names of the columns of an output where lists are not possible.
///
/// `None` when their number is not known before the first row.
pub(super) fn flat_names(spec: &TensorSpec) -> Option<Vec<String>> {
    if spec.shape().len() == 1 {
        return Some(vec![spec.name().to_owned()]);
    }
    Some((0..elements(spec)?).map(|index| format!("{}_{index}", spec.name())).collect())
}

macro_rules! cells {
    ($($dtype:ident: $element:ty = $value:expr;)*) => {
        /// The elements of a tensor, borrowed.
        enum Cells<'a> {
            $($dtype(&'a [$element]),)*
            Text(Vec<Option<&'a str>>),
        }

        impl<'a> Cells<'a> {
            fn of(tensor: &'a Tensor) -> Result<Self> {
                Ok(match tensor.dtype() {
                    $(DType::$dtype => Self::$dtype(slice(tensor)?),)*
                    DType::Bytes => {
                        Self::Text(tensor.byte_strings()?.map(|bytes| std::str::from_utf8(bytes).ok()).collect())
                    }
                })
            }

            fn value(&self, index: usize) -> Value<'_> {
                match self {
                    $(Self::$dtype(elements) => {
                        let value: fn($element) -> Value<'static> = $value;
                        elements.get(index).copied().map_or(Value::Null, value)
                    })*
                    Self::Text(texts) => texts.get(index).copied().flatten().map_or(Value::Null, Value::Text),
                }
            }
        }
    };
}

cells! {
    Bool: bool = Value::Bool;
    Uint8: u8 = |value| Value::Integer(value.into());
    Uint16: u16 = |value| Value::Integer(value.into());
    Uint32: u32 = |value| Value::Integer(value.into());
    Uint64: u64 = |value| Value::Integer(value.into());
    Int8: i8 = |value| Value::Integer(value.into());
    Int16: i16 = |value| Value::Integer(value.into());
    Int32: i32 = |value| Value::Integer(value.into());
    Int64: i64 = |value| Value::Integer(value.into());
    Fp16: half::f16 = |value| Value::Single(value.to_f32());
    Bf16: half::bf16 = |value| Value::Single(value.to_f32());
    Fp32: f32 = Value::Single;
    Fp64: f64 = Value::Double;
}

fn slice<T: Element>(tensor: &Tensor) -> Result<&[T]> {
    Ok(tensor.as_slice::<T>()?)
}
