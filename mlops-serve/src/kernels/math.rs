//! Elementary functions and activations on slices of `f32`, vectorised.
//!
//! Bounds on the error, in units in the last place (ULP) of the exact result, checked by the tests over dense samples of
//! all floats: `exp` 1.5, `log` 1.5, `tanh` 5, `erf` 6, `sigmoid` 3, `softplus` 4, `mish` 5, `gelu_tanh` 8. `gelu` is
//! `x/2 (1 + erf(x/sqrt 2))` as frameworks compute it, within 4 ULP of `x` itself (not of the tiny result for `x < -3`).
//! Results below the normal floats may be zero where they come from `e^x` inside (`sigmoid`, `silu`, `softplus`, `mish`).
//! Infinities, zeros, subnormals and `NaN` give what the formula gives in IEEE 754 arithmetic; where that is
//! `infinity * 0` (`silu`, `gelu`, `mish` of minus infinity) the result is `NaN`, as it is elsewhere.
//!
//! The polynomials and quotients of polynomials are minimax fits to the exact functions in relative error (Lawson's
//! reweighted least squares in extended precision); each constant block says what it approximates and how closely.

#[cfg(test)]
mod tests;

use pulp::Simd;

use crate::kernels::epilogue::Activation;
use crate::kernels::vector::{Unary, Vector, map, map_in_place};

/// Applies `activation` to each value.
pub(crate) fn activate(activation: &Activation, values: &mut [f32]) {
    match *activation {
        Activation::None => {}
        Activation::Relu => map_in_place(Relu, values),
        Activation::LeakyRelu(alpha) => map_in_place(LeakyRelu { alpha }, values),
        Activation::Clip { min, max } => map_in_place(Clip { min, max }, values),
        Activation::Sigmoid => map_in_place(Sigmoid, values),
        Activation::Tanh => map_in_place(Tanh, values),
        Activation::Gelu => map_in_place(Gelu, values),
        Activation::GeluTanh => map_in_place(GeluTanh, values),
        Activation::Silu => map_in_place(Silu, values),
        Activation::HardSigmoid { alpha, beta } => map_in_place(HardSigmoid { alpha, beta }, values),
        Activation::HardSwish => map_in_place(HardSwish, values),
        Activation::Elu(alpha) => map_in_place(Elu { alpha }, values),
        Activation::Softplus => map_in_place(Softplus, values),
        Activation::Mish => map_in_place(Mish, values),
    }
}

/// Writes `activation` of each value of `input` to `out`.
pub(crate) fn activate_into(activation: &Activation, input: &[f32], out: &mut [f32]) {
    match *activation {
        Activation::None => {
            let length = input.len().min(out.len());
            out[..length].copy_from_slice(&input[..length]);
        }
        Activation::Relu => map(Relu, input, out),
        Activation::LeakyRelu(alpha) => map(LeakyRelu { alpha }, input, out),
        Activation::Clip { min, max } => map(Clip { min, max }, input, out),
        Activation::Sigmoid => map(Sigmoid, input, out),
        Activation::Tanh => map(Tanh, input, out),
        Activation::Gelu => map(Gelu, input, out),
        Activation::GeluTanh => map(GeluTanh, input, out),
        Activation::Silu => map(Silu, input, out),
        Activation::HardSigmoid { alpha, beta } => map(HardSigmoid { alpha, beta }, input, out),
        Activation::HardSwish => map(HardSwish, input, out),
        Activation::Elu(alpha) => map(Elu { alpha }, input, out),
        Activation::Softplus => map(Softplus, input, out),
        Activation::Mish => map(Mish, input, out),
    }
}

