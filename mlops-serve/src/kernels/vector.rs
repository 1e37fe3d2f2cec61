//! A register of `f32` lanes with operators, over whichever instruction set the processor has.
//!
//! `pulp` picks the instruction set at run time (AVX-512, AVX2 with FMA, Neon, WebAssembly SIMD, or one lane of plain
//! arithmetic). A kernel is a [`WithSimd`] value given to [`dispatch`]; everything it calls down to the registers must
//! be `#[inline(always)]`, because only code inlined into the dispatched function is compiled for that instruction set.

use std::ops::{Add, AddAssign, BitAnd, BitOr, Div, Mul, Neg, Sub};

use pulp::{Arch, Simd, WithSimd};

/// Runs `kernel` compiled for the best instruction set of this processor.
#[inline(always)]
pub(crate) fn dispatch<K: WithSimd>(kernel: K) -> K::Output {
    #[cfg(test)]
    if let Some(arch) = instruction_sets::FORCED.get() {
        return arch.dispatch(kernel);
    }
    Arch::new().dispatch(kernel)
}

/// Other instruction sets than the best, for tests.
#[cfg(test)]
pub(crate) mod instruction_sets {
    use std::cell::Cell;

    use pulp::Arch;

    thread_local! {
        pub(super) static FORCED: Cell<Option<Arch>> = const { Cell::new(None) };
    }

    /// Calls `test` once with every instruction set this processor has; this thread's kernels then use that one.
    pub(crate) fn on_every_instruction_set(test: impl Fn()) {
        let mut all = vec![Arch::Scalar, Arch::new()];
        #[cfg(target_arch = "x86_64")]
        all.extend(pulp::x86::V3::try_new().map(Arch::V3));
        for arch in all {
            FORCED.set(Some(arch));
            test();
            FORCED.set(None);
        }
    }
}

/// One register of `f32` lanes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vector<S: Simd> {
    simd: S,
    lanes: S::f32s,
}

/// One truth value per lane.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mask<S: Simd> {
    simd: S,
    lanes: S::m32s,
}

/// The bit patterns of the lanes, as unsigned integers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bits<S: Simd> {
    simd: S,
    lanes: S::u32s,
}

impl<S: Simd> Vector<S> {
    /// Lanes in a register.
    pub(crate) const LANES: usize = S::F32_LANES;

    #[inline(always)]
    pub(crate) fn new(simd: S, lanes: S::f32s) -> Self {
        Self { simd, lanes }
    }

    #[inline(always)]
    pub(crate) fn splat(simd: S, value: f32) -> Self {
        Self { simd, lanes: simd.splat_f32s(value) }
    }

    #[inline(always)]
    pub(crate) fn zero(simd: S) -> Self {
        Self::splat(simd, 0.0)
    }

    /// At most one register's worth of values; the lanes beyond them are zero.
    #[inline(always)]
    pub(crate) fn load_partial(simd: S, values: &[f32]) -> Self {
        Self { simd, lanes: simd.partial_load_f32s(values) }
    }

    /// Like [`Vector::load_partial`] with `filler` in the lanes beyond the values.
    #[inline(always)]
    pub(crate) fn load_partial_or(simd: S, values: &[f32], filler: f32) -> Self {
        let count = simd.splat_u32s(u32::try_from(values.len()).unwrap_or(u32::MAX));
        let numbers: S::u32s = lane_numbers::<S>();
        let inside = simd.less_than_u32s(numbers, count);
        Self {
            simd,
            lanes: simd.select_f32s(inside, simd.partial_load_f32s(values), simd.splat_f32s(filler)),
        }
    }

    /// The first register's worth of `values`, zeros where they end before.
    #[inline(always)]
    pub(crate) fn load(simd: S, values: &[f32]) -> Self {
        match S::as_simd_f32s(values).0.first() {
            Some(&lanes) => Self { simd, lanes },
            None => Self::load_partial(simd, values),
        }
    }

