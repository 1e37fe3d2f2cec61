//! Triton, from the wheel `nvidia-pytriton`, with ONNX Runtime.

use std::path::{Path, PathBuf};

use clap::Args;
use tokio::process::Command;

use crate::sample::{Named, Sample};
use crate::server::{LARGEST_BATCH, Ports};
use crate::{Failure, MODEL_NAME};

/// Where Triton is.
#[derive(Debug, Clone, Args)]
pub struct Installation {
    /// The program `tritonserver`. `setup` gets one.
    #[arg(long, requires = "triton_backends")]
    triton: Option<PathBuf>,
    /// The folder with Triton's backends; it has `onnxruntime/libtriton_onnxruntime.so`.
    #[arg(long, requires = "triton")]
    triton_backends: Option<PathBuf>,
    /// ONNX Runtime's shared library, for the backend that `setup` builds.
    #[arg(long, requires = "triton")]
    onnxruntime: Option<PathBuf>,
}

/// Triton, as it is started.
#[derive(Debug, Clone)]
pub struct Triton {
    program: PathBuf,
    backends: PathBuf,
    onnxruntime: Option<PathBuf>,
    /// With dynamic batching: instances that are free take all requests that wait.
    pub batched: bool,
}

/// One for each core, as its users set it where throughput counts; each call on one thread.
const INSTANCES: usize = 2;

impl Installation {
    /// Without and with dynamic batching, where Triton is there at all.
    pub fn variants(&self) -> Option<[Triton; 2]> {
        let Self { triton, triton_backends, onnxruntime } = self.clone();
        let (program, backends) = (triton?, triton_backends?);
        let variant = |batched| Triton {
            program: program.clone(),
            backends: backends.clone(),
            onnxruntime: onnxruntime.clone(),
            batched,
        };
        Some([variant(false), variant(true)])
    }
}

impl Triton {
    /// Starts it on a model repository that is written to `folder`.
    pub fn command(&self, sample: &Sample, ports: Ports, folder: &Path) -> Result<Command, Failure> {
        let model = folder.join("repository").join(MODEL_NAME);
        std::fs::create_dir_all(model.join("1"))?;
        std::fs::copy(&sample.model, model.join("1").join("model.onnx"))?;
        std::fs::write(model.join("config.pbtxt"), self.configuration(sample))?;
        let mut command = Command::new(&self.program);
        command
            .arg("--model-repository")
            .arg(folder.join("repository"))
            .arg("--backend-directory")
            .arg(&self.backends)
            .args(["--http-address", "127.0.0.1", "--http-port", &ports.http.to_string()])
            .args(["--grpc-address", "127.0.0.1", "--grpc-port", &ports.grpc.to_string()])
            .args(["--allow-metrics", "false", "--disable-auto-complete-config"]);
        if let Some(library) = &self.onnxruntime {
            command.env("ORT_DYLIB_PATH", library);
        }
        Ok(command)
    }

    /// The [model configuration](https://github.com/triton-inference-server/server/blob/main/docs/user_guide/model_configuration.md).
    fn configuration(&self, sample: &Sample) -> String {
        let tensor = |Named { name, row }: &Named| {
            format!(r#"[{{ name: "{name}" data_type: TYPE_FP32 dims: [ {} ] }}]"#, row.len())
        };
        let (input, output) = (tensor(&sample.input), tensor(&sample.output));
        let batching = if self.batched { "dynamic_batching { }" } else { "" };
        format!(
            r#"backend: "onnxruntime"
max_batch_size: {LARGEST_BATCH}
input {input}
output {output}
instance_group [{{ kind: KIND_CPU count: {INSTANCES} }}]
parameters {{ key: "intra_op_thread_count" value: {{ string_value: "1" }} }}
{batching}
"#
        )
    }
}
