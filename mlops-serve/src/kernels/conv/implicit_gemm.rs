//! Convolution as matrix multiplication on patches that are gathered a panel at a time.
//!
//! With many pixels the weights `[O, C * kH * kW]` are the left operand and panels of pixels the right one. With few
//! (the last stages of a network) the pixels are the left operand, and the weights, packed, the right one: channels
//! fill the vectors where a handful of pixels would leave them half empty.

use std::sync::{Mutex, PoisonError};

use pulp::{Arch, Simd, WithSimd};

use super::Shape;
use super::phases::PhaseLayout;
use crate::kernels::epilogue::Epilogue;
use crate::kernels::gemm::finish::{RowEpilogue, finish_row};
use crate::kernels::gemm::micro::{
    MAX_PANEL_WIDTH, MAX_TILE_ROWS, PANEL_VECTORS, kernel_rows, packed_tile, strided_tile, tile_rows,
};
use crate::kernels::gemm::pack::{Panels, aligned_scratch, lanes, pack_panels, packed_len, panel_vectors};
use crate::kernels::gemm::{Block, MatrixRef, Multiply, PackedA, PackedB};
use crate::kernels::parallel::Threads;

/// Values of packed pixels handled together: they stay in the second-level cache while all weights pass by.
const PACKED_VALUES: usize = 192 * 1024;

/// Depth of a block of the transposed product: the block of a panel of weights stays in the first-level cache.
const DEPTH_BLOCK: usize = 256;

/// A stretch of pixels whose inputs are adjacent.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    source: usize,
    target: usize,
    len: usize,
}

/// Where the patches of a convolution are found.
#[derive(Clone, Copy, Debug)]
struct Patches<'a> {
    planes: &'a [f32],
    layout: PhaseLayout,
    channels: usize,
    /// Where the input of each kernel element at the first output lies in the planes of a channel.
    taps: &'a [usize],
    out_width: usize,
}

impl<'a> Patches<'a> {
    fn layout(shape: &Shape<'_>) -> PhaseLayout {
        let geometry = shape.geometry;
        let extent = [0, 1].map(|axis| (geometry.kernel[axis] - 1) * geometry.dilations[axis] + 1);
        let before = [geometry.pads[0], geometry.pads[1]];
        PhaseLayout::new(shape.input, before, geometry.strides, extent, shape.output)
    }

    fn new(shape: &Shape<'_>, channels: usize, planes: &'a [f32], taps: &'a [usize]) -> Self {
        Self { planes, layout: Self::layout(shape), channels, taps, out_width: shape.output[1] }
    }

    /// A 1x1 convolution whose input is already the matrix to multiply with.
    fn is_matrix(&self) -> bool {
        self.taps.len() == 1 && self.layout.is_identity()
    }

    /// Packs `pixels` pixels from `first` on as `[depth][stored]`; columns beyond the pixels hold anything.
    #[inline(always)]
    fn pack(&self, first: usize, pixels: usize, stored: usize, panel: &mut [f32]) {
        let mut runs = [Run::default(); MAX_PANEL_WIDTH];
        let mut count = 0;
        let mut target = 0;
        while target < pixels {
            let (row, column) = ((first + target) / self.out_width, (first + target) % self.out_width);
            let len = (self.out_width - column).min(pixels - target);
            runs[count] = Run { source: row * self.layout.pitch() + column, target, len };
            target += len;
            count += 1;
        }
        let runs = &runs[..count];
        let mut depth = 0;
        for channel in 0..self.channels {
            let planes = &self.planes[channel * self.layout.channel_len()..];
            for &tap in self.taps {
                let planes = &planes[tap..];
                let panel = &mut panel[depth * stored..];
                for run in runs {
                    copy_run(&planes[run.source..], &mut panel[run.target..], run.len);
                }
                depth += 1;
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

/// Fills the planes of some channels, from channel `first` on.
struct Fill<'a, 'b> {
    layout: &'a PhaseLayout,
    input: &'a [f32],
    channel_len: usize,
    first: usize,
    planes: &'b mut [f32],
}

impl WithSimd for Fill<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for (channel, planes) in (self.first..).zip(self.planes.chunks_exact_mut(self.layout.channel_len())) {
            self.layout.fill(simd, self.input, channel * self.channel_len, planes);
        }
    }
}

/// The planes of `input`: written to `scratch` where it is not them already.
fn fill_planes<'a>(
    arch: Arch,
    layout: &PhaseLayout,
    input: &'a [f32],
    channels: usize,
    scratch: &'a mut [f32],
    threads: &Threads,
) -> &'a [f32] {
    if layout.is_identity() || channels == 0 {
        return input;
    }
    let channel_len = input.len() / channels;
    let planes_len = layout.channel_len();
    let together = channels.div_ceil(if threads.count() == 1 { 1 } else { 4 * threads.count() });
    threads.for_each_chunk_mut(
        &mut scratch[..channels * planes_len],
        together * planes_len,
        |index, planes| {
            arch.dispatch(Fill { layout, input, channel_len, first: index * together, planes });
        },
    );
    scratch
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
    let layout = Patches::layout(shape);
    let planes_len = if layout.is_identity() { 0 } else { channels * layout.channel_len() };
    let planes_len = planes_len.next_multiple_of(16);
    // Panels packed together, and how the pixels are divided among the threads.
    let panels = pixels.div_ceil(width);
    let together = (PACKED_VALUES / (depth * width).max(1)).clamp(1, panels);
    let workers = threads.count().min(panels);
    let task_panels = if workers == 1 { panels } else { panels.div_ceil(2 * workers) };
    let together = together.min(task_panels);
    let packed = (depth * together * width).next_multiple_of(16).max(16);

