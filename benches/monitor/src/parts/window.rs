//! PSI of a new window against what is stored of the reference.

use mlops_core::stats::{Closed, bin_counts, psi_from_counts, quantile_edges};
use serde_json::json;

use super::ours::FLOOR;
use crate::data::DataSet;
use crate::process::measure;
use crate::report::{Comparison, Report, Target};
use crate::{Bench, Failure};

const TASK: &str = "psi of a window";

struct Remembered {
    edges: Vec<f64>,
    counts: Vec<u64>,
}

/// The window is the current table of A; evidently stores nothing of a reference and cannot take part.
pub fn compare(bench: &mut Bench, report: &mut Report) -> Result<(), Failure> {
    let data = DataSet::new("A-window", 100_000 / bench.scale.less, 50, 0);
    bench.load(&data, &[TASK])?;
    let remembered: Vec<Remembered> =
        data.reference.numbers.iter().map(|r| remember(r)).collect::<Result<_, _>>()?;
    for peer in bench.peers.iter_mut().filter(|peer| peer.knows(TASK)) {
        peer.compute("remember", json!({}))?;
    }
    let [_, rows] = data.rows();
    let title = format!("PSI of a window of {rows} rows, 50 numeric columns, against a stored profile");
    let mut comparison = Comparison::new(title, rows * 50).target(Target::TimesLessThanTheBest(3.0));
    for round in 0..=bench.scale.rounds {
        let (cost, values) = measure(|| psi_of_window(&remembered, &data))?;
        values?;
        if round > 0 {
            comparison.add("ours", cost);
        }
        for peer in bench.peers.iter_mut().filter(|peer| peer.knows(TASK)) {
            let answer = peer.compute(TASK, json!({}))?;
            if round > 0 {
                comparison.add(&peer.name, answer.cost());
            }
        }
    }
    report.comparisons.push(comparison);
    Ok(())
}

fn remember(reference: &[f64]) -> Result<Remembered, Failure> {
    let edges = quantile_edges(reference, 10)?;
    let counts = bin_counts(reference, &edges, Closed::Right)?;
    Ok(Remembered { edges, counts })
}

fn psi_of_window(remembered: &[Remembered], data: &DataSet) -> Result<Vec<f64>, Failure> {
    let columns = remembered.iter().zip(&data.current.numbers);
    let psi = |(remembered, current): (&Remembered, &Vec<f64>)| {
        let counts = bin_counts(current, &remembered.edges, Closed::Right)?;
        Ok(psi_from_counts(&remembered.counts, &counts, FLOOR)?)
    };
    columns.map(psi).collect()
}
