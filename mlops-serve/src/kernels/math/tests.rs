use super::*;
use crate::kernels::vector::instruction_sets::on_every_instruction_set;

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
    values.extend([-87.336_55, -103.97, -103.98, -104.1, 9.02, -9.02, 3.93, -3.93, 20.0, 2_147_483_648.0]);
    values
}

/// Distance in units in the last place of the exact result. Anything below `floor` will do for such a result.
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
    if exact.abs() < floor && f64::from(ours.abs()) <= floor {
        return 0.0;
    }
    let exponent = exact.abs().max(f64::from(f32::MIN_POSITIVE)).log2().floor();
    (f64::from(ours) - exact).abs() / (exponent - 23.0).exp2()
}

fn check(name: &str, bound: f64, function: impl Unary, exact: impl Fn(f64) -> f64) {
    check_above(name, 0.0, bound, function, exact);
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
    on_every_instruction_set(|| {
        check("exp", 1.5, Exp, f64::exp);
        check("log", 1.5, Log, f64::ln);
        check("tanh", 5.0, Tanh, f64::tanh);
        check("erf", 6.0, Erf, erf_exact);
        check_above("sigmoid", 2e-38, 3.0, Sigmoid, sigmoid_exact);
        check_above("softplus", 2e-38, 4.0, Softplus, softplus_exact);
        check("sqrt", 0.5, Sqrt, f64::sqrt);
        check("reciprocal", 0.5, Reciprocal, |x| 1.0 / x);
        check("abs", 0.0, Abs, f64::abs);
        check("neg", 0.0, Neg, |x| -x);
        check("round", 0.0, Round, f64::round_ties_even);
        check("floor", 0.0, Floor, f64::floor);
        check("ceil", 0.0, Ceil, f64::ceil);
        check("softsign", 1.5, Softsign, |x| x / (1.0 + x.abs()));
    });
}

#[test]
fn activations_are_within_their_bounds() {
    on_every_instruction_set(|| {
        // Their factor is flushed to zero where x is below -87.
        check_above("silu", 2e-36, 4.0, Silu, |x| x * sigmoid_exact(x));
        check_above("mish", 2e-36, 5.0, Mish, |x| x * softplus_exact(x).tanh());
        check("relu", 0.0, Relu, |x| if x < 0.0 { 0.0 } else { x });
        check(
            "leaky relu",
            0.5,
            LeakyRelu { alpha: 0.1 },
            |x| {
                if x < 0.0 { f64::from(0.1f32) * x } else { x }
            },
        );
        check("clip", 0.0, Clip { min: -1.5, max: 6.0 }, |x| if x.is_nan() { x } else { x.clamp(-1.5, 6.0) });
        check("elu", 3.0, Elu { alpha: 1.0 }, |x| if x < 0.0 { x.exp_m1() } else { x });
        check("celu", 4.0, Celu { alpha: 2.0 }, |x| if x < 0.0 { 2.0 * (x / 2.0).exp_m1() } else { x });
        check("selu", 4.0, Selu { alpha: 2.0, gamma: 3.0 }, |x| {
            3.0 * if x < 0.0 { 2.0 * x.exp_m1() } else { x }
        });
        check("thresholded relu", 0.0, ThresholdedRelu { alpha: 1.0 }, |x| if x <= 1.0 { 0.0 } else { x });
    });
}

/// These are compared on the scale of their input, since their formulas subtract near `x = -3`.
#[test]
fn gelu_and_hard_gates_follow_their_formulas() {
    on_every_instruction_set(|| {
        let input = samples();
        let check = |name: &str, function: &dyn Fn(&mut [f32]), exact: &dyn Fn(f64) -> f64| {
            let mut out = input.clone();
            function(&mut out);
            for (&x, &ours) in input.iter().zip(&out) {
                let exact = exact(f64::from(x));
                if exact.is_nan() || exact.abs() > 3e38 {
                    assert!(
                        ours.is_nan() == exact.is_nan() && (ours.is_nan() || ours.abs() >= 2e38),
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
    });
}

#[test]
fn hard_sigmoid_is_clamped() {
    on_every_instruction_set(|| {
        let mut values = [-10.0, -1.0, 0.0, 1.0, 10.0, f32::NAN];
        hard_sigmoid(0.2, 0.5, &mut values);
        assert_eq!(values[..5], [0.0, 0.3, 0.5, 0.7, 1.0]);
        assert!(values[5].is_nan());
    });
}

#[test]
fn every_length_is_covered() {
    on_every_instruction_set(|| {
        for length in 0..70 {
            let input: Vec<f32> = (0..length).map(|i| i as f32 * 0.1 - 2.0).collect();
            let mut whole = input.clone();
            exp(&mut whole);
            for (&x, &ours) in input.iter().zip(&whole) {
                assert!((ours - x.exp()).abs() <= 1e-6 * x.exp());
            }
        }
    });
}

#[test]
fn activate_agrees_with_the_functions() {
    on_every_instruction_set(|| {
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
    });
}
