//! A plan to begin with, and what it is tried against.

use std::time::Duration;

use mlops_core::Result;

use super::{Behaviour, Course, LognormalLatency, Scenario};
use crate::{LatencyCheck, Plan, Step};

const MINUTE: Duration = Duration::from_secs(60);

impl Plan {
    /// A plan to begin with, for a service of some hundred requests a minute or more: 1, 5, 25, 50 and 100 %
    /// of the traffic. The failure rate must not rise, nor the p99 latency by more than a fifth. A step that
    /// finds no verdict within a day rolls back.
    ///
    /// What it does to good and bad candidates is told by [`simulate`](crate::simulate()).
    ///
    /// # Errors
    /// None; its numbers are checked as those of every plan.
    pub fn standard() -> Result<Self> {
        let step =
            |share, samples, minutes| Step::new(share).with_min_samples(samples).with_bake(minutes * MINUTE);
        let steps = [
            step(0.01, 500, 10),
            step(0.05, 1_000, 10),
            step(0.25, 2_000, 30),
            step(0.5, 5_000, 30),
            step(1.0, 5_000, 60),
        ];
        Self::new(steps)?.with_check(LatencyCheck::p99(1.2))?.with_max_step_duration(24 * 60 * MINUTE)
    }
}

impl Scenario {
    /// What a plan should stand: candidates that are no worse, a little and a lot worse, slower, leaking,
    /// broken most of the time, and traffic that is sparse or sleeps at night.
    ///
    /// 10,000 users ask 1,000 times a minute unless the name says otherwise; the stable variant fails 1 % of
    /// the requests and answers within 20 ms in the median and 80 ms at the p99.
    ///
    /// # Errors
    /// None; their numbers are checked as those of every scenario.
    pub fn standard() -> Result<Vec<Self>> {
        const BASE: f64 = 0.01;
        let usual = Behaviour::failing(BASE);
        let busy = Course::constant(1_000.0);
        let scenario = |name: &str, requests: Course, candidate: Behaviour| {
            let latency = LognormalLatency::new(Duration::from_millis(20), Duration::from_millis(80))?;
            let scenario = Self::new(name, requests)?.with_users(10_000).with_latency(latency);
            scenario.with_stable(usual)?.with_candidate(candidate)
        };
        let fails = |name: &str, rate: f64| scenario(name, busy, Behaviour::failing(rate));
        let slow = |name: &str, factor: f64| scenario(name, busy, usual.with_slowdown(factor));
        let leak =
            |name: &str, per_hour| scenario(name, busy, Behaviour::failing(Course::growing(BASE, per_hour)));
        let sparse = Course::constant(1.0);
        Ok(vec![
            scenario("null", busy, usual)?,
            scenario("null, day and night", Course::daily(1_000.0, 0.9), usual)?,
            scenario("null, 1 request a minute", sparse, usual)?,
            fails("failures x1.01", 1.01 * BASE)?,
            fails("failures x1.05", 1.05 * BASE)?,
            fails("failures x1.2", 1.2 * BASE)?,
            fails("failures x2, that is +1 point", 2.0 * BASE)?,
            fails("failures +5 points", BASE + 0.05)?,
            fails("failures +20 points", BASE + 0.2)?,
            scenario("failures +20 points, 1 request a minute", sparse, Behaviour::failing(BASE + 0.2))?,
            slow("latency x1.1", 1.1)?,
            slow("latency x1.5", 1.5)?,
            slow("latency x2", 2.0)?,
            scenario("3 % of the answers 10 times slower", busy, usual.with_stalls(0.03, 10.0))?,
            leak("slow leak, +0.1 points an hour", 0.001)?,
            leak("leak, +1 point an hour", 0.01)?,
            leak("fast leak, +10 points an hour", 0.1)?,
            Self::seven_of_ten("7 of 10 minutes 100 times worse", 0.001)?,
        ])
    }

    /// The shape of `spinnaker/spinnaker#6278`: 7 of 10 points of a candidate are a hundred times as bad as
    /// the stable variant's `rate` of failures, and yet Kayenta's Mann-Whitney judge let it pass.
    ///
    /// # Errors
    /// [`Error::InvalidInput`](mlops_core::Error::InvalidInput) when a hundred times the rate is more than 1.
    pub fn seven_of_ten(name: impl Into<String>, rate: f64) -> Result<Self> {
        let latency = LognormalLatency::new(Duration::from_millis(20), Duration::from_millis(80))?;
        let candidate = Course::bursts(rate, 100.0 * rate, 7 * MINUTE, 10 * MINUTE);
        Self::new(name, 1_000.0)?
            .with_users(10_000)
            .with_latency(latency)
            .with_stable(Behaviour::failing(rate))?
            .with_candidate(Behaviour::failing(candidate))
    }
}
