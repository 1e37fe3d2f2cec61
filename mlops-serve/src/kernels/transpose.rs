//! Permutation of the dimensions of a tensor of any plain type.
//!
//! Dimensions that stay neighbours are merged first. What remains is either runs of values that move as a whole, or a
//! transposition of two dimensions (the one that is contiguous before, and the one that is after) repeated over the others.

mod square;

use pulp::bytemuck::{NoUninit, Pod, cast_slice, cast_slice_mut};
use pulp::{Simd, WithSimd};

use self::square::transpose_square;
use crate::kernels::parallel::Threads;
use crate::kernels::vector::dispatch;

/// A dimension of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Dimension {
    size: usize,
    /// Distance of neighbours in the input.
    stride: usize,
}

/// A permutation prepared for one shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transpose {
    /// The dimensions of the output, merged, without those of size 1. The last stride is 1 if runs move as a whole.
    dimensions: Vec<Dimension>,
    /// Number of values.
    length: usize,
}

/// Values below which threads cost more than they save.
const PARALLEL_LENGTH: usize = 1 << 17;

impl Transpose {
    /// Output dimension `d` is input dimension `permutation[d]` of `shape`.
    ///
    /// # Errors
    /// Words if `permutation` is not a permutation of the dimensions of `shape`, or the sizes multiply beyond `usize`.
    pub(crate) fn new(shape: &[usize], permutation: &[usize]) -> Result<Self, String> {
        let mut found = vec![false; shape.len()];
        for &from in permutation {
            match found.get_mut(from) {
                Some(found) if !*found => *found = true,
                _ => {
                    return Err(format!(
                        "{permutation:?} is not a permutation of {} dimensions",
                        shape.len()
                    ));
                }
            }
        }
        if permutation.len() != shape.len() {
            return Err(format!("{permutation:?} is not a permutation of {} dimensions", shape.len()));
        }
        let length = shape.iter().try_fold(1_usize, |length, &size| length.checked_mul(size));
        let length = length.ok_or_else(|| format!("the shape {shape:?} has too many values"))?;

        let mut strides = vec![1; shape.len()];
        for dimension in (1..shape.len()).rev() {
            strides[dimension - 1] = strides[dimension] * shape[dimension].max(1);
        }
        let mut dimensions: Vec<Dimension> = Vec::with_capacity(shape.len());
        for &from in permutation {
            let next = Dimension { size: shape[from], stride: strides[from] };
            if next.size == 1 {
                continue;
            }
            match dimensions.last_mut() {
                Some(last) if last.stride == next.size * next.stride => {
                    *last = Dimension { size: last.size * next.size, stride: next.stride };
                }
                _ => dimensions.push(next),
            }
        }
        Ok(Self { dimensions, length })
    }

    /// Whether nothing moves, so that the output is the input with another shape.
    pub(crate) fn is_copy(&self) -> bool {
        self.length == 0 || self.dimensions.len() <= 1
    }

    /// Number of values.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Writes the permuted `input` to `out`; both have [`length`](Self::length) values.
    pub(crate) fn run<T: Pod + Send + Sync>(&self, input: &[T], out: &mut [T], threads: &Threads) {
        let (input, out) = (&input[..self.length], &mut out[..self.length]);
        // Words of 4 bytes are moved by registers, whatever they mean.
        if size_of::<T>() == 4 && align_of::<T>() == 4 {
            self.permute::<f32>(cast_slice(input), cast_slice_mut(out), threads);
        } else {
            self.permute(input, out, threads);
        }
    }

    fn permute<T: Pod + Send + Sync>(&self, input: &[T], out: &mut [T], threads: &Threads) {
        let Some((&first, rest)) = self.dimensions.split_first().filter(|_| !self.is_copy()) else {
            out.copy_from_slice(input);
            return;
        };
        if threads.count() == 1 || self.length < PARALLEL_LENGTH || first.size == 1 {
            dispatch(Permute { first, rest, input, out });
            return;
        }
        let count = first.size.div_ceil(4 * threads.count());
        let row = self.length / first.size;
        threads.for_each_chunk_mut(out, count * row, |number, out| {
            let first = Dimension { size: out.len() / row, ..first };
            let skipped = number * count * first.stride;
            dispatch(Permute { first, rest, input: &input[skipped..], out });
        });
    }
}

