//! Softmax and the normalisations: over rows (layer, root mean square), over groups of channels (group, instance), and
//! by stored statistics (batch).
//!
//! Each row is read several times while it is hot in the cache; variances are taken about the mean (two passes), so that
//! they do not cancel.

use pulp::{Simd, WithSimd};

use crate::kernels::math::{exponential_of_negative, logarithm};
use crate::kernels::reduce::{Fold, Sum, SumSquare, fold_row};
use crate::kernels::vector::{Unary, Vector, dispatch, map_in_place_with, map_with};

/// `e^x / sum(e^x)` over each row of `columns`, in place.
pub(crate) fn softmax_rows(data: &mut [f32], columns: usize) {
    dispatch(SoftmaxRows { data, columns, scaled_mask: None, logarithmic: false });
}

/// Softmax of `scale x + mask` over each row of `columns`, in place; `mask` is one row, added to all.
pub(crate) fn softmax_rows_masked(data: &mut [f32], columns: usize, scale: f32, mask: &[f32]) {
    debug_assert_eq!(mask.len(), columns);
    dispatch(SoftmaxRows { data, columns, scaled_mask: Some((scale, mask)), logarithmic: false });
}

/// `x - log(sum(e^x))` over each row of `columns`, in place.
pub(crate) fn log_softmax_rows(data: &mut [f32], columns: usize) {
    dispatch(SoftmaxRows { data, columns, scaled_mask: None, logarithmic: true });
}

/// Softmax along the middle axis of `[outer, axis, inner]`, in place.
pub(crate) fn softmax_axis(data: &mut [f32], axis: usize, inner: usize) {
    if inner == 1 {
        softmax_rows(data, axis);
    } else {
        dispatch(SoftmaxAxis { data, axis, inner, logarithmic: false });
    }
}

/// Logarithm of the softmax along the middle axis of `[outer, axis, inner]`, in place.
pub(crate) fn log_softmax_axis(data: &mut [f32], axis: usize, inner: usize) {
    if inner == 1 {
        log_softmax_rows(data, axis);
    } else {
        dispatch(SoftmaxAxis { data, axis, inner, logarithmic: true });
    }
}

/// `gamma (x - mean) / sqrt(variance + epsilon) + beta` over each row of `columns`.
pub(crate) fn layer_norm_rows(
    x: &[f32],
    columns: usize,
    gamma: &[f32],
    beta: Option<&[f32]>,
    epsilon: f32,
    out: &mut [f32],
) {
    debug_assert_eq!(x.len(), out.len());
    dispatch(LayerNorm {
        x,
        summands: [None, None],
        columns,
        gamma,
        beta,
        epsilon,
        centred: true,
        sum: None,
        out,
    });
}

/// Layer normalisation of `x + residual + bias` (bias: one row); `sum`, if wanted, gets that sum.
#[expect(clippy::too_many_arguments, reason = "the operator has as many inputs")]
pub(crate) fn residual_layer_norm_rows(
    x: &[f32],
    residual: &[f32],
    bias: Option<&[f32]>,
    columns: usize,
    gamma: &[f32],
    beta: Option<&[f32]>,
    epsilon: f32,
    sum: Option<&mut [f32]>,
    out: &mut [f32],
) {
    debug_assert_eq!(x.len(), residual.len());
    debug_assert_eq!(x.len(), out.len());
    let summands = [Some(residual), bias];
    dispatch(LayerNorm { x, summands, columns, gamma, beta, epsilon, centred: true, sum, out });
}

/// `gamma x / sqrt(mean(x^2) + epsilon)` over each row of `columns`.
pub(crate) fn rms_norm_rows(x: &[f32], columns: usize, gamma: &[f32], epsilon: f32, out: &mut [f32]) {
    debug_assert_eq!(x.len(), out.len());
    dispatch(LayerNorm {
        x,
        summands: [None, None],
        columns,
        gamma,
        beta: None,
        epsilon,
        centred: false,
        sum: None,
        out,
    });
}

