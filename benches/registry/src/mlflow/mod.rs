//! A real MLflow server, started for this run and ended with it.

mod client;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use std::os::unix::process::CommandExt;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::Failure;
pub use client::Client;

/// `mlflow server` on SQLite, which passes artifacts through to a folder: one worker, and none of the consumers of jobs
/// that a server starts by default, because the registry does not need them.
#[derive(Debug)]
pub struct Mlflow {
    process: Child,
    port: u16,
    pub version: String,
}

/// How long it may take until it answers.
const PATIENCE: Duration = Duration::from_secs(120);

impl Mlflow {
    /// Starts it with everything it keeps in `folder`.
    pub async fn start(python: &Path, folder: &Path) -> Result<Self, Failure> {
        let folder = std::path::absolute(folder)?;
        std::fs::create_dir_all(&folder)?;
        let log = folder.join("log.txt");
        let port = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let process = Command::new(std::path::absolute(python)?)
            .args(["-m", "mlflow", "server", "--serve-artifacts", "--workers", "1", "--host", "127.0.0.1"])
            .args(["--port", &port.to_string()])
            .arg("--backend-store-uri")
            .arg(format!("sqlite:///{}", folder.join("mlflow.db").display()))
            .arg("--artifacts-destination")
            .arg(folder.join("artifacts"))
            .env("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
            .env("MLFLOW_DISABLE_TELEMETRY", "true")
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?)
            .process_group(0)
            .spawn()?;
        let mut server = Self { process, port, version: String::new() };
        server.version = server.wait(&log).await?;
        Ok(server)
    }

    pub async fn connect(&self) -> Result<Client, Failure> {
        Client::connect(self.port).await
    }

    pub fn process(&self) -> u32 {
        self.process.id()
    }

    /// Waits until it says which version it is.
    async fn wait(&mut self, log: &PathBuf) -> Result<String, Failure> {
        let began = Instant::now();
        loop {
            let ended = self.process.try_wait()?;
            if let Ok(mut client) = self.connect().await
                && let Ok(version) = client.text("/version").await
            {
                return Ok(version);
            }
            if ended.is_some() || began.elapsed() > PATIENCE {
                let told = std::fs::read_to_string(log).unwrap_or_default();
                return Err(format!("the MLflow server does not answer: {told}").into());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

impl Drop for Mlflow {
    fn drop(&mut self) {
        // Its workers are in its group.
        if let Some(group) = Pid::from_raw(self.process.id() as i32) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.process.wait();
    }
}

/// Whether `python` has an MLflow.
pub fn is_there(python: &Path) -> bool {
    let version = "import importlib.metadata; importlib.metadata.version('mlflow')";
    let output = Command::new(python).args(["-c", version]).stderr(Stdio::null()).status();
    output.is_ok_and(|status| status.success())
}
