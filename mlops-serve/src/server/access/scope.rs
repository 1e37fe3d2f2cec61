//! What a caller may do, and to which models.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use mlops_core::{Error, ModelName, Result};
use serde::Deserialize;

/// What a caller wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verb {
    /// Ask a model for predictions.
    Infer,
    /// See metadata, readiness, statistics and the index of models.
    Inspect,
    /// Read the metrics of the server.
    Metrics,
    /// Load, unload, and whatever else changes the state of the server.
    Admin,
}

impl Verb {
    const ALL: [Self; 4] = [Self::Infer, Self::Inspect, Self::Metrics, Self::Admin];

    /// The verb as scopes and audit records write it: `infer`, `inspect`, `metrics`, `admin`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Infer => "infer",
            Self::Inspect => "inspect",
            Self::Metrics => "metrics",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One verb on one model, on all whose names begin alike, or on all: `infer:fraud`, `infer:fraud-*`,
/// `inspect:*`.
///
/// A verb never implies another: `admin:*` alone allows no inference.
///
/// ```
/// use mlops_serve::server::access::{Scope, Verb};
///
/// let scope: Scope = "infer:fraud-*".parse()?;
/// assert!(scope.allows(Verb::Infer, Some("fraud-eu")));
/// assert!(!scope.allows(Verb::Infer, Some("churn")));
/// assert!(!scope.allows(Verb::Admin, Some("fraud-eu")));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Scope {
    verb: Verb,
    models: Models,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Models {
    All,
    /// The part before the star.
    Beginning(ModelName),
    One(ModelName),
}

impl Scope {
    /// The verb on every model, and on the server as a whole.
    #[must_use]
    pub fn all(verb: Verb) -> Self {
        Self { verb, models: Models::All }
    }

    /// Whether the verb is allowed on the model of that name; without a name, on the server as a whole, which
    /// takes a scope for all models.
    #[must_use]
    pub fn allows(&self, verb: Verb, model: Option<&str>) -> bool {
        self.verb == verb
            && match (&self.models, model) {
                (Models::All, _) => true,
                (Models::Beginning(beginning), Some(model)) => model.starts_with(beginning.as_str()),
                (Models::One(name), Some(model)) => name.as_str() == model,
                (Models::Beginning(_) | Models::One(_), None) => false,
            }
    }
}

/// `VERB:MODEL`, where `MODEL` is a name, the beginning of one and a star, or a star.
impl FromStr for Scope {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fault = |what: &str| {
            let shown: String = text.chars().take(80).collect();
            Error::invalid_input(format!("the scope `{}` {what}", shown.escape_debug()))
        };
        let (verb, models) = text
            .split_once(':')
            .ok_or_else(|| fault("is not VERB:MODEL, such as `infer:fraud`, `infer:fraud-*` or `infer:*`"))?;
        let verb = Verb::ALL
            .into_iter()
            .find(|known| known.name() == verb)
            .ok_or_else(|| fault("has an unknown verb; there are infer, inspect, metrics and admin"))?;
        let models = match models.strip_suffix('*') {
            Some("") => Models::All,
            Some(beginning) => Models::Beginning(ModelName::new(beginning).map_err(|_| {
                fault("has something else than the beginning of a model's name before the star")
            })?),
            None => Models::One(ModelName::new(models).map_err(|_| fault("does not name a model"))?),
        };
        if verb == Verb::Metrics && models != Models::All {
            return Err(fault("is for one model, but metrics are the server's; write `metrics:*`"));
        }
        Ok(Self { verb, models })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.models {
            Models::All => write!(f, "{}:*", self.verb),
            Models::Beginning(beginning) => write!(f, "{}:{beginning}*", self.verb),
            Models::One(name) => write!(f, "{}:{name}", self.verb),
        }
    }
}

impl TryFrom<String> for Scope {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

/// Everything a caller may do. Cheap to clone.
///
/// ```
/// use mlops_serve::server::access::{Scopes, Verb};
///
/// let scopes: Scopes = "infer:fraud-* inspect:*".parse()?;
/// assert!(scopes.allow(Verb::Inspect, None));
/// assert!(!scopes.allow(Verb::Admin, Some("fraud-eu")));
/// assert!(!Scopes::none().allow(Verb::Inspect, None));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scopes(Arc<[Scope]>);

impl Scopes {
    /// Nothing.
    #[must_use]
    pub fn none() -> Self {
        Self(Arc::default())
    }

    /// Whether one of the scopes [allows](Scope::allows) it.
    #[must_use]
    pub fn allow(&self, verb: Verb, model: Option<&str>) -> bool {
        self.0.iter().any(|scope| scope.allows(verb, model))
    }

    /// The scopes one by one.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Scope> {
        self.0.iter()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().collect())
    }
}

/// Scopes with white space between them.
impl FromStr for Scopes {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        text.split_whitespace().map(str::parse).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(scope: &str, verb: Verb, model: Option<&str>) -> bool {
        scope.parse::<Scope>().unwrap().allows(verb, model)
    }

    #[test]
    fn a_scope_allows_its_verb_on_its_models_and_nothing_else() {
        assert!(allows("infer:fraud", Verb::Infer, Some("fraud")));
        assert!(!allows("infer:fraud", Verb::Infer, Some("fraud-2")));
        assert!(!allows("infer:fraud", Verb::Infer, Some("Fraud")));
        assert!(!allows("infer:fraud", Verb::Inspect, Some("fraud")));
        assert!(allows("infer:fraud-*", Verb::Infer, Some("fraud-2")));
        assert!(!allows("infer:fraud-*", Verb::Infer, Some("fraud")));
        for verb in Verb::ALL {
            for other in Verb::ALL {
                assert_eq!(Scope::all(verb).allows(other, Some("any")), verb == other);
                assert_eq!(Scope::all(verb).allows(other, None), verb == other);
            }
        }
    }

    #[test]
    fn the_server_as_a_whole_takes_a_scope_for_all_models() {
        assert!(!allows("inspect:fraud", Verb::Inspect, None));
        assert!(!allows("inspect:fraud-*", Verb::Inspect, None));
        assert!(allows("inspect:*", Verb::Inspect, None));
    }

    #[test]
    fn scopes_are_written_as_they_are_read() {
        for text in ["infer:fraud", "inspect:fraud-*", "metrics:*", "admin:*"] {
            assert_eq!(text.parse::<Scope>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_scope_is_refused() {
        let bad = [
            "",
            ":",
            "*",
            "infer",
            "infer:",
            "Infer:*",
            "infer :*",
            "infer:**",
            "infer:*-a",
            "infer:a*b",
            "*:*",
            "infer:../x*",
            "infer:a/b",
            "metrics:fraud",
            "write:fraud",
            "infer:fr\u{430}ud",
            "infer:fraud ",
        ];
        for text in bad {
            assert!(text.parse::<Scope>().is_err(), "{text}");
        }
        assert_eq!("".parse::<Scopes>().unwrap(), Scopes::none());
        assert!("infer:* nonsense".parse::<Scopes>().is_err());
    }
}
