//! The servers of this program: each is started as a process of its own, by this program's hidden option `--serve`.

mod echo;
#[cfg(feature = "furnace")]
mod furnace;
mod handwritten;
mod ours;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use mlops_serve::engine::Device;
use mlops_serve::engine::onnx::OnnxEngine;
use mlops_serve::{Batching, EngineExt, ServeExt};
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::Failure;
use crate::wire::Wire;

/// A server of this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Answers with what it was sent: the least that any server costs.
    Echo,
    /// One axum route for one model, as one would write it by hand.
    Handwritten,
    /// `mlops_serve::server::Server`, with the engine on the threads of the runtime.
    Ours,
    /// The same, with batches of up to 64 rows, computed by one worker for each core.
    OursBatched,
    /// furnace-server, with its defaults.
    #[cfg(feature = "furnace")]
    Furnace,
    /// furnace-server, with batches of up to 64 requests.
    #[cfg(feature = "furnace")]
    FurnaceBatched,
}

/// What a server is started with.
#[derive(Debug, Clone, Args)]
pub struct Serving {
    /// Runs one of the servers, and measures nothing.
    #[arg(long, hide = true, requires_all = ["model", "http", "grpc"])]
    serve: Option<Kind>,
    #[arg(long, hide = true)]
    model: Option<PathBuf>,
    #[arg(long, hide = true)]
    http: Option<u16>,
    #[arg(long, hide = true)]
    grpc: Option<u16>,
}

impl Serving {
    /// Which server to be, if any.
    pub fn wanted(&self) -> Option<(Kind, &Path, Ports)> {
        let ports = Ports { http: self.http?, grpc: self.grpc? };
        Some((self.serve?, self.model.as_deref()?, ports))
    }
}

/// Where to listen.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    pub http: u16,
    pub grpc: u16,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Handwritten => "handwritten",
            Self::Ours => "ours",
            Self::OursBatched => "ours-batched",
            #[cfg(feature = "furnace")]
            Self::Furnace => "furnace",
            #[cfg(feature = "furnace")]
            Self::FurnaceBatched => "furnace-batched",
        }
    }

    /// Whether it makes one call of the engine for several requests.
    pub fn is_batched(self) -> bool {
        match self {
            Self::Echo | Self::Handwritten | Self::Ours => false,
            Self::OursBatched => true,
            #[cfg(feature = "furnace")]
            Self::Furnace => false,
            #[cfg(feature = "furnace")]
            Self::FurnaceBatched => true,
        }
    }

    pub fn speaks(self, wire: Wire) -> bool {
        self != Self::Handwritten || wire != Wire::Grpc
    }

    /// What starts it as a process of its own.
    pub fn command(self, model: &Path, ports: Ports) -> Result<Command, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--serve", self.name(), "--model"]).arg(model);
        command.args(["--http", &ports.http.to_string(), "--grpc", &ports.grpc.to_string()]);
        Ok(command)
    }

    /// Answers until the process is killed.
    pub async fn serve(self, model: &Path, ports: Ports) -> Result<(), Failure> {
        match self {
            Self::Echo => echo::serve(ports).await,
            Self::Handwritten => handwritten::serve(engine(model)?, ports).await,
            Self::Ours => ours::serve(engine(model)?.inline(), ports).await,
            Self::OursBatched => ours::serve(engine(model)?.inline().batched(batching()?)?, ports).await,
            #[cfg(feature = "furnace")]
            Self::Furnace => furnace::serve(engine(model)?, 1, ports).await,
            #[cfg(feature = "furnace")]
            Self::FurnaceBatched => furnace::serve(engine(model)?, LARGEST_BATCH, ports).await,
        }
    }
}

/// Rows, in every system that batches.
pub const LARGEST_BATCH: usize = 64;

/// How ours batches.
pub fn batching() -> Result<Batching, Failure> {
    let workers = std::thread::available_parallelism()?.get();
    Ok(Batching::rows(LARGEST_BATCH).with_workers(workers))
}

fn engine(model: &Path) -> Result<OnnxEngine, Failure> {
    Ok(OnnxEngine::load(std::fs::read(model)?, Device::Cpu)?)
}

async fn listen(port: u16) -> Result<TcpListener, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?)
}
