//! Convolution as matrix multiplication on patches that are gathered a panel at a time.
//!
//! With many pixels the weights `[O, C * kH * kW]` are the left operand and panels of pixels the right one. With few
//! (the last stages of a network) the pixels are the left operand, and the weights, packed, the right one: channels
//! fill the vectors where a handful of pixels would leave them half empty.

use pulp::{Arch, Simd, WithSimd};

use super::Shape;
use super::phases::PhaseLayout;
use crate::kernels::epilogue::Epilogue;
use crate::kernels::gemm::finish::{RowEpilogue, finish_row};
use crate::kernels::gemm::micro::{
    MAX_PANEL_WIDTH, MAX_TILE_ROWS, PANEL_VECTORS, kernel_rows, packed_tile, strided_tile, tile_rows,
};
use crate::kernels::gemm::pack::{Panels, aligned_scratch, lanes, packed_len, panel_vectors};
use crate::kernels::gemm::{Block, MatrixRef, Multiply, PackedA, PackedB};
use crate::kernels::parallel::{Pieces, Threads};
use crate::kernels::shuffle::{STEP, transpose};

/// Values of packed pixels handled together: they stay in the second-level cache while all weights pass by.
const PACKED_VALUES: usize = 192 * 1024;

/// Depth of a block of the transposed product: the block of a panel of weights stays in the first-level cache.
const DEPTH_BLOCK: usize = 256;

/// Input channels up to which pixels that need no gathering are not packed: with more, the rows lie on too many pages.
const UNPACKED_DEPTH: usize = 192;

/// Values of planes that are filled before the first of them is read: a vector just written piece by piece is slow to
/// read.
const AHEAD: usize = 4096;

/// The inputs that meet the kernel at every output pixel of one image and group.
#[derive(Clone, Copy, Debug)]
struct Patches<'a> {
    shape: &'a Shape<'a>,
    channels: usize,
    input: &'a [f32],
}

impl Patches<'_> {
    /// A 1x1 convolution whose input is already the matrix to multiply with.
    fn is_matrix(&self) -> bool {
        let geometry = self.shape.geometry;
        geometry.kernel == [1, 1] && geometry.strides == [1, 1] && geometry.pads == [0; 4]
    }

    fn channel_len(&self) -> usize {
        self.shape.input[0] * self.shape.input[1]
    }
}

/// A stretch of pixels whose inputs are adjacent.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    source: usize,
    target: usize,
    len: usize,
}

/// Some pixels side by side, packed as `[depth][stored]`; columns beyond the pixels hold anything.
struct PixelPanel<'a> {
    runs: [Run; MAX_PANEL_WIDTH],
    count: usize,
    stored: usize,
    data: &'a mut [f32],
}

impl<'a> PixelPanel<'a> {
    /// `pixels` pixels from `first` on, where rows of `width` pixels lie `pitch` apart.
    fn new(
        first: usize,
        pixels: usize,
        width: usize,
        pitch: usize,
        stored: usize,
        data: &'a mut [f32],
    ) -> Self {
        let mut panel = Self { runs: [Run::default(); MAX_PANEL_WIDTH], count: 0, stored, data };
        let mut target = 0;
        while target < pixels {
            let (row, column) = ((first + target) / width, (first + target) % width);
            let len = (width - column).min(pixels - target);
            panel.runs[panel.count] = Run { source: row * pitch + column, target, len };
            target += len;
            panel.count += 1;
        }
        panel
    }

    /// Packs one channel, whose first row of the panel is `depth`.
    #[inline(always)]
    fn pack(&mut self, planes: &[f32], taps: &[usize], depth: usize) {
        let mut at = depth * self.stored;
        if let [Run { source, target: 0, len: MAX_PANEL_WIDTH }] = self.runs[..self.count] {
            for &tap in taps {
                let (source, target) = (&planes[tap + source..], &mut self.data[at..]);
                if let (Some(source), Some(target)) = (source.first_chunk(), target.first_chunk_mut()) {
                    let source: &[f32; MAX_PANEL_WIDTH] = source;
                    *target = *source;
                }
                at += self.stored;
            }
            return;
        }
        for &tap in taps {
            for run in &self.runs[..self.count] {
                copy_run(&planes[tap + run.source..], &mut self.data[at + run.target..], run.len);
            }
            at += self.stored;
        }
    }
}

