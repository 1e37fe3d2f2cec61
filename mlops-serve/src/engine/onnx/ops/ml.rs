//! Preprocessing and classical models: the operators of `ai.onnx.ml`.

use super::Entry;

pub(super) const OPERATORS: &[Entry] = &[];
