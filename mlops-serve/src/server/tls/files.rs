//! The files a TLS configuration is made of.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mlops_core::{Clock, Error, Result, SystemClock};
use rustls::crypto::ring;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};

use crate::server::watched::Watched;

/// Where the certificate of the server and its key are, and what clients must show. All files are PEM.
#[derive(Debug, Clone)]
#[must_use]
pub struct TlsFiles {
    chain: PathBuf,
    key: PathBuf,
    clients: Option<(PathBuf, ClientCertificate)>,
    reload_every: Duration,
    pub(super) handshake_timeout: Duration,
    pub(super) clock: Arc<dyn Clock>,
}

/// Whether a client must have a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificate {
    /// Clients without one are refused in the handshake.
    Required,
    /// Clients may come without one, and are then known by their headers or not at all. One that is not
    /// accepted is refused all the same.
    Optional,
}

impl TlsFiles {
    /// The certificate of the server, followed by those of the authorities between it and a root, and its
    /// private key (PKCS #8, PKCS #1 or SEC1). The files are looked at every ten seconds, and a handshake may
    /// take ten.
    pub fn new(chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self {
            chain: chain.into(),
            key: key.into(),
            clients: None,
            reload_every: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            clock: Arc::new(SystemClock),
        }
    }

    /// Mutual TLS: clients show certificates that one of the authorities in the file has signed.
    ///
    /// Sessions are not resumed then, so that every connection is checked anew.
    pub fn with_client_authorities(
        mut self,
        authorities: impl Into<PathBuf>,
        client: ClientCertificate,
    ) -> Self {
        self.clients = Some((authorities.into(), client));
        self
    }

    /// How long the files are not looked at again. New content that cannot be used, such as a certificate whose
    /// key is not there yet, leaves the old in use and an error in the log.
    pub fn with_reload_every(mut self, every: Duration) -> Self {
        self.reload_every = every;
        self
    }

    /// How long a handshake may take.
    pub fn with_handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Sets where the time comes from that expires certificates of clients, and at which files are looked at.
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    pub(super) fn watch(self) -> Result<Watched<ServerConfig>> {
        let mut files = vec![self.chain.clone(), self.key.clone()];
        files.extend(self.clients.iter().map(|(authorities, _)| authorities.clone()));
        let every = self.reload_every;
        Watched::open(files, every, move |contents| self.config(contents))
    }

    fn config(&self, contents: &[Vec<u8>]) -> Result<ServerConfig> {
        let [chain, key, authorities @ ..] = contents else {
            return Err(Error::internal("a certificate and a key were not both read"));
        };
        let chain = certificates(chain, &self.chain)?;
        // Without the cause, which may quote a line of the file.
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|_| fault(&self.key, "holds no private key in PEM (PKCS #8, PKCS #1 or SEC1)"))?;
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_details(
            Arc::clone(&provider),
            Arc::new(Wall(Arc::clone(&self.clock))),
        )
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::internal("the versions of TLS").with_source(error))?;
        let config = match (&self.clients, authorities) {
            (Some((file, client)), [authorities]) => {
                let mut roots = RootCertStore::empty();
                for authority in certificates(authorities, file)? {
                    roots
                        .add(authority)
                        .map_err(|error| fault(file, "holds no usable authority").with_source(error))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = match client {
                    ClientCertificate::Required => verifier,
                    ClientCertificate::Optional => verifier.allow_unauthenticated(),
                };
                let verifier = verifier
                    .build()
                    .map_err(|error| fault(file, "holds no usable authority").with_source(error))?;
                config.with_client_cert_verifier(verifier)
            }
            _ => config.with_no_client_auth(),
        };
        let mut config = config
            .with_single_cert(chain, key)
            .map_err(|error| fault(&self.chain, "and its key cannot be used").with_source(error))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        if self.clients.is_some() {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(config)
    }
}

fn certificates(pem: &[u8], file: &std::path::Path) -> Result<Vec<CertificateDer<'static>>> {
    let certificates = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| fault(file, "is malformed PEM").with_source(error))?;
    match certificates.is_empty() {
        true => Err(fault(file, "holds no certificate in PEM")),
        false => Ok(certificates),
    }
}

fn fault(file: &std::path::Path, what: &str) -> Error {
    Error::invalid_input(format!("{} {what}", file.display()))
}

/// Our clock, for certificates.
#[derive(Debug)]
struct Wall(Arc<dyn Clock>);

impl TimeProvider for Wall {
    fn current_time(&self) -> Option<UnixTime> {
        let since_epoch = Duration::try_from(self.0.now().as_duration()).ok()?;
        Some(UnixTime::since_unix_epoch(since_epoch))
    }
}
