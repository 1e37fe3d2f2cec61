//! The Reduce operators: which dimensions, and in which element type.

use half::{bf16, f16};
use mlops_core::{Error, Result};
use smallvec::SmallVec;

use super::fold::{Fold, reduced_floats, reduced_numbers};
use crate::engine::onnx::ops::number::{Half, round, widen};
use crate::engine::onnx::ops::support::axes;
use crate::engine::onnx::ops::{Context, Inputs, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{Data, HostTensor, Scalar, Shape, element_count};

macro_rules! builders {
    ($($name:ident $fold:ident)*) => {
        $(pub(super) fn $name(source: &Source<'_>) -> Result<Box<dyn Operator>> {
            build(source, Fold::$fold)
        })*
    };
}

builders! {
    l1 L1
    l2 L2
    log_sum LogSum
    log_sum_exp LogSumExp
    max Max
    mean Mean
    min Min
    prod Product
    sum Sum
    sum_square SumSquare
}

fn build(source: &Source<'_>, fold: Fold) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    Ok(Box::new(Reduce {
        fold,
        axes: attributes.ints("axes")?.cloned(),
        keep: attributes.flag("keepdims", true)?,
        none_means_none: attributes.flag("noop_with_empty_axes", false)?,
    }))
}

#[derive(Debug)]
struct Reduce {
    fold: Fold,
    /// From the attribute, in older versions; else they are input 1.
    axes: Option<Vec<i64>>,
    /// Whether reduced dimensions stay, with length 1.
    keep: bool,
    /// Whether no axes mean that nothing is reduced; else they mean that everything is.
    none_means_none: bool,
}

impl Operator for Reduce {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let given = match &self.axes {
            Some(axes) => axes.clone(),
            None => inputs.optional_i64s(1)?.unwrap_or_default(),
        };
        let tensor = inputs.tensor(0)?;
        let layout = Layout::new(tensor.shape(), &given, self.keep, self.none_means_none)?;
        let output = match tensor.data() {
            Data::F32(elements) => {
                f32::wrap(reduced_floats(self.fold, elements, &layout.groups, context).into())
            }
            Data::F16(elements) => self.half::<f16>(elements, &layout, context),
            Data::Bf16(elements) => self.half::<bf16>(elements, &layout, context),
            Data::F64(elements) => self.numbers(elements, &layout),
            Data::I64(elements) => self.numbers(elements, &layout),
            Data::I32(elements) => self.numbers(elements, &layout),
            Data::I16(elements) => self.numbers(elements, &layout),
            Data::I8(elements) => self.numbers(elements, &layout),
            Data::U64(elements) => self.numbers(elements, &layout),
            Data::U32(elements) => self.numbers(elements, &layout),
            Data::U16(elements) => self.numbers(elements, &layout),
            Data::U8(elements) => self.numbers(elements, &layout),
            Data::Bool(elements) if matches!(self.fold, Fold::Max | Fold::Min) => {
                let numbers: Vec<u8> = elements.iter().map(|&element| element.into()).collect();
                let extremes = reduced_numbers(self.fold, numbers, &layout.groups);
                // The extreme of nothing is the lowest or the highest number there is: `false` or `true`.
                bool::wrap(extremes.into_iter().map(|extreme| extreme != 0).collect::<Vec<_>>().into())
            }
            other => {
                let dtype = other.dtype();
                return Err(Error::engine(format!("numbers are needed, not {dtype}")));
            }
        };
        one(HostTensor::from_data(layout.shape, output)?)
    }
}

impl Reduce {
    fn numbers<T: super::fold::Accumulate>(&self, elements: &[T], layout: &Layout) -> Data {
        T::wrap(reduced_numbers(self.fold, elements.to_vec(), &layout.groups).into())
    }

    fn half<T: Half>(&self, elements: &[T], layout: &Layout, context: &mut Context<'_>) -> Data {
        T::wrap(round::<T>(&reduced_floats(self.fold, &widen(elements), &layout.groups, context)).into())
    }
}

/// A run of neighbouring dimensions that are all reduced or all kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) length: usize,
    pub(super) reduced: bool,
}

/// The most elements that a tensor without elements is reduced to.
const MOST_OF_NOTHING: usize = 1 << 24;

/// What a reduction does to a shape.
#[derive(Debug)]
struct Layout {
    /// Of the output.
    shape: Shape,
    /// Of the input, outermost first; reduced and kept ones alternate.
    groups: SmallVec<[Group; 4]>,
}

impl Layout {
    fn new(shape: &[usize], given: &[i64], keep: bool, none_means_none: bool) -> Result<Self> {
        let axes = axes(given, shape.len())?;
        let everything = axes.is_empty() && !none_means_none;
        let (mut output, mut groups) = (Shape::new(), SmallVec::<[Group; 4]>::new());
        for (axis, &length) in shape.iter().enumerate() {
            let reduced = everything || axes.contains(&axis);
            if !reduced {
                output.push(length);
            } else if keep {
                output.push(1);
            }
            match groups.last_mut() {
                _ if length == 1 => {}
                Some(last) if last.reduced == reduced => last.length = last.length.saturating_mul(length),
                _ => groups.push(Group { length, reduced }),
            }
        }
        let count = element_count(&output)?;
        if shape.contains(&0) {
            // What no elements are reduced to is as large as the shape says, which may be beyond all memory.
            if count > MOST_OF_NOTHING {
                return Err(Error::engine(format!("no elements are to be reduced to {count}")));
            }
            groups.clear();
            groups.push(Group { length: 0, reduced: true });
            groups.push(Group { length: count, reduced: false });
        }
        Ok(Self { shape: output, groups })
    }
}
