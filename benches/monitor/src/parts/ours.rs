//! What is measured of ours.

use mlops_core::stats::{KsOptions, PsiOptions, category_counts, ks_2samp, psi, psi_from_counts};

use crate::Failure;
use crate::data::{DataSet, categories};

/// Least share of a bin or category, as in all systems that have one.
pub const FLOOR: f64 = 1e-4;

/// PSI of each column.
pub fn psi_of_columns(data: &DataSet) -> Result<Vec<f64>, Failure> {
    let mut values = Vec::new();
    for (reference, current) in data.reference.numbers.iter().zip(&data.current.numbers) {
        values.push(psi(reference, current, PsiOptions::default())?.value);
    }
    for (column, (reference, current)) in data.reference.codes.iter().zip(&data.current.codes).enumerate() {
        let reference = category_counts(reference, categories(column))?;
        let current = category_counts(current, categories(column))?;
        values.push(psi_from_counts(&reference, &current, FLOOR)?);
    }
    Ok(values)
}

/// KS of each numeric column, with the p-value.
pub fn ks_of_columns(data: &DataSet) -> Result<Vec<f64>, Failure> {
    let columns = data.reference.numbers.iter().zip(&data.current.numbers);
    let statistic = |(reference, current): (&Vec<f64>, &Vec<f64>)| {
        Ok(ks_2samp(reference, current, KsOptions::default())?.statistic)
    };
    columns.map(statistic).collect()
}
