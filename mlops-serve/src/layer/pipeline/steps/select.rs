//! Outputs that callers need not see.

use mlops_core::{Error, Result, Signature, TensorSpec, Tensors};

use crate::layer::pipeline::{Postprocess, Step, fit};

/// Leaves outputs of a model out.
///
/// ```
/// use mlops_serve::layer::pipeline::steps::Select;
///
/// let (one, other) = (Select::only(["label", "probability"]), Select::all_but(["hidden_state"]));
/// # let _ = (one, other);
/// ```
#[derive(Debug, Clone)]
pub struct Select {
    names: Vec<String>,
    keeps: bool,
}

impl Select {
    /// Only these outputs stay.
    #[must_use]
    pub fn only(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { names: names.into_iter().map(Into::into).collect(), keeps: true }
    }

    /// All outputs but these stay.
    #[must_use]
    pub fn all_but(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { names: names.into_iter().map(Into::into).collect(), keeps: false }
    }
}

impl Postprocess for Select {
    fn after(self, given: &[TensorSpec]) -> Result<Step> {
        for name in &self.names {
            fit::require(given, name)?;
        }
        let goes = |spec: &&TensorSpec| self.keeps != self.names.iter().any(|name| name == spec.name());
        let gone: Vec<TensorSpec> = given.iter().filter(goes).cloned().collect();
        if gone.len() == given.len() {
            return Err(Error::invalid_input("no output would stay"));
        }
        // What a step takes and does not give is gone.
        Ok(Step::new("select", Signature::new(gone, [])?, |_| Ok(Tensors::new())))
    }
}

#[cfg(test)]
mod tests {
    use mlops_core::DType;

    use super::*;

    #[test]
    fn what_is_not_selected_is_gone() {
        let specs = ["a", "b", "c"].map(|name| TensorSpec::new(name, DType::Uint8, [1]));
        let tensors = ["a", "b", "c"].map(|name| (name, vec![0_u8]));
        for select in [Select::only(["a", "c"]), Select::all_but(["b"])] {
            let left = select.after(&specs).unwrap().apply(Tensors::from(tensors.clone())).unwrap();
            assert_eq!(left.names().collect::<Vec<_>>(), ["a", "c"]);
        }
        assert!(Select::only(["z"]).after(&specs).is_err(), "a name that is not there");
        assert!(Select::only([""; 0]).after(&specs).is_err(), "nothing left");
    }
}
