//! Depthwise convolution: every input channel has kernels of its own, and nothing is summed over channels.
//!
//! A channel is padded into planes that stay in the first-level cache; a vector of neighbouring outputs is the sum of
//! one multiply-add for each kernel element.

use std::sync::{Mutex, PoisonError};

use pulp::{Simd, WithSimd};

use super::phases::PhaseLayout;
use super::{Convolution, Shape};
use crate::kernels::epilogue::{Bias, Epilogue};
use crate::kernels::gemm::finish::RowEpilogue;
use crate::kernels::gemm::micro::{load, multiply_add};
use crate::kernels::gemm::pack::aligned_scratch;
use crate::kernels::parallel::Threads;

/// Values that may be read beyond the planes: a vector.
const SLACK: usize = 16;

/// Runs a convolution with one input channel a group.
pub(crate) fn run(
    convolution: &Convolution,
    shape: &Shape<'_>,
    input: &[f32],
    epilogue: &Epilogue<'_>,
    out: &mut [f32],
    scratch: &mut Vec<f32>,
    threads: &Threads,
) {
    let geometry = shape.geometry;
    let pixels = shape.output[0] * shape.output[1];
    let channel_len = shape.input[0] * shape.input[1];
    let multiplier = convolution.out_channels / geometry.groups;
    let extent = [0, 1].map(|axis| (geometry.kernel[axis] - 1) * geometry.dilations[axis] + 1);
    let before = [geometry.pads[0], geometry.pads[1]];
    let layout = PhaseLayout::new(shape.input, before, geometry.strides, extent, shape.output);
    let mut taps = Vec::with_capacity(geometry.kernel[0] * geometry.kernel[1]);
    for ky in 0..geometry.kernel[0] {
        for kx in 0..geometry.kernel[1] {
            taps.push(layout.offset(ky * geometry.dilations[0], kx * geometry.dilations[1]));
        }
    }
    let planes_len = (layout.channel_len() + SLACK).next_multiple_of(16);
    let scratch = aligned_scratch(scratch, threads.count() * planes_len);
    let scratch: Mutex<Vec<&mut [f32]>> = Mutex::new(scratch.chunks_exact_mut(planes_len).collect());
    let take = || scratch.lock().unwrap_or_else(PoisonError::into_inner).pop();

    let groups = out.len() / (multiplier * pixels);
    let together = groups.div_ceil(if threads.count() == 1 { 1 } else { 4 * threads.count() }).max(1);
    threads.for_each_chunk_mut(out, together * multiplier * pixels, |index, out| {
        // There are as many pieces of scratch as threads, so one is always free.
        let Some(planes) = take() else { return };
        for (group, out) in (index * together..).zip(out.chunks_exact_mut(multiplier * pixels)) {
            let residual = epilogue.residual.map(|residual| &residual[group * multiplier * pixels..]);
            let channel = &input[group * channel_len..][..channel_len];
            let first = group % geometry.groups * multiplier;
            convolution.arch.dispatch(Channel {
                layout: &layout,
                taps: &taps,
                out_width: shape.output[1],
                channel,
                planes,
                weights: &convolution.weights[first * taps.len()..][..multiplier * taps.len()],
                first,
                epilogue: &Epilogue { residual, ..*epilogue },
                out,
            });
        }
        scratch.lock().unwrap_or_else(PoisonError::into_inner).push(planes);
    });
}

/// One input channel and its output channels.
struct Channel<'a, 'b> {
    layout: &'a PhaseLayout,
    /// Where the input of each kernel element at the first output lies in the planes.
    taps: &'a [usize],
    out_width: usize,
    channel: &'a [f32],
    planes: &'b mut [f32],
    /// `[output channels, taps]`
    weights: &'a [f32],
    /// The first output channel.
    first: usize,
    /// Its residual begins with this channel.
    epilogue: &'a Epilogue<'a>,
    out: &'b mut [f32],
}

