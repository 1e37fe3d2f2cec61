//! What the command line asks for.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use jiff::SignedDuration;
use mlops_rollout::{Behaviour, Plan, RecordedRequest, Scenario, SimulationOptions};

pub type Failure = Box<dyn std::error::Error>;

#[derive(Debug, Parser)]
#[command(about = "Tries out a rollout before it happens")]
pub struct Arguments {
    /// The plan, a TOML file: the standard one unless given.
    #[arg(long)]
    plan: Option<PathBuf>,
    /// A scenario: a TOML file, or the beginning of the name of a standard one. May come several times; all standard
    /// ones unless given.
    #[arg(long)]
    scenario: Vec<String>,
    /// A recording to play: a JSON Lines file. May come several times.
    #[arg(long)]
    recorded: Vec<PathBuf>,
    /// Of recorded requests the candidate fails this share beside those that the stable variant failed.
    #[arg(long, default_value_t = 0.0)]
    failing: f64,
    /// The candidate takes so many times as long as was recorded.
    #[arg(long, default_value_t = 1.0)]
    slowdown: f64,
    /// How many rollouts of each scenario are played.
    #[arg(long, default_value_t = 1_000)]
    pub rollouts: u64,
    /// The same seed gives the same figures.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How often the controller looks.
    #[arg(long, default_value = "1m", value_parser = duration)]
    tick: Duration,
    /// After how long a rollout counts as undecided.
    #[arg(long, default_value = "7d", value_parser = duration)]
    horizon: Duration,
    /// Somebody resumes a paused rollout after so long.
    #[arg(long, value_parser = duration)]
    resume_after: Option<Duration>,
    /// How many threads compute: as many as there are cores unless given.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Writes a page with a plot of one rollout of each scenario.
    #[arg(long)]
    pub html: Option<PathBuf>,
    /// Writes the reports as JSON.
    #[arg(long)]
    pub json: Option<PathBuf>,
}

impl Arguments {
    pub fn plan(&self) -> Result<Plan, Failure> {
        match &self.plan {
            Some(path) => from_toml(path),
            None => Ok(Plan::standard()?),
        }
    }

    pub fn scenarios(&self) -> Result<Vec<Scenario>, Failure> {
        let standard = Scenario::standard()?;
        if self.scenario.is_empty() && self.recorded.is_empty() {
            return Ok(standard);
        }
        let mut all = Vec::new();
        for asked in &self.scenario {
            if asked.ends_with(".toml") {
                all.push(from_toml(Path::new(asked))?);
                continue;
            }
            let exact = standard.iter().find(|scenario| scenario.name() == asked);
            match exact.or_else(|| standard.iter().find(|scenario| scenario.name().starts_with(asked))) {
                Some(scenario) => all.push(scenario.clone()),
                None => {
                    let known: Vec<_> =
                        standard.iter().map(|scenario| format!("`{}`", scenario.name())).collect();
                    return Err(
                        format!("no scenario begins with `{asked}`; there are {}", known.join(", ")).into()
                    );
                }
            }
        }
        for path in &self.recorded {
            let behaviour = Behaviour::failing(self.failing).with_slowdown(self.slowdown);
            all.push(
                Scenario::recorded(path.display().to_string(), recording(path)?)?
                    .with_candidate(behaviour)?,
            );
        }
        Ok(all)
    }

    pub fn options(&self) -> SimulationOptions {
        let options = SimulationOptions::new()
            .with_rollouts(self.rollouts)
            .with_seed(self.seed)
            .with_threads(self.threads)
            .with_tick(self.tick)
            .with_horizon(self.horizon);
        match self.resume_after {
            Some(pause) => options.with_resume_after(pause),
            None => options,
        }
    }
}

fn from_toml<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    let text = std::fs::read_to_string(path).map_err(|cause| format!("{}: {cause}", path.display()))?;
    toml::from_str(&text).map_err(|cause| format!("{}: {cause}", path.display()).into())
}

fn recording(path: &Path) -> Result<Vec<RecordedRequest>, Failure> {
    let file = File::open(path).map_err(|cause| format!("{}: {cause}", path.display()))?;
    let lines = BufReader::new(file).lines().enumerate();
    let requests = lines.map(|(index, line)| {
        let request = serde_json::from_str(&line?);
        request.map_err(|cause| format!("{}, line {}: {cause}", path.display(), index + 1).into())
    });
    requests.collect()
}

/// `90s`, `10m`, `1h 30m`, `7d`.
fn duration(text: &str) -> Result<Duration, String> {
    if let Some(days) = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok()) {
        return Ok(days * Duration::from_secs(86_400));
    }
    let signed: SignedDuration = text.parse().map_err(|cause| format!("{cause}; write `90s` or `1h 30m`"))?;
    Duration::try_from(signed).map_err(|_| format!("`{text}` is negative"))
}
