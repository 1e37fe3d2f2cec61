//! `CausalConvWithState`: a depthwise convolution that looks back only, and carries its last inputs along.

use mlops_core::{Error, Result};

use crate::engine::onnx::ops::floats::{are_half, vector, widened};
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source};
use crate::engine::onnx::tensor::{HostTensor, Shape, element_count};
use crate::engine::onnx::value::{Inputs, Value};
use crate::kernels::math::silu;

#[derive(Debug)]
struct CausalConv {
    silu: bool,
}

pub(super) fn build(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let activation = source.node.attributes.text("activation")?.map_or("none", String::as_str);
    let silu = match activation {
        "none" => false,
        "silu" | "swish" => true,
        other => return Err(Error::invalid_input(format!("there is no activation `{other}`"))),
    };
    Ok(Box::new(CausalConv { silu }))
}

impl Operator for CausalConv {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        if are_half(inputs, 0)? {
            return widened(inputs, context, usize::MAX, |inputs, context| self.run(inputs, context));
        }
        let (x, weights) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let (&[batch, channels, length], &[weight_channels, 1, kernel]) = (x.shape(), weights.shape()) else {
            return Err(Error::engine(
                "the input must be [batch, channels, length], the weights [channels, 1, k]",
            ));
        };
        if channels != weight_channels || kernel == 0 {
            return Err(Error::engine(format!(
                "{channels} channels need as many kernels, not {weight_channels}"
            )));
        }
        let past = kernel - 1;
        let state_shape = Shape::from_slice(&[batch, channels, past]);
        let state = match inputs.optional(3)? {
            Some(state) if state.shape() != state_shape.as_slice() => {
                let actual = state.shape();
                return Err(Error::engine(format!("the state must be {state_shape:?}, not {actual:?}")));
            }
            state => state.map(HostTensor::elements::<f32>).transpose()?,
        };
        let bias = vector(inputs, 2, channels)?;
        let (x_elements, weights) = (x.elements::<f32>()?, weights.elements::<f32>()?);
        let mut out = context.memory.floats(x.len());
        let mut present = Vec::with_capacity(element_count(&state_shape)?);
        let mut line = vec![0.0; past + length];
        for row in 0..batch * channels {
            let channel = row % channels;
            match state {
                Some(state) => line[..past].copy_from_slice(&state[row * past..][..past]),
                None => line[..past].fill(0.0),
            }
            line[past..].copy_from_slice(&x_elements[row * length..][..length]);
            present.extend_from_slice(&line[length..]);
            let out = &mut out[row * length..][..length];
            out.fill(bias.map_or(0.0, |bias| bias[channel]));
            for (tap, weight) in weights[channel * kernel..][..kernel].iter().enumerate() {
                for (out, x) in out.iter_mut().zip(&line[tap..]) {
                    *out += weight * x;
                }
            }
        }
        if self.silu {
            silu(&mut out);
        }
        let out = HostTensor::new(x.shape(), out)?;
        let present = HostTensor::new(state_shape, present)?;
        Ok([Value::from(out), Value::from(present)].into_iter().collect())
    }
}
