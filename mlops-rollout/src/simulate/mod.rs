//! Rollouts tried out before they happen.

mod behaviour;
mod course;
mod crowd;
mod latency;
mod options;
mod random;
mod recorded;
mod report;
mod run;
mod scenario;
mod standard;
mod synthetic;
#[cfg(test)]
mod tests;
mod trace;
mod traffic;

use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread;
use std::time::Duration;

use mlops_core::Result;

use run::{Ground, Run};

pub use behaviour::Behaviour;
pub use course::Course;
pub use latency::LognormalLatency;
pub use options::SimulationOptions;
pub use recorded::{RecordedAnswer, RecordedRequest};
pub use report::{Frequency, SimulationReport, Spread, Times};
pub use scenario::Scenario;
pub use trace::TracePoint;

use crate::Plan;

/// Plays many rollouts of a plan in a scenario: how often would a bad candidate have been promoted, whom
/// would it have harmed, how long does a good one take?
///
/// Decisions are made by [`Rollout::decide`](crate::Rollout::decide), as in production, look by look on a
/// manual clock; who is on the candidate is decided by [`Sticky`](crate::Sticky). Synthetic traffic is
/// drawn in whole counts per tick, which is distributed exactly as if every request had been drawn, so a
/// rollout costs by its looks and hardly by its traffic: 3,300 rollouts of 10,000 requests (49 looks) a second
/// and core, measured on a busy machine (`rollouts_a_second`). Recorded traffic is routed request by request.
///
/// ```
/// use mlops_rollout::{Behaviour, Plan, Scenario, SimulationOptions, Step, simulate};
///
/// let plan = Plan::new([0.05, 0.25, 1.0].map(|share| Step::new(share).with_min_samples(500)))?;
/// let options = SimulationOptions::new().with_rollouts(200);
/// let worse = Scenario::new("ten points worse", 1_000.0)? // requests a minute
///     .with_users(5_000)
///     .with_stable(Behaviour::failing(0.01))?
///     .with_candidate(Behaviour::failing(0.11))?;
///
/// let report = simulate(&plan, &worse, &options)?;
/// assert_eq!(report.promoted.count, 0);
/// assert!(report.users.unwrap().median < 500.0); // of 5,000, all of them among the first 5 %
/// # Ok::<(), mlops_core::Error>(())
/// ```
///
/// # What the standard plan does
///
/// [`Plan::standard`] against [`Scenario::standard`], 300 rollouts each (`MLOPS_ROLLOUTS=300 cargo test
/// --release -p mlops-rollout -- --ignored --nocapture table_of_the_standard_plan`). In brackets 95 % intervals
/// of Wilson; times are those of the promoted, or of the rolled back where none was; times, requests and users
/// of the candidate are medians until the end, excess harm is a mean.
///
/// | candidate | promoted | rolled back | of these for want of time | after | requests | users | harmed users | excess harm |
/// |---|---|---|---|---|---|---|---|---|
/// | null | 100.0 % [98.7, 100.0] | 0.0 % | 0.0 % | 3h 15m (p90 3h 18m) | 84459 | 9988 | 808 | +0.0 |
/// | null, day and night | 100.0 % [98.7, 100.0] | 0.0 % | 0.0 % | 6h 22m (p90 6h 28m) | 76963 | 9985 | 740 | +0.0 |
/// | null, 1 request a minute | 0.0 % [0.0, 1.3] | 100.0 % | 100.0 % | 24h (p90 24h) | 13 | 12 | 0 | +0.0 |
/// | failures x1.01 | 100.0 % [98.7, 100.0] | 0.0 % | 0.0 % | 3h 15m (p90 3h 18m) | 84476 | 9987 | 814 | +8.4 |
/// | failures x1.05 | 100.0 % [98.7, 100.0] | 0.0 % | 0.0 % | 3h 15m (p90 3h 18m) | 84476 | 9988 | 842 | +42.2 |
/// | failures x1.2 | 97.7 % [95.3, 98.9] | 2.3 % | 0.0 % | 3h 15m (p90 3h 18m) | 84454 | 9987 | 956 | +166.1 |
/// | failures x2, that is +1 point | 0.0 % [0.0, 1.3] | 100.0 % | 0.0 % | 1h 30m (p90 1h 40m) | 5154 | 2022 | 103 | +54.1 |
/// | failures +5 points | 0.0 % [0.0, 1.3] | 100.0 % | 0.0 % | 36m (p90 52m) | 350 | 93 | 19 | +18.1 |
/// | failures +20 points | 0.0 % [0.0, 1.3] | 100.0 % | 0.0 % | 7m (p90 11m) | 72 | 51 | 14 | +14.8 |
/// | failures +20 points, 1 request a minute | 0.0 % [0.0, 1.3] | 100.0 % | 100.0 % | 24h (p90 24h) | 13 | 13 | 2 | +2.8 |
/// | latency x1.1 | 100.0 % [98.7, 100.0] | 0.0 % | 0.0 % | 3h 16m (p90 3h 34m) | 84522 | 9988 | 808 | +0.0 |
/// | latency x1.5 | 0.0 % [0.0, 1.3] | 100.0 % | 0.0 % | 2h 55m 30s (p90 4h 27m 6s) | 1701 | 95 | 15 | +0.0 |
/// | latency x2 | 0.0 % [0.0, 1.3] | 100.0 % | 0.0 % | 29m (p90 44m) | 284 | 90 | 3 | +0.0 |
/// | 3 % of the answers 10 times slower | 0.0 % [0.0, 1.3] | 100.0 % | 0.0 % | 1h 55m (p90 2h 52m 6s) | 1090 | 95 | 10 | +0.0 |
/// | slow leak, +0.1 points an hour | 91.3 % [87.6, 94.0] | 8.7 % | 0.0 % | 3h 15m (p90 3h 18m) | 84459 | 9987 | 988 | +200.7 |
/// | leak, +1 point an hour | 0.0 % [0.0, 1.3] | 100.0 % | 0.0 % | 1h 25m (p90 1h 31m) | 4036 | 1740 | 84 | +46.5 |
/// | fast leak, +10 points an hour | 0.0 % [0.0, 1.3] | 100.0 % | 0.0 % | 48m (p90 57m) | 455 | 94 | 21 | +20.1 |
/// | 7 of 10 minutes 100 times worse | 0.0 % [0.0, 1.3] | 100.0 % | 0.0 % | 21m (p90 27m) | 201 | 83 | 14 | +14.7 |
///
/// So a candidate that is no worse is rolled back less often than alpha (5 %) allows; of those worse by a
/// point or more, or slower by half, none in 300 got through; those worse by 0.2 points or less mostly do: to
/// tell 1 % from 1.05 % takes more requests than a release has. A leak is seen once it has leaked, so bake for
/// as long as leaks take. Sparse traffic is rolled back, good or bad, because too little is known of it: give
/// such a plan fewer samples and more time.
///
/// **Users who fail again and again** are what synthetic traffic lacks. Where one user in 20 fails always and the
/// others never, 0.0 % [0.0, 1.3] of the candidates that were no worse were rolled back (another plan, the recording at
/// the end of the same test): recorded users are counted, as by [`Evidence::with_users`](crate::Evidence::with_users),
/// so that the checks know how alike the requests of one user are. Without that it was 17 % [13, 22]. Latencies and
/// outcomes are taken as independent still: play a recording of yours as candidate against itself before you trust an
/// alpha.
///
/// # Errors
/// [`Error::InvalidInput`](mlops_core::Error::InvalidInput) for 0 rollouts or a tick of zero.
pub fn simulate(plan: &Plan, scenario: &Scenario, options: &SimulationOptions) -> Result<SimulationReport> {
    options.checked()?;
    let ground = Ground::new(plan, scenario, options)?;
    let runs = play_all(&ground, options)?;
    let mut trace = Vec::new();
    ground.play(typical(&runs), Some(&mut trace))?;
    SimulationReport::new(scenario.name(), &runs, scenario.has_users(), trace)
}

