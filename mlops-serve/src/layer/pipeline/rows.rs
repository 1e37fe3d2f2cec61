//! Some rows of tensors, taken out and put back.

use mlops_core::{Error, Result, Tensor, TensorSpec, Tensors};

use super::fit;

/// How many rows the tensors have: 0 where none with a batch dimension is there.
pub(super) fn count(specs: &[TensorSpec], tensors: &Tensors) -> usize {
    let rows = |spec: &TensorSpec| tensors.get(spec.name())?.shape().get(spec.batch_axis()?).copied();
    specs.iter().find_map(rows).unwrap_or(0)
}

/// Only these rows of each tensor that has rows.
pub(super) fn select(specs: &[TensorSpec], tensors: &Tensors, rows: &[usize]) -> Result<Tensors> {
    let picks: Vec<Pick> = rows.iter().map(|row| (0, *row)).collect();
    let select =
        |(name, tensor): (&str, &Tensor)| match fit::find(specs, name).and_then(TensorSpec::batch_axis) {
            Some(axis) => Ok((name.to_owned(), assemble(name, &[tensor], axis, &picks)?)),
            None => Ok((name.to_owned(), tensor.clone())),
        };
    tensors.iter().map(select).collect()
}

/// `tensors`, with the rows of `others` in the place of the rows `at`, of `count` rows in all. Every tensor has rows.
pub(super) fn replace(
    specs: &[TensorSpec],
    tensors: &Tensors,
    others: &Tensors,
    at: &[usize],
    count: usize,
) -> Result<Tensors> {
    if let Some(name) = others.names().find(|name| tensors.get(name).is_none()) {
        return Err(Error::engine(format!("`{name}` was given for some rows and not for others")));
    }
    let mut picks: Vec<Pick> = (0..count).map(|row| (0, row)).collect();
    for (index, row) in at.iter().enumerate() {
        picks[*row] = (1, index);
    }
    let replace = |(name, tensor): (&str, &Tensor)| {
        let axis = fit::find(specs, name).and_then(TensorSpec::batch_axis);
        let (Some(other), Some(axis)) = (others.get(name), axis) else {
            return Err(Error::engine(format!("`{name}` was given for some rows and not for others")));
        };
        Ok((name.to_owned(), assemble(name, &[tensor, other], axis, &picks)?))
    };
    tensors.iter().map(replace).collect()
}

/// A row of one of several tensors: which tensor, which row.
type Pick = (usize, usize);

/// The tensor whose rows, along `axis`, are the picked ones.
fn assemble(name: &str, tensors: &[&Tensor], axis: usize, picks: &[Pick]) -> Result<Tensor> {
    let apart =
        || Error::engine(format!("the rows of `{name}` do not go together: they come from {tensors:?}"));
    let (dtype, mut shape) = (tensors[0].dtype(), tensors[0].shape().to_vec());
    *shape.get_mut(axis).ok_or_else(apart)? = picks.len();
    let fits = |tensor: &Tensor| {
        let mut lengths = tensor.shape().iter().zip(&shape).enumerate();
        tensor.dtype() == dtype
            && tensor.shape().len() == shape.len()
            && lengths.all(|(at, (length, expected))| at == axis || length == expected)
    };
    let rows: Vec<usize> =
        tensors.iter().map(|tensor| tensor.shape().get(axis).copied().unwrap_or(0)).collect();
    if !tensors.iter().all(|tensor| fits(tensor)) || picks.iter().any(|(tensor, row)| *row >= rows[*tensor]) {
        return Err(apart());
    }
    if shape.contains(&0) {
        return Ok(Tensor::from_bytes(dtype, &shape, Vec::new())?);
    }

    // A tensor is `outer` blocks of rows, and each row of a block `inner` neighbouring elements.
    let (outer, inner): (usize, usize) = (shape[..axis].iter().product(), shape[axis + 1..].iter().product());
    let starts = (0..outer).flat_map(|block| {
        let rows = &rows;
        picks.iter().map(move |&(tensor, row)| (tensor, (block * rows[tensor] + row) * inner))
    });
    Ok(match dtype.size() {
        Some(size) => {
            let mut bytes = Vec::with_capacity(outer * picks.len() * inner * size);
            for (tensor, start) in starts {
                bytes.extend_from_slice(&tensors[tensor].as_bytes()[start * size..(start + inner) * size]);
            }
            Tensor::from_bytes(dtype, &shape, bytes)?
        }
        None => {
            let strings = tensors.iter().map(|tensor| Ok(tensor.byte_strings()?.collect()));
            let strings: Vec<Vec<&[u8]>> = strings.collect::<Result<_>>()?;
            let picked = starts.flat_map(|(tensor, start)| &strings[tensor][start..start + inner]);
            Tensor::from_byte_strings(&shape, picked)?
        }
    })
}

