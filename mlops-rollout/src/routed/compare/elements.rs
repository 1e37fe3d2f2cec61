//! Element by element.

use mlops_core::Tensor;

use super::{Agreement, Comparer, floats, same_form};

/// The same type, shape and bytes. How far apart: the share of the elements that differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exact;

/// Floating-point elements within `absolute + relative · |primary|` of each other, NaN like NaN and an
/// infinity like itself only; all other types exact. How far apart: the largest difference of two elements.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Within {
    absolute: f64,
    relative: f64,
}

impl Within {
    /// Allows for a difference of `absolute` (in the unit of the output) plus a share `relative` of the
    /// primary's value.
    #[must_use]
    pub fn new(absolute: f64, relative: f64) -> Self {
        Self { absolute, relative }
    }

    /// How far apart, and whether that is allowed.
    fn apart(self, primary: f64, shadow: f64) -> (f64, bool) {
        if primary == shadow || (primary.is_nan() && shadow.is_nan()) {
            return (0.0, true);
        }
        let distance = (primary - shadow).abs();
        if distance.is_finite() {
            (distance, distance <= self.absolute + self.relative * primary.abs())
        } else {
            (f64::INFINITY, false)
        }
    }
}

impl Comparer for Exact {
    fn compare(&self, primary: &Tensor, shadow: &Tensor) -> Agreement {
        if primary == shadow {
            return Agreement::Agrees(0.0);
        }
        if !same_form(primary, shadow) {
            return Agreement::Incomparable;
        }
        let differing = match (primary.dtype().size(), primary.byte_strings(), shadow.byte_strings()) {
            (Some(size), ..) => {
                let pairs = primary.as_bytes().chunks(size).zip(shadow.as_bytes().chunks(size));
                pairs.filter(|(one, other)| one != other).count()
            }
            (None, Ok(ones), Ok(others)) => ones.zip(others).filter(|(one, other)| one != other).count(),
            (None, ..) => return Agreement::Incomparable,
        };
        Agreement::Disagrees(differing as f64 / primary.len() as f64)
    }
}

impl Comparer for Within {
    fn compare(&self, primary: &Tensor, shadow: &Tensor) -> Agreement {
        let (Some(ones), Some(others)) = (floats(primary), floats(shadow)) else {
            return Exact.compare(primary, shadow);
        };
        if !same_form(primary, shadow) {
            return Agreement::Incomparable;
        }
        let pairs = ones.iter().zip(&others).map(|(one, other)| self.apart(*one, *other));
        let (largest, near) = pairs
            .fold((0.0_f64, true), |(largest, all), (distance, near)| (largest.max(distance), all && near));
        match (near, largest.is_finite()) {
            (true, _) => Agreement::Agrees(largest),
            (false, true) => Agreement::Disagrees(largest),
            (false, false) => Agreement::Incomparable,
        }
    }
}

#[cfg(test)]
mod tests {
    use mlops_core::Tensors;
    use proptest::prelude::*;

    use super::*;
    use crate::routed::compare::{SameArgmax, TopK};

    fn of(shape: &[usize], values: &[f32]) -> Tensor {
        Tensor::from_vec(shape, values.to_vec()).unwrap()
    }

    #[test]
    fn what_differs_in_form_never_agrees() {
        let row = of(&[1, 2], &[0.0, 1.0]);
        let column = of(&[2, 1], &[0.0, 1.0]);
        let wider = Tensor::from_vec(&[1, 2], vec![0.0_f64, 1.0]).unwrap();
        let text = Tensor::from_byte_strings(&[1, 2], ["0", "1"]).unwrap();
        let comparers: [&dyn Comparer; 4] =
            [&Exact, &Within::new(9.0, 9.0), &SameArgmax, &TopK::new(2).unwrap()];
        for comparer in comparers {
            for other in [&column, &wider, &text] {
                assert_eq!(comparer.compare(&row, other), Agreement::Incomparable, "{other:?}");
            }
            let (whole, renamed) =
                (Tensors::new().with("y", row.clone()), Tensors::new().with("z", row.clone()));
            assert!(comparer.agree(&whole, &whole));
            assert!(!comparer.agree(&whole, &renamed) && !comparer.agree(&whole, &Tensors::new()));
            assert!(!comparer.agree(&whole, &whole.clone().with("z", vec![1_i64])));
        }
    }

