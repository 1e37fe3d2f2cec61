//! Bodies of requests, bounded in size and time before memory is given to them.

use axum::BoxError;
use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Buf, Bytes};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::Failure;
use crate::server::Limits;
use crate::server::patience::{Elapsed, Patience};

/// The whole body, if it is not too large and comes soon enough.
pub(super) async fn read(headers: &HeaderMap, body: Body, limits: &Limits) -> Result<Bytes, Failure> {
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if declared.is_some_and(|bytes: u64| bytes > limits.body as u64) {
        return Err(too_large(limits));
    }
    let reading = whole(Limited::new(body, limits.body));
    match Patience::new(reading, || tokio::time::sleep(limits.body_time)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(cause)) if cause.is::<LengthLimitError>() => Err(too_large(limits)),
        Ok(Err(_)) => Err(Failure::new(StatusCode::BAD_REQUEST, "the body broke off".to_owned())),
        Err(Elapsed) => {
            let message = format!("the body did not come within {:?}", limits.body_time);
            Err(Failure::new(StatusCode::REQUEST_TIMEOUT, message))
        }
    }
}

/// All of a body. Most come in one piece, which is not put together from pieces.
async fn whole(mut body: Limited<Body>) -> Result<Bytes, BoxError> {
    let Some(first) = body.frame().await.transpose()? else { return Ok(Bytes::new()) };
    let first = first.into_data().unwrap_or_default();
    if body.is_end_stream() {
        return Ok(first);
    }
    let mut pieces = first.chain(body.collect().await?.aggregate());
    Ok(pieces.copy_to_bytes(pieces.remaining()))
}

fn too_large(limits: &Limits) -> Failure {
    let message = format!("the body is larger than the {} bytes this server takes", limits.body);
    Failure::new(StatusCode::PAYLOAD_TOO_LARGE, message)
}
