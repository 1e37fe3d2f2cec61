//! [schemathesis](https://schemathesis.readthedocs.io) finds nothing in the server that its OpenAPI document does not say.
//!
//! It is a Python program. The test takes it from the virtual environment that `MLOPS_CLIENTS_VENV` names, or from
//! `target/clients-venv`; where there is none, it says so and passes, unless `MLOPS_REQUIRE_ALL` is set.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use mlops_core::{ModelId, ModelName};
use mlops_serve::http::VertexRoutes;
use mlops_serve::server::Server;

use crate::support::service::{Running, scorer};
use crate::support::skip;

/// Cases per operation.
const CASES: &str = "100";

/// So that a failure can be repeated.
const SEED: &str = "20240229";

fn schemathesis() -> Option<PathBuf> {
    let venv = env::var_os("MLOPS_CLIENTS_VENV")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/clients-venv"), PathBuf::from);
    let program = venv.join("bin/schemathesis");
    if program.exists() {
        return Some(program);
    }
    skip(&format!("{} is not there; scripts/ci-setup makes it", program.display()));
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemathesis_finds_nothing() {
    let Some(program) = schemathesis() else { return };
    let name = ModelName::new("scorer").unwrap();
    let server = Server::builder()
        .with_model(name.clone(), scorer())
        .with_version(ModelId::new(name, "1.0.0".parse().unwrap()), scorer())
        .with_vertex(VertexRoutes::new("/vertex:predict", "/vertex").unwrap())
        .with_metrics(|| "up 1\n".to_owned());
    let server = Running::start(server.build()).await;

    let folder = tempfile::tempdir().unwrap();
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/schemathesis.toml");
    let mut command = Command::new(program);
    command.current_dir(folder.path()).arg("--config-file").arg(config).arg("run");
    command.arg(format!("{}/openapi.json", server.url));
    command.args(["--max-examples", CASES, "--seed", SEED, "--workers", "2", "--no-color"]);
    command.args(["--phases", "coverage,fuzzing", "--generation-database", "none", "--continue-on-failure"]);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}
