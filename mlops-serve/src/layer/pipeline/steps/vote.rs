//! The vote of the members of an ensemble.

use mlops_core::{DType, Result, Signature, Tensor, TensorSpec, Tensors};

use super::members::Members;
use crate::layer::pipeline::{Postprocess, Step};

/// What most members of a [`Graph::ensemble`](crate::layer::pipeline::Graph::ensemble) say, for each element. Of values
/// that have as many votes, that of the member that comes first.
///
/// Members that have not answered do not vote; where none has, the call is
/// [`Error::Unavailable`](mlops_core::Error::Unavailable). Any data type: classes are INT64 or BYTES.
///
/// ```
/// use mlops_serve::layer::pipeline::steps::Vote;
///
/// let vote = Vote::new("class"); // of `forest/class`, `network/class`, ...
/// # let _ = vote;
/// ```
#[derive(Debug, Clone)]
pub struct Vote {
    output: String,
}

impl Vote {
    /// On the output of that name, which every member gives.
    #[must_use]
    pub fn new(output: impl Into<String>) -> Self {
        Self { output: output.into() }
    }
}

impl Postprocess for Vote {
    fn after(self, given: &[TensorSpec]) -> Result<Step> {
        let members = Members::of(given, &self.output)?;
        let signature = Signature::new(members.outputs.clone(), [members.common.clone()])?;
        Ok(Step::new(format!("vote({})", self.output), signature, move |tensors| {
            let ballots: Vec<&Tensor> =
                members.answers(&tensors)?.into_iter().map(|(_, answer)| answer).collect();
            Ok(Tensors::new().with(self.output.as_str(), count(&ballots)?))
        }))
    }
}

/// The winners among tensors of the same type and shape, of which there is one at least.
fn count(ballots: &[&Tensor]) -> Result<Tensor> {
    let elements: Vec<Vec<&[u8]>> = ballots.iter().map(|ballot| elements(ballot)).collect::<Result<_>>()?;
    let winners = (0..ballots[0].len()).map(|index| plurality(elements.iter().map(|ballot| ballot[index])));
    let (dtype, shape) = (ballots[0].dtype(), ballots[0].shape());
    Ok(match dtype {
        DType::Bytes => Tensor::from_byte_strings(shape, winners)?,
        _ => Tensor::from_bytes(dtype, shape, winners.collect::<Vec<_>>().concat())?,
    })
}

/// The bytes of each element.
fn elements(tensor: &Tensor) -> Result<Vec<&[u8]>> {
    match tensor.dtype().size() {
        Some(size) => Ok(tensor.as_bytes().chunks_exact(size).collect()),
        None => Ok(tensor.byte_strings()?.collect()),
    }
}

/// The most frequent of the votes, and of several the one that came first.
fn plurality<'a>(votes: impl Iterator<Item = &'a [u8]>) -> &'a [u8] {
    let mut counts: Vec<(&[u8], usize)> = Vec::new();
    for vote in votes {
        match counts.iter_mut().find(|(value, _)| *value == vote) {
            Some((_, count)) => *count += 1,
            None => counts.push((vote, 1)),
        }
    }
    let most = counts.iter().map(|(_, count)| *count).max();
    counts.iter().find(|(_, count)| Some(*count) == most).map_or(&[], |(value, _)| value)
}

#[cfg(test)]
mod tests {
    use mlops_core::{Dimension, Engine, Error};

    use super::*;

    fn step(dtype: DType) -> Step {
        let spec = |name| TensorSpec::new(name, dtype, [Dimension::Batch]).optional();
        Vote::new("class").after(&[spec("a/class"), spec("b/class"), spec("c/class")]).unwrap()
    }

    #[test]
    fn the_most_votes_win_and_a_tie_goes_to_the_first_member() {
        let votes = Tensors::new()
            .with("a/class", vec![1_i64, 1, 7, 4])
            .with("b/class", vec![2_i64, 2, 7, 4])
            .with("c/class", vec![2_i64, 3, 8, 4]);
        let winners = step(DType::Int64).run(&votes).unwrap();
        assert_eq!(winners, Tensors::new().with("class", vec![2_i64, 1, 7, 4]));
    }

    #[test]
    fn names_are_voted_on_too_and_who_is_away_has_no_vote() {
        let ballot = |names: [&str; 2]| Tensor::from_byte_strings(&[2], names).unwrap();
        let votes =
            Tensors::new().with("b/class", ballot(["cat", "dog"])).with("c/class", ballot(["cat", "ant"]));
        let winners = step(DType::Bytes).run(&votes).unwrap();
        assert_eq!(winners.get("class").unwrap().strings().unwrap(), ["cat", "dog"]);
        assert!(matches!(step(DType::Bytes).run(&Tensors::new()), Err(Error::Unavailable { .. })));
    }
}
