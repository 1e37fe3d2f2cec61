//! The systems that are compared, each a process of its own.

use std::fmt;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::process::Child;

use crate::sample::Sample;
use crate::server::{Kind, Ports};
use crate::triton::Triton;
use crate::wire::{Call, Dialect, Wire};
use crate::{Failure, probe, process};

/// A server of this program, or Triton.
#[derive(Debug, Clone)]
pub enum System {
    Own(Kind),
    Triton(Triton),
}

/// A system that answers.
#[derive(Debug)]
pub struct Running {
    pub system: System,
    /// From its start to its first answer.
    pub ready: Duration,
    process: u32,
    ports: Ports,
    child: Child,
    _folder: TempDir,
}

/// A start takes no longer, or has failed.
const START: Duration = Duration::from_secs(60);

impl System {
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Own(Kind::Echo) => Dialect::Echo,
            Self::Own(Kind::Handwritten) => Dialect::Handwritten,
            Self::Own(_) | Self::Triton(_) => Dialect::OpenInference,
        }
    }

    /// Whether it makes one call of the engine for several requests.
    pub fn is_batched(&self) -> bool {
        match self {
            Self::Own(kind) => kind.is_batched(),
            Self::Triton(triton) => triton.batched,
        }
    }

    /// Starts it, and waits until it has answered a request in JSON, and rightly.
    pub async fn start(&self, sample: &Sample) -> Result<Running, Failure> {
        let ports = Ports { http: free_port()?, grpc: free_port()? };
        let folder = tempfile::tempdir()?;
        let mut command = match self {
            Self::Own(kind) => kind.command(&sample.model, ports)?,
            Self::Triton(triton) => triton.command(sample, ports, folder.path())?,
        };
        let log = folder.path().join("log");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(std::fs::File::create(&log)?);
        let began = Instant::now();
        let mut child = command.kill_on_drop(true).spawn()?;
        let process = child.id().ok_or("the process has no id")?;
        let call = self.dialect().call(Wire::Json, sample).ok_or("no request in JSON")?;
        let answer = loop {
            match probe::call(Wire::Json, ports.http, &call).await {
                Ok(answer) => break answer,
                Err(cause) if child.try_wait()?.is_some() || began.elapsed() > START => {
                    let log = std::fs::read_to_string(&log)?;
                    return Err(format!("it does not start: {cause}\n{log}").into());
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        };
        let ready = began.elapsed();
        self.dialect().check(Wire::Json, &call, sample, &answer)?;
        Ok(Running { system: self.clone(), ready, process, ports, child, _folder: folder })
    }
}

impl Running {
    pub fn port(&self, wire: Wire) -> u16 {
        match wire {
            Wire::Json | Wire::Binary => self.ports.http,
            Wire::Grpc => self.ports.grpc,
        }
    }

    /// The request on that wire, after it was answered rightly once. None where the system does not speak so.
    pub async fn call(&self, wire: Wire, sample: &Sample) -> Result<Option<Call>, Failure> {
        let dialect = self.system.dialect();
        if matches!(&self.system, System::Own(kind) if !kind.speaks(wire)) {
            return Ok(None);
        }
        let Some(call) = dialect.call(wire, sample) else { return Ok(None) };
        let answer = probe::call(wire, self.port(wire), &call).await?;
        dialect.check(wire, &call, sample, &answer)?;
        Ok(Some(call))
    }

    pub fn cpu_time(&self) -> Result<Duration, Failure> {
        process::cpu_time(self.process)
    }

    pub fn memory(&self) -> Result<u64, Failure> {
        process::memory(self.process)
    }

    pub async fn stop(mut self) -> Result<(), Failure> {
        Ok(self.child.kill().await?)
    }
}

/// One that nobody listens on now.
fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Own(kind) => kind.name(),
            Self::Triton(Triton { batched: false, .. }) => "triton",
            Self::Triton(Triton { batched: true, .. }) => "triton-batched",
        })
    }
}
