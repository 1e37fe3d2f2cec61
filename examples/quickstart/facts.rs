//! What `--json` writes: numbers computed by the run, and the claims they must bear out.

use std::collections::BTreeMap;

use serde::Serialize;

#[derive(Serialize, Default)]
pub struct Facts {
    pub registry: String,
    /// Offline accuracy on the hold-out images, by version.
    pub holdout_accuracy: BTreeMap<String, f64>,
    pub gates: Vec<Gating>,
    pub shadow: Shadow,
    pub rollouts: Vec<Rollout>,
    pub drift: Drift,
    /// Where the alias `champion` points at the end.
    pub champion: String,
    pub responses: u64,
    pub failed_responses: u64,
    pub seconds: f64,
}

#[derive(Serialize)]
pub struct Gating {
    pub version: String,
    pub passed: bool,
    pub reasons: Vec<String>,
}

#[derive(Serialize, Default)]
pub struct Shadow {
    pub compared: u64,
    pub agreed: u64,
    pub failed_responses: u64,
}

#[derive(Serialize, Default)]
pub struct Rollout {
    pub stable: String,
    pub candidate: String,
    pub steps: Vec<Step>,
    pub outcome: String,
    /// Why it was rolled back, if it was.
    pub reason: Option<String>,
    pub failed_responses_stable: u64,
    pub failed_responses_candidate: u64,
    pub users_sent_back: u64,
    /// Live accuracy by version, as the users told.
    pub live_accuracy: BTreeMap<String, f64>,
}

#[derive(Serialize)]
pub struct Step {
    pub planned_share: f64,
    pub observed_share: f64,
    pub requests: u64,
}

#[derive(Serialize, Default)]
pub struct Drift {
    pub window: u64,
    /// Features named when nothing had changed.
    pub before: Vec<String>,
    /// Features that were changed.
    pub shifted: Vec<String>,
    /// Features named after the change.
    pub named: Vec<String>,
    pub scores: BTreeMap<String, BTreeMap<String, f64>>,
    pub accuracy_before: f64,
    pub accuracy_after: f64,
}

impl Facts {
    /// The claims of the story that the numbers do not bear out.
    pub fn broken_claims(&self) -> Vec<String> {
        let accuracy = |version: &str| self.holdout_accuracy.get(version).copied().unwrap_or(f64::NAN);
        let rollout = |candidate: &str| self.rollouts.iter().find(|rollout| rollout.candidate == candidate);
        let gate =
            |version: &str| self.gates.iter().find(|gate| gate.version == version).map(|gate| gate.passed);
        let unfound = self.drift.shifted.iter().filter(|feature| !self.drift.named.contains(feature)).count();
        let strangers =
            self.drift.named.iter().filter(|feature| !self.drift.shifted.contains(feature)).count();
        let (v2, v3) = (rollout("2.0.0"), rollout("3.0.0"));
        [
            (accuracy("2.0.0") > accuracy("1.0.0"), "2.0.0 is better than 1.0.0"),
            (gate("2.0.0-rc.1") == Some(false), "the gates stop 2.0.0-rc.1"),
            (gate("2.0.0") == Some(true), "the gates let 2.0.0 pass"),
            (gate("3.0.0") == Some(true), "the gates let 3.0.0 pass"),
            (self.shadow.compared > 0 && self.shadow.failed_responses == 0, "shadowing disturbs nobody"),
            (v2.is_some_and(|rollout| rollout.outcome == "promoted"), "2.0.0 is promoted"),
            (v2.is_some_and(|rollout| rollout.steps.len() == 4), "2.0.0 climbs four steps"),
            (v2.is_some_and(|rollout| rollout.users_sent_back == 0), "no user of 2.0.0 is sent back"),
            (
                v2.is_some_and(|rollout| {
                    rollout.failed_responses_stable + rollout.failed_responses_candidate == 0
                }),
                "the release of 2.0.0 fails no response",
            ),
            (v3.is_some_and(|rollout| rollout.outcome == "rolled_back"), "3.0.0 is rolled back"),
            (v3.is_some_and(|rollout| rollout.failed_responses_candidate > 0), "3.0.0 does fail"),
            (
                v3.is_some_and(|rollout| rollout.failed_responses_stable == 0),
                "no user of 2.0.0 sees a failure",
            ),
            (
                v3.is_some_and(|rollout| rollout.failed_responses_candidate == self.failed_responses),
                "every failed response is one of 3.0.0",
            ),
            (self.champion == "2.0.0", "2.0.0 is the champion at the end"),
            (self.drift.before.is_empty(), "no feature is named without drift"),
            (unfound == 0 && strangers == 0, "exactly the shifted features are named"),
            (self.drift.accuracy_after < self.drift.accuracy_before, "drift costs accuracy"),
        ]
        .into_iter()
        .filter(|(holds, _)| !holds)
        .map(|(_, claim)| claim.to_owned())
        .collect()
    }
}
