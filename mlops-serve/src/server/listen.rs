//! Connections: taken, bounded, answered, and let go of when the server ends.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::future::pending;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use futures_util::future::{Either, join_all, select};
use http::Request;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use mlops_core::{Error, Result};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::access::Peer;
#[cfg(feature = "tls")]
use super::tls::Tls;
use super::unread::Unread;

/// After the system refused a connection, for want of file descriptors, say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A socket, and what is answered on it: HTTP/1.1 and, to clients that begin so, HTTP/2.
#[derive(Debug)]
#[must_use]
pub struct Listener {
    socket: TcpListener,
    routes: Router,
    security: Security,
}

/// Whether connections are encrypted.
#[derive(Debug, Clone)]
enum Security {
    Plain,
    #[cfg(feature = "tls")]
    Tls(Tls),
}

impl Listener {
    /// Answers with `routes`: those of [`Server::router`](super::Server::router), or an application they are merged in.
    pub fn new(socket: TcpListener, routes: Router) -> Self {
        Self { socket, routes, security: Security::Plain }
    }

    /// Encrypts the connections. Names in the certificates of clients are known to
    /// [`Access`](super::access::Access::with_certificates).
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    pub fn with_tls(self, tls: Tls) -> Self {
        Self { security: Security::Tls(tls), ..self }
    }
}

/// What connections may cost.
#[derive(Debug, Clone)]
#[must_use]
pub struct Connections {
    most: usize,
    header_time: Duration,
    drain_time: Duration,
    streams: u32,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            most: 10_000,
            header_time: Duration::from_secs(30),
            drain_time: Duration::from_secs(30),
            streams: 256,
        }
    }
}

impl Connections {
    /// The limits of a server for which nothing else is said.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many there may be at a time: 10,000 unless set. More wait until one ends.
    pub fn with_most(mut self, connections: usize) -> Self {
        self.most = connections;
        self
    }

    /// How long a client may take to send the head of a request, the wait for it included: 30 s unless set. A slower
    /// client loses its connection.
    pub fn with_header_timeout(mut self, time: Duration) -> Self {
        self.header_time = time;
        self
    }

    /// How long the requests in flight may take when the server ends: 30 s unless set. Then their connections break.
    pub fn with_drain_timeout(mut self, time: Duration) -> Self {
        self.drain_time = time;
        self
    }

    /// How many requests one HTTP/2 connection may have in flight: 256 unless set.
    pub fn with_streams(mut self, requests: u32) -> Self {
        self.streams = requests;
        self
    }
}

/// Answers on all listeners until `shutdown` completes, then answers what is in flight.
pub(super) async fn run(
    listeners: Vec<Listener>,
    connections: Connections,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<()> {
    let draining = CancellationToken::new();
    let room = Arc::new(Semaphore::new(connections.most.min(Semaphore::MAX_PERMITS)));
    let drain_time = connections.drain_time;
    let connections = Arc::new(connections);
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(accept(listener, Arc::clone(&connections), Arc::clone(&room), draining.clone()));
    }
    shutdown.await;
    draining.cancel();
    let drained = async {
        let mut ending = Vec::new();
        while let Some(open) = accepting.join_next().await {
            ending.extend(open.map(Open::end));
        }
        join_all(ending).await;
    };
    // Connections that are open when the time is up break: they are gone with the set that they are in.
    tokio::time::timeout(drain_time, drained).await.map_err(|_elapsed| {
        Error::deadline_exceeded(format!(
            "requests were still in flight {drain_time:?} after the server was to end"
        ))
    })
}

