//! Convolution of every channel with a kernel of its own.

use pulp::{Arch, Simd, WithSimd};

use super::{BLOCK, in_blocks, padded, threads_for};
use crate::kernels::conv::Geometry;
use crate::kernels::epilogue::Activation;
use crate::kernels::gemm::micro::{load, multiply_add};
use crate::kernels::gemm::pack::{AlignedVec, aligned_scratch};
use crate::kernels::parallel::{Pieces, Threads};

/// Outputs of a row that are computed together.
const TOGETHER: usize = 8;

/// The weights of a convolution whose groups have one input and one output channel.
#[derive(Debug)]
pub(crate) struct Depthwise {
    arch: Arch,
    blocks: usize,
    taps: usize,
    /// `[blocks][taps][16]`
    weights: AlignedVec,
    /// `[channels]`
    bias: AlignedVec,
}

impl Depthwise {
    /// From weights `[channels, taps]` and a bias `[channels]`.
    pub(crate) fn new(weights: &[f32], bias: Option<&[f32]>, channels: usize) -> Self {
        Self::new_for(Arch::new(), weights, bias, channels)
    }

    /// The same for an instruction set.
    pub(super) fn new_for(arch: Arch, weights: &[f32], bias: Option<&[f32]>, channels: usize) -> Self {
        let (blocks, taps) = (channels.div_ceil(BLOCK), weights.len() / channels.max(1));
        Self { arch, blocks, taps, weights: in_blocks(weights, channels), bias: padded(bias, channels) }
    }

    /// Blocks of the input and the output.
    pub(crate) fn blocks(&self) -> usize {
        self.blocks
    }

    /// Writes the convolution of maps of `input_size` in blocks to `out`; `residual` is laid out as that. The kernel of
    /// the geometry must have as many elements as the weights.
    #[expect(clippy::too_many_arguments, reason = "the operands of a convolution")]
    pub(crate) fn run(
        &self,
        geometry: &Geometry,
        input: &[f32],
        input_size: [usize; 2],
        residual: Option<&[f32]>,
        activation: Activation,
        out: &mut [f32],
        scratch: &mut Vec<f32>,
        threads: &Threads,
    ) {
        let Some(output_size) = geometry.output_size(input_size) else { return };
        let (pixels_in, pixels_out) = (input_size[0] * input_size[1], output_size[0] * output_size[1]);
        if pixels_out == 0 || out.is_empty() {
            return;
        }
        let threads = threads_for(threads, out.len() * self.taps);
        let ring = Ring::new(geometry, input_size, output_size);
        let len = ring.rows * ring.width * BLOCK;
        let pieces = aligned_scratch(scratch, threads.count() * len);
        pieces.fill(0.0);
        let pieces = Pieces::new(pieces, len);
        threads.for_each_chunk_mut(out, pixels_out * BLOCK, |index, out| {
            let block = index % self.blocks;
            pieces.lend(|rows| {
                self.arch.dispatch(Channels {
                    geometry,
                    ring: &ring,
                    weights: &self.weights.as_slice()[block * self.taps * BLOCK..][..self.taps * BLOCK],
                    bias: &self.bias.as_slice()[block * BLOCK..][..BLOCK],
                    input: &input[index * pixels_in * BLOCK..][..pixels_in * BLOCK],
                    input_size,
                    output_size,
                    residual: residual.map(|residual| &residual[index * pixels_out * BLOCK..]),
                    activation,
                    rows,
                    out,
                });
            });
            activation.apply_rest(out);
        });
    }
}

/// Rows of the padded input that a row of output reads; a new row takes the place of the oldest.
struct Ring {
    rows: usize,
    /// Pixels of a row with its padding.
    width: usize,
}

impl Ring {
    fn new(geometry: &Geometry, input: [usize; 2], output: [usize; 2]) -> Self {
        let extent = [0, 1].map(|axis| (geometry.kernel[axis] - 1) * geometry.dilations[axis] + 1);
        let needed = (output[1] - 1) * geometry.strides[1] + extent[1];
        Self { rows: extent[0], width: needed.max(input[1] + geometry.pads[1]) }
    }
}

/// Sixteen channels of one image.
struct Channels<'a, 'b> {
    geometry: &'a Geometry,
    ring: &'a Ring,
    weights: &'a [f32],
    bias: &'a [f32],
    input: &'a [f32],
    input_size: [usize; 2],
    output_size: [usize; 2],
    /// From these channels on.
    residual: Option<&'a [f32]>,
    activation: Activation,
    /// The ring, whose padding on the left and on the right is zero.
    rows: &'b mut [f32],
    out: &'b mut [f32],
}

