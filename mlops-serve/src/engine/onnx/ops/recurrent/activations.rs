//! The activation functions of gates: those of the specification, in lower or upper case.

use mlops_core::{Error, Result};

use crate::engine::onnx::graph::Attributes;
use crate::kernels::epilogue::Activation;

/// The function of a gate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Gate {
    Relu,
    Tanh,
    Sigmoid,
    Affine { alpha: f64, beta: f64 },
    LeakyRelu { alpha: f64 },
    ThresholdedRelu { alpha: f64 },
    ScaledTanh { alpha: f64, beta: f64 },
    HardSigmoid { alpha: f64, beta: f64 },
    Elu { alpha: f64 },
    Softsign,
    Softplus,
}

impl Gate {
    pub(super) fn of(self, x: f64) -> f64 {
        match self {
            Self::Relu => x.max(0.0),
            Self::Tanh => x.tanh(),
            Self::Sigmoid => (1.0 + (-x).exp()).recip(),
            Self::Affine { alpha, beta } => alpha * x + beta,
            Self::LeakyRelu { alpha } => {
                if x < 0.0 {
                    alpha * x
                } else {
                    x
                }
            }
            Self::ThresholdedRelu { alpha } => {
                if x > alpha {
                    x
                } else {
                    0.0
                }
            }
            Self::ScaledTanh { alpha, beta } => alpha * (beta * x).tanh(),
            Self::HardSigmoid { alpha, beta } => (alpha * x + beta).clamp(0.0, 1.0),
            Self::Elu { alpha } => {
                if x < 0.0 {
                    alpha * x.exp_m1()
                } else {
                    x
                }
            }
            Self::Softsign => x / (1.0 + x.abs()),
            Self::Softplus => {
                if x > 0.0 {
                    x + (-x).exp().ln_1p()
                } else {
                    x.exp().ln_1p()
                }
            }
        }
    }

    /// The same for the kernels, if they have it.
    pub(super) fn kernel(self) -> Option<Activation> {
        Some(match self {
            Self::Relu => Activation::Relu,
            Self::Tanh => Activation::Tanh,
            Self::Sigmoid => Activation::Sigmoid,
            Self::LeakyRelu { alpha } => Activation::LeakyRelu(alpha as f32),
            Self::HardSigmoid { alpha, beta } => {
                Activation::HardSigmoid { alpha: alpha as f32, beta: beta as f32 }
            }
            Self::Elu { alpha } => Activation::Elu(alpha as f32),
            Self::Softplus => Activation::Softplus,
            Self::Affine { .. } | Self::ThresholdedRelu { .. } | Self::ScaledTanh { .. } | Self::Softsign => {
                return None;
            }
        })
    }
}

/// The attributes `activations`, `activation_alpha` and `activation_beta`, in the order of the gates of one direction
/// after the other.
pub(super) fn parse(attributes: &Attributes, defaults: &[Gate], directions: usize) -> Result<Vec<Gate>> {
    let Some(names) = attributes.texts("activations")? else { return Ok(defaults.repeat(directions)) };
    if names.len() != defaults.len() * directions {
        let (given, needed) = (names.len(), defaults.len() * directions);
        return Err(Error::invalid_input(format!("{needed} activations are needed, not {given}")));
    }
    // Functions without parameters take none off these lists.
    let mut alphas = attributes.floats("activation_alpha")?.into_iter().flatten().copied().map(f64::from);
    let mut betas = attributes.floats("activation_beta")?.into_iter().flatten().copied().map(f64::from);
    names
        .iter()
        .map(|name| {
            let mut alpha = |default: f64| alphas.next().unwrap_or(default);
            let mut beta = |default: f64| betas.next().unwrap_or(default);
            Ok(match name.to_ascii_lowercase().as_str() {
                "relu" => Gate::Relu,
                "tanh" => Gate::Tanh,
                "sigmoid" => Gate::Sigmoid,
                "affine" => Gate::Affine { alpha: alpha(1.0), beta: beta(0.0) },
                "leakyrelu" => Gate::LeakyRelu { alpha: alpha(0.01) },
                "thresholdedrelu" => Gate::ThresholdedRelu { alpha: alpha(1.0) },
                "scaledtanh" => Gate::ScaledTanh { alpha: alpha(1.0), beta: beta(1.0) },
                "hardsigmoid" => Gate::HardSigmoid { alpha: alpha(0.2), beta: beta(0.5) },
                "elu" => Gate::Elu { alpha: alpha(1.0) },
                "softsign" => Gate::Softsign,
                "softplus" => Gate::Softplus,
                _ => return Err(Error::invalid_input(format!("there is no activation `{name}`"))),
            })
        })
        .collect()
}
