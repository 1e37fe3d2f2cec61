//! Bringing every second or fourth value together, and apart again.
//!
//! With AVX-512 these are a few permutations of vectors; elsewhere plain loops, which the compiler does what it can
//! with.

#![expect(clippy::needless_range_loop, reason = "blocks of registers read best by index")]

use pulp::Simd;

/// Values moved at a time.
pub(crate) const STEP: usize = 16;

/// The AVX-512 instructions, if that is what `simd` stands for.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn avx512<S: Simd>(simd: S) -> Option<pulp::x86::V4> {
    let any: &dyn std::any::Any = &simd;
    any.downcast_ref().copied()
}

/// `out[i] = span[i * STRIDE + phase]`; `SPAN` is `STRIDE * STEP`.
#[inline(always)]
pub(crate) fn deinterleave<S: Simd, const STRIDE: usize, const SPAN: usize>(
    simd: S,
    span: &[f32; SPAN],
    phase: usize,
    out: &mut [f32; STEP],
) {
    #[cfg(target_arch = "x86_64")]
    if let Some(v4) = avx512(simd) {
        use std::arch::x86_64::{__m512, __m512i};

        let parts = span.as_chunks::<STEP>().0;
        let load = |part: usize| pulp::cast::<[f32; STEP], __m512>(parts[part]);
        let mut index = [0i32; STEP];
        for lane in 0..STEP {
            index[lane] = (lane * STRIDE + phase) as i32 % 32;
        }
        let index = pulp::cast::<[i32; STEP], __m512i>(index);
        if STRIDE == 1 {
            out.copy_from_slice(&parts[0]);
            return;
        }
        if STRIDE == 2 {
            *out = pulp::cast(v4.avx512f._mm512_permutex2var_ps(load(0), index, load(1)));
            return;
        }
        if STRIDE == 4 {
            // The lower halves hold what comes from two vectors each.
            let low = v4.avx512f._mm512_permutex2var_ps(load(0), index, load(1));
            let high = v4.avx512f._mm512_permutex2var_ps(load(2), index, load(3));
            *out = pulp::cast(v4.avx512f._mm512_shuffle_f32x4::<0b01_00_01_00>(low, high));
            return;
        }
    }
    for (lane, out) in out.iter_mut().enumerate() {
        *out = span[lane * STRIDE + phase];
    }
}

/// `out[i * STEPS + j] = vectors[j][i]`.
#[inline(always)]
pub(crate) fn interleave<S: Simd, const STEPS: usize>(
    simd: S,
    vectors: [S::f32s; STEPS],
    out: &mut [f32; 64],
) {
    let mut lanes = [[0.0; STEP]; STEPS];
    for step in 0..STEPS {
        S::as_mut_simd_f32s(&mut lanes[step]).0[0] = vectors[step];
    }
    #[cfg(target_arch = "x86_64")]
    if let Some(v4) = avx512(simd) {
        use std::arch::x86_64::{__m512, __m512i};

        const LOW: [i32; STEP] = [0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23];
        const HIGH: [i32; STEP] = [8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31];
        const LOW_PAIRS: [i32; STEP] = [0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23];
        const HIGH_PAIRS: [i32; STEP] = [8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31];
        let permute = |a: __m512, index: [i32; STEP], b: __m512| {
            v4.avx512f._mm512_permutex2var_ps(a, pulp::cast::<[i32; STEP], __m512i>(index), b)
        };
        let load = |step: usize| pulp::cast::<[f32; STEP], __m512>(lanes[step]);
        let parts = out.as_chunks_mut::<STEP>().0;
        if STEPS == 2 {
            parts[0] = pulp::cast(permute(load(0), LOW, load(1)));
            parts[1] = pulp::cast(permute(load(0), HIGH, load(1)));
            return;
        }
        if STEPS == 4 {
            let (low, low_next) = (permute(load(0), LOW, load(1)), permute(load(2), LOW, load(3)));
            let (high, high_next) = (permute(load(0), HIGH, load(1)), permute(load(2), HIGH, load(3)));
            parts[0] = pulp::cast(permute(low, LOW_PAIRS, low_next));
            parts[1] = pulp::cast(permute(low, HIGH_PAIRS, low_next));
            parts[2] = pulp::cast(permute(high, LOW_PAIRS, high_next));
            parts[3] = pulp::cast(permute(high, HIGH_PAIRS, high_next));
            return;
        }
    }
    for lane in 0..S::F32_LANES {
        for step in 0..STEPS {
            out[lane * STEPS + step] = lanes[step][lane];
        }
    }
}

