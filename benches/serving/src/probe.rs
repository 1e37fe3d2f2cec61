//! Single requests: to find out when a server is ready, and whether its answers are right.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::Failure;
use crate::load::GrpcConnection;
use crate::wire::{Answer, Call, JSON_LENGTH, Wire};

/// Sends one request on a connection of its own.
pub async fn call(wire: Wire, port: u16, call: &Call) -> Result<Answer, Failure> {
    match wire {
        Wire::Json | Wire::Binary => http(port, call).await,
        Wire::Grpc => {
            let body = GrpcConnection::open(port).await?.call(call).await?;
            Ok(Answer { json_length: None, body })
        }
    }
}

async fn http(port: u16, call: &Call) -> Result<Answer, Failure> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = Request::builder().method(Method::POST).uri(&call.path).header("host", "127.0.0.1");
    for (name, value) in &call.headers {
        request = request.header(*name, value);
    }
    let answer = sender.send_request(request.body(Full::new(call.body.clone()))?).await?;
    let (parts, body) = answer.into_parts();
    let body: Bytes = body.collect().await?.to_bytes();
    if parts.status != StatusCode::OK {
        return Err(format!("{}: {}", parts.status, String::from_utf8_lossy(&body)).into());
    }
    let json_length =
        parts.headers.get(JSON_LENGTH).map(|length| length.to_str()?.parse().map_err(Failure::from));
    Ok(Answer { json_length: json_length.transpose()?, body })
}
