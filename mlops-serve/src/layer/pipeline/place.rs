//! Errors that say which part of a pipeline they come from.

use std::panic::{AssertUnwindSafe, catch_unwind};

use mlops_core::{Error, InvalidInput, Result};

/// The same error, with `place` before its text. Faults in terms of a signature become text: the tensors they name
/// are those of the part, not those of the caller.
pub(super) fn within(mut error: Error, place: impl std::fmt::Display) -> Error {
    match &mut error {
        Error::InvalidInput(InvalidInput::Other(what))
        | Error::NotFound { what }
        | Error::Conflict { what }
        | Error::Overloaded { what }
        | Error::DeadlineExceeded { what }
        | Error::Unavailable { what, .. }
        | Error::Integrity { what, .. }
        | Error::Engine { what, .. }
        | Error::Unsupported { what }
        | Error::Unauthenticated { what }
        | Error::PermissionDenied { what }
        | Error::Internal { what, .. } => *what = format!("{place}: {what}"),
        Error::InvalidInput(fault) => return Error::invalid_input(format!("{place}: {fault}")),
        _ => {}
    }
    error
}

/// What the function gives; a panic is an error.
pub(super) fn caught<T>(function: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(function)).unwrap_or_else(|payload| Err(Error::panicked(&*payload)))
}

#[cfg(test)]
mod tests {
    use mlops_core::TensorError;

    use super::*;

    #[test]
    fn every_variant_is_kept_and_says_where() {
        let tensor = Error::from(TensorError::NotUtf8 { index: 3 });
        for error in [
            Error::invalid_input("why"),
            Error::not_found("why"),
            Error::conflict("why"),
            Error::overloaded("why"),
            Error::deadline_exceeded("why"),
            Error::unavailable("why"),
            Error::integrity("why"),
            Error::engine("why"),
            Error::unsupported("why"),
            Error::unauthenticated("why"),
            Error::permission_denied("why"),
            Error::internal("why"),
            tensor,
        ] {
            let (label, text) = (error.label(), error.to_string());
            let (kind, why) = text.split_once(": ").unwrap();
            let within = within(error, "node `a`");
            assert_eq!((within.label(), within.to_string()), (label, format!("{kind}: node `a`: {why}")));
        }
    }

    #[test]
    fn the_source_is_kept() {
        let error = within(Error::engine("why").with_source("the cause"), "node `a`");
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "the cause");
    }
}