/// Packs `count` pixels from `first` on in panels of `step` pixels.
struct Pack<'a, 'b> {
    patches: Patches<'a>,
    first: usize,
    count: usize,
    step: usize,
    /// Columns stored for a number of pixels.
    stored: fn(usize, usize) -> usize,
    lanes: usize,
    data: &'b mut [f32],
}

impl WithSimd for Pack<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { patches, first, count, step, stored, lanes, data } = self;
        let Patches { shape, channels, input } = patches;
        let geometry = shape.geometry;
        let channel_len = patches.channel_len();
        let width = if patches.is_matrix() { channel_len } else { shape.output[1] };
        let rows = first / width..(first + count - 1) / width + 1;
        let extent = [0, 1].map(|axis| (geometry.kernel[axis] - 1) * geometry.dilations[axis] + 1);
        let (layout, skipped) = PhaseLayout::of_rows(shape, geometry.strides, extent, rows.clone(), width);
        let depth = channels * geometry.kernel[0] * geometry.kernel[1];

        let mut panels = Vec::with_capacity(count.div_ceil(step));
        let mut rest = data;
        for start in (0..count).step_by(step) {
            let pixels = (count - start).min(step);
            let stored = stored(pixels, lanes);
            let (data, after) = std::mem::take(&mut rest).split_at_mut(depth * stored);
            rest = after;
            let first = first + start - rows.start * width;
            panels.push(PixelPanel::new(first, pixels, width, layout.pitch(), stored, data));
        }
        if patches.is_matrix() {
            for panel in &mut panels {
                for channel in 0..channels {
                    panel.pack(&input[channel * channel_len..], &[0], channel);
                }
            }
            return;
        }
        let taps = layout.taps(geometry);
        let planes_len = layout.channel_len();
        let ahead = (AHEAD / planes_len).clamp(1, channels.max(1));
        let mut planes = vec![0.0; ahead * planes_len];
        for first in (0..channels).step_by(ahead) {
            let together = ahead.min(channels - first);
            for (channel, planes) in (first..first + together).zip(planes.chunks_exact_mut(planes_len)) {
                layout.fill(simd, input, channel * channel_len + skipped * shape.input[1], planes);
            }
            for (channel, planes) in (first..first + together).zip(planes.chunks_exact(planes_len)) {
                for panel in &mut panels {
                    panel.pack(planes, &taps, channel * taps.len());
                }
            }
        }
    }
}

/// Copies `len` values, and whatever follows them where that saves counting: later copies overwrite it.
#[inline(always)]
fn copy_run(source: &[f32], target: &mut [f32], len: usize) {
    const STEP: usize = 16;
    let mut done = 0;
    while done < len {
        match (source[done..].first_chunk::<STEP>(), target[done..].first_chunk_mut::<STEP>()) {
            (Some(source), Some(target)) => *target = *source,
            _ => {
                target[done..len].copy_from_slice(&source[done..len]);
                return;
            }
        }
        done += STEP;
    }
}

/// `out[O, pixels] = weights[O, depth] * patches[depth, pixels]` for one image and group.
#[expect(clippy::too_many_arguments, reason = "the operands of a convolution")]
pub(crate) fn run(
    arch: Arch,
    weights: &PackedA,
    shape: &Shape<'_>,
    channels: usize,
    input: &[f32],
    epilogue: &Epilogue<'_>,
    out: &mut [f32],
    scratch: &mut Vec<f32>,
    threads: &Threads,
) {
    let lanes = lanes(arch);
    let width = PANEL_VECTORS * lanes;
    let depth = weights.depth();
    let pixels = shape.output[0] * shape.output[1];
    // Panels packed together, and how the pixels are divided among the threads.
    let panels = pixels.div_ceil(width);
    let together = (PACKED_VALUES / (depth * width).max(1)).clamp(1, panels);
    let workers = threads.count().min(panels);
    let task_panels = if workers == 1 { panels } else { panels.div_ceil(2 * workers) };
    let together = together.min(task_panels);
    let packed = (depth * together * width).next_multiple_of(16).max(16);

    let packs = aligned_scratch(scratch, workers * packed);
    let patches = Patches { shape, channels, input };
    let mut tasks: Vec<Vec<&mut [f32]>> = Vec::new();
    tasks.resize_with(panels.div_ceil(task_panels), || Vec::with_capacity(weights.rows()));
    for row in out.chunks_exact_mut(pixels) {
        for (task, part) in tasks.iter_mut().zip(row.chunks_mut(task_panels * width)) {
            task.push(part);
        }
    }
    let packs = Pieces::new(packs, packed);
    threads.for_each_mut(&mut tasks, |index, rows| {
        let first = index * task_panels * width;
        packs.lend(|pack| {
            arch.dispatch(Pixels {
                weights,
                patches,
                epilogue,
                row_stride: pixels,
                first,
                together,
                rows,
                pack,
            });
        });
    });
}

