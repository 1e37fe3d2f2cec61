//! The distribution of a feature, in as few numbers as a chart shows.

use serde::{Deserialize, Serialize};

use super::format::{number, percent};
use crate::{FeatureCounts, FeatureKind, FeatureProfile, Summary};

/// Bins of a chart.
const DRAWN: usize = 32;
/// A feature with at most so many values is shown value by value.
const VALUES: usize = 24;

/// The distribution of a feature, in the reference and now, in as few numbers as a chart shows.
///
/// Made of the counts of the fine bins. Where a bin of the chart ends inside of a fine bin, the values of that
/// one are taken to lie evenly in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Distribution {
    /// The bins.
    pub bins: Bins,
    /// The share of the reference in each bin, 0 to 1. With those beside the bins they add up to 1.
    pub reference: Vec<f64>,
    /// The share of the current values in each bin, 0 to 1.
    pub current: Vec<f64>,
    /// What is in no bin.
    pub beside: Vec<Beside>,
    /// What the finite values of the reference are like.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub summary: Option<Summary>,
}

/// What the bins of a [`Distribution`] are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Bins {
    /// As wide as each other.
    Ranges {
        /// Where the first begins.
        from: f64,
        /// Where the last ends.
        to: f64,
    },
    /// One per value.
    Values {
        /// The values.
        values: Vec<f64>,
    },
    /// One per category.
    Categories {
        /// The categories.
        names: Vec<String>,
    },
}

/// The share of what is in no bin.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Beside {
    /// What it is.
    pub place: Place,
    /// The share in the reference, 0 to 1.
    pub reference: f64,
    /// The share in the current values, 0 to 1.
    pub current: f64,
}

/// What is in no bin of a chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Place {
    /// In the reference's lower tail, below the chart.
    LowerTail,
    /// In the reference's upper tail, above the chart.
    UpperTail,
    /// Below every value of the reference.
    Below,
    /// Above every value of the reference.
    Above,
    /// Values or categories that the reference has, but seldom.
    Other,
    /// Values or categories that the reference does not have.
    New,
    /// No value.
    Missing,
}

impl Distribution {
    /// What `current`, counted in the bins of `feature`, looks like beside it.
    #[must_use]
    pub fn of(feature: &FeatureProfile, current: &FeatureCounts) -> Self {
        let reference = feature.counts();
        let mut drawn = match (feature.kind(), single_values(feature)) {
            (FeatureKind::Categorical, _) => by_category(feature, current),
            (_, Some(values)) => by_value(feature, current, values),
            (_, None) => by_range(feature, current),
        };
        drawn.add(Place::Missing, reference.missing as f64, current.missing as f64);
        drawn.finish(reference.total(), current.total());
        drawn.summary = feature.summary();
        drawn
    }

    /// The largest share of any bin, 0 to 1.
    pub(super) fn largest_share(&self) -> f64 {
        self.reference.iter().chain(&self.current).copied().fold(0.0, f64::max)
    }

    /// The largest share of what is in no bin, 0 to 1.
    pub(super) fn largest_beside(&self) -> f64 {
        self.beside.iter().flat_map(|beside| [beside.reference, beside.current]).fold(0.0, f64::max)
    }

    /// In words.
    pub(super) fn describe(&self) -> String {
        let mut text = match &self.bins {
            Bins::Ranges { from, to } => format!("Distribution from {} to {}.", number(*from), number(*to)),
            Bins::Values { values } => format!("Distribution over {} values.", values.len()),
            Bins::Categories { names } => format!("Distribution over {} categories.", names.len()),
        };
        for Beside { place, reference, current } in &self.beside {
            let (reference, current) = (percent(*reference), percent(*current));
            text += &format!(" {}: {reference} of the reference, {current} now.", place.label());
        }
        text
    }

    fn empty(bins: Bins, count: usize) -> Self {
        let (reference, current) = (vec![0.0; count], vec![0.0; count]);
        Self { bins, reference, current, beside: Vec::new(), summary: None }
    }

