//! What is done to a product while it is still in the cache: bias, residual and activation.

use pulp::Simd;

use crate::kernels::math::activate;

/// An elementwise activation function. The formulas are those of the ONNX operators of the same names.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Activation {
    /// `x`
    #[default]
    None,
    /// `max(0, x)`
    Relu,
    /// `x` above zero, slope times `x` below
    LeakyRelu(f32),
    /// `min(max(x, min), max)`
    Clip {
        /// Lower bound.
        min: f32,
        /// Upper bound.
        max: f32,
    },
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// `tanh(x)`
    Tanh,
    /// `x / 2 * (1 + erf(x / sqrt(2)))`
    Gelu,
    /// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`
    GeluTanh,
    /// `x * sigmoid(x)`
    Silu,
    /// `min(max(alpha * x + beta, 0), 1)`
    HardSigmoid {
        /// Slope.
        alpha: f32,
        /// Offset.
        beta: f32,
    },
    /// `x * min(max(x / 6 + 1/2, 0), 1)`
    HardSwish,
    /// `x` above zero, `alpha * (exp(x) - 1)` below
    Elu(f32),
    /// `ln(1 + exp(x))`
    Softplus,
    /// `x * tanh(softplus(x))`
    Mish,
}

/// A vector added to every row or to every column of a product.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Bias<'a> {
    /// Nothing is added.
    #[default]
    None,
    /// One value a column.
    PerColumn(&'a [f32]),
    /// One value a row.
    PerRow(&'a [f32]),
}

/// `out = activation(product + bias + residual)`
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Epilogue<'a> {
    /// Added to the product.
    pub(crate) bias: Bias<'a>,
    /// Added before the activation; laid out exactly like the output.
    pub(crate) residual: Option<&'a [f32]>,
    /// Applied last.
    pub(crate) activation: Activation,
}

impl Activation {
    /// Whether a few vector instructions do it, so that it is worth doing in registers.
    #[inline(always)]
    pub(crate) fn is_cheap(&self) -> bool {
        matches!(
            self,
            Self::None
                | Self::Relu
                | Self::LeakyRelu(_)
                | Self::Clip { .. }
                | Self::HardSigmoid { .. }
                | Self::HardSwish
        )
    }

    /// A cheap activation of one vector; others leave the values as they are. NaN stays NaN.
    #[inline(always)]
    pub(crate) fn apply_cheap<S: Simd>(self, simd: S, value: S::f32s) -> S::f32s {
        match self {
            Self::Relu => at_least(simd, value, simd.splat_f32s(0.0)),
            Self::LeakyRelu(slope) => {
                let scaled = simd.mul_f32s(value, simd.splat_f32s(slope));
                simd.select_f32s(simd.less_than_f32s(value, simd.splat_f32s(0.0)), scaled, value)
            }
            Self::Clip { min, max } => {
                at_most(simd, at_least(simd, value, simd.splat_f32s(min)), simd.splat_f32s(max))
            }
            Self::HardSigmoid { alpha, beta } => hard_sigmoid(simd, value, alpha, beta),
            Self::HardSwish => simd.mul_f32s(value, hard_sigmoid(simd, value, 1.0 / 6.0, 0.5)),
            _ => value,
        }
    }

    /// A cheap activation of one value; others leave it as it is. NaN stays NaN.
    #[inline(always)]
    pub(crate) fn apply_cheap_scalar(self, value: f32) -> f32 {
        let at_least = |value: f32, bound: f32| if value < bound { bound } else { value };
        let at_most = |value: f32, bound: f32| if value > bound { bound } else { value };
        let hard_sigmoid = |alpha: f32, beta: f32| at_most(at_least(value * alpha + beta, 0.0), 1.0);
        match self {
            Self::Relu => at_least(value, 0.0),
            Self::LeakyRelu(slope) if value < 0.0 => value * slope,
            Self::Clip { min, max } => at_most(at_least(value, min), max),
            Self::HardSigmoid { alpha, beta } => hard_sigmoid(alpha, beta),
            Self::HardSwish => value * hard_sigmoid(1.0 / 6.0, 0.5),
            _ => value,
        }
    }

    /// What `apply_cheap` left undone.
    #[inline(always)]
    pub(crate) fn apply_rest(&self, values: &mut [f32]) {
        if !self.is_cheap() {
            activate(self, values);
        }
    }
}

#[inline(always)]
fn at_least<S: Simd>(simd: S, value: S::f32s, bound: S::f32s) -> S::f32s {
    simd.select_f32s(simd.less_than_f32s(value, bound), bound, value)
}

#[inline(always)]
fn at_most<S: Simd>(simd: S, value: S::f32s, bound: S::f32s) -> S::f32s {
    simd.select_f32s(simd.greater_than_f32s(value, bound), bound, value)
}

#[inline(always)]
fn hard_sigmoid<S: Simd>(simd: S, value: S::f32s, alpha: f32, beta: f32) -> S::f32s {
    let line = simd.add_f32s(simd.mul_f32s(value, simd.splat_f32s(alpha)), simd.splat_f32s(beta));
    at_most(simd, at_least(simd, line, simd.splat_f32s(0.0)), simd.splat_f32s(1.0))
}
