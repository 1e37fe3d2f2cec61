//! The best classes, by name.

use std::sync::Arc;

use mlops_core::{DType, Dimension, Error, Result, Signature, Tensor, TensorSpec, Tensors};

use super::real::{self, Real, with_real};
use crate::layer::pipeline::{Postprocess, Step, fit};

/// The index, or the name, of the greatest score along the last dimension. Of equal ones the first.
///
/// The scores stay among the outputs; [`Select`](super::Select) leaves them out. A NaN among them is
/// [`Error::Engine`]: there is no best one then.
///
/// ```
/// use mlops_serve::layer::pipeline::steps::Argmax;
///
/// let class = Argmax::new("probabilities", "class").with_labels(["cat", "dog"]); // BYTES; without labels INT64
/// # let _ = class;
/// ```
#[derive(Debug, Clone)]
pub struct Argmax {
    scores: String,
    class: String,
    labels: Option<Labels>,
}

/// The indices, or the names, of the `k` greatest scores along the last dimension, the greatest first. Of equal ones
/// those that come first.
///
/// The scores become the `k` greatest, in the same order. A NaN among them is [`Error::Engine`].
///
/// ```
/// use mlops_serve::layer::pipeline::steps::TopK;
///
/// let best = TopK::new("probabilities", 3, "classes").with_labels(["ant", "bee", "cat", "dog"]);
/// # let _ = best;
/// ```
#[derive(Debug, Clone)]
pub struct TopK {
    scores: String,
    k: usize,
    classes: String,
    labels: Option<Labels>,
}

type Labels = Arc<[String]>;

impl Argmax {
    /// Of the output `scores`, as a new output `class`.
    #[must_use]
    pub fn new(scores: impl Into<String>, class: impl Into<String>) -> Self {
        Self { scores: scores.into(), class: class.into(), labels: None }
    }

    /// What the classes are called, in the order of the scores.
    #[must_use]
    pub fn with_labels(mut self, labels: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.labels = Some(labels.into_iter().map(Into::into).collect());
        self
    }
}

impl TopK {
    /// Of the output `scores`, with a new output `classes`.
    #[must_use]
    pub fn new(scores: impl Into<String>, k: usize, classes: impl Into<String>) -> Self {
        Self { scores: scores.into(), k, classes: classes.into(), labels: None }
    }

    /// What the classes are called, in the order of the scores.
    #[must_use]
    pub fn with_labels(mut self, labels: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.labels = Some(labels.into_iter().map(Into::into).collect());
        self
    }
}

impl Postprocess for Argmax {
    fn after(self, given: &[TensorSpec]) -> Result<Step> {
        let Self { scores, class, labels } = self;
        let (spec, rows) = scores_of(given, &scores, 1, labels.as_ref())?;
        let classes = fit::like(spec, &class, class_type(labels.as_ref()), rows);
        let signature = Signature::new([spec.clone()], [spec.clone(), classes])?;
        Ok(Step::new(format!("argmax({scores})"), signature, move |tensors| {
            let Some(tensor) = tensors.get(&scores) else { return Ok(tensors) };
            let (best, _) = with_real!(tensor.dtype(), T => greatest::<T>(tensor, 1))?;
            let shape = tensor.shape().split_last().map_or(&[][..], |(_, rows)| rows);
            let best = named(shape, best, labels.as_deref())?;
            Ok(tensors.with(class.as_str(), best))
        }))
    }
}

impl Postprocess for TopK {
    fn after(self, given: &[TensorSpec]) -> Result<Step> {
        let Self { scores, k, classes, labels } = self;
        let (spec, rows) = scores_of(given, &scores, k, labels.as_ref())?;
        let shape: Vec<Dimension> = rows.iter().copied().chain([k.into()]).collect();
        let best = fit::like(spec, &scores, spec.dtype(), &shape);
        let names = fit::like(spec, &classes, class_type(labels.as_ref()), &shape);
        let signature = Signature::new([spec.clone()], [best, names])?;
        Ok(Step::new(format!("top_k({scores})"), signature, move |tensors| {
            let Some(tensor) = tensors.get(&scores) else { return Ok(tensors) };
            let (best, values) = with_real!(tensor.dtype(), T => greatest::<T>(tensor, k))?;
            let best = named(values.shape(), best, labels.as_deref())?;
            Ok(Tensors::new().with(scores.as_str(), values).with(classes.as_str(), best))
        }))
    }
}

