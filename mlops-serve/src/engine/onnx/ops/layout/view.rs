//! Elements of a tensor in another order, and some of them several times or never: a strided view, and its copy.

use mlops_core::Result;
use smallvec::SmallVec;

use crate::engine::onnx::memory::Memory;
use crate::engine::onnx::ops::support::product;
use crate::engine::onnx::tensor::{Data, HostTensor, Scalar, Shape, element_count, for_any};

/// Where the elements of an output of some shape lie in the elements of a tensor.
///
/// Transposition permutes the strides of a tensor, a slice multiplies them by its step, and a stride of 0 repeats.
#[derive(Debug, Clone)]
pub(in crate::engine::onnx::ops) struct View {
    shape: Shape,
    start: usize,
    /// Outermost first; lengths of 1 are left out, and dimensions merged where they go on in the same way.
    dimensions: SmallVec<[Dimension; 6]>,
    count: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Dimension {
    length: usize,
    stride: isize,
}

impl View {
    /// A view whose element `[i, j, ..]` is the one at `start + i * strides[0] + j * strides[1] + ..`. The caller has
    /// checked that all of these are elements of what is viewed.
    ///
    /// # Errors
    /// [`mlops_core::Error::InvalidInput`] when the shape has more elements than memory can hold.
    pub(in crate::engine::onnx::ops) fn new(
        shape: impl Into<Shape>,
        strides: &[isize],
        start: usize,
    ) -> Result<Self> {
        let shape = shape.into();
        let count = element_count(&shape)?;
        let mut dimensions: SmallVec<[Dimension; 6]> = SmallVec::new();
        for (&length, &stride) in shape.iter().zip(strides) {
            if length == 1 {
                continue;
            }
            let beyond = isize::try_from(length).ok().and_then(|length| stride.checked_mul(length));
            match dimensions.last_mut() {
                Some(outer) if Some(outer.stride) == beyond => {
                    *outer = Dimension { length: outer.length.saturating_mul(length), stride };
                }
                _ => dimensions.push(Dimension { length, stride }),
            }
        }
        Ok(Self { shape, start, dimensions, count })
    }

    /// Whether these are all elements of a tensor of that size, in their order.
    fn is_everything(&self, size: usize) -> bool {
        let in_order = match *self.dimensions {
            [] => true,
            [only] => only.stride == 1,
            _ => false,
        };
        self.start == 0 && self.count == size && in_order
    }

    /// Visits runs of elements in the order of the output: the place of the first, how many there are, and how far
    /// they lie apart.
    #[inline]
    pub(in crate::engine::onnx::ops) fn for_each_run(&self, mut visit: impl FnMut(usize, usize, isize)) {
        if self.count == 0 {
            return;
        }
        let Some((run, outer)) = self.dimensions.split_last() else {
            return visit(self.start, 1, 1);
        };
        let mut position: SmallVec<[usize; 6]> = SmallVec::from_elem(0, outer.len());
        let mut place = self.start;
        loop {
            visit(place, run.length, run.stride);
            let mut index = outer.len();
            loop {
                if index == 0 {
                    return;
                }
                index -= 1;
                let Dimension { length, stride } = outer[index];
                position[index] += 1;
                if position[index] < length {
                    place = place.wrapping_add_signed(stride);
                    break;
                }
                position[index] = 0;
                place = place.wrapping_sub((length - 1).wrapping_mul(stride as usize));
            }
        }
    }

    /// Visits the place of each element in the order of the output.
    #[inline]
    pub(in crate::engine::onnx::ops) fn for_each(&self, mut visit: impl FnMut(usize)) {
        self.for_each_run(|start, length, stride| {
            let mut place = start;
            for _ in 0..length {
                visit(place);
                place = place.wrapping_add_signed(stride);
            }
        });
    }

    /// Appends the elements to a vector.
    pub(in crate::engine::onnx::ops) fn append<T: Scalar>(&self, source: &[T], output: &mut Vec<T>) {
        self.for_each_run(|start, length, stride| match stride {
            1 => output.extend_from_slice(&source[start..start + length]),
            0 => output.extend(std::iter::repeat_n(&source[start], length).cloned()),
            _ if stride > 0 => {
                output.extend(source[start..].iter().step_by(stride.unsigned_abs()).take(length).cloned());
            }
            _ => output
                .extend(source[..=start].iter().rev().step_by(stride.unsigned_abs()).take(length).cloned()),
        });
    }

    /// The elements of a tensor that this shows: the very memory of the tensor where it shows all of them in order.
    pub(in crate::engine::onnx::ops) fn of(
        self,
        tensor: HostTensor,
        memory: &mut Memory,
    ) -> Result<HostTensor> {
        if self.is_everything(tensor.len()) {
            return tensor.reshaped(self.shape);
        }
        let data = for_any!(tensor.data(), |elements| self.collect(elements, memory)?);
        HostTensor::from_data(self.shape, data)
    }

    fn collect<T: Scalar>(&self, source: &[T], memory: &mut Memory) -> Result<Data> {
        let mut output: Vec<T> = memory.vector(self.count)?;
        self.append(source, &mut output);
        Ok(T::wrap(output.into()))
    }
}

/// By how many elements a step along each dimension moves.
pub(in crate::engine::onnx::ops) fn strides(shape: &[usize]) -> SmallVec<[isize; 6]> {
    let after = |index: usize| isize::try_from(product(&shape[index + 1..])).unwrap_or(isize::MAX);
    (0..shape.len()).map(after).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(shape: &[usize], strides: &[isize], start: usize, source: &[i64]) -> Vec<i64> {
        let view = View::new(shape, strides, start).unwrap();
        let mut output = Vec::new();
        view.append(source, &mut output);
        let mut places = Vec::new();
        view.for_each(|place| places.push(source[place]));
        assert_eq!(output, places);
        output
    }

    #[test]
    fn a_view_permutes_steps_reverses_and_repeats() {
        let source: Vec<i64> = (0..24).collect();
        assert_eq!(shown(&[2, 3], &[1, 2], 0, &source), [0, 2, 4, 1, 3, 5]);
        assert_eq!(shown(&[2, 2], &[12, -2], 5, &source), [5, 3, 17, 15]);
        assert_eq!(shown(&[3, 2, 2], &[0, 4, 1], 1, &source), [1, 2, 5, 6, 1, 2, 5, 6, 1, 2, 5, 6]);
        assert_eq!(shown(&[2, 3], &[-3, -1], 5, &source), [5, 4, 3, 2, 1, 0]);
        assert_eq!(shown(&[], &[], 7, &source), [7]);
        assert_eq!(shown(&[2, 0], &[1, 1], 0, &source), [0_i64; 0]);
    }

    #[test]
    fn what_shows_everything_in_order_is_no_copy() {
        let tensor = HostTensor::new([2, 3].as_slice(), vec![1_i64, 2, 3, 4, 5, 6]).unwrap();
        let before = tensor.elements::<i64>().unwrap().as_ptr();
        let view = View::new([1, 2, 3].as_slice(), &[6, 3, 1], 0).unwrap();
        let after = view.of(tensor, &mut Memory::default()).unwrap();
        assert_eq!(after.elements::<i64>().unwrap().as_ptr(), before);
        assert_eq!(after.shape(), [1, 2, 3]);
    }
}
