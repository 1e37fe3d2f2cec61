//! Reductions of `f32` tensors along one axis: sums, means, extremes, norms, and the positions of extremes.

use std::ops::Mul;

use pulp::{Simd, WithSimd};

use crate::kernels::vector::{Vector, dispatch};

/// What becomes of the values along the reduced axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reduction {
    /// Zero if there are none.
    Sum,
    /// `NaN` if there are none.
    Mean,
    /// `NaN` if any is; minus infinity if there are none.
    Max,
    /// `NaN` if any is; infinity if there are none.
    Min,
    /// One if there are none.
    Product,
    SumSquare,
    /// Sum of magnitudes.
    L1,
}

/// Reduces `x`, seen as `[outer, axis, inner]`, to `out`, seen as `[outer, inner]`.
pub(crate) fn reduce(kind: Reduction, x: &[f32], axis: usize, inner: usize, out: &mut [f32]) {
    debug_assert!(inner == 0 || axis == 0 || x.len() / axis == out.len());
    match kind {
        Reduction::Sum => dispatch(Reduce { fold: Sum, x, axis, inner, out }),
        Reduction::Mean => {
            dispatch(Reduce { fold: Sum, x, axis, inner, out: &mut *out });
            for value in out {
                *value /= axis as f32;
            }
        }
        Reduction::Max => dispatch(Reduce { fold: Max, x, axis, inner, out }),
        Reduction::Min => dispatch(Reduce { fold: Min, x, axis, inner, out }),
        Reduction::Product => dispatch(Reduce { fold: Product, x, axis, inner, out }),
        Reduction::SumSquare => dispatch(Reduce { fold: SumSquare { about: 0.0 }, x, axis, inner, out }),
        Reduction::L1 => dispatch(Reduce { fold: SumMagnitude, x, axis, inner, out }),
    }
}

/// Position of the largest value of each row of `columns` (the first of equals, or the last); a `NaN` counts as largest.
pub(crate) fn argmax_rows(x: &[f32], columns: usize, select_last: bool, out: &mut [i64]) {
    arg_rows(Max, x, columns, select_last, out);
}

/// Position of the smallest value of each row of `columns` (the first of equals, or the last); a `NaN` counts as
/// smallest.
pub(crate) fn argmin_rows(x: &[f32], columns: usize, select_last: bool, out: &mut [i64]) {
    arg_rows(Min, x, columns, select_last, out);
}

fn arg_rows(fold: impl Fold, x: &[f32], columns: usize, select_last: bool, out: &mut [i64]) {
    if columns == 0 {
        out.fill(0);
        return;
    }
    for (row, position) in x.chunks_exact(columns).zip(out) {
        let extreme = dispatch(FoldRow { fold, row });
        let matches = |&value: &f32| value == extreme || (value.is_nan() && extreme.is_nan());
        let found = if select_last { row.iter().rposition(matches) } else { row.iter().position(matches) };
        *position = found.unwrap_or(0) as i64;
    }
}

/// A reduction, lane by lane.
pub(crate) trait Fold: Copy {
    /// What the accumulators start from.
    const START: f32;

    /// A value that leaves an accumulator as it is.
    fn neutral(self) -> f32 {
        Self::START
    }

    fn step<S: Simd>(self, accumulator: Vector<S>, x: Vector<S>) -> Vector<S>;

    /// Joins two accumulators.
    fn join<S: Simd>(self, a: Vector<S>, b: Vector<S>) -> Vector<S>;

    /// Joins the lanes.
    fn finish<S: Simd>(self, accumulator: Vector<S>) -> f32;
}

macro_rules! summing {
    ($(#[$doc:meta])* $type:ident, |$accumulator:ident, $x:ident| $step:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct $type;

        impl Fold for $type {
            const START: f32 = 0.0;
            #[inline(always)]
            fn step<S: Simd>(self, $accumulator: Vector<S>, $x: Vector<S>) -> Vector<S> {
                $step
            }
            #[inline(always)]
            fn join<S: Simd>(self, a: Vector<S>, b: Vector<S>) -> Vector<S> {
                a + b
            }
            #[inline(always)]
            fn finish<S: Simd>(self, accumulator: Vector<S>) -> f32 {
                accumulator.sum()
            }
        }
    };
}

summing!(Sum, |accumulator, x| accumulator + x);
summing!(SumMagnitude, |accumulator, x| accumulator + x.abs());

/// Sum of the squared distances from `about`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SumSquare {
    pub(crate) about: f32,
}

