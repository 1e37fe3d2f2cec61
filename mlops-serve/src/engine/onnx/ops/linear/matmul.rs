//! `MatMul`: NumPy's `matmul`.

use mlops_core::{Error, Result};

use crate::engine::onnx::ops::floats::{are_half, constant_singles, widened, wrong_type};
use crate::engine::onnx::ops::linear::product::{Matrix, Multiply};
use crate::engine::onnx::ops::support::{Walk, broadcast, product};
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{Data, HostTensor, Shape, element_count, for_numbers};
use crate::engine::onnx::value::Inputs;
use crate::kernels::epilogue::Epilogue;
use crate::kernels::gemm::{MatrixRef, PackedB, gemm};
use crate::kernels::parallel::Threads;

#[derive(Debug)]
struct MatMul {
    /// The right operand, if it is a constant: a matrix for each of its batches.
    packed: Option<Packed>,
}

#[derive(Debug)]
struct Packed {
    shape: Shape,
    matrices: Vec<PackedB>,
}

pub(super) fn build(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let packed = source.constant(1).filter(|constant| constant.rank() >= 1 && !constant.is_empty());
    let packed = packed.and_then(|constant| {
        let elements = constant_singles(Some(constant))?;
        let shape = Shape::from_slice(constant.shape());
        let Sides { b_depth: depth, columns, .. } = Sides::of(&[1], &shape)?;
        let each = elements.chunks_exact((depth * columns).max(1));
        let pack = |matrix| PackedB::pack(MatrixRef::row_major(matrix, depth, columns));
        Some(Packed { shape, matrices: each.map(pack).collect() })
    });
    Ok(Box::new(MatMul { packed }))
}

impl Operator for MatMul {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        if are_half(inputs, 0)? {
            if self.packed.is_some() {
                inputs.take_value(1)?;
            }
            return widened(inputs, context, 1, |inputs, context| self.run(inputs, context));
        }
        let a = inputs.tensor(0)?;
        if let (Data::F32(elements), Some(packed)) = (a.data(), &self.packed) {
            let problem = Problem::new(a.shape(), &packed.shape)?;
            let mut out = context.memory.floats(problem.count);
            problem.run_packed(elements, packed, &mut out, context);
            return one(HostTensor::new(problem.shape, out)?);
        }
        let b = inputs.tensor(1)?;
        let problem = Problem::new(a.shape(), b.shape())?;
        if let Data::F32(elements) = a.data() {
            let b = b.elements()?;
            let mut out = context.memory.floats(problem.count);
            problem.run(elements, b, &mut out, &mut context.memory.scratch, context.threads);
            return one(HostTensor::new(problem.shape, out)?);
        }
        for_numbers!(a.data(), |elements| {
            let mut out = vec![Default::default(); problem.count];
            let scratch = &mut context.memory.scratch;
            problem.run(elements, b.elements()?, &mut out, scratch, context.threads);
            one(HostTensor::new(problem.shape, out)?)
        }, _other => Err(wrong_type(a)))
    }
}

/// The shapes of two operands as matrices and batches of them.
struct Sides<'a> {
    rows: usize,
    depth: usize,
    columns: usize,
    a_batch: &'a [usize],
    b_batch: &'a [usize],
    b_depth: usize,
}

impl<'a> Sides<'a> {
    /// `None` for operands without dimensions.
    fn of(a: &'a [usize], b: &'a [usize]) -> Option<Self> {
        let (a_batch, rows, depth) = match a {
            [] => return None,
            [depth] => (&[][..], 1, *depth),
            [batch @ .., rows, depth] => (batch, *rows, *depth),
        };
        let (b_batch, b_depth, columns) = match b {
            [] => return None,
            [depth] => (&[][..], *depth, 1),
            [batch @ .., depth, columns] => (batch, *depth, *columns),
        };
        Some(Self { rows, depth, columns, a_batch, b_batch, b_depth })
    }
}

