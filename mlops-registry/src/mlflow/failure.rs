//! What a refusal of the server means to the caller of a registry.

use std::error::Error as StdError;

use hyper::StatusCode;
use mlops_core::Error;
use serde::Deserialize;

/// How much of what a server says is shown.
const SHOWN: usize = 300;

/// MLflow's own words for a refusal.
#[derive(Deserialize)]
struct Refusal {
    error_code: String,
    #[serde(default)]
    message: String,
}

/// The error behind an answer that is none; `call` says what was asked, and of whom.
pub(crate) fn refused(call: &str, status: StatusCode, body: &[u8]) -> Error {
    let refusal = serde_json::from_slice::<Refusal>(body).ok();
    let said = match &refusal {
        Some(refusal) => shown(&refusal.message),
        None => format!("status {}", status.as_u16()),
    };
    let what = format!("{call} is refused: {said}");
    match status.as_u16() {
        401 => {
            return Error::unauthenticated(format!(
                "{what}; give credentials by `with_token` or `with_basic_auth`"
            ));
        }
        403 => return Error::permission_denied(what),
        429 | 500.. => return Error::unavailable(what),
        _ => {}
    }
    match refusal.as_ref().map(|refusal| refusal.error_code.as_str()) {
        Some("RESOURCE_DOES_NOT_EXIST" | "NOT_FOUND") => Error::not_found(what),
        Some("RESOURCE_ALREADY_EXISTS" | "RESOURCE_CONFLICT" | "ABORTED") => Error::conflict(what),
        Some("UNAUTHENTICATED" | "CUSTOMER_UNAUTHORIZED") => Error::unauthenticated(what),
        Some("PERMISSION_DENIED") => Error::permission_denied(what),
        Some("TEMPORARILY_UNAVAILABLE" | "REQUEST_LIMIT_EXCEEDED" | "INTERNAL_ERROR") => {
            Error::unavailable(what)
        }
        Some("FEATURE_DISABLED" | "NOT_IMPLEMENTED" | "ENDPOINT_NOT_FOUND") => Error::unsupported(what),
        Some(_) => Error::invalid_input(what),
        None if status.is_redirection() => {
            Error::invalid_input(format!("{call} is answered with a redirect; give the address it leads to"))
        }
        None => not_mlflow(call),
    }
}

/// An answer that MLflow does not give.
pub(crate) fn not_mlflow(call: &str) -> Error {
    Error::invalid_input(format!(
        "{call} is answered with something else than the JSON of MLflow's API; is this an MLflow server, and the whole \
         of its address?"
    ))
}

/// No answer at all: the server is away, or the way to it.
pub(crate) fn away(call: &str, cause: impl StdError + Send + Sync + 'static) -> Error {
    // The innermost cause is the one that says something.
    let innermost = std::iter::successors(Some(&cause as &dyn StdError), |&error| error.source()).last();
    let why = innermost.map(ToString::to_string).unwrap_or_default();
    Error::unavailable(format!("{call} has no answer: {}", shown(&why))).with_source(cause)
}

/// No answer in time.
pub(crate) fn late(call: &str) -> Error {
    Error::unavailable(format!("{call} has no answer in time"))
}

/// The first line of what a server says, if it is not too long.
fn shown(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(SHOWN).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_variant() {
        let json = |code: &str| format!(r#"{{"error_code":"{code}","message":"no\n[SQL: SELECT]"}}"#);
        for (status, body, label) in [
            (404, json("RESOURCE_DOES_NOT_EXIST"), "not_found"),
            (400, json("RESOURCE_ALREADY_EXISTS"), "conflict"),
            (400, json("INVALID_PARAMETER_VALUE"), "invalid_input"),
            (500, json("INTERNAL_ERROR"), "unavailable"),
            (503, String::new(), "unavailable"),
            (429, String::new(), "unavailable"),
            (401, "You are not authenticated.".to_owned(), "unauthenticated"),
            (403, json("PERMISSION_DENIED"), "permission_denied"),
            (404, "<!doctype html>".to_owned(), "invalid_input"),
            (302, String::new(), "invalid_input"),
        ] {
            let error = refused("x", StatusCode::from_u16(status).unwrap(), body.as_bytes());
            assert_eq!(error.label(), label, "{status} {body}: {error}");
            assert!(!error.to_string().contains("SQL"), "{error}");
        }
    }
}
