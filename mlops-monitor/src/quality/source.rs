//! The values of one column, in a table or in a tensor.

use mlops_core::{DType, Tensor};

use super::value::Cell;
use crate::numbers::{Numbers, visit_numbers};
use crate::{TableColumn, ValueKind, Values};

/// The values of one column, wherever they are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source<'a> {
    Column(&'a TableColumn),
    /// Of rows of `width` elements, the one at `offset`. An empty element of a BYTES tensor is a missing value.
    Elements {
        tensor: &'a Tensor,
        offset: usize,
        width: usize,
    },
}

impl<'a> Source<'a> {
    /// Shows every value with its row, counted from zero; `None` is a missing one.
    pub(super) fn for_each(self, mut see: impl FnMut(usize, Option<Cell<'a>>)) {
        match self {
            Self::Column(column) => match column.values() {
                Values::Numbers(numbers) => {
                    let kind = column.kind();
                    for (row, number) in numbers.iter().enumerate() {
                        see(row, present(*number, kind));
                    }
                }
                Values::Words(words) => {
                    for (row, word) in words.iter().enumerate() {
                        see(row, word.map(Cell::Text));
                    }
                }
            },
            Self::Elements { tensor, offset, width } => {
                let width = width.max(1);
                if let Ok(strings) = tensor.byte_strings() {
                    for (row, bytes) in strings.skip(offset).step_by(width).enumerate() {
                        see(row, (!bytes.is_empty()).then(|| Cell::of_bytes(bytes)));
                    }
                } else {
                    visit_numbers(tensor, Elements { offset, width, kind: kind_of(tensor.dtype()), see });
                }
            }
        }
    }

    /// All values, in order.
    pub(super) fn cells(self) -> Vec<Option<Cell<'a>>> {
        let mut cells = Vec::new();
        self.for_each(|_, cell| cells.push(cell));
        cells
    }
}

/// What the values of a tensor are.
pub(super) fn kind_of(dtype: DType) -> ValueKind {
    match dtype {
        DType::Bool => ValueKind::Boolean,
        DType::Fp16 | DType::Bf16 | DType::Fp32 | DType::Fp64 => ValueKind::Float,
        DType::Bytes => ValueKind::Text,
        _ => ValueKind::Integer,
    }
}

fn present<'a>(number: f64, kind: ValueKind) -> Option<Cell<'a>> {
    (!number.is_nan()).then_some(Cell::Number(number, kind))
}

struct Elements<F> {
    offset: usize,
    width: usize,
    kind: ValueKind,
    see: F,
}

impl<'a, F: FnMut(usize, Option<Cell<'a>>)> Numbers for Elements<F> {
    type Output = ();

    fn visit<T: Copy>(mut self, values: &[T], to_f64: impl Fn(T) -> f64) {
        let column = values.get(self.offset..).unwrap_or_default().iter().step_by(self.width);
        for (row, value) in column.enumerate() {
            (self.see)(row, present(to_f64(*value), self.kind));
        }
    }
}
