//! What operators of all families ask about shapes: broadcasting, axes, and how operands lie in an output.

use mlops_core::{Error, Result};
use smallvec::SmallVec;

use crate::engine::onnx::memory::Memory;
use crate::engine::onnx::tensor::{Scalar, Shape, element_count};

/// The shape that all of these are repeated to, by NumPy's rule: aligned at the last dimension, lengths are equal or 1.
pub(super) fn broadcast<'a>(shapes: impl IntoIterator<Item = &'a [usize]>) -> Result<Shape> {
    let mut output = Shape::new();
    for shape in shapes {
        if shape.len() > output.len() {
            output.insert_many(0, std::iter::repeat_n(1, shape.len() - output.len()));
        }
        let leading = output.len() - shape.len();
        for (index, &length) in shape.iter().enumerate() {
            let common = &mut output[leading + index];
            if *common == 1 {
                *common = length;
            } else if length != 1 && length != *common {
                return Err(Error::engine(format!(
                    "the shape {shape:?} cannot be broadcast together with {output:?}"
                )));
            }
        }
    }
    element_count(&output)?;
    Ok(output)
}

/// A dimension given from the front (0 and up) or from the back (-1 and down).
pub(super) fn axis(axis: i64, rank: usize) -> Result<usize> {
    let from_front = if axis < 0 { axis.saturating_add_unsigned(rank as u64) } else { axis };
    usize::try_from(from_front)
        .ok()
        .filter(|&axis| axis < rank)
        .ok_or_else(|| Error::engine(format!("there is no axis {axis} in a tensor of {rank} dimensions")))
}

/// Several dimensions, in the order given; naming one twice is an error.
pub(super) fn axes(axes: &[i64], rank: usize) -> Result<SmallVec<[usize; 6]>> {
    let mut found = SmallVec::new();
    for &given in axes {
        let axis = axis(given, rank)?;
        if found.contains(&axis) {
            return Err(Error::engine(format!("the axes {axes:?} name the dimension {axis} twice")));
        }
        found.push(axis);
    }
    Ok(found)
}

/// By how many elements a step along each dimension moves.
pub(super) fn strides(shape: &[usize]) -> Shape {
    let mut strides = Shape::from_elem(1, shape.len());
    for index in (1..shape.len()).rev() {
        strides[index - 1] = strides[index].saturating_mul(shape[index]);
    }
    strides
}

/// The product of lengths; of no lengths, 1. It saturates, which only shapes without elements can make it do.
pub(super) fn product(lengths: &[usize]) -> usize {
    lengths.iter().fold(1, |product, &length| product.saturating_mul(length))
}

/// A shape seen from one of its dimensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Around {
    /// The product of the lengths before the dimension.
    pub(super) outer: usize,
    /// The length of the dimension.
    pub(super) length: usize,
    /// The product of the lengths after the dimension: how far apart its elements lie.
    pub(super) inner: usize,
}

/// The shape as seen from that dimension, which must exist.
pub(super) fn around(shape: &[usize], axis: usize) -> Around {
    Around { outer: product(&shape[..axis]), length: shape[axis], inner: product(&shape[axis + 1..]) }
}

/// A result that follows from small inputs is refused beyond this many bytes: the system would end the process instead
/// of saying no.
const LARGEST: usize = 1 << 32;

/// A vector with room for that many elements, or an error when memory does not suffice.
///
/// For lengths that come from the elements of inputs instead of their shapes, where there is no
/// [`Memory`](crate::engine::onnx::memory::Memory) to ask for a vector.
pub(super) fn reserve<T>(length: usize) -> Result<Vec<T>> {
    let mut elements = Vec::new();
    make_room(&mut elements, length)?;
    Ok(elements)
}

/// Lets an empty vector have room for that many elements, or is an error when memory does not suffice.
fn make_room<T>(elements: &mut Vec<T>, length: usize) -> Result<()> {
    let fits = length.checked_mul(size_of::<T>()).is_some_and(|bytes| bytes <= LARGEST);
    if !fits || elements.try_reserve_exact(length).is_err() {
        return Err(Error::engine(format!("{length} elements do not fit in memory")));
    }
    Ok(())
}

/// A vector of that many copies, or an error when memory does not suffice.
pub(super) fn repeated<T: Clone>(element: T, length: usize) -> Result<Vec<T>> {
    let mut elements = reserve(length)?;
    elements.resize(length, element);
    Ok(elements)
}

/// How `N` row-major operands lie in a row-major output that they are broadcast to.
///
/// Dimensions over which all operands go on in the same way are merged, so that most outputs are a few long runs.
/// Within a run each operand either moves along or stays at one element.
#[derive(Debug, Clone)]
pub(super) struct Walk<const N: usize> {
    /// All but the runs, outermost first.
    dimensions: SmallVec<[Dimension<N>; 4]>,
    run: Dimension<N>,
    count: usize,
}

#[derive(Debug, Clone, Copy)]
struct Dimension<const N: usize> {
    length: usize,
    strides: [usize; N],
}

