//! Depthwise convolution: every input channel has kernels of its own, and nothing is summed over channels.
//!
//! A channel is padded into planes that stay in the first-level cache; a vector of neighbouring outputs is the sum of
//! one multiply-add for each kernel element.

use pulp::{Simd, WithSimd};

use super::depthwise_blocked::{BlockLayout, ChannelBlock};
use super::phases::PhaseLayout;
use super::{Convolution, Shape};
use crate::kernels::epilogue::Epilogue;
use crate::kernels::gemm::finish::RowEpilogue;
use crate::kernels::gemm::micro::{load, multiply_add};
use crate::kernels::gemm::pack::{aligned_scratch, lanes};
use crate::kernels::parallel::{Pieces, Threads};
use crate::kernels::shuffle::STEP;

/// The most lanes of a vector.
const MAX_LANES: usize = 16;

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
    let multiplier = convolution.out_channels / geometry.groups;
    if let Some(layout) = BlockLayout::new(shape, lanes(convolution.arch), multiplier) {
        run_blocked(convolution, shape, &layout, input, epilogue, out, scratch, threads);
        return;
    }
    let extent = [0, 1].map(|axis| (geometry.kernel[axis] - 1) * geometry.dilations[axis] + 1);
    let before = [geometry.pads[0], geometry.pads[1]];
    let layout = PhaseLayout::new(shape.input, before, geometry.strides, extent, shape.output);
    let taps = layout.taps(geometry);
    let planes_len = (layout.channel_len() * ahead(&layout)).next_multiple_of(16);
    let scratch = aligned_scratch(scratch, threads.count() * planes_len);
    let pieces = Pieces::new(scratch, planes_len);

    let groups = out.len() / (multiplier * pixels);
    let together = groups.div_ceil(if threads.count() == 1 { 1 } else { 4 * threads.count() }).max(1);
    threads.for_each_chunk_mut(out, together * multiplier * pixels, |index, out| {
        let first = index * together;
        pieces.lend(|planes| {
            convolution.arch.dispatch(Groups {
                convolution,
                layout: &layout,
                taps: &taps,
                multiplier,
                shape,
                input,
                first,
                planes,
                epilogue,
                out,
            });
        });
    });
}

/// The same with sixteen channels side by side.
#[expect(clippy::too_many_arguments, reason = "the operands of a convolution")]
fn run_blocked(
    convolution: &Convolution,
    shape: &Shape<'_>,
    layout: &BlockLayout,
    input: &[f32],
    epilogue: &Epilogue<'_>,
    out: &mut [f32],
    scratch: &mut Vec<f32>,
    threads: &Threads,
) {
    let channels = shape.geometry.groups;
    let pixels = shape.output[0] * shape.output[1];
    let channel_len = shape.input[0] * shape.input[1];
    let len = layout.scratch_len(shape);
    let scratch = aligned_scratch(scratch, threads.count() * len);
    scratch.fill(0.0);
    let pieces = Pieces::new(scratch, len);

    let blocks = channels.div_ceil(STEP);
    let mut tasks = Vec::with_capacity(blocks * out.len() / (channels * pixels));
    for (image, out) in out.chunks_exact_mut(channels * pixels).enumerate() {
        for (block, out) in out.chunks_mut(STEP * pixels).enumerate() {
            tasks.push((image, block * STEP, out));
        }
    }
    threads.for_each_mut(&mut tasks, |_, (image, first, out)| {
        let at = *image * channels + *first;
        let residual = epilogue.residual.map(|residual| &residual[at * pixels..]);
        pieces.lend(|piece| {
            convolution.arch.dispatch(ChannelBlock {
                convolution,
                layout,
                shape,
                input: &input[at * channel_len..],
                first: *first,
                bias: epilogue.bias,
                epilogue: &Epilogue { residual, ..*epilogue },
                scratch: piece,
                out,
            });
        });
    });
}

/// How many channels are padded before the first of them is read: a vector that was just written piece by piece is
/// slow to read.
fn ahead(layout: &PhaseLayout) -> usize {
    (4096 / layout.channel_len().max(1)).clamp(1, 16)
}

