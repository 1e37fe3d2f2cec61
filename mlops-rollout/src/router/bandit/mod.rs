//! Traffic that goes where it earns most.

mod posterior;

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mlops_core::{Decision, Error, Reason, Result, Router, RoutingContext, Variant};
use serde::{Deserialize, Serialize};

use super::draws::Draws;
use super::split::TrafficSplit;
use posterior::{Earned, greediest, probabilities_to_be_best};

/// A multi-armed bandit: learns from rewards which variant earns most, and sends it the more traffic the
/// surer it is.
///
/// Requests are drawn by shares, one by one, without a lock. The shares are computed anew after every
/// [`with_rewards_per_update`](Self::with_rewards_per_update) rewards, or when [`update`](Self::update)
/// is called on a tick. In an [`Arc`](std::sync::Arc) it is the router of [`Routed`](crate::Routed) and
/// takes the rewards too.
///
/// It minimises what is lost while it learns. It does not tell how much better an arm is, and no p-value
/// can be read from unequal, moving shares: for that, run an experiment with fixed ones.
///
/// ```
/// use mlops_core::{Router, RoutingContext, Variant};
/// use mlops_rollout::{Bandit, BanditPolicy};
///
/// let (old, new) = (Variant::new("old")?, Variant::new("new")?);
/// let bandit = Bandit::new([old.clone(), new.clone()], BanditPolicy::Thompson)?.with_floor(0.05)?.with_seed(1);
/// for user in 0..2_000 {
///     let decision = bandit.route(&RoutingContext::new());
///     let is_clicked = user % if decision.variant() == &new { 4 } else { 10 } == 0;
///     bandit.reward(decision.variant(), f64::from(u8::from(is_clicked)))?;
/// }
/// let shares = bandit.shares();
/// assert!(shares[1].1 > 0.9 && shares[0].1 > 0.049, "{shares:?}");
/// # Ok::<(), mlops_core::Error>(())
/// ```
pub struct Bandit {
    policy: BanditPolicy,
    floor: f64,
    /// What is left of an earlier reward with each later one.
    kept: f64,
    rewards_per_update: u64,
    /// The first arm is the default.
    split: TrafficSplit,
    draws: Draws,
    learned: Mutex<Learned>,
}

struct Learned {
    arms: Vec<(Variant, Earned)>,
    since_update: u64,
}

/// How a [`Bandit`] makes shares of what it knows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BanditPolicy {
    /// Each arm gets the probability that it is the best: Thompson sampling. The mean reward of an arm
    /// has the posterior Beta(1 + won, 1 + lost), where a reward `r` wins `r` and loses `1 - r`.
    ///
    /// Source: Thompson, "On the likelihood that one unknown probability exceeds another", Biometrika 25,
    /// 1933; for rewards between 0 and 1, Agrawal & Goyal, "Analysis of Thompson sampling for the
    /// multi-armed bandit problem", COLT 2012, algorithm 2, with the mean of its coin toss in the place
    /// of the toss.
    Thompson,
    /// The arm with the greatest mean gets all but this share, which is divided evenly between all arms.
    ///
    /// Source: Sutton & Barto, *Reinforcement Learning*, 2nd edition, 2018, section 2.2.
    EpsilonGreedy(f64),
}

/// One arm of a [`Bandit`], as of one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct BanditArm {
    /// The variant.
    pub variant: Variant,
    /// Its share of the traffic, 0 to 1.
    pub share: f64,
    /// How many rewards its mean rests on; fewer than it got where they decay.
    pub rewards: f64,
    /// The mean of the posterior of its reward, 0 to 1; a half where nothing is known.
    pub mean: f64,
}

const REWARDS_PER_UPDATE: u64 = 100;

impl Bandit {
    /// Knows nothing of these arms yet, so they share the traffic evenly.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] unless there are two arms or more, all different, and the share of
    /// [`EpsilonGreedy`](BanditPolicy::EpsilonGreedy) is a number from 0 to 1.
    pub fn new(arms: impl IntoIterator<Item = Variant>, policy: BanditPolicy) -> Result<Self> {
        if let BanditPolicy::EpsilonGreedy(epsilon) = policy {
            super::shares::checked_share(epsilon)?;
        }
        let arms: Vec<_> = arms.into_iter().map(|variant| (variant, Earned::default())).collect();
        let twice = arms
            .iter()
            .enumerate()
            .find(|(place, (arm, _))| arms.iter().take(*place).any(|(earlier, _)| earlier == arm));
        if let Some((_, (arm, _))) = twice {
            return Err(Error::invalid_input(format!("the arm `{arm}` of a bandit comes twice")));
        }
        let mut variants = arms.iter().map(|(variant, _)| variant.clone());
        let (Some(first), true) = (variants.next(), arms.len() > 1) else {
            return Err(Error::invalid_input("a bandit chooses between two arms or more"));
        };
        let bandit = Self {
            policy,
            floor: 0.0,
            kept: 1.0,
            rewards_per_update: REWARDS_PER_UPDATE,
            split: TrafficSplit::new(first, variants),
            draws: Draws::Entropy,
            learned: Mutex::new(Learned { arms, since_update: 0 }),
        };
        bandit.update()?;
        Ok(bandit)
    }