impl WithSimd for Channel<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.layout.fill(self.channel, &mut self.planes[..self.layout.channel_len()]);
        let pixels = self.out.len() / (self.weights.len() / self.taps.len());
        let rows = self.out.chunks_exact_mut(pixels).zip(self.weights.chunks_exact(self.taps.len()));
        for (index, (out, weights)) in rows.enumerate() {
            let bias = match self.epilogue.bias {
                Bias::PerRow(bias) => bias[self.first + index],
                _ => 0.0,
            };
            let residual = self.epilogue.residual.map(|residual| &residual[index * pixels..][..pixels]);
            let activation = self.epilogue.activation;
            let plane = Plane {
                planes: self.planes,
                pitch: self.layout.pitch(),
                out_width: self.out_width,
                epilogue: RowEpilogue {
                    accumulate: false,
                    row_bias: bias,
                    column_bias: None,
                    residual,
                    activation,
                },
            };
            match (<[usize; 9]>::try_from(self.taps), <[f32; 9]>::try_from(weights)) {
                (Ok(taps), Ok(weights)) => plane.run_fixed(simd, &taps, &weights, out),
                _ => match (<[usize; 25]>::try_from(self.taps), <[f32; 25]>::try_from(weights)) {
                    (Ok(taps), Ok(weights)) => plane.run_fixed(simd, &taps, &weights, out),
                    _ => plane.run(simd, self.taps, weights, out),
                },
            }
            activation.apply_rest(out);
        }
    }
}

/// One output channel.
struct Plane<'a> {
    planes: &'a [f32],
    pitch: usize,
    out_width: usize,
    epilogue: RowEpilogue<'a>,
}

impl Plane<'_> {
    /// A number of taps known to the compiler, which unrolls the loop over them.
    #[inline(always)]
    fn run_fixed<S: Simd, const TAPS: usize>(
        &self,
        simd: S,
        taps: &[usize; TAPS],
        weights: &[f32; TAPS],
        out: &mut [f32],
    ) {
        let weights = weights.map(|weight| simd.splat_f32s(weight));
        self.rows(simd, out, |position| {
            let mut sums = [simd.splat_f32s(0.0); 2];
            for tap in 0..TAPS {
                let value = load::<S>(&self.planes[taps[tap] + position..]);
                sums[tap % 2] = multiply_add(simd, weights[tap], value, sums[tap % 2]);
            }
            simd.add_f32s(sums[0], sums[1])
        });
    }

    #[inline(always)]
    fn run<S: Simd>(&self, simd: S, taps: &[usize], weights: &[f32], out: &mut [f32]) {
        self.rows(simd, out, |position| {
            let mut sum = simd.splat_f32s(0.0);
            for (tap, &weight) in taps.iter().zip(weights) {
                sum = multiply_add(
                    simd,
                    simd.splat_f32s(weight),
                    load::<S>(&self.planes[tap + position..]),
                    sum,
                );
            }
            sum
        });
    }

    /// Writes what `sum` gives for the vectors of every row. A vector may reach into the next row, which is written
    /// later.
    #[inline(always)]
    fn rows<S: Simd>(&self, simd: S, out: &mut [f32], sum: impl Fn(usize) -> S::f32s) {
        let row_bias = simd.splat_f32s(self.epilogue.row_bias);
        for (row, start) in (0..out.len()).step_by(self.out_width).enumerate() {
            for column in (0..self.out_width).step_by(S::F32_LANES) {
                let value = simd.add_f32s(sum(row * self.pitch + column), row_bias);
                let out = &mut out[start + column..];
                let residual = self.epilogue.residual.map(|residual| &residual[start + column..]);
                if let Some(out) = S::as_mut_simd_f32s(out).0.first_mut() {
                    let value = residual.map_or(value, |residual| simd.add_f32s(value, load::<S>(residual)));
                    *out = self.epilogue.activation.apply_cheap(simd, value);
                    continue;
                }
                let mut values = [0.0; SLACK];
                S::as_mut_simd_f32s(&mut values).0[0] = value;
                for (index, (out, value)) in out.iter_mut().zip(values).enumerate() {
                    let value = value + residual.map_or(0.0, |residual| residual[index]);
                    *out = self.epilogue.activation.apply_cheap_scalar(value);
                }
            }
        }
    }
}
