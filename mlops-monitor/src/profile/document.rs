//! A profile as a document.

use mlops_core::{Digest, Error, Result};
use serde::{Deserialize, Serialize};

use super::grid::Grid;
use super::{FeatureProfile, Profile, Summary};
use crate::{FeatureCounts, Features, TensorFeatures};

const FORMAT: &str = "mlops-profile";
const VERSION: u32 = 1;

#[derive(Deserialize)]
struct Header {
    format: String,
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct Document {
    format: String,
    version: u32,
    tensors: Vec<TensorDocument>,
}

#[derive(Serialize, Deserialize)]
struct TensorDocument {
    tensor: String,
    features: Vec<FeatureDocument>,
}

#[derive(Serialize, Deserialize)]
struct FeatureDocument {
    name: String,
    edges: Vec<f64>,
    /// Positions of the deciles among the edges.
    deciles: Vec<u8>,
    bins: Vec<u64>,
    missing: u64,
    summary: Option<Summary>,
}

pub(super) fn write(features: &Features, profiles: &[FeatureProfile]) -> Result<Vec<u8>> {
    let mut profiles = profiles.iter();
    let tensors = features.tensors().iter().map(|tensor| TensorDocument {
        tensor: tensor.tensor().to_owned(),
        features: profiles.by_ref().take(tensor.names().len()).map(FeatureDocument::from).collect(),
    });
    let document = Document { format: FORMAT.to_owned(), version: VERSION, tensors: tensors.collect() };
    serde_json::to_vec(&document)
        .map_err(|error| Error::internal("a profile could not be written").with_source(error))
}

pub(super) fn digest(features: &Features, profiles: &[FeatureProfile]) -> Result<Digest> {
    Ok(Digest::of(&write(features, profiles)?))
}

pub(super) fn read(bytes: &[u8]) -> Result<Profile> {
    let broken = |error| Error::integrity("the bytes are no drift profile").with_source(error);
    let Header { format, version } = serde_json::from_slice(bytes).map_err(broken)?;
    if format != FORMAT {
        return Err(Error::integrity(format!("the document is no `{FORMAT}`")));
    }
    if version != VERSION {
        return Err(Error::Unsupported {
            what: format!("profile format {version}; this release reads format {VERSION}"),
        });
    }
    let document: Document = serde_json::from_slice(bytes).map_err(broken)?;

    let (mut tensors, mut profiles) = (Vec::new(), Vec::new());
    for TensorDocument { tensor, features } in document.tensors {
        let first = profiles.len();
        for feature in features {
            profiles.push(feature.into_profile().map_err(Error::integrity)?);
        }
        tensors.push(TensorFeatures::columns(tensor, profiles[first..].iter().map(FeatureProfile::name)));
    }
    let features = Features::new(tensors)
        .map_err(|error| Error::integrity("the profile has impossible features").with_source(error))?;
    Profile::from_parts(features, profiles).map_err(Error::integrity)
}

impl From<&FeatureProfile> for FeatureDocument {
    fn from(profile: &FeatureProfile) -> Self {
        Self {
            name: profile.name().to_owned(),
            edges: profile.edges().to_vec(),
            deciles: profile.grid().coarse().to_vec(),
            bins: profile.counts().bins.clone(),
            missing: profile.counts().missing,
            summary: profile.summary(),
        }
    }
}

impl FeatureDocument {
    fn into_profile(self) -> Result<FeatureProfile, String> {
        let grid = Grid::new(&self.edges, self.deciles)
            .ok_or_else(|| format!("feature `{}` has impossible bins", self.name))?;
        let counts = FeatureCounts { bins: self.bins, missing: self.missing };
        FeatureProfile::from_parts(self.name, grid, counts, self.summary)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn profile() -> Profile {
        let features = Features::new([TensorFeatures::columns("x", ["a", "b"])]).unwrap();
        let values = ndarray::array![[1.0, 5.0], [2.0, f64::NAN], [3.0, 0.1]];
        Profile::from_array(values.view(), features).unwrap()
    }

    /// The document with one thing replaced.
    fn with(pointer: &str, value: Value) -> Vec<u8> {
        let mut document: Value = serde_json::from_slice(&profile().to_bytes().unwrap()).unwrap();
        *document.pointer_mut(pointer).unwrap() = value;
        serde_json::to_vec(&document).unwrap()
    }

    #[test]
    fn every_broken_invariant_is_found() {
        let feature = "/tensors/0/features/0";
        for (pointer, value) in [
            ("/format", json!("something else")),
            ("/tensors", json!([])),
            ("/tensors/0/tensor", json!("")),
            ("/tensors/0/features", json!([])),
            (&format!("{feature}/name"), json!("b")),
            (&format!("{feature}/edges/0"), json!(99.0)),
            (&format!("{feature}/edges/0"), Value::Null),
            (&format!("{feature}/edges"), json!([])),
            (&format!("{feature}/deciles"), json!([])),
            (&format!("{feature}/deciles/0"), json!(200)),
            (&format!("{feature}/bins"), json!([3])),
            (&format!("{feature}/bins/0"), json!(-1)),
            (&format!("{feature}/bins/0"), json!(1)),
            (&format!("{feature}/bins/0"), json!(u64::MAX)),
            (&format!("{feature}/missing"), json!(1)),
            (&format!("{feature}/summary"), Value::Null),
            (&format!("{feature}/summary/min"), json!(4.0)),
            (&format!("{feature}/summary/std"), json!(-1.0)),
        ] {
            let error = Profile::from_bytes(&with(pointer, value)).expect_err(pointer);
            assert_eq!(error.label(), "integrity", "{pointer}: {error}");
        }
        let error = Profile::from_bytes(&with("/version", json!(2))).unwrap_err();
        assert_eq!(error.to_string(), "unsupported: profile format 2; this release reads format 1");
    }

    proptest! {
        #[test]
        fn hostile_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Profile::from_bytes(&bytes).is_err());
        }

        #[test]
        fn a_damaged_profile_is_refused_or_still_sound(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut bytes = profile().to_bytes().unwrap();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(profile) = Profile::from_bytes(&bytes) {
                prop_assert_eq!(Profile::from_bytes(&profile.to_bytes().unwrap()).unwrap(), profile);
            }
        }

        #[test]
        fn stored_profiles_come_back(rows in prop::collection::vec((any::<f64>(), -1.0..1.0), 1..300)) {
            let features = Features::new([
                TensorFeatures::column("any"),
                TensorFeatures::columns("both", ["usual", "constant"]),
            ]).unwrap();
            let array = ndarray::Array2::from_shape_fn((rows.len(), 3), |(row, column)| [rows[row].0, rows[row].1, 0.0][column]);
            let profile = Profile::from_array(array.view(), features).unwrap();
            let loaded = Profile::from_bytes(&profile.to_bytes().unwrap()).unwrap();
            prop_assert_eq!(loaded.digest(), profile.digest());
            prop_assert_eq!(loaded, profile);
        }
    }
}
