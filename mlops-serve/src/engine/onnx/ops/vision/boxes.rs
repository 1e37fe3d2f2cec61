//! `NonMaxSuppression`: the best boxes of each class, without those that overlap better ones.

use mlops_core::{Error, Result};

use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::HostTensor;
use crate::engine::onnx::value::Inputs;

#[derive(Debug)]
struct NonMaxSuppression {
    /// Whether boxes are [x centre, y centre, width, height] instead of two corners.
    by_centre: bool,
}

pub(super) fn build(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(NonMaxSuppression { by_centre: source.node.attributes.flag("center_point_box", false)? }))
}

impl Operator for NonMaxSuppression {
    fn run(&self, inputs: &mut Inputs<'_>, _context: &mut Context<'_>) -> Result<Outputs> {
        let (boxes, scores) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let (&[batches, count, 4], &[score_batches, classes, score_count]) = (boxes.shape(), scores.shape())
        else {
            return Err(Error::engine(
                "the boxes must be [batch, count, 4], the scores [batch, classes, count]",
            ));
        };
        if (batches, count) != (score_batches, score_count) {
            return Err(Error::engine(format!(
                "{batches} x {count} boxes do not fit {score_batches} x {score_count} scores"
            )));
        }
        let most = match inputs.optional_i64s(2)? {
            Some(most) => usize::try_from(most.first().copied().unwrap_or(0)).unwrap_or(0),
            None => 0,
        };
        let threshold = |index: usize| -> Result<Option<f32>> {
            let Some(tensor) = inputs.optional(index)? else { return Ok(None) };
            Ok(tensor.elements::<f32>()?.first().copied())
        };
        let (overlap, least_score) = (threshold(3)?.unwrap_or(0.0), threshold(4)?);
        let (boxes, scores) = (boxes.elements::<f32>()?, scores.elements::<f32>()?);
        let mut selected: Vec<i64> = Vec::new();
        for batch in 0..batches {
            let boxes = &boxes[batch * count * 4..][..count * 4];
            let boxes: Vec<Rectangle> =
                boxes.chunks_exact(4).map(|numbers| self.rectangle(numbers)).collect();
            for class in 0..classes {
                let scores = &scores[(batch * classes + class) * count..][..count];
                let enough = |&index: &usize| least_score.is_none_or(|least| scores[index] > least);
                let mut candidates: Vec<usize> = (0..count).filter(enough).collect();
                candidates.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
                let mut kept: Vec<usize> = Vec::new();
                for candidate in candidates {
                    if kept.len() >= most {
                        break;
                    }
                    if kept.iter().all(|&better| !boxes[better].overlaps(&boxes[candidate], overlap)) {
                        kept.push(candidate);
                        selected.extend([batch, class, candidate].map(|index| index as i64));
                    }
                }
            }
        }
        one(HostTensor::new([selected.len() / 3, 3].as_slice(), selected)?)
    }
}

#[derive(Debug, Clone, Copy)]
struct Rectangle {
    low: [f32; 2],
    high: [f32; 2],
}

impl NonMaxSuppression {
    fn rectangle(&self, numbers: &[f32]) -> Rectangle {
        let &[a, b, c, d] = numbers else { return Rectangle { low: [0.0; 2], high: [0.0; 2] } };
        if self.by_centre {
            Rectangle { low: [a - c / 2.0, b - d / 2.0], high: [a + c / 2.0, b + d / 2.0] }
        } else {
            Rectangle { low: [a.min(c), b.min(d)], high: [a.max(c), b.max(d)] }
        }
    }
}

impl Rectangle {
    fn area(&self) -> f32 {
        (self.high[0] - self.low[0]) * (self.high[1] - self.low[1])
    }

    /// Whether the intersection is more than that part of the union.
    fn overlaps(&self, other: &Self, threshold: f32) -> bool {
        let side = |axis: usize| {
            (self.high[axis].min(other.high[axis]) - self.low[axis].max(other.low[axis])).max(0.0)
        };
        let intersection = side(0) * side(1);
        let (a, b) = (self.area(), other.area());
        if intersection <= 0.0 || a <= 0.0 || b <= 0.0 {
            return false;
        }
        intersection / (a + b - intersection) > threshold
    }
}
