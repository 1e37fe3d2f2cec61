//! Softmax and the normalisations: over rows (layer, root mean square), over groups of channels (group, instance), and
//! by stored statistics (batch).
//!
//! Each row is read several times while it is hot in the cache; variances are taken about the mean (two passes), so that
//! they do not cancel.

mod softmax;
#[cfg(test)]
mod tests;

use pulp::{Simd, WithSimd};

pub(crate) use self::softmax::{
    exponentiate_row, log_softmax_axis, log_softmax_rows, softmax_axis, softmax_rows, softmax_rows_into,
    softmax_rows_masked,
};
use crate::kernels::reduce::{Sum, SumSquare, fold_row};
use crate::kernels::vector::{Unary, Vector, dispatch, map_with};

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
