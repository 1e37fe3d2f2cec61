//! The innermost loops: a block of rows times a panel of columns, held in vector registers.
//!
//! A *panel* is a piece of the right operand a few vectors wide, packed `[depth][width]`. A *tile* is the product of
//! some rows with a panel, left in a small buffer `[rows][width]` that stays in the first-level cache; what becomes of
//! it (bias, activation, writing out) is the caller's. Every product is a fused multiply-add in order of depth.

use pulp::{Simd, WithSimd};

/// The most rows of a tile, over all instruction sets.
pub(crate) const MAX_TILE_ROWS: usize = 14;

/// The most vectors in the width of a panel.
pub(crate) const PANEL_VECTORS: usize = 2;

/// The most columns of a panel: two vectors of 16 lanes.
pub(crate) const MAX_PANEL_WIDTH: usize = 32;

/// Room for one tile, aligned to a cache line.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(crate) struct Tile(pub(crate) [f32; MAX_TILE_ROWS * MAX_PANEL_WIDTH]);

impl Tile {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Self([0.0; MAX_TILE_ROWS * MAX_PANEL_WIDTH])
    }
}

/// The rows of a tile that fill the registers of an instruction set with this many lanes: two vectors a row, and room
/// left for the panel and a broadcast value (32 registers with 16 or 4 lanes, 16 registers with 8).
pub(crate) const fn tile_rows(lanes: usize) -> usize {
    match lanes {
        16 => 12,
        8 => 6,
        4 => 8,
        _ => 4,
    }
}

/// The smallest tile kernel there is for `rows` rows.
#[inline(always)]
pub(crate) const fn kernel_rows(rows: usize) -> usize {
    match rows {
        0 | 1 => 1,
        2 => 2,
        3 | 4 => 4,
        5 | 6 => 6,
        7 | 8 => 8,
        9..=12 => 12,
        _ => MAX_TILE_ROWS,
    }
}

/// Left operand packed `[depth][ROWS]`.
struct PackedLeft<'a, const ROWS: usize, const VECTORS: usize> {
    left: &'a [f32],
    panel: &'a [f32],
    tile: &'a mut [f32],
    accumulate: bool,
}

impl<const ROWS: usize, const VECTORS: usize> WithSimd for PackedLeft<'_, ROWS, VECTORS> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let left = self.left.as_chunks::<ROWS>().0;
        let panel = S::as_simd_f32s(self.panel).0.as_chunks::<VECTORS>().0;
        let tile = S::as_mut_simd_f32s(self.tile).0.as_chunks_mut::<VECTORS>().0;
        let Some(tile) = tile.first_chunk_mut::<ROWS>() else { return };
        let mut sums = if self.accumulate { *tile } else { [[simd.splat_f32s(0.0); VECTORS]; ROWS] };
        for (left, panel) in left.iter().zip(panel) {
            for row in 0..ROWS {
                let value = simd.splat_f32s(left[row]);
                for vector in 0..VECTORS {
                    sums[row][vector] = multiply_add(simd, value, panel[vector], sums[row][vector]);
                }
            }
        }
        *tile = sums;
    }
}

/// Left operand packed `[depth][ROWS]`, right operand as it lies in memory, rows `row_stride` apart.
struct StridedRight<'a, const ROWS: usize, const VECTORS: usize> {
    left: &'a [f32],
    right: &'a [f32],
    row_stride: usize,
    tile: &'a mut [f32],
}

impl<const ROWS: usize, const VECTORS: usize> WithSimd for StridedRight<'_, ROWS, VECTORS> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let left = self.left.as_chunks::<ROWS>().0;
        let tile = S::as_mut_simd_f32s(self.tile).0.as_chunks_mut::<VECTORS>().0;
        let Some(tile) = tile.first_chunk_mut::<ROWS>() else { return };
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
        for (p, left) in left.iter().enumerate() {
            let right = S::as_simd_f32s(&self.right[p * self.row_stride..]).0;
            let Some(right) = right.first_chunk::<VECTORS>() else { return };
            for row in 0..ROWS {
                let value = simd.splat_f32s(left[row]);
                for vector in 0..VECTORS {
                    sums[row][vector] = multiply_add(simd, value, right[vector], sums[row][vector]);
                }
            }
        }
        *tile = sums;
    }
}

