//! Products of matrices of small integers, exact in 32 bits.

use crate::kernels::parallel::Threads;

/// Rows of matrices are of a multiple of this length; what is added to reach it is zero.
pub(crate) const LANES: usize = 32;

/// From this many multiplications on, threads share the work.
const WORTH_THREADS: usize = 1 << 20;

/// How many rows stay in the cache nearest to the processor while all columns pass.
const ROWS: usize = 16;

/// A length as rows of matrices have it.
pub(crate) fn padded(depth: usize) -> usize {
    depth.next_multiple_of(LANES)
}

/// `out[m, n] = sum over k of a[m, k] b[n, k]`: both matrices lie with `k` innermost, which is `depth` long, a multiple
/// of [`LANES`]. `columns` is the number of rows of `b`.
///
/// The elements are 8-bit integers with 8-bit zero points taken off, so that two products fit into an `i32`; sums wrap
/// around.
pub(crate) fn product(
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
    let rows = |index: usize, out: &mut [i32]| {
        let first = index * ROWS * depth;
        let a = &a[first..first + out.len() / columns * depth];
        block(a, b, depth, out, columns);
    };
    if out.len().saturating_mul(depth) < WORTH_THREADS || threads.count() == 1 {
        out.chunks_mut(ROWS * columns).enumerate().for_each(|(index, out)| rows(index, out));
    } else {
        threads.for_each_chunk_mut(out, ROWS * columns, rows);
    }
}

/// A few rows of the product, on the best instructions of this processor.
fn block(a: &[i16], b: &[i16], depth: usize, out: &mut [i32], columns: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        if let Some(simd) = pulp::x86::V4::try_new() {
            return simd.vectorize(
                #[inline(always)]
                || multiply(simd, a, b, depth, out, columns),
            );
        }
        if let Some(simd) = pulp::x86::V3::try_new() {
            return simd.vectorize(
                #[inline(always)]
                || multiply(simd, a, b, depth, out, columns),
            );
        }
    }
    multiply(Plain, a, b, depth, out, columns);
}

/// Products of neighbours, summed in pairs.
trait Pairs: Copy {
    type Words: Copy;
    type Sums: Copy;
    fn zero(self) -> Self::Sums;
    fn words(self, row: &[i16]) -> impl Iterator<Item = Self::Words>;
    fn add(self, sums: Self::Sums, a: Self::Words, b: Self::Words) -> Self::Sums;
    fn total(self, sums: Self::Sums) -> i32;
}

macro_rules! x86_pairs {
    ($simd:ty, $words:ty, $sums:ty, $lanes:literal, $zero:ident, $products:ident, $add:ident) => {
        #[cfg(target_arch = "x86_64")]
        impl Pairs for $simd {
            type Words = $words;
            type Sums = $sums;

            #[inline(always)]
            fn zero(self) -> Self::Sums {
                self.$zero(0)
            }

            #[inline(always)]
            fn words(self, row: &[i16]) -> impl Iterator<Item = Self::Words> {
                pulp::as_arrays::<$lanes, i16>(row).0.iter().map(|&words| pulp::cast(words))
            }

            #[inline(always)]
            fn add(self, sums: Self::Sums, a: Self::Words, b: Self::Words) -> Self::Sums {
                self.$add(sums, self.$products(a, b))
            }

            #[inline(always)]
            fn total(self, sums: Self::Sums) -> i32 {
                let sums: [i32; $lanes / 2] = pulp::cast(sums);
                sums.into_iter().fold(0, i32::wrapping_add)
            }
        }
    };
}

x86_pairs!(
    pulp::x86::V4,
    pulp::i16x32,
    pulp::i32x16,
    32,
    splat_i32x16,
    multiply_wrapping_add_adjacent_i16x32,
    wrapping_add_i32x16
);
x86_pairs!(
    pulp::x86::V3,
    pulp::i16x16,
    pulp::i32x8,
    16,
    splat_i32x8,
    multiply_wrapping_add_adjacent_i16x16,
    wrapping_add_i32x8
);

/// Without special instructions.
#[derive(Clone, Copy)]
struct Plain;

impl Pairs for Plain {
    type Words = i32;
    type Sums = i32;

    fn zero(self) -> i32 {
        0
    }

    fn words(self, row: &[i16]) -> impl Iterator<Item = i32> {
        row.iter().map(|&word| word.into())
    }

