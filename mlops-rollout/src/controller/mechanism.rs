//! What a controller moves, what it looks at, and whom it tells.

use std::pin::Pin;
use std::sync::Arc;

use jiff::Timestamp;
use metrics::{counter, gauge};
use mlops_core::metrics::{ROLLOUT_DECISIONS_TOTAL, ROLLOUT_WEIGHT};
use mlops_core::{Clock, Error, Result};

use super::audit::Transition;
use super::events::Announcer;
use super::rollout::Rollout;
use super::shadow::ShadowEvidence;
use super::state::{Effect, State};
use super::step::Step;
use crate::{Evidence, EvidenceSnapshot, TrafficSplit};

pub(super) struct Mechanism {
    pub(super) rollout: Rollout,
    pub(super) name: String,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) split: TrafficSplit,
    pub(super) evidence: Arc<Evidence>,
    pub(super) shadow: Option<Shadow>,
    pub(super) listeners: Vec<Box<Listener>>,
    pub(super) announcer: Announcer,
    pub(super) on_promotion: Option<Box<OnPromotion>>,
}

/// The way to give a candidate copies, and what becomes of them.
pub(super) struct Shadow {
    pub(super) set_share: Box<dyn Fn(f64) -> Result<()> + Send + Sync>,
    pub(super) evidence: Arc<ShadowEvidence>,
}

pub(super) type Listener = dyn Fn(&Transition) + Send + Sync;
pub(super) type OnPromotion =
    dyn Fn(Transition) -> Pin<Box<dyn Future<Output = Result<()>> + Send>> + Send + Sync;

impl Mechanism {
    /// A plan with shadows needs the means for them.
    pub(super) fn check(&self) -> Result<()> {
        if self.rollout.plan().has_shadow() && self.shadow.is_none() {
            return Err(Error::invalid_input(format!(
                "the plan of the rollout `{}` has a shadow step, and its controller no means to carry it out; \
                 give it some by `Controller::with_shadow`",
                self.name
            )));
        }
        Ok(())
    }

    pub(super) fn carry_out(&self, effects: impl IntoIterator<Item = Effect>) -> Result<()> {
        let candidate = self.rollout.candidate();
        for effect in effects {
            match effect {
                Effect::SetShare(share) => self.split.set(candidate, share)?,
                Effect::SetShadow(share) => self.set_shadow(share)?,
                Effect::BeginWindow => self.begin_window(),
                Effect::Promote => {
                    self.split.set(candidate, 1.0)?;
                    self.set_shadow(0.0)?;
                }
                Effect::RollBack => {
                    self.split.set(candidate, 0.0)?;
                    self.set_shadow(0.0)?;
                }
            }
        }
        for (variant, share) in self.split.shares() {
            let labels = [("rollout", self.name.clone()), ("variant", variant.to_string())];
            gauge!(ROLLOUT_WEIGHT, &labels).set(share);
        }
        Ok(())
    }

    fn set_shadow(&self, share: f64) -> Result<()> {
        match &self.shadow {
            Some(shadow) => (shadow.set_share)(share),
            None => Ok(()),
        }
    }

    pub(super) fn begin_window(&self) {
        self.evidence.begin_window();
        if let Some(shadow) = &self.shadow {
            shadow.evidence.begin_window();
        }
    }

    /// What was seen here. While the candidate is a shadow, that is what became of the copies.
    pub(super) fn seen(&self, state: &State) -> EvidenceSnapshot {
        let mut evidence = self.evidence.snapshot();
        let step = state.step().and_then(|index| self.rollout.plan().steps().get(index));
        if let (Some(shadow), true) = (&self.shadow, step.is_some_and(Step::is_shadow)) {
            let candidate = self.rollout.candidate();
            evidence.current.insert(candidate.clone(), shadow.evidence.seen(candidate));
        }
        evidence
    }

    /// `own` unless somebody else made the transition.
    pub(super) fn tell(&self, transition: &Transition, own: bool) {
        tracing::info!(rollout = self.name, %transition, own, "rollout moved");
        if own {
            let labels = [("rollout", self.name.clone()), ("decision", transition.decision().to_owned())];
            counter!(ROLLOUT_DECISIONS_TOTAL, &labels).increment(1);
        }
        for listener in &self.listeners {
            listener(transition);
        }
        self.announcer.announce(transition);
    }

    /// Does what is to be done on promotion; says when it was done. What fails is told, to be tried again.
    pub(super) async fn announce(&self, promotion: Option<Transition>) -> Option<Timestamp> {
        let (Some(on_promotion), Some(promotion)) = (&self.on_promotion, promotion) else { return None };
        match on_promotion(promotion).await {
            Ok(()) => Some(self.clock.now()),
            Err(error) => {
                let rollout = self.name.as_str();
                tracing::warn!(rollout, %error, "what is to be done on promotion failed; it is tried again");
                None
            }
        }
    }
}
