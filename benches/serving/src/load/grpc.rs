//! gRPC load: unary calls on bare HTTP/2 connections, so that the client takes little of the machine that it shares with
//! the server.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::try_join_all;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::Seen;
use crate::Failure;
use crate::wire::{Call, GRPC_PREFIX};

/// One HTTP/2 connection, with one call at a time.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    port: u16,
}

pub(super) async fn run(port: u16, call: &Call, connections: usize, time: Duration) -> Result<Seen, Failure> {
    let open = try_join_all((0..connections).map(|_| Connection::open(port))).await?;
    let began = Instant::now();
    let callers = open.into_iter().map(|connection| call_until(connection, call.clone(), began + time));
    let callers: Vec<_> = callers.map(tokio::spawn).collect();
    let mut latencies = Vec::new();
    for caller in callers {
        latencies.extend(caller.await??);
    }
    let time = began.elapsed();
    latencies.sort_unstable();
    let quantile = |level: f64| {
        let last = latencies.len().saturating_sub(1) as f64;
        latencies.get((last * level).round() as usize).copied().unwrap_or_default()
    };
    Ok(Seen { requests: latencies.len() as u64, time, p50: quantile(0.5), p99: quantile(0.99) })
}

async fn call_until(mut connection: Connection, call: Call, end: Instant) -> Result<Vec<Duration>, Failure> {
    let mut latencies = Vec::new();
    loop {
        let began = Instant::now();
        if began >= end {
            return Ok(latencies);
        }
        connection.call(&call).await?;
        latencies.push(began.elapsed());
    }
}

impl Connection {
    pub async fn open(port: u16) -> Result<Self, Failure> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, port })
    }

    /// The message of the answer.
    pub async fn call(&mut self, call: &Call) -> Result<Bytes, Failure> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://127.0.0.1:{}{}", self.port, call.path))
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::TE, "trailers")
            .body(Full::new(call.body.clone()))?;
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let (parts, body) = answer.into_parts();
        let body = body.collect().await?;
        let trailers = body.trailers().unwrap_or(&parts.headers);
        if parts.status != StatusCode::OK || trailers.get("grpc-status").is_none_or(|status| status != "0") {
            return Err(format!("the gRPC call failed: {} {trailers:?}", parts.status).into());
        }
        let mut message = body.to_bytes();
        if message.len() < GRPC_PREFIX {
            return Err("the gRPC answer has no message".into());
        }
        Ok(message.split_off(GRPC_PREFIX))
    }
}
