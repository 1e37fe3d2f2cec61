//! Convolution of a plain map of few channels, as networks begin with: from `[N, C, H, W]` to blocks.

use pulp::{Arch, Simd, WithSimd};

use super::finish::Finish;
use super::{BLOCK, in_blocks, padded, threads_for};
use crate::kernels::conv::Geometry;
use crate::kernels::epilogue::Activation;
use crate::kernels::gemm::micro::{Tile, multiply_add};
use crate::kernels::gemm::pack::{AlignedVec, aligned_scratch};
use crate::kernels::parallel::{Pieces, Threads};

/// The weights of a convolution in one group.
#[derive(Debug)]
pub(crate) struct Entry {
    arch: Arch,
    in_channels: usize,
    out_blocks: usize,
    /// `[out_blocks][in_channels * taps][16]`
    weights: AlignedVec,
    /// `[out_channels]`
    bias: AlignedVec,
}

impl Entry {
    /// From weights `[out_channels, in_channels, taps]` and a bias `[out_channels]`.
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
        Self {
            arch,
            in_channels,
            out_blocks: out_channels.div_ceil(BLOCK),
            weights: in_blocks(weights, out_channels),
            bias: padded(bias, out_channels),
        }
    }

    /// Channels of the input.
    pub(crate) fn in_channels(&self) -> usize {
        self.in_channels
    }

    /// Blocks of the output.
    pub(crate) fn out_blocks(&self) -> usize {
        self.out_blocks
    }

    /// Writes the convolution of plain maps of `input_size` to `out`, in blocks. The kernel of the geometry must have as
    /// many elements as the weights of a channel.
    #[expect(clippy::too_many_arguments, reason = "the operands of a convolution")]
    pub(crate) fn run(
        &self,
        geometry: &Geometry,
        input: &[f32],
        input_size: [usize; 2],
        activation: Activation,
        out: &mut [f32],
        scratch: &mut Vec<f32>,
        threads: &Threads,
    ) {
        let Some(output_size) = geometry.output_size(input_size) else { return };
        if out.is_empty() {
            return;
        }
        let depth = self.weights.as_slice().len() / (self.out_blocks * BLOCK);
        let threads = threads_for(threads, out.len() * depth);
        let rows = Rows::new(geometry, self.in_channels, input_size, output_size);
        let image_out = self.out_blocks * output_size[0] * output_size[1] * BLOCK;
        let pieces = aligned_scratch(scratch, threads.count() * rows.len());
        let pieces = Pieces::new(pieces, rows.len());
        let mut tasks = Vec::with_capacity(out.len() / image_out * output_size[0]);
        for (image, out) in out.chunks_exact_mut(image_out).enumerate() {
            let blocks = out.chunks_exact_mut(output_size[0] * output_size[1] * BLOCK);
            let mut blocks: Vec<_> =
                blocks.map(|block| block.chunks_exact_mut(output_size[1] * BLOCK)).collect();
            for y in 0..output_size[0] {
                let out: Vec<&mut [f32]> = blocks.iter_mut().filter_map(Iterator::next).collect();
                tasks.push((image, y, out));
            }
        }
        let image_in = self.in_channels * input_size[0] * input_size[1];
        threads.for_each_mut(&mut tasks, |_, (image, y, out)| {
            pieces.lend(|piece| {
                rows.fill(&input[*image * image_in..][..image_in], *y, piece);
                for (block, out) in out.iter_mut().enumerate() {
                    self.arch.dispatch(Row {
                        weights: &self.weights.as_slice()[block * depth * BLOCK..][..depth * BLOCK],
                        bias: &self.bias.as_slice()[block * BLOCK..][..BLOCK],
                        rows: piece,
                        taps: &rows.taps,
                        stride: geometry.strides[1],
                        activation,
                        out,
                    });
                    activation.apply_rest(out);
                }
            });
        });
    }
}

/// The padded rows of the input that one row of output reads.
struct Rows<'a> {
    geometry: &'a Geometry,
    channels: usize,
    input: [usize; 2],
    /// Pixels of a row with its padding.
    width: usize,
    /// Where each kernel element of each channel meets the first output.
    taps: Vec<usize>,
}

impl<'a> Rows<'a> {
    fn new(geometry: &'a Geometry, channels: usize, input: [usize; 2], output: [usize; 2]) -> Self {
        let [height, kernel_width] = geometry.kernel;
        let needed = (output[1] - 1) * geometry.strides[1] + (kernel_width - 1) * geometry.dilations[1] + 1;
        let width = needed.max(input[1] + geometry.pads[1]);
        let rows = (0..channels * height).map(|row| row * width);
        let taps =
            rows.flat_map(|row| (0..kernel_width).map(move |kx| row + kx * geometry.dilations[1])).collect();
        Self { geometry, channels, input, width, taps }
    }

    fn len(&self) -> usize {
        self.channels * self.geometry.kernel[0] * self.width
    }