#[cfg(test)]
mod tests {
    use mlops_core::{
        DType,
        Dimension::{Batch, Fixed, Free},
    };

    use super::*;

    fn specs() -> Vec<TensorSpec> {
        vec![
            TensorSpec::new("x", DType::Int32, [Batch, Fixed(2)]),
            TensorSpec::new("time", DType::Int32, [Fixed(2), Batch]),
            TensorSpec::new("text", DType::Bytes, [Batch]),
            TensorSpec::new("k", DType::Int8, [Free]),
        ]
    }

    fn tensors() -> Tensors {
        let of = |shape: &[usize], values: &[i32]| Tensor::from_vec(shape, values.to_vec()).unwrap();
        Tensors::new()
            .with("x", of(&[3, 2], &[0, 1, 10, 11, 20, 21]))
            .with("time", of(&[2, 3], &[0, 10, 20, 1, 11, 21]))
            .with("text", Tensor::from_byte_strings(&[3], ["a", "bb", ""]).unwrap())
    }

    #[test]
    fn rows_are_taken_along_any_axis_and_of_any_type() {
        let all = tensors().with("k", vec![7_i8]);
        let some = select(&specs(), &all, &[2, 0]).unwrap();
        assert_eq!(some.get("x").unwrap().as_slice::<i32>().unwrap(), [20, 21, 0, 1]);
        assert_eq!(some.get("time").unwrap().as_slice::<i32>().unwrap(), [20, 0, 21, 1]);
        assert_eq!(some.get("text").unwrap().strings().unwrap(), ["", "a"]);
        assert_eq!(some.get("k"), all.get("k"), "what has no rows stays");
        assert_eq!(count(&specs(), &some), 2);
    }

    #[test]
    fn rows_put_back_where_they_were_change_nothing() {
        let all = tensors();
        for rows in [&[0][..], &[2, 1], &[], &[0, 1, 2]] {
            let some = select(&specs(), &all, rows).unwrap();
            assert_eq!(replace(&specs(), &all, &some, rows, 3).unwrap(), all);
        }
    }

    #[test]
    fn rows_that_do_not_go_together_are_refused() {
        let all = tensors();
        let some = select(&specs(), &all, &[1]).unwrap();
        let longer = some.clone().with("x", Tensor::from_vec(&[1, 3], vec![1_i32, 2, 3]).unwrap());
        let error =
            |others: &Tensors, at: &[usize]| replace(&specs(), &all, others, at, 3).unwrap_err().to_string();
        assert!(error(&longer, &[1]).contains("rows of `x` do not go together"), "{}", error(&longer, &[1]));
        assert!(error(&some, &[1, 2]).contains("rows of `x` do not go together"), "too few");
        assert!(error(&Tensors::new(), &[1]).contains("`x` was given for some rows and not for others"));
        let more = some.with("more", vec![1_u8]);
        assert!(error(&more, &[1]).contains("`more` was given for some rows and not for others"));
    }

    #[test]
    fn rows_of_nothing_take_no_time() {
        let specs = [TensorSpec::new("x", DType::Fp32, [Free, Batch, Free])];
        let empty = Tensor::from_vec(&[1 << 40, 2, 0], Vec::<f32>::new()).unwrap();
        let one = select(&specs, &Tensors::new().with("x", empty), &[1]).unwrap();
        assert_eq!(one.get("x").unwrap().shape(), [1 << 40, 1, 0]);
    }
}
