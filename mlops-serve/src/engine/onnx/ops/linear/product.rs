//! The product of two matrices of any numbers.

use half::{bf16, f16};

use crate::engine::onnx::ops::number::Number;
use crate::kernels::epilogue::Epilogue;
use crate::kernels::gemm::{MatrixRef, gemm_dynamic};
use crate::kernels::parallel::Threads;

/// A matrix in memory; element (i, j) is `data[i * row_stride + j * column_stride]`.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine::onnx::ops) struct Matrix<'a, T> {
    pub(in crate::engine::onnx::ops) data: &'a [T],
    pub(in crate::engine::onnx::ops) rows: usize,
    pub(in crate::engine::onnx::ops) columns: usize,
    pub(in crate::engine::onnx::ops) row_stride: usize,
    pub(in crate::engine::onnx::ops) column_stride: usize,
}

impl<'a, T> Matrix<'a, T> {
    pub(in crate::engine::onnx::ops) fn row_major(data: &'a [T], rows: usize, columns: usize) -> Self {
        Self { data, rows, columns, row_stride: columns, column_stride: 1 }
    }

    pub(in crate::engine::onnx::ops) fn transposed(self) -> Self {
        Self {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }
}

/// Numbers with a matrix product. Integers wrap around.
pub(in crate::engine::onnx::ops) trait Multiply: Number {
    /// `out[M, N] = a[M, K] b[K, N]`, all of matching sizes, `out` in row-major order.
    fn multiply(
        out: &mut [Self],
        a: Matrix<'_, Self>,
        b: Matrix<'_, Self>,
        scratch: &mut Vec<f32>,
        threads: &Threads,
    );
}

impl Multiply for f32 {
    fn multiply(
        out: &mut [Self],
        a: Matrix<'_, Self>,
        b: Matrix<'_, Self>,
        scratch: &mut Vec<f32>,
        threads: &Threads,
    ) {
        let [a, b] = [a, b].map(|matrix| MatrixRef {
            data: matrix.data,
            rows: matrix.rows,
            columns: matrix.columns,
            row_stride: matrix.row_stride,
            column_stride: matrix.column_stride,
        });
        gemm_dynamic(out, b.columns, a, b, &Epilogue::default(), scratch, threads);
    }
}

macro_rules! plain {
    ($($type:ty)*) => {
        $(impl Multiply for $type {
            fn multiply(
                out: &mut [Self],
                a: Matrix<'_, Self>,
                b: Matrix<'_, Self>,
                _scratch: &mut Vec<f32>,
                threads: &Threads,
            ) {
                threads.for_each_chunk_mut(out, b.columns, |row, out| {
                    out.fill(Self::ZERO);
                    for k in 0..a.columns {
                        let factor = a.data[row * a.row_stride + k * a.column_stride];
                        let b_row = &b.data[k * b.row_stride..];
                        for (out, other) in out.iter_mut().zip(b_row.iter().step_by(b.column_stride.max(1))) {
                            *out = out.plus(factor.times(*other));
                        }
                    }
                });
            }
        })*
    };
}

plain! { u8 u16 u32 u64 i8 i16 i32 i64 f64 }

macro_rules! by_singles {
    ($($type:ty)*) => {
        $(impl Multiply for $type {
            fn multiply(
                out: &mut [Self],
                a: Matrix<'_, Self>,
                b: Matrix<'_, Self>,
                scratch: &mut Vec<f32>,
                threads: &Threads,
            ) {
                let [a_data, b_data] =
                    [a.data, b.data].map(|data| data.iter().map(|value| value.to_f32()).collect::<Vec<f32>>());
                let mut product = vec![0.0; out.len()];
                f32::multiply(
                    &mut product,
                    Matrix { data: &a_data, rows: a.rows, columns: a.columns, ..strides(&a) },
                    Matrix { data: &b_data, rows: b.rows, columns: b.columns, ..strides(&b) },
                    scratch,
                    threads,
                );
                for (out, value) in out.iter_mut().zip(product) {
                    *out = Self::from_f32(value);
                }
            }
        })*
    };
}

fn strides<T>(matrix: &Matrix<'_, T>) -> Matrix<'static, f32> {
    let Matrix { rows, columns, row_stride, column_stride, .. } = *matrix;
    Matrix { data: &[], rows, columns, row_stride, column_stride }
}

by_singles! { f16 bf16 }
