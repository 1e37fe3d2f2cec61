//! Inputs of a model from the command line: NumPy files, JSON, or random numbers.

use std::path::Path;

use mlops_core::{DType, Dimension, Signature, Tensor, TensorSpec, Tensors};
use ndarray_npy::ReadableElement;
use serde_json::Value;

use super::Failure;

/// Each argument is `NAME=FILE.npy`, `FILE.npy` for the only input, or a JSON object of names and nested lists.
pub fn read(arguments: &[String], signature: &Signature) -> Result<Tensors, Failure> {
    let mut inputs = Tensors::new();
    for argument in arguments {
        read_argument(argument, signature, &mut inputs)?;
    }
    Ok(inputs)
}

fn read_argument(argument: &str, signature: &Signature, inputs: &mut Tensors) -> Result<(), Failure> {
    let (name, file) = match argument.split_once('=') {
        Some((name, file)) => (Some(name), Path::new(file)),
        None => (None, Path::new(argument)),
    };
    if file.extension().is_some_and(|extension| extension == "json") {
        let Value::Object(fields) = serde_json::from_slice(&std::fs::read(file)?)? else {
            return Err(format!("{} holds no JSON object of names and values", file.display()).into());
        };
        for (name, value) in fields {
            let tensor = from_json(&value, spec(signature, &name)?)?;
            inputs.insert(name, tensor);
        }
        return Ok(());
    }
    let spec = match (name, signature.inputs()) {
        (Some(name), _) => spec(signature, name)?,
        (None, [only]) => only,
        (None, several) => {
            let names: Vec<&str> = several.iter().map(TensorSpec::name).collect();
            return Err(format!("say which input it is: NAME=FILE with one of {}", names.join(", ")).into());
        }
    };
    inputs.insert(spec.name(), from_npy(file, spec.dtype())?);
    Ok(())
}

fn spec<'a>(signature: &'a Signature, name: &str) -> Result<&'a TensorSpec, Failure> {
    let found = signature.inputs().iter().find(|spec| spec.name() == name);
    found.ok_or_else(|| format!("the model has no input `{name}`").into())
}

fn from_npy(file: &Path, dtype: DType) -> Result<Tensor, Failure> {
    fn read<T: ReadableElement>(file: &Path) -> Result<ndarray::ArrayD<T>, Failure> {
        ndarray_npy::read_npy(file).map_err(|cause| format!("{}: {cause}", file.display()).into())
    }
    Ok(match dtype {
        DType::Bool => read::<bool>(file)?.into(),
        DType::Uint8 => read::<u8>(file)?.into(),
        DType::Int8 => read::<i8>(file)?.into(),
        DType::Int32 => read::<i32>(file)?.into(),
        DType::Int64 => read::<i64>(file)?.into(),
        DType::Fp32 => read::<f32>(file)?.into(),
        DType::Fp64 => read::<f64>(file)?.into(),
        other => return Err(format!("give {other} as JSON").into()),
    })
}

/// Nested lists, in the type the model asks for.
fn from_json(value: &Value, spec: &TensorSpec) -> Result<Tensor, Failure> {
    let mut shape = Vec::new();
    let mut inner = value;
    while let Value::Array(items) = inner {
        shape.push(items.len());
        match items.first() {
            Some(first) => inner = first,
            None => break,
        }
    }
    let field =
        serde_json::json!({ "name": spec.name(), "shape": shape, "datatype": spec.dtype(), "data": value });
    let mut read: Tensors = serde_json::from_value(Value::Array(vec![field]))?;
    read.remove(spec.name()).ok_or_else(|| "no tensor".into())
}

/// Random numbers for the inputs that are missing, with that many rows: floats between -1 and 1, integers 0 and 1.
pub fn fill_in(signature: &Signature, rows: usize, inputs: &mut Tensors) -> Result<(), Failure> {
    let mut state = 0x9e37_79b9_u32;
    // Xorshift (Marsaglia, 2003).
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    for spec in signature.inputs() {
        if inputs.get(spec.name()).is_some() {
            continue;
        }
        let lengths = spec.shape().iter().map(|dimension| match dimension {
            Dimension::Fixed(length) => *length,
            Dimension::Batch => rows,
            Dimension::Free => 1,
        });
        let shape: Vec<usize> = lengths.collect();
        let count = shape.iter().product();
        let tensor = match spec.dtype() {
            DType::Fp32 => {
                let elements = (0..count).map(|_| random() as f32 / (1_u32 << 31) as f32 - 1.0).collect();
                Tensor::from_vec(&shape, elements)?
            }
            DType::Int64 => Tensor::from_vec(&shape, (0..count).map(|_| i64::from(random() % 2)).collect())?,
            other => {
                let size = other.size().ok_or_else(|| format!("give the strings of `{}`", spec.name()))?;
                Tensor::from_bytes(other, &shape, vec![0_u8; count * size])?
            }
        };
        inputs.insert(spec.name(), tensor);
        println!("`{}` is not given: random numbers of shape {shape:?}", spec.name());
    }
    Ok(())
}
