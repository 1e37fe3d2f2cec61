//! What a simulation found.

use std::fmt;
use std::time::Duration;

use jiff::fmt::friendly::{Designator, SpanPrinter};
use jiff::fmt::serde::unsigned_duration::friendly::compact;
use mlops_core::stats::{
    BinomialSample, ProportionIntervalMethod, StatsError, proportion_interval, quantiles,
};
use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::TracePoint;
use super::run::{Outcome, Run};

/// How the rollouts of a [`simulate`](super::simulate) went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SimulationReport {
    /// The name of the scenario.
    pub scenario: String,
    /// How often the candidate got all the traffic.
    pub promoted: Frequency,
    /// How often it was rolled back.
    pub rolled_back: Frequency,
    /// How often it was rolled back, not because a check failed but because a step ran out of time.
    pub timed_out: Frequency,
    /// How often neither had happened at the end of the simulated time or of the recording.
    pub undecided: Frequency,
    /// How long it took until the candidate was promoted, where it was.
    pub time_to_promotion: Option<Times>,
    /// How long it took until it was rolled back, where it was.
    pub time_to_rollback: Option<Times>,
    /// Requests that the candidate got before the end.
    pub requests: Spread,
    /// Those of them that failed or had a bad outcome.
    pub harmed_requests: Spread,
    /// How many more these are than the stable variant would have made of the same requests, on average.
    pub excess_harm: Spread,
    /// Distinct users the candidate answered; `None` when requests have no keys.
    pub users: Option<Spread>,
    /// Users among them of whom a request failed or had a bad outcome.
    pub harmed_users: Option<Spread>,
    /// One of the rollouts that ended as most did, look by look.
    pub trace: Vec<TracePoint>,
}

/// How often something happened, with the 95 % interval of Wilson.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Frequency {
    /// In so many rollouts.
    pub count: u64,
    /// Among so many.
    pub of: u64,
    /// The lower end of the interval, 0 to 1.
    pub lower: f64,
    /// The upper end of the interval, 0 to 1.
    pub upper: f64,
}

/// A number over many rollouts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The number that half of the rollouts did not exceed.
    pub median: f64,
    /// The number that nine in ten did not exceed.
    pub p90: f64,
}

/// A time over many rollouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Times {
    /// The time that half of the rollouts did not exceed.
    #[serde(with = "compact::required")]
    pub median: Duration,
    /// The time that nine in ten did not exceed.
    #[serde(with = "compact::required")]
    pub p90: Duration,
}

impl SimulationReport {
    pub(super) fn new(scenario: &str, runs: &[Run], has_users: bool, trace: Vec<TracePoint>) -> Result<Self> {
        let ended = |outcomes: &[Outcome]| {
            let runs = runs.iter().filter(|run| outcomes.contains(&run.outcome));
            runs.map(|run| run.elapsed).collect::<Vec<_>>()
        };
        let promoted = ended(&[Outcome::Promoted]);
        let rolled_back = ended(&[Outcome::Failed, Outcome::TimedOut]);
        let frequency = |count: usize| Frequency::new(count as u64, runs.len() as u64);
        let spread = |number: fn(&Run) -> f64| Spread::of(runs.iter().map(number).collect());
        let if_users = |number| if has_users { spread(number).map(Some) } else { Ok(None) };
        let found = || -> Result<Self, StatsError> {
            Ok(Self {
                scenario: scenario.to_owned(),
                promoted: frequency(promoted.len())?,
                rolled_back: frequency(rolled_back.len())?,
                timed_out: frequency(ended(&[Outcome::TimedOut]).len())?,
                undecided: frequency(ended(&[Outcome::Undecided]).len())?,
                time_to_promotion: Times::of(&promoted)?,
                time_to_rollback: Times::of(&rolled_back)?,
                requests: spread(|run| run.reach.requests as f64)?,
                harmed_requests: spread(|run| run.reach.harmed_requests as f64)?,
                excess_harm: spread(|run| run.reach.excess)?,
                users: if_users(|run| run.reach.users as f64)?,
                harmed_users: if_users(|run| run.reach.harmed_users as f64)?,
                trace,
            })
        };
        found().map_err(|error| Error::invalid_input(error.to_string()))
    }

    /// How many rollouts were played.
    #[must_use]
    pub fn rollouts(&self) -> u64 {
        self.promoted.of
    }
}

impl Frequency {
    fn new(count: u64, of: u64) -> Result<Self, StatsError> {
        let sample = BinomialSample::new(count, of)?;
        let interval = proportion_interval(sample, 0.95, ProportionIntervalMethod::Wilson)?;
        Ok(Self { count, of, lower: interval.lower, upper: interval.upper })
    }

    /// The share of the rollouts, 0 to 1.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.count as f64 / self.of as f64
    }
}

/// `98.9 % [98.0, 99.4]`.
impl fmt::Display for Frequency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| 100.0 * share;
        let [share, lower, upper] = [self.share(), self.lower, self.upper].map(percent);
        write!(f, "{share:.1} % [{lower:.1}, {upper:.1}]")
    }
}

impl Spread {
    fn of(numbers: Vec<f64>) -> Result<Self, StatsError> {
        let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
        let [median, p90] = median_and_p90(&numbers)?;
        Ok(Self { mean, median, p90 })
    }
}

impl Times {
    fn of(times: &[Duration]) -> Result<Option<Self>, StatsError> {
        if times.is_empty() {
            return Ok(None);
        }
        let seconds: Vec<f64> = times.iter().map(Duration::as_secs_f64).collect();
        let [median, p90] = median_and_p90(&seconds)?.map(super::seconds);
        Ok(Some(Self { median, p90 }))
    }
}

/// `3h 10m (p90 3h 25m)`.
impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (p90 {})", in_words(self.median), in_words(self.p90))
    }
}

/// What was found, in some lines.
impl fmt::Display for SimulationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after = |times: Option<Times>| times.map_or(String::new(), |times| format!(", after {times}"));
        writeln!(f, "{}: {} rollouts", self.scenario, self.rollouts())?;
        writeln!(f, "  promoted     {}{}", self.promoted, after(self.time_to_promotion))?;
        writeln!(f, "  rolled back  {}{}", self.rolled_back, after(self.time_to_rollback))?;
        writeln!(f, "    for want of time  {}", self.timed_out)?;
        writeln!(f, "  undecided    {}", self.undecided)?;
        let Self { requests, harmed_requests, excess_harm, .. } = self;
        write!(f, "  the candidate got {:.0} requests (p90 {:.0})", requests.median, requests.p90)?;
        let (harmed, more) = (harmed_requests.median, excess_harm.mean);
        write!(f, "; {harmed:.0} ended badly, on average {more:.1} more than at the stable variant")?;
        match (&self.users, &self.harmed_users) {
            (Some(users), Some(harmed)) => {
                write!(f, "; it met {:.0} users, {:.0} of them badly", users.median, harmed.median)
            }
            _ => Ok(()),
        }
    }
}

fn median_and_p90(numbers: &[f64]) -> Result<[f64; 2], StatsError> {
    match quantiles(numbers, &[0.5, 0.9])?.as_slice() {
        [median, p90] => Ok([*median, *p90]),
        _ => Err(StatsError::EmptySample { what: "numbers" }),
    }
}

/// To the second: `3h 10m`.
fn in_words(duration: Duration) -> String {
    let whole = Duration::from_secs(duration.as_secs_f64().round() as u64);
    SpanPrinter::new().designator(Designator::Compact).unsigned_duration_to_string(&whole)
}
