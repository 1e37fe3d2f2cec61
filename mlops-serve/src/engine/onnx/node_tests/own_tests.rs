//! Operators that the ONNX project's suite does not exercise, and the tests of ours that do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Operator, Outcome, Report};
use crate::engine::onnx::graph::Domain;
use crate::engine::onnx::ops;

/// Cases compared with onnxruntime by `tests/onnx_operators.rs`; those in `onnx-ml` are by `tests/onnx_ml.rs`, and
/// those in `onnx` by `tests/reference_models.rs`.
const CONTRIB: &str = "tests/data/onnx-operators/contrib.cases";
const CONTROL: &str = "tests/data/onnx-operators/control.cases";
const RANDOM: &str = "src/engine/onnx/ops/random/tests.rs";

/// Domain and name of the operator, a file with its tests, and a text in it.
const OWN_TESTS: &[(&str, &str, &str, &str)] = &[
    ("ai.onnx", "ConcatFromSequence", CONTROL, "ConcatFromSequence"),
    ("ai.onnx", "GlobalLpPool", CONTRIB, "GlobalLpPool"),
    ("ai.onnx", "MaxRoiPool", CONTRIB, "MaxRoiPool"),
    ("ai.onnx", "SimplifiedLayerNormalization", CONTRIB, "SimplifiedLayerNormalization"),
    ("ai.onnx", "Multinomial", RANDOM, "Multinomial"),
    ("ai.onnx", "RandomNormal", RANDOM, "RandomNormal"),
    ("ai.onnx", "RandomNormalLike", RANDOM, "RandomNormalLike"),
    ("ai.onnx", "RandomUniform", RANDOM, "RandomUniform"),
    ("ai.onnx", "SequenceErase", CONTROL, "SequenceErase"),
    ("ai.onnx.ml", "CategoryMapper", "tests/data/onnx-ml/CategoryMapper.cases", "CategoryMapper"),
    ("ai.onnx.ml", "FeatureVectorizer", "tests/data/onnx-ml/FeatureVectorizer.cases", "FeatureVectorizer"),
    ("ai.onnx.ml", "Imputer", "tests/data/onnx-ml/Imputer.cases", "Imputer"),
    ("ai.onnx.ml", "LinearClassifier", "tests/data/onnx-ml/LinearClassifier.cases", "LinearClassifier"),
    ("ai.onnx.ml", "LinearRegressor", "tests/data/onnx-ml/LinearRegressor.cases", "LinearRegressor"),
    ("ai.onnx.ml", "Normalizer", "tests/data/onnx-ml/Normalizer.cases", "Normalizer"),
    ("ai.onnx.ml", "OneHotEncoder", "tests/data/onnx-ml/OneHotEncoder.cases", "OneHotEncoder"),
    ("ai.onnx.ml", "SVMClassifier", "tests/data/onnx-ml/SVMClassifier.cases", "SVMClassifier"),
    ("ai.onnx.ml", "SVMRegressor", "tests/data/onnx-ml/SVMRegressor.cases", "SVMRegressor"),
    ("ai.onnx.ml", "Scaler", "tests/data/onnx-ml/Scaler.cases", "Scaler"),
    (
        "ai.onnx.ml",
        "TreeEnsembleClassifier",
        "tests/data/onnx-ml/TreeEnsembleClassifier.cases",
        "TreeEnsembleClassifier",
    ),
    (
        "ai.onnx.ml",
        "TreeEnsembleRegressor",
        "tests/data/onnx-ml/TreeEnsembleRegressor.cases",
        "TreeEnsembleRegressor",
    ),
    ("ai.onnx.ml", "ZipMap", "tests/data/onnx/logistic_regression_zipmap/model.onnx", "ZipMap"),
    ("com.microsoft", "Attention", CONTRIB, "Attention"),
    ("com.microsoft", "BiasGelu", CONTRIB, "BiasGelu"),
    ("com.microsoft", "DequantizeLinear", CONTRIB, "DequantizeLinear"),
    ("com.microsoft", "DynamicQuantizeMatMul", CONTRIB, "DynamicQuantizeMatMul"),
    ("com.microsoft", "EmbedLayerNormalization", CONTRIB, "EmbedLayerNormalization"),
    ("com.microsoft", "FastGelu", CONTRIB, "FastGelu"),
    ("com.microsoft", "Gelu", CONTRIB, "Gelu"),
    ("com.microsoft", "GroupQueryAttention", CONTRIB, "GroupQueryAttention"),
    ("com.microsoft", "MatMulIntegerToFloat", CONTRIB, "MatMulIntegerToFloat"),
    ("com.microsoft", "MultiHeadAttention", CONTRIB, "MultiHeadAttention"),
    ("com.microsoft", "QGemm", CONTRIB, "QGemm"),
    ("com.microsoft", "QLinearAdd", CONTRIB, "QLinearAdd"),
    ("com.microsoft", "QLinearAveragePool", CONTRIB, "QLinearAveragePool"),
    ("com.microsoft", "QLinearConcat", CONTRIB, "QLinearConcat"),
    ("com.microsoft", "QLinearConv", CONTRIB, "QLinearConv"),
    ("com.microsoft", "QLinearGlobalAveragePool", CONTRIB, "QLinearGlobalAveragePool"),
    ("com.microsoft", "QLinearLeakyRelu", CONTRIB, "QLinearLeakyRelu"),
    ("com.microsoft", "QLinearMul", CONTRIB, "QLinearMul"),
    ("com.microsoft", "QLinearSigmoid", CONTRIB, "QLinearSigmoid"),
    ("com.microsoft", "QLinearSoftmax", CONTRIB, "QLinearSoftmax"),
    ("com.microsoft", "QuantizeLinear", CONTRIB, "QuantizeLinear"),
    ("com.microsoft", "QuickGelu", CONTRIB, "QuickGelu"),
    ("com.microsoft", "RotaryEmbedding", CONTRIB, "RotaryEmbedding"),
    ("com.microsoft", "SimplifiedLayerNormalization", CONTRIB, "SimplifiedLayerNormalization"),
    ("com.microsoft", "SkipLayerNormalization", CONTRIB, "SkipLayerNormalization"),
    ("com.microsoft", "SkipSimplifiedLayerNormalization", CONTRIB, "SkipSimplifiedLayerNormalization"),
    ("com.microsoft", "Tokenizer", "tests/data/onnx-ml/Tokenizer.cases", "Tokenizer"),
];

