//! Plans as TOML, to be written and edited by hand.

use mlops_core::{Error, Result};
use serde::Deserialize;
use toml::{Table, Value};

use super::plan::Plan;
use super::step::Step;

impl Plan {
    /// Reads a TOML document. Durations are written as people do: `10m`, `1h 30m`.
    ///
    /// ```
    /// use mlops_rollout::Plan;
    ///
    /// let plan = Plan::from_toml(
    ///     r#"
    ///     max_step_duration = "2h"
    ///     on_inconclusive = "pause"
    ///     failure_tolerance = { looks = 3, apart = "1m" }
    ///
    ///     [[analysis.checks]]
    ///     kind = "rate"
    ///     of = "failures"
    ///     tolerance = 0.001
    ///
    ///     [[steps]]
    ///     shadow = 1.0
    ///     min_samples = 5000
    ///
    ///     [[steps]]
    ///     share = 0.05
    ///     min_samples = 1000
    ///     bake = "10m"
    ///     approval = true
    ///
    ///     [[steps]]
    ///     share = 1.0
    ///     max_duration = "24h"
    ///     "#,
    /// )?;
    /// assert_eq!(plan.steps().len(), 3);
    /// assert_eq!(Plan::from_toml(&plan.to_toml()?)?, plan);
    ///
    /// let error = Plan::from_toml("[[steps]]\nshare = 0.5\nbake = \"soon\"").unwrap_err().to_string();
    /// assert!(error.contains("steps[0]") && error.contains("bake"), "{error}");
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidInput`] that names the step and the field, and what is wrong there.
    pub fn from_toml(text: &str) -> Result<Self> {
        let table: Table = toml::from_str(text).map_err(invalid)?;
        if let Some(Value::Array(steps)) = table.get("steps") {
            for (index, step) in steps.iter().enumerate() {
                Step::deserialize(step.clone()).map_err(|error| {
                    Error::invalid_input(format!("the plan: `steps[{index}]`: {}", line(&error)))
                })?;
            }
        }
        Self::deserialize(table).map_err(|error| {
            // What the plan itself finds wrong begins so already.
            let error = line(&error);
            Error::invalid_input(format!("the plan: {}", error.trim_start_matches("the plan: ")))
        })
    }

    /// Writes a TOML document.
    ///
    /// # Errors
    /// [`Error::Internal`] when TOML cannot hold it: its integers end at 2⁶³ - 1.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|error| Error::internal("writing a plan as TOML").with_source(error))
    }
}

fn invalid(error: toml::de::Error) -> Error {
    Error::invalid_input(format!("the plan: {}", error.to_string().trim_end()))
}

/// What is wrong with a value, on one line: the fault, then `in` and the field.
fn line(error: &toml::de::Error) -> String {
    error.to_string().trim_end().replace('\n', " ").replace("invalid input: ", "")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Analysis, LatencyCheck, RateCheck};

    #[test]
    fn a_plan_with_everything_survives_toml() {
        let minute = Duration::from_secs(60);
        let strict = Analysis::new([LatencyCheck::p99(1.2)]).unwrap().with_alpha(0.01).unwrap();
        let steps = [
            Step::shadow(0.25).with_bake(minute).with_analysis(strict),
            Step::new(0.1).with_min_samples(7).with_approval(),
            Step::new(1.0).with_max_duration(90 * minute),
        ];
        let plan = Plan::new(steps).unwrap().with_check(RateCheck::bad_outcomes()).unwrap();
        let plan = plan.with_max_step_duration(61 * minute).unwrap();
        let plan = plan.with_failure_tolerance(3, minute).unwrap();
        let toml = plan.to_toml().unwrap();
        assert_eq!(Plan::from_toml(&toml).unwrap(), plan, "{toml}");
    }

    #[test]
    fn errors_name_the_step_and_the_field() {
        let good = "[[steps]]\nshare = 0.5\n";
        for (text, expected) in [
            ("[[steps]]\nshare = 0.1\nmin_samples = -3", &["steps[1]", "min_samples"][..]),
            ("[[steps]]\nshare = 0.1\nbake = \"soon\"", &["steps[1]", "bake"]),
            ("[[steps]]\nshare = \"half\"", &["steps[1]", "share"]),
            ("[[steps]]\nbake = \"1m\"", &["steps[1]", "`share`"]),
            ("[[steps]]\nshare = 0.1\npaws = true", &["steps[1]", "paws"]),
            ("[[steps]]\nshare = 0.1", &["`steps[1].share` is 0.1 after 0.5"]),
            ("[[steps]]\nshare = 1.0\n[steps.analysis]\nchecks = []", &["steps[1]", "analysis"]),
            ("[analysis]\nchecks = [{ kind = \"rate\", of = \"luck\" }]", &["analysis", "luck"]),
            ("[[steps]\nshare = 1", &["line 3"]),
            ("[colour]", &["colour"]),
        ] {
            let error = Plan::from_toml(&format!("{good}{text}")).unwrap_err();
            assert!(matches!(error, Error::InvalidInput(_)), "{error:?}");
            let error = error.to_string();
            assert!(expected.iter().all(|part| error.contains(part)), "{expected:?}: {error}");
            assert_eq!(error.matches("invalid input").count(), 1, "{error}");
        }
        let error = Plan::from_toml("on_inconclusive = \"promote\"").unwrap_err().to_string();
        assert!(error.contains("on_inconclusive") || error.contains("steps"), "{error}");
        assert!(Plan::from_toml("").unwrap_err().to_string().contains("steps"));
    }
}
