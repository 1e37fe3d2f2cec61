//! What a profile keeps of its reference.

use mlops_core::{Error, Result};

/// Most categories that may have a bin of their own.
const MOST_NAMED: usize = 4_096;
/// Most further categories that may be remembered.
const MOST_KNOWN: usize = 1_000_000;

/// What a [`Profile`](crate::Profile) keeps of its reference.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProfileOptions {
    /// How many categories of a feature have a bin of their own, the most frequent first. 1 to 4,096, by
    /// default 250.
    pub named_categories: usize,
    /// How many further categories of a feature are remembered, by a hash of 4 bytes each, so that they can be
    /// told from new ones. At most 1,000,000, by default 10,000. What is said of a reference that has more:
    /// [`FeatureProfile::knows_all_categories`](crate::FeatureProfile::knows_all_categories).
    pub known_categories: usize,
    /// Numeric features with at most so many values keep them, for exact tests of small samples. By default
    /// 1,000; 0 keeps none.
    pub sample: usize,
}

impl Default for ProfileOptions {
    fn default() -> Self {
        Self { named_categories: 250, known_categories: 10_000, sample: 1_000 }
    }
}

impl ProfileOptions {
    /// Sets how many categories of a feature have a bin of their own.
    #[must_use]
    pub fn with_named_categories(mut self, named: usize) -> Self {
        self.named_categories = named;
        self
    }

    /// Sets how many further categories of a feature are remembered.
    #[must_use]
    pub fn with_known_categories(mut self, known: usize) -> Self {
        self.known_categories = known;
        self
    }

    /// Sets up to how many values a numeric feature keeps them.
    #[must_use]
    pub fn with_sample(mut self, values: usize) -> Self {
        self.sample = values;
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        if !(1..=MOST_NAMED).contains(&self.named_categories) {
            let named = self.named_categories;
            return Err(Error::invalid_input(format!(
                "{named} named categories; 1 to {MOST_NAMED} are possible"
            )));
        }
        if self.known_categories > MOST_KNOWN {
            let known = self.known_categories;
            return Err(Error::invalid_input(format!(
                "{known} known categories; at most {MOST_KNOWN} are possible"
            )));
        }
        Ok(())
    }
}
