//! Preprocessing and classical models: the operators of `ai.onnx.ml`.
//!
//! The specification leaves much open here. Where it does, the results are those of onnxruntime, for which the tools
//! that write such models (sklearn-onnx, onnxmltools) are tested.
//!
//! `ZipMap` makes maps from labels to scores; a response holds tensors only, so it gives the scores as they are, in the
//! order of its labels. `CastMap` and `DictVectorizer` take maps, which a request cannot hold either: they are refused.

mod encoding;
mod labels;
mod linear;
mod preprocessing;
mod scores;
mod selection;
mod svm;
mod trees;

use std::borrow::Cow;

use mlops_core::{Error, Result};

use super::{Entry, ml};
use crate::engine::onnx::tensor::{Data, HostTensor};

pub(super) const OPERATORS: &[Entry] = &[
    ml("ArrayFeatureExtractor", 1, selection::array_feature_extractor),
    ml("Binarizer", 1, preprocessing::binarizer),
    ml("CategoryMapper", 1, encoding::category_mapper),
    ml("FeatureVectorizer", 1, preprocessing::feature_vectorizer),
    ml("Imputer", 1, preprocessing::imputer),
    ml("LabelEncoder", 1, encoding::label_encoder),
    ml("LinearClassifier", 1, linear::classifier),
    ml("LinearRegressor", 1, linear::regressor),
    ml("Normalizer", 1, preprocessing::normalizer),
    ml("OneHotEncoder", 1, encoding::one_hot_encoder),
    ml("SVMClassifier", 1, svm::classifier),
    ml("SVMRegressor", 1, svm::regressor),
    ml("Scaler", 1, preprocessing::scaler),
    ml("TreeEnsemble", 5, trees::ensemble),
    ml("TreeEnsembleClassifier", 1, trees::classifier),
    ml("TreeEnsembleRegressor", 1, trees::regressor),
    ml("ZipMap", 1, selection::zip_map),
];

/// Rows and columns of a matrix; a vector is a single row.
fn rows_and_columns(tensor: &HostTensor) -> Result<(usize, usize)> {
    match tensor.shape() {
        [columns] => Ok((1, *columns)),
        [rows, columns] => Ok((*rows, *columns)),
        other => Err(Error::engine(format!("a matrix [rows, features] is needed, not the shape {other:?}"))),
    }
}

/// The elements as 32-bit floats, which is how the classical models compute.
fn floats(tensor: &HostTensor) -> Result<Cow<'_, [f32]>> {
    Ok(match tensor.data() {
        Data::F32(elements) => Cow::Borrowed(elements),
        Data::F64(elements) => elements.iter().map(|&value| value as f32).collect(),
        Data::I32(elements) => elements.iter().map(|&value| value as f32).collect(),
        Data::I64(elements) => elements.iter().map(|&value| value as f32).collect(),
        other => {
            let dtype = other.dtype();
            return Err(Error::engine(format!("FP32, FP64, INT32 or INT64 is needed, not {dtype}")));
        }
    })
}
