//! Reads the models with inputs and outputs that `scripts/reference/generate.py` writes.

use std::fs;
use std::path::{Path, PathBuf};

use mlops_core::{Tensor, Tensors};
use serde::Deserialize;

use super::{npy, skip};

/// The Python that has the packages of `scripts/reference/requirements.txt`. Without it a test is skipped.
pub(crate) fn python() -> Option<PathBuf> {
    let python = std::env::var_os("MLOPS_REFERENCE_PYTHON").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/reference-venv/bin/python"),
        PathBuf::from,
    );
    if !python.exists() {
        skip(&format!("there is no Python at {}: scripts/ci-setup installs it", python.display()));
        return None;
    }
    Some(python)
}

/// A model and what it must answer.
pub(crate) struct Reference {
    pub(crate) name: String,
    /// The model's file.
    pub(crate) model: Vec<u8>,
    pub(crate) cases: Vec<Case>,
}

/// One call.
pub(crate) struct Case {
    pub(crate) batch: usize,
    pub(crate) inputs: Tensors,
    pub(crate) outputs: Tensors,
}

impl Reference {
    /// Reads the folder of one model.
    ///
    /// # Panics
    /// When anything about it is not as the generator writes it.
    pub(crate) fn read(folder: &Path) -> Self {
        let file = |name: &str| {
            let path = folder.join(name);
            fs::read(&path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()))
        };
        let manifest: Manifest = serde_json::from_slice(&file("manifest.json")).unwrap();
        assert!(!manifest.cases.is_empty(), "{}: no cases", folder.display());
        let arrays = file("tensors.npy");
        let mut rest = &arrays[..];
        let mut read = |specs: &[Spec]| -> Tensors {
            specs.iter().map(|spec| (spec.name.as_str(), spec.read(&mut rest))).collect()
        };
        let cases: Vec<Case> = manifest
            .cases
            .iter()
            .map(|case| Case { batch: case.batch, inputs: read(&case.inputs), outputs: read(&case.outputs) })
            .collect();
        assert!(rest.is_empty(), "{}: {} bytes too many in tensors.npy", folder.display(), rest.len());
        Self { name: manifest.model, model: file("model.onnx"), cases }
    }
}

/// The folders of all models in a folder, by name.
///
/// # Panics
/// When there is none.
pub(crate) fn folders(root: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(root).unwrap_or_else(|cause| panic!("{}: {cause}", root.display()));
    let mut folders: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("manifest.json").exists())
        .collect();
    folders.sort();
    assert!(!folders.is_empty(), "{}: no models", root.display());
    folders
}

#[derive(Deserialize)]
struct Manifest {
    model: String,
    cases: Vec<CaseSpecs>,
}

#[derive(Deserialize)]
struct CaseSpecs {
    batch: usize,
    inputs: Vec<Spec>,
    outputs: Vec<Spec>,
}

#[derive(Deserialize)]
struct Spec {
    name: String,
    dtype: String,
    shape: Vec<usize>,
    strings: Option<Vec<String>>,
}

impl Spec {
    fn read(&self, arrays: &mut &[u8]) -> Tensor {
        let tensor = match &self.strings {
            Some(strings) => Tensor::from_byte_strings(&self.shape, strings).unwrap(),
            None => npy::read(arrays),
        };
        assert_eq!((tensor.dtype().name(), tensor.shape()), (&*self.dtype, &*self.shape), "{}", self.name);
        tensor
    }
}