/// Normalises groups of consecutive channels of `x`, seen as `[batch, channels, inner]`, each by its own mean and
/// variance; `gamma` and `beta` are per channel. As many groups as channels make it instance normalisation.
#[expect(clippy::too_many_arguments, reason = "the operator has as many inputs")]
pub(crate) fn group_norm(
    x: &[f32],
    channels: usize,
    inner: usize,
    groups: usize,
    gamma: &[f32],
    beta: &[f32],
    epsilon: f32,
    out: &mut [f32],
) {
    debug_assert!(groups > 0 && channels.is_multiple_of(groups));
    dispatch(GroupNorm { x, inner, channels, groups: groups.max(1), gamma, beta, epsilon, out });
}

/// Batch normalisation by stored statistics as one multiplication and addition per channel: `(scale, shift)`.
pub(crate) fn fold_batch_norm(
    gamma: &[f32],
    beta: &[f32],
    mean: &[f32],
    variance: &[f32],
    epsilon: f32,
) -> (Vec<f32>, Vec<f32>) {
    // In f64, as the scale and shift are used for every value of the channel.
    let scales = gamma
        .iter()
        .zip(variance)
        .map(|(&gamma, &variance)| f64::from(gamma) / (f64::from(variance) + f64::from(epsilon)).sqrt());
    let shifted = scales.zip(beta.iter().zip(mean));
    shifted
        .map(|(scale, (&beta, &mean))| (scale as f32, (f64::from(beta) - f64::from(mean) * scale) as f32))
        .unzip()
}

/// `scale[c] x + shift[c]` for `x` seen as `[batch, channels, inner]`.
pub(crate) fn scale_shift_channels(x: &[f32], inner: usize, scale: &[f32], shift: &[f32], out: &mut [f32]) {
    debug_assert_eq!(x.len(), out.len());
    dispatch(ScaleShift { x, inner, scale, shift, out });
}

/// The largest value, never `NaN`: a `NaN` shows in the sum that follows.
#[derive(Clone, Copy)]
struct LargestNumber;

impl Fold for LargestNumber {
    const START: f32 = f32::NEG_INFINITY;
    #[inline(always)]
    fn step<S: Simd>(self, accumulator: Vector<S>, x: Vector<S>) -> Vector<S> {
        accumulator.at_least(x)
    }
    #[inline(always)]
    fn join<S: Simd>(self, a: Vector<S>, b: Vector<S>) -> Vector<S> {
        a.at_least(b)
    }
    #[inline(always)]
    fn finish<S: Simd>(self, accumulator: Vector<S>) -> f32 {
        accumulator.largest()
    }
}

/// Sum of `e^(x - largest)`.
#[derive(Clone, Copy)]
struct SumExponential {
    largest: f32,
}

impl Fold for SumExponential {
    const START: f32 = 0.0;
    #[inline(always)]
    fn neutral(self) -> f32 {
        f32::NEG_INFINITY
    }
    #[inline(always)]
    fn step<S: Simd>(self, accumulator: Vector<S>, x: Vector<S>) -> Vector<S> {
        accumulator + exponential_of_negative(x - x.constant(self.largest))
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

/// `scale x + shift` with one scale and shift for all.
#[derive(Clone, Copy)]
struct Affine {
    scale: f32,
    shift: f32,
}

impl Unary for Affine {
    #[inline(always)]
    fn apply<S: Simd>(self, x: Vector<S>) -> Vector<S> {
        x.mul_add(x.constant(self.scale), x.constant(self.shift))
    }
}

/// `x factor`.
#[derive(Clone, Copy)]
struct Times(f32);

impl Unary for Times {
    #[inline(always)]
    fn apply<S: Simd>(self, x: Vector<S>) -> Vector<S> {
        x * x.constant(self.0)
    }
}

/// `x - amount`.
#[derive(Clone, Copy)]
struct Minus(f32);

impl Unary for Minus {
    #[inline(always)]
    fn apply<S: Simd>(self, x: Vector<S>) -> Vector<S> {
        x - x.constant(self.0)
    }
}

struct SoftmaxRows<'a> {
    data: &'a mut [f32],
    columns: usize,
    scaled_mask: Option<(f32, &'a [f32])>,
    logarithmic: bool,
}

impl WithSimd for SoftmaxRows<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if self.columns == 0 {
            return;
        }
        for row in self.data.chunks_exact_mut(self.columns) {
            if let Some((scale, mask)) = self.scaled_mask {
                scale_and_add(simd, scale, mask, row);
            }
            let largest = fold_row(simd, LargestNumber, row);
            if self.logarithmic {
                let sum = fold_row(simd, SumExponential { largest }, row);
                map_in_place_with(simd, Minus(largest), row);
                map_in_place_with(simd, Minus(sum.ln()), row);
            } else {
                let sum = exponentiate_row(simd, largest, row);
                map_in_place_with(simd, Times(1.0 / sum), row);
            }
        }
    }
}

