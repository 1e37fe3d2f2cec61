//! Operations on two `f32` tensors, one of which may be repeated over leading and trailing dimensions.

use pulp::{Simd, WithSimd};

use crate::kernels::vector::{Vector, dispatch};

/// `a (op) b`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    /// The smaller, `NaN` if either is.
    Min,
    /// The larger, `NaN` if either is.
    Max,
    /// `a` where it is not negative, else `a b`.
    Prelu,
    /// `b - a`.
    ReverseSub,
    /// `b / a`.
    ReverseDiv,
}

/// How `b` lies in `a`: `a` is `[outer, middle, inner]`, and `b` holds `middle` values, repeated over the others.
///
/// Same shapes have `outer` and `inner` 1, a scalar `middle` 1, a row `[n]` added to `[.., n]` has `inner` 1, and a
/// channel vector `[c, 1, 1]` multiplied onto `[n, c, h, w]` all three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broadcast {
    pub(crate) outer: usize,
    pub(crate) middle: usize,
    pub(crate) inner: usize,
}

impl Broadcast {
    /// The broadcast of shape `b` to shape `a`, aligned at the last dimension; `None` if the dimensions of `b` that are
    /// not 1 do not match a run of consecutive dimensions of `a`, or if `a` itself would be repeated.
    pub(crate) fn of(a: &[usize], b: &[usize]) -> Option<Self> {
        if b.len() > a.len() {
            let (ones, rest) = b.split_at(b.len() - a.len());
            return if ones.iter().all(|&size| size == 1) { Self::of(a, rest) } else { None };
        }
        let leading = a.len() - b.len();
        let size_of_b = |dimension: usize| if dimension < leading { 1 } else { b[dimension - leading] };
        // Dimensions that are 1 in both belong wherever they fall.
        let first = (0..a.len()).find(|&d| size_of_b(d) != 1).unwrap_or(a.len());
        let end = (0..a.len()).rfind(|&d| size_of_b(d) != 1).map_or(first, |last| last + 1);
        let matches = (first..end).all(|d| size_of_b(d) == a[d]);
        matches.then(|| Self {
            outer: a[..first].iter().product(),
            middle: a[first..end].iter().product(),
            inner: a[end..].iter().product(),
        })
    }
}

/// `out = a (op) b`.
pub(crate) fn binary(op: Binary, a: &[f32], b: &[f32], broadcast: Broadcast, out: &mut [f32]) {
    debug_assert_eq!(a.len(), out.len());
    debug_assert_eq!(b.len(), broadcast.middle);
    choose(op, OutOfPlace { a, out }, b, broadcast);
}

/// `a = a (op) b`.
pub(crate) fn binary_in_place(op: Binary, a: &mut [f32], b: &[f32], broadcast: Broadcast) {
    debug_assert_eq!(b.len(), broadcast.middle);
    choose(op, InPlace { a }, b, broadcast);
}

fn choose(op: Binary, target: impl Target, b: &[f32], broadcast: Broadcast) {
    match op {
        Binary::Add => dispatch(Apply { function: Add, target, b, broadcast }),
        Binary::Sub => dispatch(Apply { function: Sub, target, b, broadcast }),
        Binary::Mul => dispatch(Apply { function: Mul, target, b, broadcast }),
        Binary::Div => dispatch(Apply { function: Div, target, b, broadcast }),
        Binary::Min => dispatch(Apply { function: Min, target, b, broadcast }),
        Binary::Max => dispatch(Apply { function: Max, target, b, broadcast }),
        Binary::Prelu => dispatch(Apply { function: Prelu, target, b, broadcast }),
        Binary::ReverseSub => dispatch(Apply { function: ReverseSub, target, b, broadcast }),
        Binary::ReverseDiv => dispatch(Apply { function: ReverseDiv, target, b, broadcast }),
    }
}

trait Function: Copy {
    fn apply<S: Simd>(self, a: Vector<S>, b: Vector<S>) -> Vector<S>;
}

macro_rules! function {
    ($type:ident, |$a:ident, $b:ident| $body:expr) => {
        #[derive(Clone, Copy)]
        struct $type;

        impl Function for $type {
            #[inline(always)]
            fn apply<S: Simd>(self, $a: Vector<S>, $b: Vector<S>) -> Vector<S> {
                $body
            }
        }
    };
}

function!(Add, |a, b| a + b);
function!(Sub, |a, b| a - b);
function!(Mul, |a, b| a * b);
function!(Div, |a, b| a / b);
function!(Min, |a, b| a.min_or_nan(b));
function!(Max, |a, b| a.max_or_nan(b));
function!(Prelu, |a, b| a.is_less(a.constant(0.0)).select(a * b, a));
function!(ReverseSub, |a, b| b - a);
function!(ReverseDiv, |a, b| b / a);

