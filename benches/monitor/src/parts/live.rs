//! Counting live values in the bins of a profile.

use std::thread;
use std::time::Instant;

use mlops_core::{Tensor, Tensors};
use mlops_monitor::{Counters, Features, Profile, TensorFeatures};

use crate::data::DataSet;
use crate::process;
use crate::report::{Report, Table, median};
use crate::{Bench, Failure};

const COLUMNS: usize = 50;

/// Rows of numbers, one row at a time and in batches, by one thread and by two.
fn table(bench: &Bench) -> Result<Table, Failure> {
    let rows = 20_000 / bench.scale.less;
    let data = DataSet::new("live", rows, COLUMNS, 0);
    let names = (0..COLUMNS).map(|column| format!("n{column}"));
    let features = Features::new([TensorFeatures::columns("x", names)])?;
    let flat = by_rows(&data.current.numbers, rows);
    let reference = Tensor::from_vec(&[rows, COLUMNS], by_rows(&data.reference.numbers, rows))?;
    let profile = Profile::from_tensors(&Tensors::new().with("x", reference), features)?;
    let counters = Counters::new(profile);
    let mut table = Table {
        title: format!("Counting live values, {COLUMNS} features per row"),
        columns: ["", "processor time per value", "values per second"].map(str::to_owned).into(),
        rows: Vec::new(),
    };
    let by_row = || flat.chunks_exact(COLUMNS).try_for_each(|row| counters.observe_row(row));
    let batches = flat
        .chunks(64 * COLUMNS)
        .map(|rows| {
            Ok(Tensors::new().with("x", Tensor::from_vec(&[rows.len() / COLUMNS, COLUMNS], rows.to_vec())?))
        })
        .collect::<Result<Vec<_>, Failure>>()?;
    let by_batch = || {
        for batch in &batches {
            counters.observe(batch);
        }
    };
    for threads in [1, 2] {
        for (what, work) in [
            ("one row at a time", &(|| drop(by_row())) as &(dyn Fn() + Sync)),
            ("batches of 64 rows", &by_batch),
        ] {
            let (mut seconds, mut rates) = (Vec::new(), Vec::new());
            for _ in 0..=2 * bench.scale.rounds {
                let start = Instant::now();
                let (cost, ()) = process::measure(|| {
                    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
                })?;
                let values = (threads * rows * COLUMNS) as f64;
                seconds.push(cost.cpu_seconds * 1e9 / values);
                rates.push(values / start.elapsed().as_secs_f64());
            }
            table.rows.push(vec![
                format!("{threads} threads, {what}"),
                format!("{:.2} ns", median(&seconds)),
                format!("{:.0} million", median(&rates) / 1e6),
            ]);
        }
    }
    Ok(table)
}

pub fn measure(bench: &Bench, report: &mut Report) -> Result<(), Failure> {
    report.tables.push(table(bench)?);
    Ok(())
}

fn by_rows(columns: &[Vec<f64>], rows: usize) -> Vec<f64> {
    (0..rows).flat_map(|row| columns.iter().map(move |column| column[row])).collect()
}