#[inline(always)]
fn scale_and_add<S: Simd>(simd: S, scale: f32, mask: &[f32], row: &mut [f32]) {
    let factor = Vector::splat(simd, scale);
    let length = row.len().min(mask.len());
    let (body, tail) = S::as_mut_simd_f32s(&mut row[..length]);
    let (mask_body, mask_tail) = S::as_simd_f32s(&mask[..length]);
    for (x, &mask) in body.iter_mut().zip(mask_body) {
        *x = Vector::new(simd, *x).mul_add(factor, Vector::new(simd, mask)).lanes();
    }
    if !tail.is_empty() {
        let mask = Vector::load_partial(simd, mask_tail);
        Vector::load_partial(simd, tail).mul_add(factor, mask).store_partial(tail);
    }
}

/// Replaces the values by `e^(x - largest)` and returns their sum.
#[inline(always)]
pub(crate) fn exponentiate_row<S: Simd>(simd: S, largest: f32, row: &mut [f32]) -> f32 {
    let (body, tail) = S::as_mut_simd_f32s(row);
    let offset = Vector::splat(simd, largest);
    let mut sums = [Vector::zero(simd); 2];
    let mut turn = 0;
    for lanes in body {
        let e = exponential_of_negative(Vector::new(simd, *lanes) - offset);
        *lanes = e.lanes();
        sums[turn] += e;
        turn = 1 - turn;
    }
    if !tail.is_empty() {
        let x = Vector::load_partial_or(simd, tail, f32::NEG_INFINITY);
        let e = exponential_of_negative(x - offset);
        e.store_partial(tail);
        sums[0] += e;
    }
    (sums[0] + sums[1]).sum()
}

struct SoftmaxAxis<'a> {
    data: &'a mut [f32],
    axis: usize,
    inner: usize,
    logarithmic: bool,
}

impl WithSimd for SoftmaxAxis<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { data, axis, inner, logarithmic } = self;
        if axis == 0 || inner == 0 {
            return;
        }
        for block in data.chunks_exact_mut(axis * inner) {
            for column in (0..inner).step_by(Vector::<S>::LANES) {
                let end = (column + Vector::<S>::LANES).min(inner);
                let mut largest = Vector::splat(simd, f32::NEG_INFINITY);
                for row in block.chunks_exact(inner) {
                    largest = largest.at_least(Vector::load(simd, &row[column..end]));
                }
                let mut sum = Vector::zero(simd);
                for row in block.chunks_exact_mut(inner) {
                    let below = Vector::load(simd, &row[column..end]) - largest;
                    let e = exponential_of_negative(below);
                    sum += e;
                    (if logarithmic { below } else { e }).store(&mut row[column..end]);
                }
                let (factor, shift) = if logarithmic {
                    (Vector::splat(simd, 1.0), logarithm(sum))
                } else {
                    (Vector::splat(simd, 1.0) / sum, Vector::zero(simd))
                };
                for row in block.chunks_exact_mut(inner) {
                    let x = Vector::load(simd, &row[column..end]);
                    (x * factor - shift).store(&mut row[column..end]);
                }
            }
        }
    }
}

