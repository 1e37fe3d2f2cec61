//! What a caller says beside the tensors, in whatever protocol.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use mlops_core::{Error, Instant, Request, RoutingContext, Tensors};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

type Result<T, E = Error> = std::result::Result<T, E>;

/// The parameters of a request; the [module of the fronts](crate::http) lists those that mean something.
///
/// In the order in which they came; of several with one name the last counts.
#[derive(Default)]
pub(crate) struct Parameters(Vec<(String, Value)>);

const ROUTING_KEY: &str = "routing_key";
const ATTRIBUTE_PREFIX: &str = "attribute.";
const TIMEOUT: &str = "timeout";
const TIMEOUT_MS: &str = "timeout_ms";
const PRIORITY: &str = "priority";
const BINARY_OUTPUT: &str = "binary_data_output";

/// More are no targeting but a mistake, or an attack: routers look through them one by one.
const MAX_ATTRIBUTES: usize = 64;

/// The header for the routing key, in protocols whose clients put no parameters into the body.
pub(crate) const ROUTING_KEY_HEADER: &str = "x-routing-key";
/// The header for the time the answer may take, in milliseconds.
pub(crate) const TIMEOUT_HEADER: &str = "x-request-timeout-ms";

impl Parameters {
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    fn or_insert(&mut self, name: &str, value: impl Into<Value>) {
        if self.get(name).is_none() {
            self.0.push((name.to_owned(), value.into()));
        }
    }

    /// Takes from the headers what the body does not say.
    pub(crate) fn or_headers(mut self, headers: &HeaderMap) -> Result<Self> {
        if let Some(value) = headers.get(ROUTING_KEY_HEADER) {
            let key = value.to_str().map_err(|_| wrong_header(ROUTING_KEY_HEADER, value, "ASCII text"))?;
            self.or_insert(ROUTING_KEY, key);
        }
        if let Some(value) = headers.get(TIMEOUT_HEADER) {
            let text = value.to_str().ok();
            let number = text.and_then(|text| text.parse().ok()).filter(|number: &f64| number.is_finite());
            let milliseconds =
                number.ok_or_else(|| wrong_header(TIMEOUT_HEADER, value, "a number of milliseconds"))?;
            if self.get(TIMEOUT).is_none() {
                self.or_insert(TIMEOUT_MS, milliseconds);
            }
        }
        Ok(self)
    }

    /// The request of these inputs, which came in at `arrived`.
    pub(crate) fn request(
        &self,
        inputs: Tensors,
        id: impl Into<Arc<str>>,
        arrived: Instant,
    ) -> Result<Request> {
        let mut request = Request::new(inputs)
            .with_id(id)
            .with_context(self.routing_context()?)
            .with_priority(self.priority()?);
        if let Some(deadline) = self.timeout()?.and_then(|timeout| arrived.checked_add(timeout)) {
            request = request.with_deadline(deadline);
        }
        Ok(request)
    }

    pub(crate) fn routing_context(&self) -> Result<RoutingContext> {
        let mut context = RoutingContext::new();
        for (name, value) in &self.0 {
            if name == ROUTING_KEY {
                context = context.with_key(text(name, value)?);
            } else if let Some(attribute) = name.strip_prefix(ATTRIBUTE_PREFIX) {
                if context.attributes().len() == MAX_ATTRIBUTES {
                    let what = format!("a request may have at most {MAX_ATTRIBUTES} attributes");
                    return Err(Error::invalid_input(what));
                }
                context = context.with_attribute(attribute, text(name, value)?);
            }
        }
        Ok(context)
    }

    /// How long the answer may take, from the arrival of the request.
    pub(crate) fn timeout(&self) -> Result<Option<Duration>> {
        let in_units = |name, per_second: f64, expected| {
            self.get(name).map(|value| {
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
    pub(crate) fn priority(&self) -> Result<i32> {
        let Some(value) = self.get(PRIORITY) else { return Ok(0) };
        let level =
            value.as_u64().ok_or_else(|| wrong(PRIORITY, value, "a whole number, 1 the most urgent"))?;
        Ok(match u32::try_from(level) {
            Ok(0) => 0,
            Ok(level) => i32::MAX.saturating_sub_unsigned(level - 1).max(1),
            Err(_) => 1,
        })
    }

    /// Whether outputs go out as bytes where nothing else is said of them.
    pub(crate) fn binary_output(&self) -> Result<bool> {
        let Some(value) = self.get(BINARY_OUTPUT) else { return Ok(false) };
        value.as_bool().ok_or_else(|| wrong(BINARY_OUTPUT, value, "a boolean"))
    }
}

impl FromIterator<(String, Value)> for Parameters {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Parameters;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of parameters")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parameters, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Parameters(entries))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

fn text(name: &str, value: &Value) -> Result<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        _ => Err(wrong(name, value, "a string, a number or a boolean")),
    }
}

fn wrong_header(name: &str, value: &HeaderValue, expected: &str) -> Error {
    let shown: String = String::from_utf8_lossy(value.as_bytes()).chars().take(80).collect();
    Error::invalid_input(format!("header `{name}` is {shown:?}; expected {expected}"))
}

fn wrong(name: &str, value: &Value, expected: &str) -> Error {
    let shown: String = value.to_string().chars().take(80).collect();
    Error::invalid_input(format!("parameter `{}` is {shown}; expected {expected}", name.escape_debug()))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    #[test]
    fn priority_1_is_before_2_and_both_are_before_none() {
        let priority = |level| {
            let parameters = vec![(PRIORITY.to_owned(), Value::from(level))];
            Parameters(parameters).priority().unwrap()
        };
        assert!(priority(1) > priority(2) && priority(2) > priority(u64::MAX));
        assert!(priority(u64::MAX) > priority(0));
        assert_eq!(priority(0), Parameters::default().priority().unwrap());
    }

    #[test]
    fn attributes_are_bounded() {
        let context = |count: usize| {
            let attribute = |index| (format!("{ATTRIBUTE_PREFIX}{index}"), Value::from(index));
            Parameters((0..count).map(attribute).collect()).routing_context()
        };
        assert_eq!(context(MAX_ATTRIBUTES).unwrap().attributes().len(), MAX_ATTRIBUTES);
        assert!(matches!(context(MAX_ATTRIBUTES + 1), Err(Error::InvalidInput(_))));
    }

    #[test]
    fn headers_say_what_the_body_does_not() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            pairs.collect::<HeaderMap>()
        };
        let both = headers(&[(ROUTING_KEY_HEADER, "header"), (TIMEOUT_HEADER, "1.5")]);
        let from_headers = Parameters::default().or_headers(&both).unwrap();
        assert_eq!(from_headers.routing_context().unwrap().key(), Some("header"));
        assert_eq!(from_headers.timeout().unwrap(), Some(Duration::from_micros(1500)));

        let body = [(ROUTING_KEY, Value::from("body")), (TIMEOUT, Value::from(7))];
        let body = Parameters(body.map(|(name, value)| (name.to_owned(), value)).into());
        let from_body = body.or_headers(&both).unwrap();
        assert_eq!(from_body.routing_context().unwrap().key(), Some("body"));
        assert_eq!(from_body.timeout().unwrap(), Some(Duration::from_micros(7)));

        for wrong in ["", "soon", "inf", "NaN", "1e999"] {
            let wrong = headers(&[(TIMEOUT_HEADER, wrong)]);
            assert!(Parameters::default().or_headers(&wrong).is_err());
        }
    }
}