    /// Adds what is in no bin, if there is any.
    fn add(&mut self, place: Place, reference: f64, current: f64) {
        if reference > 0.0 || current > 0.0 {
            self.beside.push(Beside { place, reference, current });
        }
    }

    /// Makes shares of counts; five digits are more than a chart shows.
    fn finish(&mut self, reference: u64, current: u64) {
        let share = |count: &mut f64, total: u64| *count = (*count / total.max(1) as f64 * 1e5).round() / 1e5;
        self.reference.iter_mut().for_each(|count| share(count, reference));
        self.current.iter_mut().for_each(|count| share(count, current));
        for beside in &mut self.beside {
            share(&mut beside.reference, reference);
            share(&mut beside.current, current);
        }
    }
}

impl Bins {
    /// The names of bins that have names.
    pub(super) fn labels(&self) -> Vec<String> {
        match self {
            Self::Ranges { .. } => Vec::new(),
            Self::Values { values } => values.iter().map(|value| number(*value)).collect(),
            Self::Categories { names } => names.clone(),
        }
    }
}

impl Place {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::LowerTail => "lower tail",
            Self::UpperTail => "upper tail",
            Self::Below => "below range",
            Self::Above => "above range",
            Self::Other => "other",
            Self::New => "new",
            Self::Missing => "missing",
        }
    }
}

/// Whether a fine bin holds one value only.
fn is_single(edges: &[f64], bin: usize) -> bool {
    bin > 0 && bin < edges.len() && edges[bin - 1] == edges[bin].next_down()
}

/// The values of a reference that has few.
fn single_values(feature: &FeatureProfile) -> Option<Vec<usize>> {
    let edges = feature.edges();
    let used = feature.counts().bins.iter().enumerate().filter(|(_, count)| **count > 0);
    let used: Vec<usize> = used.map(|(bin, _)| bin).collect();
    let few = !used.is_empty() && used.len() <= VALUES && used.iter().all(|bin| is_single(edges, *bin));
    few.then_some(used)
}

/// A bin per named category.
fn by_category(feature: &FeatureProfile, current: &FeatureCounts) -> Distribution {
    let names = feature.categories().to_vec();
    let count = names.len();
    let mut drawn = Distribution::empty(Bins::Categories { names }, count);
    let number =
        |counts: &FeatureCounts, bin: usize| counts.bins.get(bin).copied().unwrap_or_default() as f64;
    for bin in 0..count {
        drawn.reference[bin] = number(feature.counts(), bin);
        drawn.current[bin] = number(current, bin);
    }
    for (bin, place) in [(feature.other_bin(), Place::Other), (feature.new_bin(), Place::New)] {
        if let Some(bin) = bin {
            drawn.add(place, number(feature.counts(), bin), number(current, bin));
        }
    }
    drawn
}

/// A bin per value; all others are new.
fn by_value(feature: &FeatureProfile, current: &FeatureCounts, used: Vec<usize>) -> Distribution {
    let (edges, reference) = (feature.edges(), &feature.counts().bins);
    let values = used.iter().map(|bin| edges[*bin]).collect();
    let mut drawn = Distribution::empty(Bins::Values { values }, used.len());
    let mut new = current.present() as f64;
    for (slot, bin) in used.into_iter().enumerate() {
        let count = current.bins.get(bin).copied().unwrap_or_default() as f64;
        drawn.reference[slot] = reference[bin] as f64;
        drawn.current[slot] = count;
        new -= count;
    }
    drawn.add(Place::New, 0.0, new);
    drawn
}

