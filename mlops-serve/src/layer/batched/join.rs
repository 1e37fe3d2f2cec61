//! Tensors put together along one axis.

use mlops_core::{DType, Error, Result, Tensor};

use super::fill::Fill;
use super::regions::runs;

/// By how much padding may enlarge a tensor. Requests that differ by more are not worth a batch.
const MOST_PADDING: usize = 4;

/// The parts one after the other along `axis`. Where their other dimensions differ, they get the length of the longest,
/// and `fill` behind the shorter.
///
/// # Errors
/// [`Error::Internal`] when they differ and there is no `fill`, or when more than three quarters would be padding.
pub(super) fn join(parts: &[&Tensor], axis: usize, fill: Option<&Fill>) -> Result<Tensor> {
    let [first, rest @ ..] = parts else { return Err(Error::internal("there is nothing to join")) };
    let mut shape = first.shape().to_vec();
    let mut is_even = true;
    for part in rest {
        if part.shape().len() != shape.len() {
            return Err(Error::internal("tensors of different rank cannot be joined"));
        }
        for (at, length) in part.shape().iter().enumerate() {
            if at == axis {
                shape[at] += length;
            } else {
                is_even &= shape[at] == *length;
                shape[at] = shape[at].max(*length);
            }
        }
    }
    if is_even && shape[..axis].iter().product::<usize>() == 1 {
        return one_after_the_other(parts, &shape);
    }
    if !is_even && fill.is_none() {
        return Err(Error::internal("tensors of different shapes cannot be joined without padding"));
    }
    let elements = elements(&shape, parts)?;
    let dtype = first.dtype();
    if dtype == DType::Bytes {
        let mut whole: Vec<&[u8]> = vec![&[]; elements];
        let strings =
            parts.iter().map(|part| Ok(part.byte_strings()?.collect())).collect::<Result<Vec<Vec<_>>>>()?;
        place(parts, &shape, axis, 1, |part, from, to| whole[to].copy_from_slice(&strings[part][from]));
        return Ok(Tensor::from_byte_strings(&shape, whole)?);
    }
    let size = dtype.size().unwrap_or(1);
    let mut whole = match fill {
        Some(fill) if !is_even => fill.bytes(dtype).repeat(elements),
        _ => vec![0; elements * size],
    };
    place(parts, &shape, axis, size, |part, from, to| {
        whole[to].copy_from_slice(&parts[part].as_bytes()[from]);
    });
    Ok(Tensor::from_bytes(dtype, &shape, whole)?)
}

fn one_after_the_other(parts: &[&Tensor], shape: &[usize]) -> Result<Tensor> {
    let mut whole = Vec::with_capacity(parts.iter().map(|part| part.as_bytes().len()).sum());
    parts.iter().for_each(|part| whole.extend_from_slice(part.as_bytes()));
    Ok(Tensor::from_bytes(parts[0].dtype(), shape, whole)?)
}

/// How many elements the whole has, if that is in proportion to its parts.
fn elements(shape: &[usize], parts: &[&Tensor]) -> Result<usize> {
    let given: usize = parts.iter().map(|part| part.len()).sum();
    shape
        .iter()
        .try_fold(1_usize, |product, length| product.checked_mul(*length))
        .filter(|elements| *elements <= given.saturating_mul(MOST_PADDING))
        .ok_or_else(|| Error::internal("the lengths of the requests are too different for one batch"))
}

/// Calls `copy` with the number of a part, a range in it, and the range in the whole where that belongs.
fn place(
    parts: &[&Tensor],
    whole: &[usize],
    axis: usize,
    size: usize,
    mut copy: impl FnMut(usize, std::ops::Range<usize>, std::ops::Range<usize>),
) {
    let mut offset = 0;
    for (number, part) in parts.iter().enumerate() {
        for run in runs(part.shape(), whole, axis, offset) {
            let (from, to, len) = (run.part * size, run.whole * size, run.len * size);
            copy(number, from..from + len, to..to + len);
        }
        offset += part.shape()[axis];
    }
}
