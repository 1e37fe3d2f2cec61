//! Packed right operands: panels of columns in the order in which the micro-kernels read them.

use std::fmt;

use pulp::{Arch, Simd, WithSimd};

use super::MatrixRef;
use super::micro::{PANEL_VECTORS, kernel_rows, tile_rows};

/// Values to a cache line.
const LINE: usize = 16;

/// Values whose first one lies on a cache line.
#[derive(Default)]
pub(crate) struct AlignedVec {
    values: Vec<f32>,
    start: usize,
    len: usize,
}

impl AlignedVec {
    /// `len` zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        let mut values = vec![0.0; len + LINE];
        let start = line_offset(&mut values);
        Self { values, start, len }
    }

    pub(crate) fn as_slice(&self) -> &[f32] {
        &self.values[self.start..][..self.len]
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [f32] {
        &mut self.values[self.start..][..self.len]
    }
}

impl fmt::Debug for AlignedVec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AlignedVec").field("len", &self.len).finish()
    }
}

/// How many values lie before the first cache line (at most 15; on an odd allocator possibly none).
fn line_offset(values: &mut [f32]) -> usize {
    values.as_ptr().align_offset(64).min(LINE)
}

/// `len` values of `scratch` that start on a cache line; what they hold is arbitrary.
pub(crate) fn aligned_scratch(scratch: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if scratch.len() < len + LINE {
        scratch.resize(len + LINE, 0.0);
    }
    let start = line_offset(scratch);
    &mut scratch[start..][..len]
}

/// The lanes of a vector of 32-bit floats on this machine.
pub(crate) fn lanes(arch: Arch) -> usize {
    struct Lanes;
    impl WithSimd for Lanes {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    arch.dispatch(Lanes)
}

/// A right operand `[depth, columns]` packed once, to be multiplied many times.
#[derive(Debug)]
pub(crate) struct PackedB {
    data: AlignedVec,
    depth: usize,
    columns: usize,
    lanes: usize,
    arch: Arch,
}

impl PackedB {
    /// Packs `b` for this machine's vectors. The last panel is one vector wide where that suffices.
    pub(crate) fn pack(b: MatrixRef<'_>) -> Self {
        Self::pack_for(Arch::new(), b)
    }

    /// Packs `b` for the vectors of an instruction set.
    pub(crate) fn pack_for(arch: Arch, b: MatrixRef<'_>) -> Self {
        let lanes = lanes(arch);
        let mut data = AlignedVec::zeros(packed_len(b.rows, b.columns, lanes));
        pack_panels(b, lanes, data.as_mut_slice());
        Self { data, depth: b.rows, columns: b.columns, lanes, arch }
    }

    /// Rows of the right operand, the length of the dot products.
    pub(crate) fn rows(&self) -> usize {
        self.depth
    }

    /// Columns of the product.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    pub(crate) fn arch(&self) -> Arch {
        self.arch
    }

    pub(crate) fn view(&self) -> Panels<'_> {
        Panels {
            data: self.data.as_slice(),
            row_stride: None,
            depth: self.depth,
            columns: self.columns,
            lanes: self.lanes,
        }
    }
}

/// A left operand `[rows, depth]` packed once: blocks of the rows of a tile, each `[depth][rows]`.
#[derive(Debug)]
pub(crate) struct PackedA {
    data: AlignedVec,
    rows: usize,
    depth: usize,
    tile_rows: usize,
}

impl PackedA {
    /// Packs `a` for the vectors of an instruction set. The last block has as many rows as the smallest kernel that does.
    pub(crate) fn pack_for(arch: Arch, a: MatrixRef<'_>) -> Self {
        let tile_rows = tile_rows(lanes(arch));
        let rest = a.rows % tile_rows;
        let tail = if rest == 0 { 0 } else { kernel_rows(rest) };
        let mut data = AlignedVec::zeros((a.rows - rest + tail) * a.columns);
        let packed = data.as_mut_slice();
        for first in (0..a.rows).step_by(tile_rows) {
            let stored = kernel_rows(tile_rows.min(a.rows - first));
            for row in first..a.rows.min(first + tile_rows) {
                let out = packed[first * a.columns + row - first..].iter_mut().step_by(stored);
                for (column, out) in out.enumerate().take(a.columns) {
                    *out = a.data[row * a.row_stride + column * a.column_stride];
                }
            }
        }
        Self { data, rows: a.rows, depth: a.columns, tile_rows }
    }

