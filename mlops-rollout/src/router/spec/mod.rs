//! Routers as configuration.

mod build;
mod parse;

use mlops_core::{Error, Result, Variant};
use serde::{Deserialize, Serialize};

use super::{BanditPolicy, Condition, StickyHash};
use parse::Fields;

pub use build::ConfiguredRouter;

/// A router written down: in TOML, or in any other format of serde.
///
/// [`build`](Self::build) makes the router, with handles to what changes at run time. Faults name the rule or the
/// experiment they are in.
///
/// ```
/// use mlops_core::{Router, RoutingContext, Variant};
/// use mlops_rollout::RouterSpec;
///
/// let router = RouterSpec::from_toml(r#"
///     kind = "holdout" # nobody of these 2 % sees anything new
///     variant = "stable"
///     share = 0.02
///     salt = "2026"
///
///     [router]
///     kind = "targeted"
///     rules = [
///         { name = "old-apps", when = { version = { attribute = "app", matches = "<2.0.0" } }, variant = "stable" },
///         { name = "staff", when = { equals = { attribute = "staff", value = "yes" } }, variant = "next" },
///     ]
///
///     [router.otherwise]
///     kind = "sticky"
///     name = "canary"
///     salt = "digits-2"
///     default = "stable"
///     shares = [{ variant = "next", share = 0.05 }]
/// "#)?
/// .build()?;
///
/// let staff = RoutingContext::new().with_attribute("staff", "yes");
/// assert_eq!(router.route(&staff).reason().to_string(), "targeted: staff");
/// let split = router.split("canary").expect("named above"); // what a controller moves
/// split.set(&Variant::new("next")?, 0.2)?;
///
/// let error = RouterSpec::from_toml(r#"
///     kind = "targeted"
///     rules = [{ name = "staff", when = { equal = { attribute = "staff", value = "yes" } }, variant = "next" }]
///     otherwise = { kind = "always", variant = "stable" }
/// "#).unwrap_err();
/// assert!(error.to_string().contains("the rule `staff`: unknown variant `equal`, expected one of `equals`"));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum RouterSpec {
    /// One variant, whoever asks.
    Always {
        /// The variant.
        variant: Variant,
    },
    /// [`Weighted`](crate::Weighted).
    Weighted {
        /// By which its split is found: `weighted` unless set.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// The variant that gets what the others leave.
        default: Variant,
        /// The others.
        shares: Vec<ShareSpec>,
    },
    /// [`Sticky`](crate::Sticky).
    Sticky {
        /// By which its split is found: `sticky` unless set.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Another one for each experiment.
        salt: String,
        /// The hash that lays the keys.
        #[serde(default)]
        hash: StickyHash,
        /// The attribute that is hashed in the place of the key.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attribute: Option<String>,
        /// The variant that gets what the others leave.
        default: Variant,
        /// The others, in the order in which they lie: append new ones.
        shares: Vec<ShareSpec>,
    },
    /// [`Targeted`](crate::Targeted).
    Targeted {
        /// Asked in order.
        rules: Vec<RuleSpec>,
        /// What decides where no rule does.
        otherwise: Box<RouterSpec>,
    },
    /// [`BlueGreen`](crate::BlueGreen).
    BlueGreen {
        /// By which it is found: `blue_green` unless set.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Live at first.
        blue: Variant,
        /// Live after a flip.
        green: Variant,
        /// Who sees the variant that is not live.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        preview: Option<Condition>,
    },
    /// [`Bandit`](crate::Bandit).
    Bandit {
        /// By which it is found: `bandit` unless set.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// The variants it chooses between.
        arms: Vec<Variant>,
        /// How it makes shares of what it knows: `"thompson"`, or `{ epsilon_greedy = 0.1 }`.
        policy: BanditPolicy,
        /// The least share of an arm.
        #[serde(default)]
        floor: f64,
        /// A reward counts half after so many later ones; for ever unless set.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        half_life: Option<u64>,
        /// After how many rewards the shares are computed anew.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rewards_per_update: Option<u64>,
    },
    /// [`Exclusive`](crate::Exclusive).
    Exclusive {
        /// Used by no router within.
        salt: String,
        /// The hash that lays the keys.
        #[serde(default)]
        hash: StickyHash,
        /// The attribute that is hashed in the place of the key.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attribute: Option<String>,
        /// They exclude each other.
        experiments: Vec<ExperimentSpec>,
        /// What decides on keys that are in no experiment.
        otherwise: Box<RouterSpec>,
    },
    /// [`Holdout`](crate::Holdout).
    Holdout {
        /// What the keys see that are held out.
        variant: Variant,
        /// The share of the keys that is held out, 0 to 1.
        share: f64,
        /// Used by no router within.
        salt: String,
        /// The hash that lays the keys.
        #[serde(default)]
        hash: StickyHash,
        /// The attribute that is hashed in the place of the key.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attribute: Option<String>,
        /// What decides on all others.
        router: Box<RouterSpec>,
    },
    /// [`Shadowed`](crate::Shadowed).
    Shadowed {
        /// By which its share is found: `shadowed` unless set.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// The variant that sees copies.
        shadow: Variant,
        /// Of how many requests, 0 to 1.
        share: f64,
        /// What decides who answers.
        router: Box<RouterSpec>,
    },
}

/// The share of a variant in a [`RouterSpec`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareSpec {
    /// The variant.
    pub variant: Variant,
    /// Its share at first, 0 to 1.
    pub share: f64,
}

/// A rule of a [`RouterSpec::Targeted`]. It names a variant or a router, not both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Fields")]
pub struct RuleSpec {
    /// What [`Reason::Targeted`](mlops_core::Reason::Targeted) says.
    pub name: String,
    /// When it speaks.
    pub when: Condition,
    /// The variant that answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<Variant>,
    /// The router that decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub router: Option<RouterSpec>,
}

/// An experiment of a [`RouterSpec::Exclusive`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Fields")]
pub struct ExperimentSpec {
    /// Its name.
    pub name: String,
    /// Where its slice of the keys starts, 0 to 1.
    pub start: f64,
    /// Before which it ends.
    pub end: f64,
    /// What decides on the keys of the slice.
    pub router: RouterSpec,
}

impl RouterSpec {
    /// Reads a specification from TOML.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] that says what is wrong, and in which rule or experiment.
    pub fn from_toml(text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.map(|before| format!(", line {}", before.matches('\n').count() + 1));
            let (line, message) = (line.unwrap_or_default(), error.message());
            Error::invalid_input(format!("a router in TOML{line}: {message}"))
        })
    }

    /// The router, and handles to what changes at run time.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] that says what is wrong, and in which rule or experiment.
    pub fn build(&self) -> Result<ConfiguredRouter> {
        build::build(self)
    }
}

#[cfg(test)]
mod tests;