struct LayerNorm<'a> {
    x: &'a [f32],
    /// A tensor like `x` and a row, both added to `x` first.
    summands: [Option<&'a [f32]>; 2],
    columns: usize,
    gamma: &'a [f32],
    beta: Option<&'a [f32]>,
    epsilon: f32,
    /// Whether the mean is taken away.
    centred: bool,
    sum: Option<&'a mut [f32]>,
    out: &'a mut [f32],
}

impl WithSimd for LayerNorm<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, summands: [residual, bias], columns, gamma, beta, epsilon, centred, mut sum, out } =
            self;
        if columns == 0 {
            return;
        }
        let count = columns as f32;
        for (number, (row, out)) in x.chunks_exact(columns).zip(out.chunks_exact_mut(columns)).enumerate() {
            let place = number * columns..(number + 1) * columns;
            let row: &[f32] = match (residual, &mut sum) {
                (None, _) => row,
                (Some(residual), Some(sum)) => {
                    let sum = &mut sum[place.clone()];
                    add_rows(simd, row, &residual[place], bias, sum);
                    sum
                }
                (Some(residual), None) => {
                    add_rows(simd, row, &residual[place], bias, out);
                    let mean = fold_row(simd, Sum, out) / count;
                    let variance = fold_row(simd, SumSquare { about: mean }, out) / count;
                    let scale = 1.0 / (variance + epsilon).sqrt();
                    normalize_in_place(simd, mean, scale, gamma, beta, out);
                    continue;
                }
            };
            let mean = if centred { fold_row(simd, Sum, row) / count } else { 0.0 };
            let variance = fold_row(simd, SumSquare { about: mean }, row) / count;
            let scale = 1.0 / (variance + epsilon).sqrt();
            normalize_row(simd, row, mean, scale, gamma, beta, out);
        }
    }
}

/// `out = a + b + bias`.
#[inline(always)]
fn add_rows<S: Simd>(simd: S, a: &[f32], b: &[f32], bias: Option<&[f32]>, out: &mut [f32]) {
    let lanes = Vector::<S>::LANES;
    for start in (0..out.len()).step_by(lanes) {
        let end = (start + lanes).min(out.len());
        let mut sum = Vector::load(simd, &a[start..end]) + Vector::load(simd, &b[start..end]);
        if let Some(bias) = bias {
            sum += Vector::load(simd, &bias[start..end]);
        }
        sum.store(&mut out[start..end]);
    }
}

/// `out = gamma (x - mean) scale + beta`.
#[inline(always)]
fn normalize_row<S: Simd>(
    simd: S,
    x: &[f32],
    mean: f32,
    scale: f32,
    gamma: &[f32],
    beta: Option<&[f32]>,
    out: &mut [f32],
) {
    let (mean, scale) = (Vector::splat(simd, mean), Vector::splat(simd, scale));
    let lanes = Vector::<S>::LANES;
    let columns = out.len();
    let (x, gamma) = (&x[..columns], &gamma[..columns]);
    let beta = beta.map(|beta| &beta[..columns]);
    for start in (0..columns).step_by(lanes) {
        let end = (start + lanes).min(columns);
        let centred = (Vector::load(simd, &x[start..end]) - mean) * scale;
        let gamma = Vector::load(simd, &gamma[start..end]);
        let value = match beta {
            Some(beta) => centred.mul_add(gamma, Vector::load(simd, &beta[start..end])),
            None => centred * gamma,
        };
        value.store(&mut out[start..end]);
    }
}

/// [`normalize_row`] of a row onto itself.
#[inline(always)]
fn normalize_in_place<S: Simd>(
    simd: S,
    mean: f32,
    scale: f32,
    gamma: &[f32],
    beta: Option<&[f32]>,
    row: &mut [f32],
) {
    let (mean, scale) = (Vector::splat(simd, mean), Vector::splat(simd, scale));
    let lanes = Vector::<S>::LANES;
    let columns = row.len();
    let gamma = &gamma[..columns];
    let beta = beta.map(|beta| &beta[..columns]);
    for start in (0..columns).step_by(lanes) {
        let end = (start + lanes).min(columns);
        let centred = (Vector::load(simd, &row[start..end]) - mean) * scale;
        let gamma = Vector::load(simd, &gamma[start..end]);
        let value = match beta {
            Some(beta) => centred.mul_add(gamma, Vector::load(simd, &beta[start..end])),
            None => centred * gamma,
        };
        value.store(&mut row[start..end]);
    }
}

