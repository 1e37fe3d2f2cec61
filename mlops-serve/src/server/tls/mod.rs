//! TLS and mutual TLS for listeners, by [rustls](https://docs.rs/rustls) on ring.
//!
//! Certificates are rotated by changing their files: new connections get the new ones, and old connections go on.

mod certificate;
mod files;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use mlops_core::{Clock, Error, Result};
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub use self::files::{ClientCertificate, TlsFiles};

use super::access::{PeerCertificate, audit};
use super::watched::Watched;

/// Turns TCP connections into TLS connections, version 1.2 or 1.3, with HTTP/2 and HTTP/1.1 by ALPN.
///
/// ```no_run
/// use mlops_serve::server::access::Peer;
/// use mlops_serve::server::tls::{ClientCertificate, Tls, TlsFiles};
///
/// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
/// let files = TlsFiles::new("server.pem", "server.key")
///     .with_client_authorities("clients-ca.pem", ClientCertificate::Required);
/// let tls = Tls::open(files)?;
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:8443").await?;
/// loop {
///     let (stream, address) = listener.accept().await?;
///     let tls = tls.clone();
///     tokio::spawn(async move { // so that a slow client holds up nobody else
///         let Ok(stream) = tls.accept(stream).await else { return };
///         let mut peer = Peer::at(address);
///         if let Some(certificate) = Tls::peer_certificate(&stream) {
///             peer = peer.with_certificate(certificate);
///         }
///         // ... serve HTTP on `stream` to `peer`
///     });
/// }
/// # }
/// ```
#[derive(Clone)]
pub struct Tls {
    config: Arc<Watched<ServerConfig>>,
    handshake_timeout: Duration,
    clock: Arc<dyn Clock>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when a file cannot be read; [`Error::InvalidInput`] that says what is wrong with
    /// one of them, and when the key is not that of the certificate.
    pub fn open(files: TlsFiles) -> Result<Self> {
        let (handshake_timeout, clock) = (files.handshake_timeout, Arc::clone(&files.clock));
        Ok(Self { config: Arc::new(files.watch()?), handshake_timeout, clock })
    }

    /// Shakes hands with the client of a new connection. Await it on a task of its own, not in the loop that
    /// accepts connections.
    ///
    /// A client certificate that is missing or not accepted is a record of the
    /// [audit](super::access#audit).
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when the client's certificate is missing, expired or of an unknown
    /// authority; [`Error::InvalidInput`] when the client does not speak TLS, or none that is acceptable;
    /// [`Error::DeadlineExceeded`] when it takes too long; [`Error::Unavailable`] when the connection breaks.
    pub async fn accept(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>> {
        let peer = stream.peer_addr().ok();
        let config = Arc::clone(&self.config.current(self.clock.instant()));
        let handshake = TlsAcceptor::from(config).accept(stream);
        let outcome = tokio::time::timeout(self.handshake_timeout, handshake)
            .await
            .map_err(|_| Error::deadline_exceeded("the TLS handshake of a client"))?;
        outcome.map_err(|error| {
            let error = explained(error);
            if let Error::Unauthenticated { what } = &error {
                audit::not_believed(None, peer, what);
            }
            error
        })
    }

    /// The names in the certificate of the client, which the handshake has verified: the DNS names and URIs of
    /// its subject alternative names or, when it has no such extension, its common name
    /// ([RFC 6125, 6.4.4](https://www.rfc-editor.org/rfc/rfc6125#section-6.4.4)). `None` without a certificate.
    #[must_use]
    pub fn peer_certificate(stream: &TlsStream<TcpStream>) -> Option<PeerCertificate> {
        let (_, session) = stream.get_ref();
        session.peer_certificates()?.first().map(|certificate| certificate::names(certificate))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("config", &self.config)
            .field("handshake_timeout", &self.handshake_timeout)
            .finish_non_exhaustive()
    }
}

fn explained(error: io::Error) -> Error {
    match error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::NoCertificatesPresented) => {
            Error::unauthenticated("the client has sent no certificate")
        }
        Some(rustls::Error::InvalidCertificate(why)) => {
            Error::unauthenticated(format!("the certificate of the client is not accepted: {why}"))
        }
        Some(other) => Error::invalid_input(format!("the TLS handshake has failed: {other}")),
        None => Error::unavailable("the connection has broken in the TLS handshake").with_source(error),
    }
}
