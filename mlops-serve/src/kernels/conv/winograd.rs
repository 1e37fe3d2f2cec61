//! Winograd's minimal filtering for 3x3 kernels of stride 1 (Lavin and Gray, "Fast Algorithms for Convolutional Neural
//! Networks", 2015): F(4x4, 3x3) needs a quarter of the multiplications, F(2x2, 3x3) four ninths.
//!
//! Inputs are cut into overlapping tiles of `SIDE` = `step + 2` rows and columns and transformed; for each of the
//! `SIDE * SIDE` elements of a transformed tile one matrix product `[O, C] x [C, tiles]` sums over the channels; the
//! products are transformed back into `step x step` outputs. Vectors hold the same element of neighbouring tiles,
//! which the split of the input into phases puts next to each other.

#![expect(clippy::needless_range_loop, reason = "blocks of registers read best by index")]

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::Shape;
use super::phases::PhaseLayout;
use crate::kernels::epilogue::Epilogue;
use crate::kernels::gemm::finish::{RowEpilogue, finish_row};
use crate::kernels::gemm::micro::{
    MAX_TILE_ROWS, PANEL_VECTORS, kernel_rows, load, multiply_add, packed_tile, tile_rows,
};
use crate::kernels::gemm::pack::{AlignedVec, aligned_scratch, lanes, panel_vectors};
use crate::kernels::parallel::Threads;
use crate::kernels::shuffle::interleave;

/// Depth of a block of the products: a panel block stays in the first-level cache.
const DEPTH_BLOCK: usize = 256;

/// Values between the elements of transformed inputs: without them, a power of two as number of channels would put all
/// elements of a tile into the same set of the cache.
const SKEW: usize = 48;

/// The step of the tiles that pays for a convolution, if any.
pub(crate) fn tile(shape: &Shape<'_>, in_channels: usize, out_channels: usize) -> Option<usize> {
    let geometry = shape.geometry;
    let fits = geometry.groups == 1
        && geometry.kernel == [3, 3]
        && geometry.strides == [1, 1]
        && geometry.dilations == [1, 1]
        && in_channels >= 16
        && out_channels >= 16;
    let [height, width] = shape.output;
    match height.min(width) {
        _ if !fits => None,
        0..=3 => None,
        4..=8 => Some(2),
        _ => Some(4),
    }
}

/// Transformed weights: for every element of a tile, `[O, C]` packed as left operand.
#[derive(Debug)]
pub(crate) struct WinogradWeights {
    step: usize,
    out_channels: usize,
    in_channels: usize,
    rows: usize,
    data: AlignedVec,
}

// F(4x4, 3x3) interpolates at 0, +-INNER, +-OUTER and infinity. Points with a product of 1 keep the sizes of the
// transformed values close together, and with them the rounding errors.
const INNER: f64 = std::f64::consts::FRAC_1_SQRT_2;
const OUTER: f64 = std::f64::consts::SQRT_2;

/// The matrix G that transforms a kernel, one row for each element of a tile.
fn kernel_transform(step: usize) -> &'static [[f64; 3]] {
    // 1 / (2 p^2 (p^2 - q^2)) for the points p and the other pair q, whose squares are 1/2 and 2.
    const INNER_SCALE: f64 = 1.0 / (2.0 * 0.5 * (0.5 - 2.0));
    const OUTER_SCALE: f64 = 1.0 / (2.0 * 2.0 * (2.0 - 0.5));
    const FOUR: [[f64; 3]; 6] = [
        [1.0, 0.0, 0.0],
        [INNER_SCALE, INNER_SCALE * INNER, INNER_SCALE * 0.5],
        [INNER_SCALE, -INNER_SCALE * INNER, INNER_SCALE * 0.5],
        [OUTER_SCALE, OUTER_SCALE * OUTER, OUTER_SCALE * 2.0],
        [OUTER_SCALE, -OUTER_SCALE * OUTER, OUTER_SCALE * 2.0],
        [0.0, 0.0, 1.0],
    ];
    const TWO: [[f64; 3]; 4] = [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]];
    if step == 4 { &FOUR } else { &TWO }
}

