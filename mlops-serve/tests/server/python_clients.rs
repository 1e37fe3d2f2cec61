//! The clients that users of other servers have already: they talk to this one unchanged.
//!
//! `scripts/ci-setup` installs them; `MLOPS_CLIENTS_VENV` names another environment that has them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::path::{Path, PathBuf};
use std::process::Command;

use mlops_core::ModelName;
use mlops_serve::server::Server;
use tokio::net::TcpListener;

use crate::support::{models, skip};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The Python that has the clients.
fn python() -> Option<PathBuf> {
    let environment = std::env::var_os("MLOPS_CLIENTS_VENV")
        .map_or_else(|| Path::new(ROOT).join("target/clients-venv"), PathBuf::from);
    let python = environment.join("bin/python");
    if python.exists() {
        return Some(python);
    }
    skip(&format!("{} is not there; scripts/ci-setup makes it", python.display()));
    None
}

/// Runs one of `scripts/clients` against a server of its own, with both fronts on one port.
async fn run(script: &str) {
    let Some(python) = python() else { return };
    let server = Server::builder()
        .with_model(ModelName::new("simple").unwrap(), models::Adder::new().unwrap())
        .with_model(ModelName::new("echo").unwrap(), models::Echo::new().unwrap())
        .build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let fronts = server.router().merge(server.grpc_router());
    tokio::spawn(async move { axum::serve(listener, fronts).await });

    let mut client = Command::new(python);
    client
        .arg(Path::new(ROOT).join("scripts/clients").join(script))
        .arg(address.to_string())
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/grpc/generated/descriptors.bin"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let output = tokio::task::spawn_blocking(move || client.output()).await.unwrap().unwrap();
    assert!(
        output.status.success(),
        "{script}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tritons_grpc_client_works_unchanged() {
    run("grpc_client.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tritons_http_client_works_unchanged() {
    run("http_client.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kserves_clients_work_unchanged() {
    run("kserve_client.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mlservers_codecs_and_stubs_work_unchanged() {
    run("mlserver_client.py").await;
}
