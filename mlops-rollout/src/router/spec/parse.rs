//! Rules and experiments read so that a fault says in which one it is.

use mlops_core::Variant;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::{Condition, ExperimentSpec, RouterSpec, RuleSpec};

/// What a rule or an experiment looks like before it is known which one it is.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Fields(Table);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFields {
    when: Condition,
    variant: Option<Variant>,
    router: Option<RouterSpec>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExperimentFields {
    start: f64,
    end: f64,
    router: RouterSpec,
}

impl TryFrom<Fields> for RuleSpec {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let (name, RuleFields { when, variant, router }) = fields.of("rule")?;
        Ok(Self { name, when, variant, router })
    }
}

impl TryFrom<Fields> for ExperimentSpec {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let (name, ExperimentFields { start, end, router }) = fields.of("experiment")?;
        Ok(Self { name, start, end, router })
    }
}

impl Fields {
    /// The name, and all else.
    fn of<T: DeserializeOwned>(self, what: &str) -> Result<(String, T), String> {
        let mut fields = self.0;
        let Some(Value::String(name)) = fields.remove("name") else {
            return Err(format!("one {what} has no `name` that is a text"));
        };
        match Value::Table(fields).try_into() {
            Ok(rest) => Ok((name, rest)),
            Err(error) => Err(format!("the {what} `{name}`: {}", error.message())),
        }
    }
}
