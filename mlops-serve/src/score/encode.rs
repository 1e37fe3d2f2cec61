//! From rows to tensors.

use half::{bf16, f16};
use mlops_core::{DType, Dimension, Error, Result, Tensor, TensorSpec, Tensors};

use super::mapping::{Input, Mapping, elements};
use super::record::{Content, Record};
use super::value::Value;

/// Rows as the inputs of one call.
#[derive(Debug)]
pub(super) struct Group {
    /// The rows, by their index among the records.
    pub(super) rows: Vec<usize>,
    pub(super) inputs: Tensors,
}

/// A row that is not scored.
#[derive(Debug)]
pub(super) struct Fault {
    /// Its index among the records.
    pub(super) row: usize,
    pub(super) reason: String,
}

/// Makes inputs of the records. Rows whose free dimensions differ in length go into groups of their own; rows
/// that are no inputs at all are faults.
pub(super) fn encode(mapping: &Mapping, records: &[Record]) -> Result<(Vec<Group>, Vec<Fault>)> {
    let mut pending: Vec<Pending> = Vec::new();
    let mut faults = Vec::new();
    let mut scratch = blank(mapping);
    for (row, record) in records.iter().enumerate() {
        match shapes(mapping, record, &mut scratch) {
            Ok(shapes) => {
                let index = pending.iter().position(|group| group.shapes == shapes).unwrap_or_else(|| {
                    pending.push(Pending { rows: Vec::new(), shapes, elements: blank(mapping) });
                    pending.len() - 1
                });
                let group = &mut pending[index];
                group.rows.push(row);
                for (all, own) in group.elements.iter_mut().zip(&mut scratch) {
                    all.append(own);
                }
            }
            Err(reason) => {
                scratch.iter_mut().for_each(Elements::clear);
                faults.push(Fault { row, reason });
            }
        }
    }
    let groups = pending.into_iter().map(|group| group.finish(&mapping.inputs)).collect::<Result<_>>()?;
    Ok((groups, faults))
}

/// A group that is not finished.
struct Pending {
    rows: Vec<usize>,
    shapes: Vec<Vec<usize>>,
    elements: Vec<Elements>,
}

impl Pending {
    fn finish(self, inputs: &[Input]) -> Result<Group> {
        let Self { rows, shapes, elements } = self;
        let mut tensors = Tensors::new();
        for ((input, shape), elements) in inputs.iter().zip(shapes).zip(elements) {
            let name = input.spec.name();
            let shape: Vec<_> = std::iter::once(rows.len()).chain(shape).collect();
            let tensor = elements.into_tensor(&shape).map_err(|error| Error::from(error.of(name)))?;
            tensors.insert(name, tensor);
        }
        Ok(Group { rows, inputs: tensors })
    }
}

fn blank(mapping: &Mapping) -> Vec<Elements> {
    mapping.inputs.iter().map(|input| Elements::new(input.spec.dtype())).collect()
}

/// Appends the elements of a row, and gives the shape of the row in each input.
fn shapes(mapping: &Mapping, record: &Record, scratch: &mut [Elements]) -> Result<Vec<Vec<usize>>, String> {
    if let Content::Unreadable { reason, .. } = &record.content {
        return Err(reason.clone());
    }
    let shape = |(input, elements): (&Input, &mut Elements)| {
        for column in &input.columns {
            let (name, fill) = (&mapping.wanted[*column], &mapping.fill[*column]);
            push(elements, &input.spec, record.value(*column), fill)
                .map_err(|reason| format!("column `{name}`: {reason}"))?;
        }
        row_shape(&input.spec, elements.len())
    };
    mapping.inputs.iter().zip(scratch).map(shape).collect()
}

/// Appends a value, or the elements of a list, however nested.
fn push(
    elements: &mut Elements,
    spec: &TensorSpec,
    value: Value<'_>,
    fill: &serde_json::Value,
) -> Result<(), String> {
    let is_text = spec.dtype() == DType::Bytes;
    match value {
        Value::List(values) => values.into_iter().try_for_each(|value| push(elements, spec, value, fill)),
        missing if missing.is_missing() && !(is_text && matches!(missing, Value::Field(_))) => match fill {
            serde_json::Value::Null => {
                Err("there is no value; give a value for nulls to score such rows".to_owned())
            }
            fill => elements.push(&Value::from(fill), spec),
        },
        value => elements.push(&value, spec),
    }
}

