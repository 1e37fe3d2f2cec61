//! The decisions of `mlops-rollout`.

use mlops_core::{Router, RoutingContext, Variant};
use mlops_rollout::{Condition, Sticky, StickyHash, Targeted, TrafficSplit};

use crate::{Decide, Failure, Task, User};

pub struct Users(Vec<RoutingContext>);

/// Whose hash lays the users.
#[derive(Debug, Clone, Copy)]
pub enum Like {
    Ourselves,
    GrowthBook,
    Unleash,
}

impl Users {
    pub fn new(users: &[User]) -> Self {
        let context = |user: &User| {
            RoutingContext::new()
                .with_key(user.key.as_str())
                .with_attribute("country", user.country)
                .with_attribute("app", user.app)
        };
        Self(users.iter().map(context).collect())
    }

    pub fn decide(&self, task: Task, like: Like) -> Result<Decide<'_>, Failure> {
        let (stable, new) = (Variant::new("stable")?, Variant::new("new")?);
        // The last variation of GrowthBook is what the others leave.
        let (split, hash) = match like {
            Like::GrowthBook => {
                let split = TrafficSplit::new(new.clone(), [stable.clone()]);
                split.set(&stable, 0.75)?;
                (split, StickyHash::GrowthBookV2)
            }
            Like::Ourselves | Like::Unleash => {
                let split = TrafficSplit::new(stable, [new.clone()]);
                split.set(&new, 0.25)?;
                let ourselves = matches!(like, Like::Ourselves);
                (split, if ourselves { StickyHash::Xxh3 } else { StickyHash::UnleashRollout })
            }
        };
        let sticky = Sticky::new(split, "salt").with_hash(hash);
        if task == Task::Share {
            return Ok(self.by(sticky, new));
        }
        let sample = Condition::Sample { share: 0.01, salt: "sample".into(), hash, attribute: None };
        let rules = Targeted::new(sticky)
            .with_rule("staff", Condition::equals("staff", "yes"), new.clone())?
            .with_rule("nordics", Condition::one_of("country", ["SE", "DK", "FI", "IS"]), new.clone())?
            .with_rule("old", Condition::prefix("app", "1."), new.clone())?
            .with_rule("next", Condition::version("app", ">3.0.0"), new.clone())?
            .with_rule("sample", sample, new.clone())?;
        Ok(self.by(rules, new))
    }

    fn by(&self, router: impl Router, new: Variant) -> Decide<'_> {
        Box::new(move |user| *router.route(&self.0[user]).variant() == new)
    }
}
