//! The reference distribution of one feature.

use std::borrow::Cow;
use std::collections::HashMap;

use mlops_core::{Error, Result};

use super::binning::Binning;
use super::categories::{Categories, Category, Named};
use super::grid::Grid;
use super::runs::Runs;
use crate::{FeatureCounts, ProfileOptions, Summary, TableColumn, Values, Words};

/// The reference distribution of one feature: bins, and how many values each holds.
///
/// # Numeric features
/// **Fine bins.** A feature with at most 200 distinct values has an edge at each of them, and the most
/// frequent ones (all, if they are at most 122) have a bin of their own, apart from new values beside them.
/// Any other has edges at its quantiles `k/200` (definition 7 of Hyndman & Fan, as in numpy), and a value so
/// frequent that it is two of them has a bin of its own. The outermost bins are open, and hold what lies
/// outside the range of the reference. Infinities fall there too.
///
/// **Coarse bins**, for the population stability index, are between the deciles; each is a union of fine
/// ones, so counting fine bins is enough for every test.
///
/// Missing values (NaN) are counted apart. Quantiles and summary are those of the finite values.
///
/// # Categorical features
/// One bin per category, the most frequent first ([`categories`](Self::categories), at most
/// [`ProfileOptions::named_categories`]); then [`other_bin`](Self::other_bin), categories that the reference has
/// beyond those; then [`new_bin`](Self::new_bin), categories that it does not have.
///
/// Categories are words, or numbers that stand for them (labels, codes, BOOL). Numbers are compared as numbers,
/// `3` and `3.0` are the same category, and named by the shortest text that reads back as the number. The empty
/// word is a missing value, as NaN is.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureProfile {
    name: String,
    binning: Binning,
    counts: FeatureCounts,
    summary: Option<Summary>,
    sample: Option<Box<[f64]>>,
    rank_error: f64,
}

/// What the values of a feature are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FeatureKind {
    /// Numbers, whose order and distance mean something.
    Numeric,
    /// Categories: words, or numbers that stand for them.
    Categorical,
}

/// The parts of a numeric feature.
pub(crate) struct NumericParts {
    pub(crate) grid: Grid,
    pub(crate) counts: FeatureCounts,
    pub(crate) summary: Option<Summary>,
    pub(crate) sample: Option<Vec<f64>>,
    pub(crate) rank_error: f64,
}

/// The values of a numeric feature: the finite ones, what they are like, and how many others there are.
pub(super) struct NumericSample {
    pub(super) runs: Runs,
    pub(super) summary: Option<Summary>,
    /// By how much shares of `runs` may be wrong.
    pub(super) rank_error: f64,
    pub(super) missing: u64,
    pub(super) below: u64,
    pub(super) above: u64,
}

/// Values that are in the counts of no category.
#[derive(Clone, Copy)]
pub(super) struct Uncounted {
    pub(super) missing: u64,
    /// Those of categories that were given up.
    pub(super) lost: u64,
}

impl FeatureProfile {
    /// The distribution of `values` that are numbers; NaN is a missing one.
    ///
    /// Sorts: O(n log n).
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when there is no value at all.
    pub fn new(name: impl Into<String>, values: &[f64]) -> Result<Self> {
        Self::numeric_with(name.into(), values, &ProfileOptions::default())
    }

