//! From a specification to the router.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use mlops_core::{Decision, Error, InvalidInput, Reason, Result, Router, RoutingContext, Variant};

use super::{ExperimentSpec, RouterSpec, RuleSpec, ShareSpec};
use crate::router::shadowed::ShadowShare;
use crate::{
    Bandit, BlueGreen, Exclusive, Holdout, Shadowed, Sticky, StickyHash, Targeted, TrafficSplit, Weighted,
};

/// A router made of a [`RouterSpec`], with handles to what changes at run time, by name.
#[derive(Clone)]
pub struct ConfiguredRouter {
    router: Arc<dyn Router>,
    handles: Arc<Handles>,
}

#[derive(Default)]
struct Handles {
    splits: BTreeMap<String, TrafficSplit>,
    switches: BTreeMap<String, Arc<BlueGreen>>,
    bandits: BTreeMap<String, Arc<Bandit>>,
    shadows: BTreeMap<String, ShadowShare>,
    variants: Vec<Variant>,
}

impl ConfiguredRouter {
    /// The shares of the weighted or sticky router of that name.
    #[must_use]
    pub fn split(&self, name: &str) -> Option<&TrafficSplit> {
        self.handles.splits.get(name)
    }

    /// The switch of that name.
    #[must_use]
    pub fn blue_green(&self, name: &str) -> Option<&Arc<BlueGreen>> {
        self.handles.switches.get(name)
    }

    /// The bandit of that name, for its rewards.
    #[must_use]
    pub fn bandit(&self, name: &str) -> Option<&Arc<Bandit>> {
        self.handles.bandits.get(name)
    }

    /// The share of the shadow of that name.
    #[must_use]
    pub fn shadow(&self, name: &str) -> Option<&ShadowShare> {
        self.handles.shadows.get(name)
    }

    /// All variants that it may name, to see that a model has them.
    #[must_use]
    pub fn variants(&self) -> &[Variant] {
        &self.handles.variants
    }
}

impl Router for ConfiguredRouter {
    fn route(&self, context: &RoutingContext) -> Decision {
        self.router.route(context)
    }
}

impl fmt::Debug for ConfiguredRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Handles { splits, switches, bandits, shadows, variants } = &*self.handles;
        f.debug_struct("ConfiguredRouter")
            .field("variants", variants)
            .field("splits", splits)
            .field("switches", switches)
            .field("bandits", bandits)
            .field("shadows", shadows)
            .finish_non_exhaustive()
    }
}

pub(super) fn build(spec: &RouterSpec) -> Result<ConfiguredRouter> {
    let mut handles = Handles::default();
    let router = Builder { handles: &mut handles, salts: Vec::new() }.build(spec);
    let router = router.map_err(|error| Error::invalid_input(fault(error)))?;
    Ok(ConfiguredRouter { router, handles: Arc::new(handles) })
}

struct Builder<'a> {
    handles: &'a mut Handles,
    /// Of the layers and holdouts around the router that is being built.
    salts: Vec<String>,
}

