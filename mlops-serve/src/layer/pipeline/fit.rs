//! Whether what one part gives is what the next part takes.

use mlops_core::{DType, Dimension, Error, Result, Signature, TensorSpec, Tensors};

/// What does not fit, collected so that all of it is said at once.
#[derive(Debug, Default)]
pub(super) struct Mismatches(Vec<String>);

impl Mismatches {
    pub(super) fn push(&mut self, what: String) {
        self.0.push(what);
    }

    /// Nothing, or the error that says it all. `whole` is what is being made.
    pub(super) fn into_result(self, whole: &str) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(Error::invalid_input(format!("{whole} does not fit together: {}", self.0.join("; "))))
    }
}

/// Whether a tensor that fits `given` may fit `needed`. What only a call can tell, a free dimension that meets a fixed
/// one or values that are not finite, is left to the call.
pub(super) fn may_feed(given: &TensorSpec, needed: &TensorSpec) -> bool {
    given.dtype() == needed.dtype()
        && (needed.is_optional() || !given.is_optional())
        && given.shape().len() == needed.shape().len()
        && given.shape().iter().zip(needed.shape()).all(
            |pair| !matches!(pair, (Dimension::Fixed(given), Dimension::Fixed(needed)) if given != needed),
        )
}

/// Whether the rows of one are the rows of the other.
pub(super) fn same_rows(one: &TensorSpec, other: &TensorSpec) -> bool {
    one.batch_axis() == other.batch_axis()
}

/// Whether rows go in and come out: every output that matters has them, or neither side does.
pub(super) fn keeps_rows<'a>(
    inputs: &[TensorSpec],
    outputs: impl IntoIterator<Item = &'a TensorSpec>,
) -> bool {
    let batched = inputs.iter().any(|spec| spec.batch_axis().is_some());
    outputs.into_iter().all(|spec| spec.batch_axis().is_some() == batched)
}

/// Whether `other` can answer in the place of a model with the signature `first`. `who` is what errors call it.
pub(super) fn stands_in(first: &Signature, other: &Signature, who: &str) -> Result<()> {
    let change = first.change_to(other);
    if change.is_breaking() {
        return Err(Error::invalid_input(format!(
            "{who} cannot answer in the place of the first model: {change}"
        )));
    }
    Ok(())
}

/// Of the outputs of a model that stands in for another, those that the other gives.
pub(super) fn only_known(signature: &Signature, outputs: Tensors) -> Tensors {
    if outputs.names().all(|name| find(signature.outputs(), name).is_some()) {
        return outputs;
    }
    outputs.into_iter().filter(|(name, _)| find(signature.outputs(), name).is_some()).collect()
}

/// The signature of a whole, with batch dimensions only where `rows` run through all of it.
pub(super) fn whole(inputs: Vec<TensorSpec>, outputs: Vec<TensorSpec>, rows: bool) -> Result<Signature> {
    let settle = |specs: Vec<TensorSpec>| -> Vec<TensorSpec> {
        if rows { specs } else { specs.iter().map(without_rows).collect() }
    };
    Signature::new(settle(inputs), settle(outputs))
}

/// What fits both, where two parts take the same tensor; nothing where they contradict each other.
pub(super) fn both(one: &TensorSpec, other: &TensorSpec) -> Option<TensorSpec> {
    if one.dtype() != other.dtype() || one.shape().len() != other.shape().len() {
        return None;
    }
    let shape: Option<Vec<Dimension>> = one
        .shape()
        .iter()
        .zip(other.shape())
        .map(|pair| match pair {
            (Dimension::Fixed(one), Dimension::Fixed(other)) => {
                (one == other).then_some(Dimension::Fixed(*one))
            }
            (fixed @ Dimension::Fixed(_), _) | (_, fixed @ Dimension::Fixed(_)) => Some(*fixed),
            (Dimension::Batch, _) | (_, Dimension::Batch) => Some(Dimension::Batch),
            (Dimension::Free, Dimension::Free) => Some(Dimension::Free),
        })
        .collect();
    let spec = TensorSpec::new(one.name(), one.dtype(), shape?);
    Some(flagged(spec, one.is_optional() && other.is_optional(), one.is_finite() || other.is_finite()))
}

/// The tensor of that name.
pub(super) fn find<'a>(specs: &'a [TensorSpec], name: &str) -> Option<&'a TensorSpec> {
    specs.iter().find(|spec| spec.name() == name)
}

/// As [`find`]; the error says which names there are.
pub(super) fn require<'a>(specs: &'a [TensorSpec], name: &str) -> Result<&'a TensorSpec> {
    find(specs, name).ok_or_else(|| {
        let known = names(specs);
        Error::invalid_input(format!("there is no tensor `{name}` to work on ({known})"))
    })
}