impl<const N: usize> Walk<N> {
    /// `output` is the [`broadcast`] of the operands' shapes, or a shape that this is broadcast to in turn.
    pub(super) fn new(output: &[usize], operands: [&[usize]; N]) -> Self {
        let count = if output.contains(&0) { 0 } else { product(output) };
        let mut dimensions: SmallVec<[Dimension<N>; 4]> = SmallVec::new(); // innermost first
        let mut sizes = [1_usize; N];
        for (from_back, &length) in output.iter().rev().enumerate() {
            let strides = std::array::from_fn(|operand| {
                let shape = operands[operand];
                let own = shape.len().checked_sub(from_back + 1).map_or(1, |index| shape[index]);
                let stride = if own == 1 { 0 } else { sizes[operand] };
                sizes[operand] = sizes[operand].saturating_mul(own);
                stride
            });
            if length == 1 {
                continue;
            }
            match dimensions.last_mut() {
                Some(last) if continues(last, &strides) => last.length = last.length.saturating_mul(length),
                _ => dimensions.push(Dimension { length, strides }),
            }
        }
        let run = if dimensions.is_empty() {
            Dimension { length: 1, strides: [0; N] }
        } else {
            dimensions.remove(0)
        };
        dimensions.reverse();
        Self { dimensions, run, count }
    }

    /// The number of elements of the output.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The number of elements of a run.
    pub(super) fn run(&self) -> usize {
        self.run.length
    }

    /// Whether an operand moves along within a run; if not, it stays at one element.
    pub(super) fn moves(&self, operand: usize) -> bool {
        self.run.strides[operand] != 0
    }

    /// Visits the runs in the order of the output: where each operand is at its first element.
    #[inline]
    pub(super) fn for_each(&self, mut visit: impl FnMut([usize; N])) {
        if self.count == 0 {
            return;
        }
        let mut position: SmallVec<[usize; 4]> = SmallVec::from_elem(0, self.dimensions.len());
        let mut offsets = [0_usize; N];
        loop {
            visit(offsets);
            let mut index = self.dimensions.len();
            loop {
                if index == 0 {
                    return;
                }
                index -= 1;
                let dimension = &self.dimensions[index];
                position[index] += 1;
                if position[index] < dimension.length {
                    for (offset, stride) in offsets.iter_mut().zip(dimension.strides) {
                        *offset += stride;
                    }
                    break;
                }
                position[index] = 0;
                for (offset, stride) in offsets.iter_mut().zip(dimension.strides) {
                    *offset -= stride * (dimension.length - 1);
                }
            }
        }
    }
}

/// Whether a step along an outer dimension is the same as going on beyond the end of the inner one, for all operands.
fn continues<const N: usize>(inner: &Dimension<N>, outer: &[usize; N]) -> bool {
    outer.iter().zip(inner.strides).all(|(&outer, stride)| outer == stride.saturating_mul(inner.length))
}

/// `function` of the elements of two operands, broadcast to `shape`.
pub(super) fn zip<A, B, O>(
    shape: &[usize],
    a: (&[usize], &[A]),
    b: (&[usize], &[B]),
    function: impl Fn(&A, &B) -> O,
) -> Result<Vec<O>> {
    zip_onto(Vec::new(), shape, a, b, function)
}

/// The same, in a vector of the memory of the engine.
pub(super) fn zip_in<A, B, O: Scalar>(
    memory: &mut Memory,
    shape: &[usize],
    a: (&[usize], &[A]),
    b: (&[usize], &[B]),
    function: impl Fn(&A, &B) -> O,
) -> Result<Vec<O>> {
    zip_onto(memory.vector(product(shape))?, shape, a, b, function)
}

fn zip_onto<A, B, O>(
    mut output: Vec<O>,
    shape: &[usize],
    (a_shape, a): (&[usize], &[A]),
    (b_shape, b): (&[usize], &[B]),
    function: impl Fn(&A, &B) -> O,
) -> Result<Vec<O>> {
    let walk = Walk::new(shape, [a_shape, b_shape]);
    let run = walk.run();
    output.clear();
    make_room(&mut output, walk.count())?;
    match (walk.moves(0), walk.moves(1)) {
        (true, true) => walk.for_each(|[i, j]| {
            output.extend(a[i..i + run].iter().zip(&b[j..j + run]).map(|(a, b)| function(a, b)));
        }),
        (true, false) => walk.for_each(|[i, j]| {
            let b = &b[j];
            output.extend(a[i..i + run].iter().map(|a| function(a, b)));
        }),
        (false, true) => walk.for_each(|[i, j]| {
            let a = &a[i];
            output.extend(b[j..j + run].iter().map(|b| function(a, b)));
        }),
        (false, false) => walk.for_each(|[i, j]| {
            output.extend(std::iter::repeat_with(|| function(&a[i], &b[j])).take(run));
        }),
    }
    Ok(output)
}