impl Fold for SumSquare {
    const START: f32 = 0.0;
    #[inline(always)]
    fn neutral(self) -> f32 {
        self.about
    }
    #[inline(always)]
    fn step<S: Simd>(self, accumulator: Vector<S>, x: Vector<S>) -> Vector<S> {
        let distance = x - x.constant(self.about);
        distance.mul_add(distance, accumulator)
    }
    #[inline(always)]
    fn join<S: Simd>(self, a: Vector<S>, b: Vector<S>) -> Vector<S> {
        a + b
    }
    #[inline(always)]
    fn finish<S: Simd>(self, accumulator: Vector<S>) -> f32 {
        accumulator.sum()
    }
}

macro_rules! folding {
    ($type:ident, $start:expr, $step:expr, |$accumulator:ident| $finish:expr) => {
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct $type;

        impl Fold for $type {
            const START: f32 = $start;
            #[inline(always)]
            fn step<S: Simd>(self, accumulator: Vector<S>, x: Vector<S>) -> Vector<S> {
                $step(accumulator, x)
            }
            #[inline(always)]
            fn join<S: Simd>(self, a: Vector<S>, b: Vector<S>) -> Vector<S> {
                $step(a, b)
            }
            #[inline(always)]
            fn finish<S: Simd>(self, $accumulator: Vector<S>) -> f32 {
                $finish
            }
        }
    };
}

folding!(Max, f32::NEG_INFINITY, Vector::max_or_nan, |accumulator| if accumulator.any_nan() {
    f32::NAN
} else {
    accumulator.largest()
});
folding!(Min, f32::INFINITY, Vector::min_or_nan, |accumulator| if accumulator.any_nan() {
    f32::NAN
} else {
    accumulator.smallest()
});
folding!(Product, 1.0, Mul::mul, |accumulator| accumulator.product());

/// Values summed one after another before they join the total: bounds the rounding error of long rows.
const BLOCK: usize = 16_384;

/// Folds one contiguous row. Four accumulators hide the latency of the additions and keep their errors small.
#[inline(always)]
pub(crate) fn fold_row<S: Simd, F: Fold>(simd: S, fold: F, row: &[f32]) -> f32 {
    let start = Vector::splat(simd, F::START);
    let (body, tail) = S::as_simd_f32s(row);
    let mut total = start;
    for block in body.chunks(BLOCK / Vector::<S>::LANES) {
        let (groups, rest) = pulp::as_arrays::<4, _>(block);
        let mut accumulators = [start; 4];
        for group in groups {
            for (accumulator, &x) in accumulators.iter_mut().zip(group) {
                *accumulator = fold.step(*accumulator, Vector::new(simd, x));
            }
        }
        for (accumulator, &x) in accumulators.iter_mut().zip(rest) {
            *accumulator = fold.step(*accumulator, Vector::new(simd, x));
        }
        let [a, b, c, d] = accumulators;
        total = fold.join(total, fold.join(fold.join(a, b), fold.join(c, d)));
    }
    if !tail.is_empty() {
        total = fold.step(total, Vector::load_partial_or(simd, tail, fold.neutral()));
    }
    fold.finish(total)
}

struct FoldRow<'a, F> {
    fold: F,
    row: &'a [f32],
}

impl<F: Fold> WithSimd for FoldRow<'_, F> {
    type Output = f32;
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        fold_row(simd, self.fold, self.row)
    }
}

struct Reduce<'a, F> {
    fold: F,
    x: &'a [f32],
    axis: usize,
    inner: usize,
    out: &'a mut [f32],
}

impl<F: Fold> WithSimd for Reduce<'_, F> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { fold, x, axis, inner, out } = self;
        if axis == 0 || inner == 0 {
            out.fill(F::START);
        } else if inner == 1 {
            for (row, out) in x.chunks_exact(axis).zip(out) {
                *out = fold_row(simd, fold, row);
            }
        } else {
            for (rows, out) in x.chunks_exact(axis * inner).zip(out.chunks_exact_mut(inner)) {
                fold_columns(simd, fold, rows, inner, out);
            }
        }
    }
}

