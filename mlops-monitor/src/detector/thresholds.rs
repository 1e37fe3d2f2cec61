//! What all rules of an effect and a p-value have in common.

/// A rule that needs an effect that is large and a p-value that is small: its thresholds, their setters, and the
/// verdict. Significant and small is a warning.
macro_rules! thresholds {
    ($rule:ident: alpha $alpha:literal, effect $effect:literal, least $least:literal) => {
        impl Default for $rule {
            fn default() -> Self {
                Self { alpha: $alpha, effect: $effect, min_samples: $least }
            }
        }

        impl $rule {
            /// Sets how often chance alone may look like a change.
            #[must_use]
            pub fn with_alpha(mut self, alpha: f64) -> Self {
                self.alpha = alpha;
                self
            }

            /// Sets the least score that is drift and no mere warning.
            #[must_use]
            pub fn with_effect(mut self, effect: f64) -> Self {
                self.effect = effect;
                self
            }

            /// Sets the least number of samples on each side.
            #[must_use]
            pub fn with_min_samples(mut self, min_samples: u64) -> Self {
                self.min_samples = min_samples;
                self
            }

            fn check_thresholds(&self) -> ::mlops_core::Result<()> {
                $crate::detector::check_score("the effect", self.effect)?;
                $crate::detector::check_alpha(self.alpha)
            }

            fn assessment(&self, score: f64, p_value: f64, n: u64, m: u64) -> ::mlops_core::Assessment {
                let verdict = $crate::detector::verdict_of(score, self.effect, p_value, self.alpha);
                ::mlops_core::Assessment::new($crate::Rule::test(self), score, verdict, n, m)
                    .with_p_value(p_value)
            }
        }
    };
}

/// The methods of [`Rule`](crate::Rule) that follow from [`thresholds`].
macro_rules! rule_of_thresholds {
    () => {
        fn check(&self) -> ::mlops_core::Result<()> {
            self.check_thresholds()
        }

        fn with_alpha(&self, alpha: f64) -> ::std::sync::Arc<dyn $crate::Rule> {
            ::std::sync::Arc::new((*self).with_alpha(alpha))
        }

        fn with_min_samples(&self, min_samples: u64) -> ::std::sync::Arc<dyn $crate::Rule> {
            ::std::sync::Arc::new((*self).with_min_samples(min_samples))
        }

        fn alpha(&self) -> f64 {
            self.alpha
        }

        fn verdict(&self, assessment: &::mlops_core::Assessment, p_value: f64) -> ::mlops_core::Verdict {
            let score = assessment.score.unwrap_or_default();
            $crate::detector::verdict_of(score, self.effect, p_value, self.alpha)
        }
    };
}

pub(super) use {rule_of_thresholds, thresholds};