/// All rollouts, in the order of their numbers.
fn play_all(ground: &Ground<'_>, options: &SimulationOptions) -> Result<Vec<Run>> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = if options.threads == 0 { cores } else { options.threads };
    let threads = threads.min(usize::try_from(options.rollouts).unwrap_or(usize::MAX));
    let every = |first: usize| (first as u64..options.rollouts).step_by(threads);
    let play = |first| every(first).map(|index| ground.play(index, None)).collect::<Result<Vec<_>>>();
    let mut runs = Vec::new();
    thread::scope(|scope| -> Result<()> {
        let workers: Vec<_> = (0..threads).map(|first| scope.spawn(move || play(first))).collect();
        for worker in workers {
            runs.append(&mut worker.join().unwrap_or_else(|panic| resume_unwind(panic))?);
        }
        Ok(())
    })?;
    runs.sort_unstable_by_key(|run| run.index);
    Ok(runs)
}

/// The number of the first rollout that ended as most did.
fn typical(runs: &[Run]) -> u64 {
    let like = |run: &&Run| runs.iter().filter(|other| other.outcome == run.outcome).count();
    let mut kinds: Vec<&Run> = Vec::new();
    for run in runs {
        if kinds.iter().all(|kind| kind.outcome != run.outcome) {
            kinds.push(run);
        }
    }
    kinds.into_iter().max_by_key(like).map_or(0, |run| run.index)
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}
