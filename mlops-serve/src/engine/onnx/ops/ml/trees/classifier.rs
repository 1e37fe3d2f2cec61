//! `TreeEnsembleClassifier`.
//!
//! How a class follows from the sums of weights, above all when there are two classes, is left open by the
//! specification. It is done here as onnxruntime does it.

use mlops_core::{Error, Result};
use smallvec::smallvec;

use super::description::{Description, Names};
use super::ensemble::{Ensemble, Score, Scores};
use super::scored::Scored;
use crate::engine::onnx::ops::ml::labels::Labels;
use crate::engine::onnx::ops::ml::scores::{PostTransform, SecondClass};
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source};
use crate::engine::onnx::tensor::{HostTensor, Shape};
use crate::engine::onnx::value::{Inputs, Value};
use crate::kernels::trees::Aggregate;

#[derive(Debug)]
struct Classifier {
    ensemble: Ensemble,
    transform: PostTransform,
    labels: Labels,
    base_values: Vec<f64>,
    /// Two classes, of which the leaves have weights for one only.
    binary: bool,
    /// No weight is negative.
    positive: bool,
    scored: Scored,
}

pub(crate) fn classifier(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let labels = Labels::parse(attributes, "classlabels_int64s", "classlabels_strings")?;
    let classes = labels.len();
    if classes == 0 {
        return Err(Error::invalid_input("the classes have no labels"));
    }
    let names =
        Names { ids: "class_ids", nodes: "class_nodeids", trees: "class_treeids", weights: "class_weights" };
    let mut description = Description::parse(attributes, names, classes)?;
    let base_values = std::mem::take(&mut description.base_values);
    let fits = match classes {
        1 | 2 => base_values.len() <= classes,
        _ => base_values.is_empty() || base_values.len() == classes,
    };
    if !fits {
        let given = base_values.len();
        return Err(Error::invalid_input(format!("{classes} classes have {given} base values")));
    }
    let ids = attributes.ints("class_ids")?.map_or(&[][..], Vec::as_slice);
    let one_class = ids.first().is_some_and(|first| ids.iter().all(|id| id == first));
    let positive = description.weights.iter().all(|weight| weight.weight >= 0.0);
    description.aggregate = Aggregate::Sum;
    description.untangle()?;
    let scored = Scored::new(&description, source)?;
    // With weights for both classes the labels are 0 and 1, whatever they are called.
    let binary = classes == 2 && one_class;
    let labels = match labels {
        Labels::Ints(_) if classes <= 2 && !binary => Labels::Ints(vec![0, 1]),
        labels if classes == 1 => labels.no_and_yes(),
        labels => labels,
    };
    Ok(Box::new(Classifier {
        transform: PostTransform::parse(attributes)?,
        ensemble: Ensemble::new(description, source)?,
        labels,
        base_values,
        binary,
        positive,
        scored,
    }))
}

impl Operator for Classifier {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let input = inputs.tensor(0)?;
        let classes = self.ensemble.targets();
        let (rows, sums) = self.ensemble.evaluate(input, context)?;
        let scored = self.scored.of(input, context)?;
        let (best, scores) = match sums {
            Scores::Floats(sums) => self.decide(sums, &scored),
            Scores::Doubles(sums) => self.decide(sums, &scored),
        };
        let scores = HostTensor::new(Shape::from_slice(&[rows, classes]), scores)?;
        Ok(smallvec![Value::Tensor(self.labels.select(&best)?), Value::Tensor(scores)])
    }
}

impl Classifier {
    /// The class and the scores of each row.
    fn decide<T: Score>(&self, mut sums: Vec<T>, scored: &[bool]) -> (Vec<usize>, Vec<f32>) {
        let classes = self.ensemble.targets();
        let base: Vec<T> = self.base_values.iter().map(|&value| T::from_double(value)).collect();
        let mut scores = vec![0.0_f32; sums.len()];
        let rows = sums.chunks_exact_mut(classes).zip(scores.chunks_exact_mut(classes)).enumerate();
        let decided = rows.map(|(row, (sums, scores))| {
            let scored = self.scored.row(scored, row);
            match classes {
                1 => self.decide_one(sums, scores, &base),
                2 => self.decide_two(sums, scores, scored, &base),
                _ => self.decide_several(sums, scores, scored, &base),
            }
        });
        let best = decided.collect();
        (best, scores)
    }

    fn decide_one<T: Score>(&self, sums: &mut [T], scores: &mut [f32], base: &[T]) -> usize {
        if let Some(&base) = base.first() {
            sums[0] += base;
        }
        scores[0] = sums[0].to_float();
        self.transform.apply(scores);
        usize::from(sums[0] > T::default())
    }

    fn decide_two<T: Score>(&self, sums: &mut [T], scores: &mut [f32], scored: &[bool], base: &[T]) -> usize {
        let [first_scored, second_scored] = [scored[0], scored[1]];
        let mut second = SecondClass::Absent;
        match *base {
            [first, _] if !second_scored => sums[0] += first,
            [_, of_second] => {
                sums[1] = sums[0];
                sums[1] += of_second;
                sums[0] = sums[1].negated();
            }
            [first] => sums[0] += first,
            _ => second = SecondClass::Opposite,
        }
        let both = second_scored || base.len() == 2;
        let decisive = match (second_scored, first_scored) {
            (true, _) => sums[1],
            (false, true) => sums[0],
            (false, false) => T::default(),
        };
        if self.binary {
            second = if self.positive { SecondClass::Complement } else { SecondClass::Opposite };
        }
        let threshold = if self.binary && self.positive { 0.5 } else { 0.0 };
        let class = usize::from(decisive > T::from_double(threshold));
        let score = |class: usize| if scored[class] { sums[class].to_float() } else { 0.0 };
        if both {
            scores.copy_from_slice(&[score(0), score(1)]);
            self.transform.apply(scores);
        } else {
            scores.copy_from_slice(&self.transform.apply_to_two(score(0), second));
        }
        class
    }

    fn decide_several<T: Score>(
        &self,
        sums: &mut [T],
        scores: &mut [f32],
        scored: &[bool],
        base: &[T],
    ) -> usize {
        for (sum, &base) in sums.iter_mut().zip(base) {
            *sum += base;
        }
        let mut best: Option<usize> = None;
        for (class, &sum) in sums.iter().enumerate() {
            let counts = scored[class] || !base.is_empty();
            if counts && best.is_none_or(|best| sum > sums[best]) {
                best = Some(class);
            }
        }
        for (score, sum) in scores.iter_mut().zip(sums) {
            *score = sum.to_float();
        }
        self.transform.apply(scores);
        best.unwrap_or(0)
    }
}