    /// Copies what row `y` of the output of an image reads.
    fn fill(&self, image: &[f32], y: usize, rows: &mut [f32]) {
        let [height, width] = self.input;
        let [top, left, ..] = self.geometry.pads;
        for (index, row) in rows.chunks_exact_mut(self.width).enumerate() {
            let (channel, ky) = (index / self.geometry.kernel[0], index % self.geometry.kernel[0]);
            let from = y * self.geometry.strides[0] + ky * self.geometry.dilations[0];
            match from.checked_sub(top).filter(|&from| from < height) {
                Some(from) => {
                    row[..left].fill(0.0);
                    row[left..left + width]
                        .copy_from_slice(&image[(channel * height + from) * width..][..width]);
                    row[left + width..].fill(0.0);
                }
                None => row.fill(0.0),
            }
        }
    }
}

/// One row of one output block.
struct Row<'a, 'b> {
    weights: &'a [f32],
    bias: &'a [f32],
    rows: &'a [f32],
    taps: &'a [usize],
    stride: usize,
    activation: Activation,
    out: &'b mut [f32],
}

impl WithSimd for Row<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // As many sums as registers hold beside the weights.
        match S::F32_LANES {
            16 => self.run::<S, 1, 14>(simd),
            8 => self.run::<S, 2, 6>(simd),
            4 => self.run::<S, 4, 6>(simd),
            _ => self.run::<S, BLOCK, 1>(simd),
        }
    }
}

impl Row<'_, '_> {
    #[inline(always)]
    fn run<S: Simd, const VECTORS: usize, const PIXELS: usize>(mut self, simd: S) {
        let out = std::mem::take(&mut self.out);
        let (whole, rest) = out.split_at_mut(out.len() / (PIXELS * BLOCK) * PIXELS * BLOCK);
        for (index, out) in whole.chunks_exact_mut(PIXELS * BLOCK).enumerate() {
            self.tile::<S, VECTORS, PIXELS>(simd, index * PIXELS, out);
        }
        let first = whole.len() / BLOCK;
        for (index, out) in rest.chunks_exact_mut(BLOCK).enumerate() {
            self.tile::<S, VECTORS, 1>(simd, first + index, out);
        }
    }

    /// `PIXELS` pixels from `x` on.
    #[inline(always)]
    fn tile<S: Simd, const VECTORS: usize, const PIXELS: usize>(&self, simd: S, x: usize, out: &mut [f32]) {
        let mut tile = Tile::new();
        let tile = &mut tile.0[..PIXELS * BLOCK];
        tile.chunks_exact_mut(BLOCK).for_each(|pixel| pixel.copy_from_slice(self.bias));
        let rows = &self.rows[x * self.stride..];
        let (weights, taps) = (self.weights, self.taps);
        match self.stride {
            1 => simd.vectorize(Accumulate::<VECTORS, PIXELS, 1> { rows, taps, stride: 1, weights, tile }),
            2 => simd.vectorize(Accumulate::<VECTORS, PIXELS, 2> { rows, taps, stride: 2, weights, tile }),
            stride => simd.vectorize(Accumulate::<VECTORS, PIXELS, 0> { rows, taps, stride, weights, tile }),
        }
        let finish = Finish { tile, width: BLOCK, residual: None, activation: self.activation };
        finish.write(simd, out);
    }
}

/// Adds the products of input values and weights to a tile `[PIXELS][VECTORS vectors]`. The compiler knows the stride,
/// if it is not 0.
struct Accumulate<'a, 'b, const VECTORS: usize, const PIXELS: usize, const STRIDE: usize> {
    /// From the first value of the first pixel on.
    rows: &'a [f32],
    taps: &'a [usize],
    stride: usize,
    /// `[taps][VECTORS vectors]`
    weights: &'a [f32],
    tile: &'b mut [f32],
}

impl<const VECTORS: usize, const PIXELS: usize, const STRIDE: usize> WithSimd
    for Accumulate<'_, '_, VECTORS, PIXELS, STRIDE>
{
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let stride = if STRIDE == 0 { self.stride } else { STRIDE };
        let weights = S::as_simd_f32s(self.weights).0.as_chunks::<VECTORS>().0;
        let tile = S::as_mut_simd_f32s(self.tile).0.as_chunks_mut::<VECTORS>().0;
        let Some(tile) = tile.first_chunk_mut::<PIXELS>() else { return };
        let mut sums = *tile;
        for (&tap, weights) in self.taps.iter().zip(weights) {
            let values = &self.rows[tap..][..(PIXELS - 1) * stride + 1];
            for pixel in 0..PIXELS {
                let value = simd.splat_f32s(values[pixel * stride]);
                for vector in 0..VECTORS {
                    sums[pixel][vector] = multiply_add(simd, value, weights[vector], sums[pixel][vector]);
                }
            }
        }
        *tile = sums;
    }
}
