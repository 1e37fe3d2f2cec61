//! The registry beside a real MLflow server, coreutils, and the least that the disk demands, in one run.
//!
//! ```text
//! scripts/ci-setup     # makes target/registries-venv, which has MLflow
//! cargo run --release --manifest-path benches/registry/Cargo.toml
//! ```
//!
//! Both keep what they have on the same disk: ours in a folder, with fsync, and MLflow in SQLite and a folder behind
//! `mlflow server --serve-artifacts` with one worker, which this program starts, asks by REST on connections that it
//! keeps, and ends. So no Python is on the client's side, and what MLflow's own client costs is not told.
//!
//! The systems take turns, and in each round somebody else begins; the first round is to warm up and does not count.
//! Figures are medians of the rounds. The client shares the machine's cores with the server; ratios within a run are what
//! carries over. `--quick` does less of everything, and without MLflow.

mod counting;
mod floor;
mod history;
mod mlflow;
mod parts;
mod process;
mod report;
mod sample;

use std::path::{Path, PathBuf};

use clap::{Parser, ValueEnum};
use mlops_core::ModelName;
use mlops_registry::ObjectStoreRegistry;

use mlflow::Mlflow;
use parts::{Scale, Systems};
use report::Report;

pub type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, Parser)]
struct Arguments {
    /// The Python of an environment that has MLflow.
    #[arg(long, default_value = "target/registries-venv/bin/python")]
    mlflow_python: PathBuf,
    /// A folder on the disk that is to be measured. What is written there is removed at the end.
    #[arg(long, default_value = "target")]
    folder: PathBuf,
    /// Only these parts. Creating takes place in any case: the others need what it makes.
    #[arg(long, value_delimiter = ',', default_value = "create,list,resolve,artifacts,memory,open")]
    parts: Vec<Part>,
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Less of everything, and without MLflow: to see that it runs.
    #[arg(long)]
    quick: bool,
    /// Where to write all figures.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Opens a registry in this process, says what that takes, and does nothing else.
    #[arg(long, hide = true)]
    open: Option<PathBuf>,
}

/// A part of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Versions with tiny artifacts.
    Create,
    List,
    /// An alias.
    Resolve,
    /// 1 and 100 MiB, in and out.
    Artifacts,
    Memory,
    /// A long history.
    Open,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    if let Some(folder) = &arguments.open {
        return parts::open::print(folder).await;
    }
    std::fs::create_dir_all(&arguments.folder)?;
    let folder = tempfile::Builder::new().prefix("registry-bench-").tempdir_in(&arguments.folder)?;
    // Whichever ends first: what was started is ended, and what was written is removed.
    let report = tokio::select! {
        report = run(&arguments, folder.path()) => report?,
        _ = tokio::signal::ctrl_c() => return Err("interrupted".into()),
    };
    print!("{report}");
    if let Some(file) = &arguments.json {
        std::fs::write(file, serde_json::to_vec_pretty(&report)?)?;
    }
    Ok(())
}

async fn run(arguments: &Arguments, folder: &Path) -> Result<Report, Failure> {
    let mut report = Report::default();
    report.load_average[0] = process::load_average()?;
    let scale = arguments.scale();
    let mlflow = match arguments.without_mlflow() {
        Some(why) => {
            report.skipped.push(why);
            None
        }
        None => Some(Mlflow::start(&arguments.mlflow_python, &folder.join("mlflow")).await?),
    };
    report.mlflow = mlflow.as_ref().map(|mlflow| mlflow.version.clone());
    let ours = ObjectStoreRegistry::local(folder.join("ours")).await?;
    let model = ModelName::new("fraud")?;
    let systems = Systems { ours, mlflow: mlflow.as_ref(), model, folder, scale };
    eprintln!("measuring: {:?}", Part::Create);
    report.sections.push(parts::create::measure(&systems).await?);
    let wanted = |part: Part| {
        let wanted = arguments.parts.contains(&part);
        if wanted {
            eprintln!("measuring: {part:?}");
        }
        wanted
    };
    if wanted(Part::List) {
        report.sections.push(parts::list::measure(&systems).await?);
    }
    if wanted(Part::Resolve) {
        report.sections.push(parts::resolve::measure(&systems).await?);
    }
    if wanted(Part::Artifacts) {
        report.sections.push(parts::artifacts::measure(&systems).await?);
    }
    if wanted(Part::Memory) {
        report.sections.push(parts::memory::measure(&systems)?);
    }
    drop(mlflow);
    if wanted(Part::Open) {
        report.sections.push(parts::open::measure(scale, folder).await?);
    }
    report.load_average[1] = process::load_average()?;
    Ok(report)
}

impl Arguments {
    fn scale(&self) -> Scale {
        let rounds = self.rounds.max(1);
        if self.quick {
            return Scale { versions: 100, megabytes: 10, transitions: 5_000, rounds: rounds.min(2) };
        }
        Scale { versions: 1_000, megabytes: 100, transitions: 100_000, rounds }
    }

    /// Why there is no MLflow in this run, if so.
    fn without_mlflow(&self) -> Option<String> {
        if self.quick {
            return Some("MLflow: --quick does without it".to_owned());
        }
        (!mlflow::is_there(&self.mlflow_python)).then(|| {
            let python = self.mlflow_python.display();
            format!("MLflow: {python} has none; scripts/ci-setup makes one, or say where it is with --mlflow-python")
        })
    }
}