/// Bins of one width over the range of the reference, without its tails where they are long.
fn by_range(feature: &FeatureProfile, current: &FeatureCounts) -> Distribution {
    let edges = feature.edges();
    let [least, .., most] = edges else {
        let mut drawn = Distribution::empty(Bins::Values { values: edges.to_vec() }, edges.len());
        drawn.add(Place::New, feature.counts().present() as f64, current.present() as f64);
        return drawn;
    };
    let (from, to) = without_tails(edges, &feature.counts().bins, *least, *most);
    let mut drawn = Distribution::empty(Bins::Ranges { from, to }, DRAWN);
    let (mut low, mut high) = ([0.0; 2], [0.0; 2]);
    for (side, counts) in [&feature.counts().bins, &current.bins].into_iter().enumerate() {
        let drawn = if side == 0 { &mut drawn.reference } else { &mut drawn.current };
        for (bin, count) in counts.iter().enumerate().take(edges.len()).skip(1) {
            let (begin, end) = (edges[bin - 1], edges[bin]);
            let spread = Spread { begin, end, count: *count as f64 };
            low[side] += spread.between(f64::NEG_INFINITY, from);
            high[side] += spread.between(to, f64::INFINITY);
            spread.over(from, to, drawn);
        }
    }
    let outer = |counts: &FeatureCounts, bin: usize| counts.bins.get(bin).copied().unwrap_or_default() as f64;
    drawn.add(Place::Below, outer(feature.counts(), 0), outer(current, 0));
    drawn.add(Place::LowerTail, low[0], low[1]);
    drawn.add(Place::UpperTail, high[0], high[1]);
    drawn.add(Place::Above, outer(feature.counts(), edges.len()), outer(current, edges.len()));
    drawn
}

/// From where to where a chart shows: all of the reference, but of a tail that is longer than the rest is
/// wide only the 99 % before it.
fn without_tails(edges: &[f64], counts: &[u64], least: f64, most: f64) -> (f64, f64) {
    let total = counts.iter().fold(0_u64, |sum, count| sum.saturating_add(*count)) as f64;
    let mut below = 0.0;
    let (mut low, mut high) = (least, most);
    for (edge, count) in edges.iter().zip(counts) {
        below += *count as f64 / total.max(1.0);
        if below <= 0.01 {
            low = *edge;
        }
        if below >= 0.99 {
            high = high.min(*edge);
        }
    }
    let wide = high - low;
    let from = if low - least > wide { low } else { least };
    let to = if most - high > wide { high } else { most };
    if (to - from).is_finite() && from < to { (from, to) } else { (least / 4.0, most / 4.0) }
}

/// Values that are taken to lie evenly in `(begin, end]`.
struct Spread {
    begin: f64,
    end: f64,
    count: f64,
}

impl Spread {
    /// How many lie in `(from, to]`.
    fn between(&self, from: f64, to: f64) -> f64 {
        if self.begin.next_up() >= self.end {
            return if from < self.end && self.end <= to { self.count } else { 0.0 };
        }
        let overlap = self.end.min(to) - self.begin.max(from);
        if overlap <= 0.0 { 0.0 } else { self.count * (overlap / (self.end - self.begin)).min(1.0) }
    }