/// Folds the rows of a `[axis, inner]` matrix into one, a few registers of columns at a time.
#[inline(always)]
fn fold_columns<S: Simd, F: Fold>(simd: S, fold: F, rows: &[f32], inner: usize, out: &mut [f32]) {
    let lanes = Vector::<S>::LANES;
    let start = Vector::splat(simd, F::START);
    let wide = 4 * lanes;
    let mut column = 0;
    while column + wide <= inner {
        let mut accumulators = [start; 4];
        for row in rows.chunks_exact(inner) {
            let (registers, _) = S::as_simd_f32s(&row[column..column + wide]);
            for (accumulator, &x) in accumulators.iter_mut().zip(registers) {
                *accumulator = fold.step(*accumulator, Vector::new(simd, x));
            }
        }
        let (registers, _) = S::as_mut_simd_f32s(&mut out[column..column + wide]);
        for (out, accumulator) in registers.iter_mut().zip(accumulators) {
            *out = accumulator.lanes();
        }
        column += wide;
    }
    while column < inner {
        let end = (column + lanes).min(inner);
        let mut accumulator = start;
        for row in rows.chunks_exact(inner) {
            accumulator = fold.step(accumulator, Vector::load(simd, &row[column..end]));
        }
        accumulator.store(&mut out[column..end]);
        column = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::vector::instruction_sets::on_every_instruction_set;

    fn data(length: usize) -> Vec<f32> {
        let mut state = 88_172_645_463_325_252_u64;
        (0..length)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 40) as f32 / 8_388_608.0 - 1.0
            })
            .collect()
    }

    fn oracle(kind: Reduction, values: &[f64]) -> f64 {
        let sum: f64 = values.iter().sum();
        match kind {
            Reduction::Sum => sum,
            Reduction::Mean => sum / values.len() as f64,
            Reduction::Max => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            Reduction::Min => values.iter().copied().fold(f64::INFINITY, f64::min),
            Reduction::Product => values.iter().product(),
            Reduction::SumSquare => values.iter().map(|x| x * x).sum(),
            Reduction::L1 => values.iter().map(|x| x.abs()).sum(),
        }
    }

    const KINDS: [Reduction; 7] = [
        Reduction::Sum,
        Reduction::Mean,
        Reduction::Max,
        Reduction::Min,
        Reduction::Product,
        Reduction::SumSquare,
        Reduction::L1,
    ];

    #[test]
    fn every_kind_agrees_with_f64() {
        on_every_instruction_set(|| {
            for kind in KINDS {
                for outer in [1, 3] {
                    for axis in [1, 2, 7, 16, 33, 130, 1000] {
                        for inner in [1, 2, 5, 16, 40, 64, 100] {
                            let x = data(outer * axis * inner);
                            let mut out = vec![f32::NAN; outer * inner];
                            reduce(kind, &x, axis, inner, &mut out);
                            for o in 0..outer {
                                for i in 0..inner {
                                    let column: Vec<f64> =
                                        (0..axis).map(|a| f64::from(x[(o * axis + a) * inner + i])).collect();
                                    let exact = oracle(kind, &column);
                                    let scale =
                                        exact.abs().max(if kind == Reduction::Product { 0.0 } else { 1.0 });
                                    let ours = f64::from(out[o * inner + i]);
                                    assert!(
                                        (ours - exact).abs() <= 2e-5 * scale + 1e-38,
                                        "{kind:?} {axis} {inner}: {ours} {exact}"
                                    );
                                }
                            }
                        }
                    }
                }
            }
        });
    }

    #[test]
    fn long_sums_keep_their_digits() {
        on_every_instruction_set(|| {
            let x = vec![0.1; 10_000_000];
            let mut out = [0.0];
            reduce(Reduction::Sum, &x, x.len(), 1, &mut out);
            assert!((f64::from(out[0]) / (f64::from(0.1f32) * 1e7) - 1.0).abs() < 5e-5, "{}", out[0]);
        });
    }

    #[test]
    fn nothing_to_reduce_gives_the_start() {
        on_every_instruction_set(|| {
            for (kind, start) in
                [(Reduction::Sum, 0.0), (Reduction::Product, 1.0), (Reduction::Max, f32::NEG_INFINITY)]
            {
                let mut out = [5.0; 3];
                reduce(kind, &[], 0, 3, &mut out);
                assert_eq!(out, [start; 3]);
            }
            let mut out = [5.0];
            reduce(Reduction::Mean, &[], 0, 1, &mut out);
            assert!(out[0].is_nan());
        });
    }

    #[test]
    fn extremes_pass_nan_on_from_any_place() {
        on_every_instruction_set(|| {
            for length in [1, 15, 16, 17, 64, 100] {
                for place in 0..length {
                    let mut x = data(length);
                    x[place] = f32::NAN;
                    for kind in [Reduction::Max, Reduction::Min] {
                        let mut out = [0.0];
                        reduce(kind, &x, length, 1, &mut out);
                        assert!(out[0].is_nan(), "{kind:?} {length} {place}");
                    }
                    let mut position = [0];
                    argmax_rows(&x, length, false, &mut position);
                    assert_eq!(position[0], place as i64);
                }
            }
        });
    }

    #[test]
    fn positions_of_extremes_choose_among_equals() {
        on_every_instruction_set(|| {
            let x = [1.0, 3.0, 2.0, 3.0, -1.0, 5.0, -1.0, 0.0];
            let mut out = [0; 2];
            argmax_rows(&x, 4, false, &mut out);
            assert_eq!(out, [1, 1]);
            argmax_rows(&x, 4, true, &mut out);
            assert_eq!(out, [3, 1]);
            argmin_rows(&x, 4, false, &mut out);
            assert_eq!(out, [0, 0]);
            argmin_rows(&x, 4, true, &mut out);
            assert_eq!(out, [0, 2]);
        });
    }
}