/// The shape of a row that has that many elements.
fn row_shape(spec: &TensorSpec, count: usize) -> Result<Vec<usize>, String> {
    let lengths = spec.shape().iter().skip(1);
    let wrong = |expected: String| {
        format!("input `{}` takes {expected} values per row, but the row has {count}", spec.name())
    };
    match elements(spec) {
        Some(expected) if expected != count => Err(wrong(expected.to_string())),
        Some(_) => Ok(lengths.map(|dimension| fixed(*dimension).unwrap_or_default()).collect()),
        None => {
            let step: usize = lengths.clone().filter_map(|dimension| fixed(*dimension)).product();
            if !count.is_multiple_of(step) {
                return Err(wrong(format!("a multiple of {step}")));
            }
            let free = count.checked_div(step).unwrap_or(0);
            Ok(lengths.map(|dimension| fixed(*dimension).unwrap_or(free)).collect())
        }
    }
}

fn fixed(dimension: Dimension) -> Option<usize> {
    match dimension {
        Dimension::Fixed(length) => Some(length),
        Dimension::Batch | Dimension::Free => None,
    }
}

macro_rules! elements {
    ($($dtype:ident: $element:ty = $read:expr, $finite:expr;)*) => {
        /// The elements of a tensor that grows.
        enum Elements {
            $($dtype(Vec<$element>),)*
            Bytes(Vec<Vec<u8>>),
        }

        impl Elements {
            fn new(dtype: DType) -> Self {
                match dtype {
                    $(DType::$dtype => Self::$dtype(Vec::new()),)*
                    DType::Bytes => Self::Bytes(Vec::new()),
                }
            }

            fn len(&self) -> usize {
                match self {
                    $(Self::$dtype(elements) => elements.len(),)*
                    Self::Bytes(elements) => elements.len(),
                }
            }

            fn clear(&mut self) {
                match self {
                    $(Self::$dtype(elements) => elements.clear(),)*
                    Self::Bytes(elements) => elements.clear(),
                }
            }

            /// Moves all of `other`, which is of the same type, to the end.
            fn append(&mut self, other: &mut Self) {
                match (self, other) {
                    $((Self::$dtype(elements), Self::$dtype(others)) => elements.append(others),)*
                    (Self::Bytes(elements), Self::Bytes(others)) => elements.append(others),
                    _ => {}
                }
            }

            /// Appends a value, or says why it is none of the type.
            fn push(&mut self, value: &Value<'_>, spec: &TensorSpec) -> Result<(), String> {
                let finite = match self {
                    $(Self::$dtype(elements) => {
                        let read: fn(&Value<'_>) -> Option<$element> = $read;
                        let finite: fn($element) -> bool = $finite;
                        read(value).map(|element| {
                            elements.push(element);
                            finite(element)
                        })
                    })*
                    Self::Bytes(elements) => match value {
                        Value::Field(text) | Value::Text(text) => {
                            elements.push(text.as_bytes().to_vec());
                            Some(true)
                        }
                        _ => None,
                    },
                };
                match finite {
                    None => Err(format!("{} is no {}", value.shown(), spec.dtype())),
                    Some(false) if spec.is_finite() => Err("NaN and infinities are forbidden".to_owned()),
                    Some(_) => Ok(()),
                }
            }

            fn into_tensor(self, shape: &[usize]) -> Result<Tensor, mlops_core::TensorError> {
                match self {
                    $(Self::$dtype(elements) => Tensor::from_vec(shape, elements),)*
                    Self::Bytes(elements) => Tensor::from_byte_strings(shape, elements),
                }
            }
        }
    };
}

elements! {
    Bool: bool = |value| value.boolean(), |_| true;
    Uint8: u8 = whole, |_| true;
    Uint16: u16 = whole, |_| true;
    Uint32: u32 = whole, |_| true;
    Uint64: u64 = whole, |_| true;
    Int8: i8 = whole, |_| true;
    Int16: i16 = whole, |_| true;
    Int32: i32 = whole, |_| true;
    Int64: i64 = whole, |_| true;
    Fp16: f16 = |value| narrow(value, f16::from_f32, f16::is_finite), f16::is_finite;
    Bf16: bf16 = |value| narrow(value, bf16::from_f32, bf16::is_finite), bf16::is_finite;
    Fp32: f32 = |value| value.single(), f32::is_finite;
    Fp64: f64 = |value| value.double(), f64::is_finite;
}

fn whole<T: TryFrom<i128>>(value: &Value<'_>) -> Option<T> {
    value.integer().and_then(|integer| T::try_from(integer).ok())
}

/// A number of 16 bits, unless it is too great for them.
fn narrow<T: Copy>(value: &Value<'_>, round: fn(f32) -> T, is_finite: fn(T) -> bool) -> Option<T> {
    let single = value.single()?;
    Some(round(single)).filter(|narrow| is_finite(*narrow) || !single.is_finite())
}