/// `a = function(a, b)`, where `b` is broadcast to the shape of `a`.
pub(super) fn zip_in_place<A, B>(
    shape: &[usize],
    a: &mut [A],
    (b_shape, b): (&[usize], &[B]),
    function: impl Fn(&A, &B) -> A,
) {
    let walk = Walk::new(shape, [b_shape]);
    let run = walk.run();
    let mut rows = a.chunks_exact_mut(run.max(1));
    let moves = walk.moves(0);
    walk.for_each(|[j]| {
        let Some(row) = rows.next() else { return };
        if moves {
            for (a, b) in row.iter_mut().zip(&b[j..j + run]) {
                *a = function(a, b);
            }
        } else {
            for a in row {
                *a = function(a, &b[j]);
            }
        }
    });
}

/// The elements of a tensor, repeated to a shape that its own can be broadcast to.
pub(super) fn expanded<T: Clone>(shape: &[usize], own_shape: &[usize], elements: &[T]) -> Result<Vec<T>> {
    let walk = Walk::new(shape, [own_shape]);
    let run = walk.run();
    let mut output = reserve(walk.count())?;
    walk.for_each(|[start]| {
        if walk.moves(0) {
            output.extend_from_slice(&elements[start..start + run]);
        } else {
            output.extend(std::iter::repeat_n(&elements[start], run).cloned());
        }
    });
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_broadcast_by_numpys_rule() {
        let of = |shapes: &[&[usize]]| broadcast(shapes.iter().copied()).map(|shape| shape.to_vec()).ok();
        assert_eq!(of(&[&[3, 1], &[4]]), Some(vec![3, 4]));
        assert_eq!(of(&[&[], &[2, 3], &[2, 1]]), Some(vec![2, 3]));
        assert_eq!(of(&[&[0], &[1]]), Some(vec![0]));
        assert_eq!(of(&[&[0], &[2]]), None);
        assert_eq!(of(&[&[2, 3], &[3, 2]]), None);
        assert_eq!(of(&[&[1 << 40, 1], &[1 << 40]]), None, "more than memory can hold");
    }

    #[test]
    fn axes_count_from_both_ends_and_are_checked() {
        assert_eq!(axis(-1, 3).unwrap(), 2);
        assert_eq!(axis(0, 3).unwrap(), 0);
        for wrong in [3, -4, i64::MIN, i64::MAX] {
            assert!(axis(wrong, 3).is_err());
        }
        assert_eq!(axes(&[-1, 0], 3).unwrap().as_slice(), [2, 0]);
        assert!(axes(&[2, -1], 3).is_err());
    }

    #[test]
    fn a_walk_gives_the_elements_that_indices_give() {
        let shapes: [(&[usize], &[usize]); 9] = [
            (&[2, 3, 4], &[2, 3, 4]),
            (&[2, 3, 4], &[4]),
            (&[2, 3, 4], &[3, 1]),
            (&[2, 1, 4], &[1, 3, 1]),
            (&[], &[2, 2]),
            (&[5, 1, 1, 2], &[3, 1, 2]),
            (&[2, 3, 4, 5], &[1, 3, 4, 1]),
            (&[1], &[1, 1]),
            (&[0, 3], &[3]),
        ];
        for (a_shape, b_shape) in shapes {
            let a: Vec<usize> = (0..product(a_shape)).collect();
            let b: Vec<usize> = (0..product(b_shape)).map(|value| value * 1000).collect();
            let shape = broadcast([a_shape, b_shape]).unwrap();
            let at = |own: &[usize], position: &[usize]| -> usize {
                let position = &position[position.len() - own.len()..];
                let step = |(index, &stride): (usize, &usize)| (position[index] % own[index]) * stride;
                strides(own).iter().enumerate().map(step).sum()
            };
            let expected: Vec<usize> = (0..product(&shape))
                .map(|flat| {
                    let place = |(index, &stride): (usize, &usize)| flat / stride % shape[index];
                    let position: Vec<usize> = strides(&shape).iter().enumerate().map(place).collect();
                    a[at(a_shape, &position)] + b[at(b_shape, &position)]
                })
                .collect();
            assert_eq!(zip(&shape, (a_shape, &a), (b_shape, &b), |a, b| a + b).unwrap(), expected);
            let mut in_place = expanded(&shape, a_shape, &a).unwrap();
            zip_in_place(&shape, &mut in_place, (b_shape, &b), |a, b| a + b);
            assert_eq!(in_place, expected);
        }
    }

    #[test]
    fn what_goes_on_is_merged() {
        let walk = Walk::new(&[2, 3, 4, 5], [&[2, 3, 4, 5], &[4, 5]]);
        assert_eq!((walk.run(), walk.dimensions.len()), (20, 1));
        let walk = Walk::new(&[2, 3, 4, 5], [&[2, 3, 4, 5], &[3, 1, 1]]);
        assert_eq!((walk.run(), walk.dimensions.len()), (20, 2));
        let walk = Walk::new(&[2, 3], [&[2, 3], &[1]]);
        assert_eq!((walk.run(), walk.moves(0), walk.moves(1)), (6, true, false));
    }
}
