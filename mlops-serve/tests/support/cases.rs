//! Small models with their inputs and the outputs of onnxruntime, many to a file; `scripts/reference/ml/cases.py` says
//! how they are written.

use std::path::Path;

use mlops_core::{DType, Engine, Tensor, Tensors};
use mlops_serve::engine::Device;
use mlops_serve::engine::onnx::OnnxEngine;

/// A model, its inputs, and the outputs of onnxruntime.
struct Case {
    name: String,
    model: Vec<u8>,
    inputs: Vec<(String, Tensor)>,
    outputs: Vec<(String, Tensor)>,
}

/// Reads the cases of a file.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn bytes(&mut self, count: usize) -> &[u8] {
        let (bytes, rest) = self.0.split_at(count);
        self.0 = rest;
        bytes
    }

    fn byte(&mut self) -> usize {
        self.bytes(1)[0].into()
    }

    fn number(&mut self) -> usize {
        u32::from_le_bytes(self.bytes(4).try_into().unwrap()) as usize
    }

    fn text(&mut self) -> Vec<u8> {
        let length = self.number();
        self.bytes(length).to_vec()
    }

    fn name(&mut self) -> String {
        String::from_utf8(self.text()).unwrap()
    }

    fn tensor(&mut self) -> (String, Tensor) {
        let name = self.name();
        let (dtype, rank) = (self.byte(), self.byte());
        let shape: Vec<usize> = (0..rank).map(|_| self.number()).collect();
        let count = shape.iter().product();
        macro_rules! numbers {
            ($type:ty) => {{
                let bytes = self.bytes(count * size_of::<$type>());
                let elements = bytes.chunks_exact(size_of::<$type>());
                let elements = elements.map(|bytes| <$type>::from_le_bytes(bytes.try_into().unwrap()));
                Tensor::from_vec(&shape, elements.collect::<Vec<$type>>()).unwrap()
            }};
        }
        // The numbers are those of ONNX.
        let tensor = match dtype {
            1 => numbers!(f32),
            2 => numbers!(u8),
            3 => numbers!(i8),
            5 => numbers!(i16),
            6 => numbers!(i32),
            7 => numbers!(i64),
            8 => {
                let texts: Vec<String> = (0..count).map(|_| self.name()).collect();
                Tensor::from_byte_strings(&shape, texts.iter()).unwrap()
            }
            9 => {
                let elements = self.bytes(count).iter().map(|&byte| byte != 0).collect::<Vec<bool>>();
                Tensor::from_vec(&shape, elements).unwrap()
            }
            11 => numbers!(f64),
            other => panic!("element type {other}"),
        };
        (name, tensor)
    }

    fn tensors(&mut self) -> Vec<(String, Tensor)> {
        (0..self.byte()).map(|_| self.tensor()).collect()
    }
}

impl Iterator for Reader<'_> {
    type Item = Case;

    fn next(&mut self) -> Option<Case> {
        if self.0.is_empty() {
            return None;
        }
        let name = self.name();
        Some(Case { name, model: self.text(), inputs: self.tensors(), outputs: self.tensors() })
    }
}

fn floats(tensor: &Tensor) -> Option<Vec<f64>> {
    match tensor.dtype() {
        DType::Fp32 => Some(tensor.as_slice::<f32>().unwrap().iter().map(|&value| value.into()).collect()),
        DType::Fp64 => Some(tensor.as_slice::<f64>().unwrap().to_vec()),
        _ => None,
    }
}

fn bytes(tensor: &Tensor) -> Option<Vec<f64>> {
    match tensor.dtype() {
        DType::Uint8 => Some(tensor.as_slice::<u8>().unwrap().iter().map(|&value| value.into()).collect()),
        DType::Int8 => Some(tensor.as_slice::<i8>().unwrap().iter().map(|&value| value.into()).collect()),
        _ => None,
    }
}

