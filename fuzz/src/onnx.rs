//! Files for the ONNX engine: loaded, and run on zeros when that works.

use std::time::Duration;

use mlops_core::{DType, Dimension, Engine, Tensor, Tensors};
use mlops_serve::engine::Device;
use mlops_serve::engine::onnx::{OnnxEngine, OnnxOptions};

/// Loads a file and runs it on zeros. Whatever the file is, this must not panic.
pub fn load_and_run(file: &[u8]) {
    let options = OnnxOptions::new().with_largest_tensor(1 << 20).with_time_limit(Duration::from_millis(500));
    let loaded = OnnxEngine::load_with(bytes::Bytes::copy_from_slice(file), Device::Cpu, &options);
    if let Ok(engine) = loaded
        && let Some(inputs) = zeros(&engine)
    {
        let _ = engine.run(&inputs); // an answer or an error
        let _ = engine.run(&inputs); // with used memory, on the path for known shapes
    }
}

/// Zeros as inputs, of two rows; none when the file declares too many.
fn zeros(engine: &OnnxEngine) -> Option<Tensors> {
    let mut inputs = Tensors::new();
    for spec in engine.signature().inputs() {
        let lengths = spec.shape().iter().map(|dimension| match dimension {
            Dimension::Fixed(length) => *length,
            _ => 2,
        });
        let shape: Vec<usize> = lengths.collect();
        let count = shape.iter().try_fold(1_usize, |count, &length| count.checked_mul(length))?;
        if count > 1 << 16 {
            return None;
        }
        let tensor = match spec.dtype() {
            DType::Bytes => Tensor::from_byte_strings(&shape, vec![""; count]),
            dtype => Tensor::from_bytes(dtype, &shape, vec![0_u8; count * dtype.size()?]),
        };
        inputs = inputs.with(spec.name(), tensor.ok()?);
    }
    Some(inputs)
}
