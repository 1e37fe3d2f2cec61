//! What is said in the same words by every protocol.

use mlops_core::{Dimension, Error, Result, Signature, TensorSpec};

use super::ModelState;

/// How this server is called, among servers and among the platforms of models.
pub(crate) const NAME: &str = "mlops";

/// The lengths of the dimensions; -1 stands for any length.
pub(crate) fn shape(spec: &TensorSpec) -> Vec<i64> {
    let length = |dimension: &Dimension| match dimension {
        Dimension::Fixed(length) => i64::try_from(*length).unwrap_or(i64::MAX),
        Dimension::Batch | Dimension::Free => -1,
    };
    spec.shape().iter().map(length).collect()
}

/// The name of a state, and the reason for it.
pub(crate) fn state(state: ModelState) -> (&'static str, String) {
    match state {
        ModelState::Ready => ("READY", String::new()),
        ModelState::Loading => ("LOADING", String::new()),
        ModelState::Unavailable(reason) => ("UNAVAILABLE", reason),
    }
}

/// What a caller is told of an error. Of what failed inside it is only the kind; the rest goes to the log.
pub(crate) fn told(error: &Error) -> String {
    let says_enough =
        error.is_caller_fault() || error.is_retryable() || matches!(error, Error::DeadlineExceeded { .. });
    if says_enough {
        return error.to_string();
    }
    tracing::error!(error = error as &dyn std::error::Error, "prediction failed");
    format!("the model failed ({}); the server's log has the details", error.label())
}

/// Refuses names of outputs that the model has not, and names that come twice.
pub(crate) fn check_wanted<'a>(
    wanted: impl Iterator<Item = &'a str> + Clone,
    signature: &Signature,
) -> Result<()> {
    let known = || signature.outputs().iter().map(TensorSpec::name);
    for (index, name) in wanted.clone().enumerate() {
        if !known().any(|known| known == name) {
            let known = known().collect::<Vec<_>>().join("`, `");
            let name = name.escape_debug();
            return Err(Error::invalid_input(format!("there is no output `{name}`; there are `{known}`")));
        }
        if wanted.clone().take(index).any(|other| other == name) {
            return Err(Error::invalid_input(format!("output `{name}` is asked for twice")));
        }
    }
    Ok(())
}
