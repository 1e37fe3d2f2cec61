//! The comparisons of one shadow so far.

use std::collections::BTreeMap;

use mlops_core::{Tensor, Tensors, Variant};

use crate::routed::compare::{Agreement, Comparisons, Distributions};
use crate::routed::report::{Disagreement, OutputReport, OutputValues, ShadowComparison, ShadowReport};
use crate::routed::sample::Sample;

/// In fixed memory: counts, and samples of capped size, of a capped number of outputs.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    pub(super) answered: u64,
    pub(super) failed: u64,
    pub(super) late: u64,
    comparison: ShadowComparison,
    outputs: BTreeMap<String, OutputTally>,
}

#[derive(Debug, Clone)]
struct OutputTally {
    compared: u64,
    disagreed: u64,
    incomparable: u64,
    sum: f64,
    largest: f64,
    disagreements: Sample<Disagreement>,
    distributions: Option<Distributions>,
}

/// A shadow that makes up names of outputs may not fill the memory.
const MOST_OUTPUTS: usize = 256;

impl Tally {
    pub(super) fn new(comparisons: &Comparisons) -> Self {
        let named = comparisons.named().into_iter();
        let outputs = named.map(|name| (name.to_owned(), OutputTally::new(name, comparisons)));
        Self { outputs: outputs.collect(), ..Self::default() }
    }

    pub(super) fn comparison(&self) -> ShadowComparison {
        self.comparison
    }

    /// Takes in what the comparers have said of one request, and the values behind it. Says whether all agree.
    pub(super) fn add(
        &mut self,
        comparisons: &Comparisons,
        said: &[(&str, Agreement)],
        request: Option<&str>,
        primary: &Tensors,
        shadow: &Tensors,
    ) -> bool {
        let agree = said.iter().all(|(_, agreement)| agreement.agrees());
        self.comparison.add(agree);
        for (name, agreement) in said {
            if let Some(output) = self.output(name, comparisons) {
                output.add(*agreement, request, primary.get(name), shadow.get(name));
            }
        }
        for (name, output) in &mut self.outputs {
            if let (Some(distributions), Some(one), Some(other)) =
                (&mut output.distributions, primary.get(name), shadow.get(name))
            {
                distributions.add(one, other);
            }
        }
        agree
    }

    fn output(&mut self, name: &str, comparisons: &Comparisons) -> Option<&mut OutputTally> {
        if !self.outputs.contains_key(name) && self.outputs.len() < MOST_OUTPUTS {
            self.outputs.insert(name.to_owned(), OutputTally::new(name, comparisons));
        }
        self.outputs.get_mut(name)
    }

    pub(super) fn report(&self, shadow: Variant, copies: u64, dropped: u64) -> ShadowReport {
        ShadowReport {
            shadow,
            copies,
            dropped,
            answered: self.answered,
            failed: self.failed,
            late: self.late,
            comparison: self.comparison,
            outputs: self.outputs.iter().map(|(name, output)| output.report(name)).collect(),
        }
    }
}

impl OutputTally {
    fn new(name: &str, comparisons: &Comparisons) -> Self {
        Self {
            compared: 0,
            disagreed: 0,
            incomparable: 0,
            sum: 0.0,
            largest: 0.0,
            disagreements: Sample::new(comparisons.kept(), 0),
            distributions: comparisons.distribution(name).map(Distributions::new),
        }
    }

    fn add(
        &mut self,
        agreement: Agreement,
        request: Option<&str>,
        primary: Option<&Tensor>,
        shadow: Option<&Tensor>,
    ) {
        self.compared += 1;
        let difference = agreement.distance();
        match difference {
            Some(distance) => {
                self.sum += distance;
                self.largest = self.largest.max(distance);
            }
            None => self.incomparable += 1,
        }
        if !agreement.agrees() {
            self.disagreed += 1;
            self.disagreements.offer(|| Disagreement {
                request: request.map(str::to_owned),
                primary: primary.map(OutputValues::of),
                shadow: shadow.map(OutputValues::of),
                difference,
            });
        }
    }

