//! Matrix products of quantised tensors.

use std::borrow::Cow;

use mlops_core::{DType, Error, Result};

use super::dynamic;
use super::layout::{columns, rows as laid_rows, transposed};
use super::parameters::{Parameters, Stored, for_stored_type, integers, reals, small_integers};
use crate::engine::onnx::ops::support::{broadcast, product as count_of, repeated, zip};
use crate::engine::onnx::ops::{Context, Inputs, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{Data, HostTensor, Shape};
use crate::kernels::integer::{padded, product};
use crate::kernels::parallel::Threads;

pub(super) fn mat_mul_integer(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(MatMulInteger { right: Right::prepare(source, 1, 3)? }))
}

pub(super) fn q_linear_mat_mul(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(QLinearMatMul { right: Right::prepare(source, 3, 5)? }))
}

pub(super) fn mat_mul_integer_to_float(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(ToFloat { right: Right::prepare(source, 1, 5)?, dynamic: false }))
}

pub(super) fn dynamic_quantize_mat_mul(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(ToFloat { right: Right::prepare(source, 1, 3)?, dynamic: true }))
}

pub(super) fn q_gemm(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    Ok(Box::new(QGemm {
        transpose_a: attributes.flag("transA", false)?,
        transpose_b: attributes.flag("transB", false)?,
        alpha: attributes.float("alpha", 1.0)?,
    }))
}

/// The right matrices of a product, column after column.
#[derive(Debug, Clone)]
struct Columns {
    /// As the tensor lies: `[.., k, n]`.
    shape: Shape,
    elements: Vec<i16>,
}

impl Columns {
    fn new(tensor: &HostTensor, zero: Option<&HostTensor>) -> Result<Self> {
        let elements = small_integers(tensor)?;
        let zeros = zero_points(zero)?;
        let (batches, rows, width) = matrices(tensor.shape(), Side::Right)?;
        let size = rows.saturating_mul(width);
        let mut laid = Vec::new();
        if size > 0 {
            for (batch, matrix) in elements.chunks_exact(size).enumerate() {
                let own = match zeros.len() {
                    1 => &zeros[..],
                    count if count == width => &zeros[..],
                    count if count == count_of(&batches).saturating_mul(width) => {
                        &zeros[batch * width..(batch + 1) * width]
                    }
                    count => {
                        return Err(Error::engine(format!(
                            "{count} zero points are given for {width} columns"
                        )));
                    }
                };
                columns(matrix, rows, width, own, &mut laid)?;
            }
        }
        Ok(Self { shape: Shape::from_slice(tensor.shape()), elements: laid })
    }
}

/// The zero points of 8-bit integers; 0 when there are none.
fn zero_points(zero: Option<&HostTensor>) -> Result<Vec<i16>> {
    match zero {
        None => Ok(vec![0]),
        Some(zero) => small_integers(zero),
    }
}

/// The right side of a product, prepared at load if it is constant.
#[derive(Debug)]
struct Right {
    index: usize,
    zero: usize,
    prepared: Option<Columns>,
}

impl Right {
    fn prepare(source: &Source<'_>, index: usize, zero: usize) -> Result<Self> {
        let zero_is_known = source.node.input(zero).is_none() || source.constant(zero).is_some();
        let prepared = match source.constant(index) {
            Some(tensor) if zero_is_known => Some(Columns::new(tensor, source.constant(zero))?),
            _ => None,
        };
        Ok(Self { index, zero, prepared })
    }