    /// Stores to the beginning of `out`, as many lanes as it holds.
    #[inline(always)]
    pub(crate) fn store(self, out: &mut [f32]) {
        match S::as_mut_simd_f32s(out).0.first_mut() {
            Some(lanes) => *lanes = self.lanes,
            None => self.store_partial(out),
        }
    }

    /// Stores the first lanes, as many as `out` holds.
    #[inline(always)]
    pub(crate) fn store_partial(self, out: &mut [f32]) {
        self.simd.partial_store_f32s(out, self.lanes);
    }

    #[inline(always)]
    pub(crate) fn lanes(self) -> S::f32s {
        self.lanes
    }

    /// The same value in all lanes, on the instruction set of `self`.
    #[inline(always)]
    pub(crate) fn constant(self, value: f32) -> Self {
        Self::splat(self.simd, value)
    }

    /// `self * factor + summand`, fused where the processor can.
    #[inline(always)]
    pub(crate) fn mul_add(self, factor: Self, summand: Self) -> Self {
        Self { simd: self.simd, lanes: self.simd.mul_add_e_f32s(self.lanes, factor.lanes, summand.lanes) }
    }

    /// `summand - self * factor`, fused where the processor can.
    #[inline(always)]
    pub(crate) fn negative_mul_add(self, factor: Self, summand: Self) -> Self {
        Self {
            simd: self.simd,
            lanes: self.simd.negate_mul_add_e_f32s(self.lanes, factor.lanes, summand.lanes),
        }
    }

    /// The polynomial with these coefficients, highest power first, by Horner's rule.
    #[inline(always)]
    pub(crate) fn polynomial<const N: usize>(self, coefficients: [f32; N]) -> Self {
        let mut sum = self.constant(coefficients[0]);
        for &coefficient in &coefficients[1..] {
            sum = sum.mul_add(self, self.constant(coefficient));
        }
        sum
    }

    #[inline(always)]
    pub(crate) fn abs(self) -> Self {
        Self { simd: self.simd, lanes: self.simd.abs_f32s(self.lanes) }
    }

    #[inline(always)]
    pub(crate) fn sqrt(self) -> Self {
        Self { simd: self.simd, lanes: self.simd.sqrt_f32s(self.lanes) }
    }

    #[inline(always)]
    pub(crate) fn is_less(self, other: Self) -> Mask<S> {
        Mask { simd: self.simd, lanes: self.simd.less_than_f32s(self.lanes, other.lanes) }
    }

    #[inline(always)]
    pub(crate) fn is_greater(self, other: Self) -> Mask<S> {
        Mask { simd: self.simd, lanes: self.simd.greater_than_f32s(self.lanes, other.lanes) }
    }

    #[inline(always)]
    pub(crate) fn is_equal(self, other: Self) -> Mask<S> {
        Mask { simd: self.simd, lanes: self.simd.equal_f32s(self.lanes, other.lanes) }
    }

    /// The smaller of each pair; `NaN` where `self` is `NaN`, and where only `bound` is, either.
    #[inline(always)]
    pub(crate) fn at_most(self, bound: Self) -> Self {
        if SECOND_IF_NAN && !S::IS_SCALAR {
            return Self { simd: self.simd, lanes: self.simd.min_f32s(bound.lanes, self.lanes) };
        }
        self.is_greater(bound).select(bound, self)
    }

    /// The larger of each pair; `NaN` where `self` is `NaN`, and where only `bound` is, `self`.
    #[inline(always)]
    pub(crate) fn at_least(self, bound: Self) -> Self {
        if SECOND_IF_NAN && !S::IS_SCALAR {
            return Self { simd: self.simd, lanes: self.simd.max_f32s(bound.lanes, self.lanes) };
        }
        self.is_less(bound).select(bound, self)
    }

