//! The servers that other tests need start here, answer, and end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use common::servers::{MlflowServer, OciServer, S3Server, program};

fn answers(url: &str) -> bool {
    TcpStream::connect(url.strip_prefix("http://").unwrap()).is_ok()
}

/// What a server has started may outlive it by a moment.
fn falls_silent(url: &str) -> bool {
    let deadline = Instant::now() + Duration::from_secs(30);
    while answers(url) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    !answers(url)
}

#[test]
fn s3() {
    let Some(server) = S3Server::start() else { return };
    let endpoint = server.endpoint();
    assert!(answers(&endpoint));
    drop(server);
    assert!(falls_silent(&endpoint));
}

#[test]
fn mlflow() {
    let Some(server) = MlflowServer::start() else { return };
    let script = "import mlflow; client = mlflow.MlflowClient(); client.create_registered_model('fraud'); \
        print([model.name for model in client.search_registered_models()])";
    let output = Command::new(server.python())
        .args(["-c", script])
        .env("MLFLOW_TRACKING_URI", server.url())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "['fraud']", "{error}");
    let url = server.url();
    drop(server);
    assert!(falls_silent(&url));
}

#[test]
fn oci() {
    let (Some(server), Some(skopeo)) = (OciServer::start(), program("skopeo")) else { return };
    let missing = format!("docker://{}/models/fraud", server.host());
    let output = Command::new(skopeo).args(["list-tags", "--tls-verify=false", &missing]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("404"), "{error}");
    let url = server.url();
    drop(server);
    assert!(falls_silent(&url));
}
