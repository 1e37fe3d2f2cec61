//! Microsoft's onnxruntime, through the `ort` crate.

use std::hint::black_box;
use std::sync::OnceLock;

use ort::environment::Environment;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, Tensor};

use super::{Runner, Setup};
use crate::Failure;
use crate::inputs::{self, Elements};

static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();

pub struct Onnxruntime {
    session: Session,
    inputs: Vec<(String, DynValue)>,
}

impl Onnxruntime {
    pub fn load(setup: &Setup) -> Result<Self, Failure> {
        let library = setup.onnxruntime.as_ref().ok_or("say where it is with --onnxruntime")?;
        if ENVIRONMENT.get().is_none() {
            let environment = ort::init_from(library)?.build()?;
            let _ = ENVIRONMENT.set(environment);
        }
        let environment = ENVIRONMENT.get().ok_or("no environment")?;
        let session = Session::builder(environment)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(setup.threads)?
            .with_inter_threads(1)?
            .commit_from_file(&setup.model)?;
        let inputs = inputs::for_model(&setup.model, setup.batch)?.into_iter().map(|input| {
            let shape: Vec<i64> = input.shape.iter().map(|&length| length as i64).collect();
            let value = match input.elements {
                Elements::Floats(elements) => Tensor::from_array((shape, elements))?.into_dyn(),
                Elements::Integers(elements) => Tensor::from_array((shape, elements))?.into_dyn(),
            };
            Ok((input.name, value))
        });
        let inputs: Result<Vec<_>, Failure> = inputs.collect();
        Ok(Self { session, inputs: inputs? })
    }
}

impl Runner for Onnxruntime {
    fn run(&mut self) -> Result<(), Failure> {
        let inputs: Vec<(&str, SessionInputValue<'_>)> =
            self.inputs.iter().map(|(name, value)| (name.as_str(), value.into())).collect();
        black_box(self.session.run(inputs)?);
        Ok(())
    }
}