    /// `self * 2^exponent`, rounded once, if the processor has an instruction for that. The exponents are integers.
    #[inline(always)]
    pub(crate) fn scaled(self, exponent: Self) -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        {
            let simd = same_type::<S, pulp::x86::V4>(self.simd)?;
            let value = same_type::<S::f32s, pulp::f32x16>(self.lanes)?;
            let exponent = same_type::<S::f32s, pulp::f32x16>(exponent.lanes)?;
            let scaled: pulp::f32x16 =
                pulp::cast(simd.avx512f._mm512_scalef_ps(pulp::cast(value), pulp::cast(exponent)));
            Some(Self { simd: self.simd, lanes: same_type(scaled)? })
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            let _ = exponent;
            None
        }
    }

    /// The smaller of each pair; `NaN` where either is.
    #[inline(always)]
    pub(crate) fn min_or_nan(self, other: Self) -> Self {
        let smaller = self.at_most(other);
        other.is_equal(other).select(smaller, other)
    }

    /// The larger of each pair; `NaN` where either is.
    #[inline(always)]
    pub(crate) fn max_or_nan(self, other: Self) -> Self {
        let larger = self.at_least(other);
        other.is_equal(other).select(larger, other)
    }

    /// Nearest integers, halves to even; exact for every input.
    #[inline(always)]
    pub(crate) fn round(self) -> Self {
        // Adding and taking away 2^23 leaves no fraction bits; larger numbers have none to begin with.
        let magnitude = self.abs();
        let limit = self.constant(8_388_608.0);
        let rounded = (magnitude + limit) - limit;
        let signed = (rounded.bits() | (self.bits() & self.constant(-0.0).bits())).value();
        magnitude.is_less(limit).select(signed, self)
    }

    #[inline(always)]
    pub(crate) fn bits(self) -> Bits<S> {
        Bits { simd: self.simd, lanes: pulp::cast(self.lanes) }
    }

    /// The magnitude of `self` with the sign of `sign`.
    #[inline(always)]
    pub(crate) fn with_sign_of(self, sign: Self) -> Self {
        (self.abs().bits() | (sign.bits() & self.constant(-0.0).bits())).value()
    }

    #[inline(always)]
    pub(crate) fn any_nan(self) -> bool {
        let numbers = self.simd.equal_f32s(self.lanes, self.lanes);
        self.simd.first_true_m32s(self.simd.not_m32s(numbers)) < S::F32_LANES
    }

    #[inline(always)]
    pub(crate) fn sum(self) -> f32 {
        self.simd.reduce_sum_f32s(self.lanes)
    }

    #[inline(always)]
    pub(crate) fn product(self) -> f32 {
        self.simd.reduce_product_f32s(self.lanes)
    }

    /// The largest lane; unspecified if a lane is `NaN`.
    #[inline(always)]
    pub(crate) fn largest(self) -> f32 {
        self.simd.reduce_max_f32s(self.lanes)
    }

    /// The smallest lane; unspecified if a lane is `NaN`.
    #[inline(always)]
    pub(crate) fn smallest(self) -> f32 {
        self.simd.reduce_min_f32s(self.lanes)
    }
}

impl<S: Simd> Mask<S> {
    #[inline(always)]
    pub(crate) fn select(self, if_true: Vector<S>, if_false: Vector<S>) -> Vector<S> {
        Vector { simd: self.simd, lanes: self.simd.select_f32s(self.lanes, if_true.lanes, if_false.lanes) }
    }
}

impl<S: Simd> Bits<S> {
    #[inline(always)]
    pub(crate) fn value(self) -> Vector<S> {
        Vector { simd: self.simd, lanes: pulp::cast(self.lanes) }
    }

    #[inline(always)]
    pub(crate) fn constant(self, bits: u32) -> Self {
        Self { simd: self.simd, lanes: self.simd.splat_u32s(bits) }
    }

    #[inline(always)]
    pub(crate) fn shift_left(self, places: u32) -> Self {
        Self {
            simd: self.simd,
            lanes: self.simd.wrapping_dyn_shl_u32s(self.lanes, self.simd.splat_u32s(places)),
        }
    }

    #[inline(always)]
    pub(crate) fn shift_right(self, places: u32) -> Self {
        Self {
            simd: self.simd,
            lanes: self.simd.wrapping_dyn_shr_u32s(self.lanes, self.simd.splat_u32s(places)),
        }
    }
}

