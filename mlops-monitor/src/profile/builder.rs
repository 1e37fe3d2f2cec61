//! A profile in one pass over any number of rows.

use mlops_core::{Error, Result, Tensors};
use rayon::prelude::*;

use super::tallies::FeatureTally;
use crate::{Features, Profile, ProfileOptions, Table, TableColumn};

/// Makes a [`Profile`] of any number of rows, in one pass, in memory that does not grow with them; features are
/// counted in parallel. Builders of parts of the rows, on other threads or machines, merge.
///
/// | feature | exact up to | then | memory |
/// |---|---|---|---|
/// | numeric | 32,768 distinct values, of any number of rows | a quantile sketch: shares of values are wrong by at most 0.001 ([`FeatureProfile::resolution`](crate::FeatureProfile::resolution) says so); moments, range, infinite and missing values stay exact | 0.7 MB |
/// | categorical | 32,768 categories | counts are too low by at most rows / 16,384, what they lack counts as `other`, and nothing is new ([`FeatureProfile::knows_all_categories`](crate::FeatureProfile::knows_all_categories)) | 32,768 words and 2 MB |
///
/// While all is exact, the profile is the same to the last bit however the rows were split and in whatever order
/// they came. After that the same pushes in the same order give the same profile.
///
/// ```
/// use mlops_monitor::{Features, Profile, ProfileBuilder, Table, TableColumn, TensorFeatures};
///
/// let features = Features::new([TensorFeatures::column("age"), TensorFeatures::column("city")])?;
/// let batches = [(31.0, "Oslo"), (47.0, "Bergen")].map(|(age, city)| {
///     Table::new([("age", TableColumn::floats(vec![age])), ("city", TableColumn::words([Some(city)]))])
/// });
/// let mut builder = ProfileBuilder::new(features);
/// for batch in batches { // or of a `TableReader`
///     builder.push(&batch?)?;
/// }
/// let artifact = builder.finish()?.to_bytes()?;
/// assert_eq!(Profile::from_bytes(&artifact)?.rows(), 2); // stored as `Profile::ARTIFACT`
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ProfileBuilder {
    features: Features,
    options: ProfileOptions,
    tallies: Vec<FeatureTally>,
    rows: u64,
}

impl ProfileBuilder {
    /// No rows yet.
    #[must_use]
    pub fn new(features: Features) -> Self {
        let tallies = vec![FeatureTally::default(); features.len()];
        Self { features, options: ProfileOptions::default(), tallies, rows: 0 }
    }

    /// Sets what the profile keeps of its reference.
    #[must_use]
    pub fn with_options(mut self, options: ProfileOptions) -> Self {
        self.options = options;
        self
    }

    /// How many rows were pushed.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds rows: each feature in the column of its name. Best in batches of some thousands.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when there is no column of a feature's name, or one holds words where it held
    /// numbers before, or the reverse. Then nothing was added.
    pub fn push(&mut self, table: &Table) -> Result<()> {
        let columns = self.features.columns_of(table)?;
        self.push_columns(&columns, table.rows() as u64)
    }

    /// Adds the rows of inputs, and of what the model answered.
    ///
    /// # Errors
    /// Those of [`push`](Self::push) and of [`Profile::from_predictions`]. Then nothing was added.
    pub fn push_predictions(&mut self, inputs: &Tensors, outputs: &Tensors) -> Result<()> {
        let columns = self.features.columns(inputs, outputs)?;
        let rows = columns.first().map_or(0, TableColumn::len);
        if let Some((name, other)) =
            self.features.names().zip(&columns).find(|(_, column)| column.len() != rows)
        {
            let other = other.len();
            return Err(Error::invalid_input(format!(
                "there are {rows} rows, but {other} of feature `{name}`"
            )));
        }
        self.push_columns(&columns.iter().collect::<Vec<_>>(), rows as u64)
    }

    fn push_columns(&mut self, columns: &[&TableColumn], rows: u64) -> Result<()> {
        for ((name, tally), column) in self.features.names().zip(&self.tallies).zip(columns) {
            tally.check(name, column)?;
        }
        let categorical: Vec<bool> = self.features.categorical().collect();
        let tallies = self.tallies.par_iter_mut().zip(columns).zip(categorical);
        tallies.for_each(|((tally, column), categorical)| tally.add(column, categorical));
        self.rows += rows;
        Ok(())
    }

    /// Adds the rows of another builder.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when its features are others, or hold words where these hold numbers. Then nothing
    /// was added.
    pub fn merge(&mut self, other: Self) -> Result<()> {
        if self.features != other.features {
            return Err(Error::invalid_input("builders of different features cannot be merged"));
        }
        for ((name, ours), theirs) in self.features.names().zip(&self.tallies).zip(&other.tallies) {
            ours.check_merge(name, theirs)?;
        }
        self.tallies.par_iter_mut().zip(other.tallies).for_each(|(ours, theirs)| ours.merge(theirs));
        self.rows += other.rows;
        Ok(())
    }

    /// The profile of the rows.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when there was no row, or an option is impossible.
    pub fn finish(self) -> Result<Profile> {
        self.options.check()?;
        let features = self.features.names().zip(self.features.categorical()).zip(self.tallies);
        let features: Vec<_> = features.collect();
        let profiles: Result<Vec<_>> = features
            .into_par_iter()
            .map(|((name, categorical), tally)| tally.finish(name.to_owned(), categorical, &self.options))
            .collect();
        let profiles = profiles?;
        Profile::from_parts(self.features, profiles).map_err(Error::invalid_input)
    }
}
