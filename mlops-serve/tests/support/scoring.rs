//! A model, and files, for the tests of scoring.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use mlops_core::{DType, Dimension, Engine, Error, Model, Result, Signature, Tensor, TensorSpec, Tensors};
use mlops_serve::EngineExt;
use serde_json::Value as Json;

/// Doubles the numbers of each row, sums them up, and shouts the name. It cannot do the number -1, panics at 13, and
/// gives a name that is no text at 666.
#[derive(Debug)]
pub(crate) struct Summing(Signature);

/// Its inputs are `x` (FP32, two per row, finite) and `name` (BYTES); its outputs `sum`, `doubled` and `shout`.
pub(crate) fn summing() -> impl Model {
    let rows = |name, dtype| TensorSpec::new(name, dtype, [Dimension::Batch]);
    let pairs = |name| TensorSpec::new(name, DType::Fp32, [Dimension::Batch, Dimension::Fixed(2)]);
    let outputs = [rows("sum", DType::Fp64), pairs("doubled"), rows("shout", DType::Bytes)];
    Summing(Signature::new([pairs("x").finite(), rows("name", DType::Bytes)], outputs).unwrap()).inline()
}

impl Engine for Summing {
    fn signature(&self) -> &Signature {
        &self.0
    }

    fn run(&self, inputs: &Tensors) -> Result<Tensors> {
        let x = inputs.require("x")?;
        let numbers = x.as_slice::<f32>()?;
        assert!(!numbers.contains(&13.0), "thirteen");
        if numbers.contains(&-1.0) {
            return Err(Error::engine("no -1, please"));
        }
        let sums: Vec<f64> = numbers.chunks(2).map(|pair| f64::from(pair[0]) + f64::from(pair[1])).collect();
        let names = inputs.require("name")?;
        let shouts = names
            .byte_strings()?
            .zip(numbers.chunks(2))
            .map(|(name, pair)| if pair[0] == 666.0 { vec![0xff] } else { [name, b"!"].concat() });
        Ok(Tensors::new()
            .with("sum", sums)
            .with("doubled", x.view::<f32>()?.mapv(|x| 2.0 * x))
            .with("shout", Tensor::from_byte_strings(names.shape(), shouts)?))
    }
}

/// The files of rows below an output folder, those of the quarantine too, and their text.
pub(crate) fn texts(folder: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    read(folder, "", &|name| name != "_scoring", &mut files);
    files.into_iter().map(|(name, bytes)| (name, String::from_utf8(bytes).unwrap())).collect()
}

/// All files below an output folder, but not the lock.
pub(crate) fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    read(folder, "", &|name| name != "lock", &mut files);
    files
}

fn read(folder: &Path, above: &str, take: &dyn Fn(&str) -> bool, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if !take(name) {
            continue;
        }
        if path.is_dir() {
            read(&path, &format!("{above}{name}/"), take, files);
        } else {
            files.insert(format!("{above}{name}"), fs::read(&path).unwrap());
        }
    }
}

/// Row and reason of the rows in a file of the quarantine.
pub(crate) fn reasons(quarantine: &str) -> Vec<(u64, String)> {
    let entry = |line| {
        let entry: Json = serde_json::from_str(line).unwrap();
        (entry["row"].as_u64().unwrap(), entry["reason"].as_str().unwrap().to_owned())
    };
    quarantine.lines().map(entry).collect()
}
