//! Squares of 4-byte words transposed in registers, where the instruction set has the shuffles for it.

use pulp::Simd;

use crate::kernels::vector::Vector;
#[cfg(target_arch = "x86_64")]
use crate::kernels::vector::same_type;

/// Transposes the square of as many rows and columns as a register has lanes (8 at least): rows of `input` are `stride`
/// apart, those of `out` `distance`.
#[inline(always)]
pub(crate) fn transpose_square<S: Simd>(
    simd: S,
    input: &[f32],
    stride: usize,
    out: &mut [f32],
    distance: usize,
) {
    #[cfg(target_arch = "x86_64")]
    {
        if let Some(simd) = same_type::<S, pulp::x86::V4>(simd) {
            return x86::transpose_16(simd, input, stride, out, distance);
        }
        if let Some(simd) = same_type::<S, pulp::x86::V3>(simd) {
            return x86::transpose_8(simd, input, stride, out, distance);
        }
    }
    let _ = simd;
    let lanes = Vector::<S>::LANES;
    for i in 0..lanes {
        for (j, out) in out[i * distance..][..lanes].iter_mut().enumerate() {
            *out = input[i + j * stride];
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use pulp::x86::{V3, V4};
    use pulp::{Simd, cast, f32x8, f32x16};

    /// Interleaves pairs of rows, pairs of pairs, and then moves the 128-bit quarters to their places in two rounds.
    #[inline(always)]
    pub(super) fn transpose_16(simd: V4, input: &[f32], stride: usize, out: &mut [f32], distance: usize) {
        let isa = simd.avx512f;
        let mut rows = [simd.splat_f32s(0.0); 16];
        for (j, row) in rows.iter_mut().enumerate() {
            if let Some(&values) = V4::as_simd_f32s(&input[j * stride..]).0.first() {
                *row = values;
            }
        }
        let low = |a: f32x16, b: f32x16| -> f32x16 { cast(isa._mm512_unpacklo_ps(cast(a), cast(b))) };
        let high = |a: f32x16, b: f32x16| -> f32x16 { cast(isa._mm512_unpackhi_ps(cast(a), cast(b))) };
        let low_pair = |a: f32x16, b: f32x16| -> f32x16 { cast(isa._mm512_unpacklo_pd(cast(a), cast(b))) };
        let high_pair = |a: f32x16, b: f32x16| -> f32x16 { cast(isa._mm512_unpackhi_pd(cast(a), cast(b))) };
        // Quarter q of group[g][c] then holds column 4 q + c of rows 4 g to 4 g + 3.
        let mut groups = [[simd.splat_f32s(0.0); 4]; 4];
        for (group, rows) in groups.iter_mut().zip(rows.as_chunks::<4>().0) {
            let [a, b, c, d] = *rows;
            let (ab, ab_high, cd, cd_high) = (low(a, b), high(a, b), low(c, d), high(c, d));
            *group = [
                low_pair(ab, cd),
                high_pair(ab, cd),
                low_pair(ab_high, cd_high),
                high_pair(ab_high, cd_high),
            ];
        }
        let even = |a: f32x16, b: f32x16| -> f32x16 {
            cast(isa._mm512_shuffle_f32x4::<0b10_00_10_00>(cast(a), cast(b)))
        };
        let odd = |a: f32x16, b: f32x16| -> f32x16 {
            cast(isa._mm512_shuffle_f32x4::<0b11_01_11_01>(cast(a), cast(b)))
        };
        for c in 0..4 {
            let [a, b, d, e] = [groups[0][c], groups[1][c], groups[2][c], groups[3][c]];
            let (ab, ab_odd, de, de_odd) = (even(a, b), odd(a, b), even(d, e), odd(d, e));
            let columns = [even(ab, de), even(ab_odd, de_odd), odd(ab, de), odd(ab_odd, de_odd)];
            for (quarter, column) in columns.into_iter().enumerate() {
                if let Some(place) =
                    V4::as_mut_simd_f32s(&mut out[(4 * quarter + c) * distance..]).0.first_mut()
                {
                    *place = column;
                }
            }
        }
    }

    /// The same in halves.
    #[inline(always)]
    pub(super) fn transpose_8(simd: V3, input: &[f32], stride: usize, out: &mut [f32], distance: usize) {
        let isa = simd.avx;
        let mut rows = [simd.splat_f32s(0.0); 8];
        for (j, row) in rows.iter_mut().enumerate() {
            if let Some(&values) = V3::as_simd_f32s(&input[j * stride..]).0.first() {
                *row = values;
            }
        }
        let low = |a: f32x8, b: f32x8| -> f32x8 { cast(isa._mm256_unpacklo_ps(cast(a), cast(b))) };
        let high = |a: f32x8, b: f32x8| -> f32x8 { cast(isa._mm256_unpackhi_ps(cast(a), cast(b))) };
        let low_pair = |a: f32x8, b: f32x8| -> f32x8 { cast(isa._mm256_unpacklo_pd(cast(a), cast(b))) };
        let high_pair = |a: f32x8, b: f32x8| -> f32x8 { cast(isa._mm256_unpackhi_pd(cast(a), cast(b))) };
        let mut groups = [[simd.splat_f32s(0.0); 4]; 2];
        for (group, rows) in groups.iter_mut().zip(rows.as_chunks::<4>().0) {
            let [a, b, c, d] = *rows;
            let (ab, ab_high, cd, cd_high) = (low(a, b), high(a, b), low(c, d), high(c, d));
            *group = [
                low_pair(ab, cd),
                high_pair(ab, cd),
                low_pair(ab_high, cd_high),
                high_pair(ab_high, cd_high),
            ];
        }
        for c in 0..4 {
            let [a, b] = [groups[0][c], groups[1][c]];
            let first: f32x8 = cast(isa._mm256_permute2f128_ps::<0x20>(cast(a), cast(b)));
            let second: f32x8 = cast(isa._mm256_permute2f128_ps::<0x31>(cast(a), cast(b)));
            for (half, column) in [first, second].into_iter().enumerate() {
                if let Some(place) = V3::as_mut_simd_f32s(&mut out[(4 * half + c) * distance..]).0.first_mut()
                {
                    *place = column;
                }
            }
        }
    }
}