struct GroupNorm<'a> {
    x: &'a [f32],
    channels: usize,
    inner: usize,
    groups: usize,
    gamma: &'a [f32],
    beta: &'a [f32],
    epsilon: f32,
    out: &'a mut [f32],
}

impl WithSimd for GroupNorm<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, channels, inner, groups, gamma, beta, epsilon, out } = self;
        let per_group = channels / groups;
        let length = per_group * inner;
        if length == 0 {
            return;
        }
        for (number, (x, out)) in x.chunks_exact(length).zip(out.chunks_exact_mut(length)).enumerate() {
            let first = number % groups * per_group;
            let mean = fold_row(simd, Sum, x) / length as f32;
            let variance = fold_row(simd, SumSquare { about: mean }, x) / length as f32;
            let scale = 1.0 / (variance + epsilon).sqrt();
            let planes = x.chunks_exact(inner).zip(out.chunks_exact_mut(inner));
            for ((x, out), (&gamma, &beta)) in planes.zip(gamma[first..].iter().zip(&beta[first..])) {
                let scale = scale * gamma;
                map_with(simd, Centred { mean, scale, shift: beta }, x, out);
            }
        }
    }
}

/// `(x - mean) scale + shift`.
#[derive(Clone, Copy)]
struct Centred {
    mean: f32,
    scale: f32,
    shift: f32,
}

impl Unary for Centred {
    #[inline(always)]
    fn apply<S: Simd>(self, x: Vector<S>) -> Vector<S> {
        (x - x.constant(self.mean)).mul_add(x.constant(self.scale), x.constant(self.shift))
    }
}

