//! Maximum and average over windows of the last two dimensions, and over whole planes.
//!
//! A window is reduced along its columns first, for a whole row of the input at once, and along its rows then.

use pulp::{Arch, Simd, WithSimd};

use crate::kernels::parallel::Threads;
use crate::kernels::shuffle::{STEP, deinterleave};

/// Elements read below which threads cost more than they save (about 20 us of one core).
const PARALLEL_WORK: usize = 1 << 17;

/// The windows of a pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PoolGeometry {
    /// Height and width of a window.
    pub(crate) kernel: [usize; 2],
    /// Step between windows, in rows and columns.
    pub(crate) strides: [usize; 2],
    /// Step between the elements of a window, in rows and columns.
    pub(crate) dilations: [usize; 2],
    /// Rows and columns of padding: top, left, bottom, right.
    pub(crate) pads: [usize; 4],
}

impl PoolGeometry {
    /// The kernel elements of window `window` that lie in `from..to` of the axis, counted with the padding before.
    #[inline(always)]
    fn elements(&self, axis: usize, window: usize, from: usize, to: usize) -> std::ops::Range<usize> {
        let start = window * self.strides[axis];
        let dilation = self.dilations[axis].max(1);
        let first = from.saturating_sub(start).div_ceil(dilation).min(self.kernel[axis]);
        let end = to.saturating_sub(start).div_ceil(dilation).min(self.kernel[axis]);
        first..end.max(first)
    }
}

/// The maximum of every window of `input` `[N, C, H, W]` (`dims`), to `out` `[N, C, out_size]`.
///
/// NaN is a maximum. Padding counts for nothing; a window without any input gives negative infinity.
pub(crate) fn max_pool(
    input: &[f32],
    dims: [usize; 4],
    geometry: &PoolGeometry,
    out_size: [usize; 2],
    out: &mut [f32],
    threads: &Threads,
) {
    pool::<true>(input, dims, geometry, out_size, false, out, threads);
}

/// The mean of every window of `input` `[N, C, H, W]` (`dims`), to `out` `[N, C, out_size]`.
///
/// With `count_include_pad` the padding counts as zeros; what lies beyond it (where the output size was rounded up)
/// never counts. A window without any input gives 0.
pub(crate) fn average_pool(
    input: &[f32],
    dims: [usize; 4],
    geometry: &PoolGeometry,
    out_size: [usize; 2],
    count_include_pad: bool,
    out: &mut [f32],
    threads: &Threads,
) {
    pool::<false>(input, dims, geometry, out_size, count_include_pad, out, threads);
}

fn pool<const MAX: bool>(
    input: &[f32],
    [_, _, height, width]: [usize; 4],
    geometry: &PoolGeometry,
    out_size: [usize; 2],
    count_include_pad: bool,
    out: &mut [f32],
    threads: &Threads,
) {
    let plane = height * width;
    let out_plane = out_size[0] * out_size[1];
    if out.is_empty() || out_plane == 0 {
        return;
    }
    let single = Threads::single();
    let threads = if input.len() < PARALLEL_WORK { &single } else { threads };
    let arch = Arch::new();
    let planes = out.len() / out_plane;
    let together = planes.div_ceil(if threads.count() == 1 { 1 } else { 4 * threads.count() });
    threads.for_each_chunk_mut(out, together * out_plane, |index, out| {
        let input = &input[index * together * plane..];
        let input = &input[..out.len() / out_plane * plane];
        let size = [height, width];
        arch.dispatch(Windows::<MAX> { input, size, geometry, out_size, count_include_pad, out });
    });
}

/// Some planes.
struct Windows<'a, 'b, const MAX: bool> {
    input: &'a [f32],
    size: [usize; 2],
    geometry: &'a PoolGeometry,
    out_size: [usize; 2],
    count_include_pad: bool,
    out: &'b mut [f32],
}

impl<const MAX: bool> WithSimd for Windows<'_, '_, MAX> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { input, size: [height, width], geometry, out_size: [out_height, out_width], .. } = self;
        let [top, left, ..] = geometry.pads;
        let stride = geometry.strides[1];
        let identity = if MAX { f32::NEG_INFINITY } else { 0.0 };
        // A row with its padding, as long as the windows reach, and a little more to read whole steps.
        let reach =
            (geometry.kernel[1] - 1) * geometry.dilations[1] + (out_width.next_multiple_of(STEP)) * stride;
        let mut row = vec![identity; reach.max(left + width) + STEP];
        let counts: Vec<f32> = (0..out_width).map(|window| self.count(1, window)).collect();
        let mut planes = input.chunks((height * width).max(1));
        for out in self.out.chunks_exact_mut(out_height * out_width) {
            let plane = planes.next().unwrap_or_default();
            for (window, out) in out.chunks_exact_mut(out_width).enumerate() {
                let elements = geometry.elements(0, window, top, top + height);
                let values = &mut row[left..][..width];
                if elements.is_empty() {
                    values.fill(identity);
                }
                for (index, element) in elements.enumerate() {
                    let y = window * geometry.strides[0] + element * geometry.dilations[0] - top;
                    let source = &plane[y * width..][..width];
                    if index == 0 {
                        values.copy_from_slice(source);
                    } else {
                        combine::<S, MAX>(simd, values, source);
                    }
                }
                reduce_row::<S, MAX>(simd, &row, geometry, identity, out);
                if !MAX {
                    let rows = count(geometry, self.count_include_pad, 0, window, height);
                    for (value, columns) in out.iter_mut().zip(&counts) {
                        let count = rows * columns;
                        *value = if count > 0.0 { *value / count } else { 0.0 };
                    }
                }
            }
        }
    }
}

