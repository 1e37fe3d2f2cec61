//! Convolution, transposed and deformable convolution.

use super::Entry;

pub(super) const OPERATORS: &[Entry] = &[];