/// Some groups, each of one input channel and `multiplier` output channels.
struct Groups<'a, 'b> {
    convolution: &'a Convolution,
    layout: &'a PhaseLayout,
    /// Where the input of each kernel element at the first output lies in the planes.
    taps: &'a [usize],
    multiplier: usize,
    shape: &'a Shape<'a>,
    /// All images and channels.
    input: &'a [f32],
    /// The first group, counted over all images.
    first: usize,
    planes: &'b mut [f32],
    epilogue: &'a Epilogue<'a>,
    out: &'b mut [f32],
}

impl WithSimd for Groups<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.taps.len() {
            9 => self.run::<S, 9>(simd),
            25 => self.run::<S, 25>(simd),
            _ => self.run::<S, 0>(simd),
        }
    }
}

impl Groups<'_, '_> {
    /// `TAPS` kernel elements, or any number for 0.
    #[inline(always)]
    fn run<S: Simd, const TAPS: usize>(self, simd: S) {
        let channel_len = self.shape.input[0] * self.shape.input[1];
        let pixels = self.shape.output[0] * self.shape.output[1];
        let groups = self.shape.geometry.groups;
        let activation = self.epilogue.activation;
        let fixed = self.taps.first_chunk::<TAPS>();
        let mut group = self.first % groups;
        let count = self.out.len() / (self.multiplier * pixels);
        let ahead = ahead(self.layout);
        for index in 0..count {
            let planes_len = self.layout.channel_len();
            if index % ahead == 0 {
                for (index, planes) in (index..count).zip(self.planes.chunks_exact_mut(planes_len)) {
                    self.layout.fill(simd, self.input, (self.first + index) * channel_len, planes);
                }
            }
            let planes = &self.planes[index % ahead * planes_len..][..planes_len];
            for sub in 0..self.multiplier {
                let row = group * self.multiplier + sub;
                let weights = &self.convolution.weights[row * self.taps.len()..];
                let at = (index * self.multiplier + sub) * pixels;
                let first = self.first * self.multiplier * pixels + at;
                let plane = Plane {
                    planes,
                    pitch: self.layout.pitch(),
                    out_width: self.shape.output[1],
                    pixels,
                    epilogue: RowEpilogue {
                        residual: self.epilogue.residual.map(|residual| &residual[first..]),
                        ..RowEpilogue::of_channel(
                            &Epilogue { residual: None, ..*self.epilogue },
                            row,
                            0,
                            0,
                            0,
                        )
                    },
                };
                let out = &mut self.out[at..];
                match (fixed, weights.first_chunk::<TAPS>()) {
                    (Some(taps), Some(weights)) if TAPS > 0 => plane.run_fixed(simd, taps, weights, out),
                    _ => plane.run(simd, self.taps, &weights[..self.taps.len()], out),
                }
                activation.apply_rest(&mut out[..pixels]);
            }
            group += 1;
            if group == groups {
                group = 0;
            }
        }
    }
}

/// One output channel.
struct Plane<'a> {
    planes: &'a [f32],
    pitch: usize,
    out_width: usize,
    pixels: usize,
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

    /// Writes what `sum` gives for the vectors of every row. A vector may reach into the next row or the next channel,
    /// which are written later.
    #[inline(always)]
    fn rows<S: Simd>(&self, simd: S, out: &mut [f32], sum: impl Fn(usize) -> S::f32s) {
        let row_bias = simd.splat_f32s(self.epilogue.row_bias);
        for row in 0..self.pixels / self.out_width {
            let start = row * self.out_width;
            for column in (0..self.out_width).step_by(S::F32_LANES) {
                let value = simd.add_f32s(sum(row * self.pitch + column), row_bias);
                let out = &mut out[start + column..];
                let residual = self.epilogue.residual.map(|residual| &residual[start + column..]);
                let whole = residual.is_none_or(|residual| residual.len() >= S::F32_LANES);
                if let Some(out) = S::as_mut_simd_f32s(out).0.first_mut().filter(|_| whole) {
                    let value = residual.map_or(value, |residual| simd.add_f32s(value, load::<S>(residual)));
                    *out = self.epilogue.activation.apply_cheap(simd, value);
                    continue;
                }
                let mut values = [0.0; MAX_LANES];
                S::as_mut_simd_f32s(&mut values).0[0] = value;
                let count = (self.out_width - column).min(S::F32_LANES);
                for (index, (out, value)) in out[..count].iter_mut().zip(values).enumerate() {
                    let value = value + residual.map_or(0.0, |residual| residual[index]);
                    *out = self.epilogue.activation.apply_cheap_scalar(value);
                }
            }
        }
    }
}