impl<const MAX: bool> Windows<'_, '_, MAX> {
    fn count(&self, axis: usize, window: usize) -> f32 {
        count(self.geometry, self.count_include_pad, axis, window, self.size[axis])
    }
}

/// How many elements of a window count along an axis.
fn count(geometry: &PoolGeometry, include_pad: bool, axis: usize, window: usize, size: usize) -> f32 {
    let before = geometry.pads[axis];
    let range =
        if include_pad { (0, before + size + geometry.pads[axis + 2]) } else { (before, before + size) };
    geometry.elements(axis, window, range.0, range.1).len() as f32
}

/// The maximum, NaN if one is, or the sum.
#[inline(always)]
fn combine_vectors<S: Simd, const MAX: bool>(simd: S, a: S::f32s, b: S::f32s) -> S::f32s {
    if MAX {
        let larger = simd.select_f32s(simd.greater_than_or_equal_f32s(a, b), a, b);
        simd.select_f32s(simd.equal_f32s(a, a), larger, a)
    } else {
        simd.add_f32s(a, b)
    }
}

#[inline(always)]
fn combine_values<const MAX: bool>(a: f32, b: f32) -> f32 {
    match MAX {
        true if a.is_nan() || a >= b => a,
        true => b,
        false => a + b,
    }
}

/// Combines `source` into `values`.
#[inline(always)]
fn combine<S: Simd, const MAX: bool>(simd: S, values: &mut [f32], source: &[f32]) {
    let (values, rest) = S::as_mut_simd_f32s(values);
    let (source, source_rest) = S::as_simd_f32s(source);
    for (value, &source) in values.iter_mut().zip(source) {
        *value = combine_vectors::<S, MAX>(simd, *value, source);
    }
    for (value, &source) in rest.iter_mut().zip(source_rest) {
        *value = combine_values::<MAX>(*value, source);
    }
}

/// Reduces a padded row along the windows.
#[inline(always)]
fn reduce_row<S: Simd, const MAX: bool>(
    simd: S,
    row: &[f32],
    geometry: &PoolGeometry,
    identity: f32,
    out: &mut [f32],
) {
    let stride = geometry.strides[1];
    for (index, out) in out.chunks_mut(STEP).enumerate() {
        let mut sums = [identity; STEP];
        for element in 0..geometry.kernel[1] {
            let row = &row[index * STEP * stride + element * geometry.dilations[1]..];
            let mut values = [0.0; STEP];
            match (stride, row.first_chunk::<16>(), row.first_chunk::<32>()) {
                (1, Some(span), _) => values = *span,
                (2, _, Some(span)) => deinterleave::<S, 2, 32>(simd, span, 0, &mut values),
                _ => {
                    for (value, source) in values.iter_mut().zip(row.iter().step_by(stride)) {
                        *value = *source;
                    }
                }
            }
            combine::<S, MAX>(simd, &mut sums, &values);
        }
        match <&mut [f32; STEP]>::try_from(&mut *out) {
            Ok(out) => *out = sums,
            Err(_) => out.copy_from_slice(&sums[..out.len()]),
        }
    }
}

/// The mean of every one of `planes` planes of `plane_len` values (NaN for planes without values).
pub(crate) fn global_average_pool(
    input: &[f32],
    planes: usize,
    plane_len: usize,
    out: &mut [f32],
    threads: &Threads,
) {
    let single = Threads::single();
    let threads = if input.len() < PARALLEL_WORK { &single } else { threads };
    let arch = Arch::new();
    let together = planes.div_ceil(if threads.count() == 1 { 1 } else { 4 * threads.count() });
    threads.for_each_chunk_mut(&mut out[..planes], together, |index, out| {
        let input = &input[index * together * plane_len..][..out.len() * plane_len];
        arch.dispatch(Means { input, plane_len, out });
    });
}

struct Means<'a, 'b> {
    input: &'a [f32],
    plane_len: usize,
    out: &'b mut [f32],
}

impl WithSimd for Means<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for (index, out) in self.out.iter_mut().enumerate() {
            let plane = &self.input[index * self.plane_len..][..self.plane_len];
            let (vectors, rest) = S::as_simd_f32s(plane);
            let (groups, vectors) = vectors.as_chunks::<4>();
            let mut sums = [simd.splat_f32s(0.0); 4];
            for group in groups {
                for lane in 0..4 {
                    sums[lane] = simd.add_f32s(sums[lane], group[lane]);
                }
            }
            for &vector in vectors {
                sums[0] = simd.add_f32s(sums[0], vector);
            }
            let sum = simd.add_f32s(simd.add_f32s(sums[0], sums[1]), simd.add_f32s(sums[2], sums[3]));
            *out = (simd.reduce_sum_f32s(sum) + rest.iter().sum::<f32>()) / self.plane_len as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{Random, assert_close};

