//! Dimensions in another order.

use mlops_core::{Error, Result};
use pulp::bytemuck::Pod;
use smallvec::SmallVec;

use super::view::{View, strides};
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one, support};
use crate::engine::onnx::tensor::{Data, HostTensor, Scalar, Shape, element_count, for_numbers};
use crate::engine::onnx::value::Inputs;
use crate::kernels::transpose::Transpose as Kernel;

/// `Transpose`: dimension `i` of the output is `permutation[i]` of the input; without one, the order is reversed.
#[derive(Debug)]
struct Transpose {
    permutation: Option<Vec<i64>>,
}

pub(super) fn transpose(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Transpose { permutation: source.node.attributes.ints("perm")?.cloned() }))
}

impl Operator for Transpose {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let data = inputs.take(0)?;
        let rank = data.rank();
        let permutation: SmallVec<[usize; 6]> = match &self.permutation {
            Some(permutation) if permutation.len() == rank => support::axes(permutation, rank)?,
            Some(permutation) => {
                return Err(Error::engine(format!(
                    "the permutation {permutation:?} does not fit a tensor of {rank} dimensions"
                )));
            }
            None => (0..rank).rev().collect(),
        };
        one(permuted(data, &permutation, context)?)
    }
}

/// A tensor whose dimension `i` is `permutation[i]` of the input; the very memory where no element moves.
fn permuted(data: HostTensor, permutation: &[usize], context: &mut Context<'_>) -> Result<HostTensor> {
    let shape: Shape = permutation.iter().map(|&axis| data.shape()[axis]).collect();
    let kernel = Kernel::new(data.shape(), permutation).map_err(Error::engine)?;
    if kernel.is_copy() {
        return data.reshaped(shape);
    }
    element_count(&shape)?;
    let moved = for_numbers!(data.data(), |elements| moved(elements, &kernel, context)?, _other => {
        let own = strides(data.shape());
        let strides: SmallVec<[isize; 6]> = permutation.iter().map(|&axis| own[axis]).collect();
        return View::new(shape, &strides, 0)?.of(data, context.memory);
    });
    HostTensor::from_data(shape, moved)
}

fn moved<T: Scalar + Pod>(elements: &[T], kernel: &Kernel, context: &mut Context<'_>) -> Result<Data> {
    let mut output: Vec<T> = context.memory.buffer(elements.len())?;
    kernel.run(elements, &mut output, context.threads);
    Ok(T::wrap(output.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::onnx::graph::Attribute;
    use crate::engine::onnx::ops::testing::output;

    fn transposed<T: Scalar>(elements: Vec<T>, shape: &[usize], permutation: &[i64]) -> HostTensor {
        let input = HostTensor::new(shape, elements).unwrap();
        let attributes = [("perm", Attribute::Ints(permutation.to_vec()))];
        output(("", "Transpose", 21), attributes, [Some(input)]).unwrap()
    }

    #[test]
    fn numbers_and_strings_move_alike() {
        let numbers: Vec<f32> = (0..24).map(|number| number as f32).collect();
        let strings: Vec<String> = (0..24).map(|number| number.to_string()).collect();
        for permutation in [[0, 2, 1], [2, 1, 0], [1, 2, 0], [0, 1, 2]] {
            let a = transposed(numbers.clone(), &[2, 3, 4], &permutation);
            let b = transposed(strings.clone(), &[2, 3, 4], &permutation);
            assert_eq!(a.shape(), b.shape());
            let a: Vec<String> = a.elements::<f32>().unwrap().iter().map(ToString::to_string).collect();
            assert_eq!(a, b.elements::<String>().unwrap(), "{permutation:?}");
        }
    }

    #[test]
    fn a_dimension_of_length_1_moves_for_free() {
        let input = HostTensor::new([2, 1, 3].as_slice(), vec![1.0_f32; 6]).unwrap();
        let before = input.elements::<f32>().unwrap().as_ptr();
        let attributes = [("perm", Attribute::Ints(vec![1, 0, 2]))];
        let after = output(("", "Transpose", 21), attributes, [Some(input)]).unwrap();
        assert_eq!(after.elements::<f32>().unwrap().as_ptr(), before);
        assert_eq!(after.shape(), [1, 2, 3]);
    }

    #[test]
    fn what_is_no_permutation_is_refused() {
        for wrong in [vec![0, 0], vec![0, 2], vec![0], vec![i64::MIN, 0]] {
            let input = HostTensor::new([2, 2].as_slice(), vec![0_i64; 4]).unwrap();
            assert!(
                output(("", "Transpose", 21), [("perm", Attribute::Ints(wrong))], [Some(input)]).is_err()
            );
        }
    }
}
