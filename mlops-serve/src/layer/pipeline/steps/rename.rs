//! Other names.

use std::sync::Arc;

use mlops_core::{Result, Signature, TensorSpec, Tensors};

use crate::layer::pipeline::{Postprocess, Preprocess, Step, fit};

/// Tensors get other names. The others keep theirs.
///
/// ```
/// use mlops_serve::layer::pipeline::steps::Rename;
///
/// let before = Rename::new([("price", "input_0"), ("area", "input_1")]); // callers send `price` and `area`
/// let after = Rename::new([("output_0", "estimate")]); // callers get `estimate`
/// # let _ = (before, after);
/// ```
#[derive(Debug, Clone)]
pub struct Rename {
    names: Vec<(String, String)>,
}

impl Rename {
    /// From what to what, in the direction of the data.
    #[must_use]
    pub fn new(names: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>) -> Self {
        Self { names: names.into_iter().map(|(from, to)| (from.into(), to.into())).collect() }
    }

    fn step(&self, known: impl Fn(&str, &str) -> Result<TensorSpec>) -> Result<Step> {
        let specs = self.names.iter().map(|(from, to)| known(from, to)).collect::<Result<Vec<_>>>()?;
        let named = |name: fn(&(String, String)) -> &String| {
            self.names.iter().zip(&specs).map(move |(names, spec)| fit::renamed(spec, name(names)))
        };
        let signature = Signature::new(named(|(from, _)| from), named(|(_, to)| to))?;
        let names: Vec<(Arc<str>, Arc<str>)> =
            self.names.iter().map(|(from, to)| (from.as_str().into(), to.as_str().into())).collect();
        Ok(Step::new("rename", signature, move |mut tensors| {
            let renamed = |(from, to): &(Arc<str>, Arc<str>)| Some((Arc::clone(to), tensors.remove(from)?));
            Ok(names.iter().filter_map(renamed).collect::<Tensors>())
        }))
    }
}

impl Preprocess for Rename {
    fn before(self, needed: &[TensorSpec]) -> Result<Step> {
        self.step(|_, to| fit::require(needed, to).cloned())
    }
}

impl Postprocess for Rename {
    fn after(self, given: &[TensorSpec]) -> Result<Step> {
        self.step(|from, _| fit::require(given, from).cloned())
    }
}

#[cfg(test)]
mod tests {
    use mlops_core::{DType, Engine};

    use super::*;

    #[test]
    fn names_can_change_places() {
        let specs = ["a", "b", "c"].map(|name| TensorSpec::new(name, DType::Uint8, [1]));
        let step = Rename::new([("a", "b"), ("b", "a")]).after(&specs).unwrap();
        assert_eq!(step.signature().outputs(), [specs[1].clone(), specs[0].clone()]);
        let tensors = Tensors::new().with("a", vec![1_u8]).with("b", vec![2_u8]).with("c", vec![3_u8]);
        let renamed = step.apply(tensors).unwrap();
        assert_eq!(renamed, Tensors::new().with("c", vec![3_u8]).with("b", vec![1_u8]).with("a", vec![2_u8]));
    }

    #[test]
    fn an_optional_tensor_stays_optional() {
        let spec = |name| TensorSpec::new(name, DType::Uint8, [1]).optional();
        let step = Rename::new([("mask", "m")]).before(&[spec("m")]).unwrap();
        assert_eq!(step.signature().inputs(), [spec("mask")]);
        assert!(step.apply(Tensors::new()).unwrap().is_empty());
    }

    #[test]
    fn a_name_that_is_not_there_is_refused() {
        let error = Rename::new([("x", "y")]).after(&[]).unwrap_err().to_string();
        assert_eq!(error, "invalid input: there is no tensor `x` to work on (there is none)");
    }
}