    /// Every window in plain loops: its maximum, or its sum and count.
    fn naive(
        input: &[f32],
        [planes, height, width]: [usize; 3],
        geometry: &PoolGeometry,
        out_size: [usize; 2],
        count_include_pad: bool,
    ) -> (Vec<f32>, Vec<f32>) {
        let (mut maxima, mut means) = (Vec::new(), Vec::new());
        for plane in 0..planes {
            for oy in 0..out_size[0] {
                for ox in 0..out_size[1] {
                    let (mut max, mut sum, mut count) = (f32::NEG_INFINITY, 0.0f64, 0);
                    for ky in 0..geometry.kernel[0] {
                        for kx in 0..geometry.kernel[1] {
                            let y = oy * geometry.strides[0] + ky * geometry.dilations[0];
                            let x = ox * geometry.strides[1] + kx * geometry.dilations[1];
                            let [top, left, bottom, right] = geometry.pads;
                            let inside =
                                (top..top + height).contains(&y) && (left..left + width).contains(&x);
                            if inside {
                                let value = input[(plane * height + y - top) * width + x - left];
                                max = if max.is_nan() || value.is_nan() { f32::NAN } else { max.max(value) };
                                sum += f64::from(value);
                            }
                            let padded = y < top + height + bottom && x < left + width + right;
                            count += usize::from(inside || count_include_pad && padded);
                        }
                    }
                    maxima.push(max);
                    means.push(if count > 0 { (sum / count as f64) as f32 } else { 0.0 });
                }
            }
        }
        (maxima, means)
    }

    #[test]
    fn pools_agree_with_plain_loops() {
        let mut random = Random::new(3);
        let threads = [Threads::single(), Threads::new(3).unwrap()];
        for case in 0..200 {
            let mut pick = |values: &[usize]| values[random.below(values.len())];
            let geometry = PoolGeometry {
                kernel: [pick(&[1, 2, 3, 5]), pick(&[1, 2, 3, 7])],
                strides: [pick(&[1, 2, 3]), pick(&[1, 2, 2, 3, 4])],
                dilations: [pick(&[1, 1, 2]), pick(&[1, 1, 3])],
                pads: [pick(&[0, 1, 2]), pick(&[0, 1, 3]), pick(&[0, 1]), pick(&[0, 2])],
            };
            let dims = [pick(&[0, 1, 2]), pick(&[1, 3, 4]), pick(&[1, 2, 7, 20]), pick(&[1, 3, 16, 40, 57])];
            let dims = if case < 4 { [1, 16, 100, 100] } else { dims };
            let size = |axis: usize| {
                let extent = (geometry.kernel[axis] - 1) * geometry.dilations[axis] + 1;
                let padded = dims[axis + 2] + geometry.pads[axis] + geometry.pads[axis + 2];
                Some(padded.checked_sub(extent)?.div_ceil(geometry.strides[axis]) + 1)
            };
            let (Some(out_height), Some(out_width)) = (size(0), size(1)) else { continue };
            let out_size = [out_height, out_width];
            let mut input = random.values(dims.iter().product());
            if case % 5 == 0 && !input.is_empty() {
                let at = random.below(input.len());
                input[at] = f32::NAN;
            }
            let include = case % 2 == 0;
            let planes = [dims[0] * dims[1], dims[2], dims[3]];
            let (maxima, means) = naive(&input, planes, &geometry, out_size, include);
            for threads in &threads {
                let mut out = vec![5.0; maxima.len()];
                max_pool(&input, dims, &geometry, out_size, &mut out, threads);
                for (index, (a, b)) in out.iter().zip(&maxima).enumerate() {
                    assert!(a == b || a.is_nan() && b.is_nan(), "{geometry:?} {dims:?} {index}: {a} {b}");
                }
                if !input.iter().any(|value| value.is_nan()) {
                    average_pool(&input, dims, &geometry, out_size, include, &mut out, threads);
                    assert_close(&out, &means, 1e-5, &format!("{geometry:?} {dims:?}"));
                }
            }
        }
    }

    #[test]
    fn global_average_agrees_with_plain_loops() {
        let mut random = Random::new(4);
        for (planes, len) in [(0, 4), (1, 1), (3, 49), (7, 100), (40, 3333), (5, 64)] {
            let input = random.values(planes * len);
            let expected: Vec<f32> = input
                .chunks(len)
                .map(|plane| (plane.iter().map(|&value| f64::from(value)).sum::<f64>() / len as f64) as f32)
                .collect();
            for threads in [Threads::single(), Threads::new(2).unwrap()] {
                let mut out = vec![0.0; planes];
                global_average_pool(&input, planes, len, &mut out, &threads);
                assert_close(&out, &expected, 1e-5, "mean");
            }
        }
    }
}
