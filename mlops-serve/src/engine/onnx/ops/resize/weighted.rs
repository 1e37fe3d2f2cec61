//! Resampling by weighted sums of neighbours, along one axis after the other.

use mlops_core::{DType, Error, Result};

use super::axis::Taps;
use crate::engine::onnx::ops::Context;
use crate::engine::onnx::ops::floats::{from_single, to_single};
use crate::engine::onnx::ops::number::Number;
use crate::engine::onnx::ops::support::{product, repeated, strides};
use crate::engine::onnx::tensor::{Data, HostTensor, Shape, element_count, for_numbers};
use crate::kernels::parallel::Threads;

/// Multiplications below which threads cost more than they save.
const PARALLEL_WORK: usize = 1 << 16;

/// Interpolates. Where `outside` holds for any axis, the output is `extrapolation`. Integers are truncated towards
/// zero and kept in their range, as onnxruntime does.
pub(super) fn resize(
    x: &HostTensor,
    shape: Shape,
    maps: &[Taps],
    outside: Option<&[Vec<bool>]>,
    extrapolation: f32,
    context: &mut Context<'_>,
) -> Result<HostTensor> {
    element_count(&shape)?;
    let out = match x.data() {
        Data::F32(elements) => {
            HostTensor::new(shape.clone(), interpolate(elements, x.shape(), &shape, maps, context)?)
        }
        Data::F16(_) | Data::Bf16(_) => {
            let single = to_single(x)?;
            let out = interpolate(single.elements::<f32>()?, x.shape(), &shape, maps, context)?;
            from_single(HostTensor::new(shape.clone(), out)?, x.dtype())
        }
        data => for_numbers!(data, |elements| {
            let doubles: Vec<f64> = elements.iter().map(|element| element.to_f64()).collect();
            let out = interpolate(&doubles, x.shape(), &shape, maps, context)?;
            HostTensor::new(shape.clone(), typed_like(elements, &out))
        }, _other => Err(Error::engine(format!("elements of type {} cannot be interpolated", x.dtype())))),
    }?;
    match outside {
        Some(outside) => extrapolate(out, outside, extrapolation),
        None => Ok(out),
    }
}

/// Values in the type of other elements.
fn typed_like<T: Number>(_elements: &[T], values: &[f64]) -> Vec<T> {
    values.iter().map(|&value| T::from_f64(value)).collect()
}

fn interpolate<T: Number>(
    x: &[T],
    x_shape: &[usize],
    shape: &[usize],
    maps: &[Taps],
    context: &Context<'_>,
) -> Result<Vec<T>> {
    let mut axes: Vec<usize> = (0..shape.len()).filter(|&axis| !maps[axis].identity).collect();
    // Long rows are quick to blend: so the last axis goes first when it grows, and last when it shrinks.
    if product(shape) > product(x_shape) {
        axes.reverse();
    }
    let mut current_shape = Shape::from_slice(x_shape);
    let mut current: Option<Vec<T>> = None;
    for axis in axes {
        let source = current.as_deref().unwrap_or(x);
        let inner = product(&current_shape[axis + 1..]);
        let length = current_shape[axis];
        current_shape[axis] = shape[axis];
        let mut out = repeated(T::ZERO, element_count(&current_shape)?)?;
        blend(source, length, inner, &maps[axis], shape[axis], &mut out, context.threads);
        current = Some(out);
    }
    Ok(current.unwrap_or_else(|| x.to_vec()))
}

/// Blends along one axis of `[outer, axis, inner]`.
fn blend<T: Number>(
    x: &[T],
    length: usize,
    inner: usize,
    taps: &Taps,
    outputs: usize,
    out: &mut [T],
    threads: &Threads,
) {
    if out.is_empty() || x.is_empty() {
        return;
    }
    let weights: Vec<T> = taps.weights.iter().map(|&weight| T::from_f64(weight.into())).collect();
    let single = Threads::single();
    let threads = if out.len().saturating_mul(taps.count) < PARALLEL_WORK { &single } else { threads };
    threads.for_each_chunk_mut(out, outputs * inner, |outer, out| {
        let x = &x[outer * length * inner..][..length * inner];
        let each = taps.places.chunks_exact(taps.count).zip(weights.chunks_exact(taps.count));
        if inner == 1 {
            for (out, (places, weights)) in out.iter_mut().zip(each) {
                *out = match (places, weights) {
                    (&[a, b], &[u, v]) => x[a].times(u).plus(x[b].times(v)),
                    _ => places
                        .iter()
                        .zip(weights)
                        .fold(T::ZERO, |sum, (&at, &weight)| sum.plus(x[at].times(weight))),
                };
            }
            return;
        }
        let row = |place: usize| &x[place * inner..][..inner];
        for (out, (places, weights)) in out.chunks_exact_mut(inner).zip(each) {
            if let (&[a, b], &[u, v]) = (places, weights) {
                for ((out, &a), &b) in out.iter_mut().zip(row(a)).zip(row(b)) {
                    *out = a.times(u).plus(b.times(v));
                }
                continue;
            }
            out.fill(T::ZERO);
            for (&place, &weight) in places.iter().zip(weights) {
                for (out, &x) in out.iter_mut().zip(row(place)) {
                    *out = out.plus(x.times(weight));
                }
            }
        }
    });
}

/// Gives the outputs that lie outside along any axis a value of their own.
pub(super) fn extrapolate(out: HostTensor, outside: &[Vec<bool>], value: f32) -> Result<HostTensor> {
    let shape = Shape::from_slice(out.shape());
    let strides = strides(&shape);
    let lies_outside = |position: usize| {
        outside.iter().enumerate().any(|(axis, outside)| outside[position / strides[axis] % shape[axis]])
    };
    if out.dtype() == DType::Fp32 {
        let mut elements = out.into_elements::<f32>()?;
        for (position, element) in elements.iter_mut().enumerate() {
            if lies_outside(position) {
                *element = value;
            }
        }
        return HostTensor::new(shape, elements);
    }
    for_numbers!(out.data(), |elements| {
        let mut elements = elements.to_vec();
        for (position, element) in elements.iter_mut().enumerate() {
            if lies_outside(position) {
                *element = Number::from_f64(value.into());
            }
        }
        HostTensor::new(shape, elements)
    }, _other => Err(Error::engine(format!("elements of type {} have no value outside", out.dtype()))))
}
