//! Inputs that fit a model's signature: the same for every system.

use std::collections::BTreeMap;
use std::path::Path;

use mlops_core::{DType, Dimension, Engine, Tensor, Tensors};
use mlops_serve::engine::{Device, onnx::OnnxEngine};

use crate::Failure;

/// One tensor, in the form every system can take.
#[derive(Debug, Clone)]
pub struct Input {
    pub name: String,
    pub shape: Vec<usize>,
    pub elements: Elements,
}

#[derive(Debug, Clone)]
pub enum Elements {
    Floats(Vec<f32>),
    Integers(Vec<i64>),
}

/// Lengths of free dimensions other than the batch, by the place in the shape.
const SEQUENCE: usize = 128;
const IMAGE: usize = 224;

/// Random inputs for a batch of that many rows.
pub fn for_model(model: &Path, batch: usize) -> Result<Vec<Input>, Failure> {
    let engine = OnnxEngine::load(std::fs::read(model)?, Device::Cpu)?;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let inputs = engine.signature().inputs().iter().map(|spec| {
        let rank = spec.shape().len();
        let lengths = spec.shape().iter().map(|dimension| match dimension {
            Dimension::Fixed(length) => *length,
            Dimension::Batch => batch,
            Dimension::Free if rank == 4 => IMAGE,
            Dimension::Free => SEQUENCE,
        });
        let shape: Vec<usize> = lengths.collect();
        let count = shape.iter().product();
        let name = spec.name().to_owned();
        let elements = match spec.dtype() {
            DType::Fp32 => Elements::Floats((0..count).map(|_| random.float()).collect()),
            DType::Int64 if name.contains("mask") => Elements::Integers(vec![1; count]),
            DType::Int64 if name.contains("type") => Elements::Integers(vec![0; count]),
            DType::Int64 => Elements::Integers((0..count).map(|_| (random.next() % 100) as i64).collect()),
            other => return Err(format!("the input `{name}` is {other}").into()),
        };
        Ok(Input { name, shape, elements })
    });
    inputs.collect()
}

/// As the tensors of an engine.
pub fn tensors(inputs: &[Input]) -> Result<Tensors, Failure> {
    let named = inputs.iter().map(|input| {
        let tensor = match &input.elements {
            Elements::Floats(elements) => Tensor::from_vec(&input.shape, elements.clone())?,
            Elements::Integers(elements) => Tensor::from_vec(&input.shape, elements.clone())?,
        };
        Ok((input.name.clone(), tensor))
    });
    let named: Result<BTreeMap<String, Tensor>, Failure> = named.collect();
    Ok(named?.into_iter().fold(Tensors::new(), |tensors, (name, tensor)| tensors.with(name, tensor)))
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Between -1 and 1.
    fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    }
}
