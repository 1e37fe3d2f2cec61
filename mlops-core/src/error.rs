//! One error type for the whole house, with variants a caller can act on.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;

use crate::{TensorError, Violations};

/// A `Result` whose error is [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The boxed cause behind an [`enum@Error`].
pub type Source = Box<dyn StdError + Send + Sync + 'static>;

/// What went wrong, in terms a caller can act on.
///
/// A variant says *who must do something*: the caller ([`InvalidInput`](Error::InvalidInput),
/// [`NotFound`](Error::NotFound), [`Conflict`](Error::Conflict), [`Unsupported`](Error::Unsupported),
/// [`Unauthenticated`](Error::Unauthenticated), [`PermissionDenied`](Error::PermissionDenied)), time
/// ([`Overloaded`](Error::Overloaded), [`Unavailable`](Error::Unavailable),
/// [`DeadlineExceeded`](Error::DeadlineExceeded)), or the operator ([`Integrity`](Error::Integrity),
/// [`Engine`](Error::Engine), [`Internal`](Error::Internal)).
///
/// ```
/// use mlops_core::Error;
///
/// let error = Error::overloaded("the queue of `digits` holds 64 requests");
/// assert!(error.is_retryable());
/// assert_eq!(error.to_string(), "overloaded: the queue of `digits` holds 64 requests");
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The caller's data is wrong; the same call will fail again.
    #[error("invalid input: {0}")]
    InvalidInput(#[from] InvalidInput),
    /// What was asked for does not exist.
    #[error("not found: {what}")]
    NotFound {
        /// What was looked for, and where.
        what: String,
    },
    /// The state of the world contradicts the intent: something exists already, or was changed by
    /// somebody else. Read again and decide anew.
    #[error("conflict: {what}")]
    Conflict {
        /// What contradicts what.
        what: String,
    },
    /// The callee refuses work it has no room for. Retry later, with back-off.
    #[error("overloaded: {what}")]
    Overloaded {
        /// Which limit was reached.
        what: String,
    },
    /// The deadline of the request passed before the answer was there.
    #[error("deadline exceeded: {what}")]
    DeadlineExceeded {
        /// What was still to be done.
        what: String,
    },
    /// Something that is needed is away for now: a device, a store, a server.
    #[error("unavailable: {what}")]
    Unavailable {
        /// What is away.
        what: String,
        /// Why, when known.
        #[source]
        source: Option<Source>,
    },
    /// Stored data is not what was stored: a digest differs, a document does not parse.
    #[error("integrity violated: {what}")]
    Integrity {
        /// What differs from what.
        what: String,
        /// Why, when known.
        #[source]
        source: Option<Source>,
    },
    /// The computation itself failed or panicked. Other calls are not affected.
    #[error("engine failed: {what}")]
    Engine {
        /// What failed.
        what: String,
        /// Why, when known.
        #[source]
        source: Option<Source>,
    },
    /// The callee cannot do this at all.
    #[error("unsupported: {what}")]
    Unsupported {
        /// What cannot be done.
        what: String,
    },
    /// Who the caller is, is not known: no credentials came, or wrong or expired ones.
    #[error("unauthenticated: {what}")]
    Unauthenticated {
        /// What is missing or wrong.
        what: String,
    },
    /// The caller may not do this.
    #[error("permission denied: {what}")]
    PermissionDenied {
        /// What was refused.
        what: String,
    },
    /// A promise of this library, or of code plugged into it, was broken.
    #[error("internal error: {what}")]
    Internal {
        /// Which promise.
        what: String,
        /// Why, when known.
        #[source]
        source: Option<Source>,
    },
}

/// Why an input was refused. Every case names the tensor, what was expected and what came.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidInput {
    /// The tensors do not fit the model's [`Signature`](crate::Signature): all faults at once.
    #[error(transparent)]
    Signature(#[from] Violations),
    /// A tensor is malformed by itself.
    #[error("{}{source}", TensorPrefix(.tensor.as_deref()))]
    Tensor {
        /// The name of the tensor, where it has one.
        tensor: Option<String>,
        /// What is wrong with it.
        source: TensorError,
    },
    /// Anything else: an unknown name, a malformed document, an impossible option.
    #[error("{0}")]
    Other(String),
}

struct TensorPrefix<'a>(Option<&'a str>);

impl fmt::Display for TensorPrefix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |name| write!(f, "tensor `{name}`: "))
    }
}

impl Error {
    /// The caller's data is wrong in a way that `what` explains.
    pub fn invalid_input(what: impl Into<String>) -> Self {
        InvalidInput::Other(what.into()).into()
    }

