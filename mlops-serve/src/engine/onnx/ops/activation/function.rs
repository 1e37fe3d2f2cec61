//! Activations of one float, whose parameters are attributes. The formulas are those of the ONNX specification.

use mlops_core::{Error, Result};

use crate::engine::onnx::ops::arithmetic::error_function;
use crate::engine::onnx::ops::elementwise::map;
use crate::engine::onnx::ops::{Context, Inputs, Operator, Outputs, Source, one};
use crate::kernels::math;

/// A function of one number with its parameters.
#[derive(Debug, Clone, Copy)]
pub(super) enum Function {
    Celu {
        alpha: f32,
    },
    Elu {
        alpha: f32,
    },
    Gelu,
    GeluTanh,
    HardSigmoid {
        alpha: f32,
        beta: f32,
    },
    HardSwish,
    LeakyRelu {
        alpha: f32,
    },
    Mish,
    Selu {
        alpha: f32,
        gamma: f32,
    },
    Sigmoid,
    Softplus,
    Softsign,
    /// `x sigmoid(alpha x)`
    Swish {
        alpha: f32,
    },
    Tanh,
    ThresholdedRelu {
        alpha: f32,
    },
}

impl Operator for Function {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        one(map(inputs, context, &|values| self.single(values), &|value| self.double(value))?)
    }
}

impl Function {
    /// The function of each of many, in place.
    pub(super) fn single(&self, values: &mut [f32]) {
        match *self {
            Self::Celu { alpha } => math::celu(alpha, values),
            Self::Elu { alpha } => math::elu(alpha, values),
            Self::Gelu => math::gelu(values),
            Self::GeluTanh => math::gelu_tanh(values),
            Self::HardSigmoid { alpha, beta } => math::hard_sigmoid(alpha, beta, values),
            Self::HardSwish => math::hard_swish(values),
            Self::LeakyRelu { alpha } => math::leaky_relu(alpha, values),
            Self::Mish => math::mish(values),
            Self::Selu { alpha, gamma } => math::selu(alpha, gamma, values),
            Self::Sigmoid => math::sigmoid(values),
            Self::Softplus => math::softplus(values),
            Self::Softsign => math::softsign(values),
            Self::Swish { alpha: 1.0 } => math::silu(values),
            Self::Swish { alpha } => gated(alpha, values),
            Self::Tanh => math::tanh(values),
            Self::ThresholdedRelu { alpha } => math::thresholded_relu(alpha, values),
        }
    }

    /// The function of one number in double precision.
    pub(super) fn double(&self, x: f64) -> f64 {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
        match *self {
            Self::Celu { alpha } => {
                let alpha = f64::from(alpha);
                if x < 0.0 { alpha * (x / alpha).exp_m1() } else { x }
            }
            Self::Elu { alpha } => {
                if x < 0.0 {
                    f64::from(alpha) * x.exp_m1()
                } else {
                    x
                }
            }
            Self::Gelu => 0.5 * x * (1.0 + error_function(x * std::f64::consts::FRAC_1_SQRT_2)),
            Self::GeluTanh => {
                let root = (2.0 / std::f64::consts::PI).sqrt();
                0.5 * x * (1.0 + (root * (x + 0.044_715 * x * x * x)).tanh())
            }
            Self::HardSigmoid { alpha, beta } => hard_sigmoid_of(x, alpha.into(), beta.into()),
            Self::HardSwish => x * hard_sigmoid_of(x, 1.0 / 6.0, 0.5),
            Self::LeakyRelu { alpha } => {
                if x < 0.0 {
                    f64::from(alpha) * x
                } else {
                    x
                }
            }
            Self::Mish => x * softplus(x).tanh(),
            Self::Selu { alpha, gamma } => {
                let (alpha, gamma) = (f64::from(alpha), f64::from(gamma));
                if x > 0.0 { gamma * x } else { gamma * alpha * x.exp_m1() }
            }
            Self::Sigmoid => sigmoid(x),
            Self::Softplus => softplus(x),
            Self::Softsign => x / (1.0 + x.abs()),
            Self::Swish { alpha } => x * sigmoid(f64::from(alpha) * x),
            Self::Tanh => x.tanh(),
            Self::ThresholdedRelu { alpha } => {
                if x > f64::from(alpha) {
                    x
                } else {
                    0.0
                }
            }
        }
    }
}

fn hard_sigmoid_of(x: f64, alpha: f64, beta: f64) -> f64 {
    (alpha * x + beta).clamp(0.0, 1.0)
}

/// `x sigmoid(alpha x)`, a block of gates at a time.
fn gated(alpha: f32, values: &mut [f32]) {
    let mut gates = [0.0_f32; 256];
    for values in values.chunks_mut(gates.len()) {
        let gates = &mut gates[..values.len()];
        for (gate, value) in gates.iter_mut().zip(&*values) {
            *gate = alpha * value;
        }
        math::sigmoid(gates);
        for (value, gate) in values.iter_mut().zip(gates) {
            *value *= *gate;
        }
    }
}

macro_rules! without_parameters {
    ($($name:ident $function:ident)*) => {
        $(pub(super) fn $name(_: &Source<'_>) -> Result<Box<dyn Operator>> {
            Ok(Box::new(Function::$function))
        })*
    };
}

without_parameters! {
    gelu_exact Gelu
    hard_swish HardSwish
    mish Mish
    sigmoid Sigmoid
    softplus Softplus
    softsign Softsign
    tanh Tanh
}

macro_rules! with_parameters {
    ($($name:ident $function:ident { $($parameter:ident = $default:literal),+ })*) => {
        $(pub(super) fn $name(source: &Source<'_>) -> Result<Box<dyn Operator>> {
            let attributes = &source.node.attributes;
            Ok(Box::new(Function::$function {
                $($parameter: attributes.float(stringify!($parameter), $default)?,)+
            }))
        })*
    };
}

with_parameters! {
    celu Celu { alpha = 1.0 }
    elu Elu { alpha = 1.0 }
    hard_sigmoid HardSigmoid { alpha = 0.2, beta = 0.5 }
    leaky_relu LeakyRelu { alpha = 0.01 }
    quick_gelu Swish { alpha = 1.702 }
    swish Swish { alpha = 1.0 }
    thresholded_relu ThresholdedRelu { alpha = 1.0 }
}

/// The defaults changed with version 6, to more digits.
pub(super) fn selu(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let (alpha, gamma) = if source.node.opset < 6 { (1.6732, 1.0507) } else { (1.673_263_2, 1.050_701) };
    let attributes = &source.node.attributes;
    Ok(Box::new(Function::Selu {
        alpha: attributes.float("alpha", alpha)?,
        gamma: attributes.float("gamma", gamma)?,
    }))
}

/// The attribute `approximate` chooses between the error function (`none`) and `tanh`.
pub(super) fn gelu(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(match source.node.attributes.text("approximate")?.map(String::as_str) {
        None | Some("none") => Function::Gelu,
        Some("tanh") => Function::GeluTanh,
        Some(other) => {
            return Err(Error::invalid_input(format!(
                "`approximate` must be `none` or `tanh`, not `{other}`"
            )));
        }
    }))
}
