//! `MaxPool`, `AveragePool` and `LpPool`.
//!
//! A window is a box, so its maximum or sum is taken along one axis after the other.

use mlops_core::{Error, Result};

use crate::engine::onnx::ops::floats::{are_half, widened, wrong_type};
use crate::engine::onnx::ops::number::Number;
use crate::engine::onnx::ops::support::{product, strides};
use crate::engine::onnx::ops::window::{Placement, Window};
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{Data, HostTensor, Shape, element_count, for_numbers};
use crate::engine::onnx::value::{Inputs, Value};
use crate::kernels::parallel::Threads;
use crate::kernels::pool::{PoolGeometry, average_pool, max_pool};

#[derive(Debug)]
struct Pool {
    window: Window,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Max {
        /// Whether the places of the maxima are asked for.
        indices: bool,
        /// Whether places are counted with the first axis fastest.
        column_major: bool,
    },
    Average {
        count_padding: bool,
    },
    Lp(f64),
}

pub(super) fn max(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let column_major = source.node.attributes.flag("storage_order", false)?;
    build(source, Kind::Max { indices: source.wants(1), column_major })
}

pub(super) fn average(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let count_padding = source.node.attributes.flag("count_include_pad", false)?;
    build(source, Kind::Average { count_padding })
}

pub(super) fn lp(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    build(source, Kind::Lp(exponent(source)?))
}

/// The attribute `p`.
pub(super) fn exponent(source: &Source<'_>) -> Result<f64> {
    let exponent = source.node.attributes.int("p", 2)?;
    if exponent > 0 {
        return Ok(exponent as f64);
    }
    Err(Error::invalid_input(format!("the attribute `p` must be positive, not {exponent}")))
}

fn build(source: &Source<'_>, kind: Kind) -> Result<Box<dyn Operator>> {
    let window = Window::parse(&source.node.attributes)?;
    window.kernel()?;
    Ok(Box::new(Pool { window, kind }))
}

impl Operator for Pool {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        if are_half(inputs, 0)? {
            return widened(inputs, context, 1, |inputs, context| self.run(inputs, context));
        }
        let x = inputs.tensor(0)?;
        let [images, channels, size @ ..] = x.shape() else {
            return Err(Error::engine("the input needs a batch and a channel dimension"));
        };
        let placement = self.window.place(None, size)?;
        let mut shape = Shape::from_slice(&[*images, *channels]);
        shape.extend_from_slice(&placement.output);
        let count = element_count(&shape)?;
        let planes = Planes { placement: &placement, size };
        match (x.data(), self.kind) {
            (Data::F32(elements), _) => {
                let mut out = context.memory.floats(count);
                if !self.pool_single(elements, &planes, &mut out, context.threads) {
                    self.pool(elements, &planes, &mut out, context.threads);
                }
                let indices = self.indices(elements, &planes);
                outputs(HostTensor::new(shape.clone(), out)?, shape, indices)
            }
            (_, Kind::Max { .. }) | (Data::F64(_), _) => {
                for_numbers!(x.data(), |elements| {
                    let mut out = vec![Default::default(); count];
                    self.pool(elements, &planes, &mut out, context.threads);
                    let indices = self.indices(elements, &planes);
                    outputs(HostTensor::new(shape.clone(), out)?, shape, indices)
                }, _other => Err(wrong_type(x)))
            }
            _ => Err(wrong_type(x)),
        }
    }
}

fn outputs(out: HostTensor, shape: Shape, indices: Option<Vec<i64>>) -> Result<Outputs> {
    let Some(indices) = indices else { return one(out) };
    let indices = HostTensor::new(shape, indices)?;
    Ok([Value::from(out), Value::from(indices)].into_iter().collect())
}

