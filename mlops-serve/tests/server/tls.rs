//! Real TLS handshakes over loopback: rotated certificates, mutual TLS, and clients that do none of it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mlops_core::{Error, ManualClock, Result};
use mlops_serve::server::tls::{ClientCertificate, Tls, TlsFiles};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls::crypto::ring;
use rustls::{ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion, version};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsConnector, client, server};

use crate::support::events;
use crate::support::events::AUDIT;

/// Signs certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, in PEM.
struct Identity {
    chain: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority of the tests");
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn sign(&self, params: CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity { chain: certificate.pem(), key: key.serialize_pem() }
    }

    fn server(&self) -> Identity {
        self.sign(CertificateParams::new(["localhost".to_owned()]).unwrap())
    }

    /// A client whose certificate is valid in 2029 and 2030.
    fn client(&self, uri: &str) -> Identity {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        params.not_before = rcgen::date_time_ymd(2029, 1, 1);
        params.not_after = rcgen::date_time_ymd(2030, 12, 31);
        self.sign(params)
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        roots
    }
}

/// The files of a server, and time that stands still in the middle of 2030.
struct Site {
    folder: tempfile::TempDir,
    clock: ManualClock,
}

impl Site {
    fn new(identity: &Identity) -> Self {
        let clock = ManualClock::new("2030-06-01T00:00:00Z".parse().unwrap());
        let site = Self { folder: tempfile::tempdir().unwrap(), clock };
        site.write(identity);
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, identity: &Identity) {
        fs::write(self.path("chain.pem"), &identity.chain).unwrap();
        fs::write(self.path("key.pem"), &identity.key).unwrap();
    }

    fn files(&self) -> TlsFiles {
        TlsFiles::new(self.path("chain.pem"), self.path("key.pem"))
            .with_reload_every(Duration::from_secs(1))
            .with_clock(self.clock.clone())
    }

    fn tls(&self) -> Tls {
        Tls::open(self.files()).unwrap()
    }

    fn mutual(&self, authority: &Authority, client: ClientCertificate) -> Tls {
        fs::write(self.path("clients.pem"), &authority.pem).unwrap();
        Tls::open(self.files().with_client_authorities(self.path("clients.pem"), client)).unwrap()
    }

    fn next_look(&self) {
        self.clock.advance(Duration::from_secs(1));
    }
}

fn client_config(authority: &Authority, identity: Option<&Identity>) -> ClientConfig {
    config_of_versions(authority, identity, &[&version::TLS13, &version::TLS12])
}

fn config_of_versions(
    authority: &Authority,
    identity: Option<&Identity>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(authority.roots());
    match identity {
        None => config.with_no_client_auth(),
        Some(identity) => {
            let chain =
                CertificateDer::pem_slice_iter(identity.chain.as_bytes()).map(|der| der.unwrap()).collect();
            let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
            config.with_client_auth_cert(chain, key).unwrap()
        }
    }
}

async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let connecting = TcpStream::connect(listener.local_addr().unwrap());
    let (accepted, connected) = tokio::join!(listener.accept(), connecting);
    (accepted.unwrap().0, connected.unwrap())
}

type Ends = (Result<server::TlsStream<TcpStream>>, std::io::Result<client::TlsStream<TcpStream>>);

async fn shake_hands(tls: &Tls, config: &Arc<ClientConfig>) -> Ends {
    let (accepted, connected) = sockets().await;
    let connector = TlsConnector::from(Arc::clone(config));
    let name = ServerName::try_from("localhost").unwrap();
    tokio::join!(tls.accept(accepted), connector.connect(name, connected))
}

/// What the server says of a client with this configuration.
async fn accepted(tls: &Tls, config: ClientConfig) -> Result<server::TlsStream<TcpStream>> {
    shake_hands(tls, &Arc::new(config)).await.0
}

