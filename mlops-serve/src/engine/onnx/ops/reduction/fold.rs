//! The arithmetic of reductions: sums, products, extremes and norms along groups of dimensions.

use smallvec::SmallVec;

use super::reduce::Group;
use crate::engine::onnx::ops::Context;
use crate::engine::onnx::ops::elementwise::give_back;
use crate::engine::onnx::ops::number::Number;
use crate::engine::onnx::ops::support::Around;
use crate::kernels::elementwise::{Binary, Broadcast, binary_in_place};
use crate::kernels::math;
use crate::kernels::reduce::{Reduction, reduce};

/// What becomes of the elements along the reduced dimensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fold {
    L1,
    L2,
    LogSum,
    LogSumExp,
    Max,
    Mean,
    Min,
    Product,
    Sum,
    SumSquare,
}

/// From this many elements on, threads share the work.
const WORTH_THREADS: usize = 1 << 15;

/// The groups that are reduced, innermost first, each as the middle of three dimensions of what is left by then.
/// When nothing is reduced, a dimension of length 1 is: what an operator does to each element is still to be done.
fn stages(groups: &[Group]) -> SmallVec<[Around; 2]> {
    let mut groups: SmallVec<[Group; 4]> = SmallVec::from_slice(groups);
    if !groups.iter().any(|group| group.reduced) {
        groups.push(Group { length: 1, reduced: true });
    }
    let product =
        |groups: &[Group]| groups.iter().fold(1_usize, |all, group| all.saturating_mul(group.length));
    let mut stages = SmallVec::new();
    while let Some(index) = groups.iter().rposition(|group| group.reduced) {
        stages.push(Around {
            outer: product(&groups[..index]),
            length: groups[index].length,
            inner: product(&groups[index + 1..]),
        });
        groups.remove(index);
    }
    stages
}

/// The number of elements that are reduced to one.
fn count(stages: &[Around]) -> usize {
    stages.iter().fold(1, |count, stage| count.saturating_mul(stage.length))
}

/// `f32` elements reduced along some groups of their dimensions.
pub(super) fn reduced_floats(
    fold: Fold,
    elements: &[f32],
    groups: &[Group],
    context: &mut Context<'_>,
) -> Vec<f32> {
    let stages = stages(groups);
    let (first, again) = match fold {
        Fold::L1 => (Reduction::L1, Reduction::Sum),
        Fold::L2 | Fold::SumSquare => (Reduction::SumSquare, Reduction::Sum),
        Fold::LogSum | Fold::Mean | Fold::Sum => (Reduction::Sum, Reduction::Sum),
        Fold::LogSumExp | Fold::Max => (Reduction::Max, Reduction::Max),
        Fold::Min => (Reduction::Min, Reduction::Min),
        Fold::Product => (Reduction::Product, Reduction::Product),
    };
    let mut current: Option<Vec<f32>> = None;
    for stage in &stages {
        let input = current.as_deref().unwrap_or(elements);
        let output = if fold == Fold::LogSumExp {
            log_sum_exp(input, *stage, context)
        } else {
            along(if current.is_none() { first } else { again }, input, *stage, context)
        };
        if let Some(used) = current.replace(output) {
            give_back(used, context);
        }
    }
    let mut output = current.unwrap_or_default();
    match fold {
        Fold::L2 => math::sqrt(&mut output),
        Fold::LogSum => math::log(&mut output),
        Fold::Mean => {
            let count = count(&stages) as f32;
            output.iter_mut().for_each(|sum| *sum /= count);
        }
        _ => {}
    }
    output
}

fn along(kind: Reduction, x: &[f32], stage: Around, context: &mut Context<'_>) -> Vec<f32> {
    let Around { outer, length, inner } = stage;
    let mut output = context.memory.floats(outer.saturating_mul(inner));
    if length == 0 || output.is_empty() {
        output.fill(match kind {
            Reduction::Max => f32::NEG_INFINITY,
            Reduction::Min => f32::INFINITY,
            Reduction::Product => 1.0,
            _ => 0.0,
        });
    } else if outer > 1 && x.len() >= WORTH_THREADS && context.threads.count() > 1 {
        let rows = outer.div_ceil(context.threads.count());
        context.threads.for_each_chunk_mut(&mut output, rows * inner, |chunk, output| {
            let start = chunk * rows * length * inner;
            let end = start + output.len() / inner * length * inner;
            reduce(kind, &x[start..end], length, inner, output);
        });
    } else {
        reduce(kind, x, length, inner, &mut output);
    }
    output
}

