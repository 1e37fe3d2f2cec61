//! What a window says about each feature.

use std::cmp::Reverse;
use std::fmt;

use mlops_core::{Assessment, Verdict};
use serde::{Deserialize, Serialize};

use crate::Signal;

/// How many features the table shows before it only counts stable ones.
const SHOWN: usize = 20;

/// What a window of live values says about each feature.
///
/// [`Display`](fmt::Display) makes a table of it, the drifted features first; `{:#}` also lists every stable
/// feature of a wide model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DriftReport {
    /// The worst verdict of any feature.
    pub verdict: Verdict,
    /// How many rows the window has.
    pub rows: u64,
    /// How many rows the reference has.
    pub reference_rows: u64,
    /// How many tensors of the window did not fit the profile and were left out.
    pub dropped: u64,
    /// Every feature, in the order of the profile.
    pub features: Vec<FeatureDrift>,
}

/// What a window of live values says about one feature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FeatureDrift {
    /// The name.
    pub feature: String,
    /// The worst verdict of any test.
    pub verdict: Verdict,
    /// The outcome of each test. Verdicts take the number of features into account, p-values do not, and adjusted
    /// ones do.
    pub assessments: Vec<Assessment>,
    /// The least false-discovery rate at which the feature would be named by any test with a p-value (Benjamini &
    /// Hochberg over the features of each test).
    pub adjusted_p_value: Option<f64>,
    /// The share of missing values in the window, 0 to 1.
    pub missing: f64,
    /// The share of missing values in the reference, 0 to 1.
    pub reference_missing: f64,
}

impl DriftReport {
    /// The names of the features that have changed, the strongest change first.
    pub fn drifted(&self) -> impl Iterator<Item = &str> {
        let drifted = |feature: &&FeatureDrift| feature.verdict == Verdict::Drifted;
        self.by_severity().into_iter().filter(drifted).map(|feature| feature.feature.as_str())
    }

    /// What it says about the feature of that name.
    #[must_use]
    pub fn feature(&self, name: &str) -> Option<&FeatureDrift> {
        self.features.iter().find(|feature| feature.feature == name)
    }

    /// The tests, in the order of their first appearance.
    fn tests(&self) -> Vec<&str> {
        let mut tests = Vec::new();
        for assessment in self.features.iter().flat_map(|feature| &feature.assessments) {
            if !tests.contains(&assessment.test.as_str()) {
                tests.push(assessment.test.as_str());
            }
        }
        tests
    }

    /// What alert rules look at. Of each feature (label `feature`):
    /// * `drift.TEST`: the score of each test, say `drift.psi`,
    /// * `drift.p_value`: the adjusted p-value of each test that has one (label `test`),
    /// * `drift.verdict`: 0 without evidence, 1 for a warning, 2 for drift; nothing with too few samples,
    /// * `drift.missing`: the share of missing values.
    ///
    /// Of the whole window:
    /// * `drift.drifted_features` and `drift.drifted_share`: how many features have drifted, and which share,
    /// * `drift.rows`, `drift.dropped`: how many rows there were, and tensors that did not fit.
    #[must_use]
    pub fn signals(&self) -> Vec<Signal> {
        let mut signals = Vec::new();
        for feature in &self.features {
            let of = |name: String, value: f64| {
                Signal::new(name, value).with_label("feature", feature.feature.as_str())
            };
            for assessment in &feature.assessments {
                let evidence = serde_json::to_value(assessment).unwrap_or_default();
                if let Some(score) = assessment.score {
                    signals.push(
                        of(format!("drift.{}", assessment.test), score).with_evidence(evidence.clone()),
                    );
                }
                if let Some(p_value) = assessment.adjusted_p_value.or(assessment.p_value) {
                    let signal =
                        of("drift.p_value".to_owned(), p_value).with_label("test", assessment.test.as_str());
                    signals.push(signal.with_evidence(evidence));
                }
            }
            let grade = match feature.verdict {
                Verdict::TooFewSamples => None,
                Verdict::Stable => Some(0.0),
                Verdict::Warning => Some(1.0),
                Verdict::Drifted => Some(2.0),
            };
            let evidence = serde_json::to_value(feature).unwrap_or_default();
            signals.extend(grade.map(|grade| of("drift.verdict".to_owned(), grade).with_evidence(evidence)));
            signals.push(of("drift.missing".to_owned(), feature.missing));
        }
        let drifted: Vec<&str> = self.drifted().collect();
        let count = drifted.len() as f64;
        let evidence = serde_json::json!({ "drifted": drifted, "rows": self.rows });
        let share = count / self.features.len().max(1) as f64;
        for (name, value) in [("drift.drifted_features", count), ("drift.drifted_share", share)] {
            signals.push(Signal::new(name, value).with_evidence(evidence.clone()));
        }
        signals.push(Signal::new("drift.rows", self.rows as f64));
        signals.push(Signal::new("drift.dropped", self.dropped as f64));
        signals
    }

    /// By verdict, then by the score of the first test.
    pub(crate) fn by_severity(&self) -> Vec<&FeatureDrift> {
        let score = |feature: &FeatureDrift| feature.assessments.first().and_then(|test| test.score);
        let mut features: Vec<_> = self.features.iter().collect();
        features.sort_by(|a, b| {
            let scores = score(b).unwrap_or(0.0).total_cmp(&score(a).unwrap_or(0.0));
            Reverse(a.verdict).cmp(&Reverse(b.verdict)).then(scores)
        });
        features
    }
}

