//! With the feature `generated`: turns the models into Rust by burn-onnx.

fn main() {
    #[cfg(feature = "generated")]
    generated::write();
}

#[cfg(feature = "generated")]
mod generated {
    use std::path::Path;

    /// Those that `src/peer/generated.rs` can call. burn-onnx has no tree ensembles.
    const MODELS: [&str; 6] = ["bert", "heavy_mlp", "lstm", "mlp", "mobilenet_v2", "resnet18"];

    pub fn write() {
        println!("cargo::rerun-if-env-changed=MLOPS_BENCH_MODELS");
        let folder = std::env::var("MLOPS_BENCH_MODELS").expect(
            "MLOPS_BENCH_MODELS is not set: let it name the folder that \
             `scripts/reference/generate.py FOLDER --bench` has written",
        );
        for model in MODELS {
            let file = Path::new(&folder).join(model).join("model.onnx");
            // The generated file is named after the one it is made from.
            let named = Path::new(&std::env::var("OUT_DIR").expect("cargo sets OUT_DIR"))
                .join(format!("{model}.onnx"));
            std::fs::copy(&file, &named).unwrap_or_else(|cause| panic!("{}: {cause}", file.display()));
            println!("cargo::rerun-if-changed={}", file.display());
            let named = named.to_str().expect("OUT_DIR is UTF-8");
            burn_onnx::ModelGen::new().input(named).out_dir("models/").run_from_script();
        }
    }
}
