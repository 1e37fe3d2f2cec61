//! Operators that the ONNX project's suite does not exercise, and the tests of ours that do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Operator, Outcome, Report};
use crate::engine::onnx::graph::Domain;
use crate::engine::onnx::ops;

/// Domain and name of the operator, and where its test is: file and function.
const OWN_TESTS: &[(&str, &str, &str, &str)] = &[
    ("", "Multinomial", RANDOM, "classes_come_as_often_as_their_logarithms_say"),
    ("", "RandomNormal", RANDOM, "a_seed_gives_the_numbers_of_the_reference"),
    ("", "RandomNormalLike", RANDOM, "a_seed_gives_the_numbers_of_the_reference"),
    ("", "RandomUniform", RANDOM, "a_seed_gives_the_numbers_of_the_reference"),
    ("com.microsoft", "BiasGelu", ACTIVATION, "the_gelus_of_onnxruntime"),
    ("com.microsoft", "DequantizeLinear", QUANTIZATION, "the_same_operators_under_another_name"),
    ("com.microsoft", "DynamicQuantizeMatMul", QUANTIZATION, "products_are_quantised_or_real"),
    ("com.microsoft", "FastGelu", ACTIVATION, "the_gelus_of_onnxruntime"),
    ("com.microsoft", "Gelu", ACTIVATION, "the_gelus_of_onnxruntime"),
    ("com.microsoft", "MatMulIntegerToFloat", QUANTIZATION, "products_are_quantised_or_real"),
    ("com.microsoft", "QGemm", QUANTIZATION, "products_are_quantised_or_real"),
    ("com.microsoft", "QLinearAdd", QUANTIZATION, "sums_and_products_are_quantised_again"),
    ("com.microsoft", "QLinearAveragePool", QUANTIZATION, "averages_count_padding_if_they_shall"),
    ("com.microsoft", "QLinearConcat", QUANTIZATION, "parts_with_scales_of_their_own_are_joined"),
    ("com.microsoft", "QLinearConv", QUANTIZATION, "the_same_operators_under_another_name"),
    ("com.microsoft", "QLinearGlobalAveragePool", QUANTIZATION, "averages_count_padding_if_they_shall"),
    ("com.microsoft", "QLinearLeakyRelu", QUANTIZATION, "functions_are_those_of_the_real_numbers"),
    ("com.microsoft", "QLinearMul", QUANTIZATION, "sums_and_products_are_quantised_again"),
    ("com.microsoft", "QLinearSigmoid", QUANTIZATION, "functions_are_those_of_the_real_numbers"),
    ("com.microsoft", "QLinearSoftmax", QUANTIZATION, "functions_are_those_of_the_real_numbers"),
    ("com.microsoft", "QuantizeLinear", QUANTIZATION, "the_same_operators_under_another_name"),
    ("com.microsoft", "QuickGelu", ACTIVATION, "the_gelus_of_onnxruntime"),
];

const ACTIVATION: &str = "src/engine/onnx/ops/activation/tests.rs";
const QUANTIZATION: &str = "src/engine/onnx/ops/quantization/tests.rs";
const RANDOM: &str = "src/engine/onnx/ops/random/tests.rs";

/// Fails when an operator is exercised neither there nor here.
pub(super) fn check(reports: &[Report]) {
    let passed = reports.iter().filter(|report| matches!(report.outcome, Outcome::Passed));
    let exercised: BTreeSet<&Operator> = passed.flat_map(|report| &report.operators).collect();
    let own: BTreeMap<Operator, (&str, &str)> = OWN_TESTS
        .iter()
        .map(|&(domain, name, file, test)| ((Domain::parse(domain), name.to_owned()), (file, test)))
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
    for ((domain, name), (file, test)) in &own {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file));
        if !text.is_ok_and(|text| text.contains(&format!("fn {test}("))) {
            wrong.push(format!("{domain}.{name}: there is no test `{test}` in {file}"));
        }
        if !all.contains(&(domain.clone(), name.clone())) {
            wrong.push(format!("{domain}.{name} is listed, but there is no such operator"));
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", file!(), wrong.join("\n"));
}
