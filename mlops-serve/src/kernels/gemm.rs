//! Matrix multiplication of 32-bit floats: `out = activation(a * b + bias + residual)`.
//!
//! The right operand is packed into panels of columns, once for weights ([`PackedB`]) or on the fly
//! ([`gemm_dynamic`]); the left operand is read where it lies. The loops are those of Goto and van de Geijn, "Anatomy
//! of High-Performance Matrix Multiplication" (2008): a panel block stays in the first-level cache while rows of the
//! left operand pass by. No value is skipped, so infinities and NaN behave as IEEE 754 says.

pub(crate) mod finish;
pub(crate) mod micro;
pub(crate) mod pack;
#[cfg(test)]
mod tests;

use pulp::{Arch, Simd, WithSimd};

use self::finish::{RowEpilogue, finish_row, finish_simple_tile};
use self::micro::{Tile, packed_tile, strided_tile, tile_rows, unpacked_tile};
use self::pack::{Panels, aligned_scratch, lanes, pack_panels, packed_len};
use crate::kernels::epilogue::{Bias, Epilogue};
use crate::kernels::parallel::Threads;

pub(crate) use self::pack::{PackedA, PackedB};

/// Depth of a block: a panel block of two 16-lane vectors is 32 KiB, which leaves the first-level cache room.
const DEPTH_BLOCK: usize = 640;

/// Rows handled together, so that a block of the left operand stays in the second-level cache.
const ROW_BLOCK: usize = 192;

/// Multiply-adds below which threads cost more than they save (about 20 us of one core).
const PARALLEL_WORK: usize = 1 << 20;

/// A matrix in memory that belongs to someone else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MatrixRef<'a> {
    /// The values; element (i, j) is `data[i * row_stride + j * column_stride]`.
    pub(crate) data: &'a [f32],
    /// Number of rows.
    pub(crate) rows: usize,
    /// Number of columns.
    pub(crate) columns: usize,
    /// Distance between the rows, in elements.
    pub(crate) row_stride: usize,
    /// Distance between the columns, in elements.
    pub(crate) column_stride: usize,
}

