//! Who answers a request.

mod bandit;
mod blue_green;
mod condition;
mod draws;
mod exclusive;
mod hash;
mod holdout;
mod predicate;
mod shadowed;
mod shares;
mod spec;
mod split;
mod sticky;
mod targeted;
mod version;
mod weighted;

pub use bandit::{Bandit, BanditArm, BanditPolicy};
pub use blue_green::BlueGreen;
pub use condition::Condition;
pub use exclusive::Exclusive;
pub use hash::StickyHash;
pub use holdout::Holdout;
pub use shadowed::{ShadowShare, Shadowed};
pub use spec::{ConfiguredRouter, ExperimentSpec, RouterSpec, RuleSpec, ShareSpec};
pub use split::TrafficSplit;
pub use sticky::Sticky;
pub use targeted::Targeted;
pub use weighted::Weighted;
