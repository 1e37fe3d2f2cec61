//! Whether the answers are right.

use serde_json::{Value, json};

use super::ours::{ks_of_columns, psi_of_columns};
use crate::data::DataSet;
use crate::report::{Report, Table};
use crate::{Bench, Failure};

/// Samples of two distributions whose PSI over deciles and KS are known.
pub fn compare(bench: &mut Bench, report: &mut Report) -> Result<(), Failure> {
    let rows = [100_000 / bench.scale.less; 2];
    let lognormal = DataSet::of_kind("lognormal", rows, 1, |random, side| {
        (2.0 * random.normal()).exp() * [1.0, 2.0][side]
    });
    let cauchy = DataSet::of_kind("cauchy", rows, 1, |random, side| random.cauchy() + [0.0, 2.0][side]);
    let mut table = Table {
        title: format!("Answers on samples of {} values, and what is true of the distributions", rows[0]),
        columns: ["", "truth", "ours"].map(str::to_owned).into(),
        rows: Vec::new(),
    };
    table.columns.extend(bench.peers.iter().map(|peer| peer.name.clone()));
    let mut truth = Value::Null;
    for peer in bench.peers.iter_mut().filter(|peer| peer.knows("truth")) {
        truth = peer.compute("truth", json!({}))?.result;
    }
    for (case, data) in [("lognormal doubled", &lognormal), ("Cauchy shifted", &cauchy)] {
        bench.load(data, &["psi", "ks"])?;
        for (task, ours) in [("psi", psi_of_columns(data)?), ("ks", ks_of_columns(data)?)] {
            let mut row =
                vec![format!("{}, {case}", task.to_uppercase()), figure(truth[case][task].as_f64())];
            row.push(figure(ours.first().copied()));
            for peer in &mut bench.peers {
                let answer =
                    if peer.knows(task) { Some(peer.compute(task, json!({}))?.result) } else { None };
                row.push(figure(answer.and_then(|answer| answer[0].as_f64())));
            }
            table.rows.push(row);
        }
    }
    report.tables.push(table);
    Ok(())
}

fn figure(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.3}"))
}
