//! What a caller is told when something went wrong.

use mlops_core::Error;
use tonic::{Code, Status};

use crate::server::wire;

/// Longer messages are cut: a status travels in headers, and clients take few kilobytes of them.
const MAX_MESSAGE: usize = 2048;

/// The status that says who must do something about an error.
pub(super) fn status(error: &Error) -> Status {
    let code = match error {
        Error::InvalidInput(_) => Code::InvalidArgument,
        Error::NotFound { .. } => Code::NotFound,
        // In the words of gRPC: the caller should try again at a higher level, reading before it changes.
        Error::Conflict { .. } => Code::Aborted,
        Error::Unauthenticated { .. } => Code::Unauthenticated,
        Error::PermissionDenied { .. } => Code::PermissionDenied,
        Error::Overloaded { .. } => Code::ResourceExhausted,
        Error::Unavailable { .. } => Code::Unavailable,
        Error::DeadlineExceeded { .. } => Code::DeadlineExceeded,
        Error::Unsupported { .. } => Code::Unimplemented,
        _ => Code::Internal,
    };
    Status::new(code, message(error))
}

/// The message alone, where there is no place for a code.
pub(super) fn message(error: &Error) -> String {
    let mut message = wire::told(error);
    if message.len() > MAX_MESSAGE {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE));
        message.push_str(" ...");
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_error_has_its_code() {
        for (error, code) in [
            (Error::invalid_input("x"), Code::InvalidArgument),
            (Error::not_found("x"), Code::NotFound),
            (Error::conflict("x"), Code::Aborted),
            (Error::unauthenticated("x"), Code::Unauthenticated),
            (Error::permission_denied("x"), Code::PermissionDenied),
            (Error::overloaded("x"), Code::ResourceExhausted),
            (Error::unavailable("x"), Code::Unavailable),
            (Error::deadline_exceeded("x"), Code::DeadlineExceeded),
            (Error::unsupported("x"), Code::Unimplemented),
        ] {
            let status = status(&error);
            assert_eq!((status.code(), status.message()), (code, error.to_string().as_str()));
        }
        for error in [Error::engine("secret"), Error::integrity("secret"), Error::internal("secret")] {
            let status = status(&error);
            assert_eq!(status.code(), Code::Internal);
            assert!(!status.message().contains("secret"), "{status}");
        }
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let message = message(&Error::invalid_input("ä".repeat(5000)));
        assert!(message.len() < MAX_MESSAGE + 8 && message.ends_with("ä ..."), "{}", message.len());
    }
}
