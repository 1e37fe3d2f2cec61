//! ONNX Runtime.

use std::ffi::{CStr, CString};
use std::path::PathBuf;
use std::sync::OnceLock;

use ort::environment::Environment;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::{TensorRef, ValueType};

use crate::triton::Failure;

/// What a session is made of.
#[derive(Debug)]
pub struct Settings {
    pub model: PathBuf,
    /// Those that one call may use.
    pub threads: usize,
}

/// A loaded model.
pub struct Session {
    session: ort::session::Session,
    input: CString,
    output: CString,
    columns: usize,
    /// The inputs of a batch, joined; kept between calls.
    joined: Vec<f32>,
}

static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();

impl Session {
    pub fn load(settings: &Settings) -> Result<Self, Failure> {
        let environment = match ENVIRONMENT.get() {
            Some(environment) => environment,
            None => {
                let library = std::env::var_os("ORT_DYLIB_PATH").ok_or("ORT_DYLIB_PATH is not set")?;
                let environment = ort::init_from(PathBuf::from(library))?.build()?;
                ENVIRONMENT.get_or_init(|| environment)
            }
        };
        let session = ort::session::Session::builder(environment)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(settings.threads)?
            .with_inter_threads(1)?
            .commit_from_file(&settings.model)?;
        let ([input], [output]) = (session.inputs(), session.outputs()) else {
            return Err("the model has not one input and one output".into());
        };
        let columns = match input.dtype() {
            ValueType::Tensor { shape, .. } => {
                shape.get(1).and_then(|columns| usize::try_from(*columns).ok())
            }
            _ => None,
        };
        let columns =
            columns.filter(|columns| *columns > 0).ok_or("the input has no fixed number of columns")?;
        let (input, output) = (CString::new(input.name())?, CString::new(output.name())?);
        Ok(Self { session, input, output, columns, joined: Vec::new() })
    }

    pub fn input(&self) -> &CStr {
        &self.input
    }

    /// The length of a row of the input.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Computes the rows of all inputs at once. `take` is given the output's name, its columns, and all its numbers.
    pub fn run(
        &mut self,
        inputs: &[&[u8]],
        take: impl FnOnce(&CStr, usize, &[f32]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let aligned = match inputs {
            [alone] => bytemuck::try_cast_slice(alone).ok(),
            _ => None,
        };
        let batch = match aligned {
            Some(alone) => alone,
            None => {
                self.joined.clear();
                self.joined.extend(inputs.iter().flat_map(|input| floats(input)));
                self.joined.as_slice()
            }
        };
        let shape = [batch.len() / self.columns, self.columns];
        let outputs = self.session.run(ort::inputs![TensorRef::from_array_view((shape, batch))?])?;
        let (shape, numbers) = outputs[0].try_extract_tensor::<f32>()?;
        let columns = shape.get(1).and_then(|columns| usize::try_from(*columns).ok());
        take(&self.output, columns.ok_or("the output has no columns")?, numbers)
    }
}

/// Binary tensors begin anywhere in the body of an HTTP request.
fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.as_chunks().0.iter().map(|number| f32::from_ne_bytes(*number))
}