    let scratch = aligned_scratch(scratch, planes_len + workers * packed);
    let (planes, packs) = scratch.split_at_mut(planes_len);
    let planes = fill_planes(arch, &layout, input, channels, &mut planes[..], threads);
    let taps = layout.taps(shape.geometry);
    let patches = Patches::new(shape, channels, planes, &taps);

    let mut tasks: Vec<Vec<&mut [f32]>> = Vec::new();
    tasks.resize_with(panels.div_ceil(task_panels), || Vec::with_capacity(weights.rows()));
    for row in out.chunks_exact_mut(pixels) {
        for (task, part) in tasks.iter_mut().zip(row.chunks_mut(task_panels * width)) {
            task.push(part);
        }
    }
    let packs: Mutex<Vec<&mut [f32]>> = Mutex::new(packs.chunks_exact_mut(packed).collect());
    let take = || packs.lock().unwrap_or_else(PoisonError::into_inner).pop();
    threads.for_each_mut(&mut tasks, |index, rows| {
        // There are as many pieces of scratch as threads, so one is always free.
        let Some(pack) = take() else { return };
        let first = index * task_panels * width;
        arch.dispatch(Pixels { weights, patches, epilogue, row_stride: pixels, first, together, rows, pack });
        packs.lock().unwrap_or_else(PoisonError::into_inner).push(pack);
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
        for start in (0..pixels).step_by(self.together * width) {
            let count = (self.together * width).min(pixels - start);
            let first = self.first + start;
            let data = &mut self.pack[..packed_len(depth, count, lanes)];
            simd.vectorize(Pack { patches: self.patches, first, count, lanes, depth, data });
            let b = Panels { data, depth, columns: count, lanes };
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
                self.rows.iter_mut().map(|row| &mut row[start..][..count]).collect();
            simd.vectorize(Multiply { block, out: &mut rows });
        }
    }
}

/// Packs `count` pixels from `first` on as panels.
struct Pack<'a, 'b> {
    patches: Patches<'a>,
    first: usize,
    count: usize,
    lanes: usize,
    depth: usize,
    data: &'b mut [f32],
}

impl WithSimd for Pack<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { patches, first, count, lanes, depth, data } = self;
        if patches.is_matrix() {
            let matrix = MatrixRef {
                data: &patches.planes[first..],
                rows: depth,
                columns: count,
                row_stride: patches.layout.channel_len(),
                column_stride: 1,
            };
            pack_panels(matrix, lanes, data);
            return;
        }
        let mut rest = data;
        for start in (0..count).step_by(PANEL_VECTORS * lanes) {
            let pixels = (count - start).min(PANEL_VECTORS * lanes);
            let stored = panel_vectors(pixels, lanes) * lanes;
            let (panel, after) = rest.split_at_mut(depth * stored);
            rest = after;
            patches.pack(first + start, pixels, stored, panel);
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
    let layout = Patches::layout(shape);
    let planes_len = if layout.is_identity() { 0 } else { channels * layout.channel_len() };
    let planes_len = planes_len.next_multiple_of(16);
    let tile = pixel_tile(panels.lanes);
    let tiles = pixels.div_ceil(tile);
    let left_len = (tiles * tile * depth).next_multiple_of(16);
    let sums_len = (tiles * tile * width).next_multiple_of(16);
    let row_len = (width * pixels).next_multiple_of(16);
    let workers = threads.count();

    let scratch = aligned_scratch(scratch, planes_len + left_len + workers * (sums_len + row_len));
    let (planes, rest) = scratch.split_at_mut(planes_len);
    let (left, work) = rest.split_at_mut(left_len);
    let planes = fill_planes(arch, &layout, input, channels, planes, threads);
    let taps = layout.taps(shape.geometry);
    let patches = Patches::new(shape, channels, planes, &taps);
    threads.for_each_chunk_mut(&mut left[..tiles * tile * depth], tile * depth, |index, left| {
        let first = index * tile;
        arch.dispatch(PackLeft { patches, first, count: tile.min(pixels - first), left });
    });
    let left = &*left;
    let work: Mutex<Vec<&mut [f32]>> = Mutex::new(work.chunks_exact_mut(sums_len + row_len).collect());
    let take = || work.lock().unwrap_or_else(PoisonError::into_inner).pop();
    threads.for_each_chunk_mut(out, width * pixels, |index, out| {
        // There are as many pieces of scratch as threads, so one is always free.
        let Some(piece) = take() else { return };
        let (sums, rows) = piece.split_at_mut(sums_len);
        arch.dispatch(Channels { panels, index, left, tile, pixels, epilogue, sums, rows, out });
        work.lock().unwrap_or_else(PoisonError::into_inner).push(piece);
    });
}

/// Packs a tile of pixels as left operand.
struct PackLeft<'a, 'b> {
    patches: Patches<'a>,
    first: usize,
    count: usize,
    left: &'b mut [f32],
}

impl WithSimd for PackLeft<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.patches.pack(self.first, self.count, kernel_rows(self.count), self.left);
    }
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
        for (first, sums) in (0..pixels).step_by(tile).zip(sums.chunks_exact(tile * panels.width())) {
            let count = tile.min(pixels - first);
            for (channel, row) in rows.chunks_exact_mut(pixels).take(channels).enumerate() {
                for (value, sums) in row[first..][..count].iter_mut().zip(sums.chunks_exact(stored)) {
                    *value = sums[channel];
                }
            }
        }
        let first_channel = index * panels.width();
        for ((channel, out), row) in
            (first_channel..).zip(out.chunks_exact_mut(pixels)).zip(rows.chunks_exact(pixels))
        {
            finish_row(simd, row, out, &RowEpilogue::of_channel(epilogue, channel, pixels, 0, pixels));
            epilogue.activation.apply_rest(out);
        }
    }
}
