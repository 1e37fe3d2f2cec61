//! The same elements in the same order, under another shape. Nothing is copied.

use mlops_core::{Error, Result};

use super::parameter::Integers;
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one, support};
use crate::engine::onnx::tensor::{Shape, element_count};
use crate::engine::onnx::value::Inputs;

/// `Reshape`: a length of -1 is what remains, 0 is that of the input (unless `allowzero`).
#[derive(Debug)]
struct Reshape {
    shape: Integers,
    allow_zero: bool,
}

pub(super) fn reshape(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Reshape {
        shape: Integers::attribute_until(5, source, "shape", 1)?,
        allow_zero: source.node.attributes.flag("allowzero", false)?,
    }))
}

impl Operator for Reshape {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let wanted = self.shape.get(inputs)?.ok_or_else(|| Error::engine("the new shape is missing"))?;
        let data = inputs.take(0)?;
        let shape = reshaped(data.shape(), &wanted, self.allow_zero)?;
        one(data.reshaped(shape)?)
    }
}

/// The shape that is asked for. Lengths taken over from the input count neither as known nor as remaining, so that
/// -1 has a meaning even when one of them is 0.
fn reshaped(own: &[usize], wanted: &[i64], allow_zero: bool) -> Result<Shape> {
    let cannot = |why: &str| {
        Error::engine(format!("a tensor of shape {own:?} cannot be given the shape {wanted:?}: {why}"))
    };
    let mut shape = Shape::new();
    let mut known = 1_usize;
    let mut open = None;
    let mut taken_over = Shape::new();
    for (index, &length) in wanted.iter().enumerate() {
        let length = match length {
            -1 if open.is_none() => {
                open = Some(index);
                1
            }
            0 if !allow_zero => {
                taken_over.push(index);
                *own.get(index)
                    .ok_or_else(|| cannot("0 stands for a dimension that the tensor does not have"))?
            }
            _ => {
                let length = usize::try_from(length).map_err(|_| cannot("only one length may be -1"))?;
                known = known.checked_mul(length).ok_or_else(|| cannot("it is too large"))?;
                length
            }
        };
        shape.push(length);
    }
    if let Some(open) = open {
        let others = own.iter().enumerate().filter(|(index, _)| !taken_over.contains(index));
        let others = others.fold(1, |product: usize, (_, &length)| product.saturating_mul(length));
        if known == 0 || !others.is_multiple_of(known) {
            return Err(cannot("what remains for -1 is no whole number"));
        }
        shape[open] = others / known;
    }
    if element_count(&shape)? != element_count(own)? {
        return Err(cannot("the numbers of elements differ"));
    }
    Ok(shape)
}

/// `Flatten`: the dimensions before `axis` become one, and so do the others.
#[derive(Debug)]
struct Flatten {
    axis: i64,
}

pub(super) fn flatten(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Flatten { axis: source.node.attributes.int("axis", 1)? }))
}

impl Operator for Flatten {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let data = inputs.take(0)?;
        let rank = data.rank();
        let axis =
            if usize::try_from(self.axis) == Ok(rank) { rank } else { support::axis(self.axis, rank)? };
        let (outer, inner) = data.shape().split_at(axis);
        let shape = [support::product(outer), support::product(inner)];
        one(data.reshaped(shape.as_slice())?)
    }
}

/// `Squeeze`: without dimensions of length 1, all or those named.
#[derive(Debug)]
struct Squeeze {
    axes: Integers,
}

pub(super) fn squeeze(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Squeeze { axes: Integers::attribute_until(13, source, "axes", 1)? }))
}

impl Operator for Squeeze {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let axes = self.axes.get(inputs)?;
        let data = inputs.take(0)?;
        let removed = match axes {
            Some(axes) => support::axes(&axes, data.rank())?,
            None => (0..data.rank()).filter(|&axis| data.shape()[axis] == 1).collect(),
        };
        if let Some(&axis) = removed.iter().find(|&&axis| data.shape()[axis] != 1) {
            let length = data.shape()[axis];
            return Err(Error::engine(format!(
                "the dimension {axis} has the length {length}; only one of length 1 can be left out"
            )));
        }
        let kept = data.shape().iter().enumerate().filter(|(axis, _)| !removed.contains(axis));
        let shape: Shape = kept.map(|(_, &length)| length).collect();
        one(data.reshaped(shape)?)
    }
}

/// `Unsqueeze`: with dimensions of length 1 at the places named.
#[derive(Debug)]
struct Unsqueeze {
    axes: Integers,
}

pub(super) fn unsqueeze(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Unsqueeze { axes: Integers::attribute_until(13, source, "axes", 1)? }))
}

impl Operator for Unsqueeze {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let axes = self.axes.get(inputs)?.ok_or_else(|| Error::engine("the axes are missing"))?;
        let data = inputs.take(0)?;
        let rank = data.rank() + axes.len();
        let inserted = support::axes(&axes, rank)?;
        let mut lengths = data.shape().iter();
        let length = |axis| if inserted.contains(&axis) { Some(1) } else { lengths.next().copied() };
        let shape: Shape = (0..rank).filter_map(length).collect();
        one(data.reshaped(shape)?)
    }
}

#[cfg(test)]
mod tests {
    use super::reshaped;

    #[test]
    fn a_new_shape_may_leave_one_length_open_and_take_others_over() {
        let of = |own: &[usize], wanted: &[i64]| reshaped(own, wanted, false).ok().map(|s| s.to_vec());
        assert_eq!(of(&[2, 3, 4], &[0, -1]), Some(vec![2, 12]));
        assert_eq!(of(&[0, 3, 4], &[0, -1, 2]), Some(vec![0, 6, 2]), "a batch of no rows");
        assert_eq!(of(&[2, 3, 4], &[-1, 5]), None);
        assert_eq!(of(&[2, 3, 4], &[-1, -1, 24]), None);
        assert_eq!(of(&[2, 3, 4], &[2, 3, 4, 0]), None);
        assert_eq!(of(&[2], &[-2]), None);
        assert_eq!(of(&[2], &[i64::MAX, i64::MAX, -1]), None);
        assert_eq!(of(&[1], &[]), Some(vec![]));
        assert_eq!(reshaped(&[0, 3], &[3, 0], true).unwrap().as_slice(), [3, 0]);
    }
}
