//! Depthwise convolution of small maps: sixteen channels side by side in the lanes of a vector.
//!
//! Blocks of 16 channels and 16 pixels are transposed on the way in and out. Between, a pixel is one aligned vector,
//! and rows of any length waste nothing.

use pulp::{Simd, WithSimd};

use super::{Convolution, Shape};
use crate::kernels::epilogue::{Bias, Epilogue};
use crate::kernels::gemm::micro::{load, multiply_add};
use crate::kernels::shuffle::{STEP, transpose};

/// Pixels of the padded input and of the output that are few enough to stay in the first-level cache, or nearly.
const MAX_PIXELS: usize = 1024;

/// How the padded input of a block is laid out.
#[derive(Clone, Debug)]
pub(crate) struct BlockLayout {
    /// Rows and columns with the padding.
    padded: [usize; 2],
    /// Where the input of each kernel element at the first output lies, in pixels.
    taps: Vec<usize>,
}

impl BlockLayout {
    /// The layout, if this algorithm suits the convolution.
    pub(crate) fn new(shape: &Shape<'_>, lanes: usize, multiplier: usize) -> Option<Self> {
        let geometry = shape.geometry;
        let extent = [0, 1].map(|axis| (geometry.kernel[axis] - 1) * geometry.dilations[axis] + 1);
        let padded = [0, 1].map(|axis| {
            let needed = (shape.output[axis] - 1) * geometry.strides[axis] + extent[axis];
            needed.max(shape.input[axis] + geometry.pads[axis])
        });
        let pixels = |size: [usize; 2]| size[0] * size[1];
        let suits = lanes == STEP
            && multiplier == 1
            && geometry.groups >= STEP
            && pixels(padded) <= MAX_PIXELS
            && pixels(shape.input) >= STEP
            && pixels(shape.output) >= STEP;
        if !suits {
            return None;
        }
        let mut taps = Vec::with_capacity(geometry.kernel[0] * geometry.kernel[1]);
        for ky in 0..geometry.kernel[0] {
            for kx in 0..geometry.kernel[1] {
                taps.push(ky * geometry.dilations[0] * padded[1] + kx * geometry.dilations[1]);
            }
        }
        Some(Self { padded, taps })
    }

    /// Values of scratch that a thread needs.
    pub(crate) fn scratch_len(&self, shape: &Shape<'_>) -> usize {
        let pixels = self.padded[0] * self.padded[1] + shape.output[0] * shape.output[1];
        (pixels + self.taps.len()) * STEP
    }
}

/// Up to sixteen channels of one image.
pub(crate) struct ChannelBlock<'a, 'b> {
    pub(crate) convolution: &'a Convolution,
    pub(crate) layout: &'a BlockLayout,
    pub(crate) shape: &'a Shape<'a>,
    /// The channels of the block, in memory.
    pub(crate) input: &'a [f32],
    /// The first channel.
    pub(crate) first: usize,
    pub(crate) bias: Bias<'a>,
    /// Its residual begins with the first channel.
    pub(crate) epilogue: &'a Epilogue<'a>,
    pub(crate) scratch: &'b mut [f32],
    pub(crate) out: &'b mut [f32],
}

impl WithSimd for ChannelBlock<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let (scratch, out) = (std::mem::take(&mut self.scratch), std::mem::take(&mut self.out));
        let pixels = self.shape.output[0] * self.shape.output[1];
        let channels = out.len() / pixels;
        let taps = self.layout.taps.len();
        let padded_len = self.layout.padded[0] * self.layout.padded[1] * STEP;
        let (padded, rest) = scratch.split_at_mut(padded_len);
        let (sums, weights) = rest.split_at_mut(pixels * STEP);
        let weights = &mut weights.as_chunks_mut::<STEP>().0[..taps];
        let mut bias = [0.0; STEP];
        for channel in 0..channels {
            let source = &self.convolution.weights[(self.first + channel) * taps..][..taps];
            for (weights, &weight) in weights.iter_mut().zip(source) {
                weights[channel] = weight;
            }
            if let Bias::PerRow(values) = self.bias {
                bias[channel] = values[self.first + channel];
            }
        }
        self.transpose_in(simd, channels, padded);
        match taps {
            9 => self.sums::<S, 9>(simd, &bias, weights, padded, sums),
            25 => self.sums::<S, 25>(simd, &bias, weights, padded, sums),
            _ => self.sums::<S, 0>(simd, &bias, weights, padded, sums),
        }
        transpose_out(simd, self.epilogue, channels, pixels, sums, out);
    }
}