/// What the server says of a client that sends this, and no more.
async fn accepted_raw(tls: &Tls, bytes: &[u8]) -> Error {
    let (accepted, mut connected) = sockets().await;
    connected.write_all(bytes).await.unwrap();
    connected.shutdown().await.unwrap();
    let outcome = tls.accept(accepted).await;
    drop(connected);
    outcome.unwrap_err()
}

/// Sends a word each way.
async fn talk(server: &mut server::TlsStream<TcpStream>, client: &mut client::TlsStream<TcpStream>) {
    let mut word = [0; 4];
    client.write_all(b"ping").await.unwrap();
    client.flush().await.unwrap();
    server.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"ping");
    server.write_all(b"pong").await.unwrap();
    server.flush().await.unwrap();
    client.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"pong");
}

fn leaf(stream: &client::TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

fn der(identity: &Identity) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(identity.chain.as_bytes()).unwrap()
}

#[tokio::test]
async fn clients_speak_tls_in_both_versions_and_agree_on_the_version_of_http() {
    let authority = Authority::new();
    let tls = Site::new(&authority.server()).tls();
    for version in [&version::TLS12, &version::TLS13] {
        for (offered, agreed) in
            [(vec!["http/1.1"], Some("http/1.1")), (vec!["http/1.1", "h2"], Some("h2")), (vec![], None)]
        {
            let mut config = config_of_versions(&authority, None, &[version]);
            config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
            let (server, client) = shake_hands(&tls, &Arc::new(config)).await;
            let (mut server, mut client) = (server.unwrap(), client.unwrap());
            assert_eq!(client.get_ref().1.alpn_protocol(), agreed.map(str::as_bytes));
            assert_eq!(Tls::peer_certificate(&server), None);
            talk(&mut server, &mut client).await;
        }
    }
}

#[tokio::test]
async fn new_connections_get_a_rotated_certificate_and_old_ones_go_on() {
    let authority = Authority::new();
    let (first, second) = (authority.server(), authority.server());
    let site = Site::new(&first);
    let (tls, config) = (site.tls(), Arc::new(client_config(&authority, None)));
    let (server, client) = shake_hands(&tls, &config).await;
    let (mut old_server, mut old_client) = (server.unwrap(), client.unwrap());
    assert_eq!(leaf(&old_client), der(&first));

    site.write(&second);
    site.next_look();
    let (server, client) = shake_hands(&tls, &config).await;
    let (mut new_server, mut new_client) = (server.unwrap(), client.unwrap());
    assert_eq!(leaf(&new_client), der(&second));
    talk(&mut new_server, &mut new_client).await;
    talk(&mut old_server, &mut old_client).await;
}

