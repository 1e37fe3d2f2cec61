//! Who calls, and from where.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use mlops_core::{Error, Result};
use serde::Deserialize;

use super::Scopes;

/// Who calls, as [`Access`](super::Access) made out. It never holds a secret. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Caller {
    method: Method,
    name: Option<CallerName>,
    scopes: Scopes,
    address: Option<SocketAddr>,
}

/// How a caller said who it is. Two callers of one name who said so in different ways are two callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// It did not say.
    Anonymous,
    /// By an API key.
    ApiKey,
    /// By a JSON Web Token.
    Token,
    /// By the certificate of its TLS connection.
    Certificate,
}

impl Caller {
    /// A caller who did not say who it is, and may do nothing.
    #[must_use]
    pub fn anonymous() -> Self {
        Self { method: Method::Anonymous, name: None, scopes: Scopes::none(), address: None }
    }

    pub(super) fn known(method: Method, name: CallerName, scopes: Scopes) -> Self {
        Self { method, name: Some(name), scopes, address: None }
    }

    pub(super) fn with_scopes(mut self, scopes: Scopes) -> Self {
        self.scopes = scopes;
        self
    }

    pub(super) fn at(mut self, address: Option<SocketAddr>) -> Self {
        self.address = address;
        self
    }

    /// How a known caller said who it is, and who.
    pub(super) fn identity(&self) -> Option<(Method, &CallerName)> {
        self.name.as_ref().map(|name| (self.method, name))
    }

    /// The name of the API key, the subject of the token or the name in the certificate; `anonymous` where
    /// there is none.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_ref().map_or("anonymous", CallerName::as_str)
    }

    /// How it said who it is.
    #[must_use]
    pub fn method(&self) -> Method {
        self.method
    }

    /// What it may do.
    #[must_use]
    pub fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// Where the connection comes from, when known.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Whether it did not say who it is.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.method == Method::Anonymous
    }
}

impl Method {
    /// The method as audit records write it: `anonymous`, `api_key`, `token`, `certificate`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::ApiKey => "api_key",
            Self::Token => "token",
            Self::Certificate => "certificate",
        }
    }
}

/// The other end of a connection, as the listener knows it.
///
/// ```
/// use mlops_serve::server::access::{Peer, PeerCertificate};
///
/// let peer = Peer::at(([10, 0, 0, 7], 50_412).into())
///     .with_certificate(PeerCertificate::new(["spiffe://example.org/batch"]));
/// assert!(peer.certificate().is_some());
/// ```
#[derive(Debug, Clone, Default)]
pub struct Peer {
    address: Option<SocketAddr>,
    certificate: Option<PeerCertificate>,
}

impl Peer {
    /// Nothing is known: a Unix socket, or a test.
    #[must_use]
    pub fn unknown() -> Self {
        Self::default()
    }

    /// A peer at that address. Behind a proxy that is the proxy's, and so its rate; take the client's from a
    /// header only where the proxy always sets that header.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        Self { address: Some(address), certificate: None }
    }

    /// Sets the certificate of the peer, which the TLS handshake has verified.
    #[must_use]
    pub fn with_certificate(mut self, certificate: PeerCertificate) -> Self {
        self.certificate = Some(certificate);
        self
    }

    /// Where the connection comes from.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// The verified certificate of the peer.
    #[must_use]
    pub fn certificate(&self) -> Option<&PeerCertificate> {
        self.certificate.as_ref()
    }
}

/// The names in the verified certificate of a peer. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    names: Arc<[Box<str>]>,
}

impl PeerCertificate {
    /// A certificate that was verified to be for these names.
    pub fn new<N: Into<Box<str>>>(names: impl IntoIterator<Item = N>) -> Self {
        Self { names: names.into_iter().map(Into::into).collect() }
    }

    /// The names, in the order of the certificate.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }
}

/// The name of a caller: 1 to 256 bytes without control characters. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(in crate::server) struct CallerName(Arc<str>);

impl CallerName {
    pub(super) fn new(name: &str) -> Result<Self> {
        let fault = if name.is_empty() {
            "is empty"
        } else if name.len() > 256 {
            "has more than 256 bytes"
        } else if name.chars().any(char::is_control) {
            "has a control character"
        } else {
            return Ok(Self(name.into()));
        };
        Err(Error::invalid_input(format!("the name of a caller {fault}")))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for CallerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl TryFrom<String> for CallerName {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        Self::new(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_forge_lines_of_a_log_are_refused() {
        for good in ["batch", "auth0|5f7c8ec7", "Zoë", &"a".repeat(256)] {
            assert_eq!(CallerName::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "a\nb", "a\0", "\u{1b}[2J", "\u{85}", &"a".repeat(257)] {
            assert!(CallerName::new(bad).is_err(), "{bad:?}");
        }
        let reversed = CallerName::new("admin\u{202e}resu").unwrap();
        assert_eq!(format!("{reversed:?}"), r#""admin\u{202e}resu""#, "shown escaped");
    }
}
