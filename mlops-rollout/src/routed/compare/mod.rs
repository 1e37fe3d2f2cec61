//! Do two models say the same?

mod comparisons;
mod distribution;
mod elements;
mod rankings;

use mlops_core::reexports::half::{bf16, f16};
use mlops_core::{DType, Element, Tensor, Tensors};

pub use comparisons::Comparisons;
pub(super) use distribution::Distributions;
pub use distribution::{DistributionReport, SameDistribution};
pub use elements::{Exact, Within};
pub use rankings::{SameArgmax, TopK};

/// Says whether two models agree in an output, and how far apart they are. Closures are comparers.
///
/// ```
/// use mlops_core::{Tensor, Tensors};
/// use mlops_rollout::{Agreement, Comparer, Exact, SameArgmax, Within};
///
/// let scores = |scores: [f32; 3]| Tensor::from_vec(&[1, 3], scores.to_vec());
/// let (primary, shadow) = (scores([0.125, 0.75, 0.25])?, scores([0.125, 0.5, 0.25])?);
/// assert_eq!(Exact.compare(&primary, &shadow), Agreement::Disagrees(1.0 / 3.0)); // a third of the elements
/// assert_eq!(Within::new(0.5, 0.0).compare(&primary, &shadow), Agreement::Agrees(0.25));
/// assert_eq!(SameArgmax.compare(&primary, &shadow), Agreement::Agrees(0.0));
///
/// let same_length = |primary: &Tensor, shadow: &Tensor| primary.len() == shadow.len();
/// assert!(same_length.compare(&primary, &shadow).agrees());
/// assert!(SameArgmax.agree(&Tensors::new().with("y", primary), &Tensors::new().with("y", shadow)));
/// # Ok::<(), mlops_core::TensorError>(())
/// ```
pub trait Comparer: Send + Sync + 'static {
    /// Compares one output: what the caller got with what the shadow said.
    fn compare(&self, primary: &Tensor, shadow: &Tensor) -> Agreement;

    /// Whether the two have outputs of the same names, and agree in each.
    fn agree(&self, primary: &Tensors, shadow: &Tensors) -> bool {
        primary.len() == shadow.len()
            && primary
                .iter()
                .all(|(name, one)| shadow.get(name).is_some_and(|other| self.compare(one, other).agrees()))
    }
}

/// What a [`Comparer`] says. How far apart two values are is a number from 0 on, whose unit is the comparer's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Agreement {
    /// They agree, that far apart.
    Agrees(f64),
    /// They disagree, that far apart.
    Disagrees(f64),
    /// They disagree, and no number says how far: another type or shape, NaN against a number, nothing
    /// against something.
    Incomparable,
}

impl Agreement {
    /// Whether they agree.
    #[must_use]
    pub fn agrees(self) -> bool {
        matches!(self, Self::Agrees(_))
    }

    /// How far apart they are, where a finite number says so.
    #[must_use]
    pub fn distance(self) -> Option<f64> {
        match self {
            Self::Agrees(distance) | Self::Disagrees(distance) => {
                Some(distance).filter(|far| far.is_finite())
            }
            Self::Incomparable => None,
        }
    }
}

/// Agreement is 0 apart, disagreement 1.
impl From<bool> for Agreement {
    fn from(agree: bool) -> Self {
        if agree { Self::Agrees(0.0) } else { Self::Disagrees(1.0) }
    }
}

impl<F, A> Comparer for F
where
    F: Fn(&Tensor, &Tensor) -> A + Send + Sync + 'static,
    A: Into<Agreement>,
{
    fn compare(&self, primary: &Tensor, shadow: &Tensor) -> Agreement {
        self(primary, shadow).into()
    }
}

fn same_form(one: &Tensor, other: &Tensor) -> bool {
    (one.dtype(), one.shape()) == (other.dtype(), other.shape())
}

/// The elements of a floating-point tensor.
fn floats(tensor: &Tensor) -> Option<Vec<f64>> {
    match tensor.dtype() {
        DType::Fp16 => widened(tensor, f16::to_f64),
        DType::Bf16 => widened(tensor, bf16::to_f64),
        DType::Fp32 => widened(tensor, |value: f32| f64::from(value)),
        DType::Fp64 => widened(tensor, |value: f64| value),
        _ => None,
    }
}

/// The elements of a tensor of numbers or truth values, to the precision of an `f64`.
fn numbers(tensor: &Tensor) -> Option<Vec<f64>> {
    match tensor.dtype() {
        DType::Bool => widened(tensor, |value: bool| f64::from(u8::from(value))),
        DType::Uint8 => widened(tensor, |value: u8| f64::from(value)),
        DType::Uint16 => widened(tensor, |value: u16| f64::from(value)),
        DType::Uint32 => widened(tensor, |value: u32| f64::from(value)),
        DType::Uint64 => widened(tensor, |value: u64| value as f64),
        DType::Int8 => widened(tensor, |value: i8| f64::from(value)),
        DType::Int16 => widened(tensor, |value: i16| f64::from(value)),
        DType::Int32 => widened(tensor, |value: i32| f64::from(value)),
        DType::Int64 => widened(tensor, |value: i64| value as f64),
        _ => floats(tensor),
    }
}

fn widened<T: Element + Copy>(tensor: &Tensor, widen: impl Fn(T) -> f64) -> Option<Vec<f64>> {
    Some(tensor.as_slice::<T>().ok()?.iter().map(|value| widen(*value)).collect())
}
