//! How a request is known in logs, and by labels that come later.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use uuid::{NoContext, Timestamp, Uuid};

/// The header by which callers name a request, and are told its name.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A longer one is no id but a mistake, or an attack on logs.
const MAX_LENGTH: usize = 128;

/// As its caller says, or else a fresh UUID.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) Arc<str>);

impl RequestId {
    pub(crate) fn fresh() -> Self {
        let mut text = Uuid::encode_buffer();
        // Ids of one millisecond are in no order: a counter that orders them would be behind a lock that all requests take.
        let id = Uuid::new_v7(Timestamp::now(NoContext));
        let text: &str = id.hyphenated().encode_lower(&mut text);
        Self(text.into())
    }

    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
        let given = given.filter(|id| !id.is_empty() && id.len() <= MAX_LENGTH);
        given.map_or_else(Self::fresh, |given| Self(given.into()))
    }
}

impl<S: Sync> FromRequestParts<S> for RequestId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(|| Self::of(&parts.headers)))
    }
}
