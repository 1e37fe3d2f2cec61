//! Element by element.

use ::burn::backend::ops::{ActivationOps, FloatTensorOps};
use ::burn::backend::{Dispatch, DispatchTensor};
use mlops_core::{Error, Result};
use smallvec::{SmallVec, smallvec};

use super::tensor::upload_booleans;
use super::{DeviceInputs, DeviceOperator, DeviceTensor};
use crate::engine::onnx::graph::{Attributes, Node};
use crate::engine::onnx::ops::Source;
use crate::engine::onnx::tensor::Shape;

type DeviceOutputs = Option<SmallVec<[DeviceTensor; 1]>>;

/// A function of one number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Function {
    Identity,
    Relu,
    LeakyRelu(f64),
    Elu(f64),
    Clip(f64, f64),
    Sigmoid,
    HardSigmoid(f64, f64),
    HardSwish,
    Tanh,
    Gelu,
    GeluTanh,
    Silu,
    Softplus,
    Mish,
    Exp,
    Log,
    Sqrt,
    Reciprocal,
    Negative,
    Absolute,
    Erf,
    Sin,
    Cos,
    Floor,
    Ceil,
}

impl Function {
    pub(super) fn apply(self, x: DispatchTensor) -> DispatchTensor {
        match self {
            Self::Identity => x,
            Self::Relu => Dispatch::relu(x),
            Self::LeakyRelu(slope) => Dispatch::leaky_relu(x, slope.into()),
            Self::Elu(alpha) => {
                let negative = Dispatch::float_clamp_max(x.clone(), 0.0.into());
                let negative = Dispatch::float_sub_scalar(Dispatch::float_exp(negative), 1.0.into());
                Dispatch::float_add(Dispatch::relu(x), Dispatch::float_mul_scalar(negative, alpha.into()))
            }
            Self::Clip(low, high) => {
                let x = if low > f64::NEG_INFINITY { Dispatch::float_clamp_min(x, low.into()) } else { x };
                if high < f64::INFINITY { Dispatch::float_clamp_max(x, high.into()) } else { x }
            }
            Self::Sigmoid => Dispatch::sigmoid(x),
            Self::HardSigmoid(alpha, beta) => Dispatch::hard_sigmoid(x, alpha.into(), beta.into()),
            Self::HardSwish => {
                let gate = Dispatch::hard_sigmoid(x.clone(), (1.0 / 6.0).into(), 0.5.into());
                Dispatch::float_mul(x, gate)
            }
            Self::Tanh => Dispatch::float_tanh(x),
            Self::Gelu => Dispatch::gelu(x),
            Self::GeluTanh => {
                let cube = Dispatch::float_mul(Dispatch::float_mul(x.clone(), x.clone()), x.clone());
                let inner =
                    Dispatch::float_add(x.clone(), Dispatch::float_mul_scalar(cube, 0.044_715.into()));
                let scale = (2.0 / std::f64::consts::PI).sqrt();
                let tanh = Dispatch::float_tanh(Dispatch::float_mul_scalar(inner, scale.into()));
                let gate =
                    Dispatch::float_mul_scalar(Dispatch::float_add_scalar(tanh, 1.0.into()), 0.5.into());
                Dispatch::float_mul(x, gate)
            }
            Self::Silu => Dispatch::float_mul(x.clone(), Dispatch::sigmoid(x)),
            Self::Softplus => softplus(x),
            Self::Mish => Dispatch::float_mul(x.clone(), Dispatch::float_tanh(softplus(x))),
            Self::Exp => Dispatch::float_exp(x),
            Self::Log => Dispatch::float_log(x),
            Self::Sqrt => Dispatch::float_sqrt(x),
            Self::Reciprocal => Dispatch::float_recip(x),
            Self::Negative => Dispatch::float_neg(x),
            Self::Absolute => Dispatch::float_abs(x),
            Self::Erf => Dispatch::float_erf(x),
            Self::Sin => Dispatch::float_sin(x),
            Self::Cos => Dispatch::float_cos(x),
            Self::Floor => Dispatch::float_floor(x),
            Self::Ceil => Dispatch::float_ceil(x),
        }
    }
}

