//! By order: which class is first, which items are among the first.

use std::num::NonZero;

use mlops_core::{Error, Result, Tensor};

use super::{Agreement, Comparer, Exact, floats, same_form};

/// The same largest element in each row of the last axis: for floating-point tensors of two and more
/// dimensions. Other tensors exact. How far apart: the share of the rows that differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SameArgmax;

/// The same first `k` in each row of the last axis, for tensors of two and more dimensions: the indices of
/// the `k` largest of floating-point scores (the earlier of equals, NaN before all numbers), or the first
/// `k` elements of a tensor of any other type, such as the ids of what is recommended, best first. Tensors
/// of fewer dimensions exact.
///
/// Unless [`in_order`](Self::in_order), it does not matter at which of the `k` places they are. How far
/// apart: 1 less the overlap of the row where that is least.
///
/// ```
/// use mlops_core::Tensor;
/// use mlops_rollout::{Agreement, Comparer, TopK};
///
/// let ids = |ids: [i64; 4]| Tensor::from_vec(&[1, 4], ids.to_vec());
/// let (primary, shadow) = (ids([7, 3, 9, 1])?, ids([3, 7, 5, 9])?);
/// let lists = TopK::new(4)?.with_overlap(0.75)?;
/// assert_eq!(lists.compare(&primary, &shadow), Agreement::Agrees(0.25));
/// assert_eq!(lists.in_order().compare(&primary, &shadow), Agreement::Disagrees(1.0));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TopK {
    k: NonZero<usize>,
    overlap: f64,
    ordered: bool,
}

impl TopK {
    /// All of the first `k` are the same.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when `k` is 0.
    pub fn new(k: usize) -> Result<Self> {
        let k = NonZero::new(k).ok_or_else(|| {
            Error::invalid_input("the first 0 of two rankings cannot be compared; k is 1 at least")
        })?;
        Ok(Self { k, overlap: 1.0, ordered: false })
    }

    /// A share `overlap` of the first `k`, 0 to 1, is enough. A ranking shorter than `k` is taken whole.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when it is no number from 0 to 1.
    pub fn with_overlap(self, overlap: f64) -> Result<Self> {
        if (0.0..=1.0).contains(&overlap) {
            return Ok(Self { overlap, ..self });
        }
        Err(Error::invalid_input(format!(
            "{overlap} is no share of the first {}; it goes from 0 to 1",
            self.k
        )))
    }

    /// What counts is the share of the `k` places that hold the same.
    #[must_use]
    pub fn in_order(self) -> Self {
        Self { ordered: true, ..self }
    }

    /// The overlap of the row where that is least; `None` where indices do not mean the same.
    fn least(self, primary: &Tensor, length: usize, shadow: &Tensor, other_length: usize) -> Option<f64> {
        let k = self.k.get();
        let scores = (floats(primary), floats(shadow));
        if scores.0.is_some() && length != other_length {
            return None;
        }
        if primary.is_empty() || shadow.is_empty() {
            return Some(if primary.len() == shadow.len() { 1.0 } else { 0.0 });
        }
        if let (Some(ones), Some(others)) = scores {
            let rows = ones.chunks(length).zip(others.chunks(length));
            let overlaps =
                rows.map(|(one, other)| overlap(&largest(one, k), &largest(other, k), self.ordered));
            return Some(overlaps.fold(1.0, f64::min));
        }
        let (ones, others) = (elements(primary)?, elements(shadow)?);
        let rows = ones.chunks(length).zip(others.chunks(other_length));
        let overlaps = rows.map(|(one, other)| overlap(first(one, k), first(other, k), self.ordered));
        Some(overlaps.fold(1.0, f64::min))
    }
}

impl Comparer for SameArgmax {
    fn compare(&self, primary: &Tensor, shadow: &Tensor) -> Agreement {
        let (Some(ones), Some(others), [_, .., classes]) = (floats(primary), floats(shadow), primary.shape())
        else {
            return Exact.compare(primary, shadow);
        };
        if *classes == 0 {
            return Exact.compare(primary, shadow);
        }
        if !same_form(primary, shadow) {
            return Agreement::Incomparable;
        }
        let rows = ones.chunks(*classes).zip(others.chunks(*classes));
        let (count, differing) = rows.fold((0_u32, 0_u32), |(count, differing), (one, other)| {
            (count + 1, differing + u32::from(largest(one, 1) != largest(other, 1)))
        });
        match differing {
            0 => Agreement::Agrees(0.0),
            _ => Agreement::Disagrees(f64::from(differing) / f64::from(count)),
        }
    }
}

