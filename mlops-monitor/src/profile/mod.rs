//! The reference: what each feature looked like when the model was trained.

mod binning;
mod builder;
mod categories;
mod document;
mod feature;
mod grid;
mod options;
mod runs;
mod sketch;
mod summary;
mod tallies;
mod tally;

use mlops_core::{Digest, Error, Result, Tensors};
use ndarray::ArrayView2;
use rayon::prelude::*;

use crate::{Counts, Features, Table, TableColumn};

pub(crate) use binning::Binning;
pub use builder::ProfileBuilder;
pub use feature::{FeatureKind, FeatureProfile};
pub use options::ProfileOptions;
pub use summary::Summary;

/// The reference distribution of every feature, and where in the inputs and outputs of the model the features
/// are.
///
/// Built once, from training or validation data, stored as an artifact of the model version
/// ([`to_bytes`](Profile::to_bytes), [`ARTIFACT`](Profile::ARTIFACT)), and loaded where the model is served. It
/// holds counts and no rows of data, but the values of a numeric feature that has few
/// ([`ProfileOptions::sample`]): about 5 KB of JSON per numeric feature, 25 KB with a sample of 1,000.
///
/// ```
/// use mlops_monitor::{Features, Profile, TensorFeatures};
/// use ndarray::Array2;
///
/// let training = Array2::from_shape_fn((500, 2), |(row, column)| (row * (column + 1)) as f32);
/// let features = Features::new([TensorFeatures::columns("x", ["age", "income"])])?;
/// let profile = Profile::from_array(training.view(), features)?;
///
/// let stored = profile.to_bytes()?;
/// let loaded = Profile::from_bytes(&stored)?;
/// assert_eq!(loaded, profile);
/// assert_eq!(loaded.feature("income").and_then(|income| income.summary()).map(|it| it.max), Some(998.0));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    features: Features,
    profiles: Vec<FeatureProfile>,
    rows: u64,
    digest: Digest,
}

impl Profile {
    /// The name that the artifact of a model version goes by.
    pub const ARTIFACT: &str = "drift-profile.json";

    /// The distribution of each column of `rows × features` values; NaN is a missing value.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when there is no row, or not one column per feature.
    #[allow(clippy::needless_pass_by_value)] // a view is a reference
    pub fn from_array<T: Copy + Into<f64>>(array: ArrayView2<'_, T>, features: Features) -> Result<Self> {
        if array.ncols() != features.len() {
            return Err(Error::invalid_input(format!(
                "the reference has {} columns for {} features",
                array.ncols(),
                features.len()
            )));
        }
        let columns = array.columns().into_iter();
        let columns = columns.map(|column| column.iter().map(|value| (*value).into()).collect());
        let columns: Vec<_> = columns.map(TableColumn::floats).collect();
        Self::from_columns(features, &columns, &ProfileOptions::default())
    }

    /// The distribution of each feature in the inputs of a model: one call with all the rows.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when there is no row, a tensor is missing or does not fit (see
    /// [`TensorFeatures`](crate::TensorFeatures)), or tensors differ in their number of rows.
    pub fn from_tensors(inputs: &Tensors, features: Features) -> Result<Self> {
        Self::from_predictions(inputs, &Tensors::new(), features)
    }

    /// The distribution of each feature in the inputs of a model and in what it answered: one call with all the
    /// rows.
    ///
    /// ```
    /// use mlops_core::{Tensor, Tensors};
    /// use mlops_monitor::{Features, Profile, TensorFeatures};
    ///
    /// let features = Features::new([
    ///     TensorFeatures::column("city"),
    ///     TensorFeatures::column("label").categorical().of_output(),
    /// ])?;
    /// let inputs = Tensors::new().with("city", Tensor::from_byte_strings(&[3], ["Oslo", "Bergen", "Oslo"])?);
    /// let outputs = Tensors::new().with("label", vec![7_i64, 3, 7]);
    /// let profile = Profile::from_predictions(&inputs, &outputs, features)?;
    /// assert_eq!(profile.feature("label").map(|label| label.categories().join(" ")), Some("7 3".to_owned()));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`from_tensors`](Self::from_tensors).
    pub fn from_predictions(inputs: &Tensors, outputs: &Tensors, features: Features) -> Result<Self> {
        let columns = features.columns(inputs, outputs)?;
        Self::from_columns(features, &columns, &ProfileOptions::default())
    }

