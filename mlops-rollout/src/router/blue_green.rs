//! Two variants, of which one is live.

use std::sync::atomic::{AtomicBool, Ordering};

use mlops_core::{Decision, Error, Reason, Result, Router, RoutingContext, Variant};

use super::Condition;
use super::predicate::Predicate;

/// Sends all requests to one of two variants, and from one moment to the next to the other.
///
/// In an [`Arc`](std::sync::Arc) it is the router of [`Routed`](crate::Routed) and the switch. Testers
/// whom a [preview](Self::with_preview) lets in see the variant that is not live; their reason is
/// `targeted: preview`.
///
/// ```
/// use mlops_core::{Router, RoutingContext, Variant};
/// use mlops_rollout::{BlueGreen, Condition};
///
/// let (blue, green) = (Variant::new("blue")?, Variant::new("green")?);
/// let router = BlueGreen::new(blue.clone(), green.clone())?
///     .with_preview(&Condition::any([Condition::equals("preview", "yes"), Condition::key_in(["user-1"])]))?;
/// let (anybody, tester) = (RoutingContext::new(), RoutingContext::new().with_key("user-1"));
/// assert_eq!((router.route(&anybody).variant(), router.route(&tester).variant()), (&blue, &green));
///
/// router.make_live(&green)?;
/// assert_eq!((router.route(&anybody).variant(), router.route(&tester).variant()), (&green, &blue));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug)]
pub struct BlueGreen {
    variants: [Variant; 2],
    green_is_live: AtomicBool,
    preview: Option<Predicate>,
}

impl BlueGreen {
    /// `blue` is live.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when both are the same.
    pub fn new(blue: Variant, green: Variant) -> Result<Self> {
        if blue == green {
            return Err(Error::invalid_input(format!("blue and green are both `{blue}`; name two variants")));
        }
        Ok(Self { variants: [blue, green], green_is_live: AtomicBool::new(false), preview: None })
    }

    /// Requests of which `condition` holds see the variant that is not live.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the condition cannot be meant.
    pub fn with_preview(self, condition: &Condition) -> Result<Self> {
        Ok(Self { preview: Some(condition.compile()?), ..self })
    }

    /// The variant that answers.
    #[must_use]
    pub fn live(&self) -> &Variant {
        self.variant(self.green_is_live.load(Ordering::Acquire))
    }

    /// The variant that is not live, which previews see.
    #[must_use]
    pub fn idle(&self) -> &Variant {
        self.variant(!self.green_is_live.load(Ordering::Acquire))
    }

    /// Makes the other variant live, and returns it.
    pub fn flip(&self) -> &Variant {
        self.variant(!self.green_is_live.fetch_xor(true, Ordering::AcqRel))
    }

    /// Makes this variant live. Done twice it changes nothing, so it may be tried again.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it is neither of the two.
    pub fn make_live(&self, variant: &Variant) -> Result<()> {
        let [blue, green] = &self.variants;
        if variant != blue && variant != green {
            return Err(Error::not_found(format!("the variant `{variant}` among `{blue}` and `{green}`")));
        }
        self.green_is_live.store(variant == green, Ordering::Release);
        Ok(())
    }

    fn variant(&self, green: bool) -> &Variant {
        let [blue_variant, green_variant] = &self.variants;
        if green { green_variant } else { blue_variant }
    }
}

impl Router for BlueGreen {
    fn route(&self, context: &RoutingContext) -> Decision {
        if self.preview.as_ref().is_some_and(|preview| preview.holds(context)) {
            Decision::new(self.idle().clone(), Reason::targeted("preview"))
        } else {
            Decision::new(self.live().clone(), Reason::Default)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variant(name: &str) -> Variant {
        Variant::new(name).unwrap()
    }

    #[test]
    fn a_flip_moves_everybody_and_the_next_one_back() {
        let router = BlueGreen::new(variant("blue"), variant("green")).unwrap();
        let answered = || router.route(&RoutingContext::new()).variant().to_string();
        assert_eq!((answered().as_str(), router.idle().as_str()), ("blue", "green"));
        assert_eq!(router.flip().as_str(), "green");
        assert_eq!((answered().as_str(), router.live().as_str()), ("green", "green"));
        assert_eq!(router.flip().as_str(), "blue");
        assert_eq!(answered(), "blue");
        router.make_live(&variant("green")).unwrap();
        router.make_live(&variant("green")).unwrap();
        assert_eq!(answered(), "green");
        assert!(matches!(router.make_live(&variant("red")), Err(Error::NotFound { .. })));
        assert!(BlueGreen::new(variant("blue"), variant("blue")).is_err());
    }

    #[test]
    fn flips_of_many_threads_are_all_counted() {
        let router = BlueGreen::new(variant("blue"), variant("green")).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..1_001).for_each(|_| _ = router.flip()));
            }
        });
        assert_eq!(router.live().as_str(), "green", "3,003 flips");
    }

    #[test]
    fn previews_see_the_idle_variant() {
        let router = BlueGreen::new(variant("blue"), variant("green")).unwrap();
        let router = router.with_preview(&Condition::equals("preview", "yes")).unwrap();
        let decision = router.route(&RoutingContext::new().with_attribute("preview", "yes"));
        assert_eq!(decision, Decision::new(variant("green"), Reason::targeted("preview")));
        let never = BlueGreen::new(variant("blue"), variant("green")).unwrap();
        assert!(never.with_preview(&Condition::all([])).is_err());
        let decision = router.route(&RoutingContext::new().with_attribute("preview", "no"));
        assert_eq!(decision, Decision::new(variant("blue"), Reason::Default));
    }
}