impl Comparer for TopK {
    fn compare(&self, primary: &Tensor, shadow: &Tensor) -> Agreement {
        let ([rows @ .., length], [other_rows @ .., other_length]) = (primary.shape(), shadow.shape()) else {
            return Exact.compare(primary, shadow);
        };
        if rows.is_empty() {
            return Exact.compare(primary, shadow);
        }
        if primary.dtype() != shadow.dtype() || rows != other_rows {
            return Agreement::Incomparable;
        }
        let Some(least) = self.least(primary, *length, shadow, *other_length) else {
            return Agreement::Incomparable;
        };
        if least >= self.overlap { Agreement::Agrees(1.0 - least) } else { Agreement::Disagrees(1.0 - least) }
    }
}

/// The bytes of each element.
fn elements(tensor: &Tensor) -> Option<Vec<&[u8]>> {
    match tensor.dtype().size() {
        Some(size) => Some(tensor.as_bytes().chunks(size).collect()),
        None => Some(tensor.byte_strings().ok()?.collect()),
    }
}

fn first<T>(row: &[T], k: usize) -> &[T] {
    row.get(..k).unwrap_or(row)
}

/// The indices of the `k` largest, the largest first.
fn largest(scores: &[f64], k: usize) -> Vec<usize> {
    let score = |index: &usize| scores.get(*index).copied().unwrap_or(f64::NAN);
    let order = |one: &usize, other: &usize| {
        let (a, b) = (score(one), score(other));
        let by_score = b.partial_cmp(&a).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()));
        by_score.then(one.cmp(other))
    };
    match k {
        1 => (0..scores.len()).min_by(order).into_iter().collect(),
        _ => {
            let mut indices: Vec<usize> = (0..scores.len()).collect();
            if k < indices.len() {
                indices.select_nth_unstable_by(k, order);
                indices.truncate(k);
            }
            indices.sort_unstable_by(order);
            indices
        }
    }
}

