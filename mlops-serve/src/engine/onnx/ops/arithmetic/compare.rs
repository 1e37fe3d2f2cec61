//! Comparisons, and logic of truth values.

use mlops_core::{DType, Error, Result};

use super::Alignment;
use crate::engine::onnx::memory::Memory;
use crate::engine::onnx::ops::number::{Number, for_number_type};
use crate::engine::onnx::ops::support::zip_in;
use crate::engine::onnx::ops::{Context, Inputs, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{HostTensor, Scalar, Shape};

macro_rules! builders {
    ($($name:ident $relation:ident)*) => {
        $(pub(super) fn $name(source: &Source<'_>) -> Result<Box<dyn Operator>> {
            Ok(Box::new(Compare { relation: Relation::$relation, alignment: Alignment::of(source)? }))
        })*
    };
}

builders! {
    equal Equal
    greater Greater
    greater_or_equal GreaterOrEqual
    less Less
    less_or_equal LessOrEqual
    and And
    or Or
    xor Xor
}

#[derive(Debug)]
struct Compare {
    relation: Relation,
    alignment: Alignment,
}

#[derive(Debug, Clone, Copy)]
enum Relation {
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    And,
    Or,
    Xor,
}

impl Operator for Compare {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        self.alignment.run(inputs, |inputs, shape| {
            compare(context.memory, self.relation, shape, inputs.tensor(0)?, inputs.tensor(1)?)
        })
    }
}

fn compare(
    memory: &mut Memory,
    relation: Relation,
    shape: Shape,
    a: &HostTensor,
    b: &HostTensor,
) -> Result<HostTensor> {
    let dtype = a.dtype();
    let output = match (relation, dtype) {
        (Relation::Equal, DType::Bool) => pairs::<bool>(memory, &shape, a, b, |a, b| a == b)?,
        (Relation::Equal, DType::Bytes) => pairs::<String>(memory, &shape, a, b, |a, b| a == b)?,
        (Relation::And, _) => pairs::<bool>(memory, &shape, a, b, |&a, &b| a & b)?,
        (Relation::Or, _) => pairs::<bool>(memory, &shape, a, b, |&a, &b| a | b)?,
        (Relation::Xor, _) => pairs::<bool>(memory, &shape, a, b, |&a, &b| a ^ b)?,
        _ => for_number_type!(
            dtype,
            T => ordered::<T>(memory, relation, &shape, a, b)?,
            else return Err(Error::engine(format!("numbers are needed, not {dtype}")))
        ),
    };
    HostTensor::new(shape, output)
}

fn ordered<T: Number>(
    memory: &mut Memory,
    relation: Relation,
    shape: &[usize],
    a: &HostTensor,
    b: &HostTensor,
) -> Result<Vec<bool>> {
    match relation {
        Relation::Greater => pairs::<T>(memory, shape, a, b, |a, b| a > b),
        Relation::GreaterOrEqual => pairs::<T>(memory, shape, a, b, |a, b| a >= b),
        Relation::Less => pairs::<T>(memory, shape, a, b, |a, b| a < b),
        Relation::LessOrEqual => pairs::<T>(memory, shape, a, b, |a, b| a <= b),
        _ => pairs::<T>(memory, shape, a, b, |a, b| a == b),
    }
}

fn pairs<T: Scalar>(
    memory: &mut Memory,
    shape: &[usize],
    a: &HostTensor,
    b: &HostTensor,
    relation: impl Fn(&T, &T) -> bool,
) -> Result<Vec<bool>> {
    zip_in(memory, shape, (a.shape(), a.elements()?), (b.shape(), b.elements()?), relation)
}

pub(super) fn not(_: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Not))
}

#[derive(Debug)]
struct Not;

impl Operator for Not {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let tensor = inputs.take(0)?;
        let shape = Shape::from_slice(tensor.shape());
        let mut elements = tensor.into_elements::<bool>()?;
        elements.iter_mut().for_each(|element| *element = !*element);
        one(HostTensor::new(shape, elements)?)
    }
}