impl Pool {
    /// By the kernels, if they have this pooling.
    fn pool_single(&self, x: &[f32], planes: &Planes<'_>, out: &mut [f32], threads: &Threads) -> bool {
        let Placement { kernel, strides, dilations, pads_begin, pads_end, output } = planes.placement;
        let pair = |values: &[usize], filler: usize| match *values {
            [only] => Some([filler, only]),
            [first, second] => Some([first, second]),
            _ => None,
        };
        let (Some(kernel), Some(strides), Some(dilations)) =
            (pair(kernel, 1), pair(strides, 1), pair(dilations, 1))
        else {
            return false;
        };
        let (Some([top, left]), Some([bottom, right]), Some(size), Some(out_size)) =
            (pair(pads_begin, 0), pair(pads_end, 0), pair(planes.size, 1), pair(output, 1))
        else {
            return false;
        };
        let geometry = PoolGeometry { kernel, strides, dilations, pads: [top, left, bottom, right] };
        let dims = [1, x.len() / (size[0] * size[1]).max(1), size[0], size[1]];
        match self.kind {
            Kind::Max { .. } => max_pool(x, dims, &geometry, out_size, out, threads),
            Kind::Average { count_padding } => {
                average_pool(x, dims, &geometry, out_size, count_padding, out, threads);
            }
            Kind::Lp(_) => return false,
        }
        true
    }

    fn pool<T: Number>(&self, x: &[T], planes: &Planes<'_>, out: &mut [T], threads: &Threads) {
        let out_len = product(&planes.placement.output);
        let in_len = product(planes.size);
        let single = Threads::single();
        let work = out.len().saturating_mul(planes.placement.kernel.iter().sum());
        let threads = if work < 1 << 15 { &single } else { threads };
        threads.for_each_chunk_mut(out, out_len, |plane, out| {
            let x = &x[plane * in_len..][..in_len];
            match self.kind {
                Kind::Max { .. } => planes.fold(x, out, T::LOWEST, T::larger),
                Kind::Average { count_padding } => {
                    planes.fold(x, out, T::ZERO, T::plus);
                    planes.divide_by_counts(out, count_padding);
                }
                Kind::Lp(p) => {
                    let powers: Vec<T> = x.iter().map(|&x| power(x, p)).collect();
                    planes.fold(&powers, out, T::ZERO, T::plus);
                    out.iter_mut().for_each(|value| *value = root(*value, p));
                }
            }
        });
    }

    /// The places of the maxima, counted over the whole input.
    fn indices<T: Number>(&self, x: &[T], planes: &Planes<'_>) -> Option<Vec<i64>> {
        let Kind::Max { indices: true, column_major } = self.kind else { return None };
        let in_len = product(planes.size);
        let mut indices = Vec::new();
        for (plane, x) in x.chunks_exact(in_len.max(1)).enumerate() {
            planes.for_each_window(|taps| {
                let first = taps.first().copied().unwrap_or(0);
                let best = taps.iter().fold(first, |best, &at| if x[at] > x[best] { at } else { best });
                let best = if column_major { planes.column_major(best) } else { best };
                indices.push((plane * in_len + best) as i64);
            });
        }
        Some(indices)
    }
}

/// `|x|^p`
pub(super) fn power<T: Number>(x: T, p: f64) -> T {
    if p == 1.0 {
        x.magnitude()
    } else if p == 2.0 {
        x.times(x)
    } else {
        T::from_f64(x.to_f64().abs().powf(p))
    }
}

/// `x^(1/p)`
pub(super) fn root<T: Number>(x: T, p: f64) -> T {
    match p {
        1.0 => x,
        2.0 => T::from_f64(x.to_f64().sqrt()),
        _ => T::from_f64(x.to_f64().powf(p.recip())),
    }
}

/// Windows over a plane: the spatial dimensions of one channel of one image.
struct Planes<'a> {
    placement: &'a Placement,
    size: &'a [usize],
}

