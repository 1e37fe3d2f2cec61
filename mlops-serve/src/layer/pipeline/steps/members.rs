//! The outputs of the members of an ensemble.

use mlops_core::{Error, Result, Tensor, TensorSpec, Tensors};

use crate::layer::pipeline::fit;

/// The output of that name of every member, called `MEMBER/OUTPUT`.
#[derive(Debug)]
pub(super) struct Members {
    /// The names of the members.
    pub(super) names: Vec<String>,
    /// The output of each.
    pub(super) outputs: Vec<TensorSpec>,
    /// What fits the outputs of all, under the output's own name.
    pub(super) common: TensorSpec,
}

impl Members {
    /// Finds them.
    pub(super) fn of(given: &[TensorSpec], output: &str) -> Result<Self> {
        let member =
            |spec: &TensorSpec| Some(spec.name().strip_suffix(output)?.strip_suffix('/')?.to_owned());
        let (names, outputs): (Vec<String>, Vec<TensorSpec>) =
            given.iter().filter_map(|spec| Some((member(spec)?, spec.clone()))).unzip();
        let Some((first, others)) = outputs.split_first() else {
            let known = fit::names(given);
            return Err(Error::invalid_input(format!(
                "no member of an ensemble gives `MEMBER/{output}` ({known})"
            )));
        };
        let mut common = first.clone();
        for other in others {
            common = fit::both(&common, other).filter(|_| fit::same_rows(first, other)).ok_or_else(|| {
                let (one, two) = (first.name(), other.name());
                Error::invalid_input(format!("`{one}` ({first}) and `{two}` ({other}) cannot become one"))
            })?;
        }
        let common = TensorSpec::new(output, common.dtype(), common.shape().iter().copied());
        Ok(Self { names, outputs, common })
    }

    /// The tensors of those members that have answered, each with its place among all.
    pub(super) fn answers<'a>(&self, tensors: &'a Tensors) -> Result<Vec<(usize, &'a Tensor)>> {
        let answer = |(index, spec): (usize, &TensorSpec)| Some((index, tensors.get(spec.name())?));
        let answers: Vec<(usize, &Tensor)> = self.outputs.iter().enumerate().filter_map(answer).collect();
        let Some((_, first)) = answers.first() else {
            return Err(Error::unavailable("no member of the ensemble has answered"));
        };
        if let Some((index, other)) = answers.iter().find(|(_, answer)| answer.shape() != first.shape()) {
            let (member, shape, expected) = (&self.names[*index], other.shape(), first.shape());
            return Err(Error::engine(format!(
                "member `{member}` gave shape {shape:?}, the first {expected:?}"
            )));
        }
        Ok(answers)
    }
}
