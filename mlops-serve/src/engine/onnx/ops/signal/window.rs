//! Windows: weights of the samples of a frame, from 0 or little at its ends to 1 in its middle.

use std::f64::consts::TAU;

use mlops_core::{DType, Error, Result};

use super::{count, of_type};
use crate::engine::onnx::ops::shape::element_type;
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one};
use crate::engine::onnx::value::Inputs;

/// A sum of cosines: `a - b cos(x) + c cos(2 x)`, where `x` makes one turn over the window.
#[derive(Debug)]
struct Window {
    coefficients: [f64; 3],
    /// Whether the turn is complete one step after the last sample, and not at it.
    periodic: bool,
    dtype: DType,
}

/// `HannWindow`.
pub(super) fn hann(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    window(source, [0.5, 0.5, 0.0])
}

/// `HammingWindow`, with the coefficients that the specification rounds from 25/46 and 21/46.
pub(super) fn hamming(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    window(source, [25.0 / 46.0, 21.0 / 46.0, 0.0])
}

/// `BlackmanWindow`.
pub(super) fn blackman(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    window(source, [0.42, 0.5, 0.08])
}

fn window(source: &Source<'_>, coefficients: [f64; 3]) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let dtype = element_type(attributes.int("output_datatype", 1)?)?;
    Ok(Box::new(Window { coefficients, periodic: attributes.flag("periodic", true)?, dtype }))
}

impl Operator for Window {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let size = count(inputs, 0, "the size of the window")?;
        let size = size.ok_or_else(|| Error::engine("the size of the window is missing"))?;
        let turn = if self.periodic { size } else { size.saturating_sub(1) };
        let [a, b, c] = self.coefficients;
        let weight = |n: usize| {
            if turn == 0 {
                return 1.0; // a window of one sample
            }
            let x = TAU * n as f64 / turn as f64;
            a - b * x.cos() + c * (2.0 * x).cos()
        };
        let mut weights: Vec<f64> = context.memory.vector(size)?;
        weights.extend((0..size).map(weight));
        one(of_type(self.dtype, &[size], weights)?)
    }
}