impl WithSimd for Channels<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // The vectors from one output to the next are known to the compiler.
        match self.geometry.strides[1] * (BLOCK / S::F32_LANES) {
            1 => self.run::<S, 1>(simd),
            2 => self.run::<S, 2>(simd),
            4 => self.run::<S, 4>(simd),
            _ => self.run::<S, 0>(simd),
        }
    }
}

impl Channels<'_, '_> {
    /// `STEP` vectors from one output to the next, or any number for 0.
    #[inline(always)]
    fn run<S: Simd, const STEP: usize>(mut self, simd: S) {
        let (rows, out) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.out));
        let [row_stride, column_stride] = self.geometry.strides;
        let per_pixel = BLOCK / S::F32_LANES;
        let step = if STEP == 0 { column_stride * per_pixel } else { STEP };
        let out_width = self.output_size[1];
        let mut filled = 0;
        for (y, out) in out.chunks_exact_mut(out_width * BLOCK).enumerate() {
            let first = y * row_stride;
            filled = filled.max(first);
            while filled < first + self.ring.rows {
                self.fill(rows, filled);
                filled += 1;
            }
            let out = S::as_mut_simd_f32s(out).0;
            let residual =
                self.residual.map(|residual| S::as_simd_f32s(&residual[y * out_width * BLOCK..]).0);
            for vector in 0..per_pixel {
                let mut x = 0;
                while x < out_width {
                    let place = Place { x, y, vector, step };
                    let count = if out_width - x >= TOGETHER {
                        self.outputs::<S, STEP, TOGETHER>(simd, rows, &place, residual, out)
                    } else if out_width - x >= TOGETHER / 2 {
                        self.outputs::<S, STEP, { TOGETHER / 2 }>(simd, rows, &place, residual, out)
                    } else {
                        self.outputs::<S, STEP, 1>(simd, rows, &place, residual, out)
                    };
                    x += count;
                }
            }
        }
    }

    /// Copies a row of the padded input to its place in the ring.
    #[inline(always)]
    fn fill(&self, rows: &mut [f32], row: usize) {
        let [top, left, ..] = self.geometry.pads;
        let [height, width] = self.input_size;
        let to = &mut rows[(row % self.ring.rows * self.ring.width + left) * BLOCK..][..width * BLOCK];
        match row.checked_sub(top).filter(|&row| row < height) {
            Some(row) => to.copy_from_slice(&self.input[row * width * BLOCK..][..width * BLOCK]),
            None => to.fill(0.0),
        }
    }

    /// `COUNT` neighbouring outputs. Returns how many those are.
    #[inline(always)]
    fn outputs<S: Simd, const STEP: usize, const COUNT: usize>(
        &self,
        simd: S,
        rows: &[f32],
        place: &Place,
        residual: Option<&[S::f32s]>,
        out: &mut [S::f32s],
    ) -> usize {
        let &Place { x, y, vector, step } = place;
        let step = if STEP == 0 { step } else { STEP };
        let per_pixel = BLOCK / S::F32_LANES;
        let [height, width] = self.geometry.kernel;
        let mut sums = [load::<S>(&self.bias[vector * S::F32_LANES..]); COUNT];
        let weights = S::as_simd_f32s(self.weights).0;
        let rows = S::as_simd_f32s(rows).0;
        for ky in 0..height {
            let row = (y * self.geometry.strides[0] + ky * self.geometry.dilations[0]) % self.ring.rows;
            for kx in 0..width {
                let weight = weights[(ky * width + kx) * per_pixel + vector];
                let column = x * self.geometry.strides[1] + kx * self.geometry.dilations[1];
                let values = &rows[(row * self.ring.width + column) * per_pixel + vector..];
                let values = &values[..(COUNT - 1) * step + 1];
                for (at, sum) in sums.iter_mut().enumerate() {
                    *sum = multiply_add(simd, weight, values[at * step], *sum);
                }
            }
        }
        let places = (0..COUNT).map(|at| (x + at) * per_pixel + vector);
        for (at, sum) in places.zip(sums) {
            let sum = residual.map_or(sum, |residual| simd.add_f32s(sum, residual[at]));
            out[at] = self.activation.apply_cheap(simd, sum);
        }
        COUNT
    }
}

/// Where some outputs lie.
struct Place {
    x: usize,
    y: usize,
    /// The vector of the block.
    vector: usize,
    /// Vectors from one output to the next.
    step: usize,
}