impl Planes<'_> {
    /// Folds the elements of each window.
    fn fold<T: Number>(&self, x: &[T], out: &mut [T], start: T, fold: impl Fn(T, T) -> T + Copy) {
        let rank = self.size.len();
        let mut current: Vec<T> = Vec::new();
        for axis in 0..rank {
            let source = if axis == 0 { x } else { &current };
            let outer = product(&self.placement.output[..axis]);
            let inner = product(&self.size[axis + 1..]);
            if axis + 1 == rank {
                self.fold_axis(source, axis, inner, out, start, fold);
            } else {
                let mut next = vec![start; outer * self.placement.output[axis] * inner];
                self.fold_axis(source, axis, inner, &mut next, start, fold);
                current = next;
            }
        }
    }

    /// Folds along one axis of `[outer, axis, inner]`.
    fn fold_axis<T: Number>(
        &self,
        x: &[T],
        axis: usize,
        inner: usize,
        out: &mut [T],
        start: T,
        fold: impl Fn(T, T) -> T,
    ) {
        let (length, outputs) = (self.size[axis], self.placement.output[axis]);
        let (rows, out_rows) = ((length * inner).max(1), (outputs * inner).max(1));
        let dilation = self.placement.dilations[axis];
        let windows: Vec<(usize, usize)> = (0..outputs)
            .map(|output| {
                let (first, taps) = self.placement.taps(axis, output, 0, length as isize);
                ((first + (taps.start * dilation) as isize) as usize, taps.len())
            })
            .collect();
        for (x, out) in x.chunks_exact(rows).zip(out.chunks_exact_mut(out_rows)) {
            if inner == 1 {
                for (out, &(first, count)) in out.iter_mut().zip(&windows) {
                    let taps = x.iter().skip(first).step_by(dilation).take(count);
                    *out = taps.fold(start, |folded, &x| fold(folded, x));
                }
                continue;
            }
            for (out, &(first, count)) in out.chunks_exact_mut(inner).zip(&windows) {
                out.fill(start);
                for tap in 0..count {
                    for (out, &x) in out.iter_mut().zip(&x[(first + tap * dilation) * inner..]) {
                        *out = fold(*out, x);
                    }
                }
            }
        }
    }

    /// Sums become means over the elements of each window, or over the padding as well.
    fn divide_by_counts<T: Number>(&self, out: &mut [T], count_padding: bool) {
        let counts: Vec<Vec<usize>> = (0..self.size.len())
            .map(|axis| {
                let length = self.size[axis] as isize;
                let (low, high) = if count_padding {
                    let Placement { pads_begin, pads_end, .. } = self.placement;
                    (-(pads_begin[axis] as isize), length + pads_end[axis] as isize)
                } else {
                    (0, length)
                };
                (0..self.placement.output[axis])
                    .map(|output| self.placement.taps(axis, output, low, high).1.len())
                    .collect()
            })
            .collect();
        let strides = strides(&self.placement.output);
        let Some((last, outer)) = counts.split_last() else { return };
        for (row, values) in out.chunks_exact_mut(last.len().max(1)).enumerate() {
            let position = row * last.len();
            let count =
                |(axis, counts): (usize, &Vec<usize>)| counts[position / strides[axis] % counts.len()];
            let outer: usize = outer.iter().enumerate().map(count).product();
            for (value, count) in values.iter_mut().zip(last) {
                *value = value.over(T::from_f64((outer * count).max(1) as f64));
            }
        }
    }

    /// Visits the windows in the order of the output, with the places of their elements.
    fn for_each_window(&self, mut visit: impl FnMut(&[usize])) {
        let output = &self.placement.output;
        let out_strides = strides(output);
        let mut taps: Vec<usize> = Vec::new();
        for position in 0..product(output) {
            taps.clear();
            taps.push(0);
            for (axis, &length) in self.size.iter().enumerate() {
                let at = position / out_strides[axis] % output[axis];
                let (start, range) = self.placement.taps(axis, at, 0, length as isize);
                let dilation = self.placement.dilations[axis];
                let outer = std::mem::take(&mut taps);
                taps.extend(outer.into_iter().flat_map(|place| {
                    range
                        .clone()
                        .map(move |tap| place * length + (start + (tap * dilation) as isize) as usize)
                }));
            }
            visit(&taps);
        }
    }

    /// A place of a plane as it is counted when the first axis is the fastest.
    fn column_major(&self, place: usize) -> usize {
        let strides = strides(self.size);
        let step = |(axis, flat): (usize, usize)| (place / strides[axis] % self.size[axis]) * flat;
        let flat = self.size.iter().scan(1, |flat, &length| {
            let own = *flat;
            *flat *= length;
            Some(own)
        });
        flat.enumerate().map(step).sum()
    }
}
