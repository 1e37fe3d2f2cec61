//! PSI and KS of two tables.

use serde_json::json;

use super::ours::{ks_of_columns, psi_of_columns};
use crate::data::DataSet;
use crate::process::measure;
use crate::report::{Comparison, Report, Target};
use crate::{Bench, Failure};

type Compute = fn(&DataSet) -> Result<Vec<f64>, Failure>;
const TASKS: [(&str, Compute); 2] = [("psi", psi_of_columns), ("ks", ks_of_columns)];

/// On A, 100,000 rows of 50 numbers and 10 categories, and on B, a million rows of 10 numbers.
pub fn compare(bench: &mut Bench, report: &mut Report) -> Result<(), Failure> {
    let less = bench.scale.less;
    for (name, rows, numeric, categorical) in [("A", 100_000, 50, 10), ("B", 1_000_000, 10, 0)] {
        let data = DataSet::new(name, rows / less, numeric, categorical);
        bench.load(&data, &["psi", "ks"])?;
        for (task, compute) in TASKS {
            eprintln!("    {task} of {name}");
            report.comparisons.push(compare_one(bench, &data, task, compute)?);
        }
    }
    Ok(())
}

fn compare_one(
    bench: &mut Bench,
    data: &DataSet,
    task: &str,
    compute: Compute,
) -> Result<Comparison, Failure> {
    let [rows, _] = data.rows();
    let (numeric, categorical) = (data.reference.numbers.len(), data.reference.codes.len());
    let (categorical, values) = match task {
        "psi" if categorical > 0 => {
            (format!(" and {categorical} categorical"), 2 * rows * (numeric + categorical))
        }
        _ => (String::new(), data.numbers()),
    };
    let name = task.to_uppercase();
    let title = format!(
        "{name} of {}: {rows} rows against {rows}, {numeric} numeric{categorical} columns",
        data.name
    );
    let mut comparison = Comparison::new(title, values)
        .of_input(data.bytes())
        .target(Target::TimesLessThanTheBest(3.0))
        .target(Target::TimesLessThan("evidently".to_owned(), 50.0))
        .target(Target::ShareOfTheInput(0.1));
    for round in 0..=bench.scale.rounds {
        let (cost, values) = measure(|| compute(data))?;
        values?;
        if round > 0 {
            comparison.add("ours", cost);
        }
        for peer in bench.peers.iter_mut().filter(|peer| peer.knows(task)) {
            let answer = peer.compute(task, json!({}))?;
            if round > 0 {
                comparison.add(&peer.name, answer.cost());
            }
        }
    }
    Ok(comparison)
}
