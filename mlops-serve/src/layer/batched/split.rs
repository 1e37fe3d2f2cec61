//! A tensor taken apart along one axis.

use mlops_core::{DType, Result, Tensor};

use super::regions::runs;

/// The parts of these shapes, one after the other along `axis`. A part that is shorter than the whole along another
/// axis gets what comes first there.
///
/// Parts are copies: a row that is kept, by a cache say, does not keep the memory of its whole batch.
pub(super) fn split(whole: &Tensor, axis: usize, shapes: &[Vec<usize>]) -> Result<Vec<Tensor>> {
    let mut offset = 0;
    let strings: Vec<&[u8]> =
        if whole.dtype() == DType::Bytes { whole.byte_strings()?.collect() } else { Vec::new() };
    let size = whole.dtype().size().unwrap_or(1);
    shapes
        .iter()
        .map(|shape| {
            let runs = runs(shape, whole.shape(), axis, offset);
            offset += shape[axis];
            if whole.dtype() == DType::Bytes {
                let elements = runs.flat_map(|run| &strings[run.whole..run.whole + run.len]);
                return Ok(Tensor::from_byte_strings(shape, elements)?);
            }
            let mut part = Vec::with_capacity(shape.iter().product::<usize>() * size);
            for run in runs {
                part.extend_from_slice(&whole.as_bytes()[run.whole * size..(run.whole + run.len) * size]);
            }
            Ok(Tensor::from_bytes(whole.dtype(), shape, part)?)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use mlops_core::DType::{Bool, Bytes, Uint8};
    use proptest::prelude::*;

    use super::*;
    use crate::layer::batched::fill::Fill;
    use crate::layer::batched::join::join;

    /// A tensor whose elements differ.
    fn numbered(dtype: DType, shape: &[usize], seed: u8) -> Tensor {
        let elements: usize = shape.iter().product();
        let Some(size) = dtype.size() else {
            let strings = (0..elements).map(|number| "x".repeat((number + usize::from(seed)) % 5));
            return Tensor::from_byte_strings(shape, strings).unwrap();
        };
        let bytes = (0..elements * size).map(|number| (number as u8).wrapping_mul(31).wrapping_add(seed));
        let bytes: Vec<u8> = bytes.map(|byte| if dtype == Bool { byte % 2 } else { byte }).collect();
        Tensor::from_bytes(dtype, shape, bytes).unwrap()
    }

    fn any_dtype() -> impl Strategy<Value = DType> {
        prop::sample::select(DType::ALL.to_vec())
    }

    /// Shapes that agree except along one axis, and that axis.
    fn shapes() -> impl Strategy<Value = (Vec<Vec<usize>>, usize)> {
        (prop::collection::vec(0_usize..4, 1..5), prop::collection::vec(0_usize..4, 1..6)).prop_flat_map(
            |(shape, rows)| {
                (0..shape.len()).prop_map(move |axis| {
                    let with = |rows: &usize| {
                        let mut shape = shape.clone();
                        shape[axis] = *rows;
                        shape
                    };
                    (rows.iter().map(with).collect(), axis)
                })
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_joined_and_split_is_what_it_was(dtype in any_dtype(), (shapes, axis) in shapes()) {
            let parts: Vec<Tensor> =
                (0..).zip(&shapes).map(|(seed, shape)| numbered(dtype, shape, seed)).collect();
            let whole = join(&parts.iter().collect::<Vec<_>>(), axis, None).unwrap();
            prop_assert_eq!(split(&whole, axis, &shapes).unwrap(), parts);
        }

        #[test]
        fn what_is_padded_and_cut_is_what_it_was(
            dtype in any_dtype(), lengths in prop::collection::vec((0_usize..3, 2_usize..5, 2_usize..5), 1..6),
            axis in 0_usize..3,
        ) {
            let shapes: Vec<Vec<usize>> = lengths.iter().map(|(rows, one, other)| {
                let mut shape = vec![*one, *other];
                shape.insert(axis, *rows);
                shape
            }).collect();
            let parts: Vec<Tensor> =
                (0..).zip(&shapes).map(|(seed, shape)| numbered(dtype, shape, seed)).collect();
            // Too little data for so much padding is refused.
            if let Ok(whole) = join(&parts.iter().collect::<Vec<_>>(), axis, Some(&Fill::new(1.0))) {
                prop_assert_eq!(split(&whole, axis, &shapes).unwrap(), parts);
            } else {
                prop_assert!(shapes.iter().any(|shape| shape[axis] == 0));
            }
        }
    }

    #[test]
    fn joining_is_in_order_along_any_axis() {
        let (left, right) =
            (Tensor::from_vec(&[2, 1], vec![1_i32, 3]), Tensor::from_vec(&[2, 1], vec![2_i32, 4]));
        let (left, right) = (left.unwrap(), right.unwrap());
        let joined = |axis| join(&[&left, &right], axis, None).unwrap();
        assert_eq!(joined(0), Tensor::from_vec(&[4, 1], vec![1, 3, 2, 4]).unwrap());
        assert_eq!(joined(1), Tensor::from_vec(&[2, 2], vec![1, 2, 3, 4]).unwrap());
    }

    #[test]
    fn the_shorter_are_padded_behind() {
        let (long, short) = (numbered(Bytes, &[1, 3], 1), numbered(Bytes, &[1, 2], 1));
        let whole = join(&[&short, &long], 0, Some(&Fill::new(0.0))).unwrap();
        assert_eq!(whole.strings().unwrap(), ["x", "xx", "", "x", "xx", "xxx"]);
        let (long, short) =
            (Tensor::from_vec(&[1, 2], vec![1.0_f32, 2.0]), Tensor::from_vec(&[1, 1], vec![3.0_f32]));
        let whole = join(&[&short.unwrap(), &long.unwrap()], 0, Some(&Fill::new(-1.0))).unwrap();
        assert_eq!(whole, Tensor::from_vec(&[2, 2], vec![3.0_f32, -1.0, 1.0, 2.0]).unwrap());
    }

    #[test]
    fn what_cannot_be_joined_is_refused() {
        let fill = Fill::new(0.0);
        let of = |shape: &[usize]| numbered(Uint8, shape, 0);
        assert!(join(&[], 0, None).is_err());
        assert!(join(&[&of(&[1, 2]), &of(&[1, 3])], 0, None).is_err(), "no padding");
        assert!(join(&[&of(&[1]), &of(&[1, 1])], 0, Some(&fill)).is_err(), "ranks");
        let (wide, high) = (of(&[1, 1, 500]), of(&[1, 500, 1]));
        assert!(join(&[&wide, &high], 0, Some(&fill)).is_err(), "nearly all would be padding");
    }
}