/// B^T d: the transform of inputs along one axis.
#[inline(always)]
fn input_transform<S: Simd, const SIDE: usize>(simd: S, d: [S::f32s; SIDE]) -> [S::f32s; SIDE] {
    let add = |a, b| simd.add_f32s(a, b);
    let sub = |a, b| simd.sub_f32s(a, b);
    let mut out = d;
    if SIDE == 6 {
        let scaled = |a, factor: f64| simd.mul_f32s(a, simd.splat_f32s(factor as f32));
        // a * factor + b
        let fused = |a, factor: f32, b| multiply_add(simd, a, simd.splat_f32s(factor), b);
        let (inner_even, outer_even) = (fused(d[2], -2.0, d[4]), fused(d[2], -0.5, d[4]));
        let inner_odd = scaled(fused(d[1], -2.0, d[3]), INNER);
        let outer_odd = scaled(fused(d[1], -0.5, d[3]), OUTER);
        out[0] = fused(d[2], -2.5, add(d[0], d[4]));
        out[1] = add(inner_even, inner_odd);
        out[2] = sub(inner_even, inner_odd);
        out[3] = add(outer_even, outer_odd);
        out[4] = sub(outer_even, outer_odd);
        out[5] = fused(d[3], -2.5, add(d[1], d[5]));
    } else {
        out[0] = sub(d[0], d[2]);
        out[1] = add(d[1], d[2]);
        out[2] = sub(d[2], d[1]);
        out[3] = sub(d[1], d[3]);
    }
    out
}

/// A^T m: the transform of products along one axis.
#[inline(always)]
fn output_transform<S: Simd, const SIDE: usize, const STEP: usize>(
    simd: S,
    m: [S::f32s; SIDE],
) -> [S::f32s; STEP] {
    let add = |a, b| simd.add_f32s(a, b);
    let sub = |a, b| simd.sub_f32s(a, b);
    let mut out = [m[0]; STEP];
    if STEP == 4 {
        let scaled = |a, factor: f64| simd.mul_f32s(a, simd.splat_f32s(factor as f32));
        let fused = |a, factor: f64, b| multiply_add(simd, a, simd.splat_f32s(factor as f32), b);
        let (inner_sum, inner_difference) = (add(m[1], m[2]), sub(m[1], m[2]));
        let (outer_sum, outer_difference) = (add(m[3], m[4]), sub(m[3], m[4]));
        out[0] = add(add(m[0], inner_sum), outer_sum);
        out[1] = fused(outer_difference, OUTER, scaled(inner_difference, INNER));
        out[2] = fused(outer_sum, 2.0, scaled(inner_sum, 0.5));
        out[3] = fused(outer_difference, 2.0 * OUTER, fused(inner_difference, 0.5 * INNER, m[5]));
    } else {
        out[0] = add(add(m[0], m[1]), m[2]);
        out[1] = sub(sub(m[1], m[2]), m[3]);
    }
    out
}

impl WinogradWeights {
    /// Transforms weights `[O, C, 3, 3]`, in double precision.
    pub(crate) fn new(
        arch: Arch,
        weights: &[f32],
        out_channels: usize,
        in_channels: usize,
        step: usize,
    ) -> Self {
        let transform = kernel_transform(step);
        let side = step + 2;
        let rows = tile_rows(lanes(arch));
        let element_len = element_len(out_channels, in_channels, rows);
        let mut data = AlignedVec::zeros(side * side * element_len);
        let packed = data.as_mut_slice();
        for out in 0..out_channels {
            let (first, height) =
                (out / rows * rows, kernel_rows(rows.min(out_channels - out / rows * rows)));
            for channel in 0..in_channels {
                let kernel = &weights[(out * in_channels + channel) * 9..][..9];
                for i in 0..side {
                    let row: [f64; 3] = std::array::from_fn(|x| {
                        (0..3).map(|y| transform[i][y] * f64::from(kernel[y * 3 + x])).sum()
                    });
                    for j in 0..side {
                        let value: f64 = (0..3).map(|x| row[x] * transform[j][x]).sum();
                        let element = (i * side + j) * element_len;
                        packed[element + first * in_channels + channel * height + out - first] = value as f32;
                    }
                }
            }
        }
        Self { step, out_channels, in_channels, rows, data }
    }