/// The scores, and their shape without the classes.
fn scores_of<'a>(
    given: &'a [TensorSpec],
    name: &str,
    k: usize,
    labels: Option<&Labels>,
) -> Result<(&'a TensorSpec, &'a [Dimension])> {
    let spec = fit::require(given, name)?;
    real::check(spec)?;
    let refuse = |why: String| Err(Error::invalid_input(format!("`{name}` ({spec}) {why}")));
    if k == 0 {
        return refuse("cannot give the best 0 classes".to_owned());
    }
    match spec.shape().split_last() {
        None | Some((Dimension::Batch, _)) => refuse("has no columns that could be classes".to_owned()),
        Some((Dimension::Fixed(classes), _)) if *classes < k => refuse(format!("has fewer than {k} classes")),
        Some((Dimension::Fixed(classes), _)) if labels.is_some_and(|labels| labels.len() != *classes) => {
            refuse(format!(
                "has {classes} classes, but there are {} labels",
                labels.map_or(0, |labels| labels.len())
            ))
        }
        Some((_, rows)) => Ok((spec, rows)),
    }
}

fn class_type(labels: Option<&Labels>) -> DType {
    if labels.is_some() { DType::Bytes } else { DType::Int64 }
}

/// The indices of the `k` greatest of each row, and their values.
fn greatest<T: Real>(scores: &Tensor, k: usize) -> Result<(Vec<usize>, Tensor)> {
    let (mut shape, values) = (scores.shape().to_vec(), scores.as_slice::<T>()?);
    let classes = shape.last().copied().unwrap_or(1);
    if classes < k {
        return Err(Error::engine(format!("there are {classes} classes, and the best {k} are wanted")));
    }
    if let Some(index) = values.iter().position(|value| value.to_f64().is_nan()) {
        return Err(Error::engine(format!("score {index} is NaN, so no class is the best")));
    }
    let mut best = Vec::with_capacity(values.len() / classes * k);
    let mut order: Vec<usize> = Vec::with_capacity(classes);
    for row in values.chunks_exact(classes) {
        let before = |one: &usize, other: &usize| {
            row[*other].to_f64().total_cmp(&row[*one].to_f64()).then_with(|| one.cmp(other))
        };
        order.clear();
        order.extend(0..classes);
        if k < classes {
            order.select_nth_unstable_by(k - 1, before);
            order.truncate(k);
        }
        order.sort_unstable_by(before);
        best.extend_from_slice(&order);
    }
    let winners = best.iter().enumerate().map(|(index, class)| values[index / k * classes + class]).collect();
    if let Some(last) = shape.last_mut() {
        *last = k;
    }
    Ok((best, Tensor::from_vec::<T>(&shape, winners)?))
}

/// Classes as their labels, or their numbers.
fn named(shape: &[usize], classes: Vec<usize>, labels: Option<&[String]>) -> Result<Tensor> {
    let Some(labels) = labels else {
        let numbers: Vec<i64> =
            classes.into_iter().map(|class| i64::try_from(class).unwrap_or(i64::MAX)).collect();
        return Ok(Tensor::from_vec(shape, numbers)?);
    };
    let label = |class: usize| {
        labels
            .get(class)
            .ok_or_else(|| Error::engine(format!("class {class} has no label; there are {}", labels.len())))
    };
    let named: Vec<&String> = classes.into_iter().map(label).collect::<Result<_>>()?;
    Ok(Tensor::from_byte_strings(shape, named)?)
}

#[cfg(test)]
mod tests {
    use mlops_core::Dimension::{Batch, Fixed, Free};
    use mlops_core::Engine;
    use proptest::prelude::*;

    use super::*;

    const SCORES: [f32; 6] = [0.1, 0.7, 0.2, 0.4, 0.2, 0.4];

    fn spec(shape: &[Dimension]) -> [TensorSpec; 1] {
        [TensorSpec::new("p", DType::Fp32, shape.iter().copied())]
    }

