//! The users: a real HTTP client that sends live images and tells what came back.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use mlops_core::{Router, RoutingContext, Variant};
use mlops_rollout::Evidence;
use serde::Deserialize;
use serde_json::json;

use crate::data::{Digits, Random};
use crate::model;

const USERS: usize = 400;
const CONNECTIONS: usize = 16;

/// A crowd of users, each with a key of their own.
pub struct Users {
    client: reqwest::Client,
    url: String,
    random: Random,
    router: Arc<dyn Router>,
    evidence: Arc<Evidence>,
    stable: Variant,
    /// Where each user was last, for the promise that nobody is sent back and forth.
    last: HashMap<usize, Variant>,
}

/// What became of a burst of requests.
#[derive(Default)]
pub struct Burst {
    pub requests: u64,
    pub variants: BTreeMap<Variant, Answers>,
    pub versions: BTreeMap<String, Answers>,
    /// Failed responses, of users that the router assigned to the stable variant.
    pub failed_on_stable: u64,
    /// Failed responses, of users that it assigned to the candidate.
    pub failed_on_candidate: u64,
    /// Users that were on the candidate before and on the stable variant now.
    pub sent_back: u64,
}

/// Answers of one variant, or of one version.
#[derive(Default)]
pub struct Answers {
    pub count: u64,
    pub right: u64,
}

#[derive(Deserialize)]
struct InferResponse {
    model_version: String,
    parameters: HashMap<String, String>,
    outputs: mlops_core::Tensors,
}

impl Users {
    pub fn new(url: String, router: Arc<dyn Router>, evidence: Arc<Evidence>, stable: Variant) -> Self {
        let random = Random(42);
        Self { client: reqwest::Client::new(), url, random, router, evidence, stable, last: HashMap::new() }
    }

    /// A new rollout may send everybody anywhere.
    pub fn forget_assignments(&mut self) {
        self.last.clear();
    }

    /// So many requests, each of a random user with a random image.
    pub async fn send(&mut self, digits: &Digits, requests: usize) -> Result<Burst, Box<dyn Error>> {
        let images = (0..requests).map(|_| self.random.below(digits.len())).collect();
        self.send_images(digits, images).await
    }

    /// Every image once, each by a random user: a window of independent observations.
    pub async fn send_each_once(&mut self, digits: &Digits) -> Result<Burst, Box<dyn Error>> {
        self.send_images(digits, (0..digits.len()).collect()).await
    }

    async fn send_images(&mut self, digits: &Digits, images: Vec<usize>) -> Result<Burst, Box<dyn Error>> {
        let calls: Vec<_> = images.into_iter().map(|image| (self.random.below(USERS), image)).collect();
        let outcomes: Vec<_> =
            stream::iter(calls.into_iter().map(|(user, image)| self.call(user, digits, image)))
                .buffer_unordered(CONNECTIONS)
                .collect()
                .await;
        let mut burst = Burst { requests: outcomes.len() as u64, ..Burst::default() };
        for outcome in outcomes {
            self.count(&mut burst, outcome?);
        }
        Ok(burst)
    }

    async fn call(&self, user: usize, digits: &Digits, image: usize) -> Result<Outcome, Box<dyn Error>> {
        let key = format!("user-{user:03}");
        let assigned = self.router.route(&RoutingContext::new().with_key(key.as_str())).variant().clone();
        let body = json!({
            "parameters": {"routing_key": key},
            "inputs": model::inputs(digits.image(image)),
            "outputs": [{"name": "digit"}],
        });
        let response = self.client.post(&self.url).json(&body).send().await?;
        if !response.status().is_success() {
            return Ok(Outcome { user, assigned, answer: None });
        }
        let InferResponse { model_version, parameters, outputs } = response.json().await?;
        let variant = Variant::new(parameters.get("variant").map_or("", String::as_str))?;
        let right = outputs.require("digit")?.as_slice::<i64>()? == [digits.labels[image]];
        self.evidence.record_outcome(&variant, right); // the user says whether the digit was right
        Ok(Outcome { user, assigned, answer: Some((variant, model_version, right)) })
    }

    fn count(&mut self, burst: &mut Burst, outcome: Outcome) {
        let Some((variant, version, right)) = outcome.answer else {
            let failed = if outcome.assigned == self.stable {
                &mut burst.failed_on_stable
            } else {
                &mut burst.failed_on_candidate
            };
            *failed += 1;
            return;
        };
        let before = self.last.insert(outcome.user, variant.clone());
        burst.sent_back +=
            u64::from(variant == self.stable && before.is_some_and(|before| before != variant));
        let answer = Answers { count: 1, right: u64::from(right) };
        burst.variants.entry(variant).or_default().add(&answer);
        burst.versions.entry(version).or_default().add(&answer);
    }
}

struct Outcome {
    user: usize,
    assigned: Variant,
    answer: Option<(Variant, String, bool)>,
}

impl Burst {
    pub fn failed(&self) -> u64 {
        self.failed_on_stable + self.failed_on_candidate
    }

    /// The share of requests that the variant answered or should have answered.
    pub fn candidate_share(&self, candidate: &Variant) -> f64 {
        let answered = self.variants.get(candidate).map_or(0, |answers| answers.count);
        (answered + self.failed_on_candidate) as f64 / self.requests.max(1) as f64
    }

    /// The share of answers that were right, over all variants.
    pub fn accuracy(&self) -> f64 {
        let mut all = Answers::default();
        self.variants.values().for_each(|answers| all.add(answers));
        all.accuracy()
    }

    pub fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.failed_on_stable += other.failed_on_stable;
        self.failed_on_candidate += other.failed_on_candidate;
        self.sent_back += other.sent_back;
        for (variant, answers) in &other.variants {
            self.variants.entry(variant.clone()).or_default().add(answers);
        }
        for (version, answers) in &other.versions {
            self.versions.entry(version.clone()).or_default().add(answers);
        }
    }
}

impl Answers {
    pub fn accuracy(&self) -> f64 {
        self.right as f64 / self.count as f64
    }

    fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.right += other.right;
    }
}