#[tokio::test]
async fn files_that_are_broken_or_do_not_belong_together_leave_the_old_ones_in_use() {
    let authority = Authority::new();
    let (first, second) = (authority.server(), authority.server());
    let site = Site::new(&first);
    let (tls, config) = (site.tls(), Arc::new(client_config(&authority, None)));
    let served = async || {
        site.next_look();
        leaf(&shake_hands(&tls, &config).await.1.unwrap())
    };
    assert_eq!(served().await, der(&first));
    fs::write(site.path("chain.pem"), &second.chain).unwrap();
    assert_eq!(served().await, der(&first), "the new key is not there yet");
    fs::write(site.path("key.pem"), "-----BEGIN PRIVATE KEY-----\nAAAA").unwrap();
    assert_eq!(served().await, der(&first));
    fs::remove_file(site.path("key.pem")).unwrap();
    assert_eq!(served().await, der(&first));
    fs::write(site.path("key.pem"), &second.key).unwrap();
    assert_eq!(served().await, der(&second));
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused_where_one_is_required() {
    let authority = Authority::new();
    let site = Site::new(&authority.server());
    let tls = site.mutual(&authority, ClientCertificate::Required);
    events::record(AUDIT);
    for version in [&version::TLS12, &version::TLS13] {
        let refused = accepted(&tls, config_of_versions(&authority, None, &[version])).await.unwrap_err();
        assert_eq!(refused.to_string(), "unauthenticated: the client has sent no certificate");
        let records = events::lines();
        let [record] = &records[..] else { panic!("{records:?}") };
        assert!(record.starts_with("WARN peer=127.0.0.1:"), "{record}");
        assert!(
            record.contains("outcome=unauthenticated reason=the client has sent no certificate"),
            "{record}"
        );
        let batch = authority.client("spiffe://example.org/batch");
        let stream = accepted(&tls, config_of_versions(&authority, Some(&batch), &[version])).await.unwrap();
        let certificate = Tls::peer_certificate(&stream).unwrap();
        assert_eq!(certificate.names().collect::<Vec<_>>(), ["spiffe://example.org/batch"]);
        assert!(events::lines().is_empty());
    }
}

#[tokio::test]
async fn certificates_that_are_expired_or_of_another_authority_are_refused_even_when_optional() {
    let (authority, other) = (Authority::new(), Authority::new());
    let site = Site::new(&authority.server());
    let batch = authority.client("spiffe://example.org/batch");
    let stranger = other.client("spiffe://example.org/batch");
    let padded = Identity { chain: batch.chain.clone() + &stranger.chain, key: batch.key.clone() };
    for kind in [ClientCertificate::Required, ClientCertificate::Optional] {
        let tls = site.mutual(&authority, kind);
        assert!(accepted(&tls, client_config(&authority, Some(&batch))).await.is_ok());
        assert!(accepted(&tls, client_config(&authority, Some(&padded))).await.is_ok());
        let refused = accepted(&tls, client_config(&authority, Some(&stranger))).await.unwrap_err();
        assert!(matches!(refused, Error::Unauthenticated { .. }), "{refused}");
        let without = accepted(&tls, client_config(&authority, None)).await;
        assert_eq!(without.is_ok(), kind == ClientCertificate::Optional);

        for wrong_time in ["2028-12-31T00:00:00Z", "2031-01-01T00:00:00Z"] {
            site.clock.set_wall(wrong_time.parse().unwrap());
            let refused = accepted(&tls, client_config(&authority, Some(&batch))).await.unwrap_err();
            assert!(matches!(refused, Error::Unauthenticated { .. }), "{refused}");
        }
        site.clock.set_wall("2030-06-01T00:00:00Z".parse().unwrap());
    }
}

#[tokio::test]
async fn an_authority_that_is_taken_out_is_trusted_no_more() {
    let (authority, next) = (Authority::new(), Authority::new());
    let site = Site::new(&authority.server());
    let tls = site.mutual(&authority, ClientCertificate::Required);
    let [old, new] = [authority.client("urn:old"), next.client("urn:new")];
    let known = async || {
        let old = accepted(&tls, client_config(&authority, Some(&old))).await.is_ok();
        [old, accepted(&tls, client_config(&authority, Some(&new))).await.is_ok()]
    };
    assert_eq!(known().await, [true, false]);
    fs::write(site.path("clients.pem"), format!("{}{}", authority.pem, next.pem)).unwrap();
    site.next_look();
    assert_eq!(known().await, [true, true]);
    fs::write(site.path("clients.pem"), &next.pem).unwrap();
    site.next_look();
    assert_eq!(known().await, [false, true]);
    fs::write(site.path("clients.pem"), "").unwrap();
    site.next_look();
    assert_eq!(known().await, [false, true], "no authority at all is a fault");
}

#[tokio::test]
async fn connections_with_certificates_are_never_resumed() {
    let authority = Authority::new();
    let site = Site::new(&authority.server());
    let batch = authority.client("spiffe://example.org/batch");
    for (tls, identity, expected) in [
        (site.tls(), None, HandshakeKind::Resumed),
        (site.mutual(&authority, ClientCertificate::Required), Some(&batch), HandshakeKind::Full),
        (site.mutual(&authority, ClientCertificate::Optional), Some(&batch), HandshakeKind::Full),
    ] {
        for version in [&version::TLS12, &version::TLS13] {
            let config = Arc::new(config_of_versions(&authority, identity, &[version]));
            let mut kind = None;
            for _ in 0..2 {
                let (server, client) = shake_hands(&tls, &config).await;
                let (mut server, mut client) = (server.unwrap(), client.unwrap());
                talk(&mut server, &mut client).await; // by then the client has read its tickets
                kind = client.get_ref().1.handshake_kind();
            }
            assert_eq!(kind, Some(expected), "{version:?}");
        }
    }
}

#[tokio::test]
async fn what_is_not_tls_is_refused_and_harms_nobody() {
    let authority = Authority::new();
    let tls = Site::new(&authority.server()).tls();
    let http = accepted_raw(&tls, b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(matches!(http, Error::InvalidInput(_)), "{http}");
    for bytes in [&[0xff; 4096][..], b"\x16\x03\x01\xff\xff", b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"] {
        let error = accepted_raw(&tls, bytes).await;
        assert!(matches!(error, Error::InvalidInput(_) | Error::Unavailable { .. }), "{error}");
    }
    let gone = accepted_raw(&tls, b"").await;
    assert!(matches!(gone, Error::Unavailable { .. }), "{gone}");
    assert!(accepted(&tls, client_config(&authority, None)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_silent_is_waited_for_no_longer_than_allowed() {
    let authority = Authority::new();
    let site = Site::new(&authority.server());
    let tls = Tls::open(site.files().with_handshake_timeout(Duration::from_secs(3))).unwrap();
    let (accepted, mut connected) = sockets().await;
    connected.write_all(b"\x16\x03\x01").await.unwrap();
    let before = tokio::time::Instant::now();
    let error = tls.accept(accepted).await.unwrap_err();
    assert!(matches!(error, Error::DeadlineExceeded { .. }), "{error}");
    assert_eq!(before.elapsed().as_secs(), 3);
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_server_is_told_apart_from_one_that_is_not_trusted() {
    let (authority, other) = (Authority::new(), Authority::new());
    let tls = Site::new(&authority.server()).tls();
    let (server, client) = shake_hands(&tls, &Arc::new(client_config(&other, None))).await;
    assert!(client.is_err());
    assert!(matches!(server, Err(Error::InvalidInput(_))), "{server:?}");
}

#[test]
fn files_that_cannot_be_used_do_not_open_and_no_key_is_repeated() {
    let authority = Authority::new();
    let identity = authority.server();
    let site = Site::new(&identity);
    let opened = |name: &str, content: &str| {
        let before = fs::read(site.path(name)).unwrap();
        fs::write(site.path(name), content).unwrap();
        let error = Tls::open(site.files()).unwrap_err();
        fs::write(site.path(name), before).unwrap();
        assert!(matches!(error, Error::InvalidInput(_)), "{error}");
        error.to_string()
    };
    assert!(opened("chain.pem", "").ends_with("chain.pem holds no certificate in PEM"));
    assert!(opened("chain.pem", &identity.key).ends_with("chain.pem holds no certificate in PEM"));
    assert!(
        opened("chain.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
            .contains("cannot be used")
    );
    assert!(opened("key.pem", &authority.server().key).contains("cannot be used"));
    let secret = identity.key.lines().nth(1).unwrap();
    for broken in
        ["", &identity.chain, &identity.key.replace("-----END", "----END"), &format!("-----BEGIN {secret}")]
    {
        let message = opened("key.pem", broken);
        assert!(message.contains("holds no private key in PEM") && !message.contains(secret), "{message}");
    }
    let absent = TlsFiles::new(site.path("absent.pem"), site.path("key.pem"));
    assert!(matches!(Tls::open(absent), Err(Error::Unavailable { .. })));
    assert!(!format!("{:?}", site.tls()).contains(secret));
}