struct ScaleShift<'a> {
    x: &'a [f32],
    inner: usize,
    scale: &'a [f32],
    shift: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for ScaleShift<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, inner, scale, shift, out } = self;
        if inner == 0 {
            return;
        }
        let channels = scale.iter().zip(shift).cycle();
        let planes = x.chunks_exact(inner).zip(out.chunks_exact_mut(inner));
        for ((x, out), (&scale, &shift)) in planes.zip(channels) {
            map_with(simd, Affine { scale, shift }, x, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(length: usize, scale: f32) -> Vec<f32> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        (0..length)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                ((state >> 40) as f32 / 8_388_608.0 - 1.0) * scale
            })
            .collect()
    }

    fn assert_close(ours: &[f32], exact: &[f64], tolerance: f64, what: &str) {
        assert_eq!(ours.len(), exact.len());
        for (i, (&ours, &exact)) in ours.iter().zip(exact).enumerate() {
            let distance = (f64::from(ours) - exact).abs();
            assert!(distance <= tolerance * (1.0 + exact.abs()), "{what}[{i}]: {ours} is not {exact}");
        }
    }

    fn softmax_exact(row: &[f64]) -> Vec<f64> {
        let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|x| (x - largest).exp()).sum();
        row.iter().map(|x| (x - largest).exp() / sum).collect()
    }

    fn normal_exact(row: &[f64], epsilon: f64, centred: bool) -> Vec<f64> {
        let count = row.len() as f64;
        let mean = if centred { row.iter().sum::<f64>() / count } else { 0.0 };
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
        row.iter().map(|x| (x - mean) / (variance + epsilon).sqrt()).collect()
    }

    fn wide(values: &[f32]) -> Vec<f64> {
        values.iter().map(|&x| f64::from(x)).collect()
    }

    const COLUMNS: [usize; 10] = [1, 2, 3, 7, 16, 17, 31, 64, 100, 257];

    #[test]
    fn softmax_agrees_with_f64() {
        for columns in COLUMNS {
            for scale in [1.0, 30.0, 1e4] {
                let x = data(5 * columns, scale);
                let mask = data(columns, 3.0);
                let (mut plain, mut masked, mut logarithm) = (x.clone(), x.clone(), x.clone());
                softmax_rows(&mut plain, columns);
                softmax_rows_masked(&mut masked, columns, 0.125, &mask);
                log_softmax_rows(&mut logarithm, columns);
                for row in 0..5 {
                    let place = row * columns..(row + 1) * columns;
                    let exact = softmax_exact(&wide(&x[place.clone()]));
                    assert_close(&plain[place.clone()], &exact, 1e-6, "softmax");
                    let largest = wide(&x[place.clone()]).into_iter().fold(f64::NEG_INFINITY, f64::max);
                    let sum: f64 = wide(&x[place.clone()]).iter().map(|x| (x - largest).exp()).sum();
                    let logs: Vec<f64> =
                        wide(&x[place.clone()]).iter().map(|x| x - largest - sum.ln()).collect();
                    assert_close(&logarithm[place.clone()], &logs, 2e-6, "log softmax");
                    let input: Vec<f64> =
                        x[place.clone()].iter().zip(&mask).map(|(&x, &m)| f64::from(x * 0.125 + m)).collect();
                    assert_close(
                        &masked[place],
                        &softmax_exact(&input),
                        5e-5 * f64::from(scale.max(1.0)).min(2.0),
                        "masked",
                    );
                }
            }
        }
    }

    #[test]
    fn softmax_follows_ieee_at_the_edges() {
        let mut row = [f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY];
        softmax_rows(&mut row, 3);
        assert_eq!(row, [0.0, 1.0, 0.0]);
        let mut nothing = [f32::NEG_INFINITY; 3];
        softmax_rows(&mut nothing, 3);
        assert!(nothing.iter().all(|x| x.is_nan()));
        let mut row = [1.0, f32::NAN, 2.0, 3.0];
        softmax_rows(&mut row, 4);
        assert!(row.iter().all(|x| x.is_nan()));
        let mut row = [f32::MIN, f32::MAX];
        softmax_rows(&mut row, 2);
        assert_eq!(row, [0.0, 1.0]);
    }

    #[test]
    fn softmax_along_a_middle_axis_agrees_with_rows() {
        for (outer, axis, inner) in [(2, 5, 3), (1, 7, 16), (3, 1, 40), (2, 21, 33)] {
            let x = data(outer * axis * inner, 5.0);
            let (mut plain, mut logarithm) = (x.clone(), x.clone());
            softmax_axis(&mut plain, axis, inner);
            log_softmax_axis(&mut logarithm, axis, inner);
            for o in 0..outer {
                for i in 0..inner {
                    let at = |a: usize| (o * axis + a) * inner + i;
                    let column: Vec<f64> = (0..axis).map(|a| f64::from(x[at(a)])).collect();
                    let exact = softmax_exact(&column);
                    let ours: Vec<f32> = (0..axis).map(|a| plain[at(a)]).collect();
                    assert_close(&ours, &exact, 1e-6, "softmax axis");
                    let ours: Vec<f32> = (0..axis).map(|a| logarithm[at(a)]).collect();
                    let exact: Vec<f64> = exact.iter().map(|x| x.ln()).collect();
                    assert_close(&ours, &exact, 2e-6, "log softmax axis");
                }
            }
        }
    }

    #[test]
    fn row_normalisations_agree_with_f64() {
        for columns in COLUMNS {
            let mut x = data(4 * columns, 2.0);
            for value in &mut x {
                *value += 100.0;
            }
            let residual = data(4 * columns, 1.0);
            let (gamma, beta, bias) = (data(columns, 1.5), data(columns, 0.5), data(columns, 0.7));
            let mut out = vec![f32::NAN; x.len()];
            layer_norm_rows(&x, columns, &gamma, Some(&beta), 1e-5, &mut out);
            let mut plain = vec![f32::NAN; x.len()];
            layer_norm_rows(&x, columns, &gamma, None, 1e-5, &mut plain);
            let mut root = vec![f32::NAN; x.len()];
            rms_norm_rows(&x, columns, &gamma, 1e-5, &mut root);
            let mut fused = vec![f32::NAN; x.len()];
            let mut sum = vec![f32::NAN; x.len()];
            residual_layer_norm_rows(
                &x,
                &residual,
                Some(&bias),
                columns,
                &gamma,
                Some(&beta),
                1e-5,
                Some(&mut sum),
                &mut fused,
            );
            let mut without_sum = vec![f32::NAN; x.len()];
            residual_layer_norm_rows(
                &x,
                &residual,
                Some(&bias),
                columns,
                &gamma,
                Some(&beta),
                1e-5,
                None,
                &mut without_sum,
            );
            assert_eq!(fused, without_sum);
            for row in 0..4 {
                let place = row * columns..(row + 1) * columns;
                let affine = |normal: &[f64], beta: Option<&[f32]>| -> Vec<f64> {
                    normal
                        .iter()
                        .enumerate()
                        .map(|(i, x)| x * f64::from(gamma[i]) + beta.map_or(0.0, |beta| f64::from(beta[i])))
                        .collect()
                };
                let exact = normal_exact(&wide(&x[place.clone()]), 1e-5, true);
                // One column has a variance of zero: rounding of the mean shows divided by sqrt(epsilon).
                assert_close(&out[place.clone()], &affine(&exact, Some(&beta)), 1e-4, "layer norm");
                assert_close(&plain[place.clone()], &affine(&exact, None), 1e-4, "layer norm without beta");
                let exact = normal_exact(&wide(&x[place.clone()]), 1e-5, false);
                assert_close(&root[place.clone()], &affine(&exact, None), 1e-6, "rms norm");
                let sums: Vec<f32> =
                    (0..columns).map(|i| x[place.start + i] + residual[place.start + i] + bias[i]).collect();
                assert_eq!(&sum[place.clone()], &sums);
                let exact = normal_exact(&wide(&sums), 1e-5, true);
                assert_close(&fused[place], &affine(&exact, Some(&beta)), 1e-4, "residual layer norm");
            }
        }
    }

    #[test]
    fn group_and_batch_norm_agree_with_f64() {
        for (channels, inner, groups) in [(6, 10, 3), (4, 49, 4), (8, 1, 2), (5, 33, 1)] {
            let x = data(2 * channels * inner, 3.0);
            let (gamma, beta) = (data(channels, 1.0), data(channels, 2.0));
            let mut out = vec![f32::NAN; x.len()];
            group_norm(&x, channels, inner, groups, &gamma, &beta, 1e-3, &mut out);
            let length = channels / groups * inner;
            for (block, (x, out)) in x.chunks(length).zip(out.chunks(length)).enumerate() {
                let exact: Vec<f64> = normal_exact(&wide(x), 1e-3, true)
                    .into_iter()
                    .enumerate()
                    .map(|(i, x)| {
                        let channel = block % groups * (channels / groups) + i / inner;
                        x * f64::from(gamma[channel]) + f64::from(beta[channel])
                    })
                    .collect();
                assert_close(out, &exact, 1e-5, "group norm");
            }

            let (mean, variance): (Vec<f32>, Vec<f32>) =
                (data(channels, 1.0), data(channels, 1.0).iter().map(|x| x * x + 0.1).collect());
            let (scale, shift) = fold_batch_norm(&gamma, &beta, &mean, &variance, 1e-5);
            scale_shift_channels(&x, inner, &scale, &shift, &mut out);
            for (i, (&ours, &x)) in out.iter().zip(&x).enumerate() {
                let c = i / inner % channels;
                let exact = (f64::from(x) - f64::from(mean[c])) / (f64::from(variance[c]) + 1e-5).sqrt()
                    * f64::from(gamma[c])
                    + f64::from(beta[c]);
                assert!((f64::from(ours) - exact).abs() < 1e-5 * (1.0 + exact.abs()));
            }
        }
    }
}
