//! Turns the ONNX file into Rust: `$OUT_DIR/model/model.rs`, and its weights beside it.

fn main() {
    let model = "../../mlops-serve/tests/data/onnx/mlp/model.onnx";
    println!("cargo::rerun-if-changed={model}");
    burn_onnx::ModelGen::new().input(model).out_dir("model/").run_from_script();
}
