//! Matrices of 8-bit integers as [`product`](crate::kernels::integer::product) takes them: zero points taken off, and
//! each line of what is summed over as long as [`padded`] says.

use mlops_core::{Error, Result};

use crate::engine::onnx::ops::support::reserve;
use crate::kernels::integer::padded;

/// The most elements of a matrix that is laid out anew.
const MOST: usize = 1 << 31;

/// The rows of a matrix, each `depth` long, with one zero point or with as many, in turn, as there are.
pub(super) fn rows(matrix: Vec<i16>, depth: usize, zeros: &[i16]) -> Result<Vec<i16>> {
    let stride = padded(depth);
    if depth == 0 || (stride == depth && matches!(zeros, [] | [0])) {
        return Ok(matrix);
    }
    let mut output = reserve(matrix.len() / depth * stride)?;
    for (row, &zero) in matrix.chunks_exact(depth).zip(zeros.iter().cycle()) {
        output.extend(row.iter().map(|value| value.wrapping_sub(zero)));
        output.resize(output.len() + stride - depth, 0);
    }
    Ok(output)
}

/// Appends the columns of a `[depth, columns]` matrix, with one zero point or with one for each column.
pub(super) fn columns(
    matrix: &[i16],
    depth: usize,
    columns: usize,
    zeros: &[i16],
    output: &mut Vec<i16>,
) -> Result<()> {
    let stride = padded(depth);
    let more = columns.saturating_mul(stride);
    if output.len().saturating_add(more) > MOST || output.try_reserve(more).is_err() {
        return Err(Error::engine(format!("a matrix of {depth} by {columns} does not fit in memory")));
    }
    for column in 0..columns {
        let zero = match zeros {
            [only] => *only,
            several => several.get(column).copied().unwrap_or(0),
        };
        output.extend((0..depth).map(|row| matrix[row * columns + column].wrapping_sub(zero)));
        output.resize(output.len() + stride - depth, 0);
    }
    Ok(())
}

/// A `[rows, columns]` matrix with its dimensions exchanged.
pub(super) fn transposed(matrix: &[i16], rows: usize, columns: usize) -> Vec<i16> {
    (0..columns).flat_map(|column| (0..rows).map(move |row| matrix[row * columns + column])).collect()
}