    fn run(step: impl Postprocess, shape: &[usize], scores: &[f32]) -> Result<Tensors> {
        let step = step.after(&spec(&[Batch, Free]))?;
        step.apply(Tensors::new().with("p", Tensor::from_vec(shape, scores.to_vec())?))
    }

    #[test]
    fn the_best_class_is_named_beside_the_scores() {
        let outputs = run(Argmax::new("p", "class").with_labels(["a", "b", "c"]), &[2, 3], &SCORES).unwrap();
        assert_eq!(outputs.get("class").unwrap().strings().unwrap(), ["b", "a"]);
        assert_eq!(outputs.get("p").unwrap().as_slice::<f32>().unwrap(), SCORES);
        let numbers = run(Argmax::new("p", "class"), &[2, 3], &SCORES).unwrap();
        assert_eq!(numbers.get("class").unwrap(), &Tensor::from(vec![1_i64, 0]));
    }

    #[test]
    fn the_best_classes_come_in_order() {
        let outputs = run(TopK::new("p", 2, "best").with_labels(["a", "b", "c"]), &[2, 3], &SCORES).unwrap();
        assert_eq!(outputs.get("best").unwrap().strings().unwrap(), ["b", "c", "a", "c"]);
        let values = Tensor::from_vec(&[2, 2], vec![0.7_f32, 0.2, 0.4, 0.4]).unwrap();
        assert_eq!(outputs.get("p").unwrap(), &values);
        assert_eq!(
            run(TopK::new("p", 2, "best"), &[0, 3], &[]).unwrap().get("best").unwrap().shape(),
            [0, 2]
        );
    }

    #[test]
    fn the_signature_says_what_comes() {
        let step =
            TopK::new("p", 2, "best").with_labels(["a", "b", "c"]).after(&spec(&[Batch, Fixed(3)])).unwrap();
        let outputs: Vec<String> = step.signature().outputs().iter().map(ToString::to_string).collect();
        assert_eq!(outputs, ["FP32 [batch, 2]", "BYTES [batch, 2]"]);
    }

    #[test]
    fn what_has_no_best_is_refused() {
        let error = |step: TopK, shape: &[Dimension]| step.after(&spec(shape)).unwrap_err().to_string();
        assert!(error(TopK::new("p", 1, "c"), &[Batch]).contains("`p` (FP32 [batch]) has no columns"));
        assert!(error(TopK::new("p", 4, "c"), &[Batch, Fixed(3)]).contains("has fewer than 4 classes"));
        assert!(error(TopK::new("p", 0, "c"), &[Batch, Fixed(3)]).contains("cannot give the best 0 classes"));
        let labelled = TopK::new("p", 1, "c").with_labels(["a"]);
        assert!(error(labelled, &[Batch, Fixed(3)]).contains("has 3 classes, but there are 1 labels"));

        for (outcome, expected) in [
            (run(Argmax::new("p", "c"), &[1, 2], &[0.1, f32::NAN]), "score 1 is NaN"),
            (run(Argmax::new("p", "c"), &[3, 0], &[]), "there are 0 classes, and the best 1 are wanted"),
            (
                run(Argmax::new("p", "c").with_labels(["a"]), &[1, 2], &[0.1, 0.2]),
                "class 1 has no label; there are 1",
            ),
        ] {
            let error = outcome.unwrap_err();
            assert!(matches!(error, Error::Engine { .. }) && error.to_string().contains(expected), "{error}");
        }
    }

    proptest! {
        #[test]
        fn the_best_are_those_of_a_stable_sort(
            scores in prop::collection::vec((-3_i8..3).prop_map(f32::from), 1..12), k in 1_usize..12,
        ) {
            let k = k.min(scores.len());
            let outputs = run(TopK::new("p", k, "best"), &[1, scores.len()], &scores).unwrap();
            let mut order: Vec<i64> = (0..scores.len() as i64).collect();
            order.sort_by(|a, b| scores[*b as usize].total_cmp(&scores[*a as usize]));
            prop_assert_eq!(outputs.get("best").unwrap().as_slice::<i64>().unwrap(), &order[..k]);
        }
    }
}
