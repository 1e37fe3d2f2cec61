//! Resampling that copies the nearest elements, of any type.

use mlops_core::Result;

use crate::engine::onnx::ops::Context;
use crate::engine::onnx::ops::support::{product, reserve, strides};
use crate::engine::onnx::tensor::{Data, HostTensor, Scalar, Shape, element_count, for_any};
use crate::kernels::parallel::Threads;

/// Elements below which threads cost more than they save.
const PARALLEL_ELEMENTS: usize = 1 << 16;

/// Copies the elements at `maps[axis][output]`. Where `outside` holds for any axis, the output is `extrapolation`.
pub(super) fn resize(
    x: &HostTensor,
    shape: Shape,
    maps: &[Vec<usize>],
    outside: Option<&[Vec<bool>]>,
    extrapolation: f32,
    context: &mut Context<'_>,
) -> Result<HostTensor> {
    let out = match x.data() {
        Data::F32(elements) => {
            let mut out = context.memory.floats(element_count(&shape)?);
            copy(elements, x.shape(), &shape, maps, &mut out, context.threads);
            HostTensor::new(shape.clone(), out)?
        }
        data => for_any!(data, |elements| {
            let mut out = reserve(element_count(&shape)?)?;
            out.resize(element_count(&shape)?, Default::default());
            copy(elements, x.shape(), &shape, maps, &mut out, context.threads);
            HostTensor::new(shape.clone(), out)?
        }),
    };
    match outside {
        Some(outside) => super::weighted::extrapolate(out, outside, extrapolation),
        None => Ok(out),
    }
}

fn copy<T: Scalar>(
    x: &[T],
    x_shape: &[usize],
    shape: &[usize],
    maps: &[Vec<usize>],
    out: &mut [T],
    threads: &Threads,
) {
    if out.is_empty() || x.is_empty() {
        return;
    }
    let is_identity = |axis: &usize| {
        let axis = *axis;
        x_shape[axis] == shape[axis] && maps[axis].iter().enumerate().all(|(output, &place)| output == place)
    };
    // Elements of the last axes that do not change are copied as one block, those of the first are all the same.
    let inner_axes = (0..shape.len()).rev().take_while(is_identity).count();
    if inner_axes == shape.len() {
        return out.clone_from_slice(x);
    }
    let outer_axes = (0..shape.len()).take_while(is_identity).count();
    let block = product(&shape[shape.len() - inner_axes..]);
    let middle = outer_axes..shape.len() - inner_axes;
    let (x_middle, out_middle) = (&x_shape[middle.clone()], &shape[middle.clone()]);
    let maps = &maps[middle];
    let (x_size, out_size) = (product(x_middle) * block, product(out_middle) * block);
    let single = Threads::single();
    let threads = if out.len() < PARALLEL_ELEMENTS { &single } else { threads };
    threads.for_each_chunk_mut(out, out_size, |outer, out| {
        fill(&x[outer * x_size..][..x_size], x_middle, out_middle, maps, block, out);
    });
}

/// One element of the outer axes. Rows that come from the same rows as the one before are copied from it.
fn fill<T: Scalar>(
    x: &[T],
    x_shape: &[usize],
    shape: &[usize],
    maps: &[Vec<usize>],
    block: usize,
    out: &mut [T],
) {
    let (Some((row_map, outer_maps)), Some((&length, outer_shape))) = (maps.split_last(), shape.split_last())
    else {
        return;
    };
    let (x_strides, out_strides) = (strides(x_shape), strides(outer_shape));
    let mut previous = None;
    for row in 0..product(outer_shape) {
        let place = |(axis, map): (usize, &Vec<usize>)| {
            map[row / out_strides[axis] % outer_shape[axis]] * x_strides[axis]
        };
        let start: usize = outer_maps.iter().enumerate().map(place).sum();
        let (before, own) = out.split_at_mut(row * length * block);
        let own = &mut own[..length * block];
        if previous == Some(start) {
            own.clone_from_slice(&before[before.len() - length * block..]);
            continue;
        }
        previous = Some(start);
        let x = &x[start * block..];
        if block == 1 {
            for (out, &place) in own.iter_mut().zip(row_map) {
                out.clone_from(&x[place]);
            }
        } else {
            for (out, &place) in own.chunks_exact_mut(block).zip(row_map) {
                out.clone_from_slice(&x[place * block..][..block]);
            }
        }
    }
}