impl ChannelBlock<'_, '_> {
    /// Writes the input between the zeros of the padding, pixel after pixel.
    #[inline(always)]
    fn transpose_in<S: Simd>(&self, simd: S, channels: usize, padded: &mut [f32]) {
        let [height, width] = self.shape.input;
        let pixels = height * width;
        let [top, left, ..] = self.shape.geometry.pads;
        let padded = padded.as_chunks_mut::<STEP>().0;
        let mut from = 0;
        loop {
            let mut rows = [[0.0; STEP]; STEP];
            for (channel, row) in rows.iter_mut().enumerate().take(channels) {
                if let Some(values) = self.input[channel * pixels + from..].first_chunk::<STEP>() {
                    *row = *values;
                }
            }
            transpose(simd, &mut rows);
            let (mut y, mut x) = (from / width, from % width);
            for values in &rows {
                padded[(y + top) * self.layout.padded[1] + x + left] = *values;
                x += 1;
                if x == width {
                    (y, x) = (y + 1, 0);
                }
            }
            if from + STEP == pixels {
                return;
            }
            // The last block ends with the last pixel, though it begins with some that were done before.
            from = (from + STEP).min(pixels - STEP);
        }
    }

    /// `TAPS` kernel elements, or any number for 0.
    #[inline(always)]
    fn sums<S: Simd, const TAPS: usize>(
        &self,
        simd: S,
        bias: &[f32; STEP],
        weights: &[[f32; STEP]],
        padded: &[f32],
        sums: &mut [f32],
    ) {
        let [out_height, out_width] = self.shape.output;
        let [row_stride, column_stride] = self.shape.geometry.strides;
        let pitch = self.layout.padded[1];
        let bias = load::<S>(bias);
        let sums = S::as_mut_simd_f32s(sums).0;
        let padded = S::as_simd_f32s(padded).0;
        let mut fixed = [simd.splat_f32s(0.0); TAPS];
        for (fixed, weight) in fixed.iter_mut().zip(weights) {
            *fixed = load::<S>(weight);
        }
        let taps = &self.layout.taps[..];
        let fixed_taps = taps.first_chunk::<TAPS>().filter(|_| TAPS > 0);
        let plain = self.shape.geometry.kernel == [3, 3] && self.shape.geometry.dilations == [1, 1];
        for y in 0..out_height {
            let padded = &padded[y * row_stride * pitch..];
            let sums = &mut sums[y * out_width..][..out_width];
            let mut done = 0;
            if let (true, Some(weights)) = (plain, fixed.first_chunk::<9>()) {
                let blocks = sums.as_chunks_mut::<4>().0;
                let blocks = match column_stride {
                    1 => three_by_three::<S, 1, 6>(simd, bias, weights, padded, pitch, blocks),
                    2 => three_by_three::<S, 2, 9>(simd, bias, weights, padded, pitch, blocks),
                    _ => 0,
                };
                done = 4 * blocks;
            }
            for (x, out) in sums.iter_mut().enumerate().skip(done) {
                let padded = &padded[x * column_stride..];
                let mut sum = bias;
                if let Some(taps) = fixed_taps {
                    for tap in 0..TAPS {
                        sum = multiply_add(simd, fixed[tap], padded[taps[tap]], sum);
                    }
                } else {
                    for (&tap, weight) in taps.iter().zip(weights) {
                        sum = multiply_add(simd, load::<S>(weight), padded[tap], sum);
                    }
                }
                *out = sum;
            }
        }
    }
}

/// Blocks of four neighbouring outputs of a 3x3 kernel, which share their inputs; `SPAN` is `3 * STRIDE + 3`. Returns
/// how many blocks were done.
#[inline(always)]
fn three_by_three<S: Simd, const STRIDE: usize, const SPAN: usize>(
    simd: S,
    bias: S::f32s,
    weights: &[S::f32s; 9],
    padded: &[S::f32s],
    pitch: usize,
    out: &mut [[S::f32s; 4]],
) -> usize {
    let mut done = 0;
    for (block, out) in out.iter_mut().enumerate() {
        let mut sums = [bias; 4];
        for row in 0..3 {
            let Some(inputs) = padded[row * pitch + 4 * STRIDE * block..].first_chunk::<SPAN>() else {
                return done;
            };
            for tap in 0..3 {
                for (pixel, sum) in sums.iter_mut().enumerate() {
                    *sum = multiply_add(simd, weights[row * 3 + tap], inputs[pixel * STRIDE + tap], *sum);
                }
            }
        }
        *out = sums;
        done += 1;
    }
    done
}

/// Writes the sums channel after channel.
#[inline(always)]
fn transpose_out<S: Simd>(
    simd: S,
    epilogue: &Epilogue<'_>,
    channels: usize,
    pixels: usize,
    sums: &[f32],
    out: &mut [f32],
) {
    let sums = sums.as_chunks::<STEP>().0;
    let mut from = 0;
    while let Some(block) = sums[from..].first_chunk::<STEP>() {
        let mut rows = *block;
        transpose(simd, &mut rows);
        for (channel, row) in rows.iter().enumerate().take(channels) {
            let at = channel * pixels + from;
            let mut value = load::<S>(row);
            if let Some(residual) = epilogue.residual {
                value = simd.add_f32s(value, load::<S>(&residual[at..]));
            }
            if let Some(out) = S::as_mut_simd_f32s(&mut out[at..]).0.first_mut() {
                *out = epilogue.activation.apply_cheap(simd, value);
            }
        }
        if from + STEP == pixels {
            break;
        }
        from = (from + STEP).min(pixels - STEP);
    }
    epilogue.activation.apply_rest(out);
}