    fn get(&self, inputs: &Inputs<'_>) -> Result<Cow<'_, Columns>> {
        match &self.prepared {
            Some(prepared) => Ok(Cow::Borrowed(prepared)),
            None => Columns::new(inputs.tensor(self.index)?, inputs.optional(self.zero)?).map(Cow::Owned),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// A shape as matrices: the dimensions before them, rows and columns. A vector is a row on the left, a column on the
/// right.
fn matrices(shape: &[usize], side: Side) -> Result<(Shape, usize, usize)> {
    match shape {
        [] => Err(Error::engine("a number is no matrix")),
        &[length] if side == Side::Left => Ok((Shape::new(), 1, length)),
        &[length] => Ok((Shape::new(), length, 1)),
        [batches @ .., rows, columns] => Ok((Shape::from_slice(batches), *rows, *columns)),
    }
}

/// The most elements of a product of matrices without elements.
const MOST_OF_NOTHING: usize = 1 << 24;

/// The sums of a product, with its rows and columns.
struct Sums {
    shape: Shape,
    rows: usize,
    columns: usize,
    elements: Vec<i32>,
}

impl Sums {
    /// `a` is `[.., m, k]` with one zero point, or one for each row (of each matrix); batches broadcast.
    fn new(a: Vec<i16>, a_shape: &[usize], a_zero: &[i16], b: &Columns, threads: &Threads) -> Result<Self> {
        let (a_batches, rows, depth) = matrices(a_shape, Side::Left)?;
        let (b_batches, b_depth, columns) = matrices(&b.shape, Side::Right)?;
        if depth != b_depth {
            let b_shape = &b.shape;
            return Err(Error::engine(format!(
                "{a_shape:?} and {b_shape:?} cannot be multiplied as matrices"
            )));
        }
        if a_zero.len() != 1
            && a_zero.len() != rows
            && a_zero.len() != count_of(&a_batches).saturating_mul(rows)
        {
            let count = a_zero.len();
            return Err(Error::engine(format!("{count} zero points are given for {rows} rows")));
        }
        let a = laid_rows(a, depth, a_zero)?;
        let stride = padded(depth);
        let batches = broadcast([&*a_batches, &*b_batches])?;
        let mut shape = batches.clone();
        if a_shape.len() > 1 {
            shape.push(rows);
        }
        if b.shape.len() > 1 {
            shape.push(columns);
        }
        let size = rows.saturating_mul(columns);
        let count = crate::engine::onnx::tensor::element_count(&shape)?;
        if depth == 0 && count > MOST_OF_NOTHING {
            return Err(Error::engine(format!("{count} sums of no products are asked for")));
        }
        let mut elements = repeated(0_i32, count)?;
        if count > 0 {
            let numbers = |batches: &[usize]| (0..count_of(batches)).collect::<Vec<_>>();
            let (a_numbers, b_numbers) = (numbers(&a_batches), numbers(&b_batches));
            let pairs = zip(&batches, (&*a_batches, &a_numbers), (&*b_batches, &b_numbers), |&a, &b| (a, b))?;
            for (out, (i, j)) in elements.chunks_exact_mut(size).zip(pairs) {
                let a = &a[i * rows * stride..(i + 1) * rows * stride];
                let b = &b.elements[j * columns * stride..(j + 1) * columns * stride];
                product(a, b, stride, out, columns, threads);
            }
        }
        Ok(Self { shape, rows, columns, elements })
    }

    /// The sums as real numbers: each multiplied with the scale of its row and that of its column.
    fn scaled(&self, row_scales: &[f32], column_scales: &[f32]) -> Result<Vec<f32>> {
        let rows = self.elements.len() / self.columns.max(1);
        let fits = |scales: &[f32], length: usize| scales.len() == 1 || scales.len() == length;
        let per_batch = |scales: &[f32]| self.rows > 0 && scales.len() == rows;
        if !(fits(row_scales, self.rows) || per_batch(row_scales)) || !fits(column_scales, self.columns) {
            let (given, expected) = ([row_scales.len(), column_scales.len()], [self.rows, self.columns]);
            return Err(Error::engine(format!(
                "{given:?} scales are given for {expected:?} rows and columns"
            )));
        }
        let mut output = Vec::with_capacity(self.elements.len());
        let mut row_scales = row_scales.iter().cycle();
        for row in self.elements.chunks_exact(self.columns.max(1)) {
            let row_scale = row_scales.next().copied().unwrap_or(1.0);
            match column_scales {
                [scale] => output.extend(row.iter().map(|&sum| sum as f32 * (row_scale * scale))),
                scales => {
                    let pairs = row.iter().zip(scales);
                    output.extend(pairs.map(|(&sum, scale)| sum as f32 * (row_scale * scale)));
                }
            }
        }
        Ok(output)
    }

    /// Adds a bias to each row.
    fn with_bias(&self, mut values: Vec<f32>, bias: Option<&HostTensor>) -> Result<Vec<f32>> {
        let Some(bias) = bias else { return Ok(values) };
        let bias = reals(bias)?;
        if bias.len() != self.columns {
            let (bias, columns) = (bias.len(), self.columns);
            return Err(Error::engine(format!("the bias has {bias} elements for {columns} columns")));
        }
        for row in values.chunks_exact_mut(self.columns.max(1)) {
            row.iter_mut().zip(&bias).for_each(|(value, bias)| *value += bias);
        }
        Ok(values)
    }
}

/// Real numbers that are multiples of the scale already, as integers of a type.
fn rounded(multiples: &[f32], zero: i32, dtype: DType) -> Result<Data> {
    fn all<T: Stored>(multiples: &[f32], zero: f32) -> Result<Data> {
        Ok(T::wrap(multiples.iter().map(|&value| T::nearest(value, zero)).collect::<Vec<_>>().into()))
    }
    for_stored_type!(dtype, all(multiples, zero as f32))
}

#[derive(Debug)]
struct MatMulInteger {
    right: Right,
}

impl Operator for MatMulInteger {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let a = inputs.tensor(0)?;
        let zeros = zero_points(inputs.optional(2)?)?;
        let right = self.right.get(inputs)?;
        let sums = Sums::new(small_integers(a)?, a.shape(), &zeros, &right, context.threads)?;
        one(HostTensor::new(sums.shape, sums.elements)?)
    }
}

#[derive(Debug)]
struct QLinearMatMul {
    right: Right,
}

impl Operator for QLinearMatMul {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let a = inputs.tensor(0)?;
        let zeros = zero_points(inputs.optional(2)?)?;
        let right = self.right.get(inputs)?;
        let sums = Sums::new(small_integers(a)?, a.shape(), &zeros, &right, context.threads)?;
        let output = Parameters::of(inputs, 6, 7)?;
        let column_scales: Vec<f32> =
            reals(inputs.tensor(4)?)?.into_iter().map(|scale| scale / output.scale).collect();
        let multiples = sums.scaled(&reals(inputs.tensor(1)?)?, &column_scales)?;
        let dtype = inputs.tensor(7)?.dtype();
        one(HostTensor::from_data(sums.shape, rounded(&multiples, output.zero, dtype)?)?)
    }
}

/// A product of integers that is given as real numbers.
///
/// Inputs: the left matrices, the right ones, then the scale of each; zero points and bias follow. When the left ones
/// are real numbers, which are quantised here, they have no scale and zero point of their own.
#[derive(Debug)]
struct ToFloat {
    right: Right,
    /// Whether the left matrices are real numbers.
    dynamic: bool,
}

impl Operator for ToFloat {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let a = inputs.tensor(0)?;
        let right = self.right.get(inputs)?;
        let (sums, row_scales, column_scales, bias) = if self.dynamic {
            let (data, parameters) = dynamic::quantized(a.elements::<f32>()?)?;
            let stored = small_integers(&HostTensor::from_data(a.shape().into(), data)?)?;
            let sums = Sums::new(stored, a.shape(), &[parameters.zero as i16], &right, context.threads)?;
            (sums, vec![parameters.scale], reals(inputs.tensor(2)?)?, inputs.optional(4)?)
        } else {
            let zeros = zero_points(inputs.optional(4)?)?;
            let sums = Sums::new(small_integers(a)?, a.shape(), &zeros, &right, context.threads)?;
            (sums, reals(inputs.tensor(2)?)?, reals(inputs.tensor(3)?)?, inputs.optional(6)?)
        };
        let values = sums.with_bias(sums.scaled(&row_scales, &column_scales)?, bias)?;
        one(HostTensor::new(sums.shape, values)?)
    }
}

/// `alpha a b + c` of quantised matrices; `c` are integers of the product's own scale. The result is quantised when
/// it has a scale, else real.
#[derive(Debug)]
struct QGemm {
    transpose_a: bool,
    transpose_b: bool,
    alpha: f32,
}

impl Operator for QGemm {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let (a, b) = (inputs.tensor(0)?, inputs.tensor(3)?);
        let (&[a_rows, a_columns], &[b_rows, b_columns]) = (a.shape(), b.shape()) else {
            return Err(Error::engine("two matrices are needed"));
        };
        let (a, a_shape) = if self.transpose_a {
            (transposed(&small_integers(a)?, a_rows, a_columns), [a_columns, a_rows])
        } else {
            (small_integers(a)?, [a_rows, a_columns])
        };
        let b_zeros = zero_points(inputs.optional(5)?)?;
        let right = if self.transpose_b {
            if b_zeros.len() != 1 && b_zeros.len() != b_rows {
                let count = b_zeros.len();
                return Err(Error::engine(format!("{count} zero points are given for {b_rows} columns")));
            }
            let elements = laid_rows(small_integers(b)?, b_columns, &b_zeros)?;
            Columns { shape: Shape::from_slice(&[b_columns, b_rows]), elements }
        } else {
            Columns::new(b, inputs.optional(5)?)?
        };
        let mut sums = Sums::new(a, &a_shape, &zero_points(inputs.optional(2)?)?, &right, context.threads)?;
        if let Some(c) = inputs.optional(6)? {
            let bias = integers(c)?;
            if broadcast([&*sums.shape, c.shape()])? != sums.shape {
                let (c, shape) = (c.shape(), &sums.shape);
                return Err(Error::engine(format!("the bias {c:?} cannot be broadcast to {shape:?}")));
            }
            let (own, shape) = (std::mem::take(&mut sums.elements), sums.shape.clone());
            sums.elements =
                zip(&shape, (&*shape, &own), (c.shape(), &bias), |&sum, &bias| sum.wrapping_add(bias))?;
        }
        let mut row_scales = reals(inputs.tensor(1)?)?;
        row_scales.iter_mut().for_each(|scale| *scale *= self.alpha);
        let mut column_scales = reals(inputs.tensor(4)?)?;
        if !inputs.has(7) {
            let values = sums.scaled(&row_scales, &column_scales)?;
            return one(HostTensor::new(sums.shape, values)?);
        }
        let output = Parameters::of(inputs, 7, 8)?;
        column_scales.iter_mut().for_each(|scale| *scale /= output.scale);
        let multiples = sums.scaled(&row_scales, &column_scales)?;
        let dtype = match inputs.optional(8)? {
            Some(zero) => zero.dtype(),
            None => inputs.tensor(0)?.dtype(),
        };
        one(HostTensor::from_data(sums.shape, rounded(&multiples, output.zero, dtype)?)?)
    }
}