impl Builder<'_> {
    fn build(&mut self, spec: &RouterSpec) -> Result<Arc<dyn Router>> {
        Ok(match spec {
            RouterSpec::Always { variant } => {
                let variant = self.known(variant);
                Arc::new(move |_: &RoutingContext| Decision::new(variant.clone(), Reason::Default))
            }
            RouterSpec::Weighted { name, default, shares } => {
                Arc::new(Weighted::new(self.split(name.as_deref().unwrap_or("weighted"), default, shares)?))
            }
            RouterSpec::Sticky { name, salt, hash, attribute, default, shares } => {
                self.fresh(salt)?;
                let split = self.split(name.as_deref().unwrap_or("sticky"), default, shares)?;
                let sticky = Sticky::new(split, salt).with_hash(*hash);
                Arc::new(match attribute {
                    Some(attribute) => sticky.by_attribute(attribute.as_str()),
                    None => sticky,
                })
            }
            RouterSpec::Targeted { rules, otherwise } => self.targeted(rules, otherwise)?,
            RouterSpec::BlueGreen { name, blue, green, preview } => {
                let router = BlueGreen::new(self.known(blue), self.known(green))?;
                let router = match preview {
                    Some(preview) => {
                        router.with_preview(preview).map_err(|error| within("the preview", error))?
                    }
                    None => router,
                };
                keep(&mut self.handles.switches, name.as_deref().unwrap_or("blue_green"), Arc::new(router))?
            }
            RouterSpec::Bandit { name, arms, policy, floor, half_life, rewards_per_update } => {
                let arms: Vec<_> = arms.iter().map(|arm| self.known(arm)).collect();
                let mut bandit = Bandit::new(arms, *policy)?.with_floor(*floor)?;
                if let Some(half_life) = half_life {
                    bandit = bandit.with_half_life(*half_life)?;
                }
                if let Some(rewards) = rewards_per_update {
                    bandit = bandit.with_rewards_per_update(*rewards);
                }
                keep(&mut self.handles.bandits, name.as_deref().unwrap_or("bandit"), Arc::new(bandit))?
            }
            RouterSpec::Exclusive { salt, hash, attribute, experiments, otherwise } => {
                self.exclusive(salt, *hash, attribute.as_deref(), experiments, otherwise)?
            }
            RouterSpec::Holdout { variant, share, salt, hash, attribute, router } => {
                let router = self.inside(salt, |builder| builder.build(router))?;
                let held_out = Holdout::new(router, self.known(variant), *share, salt)?.with_hash(*hash);
                Arc::new(match attribute {
                    Some(attribute) => held_out.by_attribute(attribute.as_str()),
                    None => held_out,
                })
            }
            RouterSpec::Shadowed { name, shadow, share, router } => {
                let router = self.build(router)?;
                let shadowed = Shadowed::new(router, self.known(shadow), *share)?;
                let name = name.as_deref().unwrap_or("shadowed");
                keep(&mut self.handles.shadows, name, shadowed.share())?;
                Arc::new(shadowed)
            }
        })
    }

    fn split(&mut self, name: &str, default: &Variant, shares: &[ShareSpec]) -> Result<TrafficSplit> {
        let fault = |error| within(&format!("the split `{name}`"), error);
        let split =
            TrafficSplit::new(self.known(default), shares.iter().map(|share| self.known(&share.variant)));
        for (place, ShareSpec { variant, .. }) in shares.iter().enumerate() {
            if shares.iter().take(place).any(|earlier| earlier.variant == *variant) {
                return Err(fault(Error::invalid_input(format!("the variant `{variant}` comes twice"))));
            }
        }
        split.set_all(shares.iter().map(|share| (&share.variant, share.share))).map_err(fault)?;
        keep(&mut self.handles.splits, name, split)
    }

    fn targeted(&mut self, rules: &[RuleSpec], otherwise: &RouterSpec) -> Result<Arc<dyn Router>> {
        let mut targeted = Targeted::new(self.build(otherwise)?);
        for RuleSpec { name, when, variant, router } in rules {
            let (rule, when) = (name.clone(), when.clone());
            targeted = match (variant, router) {
                (Some(variant), None) => targeted.with_rule(rule, when, self.known(variant))?,
                (None, Some(router)) => {
                    let router =
                        self.build(router).map_err(|error| within(&format!("the rule `{name}`"), error))?;
                    targeted.with_rule_through(rule, when, router)?
                }
                _ => {
                    return Err(Error::invalid_input(format!(
                        "the rule `{name}` needs either a `variant` or a `router`"
                    )));
                }
            };
        }
        Ok(Arc::new(targeted))
    }

    fn exclusive(
        &mut self,
        salt: &str,
        hash: StickyHash,
        attribute: Option<&str>,
        experiments: &[ExperimentSpec],
        otherwise: &RouterSpec,
    ) -> Result<Arc<dyn Router>> {
        let otherwise = self.inside(salt, |builder| builder.build(otherwise))?;
        let mut layer = Exclusive::new(salt, otherwise).with_hash(hash);
        if let Some(attribute) = attribute {
            layer = layer.by_attribute(attribute);
        }
        for ExperimentSpec { name, start, end, router } in experiments {
            let router = self.inside(salt, |builder| builder.build(router));
            let router = router.map_err(|error| within(&format!("the experiment `{name}`"), error))?;
            layer = layer.with_experiment(name.clone(), *start..*end, router)?;
        }
        Ok(Arc::new(layer))
    }

    fn inside<T>(&mut self, salt: &str, build: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.fresh(salt)?;
        self.salts.push(salt.to_owned());
        let built = build(self);
        self.salts.pop();
        built
    }

    /// A router that hashes by the salt of what is around it sees a slice of its points only, and keeps
    /// no share.
    fn fresh(&self, salt: &str) -> Result<()> {
        if self.salts.iter().any(|around| around == salt) {
            return Err(Error::invalid_input(format!(
                "the salt `{salt}` is that of the layer or holdout around; its shares would not be kept"
            )));
        }
        Ok(())
    }

    fn known(&mut self, variant: &Variant) -> Variant {
        if !self.handles.variants.contains(variant) {
            self.handles.variants.push(variant.clone());
        }
        variant.clone()
    }
}

fn keep<T: Clone>(handles: &mut BTreeMap<String, T>, name: &str, handle: T) -> Result<T> {
    if handles.insert(name.to_owned(), handle.clone()).is_some() {
        return Err(Error::invalid_input(format!(
            "two routers have the name `{name}`; give each a `name` of its own"
        )));
    }
    Ok(handle)
}

/// Says where a fault is.
fn within(place: &str, error: Error) -> Error {
    Error::invalid_input(format!("{place}: {}", fault(error)))
}

/// What is wrong, whichever kind of error it is where it is called directly.
fn fault(error: Error) -> String {
    match error {
        Error::InvalidInput(InvalidInput::Other(what))
        | Error::Conflict { what }
        | Error::NotFound { what } => what,
        other => other.to_string(),
    }
}
