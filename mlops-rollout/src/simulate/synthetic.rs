//! Traffic that is made up.

use mlops_core::Result;

use super::behaviour::Moment;
use super::crowd::Crowd;
use super::latency::Cells;
use super::random::Random;
use super::traffic::{Reach, Seen, Source, Tick};
use super::{Behaviour, Course};
use crate::VariantEvidence;

/// Counts per tick, distributed exactly as if every request had been drawn: Poisson arrivals, of which a
/// binomial number goes to the candidate, of which a binomial number fails, and so on.
#[derive(Debug)]
pub(super) struct Synthetic<'a> {
    pub(super) requests_per_minute: Course,
    pub(super) stable: Behaviour,
    pub(super) candidate: Behaviour,
    pub(super) crowd: &'a Crowd,
    pub(super) cells: Option<&'a Cells>,
    pub(super) random: Random,
}

impl Source for Synthetic<'_> {
    fn play(&mut self, tick: Tick, seen: Seen<'_>, reach: &mut Reach) -> Result<bool> {
        let moment = tick.middle();
        let minutes = (tick.to - tick.from).as_secs_f64() / 60.0;
        let requests = self.random.poisson(self.requests_per_minute.at(moment) * minutes);
        let tried = self.random.binomial(requests, self.crowd.part(tick.share));
        let (stable, candidate) = (self.stable.at(moment), self.candidate.at(moment));
        self.answer(requests - tried, stable, seen.stable);
        let harmed = self.answer(tried, candidate, seen.candidate);
        let copies = self.random.binomial(requests - tried, tick.shadow);
        self.answer(copies, candidate.without_outcomes(), seen.candidate);
        reach.requests += tried;
        reach.harmed_requests += harmed;
        reach.excess += tried as f64 * (candidate.harm() - stable.harm());
        self.crowd.meet(tick.share, tried, harmed, &mut self.random, reach);
        Ok(true)
    }
}

impl Synthetic<'_> {
    /// Answers so many requests, and says how many ended badly.
    fn answer(&mut self, requests: u64, moment: Moment, seen: &mut VariantEvidence) -> u64 {
        let failures = self.random.binomial(requests, moment.failures);
        let answers = requests - failures;
        seen.failures += failures;
        seen.successes += answers;
        let bad = moment.bad_outcomes.map_or(0, |share| self.random.binomial(answers, share));
        if moment.bad_outcomes.is_some() {
            seen.bad += bad;
            seen.good += answers - bad;
        }
        if let Some(cells) = self.cells {
            let stalled = self.random.binomial(answers, moment.stalls);
            let mut record = |count, factor: f64| {
                cells.draw(count, &mut self.random, |seconds, count| {
                    seen.latencies.add(super::seconds(seconds * factor), count);
                });
            };
            record(answers - stalled, moment.slowdown);
            record(stalled, moment.slowdown * moment.stall_factor);
        }
        failures + bad
    }
}