    /// Nothing of the name exists.
    pub fn not_found(what: impl Into<String>) -> Self {
        Self::NotFound { what: what.into() }
    }

    /// The intent contradicts the present state.
    pub fn conflict(what: impl Into<String>) -> Self {
        Self::Conflict { what: what.into() }
    }

    /// There is no room for this work now.
    pub fn overloaded(what: impl Into<String>) -> Self {
        Self::Overloaded { what: what.into() }
    }

    /// Time ran out.
    pub fn deadline_exceeded(what: impl Into<String>) -> Self {
        Self::DeadlineExceeded { what: what.into() }
    }

    /// A needed part is away for now.
    pub fn unavailable(what: impl Into<String>) -> Self {
        Self::Unavailable { what: what.into(), source: None }
    }

    /// Stored data is not what was stored.
    pub fn integrity(what: impl Into<String>) -> Self {
        Self::Integrity { what: what.into(), source: None }
    }

    /// The computation failed.
    pub fn engine(what: impl Into<String>) -> Self {
        Self::Engine { what: what.into(), source: None }
    }

    /// The computation panicked; `payload` is what [`catch_unwind`](std::panic::catch_unwind) caught.
    pub fn panicked(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Self::engine(format!("the model panicked: {}", text.unwrap_or("without a message")))
    }

    /// The callee cannot do this at all.
    pub fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into() }
    }

    /// Who the caller is, is not known.
    pub fn unauthenticated(what: impl Into<String>) -> Self {
        Self::Unauthenticated { what: what.into() }
    }

    /// The caller may not do this.
    pub fn permission_denied(what: impl Into<String>) -> Self {
        Self::PermissionDenied { what: what.into() }
    }

    /// A promise was broken.
    pub fn internal(what: impl Into<String>) -> Self {
        Self::Internal { what: what.into(), source: None }
    }

    /// Keeps `cause` as the [source](StdError::source) of the variants that carry one; the others
    /// say it in words.
    #[must_use]
    pub fn with_source(mut self, cause: impl Into<Source>) -> Self {
        let cause = cause.into();
        match &mut self {
            Self::Unavailable { source, .. }
            | Self::Integrity { source, .. }
            | Self::Engine { source, .. }
            | Self::Internal { source, .. } => *source = Some(cause),
            Self::InvalidInput(InvalidInput::Other(what))
            | Self::NotFound { what }
            | Self::Conflict { what }
            | Self::Overloaded { what }
            | Self::DeadlineExceeded { what }
            | Self::Unsupported { what }
            | Self::Unauthenticated { what }
            | Self::PermissionDenied { what } => {
                *what = format!("{what}: {cause}");
            }
            Self::InvalidInput(InvalidInput::Signature(_) | InvalidInput::Tensor { .. }) => {}
        }
        self
    }

    /// Whether the same call may succeed later without any change on the caller's side.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Overloaded { .. } | Self::Unavailable { .. })
    }

    /// Whether the caller, not the callee, is at fault. Such errors say nothing about the health of
    /// a model, so release analysis leaves them out.
    #[must_use]
    pub fn is_caller_fault(&self) -> bool {
        matches!(
            self,
            Self::InvalidInput(_)
                | Self::NotFound { .. }
                | Self::Conflict { .. }
                | Self::Unsupported { .. }
                | Self::Unauthenticated { .. }
                | Self::PermissionDenied { .. }
        )
    }

    /// The variant as a short, stable word for metric labels: `invalid_input`, `overloaded`, ...
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::InvalidInput(_) => "invalid_input",
            Self::NotFound { .. } => "not_found",
            Self::Conflict { .. } => "conflict",
            Self::Overloaded { .. } => "overloaded",
            Self::DeadlineExceeded { .. } => "deadline_exceeded",
            Self::Unavailable { .. } => "unavailable",
            Self::Integrity { .. } => "integrity",
            Self::Engine { .. } => "engine",
            Self::Unsupported { .. } => "unsupported",
            Self::Unauthenticated { .. } => "unauthenticated",
            Self::PermissionDenied { .. } => "permission_denied",
            Self::Internal { .. } => "internal",
        }
    }
}

impl From<Violations> for Error {
    fn from(violations: Violations) -> Self {
        InvalidInput::Signature(violations).into()
    }
}

impl From<TensorError> for Error {
    fn from(source: TensorError) -> Self {
        InvalidInput::Tensor { tensor: None, source }.into()
    }
}

impl TensorError {
    /// The same error, naming the tensor it is about.
    #[must_use]
    pub fn of(self, tensor: impl Into<String>) -> InvalidInput {
        InvalidInput::Tensor { tensor: Some(tensor.into()), source: self }
    }
}