    /// Convolves one image.
    #[expect(clippy::too_many_arguments, reason = "the operands of a convolution")]
    pub(crate) fn run(
        &self,
        arch: Arch,
        shape: &Shape<'_>,
        input: &[f32],
        epilogue: &Epilogue<'_>,
        out: &mut [f32],
        scratch: &mut Vec<f32>,
        threads: &Threads,
    ) {
        if self.step == 4 {
            self.run_step::<6, 4>(arch, shape, input, epilogue, out, scratch, threads);
        } else {
            self.run_step::<4, 2>(arch, shape, input, epilogue, out, scratch, threads);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the operands of a convolution")]
    fn run_step<const SIDE: usize, const STEP: usize>(
        &self,
        arch: Arch,
        shape: &Shape<'_>,
        input: &[f32],
        epilogue: &Epilogue<'_>,
        out: &mut [f32],
        scratch: &mut Vec<f32>,
        threads: &Threads,
    ) {
        let lanes = lanes(arch);
        let width = PANEL_VECTORS * lanes;
        let grid = shape.output.map(|size| size.div_ceil(STEP));
        let tiles = grid[0] * grid[1];
        let panels = tiles.div_ceil(width);
        // One thread takes a panel at a time through all stages, so that it stays in the second-level cache.
        let together = if threads.count() == 1 { 1 } else { panels.min(2 * threads.count()) };
        let shares = if threads.count() == 1 { 1 } else { 4 * threads.count() };
        let elements = SIDE * SIDE;
        let inputs_len = elements * (self.in_channels * width + SKEW);
        let product_len = (self.out_channels + MAX_TILE_ROWS) * width;
        let scratch = aligned_scratch(scratch, together * (inputs_len + elements * product_len));
        let (inputs, products) = scratch.split_at_mut(together * inputs_len);

        for first_panel in (0..panels).step_by(together) {
            let count = together.min(panels - first_panel);
            let tiles_of = |panel: usize| (panel * width, tiles.min((panel + 1) * width));
            // Stage 1: transform the inputs, channels shared out among the threads.
            let channels = self.in_channels.div_ceil(shares);
            let mut tasks = Vec::new();
            for (index, inputs) in inputs.chunks_exact_mut(inputs_len).take(count).enumerate() {
                let (first, end) = tiles_of(first_panel + index);
                let stored = panel_vectors(end - first, lanes) * lanes;
                let mut parts: Vec<[&mut [f32]; 36]> = Vec::new();
                parts.resize_with(self.in_channels.div_ceil(channels), || {
                    std::array::from_fn(|_| Default::default())
                });
                for (element, inputs) in inputs.chunks_exact_mut(self.in_channels * width + SKEW).enumerate()
                {
                    let inputs = &mut inputs[..self.in_channels * stored];
                    for (parts, inputs) in parts.iter_mut().zip(inputs.chunks_mut(channels * stored)) {
                        parts[element] = inputs;
                    }
                }
                tasks.extend(parts.into_iter().enumerate().map(|(part, inputs)| Inputs::<SIDE, STEP> {
                    input,
                    shape,
                    channels: part * channels..self.in_channels.min((part + 1) * channels),
                    grid_width: grid[1],
                    first,
                    end,
                    stored,
                    inputs,
                }));
            }
            threads.for_each_mut(&mut tasks, |_, task| arch.dispatch(task));
            drop(tasks);

            // Stage 2: the products, elements shared out among the threads.
            let inputs = &*inputs;
            threads.for_each_chunk_mut(
                &mut products[..count * elements * product_len],
                product_len,
                |index, product| {
                    let (panel, element) = (index / elements, index % elements);
                    let (first, end) = tiles_of(first_panel + panel);
                    let vectors = panel_vectors(end - first, lanes);
                    let inputs = &inputs[panel * inputs_len + element * (self.in_channels * width + SKEW)..];
                    let inputs = &inputs[..self.in_channels * vectors * lanes];
                    arch.dispatch(Product { weights: self, element, vectors, inputs, product });
                },
            );

            // Stage 3: transform the outputs, channels shared out among the threads.
            let products = &*products;
            let pixels = shape.output[0] * shape.output[1];
            let rows = self.out_channels.div_ceil(shares);
            threads.for_each_chunk_mut(out, rows * pixels, |index, out| {
                for panel in 0..count {
                    let (first, end) = tiles_of(first_panel + panel);
                    arch.dispatch(Outputs::<SIDE, STEP> {
                        products: &products[panel * elements * product_len..][..elements * product_len],
                        product_len,
                        stored: panel_vectors(end - first, lanes) * lanes,
                        first_channel: index * rows,
                        size: shape.output,
                        grid_width: grid[1],
                        first,
                        end,
                        epilogue,
                        out,
                    });
                }
            });
        }
        if !epilogue.activation.is_cheap() {
            threads.for_each_chunk_mut(out, 1 << 14, |_, out| epilogue.activation.apply_rest(out));
        }
    }
}

/// Values the weights of one element take.
fn element_len(out_channels: usize, in_channels: usize, rows: usize) -> usize {
    let rest = out_channels % rows;
    let tail = if rest == 0 { 0 } else { kernel_rows(rest) };
    (out_channels / rows * rows + tail) * in_channels
}

/// A stretch of tiles of one row of tiles, no longer than a vector.
struct Stretch {
    row: usize,
    column: usize,
    /// Its first tile in the panel.
    target: usize,
    len: usize,
}

/// The stretches that make up tiles `first..end`.
#[inline(always)]
fn stretches(first: usize, end: usize, grid_width: usize, lanes: usize) -> impl Iterator<Item = Stretch> {
    let mut tile = first;
    std::iter::from_fn(move || {
        if tile >= end {
            return None;
        }
        let (row, column) = (tile / grid_width, tile % grid_width);
        let len = (grid_width - column).min(end - tile).min(lanes);
        let stretch = Stretch { row, column, target: tile - first, len };
        tile += len;
        Some(stretch)
    })
}

/// Transforms some channels of the tiles of a panel.
struct Inputs<'a, const SIDE: usize, const STEP: usize> {
    /// All channels.
    input: &'a [f32],
    shape: &'a Shape<'a>,
    channels: Range<usize>,
    grid_width: usize,
    first: usize,
    end: usize,
    stored: usize,
    /// For every element `[channels, stored]`.
    inputs: [&'a mut [f32]; 36],
}

impl<const SIDE: usize, const STEP: usize> WithSimd for &mut Inputs<'_, SIDE, STEP> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // The rows of the input under the rows of tiles that the panel touches.
        let rows = self.first / self.grid_width..(self.end - 1) / self.grid_width + 1;
        let (layout, skipped) =
            PhaseLayout::of_rows(self.shape, [STEP; 2], [SIDE; 2], rows.clone(), self.grid_width);
        let [height, width] = self.shape.input;
        let offsets: [[usize; SIDE]; SIDE] =
            std::array::from_fn(|i| std::array::from_fn(|j| layout.offset(i, j)));
        // Some channels are filled before the first is read: a vector just written piece by piece is slow to read.
        const AHEAD: usize = 4;
        let planes_len = layout.channel_len();
        let mut planes = vec![0.0; AHEAD * planes_len];
        for (index, channel) in self.channels.clone().enumerate() {
            if index % AHEAD == 0 {
                for (channel, planes) in (channel..self.channels.end).zip(planes.chunks_exact_mut(planes_len))
                {
                    layout.fill(simd, self.input, channel * height * width + skipped * width, planes);
                }
            }
            let planes = &planes[index % AHEAD * planes_len..][..planes_len];
            for stretch in stretches(self.first, self.end, self.grid_width, S::F32_LANES) {
                let planes = &planes[(stretch.row - rows.start) * layout.pitch() + stretch.column..];
                let mut half = [[simd.splat_f32s(0.0); SIDE]; SIDE];
                for j in 0..SIDE {
                    let mut column = [simd.splat_f32s(0.0); SIDE];
                    for i in 0..SIDE {
                        column[i] = load::<S>(&planes[offsets[i][j]..]);
                    }
                    let column = input_transform::<S, SIDE>(simd, column);
                    for i in 0..SIDE {
                        half[i][j] = column[i];
                    }
                }
                let target = index * self.stored + stretch.target;
                for i in 0..SIDE {
                    let row = input_transform::<S, SIDE>(simd, half[i]);
                    for j in 0..SIDE {
                        store(simd, row[j], &mut self.inputs[i * SIDE + j][target..], stretch.len);
                    }
                }
            }
        }
    }
}

