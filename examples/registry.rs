//! A model registry on the command line: in a folder, in a bucket, or on an MLflow server.
//!
//! ```sh
//! alias registry='cargo run --release --example registry -- --registry file:///tmp/models'
//! registry register fraud --version 1.0.0 --artifact model=model.onnx --metric auc=0.97 --alias champion
//! registry list
//! registry show fraud @champion
//! registry promote fraud 2.0.0 --alias champion --because "canary passed"
//! registry rollback fraud --alias champion
//! registry history fraud --alias champion
//! registry search --metric 'auc>=0.95' --tag team=risk
//! registry verify
//! registry gc --dry-run
//! registry export fraud 2.0.0 fraud.tar
//! ```
//!
//! `--registry` takes a folder, `file:///…`, `s3://bucket/prefix` (credentials as the tools of AWS take them), or
//! `mlflow+http://host:port`. It can stand in the environment, too: `MLOPS_REGISTRY`. With `--json` it speaks to
//! programs. It ends with status 1 when something is wrong, and with 2 when it was called wrongly.

mod registry {
    pub mod arguments;
    pub mod commands;
    pub mod progress;
    pub mod show;
}
#[path = "shared/registries.rs"]
mod registries;

use std::process::ExitCode;

use clap::Parser;
use registry::arguments::{Arguments, Command};
use registry::progress::Bars;

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::WARN).init();
    let arguments = Arguments::parse();
    let bars = Bars::new(arguments.json);
    let done = async {
        // One that is harmed cannot be opened, but must be verified.
        if matches!(arguments.command, Command::Verify) {
            return registry::commands::verify(&arguments, bars.listener()).await;
        }
        let opened = registries::open(&arguments.registry, bars.listener()).await?;
        registry::commands::run(opened, arguments).await
    };
    match done.await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            let causes = std::iter::successors(error.source(), |error| (*error).source());
            causes.for_each(|cause| eprintln!("  because: {cause}"));
            ExitCode::FAILURE
        }
    }
}