impl<'a> MatrixRef<'a> {
    /// Rows that follow each other without a gap.
    pub(crate) fn row_major(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self { data, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// The transposed matrix; nothing is moved.
    pub(crate) fn transposed(self) -> Self {
        Self {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }
}

/// `out[M, N] = epilogue(a[M, K] * b[K, N])` with rows of `out` `out_row_stride` apart.
///
/// `scratch` is used for a left operand whose columns are not adjacent. Sizes are the caller's to check: a mismatch
/// panics in a slice index.
pub(crate) fn gemm(
    out: &mut [f32],
    out_row_stride: usize,
    a: MatrixRef<'_>,
    b: &PackedB,
    epilogue: &Epilogue<'_>,
    scratch: &mut Vec<f32>,
    threads: &Threads,
) {
    let a = if a.column_stride == 1 || a.columns <= 1 {
        a
    } else {
        copy_row_major(a, aligned_scratch(scratch, a.rows * a.columns))
    };
    multiply(out, out_row_stride, a, b.view(), b.arch(), epilogue, threads);
}

/// [`gemm`] with a right operand that is not known beforehand: it is packed into `scratch` first.
pub(crate) fn gemm_dynamic(
    out: &mut [f32],
    out_row_stride: usize,
    a: MatrixRef<'_>,
    b: MatrixRef<'_>,
    epilogue: &Epilogue<'_>,
    scratch: &mut Vec<f32>,
    threads: &Threads,
) {
    gemm_dynamic_for(Arch::new(), out, out_row_stride, a, b, epilogue, scratch, threads);
}

#[expect(clippy::too_many_arguments, reason = "the operands of a product")]
fn gemm_dynamic_for(
    arch: Arch,
    out: &mut [f32],
    out_row_stride: usize,
    a: MatrixRef<'_>,
    b: MatrixRef<'_>,
    epilogue: &Epilogue<'_>,
    scratch: &mut Vec<f32>,
    threads: &Threads,
) {
    let lanes = lanes(arch);
    let b_len = packed_len(b.rows, b.columns, lanes);
    let copy = a.column_stride != 1 && a.columns > 1;
    let scratch = aligned_scratch(scratch, b_len + if copy { a.rows * a.columns } else { 0 });
    let (b_scratch, a_scratch) = scratch.split_at_mut(b_len);
    let a = if copy { copy_row_major(a, a_scratch) } else { a };
    pack_panels(b, lanes, b_scratch);
    let panels = Panels { data: b_scratch, row_stride: None, depth: b.rows, columns: b.columns, lanes };
    multiply(out, out_row_stride, a, panels, arch, epilogue, threads);
}

/// Copies a matrix so that its rows follow each other.
fn copy_row_major<'a>(a: MatrixRef<'_>, copy: &'a mut [f32]) -> MatrixRef<'a> {
    const BLOCK: usize = 16;
    for (block, out) in copy.chunks_mut(BLOCK * a.columns).enumerate() {
        let rows = out.len() / a.columns;
        for column in 0..a.columns {
            let source = &a.data[block * BLOCK * a.row_stride + column * a.column_stride..];
            for row in 0..rows {
                out[row * a.columns + column] = source[row * a.row_stride];
            }
        }
    }
    MatrixRef::row_major(copy, a.rows, a.columns)
}

fn multiply(
    out: &mut [f32],
    out_row_stride: usize,
    a: MatrixRef<'_>,
    b: Panels<'_>,
    arch: Arch,
    epilogue: &Epilogue<'_>,
    threads: &Threads,
) {
    if a.rows == 0 || b.columns == 0 {
        return;
    }
    // Without depth there is nothing to read, whatever the strides say.
    let a = if b.depth == 0 { MatrixRef { data: &[], row_stride: 0, ..a } } else { a };
    let whole = Block {
        a,
        packed: None,
        b,
        epilogue,
        row_stride: out_row_stride,
        first_row: 0,
        first_column: 0,
        panels: 0..b.count(),
    };
    let work = a.rows * b.columns * b.depth;
    if threads.count() == 1 || work < PARALLEL_WORK {
        whole.run(out, arch);
    } else if a.rows >= 2 * tile_rows(b.lanes) * threads.count() {
        // Two tasks a thread even out what the threads lose to others.
        let rows = tile_rows(b.lanes);
        let chunk = a.rows.div_ceil(2 * threads.count()).next_multiple_of(rows);
        let end = (a.rows - 1) * out_row_stride + b.columns;
        threads.for_each_chunk_mut(&mut out[..end], chunk * out_row_stride, |index, out| {
            whole.rows(index * chunk, chunk).run(out, arch);
        });
    } else {
        let chunk = b.count().div_ceil(2 * threads.count());
        let mut tasks: Vec<Vec<&mut [f32]>> = Vec::new();
        tasks.resize_with(b.count().div_ceil(chunk), || Vec::with_capacity(a.rows));
        for row in out.chunks_mut(out_row_stride.max(1)).take(a.rows) {
            for (task, part) in tasks.iter_mut().zip(row[..b.columns].chunks_mut(chunk * b.width())) {
                task.push(part);
            }
        }
        threads.for_each_mut(&mut tasks, |index, rows| {
            let mut block = whole.clone();
            block.panels = index * chunk..((index + 1) * chunk).min(b.count());
            arch.dispatch(Multiply { block, out: rows });
        });
    }
}

/// A part of a product: some rows and some panels of columns.
#[derive(Clone, Debug)]
pub(crate) struct Block<'a> {
    /// Left operand; its columns are adjacent.
    pub(crate) a: MatrixRef<'a>,
    /// The same, packed, if it is (it must be where `b` is not).
    pub(crate) packed: Option<&'a PackedA>,
    pub(crate) b: Panels<'a>,
    pub(crate) epilogue: &'a Epilogue<'a>,
    /// Distance between the rows of the residual (and of the output).
    pub(crate) row_stride: usize,
    /// What the first row of `a` is called in the bias and the residual.
    pub(crate) first_row: usize,
    /// What the first column of `b` is called in the bias and the residual.
    pub(crate) first_column: usize,
    /// The panels of `b` to multiply with.
    pub(crate) panels: std::ops::Range<usize>,
}

impl<'a> Block<'a> {
    fn rows(&self, first: usize, rows: usize) -> Self {
        let mut block = self.clone();
        block.a.data = &self.a.data[first * self.a.row_stride..];
        block.a.rows = rows.min(self.a.rows - first);
        block.first_row = self.first_row + first;
        block
    }

    /// Computes all rows, output rows being `row_stride` apart in `out`.
    fn run(&self, out: &mut [f32], arch: Arch) {
        let columns = self.b.columns;
        let mut rows = out.chunks_mut(self.row_stride.max(1)).map(|row| &mut row[..columns]);
        match self.a.rows {
            1 => arch.dispatch(Multiply { block: self.clone(), out: &mut [&mut out[..columns]] }),
            2..=16 => {
                let mut list: [&mut [f32]; 16] = std::array::from_fn(|_| rows.next().unwrap_or_default());
                arch.dispatch(Multiply { block: self.clone(), out: &mut list[..self.a.rows] });
            }
            _ => {
                for first in (0..self.a.rows).step_by(ROW_BLOCK) {
                    let block = self.rows(first, ROW_BLOCK);
                    let mut list: Vec<&mut [f32]> = rows.by_ref().take(block.a.rows).collect();
                    arch.dispatch(Multiply { block, out: &mut list });
                }
            }
        }
    }
}

/// Computes a block into rows that hold exactly the columns of its panels.
#[derive(Debug)]
pub(crate) struct Multiply<'a, 'b, 'c> {
    pub(crate) block: Block<'a>,
    pub(crate) out: &'b mut [&'c mut [f32]],
}