/// Stores at least the first `len` lanes; the others go where something is stored later, or nowhere.
#[inline(always)]
fn store<S: Simd>(_: S, value: S::f32s, out: &mut [f32], len: usize) {
    if let Some(out) = S::as_mut_simd_f32s(out).0.first_mut() {
        *out = value;
        return;
    }
    let mut values = [0.0; 16];
    S::as_mut_simd_f32s(&mut values).0[0] = value;
    out[..len].copy_from_slice(&values[..len]);
}

/// The product of one element, for all channels and the tiles of a panel.
struct Product<'a, 'b> {
    weights: &'a WinogradWeights,
    element: usize,
    vectors: usize,
    /// `[C, stored]`
    inputs: &'a [f32],
    /// `[O, stored]` and room for a tile more.
    product: &'b mut [f32],
}

impl WithSimd for Product<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { weights, element, vectors, inputs, product } = self;
        let (depth, rows) = (weights.in_channels, weights.rows);
        let stored = vectors * S::F32_LANES;
        let element_len = element_len(weights.out_channels, depth, rows);
        let left = &weights.data.as_slice()[element * element_len..][..element_len];
        let step = depth.div_ceil(depth.div_ceil(DEPTH_BLOCK));
        for from in (0..depth).step_by(step) {
            let block = step.min(depth - from);
            let panel = &inputs[from * stored..][..block * stored];
            for first in (0..weights.out_channels).step_by(rows) {
                let count = rows.min(weights.out_channels - first);
                let left = &left[first * depth + from * kernel_rows(count)..][..block * kernel_rows(count)];
                packed_tile(simd, count, left, vectors, panel, &mut product[first * stored..], from > 0);
            }
        }
    }
}

