//! The model server of `mlops-serve` beside others, with the same models and the same load, in one run.
//!
//! ```text
//! scripts/reference/generate.py target/bench-models --bench   # in the environment of scripts/reference/requirements.txt
//! benches/serving/setup target/bench-peers                    # gets Triton, and builds its backend for ONNX Runtime
//! cargo run --release --manifest-path benches/serving/Cargo.toml -- \
//!     --models target/bench-models $(cat target/bench-peers/arguments)
//! ```
//!
//! Without the second step the rest is measured without Triton. HTTP is loaded by `wrk`, a package of most
//! distributions; gRPC by this program.
//!
//! # What is compared
//! * `echo`: axum, and tonic, answering with what they were sent: the least that a server costs.
//! * `handwritten`: one axum route around our ONNX engine, with plain structs. What `ours` costs more than that is the
//!   price of a protocol, limits, deadlines, statistics and traces.
//! * `ours`: [`mlops_serve::server::Server`], the engine on the threads of the runtime; `ours-batched` with batches of up
//!   to 64 rows.
//! * `furnace`: [furnace-server](https://crates.io/crates/furnace-server), a library, around the same engine; with its
//!   defaults, and `furnace-batched` with batches of the same size.
//! * `triton`: NVIDIA's Triton from the wheel `nvidia-pytriton`, with ONNX Runtime; `triton-batched` with dynamic
//!   batching.
//!
//! A hand-written route around a burn module is not here: its server is that of `handwritten`, and burn would make this
//! program build for ten minutes more. `benches/peers` compares the engines.
//!
//! # How it is measured
//! Each system is a process of its own. Its first answer on each wire is compared with the engine's. Then the systems
//! take turns, a window of load each, for some rounds; figures are medians of the rounds. Processor time is that of the
//! server's process alone, in user mode and in the kernel, divided by the requests that were answered. The load shares
//! the machine's cores, so throughput says how client and server do together; ratios within a run are what carries over.

mod in_process;
mod load;
mod probe;
mod process;
mod report;
mod run;
mod sample;
mod server;
mod system;
mod triton;
mod wire;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use report::{Report, Scenario};
use run::Plan;
use sample::Sample;
use server::{Kind, Serving};
use system::System;
use triton::Installation;
use wire::Wire;

pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The name that every system serves the model by.
pub const MODEL_NAME: &str = "model";

#[derive(Debug, Parser)]
struct Arguments {
    /// The folder with `mlp/model.onnx` and `heavy_mlp/model.onnx`.
    #[arg(long, required_unless_present = "serve")]
    models: Option<PathBuf>,
    #[command(flatten)]
    triton: Installation,
    /// Only systems whose name contains one of these texts.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only these parts.
    #[arg(long, value_delimiter = ',', default_value = "small,heavy,in-process")]
    parts: Vec<Part>,
    #[arg(long, value_delimiter = ',', default_value = "json,binary,grpc")]
    wires: Vec<Wire>,
    #[arg(long, value_delimiter = ',', default_value = "1,16,64")]
    connections: Vec<usize>,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of each window.
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// How often each system is started.
    #[arg(long, default_value_t = 5)]
    starts: usize,
    /// Where to write all figures.
    #[arg(long)]
    json: Option<PathBuf>,
    #[command(flatten)]
    serving: Serving,
}

/// A part of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// 32, 128, 64, 2: a model of microseconds, where the server is what costs.
    Small,
    /// 256, three times 1024, 10: a model of a tenth of a millisecond, where batches pay.
    Heavy,
    /// Layers and executors without a server.
    InProcess,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    if let Some((kind, model, ports)) = arguments.serving.wanted() {
        return kind.serve(model, ports).await;
    }
    let models = arguments.models.as_deref().ok_or("say where the models are with --models")?;
    let began = process::load_average()?;
    let mut report = Report::default();
    for (part, model) in [(Part::Small, "mlp"), (Part::Heavy, "heavy_mlp")] {
        if arguments.parts.contains(&part) {
            let sample = Sample::load(models, model)?;
            let systems = arguments.systems(part);
            let records = run::side_by_side(&systems, &sample, &arguments.plan()).await?;
            report.scenarios.push(Scenario { model: model.to_owned(), records });
        }
    }
    if arguments.parts.contains(&Part::InProcess) {
        let sample = Sample::load(models, "heavy_mlp")?;
        report.in_process = in_process::measure(&sample, arguments.plan().time).await?;
    }
    report.load_average = [began, process::load_average()?];
    print!("{report}");
    if let Some(file) = &arguments.json {
        std::fs::write(file, serde_json::to_vec_pretty(&report)?)?;
    }
    Ok(())
}

impl Arguments {
    fn plan(&self) -> Plan {
        Plan {
            wires: self.wires.clone(),
            connections: self.connections.clone(),
            rounds: self.rounds.max(1),
            time: Duration::from_secs(self.seconds.max(1)),
            starts: self.starts.max(1),
        }
    }

    /// Batches are for heavy models.
    fn systems(&self, part: Part) -> Vec<System> {
        let own = Kind::value_variants().iter().copied().map(System::Own);
        let triton = self.triton.variants();
        if triton.is_none() {
            eprintln!("Triton is left out: say where it is with --triton and --triton-backends");
        }
        if cfg!(not(feature = "furnace")) {
            eprintln!("furnace is left out: this program was built without the feature `furnace`");
        }
        own.chain(triton.into_iter().flatten().map(System::Triton))
            .filter(|system| part == Part::Heavy || !system.is_batched())
            .filter(|system| {
                let name = system.to_string();
                self.only.is_empty() || self.only.iter().any(|text| name.contains(text.as_str()))
            })
            .collect()
    }
}