struct Permute<'a, T> {
    first: Dimension,
    rest: &'a [Dimension],
    input: &'a [T],
    out: &'a mut [T],
}

impl<T: Pod> WithSimd for Permute<'_, T> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { first, rest, input, out } = self;
        match rest {
            [last] if last.stride == 1 => {
                move_runs(first, last.size, input, out);
            }
            [last] => transpose(simd, first, *last, last.size, input, out),
            [middle @ .., last] if last.stride == 1 => {
                for_each_offset(first, middle, &mut |dimension, from, to| {
                    move_runs(dimension, last.size, &input[from..], &mut out[to * last.size..]);
                });
            }
            [.., last] => {
                // The dimension that is contiguous in the input becomes the row of the transposition.
                let all: Vec<Dimension> = std::iter::once(first).chain(rest.iter().copied()).collect();
                let Some(row) = all.iter().position(|dimension| dimension.stride == 1) else { return };
                let distance: usize = all[row + 1..].iter().map(|dimension| dimension.size).product();
                let others: Vec<(Dimension, usize)> = (0..all.len() - 1)
                    .filter(|&number| number != row)
                    .map(|number| (all[number], all[number + 1..].iter().map(|d| d.size).product()))
                    .collect();
                let mut counters = vec![0; others.len()];
                let (mut from, mut to) = (0, 0);
                loop {
                    transpose(simd, all[row], *last, distance, &input[from..], &mut out[to..]);
                    // The next of the others, as a car counts its miles.
                    let mut number = others.len();
                    loop {
                        if number == 0 {
                            return;
                        }
                        number -= 1;
                        let (dimension, step) = others[number];
                        counters[number] += 1;
                        from += dimension.stride;
                        to += step;
                        if counters[number] < dimension.size {
                            break;
                        }
                        counters[number] = 0;
                        from -= dimension.size * dimension.stride;
                        to -= dimension.size * step;
                    }
                }
            }
            [] => out.copy_from_slice(&input[..out.len()]),
        }
    }
}

/// Calls `visit` with the last of the dimensions `first` and `middle`, for every position in those before it: the offset in
/// the input, and the number of positions of the last dimension that came before.
#[inline(always)]
fn for_each_offset(first: Dimension, middle: &[Dimension], visit: &mut impl FnMut(Dimension, usize, usize)) {
    let Some((&last, middle)) = middle.split_last() else {
        visit(first, 0, 0);
        return;
    };
    let outer: Vec<Dimension> = std::iter::once(first).chain(middle.iter().copied()).collect();
    let mut counters = vec![0; outer.len()];
    let count: usize = outer.iter().map(|dimension| dimension.size).product();
    let mut from = 0;
    for number in 0..count {
        visit(last, from, number * last.size);
        for (dimension, counter) in outer.iter().zip(&mut counters).rev() {
            *counter += 1;
            from += dimension.stride;
            if *counter < dimension.size {
                break;
            }
            *counter = 0;
            from -= dimension.size * dimension.stride;
        }
    }
}

/// Copies one run per position of `dimension`, one behind the other.
#[inline(always)]
fn move_runs<T: Copy>(dimension: Dimension, run: usize, input: &[T], out: &mut [T]) {
    for (number, out) in out.chunks_exact_mut(run).take(dimension.size).enumerate() {
        let input = &input[number * dimension.stride..][..run];
        // Short runs are not worth a call.
        if run <= 8 {
            for (out, &value) in out.iter_mut().zip(input) {
                *out = value;
            }
        } else {
            out.copy_from_slice(input);
        }
    }
}

/// Side of the square that is transposed at once where registers do not do it.
const TILE: usize = 8;

/// Writes the `columns` rows of `rows` values each, `stride` apart, to the columns of `out`, whose rows are `distance` apart:
/// `out[i * distance + j] = input[i + j * stride]`. For callers that are dispatched already.
#[inline(always)]
pub(crate) fn transpose_matrix<S: Simd, T: Pod>(
    simd: S,
    input: &[T],
    rows: usize,
    columns: usize,
    stride: usize,
    out: &mut [T],
    distance: usize,
) {
    let (row, column) = (Dimension { size: rows, stride: 1 }, Dimension { size: columns, stride });
    transpose(simd, row, column, distance, input, out);
}

