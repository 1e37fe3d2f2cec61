//! Memory for the outputs of operators, used again from step to step and from call to call.

use super::tensor::Scalar;
use super::value::Value;

/// Fewer elements than this are left to the allocator, which is fast for them.
const SMALLEST: usize = 256;

/// Buffers that are free at the moment.
///
/// A model asks for the same lengths at every call, so after the first nothing is allocated but what leaves with the
/// outputs.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    free: Vec<Vec<f32>>,
    /// For a kernel to use as it likes during one step. It grows and never shrinks.
    pub(crate) scratch: Vec<f32>,
}

impl Memory {
    /// A buffer of that length **with any contents**: whoever takes it writes every element.
    pub(crate) fn floats(&mut self, length: usize) -> Vec<f32> {
        if length < SMALLEST {
            return vec![0.0; length];
        }
        let fits = self.free.iter().enumerate().filter(|(_, buffer)| buffer.capacity() >= length);
        let closest =
            fits.min_by_key(|(_, buffer)| buffer.capacity() - length + buffer.len().abs_diff(length));
        match closest.map(|(index, _)| index) {
            Some(index) => {
                let mut buffer = self.free.swap_remove(index);
                buffer.resize(length, 0.0);
                buffer
            }
            None => vec![0.0; length],
        }
    }

    /// Takes back the memory of a value that is needed no more, if nobody else has it.
    pub(crate) fn recycle(&mut self, value: Value) {
        let Value::Tensor(tensor) = value else { return };
        if tensor.len() < SMALLEST {
            return;
        }
        if let Ok(buffer) = f32::take(tensor.into_parts().1)
            && let Some(buffer) = buffer.into_unshared()
        {
            self.free.push(buffer);
        }
    }
}
