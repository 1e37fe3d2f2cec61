//! `Det`: determinants of square matrices, by elimination with row pivots.

use mlops_core::{Error, Result};

use crate::engine::onnx::ops::floats::{from_doubles, to_doubles};
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one};
use crate::engine::onnx::value::Inputs;

#[derive(Debug)]
struct Det;

pub(super) fn build(_source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Det))
}

impl Operator for Det {
    fn run(&self, inputs: &mut Inputs<'_>, _context: &mut Context<'_>) -> Result<Outputs> {
        let x = inputs.tensor(0)?;
        let [batch @ .., rows, columns] = x.shape() else {
            return Err(Error::engine("a matrix is needed"));
        };
        if rows != columns {
            return Err(Error::engine(format!("a square matrix is needed, not {rows} x {columns}")));
        }
        let size = *rows;
        let mut elements = to_doubles(x)?;
        let determinants = if size == 0 {
            vec![1.0; batch.iter().product()]
        } else {
            elements.chunks_exact_mut(size * size).map(|matrix| determinant(matrix, size)).collect()
        };
        one(from_doubles(batch, determinants, x.dtype())?)
    }
}

fn determinant(matrix: &mut [f64], size: usize) -> f64 {
    let mut product = 1.0;
    for column in 0..size {
        let largest = |&a: &usize, &b: &usize| {
            matrix[a * size + column].abs().total_cmp(&matrix[b * size + column].abs())
        };
        let pivot = (column..size).max_by(largest).unwrap_or(column);
        if matrix[pivot * size + column] == 0.0 {
            return 0.0;
        }
        if pivot != column {
            product = -product;
            for index in 0..size {
                matrix.swap(pivot * size + index, column * size + index);
            }
        }
        let divisor = matrix[column * size + column];
        product *= divisor;
        let (above, below) = matrix.split_at_mut((column + 1) * size);
        let pivot_row = &above[column * size..];
        for row in below.chunks_exact_mut(size) {
            let factor = row[column] / divisor;
            for (value, pivot) in row.iter_mut().zip(pivot_row) {
                *value -= factor * pivot;
            }
        }
    }
    product
}
