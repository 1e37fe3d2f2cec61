//! Messages to a server, sent until it takes or refuses them.

use std::error::Error as StdError;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Collected, Full, Limited};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_rustls::builderstates::WantsSchemes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use mlops_core::{Clock, Error, Result, SystemClock};
use tokio::time::{sleep, timeout};
use url::Url;

use super::Retries;

/// How long a connection may take.
const CONNECTING: Duration = Duration::from_secs(5);

/// Bytes of an answer that are read.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// Characters of an answer that an error tells.
const TOLD: usize = 200;

/// Where messages go. Its path and query may hold secrets, so that only its host is ever told.
#[derive(Clone)]
pub(super) struct Poster {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: Url,
    headers: HeaderMap,
    retries: Retries,
    clock: Arc<dyn Clock>,
    seed: u64,
}

/// Why an attempt failed.
enum Failure {
    /// Another one may do better, after so long.
    Passing(String, Option<Duration>),
    Final(String),
}

impl Poster {
    pub(super) fn new(url: &str) -> Result<Self> {
        let url = Url::parse(url).map_err(|cause| {
            Error::invalid_input(format!("the address of the webhook is no URL: {cause}"))
        })?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            let what = "the address of a webhook begins with https://, or http:// for one that is near";
            return Err(Error::invalid_input(what));
        }
        if !url.username().is_empty() || url.password().is_some() {
            let what = "the address of a webhook holds no user and password; send a header instead";
            return Err(Error::invalid_input(what));
        }
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECTING));
        let connector = tls(url.scheme() == "https")?.https_or_http().enable_http1().wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let agent = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        let seed = RandomState::new().hash_one(0_u64);
        Ok(Self { client, url, headers, retries: Retries::default(), clock: Arc::new(SystemClock), seed })
    }

    pub(super) fn with_retries(mut self, retries: Retries) -> Result<Self> {
        retries.check()?;
        self.retries = retries;
        Ok(self)
    }

    pub(super) fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    pub(super) fn with_header(mut self, name: &str, value: &str) -> Result<Self> {
        let what =
            |what| Error::invalid_input(format!("`{}` is no {what} of an HTTP header", name.escape_debug()));
        let header = HeaderName::try_from(name).map_err(|_| what("name"))?;
        let hidden = |_| Error::invalid_input(format!("the value of the header `{name}` cannot be sent"));
        let mut value = HeaderValue::try_from(value).map_err(hidden)?;
        value.set_sensitive(true);
        self.headers.insert(header, value);
        Ok(self)
    }

    /// Sends until the server takes the message, refuses it, or all attempts are used up. `headers` are made
    /// anew for each attempt, from its time.
    pub(super) async fn post(
        &self,
        id: &str,
        body: Bytes,
        headers: impl Fn(Timestamp) -> Result<HeaderMap>,
    ) -> Result<()> {
        let mut attempt = 1;
        loop {
            let more = headers(self.clock.now())?;
            let sent = timeout(self.retries.timeout, self.attempt(body.clone(), more)).await;
            let limit = self.retries.timeout;
            let failure = match sent {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(failure)) => failure,
                Err(_) => Failure::Passing(format!("no answer within {limit:?}"), None),
            };
            match failure {
                Failure::Final(what) => {
                    return Err(Error::unsupported(format!("{self} does not take the message: {what}")));
                }
                Failure::Passing(what, _) if attempt >= self.retries.attempts => {
                    return Err(Error::unavailable(format!("{self} failed {attempt} times: {what}")));
                }
                Failure::Passing(what, asked) => {
                    let wait = self.retries.wait(attempt, asked, self.seed, id);
                    tracing::debug!(server = %self, id, attempt, ?wait, what, "an alert is sent again");
                    sleep(wait).await;
                    attempt += 1;
                }
            }
        }
    }

    async fn attempt(&self, body: Bytes, more: HeaderMap) -> Result<(), Failure> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() =
            self.url.as_str().parse().map_err(|_| Failure::Final("its URL is no URI".into()))?;
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().extend(more);
        let answer =
            self.client.request(request).await.map_err(|cause| Failure::Passing(root(&cause), None))?;
        let (head, body) = answer.into_parts();
        // What the server has to say to that is not waited for: it has taken the message.
        if head.status.is_success() {
            return Ok(());
        }
        let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await.map(Collected::to_bytes);
        let body: String = String::from_utf8_lossy(&body.unwrap_or_default()).chars().take(TOLD).collect();
        let what = match body.trim() {
            "" => format!("HTTP {}", head.status),
            body => format!("HTTP {}: {}", head.status, body.escape_debug()),
        };
        if is_passing(head.status) {
            let asked = head.headers.get(RETRY_AFTER).and_then(|asked| self.asked_wait(asked));
            return Err(Failure::Passing(what, asked));
        }
        Err(Failure::Final(what))
    }

    /// Seconds, or the time when to come again.
    fn asked_wait(&self, asked: &HeaderValue) -> Option<Duration> {
        let asked = asked.to_str().ok()?.trim();
        if let Ok(seconds) = asked.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let time = rfc2822::parse(asked).ok()?.timestamp();
        Some(time.duration_since(self.clock.now()).try_into().unwrap_or(Duration::ZERO))
    }
}

/// Whether the same message may be taken later: time-outs, conflicts with earlier attempts, too many
/// messages, and faults of the server.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 409 | 425 | 429)
        || status.is_server_error() && !matches!(status.as_u16(), 501 | 505)
}

/// What is at the root of a failure, without the address.
fn root(error: &(dyn StdError + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// TLS by *ring*, and the certificates this machine trusts, if they are needed.
fn tls(needed: bool) -> Result<HttpsConnectorBuilder<WantsSchemes>> {
    let provider = rustls::crypto::ring::default_provider();
    if needed {
        let untrusting = |cause: std::io::Error| {
            let what = "this machine trusts no certificates; install its package `ca-certificates`";
            Error::unavailable(what).with_source(cause)
        };
        return HttpsConnectorBuilder::new().with_provider_and_native_roots(provider).map_err(untrusting);
    }
    let config =
        rustls::ClientConfig::builder_with_provider(provider.into()).with_safe_default_protocol_versions();
    let config = config.map_err(|cause| Error::internal("TLS cannot be set up").with_source(cause))?;
    let config = config.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
    Ok(HttpsConnectorBuilder::new().with_tls_config(config))
}

/// The host alone.
impl fmt::Display for Poster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.url.scheme(), self.url.host_str().unwrap_or_default())?;
        self.url.port().map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Debug for Poster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poster")
            .field("server", &format_args!("{self}"))
            .field("retries", &self.retries)
            .finish_non_exhaustive()
    }
}