/// A product of operands of certain shapes.
struct Problem {
    rows: usize,
    depth: usize,
    columns: usize,
    /// The batches of the left and of the right operand, where they go through the output.
    walk: Walk<2>,
    /// Whether there is one right matrix for all left ones, so that these are one matrix of many rows.
    shared_right: bool,
    shape: Shape,
    count: usize,
}

impl Problem {
    fn new(a: &[usize], b: &[usize]) -> Result<Self> {
        let mismatch = || Error::engine(format!("matrices of the shapes {a:?} and {b:?} have no product"));
        let Sides { rows, depth, columns, a_batch, b_batch, b_depth } =
            Sides::of(a, b).ok_or_else(mismatch)?;
        if depth != b_depth {
            return Err(mismatch());
        }
        let batch = broadcast([a_batch, b_batch])?;
        let walk = Walk::new(&batch, [a_batch, b_batch]);
        let shared_right = !b_batch.iter().any(|&length| length != 1);
        let mut shape = batch;
        if a.len() > 1 {
            shape.push(rows);
        }
        if b.len() > 1 {
            shape.push(columns);
        }
        let count = element_count(&shape)?;
        let rows =
            if shared_right { product(&shape[..shape.len() - usize::from(b.len() > 1)]) } else { rows };
        Ok(Self { rows, depth, columns, walk, shared_right, shape, count })
    }

    /// Calls `multiply` with the numbers of the left, the right and the output matrix of each product.
    fn for_each(&self, mut multiply: impl FnMut(usize, usize, usize)) {
        if self.shared_right {
            return multiply(0, 0, 0);
        }
        let mut index = 0;
        let steps = [self.walk.moves(0), self.walk.moves(1)].map(usize::from);
        self.walk.for_each(|[a, b]| {
            for step in 0..self.walk.run() {
                multiply(a + step * steps[0], b + step * steps[1], index);
                index += 1;
            }
        });
    }

    fn run<T: Multiply>(&self, a: &[T], b: &[T], out: &mut [T], scratch: &mut Vec<f32>, threads: &Threads) {
        let (rows, depth, columns) = (self.rows, self.depth, self.columns);
        if self.count == 0 {
            return;
        }
        if depth == 0 {
            out.fill(T::ZERO);
            return;
        }
        let matrices = |a_index: usize, b_index: usize| {
            let a = &a[a_index * rows * depth..][..rows * depth];
            let b = &b[b_index * depth * columns..][..depth * columns];
            (Matrix::row_major(a, rows, depth), Matrix::row_major(b, depth, columns))
        };
        // Many products: a thread does whole ones.
        let each = rows * columns;
        if !self.shared_right && threads.count() > 1 && out.len() * depth > 1 << 20 {
            let mut places = Vec::with_capacity(out.len() / each.max(1));
            self.for_each(|a, b, _| places.push((a, b)));
            threads.for_each_chunk_mut(out, each, |index, out| {
                let (a, b) = matrices(places[index].0, places[index].1);
                T::multiply(out, a, b, &mut Vec::new(), &Threads::single());
            });
            return;
        }
        self.for_each(|a, b, index| {
            let (a, b) = matrices(a, b);
            T::multiply(&mut out[index * each..][..each], a, b, scratch, threads);
        });
    }

    fn run_packed(&self, a: &[f32], b: &Packed, out: &mut [f32], context: &mut Context<'_>) {
        let (rows, depth, columns) = (self.rows, self.depth, self.columns);
        let each = rows * columns;
        if self.count == 0 {
            return;
        }
        self.for_each(|a_index, b_index, index| {
            let a = MatrixRef::row_major(&a[a_index * rows * depth..][..rows * depth], rows, depth);
            let out = &mut out[index * each..][..each];
            let scratch = &mut context.memory.scratch;
            gemm(out, columns, a, &b.matrices[b_index], &Epilogue::default(), scratch, context.threads);
        });
    }
}
