//! What burn-onnx generates at build time, on burn's flex: what a server does that compiles its models in.

use std::collections::BTreeMap;
use std::hint::black_box;

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::{Runner, Setup};
use crate::Failure;
use crate::inputs::{self, Elements, Input};

/// The models that `build.rs` has turned into modules, and how each is called.
macro_rules! models {
    ($($name:ident: |$model:ident, $inputs:ident| $runner:expr;)*) => {
        $(
            #[allow(clippy::all, dead_code, unused, unreachable_pub)]
            mod $name {
                include!(concat!(env!("OUT_DIR"), "/models/", stringify!($name), ".rs"));
            }
        )*

        /// The model as it was at build time, by the name of its folder.
        pub fn load(setup: &Setup) -> Result<Box<dyn Runner>, Failure> {
            if setup.threads != 1 {
                return Err("computes on rayon's global pool, which is held to one thread here".into());
            }
            // An error says that the pool is there already: from an earlier call.
            let _ = rayon::ThreadPoolBuilder::new().num_threads(1).build_global();
            let folder = setup.model.parent().and_then(|folder| folder.file_name()).unwrap_or_default();
            let device = Device::flex();
            match folder.to_str() {
                $(Some(stringify!($name)) => {
                    let weights = concat!(env!("OUT_DIR"), "/models/", stringify!($name), ".bpk");
                    let ($model, $inputs) = ($name::Model::from_file(weights, &device), Inputs::new(setup, device)?);
                    Ok($runner)
                })*
                _ => Err("burn-onnx cannot generate it".into()),
            }
        }
    };
}

models! {
    bert: |model, inputs| {
        let [tokens, mask, types] = ["input_ids", "attention_mask", "token_type_ids"].map(|name| inputs.integers(name));
        calling(move || {
            let (hidden, logits) = model.forward(tokens.clone(), mask.clone(), types.clone());
            (hidden.into_data(), logits.into_data())
        })
    };
    heavy_mlp: |model, inputs| {
        let rows = inputs.floats::<2>();
        calling(move || model.forward(rows.clone()).into_data())
    };
    lstm: |model, inputs| {
        let sequences = inputs.floats::<3>();
        calling(move || model.forward(sequences.clone()).into_data())
    };
    mlp: |model, inputs| {
        let rows = inputs.floats::<2>();
        calling(move || model.forward(rows.clone()).into_data())
    };
    mobilenet_v2: |model, inputs| {
        let images = inputs.floats::<4>();
        calling(move || model.forward(images.clone()).into_data())
    };
    resnet18: |model, inputs| {
        let images = inputs.floats::<4>();
        calling(move || model.forward(images.clone()).into_data())
    };
}

fn calling<T>(call: impl FnMut() -> T + 'static) -> Box<dyn Runner> {
    Box::new(Calling(call))
}

struct Calling<F>(F);

impl<T, F: FnMut() -> T> Runner for Calling<F> {
    fn run(&mut self) -> Result<(), Failure> {
        black_box((self.0)());
        Ok(())
    }
}

struct Inputs {
    inputs: BTreeMap<String, Input>,
    device: Device,
}

impl Inputs {
    fn new(setup: &Setup, device: Device) -> Result<Self, Failure> {
        let inputs = inputs::for_model(&setup.model, setup.batch)?;
        let inputs = inputs.into_iter().map(|input| (input.name.clone(), input)).collect();
        Ok(Self { inputs, device })
    }

    fn integers(&self, name: &str) -> Tensor<2, Int> {
        let input = &self.inputs[name];
        let Elements::Integers(elements) = &input.elements else { panic!("`{name}` holds floats") };
        Tensor::from_data(TensorData::new(elements.clone(), input.shape.clone()), &self.device)
    }

    /// The only input.
    fn floats<const D: usize>(&self) -> Tensor<D> {
        let input = self.inputs.values().next().expect("there is an input");
        let Elements::Floats(elements) = &input.elements else { panic!("`{}` holds integers", input.name) };
        Tensor::from_data(TensorData::new(elements.clone(), input.shape.clone()), &self.device)
    }
}
