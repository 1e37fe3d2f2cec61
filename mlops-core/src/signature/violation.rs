//! The ways in which tensors can contradict a signature.

use std::fmt;

use super::{Dimension, Dimensions, TensorSpec};
use crate::DType;

/// Which side of a model a tensor is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// What the model takes.
    Input,
    /// What the model gives.
    Output,
}

/// One way in which tensors contradict a [`Signature`](super::Signature).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// A required tensor is not there.
    Missing {
        /// Which side.
        direction: Direction,
        /// What should be there.
        expected: TensorSpec,
    },
    /// A tensor is there that the signature does not know.
    Unknown {
        /// Which side.
        direction: Direction,
        /// Its name.
        tensor: String,
        /// The names the signature knows.
        known: Vec<String>,
    },
    /// The elements are of another type.
    DType {
        /// Which side.
        direction: Direction,
        /// Its name.
        tensor: String,
        /// The type demanded.
        expected: DType,
        /// The type found.
        actual: DType,
    },
    /// The rank, or the length of a fixed dimension, differs.
    Shape {
        /// Which side.
        direction: Direction,
        /// Its name.
        tensor: String,
        /// The shape demanded.
        expected: Vec<Dimension>,
        /// The shape found.
        actual: Vec<usize>,
    },
    /// Two tensors disagree on the number of rows.
    Batch {
        /// Which side.
        direction: Direction,
        /// Its name.
        tensor: String,
        /// Its rows.
        actual: usize,
        /// The tensor it disagrees with.
        other: String,
        /// The rows of that one.
        expected: usize,
    },
    /// A NaN or an infinity where only finite values are allowed.
    NotFinite {
        /// Which side.
        direction: Direction,
        /// Its name.
        tensor: String,
        /// The first such element, in row-major order.
        index: usize,
    },
}

/// Every [`Violation`] of one check; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violations(Vec<Violation>);

impl Violations {
    pub(super) fn new(violations: Vec<Violation>) -> Self {
        Self(violations)
    }

    /// The violations, in the order of the signature.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Violation> {
        self.0.iter()
    }
}

impl std::error::Error for Violations {}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Input => "input",
            Self::Output => "output",
        })
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { direction, expected } => {
                write!(f, "{direction} `{}` is missing (expected {expected})", expected.name())
            }
            Self::Unknown { direction, tensor, known } => {
                let verb = match direction {
                    Direction::Input => "takes",
                    Direction::Output => "gives",
                };
                write!(f, "{direction} `{tensor}` is unknown (the model {verb} `{}`)", known.join("`, `"))
            }
            Self::DType { direction, tensor, expected, actual } => {
                write!(f, "{direction} `{tensor}` has data type {actual}, expected {expected}")
            }
            Self::Shape { direction, tensor, expected, actual } => {
                let expected = Dimensions(expected);
                write!(f, "{direction} `{tensor}` has shape {actual:?}, expected {expected}")
            }
            Self::Batch { direction, tensor, actual, other, expected } => {
                write!(f, "{direction} `{tensor}` has {actual} rows, but `{other}` has {expected}")
            }
            Self::NotFinite { direction, tensor, index } => write!(
                f,
                "{direction} `{tensor}` has a NaN or infinity at element {index}, which is forbidden"
            ),
        }
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, violation) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{violation}")?;
        }
        Ok(())
    }
}
