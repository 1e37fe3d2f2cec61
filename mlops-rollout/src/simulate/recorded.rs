//! Traffic that was recorded.

use std::collections::HashMap;
use std::time::Duration;

use jiff::fmt::serde::unsigned_duration::friendly::compact;
use mlops_core::{Error, Result, Router, RoutingContext, Variant};
use serde::{Deserialize, Serialize};

use super::Behaviour;
use super::behaviour::Moment;
use super::random::Random;
use super::traffic::{Reach, Seen, Source, Tick};
use crate::{Sticky, VariantEvidence};

/// One request of a recording, and what became of it.
///
/// ```
/// use std::time::Duration;
/// use mlops_rollout::{RecordedAnswer, RecordedRequest};
///
/// let answer = RecordedAnswer::good().with_latency(Duration::from_millis(12));
/// let request = RecordedRequest::new(Duration::from_secs(90), answer).with_key("user-17");
/// let json = r#"{"at": "1m 30s", "key": "user-17", "stable": {"latency": "12ms"}}"#;
/// assert_eq!(serde_json::from_str::<RecordedRequest>(json)?, request);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedRequest {
    #[serde(with = "compact::required")]
    at: Duration,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    stable: RecordedAnswer,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    candidate: Option<RecordedAnswer>,
}

/// What became of a recorded request at one variant.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedAnswer {
    #[serde(default)]
    failed: bool,
    #[serde(default, with = "compact::optional", skip_serializing_if = "Option::is_none")]
    latency: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bad_outcome: Option<bool>,
}

impl RecordedRequest {
    /// A request so long after the beginning of the recording, and what it got.
    #[must_use]
    pub fn new(at: Duration, stable: RecordedAnswer) -> Self {
        Self { at, key: None, stable, candidate: None }
    }

    /// Whose it is: the key of sticky assignment. Requests without one are drawn by weight.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// What it got from the candidate, when that has run as a shadow. Unless set, the candidate does what
    /// the stable variant did.
    #[must_use]
    pub fn with_candidate(mut self, answer: RecordedAnswer) -> Self {
        self.candidate = Some(answer);
        self
    }
}

impl RecordedAnswer {
    /// It was answered.
    #[must_use]
    pub fn good() -> Self {
        Self { failed: false, latency: None, bad_outcome: None }
    }

    /// It failed.
    #[must_use]
    pub fn failed() -> Self {
        Self { failed: true, ..Self::good() }
    }

    /// How long it took.
    #[must_use]
    pub fn with_latency(mut self, latency: Duration) -> Self {
        self.latency = Some(latency);
        self
    }

    /// Whether its outcome was bad, where that is known.
    #[must_use]
    pub fn with_bad_outcome(mut self, bad: bool) -> Self {
        self.bad_outcome = Some(bad);
        self
    }
}

/// A seed of no rollout.
const HASHES: u64 = 0x6861_7368_6573;

/// Requests in the order of their times, ready to be routed.
#[derive(Debug)]
pub(super) struct Recording {
    requests: Vec<Prepared>,
    users: usize,
}

#[derive(Debug)]
struct Prepared {
    at: Duration,
    context: RoutingContext,
    user: Option<usize>,
    /// Puts the user into a group; a request without a key is one of its own.
    hash: u64,
    stable: RecordedAnswer,
    candidate: RecordedAnswer,
}

impl Recording {
    pub(super) fn new(requests: Vec<RecordedRequest>) -> Result<Self> {
        if requests.is_empty() {
            return Err(Error::invalid_input("the recording holds no request"));
        }
        let late = requests.windows(2).position(|pair| matches!(pair, [a, b] if a.at > b.at));
        if let Some(index) = late {
            let next = index + 1;
            let fault =
                format!("the recorded request {next} came before the request {index}; sort them by time");
            return Err(Error::invalid_input(fault));
        }
        let mut users: HashMap<String, usize> = HashMap::new();
        let mut hashes = Random::new(HASHES, 0);
        let requests = requests.into_iter().map(|RecordedRequest { at, key, stable, candidate }| {
            let candidate = candidate.unwrap_or(stable);
            let Some(key) = key.filter(|key| !key.is_empty()) else {
                let hash = hashes.bits();
                return Prepared { at, context: RoutingContext::new(), user: None, hash, stable, candidate };
            };
            let context = RoutingContext::new().with_key(key.as_str());
            let next = users.len();
            let user = *users.entry(key).or_insert(next);
            let hash = Random::new(HASHES, 1 + user as u64).bits();
            Prepared { at, context, user: Some(user), hash, stable, candidate }
        });
        let requests = requests.collect();
        Ok(Self { requests, users: users.len() })
    }

