//! Products of matrices of 8-bit integers, exact in 32 bits.

use pulp::Arch;

use crate::kernels::parallel::Threads;

/// `out[m, n] = sum over k of a[m, k] b[n, k]`: both matrices lie with `k` innermost, zero points taken off.
///
/// Differences of 8-bit integers fit into `i16`, whose products are summed in `i32`, wrapping around.
pub(super) fn product(
    a: &[i16],
    b: &[i16],
    depth: usize,
    out: &mut [i32],
    columns: usize,
    threads: &Threads,
) {
    if columns == 0 || depth == 0 {
        out.fill(0);
        return;
    }
    let row = |index: usize, out: &mut [i32]| {
        Arch::new().dispatch(|| row(&a[index * depth..(index + 1) * depth], b, depth, out));
    };
    let work = out.len().saturating_mul(depth);
    if work < WORTH_THREADS || threads.count() == 1 {
        out.chunks_exact_mut(columns).enumerate().for_each(|(index, out)| row(index, out));
    } else {
        threads.for_each_chunk_mut(out, columns, row);
    }
}

/// From this many multiplications on, threads share the work.
const WORTH_THREADS: usize = 1 << 18;

/// One row of the product, four columns at a time so that `a` is read from a register.
#[inline(always)]
fn row(a: &[i16], b: &[i16], depth: usize, out: &mut [i32]) {
    let mut quads = out.chunks_exact_mut(4);
    let mut columns = b.chunks_exact(4 * depth);
    for (out, columns) in (&mut quads).zip(&mut columns) {
        let (first, rest) = columns.split_at(depth);
        let (second, rest) = rest.split_at(depth);
        let (third, fourth) = rest.split_at(depth);
        let mut sums = [0_i32; 4];
        for ((((&a, &first), &second), &third), &fourth) in
            a.iter().zip(first).zip(second).zip(third).zip(fourth)
        {
            let a = i32::from(a);
            sums[0] = sums[0].wrapping_add(a * i32::from(first));
            sums[1] = sums[1].wrapping_add(a * i32::from(second));
            sums[2] = sums[2].wrapping_add(a * i32::from(third));
            sums[3] = sums[3].wrapping_add(a * i32::from(fourth));
        }
        out.copy_from_slice(&sums);
    }
    for (out, column) in quads.into_remainder().iter_mut().zip(columns.remainder().chunks_exact(depth)) {
        *out =
            a.iter().zip(column).fold(0, |sum: i32, (&a, &b)| sum.wrapping_add(i32::from(a) * i32::from(b)));
    }
}

/// A `[rows, columns]` matrix with its columns laid one after the other, one zero point (or one per column) taken off.
pub(super) fn columns(matrix: &[i16], rows: usize, columns: usize, zeros: &[i16]) -> Vec<i16> {
    let zero = |column: usize| match zeros {
        [only] => *only,
        several => several.get(column).copied().unwrap_or(0),
    };
    let mut output = Vec::with_capacity(matrix.len());
    for column in 0..columns {
        let zero = zero(column);
        output.extend((0..rows).map(|row| matrix[row * columns + column].wrapping_sub(zero)));
    }
    output
}

/// A matrix of rows of `depth`, one zero point (or one per row) taken off in place.
pub(super) fn take_off(matrix: &mut [i16], depth: usize, zeros: &[i16]) {
    match zeros {
        [] | [0] => {}
        [only] => matrix.iter_mut().for_each(|value| *value = value.wrapping_sub(*only)),
        several if depth > 0 => {
            for (row, zero) in matrix.chunks_exact_mut(depth).zip(several.iter().cycle()) {
                row.iter_mut().for_each(|value| *value = value.wrapping_sub(*zero));
            }
        }
        _ => {}
    }
}
