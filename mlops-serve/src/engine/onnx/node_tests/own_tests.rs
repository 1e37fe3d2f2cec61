//! Operators that the ONNX project's suite does not exercise, and the tests of ours that do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Operator, Outcome, Report};
use crate::engine::onnx::graph::Domain;
use crate::engine::onnx::ops;

/// Domain and name of the operator, a file with its tests, and a text in it: the name of the test, or that of the
/// operator in a file of cases.
const OWN_TESTS: &[(&str, &str, &str, &str)] = &[
    ("ai.onnx", "ConcatFromSequence", "tests/data/onnx-operators/control.cases", "ConcatFromSequence"),
    ("ai.onnx", "SequenceErase", "tests/data/onnx-operators/control.cases", "SequenceErase"),
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