    fn report(&self, name: &str) -> OutputReport {
        let measured = self.compared - self.incomparable;
        OutputReport {
            output: name.to_owned(),
            compared: self.compared,
            disagreed: self.disagreed,
            incomparable: self.incomparable,
            mean_difference: (measured > 0)
                .then(|| self.sum / measured as f64)
                .filter(|mean| mean.is_finite()),
            largest_difference: (measured > 0).then_some(self.largest),
            distribution: self.distributions.as_ref().map(Distributions::report),
            disagreements: self.disagreements.kept().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SameDistribution, Verdict, Within};

    fn add(tally: &mut Tally, comparisons: &Comparisons, id: &str, primary: &Tensors, shadow: &Tensors) {
        tally.add(comparisons, &comparisons.compare(primary, shadow), Some(id), primary, shadow);
    }

    fn y(value: f32) -> Tensors {
        Tensors::new().with("y", vec![value])
    }

    fn reported(tally: &Tally) -> ShadowReport {
        tally.report(Variant::new("next").unwrap(), 0, 0)
    }

    #[test]
    fn differences_are_counted_measured_and_kept() {
        let comparisons = Comparisons::from(Within::new(0.5, 0.0));
        let mut tally = Tally::new(&comparisons);
        for (id, shadow) in [("a", 1.0), ("b", 1.25), ("c", 3.0), ("d", f32::NAN)] {
            add(&mut tally, &comparisons, id, &y(1.0), &y(shadow));
        }
        add(&mut tally, &comparisons, "e", &y(1.0), &Tensors::new());
        let report = reported(&tally);
        assert_eq!((report.comparison.compared, report.comparison.agreed), (5, 2));
        let output = report.output("y").unwrap();
        assert_eq!((output.compared, output.disagreed, output.incomparable), (5, 3, 2));
        assert_eq!((output.mean_difference, output.largest_difference), (Some(0.75), Some(2.0)));
        assert_eq!(output.share_disagreed(), Some(0.6));
        let kept: Vec<_> = output.disagreements.iter().map(ToString::to_string).collect();
        let expected = [
            "request c: FP32 [1] 1 | FP32 [1] 3 (2.0000e0 apart)",
            "request d: FP32 [1] 1 | FP32 [1] NaN (incomparable)",
            "request e: FP32 [1] 1 | nothing (incomparable)",
        ];
        assert_eq!(kept, expected);

        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<ShadowReport>(&json).unwrap(), report);
        let table = report.to_string();
        assert!(table.contains("2 of 5 answers agree (40.00 %)"), "{table}");
        assert!(
            table.contains("\ny               5          3             2    7.5000e-1     2.0000e0  -\n"),
            "{table}"
        );
    }

    #[test]
    fn outputs_that_were_named_are_reported_though_they_never_come() {
        let comparisons = Comparisons::new()
            .with_output("typo", Within::new(0.1, 0.0))
            .with_distribution("y", SameDistribution::new().with_min_values(50));
        let mut tally = Tally::new(&comparisons);
        for index in 0..60_u8 {
            add(&mut tally, &comparisons, "", &y(index.into()), &y(f32::from(index) + 30.0));
        }
        let report = reported(&tally);
        assert_eq!(report.output("typo").unwrap().compared, 0);
        assert_eq!(report.output("typo").unwrap().share_disagreed(), None);
        let output = report.output("y").unwrap();
        assert_eq!((output.compared, output.mean_difference, output.largest_difference), (0, None, None));
        assert_eq!(output.distribution.as_ref().unwrap().verdict, Verdict::Failed);
    }

    #[test]
    fn memory_is_bounded() {
        let comparisons = Comparisons::new().with_kept_disagreements(3);
        let mut tally = Tally::new(&comparisons);
        for index in 0..1_000 {
            let shadow = y(1.0).with(format!("output-{index}"), vec![1_i64]);
            add(&mut tally, &comparisons, "", &y(0.0), &shadow);
        }
        let report = reported(&tally);
        assert_eq!(report.outputs.len(), MOST_OUTPUTS);
        assert!(report.outputs.iter().all(|output| output.disagreements.len() <= 3));
        assert_eq!((report.comparison.compared, report.output("y").unwrap().disagreed), (1_000, 1_000));
    }
}
