//! The table of operators in `docs/onnx-operators.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use super::{Operator, Outcome, Report};
use crate::engine::onnx::graph::Domain;
use crate::engine::onnx::ops;

/// What became of the tests of an operator.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    passed: usize,
    /// Refused for element types that are not there.
    without_type: usize,
    /// Refused for other reasons.
    refused: usize,
}

impl Counts {
    fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Passed => self.passed += 1,
            Outcome::Refused(why) if why.contains("the element type") => self.without_type += 1,
            Outcome::Refused(_) | Outcome::Failed(_) => self.refused += 1,
        }
    }

    fn tests(self) -> usize {
        self.passed + self.without_type + self.refused
    }
}

/// Fails when the committed table is not what this run gives.
pub(super) fn check(reports: &[Report]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/onnx-operators.md");
    let table = table(reports);
    if std::env::var_os("MLOPS_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &table).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let different = table.lines().zip(committed.lines()).find(|(now, then)| now != then);
    assert!(
        committed == table,
        "{} is out of date ({different:?}): run this test with MLOPS_BLESS=1, and read what changed",
        path.display()
    );
}

fn table(reports: &[Report]) -> String {
    let mut counts: BTreeMap<&Operator, Counts> = BTreeMap::new();
    let (mut alone, mut together, mut all) = (0, Counts::default(), Counts::default());
    for report in reports {
        all.add(&report.outcome);
        match subject(report) {
            Some(operator) => {
                alone += 1;
                counts.entry(operator).or_default().add(&report.outcome);
            }
            None => together.add(&report.outcome),
        }
    }
    let mut table = introduction(reports.len(), alone, together, all);
    let mut domain = None;
    let mut entries: BTreeMap<Operator, i64> =
        ops::all().map(|entry| ((entry.domain.clone(), entry.name.to_owned()), entry.since)).collect();
    entries.insert((Domain::Onnx, "Constant".into()), 1); // becomes one when the file is read
    for (operator, since) in &entries {
        let (own, name) = operator;
        if domain != Some(own) {
            domain = Some(own);
            let _ = write!(
                table,
                "\n## {own}\n\n| operator | from | tests | passed | no such type | refused |\n|---|--:|--:|--:|--:|--:|\n"
            );
        }
        let row = match counts.get(operator) {
            Some(&counts) => row(counts),
            None => "own tests | | |".into(),
        };
        let _ = writeln!(table, "| {name} | {since} | {row} |");
    }
    let absent: BTreeSet<String> = counts
        .keys()
        .filter(|operator| !entries.contains_key(operator))
        .map(|(domain, name)| match domain {
            Domain::Onnx => format!("`{name}`"),
            other => format!("`{other}.{name}`"),
        })
        .collect();
    let absent = absent.into_iter().collect::<Vec<_>>().join(", ");
    let _ = write!(
        table,
        "\n## Not there\n\nOf the operators that have tests, these are refused at load, by name: {absent}.\n"
    );
    table
}

fn introduction(tests: usize, alone: usize, together: Counts, all: Counts) -> String {
    let (onnx, ml) = (ops::NEWEST_ONNX, ops::NEWEST_ML);
    let version = version();
    let (passed, without_type, refused) = (all.passed, all.without_type, all.refused);
    let (others, others_passed) = (together.tests(), together.passed);
    format!(
        "# Operators

Each operator is there from the operator set in the column `from` up to {onnx} of ai.onnx and {ml} of ai.onnx.ml, the
newest that are known. The tests are the ONNX project's own for single operators, as onnx {version} makes them: of
{tests}, {passed} pass, {without_type} are refused for an element type that is not there (floats of 8 and 4 bits,
integers of 4 and 2 bits, complex numbers), and {refused} are refused for another reason. {alone} are tests of one
operator and counted below; the other {others}, of which {others_passed} pass, are graphs of several. Operators with
`own tests` have none there.

`src/engine/onnx/node_tests` makes this file.
"
    )
}

/// The version of the Python package `onnx` whose tests these are.
fn version() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/reference/requirements.txt");
    let requirements = std::fs::read_to_string(path).unwrap();
    let version = requirements.lines().find_map(|line| line.strip_prefix("onnx=="));
    version.unwrap().trim().to_owned()
}

/// The operator that a test is about; `None` when its graph has several.
fn subject(report: &Report) -> Option<&Operator> {
    let mut operators = report.operators.iter();
    let with_graphs = |name: &str| matches!(name, "If" | "Loop" | "Scan" | "SequenceMap");
    if report.name.ends_with("_expanded") || report.name.contains("_expanded_ver") {
        return None;
    }
    match report.operators.len() {
        1 => operators.next(),
        _ => operators.find(|(_, name)| with_graphs(name)),
    }
}

fn row(counts: Counts) -> String {
    let number = |count: usize| if count == 0 { String::new() } else { count.to_string() };
    let (tests, passed) = (counts.tests(), counts.passed);
    format!("{tests} | {passed} | {} | {}", number(counts.without_type), number(counts.refused))
}