/// Takes connections until it is told to stop, and gives back those that are still open.
async fn accept(
    listener: Listener,
    connections: Arc<Connections>,
    room: Arc<Semaphore>,
    draining: CancellationToken,
) -> Open {
    let mut open = Open::default();
    let next = async || {
        // In this order: a listener to which nobody connects must not hold a place.
        let accepted = listener.socket.accept().await;
        (accepted, Arc::clone(&room).acquire_owned().await.ok())
    };
    // Held when a connection ends: what was accepted and waits for a place must not be lost.
    let mut taking = Box::pin(next());
    loop {
        let (accepted, place) = tokio::select! {
            () = draining.cancelled() => break,
            Some(ended) = open.tasks.join_next_with_id() => {
                open.forget(ended);
                continue;
            }
            taken = &mut taking => taken,
        };
        taking.set(next());
        match accepted {
            Ok((stream, address)) => {
                let (routes, security) = (listener.routes.clone(), listener.security.clone());
                let connection = Connection { routes, security, address, _place: place };
                let (end, told) = oneshot::channel();
                let task = open.tasks.spawn(connection.answer(stream, Arc::clone(&connections), told));
                open.ends.insert(task.id(), end);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(taking);
    open
}

/// The connections of a listener. They break when this is dropped.
#[derive(Default)]
struct Open {
    tasks: JoinSet<()>,
    /// What tells each to end. Not one signal for all: each connection would look at it at every turn, under a lock.
    ends: HashMap<task::Id, oneshot::Sender<()>>,
}

impl Open {
    fn forget(&mut self, ended: Result<(task::Id, ()), JoinError>) {
        let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
        self.ends.remove(&id);
    }

    /// Completes when every connection has answered what it was asked.
    async fn end(mut self) {
        for (_, end) in self.ends.drain() {
            // One that has ended meanwhile does not listen.
            let _ = end.send(());
        }
        while self.tasks.join_next().await.is_some() {}
    }
}

/// One client.
struct Connection {
    routes: Router,
    security: Security,
    address: SocketAddr,
    _place: Option<OwnedSemaphorePermit>,
}

/// The protocols of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

impl Connection {
    /// Answers until the client ends, or until the server `told` it to end and what was asked before is answered.
    async fn answer(self, stream: TcpStream, connections: Arc<Connections>, mut told: oneshot::Receiver<()>) {
        // Answers are small and should leave at once.
        let _ = stream.set_nodelay(true);
        let peer = Peer::at(self.address);
        match self.security.clone() {
            Security::Plain => {
                let begin = tokio::time::timeout(connections.header_time, Protocol::of(&stream));
                if let Some(Ok(Ok(protocol))) = unless(&mut told, begin).await {
                    self.speak(protocol, stream, peer, &connections, told).await;
                }
            }
            #[cfg(feature = "tls")]
            Security::Tls(tls) => match unless(&mut told, tls.accept(stream)).await {
                Some(Ok(stream)) => {
                    let protocol = Protocol::agreed(stream.get_ref().1.alpn_protocol());
                    let certificate = Tls::peer_certificate(&stream);
                    let peer = certificate.into_iter().fold(peer, Peer::with_certificate);
                    self.speak(protocol, stream, peer, &connections, told).await;
                }
                Some(Err(error)) => tracing::debug!(%error, client = %self.address, "no TLS connection"),
                None => {}
            },
        }
    }

    async fn speak(
        self,
        protocol: Protocol,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: Peer,
        connections: &Connections,
        told: oneshot::Receiver<()>,
    ) {
        let clock = Arc::new(HeadClock::new());
        let head = Arc::clone(&clock);
        let service = service_fn(|mut request: Request<Incoming>| {
            head.came();
            request.extensions_mut().insert(peer.clone());
            let routes = self.routes.clone();
            let head = Arc::clone(&head);
            let request = request.map(|body| match protocol {
                Protocol::Http1 => Body::new(body),
                Protocol::Http2 => Body::new(Unread::new(body)),
            });
            async move {
                let answer = routes.oneshot(request).await.unwrap_or_else(|never| match never {});
                Ok::<_, Infallible>(answer.map(|body| AnswerBody { body, head }))
            }
        });
        let stream = TokioIo::new(stream);
        let ended = match protocol {
            Protocol::Http1 => {
                // hyper's own limit would take the lock of the timers twice for every request.
                let mut http = hyper::server::conn::http1::Builder::new();
                http.header_read_timeout(None);
                let late = pin!(clock.late(connections.header_time));
                until(told, late, http.serve_connection(stream, service)).await
            }
            Protocol::Http2 => {
                let mut http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                http.timer(TokioTimer::new())
                    .max_concurrent_streams(connections.streams)
                    .keep_alive_interval(connections.header_time)
                    .keep_alive_timeout(connections.header_time);
                until(told, pending(), http.serve_connection(stream, service)).await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, client = %self.address, "a connection broke");
        }
    }
}

/// What comes of a connection that has not asked for anything, unless it is `told` to end before.
async fn unless<T>(told: &mut oneshot::Receiver<()>, begin: impl Future<Output = T>) -> Option<T> {
    match select(pin!(begin), told).await {
        Either::Left((begun, _)) => Some(begun),
        Either::Right(_) => None,
    }
}

/// Drives a connection until it ends: by itself, after what is in flight once it is `told` so, or because its client is
/// `late`.
async fn until<C: GracefulConnection>(
    told: oneshot::Receiver<()>,
    late: impl Future<Output = ()> + Unpin,
    connection: C,
) -> Result<(), C::Error> {
    /// For the end of an answer to a client that reads slowly: it may not have left yet.
    const LAST_WORDS: Duration = Duration::from_secs(1);
    let mut connection = pin!(connection);
    let late = match select(connection.as_mut(), select(told, late)).await {
        Either::Left((ended, _)) => return ended,
        Either::Right((Either::Left(_), _)) => false,
        Either::Right((Either::Right(_), _)) => true,
    };
    connection.as_mut().graceful_shutdown();
    if !late {
        return connection.await;
    }
    tokio::time::timeout(LAST_WORDS, connection).await.unwrap_or_else(|_elapsed| {
        tracing::debug!("a client did not send all of the head of a request in time");
        Ok(())
    })
}

/// Since when the head of the next request of an HTTP/1 connection is awaited.
struct HeadClock {
    began: Instant,
    /// In milliseconds from the begin. Only the task of the connection reads and writes it.
    since: AtomicU64,
}

impl HeadClock {
    /// Of a request.
    const CAME: u64 = u64::MAX;

    fn new() -> Self {
        Self { began: Instant::now(), since: AtomicU64::new(0) }
    }

    fn came(&self) {
        self.since.store(Self::CAME, Ordering::Relaxed);
    }

    fn awaited(&self) {
        let since = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(Self::CAME);
        self.since.store(since, Ordering::Relaxed);
    }

    /// Completes when it is awaited for so long. Looks only as often as that.
    async fn late(&self, limit: Duration) {
        loop {
            let waited = match self.since.load(Ordering::Relaxed) {
                Self::CAME => Duration::ZERO,
                since => self.began.elapsed().saturating_sub(Duration::from_millis(since)),
            };
            if waited >= limit {
                return;
            }
            tokio::time::sleep(limit - waited).await;
        }
    }
}

/// The body of an answer. The next request is awaited from its end on.
struct AnswerBody {
    body: Body,
    head: Arc<HeadClock>,
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        self.head.awaited();
    }
}

impl Protocol {
    /// What client and server have agreed upon in the TLS handshake
    /// ([RFC 7301](https://www.rfc-editor.org/rfc/rfc7301)).
    #[cfg(feature = "tls")]
    fn agreed(alpn: Option<&[u8]>) -> Self {
        if alpn == Some(b"h2") { Self::Http2 } else { Self::Http1 }
    }

    /// HTTP/2 connections begin with a preface that no HTTP/1 request begins with: `PRI`, a method that is never used
    /// ([RFC 9113, section 3.4](https://www.rfc-editor.org/rfc/rfc9113#section-3.4)).
    async fn of(stream: &TcpStream) -> std::io::Result<Self> {
        const PREFACE: &[u8; 3] = b"PRI";
        /// Until more than a part of the preface is there.
        const PAUSE: Duration = Duration::from_millis(1);
        loop {
            let mut begin = [0; PREFACE.len()];
            let length = stream.peek(&mut begin).await?;
            if length == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if !PREFACE.starts_with(&begin[..length]) {
                return Ok(Self::Http1);
            }
            if length == PREFACE.len() {
                return Ok(Self::Http2);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("address", &self.address).finish_non_exhaustive()
    }
}
