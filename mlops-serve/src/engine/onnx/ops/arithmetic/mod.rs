//! Arithmetic, comparison and logic, element by element, with broadcasting; casts.

mod binary;
mod bits;
mod cast;
mod clip;
mod compare;
mod dropout;
mod identity;
mod power;
mod select;
#[cfg(test)]
mod tests;
mod unary;
mod variadic;

pub(super) use cast::converted;
pub(super) use unary::error_function;
pub(super) use variadic::added;

use mlops_core::Result;

use super::{Entry, Inputs, Outputs, Source, onnx};
use crate::engine::onnx::tensor::{HostTensor, Shape};
use crate::engine::onnx::value::Value;

pub(super) const OPERATORS: &[Entry] = &[
    onnx("Abs", 1, unary::abs),
    onnx("Acos", 7, unary::acos),
    onnx("Acosh", 9, unary::acosh),
    onnx("Add", 1, binary::add),
    onnx("And", 1, compare::and),
    onnx("Asin", 7, unary::asin),
    onnx("Asinh", 9, unary::asinh),
    onnx("Atan", 7, unary::atan),
    onnx("Atanh", 9, unary::atanh),
    onnx("BitCast", 26, cast::bit_cast),
    onnx("BitShift", 11, bits::shift),
    onnx("BitwiseAnd", 18, bits::and),
    onnx("BitwiseNot", 18, bits::not),
    onnx("BitwiseOr", 18, bits::or),
    onnx("BitwiseXor", 18, bits::xor),
    onnx("Cast", 6, cast::cast),
    onnx("CastLike", 15, cast::cast_like),
    onnx("Ceil", 1, unary::ceil),
    onnx("Clip", 1, clip::clip),
    onnx("Cos", 7, unary::cos),
    onnx("Cosh", 9, unary::cosh),
    onnx("Div", 1, binary::div),
    onnx("Dropout", 1, dropout::dropout),
    onnx("Equal", 1, compare::equal),
    onnx("Erf", 9, unary::erf),
    onnx("Exp", 1, unary::exp),
    onnx("Floor", 1, unary::floor),
    onnx("Greater", 1, compare::greater),
    onnx("GreaterOrEqual", 12, compare::greater_or_equal),
    onnx("Identity", 1, identity::identity),
    onnx("IsInf", 10, unary::is_inf),
    onnx("IsNaN", 9, unary::is_nan),
    onnx("Less", 1, compare::less),
    onnx("LessOrEqual", 12, compare::less_or_equal),
    onnx("Log", 1, unary::log),
    onnx("Max", 1, variadic::max),
    onnx("Mean", 1, variadic::mean),
    onnx("Min", 1, variadic::min),
    onnx("Mod", 10, binary::modulo),
    onnx("Mul", 1, binary::mul),
    onnx("Neg", 1, unary::neg),
    onnx("Not", 1, compare::not),
    onnx("Or", 1, compare::or),
    onnx("Pow", 1, power::pow),
    onnx("Reciprocal", 1, unary::reciprocal),
    onnx("Round", 11, unary::round),
    onnx("Sign", 9, unary::sign),
    onnx("Sin", 7, unary::sin),
    onnx("Sinh", 9, unary::sinh),
    onnx("Sqrt", 1, unary::sqrt),
    onnx("Sub", 1, binary::sub),
    onnx("Sum", 1, variadic::sum),
    onnx("Tan", 7, unary::tan),
    onnx("Where", 9, select::select),
    onnx("Xor", 1, compare::xor),
];

/// How the operators of two inputs broadcast.
#[derive(Debug, Clone, Copy)]
enum Alignment {
    /// As NumPy does: at the last dimension.
    Last,
    /// Before version 7: the first dimension of the second input is this one of the first.
    At(i64),
}

impl Alignment {
    fn of(source: &Source<'_>) -> Result<Self> {
        if source.node.opset >= 7 {
            return Ok(Self::Last);
        }
        Ok(source.node.attributes.optional_int("axis")?.map_or(Self::Last, Self::At))
    }

    /// Gives the second input dimensions of length 1 at the end, so that aligned at the last they lie where they shall.
    fn apply(self, inputs: &mut Inputs<'_>) -> Result<Option<[Option<Value>; 2]>> {
        let Self::At(axis) = self else { return Ok(None) };
        let (a, b) = (inputs.take(0)?, inputs.take(1)?);
        let trailing = super::support::axis(axis, a.rank().max(1))
            .ok()
            .and_then(|axis| a.rank().checked_sub(axis + b.rank()))
            .unwrap_or(0);
        let mut shape = Shape::from_slice(b.shape());
        shape.extend(std::iter::repeat_n(1, trailing));
        Ok(Some([Some(Value::Tensor(a)), Some(Value::Tensor(b.reshaped(shape)?))]))
    }

    /// Runs an operator of two inputs on the aligned inputs.
    fn run(
        self,
        inputs: &mut Inputs<'_>,
        operator: impl FnOnce(&mut Inputs<'_>, Shape) -> Result<HostTensor>,
    ) -> Result<Outputs> {
        let aligned = self.apply(inputs)?;
        let call = |inputs: &mut Inputs<'_>| {
            let shape = super::support::broadcast([inputs.tensor(0)?.shape(), inputs.tensor(1)?.shape()])?;
            operator(inputs, shape)
        };
        super::one(match aligned {
            Some(mut values) => call(&mut Inputs::new(&mut values))?,
            None => call(inputs)?,
        })
    }
}