/// The share of the places of the longer ranking that is in the other too. Nothing overlaps with nothing.
fn overlap<T: PartialEq>(one: &[T], other: &[T], ordered: bool) -> f64 {
    let places = one.len().max(other.len());
    if places == 0 {
        return 1.0;
    }
    let common = if ordered {
        one.iter().zip(other).filter(|(one, other)| one == other).count()
    } else {
        let mut rest: Vec<&T> = other.iter().collect();
        let found = one.iter().filter(|item| {
            let place = rest.iter().position(|known| known == item);
            place.map(|place| rest.swap_remove(place)).is_some()
        });
        found.count()
    };
    common as f64 / places as f64
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use proptest::prelude::*;

    use super::*;

    fn rows<const CLASSES: usize>(rows: &[[f32; CLASSES]]) -> Tensor {
        Tensor::from_vec(&[rows.len(), CLASSES], rows.concat()).unwrap()
    }

    #[test]
    fn the_first_of_the_largest_counts_and_nan_is_the_largest() {
        let number = rows(&[[0.5, 1.0]]);
        assert_eq!(SameArgmax.compare(&number, &rows(&[[0.2, 0.3]])), Agreement::Agrees(0.0));
        assert_eq!(SameArgmax.compare(&rows(&[[1.0, 1.0]]), &rows(&[[2.0, 1.0]])), Agreement::Agrees(0.0));
        assert_eq!(SameArgmax.compare(&rows(&[[f32::NAN, 1.0]]), &number), Agreement::Disagrees(1.0));
        let two = rows(&[[0.0, 1.0], [1.0, 0.0]]);
        assert_eq!(SameArgmax.compare(&two, &rows(&[[0.0, 1.0], [0.0, 1.0]])), Agreement::Disagrees(0.5));
        assert_eq!(SameArgmax.compare(&rows::<3>(&[]), &rows::<3>(&[])), Agreement::Agrees(0.0));
        let flat = Tensor::from(vec![0.0_f32, 1.0]);
        assert!(!SameArgmax.compare(&flat, &Tensor::from(vec![0.5_f32, 1.0])).agrees());
    }

    #[test]
    fn the_first_k_are_compared_as_a_set_or_in_order() {
        let (one, other) = (rows(&[[0.9, 0.8, 0.1, 0.0]]), rows(&[[0.8, 0.9, 0.0, 0.1]]));
        let two = TopK::new(2).unwrap();
        assert_eq!(two.compare(&one, &other), Agreement::Agrees(0.0));
        assert_eq!(two.in_order().compare(&one, &other), Agreement::Disagrees(1.0));
        assert_eq!(TopK::new(3).unwrap().compare(&one, &other), Agreement::Disagrees(1.0 - 2.0 / 3.0));
        let most = TopK::new(3).unwrap().with_overlap(2.0 / 3.0).unwrap();
        assert_eq!(most.compare(&one, &other), Agreement::Agrees(1.0 - 2.0 / 3.0));
        assert_eq!(TopK::new(9).unwrap().compare(&one, &other), Agreement::Agrees(0.0));
        let worst_row = (rows(&[[1.0, 0.0], [1.0, 0.0]]), rows(&[[1.0, 0.0], [0.0, 1.0]]));
        assert_eq!(TopK::new(1).unwrap().compare(&worst_row.0, &worst_row.1), Agreement::Disagrees(1.0));
    }

    #[test]
    fn rankings_by_id_may_differ_in_length_and_repeat_themselves() {
        let ids = |ids: &[&str]| Tensor::from_byte_strings(&[1, ids.len()], ids).unwrap();
        let three = TopK::new(3).unwrap();
        assert_eq!(
            three.compare(&ids(&["a", "b", "c"]), &ids(&["c", "a", "b", "z"])),
            Agreement::Agrees(0.0)
        );
        assert_eq!(
            three.compare(&ids(&["a", "b"]), &ids(&["b", "a", "z"])),
            Agreement::Disagrees(1.0 - 2.0 / 3.0)
        );
        assert_eq!(
            three.compare(&ids(&["a", "a", "a"]), &ids(&["a", "b", "c"])),
            Agreement::Disagrees(1.0 - 1.0 / 3.0)
        );
        assert_eq!(three.compare(&ids(&[]), &ids(&["a"])), Agreement::Disagrees(1.0));
        assert_eq!(three.compare(&ids(&[]), &ids(&[])), Agreement::Agrees(0.0));
        assert_eq!(three.compare(&rows(&[[1.0, 0.0]]), &rows(&[[1.0, 0.0, 0.0]])), Agreement::Incomparable);
    }

    #[test]
    fn impossible_options_are_refused() {
        assert!(TopK::new(0).unwrap_err().to_string().contains("k is 1 at least"));
        for bad in [-0.1, 1.1, f64::NAN] {
            assert!(TopK::new(1).unwrap().with_overlap(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn the_k_largest_are_those_of_a_full_sort(
            scores in prop::collection::vec(prop_oneof![Just(f64::NAN), -2.0..2.0_f64, Just(0.0), Just(-0.0)], 0..20),
            k in 1..25_usize,
        ) {
            let mut sorted: Vec<usize> = (0..scores.len()).collect();
            let key = |index: usize| if scores[index].is_nan() { f64::INFINITY } else { scores[index] };
            sorted.sort_by(|one, other| key(*other).partial_cmp(&key(*one)).unwrap_or(Ordering::Equal));
            sorted.truncate(k);
            prop_assert_eq!(largest(&scores, k), sorted);
        }

        #[test]
        fn overlap_is_symmetric_and_no_less_than_in_order(
            one in prop::collection::vec(0..6_u8, 0..8),
            other in prop::collection::vec(0..6_u8, 0..8),
        ) {
            let both = overlap(&one, &other, false);
            prop_assert_eq!(both, overlap(&other, &one, false));
            prop_assert!((0.0..=1.0).contains(&both) && overlap(&one, &other, true) <= both);
            prop_assert_eq!(overlap(&one, &one, true), 1.0);
        }
    }
}
