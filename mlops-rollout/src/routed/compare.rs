//! Do two models say the same?

use mlops_core::reexports::half::{bf16, f16};
use mlops_core::{DType, Element, Tensor, Tensors};
use serde::{Deserialize, Serialize};

/// Says whether the outputs of a shadow agree with those that the caller got. Closures are comparers.
///
/// ```
/// use mlops_core::{Tensor, Tensors};
/// use mlops_rollout::{Comparer, Exact, SameArgmax, Within};
///
/// let scores = |scores: [f32; 3]| -> Result<_, mlops_core::TensorError> {
///     Ok(Tensors::new().with("scores", Tensor::from_vec(&[1, 3], scores.to_vec())?))
/// };
/// let (primary, shadow) = (scores([0.1, 0.7, 0.2])?, scores([0.1, 0.69, 0.21])?);
/// assert!(!Exact.agree(&primary, &shadow));
/// assert!(Within::new(0.02, 0.0).agree(&primary, &shadow));
/// assert!(SameArgmax.agree(&primary, &shadow));
/// # Ok::<(), mlops_core::TensorError>(())
/// ```
pub trait Comparer: Send + Sync + 'static {
    /// Whether the two agree.
    fn agree(&self, primary: &Tensors, shadow: &Tensors) -> bool;
}

/// The same names, types, shapes and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exact;

/// Floating-point elements within `absolute + relative · |primary|` of each other, NaN like NaN; all else
/// exact.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Within {
    absolute: f64,
    relative: f64,
}

/// The same largest element in each row of the last axis: for floating-point tensors of two and more
/// dimensions. Other tensors exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SameArgmax;

/// How often a shadow agreed with the answers that callers got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ShadowComparison {
    /// Requests that both answered.
    pub compared: u64,
    /// Requests to which the answers agreed.
    pub agreed: u64,
}

impl Within {
    /// Allows for a difference of `absolute` (in the unit of the output) plus a share `relative` of the
    /// primary's value.
    #[must_use]
    pub fn new(absolute: f64, relative: f64) -> Self {
        Self { absolute, relative }
    }

    fn near(&self, primary: f64, shadow: f64) -> bool {
        let tolerance = self.absolute + self.relative * primary.abs();
        primary == shadow || (primary.is_nan() && shadow.is_nan()) || (primary - shadow).abs() <= tolerance
    }
}

impl ShadowComparison {
    /// The share that agreed, 0 to 1; `None` before anything was compared.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        (self.compared > 0).then(|| self.agreed as f64 / self.compared as f64)
    }

    pub(super) fn add(&mut self, agreed: bool) {
        self.compared += 1;
        self.agreed += u64::from(agreed);
    }
}

impl Comparer for Exact {
    fn agree(&self, primary: &Tensors, shadow: &Tensors) -> bool {
        pairwise(primary, shadow, |one, other| one == other)
    }
}

impl Comparer for Within {
    fn agree(&self, primary: &Tensors, shadow: &Tensors) -> bool {
        pairwise(primary, shadow, |one, other| match (floats(one), floats(other)) {
            (Some(ones), Some(others)) => {
                same_form(one, other) && ones.iter().zip(&others).all(|(one, other)| self.near(*one, *other))
            }
            _ => one == other,
        })
    }
}

impl Comparer for SameArgmax {
    fn agree(&self, primary: &Tensors, shadow: &Tensors) -> bool {
        pairwise(primary, shadow, |one, other| match (floats(one), floats(other), one.shape()) {
            (Some(ones), Some(others), [_, .., classes]) if *classes > 0 => {
                let rows = |values: &[f64]| values.chunks(*classes).map(argmax).collect::<Vec<_>>();
                same_form(one, other) && rows(&ones) == rows(&others)
            }
            _ => one == other,
        })
    }
}

impl<F: Fn(&Tensors, &Tensors) -> bool + Send + Sync + 'static> Comparer for F {
    fn agree(&self, primary: &Tensors, shadow: &Tensors) -> bool {
        self(primary, shadow)
    }
}

fn pairwise(primary: &Tensors, shadow: &Tensors, same: impl Fn(&Tensor, &Tensor) -> bool) -> bool {
    primary.len() == shadow.len()
        && primary.iter().all(|(name, one)| shadow.get(name).is_some_and(|other| same(one, other)))
}

fn same_form(one: &Tensor, other: &Tensor) -> bool {
    (one.dtype(), one.shape()) == (other.dtype(), other.shape())
}

fn floats(tensor: &Tensor) -> Option<Vec<f64>> {
    fn all<T: Element + Copy>(tensor: &Tensor, widen: impl Fn(T) -> f64) -> Option<Vec<f64>> {
        Some(tensor.as_slice::<T>().ok()?.iter().map(|value| widen(*value)).collect())
    }
    match tensor.dtype() {
        DType::Fp16 => all(tensor, f16::to_f64),
        DType::Bf16 => all(tensor, bf16::to_f64),
        DType::Fp32 => all(tensor, |value: f32| f64::from(value)),
        DType::Fp64 => all(tensor, |value: f64| value),
        _ => None,
    }
}

/// The first of the largest; a row with a NaN has its place there, as in numpy.
fn argmax(row: &[f64]) -> usize {
    let mut best = 0;
    for (index, value) in row.iter().enumerate() {
        if value.is_nan() {
            return index;
        }
        if *value > row[best] {
            best = index;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(shape: &[usize], values: &[f32]) -> Tensors {
        Tensors::new().with("y", Tensor::from_vec(shape, values.to_vec()).unwrap())
    }

    #[test]
    fn what_differs_in_form_never_agrees() {
        let row = of(&[1, 2], &[0.0, 1.0]);
        let column = of(&[2, 1], &[0.0, 1.0]);
        let renamed = Tensors::new().with("z", row.get("y").unwrap().clone());
        let more = row.clone().with("z", vec![1_i64]);
        let wider = Tensors::new().with("y", Tensor::from_vec(&[1, 2], vec![0.0_f64, 1.0]).unwrap());
        for other in [column, renamed, more, wider, Tensors::new()] {
            let comparers: [&dyn Comparer; 3] = [&Exact, &Within::new(9.0, 9.0), &SameArgmax];
            assert!(comparers.iter().all(|comparer| !comparer.agree(&row, &other)), "{other:?}");
        }
    }

    #[test]
    fn nan_is_like_nan_and_unlike_numbers() {
        let (nan, number) = (of(&[1, 2], &[f32::NAN, 1.0]), of(&[1, 2], &[0.5, 1.0]));
        assert!(Within::new(0.1, 0.0).agree(&nan, &nan));
        assert!(!Within::new(10.0, 0.0).agree(&nan, &number));
        assert!(!SameArgmax.agree(&nan, &number));
        assert!(SameArgmax.agree(&number, &of(&[1, 2], &[0.2, 0.3])));
    }
}
