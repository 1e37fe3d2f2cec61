//! Two sorted samples read as one.

/// The observations of two samples that share one value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TieGroup {
    pub(super) value: f64,
    /// How many of the first sample.
    pub(super) x: usize,
    /// How many of the second sample.
    pub(super) y: usize,
}

impl TieGroup {
    pub(super) fn len(&self) -> usize {
        self.x + self.y
    }
}

/// The distinct values of two sorted samples in ascending order; O(n + m).
pub(super) fn tie_groups<'a>(x: &'a [f64], y: &'a [f64]) -> impl Iterator<Item = TieGroup> + use<'a> {
    let (mut x, mut y) = (x, y);
    std::iter::from_fn(move || {
        let value = match (x.first(), y.first()) {
            (Some(&x), Some(&y)) => x.min(y),
            (Some(&value), None) | (None, Some(&value)) => value,
            (None, None) => return None,
        };
        let in_x = take_equal(&mut x, value);
        let in_y = take_equal(&mut y, value);
        Some(TieGroup { value, x: in_x, y: in_y })
    })
}

fn take_equal(values: &mut &[f64], value: f64) -> usize {
    let count = values.iter().take_while(|&&other| other == value).count();
    *values = &values[count..];
    count
}

/// `Σ (t³ - t)` over groups of `t` tied observations, the tie correction of rank tests.
pub(super) fn tie_term(groups: impl Iterator<Item = usize>) -> f64 {
    groups.map(|ties| ties as f64).map(|t| t * (t * t - 1.0)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_cover_both_samples_in_order() {
        let groups: Vec<_> =
            tie_groups(&[-0.0, 0.0, 2.0], &[0.0, 1.0]).map(|g| (g.value, g.x, g.y)).collect();
        assert_eq!(groups, [(0.0, 2, 1), (1.0, 0, 1), (2.0, 1, 0)]);
        assert_eq!(tie_groups(&[], &[]).count(), 0);
    }
}
