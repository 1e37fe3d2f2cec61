//! A profile as a document.

use mlops_core::{Digest, Error, Result};
use serde::{Deserialize, Serialize};

use super::binning::Binning;
use super::categories::{Categories, Named};
use super::feature::NumericParts;
use super::grid::Grid;
use super::{FeatureProfile, Profile, Summary};
use crate::{FeatureCounts, Features, Source, TensorFeatures};

const FORMAT: &str = "mlops-profile";
const VERSION: u32 = 2;

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
    source: Source,
    tensor: String,
    /// The features whose numbers stand for categories.
    categorical: Vec<String>,
    features: Vec<FeatureDocument>,
}

#[derive(Serialize, Deserialize)]
struct FeatureDocument {
    name: String,
    bins: Vec<u64>,
    missing: u64,
    of: KindDocument,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KindDocument {
    Numeric {
        edges: Vec<f64>,
        /// Positions of the deciles among the edges.
        deciles: Vec<u8>,
        summary: Option<Summary>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sample: Option<Vec<f64>>,
        rank_error: f64,
    },
    Words(CategoriesDocument),
    /// Numbers that stand for categories.
    Numbers(CategoriesDocument),
}

#[derive(Serialize, Deserialize)]
struct CategoriesDocument {
    named: Vec<String>,
    /// Hashes of the other ones: the upper half of XXH3-64, of the word or of the eight bytes of the number,
    /// the least significant first.
    known: Vec<u32>,
    /// Whether these are all.
    complete: bool,
}

pub(super) fn write(features: &Features, profiles: &[FeatureProfile]) -> Result<Vec<u8>> {
    let mut profiles = profiles.iter();
    let tensors = features.tensors().iter().map(|tensor| TensorDocument {
        source: tensor.source(),
        tensor: tensor.tensor().to_owned(),
        categorical: tensor.names().filter(|name| tensor.is_categorical(name)).map(str::to_owned).collect(),
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
    for TensorDocument { source, tensor, categorical, features } in document.tensors {
        let first = profiles.len();
        for feature in features {
            profiles.push(feature.into_profile().map_err(Error::integrity)?);
        }
        let names = profiles[first..].iter().map(FeatureProfile::name);
        let features = TensorFeatures::columns(tensor, names).with_categorical(categorical);
        tensors.push(match source {
            Source::Input => features,
            Source::Output => features.of_output(),
        });
    }
    let features = Features::new(tensors)
        .map_err(|error| Error::integrity("the profile has impossible features").with_source(error))?;
    Profile::from_parts(features, profiles).map_err(Error::integrity)
}

impl From<&FeatureProfile> for FeatureDocument {
    fn from(profile: &FeatureProfile) -> Self {
        let of = match profile.binning() {
            Binning::Numeric(grid) => KindDocument::Numeric {
                edges: grid.edges().to_vec(),
                deciles: grid.coarse().to_vec(),
                summary: profile.summary(),
                sample: profile.sample().map(<[f64]>::to_vec),
                rank_error: profile.rank_error(),
            },
            Binning::Categorical(categories) => {
                let document = CategoriesDocument {
                    named: categories.named().texts().to_vec(),
                    known: categories.known().to_vec(),
                    complete: categories.is_complete(),
                };
                match categories.named() {
                    Named::Words(_) => KindDocument::Words(document),
                    Named::Numbers(..) => KindDocument::Numbers(document),
                }
            }
        };
        let FeatureCounts { bins, missing, .. } = profile.counts().clone();
        Self { name: profile.name().to_owned(), bins, missing, of }
    }
}

impl FeatureDocument {
    fn into_profile(self) -> Result<FeatureProfile, String> {
        let Self { name, bins, missing, of } = self;
        let counts = FeatureCounts::new(bins, missing);
        let (named, known, complete) = match of {
            KindDocument::Numeric { edges, deciles, summary, sample, rank_error } => {
                let grid = Grid::new(&edges, deciles)
                    .ok_or_else(|| format!("feature `{name}` has impossible bins"))?;
                return FeatureProfile::from_numeric(
                    name,
                    NumericParts { grid, counts, summary, sample, rank_error },
                );
            }
            KindDocument::Words(it) => (Named::Words(it.named), it.known, it.complete),
            KindDocument::Numbers(it) => {
                let named = Named::numbers_from(it.named)
                    .ok_or_else(|| format!("feature `{name}` has categories that are no numbers"))?;
                (named, it.known, it.complete)
            }
        };
        let categories =
            Categories::new(named, known, complete).map_err(|fault| format!("feature `{name}` {fault}"))?;
        FeatureProfile::from_categories(name, categories, counts)
    }
}

#[cfg(test)]
mod tests {
    use mlops_core::{Tensor, Tensors};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn profile() -> Profile {
        let features = Features::new([
            TensorFeatures::columns("x", ["a", "b"]),
            TensorFeatures::column("city"),
            TensorFeatures::column("label").categorical().of_output(),
        ]);
        let x = ndarray::array![[1.0, 5.0], [2.0, f64::NAN], [3.0, 0.1]];
        let city = Tensor::from_byte_strings(&[3], ["Oslo", "", "Bergen"]).unwrap();
        let inputs = Tensors::new().with("x", x).with("city", city);
        let outputs = Tensors::new().with("label", vec![3_i32, 4, 3]);
        Profile::from_predictions(&inputs, &outputs, features.unwrap()).unwrap()
    }

    /// The document with one thing replaced.
    fn with(pointer: &str, value: Value) -> Vec<u8> {
        let mut document: Value = serde_json::from_slice(&profile().to_bytes().unwrap()).unwrap();
        *document.pointer_mut(pointer).unwrap() = value;
        serde_json::to_vec(&document).unwrap()
    }

    #[test]
    fn every_broken_invariant_is_found() {
        let [a, city, label] = ["/tensors/0/features/0", "/tensors/1/features/0", "/tensors/2/features/0"];
        for (pointer, value) in [
            ("/format", json!("something else")),
            ("/tensors", json!([])),
            ("/tensors/0/source", json!("elsewhere")),
            ("/tensors/0/tensor", json!("")),
            ("/tensors/0/features", json!([])),
            ("/tensors/0/categorical", json!(["c"])),
            (&format!("{a}/name"), json!("b")),
            (&format!("{a}/bins"), json!([3])),
            (&format!("{a}/bins/0"), json!(-1)),
            (&format!("{a}/bins/0"), json!(1)),
            (&format!("{a}/bins/0"), json!(u64::MAX)),
            (&format!("{a}/missing"), json!(1)),
            (&format!("{a}/of"), json!("numeric")),
            (&format!("{a}/of/numeric/edges/0"), json!(99.0)),
            (&format!("{a}/of/numeric/edges/0"), Value::Null),
            (&format!("{a}/of/numeric/edges"), json!([])),
            (&format!("{a}/of/numeric/deciles"), json!([])),
            (&format!("{a}/of/numeric/deciles/0"), json!(200)),
            (&format!("{a}/of/numeric/summary"), Value::Null),
            (&format!("{a}/of/numeric/summary/min"), json!(4.0)),
            (&format!("{a}/of/numeric/summary/std"), json!(-1.0)),
            (&format!("{a}/of/numeric/sample"), json!([])),
            (&format!("{a}/of/numeric/sample/0"), json!(2.5)),
            (&format!("{a}/of/numeric/sample/2"), json!(1e300)),
            (&format!("{a}/of/numeric/rank_error"), json!(-0.1)),
            (&format!("{a}/of/numeric/rank_error"), json!(1.0)),
            (&format!("{city}/bins"), json!([1, 1, 0, 1])),
            (&format!("{city}/bins"), json!([1, 2, 0, 0])),
            (&format!("{city}/bins"), json!([2, 0, 0, 0])),
            (&format!("{city}/bins"), json!([1, 0, 1, 0])),
            (&format!("{city}/bins/2"), json!(1)),
            (&format!("{city}/bins/3"), json!(1)),
            (&format!("{city}/of/words/named"), json!(["a"])),
            (&format!("{city}/of/words/named"), json!(["a", "a"])),
            (&format!("{city}/of/words/named"), json!(["", "a"])),
            (&format!("{city}/of/words/known"), json!([7])),
            (&format!("{city}/of/words/known"), json!([7, 7])),
            (&format!("{city}/of/words/known"), json!([-1])),
            (&format!("{city}/of/words/complete"), json!(false)),
            (&format!("{label}/of/numbers/named/0"), json!("three")),
            (&format!("{label}/of/numbers/named/0"), json!("3.0")),
            (&format!("{label}/of/numbers/named/0"), json!("-0")),
            (&format!("{label}/of/numbers/named/0"), json!("NaN")),
        ] {
            let error = Profile::from_bytes(&with(pointer, value)).expect_err(pointer);
            assert_eq!(error.label(), "integrity", "{pointer}: {error}");
        }
        let error = Profile::from_bytes(&with("/version", json!(3))).unwrap_err();
        assert_eq!(error.to_string(), "unsupported: profile format 3; this release reads format 2");
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

        #[test]
        fn stored_categories_come_back(
            words in prop::collection::vec("[a-c0-9é]{0,2}", 1..900),
            numbers in prop::collection::vec(any::<f64>(), 900),
        ) {
            let features = Features::new([
                TensorFeatures::column("word"),
                TensorFeatures::column("code").categorical(),
            ]).unwrap();
            let inputs = Tensors::new()
                .with("word", Tensor::from_byte_strings(&[words.len()], &words).unwrap())
                .with("code", numbers[..words.len()].to_vec());
            let profile = Profile::from_tensors(&inputs, features).unwrap();
            let loaded = Profile::from_bytes(&profile.to_bytes().unwrap()).unwrap();
            prop_assert_eq!(&loaded, &profile);
            for (feature, again) in profile.feature_profiles().iter().zip(loaded.feature_profiles()) {
                for (word, number) in words.iter().zip(&numbers) {
                    prop_assert_eq!(feature.bin_of_word(word), again.bin_of_word(word));
                    prop_assert_eq!(feature.bin_of_number(*number), again.bin_of_number(*number));
                }
            }
        }
    }
}
