//! Fourier transforms of tensors, whose last dimension holds the real part, or the real and the imaginary part.

use mlops_core::{Error, Result};

use super::count;
use super::fourier::{Complex, Prepared};
use crate::engine::onnx::ops::floats::{from_doubles, to_doubles};
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one, support};
use crate::engine::onnx::tensor::{Shape, element_count};
use crate::engine::onnx::value::Inputs;

/// `DFT`: along one dimension, whose signals are cut or filled up with zeros to the length of the transform.
#[derive(Debug)]
struct Dft {
    /// Before operator set 20, the dimension is an attribute.
    axis: Option<i64>,
    inverse: bool,
    one_sided: bool,
    prepared: Prepared,
}

pub(super) fn dft(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let axis = if source.node.opset < 20 { Some(attributes.int("axis", 1)?) } else { None };
    Ok(Box::new(Dft {
        axis,
        inverse: attributes.flag("inverse", false)?,
        one_sided: attributes.flag("onesided", false)?,
        prepared: Prepared::default(),
    }))
}

impl Operator for Dft {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let signal = inputs.tensor(0)?;
        let axis = match (self.axis, inputs.optional_i64s(2)?.as_deref()) {
            (Some(axis), _) | (None, Some(&[axis])) => axis,
            (None, None) => -2,
            (None, Some(_)) => return Err(Error::engine("the axis must be one number")),
        };
        let axis = support::axis(axis, signal.rank())?;
        let parts = signal.shape().last().copied().unwrap_or(0);
        if axis + 1 == signal.rank() || !matches!(parts, 1 | 2) {
            return Err(Error::engine(format!(
                "a signal of shape {:?} cannot be transformed along {axis}: the last dimension is that of the \
                 real and imaginary part",
                signal.shape()
            )));
        }
        let given = signal.shape()[axis];
        let real_output = self.inverse && self.one_sided;
        let length = match count(inputs, 1, "the length of the transform")? {
            Some(length) => length,
            None if real_output => 2 * given.saturating_sub(1),
            None => given,
        };
        let fourier = self.prepared.of_length(length)?;
        let kept = if self.one_sided && !self.inverse { length / 2 + 1 } else { length };
        let mut shape = Shape::from_slice(signal.shape());
        shape[axis] = kept;
        shape[signal.rank() - 1] = if real_output { 1 } else { 2 };

        let values = to_doubles(signal)?;
        let mut output: Vec<f64> = context.memory.vector(element_count(&shape)?)?;
        output.resize(element_count(&shape)?, 0.0);
        let output_parts = if real_output { 1 } else { 2 };
        let around = support::around(&signal.shape()[..signal.rank() - 1], axis);
        let (mut lane, mut scratch) = (Vec::new(), Vec::new());
        let lanes = if output.is_empty() { 0 } else { around.outer * around.inner };
        for index in 0..lanes {
            let (outer, inner) = (index / around.inner, index % around.inner);
            let at = |n: usize| {
                if n >= given {
                    return Complex::default();
                }
                let place = ((outer * given + n) * around.inner + inner) * parts;
                Complex { re: values[place], im: if parts == 2 { values[place + 1] } else { 0.0 } }
            };
            lane.clear();
            if real_output {
                lane.extend((0..length).map(|k| symmetric(k, length, at)));
            } else {
                lane.extend((0..length).map(at));
            }
            if self.inverse {
                fourier.inverse(&mut lane, &mut scratch);
            } else {
                fourier.forward(&mut lane, &mut scratch);
            }
            for (n, value) in lane[..kept].iter().enumerate() {
                let place = ((outer * kept + n) * around.inner + inner) * output_parts;
                output[place] = value.re;
                if !real_output {
                    output[place + 1] = value.im;
                }
            }
        }
        one(from_doubles(&shape, output, signal.dtype())?)
    }
}

/// The element `k` of the transform of a real signal, of which only the first half is given.
fn symmetric(k: usize, length: usize, at: impl Fn(usize) -> Complex) -> Complex {
    let value = if k <= length / 2 { at(k) } else { at(length - k).conjugate() };
    let is_real = k == 0 || 2 * k == length;
    Complex { im: if is_real { 0.0 } else { value.im }, ..value }
}

/// `STFT`: of each frame of a signal `[batch, time, 1 or 2]`, times a window.
#[derive(Debug)]
struct Stft {
    one_sided: bool,
    prepared: Prepared,
}

pub(super) fn stft(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let one_sided = source.node.attributes.flag("onesided", true)?;
    Ok(Box::new(Stft { one_sided, prepared: Prepared::default() }))
}

impl Operator for Stft {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let signal = inputs.tensor(0)?;
        let (batch, time, parts) = match *signal.shape() {
            [batch, time] => (batch, time, 1),
            [batch, time, parts @ (1 | 2)] => (batch, time, parts),
            ref other => {
                return Err(Error::engine(format!("a signal is [batch, time, 1 or 2], not {other:?}")));
            }
        };
        let step = count(inputs, 1, "the frame step")?.filter(|&step| step > 0);
        let step = step.ok_or_else(|| Error::engine("the frame step must be positive"))?;
        let window = inputs.optional(2)?.map(to_doubles).transpose()?;
        let length = match (count(inputs, 3, "the frame length")?, &window) {
            (Some(length), _) => length,
            (None, Some(window)) => window.len(),
            (None, None) => time,
        };
        if window.as_ref().is_some_and(|window| window.len() != length) {
            return Err(Error::engine(format!("the window is not of the frame length {length}")));
        }
        let Some(rest) = time.checked_sub(length) else {
            return Err(Error::engine(format!("a frame of {length} is longer than the signal of {time}")));
        };
        let frames = rest / step + 1;
        let fourier = self.prepared.of_length(length)?;
        let kept = if self.one_sided { length / 2 + 1 } else { length };
        let shape = Shape::from_slice(&[batch, frames, kept, 2]);

        let values = to_doubles(signal)?;
        let mut output: Vec<f64> = context.memory.vector(element_count(&shape)?)?;
        let (mut lane, mut scratch) = (Vec::new(), Vec::new());
        for signal in values.chunks_exact((time * parts).max(1)) {
            for frame in 0..frames {
                let frame = &signal[frame * step * parts..][..length * parts];
                lane.clear();
                lane.extend(frame.chunks_exact(parts).enumerate().map(|(n, value)| {
                    let factor = window.as_ref().map_or(1.0, |window| window[n]);
                    let im = value.get(1).copied().unwrap_or(0.0);
                    Complex { re: value[0] * factor, im: im * factor }
                }));
                fourier.forward(&mut lane, &mut scratch);
                output.extend(lane[..kept].iter().flat_map(|value| [value.re, value.im]));
            }
        }
        one(from_doubles(&shape, output, signal.dtype())?)
    }
}