impl FeatureDrift {
    /// The outcome of that test: `psi`, `ks`.
    #[must_use]
    pub fn assessment(&self, test: &str) -> Option<&Assessment> {
        self.assessments.iter().find(|assessment| assessment.test == test)
    }

    /// The cells of its line in the table.
    fn cells(&self, tests: &[&str]) -> Vec<String> {
        let number = |number: Option<f64>| number.map_or("-".to_owned(), |number| format!("{number:.3}"));
        let mut cells = vec![self.feature.clone(), self.verdict.to_string()];
        cells.extend(
            tests.iter().map(|test| number(self.assessment(test).and_then(|assessment| assessment.score))),
        );
        cells.push(match self.adjusted_p_value {
            Some(p) if p < 0.001 => "<0.001".to_owned(),
            p => number(p),
        });
        cells.push(format!("{:.1}%", 100.0 * self.missing));
        cells
    }
}

impl fmt::Display for DriftReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let drifted = self.features.iter().filter(|feature| feature.verdict == Verdict::Drifted).count();
        write!(f, "{}: {drifted} of {} features have drifted", self.verdict, self.features.len())?;
        write!(f, " ({} rows against {} of the reference", self.rows, self.reference_rows)?;
        match self.dropped {
            0 => writeln!(f, ")")?,
            dropped => writeln!(f, "; {dropped} tensors did not fit)")?,
        }

        let tests = self.tests();
        let mut heading = vec!["feature".to_owned(), "verdict".to_owned()];
        heading.extend(tests.iter().map(|test| (*test).to_owned()));
        heading.extend(["adjusted p".to_owned(), "missing".to_owned()]);

        let features = self.by_severity();
        let alarming = features.iter().take_while(|feature| feature.verdict > Verdict::Stable).count();
        let shown = if f.alternate() { features.len() } else { features.len().min(alarming.max(SHOWN)) };
        let mut lines = vec![heading];
        lines.extend(features.iter().take(shown).map(|feature| feature.cells(&tests)));
        write_table(f, &lines)?;
        match features.len() - shown {
            0 => Ok(()),
            hidden => writeln!(f, "and {hidden} more without evidence of change"),
        }
    }
}

/// Columns as wide as their widest cell; the first two to the left, numbers to the right.
pub(crate) fn write_table(f: &mut fmt::Formatter<'_>, lines: &[Vec<String>]) -> fmt::Result {
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..lines.iter().map(Vec::len).max().unwrap_or(0)).map(width).collect();
    for line in lines {
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            match column {
                0 => write!(f, "{cell:<width$}")?,
                1 => write!(f, "  {cell:<width$}")?,
                _ => write!(f, "  {cell:>width$}")?,
            }
        }
        writeln!(f)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feature(name: &str, verdict: Verdict, psi: f64) -> FeatureDrift {
        FeatureDrift {
            feature: name.to_owned(),
            verdict,
            assessments: vec![Assessment::new("psi", psi, verdict, 1000, 200)],
            adjusted_p_value: (psi > 0.2).then_some(1e-9),
            missing: psi / 10.0,
            reference_missing: 0.0,
        }
    }

    fn report(features: Vec<FeatureDrift>) -> DriftReport {
        DriftReport { verdict: Verdict::Drifted, rows: 200, reference_rows: 1000, dropped: 3, features }
    }

    #[test]
    fn the_table_begins_with_what_has_drifted() {
        let report = report(vec![
            feature("age", Verdict::Stable, 0.01),
            feature("income", Verdict::Drifted, 0.31),
            feature("tenure", Verdict::Drifted, 1.5),
            feature("city", Verdict::Warning, 0.15),
        ]);
        assert_eq!(report.drifted().collect::<Vec<_>>(), ["tenure", "income"]);
        assert_eq!(
            report.to_string(),
            "drifted: 2 of 4 features have drifted (200 rows against 1000 of the reference; 3 tensors did not fit)\n\
             feature  verdict    psi  adjusted p  missing\n\
             tenure   drifted  1.500      <0.001    15.0%\n\
             income   drifted  0.310      <0.001     3.1%\n\
             city     warning  0.150           -     1.5%\n\
             age      stable   0.010           -     0.1%\n"
        );
    }

    #[test]
    fn the_table_of_a_wide_model_only_counts_what_is_stable() {
        let names: Vec<String> = (0..100).map(|i| format!("f{i}")).collect();
        let verdict = |i: usize| if i < 30 { Verdict::Drifted } else { Verdict::Stable };
        let report =
            report(names.iter().enumerate().map(|(i, name)| feature(name, verdict(i), 0.3)).collect());
        assert_eq!(report.to_string().lines().count(), 1 + 1 + 30 + 1);
        assert!(report.to_string().ends_with("and 70 more without evidence of change\n"));
        assert_eq!(format!("{report:#}").lines().count(), 1 + 1 + 100);
    }

    #[test]
    fn reports_survive_json() {
        let report = report(vec![feature("age", Verdict::Stable, 0.01)]);
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<DriftReport>(&json).unwrap(), report);
    }
}