/// `ln(1 + e^x)` as `max(x, 0) + ln(1 + e^-|x|)`, which does not overflow.
fn softplus(x: DispatchTensor) -> DispatchTensor {
    let decay = Dispatch::float_exp(Dispatch::float_neg(Dispatch::float_abs(x.clone())));
    Dispatch::float_add(Dispatch::relu(x), Dispatch::float_log1p(decay))
}

/// The function a node of the specification stands for.
pub(super) fn function(node: &Node) -> Result<Option<Function>> {
    let parameter = |name: &str, default: f32| node.attributes.float(name, default).map(f64::from);
    Ok(Some(match &*node.operator {
        "Identity" => Function::Identity,
        "Relu" => Function::Relu,
        "LeakyRelu" => Function::LeakyRelu(parameter("alpha", 0.01)?),
        "Elu" => Function::Elu(parameter("alpha", 1.0)?),
        "Sigmoid" => Function::Sigmoid,
        "HardSigmoid" => Function::HardSigmoid(parameter("alpha", 0.2)?, parameter("beta", 0.5)?),
        "HardSwish" => Function::HardSwish,
        "Tanh" => Function::Tanh,
        "Gelu" if node.attributes.text("approximate")?.is_some_and(|form| form == "tanh") => {
            Function::GeluTanh
        }
        "Gelu" => Function::Gelu,
        "Softplus" => Function::Softplus,
        "Mish" => Function::Mish,
        "Exp" => Function::Exp,
        "Log" => Function::Log,
        "Sqrt" => Function::Sqrt,
        "Reciprocal" => Function::Reciprocal,
        "Neg" => Function::Negative,
        "Abs" => Function::Absolute,
        "Erf" => Function::Erf,
        "Sin" => Function::Sin,
        "Cos" => Function::Cos,
        "Floor" => Function::Floor,
        "Ceil" => Function::Ceil,
        _ => return Ok(None),
    }))
}

/// The activation that a fused node applies to its results.
pub(super) fn activation(attributes: &Attributes) -> Result<Function> {
    let Some(name) = attributes.text("activation")? else { return Ok(Function::Identity) };
    let parameters = attributes.floats("activation_parameters")?.map_or(&[][..], Vec::as_slice);
    let parameter = |index: usize, default: f64| parameters.get(index).map_or(default, |&value| value.into());
    Ok(match name.as_str() {
        "relu" => Function::Relu,
        "leaky_relu" => Function::LeakyRelu(parameter(0, 0.01)),
        "elu" => Function::Elu(parameter(0, 1.0)),
        "clip" => Function::Clip(parameter(0, f64::NEG_INFINITY), parameter(1, f64::INFINITY)),
        "sigmoid" => Function::Sigmoid,
        "hard_sigmoid" => Function::HardSigmoid(parameter(0, 0.2), parameter(1, 0.5)),
        "hard_swish" => Function::HardSwish,
        "tanh" => Function::Tanh,
        "gelu" => Function::Gelu,
        "gelu_tanh" => Function::GeluTanh,
        "silu" => Function::Silu,
        "softplus" => Function::Softplus,
        "mish" => Function::Mish,
        other => return Err(Error::internal(format!("there is no activation `{other}`"))),
    })
}

/// One input, one output, the same shape.
#[derive(Debug)]
pub(super) struct Unary(Function);

impl Unary {
    pub(super) fn new(function: Function) -> Self {
        Self(function)
    }
}

impl DeviceOperator for Unary {
    fn run(&self, inputs: &mut DeviceInputs<'_>) -> Result<DeviceOutputs> {
        let Some(x) = inputs.float(0)? else { return Ok(None) };
        let shape = Shape::from_slice(x.shape());
        Ok(Some(smallvec![DeviceTensor::new(shape, self.0.apply(x.into_burn()))]))
    }
}

/// Clipping between constants.
#[derive(Debug)]
pub(super) struct Clip(Unary);

