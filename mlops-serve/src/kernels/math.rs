//! Elementary functions and activations on slices of `f32`, vectorised.
//!
//! Bounds on the error, in units in the last place (ULP) of the exact result, checked by the tests over dense samples of
//! all floats: `exp` 1.5, `log` 1.5, `tanh` 5, `erf` 6, `sigmoid` 3, `softplus` 4, `mish` 5, `gelu_tanh` 8. `gelu` is
//! `x/2 (1 + erf(x/sqrt 2))` as frameworks compute it, within 4 ULP of `x` itself (not of the tiny result for `x < -3`).
//! Infinities, zeros, subnormals and `NaN` give what the formula gives in IEEE 754 arithmetic; where that is
//! `infinity * 0` (`silu`, `gelu`, `mish` of minus infinity) the result is `NaN`, as it is elsewhere.
//!
//! The polynomials and quotients of polynomials are minimax fits to the exact functions in relative error (Lawson's
//! reweighted least squares in extended precision); each constant block says what it approximates and how closely.

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

/// Defines the unit struct of a function, and its slice functions in place and out of place.
macro_rules! function {
    ($(#[$doc:meta])* $name:ident, $into:ident, $type:ident, |$x:ident| $body:expr) => {
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

        $(#[$doc])*
        pub(crate) fn $into(input: &[f32], out: &mut [f32]) {
            map($type, input, out);
        }
    };
    ($(#[$doc:meta])* $name:ident, $into:ident, $type:ident { $($parameter:ident),+ }, |$x:ident| $body:expr) => {
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

        $(#[$doc])*
        pub(crate) fn $into($($parameter: f32,)+ input: &[f32], out: &mut [f32]) {
            map($type { $($parameter),+ }, input, out);
        }
    };
}

function!(
    /// `e^x`; zero below about -104, infinite above about 88.7.
    exp, exp_into, Exp, |x| exponential(x)
);
function!(
    /// Natural logarithm; minus infinity at zero, `NaN` below.
    log, log_into, Log, |x| logarithm(x)
);
function!(
    /// Hyperbolic tangent.
    tanh, tanh_into, Tanh, |x| hyperbolic_tangent(x)
);
function!(
    /// `1 / (1 + e^-x)`.
    sigmoid, sigmoid_into, Sigmoid, |x| logistic(x)
);
function!(
    /// Error function, `2/sqrt(pi)` times the integral of `e^-t^2` from 0 to `x`.
    erf, erf_into, Erf, |x| error_function(x)
);
function!(
    /// `x/2 (1 + erf(x / sqrt 2))`.
    gelu, gelu_into, Gelu, |x| {
        let half = x * x.constant(0.5);
        half.mul_add(error_function(x * x.constant(std::f32::consts::FRAC_1_SQRT_2)), half)
    }
);
function!(
    /// `x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`, computed as `x sigmoid(2 ..)`, which is the same.
    gelu_tanh, gelu_tanh_into, GeluTanh, |x| {
        const TWICE_ROOT: f32 = 1.595_769_1; // 2 sqrt(2/pi)
        let inner = (x * x).mul_add(x.constant(TWICE_ROOT * 0.044_715), x.constant(TWICE_ROOT));
        x * logistic(x * inner)
    }
);
function!(
    /// `x sigmoid(x)`, also called swish.
    silu, silu_into, Silu, |x| x * logistic(x)
);
function!(
    /// `log(1 + e^x)`.
    softplus, softplus_into, Softplus, |x| {
        // = max(x, 0) + log(1 + e^-|x|), and log(1 + e) = 2 artanh(e / (2 + e)).
        let e = exponential(-x.abs());
        let s = e / (e + x.constant(2.0));
        x.at_least(x.constant(0.0)) + s * (s * s).polynomial(TWICE_ARTANH)
    }
);
function!(
    /// `x tanh(log(1 + e^x))`.
    mish, mish_into, Mish, |x| {
        // tanh(log(1 + e)) = n / (n + 2) with n = e (e + 2), which is 1 to the last bit beyond x = 20.
        let e = exponential(x.at_most(x.constant(20.0)));
        let n = e * (e + x.constant(2.0));
        x * (n / (n + x.constant(2.0)))
    }
);
function!(
    /// `x / (1 + |x|)`.
    softsign, softsign_into, Softsign, |x| x / (x.constant(1.0) + x.abs())
);
function!(
    /// `x max(0, min(1, x/6 + 1/2))`.
    hard_swish, hard_swish_into, HardSwish, |x| {
        let gate = x.mul_add(x.constant(1.0 / 6.0), x.constant(0.5));
        x * gate.at_least(x.constant(0.0)).at_most(x.constant(1.0))
    }
);
function!(
    /// `max(0, x)`, and `NaN` stays `NaN`.
    relu, relu_into, Relu, |x| x.at_least(x.constant(0.0))
);
function!(
    /// Square root.
    sqrt, sqrt_into, Sqrt, |x| x.sqrt()
);
function!(
    /// `1 / x`.
    reciprocal, reciprocal_into, Reciprocal, |x| x.constant(1.0) / x
);
function!(
    /// Magnitude.
    abs, abs_into, Abs, |x| x.abs()
);
function!(
    /// `-x`.
    neg, neg_into, Neg, |x| -x
);
function!(
    /// Nearest integer, halves to even.
    round, round_into, Round, |x| x.round()
);
function!(
    /// Greatest integer that is not above `x`.
    floor, floor_into, Floor, |x| {
        let rounded = x.round();
        let lowered = rounded.is_greater(x).select(rounded - x.constant(1.0), rounded);
        lowered.with_sign_of(x)
    }
);
function!(
    /// Smallest integer that is not below `x`.
    ceil, ceil_into, Ceil, |x| {
        let rounded = x.round();
        let raised = rounded.is_less(x).select(rounded + x.constant(1.0), rounded);
        raised.with_sign_of(x)
    }
);
function!(
    /// `x` where positive, else `alpha x`.
    leaky_relu, leaky_relu_into, LeakyRelu { alpha }, |x| x.is_less(x.constant(0.0)).select(alpha * x, x)
);
function!(
    /// `x` where above `alpha`, else zero.
    thresholded_relu, thresholded_relu_into, ThresholdedRelu { alpha },
    |x| alpha.is_less(x).select(x, x.constant(0.0))
);
function!(
    /// `max(0, min(1, alpha x + beta))`.
    hard_sigmoid, hard_sigmoid_into, HardSigmoid { alpha, beta },
    |x| x.mul_add(alpha, beta).at_least(x.constant(0.0)).at_most(x.constant(1.0))
);
function!(
    /// `min(max, max(min, x))`, and `NaN` stays `NaN`.
    clip, clip_into, Clip { min, max }, |x| x.at_least(min).at_most(max)
);
function!(
    /// `x` where positive, else `alpha (e^x - 1)`.
    elu, elu_into, Elu { alpha }, |x| x.is_less(x.constant(0.0)).select(alpha * exponential_minus_one(x), x)
);
function!(
    /// `gamma` times `x` where positive, else `gamma alpha (e^x - 1)`.
    selu, selu_into, Selu { alpha, gamma },
    |x| gamma * x.is_less(x.constant(0.0)).select(alpha * exponential_minus_one(x), x)
);
function!(
    /// `x` where positive, else `alpha (e^(x / alpha) - 1)`.
    celu, celu_into, Celu { alpha },
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
    // The power of two in two factors, since it can be beyond the normal floats where the product is not.
    let rounder = x.constant(ROUNDER);
    let half = exponent.mul_add(x.constant(0.5), rounder);
    let rest = (shifted.bits() - half.bits() + half.bits().constant(ROUNDER.to_bits())).value();
    let first = power_of_two(half);
    (growth.mul_add(first, first)) * power_of_two(rest)
}

/// `e^x` for `x <= 0` (and the rounding above it), flushed to zero below -87: for sums in which such terms vanish.
#[inline(always)]
pub(crate) fn exponential_of_negative<S: Simd>(x: Vector<S>) -> Vector<S> {
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
    let e = exponential(-x.abs());
    let one = x.constant(1.0);
    let numerator = x.is_less(x.constant(0.0)).select(e, one);
    numerator / (one + e)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Floats of every magnitude and sign, and the special ones.
    fn samples() -> Vec<f32> {
        let mut values: Vec<f32> = (0..=u32::MAX).step_by(4001).map(f32::from_bits).collect();
        for step in -400_000..=400_000 {
            values.push(step as f32 * 2.7e-4);
        }
        values.extend([0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 1e-45, -1e-45, f32::MIN_POSITIVE]);
        values.extend([
            f32::MAX,
            f32::MIN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::NAN,
            8_388_609.0,
            88.722_83,
            88.73,
        ]);
        values.extend([
            -87.336_55,
            -103.97,
            -103.98,
            -104.1,
            9.02,
            -9.02,
            3.93,
            -3.93,
            20.0,
            2_147_483_648.0,
        ]);
        values
    }

    /// Distance in units in the last place of the exact result, or of `floor` where the result is smaller.
    fn ulps(ours: f32, exact: f64, floor: f64) -> f64 {
        let rounded = exact as f32;
        if ours.is_nan() || rounded.is_nan() {
            return if ours.is_nan() && rounded.is_nan() { 0.0 } else { f64::INFINITY };
        }
        if ours == rounded {
            return 0.0;
        }
        if ours.is_infinite() || rounded.is_infinite() {
            // The rounding may fall to either side at the very edge.
            let finite = if ours.is_infinite() { rounded } else { ours };
            return if finite.abs() == f32::MAX && ours.signum() == rounded.signum() {
                1.0
            } else {
                f64::INFINITY
            };
        }
        let exponent = exact.abs().max(floor).log2().floor();
        (f64::from(ours) - exact).abs() / (exponent - 23.0).exp2()
    }

    fn check(name: &str, bound: f64, function: impl Unary, exact: impl Fn(f64) -> f64) {
        check_above(name, f64::from(f32::MIN_POSITIVE), bound, function, exact);
    }

    fn check_above(name: &str, floor: f64, bound: f64, function: impl Unary, exact: impl Fn(f64) -> f64) {
        let input = samples();
        let mut out = vec![0.0; input.len()];
        map(function, &input, &mut out);
        let mut in_place = input.clone();
        map_in_place(function, &mut in_place);
        let mut worst = (0.0, 0.0, 0.0);
        for ((&x, &ours), &again) in input.iter().zip(&out).zip(&in_place) {
            assert!(
                ours.to_bits() == again.to_bits() || (ours.is_nan() && again.is_nan()),
                "{name}({x:e}) in place"
            );
            let distance = ulps(ours, exact(f64::from(x)), floor);
            if distance > worst.0 {
                worst = (distance, x, ours);
            }
        }
        println!("{name}: {:.3} ULP at {:e} ({:e})", worst.0, worst.1, worst.2);
        assert!(worst.0 <= bound, "{name}({:e}) = {:e} is {} ULP off", worst.1, worst.2, worst.0);
    }

    /// Abramowitz and Stegun 7.1.5 near zero, and the continued fraction 7.1.14 beyond.
    fn erf_exact(x: f64) -> f64 {
        let magnitude = x.abs();
        if magnitude.is_nan() {
            return x;
        }
        let value = if magnitude < 3.0 {
            let (mut sum, mut term, mut n) = (magnitude, magnitude, 0.0);
            while term.abs() > 1e-18 * sum {
                n += 1.0;
                term *= -magnitude * magnitude / n;
                sum += term / (2.0 * n + 1.0);
                if sum == 0.0 {
                    break;
                }
            }
            sum * std::f64::consts::FRAC_2_SQRT_PI
        } else if magnitude > 6.0 {
            1.0
        } else {
            let mut fraction = magnitude;
            for k in (1..200).rev() {
                fraction = magnitude + f64::from(k) / 2.0 / fraction;
            }
            1.0 - (-magnitude * magnitude).exp() / fraction / std::f64::consts::PI.sqrt()
        };
        value.copysign(x)
    }

    fn sigmoid_exact(x: f64) -> f64 {
        1.0 / (1.0 + (-x).exp())
    }

    fn softplus_exact(x: f64) -> f64 {
        x.max(0.0) + (-x.abs()).exp().ln_1p() + if x.is_nan() { x } else { 0.0 }
    }

    #[test]
    fn elementary_functions_are_within_their_bounds() {
        check("exp", 1.5, Exp, f64::exp);
        check("log", 1.5, Log, f64::ln);
        check("tanh", 5.0, Tanh, f64::tanh);
        check("erf", 6.0, Erf, erf_exact);
        check("sigmoid", 3.0, Sigmoid, sigmoid_exact);
        check("softplus", 4.0, Softplus, softplus_exact);
        check("sqrt", 0.5, Sqrt, f64::sqrt);
        check("reciprocal", 0.5, Reciprocal, |x| 1.0 / x);
        check("abs", 0.0, Abs, f64::abs);
        check("neg", 0.0, Neg, |x| -x);
        check("round", 0.0, Round, f64::round_ties_even);
        check("floor", 0.0, Floor, f64::floor);
        check("ceil", 0.0, Ceil, f64::ceil);
        check("softsign", 1.5, Softsign, |x| x / (1.0 + x.abs()));
    }

    #[test]
    fn activations_are_within_their_bounds() {
        // Their factor is subnormal, thus short of digits, where x is below -87.
        check_above("silu", 1e-34, 4.0, Silu, |x| x * sigmoid_exact(x));
        check_above("mish", 1e-34, 5.0, Mish, |x| x * softplus_exact(x).tanh());
        check("relu", 0.0, Relu, |x| if x < 0.0 { 0.0 } else { x });
        check(
            "leaky relu",
            0.5,
            LeakyRelu { alpha: 0.1 },
            |x| if x < 0.0 { f64::from(0.1f32) * x } else { x },
        );
        check("clip", 0.0, Clip { min: -1.5, max: 6.0 }, |x| if x.is_nan() { x } else { x.clamp(-1.5, 6.0) });
        check("elu", 3.0, Elu { alpha: 1.0 }, |x| if x < 0.0 { x.exp_m1() } else { x });
        check("celu", 4.0, Celu { alpha: 2.0 }, |x| if x < 0.0 { 2.0 * (x / 2.0).exp_m1() } else { x });
        check("selu", 4.0, Selu { alpha: 2.0, gamma: 3.0 }, |x| {
            3.0 * if x < 0.0 { 2.0 * x.exp_m1() } else { x }
        });
        check("thresholded relu", 0.0, ThresholdedRelu { alpha: 1.0 }, |x| if x > 1.0 { x } else { 0.0 });
    }

    /// These are compared on the scale of their input, since their formulas subtract near `x = -3`.
    #[test]
    fn gelu_and_hard_gates_follow_their_formulas() {
        let input = samples();
        let check = |name: &str, function: &dyn Fn(&mut [f32]), exact: &dyn Fn(f64) -> f64| {
            let mut out = input.clone();
            function(&mut out);
            for (&x, &ours) in input.iter().zip(&out) {
                let exact = exact(f64::from(x));
                if exact.is_nan() || exact.abs() > 3e38 {
                    assert!(
                        ours.is_nan() == exact.is_nan() && !(ours.abs() < 2e38),
                        "{name}({x:e}) = {ours:e}"
                    );
                } else {
                    let scale = f64::from(x.abs().max(1e-30));
                    assert!(
                        (f64::from(ours) - exact).abs() <= 4.0 * 1.2e-7 * scale,
                        "{name}({x:e}) = {ours:e}, not {exact:e}"
                    );
                }
            }
        };
        check("gelu", &gelu, &|x| 0.5 * x * (1.0 + erf_exact(x / 2.0f64.sqrt())));
        check("gelu_tanh", &gelu_tanh, &|x| {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
            0.5 * x * (1.0 + inner.tanh())
        });
        check("hard swish", &hard_swish, &|x| {
            x * if x.is_nan() { x } else { (x / 6.0 + 0.5).clamp(0.0, 1.0) }
        });
    }

    #[test]
    fn hard_sigmoid_is_clamped() {
        let mut values = [-10.0, -1.0, 0.0, 1.0, 10.0, f32::NAN];
        hard_sigmoid(0.2, 0.5, &mut values);
        assert_eq!(values[..5], [0.0, 0.3, 0.5, 0.7, 1.0]);
        assert!(values[5].is_nan());
    }

    #[test]
    fn every_length_is_covered() {
        for length in 0..70 {
            let input: Vec<f32> = (0..length).map(|i| i as f32 * 0.1 - 2.0).collect();
            let mut whole = input.clone();
            exp(&mut whole);
            for (&x, &ours) in input.iter().zip(&whole) {
                assert!((ours - x.exp()).abs() <= 1e-6 * x.exp());
            }
        }
    }

    #[test]
    fn activate_agrees_with_the_functions() {
        let input = samples();
        let all = [
            Activation::None,
            Activation::Relu,
            Activation::LeakyRelu(0.01),
            Activation::Clip { min: 0.0, max: 6.0 },
            Activation::Sigmoid,
            Activation::Tanh,
            Activation::Gelu,
            Activation::GeluTanh,
            Activation::Silu,
            Activation::HardSigmoid { alpha: 0.2, beta: 0.5 },
            Activation::HardSwish,
            Activation::Elu(0.5),
            Activation::Softplus,
            Activation::Mish,
        ];
        for activation in all {
            let mut in_place = input.clone();
            activate(&activation, &mut in_place);
            let mut out = vec![0.0; input.len()];
            activate_into(&activation, &input, &mut out);
            for ((a, b), x) in in_place.iter().zip(&out).zip(&input) {
                assert!(a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()), "{activation:?}({x})");
            }
        }
    }
}