    /// The distribution of each feature in the column of its name. Other columns are none of its business.
    ///
    /// ```
    /// use mlops_monitor::{Features, Profile, Table, TableColumn, TensorFeatures};
    ///
    /// let table = Table::new([
    ///     ("age", TableColumn::integers([Some(31), None, Some(47)])),
    ///     ("city", TableColumn::words([Some("Oslo"), Some("Bergen"), None])),
    ///     ("id", TableColumn::integers([Some(1), Some(2), Some(3)])),
    /// ])?;
    /// let features = Features::new([TensorFeatures::column("city"), TensorFeatures::column("age")])?;
    /// let profile = Profile::from_table(&table, features)?;
    /// assert_eq!(profile.feature("age").map(|age| age.counts().missing), Some(1));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when there is no row, or no column of a feature's name.
    pub fn from_table(table: &Table, features: Features) -> Result<Self> {
        let columns = features.columns_of(table)?.into_iter().cloned().collect::<Vec<_>>();
        Self::from_columns(features, &columns, &ProfileOptions::default())
    }

    fn from_columns(features: Features, columns: &[TableColumn], options: &ProfileOptions) -> Result<Self> {
        options.check()?;
        let named: Vec<_> = features.names().zip(features.categorical()).zip(columns).collect();
        let profiles: Result<Vec<_>> = named
            .into_par_iter()
            .map(|((name, categorical), column)| {
                FeatureProfile::of_column(name, column, categorical, options)
            })
            .collect();
        let profiles = profiles?;
        Self::from_parts(features, profiles).map_err(Error::invalid_input)
    }

    /// Puts a profile together; the names of `profiles` are those of `features`.
    fn from_parts(features: Features, profiles: Vec<FeatureProfile>) -> Result<Self, String> {
        let rows = profiles.first().map_or(0, |first| first.counts().total());
        if rows == 0 {
            return Err("the reference has no rows".to_owned());
        }
        if let Some(other) = profiles.iter().find(|profile| profile.counts().total() != rows) {
            let (name, other) = (other.name(), other.counts().total());
            return Err(format!("the reference has {rows} rows, but {other} of feature `{name}`"));
        }
        let digest = document::digest(&features, &profiles).map_err(|error| error.to_string())?;
        Ok(Self { features, profiles, rows, digest })
    }

    /// The profile as compact JSON, with the version of the format, for an artifact of the model version.
    ///
    /// # Errors
    /// None that a profile can cause; [`Error::Internal`] otherwise.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        document::write(&self.features, &self.profiles)
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote. Safe for bytes of unknown origin: whatever they hold,
    /// the profile is sound or there is none.
    ///
    /// # Errors
    /// [`Error::Integrity`] when the bytes are no profile, [`Error::Unsupported`] when they are one of a
    /// later format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        document::read(bytes)
    }

    /// What the features are called and where they are.
    #[must_use]
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// The distribution of the feature of that name.
    #[must_use]
    pub fn feature(&self, name: &str) -> Option<&FeatureProfile> {
        self.profiles.iter().find(|profile| profile.name() == name)
    }

    /// The distributions, in the order of the features.
    #[must_use]
    pub fn feature_profiles(&self) -> &[FeatureProfile] {
        &self.profiles
    }

    /// How many rows the reference has.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The identity of the profile: the digest of its bytes. Counts of one identity can be merged.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Proves that `counts` were counted in the bins of this profile.
    pub(crate) fn check(&self, counts: &Counts) -> Result<()> {
        let fits = self.digest == counts.profile
            && self.profiles.len() == counts.features.len()
            && self.profiles.iter().zip(&counts.features).all(|(p, c)| p.binning().bins() == c.bins.len());
        if fits {
            return Ok(());
        }
        Err(Error::invalid_input(format!(
            "the counts belong to profile {}, not to {}",
            counts.profile, self.digest
        )))
    }
}