/// Transforms the tiles of a panel back, for some output channels.
struct Outputs<'a, 'b, const SIDE: usize, const STEP: usize> {
    /// For every element `[O, stored]`.
    products: &'a [f32],
    product_len: usize,
    stored: usize,
    first_channel: usize,
    size: [usize; 2],
    grid_width: usize,
    first: usize,
    end: usize,
    epilogue: &'a Epilogue<'a>,
    out: &'b mut [f32],
}

impl<const SIDE: usize, const STEP: usize> WithSimd for Outputs<'_, '_, SIDE, STEP> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let [height, width] = self.size;
        let mut row = [0.0; 64];
        for (channel, out) in (self.first_channel..).zip(self.out.chunks_exact_mut(height * width)) {
            for stretch in stretches(self.first, self.end, self.grid_width, S::F32_LANES) {
                let at = channel * self.stored + stretch.target;
                let mut half = [[simd.splat_f32s(0.0); SIDE]; STEP];
                for j in 0..SIDE {
                    let mut column = [simd.splat_f32s(0.0); SIDE];
                    for i in 0..SIDE {
                        column[i] = load::<S>(&self.products[(i * SIDE + j) * self.product_len + at..]);
                    }
                    let column = output_transform::<S, SIDE, STEP>(simd, column);
                    for i in 0..STEP {
                        half[i][j] = column[i];
                    }
                }
                let x = stretch.column * STEP;
                let len = (stretch.len * STEP).min(width - x);
                for i in 0..STEP {
                    let y = stretch.row * STEP + i;
                    if y >= height {
                        break;
                    }
                    let values = output_transform::<S, SIDE, STEP>(simd, half[i]);
                    interleave::<S, STEP>(simd, values, &mut row);
                    let at = y * width + x;
                    let epilogue = RowEpilogue::of_channel(self.epilogue, channel, height * width, at, len);
                    finish_row(simd, &row, &mut out[at..][..len], &epilogue);
                }
            }
        }
    }
}
