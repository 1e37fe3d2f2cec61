//! `LayerNormalization` ([Ba, Kiros and Hinton, 2016](https://arxiv.org/abs/1607.06450)) and `RMSNormalization`
//! ([Zhang and Sennrich, 2019](https://arxiv.org/abs/1910.07467)): each row by its own statistics.

use mlops_core::{Error, Result};

use crate::engine::onnx::ops::floats::{are_half, from_doubles, to_doubles, widened, wrong_type};
use crate::engine::onnx::ops::support::{axis, broadcast, expanded, product, zip_in_place};
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source};
use crate::engine::onnx::tensor::{Data, HostTensor, Scalar, Shape};
use crate::engine::onnx::value::{Inputs, Value};
use crate::kernels::normalize::{layer_norm_rows, rms_norm_rows};
use crate::kernels::parallel::Threads;

#[derive(Debug)]
struct RowNormalization {
    /// The first of the axes that make up a row.
    axis: i64,
    epsilon: f32,
    /// Whether the mean is taken off.
    centred: bool,
    /// Whether statistics are asked for.
    statistics: bool,
}

pub(super) fn layer(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    build(source, true)
}

pub(super) fn root_mean_square(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    build(source, false)
}

fn build(source: &Source<'_>, centred: bool) -> Result<Box<dyn Operator>> {
    Ok(Box::new(RowNormalization {
        axis: source.node.attributes.int("axis", -1)?,
        epsilon: source.node.attributes.float("epsilon", 1e-5)?,
        centred,
        statistics: source.wants(1) || source.wants(2),
    }))
}

/// Elements below which threads cost more than they save.
pub(super) const PARALLEL_ELEMENTS: usize = 1 << 16;

impl Operator for RowNormalization {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        if are_half(inputs, 0)? {
            return widened(inputs, context, 1, |inputs, context| self.run(inputs, context));
        }
        let (x, gamma) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let beta = inputs.optional(2)?;
        let first = axis(self.axis, x.rank())?;
        let row_shape = &x.shape()[first..];
        let columns = product(row_shape);
        let normalised = match x.data() {
            Data::F32(elements) => {
                let mut out = context.memory.floats(elements.len());
                let direct =
                    (fitted::<f32>(gamma, row_shape)?, beta.map(|beta| fitted(beta, row_shape)).transpose()?);
                if let (Some(gamma), None | Some(Some(_))) = &direct {
                    let beta = direct.1.as_ref().and_then(|beta| beta.as_deref());
                    self.run_single(elements, columns, gamma, beta, &mut out, context.threads);
                    HostTensor::new(x.shape(), out)?
                } else {
                    self.run_single(elements, columns, &vec![1.0; columns], None, &mut out, context.threads);
                    scaled_and_shifted::<f32>(x.shape(), &mut out, gamma, beta, |a, b| a * b, |a, b| a + b)?;
                    HostTensor::new(x.shape(), out)?
                }
            }
            Data::F64(elements) => {
                let mut out = elements.to_vec();
                for row in out.chunks_exact_mut(columns.max(1)) {
                    let (mean, inverse) = statistics(row, self.epsilon, self.centred);
                    row.iter_mut().for_each(|value| *value = (*value - mean) * inverse);
                }
                scaled_and_shifted::<f64>(x.shape(), &mut out, gamma, beta, |a, b| a * b, |a, b| a + b)?;
                HostTensor::new(x.shape(), out)?
            }
            _ => return Err(wrong_type(x)),
        };
        let mut outputs = Outputs::from_elem(Value::from(normalised), 1);
        if self.statistics {
            let mut shape = Shape::from_slice(&x.shape()[..first]);
            shape.extend(row_shape.iter().map(|_| 1));
            let doubles = to_doubles(x)?;
            let rows = doubles.chunks_exact(columns.max(1));
            let (means, inverses): (Vec<f64>, Vec<f64>) =
                rows.map(|row| statistics(row, self.epsilon, self.centred)).unzip();
            if self.centred {
                outputs.push(from_doubles(&shape, means, x.dtype())?.into());
            }
            outputs.push(from_doubles(&shape, inverses, x.dtype())?.into());
        }
        Ok(outputs)
    }
}

impl RowNormalization {
    fn run_single(
        &self,
        x: &[f32],
        columns: usize,
        gamma: &[f32],
        beta: Option<&[f32]>,
        out: &mut [f32],
        threads: &Threads,
    ) {
        for_each_rows(out, columns, threads, |first, out| {
            let x = &x[first..][..out.len()];
            if self.centred {
                layer_norm_rows(x, columns, gamma, beta, self.epsilon, out);
                return;
            }
            rms_norm_rows(x, columns, gamma, self.epsilon, out);
            if let Some(beta) = beta {
                for row in out.chunks_exact_mut(columns) {
                    row.iter_mut().zip(beta).for_each(|(value, beta)| *value += beta);
                }
            }
        });
    }
}

/// Calls `task` with several rows of the output and the place of their first element, in parallel when they are many.
pub(super) fn for_each_rows(
    out: &mut [f32],
    columns: usize,
    threads: &Threads,
    task: impl Fn(usize, &mut [f32]) + Sync,
) {
    if out.is_empty() || columns == 0 {
        return;
    }
    if threads.count() == 1 || out.len() < PARALLEL_ELEMENTS {
        return task(0, out);
    }
    let chunk = (out.len() / columns).div_ceil(2 * threads.count()) * columns;
    threads.for_each_chunk_mut(out, chunk, |index, out| task(index * chunk, out));
}

/// The mean (0 if it is not taken off) and the reciprocal of the deviation of a row.
pub(super) fn statistics(row: &[f64], epsilon: f32, centred: bool) -> (f64, f64) {
    let count = row.len().max(1) as f64;
    let mean = if centred { row.iter().sum::<f64>() / count } else { 0.0 };
    let variance = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count;
    (mean, (variance + f64::from(epsilon)).sqrt().recip())
}

/// The elements of gamma or beta as one row; `None` if rows differ in them.
fn fitted<'a, T: Scalar>(tensor: &'a HostTensor, row: &[usize]) -> Result<Option<std::borrow::Cow<'a, [T]>>> {
    let elements = tensor.elements::<T>()?;
    if elements.len() == product(row) && tensor.shape().ends_with(row) {
        return Ok(Some(elements.into()));
    }
    let leading = tensor.rank().saturating_sub(row.len());
    let (outer, own) = tensor.shape().split_at(leading);
    if outer.iter().any(|&length| length != 1) || broadcast([own, row])?.as_slice() != row {
        return Ok(None);
    }
    Ok(Some(expanded(row, own, elements)?.into()))
}

/// Multiplies by gamma and adds beta, whatever of the shape they are broadcast over.
fn scaled_and_shifted<T: Scalar>(
    shape: &[usize],
    out: &mut [T],
    gamma: &HostTensor,
    beta: Option<&HostTensor>,
    times: impl Fn(&T, &T) -> T,
    plus: impl Fn(&T, &T) -> T,
) -> Result<()> {
    let check = |tensor: &HostTensor| {
        if broadcast([tensor.shape(), shape])?.as_slice() == shape {
            return Ok(());
        }
        Err(Error::engine(format!("a factor of shape {:?} cannot be broadcast to {shape:?}", tensor.shape())))
    };
    check(gamma)?;
    zip_in_place(shape, out, (gamma.shape(), gamma.elements::<T>()?), times);
    if let Some(beta) = beta {
        check(beta)?;
        zip_in_place(shape, out, (beta.shape(), beta.elements::<T>()?), plus);
    }
    Ok(())
}