    /// Adds them to the bins of one width from `from` to `to`.
    fn over(&self, from: f64, to: f64, bins: &mut [f64]) {
        let width = (to - from) / bins.len() as f64;
        let place = |value: f64| ((value - from) / width).clamp(0.0, bins.len() as f64);
        let (first, last) = (place(self.begin).floor() as usize, place(self.end).ceil() as usize);
        let count = bins.len();
        for (index, bin) in bins.iter_mut().enumerate().take(last + 1).skip(first.saturating_sub(1)) {
            let begin = if index == 0 { from.next_down() } else { from + width * index as f64 };
            let end = if index + 1 == count { to } else { from + width * (index + 1) as f64 };
            *bin += self.between(begin, end);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn drawn(reference: &[f64], current: &[f64]) -> Distribution {
        let feature = FeatureProfile::new("x", reference).unwrap();
        let mut counts = FeatureCounts::zero(feature.counts().bins.len());
        for value in current {
            match feature.bin_of_number(*value) {
                Some(bin) => counts.bins[bin] += 1,
                None => counts.missing += 1,
            }
        }
        Distribution::of(&feature, &counts)
    }

    fn beside(distribution: &Distribution, place: Place) -> Option<(f64, f64)> {
        distribution
            .beside
            .iter()
            .find(|beside| beside.place == place)
            .map(|beside| (beside.reference, beside.current))
    }

    #[test]
    fn few_values_are_shown_one_by_one() {
        let distribution = drawn(&[0.0, 1.0, 1.0, 1.0], &[1.0, 0.5, 2.0, f64::NAN]);
        assert_eq!(distribution.bins, Bins::Values { values: vec![0.0, 1.0] });
        assert_eq!((distribution.reference, distribution.current), (vec![0.25, 0.75], vec![0.0, 0.25]));
        let distribution = drawn(&[0.0, 1.0, 1.0, 1.0], &[1.0, 0.5, 2.0, f64::NAN]);
        assert_eq!(beside(&distribution, Place::New), Some((0.0, 0.5)));
        assert_eq!(beside(&distribution, Place::Missing), Some((0.0, 0.25)));
    }

    #[test]
    fn categories_keep_their_names() {
        let feature = FeatureProfile::categorical("x", [Some("a"), Some("b"), Some("a"), None]).unwrap();
        let mut counts = FeatureCounts::zero(feature.counts().bins.len());
        counts.bins[feature.new_bin().unwrap()] = 3;
        counts.bins[1] = 1;
        let distribution = Distribution::of(&feature, &counts);
        assert_eq!(distribution.bins, Bins::Categories { names: vec!["a".to_owned(), "b".to_owned()] });
        assert_eq!((&*distribution.reference, &*distribution.current), (&[0.5, 0.25][..], &[0.0, 0.25][..]));
        assert_eq!(beside(&distribution, Place::New), Some((0.0, 0.75)));
        assert_eq!(beside(&distribution, Place::Missing), Some((0.25, 0.0)));
    }

    #[test]
    fn what_is_outside_of_the_range_is_beside_the_chart() {
        let reference: Vec<f64> = (0..1000).map(f64::from).collect();
        let distribution = drawn(&reference, &[-5.0, 500.0, 5000.0, f64::INFINITY]);
        assert_eq!(beside(&distribution, Place::Below), Some((0.0, 0.25)));
        assert_eq!(beside(&distribution, Place::Above), Some((0.0, 0.5)));
        assert!(distribution.reference.iter().all(|share| (share - 1.0 / 32.0).abs() < 2e-3));
    }

    #[test]
    fn a_long_tail_does_not_flatten_the_rest() {
        let reference: Vec<f64> = (0..1000).map(|i| if i == 999 { 1e9 } else { f64::from(i) }).collect();
        let distribution = drawn(&reference, &reference);
        let Bins::Ranges { to, .. } = distribution.bins else { panic!("{distribution:?}") };
        assert!(to < 1000.0);
        assert!(beside(&distribution, Place::UpperTail).is_some());
    }

    #[test]
    fn a_feature_without_a_value_has_no_bins() {
        let distribution = drawn(&[f64::NAN, f64::NAN], &[1.0]);
        assert_eq!(distribution.reference.len(), 0);
        assert_eq!(beside(&distribution, Place::New), Some((0.0, 1.0)));
    }

    proptest! {
        #[test]
        fn nothing_is_lost(
            reference in prop_oneof![
                prop::collection::vec(-1e3..1e3, 1..500),
                prop::collection::vec((-20_i8..20).prop_map(f64::from), 1..500),
                prop::collection::vec(any::<f64>(), 1..100),
            ],
            current in prop::collection::vec(any::<f64>(), 1..100),
        ) {
            let distribution = drawn(&reference, &current);
            for side in 0..2 {
                let bins = if side == 0 { &distribution.reference } else { &distribution.current };
                let beside = distribution.beside.iter().map(|b| if side == 0 { b.reference } else { b.current });
                let sum: f64 = bins.iter().copied().chain(beside).sum();
                prop_assert!((sum - 1.0).abs() < 1e-3, "{sum} {distribution:?}");
            }
            let json = serde_json::to_string(&distribution).unwrap();
            prop_assert_eq!(serde_json::from_str::<Distribution>(&json).unwrap(), distribution);
        }
    }
}
