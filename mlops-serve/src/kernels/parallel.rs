//! Threads of an engine. (Placeholder until the kernels are merged.)

/// The calling thread.
#[derive(Clone, Debug)]
pub(crate) struct Threads;

impl Threads {
    pub(crate) fn single() -> Self {
        Self
    }

    pub(crate) fn new(_count: usize) -> Result<Self, String> {
        Ok(Self)
    }

    pub(crate) fn count(&self) -> usize {
        1
    }
}