/// `log(sum(exp(x)))`, relative to the largest element so that nothing overflows.
fn log_sum_exp(x: &[f32], stage: Around, context: &mut Context<'_>) -> Vec<f32> {
    let mut largest = along(Reduction::Max, x, stage, context);
    let shifts: Vec<f32> = largest.iter().map(|&max| if max.is_finite() { max } else { 0.0 }).collect();
    let mut powers = context.memory.floats(x.len());
    powers.copy_from_slice(x);
    let (length, inner) = (stage.length, stage.inner);
    let block = length.saturating_mul(inner);
    if block > 0 {
        for (block, shifts) in powers.chunks_exact_mut(block).zip(shifts.chunks_exact(inner)) {
            let shape = if inner == 1 {
                Broadcast { outer: 1, middle: 1, inner: length }
            } else {
                Broadcast { outer: length, middle: inner, inner: 1 }
            };
            binary_in_place(Binary::Sub, block, shifts, shape);
            math::exp(block);
        }
    }
    let mut sums = along(Reduction::Sum, &powers, stage, context);
    math::log(&mut sums);
    for (result, (sum, shift)) in largest.iter_mut().zip(sums.iter().zip(&shifts)) {
        *result = sum + shift;
    }
    give_back(powers, context);
    give_back(sums, context);
    largest
}

/// A number type that reductions are computed in as it is.
pub(super) trait Accumulate: Number {
    /// `self` divided by a number of elements; an integer by none is zero.
    fn over_count(self, count: usize) -> Self;
}

macro_rules! accumulate {
    ($($type:ty)*) => {
        $(impl Accumulate for $type {
            fn over_count(self, count: usize) -> Self {
                match <$type>::try_from(count) {
                    Ok(count) => self.over(count),
                    Err(_) => Self::ZERO, // more than any sum of this type
                }
            }
        })*
    };
}

accumulate!(u8 u16 u32 u64 i8 i16 i32 i64);

impl Accumulate for f64 {
    fn over_count(self, count: usize) -> Self {
        self / count as f64
    }
}

/// Elements of other types, reduced along some groups of their dimensions.
pub(super) fn reduced_numbers<T: Accumulate>(fold: Fold, elements: Vec<T>, groups: &[Group]) -> Vec<T> {
    let stages = stages(groups);
    let mut current = elements;
    match fold {
        Fold::L1 => current.iter_mut().for_each(|value| *value = value.magnitude()),
        Fold::L2 | Fold::SumSquare => current.iter_mut().for_each(|value| *value = value.times(*value)),
        _ => {}
    }
    for stage in &stages {
        current = match fold {
            Fold::Max => folded(&current, *stage, T::LOWEST, T::larger),
            Fold::Min => folded(&current, *stage, T::HIGHEST, T::smaller),
            Fold::Product => folded(&current, *stage, T::ONE, T::times),
            Fold::LogSumExp => numbers_log_sum_exp(&current, *stage),
            _ => folded(&current, *stage, T::ZERO, T::plus),
        };
    }
    match fold {
        Fold::L2 => current.iter_mut().for_each(|sum| *sum = T::from_f64(sum.to_f64().sqrt())),
        Fold::LogSum => current.iter_mut().for_each(|sum| *sum = T::from_f64(sum.to_f64().ln())),
        Fold::Mean => {
            let count = count(&stages);
            current.iter_mut().for_each(|sum| *sum = sum.over_count(count));
        }
        _ => {}
    }
    current
}

fn folded<T: Number>(x: &[T], stage: Around, start: T, step: impl Fn(T, T) -> T) -> Vec<T> {
    let Around { outer, length, inner } = stage;
    let mut output = vec![start; outer.saturating_mul(inner)];
    let block = length.saturating_mul(inner);
    if block == 0 {
        return output;
    }
    for (block, results) in x.chunks_exact(block).zip(output.chunks_exact_mut(inner)) {
        if let [result] = results {
            *result = block.iter().fold(start, |result, &value| step(result, value));
            continue;
        }
        for row in block.chunks_exact(inner) {
            for (result, &value) in results.iter_mut().zip(row) {
                *result = step(*result, value);
            }
        }
    }
    output
}

fn numbers_log_sum_exp<T: Number>(x: &[T], stage: Around) -> Vec<T> {
    let values: Vec<f64> = x.iter().map(|&value| Number::to_f64(value)).collect();
    let largest = folded(&values, stage, f64::NEG_INFINITY, f64::larger);
    let shift = |max: f64| if max.is_finite() { max } else { 0.0 };
    let block = stage.length.saturating_mul(stage.inner);
    let position = |index: usize| index / block.max(1) * stage.inner + index % stage.inner.max(1);
    let powers = values.iter().enumerate();
    let powers: Vec<f64> =
        powers.map(|(index, value)| (value - shift(largest[position(index)])).exp()).collect();
    let sums = folded(&powers, stage, 0.0, f64::plus);
    let results = sums.iter().zip(&largest).map(|(sum, &max)| T::from_f64(sum.ln() + shift(max)));
    results.collect()
}