/// Defines the unit struct of a function, and its function of slices, in place.
macro_rules! function {
    ($(#[$doc:meta])* $name:ident, $type:ident, |$x:ident| $body:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct $type;

        impl Unary for $type {
            #[inline(always)]
            fn apply<S: Simd>(self, $x: Vector<S>) -> Vector<S> {
                $body
            }
        }

        $(#[$doc])*
        pub(crate) fn $name(values: &mut [f32]) {
            map_in_place($type, values);
        }
    };
    ($(#[$doc:meta])* $name:ident, $type:ident { $($parameter:ident),+ }, |$x:ident| $body:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct $type {
            $(pub(crate) $parameter: f32,)+
        }

        impl Unary for $type {
            #[inline(always)]
            fn apply<S: Simd>(self, $x: Vector<S>) -> Vector<S> {
                let Self { $($parameter),+ } = self;
                $(let $parameter = $x.constant($parameter);)+
                $body
            }
        }

        $(#[$doc])*
        pub(crate) fn $name($($parameter: f32,)+ values: &mut [f32]) {
            map_in_place($type { $($parameter),+ }, values);
        }
    };
}

function!(
    /// `e^x`; zero below about -104, infinite above about 88.7.
    exp, Exp, |x| exponential(x)
);
function!(
    /// Natural logarithm; minus infinity at zero, `NaN` below.
    log, Log, |x| logarithm(x)
);
function!(
    /// Hyperbolic tangent.
    tanh, Tanh, |x| hyperbolic_tangent(x)
);
function!(
    /// `1 / (1 + e^-x)`.
    sigmoid, Sigmoid, |x| logistic(x)
);
function!(
    /// Error function, `2/sqrt(pi)` times the integral of `e^-t^2` from 0 to `x`.
    erf, Erf, |x| error_function(x)
);
function!(
    /// `x/2 (1 + erf(x / sqrt 2))`.
    gelu, Gelu, |x| {
        let half = x * x.constant(0.5);
        half.mul_add(error_function(x * x.constant(std::f32::consts::FRAC_1_SQRT_2)), half)
    }
);
function!(
    /// `x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`, computed as `x sigmoid(2 ..)`, which is the same.
    gelu_tanh, GeluTanh, |x| {
        const TWICE_ROOT: f32 = 1.595_769; // 2 sqrt(2/pi)
        let inner = (x * x).mul_add(x.constant(TWICE_ROOT * 0.044_715), x.constant(TWICE_ROOT));
        x * logistic(x * inner)
    }
);
function!(
    /// `x sigmoid(x)`, also called swish.
    silu, Silu, |x| x * logistic(x)
);
function!(
    /// `log(1 + e^x)`.
    softplus, Softplus, |x| {
        // = max(x, 0) + log(1 + e^-|x|), and log(1 + e) = 2 artanh(e / (2 + e)).
        let e = exponential_flushed(-x.abs());
        let s = e / (e + x.constant(2.0));
        x.at_least(x.constant(0.0)) + s * (s * s).polynomial(TWICE_ARTANH)
    }
);
function!(
    /// `x tanh(log(1 + e^x))`.
    mish, Mish, |x| {
        // tanh(log(1 + e)) = n / (n + 2) with n = e (e + 2), which is 1 to the last bit beyond x = 20.
        let e = exponential_flushed(x.at_most(x.constant(20.0)));
        let n = e * (e + x.constant(2.0));
        x * (n / (n + x.constant(2.0)))
    }
);
function!(
    /// `x / (1 + |x|)`.
    softsign, Softsign, |x| x / (x.constant(1.0) + x.abs())
);
function!(
    /// `x max(0, min(1, x/6 + 1/2))`.
    hard_swish, HardSwish, |x| {
        let gate = x.mul_add(x.constant(1.0 / 6.0), x.constant(0.5));
        x * gate.at_least(x.constant(0.0)).at_most(x.constant(1.0))
    }
);
function!(
    /// `max(0, x)`, and `NaN` stays `NaN`.
    relu, Relu, |x| x.at_least(x.constant(0.0))
);
function!(
    /// Square root.
    sqrt, Sqrt, |x| x.sqrt()
);
function!(
    /// `1 / x`.
    reciprocal, Reciprocal, |x| x.constant(1.0) / x
);
function!(
    /// Magnitude.
    abs, Abs, |x| x.abs()
);
function!(
    /// `-x`.
    neg, Neg, |x| -x
);
function!(
    /// Nearest integer, halves to even.
    round, Round, |x| x.round()
);
function!(
    /// Greatest integer that is not above `x`.
    floor, Floor, |x| {
        let rounded = x.round();
        let lowered = rounded.is_greater(x).select(rounded - x.constant(1.0), rounded);
        lowered.with_sign_of(x)
    }
);
function!(
    /// Smallest integer that is not below `x`.
    ceil, Ceil, |x| {
        let rounded = x.round();
        let raised = rounded.is_less(x).select(rounded + x.constant(1.0), rounded);
        raised.with_sign_of(x)
    }
);
function!(
    /// `x` where positive, else `alpha x`.
    leaky_relu, LeakyRelu { alpha }, |x| x.is_less(x.constant(0.0)).select(alpha * x, x)
);
function!(
    /// `x` where above `alpha`, else zero.
    thresholded_relu, ThresholdedRelu { alpha },
    |x| alpha.is_less(x).select(x, x.constant(0.0))
);
function!(
    /// `max(0, min(1, alpha x + beta))`.
    hard_sigmoid, HardSigmoid { alpha, beta },
    |x| x.mul_add(alpha, beta).at_least(x.constant(0.0)).at_most(x.constant(1.0))
);
function!(
    /// `min(max, max(min, x))`, and `NaN` stays `NaN`.
    clip, Clip { min, max }, |x| x.at_least(min).at_most(max)
);
function!(
    /// `x` where positive, else `alpha (e^x - 1)`.
    elu, Elu { alpha }, |x| x.is_less(x.constant(0.0)).select(alpha * exponential_minus_one(x), x)
);
function!(
    /// `gamma` times `x` where positive, else `gamma alpha (e^x - 1)`.
    selu, Selu { alpha, gamma },
    |x| gamma * x.is_less(x.constant(0.0)).select(alpha * exponential_minus_one(x), x)
);
function!(
    /// `x` where positive, else `alpha (e^(x / alpha) - 1)`.
    celu, Celu { alpha },
    |x| x.is_less(x.constant(0.0)).select(alpha * exponential_minus_one(x / alpha), x)
);

/// `(e^r - 1 - r) / r^2` for `|r| <= log(2)/2`, such that `e^r` is within 3.2e-9.
const EXPONENTIAL: [f32; 5] = [0.001_382_099_3, 0.008_368_671, 0.041_668_262, 0.166_665_21, 0.499_999_94];
/// `log 2` in two parts; the first has few enough bits that its product with an exponent is exact.
const LOG_2_HIGH: f32 = 0.693_359_4;
const LOG_2_LOW: f32 = -2.121_944_4e-4;
/// `1.5 * 2^23`: a float added to it is rounded to an integer, which then sits in the low bits.
const ROUNDER: f32 = 12_582_912.0;

/// `x` as `exponent * log(2) + remainder`: the integer exponent, the float whose low bits hold it, and `e^remainder - 1`.
#[inline(always)]
fn reduce_exponent<S: Simd>(x: Vector<S>) -> (Vector<S>, Vector<S>, Vector<S>) {
    let rounder = x.constant(ROUNDER);
    let shifted = x.mul_add(x.constant(std::f32::consts::LOG2_E), rounder);
    let exponent = shifted - rounder;
    let remainder = exponent.negative_mul_add(x.constant(LOG_2_HIGH), x);
    let remainder = exponent.negative_mul_add(x.constant(LOG_2_LOW), remainder);
    let square = remainder * remainder;
    let growth = square.mul_add(remainder.polynomial(EXPONENTIAL), remainder);
    (exponent, shifted, growth)
}

/// `2^n` for the integer in the low bits of a float that [`ROUNDER`] was added to; `n` in `-126..=127`.
#[inline(always)]
fn power_of_two<S: Simd>(shifted: Vector<S>) -> Vector<S> {
    let bits = shifted.bits();
    (bits + bits.constant(127)).shift_left(23).value()
}

#[inline(always)]
pub(crate) fn exponential<S: Simd>(x: Vector<S>) -> Vector<S> {
    let x = x.at_most(x.constant(89.0)).at_least(x.constant(-104.0));
    let (exponent, shifted, growth) = reduce_exponent(x);
    if let Some(scaled) = (growth + x.constant(1.0)).scaled(exponent) {
        return scaled;
    }
    // The power of two in two factors, since it can be beyond the normal floats where the product is not.
    let rounder = x.constant(ROUNDER);
    let half = exponent.mul_add(x.constant(0.5), rounder);
    let rest = (shifted.bits() - half.bits() + half.bits().constant(ROUNDER.to_bits())).value();
    let first = power_of_two(half);
    (growth.mul_add(first, first)) * power_of_two(rest)
}

/// `e^x` for `x` up to 88, with zero for results below the normal floats: those are slow to calculate with, and vanish in
/// the sums that this is for.
#[inline(always)]
pub(crate) fn exponential_flushed<S: Simd>(x: Vector<S>) -> Vector<S> {
    let least = x.constant(-87.0);
    let (_, shifted, growth) = reduce_exponent(x.at_least(least));
    let power = power_of_two(shifted);
    let value = growth.mul_add(power, power);
    x.is_less(least).select(x.constant(0.0), value)
}

/// `e^x - 1` for `x <= 0`.
#[inline(always)]
fn exponential_minus_one<S: Simd>(x: Vector<S>) -> Vector<S> {
    let (_, shifted, growth) = reduce_exponent(x.at_least(x.constant(-30.0)));
    let power = power_of_two(shifted);
    growth.mul_add(power, power - x.constant(1.0))
}

/// `(log(1 + f) - f + f^2/2) / f^3` for `1 + f` from `sqrt(1/2)` to `sqrt 2`, such that `log` is within 5.9e-9.
const LOGARITHM: [f32; 8] = [
    -0.076_357_506,
    0.127_618_61,
    -0.131_596_83,
    0.142_016_28,
    -0.166_234_08,
    0.200_012_4,
    -0.250_008_2,
    0.333_333_3,
];

#[inline(always)]
pub(crate) fn logarithm<S: Simd>(x: Vector<S>) -> Vector<S> {
    let zero = x.constant(0.0);
    // Subnormals are scaled up by 2^25 first.
    let subnormal = x.is_less(x.constant(f32::MIN_POSITIVE));
    let scaled = subnormal.select(x * x.constant(33_554_432.0), x);
    let bias = subnormal.select(x.constant(127.0 + 25.0), x.constant(127.0));

    // The mantissa goes to [sqrt(1/2), sqrt 2): the exponent field carries over where it was above.
    let one_over_root = scaled.bits().constant(0x3f35_04f3);
    let raised = scaled.bits() + (scaled.bits().constant(0x3f80_0000) - one_over_root);
    let two_to_23 = x.constant(8_388_608.0);
    let exponent = (raised.shift_right(23) | two_to_23.bits()).value() - two_to_23 - bias;
    let mantissa = ((raised & raised.constant(0x007f_ffff)) + one_over_root).value();

    let f = mantissa - x.constant(1.0);
    let square = f * f;
    let tail = (square * f) * f.polynomial(LOGARITHM);
    let tail = exponent.mul_add(x.constant(LOG_2_LOW), tail);
    let value = f + square.negative_mul_add(x.constant(0.5), tail);
    let value = exponent.mul_add(x.constant(LOG_2_HIGH), value);

    let value = x.is_less(x.constant(f32::INFINITY)).select(value, x);
    let value = x.is_equal(zero).select(x.constant(f32::NEG_INFINITY), value);
    x.is_less(zero).select(x.constant(f32::NAN), value)
}

/// `2 artanh(s) / s` in `s^2` for `s` up to 1/3, within 4.5e-9.
const TWICE_ARTANH: [f32; 5] = [0.280_064_02, 0.280_030_94, 0.400_214_34, 0.666_664_2, 2.0];

/// `tanh(x) / x` in `x^2` for `|x| <= 9.02` as numerator over denominator, within 4.1e-9.
const TANH_NUMERATOR: [f32; 6] =
    [-1.246_670_3e-11, 3.083_521e-8, 2.807_492_5e-5, 0.003_870_617_8, 0.136_814_83, 1.0];
const TANH_DENOMINATOR: [f32; 5] = [1.293_251_2e-6, 0.000_394_341_13, 0.027_253_367, 0.470_148_15, 1.0];

#[inline(always)]
pub(crate) fn hyperbolic_tangent<S: Simd>(x: Vector<S>) -> Vector<S> {
    let one = x.constant(1.0);
    let limit = x.constant(9.02);
    let small = x.at_most(limit).at_least(-limit);
    let square = small * small;
    let quotient = small * square.polynomial(TANH_NUMERATOR) / square.polynomial(TANH_DENOMINATOR);
    let value = quotient.at_most(one).at_least(-one);
    x.abs().is_less(limit).select(value, saturated(x))
}

/// `erf(x) / x` in `x^2` for `|x| <= 3.93` as numerator over denominator, within 5.4e-8.
#[expect(clippy::approx_constant, reason = "the fit is the closest with a number beside 2 / sqrt(pi)")]
const ERF_NUMERATOR: [f32; 6] =
    [1.982_881_3e-6, 0.000_288_423_5, 0.004_006_442, 0.053_494_435, 0.196_290_05, 1.128_379_1];
const ERF_DENOMINATOR: [f32; 6] =
    [3.757_362_7e-5, 0.001_217_196_9, 0.015_456_217, 0.116_511_24, 0.507_289_4, 1.0];

#[inline(always)]
fn error_function<S: Simd>(x: Vector<S>) -> Vector<S> {
    let one = x.constant(1.0);
    let limit = x.constant(3.93);
    let small = x.at_most(limit).at_least(-limit);
    let square = small * small;
    let quotient = small * square.polynomial(ERF_NUMERATOR) / square.polynomial(ERF_DENOMINATOR);
    let value = quotient.at_most(one).at_least(-one);
    x.abs().is_less(limit).select(value, saturated(x))
}

/// Plus or minus one by the sign of `x`, `NaN` for `NaN`.
#[inline(always)]
fn saturated<S: Simd>(x: Vector<S>) -> Vector<S> {
    let one = x.constant(1.0);
    x.at_most(one).at_least(-one)
}

#[inline(always)]
pub(crate) fn logistic<S: Simd>(x: Vector<S>) -> Vector<S> {
    // Both ends from e^-|x| <= 1, so that neither overflows and the small end keeps its digits.
    let e = exponential_flushed(-x.abs());
    let one = x.constant(1.0);
    let numerator = x.is_less(x.constant(0.0)).select(e, one);
    numerator / (one + e)
}
