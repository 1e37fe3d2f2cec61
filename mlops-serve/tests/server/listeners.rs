//! Connections are bounded in number and time, and drained when the server ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::routing::get;
use futures_util::{StreamExt, stream};
use mlops_core::{
    DType, Dimension, Error, Model, ModelName, Request, Response, Result, Signature, TensorSpec,
};
use mlops_serve::server::{Connections, Listener, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

/// Answers when it is told to.
#[derive(Debug)]
struct Waiting {
    signature: Signature,
    entered: Arc<Notify>,
    release: Arc<Notify>,
}

#[async_trait]
impl Model for Waiting {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        self.signature.check(&request.inputs)?;
        self.entered.notify_one();
        self.release.notified().await;
        let x = request.inputs.require("x")?.clone();
        Ok(Response::new([("y", x)].into()).with_id(request.id))
    }
}

struct Running {
    address: SocketAddr,
    second: SocketAddr,
    entered: Arc<Notify>,
    release: Arc<Notify>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<Result<()>>,
}

const PAUSE: Duration = Duration::from_millis(600);

/// An answer of a host, as of events: a word, a pause, a word.
async fn pausing() -> Body {
    Body::from_stream(stream::iter(["first ", "second"]).enumerate().then(async |(index, word)| {
        tokio::time::sleep(PAUSE * u32::try_from(index).unwrap()).await;
        Ok::<_, Infallible>(word)
    }))
}

async fn start(connections: Connections) -> Running {
    let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let spec = |name| TensorSpec::new(name, DType::Fp32, [Dimension::Batch]);
    let signature = Signature::new([spec("x")], [spec("y")]).unwrap();
    let model = Waiting { signature, entered: Arc::clone(&entered), release: Arc::clone(&release) };
    let server = Server::builder()
        .with_model(ModelName::new("waiting").unwrap(), model)
        .with_body_timeout(Duration::from_millis(200))
        .build();
    let (first, second) =
        (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let (address, second_address) = (first.local_addr().unwrap(), second.local_addr().unwrap());
    let hosts = Router::new().route("/pausing", get(pausing)).merge(server.router());
    let listeners = [Listener::new(first, server.router()), Listener::new(second, hosts)];
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async move { stopped.await.unwrap_or(()) };
    let server = tokio::spawn(server.serve_on(listeners, connections, shutdown));
    Running { address, second: second_address, entered, release, stop, server }
}

const BODY: &str = r#"{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}]}"#;

async fn infer(address: SocketAddr, client: reqwest::Client) -> reqwest::Result<reqwest::Response> {
    client.post(format!("http://{address}/v2/models/waiting/infer")).body(BODY).send().await
}

/// All that comes until the other side closes.
async fn until_closed(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    // A reset is a close, too.
    let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut text))
        .await
        .expect("it closes");
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn every_listener_speaks_http_1_and_http_2() {
    let running = start(Connections::new()).await;
    for address in [running.address, running.second] {
        let http2 = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
        for (client, version) in
            [(reqwest::Client::new(), reqwest::Version::HTTP_11), (http2, reqwest::Version::HTTP_2)]
        {
            let answer = tokio::spawn(infer(address, client));
            running.entered.notified().await;
            running.release.notify_one();
            let answer = answer.await.unwrap().unwrap();
            assert_eq!((answer.status().as_u16(), answer.version()), (200, version));
        }
    }
}

#[tokio::test]
async fn slow_clients_lose_their_connection() {
    let running = start(Connections::new().with_header_timeout(Duration::from_millis(200))).await;
    let silent = TcpStream::connect(running.address).await.unwrap();
    let mut half_a_preface = TcpStream::connect(running.address).await.unwrap();
    half_a_preface.write_all(b"PR").await.unwrap();
    let mut half_a_head = TcpStream::connect(running.address).await.unwrap();
    half_a_head.write_all(b"POST /v2/models/waiting/infer HTTP/1.1\r\nHost: a\r\nX-Slow: ").await.unwrap();
    let mut half_a_body = TcpStream::connect(running.address).await.unwrap();
    let head = format!(
        "POST /v2/models/waiting/infer HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{{",
        BODY.len()
    );
    half_a_body.write_all(head.as_bytes()).await.unwrap();

    assert_eq!(until_closed(silent).await, "");
    assert_eq!(until_closed(half_a_preface).await, "");
    let told = until_closed(half_a_head).await;
    assert!(told.is_empty() || told.contains("408"), "{told}");
    let told = until_closed(half_a_body).await;
    assert!(told.contains("408") && told.contains("did not come within 200ms"), "{told}");
}