/// Left operand as it lies in memory, rows `row_stride` apart.
struct StridedLeft<'a, const ROWS: usize, const VECTORS: usize> {
    left: &'a [f32],
    row_stride: usize,
    rows: usize,
    depth: usize,
    panel: &'a [f32],
    tile: &'a mut [f32],
}

impl<const ROWS: usize, const VECTORS: usize> WithSimd for StridedLeft<'_, ROWS, VECTORS> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let depth = self.depth;
        let panel = &S::as_simd_f32s(self.panel).0.as_chunks::<VECTORS>().0[..depth];
        let tile = S::as_mut_simd_f32s(self.tile).0.as_chunks_mut::<VECTORS>().0;
        let Some(tile) = tile.first_chunk_mut::<ROWS>() else { return };
        // Rows that do not exist repeat the last one; their results are never read.
        let last = self.rows.saturating_sub(1);
        let rows: [&[f32]; ROWS] =
            std::array::from_fn(|row| &self.left[row.min(last) * self.row_stride..][..depth]);
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
        for p in 0..depth {
            for row in 0..ROWS {
                let value = simd.splat_f32s(rows[row][p]);
                for vector in 0..VECTORS {
                    sums[row][vector] = multiply_add(simd, value, panel[p][vector], sums[row][vector]);
                }
            }
        }
        *tile = sums;
    }
}

/// One or two rows as they lie in memory: `CHAINS` partial sums a value, so that the latency of the multiply-add is
/// hidden although there are few rows.
struct FewRows<'a, const ROWS: usize, const VECTORS: usize, const CHAINS: usize> {
    left: &'a [f32],
    row_stride: usize,
    depth: usize,
    panel: &'a [f32],
    tile: &'a mut [f32],
}

impl<const ROWS: usize, const VECTORS: usize, const CHAINS: usize> WithSimd
    for FewRows<'_, ROWS, VECTORS, CHAINS>
{
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let depth = self.depth;
        let panel = &S::as_simd_f32s(self.panel).0.as_chunks::<VECTORS>().0[..depth];
        let tile = S::as_mut_simd_f32s(self.tile).0.as_chunks_mut::<VECTORS>().0;
        let Some(tile) = tile.first_chunk_mut::<ROWS>() else { return };
        let rows: [&[f32]; ROWS] = std::array::from_fn(|row| &self.left[row * self.row_stride..][..depth]);
        let mut sums = [[[simd.splat_f32s(0.0); VECTORS]; ROWS]; CHAINS];
        let mut p = 0;
        while p + CHAINS <= depth {
            for chain in 0..CHAINS {
                for row in 0..ROWS {
                    let value = simd.splat_f32s(rows[row][p + chain]);
                    for vector in 0..VECTORS {
                        let sum = sums[chain][row][vector];
                        sums[chain][row][vector] = multiply_add(simd, value, panel[p + chain][vector], sum);
                    }
                }
            }
            p += CHAINS;
        }
        while p < depth {
            for row in 0..ROWS {
                let value = simd.splat_f32s(rows[row][p]);
                for vector in 0..VECTORS {
                    sums[0][row][vector] = multiply_add(simd, value, panel[p][vector], sums[0][row][vector]);
                }
            }
            p += 1;
        }
        for row in 0..ROWS {
            for vector in 0..VECTORS {
                let mut sum = sums[0][row][vector];
                for chain in &sums[1..] {
                    sum = simd.add_f32s(sum, chain[row][vector]);
                }
                tile[row][vector] = sum;
            }
        }
    }
}

