//! `mlops-serve`'s engine.

use std::hint::black_box;
use std::sync::Arc;

use mlops_core::{Engine, Tensors};
use mlops_serve::engine::{Device, onnx::OnnxEngine};

use super::{Runner, Setup};
use crate::{Failure, inputs};

pub struct Ours {
    engine: Arc<OnnxEngine>,
    inputs: Tensors,
}

impl Ours {
    pub fn load(setup: &Setup) -> Result<Self, Failure> {
        let engine = OnnxEngine::load_with(std::fs::read(&setup.model)?, Device::Cpu, &setup.options())?;
        Self::around(Arc::new(engine), setup)
    }

    /// Another caller of the same engine, with inputs of its own.
    pub fn again(&self, setup: &Setup) -> Result<Self, Failure> {
        Self::around(Arc::clone(&self.engine), setup)
    }

    fn around(engine: Arc<OnnxEngine>, setup: &Setup) -> Result<Self, Failure> {
        let inputs = inputs::tensors(&inputs::for_model(&setup.model, setup.batch)?)?;
        Ok(Self { engine, inputs })
    }
}

impl Runner for Ours {
    fn run(&mut self) -> Result<(), Failure> {
        black_box(self.engine.run(&self.inputs)?);
        Ok(())
    }
}
