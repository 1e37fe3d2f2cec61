//! Rules that single requests out.

use std::fmt;
use std::sync::Arc;

use mlops_core::{Decision, Error, InvalidInput, Reason, Result, Router, RoutingContext, Text, Variant};

use super::Condition;
use super::predicate::Predicate;

/// Asks rules in order; the first whose condition holds decides, and another router where none does.
///
/// A rule names a variant, and [`Reason::Targeted`] says which rule it was; or it hands the request on to
/// a router of its own, whose reason then stands. Rules are checked and made ready when they are added,
/// so that asking them allocates nothing.
///
/// ```
/// use mlops_core::{Router, RoutingContext, Variant};
/// use mlops_rollout::{Condition, Sticky, Targeted, TrafficSplit};
///
/// let (stable, next) = (Variant::new("stable")?, Variant::new("next")?);
/// let split = TrafficSplit::new(stable.clone(), [next.clone()]);
/// let router = Targeted::new(Sticky::new(split, "digits-2"))
///     .with_rule("old-apps", Condition::version("app", "<2.0.0"), stable)?
///     .with_rule("staff", Condition::equals("staff", "yes"), next)?;
///
/// let staff = RoutingContext::new().with_attribute("staff", "yes").with_attribute("app", "2.3.1");
/// let decision = router.route(&staff);
/// assert_eq!((decision.variant().as_str(), decision.reason().to_string().as_str()), ("next", "targeted: staff"));
/// let outdated = staff.with_attribute("app", "1.9");
/// assert_eq!(router.route(&outdated).reason().to_string(), "targeted: old-apps");
/// assert_eq!(router.rule(&RoutingContext::new()), None);
/// # Ok::<(), mlops_core::Error>(())
/// ```
pub struct Targeted<R> {
    rules: Vec<Rule>,
    otherwise: R,
}

struct Rule {
    name: Text,
    when: Predicate,
    then: Then,
}

enum Then {
    Variant(Variant, Reason),
    Router(Arc<dyn Router>),
}

impl<R: Router> Targeted<R> {
    /// No rule yet: `otherwise` decides.
    pub fn new(otherwise: R) -> Self {
        Self { rules: Vec::new(), otherwise }
    }

    /// Adds a rule behind those that are there: where `when` holds, `variant` answers.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] that names the rule, when its condition cannot be meant or its name is empty;
    /// [`Error::Conflict`] when there is a rule of that name.
    pub fn with_rule(self, name: impl Into<Text>, when: Condition, variant: Variant) -> Result<Self> {
        let name = name.into();
        let then = Then::Variant(variant, Reason::targeted(name.clone()));
        self.with(name, &when, then)
    }

    /// Adds a rule behind those that are there: where `when` holds, `router` decides.
    ///
    /// # Errors
    /// Those of [`with_rule`](Self::with_rule).
    pub fn with_rule_through(
        self,
        name: impl Into<Text>,
        when: Condition,
        router: impl Router,
    ) -> Result<Self> {
        self.with(name.into(), &when, Then::Router(Arc::new(router)))
    }

    /// The name of the rule that decides on such requests; `None` where none does. For tools that explain
    /// decisions and for dry runs.
    #[must_use]
    pub fn rule(&self, context: &RoutingContext) -> Option<&str> {
        self.deciding(context).map(|rule| rule.name.as_str())
    }

    fn with(mut self, name: Text, when: &Condition, then: Then) -> Result<Self> {
        if name.is_empty() {
            return Err(Error::invalid_input(
                "a rule has no name; it is needed to say why a request went where",
            ));
        }
        if self.rules.iter().any(|rule| rule.name == name) {
            return Err(Error::conflict(format!(
                "there is a rule `{name}` already; name this one otherwise"
            )));
        }
        let when = when.compile().map_err(|error| of_rule(&name, error))?;
        self.rules.push(Rule { name, when, then });
        Ok(self)
    }

    fn deciding(&self, context: &RoutingContext) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.when.holds(context))
    }
}

fn of_rule(name: &str, error: Error) -> Error {
    match error {
        Error::InvalidInput(InvalidInput::Other(why)) => {
            Error::invalid_input(format!("the rule `{name}`: {why}"))
        }
        other => other,
    }
}

impl<R: Router> Router for Targeted<R> {
    fn route(&self, context: &RoutingContext) -> Decision {
        match self.deciding(context).map(|rule| &rule.then) {
            Some(Then::Variant(variant, reason)) => Decision::new(variant.clone(), reason.clone()),
            Some(Then::Router(router)) => router.route(context),
            None => self.otherwise.route(context),
        }
    }
}

impl<R> fmt::Debug for Targeted<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules: Vec<_> = self.rules.iter().map(|rule| (&rule.name, &rule.when)).collect();
        f.debug_struct("Targeted").field("rules", &rules).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variant(name: &str) -> Variant {
        Variant::new(name).unwrap()
    }

    fn always(name: &str) -> impl Router {
        let variant = variant(name);
        move |_: &RoutingContext| Decision::new(variant.clone(), Reason::Default)
    }

    fn decided(router: &impl Router, context: &RoutingContext) -> (String, String) {
        let decision = router.route(context);
        (decision.variant().to_string(), decision.reason().to_string())
    }

    #[test]
    fn the_first_rule_that_holds_decides() {
        let router = Targeted::new(always("stable"))
            .with_rule("beta", Condition::exists("beta"), variant("next"))
            .unwrap()
            .with_rule_through("norway", Condition::equals("country", "NO"), always("nordic"))
            .unwrap()
            .with_rule("late", Condition::exists("beta"), variant("never"))
            .unwrap();
        let nobody = RoutingContext::new();
        let norway = nobody.clone().with_attribute("country", "NO");
        let both = norway.clone().with_attribute("beta", "1");
        let said = |variant: &str, reason: &str| (variant.to_owned(), reason.to_owned());
        assert_eq!(decided(&router, &nobody), said("stable", "default"));
        assert_eq!(decided(&router, &norway), said("nordic", "default"));
        assert_eq!(decided(&router, &both), said("next", "targeted: beta"));
        assert_eq!(
            [&nobody, &norway, &both].map(|context| router.rule(context)),
            [None, Some("norway"), Some("beta")]
        );
    }

    #[test]
    fn faulty_rules_are_refused_by_name() {
        let router = || Targeted::new(always("stable"));
        let good = || Condition::exists("beta");
        let error = router().with_rule("", good(), variant("next")).unwrap_err();
        assert!(error.to_string().contains("a rule has no name"), "{error}");
        let twice = router().with_rule("beta", good(), variant("next")).unwrap();
        let error = twice.with_rule_through("beta", good(), always("next")).unwrap_err();
        assert!(matches!(&error, Error::Conflict { what } if what.contains("`beta`")), "{error}");
        let error = router().with_rule("tenth", Condition::sample(10.0, "s"), variant("next")).unwrap_err();
        assert!(error.to_string().starts_with("invalid input: the rule `tenth`: 10 is no share"), "{error}");
    }
}