/// `a * b + c`, fused where the machine has the instruction.
#[inline(always)]
pub(crate) fn multiply_add<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
    if S::IS_SCALAR { simd.add_f32s(simd.mul_f32s(a, b), c) } else { simd.mul_add_f32s(a, b, c) }
}

/// The vector that starts at the beginning of `values`, which must hold one.
#[inline(always)]
pub(crate) fn load<S: Simd>(values: &[f32]) -> S::f32s {
    S::as_simd_f32s(values).0[0]
}

/// Calls `$kernel::<ROWS, VECTORS>` for the run-time numbers of rows and vectors.
macro_rules! for_rows_and_vectors {
    ($rows:expr, $vectors:expr, $kernel:ident) => {
        match ($rows, $vectors) {
            (1, 1) => $kernel!(1, 1),
            (2, 1) => $kernel!(2, 1),
            (4, 1) => $kernel!(4, 1),
            (6, 1) => $kernel!(6, 1),
            (8, 1) => $kernel!(8, 1),
            (12, 1) => $kernel!(12, 1),
            (_, 1) => $kernel!(14, 1),
            (1, _) => $kernel!(1, 2),
            (2, _) => $kernel!(2, 2),
            (4, _) => $kernel!(4, 2),
            (6, _) => $kernel!(6, 2),
            (8, _) => $kernel!(8, 2),
            (12, _) => $kernel!(12, 2),
            (_, _) => $kernel!(14, 2),
        }
    };
}

/// A tile from a left operand packed `[depth][kernel_rows(rows)]`; `accumulate` adds to what the tile holds.
#[inline(always)]
pub(crate) fn packed_tile<S: Simd>(
    simd: S,
    rows: usize,
    left: &[f32],
    vectors: usize,
    panel: &[f32],
    tile: &mut [f32],
    accumulate: bool,
) {
    macro_rules! kernel {
        ($rows:literal, $vectors:literal) => {
            simd.vectorize(PackedLeft::<$rows, $vectors> { left, panel, tile, accumulate })
        };
    }
    for_rows_and_vectors!(kernel_rows(rows), vectors, kernel);
}

/// A tile from a left operand packed `[depth][kernel_rows(rows)]` and whole vectors of a right operand as it lies in
/// memory, rows of which are `row_stride` apart.
#[inline(always)]
pub(crate) fn unpacked_tile<S: Simd>(
    simd: S,
    rows: usize,
    left: &[f32],
    vectors: usize,
    (right, row_stride): (&[f32], usize),
    tile: &mut [f32],
) {
    macro_rules! kernel {
        ($rows:literal, $vectors:literal) => {
            simd.vectorize(StridedRight::<$rows, $vectors> { left, right, row_stride, tile })
        };
    }
    for_rows_and_vectors!(kernel_rows(rows), vectors, kernel);
}

/// A tile from `rows` rows of `depth` values that lie `row_stride` apart.
#[inline(always)]
pub(crate) fn strided_tile<S: Simd>(
    simd: S,
    rows: usize,
    (left, row_stride): (&[f32], usize),
    depth: usize,
    vectors: usize,
    panel: &[f32],
    tile: &mut [f32],
) {
    macro_rules! kernel {
        (1, 1) => {
            simd.vectorize(FewRows::<1, 1, 8> { left, row_stride, depth, panel, tile })
        };
        (1, 2) => {
            simd.vectorize(FewRows::<1, 2, 4> { left, row_stride, depth, panel, tile })
        };
        (2, 1) => {
            simd.vectorize(FewRows::<2, 1, 4> { left, row_stride, depth, panel, tile })
        };
        (2, 2) => {
            simd.vectorize(FewRows::<2, 2, 2> { left, row_stride, depth, panel, tile })
        };
        ($rows:literal, $vectors:literal) => {
            simd.vectorize(StridedLeft::<$rows, $vectors> { left, row_stride, rows, depth, panel, tile })
        };
    }
    for_rows_and_vectors!(kernel_rows(rows), vectors, kernel);
}
