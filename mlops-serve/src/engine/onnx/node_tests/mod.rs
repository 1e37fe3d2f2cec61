//! The ONNX project's own backend tests of single operators, as scripts/reference/node_tests.py writes them.
//!
//! They are looked for in the folder that `MLOPS_ONNX_NODE_TESTS` names, else in `target/onnx-node-tests`.
//! `MLOPS_ONNX_NODE_TEST_FILTER` runs only tests whose name contains the text.
//!
//! A run of all tests also makes the table of operators, `docs/onnx-operators.md`, and fails when the committed one is
//! another; `MLOPS_BLESS=1` writes it.

#![allow(clippy::print_stdout)]

mod own_tests;
#[path = "../../../../tests/support/skip.rs"]
mod skip;
mod table;
mod values;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use mlops_core::Error;

use skip::skip;

use super::decode::{self, ExternalData};
use super::graph::Domain;
use super::plan::{Plan, Workspace};
use super::proto::{GraphProto, ModelProto};
use super::value::Value;
use crate::kernels::parallel::Threads;

/// Says how an output differs from what is expected.
type Compare = fn(&Value, &Value) -> Result<(), String>;

/// Operators of which only type and shape are compared.
const RANDOM: [&str; 6] =
    ["Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"];

/// The name of an operator.
type Operator = (Domain, String);

/// A test that was run.
#[derive(Debug)]
struct Report {
    name: String,
    /// The operators of the graph and of graphs inside it, except constants.
    operators: BTreeSet<Operator>,
    outcome: Outcome,
}

/// What became of a test.
#[derive(Debug)]
enum Outcome {
    Passed,
    /// Said to be unsupported, at load or, where only an input tells, at the call.
    Refused(String),
    Failed(String),
}

impl From<Error> for Outcome {
    fn from(cause: Error) -> Self {
        match cause {
            Error::Unsupported { .. } => Self::Refused(cause.to_string()),
            _ => Self::Failed(cause.to_string()),
        }
    }
}

fn folder() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("MLOPS_ONNX_NODE_TESTS") {
        return Some(folder.into());
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/onnx-node-tests");
    folder.is_dir().then_some(folder)
}

/// The test in a folder.
fn run(test: &Path) -> Report {
    let name = test.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let bytes = Bytes::from(std::fs::read(test.join("model.onnx")).unwrap());
    let ModelProto { graph, functions, .. } = decode::parse(&bytes).unwrap();
    let mut operators = BTreeSet::new();
    let called = functions.iter().map(|function| (function.domain.as_deref(), function.name.as_deref()));
    let called: Vec<Operator> =
        called.map(|(domain, name)| operator(domain, name.unwrap_or_default())).collect();
    collect_operators(&graph.unwrap_or_default(), &mut operators);
    operators.retain(|operator| !called.contains(operator));
    let random = |(domain, name): &Operator| *domain == Domain::Onnx && RANDOM.contains(&name.as_str());
    let compare = if operators.iter().any(random) { values::compare_kinds } else { values::compare };
    let outcome = catch_unwind(AssertUnwindSafe(|| load_and_compare(test, &bytes, compare)));
    let outcome = match outcome {
        Ok(Ok(())) => Outcome::Passed,
        Ok(Err(outcome)) => outcome,
        Err(_) => Outcome::Failed("panicked".into()),
    };
    Report { name, operators, outcome }
}

fn operator(domain: Option<&str>, name: &str) -> Operator {
    (Domain::parse(domain.unwrap_or_default()), name.to_owned())
}

fn collect_operators(graph: &GraphProto, operators: &mut BTreeSet<Operator>) {
    for node in &graph.node {
        let name = node.op_type.as_deref().unwrap_or_default();
        if name != "Constant" || graph.node.len() == 1 {
            operators.insert(operator(node.domain.as_deref(), name));
        }
        let attributes = node.attribute.iter();
        attributes.flat_map(|attribute| &attribute.g).for_each(|graph| collect_operators(graph, operators));
    }
}

fn load_and_compare(test: &Path, bytes: &Bytes, compare: Compare) -> Result<(), Outcome> {
    let model = decode::decode(bytes, &ExternalData::in_folder(test))?;
    for optimized in [false, true] {
        let mut graph = model.graph.clone();
        if optimized {
            super::optimize::optimize(&mut graph)?;
            super::optimize::lay_out(&mut graph);
        }
        let plan = Plan::new(&graph, &mut super::ops::build)?;
        for case in 0.. {
            let folder = test.join(format!("test_data_set_{case}"));
            if !folder.is_dir() {
                assert!(case > 0, "there is no data");
                break;
            }
            let inputs = values::read_all(&folder, "input", graph.inputs.len())?;
            let expected = values::read_all(&folder, "output", graph.outputs.len())?;
            compare_twice(&plan, &inputs, &expected, compare).map_err(|outcome| match outcome {
                Outcome::Failed(cause) => {
                    Outcome::Failed(format!("data set {case}, optimized {optimized}: {cause}"))
                }
                other => other,
            })?;
        }
    }
    Ok(())
}

/// The second run takes the plan that is specialised for these shapes, and used memory.
fn compare_twice(plan: &Plan, inputs: &[Value], expected: &[Value], compare: Compare) -> Result<(), Outcome> {
    let mut workspace = Workspace::default();
    for _ in 0..2 {
        let outputs = plan.run(inputs.iter().cloned(), &mut workspace, &Threads::single(), None)?;
        for (index, (actual, expected)) in outputs.iter().zip(expected).enumerate() {
            compare(actual, expected).map_err(|cause| Outcome::Failed(format!("output {index}: {cause}")))?;
        }
    }
    Ok(())
}

/// Runs tests on all processors.
fn run_all(tests: &[PathBuf]) -> Vec<Report> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut reports = Vec::new();
        while let Some(test) = tests.get(next.fetch_add(1, Ordering::Relaxed)) {
            reports.push(run(test));
        }
        reports
    };
    let mut reports: Vec<Report> = std::thread::scope(|scope| {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    reports.sort_by(|a, b| (&a.operators, &a.name).cmp(&(&b.operators, &b.name)));
    reports
}

#[test]
fn the_backend_tests_of_onnx_pass() {
    let Some(folder) = folder() else {
        return skip("the ONNX backend tests are not there; scripts/ci-setup installs them");
    };
    let filter = std::env::var("MLOPS_ONNX_NODE_TEST_FILTER").unwrap_or_default();
    let folders = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let named =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().contains(&filter));
    let tests: Vec<PathBuf> = folders.filter(|path| path.is_dir() && named(path)).collect();
    let reports = run_all(&tests);

    let (mut passed, mut refused, mut failed) = (0, 0, 0);
    for Report { name, operators, outcome } in &reports {
        let operators = operators.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>().join(" ");
        match outcome {
            Outcome::Passed => passed += 1,
            Outcome::Refused(why) => {
                refused += 1;
                println!("refused {operators:.80}: {name}: {why}");
            }
            Outcome::Failed(why) => {
                failed += 1;
                println!("FAILED {operators:.80}: {name}: {why}");
            }
        }
    }
    println!("{passed} passed, {refused} refused, {failed} failed");
    assert_eq!(failed, 0, "tests of the ONNX project failed");
    if filter.is_empty() {
        own_tests::check(&reports);
        table::check(&reports);
    }
}