/// `out[i * distance + j] = input[i + j * column.stride]` for `i` in `row` and `j` in `column`.
#[inline(always)]
fn transpose<S: Simd, T: Pod>(
    simd: S,
    row: Dimension,
    column: Dimension,
    distance: usize,
    input: &[T],
    out: &mut [T],
) {
    match column.size {
        2 => return interleave::<T, 2>(row.size, column.stride, distance, input, out),
        3 => return interleave::<T, 3>(row.size, column.stride, distance, input, out),
        4 => return interleave::<T, 4>(row.size, column.stride, distance, input, out),
        _ => {}
    }
    match row.size {
        2 => return deinterleave::<T, 2>(column, distance, input, out),
        3 => return deinterleave::<T, 3>(column, distance, input, out),
        4 => return deinterleave::<T, 4>(column, distance, input, out),
        _ => {}
    }
    let side = if as_words(&[T::zeroed()]).is_some() && S::F32_LANES >= 8 { S::F32_LANES } else { TILE };
    let (rows, columns) = (row.size / side * side, column.size / side * side);
    for i in (0..rows).step_by(side) {
        for j in (0..columns).step_by(side) {
            let (input, out) = (&input[i + j * column.stride..], &mut out[i * distance + j..]);
            if let (true, Some(input)) = (S::F32_LANES >= 8, as_words(input)) {
                if let Some(out) = as_words_mut(out) {
                    transpose_square(simd, input, column.stride, out, distance);
                }
            } else {
                transpose_tile(column.stride, distance, input, out);
            }
        }
    }
    for i in 0..row.size {
        let first = if i < rows { columns } else { 0 };
        let out = &mut out[i * distance..][..column.size];
        for (j, out) in out.iter_mut().enumerate().skip(first) {
            *out = input[i + j * column.stride];
        }
    }
}

/// The values as words of 4 bytes, if they are.
#[inline(always)]
fn as_words<T: NoUninit>(values: &[T]) -> Option<&[f32]> {
    (size_of::<T>() == 4 && align_of::<T>() == 4).then(|| cast_slice(values))
}

/// Like [`as_words`].
#[inline(always)]
fn as_words_mut<T: Pod>(values: &mut [T]) -> Option<&mut [f32]> {
    if size_of::<T>() == 4 && align_of::<T>() == 4 { Some(cast_slice_mut(values)) } else { None }
}

/// [`transpose`] of few columns.
#[inline(always)]
fn interleave<T: Copy, const COLUMNS: usize>(
    rows: usize,
    stride: usize,
    distance: usize,
    input: &[T],
    out: &mut [T],
) {
    let columns: [&[T]; COLUMNS] = std::array::from_fn(|j| &input[j * stride..][..rows]);
    if distance == COLUMNS {
        for (i, out) in out.as_chunks_mut::<COLUMNS>().0.iter_mut().take(rows).enumerate() {
            *out = std::array::from_fn(|j| columns[j][i]);
        }
        return;
    }
    for i in 0..rows {
        let out = &mut out[i * distance..][..COLUMNS];
        for (out, column) in out.iter_mut().zip(&columns) {
            *out = column[i];
        }
    }
}

/// [`transpose`] of few rows.
#[inline(always)]
fn deinterleave<T: Copy, const ROWS: usize>(column: Dimension, distance: usize, input: &[T], out: &mut [T]) {
    let mut parts = out.chunks_mut(distance);
    let mut rows: [&mut [T]; ROWS] = std::array::from_fn(|_| parts.next().unwrap_or_default());
    if column.stride == ROWS {
        for row in &mut rows {
            if row.len() < column.size {
                return;
            }
            *row = &mut std::mem::take(row)[..column.size];
        }
        for (j, values) in input.as_chunks::<ROWS>().0.iter().take(column.size).enumerate() {
            for (row, &value) in rows.iter_mut().zip(values) {
                row[j] = value;
            }
        }
        return;
    }
    for (i, row) in rows.into_iter().enumerate() {
        for (j, out) in row[..column.size].iter_mut().enumerate() {
            *out = input[i + j * column.stride];
        }
    }
}

