//! Convolution with a kernel of one pixel: a matrix product of pixels and weights.

use pulp::{Arch, Simd, WithSimd};
use smallvec::SmallVec;

use super::finish::Finish;
use super::{BLOCK, padded, threads_for};
use crate::kernels::epilogue::Activation;
use crate::kernels::gemm::micro::{Tile, multiply_add};
use crate::kernels::gemm::pack::{AlignedVec, lanes};
use crate::kernels::parallel::Threads;

/// Input blocks that are multiplied before the next pixels: with their weights, 16 KiB or 32 KiB.
const DEPTH: usize = 16;

/// Values of input that are read by all output blocks before the next ones: half a second-level cache of 512 KiB.
const INPUT: usize = 1 << 16;

/// The least pixels of a task.
const FEW_PIXELS: usize = 28;

/// A convolution of 1x1 kernels without stride or padding.
#[derive(Debug)]
pub(crate) struct Pointwise {
    arch: Arch,
    in_blocks: usize,
    out_blocks: usize,
    /// Output blocks that are computed together.
    together: usize,
    /// `[out_blocks / together][in_channels][together * 16]`; the last may have fewer.
    weights: AlignedVec,
    /// `[out_channels]`
    bias: AlignedVec,
}

impl Pointwise {
    /// From weights `[out_channels, in_channels]` and a bias `[out_channels]`.
    pub(crate) fn new(
        weights: &[f32],
        bias: Option<&[f32]>,
        out_channels: usize,
        in_channels: usize,
    ) -> Self {
        Self::new_for(Arch::new(), weights, bias, out_channels, in_channels)
    }

    /// The same for an instruction set.
    pub(super) fn new_for(
        arch: Arch,
        weights: &[f32],
        bias: Option<&[f32]>,
        out_channels: usize,
        in_channels: usize,
    ) -> Self {
        let together = if lanes(arch) == BLOCK { 2 } else { 1 };
        let (in_blocks, out_blocks) = (in_channels.div_ceil(BLOCK), out_channels.div_ceil(BLOCK));
        let depth = in_blocks * BLOCK;
        let mut packed = AlignedVec::zeros(out_blocks * BLOCK * depth);
        for (output, weights) in weights.chunks_exact(in_channels.max(1)).enumerate() {
            let first = output / (together * BLOCK) * together;
            let width = together.min(out_blocks - first) * BLOCK;
            let packed = &mut packed.as_mut_slice()[first * BLOCK * depth..];
            for (input, &weight) in weights.iter().enumerate() {
                packed[input * width + output - first * BLOCK] = weight;
            }
        }
        Self { arch, in_blocks, out_blocks, together, weights: packed, bias: padded(bias, out_channels) }
    }

    /// Blocks of the output.
    pub(crate) fn out_blocks(&self) -> usize {
        self.out_blocks
    }

    /// Writes the convolution of maps of `pixels` pixels in blocks; `residual` is laid out as `out`.
    pub(crate) fn run(
        &self,
        input: &[f32],
        pixels: usize,
        residual: Option<&[f32]>,
        activation: Activation,
        out: &mut [f32],
        threads: &Threads,
    ) {
        if pixels == 0 || out.is_empty() {
            return;
        }
        let threads = threads_for(threads, out.len() * self.in_blocks * BLOCK);
        let (image_in, image_out) = (self.in_blocks * pixels * BLOCK, self.out_blocks * pixels * BLOCK);
        let groups = self.out_blocks.div_ceil(self.together);
        let mut chunk = (INPUT / (self.in_blocks * BLOCK)).max(FEW_PIXELS) / FEW_PIXELS * FEW_PIXELS;
        let wanted = if threads.count() == 1 { 1 } else { 4 * threads.count() };
        while chunk > FEW_PIXELS && groups * pixels.div_ceil(chunk) * (out.len() / image_out) < wanted {
            chunk -= FEW_PIXELS;
        }
        let mut tasks = Vec::with_capacity(groups * pixels.div_ceil(chunk) * (out.len() / image_out));
        for (image, out) in out.chunks_exact_mut(image_out).enumerate() {
            let blocks = out.chunks_exact_mut(pixels * BLOCK);
            let mut blocks: Vec<_> = blocks.map(|block| block.chunks_mut(chunk * BLOCK)).collect();
            for first_pixel in (0..pixels).step_by(chunk) {
                for (group, blocks) in blocks.chunks_mut(self.together).enumerate() {
                    let first_block = group * self.together;
                    tasks.push(Task {
                        weights: self,
                        input: &input[image * image_in..][..image_in],
                        residual: residual.map(|residual| &residual[image * image_out..][..image_out]),
                        activation,
                        pixels,
                        first_pixel,
                        first_block,
                        out: blocks.iter_mut().filter_map(Iterator::next).collect(),
                    });
                }
            }
        }
        threads.for_each_mut(&mut tasks, |_, task| self.arch.dispatch(task));
    }
}

/// Some pixels of one or two output blocks.
struct Task<'a, 'b> {
    weights: &'a Pointwise,
    /// The image.
    input: &'a [f32],
    /// Of the image.
    residual: Option<&'a [f32]>,
    activation: Activation,
    /// Of the image.
    pixels: usize,
    first_pixel: usize,
    first_block: usize,
    out: SmallVec<[&'b mut [f32]; 2]>,
}

impl WithSimd for &mut Task<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // As many sums as registers hold beside the weights.
        match (S::F32_LANES, self.out.len()) {
            (16, 2) => self.run::<S, 2, 14>(simd),
            (16, _) => self.run::<S, 1, 14>(simd),
            (8, _) => self.run::<S, 2, 6>(simd),
            (4, _) => self.run::<S, 4, 6>(simd),
            _ => self.run::<S, BLOCK, 1>(simd),
        }
        for out in &mut self.out {
            self.activation.apply_rest(out);
        }
    }
}