#[tokio::test]
async fn a_connection_that_is_used_again_and_again_stays_and_one_that_is_not_ends() {
    let limit = Duration::from_millis(400);
    let running = start(Connections::new().with_header_timeout(limit)).await;
    let mut kept = TcpStream::connect(running.address).await.unwrap();
    let begin = Instant::now();
    while begin.elapsed() < 3 * limit {
        kept.write_all(b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut answer = [0; 1024];
        let length = kept.read(&mut answer).await.unwrap();
        assert!(answer[..length].starts_with(b"HTTP/1.1 200"));
        tokio::time::sleep(limit / 4).await;
    }
    // A request whose answer takes longer than a head may is no slow client.
    let (head, body) = (
        format!(
            "POST /v2/models/waiting/infer HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
            BODY.len()
        ),
        BODY,
    );
    kept.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    tokio::time::sleep(2 * limit).await;
    running.release.notify_one();
    let began = Instant::now();
    assert!(until_closed(kept).await.starts_with("HTTP/1.1 200"));
    assert!(began.elapsed() >= limit / 2, "it was kept for the next request");
}

#[tokio::test]
async fn an_answer_may_pause_for_longer_than_a_head_may_take() {
    let running = start(Connections::new().with_header_timeout(PAUSE / 3)).await;
    let answer = reqwest::get(format!("http://{}/pausing", running.second)).await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "first second");
}

#[tokio::test]
async fn clients_that_have_asked_nothing_do_not_hold_the_end_up() {
    let running = start(Connections::new()).await;
    let mut silent = TcpStream::connect(running.address).await.unwrap();
    let mut idle = TcpStream::connect(running.address).await.unwrap();
    idle.write_all(b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(idle.read(&mut [0; 1024]).await.unwrap() > 0);
    running.stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(10), running.server).await.unwrap().unwrap().unwrap();
    assert_eq!((silent.read(&mut [0]).await.unwrap(), idle.read(&mut [0]).await.unwrap()), (0, 0));
}

#[tokio::test]
async fn connections_beyond_the_most_wait_for_one_to_end() {
    let running = start(Connections::new().with_most(1)).await;
    let first = tokio::spawn(infer(running.address, reqwest::Client::new()));
    running.entered.notified().await;
    let mut second = tokio::spawn(infer(running.address, reqwest::Client::new()));
    tokio::time::timeout(Duration::from_millis(100), &mut second).await.unwrap_err();
    running.release.notify_one();
    drop(first.await.unwrap().unwrap()); // and its client, whose connection ends
    running.release.notify_one();
    assert_eq!(second.await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn what_is_in_flight_on_any_listener_is_answered_and_new_connections_are_not() {
    let running = start(Connections::new()).await;
    let in_flight =
        [running.address, running.second].map(|address| tokio::spawn(infer(address, reqwest::Client::new())));
    running.entered.notified().await;
    tokio::time::sleep(Duration::from_millis(50)).await; // until both are in
    let idle = TcpStream::connect(running.address).await.unwrap();
    running.stop.send(()).unwrap();
    while TcpStream::connect(running.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    for _ in 0..2 {
        running.release.notify_one();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for answer in in_flight {
        assert_eq!(answer.await.unwrap().unwrap().status(), 200);
    }
    drop(idle);
    tokio::time::timeout(Duration::from_secs(10), running.server).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_drain_that_takes_too_long_is_cut_off() {
    let running = start(Connections::new().with_drain_timeout(Duration::from_millis(200))).await;
    let stuck = tokio::spawn(infer(running.address, reqwest::Client::new()));
    running.entered.notified().await;
    running.stop.send(()).unwrap();
    let began = Instant::now();
    let ended = running.server.await.unwrap();
    assert!(matches!(ended, Err(Error::DeadlineExceeded { .. })), "{ended:?}");
    assert!(began.elapsed() < Duration::from_secs(5));
    assert!(stuck.await.unwrap().is_err(), "its connection broke");
}