    /// The distribution of `values` that are words; `None` and the empty word are missing ones.
    ///
    /// ```
    /// use mlops_monitor::FeatureProfile;
    ///
    /// let city = FeatureProfile::categorical("city", [Some("Oslo"), Some("Bergen"), None, Some("Oslo")])?;
    /// assert_eq!(city.categories(), ["Oslo", "Bergen"]);
    /// assert_eq!((city.counts().bins.as_slice(), city.counts().missing), (&[2, 1, 0, 0][..], 1));
    /// assert_eq!(city.bin_of_word("Bergen"), Some(1));
    /// assert_eq!(city.bin_of_word("Paris"), city.new_bin());
    /// assert_eq!(city.bin_of_word(""), None);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when there is no value at all.
    pub fn categorical<'a>(
        name: impl Into<String>,
        values: impl IntoIterator<Item = Option<&'a str>>,
    ) -> Result<Self> {
        Self::words_with(name.into(), &values.into_iter().collect(), &ProfileOptions::default())
    }

    /// The distribution of `values` that are numbers and stand for categories; NaN is a missing one.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when there is no value at all.
    pub fn categorical_numbers(name: impl Into<String>, values: &[f64]) -> Result<Self> {
        Self::codes_with(name.into(), values, &ProfileOptions::default())
    }

    pub(crate) fn numeric_with(name: String, values: &[f64], options: &ProfileOptions) -> Result<Self> {
        let of = |which: fn(f64) -> bool| values.iter().copied().filter(move |value| which(*value));
        let runs = Runs::of(of(f64::is_finite).collect());
        let sample = NumericSample {
            summary: Summary::of(&runs),
            runs,
            rank_error: 0.0,
            missing: of(f64::is_nan).count() as u64,
            below: of(|value| value == f64::NEG_INFINITY).count() as u64,
            above: of(|value| value == f64::INFINITY).count() as u64,
        };
        Self::of_sample(name, &sample, options)
    }

    /// The distribution of a numeric feature.
    pub(super) fn of_sample(name: String, sample: &NumericSample, options: &ProfileOptions) -> Result<Self> {
        let NumericSample { runs, summary, rank_error, missing, below, above } = sample;
        let range = summary.map(|summary| (summary.min, summary.max));
        let grid = Grid::of(runs, range)
            .map_err(|error| Error::internal(format!("no bins for feature `{name}`")).with_source(error))?;
        let mut counts = FeatureCounts::zero(grid.bins());
        counts.missing = *missing;
        counts.bins[0] += below;
        counts.bins[grid.bins() - 1] += above;
        runs.as_slice().iter().for_each(|(value, count)| counts.bins[grid.bin(*value)] += count);
        if counts.total() == 0 {
            return Err(empty(&name));
        }
        let few = (1..=options.sample as u64).contains(&runs.total());
        let whole = below + above == 0 && *rank_error == 0.0;
        let sample = (few && whole).then(|| runs.values().collect());
        let (summary, rank_error) = (*summary, *rank_error);
        Ok(Self { name, binning: Binning::Numeric(grid), counts, summary, sample, rank_error })
    }

    /// The distribution of a column: of numbers, unless they stand for categories, or of words.
    pub(crate) fn of_column(
        name: &str,
        column: &TableColumn,
        categorical: bool,
        options: &ProfileOptions,
    ) -> Result<Self> {
        let name = name.to_owned();
        match column.values() {
            Values::Numbers(numbers) if categorical => Self::codes_with(name, numbers, options),
            Values::Numbers(numbers) => Self::numeric_with(name, numbers, options),
            Values::Words(words) => Self::words_with(name, words, options),
        }
    }

    fn words_with(name: String, words: &Words, options: &ProfileOptions) -> Result<Self> {
        let mut counts = vec![0; words.dictionary().len()];
        words.codes().flatten().for_each(|code| counts[code] += 1);
        let distinct = words.dictionary().iter().zip(counts);
        let distinct: Vec<(Cow<'_, str>, u64)> = distinct
            .filter(|(word, count)| !word.is_empty() && *count > 0)
            .map(|(word, count)| (word.into(), count))
            .collect();
        let present: u64 = distinct.iter().map(|(_, count)| count).sum();
        let missing = words.len() as u64 - present;
        Self::of_distinct(name, distinct, Uncounted { missing, lost: 0 }, options)
    }

    pub(crate) fn codes_with(name: String, values: &[f64], options: &ProfileOptions) -> Result<Self> {
        let (mut distinct, mut missing) = (HashMap::<u64, u64>::new(), 0);
        for value in values {
            if value.is_nan() {
                missing += 1;
            } else {
                *distinct.entry((value + 0.0).to_bits()).or_default() += 1;
            }
        }
        let distinct = distinct.into_iter().map(|(bits, count)| (f64::from_bits(bits), count)).collect();
        Self::of_distinct(name, distinct, Uncounted { missing, lost: 0 }, options)
    }

    /// The distribution of categories, from how often each distinct one comes.
    pub(super) fn of_distinct<K: Category>(
        name: String,
        distinct: Vec<(K, u64)>,
        Uncounted { missing, lost }: Uncounted,
        options: &ProfileOptions,
    ) -> Result<Self> {
        if distinct.is_empty() && missing == 0 {
            return Err(empty(&name));
        }
        let (categories, counts) = Categories::of(distinct, missing, lost, options);
        let binning = Binning::Categorical(categories);
        Ok(Self { name, binning, counts, summary: None, sample: None, rank_error: 0.0 })
    }

    /// Puts a numeric feature together from its stored parts; says what is wrong with them.
    pub(crate) fn from_numeric(name: String, parts: NumericParts) -> Result<Self, String> {
        let NumericParts { grid, counts, summary, sample, rank_error } = parts;
        let fault = if counts.bins.len() != grid.bins() {
            format!("has {} counts for {} bins", counts.bins.len(), grid.bins())
        } else if counts.checked_total().is_none() {
            "has counts that overflow".to_owned()
        } else if summary.is_some_and(|summary| !summary.is_sound()) {
            "has an impossible summary".to_owned()
        } else if summary.is_none() != grid.edges().is_empty() {
            "has bins without a summary or a summary without bins".to_owned()
        } else if sample.as_ref().is_some_and(|sample| !is_sample_of(sample, &grid, &counts)) {
            "has values that do not fit their counts".to_owned()
        } else if !(0.0..1.0).contains(&rank_error) {
            "has an impossible rank error".to_owned()
        } else {
            let binning = Binning::Numeric(grid);
            return Ok(Self { name, binning, counts, summary, sample: sample.map(Into::into), rank_error });
        };
        Err(format!("feature `{name}` {fault}"))
    }

    /// Puts a categorical feature together from its stored parts; says what is wrong with them.
    pub(crate) fn from_categories(
        name: String,
        categories: Categories,
        counts: FeatureCounts,
    ) -> Result<Self, String> {
        let (bins, other) = (&counts.bins, categories.other());
        let fault = if bins.len() != categories.bins() {
            format!("has {} counts for {} bins", bins.len(), categories.bins())
        } else if counts.checked_total().is_none() {
            "has counts that overflow".to_owned()
        } else if !bins[..other].is_sorted_by(|a, b| a >= b) || bins[..other].contains(&0) {
            "has categories that are not in the order of their counts, or have none".to_owned()
        } else if bins[other + 1] != 0 {
            "has categories that are new to itself".to_owned()
        } else if (bins[other] > 0) != (!categories.known().is_empty() || !categories.is_complete()) {
            "counts other categories, but knows none, or the reverse".to_owned()
        } else {
            let binning = Binning::Categorical(categories);
            return Ok(Self { name, binning, counts, summary: None, sample: None, rank_error: 0.0 });
        };
        Err(format!("feature `{name}` {fault}"))
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the values are numbers or categories.
    #[must_use]
    pub fn kind(&self) -> FeatureKind {
        match self.binning {
            Binning::Numeric(_) => FeatureKind::Numeric,
            Binning::Categorical(_) => FeatureKind::Categorical,
        }
    }

    /// How many values of the reference are in each bin, and how many are missing.
    #[must_use]
    pub fn counts(&self) -> &FeatureCounts {
        &self.counts
    }

    /// The bin of a number: a position in [`FeatureCounts::bins`]. `None` for NaN, a missing value.
    #[must_use]
    pub fn bin_of_number(&self, number: f64) -> Option<usize> {
        (!number.is_nan()).then(|| self.binning.bin(number))
    }

    /// The inner edges of the fine bins, ascending, in the unit of the feature: at most 255. Bin `i` is
    /// `(edge i-1, edge i]`; there is one bin more than edges. Without any for a categorical feature.
    #[must_use]
    pub fn edges(&self) -> &[f64] {
        self.grid().map_or(&[], Grid::edges)
    }

    /// The inner edges of the coarse bins: the distinct deciles. Without any for a categorical feature.
    pub fn deciles(&self) -> impl ExactSizeIterator<Item = f64> {
        let edges = self.edges();
        self.grid().map_or(&[][..], Grid::coarse).iter().map(|edge| edges[usize::from(*edge)])
    }

    /// What the finite values are like; `None` if there are none, or if they are categories.
    #[must_use]
    pub fn summary(&self) -> Option<Summary> {
        self.summary
    }

    /// The present values of a numeric feature, ascending, if they are few ([`ProfileOptions::sample`]) and all
    /// finite.
    #[must_use]
    pub fn sample(&self) -> Option<&[f64]> {
        self.sample.as_deref()
    }

    /// What the fine bins of a numeric feature cannot tell apart: the largest share of the reference, 0 to 1, in
    /// a bin that new values can fall into as well. Distribution functions taken at the edges are exact but for
    /// that.
    ///
    /// Without infinities it is at most `0.01 + 1/n` for a feature with more than 200 distinct values, 0 for
    /// one with at most 122, and at most 0.022 between; and the [`rank_error`](Self::rank_error) more. 0 for a
    /// categorical feature.
    #[must_use]
    pub fn resolution(&self) -> f64 {
        let edges = self.edges();
        let of_one_value =
            |bin: usize| bin > 0 && bin < edges.len() && edges[bin - 1] == edges[bin].next_down();
        let bins = self.counts.bins.iter().enumerate();
        let most = bins.filter(|(bin, _)| !of_one_value(*bin)).map(|(_, count)| *count).max();
        match self.kind() {
            FeatureKind::Numeric => {
                most.unwrap_or_default() as f64 / self.counts.present().max(1) as f64 + self.rank_error
            }
            FeatureKind::Categorical => 0.0,
        }
    }

    /// By how much the shares of the reference below the edges may be wrong: 0, but for a numeric feature with so
    /// many distinct values that a [`ProfileBuilder`](crate::ProfileBuilder) had to sketch it.
    #[must_use]
    pub fn rank_error(&self) -> f64 {
        self.rank_error
    }

    /// The categories that have a bin of their own, the most frequent first: category `i` has bin `i`. Empty for
    /// a numeric feature.
    #[must_use]
    pub fn categories(&self) -> &[String] {
        self.known().map_or(&[], |categories| categories.named().texts())
    }

    /// The bin of a word: a position in [`FeatureCounts::bins`]. `None` for the empty word, a missing value, and
    /// for a numeric feature. Takes 5 to 10 ns for words of up to 40 bytes, and allocates
    /// nothing.
    ///
    /// Where the categories are numbers, the word is read as one.
    #[must_use]
    pub fn bin_of_word(&self, word: &str) -> Option<usize> {
        self.known().filter(|_| !word.is_empty()).map(|categories| categories.bin_of_word(word))
    }

    /// The bin of categories that the reference has, but not by name. `None` for a numeric feature.
    #[must_use]
    pub fn other_bin(&self) -> Option<usize> {
        self.known().map(Categories::other)
    }

    /// The bin of categories that the reference does not have. `None` for a numeric feature.
    #[must_use]
    pub fn new_bin(&self) -> Option<usize> {
        self.known().map(Categories::new_bin)
    }

    /// Whether all categories of the reference are remembered. If they were more than
    /// [`ProfileOptions::known_categories`], nothing can be said to be new: then what is not named counts as
    /// `other`, and `new` stays at 0. Else a new category is taken for an `other` one with a probability of
    /// (number of others) / 2³², for their hashes may agree.
    #[must_use]
    pub fn knows_all_categories(&self) -> bool {
        self.known().is_none_or(Categories::is_complete)
    }

    pub(crate) fn binning(&self) -> &Binning {
        &self.binning
    }

    /// Whether the values are words: those of BYTES tensors, and of no others.
    pub(crate) fn has_words(&self) -> bool {
        self.known().is_some_and(|categories| matches!(categories.named(), Named::Words(_)))
    }

    fn grid(&self) -> Option<&Grid> {
        match &self.binning {
            Binning::Numeric(grid) => Some(grid),
            Binning::Categorical(_) => None,
        }
    }

    fn known(&self) -> Option<&Categories> {
        match &self.binning {
            Binning::Numeric(_) => None,
            Binning::Categorical(categories) => Some(categories),
        }
    }
}

fn empty(name: &str) -> Error {
    Error::invalid_input(format!("the reference of feature `{name}` is empty"))
}

fn count(grid: &Grid, values: &[f64]) -> FeatureCounts {
    let mut counts = FeatureCounts::zero(grid.bins());
    for &value in values {
        if value.is_nan() {
            counts.missing += 1;
        } else {
            counts.bins[grid.bin(value)] += 1;
        }
    }
    counts
}

fn is_sample_of(sample: &[f64], grid: &Grid, counts: &FeatureCounts) -> bool {
    sample.iter().all(|value| value.is_finite())
        && sample.is_sorted()
        && !sample.is_empty()
        && count(grid, sample).bins == counts.bins
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_and_infinite_values_have_their_place() {
        let infinity = f64::INFINITY;
        let profile = FeatureProfile::new("x", &[1.0, f64::NAN, 2.0, infinity, -infinity, infinity]).unwrap();
        assert_eq!(profile.counts().missing, 1);
        assert_eq!((profile.counts().bins[0], profile.counts().bins.last()), (1, Some(&2)));
        assert_eq!(profile.summary().map(|summary| (summary.min, summary.max)), Some((1.0, 2.0)));
        assert_eq!(profile.deciles().collect::<Vec<_>>(), [1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9]);
        assert_eq!(profile.edges().first(), Some(&1.0_f64.next_down()));
        assert_eq!(profile.edges().last(), Some(&2.0));
    }

    #[test]
    fn a_feature_without_a_finite_value_has_one_bin() {
        let profile = FeatureProfile::new("x", &[f64::NAN, f64::NAN]).unwrap();
        assert_eq!((profile.edges().len(), profile.counts().bins.as_slice()), (0, &[0][..]));
        assert_eq!(profile.summary(), None);
        assert!(FeatureProfile::new("x", &[]).is_err());
        assert!(FeatureProfile::categorical("x", []).is_err());
        assert!(FeatureProfile::categorical_numbers("x", &[]).is_err());
    }

    #[test]
    fn few_values_are_kept() {
        let few: Vec<f64> = (0..1000).rev().map(f64::from).collect();
        let sample = FeatureProfile::new("x", &few).unwrap().sample().unwrap().to_vec();
        assert!(sample.is_sorted() && sample.len() == 1000);
        let many: Vec<f64> = (0..1001).map(f64::from).collect();
        assert_eq!(FeatureProfile::new("x", &many).unwrap().sample(), None);
        assert_eq!(FeatureProfile::new("x", &[1.0, f64::INFINITY]).unwrap().sample(), None);
        assert_eq!(FeatureProfile::new("x", &[1.0, f64::NAN]).unwrap().sample(), Some(&[1.0][..]));
    }

    #[test]
    fn the_most_frequent_categories_have_names_and_the_others_are_remembered() {
        let words: Vec<String> = (0..400).flat_map(|i| vec![format!("w{i}"); 400 - i]).collect();
        let profile = FeatureProfile::categorical("x", words.iter().map(|word| Some(word.as_str()))).unwrap();
        assert_eq!((profile.kind(), profile.categories().len()), (FeatureKind::Categorical, 250));
        assert_eq!((profile.other_bin(), profile.new_bin()), (Some(250), Some(251)));
        assert_eq!(profile.counts().bins[250..], [(1..=150).sum::<u64>(), 0]);
        assert_eq!(profile.counts().present(), words.len() as u64);
        for (word, bin) in
            [("w0", 0), ("w249", 249), ("w250", 250), ("w399", 250), ("w400", 251), ("W0", 251)]
        {
            assert_eq!(profile.bin_of_word(word), Some(bin), "{word}");
        }
        assert!(profile.knows_all_categories() && profile.edges().is_empty() && profile.summary().is_none());
    }

    #[test]
    fn nothing_is_new_to_a_reference_with_more_categories_than_are_remembered() {
        let options = ProfileOptions::default().with_named_categories(2).with_known_categories(3);
        let profile = |categories: usize| {
            let words: Vec<String> = (0..categories).map(|i| i.to_string()).collect();
            let words = words.iter().map(|word| Some(word.as_str())).collect();
            FeatureProfile::words_with("x".to_owned(), &words, &options).unwrap()
        };
        assert!(profile(5).knows_all_categories());
        assert_eq!(profile(5).bin_of_word("never"), Some(3));
        assert!(!profile(6).knows_all_categories());
        assert_eq!(profile(6).bin_of_word("never"), Some(2));
    }

    #[test]
    fn numbers_that_stand_for_categories_are_compared_as_numbers() {
        let values = [3.0, 0.5, 3.0, -0.0, f64::NAN, 1e9, 3.0, 0.0, f64::INFINITY];
        let profile = FeatureProfile::categorical_numbers("x", &values).unwrap();
        assert_eq!(profile.categories(), ["3", "0", "0.5", "1000000000", "inf"]);
        assert_eq!(profile.counts().missing, 1);
        for (number, bin) in [(3.0, 0), (0.0, 1), (-0.0, 1), (0.5, 2), (f64::INFINITY, 4), (7.0, 6)] {
            assert_eq!(profile.bin_of_number(number), Some(bin), "{number}");
            assert_eq!(profile.bin_of_word(&number.to_string()), Some(bin), "{number}");
        }
        assert_eq!((profile.bin_of_word("3.0"), profile.bin_of_word("three")), (Some(0), Some(6)));
        assert_eq!(profile.bin_of_number(f64::NAN), None);

        let words = FeatureProfile::categorical("x", [Some("3"), Some("x")]).unwrap();
        assert_eq!((words.bin_of_number(3.0), words.bin_of_number(4.0)), (Some(0), Some(3)));
    }

    #[test]
    fn a_categorical_feature_may_be_missing_throughout() {
        let profile = FeatureProfile::categorical("x", [None, Some("")]).unwrap();
        assert_eq!((profile.counts().bins.as_slice(), profile.counts().missing), (&[0, 0][..], 2));
        assert_eq!(profile.bin_of_word("any"), profile.new_bin());
    }
}
