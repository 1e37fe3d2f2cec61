//! Parts of a tensor turned around or cleared, in place.

use mlops_core::{Error, Result};

use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one, support};
use crate::engine::onnx::tensor::{Data, HostTensor, Scalar, for_any};
use crate::engine::onnx::value::Inputs;

/// `ReverseSequence`: the first elements of each sequence of a batch, the last of them first.
#[derive(Debug)]
struct ReverseSequence {
    /// Whether the sequences are rows `[batch, time, ..]` and not `[time, batch, ..]`.
    batch_first: bool,
}

pub(super) fn reverse_sequence(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let batch_first = match (attributes.int("batch_axis", 1)?, attributes.int("time_axis", 0)?) {
        (0, 1) => true,
        (1, 0) => false,
        (batch, time) => {
            let what = format!("batch_axis {batch} and time_axis {time} must be 0 and 1 or 1 and 0");
            return Err(Error::invalid_input(what));
        }
    };
    Ok(Box::new(ReverseSequence { batch_first }))
}

impl Operator for ReverseSequence {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let lengths = inputs.tensor(1)?.to_i64s()?;
        let data = inputs.take(0)?;
        let &[first, second, ref rest @ ..] = data.shape() else {
            return Err(Error::engine("sequences have at least 2 dimensions"));
        };
        let block = support::product(rest);
        let (batch, time) = if self.batch_first { (first, second) } else { (second, first) };
        let (batch_stride, time_stride) = if self.batch_first {
            (time.saturating_mul(block), block)
        } else {
            (block, batch.saturating_mul(block))
        };
        let checked = lengths.iter().map(|&length| usize::try_from(length).ok().filter(|&l| l <= time));
        let checked: Option<Vec<usize>> = checked.collect();
        let Some(lengths) = checked.filter(|checked| checked.len() == batch) else {
            return Err(Error::engine(format!(
                "the lengths {lengths:?} are not those of {batch} sequences of at most {time} elements"
            )));
        };
        if data.is_empty() {
            return one(data);
        }
        let (shape, data) = data.into_parts();
        fn reversed<T: Scalar>(
            mut elements: Vec<T>,
            lengths: &[usize],
            [batch_stride, time_stride, block]: [usize; 3],
        ) -> Data {
            for (index, &length) in lengths.iter().enumerate() {
                let start = index * batch_stride;
                for early in 0..length / 2 {
                    let late = start + (length - 1 - early) * time_stride;
                    let (head, tail) = elements.split_at_mut(late);
                    let early = start + early * time_stride;
                    head[early..early + block].swap_with_slice(&mut tail[..block]);
                }
            }
            T::wrap(elements.into())
        }
        let strides = [batch_stride, time_stride, block];
        let data = for_any!(data, |elements| reversed(elements.into_vec(), &lengths, strides));
        one(HostTensor::from_data(shape, data)?)
    }
}

/// `Trilu`: the upper or lower triangle of matrices, with zeros in the place of the rest.
#[derive(Debug)]
struct Trilu {
    upper: bool,
}

pub(super) fn trilu(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Trilu { upper: source.node.attributes.flag("upper", true)? }))
}

impl Operator for Trilu {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let diagonal = match inputs.optional_i64s(1)?.as_deref() {
            None => 0,
            Some(&[diagonal]) => diagonal,
            Some(several) => {
                return Err(Error::engine(format!("the diagonal is one number, not {}", several.len())));
            }
        };
        let data = inputs.take(0)?;
        let &[.., rows, columns] = data.shape() else {
            return Err(Error::engine("a matrix has at least 2 dimensions"));
        };
        if data.is_empty() {
            return one(data);
        }
        fn cleared<T: Scalar>(
            mut elements: Vec<T>,
            [rows, columns]: [usize; 2],
            diagonal: i64,
            upper: bool,
        ) -> Data {
            for (index, row) in elements.chunks_exact_mut(columns).enumerate() {
                // The first column above the diagonal's own, in the upper part; the diagonal belongs to both.
                let own = diagonal.saturating_add((index % rows) as i64);
                let boundary = if upper { own } else { own.saturating_add(1) };
                let boundary = usize::try_from(boundary).unwrap_or(0).min(columns);
                let cleared = if upper { &mut row[..boundary] } else { &mut row[boundary..] };
                cleared.fill(T::default());
            }
            T::wrap(elements.into())
        }
        let (shape, data) = data.into_parts();
        let size = [rows, columns];
        let data = for_any!(data, |elements| cleared(elements.into_vec(), size, diagonal, self.upper));
        one(HostTensor::from_data(shape, data)?)
    }
}
