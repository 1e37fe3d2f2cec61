//! HTTP/1.1 load by [wrk](https://github.com/wg/wrk).

use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::process::Command;

use super::Seen;
use crate::Failure;
use crate::wire::Call;

/// What the script prints.
#[derive(Deserialize)]
struct Printed {
    requests: u64,
    microseconds: u64,
    p50: u64,
    p99: u64,
    failed: u64,
}

pub(super) async fn run(port: u16, call: &Call, connections: usize, time: Duration) -> Result<Seen, Failure> {
    let folder = tempfile::tempdir()?;
    let (script, body) = (folder.path().join("request.lua"), folder.path().join("body"));
    std::fs::write(&script, include_str!("request.lua"))?;
    std::fs::write(&body, &call.body)?;
    // wrk takes whole seconds.
    let seconds = time.as_secs().max(1);
    let output = Command::new("wrk")
        .args(["--threads", "1", "--timeout", "10s"])
        .args(["--connections", &connections.to_string(), "--duration", &format!("{seconds}s")])
        .arg("--script")
        .arg(&script)
        .arg(format!("http://127.0.0.1:{port}{}", call.path))
        .arg("--")
        .arg(&body)
        .args(call.headers.iter().map(|(name, value)| format!("{name}={value}")))
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|cause| format!("wrk cannot be run ({cause}); it is a package of most distributions"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let printed = text.lines().last().and_then(|line| serde_json::from_str::<Printed>(line).ok());
    let Some(printed) = printed.filter(|_| output.status.success()) else {
        return Err(format!("wrk failed: {text}{}", String::from_utf8_lossy(&output.stderr)).into());
    };
    if printed.failed > 0 {
        return Err(format!("{} of {} requests failed", printed.failed, printed.requests).into());
    }
    Ok(Seen {
        requests: printed.requests,
        time: Duration::from_micros(printed.microseconds),
        p50: Duration::from_micros(printed.p50),
        p99: Duration::from_micros(printed.p99),
    })
}