    fn add(self, sums: i32, a: i32, b: i32) -> i32 {
        sums.wrapping_add(a * b)
    }

    fn total(self, sums: i32) -> i32 {
        sums
    }
}

/// Two rows and four columns at a time, so that what is loaded once is used several times.
#[inline(always)]
fn multiply<P: Pairs>(pairs: P, a: &[i16], b: &[i16], depth: usize, out: &mut [i32], columns: usize) {
    for (quad, b) in b.chunks(4 * depth).enumerate() {
        let mut rows = a.chunks_exact(2 * depth);
        let mut outs = out.chunks_exact_mut(2 * columns);
        for (a, out) in (&mut rows).zip(&mut outs) {
            let (first, second) = a.split_at(depth);
            let (first_out, second_out) = out.split_at_mut(columns);
            if b.len() == 4 * depth {
                let sums = tile(pairs, [first, second], b, depth);
                first_out[4 * quad..4 * quad + 4].copy_from_slice(&sums[0]);
                second_out[4 * quad..4 * quad + 4].copy_from_slice(&sums[1]);
            } else {
                edge(pairs, first, b, depth, &mut first_out[4 * quad..]);
                edge(pairs, second, b, depth, &mut second_out[4 * quad..]);
            }
        }
        if let ([_, ..], [_, ..]) = (rows.remainder(), outs.into_remainder()) {
            let (row, start) = (rows.remainder(), out.len() - columns + 4 * quad);
            edge(pairs, row, b, depth, &mut out[start..]);
        }
    }
}

/// Two rows times four columns.
#[inline(always)]
fn tile<P: Pairs>(pairs: P, a: [&[i16]; 2], b: &[i16], depth: usize) -> [[i32; 4]; 2] {
    let (b0, rest) = b.split_at(depth);
    let (b1, rest) = rest.split_at(depth);
    let (b2, b3) = rest.split_at(depth);
    let columns = pairs.words(b0).zip(pairs.words(b1)).zip(pairs.words(b2).zip(pairs.words(b3)));
    let mut sums = [[pairs.zero(); 4]; 2];
    for ((first, second), ((b0, b1), (b2, b3))) in pairs.words(a[0]).zip(pairs.words(a[1])).zip(columns) {
        for (sums, a) in sums.iter_mut().zip([first, second]) {
            for (sum, b) in sums.iter_mut().zip([b0, b1, b2, b3]) {
                *sum = pairs.add(*sum, a, b);
            }
        }
    }
    sums.map(|sums| sums.map(|sum| pairs.total(sum)))
}

/// One row times the columns that are there.
#[inline(always)]
fn edge<P: Pairs>(pairs: P, a: &[i16], b: &[i16], depth: usize, out: &mut [i32]) {
    for (out, b) in out.iter_mut().zip(b.chunks_exact(depth)) {
        let words = pairs.words(a).zip(pairs.words(b));
        *out = pairs.total(words.fold(pairs.zero(), |sums, (a, b)| pairs.add(sums, a, b)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_gives_the_sums_of_the_products() {
        for (rows, columns, depth) in
            [(1, 1, 32), (2, 4, 32), (3, 5, 64), (17, 9, 96), (33, 2, 32), (64, 70, 288)]
        {
            let number = |index: usize| (index * 7919 % 511) as i16 - 255;
            let a: Vec<i16> = (0..rows * depth).map(number).collect();
            let b: Vec<i16> = (0..columns * depth).map(|index| number(index + 5)).collect();
            let expected: Vec<i32> = (0..rows * columns)
                .map(|place| {
                    let (a, b) = (&a[place / columns * depth..], &b[place % columns * depth..]);
                    (0..depth).map(|k| i32::from(a[k]) * i32::from(b[k])).sum()
                })
                .collect();
            let mut out = vec![1; rows * columns];
            product(&a, &b, depth, &mut out, columns, &Threads::new(3).unwrap());
            assert_eq!(out, expected);
            out.fill(1);
            multiply(Plain, &a, &b, depth, &mut out, columns);
            assert_eq!(out, expected);
            #[cfg(target_arch = "x86_64")]
            if let Some(simd) = pulp::x86::V3::try_new() {
                out.fill(1);
                simd.vectorize(|| multiply(simd, &a, &b, depth, &mut out, columns));
                assert_eq!(out, expected);
            }
        }
    }
}