/// Fails when an operator is exercised neither there nor here.
pub(super) fn check(reports: &[Report]) {
    let passed = reports.iter().filter(|report| matches!(report.outcome, Outcome::Passed));
    let exercised: BTreeSet<&Operator> = passed.flat_map(|report| &report.operators).collect();
    let own: BTreeMap<Operator, (&str, &str)> = OWN_TESTS
        .iter()
        .map(|&(domain, name, file, text)| ((Domain::parse(domain), name.to_owned()), (file, text)))
        .collect();
    let all: BTreeSet<Operator> =
        ops::all().map(|entry| (entry.domain.clone(), entry.name.to_owned())).collect();
    let mut wrong = Vec::new();
    for operator @ (domain, name) in &all {
        match (exercised.contains(operator), own.get(operator)) {
            (false, None) => wrong.push(format!("{domain}.{name} has no test; write one and list it")),
            (true, Some(_)) => wrong.push(format!("{domain}.{name} has tests in the suite; unlist it")),
            _ => {}
        }
    }
    for ((domain, name), (file, text)) in &own {
        let content = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap_or_default();
        if !String::from_utf8_lossy(&content).contains(text) {
            wrong.push(format!("{domain}.{name}: there is no `{text}` in {file}"));
        }
        if !all.contains(&(domain.clone(), name.clone())) {
            wrong.push(format!("{domain}.{name} is listed, but there is no such operator"));
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", file!(), wrong.join("\n"));
}