/// A range of pixels, for all output channels.
struct Pixels<'a, 'b, 'c> {
    weights: &'a PackedA,
    patches: Patches<'a>,
    epilogue: &'a Epilogue<'a>,
    row_stride: usize,
    /// The first pixel.
    first: usize,
    /// Panels packed together.
    together: usize,
    /// The pixels of every output channel.
    rows: &'b mut [&'c mut [f32]],
    pack: &'b mut [f32],
}

impl WithSimd for Pixels<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let lanes = S::F32_LANES;
        let width = PANEL_VECTORS * lanes;
        let depth = self.weights.depth();
        let pixels = self.rows.first().map_or(0, |row| row.len());
        let mut start = 0;
        while start < pixels {
            let first = self.first + start;
            let unpacked = self.patches.is_matrix() && depth <= UNPACKED_DEPTH;
            let b = if unpacked && pixels - start >= lanes {
                let data = &self.patches.input[first..];
                let columns = (pixels - start) / lanes * lanes;
                Panels { data, row_stride: Some(self.patches.channel_len()), depth, columns, lanes }
            } else {
                let count = (self.together * width).min(pixels - start);
                let data = &mut self.pack[..packed_len(depth, count, lanes)];
                let stored = |pixels: usize, lanes: usize| panel_vectors(pixels, lanes) * lanes;
                simd.vectorize(Pack {
                    patches: self.patches,
                    first,
                    count,
                    step: width,
                    stored,
                    lanes,
                    data,
                });
                Panels { data, row_stride: None, depth, columns: count, lanes }
            };
            let block = Block {
                a: MatrixRef {
                    data: &[],
                    rows: self.weights.rows(),
                    columns: depth,
                    row_stride: 0,
                    column_stride: 1,
                },
                packed: Some(self.weights),
                b,
                epilogue: self.epilogue,
                row_stride: self.row_stride,
                first_row: 0,
                first_column: first,
                panels: 0..b.count(),
            };
            let mut rows: Vec<&mut [f32]> =
                self.rows.iter_mut().map(|row| &mut row[start..][..b.columns]).collect();
            simd.vectorize(Multiply { block, out: &mut rows });
            start += b.columns;
        }
    }
}

/// Rows of the tiles into which pixels are cut for the transposed product.
fn pixel_tile(lanes: usize) -> usize {
    if lanes == 16 { MAX_TILE_ROWS } else { tile_rows(lanes) }
}

/// Whether channels fill the vectors so much better than pixels that writing transposed tiles pays.
pub(crate) fn prefers_transposed(arch: Arch, out_channels: usize, depth: usize, pixels: usize) -> bool {
    let lanes = lanes(arch);
    let tile = pixel_tile(lanes);
    let used = |count: usize, stored: usize| count as f32 / stored as f32;
    let by_pixels = used(pixels, pixels.next_multiple_of(lanes));
    let tiles =
        pixels / tile * tile + if pixels.is_multiple_of(tile) { 0 } else { kernel_rows(pixels % tile) };
    let by_channels = used(pixels, tiles) * used(out_channels, out_channels.next_multiple_of(lanes));
    depth >= 64 && pixels <= 256 && by_channels > 1.1 * by_pixels
}