/// The names in words: ``there are `a`, `b` ``.
pub(super) fn names(specs: &[TensorSpec]) -> String {
    listed(specs.iter().map(TensorSpec::name))
}

/// Names in words: ``there are `a`, `b` ``.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    if names.is_empty() { "there is none".to_owned() } else { format!("there are `{}`", names.join("`, `")) }
}

/// The same tensor under another name.
pub(super) fn renamed(spec: &TensorSpec, name: &str) -> TensorSpec {
    like(spec, name, spec.dtype(), spec.shape())
}

/// A tensor of another name, type or shape, as optional and, where the type allows it, as finite as `spec`.
pub(super) fn like(spec: &TensorSpec, name: &str, dtype: DType, shape: &[Dimension]) -> TensorSpec {
    let finite = spec.is_finite() && matches!(dtype, DType::Fp16 | DType::Bf16 | DType::Fp32 | DType::Fp64);
    flagged(TensorSpec::new(name, dtype, shape.iter().copied()), spec.is_optional(), finite)
}

/// The same tensor, of which any value may come.
pub(super) fn any_value(spec: &TensorSpec) -> TensorSpec {
    flagged(
        TensorSpec::new(spec.name(), spec.dtype(), spec.shape().iter().copied()),
        spec.is_optional(),
        false,
    )
}

/// The same tensor, which may be left out.
pub(super) fn optional(spec: &TensorSpec) -> TensorSpec {
    spec.clone().optional()
}

fn without_rows(spec: &TensorSpec) -> TensorSpec {
    let free = |dimension: &Dimension| match dimension {
        Dimension::Batch => Dimension::Free,
        other => *other,
    };
    let shape: Vec<Dimension> = spec.shape().iter().map(free).collect();
    like(spec, spec.name(), spec.dtype(), &shape)
}

fn flagged(spec: TensorSpec, optional: bool, finite: bool) -> TensorSpec {
    let spec = if optional { spec.optional() } else { spec };
    if finite { spec.finite() } else { spec }
}

#[cfg(test)]
mod tests {
    use mlops_core::Dimension::{Batch, Fixed, Free};

    use super::*;

    fn spec(shape: &[Dimension]) -> TensorSpec {
        TensorSpec::new("t", DType::Fp32, shape.iter().copied())
    }

    #[test]
    fn only_what_can_never_fit_is_refused() {
        for (given, needed, fits) in [
            (spec(&[Batch, Fixed(2)]), spec(&[Batch, Fixed(2)]), true),
            (spec(&[Batch, Free]), spec(&[Batch, Fixed(2)]), true),
            (spec(&[Free]), spec(&[Batch]), true),
            (spec(&[Batch]), spec(&[Batch]).finite(), true),
            (spec(&[Batch]), spec(&[Batch]).optional(), true),
            (spec(&[Batch]).optional(), spec(&[Batch]), false),
            (spec(&[Batch, Fixed(3)]), spec(&[Batch, Fixed(2)]), false),
            (spec(&[Batch]), spec(&[Batch, Fixed(1)]), false),
            (TensorSpec::new("t", DType::Int64, [Batch]), spec(&[Batch]), false),
        ] {
            assert_eq!(may_feed(&given, &needed), fits, "{given} feeds {needed}");
        }
    }

    #[test]
    fn what_fits_both_is_the_narrower_of_each() {
        let narrow = both(&spec(&[Batch, Free]).optional(), &spec(&[Free, Fixed(3)]).finite()).unwrap();
        assert_eq!(narrow, spec(&[Batch, Fixed(3)]).finite());
        assert_eq!(both(&spec(&[Fixed(2)]), &spec(&[Fixed(3)])), None);
        assert_eq!(both(&spec(&[Fixed(2)]), &TensorSpec::new("t", DType::Int8, [2])), None);
    }

    #[test]
    fn a_part_that_loses_the_rows_does_not_keep_them() {
        let keeps = |inputs: &[TensorSpec], outputs: &[TensorSpec]| keeps_rows(inputs, outputs);
        assert!(keeps(&[spec(&[Batch])], &[spec(&[Batch, Fixed(2)])]));
        assert!(keeps(&[spec(&[Free])], &[spec(&[Free])]));
        assert!(!keeps(&[spec(&[Batch])], &[spec(&[Fixed(1)])]), "a mean over the rows");
        assert!(!keeps(&[spec(&[Free])], &[spec(&[Batch])]), "a text cut into pieces");
    }
}
