//! What is known of a request before its body is read.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::Extensions;
use axum::http::request::Parts;

use super::Failure;
use crate::server::Service;
use crate::server::access::{Caller, Peer};

/// Who asks. Every handler takes one, because everything behind the fronts wants to know the caller.
pub(super) struct Inbound {
    pub(super) caller: Caller,
}

impl FromRequestParts<Service> for Inbound {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, Failure> {
        Ok(Self { caller: service.caller(&parts.headers, &peer(&parts.extensions))? })
    }
}

/// The other end of the connection, as the listener knows it.
pub(crate) fn peer(extensions: &Extensions) -> Peer {
    let of_host = || extensions.get::<ConnectInfo<SocketAddr>>().map(|info| Peer::at(info.0));
    extensions.get::<Peer>().cloned().or_else(of_host).unwrap_or_else(Peer::unknown)
}
