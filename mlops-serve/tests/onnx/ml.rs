//! The operators of `ai.onnx.ml` and of text give what onnxruntime gives.
//!
//! The cases in `tests/data/onnx-ml` are made by `scripts/reference/ml_cases.py`, which can make many more: those in the
//! folder that `MLOPS_ONNX_ML_CASES` names are run as well.

#[test]
fn the_results_are_those_of_onnxruntime() {
    crate::support::cases::check("onnx-ml", 100, "MLOPS_ONNX_ML_CASES");
}
