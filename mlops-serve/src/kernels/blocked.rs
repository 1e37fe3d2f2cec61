//! Maps whose channels lie in blocks of sixteen: `[N, ceil(C / 16), H, W, 16]`.
//!
//! A pixel of a block is one vector of AVX-512, or a few smaller ones. Convolutions of one pixel and of one channel,
//! of which networks for small devices are made, then read their input where it lies: nothing is gathered, and a row
//! of any length wastes no lane. Channels beyond the last one hold anything finite; they meet weights of zero.

mod depthwise;
mod entry;
mod finish;
mod pointwise;
#[cfg(test)]
mod tests;

use pulp::{Arch, Simd, WithSimd};

pub(crate) use self::depthwise::Depthwise;
pub(crate) use self::entry::Entry;
pub(crate) use self::pointwise::Pointwise;
use crate::kernels::gemm::micro::load;
use crate::kernels::gemm::pack::AlignedVec;
use crate::kernels::parallel::Threads;
use crate::kernels::shuffle::{STEP, transpose};

/// Channels to a block.
pub(crate) const BLOCK: usize = STEP;

/// Multiply-adds, or values moved, below which threads cost more than they save.
const PARALLEL_WORK: usize = 1 << 20;

/// Writes maps of `channels` channels, `pixels` each, from `[N, C, pixels]` to blocks.
pub(crate) fn to_blocks(input: &[f32], channels: usize, pixels: usize, out: &mut [f32], threads: &Threads) {
    let blocks = channels.div_ceil(BLOCK);
    if out.is_empty() || pixels == 0 {
        return;
    }
    let arch = Arch::new();
    threads_for(threads, input.len()).for_each_chunk_mut(out, pixels * BLOCK, |index, out| {
        let (image, first) = (index / blocks, index % blocks * BLOCK);
        let count = BLOCK.min(channels - first);
        let input = &input[(image * channels + first) * pixels..][..count * pixels];
        arch.dispatch(ToBlock { input, pixels, out });
    });
}

/// Writes maps of `channels` channels, `pixels` each, from blocks to `[N, C, pixels]`.
pub(crate) fn from_blocks(input: &[f32], channels: usize, pixels: usize, out: &mut [f32], threads: &Threads) {
    let blocks = channels.div_ceil(BLOCK);
    if out.is_empty() || pixels == 0 {
        return;
    }
    let arch = Arch::new();
    let mut tasks = Vec::with_capacity(out.len() / (channels * pixels) * blocks);
    for (image, out) in out.chunks_exact_mut(channels * pixels).enumerate() {
        for (block, out) in out.chunks_mut(BLOCK * pixels).enumerate() {
            tasks.push((&input[(image * blocks + block) * pixels * BLOCK..][..pixels * BLOCK], out));
        }
    }
    threads_for(threads, input.len()).for_each_mut(&mut tasks, |_, (input, out)| {
        arch.dispatch(FromBlock { input, pixels, out });
    });
}

/// Writes the mean of the pixels of every channel of `[.., pixels, 16]` to `[.., 16]`.
pub(crate) fn means(input: &[f32], pixels: usize, out: &mut [f32], threads: &Threads) {
    let arch = Arch::new();
    threads_for(threads, input.len()).for_each_chunk_mut(out, BLOCK, |index, out| {
        arch.dispatch(Mean { input: &input[index * pixels * BLOCK..][..pixels * BLOCK], pixels, out });
    });
}

/// The threads for that much work.
fn threads_for(threads: &Threads, work: usize) -> Threads {
    if work < PARALLEL_WORK { Threads::single() } else { threads.clone() }
}

/// One value for each channel, zeros beyond the last one.
fn padded(values: Option<&[f32]>, channels: usize) -> AlignedVec {
    let mut padded = AlignedVec::zeros(channels.next_multiple_of(BLOCK));
    if let Some(values) = values {
        padded.as_mut_slice()[..channels].copy_from_slice(&values[..channels]);
    }
    padded
}

/// Weights `[channels, taps]` as `[ceil(channels / 16)][taps][16]`, zeros beyond the last channel.
fn in_blocks(weights: &[f32], channels: usize) -> AlignedVec {
    let taps = weights.len() / channels.max(1);
    let mut packed = AlignedVec::zeros(channels.next_multiple_of(BLOCK) * taps);
    for (channel, weights) in weights.chunks_exact(taps.max(1)).enumerate() {
        for (tap, &weight) in weights.iter().enumerate() {
            packed.as_mut_slice()[(channel / BLOCK * taps + tap) * BLOCK + channel % BLOCK] = weight;
        }
    }
    packed
}

/// Up to sixteen channels of one image.
struct ToBlock<'a, 'b> {
    input: &'a [f32],
    pixels: usize,
    out: &'b mut [f32],
}

impl WithSimd for ToBlock<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { input, pixels, out } = self;
        let out = out.as_chunks_mut::<BLOCK>().0;
        let (whole, rest) = out.split_at_mut(pixels / STEP * STEP);
        for (index, out) in whole.as_chunks_mut::<STEP>().0.iter_mut().enumerate() {
            let mut rows = [[0.0; STEP]; STEP];
            for (row, channel) in rows.iter_mut().zip(input.chunks_exact(pixels)) {
                if let Some(values) = channel[index * STEP..].first_chunk::<STEP>() {
                    *row = *values;
                }
            }
            transpose(simd, &mut rows);
            *out = rows;
        }
        let first = pixels - rest.len();
        for (pixel, out) in rest.iter_mut().enumerate() {
            *out = [0.0; BLOCK];
            for (out, channel) in out.iter_mut().zip(input.chunks_exact(pixels)) {
                *out = channel[first + pixel];
            }
        }
    }
}

/// Up to sixteen channels of one image.
struct FromBlock<'a, 'b> {
    input: &'a [f32],
    pixels: usize,
    out: &'b mut [f32],
}

impl WithSimd for FromBlock<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { input, pixels, out } = self;
        let (whole, rest) = input.as_chunks::<BLOCK>().0.split_at(pixels / STEP * STEP);
        for (index, rows) in whole.as_chunks::<STEP>().0.iter().enumerate() {
            let mut rows = *rows;
            transpose(simd, &mut rows);
            for (row, channel) in rows.iter().zip(out.chunks_exact_mut(pixels)) {
                channel[index * STEP..][..STEP].copy_from_slice(row);
            }
        }
        let first = pixels - rest.len();
        for (pixel, values) in rest.iter().enumerate() {
            for (value, channel) in values.iter().zip(out.chunks_exact_mut(pixels)) {
                channel[first + pixel] = *value;
            }
        }
    }
}

/// One block of one image.
struct Mean<'a, 'b> {
    input: &'a [f32],
    pixels: usize,
    out: &'b mut [f32],
}

impl WithSimd for Mean<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let scale = simd.splat_f32s(1.0 / self.pixels as f32);
        for (vector, out) in S::as_mut_simd_f32s(self.out).0.iter_mut().enumerate() {
            // Four sums, so that none waits for the one before.
            let mut sums = [simd.splat_f32s(0.0); 4];
            for (pixel, values) in self.input.as_chunks::<BLOCK>().0.iter().enumerate() {
                let sum = &mut sums[pixel % 4];
                *sum = simd.add_f32s(*sum, load::<S>(&values[vector * S::F32_LANES..]));
            }
            let [a, b, c, d] = sums;
            *out = simd.mul_f32s(simd.add_f32s(simd.add_f32s(a, b), simd.add_f32s(c, d)), scale);
        }
    }
}
