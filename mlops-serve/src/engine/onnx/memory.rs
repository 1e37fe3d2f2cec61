//! Memory for the outputs of operators, used again from step to step and from call to call.

use std::any::{Any, TypeId};

use mlops_core::{Error, Result};

use super::tensor::Scalar;
use super::value::Value;

/// Fewer elements than this are left to the allocator, which is fast for them.
const SMALLEST: usize = 256;

/// A tensor whose length follows from elements of others is refused beyond this many bytes: a few bytes could ask for
/// any amount, and the system would end the process instead of saying no.
const LARGEST: usize = 1 << 32;

/// Buffers that are free at the moment.
///
/// A model asks for the same lengths at every call, so after the first nothing is allocated but what leaves with the
/// outputs.
#[derive(Debug)]
pub(crate) struct Memory {
    free: Vec<Vec<f32>>,
    /// The most bytes of a [`vector`](Self::vector).
    largest: usize,
    /// For a kernel to use as it likes during one step. It grows and never shrinks.
    pub(crate) scratch: Vec<f32>,
}

impl Default for Memory {
    fn default() -> Self {
        Self::bounded(LARGEST)
    }
}

impl Memory {
    /// Memory that gives no [`vector`](Self::vector) of more than that many bytes.
    pub(crate) fn bounded(largest: usize) -> Self {
        Self { free: Vec::new(), largest, scratch: Vec::new() }
    }

    /// A buffer of that length **with any contents**: whoever takes it writes every element.
    pub(crate) fn floats(&mut self, length: usize) -> Vec<f32> {
        if length < SMALLEST {
            return vec![0.0; length];
        }
        match self.recycled(length) {
            Some(mut buffer) => {
                buffer.resize(length, 0.0);
                buffer
            }
            None => vec![0.0; length],
        }
    }

    /// An empty vector with room for that many elements.
    ///
    /// # Errors
    /// [`Error::Engine`] when memory does not suffice.
    pub(crate) fn vector<T: Scalar>(&mut self, capacity: usize) -> Result<Vec<T>> {
        let mut elements: Vec<T> = Vec::new();
        if capacity >= SMALLEST
            && let Some(floats) = (&mut elements as &mut dyn Any).downcast_mut::<Vec<f32>>()
            && let Some(mut buffer) = self.recycled(capacity)
        {
            buffer.clear();
            *floats = buffer;
        }
        let bytes = capacity.checked_mul(size_of::<T>()).filter(|&bytes| bytes <= self.largest);
        if bytes.is_none() || elements.try_reserve_exact(capacity).is_err() {
            return Err(does_not_fit(capacity));
        }
        Ok(elements)
    }

    /// A buffer of that length **with any contents**: whoever takes it writes every element.
    ///
    /// # Errors
    /// [`Error::Engine`] when memory does not suffice.
    pub(crate) fn buffer<T: Scalar + Copy>(&mut self, length: usize) -> Result<Vec<T>> {
        let bytes = length.checked_mul(size_of::<T>()).filter(|&bytes| bytes <= self.largest);
        if bytes.is_none() {
            return Err(does_not_fit(length));
        }
        let mut floats: Vec<f32> = Vec::new();
        if TypeId::of::<T>() == TypeId::of::<f32>() {
            floats = self.floats(length);
        }
        match (&mut floats as &mut dyn Any).downcast_mut::<Vec<T>>() {
            Some(elements) => Ok(std::mem::take(elements)),
            None => {
                let mut elements = self.vector(length)?;
                elements.resize(length, T::default());
                Ok(elements)
            }
        }
    }

    /// Appends elements to a vector.
    ///
    /// # Errors
    /// [`Error::Engine`] when memory does not suffice.
    pub(crate) fn extend<T: Scalar>(&self, elements: &mut Vec<T>, more: &[T]) -> Result<()> {
        let bytes = (elements.len() + more.len()).checked_mul(size_of::<T>());
        if bytes.is_none_or(|bytes| bytes > self.largest) || elements.try_reserve(more.len()).is_err() {
            let count = elements.len();
            return Err(Error::engine(format!(
                "a result of more than {count} elements does not fit in memory"
            )));
        }
        elements.extend_from_slice(more);
        Ok(())
    }

    /// The free buffer that fits best.
    fn recycled(&mut self, length: usize) -> Option<Vec<f32>> {
        let fits = self.free.iter().enumerate().filter(|(_, buffer)| buffer.capacity() >= length);
        let closest =
            fits.min_by_key(|(_, buffer)| buffer.capacity() - length + buffer.len().abs_diff(length));
        let index = closest.map(|(index, _)| index)?;
        Some(self.free.swap_remove(index))
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

fn does_not_fit(elements: usize) -> Error {
    Error::engine(format!("a result of {elements} elements does not fit in memory"))
}
