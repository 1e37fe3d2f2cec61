//! Bodies of requests, bounded in size and time before memory is given to them.

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::Failure;
use crate::server::Limits;

/// The whole body, if it is not too large and comes soon enough.
pub(super) async fn read(headers: &HeaderMap, body: Body, limits: &Limits) -> Result<Bytes, Failure> {
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if declared.is_some_and(|bytes: u64| bytes > limits.body as u64) {
        return Err(too_large(limits));
    }
    let reading = Limited::new(body, limits.body).collect();
    match tokio::time::timeout(limits.body_time, reading).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(cause)) if cause.is::<LengthLimitError>() => Err(too_large(limits)),
        Ok(Err(_)) => Err(Failure::new(StatusCode::BAD_REQUEST, "the body broke off".to_owned())),
        Err(_elapsed) => {
            let message = format!("the body did not come within {:?}", limits.body_time);
            Err(Failure::new(StatusCode::REQUEST_TIMEOUT, message))
        }
    }
}

fn too_large(limits: &Limits) -> Failure {
    let message = format!("the body is larger than the {} bytes this server takes", limits.body);
    Failure::new(StatusCode::PAYLOAD_TOO_LARGE, message)
}
