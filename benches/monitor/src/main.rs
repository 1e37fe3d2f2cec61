//! The statistics and the monitor beside numpy, scipy, scouter, evidently, nannyml and river, in one run.
//!
//! ```text
//! benches/monitor/setup     # makes target/monitor-venv, which has them
//! cargo run --release --manifest-path benches/monitor/Cargo.toml
//! ```
//!
//! All are given the same columns, from files that this program writes. Each system is a process of its own with one
//! thread, which has read the data and imported what it needs before it is asked; only the computation is measured.
//! The systems take turns; the first round is to warm up and does not count. Figures are medians of the rounds;
//! processor time is compared, so another program's share of the machine matters little. `--quick` does less of
//! everything.

mod data;
mod parts;
mod peer;
mod process;
mod report;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use peer::Peer;
use report::Report;

pub type Failure = Box<dyn std::error::Error + Send + Sync>;

const SYSTEMS: [&str; 6] = ["numpy", "scipy", "scouter", "evidently", "nannyml", "river"];

#[derive(Debug, Parser)]
struct Arguments {
    /// The Python of an environment that has the systems.
    #[arg(long, default_value = "target/monitor-venv/bin/python")]
    python: PathBuf,
    /// Where the data are written, and left.
    #[arg(long, default_value = "target/monitor-bench")]
    folder: PathBuf,
    #[arg(long, value_delimiter = ',', default_value = "drift,window,stream,live,truth,null")]
    parts: Vec<Part>,
    /// Only these systems.
    #[arg(long, value_delimiter = ',')]
    systems: Vec<String>,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// A tenth of the rows and columns: to see that it runs.
    #[arg(long)]
    quick: bool,
    /// Where to write all figures.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// A part of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// PSI and KS of two tables.
    Drift,
    /// PSI of a window against a stored profile.
    Window,
    /// Change detectors.
    Stream,
    /// Counting live values.
    Live,
    /// Whether the answers are right.
    Truth,
    /// False alarms of PSI where nothing drifts.
    Null,
}

/// How much to do.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    pub rounds: usize,
    /// 1 or 10: by what to divide rows and columns.
    pub less: usize,
}

/// What takes part.
#[derive(Debug)]
pub struct Bench {
    pub peers: Vec<Peer>,
    pub folder: PathBuf,
    pub scale: Scale,
}

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    std::fs::create_dir_all(&arguments.folder)?;
    let mut report = Report { load_average: [process::load_average()?, 0.0], ..Report::default() };
    let mut peers = Vec::new();
    for name in SYSTEMS {
        if !arguments.systems.is_empty() && !arguments.systems.iter().any(|wanted| wanted == name) {
            continue;
        }
        match Peer::start(&arguments.python, &arguments.folder, name) {
            Ok(peer) => {
                report.systems.push(format!("{name} {}", peer.version));
                peers.push(peer);
            }
            Err(failure) => report.skipped.push(failure.to_string()),
        }
    }
    let less = if arguments.quick { 10 } else { 1 };
    let scale = Scale { rounds: arguments.rounds.max(1), less };
    let mut bench = Bench { peers, folder: arguments.folder, scale };
    for part in arguments.parts {
        eprintln!("measuring: {part:?}");
        let [comparisons, tables] = [report.comparisons.len(), report.tables.len()];
        match part {
            Part::Drift => parts::drift::compare(&mut bench, &mut report)?,
            Part::Window => parts::window::compare(&mut bench, &mut report)?,
            Part::Stream => parts::stream::compare(&mut bench, &mut report)?,
            Part::Live => parts::live::measure(&bench, &mut report)?,
            Part::Truth => parts::truth::compare(&mut bench, &mut report)?,
            Part::Null => parts::null::compare(&mut bench, &mut report)?,
        }
        report.load_average[1] = process::load_average()?;
        // At once: who loses patience with a later part keeps what there is.
        report.comparisons.iter().skip(comparisons).for_each(|comparison| eprint!("{comparison}"));
        report.tables.iter().skip(tables).for_each(|table| eprint!("{table}"));
        if let Some(file) = &arguments.json {
            std::fs::write(file, serde_json::to_vec_pretty(&report)?)?;
        }
    }
    print!("{report}");
    Ok(())
}

impl Bench {
    /// Has every system that knows one of the tasks read the data.
    pub fn load(&mut self, data: &data::DataSet, tasks: &[&str]) -> Result<(), Failure> {
        data.write(&self.folder)?;
        let peers = self.peers.iter_mut();
        let mut peers = peers.filter(|peer| tasks.iter().any(|task| peer.knows(task)));
        peers.try_for_each(|peer| peer.load(data))
    }
}