/// Where `a` is read and the result written.
trait Target {
    fn len(&self) -> usize;

    /// `a[start..end] (op) b`, value by value.
    fn zip<S: Simd, F: Function>(&mut self, simd: S, function: F, start: usize, end: usize, b: &[f32]);

    /// `a[start..end] (op) b` for one `b`.
    fn splat<S: Simd, F: Function>(&mut self, simd: S, function: F, start: usize, end: usize, b: f32);
}

struct InPlace<'a> {
    a: &'a mut [f32],
}

impl Target for InPlace<'_> {
    #[inline(always)]
    fn len(&self) -> usize {
        self.a.len()
    }

    #[inline(always)]
    fn zip<S: Simd, F: Function>(&mut self, simd: S, function: F, start: usize, end: usize, b: &[f32]) {
        let (body, tail) = S::as_mut_simd_f32s(&mut self.a[start..end]);
        let (b_body, b_tail) = S::as_simd_f32s(&b[..end - start]);
        for (a, &b) in body.iter_mut().zip(b_body) {
            *a = function.apply(Vector::new(simd, *a), Vector::new(simd, b)).lanes();
        }
        if !tail.is_empty() {
            let b = Vector::load_partial(simd, b_tail);
            function.apply(Vector::load_partial(simd, tail), b).store_partial(tail);
        }
    }

    #[inline(always)]
    fn splat<S: Simd, F: Function>(&mut self, simd: S, function: F, start: usize, end: usize, b: f32) {
        let b = Vector::splat(simd, b);
        let (body, tail) = S::as_mut_simd_f32s(&mut self.a[start..end]);
        for a in body {
            *a = function.apply(Vector::new(simd, *a), b).lanes();
        }
        if !tail.is_empty() {
            function.apply(Vector::load_partial(simd, tail), b).store_partial(tail);
        }
    }
}

struct OutOfPlace<'a> {
    a: &'a [f32],
    out: &'a mut [f32],
}

impl Target for OutOfPlace<'_> {
    #[inline(always)]
    fn len(&self) -> usize {
        self.a.len().min(self.out.len())
    }

    #[inline(always)]
    fn zip<S: Simd, F: Function>(&mut self, simd: S, function: F, start: usize, end: usize, b: &[f32]) {
        let (body, tail) = S::as_mut_simd_f32s(&mut self.out[start..end]);
        let (a_body, a_tail) = S::as_simd_f32s(&self.a[start..end]);
        let (b_body, b_tail) = S::as_simd_f32s(&b[..end - start]);
        for ((out, &a), &b) in body.iter_mut().zip(a_body).zip(b_body) {
            *out = function.apply(Vector::new(simd, a), Vector::new(simd, b)).lanes();
        }
        if !tail.is_empty() {
            let b = Vector::load_partial(simd, b_tail);
            function.apply(Vector::load_partial(simd, a_tail), b).store_partial(tail);
        }
    }

    #[inline(always)]
    fn splat<S: Simd, F: Function>(&mut self, simd: S, function: F, start: usize, end: usize, b: f32) {
        let b = Vector::splat(simd, b);
        let (body, tail) = S::as_mut_simd_f32s(&mut self.out[start..end]);
        let (a_body, a_tail) = S::as_simd_f32s(&self.a[start..end]);
        for (out, &a) in body.iter_mut().zip(a_body) {
            *out = function.apply(Vector::new(simd, a), b).lanes();
        }
        if !tail.is_empty() {
            function.apply(Vector::load_partial(simd, a_tail), b).store_partial(tail);
        }
    }
}

/// Rows shorter than this are repeated into a longer one first.
const SHORT_ROW: usize = 128;
const TILE: usize = 1024;

struct Apply<'a, F, T> {
    function: F,
    target: T,
    b: &'a [f32],
    broadcast: Broadcast,
}