#[inline(always)]
fn transpose_tile<T: Copy>(stride: usize, distance: usize, input: &[T], out: &mut [T]) {
    let Some(&first) = input.first() else { return };
    let mut tile = [[first; TILE]; TILE];
    for (j, column) in tile.iter_mut().enumerate() {
        column.copy_from_slice(&input[j * stride..][..TILE]);
    }
    for i in 0..TILE {
        let out = &mut out[i * distance..][..TILE];
        for (out, column) in out.iter_mut().zip(&tile) {
            *out = column[i];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::vector::instruction_sets::on_every_instruction_set;

    fn oracle<T: Copy>(shape: &[usize], permutation: &[usize], input: &[T]) -> Vec<T> {
        let out_shape: Vec<usize> = permutation.iter().map(|&p| shape[p]).collect();
        let length: usize = shape.iter().product();
        (0..length)
            .map(|number| {
                let mut rest = number;
                let mut position = vec![0; shape.len()];
                for d in (0..shape.len()).rev() {
                    position[permutation[d]] = rest % out_shape[d];
                    rest /= out_shape[d];
                }
                input[position.iter().zip(shape).fold(0, |at, (&p, &size)| at * size + p)]
            })
            .collect()
    }

    fn permutations(rank: usize) -> Vec<Vec<usize>> {
        if rank == 0 {
            return vec![Vec::new()];
        }
        let mut all = Vec::new();
        for shorter in permutations(rank - 1) {
            for place in 0..rank {
                let mut longer = shorter.clone();
                longer.insert(place, rank - 1);
                all.push(longer);
            }
        }
        all
    }

    fn check<T: Pod + Send + Sync + PartialEq + std::fmt::Debug>(
        shape: &[usize],
        threads: &Threads,
        make: impl Fn(usize) -> T,
    ) {
        let length = shape.iter().product();
        let input: Vec<T> = (0..length).map(&make).collect();
        for permutation in permutations(shape.len()) {
            let plan = Transpose::new(shape, &permutation).unwrap();
            let mut out = vec![make(usize::MAX); length];
            plan.run(&input, &mut out, threads);
            assert_eq!(out, oracle(shape, &permutation, &input), "{shape:?} {permutation:?}");
            if plan.is_copy() {
                assert_eq!(out, input);
            }
        }
    }

    #[test]
    fn every_permutation_of_many_shapes_agrees() {
        on_every_instruction_set(|| {
            let shapes: [&[usize]; 14] = [
                &[],
                &[5],
                &[0, 3],
                &[1, 1],
                &[3, 4],
                &[37, 50],
                &[16, 32],
                &[2, 3, 4],
                &[5, 1, 33],
                &[17, 19, 20],
                &[2, 3, 5, 7],
                &[1, 20, 2, 34],
                &[3, 16, 16, 2],
                &[2, 3, 2, 5, 3],
            ];
            let single = Threads::single();
            for shape in shapes {
                check(shape, &single, |i| i as u32);
                check(shape, &single, |i| i as u8);
                check(shape, &single, |i| i as u16);
                check(shape, &single, |i| i as u64);
            }
        });
    }

    #[test]
    fn threads_share_large_tensors() {
        on_every_instruction_set(|| {
            let threads = Threads::new(3).unwrap();
            check(&[70, 3, 1000], &threads, |i| i as u32);
            check(&[7, 130, 17, 20], &threads, |i| i as u32);
        });
    }

    #[test]
    fn neighbours_are_merged() {
        on_every_instruction_set(|| {
            let plan = |shape: &[usize], permutation: &[usize]| Transpose::new(shape, permutation).unwrap();
            assert!(plan(&[2, 3, 4], &[0, 1, 2]).is_copy());
            assert!(plan(&[2, 1, 4], &[1, 0, 2]).is_copy());
            assert!(plan(&[0, 3, 4], &[2, 1, 0]).is_copy());
            assert_eq!(plan(&[2, 3, 4, 5], &[2, 3, 0, 1]), plan(&[6, 20], &[1, 0]));
        });
    }

    #[test]
    fn what_is_no_permutation_is_refused() {
        on_every_instruction_set(|| {
            assert!(Transpose::new(&[2, 3], &[0, 0]).is_err());
            assert!(Transpose::new(&[2, 3], &[0, 2]).is_err());
            assert!(Transpose::new(&[2, 3], &[0]).is_err());
            assert!(Transpose::new(&[usize::MAX, 3], &[0, 1]).is_err());
        });
    }
}