impl WithSimd for Multiply<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Block { a, packed, b, epilogue, row_stride, first_row, first_column, panels } = self.block;
        let depth = b.depth;
        let (tile_step, depth_step) = if a.rows <= tile_rows(b.lanes) {
            (a.rows, depth.max(1))
        } else {
            // Blocks of equal depth rather than a short last one.
            (tile_rows(b.lanes), depth.div_ceil(depth.div_ceil(DEPTH_BLOCK).max(1)).max(1))
        };
        let mut tile = Tile::new();
        let mut from = 0;
        loop {
            let block_depth = depth_step.min(depth - from);
            let last = from + block_depth == depth;
            let simple = from == 0
                && last
                && epilogue.residual.is_none()
                && !matches!(epilogue.bias, Bias::PerColumn(_));
            for index in panels.clone() {
                let (columns, vectors) = b.shape(index);
                let panel = match b.row_stride {
                    Some(stride) => &b.data[from * stride + index * b.width()..],
                    None => b.panel(index, vectors, from, block_depth),
                };
                let column = first_column + index * b.width();
                let out_column = (index - panels.start) * b.width();
                let column_bias = match epilogue.bias {
                    Bias::PerColumn(bias) => Some(&bias[column..][..columns]),
                    _ => None,
                };
                for row in (0..a.rows).step_by(tile_step) {
                    let rows = tile_step.min(a.rows - row);
                    if let Some(packed) = packed {
                        let left = packed.block(row, from, block_depth);
                        match b.row_stride {
                            Some(stride) => {
                                unpacked_tile(simd, rows, left, vectors, (panel, stride), &mut tile.0);
                            }
                            None => packed_tile(simd, rows, left, vectors, panel, &mut tile.0, false),
                        }
                    } else {
                        let left = &a.data[(row * a.row_stride + from).min(a.data.len())..];
                        strided_tile(
                            simd,
                            rows,
                            (left, a.row_stride),
                            block_depth,
                            vectors,
                            panel,
                            &mut tile.0,
                        );
                    }
                    if simple && columns == vectors * S::F32_LANES {
                        let bias = match epilogue.bias {
                            Bias::PerRow(bias) => Some(&bias[first_row + row..][..rows]),
                            _ => None,
                        };
                        let out = &mut self.out[row..][..rows];
                        if finish_simple_tile(
                            simd,
                            vectors,
                            &tile.0,
                            out,
                            out_column,
                            bias,
                            epilogue.activation,
                        ) {
                            continue;
                        }
                    }
                    let tile_rows = tile.0.chunks_exact(vectors * S::F32_LANES);
                    for ((out, tile), row) in
                        self.out[row..][..rows].iter_mut().zip(tile_rows).zip(first_row + row..)
                    {
                        let finish = RowEpilogue {
                            accumulate: from > 0,
                            row_bias: match epilogue.bias {
                                Bias::PerRow(bias) if last => bias[row],
                                _ => 0.0,
                            },
                            column_bias: column_bias.filter(|_| last),
                            residual: epilogue
                                .residual
                                .filter(|_| last)
                                .map(|residual| &residual[row * row_stride + column..][..columns]),
                            activation: if last { epilogue.activation } else { Default::default() },
                        };
                        finish_row(simd, tile, &mut out[out_column..][..columns], &finish);
                    }
                }
            }
            from += block_depth;
            if last {
                break;
            }
        }
        if !epilogue.activation.is_cheap() {
            for row in self.out.iter_mut() {
                epilogue.activation.apply_rest(row);
            }
        }
    }
}