    /// Whether any request has a key.
    pub(super) fn has_users(&self) -> bool {
        self.users > 0
    }
}

/// A recording while it is played: every request is routed, and draws its own chance.
#[derive(Debug)]
pub(super) struct Replay<'a> {
    recording: &'a Recording,
    next: usize,
    router: Sticky,
    name: &'a Variant,
    stable: Behaviour,
    candidate: Behaviour,
    random: Random,
    users: Vec<Met>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Met {
    at_all: bool,
    badly: bool,
}

impl<'a> Replay<'a> {
    pub(super) fn new(
        recording: &'a Recording,
        router: Sticky,
        name: &'a Variant,
        [stable, candidate]: [Behaviour; 2],
        random: Random,
    ) -> Self {
        let users = vec![Met::default(); recording.users];
        Self { recording, next: 0, router, name, stable, candidate, random, users }
    }

    /// What becomes of a request: what was recorded, and what the variant does in addition.
    fn answer(&mut self, recorded: RecordedAnswer, moment: &Moment) -> RecordedAnswer {
        let RecordedAnswer { failed, latency, bad_outcome } = recorded;
        let stalled = if self.random.chance(moment.stalls) { moment.stall_factor } else { 1.0 };
        let slower = |latency: Duration| super::seconds(latency.as_secs_f64() * moment.slowdown * stalled);
        RecordedAnswer {
            failed: failed || self.random.chance(moment.failures),
            latency: latency.map(slower),
            bad_outcome: match moment.bad_outcomes {
                Some(share) => Some(bad_outcome == Some(true) || self.random.chance(share)),
                None => bad_outcome,
            },
        }
    }

    fn meet(&mut self, user: usize, harmed: bool, reach: &mut Reach) {
        let Some(met) = self.users.get_mut(user) else { return };
        reach.users += u64::from(!std::mem::replace(&mut met.at_all, true));
        if harmed {
            reach.harmed_users += u64::from(!std::mem::replace(&mut met.badly, true));
        }
    }
}

impl RecordedAnswer {
    fn is_harm(&self) -> bool {
        self.failed || self.bad_outcome == Some(true)
    }
}

fn count(answer: RecordedAnswer, user: u64, seen: &mut VariantEvidence) {
    seen.groups.add(user, answer.failed);
    if answer.failed {
        seen.failures += 1;
        return;
    }
    seen.successes += 1;
    match answer.bad_outcome {
        Some(true) => seen.bad += 1,
        Some(false) => seen.good += 1,
        None => {}
    }
    if let Some(latency) = answer.latency {
        seen.latencies.add(latency, 1);
    }
}

impl Source for Replay<'_> {
    fn play(&mut self, tick: Tick, seen: Seen<'_>, reach: &mut Reach) -> Result<bool> {
        let [usual, tried] = [self.stable, self.candidate].map(|behaviour| behaviour.at(tick.middle()));
        let requests = &self.recording.requests;
        let begin = requests.first().map_or(Duration::ZERO, |first| first.at);
        while let Some(request) = requests.get(self.next) {
            if request.at - begin >= tick.to {
                return Ok(true);
            }
            self.next += 1;
            let on_candidate = self.router.route(&request.context).variant() == self.name;
            let (recorded, moment) =
                if on_candidate { (request.candidate, &tried) } else { (request.stable, &usual) };
            let answer = self.answer(recorded, moment);
            let seen_of = if on_candidate { &mut *seen.candidate } else { &mut *seen.stable };
            count(answer, request.hash, seen_of);
            if !on_candidate && tick.shadow > 0.0 && self.random.chance(tick.shadow) {
                let copy = self.answer(request.candidate, &tried);
                count(RecordedAnswer { bad_outcome: None, ..copy }, request.hash, seen.candidate);
            }
            if on_candidate {
                reach.requests += 1;
                reach.harmed_requests += u64::from(answer.is_harm());
                let usually = if request.stable.is_harm() { 1.0 } else { usual.harm() };
                reach.excess += f64::from(u8::from(answer.is_harm())) - usually;
                if let Some(user) = request.user {
                    self.meet(user, answer.is_harm(), reach);
                }
            }
        }
        Ok(false)
    }
}
