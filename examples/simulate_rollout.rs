//! Tries out a rollout before it happens: how often would a bad candidate have been promoted, whom would it have
//! harmed, how long does a good one take?
//!
//! ```sh
//! cargo run --release --example simulate_rollout                                   # the standard plan, every scenario
//! cargo run --release --example simulate_rollout -- --plan plan.toml --scenario worse.toml --html out.html
//! cargo run --release --example simulate_rollout -- --recorded yesterday.jsonl --failing 0.02
//! ```
//!
//! A plan:
//!
//! ```toml
//! max_step_duration = "24h"
//! steps = [{ share = 0.05, min_samples = 1000, bake = "10m" }, { share = 1.0, bake = "1h" }]
//! analysis.checks = [{ kind = "rate", of = "failures" }, { kind = "latency", quantile = 0.99, max_ratio = 1.2 }]
//! ```
//!
//! A scenario; all but its name and rate may be left out:
//!
//! ```toml
//! name = "five points worse at night"
//! requests_per_minute = { kind = "daily", mean = 1000, swing = 0.9 }
//! users = 10000
//! latency = { median = "20ms", p99 = "80ms" }
//! stable = { failures = 0.01 }
//! candidate = { failures = 0.06, slowdown = 1.1, stalls = { share = 0.02, factor = 10 } }
//! ```
//!
//! A recording holds one request per line, in the order of their times: `{"at": "90s", "key": "user-17", "stable":
//! {"failed": false, "latency": "12ms"}}`, and `"candidate": {...}` if that has answered a copy.

mod simulate_rollout {
    pub mod arguments;
    pub mod page;
    pub mod panel;
    pub mod table;
}

use std::time::Instant;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use mlops_rollout::{SimulationReport, simulate};
use simulate_rollout::arguments::{Arguments, Failure};
use simulate_rollout::{page, table};

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let (plan, scenarios, options) = (arguments.plan()?, arguments.scenarios()?, arguments.options());

    let style = ProgressStyle::with_template("{bar:32} {pos} of {len}  {msg}")?;
    let bar = ProgressBar::new(scenarios.len() as u64).with_style(style);
    let began = Instant::now();
    let mut reports: Vec<SimulationReport> = Vec::new();
    for scenario in &scenarios {
        bar.set_message(scenario.name().to_owned());
        reports.push(simulate(&plan, scenario, &options)?);
        bar.inc(1);
    }
    bar.finish_and_clear();

    println!("{}", table::of(&reports));
    let (rollouts, seconds) = (arguments.rollouts * reports.len() as u64, began.elapsed().as_secs_f64());
    println!("{rollouts} rollouts in {seconds:.1} s, {:.0} a second", rollouts as f64 / seconds);
    if let Some(path) = &arguments.json {
        std::fs::write(path, serde_json::to_vec_pretty(&reports)?)?;
    }
    if let Some(path) = &arguments.html {
        std::fs::write(path, page::of(&plan, &reports)?)?;
        println!("The plots are in {}", path.display());
    }
    Ok(())
}
