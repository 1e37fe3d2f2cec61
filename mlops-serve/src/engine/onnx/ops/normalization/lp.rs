//! `LpNormalization`: vectors along an axis, by their length.

use mlops_core::{Error, Result};

use crate::engine::onnx::ops::floats::{are_half, widened, wrong_type};
use crate::engine::onnx::ops::number::Number;
use crate::engine::onnx::ops::support::{Around, around, axis};
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{Data, HostTensor};
use crate::engine::onnx::value::Inputs;

#[derive(Debug)]
struct LpNormalization {
    axis: i64,
    euclidean: bool,
}

pub(super) fn build(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let euclidean = match source.node.attributes.int("p", 2)? {
        1 => false,
        2 => true,
        other => return Err(Error::invalid_input(format!("the attribute `p` must be 1 or 2, not {other}"))),
    };
    Ok(Box::new(LpNormalization { axis: source.node.attributes.int("axis", -1)?, euclidean }))
}

impl Operator for LpNormalization {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        if are_half(inputs, 0)? {
            return widened(inputs, context, 1, |inputs, context| self.run(inputs, context));
        }
        let x = inputs.take(0)?;
        let around = around(x.shape(), axis(self.axis, x.rank())?);
        let shape = x.shape().to_vec();
        match x.data() {
            Data::F32(_) => {
                let mut elements = x.into_elements::<f32>()?;
                self.normalise(&mut elements, &around);
                one(HostTensor::new(shape.as_slice(), elements)?)
            }
            Data::F64(_) => {
                let mut elements = x.into_elements::<f64>()?;
                self.normalise(&mut elements, &around);
                one(HostTensor::new(shape.as_slice(), elements)?)
            }
            _ => Err(wrong_type(&x)),
        }
    }
}

impl LpNormalization {
    fn normalise<T: Number>(&self, x: &mut [T], &Around { length, inner, .. }: &Around) {
        if x.is_empty() {
            return;
        }
        let mut norms = vec![0.0_f64; inner];
        for group in x.chunks_exact_mut(length * inner) {
            norms.fill(0.0);
            for row in group.chunks_exact(inner) {
                for (norm, x) in norms.iter_mut().zip(row) {
                    let x = x.to_f64();
                    *norm += if self.euclidean { x * x } else { x.abs() };
                }
            }
            for norm in &mut norms {
                let length = if self.euclidean { norm.sqrt() } else { *norm };
                // A vector without length stays what it is.
                *norm = if length == 0.0 { 1.0 } else { length };
            }
            for row in group.chunks_exact_mut(inner) {
                for (x, norm) in row.iter_mut().zip(&norms) {
                    *x = T::from_f64(x.to_f64() / norm);
                }
            }
        }
    }
}
