//! What is known of a request before its body is read.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use uuid::Uuid;

use super::Failure;
use crate::server::Service;
use crate::server::access::{Caller, Peer};

/// The header by which a request is known in logs, taken from callers and given back to them.
pub(super) const REQUEST_ID: &str = "x-request-id";

/// A longer one is no id but a mistake, or an attack on logs.
const MAX_ID_LENGTH: usize = 128;

/// Who asks. Every handler takes one, because everything behind the fronts wants to know the caller.
pub(super) struct Inbound {
    pub(super) caller: Caller,
}

impl FromRequestParts<Service> for Inbound {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, Failure> {
        Ok(Self { caller: service.caller(&parts.headers, &peer(parts))? })
    }
}

/// The other end of the connection, as the listener knows it.
#[allow(clippy::needless_update)]
fn peer(parts: &Parts) -> Peer {
    parts.extensions.get::<Peer>().cloned().unwrap_or_else(|| Peer {
        address: parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0),
        ..Peer::default()
    })
}

/// How the request is known in logs and by labels that come later: as its caller says, or else by a fresh UUID.
#[derive(Clone)]
pub(super) struct RequestId(pub(super) Arc<str>);

impl RequestId {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
        let given = given.filter(|id| !id.is_empty() && id.len() <= MAX_ID_LENGTH);
        Self(given.map_or_else(|| Uuid::now_v7().to_string().into(), Into::into))
    }
}

impl<S: Sync> FromRequestParts<S> for RequestId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(|| Self::of(&parts.headers)))
    }
}