impl Task<'_, '_> {
    /// `VECTORS` vectors are all output channels of the task.
    #[inline(always)]
    fn run<S: Simd, const VECTORS: usize, const PIXELS: usize>(&mut self, simd: S) {
        let in_blocks = self.weights.in_blocks;
        let from = self.first_block * BLOCK * in_blocks * BLOCK;
        let width = VECTORS * S::F32_LANES;
        let weights = &self.weights.weights.as_slice()[from..][..in_blocks * BLOCK * width];
        let input = self.input.as_chunks::<BLOCK>().0;
        let count = self.out.first().map_or(0, |out| out.len() / BLOCK);
        for first in (0..in_blocks).step_by(DEPTH) {
            let depth = Depth { first, end: in_blocks.min(first + DEPTH), last: first + DEPTH >= in_blocks };
            let weights = &weights[first * BLOCK * width..depth.end * BLOCK * width];
            let mut pixel = 0;
            while pixel < count {
                let left = count - pixel;
                if left >= PIXELS {
                    self.tile::<S, VECTORS, PIXELS>(simd, &depth, weights, input, pixel);
                    pixel += PIXELS;
                } else if PIXELS > 7 && left >= 7 {
                    self.tile::<S, VECTORS, 7>(simd, &depth, weights, input, pixel);
                    pixel += 7;
                } else if PIXELS > 4 && left >= 4 {
                    self.tile::<S, VECTORS, 4>(simd, &depth, weights, input, pixel);
                    pixel += 4;
                } else if PIXELS > 2 && left >= 2 {
                    self.tile::<S, VECTORS, 2>(simd, &depth, weights, input, pixel);
                    pixel += 2;
                } else {
                    self.tile::<S, VECTORS, 1>(simd, &depth, weights, input, pixel);
                    pixel += 1;
                }
            }
        }
    }

    /// `PIXELS` pixels from `pixel` of the task on.
    #[inline(always)]
    fn tile<S: Simd, const VECTORS: usize, const PIXELS: usize>(
        &mut self,
        simd: S,
        depth: &Depth,
        weights: &[f32],
        input: &[[f32; BLOCK]],
        pixel: usize,
    ) {
        let mut tile = Tile::new();
        let width = VECTORS * S::F32_LANES;
        let rows = &mut tile.0[..PIXELS * width];
        if depth.first == 0 {
            let bias = &self.weights.bias.as_slice()[self.first_block * BLOCK..][..width];
            rows.chunks_exact_mut(width).for_each(|row| row.copy_from_slice(bias));
        } else {
            for (block, out) in self.out.iter().enumerate() {
                let pixels = out[pixel * BLOCK..].as_chunks::<BLOCK>().0;
                for (row, values) in rows.chunks_exact_mut(width).zip(pixels) {
                    row[block * BLOCK..][..BLOCK].copy_from_slice(values);
                }
            }
        }
        // A function of its own, or the sums would not stay in registers.
        simd.vectorize(Accumulate::<VECTORS, PIXELS> {
            input: &input[depth.first * self.pixels + self.first_pixel + pixel..],
            pitch: self.pixels,
            weights,
            tile: rows,
        });
        let residual = self.residual.filter(|_| depth.last);
        let activation = if depth.last { self.activation } else { Activation::None };
        for (block, out) in self.out.iter_mut().enumerate() {
            let first = ((self.first_block + block) * self.pixels + self.first_pixel + pixel) * BLOCK;
            let finish = Finish {
                tile: &rows[block * BLOCK..],
                width,
                residual: residual.map(|residual| &residual[first..][..PIXELS * BLOCK]),
                activation,
            };
            finish.write(simd, &mut out[pixel * BLOCK..][..PIXELS * BLOCK]);
        }
    }
}

/// Adds the products of pixels and weights to a tile `[PIXELS][VECTORS vectors]`.
struct Accumulate<'a, 'b, const VECTORS: usize, const PIXELS: usize> {
    /// The first of the pixels in the first input block.
    input: &'a [[f32; BLOCK]],
    /// Pixels from one input block to the next.
    pitch: usize,
    /// `[in_channels][VECTORS vectors]`
    weights: &'a [f32],
    tile: &'b mut [f32],
}

impl<const VECTORS: usize, const PIXELS: usize> WithSimd for Accumulate<'_, '_, VECTORS, PIXELS> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let weights = S::as_simd_f32s(self.weights).0.as_chunks::<VECTORS>().0.as_chunks::<BLOCK>().0;
        let tile = S::as_mut_simd_f32s(self.tile).0.as_chunks_mut::<VECTORS>().0;
        let Some(tile) = tile.first_chunk_mut::<PIXELS>() else { return };
        let mut sums = *tile;
        for (block, weights) in weights.iter().enumerate() {
            let Some(pixels) = self.input[block * self.pitch..].first_chunk::<PIXELS>() else { return };
            for channel in 0..BLOCK {
                for pixel in 0..PIXELS {
                    let value = simd.splat_f32s(pixels[pixel][channel]);
                    for vector in 0..VECTORS {
                        sums[pixel][vector] =
                            multiply_add(simd, value, weights[channel][vector], sums[pixel][vector]);
                    }
                }
            }
        }
        *tile = sums;
    }
}

/// The input blocks of one round.
struct Depth {
    first: usize,
    end: usize,
    last: bool,
}
