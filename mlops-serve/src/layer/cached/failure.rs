//! One error for all who waited for the same answer.

use std::sync::Arc;

use mlops_core::Error;

/// What one of several callers is told: the same variant in the same words, with the same cause.
pub(super) fn of_one(shared: Arc<Error>) -> Error {
    Arc::try_unwrap(shared).unwrap_or_else(|shared| copy(&shared))
}

fn copy(shared: &Arc<Error>) -> Error {
    let what = |what: &String| what.clone();
    let copy = match &**shared {
        Error::InvalidInput(fault) => return fault.clone().into(),
        Error::NotFound { what: text } => Error::not_found(what(text)),
        Error::Conflict { what: text } => Error::conflict(what(text)),
        Error::Overloaded { what: text } => Error::overloaded(what(text)),
        Error::DeadlineExceeded { what: text } => Error::deadline_exceeded(what(text)),
        Error::Unsupported { what: text } => Error::unsupported(what(text)),
        Error::Unauthenticated { what: text } => Error::unauthenticated(what(text)),
        Error::PermissionDenied { what: text } => Error::permission_denied(what(text)),
        Error::Unavailable { what: text, .. } => Error::unavailable(what(text)),
        Error::Integrity { what: text, .. } => Error::integrity(what(text)),
        Error::Engine { what: text, .. } => Error::engine(what(text)),
        Error::Internal { what: text, .. } => Error::internal(what(text)),
        other => Error::internal(other.to_string()),
    };
    match std::error::Error::source(&**shared) {
        Some(_) => copy.with_source(Cause(Arc::clone(shared))),
        None => copy,
    }
}

/// The cause of an error that several callers share.
#[derive(Debug)]
struct Cause(Arc<Error>);

impl Cause {
    fn shared(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&*self.0)
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.shared().map_or(Ok(()), |cause| std::fmt::Display::fmt(cause, f))
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.shared()?.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_who_waited_are_told_the_same() {
        let cause = || Error::unavailable("the disk").with_source("no such file");
        for error in [
            Error::invalid_input("a"),
            Error::not_found("a"),
            Error::conflict("a"),
            Error::overloaded("a"),
            Error::deadline_exceeded("a"),
            Error::unsupported("a"),
            Error::unauthenticated("a"),
            Error::permission_denied("a"),
            Error::unavailable("a").with_source(cause()),
            Error::integrity("a").with_source(cause()),
            Error::engine("a").with_source(cause()),
            Error::internal("a"),
        ] {
            let causes = |error: &Error| {
                let first = std::error::Error::source(error);
                std::iter::successors(first, |cause| cause.source())
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
            };
            let shared = Arc::new(error);
            let copy = of_one(Arc::clone(&shared));
            assert_eq!((copy.label(), copy.to_string()), (shared.label(), shared.to_string()));
            assert_eq!(causes(&copy), causes(&shared));
        }
    }

    #[test]
    fn the_only_one_who_waited_is_told_the_error_itself() {
        let error = of_one(Arc::new(Error::engine("a").with_source("b")));
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "b");
    }
}