    /// No arm gets less than this share: what is bad today may be good tomorrow, and is only seen if it
    /// is tried.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when it is negative or no number, or the arms together would need more than all.
    pub fn with_floor(mut self, floor: f64) -> Result<Self> {
        let count = self.learned().arms.len();
        if !(floor >= 0.0 && floor * count as f64 <= 1.0) {
            return Err(Error::invalid_input(format!(
                "{floor} is no floor of {count} arms; expected a share from 0 to 1 / {count}"
            )));
        }
        self.floor = floor;
        self.update()?;
        Ok(self)
    }

    /// Forgets: a reward counts half after so many later ones, for arms that get better and worse with
    /// time.
    ///
    /// Source: Raj & Kalyani, "Taming non-stationary bandits: a Bayesian approach", 2017 (discounted
    /// Thompson sampling).
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a half-life of no reward.
    pub fn with_half_life(mut self, rewards: u64) -> Result<Self> {
        if rewards == 0 {
            return Err(Error::invalid_input(
                "a bandit that forgets at once learns nothing; give a half-life",
            ));
        }
        self.kept = 0.5_f64.powf(1.0 / rewards as f64);
        Ok(self)
    }

    /// After how many rewards the shares are computed anew: 100 unless set. 0 leaves it to
    /// [`update`](Self::update).
    #[must_use]
    pub fn with_rewards_per_update(mut self, rewards: u64) -> Self {
        self.rewards_per_update = rewards;
        self
    }

    /// Draws the same for the same seed: for tests and simulations.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.draws = Draws::seeded(seed);
        self
    }

    /// Learns that an answer of `variant` was worth `reward`, 0 to 1: a click is 1, none is 0.
    ///
    /// Takes a lock that routing does not need, and every so many calls the time to compute the shares:
    /// some tens of microseconds for a few arms.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the reward is no number from 0 to 1, [`Error::NotFound`] when there is no such
    /// arm. Then nothing was learned.
    pub fn reward(&self, variant: &Variant, reward: f64) -> Result<()> {
        if !(0.0..=1.0).contains(&reward) {
            return Err(Error::invalid_input(format!(
                "{reward} is no reward; expected a number from 0 to 1"
            )));
        }
        let mut learned = self.learned();
        let Some(place) = learned.arms.iter().position(|(arm, _)| arm == variant) else {
            return Err(Error::not_found(format!("the variant `{variant}` among the arms of {self:?}")));
        };
        for (at, (_, earned)) in learned.arms.iter_mut().enumerate() {
            earned.won *= self.kept;
            earned.lost *= self.kept;
            if at == place {
                earned.won += reward;
                earned.lost += 1.0 - reward;
            }
        }
        learned.since_update += 1;
        if learned.since_update == self.rewards_per_update { self.update_by(&mut learned) } else { Ok(()) }
    }

    /// Computes the shares from what was learned so far, to be called on a tick where rewards are rare.
    ///
    /// # Errors
    /// None today; those of [`TrafficSplit::set_all`].
    pub fn update(&self) -> Result<()> {
        self.update_by(&mut self.learned())
    }

    /// The arms and their shares of the traffic, in the order they were given.
    #[must_use]
    pub fn shares(&self) -> Vec<(Variant, f64)> {
        self.split.shares().map(|(variant, share)| (variant.clone(), share)).collect()
    }

    /// What is known of the arms, in the order they were given.
    #[must_use]
    pub fn arms(&self) -> Vec<BanditArm> {
        let learned = self.learned();
        let arms =
            learned.arms.iter().zip(self.split.shares()).map(|((variant, earned), (_, share))| BanditArm {
                variant: variant.clone(),
                share,
                rewards: earned.won + earned.lost,
                mean: earned.mean(),
            });
        arms.collect()
    }

    fn update_by(&self, learned: &mut Learned) -> Result<()> {
        let Self { policy, floor, split, .. } = self;
        let earned: Vec<_> = learned.arms.iter().map(|(_, earned)| *earned).collect();
        let count = earned.len() as f64;
        let shares: Vec<f64> = match policy {
            BanditPolicy::Thompson => probabilities_to_be_best(&earned),
            BanditPolicy::EpsilonGreedy(epsilon) => {
                greediest(&earned).iter().map(|share| epsilon / count + (1.0 - epsilon) * share).collect()
            }
        };
        let free = 1.0 - floor * count;
        let floored = shares.iter().map(|share| (floor + free * share).clamp(0.0, 1.0));
        learned.since_update = 0;
        // The first arm is the default and gets the rest.
        split.set_all(learned.arms.iter().map(|(variant, _)| variant).zip(floored).skip(1))
    }

    fn learned(&self) -> MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Router for Bandit {
    fn route(&self, _: &RoutingContext) -> Decision {
        Decision::new(self.split.at(self.draws.next()).clone(), Reason::Weighted)
    }
}

impl fmt::Debug for Bandit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bandit")
            .field("policy", &self.policy)
            .field("shares", &self.split)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
