//! What an error of the object store means to the caller of a registry.

use std::error::Error as StdError;
use std::io;

use mlops_core::Error;

/// `what` says what was tried, and on which object.
pub(crate) fn store_error(what: impl Into<String>, cause: object_store::Error) -> Error {
    use object_store::Error as Cause;
    let what = what.into();
    let error = match &cause {
        Cause::NotFound { .. } => Error::not_found(what),
        Cause::AlreadyExists { .. } | Cause::Precondition { .. } | Cause::NotModified { .. } => {
            Error::conflict(what)
        }
        Cause::PermissionDenied { .. } | Cause::Unauthenticated { .. } => Error::PermissionDenied { what },
        Cause::NotSupported { .. } | Cause::NotImplemented { .. } => Error::unsupported(what),
        Cause::InvalidPath { .. } | Cause::UnknownConfigurationKey { .. } => Error::invalid_input(what),
        other => match io_kind(other) {
            Some(kind) => io_error_of(kind, what),
            None => Error::unavailable(what),
        },
    };
    error.with_source(cause)
}

/// The same for an error of the file system.
pub(crate) fn io_error(what: impl Into<String>, cause: io::Error) -> Error {
    io_error_of(cause.kind(), what.into()).with_source(cause)
}

fn io_error_of(kind: io::ErrorKind, what: String) -> Error {
    use io::ErrorKind as Kind;
    match kind {
        Kind::PermissionDenied | Kind::ReadOnlyFilesystem => Error::PermissionDenied { what },
        Kind::NotADirectory | Kind::AlreadyExists | Kind::InvalidFilename => Error::invalid_input(what),
        _ => Error::unavailable(what),
    }
}

/// The local store hides the errors of the file system two levels deep.
fn io_kind(error: &(dyn StdError + 'static)) -> Option<io::ErrorKind> {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.into_iter().find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_a_hidden_file_system_error_counts() {
        let hidden = |kind: io::ErrorKind| object_store::Error::Generic {
            store: "test",
            source: Box::new(io::Error::from(kind)),
        };
        let label = |kind| store_error("reading x", hidden(kind)).label();
        assert_eq!(label(io::ErrorKind::PermissionDenied), "permission_denied");
        assert_eq!(label(io::ErrorKind::ReadOnlyFilesystem), "permission_denied");
        assert_eq!(label(io::ErrorKind::StorageFull), "unavailable");
        let other = object_store::Error::Generic { store: "test", source: "the wire is cut".into() };
        let error = store_error("reading x", other);
        assert!(error.is_retryable() && error.source().is_some(), "{error}");
    }
}