/// Whether `minimum(a, b)` and `maximum(a, b)` of registers give `b` if either is `NaN`, as the SSE family does.
const SECOND_IF_NAN: bool = cfg!(any(target_arch = "x86", target_arch = "x86_64"));

/// `value` as the type that it has. The compiler knows the answer for each instruction set.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn same_type<From: Copy + 'static, To: Copy + 'static>(value: From) -> Option<To> {
    (&value as &dyn std::any::Any).downcast_ref().copied()
}

#[inline(always)]
fn lane_numbers<S: Simd>() -> S::u32s {
    const NUMBERS: [u32; 64] = {
        let mut numbers = [0; 64];
        let mut lane = 0;
        while lane < 64 {
            numbers[lane] = lane as u32;
            lane += 1;
        }
        numbers
    };
    let (registers, _) = S::as_simd_u32s(&NUMBERS);
    registers[0]
}

macro_rules! operator {
    ($type:ident, $trait:ident, $method:ident, $call:ident) => {
        impl<S: Simd> $trait for $type<S> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                Self { simd: self.simd, lanes: self.simd.$call(self.lanes, other.lanes) }
            }
        }
    };
}
operator!(Vector, Add, add, add_f32s);
operator!(Vector, Sub, sub, sub_f32s);
operator!(Vector, Mul, mul, mul_f32s);
operator!(Vector, Div, div, div_f32s);
operator!(Bits, Add, add, add_u32s);
operator!(Bits, Sub, sub, sub_u32s);
operator!(Bits, BitAnd, bitand, and_u32s);
operator!(Bits, BitOr, bitor, or_u32s);

impl<S: Simd> Neg for Vector<S> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Self { simd: self.simd, lanes: self.simd.neg_f32s(self.lanes) }
    }
}

impl<S: Simd> AddAssign for Vector<S> {
    #[inline(always)]
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// A function of one value, lane by lane.
pub(crate) trait Unary: Copy {
    fn apply<S: Simd>(self, x: Vector<S>) -> Vector<S>;
}

/// `values[i] = function(values[i])`.
#[inline]
pub(crate) fn map_in_place(function: impl Unary, values: &mut [f32]) {
    dispatch(MapInPlace { function, values });
}

/// `out[i] = function(input[i])`.
#[inline]
pub(crate) fn map(function: impl Unary, input: &[f32], out: &mut [f32]) {
    debug_assert_eq!(input.len(), out.len());
    dispatch(Map { function, input, out });
}

/// [`map_in_place`] for callers that are dispatched already.
#[inline(always)]
pub(crate) fn map_in_place_with<S: Simd>(simd: S, function: impl Unary, values: &mut [f32]) {
    let (body, tail) = S::as_mut_simd_f32s(values);
    for lanes in body {
        *lanes = function.apply(Vector::new(simd, *lanes)).lanes;
    }
    if !tail.is_empty() {
        let x = Vector::load_partial(simd, tail);
        function.apply(x).store_partial(tail);
    }
}

/// [`map`] for callers that are dispatched already.
#[inline(always)]
pub(crate) fn map_with<S: Simd>(simd: S, function: impl Unary, input: &[f32], out: &mut [f32]) {
    let length = input.len().min(out.len());
    let (input, input_tail) = S::as_simd_f32s(&input[..length]);
    let (out, out_tail) = S::as_mut_simd_f32s(&mut out[..length]);
    for (out, &x) in out.iter_mut().zip(input) {
        *out = function.apply(Vector::new(simd, x)).lanes;
    }
    if !out_tail.is_empty() {
        function.apply(Vector::load_partial(simd, input_tail)).store_partial(out_tail);
    }
}

struct MapInPlace<'a, F> {
    function: F,
    values: &'a mut [f32],
}

impl<F: Unary> WithSimd for MapInPlace<'_, F> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        map_in_place_with(simd, self.function, self.values);
    }
}

struct Map<'a, F> {
    function: F,
    input: &'a [f32],
    out: &'a mut [f32],
}

impl<F: Unary> WithSimd for Map<'_, F> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        map_with(simd, self.function, self.input, self.out);
    }
}