/// Swaps rows and columns.
#[inline(always)]
pub(crate) fn transpose<S: Simd>(simd: S, rows: &mut [[f32; STEP]; STEP]) {
    #[cfg(target_arch = "x86_64")]
    if let Some(v4) = avx512(simd) {
        use std::arch::x86_64::{__m512, __m512d};

        let isa = v4.avx512f;
        let mut a = [isa._mm512_setzero_ps(); STEP];
        let mut b = a;
        for row in 0..STEP {
            a[row] = pulp::cast::<[f32; STEP], __m512>(rows[row]);
        }
        // Swap within pairs of rows, then pairs of pairs, then quarters of vectors.
        for row in 0..STEP / 2 {
            b[2 * row] = isa._mm512_unpacklo_ps(a[2 * row], a[2 * row + 1]);
            b[2 * row + 1] = isa._mm512_unpackhi_ps(a[2 * row], a[2 * row + 1]);
        }
        for block in 0..4 {
            for side in 0..2 {
                let low = pulp::cast::<__m512, __m512d>(b[4 * block + side]);
                let high = pulp::cast::<__m512, __m512d>(b[4 * block + 2 + side]);
                a[4 * block + 2 * side] = pulp::cast(isa._mm512_unpacklo_pd(low, high));
                a[4 * block + 2 * side + 1] = pulp::cast(isa._mm512_unpackhi_pd(low, high));
            }
        }
        for column in 0..4 {
            for half in 0..2 {
                let (upper, lower) = (a[8 * half + column], a[8 * half + 4 + column]);
                b[8 * half + column] = isa._mm512_shuffle_f32x4::<0b10_00_10_00>(upper, lower);
                b[8 * half + 4 + column] = isa._mm512_shuffle_f32x4::<0b11_01_11_01>(upper, lower);
            }
        }
        for column in 0..8 {
            a[column] = isa._mm512_shuffle_f32x4::<0b10_00_10_00>(b[column], b[8 + column]);
            a[8 + column] = isa._mm512_shuffle_f32x4::<0b11_01_11_01>(b[column], b[8 + column]);
        }
        for row in 0..STEP {
            rows[row] = pulp::cast(a[row]);
        }
        return;
    }
    for row in 1..STEP {
        for column in 0..row {
            let value = rows[row][column];
            rows[row][column] = rows[column][row];
            rows[column][row] = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulp::{Arch, WithSimd};

    struct Check;

    impl WithSimd for Check {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            check::<S, 1, 16>(simd);
            check::<S, 2, 32>(simd);
            check::<S, 3, 48>(simd);
            check::<S, 4, 64>(simd);
            let mut rows: [[f32; STEP]; STEP] =
                std::array::from_fn(|row| std::array::from_fn(|column| (row * 100 + column) as f32));
            transpose(simd, &mut rows);
            for (row, values) in rows.iter().enumerate() {
                for (column, &value) in values.iter().enumerate() {
                    assert_eq!(value, (column * 100 + row) as f32, "row {row}, column {column}");
                }
            }
        }
    }

    fn check<S: Simd, const STRIDE: usize, const SPAN: usize>(simd: S) {
        let span: [f32; SPAN] = std::array::from_fn(|index| index as f32);
        let mut vectors = [simd.splat_f32s(0.0); STRIDE];
        for (phase, vector) in vectors.iter_mut().enumerate() {
            let mut out = [0.0; STEP];
            deinterleave::<S, STRIDE, SPAN>(simd, &span, phase, &mut out);
            for (lane, value) in out.into_iter().enumerate() {
                assert_eq!(value, span[lane * STRIDE + phase], "stride {STRIDE}");
            }
            *vector = S::as_simd_f32s(&out).0[0];
        }
        let mut out = [0.0; 64];
        interleave::<S, STRIDE>(simd, vectors, &mut out);
        let len = S::F32_LANES * STRIDE;
        assert_eq!(out[..len], span[..len], "stride {STRIDE}");
    }

    #[test]
    fn shuffles_agree_with_their_description() {
        Arch::new().dispatch(Check);
        Check.with_simd(pulp::Scalar::new());
    }
}
