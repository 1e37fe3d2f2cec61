//! The mel scale, on which equal distances sound alike.

use std::f64::consts::LN_10;

use mlops_core::{DType, Error, Result};

use super::{count, of_type};
use crate::engine::onnx::ops::floats::to_doubles;
use crate::engine::onnx::ops::shape::element_type;
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::element_count;
use crate::engine::onnx::value::Inputs;

/// `MelWeightMatrix`: how much each frequency of a spectrum counts for each mel band, `[length / 2 + 1, bands]`.
///
/// The bands are triangles whose corners lie at equal distances on the scale `mel(f) = 2595 log10(1 + f / 700)`,
/// rounded down to frequencies of the spectrum.
#[derive(Debug)]
struct MelWeightMatrix {
    dtype: DType,
}

pub(super) fn mel_weight_matrix(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let dtype = element_type(source.node.attributes.int("output_datatype", 1)?)?;
    Ok(Box::new(MelWeightMatrix { dtype }))
}

impl Operator for MelWeightMatrix {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let number = |index: usize, what: &str| {
            count(inputs, index, what)?.ok_or_else(|| Error::engine(format!("{what} is missing")))
        };
        let bands = number(0, "the number of bands")?;
        let length = number(1, "the length of the transform")?;
        let rate = number(2, "the sample rate")?;
        let edge = |index: usize| -> Result<f64> {
            match *to_doubles(inputs.tensor(index)?)? {
                [hertz] if hertz >= 0.0 && hertz.is_finite() => Ok(hertz),
                ref other => Err(Error::engine(format!("an edge must be one frequency, not {other:?}"))),
            }
        };
        let (lowest, highest) = (edge(3)?, edge(4)?);
        let frequencies = length / 2 + 1;
        let shape = [frequencies, bands];
        let size = element_count(&shape)?;
        let mut weights: Vec<f64> = context.memory.vector(size)?;
        weights.resize(size, 0.0);

        let (low, high) = (mel(lowest), mel(highest));
        let step = (high - low) / (bands as f64 + 2.0);
        let corner = |index: usize| -> Result<usize> {
            let hertz = 700.0 * ((low + step * index as f64) / 2595.0 * LN_10).exp_m1();
            let place = ((length as f64 + 1.0) * hertz / rate as f64).floor();
            // Comparison fails for what is no number.
            if place >= 0.0 && place < frequencies as f64 {
                Ok(place as usize)
            } else {
                Err(Error::engine(format!(
                    "the edges {lowest} and {highest} Hz reach beyond the spectrum of a rate of {rate} Hz"
                )))
            }
        };
        for band in 0..bands {
            let (left, middle, right) = (corner(band)?, corner(band + 1)?, corner(band + 2)?);
            weights[middle * bands + band] = 1.0;
            for place in left..middle {
                weights[place * bands + band] = (place - left) as f64 / (middle - left) as f64;
            }
            for place in middle..right {
                weights[place * bands + band] = (right - place) as f64 / (right - middle) as f64;
            }
        }
        one(of_type(self.dtype, &shape, weights)?)
    }
}

fn mel(hertz: f64) -> f64 {
    2595.0 * (hertz / 700.0).ln_1p() / LN_10
}
