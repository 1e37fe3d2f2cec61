//! Change detectors, one observation at a time.

use mlops_core::stats::change::{Adwin, ChangeDetector, PageHinkley};
use serde_json::json;

use crate::data::DataSet;
use crate::process::measure;
use crate::report::{Comparison, Report, Target};
use crate::{Bench, Failure};

/// A normal stream whose mean changes four times.
pub fn compare(bench: &mut Bench, report: &mut Report) -> Result<(), Failure> {
    let length = 500_000 / bench.scale.less;
    let mut seen = 0;
    let data = DataSet::of_kind("stream", [1, length], 1, |random, _| {
        seen += 1;
        random.normal() + (5 * seen / length) as f64 % 2.0
    });
    bench.load(&data, &["adwin"])?;
    let stream = &data.current.numbers[0];
    for (title, task) in [("ADWIN", "adwin"), ("Page-Hinkley", "page_hinkley")] {
        let title = format!("{title}: {length} observations, one at a time");
        let mut comparison = Comparison::new(title, length).target(Target::TimesLessThanTheBest(5.0));
        for round in 0..=bench.scale.rounds {
            let (cost, found) = match task {
                "adwin" => measure(|| detections(Adwin::default(), stream))?,
                _ => measure(|| detections(PageHinkley::default(), stream))?,
            };
            if round > 0 {
                comparison.add("ours", cost);
            }
            for peer in bench.peers.iter_mut().filter(|peer| peer.knows(task)) {
                let answer = peer.compute(task, json!({}))?;
                if answer.result != json!(found) {
                    let name = &peer.name;
                    return Err(
                        format!("{task}: {name} finds {} changes, ours {found}", answer.result).into()
                    );
                }
                if round > 0 {
                    comparison.add(&peer.name, answer.cost());
                }
            }
        }
        report.comparisons.push(comparison);
    }
    Ok(())
}

fn detections(mut detector: impl ChangeDetector, stream: &[f64]) -> usize {
    stream.iter().filter(|&&value| detector.update(value).is_drift()).count()
}
