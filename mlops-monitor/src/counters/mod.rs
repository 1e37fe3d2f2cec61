//! Live counters in the bins of a profile.

mod counts;
mod fleet;
mod live;
mod options;
mod raw;
mod stripes;

use std::ops::Range;
use std::sync::Arc;

use mlops_core::{DType, Error, Result, Tensor, Tensors};

use crate::features::{Misfit, TensorFeatures};
use crate::numbers::visit_numbers;
use crate::{Profile, Source};

pub use counts::{Counts, FeatureCounts};
pub use fleet::FleetCounts;
pub(crate) use live::{Live, LiveCounts};
pub use options::CounterOptions;

/// Counts values in the bins of a [`Profile`], from any number of threads.
///
/// An observation is a search over the edges of its feature and one increment; nothing is locked, waited for,
/// allocated (but once per stripe) or kept beyond [`CounterOptions::raw`]. Threads that count at the same time
/// count in different stripes.
///
/// Memory per feature: 8 bytes per bin and 8 for missing values, at most 2,056, for each stripe in use, for
/// the one that late-comers share, and once more for the beginning of the window; and 16 bytes per value that
/// is kept. With the default options that is 4 KB and 16 KB while one thread counts at a time, and at most
/// 37 KB with eight stripes. The profile itself (about 6 KB per feature) is shared. None of it grows.
///
/// # Consistency
/// Every counter is exact: no increment is lost or counted twice. [`snapshot`](Counters::snapshot) and
/// [`rotate`](Counters::rotate) read them one after the other, so a row that is being counted at that moment
/// may be seen in some features and not yet in others; over successive rotations everything adds up. A window
/// whose raw values do not agree with its counts for that reason does without the raw values.
#[derive(Debug)]
pub struct Counters {
    profile: Arc<Profile>,
    /// What each tensor of the profile has to be.
    expected: Box<[Expected]>,
    live: Live,
}

/// A tensor of the profile.
#[derive(Debug)]
struct Expected {
    /// The features that it holds.
    columns: Range<usize>,
    /// Whether its elements are words; `None` where only some of its features are, so that no tensor fits.
    words: Option<bool>,
}

impl Counters {
    /// All zero, with the default options.
    pub fn new(profile: impl Into<Arc<Profile>>) -> Self {
        Self::with_options(profile, CounterOptions::default())
    }

    /// All zero.
    pub fn with_options(profile: impl Into<Arc<Profile>>, options: CounterOptions) -> Self {
        let profile = profile.into();
        let live = Live::new(profile.feature_profiles(), options.shards, options.raw);
        let expected = expected_of(&profile).collect();
        Self { profile, expected, live }
    }

    /// The profile whose bins are counted in.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Counts one row: a value per feature, in the order of the profile; NaN is a missing value.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when it does not hold one value per feature. Then nothing was counted.
    pub fn observe_row(&self, row: &[f64]) -> Result<()> {
        let features = self.profile.feature_profiles();
        if row.len() != features.len() {
            return Err(Error::invalid_input(format!(
                "a row of {} values for {} features",
                row.len(),
                features.len()
            )));
        }
        self.live.count(features, 1).columns(0..row.len()).count(row, |value| value);
        Ok(())
    }

    /// Counts every row of the inputs of a model, and returns how many rows there were. Features of outputs are
    /// left out.
    ///
    /// A tensor that is absent or does not fit the profile (see
    /// [`TensorFeatures`]) is dropped and counted as such; the others are taken.
    /// Tensors that the profile does not know are none of its business.
    pub fn observe(&self, inputs: &Tensors) -> u64 {
        self.observe_or(inputs, None, |_| {})
    }

    /// Counts every row of the inputs of a model and of its answer, as [`observe`](Self::observe) does.
    pub fn observe_prediction(&self, inputs: &Tensors, outputs: &Tensors) -> u64 {
        self.observe_or(inputs, Some(outputs), |_| {})
    }

    /// Counts inputs and, if there are any, outputs, telling `on_misfit` of every tensor that was dropped.
    pub(crate) fn observe_or(
        &self,
        inputs: &Tensors,
        outputs: Option<&Tensors>,
        mut on_misfit: impl FnMut(Misfit),
    ) -> u64 {
        let tensors = || self.tensors(inputs, outputs);
        let rows = tensors().filter_map(|(_, tensor)| Some(tensor.ok()?.1)).max().unwrap_or(0);
        let counting = self.live.count(self.profile.feature_profiles(), rows);
        for (columns, tensor) in tensors() {
            let columns = counting.columns(columns);
            let result = tensor.and_then(|(tensor, _)| match tensor.dtype() {
                DType::Bytes => columns.count_words(tensor),
                _ => visit_numbers(tensor, columns).ok_or(Misfit::DType),
            });
            if let Err(misfit) = result {
                counting.dropped();
                on_misfit(misfit);
            }
        }
        rows as u64
    }

    /// The tensors of the profile, the features that each holds, and how many rows, or why it does not fit. Of outputs
    /// only where there are any.
    fn tensors<'a>(
        &'a self,
        inputs: &'a Tensors,
        outputs: Option<&'a Tensors>,
    ) -> impl Iterator<Item = (Range<usize>, Result<(&'a Tensor, usize), Misfit>)> {
        let expected = self.expected.iter().zip(self.profile.features().tensors());
        expected.filter_map(move |(expected, features)| {
            let tensors = if features.source() == Source::Output { outputs? } else { inputs };
            let tensor = tensors.get(features.tensor()).ok_or(Misfit::Missing);
            let fitting = tensor.and_then(|tensor| Ok((tensor, rows_of(features, expected, tensor)?)));
            Some((expected.columns.clone(), fitting))
        })
    }

    /// The rows counted since the last rotation.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.live.rows()
    }

    /// The counts as they are now.
    #[must_use]
    pub fn snapshot(&self) -> Counts {
        self.counts(self.live.snapshot())
    }

    /// Ends the window: takes the counts out and begins anew at zero.
    pub fn rotate(&self) -> Counts {
        self.counts(self.live.rotate())
    }

    /// How many values of each feature were missing, in all windows.
    pub(crate) fn missing_since_the_start(&self) -> impl Iterator<Item = u64> {
        self.live.missing_since_the_start()
    }

    fn counts(&self, live: LiveCounts) -> Counts {
        let LiveCounts { rows, dropped, features } = live;
        Counts { profile: self.profile.digest(), rows, dropped, features }
    }
}

fn expected_of(profile: &Profile) -> impl Iterator<Item = Expected> {
    let mut features = profile.feature_profiles();
    let mut end = 0;
    profile.features().tensors().iter().map(move |tensor| {
        let width = tensor.names().len();
        let (these, others) = features.split_at_checked(width).unwrap_or((features, &[]));
        features = others;
        let columns = end..end + width;
        end = columns.end;
        let words = these.iter().filter(|profile| profile.has_words()).count();
        let words = (words == 0 || words == width).then_some(words > 0);
        Expected { columns, words }
    })
}

/// How many rows a tensor holds, if its shape and its type fit.
fn rows_of(features: &TensorFeatures, expected: &Expected, tensor: &Tensor) -> Result<usize, Misfit> {
    let rows = features.rows_in(tensor)?;
    let words = tensor.dtype() == DType::Bytes;
    if expected.words == Some(words) { Ok(rows) } else { Err(Misfit::DType) }
}
