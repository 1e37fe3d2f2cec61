//! What a caller says beside the tensors.

use std::collections::BTreeMap;
use std::time::Duration;

use mlops_core::{Error, Result, RoutingContext};
use serde::Deserialize;
use serde_json::Value;

/// The parameters of a request; the [module of the fronts](crate::http) lists those that mean something.
#[derive(Deserialize, Default)]
pub(super) struct Parameters(BTreeMap<String, Value>);

const ROUTING_KEY: &str = "routing_key";
const ATTRIBUTE_PREFIX: &str = "attribute.";
const TIMEOUT: &str = "timeout";
const TIMEOUT_MS: &str = "timeout_ms";
const PRIORITY: &str = "priority";
const BINARY_OUTPUT: &str = "binary_data_output";

impl Parameters {
    pub(super) fn routing_context(&self) -> Result<RoutingContext> {
        let mut context = RoutingContext::new();
        for (name, value) in &self.0 {
            if name == ROUTING_KEY {
                context = context.with_key(text(name, value)?);
            } else if let Some(attribute) = name.strip_prefix(ATTRIBUTE_PREFIX) {
                context = context.with_attribute(attribute, text(name, value)?);
            }
        }
        Ok(context)
    }

    /// How long the answer may take, from the arrival of the request.
    pub(super) fn timeout(&self) -> Result<Option<Duration>> {
        let in_units = |name, per_second: f64, expected| {
            self.0.get(name).map(|value| {
                let seconds = value.as_f64().map(|number| number / per_second);
                let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                time.ok_or_else(|| wrong(name, value, expected))
            })
        };
        let microseconds = in_units(TIMEOUT, 1e6, "a number of microseconds").transpose()?;
        let milliseconds = in_units(TIMEOUT_MS, 1e3, "a number of milliseconds").transpose()?;
        // As in the schedule policy extension: no time is no limit.
        Ok(milliseconds.or(microseconds.filter(|time| !time.is_zero())))
    }

    /// The priority of the house, where greater is more urgent, from that of the protocol, where 1 is most urgent and
    /// 0 says nothing.
    pub(super) fn priority(&self) -> Result<i32> {
        let Some(value) = self.0.get(PRIORITY) else { return Ok(0) };
        let level =
            value.as_u64().ok_or_else(|| wrong(PRIORITY, value, "a whole number, 1 the most urgent"))?;
        Ok(match u32::try_from(level) {
            Ok(0) => 0,
            Ok(level) => i32::MAX.saturating_sub_unsigned(level - 1).max(1),
            Err(_) => 1,
        })
    }

    /// Whether outputs go out as bytes where nothing else is said of them.
    pub(super) fn binary_output(&self) -> Result<bool> {
        let Some(value) = self.0.get(BINARY_OUTPUT) else { return Ok(false) };
        value.as_bool().ok_or_else(|| wrong(BINARY_OUTPUT, value, "a boolean"))
    }
}

fn text(name: &str, value: &Value) -> Result<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        _ => Err(wrong(name, value, "a string, a number or a boolean")),
    }
}

fn wrong(name: &str, value: &Value, expected: &str) -> Error {
    let shown: String = value.to_string().chars().take(80).collect();
    Error::invalid_input(format!("parameter `{}` is {shown}; expected {expected}", name.escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priority_1_is_before_2_and_both_are_before_none() {
        let priority = |level| {
            let parameters = BTreeMap::from([(PRIORITY.to_owned(), Value::from(level))]);
            Parameters(parameters).priority().unwrap()
        };
        assert!(priority(1) > priority(2) && priority(2) > priority(u64::MAX));
        assert!(priority(u64::MAX) > priority(0));
        assert_eq!(priority(0), Parameters::default().priority().unwrap());
    }
}