    /// Rows of the product.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The length of the dot products.
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    /// `depth` columns from `from` on of the block that begins with row `first`.
    #[inline(always)]
    pub(crate) fn block(&self, first: usize, from: usize, depth: usize) -> &[f32] {
        let stored = kernel_rows(self.tile_rows.min(self.rows - first));
        &self.data.as_slice()[first * self.depth + from * stored..][..depth * stored]
    }
}

/// Packed panels, wherever they are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panels<'a> {
    pub(crate) data: &'a [f32],
    /// Not packed: rows that lie this far apart, their columns being a multiple of the lanes.
    pub(crate) row_stride: Option<usize>,
    pub(crate) depth: usize,
    pub(crate) columns: usize,
    pub(crate) lanes: usize,
}

impl<'a> Panels<'a> {
    /// Columns of a full panel.
    #[inline(always)]
    pub(crate) fn width(&self) -> usize {
        PANEL_VECTORS * self.lanes
    }

    /// How many panels there are.
    #[inline(always)]
    pub(crate) fn count(&self) -> usize {
        self.columns.div_ceil(self.width())
    }

    /// Columns in use and vectors stored of panel `index`.
    #[inline(always)]
    pub(crate) fn shape(&self, index: usize) -> (usize, usize) {
        let columns = (self.columns - index * self.width()).min(self.width());
        (columns, panel_vectors(columns, self.lanes))
    }

    /// Panel `index`, rows `from..from + depth` of it.
    #[inline(always)]
    pub(crate) fn panel(&self, index: usize, vectors: usize, from: usize, depth: usize) -> &'a [f32] {
        let stored = vectors * self.lanes;
        &self.data[index * self.width() * self.depth + from * stored..][..depth * stored]
    }
}

/// Vectors needed for a panel of `columns` columns.
#[inline(always)]
pub(crate) fn panel_vectors(columns: usize, lanes: usize) -> usize {
    if columns <= lanes { 1 } else { PANEL_VECTORS }
}

/// Values that panels of a `[depth, columns]` operand take.
pub(crate) fn packed_len(depth: usize, columns: usize, lanes: usize) -> usize {
    let width = PANEL_VECTORS * lanes;
    let rest = columns % width;
    let tail = if rest == 0 { 0 } else { panel_vectors(rest, lanes) * lanes };
    depth * (columns / width * width + tail)
}

/// Writes the panels of `b` to `data`; columns that do not exist become zeros.
pub(crate) fn pack_panels(b: MatrixRef<'_>, lanes: usize, data: &mut [f32]) {
    let width = PANEL_VECTORS * lanes;
    let mut rest = data;
    let mut first = 0;
    while first < b.columns {
        let columns = (b.columns - first).min(width);
        let stored = panel_vectors(columns, lanes) * lanes;
        let (panel, after) = rest.split_at_mut(b.rows * stored);
        rest = after;
        pack_panel(b, first, columns, stored, panel);
        first += columns;
    }
}

fn pack_panel(b: MatrixRef<'_>, first: usize, columns: usize, stored: usize, panel: &mut [f32]) {
    if b.rows == 0 {
        return;
    }
    if b.column_stride == 1 {
        if columns == stored {
            match stored {
                32 => return copy_rows::<32>(b, first, panel),
                16 => return copy_rows::<16>(b, first, panel),
                8 => return copy_rows::<8>(b, first, panel),
                _ => {}
            }
        }
        for (row, out) in panel.chunks_exact_mut(stored).enumerate() {
            let (out, pad) = out.split_at_mut(columns);
            out.copy_from_slice(&b.data[row * b.row_stride + first..][..columns]);
            pad.fill(0.0);
        }
        return;
    }
    // Blocks of rows, so that the lines written stay cached while the columns are read along their length.
    const BLOCK: usize = 16;
    for (block, panel) in panel.chunks_mut(BLOCK * stored).enumerate() {
        let rows = panel.len() / stored;
        for column in 0..columns {
            let source = &b.data[(first + column) * b.column_stride + block * BLOCK * b.row_stride..];
            for (row, out) in panel.iter_mut().skip(column).step_by(stored).enumerate().take(rows) {
                *out = source[row * b.row_stride];
            }
        }
        for out in panel.chunks_exact_mut(stored) {
            out[columns..].fill(0.0);
        }
    }
}

/// Copies `WIDTH` columns from `first` on, rows of which are adjacent in the matrix.
#[inline(always)]
fn copy_rows<const WIDTH: usize>(b: MatrixRef<'_>, first: usize, panel: &mut [f32]) {
    for (row, out) in panel.as_chunks_mut::<WIDTH>().0.iter_mut().enumerate() {
        if let Some(source) = b.data[row * b.row_stride + first..].first_chunk::<WIDTH>() {
            *out = *source;
        }
    }
}
