//! False alarms of PSI where nothing drifts.

use mlops_core::stats::psi_threshold_chi2;
use serde_json::json;

use super::ours::psi_of_columns;
use crate::data::DataSet;
use crate::report::{Report, Table};
use crate::{Bench, Failure};

const SIZES: [[usize; 2]; 3] = [[10_000, 100], [10_000, 1_000], [1_000, 1_000]];
/// The limit that is in use whatever the sizes of the samples.
const USUAL: f64 = 0.1;
const BINS: usize = 10;

/// Normal columns of which both sides are from one distribution; each column is a run.
pub fn compare(bench: &mut Bench, report: &mut Report) -> Result<(), Failure> {
    let runs = 1_000 / bench.scale.less;
    let mut table = Table {
        title: format!("False alarms of PSI in {runs} runs without drift"),
        columns: [
            "reference, current",
            "ours: PSI beyond the 95 % quantile for the sizes",
            "ours: PSI >= 0.1",
        ]
        .map(str::to_owned)
        .into(),
        rows: Vec::new(),
    };
    let others = || bench.peers.iter().filter(|peer| peer.knows("psi"));
    table.columns.extend(others().map(|peer| format!("{}: PSI >= 0.1", peer.name)));
    for sizes in SIZES {
        let [reference, current] = sizes;
        let data = DataSet::of_kind("null", sizes, runs, |random, _| random.normal());
        bench.load(&data, &["psi"])?;
        let ours = psi_of_columns(&data)?;
        let threshold = psi_threshold_chi2(BINS, reference as u64, current as u64, 0.95)?;
        let mut row = vec![format!("{reference}, {current}"), share(&ours, threshold), share(&ours, USUAL)];
        for peer in bench.peers.iter_mut().filter(|peer| peer.knows("psi")) {
            let values: Vec<f64> = serde_json::from_value(peer.compute("psi", json!({}))?.result)?;
            row.push(share(&values, USUAL));
        }
        table.rows.push(row);
    }
    report.tables.push(table);
    Ok(())
}

fn share(values: &[f64], limit: f64) -> String {
    let alarms = values.iter().filter(|value| **value >= limit).count();
    format!("{:.1} %", 100.0 * alarms as f64 / values.len() as f64)
}
