//! Operators that move elements, branch and loop, and transform signals give what onnxruntime gives.
//!
//! The cases in `tests/data/onnx-operators` are made by `scripts/reference/operator_cases.py`, which can make many more:
//! those in the folder that `MLOPS_ONNX_OPERATOR_CASES` names are run as well.

#[test]
fn the_results_are_those_of_onnxruntime() {
    crate::support::cases::check("onnx-operators", 200, "MLOPS_ONNX_OPERATOR_CASES");
}