    #[test]
    fn exact_counts_the_elements_that_differ() {
        let ints = |values: [i64; 4]| Tensor::from(values.to_vec());
        assert_eq!(Exact.compare(&ints([1, 2, 3, 4]), &ints([1, 9, 3, 9])), Agreement::Disagrees(0.5));
        let words = |words: [&str; 2]| Tensor::from_byte_strings(&[2], words).unwrap();
        assert_eq!(Exact.compare(&words(["a", "bc"]), &words(["ab", "c"])), Agreement::Disagrees(1.0));
        assert_eq!(Exact.compare(&words(["a", "b"]), &words(["a", "c"])), Agreement::Disagrees(0.5));
        assert_eq!(Within::new(9.0, 0.0).compare(&ints([1; 4]), &ints([2; 4])), Agreement::Disagrees(1.0));
    }

    #[test]
    fn nan_is_like_nan_and_unlike_numbers_and_an_infinity_is_like_itself() {
        let (nan, number) = (of(&[2], &[f32::NAN, 1.0]), of(&[2], &[0.5, 1.0]));
        let infinite = of(&[2], &[f32::INFINITY, 1.0]);
        let within = Within::new(10.0, 1.0);
        assert_eq!(within.compare(&nan, &nan), Agreement::Agrees(0.0));
        assert_eq!(within.compare(&nan, &number), Agreement::Incomparable);
        assert_eq!(within.compare(&number, &nan), Agreement::Incomparable);
        assert_eq!(within.compare(&infinite, &infinite), Agreement::Agrees(0.0));
        assert_eq!(within.compare(&infinite, &number), Agreement::Incomparable);
        assert_eq!(within.compare(&infinite, &of(&[2], &[f32::NEG_INFINITY, 1.0])), Agreement::Incomparable);
    }

    #[test]
    fn the_largest_difference_is_told_whether_allowed_or_not() {
        let (one, other) = (of(&[3], &[1.0, 2.0, 100.0]), of(&[3], &[1.5, 2.0, 101.0]));
        assert_eq!(Within::new(0.5, 0.01).compare(&one, &other), Agreement::Agrees(1.0));
        assert_eq!(Within::new(0.25, 0.01).compare(&one, &other), Agreement::Disagrees(1.0));
        assert_eq!(Within::new(f64::NAN, 0.0).compare(&one, &other), Agreement::Disagrees(1.0));
        assert_eq!(Within::new(0.0, 0.0).compare(&of(&[0], &[]), &of(&[0], &[])), Agreement::Agrees(0.0));
    }

    proptest! {
        #[test]
        fn a_wider_tolerance_never_loses_an_agreement(
            pairs in prop::collection::vec((any::<f32>(), any::<f32>()), 0..8),
            absolute in 0.0..10.0_f64,
            relative in 0.0..1.0_f64,
            more in 0.0..10.0_f64,
        ) {
            let (ones, others): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let (one, other) = (Tensor::from(ones), Tensor::from(others));
            let narrow = Within::new(absolute, relative).compare(&one, &other);
            let wide = Within::new(absolute + more, relative + more).compare(&one, &other);
            prop_assert!(wide.agrees() || !narrow.agrees());
            prop_assert_eq!(narrow.distance(), wide.distance());
            prop_assert!(Exact.compare(&one, &one).agrees());
            prop_assert!(narrow.agrees() || !Exact.compare(&one, &other).agrees());
        }
    }
}
