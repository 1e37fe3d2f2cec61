//! tract: another engine written in Rust. It computes on one thread.

use std::hint::black_box;
use std::sync::Arc;

use tract_onnx::prelude::*;

use super::{Runner, Setup};
use crate::Failure;
use crate::inputs::{self, Elements};

pub struct Tract {
    model: Arc<TypedRunnableModel>,
    inputs: TVec<TValue>,
}

impl Tract {
    pub fn load(setup: &Setup) -> Result<Self, Failure> {
        if setup.threads != 1 {
            return Err("computes on one thread".into());
        }
        let inputs = inputs::for_model(&setup.model, setup.batch)?;
        let mut model = tract_onnx::onnx().model_for_path(&setup.model)?;
        let names: Vec<String> =
            model.input_outlets()?.iter().map(|outlet| model.node(outlet.node).name.clone()).collect();
        let mut values = TVec::new();
        for (place, name) in names.iter().enumerate() {
            let input = inputs.iter().find(|input| input.name == *name).ok_or("an input is unknown")?;
            let tensor = match &input.elements {
                Elements::Floats(elements) => {
                    tract_onnx::prelude::Tensor::from_shape(&input.shape, elements)?
                }
                Elements::Integers(elements) => {
                    tract_onnx::prelude::Tensor::from_shape(&input.shape, elements)?
                }
            };
            model =
                model.with_input_fact(place, InferenceFact::dt_shape(tensor.datum_type(), &*input.shape))?;
            values.push(tensor.into());
        }
        Ok(Self { model: model.into_optimized()?.into_runnable()?, inputs: values })
    }
}

impl Runner for Tract {
    fn run(&mut self) -> Result<(), Failure> {
        black_box(self.model.run(self.inputs.clone())?);
        Ok(())
    }
}
