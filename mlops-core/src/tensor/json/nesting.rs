//! The shape that nested arrays have.

use super::super::TensorError;

/// The lengths of the nested arrays, and proof that they are not ragged.
#[derive(Default)]
pub(super) struct Nesting {
    /// By depth; an array is seen when it closes, so inner lengths come first.
    lengths: Vec<Option<usize>>,
    /// The depth of the scalars: the number of arrays around each.
    leaf: Option<usize>,
}

impl Nesting {
    pub(super) fn scalar(&mut self, depth: usize) -> Result<(), TensorError> {
        let leaf = *self.leaf.get_or_insert(depth);
        let beside_an_array = matches!(self.lengths.get(depth), Some(Some(_)));
        if leaf != depth || beside_an_array {
            return Err(TensorError::Ragged { depth: leaf.min(depth), expected: 1, actual: 0 });
        }
        Ok(())
    }

    pub(super) fn array(&mut self, depth: usize, length: usize) -> Result<(), TensorError> {
        if self.lengths.len() <= depth {
            self.lengths.resize(depth + 1, None);
        }
        let expected = *self.lengths[depth].get_or_insert(length);
        let beside_a_scalar = self.leaf.is_some_and(|leaf| depth >= leaf);
        if expected != length || beside_a_scalar {
            return Err(TensorError::Ragged { depth, expected, actual: length });
        }
        Ok(())
    }

    pub(super) fn shape(&self) -> Vec<usize> {
        self.lengths.iter().map_while(|length| *length).collect()
    }
}
