//! `Gemm`: `alpha a b + beta c`, `a` and `b` maybe transposed, `c` broadcast to the product.

use mlops_core::{Error, Result};

use crate::engine::onnx::ops::floats::{are_half, constant_singles, widened, wrong_type};
use crate::engine::onnx::ops::linear::product::{Matrix, Multiply};
use crate::engine::onnx::ops::number::Number;
use crate::engine::onnx::ops::support::{broadcast, zip_in_place};
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{Data, HostTensor, Shape, element_count, for_numbers};
use crate::engine::onnx::value::Inputs;
use crate::kernels::epilogue::{Activation, Bias, Epilogue};
use crate::kernels::gemm::{MatrixRef, PackedB, gemm};

#[derive(Debug)]
struct Gemm {
    alpha: f32,
    beta: f32,
    transpose_a: bool,
    transpose_b: bool,
    /// `alpha b`, if `b` is a constant.
    packed: Option<PackedB>,
}

pub(super) fn build(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let alpha = attributes.float("alpha", 1.0)?;
    let transpose_b = attributes.flag("transB", false)?;
    let packed = source.constant(1).and_then(|constant| {
        let mut elements = constant_singles(Some(constant))?;
        let &[rows, columns] = constant.shape() else { return None };
        elements.iter_mut().for_each(|element| *element *= alpha);
        let b = MatrixRef::row_major(&elements, rows, columns);
        (rows * columns > 0).then(|| PackedB::pack(if transpose_b { b.transposed() } else { b }))
    });
    Ok(Box::new(Gemm {
        alpha,
        beta: attributes.float("beta", 1.0)?,
        transpose_a: attributes.flag("transA", false)?,
        transpose_b,
        packed,
    }))
}

impl Operator for Gemm {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        if are_half(inputs, 0)? {
            if self.packed.is_some() {
                inputs.take_value(1)?;
            }
            return widened(inputs, context, 1, |inputs, context| self.run(inputs, context));
        }
        let a = inputs.tensor(0)?;
        if let (Data::F32(elements), Some(packed)) = (a.data(), &self.packed) {
            return self.run_packed(packed, a, elements, inputs, context);
        }
        for_numbers!(a.data(), |elements| self.run_any(a, elements, inputs, context), _other => Err(wrong_type(a)))
    }
}

impl Gemm {
    /// Rows and columns of an operand.
    fn sides(tensor: &HostTensor, transpose: bool) -> Result<[usize; 2]> {
        match *tensor.shape() {
            [rows, columns] if transpose => Ok([columns, rows]),
            [rows, columns] => Ok([rows, columns]),
            _ => {
                Err(Error::engine(format!("a matrix is needed, not a tensor of shape {:?}", tensor.shape())))
            }
        }
    }

    fn run_packed(
        &self,
        packed: &PackedB,
        a: &HostTensor,
        elements: &[f32],
        inputs: &Inputs<'_>,
        context: &mut Context<'_>,
    ) -> Result<Outputs> {
        let [rows, depth] = Self::sides(a, self.transpose_a)?;
        let columns = packed.columns();
        check_depth(depth, packed.rows())?;
        let shape = Shape::from_slice(&[rows, columns]);
        let mut out = context.memory.floats(element_count(&shape)?);
        let mut epilogue = Epilogue { bias: Bias::None, residual: None, activation: Activation::None };
        let c = inputs.optional(2)?.filter(|_| self.beta != 0.0);
        let (scaled, repeated);
        if let Some(c) = c {
            let mut addend = c.elements::<f32>()?;
            if self.beta != 1.0 {
                scaled = addend.iter().map(|element| element * self.beta).collect::<Vec<f32>>();
                addend = &scaled;
            }
            match *c.shape() {
                [length] | [1, length] if length == columns => epilogue.bias = Bias::PerColumn(addend),
                [length, 1] if length == rows => epilogue.bias = Bias::PerRow(addend),
                [c_rows, c_columns] if [c_rows, c_columns] == [rows, columns] => {
                    epilogue.residual = Some(addend);
                }
                _ => {
                    check_addend(c, &shape)?;
                    repeated = vec![addend.first().copied().unwrap_or(0.0); columns];
                    epilogue.bias = Bias::PerColumn(&repeated);
                }
            }
        }
        if !out.is_empty() {
            let a = oriented(MatrixRef::row_major(elements, a.shape()[0], a.shape()[1]), self.transpose_a);
            let scratch = &mut context.memory.scratch;
            gemm(&mut out, columns, a, packed, &epilogue, scratch, context.threads);
        }
        one(HostTensor::new(shape, out)?)
    }

    fn run_any<T: Multiply>(
        &self,
        a: &HostTensor,
        elements: &[T],
        inputs: &Inputs<'_>,
        context: &mut Context<'_>,
    ) -> Result<Outputs> {
        let b = inputs.tensor(1)?;
        let [rows, depth] = Self::sides(a, self.transpose_a)?;
        let [b_depth, columns] = Self::sides(b, self.transpose_b)?;
        check_depth(depth, b_depth)?;
        let shape = Shape::from_slice(&[rows, columns]);
        let mut out = vec![T::ZERO; element_count(&shape)?];
        if !out.is_empty() && depth > 0 {
            let mut left = Matrix::row_major(elements, a.shape()[0], a.shape()[1]);
            let mut right = Matrix::row_major(b.elements::<T>()?, b.shape()[0], b.shape()[1]);
            if self.transpose_a {
                left = left.transposed();
            }
            if self.transpose_b {
                right = right.transposed();
            }
            T::multiply(&mut out, left, right, &mut context.memory.scratch, context.threads);
        }
        let scaled = |value: T, factor: f32| {
            if factor == 1.0 { value } else { T::from_f64(value.to_f64() * f64::from(factor)) }
        };
        if self.alpha != 1.0 {
            out.iter_mut().for_each(|value| *value = scaled(*value, self.alpha));
        }
        if let Some(c) = inputs.optional(2)?.filter(|_| self.beta != 0.0) {
            check_addend(c, &shape)?;
            let addend = (c.shape(), c.elements::<T>()?);
            zip_in_place(&shape, &mut out, addend, |&a, &c| Number::plus(a, scaled(c, self.beta)));
        }
        one(HostTensor::new(shape, out)?)
    }
}

fn oriented(matrix: MatrixRef<'_>, transpose: bool) -> MatrixRef<'_> {
    if transpose { matrix.transposed() } else { matrix }
}

fn check_depth(a: usize, b: usize) -> Result<()> {
    if a == b {
        return Ok(());
    }
    Err(Error::engine(format!("a matrix of {a} columns has no product with one of {b} rows")))
}

fn check_addend(c: &HostTensor, shape: &[usize]) -> Result<()> {
    if c.rank() <= 2 && broadcast([c.shape(), shape])?.as_slice() == shape {
        return Ok(());
    }
    Err(Error::engine(format!("a summand of shape {:?} cannot be broadcast to {shape:?}", c.shape())))
}