/// The product of [`run`] with the weights as right operand, each panel of which is read only once.
#[expect(clippy::too_many_arguments, reason = "the operands of a convolution")]
pub(crate) fn run_transposed(
    weights: &PackedB,
    shape: &Shape<'_>,
    channels: usize,
    input: &[f32],
    epilogue: &Epilogue<'_>,
    out: &mut [f32],
    scratch: &mut Vec<f32>,
    threads: &Threads,
) {
    let arch = weights.arch();
    let panels = weights.view();
    let width = panels.width();
    let depth = weights.rows();
    let pixels = shape.output[0] * shape.output[1];
    let tile = pixel_tile(panels.lanes);
    let tiles = pixels.div_ceil(tile);
    let left_len = (tiles * tile * depth).next_multiple_of(16);
    let sums_len = (tiles * tile * width).next_multiple_of(16);
    let row_len = (width * (pixels + STEP)).next_multiple_of(16);
    let workers = threads.count();

    let scratch = aligned_scratch(scratch, left_len + workers * (sums_len + row_len));
    let (left, work) = scratch.split_at_mut(left_len);
    let patches = Patches { shape, channels, input };
    let together = if workers == 1 { tiles } else { tiles.div_ceil(2 * workers) };
    threads.for_each_chunk_mut(&mut left[..tiles * tile * depth], together * tile * depth, |index, data| {
        let first = index * together * tile;
        let count = (together * tile).min(pixels - first);
        let stored = |pixels: usize, _: usize| kernel_rows(pixels);
        arch.dispatch(Pack { patches, first, count, step: tile, stored, lanes: panels.lanes, data });
    });
    let left = &*left;
    let pieces = Pieces::new(work, sums_len + row_len);
    threads.for_each_chunk_mut(out, width * pixels, |index, out| {
        pieces.lend(|piece| {
            let (sums, rows) = piece.split_at_mut(sums_len);
            arch.dispatch(Channels { panels, index, left, tile, pixels, epilogue, sums, rows, out });
        });
    });
}

/// One panel of output channels, for all pixels.
struct Channels<'a, 'b> {
    panels: Panels<'a>,
    index: usize,
    /// Tiles of pixels, each with room for `tile` of them.
    left: &'a [f32],
    tile: usize,
    pixels: usize,
    epilogue: &'a Epilogue<'a>,
    /// Room for the tiles of the product.
    sums: &'b mut [f32],
    /// Room for the product, channels as rows.
    rows: &'b mut [f32],
    out: &'b mut [f32],
}

impl WithSimd for Channels<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { panels, index, left, tile, pixels, epilogue, sums, rows, out } = self;
        let depth = panels.depth;
        let (channels, vectors) = panels.shape(index);
        let stored = vectors * S::F32_LANES;
        let step = if pixels <= tile { depth } else { depth.div_ceil(depth.div_ceil(DEPTH_BLOCK)) };
        for from in (0..depth).step_by(step.max(1)) {
            let block = step.min(depth - from);
            let panel = panels.panel(index, vectors, from, block);
            for (first, (left, sums)) in (0..pixels)
                .step_by(tile)
                .zip(left.chunks_exact(tile * depth).zip(sums.chunks_exact_mut(tile * panels.width())))
            {
                let count = tile.min(pixels - first);
                let height = kernel_rows(count);
                if height == 1 && from == 0 && block == depth {
                    strided_tile(simd, 1, (left, depth), depth, vectors, panel, sums);
                } else {
                    let left = &left[from * height..][..block * height];
                    packed_tile(simd, count, left, vectors, panel, sums, from > 0);
                }
            }
        }
        let pitch = pixels + STEP;
        for (first, sums) in (0..pixels).step_by(tile).zip(sums.chunks_exact(tile * panels.width())) {
            let count = tile.min(pixels - first);
            if S::F32_LANES == STEP {
                for block in 0..vectors {
                    let mut values = [[0.0; STEP]; STEP];
                    for (values, sums) in values.iter_mut().zip(sums.chunks_exact(stored)).take(count) {
                        if let Some(sums) = sums[block * STEP..].first_chunk::<STEP>() {
                            *values = *sums;
                        }
                    }
                    transpose(simd, &mut values);
                    // What is written beyond the tile is overwritten by the next one, or never read.
                    for (values, row) in
                        values.iter().zip(rows[block * STEP * pitch..].chunks_exact_mut(pitch))
                    {
                        if let Some(row) = row[first..].first_chunk_mut::<STEP>() {
                            *row = *values;
                        }
                    }
                }
                continue;
            }
            for (channel, row) in rows.chunks_exact_mut(pitch).take(channels).enumerate() {
                for (value, sums) in row[first..][..count].iter_mut().zip(sums.chunks_exact(stored)) {
                    *value = sums[channel];
                }
            }
        }
        let first_channel = index * panels.width();
        for ((channel, out), row) in
            (first_channel..).zip(out.chunks_exact_mut(pixels)).zip(rows.chunks_exact(pitch))
        {
            finish_row(simd, row, out, &RowEpilogue::of_channel(epilogue, channel, pixels, 0, pixels));
            epilogue.activation.apply_rest(out);
        }
    }
}