impl<F: Function, T: Target> WithSimd for Apply<'_, F, T> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { function, mut target, b, broadcast: Broadcast { middle, inner, .. } } = self;
        let length = target.len();
        if length == 0 || inner == 0 || middle == 0 || b.len() < middle {
            return;
        }
        if middle == 1 {
            target.splat(simd, function, 0, length, b[0]);
        } else if inner == 1 {
            let mut tile = [0.0; TILE];
            let row: &[f32] = if middle < SHORT_ROW && length > middle {
                let repeated = TILE / middle * middle;
                for (place, &value) in tile[..repeated].iter_mut().zip(b[..middle].iter().cycle()) {
                    *place = value;
                }
                &tile[..repeated]
            } else {
                &b[..middle]
            };
            for start in (0..length).step_by(row.len()) {
                target.zip(simd, function, start, (start + row.len()).min(length), row);
            }
        } else {
            for (plane, &value) in b[..middle].iter().cycle().take(length / inner).enumerate() {
                target.splat(simd, function, plane * inner, (plane + 1) * inner, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::vector::instruction_sets::on_every_instruction_set;

    const ALL: [Binary; 9] = [
        Binary::Add,
        Binary::Sub,
        Binary::Mul,
        Binary::Div,
        Binary::Min,
        Binary::Max,
        Binary::Prelu,
        Binary::ReverseSub,
        Binary::ReverseDiv,
    ];

    fn scalar(op: Binary, a: f32, b: f32) -> f32 {
        let either_nan = a.is_nan() || b.is_nan();
        match op {
            Binary::Add => a + b,
            Binary::Sub => a - b,
            Binary::Mul => a * b,
            Binary::Div => a / b,
            Binary::Min if either_nan => f32::NAN,
            Binary::Min => a.min(b),
            Binary::Max if either_nan => f32::NAN,
            Binary::Max => a.max(b),
            Binary::Prelu => {
                if a < 0.0 {
                    a * b
                } else {
                    a
                }
            }
            Binary::ReverseSub => b - a,
            Binary::ReverseDiv => b / a,
        }
    }

    fn data(length: usize, seed: u64) -> Vec<f32> {
        let mut state = seed | 1;
        (0..length)
            .map(|i| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                match i % 37 {
                    11 => f32::NAN,
                    23 => f32::INFINITY,
                    _ => (state >> 40) as f32 / 8_388_608.0 - 1.0,
                }
            })
            .collect()
    }

    #[test]
    fn every_operation_and_broadcast_agrees_with_its_scalar_twin() {
        on_every_instruction_set(|| {
            for op in ALL {
                for outer in [1, 2, 5] {
                    for middle in [1, 2, 3, 16, 50, 200] {
                        for inner in [1, 2, 16, 49] {
                            let a = data(outer * middle * inner, 3);
                            let b = data(middle, 77);
                            let broadcast = Broadcast { outer, middle, inner };
                            let mut out = vec![9.0; a.len()];
                            binary(op, &a, &b, broadcast, &mut out);
                            let mut in_place = a.clone();
                            binary_in_place(op, &mut in_place, &b, broadcast);
                            for (i, (&ours, &again)) in out.iter().zip(&in_place).enumerate() {
                                let exact = scalar(op, a[i], b[i / inner % middle]);
                                let same = |x: f32| x == exact || (x.is_nan() && exact.is_nan());
                                assert!(
                                    same(ours) && same(again),
                                    "{op:?} {broadcast:?} [{i}]: {ours} {again} {exact}"
                                );
                            }
                        }
                    }
                }
            }
        });
    }

    #[test]
    fn broadcasts_are_found_from_shapes() {
        on_every_instruction_set(|| {
            let of = |a: &[usize], b: &[usize]| Broadcast::of(a, b).map(|b| (b.outer, b.middle, b.inner));
            assert_eq!(of(&[2, 3], &[2, 3]), Some((1, 6, 1)));
            assert_eq!(of(&[2, 3, 4], &[4]), Some((6, 4, 1)));
            assert_eq!(of(&[2, 3, 4], &[3, 4]), Some((2, 12, 1)));
            assert_eq!(of(&[2, 3, 4], &[3, 1]), Some((2, 3, 4)));
            assert_eq!(of(&[2, 3, 4], &[1, 3, 1]), Some((2, 3, 4)));
            assert_eq!(of(&[2, 3, 4], &[2, 1, 1]), Some((1, 2, 12)));
            assert_eq!(of(&[2, 3, 4], &[]), Some((24, 1, 1)));
            assert_eq!(of(&[2, 3, 4], &[1, 1, 1, 1]), Some((24, 1, 1)));
            assert_eq!(of(&[2, 3, 4], &[2, 1, 4]), None);
            assert_eq!(of(&[2, 1, 4], &[2, 3, 4]), None);
            assert_eq!(of(&[3, 4], &[2, 3, 4]), None);
            assert_eq!(of(&[], &[]), Some((1, 1, 1)));
            assert_eq!(of(&[0, 3], &[3]), Some((0, 3, 1)));
        });
    }
}
