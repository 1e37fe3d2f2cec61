//! One row for a model, and what the model makes of it.

use std::path::{Path, PathBuf};

use mlops_core::{Dimension, Engine, Tensor, Tensors};
use mlops_serve::engine::Device;
use mlops_serve::engine::onnx::OnnxEngine;

use crate::Failure;

/// A model of one input and one output, with a row for it.
#[derive(Debug)]
pub struct Sample {
    pub name: String,
    pub model: PathBuf,
    pub input: Named,
    pub output: Named,
}

/// One row of a tensor.
#[derive(Debug)]
pub struct Named {
    pub name: String,
    pub row: Vec<f32>,
}

impl Sample {
    /// Of the model in `folder/name/model.onnx`. Its output is the engine's own.
    pub fn load(folder: &Path, name: &str) -> Result<Self, Failure> {
        let model = folder.join(name).join("model.onnx");
        let bytes = std::fs::read(&model).map_err(|cause| format!("{}: {cause}", model.display()))?;
        let engine = OnnxEngine::load(bytes, Device::Cpu)?;
        let signature = engine.signature();
        let ([input], [output]) = (signature.inputs(), signature.outputs()) else {
            return Err(format!("{name} has not one input and one output").into());
        };
        let [Dimension::Batch, Dimension::Fixed(length)] = *input.shape() else {
            return Err(format!("{name} takes no rows of a fixed length").into());
        };
        // A sine is as good as noise, and has all digits in JSON.
        let row: Vec<f32> = (0..length).map(|index| (index as f32 + 0.5).sin()).collect();
        let inputs = Tensors::new().with(input.name(), Tensor::from_vec(&[1, length], row.clone())?);
        let scores = engine.run(&inputs)?.require(output.name())?.as_slice::<f32>()?.to_vec();
        Ok(Self {
            name: name.to_owned(),
            model,
            input: Named { name: input.name().to_owned(), row },
            output: Named { name: output.name().to_owned(), row: scores },
        })
    }

    /// Refuses answers that another engine could not have given.
    pub fn check(&self, scores: &[f32]) -> Result<(), Failure> {
        let near = |(left, right): (&f32, &f32)| (left - right).abs() <= 1e-4 * left.abs().max(1.0);
        let expected = &self.output.row;
        if scores.len() == expected.len() && scores.iter().zip(expected).all(near) {
            return Ok(());
        }
        Err(format!("the answer is {scores:?}, expected {expected:?}").into())
    }
}