impl Clip {
    pub(super) fn new(source: &Source<'_>) -> Result<Option<Self>> {
        let attributes = &source.node.attributes;
        let bound = |index: usize, name: &str, open: f32| -> Result<Option<f32>> {
            if source.node.opset < 11 {
                return attributes.float(name, open).map(Some);
            }
            match source.node.input(index) {
                None => Ok(Some(open)),
                Some(_) => Ok(source.constant(index).and_then(|bound| bound.to_scalar::<f32>().ok())),
            }
        };
        let bounds = (bound(1, "min", f32::NEG_INFINITY)?, bound(2, "max", f32::INFINITY)?);
        Ok(match bounds {
            (Some(low), Some(high)) => Some(Self(Unary(Function::Clip(low.into(), high.into())))),
            _ => None,
        })
    }
}

impl DeviceOperator for Clip {
    fn run(&self, inputs: &mut DeviceInputs<'_>) -> Result<DeviceOutputs> {
        self.0.run(inputs)
    }
}

/// Two inputs, broadcast against each other.
#[derive(Debug, Clone, Copy)]
pub(super) enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Pow,
}

impl Binary {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "Add" => Self::Add,
            "Sub" => Self::Sub,
            "Mul" => Self::Mul,
            "Div" => Self::Div,
            "Pow" => Self::Pow,
            _ => return None,
        })
    }

    fn apply(self, a: DispatchTensor, b: DispatchTensor) -> DispatchTensor {
        match self {
            Self::Add => Dispatch::float_add(a, b),
            Self::Sub => Dispatch::float_sub(a, b),
            Self::Mul => Dispatch::float_mul(a, b),
            Self::Div => Dispatch::float_div(a, b),
            Self::Pow => Dispatch::float_powf(a, b),
        }
    }
}

impl DeviceOperator for Binary {
    fn run(&self, inputs: &mut DeviceInputs<'_>) -> Result<DeviceOutputs> {
        let (Some(a), Some(b)) = (inputs.float(0)?, inputs.float(1)?) else { return Ok(None) };
        let shape = broadcast_shape(a.shape(), b.shape())?;
        let rank = shape.len();
        let (a, b) = (a.with_rank(rank)?, b.with_rank(rank)?);
        Ok(Some(smallvec![DeviceTensor::new(shape, self.apply(a.into_burn(), b.into_burn()))]))
    }
}

/// `a` where the condition holds, `b` elsewhere.
#[derive(Debug)]
pub(super) struct Where;

impl DeviceOperator for Where {
    fn run(&self, inputs: &mut DeviceInputs<'_>) -> Result<DeviceOutputs> {
        let (Some(a), Some(b)) = (inputs.float(1)?, inputs.float(2)?) else { return Ok(None) };
        let Ok(condition) = inputs.host(0)?.elements::<bool>() else { return Ok(None) };
        let given = inputs.host(0)?.shape();
        let shape = broadcast_shape(&broadcast_shape(a.shape(), b.shape())?, given)?;
        let rank = shape.len();
        let mut mask_shape = Shape::from_elem(1, rank - given.len());
        mask_shape.extend_from_slice(given);
        let mask = upload_booleans(condition.to_vec(), &mask_shape, inputs.device);
        let expanded = |tensor: DeviceTensor| -> Result<DispatchTensor> {
            let tensor = tensor.with_rank(rank)?;
            let same = tensor.shape() == &*shape;
            let tensor = tensor.into_burn();
            Ok(if same { tensor } else { Dispatch::float_expand(tensor, super::tensor::burn_shape(&shape)) })
        };
        let (a, b) = (expanded(a)?, expanded(b)?);
        use ::burn::backend::ops::BoolTensorOps;
        let mask = Dispatch::bool_expand(mask, super::tensor::burn_shape(&shape));
        Ok(Some(smallvec![DeviceTensor::new(shape, Dispatch::float_mask_where(b, mask, a))]))
    }
}

/// The shape of two operands that are repeated along dimensions of length one.
pub(super) fn broadcast_shape(a: &[usize], b: &[usize]) -> Result<Shape> {
    let rank = a.len().max(b.len());
    let length =
        |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |axis| shape[axis]);
    (0..rank)
        .map(|axis| match (length(a, axis), length(b, axis)) {
            (a, b) if a == b || b == 1 => Ok(a),
            (1, b) => Ok(b),
            _ => Err(Error::engine(format!("the shapes {a:?} and {b:?} cannot be broadcast to each other"))),
        })
        .collect()
}