/// `steps`: by how much integers of 8 bits may differ, where real numbers were rounded to them.
fn compare(actual: &Tensor, expected: &Tensor, steps: f64) -> Result<(), String> {
    if (actual.dtype(), actual.shape()) != (expected.dtype(), expected.shape()) {
        let [a, b] = [actual, expected].map(|tensor| format!("{} {:?}", tensor.dtype(), tensor.shape()));
        return Err(format!("{a} instead of {b}"));
    }
    let equal = match (floats(actual), floats(expected)) {
        (Some(a), Some(b)) => {
            let largest =
                b.iter().filter(|value| value.is_finite()).fold(0.0_f64, |max, value| max.max(value.abs()));
            let tolerance = 1e-5 * largest + 1e-6;
            let close =
                |(a, b): (&f64, &f64)| a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= tolerance;
            a.iter().zip(&b).all(close)
        }
        _ if steps > 0.0 => match (bytes(actual), bytes(expected)) {
            (Some(a), Some(b)) => a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= steps),
            _ => actual == expected,
        },
        _ => actual == expected,
    };
    if equal { Ok(()) } else { Err(format!("{}\n  instead of {}", shown(actual), shown(expected))) }
}

fn shown(tensor: &Tensor) -> String {
    match (floats(tensor), tensor.strings(), tensor.as_slice::<i64>()) {
        (Some(values), _, _) => format!("{values:?}"),
        (_, Ok(values), _) => format!("{values:?}"),
        (_, _, Ok(values)) => format!("{values:?}"),
        _ => match (tensor.as_slice::<u8>(), tensor.as_slice::<i8>(), tensor.as_slice::<i32>()) {
            (Ok(values), _, _) => format!("{values:?}"),
            (_, Ok(values), _) => format!("{values:?}"),
            (_, _, Ok(values)) => format!("{values:?}"),
            _ => format!("{tensor:?}"),
        },
    }
}

fn run(case: &Case) -> Result<(), String> {
    let engine =
        OnnxEngine::load(case.model.clone(), Device::Cpu).map_err(|cause| format!("refused: {cause}"))?;
    let inputs: Tensors = case.inputs.iter().cloned().collect();
    let outputs = engine.run(&inputs).map_err(|cause| format!("failed: {cause}"))?;
    let steps = if case.name.starts_with("QLinear") || case.name.starts_with("QGemm") { 1.0 } else { 0.0 };
    for (name, expected) in &case.outputs {
        let actual = outputs.require(name).map_err(|cause| cause.to_string())?;
        compare(actual, expected, steps).map_err(|cause| format!("`{name}`: {cause}"))?;
    }
    Ok(())
}

/// Runs the cases of a folder; returns what failed, and how many did not.
fn run_folder(folder: &Path) -> (Vec<String>, usize) {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (mut failed, mut passed) = (Vec::new(), 0);
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "cases")) {
        let (mut cases, mut wrong) = (0, 0);
        for case in Reader(&std::fs::read(file).unwrap()) {
            cases += 1;
            if let Err(cause) = run(&case) {
                wrong += 1;
                failed.push(format!("{}: {cause}", case.name));
            }
        }
        println!("{}: {cases} cases, {wrong} wrong", file.file_stem().unwrap().to_string_lossy());
        passed += cases - wrong;
    }
    (failed, passed)
}

/// Runs the committed cases of a folder below `tests/data`, and those of the folder that the variable names, if any.
/// Fails when any is wrong, or when fewer than `least` are there.
pub(crate) fn check(committed: &str, least: usize, variable: &str) {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(committed);
    let (mut failed, passed) = run_folder(&committed);
    assert!(passed + failed.len() >= least, "only {passed} cases in {}", committed.display());
    if let Some(folder) = std::env::var_os(variable) {
        failed.extend(run_folder(Path::new(&folder)).0);
    }
    for failure in &failed {
        println!("FAILED {failure}");
    }
    assert!(failed.is_empty(), "{} cases are wrong", failed.len());
}
